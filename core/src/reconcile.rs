//! Takes one switch from the flows it holds to those it should hold.
//!
//! A [`Delta`] is a difference between two tables. The compiler makes one for each change of the NIB; [`diff`] makes
//! one of what a switch said it holds and what it should hold. Deltas in a row [`merge`](Delta::merge) into one, so a
//! slow switch costs no more than its table. [`plan`] puts one in the order in which it must be carried out.
//!
//! Nothing here knows a clock, a socket or an earlier plan. Start at [`plan`].

use crate::flow::{Actions, BucketId, Buckets, FlowBody, FlowKey, FlowTable, GroupId};
use crate::ids::TunnelKey;
use crate::pipeline::Stage;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A difference between two flow tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Nothing of these datapaths stays: all flows whose cookies are theirs go, before anything else happens to flows.
    pub left: BTreeSet<TunnelKey>,
    /// Flows to add or change, and, without a body, to delete.
    pub flows: BTreeMap<Arc<FlowKey>, Option<Arc<FlowBody>>>,
    /// What becomes of groups.
    pub groups: BTreeMap<GroupId, GroupDelta>,
}

/// What becomes of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupDelta {
    /// It has these buckets, whatever it had before.
    Put(Buckets),
    /// Some of its buckets change.
    Edit(GroupEdit),
    /// It goes.
    Remove,
}

/// Buckets that leave a group, then buckets that join it. One that changes does both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupEdit {
    /// These leave.
    pub remove: BTreeSet<BucketId>,
    /// Then these join.
    pub insert: Buckets,
}

impl GroupEdit {
    /// From one set of buckets to another.
    pub fn between(old: &Buckets, new: &Buckets) -> GroupEdit {
        let differs = |this: &Buckets, id: &BucketId, actions: &Actions| this.get(id) != Some(actions);
        let remove = old.iter().filter(|(id, actions)| differs(new, id, actions)).map(|(id, _)| *id).collect();
        let insert = new.iter().filter(|(id, actions)| differs(old, id, actions));
        GroupEdit { remove, insert: insert.map(|(id, actions)| (*id, actions.clone())).collect() }
    }

    fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.insert.is_empty()
    }

    fn apply(&self, buckets: &mut Buckets) {
        buckets.retain(|id, _| !self.remove.contains(id));
        buckets.extend(self.insert.iter().map(|(id, actions)| (*id, actions.clone())));
    }

    fn then(mut self, later: GroupEdit) -> GroupEdit {
        for id in later.remove {
            // What only joined in between never was there before.
            if self.insert.remove(&id).is_none() {
                self.remove.insert(id);
            }
        }
        self.insert.extend(later.insert);
        self
    }
}

impl GroupDelta {
    fn then(self, later: GroupDelta) -> GroupDelta {
        match (self, later) {
            (_, later @ (GroupDelta::Put(_) | GroupDelta::Remove)) => later,
            (GroupDelta::Put(mut buckets), GroupDelta::Edit(edit)) => {
                edit.apply(&mut buckets);
                GroupDelta::Put(buckets)
            }
            (GroupDelta::Edit(edit), GroupDelta::Edit(later)) => GroupDelta::Edit(edit.then(later)),
            (GroupDelta::Remove, GroupDelta::Edit(_)) => panic!("a group is put before it is edited"),
        }
    }
}

