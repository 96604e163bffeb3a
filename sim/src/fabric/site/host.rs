//! The network card and the IP layer of a host: a tunnel endpoint, or a stranger with an address that is not its own.
//!
//! Start at [`Host::send`] and [`Host::receive`].

use super::frame::{Frame, Payload};
use super::neighbours::Neighbours;
use super::prefix_of;
use crate::fabric::wire::checksum::seal_ipv4;
use crate::logical::Mac;
use selvedge_net::runtime::Moment;
use std::net::Ipv4Addr;

/// A host with one address. Its prefix has 24 bits, and its router has the first address in it.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its addresses.
    pub own: (Ipv4Addr, Mac),
    neighbours: Neighbours,
    /// Identification of the packet that was sent last.
    identification: u16,
}

/// What a host makes of a frame.
#[derive(Debug, Default)]
pub struct Heard {
    /// What it says to that.
    pub frames: Vec<Frame>,
    /// A packet for it.
    pub packet: Option<Vec<u8>>,
}

impl Host {
    /// One that knows nobody.
    pub fn new(own: (Ipv4Addr, Mac)) -> Host {
        Host { own, neighbours: Neighbours::default(), identification: 0 }
    }

    /// Sends an IP packet, to the neighbour that it is for or to the router. It is numbered, as Linux numbers what
    /// tunnels send whether or not it may be fragmented (`ip_select_ident`).
    pub fn send(&mut self, now: Moment, mut packet: Vec<u8>) -> Vec<Frame> {
        self.identification = self.identification.wrapping_add(1);
        packet[4..6].copy_from_slice(&self.identification.to_be_bytes());
        seal_ipv4(&mut packet);
        let to = Ipv4Addr::new(packet[16], packet[17], packet[18], packet[19]);
        let next = if prefix_of(to) == prefix_of(self.own.0) { to } else { router_of(self.own.0) };
        self.neighbours.send(now, self.own, next, packet)
    }

    /// Takes a frame that its card sees.
    pub fn receive(&mut self, now: Moment, frame: Frame) -> Heard {
        if frame.destination != self.own.1 && frame.destination != Mac::BROADCAST {
            return Heard::default();
        }
        match frame.payload {
            Payload::Arp(arp) => Heard { frames: self.neighbours.hear(now, self.own, &arp), packet: None },
            Payload::Ip(packet) => {
                let is_ours = frame.destination == self.own.1 && packet[16..20] == self.own.0.octets();
                Heard { frames: Vec::new(), packet: is_ours.then(|| packet.to_vec()) }
            }
        }
    }

    /// Packets that waited in vain for a neighbour's answer; they are dropped.
    pub fn give_up(&mut self) -> usize {
        self.neighbours.give_up()
    }

    /// It starts anew.
    pub fn reboot(&mut self) {
        self.neighbours.flush();
    }
}

/// The first address of a prefix of 24 bits.
pub fn router_of(address: Ipv4Addr) -> Ipv4Addr {
    let [a, b, c, _] = address.octets();
    Ipv4Addr::new(a, b, c, 1)
}
