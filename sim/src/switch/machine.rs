//! One hypervisor's Open vSwitch as a machine: ovsdb-server and ovs-vswitchd together.
//!
//! Bytes of connections, frames of devices, packets of tunnels and the time go in; the same come out. Who owns it carries
//! the connections: it is told to open one, and says when one is open, has spoken or is gone. Start at [`Switch::step`].

use super::datapath::Counters;
use super::openflow::agent;
use super::ovsdb::server::{self, Server};
use super::ovsdb::value::{Atom, Value};
use super::vswitchd::Vswitchd;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use uuid::Uuid;

/// What a switch is.
#[derive(Clone, Debug)]
pub struct SwitchConfig {
    /// `external_ids:system-id`.
    pub system_id: String,
    /// Where its tunnels end: one address for each family.
    pub tunnel_ends: Vec<IpAddr>,
    /// The largest outer packet, in bytes.
    pub mtu: usize,
    /// `ovs_version`.
    pub version: String,
    /// Nothing is volunteered: no statistics and no status that nobody asked for.
    pub silent: bool,
    /// What it draws is drawn from this.
    pub seed: u64,
}

/// What happens to a switch.
#[derive(Clone, Debug)]
pub enum Input {
    /// Time passed.
    Tick,
    /// A connection that it asked for is open.
    Opened(u64),
    /// A connection that it asked for could not be opened, or a connection is gone.
    Closed(u64),
    /// Somebody connected to the database.
    Accepted(u64),
    /// Somebody connected to a bridge, as ovs-ofctl does: to speak OpenFlow.
    AcceptedByBridge(String, u64),
    /// Bytes of a connection.
    Received(u64, Vec<u8>),
    /// A frame of a device.
    Frame(String, Vec<u8>),
    /// A packet from the underlay, outer header first.
    Underlay(Vec<u8>),
}

/// What a switch does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Open a connection, under this name, to an address.
    Connect(u64, SocketAddr),
    /// Send bytes.
    Send(u64, Vec<u8>),
    /// End a connection.
    Close(u64),
    /// A frame leaves by a device.
    Frame(String, Vec<u8>),
    /// A packet enters the underlay, outer header first.
    Underlay(Vec<u8>),
}

/// What a connection is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Purpose {
    /// To a manager, which speaks OVSDB.
    Manager(String),
    /// To a controller of a bridge, which speaks OpenFlow.
    Controller { bridge: String, target: String },
}

/// How a connection that is wanted fares.
#[derive(Clone, Copy, Debug)]
enum Dialling {
    /// It is tried again then, after a pause that grows.
    Waiting(Duration, Duration),
    /// It is being opened, or open.
    Under(u64, Duration),
}

/// First pause between attempts (`backoff` in Open vSwitch's reconnect), and the longest where the database names none.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(8));

/// A hypervisor's Open vSwitch.
#[derive(Debug)]
pub struct Switch {
    /// Its database.
    pub server: Server,
    /// Its daemon; nothing while it is down.
    vswitchd: Option<Vswitchd>,
    config: SwitchConfig,
    wanted: BTreeMap<Purpose, Dialling>,
    open: BTreeMap<u64, Purpose>,
    /// Those of them that are open at both ends.
    up: std::collections::BTreeSet<u64>,
    next_conn: u64,
    /// Which devices there are, as the host's kernel knows them.
    devices: std::collections::BTreeSet<String>,
    lives: u64,
    next_statistics: Duration,
    /// Connections opened so far.
    pub sessions: u64,
}

impl Switch {
    /// A switch as it is after installation: a database with nothing in it, and a daemon.
    pub fn new(config: SwitchConfig) -> Switch {
        let rng = ChaCha8Rng::seed_from_u64(config.seed);
        let mut server = Server::new(rng);
        let ids = json!(["map", [["system-id", config.system_id]]]);
        let types = ["geneve", "gre", "internal", "patch", "stt", "system", "tap", "vxlan"];
        let row = json!({
            "external_ids": ids,
            "ovs_version": config.version,
            "iface_types": ["set", types],
            "datapath_types": ["set", ["netdev", "system"]],
        });
        server.transact_locally(&[json!({"op": "update", "table": "Open_vSwitch", "where": [], "row": row})]);
        let mut switch = Switch {
            server,
            vswitchd: None,
            config,
            wanted: BTreeMap::new(),
            open: BTreeMap::new(),
            up: Default::default(),
            next_conn: 0,
            devices: Default::default(),
            lives: 0,
            next_statistics: Duration::from_secs(5),
            sessions: 0,
        };
        switch.start_vswitchd(false);
        switch
    }

