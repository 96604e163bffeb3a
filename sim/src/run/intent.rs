//! What clients asked for, what they were told, and so what may be there: the model of the API.
//!
//! A request becomes a call and a version of its object that is lawful from then on. An answer settles it: done, or
//! refused. If nobody knows, the object is read until it is clear, and left alone meanwhile. What is settled stays a
//! version among others until every transport node is said to hold it. Start at [`Intent::ask`].

use super::client::{Answer, Call, Ended};
use super::report::Mark;
use crate::logical::history::{History, Versions};
use crate::logical::{Pair, Port, PortId, Switch, SwitchId, VifId};
use crate::oracles::{Violation, acknowledged, current};
use crate::plan::{HvId, Request};
use hyper::Method;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// How long to wait before reading what nobody knows.
const LOOK_AFTER: Duration = Duration::from_secs(2);
/// After this long nothing of a lost request is on its way any more: longer than connections retransmit.
const LOST_AFTER: Duration = Duration::from_secs(130);

/// An object of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Object {
    Switch(SwitchId),
    Port(PortId),
    Node(HvId),
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Object::Switch(id) => id.fmt(f),
            Object::Port(id) => id.fmt(f),
            Object::Node(id) => id.fmt(f),
        }
    }
}

/// What an object is to become.
#[derive(Clone, Debug, PartialEq)]
enum Target {
    Switch(Option<Switch>),
    Port(Option<Port>),
    Node(bool),
    /// It is only read.
    Unchanged,
}

/// A request that is under way, or whose fate nobody knows.
#[derive(Clone, Debug)]
struct Pending {
    object: Object,
    target: Target,
    asked_at: Duration,
    /// The highest generation that an answer had told of when it was asked.
    known: u64,
    /// Since when nobody knows, and when to look next.
    unknown: Option<(Duration, Duration)>,
    /// It is being read to find out.
    looking: bool,
}

/// Something to hold for certain once every node is said to hold a generation.
#[derive(Clone, Debug)]
struct Awaited {
    generation: u64,
    object: Object,
}

/// What clients know.
#[derive(Debug, Default)]
pub struct Intent {
    uuids: BTreeMap<Object, String>,
    pending: BTreeMap<u64, Pending>,
    awaited: Vec<Awaited>,
    /// What is there by the latest answers.
    switches: BTreeMap<SwitchId, Switch>,
    ports: BTreeMap<PortId, Port>,
    nodes: BTreeMap<HvId, Value>,
    enabled: BTreeMap<HvId, bool>,
    next_call: u64,
    /// The highest generation that an answer told of.
    pub generation: u64,
    /// How many calls were answered 2xx, were refused, got lost, or had no object to be about.
    pub counts: Counts,
    marks: BTreeSet<Mark>,
}

/// How calls ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Answered 2xx.
    pub done: u64,
    /// Answered 4xx.
    pub refused: u64,
    /// Nobody knew, for a while.
    pub lost: u64,
    /// Never sent.
    pub not_sent: u64,
    /// Their object was not there, or busy.
    pub skipped: u64,
}

impl Intent {
    /// A transport node is there from the beginning.
    pub fn node(&mut self, hv: HvId, uuid: String, body: Value) {
        self.uuids.insert(Object::Node(hv), uuid);
        self.nodes.insert(hv, body);
        self.enabled.insert(hv, true);
    }

    /// A transport node's uuid.
    pub fn node_uuid(&self, hv: HvId) -> Option<&str> {
        self.uuids.get(&Object::Node(hv)).map(String::as_str)
    }

    /// Whether a transport node takes part, by the latest answers.
    pub fn node_enabled(&self, hv: HvId) -> bool {
        self.enabled.get(&hv).copied().unwrap_or(false)
    }

    /// A switch by its uuid.
    pub fn switch_of_uuid(&self, uuid: &str) -> Option<SwitchId> {
        self.uuids.iter().find_map(|(object, known)| match object {
            Object::Switch(id) if known == uuid => Some(*id),
            _ => None,
        })
    }

    /// The ports that are there, by the latest answers.
    pub fn ports(&self) -> &BTreeMap<PortId, Port> {
        &self.ports
    }

