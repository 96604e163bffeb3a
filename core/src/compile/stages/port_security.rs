//! Stages *port_security* and *port_security_arp_nd*: a port uses only the addresses it is allowed.
//!
//! A port without address pairs may use any source. With pairs:
//!
//! - the Ethernet source must be that of a pair;
//! - if all pairs of that MAC name IP addresses, IPv4 and IPv6 sources must be among them, and a family without any is
//!   shut. A MAC with IPv6 addresses may also use its EUI-64 link-local address, and `::` for duplicate address
//!   detection (RFC 4862) and multicast listener reports (RFC 3590);
//! - ARP must carry that MAC and an allowed address as sender; a probe (RFC 5227), which claims nothing, may pass;
//! - neighbour discovery must carry that MAC in its options, and advertise only allowed targets. Router advertisements
//!   and redirects are for routers: dropped;
//! - other Ethertypes (RARP, for one, by which a migrated guest is announced) pass with an allowed MAC.
//!
//! A pair of `0.0.0.0` lets DHCP discovery leave; nothing does so by itself.

use super::super::facts::PortFact;
use super::super::fragment::Builder;
use super::{ICMPV6, ethertype, from_port, goto, icmpv6};
use crate::addr::Mac;
use crate::flow::{Actions, Field, Match};
use crate::ids::TunnelKey;
use crate::pipeline::Stage;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

const ALLOWED: u16 = 90;
const REFUSED: u16 = 80;
const OTHER_ETHERTYPES: u16 = 70;

/// What one MAC address of a port may be used with.
#[derive(Debug, Default)]
struct Allowance {
    /// Any IP address.
    any: bool,
    v4: Vec<Ipv4Net>,
    v6: Vec<Ipv6Net>,
}

fn allowances(port: &PortFact) -> BTreeMap<Mac, Allowance> {
    let mut allowances: BTreeMap<Mac, Allowance> = BTreeMap::new();
    for pair in &port.pairs {
        let allowance = allowances.entry(pair.mac_address).or_default();
        match pair.ip_address.as_ref().map(|prefix| prefix.net()) {
            None => allowance.any = true,
            Some(IpNet::V4(net)) => allowance.v4.push(net),
            Some(IpNet::V6(net)) => allowance.v6.push(net),
        }
    }
    for (mac, allowance) in &mut allowances {
        if !allowance.v6.is_empty() {
            allowance.v6.push(Ipv6Net::from(mac.link_local()));
        }
    }
    allowances
}

/// The flows of a port.
pub fn port(out: &mut Builder, datapath: TunnelKey, port: &PortFact) {
    let here = from_port(datapath, port.key);
    let allowances = allowances(port);
    if allowances.is_empty() {
        out.flow(Stage::PortSecurity, ALLOWED, here, [goto(Stage::ArpNd)]);
        return;
    }
    for (mac, allowance) in &allowances {
        sources(out, &here.mac(Field::EthSrc, *mac), allowance);
        arp(out, &here, *mac, allowance);
        neighbour_discovery(out, &here, *mac, allowance);
    }
    refuse_other_arp_nd(out, &here);
}

/// Ethernet and IP sources.
fn sources(out: &mut Builder, from_mac: &Match, allowance: &Allowance) {
    let on = [goto(Stage::PortSecurityArpNd)];
    let mut allow = |matching| out.flow(Stage::PortSecurity, ALLOWED, matching, on);
    if allowance.any {
        return allow(from_mac.clone());
    }
    let of_type = |kind: u16| from_mac.exact(Field::EthType, kind);
    for net in &allowance.v4 {
        allow(within_v4(&of_type(ethertype::IPV4), Field::Ipv4Src, *net));
    }
    if !allowance.v4.is_empty() {
        allow(of_type(ethertype::ARP));
    }
    for net in &allowance.v6 {
        allow(within_v6(&of_type(ethertype::IPV6), Field::Ipv6Src, *net));
    }
    if !allowance.v6.is_empty() {
        for kind in [icmpv6::NEIGHBOUR_SOLICITATION, icmpv6::MLD_REPORT, icmpv6::MLD2_REPORT] {
            let unspecified = of_type(ethertype::IPV6).ipv6(Field::Ipv6Src, Ipv6Addr::UNSPECIFIED);
            allow(unspecified.exact(Field::IpProto, ICMPV6).exact(Field::Icmpv6Type, kind));
        }
    }
    for kind in [ethertype::IPV4, ethertype::ARP, ethertype::IPV6] {
        out.flow(Stage::PortSecurity, REFUSED, of_type(kind), Actions::drop());
    }
    out.flow(Stage::PortSecurity, OTHER_ETHERTYPES, from_mac.clone(), on);
}

/// The sender inside of ARP.
fn arp(out: &mut Builder, here: &Match, mac: Mac, allowance: &Allowance) {
    let sender = here.mac(Field::EthSrc, mac).exact(Field::EthType, ethertype::ARP).mac(Field::ArpSha, mac);
    let mut allow = |matching| out.flow(Stage::PortSecurityArpNd, ALLOWED, matching, [goto(Stage::ArpNd)]);
    if allowance.any {
        return allow(sender);
    }
    for net in &allowance.v4 {
        allow(within_v4(&sender, Field::ArpSpa, *net));
    }
    if !allowance.v4.is_empty() {
        allow(sender.exact(Field::ArpOp, 1u8).ipv4(Field::ArpSpa, Ipv4Addr::UNSPECIFIED));
    }
}

/// The addresses inside of neighbour discovery.
fn neighbour_discovery(out: &mut Builder, here: &Match, mac: Mac, allowance: &Allowance) {
    let message = |kind: u8| of_icmpv6(&here.mac(Field::EthSrc, mac), kind).exact(Field::Icmpv6Code, 0u8);
    let mut allow = |matching| out.flow(Stage::PortSecurityArpNd, ALLOWED, matching, [goto(Stage::ArpNd)]);
    // An option that is absent reads as zero.
    for link_layer in [mac, Mac([0; 6])] {
        allow(message(icmpv6::NEIGHBOUR_SOLICITATION).mac(Field::NdSll, link_layer));
        let advertisement = message(icmpv6::NEIGHBOUR_ADVERTISEMENT).mac(Field::NdTll, link_layer);
        if allowance.any {
            allow(advertisement.clone());
        }
        for net in &allowance.v6 {
            allow(within_v6(&advertisement, Field::NdTarget, *net));
        }
    }
}

fn refuse_other_arp_nd(out: &mut Builder, here: &Match) {
    let mut refuse = |matching| out.flow(Stage::PortSecurityArpNd, REFUSED, matching, Actions::drop());
    refuse(here.exact(Field::EthType, ethertype::ARP));
    for kind in [
        icmpv6::ROUTER_ADVERTISEMENT,
        icmpv6::NEIGHBOUR_SOLICITATION,
        icmpv6::NEIGHBOUR_ADVERTISEMENT,
        icmpv6::REDIRECT,
    ] {
        refuse(of_icmpv6(here, kind));
    }
}

fn of_icmpv6(matching: &Match, kind: u8) -> Match {
    let icmpv6 = matching.exact(Field::EthType, ethertype::IPV6).exact(Field::IpProto, ICMPV6);
    icmpv6.exact(Field::Icmpv6Type, kind)
}

fn within_v4(matching: &Match, field: Field, net: Ipv4Net) -> Match {
    matching.masked(field, net.network().to_bits(), net.netmask().to_bits())
}

fn within_v6(matching: &Match, field: Field, net: Ipv6Net) -> Match {
    matching.masked(field, net.network().to_bits(), net.netmask().to_bits())
}