    /// Whether its daemon is up.
    pub fn is_up(&self) -> bool {
        self.vswitchd.is_some()
    }

    /// How often the daemon was started.
    pub fn lives(&self) -> u64 {
        self.lives
    }

    /// Whether no connection is open: nobody tells it anything.
    pub fn is_alone(&self) -> bool {
        self.up.is_empty()
    }

    /// The daemon, while it is up.
    pub fn vswitchd(&mut self) -> Option<&mut Vswitchd> {
        self.vswitchd.as_mut()
    }

    /// The daemon starts: it knows nothing but what the database says. With `renumber` ports that no number was requested
    /// for are numbered anew, the last first, so that one may have the number that another had.
    pub fn start_vswitchd(&mut self, renumber: bool) {
        self.lives += 1;
        let SwitchConfig { system_id, tunnel_ends, mtu, .. } = &self.config;
        self.vswitchd = Some(Vswitchd::new(system_id, tunnel_ends.clone(), *mtu, !renumber));
    }

    /// The daemon ends, and its connections with it. What it did is forgotten.
    pub fn stop_vswitchd(&mut self, out: &mut Vec<Output>) {
        self.vswitchd = None;
        let controllers: Vec<u64> = self
            .open
            .iter()
            .filter(|(_, purpose)| matches!(purpose, Purpose::Controller { .. }))
            .map(|(conn, _)| *conn)
            .collect();
        self.drop_connections(&controllers, out);
        self.wanted.retain(|purpose, _| matches!(purpose, Purpose::Manager(_)));
    }

    /// The database's server is restarted: its connections end, what it holds stays.
    pub fn restart_ovsdb(&mut self, now: Duration, out: &mut Vec<Output>) {
        self.server.restart();
        let of_manager = |purpose: &Purpose| matches!(purpose, Purpose::Manager(_));
        let clients: Vec<u64> =
            self.open.iter().filter(|(_, purpose)| of_manager(purpose)).map(|(conn, _)| *conn).collect();
        self.drop_connections(&clients, out);
        let managers = self.wanted.iter_mut().filter(|(purpose, _)| matches!(purpose, Purpose::Manager(_)));
        managers.for_each(|(_, dialling)| *dialling = Dialling::Waiting(now + BACKOFF.0, BACKOFF.0));
    }

    /// The host goes down: all connections are gone without a word, and so are its devices.
    pub fn power_off(&mut self) {
        self.vswitchd = None;
        self.server.restart();
        self.open.clear();
        self.up.clear();
        self.wanted.clear();
        self.devices.clear();
    }

    fn drop_connections(&mut self, connections: &[u64], out: &mut Vec<Output>) {
        for conn in connections {
            self.open.remove(conn);
            self.up.remove(conn);
            out.push(Output::Close(*conn));
        }
    }

    /// `ovs-vsctl set-manager`.
    pub fn set_manager(&mut self, target: &str) {
        self.server.transact_locally(&[
            json!({"op": "insert", "table": "Manager", "row": {"target": target}, "uuid-name": "m"}),
            json!({"op": "update", "table": "Open_vSwitch", "where": [], "row": {"manager_options": ["named-uuid", "m"]}}),
        ]);
    }

    /// Whether the host has a device of that name.
    pub fn has_device(&self, name: &str) -> bool {
        self.devices.contains(name)
    }