    /// The switches that are there, by the latest answers.
    pub fn switches(&self) -> &BTreeMap<SwitchId, Switch> {
        &self.switches
    }

    /// Whether everything that was asked for is settled and said to be realised.
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty() && self.awaited.is_empty()
    }

    /// What was reached since the last time.
    pub fn take_marks(&mut self) -> BTreeSet<Mark> {
        std::mem::take(&mut self.marks)
    }

    /// What is not settled, in words.
    pub fn unsettled(&self) -> Vec<String> {
        let pending = self.pending.values().map(|pending| match pending.unknown {
            Some((since, _)) => {
                format!("nobody knows since {since:?} what became of a request about {}", pending.object)
            }
            None => format!("a request about {} is under way since {:?}", pending.object, pending.asked_at),
        });
        let awaited = self.awaited.iter().map(|awaited| {
            format!("{} at generation {} is not said to be realised", awaited.object, awaited.generation)
        });
        pending.chain(awaited).collect()
    }

    fn busy(&self, object: Object) -> bool {
        let parent = match object {
            Object::Port(port) => self.ports.get(&port).map(|port| Object::Switch(port.switch)),
            Object::Switch(_) | Object::Node(_) => None,
        };
        let is_child = |other: Object| match (object, other) {
            (Object::Switch(switch), Object::Port(port)) => {
                self.ports.get(&port).is_some_and(|port| port.switch == switch) || !self.ports.contains_key(&port)
            }
            _ => false,
        };
        self.pending
            .values()
            .any(|pending| pending.object == object || Some(pending.object) == parent || is_child(pending.object))
    }

    /// Turns a request into a call; nothing if its object is not there, or busy.
    pub fn ask(&mut self, now: Duration, request: &Request, history: &mut History) -> Option<Call> {
        let asked = self.prepare(request);
        let Some((object, target, method, path, body)) = asked.filter(|asked| !self.busy(asked.0)) else {
            self.counts.skipped += 1;
            return None;
        };
        self.may_become(now, object, &target, history);
        let pending = Pending { object, target, asked_at: now, known: self.generation, unknown: None, looking: false };
        let id = self.next_id();
        self.pending.insert(id, pending);
        Some(Call { id, method, path, body: body.map_or_else(Vec::new, |body| body.to_string().into_bytes()) })
    }

    fn next_id(&mut self) -> u64 {
        self.next_call += 1;
        self.next_call
    }

    /// Object, what it is to become, and how to ask for that.
    fn prepare(&self, request: &Request) -> Option<(Object, Target, Method, String, Option<Value>)> {
        let port_path = |port: &PortId| self.port_path(*port);
        match request {
            Request::CreateSwitch { switch, config, transports } => {
                let zone = self.uuids.get(&Object::Node(HvId(u16::MAX)))?;
                let binding = |encap: &crate::plan::Encap| json!({"zone_uuid": zone, "transport_type": encap.name()});
                let body = json!({
                    "display_name": switch.to_string(),
                    "port_isolation_enabled": config.isolated,
                    "transport_zones": transports.iter().map(binding).collect::<Vec<_>>(),
                });
                let target = Target::Switch(Some(config.clone()));
                let absent = !self.switches.contains_key(switch);
                absent.then(|| (Object::Switch(*switch), target, Method::POST, "/ws.v1/lswitch".into(), Some(body)))
            }
            Request::SetSwitch { switch, config } => {
                self.switches.get(switch)?;
                let body = json!({"display_name": switch.to_string(), "port_isolation_enabled": config.isolated});
                let target = Target::Switch(Some(config.clone()));
                Some((Object::Switch(*switch), target, Method::PUT, self.switch_path(*switch)?, Some(body)))
            }
            Request::DeleteSwitch { switch } => {
                self.switches.get(switch)?;
                let path = self.switch_path(*switch)?;
                Some((Object::Switch(*switch), Target::Switch(None), Method::DELETE, path, None))
            }
            Request::CreatePort { port, config } => {
                self.switches.get(&config.switch)?;
                let path = format!("{}/lport", self.switch_path(config.switch)?);
                let absent = !self.ports.contains_key(port);
                let unavailable = self.busy(Object::Switch(config.switch));
                let target = Target::Port(Some(config.clone()));
                let body = port_body(*port, config.enabled, &config.pairs, config.learning);
                (absent && !unavailable).then_some((Object::Port(*port), target, Method::POST, path, Some(body)))
            }
            Request::SetPort { port, enabled, pairs, learning } => {
                let old = self.ports.get(port)?.clone();
                let body = port_body(*port, *enabled, pairs, *learning);
                let new = Port { enabled: *enabled, pairs: pairs.clone(), learning: *learning, ..old };
                Some((Object::Port(*port), Target::Port(Some(new)), Method::PUT, port_path(port)?, Some(body)))
            }
            Request::DeletePort { port } => {
                self.ports.get(port)?;
                Some((Object::Port(*port), Target::Port(None), Method::DELETE, port_path(port)?, None))
            }
            Request::Attach { port, vif } => {
                let new = Port { vif: *vif, ..self.ports.get(port)?.clone() };
                let path = format!("{}/attachment", port_path(port)?);
                let body = match vif {
                    Some(vif) => json!({"type": "VifAttachment", "vif_uuid": vif.to_string()}),
                    None => json!({"type": "NoAttachment"}),
                };
                Some((Object::Port(*port), Target::Port(Some(new)), Method::PUT, path, Some(body)))
            }
            Request::SetNode { hypervisor, enabled } => {
                let mut body = self.nodes.get(hypervisor)?.clone();
                body["admin_status_enabled"] = json!(enabled);
                let path = self.node_path(*hypervisor)?;
                Some((Object::Node(*hypervisor), Target::Node(*enabled), Method::PUT, path, Some(body)))
            }
            Request::Read { port } => {
                self.ports.get(port)?;
                Some((Object::Port(*port), Target::Unchanged, Method::GET, port_path(port)?, None))
            }
            Request::Malformed(_) => None,
        }
    }

    fn switch_path(&self, switch: SwitchId) -> Option<String> {
        Some(format!("/ws.v1/lswitch/{}", self.uuids.get(&Object::Switch(switch))?))
    }

    fn port_path(&self, port: PortId) -> Option<String> {
        let switch = self.ports.get(&port)?.switch;
        Some(format!("{}/lport/{}", self.switch_path(switch)?, self.uuids.get(&Object::Port(port))?))
    }

    fn node_path(&self, hv: HvId) -> Option<String> {
        Some(format!("/ws.v1/transport-node/{}", self.uuids.get(&Object::Node(hv))?))
    }

    /// The zone that all transport nodes are in: kept as the uuid of a node that no plan has.
    pub fn zone(&mut self, uuid: String) {
        self.uuids.insert(Object::Node(HvId(u16::MAX)), uuid);
    }

    fn may_become(&self, now: Duration, object: Object, target: &Target, history: &mut History) {
        match (object, target) {
            (Object::Switch(id), Target::Switch(value)) => {
                history.switches.entry(id).or_default().may_become(now, value.clone());
                if value.is_none() {
                    for port in self.ports.iter().filter(|(_, port)| port.switch == id).map(|(port, _)| *port) {
                        history.ports.entry(port).or_default().may_become(now, None);
                    }
                }
            }
            (Object::Port(id), Target::Port(value)) => {
                history.ports.entry(id).or_default().may_become(now, value.clone());
            }
            _ => {}
        }
    }

    /// Takes an answer in. Gives violations that it shows.
    pub fn answered(&mut self, answer: &Answer, history: &mut History) -> Vec<Violation> {
        let Some(pending) = self.pending.remove(&answer.id) else { return Vec::new() };
        let outdated = match answer.ended {
            Ended::Answered { status: 200..300 | 404 | 409, generation, .. } => {
                current::answered(answer.at, generation, pending.known, pending.object)
            }
            _ => None,
        };
        let violations = self.settle(answer, pending, history);
        outdated.into_iter().chain(violations).collect()
    }

    /// Takes an answer to a request in.
    fn settle(&mut self, answer: &Answer, mut pending: Pending, history: &mut History) -> Vec<Violation> {
        match (&answer.ended, pending.looking) {
            (Ended::Answered { status: 200..300, generation, body }, false) => {
                self.counts.done += 1;
                self.generation = self.generation.max(*generation);
                self.done(answer.at, *generation, &pending, body, history)
            }
            (Ended::Answered { status: 400..500, .. }, false) => {
                self.counts.refused += 1;
                self.never_was(answer.at, &pending, history);
                Vec::new()
            }
            (Ended::NotSent(_), false) => {
                self.counts.not_sent += 1;
                self.never_was(answer.at, &pending, history);
                Vec::new()
            }
            (Ended::Answered { .. } | Ended::Unknown(_), false) => {
                self.counts.lost += 1;
                pending.unknown = Some((answer.at, answer.at + LOOK_AFTER));
                self.pending.insert(answer.id, pending);
                Vec::new()
            }
            (Ended::Answered { status: 200..300 | 404, generation, body }, true) => {
                self.generation = self.generation.max(*generation);
                self.looked(answer, *generation, pending, body, history)
            }
            (Ended::Answered { .. } | Ended::NotSent(_) | Ended::Unknown(_), true) => {
                pending.looking = false;
                pending.unknown = pending.unknown.map(|(since, _)| (since, answer.at + LOOK_AFTER));
                self.pending.insert(answer.id, pending);
                Vec::new()
            }
        }
    }

    /// Calls that find out what became of requests that were lost.
    pub fn look(&mut self, now: Duration) -> Vec<Call> {
        let due = self
            .pending
            .iter()
            .filter(|(_, pending)| !pending.looking && pending.unknown.is_some_and(|(_, next)| next <= now));
        let due: Vec<u64> = due.map(|(id, _)| *id).collect();
        due.into_iter().filter_map(|id| self.look_at(id)).collect()
    }

    fn look_at(&mut self, id: u64) -> Option<Call> {
        let pending = self.pending.get(&id)?;
        let path = match (pending.object, self.uuids.contains_key(&pending.object)) {
            (Object::Switch(switch), true) => self.switch_path(switch)?,
            (Object::Port(port), true) => format!("{}?relations=LogicalPortAttachment", self.port_path(port)?),
            (Object::Node(hv), _) => self.node_path(hv)?,
            (Object::Switch(switch), false) => format!("/ws.v1/lswitch?fields=*&display_name={switch}"),
            (Object::Port(port), false) => format!("/ws.v1/lswitch/*/lport?fields=*&display_name={port}"),
        };
        let entry = self.pending.get_mut(&id).expect("it was just there");
        (entry.looking, entry.known) = (true, self.generation);
        Some(Call { id, method: Method::GET, path, body: Vec::new() })
    }

    /// A request was carried out.
    fn done(
        &mut self,
        at: Duration,
        generation: u64,
        pending: &Pending,
        body: &Value,
        history: &mut History,
    ) -> Vec<Violation> {
        match (pending.object, &pending.target) {
            (Object::Port(port), Target::Unchanged) => {
                return self.compare(pending.asked_at, at, port, body, history).into_iter().collect();
            }
            (Object::Node(hv), Target::Node(enabled)) => _ = self.enabled.insert(hv, *enabled),
            (Object::Switch(id), Target::Switch(Some(switch))) => {
                self.name(pending.object, body);
                self.switches.insert(id, switch.clone());
            }
            (Object::Switch(id), Target::Switch(None)) => {
                self.switches.remove(&id);
                let ports: Vec<PortId> =
                    self.ports.iter().filter(|(_, port)| port.switch == id).map(|(port, _)| *port).collect();
                for port in ports {
                    self.ports.remove(&port);
                    self.awaited.push(Awaited { generation, object: Object::Port(port) });
                }
            }
            (Object::Port(id), Target::Port(Some(port))) => {
                self.name(pending.object, body);
                self.ports.insert(id, port.clone());
            }
            (Object::Port(id), Target::Port(None)) => _ = self.ports.remove(&id),
            (object, target) => unreachable!("{object} does not become {target:?}"),
        }
        self.awaited.push(Awaited { generation, object: pending.object });
        Vec::new()
    }

    /// Remembers the uuid that an object was given.
    fn name(&mut self, object: Object, body: &Value) {
        if let (Some(uuid), false) = (body["uuid"].as_str(), self.uuids.contains_key(&object)) {
            self.uuids.insert(object, uuid.to_string());
        }
    }

    /// A request was not carried out, for certain.
    fn never_was(&self, at: Duration, pending: &Pending, history: &mut History) {
        match (pending.object, &pending.target) {
            (Object::Switch(id), Target::Switch(value)) => {
                history.switches.entry(id).or_default().never_became(at, value.as_ref());
                if value.is_none() {
                    for port in self.ports.iter().filter(|(_, port)| port.switch == id).map(|(port, _)| *port) {
                        history.ports.entry(port).or_default().never_became(at, None);
                    }
                }
            }
            (Object::Port(id), Target::Port(value)) => {
                history.ports.entry(id).or_default().never_became(at, value.as_ref());
            }
            _ => {}
        }
    }

    /// Only what is there by the latest answers is lawful from now on.
    fn hold(&self, at: Duration, object: Object, history: &mut History) {
        match object {
            Object::Switch(id) => history.switches.entry(id).or_default().holds(at, self.switches.get(&id)),
            Object::Port(id) => history.ports.entry(id).or_default().holds(at, self.ports.get(&id)),
            Object::Node(_) => {}
        }
    }

    /// An object was read, to find out what became of a request about it.
    fn looked(
        &mut self,
        answer: &Answer,
        generation: u64,
        mut pending: Pending,
        body: &Value,
        history: &mut History,
    ) -> Vec<Violation> {
        let found = match body["results"].as_array() {
            Some(results) if results.len() > 1 => {
                let what = format!("there are {} objects named {}", results.len(), pending.object);
                return vec![Violation::new("C3", answer.at, what)];
            }
            Some(results) => results.first().cloned().unwrap_or(Value::Null),
            None => body.clone(),
        };
        let there = found["uuid"].is_string();
        let happened = match &pending.target {
            Target::Switch(Some(switch)) => there && read_switch(&found).as_ref() == Some(switch),
            Target::Port(Some(port)) => there && read_port(port.switch, &found).as_ref() == Some(port),
            Target::Switch(None) | Target::Port(None) => !there,
            Target::Node(enabled) => found["admin_status_enabled"] == json!(enabled),
            Target::Unchanged => true,
        };
        let (since, _) = pending.unknown.expect("only lost requests are looked for");
        if happened && pending.target != Target::Unchanged {
            self.marks.insert(Mark::LostRequestDone);
            return self.done(answer.at, generation, &pending, &found, history);
        }
        if happened || answer.at > since + LOST_AFTER {
            self.marks.insert(Mark::LostRequestNeverWas);
            self.never_was(answer.at, &pending, history);
            return Vec::new();
        }
        pending.looking = false;
        pending.unknown = Some((since, (since + LOST_AFTER + LOOK_AFTER).max(answer.at + LOOK_AFTER)));
        self.pending.insert(answer.id, pending);
        Vec::new()
    }

    /// Every node that takes part is said to hold everything up to a generation.
    pub fn realised(&mut self, now: Duration, generation: u64, history: &mut History) {
        let (held, awaited) = std::mem::take(&mut self.awaited).into_iter().partition(|a| a.generation <= generation);
        self.awaited = awaited;
        let held: Vec<Awaited> = held;
        for Awaited { object, .. } in held {
            let later = self.awaited.iter().any(|awaited| awaited.object == object) || self.in_flight(object);
            if !later {
                self.hold(now, object, history);
            }
        }
    }

    /// Whether a transport node is in service, and nobody is about to change that.
    pub fn node_serves(&self, hv: HvId) -> bool {
        self.node_enabled(hv) && !self.in_flight(Object::Node(hv))
    }

    fn in_flight(&self, object: Object) -> bool {
        let of_switch = |port: PortId, history: SwitchId| self.ports.get(&port).is_some_and(|p| p.switch == history);
        self.pending.values().any(|pending| match (pending.object, object) {
            (Object::Switch(switch), Object::Port(port)) => of_switch(port, switch),
            (pending, object) => pending == object,
        })
    }

    /// A port as it was read, against what it may be.
    fn compare(
        &self,
        from: Duration,
        to: Duration,
        port: PortId,
        body: &Value,
        history: &History,
    ) -> Option<Violation> {
        let versions: &Versions<Port> = history.ports.get(&port)?;
        let without_vif = |port: Option<&Port>| port.map(|port| Port { vif: None, ..port.clone() });
        let lawful: Vec<Option<Port>> = versions.during(from, to).map(without_vif).collect();
        let lawful: Vec<Option<&Port>> = lawful.iter().map(Option::as_ref).collect();
        let switch = lawful.iter().flatten().map(|port| port.switch).next()?;
        let read = read_port(switch, body).map(|port| Port { vif: None, ..port });
        acknowledged::judge(to, &port, read.as_ref(), &lawful)
    }

    /// Everything as it was read at the end, against what it must be.
    pub fn judge_all(&self, at: Duration, ports: &[Value], switches: &[Value]) -> Vec<Violation> {
        let names = |objects: &[Value]| -> Vec<String> {
            objects.iter().filter_map(|object| object["display_name"].as_str().map(str::to_string)).collect()
        };
        let (port_names, switch_names) = (names(ports), names(switches));
        let all = port_names.iter().chain(&switch_names).map(String::as_str);
        let mut violations = acknowledged::judge_names(at, all);
        for object in ports {
            let id = object["display_name"].as_str().and_then(|name| name.strip_prefix('p')?.parse().ok()).map(PortId);
            let known = id.and_then(|id| self.ports.get(&id));
            let read = known.and_then(|port| read_port(port.switch, object));
            let name = object["display_name"].to_string();
            violations.extend(acknowledged::judge(at, &name, read.as_ref(), &[known]));
            if known.is_none() {
                violations.push(Violation::new("C2", at, format!("{name} is there, and should not be")));
            }
        }
        for (id, switch) in &self.switches {
            let found = switches.iter().find(|object| object["display_name"] == id.to_string());
            let read = found.and_then(read_switch);
            violations.extend(acknowledged::judge(at, id, read.as_ref(), &[Some(switch)]));
        }
        let missing = self.ports.keys().filter(|id| !port_names.contains(&id.to_string()));
        violations
            .extend(missing.map(|id| Violation::new("C2", at, format!("{id} is gone, though nobody removed it"))));
        violations
    }
}

