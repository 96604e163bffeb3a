//! Our copy of the tables that a [`Schema`] names, kept up by a monitor.
//!
//! A monitor's answer and its notices come in three dialects, see [`Dialect`]; a [`Replica`] takes them all.
//! What holds: every row has a value of the declared type in every declared column, and the copy takes no more
//! memory than the limit given at construction. A peer that contradicts itself (a change to a row it never told of)
//! has lost us, and the session must start again: after an error the copy is not to be used.

use super::schema::{Column, Schema, Table};
use super::value::{Value, ValueError, parse_uuid};
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// The transaction id that asks for all rows, and which a database without history always answers.
const NO_TRANSACTION: &str = "00000000-0000-0000-0000-000000000000";

/// What the monitor is called in its notices.
const MONITOR_ID: &str = "selvedge";

/// How a monitor is asked for and how it reports; newer ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `monitor_cond_since`, `update3`: Open vSwitch 2.12 and later.
    CondSince,
    /// `monitor_cond`, `update2`: Open vSwitch 2.6 and later.
    Cond,
    /// `monitor`, `update`: RFC 7047 sections 4.1.5 and 4.1.6.
    Plain,
}

impl Dialect {
    /// The method that starts a monitor.
    pub fn method(self) -> &'static str {
        match self {
            Self::CondSince => "monitor_cond_since",
            Self::Cond => "monitor_cond",
            Self::Plain => "monitor",
        }
    }

    /// The method of its notices.
    pub fn notice(self) -> &'static str {
        match self {
            Self::CondSince => "update3",
            Self::Cond => "update2",
            Self::Plain => "update",
        }
    }

    /// What to try with a server that does not know this one.
    pub fn fallback(self) -> Option<Self> {
        match self {
            Self::CondSince => Some(Self::Cond),
            Self::Cond => Some(Self::Plain),
            Self::Plain => None,
        }
    }

    /// The parameters of [`method`](Self::method), for all rows of all tables of `schema`.
    pub fn params(self, schema: &Schema) -> Vec<Json> {
        let request = |table: &Table| {
            let columns: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
            (table.name.to_owned(), json!([{ "columns": columns }]))
        };
        let requests: Map<String, Json> = schema.tables.iter().map(request).collect();
        let mut params = vec![json!(schema.database), json!(MONITOR_ID), requests.into()];
        if self == Self::CondSince {
            params.push(json!(NO_TRANSACTION));
        }
        params
    }

    /// The rows in the answer to [`method`](Self::method).
    fn rows_of_reply(self, result: &Json) -> Result<&Json, ReplicaError> {
        match (self, result.as_array().map(Vec::as_slice)) {
            (Self::CondSince, Some([Json::Bool(false), _, rows])) => Ok(rows),
            (Self::CondSince, _) => Err(ReplicaError::Reply),
            (Self::Cond | Self::Plain, _) => Ok(result),
        }
    }

    /// The rows in the parameters of a [`notice`](Self::notice).
    fn rows_of_notice(self, params: &[Json]) -> Result<&Json, ReplicaError> {
        match (self, params) {
            (Self::CondSince, [id, _, rows]) | (Self::Cond | Self::Plain, [id, rows]) if id == MONITOR_ID => Ok(rows),
            _ => Err(ReplicaError::Notice { method: self.notice() }),
        }
    }
}

/// A row as it was told.
#[derive(Clone, Debug)]
pub struct Row {
    table: &'static Table,
    /// In the order of `table.columns`.
    values: Box<[Value]>,
}

impl Row {
    /// The value of a column, which must be one of those watched.
    pub fn get(&self, column: &str) -> &Value {
        let position = self.table.position(column);
        let value = position.and_then(|position| self.values.get(position));
        value.unwrap_or_else(|| panic!("{}.{column} is not watched", self.table.name))
    }

    /// The string in a column declared as one.
    pub fn string(&self, column: &str) -> String {
        self.optional_string(column).unwrap_or_else(|| self.misread(column))
    }

    /// The string in a column declared as optional.
    pub fn optional_string(&self, column: &str) -> Option<String> {
        self.get(column).as_str().map(str::to_owned)
    }

    /// The integer in a column declared as one.
    pub fn integer(&self, column: &str) -> i64 {
        self.optional_integer(column).unwrap_or_else(|| self.misread(column))
    }

    /// The integer in a column declared as optional.
    pub fn optional_integer(&self, column: &str) -> Option<i64> {
        self.get(column).as_integer()
    }

    /// The boolean in a column declared as one.
    pub fn boolean(&self, column: &str) -> bool {
        self.get(column).as_boolean().unwrap_or_else(|| self.misread(column))
    }

