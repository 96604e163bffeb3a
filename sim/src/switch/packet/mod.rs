//! Packets as bytes, and what a switch reads from them and writes into them.
//!
//! [`parse()`] reads a frame into a [`Key`], which has a place for every field that a flow can match; actions change the
//! key, and [`commit()`] writes what changed back into the bytes, with the checksums that depend on it. So the bytes are
//! touched once for each output, as in Open vSwitch, whose `flow.c` and `packets.c` this follows in what it accepts:
//! a header that is short or lies about its length leaves the fields of its layer zero, and nothing here panics.
//!
//! Start at [`Packet`] and [`Key`]; [`build`] makes frames for tests and guests.

pub mod build;
pub mod checksum;
mod commit;
mod key;
mod parse;

pub use commit::commit;
pub use key::{Key, Tag, WORDS};
pub use parse::{Layout, parse};

/// Ethertypes.
pub mod ethertype {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// Reverse ARP.
    pub const RARP: u16 = 0x8035;
    /// 802.1Q, a customer's tag.
    pub const VLAN: u16 = 0x8100;
    /// 802.1ad, a provider's tag.
    pub const QINQ: u16 = 0x88a8;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// What the key says where a frame has a length instead of a type.
    pub const NONE: u16 = 0x05ff;
}

/// IP protocol numbers.
pub mod protocol {
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// IGMP.
    pub const IGMP: u8 = 2;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6 routing header.
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header.
    pub const FRAGMENT: u8 = 44;
    /// GRE.
    pub const GRE: u8 = 47;
    /// Authentication header.
    pub const AUTHENTICATION: u8 = 51;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
    /// IPv6 destination options.
    pub const DESTINATION: u8 = 60;
    /// SCTP.
    pub const SCTP: u8 = 132;
}

/// Bits of [`crate::switch::model::Field::IpFrag`].
pub mod fragment {
    /// A part of a packet.
    pub const ANY: u8 = 1;
    /// Not the first part.
    pub const LATER: u8 = 2;
}

/// A frame on its way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// From the destination's Ethernet address on, without a checksum of the frame.
    pub data: Vec<u8>,
    /// What the world wants to remember of it; whatever is made of this packet has it too.
    pub tag: u64,
}

impl Packet {
    /// A frame without a tag.
    pub fn new(data: Vec<u8>) -> Packet {
        Packet { data, tag: 0 }
    }
}

/// Two bytes at `offset`, big endian. The caller knows that they are there.
fn be16(bytes: &[u8], offset: usize) -> u16 {
    u16::from_be_bytes([bytes[offset], bytes[offset + 1]])
}

/// Four bytes at `offset`.
fn be32(bytes: &[u8], offset: usize) -> u32 {
    (u32::from(be16(bytes, offset)) << 16) | u32::from(be16(bytes, offset + 2))
}

/// Sixteen bytes at `offset`.
fn be128(bytes: &[u8], offset: usize) -> u128 {
    (0..4).fold(0, |value, word| (value << 32) | u128::from(be32(bytes, offset + 4 * word)))
}

/// An Ethernet address at `offset`.
fn mac_at(bytes: &[u8], offset: usize) -> u64 {
    (u64::from(be16(bytes, offset)) << 32) | u64::from(be32(bytes, offset + 2))
}

/// Writes the lowest `count` bytes of `value` at `offset`.
fn put(bytes: &mut [u8], offset: usize, count: usize, value: u128) {
    bytes[offset..offset + count].copy_from_slice(&value.to_be_bytes()[16 - count..]);
}
