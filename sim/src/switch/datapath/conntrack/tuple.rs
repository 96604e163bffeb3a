//! What names a connection, and how it is read from a packet.

use crate::switch::model::Field;
use crate::switch::packet::{Key, Layout, checksum, ethertype, parse, protocol};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct End {
    /// Its address.
    pub address: IpAddr,
    /// Its port; ICMP's identifier; zero for other protocols.
    pub port: u16,
    /// The type of ICMP messages from this end.
    pub kind: u8,
}

/// What names a connection: a zone, a protocol and two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tuple {
    /// The zone.
    pub zone: u16,
    /// The IP protocol.
    pub protocol: u8,
    /// Who sends.
    pub source: End,
    /// To whom.
    pub destination: End,
}

impl Tuple {
    /// The other direction.
    pub fn reversed(self) -> Tuple {
        Tuple { source: self.destination, destination: self.source, ..self }
    }

    /// Whether the protocol has ports that can be translated.
    pub fn has_ports(&self) -> bool {
        matches!(self.protocol, protocol::TCP | protocol::UDP)
    }

    /// A number from all of it, the same in every run.
    pub fn hash(&self) -> u64 {
        let bits = |address: IpAddr| match address {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        };
        let ends = [self.source, self.destination].map(|end| (bits(end.address), end.port));
        let words = ends.iter().flat_map(|(address, port)| [*address as u64, (*address >> 64) as u64, (*port).into()]);
        words.chain([self.protocol.into()]).fold(0xcbf2_9ce4_8422_2325, |hash: u64, word| {
            (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
        })
    }
}

/// What a packet is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The connection, in the packet's direction.
    pub tuple: Tuple,
    /// Where the IP packet begins that an ICMP error is about, if the packet is one.
    pub quoted: Option<usize>,
}

/// Reads it; none if the packet is nothing that can be tracked: not IP, a fragment, short, with a wrong checksum, or
/// ICMP that neither asks, answers nor tells of an error.
pub fn read(frame: &[u8], key: &Key, layout: &Layout, zone: u16) -> Option<Subject> {
    let (network, start) = (layout.network?, layout.transport?);
    if !key.is_ip() || key.get(Field::IpFrag) != 0 {
        return None;
    }
    let is_ipv4 = key.ethertype() == ethertype::IPV4;
    if is_ipv4 && checksum::internet(&frame[network..start], 0) != 0 {
        return None;
    }
    let (source, destination) = addresses(frame, network, is_ipv4)?;
    let body = &frame[start..layout.end];
    let outer = Addresses { source, destination, is_ipv4 };
    let proto = key.protocol();
    if !outer.is_sound(proto, body) {
        return None;
    }
    outer.tuple(proto, body, zone, Some(start))
}

fn addresses(frame: &[u8], network: usize, is_ipv4: bool) -> Option<(IpAddr, IpAddr)> {
    let v4 = |offset: usize| -> Option<IpAddr> {
        let octets: [u8; 4] = frame.get(offset..offset + 4)?.try_into().ok()?;
        Some(IpAddr::V4(Ipv4Addr::from(octets)))
    };
    let v6 = |offset: usize| -> Option<IpAddr> {
        let octets: [u8; 16] = frame.get(offset..offset + 16)?.try_into().ok()?;
        Some(IpAddr::V6(Ipv6Addr::from(octets)))
    };
    if is_ipv4 { Some((v4(network + 12)?, v4(network + 16)?)) } else { Some((v6(network + 8)?, v6(network + 24)?)) }
}

struct Addresses {
    source: IpAddr,
    destination: IpAddr,
    is_ipv4: bool,
}

impl Addresses {
    /// Whether the transport's header is there and its checksum right.
    fn is_sound(&self, proto: u8, body: &[u8]) -> bool {
        let is_right = |body: &[u8]| {
            let pseudo = match (self.source, self.destination) {
                (IpAddr::V4(from), IpAddr::V4(to)) => {
                    checksum::pseudo_header(&from.octets(), &to.octets(), proto, body.len())
                }
                (IpAddr::V6(from), IpAddr::V6(to)) => {
                    checksum::pseudo_header(&from.octets(), &to.octets(), proto, body.len())
                }
                _ => return false,
            };
            checksum::internet(body, pseudo) == 0
        };
        match proto {
            protocol::TCP => {
                let header = body.get(12).map_or(0, |byte| usize::from(byte >> 4) * 4);
                body.len() >= 20 && (20..=body.len()).contains(&header) && is_right(body)
            }
            protocol::UDP => {
                let Some(header) = body.get(..8) else { return false };
                let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
                let has_none = header[6..8] == [0, 0] && self.is_ipv4;
                (8..=body.len()).contains(&length) && (has_none || is_right(body))
            }
            protocol::ICMP if self.is_ipv4 => body.len() >= 8 && checksum::internet(body, 0) == 0,
            protocol::ICMPV6 if !self.is_ipv4 => body.len() >= 8 && is_right(body),
            _ => true,
        }
    }

