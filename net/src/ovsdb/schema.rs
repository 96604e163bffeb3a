//! Which tables and columns we watch, and what their columns hold.
//!
//! A switch's own schema is larger and differs between versions; this is the part that we rely on. A
//! [`Column`] checks every value that a peer sends, so that whoever reads a row later finds what was declared.
//! It also knows how a difference is to be understood (`ovsdb-server(7)`, "Update2 Notification").

use super::value::{Atom, Value};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// The tables that a session watches.
#[derive(Debug)]
pub struct Schema {
    /// The database they are in.
    pub database: &'static str,
    /// The tables, each once.
    pub tables: &'static [Table],
}

impl Schema {
    /// The table of that name, if it is watched.
    pub fn table(&self, name: &str) -> Option<&'static Table> {
        self.tables.iter().find(|table| table.name == name)
    }
}

/// A table, as far as it is watched.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// The columns, each once.
    pub columns: &'static [Column],
}

impl Table {
    /// Where in `columns` the column of that name is.
    pub fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|candidate| candidate.name == column)
    }
}

/// A column that is watched.
#[derive(Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// How many atoms it holds.
    pub shape: Shape,
    /// The type of its atoms; of a map, that of its keys and of its values.
    pub base: Base,
}

/// How many atoms a column holds (RFC 7047 section 3.2, `min` and `max`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Exactly one.
    One,
    /// None or one.
    Optional,
    /// Any number, unordered.
    Set,
    /// Any number of pairs.
    Map,
}

/// The types of atoms that we watch. Reals appear in statistics only, which we do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// 64 bits, signed.
    Integer,
    /// True or false.
    Boolean,
    /// UTF-8.
    String,
    /// A reference to a row.
    Uuid,
}

impl Base {
    fn describes(self, atom: &Atom) -> bool {
        match atom {
            Atom::Integer(_) => self == Self::Integer,
            Atom::Boolean(_) => self == Self::Boolean,
            Atom::String(_) => self == Self::String,
            Atom::Uuid(_) => self == Self::Uuid,
            Atom::Real(_) | Atom::NamedUuid(_) => false,
        }
    }

    fn default_atom(self) -> Atom {
        match self {
            Self::Integer => Atom::Integer(0),
            Self::Boolean => Atom::Boolean(false),
            Self::String => Atom::String(String::new()),
            Self::Uuid => Atom::Uuid(Uuid::nil()),
        }
    }
}

impl Column {
    /// A column of exactly one atom.
    pub const fn one(name: &'static str, base: Base) -> Self {
        Self { name, shape: Shape::One, base }
    }

    /// A column of at most one atom.
    pub const fn optional(name: &'static str, base: Base) -> Self {
        Self { name, shape: Shape::Optional, base }
    }

    /// A column of any number of atoms.
    pub const fn set(name: &'static str, base: Base) -> Self {
        Self { name, shape: Shape::Set, base }
    }

    /// A column of pairs of strings.
    pub const fn string_map(name: &'static str) -> Self {
        Self { name, shape: Shape::Map, base: Base::String }
    }

    /// What the column holds in a row that does not say (RFC 7047 section 5.2.1, "insert"). Initial and inserted
    /// rows leave such columns out.
    pub fn default_value(&self) -> Value {
        match self.shape {
            Shape::One => self.base.default_atom().into(),
            Shape::Optional | Shape::Set => Value::set([]),
            Shape::Map => Value::string_map([]),
        }
    }

    /// Whether the column can hold `value`.
    pub fn admits(&self, value: &Value) -> bool {
        let atoms = value.atoms();
        let fits = match (self.shape, value) {
            (Shape::Map, Value::Map(map)) => map.iter().all(|(k, v)| self.base.describes(k) && self.base.describes(v)),
            (Shape::One, Value::Atom(_) | Value::Set(_)) => atoms.len() == 1,
            (Shape::Optional, Value::Atom(_) | Value::Set(_)) => atoms.len() <= 1,
            (Shape::Set, Value::Atom(_) | Value::Set(_)) => true,
            (Shape::Map, Value::Atom(_) | Value::Set(_)) => false,
            (Shape::One | Shape::Optional | Shape::Set, Value::Map(_)) => false,
        };
        fits && atoms.iter().all(|atom| self.base.describes(atom))
    }

