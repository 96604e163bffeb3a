//! The operations of a transaction (RFC 7047, section 5.2): all of them, or none.
//!
//! Start at [`Database::transact`].

use super::database::{Changes, Database, Row, Tables};
use super::schema::{Column, Kind};
use super::value::{Atom, Refused, Value};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

fn syntax(what: impl Into<String>) -> Refused {
    Refused("syntax error", what.into())
}

/// A transaction under way.
struct Draft<'a> {
    database: &'a mut Database,
    tables: Tables,
    names: BTreeMap<String, Uuid>,
}

impl Database {
    /// Carries out a transaction's operations: the results, one for each operation up to the first that fails, and what
    /// changed.
    pub(super) fn transact(&mut self, operations: &[Json]) -> (Vec<Json>, Changes) {
        let mut draft = Draft { tables: self.tables.clone(), names: BTreeMap::new(), database: self };
        // Names may be used before the row that they are of.
        for name in operations.iter().filter_map(|operation| operation["uuid-name"].as_str()) {
            let uuid = draft.database.draw_uuid();
            draft.names.insert(name.to_string(), uuid);
        }
        let mut results = Vec::new();
        for operation in operations {
            match draft.execute(operation) {
                Ok(result) => results.push(result),
                Err(refused) => {
                    results.push(error(&refused));
                    results.resize(operations.len(), Json::Null);
                    return (results, Changes::new());
                }
            }
        }
        let tables = draft.tables;
        match self.commit(tables) {
            Ok(changes) => (results, changes),
            Err(refused) => {
                results.push(error(&refused));
                (results, Changes::new())
            }
        }
    }
}

fn error(Refused(kind, details): &Refused) -> Json {
    json!({"error": kind, "details": details})
}

