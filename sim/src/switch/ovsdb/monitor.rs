//! Monitors: what a client is told of when rows change (RFC 7047, section 4.1.5; ovsdb-server(7) for the newer forms).
//!
//! Start at [`Monitor::read`].

use super::condition::Condition;
use super::database::{Changes, Database, Row};
use super::schema::{Column, Schema, Table};
use super::value::Refused;
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

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

/// What happened to a row, as far as a client is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Initial,
    Insert,
    Delete,
    Modify,
}

/// Of which kinds a client wants to hear.
#[derive(Clone, Copy, Debug, Default)]
struct Select {
    initial: bool,
    insert: bool,
    delete: bool,
    modify: bool,
}

impl Select {
    fn read(json: &Json) -> Result<Select, Refused> {
        let flag = |name: &str| match json.get(name) {
            None => Ok(true),
            Some(flag) => flag.as_bool().ok_or_else(|| syntax(format!("{name} is {flag}, neither true nor false"))),
        };
        Ok(Select {
            initial: flag("initial")?,
            insert: flag("insert")?,
            delete: flag("delete")?,
            modify: flag("modify")?,
        })
    }

    fn or(self, other: Select) -> Select {
        Select {
            initial: self.initial || other.initial,
            insert: self.insert || other.insert,
            delete: self.delete || other.delete,
            modify: self.modify || other.modify,
        }
    }

    fn has(self, kind: Kind) -> bool {
        match kind {
            Kind::Initial => self.initial,
            Kind::Insert => self.insert,
            Kind::Delete => self.delete,
            Kind::Modify => self.modify,
        }
    }
}

/// What a client wants of a table.
#[derive(Clone, Debug, Default)]
struct Wanted {
    /// The kinds that it wants of any column.
    select: Select,
    columns: BTreeMap<String, Select>,
    condition: Condition,
    /// Columns that conditions looked at so far. A change of one of them is told of, though not what it is: a quirk of
    /// ovsdb-server.
    looked_at: BTreeSet<String>,
}

impl Wanted {
    fn read(
        schema: &Schema,
        (name, table): (&str, &Table),
        request: &Json,
        dialect: Dialect,
    ) -> Result<Wanted, Refused> {
        let mut wanted = Wanted::default();
        for part in request.as_array().map_or(std::slice::from_ref(request), Vec::as_slice) {
            let members = part.as_object().ok_or_else(|| syntax(format!("{part} is no monitor request")))?;
            let select = members.get("select").map_or(Ok(Select::read(&json!({}))?), Select::read)?;
            wanted.select = wanted.select.or(select);
            let columns: Vec<String> = match members.get("columns") {
                Some(Json::Array(names)) => names
                    .iter()
                    .map(|name| name.as_str().map(str::to_string))
                    .collect::<Option<_>>()
                    .ok_or_else(|| syntax("a column has no name"))?,
                Some(other) => return Err(syntax(format!("columns are {other}, no list"))),
                None => table.columns.keys().cloned().collect(),
            };
            for column in columns {
                if !table.columns.contains_key(&column) && column != "_uuid" && column != "_version" {
                    return Err(syntax(format!("no column {column} in table {name}")));
                }
                if wanted.columns.insert(column.clone(), select).is_some() {
                    return Err(syntax(format!("column {column} of {name} is wanted twice")));
                }
            }
            match (members.get("where"), dialect) {
                (None, _) => {}
                (Some(_), Dialect::Old) => return Err(syntax("monitor has no where")),
                (Some(json), Dialect::Cond | Dialect::CondSince) => {
                    wanted.set(Condition::read(schema, name, json, None)?);
                }
            }
        }
        Ok(wanted)
    }

    /// Replaces the condition; the one before.
    fn set(&mut self, condition: Condition) -> Condition {
        self.looked_at.extend(condition.columns().map(str::to_string));
        std::mem::replace(&mut self.condition, condition)
    }

