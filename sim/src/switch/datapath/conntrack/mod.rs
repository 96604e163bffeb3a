//! Connection tracking: zones, states, marks, labels and translation of addresses.
//!
//! [`Conntrack::track`] takes what the ct action says and a packet, and says what is known of the packet's connection;
//! it changes the packet's key where addresses are translated, and the caller writes that into the bytes. It follows
//! `conntrack.c` of Open vSwitch's userspace datapath, except that fragments are not put together but invalid, that
//! TCP's windows are not checked ([`state`]), and that no application helpers are known.

mod nat;
mod state;
#[cfg(test)]
mod tests;
mod tuple;

pub use state::{Peer, Progress, Timeouts};
pub use tuple::{End, Tuple};

use super::super::model::{Field, Nat};
use super::super::packet::{Key, Layout};
use state::Verdict;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tuple::Subject;

/// Bits of `ct_state` (ovs-fields(7)).
pub mod bits {
    /// The beginning of a connection.
    pub const NEW: u32 = 1;
    /// Part of one that has answered.
    pub const ESTABLISHED: u32 = 2;
    /// About one.
    pub const RELATED: u32 = 4;
    /// From the end that did not begin.
    pub const REPLY: u32 = 8;
    /// Nothing that can be tracked.
    pub const INVALID: u32 = 16;
    /// It was tracked.
    pub const TRACKED: u32 = 32;
    /// Its source was translated.
    pub const SOURCE_NAT: u32 = 64;
    /// Its destination was translated.
    pub const DESTINATION_NAT: u32 = 128;
}

/// What a packet carries along of the tracker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracked {
    /// [`bits`].
    pub state: u32,
    /// In which zone.
    pub zone: u16,
    /// The connection's mark.
    pub mark: u32,
    /// Its label.
    pub label: u128,
    /// The tuple of its first packet.
    pub original: Option<Tuple>,
    /// The connection, its direction, and whether this is an error about it: to find it again in the same zone.
    connection: Option<(u64, bool, bool)>,
}

/// What a ct action wants.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// In which zone.
    pub zone: u16,
    /// Keep the connection.
    pub commit: bool,
    /// Forget one of the other direction.
    pub force: bool,
    /// Set these bits of the mark: value, mask.
    pub mark: Option<(u32, u32)>,
    /// Set these bits of the label.
    pub label: Option<(u128, u128)>,
    /// Translate.
    pub nat: Option<Nat>,
}

/// Which address is translated in the direction of the first packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Source,
    Destination,
}

/// A connection.
#[derive(Clone, Debug)]
pub struct Connection {
    /// As its first packet was.
    pub original: Tuple,
    /// As replies come.
    pub reply: Tuple,
    /// How far it is.
    pub progress: Progress,
    /// Its mark.
    pub mark: u32,
    /// Its label.
    pub label: u128,
    /// When it is forgotten.
    pub expires: Duration,
    translated: Option<Side>,
}

/// All connections.
#[derive(Clone, Debug)]
pub struct Conntrack {
    /// How many there may be.
    pub limit: usize,
    /// How many there may be in a zone.
    pub zone_limits: BTreeMap<u16, usize>,
    /// How long they are remembered.
    pub timeouts: Timeouts,
    connections: BTreeMap<u64, Connection>,
    /// Both tuples of each connection; true for that of replies.
    by_tuple: BTreeMap<Tuple, (u64, bool)>,
    timers: BTreeSet<(Duration, u64)>,
    zones: BTreeMap<u16, usize>,
    next: u64,
}

impl Default for Conntrack {
    fn default() -> Conntrack {
        Conntrack {
            limit: 3_000_000,
            zone_limits: BTreeMap::new(),
            timeouts: Timeouts::default(),
            connections: BTreeMap::new(),
            by_tuple: BTreeMap::new(),
            timers: BTreeSet::new(),
            zones: BTreeMap::new(),
            next: 0,
        }
    }
}

/// The packet that is tracked.
pub struct Subjected<'a> {
    /// Its bytes. What an ICMP error quotes is translated right here.
    pub frame: &'a mut [u8],
    /// Where its layers are.
    pub layout: &'a Layout,
    /// Its key: addresses and ports are translated here, and are to be written.
    pub key: &'a mut Key,
}

impl Conntrack {
    /// Tracks a packet.
    pub fn track(&mut self, now: Duration, packet: &mut Subjected<'_>, tracked: &mut Tracked, request: &Request) {
        self.expire(now);
        if let Some(known) = tracked.connection.filter(|_| tracked.zone == request.zone && !request.force)
            && self.connections.contains_key(&known.0)
        {
            self.again(packet, tracked, request, known);
            return;
        }
        let subject = tuple::read(packet.frame, packet.key, packet.layout, request.zone);
        let Some(subject) = subject.filter(|_| tracked.state != bits::INVALID) else {
            *tracked = untrackable(request.zone, None);
            return;
        };
        if tracked.zone != request.zone {
            tracked.state = 0;
        }
        self.first(now, packet, tracked, request, subject);
    }

