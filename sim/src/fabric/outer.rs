//! What a router reads in an IP packet that it carries: addresses, the flow it is of, and, beyond what real ones do,
//! whether it holds a tunnel's health check.
//!
//! Layouts: RFC 791, RFC 8200, RFC 7348 (VXLAN), RFC 8926 (Geneve), RFC 2890 (GRE), draft-davie-stt.

use super::wire::checksum;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const UDP: u8 = 17;
const TCP: u8 = 6;
const GRE: u8 = 47;
const BFD_PORT: u16 = 3784;
const ROUTER_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const ROUTER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// The IP header of a packet, as far as a router needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outer {
    /// Who it is from.
    pub source: IpAddr,
    /// Who it is for.
    pub destination: IpAddr,
    /// What is behind the header.
    pub protocol: u8,
    /// Bytes of the header: where the payload begins.
    pub header: usize,
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// Reads the header of an IP packet; none where there is no whole one, or the packet is not as long as it says.
pub fn read(packet: &[u8]) -> Option<Outer> {
    match packet.first()? >> 4 {
        4 => read_v4(packet),
        6 => read_v6(packet),
        _ => None,
    }
}

fn read_v4(packet: &[u8]) -> Option<Outer> {
    let header = usize::from(packet[0] & 15) * 4;
    let whole = header >= 20 && packet.len() >= header && usize::from(word(packet, 2)?) == packet.len();
    whole.then_some(Outer {
        source: array::<4>(packet, 12)?.into(),
        destination: array::<4>(packet, 16)?.into(),
        protocol: *packet.get(9)?,
        header,
    })
}

fn read_v6(packet: &[u8]) -> Option<Outer> {
    let whole = usize::from(word(packet, 4)?) + 40 == packet.len();
    whole.then_some(Outer {
        source: array::<16>(packet, 8)?.into(),
        destination: array::<16>(packet, 24)?.into(),
        protocol: *packet.get(6)?,
        header: 40,
    })
}

impl Outer {
    /// A number that is the same for all packets of a flow and spreads flows evenly, another for each salt.
    pub fn flow_hash(&self, packet: &[u8], salt: u64) -> u64 {
        let ports = match self.protocol {
            UDP | TCP => array::<4>(packet, self.header).unwrap_or_default(),
            _ => [0; 4],
        };
        let mut hash = mix(salt ^ u64::from(self.protocol));
        for address in [self.source, self.destination] {
            let bits = match address {
                IpAddr::V4(ip) => u128::from(u32::from(ip)),
                IpAddr::V6(ip) => u128::from(ip),
            };
            hash = mix(hash ^ (bits >> 64) as u64);
            hash = mix(hash ^ bits as u64);
        }
        mix(hash ^ u64::from(u32::from_be_bytes(ports)))
    }

    /// Whether a tunnel carries BFD in this packet.
    pub fn is_health(&self, packet: &[u8]) -> bool {
        self.inner(packet).and_then(is_bfd).unwrap_or(false)
    }

