//! A difference between two flow tables, as the modifications that carry it out, in their order. Start at [`steps`].

use super::flows::FlowMod;
use super::groups::GroupMod;
use super::message::Mod;
use selvedge_core::flow::Flow;
use selvedge_core::reconcile::{self, Delta, plan};

/// The steps of a delta.
pub fn steps(delta: &Delta) -> Vec<Mod> {
    plan(delta).into_iter().map(one).collect()
}

fn one(step: reconcile::Mod) -> Mod {
    match step {
        reconcile::Mod::PutGroup(group, buckets) => Mod::Group(GroupMod::Put { group, buckets }),
        reconcile::Mod::InsertBucket(group, bucket, actions) => {
            Mod::Group(GroupMod::InsertBuckets { group, buckets: [(bucket, actions)].into() })
        }
        reconcile::Mod::RemoveBucket(group, bucket) => Mod::Group(GroupMod::RemoveBucket { group, bucket }),
        reconcile::Mod::DeleteGroup(group) => Mod::Group(GroupMod::Delete(group)),
        reconcile::Mod::AddFlow(key, body) => Mod::Flow(FlowMod::Add(Flow { key, body })),
        reconcile::Mod::DeleteFlow(key) => Mod::Flow(FlowMod::DeleteStrict((*key).clone().into())),
    }
}
