//! Who is told what: from fragments that came, went or changed to differences between flow tables.
//!
//! Nodes to which the same happens are told the same, and it is made once for all of them: on a switch where a port
//! comes, that is one difference for the port's own node and one for all others. Start at [`Spread`].

use super::fragment::{Content, Fragment};
use crate::flow::{Actions, BucketId, Buckets, FlowBody, FlowKey, GroupId};
use crate::ids::{NodeNumber, TunnelKey};
use crate::reconcile::{Delta, GroupDelta, GroupEdit};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A difference, and the transport nodes whose flow tables differ by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// In order; at least one.
    pub nodes: Vec<NodeNumber>,
    /// Never empty.
    pub delta: Delta,
}

/// Collects what happens to each node.
#[derive(Debug, Default)]
pub(super) struct Spread {
    contents: Vec<Arc<Content>>,
    /// What datapaths that are left have of their own.
    left: BTreeMap<TunnelKey, Arc<Content>>,
    /// What happens to a node, in order.
    moves: BTreeMap<NodeNumber, Vec<Move>>,
}

/// Something that happens to a node; what is lost or gained is a place in `contents`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Move {
    Lost(usize),
    Gained(usize),
    /// Whatever it holds of a datapath.
    Left(TunnelKey),
}

/// A fragment, and the nodes that hold it, in order.
pub(super) type Held = (Fragment, Vec<NodeNumber>);

impl Spread {
    /// A fragment was held by some nodes as it was, and is now held by some as it is.
    pub fn fragment(&mut self, old: Option<&Held>, new: Option<&Held>) {
        let none = Vec::new();
        let (held, holds) = (old.map_or(&none, |(_, nodes)| nodes), new.map_or(&none, |(_, nodes)| nodes));
        let same = matches!((old, new), (Some((old, _)), Some((new, _))) if old.content == new.content);
        let stays = |other: &[NodeNumber], node: &NodeNumber| same && other.binary_search(node).is_ok();
        if let Some((old, _)) = old {
            self.note(Move::Lost, old, held.iter().filter(|node| !stays(holds, node)));
        }
        if let Some((new, _)) = new {
            self.note(Move::Gained, new, holds.iter().filter(|node| !stays(held, node)));
        }
    }

    /// A node came to hold a fragment that stays as it is, or ceased to.
    pub fn relation(&mut self, node: NodeNumber, fragment: &Fragment, holds: bool) {
        let kind: fn(usize) -> Move = if holds { Move::Gained } else { Move::Lost };
        self.note(kind, fragment, std::iter::once(&node));
    }

    /// A node will hold nothing of a datapath any more, whose own fragment this is.
    pub fn leaves(&mut self, node: NodeNumber, datapath: TunnelKey, fragment: &Fragment) {
        self.left.entry(datapath).or_insert_with(|| fragment.content.clone());
        self.moves.entry(node).or_default().push(Move::Left(datapath));
    }

    fn note<'a>(&mut self, kind: fn(usize) -> Move, fragment: &Fragment, nodes: impl Iterator<Item = &'a NodeNumber>) {
        let place = self.contents.len();
        for node in nodes {
            self.moves.entry(*node).or_default().push(kind(place));
        }
        self.contents.push(fragment.content.clone());
    }

    /// The differences, one for all nodes to which the same happens.
    pub fn differences(self) -> Vec<Difference> {
        let mut alike: BTreeMap<Vec<Move>, Vec<NodeNumber>> = BTreeMap::new();
        for (node, moves) in self.moves {
            alike.entry(moves).or_default().push(node);
        }
        let difference = |(moves, nodes): (Vec<Move>, Vec<NodeNumber>)| {
            let (mut gone, mut come, mut left) = (Table::default(), Table::default(), BTreeSet::new());
            for step in moves {
                match step {
                    Move::Lost(place) => gone.add(&self.contents[place]),
                    Move::Gained(place) => come.add(&self.contents[place]),
                    Move::Left(datapath) => {
                        left.insert(datapath);
                        gone.groups.extend(&self.left[&datapath].groups);
                    }
                }
            }
            let delta = Delta { left, ..gone.into(come) };
            (!delta.is_empty()).then_some(Difference { nodes, delta })
        };
        alike.into_iter().filter_map(difference).collect()
    }
}

/// The contents of fragments, together. What goes is held against what comes, so that one fragment may take over flows
/// of another.
#[derive(Debug, Default)]
struct Table<'a> {
    flows: BTreeMap<&'a Arc<FlowKey>, &'a Arc<FlowBody>>,
    groups: BTreeSet<GroupId>,
    buckets: BTreeMap<(GroupId, BucketId), &'a Actions>,
}

impl<'a> Table<'a> {
    fn add(&mut self, content: &'a Content) {
        self.flows.extend(content.flows.iter().map(|flow| (&flow.key, &flow.body)));
        self.groups.extend(&content.groups);
        self.buckets.extend(content.buckets.iter().map(|(group, bucket, actions)| ((*group, *bucket), actions)));
    }

    /// What takes a node from these to `come`.
    fn into(self, come: Table<'_>) -> Delta {
        let mut delta = Delta::default();
        for key in self.flows.keys().filter(|key| !come.flows.contains_key(*key)) {
            delta.flows.insert((*key).clone(), None);
        }
        for (key, body) in come.flows.iter().filter(|(key, body)| self.flows.get(*key) != Some(body)) {
            delta.flows.insert((*key).clone(), Some((*body).clone()));
        }
        for id in come.groups.difference(&self.groups) {
            delta.groups.insert(*id, GroupDelta::Put(Buckets::new()));
        }
        for id in self.groups.difference(&come.groups) {
            delta.groups.insert(*id, GroupDelta::Remove);
        }
        for ((group, bucket), actions) in &self.buckets {
            if come.buckets.get(&(*group, *bucket)) != Some(actions) {
                leave(&mut delta, *group, *bucket);
            }
        }
        for ((group, bucket), actions) in &come.buckets {
            if self.buckets.get(&(*group, *bucket)) != Some(actions) {
                join(&mut delta, *group, *bucket, (*actions).clone());
            }
        }
        delta
    }
}

fn edit() -> GroupDelta {
    GroupDelta::Edit(GroupEdit::default())
}

fn leave(delta: &mut Delta, group: GroupId, bucket: BucketId) {
    match delta.groups.entry(group).or_insert_with(edit) {
        GroupDelta::Edit(edit) => _ = edit.remove.insert(bucket),
        GroupDelta::Put(_) => unreachable!("a bucket is in a group that was there"),
        // It goes with its group.
        GroupDelta::Remove => {}
    }
}

fn join(delta: &mut Delta, group: GroupId, bucket: BucketId, actions: Actions) {
    match delta.groups.entry(group).or_insert_with(edit) {
        GroupDelta::Edit(edit) => _ = edit.insert.insert(bucket, actions),
        GroupDelta::Put(buckets) => _ = buckets.insert(bucket, actions),
        GroupDelta::Remove => unreachable!("a bucket joins a group that is there"),
    }
}
