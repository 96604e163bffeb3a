//! What becomes of a packet, on intent: which logical stage decides what, and why, in an operator's words.
//!
//! Written from what the network is meant to do, not from the flows that the compiler makes: a second opinion. What the
//! real switch does with the same packet is `ovs-appctl ofproto/trace`'s to say. Start at [`trace`].

use crate::addr::Mac;
use crate::nib::{AddressPair, Encap, LogicalPort, Nib, NodeRecord, PortRecord, SwitchRecord};
use crate::pipeline::Stage;
use std::net::IpAddr;
use uuid::Uuid;

/// A packet that a guest sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Ethernet source.
    pub source: Mac,
    /// Ethernet destination.
    pub destination: Mac,
    /// What it carries.
    pub payload: Payload,
}

/// What a packet carries, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// IPv4 or IPv6.
    Ip {
        /// Its source.
        source: IpAddr,
        /// Its destination.
        destination: IpAddr,
    },
    /// An ARP request.
    ArpRequest {
        /// Who asks; unspecified for a probe.
        sender: IpAddr,
        /// Whose address is asked for.
        target: IpAddr,
    },
    /// Anything else.
    Other,
}

/// What a stage did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which stage.
    pub stage: Stage,
    /// Whether the packet goes on.
    pub passed: bool,
    /// Why, in words.
    pub why: String,
}

/// Where a packet arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// The logical port.
    pub port: Uuid,
    /// The transport node it is on.
    pub node: Uuid,
    /// The tunnel it takes, with the address it ends at; none if it stays on its node.
    pub tunnel: Option<(Encap, IpAddr)>,
}

/// What becomes of a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Stage by stage.
    pub steps: Vec<Step>,
    /// Where it arrives: nowhere, somewhere, or in several places.
    pub receivers: Vec<Receiver>,
    /// Whether it was answered where it was sent.
    pub answered: bool,
}

impl Trace {
    fn pass(&mut self, stage: Stage, why: impl Into<String>) {
        self.steps.push(Step { stage, passed: true, why: why.into() });
    }

    fn stop(mut self, stage: Stage, why: impl Into<String>) -> Trace {
        self.steps.push(Step { stage, passed: false, why: why.into() });
        self
    }

    /// The end of it in a sentence.
    pub fn outcome(&self) -> String {
        match (self.answered, self.receivers.as_slice(), self.steps.last()) {
            (true, _, _) => "answered where it was sent".to_string(),
            (false, [], Some(step)) => format!("dropped by {}: {}", step.stage.name(), step.why),
            (false, [], None) => "nothing happened".to_string(),
            (false, [_], _) => "delivered".to_string(),
            (false, several, _) => format!("delivered to {} ports", several.len()),
        }
    }
}

fn name(port: &PortRecord) -> &str {
    port.config.common.display_name.as_deref().unwrap_or("a port without a name")
}

fn node_name(nib: &Nib, node: Uuid) -> String {
    let record = nib.nodes().get(&node);
    record.and_then(|record| record.config.common.display_name.clone()).unwrap_or_else(|| node.to_string())
}

/// Traces a packet that the guest behind `port` sends; nothing if there is no such port.
pub fn trace(nib: &Nib, port: Uuid, packet: &Packet) -> Option<Trace> {
    let record = nib.ports().get(&port)?;
    let switch = nib.switches().get(&record.switch)?;
    let mut trace = Trace::default();
    if !record.config.admin_status_enabled {
        return Some(trace.stop(Stage::Classify, format!("port {} is disabled", name(record))));
    }
    let Some(location) = nib.port_location(record) else {
        let why = match record.attachment.vif() {
            None => format!("nothing is attached to port {}", name(record)),
            Some(vif) => format!("no transport node has VIF {vif}, which is attached to port {}", name(record)),
        };
        return Some(trace.stop(Stage::Classify, why));
    };
    let here = location.node;
    let interface = &location.claim.observed.interface;
    trace.pass(
        Stage::Classify,
        format!("from port {}, interface {interface} on {}", name(record), node_name(nib, here)),
    );
    if packet.source.is_group() {
        return Some(
            trace.stop(Stage::Admission, format!("{} is a group address, which no guest may send from", packet.source)),
        );
    }
    trace.pass(Stage::Admission, "an untagged frame from an address of its own");
    if let Err((stage, why)) = secure(&record.config, packet, &mut trace) {
        return Some(trace.stop(stage, why));
    }
    let mut destination = packet.destination;
    match known_owner(nib, switch, record.switch, port, packet) {
        Known::Answer(owner, mac) => {
            trace.answered = true;
            trace.pass(Stage::ArpNd, format!("a question for the address of {owner}: answered here with {mac}"));
            return Some(trace);
        }
        Known::Redirect(owner, mac) => {
            destination = mac;
            trace.pass(Stage::ArpNd, format!("a question for the address of {owner}: sent to it alone"));
        }
        Known::No => trace.pass(Stage::ArpNd, "no question that could be answered here"),
    }
    if switch.config.port_isolation_enabled {
        return Some(trace.stop(Stage::Isolation, "ports of this switch do not reach each other"));
    }
    trace.pass(Stage::Isolation, "the switch is not isolated");
    Some(look_up(nib, switch, record, port, here, destination, trace))
}