    /// The rows that a column declared as a set of UUIDs refers to.
    pub fn references(&self, column: &str) -> BTreeSet<Uuid> {
        self.get(column).as_uuids().unwrap_or_else(|| self.misread(column))
    }

    /// The strings in a column declared as a set of them.
    pub fn strings(&self, column: &str) -> BTreeSet<String> {
        self.get(column).as_strings().unwrap_or_else(|| self.misread(column))
    }

    /// The pairs in a column declared as a map of strings.
    pub fn string_map(&self, column: &str) -> BTreeMap<String, String> {
        self.get(column).as_string_map().unwrap_or_else(|| self.misread(column))
    }

    /// Whatever a peer sends, values have the type declared; so this is a reader at odds with the schema.
    fn misread(&self, column: &str) -> ! {
        panic!("{}.{column} is declared with another type than it is read", self.table.name)
    }

    fn with_defaults(table: &'static Table) -> Self {
        Self { table, values: table.columns.iter().map(Column::default_value).collect() }
    }

    /// Replaces the columns that `json` has by what `change` makes of the old value and the new.
    fn set(&mut self, json: &Json, change: impl Fn(&Column, &Value, Value) -> Value) -> Result<(), ReplicaError> {
        let table = self.table;
        for (name, json) in object(json, || format!("row of {}", table.name))? {
            let unknown = || ReplicaError::UnknownColumn { table: table.name, column: name.clone() };
            let position = table.position(name).ok_or_else(unknown)?;
            let column = &table.columns[position];
            let invalid = |source| ReplicaError::Value { table: table.name, column: column.name, source };
            let told = Value::parse(json).map_err(invalid)?;
            let value = change(column, &self.values[position], told);
            if !column.admits(&value) {
                return Err(ReplicaError::Type { table: table.name, column: column.name });
            }
            self.values[position] = value;
        }
        Ok(())
    }

    fn weight(&self) -> usize {
        size_of::<(Uuid, Self)>() + self.values.iter().map(Value::weight).sum::<usize>()
    }
}

/// Why what a peer told cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaError {
    /// The answer to a monitor request has the wrong form.
    #[error("reply to the monitor request is not [false, transaction, rows]")]
    Reply,
    /// A notice has the wrong form, or is for a monitor that we did not ask for.
    #[error("parameters of {method} are not those of our monitor")]
    Notice {
        /// The method of the notice.
        method: &'static str,
    },
    /// Not an object.
    #[error("{what} is not an object")]
    NotAnObject {
        /// What should have been one.
        what: String,
    },
    /// A table that we did not ask for.
    #[error("table {0} is not watched")]
    UnknownTable(String),
    /// A column that we did not ask for.
    #[error("column {column} of {table} is not watched")]
    UnknownColumn {
        /// The table.
        table: &'static str,
        /// What it was called.
        column: String,
    },
    /// A row's name is no UUID.
    #[error("{table} has a row {row:?}, which is no UUID")]
    NotAUuid {
        /// The table.
        table: &'static str,
        /// What it was called.
        row: String,
    },
    /// A column's value is no value at all.
    #[error("{table}.{column}: {source}")]
    Value {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// What is wrong with it.
        source: ValueError,
    },
    /// A column's value is of another type than the column.
    #[error("{table}.{column} has a value of the wrong type")]
    Type {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
    /// Neither initial nor insert nor modify nor delete.
    #[error("{table} row {row}: not a change to a row")]
    NotAChange {
        /// The table.
        table: &'static str,
        /// The row.
        row: Uuid,
    },
    /// A new row that we have already.
    #[error("{table} row {row} is told to be new, but exists")]
    RowExists {
        /// The table.
        table: &'static str,
        /// The row.
        row: Uuid,
    },
    /// A change to a row that we do not have.
    #[error("{table} row {row} is told to change or go, but is unknown")]
    NoSuchRow {
        /// The table.
        table: &'static str,
        /// The row.
        row: Uuid,
    },
    /// More than we want to hold.
    #[error("the watched tables take more than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
}

/// The tables, and how much memory they may take.
#[derive(Clone, Debug)]
pub struct Replica {
    schema: &'static Schema,
    tables: BTreeMap<&'static str, BTreeMap<Uuid, Row>>,
    weight: usize,
    weight_max: usize,
}

impl Replica {
    /// An empty copy that may grow to about `weight_max` bytes.
    pub fn new(schema: &'static Schema, weight_max: usize) -> Self {
        let tables = schema.tables.iter().map(|table| (table.name, BTreeMap::new())).collect();
        Self { schema, tables, weight: 0, weight_max }
    }

