//! Conditions on rows (RFC 7047, section 5.1, `<condition>`): of an operation, where all clauses must hold, and of a
//! monitor, where any must (ovsdb-server(7), section 4.1.12). Start at [`Condition::read`].

use super::database::Row;
use super::schema::{Column, Schema};
use super::value::{Atom, Names, Refused, Value};
use serde_json::Value as Json;
use uuid::Uuid;

/// Clauses.
#[derive(Clone, Debug, Default)]
pub(super) struct Condition {
    clauses: Vec<Clause>,
}

/// One clause of a condition.
#[derive(Clone, Debug)]
enum Clause {
    /// `true` or `false`, for every row.
    Always(bool),
    /// A column compared.
    Column { name: String, function: Function, argument: Value },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Includes,
    Excludes,
}

fn syntax(what: impl Into<String>) -> Refused {
    Refused("syntax error", what.into())
}

impl Condition {
    /// Reads one for the rows of a table.
    ///
    /// # Errors
    /// Why it is none.
    pub fn read(schema: &Schema, table: &str, json: &Json, names: Names<'_>) -> Result<Condition, Refused> {
        let clauses = json.as_array().ok_or_else(|| syntax("there is no where"))?;
        let clauses = clauses.iter().map(|clause| Clause::read(schema, table, clause, names));
        Ok(Condition { clauses: clauses.collect::<Result<_, _>>()? })
    }

    /// The columns that it looks at.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.clauses.iter().filter_map(|clause| match clause {
            Clause::Always(_) => None,
            Clause::Column { name, .. } => Some(name.as_str()),
        })
    }

    /// Whether all clauses hold for a row.
    pub fn all_hold(&self, uuid: Uuid, row: &Row) -> bool {
        self.clauses.iter().all(|clause| clause.holds(uuid, row))
    }

    /// Whether any clause holds for a row, or there is none.
    pub fn any_holds(&self, uuid: Uuid, row: &Row) -> bool {
        self.clauses.is_empty() || self.clauses.iter().any(|clause| clause.holds(uuid, row))
    }
}

impl Clause {
    fn read(schema: &Schema, table: &str, json: &Json, names: Names<'_>) -> Result<Clause, Refused> {
        if let Some(always) = json.as_bool() {
            return Ok(Clause::Always(always));
        }
        let name = json[0].as_str().ok_or_else(|| syntax("a condition has no column"))?;
        let column = match name {
            "_uuid" | "_version" => Column::of_uuid(),
            name => schema
                .column(table, name)
                .cloned()
                .ok_or_else(|| Refused("unknown column", format!("no column {name} in table {table}")))?,
        };
        let function = Function::read(json[1].as_str().unwrap_or_default())?;
        let argument = match function {
            Function::Equal | Function::NotEqual => column,
            Function::Less | Function::LessOrEqual | Function::Greater | Function::GreaterOrEqual => {
                if !column.is_number() {
                    return Err(syntax(format!("column {name} of {table} has no order")));
                }
                column.sized(1, 1)
            }
            Function::Includes | Function::Excludes if column.is_scalar() => column,
            Function::Includes => column.sized(0, column.max),
            Function::Excludes => column.sized(0, usize::MAX),
        };
        let argument = Value::read(&argument, &json[2], names)?;
        Ok(Clause::Column { name: name.to_string(), function, argument })
    }

    fn holds(&self, uuid: Uuid, row: &Row) -> bool {
        let Clause::Column { name, function, argument } = self else { return matches!(self, Clause::Always(true)) };
        let own;
        let value = match row.get(name) {
            Some(value) => value,
            None => {
                own = Value::one(Atom::Uuid(uuid));
                &own
            }
        };
        match function {
            Function::Equal => value == argument,
            Function::NotEqual => value != argument,
            // What is not there is neither less nor more than anything.
            Function::Less => !value.is_empty() && value < argument,
            Function::LessOrEqual => !value.is_empty() && value <= argument,
            Function::Greater => !value.is_empty() && value > argument,
            Function::GreaterOrEqual => !value.is_empty() && value >= argument,
            Function::Includes => common(value, argument) == argument.len(),
            Function::Excludes => common(value, argument) == 0,
        }
    }
}

impl Function {
    fn read(word: &str) -> Result<Function, Refused> {
        match word {
            "==" => Ok(Function::Equal),
            "!=" => Ok(Function::NotEqual),
            "<" => Ok(Function::Less),
            "<=" => Ok(Function::LessOrEqual),
            ">" => Ok(Function::Greater),
            ">=" => Ok(Function::GreaterOrEqual),
            "includes" => Ok(Function::Includes),
            "excludes" => Ok(Function::Excludes),
            other => Err(Refused("unknown function", format!("there is no function {other}"))),
        }
    }
}

/// How many elements of the argument are in the value.
fn common(value: &Value, argument: &Value) -> usize {
    match (value, argument) {
        (Value::Set(have), Value::Set(want)) => want.iter().filter(|atom| have.contains(atom)).count(),
        (Value::Map(have), Value::Map(want)) => want.iter().filter(|(key, value)| have.get(key) == Some(value)).count(),
        (Value::Map(_), Value::Set(_)) | (Value::Set(_), Value::Map(_)) => 0,
    }
}
