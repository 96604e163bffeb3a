//! Incremental equals full: after any edits of any network, what the engine holds for each transport node is what it
//! would compute from scratch, and what it told the node to change lands exactly there.

use proptest::prelude::*;
use selvedge_core::addr::Mac;
use selvedge_core::compile::{Difference, Engine};
use selvedge_core::flow::FlowTable;
use selvedge_core::ids::{NodeNumber, OfPort, Revision};
use selvedge_core::nib::*;
use selvedge_core::reconcile::{Delta, Mod, diff, plan};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr};
use uuid::Uuid;

const ZONES: u8 = 2;
const NODES: u8 = 4;
const SWITCHES: u8 = 3;
const PORTS: u8 = 8;

/// An edit of a small universe: every number names one of few objects, so that edits meet.
#[derive(Clone, Debug)]
enum Edit {
    PutNode { node: u8, enabled: bool, connectors: Vec<(u8, u8)> },
    DeleteNode(u8),
    PutSwitch { switch: u8, isolated: bool, transports: Vec<(u8, u8)> },
    DeleteSwitch(u8),
    PutPort { port: u8, up: bool, pairs: Vec<(u8, u8)>, learning: bool },
    DeletePort(u8),
    Attach { port: u8, vif: Option<u8> },
    Observe { node: u8, present: Vec<(u8, u8, bool)>, gone: Vec<u8> },
}

fn edits() -> impl Strategy<Value = Edit> {
    let pairs = |most| prop::collection::vec((0..ZONES, 0..4u8), 0..most);
    prop_oneof![
        2 => (0..NODES, prop::bool::weighted(0.9), pairs(4)).prop_map(|(node, enabled, connectors)| Edit::PutNode { node, enabled, connectors }),
        1 => (0..NODES).prop_map(Edit::DeleteNode),
        2 => (0..SWITCHES, prop::bool::weighted(0.2), pairs(3)).prop_map(|(switch, isolated, transports)| Edit::PutSwitch { switch, isolated, transports }),
        1 => (0..SWITCHES).prop_map(Edit::DeleteSwitch),
        4 => (0..PORTS, prop::bool::weighted(0.8), prop::collection::vec((0..4u8, 0..6u8), 0..3), prop::bool::weighted(0.2))
            .prop_map(|(port, up, pairs, learning)| Edit::PutPort { port, up, pairs, learning }),
        1 => (0..PORTS).prop_map(Edit::DeletePort),
        3 => (0..PORTS, prop::option::weighted(0.8, 0..PORTS)).prop_map(|(port, vif)| Edit::Attach { port, vif }),
        6 => (0..NODES, prop::collection::vec((0..PORTS, 1..6u8, any::<bool>()), 0..4), prop::collection::vec(0..PORTS, 0..3))
            .prop_map(|(node, present, gone)| Edit::Observe { node, present, gone }),
    ]
}

fn id(space: u8, n: u8) -> Uuid {
    Uuid::from_u128(u128::from(space) << 64 | u128::from(n))
}

fn zone(n: u8) -> Uuid {
    id(1, n)
}

fn connector_type(n: u8) -> ConnectorType {
    [ConnectorType::Geneve, ConnectorType::Vxlan, ConnectorType::Gre, ConnectorType::Bridge][usize::from(n)]
}

fn transport_type(n: u8) -> TransportType {
    [TransportType::Geneve, TransportType::Vxlan, TransportType::Gre, TransportType::Bridge][usize::from(n)]
}

fn json<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).expect("a lawful object")
}

fn node_config(node: u8, enabled: bool, connectors: &[(u8, u8)]) -> TransportNode {
    let mut config: TransportNode = json(serde_json::json!({ "admin_status_enabled": enabled }));
    let mut ends: Vec<(u8, u8)> = connectors.to_vec();
    ends.sort();
    ends.dedup();
    config.transport_connectors = ends
        .into_iter()
        .map(|(z, kind)| Connector {
            kind: connector_type(kind),
            transport_zone_uuid: zone(z),
            ip_address: IpAddr::V4(Ipv4Addr::new(172, 31, kind, node)),
        })
        .collect();
    config
}

fn port_config(up: bool, pairs: &[(u8, u8)], learning: bool) -> LogicalPort {
    let mut config: LogicalPort = json(serde_json::json!({ "admin_status_enabled": up, "mac_learning": learning }));
    let pair = |(mac, ip): &(u8, u8)| AddressPair {
        mac_address: Mac([2, 0, 0, 0, 0, *mac]),
        ip_address: match ip {
            0 => None,
            1 => Some("fd00::1".parse().expect("an address")),
            2 => Some("10.0.0.0/8".parse().expect("a prefix")),
            n => Some(format!("10.0.0.{n}").parse().expect("an address")),
        },
    };
    config.allowed_address_pairs = pairs.iter().map(pair).collect();
    config
}

