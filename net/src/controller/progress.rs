//! Which revisions a transport node holds.
//!
//! Most revisions change nothing for most nodes. So what counts is not one number but the revisions that *concern*
//! the node and are not confirmed yet; a node that was down while others changed is late for nothing.
//! Start at [`Progress`].

use selvedge_core::ids::Revision;
use std::collections::BTreeSet;

/// Most unconfirmed revisions remembered one by one.
const REMEMBERED_MAX: usize = 4096;

/// What one transport node holds of what it should.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Nobody has looked at the switch yet: any revision up to here may be missing.
    unknown_up_to: Option<Revision>,
    /// Revisions that concern the node and are not confirmed.
    unconfirmed: BTreeSet<Revision>,
    /// Every revision in this range counts as concerning the node: too many to remember one by one.
    crowd: Option<(Revision, Revision)>,
    /// Everything up to here is confirmed.
    confirmed: Option<Revision>,
}

impl Progress {
    /// Nothing is known of a node when the NIB is at `now`.
    pub fn unknown(now: Revision) -> Progress {
        Progress { unknown_up_to: Some(now), ..Progress::default() }
    }

    /// `revision` changes something for the node.
    pub fn concerned(&mut self, revision: Revision) {
        // Another controller, which is further than this one, has told.
        if Some(revision) <= self.confirmed {
            return;
        }
        match (self.crowd, self.unconfirmed.len() < REMEMBERED_MAX) {
            (None, true) => _ = self.unconfirmed.insert(revision),
            (None, false) => self.crowd = Some((revision, revision)),
            (Some((from, _)), _) => self.crowd = Some((from, revision)),
        }
    }

    /// The switch confirmed everything up to `revision`.
    pub fn confirmed(&mut self, revision: Revision) {
        let next = Revision(revision.0 + 1);
        self.confirmed = self.confirmed.max(Some(revision));
        self.unknown_up_to = self.unknown_up_to.filter(|unknown| *unknown >= next);
        self.unconfirmed = self.unconfirmed.split_off(&next);
        self.crowd = self.crowd.filter(|(_, to)| *to >= next).map(|(from, to)| (from.max(next), to));
    }

    /// Whether nobody has looked at the switch since it could have missed something.
    pub fn is_unknown(&self) -> bool {
        self.unknown_up_to.is_some()
    }

    /// Whether a revision after `since`, up to `until`, concerns the node and is not confirmed.
    pub fn lacks(&self, since: Revision, until: Revision) -> bool {
        let after_since = Revision(since.0 + 1);
        self.unknown_up_to.is_some_and(|unknown| unknown > since)
            || self.crowd.is_some_and(|(from, to)| from <= until && to > since)
            || (after_since <= until && self.unconfirmed.range(after_since..=until).next().is_some())
    }

    /// The highest revision up to which nothing is missing, when the NIB is at `now`; none if nobody has looked.
    pub fn realised(&self, now: Revision) -> Option<Revision> {
        let lowest = self.unconfirmed.first().copied().into_iter().chain(self.crowd.map(|(from, _)| from)).min();
        let holds = lowest.map_or(now, |lowest| Revision(lowest.0 - 1));
        self.unknown_up_to.is_none().then_some(holds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_concerns_a_node_can_be_missing() {
        let mut progress = Progress::unknown(Revision(10));
        assert!(progress.lacks(Revision(0), Revision(3)), "nobody has looked");
        assert_eq!(progress.realised(Revision(10)), None);
        progress.confirmed(Revision(10));
        progress.concerned(Revision(12));
        progress.concerned(Revision(15));
        assert!(!progress.lacks(Revision(0), Revision(11)));
        assert!(progress.lacks(Revision(0), Revision(12)));
        assert!(!progress.lacks(Revision(12), Revision(14)));
        assert_eq!(progress.realised(Revision(20)), Some(Revision(11)));
        progress.confirmed(Revision(13));
        assert_eq!(progress.realised(Revision(20)), Some(Revision(14)));
        progress.confirmed(Revision(20));
        assert_eq!(progress.realised(Revision(20)), Some(Revision(20)));
    }

    #[test]
    fn a_crowd_of_revisions_is_never_called_realised_early() {
        let mut progress = Progress::unknown(Revision(0));
        progress.confirmed(Revision(0));
        let last = REMEMBERED_MAX as u64 + 10;
        (1..=last).for_each(|n| progress.concerned(Revision(n)));
        progress.confirmed(Revision(5));
        assert!(progress.lacks(Revision(last - 1), Revision(last)));
        progress.confirmed(Revision(last - 1));
        assert!(progress.lacks(Revision(0), Revision(last)), "the last one is still out");
    }
}
