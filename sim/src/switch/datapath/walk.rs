//! One packet's way through a bridge: looks it up, does what flows say, and collects what comes of it.
//!
//! The order of things and the limits are those of `do_xlate_actions` in Open vSwitch: actions change the key, outputs
//! write it into the bytes; a resubmission goes on where it left off; a packet that goes round too often has no
//! effect but what it taught. Lists of actions that are being done are kept in [`Walk::lists`], not on the stack of the
//! thread, since thousands of them may nest.

use super::super::model::{Action, Field, FieldMatch, Flow, Group, Learn, Subfield, port as reserved};
use super::super::packet::{Key, Layout, Packet, commit, ethertype, parse};
use super::conntrack::Tracked;
use super::port::TunnelMetadata;
use super::tunnel::{Setting, TunnelConfig};
use super::{Bridge, Effect, Fragments, Output, PacketIn, PortKind, Selector, action_set, config, learn, normal};
use crate::switch::packet::Tag;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// How deep resubmissions to the same or an earlier table may nest (`MAX_DEPTH`).
const DEPTH_MAX: u32 = 64;
/// How many resubmissions there may be for one packet (`MAX_RESUBMITS`).
const RESUBMITS_MAX: u32 = DEPTH_MAX * DEPTH_MAX;
/// How many bytes may be on the stack, each value with its length.
const STACK_MAX: usize = 65536;

/// The congestion mark of IP (RFC 3168).
const CONGESTION: u8 = 3;

/// `OFPR_*` (OpenFlow 1.5.1, section 7.4.1).
mod reason {
    pub const TABLE_MISS: u8 = 0;
    pub const ACTION: u8 = 1;
    pub const INVALID_TTL: u8 = 2;
    pub const ACTION_SET: u8 = 3;
    pub const GROUP: u8 = 4;
    pub const PACKET_OUT: u8 = 5;
}

/// Where a list of actions is from, which controllers are told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Context {
    Flow,
    Bucket,
    ActionSet,
}

/// Actions of a flow, or others.
enum Actions {
    Flow(Arc<Flow>),
    Other(Arc<[Action]>),
}

impl Actions {
    fn get(&self, index: usize) -> Option<&Action> {
        match self {
            Actions::Flow(flow) => flow.actions.get(index),
            Actions::Other(actions) => actions.get(index),
        }
    }

    fn share(&self) -> Actions {
        match self {
            Actions::Flow(flow) => Actions::Flow(Arc::clone(flow)),
            Actions::Other(actions) => Actions::Other(Arc::clone(actions)),
        }
    }
}

/// A list of actions that is being done.
pub(super) struct List {
    actions: Actions,
    next: usize,
    context: Context,
    end: End,
}

/// What to do when a list of actions has ended.
enum End {
    Nothing,
    /// Go on in this table, for a flow with this cookie, that is or is not a table-miss flow.
    Table {
        before: (u8, u64, bool),
        deepens: u32,
    },
    /// Forget what the bucket did and go on with the next ones.
    Bucket {
        before: Box<(Key, Option<u32>)>,
        group: Arc<Group>,
        rest: Vec<usize>,
    },
    /// Do the action set of a clone, then forget the clone.
    Clone(Box<Saved>),
    /// Forget the clone.
    Restore(Box<Saved>),
}

/// What a clone cannot change.
struct Saved {
    key: Key,
    bytes: Bytes,
    stack: Vec<Vec<u8>>,
    stacked: usize,
    action_set: Vec<Action>,
    queue: Option<u32>,
    is_dropped: bool,
    tracked: Tracked,
}

/// The bytes as they are, and their key.
#[derive(Clone)]
pub(super) struct Bytes {
    pub data: Vec<u8>,
    pub layout: Layout,
    pub base: Key,
}

