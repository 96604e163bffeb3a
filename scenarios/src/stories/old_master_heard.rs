//! A controller that was cut off comes back, still taking itself for the master of what another took over, and tells so; and
//! one that starts at that moment, and is not yet where the others are, hears both.
//!
//! It believed whoever spoke last. What the former master had told was forgotten as soon as it learned of the later one, who
//! had told it all there was and saw no reason to tell it again: for good it knew nothing of those hypervisors.

use super::Story;
use super::telling::*;
use selvedge_sim::plan::controller::{ControllerTrouble, Who};
use selvedge_sim::plan::fault::Way;
use selvedge_sim::plan::{HvId, Plan, Setup};
use selvedge_sim::run::report::Mark;

/// How long one round takes, in milliseconds.
const ROUND: u64 = 60_000;

/// The story.
pub const STORY: Story = Story {
    name: "old-master-heard",
    about: "A controller that starts hears from the master of a hypervisor, and from one that was its master before.",
    source: "seed 2785124677",
    marks: &[Mark::OwnerChanged],
    make: || {
        let plan = bare(3, Vec::new()).controllers(3);
        // So that the one that starts knows the hypervisors, and an older mastership of them than either of the others.
        let plan = Plan { setup: Setup { snapshot_every: 10, ..plan.setup }, ..plan };
        let rounds = (0..3_u16).map(|n| (20_000 + u64::from(n) * ROUND, HvId(n)));
        let plan = rounds.fold(plan, |plan, (at, hv)| {
            plan.fault(at, ControllerTrouble::Apart { way: Way::Both, for_ms: 38_000 }.of(Who::OwnerOf(hv)))
                .fault(at + 17_000, ControllerTrouble::Kill { down_ms: 700 }.of(Who::Leader))
        });
        plan.heals(20_000 + 3 * ROUND)
    },
};
