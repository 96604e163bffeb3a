//! Makes frames with sound lengths and checksums, for guests and tests.

use super::{checksum, ethertype, protocol, put};
use std::net::IpAddr;

/// A frame to be made: Ethernet, perhaps tags, and a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Ethernet destination.
    pub destination: [u8; 6],
    /// Ethernet source.
    pub source: [u8; 6],
    /// Ethertype and control information of tags, outer first.
    pub tags: Vec<(u16, u16)>,
    /// What it carries.
    pub payload: Payload,
}

/// What a frame carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// ARP for IPv4.
    Arp {
        /// 1 asks, 2 answers.
        operation: u16,
        /// Sender: hardware and protocol address.
        sender: ([u8; 6], [u8; 4]),
        /// Target.
        target: ([u8; 6], [u8; 4]),
    },
    /// IPv4 or IPv6, after the addresses.
    Ip {
        /// Source.
        source: IpAddr,
        /// Destination, of the same family.
        destination: IpAddr,
        /// TTL or hop limit.
        ttl: u8,
        /// DSCP and ECN.
        tos: u8,
        /// What is in it.
        transport: Transport,
    },
    /// Something else.
    Raw {
        /// Its type.
        ethertype: u16,
        /// Its bytes.
        bytes: Vec<u8>,
    },
}

/// What an IP packet carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP without options.
    Tcp {
        /// Source and destination.
        ports: (u16, u16),
        /// Twelve bits.
        flags: u16,
        /// Of the first byte.
        sequence: u32,
        /// The next byte expected.
        acknowledgement: u32,
        /// Payload.
        bytes: Vec<u8>,
    },
    /// UDP.
    Udp {
        /// Source and destination.
        ports: (u16, u16),
        /// Payload.
        bytes: Vec<u8>,
    },
    /// SCTP: the chunks as they are.
    Sctp {
        /// Source and destination.
        ports: (u16, u16),
        /// Chunks.
        bytes: Vec<u8>,
    },
    /// ICMP or ICMPv6, by the family of the addresses: all that follows the checksum.
    Icmp {
        /// Its type.
        kind: u8,
        /// Its code.
        code: u8,
        /// The rest, at least four bytes.
        bytes: Vec<u8>,
    },
    /// Another protocol.
    Raw {
        /// Its number.
        protocol: u8,
        /// Its bytes.
        bytes: Vec<u8>,
    },
}

impl Frame {
    /// An IP packet between two addresses of one family, TTL 64.
    pub fn ip(source: IpAddr, destination: IpAddr, transport: Transport) -> Frame {
        Frame::with(Payload::Ip { source, destination, ttl: 64, tos: 0, transport })
    }

    /// A payload between the stations `02:00:00:00:00:01` and `02:00:00:00:00:02`.
    pub fn with(payload: Payload) -> Frame {
        Frame { destination: [2, 0, 0, 0, 0, 2], source: [2, 0, 0, 0, 0, 1], tags: Vec::new(), payload }
    }

    /// The bytes.
    pub fn build(&self) -> Vec<u8> {
        let mut bytes = [self.destination, self.source].concat();
        for (kind, control) in &self.tags {
            bytes.extend(kind.to_be_bytes());
            bytes.extend(control.to_be_bytes());
        }
        match &self.payload {
            Payload::Arp { operation, sender, target } => {
                bytes.extend(ethertype::ARP.to_be_bytes());
                bytes.extend([0, 1, 8, 0, 6, 4]);
                bytes.extend(operation.to_be_bytes());
                for (hardware, address) in [sender, target] {
                    bytes.extend(hardware);
                    bytes.extend(address);
                }
            }
            Payload::Ip { source, destination, ttl, tos, transport } => {
                let kind = if source.is_ipv4() { ethertype::IPV4 } else { ethertype::IPV6 };
                bytes.extend(kind.to_be_bytes());
                bytes.extend(ip_packet(*source, *destination, (*ttl, *tos), transport));
            }
            Payload::Raw { ethertype, bytes: raw } => {
                bytes.extend(ethertype.to_be_bytes());
                bytes.extend(raw);
            }
        }
        bytes
    }
}

