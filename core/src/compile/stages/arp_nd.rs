//! Stage *arp_nd*: questions for known addresses are answered where they are asked, or sent to the one who knows.
//!
//! A broadcast ARP request for a known IPv4 address is answered in the port it came in by. A neighbour solicitation
//! for a known IPv6 address goes to its owner alone instead of to all members: the owner answers for itself.
//! Unicast requests, by which a host checks that its neighbour still lives, go to that neighbour: the truth is there.
//! An owner that asks for its own address (a probe, or a gratuitous request) asks everybody else.

use super::super::facts::SwitchFact;
use super::super::fragment::Builder;
use super::{ICMPV6, ethertype, goto, icmpv6, on};
use crate::addr::Mac;
use crate::flow::{Action, Field, Match};
use crate::ids::PortKey;
use crate::pipeline::{INGRESS, Stage};
use std::net::{IpAddr, Ipv4Addr};

const OWNER: u16 = 110;
const KNOWN: u16 = 100;

/// The flows of a known address.
pub fn host(out: &mut Builder, switch: &SwitchFact, address: IpAddr, owner: PortKey, mac: Mac) {
    let question = match address {
        IpAddr::V4(v4) => on(switch.key)
            .mac(Field::EthDst, Mac::BROADCAST)
            .exact(Field::EthType, ethertype::ARP)
            .exact(Field::ArpOp, 1u8)
            .ipv4(Field::ArpTpa, v4),
        IpAddr::V6(v6) => on(switch.key)
            .masked(Field::EthDst, Mac::GROUP_BIT, Mac::GROUP_BIT)
            .exact(Field::EthType, ethertype::IPV6)
            .exact(Field::IpProto, ICMPV6)
            .exact(Field::Icmpv6Type, icmpv6::NEIGHBOUR_SOLICITATION)
            .exact(Field::Icmpv6Code, 0u8)
            .ipv6(Field::NdTarget, v6),
    };
    let from_owner: Match = question.exact(INGRESS, owner.0);
    out.flow(Stage::ArpNd, OWNER, from_owner, [goto(Stage::Isolation)]);
    match address {
        IpAddr::V4(v4) => out.flow(Stage::ArpNd, KNOWN, question, arp_reply(v4, mac)),
        IpAddr::V6(_) => {
            out.flow(Stage::ArpNd, KNOWN, question, [Action::set_mac(Field::EthDst, mac), goto(Stage::Isolation)]);
        }
    }
}

/// Turns a request into its answer, and sends it back.
fn arp_reply(address: Ipv4Addr, mac: Mac) -> [Action; 8] {
    [
        Action::Copy { from: Field::EthSrc, to: Field::EthDst },
        Action::set_mac(Field::EthSrc, mac),
        Action::set(Field::ArpOp, 2u8),
        Action::Copy { from: Field::ArpSha, to: Field::ArpTha },
        Action::set_mac(Field::ArpSha, mac),
        Action::Copy { from: Field::ArpSpa, to: Field::ArpTpa },
        Action::set_ipv4(Field::ArpSpa, address),
        Action::OutputInPort,
    ]
}
