//! What a column holds: a set of atoms, of which a scalar is one with one element, or a map (RFC 7047, section 5.1).
//!
//! Start at [`Value`].

use super::schema::{Base, Column, Kind};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// An atom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Atom {
    /// A number.
    Integer(i64),
    /// A number with a fraction, by its bits in an order that sorts as the numbers do.
    Real(i64),
    /// True or false.
    Boolean(bool),
    /// A text.
    String(String),
    /// A row.
    Uuid(Uuid),
}

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// Atoms.
    Set(BTreeSet<Atom>),
    /// Pairs of atoms.
    Map(BTreeMap<Atom, Atom>),
}

/// Why JSON is no value of a type: the word of RFC 7047, and details.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub &'static str, pub String);

impl Refused {
    /// As JSON.
    pub(super) fn json(&self) -> Json {
        json!({"error": self.0, "details": self.1})
    }
}

/// The row that a name in a transaction stands for; none where there are no names.
pub type Names<'a> = Option<&'a dyn Fn(&str) -> Uuid>;

fn bad(what: impl Into<String>) -> Refused {
    Refused("syntax error", what.into())
}

impl Atom {
    pub(super) fn default_of(kind: Kind) -> Atom {
        match kind {
            Kind::Integer => Atom::Integer(0),
            Kind::Real => Atom::real(0.0),
            Kind::Boolean => Atom::Boolean(false),
            Kind::String => Atom::String(String::new()),
            Kind::Uuid => Atom::Uuid(Uuid::nil()),
        }
    }

    /// The number, if it is one without a fraction.
    pub(super) fn integer(&self) -> Option<i64> {
        match self {
            Atom::Integer(number) => Some(*number),
            Atom::Real(_) | Atom::Boolean(_) | Atom::String(_) | Atom::Uuid(_) => None,
        }
    }

    /// A number with a fraction.
    pub fn real(number: f64) -> Atom {
        let bits = (number + 0.0).to_bits() as i64;
        Atom::Real(bits ^ ((bits >> 63) as u64 >> 1) as i64)
    }

    fn as_real(bits: i64) -> f64 {
        f64::from_bits((bits ^ ((bits >> 63) as u64 >> 1) as i64) as u64)
    }

    pub(super) fn read(kind: Kind, json: &Json, names: Names<'_>) -> Result<Atom, Refused> {
        let atom = match kind {
            Kind::Integer => json.as_i64().map(Atom::Integer),
            Kind::Real => json.as_f64().map(Atom::real),
            Kind::Boolean => json.as_bool().map(Atom::Boolean),
            Kind::String => json.as_str().map(|text| Atom::String(text.to_string())),
            Kind::Uuid => match (json[0].as_str(), json[1].as_str()) {
                (Some("uuid"), Some(text)) => text.parse().ok().map(Atom::Uuid),
                (Some("named-uuid"), Some(name)) => names.map(|names| Atom::Uuid(names(name))),
                _ => None,
            },
        };
        atom.ok_or_else(|| bad(format!("{json} is no {kind:?}")))
    }

    /// As JSON.
    pub fn json(&self) -> Json {
        match self {
            Atom::Integer(number) => json!(number),
            Atom::Real(bits) => json!(Atom::as_real(*bits)),
            Atom::Boolean(truth) => json!(truth),
            Atom::String(text) => json!(text),
            Atom::Uuid(uuid) => json!(["uuid", uuid.to_string()]),
        }
    }
}

impl Base {
    /// The same kind, without bounds.
    pub(super) fn unbounded(&self) -> Base {
        Base { one_of: None, integer_min: i64::MIN, integer_max: i64::MAX, ..self.clone() }
    }

    fn check(&self, atom: &Atom) -> Result<(), Refused> {
        let violation = |what: String| Err(Refused("constraint violation", what));
        if self.one_of.as_ref().is_some_and(|set| !set.contains(atom)) {
            return violation(format!("{} is not one of the allowed values", atom.json()));
        }
        match atom {
            Atom::Integer(number) if !(self.integer_min..=self.integer_max).contains(number) => {
                violation(format!("{number} is not in the valid range {} to {}", self.integer_min, self.integer_max))
            }
            _ => Ok(()),
        }
    }
}

impl Value {
    /// One atom.
    pub fn one(atom: Atom) -> Value {
        Value::Set(BTreeSet::from([atom]))
    }