    /// A device appears, and is put on a bridge as libvirt does: with the interface's identity and the guest's address. If
    /// the bridge is not there the device is there all the same. Says whether the port was added.
    pub fn plug(&mut self, bridge: &str, device: &str, identity: &str, mac: &str) -> bool {
        self.devices.insert(device.to_string());
        let ids = json!(["map", [["iface-id", identity], ["attached-mac", mac], ["iface-status", "active"]]]);
        let there = |table: &str, server: &Server| {
            server.database.rows(table).any(|(_, row)| row["name"].text() == Some(device))
        };
        if let Some(vswitchd) = &mut self.vswitchd {
            vswitchd.look_again();
        }
        if there("Port", &self.server) {
            return true;
        }
        if !self.server.database.rows("Bridge").any(|(_, row)| row["name"].text() == Some(bridge)) {
            return false;
        }
        let results = self.server.transact_locally(&[
            json!({"op": "insert", "table": "Interface", "row": {"name": device, "external_ids": ids}, "uuid-name": "i"}),
            json!({"op": "insert", "table": "Port", "row": {"name": device, "interfaces": ["named-uuid", "i"]}, "uuid-name": "p"}),
            json!({"op": "mutate", "table": "Bridge", "where": [["name", "==", bridge]], "mutations": [["ports", "insert", ["named-uuid", "p"]]]}),
        ]);
        results.iter().all(|result| result.get("error").is_none())
    }

    /// A device goes, and its port with it.
    pub fn unplug(&mut self, device: &str) {
        self.devices.remove(device);
        let port = self.server.database.rows("Port").find(|(_, row)| row["name"].text() == Some(device));
        let Some((uuid, _)) = port else { return };
        let gone = json!(["uuid", uuid.to_string()]);
        self.server.transact_locally(&[json!(
            {"op": "mutate", "table": "Bridge", "where": [], "mutations": [["ports", "delete", ["set", [gone]]]]}
        )]);
    }

    /// A transaction of a program on the host: what an operator does with ovs-vsctl.
    pub fn transact(&mut self, operations: &[Json]) -> Vec<Json> {
        self.server.transact_locally(operations)
    }

    /// When something is due.
    pub fn deadline(&self) -> Option<Duration> {
        let dials = self.wanted.values().filter_map(|dialling| match dialling {
            Dialling::Waiting(at, _) => Some(*at),
            Dialling::Under(..) => None,
        });
        let daemon = self.vswitchd.as_ref().and_then(Vswitchd::deadline);
        let statistics = (!self.config.silent && self.is_up()).then_some(self.next_statistics);
        dials.chain(daemon).chain(self.server.deadline()).chain(statistics).min()
    }