    /// The rows of a table, which must be one of those watched.
    pub fn table(&self, name: &str) -> &BTreeMap<Uuid, Row> {
        self.tables.get(name).unwrap_or_else(|| panic!("table {name} is not watched"))
    }

    /// What is watched.
    pub fn schema(&self) -> &'static Schema {
        self.schema
    }

    /// Takes the result of a monitor request.
    pub fn apply_reply(&mut self, dialect: Dialect, result: &Json) -> Result<(), ReplicaError> {
        self.apply(dialect, dialect.rows_of_reply(result)?).map(|_| ())
    }

    /// Takes the parameters of a notice, and returns the tables that it changed.
    pub fn apply_notice(&mut self, dialect: Dialect, params: &[Json]) -> Result<BTreeSet<&'static str>, ReplicaError> {
        self.apply(dialect, dialect.rows_of_notice(params)?)
    }

    fn apply(&mut self, dialect: Dialect, updates: &Json) -> Result<BTreeSet<&'static str>, ReplicaError> {
        let mut changed = BTreeSet::new();
        for (name, rows) in object(updates, || "table updates".to_owned())? {
            let table = self.schema.table(name).ok_or_else(|| ReplicaError::UnknownTable(name.clone()))?;
            for (row, json) in object(rows, || format!("updates of {name}"))? {
                let unreadable = || ReplicaError::NotAUuid { table: table.name, row: row.clone() };
                let row = parse_uuid(row).ok_or_else(unreadable)?;
                let not_a_change = ReplicaError::NotAChange { table: table.name, row };
                let change = Change::read(dialect, json).ok_or(not_a_change)?;
                self.apply_change(table, row, change)?;
                changed.insert(table.name);
            }
        }
        Ok(changed)
    }

    fn apply_change(&mut self, table: &'static Table, uuid: Uuid, change: Change<'_>) -> Result<(), ReplicaError> {
        let rows = self.tables.get_mut(table.name).expect("there is a map for each table of the schema");
        let old = rows.remove(&uuid);
        self.weight -= old.as_ref().map_or(0, Row::weight);
        let replace = |_: &Column, _: &Value, told: Value| told;
        let new = match (change, old) {
            (Change::Insert(_), Some(_)) => {
                return Err(ReplicaError::RowExists { table: table.name, row: uuid });
            }
            (Change::Insert(json), None) => {
                let mut row = Row::with_defaults(table);
                row.set(json, replace)?;
                row
            }
            (Change::Replace(json), Some(mut row)) => {
                row.set(json, replace)?;
                row
            }
            (Change::Difference(json), Some(mut row)) => {
                row.set(json, Column::apply_difference)?;
                row
            }
            (Change::Delete, Some(_)) => return Ok(()),
            (Change::Replace(_) | Change::Difference(_) | Change::Delete, None) => {
                return Err(ReplicaError::NoSuchRow { table: table.name, row: uuid });
            }
        };
        self.weight += new.weight();
        rows.insert(uuid, new);
        match self.weight <= self.weight_max {
            true => Ok(()),
            false => Err(ReplicaError::TooLarge { limit: self.weight_max }),
        }
    }
}

/// What happened to a row.
enum Change<'a> {
    /// It is new; columns not told have their default.
    Insert(&'a Json),
    /// The columns told have new values.
    Replace(&'a Json),
    /// The columns told differ by this.
    Difference(&'a Json),
    /// It is gone.
    Delete,
}

impl<'a> Change<'a> {
    fn read(dialect: Dialect, json: &'a Json) -> Option<Self> {
        let members = json.as_object()?;
        if dialect == Dialect::Plain {
            return match (members.get("old"), members.get("new")) {
                (None, Some(new)) => Some(Self::Insert(new)),
                (Some(_), Some(new)) => Some(Self::Replace(new)),
                (Some(_), None) => Some(Self::Delete),
                (None, None) => None,
            };
        }
        match members.iter().next() {
            _ if members.len() != 1 => None,
            Some((kind, row)) if kind == "initial" || kind == "insert" => Some(Self::Insert(row)),
            Some((kind, difference)) if kind == "modify" => Some(Self::Difference(difference)),
            Some((kind, _)) if kind == "delete" => Some(Self::Delete),
            Some(_) | None => None,
        }
    }
}

fn object(json: &Json, what: impl Fn() -> String) -> Result<&Map<String, Json>, ReplicaError> {
    json.as_object().ok_or_else(|| ReplicaError::NotAnObject { what: what() })
}

#[cfg(test)]
mod tests;