    /// A packet whose connection is known already.
    fn again(
        &mut self,
        packet: &mut Subjected<'_>,
        tracked: &mut Tracked,
        request: &Request,
        (id, is_reply, is_error): (u64, bool, bool),
    ) {
        if request.nat.is_some() {
            let quoted = tuple::read(packet.frame, packet.key, packet.layout, request.zone)
                .and_then(|subject| subject.quoted)
                .filter(|_| is_error);
            self.translate(id, packet, tracked, request.zone, is_reply, quoted);
            tracked.connection = None;
        }
        self.write(id, tracked);
        self.set_marks(id, tracked, request);
    }

    fn first(
        &mut self,
        now: Duration,
        packet: &mut Subjected<'_>,
        tracked: &mut Tracked,
        request: &Request,
        subject: Subject,
    ) {
        let is_translated = tracked.state & (bits::SOURCE_NAT | bits::DESTINATION_NAT) != 0;
        let mut found = self.lookup(subject.tuple, is_translated);
        if let Some((id, true)) = found.filter(|_| request.force) {
            self.forget(id);
            found = None;
        }
        if found.is_none() && is_translated && request.nat.is_none() {
            found = tracked.original.and_then(|original| self.by_tuple.get(&original)).map(|(id, _)| (*id, false));
        }
        let flags = packet.key.get(Field::TcpFlags) as u16;
        let is_kept = found.is_some_and(|(id, is_reply)| {
            let is_error = subject.quoted.is_some();
            let is_kept = self.update(now, id, tracked, flags, is_reply, is_error);
            if is_kept && request.nat.is_some() {
                self.translate(id, packet, tracked, request.zone, is_reply, subject.quoted);
            }
            is_kept
        });
        let connection = match found.filter(|_| is_kept) {
            Some((id, is_reply)) => Some((id, is_reply)),
            None if subject.quoted.is_some() => {
                tracked.state = bits::INVALID;
                None
            }
            None => self.begin(now, packet, tracked, request, subject.tuple, flags).map(|id| (id, false)),
        };
        tracked.state |= bits::TRACKED;
        tracked.zone = request.zone;
        match connection {
            Some((id, is_reply)) => {
                self.write(id, tracked);
                self.set_marks(id, tracked, request);
                let found_again = (id, is_reply, subject.quoted.is_some());
                tracked.connection = request.nat.is_none().then_some(found_again);
            }
            None => {
                (tracked.mark, tracked.label) = (0, 0);
                (tracked.original, tracked.connection) = (Some(subject.tuple), None);
            }
        }
    }

    /// The connection of a tuple, and whether it is that of replies. A packet that was translated before is looked for
    /// by the other direction.
    fn lookup(&self, tuple: Tuple, is_translated: bool) -> Option<(u64, bool)> {
        let reversed = || self.by_tuple.get(&tuple.reversed()).map(|(id, is_reply)| (*id, !is_reply));
        let translated = is_translated.then(reversed).flatten();
        translated.or_else(|| self.by_tuple.get(&tuple).copied())
    }

