//! Keeps the fragments in step with the NIB.
//!
//! The page that explains all of it is [`super`]. In short: name the fragments that a change may [touch](super::touched),
//! from the old and the new facts; note who holds them; change the facts and compute those fragments again;
//! [spread](super::spread) the differences.
//!
//! Start at [`Engine::update`].

use super::crossing::Crossing;
use super::facts::{NodeFact, PortFact, SwitchFact};
use super::fragment::{Audience, Builder, Content, Fragment, FragmentKey, Part};
use super::spread::{Difference, Held, Spread};
use super::touched::Touched;
use super::{groups, stages};
use crate::addr::Mac;
use crate::flow::FlowTable;
use crate::ids::{NodeNumber, PortKey, TunnelKey};
use crate::nib::{Change, Encap, Nib};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Bound;
use uuid::Uuid;

/// Facts and fragments, in step with a NIB.
#[derive(Debug)]
pub struct Engine {
    nodes: BTreeMap<NodeNumber, NodeFact>,
    switches: BTreeMap<TunnelKey, SwitchFact>,
    fragments: BTreeMap<FragmentKey, Fragment>,
    /// On which switches a node has ports.
    datapaths_of: BTreeMap<NodeNumber, BTreeSet<TunnelKey>>,
    /// What the facts came from: the records may be gone when their facts must go.
    node_of_uuid: BTreeMap<Uuid, NodeNumber>,
    switch_of_uuid: BTreeMap<Uuid, TunnelKey>,
    port_of_uuid: BTreeMap<Uuid, (TunnelKey, PortKey)>,
    work: Work,
}

/// Datapath 0 is none: it has what belongs to every node.
const NO_DATAPATH: TunnelKey = TunnelKey(0);
const BASE: FragmentKey = FragmentKey { datapath: NO_DATAPATH, part: Part::Base };

/// The new facts of what changed, by what they replace.
#[derive(Debug, Default)]
struct NewFacts {
    nodes: BTreeMap<NodeNumber, Option<NodeFact>>,
    switches: BTreeMap<TunnelKey, Option<SwitchFact>>,
    ports: BTreeMap<(TunnelKey, PortKey), Option<PortFact>>,
}

/// Who held what, before an update.
struct Before {
    /// Touched fragments, with their holders.
    fragments: BTreeMap<FragmentKey, Held>,
    /// The fragments that were held by nodes whose relation may change.
    held: BTreeMap<(TunnelKey, NodeNumber), BTreeSet<FragmentKey>>,
    /// Who leaves what: the datapath's own fragment tells which groups it has.
    left: Vec<((TunnelKey, NodeNumber), Fragment)>,
}

/// What all updates so far took, in things that were looked at: it should follow from what changed, not from how much
/// there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Updates.
    pub updates: u64,
    /// Fragments computed again.
    pub computed: u64,
    /// Fragments of which something came of it: they came, went or changed.
    pub changed: u64,
    /// Differences made, each once for all nodes that it is for.
    pub differences: u64,
    /// Nodes told, each once for each update that concerned it.
    pub told: u64,
}

impl Default for Engine {
    /// In step with an empty NIB: all there is is the frame of the pipeline, which never changes.
    fn default() -> Engine {
        let mut base = Builder::new(BASE, Audience::All);
        stages::admission::base(&mut base);
        Engine {
            nodes: BTreeMap::new(),
            switches: BTreeMap::new(),
            fragments: BTreeMap::from([(BASE, base.done())]),
            datapaths_of: BTreeMap::new(),
            node_of_uuid: BTreeMap::new(),
            switch_of_uuid: BTreeMap::new(),
            port_of_uuid: BTreeMap::new(),
            work: Work::default(),
        }
    }
}

impl Engine {
    /// Everything, computed from scratch. No node has been told anything, so nothing is computed for each of them: what one
    /// should hold is [`desired`](Engine::desired) when it is there.
    pub fn from_nib(nib: &Nib) -> Engine {
        let mut engine = Engine::default();
        let everything = nib.nodes().keys().map(|uuid| Change::Node(*uuid));
        let everything = everything.chain(nib.switches().keys().map(|uuid| Change::Switch(*uuid)));
        let everything: Vec<Change> = everything.chain(nib.ports().keys().map(|uuid| Change::Port(*uuid))).collect();
        let touched = engine.follow(nib, &everything, |_, _| ()).0;
        for key in touched.fragments {
            let fragment = engine.compute(&key);
            engine.fragments.extend(fragment.map(|fragment| (key, fragment)));
        }
        engine
    }