    /// Whether a row's change is one of those that are noticed.
    fn notices(&self, change: Change<'_>) -> bool {
        self.columns.keys().chain(&self.looked_at).any(|name| change.is_changed(name))
    }

    /// Whether the client is to know of a row at all.
    fn concerns(&self, uuid: Uuid, row: Option<&Arc<Row>>) -> bool {
        row.is_some_and(|row| self.condition.any_holds(uuid, row))
    }
}

fn syntax(what: impl Into<String>) -> Refused {
    Refused("syntax error", what.into())
}

/// A row before and after, and what that is for a client.
#[derive(Clone, Copy)]
struct Change<'a> {
    kind: Kind,
    old: Option<&'a Arc<Row>>,
    new: Option<&'a Arc<Row>>,
}

impl<'a> Change<'a> {
    fn of(initial: bool, old: Option<&'a Arc<Row>>, new: Option<&'a Arc<Row>>) -> Option<Change<'a>> {
        let kind = match (old, new) {
            (None, None) => return None,
            (None, Some(_)) if initial => Kind::Initial,
            (None, Some(_)) => Kind::Insert,
            (Some(_), None) => Kind::Delete,
            (Some(_), Some(_)) => Kind::Modify,
        };
        Some(Change { kind, old, new })
    }

    fn is_changed(&self, name: &str) -> bool {
        self.old.and_then(|row| row.get(name)) != self.new.and_then(|row| row.get(name))
    }
}

/// A monitor.
#[derive(Clone, Debug)]
pub(super) struct Monitor {
    dialect: Dialect,
    /// The name that the client gave it.
    pub id: Json,
    tables: BTreeMap<String, Wanted>,
}

impl Monitor {
    /// Reads a request for one: its tables, each with one request or several.
    ///
    /// # Errors
    /// Why it is none.
    pub fn read(dialect: Dialect, id: &Json, requests: &Json, schema: &Schema) -> Result<Monitor, Refused> {
        let requests = requests.as_object().ok_or_else(|| syntax("monitor requests are no object"))?;
        let mut tables = BTreeMap::new();
        for (name, request) in requests {
            let table = schema.tables.get(name).ok_or_else(|| syntax(format!("there is no table {name}")))?;
            tables.insert(name.clone(), Wanted::read(schema, (name, table), request, dialect)?);
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
            let columns = &schema.tables.get(table)?.columns;
            let mut rows = Map::new();
            for (uuid, (old, new)) in changes.get(table).into_iter().flatten() {
                let old = old.as_ref().filter(|old| wanted.concerns(*uuid, Some(old)));
                let new = new.as_ref().filter(|new| wanted.concerns(*uuid, Some(new)));
                let update = Change::of(initial, old, new).and_then(|change| self.update(wanted, columns, change));
                rows.extend(update.map(|update| (uuid.to_string(), update)));
            }
            if !rows.is_empty() {
                tables.insert(table.clone(), Json::Object(rows));
            }
        }
        (!tables.is_empty()).then_some(Json::Object(tables))
    }

    /// Reads new conditions (`monitor_cond_change`), makes them this monitor's, and says what the client is to be told so
    /// that it knows of the rows that it wants now.
    ///
    /// # Errors
    /// Why they are none; nothing is changed then.
    pub fn change(&mut self, requests: &Json, database: &Database) -> Result<Option<Json>, Refused> {
        let requests = requests.as_object().ok_or_else(|| syntax("monitor requests are no object"))?;
        let mut conditions = BTreeMap::new();
        for (name, request) in requests {
            if !self.tables.contains_key(name) {
                return Err(syntax(format!("table {name} is not monitored")));
            }
            if self.dialect == Dialect::Old {
                // It has no conditions, and whatever they are changes nothing.
                continue;
            }
            for part in request.as_array().map_or(std::slice::from_ref(request), Vec::as_slice) {
                let json = part.get("where").cloned().unwrap_or_else(|| json!([]));
                conditions.insert(name, Condition::read(&database.schema, name, &json, None)?);
            }
        }
        let mut tables = Map::new();
        for (name, condition) in conditions {
            let before = self.tables.get_mut(name).map(|wanted| wanted.set(condition));
            let before = before.unwrap_or_default();
            let (wanted, columns) = (&self.tables[name], &database.schema.tables[name].columns);
            let mut rows = Map::new();
            for (uuid, row) in &database.tables[name] {
                let old = before.any_holds(*uuid, row).then_some(row);
                let new = wanted.condition.any_holds(*uuid, row).then_some(row);
                let update = Change::of(false, old, new).and_then(|change| self.update(wanted, columns, change));
                rows.extend(update.map(|update| (uuid.to_string(), update)));
            }
            if !rows.is_empty() {
                tables.insert(name.clone(), Json::Object(rows));
            }
        }
        Ok((!tables.is_empty()).then_some(Json::Object(tables)))
    }

