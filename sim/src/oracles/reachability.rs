//! Reachability (L3): who may talk can, once everything has healed and converged.
//!
//! Source: the specification of ports and switches, as in [`crate::logical::rules`]. Every pair of guests that intent lets
//! talk pings each other. Pairs whose addresses somebody else on the switch claims too are left out, since then it is
//! open who is meant; so are guests that are plugged in at two places at once. Start at [`may_talk`].

use crate::logical::frame::{Arp, Frame, Payload, V6};
use crate::logical::{Mac, Port, VifId, rules};
use crate::plan::Vif;
use std::net::{IpAddr, Ipv4Addr};

/// A guest behind an enabled port, where it can be reached.
#[derive(Clone, Copy, Debug)]
pub struct Resident<'a> {
    /// Its interface.
    pub id: VifId,
    /// Its addresses.
    pub vif: &'a Vif,
    /// Its port.
    pub port: &'a Port,
    /// Whether it is at one place only.
    pub settled: bool,
}

impl Resident<'_> {
    /// The Ethernet addresses that frames are brought here for.
    fn macs(&self) -> Vec<Mac> {
        match self.port.pairs.is_empty() {
            true => vec![self.vif.mac],
            false => self.port.pairs.iter().map(|pair| pair.mac).collect(),
        }
    }
}

/// Whether a guest's ping of another must be answered, on a switch with these residents.
pub fn may_talk(residents: &[Resident<'_>], isolated: bool, from: &Resident<'_>, to: &Resident<'_>, v6: bool) -> bool {
    let same = from.port.switch == to.port.switch && from.id != to.id && !isolated;
    let settled = from.settled && to.settled;
    same && settled
        && [from, to].iter().all(|who| is_itself(residents, who, v6))
        && speaks(from, v6)
        && speaks(to, v6)
        && brings(to)
        && brings(from)
}

/// Whether nobody else on its switch claims its addresses, as somebody else or in another way.
fn is_itself(residents: &[Resident<'_>], who: &Resident<'_>, v6: bool) -> bool {
    let address = address(who.vif, v6);
    let others = residents.iter().filter(|other| other.id != who.id && other.port.switch == who.port.switch);
    let mut rivals = others.filter(|other| {
        let same_mac = other.macs().contains(&who.vif.mac) || other.vif.mac == who.vif.mac;
        let same_address = other.port.pairs.iter().any(|pair| pair.host() == Some(address));
        same_mac || same_address || self::address(other.vif, v6) == address
    });
    let own_words = who.port.pairs.iter().filter(|pair| pair.host() == Some(address));
    rivals.next().is_none() && own_words.into_iter().all(|pair| pair.mac == who.vif.mac)
}

fn address(vif: &Vif, v6: bool) -> IpAddr {
    if v6 { IpAddr::V6(vif.v6) } else { IpAddr::V4(vif.v4) }
}

/// Whether its port admits all that a ping takes: the packet, and how its neighbours find it.
fn speaks(who: &Resident<'_>, v6: bool) -> bool {
    let Vif { mac, v4, v6: own } = who.vif;
    let frame = |payload| Frame { destination: Mac::BROADCAST, source: *mac, tagged: false, payload };
    let v6_of = |icmp, discovery| frame(Payload::V6(V6 { source: *own, icmp: Some(icmp), discovery }));
    let frames = match v6 {
        false => {
            let arp = Arp { operation: 1, sha: *mac, spa: *v4, tha: Mac([0; 6]), tpa: Ipv4Addr::UNSPECIFIED };
            vec![frame(Payload::V4(*v4)), frame(Payload::Arp(arp))]
        }
        true => vec![
            v6_of(128, None),
            v6_of(V6::SOLICITATION, Some((*own, Some(*mac)))),
            v6_of(V6::ADVERTISEMENT, Some((*own, Some(*mac)))),
        ],
    };
    frames.iter().all(|frame| rules::admits(who.port, frame).is_ok())
}

/// Whether frames to its Ethernet address are brought to it.
fn brings(to: &Resident<'_>) -> bool {
    to.macs().contains(&to.vif.mac) || to.port.learning
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logical::SwitchId;
    use std::net::Ipv6Addr;

    fn vif(host: u8) -> Vif {
        let v6 = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, u16::from(host));
        Vif { mac: Mac([2, 0, 0, 0, 0, host]), v4: Ipv4Addr::new(10, 0, 0, host), v6 }
    }

    fn port(switch: u16, vif: &Vif) -> Port {
        Port { switch: SwitchId(switch), enabled: true, pairs: vif.pairs(), learning: false, vif: None }
    }

    #[test]
    fn neighbours_talk_and_strangers_do_not() {
        let vifs = [vif(1), vif(2), vif(3)];
        let ports = [port(0, &vifs[0]), port(0, &vifs[1]), port(1, &vifs[2])];
        let resident = |n: usize| Resident { id: VifId(n as u16), vif: &vifs[n], port: &ports[n], settled: true };
        let all = [resident(0), resident(1), resident(2)];
        assert!(may_talk(&all, false, &all[0], &all[1], false));
        assert!(may_talk(&all, false, &all[0], &all[1], true));
        assert!(!may_talk(&all, true, &all[0], &all[1], false), "isolated");
        assert!(!may_talk(&all, false, &all[0], &all[2], false), "another switch");
    }

    #[test]
    fn who_is_shut_or_claimed_by_another_is_not_expected() {
        let vifs = [vif(1), vif(2), vif(3)];
        let mut ports = [port(0, &vifs[0]), port(0, &vifs[1]), port(0, &vifs[2])];
        ports[1].pairs.retain(|pair| pair.host().is_some_and(|host| host.is_ipv4()));
        ports[2].pairs.extend(vifs[0].pairs());
        let resident = |n: usize| Resident { id: VifId(n as u16), vif: &vifs[n], port: &ports[n], settled: true };
        let all = [resident(0), resident(1), resident(2)];
        assert!(!may_talk(&all[..2], false, &all[0], &all[1], true), "IPv6 is shut");
        assert!(may_talk(&all[..2], false, &all[0], &all[1], false));
        assert!(!may_talk(&all, false, &all[0], &all[1], false), "the third claims the address of the first");
    }
}