/// Port security, as `allowed_address_pairs` mean it.
fn secure(port: &LogicalPort, packet: &Packet, trace: &mut Trace) -> Result<(), (Stage, String)> {
    let pairs = &port.allowed_address_pairs;
    if pairs.is_empty() {
        trace.pass(Stage::PortSecurity, "the port may use any source");
        return Ok(());
    }
    let of_mac: Vec<&AddressPair> = pairs.iter().filter(|pair| pair.mac_address == packet.source).collect();
    if of_mac.is_empty() {
        return Err((Stage::PortSecurity, format!("source {} is in none of the port's address pairs", packet.source)));
    }
    let any = of_mac.iter().any(|pair| pair.ip_address.is_none());
    let link_local = IpAddr::V6(packet.source.link_local());
    let allows = |ip: IpAddr| {
        let among = of_mac.iter().filter_map(|pair| pair.ip_address.as_ref()).any(|prefix| prefix.net().contains(&ip));
        let has_v6 =
            of_mac.iter().filter_map(|pair| pair.ip_address.as_ref()).any(|prefix| prefix.net().addr().is_ipv6());
        any || among || (has_v6 && ip == link_local)
    };
    let not_allowed =
        |stage, ip| Err((stage, format!("source {ip} is in none of the address pairs of {}", packet.source)));
    match &packet.payload {
        Payload::Ip { source, .. } if !allows(*source) => not_allowed(Stage::PortSecurity, source),
        Payload::ArpRequest { sender, .. } if !sender.is_unspecified() && !allows(*sender) => {
            trace.pass(Stage::PortSecurity, "the source MAC is one of the port's");
            not_allowed(Stage::PortSecurityArpNd, sender)
        }
        Payload::Ip { .. } | Payload::ArpRequest { .. } | Payload::Other => {
            trace.pass(Stage::PortSecurity, "the source is in the port's address pairs");
            Ok(())
        }
    }
}

/// Whether a question can be answered without asking everybody.
enum Known {
    Answer(String, Mac),
    Redirect(String, Mac),
    No,
}

fn known_owner(nib: &Nib, switch: &SwitchRecord, uuid: Uuid, asker: Uuid, packet: &Packet) -> Known {
    let (target, redirect) = match &packet.payload {
        Payload::ArpRequest { target, .. } if packet.destination == Mac::BROADCAST => (*target, target.is_ipv6()),
        Payload::ArpRequest { .. } | Payload::Ip { .. } | Payload::Other => return Known::No,
    };
    let claims = nib.ports_of(uuid).filter(|(_, port)| takes_part(nib, port)).flat_map(|(uuid, port)| {
        let of_target = |pair: &&AddressPair| pair.ip_address.as_ref().and_then(|ip| ip.host()) == Some(target);
        port.config.allowed_address_pairs.iter().filter(of_target).map(move |pair| (uuid, port, pair.mac_address))
    });
    let mut claims: Vec<_> = claims.collect();
    claims.dedup_by_key(|(uuid, _, mac)| (*uuid, *mac));
    match claims.as_slice() {
        [(owner, port, mac)] if *owner != asker && !switch.config.port_isolation_enabled => match redirect {
            true => Known::Redirect(name(port).to_string(), *mac),
            false => Known::Answer(name(port).to_string(), *mac),
        },
        _ => Known::No,
    }
}

fn takes_part(nib: &Nib, port: &PortRecord) -> bool {
    port.config.admin_status_enabled && nib.port_location(port).is_some()
}

