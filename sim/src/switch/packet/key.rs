//! The flow key: a place in an array of words for every field that a flow can match.
//!
//! Fields that Open vSwitch keeps in one place share it here too, since no packet has both: ports of all transports
//! and ICMP's type and code, ARP's and IPv4's addresses, ARP's hardware addresses and those of neighbour discovery.
//! Overlays ([`Field::Xreg`] over [`Field::Reg`], [`Field::VlanVid`] over [`Field::VlanTci`]) are the same bits.

use super::{ethertype, fragment, protocol};
use crate::switch::model::{Field, FieldMatch, Subfield};

/// Words of a key.
pub const WORDS: usize = 34;

/// The highest bit of a VLAN identifier as OpenFlow has it: there is a tag.
const VLAN_PRESENT: u128 = 0x1000;

/// Everything that a flow can match, for one packet; also the mask of a match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    words: [u64; WORDS],
}

impl Default for Key {
    fn default() -> Key {
        Key { words: [0; WORDS] }
    }
}

/// Where a field is: of 128 bits, two words from `word` on; else `bits` bits of one, from bit `shift` up.
#[derive(Clone, Copy)]
struct Place {
    word: usize,
    shift: u32,
}

const fn at(word: usize, shift: u32) -> Place {
    Place { word, shift }
}

const REGISTERS: usize = 12;
const VLANS: usize = 33;

fn place(field: Field) -> Place {
    match field {
        Field::CtState => at(0, 32),
        Field::CtMark => at(0, 0),
        Field::CtZone => at(1, 48),
        Field::TunFlags => at(1, 32),
        Field::PktMark => at(1, 0),
        Field::CtLabel => at(2, 0),
        Field::ConjId => at(4, 32),
        Field::InPort => at(4, 0),
        Field::TunId => at(5, 0),
        Field::TunSrc => at(6, 32),
        Field::TunDst => at(6, 0),
        Field::TunIpv6Src => at(7, 0),
        Field::TunIpv6Dst => at(9, 0),
        Field::Metadata => at(11, 0),
        Field::Reg(index) => at(REGISTERS + usize::from(index / 2), if index % 2 == 0 { 32 } else { 0 }),
        Field::Xreg(index) => at(REGISTERS + usize::from(index), 0),
        Field::Xxreg(index) => at(REGISTERS + 2 * usize::from(index), 0),
        Field::EthSrc => at(20, 16),
        Field::EthType => at(20, 0),
        Field::EthDst => at(21, 16),
        Field::VlanTci | Field::VlanVid => at(21, 0),
        Field::VlanPcp => at(21, 13),
        Field::IpProto | Field::ArpOp => at(22, 0),
        Field::IpDscp => at(22, 18),
        Field::IpEcn => at(22, 16),
        Field::IpTtl => at(22, 24),
        Field::IpFrag => at(22, 32),
        Field::Ipv6Label => at(22, 40),
        Field::Ipv4Src | Field::ArpSpa => at(23, 32),
        Field::Ipv4Dst | Field::ArpTpa => at(23, 0),
        Field::Ipv6Src => at(24, 0),
        Field::Ipv6Dst => at(26, 0),
        Field::TcpFlags => at(28, 0),
        Field::TcpDst | Field::UdpDst | Field::SctpDst | Field::Icmpv4Code | Field::Icmpv6Code => at(28, 16),
        Field::TcpSrc | Field::UdpSrc | Field::SctpSrc | Field::Icmpv4Type | Field::Icmpv6Type => at(28, 32),
        Field::ArpSha | Field::NdSll => at(29, 0),
        Field::ArpTha | Field::NdTll => at(30, 0),
        Field::NdTarget => at(31, 0),
    }
}

/// A VLAN tag: its Ethertype and what follows it; bit 12 is set, as the key has it, not as the wire does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// [`ethertype::VLAN`] or [`ethertype::QINQ`].
    pub ethertype: u16,
    /// Priority, bit 12, identifier.
    pub control: u16,
}