    /// Says what a packet is to its connection; false if it begins another one.
    fn update(
        &mut self,
        now: Duration,
        id: u64,
        tracked: &mut Tracked,
        flags: u16,
        is_reply: bool,
        is_error: bool,
    ) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        let reply = if is_reply { bits::REPLY } else { 0 };
        if is_error {
            tracked.state |= bits::RELATED | reply;
            return true;
        }
        match connection.progress.packet(flags, is_reply) {
            Verdict::Established => tracked.state = (tracked.state & !bits::NEW) | bits::ESTABLISHED | reply,
            Verdict::New => tracked.state |= bits::NEW,
            Verdict::Invalid => {
                tracked.state = bits::INVALID;
                return true;
            }
            Verdict::Another => {
                self.forget(id);
                return false;
            }
        }
        let expires = now + connection.progress.timeout(&self.timeouts);
        self.timers.remove(&(connection.expires, id));
        connection.expires = expires;
        self.timers.insert((expires, id));
        true
    }

    /// Begins a connection, if it is to be kept and there is room.
    fn begin(
        &mut self,
        now: Duration,
        packet: &mut Subjected<'_>,
        tracked: &mut Tracked,
        request: &Request,
        tuple: Tuple,
        flags: u16,
    ) -> Option<u64> {
        if !state::may_begin(tuple.protocol, flags, tuple.source.kind) {
            tracked.state = bits::INVALID;
            return None;
        }
        tracked.state = bits::NEW;
        let in_zone = self.zones.get(&tuple.zone).copied().unwrap_or(0);
        let is_zone_full = self.zone_limits.get(&tuple.zone).is_some_and(|limit| in_zone >= *limit);
        if !request.commit || is_zone_full || self.connections.len() >= self.limit {
            return None;
        }
        let mut connection = Connection {
            original: tuple,
            reply: tuple.reversed(),
            progress: Progress::begin(tuple.protocol),
            mark: 0,
            label: 0,
            expires: now,
            translated: None,
        };
        if let Some((nat, side)) = request.nat.as_ref().and_then(|nat| side(nat).map(|side| (nat, side))) {
            connection.reply = nat::unique(nat, tuple, |tuple| !self.by_tuple.contains_key(tuple))?;
            connection.translated = Some(side);
        }
        let id = self.insert(now, connection);
        if request.nat.is_some() {
            self.translate(id, packet, tracked, request.zone, false, None);
        }
        Some(id)
    }

    fn insert(&mut self, now: Duration, mut connection: Connection) -> u64 {
        self.next += 1;
        let id = self.next;
        connection.expires = now + connection.progress.timeout(&self.timeouts);
        self.by_tuple.insert(connection.reply, (id, true));
        self.by_tuple.insert(connection.original, (id, false));
        self.timers.insert((connection.expires, id));
        *self.zones.entry(connection.original.zone).or_default() += 1;
        self.connections.insert(id, connection);
        id
    }

    fn forget(&mut self, id: u64) {
        let Some(connection) = self.connections.remove(&id) else { return };
        self.by_tuple.remove(&connection.original);
        self.by_tuple.remove(&connection.reply);
        self.timers.remove(&(connection.expires, id));
        if let Some(count) = self.zones.get_mut(&connection.original.zone) {
            *count -= 1;
        }
    }

    /// Translates a packet as its connection says, unless it has been in this zone.
    fn translate(
        &self,
        id: u64,
        packet: &mut Subjected<'_>,
        tracked: &mut Tracked,
        zone: u16,
        is_reply: bool,
        quoted: Option<usize>,
    ) {
        let Some(connection) = self.connections.get(&id) else { return };
        let Some(side) = connection.translated else { return };
        let translated = bits::SOURCE_NAT | bits::DESTINATION_NAT;
        if tracked.state & translated != 0 && tracked.zone == zone {
            return;
        }
        tracked.state &= !translated;
        let own_side = match (side, is_reply) {
            (Side::Source, false) | (Side::Destination, true) => Side::Source,
            (Side::Source, true) | (Side::Destination, false) => Side::Destination,
        };
        // What the other direction is sent to is what this one comes from.
        let other = if is_reply { connection.original } else { connection.reply };
        let target = nat::Target {
            is_source: own_side == Side::Source,
            address: if own_side == Side::Source { other.destination } else { other.source }.address,
            ports: connection.original.has_ports().then_some((other.destination.port, other.source.port)),
        };
        match quoted {
            None => target.apply(packet),
            Some(offset) => target.apply_to_error(packet, offset),
        }
        tracked.state |= if own_side == Side::Source { bits::SOURCE_NAT } else { bits::DESTINATION_NAT };
    }

    fn write(&self, id: u64, tracked: &mut Tracked) {
        if let Some(connection) = self.connections.get(&id) {
            (tracked.mark, tracked.label) = (connection.mark, connection.label);
            tracked.original = Some(connection.original);
        }
    }

    fn set_marks(&mut self, id: u64, tracked: &mut Tracked, request: &Request) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if let Some((value, mask)) = request.mark {
            tracked.mark = (tracked.mark & !mask) | (value & mask);
            connection.mark = tracked.mark;
        }
        if let Some((value, mask)) = request.label {
            tracked.label = (tracked.label & !mask) | (value & mask);
            connection.label = tracked.label;
        }
    }

    /// When a connection is forgotten next.
    pub fn deadline(&self) -> Option<Duration> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Forgets the connections whose time is over.
    pub fn expire(&mut self, now: Duration) {
        while let Some((_, id)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.forget(id);
        }
    }

    /// Forgets all connections, or those of a zone.
    pub fn flush(&mut self, zone: Option<u16>) {
        let of_zone = |connection: &Connection| zone.is_none_or(|zone| connection.original.zone == zone);
        let ids: Vec<u64> = self.connections.iter().filter(|(_, one)| of_zone(one)).map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.forget(id));
    }

    /// All connections, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.connections.values()
    }
}

fn side(nat: &Nat) -> Option<Side> {
    match nat.flags & 3 {
        1 => Some(Side::Source),
        2 => Some(Side::Destination),
        _ => None,
    }
}

fn untrackable(zone: u16, original: Option<Tuple>) -> Tracked {
    Tracked { state: bits::INVALID | bits::TRACKED, zone, original, ..Tracked::default() }
}
