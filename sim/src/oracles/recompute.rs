//! Incremental is full (E1): what the controller derived change by change is what it would derive from scratch.
//!
//! Source: the design; a full computation is always right. Checked when a run ends, and now and then in one seed of
//! eight. Both are the product's own code: a mistake in both is for the other properties to find. Start at [`judge`].

use super::Violation;
use super::realised::Rows;
use crate::plan::HvId;
use std::time::Duration;

/// Judges one transport node's tables.
pub fn judge(at: Duration, hv: HvId, incremental: &Rows, full: &Rows) -> Option<Violation> {
    let mut violation = super::realised::judge("E1", at, hv, full, incremental)?;
    violation.what = format!("computed change by change, {}", violation.what);
    Some(violation)
}

#[cfg(test)]
mod tests {
    use super::super::realised::row;
    use super::*;

    #[test]
    fn a_forgotten_change_is_told() {
        let rows = |cookie| Rows::from([row(cookie)]);
        assert_eq!(judge(Duration::ZERO, HvId(0), &rows(1), &rows(1)), None);
        assert_eq!(judge(Duration::ZERO, HvId(0), &rows(1), &rows(2)).map(|v| v.id), Some("E1"));
    }
}
