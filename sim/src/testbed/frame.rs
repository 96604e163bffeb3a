//! Ethernet frames, honest and forged: what a guest may put on its wire, and what it may find there.
//!
//! Frames are built from the fields that an attacker would choose: nothing here checks that they belong together.
//! Layouts: RFC 826 (ARP), RFC 903 (RARP), RFC 768 (UDP), RFC 4443 and RFC 4861 (ICMPv6, neighbour discovery).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::ident::Mac;

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub const ARP: u16 = 0x0806;
/// EtherType of RARP.
pub const RARP: u16 = 0x8035;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;

/// The least that Ethernet carries, without the checksum, in bytes.
const LENGTH_MIN: usize = 60;
const HEADER_LENGTH: usize = 14;

/// A frame as it is on the wire, without preamble and checksum.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame(Vec<u8>);

/// One end of a UDP packet, true or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// In the Ethernet header.
    pub mac: Mac,
    /// In the IP header; both ends must be of one family.
    pub ip: IpAddr,
    /// In the UDP header.
    pub port: u16,
}

/// The operation of an ARP packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArpOperation {
    /// Who has the target's address?
    Request,
    /// The sender has its address.
    Reply,
}

/// One end of an ARP packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ArpEnd {
    /// The hardware address.
    pub mac: Mac,
    /// The protocol address.
    pub ip: Ipv4Addr,
}

impl Frame {
    /// A frame with any payload, filled up to Ethernet's least length.
    pub fn new(destination: Mac, source: Mac, ethertype: u16, payload: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(HEADER_LENGTH + payload.len());
        bytes.extend(destination.0);
        bytes.extend(source.0);
        bytes.extend(ethertype.to_be_bytes());
        bytes.extend(payload);
        bytes.resize(bytes.len().max(LENGTH_MIN), 0);
        Self(bytes)
    }

    /// What was received, if it has at least an Ethernet header.
    pub fn from_wire(bytes: &[u8]) -> Option<Self> {
        (bytes.len() >= HEADER_LENGTH).then(|| Self(bytes.to_vec()))
    }

    /// An ARP packet from the MAC address that it claims, to the target for a reply and to everyone for a request.
    pub fn arp(operation: ArpOperation, sender: ArpEnd, target: ArpEnd) -> Self {
        let (code, destination) = match operation {
            ArpOperation::Request => (1, Mac::BROADCAST),
            ArpOperation::Reply => (2, target.mac),
        };
        Self::new(destination, sender.mac, ARP, &arp_body(code, sender, target))
    }

    /// "I am here now", as QEMU says it for its guest after a migration: RARP asks for the sender's own address.
    pub fn rarp_announcement(mac: Mac) -> Self {
        let nobody = ArpEnd { mac, ip: Ipv4Addr::UNSPECIFIED };
        Self::new(Mac::BROADCAST, mac, RARP, &arp_body(3, nobody, nobody))
    }

    /// A UDP packet over IPv4 or IPv6, with right checksums.
    ///
    /// # Panics
    /// If the two ends are of different families, or the payload is too large for one packet.
    pub fn udp(source: Endpoint, destination: Endpoint, payload: &[u8]) -> Self {
        let length = u16::try_from(8 + payload.len()).expect("a UDP packet has at most 64 KiB");
        let mut udp = Vec::with_capacity(usize::from(length));
        for field in [source.port, destination.port, length, 0] {
            udp.extend(field.to_be_bytes());
        }
        udp.extend(payload);
        // A sum of zero would mean "none": its other form is all ones.
        let sum = match transport_checksum(source.ip, destination.ip, 17, &udp) {
            0 => 0xffff,
            sum => sum,
        };
        udp[6..8].copy_from_slice(&sum.to_be_bytes());
        Self::ip(
            source.mac,
            destination.mac,
            IpHeader { source: source.ip, destination: destination.ip, protocol: 17 },
            &udp,
        )
    }

    /// An unasked neighbour advertisement (RFC 4861, 4.4) to all nodes, which says that `ip` is at `mac`, and to
    /// override what was known.
    pub fn neighbour_advertisement(mac: Mac, ip: Ipv6Addr) -> Self {
        let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
        let mut body = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
        body.extend(ip.octets());
        body.extend([2, 1]);
        body.extend(mac.0);
        let sum = transport_checksum(ip.into(), all_nodes.into(), 58, &body);
        body[2..4].copy_from_slice(&sum.to_be_bytes());
        let header = IpHeader { source: ip.into(), destination: all_nodes.into(), protocol: 58 };
        Self::ip(mac, Mac([0x33, 0x33, 0, 0, 0, 1]), header, &body)
    }

    fn ip(source: Mac, destination: Mac, header: IpHeader, body: &[u8]) -> Self {
        let (ethertype, mut packet) = header.encode(body.len());
        packet.extend(body);
        Self::new(destination, source, ethertype, &packet)
    }

    /// All of it.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// To whom it is addressed.
    pub fn destination(&self) -> Mac {
        self.mac_at(0)
    }

    /// By whom it says it was sent.
    pub fn source(&self) -> Mac {
        self.mac_at(6)
    }

    /// What the payload is.
    pub fn ethertype(&self) -> u16 {
        u16::from_be_bytes([self.0[12], self.0[13]])
    }

    /// What is after the Ethernet header, with what fills it up.
    pub fn payload(&self) -> &[u8] {
        &self.0[HEADER_LENGTH..]
    }