    /// Something happens to the switch; what it does is added to `out`.
    pub fn step(&mut self, now: Duration, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Tick => {}
            Input::Opened(conn) => self.opened(now, conn),
            Input::Accepted(conn) => {
                self.open.insert(conn, Purpose::Manager(String::new()));
                self.server.connected(now, conn);
            }
            Input::AcceptedByBridge(bridge, conn) => {
                self.vswitchd.iter_mut().for_each(|daemon| daemon.connected(now, &bridge, conn));
                self.open.insert(conn, Purpose::Controller { bridge, target: String::new() });
            }
            Input::Closed(conn) => self.closed(now, conn),
            Input::Received(conn, bytes) => match self.open.get(&conn) {
                Some(Purpose::Manager(_)) => self.server.received(now, conn, &bytes),
                Some(Purpose::Controller { bridge, .. }) => {
                    let bridge = bridge.clone();
                    self.vswitchd.iter_mut().for_each(|daemon| daemon.received(now, &bridge, conn, &bytes));
                }
                None => {}
            },
            Input::Frame(device, frame) => {
                self.vswitchd.iter_mut().for_each(|daemon| daemon.frame(now, &device, frame.clone()));
            }
            Input::Underlay(packet) => self.vswitchd.iter_mut().for_each(|daemon| daemon.underlay(now, &packet)),
        }
        self.settle(now, out);
    }

    /// Does what follows from what happened, until nothing does.
    fn settle(&mut self, now: Duration, out: &mut Vec<Output>) {
        self.server.tick(now);
        if let Some(daemon) = &mut self.vswitchd {
            daemon.tick(now);
            if self.server.take_changed() || daemon.must_look() {
                daemon.look(&mut self.server, &self.devices);
                // What it wrote itself needs no second look.
                self.server.take_changed();
            }
            if now >= self.next_statistics && !self.config.silent {
                self.next_statistics = now + Duration::from_secs(5);
                volunteer(&mut self.server, daemon, now);
            }
        }
        self.dial(now, out);
        self.collect(now, out);
    }

    /// Connections that the database asks for are opened, and those it does not ask for any more are closed.
    fn dial(&mut self, now: Duration, out: &mut Vec<Output>) {
        let wanted = self.purposes();
        let unwanted: Vec<Purpose> = self.wanted.keys().filter(|purpose| !wanted.contains(purpose)).cloned().collect();
        for purpose in unwanted {
            if let Some(Dialling::Under(conn, _)) = self.wanted.remove(&purpose) {
                self.forget(conn);
                out.push(Output::Close(conn));
            }
        }
        for purpose in wanted {
            let dialling = self.wanted.entry(purpose.clone()).or_insert(Dialling::Waiting(now, BACKOFF.0));
            let Dialling::Waiting(at, pause) = *dialling else { continue };
            if at > now {
                continue;
            }
            self.next_conn += 1;
            let conn = self.next_conn;
            *dialling = Dialling::Under(conn, pause);
            let target = match &purpose {
                Purpose::Manager(target) | Purpose::Controller { target, .. } => target.clone(),
            };
            self.open.insert(conn, purpose);
            match address_of(&target) {
                Some(address) => out.push(Output::Connect(conn, address)),
                None => self.closed(now, conn),
            }
        }
    }

    fn purposes(&self) -> Vec<Purpose> {
        let database = &self.server.database;
        let managers = database.rows("Manager").filter_map(|(_, row)| row["target"].text());
        let managers = managers.map(|target| Purpose::Manager(target.to_string()));
        let bridges = database.rows("Bridge").flat_map(|(_, bridge)| {
            let name = bridge["name"].text().unwrap_or_default().to_string();
            let controllers = bridge["controller"].uuids().into_iter();
            controllers.filter_map(move |uuid| {
                let target = database.row("Controller", uuid)?["target"].text()?.to_string();
                Some(Purpose::Controller { bridge: name.clone(), target })
            })
        });
        let has_bridge = |purpose: &Purpose| match purpose {
            Purpose::Controller { bridge, .. } => {
                self.vswitchd.as_ref().is_some_and(|daemon| daemon.has_bridge(bridge))
            }
            Purpose::Manager(_) => true,
        };
        managers.chain(bridges).filter(has_bridge).collect()
    }

    fn opened(&mut self, now: Duration, conn: u64) {
        if self.open.contains_key(&conn) {
            self.up.insert(conn);
        }
        match self.open.get(&conn) {
            Some(Purpose::Manager(target)) => {
                let target = target.clone();
                self.sessions += 1;
                self.server.connected(now, conn);
                self.note("Manager", &target, true);
            }
            Some(Purpose::Controller { bridge, target }) => {
                let (bridge, target) = (bridge.clone(), target.clone());
                self.sessions += 1;
                self.vswitchd.iter_mut().for_each(|daemon| daemon.connected(now, &bridge, conn));
                self.note("Controller", &target, true);
            }
            None => {}
        }
    }

    fn closed(&mut self, now: Duration, conn: u64) {
        let Some(purpose) = self.forget(conn) else { return };
        let longest = self.longest_pause(&purpose);
        if let Some(dialling) = self.wanted.get_mut(&purpose)
            && let Dialling::Under(current, pause) = *dialling
            && current == conn
        {
            *dialling = Dialling::Waiting(now + pause, (pause * 2).min(longest));
        }
    }

    /// The longest pause between attempts: `max_backoff` in milliseconds, and one second at least.
    fn longest_pause(&self, purpose: &Purpose) -> Duration {
        let (table, target) = match purpose {
            Purpose::Manager(target) => ("Manager", target),
            Purpose::Controller { target, .. } => ("Controller", target),
        };
        let mut rows = self.server.database.rows(table);
        let row = rows.find(|(_, row)| row["target"].text() == Some(target)).map(|(_, row)| row);
        let pause = row.and_then(|row| u64::try_from(row["max_backoff"].number()?).ok()).map(Duration::from_millis);
        pause.unwrap_or(BACKOFF.1).max(BACKOFF.0)
    }

    /// A connection is gone for the switch's part.
    fn forget(&mut self, conn: u64) -> Option<Purpose> {
        self.up.remove(&conn);
        let purpose = self.open.remove(&conn)?;
        match &purpose {
            Purpose::Manager(target) => {
                self.server.closed(conn);
                self.note("Manager", &target.clone(), false);
            }
            Purpose::Controller { bridge, target } => {
                let (bridge, target) = (bridge.clone(), target.clone());
                self.vswitchd.iter_mut().for_each(|daemon| daemon.closed(&bridge, conn));
                self.note("Controller", &target, false);
            }
        }
        Some(purpose)
    }

    /// Notes in the database whether a target is connected; a silent switch says nothing of it.
    fn note(&mut self, table: &str, target: &str, connected: bool) {
        if self.config.silent {
            return;
        }
        let rows = self.server.database.rows(table).filter(|(_, row)| row["target"].text() == Some(target));
        let uuids: Vec<_> = rows.map(|(uuid, _)| uuid).collect();
        for uuid in uuids {
            let value = Value::one(Atom::Boolean(connected));
            self.server.set_columns(table, uuid, &[("is_connected", value)]);
        }
    }

    /// What the parts want sent.
    fn collect(&mut self, now: Duration, out: &mut Vec<Output>) {
        for output in self.server.take_output(now) {
            match output {
                server::Output::Send(conn, bytes) => out.push(Output::Send(conn, bytes)),
                server::Output::Close(conn) => {
                    self.closed(now, conn);
                    out.push(Output::Close(conn));
                }
            }
        }
        let Some(daemon) = &mut self.vswitchd else { return };
        let (messages, mut packets) = daemon.take_output(now);
        out.append(&mut packets);
        for message in messages {
            match message {
                agent::Output::Send(conn, bytes) => out.push(Output::Send(conn, bytes)),
                agent::Output::Close(conn) => {
                    self.closed(now, conn);
                    out.push(Output::Close(conn));
                }
                agent::Output::Packet { .. } => unreachable!("the daemon carries packets out itself"),
            }
        }
    }
}

