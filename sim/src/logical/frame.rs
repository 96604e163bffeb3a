//! What a frame says, read from its bytes, with as little trust as the specification asks for.
//!
//! A field is there only if all of it is: a truncated header says nothing. Start at [`Frame::read`].

use super::Mac;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A frame, as far as the logical network cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Ethernet destination.
    pub destination: Mac,
    /// Ethernet source.
    pub source: Mac,
    /// Whether there is a VLAN tag.
    pub tagged: bool,
    /// What is in it.
    pub payload: Payload,
}

/// What is in a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// An ARP packet for IPv4 over Ethernet.
    Arp(Arp),
    /// IPv4.
    V4(Ipv4Addr),
    /// IPv6.
    V6(V6),
    /// Of a type that says IPv4, ARP or IPv6, but too short or wrong to be it.
    Broken(u16),
    /// Anything else, by Ethertype.
    Other(u16),
}

/// ARP (RFC 826).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// 1 request, 2 reply.
    pub operation: u16,
    /// Sender's hardware address.
    pub sha: Mac,
    /// Sender's protocol address.
    pub spa: Ipv4Addr,
    /// Target's hardware address.
    pub tha: Mac,
    /// Target's protocol address.
    pub tpa: Ipv4Addr,
}

/// IPv6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct V6 {
    /// Source.
    pub source: Ipv6Addr,
    /// The ICMPv6 type, if that is what it holds.
    pub icmp: Option<u8>,
    /// If it is neighbour discovery: the target and the link-layer address in the option that its type allows.
    pub discovery: Option<(Ipv6Addr, Option<Mac>)>,
}

impl V6 {
    /// A neighbour solicitation (RFC 4861, section 4.3).
    pub const SOLICITATION: u8 = 135;
    /// A neighbour advertisement (section 4.4).
    pub const ADVERTISEMENT: u8 = 136;
}

fn mac(bytes: &[u8]) -> Option<Mac> {
    bytes.get(..6)?.try_into().ok().map(Mac)
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

impl Frame {
    /// Reads a frame; nothing if it has no whole Ethernet header.
    pub fn read(bytes: &[u8]) -> Option<Frame> {
        let (destination, source, kind) = (mac(bytes)?, mac(bytes.get(6..)?)?, number(bytes, 12)?);
        let tagged = matches!(kind, 0x8100 | 0x88a8);
        let payload = match (tagged, kind) {
            (false, 0x0806) => arp(&bytes[14..]).map_or(Payload::Broken(kind), Payload::Arp),
            (false, 0x0800) => v4(&bytes[14..]).map_or(Payload::Broken(kind), Payload::V4),
            (false, 0x86dd) => v6(&bytes[14..]).map_or(Payload::Broken(kind), Payload::V6),
            (_, other) => Payload::Other(other),
        };
        Some(Frame { destination, source, tagged, payload })
    }

    /// The ARP packet in it, if it is one.
    pub fn arp(&self) -> Option<&Arp> {
        match &self.payload {
            Payload::Arp(arp) => Some(arp),
            _ => None,
        }
    }

    /// The target of the neighbour solicitation in it, if it is one.
    pub fn solicits(&self) -> Option<IpAddr> {
        match &self.payload {
            Payload::V6(V6 { icmp: Some(V6::SOLICITATION), discovery: Some((target, _)), .. }) => {
                Some(IpAddr::V6(*target))
            }
            _ => None,
        }
    }
}

fn arp(bytes: &[u8]) -> Option<Arp> {
    let ethernet_and_ip = bytes.get(..6)? == [0, 1, 8, 0, 6, 4];
    let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?));
    let arp = Arp {
        operation: number(bytes, 6)?,
        sha: mac(bytes.get(8..)?)?,
        spa: address(14)?,
        tha: mac(bytes.get(18..)?)?,
        tpa: address(24)?,
    };
    ethernet_and_ip.then_some(arp)
}

fn v4(bytes: &[u8]) -> Option<Ipv4Addr> {
    let sound = bytes.first()? >> 4 == 4 && bytes.first()? & 15 >= 5;
    let header = usize::from(bytes.first()? & 15) * 4;
    let long_enough = bytes.len() >= header && usize::from(number(bytes, 2)?) >= header;
    let source = Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(12..16)?).ok()?);
    (sound && long_enough).then_some(source)
}

