//! What is replicated, in openraft's terms. Start at [`Types`].

use super::runtime::On;
use crate::runtime::Runtime;
use openraft::impls::{BasicNode, InlineBatch, OneshotResponder, leader_id_std};
use openraft::vote::RaftLeaderId;
use openraft::{AnyError, EntryPayload, Membership, OptionalSend, RaftTypeConfig};
use selvedge_core::ids::Revision;
use selvedge_core::nib::{Command, Refusal};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;

pub use selvedge_core::ids::MemberId;

/// The member that forms a cluster.
pub const FIRST_MEMBER: MemberId = MemberId(1);

/// Commands that share a log entry, hence a write to each disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch(pub Vec<Command>);

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} commands", self.0.len())
    }
}

/// What became of each command of a batch; nothing for entries that hold none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// Of each, in order.
    pub of_each: Vec<Result<Revision, Refusal>>,
    /// The revision after the last: who has that has seen what became of all.
    pub at: Revision,
}

/// A leadership: one leader for each term.
pub type LeaderId = leader_id_std::LeaderId<u64, MemberId>;
/// The same, once a majority has granted it.
pub type Leadership = <LeaderId as RaftLeaderId>::Committed;
/// Who a member grants leadership.
pub type Vote = openraft::impls::Vote<LeaderId>;
/// The place of an entry in the log.
pub type LogId = openraft::LogId<Leadership>;
/// An entry of the log.
pub type Entry = openraft::impls::Entry<Leadership, EntryPayload<Batch, MemberId, BasicNode>>;
/// An entry as the leader of a term would append it.
pub fn entry(term: u64, index: u64, batch: Batch) -> Entry {
    let log_id = LogId { leader_id: Leadership::new(term), index };
    Entry { log_id, payload: EntryPayload::Normal(batch) }
}

/// Who is a member, and since which entry.
pub type StoredMembership = openraft::StoredMembership<Leadership, MemberId, BasicNode>;
/// What a snapshot is of.
pub type SnapshotMeta = openraft::SnapshotMeta<Leadership, MemberId, BasicNode>;

/// What a snapshot is of that a cluster begins with: its first member, alone.
pub fn beginning(first: MemberId) -> SnapshotMeta {
    let log_id = LogId { leader_id: Leadership::new(1), index: 1 };
    let nodes = BTreeMap::from([(first, BasicNode { addr: String::new() })]);
    let membership = Membership::new(vec![BTreeSet::from([first])], nodes).expect("its voter is among its nodes");
    let last_membership = StoredMembership::new(Some(log_id), membership);
    SnapshotMeta { last_log_id: Some(log_id), last_membership }
}

/// openraft on the runtime `R`.
pub struct Types<R>(PhantomData<fn() -> R>);

impl<R> fmt::Debug for Types<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Types")
    }
}

impl<R> Clone for Types<R> {
    fn clone(&self) -> Types<R> {
        *self
    }
}

impl<R> Copy for Types<R> {}

impl<R> Default for Types<R> {
    fn default() -> Types<R> {
        Types(PhantomData)
    }
}

impl<R> PartialEq for Types<R> {
    fn eq(&self, _: &Types<R>) -> bool {
        true
    }
}

impl<R> Eq for Types<R> {}

impl<R> PartialOrd for Types<R> {
    fn partial_cmp(&self, other: &Types<R>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<R> Ord for Types<R> {
    fn cmp(&self, _: &Types<R>) -> Ordering {
        Ordering::Equal
    }
}

impl<R: Runtime> RaftTypeConfig for Types<R> {
    type D = Batch;
    type R = Answers;
    type NodeId = MemberId;
    type Node = BasicNode;
    type Term = u64;
    type LeaderId = LeaderId;
    type Vote = Vote;
    type Payload = EntryPayload<Batch, MemberId, BasicNode>;
    type Entry = Entry;
    type AsyncRuntime = On<R>;
    type Responder<T>
        = OneshotResponder<Self, T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type ErrorSource = AnyError;
}
