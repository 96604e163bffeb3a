//! Connections of a simulated ovsdb-server: framing, methods and answers (RFC 7047, section 4).
//!
//! Notices go out before the reply to the transaction that caused them, as from the real one. Faults are settings that a
//! world turns on: a reply that is lost, a transaction that is refused, notices that come late. Start at [`Server`].

use super::database::{Changes, Database};
use super::monitor::{Dialect, Monitor};
use super::value::Value;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use uuid::Uuid;

/// Most bytes of a message that is not complete.
const BUFFER_MAX: usize = 16 * 1024 * 1024;

/// What a server wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send bytes.
    Send(u64, Vec<u8>),
    /// The client spoke nonsense: end the connection.
    Close(u64),
}

/// What a world makes go wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The next transaction is carried out, and its reply never sent.
    pub lose_reply: bool,
    /// The next transaction is refused, and nothing of it done.
    pub refuse: bool,
    /// All are.
    pub refuse_all: bool,
    /// Everything for clients is sent so much later.
    pub delay: Duration,
}

/// A client that says nothing for so long is asked for a sign of life, and is given as long again
/// (`inactivity_probe` of a Manager, by default).
const PROBE: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Connection {
    buffer: Vec<u8>,
    monitors: Vec<Monitor>,
    /// When the client was heard last.
    heard: Duration,
    probed: bool,
}

impl Connection {
    fn deadline(&self) -> Duration {
        self.heard + if self.probed { 2 * PROBE } else { PROBE }
    }
}

/// A simulated ovsdb-server.
#[derive(Debug)]
pub struct Server {
    /// What it serves.
    pub database: Database,
    /// What goes wrong.
    pub faults: Faults,
    /// Transactions of clients that changed something.
    pub transactions: u64,
    /// Replies lost, and transactions refused, by faults.
    pub lost: (u64, u64),
    connections: BTreeMap<u64, Connection>,
    /// What is to be sent, and when.
    queue: VecDeque<(Duration, Output)>,
    now: Duration,
    changed: bool,
}

impl Server {
    /// An empty database but for its root row; what it draws is drawn from `rng`.
    pub fn new(rng: ChaCha8Rng) -> Server {
        Server {
            database: Database::new(rng),
            faults: Faults::default(),
            transactions: 0,
            lost: (0, 0),
            connections: BTreeMap::new(),
            queue: VecDeque::new(),
            now: Duration::ZERO,
            changed: true,
        }
    }

    /// A client connected.
    pub fn connected(&mut self, now: Duration, conn: u64) {
        let connection = Connection { buffer: Vec::new(), monitors: Vec::new(), heard: now, probed: false };
        self.connections.insert(conn, connection);
    }

    /// Asks silent clients for a sign of life, and gives up those that gave none.
    pub fn tick(&mut self, now: Duration) {
        self.now = now;
        let due = self.connections.iter().filter(|(_, connection)| connection.deadline() <= now);
        let due: Vec<(u64, bool)> = due.map(|(conn, connection)| (*conn, connection.probed)).collect();
        for (conn, probed) in due {
            if probed {
                self.connections.remove(&conn);
                self.put(Output::Close(conn));
            } else {
                self.connections.get_mut(&conn).into_iter().for_each(|connection| connection.probed = true);
                self.send(conn, &json!({"method": "echo", "params": [], "id": "echo"}));
            }
        }
    }

    /// A client is gone.
    pub fn closed(&mut self, conn: u64) {
        self.connections.remove(&conn);
    }

    /// The server is restarted: clients are gone, the database stays.
    pub fn restart(&mut self) {
        self.queue.clear();
        self.connections.clear();
    }

    /// When something is to be sent that waits, or somebody is to be asked for a sign of life.
    pub fn deadline(&self) -> Option<Duration> {
        let probes = self.connections.values().map(Connection::deadline);
        self.queue.front().map(|(at, _)| *at).into_iter().chain(probes).min()
    }

    /// What is to be sent by now.
    pub fn take_output(&mut self, now: Duration) -> Vec<Output> {
        self.now = now;
        let due = self.queue.iter().take_while(|(at, _)| *at <= now).count();
        self.queue.drain(..due).map(|(_, output)| output).collect()
    }

