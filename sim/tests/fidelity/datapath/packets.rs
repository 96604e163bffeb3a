//! Packets: of every protocol that the switch reads, from few addresses so that flows are found, some broken.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use selvedge_sim::switch::packet::build::{Frame, Payload, Transport};
use selvedge_sim::switch::packet::parse;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A station's address.
pub fn mac(random: &mut ChaCha8Rng) -> u64 {
    0x0200_0000_0000 | random.random_range(1..4)
}

/// An IPv4 address.
pub fn ipv4(random: &mut ChaCha8Rng) -> u32 {
    0x0a00_0000 | random.random_range(0..2u32) << 8 | random.random_range(1..4u32)
}

/// An IPv6 address.
pub fn ipv6(random: &mut ChaCha8Rng) -> u128 {
    0x2001_0db8 << 96 | u128::from(random.random_range(0..2u32)) << 32 | u128::from(random.random_range(1..4u32))
}

/// A transport's port.
pub fn port(random: &mut ChaCha8Rng) -> u16 {
    [53, 80, 1000, 1001][random.random_range(0..4)]
}

/// Flags of TCP as they come.
pub fn tcp_flags(random: &mut ChaCha8Rng) -> u16 {
    [0x02, 0x12, 0x10, 0x18, 0x11, 0x14][random.random_range(0..6)]
}

fn octets(address: u64) -> [u8; 6] {
    let bytes = address.to_be_bytes();
    [bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]]
}

fn transport(random: &mut ChaCha8Rng, is_ipv4: bool) -> Transport {
    let ports = (port(random), port(random));
    let bytes = vec![0x5a; random.random_range(0..20)];
    match random.random_range(0..10) {
        0..4 => Transport::Tcp { ports, flags: tcp_flags(random), sequence: 1, acknowledgement: 1, bytes: Vec::new() },
        4..7 => Transport::Udp { ports, bytes },
        7 => Transport::Sctp { ports, bytes },
        8 if is_ipv4 => {
            Transport::Icmp { kind: [8, 0, 3][random.random_range(0..3)], code: 0, bytes: vec![0, 1, 0, 2, 9] }
        }
        8 => icmpv6(random),
        _ => Transport::Raw { protocol: [0, 2, 47, 89, 255][random.random_range(0..5)], bytes },
    }
}

fn icmpv6(random: &mut ChaCha8Rng) -> Transport {
    let kind = [128, 129, 135, 136, 135, 136][random.random_range(0..6)];
    let mut bytes = vec![0; 4];
    if kind >= 135 {
        bytes.extend(ipv6(random).to_be_bytes());
        for _ in 0..random.random_range(0..3) {
            bytes.extend([[1, 2, 5][random.random_range(0..3)], 1]);
            bytes.extend(octets(mac(random)));
        }
    }
    Transport::Icmp { kind, code: 0, bytes }
}

fn ip(random: &mut ChaCha8Rng) -> Payload {
    let is_ipv4 = random.random_bool(0.6);
    let address = |random: &mut ChaCha8Rng| match is_ipv4 {
        true => IpAddr::V4(Ipv4Addr::from(ipv4(random))),
        false => IpAddr::V6(Ipv6Addr::from(ipv6(random))),
    };
    let ttl = [64, 64, 2, 1, 0][random.random_range(0..5)];
    let tos = [0, 0, 0xb8, 3][random.random_range(0..4)];
    Payload::Ip {
        source: address(random),
        destination: address(random),
        ttl,
        tos,
        transport: transport(random, is_ipv4),
    }
}

fn arp(random: &mut ChaCha8Rng) -> Payload {
    let end = |random: &mut ChaCha8Rng| (octets(mac(random)), ipv4(random).to_be_bytes());
    Payload::Arp { operation: random.random_range(1..4), sender: end(random), target: end(random) }
}