/// Statistics, as ovs-vswitchd writes them every few seconds: noise for whoever watches.
fn volunteer(server: &mut Server, daemon: &Vswitchd, now: Duration) {
    let rows = server.database.rows("Interface");
    let rows: BTreeMap<String, Uuid> =
        rows.filter_map(|(uuid, row)| Some((row["name"].text()?.to_string(), uuid))).collect();
    for (interface, counters) in daemon.counted() {
        let Some(uuid) = rows.get(interface).copied() else { continue };
        let Counters { rx_packets, rx_bytes, rx_dropped, tx_packets, tx_bytes, tx_dropped } = *counters;
        let counts = [
            ("rx_packets", rx_packets),
            ("rx_bytes", rx_bytes),
            ("rx_dropped", rx_dropped),
            ("rx_errors", 0),
            ("tx_packets", tx_packets),
            ("tx_bytes", tx_bytes),
            ("tx_dropped", tx_dropped),
            ("tx_errors", 0),
        ];
        let counts = counts.map(|(name, count)| {
            (Atom::String(name.to_string()), Atom::Integer(i64::try_from(count).unwrap_or(i64::MAX)))
        });
        server.set_columns("Interface", uuid, &[("statistics", Value::Map(BTreeMap::from(counts)))]);
    }
    let Some((uuid, _)) = server.database.root() else { return };
    let seconds = Atom::String(now.as_secs().to_string());
    let statistics = Value::Map(BTreeMap::from([(Atom::String("cpu".to_string()), seconds)]));
    server.set_columns("Open_vSwitch", uuid, &[("statistics", statistics)]);
}

/// The address of a target such as `tcp:192.0.2.1:6640`; none if it is of another kind.
fn address_of(target: &str) -> Option<SocketAddr> {
    let (scheme, address) = target.split_once(':')?;
    ["tcp", "ssl"].contains(&scheme).then(|| address.parse().ok())?
}