    /// Texts.
    pub fn strings<'a>(texts: impl IntoIterator<Item = &'a str>) -> Value {
        Value::Set(texts.into_iter().map(|text| Atom::String(text.to_string())).collect())
    }

    /// Reads JSON as a value of a column.
    ///
    /// # Errors
    /// Why it is none. As in ovsdb-server, a wrong number of elements is an error of syntax here, though not where a
    /// mutation comes to it.
    pub fn read(column: &Column, json: &Json, names: Names<'_>) -> Result<Value, Refused> {
        let atom = |base: &Base, json: &Json| {
            let atom = Atom::read(base.kind, json, names)?;
            base.check(&atom).map(|()| atom)
        };
        let (elements, class) = match (&column.value, json[0].as_str()) {
            (Some(_), _) => (&json[1], "map"),
            (None, Some("set")) => (&json[1], "set"),
            (None, _) => return Ok(Value::one(atom(&column.key, json)?)),
        };
        let elements = elements.as_array().filter(|_| json[0] == class && json[2].is_null());
        let elements = elements.ok_or_else(|| bad(format!("{json} is no {class}")))?;
        if elements.len() < column.min || elements.len() > column.max {
            return Err(bad(format!("{} values; it must be {} to {}", elements.len(), column.min, column.max)));
        }
        let twice = |key: &Atom| Err(Refused("constraint violation", format!("{} is there twice", key.json())));
        match &column.value {
            None => {
                let mut atoms = BTreeSet::new();
                for json in elements {
                    let key = atom(&column.key, json)?;
                    if !atoms.insert(key.clone()) {
                        return twice(&key);
                    }
                }
                Ok(Value::Set(atoms))
            }
            Some(value) => {
                let mut pairs = BTreeMap::new();
                for json in elements {
                    let pair = json.as_array().filter(|pair| pair.len() == 2);
                    let pair = pair.ok_or_else(|| bad(format!("{json} is no pair")))?;
                    let key = atom(&column.key, &pair[0])?;
                    if pairs.insert(key.clone(), atom(value, &pair[1])?).is_some() {
                        return twice(&key);
                    }
                }
                Ok(Value::Map(pairs))
            }
        }
    }

    /// Whether a column may hold it.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, column: &Column) -> Result<(), Refused> {
        if self.len() < column.min || self.len() > column.max {
            let what = format!("{} values; it must be {} to {}", self.len(), column.min, column.max);
            return Err(Refused("constraint violation", what));
        }
        match self {
            Value::Set(atoms) => atoms.iter().try_for_each(|atom| column.key.check(atom)),
            Value::Map(pairs) => pairs.iter().try_for_each(|(key, value)| {
                column.key.check(key)?;
                column.value.as_ref().map_or(Ok(()), |base| base.check(value))
            }),
        }
    }

    /// How many elements it has.
    pub fn len(&self) -> usize {
        match self {
            Value::Set(atoms) => atoms.len(),
            Value::Map(pairs) => pairs.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As JSON: a set of one element is written as that (RFC 7047, section 5.1).
    pub fn json(&self) -> Json {
        match self {
            Value::Set(atoms) => match (atoms.len(), atoms.first()) {
                (1, Some(atom)) => atom.json(),
                _ => json!(["set", atoms.iter().map(Atom::json).collect::<Vec<_>>()]),
            },
            Value::Map(pairs) => {
                json!(["map", pairs.iter().map(|(k, v)| json!([k.json(), v.json()])).collect::<Vec<_>>()])
            }
        }
    }

    /// What, given the old value, makes this one of it: the form of `update2` (ovsdb-server(7)).
    pub fn difference(&self, old: &Value, column: &Column) -> Value {
        match (self, old) {
            (Value::Set(new), Value::Set(old)) if column.max > 1 => {
                Value::Set(new.symmetric_difference(old).cloned().collect())
            }
            (Value::Map(new), Value::Map(old)) => {
                let changed = new.iter().filter(|(key, value)| old.get(*key) != Some(*value));
                let gone = old.iter().filter(|(key, _)| !new.contains_key(*key));
                Value::Map(changed.chain(gone).map(|(k, v)| (k.clone(), v.clone())).collect())
            }
            _ => self.clone(),
        }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Set(atoms) => match atoms.first() {
                Some(Atom::String(text)) => Some(text),
                _ => None,
            },
            Value::Map(_) => None,
        }
    }

    /// The number, if it is one.
    pub fn number(&self) -> Option<i64> {
        match self {
            Value::Set(atoms) => match atoms.first() {
                Some(Atom::Integer(number)) => Some(*number),
                _ => None,
            },
            Value::Map(_) => None,
        }
    }

    /// The rows that it refers to as keys or elements.
    pub fn uuids(&self) -> Vec<Uuid> {
        let atoms: Box<dyn Iterator<Item = &Atom>> = match self {
            Value::Set(atoms) => Box::new(atoms.iter()),
            Value::Map(pairs) => Box::new(pairs.iter().flat_map(|(key, value)| [key, value])),
        };
        let uuid = |atom: &Atom| match atom {
            Atom::Uuid(uuid) => Some(*uuid),
            _ => None,
        };
        atoms.filter_map(uuid).collect()
    }

    /// A text of a map, by its key.
    pub fn entry(&self, key: &str) -> Option<&str> {
        match self {
            Value::Map(pairs) => match pairs.get(&Atom::String(key.to_string())) {
                Some(Atom::String(text)) => Some(text),
                _ => None,
            },
            Value::Set(_) => None,
        }
    }
}