/// A packet, and the port it comes by.
pub fn generate(random: &mut ChaCha8Rng, ports: u32) -> (u32, Vec<u8>) {
    let payload = match random.random_range(0..20) {
        0..15 => ip(random),
        15..18 => arp(random),
        18 => Payload::Raw { ethertype: [0x88cc, 0x8847, 0x8035][random.random_range(0..3)], bytes: vec![1; 46] },
        _ => Payload::Raw { ethertype: 46, bytes: vec![0xaa, 0xaa, 3, 0, 0, 0, 8, 0, 0x45, 0, 0, 0] },
    };
    let tag = |random: &mut ChaCha8Rng| {
        let control = random.random_range(0..8u16) << 13 | random.random_range(0..3u16);
        ([0x8100, 0x88a8][random.random_range(0..2)], control)
    };
    let tags = [0, 0, 0, 1, 1, 2][random.random_range(0..6)];
    let frame = Frame {
        destination: octets(mac(random)),
        source: octets(mac(random)),
        tags: (0..tags).map(|_| tag(random)).collect(),
        payload,
    };
    let bytes = frame.build();
    let bytes = match random.random_range(0..12) {
        0 => fragment(random, bytes),
        1 => extend(random, bytes),
        2 => Some(damage(random, bytes.clone())).filter(|damaged| !is_short_arp(damaged)).unwrap_or(bytes),
        _ => bytes,
    };
    (random.random_range(1..=ports), bytes)
}

/// Makes an IPv4 packet a fragment; its header's checksum is right.
fn fragment(random: &mut ChaCha8Rng, mut frame: Vec<u8>) -> Vec<u8> {
    let (key, layout) = parse(&frame);
    if let (0x800, Some(start), Some(_)) = (key.ethertype(), layout.network, layout.transport) {
        frame[start + 6] = [0x20, 0, 0x20][random.random_range(0..3)];
        frame[start + 7] = [0, 0, 9][random.random_range(0..3)];
        frame[start + 10..start + 12].fill(0);
        let sum = selvedge_sim::switch::packet::checksum::internet(&frame[start..start + 20], 0);
        frame[start + 10..start + 12].copy_from_slice(&sum.to_be_bytes());
    }
    frame
}

/// Adds options to IPv4, or extension headers to IPv6.
fn extend(random: &mut ChaCha8Rng, mut frame: Vec<u8>) -> Vec<u8> {
    let (key, layout) = parse(&frame);
    let (Some(start), Some(transport)) = (layout.network, layout.transport) else { return frame };
    if key.ethertype() == 0x800 {
        frame.splice(transport..transport, [1, 1, 1, 0]);
        frame[start] += 1;
        add_length(&mut frame, start + 2, 4);
        frame[start + 10..start + 12].fill(0);
        let sum = selvedge_sim::switch::packet::checksum::internet(&frame[start..start + 24], 0);
        frame[start + 10..start + 12].copy_from_slice(&sum.to_be_bytes());
    } else {
        let kind = [0, 60, 43, 44, 51][random.random_range(0..5)];
        let next = std::mem::replace(&mut frame[start + 6], kind);
        let position = if kind == 44 { [0, 1, 8][random.random_range(0..3)] } else { 0 };
        let length = if kind == 51 { 2 } else { 0 };
        let header = [next, length, 0, position, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let count = if kind == 51 { 16 } else { 8 };
        frame.splice(transport..transport, header[..count].iter().copied());
        add_length(&mut frame, start + 4, count as u16);
    }
    frame
}

fn add_length(frame: &mut [u8], offset: usize, more: u16) {
    let length = u16::from_be_bytes([frame[offset], frame[offset + 1]]) + more;
    frame[offset..offset + 2].copy_from_slice(&length.to_be_bytes());
}

/// Cuts a packet off, pads it, or changes a byte after its addresses.
fn damage(random: &mut ChaCha8Rng, mut frame: Vec<u8>) -> Vec<u8> {
    match random.random_range(0..3) {
        0 => frame.truncate(random.random_range(14..frame.len())),
        1 => frame.extend(vec![0; random.random_range(1..30)]),
        _ => {
            let offset = random.random_range(12..frame.len());
            frame[offset] = [0, 1, 6, 0x45, 0x60, 0xff][random.random_range(0..6)];
        }
    }
    frame
}

/// Open vSwitch 3.1 writes beyond the end of an ARP packet that is too short and whose operation is set, and dies of it.
fn is_short_arp(frame: &[u8]) -> bool {
    let (key, layout) = parse(frame);
    matches!(key.ethertype(), 0x806 | 0x8035) && layout.network.is_some_and(|start| frame.len() < start + 28)
}

/// Whether a packet is a fragment, or has IPv6's fragment header.
pub fn is_fragmented(frame: &[u8]) -> bool {
    let (key, layout) = parse(frame);
    let Some(start) = layout.network else { return false };
    let is_ipv6 = key.ethertype() == 0x86dd;
    let headers = frame.get(start + 6..layout.transport.unwrap_or(start));
    let has_header = is_ipv6 && headers.is_some_and(|bytes| bytes.contains(&44));
    has_header || key.get(selvedge_sim::switch::model::Field::IpFrag) != 0
}
