//! Translation of addresses: which ones a connection gets, and how they come into a packet.

use super::{End, Subjected, Tuple, tuple};
use crate::switch::model::{Field, Nat};
use crate::switch::packet::{checksum, protocol};
use std::net::IpAddr;

/// How many ports are tried before a connection is refused.
const ATTEMPTS_MAX: u32 = 4096;

/// The tuple of replies for a connection that is translated so; none if all that may be had are taken.
pub fn unique(nat: &Nat, tuple: Tuple, is_free: impl Fn(&Tuple) -> bool) -> Option<Tuple> {
    let is_source = nat.flags & 1 != 0;
    let own = if is_source { tuple.source } else { tuple.destination };
    let hash = tuple.hash();
    let address = nat.addresses.map_or(own.address, |(first, last)| pick(first, last, hash));
    let reply_with = |port: u16| {
        let end = End { address, port, ..own };
        let reply = tuple.reversed();
        if is_source { Tuple { destination: end, ..reply } } else { Tuple { source: end, ..reply } }
    };
    if !tuple.has_ports() {
        return Some(reply_with(own.port)).filter(is_free);
    }
    let fixed = if is_source { source_range(nat, own.port, hash) } else { destination_range(nat, own.port, hash) };
    if let Some(found) = ports(fixed).map(reply_with).find(&is_free) {
        return Some(found);
    }
    // A destination that is taken is told apart by another source port.
    if is_source {
        return None;
    }
    let candidates = ports(ephemeral(tuple.source.port)).map(|port| {
        let reply = reply_with(fixed.0);
        Tuple { destination: End { port, ..reply.destination }, ..reply }
    });
    candidates.into_iter().find(is_free)
}

/// An address of a range, by hash.
fn pick(first: IpAddr, last: IpAddr, hash: u64) -> IpAddr {
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            let count = u64::from(last.to_bits().saturating_sub(first.to_bits())) + 1;
            IpAddr::V4((first.to_bits() + (hash % count) as u32).into())
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            let beyond = last.to_bits().saturating_sub(first.to_bits());
            let offset = beyond.checked_add(1).map_or(hash.into(), |count| u128::from(hash) % count);
            IpAddr::V6((first.to_bits() + offset).into())
        }
        (first, _) => first,
    }
}

/// First choice, least and greatest.
type Range = (u16, u16, u16);

/// Ports of the same class as the one that is replaced (RFC 3022 is silent; Linux and Open vSwitch do so).
fn ephemeral(port: u16) -> Range {
    match port {
        0..512 => (port, 1, 511),
        512..1024 => (port, 600, 1023),
        _ => (port, 1024, 65535),
    }
}

fn source_range(nat: &Nat, port: u16, hash: u64) -> Range {
    nat.ports.map_or(ephemeral(port), |(least, most)| from_range(least, most, hash))
}

fn destination_range(nat: &Nat, port: u16, hash: u64) -> Range {
    nat.ports.map_or((port, port, port), |(least, most)| from_range(least, most, hash))
}

fn from_range(least: u16, most: u16, hash: u64) -> Range {
    let most = most.max(least);
    let count = u64::from(most - least) + 1;
    (least + (hash % count) as u16, least, most)
}

/// The ports of a range, from the first choice on and round.
fn ports((first, least, most): Range) -> impl Iterator<Item = u16> {
    let count = u32::from(most.max(least) - least) + 1;
    let start = u32::from(first.max(least) - least);
    let round = (0..count.min(ATTEMPTS_MAX)).map(move |step| least + ((start + step) % count) as u16);
    // A port below its class is kept if nobody has it.
    (first < least).then_some(first).into_iter().chain(round)
}

/// What becomes of a packet: one of its addresses is replaced, and both ports, since one that was replaced in the first
/// packet to tell connections apart may be at the other end.
pub struct Target {
    pub is_source: bool,
    pub address: IpAddr,
    pub ports: Option<(u16, u16)>,
}