    /// Follows the NIB, which has just been changed; says what that means for the nodes that it concerns, each of which is
    /// named once.
    pub fn update(&mut self, nib: &Nib, changes: &[Change]) -> Vec<Difference> {
        let (touched, before) = self.follow(nib, changes, Engine::before);
        // The new facts may touch fragments that the old ones did not; nobody held those.
        self.compare(before, &touched)
    }

    /// Takes the facts over that have changed; says which fragments that may touch, and what `look` saw before.
    fn follow<T>(&mut self, nib: &Nib, changes: &[Change], look: impl FnOnce(&Engine, &Touched) -> T) -> (Touched, T) {
        let new = self.new_facts(nib, changes);
        let crossing = self.crossing(&new);
        let mut touched = Touched::default();
        self.touch(&new, &mut touched);
        crossing.touch_presence(&self.switches, &mut touched);
        crossing.touch_sharing(&self.switches, &mut touched);
        let before = look(self, &touched);
        self.adopt(new, &mut touched);
        crossing.touch_presence(&self.switches, &mut touched);
        (touched, before)
    }

    /// All flows and groups that a node should hold; nothing for a node that is not known.
    pub fn desired(&self, node: NodeNumber) -> FlowTable {
        let mut table = FlowTable::default();
        if !self.nodes.contains_key(&node) {
            return table;
        }
        let mut flows = Vec::new();
        let datapaths = self.datapaths_of.get(&node).into_iter().flatten().copied();
        for datapath in std::iter::once(NO_DATAPATH).chain(datapaths) {
            for (_, fragment) in self.fragments_of(datapath).filter(|(_, f)| self.holds(datapath, f.audience, node)) {
                let content = &*fragment.content;
                flows.extend(content.flows.iter().map(|flow| (flow.key.clone(), flow.body.clone())));
                for group in &content.groups {
                    table.groups.entry(*group).or_default();
                }
                for (group, bucket, actions) in &content.buckets {
                    table.groups.entry(*group).or_default().insert(*bucket, actions.clone());
                }
            }
        }
        // Made of all at once, the map costs a third of what inserting one by one does.
        table.flows = flows.into_iter().collect();
        table
    }

    /// How many fragments there are, and flows in them.
    pub fn size(&self) -> (usize, usize) {
        (self.fragments.len(), self.fragments.values().map(|fragment| fragment.content.flows.len()).sum())
    }

    /// What all updates so far took.
    pub fn work(&self) -> Work {
        self.work
    }

    fn new_facts(&mut self, nib: &Nib, changes: &[Change]) -> NewFacts {
        let mut new = NewFacts::default();
        for change in changes {
            match change {
                Change::Node(uuid) => self.new_node(nib, *uuid, &mut new),
                Change::Switch(uuid) => self.new_switch(nib, *uuid, &mut new),
                Change::Port(uuid) => self.new_port(nib, *uuid, &mut new),
                Change::Zone(_)
                | Change::Kept(..)
                | Change::User
                | Change::Observed(_)
                | Change::Master(_)
                | Change::Cluster => {}
            }
        }
        new
    }

    fn new_node(&mut self, nib: &Nib, uuid: Uuid, new: &mut NewFacts) {
        let record = nib.nodes().get(&uuid);
        if let Some(record) = record {
            self.node_of_uuid.insert(uuid, record.number);
        }
        let Some(number) = self.node_of_uuid.get(&uuid).copied() else { return };
        let enabled = record.filter(|record| record.config.admin_status_enabled);
        if record.is_none() {
            self.node_of_uuid.remove(&uuid);
        }
        let fact = enabled.map(NodeFact::of);
        if self.nodes.get(&number) != fact.as_ref() {
            new.nodes.insert(number, fact);
        }
    }

    fn new_switch(&mut self, nib: &Nib, uuid: Uuid, new: &mut NewFacts) {
        let record = nib.switches().get(&uuid);
        if let Some(record) = record {
            self.switch_of_uuid.insert(uuid, record.key);
        }
        let Some(key) = self.switch_of_uuid.get(&uuid).copied() else { return };
        if record.is_none() {
            self.switch_of_uuid.remove(&uuid);
        }
        new.switches.insert(key, record.map(SwitchFact::of));
    }

