//! Flows and groups as the compiler makes them: OpenFlow's model, without its bytes.
//!
//! A [`Flow`] is a [`FlowKey`] (table, priority, match), which identifies it on a switch, and what it does.
//! A group is a set of [`Buckets`] that each get a copy of the packet. A [`FlowTable`] is what one switch holds,
//! or should hold. Matches and actions name [`Field`]s; [`text`] writes all of it in the syntax of
//! ovs-ofctl(8), with names for numbers where a reader wants them.
//!
//! Start at [`Flow`]. Bytes are made in `selvedge-net`; what flows mean is [`crate::pipeline`].

mod action;
mod field;
mod matching;
pub mod text;

pub use action::{Action, Actions};
pub use field::{Field, FieldMatch, FieldValue};
pub use matching::Match;

use crate::ids::{NodeNumber, TunnelKey};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What identifies a flow on a switch. OpenFlow 1.5.1, section 6.4.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    /// The table's number.
    pub table: u8,
    /// Higher wins.
    pub priority: u16,
    /// Which packets.
    pub matching: Match,
}

/// What a flow does, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowBody {
    /// Which fragment the flow belongs to; see `compile`.
    pub cookie: u64,
    /// What happens to the packet; nothing means drop.
    pub actions: Actions,
}

/// Where a cookie has the datapath that the flow belongs to: its upper 24 bits.
const DATAPATH_SHIFT: u32 = 40;

impl FlowBody {
    /// The datapath that the flow belongs to; 0 for what belongs to none.
    pub fn datapath(&self) -> TunnelKey {
        TunnelKey((self.cookie >> DATAPATH_SHIFT) as u32)
    }
}

/// The cookies of all flows of a datapath: these bits of them, which the mask has, are alike.
pub fn cookies_of(datapath: TunnelKey) -> (u64, u64) {
    (u64::from(datapath.0) << DATAPATH_SHIFT, u64::MAX << DATAPATH_SHIFT)
}

/// One flow. Cheap to clone: many switches share it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flow {
    /// What identifies it.
    pub key: Arc<FlowKey>,
    /// What it does.
    pub body: Arc<FlowBody>,
}

/// Identifies a group on a switch: 1 to 0xffffff00 (`OFPG_MAX`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

/// Identifies a bucket in its group: 0 to 0xffffff00 (`OFPG_BUCKET_MAX`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketId(pub u32);

impl BucketId {
    /// The bucket that sends to another transport node; buckets of local ports have the port's key.
    pub fn node(node: NodeNumber) -> BucketId {
        BucketId(node.0)
    }
}

/// A group of type *all*: every bucket gets a copy of the packet and acts on it.
pub type Buckets = BTreeMap<BucketId, Actions>;

/// All flows and groups of one switch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowTable {
    /// The flows.
    pub flows: BTreeMap<Arc<FlowKey>, Arc<FlowBody>>,
    /// The groups, all of type *all*.
    pub groups: BTreeMap<GroupId, Buckets>,
}
