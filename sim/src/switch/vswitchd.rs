//! A simulated ovs-vswitchd: makes the database's bridges and ports real, and tells it what came of that
//! (ovs-vswitchd.conf.db(5)).
//!
//! Each bridge is a datapath with an OpenFlow agent. Ports get the number that was requested, or the next that was never
//! used; a device that the host does not have gets none and an error. Start at [`Vswitchd::look`].

use super::datapath::tunnel::{Protocol, Setting, TunnelConfig, Tunnels};
use super::datapath::{Bridge, Counters, Effect, Port, PortKind};
use super::machine::Output;
use super::model::port;
use super::openflow::agent::{self, Agent};
use super::ovsdb::database::Row;
use super::ovsdb::server::Server;
use super::ovsdb::value::{Atom, Value};
use super::packet::Packet;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;
use uuid::Uuid;

/// A bridge, as it runs.
#[derive(Debug)]
pub struct Running {
    /// What forwards.
    pub bridge: Bridge,
    /// What controllers talk to.
    pub agent: Agent,
    /// The port number of each interface.
    numbers: BTreeMap<String, u32>,
    next_number: u32,
    /// Numbers that ports have or had.
    used: BTreeSet<u32>,
}

/// A simulated ovs-vswitchd.
#[derive(Debug)]
pub struct Vswitchd {
    /// Bridges, by name.
    pub bridges: BTreeMap<String, Running>,
    /// The ends of tunnels.
    pub tunnels: Tunnels,
    system_id: String,
    /// Ports get the number that the database says they had. Otherwise numbers are given anew from the first on, last port
    /// first, so that many a port has the number that another had.
    keeps_numbers: bool,
    packets: Vec<Output>,
    messages: Vec<agent::Output>,
    look: bool,
}

/// What the database wants of an interface.
struct Wanted {
    uuid: Uuid,
    name: String,
    kind: String,
    request: Option<u32>,
    had: Option<u32>,
    tunnel: Option<TunnelConfig>,
}

impl Vswitchd {
    /// A daemon that has seen nothing yet.
    pub fn new(system_id: &str, ends: Vec<IpAddr>, mtu: usize, keeps_numbers: bool) -> Vswitchd {
        let mut tunnels = Tunnels::default();
        (tunnels.local, tunnels.mtu) = (ends, mtu);
        Vswitchd {
            bridges: BTreeMap::new(),
            tunnels,
            system_id: system_id.to_string(),
            keeps_numbers,
            packets: Vec::new(),
            messages: Vec::new(),
            look: true,
        }
    }

    /// Looks at the database again at the next step: a device came or went.
    pub fn look_again(&mut self) {
        self.look = true;
    }

    pub(super) fn must_look(&mut self) -> bool {
        std::mem::take(&mut self.look)
    }

    /// What passed each interface that is a port.
    pub(super) fn counted(&self) -> impl Iterator<Item = (&str, &Counters)> {
        let ports = self.bridges.values().flat_map(|running| running.bridge.ports());
        ports.map(|port| (port.name.as_str(), &port.counters))
    }

    /// Whether a bridge runs.
    pub fn has_bridge(&self, name: &str) -> bool {
        self.bridges.contains_key(name)
    }

    /// Makes real what the database says, and writes back what came of it.
    pub(super) fn look(&mut self, server: &mut Server, devices: &BTreeSet<String>) {
        let rows: BTreeMap<String, (Uuid, Row)> = server
            .database
            .rows("Bridge")
            .filter_map(|(uuid, row)| Some((row["name"].text()?.to_string(), (uuid, row.clone()))))
            .collect();
        // A daemon with a root that lists no bridge has none, whatever rows say.
        self.bridges.retain(|name, _| rows.contains_key(name));
        for (name, (uuid, row)) in &rows {
            let datapath_id = datapath_id(&self.system_id, name, row);
            self.bridges.entry(name.clone()).or_insert_with(|| Running {
                bridge: Bridge::new(name),
                agent: Agent::new(datapath_id),
                numbers: BTreeMap::new(),
                next_number: 1,
                used: BTreeSet::new(),
            });
            let text = Value::one(Atom::String(format!("{datapath_id:016x}")));
            server.set_columns("Bridge", *uuid, &[("datapath_id", text)]);
            self.ports(name, row, server, devices);
        }
        if let Some((uuid, root)) = server.database.root() {
            let next = root["next_cfg"].clone();
            server.set_columns("Open_vSwitch", uuid, &[("cur_cfg", next)]);
        }
    }

