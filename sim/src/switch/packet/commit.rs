//! Writes what actions changed in a key into the bytes, and keeps the checksums right.
//!
//! Checksums are updated by the difference (RFC 1624), so that a packet that came with a wrong one leaves with a wrong
//! one. A UDP checksum of zero, which IPv4 allows, stays zero. What the bytes do not have is not written.

use super::key::{Key, Tag};
use super::parse::{ETHERNET, Layout};
use super::{be16, checksum, ethertype, fragment, protocol, put};
use crate::switch::model::Field;

/// Writes the fields in which `key` differs from `base`, the key of the bytes as they are; then `base` is `key`.
pub fn commit(frame: &mut Vec<u8>, layout: &mut Layout, base: &mut Key, key: &Key) {
    if frame.len() < ETHERNET || base == key {
        return;
    }
    put(frame, 0, 6, key.get(Field::EthDst));
    put(frame, 6, 6, key.get(Field::EthSrc));
    if key.protocol() != 0 {
        let mut writer = Writer { frame, layout: *layout, base, key };
        writer.network();
        writer.transport();
    }
    replace_tags(frame, layout, &base.tags(), &key.tags());
    *base = key.clone();
}

struct Writer<'a> {
    frame: &'a mut [u8],
    layout: Layout,
    base: &'a Key,
    key: &'a Key,
}

