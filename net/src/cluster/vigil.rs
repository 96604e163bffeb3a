//! Which controllers are fit to have transport nodes, as the leader finds it by watching for a while. Start at
//! [`Vigil::look`].

use super::types::MemberId;
use super::view::{ClusterView, MemberView};
use crate::runtime::Moment;
use selvedge_core::ids::Revision;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use uuid::Uuid;

/// Transport nodes of a controller that did not answer for so long get another.
const LOST: Duration = Duration::from_secs(1);
/// One that has answered for so long is there to stay: it may be given what others have.
const SETTLED: Duration = Duration::from_secs(5);
/// A transport node that others reach further than its controller for so long gets another: not one that only starts again.
const CUT_OFF: Duration = Duration::from_secs(3);

/// What is known of controllers when transport nodes are shared out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fit {
    /// They answer.
    pub alive: BTreeSet<MemberId>,
    /// They have done so for a while: they may take over what works elsewhere.
    pub settled: BTreeSet<MemberId>,
    /// Transport nodes that were [`outreached`](super::mastership::outreached) for a while.
    pub cut_off: BTreeSet<Uuid>,
}

/// What transport nodes were looked at with: the revision, and how much news there was of who reaches what.
pub(super) type Seen = (Revision, u64);

/// What a look found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Who is fit.
    pub fit: Fit,
    seen: Seen,
}

/// Since when a leader has led, and others have answered it.
#[derive(Default)]
pub(super) struct Vigil {
    leads_since: Option<Moment>,
    answers_since: BTreeMap<MemberId, Moment>,
    outreached_since: BTreeMap<Uuid, Moment>,
    /// What was known when that was last looked at, and who was alive.
    looked_at: Option<(Seen, BTreeSet<MemberId>)>,
    in_order: Option<Found>,
}

impl Vigil {
    /// Which controllers are fit. One that a new leader has not heard of yet is taken to be alive until it has had time to
    /// answer. `outreached` is asked only where something has changed.
    pub fn look(
        &mut self,
        now: Moment,
        view: &ClusterView,
        seen: Seen,
        outreached: impl FnOnce(&BTreeSet<MemberId>) -> BTreeSet<Uuid>,
    ) -> Found {
        let leads_since = *self.leads_since.get_or_insert(now);
        let answers = |member: &MemberView| match member.heard_ms {
            Some(ms) => Duration::from_millis(ms) <= LOST,
            None => now.saturating_sub(leads_since) <= LOST,
        };
        let alive: BTreeSet<MemberId> =
            view.members.iter().filter(|(_, member)| answers(member)).map(|(member, _)| *member).collect();
        keep_watch(&mut self.answers_since, now, &alive);
        let looks_at = Some((seen, alive.clone()));
        if self.looked_at != looks_at {
            self.looked_at = looks_at;
            keep_watch(&mut self.outreached_since, now, &outreached(&alive));
        }
        let settled = for_long(&self.answers_since, now, SETTLED);
        let cut_off = for_long(&self.outreached_since, now, CUT_OFF);
        Found { fit: Fit { alive, settled, cut_off }, seen }
    }

    /// Whether the same was found when transport nodes were last in order: nothing is to be done where nothing has happened.
    pub fn is_in_order(&self, found: &Found) -> bool {
        self.in_order.as_ref() == Some(found)
    }

    /// Transport nodes are with those they should be with.
    pub fn found_in_order(&mut self, found: Found) {
        self.in_order = Some(found);
    }
}

/// Notes since when those are as they are who are so now.
fn keep_watch<K: Ord + Copy>(since: &mut BTreeMap<K, Moment>, now: Moment, those: &BTreeSet<K>) {
    since.retain(|key, _| those.contains(key));
    those.iter().for_each(|key| _ = since.entry(*key).or_insert(now));
}

