//! Quiet (L5, E5): where nothing changes, nobody is told anything.
//!
//! Source: the design; a second look sends nothing. Checked in the last part of a run, when everything has converged: the
//! counters of modifications, transactions and sessions must stand still. Echoes are not counted. Start at [`judge`].

use super::Violation;
use crate::plan::HvId;
use std::time::Duration;

/// What a switch has been told so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Flow mods that took effect.
    pub flow_mods: u64,
    /// Group mods that took effect.
    pub group_mods: u64,
    /// Transactions of the controller.
    pub transactions: u64,
    /// Sessions that the switch opened.
    pub sessions: u64,
}

/// Judges a switch over a time in which nothing was asked and nothing failed.
pub fn judge(at: Duration, hv: HvId, before: Told, after: Told) -> Option<Violation> {
    (before != after).then(|| {
        let what = format!("{hv} was told something though nothing changed: before {before:?}, after {after:?}");
        Violation::new("L5", at, what)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_chatter_is_told() {
        let before = Told { flow_mods: 3, ..Told::default() };
        assert_eq!(judge(Duration::ZERO, HvId(0), before, before), None);
        let after = Told { flow_mods: 4, ..before };
        assert_eq!(judge(Duration::ZERO, HvId(0), before, after).map(|violation| violation.id), Some("L5"));
    }
}