impl Writer<'_> {
    fn changed(&self, field: Field) -> bool {
        self.base.get(field) != self.key.get(field)
    }

    fn network(&mut self) {
        let Some(start) = self.layout.network else { return };
        match self.key.ethertype() {
            ethertype::IPV4 => self.ipv4(start),
            ethertype::IPV6 => self.ipv6(start),
            ethertype::ARP if self.layout.end >= start + 28 => self.arp(start),
            _ => {}
        }
    }

    fn arp(&mut self, start: usize) {
        if self.changed(Field::ArpOp) {
            put(self.frame, start + 6, 2, self.key.get(Field::IpProto));
        }
        for (field, offset, bytes) in
            [(Field::ArpSha, 8, 6), (Field::ArpSpa, 14, 4), (Field::ArpTha, 18, 6), (Field::ArpTpa, 24, 4)]
        {
            if self.changed(field) {
                put(self.frame, start + offset, bytes, self.key.get(field));
            }
        }
    }

    fn type_of_service(&self) -> u8 {
        (self.key.get(Field::IpDscp) << 2 | self.key.get(Field::IpEcn)) as u8
    }

    fn ipv4(&mut self, start: usize) {
        if self.layout.transport.is_none() {
            return;
        }
        let before = self.frame[start..start + 20].to_vec();
        for (field, offset) in [(Field::Ipv4Src, 12), (Field::Ipv4Dst, 16)] {
            if self.changed(field) {
                self.address(field, start + offset, 4, true);
            }
        }
        self.frame[start + 1] = self.type_of_service();
        self.frame[start + 8] = self.key.get(Field::IpTtl) as u8;
        let sum = checksum::update(be16(&before, 10), &before[..10], &self.frame[start..start + 10]);
        let sum = checksum::update(sum, &before[12..], &self.frame[start + 12..start + 20]);
        if before[..] != self.frame[start..start + 20] {
            put(self.frame, start + 10, 2, sum.into());
        }
    }

    fn ipv6(&mut self, start: usize) {
        let Some(transport) = self.layout.transport else { return };
        if self.changed(Field::Ipv6Src) {
            self.address(Field::Ipv6Src, start + 8, 16, true);
        }
        if self.changed(Field::Ipv6Dst) {
            // With segments left in a routing header, the checksum covers the final destination, not this one.
            let is_covered = !has_segments_left(&self.frame[start..transport]);
            self.address(Field::Ipv6Dst, start + 24, 16, is_covered);
        }
        let class_and_label = (6 << 28) | (u128::from(self.type_of_service()) << 20) | self.key.get(Field::Ipv6Label);
        let version = u128::from(self.frame[start] >> 4);
        put(self.frame, start, 4, (class_and_label & 0x0fff_ffff) | (version << 28));
        self.frame[start + 7] = self.key.get(Field::IpTtl) as u8;
        if self.key.protocol() == protocol::ICMPV6 {
            self.neighbour_discovery(transport);
        }
    }

    /// Writes an address, and corrects the transport's checksum, whose pseudo-header has it.
    fn address(&mut self, field: Field, offset: usize, bytes: usize, is_covered: bool) {
        let old = self.frame[offset..offset + bytes].to_vec();
        put(self.frame, offset, bytes, self.key.get(field));
        let new = self.frame[offset..offset + bytes].to_vec();
        if is_covered {
            self.correct(&old, &new);
        }
    }

    /// Corrects the transport's checksum, if the packet has it, for bytes that changed.
    fn correct(&mut self, old: &[u8], new: &[u8]) {
        let is_later = self.key.get(Field::IpFrag) as u8 & fragment::LATER != 0;
        let Some(start) = self.layout.transport.filter(|_| !is_later) else { return };
        let room = self.layout.end - start;
        let is_ipv6 = self.key.ethertype() == ethertype::IPV6;
        let offset = match self.key.protocol() {
            protocol::TCP if room >= 20 => 16,
            protocol::UDP if room >= 8 => 6,
            protocol::ICMPV6 if room >= 8 && is_ipv6 => 2,
            _ => return,
        };
        let is_udp = self.key.protocol() == protocol::UDP;
        let sum = be16(self.frame, start + offset);
        if is_udp && sum == 0 {
            return;
        }
        let sum = checksum::update(sum, old, new);
        put(self.frame, start + offset, 2, if is_udp && sum == 0 { 0xffff } else { sum.into() });
    }

    fn neighbour_discovery(&mut self, start: usize) {
        let is_there = self.layout.end - start >= 24;
        let is_changed = [Field::NdTarget, Field::NdSll, Field::NdTll].into_iter().any(|field| self.changed(field));
        if !is_there || !is_changed {
            return;
        }
        if self.changed(Field::NdTarget) {
            self.address(Field::NdTarget, start + 8, 16, true);
        }
        let mut option = start + 24;
        while self.layout.end - option >= 8 && self.frame[option + 1] != 0 {
            let (kind, length) = (self.frame[option], usize::from(self.frame[option + 1]) * 8);
            let field = match kind {
                1 => Some(Field::NdSll),
                2 => Some(Field::NdTll),
                _ => None,
            };
            if let (Some(field), 8) = (field, length) {
                // Of options that come twice nothing was read: what was not set stays as it is.
                if self.changed(field) {
                    self.address(field, option + 2, 6, true);
                }
                break;
            }
            if length > self.layout.end - option {
                break;
            }
            option += length;
        }
    }

    fn transport(&mut self) {
        let Some(start) = self.layout.transport.filter(|_| self.key.is_ip()) else { return };
        if !self.changed(Field::TcpSrc) && !self.changed(Field::TcpDst) {
            return;
        }
        let room = self.layout.end - start;
        let is_ipv6 = self.key.ethertype() == ethertype::IPV6;
        match self.key.protocol() {
            protocol::TCP if room >= 20 && usize::from(self.frame[start + 12] >> 4) * 4 <= room => self.ports(start),
            protocol::UDP if room >= 8 => self.ports(start),
            protocol::SCTP if room >= 12 => self.sctp(start),
            protocol::ICMP if room >= 8 && !is_ipv6 => self.icmp(start),
            protocol::ICMPV6 if room >= 8 && is_ipv6 => self.icmp(start),
            _ => {}
        }
    }

    fn write_ports(&mut self, start: usize) {
        put(self.frame, start, 2, self.key.get(Field::TcpSrc));
        put(self.frame, start + 2, 2, self.key.get(Field::TcpDst));
    }

    fn ports(&mut self, start: usize) {
        let old = self.frame[start..start + 4].to_vec();
        self.write_ports(start);
        let new = self.frame[start..start + 4].to_vec();
        self.correct(&old, &new);
    }

    fn sctp(&mut self, start: usize) {
        let end = self.layout.end;
        let sum = self.frame[start + 8..start + 12].to_vec();
        self.frame[start + 8..start + 12].fill(0);
        let before = checksum::crc32c(&self.frame[start..end]);
        self.write_ports(start);
        let difference = before ^ checksum::crc32c(&self.frame[start..end]);
        let sum = super::be32(&sum, 0) ^ difference;
        put(self.frame, start + 8, 4, sum.into());
    }

    fn icmp(&mut self, start: usize) {
        let old = self.frame[start..start + 2].to_vec();
        self.frame[start] = self.key.get(Field::Icmpv4Type) as u8;
        self.frame[start + 1] = self.key.get(Field::Icmpv4Code) as u8;
        let sum = checksum::update(be16(self.frame, start + 2), &old, &self.frame[start..start + 2]);
        if old[..] != self.frame[start..start + 2] {
            put(self.frame, start + 2, 2, sum.into());
        }
    }
}

/// Whether an IPv6 header with its extensions has a routing header that is not done with. The headers are sound.
fn has_segments_left(headers: &[u8]) -> bool {
    let (mut kind, mut offset) = (headers[6], 40);
    while offset + 8 <= headers.len() {
        let length = match kind {
            protocol::ROUTING if headers[offset + 3] > 0 => return true,
            protocol::AUTHENTICATION => (usize::from(headers[offset + 1]) + 2) * 4,
            protocol::FRAGMENT => 8,
            _ => (usize::from(headers[offset + 1]) + 1) * 8,
        };
        kind = headers[offset];
        offset += length;
    }
    false
}

/// Takes away the outer tags that differ and puts the new ones there, as Open vSwitch's datapath does: bit 12 is clear
/// in a tag that was put there.
fn replace_tags(frame: &mut Vec<u8>, layout: &mut Layout, old: &[Tag], new: &[Tag]) {
    let common = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
    let removed = (old.len() - common) * 4;
    let added: Vec<u8> = new[..new.len() - common].iter().flat_map(tag_bytes).collect();
    layout.network = layout.network.map(|offset| offset - removed + added.len());
    layout.transport = layout.transport.map(|offset| offset - removed + added.len());
    layout.end = layout.end - removed + added.len();
    frame.splice(12..12 + removed, added);
}