impl Delta {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.left.is_empty() && self.flows.is_empty() && self.groups.is_empty()
    }

    /// This delta and then `later`, as one.
    pub fn merge(&mut self, later: Delta) {
        for body in self.flows.values_mut() {
            // It may have taken the place of a flow of another datapath, which must not be there either.
            if body.as_ref().is_some_and(|body| later.left.contains(&body.datapath())) {
                *body = None;
            }
        }
        self.left.extend(later.left);
        self.flows.extend(later.flows);
        for (id, change) in later.groups {
            let merged = match self.groups.remove(&id) {
                Some(earlier) => earlier.then(change),
                None => change,
            };
            self.groups.insert(id, merged);
        }
    }

    /// Notes that a group goes from one state to another.
    pub fn group(&mut self, id: GroupId, old: Option<&Buckets>, new: Option<&Buckets>) {
        let change = match (old, new) {
            (None, None) => return,
            (Some(_), None) => GroupDelta::Remove,
            (None, Some(new)) => GroupDelta::Put(new.clone()),
            (Some(old), Some(new)) => {
                let edit = GroupEdit::between(old, new);
                if edit.is_empty() {
                    return;
                }
                GroupDelta::Edit(edit)
            }
        };
        self.groups.insert(id, change);
    }

    /// Carries it out on a table.
    pub fn apply(&self, table: &mut FlowTable) {
        table.flows.retain(|_, body| !self.left.contains(&body.datapath()));
        for (key, body) in &self.flows {
            match body {
                Some(body) => _ = table.flows.insert(key.clone(), body.clone()),
                None => _ = table.flows.remove(key),
            }
        }
        for (id, change) in &self.groups {
            match change {
                GroupDelta::Put(buckets) => _ = table.groups.insert(*id, buckets.clone()),
                GroupDelta::Edit(edit) => edit.apply(table.groups.entry(*id).or_default()),
                GroupDelta::Remove => _ = table.groups.remove(id),
            }
        }
    }
}