impl Key {
    /// The array, for lookups by mask.
    pub fn words(&self) -> &[u64; WORDS] {
        &self.words
    }

    /// The value of a field.
    pub fn get(&self, field: Field) -> u128 {
        let Place { word, shift } = place(field);
        match field.bits() {
            128 => (u128::from(self.words[word]) << 64) | u128::from(self.words[word + 1]),
            _ => u128::from(self.words[word] >> shift) & field.full_mask(),
        }
    }

    /// Sets the bits of a field that are in the mask, and nothing else: for masks of matches.
    pub fn set_bits(&mut self, FieldMatch { field, value, mask }: FieldMatch) {
        let Place { word, shift } = place(field);
        let mask = mask & field.full_mask();
        let value = value & mask;
        if field.bits() == 128 {
            self.words[word] = (self.words[word] & !((mask >> 64) as u64)) | (value >> 64) as u64;
            self.words[word + 1] = (self.words[word + 1] & !(mask as u64)) | value as u64;
        } else {
            self.words[word] = (self.words[word] & !((mask as u64) << shift)) | ((value as u64) << shift);
        }
    }

    /// Sets a field.
    pub fn set(&mut self, field: Field, value: u128) {
        self.set_masked(FieldMatch { field, value, mask: u128::MAX });
    }

    /// Sets the bits of a field that are in the mask, as an action does: a VLAN's priority makes a tag, and a tag that
    /// comes to be is one of 802.1Q.
    pub fn set_masked(&mut self, change: FieldMatch) {
        self.set_bits(change);
        match change.field {
            Field::VlanPcp => {
                self.set_bits(FieldMatch { field: Field::VlanTci, value: VLAN_PRESENT, mask: VLAN_PRESENT })
            }
            Field::VlanTci | Field::VlanVid => {}
            _ => return,
        }
        if self.get(Field::VlanTci) != 0 && self.words[VLANS] & 0xffff == 0 {
            self.words[VLANS] |= u64::from(ethertype::VLAN);
        }
    }

    /// Some bits of a field.
    pub fn read(&self, part: Subfield) -> u128 {
        (self.get(part.field) >> part.offset.min(127)) & part_mask(part)
    }

    /// Sets some bits of a field; bits of the value beyond them are ignored.
    pub fn write(&mut self, part: Subfield, value: u128) {
        let shift = u32::from(part.offset.min(127));
        let mask = part_mask(part);
        self.set_masked(FieldMatch { field: part.field, value: (value & mask) << shift, mask: mask << shift });
    }

    /// The same with only the bits of the mask.
    pub fn masked(&self, mask: &Key) -> Key {
        let mut words = self.words;
        words.iter_mut().zip(mask.words).for_each(|(word, mask)| *word &= mask);
        Key { words }
    }

    /// VLAN tags that the key knows: at most two, outer first.
    pub fn tags(&self) -> Vec<Tag> {
        let word = self.words[VLANS];
        let outer = Tag { ethertype: word as u16, control: self.get(Field::VlanTci) as u16 };
        let inner = Tag { ethertype: (word >> 16) as u16, control: (word >> 32) as u16 };
        [outer, inner].into_iter().take_while(|tag| u128::from(tag.control) & VLAN_PRESENT != 0).collect()
    }

    /// Replaces the VLAN tags; a third one and those after it are forgotten.
    pub fn set_tags(&mut self, tags: &[Tag]) {
        let tag = |index: usize| tags.get(index).copied().unwrap_or(Tag { ethertype: 0, control: 0 });
        let (outer, inner) = (tag(0), tag(1));
        let control = FieldMatch { field: Field::VlanTci, value: outer.control.into(), mask: u128::MAX };
        self.set_bits(control);
        self.words[VLANS] =
            u64::from(outer.ethertype) | (u64::from(inner.ethertype) << 16) | (u64::from(inner.control) << 32);
    }

