//! Replication groups: copies of a frame for the members of a switch, made at the source.
//!
//! Each switch has its groups on each node where it is present. A member is one bucket, which belongs to whoever it is
//! a copy for: that of a port to the port, that of another node to the peer. So nobody ever makes a list of members, and
//! one that comes or goes is one small message, the same for everybody. Start at [`GroupKind`].

use super::facts::{PortFact, SwitchFact};
use super::fragment::Builder;
use super::stages::output;
use crate::flow::{Action, BucketId, GroupId};
use crate::ids::{NodeNumber, TunnelKey};
use crate::nib::Encap;
use crate::pipeline::{EGRESS, Stage};
use std::net::IpAddr;

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

/// The groups of a switch, without their buckets.
pub(super) fn groups(out: &mut Builder, switch: &SwitchFact) {
    let all = [GroupKind::LocalAll, GroupKind::RemoteAll];
    let learning = [GroupKind::LocalLearning, GroupKind::RemoteLearning];
    let kinds = all.into_iter().chain(learning.into_iter().filter(|_| !switch.learners.is_empty()));
    kinds.for_each(|kind| out.group(kind.id(switch.key)));
}

/// The copies for a port that is here. Its key is the bucket's id.
pub(super) fn local(out: &mut Builder, datapath: TunnelKey, port: &PortFact) {
    let actions = [Action::set(EGRESS, port.key.0), Action::Resubmit(Stage::Output.table())];
    let learning = port.learning.then_some(GroupKind::LocalLearning);
    for kind in [GroupKind::LocalAll].into_iter().chain(learning) {
        out.bucket(kind.id(datapath), BucketId(port.key.0), actions);
    }
}

/// The copies for another node. Its number is the bucket's id.
pub(super) fn remote(out: &mut Builder, switch: &SwitchFact, node: NodeNumber, encap: Encap, end: IpAddr) {
    let actions = output::into_tunnel(switch.key, encap, end);
    let learning = switch.learners.contains_key(&node).then_some(GroupKind::RemoteLearning);
    for kind in [GroupKind::RemoteAll].into_iter().chain(learning) {
        out.bucket(kind.id(switch.key), BucketId::node(node), actions);
    }
}