    /// The subject of a packet with this body, which is at `start` of the frame; no start for a packet that is quoted
    /// in an error, in which nothing else can be quoted.
    fn tuple(&self, proto: u8, body: &[u8], zone: u16, start: Option<usize>) -> Option<Subject> {
        let tuple = |ports: (u16, u16), kinds: (u8, u8)| Subject {
            tuple: Tuple {
                zone,
                protocol: proto,
                source: End { address: self.source, port: ports.0, kind: kinds.0 },
                destination: End { address: self.destination, port: ports.1, kind: kinds.1 },
            },
            quoted: None,
        };
        let pair = |offset: usize| body.get(offset..offset + 2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
        match proto {
            protocol::TCP | protocol::UDP => {
                body.get(..8)?;
                Some(tuple((pair(0)?, pair(2)?), (0, 0)))
            }
            protocol::ICMP | protocol::ICMPV6 if self.is_ipv4 == (proto == protocol::ICMP) => {
                body.get(..8)?;
                let (kind, id) = (body[0], pair(4)?);
                match answer(kind, self.is_ipv4) {
                    Some(answer) => (body[1] == 0).then(|| tuple((id, id), (kind, answer))),
                    None if is_error(kind, self.is_ipv4) => self.quoted(&body[8..], zone, start? + 8),
                    None => None,
                }
            }
            _ => Some(tuple((0, 0), (0, 0))),
        }
    }

    /// What an error is about: the connection of the packet that it quotes, in the direction of the error.
    fn quoted(&self, quoted: &[u8], zone: u16, offset: usize) -> Option<Subject> {
        let (source, destination) = addresses(quoted, 0, self.is_ipv4)?;
        let (proto, header) = quoted_transport(quoted, self.is_ipv4)?;
        if source != self.destination {
            return None;
        }
        let inner = Addresses { source, destination, is_ipv4: self.is_ipv4 };
        let subject = inner.tuple(proto, quoted.get(header..)?, zone, None)?;
        Some(Subject { tuple: subject.tuple.reversed(), quoted: Some(offset) })
    }
}

/// Protocol and offset of the transport in a packet that an ICMP error quotes; none in a fragment.
pub fn quoted_transport(quoted: &[u8], is_ipv4: bool) -> Option<(u8, usize)> {
    if is_ipv4 {
        let header = usize::from(quoted.first()? & 15) * 4;
        let is_fragment = u16::from_be_bytes([*quoted.get(6)?, *quoted.get(7)?]) & 0x3fff != 0;
        return Some((*quoted.get(9)?, header)).filter(|_| header >= 20 && !is_fragment);
    }
    let mut frame = vec![0; 12];
    frame.extend(ethertype::IPV6.to_be_bytes());
    frame.extend(quoted);
    // What is quoted may have been cut off, so its length says nothing.
    let length = u16::try_from(quoted.len().checked_sub(40)?).ok()?;
    frame[18..20].copy_from_slice(&length.to_be_bytes());
    let (key, layout) = parse(&frame);
    Some((key.protocol(), layout.transport? - 14))
}

/// The type of the message that answers one of this type.
fn answer(kind: u8, is_ipv4: bool) -> Option<u8> {
    match (is_ipv4, kind) {
        (true, 8) => Some(0),
        (true, 0) => Some(8),
        (true, 13) => Some(14),
        (true, 14) => Some(13),
        (true, 15) => Some(16),
        (true, 16) => Some(15),
        (false, 128) => Some(129),
        (false, 129) => Some(128),
        _ => None,
    }
}

fn is_error(kind: u8, is_ipv4: bool) -> bool {
    if is_ipv4 { matches!(kind, 3 | 4 | 5 | 11 | 12) } else { matches!(kind, 1..=4) }
}
