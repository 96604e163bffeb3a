//! Requests drawn from the schema: most of them sound, some not. Start at [`Requests::draw`].

use super::ends::CONNECTIONS;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use selvedge_sim::switch::ovsdb::schema::{Base, Column, Kind, Schema};
use selvedge_sim::switch::ovsdb::value::Atom;
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use uuid::Uuid;

/// The tables that requests are about; the rest of the schema has no kind of column that these have not.
const TABLES: [&str; 10] =
    ["Open_vSwitch", "Bridge", "Port", "Interface", "Controller", "Manager", "QoS", "Queue", "Mirror", "Flow_Table"];

/// One step of a conversation.
#[derive(Clone, Debug)]
pub enum Step {
    /// A client asks something.
    Ask(usize, Json),
    /// A client's connection ends, and it connects again.
    Reconnect(usize),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Ask(conn, message) => write!(f, "client {conn} asks {message}"),
            Step::Reconnect(conn) => write!(f, "client {conn} connects again"),
        }
    }
}

/// Draws a conversation.
pub struct Requests {
    random: ChaCha8Rng,
    schema: Schema,
    /// Rows that there are, or were.
    rows: BTreeMap<String, Vec<Uuid>>,
    /// The names of each client's monitors.
    monitors: Vec<BTreeSet<u64>>,
    next: u64,
}

/// What a transaction has said so far.
#[derive(Default)]
struct Transaction {
    operations: Vec<Json>,
    /// The names of new rows, by table.
    names: BTreeMap<String, Vec<String>>,
}

impl Requests {
    pub fn new(random: ChaCha8Rng, root: Uuid) -> Requests {
        let rows = BTreeMap::from([("Open_vSwitch".to_string(), vec![root])]);
        let monitors = vec![BTreeSet::new(); CONNECTIONS];
        Requests { random, schema: Schema::open_vswitch(), rows, monitors, next: 0 }
    }

    /// Takes note of what a step came to, from what was heard of it.
    pub fn learn(&mut self, step: &Step, heard: &[Vec<Json>]) {
        match step {
            Step::Reconnect(conn) => self.monitors[*conn].clear(),
            Step::Ask(conn, message) => {
                let Some(answer) = heard[*conn].iter().find(|one| one.get("method").is_none()) else { return };
                let inserted = message["params"].as_array().into_iter().flatten().skip(1);
                let results = answer["result"].as_array().into_iter().flatten();
                for (operation, result) in inserted.zip(results) {
                    if let (Some(table), Some(uuid)) = (operation["table"].as_str(), result["uuid"][1].as_str()) {
                        let rows = self.rows.entry(table.to_string()).or_default();
                        rows.push(uuid.parse().expect("servers give UUIDs"));
                    }
                }
            }
        }
    }