    fn new_port(&mut self, nib: &Nib, uuid: Uuid, new: &mut NewFacts) {
        let record = nib.ports().get(&uuid);
        if let Some(record) = record {
            let switch = nib.switches().get(&record.switch).expect("a port's switch exists");
            self.port_of_uuid.insert(uuid, (switch.key, record.key));
        }
        let Some(name) = self.port_of_uuid.get(&uuid).copied() else { return };
        if record.is_none() {
            self.port_of_uuid.remove(&uuid);
        }
        let fact = record.and_then(|record| PortFact::of(nib, record));
        if self.port(name) != fact.as_ref() {
            new.ports.insert(name, fact);
        }
    }

    fn port(&self, (datapath, port): (TunnelKey, PortKey)) -> Option<&PortFact> {
        self.switches.get(&datapath)?.ports.get(&port)
    }

    /// Everything that reads a fact which is about to change, as it is now.
    fn touch(&self, new: &NewFacts, touched: &mut Touched) {
        for (key, fact) in &new.switches {
            if fact.is_some() {
                touched.part(*key, Part::Datapath);
            }
            if let Some(old) = self.switches.get(key) {
                touched.switch(old, fact.as_ref());
            }
        }
        for number in new.nodes.keys() {
            touched.relations.insert((NO_DATAPATH, *number));
            for datapath in self.datapaths_of.get(number).into_iter().flatten() {
                if !touched.gone.contains(datapath) {
                    touched.presence(&self.switches[datapath], *number);
                }
            }
        }
        for ((datapath, key), fact) in &new.ports {
            if let Some(switch) = self.switches.get(datapath).filter(|_| !touched.gone.contains(datapath)) {
                touch_port(switch, switch.ports.get(key), fact.as_ref(), touched);
            }
        }
    }

    /// What ports cross, of switches that stay.
    fn crossing(&self, new: &NewFacts) -> Crossing {
        let stays = |datapath: &TunnelKey| new.switches.get(datapath).is_none_or(Option::is_some);
        let ports = new.ports.iter().filter(|((datapath, _), _)| stays(datapath));
        Crossing::of(&self.switches, ports.map(|((datapath, key), fact)| (*datapath, *key, fact.as_ref())))
    }

    /// Takes the new facts over. What they touch that the old ones did not is added to `touched`.
    fn adopt(&mut self, new: NewFacts, touched: &mut Touched) {
        let relations: Vec<NodeNumber> = new.nodes.keys().copied().collect();
        for (number, fact) in new.nodes {
            match fact {
                Some(fact) => _ = self.nodes.insert(number, fact),
                None => _ = self.nodes.remove(&number),
            }
        }
        for (key, fact) in new.switches {
            match (fact, self.switches.get_mut(&key)) {
                (Some(fact), Some(old)) => old.reconfigure(fact),
                (Some(fact), None) => _ = self.switches.insert(key, fact),
                (None, Some(_)) => self.forget_switch(key),
                (None, None) => {}
            }
        }
        for ((datapath, key), fact) in new.ports {
            self.adopt_port(datapath, key, fact, touched);
        }
        for number in relations {
            for datapath in self.datapaths_of.get(&number).into_iter().flatten() {
                touched.presence(&self.switches[datapath], number);
            }
        }
    }

    fn forget_switch(&mut self, key: TunnelKey) {
        let Some(switch) = self.switches.remove(&key) else { return };
        for node in switch.presence.keys() {
            self.leaves(*node, key);
        }
    }

    fn leaves(&mut self, node: NodeNumber, datapath: TunnelKey) {
        if let Some(datapaths) = self.datapaths_of.get_mut(&node) {
            datapaths.remove(&datapath);
            if datapaths.is_empty() {
                self.datapaths_of.remove(&node);
            }
        }
    }

    fn adopt_port(&mut self, datapath: TunnelKey, key: PortKey, fact: Option<PortFact>, touched: &mut Touched) {
        // A port whose switch went with it has nothing left to be taken out of.
        let Some(switch) = self.switches.get_mut(&datapath) else { return };
        let old_node = switch.ports.get(&key).map(|port| port.place.node);
        let new_node = fact.as_ref().map(|port| port.place.node);
        switch.remove(key);
        if let Some(fact) = fact {
            touched.port(datapath, &fact);
            switch.insert(fact);
        }
        let gone = old_node.filter(|node| !switch.presence.contains_key(node));
        if let Some(node) = gone {
            self.leaves(node, datapath);
        }
        if let Some(node) = new_node {
            self.datapaths_of.entry(node).or_default().insert(datapath);
        }
    }

