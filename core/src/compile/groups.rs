//! Replication groups: copies of a frame for the members of a switch, made at the source.
//!
//! Each switch has its groups on each node where it is present. A member that comes or goes is one bucket: local ones
//! have the port's key as bucket id, those of other nodes the node's number. Start at [`GroupKind`].

use super::facts::{NodeFact, SwitchFact};
use super::fragment::Builder;
use super::stages::output;
use crate::flow::{Action, Actions, BucketId, Buckets, GroupId};
use crate::ids::{NodeNumber, PortKey, TunnelKey};
use crate::pipeline::{EGRESS, Stage};
use std::collections::{BTreeMap, BTreeSet};

/// The groups of a switch on a node; the number is in the upper byte of the group's id, the datapath below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupKind {
    /// All ports here.
    LocalAll = 1,
    /// All other nodes that have ports.
    RemoteAll = 2,
    /// The learning ports here.
    LocalLearning = 3,
    /// All other nodes that have learning ports.
    RemoteLearning = 4,
}

impl GroupKind {
    /// All of them.
    pub const ALL: [GroupKind; 4] =
        [GroupKind::LocalAll, GroupKind::RemoteAll, GroupKind::LocalLearning, GroupKind::RemoteLearning];

    /// The group of a datapath.
    pub fn id(self, datapath: TunnelKey) -> GroupId {
        assert_eq!(datapath.0 >> 24, 0, "tunnel keys have 24 bits");
        GroupId((self as u32) << 24 | datapath.0)
    }

    /// Which group an id is, if it is one of ours.
    pub fn of(id: GroupId) -> Option<(GroupKind, TunnelKey)> {
        let kind = GroupKind::ALL.into_iter().find(|kind| *kind as u32 == id.0 >> 24)?;
        Some((kind, TunnelKey(id.0 & 0xff_ffff)))
    }

    /// The printed name.
    pub fn name(self) -> &'static str {
        match self {
            GroupKind::LocalAll => "local",
            GroupKind::RemoteAll => "remote",
            GroupKind::LocalLearning => "local_learning",
            GroupKind::RemoteLearning => "remote_learning",
        }
    }
}

/// The groups of a switch on `node`.
pub(super) fn groups(out: &mut Builder, switch: &SwitchFact, node: &NodeFact, nodes: &BTreeMap<NodeNumber, NodeFact>) {
    let mut put = |kind: GroupKind, buckets| out.group(kind.id(switch.key), buckets);
    put(GroupKind::LocalAll, local(switch.presence.get(&node.number)));
    put(GroupKind::RemoteAll, remote(switch, node, nodes, &switch.presence));
    if !switch.learners.is_empty() {
        put(GroupKind::LocalLearning, local(switch.learners.get(&node.number)));
        put(GroupKind::RemoteLearning, remote(switch, node, nodes, &switch.learners));
    }
}

fn local(ports: Option<&BTreeSet<PortKey>>) -> Buckets {
    let bucket = |port: &PortKey| {
        let actions = [Action::set(EGRESS, port.0), Action::Resubmit(Stage::Output.table())];
        (BucketId(port.0), Actions::from(actions))
    };
    ports.into_iter().flatten().map(bucket).collect()
}

fn remote(
    switch: &SwitchFact,
    node: &NodeFact,
    nodes: &BTreeMap<NodeNumber, NodeFact>,
    members: &BTreeMap<NodeNumber, BTreeSet<PortKey>>,
) -> Buckets {
    let others = members.keys().filter(|other| **other != node.number);
    let bucket = |other: &NodeNumber| {
        let path = switch.path(node, nodes.get(other)?)?;
        Some((BucketId::node(*other), Actions::from(output::into_tunnel(switch.key, path.encap, path.destination))))
    };
    others.filter_map(bucket).collect()
}
