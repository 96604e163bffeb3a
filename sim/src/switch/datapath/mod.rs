//! A bridge: ports, tables and groups, and what they make of a packet.
//!
//! [`Bridge::execute`] takes a packet that came in by a port through the tables, action by action, and says what comes
//! of it: packets for ports and controllers. It decides on a flow key and writes the bytes at each output, so what a
//! packet becomes is what Open vSwitch makes of it (`ofproto-dpif-xlate.c`), byte by byte. Nothing here has a clock.
//!
//! What flows are allowed to say is not judged here but by whoever takes them from a controller; a flow that asks for
//! something impossible does nothing.

mod action_set;
mod bfd;
mod classifier;
pub mod conntrack;
mod groups;
mod learn;
mod meters;
mod normal;
mod port;
mod queues;
mod tables;
#[cfg(test)]
mod tests;
mod tracking;
pub mod tunnel;
mod walk;

pub use bfd::{Bfd, BfdConfig, BfdState};
pub use classifier::Pattern;
pub use groups::{GroupEntry, Groups};
pub use meters::{Band, Meter, MeterEntry, Meters};
pub use normal::MacTable;
pub use port::{Counters, Port, PortKind, TunnelMetadata, Vlan, config};
pub use queues::{Queues, Rate};
pub use tables::{Entry, Expiry, FlowId, FlowTables, Selector, TableFull};

use super::model::{Action, Field, port as reserved};
use super::packet::{Key, Packet, parse};
use std::collections::BTreeMap;
use std::time::Duration;
use walk::Walk;

/// What comes of a packet.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// It leaves by a port.
    Output(Output),
    /// It goes to controllers.
    PacketIn(Box<PacketIn>),
    /// It made or refreshed a flow.
    Learned(FlowId),
}

/// A packet that leaves by a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Which.
    pub port: u32,
    /// What.
    pub packet: Packet,
    /// What the header around it is to say, where the port is a tunnel.
    pub tunnel: Option<TunnelMetadata>,
    /// For which queue.
    pub queue: Option<u32>,
}

/// A packet for controllers.
#[derive(Clone, Debug, PartialEq)]
pub struct PacketIn {
    /// What.
    pub packet: Packet,
    /// All that was known of it: `in_port`, metadata, registers and tunnel are sent with it.
    pub key: Key,
    /// How many of its bytes to send.
    pub max_len: u16,
    /// `OFPR_*`.
    pub reason: u8,
    /// Which controllers.
    pub controller: u16,
    /// The table of the flow that sent it.
    pub table: u8,
    /// The flow's cookie; all ones where there is no flow.
    pub cookie: u64,
    /// What the action has for the controller.
    pub userdata: Vec<u8>,
}

/// What lookups make of fragments (`OFPC_FRAG_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fragments {
    /// Their ports are zero, even in the first one, so that all fragments of a packet find the same flow.
    #[default]
    Normal,
    /// They find nothing.
    Drop,
    /// They are what they are: Open vSwitch's `nx-match`.
    Match,
}

/// Flows and groups: what changes while `cache_lag` keeps the old ones in force.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Flows.
    pub tables: FlowTables,
    /// Groups.
    pub groups: Groups,
}

/// A bridge.
#[derive(Clone, Debug, Default)]
pub struct Bridge {
    ports: BTreeMap<u32, Port>,
    program: Program,
    sessions: BTreeMap<u32, Bfd>,
    /// What packets still see, until then.
    stale: Option<(Duration, Box<Program>)>,
    /// Meters.
    pub meters: Meters,
    /// Connections.
    pub conntrack: conntrack::Conntrack,
    /// Rates of ports. [`Bridge::execute`] polices what comes in; when what leaves does so is for whoever sends it.
    pub queues: BTreeMap<u32, Queues>,
    /// Where stations were seen, for NORMAL.
    pub stations: MacTable,
    /// What lookups make of fragments.
    pub fragments: Fragments,
    /// A fault: how long packets are handled by what the tables said before a change.
    pub cache_lag: Duration,
    changes: u64,
    /// Packets that ended because they went round too often.
    pub aborted: u64,
}

impl Bridge {
    /// A bridge with its own port.
    pub fn new(name: &str) -> Bridge {
        let mut bridge = Bridge::default();
        bridge.add_port(Port::device(reserved::LOCAL, name));
        bridge
    }

    /// Adds a port, or replaces the one of the same number.
    pub fn add_port(&mut self, port: Port) {
        self.ports.insert(port.number, port);
    }

    /// Takes a port away.
    pub fn remove_port(&mut self, number: u32) -> Option<Port> {
        self.stations.forget_port(number);
        self.sessions.remove(&number);
        self.ports.remove(&number)
    }

    /// A port.
    pub fn port(&self, number: u32) -> Option<&Port> {
        self.ports.get(&number)
    }

    /// A port, to change.
    pub fn port_mut(&mut self, number: u32) -> Option<&mut Port> {
        self.ports.get_mut(&number)
    }