/// A packet on its way.
pub struct Walk<'a> {
    pub(super) bridge: &'a mut Bridge,
    pub(super) now: Duration,
    pub(super) bytes: Bytes,
    tag: u64,
    pub(super) key: Key,
    queue: Option<u32>,
    pub(super) effects: Vec<Effect>,
    pub(super) table: u8,
    /// Of the flow whose actions are done.
    cookie: u64,
    is_table_miss: bool,
    is_packet_out: bool,
    /// Our own end of the tunnel it came by: nothing is sent there.
    own_tunnel_end: (u128, u128),
    outer_tos: u8,
    pub(super) lists: Vec<List>,
    pub(super) depth: u32,
    pub(super) resubmits: u32,
    pub(super) stack: Vec<Vec<u8>>,
    pub(super) stacked: usize,
    pub(super) action_set: Vec<Action>,
    /// What the datapath knows of its connection.
    pub(super) tracked: Tracked,
    /// How often it has gone through the tables anew.
    pub(super) recirculations: u32,
    pub(super) has_exited: bool,
    pub(super) is_dropped: bool,
    pub(super) is_aborted: bool,
}

impl<'a> Walk<'a> {
    /// A packet that has just come in.
    pub fn new(
        bridge: &'a mut Bridge,
        now: Duration,
        in_port: u32,
        packet: Packet,
        tunnel: Option<&TunnelMetadata>,
    ) -> Walk<'a> {
        let (mut base, layout) = parse(&packet.data);
        base.set(Field::InPort, in_port.into());
        if let Some(tunnel) = tunnel {
            set_tunnel(&mut base, tunnel);
        }
        Walk {
            bridge,
            now,
            tag: packet.tag,
            bytes: Bytes { data: packet.data, layout, base: base.clone() },
            own_tunnel_end: tunnel_end(&base),
            outer_tos: tunnel.map_or(0, |tunnel| tunnel.tos),
            key: base,
            queue: None,
            effects: Vec::new(),
            table: 0,
            cookie: u64::MAX,
            is_table_miss: false,
            is_packet_out: false,
            lists: Vec::new(),
            depth: 0,
            resubmits: 0,
            stack: Vec::new(),
            stacked: 0,
            action_set: Vec::new(),
            tracked: Tracked::default(),
            recirculations: 0,
            has_exited: false,
            is_dropped: false,
            is_aborted: false,
        }
    }

    /// Looks the packet up in the first table and does what is found, and then its action set.
    pub fn first_table(&mut self) {
        if !self.take_congestion_mark() {
            return;
        }
        self.found_in(0, self.in_port());
        self.run();
        self.do_action_set();
    }

    /// Does what a controller says.
    pub fn packet_out(&mut self, actions: &[Action]) {
        self.is_packet_out = true;
        self.begin(Actions::Other(actions.into()), Context::Flow, End::Nothing);
        self.run();
        self.do_action_set();
    }

    /// What came of it.
    pub fn finish(mut self) -> Vec<Effect> {
        if self.is_aborted {
            self.bridge.aborted += 1;
            self.effects.retain(|effect| matches!(effect, Effect::Learned(_)));
        }
        self.effects
    }

    /// A congestion mark outside goes inside; a packet that cannot have it is dropped (RFC 6040, section 4.2).
    fn take_congestion_mark(&mut self) -> bool {
        let is_marked = self.outer_tos & CONGESTION == CONGESTION && self.key.is_ip();
        if is_marked && self.key.get(Field::IpEcn) == 0 {
            return false;
        }
        if is_marked {
            self.key.set(Field::IpEcn, CONGESTION.into());
        }
        true
    }

    pub(super) fn in_port(&self) -> u32 {
        self.key.get(Field::InPort) as u32
    }

    pub(super) fn do_action_set(&mut self) {
        if let Some(set) = self.take_action_set() {
            self.begin(set, Context::ActionSet, End::Nothing);
            self.run();
        }
    }

    /// The action set in order, if it is to be done.
    fn take_action_set(&mut self) -> Option<Actions> {
        let set = action_set::in_order(&std::mem::take(&mut self.action_set));
        (!set.is_empty() && !self.is_aborted && !self.has_exited).then(|| Actions::Other(set.into()))
    }

    fn begin(&mut self, actions: Actions, context: Context, end: End) {
        self.lists.push(List { actions, next: 0, context, end });
    }

    /// Does actions until all lists have ended, the innermost first.
    pub(super) fn run(&mut self) {
        while let Some(list) = self.lists.last_mut() {
            let (actions, context) = (list.actions.share(), list.context);
            let action = actions.get(list.next).filter(|_| !self.has_exited && !self.is_aborted);
            list.next += 1;
            let level = self.lists.len() - 1;
            let Some(action) = action else {
                let ended = self.lists.remove(level);
                self.ended(ended.end);
                continue;
            };
            if !self.action(action, context) {
                self.lists[level].next = usize::MAX - 1;
            }
        }
    }

    fn ended(&mut self, end: End) {
        match end {
            End::Nothing => {}
            End::Table { before, deepens } => {
                (self.table, self.cookie, self.is_table_miss) = before;
                self.depth -= deepens;
            }
            End::Bucket { before, group, rest } => {
                (self.key, self.queue) = *before;
                self.depth -= 1;
                self.has_exited = false;
                self.next_bucket(group, rest);
            }
            End::Clone(saved) => match self.take_action_set() {
                Some(set) => self.begin(set, Context::ActionSet, End::Restore(saved)),
                None => self.restore(*saved),
            },
            End::Restore(saved) => self.restore(*saved),
        }
    }

    fn restore(&mut self, saved: Saved) {
        let Saved { key, bytes, stack, stacked, action_set, queue, is_dropped, tracked } = saved;
        (self.key, self.bytes, self.queue) = (key, bytes, queue);
        (self.stack, self.stacked, self.action_set) = (stack, stacked, action_set);
        (self.is_dropped, self.tracked) = (is_dropped, tracked);
    }

    /// Does one action; false ends the list that it is in.
    fn action(&mut self, action: &Action, context: Context) -> bool {
        match action {
            Action::Output { port, max_len } => self.output(*port, *max_len, context),
            Action::OutputReg { source, max_len } => self.output_register(*source, *max_len, context),
            Action::Group(id) => return self.group(*id),
            Action::Set(change) => self.set(*change),
            Action::Move { from, to } => self.copy(*from, *to),
            Action::Push(part) => self.push(*part),
            Action::Pop(part) => self.pop(*part),
            Action::PushVlan(kind) => self.push_tag(*kind),
            Action::PopVlan => self.pop_tag(),
            Action::DecTtl(controllers) => return self.lower_ttl(controllers),
            Action::SetTtl(ttl) => self.set(FieldMatch { field: Field::IpTtl, value: (*ttl).into(), mask: 0xff }),
            Action::SetQueue(queue) => self.queue = Some(*queue),
            Action::PopQueue => self.queue = None,
            Action::Resubmit { in_port, table, original_tuple } => {
                self.resubmit(*in_port, *table, *original_tuple);
            }
            Action::Learn(learn) => self.learn(learn),
            Action::Ct(ct) => self.track(ct),
            Action::CtClear => self.untrack(),
            Action::Controller { max_len, controller, reason, userdata } => {
                self.packet_in(*max_len, *controller, *reason, userdata);
            }
            Action::Clone(inner) => self.clone_of(inner),
            Action::Exit => self.has_exited = true,
            Action::Meter(id) => self.meter(*id),
            Action::WriteMetadata { value, mask } => {
                self.set(FieldMatch { field: Field::Metadata, value: (*value).into(), mask: (*mask).into() });
            }
            Action::WriteActions(actions) => self.action_set.extend(actions.iter().cloned()),
            Action::ClearActions => self.action_set.clear(),
            Action::GotoTable(table) => self.enter(*table, self.in_port()),
            // Translation is part of [`Action::Ct`], a clause of a conjunction is no flow that a packet finds.
            Action::Nat(_) | Action::Conjunction { .. } | Action::Note(_) => {}
        }
        true
    }

    fn resubmit(&mut self, in_port: Option<u32>, table: Option<u8>, original_tuple: bool) {
        let in_port = in_port.filter(|port| *port != reserved::IN_PORT).unwrap_or(self.in_port());
        let table = table.unwrap_or(self.table);
        if original_tuple {
            self.enter_by_original_tuple(table, in_port);
        } else {
            self.enter(table, in_port);
        }
    }

    /// Looks the packet up in a table, as if it had come in by a port, and does what is found there.
    pub(super) fn enter(&mut self, table: u8, in_port: u32) {
        if self.depth >= DEPTH_MAX || self.resubmits >= RESUBMITS_MAX || self.stacked >= STACK_MAX {
            self.is_aborted = true;
            return;
        }
        self.found_in(table, in_port);
    }

    pub(super) fn found_in(&mut self, table: u8, in_port: u32) {
        let Some((flow, is_table_miss)) = self.look_up(table, in_port) else { return };
        let deepens = u32::from(table <= self.table);
        self.resubmits += 1;
        self.depth += deepens;
        let before = (self.table, self.cookie, self.is_table_miss);
        (self.table, self.cookie, self.is_table_miss) = (table, flow.cookie, is_table_miss);
        self.begin(Actions::Flow(flow), Context::Flow, End::Table { before, deepens });
    }

    fn look_up(&mut self, table: u8, in_port: u32) -> Option<(Arc<Flow>, bool)> {
        const SEEN: [Field; 3] = [Field::InPort, Field::TcpSrc, Field::TcpDst];
        let own = SEEN.map(|field| self.key.get(field));
        let is_fragment = self.key.get(Field::IpFrag) != 0;
        let seen = match self.bridge.fragments {
            Fragments::Drop if is_fragment => return None,
            Fragments::Normal if is_fragment => [in_port.into(), 0, 0],
            Fragments::Normal | Fragments::Drop | Fragments::Match => [in_port.into(), own[1], own[2]],
        };
        SEEN.iter().zip(seen).for_each(|(field, value)| self.key.set(*field, value));
        let (now, length) = (self.now, self.bytes.data.len());
        let tables = &mut self.bridge.in_force(now).tables;
        let found = tables.lookup(now, table, &self.key, length).and_then(|id| tables.get(id));
        let found = found.map(|entry| (Arc::clone(&entry.flow), entry.is_table_miss()));
        SEEN.iter().zip(own).for_each(|(field, value)| self.key.set(*field, value));
        found
    }

    fn set(&mut self, change: FieldMatch) {
        if self.key.has(change.field) {
            self.key.set_masked(change);
            self.narrow_in_port(change.field);
        }
    }

    /// Open vSwitch has 16 bits for a port.
    fn narrow_in_port(&mut self, changed: Field) {
        if changed == Field::InPort {
            let number = self.key.get(Field::InPort) as u16;
            self.key.set(Field::InPort, learn::wide_port(number).into());
        }
    }

    fn copy(&mut self, from: Subfield, to: Subfield) {
        if self.key.has(from.field) && self.key.has(to.field) {
            let value = self.key.read(from);
            self.key.write(to, value);
            self.narrow_in_port(to.field);
        }
    }

    fn push(&mut self, part: Subfield) {
        let bytes = usize::from(part.bits.div_ceil(8)).min(16);
        let value = self.key.read(part).to_be_bytes();
        self.stack.push(value[16 - bytes..].to_vec());
        self.stacked += bytes + 1;
    }

    fn pop(&mut self, part: Subfield) {
        let Some(bytes) = self.stack.pop() else { return };
        self.stacked -= bytes.len() + 1;
        let value = bytes.iter().fold(0, |value, byte| value << 8 | u128::from(*byte));
        self.key.write(part, value);
        self.narrow_in_port(part.field);
    }

    fn push_tag(&mut self, kind: u16) {
        let mut tags = self.key.tags();
        tags.insert(0, Tag { ethertype: kind, control: 0x1000 });
        self.key.set_tags(&tags);
    }

    fn pop_tag(&mut self) {
        let tags = self.key.tags();
        if let Some((_, rest)) = tags.split_first() {
            self.key.set_tags(rest);
        }
    }

    fn lower_ttl(&mut self, controllers: &[u16]) -> bool {
        let ttl = self.key.get(Field::IpTtl);
        if !self.key.is_ip() {
            return true;
        }
        if ttl > 1 {
            self.key.set(Field::IpTtl, ttl - 1);
            return true;
        }
        for controller in controllers {
            self.packet_in(u16::MAX, *controller, reason::INVALID_TTL, &[]);
        }
        false
    }

    fn learn(&mut self, learn: &Learn) {
        let flow = learn::flow(learn, &self.key);
        let now = self.now;
        let strict = Selector {
            table: Some(flow.table),
            matching: flow.matching.clone(),
            strict_priority: Some(flow.priority),
            ..Selector::default()
        };
        let tables = &mut self.bridge.change(now).tables;
        let known = tables.find(&strict).first().copied();
        let learnt = match known {
            Some(id) => {
                tables.modify(now, id, flow.actions, Some(flow.cookie));
                Some(id)
            }
            None => tables.add(now, flow).ok().map(|(id, _)| id),
        };
        self.effects.extend(learnt.map(Effect::Learned));
    }

    /// A meter drops the packet in the datapath: flows go on with it, but nothing comes of that.
    fn meter(&mut self, id: u32) {
        self.is_dropped |= !self.bridge.meters.admits(self.now, id, self.bytes.data.len());
    }

    /// Does actions on a copy of everything.
    fn clone_of(&mut self, actions: &[Action]) {
        let saved = Saved {
            key: self.key.clone(),
            bytes: self.bytes.clone(),
            stack: self.stack.clone(),
            stacked: self.stacked,
            action_set: self.action_set.clone(),
            queue: self.queue,
            is_dropped: self.is_dropped,
            tracked: self.tracked.clone(),
        };
        self.begin(Actions::Other(actions.into()), Context::Flow, End::Clone(Box::new(saved)));
    }

    /// Gives a copy to each bucket that a group chooses. A group that is not there ends the list.
    fn group(&mut self, id: u32) -> bool {
        if self.depth >= DEPTH_MAX || self.resubmits >= RESUBMITS_MAX || self.stacked >= STACK_MAX {
            self.is_aborted = true;
            return true;
        }
        let now = self.now;
        let Some(group) = self.bridge.in_force(now).groups.get(id).map(|entry| Arc::clone(&entry.group)) else {
            return false;
        };
        let live: Vec<u32> = self.bridge.ports().filter(|port| port.is_live()).map(|port| port.number).collect();
        let is_live = |port: u32| live.binary_search(&port).is_ok();
        let groups = &mut self.bridge.in_force(now).groups;
        let chosen = groups.choose(id, &self.key, self.bytes.data.len(), is_live);
        self.next_bucket(group, chosen);
        true
    }

    /// Gives a copy to the first of these buckets; the others follow when it is done.
    fn next_bucket(&mut self, group: Arc<Group>, mut rest: Vec<usize>) {
        if rest.is_empty() || self.is_aborted {
            return;
        }
        let actions = action_set::in_order(&group.buckets[rest.remove(0)].actions);
        let before = Box::new((self.key.clone(), self.queue));
        self.depth += 1;
        self.begin(Actions::Other(actions.into()), Context::Bucket, End::Bucket { before, group, rest });
    }

    /// Writes what actions changed into the bytes.
    pub(super) fn commit(&mut self) {
        let Bytes { data, layout, base } = &mut self.bytes;
        commit(data, layout, base, &self.key);
    }

    fn output_register(&mut self, source: Subfield, max_len: u16, context: Context) {
        if let Ok(number) = u16::try_from(self.key.read(source)) {
            self.output(learn::wide_port(number), max_len, context);
        }
    }

    fn output(&mut self, port: u32, max_len: u16, context: Context) {
        let in_port = self.in_port();
        match port {
            reserved::IN_PORT => self.send(in_port),
            reserved::TABLE => self.enter(0, in_port),
            reserved::NORMAL => self.normal(),
            reserved::FLOOD => self.flood(config::NO_FLOOD),
            reserved::ALL => self.flood(0),
            reserved::CONTROLLER => self.packet_in(max_len, 0, self.reason(context), &[]),
            reserved::ANY => {}
            port if port == in_port => {}
            port => self.send(port),
        }
    }

    fn reason(&self, context: Context) -> u8 {
        match context {
            _ if self.is_packet_out => reason::PACKET_OUT,
            Context::Bucket => reason::GROUP,
            Context::ActionSet => reason::ACTION_SET,
            Context::Flow => reason::ACTION,
        }
    }

    fn packet_in(&mut self, max_len: u16, controller: u16, why: u8, userdata: &[u8]) {
        self.commit();
        if self.is_dropped {
            return;
        }
        let why = if why == reason::ACTION && self.is_table_miss { reason::TABLE_MISS } else { why };
        self.effects.push(Effect::PacketIn(Box::new(PacketIn {
            packet: Packet { data: self.bytes.data.clone(), tag: self.tag },
            key: self.key.clone(),
            max_len,
            reason: why,
            controller,
            table: self.table,
            cookie: self.cookie,
            userdata: userdata.to_vec(),
        })));
    }

    fn flood(&mut self, unless: u32) {
        let in_port = self.in_port();
        let may_get = |port: &&super::Port| port.number != in_port && port.config & unless == 0;
        let ports: Vec<u32> = self.bridge.ports().filter(may_get).map(|port| port.number).collect();
        ports.into_iter().for_each(|port| self.send(port));
    }

    /// Lets a packet out by a port as it is now.
    fn send(&mut self, number: u32) {
        let Some(port) = self.bridge.port(number).filter(|port| port.config & config::NO_FWD == 0) else { return };
        if !port.is_up || self.is_dropped {
            return;
        }
        let tunnel = match &port.kind {
            PortKind::Tunnel(config) => Some(outer(config, &self.key)),
            PortKind::Device | PortKind::Patch(_) => None,
        };
        if tunnel.as_ref().is_some_and(|tunnel| self.is_own_end(tunnel)) {
            return;
        }
        self.commit();
        let packet = Packet { data: self.bytes.data.clone(), tag: self.tag };
        if let Some(port) = self.bridge.port_mut(number) {
            port.counters.tx_packets += 1;
            port.counters.tx_bytes += packet.data.len() as u64;
        }
        self.effects.push(Effect::Output(Output { port: number, packet, tunnel, queue: self.queue }));
    }

    /// Whether a tunnel would end where the packet's own tunnel did, or nowhere if it came by none.
    fn is_own_end(&self, tunnel: &TunnelMetadata) -> bool {
        let end = match tunnel.destination {
            None => (0, 0),
            Some(IpAddr::V4(address)) => (address.to_bits().into(), 0),
            Some(IpAddr::V6(address)) => (0, address.to_bits()),
        };
        end == self.own_tunnel_end
    }

    /// As a plain learning switch would.
    fn normal(&mut self) {
        let in_port = self.in_port();
        let tag = self.key.tags().first().map(|tag| tag.control);
        let Some(port) = self.bridge.port(in_port) else { return };
        let is_broken = tag.is_none() && matches!(self.key.ethertype(), ethertype::VLAN | ethertype::QINQ);
        let vlan = normal::vlan_in(port, tag).filter(|_| !is_broken);
        let (source, destination) = (self.key.get(Field::EthSrc) as u64, self.key.get(Field::EthDst) as u64);
        let Some(vlan) = vlan.filter(|_| !normal::is_reserved(destination)) else { return };
        self.bridge.stations.learn(self.now, vlan, source, in_port);
        let known = self.bridge.stations.port(self.now, vlan, destination);
        let is_flooded = |port: &super::Port| port.config & config::NO_FLOOD == 0;
        let ports: Vec<(u32, u16)> = self
            .bridge
            .ports()
            .filter(|port| port.number != in_port && known.map_or(is_flooded(port), |known| known == port.number))
            .filter_map(|port| normal::vlan_out(port, vlan).map(|vid| (port.number, vid)))
            .collect();
        for (port, vid) in ports {
            self.send_tagged(port, vid);
        }
    }

    /// Lets a packet out with this tag instead of its own; without one if the identifier is zero.
    fn send_tagged(&mut self, port: u32, vid: u16) {
        let own = self.key.tags();
        let priority = own.first().map_or(0, |tag| tag.control & 0xe000);
        let kind = own.first().map_or(ethertype::VLAN, |tag| tag.ethertype);
        let outer = (vid != 0).then_some(Tag { ethertype: kind, control: priority | 0x1000 | vid });
        let inner = own.iter().skip(1).copied();
        self.key.set_tags(&outer.into_iter().chain(inner).collect::<Vec<_>>());
        self.send(port);
        self.key.set_tags(&own);
    }
}

