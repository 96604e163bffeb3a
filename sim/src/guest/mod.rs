//! A guest: a small host behind an interface, that talks to others and keeps count of it.
//!
//! It resolves its neighbours by ARP and neighbour discovery, answers them, pings, sends datagrams and streams of bytes
//! (one segment at a time, sent again until it is acknowledged), announces itself, and poses as somebody else
//! ([`spoof`]). Start at [`Guest::receive`] and [`Guest::poll`].

pub mod spoof;
#[cfg(test)]
mod tests;

use crate::logical::Mac;
use crate::plan::Vif;
use crate::switch::packet::build::{Frame, Payload, Transport};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// How long a neighbour is believed.
const NEIGHBOUR_LIFE: Duration = Duration::from_secs(30);
/// How often an address is asked for, once a second.
const QUESTIONS_MAX: u8 = 3;
/// Most packets that wait for one neighbour.
const WAITING_MAX: usize = 8;
/// How long a segment waits for its acknowledgement, and how often it is sent.
const RETRANSMIT: Duration = Duration::from_millis(500);
const SEGMENTS_MAX: u8 = 6;
/// The largest packet that a guest sends, in bytes from its IP header on.
const MTU: usize = 1_500;
/// The port that takes datagrams and streams.
const PORT: u16 = 7;

const SYN: u16 = 2;
const FIN: u16 = 1;
const ACK: u16 = 16;

/// How its pings and streams fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Pings sent.
    pub pings: u64,
    /// Pings answered.
    pub answered: u64,
    /// Datagrams received.
    pub datagrams: u64,
    /// Streams that were opened, and those of which every byte was acknowledged.
    pub streams: (u64, u64),
}

#[derive(Debug, Default)]
struct Neighbour {
    mac: Option<Mac>,
    until: Duration,
    questions: u8,
    waiting: VecDeque<(IpAddr, Transport)>,
}

/// A stream that it sends.
#[derive(Debug)]
struct Stream {
    number: u32,
    to: IpAddr,
    port: u16,
    acknowledged: u32,
    bytes: u32,
    tries: u8,
    again: Duration,
}

/// A guest.
#[derive(Debug)]
pub struct Guest {
    /// Its addresses.
    pub vif: Vif,
    /// How it fared.
    pub ledger: Ledger,
    /// Pings that were answered, by their number.
    pub echoes: BTreeMap<u32, Duration>,
    /// Streams of which every byte was acknowledged, by their number.
    pub sent: BTreeSet<u32>,
    neighbours: BTreeMap<IpAddr, Neighbour>,
    /// Those of them whose Ethernet address is not known.
    asked: BTreeSet<IpAddr>,
    streams: Vec<Stream>,
    out: Vec<Vec<u8>>,
    next_number: u32,
}

impl Guest {
    /// A guest that has just started.
    pub fn new(vif: Vif) -> Guest {
        Guest {
            vif,
            ledger: Ledger::default(),
            echoes: BTreeMap::new(),
            sent: BTreeSet::new(),
            neighbours: BTreeMap::new(),
            asked: BTreeSet::new(),
            streams: Vec::new(),
            out: Vec::new(),
            next_number: 0,
        }
    }

    /// It starts afresh: what it had learnt and begun is gone.
    pub fn reboot(&mut self) {
        self.neighbours.clear();
        self.asked.clear();
        self.streams.clear();
    }

    /// Pings another; the ping's number.
    pub fn ping(&mut self, now: Duration, to: IpAddr) -> u32 {
        self.next_number += 1;
        self.ledger.pings += 1;
        let number = self.next_number;
        // Identifier and sequence number are the ping's; 16 bytes of data.
        let mut bytes = number.to_be_bytes().to_vec();
        bytes.extend([0x5e; 16]);
        let kind = if to.is_ipv4() { 8 } else { 128 };
        self.send(now, to, Transport::Icmp { kind, code: 0, bytes });
        number
    }

    /// Sends a datagram.
    pub fn datagram(&mut self, now: Duration, to: IpAddr, size: usize) {
        self.send(now, to, Transport::Udp { ports: (4_000, PORT), bytes: vec![0x75; size] });
    }

    /// How many bytes of data a packet to an address has room for, behind its header of IP and one of so many bytes.
    fn room(to: IpAddr, header: usize) -> usize {
        MTU - header - if to.is_ipv4() { 20 } else { 40 }
    }

    /// The largest datagram to an address that fits in one packet, in bytes of data.
    pub fn datagram_max(to: IpAddr) -> usize {
        Guest::room(to, 8)
    }

