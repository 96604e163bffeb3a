//! OVSDB values (RFC 7047 section 5.1): atoms, sets of atoms and maps between atoms.
//!
//! A set of one and its only atom are the same value, on the wire and here: [`Value::set`] turns the one
//! into the other, and there is no other way to make a set. What type a column has, only a
//! [`schema`](super::schema) knows; so an empty set and an empty map differ here, and nothing else is assumed.

use serde_json::{Value as Json, json};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Longest excerpt of a peer's JSON in an error, in characters.
const EXCERPT_LEN_MAX: usize = 80;

/// A real number: finite, since JSON has no others, and with a single zero.
#[derive(Clone, Copy, Debug)]
pub struct Real(f64);

impl Real {
    /// `None` for infinities and NaN.
    pub fn new(number: f64) -> Option<Self> {
        // Adding zero turns -0.0 into 0.0, as Open vSwitch does.
        number.is_finite().then_some(Self(number + 0.0))
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Ord for Real {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Real {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Real {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Real {}

/// A single value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Atom {
    /// 64 bits, signed.
    Integer(i64),
    /// Written with a decimal point or an exponent.
    Real(Real),
    /// `true` or `false`.
    Boolean(bool),
    /// UTF-8.
    String(String),
    /// Names a row.
    Uuid(Uuid),
    /// Names a row that the same transaction inserts.
    NamedUuid(String),
}

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// One atom, or the set of it.
    Atom(Atom),
    /// No atom, or several.
    Set(AtomSet),
    /// Keys and their values.
    Map(BTreeMap<Atom, Atom>),
}

/// Atoms in order without repetition: none, or more than one.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AtomSet(Vec<Atom>);

/// JSON that is no OVSDB value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}: {excerpt}")]
pub struct ValueError {
    /// What is wrong.
    pub problem: &'static str,
    /// The start of the offending JSON.
    pub excerpt: String,
}

impl ValueError {
    fn new(problem: &'static str, json: &Json) -> Self {
        Self { problem, excerpt: excerpt(json) }
    }
}

/// The start of some JSON, short enough for an error message.
pub(super) fn excerpt(json: &Json) -> String {
    json.to_string().chars().take(EXCERPT_LEN_MAX).collect()
}

impl Atom {
    /// Reads an `<atom>`, `<uuid>` or `<named-uuid>`.
    pub fn parse(json: &Json) -> Result<Self, ValueError> {
        match json {
            Json::Bool(boolean) => Ok(Self::Boolean(*boolean)),
            Json::String(string) => Ok(Self::String(string.clone())),
            Json::Number(number) => match (number.as_i64(), number.as_f64().and_then(Real::new)) {
                (Some(integer), _) => Ok(Self::Integer(integer)),
                (None, Some(real)) if number.is_f64() => Ok(Self::Real(real)),
                (None, _) => Err(ValueError::new("number out of range", json)),
            },
            Json::Array(pair) => Self::parse_reference(pair).ok_or_else(|| ValueError::new("not a value", json)),
            Json::Null | Json::Object(_) => Err(ValueError::new("not a value", json)),
        }
    }

    fn parse_reference(pair: &[Json]) -> Option<Self> {
        match pair {
            [Json::String(tag), Json::String(id)] if tag == "uuid" => parse_uuid(id).map(Self::Uuid),
            [Json::String(tag), Json::String(id)] if tag == "named-uuid" => Some(Self::NamedUuid(id.clone())),
            _ => None,
        }
    }

    /// As JSON.
    pub fn encode(&self) -> Json {
        match self {
            Self::Integer(integer) => json!(integer),
            Self::Real(real) => json!(real.get()),
            Self::Boolean(boolean) => json!(boolean),
            Self::String(string) => json!(string),
            Self::Uuid(uuid) => json!(["uuid", uuid.to_string()]),
            Self::NamedUuid(name) => json!(["named-uuid", name]),
        }
    }

    /// About how much memory it takes, in bytes.
    fn weight(&self) -> usize {
        let heap = match self {
            Self::String(string) | Self::NamedUuid(string) => string.len(),
            Self::Integer(_) | Self::Real(_) | Self::Boolean(_) | Self::Uuid(_) => 0,
        };
        size_of::<Self>() + heap
    }
}

/// The one spelling of a UUID that RFC 7047 section 3.1 allows: 8-4-4-4-12 digits.
pub(super) fn parse_uuid(text: &str) -> Option<Uuid> {
    const HYPHENATED_LEN: usize = 36;
    (text.len() == HYPHENATED_LEN).then(|| Uuid::try_parse(text).ok()).flatten()
}

impl Value {
    /// The set of these atoms; of one atom, the atom.
    pub fn set(atoms: impl IntoIterator<Item = Atom>) -> Self {
        let mut atoms: Vec<Atom> = atoms.into_iter().collect();
        atoms.sort();
        atoms.dedup();
        match <[Atom; 1]>::try_from(atoms) {
            Ok([atom]) => Self::Atom(atom),
            Err(atoms) => Self::Set(AtomSet(atoms)),
        }
    }

    /// The set of these strings.
    pub fn string_set<'a>(strings: impl IntoIterator<Item = &'a str>) -> Self {
        Self::set(strings.into_iter().map(Atom::from))
    }

    /// The map of these strings to strings.
    pub fn string_map<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self::Map(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }

    /// Reads a `<value>`. A set or a map that repeats itself is an error, as in Open vSwitch.
    pub fn parse(json: &Json) -> Result<Self, ValueError> {
        match json.as_array().map(Vec::as_slice) {
            Some([Json::String(tag), Json::Array(elements)]) if tag == "set" => {
                let atoms = elements.iter().map(Atom::parse).collect::<Result<BTreeSet<_>, _>>()?;
                match atoms.len() == elements.len() {
                    true => Ok(Self::set(atoms)),
                    false => Err(ValueError::new("set with a duplicate", json)),
                }
            }
            Some([Json::String(tag), Json::Array(pairs)]) if tag == "map" => {
                let map = pairs.iter().map(parse_pair).collect::<Result<BTreeMap<_, _>, _>>()?;
                match map.len() == pairs.len() {
                    true => Ok(Self::Map(map)),
                    false => Err(ValueError::new("map with a duplicate key", json)),
                }
            }
            _ => Atom::parse(json).map(Self::Atom),
        }
    }

    /// As JSON.
    pub fn encode(&self) -> Json {
        match self {
            Self::Atom(atom) => atom.encode(),
            Self::Set(atoms) => {
                let atoms: Vec<Json> = atoms.0.iter().map(Atom::encode).collect();
                json!(["set", atoms])
            }
            Self::Map(map) => {
                let pairs: Vec<Json> = map.iter().map(|(key, value)| json!([key.encode(), value.encode()])).collect();
                json!(["map", pairs])
            }
        }
    }

    /// The atoms of a set, in order; a map has none.
    pub fn atoms(&self) -> &[Atom] {
        match self {
            Self::Atom(atom) => std::slice::from_ref(atom),
            Self::Set(atoms) => &atoms.0,
            Self::Map(_) => &[],
        }
    }

    /// The string that this is.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Atom(Atom::String(string)) => Some(string),
            _ => None,
        }
    }