    /// The next step.
    pub fn draw(&mut self) -> Step {
        let conn = self.random.random_range(0..CONNECTIONS);
        self.next += 1;
        let (method, params) = match self.random.random_range(0..100) {
            0..72 => ("transact", self.transaction()),
            72..86 => self.monitor(conn),
            86..90 => match self.any_monitor(conn) {
                Some(id) => ("monitor_cond_change", self.changed_conditions(conn, id)),
                None => ("echo", json!([])),
            },
            90..93 => {
                let id = self.any_monitor(conn).unwrap_or(9_999);
                self.monitors[conn].remove(&id);
                ("monitor_cancel", json!([id]))
            }
            93 => ("echo", json!(["a", 2, {"b": null}])),
            94 => ("get_schema", json!([self.pick(&["Open_vSwitch", "Open_vSwitches"])])),
            95 => ("transact", json!(self.pick(&["[]", "[\"Other\"]", "[7]"]).parse::<Json>().expect("JSON"))),
            96 => (self.pick(&["frobnicate", "Transact", "update"]), json!([])),
            97 => ("set_db_change_aware", json!([true])),
            _ => return Step::Reconnect(conn),
        };
        Step::Ask(conn, json!({"id": self.next, "method": method, "params": params}))
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.random_range(0..from.len())]
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }

    fn uuid(&mut self) -> Uuid {
        let mut bytes = [0; 16];
        self.random.fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    fn any_monitor(&mut self, conn: usize) -> Option<u64> {
        let all: Vec<u64> = self.monitors[conn].iter().copied().collect();
        (!all.is_empty()).then(|| self.pick(&all))
    }

    fn table(&mut self) -> &'static str {
        if self.chance(1) { "Nonsense" } else { self.pick(&TABLES) }
    }

    /// Names of some of a table's columns.
    fn columns(&mut self, table: &str, most: usize) -> Vec<String> {
        let all: Vec<String> =
            self.schema.tables.get(table).map(|table| table.columns.keys().cloned().collect()).unwrap_or_default();
        let mut chosen = BTreeSet::new();
        for _ in 0..self.random.random_range(0..=most) {
            match all.is_empty() || self.chance(1) {
                true => chosen.insert("nonsense".to_string()),
                false => chosen.insert(all[self.random.random_range(0..all.len())].clone()),
            };
        }
        chosen.into_iter().collect()
    }

    fn transaction(&mut self) -> Json {
        let mut transaction = Transaction::default();
        for _ in 0..self.random.random_range(1..=4) {
            match self.random.random_range(0..100) {
                0..35 => self.grow(&mut transaction),
                35..42 => self.insert(&mut transaction),
                42..52 => self.select(&mut transaction),
                52..68 => self.update(&mut transaction),
                68..82 => self.mutate(&mut transaction),
                82..88 => self.delete(&mut transaction),
                88..94 => self.wait(&mut transaction),
                94 => transaction.operations.push(json!({"op": "abort"})),
                95 => transaction.operations.push(json!({"op": "commit", "durable": false})),
                96 => transaction.operations.push(json!({"op": "comment", "comment": "why"})),
                97 => transaction.operations.push(json!({"op": "assert", "lock": "mine"})),
                98 => transaction.operations.push(json!({"op": "frobnicate"})),
                _ => transaction.operations.push(json!({"table": "Bridge", "where": []})),
            }
        }
        let mut params = vec![json!("Open_vSwitch")];
        params.extend(transaction.operations);
        Json::Array(params)
    }

    /// Adds a row, and has another refer to it.
    fn grow(&mut self, transaction: &mut Transaction) {
        let mut references = Vec::new();
        for parent in TABLES {
            for (name, column) in &self.schema.tables[parent].columns {
                let child = column.key.refers_to.as_deref().filter(|child| TABLES.contains(child));
                references.extend(child.map(|child| (parent, name.clone(), child.to_string())));
            }
        }
        let (parent, column, child) = references[self.random.random_range(0..references.len())].clone();
        let name = self.add(transaction, &child);
        let named = json!(["named-uuid", name]);
        let is_set = self.schema.tables[parent].columns[&column].max > 1;
        let condition = self.which_row(transaction, parent);
        transaction.operations.push(match is_set && !self.chance(10) {
            true => json!({
                "op": "mutate", "table": parent, "where": condition,
                "mutations": [[column, "insert", ["set", [named]]]],
            }),
            false => json!({"op": "update", "table": parent, "where": condition, "row": {column: named}}),
        });
    }

    /// Inserts a row; says under which name.
    fn add(&mut self, transaction: &mut Transaction, table: &str) -> String {
        let name = format!("row{}", transaction.names.values().map(Vec::len).sum::<usize>());
        let mut row = self.row(transaction, table, 3);
        let indexes: Vec<String> =
            self.schema.tables.get(table).map(|table| table.indexes.concat()).unwrap_or_default();
        for column in indexes {
            let value = format!("{}{}", self.pick(&["a", "b", "c"]), self.random.random_range(0..40));
            row.insert(column, json!(value));
        }
        let uuid = self.uuid();
        transaction
            .operations
            .push(json!({"op": "insert", "table": table, "uuid": uuid.to_string(), "uuid-name": name, "row": row}));
        transaction.names.entry(table.to_string()).or_default().push(name.clone());
        name
    }

    fn insert(&mut self, transaction: &mut Transaction) {
        let table = self.table();
        self.add(transaction, table);
    }

    fn select(&mut self, transaction: &mut Transaction) {
        let table = self.table();
        let mut columns = self.columns(table, 4);
        if columns.is_empty() || self.chance(50) {
            columns.push("_uuid".to_string());
        }
        let condition = self.condition(transaction, table);
        transaction.operations.push(json!({"op": "select", "table": table, "where": condition, "columns": columns}));
    }

    fn update(&mut self, transaction: &mut Transaction) {
        let table = self.table();
        let (condition, row) = (self.which_row(transaction, table), self.row(transaction, table, 3));
        transaction.operations.push(json!({"op": "update", "table": table, "where": condition, "row": row}));
    }

    fn delete(&mut self, transaction: &mut Transaction) {
        let table =
            if self.chance(90) { self.pick(&["Port", "Queue", "QoS", "Mirror", "Bridge"]) } else { self.table() };
        let condition = self.which_row(transaction, table);
        transaction.operations.push(json!({"op": "delete", "table": table, "where": condition}));
    }

    fn mutate(&mut self, transaction: &mut Transaction) {
        let table = self.table();
        let mut mutations = Vec::new();
        for name in self.columns(table, 2) {
            let column = self.schema.column(table, &name).cloned();
            let mutator = match column.as_ref().map(|column| (column.key.kind, column.is_scalar())) {
                Some((Kind::Integer | Kind::Real, true)) => self.pick(&["+=", "-=", "*=", "/=", "%=", "insert"]),
                _ => self.pick(&["insert", "insert", "insert", "delete", "delete", "+=", "nonsense"]),
            };
            let value = match column {
                Some(column) if mutator == "delete" && column.value.is_some() && self.chance(50) => {
                    let keys = Column { value: None, min: 0, ..column };
                    self.value(transaction, &keys)
                }
                Some(column) if mutator.ends_with('=') && column.key.kind == Kind::Integer => match mutator {
                    "+=" | "-=" => json!(self.pick(&[0, 1, 2, -1, i64::MAX])),
                    // ovsdb-server 3.1 dies of a multiplication by zero, and of the least integer by -1.
                    "*=" => json!(self.pick(&[1, 2, 3, i64::MAX])),
                    _ => json!(self.pick(&[0, 1, 2, 3, i64::MAX])),
                },
                Some(column) => self.value(transaction, &column),
                None => json!("x"),
            };
            mutations.push(json!([name, mutator, value]));
        }
        let condition = self.which_row(transaction, table);
        transaction
            .operations
            .push(json!({"op": "mutate", "table": table, "where": condition, "mutations": mutations}));
    }

    fn wait(&mut self, transaction: &mut Transaction) {
        let table = self.table();
        let columns = self.columns(table, 2);
        let mut rows = Vec::new();
        for _ in 0..self.random.random_range(0..=1) {
            let mut row = Map::new();
            for name in &columns {
                if let Some(column) = self.schema.column(table, name).cloned() {
                    let value = self.value(transaction, &column);
                    row.insert(name.clone(), value);
                }
            }
            rows.push(row);
        }
        let (condition, until) = (self.which_row(transaction, table), self.pick(&["==", "!=", "!=", "!=", "<"]));
        transaction.operations.push(json!({
            "op": "wait", "table": table, "timeout": 0, "where": condition,
            "columns": columns, "until": until, "rows": rows,
        }));
    }

    /// A condition that holds for one row, mostly.
    fn which_row(&mut self, transaction: &Transaction, table: &str) -> Json {
        if table == "Open_vSwitch" && self.chance(90) {
            return json!([]);
        }
        if self.chance(80) {
            let uuid = self.reference(transaction, table);
            return json!([["_uuid", "==", uuid]]);
        }
        self.condition(transaction, table)
    }

    fn condition(&mut self, transaction: &Transaction, table: &str) -> Json {
        let mut clauses = Vec::new();
        for name in self.columns(table, 2) {
            let Some(column) = self.schema.column(table, &name).cloned() else { continue };
            let function = match self.random.random_range(0..10) {
                0..4 => "==",
                4 => "!=",
                5..7 => "includes",
                7 => "excludes",
                8 => self.pick(&["<", "<=", ">", ">="]),
                _ => self.pick(&["==", "=~"]),
            };
            let value = self.value(transaction, &column);
            clauses.push(json!([name, function, value]));
        }
        if self.chance(5) {
            clauses.push(json!(self.chance(50)));
        }
        Json::Array(clauses)
    }

    fn row(&mut self, transaction: &Transaction, table: &str, most: usize) -> Map<String, Json> {
        let mut row = Map::new();
        for name in self.columns(table, most) {
            let value = match self.schema.column(table, &name).cloned() {
                Some(column) => self.value(transaction, &column),
                None => json!("x"),
            };
            row.insert(name, value);
        }
        row
    }

    /// A value of a column, mostly of its type and size.
    fn value(&mut self, transaction: &Transaction, column: &Column) -> Json {
        if self.chance(2) {
            let wrong =
                ["null", "\"x\"", "17", "true", "1.5", "[\"set\",3]", "[\"map\",[]]", "[\"uuid\",\"zz\"]", "[]", "{}"];
            return self.pick(&wrong).parse().expect("JSON");
        }
        let most = if self.chance(5) { column.max.saturating_add(1) } else { column.max }.min(3);
        let least = if self.chance(2) { 0 } else { column.min };
        let count = self.random.random_range(least.min(most)..=most);
        let mut elements = BTreeMap::new();
        for _ in 0..count {
            let key = self.atom(transaction, &column.key);
            let element = match &column.value {
                Some(value) => json!([key, self.atom(transaction, value)]),
                None => key.clone(),
            };
            elements.insert(key.to_string(), element);
        }
        let elements: Vec<Json> = elements.into_values().collect();
        match (&column.value, elements.as_slice()) {
            (None, [one]) if !self.chance(20) => one.clone(),
            (None, _) => json!(["set", elements]),
            (Some(_), _) => json!(["map", elements]),
        }
    }

    fn atom(&mut self, transaction: &Transaction, base: &Base) -> Json {
        if let Some(allowed) = base.one_of.clone()
            && !self.chance(3)
        {
            let allowed: Vec<&Atom> = allowed.iter().collect();
            return allowed[self.random.random_range(0..allowed.len())].json();
        }
        match base.kind {
            Kind::Integer => {
                let near = [base.integer_min, base.integer_min.saturating_add(1), base.integer_max];
                let far = [base.integer_min.saturating_sub(1), base.integer_max.saturating_add(1), 0];
                json!(if self.chance(95) { self.pick(&near) } else { self.pick(&far) })
            }
            Kind::Real => json!(self.pick(&[0.0, 1.5, -2.25, 1e10])),
            Kind::Boolean => json!(self.chance(50)),
            Kind::String => json!(self.pick(&["", "a", "b", "c", "ä", "with space", "a\"b"])),
            Kind::Uuid => match base.refers_to.clone() {
                Some(table) => self.reference(transaction, &table),
                None => json!(["uuid", self.uuid().to_string()]),
            },
        }
    }

    /// A row of a table: new in this transaction, older, or not there.
    fn reference(&mut self, transaction: &Transaction, table: &str) -> Json {
        let names = transaction.names.get(table).cloned().unwrap_or_default();
        let rows = self.rows.get(table).cloned().unwrap_or_default();
        match self.random.random_range(0..100) {
            0..40 if !names.is_empty() => json!(["named-uuid", names[self.random.random_range(0..names.len())]]),
            0..97 if !rows.is_empty() => {
                // The newest are the likeliest to be there still.
                let newest = rows.len().min(12);
                json!(["uuid", rows[rows.len() - 1 - self.random.random_range(0..newest)].to_string()])
            }
            99 => json!(["named-uuid", "nobody"]),
            _ => json!(["uuid", self.uuid().to_string()]),
        }
    }

    fn monitor(&mut self, conn: usize) -> (&'static str, Json) {
        let method = self.pick(&["monitor", "monitor_cond", "monitor_cond", "monitor_cond_since"]);
        // A name that is taken is refused.
        let taken = self.any_monitor(conn).filter(|_| self.random.random_range(0..20) == 0);
        let id = taken.unwrap_or(self.next);
        let mut requests = Map::new();
        for _ in 0..self.random.random_range(1..=3) {
            let table = self.table();
            let request = self.monitor_request(table, method != "monitor");
            requests.insert(table.to_string(), request);
        }
        // Too many would be told everything many times.
        if self.monitors[conn].len() >= 4 {
            let oldest = self.monitors[conn].pop_first();
            return ("monitor_cancel", json!([oldest]));
        }
        self.monitors[conn].insert(id);
        let mut params = vec![json!("Open_vSwitch"), json!(id), Json::Object(requests)];
        if method == "monitor_cond_since" {
            let last = if self.chance(50) { Uuid::nil() } else { self.uuid() };
            params.push(json!(last.to_string()));
        }
        (method, Json::Array(params))
    }

    fn monitor_request(&mut self, table: &str, with_conditions: bool) -> Json {
        let mut parts = Vec::new();
        // All columns are `_version` too, which alone changes where a weak reference to a row that is not there is written.
        let mut columns = if table != "Mirror" && self.chance(20) { None } else { Some(self.columns(table, 4)) };
        for _ in 0..self.random.random_range(1..=2) {
            let mut part = Map::new();
            if let Some(columns) = &columns {
                part.insert("columns".to_string(), json!(columns));
            }
            if self.chance(30) {
                let mut select = Map::new();
                for kind in ["initial", "insert", "delete", "modify"] {
                    if self.chance(50) {
                        select.insert(kind.to_string(), json!(self.chance(50)));
                    }
                }
                part.insert("select".to_string(), Json::Object(select));
            }
            let is_conditional = with_conditions && parts.is_empty() && self.chance(40);
            if is_conditional {
                let condition = self.condition(&Transaction::default(), table);
                part.insert("where".to_string(), condition);
            }
            parts.push(Json::Object(part));
            // A column may be asked for once; what several conditions for one table mean is nowhere said.
            let Some(named) = columns.as_ref().filter(|_| !is_conditional) else { break };
            let more: Vec<String> = self.columns(table, 2).into_iter().filter(|name| !named.contains(name)).collect();
            if more.is_empty() {
                break;
            }
            columns = Some(more);
        }
        match parts.len() {
            1 if self.chance(50) => parts.remove(0),
            _ => Json::Array(parts),
        }
    }

    fn changed_conditions(&mut self, conn: usize, id: u64) -> Json {
        let new = if self.chance(20) { self.next } else { id };
        let mut requests = Map::new();
        // One table at a time: of a refused change ovsdb-server 3.1 keeps what came before the fault, and dies of it later.
        let table = self.table();
        let condition = self.condition(&Transaction::default(), table);
        requests.insert(table.to_string(), json!([{"where": condition}]));
        self.monitors[conn].remove(&id);
        self.monitors[conn].insert(new);
        json!([id, new, requests])
    }
}