    /// Whether these bytes occur in the payload: marks are the easiest way to know a frame again.
    pub fn contains(&self, mark: &[u8]) -> bool {
        !mark.is_empty() && self.payload().windows(mark.len()).any(|window| window == mark)
    }

    fn mac_at(&self, offset: usize) -> Mac {
        let bytes = self.0[offset..offset + 6].try_into().expect("six bytes of a header that was checked");
        Mac(bytes)
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} > {} {:04x} ", self.source(), self.destination(), self.ethertype())?;
        self.payload().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

struct IpHeader {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
}

impl IpHeader {
    const TTL: u8 = 255;

    /// EtherType and header, for a body of this length.
    fn encode(&self, body_length: usize) -> (u16, Vec<u8>) {
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => (IPV4, self.encode_v4(source, destination, body_length)),
            (IpAddr::V6(source), IpAddr::V6(destination)) => (IPV6, self.encode_v6(source, destination, body_length)),
            (source, destination) => panic!("{source} and {destination} are of different families"),
        }
    }

    fn encode_v4(&self, source: Ipv4Addr, destination: Ipv4Addr, body_length: usize) -> Vec<u8> {
        let total = u16::try_from(20 + body_length).expect("an IPv4 packet has at most 64 KiB");
        let [high, low] = total.to_be_bytes();
        let mut header = vec![0x45, 0, high, low, 0, 0, 0, 0, Self::TTL, self.protocol, 0, 0];
        header.extend(source.octets());
        header.extend(destination.octets());
        let sum = checksum([header.as_slice()]);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        header
    }

    fn encode_v6(&self, source: Ipv6Addr, destination: Ipv6Addr, body_length: usize) -> Vec<u8> {
        let [high, low] = u16::try_from(body_length).expect("an IPv6 payload has at most 64 KiB").to_be_bytes();
        let mut header = vec![0x60, 0, 0, 0, high, low, self.protocol, Self::TTL];
        header.extend(source.octets());
        header.extend(destination.octets());
        header
    }
}

fn arp_body(operation: u8, sender: ArpEnd, target: ArpEnd) -> Vec<u8> {
    let mut body = vec![0, 1, 0x08, 0, 6, 4, 0, operation];
    for end in [sender, target] {
        body.extend(end.mac.0);
        body.extend(end.ip.octets());
    }
    body
}

/// The checksum of UDP or ICMPv6, over the pseudo header too (RFC 768; RFC 8200, 8.1).
fn transport_checksum(source: IpAddr, destination: IpAddr, protocol: u8, body: &[u8]) -> u16 {
    let octets = |ip| match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let length = u16::try_from(body.len()).expect("a packet has at most 64 KiB").to_be_bytes();
    let (source, destination) = (octets(source), octets(destination));
    checksum([source.as_slice(), &destination, &[0, protocol], &length, body])
}

/// The Internet checksum (RFC 1071) of parts, of which all but the last have even lengths.
pub(crate) fn checksum<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u16 {
    let words = parts.into_iter().flat_map(|part| part.chunks(2));
    let mut sum: u64 =
        words.map(|word| u64::from(u16::from_be_bytes([word[0], word.get(1).copied().unwrap_or(0)]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("it was folded to 16 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const B: Mac = Mac([2, 0, 0, 0, 0, 2]);

    fn endpoint(mac: Mac, ip: &str, port: u16) -> Endpoint {
        Endpoint { mac, ip: ip.parse().expect("an address"), port }
    }

    #[test]
    fn arp_has_the_layout_of_rfc_826() {
        let sender = ArpEnd { mac: A, ip: Ipv4Addr::new(10, 0, 0, 1) };
        let target = ArpEnd { mac: B, ip: Ipv4Addr::new(10, 0, 0, 2) };
        let frame = Frame::arp(ArpOperation::Reply, sender, target);
        assert_eq!((frame.destination(), frame.source(), frame.ethertype()), (B, A, ARP));
        assert_eq!(frame.bytes().len(), 60);
        let expected = [0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 2, 0, 0, 0, 0, 2, 10, 0, 0, 2];
        assert_eq!(frame.payload()[..28], expected);
        assert_eq!(Frame::arp(ArpOperation::Request, sender, target).destination(), Mac::BROADCAST);
    }

    #[test]
    fn checksums_are_right() {
        // The example of RFC 1071, section 3.
        assert_eq!(checksum([[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7].as_slice()]), !0xddf2);
        let frame = Frame::udp(endpoint(A, "10.0.0.1", 1), endpoint(B, "10.0.0.2", 2), b"odd");
        assert_eq!(checksum([&frame.payload()[..20]]), 0, "a header sums to zero with its checksum");
        let udp = &frame.payload()[20..31];
        assert_eq!(transport_checksum(frame_ip(&frame, 12), frame_ip(&frame, 16), 17, udp), 0);
    }

    fn frame_ip(frame: &Frame, offset: usize) -> IpAddr {
        let octets: [u8; 4] = frame.payload()[offset..offset + 4].try_into().expect("four bytes");
        octets.into()
    }

    #[test]
    fn marks_are_found_in_the_payload_only() {
        let frame = Frame::udp(endpoint(A, "fd00::1", 1), endpoint(B, "fd00::2", 2), b"selvedge");
        assert_eq!(frame.ethertype(), IPV6);
        assert!(frame.contains(b"selvedge"));
        assert!(!frame.contains(b"selvage"));
        assert!(!frame.contains(&B.0), "that is in the Ethernet header");
        assert_eq!(Frame::from_wire(&[0; 13]), None);
    }
}