    fn ports(&mut self, name: &str, row: &Row, server: &mut Server, devices: &BTreeSet<String>) {
        let running = self.bridges.get_mut(name).expect("it was just made");
        let mut wanted = wanted(row, server);
        if !self.keeps_numbers {
            wanted.reverse();
        }
        let gone: Vec<String> =
            running.numbers.keys().filter(|known| !wanted.iter().any(|w| w.name == **known)).cloned().collect();
        gone.iter().for_each(|device| running.remove(device));
        for wanted in &wanted {
            let own = wanted.name == *name;
            let exists = own || wanted.tunnel.is_some() || wanted.kind == "internal" || devices.contains(&wanted.name);
            let columns = match exists {
                true => {
                    let number = running.put(wanted, own, self.keeps_numbers);
                    vec![
                        ("ofport", Value::one(Atom::Integer(i64::from(number)))),
                        ("error", Value::Set(BTreeSet::new())),
                        ("link_state", Value::strings(["up"])),
                        ("admin_state", Value::strings(["up"])),
                    ]
                }
                false => {
                    running.remove(&wanted.name);
                    let error = format!("could not open network device {} (No such device)", wanted.name);
                    vec![
                        ("ofport", Value::one(Atom::Integer(-1))),
                        ("error", Value::strings([error.as_str()])),
                        ("link_state", Value::Set(BTreeSet::new())),
                        ("admin_state", Value::Set(BTreeSet::new())),
                    ]
                }
            };
            server.set_columns("Interface", wanted.uuid, &columns);
        }
    }

    pub(super) fn connected(&mut self, now: Duration, bridge: &str, conn: u64) {
        self.bridges.get_mut(bridge).into_iter().for_each(|running| running.agent.connected(now, conn));
    }

    pub(super) fn closed(&mut self, bridge: &str, conn: u64) {
        self.bridges.get_mut(bridge).into_iter().for_each(|running| running.agent.closed(conn));
    }

    pub(super) fn received(&mut self, now: Duration, bridge: &str, conn: u64, bytes: &[u8]) {
        if let Some(Running { bridge, agent, .. }) = self.bridges.get_mut(bridge) {
            agent.received(now, conn, bytes, bridge);
        }
    }

    pub(super) fn tick(&mut self, now: Duration) {
        for Running { bridge, agent, .. } in self.bridges.values_mut() {
            agent.tick(now, bridge);
        }
        let names: Vec<String> = self.bridges.keys().cloned().collect();
        for name in names {
            let effects = self.bridges.get_mut(&name).map(|running| running.bridge.step(now)).unwrap_or_default();
            self.carry_out(&name, effects);
        }
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        let due = self.bridges.values().flat_map(|running| [running.agent.deadline(), running.bridge.deadline()]);
        due.flatten().min()
    }

    /// A frame of a device.
    pub(super) fn frame(&mut self, now: Duration, device: &str, frame: Vec<u8>) {
        let of = self
            .bridges
            .iter()
            .find_map(|(name, running)| running.numbers.get(device).map(|number| (name.clone(), *number)));
        let Some((name, number)) = of else { return };
        let running = self.bridges.get_mut(&name).expect("it was just there");
        let effects = running.bridge.execute(now, number, Packet::new(frame), None);
        self.carry_out(&name, effects);
    }

    /// A packet from the underlay.
    pub(super) fn underlay(&mut self, now: Duration, packet: &[u8]) {
        let names: Vec<String> = self.bridges.keys().cloned().collect();
        for name in names {
            let running = self.bridges.get_mut(&name).expect("it was just there");
            let ports = running.bridge.ports().filter_map(|port| match &port.kind {
                PortKind::Tunnel(config) => Some((port.number, config)),
                PortKind::Device | PortKind::Patch(_) => None,
            });
            // What is refused is counted where it is.
            if let Ok(Some(opened)) = self.tunnels.decapsulate(now, packet, ports) {
                let inner = Packet::new(opened.inner);
                let effects = running.bridge.execute(now, opened.port, inner, Some(&opened.tunnel));
                return self.carry_out(&name, effects);
            }
        }
    }

    fn carry_out(&mut self, name: &str, effects: Vec<Effect>) {
        let Some(running) = self.bridges.get_mut(name) else { return };
        for effect in effects {
            let Effect::Output(output) = effect else { continue };
            let Some(port) = running.bridge.port(output.port) else { continue };
            match &port.kind {
                PortKind::Device => self.packets.push(Output::Frame(port.name.clone(), output.packet.data)),
                PortKind::Patch(_) => {}
                PortKind::Tunnel(config) => {
                    let metadata = output.tunnel.unwrap_or_default();
                    // What is refused is counted where it is.
                    if let Ok(packets) = self.tunnels.encapsulate(config, &metadata, &output.packet.data) {
                        self.packets.extend(packets.into_iter().map(Output::Underlay));
                    }
                }
            }
        }
    }

    /// Messages for controllers, and packets.
    pub(super) fn take_output(&mut self, now: Duration) -> (Vec<agent::Output>, Vec<Output>) {
        let names: Vec<String> = self.bridges.keys().cloned().collect();
        for name in names {
            let outputs = self.bridges.get_mut(&name).map(|running| running.agent.take_output()).unwrap_or_default();
            for output in outputs {
                match output {
                    agent::Output::Packet { in_port, actions, bytes } => {
                        let running = self.bridges.get_mut(&name).expect("it was just there");
                        let effects = running.bridge.packet_out(now, in_port, &actions, Packet::new(bytes));
                        self.carry_out(&name, effects);
                    }
                    message => self.messages.push(message),
                }
            }
        }
        (std::mem::take(&mut self.messages), std::mem::take(&mut self.packets))
    }
}

