//! A learning switch with VLANs (IEEE 802.1Q, clause 8): it floods what it does not know, and believes every source
//! address that it sees.
//!
//! Start at [`Bridge::receive`].

use super::frame::{Frame, Vlan};
use crate::logical::Mac;
use selvedge_net::runtime::Moment;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Number of a port of a bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortNo(pub u16);

/// Which frames a port takes and gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Membership {
    /// Untagged ones, all of one VLAN.
    Access(Vlan),
    /// Tagged ones of these VLANs.
    Trunk(BTreeSet<Vlan>),
}

/// A port.
#[derive(Clone, Debug)]
pub struct Port {
    /// Which frames it takes and gives.
    pub membership: Membership,
    /// Whether the cable has a signal.
    pub up: bool,
    /// Whether the spanning tree keeps it from forwarding.
    pub blocked: bool,
}

/// Where an address was seen last.
#[derive(Clone, Copy, Debug)]
struct Seen {
    port: PortNo,
    at: Moment,
}

/// A switch.
#[derive(Debug)]
pub struct Bridge {
    ports: BTreeMap<PortNo, Port>,
    table: BTreeMap<(Vlan, Mac), Seen>,
    /// How long an address is remembered that is not seen again.
    pub age: Duration,
    /// How many addresses are remembered: once there are so many, none is learned until one is forgotten.
    pub capacity: usize,
    /// Frames for one host that were flooded.
    pub flooded: u64,
}

/// How long addresses are remembered where nobody says otherwise (802.1Q, table 8-6).
pub const AGE: Duration = Duration::from_secs(300);
/// As many addresses as a small switch remembers.
pub const CAPACITY: usize = 8_192;

impl Default for Bridge {
    /// One without ports.
    fn default() -> Bridge {
        Bridge { ports: BTreeMap::new(), table: BTreeMap::new(), age: AGE, capacity: CAPACITY, flooded: 0 }
    }
}

impl Bridge {
    /// Adds a port that is up and forwards.
    pub fn add_port(&mut self, number: PortNo, membership: Membership) {
        self.ports.insert(number, Port { membership, up: true, blocked: false });
    }

    /// A port, to change it.
    pub fn port(&mut self, number: PortNo) -> Option<&mut Port> {
        self.ports.get_mut(&number)
    }

    /// The signal comes or goes: a port that goes down takes what was learned on it along.
    pub fn set_up(&mut self, number: PortNo, up: bool) {
        self.ports.get_mut(&number).into_iter().for_each(|port| port.up = up);
        if !up {
            self.table.retain(|_, seen| seen.port != number);
        }
    }

    /// Forgets all addresses, as after a topology change.
    pub fn flush(&mut self) {
        self.table.clear();
    }

    /// Takes a frame that comes in by a port: what goes out, and where.
    pub fn receive(&mut self, now: Moment, from: PortNo, mut frame: Frame) -> Vec<(PortNo, Frame)> {
        let Some(vlan) = self.ports.get(&from).and_then(|port| port.takes(frame.tag)) else { return Vec::new() };
        frame.hops += 1;
        self.learn(now, vlan, frame.source, from);
        let known = self.table.get(&(vlan, frame.destination)).filter(|seen| now.saturating_sub(seen.at) < self.age);
        match known.map(|seen| seen.port) {
            Some(to) if to == from => Vec::new(),
            Some(to) => self.out(vlan, to, &frame).into_iter().collect(),
            None => {
                if !frame.destination.is_group() {
                    self.flooded += 1;
                }
                let others = self.ports.keys().filter(|to| **to != from);
                others.filter_map(|to| self.out(vlan, *to, &frame)).collect()
            }
        }
    }

    fn learn(&mut self, now: Moment, vlan: Vlan, source: Mac, port: PortNo) {
        if source.is_group() {
            return;
        }
        if !self.table.contains_key(&(vlan, source)) && self.table.len() >= self.capacity {
            self.table.retain(|_, seen| now.saturating_sub(seen.at) < self.age);
            if self.table.len() >= self.capacity {
                return;
            }
        }
        self.table.insert((vlan, source), Seen { port, at: now });
    }

    fn out(&self, vlan: Vlan, to: PortNo, frame: &Frame) -> Option<(PortNo, Frame)> {
        let port = self.ports.get(&to).filter(|port| port.up && !port.blocked)?;
        let tag = match &port.membership {
            Membership::Access(own) if *own == vlan => None,
            Membership::Trunk(vlans) if vlans.contains(&vlan) => Some(vlan),
            Membership::Access(_) | Membership::Trunk(_) => return None,
        };
        Some((to, Frame { tag, ..frame.clone() }))
    }
}

