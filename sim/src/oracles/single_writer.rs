//! Single writer (C6): after a mastership's first modification of a switch no modification of an older one takes effect.
//!
//! Source: OpenFlow 1.5.1, section 6.3.6; the epoch of a mastership is the `generation_id` of its role. The switch tags
//! each modification that takes effect with the generation of the connection it came by. A restart of the switch forgets
//! generations; the epochs must not go back all the same. Operators' edits have no generation.
//! Not checked: OVSDB transactions, which are guarded by a `wait` on the epoch. Start at [`Writers`].

use super::Violation;
use crate::plan::HvId;
use std::collections::BTreeMap;
use std::time::Duration;

/// The newest writer of each switch.
#[derive(Clone, Debug, Default)]
pub struct Writers(BTreeMap<HvId, u64>);

impl Writers {
    /// The newest generation under which a switch was changed, if any was.
    pub fn newest(&self, hv: HvId) -> Option<u64> {
        self.0.get(&hv).copied()
    }

    /// A modification took effect, under a generation; none if its connection had no role.
    pub fn wrote(&mut self, at: Duration, hv: HvId, generation: Option<u64>) -> Option<Violation> {
        let Some(generation) = generation else {
            return Some(Violation::new("C6", at, format!("{hv} was changed by a connection without a role")));
        };
        let newest = self.0.entry(hv).or_insert(generation);
        if generation < *newest {
            let what = format!("{hv} was changed under generation {generation}, after one of generation {newest}");
            return Some(Violation::new("C6", at, what));
        }
        *newest = generation;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_writer_is_caught() {
        let mut writers = Writers::default();
        let mut wrote = |hv, generation| writers.wrote(Duration::ZERO, HvId(hv), generation).map(|v| v.id);
        assert_eq!(wrote(0, Some(5)), None);
        assert_eq!(wrote(1, Some(3)), None);
        assert_eq!(wrote(0, Some(5)), None);
        assert_eq!(wrote(0, Some(6)), None);
        assert_eq!(wrote(0, Some(5)), Some("C6"));
        assert_eq!(wrote(1, None), Some("C6"));
    }
}
