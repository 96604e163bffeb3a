//! Makes a failing plan small: leaves steps out while it still fails.
//!
//! Delta debugging (Zeller and Hildebrandt, TSE 2002) over the steps, then single steps, then less of what there was from
//! the beginning. Since steps name things by number, leaving one out never changes what the others mean.
//! Start at [`shrink`].

use super::{Plan, Step};

/// How a search went.
#[derive(Clone, Debug, PartialEq)]
pub struct Shrunk {
    /// The smallest plan found that still fails.
    pub plan: Plan,
    /// How many plans were tried.
    pub tried: usize,
}

/// The smallest plan found within so many tries that `fails`. The plan given must fail.
pub fn shrink(plan: &Plan, tries: usize, mut fails: impl FnMut(&Plan) -> bool) -> Shrunk {
    let mut best = plan.clone();
    let mut tried = 0;
    let mut chunk = best.steps.len().div_ceil(2).max(1);
    while tried < tries && !best.steps.is_empty() {
        let mut at = 0;
        let mut smaller = false;
        while at < best.steps.len() && tried < tries {
            let candidate = Plan { steps: without(&best.steps, at, chunk), ..best.clone() };
            tried += 1;
            match fails(&candidate) {
                true => {
                    best = candidate;
                    smaller = true;
                }
                false => at += chunk,
            }
        }
        match (chunk, smaller) {
            (1, false) => break,
            (1, true) => {}
            _ => chunk = chunk.div_ceil(2),
        }
    }
    Shrunk { plan: sooner(best, tries, &mut tried, &mut fails), tried }
}

fn without(steps: &[Step], from: usize, count: usize) -> Vec<Step> {
    let to = (from + count).min(steps.len());
    [&steps[..from], &steps[to..]].concat()
}

/// The same plan with an earlier end, if it fails still: a shorter run is quicker to read and to replay.
fn sooner(plan: Plan, tries: usize, tried: &mut usize, fails: &mut impl FnMut(&Plan) -> bool) -> Plan {
    const MARGIN_MS: u64 = 1_000;
    let last = plan.steps.last().map_or(0, |step| step.at_ms);
    let candidate = Plan { heal_at_ms: last + MARGIN_MS, ..plan.clone() };
    if candidate.heal_at_ms >= plan.heal_at_ms || *tried >= tries {
        return plan;
    }
    *tried += 1;
    if fails(&candidate) { candidate } else { plan }
}

#[cfg(test)]
mod tests {
    use super::super::{Act, GuestAct, swarm};
    use super::*;
    use crate::logical::VifId;

    #[test]
    fn what_does_not_matter_is_left_out() {
        let mut plan = swarm::plan(3);
        let reboot = |vif| Step { at_ms: 50_000, act: Act::Guest(GuestAct::Reboot { vif: VifId(vif) }) };
        let middle = plan.steps.len() / 2;
        plan.steps.insert(middle, reboot(900));
        plan.steps.insert(middle / 2, reboot(901));
        let needs_both = |plan: &Plan| [900, 901].iter().all(|vif| plan.steps.contains(&reboot(*vif)));
        let shrunk = shrink(&plan, 5_000, needs_both);
        assert_eq!(shrunk.plan.steps, [reboot(901), reboot(900)]);
        assert_eq!(shrunk.plan.heal_at_ms, 51_000);
        assert!(shrunk.tried < 2_000, "{} tries", shrunk.tried);
        let stopped = shrink(&plan, 3, needs_both);
        assert!(stopped.tried <= 4 && needs_both(&stopped.plan));
    }
}
