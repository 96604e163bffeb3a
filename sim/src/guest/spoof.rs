//! Frames that a guest must not send: forged identities of all kinds, plain, tagged and fragmented.
//!
//! Whether one of them may pass depends on the port's address pairs; the oracle judges each as any other frame.
//! Start at [`frame`].

use super::{advertisement, discovery};
use crate::logical::Mac;
use crate::plan::Vif;
use crate::switch::packet::build::{Frame, Payload, Transport};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How many kinds there are.
pub const KINDS: u8 = 27;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];

/// A frame of a kind, from one guest that poses as another to whoever `destination` is.
pub fn frame(kind: u8, own: &Vif, victim: &Vif, destination: Mac) -> Vec<u8> {
    let (mine, theirs, to) = (own.mac, victim.mac, destination.0);
    let everybody = Mac::BROADCAST.0;
    let from =
        |source: Mac, destination: [u8; 6], payload| Frame { destination, source: source.0, tags: Vec::new(), payload };
    let arp = |operation, sender: ([u8; 6], Ipv4Addr), target: Ipv4Addr| Payload::Arp {
        operation,
        sender: (sender.0, sender.1.octets()),
        target: ([0; 6], target.octets()),
    };
    let udp = |source: IpAddr, destination: IpAddr, ports| {
        let transport = Transport::Udp { ports, bytes: vec![0x73; 16] };
        Payload::Ip { source, destination, ttl: 64, tos: 0, transport }
    };
    let v4 = |source: Ipv4Addr| udp(source.into(), victim.v4.into(), (68, 7));
    let v6 = |source: Ipv6Addr| udp(source.into(), victim.v6.into(), (546, 7));
    let icmp6 = |kind, source: Ipv6Addr, rest: Vec<u8>| Payload::Ip {
        source: source.into(),
        destination: ALL_NODES.into(),
        ttl: 255,
        tos: 0,
        transport: Transport::Icmp { kind, code: 0, bytes: rest },
    };
    let link_local = crate::logical::rules::eui64(mine);
    match kind % KINDS {
        0 => from(theirs, to, v4(own.v4)).build(),
        1 => from(mine, to, v4(victim.v4)).build(),
        2 => from(theirs, to, v4(victim.v4)).build(),
        3 => from(mine, to, v6(victim.v6)).build(),
        4 => from(theirs, to, v6(victim.v6)).build(),
        5 => from(mine, everybody, arp(1, (mine.0, victim.v4), victim.v4)).build(),
        6 => from(mine, to, arp(2, (mine.0, victim.v4), own.v4)).build(),
        7 => from(mine, everybody, arp(1, (theirs.0, own.v4), victim.v4)).build(),
        8 => from(theirs, everybody, arp(1, (theirs.0, victim.v4), own.v4)).build(),
        9 => from(mine, everybody, arp(1, (mine.0, Ipv4Addr::UNSPECIFIED), victim.v4)).build(),
        10 => advertisement(mine, victim.v6, ALL_NODES, ALL_NODES_MAC),
        11 => discovery(136, theirs, own.v6, ALL_NODES, ALL_NODES_MAC, own.v6),
        12 => discovery(135, mine, victim.v6, ALL_NODES, ALL_NODES_MAC, own.v6),
        13 => discovery(135, mine, Ipv6Addr::UNSPECIFIED, ALL_NODES, ALL_NODES_MAC, victim.v6),
        14 => from(mine, ALL_NODES_MAC, icmp6(134, link_local, vec![64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0])).build(),
        15 => from(mine, ALL_NODES_MAC, icmp6(137, link_local, vec![0; 36])).build(),
        16 => from(mine, everybody, udp(own.v4.into(), Ipv4Addr::BROADCAST.into(), (67, 68))).build(),
        17 => from(mine, everybody, udp(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::BROADCAST.into(), (68, 67))).build(),
        18 => tagged(from(mine, to, v4(own.v4)), &[0x8100]),
        19 => tagged(from(theirs, to, v4(victim.v4)), &[0x8100, 0x8100]),
        20 => tagged(from(mine, everybody, arp(1, (mine.0, own.v4), victim.v4)), &[0x88a8]),
        21 => from(Mac([3, 0, 0, 0, 0, 1]), everybody, v4(own.v4)).build(),
        22 => from(mine, to, Payload::Raw { ethertype: 0x88b5, bytes: vec![1; 46] }).build(),
        23 => from(theirs, everybody, Payload::Raw { ethertype: 0x8035, bytes: vec![0; 28] }).build(),
        24 => fragment(from(mine, to, v4(victim.v4)).build()),
        25 => from(mine, to, v4(own.v4)).build()[..20].to_vec(),
        _ => {
            let mut frame = from(mine, to, v4(own.v4)).build();
            // An IP protocol that is none (CVE-2023-1668).
            frame[23] = 0;
            frame
        }
    }
}

fn tagged(mut frame: Frame, kinds: &[u16]) -> Vec<u8> {
    frame.tags = kinds.iter().map(|kind| (*kind, 5)).collect();
    frame.build()
}

/// Makes an IPv4 packet a later fragment: what follows its header is no header of a transport.
fn fragment(mut frame: Vec<u8>) -> Vec<u8> {
    frame[20..22].copy_from_slice(&0x2003_u16.to_be_bytes());
    frame[24..26].fill(0);
    let sum = frame[14..34].chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum::<u32>();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    frame[24..26].copy_from_slice(&(!(folded as u16)).to_be_bytes());
    frame
}