impl Running {
    /// Puts an interface there, under a number.
    fn put(&mut self, wanted: &Wanted, own: bool, keeps_numbers: bool) -> u32 {
        let current = self.numbers.get(&wanted.name).copied();
        let taken = |number: u32, running: &Running| {
            running.numbers.iter().any(|(name, used)| *used == number && *name != wanted.name)
        };
        let free = |number: Option<u32>| number.filter(|number| !taken(*number, self));
        let had = wanted.had.filter(|_| keeps_numbers);
        let number = match own {
            true => port::LOCAL,
            false => free(wanted.request).or(current).or(free(had)).unwrap_or_else(|| self.unused_number()),
        };
        let kind = wanted.tunnel.clone().map_or(PortKind::Device, PortKind::Tunnel);
        let same = self.bridge.port(number).is_some_and(|port| port.name == wanted.name && port.kind == kind);
        if current == Some(number) && same {
            return number;
        }
        if current.is_some_and(|current| current != number) {
            self.remove(&wanted.name);
        }
        let known = Port::device(number, &wanted.name).with_kind(kind);
        self.agent.port_changed(u8::from(current == Some(number)) * 2, &known);
        self.bridge.add_port(known);
        self.numbers.insert(wanted.name.clone(), number);
        self.used.insert(number);
        number
    }

    /// A number that no port had since the daemon started: old flows may name those of ports that are gone
    /// (`alloc_ofp_port` of Open vSwitch, which would use one again after an hour).
    fn unused_number(&mut self) -> u32 {
        while self.used.contains(&self.next_number) {
            self.next_number += 1;
        }
        self.next_number += 1;
        self.next_number - 1
    }

    fn remove(&mut self, device: &str) {
        let Some(number) = self.numbers.remove(device) else { return };
        if let Some(gone) = self.bridge.remove_port(number) {
            self.agent.port_changed(1, &gone);
        }
    }

    /// The port number of a device.
    pub fn number_of(&self, device: &str) -> Option<u32> {
        self.numbers.get(device).copied()
    }
}

/// The interfaces of a bridge's ports.
fn wanted(bridge: &Row, server: &Server) -> Vec<Wanted> {
    let database = &server.database;
    let ports = bridge["ports"].uuids().into_iter().filter_map(|uuid| database.row("Port", uuid));
    let interfaces = ports.flat_map(|port| port["interfaces"].uuids());
    let read = |uuid: Uuid| {
        let row = database.row("Interface", uuid)?;
        let kind = row["type"].text().unwrap_or_default().to_string();
        let number = |column: &str| row[column].number().and_then(|number| u32::try_from(number).ok());
        Some(Wanted {
            uuid,
            name: row["name"].text()?.to_string(),
            tunnel: tunnel(&kind, row),
            kind,
            request: number("ofport_request"),
            had: number("ofport").filter(|number| *number < port::MAX),
        })
    };
    // Those with a number of their own first, so that nobody else takes it.
    let mut wanted: Vec<Wanted> = interfaces.filter_map(read).collect();
    wanted.sort_by_key(|interface| (interface.request.is_none(), interface.had.is_none(), interface.name.clone()));
    wanted
}

/// A tunnel's configuration, if the interface is one.
fn tunnel(kind: &str, row: &Row) -> Option<TunnelConfig> {
    let protocol = match kind {
        "geneve" => Protocol::Geneve,
        "vxlan" => Protocol::Vxlan,
        "gre" => Protocol::Gre,
        "stt" => Protocol::Stt,
        _ => return None,
    };
    let options = &row["options"];
    let mut config = TunnelConfig::of_flows(protocol);
    config.remote = match options.entry("remote_ip") {
        Some(address) => address.parse().map_or(Setting::Flow, Setting::Fixed),
        None => Setting::Flow,
    };
    config.key = match options.entry("key") {
        Some("flow") => Setting::Flow,
        Some(key) => Setting::Fixed(key.parse().unwrap_or(0)),
        None => Setting::Fixed(0),
    };
    config.local = options.entry("local_ip").and_then(|address| address.parse().ok()).map(Setting::Fixed);
    config.checksum = options.entry("csum") == Some("true");
    Some(config)
}

/// The bridge's identity: as configured, or made of its names, as a MAC is unique to it.
fn datapath_id(system_id: &str, bridge: &str, row: &Row) -> u64 {
    let configured = row["other_config"].entry("datapath-id").and_then(|text| u64::from_str_radix(text, 16).ok());
    let made = || {
        let bytes = system_id.bytes().chain([b'/']).chain(bridge.bytes());
        // FNV-1a, cut to the 48 bits of a MAC.
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)) >> 16
    };
    configured.unwrap_or_else(made)
}
