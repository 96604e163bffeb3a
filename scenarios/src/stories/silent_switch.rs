//! A switch that volunteers nothing loses the controller for a while, and is found as it is afterwards.
//!
//! No statistics and no status arrive that nobody asked for: whoever relies on them to notice a dead peer never does.

use super::Story;
use super::telling::*;
use selvedge_sim::plan::fault::{Fault, Way};
use selvedge_sim::plan::{HvId, Plan, Setup};
use selvedge_sim::run::report::Mark;

/// The story.
pub const STORY: Story = Story {
    name: "silent-switch",
    about: "A switch that volunteers nothing loses the controller for a while, and is found as it is afterwards.",
    source: "the catalogue: S8; sessions that are kept alive only by statistics",
    marks: &[Mark::ControllerFoundDead],
    make: || {
        let plan = network(2, 4);
        let setup = Setup { silent: true, ..plan.setup };
        Plan { setup, ..plan }
            .pings(THERE, 55_000, 600)
            .fault(THERE + 2_000, Fault::CutManagement { hv: HvId(0), way: Way::Down, for_ms: 20_000 })
            .changes(0, THERE + 3_000, THERE + 20_000, 1_500)
            .fault(THERE + 30_000, Fault::CutManagement { hv: HvId(1), way: Way::Up, for_ms: 9_000 })
    },
};
