//! Reads a frame into a key, layer by layer, as far as it is sound (`miniflow_extract` in Open vSwitch).

use super::key::Tag;
use super::{Key, be16, be32, be128, ethertype, fragment, mac_at, protocol};
use crate::switch::model::Field;

/// An Ethernet header.
pub(super) const ETHERNET: usize = 14;

/// Where the layers of a frame are, as far as they are sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// After Ethernet and the tags that the switch understands.
    pub network: Option<usize>,
    /// After IPv4 with options, or IPv6 with extension headers.
    pub transport: Option<usize>,
    /// Where the IP packet ends; what follows is padding.
    pub end: usize,
}

/// Reads a frame. Open vSwitch's default `vlan-limit` of one tag holds: what is after it is the Ethertype.
pub fn parse(frame: &[u8]) -> (Key, Layout) {
    let mut reader = Reader { frame, offset: 0, end: frame.len(), key: Key::default(), layout: Layout::default() };
    reader.layout.end = frame.len();
    reader.ethernet();
    (reader.key, reader.layout)
}

struct Reader<'a> {
    frame: &'a [u8],
    offset: usize,
    end: usize,
    key: Key,
    layout: Layout,
}

impl Reader<'_> {
    fn left(&self) -> usize {
        self.end - self.offset
    }

    /// Skips some bytes if they are all there.
    fn skip(&mut self, count: usize) -> bool {
        let is_there = count <= self.left();
        self.offset += if is_there { count } else { 0 };
        is_there
    }

    fn set(&mut self, field: Field, value: impl Into<u128>) {
        self.key.set(field, value.into());
    }

    fn byte(&self, offset: usize) -> u8 {
        self.frame[self.offset + offset]
    }

    fn pair(&self, offset: usize) -> u16 {
        be16(self.frame, self.offset + offset)
    }

    fn ethernet(&mut self) {
        if self.frame.len() < ETHERNET {
            return;
        }
        self.set(Field::EthDst, mac_at(self.frame, 0));
        self.set(Field::EthSrc, mac_at(self.frame, 6));
        self.offset = 12;
        self.tag();
        let kind = self.ethertype();
        self.set(Field::EthType, kind);
        self.layout.network = Some(self.offset);
        match kind {
            ethertype::IPV4 => self.ipv4(),
            ethertype::IPV6 => self.ipv6(),
            ethertype::ARP | ethertype::RARP => self.arp(),
            _ => {}
        }
    }

    fn tag(&mut self) {
        let kind = self.pair(0);
        if matches!(kind, ethertype::VLAN | ethertype::QINQ) && self.left() >= 6 {
            self.key.set_tags(&[Tag { ethertype: kind, control: self.pair(2) | 0x1000 }]);
            self.offset += 4;
        }
    }

    /// The Ethertype, also of IEEE 802.3 with SNAP (RFC 1042).
    fn ethertype(&mut self) -> u16 {
        let kind = self.pair(0);
        self.offset += 2;
        if kind >= 0x600 {
            return kind;
        }
        if self.left() < 8 || self.frame[self.offset..self.offset + 6] != [0xaa, 0xaa, 3, 0, 0, 0] {
            return ethertype::NONE;
        }
        let inner = self.pair(6);
        self.offset += 8;
        if inner >= 0x600 { inner } else { ethertype::NONE }
    }

    fn arp(&mut self) {
        // Hardware type Ethernet, protocol IPv4, and the lengths of their addresses (RFC 826).
        let is_known = self.left() >= 28
            && self.pair(0) == 1
            && self.pair(2) == ethertype::IPV4
            && (self.byte(4), self.byte(5)) == (6, 4);
        if !is_known {
            return;
        }
        self.set(Field::ArpSpa, be32(self.frame, self.offset + 14));
        self.set(Field::ArpTpa, be32(self.frame, self.offset + 24));
        if self.pair(6) <= 0xff {
            self.set(Field::IpProto, self.byte(7));
        }
        self.set(Field::ArpSha, mac_at(self.frame, self.offset + 8));
        self.set(Field::ArpTha, mac_at(self.frame, self.offset + 18));
    }

    fn ipv4(&mut self) {
        if self.left() < 20 {
            return;
        }
        let header = usize::from(self.byte(0) & 15) * 4;
        let total = usize::from(self.pair(2));
        if header < 20 || header > self.left() || total > self.left() || header > total {
            return;
        }
        self.bound(total);
        self.set(Field::Ipv4Src, be32(self.frame, self.offset + 12));
        self.set(Field::Ipv4Dst, be32(self.frame, self.offset + 16));
        let (proto, ttl, tos) = (self.byte(9), self.byte(8), self.byte(1));
        let position = self.pair(6);
        let later = if position & 0x1fff != 0 { fragment::LATER } else { 0 };
        let part = if position & 0x3fff != 0 { fragment::ANY | later } else { 0 };
        self.offset += header;
        self.network(proto, tos, ttl, part);
    }

    /// The IP packet is this long from here on; what follows is padding.
    fn bound(&mut self, length: usize) {
        self.end = self.offset + length;
        self.layout.end = self.end;
    }

    fn network(&mut self, proto: u8, tos: u8, ttl: u8, part: u8) {
        self.set(Field::IpProto, proto);
        self.set(Field::IpDscp, tos >> 2);
        self.set(Field::IpEcn, tos & 3);
        self.set(Field::IpTtl, ttl);
        self.set(Field::IpFrag, part);
        self.layout.transport = Some(self.offset);
        if part & fragment::LATER == 0 {
            self.transport(proto);
        }
    }

    fn ipv6(&mut self) {
        if self.left() < 40 || usize::from(self.pair(4)) + 40 > self.left() {
            return;
        }
        let (start, first, hops, payload) = (self.offset, self.byte(6), self.byte(7), usize::from(self.pair(4)));
        self.bound(40 + payload);
        self.set(Field::Ipv6Src, be128(self.frame, start + 8));
        self.set(Field::Ipv6Dst, be128(self.frame, start + 24));
        let class_and_label = be32(self.frame, start);
        self.offset += 40;
        let Some((proto, part)) = self.extensions(first) else { return };
        self.set(Field::Ipv6Label, class_and_label & 0xf_ffff);
        self.network(proto, (class_and_label >> 20) as u8, hops, part);
    }

    /// Skips extension headers (RFC 8200, section 4); none if they are not sound.
    fn extensions(&mut self, first: u8) -> Option<(u8, u8)> {
        let (mut proto, mut part) = (first, 0);
        loop {
            let unit = match proto {
                protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION => (1, 8),
                protocol::AUTHENTICATION => (2, 4),
                protocol::FRAGMENT => (1, 8),
                _ => return Some((proto, part)),
            };
            if self.left() < 8 {
                return None;
            }
            let is_fragment = proto == protocol::FRAGMENT;
            proto = self.byte(0);
            let position = self.pair(2);
            let length = if is_fragment { 8 } else { (usize::from(self.byte(1)) + unit.0) * unit.1 };
            if !self.skip(length) {
                return None;
            }
            if is_fragment && position != 0 {
                part = fragment::ANY;
                if position & 0xfff8 != 0 {
                    return Some((protocol::FRAGMENT, fragment::ANY | fragment::LATER));
                }
            }
        }
    }

    fn transport(&mut self, proto: u8) {
        let shortest = match proto {
            protocol::TCP => 20,
            protocol::UDP | protocol::ICMP | protocol::ICMPV6 | protocol::IGMP => 8,
            protocol::SCTP => 12,
            _ => return,
        };
        if self.left() < shortest {
            return;
        }
        match proto {
            protocol::TCP => self.tcp(),
            protocol::ICMPV6 => self.icmpv6(),
            protocol::ICMP | protocol::IGMP => self.type_and_code(),
            _ => self.ports(),
        }
    }

    fn ports(&mut self) {
        self.set(Field::TcpSrc, self.pair(0));
        self.set(Field::TcpDst, self.pair(2));
    }

    fn type_and_code(&mut self) {
        self.set(Field::TcpSrc, self.byte(0));
        self.set(Field::TcpDst, self.byte(1));
    }

    fn tcp(&mut self) {
        let header = usize::from(self.byte(12) >> 4) * 4;
        if header >= 20 && header <= self.left() {
            self.ports();
            self.set(Field::TcpFlags, self.pair(12) & 0xfff);
        }
    }

    fn icmpv6(&mut self) {
        self.type_and_code();
        let is_neighbour = matches!(self.byte(0), 135 | 136) && self.byte(1) == 0;
        self.skip(8);
        if is_neighbour && self.left() >= 16 {
            let target = be128(self.frame, self.offset);
            self.skip(16);
            if let Some((source, destination)) = self.link_layer_options() {
                self.set(Field::NdTarget, target);
                self.set(Field::NdSll, source);
                self.set(Field::NdTll, destination);
            }
        }
    }

    /// The addresses in the options of neighbour discovery (RFC 4861, section 4.6.1); none if one is there twice.
    fn link_layer_options(&mut self) -> Option<(u64, u64)> {
        let (mut source, mut target) = (0, 0);
        while self.left() >= 8 {
            let (kind, length) = (self.byte(0), usize::from(self.byte(1)) * 8);
            let address = mac_at(self.frame, self.offset + 2);
            if length == 0 || length > self.left() {
                break;
            }
            let known = match kind {
                1 => Some(&mut source),
                2 => Some(&mut target),
                _ => None,
            };
            if let (Some(known), 8) = (known, length) {
                if *known != 0 {
                    return None;
                }
                *known = address;
            }
            self.skip(length);
        }
        Some((source, target))
    }
}