impl Edit {
    /// The command that makes it so, given what is there: an update where the object exists.
    fn command(&self, nib: &Nib) -> Command {
        let put = |kind: Kind, uuid: Uuid, object: Object| match nib.modified(kind, uuid) {
            Some(read_at) => Command::Update { uuid, object, read_at },
            None => Command::Create { uuid, object },
        };
        match self {
            Edit::PutNode { node, enabled, connectors } => {
                let object = Object::TransportNode(node_config(*node, *enabled, connectors));
                put(Kind::TransportNode, id(2, *node), object)
            }
            Edit::DeleteNode(node) => Command::Delete { kind: Kind::TransportNode, uuid: id(2, *node) },
            Edit::PutSwitch { switch, isolated, transports } => {
                let binding = |(z, kind): &(u8, u8)| TransportZoneBinding {
                    zone_uuid: zone(*z),
                    transport_type: transport_type(*kind),
                    binding_config: None,
                };
                let config = LogicalSwitch {
                    port_isolation_enabled: *isolated,
                    transport_zones: transports.iter().map(binding).collect(),
                    ..LogicalSwitch::default()
                };
                put(Kind::LogicalSwitch, id(3, *switch), Object::LogicalSwitch(config))
            }
            Edit::DeleteSwitch(switch) => Command::Delete { kind: Kind::LogicalSwitch, uuid: id(3, *switch) },
            Edit::PutPort { port, up, pairs, learning } => {
                let config = port_config(*up, pairs, *learning);
                let switch = id(3, port % SWITCHES);
                put(Kind::LogicalPort, id(4, *port), Object::LogicalPort { switch, config })
            }
            Edit::DeletePort(port) => Command::Delete { kind: Kind::LogicalPort, uuid: id(4, *port) },
            Edit::Attach { port, vif } => {
                let attachment = match vif {
                    Some(vif) => Attachment::Vif { vif_uuid: format!("vif-{vif}") },
                    None => Attachment::None,
                };
                Command::Attach { port: id(4, *port), attachment }
            }
            Edit::Observe { node, present, gone } => {
                let observed = |(vif, ofport, mac): &(u8, u8, bool)| ObservedVif {
                    vif: format!("vif-{vif}"),
                    interface: format!("tap{ofport}"),
                    ofport: OfPort(u32::from(*ofport)),
                    attached_mac: mac.then_some(Mac([2, 0, 0, 0, 1, *vif])),
                };
                Command::Observe {
                    node: id(2, *node),
                    epoch: None,
                    present: present.iter().map(observed).collect(),
                    gone: gone.iter().map(|vif| format!("vif-{vif}")).collect(),
                }
            }
        }
    }
}

/// Carries a plan out, step by step, as a switch would: an error where a switch would give one.
fn carry_out(steps: &[Mod], table: &mut FlowTable) {
    for step in steps {
        match step {
            Mod::PutGroup(id, buckets) => _ = table.groups.insert(*id, buckets.clone()),
            Mod::InsertBucket(id, bucket, actions) => {
                let old = table.groups.get_mut(id).expect("a group").insert(*bucket, actions.clone());
                assert_eq!(old, None, "a bucket is inserted once");
            }
            Mod::RemoveBucket(id, bucket) => {
                table.groups.get_mut(id).expect("a group").remove(bucket).expect("a bucket that is there");
            }
            Mod::DeleteGroup(id) => _ = table.groups.remove(id),
            Mod::AddFlow(key, body) => _ = table.flows.insert(key.clone(), body.clone()),
            Mod::DeleteFlow(key) => _ = table.flows.remove(key),
            Mod::DeleteFlowsOf(datapath) => table.flows.retain(|_, body| body.datapath() != *datapath),
        }
    }
}

#[derive(Default)]
struct World {
    nib: Nib,
    engine: Engine,
    /// What each node holds when it carries out every delta at once.
    prompt: BTreeMap<NodeNumber, FlowTable>,
    /// What a slow node holds, and what it has yet to carry out.
    slow: BTreeMap<NodeNumber, (FlowTable, Delta)>,
}

