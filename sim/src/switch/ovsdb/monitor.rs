//! Monitors: what a client is told of when rows change (RFC 7047, section 4.1.5; ovsdb-server(7) for the newer forms).
//!
//! Start at [`Monitor::read`].

use super::database::{Changes, Database, Row};
use super::schema::Schema;
use super::value::Value;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The form in which a client wants its notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `update`: rows before and after.
    Old,
    /// `update2`: differences.
    Cond,
    /// `update3`: the same, and which change it was.
    CondSince,
}

/// What a client wants of a table.
#[derive(Clone, Debug)]
struct Wanted {
    columns: Vec<String>,
    initial: bool,
    insert: bool,
    delete: bool,
    modify: bool,
}

/// A monitor.
#[derive(Clone, Debug)]
pub(super) struct Monitor {
    pub dialect: Dialect,
    /// The name that the client gave it.
    pub id: Json,
    tables: BTreeMap<String, Vec<Wanted>>,
}

impl Monitor {
    /// Reads a request for one: its tables, each with one request or several.
    pub fn read(dialect: Dialect, id: &Json, requests: &Json, schema: &Schema) -> Result<Monitor, String> {
        let requests = requests.as_object().ok_or("monitor requests are no object")?;
        let mut tables = BTreeMap::new();
        for (name, request) in requests {
            let table = schema.tables.get(name).ok_or_else(|| format!("there is no table {name}"))?;
            let parts = request.as_array().map_or(std::slice::from_ref(request), Vec::as_slice);
            let all = || table.columns.keys().cloned().collect();
            let wanted = |part: &Json| {
                let columns: Vec<String> = match part.get("columns").and_then(Json::as_array) {
                    Some(names) => names.iter().filter_map(|name| name.as_str().map(str::to_string)).collect(),
                    None => all(),
                };
                let select = |kind: &str| part["select"][kind].as_bool().unwrap_or(true);
                let unknown = |name: &&String| !table.columns.contains_key(*name) && !name.starts_with('_');
                match columns.iter().find(unknown) {
                    Some(column) => Err(format!("no column {column} in table {name}")),
                    None => Ok(Wanted {
                        columns,
                        initial: select("initial"),
                        insert: select("insert"),
                        delete: select("delete"),
                        modify: select("modify"),
                    }),
                }
            };
            tables.insert(name.clone(), parts.iter().map(wanted).collect::<Result<Vec<_>, _>>()?);
        }
        Ok(Monitor { dialect, id: id.clone(), tables })
    }

    /// What there is at the beginning.
    pub fn initial(&self, database: &Database) -> Json {
        let mut changes = Changes::new();
        for table in self.tables.keys() {
            let rows = database.tables[table].iter().map(|(uuid, row)| (*uuid, (None, Some(row.clone()))));
            changes.insert(table.clone(), rows.collect());
        }
        self.updates(&changes, &database.schema, true).unwrap_or_else(|| json!({}))
    }

    /// The updates that changes are for this client; none if they are none of its business.
    pub fn updates(&self, changes: &Changes, schema: &Schema, initial: bool) -> Option<Json> {
        let mut tables = Map::new();
        for (table, wanted) in &self.tables {
            let mut rows = Map::new();
            for (uuid, (old, new)) in changes.get(table).into_iter().flatten() {
                let update = match self.dialect {
                    Dialect::Old => before_and_after(wanted, old.as_ref(), new.as_ref(), initial),
                    Dialect::Cond | Dialect::CondSince => {
                        differences(wanted, (schema, table), old.as_ref(), new.as_ref(), initial)
                    }
                };
                if let Some(update) = update {
                    rows.insert(uuid.to_string(), update);
                }
            }
            if !rows.is_empty() {
                tables.insert(table.clone(), Json::Object(rows));
            }
        }
        (!tables.is_empty()).then_some(Json::Object(tables))
    }

    /// The notice of updates.
    pub fn notice(&self, updates: Json, change: uuid::Uuid) -> Json {
        let (method, params) = match self.dialect {
            Dialect::Old => ("update", json!([self.id, updates])),
            Dialect::Cond => ("update2", json!([self.id, updates])),
            Dialect::CondSince => ("update3", json!([self.id, change.to_string(), updates])),
        };
        json!({"id": null, "method": method, "params": params})
    }
}

fn selected(wanted: &[Wanted], select: impl Fn(&Wanted) -> bool) -> Vec<&str> {
    let columns = wanted.iter().filter(|wanted| select(wanted)).flat_map(|wanted| &wanted.columns);
    columns.map(String::as_str).collect()
}

fn before_and_after(wanted: &[Wanted], old: Option<&Arc<Row>>, new: Option<&Arc<Row>>, initial: bool) -> Option<Json> {
    let all = |row: &Row, columns: &[&str]| -> Map<String, Json> {
        columns.iter().filter_map(|name| Some((name.to_string(), row.get(*name)?.json()))).collect()
    };
    match (old, new) {
        (None, Some(new)) => {
            let columns = selected(wanted, |wanted| if initial { wanted.initial } else { wanted.insert });
            (!columns.is_empty()).then(|| json!({"new": all(new, &columns)}))
        }
        (Some(old), None) => {
            let columns = selected(wanted, |wanted| wanted.delete);
            (!columns.is_empty()).then(|| json!({"old": all(old, &columns)}))
        }
        (Some(old), Some(new)) => {
            let columns = selected(wanted, |wanted| wanted.modify);
            let changed: Vec<&str> = columns.iter().copied().filter(|name| old.get(*name) != new.get(*name)).collect();
            (!changed.is_empty()).then(|| json!({"old": all(old, &changed), "new": all(new, &columns)}))
        }
        (None, None) => None,
    }
}

fn differences(
    wanted: &[Wanted],
    (schema, table): (&Schema, &str),
    old: Option<&Arc<Row>>,
    new: Option<&Arc<Row>>,
    initial: bool,
) -> Option<Json> {
    let column = |name: &str| schema.column(table, name);
    match (old, new) {
        (None, Some(new)) => {
            let columns = selected(wanted, |wanted| if initial { wanted.initial } else { wanted.insert });
            let told = columns.iter().filter_map(|name| {
                let value = new.get(*name)?;
                let default = column(name)?.default_value();
                (*value != default).then(|| (name.to_string(), value.json()))
            });
            let told: Map<String, Json> = told.collect();
            let word = if initial { "initial" } else { "insert" };
            (!columns.is_empty()).then(|| json!({word: told}))
        }
        (Some(_), None) => (!selected(wanted, |wanted| wanted.delete).is_empty()).then(|| json!({"delete": null})),
        (Some(old), Some(new)) => {
            let columns = selected(wanted, |wanted| wanted.modify);
            let told = columns.into_iter().filter_map(|name| {
                let (old, new): (&Value, &Value) = (old.get(name)?, new.get(name)?);
                (old != new).then(|| Some((name.to_string(), new.difference(old, column(name)?).json())))?
            });
            let told: Map<String, Json> = told.collect();
            (!told.is_empty()).then(|| json!({"modify": told}))
        }
        (None, None) => None,
    }
}
