//! Survivable (C13): a switch is told nothing that it does not survive.
//!
//! Source: what ovs-vswitchd 3.1 was seen to die of when it was told generated messages (`sim/tests/fidelity`). The
//! simulated switch recognises it, and goes on. Not checked: what nobody has tried on a real one. Start at [`wrote`].

use super::Violation;
use crate::plan::HvId;
use crate::switch::openflow::Deadly;
use std::time::Duration;

/// A modification took effect of which a real switch would have died, or not.
pub fn wrote(at: Duration, hv: HvId, deadly: Option<Deadly>) -> Option<Violation> {
    deadly.map(|why| Violation::new("C13", at, format!("{hv} would have died: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kills_is_reported() {
        assert_eq!(wrote(Duration::ZERO, HvId(1), None), None);
        let violation = wrote(Duration::ZERO, HvId(1), Some(Deadly::NoBuckets)).expect("it kills");
        assert_eq!(
            (violation.id, violation.what.as_str()),
            ("C13", "hv1 would have died: no buckets were inserted in a group")
        );
    }
}
