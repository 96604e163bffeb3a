//! The specification: what a port may send, and which ports a frame goes to.
//!
//! Sources: the northbound API's `allowed_address_pairs`, `port_isolation_enabled`, `mac_learning` and
//! `admin_status_enabled`; OVN's `port_security` (ovn-nb(5)) for what the addresses inside of ARP and neighbour discovery
//! must be. Not here: that a frame which may be delivered is (the network may lose it), and when a configuration holds
//! ([`super::history`]). Start at [`admits`] and [`reaches`].

use super::frame::{Arp, Frame, Payload, V6};
use super::{Mac, Pair, Port};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why a frame may not pass.
pub type Refusal = &'static str;

/// Whether a port may send a frame at all, wherever to.
///
/// # Errors
/// Why not.
pub fn admits(port: &Port, frame: &Frame) -> Result<(), Refusal> {
    if !port.enabled {
        return Err("the port is disabled");
    }
    if frame.tagged {
        return Err("it is tagged");
    }
    if frame.source.is_group() {
        return Err("its source is a group address");
    }
    match port.pairs.is_empty() {
        true => Ok(()),
        false => secure(&port.pairs, frame),
    }
}

/// Port security: the frame uses the port's own addresses, inside and out.
fn secure(pairs: &[Pair], frame: &Frame) -> Result<(), Refusal> {
    let own: Vec<&Pair> = pairs.iter().filter(|pair| pair.mac == frame.source).collect();
    if own.is_empty() {
        return Err("its source is not an address of the port");
    }
    match &frame.payload {
        Payload::Arp(arp) => secure_arp(&own, frame.source, arp),
        Payload::V4(source) => allow(&own, IpAddr::V4(*source), "its IPv4 source is not an address of the port"),
        Payload::V6(v6) => secure_v6(&own, frame.source, v6),
        // An address that cannot be read cannot be allowed, unless all are.
        Payload::Broken(_) if own.iter().all(|pair| pair.net.is_some()) => Err("it cannot be read"),
        Payload::Broken(_) | Payload::Other(_) => Ok(()),
    }
}

fn allow(own: &[&Pair], source: IpAddr, otherwise: Refusal) -> Result<(), Refusal> {
    own.iter().any(|pair| pair.covers(source)).then_some(()).ok_or(otherwise)
}

fn secure_arp(own: &[&Pair], source: Mac, arp: &Arp) -> Result<(), Refusal> {
    if arp.sha != source {
        return Err("its ARP sender is another Ethernet address");
    }
    let speaks_v4 = own.iter().any(|pair| pair.net.is_none_or(|(net, _)| net.is_ipv4()));
    // A probe (RFC 5227) claims nothing.
    let probe = arp.operation == 1 && arp.spa == Ipv4Addr::UNSPECIFIED && speaks_v4;
    match probe {
        true => Ok(()),
        false => allow(own, IpAddr::V4(arp.spa), "its ARP sender is not an address of the port"),
    }
}

fn secure_v6(own: &[&Pair], source: Mac, v6: &V6) -> Result<(), Refusal> {
    const REDIRECT: u8 = 137;
    const ROUTER_ADVERTISEMENT: u8 = 134;
    const LISTENER_REPORTS: [u8; 2] = [131, 143];
    let named_v6 = own.iter().any(|pair| pair.net.is_some_and(|(net, _)| net.is_ipv6()));
    let link_local = named_v6 && v6.source == eui64(source);
    let silent = [Some(V6::SOLICITATION), Some(LISTENER_REPORTS[0]), Some(LISTENER_REPORTS[1])].contains(&v6.icmp);
    let unspecified = named_v6 && v6.source == Ipv6Addr::UNSPECIFIED && silent;
    if !link_local && !unspecified {
        allow(own, IpAddr::V6(v6.source), "its IPv6 source is not an address of the port")?;
    }
    match (v6.icmp, &v6.discovery) {
        (Some(ROUTER_ADVERTISEMENT | REDIRECT), _) => Err("it speaks as a router"),
        (Some(V6::SOLICITATION), Some((_, link_layer))) => own_option(source, *link_layer),
        (Some(V6::ADVERTISEMENT), Some((target, link_layer))) => {
            own_option(source, *link_layer)?;
            match named_v6 && *target == eui64(source) {
                true => Ok(()),
                false => allow(own, IpAddr::V6(*target), "it advertises an address that is not the port's"),
            }
        }
        _ => Ok(()),
    }
}

fn own_option(source: Mac, option: Option<Mac>) -> Result<(), Refusal> {
    match option {
        Some(mac) if mac != source && mac != Mac([0; 6]) => Err("its link-layer option is another Ethernet address"),
        _ => Ok(()),
    }
}

/// The link-local address that a host derives from its Ethernet address (RFC 4291, appendix A).
pub fn eui64(mac: Mac) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

/// Whether a frame that a port may send may reach another port of the same switch. `mac_of_guest` is the Ethernet address
/// of the guest behind the receiver, by which it is known if the port names none.
///
/// # Errors
/// Why not.
pub fn reaches(isolated: bool, receiver: &Port, mac_of_guest: Option<Mac>, frame: &Frame) -> Result<(), Refusal> {
    if !receiver.enabled {
        return Err("the receiving port is disabled");
    }
    if isolated {
        return Err("the switch isolates its ports");
    }
    let known = match receiver.pairs.is_empty() {
        true => mac_of_guest == Some(frame.destination),
        false => receiver.pairs.iter().any(|pair| pair.mac == frame.destination),
    };
    let everybody = frame.destination.is_group();
    match everybody || known || receiver.learning {
        true => Ok(()),
        false => Err("it is for another port"),
    }
}