    /// Opens a stream and sends bytes, in segments as large as packets allow; the stream's number.
    pub fn stream(&mut self, now: Duration, to: IpAddr, bytes: u32) -> u32 {
        self.next_number += 1;
        self.ledger.streams.0 += 1;
        let port = 10_000 + (self.next_number % 50_000) as u16;
        let number = self.next_number;
        let stream = Stream { number, to, port, acknowledged: 0, bytes, tries: 0, again: now };
        self.streams.push(stream);
        self.push_streams(now);
        number
    }

    /// Tells everybody of its addresses: gratuitous ARP and an unsolicited neighbour advertisement.
    pub fn announce(&mut self) {
        let Vif { mac, v4, v6 } = self.vif.clone();
        let arp = Payload::Arp { operation: 1, sender: (mac.0, v4.octets()), target: ([0; 6], v4.octets()) };
        self.out.push(Frame { destination: Mac::BROADCAST.0, source: mac.0, tags: Vec::new(), payload: arp }.build());
        let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
        self.out.push(advertisement(mac, v6, all, [0x33, 0x33, 0, 0, 0, 1]));
    }

    /// Sends a frame as it is.
    pub fn raw(&mut self, frame: Vec<u8>) {
        self.out.push(frame);
    }

    /// Frames that it sends by now.
    pub fn poll(&mut self, now: Duration) -> Vec<Vec<u8>> {
        self.ask_again(now);
        self.push_streams(now);
        std::mem::take(&mut self.out)
    }

    /// When it wants to be polled.
    pub fn deadline(&self) -> Option<Duration> {
        let asked = self.asked.iter().map(|address| self.neighbours[address].until);
        let streams = self.streams.iter().map(|stream| stream.again);
        let now = (!self.out.is_empty()).then_some(Duration::ZERO);
        asked.chain(streams).chain(now).min()
    }

    fn send(&mut self, now: Duration, to: IpAddr, transport: Transport) {
        let known = self.neighbours.get(&to).filter(|known| known.until > now).and_then(|known| known.mac);
        if let Some(mac) = known {
            return self.send_to(mac, to, transport);
        }
        let neighbour = self.neighbours.entry(to).or_default();
        if neighbour.waiting.len() < WAITING_MAX {
            neighbour.waiting.push_back((to, transport));
        }
        let asking = neighbour.mac.is_none() && neighbour.questions > 0;
        if !asking {
            (neighbour.mac, neighbour.questions, neighbour.until) = (None, 1, now + Duration::from_secs(1));
            self.asked.insert(to);
            self.ask(to);
        }
    }

    fn send_to(&mut self, mac: Mac, to: IpAddr, transport: Transport) {
        let source = if to.is_ipv4() { IpAddr::V4(self.vif.v4) } else { IpAddr::V6(self.vif.v6) };
        let mut frame = Frame::ip(source, to, transport);
        (frame.destination, frame.source) = (mac.0, self.vif.mac.0);
        self.out.push(frame.build());
    }

