//! The physical network of a site: two segments (VLANs), hosts on them, learning switches that carry both, and routers
//! between them.
//!
//! ```text
//!     router 1   router 2          virtual router: the first address of each segment
//!           \     /
//!            spine
//!           /     \                trunks of both segments
//!      leaf 1 ---- leaf 2          a trunk that the spanning tree keeps from forwarding
//!       |  \        /  |
//!     hosts, each on a port of both leaves, of which one is in use
//! ```
//!
//! What is learned from packets is what real switches, hosts and routers learn: addresses of neighbours, and behind
//! which port an address was seen. So packets are lost, flooded, doubled or stolen here for the reasons they are in
//! real networks. A packet's way is walked when it is sent, in no time; how long it takes, and what befalls it by
//! chance, is the path's [weather](super::weather). Segments are IPv4.
//!
//! | module | |
//! | --- | --- |
//! | [`bridge`] | a learning switch |
//! | [`router`] | routers, two of which share an address |
//! | [`host`] | a host's network card and IP layer |
//! | [`neighbours`] | address resolution of both |
//! | [`frame`] | what is on the cables |
//!
//! Start at [`Site::carry`].

pub mod bridge;
pub mod frame;
pub mod host;
pub mod neighbours;
pub mod router;

use super::Counts;
use crate::logical::Mac;
use bridge::{Bridge, Membership, PortNo};
use frame::{Frame, Payload, Vlan};
use host::Host;
use router::{Pair, Router};
use selvedge_net::runtime::Moment;
use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

/// A frame that has passed so many bridges has gone in circles: the longest way has three.
pub const HOPS_MAX: u8 = 8;
/// A stranger speaks so often.
const SPEAKS: Duration = Duration::from_secs(1);

const SPINE: usize = 2;
const BRIDGES: usize = 3;
/// Of a leaf, to the spine.
const UPLINK: PortNo = PortNo(1);
/// Of a leaf, to the other leaf.
const CROSS: PortNo = PortNo(2);
/// Of a leaf, where a stranger is plugged in.
const GUEST: PortNo = PortNo(3);
/// Of a leaf, that of the first host.
const FIRST: u16 = 10;

/// One of the two switches that hosts are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leaf {
    /// The first.
    One,
    /// The second.
    Two,
}

impl Leaf {
    fn index(self) -> usize {
        match self {
            Leaf::One => 0,
            Leaf::Two => 1,
        }
    }

    fn other(self) -> Leaf {
        match self {
            Leaf::One => Leaf::Two,
            Leaf::Two => Leaf::One,
        }
    }
}

/// What happened to packets and on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Event {
    /// A frame for one host went out of all ports.
    Flooded,
    /// A frame went in circles until it was dropped here.
    Circled,
    /// Nobody answered for the address of a neighbour.
    Unresolved,
    /// No router had a route, or the packet's time was up.
    Unroutable,
    /// A stranger took a packet that was not for it.
    Stolen,
    /// The other router took over.
    TookOver,
}

/// What is at the other end of a cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Bridge(usize, PortNo),
    Host(Ipv4Addr),
    Router(usize),
    Stranger,
}

#[derive(Debug)]
struct Attached {
    host: Host,
    up: bool,
    leaf: Leaf,
    port: PortNo,
}

/// Somebody with an address of another.
#[derive(Debug)]
struct Stranger {
    host: Host,
    leaf: Leaf,
    spoke: Option<Moment>,
}

/// The network of a site.
#[derive(Debug)]
pub struct Site {
    segments: BTreeMap<Vlan, Ipv4Addr>,
    bridges: [Bridge; BRIDGES],
    cables: BTreeMap<(usize, PortNo), End>,
    routers: [Router; 2],
    pair: Pair,
    hosts: BTreeMap<Ipv4Addr, Attached>,
    stranger: Option<Stranger>,
    counts: Counts<Event>,
}

/// The prefix of 24 bits that an address is in.
fn prefix_of(address: Ipv4Addr) -> [u8; 3] {
    let [a, b, c, _] = address.octets();
    [a, b, c]
}

