//! Single writer (C6): after a mastership's first modification of a switch no modification of an older one takes effect.
//!
//! Source: OpenFlow 1.5.1, section 6.3.6; the epoch of a mastership is the `generation_id` of its role. The switch tags
//! each modification that takes effect with the generation of the connection it came by. A restart of the switch forgets
//! generations; the epochs must not go back all the same. Operators' edits have no generation.
//! A switch's database records the epoch of the mastership that configured it last, and that does not go back either.
//! Start at [`Writers`].

use super::Violation;
use crate::plan::HvId;
use std::collections::BTreeMap;
use std::time::Duration;

/// The newest writer of each switch.
#[derive(Clone, Debug, Default)]
pub struct Writers {
    /// By OpenFlow.
    flows: BTreeMap<HvId, u64>,
    /// By OVSDB: after how many transactions that was looked at, and the epoch that was recorded then.
    configuration: BTreeMap<HvId, (u64, Option<u64>)>,
}

impl Writers {
    /// The newest generation under which a switch's flows were changed, if any were.
    pub fn newest(&self, hv: HvId) -> Option<u64> {
        self.flows.get(&hv).copied()
    }

    /// So many transactions have changed a switch's database; `epoch` says what is recorded there, and is asked when there are
    /// more than before.
    pub fn configured(
        &mut self,
        at: Duration,
        hv: HvId,
        transactions: u64,
        epoch: impl FnOnce() -> Option<u64>,
    ) -> Option<Violation> {
        let (looked, newest) = self.configuration.entry(hv).or_default();
        if std::mem::replace(looked, transactions) == transactions {
            return None;
        }
        let epoch = epoch();
        let before = std::mem::replace(newest, epoch.max(*newest));
        (epoch < before).then(|| {
            let what = format!("{hv} was configured under epoch {epoch:?}, after {before:?}");
            Violation::new("C6", at, what)
        })
    }

    /// A modification took effect, under a generation; none if its connection had no role.
    pub fn wrote(&mut self, at: Duration, hv: HvId, generation: Option<u64>) -> Option<Violation> {
        let Some(generation) = generation else {
            return Some(Violation::new("C6", at, format!("{hv} was changed by a connection without a role")));
        };
        let newest = self.flows.entry(hv).or_insert(generation);
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

    #[test]
    fn an_epoch_that_goes_back_is_caught() {
        let mut writers = Writers::default();
        let mut configured = |transactions, epoch| {
            writers.configured(Duration::ZERO, HvId(0), transactions, || epoch).map(|violation| violation.id)
        };
        assert_eq!(configured(1, None), None);
        assert_eq!(configured(2, Some(4)), None);
        assert_eq!(configured(2, Some(3)), None, "nothing was changed");
        assert_eq!(configured(3, Some(5)), None);
        assert_eq!(configured(4, Some(4)), Some("C6"));
        assert_eq!(configured(5, None), Some("C6"));
    }
}
