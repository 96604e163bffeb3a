//! What to write into a switch's database so that it becomes what we want: pure functions of the two.
//!
//! [`plan`] is for a transport node that is ours, [`retire`] for one that no longer is. Each returns one transaction,
//! or nothing when there is nothing to do; once a plan is applied, the next one is nothing. Ours are the integration
//! bridge, its settings named here, its controllers, the managers that name us, and the tunnel ports that bear our
//! [`MARK_KEY`]. Other bridges, other ports, other managers, and other keys in shared maps are never written.
//!
//! **Fencing.** `external_ids:selvedge-epoch` of the switch records the epoch of the controller that wrote last.
//! Every transaction starts by waiting, without patience, for what we saw there, so it fails if someone
//! else wrote in between; and a switch that has seen a greater epoch than ours is refused.
//!
//! **When it is in effect.** Every transaction ends with `next_cfg += 1`. The notice of that comes before the reply, so
//! at [`TransactionDone`](super::session::Event::TransactionDone) the replica's `next_cfg` is ours or later:
//! `ovs-vswitchd` has done its part when `cur_cfg` reaches that number.

use super::operation::{Columns, Condition, Function, Mutation, Operation, Transaction};
use super::value::{Atom, Value};
use super::vswitch::{Bridge, DATABASE, Interface, Port, StringMap, Switch, Vswitch};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use uuid::Uuid;

mod peers;

/// The key in `external_ids` of the switch that records the greatest epoch.
pub const EPOCH_KEY: &str = "selvedge-epoch";

/// The key in `external_ids` of a port, controller or manager that says that it is ours.
pub const MARK_KEY: &str = "selvedge";

const MARK_TUNNEL: &str = "tunnel";
const FAIL_MODE: &str = "secure";
const PROTOCOLS: [&str; 2] = ["OpenFlow13", "OpenFlow15"];

/// Without this, hidden flows would let controller traffic pass the bridge, whatever our flows say.
const DISABLE_IN_BAND: (&str, &str) = ("disable-in-band", "true");

/// What a transport node's switch should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredSwitch {
    /// The name of the integration bridge.
    pub bridge: String,
    /// Its OpenFlow controllers, as in `ssl:192.0.2.1:6653`. All others go.
    pub controllers: BTreeSet<String>,
    /// Its OVSDB managers, as in `ssl:192.0.2.1:6640`. Others that were ours go; those of others stay.
    pub managers: BTreeSet<String>,
    /// Its tunnel ports by name.
    pub tunnels: BTreeMap<String, DesiredTunnel>,
    /// That of the controller that writes.
    pub epoch: u64,
}

/// A tunnel port whose peers and keys come from flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredTunnel {
    /// `geneve`, `vxlan`, `gre` or `stt`.
    pub kind: String,
    /// The address to send from; unset, routing chooses.
    pub local_ip: Option<IpAddr>,
    /// The OpenFlow port number to ask for.
    pub ofport: u32,
}

/// A transaction, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What to write.
    pub transaction: Transaction,
    /// What was found wrong, for people. Never empty.
    pub reasons: Vec<String>,
}

/// Why a switch must not or cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A later controller is in charge.
    #[error("the switch has seen epoch {recorded}, ours is {ours}")]
    Fenced {
        /// In the switch.
        recorded: u64,
        /// Ours, which is less.
        ours: u64,
    },
    /// There is no row to hang anything on: `ovs-vsctl init` was never run.
    #[error("the database is not initialised: table Open_vSwitch is empty")]
    Uninitialised,
}

/// What to write so that `vswitch` becomes `desired`, as far as [`conflicts`] do not prevent it.
pub fn plan(desired: &DesiredSwitch, vswitch: &Vswitch) -> Result<Option<Plan>, Refused> {
    let mut planner = Planner::begin(vswitch, desired.epoch)?;
    let (bridge, found) = match vswitch.bridge(&desired.bridge) {
        Some((uuid, found)) => (uuid.into(), found.clone()),
        None => planner.make_bridge(&desired.bridge),
    };
    planner.correct_bridge(&bridge, &found);
    planner.correct_controllers(&bridge, &found, &desired.controllers);
    planner.correct_managers(&desired.managers);
    planner.remove_tunnels(&bridge, &found, |name| desired.tunnels.contains_key(name));
    for (name, tunnel) in &desired.tunnels {
        planner.correct_tunnel(&bridge, &found, name, tunnel);
    }
    Ok(planner.finish())
}