    fn update(&self, wanted: &Wanted, columns: &BTreeMap<String, Column>, change: Change<'_>) -> Option<Json> {
        let is_idle = change.kind == Kind::Modify && !wanted.notices(change);
        if !wanted.select.has(change.kind) || is_idle {
            return None;
        }
        let told = wanted.columns.iter().filter(|(_, select)| select.has(change.kind));
        let told = told.filter_map(|(name, _)| Some((name.as_str(), columns.get(name)?)));
        Some(match self.dialect {
            Dialect::Old => before_and_after(told, change),
            Dialect::Cond | Dialect::CondSince => differences(told, change),
        })
    }

    /// The notice of updates.
    pub fn notice(&self, updates: Json) -> Json {
        let (method, params) = match self.dialect {
            Dialect::Old => ("update", json!([self.id, updates])),
            Dialect::Cond => ("update2", json!([self.id, updates])),
            Dialect::CondSince => ("update3", json!([self.id, NO_CHANGE, updates])),
        };
        json!({"id": null, "method": method, "params": params})
    }

    /// The answer to the request for it, with what there is at the beginning.
    pub fn answer(&self, initial: Json) -> Json {
        match self.dialect {
            Dialect::Old | Dialect::Cond => initial,
            Dialect::CondSince => json!([false, NO_CHANGE, initial]),
        }
    }
}

/// A server that is not clustered keeps no history of changes: none has a name, and nobody can resume.
const NO_CHANGE: &str = "00000000-0000-0000-0000-000000000000";

fn before_and_after<'a>(columns: impl Iterator<Item = (&'a str, &'a Column)>, change: Change<'_>) -> Json {
    let (mut before, mut after) = (Map::new(), Map::new());
    for (name, _) in columns {
        if let Some(value) = change.old.and_then(|row| row.get(name))
            && (change.kind == Kind::Delete || change.is_changed(name))
        {
            before.insert(name.to_string(), value.json());
        }
        if let Some(value) = change.new.and_then(|row| row.get(name)) {
            after.insert(name.to_string(), value.json());
        }
    }
    match change.kind {
        Kind::Initial | Kind::Insert => json!({"new": after}),
        Kind::Delete => json!({"old": before}),
        Kind::Modify => json!({"old": before, "new": after}),
    }
}

fn differences<'a>(columns: impl Iterator<Item = (&'a str, &'a Column)>, change: Change<'_>) -> Json {
    let mut told = Map::new();
    for (name, column) in columns {
        let Some(new) = change.new.and_then(|row| row.get(name)) else { continue };
        match change.old.and_then(|row| row.get(name)) {
            Some(old) if old == new => {}
            Some(old) => _ = told.insert(name.to_string(), new.difference(old, column).json()),
            None if *new == column.default_value() => {}
            None => _ = told.insert(name.to_string(), new.json()),
        }
    }
    match change.kind {
        Kind::Initial => json!({"initial": told}),
        Kind::Insert => json!({"insert": told}),
        Kind::Modify => json!({"modify": told}),
        Kind::Delete => json!({"delete": null}),
    }
}