    /// Whether the database changed since this was asked last.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    fn put(&mut self, output: Output) {
        // Behind whatever waits already: nothing overtakes.
        let after = self.queue.back().map_or(Duration::ZERO, |(at, _)| *at);
        self.queue.push_back(((self.now + self.faults.delay).max(after), output));
    }

    fn send(&mut self, conn: u64, message: &Json) {
        self.put(Output::Send(conn, message.to_string().into_bytes()));
    }

    /// A client's bytes arrived.
    pub fn received(&mut self, now: Duration, conn: u64, bytes: &[u8]) {
        self.now = now;
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        (connection.heard, connection.probed) = (now, false);
        connection.buffer.extend_from_slice(bytes);
        loop {
            let Some(connection) = self.connections.get_mut(&conn) else { return };
            let mut stream = serde_json::Deserializer::from_slice(&connection.buffer).into_iter::<Json>();
            match stream.next() {
                None => {
                    connection.buffer.clear();
                    return;
                }
                Some(Ok(message)) => {
                    let used = stream.byte_offset();
                    connection.buffer.drain(..used);
                    self.message(conn, &message);
                }
                Some(Err(error)) if error.is_eof() && connection.buffer.len() < BUFFER_MAX => return,
                Some(Err(_)) => {
                    self.connections.remove(&conn);
                    return self.put(Output::Close(conn));
                }
            }
        }
    }

    fn message(&mut self, conn: u64, message: &Json) {
        let Some(method) = message["method"].as_str() else {
            // An answer to a probe of ours; anything else is nonsense.
            if message.get("result").is_none() {
                self.connections.remove(&conn);
                self.put(Output::Close(conn));
            }
            return;
        };
        let params = message["params"].as_array().cloned().unwrap_or_default();
        let reply = match method {
            "echo" => Ok(json!(params)),
            "list_dbs" => Ok(json!([self.database.schema.name, "_Server"])),
            "get_schema" => self.named(&params).map(|()| self.database.schema.json.clone()),
            "transact" => match self.transact(&params) {
                Some(reply) => reply,
                None => return,
            },
            "monitor" => self.monitor(conn, Dialect::Old, &params),
            "monitor_cond" => self.monitor(conn, Dialect::Cond, &params),
            "monitor_cond_since" => self.monitor(conn, Dialect::CondSince, &params),
            "monitor_cond_change" => self.change_monitor(conn, &params),
            "monitor_cancel" => self.cancel_monitor(conn, &params),
            "set_db_change_aware" => Ok(json!({})),
            _ => Err(json!("unknown method")),
        };
        let (result, error) = match reply {
            Ok(result) => (result, Json::Null),
            Err(error) => (Json::Null, error),
        };
        if !message["id"].is_null() {
            self.send(conn, &json!({"id": message["id"], "result": result, "error": error}));
        }
    }

    fn named(&self, params: &[Json]) -> Result<(), Json> {
        match params.first().and_then(Json::as_str) {
            Some(name) if *name == self.database.schema.name => Ok(()),
            Some(name) => Err(json!({"error": "unknown database", "details": name})),
            None => Err(syntax_error("the name of a database must come first")),
        }
    }

    /// A client's transaction; nothing is answered if its reply is lost.
    fn transact(&mut self, params: &[Json]) -> Option<Result<Json, Json>> {
        if let Err(error) = self.named(params) {
            return Some(Err(error));
        }
        if std::mem::take(&mut self.faults.refuse) || self.faults.refuse_all {
            self.lost.1 += 1;
            let error = json!({"error": "timed out", "details": "another client won"});
            return Some(Ok(json!([error])));
        }
        let (results, changes) = self.database.transact(&params[1..]);
        self.transactions += u64::from(!changes.is_empty());
        self.tell(&changes);
        if std::mem::take(&mut self.faults.lose_reply) {
            self.lost.0 += 1;
            return None;
        }
        Some(Ok(Json::Array(results)))
    }

    /// A transaction of a program on the same host, such as ovs-vsctl.
    pub fn transact_locally(&mut self, operations: &[Json]) -> Vec<Json> {
        let (results, changes) = self.database.transact(operations);
        self.tell(&changes);
        results
    }

    /// Columns as ovs-vswitchd writes them, which refer to no rows: nobody is told if nothing changed.
    pub fn set_columns(&mut self, table: &str, uuid: Uuid, columns: &[(&str, Value)]) {
        let changes = self.database.set_columns(table, uuid, columns);
        self.tell(&changes);
    }

    fn tell(&mut self, changes: &Changes) {
        if changes.is_empty() {
            return;
        }
        self.changed = true;
        let schema = self.database.schema.clone();
        let mut notices = Vec::new();
        for (conn, connection) in &self.connections {
            for monitor in &connection.monitors {
                let updates = monitor.updates(changes, &schema, false);
                notices.extend(updates.map(|updates| (*conn, monitor.notice(updates))));
            }
        }
        notices.iter().for_each(|(conn, notice)| self.send(*conn, notice));
    }

    fn monitors(&mut self, conn: u64) -> &mut Vec<Monitor> {
        &mut self.connections.get_mut(&conn).expect("who speaks is connected").monitors
    }

    fn monitor(&mut self, conn: u64, dialect: Dialect, params: &[Json]) -> Result<Json, Json> {
        self.named(params)?;
        let (Some(id), Some(requests)) = (params.get(1), params.get(2)) else {
            return Err(syntax_error("monitor needs a name and requests"));
        };
        if self.monitors(conn).iter().any(|monitor| monitor.id == *id) {
            return Err(syntax_error("there is a monitor of this name"));
        }
        let monitor = Monitor::read(dialect, id, requests, &self.database.schema).map_err(|refused| refused.json())?;
        let answer = monitor.answer(monitor.initial(&self.database));
        self.monitors(conn).push(monitor);
        Ok(answer)
    }

    fn change_monitor(&mut self, conn: u64, params: &[Json]) -> Result<Json, Json> {
        let [old, new, requests] = params else {
            return Err(syntax_error("monitor_cond_change needs two names and requests"));
        };
        let connection = self.connections.get_mut(&conn).expect("who speaks is connected");
        let Some(index) = connection.monitors.iter().position(|monitor| monitor.id == *old) else {
            return Err(syntax_error("there is no monitor of this name"));
        };
        if old != new && connection.monitors.iter().any(|monitor| monitor.id == *new) {
            return Err(syntax_error("there is a monitor of this name"));
        }
        let monitor = &mut connection.monitors[index];
        let updates = monitor.change(requests, &self.database).map_err(|refused| refused.json())?;
        monitor.id = new.clone();
        let notice = updates.map(|updates| monitor.notice(updates));
        notice.iter().for_each(|notice| self.send(conn, notice));
        Ok(json!({}))
    }

    fn cancel_monitor(&mut self, conn: u64, params: &[Json]) -> Result<Json, Json> {
        let monitors = self.monitors(conn);
        let before = monitors.len();
        monitors.retain(|monitor| Some(&monitor.id) != params.first());
        if monitors.len() < before { Ok(json!({})) } else { Err(json!("unknown monitor")) }
    }
}

fn syntax_error(details: impl Into<String>) -> Json {
    json!({"error": "syntax error", "details": details.into()})
}