impl Port {
    /// The VLAN of a frame that comes in; none if it is dropped.
    fn takes(&self, tag: Option<Vlan>) -> Option<Vlan> {
        if !self.up || self.blocked {
            return None;
        }
        match (&self.membership, tag) {
            (Membership::Access(vlan), None) => Some(*vlan),
            (Membership::Trunk(vlans), Some(vlan)) if vlans.contains(&vlan) => Some(vlan),
            (Membership::Access(_) | Membership::Trunk(_), _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::Payload;
    use super::*;
    use std::sync::Arc;

    const ONE: Vlan = Vlan(1);
    const TWO: Vlan = Vlan(2);

    fn mac(n: u8) -> Mac {
        Mac([2, 0, 0, 0, 0, n])
    }

    fn frame(from: u8, to: u8) -> Frame {
        Frame::new(mac(from), mac(to), Payload::Ip(Arc::new(vec![from, to])))
    }

    /// Ports 1 and 2 in the first VLAN, 3 in the second, 4 a trunk of both.
    fn bridge() -> Bridge {
        let mut bridge = Bridge::default();
        bridge.add_port(PortNo(1), Membership::Access(ONE));
        bridge.add_port(PortNo(2), Membership::Access(ONE));
        bridge.add_port(PortNo(3), Membership::Access(TWO));
        bridge.add_port(PortNo(4), Membership::Trunk(BTreeSet::from([ONE, TWO])));
        bridge
    }

    fn seconds(n: u64) -> Moment {
        Duration::from_secs(n)
    }

    /// Out of which ports a frame goes, and with which tag.
    fn out(bridge: &mut Bridge, at: u64, from: u16, frame: Frame) -> Vec<(u16, Option<u16>)> {
        let out = bridge.receive(seconds(at), PortNo(from), frame);
        out.into_iter().map(|(port, frame)| (port.0, frame.tag.map(|vlan| vlan.0))).collect()
    }

    #[test]
    fn it_floods_within_the_vlan_until_it_has_learned() {
        let mut bridge = bridge();
        assert_eq!(out(&mut bridge, 0, 1, frame(1, 2)), [(2, None), (4, Some(1))]);
        assert_eq!(out(&mut bridge, 1, 2, frame(2, 1)), [(1, None)]);
        assert_eq!(out(&mut bridge, 2, 1, frame(1, 2)), [(2, None)]);
        assert_eq!(out(&mut bridge, 2, 3, frame(3, 1)), [(4, Some(2))], "what one VLAN learned is not of the other");
        assert_eq!(out(&mut bridge, 2, 2, frame(1, 2)), [], "not out of where it came in");
        assert_eq!(bridge.flooded, 2);
    }

    #[test]
    fn it_forgets_what_is_old_and_what_a_port_that_went_down_taught() {
        let mut bridge = bridge();
        out(&mut bridge, 0, 2, frame(2, 1));
        assert_eq!(out(&mut bridge, 299, 1, frame(1, 2)), [(2, None)]);
        assert_eq!(out(&mut bridge, 300, 1, frame(1, 2)), [(2, None), (4, Some(1))]);
        out(&mut bridge, 301, 2, frame(2, 1));
        bridge.set_up(PortNo(2), false);
        assert_eq!(out(&mut bridge, 302, 1, frame(1, 2)), [(4, Some(1))]);
        assert_eq!(out(&mut bridge, 302, 2, frame(2, 1)), [], "no signal");
    }

    #[test]
    fn an_address_that_moves_is_believed_and_a_full_table_learns_none() {
        let mut bridge = bridge();
        out(&mut bridge, 0, 2, frame(2, 1));
        out(&mut bridge, 1, 4, Frame { tag: Some(ONE), ..frame(2, 1) });
        assert_eq!(out(&mut bridge, 2, 1, frame(1, 2)), [(4, Some(1))]);
        bridge.capacity = 2;
        out(&mut bridge, 3, 2, frame(9, 1));
        assert_eq!(out(&mut bridge, 4, 1, frame(1, 9)), [(2, None), (4, Some(1))]);
    }

    #[test]
    fn tags_that_a_port_does_not_carry_are_dropped() {
        let mut bridge = bridge();
        assert_eq!(out(&mut bridge, 0, 1, Frame { tag: Some(ONE), ..frame(1, 2) }), []);
        assert_eq!(out(&mut bridge, 0, 4, frame(1, 2)), [], "untagged on a trunk");
        if let Some(Port { membership: Membership::Trunk(vlans), .. }) = bridge.port(PortNo(4)) {
            vlans.remove(&ONE);
        }
        assert_eq!(out(&mut bridge, 0, 4, Frame { tag: Some(ONE), ..frame(1, 2) }), []);
        assert_eq!(out(&mut bridge, 0, 1, frame(1, 2)), [(2, None)]);
        bridge.port(PortNo(2)).expect("it is there").blocked = true;
        assert_eq!(out(&mut bridge, 0, 1, frame(1, 2)), []);
    }
}