    /// The integer that this is.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Atom(Atom::Integer(integer)) => Some(*integer),
            _ => None,
        }
    }

    /// The boolean that this is.
    pub fn as_boolean(&self) -> Option<bool> {
        match self {
            Self::Atom(Atom::Boolean(boolean)) => Some(*boolean),
            _ => None,
        }
    }

    /// The set of rows that this names; `None` if it is anything else. A reference is a set of one.
    pub fn as_uuids(&self) -> Option<BTreeSet<Uuid>> {
        let uuid = |atom: &Atom| match atom {
            Atom::Uuid(uuid) => Some(*uuid),
            _ => None,
        };
        self.as_set()?.iter().map(uuid).collect()
    }

    /// The set of strings that this is.
    pub fn as_strings(&self) -> Option<BTreeSet<String>> {
        self.as_set()?.iter().map(Atom::to_string_atom).collect()
    }

    /// The map of strings that this is.
    pub fn as_string_map(&self) -> Option<BTreeMap<String, String>> {
        let pair = |(key, value): (&Atom, &Atom)| Some((key.to_string_atom()?, value.to_string_atom()?));
        match self {
            Self::Map(map) => map.iter().map(pair).collect(),
            Self::Atom(_) | Self::Set(_) => None,
        }
    }

    fn as_set(&self) -> Option<&[Atom]> {
        match self {
            Self::Atom(_) | Self::Set(_) => Some(self.atoms()),
            Self::Map(_) => None,
        }
    }

    /// About how much memory it takes, in bytes.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Atom(atom) => atom.weight(),
            Self::Set(atoms) => size_of::<Self>() + atoms.0.iter().map(Atom::weight).sum::<usize>(),
            Self::Map(map) => {
                size_of::<Self>() + map.iter().map(|(key, value)| key.weight() + value.weight()).sum::<usize>()
            }
        }
    }
}

