//! Outer IP and UDP headers.

use super::Refusal;
use crate::switch::model::Field;
use crate::switch::packet::build::{Transport, ip_packet};
use crate::switch::packet::{checksum, parse, protocol};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What all outer packets of a frame have in common.
pub struct Envelope {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: u8,
    pub tos: u8,
    pub ttl: u8,
    pub dont_fragment: bool,
}

impl Envelope {
    /// Puts an IP header before a payload.
    pub fn seal(&self, payload: &[u8]) -> Vec<u8> {
        self.ip(&Transport::Raw { protocol: self.protocol, bytes: payload.to_vec() })
    }

    /// The same with UDP. Over IPv4 there may be no checksum, over IPv6 there always is one.
    pub fn seal_udp(&self, ports: (u16, u16), has_checksum: bool, payload: &[u8]) -> Vec<u8> {
        let mut packet = self.ip(&Transport::Udp { ports, bytes: payload.to_vec() });
        if self.source.is_ipv4() && !has_checksum {
            packet[26..28].fill(0);
        }
        packet
    }

    /// Bytes of the IP header.
    pub fn header_length(&self) -> usize {
        if self.source.is_ipv4() { 20 } else { 40 }
    }

    pub fn ip(&self, transport: &Transport) -> Vec<u8> {
        let mut packet = ip_packet(self.source, self.destination, (self.ttl, self.tos), transport);
        if self.source.is_ipv4() && self.dont_fragment {
            packet[6] |= 0x40;
            packet[10..12].fill(0);
            let sum = checksum::internet(&packet[..20], 0);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        packet
    }
}

/// A source port that is the same for all packets of an inner flow, so that the underlay keeps them in order.
pub fn source_port(inner: &[u8]) -> u16 {
    let (key, _) = parse(inner);
    let fields = [
        Field::EthSrc,
        Field::EthDst,
        Field::EthType,
        Field::VlanTci,
        Field::Ipv4Src,
        Field::Ipv4Dst,
        Field::Ipv6Src,
        Field::Ipv6Dst,
        Field::IpProto,
        Field::TcpSrc,
        Field::TcpDst,
    ];
    let hash = fields.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, field| {
        let value = key.get(*field);
        let step = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        step(step(hash, value as u64), (value >> 64) as u64)
    });
    // The range that Linux and Open vSwitch use.
    32768 + ((hash ^ (hash >> 32)) % (61000 - 32768)) as u16
}

/// An outer packet that came.
#[derive(Clone, Copy, Debug)]
pub struct Outer<'a> {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: u8,
    pub tos: u8,
    pub ttl: u8,
    /// What follows the IP header.
    pub body: &'a [u8],
}

/// Reads an outer packet from its IP header on.
pub fn read(packet: &[u8]) -> Result<Outer<'_>, Refusal> {
    match packet.first().map(|byte| byte >> 4) {
        Some(4) => read_v4(packet),
        Some(6) => read_v6(packet),
        _ => Err(Refusal::BadIp),
    }
}

fn read_v4(packet: &[u8]) -> Result<Outer<'_>, Refusal> {
    let header = usize::from(packet[0] & 15) * 4;
    if packet.len() < 20 || header < 20 || header > packet.len() || checksum::internet(&packet[..header], 0) != 0 {
        return Err(Refusal::BadIp);
    }
    let pair = |offset: usize| u16::from_be_bytes([packet[offset], packet[offset + 1]]);
    if pair(6) & 0x3fff != 0 {
        return Err(Refusal::Fragment);
    }
    let body = packet.get(header..usize::from(pair(2))).ok_or(Refusal::BadIp)?;
    let address = |offset: usize| {
        let octets: [u8; 4] = packet[offset..offset + 4].try_into().expect("four bytes");
        IpAddr::V4(Ipv4Addr::from(octets))
    };
    Ok(Outer {
        source: address(12),
        destination: address(16),
        protocol: packet[9],
        tos: packet[1],
        ttl: packet[8],
        body,
    })
}

fn read_v6(packet: &[u8]) -> Result<Outer<'_>, Refusal> {
    if packet.len() < 40 {
        return Err(Refusal::BadIp);
    }
    if packet[6] == protocol::FRAGMENT {
        return Err(Refusal::Fragment);
    }
    let length = usize::from(u16::from_be_bytes([packet[4], packet[5]]));
    let body = packet.get(40..40 + length).ok_or(Refusal::BadIp)?;
    let address = |offset: usize| {
        let octets: [u8; 16] = packet[offset..offset + 16].try_into().expect("sixteen bytes");
        IpAddr::V6(Ipv6Addr::from(octets))
    };
    Ok(Outer {
        source: address(8),
        destination: address(24),
        protocol: packet[6],
        tos: (packet[0] << 4) | (packet[1] >> 4),
        ttl: packet[7],
        body,
    })
}

impl<'a> Outer<'a> {
    /// The destination port of UDP or TCP, if it is there.
    pub fn destination_port(&self) -> Option<u16> {
        self.body.get(2..4).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
    }

    /// Whether the body's checksum is right, with the pseudo-header.
    pub fn is_checksum_right(&self, body: &[u8]) -> bool {
        let pseudo = match (self.source, self.destination) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                checksum::pseudo_header(&from.octets(), &to.octets(), self.protocol, body.len())
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                checksum::pseudo_header(&from.octets(), &to.octets(), self.protocol, body.len())
            }
            _ => return false,
        };
        checksum::internet(body, pseudo) == 0
    }

    /// The payload of UDP.
    pub fn udp_payload(&self) -> Result<&'a [u8], Refusal> {
        let header = self.body.get(..8).ok_or(Refusal::BadHeader)?;
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let datagram = self.body.get(..length).filter(|datagram| datagram.len() >= 8).ok_or(Refusal::BadHeader)?;
        let has_checksum = header[6..8] != [0, 0];
        if has_checksum && !self.is_checksum_right(datagram) {
            return Err(Refusal::BadChecksum);
        }
        Ok(&datagram[8..])
    }
}