/// What to write on the switch of a transport node that was deleted: our tunnels and controllers go. The bridge stays,
/// and with it the ports of guests, which are not ours to unplug; and so do the managers, by which a node that is made again
/// comes back.
pub fn retire(bridge: &str, epoch: u64, vswitch: &Vswitch) -> Result<Option<Plan>, Refused> {
    let mut planner = Planner::begin(vswitch, epoch)?;
    if let Some((uuid, found)) = vswitch.bridge(bridge) {
        planner.remove_controllers(&uuid.into(), found);
        planner.remove_tunnels(&uuid.into(), found, |_| false);
    }
    Ok(planner.finish())
}

/// Sentences about what a plan for `desired` leaves undone: tunnel ports whose name someone else uses.
pub fn conflicts(desired: &DesiredSwitch, vswitch: &Vswitch) -> Vec<String> {
    let bridge = vswitch.bridge(&desired.bridge).map(|(_, bridge)| bridge.clone()).unwrap_or_default();
    let conflict = |(name, tunnel): (&String, &DesiredTunnel)| match Found::look_up(vswitch, &bridge, name, tunnel) {
        Found::Foreign => Some(format!("the name of tunnel port {name} is in use by something else")),
        Found::Ours(..) | Found::Absent => None,
    };
    desired.tunnels.iter().filter_map(conflict).collect()
}

/// What a switch has under the name of a tunnel port of ours.
enum Found<'a> {
    Ours(Uuid, &'a Port),
    Foreign,
    Absent,
}

impl<'a> Found<'a> {
    fn look_up(vswitch: &'a Vswitch, bridge: &Bridge, name: &str, tunnel: &DesiredTunnel) -> Self {
        let on_bridge = |uuid: &Uuid| bridge.ports.contains(uuid);
        match vswitch.ports.iter().find(|(_, port)| port.name == name) {
            Some((uuid, port)) if on_bridge(uuid) && is_our_tunnel(vswitch, port, tunnel) => Self::Ours(*uuid, port),
            Some(_) => Self::Foreign,
            None if vswitch.interfaces.values().any(|interface| interface.name == name) => Self::Foreign,
            None => Self::Absent,
        }
    }
}

/// Whether a port with the right name is ours: it bears the mark, or lost it and still is a flow-based tunnel of the
/// right type.
fn is_our_tunnel(vswitch: &Vswitch, port: &Port, tunnel: &DesiredTunnel) -> bool {
    let is_flow_based = |(_, interface): (Uuid, &Interface)| {
        interface.kind == tunnel.kind && interface.options.get("remote_ip").is_some_and(|remote| remote == "flow")
    };
    is_marked(&port.external_ids, MARK_TUNNEL) || vswitch.interfaces_of(port).any(is_flow_based)
}

fn is_marked(external_ids: &StringMap, mark: &str) -> bool {
    external_ids.get(MARK_KEY).is_some_and(|found| found == mark)
}

/// A transaction in the making.
struct Planner<'a> {
    vswitch: &'a Vswitch,
    switch: &'a Switch,
    transaction: Transaction,
    reasons: Vec<String>,
}

impl<'a> Planner<'a> {
    /// Starts with the fence.
    fn begin(vswitch: &'a Vswitch, epoch: u64) -> Result<Self, Refused> {
        let switch = vswitch.switch.as_ref().ok_or(Refused::Uninitialised)?;
        let text = switch.external_ids.get(EPOCH_KEY);
        // What is no number was not written by us, and protects nobody.
        let recorded = text.and_then(|text| text.parse::<u64>().ok());
        if let Some(recorded) = recorded.filter(|recorded| *recorded > epoch) {
            return Err(Refused::Fenced { recorded, ours: epoch });
        }
        let mut planner = Self { vswitch, switch, transaction: Transaction::new(DATABASE), reasons: Vec::new() };
        planner.transaction.push(fence(switch));
        if recorded != Some(epoch) {
            planner.because(format!("epoch was {}, is {epoch}", text.map_or("not recorded", String::as_str)));
            let mutations = set_key("external_ids", EPOCH_KEY, &epoch.to_string());
            planner.transaction.mutate("Open_vSwitch", &switch.uuid.into(), mutations);
        }
        Ok(planner)
    }

    fn finish(mut self) -> Option<Plan> {
        if self.reasons.is_empty() {
            assert_eq!(self.transaction.operations().len(), 1, "what is written has a reason");
            return None;
        }
        self.transaction.push(Operation::Comment(format!("selvedge: {}", self.reasons.join("; "))));
        self.transaction.mutate("Open_vSwitch", &self.switch.uuid.into(), vec![Mutation::add("next_cfg", 1)]);
        Some(Plan { transaction: self.transaction, reasons: self.reasons })
    }

