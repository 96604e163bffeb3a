//! Replication groups: copies of a frame for the members of a switch, made at the source.
//!
//! Each switch has its groups on each node where it is present. A member is one bucket, which belongs to whoever it is
//! a copy for: that of a port to the port, that of another node to the peer. So nobody ever makes a list of members, and
//! one that comes or goes is one small message, the same for everybody. Start at [`GroupName`]; why the members of a large
//! switch are spread over several groups is at [`Sharing`].

use super::facts::{PortFact, SwitchFact};
use super::fragment::Builder;
use super::stages::output;
use crate::flow::{Action, BucketId, GroupId};
use crate::ids::{NodeNumber, TunnelKey};
use crate::nib::Encap;
use crate::pipeline::{EGRESS, Stage};
use std::fmt;
use std::net::IpAddr;

/// What the groups of a switch on a node are for.
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

/// One group of a switch. Its id has the kind in the upper three bits, the share in the next five, and the datapath in
/// the other 24.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupName {
    /// Whose group it is.
    pub datapath: TunnelKey,
    /// What for.
    pub kind: GroupKind,
    /// Which share of the members it has: 0 to 31. A switch of ordinary size has share 0 only, which is all of them.
    pub share: u32,
}

impl GroupName {
    /// The id of the group with this name.
    pub fn id(self) -> GroupId {
        assert_eq!(self.datapath.0 >> 24, 0, "tunnel keys have 24 bits");
        assert!(self.share < SHARES, "{self:?}");
        GroupId((self.kind as u32) << 29 | self.share << 24 | self.datapath.0)
    }

    /// Which group an id is, if it is one of ours.
    pub fn of(id: GroupId) -> Option<GroupName> {
        let kind = GroupKind::ALL.into_iter().find(|kind| *kind as u32 == id.0 >> 29)?;
        Some(GroupName { datapath: TunnelKey(id.0 & 0xff_ffff), kind, share: id.0 >> 24 & (SHARES - 1) })
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        if self.share > 0 { write!(f, ".{}", self.share) } else { Ok(()) }
    }
}

/// How many groups the members of a large switch are spread over.
const SHARES: u32 = 32;
/// Most members, of all nodes or of all ports, that are in one group.
const UNSHARED_MAX: usize = 512;

/// Whether the members of a switch are spread over several groups.
///
/// Open vSwitch (3.1) cannot describe a group of more than 64 KiB, although it takes one: what it sends is no OpenFlow
/// message, and so the session with it ends whenever it is asked. A copy for a node takes 56 bytes, or 64 where tunnels
/// are IPv6, so a share may have 1,023 members: with 32 shares, and numbers that are dense, a switch may be on 32,000
/// nodes, and as many ports of it may be on one. What crosses the threshold moves all members, which the usual switch
/// never does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sharing {
    pub ports: bool,
    pub nodes: bool,
}

impl Sharing {
    /// That of a switch with so many ports, on so many nodes.
    pub fn of(ports: usize, nodes: usize) -> Sharing {
        Sharing { ports: ports > UNSHARED_MAX, nodes: nodes > UNSHARED_MAX }
    }

    fn is_shared(self, kind: GroupKind) -> bool {
        match kind {
            GroupKind::LocalAll | GroupKind::LocalLearning => self.ports,
            GroupKind::RemoteAll | GroupKind::RemoteLearning => self.nodes,
        }
    }
}

/// The groups of a kind that a switch has.
pub(super) fn shares(switch: &SwitchFact, kind: GroupKind) -> impl Iterator<Item = GroupId> + use<> {
    let datapath = switch.key;
    let shares = if switch.sharing().is_shared(kind) { SHARES } else { 1 };
    (0..shares).map(move |share| GroupName { datapath, kind, share }.id())
}

/// The group of a kind that has the member with a number.
fn share_of(switch: &SwitchFact, kind: GroupKind, member: u32) -> GroupId {
    let share = if switch.sharing().is_shared(kind) { member % SHARES } else { 0 };
    GroupName { datapath: switch.key, kind, share }.id()
}

/// The groups of a switch, without their buckets.
pub(super) fn groups(out: &mut Builder, switch: &SwitchFact) {
    let all = [GroupKind::LocalAll, GroupKind::RemoteAll];
    let learning = [GroupKind::LocalLearning, GroupKind::RemoteLearning];
    let kinds = all.into_iter().chain(learning.into_iter().filter(|_| !switch.learners.is_empty()));
    kinds.flat_map(|kind| shares(switch, kind)).for_each(|group| out.group(group));
}

/// The copies for a port that is here. Its key is the bucket's id.
pub(super) fn local(out: &mut Builder, switch: &SwitchFact, port: &PortFact) {
    let actions = [Action::set(EGRESS, port.key.0), Action::Resubmit(Stage::Output.table())];
    let learning = port.learning.then_some(GroupKind::LocalLearning);
    for kind in [GroupKind::LocalAll].into_iter().chain(learning) {
        out.bucket(share_of(switch, kind, port.key.0), BucketId(port.key.0), actions);
    }
}

/// The copies for another node. Its number is the bucket's id.
pub(super) fn remote(out: &mut Builder, switch: &SwitchFact, node: NodeNumber, encap: Encap, end: IpAddr) {
    let actions = output::into_tunnel(switch.key, encap, end);
    let learning = switch.learners.contains_key(&node).then_some(GroupKind::RemoteLearning);
    for kind in [GroupKind::RemoteAll].into_iter().chain(learning) {
        out.bucket(share_of(switch, kind, node.0), BucketId::node(node), actions);
    }
}
