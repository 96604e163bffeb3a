//! Recovery (C10): after a start the controller has every revision that it had acknowledged before.
//!
//! Source: the store's promise; a batch is durable before any of it is answered. Checked at each start, against the highest
//! revision that any client was told of. Not checked here: what the revisions say (see [`super::acknowledged`]).
//! Start at [`judge`].

use super::Violation;
use std::time::Duration;

/// Judges a start.
pub fn judge(at: Duration, acknowledged: u64, recovered: u64) -> Option<Violation> {
    (recovered < acknowledged).then(|| {
        let what = format!("started at revision {recovered}, but had acknowledged {acknowledged}");
        Violation::new("C10", at, what)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_revisions_are_told() {
        assert_eq!(judge(Duration::ZERO, 7, 7), None);
        assert_eq!(judge(Duration::ZERO, 7, 9), None);
        assert_eq!(judge(Duration::ZERO, 7, 6).map(|violation| violation.id), Some("C10"));
    }
}
