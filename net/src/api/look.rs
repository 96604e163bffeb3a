//! A look inside: the flows a transport node should hold, with names, and what becomes of a packet.
//!
//! Start at [`flows`] and [`trace()`].

use super::error::ApiError;
use super::{Api, json};
use crate::controller::State as ControllerState;
use crate::runtime::Runtime;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use selvedge_core::addr::Mac;
use selvedge_core::flow::text::{write_flow, write_group};
use selvedge_core::names::NibNames;
use selvedge_core::nib::{Nib, PortRecord};
use selvedge_core::trace::{self, Message, Packet, Payload};
use serde::Deserialize;
use serde_json::{Value, json as value};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use uuid::Uuid;

/// `GET /ws.v1/transport-node/<uuid>/flows`: what the node should hold, as text.
pub(super) async fn flows<R: Runtime>(
    State(api): State<Arc<Api<R>>>,
    Path(uuid): Path<String>,
) -> Result<Response, ApiError> {
    let uuid = named("transport node", &uuid)?;
    let answer = api.handle.read(|state| {
        let record = state.nib.nodes().get(&uuid)?;
        let table = state.engine.desired(record.number);
        let names = NibNames::new(&state.nib, Some(uuid));
        let line = |write: &dyn Fn(&mut String) -> std::fmt::Result| {
            let mut text = String::new();
            write(&mut text).expect("memory takes it");
            text
        };
        let mut flows: Vec<_> = table.flows.iter().collect();
        flows.sort_by_key(|(key, _)| (key.table, std::cmp::Reverse(key.priority), *key));
        let flows: Vec<String> =
            flows.into_iter().map(|(key, body)| line(&|text| write_flow(text, key, body, &names))).collect();
        let groups: Vec<String> =
            table.groups.iter().map(|(id, buckets)| line(&|text| write_group(text, *id, buckets, &names))).collect();
        Some(value!({ "revision": state.nib.revision().0, "flows": flows, "groups": groups }))
    });
    let answer = answer.ok_or_else(|| ApiError::NotFound(format!("transport node {uuid}")))?;
    Ok(json::response(StatusCode::OK, &answer))
}

/// The packet that is asked about. What is left out follows from the port's first address pair and from `to`.
#[derive(Debug, Default, Deserialize)]
struct Question {
    lport_uuid: Option<String>,
    /// Another port's uuid, or an IP address on the switch.
    to: Option<String>,
    dl_src: Option<Mac>,
    dl_dst: Option<Mac>,
    nw_src: Option<IpAddr>,
    nw_dst: Option<IpAddr>,
    /// Makes the packet an ARP request for this address, or a neighbour solicitation if it is IPv6.
    arp_tpa: Option<IpAddr>,
    /// The hardware address that such a question claims; otherwise that of the frame.
    arp_sha: Option<Mac>,
    /// The VLAN id of the frame's tag, below 4096.
    dl_vlan: Option<u16>,
}

/// `POST /ws.v1/trace`: what becomes of a packet that a port's guest sends, on intent.
pub(super) async fn trace<R: Runtime>(State(api): State<Arc<Api<R>>>, body: Body) -> Result<Response, ApiError> {
    let question: Question = json::decode(json::body(body).await?)?;
    let answer = api.handle.read(|state| answer(state, &question))?;
    Ok(json::response(StatusCode::OK, &answer))
}

/// The uuid of a path or a question; what is none names nothing.
pub(super) fn named(what: &str, uuid: &str) -> Result<Uuid, ApiError> {
    uuid.parse().map_err(|_| ApiError::NotFound(format!("{what} {}", uuid.chars().take(64).collect::<String>())))
}

fn answer(state: &ControllerState, question: &Question) -> Result<Value, ApiError> {
    let nib = &state.nib;
    let uuid = question.lport_uuid.as_deref().ok_or_else(|| ApiError::Invalid("lport_uuid is missing".into()))?;
    let uuid = named("logical port", uuid)?;
    let port = nib.ports().get(&uuid).ok_or_else(|| ApiError::NotFound(format!("logical port {uuid}")))?;
    let packet = packet(nib, port, question)?;
    let trace = trace::trace(nib, uuid, &packet).ok_or_else(|| ApiError::NotFound(format!("logical port {uuid}")))?;
    let step = |step: &trace::Step| {
        let verdict = if step.passed { "passed" } else { "dropped" };
        value!({ "stage": step.stage.name(), "verdict": verdict, "why": step.why })
    };
    let receiver = |receiver: &trace::Receiver| {
        let tunnel = receiver.tunnel.map(|(encap, end)| value!({ "type": encap.name(), "remote_ip": end }));
        value!({ "lport_uuid": receiver.port, "transport_node_uuid": receiver.node, "tunnel": tunnel })
    };
    let location = nib.port_location(port);
    let node = location.as_ref().map(|location| location.node);
    let bridge = node.and_then(|node| nib.nodes().get(&node)).map(|record| record.config.bridge().to_string());
    Ok(value!({
        "outcome": trace.outcome(),
        "steps": trace.steps.iter().map(step).collect::<Vec<_>>(),
        "receivers": trace.receivers.iter().map(receiver).collect::<Vec<_>>(),
        "flow": location.map(|location| flow(location.claim.observed.ofport.0, &packet)),
        "bridge": bridge,
        "transport_node_uuid": node,
    }))
}