    /// Asks whose an address is.
    fn ask(&mut self, address: IpAddr) {
        let own = self.vif.mac.0;
        match address {
            IpAddr::V4(v4) => {
                let sender = (own, self.vif.v4.octets());
                let payload = Payload::Arp { operation: 1, sender, target: ([0; 6], v4.octets()) };
                let frame = Frame { destination: Mac::BROADCAST.0, source: own, tags: Vec::new(), payload };
                self.out.push(frame.build());
            }
            IpAddr::V6(v6) => {
                let octets = v6.octets();
                let mut node = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0];
                node[13..].copy_from_slice(&octets[13..]);
                let destination = [0x33, 0x33, 0xff, octets[13], octets[14], octets[15]];
                self.out.push(discovery(135, self.vif.mac, self.vif.v6, node.into(), destination, v6));
            }
        }
    }

    fn ask_again(&mut self, now: Duration) {
        let due = self.asked.iter().filter(|address| self.neighbours[address].until <= now);
        let due: Vec<IpAddr> = due.copied().collect();
        for address in due {
            let neighbour = self.neighbours.get_mut(&address).expect("it was just there");
            if neighbour.questions >= QUESTIONS_MAX {
                self.neighbours.remove(&address);
                self.asked.remove(&address);
                continue;
            }
            neighbour.questions += 1;
            neighbour.until = now + Duration::from_secs(1);
            self.ask(address);
        }
    }

    /// A neighbour said which Ethernet address it has.
    fn learn(&mut self, now: Duration, address: IpAddr, mac: Mac, only_if_asked: bool) {
        let known = self.neighbours.contains_key(&address);
        if only_if_asked && !known {
            return;
        }
        let neighbour = self.neighbours.entry(address).or_default();
        (neighbour.mac, neighbour.until, neighbour.questions) = (Some(mac), now + NEIGHBOUR_LIFE, 0);
        self.asked.remove(&address);
        let waiting: Vec<_> = neighbour.waiting.drain(..).collect();
        waiting.into_iter().for_each(|(to, transport)| self.send_to(mac, to, transport));
    }

    /// A frame arrives.
    pub fn receive(&mut self, now: Duration, bytes: &[u8]) {
        let Some((head, body)) = bytes.split_at_checked(14) else { return };
        let destination = Mac(head[..6].try_into().expect("six bytes"));
        if destination != self.vif.mac && !destination.is_group() {
            return;
        }
        match (head[12], head[13]) {
            (8, 6) => self.receive_arp(now, body),
            (8, 0) => self.receive_v4(now, body),
            (0x86, 0xdd) => self.receive_v6(now, body),
            _ => {}
        }
    }

    fn receive_arp(&mut self, now: Duration, body: &[u8]) {
        let Some(body) = body.get(..28).filter(|body| body[..6] == [0, 1, 8, 0, 6, 4]) else { return };
        let address = |at: usize| Ipv4Addr::new(body[at], body[at + 1], body[at + 2], body[at + 3]);
        let mac = Mac(body[8..14].try_into().expect("six bytes"));
        let (sender, target) = (address(14), address(24));
        if sender == self.vif.v4 {
            return;
        }
        let for_us = target == self.vif.v4;
        if !sender.is_unspecified() {
            self.learn(now, sender.into(), mac, !for_us);
        }
        if for_us && body[7] == 1 {
            let own = (self.vif.mac.0, self.vif.v4.octets());
            let payload = Payload::Arp { operation: 2, sender: own, target: (mac.0, sender.octets()) };
            let frame = Frame { destination: mac.0, source: self.vif.mac.0, tags: Vec::new(), payload };
            self.out.push(frame.build());
        }
    }

    fn receive_v4(&mut self, now: Duration, body: &[u8]) {
        let header = body.first().map_or(0, |first| usize::from(first & 15) * 4);
        let Some(total) = body.get(2..4).map(|bytes| usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))) else {
            return;
        };
        let Some(payload) = body.get(header..total).filter(|_| header >= 20) else { return };
        let address = |at: usize| Ipv4Addr::new(body[at], body[at + 1], body[at + 2], body[at + 3]);
        if address(16) == self.vif.v4 {
            self.receive_ip(now, IpAddr::V4(address(12)), body[9], payload);
        }
    }

    fn receive_v6(&mut self, now: Duration, body: &[u8]) {
        let Some((header, payload)) = body.split_at_checked(40) else { return };
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let Some(payload) = payload.get(..length) else { return };
        let address = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&header[at..at + 16]).expect("sixteen bytes"));
        let (source, destination) = (address(8), address(24));
        match (header[6], payload) {
            (58, [135, _, _, _, _, _, _, _, rest @ ..]) if rest.len() >= 16 => self.asked(now, source, rest),
            (58, [136, _, _, _, _, _, _, _, rest @ ..]) if rest.len() >= 24 => {
                let target = Ipv6Addr::from(<[u8; 16]>::try_from(&rest[..16]).expect("sixteen bytes"));
                let mac = Mac(rest[18..24].try_into().expect("six bytes"));
                if target != self.vif.v6 {
                    self.learn(now, target.into(), mac, true);
                }
            }
            (next, payload) if destination == self.vif.v6 => self.receive_ip(now, source.into(), next, payload),
            _ => {}
        }
    }

    /// A neighbour asks for an address.
    fn asked(&mut self, now: Duration, source: Ipv6Addr, rest: &[u8]) {
        let target = Ipv6Addr::from(<[u8; 16]>::try_from(&rest[..16]).expect("sixteen bytes"));
        let asker = rest.get(18..24).map(|bytes| Mac(bytes.try_into().expect("six bytes")));
        let (true, Some(mac)) = (target == self.vif.v6, asker) else { return };
        if source == self.vif.v6 || source.is_unspecified() {
            return;
        }
        self.learn(now, source.into(), mac, false);
        self.out.push(advertisement(self.vif.mac, self.vif.v6, source, mac.0));
    }

    fn receive_ip(&mut self, now: Duration, from: IpAddr, protocol: u8, payload: &[u8]) {
        match (protocol, payload) {
            (1, [8, 0, _, _, rest @ ..]) => {
                self.send(now, from, Transport::Icmp { kind: 0, code: 0, bytes: rest.to_vec() });
            }
            (58, [128, 0, _, _, rest @ ..]) => {
                self.send(now, from, Transport::Icmp { kind: 129, code: 0, bytes: rest.to_vec() });
            }
            (1, [0, 0, _, _, a, b, c, d, ..]) | (58, [129, 0, _, _, a, b, c, d, ..]) => {
                self.ledger.answered += 1;
                self.echoes.insert(u32::from_be_bytes([*a, *b, *c, *d]), now);
                while self.echoes.len() > 1_000 {
                    self.echoes.pop_first();
                }
            }
            (17, [_, _, 0, 7, ..]) => self.ledger.datagrams += 1,
            (6, segment) if segment.len() >= 20 => self.receive_segment(now, from, segment),
            _ => {}
        }
    }

    /// A segment of a stream: what it acknowledges is done; data is acknowledged.
    fn receive_segment(&mut self, now: Duration, from: IpAddr, segment: &[u8]) {
        let number = |at: usize| u32::from_be_bytes(segment[at..at + 4].try_into().expect("four bytes"));
        let ports = (u16::from_be_bytes([segment[0], segment[1]]), u16::from_be_bytes([segment[2], segment[3]]));
        let (sequence, acknowledgement, flags) = (number(4), number(8), u16::from(segment[13]));
        let data = segment.len().saturating_sub(usize::from(segment[12] >> 4) * 4) as u32;
        if ports.1 == PORT {
            let next = sequence + data + u32::from(flags & (SYN | FIN) != 0);
            let flags = if flags & SYN != 0 { SYN | ACK } else { ACK };
            let answer =
                Transport::Tcp { ports: (PORT, ports.0), flags, sequence: 0, acknowledgement: next, bytes: Vec::new() };
            return self.send(now, from, answer);
        }
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.port == ports.1 && stream.to == from) else {
            return;
        };
        if acknowledgement > stream.acknowledged {
            (stream.acknowledged, stream.tries, stream.again) = (acknowledgement, 0, now);
        }
        // The first number is the opening's, the last the closing's.
        let done = stream.acknowledged > stream.bytes + 1;
        if done {
            self.ledger.streams.1 += 1;
            self.sent.insert(stream.number);
            while self.sent.len() > 1_000 {
                self.sent.pop_first();
            }
            let port = stream.port;
            self.streams.retain(|stream| stream.port != port);
        }
        self.push_streams(now);
    }

    fn push_streams(&mut self, now: Duration) {
        self.streams.retain(|stream| stream.tries < SEGMENTS_MAX || stream.again > now);
        let mut segments = Vec::new();
        for stream in self.streams.iter_mut().filter(|stream| stream.again <= now) {
            let sent = stream.acknowledged;
            let (flags, count) = match sent {
                0 => (SYN, 0),
                sent if sent > stream.bytes => (FIN | ACK, 0),
                sent => (ACK, (stream.bytes - (sent - 1)).min(Guest::room(stream.to, 20) as u32)),
            };
            let bytes = vec![0x74; count as usize];
            let segment = Transport::Tcp {
                ports: (stream.port, PORT),
                flags,
                sequence: sent,
                acknowledgement: u32::from(sent > 0),
                bytes,
            };
            segments.push((stream.to, segment));
            (stream.tries, stream.again) = (stream.tries + 1, now + RETRANSMIT);
        }
        segments.into_iter().for_each(|(to, segment)| self.send(now, to, segment));
    }
}

/// A neighbour advertisement of an address, with its Ethernet address.
pub(crate) fn advertisement(mac: Mac, address: Ipv6Addr, to: Ipv6Addr, destination: [u8; 6]) -> Vec<u8> {
    discovery(136, mac, address, to, destination, address)
}

/// A message of neighbour discovery, with the Ethernet address of its sender in the option that its type has.
pub(crate) fn discovery(
    kind: u8,
    mac: Mac,
    source: Ipv6Addr,
    to: Ipv6Addr,
    destination: [u8; 6],
    target: Ipv6Addr,
) -> Vec<u8> {
    let mut bytes = if kind == 136 { vec![0x60, 0, 0, 0] } else { vec![0; 4] };
    bytes.extend(target.octets());
    bytes.extend([if kind == 136 { 2 } else { 1 }, 1]);
    bytes.extend(mac.0);
    let mut frame = Frame::ip(source.into(), to.into(), Transport::Icmp { kind, code: 0, bytes });
    if let Payload::Ip { ttl, .. } = &mut frame.payload {
        // RFC 4861, section 7.1: anything else came from beyond a router.
        *ttl = 255;
    }
    (frame.destination, frame.source) = (destination, mac.0);
    frame.build()
}