impl World {
    fn new() -> World {
        let mut world = World::default();
        for n in 0..ZONES {
            let object = Object::TransportZone(TransportZone::default());
            world.nib.apply(&Command::Create { uuid: zone(n), object }).expect("a zone");
        }
        // A network that works, so that most edits find something to change.
        let both_zones = vec![(0, 0), (0, 1), (1, 0), (1, 2)];
        let nodes = (0..NODES).map(|node| Edit::PutNode { node, enabled: true, connectors: both_zones.clone() });
        let transports = |switch| vec![(switch % ZONES, 0), (0, 1), (1, 2)];
        let switches =
            (0..SWITCHES).map(|switch| Edit::PutSwitch { switch, isolated: false, transports: transports(switch) });
        let ports = (0..PORTS).flat_map(|port| {
            let put = Edit::PutPort { port, up: true, pairs: vec![(port % 4, port % 6)], learning: false };
            [put, Edit::Attach { port, vif: Some(port) }]
        });
        let places = (0..PORTS).map(|port| Edit::Observe {
            node: port % NODES,
            present: vec![(port, 1 + port, true)],
            gone: vec![],
        });
        nodes.chain(switches).chain(ports).chain(places).for_each(|edit| world.edit(&edit));
        let held: usize = world.prompt.values().map(|table| table.flows.len()).sum();
        assert!(held > 100, "the network is one: {held} flows");
        world
    }

    fn edit(&mut self, edit: &Edit) {
        if self.apply(&edit.command(&self.nib)) {
            self.check(edit);
        }
    }

    /// Whether it is lawful.
    fn apply(&mut self, command: &Command) -> bool {
        let Ok(changes) = self.nib.apply(command) else { return false };
        let mut told = BTreeSet::new();
        for Difference { nodes, delta } in self.engine.update(&self.nib, &changes) {
            assert!(!delta.is_empty(), "nobody is told nothing");
            for node in nodes {
                assert!(told.insert(node), "node {node} is told once");
                carry_out(&plan(&delta), self.prompt.entry(node).or_default());
                self.slow.entry(node).or_default().1.merge(delta.clone());
            }
        }
        true
    }

    fn check(&self, edit: &impl Debug) {
        let full = Engine::from_nib(&self.nib);
        for node in self.nib.nodes().values().map(|record| record.number) {
            let want = full.desired(node);
            let held = self.engine.desired(node);
            assert_eq!(diff(&held, &want), Delta::default(), "incremental is not full for node {node} after {edit:?}");
            let empty = FlowTable::default();
            let landed = self.prompt.get(&node).unwrap_or(&empty);
            assert_eq!(diff(landed, &want), Delta::default(), "node {node} was told otherwise at {edit:?}");
        }
        assert_eq!(full.size(), self.engine.size(), "no fragment is left behind after {edit:?}");
    }