    /// Whether it is IPv4 or IPv6.
    pub fn is_ip(&self) -> bool {
        matches!(self.ethertype(), ethertype::IPV4 | ethertype::IPV6)
    }

    /// The Ethertype after the tags that the switch understands.
    pub fn ethertype(&self) -> u16 {
        self.get(Field::EthType) as u16
    }

    /// The IP protocol; ARP's operation in ARP; zero if there is none, or the header is not sound.
    pub fn protocol(&self) -> u8 {
        self.get(Field::IpProto) as u8
    }

    fn is_transport(&self, number: u8) -> bool {
        self.is_ip() && self.protocol() == number && self.get(Field::IpFrag) as u8 & fragment::LATER == 0
    }

    fn is_icmpv6(&self) -> bool {
        self.ethertype() == ethertype::IPV6 && self.protocol() == protocol::ICMPV6
    }

    fn is_neighbour_discovery(&self, types: &[u128]) -> bool {
        let kind = self.get(Field::TcpSrc);
        self.is_icmpv6() && self.get(Field::TcpDst) == 0 && types.contains(&kind)
    }

    /// Whether the packet has the field (`mf_are_prereqs_ok` in Open vSwitch): actions on others do nothing.
    pub fn has(&self, field: Field) -> bool {
        match field {
            Field::VlanPcp => self.get(Field::VlanTci) & VLAN_PRESENT != 0,
            Field::IpProto | Field::IpDscp | Field::IpEcn | Field::IpTtl | Field::IpFrag => self.is_ip(),
            Field::Ipv4Src | Field::Ipv4Dst => self.ethertype() == ethertype::IPV4,
            Field::Ipv6Src | Field::Ipv6Dst | Field::Ipv6Label => self.ethertype() == ethertype::IPV6,
            Field::TcpSrc | Field::TcpDst | Field::TcpFlags => self.is_transport(protocol::TCP),
            Field::UdpSrc | Field::UdpDst => self.is_transport(protocol::UDP),
            Field::SctpSrc | Field::SctpDst => self.is_transport(protocol::SCTP),
            Field::Icmpv4Type | Field::Icmpv4Code => {
                self.ethertype() == ethertype::IPV4 && self.protocol() == protocol::ICMP
            }
            Field::Icmpv6Type | Field::Icmpv6Code => self.is_icmpv6(),
            Field::ArpOp | Field::ArpSpa | Field::ArpTpa | Field::ArpSha | Field::ArpTha => {
                matches!(self.ethertype(), ethertype::ARP | ethertype::RARP)
            }
            Field::NdTarget => self.is_neighbour_discovery(&[135, 136]),
            Field::NdSll => self.is_neighbour_discovery(&[135]),
            Field::NdTll => self.is_neighbour_discovery(&[136]),
            Field::CtState
            | Field::CtZone
            | Field::CtMark
            | Field::CtLabel
            | Field::ConjId
            | Field::TunId
            | Field::TunSrc
            | Field::TunDst
            | Field::TunIpv6Src
            | Field::TunIpv6Dst
            | Field::TunFlags
            | Field::InPort
            | Field::PktMark
            | Field::Metadata
            | Field::Reg(_)
            | Field::Xreg(_)
            | Field::Xxreg(_)
            | Field::EthSrc
            | Field::EthDst
            | Field::EthType
            | Field::VlanTci
            | Field::VlanVid => true,
        }
    }

    /// Takes what is not in the packet's bytes from another key: for a packet that is parsed again.
    pub fn take_metadata(&mut self, from: &Key) {
        self.words[..REGISTERS + 8].copy_from_slice(&from.words[..REGISTERS + 8]);
    }
}