/// What turns `installed` into `desired`.
pub fn diff(installed: &FlowTable, desired: &FlowTable) -> Delta {
    let mut delta = Delta::default();
    for key in installed.flows.keys().filter(|key| !desired.flows.contains_key(*key)) {
        delta.flows.insert(key.clone(), None);
    }
    for (key, body) in desired.flows.iter().filter(|(key, body)| installed.flows.get(*key) != Some(body)) {
        delta.flows.insert(key.clone(), Some(body.clone()));
    }
    let ids: BTreeSet<_> = installed.groups.keys().chain(desired.groups.keys()).collect();
    for id in ids {
        delta.group(*id, installed.groups.get(id), desired.groups.get(id));
    }
    delta
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mod {
    /// The group has these buckets from now on, whether it was there or not.
    PutGroup(GroupId, Buckets),
    /// A bucket joins a group.
    InsertBucket(GroupId, BucketId, Actions),
    /// A bucket leaves a group.
    RemoveBucket(GroupId, BucketId),
    /// A group goes.
    DeleteGroup(GroupId),
    /// A flow is there from now on, in place of one with the same key.
    AddFlow(Arc<FlowKey>, Arc<FlowBody>),
    /// A flow goes, if it is there.
    DeleteFlow(Arc<FlowKey>),
    /// All flows of a datapath go.
    DeleteFlowsOf(TunnelKey),
}

/// The steps that carry `delta` out, in order.
///
/// Groups come before the flows that use them, and go after. What withdraws a permission (see [`guards`]) comes before
/// what grants one; where frames find their way, the new way comes before the old one goes. A bundle makes all of it
/// one moment; the order is what holds where one plan takes several.
pub fn plan(delta: &Delta) -> Vec<Mod> {
    let mut steps: Vec<(Order, Mod)> = Vec::new();
    for (id, change) in &delta.groups {
        match change {
            GroupDelta::Put(buckets) => steps.push((Order::PutGroups, Mod::PutGroup(*id, buckets.clone()))),
            GroupDelta::Remove => steps.push((Order::DeleteGroups, Mod::DeleteGroup(*id))),
            GroupDelta::Edit(edit) => {
                steps.extend(edit.remove.iter().map(|b| (Order::PutGroups, Mod::RemoveBucket(*id, *b))));
                let joins = edit.insert.iter();
                steps.extend(joins.map(|(b, a)| (Order::PutGroups, Mod::InsertBucket(*id, *b, a.clone()))));
            }
        }
    }
    steps.extend(delta.left.iter().map(|datapath| (Order::Leave, Mod::DeleteFlowsOf(*datapath))));
    for (key, body) in &delta.flows {
        steps.push(match body {
            Some(body) => (order_of_add(key, body), Mod::AddFlow(key.clone(), body.clone())),
            None => (order_of_delete(key), Mod::DeleteFlow(key.clone())),
        });
    }
    steps.sort_by_key(|(order, _)| *order);
    steps.into_iter().map(|(_, step)| step).collect()
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    PutGroups,
    Leave,
    Withdraw,
    Add,
    Delete,
    DeleteGroups,
}

/// Whether a stage decides what is permitted, rather than where it goes.
pub fn guards(table: u8) -> bool {
    match Stage::of_table(table) {
        Some(
            Stage::Classify | Stage::Admission | Stage::PortSecurity | Stage::PortSecurityArpNd | Stage::Isolation,
        ) => true,
        Some(Stage::ArpNd | Stage::L2Lookup | Stage::Output) | None => false,
    }
}

fn order_of_add(key: &FlowKey, body: &FlowBody) -> Order {
    match guards(key.table) && body.actions.steps().is_empty() {
        true => Order::Withdraw,
        false => Order::Add,
    }
}

fn order_of_delete(key: &FlowKey) -> Order {
    match guards(key.table) {
        true => Order::Withdraw,
        false => Order::Delete,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{Action, Match};
    use crate::ids::OfPort;

    fn flow(stage: Stage, priority: u16, out: Option<u32>) -> (Arc<FlowKey>, Arc<FlowBody>) {
        let key = FlowKey { table: stage.table(), priority, matching: Match::any() };
        let actions = Actions::from(out.map(|port| Action::Output(OfPort(port))).into_iter().collect::<Vec<_>>());
        (Arc::new(key), Arc::new(FlowBody { cookie: 1, actions }))
    }

    fn buckets(ids: &[(u32, u32)]) -> Buckets {
        let bucket = |(id, port): &(u32, u32)| (BucketId(*id), Actions::from([Action::Output(OfPort(*port))]));
        ids.iter().map(bucket).collect()
    }

    #[test]
    fn permissions_go_first_and_ways_go_last() {
        let mut installed = FlowTable::default();
        let mut desired = FlowTable::default();
        installed.flows.extend([flow(Stage::PortSecurity, 1, Some(1)), flow(Stage::Output, 1, Some(1))]);
        desired.flows.extend([flow(Stage::Output, 2, Some(2)), flow(Stage::PortSecurity, 2, Some(2))]);
        installed.groups.insert(GroupId(1), buckets(&[(1, 1)]));
        desired.groups.insert(GroupId(2), buckets(&[(1, 1)]));
        let steps = plan(&diff(&installed, &desired));
        let shown: Vec<String> = steps.iter().map(|step| format!("{step:?}").chars().take(10).collect()).collect();
        assert_eq!(shown, ["PutGroup(G", "DeleteFlow", "AddFlow(Fl", "AddFlow(Fl", "DeleteFlow", "DeleteGrou"]);
        assert!(matches!(&steps[1], Mod::DeleteFlow(key) if key.table == Stage::PortSecurity.table()));
    }

    #[test]
    fn a_delta_lands_on_desired_and_merges() {
        let table = |flows: &[(u16, u32)], groups: &[(u32, &[(u32, u32)])]| FlowTable {
            flows: flows.iter().map(|(priority, port)| flow(Stage::Output, *priority, Some(*port))).collect(),
            groups: groups.iter().map(|(id, list)| (GroupId(*id), buckets(list))).collect(),
        };
        let a = table(&[(1, 1), (2, 2)], &[(1, &[(1, 1), (2, 2)]), (2, &[])]);
        let b = table(&[(2, 3), (3, 3)], &[(1, &[(2, 3), (3, 3)]), (3, &[(1, 1)])]);
        let c = table(&[(1, 1)], &[(1, &[(1, 1), (3, 3)]), (3, &[(2, 2)])]);
        for (from, to) in [(&a, &b), (&b, &c), (&c, &a), (&a, &a)] {
            let mut landed = from.clone();
            diff(from, to).apply(&mut landed);
            assert_eq!(&landed, to);
        }
        assert!(diff(&a, &a).is_empty());
        // All flows are of datapath 0, and one takes the place of another before they go.
        let mut merged = diff(&a, &b);
        merged.merge(Delta { left: [TunnelKey(0)].into(), ..Delta::default() });
        merged.merge(Delta { flows: diff(&FlowTable::default(), &c).flows, ..Delta::default() });
        let mut landed = a.clone();
        merged.apply(&mut landed);
        assert_eq!(landed.flows, c.flows);
        let mut merged = diff(&a, &b);
        merged.merge(diff(&b, &c));
        let mut landed = a.clone();
        merged.apply(&mut landed);
        assert_eq!(landed, c);
    }
}