/// An IP packet, without a frame around it.
pub fn ip_packet(source: IpAddr, destination: IpAddr, (ttl, tos): (u8, u8), transport: &Transport) -> Vec<u8> {
    let (source_bytes, destination_bytes) = (octets(source), octets(destination));
    let is_ipv6 = source_bytes.len() == 16;
    let (number, body) = transport_bytes(transport, &source_bytes, &destination_bytes);
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
    let mut packet = if is_ipv6 {
        let mut header = vec![0x60 | (tos >> 4), tos << 4, 0, 0];
        header.extend(length.to_be_bytes());
        header.extend([number, ttl]);
        header
    } else {
        let total = length.saturating_add(20).to_be_bytes();
        vec![0x45, tos, total[0], total[1], 0, 0, 0, 0, ttl, number, 0, 0]
    };
    packet.extend(source_bytes);
    packet.extend(destination_bytes);
    if !is_ipv6 {
        let sum = checksum::internet(&packet, 0);
        put(&mut packet, 10, 2, sum.into());
    }
    packet.extend(body);
    packet
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn transport_bytes(transport: &Transport, source: &[u8], destination: &[u8]) -> (u8, Vec<u8>) {
    let ports = |(from, to): &(u16, u16)| [from.to_be_bytes(), to.to_be_bytes()].concat();
    let (number, position, mut bytes) = match transport {
        Transport::Tcp { ports: pair, flags, sequence, acknowledgement, bytes } => {
            let mut header = ports(pair);
            header.extend(sequence.to_be_bytes());
            header.extend(acknowledgement.to_be_bytes());
            header.extend((0x5000 | (flags & 0xfff)).to_be_bytes());
            header.extend([0xff, 0xff, 0, 0, 0, 0]);
            header.extend(bytes);
            (protocol::TCP, Some(16), header)
        }
        Transport::Udp { ports: pair, bytes } => {
            let mut header = ports(pair);
            header.extend(u16::try_from(bytes.len() + 8).unwrap_or(u16::MAX).to_be_bytes());
            header.extend([0, 0]);
            header.extend(bytes);
            (protocol::UDP, Some(6), header)
        }
        Transport::Sctp { ports: pair, bytes } => {
            let mut header = ports(pair);
            header.extend([0; 8]);
            header.extend(bytes);
            let sum = checksum::crc32c(&header);
            put(&mut header, 8, 4, sum.into());
            (protocol::SCTP, None, header)
        }
        Transport::Icmp { kind, code, bytes } => {
            let number = if source.len() == 16 { protocol::ICMPV6 } else { protocol::ICMP };
            (number, Some(2), [[*kind, *code, 0, 0].as_slice(), bytes].concat())
        }
        Transport::Raw { protocol, bytes } => (*protocol, None, bytes.clone()),
    };
    if let Some(position) = position {
        let is_plain = number == protocol::ICMP;
        let pseudo = if is_plain { 0 } else { checksum::pseudo_header(source, destination, number, bytes.len()) };
        let sum = checksum::internet(&bytes, pseudo);
        let sum = if number == protocol::UDP && sum == 0 { 0xffff } else { sum };
        put(&mut bytes, position, 2, sum.into());
    }
    (number, bytes)
}

#[cfg(test)]
pub(crate) use samples::checksums_hold;

#[cfg(test)]
mod samples {
    use super::super::{be16, be32, parse};
    use super::*;
    use crate::switch::model::Field;

    const SOURCE4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const DESTINATION4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));
    const SOURCE6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
    const DESTINATION6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2));

    fn tcp() -> Transport {
        Transport::Tcp { ports: (1000, 80), flags: 2, sequence: 7, acknowledgement: 0, bytes: b"hello".to_vec() }
    }

    fn udp() -> Transport {
        Transport::Udp { ports: (1000, 53), bytes: b"hello world".to_vec() }
    }

    impl Frame {
        pub(crate) fn tcp4() -> Frame {
            Frame::ip(SOURCE4, DESTINATION4, tcp())
        }

        pub(crate) fn tcp6() -> Frame {
            Frame::ip(SOURCE6, DESTINATION6, tcp())
        }

        pub(crate) fn udp4() -> Frame {
            Frame::ip(SOURCE4, DESTINATION4, udp())
        }

        pub(crate) fn udp6() -> Frame {
            Frame::ip(SOURCE6, DESTINATION6, udp())
        }

        pub(crate) fn sctp4() -> Frame {
            Frame::ip(SOURCE4, DESTINATION4, Transport::Sctp { ports: (5, 6), bytes: vec![0, 0, 0, 4] })
        }

        pub(crate) fn icmp4() -> Frame {
            Frame::ip(SOURCE4, DESTINATION4, Transport::Icmp { kind: 8, code: 0, bytes: vec![0, 1, 0, 1, 9] })
        }

        pub(crate) fn icmp6() -> Frame {
            Frame::ip(SOURCE6, DESTINATION6, Transport::Icmp { kind: 128, code: 0, bytes: vec![0, 1, 0, 1, 9] })
        }

        /// A neighbour solicitation for `2001:db8::2` with a source link-layer address.
        pub(crate) fn solicitation() -> Frame {
            let mut bytes = vec![0; 4];
            bytes.extend(octets(DESTINATION6));
            bytes.extend([1, 1, 2, 0, 0, 0, 0, 1]);
            Frame::ip(SOURCE6, DESTINATION6, Transport::Icmp { kind: 135, code: 0, bytes })
        }

        pub(crate) fn arp() -> Frame {
            let sender = ([2, 0, 0, 0, 0, 1], [10, 0, 0, 1]);
            Frame::with(Payload::Arp { operation: 1, sender, target: ([0; 6], [10, 0, 0, 2]) })
        }
    }

    /// Whether all checksums of an IP packet in a frame are what the bytes say.
    pub(crate) fn checksums_hold(frame: &[u8]) -> bool {
        let (key, layout) = parse(frame);
        let (Some(network), Some(start)) = (layout.network, layout.transport) else { panic!("an IP packet") };
        let is_ipv4 = key.ethertype() == ethertype::IPV4;
        let (source, destination) = if is_ipv4 {
            (&frame[network + 12..network + 16], &frame[network + 16..network + 20])
        } else {
            (&frame[network + 8..network + 24], &frame[network + 24..network + 40])
        };
        let body = &frame[start..layout.end];
        let pseudo = checksum::pseudo_header(source, destination, key.protocol(), body.len());
        let is_header_right = !is_ipv4 || checksum::internet(&frame[network..network + 20], 0) == 0;
        let is_body_right = match key.protocol() {
            protocol::UDP if be16(body, 6) == 0 => is_ipv4,
            protocol::TCP | protocol::UDP | protocol::ICMPV6 => checksum::internet(body, pseudo) == 0,
            protocol::ICMP => checksum::internet(body, 0) == 0,
            protocol::SCTP => {
                let bare = [&body[..8], &[0; 4], &body[12..]].concat();
                checksum::crc32c(&bare) == be32(body, 8)
            }
            other => panic!("no checksum is known for protocol {other}"),
        };
        is_header_right && is_body_right && key.get(Field::IpProto) != 0
    }
}
