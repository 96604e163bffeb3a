//! The operations of a transaction (RFC 7047, section 5.2): all of them, or none.
//!
//! Start at [`Database::transact`].

use super::condition::Condition;
use super::database::{Changes, Database, Row, Tables};
use super::mutation::Mutation;
use super::schema::Column;
use super::value::{Atom, Refused, Value};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
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
        for operation in operations {
            if let Some(name) = operation["uuid-name"].as_str() {
                let uuid = given_uuid(operation).unwrap_or_else(|| draft.database.draw_uuid());
                draft.names.insert(name.to_string(), uuid);
            }
        }
        let mut results = Vec::new();
        for operation in operations {
            match draft.execute(operation) {
                Ok(result) => results.push(result),
                Err(refused) => {
                    results.push(refused.json());
                    results.resize(operations.len(), Json::Null);
                    return (results, Changes::new());
                }
            }
        }
        let tables = draft.tables;
        match self.commit(tables) {
            Ok(changes) => (results, changes),
            Err(refused) => {
                results.push(refused.json());
                (results, Changes::new())
            }
        }
    }
}

/// A new row's UUID, where the client chooses it (ovsdb-server(7), section 5.2.1).
fn given_uuid(operation: &Json) -> Option<Uuid> {
    operation["uuid"].as_str()?.parse().ok()
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

    /// The row that a name stands for. One that no operation gives to a row stands for a row that is not there, which is
    /// wrong only where rows must be.
    fn named(&self, name: &str) -> Uuid {
        let nobody =
            || Uuid::from_u128(name.bytes().fold(1, |sum, byte| sum * 257 % u128::from(u64::MAX) + u128::from(byte)));
        self.names.get(name).copied().unwrap_or_else(nobody)
    }

    /// Whether a table has all of these columns, which an operation wants to look at.
    fn check_columns(&self, table: &str, names: &[&str]) -> Result<(), Refused> {
        let is_known = |name: &&str| self.column_or_uuid(table, name).is_ok() || *name == "_version";
        match names.iter().find(|name| !is_known(name)) {
            Some(name) => Err(syntax(format!("no column {name} in table {table}"))),
            None => Ok(()),
        }
    }

    fn read(&self, column: &Column, json: &Json) -> Result<Value, Refused> {
        Value::read(column, json, Some(&|name| self.named(name)))
    }

    fn read_row(&self, table: &str, json: &Json) -> Result<Vec<(String, Value)>, Refused> {
        let columns = json.as_object().ok_or_else(|| syntax("a row is no object"))?;
        let value = |(name, json): (&String, &Json)| Ok((name.clone(), self.read(&self.column(table, name)?, json)?));
        columns.iter().map(value).collect()
    }

    fn insert(&mut self, operation: &Json) -> Result<Json, Refused> {
        let table = self.table(operation)?.to_string();
        let named = operation["uuid-name"].as_str().and_then(|name| self.names.get(name).copied());
        let uuid = named.or_else(|| given_uuid(operation)).unwrap_or_else(|| self.database.draw_uuid());
        let mut row = self.database.default_row(&table);
        row.extend(self.read_row(&table, &operation["row"])?);
        self.tables.get_mut(&table).expect("checked").insert(uuid, Arc::new(row));
        Ok(json!({"uuid": ["uuid", uuid.to_string()]}))
    }

    fn select(&mut self, operation: &Json) -> Result<Json, Refused> {
        let table = self.table(operation)?;
        let matching = self.matching(table, &operation["where"])?;
        let all = self.database.schema.tables[table].columns.keys().map(String::as_str).chain(["_uuid", "_version"]);
        let wanted: Vec<&str> = match &operation["columns"] {
            Json::Null => all.collect(),
            Json::Array(names) => names.iter().map(|name| name.as_str().unwrap_or_default()).collect(),
            other => return Err(syntax(format!("columns are {other}, no list"))),
        };
        self.check_columns(table, &wanted)?;
        // Rows that are alike in these columns are one (RFC 7047, section 5.2.2).
        let mut rows: Vec<Json> = Vec::new();
        for uuid in matching {
            let row = &self.tables[table][&uuid];
            let own = || json!(["uuid", uuid.to_string()]);
            let shown = wanted.iter().map(|name| (name.to_string(), row.get(*name).map_or_else(own, Value::json)));
            let shown = Json::Object(shown.collect());
            if !rows.contains(&shown) {
                rows.push(shown);
            }
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
        let read = |json| Mutation::read(&self.database.schema, table, json, Some(&|name| self.named(name)));
        let mutations = mutations.iter().map(read).collect::<Result<Vec<Mutation>, Refused>>()?;
        self.change(table, &operation["where"], |_, row| mutations.iter().try_for_each(|mutation| mutation.apply(row)))
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
        let matching = self.matching(table, &operation["where"])?;
        self.check_columns(table, &names)?;
        let until_equal = match operation["until"].as_str() {
            Some("==") => true,
            Some("!=") => false,
            _ => return Err(syntax("until is neither == nor !=")),
        };
        let mut expected = BTreeSet::new();
        for json in operation["rows"].as_array().ok_or_else(|| syntax("wait has no rows"))? {
            let columns = json.as_object().ok_or_else(|| syntax("a row is no object"))?;
            let value = |(name, json): (&String, &Json)| {
                Ok((name.clone(), self.read(&self.column_or_uuid(table, name)?, json)?))
            };
            let given: BTreeMap<String, Value> = columns.iter().map(value).collect::<Result<_, Refused>>()?;
            let all = names.iter().map(|name| {
                let column = self.column_or_uuid(table, name)?;
                Ok(given.get(*name).cloned().unwrap_or_else(|| column.default_value()))
            });
            expected.insert(all.collect::<Result<Vec<Value>, Refused>>()?);
        }
        let project = |uuid: &Uuid| {
            let row = &self.tables[table][uuid];
            let of = |name: &&str| match *name {
                "_uuid" => Some(Value::one(Atom::Uuid(*uuid))),
                name => row.get(name).cloned(),
            };
            names.iter().filter_map(of).collect::<Vec<Value>>()
        };
        // As sets: how many rows are alike does not matter.
        let found: BTreeSet<Vec<Value>> = matching.iter().map(project).collect();
        let holds = (found == expected) == until_equal;
        match holds {
            true => Ok(json!({})),
            false => Err(Refused("timed out", "\"where\" clause test failed".to_string())),
        }
    }

    /// The rows for which a condition holds.
    fn matching(&self, table: &str, condition: &Json) -> Result<Vec<Uuid>, Refused> {
        let condition = Condition::read(&self.database.schema, table, condition, Some(&|name| self.named(name)))?;
        let rows = self.tables[table].iter();
        let holds = |(uuid, row): &(&Uuid, &Arc<Row>)| condition.all_hold(**uuid, row);
        Ok(rows.filter(holds).map(|(uuid, _)| *uuid).collect())
    }
}
