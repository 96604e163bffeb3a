//! Keeps the fragments in step with the NIB.
//!
//! A change goes through four steps: name the fragments that it may touch (from the old and the new facts); note who
//! holds them; change the facts and compute those fragments again; give each node that held, or now holds, one of them
//! the difference. Nodes whose *relation* to a datapath changed (they joined or left it, or their tunnels did) are also
//! compared on the fragments that did not change.
//!
//! Start at [`Engine::update`].

use super::facts::{NodeFact, PortFact, SwitchFact};
use super::fragment::{Audience, Builder, Fragment, FragmentKey, Part};
use super::{groups, stages};
use crate::addr::Mac;
use crate::flow::{FlowBody, FlowKey, FlowTable};
use crate::ids::{NodeNumber, PortKey, TunnelKey};
use crate::nib::{Change, Encap, Nib};
use crate::reconcile::Delta;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;
use uuid::Uuid;

/// What a change means for each node that it concerns; none of the deltas is empty.
pub type Deltas = BTreeMap<NodeNumber, Delta>;

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
}

/// Datapath 0 is none: it has what belongs to every node.
const NO_DATAPATH: TunnelKey = TunnelKey(0);
const BASE: FragmentKey = FragmentKey { datapath: NO_DATAPATH, part: Part::Base };

/// What an update may touch.
#[derive(Debug, Default)]
struct Touched {
    fragments: BTreeSet<FragmentKey>,
    /// Nodes whose relation to a datapath may change.
    relations: BTreeSet<(TunnelKey, NodeNumber)>,
}

impl Touched {
    fn part(&mut self, datapath: TunnelKey, part: Part) {
        self.fragments.insert(FragmentKey { datapath, part });
    }

    /// What reads a port's own fact.
    fn port(&mut self, datapath: TunnelKey, port: &PortFact) {
        self.part(datapath, Part::Binding(port.key));
        for mac in port.macs() {
            self.part(datapath, Part::Mac(mac));
        }
        for (address, _) in port.hosts() {
            self.part(datapath, Part::Host(address));
        }
        for encap in Encap::ALL {
            self.part(datapath, Part::Remote(port.key, encap));
        }
        self.part(datapath, Part::Groups(port.place.node));
    }

    /// What reads where `node`'s tunnels of a switch end, or whether it is present there.
    fn presence(&mut self, switch: &SwitchFact, node: NodeNumber) {
        self.relations.insert((switch.key, node));
        for encap in Encap::ALL {
            self.part(switch.key, Part::Peer(node, encap));
            for port in switch.presence.get(&node).into_iter().flatten() {
                self.part(switch.key, Part::Remote(*port, encap));
            }
        }
        self.part(switch.key, Part::Groups(node));
        self.members(switch);
    }