/// Those that have been as they are for so long.
fn for_long<K: Ord + Copy>(since: &BTreeMap<K, Moment>, now: Moment, long: Duration) -> BTreeSet<K> {
    since.iter().filter(|(_, since)| now.saturating_sub(**since) >= long).map(|(key, _)| *key).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{members, node};
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Controller 1 leads, and heard of others so long ago.
    fn view(heard_ms: &[Option<u64>]) -> ClusterView {
        let own = std::iter::once(&Some(0));
        let members = (1..).map(MemberId).zip(own.chain(heard_ms));
        let members = members.map(|(id, heard_ms)| (id, MemberView { votes: true, heard_ms: *heard_ms, lacks: None }));
        ClusterView { leader: MemberId(1), term: 1, members: members.collect() }
    }

    /// Who is alive and who is settled.
    fn look(vigil: &mut Vigil, now: Moment, heard_ms: &[Option<u64>]) -> (BTreeSet<MemberId>, BTreeSet<MemberId>) {
        let seen = (Revision(1), 1);
        let fit = vigil.look(now, &view(heard_ms), seen, |_| BTreeSet::new()).fit;
        (fit.alive, fit.settled)
    }

    #[test]
    fn who_is_silent_is_lost_and_who_comes_back_must_stay_a_while() {
        let mut vigil = Vigil::default();
        let all = members(&[1, 2, 3]);
        assert_eq!(look(&mut vigil, MS, &[Some(5), None]), (all.clone(), members(&[])), "there is time to answer");
        assert_eq!(look(&mut vigil, 1_001 * MS, &[Some(1_000), None]).0, all);
        assert_eq!(look(&mut vigil, 1_002 * MS, &[Some(1_001), None]).0, members(&[1]));
        assert_eq!(look(&mut vigil, 2_000 * MS, &[Some(1), None]).0, members(&[1, 2]));
        assert_eq!(look(&mut vigil, 5_001 * MS, &[Some(1), Some(1)]).1, members(&[1]));
        assert_eq!(look(&mut vigil, 6_999 * MS, &[Some(1), Some(1)]).1, members(&[1]));
        assert_eq!(look(&mut vigil, 7_000 * MS, &[Some(1), Some(1)]).1, members(&[1, 2]));
        assert_eq!(look(&mut vigil, 10_001 * MS, &[Some(1), Some(1)]).1, all);
    }

    #[test]
    fn a_node_is_cut_off_when_it_was_out_of_reach_all_the_time() {
        let mut vigil = Vigil::default();
        let mut cut_off = |ms: u32, news: u64, out: &[u128]| {
            let out = || out.iter().map(|n| node(*n)).collect();
            let found = vigil.look(ms * MS, &view(&[Some(1)]), (Revision(1), news), |alive| {
                assert_eq!(*alive, members(&[1, 2]));
                out()
            });
            found.fit.cut_off
        };
        assert_eq!(cut_off(0, 1, &[0, 1]), BTreeSet::new());
        assert_eq!(cut_off(2_999, 2, &[0]), BTreeSet::new());
        assert_eq!(cut_off(3_000, 3, &[0, 1]), BTreeSet::from([node(0)]), "the other was within reach for a moment");
        assert_eq!(cut_off(5_999, 3, &[]), BTreeSet::from([node(0)]), "where nothing is new nobody looks");
        assert_eq!(cut_off(6_000, 3, &[]), BTreeSet::from([node(0), node(1)]));
        assert_eq!(cut_off(6_001, 4, &[]), BTreeSet::new());
    }

    #[test]
    fn what_was_in_order_is_looked_at_when_something_is_new() {
        let mut vigil = Vigil::default();
        let mut look = |news: u64, heard_ms: u64| {
            let found = vigil.look(MS, &view(&[Some(heard_ms)]), (Revision(1), news), |_| BTreeSet::new());
            let is_in_order = vigil.is_in_order(&found);
            vigil.found_in_order(found);
            is_in_order
        };
        assert_eq!([look(1, 1), look(1, 2), look(2, 2), look(2, 2), look(2, 1_001)], [false, true, false, true, false]);
    }
}