/// The MAC of a port: its first allowed one, or the one its transport node knows.
fn own_mac(nib: &Nib, port: &PortRecord) -> Option<Mac> {
    let observed = || nib.port_location(port).and_then(|location| location.claim.observed.attached_mac);
    port.config.allowed_address_pairs.first().map(|pair| pair.mac_address).or_else(observed)
}

/// The addresses of single hosts that a port has, each with its MAC.
fn hosts(port: &PortRecord) -> impl Iterator<Item = (IpAddr, Mac)> {
    let pairs = port.config.allowed_address_pairs.iter();
    pairs.filter_map(|pair| Some((pair.ip_address.as_ref()?.host()?, pair.mac_address)))
}

/// Where a packet goes: what of it is known.
#[derive(Clone, Copy, Debug, Default)]
struct Target {
    mac: Option<Mac>,
    ip: Option<IpAddr>,
}

fn target(nib: &Nib, port: &PortRecord, to: &str) -> Result<Target, ApiError> {
    if let Ok(ip) = to.parse::<IpAddr>() {
        let mut known = nib.ports_of(port.switch).flat_map(|(_, other)| hosts(other));
        return Ok(Target { mac: known.find(|(other, _)| *other == ip).map(|(_, mac)| mac), ip: Some(ip) });
    }
    let uuid = named("logical port", to)?;
    let other = nib.ports().get(&uuid).ok_or_else(|| ApiError::NotFound(format!("logical port {uuid}")))?;
    // Of several addresses, one that the sender has the family of.
    let spoken = |ip: &IpAddr| hosts(port).any(|(own, _)| own.is_ipv4() == ip.is_ipv4());
    let ip = hosts(other).map(|(ip, _)| ip).find(spoken).or_else(|| hosts(other).next().map(|(ip, _)| ip));
    Ok(Target { mac: own_mac(nib, other), ip })
}

fn packet(nib: &Nib, port: &PortRecord, question: &Question) -> Result<Packet, ApiError> {
    let missing = |field: &str| ApiError::Invalid(format!("{field} is missing, and follows from nothing else given"));
    let vlan = question.dl_vlan;
    if let Some(id) = vlan.filter(|id| *id > 4095) {
        return Err(ApiError::Invalid(format!("dl_vlan is {id}: a VLAN id is below 4096")));
    }
    let source = question.dl_src.or_else(|| own_mac(nib, port)).ok_or_else(|| missing("dl_src"))?;
    if let Some(asked) = question.arp_tpa {
        let payload = asking(port, question, source, asked)?;
        let destination = question.dl_dst.unwrap_or_else(|| everybody(asked));
        return Ok(Packet { source, destination, vlan, payload });
    }
    let to = question.to.as_deref().map(|to| target(nib, port, to)).transpose()?.unwrap_or_default();
    let destination = question.dl_dst.or(to.mac).ok_or_else(|| missing("dl_dst"))?;
    Ok(Packet { source, destination, vlan, payload: ip(port, question, to.ip)? })
}

/// The port's own address to talk to `other` from.
fn own_ip(port: &PortRecord, other: IpAddr) -> Option<IpAddr> {
    hosts(port).map(|(ip, _)| ip).find(|ip| ip.is_ipv4() == other.is_ipv4())
}

fn families(field: &str, source: IpAddr, target: IpAddr) -> ApiError {
    ApiError::Invalid(format!("nw_src {source} and {field} {target} are not of one IP version"))
}

/// The IP packet that is asked about, or none if too little is known for one.
fn ip(port: &PortRecord, question: &Question, to: Option<IpAddr>) -> Result<Payload, ApiError> {
    let Some(destination) = question.nw_dst.or(to) else { return Ok(Payload::Other) };
    match question.nw_src.or_else(|| own_ip(port, destination)) {
        None => Ok(Payload::Other),
        Some(source) if source.is_ipv4() == destination.is_ipv4() => Ok(Payload::Ip { source, destination }),
        Some(source) => Err(families("destination", source, destination)),
    }
}