fn address_v6(bytes: &[u8], at: usize) -> Option<Ipv6Addr> {
    Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok()?))
}

fn v6(bytes: &[u8]) -> Option<V6> {
    let source = address_v6(bytes, 8)?;
    address_v6(bytes, 24)?;
    let icmp = icmp_v6(bytes[6], &bytes[40..]);
    let kind = icmp.and_then(|icmp| icmp.first().copied());
    Some(V6 { source, icmp: kind, discovery: icmp.and_then(discovery) })
}

/// The ICMPv6 message behind the extension headers of a packet that is no later fragment.
fn icmp_v6(mut next: u8, mut rest: &[u8]) -> Option<&[u8]> {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const ICMP: u8 = 58;
    const DESTINATION: u8 = 60;
    loop {
        match next {
            ICMP => return Some(rest),
            HOP_BY_HOP | ROUTING | DESTINATION => {
                let length = (usize::from(*rest.get(1)?) + 1) * 8;
                (next, rest) = (*rest.first()?, rest.get(length..)?);
            }
            FRAGMENT => {
                let later = number(rest, 2)? & 0xfff8 != 0;
                (next, rest) = (*rest.first()?, rest.get(8..)?);
                if later {
                    return None;
                }
            }
            _ => return None,
        }
    }
}

/// Target and link-layer address of a solicitation or advertisement.
fn discovery(icmp: &[u8]) -> Option<(Ipv6Addr, Option<Mac>)> {
    let option = match *icmp.first()? {
        V6::SOLICITATION => 1,
        V6::ADVERTISEMENT => 2,
        _ => return None,
    };
    let target = address_v6(icmp, 8)?;
    let mut options = icmp.get(24..)?;
    let mut link_layer = None;
    while let [kind, length, ..] = options {
        let bytes = usize::from(*length) * 8;
        if bytes == 0 || options.len() < bytes {
            break;
        }
        if *kind == option {
            link_layer = link_layer.or(mac(&options[2..]));
        }
        options = &options[bytes..];
    }
    Some((target, link_layer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0xff; 6];
        bytes.extend([2, 0, 0, 0, 0, 1]);
        bytes.extend(kind.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn arp_is_read_whole_or_not_at_all() {
        let mut arp = vec![0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2];
        let frame = Frame::read(&ethernet(0x0806, &arp)).expect("a frame");
        let read = frame.arp().expect("ARP");
        assert_eq!((read.operation, read.spa, read.tpa), (1, Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)));
        arp.pop();
        assert_eq!(Frame::read(&ethernet(0x0806, &arp)).expect("a frame").payload, Payload::Broken(0x0806));
        assert_eq!(Frame::read(&[0; 13]), None);
    }

    #[test]
    fn a_solicitation_is_found_behind_extension_headers() {
        let mut icmp = vec![135, 0, 0, 0, 0, 0, 0, 0];
        icmp.extend(Ipv6Addr::LOCALHOST.octets());
        icmp.extend([1, 1, 2, 0, 0, 0, 0, 9]);
        let mut packet = vec![0x60, 0, 0, 0, 0, 40, 0, 255];
        packet.extend([0; 32]);
        packet.extend([58, 0, 1, 4, 0, 0, 0, 0]);
        packet.extend(&icmp);
        let frame = Frame::read(&ethernet(0x86dd, &packet)).expect("a frame");
        let Payload::V6(v6) = &frame.payload else { panic!("IPv6: {frame:?}") };
        assert_eq!(v6.discovery, Some((Ipv6Addr::LOCALHOST, Some(Mac([2, 0, 0, 0, 0, 9])))));
        assert_eq!(frame.solicits(), Some(IpAddr::V6(Ipv6Addr::LOCALHOST)));
    }

    #[test]
    fn tags_hide_what_is_in_them() {
        let frame = Frame::read(&ethernet(0x8100, &[0, 5, 8, 0])).expect("a frame");
        assert!(frame.tagged);
        assert_eq!(frame.payload, Payload::Other(0x8100));
    }
}
