//! Two routers between the segments of a site, of which one at a time has the addresses that hosts send to (VRRP,
//! RFC 9568).
//!
//! Not modelled: ICMP errors of theirs other than "too big", which paths answer (`weather`), and routes beyond the
//! segments. Start at [`Router::receive`]; which of two is active says [`Pair`].

use super::frame::{Frame, Payload, Vlan};
use super::host::router_of;
use super::neighbours::Neighbours;
use super::prefix_of;
use crate::fabric::wire::checksum::seal_ipv4;
use crate::logical::Mac;
use selvedge_net::runtime::Moment;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// The address of virtual router 1 (RFC 9568, section 7.3), the same on every segment.
pub const VIRTUAL: Mac = Mac([0, 0, 0x5e, 0, 1, 1]);
/// A backup takes over after three advertisements, one second apart, and the skew of a priority of 100 (section 6.1).
pub const TAKEOVER: Duration = Duration::from_millis(3_609);

/// A router.
#[derive(Debug)]
pub struct Router {
    /// By segment, with the address that it has there while it is active.
    interfaces: BTreeMap<Vlan, (Ipv4Addr, Neighbours)>,
    /// Packets that it could not forward: no route, or their time was up.
    pub dropped: u64,
}

impl Router {
    /// One on these segments, each given by an address on it.
    pub fn new(segments: &BTreeMap<Vlan, Ipv4Addr>) -> Router {
        let interface = |(vlan, address): (&Vlan, &Ipv4Addr)| (*vlan, (router_of(*address), Neighbours::default()));
        Router { interfaces: segments.iter().map(interface).collect(), dropped: 0 }
    }

    /// Takes a frame while it is active, and says what goes out.
    pub fn receive(&mut self, now: Moment, frame: Frame) -> Vec<Frame> {
        let Some(vlan) = frame.tag else { return Vec::new() };
        if frame.destination != VIRTUAL && frame.destination != Mac::BROADCAST {
            return Vec::new();
        }
        match frame.payload {
            Payload::Arp(arp) => {
                let Some((own, neighbours)) = self.interfaces.get_mut(&vlan) else { return Vec::new() };
                tagged(vlan, neighbours.hear(now, (*own, VIRTUAL), &arp))
            }
            Payload::Ip(packet) if frame.destination == VIRTUAL => self.forward(now, packet.to_vec()),
            Payload::Ip(_) => Vec::new(),
        }
    }

    fn forward(&mut self, now: Moment, mut packet: Vec<u8>) -> Vec<Frame> {
        let to = Ipv4Addr::new(packet[16], packet[17], packet[18], packet[19]);
        let route = self.interfaces.iter_mut().find(|(_, (own, _))| prefix_of(*own) == prefix_of(to));
        let Some((vlan, (own, neighbours))) = route.filter(|_| packet[8] > 1) else {
            self.dropped += 1;
            return Vec::new();
        };
        packet[8] -= 1;
        seal_ipv4(&mut packet);
        tagged(*vlan, neighbours.send(now, (*own, VIRTUAL), to, packet))
    }

    /// What it says when it becomes active, so that bridges and hosts know where it is.
    pub fn announce(&mut self) -> Vec<Frame> {
        let announcement = |(vlan, (own, neighbours)): (&Vlan, &mut (Ipv4Addr, Neighbours))| {
            neighbours.flush();
            Frame { tag: Some(*vlan), ..Frame::announcement((*own, VIRTUAL)) }
        };
        self.interfaces.iter_mut().map(announcement).collect()
    }

    /// It starts anew.
    pub fn reboot(&mut self) {
        self.interfaces.values_mut().for_each(|(_, neighbours)| neighbours.flush());
    }

    /// Packets that waited in vain for a neighbour's answer; they are dropped.
    pub fn give_up(&mut self) -> usize {
        self.interfaces.values_mut().map(|(_, neighbours)| neighbours.give_up()).sum()
    }
}

fn tagged(vlan: Vlan, frames: Vec<Frame>) -> Vec<Frame> {
    frames.into_iter().map(|frame| Frame { tag: Some(vlan), ..frame }).collect()
}

/// Which of two routers is active: the first if it is up, else the second after a while.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    up: [bool; 2],
    first_down_at: Moment,
    active: Option<usize>,
}

impl Pair {
    /// Both are up.
    pub const UP: Pair = Pair { up: [true; 2], first_down_at: Moment::ZERO, active: None };

    /// A router fails, or comes back.
    pub fn set_up(&mut self, now: Moment, router: usize, up: bool) {
        if router == 0 && self.up[0] && !up {
            self.first_down_at = now;
        }
        self.up[router] = up;
    }

    /// The active router; and whether it became so just now.
    pub fn active(&mut self, now: Moment) -> (Option<usize>, bool) {
        let active = match self.up {
            [true, _] => Some(0),
            [false, true] if now.saturating_sub(self.first_down_at) >= TAKEOVER => Some(1),
            [false, _] => None,
        };
        let news = active.is_some() && active != self.active;
        self.active = active;
        (active, news)
    }
}
