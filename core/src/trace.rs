//! What becomes of a packet, on intent: which logical stage decides what, and why, in an operator's words.
//!
//! Written from what the network is meant to do, not from the flows that the compiler makes: a second opinion. What the
//! real switch does with the same packet is `ovs-appctl ofproto/trace`'s to say. Start at [`trace`].

use crate::addr::Mac;
use crate::nib::{AddressPair, Encap, LogicalPort, Nib, NodeRecord, PortRecord, SwitchRecord};
use crate::pipeline::Stage;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use uuid::Uuid;

/// A packet that a guest sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Ethernet source.
    pub source: Mac,
    /// Ethernet destination.
    pub destination: Mac,
    /// The VLAN id of its tag, if it has one.
    pub vlan: Option<u16>,
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
    /// ARP (RFC 826).
    Arp {
        /// Request or reply.
        message: Message,
        /// The sender's protocol address; unspecified in a probe (RFC 5227).
        sender: Ipv4Addr,
        /// The sender's hardware address.
        hardware: Mac,
        /// The address that is asked for.
        target: Ipv4Addr,
    },
    /// Neighbour discovery (RFC 4861).
    Neighbour {
        /// Solicitation or advertisement.
        message: Message,
        /// The IPv6 source; unspecified during duplicate address detection (RFC 4862).
        source: Ipv6Addr,
        /// The link-layer address option, if there is one.
        hardware: Option<Mac>,
        /// The address that is asked for, or advertised.
        target: Ipv6Addr,
    },
    /// Anything else.
    Other,
}

/// What a message of ARP or neighbour discovery is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// It asks who has an address.
    Question,
    /// It says who has one.
    Answer,
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
    if let Some(vlan) = packet.vlan {
        let why = format!("the frame is tagged with VLAN {vlan}, and a guest may send untagged frames only");
        return Some(trace.stop(Stage::Admission, why));
    }
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

/// What the address pairs of a port allow one of its MACs.
struct Allowance<'a> {
    mac: Mac,
    pairs: Vec<&'a AddressPair>,
}

impl Allowance<'_> {
    /// A pair that names no IP address allows all of them.
    fn any(&self) -> bool {
        self.pairs.iter().any(|pair| pair.ip_address.is_none())
    }

    /// A family of which no address is allowed is shut altogether.
    fn speaks(&self, is_family: fn(&IpAddr) -> bool) -> bool {
        let mut addresses = self.pairs.iter().filter_map(|pair| pair.ip_address.as_ref());
        self.any() || addresses.any(|prefix| is_family(&prefix.net().addr()))
    }

    /// A MAC that has IPv6 addresses may use its link-local one too.
    fn has(&self, ip: IpAddr) -> bool {
        let mut addresses = self.pairs.iter().filter_map(|pair| pair.ip_address.as_ref());
        let link_local = ip == IpAddr::V6(self.mac.link_local()) && self.speaks(IpAddr::is_ipv6);
        self.any() || link_local || addresses.any(|prefix| prefix.net().contains(&ip))
    }

    fn need(&self, what: &str, ip: IpAddr) -> Result<(), String> {
        match self.has(ip) {
            true => Ok(()),
            false => Err(format!("{what} {ip} is in none of the address pairs of {}", self.mac)),
        }
    }

    /// The source of the packet itself.
    fn source(&self, payload: &Payload) -> Result<(), String> {
        match payload {
            Payload::Ip { source, .. } => self.need("source", *source),
            Payload::Arp { .. } if !self.speaks(IpAddr::is_ipv4) => {
                Err(format!("no address pair of {} has an IPv4 address, so it may not use ARP", self.mac))
            }
            Payload::Neighbour { message: Message::Question, source, .. }
                if source.is_unspecified() && self.speaks(IpAddr::is_ipv6) =>
            {
                Ok(())
            }
            Payload::Neighbour { source, .. } => self.need("source", IpAddr::V6(*source)),
            Payload::Arp { .. } | Payload::Other => Ok(()),
        }
    }

    /// The addresses inside of ARP and neighbour discovery.
    fn claims(&self, payload: &Payload) -> Result<(), String> {
        let own = |hardware: Mac| match hardware == self.mac {
            true => Ok(()),
            false => Err(format!("it claims hardware address {hardware}, but comes from {}", self.mac)),
        };
        match payload {
            Payload::Arp { message, sender, hardware, .. } => {
                own(*hardware)?;
                match (message, sender.is_unspecified()) {
                    (Message::Question, true) => Ok(()),
                    (Message::Question | Message::Answer, _) => self.need("source", IpAddr::V4(*sender)),
                }
            }
            Payload::Neighbour { message, hardware, target, .. } => {
                hardware.map_or(Ok(()), own)?;
                match message {
                    Message::Question => Ok(()),
                    Message::Answer => self.need("advertised address", IpAddr::V6(*target)),
                }
            }
            Payload::Ip { .. } | Payload::Other => Ok(()),
        }
    }
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
    let allowance = Allowance { mac: packet.source, pairs: of_mac };
    allowance.source(&packet.payload).map_err(|why| (Stage::PortSecurity, why))?;
    trace.pass(Stage::PortSecurity, "the source is in the port's address pairs");
    allowance.claims(&packet.payload).map_err(|why| (Stage::PortSecurityArpNd, why))
}

/// Whether a question can be answered without asking everybody.
enum Known {
    Answer(String, Mac),
    Redirect(String, Mac),
    No,
}

fn known_owner(nib: &Nib, switch: &SwitchRecord, uuid: Uuid, asker: Uuid, packet: &Packet) -> Known {
    let (target, redirect) = match &packet.payload {
        Payload::Arp { message: Message::Question, target, .. } if packet.destination == Mac::BROADCAST => {
            (IpAddr::V4(*target), false)
        }
        Payload::Neighbour { message: Message::Question, target, .. } if packet.destination.is_group() => {
            (IpAddr::V6(*target), true)
        }
        Payload::Arp { .. } | Payload::Neighbour { .. } | Payload::Ip { .. } | Payload::Other => return Known::No,
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
