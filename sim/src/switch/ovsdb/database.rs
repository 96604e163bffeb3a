//! Rows, and what keeps them together: references, indexes, sizes (RFC 7047, section 3.2). Start at [`Database`].

use super::schema::{Base, Schema};
use super::value::{Atom, Refused, Value};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

/// A row: its columns, all of them.
pub type Row = BTreeMap<String, Value>;
/// All tables' rows.
pub(super) type Tables = BTreeMap<String, BTreeMap<Uuid, Arc<Row>>>;

/// A database.
#[derive(Debug)]
pub struct Database {
    /// What it holds rows of.
    pub schema: Arc<Schema>,
    pub(super) tables: Tables,
    rng: ChaCha8Rng,
}

/// What a transaction changed: the rows before and after, by table and row.
pub(super) type Changes = BTreeMap<String, BTreeMap<Uuid, (Option<Arc<Row>>, Option<Arc<Row>>)>>;

impl Database {
    /// With one row in the root table `Open_vSwitch`, as ovs-ctl makes it.
    pub fn new(rng: ChaCha8Rng) -> Database {
        let schema = Arc::new(Schema::open_vswitch());
        let tables = schema.tables.keys().map(|name| (name.clone(), BTreeMap::new())).collect();
        let mut database = Database { schema, tables, rng };
        let (uuid, row) = (database.draw_uuid(), database.default_row("Open_vSwitch"));
        database.tables.get_mut("Open_vSwitch").expect("the schema has it").insert(uuid, Arc::new(row));
        database
    }

    /// The rows of a table.
    pub fn rows(&self, table: &str) -> impl Iterator<Item = (Uuid, &Row)> {
        self.tables.get(table).into_iter().flatten().map(|(uuid, row)| (*uuid, &**row))
    }

    /// A row.
    pub fn row(&self, table: &str, uuid: Uuid) -> Option<&Row> {
        self.tables.get(table)?.get(&uuid).map(|row| &**row)
    }

    /// The one row of the root table.
    pub fn root(&self) -> Option<(Uuid, &Row)> {
        self.rows("Open_vSwitch").next()
    }

    pub(super) fn default_row(&self, table: &str) -> Row {
        let columns = self.schema.tables.get(table).map(|table| &table.columns);
        columns.into_iter().flatten().map(|(name, column)| (name.clone(), column.default_value())).collect()
    }

    pub(super) fn draw_uuid(&mut self) -> Uuid {
        let mut bytes = [0; 16];
        self.rng.fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// Writes columns of a row, if it is there. They refer to no rows and are in no index, so that all stays sound that was:
    /// this is much cheaper than a transaction, and it is most of what happens to a database.
    pub(super) fn set_columns(&mut self, table: &str, uuid: Uuid, columns: &[(&str, Value)]) -> Changes {
        let mut changes = Changes::new();
        let Some(row) = self.tables.get_mut(table).and_then(|rows| rows.get_mut(&uuid)) else { return changes };
        if columns.iter().all(|(name, value)| row.get(*name) == Some(value)) {
            return changes;
        }
        let before = row.clone();
        for (name, value) in columns {
            let described = &self.schema.tables[table];
            let column = &described.columns[*name];
            let refers =
                [Some(&column.key), column.value.as_ref()].into_iter().flatten().any(|base| base.refers_to.is_some());
            let is_indexed = described.indexes.iter().flatten().any(|indexed| indexed == name);
            assert!(!refers && !is_indexed, "column {name} of {table} is written by transactions only");
            debug_assert_eq!(value.check(column), Ok(()), "{table} {name}");
            Arc::make_mut(row).insert(name.to_string(), value.clone());
        }
        changes.entry(table.to_string()).or_default().insert(uuid, (Some(before), Some(row.clone())));
        changes
    }

    /// Makes a draft of the tables the truth, if it is sound; what nothing refers to any more is gone then.
    pub(super) fn commit(&mut self, mut draft: Tables) -> Result<Changes, Refused> {
        // In the order in which ovsdb-server finds fault (`ovsdb_txn_precommit`).
        check_references(&self.schema, &draft)?;
        collect_garbage(&self.schema, &mut draft);
        check_sizes(&self.schema, &draft)?;
        drop_weak_references(&self.schema, &mut draft)?;
        check_indexes(&self.schema, &draft)?;
        let changes = difference(&self.tables, &draft);
        if !changes.is_empty() {
            self.tables = draft;
        }
        Ok(changes)
    }
}

/// The references in a row: the table, whether strong, and the row.
fn references<'a>(schema: &'a Schema, table: &str, row: &'a Row) -> impl Iterator<Item = (&'a str, bool, Uuid)> {
    let columns = schema.tables.get(table).map(|table| &table.columns);
    columns.into_iter().flatten().flat_map(move |(name, column)| {
        let of = |base: &'a Base, atoms: Vec<&'a Atom>| {
            let uuid = |atom: &Atom| match atom {
                Atom::Uuid(uuid) => Some(*uuid),
                _ => None,
            };
            let target = base.refers_to.as_deref();
            let found =
                target.map(|target| atoms.into_iter().filter_map(uuid).map(move |uuid| (target, base.strong, uuid)));
            found.into_iter().flatten().collect::<Vec<_>>()
        };
        match (row.get(name), &column.value) {
            (Some(Value::Set(atoms)), _) => of(&column.key, atoms.iter().collect()),
            (Some(Value::Map(pairs)), Some(value)) => {
                let mut all = of(&column.key, pairs.keys().collect());
                all.extend(of(value, pairs.values().collect()));
                all
            }
            _ => Vec::new(),
        }
    })
}