    fn because(&mut self, reason: String) {
        self.reasons.push(reason);
    }

    /// Inserts the bridge with its internal port, and returns it as the rest of the plan should see it.
    fn make_bridge(&mut self, name: &str) -> (Atom, Bridge) {
        self.because(format!("bridge {name} was missing"));
        let bridge = Bridge {
            name: name.to_owned(),
            datapath_type: self.datapath_type().to_owned(),
            fail_mode: Some(FAIL_MODE.to_owned()),
            protocols: PROTOCOLS.map(str::to_owned).into(),
            other_config: [(DISABLE_IN_BAND.0.to_owned(), DISABLE_IN_BAND.1.to_owned())].into(),
            ..Bridge::default()
        };
        let interface = [("name", name.into()), ("type", "internal".into())];
        let interface = self.transaction.insert("Interface", interface.into());
        let port = [("name", name.into()), ("interfaces", interface.into())];
        let port = self.transaction.insert("Port", port.into());
        let columns = [
            ("name", name.into()),
            ("datapath_type", bridge.datapath_type.as_str().into()),
            ("fail_mode", FAIL_MODE.into()),
            ("protocols", Value::string_set(PROTOCOLS)),
            ("other_config", Value::string_map([DISABLE_IN_BAND])),
            ("ports", port.into()),
        ];
        let row = self.transaction.insert("Bridge", columns.into());
        let mutations = vec![Mutation::insert("bridges", row.clone().into())];
        self.transaction.mutate("Open_vSwitch", &self.switch.uuid.into(), mutations);
        (row, bridge)
    }

    /// The kernel's datapath where there is one. An empty list tells nothing (`ovs-vswitchd` has not run yet), and a
    /// bridge keeps its type: Open vSwitch's default is then the better guess.
    fn datapath_type(&self) -> &'static str {
        let types = &self.switch.datapath_types;
        match types.is_empty() || types.contains("system") {
            true => "system",
            false => "netdev",
        }
    }

    fn correct_bridge(&mut self, row: &Atom, found: &Bridge) {
        let mut columns = Columns::new();
        if found.fail_mode.as_deref() != Some(FAIL_MODE) {
            let was = found.fail_mode.as_deref().unwrap_or("not set");
            self.because(format!("fail_mode of {} was {was}", found.name));
            columns.insert("fail_mode", FAIL_MODE.into());
        }
        if !found.protocols.iter().eq(PROTOCOLS.iter()) {
            let was: Vec<&str> = found.protocols.iter().map(String::as_str).collect();
            self.because(format!("protocols of {} were [{}]", found.name, was.join(", ")));
            columns.insert("protocols", Value::string_set(PROTOCOLS));
        }
        if !columns.is_empty() {
            self.transaction.update("Bridge", row, columns);
        }
        let (key, value) = DISABLE_IN_BAND;
        if found.other_config.get(key).map(String::as_str) != Some(value) {
            self.because(format!("other_config:{key} of {} was not {value}", found.name));
            self.transaction.mutate("Bridge", row, set_key("other_config", key, value));
        }
    }

    fn remove_tunnels(&mut self, bridge: &Atom, found: &Bridge, wanted: impl Fn(&str) -> bool) {
        let vswitch = self.vswitch;
        let unwanted = |uuid: &&Uuid| {
            let port = vswitch.ports.get(uuid);
            port.is_some_and(|port| is_marked(&port.external_ids, MARK_TUNNEL) && !wanted(&port.name))
        };
        self.remove_references(("Bridge", bridge, "ports"), found.ports.iter().filter(unwanted), |uuid| {
            format!("tunnel port {} is not wanted", vswitch.ports[&uuid].name)
        });
    }

    /// Removes rows from a set; they vanish, since nothing else refers to them.
    fn remove_references<'b>(
        &mut self,
        (table, row, column): (&'static str, &Atom, &'static str),
        unwanted: impl Iterator<Item = &'b Uuid>,
        reason: impl Fn(Uuid) -> String,
    ) {
        let unwanted: Vec<Uuid> = unwanted.copied().collect();
        if unwanted.is_empty() {
            return;
        }
        self.reasons.extend(unwanted.iter().map(|uuid| reason(*uuid)));
        let rows = Value::set(unwanted.into_iter().map(Atom::from));
        self.transaction.mutate(table, row, vec![Mutation::delete(column, rows)]);
    }

    fn correct_tunnel(&mut self, bridge: &Atom, found: &Bridge, name: &str, tunnel: &DesiredTunnel) {
        match Found::look_up(self.vswitch, found, name, tunnel) {
            Found::Foreign => {}
            Found::Ours(uuid, port) => {
                self.correct_interface(uuid, port, tunnel);
                self.correct_mark("Port", uuid, &port.external_ids, MARK_TUNNEL, name);
            }
            Found::Absent => {
                self.because(format!("tunnel port {name} was missing"));
                let interface = self.insert_interface(name, tunnel);
                let columns = [
                    ("name", name.into()),
                    ("interfaces", interface.into()),
                    ("external_ids", Value::string_map([(MARK_KEY, MARK_TUNNEL)])),
                ];
                let port = self.transaction.insert("Port", columns.into());
                self.transaction.mutate("Bridge", bridge, vec![Mutation::insert("ports", port.into())]);
            }
        }
    }

    /// A tunnel port has one interface, of its own name; anything else there is replaced.
    fn correct_interface(&mut self, port_uuid: Uuid, port: &Port, tunnel: &DesiredTunnel) {
        let name = &port.name;
        let interfaces: Vec<(Uuid, &Interface)> = self.vswitch.interfaces_of(port).collect();
        match interfaces.as_slice() {
            [(uuid, found)] if found.name == *name => {
                if !is_tunnel(found, tunnel) {
                    self.because(format!("type, options or port number of tunnel port {name} were wrong"));
                    self.transaction.update("Interface", &Atom::from(*uuid), tunnel_columns(tunnel));
                }
            }
            _ => {
                self.because(format!("interface of tunnel port {name} was wrong"));
                let interface = self.insert_interface(name, tunnel);
                self.transaction.update("Port", &port_uuid.into(), [("interfaces", interface.into())].into());
            }
        }
    }

    fn insert_interface(&mut self, name: &str, tunnel: &DesiredTunnel) -> Atom {
        let mut columns = tunnel_columns(tunnel);
        columns.insert("name", name.into());
        self.transaction.insert("Interface", columns)
    }

    fn correct_mark(&mut self, table: &'static str, uuid: Uuid, found: &StringMap, mark: &str, name: &str) {
        if !is_marked(found, mark) {
            self.because(format!("{mark} {name} was not marked as ours"));
            self.transaction.mutate(table, &uuid.into(), set_key("external_ids", MARK_KEY, mark));
        }
    }
}