    /// Who holds the touched fragments now, and what the nodes in question hold besides.
    fn before(&self, touched: &Touched) -> Before {
        let held = |key: &FragmentKey| {
            let fragment = self.fragments.get(key)?;
            let mut holders = self.holders(key.datapath, fragment.audience);
            holders.retain(|node| !touched.left.contains(&(key.datapath, *node)));
            Some((*key, (fragment.clone(), holders)))
        };
        let fragments = touched.fragments.iter().filter_map(held).collect();
        let changing = touched.relations.difference(&touched.left);
        let held = changing.map(|relation| (*relation, self.held(*relation))).collect();
        let own = |datapath| &self.fragments[&FragmentKey { datapath, part: Part::Datapath }];
        let left = touched.left.iter().map(|(datapath, node)| ((*datapath, *node), own(*datapath).clone())).collect();
        Before { fragments, held, left }
    }

    fn held(&self, (datapath, node): (TunnelKey, NodeNumber)) -> BTreeSet<FragmentKey> {
        let fragments = self.fragments_of(datapath);
        fragments.filter(|(_, fragment)| self.holds(datapath, fragment.audience, node)).map(|(key, _)| *key).collect()
    }

    /// Computes the touched fragments again; says what became of them, and of who holds the others.
    fn compare(&mut self, mut before: Before, touched: &Touched) -> Vec<Difference> {
        let mut spread = Spread::default();
        for key in &touched.fragments {
            let old = before.fragments.remove(key);
            debug_assert!(old.is_some() || !self.fragments.contains_key(key), "{key:?} was touched by its old facts");
            let new = self.compute(key).map(|new| {
                let holders = self.holders(key.datapath, new.audience);
                (new, holders)
            });
            self.work.computed += 1;
            self.work.changed += u64::from(old.as_ref().map(content) != new.as_ref().map(content));
            spread.fragment(old.as_ref(), new.as_ref());
            match new {
                Some((new, _)) => _ = self.fragments.insert(*key, new),
                None => _ = self.fragments.remove(key),
            }
        }
        for relation in touched.relations.difference(&touched.left) {
            let held = before.held.remove(relation).unwrap_or_default();
            let holds = self.held(*relation);
            for key in held.symmetric_difference(&holds).filter(|key| !touched.fragments.contains(*key)) {
                spread.relation(relation.1, &self.fragments[key], holds.contains(key));
            }
        }
        for datapath in &touched.gone {
            let keys: Vec<FragmentKey> = self.fragments_of(*datapath).map(|(key, _)| *key).collect();
            self.work.changed += keys.len() as u64;
            keys.iter().for_each(|key| _ = self.fragments.remove(key));
        }
        for ((datapath, node), fragment) in &before.left {
            spread.leaves(*node, *datapath, fragment);
        }
        let differences = spread.differences();
        self.work.updates += 1;
        self.work.differences += differences.len() as u64;
        self.work.told += differences.iter().map(|difference| difference.nodes.len() as u64).sum::<u64>();
        differences
    }

    fn fragments_of(&self, datapath: TunnelKey) -> impl Iterator<Item = (&FragmentKey, &Fragment)> {
        let first = FragmentKey { datapath, part: Part::Base };
        let behind = FragmentKey { datapath: TunnelKey(datapath.0 + 1), part: Part::Base };
        self.fragments.range((Bound::Included(first), Bound::Excluded(behind)))
    }

    /// The nodes that hold a fragment of this audience, in order.
    fn holders(&self, datapath: TunnelKey, audience: Audience) -> Vec<NodeNumber> {
        let switch = self.switches.get(&datapath);
        let span = || switch.into_iter().flat_map(|switch| switch.presence.keys().copied());
        match audience {
            Audience::All => self.nodes.keys().copied().collect(),
            Audience::Node(node) => vec![node],
            Audience::Span => span().collect(),
            Audience::Via { end, encap } => match (switch, self.nodes.get(&end)) {
                (Some(switch), Some(to)) => span().filter(|node| self.shares_path(switch, *node, to, encap)).collect(),
                _ => Vec::new(),
            },
        }
    }

    /// Whether a node holds fragments of this audience.
    fn holds(&self, datapath: TunnelKey, audience: Audience, node: NodeNumber) -> bool {
        let present = || self.switches.get(&datapath).filter(|switch| switch.presence.contains_key(&node));
        match audience {
            Audience::All => self.nodes.contains_key(&node),
            Audience::Node(only) => only == node,
            Audience::Span => present().is_some(),
            Audience::Via { end, encap } => {
                let ends = present().zip(self.nodes.get(&end));
                ends.is_some_and(|(switch, to)| self.shares_path(switch, node, to, encap))
            }
        }
    }

