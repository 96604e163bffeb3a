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
use selvedge_core::trace::{self, Packet, Payload};
use serde::Deserialize;
use serde_json::{Value, json as value};
use std::net::IpAddr;
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
    /// Makes the packet an ARP request for this address.
    arp_tpa: Option<IpAddr>,
}

/// `POST /ws.v1/trace`: what becomes of a packet that a port's guest sends, on intent.
pub(super) async fn trace<R: Runtime>(State(api): State<Arc<Api<R>>>, body: Body) -> Result<Response, ApiError> {
    let question: Question = json::decode(json::body(body).await?)?;
    let answer = api.handle.read(|state| answer(state, &question))?;
    Ok(json::response(StatusCode::OK, &answer))
}

fn named(what: &str, uuid: &str) -> Result<Uuid, ApiError> {
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

/// The MAC and the first host address of a port.
fn addresses(nib: &Nib, port: &PortRecord) -> (Option<Mac>, Option<IpAddr>) {
    let pairs = &port.config.allowed_address_pairs;
    let observed = || nib.port_location(port).and_then(|location| location.claim.observed.attached_mac);
    let mac = pairs.first().map(|pair| pair.mac_address).or_else(observed);
    (mac, pairs.iter().find_map(|pair| pair.ip_address.as_ref()?.host()))
}

fn packet(nib: &Nib, port: &PortRecord, question: &Question) -> Result<Packet, ApiError> {
    let (own_mac, own_ip) = addresses(nib, port);
    let (mut to_mac, mut to_ip) = (None, None);
    if let Some(to) = &question.to {
        let of_ip = |ip: IpAddr| {
            let mut ports = nib.ports_of(port.switch).map(|(_, other)| addresses(nib, other));
            ports.find(|(_, other)| *other == Some(ip)).and_then(|(mac, _)| mac)
        };
        (to_mac, to_ip) = match to.parse::<IpAddr>() {
            Ok(ip) => (of_ip(ip), Some(ip)),
            Err(_) => {
                let other = named("logical port", to)?;
                let other =
                    nib.ports().get(&other).ok_or_else(|| ApiError::NotFound(format!("logical port {other}")))?;
                addresses(nib, other)
            }
        };
    }
    let missing = |field: &str| ApiError::Invalid(format!("{field} is missing, and follows from nothing else given"));
    let source = question.dl_src.or(own_mac).ok_or_else(|| missing("dl_src"))?;
    if let Some(target) = question.arp_tpa {
        let unspecified = IpAddr::from([0, 0, 0, 0]);
        let sender = question.nw_src.or(own_ip).unwrap_or(unspecified);
        let destination = question.dl_dst.unwrap_or(Mac::BROADCAST);
        return Ok(Packet { source, destination, payload: Payload::ArpRequest { sender, target } });
    }
    let destination = question.dl_dst.or(to_mac).ok_or_else(|| missing("dl_dst"))?;
    let ends = question.nw_src.or(own_ip).zip(question.nw_dst.or(to_ip));
    let payload = match ends.filter(|(source, destination)| source.is_ipv4() == destination.is_ipv4()) {
        Some((source, destination)) => Payload::Ip { source, destination },
        None => Payload::Other,
    };
    Ok(Packet { source, destination, payload })
}

/// The packet as `ovs-appctl ofproto/trace` takes it.
fn flow(ofport: u32, packet: &Packet) -> String {
    let Packet { source, destination, payload } = packet;
    let rest = match payload {
        Payload::Ip { source: IpAddr::V4(from), destination: IpAddr::V4(to) } => {
            format!(",icmp,nw_src={from},nw_dst={to},nw_ttl=64,icmp_type=8")
        }
        Payload::Ip { source, destination } => {
            format!(",icmp6,ipv6_src={source},ipv6_dst={destination},nw_ttl=64,icmp_type=128")
        }
        Payload::ArpRequest { sender, target } => {
            format!(",arp,arp_op=1,arp_spa={sender},arp_tpa={target},arp_sha={source}")
        }
        Payload::Other => String::new(),
    };
    format!("in_port={ofport},dl_src={source},dl_dst={destination}{rest}")
}
