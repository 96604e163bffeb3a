//! A controller starts again after a change that concerned no hypervisor: it must still learn that all hold everything.
//!
//! It was told up to which revision switches had confirmed what they were sent, which is before that change, and waited for
//! ever to be told of the rest.

use super::Story;
use super::telling::*;
use selvedge_sim::plan::Encap;
use selvedge_sim::plan::controller::{ControllerTrouble, Who};
use selvedge_sim::run::report::Mark;

/// The story.
pub const STORY: Story = Story {
    name: "told-late",
    about: "A controller starts again after a change that concerned no hypervisor: it learns that all hold everything.",
    source: "seed 94",
    marks: &[Mark::Converged],
    make: || {
        let mut plan = network(1, 2).controllers(3);
        // It starts from a snapshot which has changes that the switch will never be sent anything for.
        plan.setup.snapshot_every = 2;
        let switches = 1..=6;
        let plan =
            switches.fold(plan, |plan, n| plan.api(THERE + 4_000 + u64::from(n) * 100, new_switch(n, Encap::Geneve)));
        plan.fault(THERE + 6_000, ControllerTrouble::Kill { down_ms: 1_000 }.of(Who::Follower)).heals(THERE + 15_000)
    },
};
