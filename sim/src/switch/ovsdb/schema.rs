//! The Open_vSwitch schema, read from the JSON that Open vSwitch itself ships (RFC 7047, section 3.2).
//!
//! Start at [`Schema::open_vswitch`].

use super::value::{Atom, Value};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};

/// The schema as Open vSwitch 3.1 ships it (Apache-2.0).
pub const OPEN_VSWITCH: &str = include_str!("vswitch.ovsschema");

/// A database's schema.
#[derive(Clone, Debug)]
pub struct Schema {
    /// As JSON, for who asks.
    pub json: Json,
    /// Its name.
    pub name: String,
    /// Its tables.
    pub tables: BTreeMap<String, Table>,
}

/// A table.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its columns.
    pub columns: BTreeMap<String, Column>,
    /// Rows stay though nothing refers to them.
    pub is_root: bool,
    /// Most rows.
    pub rows_max: usize,
    /// Columns that together are different in each row.
    pub indexes: Vec<Vec<String>>,
}

/// A column's type.
#[derive(Clone, Debug)]
pub struct Column {
    /// Of its elements, or of its keys.
    pub key: Base,
    /// Of its values, if it is a map.
    pub value: Option<Base>,
    /// Least number of elements.
    pub min: usize,
    /// Most elements.
    pub max: usize,
    /// Whether it may change after insertion.
    pub mutable: bool,
}

impl Column {
    /// The type of `_uuid`, which every table has without its schema saying so (RFC 7047, section 3.2).
    pub fn of_uuid() -> Column {
        let key = Base {
            kind: Kind::Uuid,
            one_of: None,
            integer_min: i64::MIN,
            integer_max: i64::MAX,
            refers_to: None,
            strong: false,
        };
        Column { key, value: None, min: 1, max: 1, mutable: false }
    }
}

/// The kind of an atom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `integer`.
    Integer,
    /// `real`.
    Real,
    /// `boolean`.
    Boolean,
    /// `string`.
    String,
    /// `uuid`.
    Uuid,
}

/// What an atom may be.
#[derive(Clone, Debug)]
pub struct Base {
    /// Its kind.
    pub kind: Kind,
    /// One of these, if given.
    pub one_of: Option<BTreeSet<Atom>>,
    /// Least integer.
    pub integer_min: i64,
    /// Greatest integer.
    pub integer_max: i64,
    /// A row of this table, if given.
    pub refers_to: Option<String>,
    /// The row must exist, and exists because it is referred to.
    pub strong: bool,
}

impl Schema {
    /// Open vSwitch's.
    ///
    /// # Panics
    /// Never: the text is part of this crate, and a test reads it.
    pub fn open_vswitch() -> Schema {
        let json: Json = serde_json::from_str(OPEN_VSWITCH).expect("the shipped schema is JSON");
        Schema::read(json).expect("the shipped schema is a schema")
    }

    fn read(mut json: Json) -> Option<Schema> {
        leave_out_defaults(&mut json);
        let name = json["name"].as_str()?.to_string();
        let tables = json["tables"].as_object()?;
        let tables =
            tables.iter().map(|(name, table)| Some((name.clone(), read_table(table)?))).collect::<Option<_>>()?;
        Some(Schema { name, tables, json })
    }

    /// A column's type; the two that every row has are not among them.
    pub fn column(&self, table: &str, column: &str) -> Option<&Column> {
        self.tables.get(table)?.columns.get(column)
    }
}

