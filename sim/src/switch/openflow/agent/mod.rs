//! Connections of controllers to one bridge: roles, modifications, bundles, monitors (OpenFlow 1.5.1; what is left open
//! there as in Open vSwitch's `ofproto.c`, `connmgr.c` and `bundles.c`).
//!
//! | module | |
//! | --- | --- |
//! | `roles` | who may write, and under which generation |
//! | `bundles` | modifications that take effect together |
//! | `asynchronous` | who wants to hear of what |
//! | `watch` | who watches flows is told of changes |
//!
//! An agent lives as long as ovs-vswitchd does: a restart is a new agent and a new bridge, which have forgotten flows,
//! groups, roles and generation ids. Start at [`Agent`].

mod asynchronous;
mod bundles;
mod roles;
mod watch;

use super::bytes::{Put, Reader, Refusal, refusal};
use super::deadly::Deadly;
use super::dump;
use super::mods::{Changed, Deleted, Mod};
use super::oxm::read_match;
use crate::switch::datapath::{Bridge, Port};
use crate::switch::model::{Flow, Group, port};
use asynchronous::{PORT_STATUS, REQUEST_FORWARD};
use bundles::Bundle;
use roles::Role;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use watch::{FLOW_MONITOR, Updates};

const VERSION: u8 = 6;
/// Most bytes of messages that wait to be handled.
const BUFFER_MAX: usize = 16 * 1024 * 1024;
/// The switch asks whether a silent controller lives (`inactivity_probe`), and gives it up after as long again.
const PROBE: Duration = Duration::from_secs(5);

/// Commands of group modifications (section 7.3.4.3).
const GROUP_MODIFY: u16 = 1;
const GROUP_DELETE: u16 = 2;

/// What an agent wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send bytes.
    Send(u64, Vec<u8>),
    /// End the connection.
    Close(u64),
    /// A controller sends a packet.
    Packet {
        /// As if it had come by this port.
        in_port: u32,
        /// What to do with it.
        actions: Vec<crate::switch::model::Action>,
        /// The packet.
        bytes: Vec<u8>,
    },
}

/// A modification that took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// Under which generation its connection had its role; none if it never asked for one.
    pub generation: Option<u64>,
    /// Why a real switch would have died of it, if it would.
    pub deadly: Option<Deadly>,
}

/// What a world makes go wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ailments {
    /// The modification so many from now is refused: 1 is the next.
    pub fail_nth: Option<u32>,
    /// How long a bundle may be idle.
    pub bundle_idle: Option<Duration>,
    /// Messages are handled so much later.
    pub delay: Duration,
}

/// What an operator does by hand.
#[derive(Clone, Debug)]
pub enum Edit {
    /// Deletes the flow of that number, counted round.
    DeleteFlow(usize),
    /// Deletes all flows.
    DeleteAllFlows,
    /// Adds a flow.
    Add(Flow),
    /// Empties the group of that number, counted round.
    EmptyGroup(usize),
    /// Deletes the group of that number, counted round, and the flows that use it.
    DeleteGroup(usize),
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Flow mods that took effect.
    pub flow_mods: u64,
    /// Group mods that took effect.
    pub group_mods: u64,
    /// Errors sent.
    pub errors: u64,
    /// The same, but all those that one bundle met with are one.
    pub attempts_refused: u64,
    /// Bundles that nobody filled in time.
    pub bundles_expired: u64,
    /// Bundles that were open when their connection ended.
    pub bundles_lost: u64,
    /// Requests for a role with a stale generation.
    pub stale: u64,
    /// Requests for a role that were granted while no generation was known.
    pub first_roles: u64,
    /// Connections that ended while the controller was asked whether it lives, by its silence or by a reset.
    pub found_dead: u64,
}

#[derive(Debug)]
struct Connection {
    buffer: Vec<u8>,
    greeted: bool,
    role: Role,
    generation: Option<u64>,
    bundles: BTreeMap<u32, Bundle>,
    monitors: BTreeMap<u32, u16>,
    updates: Updates,
    asynchronous: BTreeMap<u16, u32>,
    heard: Duration,
    probed: bool,
}