impl Site {
    /// One without hosts, with a segment for each of these addresses: its prefix has 24 bits.
    pub fn new(segments: &[Ipv4Addr]) -> Site {
        let segments: BTreeMap<Vlan, Ipv4Addr> = (101..).map(Vlan).zip(segments.iter().copied()).collect();
        let trunk = || Membership::Trunk(segments.keys().copied().collect());
        let mut bridges = [Bridge::default(), Bridge::default(), Bridge::default()];
        let mut cables = BTreeMap::new();
        let mut cable = |one: (usize, PortNo), other: (usize, PortNo)| {
            for (from, to) in [(one, other), (other, one)] {
                bridges[from.0].add_port(from.1, trunk());
                cables.insert(from, End::Bridge(to.0, to.1));
            }
        };
        cable((0, UPLINK), (SPINE, PortNo(1)));
        cable((1, UPLINK), (SPINE, PortNo(2)));
        cable((0, CROSS), (1, CROSS));
        for router in 0..2 {
            let port = PortNo(3 + router as u16);
            bridges[SPINE].add_port(port, trunk());
            cables.insert((SPINE, port), End::Router(router));
        }
        let routers = [Router::new(&segments), Router::new(&segments)];
        let (pair, hosts, counts) = (Pair::UP, BTreeMap::new(), Counts::default());
        let mut site = Site { segments, bridges, cables, routers, pair, hosts, stranger: None, counts };
        site.set_loop(false);
        site
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts<Event> {
        let mut counts = self.counts.clone();
        counts.add_many(Event::Flooded, self.bridges.iter().map(|bridge| bridge.flooded).sum());
        counts.add_many(Event::Unroutable, self.routers.iter().map(|router| router.dropped).sum());
        counts
    }

    /// The segment that an address is of.
    fn segment_of(&self, address: Ipv4Addr) -> Option<Vlan> {
        self.segments.iter().find(|(_, of)| prefix_of(**of) == prefix_of(address)).map(|(vlan, _)| *vlan)
    }

    /// Whether a host could be here: its address is of a segment.
    pub fn has_segment_of(&self, address: Ipv4Addr) -> bool {
        self.segment_of(address).is_some()
    }

    /// Adds a host, or takes one up or down. Hosts are spread over both leaves; one that comes up knows nobody. Nothing
    /// happens if the address is of no segment.
    pub fn set_host(&mut self, address: Ipv4Addr, up: bool) {
        let Some(vlan) = self.segment_of(address) else { return };
        if !self.hosts.contains_key(&address) {
            let count = self.hosts.len() as u16;
            let [_, _, _, last] = address.octets();
            let mac = Mac([0x52, 0x54, 0, 0, vlan.0 as u8, last]);
            let leaf = if (count / 2).is_multiple_of(2) { Leaf::One } else { Leaf::Two };
            let port = PortNo(FIRST + count);
            for leaf in [Leaf::One, Leaf::Two] {
                self.bridges[leaf.index()].add_port(port, Membership::Access(vlan));
                self.bridges[leaf.index()].set_up(port, false);
                self.cables.insert((leaf.index(), port), End::Host(address));
            }
            self.hosts.insert(address, Attached { host: Host::new((address, mac)), up: false, leaf, port });
        }
        let Some(attached) = self.hosts.get_mut(&address) else { return };
        if up && !attached.up {
            attached.host.reboot();
        }
        attached.up = up;
        self.bridges[attached.leaf.index()].set_up(attached.port, up);
    }

    /// A host's link fails over to its port on the other leaf, and it says nothing of that: who has not heard from it
    /// since sends to where it was.
    pub fn move_host(&mut self, address: Ipv4Addr) {
        let Some(attached) = self.hosts.get_mut(&address) else { return };
        self.bridges[attached.leaf.index()].set_up(attached.port, false);
        attached.leaf = attached.leaf.other();
        self.bridges[attached.leaf.index()].set_up(attached.port, attached.up);
    }

    /// How many addresses each switch remembers, and how long; none: as they come.
    pub fn set_tables(&mut self, limits: Option<(usize, Duration)>) {
        let (capacity, age) = limits.unwrap_or((bridge::CAPACITY, bridge::AGE));
        for bridge in &mut self.bridges {
            (bridge.capacity, bridge.age) = (capacity, age);
            if limits.is_some() {
                bridge.flush();
            }
        }
    }

    /// The trunk between the leaves forwards, and closes a circle; or it is blocked again, and all switches forget what
    /// they learned, as after each topology change.
    pub fn set_loop(&mut self, there: bool) {
        self.bridges[Leaf::Two.index()].port(CROSS).into_iter().for_each(|port| port.blocked = !there);
        self.bridges.iter_mut().for_each(Bridge::flush);
    }

    /// A segment is missing on the spine's trunk to a leaf, or is there again.
    pub fn set_vlan(&mut self, leaf: Leaf, segment: Ipv4Addr, there: bool) {
        let Some(vlan) = self.segment_of(segment) else { return };
        let port = self.bridges[SPINE].port(PortNo(1 + leaf.index() as u16));
        if let Some(Membership::Trunk(vlans)) = port.map(|port| &mut port.membership) {
            if there {
                vlans.insert(vlan)
            } else {
                vlans.remove(&vlan)
            };
        }
    }

    /// A router fails or comes back: 0 is the one that is active if it is up.
    pub fn set_router(&mut self, now: Moment, router: usize, up: bool) {
        self.pair.set_up(now, router, up);
    }

    /// Somebody on a host's segment, on the leaf where that is not, has its IP address or its Ethernet address, and says
    /// so every second; none: nobody any more.
    pub fn set_stranger(&mut self, twin: Option<(Ipv4Addr, Twin)>) {
        for leaf in [Leaf::One, Leaf::Two] {
            self.bridges[leaf.index()].set_up(GUEST, false);
        }
        self.stranger = None;
        let Some((address, twin)) = twin else { return };
        let (Some(attached), Some(vlan)) = (self.hosts.get(&address), self.segment_of(address)) else { return };
        let [a, b, c, _] = address.octets();
        let own = match twin {
            Twin::Ip => (address, Mac([0x52, 0x54, 0, 0xee, vlan.0 as u8, 250])),
            Twin::Mac => (Ipv4Addr::new(a, b, c, 250), attached.host.own.1),
        };
        let leaf = attached.leaf.other();
        self.bridges[leaf.index()].add_port(GUEST, Membership::Access(vlan));
        self.cables.insert((leaf.index(), GUEST), End::Stranger);
        self.stranger = Some(Stranger { host: Host::new(own), leaf, spoke: None });
    }

    /// Everything that is wrong is put right, and what was learned from it is forgotten.
    pub fn heal(&mut self, now: Moment) {
        self.set_tables(None);
        self.set_loop(false);
        self.set_stranger(None);
        for router in 0..2 {
            self.set_router(now, router, true);
        }
        let segments: Vec<Ipv4Addr> = self.segments.values().copied().collect();
        for segment in segments {
            self.set_vlan(Leaf::One, segment, true);
            self.set_vlan(Leaf::Two, segment, true);
        }
        self.hosts.values_mut().for_each(|attached| attached.host.reboot());
        self.routers.iter_mut().for_each(Router::reboot);
    }

    /// Carries an IPv4 packet from a host to the host that it is for: each copy that arrives, with what routers wrote into
    /// it.
    pub fn carry(&mut self, now: Moment, from: Ipv4Addr, packet: Vec<u8>) -> Vec<Vec<u8>> {
        self.speak(now);
        let Some(attached) = self.hosts.get_mut(&from).filter(|attached| attached.up) else { return Vec::new() };
        let end = End::Bridge(attached.leaf.index(), attached.port);
        let sent = attached.host.send(now, packet).into_iter().map(|frame| (end, frame)).collect();
        let arrived = self.walk(now, sent);
        let waiting = self.hosts.get_mut(&from).map_or(0, |attached| attached.host.give_up());
        let waiting = waiting + self.routers.iter_mut().map(Router::give_up).sum::<usize>();
        self.counts.add_many(Event::Unresolved, waiting as u64);
        arrived
    }

    /// Those speak that speak unasked: a router that became active, and a stranger.
    fn speak(&mut self, now: Moment) {
        if let (Some(router), true) = self.pair.active(now) {
            self.counts.add(Event::TookOver);
            let end = End::Bridge(SPINE, PortNo(3 + router as u16));
            let said = self.routers[router].announce().into_iter().map(|frame| (end, frame)).collect();
            self.walk(now, said);
        }
        if let Some(stranger) = &mut self.stranger
            && stranger.spoke.is_none_or(|at| now.saturating_sub(at) >= SPEAKS)
        {
            stranger.spoke = Some(now);
            let end = End::Bridge(stranger.leaf.index(), GUEST);
            let said = VecDeque::from([(end, Frame::announcement(stranger.host.own))]);
            self.walk(now, said);
        }
    }

    /// Lets frames go from cable to cable until none is left; returns what hosts took.
    fn walk(&mut self, now: Moment, mut frames: VecDeque<(End, Frame)>) -> Vec<Vec<u8>> {
        let mut arrived = Vec::new();
        while let Some((end, frame)) = frames.pop_front() {
            match end {
                End::Bridge(bridge, port) => {
                    if frame.hops >= HOPS_MAX {
                        self.counts.add(Event::Circled);
                        continue;
                    }
                    let out = self.bridges[bridge].receive(now, port, frame);
                    let next = |(port, frame)| self.cables.get(&(bridge, port)).map(|end| (*end, frame));
                    frames.extend(out.into_iter().filter_map(next));
                }
                End::Host(address) => {
                    let Some(attached) = self.hosts.get_mut(&address) else { continue };
                    let heard = attached.host.receive(now, frame);
                    let end = End::Bridge(attached.leaf.index(), attached.port);
                    frames.extend(heard.frames.into_iter().map(|frame| (end, frame)));
                    arrived.extend(heard.packet);
                }
                End::Router(router) => {
                    if self.pair.active(now).0 == Some(router) {
                        let end = End::Bridge(SPINE, PortNo(3 + router as u16));
                        let out = self.routers[router].receive(now, frame);
                        frames.extend(out.into_iter().map(|frame| (end, frame)));
                    }
                }
                End::Stranger => {
                    let Some(stranger) = &mut self.stranger else { continue };
                    let is_packet = matches!(frame.payload, Payload::Ip(_)) && frame.destination == stranger.host.own.1;
                    if is_packet {
                        self.counts.add(Event::Stolen);
                    }
                    let heard = stranger.host.receive(now, frame);
                    let end = End::Bridge(stranger.leaf.index(), GUEST);
                    frames.extend(heard.frames.into_iter().map(|frame| (end, frame)));
                }
            }
        }
        arrived
    }
}

/// Which address a stranger has of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Twin {
    /// The IP address.
    Ip,
    /// The Ethernet address.
    Mac,
}

#[cfg(test)]
mod tests;
