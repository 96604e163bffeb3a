//! Mutations: changes of a column in place (RFC 7047, section 5.1, `<mutation>`). Start at [`Mutation::read`].

use super::database::Row;
use super::schema::{Column, Kind, Schema};
use super::value::{Atom, Names, Refused, Value};
use serde_json::Value as Json;

/// A change of one column, with what its type asks of the outcome.
#[derive(Clone, Debug)]
pub(super) struct Mutation {
    name: String,
    column: Column,
    mutator: Mutator,
    argument: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Insert,
    Delete,
}

fn syntax(what: impl Into<String>) -> Refused {
    Refused("syntax error", what.into())
}

impl Mutator {
    fn read(word: &str) -> Result<Mutator, Refused> {
        match word {
            "+=" => Ok(Mutator::Add),
            "-=" => Ok(Mutator::Subtract),
            "*=" => Ok(Mutator::Multiply),
            "/=" => Ok(Mutator::Divide),
            "%=" => Ok(Mutator::Remainder),
            "insert" => Ok(Mutator::Insert),
            "delete" => Ok(Mutator::Delete),
            other => Err(Refused("unknown mutator", format!("there is no mutator {other}"))),
        }
    }

    fn calculate(self, number: i64, by: i64) -> Result<i64, Refused> {
        let result = match self {
            Mutator::Divide | Mutator::Remainder if by == 0 => {
                return Err(Refused("domain error", "division by zero".to_string()));
            }
            Mutator::Add => number.checked_add(by),
            Mutator::Subtract => number.checked_sub(by),
            Mutator::Multiply => number.checked_mul(by),
            Mutator::Divide => number.checked_div(by),
            Mutator::Remainder => number.checked_rem(by),
            Mutator::Insert | Mutator::Delete => unreachable!("they are no arithmetic"),
        };
        result.ok_or(Refused("range error", "result out of range".to_string()))
    }
}

impl Mutation {
    /// Reads one for the rows of a table.
    ///
    /// # Errors
    /// Why it is none, or may not be.
    pub fn read(schema: &Schema, table: &str, json: &Json, names: Names<'_>) -> Result<Mutation, Refused> {
        let name = json[0].as_str().ok_or_else(|| syntax("a mutation has no column"))?;
        let column = schema.column(table, name).cloned();
        let column = column.ok_or_else(|| Refused("unknown column", format!("table {table} has no column {name}")))?;
        if !column.mutable {
            return Err(Refused("constraint violation", format!("column {name} of {table} does not change")));
        }
        let mutator = Mutator::read(json[1].as_str().unwrap_or_default())?;
        let mismatch = || syntax(format!("{} does not fit column {name} of {table}", json[1]));
        let argument = match mutator {
            Mutator::Insert | Mutator::Delete if column.is_scalar() => return Err(mismatch()),
            Mutator::Insert => Value::read(&column.sized(0, column.max), &json[2], names)?,
            Mutator::Delete => {
                let any = column.sized(0, usize::MAX);
                // Pairs of a map may be deleted by their keys alone.
                let keys = || Value::read(&Column { value: None, ..any.clone() }, &json[2], names);
                Value::read(&any, &json[2], names)
                    .or_else(|refused| if any.value.is_some() { keys() } else { Err(refused) })?
            }
            _ if column.value.is_some() || column.key.kind != Kind::Integer => return Err(mismatch()),
            _ => Value::read(&Column { key: column.key.unbounded(), ..column.sized(1, 1) }, &json[2], names)?,
        };
        Ok(Mutation { name: name.to_string(), column, mutator, argument })
    }

    /// Applies it to a row.
    ///
    /// # Errors
    /// Why the outcome is none that the column may hold.
    pub fn apply(&self, row: &mut Row) -> Result<(), Refused> {
        let value = row.get_mut(&self.name).expect("rows have all columns");
        match (self.mutator, &mut *value, &self.argument) {
            (Mutator::Insert, Value::Set(have), Value::Set(more)) => have.extend(more.iter().cloned()),
            (Mutator::Insert, Value::Map(have), Value::Map(more)) => {
                more.iter().for_each(|(key, value)| _ = have.entry(key.clone()).or_insert_with(|| value.clone()));
            }
            (Mutator::Delete, Value::Set(have), Value::Set(less)) => have.retain(|atom| !less.contains(atom)),
            (Mutator::Delete, Value::Map(have), Value::Map(less)) => {
                have.retain(|key, value| less.get(key) != Some(value));
            }
            (Mutator::Delete, Value::Map(have), Value::Set(less)) => have.retain(|key, _| !less.contains(key)),
            (arithmetic, Value::Set(have), Value::Set(by)) => {
                let by = by.first().and_then(Atom::integer).ok_or_else(|| syntax("arithmetic needs a number"))?;
                let count = have.len();
                let numbers = have.iter().filter_map(Atom::integer);
                let results = numbers.map(|number| arithmetic.calculate(number, by).map(Atom::Integer));
                *have = results.collect::<Result<_, _>>()?;
                if have.len() < count {
                    return Err(Refused("constraint violation", "two elements became the same".to_string()));
                }
            }
            (_, Value::Set(_), Value::Map(_)) | (_, Value::Map(_), _) => unreachable!("arguments are of the type"),
        }
        value.check(&self.column)
    }
}
