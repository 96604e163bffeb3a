//! Realised is true (C7), and a switch holds what it should (E2).
//!
//! Source: the API's `realisation`; when a transport node is said to lack nothing, its tables are those that a full
//! computation gives for it. Checked whenever the controller says so of the newest revision, unless somebody has meddled
//! with the switch since, or it forgot everything; at the end of a run it must hold for all.
//! Flows are compared as text of both sides' own models: see the harness. Start at [`judge`].

use super::Violation;
use crate::plan::HvId;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

/// A switch's tables, or those it should have: one line for each flow and group, in one spelling.
pub type Lines = BTreeSet<String>;

/// How many differences are told.
const TOLD: usize = 6;

/// Judges what a switch holds. `id` is C7 when somebody said that it is realised, E2 at the end.
pub fn judge(id: &'static str, at: Duration, hv: HvId, desired: &Lines, held: &Lines) -> Option<Violation> {
    if desired == held {
        return None;
    }
    let mut what = format!("{hv} does not hold what it should:");
    for missing in desired.difference(held).take(TOLD) {
        write!(what, "\n      lacks {missing}").expect("memory takes it");
    }
    for stale in held.difference(desired).take(TOLD) {
        write!(what, "\n      has   {stale}").expect("memory takes it");
    }
    Some(Violation::new(id, at, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_what_is_missing_and_what_is_stale_are_told() {
        let lines = |lines: &[&str]| lines.iter().map(|line| line.to_string()).collect::<Lines>();
        let at = Duration::ZERO;
        assert_eq!(judge("C7", at, HvId(0), &lines(&["a", "b"]), &lines(&["b", "a"])), None);
        let violation = judge("C7", at, HvId(0), &lines(&["a", "b"]), &lines(&["b", "c"])).expect("they differ");
        assert!(violation.what.contains("lacks a") && violation.what.contains("has   c"), "{violation}");
    }
}