/// The question for an address, as a guest would ask it: by ARP or by neighbour discovery.
fn asking(port: &PortRecord, question: &Question, source: Mac, asked: IpAddr) -> Result<Payload, ApiError> {
    let hardware = question.arp_sha.unwrap_or(source);
    let sender = question.nw_src.or_else(|| own_ip(port, asked));
    let message = Message::Question;
    match (asked, sender) {
        (IpAddr::V4(target), None) => Ok(Payload::Arp { message, sender: Ipv4Addr::UNSPECIFIED, hardware, target }),
        (IpAddr::V4(target), Some(IpAddr::V4(sender))) => Ok(Payload::Arp { message, sender, hardware, target }),
        // Whoever has no address yet must not name its hardware address either (RFC 4861, section 4.3).
        (IpAddr::V6(target), None) => {
            Ok(Payload::Neighbour { message, source: Ipv6Addr::UNSPECIFIED, hardware: question.arp_sha, target })
        }
        (IpAddr::V6(target), Some(IpAddr::V6(source))) => {
            Ok(Payload::Neighbour { message, source, hardware: Some(hardware), target })
        }
        (IpAddr::V4(_), Some(sender @ IpAddr::V6(_))) | (IpAddr::V6(_), Some(sender @ IpAddr::V4(_))) => {
            Err(families("arp_tpa", sender, asked))
        }
    }
}

/// Where a question for an address is sent: to all, or to its solicited-node group (RFC 4291, section 2.7.1).
fn everybody(asked: IpAddr) -> Mac {
    match asked {
        IpAddr::V4(_) => Mac::BROADCAST,
        IpAddr::V6(asked) => {
            let [.., a, b, c] = asked.octets();
            Mac([0x33, 0x33, 0xff, a, b, c])
        }
    }
}

/// The solicited-node address of an address.
fn solicited_node(asked: Ipv6Addr) -> Ipv6Addr {
    let [.., high, low] = asked.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | (high & 0xff), low)
}

/// The packet as `ovs-appctl ofproto/trace` takes it.
fn flow(ofport: u32, packet: &Packet) -> String {
    let Packet { source, destination, vlan, payload } = packet;
    // ovs-fields(7): 0x1000 says that there is a tag.
    let tag = vlan.map(|id| format!(",vlan_tci={:#x}", id | 0x1000)).unwrap_or_default();
    format!("in_port={ofport},dl_src={source},dl_dst={destination}{tag}{}", payload_flow(payload))
}

fn payload_flow(payload: &Payload) -> String {
    match payload {
        Payload::Ip { source: IpAddr::V4(from), destination: IpAddr::V4(to) } => {
            format!(",icmp,nw_src={from},nw_dst={to},nw_ttl=64,icmp_type=8")
        }
        Payload::Ip { source, destination } => {
            format!(",icmp6,ipv6_src={source},ipv6_dst={destination},nw_ttl=64,icmp_type=128")
        }
        Payload::Arp { message, sender, hardware, target } => {
            let operation = match message {
                Message::Question => 1,
                Message::Answer => 2,
            };
            format!(",arp,arp_op={operation},arp_spa={sender},arp_tpa={target},arp_sha={hardware}")
        }
        Payload::Neighbour { message, source, hardware, target } => {
            neighbour_flow(*message, *source, *hardware, *target)
        }
        Payload::Other => String::new(),
    }
}

fn neighbour_flow(message: Message, source: Ipv6Addr, hardware: Option<Mac>, target: Ipv6Addr) -> String {
    let (kind, option, to) = match message {
        Message::Question => (135, "nd_sll", solicited_node(target)),
        Message::Answer => (136, "nd_tll", Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1)),
    };
    let option = hardware.map(|mac| format!(",{option}={mac}")).unwrap_or_default();
    format!(",icmp6,ipv6_src={source},ipv6_dst={to},nw_ttl=255,icmp_type={kind},icmp_code=0,nd_target={target}{option}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_read_as_ofproto_trace_takes_them() {
        let mac: Mac = "02:00:00:00:00:0a".parse().expect("a MAC");
        let check = |destination: Mac, vlan: Option<u16>, payload: Payload, want: &str| {
            let text = flow(5, &Packet { source: mac, destination, vlan, payload });
            assert_eq!(text, format!("in_port=5,dl_src={mac},dl_dst={destination}{want}"));
        };
        let message = Message::Question;
        let v4 = |word: &str| word.parse::<Ipv4Addr>().expect("an IPv4 address");
        let v6 = |word: &str| word.parse::<Ipv6Addr>().expect("an IPv6 address");
        check(mac, Some(7), Payload::Other, ",vlan_tci=0x1007");
        check(
            everybody(v4("10.0.0.11").into()),
            None,
            Payload::Arp { message, sender: v4("10.0.0.10"), hardware: mac, target: v4("10.0.0.11") },
            ",arp,arp_op=1,arp_spa=10.0.0.10,arp_tpa=10.0.0.11,arp_sha=02:00:00:00:00:0a",
        );
        let group = everybody(v6("fd00::1234:5678").into());
        assert_eq!(group.to_string(), "33:33:ff:34:56:78");
        check(
            group,
            None,
            Payload::Neighbour { message, source: v6("fd00::a"), hardware: Some(mac), target: v6("fd00::1234:5678") },
            ",icmp6,ipv6_src=fd00::a,ipv6_dst=ff02::1:ff34:5678,nw_ttl=255,icmp_type=135,icmp_code=0,\
             nd_target=fd00::1234:5678,nd_sll=02:00:00:00:00:0a",
        );
    }
}