fn port_body(port: PortId, enabled: bool, pairs: &[Pair], learning: bool) -> Value {
    let pair = |pair: &Pair| match pair.net {
        None => json!({"mac_address": pair.mac.to_string()}),
        Some((address, _)) if Some(address) == pair.host() => {
            json!({"mac_address": pair.mac.to_string(), "ip_address": address.to_string()})
        }
        Some((address, length)) => {
            json!({"mac_address": pair.mac.to_string(), "ip_address": format!("{address}/{length}")})
        }
    };
    json!({
        "display_name": port.to_string(),
        "admin_status_enabled": enabled,
        "allowed_address_pairs": pairs.iter().map(pair).collect::<Vec<_>>(),
        "mac_learning": learning,
    })
}

fn read_switch(body: &Value) -> Option<Switch> {
    Some(Switch { isolated: body["port_isolation_enabled"].as_bool()? })
}

/// A port as the API shows it; its attachment if that was asked for.
fn read_port(switch: SwitchId, body: &Value) -> Option<Port> {
    let pair = |pair: &Value| {
        let mac = pair["mac_address"].as_str()?.to_string().try_into().ok()?;
        let net = match pair["ip_address"].as_str() {
            None => None,
            Some(text) => {
                let (address, length) = text.split_once('/').map_or((text, None), |(a, l)| (a, l.parse().ok()));
                let address: std::net::IpAddr = address.parse().ok()?;
                Some((address, length.unwrap_or(if address.is_ipv4() { 32 } else { 128 })))
            }
        };
        Some(Pair { mac, net })
    };
    let vif = body["_relations"]["LogicalPortAttachment"]["vif_uuid"].as_str();
    Some(Port {
        switch,
        enabled: body["admin_status_enabled"].as_bool()?,
        pairs: body["allowed_address_pairs"].as_array()?.iter().map(pair).collect::<Option<_>>()?,
        learning: body["mac_learning"].as_bool().unwrap_or(false),
        vif: vif.and_then(|name| name.strip_prefix('v')?.parse().ok()).map(VifId),
    })
}