#[cfg(test)]
mod tests {
    use super::super::build::Frame;
    use super::*;

    fn check(frame: &[u8], fields: &[(Field, u128)]) {
        let (key, _) = parse(frame);
        for (field, value) in fields {
            assert_eq!(key.get(*field), *value, "{field}");
        }
    }

    #[test]
    fn every_protocol() {
        check(&Frame::tcp4().build(), &[(Field::EthType, 0x800), (Field::TcpDst, 80), (Field::TcpFlags, 2)]);
        check(&Frame::udp6().build(), &[(Field::EthType, 0x86dd), (Field::UdpDst, 53), (Field::IpTtl, 64)]);
        check(
            &Frame::arp().build(),
            &[(Field::ArpOp, 1), (Field::ArpSpa, 0x0a00_0001), (Field::ArpSha, 0x0200_0000_0001)],
        );
        check(&Frame::solicitation().build(), &[(Field::Icmpv6Type, 135), (Field::NdSll, 0x0200_0000_0001)]);
        check(&Frame::sctp4().build(), &[(Field::SctpSrc, 5), (Field::IpProto, 132)]);
        let tagged = Frame { tags: vec![(0x8100, 0x2005), (0x8100, 7)], ..Frame::tcp4() };
        check(
            &tagged.build(),
            &[(Field::VlanVid, 0x1005), (Field::VlanPcp, 1), (Field::EthType, 0x8100), (Field::TcpDst, 0)],
        );
    }