/// Holds while the epoch recorded in the switch is what we saw. That a key is absent cannot be asked for alone, so then
/// the whole map must be what we saw.
fn fence(switch: &Switch) -> Operation {
    let mut conditions = vec![Condition::is_row(&switch.uuid.into())];
    let row: (&str, Value) = match switch.external_ids.get(EPOCH_KEY) {
        Some(epoch) => {
            let value = Value::string_map([(EPOCH_KEY, epoch.as_str())]);
            conditions.push(Condition { column: "external_ids", function: Function::Includes, value });
            ("_uuid", switch.uuid.into())
        }
        None => ("external_ids", encode_map(&switch.external_ids)),
    };
    Operation::Wait { table: "Open_vSwitch", conditions, rows: vec![[row].into()] }
}

/// Sets one key of a map, whether or not it is there, and leaves the others alone.
fn set_key(column: &'static str, key: &str, value: &str) -> Vec<Mutation> {
    vec![
        Mutation::delete(column, Value::string_set([key])),
        Mutation::insert(column, Value::string_map([(key, value)])),
    ]
}

fn tunnel_columns(tunnel: &DesiredTunnel) -> Columns {
    [
        ("type", tunnel.kind.as_str().into()),
        ("options", encode_map(&tunnel_options(tunnel))),
        ("ofport_request", i64::from(tunnel.ofport).into()),
    ]
    .into()
}

/// All of them: an option that someone added could turn the tunnel into one that our flows do not control.
fn tunnel_options(tunnel: &DesiredTunnel) -> StringMap {
    let flow = |key: &str| (key.to_owned(), "flow".to_owned());
    let local_ip = tunnel.local_ip.map(|address| ("local_ip".to_owned(), address.to_string()));
    [flow("remote_ip"), flow("key")].into_iter().chain(local_ip).collect()
}

fn is_tunnel(found: &Interface, tunnel: &DesiredTunnel) -> bool {
    found.kind == tunnel.kind
        && found.options == tunnel_options(tunnel)
        && found.ofport_request == Some(i64::from(tunnel.ofport))
}

fn encode_map(map: &StringMap) -> Value {
    Value::string_map(map.iter().map(|(key, value)| (key.as_str(), value.as_str())))
}

#[cfg(test)]
mod tests;
