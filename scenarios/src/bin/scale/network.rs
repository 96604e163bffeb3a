//! A topology as a controller holds it: the commands that make it, the NIB, the engine, and what a change costs until the
//! bytes of all messages are there. Start at [`Network::carry_out`].

use super::topology::{Port, Topology};
use selvedge_core::compile::{Difference, Engine};
use selvedge_core::ids::OfPort;
use selvedge_core::nib::{
    AddressPair, Attachment, Change, Command, Kind, LogicalPort, LogicalSwitch, Nib, Object, ObservedVif,
    TransportNode, TransportZone,
};
use selvedge_net::openflow::message::{BundleId, Xid};
use selvedge_net::openflow::script::{Script, steps};
use serde_json::json;
use std::error::Error;
use uuid::Uuid;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What carrying out a change came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Bundles: one for each transport node that a command concerns.
    pub bundles: usize,
    /// Flow and group modifications in all of them.
    pub steps: usize,
    /// Bytes of all messages.
    pub bytes: usize,
    /// Fragments that were computed again.
    pub fragments: u64,
}

/// A network, and the flows that follow from it.
pub struct Network {
    pub nib: Nib,
    pub engine: Engine,
    port_security: bool,
    /// The next port number on each transport node.
    next_ofport: Vec<u32>,
    /// Messages as they would go out.
    out: Vec<u8>,
}

fn name(kind: u128, place: usize) -> Uuid {
    Uuid::from_u128(kind << 96 | place as u128)
}

/// The name of a transport node.
fn node(place: usize) -> Uuid {
    name(2, place)
}

/// The name of a logical switch.
pub fn switch(place: usize) -> Uuid {
    name(3, place)
}

/// The name of a logical port, or of one that comes and goes.
fn port(place: usize) -> Uuid {
    name(4, place)
}

impl Network {
    /// The NIB of a topology, without flows.
    ///
    /// # Errors
    /// If the topology is not lawful.
    pub fn fill(topology: &Topology) -> Outcome<Network> {
        let mut network = Network {
            nib: Nib::default(),
            engine: Engine::default(),
            port_security: topology.port_security,
            next_ofport: vec![1; topology.nodes.len()],
            out: Vec::new(),
        };
        let zone = name(1, 0);
        network.enter(&Command::Create { uuid: zone, object: Object::TransportZone(TransportZone::default()) })?;
        for (place, end) in topology.nodes.iter().enumerate() {
            let connector = json!({"type": "GeneveConnector", "transport_zone_uuid": zone, "ip_address": end});
            let config: TransportNode = serde_json::from_value(json!({"transport_connectors": [connector]}))?;
            network.enter(&Command::Create { uuid: node(place), object: Object::TransportNode(config) })?;
        }
        for place in 0..topology.switches {
            let object = Object::LogicalSwitch(LogicalSwitch::default());
            network.enter(&Command::Create { uuid: switch(place), object })?;
        }
        for (place, one) in topology.ports.iter().enumerate() {
            for command in network.add(place, one)? {
                network.enter(&command)?;
            }
        }
        Ok(network)
    }

    fn enter(&mut self, command: &Command) -> Outcome<()> {
        self.nib.apply(command)?;
        Ok(())
    }

    /// Carries out a change as a controller does, up to the bytes of the messages to each transport node that it concerns.
    ///
    /// # Errors
    /// If the change is refused.
    pub fn carry_out(&mut self, commands: &[Command]) -> Outcome<Cost> {
        let mut cost = Cost::default();
        for command in commands {
            let changes = self.nib.apply(command)?;
            self.tell(&changes, &mut cost)?;
        }
        Ok(cost)
    }

    /// Follows the NIB, which has just been changed, up to the bytes of the messages; adds what that came to.
    ///
    /// # Errors
    /// If a message is longer than messages can be.
    pub fn tell(&mut self, changes: &[Change], cost: &mut Cost) -> Outcome<()> {
        let before = self.engine.work().computed;
        for Difference { nodes, delta } in self.engine.update(&self.nib, changes) {
            let scripts = Script::of(steps(&delta))?;
            for script in &scripts {
                for _ in &nodes {
                    self.out.clear();
                    script.put(BundleId(1), Xid(1), &mut self.out);
                }
                cost.bundles += nodes.len();
                cost.steps += nodes.len() * (script.flows + script.groups);
                cost.bytes += nodes.len() * script.size();
            }
        }
        cost.fragments += self.engine.work().computed - before;
        Ok(())
    }

    fn config(&self, one: &Port) -> Outcome<LogicalPort> {
        let pair = json!({"mac_address": one.mac, "ip_address": one.ip});
        let pairs = if self.port_security { vec![pair] } else { Vec::new() };
        Ok(serde_json::from_value(json!({"allowed_address_pairs": pairs}))?)
    }

    /// A port is made, and its guest appears.
    pub fn add(&mut self, place: usize, one: &Port) -> Outcome<Vec<Command>> {
        let uuid = port(place);
        let object = Object::LogicalPort { switch: switch(one.switch), config: self.config(one)? };
        let attachment = Attachment::Vif { vif_uuid: uuid.to_string() };
        Ok(vec![
            Command::Create { uuid, object },
            Command::Attach { port: uuid, attachment },
            self.appear(place, one, one.node),
        ])
    }

    fn appear(&mut self, place: usize, one: &Port, on: usize) -> Command {
        let next = &mut self.next_ofport[on];
        let ofport = OfPort(std::mem::replace(next, *next + 1));
        let interface = format!("tap{ofport:?}");
        let vif = ObservedVif { vif: port(place).to_string(), interface, ofport, attached_mac: Some(one.mac) };
        Command::Observe { node: node(on), epoch: None, present: vec![vif], gone: Vec::new() }
    }

    fn vanish(place: usize, from: usize) -> Command {
        Command::Observe { node: node(from), epoch: None, present: Vec::new(), gone: vec![port(place).to_string()] }
    }

    /// The guest of a port migrates.
    pub fn migrate(&mut self, place: usize, one: &Port, to: usize) -> Vec<Command> {
        vec![self.appear(place, one, to), Network::vanish(place, one.node)]
    }

    /// A port is deleted, and its guest goes.
    pub fn delete(place: usize, on: usize) -> Vec<Command> {
        vec![Command::Delete { kind: Kind::LogicalPort, uuid: port(place) }, Network::vanish(place, on)]
    }

    /// A port is allowed more addresses than its own, or only that.
    pub fn allow(&self, place: usize, one: &Port, more: &[AddressPair]) -> Outcome<Vec<Command>> {
        let uuid = port(place);
        let mut config = self.config(one)?;
        config.allowed_address_pairs.extend(more.iter().cloned());
        let read_at = self.nib.ports().get(&uuid).ok_or("the port is gone")?.modified;
        let object = Object::LogicalPort { switch: switch(one.switch), config };
        Ok(vec![Command::Update { uuid, object, read_at }])
    }

    /// A transport node takes part, or not.
    pub fn enable(&self, place: usize, is_enabled: bool) -> Outcome<Vec<Command>> {
        let uuid = node(place);
        let record = self.nib.nodes().get(&uuid).ok_or("the node is gone")?;
        let config = TransportNode { admin_status_enabled: is_enabled, ..record.config.clone() };
        Ok(vec![Command::Update { uuid, object: Object::TransportNode(config), read_at: record.modified }])
    }
}