    #[test]
    fn every_prefix_of_every_frame_and_every_changed_byte_is_read_without_panic() {
        let frames =
            [Frame::tcp4(), Frame::tcp6(), Frame::arp(), Frame::solicitation(), Frame::sctp4(), Frame::icmp4()];
        for frame in frames.map(|frame| frame.build()) {
            for length in 0..frame.len() {
                let (_, layout) = parse(&frame[..length]);
                assert!(layout.end <= length);
            }
            for position in 0..frame.len() {
                for value in [0, 1, 43, 44, 51, 60, 127, 255] {
                    let mut hostile = frame.clone();
                    hostile[position] = value;
                    let (mut base, mut layout) = parse(&hostile);
                    let mut key = base.clone();
                    for field in [Field::Ipv4Src, Field::Ipv6Dst, Field::TcpSrc, Field::NdSll, Field::VlanTci] {
                        key.set(field, 0x1234);
                    }
                    super::super::commit(&mut hostile, &mut layout, &mut base, &key);
                }
            }
        }
    }

    #[test]
    fn a_header_that_lies_leaves_its_layer_empty() {
        let mut frame = Frame::tcp4().build();
        frame[17] += 1;
        check(&frame, &[(Field::EthType, 0x800), (Field::Ipv4Src, 0), (Field::IpProto, 0)]);
        let mut frame = Frame::tcp4().build();
        frame[46] = 0xf0;
        check(&frame, &[(Field::IpProto, 6), (Field::TcpDst, 0)]);
        let mut frame = Frame::tcp6().build();
        frame[20] = 0;
        check(&frame, &[(Field::Ipv6Dst, (0x2001_0db8 << 96) | 2), (Field::IpTtl, 0)]);
    }

    #[test]
    fn padding_is_not_payload() {
        let mut frame = Frame::udp4().build();
        let end = frame.len();
        frame.extend([0; 18]);
        assert_eq!(parse(&frame).1.end, end);
    }
}
