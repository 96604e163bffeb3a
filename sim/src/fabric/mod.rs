//! The physical network: what carries tunnel packets between transport nodes, and what is outside of the gateways.
//!
//! Everything here is a machine of packets and time: `send` or `receive` at a moment, `deadline` to know when to come
//! back, packets out. Randomness is handed in. What happened to packets is counted, fault by fault, so that a run can
//! say which of its troubles it had ([`Counts`]).
//!
//! A packet travels with a [`Tag`] beside its bytes. Nothing in the simulated world may look at it but oracles: it is
//! how they know who sent a frame, whatever the frame says.
//!
//! | module | |
//! | --- | --- |
//! | [`underlay`] | the IP fabric between tunnel endpoints; start here |
//! | [`site`] | the switches, routers and cables that it is made of |
//! | [`fragment`] | IPv4 packets in pieces |
//! | [`weather`] | what a path does to packets |
//! | [`outer`] | what a router reads in a packet that it carries |
//! | [`wire`] | layouts of packets, for guests and whatever else speaks |

pub mod fragment;
pub mod outer;
pub mod site;
pub mod underlay;
pub mod weather;
pub mod wire;

use std::collections::BTreeMap;
use std::fmt;

/// Whatever an oracle needs to know a frame again; it travels beside the bytes, through tunnels and copies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Tag(pub u64);

/// Bytes on a wire, from the Ethernet or the IP header on, with the tag they travel with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// For oracles only.
    pub tag: Tag,
    /// All that is on the wire, without preamble and checksum of the link.
    pub bytes: Vec<u8>,
}

/// How often each kind of thing happened.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts<K: Ord>(BTreeMap<K, u64>);

impl<K: Ord> Default for Counts<K> {
    fn default() -> Counts<K> {
        Counts(BTreeMap::new())
    }
}

impl<K: Ord + Copy> Counts<K> {
    /// It happened once more.
    pub fn add(&mut self, kind: K) {
        *self.0.entry(kind).or_default() += 1;
    }

    /// It happened so many times more.
    pub fn add_many(&mut self, kind: K, times: u64) {
        if times > 0 {
            *self.0.entry(kind).or_default() += times;
        }
    }

    /// How often it happened.
    pub fn of(&self, kind: K) -> u64 {
        self.0.get(&kind).copied().unwrap_or(0)
    }

    /// Everything that did happen, in the order of kinds.
    pub fn iter(&self) -> impl Iterator<Item = (K, u64)> {
        self.0.iter().map(|(kind, count)| (*kind, *count))
    }
}

impl<K: Ord + Copy + fmt::Debug> fmt::Display for Counts<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.iter().map(|(kind, count)| format!("{kind:?} {count}")).collect();
        f.write_str(&words.join(", "))
    }
}