impl Draft<'_> {
    fn execute(&mut self, operation: &Json) -> Result<Json, Refused> {
        match operation["op"].as_str() {
            Some("insert") => self.insert(operation),
            Some("select") => self.select(operation),
            Some("update") => self.update(operation),
            Some("mutate") => self.mutate(operation),
            Some("delete") => self.delete(operation),
            Some("wait") => self.wait(operation),
            Some("comment" | "commit") => Ok(json!({})),
            Some("abort") => Err(Refused("aborted", "aborted by request".to_string())),
            Some("assert") => Err(Refused("not owner", "no client owns a lock here".to_string())),
            Some(other) => Err(syntax(format!("there is no operation {other}"))),
            None => Err(syntax("an operation has no op")),
        }
    }

    fn table<'o>(&self, operation: &'o Json) -> Result<&'o str, Refused> {
        let name = operation["table"].as_str().ok_or_else(|| syntax("an operation has no table"))?;
        let known = self.database.schema.tables.contains_key(name);
        known.then_some(name).ok_or_else(|| syntax(format!("there is no table {name}")))
    }

    fn column(&self, table: &str, name: &str) -> Result<Column, Refused> {
        let column = self.database.schema.column(table, name);
        column.cloned().ok_or_else(|| Refused("unknown column", format!("table {table} has no column {name}")))
    }

    /// A column that may be looked at, though it cannot be written.
    fn column_or_uuid(&self, table: &str, name: &str) -> Result<Column, Refused> {
        if name == "_uuid" { Ok(Column::of_uuid()) } else { self.column(table, name) }
    }

    fn read(&self, column: &Column, json: &Json, any_size: bool) -> Result<Value, Refused> {
        Value::read(column, json, &|name| self.names.get(name).copied(), any_size)
    }

    fn read_row(&self, table: &str, json: &Json) -> Result<Vec<(String, Value)>, Refused> {
        let columns = json.as_object().ok_or_else(|| syntax("a row is no object"))?;
        let value =
            |(name, json): (&String, &Json)| Ok((name.clone(), self.read(&self.column(table, name)?, json, false)?));
        columns.iter().map(value).collect()
    }

    fn insert(&mut self, operation: &Json) -> Result<Json, Refused> {
        let table = self.table(operation)?.to_string();
        let named = operation["uuid-name"].as_str().and_then(|name| self.names.get(name).copied());
        let uuid = named.unwrap_or_else(|| self.database.draw_uuid());
        let mut row = self.database.default_row(&table);
        row.extend(self.read_row(&table, &operation["row"])?);
        self.tables.get_mut(&table).expect("checked").insert(uuid, Arc::new(row));
        Ok(json!({"uuid": ["uuid", uuid.to_string()]}))
    }

    fn select(&mut self, operation: &Json) -> Result<Json, Refused> {
        let table = self.table(operation)?;
        let wanted: Option<Vec<&str>> =
            operation["columns"].as_array().map(|names| names.iter().filter_map(Json::as_str).collect());
        let mut rows = Vec::new();
        for uuid in self.matching(table, &operation["where"])? {
            let row = &self.tables[table][&uuid];
            let mut shown = Map::new();
            for name in wanted.clone().unwrap_or_else(|| row.keys().map(String::as_str).chain(["_uuid"]).collect()) {
                let value = match name {
                    "_uuid" | "_version" => json!(["uuid", uuid.to_string()]),
                    name => row.get(name).map(Value::json).ok_or_else(|| syntax(format!("no column {name}")))?,
                };
                shown.insert(name.to_string(), value);
            }
            rows.push(Json::Object(shown));
        }
        Ok(json!({"rows": rows}))
    }

    fn change(
        &mut self,
        table: &str,
        condition: &Json,
        change: impl Fn(&Draft<'_>, &mut Row) -> Result<(), Refused>,
    ) -> Result<Json, Refused> {
        let uuids = self.matching(table, condition)?;
        for uuid in &uuids {
            let mut row = Row::clone(&self.tables[table][uuid]);
            change(self, &mut row)?;
            self.tables.get_mut(table).expect("checked").insert(*uuid, Arc::new(row));
        }
        Ok(json!({"count": uuids.len()}))
    }

    fn update(&mut self, operation: &Json) -> Result<Json, Refused> {
        let table = self.table(operation)?;
        let values = self.read_row(table, &operation["row"])?;
        for (name, _) in &values {
            if !self.column(table, name)?.mutable {
                return Err(Refused("constraint violation", format!("column {name} of {table} does not change")));
            }
        }
        self.change(table, &operation["where"], |_, row| {
            row.extend(values.iter().cloned());
            Ok(())
        })
    }

    fn mutate(&mut self, operation: &Json) -> Result<Json, Refused> {
        let table = self.table(operation)?;
        let mutations = operation["mutations"].as_array().ok_or_else(|| syntax("mutate has no mutations"))?;
        self.change(table, &operation["where"], |draft, row| {
            mutations.iter().try_for_each(|mutation| {
                let name = mutation[0].as_str().ok_or_else(|| syntax("a mutation has no column"))?;
                let mutator = mutation[1].as_str().unwrap_or_default();
                let column = draft.column(table, name)?;
                let argument = draft.read(&column, &mutation[2], true)?;
                let value = row.get_mut(name).expect("rows have all columns");
                mutate(value, mutator, &argument)?;
                value.check(&column)
            })
        })
    }

    fn delete(&mut self, operation: &Json) -> Result<Json, Refused> {
        let table = self.table(operation)?;
        let uuids = self.matching(table, &operation["where"])?;
        let rows = self.tables.get_mut(table).expect("checked");
        uuids.iter().for_each(|uuid| _ = rows.remove(uuid));
        Ok(json!({"count": uuids.len()}))
    }

    /// Waits for nothing: what does not hold now has timed out. Clients that wait longer do so by monitors.
    fn wait(&mut self, operation: &Json) -> Result<Json, Refused> {
        let table = self.table(operation)?;
        let names: Vec<&str> = operation["columns"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
        let mut expected = Vec::new();
        for json in operation["rows"].as_array().ok_or_else(|| syntax("wait has no rows"))? {
            let columns = json.as_object().ok_or_else(|| syntax("a row is no object"))?;
            let value = |(name, json): (&String, &Json)| {
                Ok((name.clone(), self.read(&self.column_or_uuid(table, name)?, json, false)?))
            };
            let given: BTreeMap<String, Value> = columns.iter().map(value).collect::<Result<_, Refused>>()?;
            let all = names.iter().map(|name| {
                let column = self.column_or_uuid(table, name)?;
                Ok(given.get(*name).cloned().unwrap_or_else(|| column.default_value()))
            });
            expected.push(all.collect::<Result<Vec<Value>, Refused>>()?);
        }
        let project = |uuid: &Uuid| {
            let row = &self.tables[table][uuid];
            let of = |name: &&str| match *name {
                "_uuid" => Some(Value::one(Atom::Uuid(*uuid))),
                name => row.get(name).cloned(),
            };
            names.iter().filter_map(of).collect::<Vec<Value>>()
        };
        let mut found: Vec<Vec<Value>> = self.matching(table, &operation["where"])?.iter().map(project).collect();
        found.sort();
        expected.sort();
        let holds = match operation["until"].as_str() {
            Some("==") => found == expected,
            Some("!=") => found != expected,
            _ => return Err(syntax("until is neither == nor !=")),
        };
        match holds {
            true => Ok(json!({})),
            false => Err(Refused("timed out", "\"where\" clause test failed".to_string())),
        }
    }

    /// The rows for which a condition holds.
    fn matching(&self, table: &str, condition: &Json) -> Result<Vec<Uuid>, Refused> {
        let clauses = condition.as_array().ok_or_else(|| syntax("an operation has no where"))?;
        let clauses = clauses.iter().map(|clause| self.clause(table, clause)).collect::<Result<Vec<_>, _>>()?;
        let rows = self.tables[table].iter();
        let holds = |(uuid, row): &(&Uuid, &Arc<Row>)| clauses.iter().all(|clause| clause.holds(**uuid, row));
        Ok(rows.filter(holds).map(|(uuid, _)| *uuid).collect())
    }

    fn clause(&self, table: &str, clause: &Json) -> Result<Clause, Refused> {
        let name = clause[0].as_str().ok_or_else(|| syntax("a condition has no column"))?;
        let function = match clause[1].as_str().unwrap_or_default() {
            "==" => Function::Equal,
            "!=" => Function::NotEqual,
            "<" => Function::Less,
            "<=" => Function::LessOrEqual,
            ">" => Function::Greater,
            ">=" => Function::GreaterOrEqual,
            "includes" => Function::Includes,
            "excludes" => Function::Excludes,
            other => return Err(syntax(format!("there is no function {other}"))),
        };
        let argument = match name {
            "_uuid" | "_version" => {
                let names = |name: &str| self.names.get(name).copied();
                Value::one(Atom::read(Kind::Uuid, &clause[2], &names)?)
            }
            name => {
                let any_size = matches!(function, Function::Includes | Function::Excludes);
                self.read(&self.column(table, name)?, &clause[2], any_size)?
            }
        };
        Ok(Clause { column: name.to_string(), function, argument })
    }
}

/// One clause of a condition.
struct Clause {
    column: String,
    function: Function,
    argument: Value,
}

#[derive(Clone, Copy)]
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

impl Clause {
    fn holds(&self, uuid: Uuid, row: &Row) -> bool {
        let own;
        let value = match row.get(&self.column) {
            Some(value) => value,
            None => {
                own = Value::one(Atom::Uuid(uuid));
                &own
            }
        };
        let argument = &self.argument;
        match self.function {
            Function::Equal => value == argument,
            Function::NotEqual => value != argument,
            Function::Less => value < argument,
            Function::LessOrEqual => value <= argument,
            Function::Greater => value > argument,
            Function::GreaterOrEqual => value >= argument,
            Function::Includes => common(value, argument) == argument.len(),
            Function::Excludes => common(value, argument) == 0,
        }
    }
}

/// How many elements of the argument are in the value.
fn common(value: &Value, argument: &Value) -> usize {
    match (value, argument) {
        (Value::Set(have), Value::Set(want)) => want.iter().filter(|atom| have.contains(atom)).count(),
        (Value::Map(have), Value::Map(want)) => want.iter().filter(|(key, value)| have.get(key) == Some(value)).count(),
        (Value::Map(have), Value::Set(want)) => want.iter().filter(|key| have.contains_key(key)).count(),
        (Value::Set(_), Value::Map(_)) => 0,
    }
}

/// Changes a value in place (RFC 7047, section 5.1, `<mutation>`).
fn mutate(value: &mut Value, mutator: &str, argument: &Value) -> Result<(), Refused> {
    match (mutator, value, argument) {
        ("insert", Value::Set(have), Value::Set(more)) => have.extend(more.iter().cloned()),
        ("insert", Value::Map(have), Value::Map(more)) => {
            more.iter().for_each(|(key, value)| _ = have.entry(key.clone()).or_insert_with(|| value.clone()));
        }
        ("delete", Value::Set(have), Value::Set(less)) => have.retain(|atom| !less.contains(atom)),
        ("delete", Value::Map(have), Value::Map(less)) => have.retain(|key, value| less.get(key) != Some(value)),
        ("delete", Value::Map(have), Value::Set(less)) => have.retain(|key, _| !less.contains(key)),
        ("+=" | "-=" | "*=" | "/=" | "%=", Value::Set(have), Value::Set(by)) => {
            let Some(Atom::Integer(by)) = by.first() else { return Err(syntax("arithmetic needs a number")) };
            let calculate = |atom: &Atom| match (mutator, atom) {
                (_, Atom::Integer(_)) if *by == 0 && matches!(mutator, "/=" | "%=") => {
                    Err(Refused("domain error", "division by zero".to_string()))
                }
                (_, Atom::Integer(number)) => {
                    let result = match mutator {
                        "+=" => number.checked_add(*by),
                        "-=" => number.checked_sub(*by),
                        "*=" => number.checked_mul(*by),
                        "/=" => number.checked_div(*by),
                        _ => number.checked_rem(*by),
                    };
                    result.map(Atom::Integer).ok_or(Refused("range error", "result out of range".to_string()))
                }
                _ => Err(syntax("arithmetic needs numbers")),
            };
            *have = have.iter().map(calculate).collect::<Result<_, _>>()?;
        }
        (mutator, _, _) => return Err(syntax(format!("{mutator} does not fit the column"))),
    }
    Ok(())
}