    /// What becomes of `old` by a difference that an `update2` or `update3` reports.
    ///
    /// A column of at most one atom: the difference is the new value. A set: what it names comes or goes. A map: a pair
    /// that is there goes, any other is set, whether or not its key was there.
    pub fn apply_difference(&self, old: &Value, difference: Value) -> Value {
        match (self.shape, old, difference) {
            (Shape::Set, old, difference) => {
                let old: BTreeSet<&Atom> = old.atoms().iter().collect();
                let toggled: BTreeSet<&Atom> = difference.atoms().iter().collect();
                Value::set(old.symmetric_difference(&toggled).map(|atom| (*atom).clone()))
            }
            (Shape::Map, Value::Map(old), Value::Map(difference)) => Value::Map(toggle_pairs(old.clone(), difference)),
            (Shape::One | Shape::Optional | Shape::Map, _, difference) => difference,
        }
    }
}

fn toggle_pairs(mut map: BTreeMap<Atom, Atom>, difference: BTreeMap<Atom, Atom>) -> BTreeMap<Atom, Atom> {
    for (key, value) in difference {
        match map.get(&key) == Some(&value) {
            true => map.remove(&key),
            false => map.insert(key, value),
        };
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_difference(column: &Column, old: Value, difference: Value, expected: Value) {
        assert!(column.admits(&old) && column.admits(&expected), "the test is about values of the column");
        assert_eq!(column.apply_difference(&old, difference), expected);
    }

    #[test]
    fn differences_apply_by_shape_and_value() {
        let one = Column::one("type", Base::String);
        check_difference(&one, "a".into(), "b".into(), "b".into());
        let optional = Column::optional("tag", Base::Integer);
        check_difference(&optional, 1.into(), 2.into(), 2.into());
        check_difference(&optional, 1.into(), Value::set([]), Value::set([]));
        let set = Column::set("ports", Base::String);
        check_difference(&set, "a".into(), "b".into(), Value::string_set(["a", "b"]));
        check_difference(
            &set,
            Value::string_set(["a", "b"]),
            Value::string_set(["b", "c"]),
            Value::string_set(["a", "c"]),
        );
        check_difference(&set, "a".into(), "a".into(), Value::set([]));
        let map = Column::string_map("external_ids");
        let pair = |value| Value::string_map([("x", value)]);
        check_difference(&map, pair("y"), pair("z"), pair("z"));
        check_difference(&map, pair("z"), pair("z"), Value::string_map([]));
        check_difference(&map, Value::string_map([]), pair("z"), pair("z"));
    }

    #[test]
    fn columns_admit_their_type_only() {
        let check = |column: Column, value: Value, expected| {
            assert_eq!(column.admits(&value), expected, "{} {value:?}", column.name);
            assert!(column.admits(&column.default_value()), "{}: the default fits", column.name);
        };
        check(Column::one("a", Base::String), "x".into(), true);
        check(Column::one("a", Base::String), 1.into(), false);
        check(Column::one("a", Base::String), Value::set([]), false);
        check(Column::one("a", Base::String), Value::string_map([]), false);
        check(Column::optional("a", Base::Boolean), Value::set([true.into(), false.into()]), false);
        check(Column::set("a", Base::Uuid), Uuid::nil().into(), true);
        check(Column::set("a", Base::Uuid), Value::set([Uuid::nil().into(), 1.into()]), false);
        check(Column::string_map("a"), Value::set([]), false);
        check(Column::string_map("a"), Value::string_map([("k", "v")]), true);
        check(Column::string_map("a"), Value::Map([(1.into(), "v".into())].into()), false);
    }
}