fn tag_bytes(tag: &Tag) -> [u8; 4] {
    let ([a, b], [c, d]) = (tag.ethertype.to_be_bytes(), (tag.control & !0x1000).to_be_bytes());
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::super::build::{Frame, checksums_hold};
    use super::*;
    use crate::switch::packet::parse;

    /// What a frame becomes when these fields are set.
    fn set(frame: Vec<u8>, fields: &[(Field, u128)]) -> Vec<u8> {
        let (mut base, mut layout) = parse(&frame);
        let mut key = base.clone();
        for (field, value) in fields {
            assert!(key.has(*field), "{field} is in the packet");
            key.set(*field, *value);
        }
        let mut bytes = frame;
        commit(&mut bytes, &mut layout, &mut base, &key);
        let (again, position) = parse(&bytes);
        assert_eq!(position, layout, "the layout follows the bytes");
        for (field, value) in fields {
            assert_eq!(again.get(*field), *value, "{field} was written");
        }
        bytes
    }

    #[test]
    fn checksums_follow_what_is_set() {
        let frames = [Frame::tcp4(), Frame::udp4(), Frame::icmp4()];
        for frame in frames {
            let bytes = frame.build();
            assert!(checksums_hold(&bytes), "{frame:?}");
            let changes =
                [(Field::Ipv4Src, 0x0a01_0203), (Field::Ipv4Dst, 0xffff_fffe), (Field::IpTtl, 1), (Field::IpDscp, 46)];
            assert!(checksums_hold(&set(bytes, &changes)), "{frame:?}");
        }
        for frame in [Frame::tcp6(), Frame::udp6(), Frame::icmp6(), Frame::solicitation()] {
            let bytes = frame.build();
            assert!(checksums_hold(&bytes), "{frame:?}");
            let changes = [
                (Field::Ipv6Src, 1 << 99),
                (Field::Ipv6Dst, u128::MAX - 9),
                (Field::IpEcn, 3),
                (Field::Ipv6Label, 0xabcde),
            ];
            assert!(checksums_hold(&set(bytes, &changes)), "{frame:?}");
        }
    }

    #[test]
    fn transports() {
        assert!(checksums_hold(&set(Frame::tcp4().build(), &[(Field::TcpSrc, 1), (Field::TcpDst, 65535)])));
        assert!(checksums_hold(&set(Frame::udp6().build(), &[(Field::UdpSrc, 9), (Field::UdpDst, 53)])));
        assert!(checksums_hold(&set(Frame::icmp4().build(), &[(Field::Icmpv4Type, 0)])));
        assert!(checksums_hold(&set(Frame::icmp6().build(), &[(Field::Icmpv6Type, 129)])));
        assert!(checksums_hold(&set(Frame::sctp4().build(), &[(Field::SctpSrc, 77), (Field::SctpDst, 78)])));
    }

    #[test]
    fn neighbour_discovery_is_rewritten_with_its_option() {
        let changes = [(Field::NdTarget, 0xfe80 << 112 | 7), (Field::NdSll, 0x0a0b_0c0d_0e0f)];
        assert!(checksums_hold(&set(Frame::solicitation().build(), &changes)));
    }

    #[test]
    fn arp() {
        let changes =
            [(Field::ArpOp, 2), (Field::ArpSpa, 1), (Field::ArpTpa, 2), (Field::ArpSha, 3), (Field::ArpTha, 4)];
        set(Frame::arp().build(), &changes);
    }

    #[test]
    fn a_udp_checksum_that_is_not_there_stays_so() {
        let mut bytes = Frame::udp4().build();
        bytes[40..42].fill(0);
        let bytes = set(bytes, &[(Field::Ipv4Src, 5), (Field::UdpDst, 4789)]);
        assert_eq!(bytes[40..42], [0, 0]);
        assert!(checksums_hold(&bytes));
    }

    #[test]
    fn a_wrong_checksum_stays_wrong() {
        let mut bytes = Frame::tcp4().build();
        bytes[50] ^= 0x55;
        assert!(!checksums_hold(&set(bytes, &[(Field::Ipv4Src, 5)])));
    }

    #[test]
    fn tags_come_and_go() {
        let plain = Frame::udp4().build();
        let tagged = set(plain.clone(), &[(Field::VlanTci, 0x3005)]);
        assert_eq!(tagged[12..18], [0x81, 0, 0x20, 5, 8, 0]);
        let (mut base, mut layout) = parse(&tagged);
        let mut key = base.clone();
        key.set_tags(&[]);
        let mut bytes = tagged;
        commit(&mut bytes, &mut layout, &mut base, &key);
        assert_eq!(bytes, plain);
    }

    #[test]
    fn a_later_fragment_has_no_checksum_to_correct() {
        let mut bytes = Frame::udp4().build();
        bytes[20..22].copy_from_slice(&[0, 10]);
        let after = set(bytes.clone(), &[(Field::Ipv4Src, 5)]);
        assert_eq!(after[34..], bytes[34..]);
    }
}