    fn let_the_slow_catch_up(&mut self) {
        for (node, (table, pending)) in &mut self.slow {
            carry_out(&plan(&std::mem::take(pending)), table);
            assert_eq!(diff(table, &self.prompt[node]), Delta::default(), "merged deltas land where single ones do");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn incremental_equals_full(edits in prop::collection::vec(edits(), 1..80)) {
        let mut world = World::new();
        for (i, edit) in edits.iter().enumerate() {
            world.edit(edit);
            if i % 7 == 6 {
                world.let_the_slow_catch_up();
            }
        }
        world.let_the_slow_catch_up();
        let reloaded: Nib = serde_json::from_str(&serde_json::to_string(&world.nib).expect("text")).expect("a NIB");
        prop_assert_eq!(reloaded.reindexed(), world.nib.clone());
        prop_assert!(world.nib.revision() >= Revision(u64::from(ZONES)));
    }
}

#[test]
fn nodes_to_which_the_same_happens_are_told_together() {
    let mut world = World::new();
    world.edit(&Edit::PutSwitch { switch: 0, isolated: false, transports: vec![(0, 0)] });
    let number = |node| world.nib.nodes()[&id(2, node)].number;
    let (home, others) = (number(0), vec![number(2), number(3)]);
    let before = world.engine.work();
    // Port 0 is on node 0; the other ports of its switch are on nodes 2 and 3.
    let edit = Edit::PutPort { port: 0, up: true, pairs: vec![(3, 5)], learning: false };
    let changes = world.nib.apply(&edit.command(&world.nib)).expect("a lawful change");
    let mut told: Vec<_> = world.engine.update(&world.nib, &changes).into_iter().map(|one| one.nodes).collect();
    told.sort();
    assert_eq!(told, [vec![home], others]);
    let after = world.engine.work();
    assert_eq!((after.differences - before.differences, after.told - before.told), (2, 3));
    // Of the port's own flows, its old address, its two new ones and four ways to it, the ways stay as they are.
    assert_eq!((after.computed - before.computed, after.changed - before.changed), (8, 4));
}

/// A switch with a port on each of some nodes, named by number, that takes more and gives them up again.
struct Crowd {
    world: World,
}

impl Crowd {
    const SWITCH: Uuid = Uuid::from_u128(3 << 64);

    fn new() -> Crowd {
        let mut crowd = Crowd { world: World::default() };
        crowd.create(zone(0), Object::TransportZone(TransportZone::default()));
        crowd.create(Crowd::SWITCH, Object::LogicalSwitch(LogicalSwitch::default()));
        crowd
    }

    fn create(&mut self, uuid: Uuid, object: Object) {
        assert!(self.world.apply(&Command::Create { uuid, object }));
    }

    fn id(space: u8, n: u16) -> Uuid {
        Uuid::from_u128(u128::from(space) << 64 | u128::from(n))
    }

    fn node(&mut self, n: u16) {
        let mut config = node_config(0, true, &[(0, 0)]);
        let [high, low] = n.to_be_bytes();
        config.transport_connectors[0].ip_address = IpAddr::V4(Ipv4Addr::new(172, 31, high, low));
        self.create(Crowd::id(2, n), Object::TransportNode(config));
    }

    fn port(&mut self, n: u16, node: u16) {
        let uuid = Crowd::id(4, n);
        let object = Object::LogicalPort { switch: Crowd::SWITCH, config: port_config(true, &[], n.is_multiple_of(3)) };
        self.create(uuid, object);
        let attachment = Attachment::Vif { vif_uuid: format!("vif-{n}") };
        assert!(self.world.apply(&Command::Attach { port: uuid, attachment }));
        let observed = ObservedVif {
            vif: format!("vif-{n}"),
            interface: format!("tap{n}"),
            ofport: OfPort(u32::from(n) + 1),
            attached_mac: None,
        };
        let (present, gone) = (vec![observed], vec![]);
        assert!(self.world.apply(&Command::Observe { node: Crowd::id(2, node), epoch: None, present, gone }));
    }

    fn delete(&mut self, n: u16) {
        assert!(self.world.apply(&Command::Delete { kind: Kind::LogicalPort, uuid: Crowd::id(4, n) }));
    }

    /// The most members of a group that any node holds, and how many groups it has.
    fn most(&self) -> (usize, usize) {
        self.world.check(&"a crowd");
        let sizes = self.world.prompt.values().map(|table| {
            (table.groups.values().map(|buckets| buckets.len()).max().unwrap_or_default(), table.groups.len())
        });
        sizes.max().expect("there are nodes")
    }
}

#[test]
fn members_of_a_switch_on_many_nodes_are_spread_over_groups_and_come_back() {
    let mut crowd = Crowd::new();
    for n in 0..512 {
        crowd.node(n);
        crowd.port(n, n);
    }
    assert_eq!(crowd.most(), (511, 4), "the other nodes");
    crowd.node(512);
    crowd.port(512, 512);
    // Both kinds of group for other nodes, and both for ports, of which there are 513 now.
    assert_eq!(crowd.most(), (17, 128));
    crowd.delete(7);
    assert_eq!(crowd.most(), (511, 4));
    crowd.world.let_the_slow_catch_up();
}

#[test]
fn many_ports_on_one_node_are_spread_over_groups_and_come_back() {
    let mut crowd = Crowd::new();
    [0, 1].into_iter().for_each(|n| crowd.node(n));
    crowd.port(1000, 1);
    (0..511).for_each(|n| crowd.port(n, 0));
    assert_eq!(crowd.most(), (511, 4));
    crowd.port(511, 0);
    let (members, groups) = crowd.most();
    assert!((16..=17).contains(&members) && groups == 66, "{members} {groups}");
    crowd.delete(1000);
    assert_eq!(crowd.most(), (512, 4));
    crowd.world.let_the_slow_catch_up();
}

#[test]
fn a_node_that_leaves_a_switch_is_told_just_that() {
    let mut world = World::new();
    let home = world.nib.nodes()[&id(2, 0)].number;
    let key = world.nib.switches()[&id(3, 0)].key;
    // Port 0 is the only one of its switch on node 0.
    let edit = Edit::DeletePort(0);
    let changes = world.nib.apply(&edit.command(&world.nib)).expect("a lawful change");
    let told = world.engine.update(&world.nib, &changes);
    let at_home = told.iter().find(|one| one.nodes.contains(&home)).expect("it is told");
    assert_eq!(at_home.nodes, [home]);
    assert_eq!((at_home.delta.left.clone(), at_home.delta.flows.len()), ([key].into(), 0));
    // All that are left on it, when it goes.
    let edit = Edit::DeleteSwitch(0);
    let changes = world.nib.apply(&edit.command(&world.nib)).expect("a lawful change");
    let told = world.engine.update(&world.nib, &changes);
    assert_eq!(told.len(), 1, "the same for everybody");
    assert_eq!((told[0].nodes.len(), told[0].delta.flows.len()), (2, 0));
}