fn exists(tables: &Tables, table: &str, uuid: Uuid) -> bool {
    tables.get(table).is_some_and(|rows| rows.contains_key(&uuid))
}

/// Rows of tables that are no roots go when nothing refers to them strongly; and so on.
fn collect_garbage(schema: &Schema, tables: &mut Tables) {
    loop {
        let mut needed: BTreeSet<(&str, Uuid)> = BTreeSet::new();
        for (table, rows) in tables.iter() {
            for (own, row) in rows {
                let strong = references(schema, table, row).filter(|(_, strong, _)| *strong);
                needed.extend(strong.filter(|(to, _, uuid)| (*to, *uuid) != (table, *own)).map(|(to, _, u)| (to, u)));
            }
        }
        let is_root = |table: &str| schema.tables.get(table).is_some_and(|table| table.is_root);
        let unneeded: Vec<(String, Uuid)> = tables
            .iter()
            .filter(|(table, _)| !is_root(table))
            .flat_map(|(table, rows)| rows.keys().map(move |uuid| (table, *uuid)))
            .filter(|(table, uuid)| !needed.contains(&(table.as_str(), *uuid)))
            .map(|(table, uuid)| (table.clone(), uuid))
            .collect();
        if unneeded.is_empty() {
            return;
        }
        for (table, uuid) in unneeded {
            tables.get_mut(&table).expect("it was just there").remove(&uuid);
        }
    }
}

/// Weak references to rows that are gone go too.
fn drop_weak_references(schema: &Schema, tables: &mut Tables) -> Result<(), Refused> {
    let mut dangling: Vec<(String, Uuid)> = Vec::new();
    for (table, rows) in tables.iter() {
        for (uuid, row) in rows {
            let mut weak = references(schema, table, row).filter(|(_, strong, _)| !strong);
            if weak.any(|(to, _, target)| !exists(tables, to, target)) {
                dangling.push((table.clone(), *uuid));
            }
        }
    }
    for (table, uuid) in dangling {
        let mut row = Row::clone(&tables[&table][&uuid]);
        for (name, column) in &schema.tables[&table].columns {
            let gone = |base: &Base, atom: &Atom| match (&base.refers_to, atom) {
                (Some(to), Atom::Uuid(target)) => !base.strong && !exists(tables, to, *target),
                _ => false,
            };
            match (row.get_mut(name), &column.value) {
                (Some(Value::Set(atoms)), _) => atoms.retain(|atom| !gone(&column.key, atom)),
                (Some(Value::Map(pairs)), Some(value)) => {
                    pairs.retain(|key, atom| !gone(&column.key, key) && !gone(value, atom));
                }
                _ => {}
            }
            if let Some(value) = row.get(name) {
                value.check(column)?;
            }
        }
        tables.get_mut(&table).expect("it was just there").insert(uuid, Arc::new(row));
    }
    Ok(())
}

fn check_references(schema: &Schema, tables: &Tables) -> Result<(), Refused> {
    for (table, rows) in tables {
        for (uuid, row) in rows {
            let mut strong = references(schema, table, row).filter(|(_, strong, _)| *strong);
            if let Some((to, _, target)) = strong.find(|(to, _, target)| !exists(tables, to, *target)) {
                let what = format!("row {uuid} of {table} refers to row {target} of {to}, which is not there");
                return Err(Refused("referential integrity violation", what));
            }
        }
    }
    Ok(())
}

fn check_sizes(schema: &Schema, tables: &Tables) -> Result<(), Refused> {
    for (name, table) in &schema.tables {
        let count = tables[name].len();
        if count > table.rows_max {
            let what = format!("{name} has {count} rows, and may have {}", table.rows_max);
            return Err(Refused("constraint violation", what));
        }
    }
    Ok(())
}

fn check_indexes(schema: &Schema, tables: &Tables) -> Result<(), Refused> {
    for (name, table) in &schema.tables {
        let rows = &tables[name];
        for index in &table.indexes {
            let mut seen = BTreeSet::new();
            for row in rows.values() {
                let key: Vec<&Value> = index.iter().filter_map(|column| row.get(column)).collect();
                if !seen.insert(key) {
                    let what = format!("two rows of {name} have the same {}", index.join(", "));
                    return Err(Refused("constraint violation", what));
                }
            }
        }
    }
    Ok(())
}

fn difference(old: &Tables, new: &Tables) -> Changes {
    let mut changes = Changes::new();
    for (table, rows) in new {
        let before = &old[table];
        let uuids: BTreeSet<Uuid> = before.keys().chain(rows.keys()).copied().collect();
        for uuid in uuids {
            let pair = (before.get(&uuid), rows.get(&uuid));
            let same = match pair {
                (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a == b,
                (a, b) => a.is_none() && b.is_none(),
            };
            if !same {
                changes.entry(table.clone()).or_default().insert(uuid, (pair.0.cloned(), pair.1.cloned()));
            }
        }
    }
    changes
}
