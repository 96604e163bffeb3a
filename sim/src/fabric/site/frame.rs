//! Ethernet frames on the cables of a site, and ARP (IEEE 802.3, 802.1Q, RFC 826).
//!
//! A frame is kept in parts: on every hop the same payload goes on under another tag, often through several ports.
//! Start at [`Frame`].

use crate::logical::Mac;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Number of a VLAN, 1 to 4094.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vlan(pub u16);

/// What a frame carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// An IPv4 packet.
    Ip(Arc<Vec<u8>>),
    /// A question or an answer of address resolution.
    Arp(Arp),
}

/// A frame on a cable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Who it is for.
    pub destination: Mac,
    /// Who it is from.
    pub source: Mac,
    /// The tag that it carries.
    pub tag: Option<Vlan>,
    /// What it carries.
    pub payload: Payload,
    /// Bridges that it has passed. No real frame knows; see [`super::HOPS_MAX`].
    pub hops: u8,
}

/// ARP for IPv4 over Ethernet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// Whether an answer is wanted.
    pub is_request: bool,
    /// Whoever speaks.
    pub sender: (Ipv4Addr, Mac),
    /// The address that is asked for, or who is answered.
    pub target: Ipv4Addr,
}

impl Frame {
    /// One that leaves a host or a router.
    pub fn new(source: Mac, destination: Mac, payload: Payload) -> Frame {
        Frame { destination, source, tag: None, payload, hops: 0 }
    }

    /// Asks who has an address: everybody, or whoever is thought to have it.
    pub fn request(sender: (Ipv4Addr, Mac), target: Ipv4Addr, ask: Option<Mac>) -> Frame {
        let arp = Arp { is_request: true, sender, target };
        Frame::new(sender.1, ask.unwrap_or(Mac::BROADCAST), Payload::Arp(arp))
    }

    /// Answers a question.
    pub fn reply(sender: (Ipv4Addr, Mac), to: (Ipv4Addr, Mac)) -> Frame {
        let arp = Arp { is_request: false, sender, target: to.0 };
        Frame::new(sender.1, to.1, Payload::Arp(arp))
    }

    /// Tells everybody who has an address (RFC 5227, section 3).
    pub fn announcement(sender: (Ipv4Addr, Mac)) -> Frame {
        Frame::request(sender, sender.0, None)
    }
}