    /// The Ethernet frame in the tunnel.
    fn inner<'a>(&self, packet: &'a [u8]) -> Option<&'a [u8]> {
        let payload = packet.get(self.header..)?;
        let skip = match (self.protocol, word(payload, 2)?) {
            (UDP, 4789) => 8 + 8,
            (UDP, 6081) => 8 + 8 + usize::from(payload.get(8)? & 0x3f) * 4,
            (TCP, 7471) => 20 + 18,
            (GRE, 0x6558) => {
                let flags = *payload.first()?;
                4 + [0x80, 0x20, 0x10].iter().filter(|flag| flags & **flag != 0).count() * 4
            }
            _ => return None,
        };
        payload.get(skip..)
    }

    /// Where the bytes begin that no outer header holds, and where the checksum over them is, if there is one.
    fn body(&self, packet: &[u8]) -> (usize, Option<usize>) {
        let at = self.header;
        match self.protocol {
            UDP => (at + 8, Some(at + 6).filter(|at| word(packet, *at) != Some(0))),
            TCP => (at + 20, Some(at + 16)),
            GRE => {
                let summed = packet.get(at).is_some_and(|flags| flags & 0x80 != 0);
                (at + 4, summed.then_some(at + 4))
            }
            _ => (at, None),
        }
    }

    /// Flips one bit behind the outer headers and repairs the checksum that covers it. The bit is taken modulo how
    /// many there are; where there are none nothing happens, and false is returned.
    pub fn corrupt(&self, packet: &mut [u8], bit: usize) -> bool {
        let (start, sum) = self.body(packet);
        let start = sum.map_or(start, |sum| start.max(sum + 2));
        if start >= packet.len() {
            return false;
        }
        let at = start + bit / 8 % (packet.len() - start);
        let pair = at - (at - self.header) % 2;
        let covered = |packet: &[u8]| u16::from_be_bytes([packet[pair], packet.get(pair + 1).copied().unwrap_or(0)]);
        let before = covered(packet);
        packet[at] ^= 1 << (bit % 8);
        if let Some(sum) = sum {
            let old = word(packet, sum).expect("the body begins behind it");
            let repaired = checksum::repaired(old, before, covered(packet));
            let repaired = if repaired == 0 && self.protocol == UDP { 0xffff } else { repaired };
            packet[sum..sum + 2].copy_from_slice(&repaired.to_be_bytes());
        }
        true
    }

    /// What a router on the path tells the sender of a packet that is too big (RFC 1191 section 4, RFC 4443 3.2).
    pub fn too_big(&self, packet: &[u8], mtu: u16) -> Vec<u8> {
        match self.source {
            IpAddr::V4(source) => too_big_v4(source, &packet[..packet.len().min(self.header + 8)], mtu),
            IpAddr::V6(source) => too_big_v6(source, &packet[..packet.len().min(1280 - 48)], mtu),
        }
    }
}

fn too_big_v4(to: Ipv4Addr, quoted: &[u8], mtu: u16) -> Vec<u8> {
    let length = u16::try_from(28 + quoted.len()).expect("it quotes a header and a little more").to_be_bytes();
    let mut packet = vec![0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, 1, 0, 0];
    packet.extend(ROUTER_V4.octets());
    packet.extend(to.octets());
    let sum = checksum::of(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend([3, 4, 0, 0, 0, 0]);
    packet.extend(mtu.to_be_bytes());
    packet.extend(quoted);
    let sum = checksum::of(&packet[20..]);
    packet[22..24].copy_from_slice(&sum.to_be_bytes());
    packet
}

fn too_big_v6(to: Ipv6Addr, quoted: &[u8], mtu: u16) -> Vec<u8> {
    let length = 8 + quoted.len();
    let [high, low] = u16::try_from(length).expect("it quotes less than the least MTU").to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, high, low, 58, 64];
    packet.extend(ROUTER_V6.octets());
    packet.extend(to.octets());
    packet.extend([2, 0, 0, 0]);
    packet.extend(u32::from(mtu).to_be_bytes());
    packet.extend(quoted);
    let sum = checksum::Sum::default().pseudo(ROUTER_V6.into(), to.into(), 58, length).with(&packet[40..]);
    packet[42..44].copy_from_slice(&sum.finish().to_be_bytes());
    packet
}

fn is_bfd(frame: &[u8]) -> Option<bool> {
    let packet = frame.get(14..)?;
    let (protocol, header) = match word(frame, 12)? {
        0x0800 => (*packet.get(9)?, usize::from(packet.first()? & 15) * 4),
        0x86dd => (*packet.get(6)?, 40),
        _ => return Some(false),
    };
    Some(protocol == UDP && word(packet, header + 2)? == BFD_PORT)
}

/// The finaliser of SplitMix64: every bit of the result depends on every bit of the argument.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}