impl Target {
    fn field(&self) -> (Field, u128) {
        match (self.is_source, self.address) {
            (true, IpAddr::V4(address)) => (Field::Ipv4Src, address.to_bits().into()),
            (false, IpAddr::V4(address)) => (Field::Ipv4Dst, address.to_bits().into()),
            (true, IpAddr::V6(address)) => (Field::Ipv6Src, address.to_bits()),
            (false, IpAddr::V6(address)) => (Field::Ipv6Dst, address.to_bits()),
        }
    }

    /// Into the key of a packet.
    pub fn apply(&self, packet: &mut Subjected<'_>) {
        let (field, bits) = self.field();
        packet.key.set(field, bits);
        if let Some((source, destination)) = self.ports {
            packet.key.set(Field::TcpSrc, source.into());
            packet.key.set(Field::TcpDst, destination.into());
        }
    }

    /// Into an ICMP error: its own address in the key, and the other end of the packet that it quotes, in the bytes.
    pub fn apply_to_error(&self, packet: &mut Subjected<'_>, quoted: usize) {
        self.rewrite_quoted(packet, quoted);
        let (field, bits) = self.field();
        packet.key.set(field, bits);
    }

    fn rewrite_quoted(&self, packet: &mut Subjected<'_>, start: usize) {
        let Some(icmp) = packet.layout.transport else { return };
        let end = packet.layout.end;
        let (address, bytes): (usize, Vec<u8>) = match (self.address, !self.is_source) {
            (IpAddr::V4(address), true) => (12, address.octets().to_vec()),
            (IpAddr::V4(address), false) => (16, address.octets().to_vec()),
            (IpAddr::V6(address), true) => (8, address.octets().to_vec()),
            (IpAddr::V6(address), false) => (24, address.octets().to_vec()),
        };
        let before = packet.frame[icmp + 4..end].to_vec();
        let place = start + address;
        let old = packet.frame[place..place + bytes.len()].to_vec();
        packet.frame[place..place + bytes.len()].copy_from_slice(&bytes);
        let inner = tuple::quoted_transport(&packet.frame[start..end], self.address.is_ipv4());
        if self.address.is_ipv4() {
            correct(packet.frame, start + 10, &old, &bytes);
        }
        if let Some((proto, offset)) = inner {
            self.rewrite_transport(packet.frame, start + offset, end, proto, (&old, &bytes));
        }
        // An error's payload may be odd in length, so both are made even.
        let even = |mut bytes: Vec<u8>| {
            bytes.extend((bytes.len() % 2 == 1).then_some(0));
            bytes
        };
        let after = packet.frame[icmp + 4..end].to_vec();
        correct(packet.frame, icmp + 2, &even(before), &even(after));
    }

    /// Ports and checksum of the transport that is quoted, as far as they are there.
    fn rewrite_transport(&self, frame: &mut [u8], start: usize, end: usize, proto: u8, (old, new): (&[u8], &[u8])) {
        let sum = match proto {
            protocol::TCP => start + 16,
            protocol::UDP => start + 6,
            protocol::ICMPV6 => start + 2,
            _ => return,
        };
        let has_sum = sum + 2 <= end && !(proto == protocol::UDP && frame[sum..sum + 2] == [0, 0]);
        if has_sum {
            correct(frame, sum, old, new);
        }
        // It went the other way.
        if let Some((source, destination)) = self.ports.filter(|_| start + 4 <= end) {
            let old = frame[start..start + 4].to_vec();
            let new = [destination.to_be_bytes(), source.to_be_bytes()].concat();
            frame[start..start + 4].copy_from_slice(&new);
            if has_sum {
                correct(frame, sum, &old, &new);
            }
        }
    }
}

/// Corrects a checksum for bytes that changed.
fn correct(frame: &mut [u8], offset: usize, old: &[u8], new: &[u8]) {
    let sum = u16::from_be_bytes([frame[offset], frame[offset + 1]]);
    let sum = checksum::update(sum, old, new);
    frame[offset..offset + 2].copy_from_slice(&sum.to_be_bytes());
}