/// The bundle that a message is about (OpenFlow 1.5.1, section 7.3.9), if it is.
fn bundle_of(message: &[u8]) -> Option<u32> {
    let is_of_bundle = matches!(message.get(1), Some(33 | 34));
    let bytes = message.get(8..12).filter(|_| is_of_bundle)?;
    Some(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

/// A bridge's OpenFlow agent.
#[derive(Debug, Default)]
pub struct Agent {
    /// What goes wrong.
    pub ailments: Ailments,
    /// The connection and bundle that an error was sent about last.
    refused_last: Option<(u64, u32)>,
    /// What was counted.
    pub counts: Counts,
    datapath_id: u64,
    generation: Option<u64>,
    connections: BTreeMap<u64, Connection>,
    waiting: VecDeque<(Duration, u64, Vec<u8>)>,
    output: Vec<Output>,
    writes: Vec<Write>,
}

impl Agent {
    /// Of a bridge with a datapath id.
    pub fn new(datapath_id: u64) -> Agent {
        Agent { datapath_id, ..Agent::default() }
    }

    /// A controller is connected.
    pub fn connected(&mut self, now: Duration, conn: u64) {
        let connection = Connection {
            buffer: Vec::new(),
            greeted: false,
            role: Role::Equal,
            generation: None,
            bundles: BTreeMap::new(),
            monitors: BTreeMap::new(),
            updates: Updates::default(),
            asynchronous: BTreeMap::new(),
            heard: now,
            probed: false,
        };
        self.connections.insert(conn, connection);
        // A bitmap with one version in it (section 7.5.1).
        self.send(conn, 0, 0, &[0, 1, 0, 8, 0, 0, 0, 1 << VERSION]);
    }

    /// A controller is gone.
    pub fn closed(&mut self, conn: u64) {
        if let Some(connection) = self.connections.remove(&conn) {
            self.counts.bundles_lost += connection.bundles.len() as u64;
            self.counts.found_dead += u64::from(connection.probed);
        }
        self.waiting.retain(|(_, of, _)| *of != conn);
    }

    /// Who is connected, with the role it has, in the word of the database.
    pub fn role_of(&self, conn: u64) -> &'static str {
        match self.connections.get(&conn).map(|connection| connection.role) {
            Some(Role::Primary) => "master",
            Some(Role::Secondary) => "slave",
            Some(Role::Equal) | None => "other",
        }
    }

    /// Bytes of a controller arrived.
    pub fn received(&mut self, now: Duration, conn: u64, bytes: &[u8], bridge: &mut Bridge) {
        let delay = self.ailments.delay;
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        (connection.heard, connection.probed) = (now, false);
        connection.buffer.extend_from_slice(bytes);
        let mut rest = &connection.buffer[..];
        let mut messages = Vec::new();
        let mut sound = rest.len() <= BUFFER_MAX;
        while rest.len() >= 8 && sound {
            let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
            sound = length >= 8;
            if !sound || rest.len() < length {
                break;
            }
            messages.push(rest[..length].to_vec());
            rest = &rest[length..];
        }
        connection.buffer = rest.to_vec();
        for message in messages {
            let after = self.waiting.back().map_or(now, |(at, _, _)| *at);
            self.waiting.push_back(((now + delay).max(after), conn, message));
        }
        if !sound {
            self.close(conn);
        }
        self.handle(now, bridge);
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: Duration, bridge: &mut Bridge) {
        self.handle(now, bridge);
        for (entry, expiry) in bridge.expire(now) {
            let reason = match expiry {
                crate::switch::datapath::Expiry::Idle => 0,
                crate::switch::datapath::Expiry::Hard => 1,
            };
            self.tell_of_removal(now, None, reason, &entry);
        }
        self.flush_updates();
        self.expire_bundles(now);
        self.probe(now);
    }

    fn probe(&mut self, now: Duration) {
        let silent: Vec<(u64, bool)> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.heard + PROBE * (1 + u32::from(connection.probed)) <= now)
            .map(|(conn, connection)| (*conn, connection.probed))
            .collect();
        for (conn, probed) in silent {
            if probed {
                self.close(conn);
            } else {
                self.connections.get_mut(&conn).expect("it was just there").probed = true;
                self.send(conn, 2, 0, &[]);
            }
        }
    }

    /// When something is due.
    pub fn deadline(&self) -> Option<Duration> {
        let probes = self.connections.values();
        let probes = probes.map(|connection| connection.heard + PROBE * (1 + u32::from(connection.probed)));
        self.bundle_deadlines().chain(probes).chain(self.waiting.front().map(|(at, _, _)| *at)).min()
    }

    /// What is to be done.
    pub fn take_output(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.output)
    }

    /// Modifications that took effect since the last time.
    pub fn take_writes(&mut self) -> Vec<Write> {
        std::mem::take(&mut self.writes)
    }

    /// A port came (0), went (1) or changed (2).
    pub fn port_changed(&mut self, reason: u8, changed: &Port) {
        let mut body = vec![reason, 0, 0, 0, 0, 0, 0, 0];
        body.extend(dump::port_description(changed));
        for conn in self.who_hears(PORT_STATUS, reason) {
            self.send(conn, 12, 0, &body);
        }
    }

    /// Something that an operator does by hand.
    pub fn edit(&mut self, now: Duration, bridge: &mut Bridge, edit: Edit) {
        let program = bridge.change(now);
        let flows: Vec<_> = program.tables.iter().map(|(id, _)| id).collect();
        let groups: Vec<u32> = program.groups.iter().map(|(id, _)| id).collect();
        let mut gone = Vec::new();
        match edit {
            Edit::DeleteFlow(_) if flows.is_empty() => {}
            Edit::DeleteFlow(nth) => gone.extend(program.tables.remove(flows[nth % flows.len()])),
            Edit::DeleteAllFlows => gone.extend(flows.into_iter().filter_map(|id| program.tables.remove(id))),
            Edit::Add(flow) => {
                // A table that is full is the operator's problem.
                if let Ok((id, _)) = program.tables.add(now, flow) {
                    let added = program.tables.get(id).map(|entry| entry.flow.clone());
                    added.into_iter().for_each(|flow| self.tell_monitors(None, 1, 0, &flow));
                }
            }
            Edit::EmptyGroup(_) | Edit::DeleteGroup(_) if groups.is_empty() => {}
            Edit::EmptyGroup(nth) => {
                let id = groups[nth % groups.len()];
                let kind = program.groups.get(id).expect("it was just there").group.kind;
                program.groups.set(now, id, Group { kind, buckets: Vec::new() });
                self.forward(None, &empty_group_mod(GROUP_MODIFY, id));
            }
            Edit::DeleteGroup(nth) => {
                let id = groups[nth % groups.len()];
                program.groups.remove(id);
                let selector = crate::switch::datapath::Selector { out_group: Some(id), ..Default::default() };
                let users = program.tables.find(&selector);
                gone.extend(users.into_iter().filter_map(|id| program.tables.remove(id)));
                self.forward(None, &empty_group_mod(GROUP_DELETE, id));
            }
        }
        for entry in gone {
            self.tell_of_removal(now, None, 2, &entry);
        }
        self.flush_updates();
    }

    /// Tells who wants to know of a change of a group that another controller, or nobody on a connection, asked for
    /// (section 7.4.6).
    fn forward(&mut self, source: Option<u64>, request: &[u8]) {
        for conn in self.who_hears(REQUEST_FORWARD, 0) {
            if Some(conn) != source {
                self.send(conn, 32, 0, request);
            }
        }
    }

    fn handle(&mut self, now: Duration, bridge: &mut Bridge) {
        while self.waiting.front().is_some_and(|(at, _, _)| *at <= now) {
            let Some((_, conn, message)) = self.waiting.pop_front() else { return };
            if let Err(why) = self.message(now, conn, &message, bridge) {
                self.refuse(conn, why, &message);
            }
            self.flush_updates();
        }
    }

    fn refuse(&mut self, conn: u64, Refusal(kind, code): Refusal, message: &[u8]) {
        self.counts.errors += 1;
        let attempt = bundle_of(message).map(|bundle| (conn, bundle));
        if attempt.is_none() || attempt != self.refused_last {
            self.counts.attempts_refused += 1;
        }
        self.refused_last = attempt;
        let xid = u32::from_be_bytes([message[4], message[5], message[6], message[7]]);
        let mut body = Vec::new();
        body.put(kind, 2);
        body.put(code, 2);
        body.extend_from_slice(message);
        self.send(conn, 1, xid, &body);
    }

    fn send(&mut self, conn: u64, kind: u8, xid: u32, body: &[u8]) {
        let mut message = vec![VERSION, kind, 0, 0];
        message.put(xid, 4);
        message.extend_from_slice(body);
        let length = message.len();
        message.patch_wrapping(2, length);
        self.output.push(Output::Send(conn, message));
    }

    fn close(&mut self, conn: u64) {
        self.closed(conn);
        self.output.push(Output::Close(conn));
    }

    fn message(&mut self, now: Duration, conn: u64, message: &[u8], bridge: &mut Bridge) -> Result<(), Refusal> {
        let (version, kind) = (message[0], message[1]);
        let mut header = Reader::new(&message[4..], refusal::BAD_LEN);
        let xid = header.u32()?;
        let body = header;
        let Some(connection) = self.connections.get_mut(&conn) else { return Ok(()) };
        if kind == 0 {
            if !speaks_ours(version, body) {
                self.refuse(conn, refusal::INCOMPATIBLE, message);
                self.close(conn);
            } else {
                connection.greeted = true;
            }
            return Ok(());
        }
        if version != VERSION {
            return Err(refusal::BAD_VERSION);
        }
        match kind {
            // Errors and answers to probes.
            1 | 3 => {}
            2 => self.send(conn, 3, xid, body.rest()),
            5 => self.features(conn, xid),
            7 => self.send(conn, 8, xid, &[0, 0, 0, 128]),
            9 => {}
            13 => self.packet_out(conn, body)?,
            14 | 15 => {
                self.may_write(conn)?;
                let change = Mod::read(kind, body.rest())?;
                self.modify(now, conn, xid, &change, bridge)?;
                let forwarded = change.forwarded(xid, bridge.program());
                forwarded.into_iter().for_each(|told| self.forward(Some(conn), &told));
            }
            18 => self.multipart(now, conn, xid, body, bridge)?,
            20 => self.send(conn, 21, xid, &[]),
            24 => self.role(conn, xid, body)?,
            28 => self.set_async(conn, body)?,
            33 => self.bundle_control(now, conn, message, bridge)?,
            34 => self.bundle_add(now, conn, xid, message)?,
            _ => return Err(refusal::BAD_TYPE),
        }
        Ok(())
    }

    fn features(&mut self, conn: u64, xid: u32) {
        let mut body = Vec::new();
        body.put(self.datapath_id, 8);
        body.put(0_u32, 4);
        body.put(254_u8, 1);
        body.put(0_u32, 3);
        // Statistics of flows, tables, ports, groups and queues; bundles.
        body.put(0x24f_u32, 4);
        body.put(0_u32, 4);
        self.send(conn, 6, xid, &body);
    }

    fn may_write(&self, conn: u64) -> Result<(), Refusal> {
        let secondary = self.connections.get(&conn).is_some_and(|connection| connection.role == Role::Secondary);
        if secondary { Err(refusal::IS_SECONDARY) } else { Ok(()) }
    }

    fn packet_out(&mut self, conn: u64, mut body: Reader<'_>) -> Result<(), Refusal> {
        self.may_write(conn)?;
        body.take(4)?;
        let length = usize::from(body.u16()?);
        body.take(2)?;
        let matching = read_match(&mut body)?;
        let in_port = matching.0.iter().find(|part| part.field == crate::switch::model::Field::InPort);
        let in_port = in_port.map_or(port::CONTROLLER, |part| part.value as u32);
        let actions = super::actions::read_actions(body.part(length, refusal::BAD_LEN)?)?;
        self.output.push(Output::Packet { in_port, actions, bytes: body.rest().to_vec() });
        Ok(())
    }

    /// Whether the modification that is now asked for is the one to fail.
    fn fails(&mut self) -> bool {
        let left = self.ailments.fail_nth.map(|nth| nth.saturating_sub(1));
        self.ailments.fail_nth = left.filter(|left| *left > 0);
        left == Some(0)
    }

    fn modify(&mut self, now: Duration, conn: u64, xid: u32, change: &Mod, bridge: &mut Bridge) -> Result<(), Refusal> {
        if self.fails() {
            return Err(refusal::TABLE_FULL);
        }
        let changed = change.apply(now, bridge.change(now))?;
        let deadly = Deadly::of(change, &changed, &[]);
        self.wrote(now, (conn, xid), change, changed, deadly);
        Ok(())
    }

    fn wrote(&mut self, now: Duration, by: (u64, u32), change: &Mod, changed: Vec<Changed>, deadly: Option<Deadly>) {
        match change {
            Mod::Flow(_) => self.counts.flow_mods += 1,
            Mod::Group(_) => self.counts.group_mods += 1,
        }
        let generation = self.connections.get(&by.0).and_then(|connection| connection.generation);
        self.writes.push(Write { generation, deadly });
        let by = Some(by);
        for change in changed {
            match change {
                Changed::Added(flow) => self.tell_monitors(by, 1, 0, &flow),
                Changed::Modified(flow) => self.tell_monitors(by, 3, 0, &flow),
                Changed::Deleted(entry, Deleted::ByRequest) => self.tell_of_removal(now, by, 2, &entry),
                // By the switch, not by who deleted the group.
                Changed::Deleted(entry, Deleted::WithItsGroup) => self.tell_of_removal(now, None, 3, &entry),
            }
        }
    }

    fn multipart(
        &mut self,
        now: Duration,
        conn: u64,
        xid: u32,
        mut body: Reader<'_>,
        bridge: &mut Bridge,
    ) -> Result<(), Refusal> {
        let (kind, _flags) = (body.u16()?, body.u16()?);
        body.take(4)?;
        let parts = match kind {
            FLOW_MONITOR => self.watch(conn, body, bridge)?,
            kind => dump::parts(now, kind, body, bridge)?.ok_or(refusal::BAD_MULTIPART)?,
        };
        let last = parts.len() - 1;
        for (index, part) in parts.into_iter().enumerate() {
            let mut reply = Vec::new();
            reply.put(kind, 2);
            reply.put(u16::from(index < last), 2);
            reply.put(0_u32, 4);
            reply.extend(part);
            self.send(conn, 19, xid, &reply);
        }
        Ok(())
    }
}

/// A group modification without buckets, as ovs-ofctl sends it.
fn empty_group_mod(command: u16, group: u32) -> Vec<u8> {
    let mut message = vec![VERSION, 15, 0, 32, 0, 0, 0, 0];
    message.put(command, 2);
    message.put(0_u16, 2);
    message.put(group, 4);
    message.resize(32, 0);
    message
}

/// Whether a hello offers version 1.5 (section 6.3.1).
fn speaks_ours(version: u8, mut body: Reader<'_>) -> bool {
    while let (Ok(kind), Ok(length)) = (body.u16(), body.u16()) {
        let Ok(mut element) = body.part(usize::from(length).saturating_sub(4), refusal::BAD_LEN) else { break };
        if kind == 1 {
            return element.u32().is_ok_and(|bitmap| bitmap & 1 << VERSION != 0);
        }
    }
    version >= VERSION
}