/// Whether `delivered` is `sent`, a solicitation to a group, made one to `owner` alone, a port of the same switch that has
/// the address solicited: whoever is known to have it need not be asked for in public.
pub fn redirects(sent: &[u8], delivered: &[u8], owner: &Port) -> bool {
    let same_but_destination = sent.len() == delivered.len() && sent.get(6..) == delivered.get(6..);
    let (Some(before), Some(after)) = (Frame::read(sent), Frame::read(delivered)) else { return false };
    let target = before.solicits().filter(|_| before.destination.is_group());
    let has =
        |target: IpAddr| owner.pairs.iter().any(|pair| pair.mac == after.destination && pair.host() == Some(target));
    same_but_destination && owner.enabled && target.is_some_and(has)
}

/// Whether a frame is the network's answer to the ARP request of `asked`, if `owner` is a port of the same switch.
pub fn answers_arp(asked: &Frame, answer: &Frame, owner: &Port) -> bool {
    let (Some(question), Some(reply)) = (asked.arp(), answer.arp()) else { return false };
    let owns = owner.pairs.iter().any(|pair| pair.mac == reply.sha && pair.host() == Some(IpAddr::V4(reply.spa)));
    let request = question.operation == 1 && asked.destination == Mac::BROADCAST;
    let addressed = answer.destination == asked.source && answer.source == reply.sha;
    let turned = reply.operation == 2 && reply.spa == question.tpa && reply.tha == question.sha;
    request && addressed && turned && reply.tpa == question.spa && owns && owner.enabled
}

#[cfg(test)]
mod tests {
    use super::super::SwitchId;
    use super::*;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

    fn port(pairs: Vec<Pair>) -> Port {
        Port { switch: SwitchId(0), enabled: true, pairs, learning: false, vif: None }
    }

    fn pair(address: &str) -> Pair {
        let address: IpAddr = address.parse().expect("an address");
        let length = if address.is_ipv4() { 32 } else { 128 };
        Pair { mac: MAC, net: Some((address, length)) }
    }

    fn from(source: Mac, payload: Payload) -> Frame {
        Frame { destination: Mac::BROADCAST, source, tagged: false, payload }
    }

    #[test]
    fn a_port_uses_its_own_addresses_only() {
        let secured = port(vec![pair("10.0.0.1")]);
        let own = Ipv4Addr::new(10, 0, 0, 1);
        let other = Ipv4Addr::new(10, 0, 0, 2);
        assert_eq!(admits(&secured, &from(MAC, Payload::V4(own))), Ok(()));
        assert!(admits(&secured, &from(MAC, Payload::V4(other))).is_err());
        assert!(admits(&secured, &from(Mac([2; 6]), Payload::V4(own))).is_err());
        let v6 = V6 { source: Ipv6Addr::LOCALHOST, icmp: None, discovery: None };
        assert!(admits(&secured, &from(MAC, Payload::V6(v6))).is_err(), "a family that is not named is shut");
        let arp = |spa| Arp { operation: 1, sha: MAC, spa, tha: Mac([0; 6]), tpa: other };
        assert_eq!(admits(&secured, &from(MAC, Payload::Arp(arp(own)))), Ok(()));
        assert_eq!(admits(&secured, &from(MAC, Payload::Arp(arp(Ipv4Addr::UNSPECIFIED)))), Ok(()), "a probe");
        assert!(admits(&secured, &from(MAC, Payload::Arp(arp(other)))).is_err());
        assert_eq!(admits(&port(Vec::new()), &from(Mac([4; 6]), Payload::V4(other))), Ok(()), "no pairs, no rules");
    }

    #[test]
    fn discovery_claims_only_what_the_port_has() {
        let secured = port(vec![pair("2001:db8::1")]);
        let advert = |target: &str, option| {
            let discovery = Some((target.parse().expect("an address"), option));
            from(MAC, Payload::V6(V6 { source: eui64(MAC), icmp: Some(V6::ADVERTISEMENT), discovery }))
        };
        assert_eq!(admits(&secured, &advert("2001:db8::1", Some(MAC))), Ok(()));
        assert_eq!(admits(&secured, &advert("2001:db8::1", None)), Ok(()));
        assert!(admits(&secured, &advert("2001:db8::2", Some(MAC))).is_err());
        assert!(admits(&secured, &advert("2001:db8::1", Some(Mac([2; 6])))).is_err());
    }

    #[test]
    fn frames_go_to_their_destination() {
        let mut frame = from(MAC, Payload::Other(0x88b5));
        let receiver = port(vec![Pair { mac: Mac([2; 6]), net: None }]);
        assert_eq!(reaches(false, &receiver, None, &frame), Ok(()));
        assert!(reaches(true, &receiver, None, &frame).is_err());
        frame.destination = Mac([4; 6]);
        assert!(reaches(false, &receiver, Some(Mac([4; 6])), &frame).is_err(), "pairs come before what the guest has");
        assert_eq!(reaches(false, &port(Vec::new()), Some(Mac([4; 6])), &frame), Ok(()));
        assert_eq!(reaches(false, &Port { learning: true, ..receiver }, None, &frame), Ok(()));
    }
}