fn part_mask(part: Subfield) -> u128 {
    match part.bits {
        0 => 0,
        bits => u128::MAX >> (128 - u32::from(bits.min(128))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_fields() -> Vec<Field> {
        use Field::*;
        let mut fields = vec![
            CtState, CtZone, CtMark, CtLabel, ConjId, TunId, TunSrc, TunDst, TunIpv6Src, TunIpv6Dst, TunFlags, InPort,
            PktMark, Metadata, EthSrc, EthDst, EthType, VlanTci, VlanVid, VlanPcp, IpProto, IpDscp, IpEcn, IpTtl,
            IpFrag, Ipv4Src, Ipv4Dst, Ipv6Src, Ipv6Dst, Ipv6Label, TcpSrc, TcpDst, TcpFlags, UdpSrc, UdpDst, SctpSrc,
            SctpDst, Icmpv4Type, Icmpv4Code, Icmpv6Type, Icmpv6Code, ArpOp, ArpSpa, ArpTpa, ArpSha, ArpTha, NdTarget,
            NdSll, NdTll,
        ];
        fields.extend((0..16).map(Reg));
        fields.extend((0..8).map(Xreg));
        fields.extend((0..4).map(Xxreg));
        fields
    }

    /// Fields that are meant to be in one place.
    fn group(field: Field) -> u32 {
        use Field::*;
        match field {
            Reg(index) => 100 + u32::from(index / 4),
            Xreg(index) => 100 + u32::from(index / 2),
            Xxreg(index) => 100 + u32::from(index),
            VlanTci | VlanVid | VlanPcp => 1,
            IpProto | ArpOp => 2,
            Ipv4Src | ArpSpa => 3,
            Ipv4Dst | ArpTpa => 4,
            TcpSrc | UdpSrc | SctpSrc | Icmpv4Type | Icmpv6Type => 5,
            TcpDst | UdpDst | SctpDst | Icmpv4Code | Icmpv6Code => 6,
            ArpSha | NdSll => 7,
            ArpTha | NdTll => 8,
            other => 1000 + all_fields().iter().position(|field| *field == other).expect("a listed field") as u32,
        }
    }

    #[test]
    fn a_field_is_what_was_set_and_disturbs_only_its_overlays() {
        for field in all_fields() {
            let mut key = Key::default();
            key.set_bits(FieldMatch { field, value: u128::MAX, mask: u128::MAX });
            assert_eq!(key.get(field), field.full_mask(), "{field}");
            for other in all_fields().into_iter().filter(|other| group(*other) != group(field)) {
                assert_eq!(key.get(other), 0, "{field} runs into {other}");
            }
        }
    }

    #[test]
    fn overlays() {
        let mut key = Key::default();
        key.set(Field::Xxreg(1), 0x11111111_22222222_33333333_44444444);
        assert_eq!(key.get(Field::Reg(4)), 0x1111_1111);
        assert_eq!(key.get(Field::Reg(7)), 0x4444_4444);
        assert_eq!(key.get(Field::Xreg(3)), 0x33333333_44444444);
        key.set(Field::VlanTci, 0xf123);
        assert_eq!((key.get(Field::VlanVid), key.get(Field::VlanPcp)), (0x1123, 7));
    }

    #[test]
    fn parts_of_fields() {
        let mut key = Key::default();
        let part = Subfield { field: Field::EthDst, offset: 16, bits: 12 };
        key.write(part, 0xfabc);
        assert_eq!((key.get(Field::EthDst), key.read(part)), (0x0abc_0000, 0xabc));
        let whole = Subfield { field: Field::CtLabel, offset: 0, bits: 128 };
        key.write(whole, u128::MAX - 5);
        assert_eq!(key.read(whole), u128::MAX - 5);
    }

    #[test]
    fn a_tag_that_comes_to_be_is_of_802_1q() {
        let mut key = Key::default();
        key.set(Field::VlanVid, 0x1005);
        assert_eq!(key.tags(), [Tag { ethertype: ethertype::VLAN, control: 0x1005 }]);
        key.set(Field::VlanVid, 5);
        assert_eq!(key.tags(), []);
    }
}