fn set_tunnel(key: &mut Key, tunnel: &TunnelMetadata) {
    key.set(Field::TunId, tunnel.id.into());
    key.set(Field::TunFlags, tunnel.flags.into());
    let ends =
        [(tunnel.source, Field::TunSrc, Field::TunIpv6Src), (tunnel.destination, Field::TunDst, Field::TunIpv6Dst)];
    for (address, v4, v6) in ends {
        match address {
            None => {}
            Some(IpAddr::V4(address)) => key.set(v4, address.to_bits().into()),
            Some(IpAddr::V6(address)) => key.set(v6, address.to_bits()),
        }
    }
}

fn tunnel_end(key: &Key) -> (u128, u128) {
    (key.get(Field::TunDst), key.get(Field::TunIpv6Dst))
}

fn address(key: &Key, v4: Field, v6: Field) -> Option<IpAddr> {
    match (key.get(v4) as u32, key.get(v6)) {
        (0, 0) => None,
        (0, v6) => Some(IpAddr::V6(v6.into())),
        (v4, _) => Some(IpAddr::V4(v4.into())),
    }
}

/// What the header around a packet is to say: what the port is set to, else what flows set (`tnl_port_send`).
fn outer(config: &TunnelConfig, key: &Key) -> TunnelMetadata {
    let flow_source = || address(key, Field::TunSrc, Field::TunIpv6Src);
    let inner_tos = (key.get(Field::IpDscp) << 2 | key.get(Field::IpEcn)) as u8;
    let tos = config.tos.unwrap_or(if key.is_ip() { inner_tos } else { 0 });
    // What the inner packet says of congestion goes outside, but a mark starts anew (RFC 3168, section 9.1.1).
    let ecn = match key.get(Field::IpEcn) as u8 {
        _ if !key.is_ip() => 0,
        CONGESTION => 2,
        other => other,
    };
    TunnelMetadata {
        id: match config.key {
            Setting::Fixed(id) => id,
            Setting::Flow => key.get(Field::TunId) as u64,
        },
        source: match config.local {
            Some(Setting::Fixed(address)) => Some(address),
            Some(Setting::Flow) => flow_source(),
            None => None,
        },
        destination: match config.remote {
            Setting::Fixed(address) => Some(address),
            Setting::Flow => address(key, Field::TunDst, Field::TunIpv6Dst),
        },
        flags: key.get(Field::TunFlags) as u16,
        tos: (tos & !3) | ecn,
        ttl: config.ttl.unwrap_or(if key.is_ip() { key.get(Field::IpTtl) as u8 } else { 64 }),
        options: Vec::new(),
    }
}
