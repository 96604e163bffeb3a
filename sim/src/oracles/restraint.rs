//! Restraint (L6): a switch that refuses is not asked in a tight circle.
//!
//! Source: the design; whoever retries waits longer each time. A few attempts a second are far more than pauses that double
//! allow, and new sessions are counted with the old. Not checked: attempts that a switch never answers. Neither is anything
//! entered into the NIB in a tight circle. Start at [`Restraint::refused`] and [`Pace::entered`].

use super::Violation;
use crate::plan::HvId;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// The time over which refusals are counted.
const WINDOW: Duration = Duration::from_secs(10);
/// Most refusals in it.
const REFUSALS_MAX: usize = 60;

/// When switches refused something, lately.
#[derive(Clone, Debug, Default)]
pub struct Restraint {
    known: BTreeMap<HvId, u64>,
    lately: BTreeMap<HvId, VecDeque<Duration>>,
}

impl Restraint {
    /// A switch has refused so much so far, transactions and modifications together. A tight circle is reported once.
    pub fn refused(&mut self, at: Duration, hv: HvId, so_far: u64) -> Option<Violation> {
        let known = self.known.entry(hv).or_default();
        let more = so_far.saturating_sub(std::mem::replace(known, so_far));
        if more == 0 {
            return None;
        }
        let lately = self.lately.entry(hv).or_default();
        lately.retain(|earlier| at.saturating_sub(*earlier) < WINDOW);
        let before = lately.len();
        let kept = usize::try_from(more).unwrap_or(usize::MAX).min(REFUSALS_MAX + 1);
        lately.extend(std::iter::repeat_n(at, kept));
        (before <= REFUSALS_MAX && lately.len() > REFUSALS_MAX).then(|| {
            let what =
                format!("{hv} refused more than {REFUSALS_MAX} attempts within {WINDOW:?}: nobody waits between them");
            Violation::new("L6", at, what)
        })
    }
}

/// Most revisions in a second: far more than clients and guests of a plan can be the reason of, far less than a circle makes.
const REVISIONS_MAX: u64 = 300;

/// How fast the NIB changes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    since: Duration,
    furthest: u64,
}

impl Pace {
    /// A controller has come to a revision. Judged once a second.
    pub fn entered(&mut self, at: Duration, revision: u64) -> Option<Violation> {
        let took = at.saturating_sub(self.since);
        if took < Duration::from_secs(1) {
            return None;
        }
        // One that has started again reads what it has entered long ago: that is no news.
        let furthest = revision.max(self.furthest);
        let before = std::mem::replace(self, Pace { since: at, furthest });
        // If nobody was there for a while, there is much to catch up with.
        (took < Duration::from_secs(2) && furthest - before.furthest > REVISIONS_MAX).then(|| {
            let what = format!("the NIB came from revision {} to {revision} within {took:?}", before.furthest);
            Violation::new("L6", at, what)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nib_that_changes_in_a_circle_is_seen() {
        let mut pace = Pace::default();
        let second = Duration::from_secs(1);
        assert_eq!(pace.entered(second, 200), None);
        assert_eq!(pace.entered(second * 3 / 2, 5_000), None, "not a second later");
        assert_eq!(pace.entered(second * 2, 450), None);
        assert_eq!(pace.entered(second * 3, 900).map(|violation| violation.id), Some("L6"));
        assert_eq!(pace.entered(second * 60, 9_000), None);
        assert_eq!(pace.entered(second * 61, 0), None, "it starts again");
        assert_eq!(pace.entered(second * 62, 9_100), None, "and has read what it had");
        assert_eq!(pace.entered(second * 63, 9_500).map(|violation| violation.id), Some("L6"));
    }

    fn first(every_ms: u64, count: u64) -> Option<u64> {
        let mut restraint = Restraint::default();
        (1..=count).find(|n| restraint.refused(Duration::from_millis(n * every_ms), HvId(0), *n).is_some())
    }

    #[test]
    fn a_tight_circle_is_seen_and_patience_is_not() {
        assert_eq!(first(1, 1_000), Some(61));
        assert_eq!(first(100, 1_000), Some(61));
        assert_eq!(first(200, 1_000), None);
    }

    #[test]
    fn switches_are_counted_apart_and_a_circle_is_reported_once() {
        let mut restraint = Restraint::default();
        for n in 1..=50 {
            assert_eq!(restraint.refused(Duration::from_millis(n), HvId(0), n), None);
            assert_eq!(restraint.refused(Duration::from_millis(n), HvId(1), n), None);
        }
        assert_eq!(restraint.refused(Duration::from_secs(1), HvId(0), 1_000).map(|violation| violation.id), Some("L6"));
        assert_eq!(restraint.refused(Duration::from_secs(1), HvId(0), 1_001), None);
    }
}