/// What need not be said is not, as in what ovsdb-server answers to `get_schema`.
fn leave_out_defaults(json: &mut Json) {
    match json {
        Json::Object(members) => {
            members.values_mut().for_each(leave_out_defaults);
            members.retain(|name, member| match name.as_str() {
                "min" | "max" => *member != 1,
                "refType" => *member != "strong",
                _ => true,
            });
            // What says only of which kind it is, is its kind; what has only a key, is the key.
            for (name, only) in [("key", "type"), ("value", "type"), ("type", "key")] {
                if let Some(Json::Object(inner)) = members.get(name)
                    && let (1, Some(kind @ Json::String(_))) = (inner.len(), inner.get(only))
                {
                    let kind = kind.clone();
                    members.insert(name.to_string(), kind);
                }
            }
        }
        Json::Array(elements) => elements.iter_mut().for_each(leave_out_defaults),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

fn read_table(json: &Json) -> Option<Table> {
    let columns = json["columns"].as_object()?;
    let columns =
        columns.iter().map(|(name, column)| Some((name.clone(), read_column(column)?))).collect::<Option<_>>()?;
    let names = |index: &Json| -> Vec<String> {
        index.as_array().into_iter().flatten().filter_map(|name| name.as_str().map(str::to_string)).collect()
    };
    Some(Table {
        columns,
        is_root: json["isRoot"].as_bool().unwrap_or(false),
        rows_max: json["maxRows"].as_u64().map_or(usize::MAX, |max| max as usize),
        indexes: json["indexes"].as_array().into_iter().flatten().map(names).collect(),
    })
}

fn read_column(json: &Json) -> Option<Column> {
    let kind = &json["type"];
    let is_plain = kind.is_string();
    let bound = |name: &str| match &kind[name] {
        Json::Number(number) => number.as_u64().map_or(1, |number| number as usize),
        Json::String(_) => usize::MAX,
        _ => 1,
    };
    let key = read_base(if is_plain { kind } else { &kind["key"] })?;
    let value = match kind.get("value") {
        Some(value) => Some(read_base(value)?),
        None => None,
    };
    let mutable = json["mutable"].as_bool().unwrap_or(true);
    Some(Column { key, value, min: bound("min"), max: bound("max"), mutable })
}

fn read_base(json: &Json) -> Option<Base> {
    let kind = match json.as_str().or_else(|| json["type"].as_str())? {
        "integer" => Kind::Integer,
        "real" => Kind::Real,
        "boolean" => Kind::Boolean,
        "string" => Kind::String,
        "uuid" => Kind::Uuid,
        _ => return None,
    };
    let one_of = json.get("enum").and_then(|set| match set {
        Json::Array(parts) => {
            Some(parts.get(1)?.as_array()?.iter().filter_map(|atom| Atom::read(kind, atom, None).ok()).collect())
        }
        atom => Some(BTreeSet::from([Atom::read(kind, atom, None).ok()?])),
    });
    Some(Base {
        kind,
        one_of,
        integer_min: json["minInteger"].as_i64().unwrap_or(i64::MIN),
        integer_max: json["maxInteger"].as_i64().unwrap_or(i64::MAX),
        refers_to: json["refTable"].as_str().map(str::to_string),
        strong: json["refType"].as_str() != Some("weak"),
    })
}

impl Column {
    /// The same type, of so many elements.
    pub(super) fn sized(&self, min: usize, max: usize) -> Column {
        Column { min, max, ..self.clone() }
    }

    /// Whether it holds at most one number, so that it has an order.
    pub(super) fn is_number(&self) -> bool {
        self.value.is_none() && self.max == 1 && matches!(self.key.kind, Kind::Integer | Kind::Real)
    }

    /// Whether it holds exactly one atom.
    pub fn is_scalar(&self) -> bool {
        self.value.is_none() && self.min == 1 && self.max == 1
    }

    /// What a row has if nothing was said (RFC 7047, section 5.2.1).
    pub fn default_value(&self) -> Value {
        match (self.min, &self.value) {
            (0, None) => Value::Set(BTreeSet::new()),
            (0, Some(_)) => Value::Map(BTreeMap::new()),
            (_, None) => Value::Set(BTreeSet::from([Atom::default_of(self.key.kind)])),
            (_, Some(value)) => {
                Value::Map(BTreeMap::from([(Atom::default_of(self.key.kind), Atom::default_of(value.kind))]))
            }
        }
    }
}