    /// All ports by number.
    pub fn ports(&self) -> impl Iterator<Item = &Port> {
        self.ports.values()
    }

    /// Flows and groups as they were last set.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Flows and groups, to change. Packets see the change when `cache_lag` has passed.
    pub fn change(&mut self, now: Duration) -> &mut Program {
        if !self.cache_lag.is_zero() && self.stale.as_ref().is_none_or(|(until, _)| *until <= now) {
            self.stale = Some((now + self.cache_lag, Box::new(self.program.clone())));
        }
        self.changes += 1;
        &mut self.program
    }

    /// How often flows or groups may have been changed: what they are is the same while this is.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Flows and groups as packets see them.
    fn in_force(&mut self, now: Duration) -> &mut Program {
        if self.stale.as_ref().is_some_and(|(until, _)| *until <= now) {
            self.stale = None;
        }
        match &mut self.stale {
            Some((_, program)) => program,
            None => &mut self.program,
        }
    }

    /// Runs BFD on a port, or ends it; without it the other end counts as alive.
    pub fn set_bfd(&mut self, number: u32, session: Option<Bfd>) {
        match session {
            Some(session) => self.sessions.insert(number, session),
            None => self.sessions.remove(&number),
        };
        self.note_liveness(number);
    }

    /// The session on a port.
    pub fn bfd(&self, number: u32) -> Option<&Bfd> {
        self.sessions.get(&number)
    }

    fn note_liveness(&mut self, number: u32) {
        let is_live = self.sessions.get(&number).is_none_or(Bfd::is_forwarding);
        if let Some(port) = self.ports.get_mut(&number) {
            port.is_peer_live = is_live;
        }
    }

    /// What comes of time: packets of BFD. Flows are for [`Bridge::expire`], connections expire by themselves.
    pub fn step(&mut self, now: Duration) -> Vec<Effect> {
        let due: Vec<u32> =
            self.sessions.iter().filter(|(_, session)| session.deadline() <= now).map(|(number, _)| *number).collect();
        let mut effects = Vec::new();
        for number in due {
            let frame = self.sessions.get_mut(&number).and_then(|session| session.step(now));
            self.note_liveness(number);
            if let Some(frame) = frame {
                let output = Action::Output { port: number, max_len: 0 };
                effects.extend(self.packet_out(now, reserved::ANY, &[output], Packet::new(frame)));
            }
        }
        effects
    }

    /// When there is something to do next: flows that could expire, packets of BFD.
    pub fn deadline(&self) -> Option<Duration> {
        let sessions = self.sessions.values().map(Bfd::deadline);
        self.program.tables.deadline().into_iter().chain(sessions).min()
    }

    /// Takes out the flows whose time has come.
    pub fn expire(&mut self, now: Duration) -> Vec<(Entry, Expiry)> {
        let flows = self.program.tables.deadline();
        if flows.is_some_and(|at| at <= now) { self.change(now).tables.expire(now) } else { Vec::new() }
    }

    /// What comes of a packet that came in by a port; with what was around it, if the port is a tunnel. A packet by a
    /// port that is not there or takes nothing in is dropped.
    pub fn execute(
        &mut self,
        now: Duration,
        in_port: u32,
        packet: Packet,
        tunnel: Option<&TunnelMetadata>,
    ) -> Vec<Effect> {
        let Some(port) = self.ports.get_mut(&in_port) else { return Vec::new() };
        if !port.is_up || port.config & config::NO_RECV != 0 {
            port.counters.rx_dropped += 1;
            return Vec::new();
        }
        if self.queues.get_mut(&in_port).is_some_and(|queues| !queues.admits(now, packet.data.len())) {
            port.counters.rx_dropped += 1;
            return Vec::new();
        }
        port.counters.rx_packets += 1;
        port.counters.rx_bytes += packet.data.len() as u64;
        if self.took_bfd(now, in_port, &packet, tunnel) {
            return Vec::new();
        }
        let mut walk = Walk::new(self, now, in_port, packet, tunnel);
        walk.first_table();
        walk.finish()
    }

    /// Whether a packet was for the session on its port, which then has it.
    fn took_bfd(&mut self, now: Duration, in_port: u32, packet: &Packet, tunnel: Option<&TunnelMetadata>) -> bool {
        let Some(session) = self.sessions.get_mut(&in_port) else { return false };
        let (mut key, layout) = parse(&packet.data);
        key.set(Field::TunId, tunnel.map_or(0, |tunnel| tunnel.id).into());
        let is_taken = session.wants(&key);
        if is_taken {
            session.receive(now, &packet.data, &key, &layout);
            self.note_liveness(in_port);
        }
        is_taken
    }

    /// What comes of a packet that a controller sends: these actions, with `in_port` as the port it seems to be from.
    pub fn packet_out(&mut self, now: Duration, in_port: u32, actions: &[Action], packet: Packet) -> Vec<Effect> {
        let mut walk = Walk::new(self, now, in_port, packet, None);
        walk.packet_out(actions);
        walk.finish()
    }
}