/// Whether frames to `mac` are for the port.
fn owns(nib: &Nib, port: &PortRecord, mac: Mac) -> bool {
    match port.config.allowed_address_pairs.as_slice() {
        [] => nib.port_location(port).is_some_and(|location| location.claim.observed.attached_mac == Some(mac)),
        pairs => pairs.iter().any(|pair| pair.mac_address == mac),
    }
}

fn look_up(
    nib: &Nib,
    switch: &SwitchRecord,
    sender: &PortRecord,
    sender_uuid: Uuid,
    here: Uuid,
    destination: Mac,
    mut trace: Trace,
) -> Trace {
    let members: Vec<(Uuid, &PortRecord)> =
        nib.ports_of(sender.switch).filter(|(_, port)| takes_part(nib, port)).collect();
    let mut owners: Vec<_> = members.iter().filter(|(_, port)| owns(nib, port, destination)).copied().collect();
    owners.sort_by_key(|(_, port)| port.key);
    let targets: Vec<(Uuid, &PortRecord)> = match (destination.is_group(), owners.first()) {
        (true, _) => {
            trace.pass(Stage::L2Lookup, format!("{destination} is a group address: to all members"));
            members
        }
        (false, Some(owner)) => {
            trace.pass(Stage::L2Lookup, format!("{destination} is port {}", name(owner.1)));
            vec![*owner]
        }
        (false, None) => {
            let learners = members.iter().filter(|(_, port)| port.config.mac_learning == Some(true));
            let learners: Vec<_> = learners.copied().collect();
            if learners.is_empty() {
                return trace
                    .stop(Stage::L2Lookup, format!("no port of the switch that is up has address {destination}"));
            }
            trace.pass(Stage::L2Lookup, format!("nobody is known to have {destination}: to the ports that learn"));
            learners
        }
    };
    for (uuid, port) in targets.into_iter().filter(|(uuid, _)| *uuid != sender_uuid) {
        deliver(nib, switch, here, uuid, port, &mut trace);
    }
    if trace.receivers.is_empty() && trace.steps.last().is_some_and(|step| step.passed) {
        return trace.stop(Stage::Output, "there is nobody else to deliver it to");
    }
    trace
}

fn deliver(nib: &Nib, switch: &SwitchRecord, here: Uuid, uuid: Uuid, port: &PortRecord, trace: &mut Trace) {
    let Some(there) = nib.port_location(port).map(|location| location.node) else { return };
    let (name, host) = (name(port), node_name(nib, there));
    if there == here {
        trace.pass(Stage::Output, format!("to {name}, on the same transport node"));
        return trace.receivers.push(Receiver { port: uuid, node: there, tunnel: None });
    }
    let ends = nib.nodes().get(&here).zip(nib.nodes().get(&there));
    match ends.and_then(|(from, to)| path(switch, from, to)) {
        Some((encap, end)) => {
            trace.pass(Stage::Output, format!("to {name} on {host}, by {encap} to {end}"));
            trace.receivers.push(Receiver { port: uuid, node: there, tunnel: Some((encap, end)) });
        }
        None => {
            let why = format!("{name} is on {host}, and the two nodes share no encapsulation and zone of the switch");
            trace.steps.push(Step { stage: Stage::Output, passed: false, why });
        }
    }
}

/// How two nodes reach each other for a switch: by the first of its transports that both have.
fn path(switch: &SwitchRecord, from: &NodeRecord, to: &NodeRecord) -> Option<(Encap, IpAddr)> {
    let has = |node: &NodeRecord, zone: Uuid, encap: Encap| {
        let mut ends = node.config.transport_connectors.iter();
        ends.find(|end| end.transport_zone_uuid == zone && end.kind.encap() == Some(encap)).map(|end| end.ip_address)
    };
    let shared = |zone, encap| has(from, zone, encap).and_then(|_| has(to, zone, encap)).map(|end| (encap, end));
    match switch.config.transport_zones.as_slice() {
        [] => {
            let mut own: Vec<_> =
                from.config.transport_connectors.iter().filter_map(|c| Some((c.kind.encap()?, c))).collect();
            own.sort_by_key(|(encap, c)| (*encap, c.transport_zone_uuid));
            own.into_iter().find_map(|(encap, c)| shared(c.transport_zone_uuid, encap))
        }
        zones => zones.iter().find_map(|zone| shared(zone.zone_uuid, zone.transport_type.encap()?)),
    }
}