    /// Whether frames of a switch travel from a node to another one by an encapsulation.
    fn shares_path(&self, switch: &SwitchFact, node: NodeNumber, to: &NodeFact, encap: Encap) -> bool {
        let from = self.nodes.get(&node).filter(|_| node != to.number);
        from.and_then(|from| switch.path(from, to)).is_some_and(|path| path.encap == encap)
    }

    /// A fragment, from the facts; none if there is nothing it could be about.
    fn compute(&self, key: &FragmentKey) -> Option<Fragment> {
        let switch = self.switches.get(&key.datapath)?;
        match key.part {
            Part::Base => unreachable!("the frame of the pipeline never changes"),
            Part::Datapath => {
                let mut out = Builder::new(*key, Audience::Span);
                stages::l2::switch(&mut out, switch);
                groups::groups(&mut out, switch);
                Some(out.done())
            }
            Part::Binding(port) => binding(key, switch, port),
            Part::Mac(mac) => destination(key, switch, mac),
            Part::Host(address) => host(key, switch, address),
            Part::Remote(port, encap) => self.remote(key, switch, port, encap),
            Part::Peer(node, encap) => self.peer(key, switch, node, encap),
        }
    }

    fn remote(&self, key: &FragmentKey, switch: &SwitchFact, port: PortKey, encap: Encap) -> Option<Fragment> {
        let end = switch.ports.get(&port)?.place.node;
        let address = self.end_of(switch, end, encap)?;
        let mut out = Builder::new(*key, Audience::Via { end, encap });
        stages::output::remote(&mut out, switch.key, port, encap, address);
        Some(out.done())
    }

    fn peer(&self, key: &FragmentKey, switch: &SwitchFact, node: NodeNumber, encap: Encap) -> Option<Fragment> {
        switch.presence.get(&node)?;
        let address = self.end_of(switch, node, encap)?;
        let mut out = Builder::new(*key, Audience::Via { end: node, encap });
        stages::classify::peer(&mut out, switch, encap, address);
        groups::remote(&mut out, switch, node, encap, address);
        Some(out.done())
    }

    /// Where a node's tunnels of an encapsulation end, if the switch uses it. There is one such address, in whichever
    /// zone, since the node has one tunnel port for each encapsulation.
    fn end_of(&self, switch: &SwitchFact, node: NodeNumber, encap: Encap) -> Option<IpAddr> {
        let used = switch.any_transport || switch.transports.iter().any(|(_, other)| *other == encap);
        let ends = &self.nodes.get(&node).filter(|_| used)?.ends;
        ends.iter().find(|((_, other), _)| *other == encap).map(|(_, address)| *address)
    }
}

fn touch_port(switch: &SwitchFact, old: Option<&PortFact>, new: Option<&PortFact>, touched: &mut Touched) {
    for port in old.into_iter().chain(new) {
        touched.port(switch.key, port);
    }
    let learns = |port: Option<&PortFact>| port.filter(|port| port.learning).map(|port| port.place.node);
    if learns(old) != learns(new) {
        let nodes = learns(old).into_iter().chain(learns(new));
        nodes.for_each(|node| touched.learner(switch.key, node));
    }
}

fn content((fragment, _): &Held) -> &Content {
    &fragment.content
}

fn binding(key: &FragmentKey, switch: &SwitchFact, port: PortKey) -> Option<Fragment> {
    let port = switch.ports.get(&port)?;
    let mut out = Builder::new(*key, Audience::Node(port.place.node));
    stages::classify::port(&mut out, switch.key, port);
    stages::port_security::port(&mut out, switch.key, port);
    stages::output::local(&mut out, switch.key, port);
    groups::local(&mut out, switch, port);
    Some(out.done())
}

fn destination(key: &FragmentKey, switch: &SwitchFact, mac: Mac) -> Option<Fragment> {
    let owner = switch.owner_of_mac(mac)?;
    let mut out = Builder::new(*key, Audience::Span);
    stages::l2::mac(&mut out, switch, mac, owner.key);
    Some(out.done())
}

fn host(key: &FragmentKey, switch: &SwitchFact, address: IpAddr) -> Option<Fragment> {
    let (owner, mac) = switch.owner_of_host(address).filter(|_| !switch.isolated)?;
    let mut out = Builder::new(*key, Audience::Span);
    stages::arp_nd::host(&mut out, switch, address, owner.key, mac);
    Some(out.done())
}
