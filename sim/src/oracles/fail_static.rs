//! Fail static (D9): a controller that is down changes nothing on a switch, and coming back with unchanged intent it
//! changes nothing either.
//!
//! Source: the design; existing state forwards as it did. Checked by comparing a switch's tables when the controller goes
//! down with those when it is about to be started again, unless somebody else meddled with the switch in between.
//! Start at [`judge`].

use super::Violation;
use super::realised::Rows;
use crate::plan::HvId;
use std::time::Duration;

/// Judges a switch over a time without a controller.
pub fn judge(at: Duration, hv: HvId, before: &Rows, after: &Rows) -> Option<Violation> {
    let mut violation = super::realised::judge("D9", at, hv, before, after)?;
    violation.what = format!("while no controller was up {}", violation.what);
    Some(violation)
}

#[cfg(test)]
mod tests {
    use super::super::realised::row;
    use super::*;

    #[test]
    fn a_table_that_changes_by_itself_is_told() {
        let rows = |cookie| Rows::from([row(cookie)]);
        assert_eq!(judge(Duration::ZERO, HvId(0), &rows(1), &rows(1)), None);
        assert_eq!(judge(Duration::ZERO, HvId(0), &rows(1), &Rows::new()).map(|v| v.id), Some("D9"));
    }
}