    /// What reads who the members of a switch are.
    fn members(&mut self, switch: &SwitchFact) {
        for node in switch.presence.keys() {
            self.part(switch.key, Part::Groups(*node));
        }
    }
}

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
    fragments: BTreeMap<FragmentKey, Option<(Fragment, Vec<NodeNumber>)>>,
    /// The fragments that were not touched, but were held by nodes whose relation may change.
    held: BTreeMap<(TunnelKey, NodeNumber), BTreeSet<FragmentKey>>,
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

    /// Follows the NIB, which has just been changed; says what that means for each node.
    pub fn update(&mut self, nib: &Nib, changes: &[Change]) -> Deltas {
        let (touched, before) = self.follow(nib, changes, Engine::before);
        // The new facts may touch fragments that the old ones did not; nobody held those.
        self.compare(before, &touched)
    }

    /// Takes the facts over that have changed; says which fragments that may touch, and what `look` saw before.
    fn follow<T>(&mut self, nib: &Nib, changes: &[Change], look: impl FnOnce(&Engine, &Touched) -> T) -> (Touched, T) {
        let new = self.new_facts(nib, changes);
        let crossing = self.joining_or_leaving(&new);
        let mut touched = Touched::default();
        self.touch(&new, &mut touched);
        self.touch_presence(&crossing, &mut touched);
        let before = look(self, &touched);
        self.adopt(new, &mut touched);
        self.touch_presence(&crossing, &mut touched);
        (touched, before)
    }

    /// All flows and groups that a node should hold; nothing for a node that is not known.
    pub fn desired(&self, node: NodeNumber) -> FlowTable {
        let mut table = FlowTable::default();
        if !self.nodes.contains_key(&node) {
            return table;
        }
        let datapaths = self.datapaths_of.get(&node).into_iter().flatten().copied();
        for datapath in std::iter::once(NO_DATAPATH).chain(datapaths) {
            for (_, fragment) in self.fragments_of(datapath).filter(|(_, f)| self.holds(datapath, f.audience, node)) {
                table.flows.extend(fragment.flows.iter().map(|(key, body)| (key.clone(), body.clone())));
                table.groups.extend(fragment.groups.iter().map(|(id, buckets)| (*id, buckets.clone())));
            }
        }
        table
    }

    /// How many fragments there are, and flows in them.
    pub fn size(&self) -> (usize, usize) {
        (self.fragments.len(), self.fragments.values().map(|fragment| fragment.flows.len()).sum())
    }

    fn new_facts(&mut self, nib: &Nib, changes: &[Change]) -> NewFacts {
        let mut new = NewFacts::default();
        for change in changes {
            match change {
                Change::Node(uuid) => self.new_node(nib, *uuid, &mut new),
                Change::Switch(uuid) => self.new_switch(nib, *uuid, &mut new),
                Change::Port(uuid) => self.new_port(nib, *uuid, &mut new),
                Change::Zone(_) | Change::User | Change::Observed(_) | Change::Master(_) | Change::Cluster => {}
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
        for number in new.nodes.keys() {
            touched.relations.insert((NO_DATAPATH, *number));
            for datapath in self.datapaths_of.get(number).into_iter().flatten() {
                touched.presence(&self.switches[datapath], *number);
            }
        }
        for (key, fact) in &new.switches {
            self.touch_switch(*key, fact.as_ref(), touched);
        }
        for ((datapath, key), fact) in &new.ports {
            if let Some(switch) = self.switches.get(datapath) {
                touch_port(switch, switch.ports.get(key), fact.as_ref(), touched);
            }
        }
    }

    fn touch_presence(&self, crossing: &[(TunnelKey, NodeNumber)], touched: &mut Touched) {
        for (datapath, node) in crossing {
            if let Some(switch) = self.switches.get(datapath) {
                touched.presence(switch, *node);
            }
        }
    }

    /// Nodes that are about to have their first port of a switch, or to lose their last.
    fn joining_or_leaving(&self, new: &NewFacts) -> Vec<(TunnelKey, NodeNumber)> {
        let mut balance: BTreeMap<(TunnelKey, NodeNumber), (usize, usize)> = BTreeMap::new();
        for ((datapath, key), fact) in &new.ports {
            if let Some(old) = self.port((*datapath, *key)) {
                balance.entry((*datapath, old.place.node)).or_default().0 += 1;
            }
            if let Some(new) = fact {
                balance.entry((*datapath, new.place.node)).or_default().1 += 1;
            }
        }
        let crosses = |((datapath, node), (lost, gained)): ((TunnelKey, NodeNumber), (usize, usize))| {
            let had = self.switches.get(&datapath).and_then(|s| s.presence.get(&node)).map_or(0, BTreeSet::len);
            ((had == 0) != (had + gained == lost)).then_some((datapath, node))
        };
        balance.into_iter().filter_map(crosses).collect()
    }

    fn touch_switch(&self, key: TunnelKey, new: Option<&SwitchFact>, touched: &mut Touched) {
        touched.part(key, Part::Datapath);
        let Some(old) = self.switches.get(&key) else { return };
        let paths_stay =
            new.is_some_and(|new| new.transports == old.transports && new.any_transport == old.any_transport);
        if !paths_stay {
            old.presence.keys().for_each(|node| touched.presence(old, *node));
        }
        if new.is_none_or(|new| new.isolated != old.isolated) {
            old.by_host.keys().for_each(|address| touched.part(key, Part::Host(*address)));
        }
        if new.is_none() {
            touched.fragments.extend(self.fragments_of(key).map(|(key, _)| *key));
        }
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
        let holders = |key: &FragmentKey| {
            let fragment = self.fragments.get(key)?;
            Some((fragment.clone(), self.holders(key.datapath, fragment.audience)))
        };
        let fragments = touched.fragments.iter().map(|key| (*key, holders(key))).collect();
        let held = touched.relations.iter().map(|relation| (*relation, self.held(*relation))).collect();
        Before { fragments, held }
    }

    fn held(&self, (datapath, node): (TunnelKey, NodeNumber)) -> BTreeSet<FragmentKey> {
        let fragments = self.fragments_of(datapath);
        fragments.filter(|(_, fragment)| self.holds(datapath, fragment.audience, node)).map(|(key, _)| *key).collect()
    }

    fn compare(&mut self, before: Before, touched: &Touched) -> Deltas {
        let mut change = Changes::default();
        for key in &touched.fragments {
            let old = before.fragments.get(key).cloned().flatten();
            debug_assert!(old.is_some() || !self.fragments.contains_key(key), "{key:?} was touched by its old facts");
            let new = self.compute(key);
            let holders = new.as_ref().map(|new| self.holders(key.datapath, new.audience)).unwrap_or_default();
            change.fragment(old.as_ref(), new.as_ref().map(|new| (new, holders)));
            match new {
                Some(new) => _ = self.fragments.insert(*key, new),
                None => _ = self.fragments.remove(key),
            }
        }
        for relation in &touched.relations {
            let none = BTreeSet::new();
            let held = before.held.get(relation).unwrap_or(&none);
            let holds = self.held(*relation);
            let untouched = held.symmetric_difference(&holds).filter(|key| !touched.fragments.contains(*key));
            for key in untouched {
                let fragment = &self.fragments[key];
                match holds.contains(key) {
                    true => change.gain(relation.1, fragment),
                    false => change.lose(relation.1, fragment),
                }
            }
        }
        change.into_deltas()
    }

    fn fragments_of(&self, datapath: TunnelKey) -> impl Iterator<Item = (&FragmentKey, &Fragment)> {
        let first = FragmentKey { datapath, part: Part::Base };
        let behind = FragmentKey { datapath: TunnelKey(datapath.0 + 1), part: Part::Base };
        self.fragments.range((Bound::Included(first), Bound::Excluded(behind)))
    }

    /// The nodes that hold a fragment of this audience.
    fn holders(&self, datapath: TunnelKey, audience: Audience) -> Vec<NodeNumber> {
        let span = || self.switches.get(&datapath).into_iter().flat_map(|switch| switch.presence.keys().copied());
        match audience {
            Audience::All => self.nodes.keys().copied().collect(),
            Audience::Node(node) => vec![node],
            Audience::Span => span().collect(),
            Audience::Via { .. } => span().filter(|node| self.holds(datapath, audience, *node)).collect(),
        }
    }

    /// Whether a node holds fragments of this audience.
    fn holds(&self, datapath: TunnelKey, audience: Audience, node: NodeNumber) -> bool {
        let present = |switch: &&SwitchFact| switch.presence.contains_key(&node);
        match audience {
            Audience::All => self.nodes.contains_key(&node),
            Audience::Node(only) => only == node,
            Audience::Span => self.switches.get(&datapath).is_some_and(|switch| present(&switch)),
            Audience::Via { end, encap } => {
                let path = self.switches.get(&datapath).filter(present).and_then(|switch| {
                    let (from, to) = (self.nodes.get(&node)?, self.nodes.get(&end)?);
                    switch.path(from, to)
                });
                end != node && path.is_some_and(|path| path.encap == encap)
            }
        }
    }

    /// A fragment, from the facts; none if there is nothing it could be about.
    fn compute(&self, key: &FragmentKey) -> Option<Fragment> {
        let switch = self.switches.get(&key.datapath)?;
        match key.part {
            Part::Base => unreachable!("the frame of the pipeline never changes"),
            Part::Datapath => {
                let mut out = Builder::new(*key, Audience::Span);
                stages::l2::switch(&mut out, switch);
                Some(out.done())
            }
            Part::Binding(port) => binding(key, switch, port),
            Part::Mac(mac) => destination(key, switch, mac),
            Part::Host(address) => host(key, switch, address),
            Part::Remote(port, encap) => self.remote(key, switch, port, encap),
            Part::Peer(node, encap) => self.peer(key, switch, node, encap),
            Part::Groups(node) => self.groups(key, switch, node),
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
        Some(out.done())
    }

    /// Where a node's tunnels of an encapsulation end, if the switch uses it. There is one such address, in whichever
    /// zone, since the node has one tunnel port for each encapsulation.
    fn end_of(&self, switch: &SwitchFact, node: NodeNumber, encap: Encap) -> Option<IpAddr> {
        let used = switch.any_transport || switch.transports.iter().any(|(_, other)| *other == encap);
        let ends = &self.nodes.get(&node).filter(|_| used)?.ends;
        ends.iter().find(|((_, other), _)| *other == encap).map(|(_, address)| *address)
    }

    fn groups(&self, key: &FragmentKey, switch: &SwitchFact, node: NodeNumber) -> Option<Fragment> {
        switch.presence.get(&node)?;
        let fact = self.nodes.get(&node)?;
        let mut out = Builder::new(*key, Audience::Node(node));
        groups::groups(&mut out, switch, fact, &self.nodes);
        Some(out.done())
    }
}

fn touch_port(switch: &SwitchFact, old: Option<&PortFact>, new: Option<&PortFact>, touched: &mut Touched) {
    for port in old.into_iter().chain(new) {
        touched.port(switch.key, port);
    }
    let learns = |port: Option<&PortFact>| port.filter(|port| port.learning).map(|port| port.place.node);
    if learns(old) != learns(new) {
        touched.part(switch.key, Part::Datapath);
        touched.members(switch);
    }
}

fn binding(key: &FragmentKey, switch: &SwitchFact, port: PortKey) -> Option<Fragment> {
    let port = switch.ports.get(&port)?;
    let mut out = Builder::new(*key, Audience::Node(port.place.node));
    stages::classify::port(&mut out, switch.key, port);
    stages::port_security::port(&mut out, switch.key, port);
    stages::output::local(&mut out, switch.key, port);
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

/// The differences an update makes, node by node: what goes first, then what comes, so that one fragment may take over
/// the flows of another.
#[derive(Debug, Default)]
struct Changes {
    gone: BTreeMap<NodeNumber, Table>,
    come: BTreeMap<NodeNumber, Table>,
}

/// Parts of fragments.
#[derive(Debug, Default)]
struct Table {
    flows: BTreeMap<Arc<FlowKey>, Arc<FlowBody>>,
    groups: BTreeMap<crate::flow::GroupId, crate::flow::Buckets>,
}

impl Table {
    fn add(&mut self, fragment: &Fragment) {
        self.flows.extend(fragment.flows.iter().map(|(key, body)| (key.clone(), body.clone())));
        self.groups.extend(fragment.groups.iter().map(|(id, buckets)| (*id, buckets.clone())));
    }
}

impl Changes {
    fn gain(&mut self, node: NodeNumber, fragment: &Fragment) {
        self.come.entry(node).or_default().add(fragment);
    }

    fn lose(&mut self, node: NodeNumber, fragment: &Fragment) {
        self.gone.entry(node).or_default().add(fragment);
    }

    fn fragment(&mut self, old: Option<&(Fragment, Vec<NodeNumber>)>, new: Option<(&Fragment, Vec<NodeNumber>)>) {
        let held: BTreeSet<NodeNumber> = old.iter().flat_map(|(_, held)| held).copied().collect();
        let holds: BTreeSet<NodeNumber> = new.iter().flat_map(|(_, holds)| holds).copied().collect();
        let same = matches!((old, &new), (Some((old, _)), Some((new, _))) if old == *new);
        let stays = |node: &NodeNumber| same && held.contains(node) && holds.contains(node);
        if let Some((old, _)) = old {
            held.iter().filter(|node| !stays(node)).for_each(|node| self.lose(*node, old));
        }
        if let Some((new, _)) = new {
            holds.iter().filter(|node| !stays(node)).for_each(|node| self.gain(*node, new));
        }
    }

    fn into_deltas(mut self) -> Deltas {
        let nodes: BTreeSet<NodeNumber> = self.gone.keys().chain(self.come.keys()).copied().collect();
        let pairs = nodes.into_iter().map(|node| {
            let gone = self.gone.remove(&node).unwrap_or_default();
            let come = self.come.remove(&node).unwrap_or_default();
            (node, between(&gone, &come))
        });
        pairs.filter(|(_, delta)| !delta.is_empty()).collect()
    }
}

fn between(gone: &Table, come: &Table) -> Delta {
    let mut delta = Delta::default();
    for key in gone.flows.keys().filter(|key| !come.flows.contains_key(*key)) {
        delta.flows.insert(key.clone(), None);
    }
    for (key, body) in come.flows.iter().filter(|(key, body)| gone.flows.get(*key) != Some(body)) {
        delta.flows.insert(key.clone(), Some(body.clone()));
    }
    let ids: BTreeSet<_> = gone.groups.keys().chain(come.groups.keys()).collect();
    for id in ids {
        delta.group(*id, gone.groups.get(id), come.groups.get(id));
    }
    delta
}