impl Atom {
    fn to_string_atom(&self) -> Option<String> {
        match self {
            Self::String(string) => Some(string.clone()),
            _ => None,
        }
    }
}

fn parse_pair(json: &Json) -> Result<(Atom, Atom), ValueError> {
    match json.as_array().map(Vec::as_slice) {
        Some([key, value]) => Ok((Atom::parse(key)?, Atom::parse(value)?)),
        _ => Err(ValueError::new("not a pair of a map", json)),
    }
}

impl From<&str> for Atom {
    fn from(string: &str) -> Self {
        Self::String(string.to_owned())
    }
}

impl From<i64> for Atom {
    fn from(integer: i64) -> Self {
        Self::Integer(integer)
    }
}

impl From<bool> for Atom {
    fn from(boolean: bool) -> Self {
        Self::Boolean(boolean)
    }
}

impl From<Uuid> for Atom {
    fn from(uuid: Uuid) -> Self {
        Self::Uuid(uuid)
    }
}

impl<T: Into<Atom>> From<T> for Value {
    fn from(atom: T) -> Self {
        Self::Atom(atom.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Value) {
        let json: Json = serde_json::from_str(text).expect("JSON");
        assert_eq!(Value::parse(&json), Ok(expected.clone()), "{text}");
        assert_eq!(Value::parse(&expected.encode()), Ok(expected), "{text}, encoded again");
    }

    fn check_error(text: &str, expected: &str) {
        let json: Json = serde_json::from_str(text).expect("JSON");
        assert_eq!(Value::parse(&json).expect_err(text).to_string(), expected);
    }

    #[test]
    fn values_of_each_form() {
        let uuid = Uuid::from_u128(0x01234567_89ab_cdef_0123_456789abcdef);
        check("-7", (-7).into());
        check("7.5", Atom::Real(Real::new(7.5).expect("finite")).into());
        check("-0.0", Atom::Real(Real::new(0.0).expect("finite")).into());
        check("true", true.into());
        check("\"set\"", "set".into());
        check(r#"["uuid","01234567-89ab-cdef-0123-456789abcdef"]"#, uuid.into());
        check(r#"["named-uuid","row1"]"#, Atom::NamedUuid("row1".to_owned()).into());
        check(r#"["set",[]]"#, Value::set([]));
        check(r#"["set",["a"]]"#, "a".into());
        check(r#"["set",["b","a"]]"#, Value::string_set(["a", "b"]));
        check(r#"["map",[]]"#, Value::string_map([]));
        check(r#"["map",[["a","1"],["b","2"]]]"#, Value::string_map([("b", "2"), ("a", "1")]));
    }

    #[test]
    fn a_set_of_one_is_written_as_its_atom() {
        assert_eq!(Value::set(["a".into(), "a".into()]).encode(), json!("a"));
        assert_eq!(Value::string_set(["a"]).atoms(), ["a".into()]);
    }

    #[test]
    fn what_is_no_value_is_quoted() {
        check_error("null", "not a value: null");
        check_error("{}", "not a value: {}");
        check_error(r#"["uuid","0123"]"#, r#"not a value: ["uuid","0123"]"#);
        let simple = r#"["uuid","0123456789abcdef0123456789abcdef"]"#;
        check_error(simple, &format!("not a value: {simple}"));
        check_error(r#"["set",[["set",[]]]]"#, r#"not a value: ["set",[]]"#);
        check_error(r#"["set",[1,1]]"#, r#"set with a duplicate: ["set",[1,1]]"#);
        check_error(r#"["map",[[1]]]"#, "not a pair of a map: [1]");
        check_error(r#"["map",[[1,2],[1,3]]]"#, r#"map with a duplicate key: ["map",[[1,2],[1,3]]]"#);
        check_error("9223372036854775808", "number out of range: 9223372036854775808");
        let long = json!("x".repeat(500));
        assert_eq!(excerpt(&long).len(), EXCERPT_LEN_MAX);
    }

    #[test]
    fn getters_refuse_other_types() {
        assert_eq!(Value::from("a").as_str(), Some("a"));
        assert_eq!(Value::from("a").as_integer(), None);
        assert_eq!(Value::from("a").as_uuids(), None);
        assert_eq!(Value::from(Uuid::nil()).as_uuids(), Some(BTreeSet::from([Uuid::nil()])));
        assert_eq!(Value::set([]).as_uuids(), Some(BTreeSet::new()));
        assert_eq!(Value::set([]).as_string_map(), None);
        assert_eq!(Value::string_map([]).as_strings(), None);
        assert_eq!(Value::set([Atom::from(1), Atom::from("a")]).as_strings(), None);
    }
}
