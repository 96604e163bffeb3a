//! ovs-vswitchd restarts while bundles are open: what was on its way is sent again, under the same epoch.
//!
//! The path is narrow, so that bundles are open for long; roles and generation ids are gone after the restart, with all flows.

use super::Story;
use super::telling::*;
use selvedge_sim::plan::HvId;
use selvedge_sim::plan::fault::Fault;
use selvedge_sim::run::report::Mark;

/// The story.
pub const STORY: Story = Story {
    name: "bundles-lost",
    about: "ovs-vswitchd restarts while bundles are open: what was on its way is sent again, under the same epoch.",
    source: "the catalogue: S1 within S6",
    marks: &[Mark::BundleLost, Mark::RoleAssertedAfterRestart],
    make: || {
        let slow = |for_ms| Fault::PoorManagement {
            hv: HvId(0),
            latency_ms: 20,
            jitter_ms: 0,
            loss: 0,
            rate: Some(4_000),
            for_ms,
        };
        let plan = network(2, 4).pings(THERE, 55_000, 700).fault(THERE + 500, slow(36_000));
        (0..4_u64).fold(plan, |plan, n| {
            let at = THERE + 1_000 + n * 9_000;
            let restart = || Fault::RestartVswitchd { hv: HvId(0), down_ms: 300, renumber: false };
            // What the first restart made necessary is on its way when the second comes.
            plan.fault(at, restart()).fault(at + 1_500 + n * 250, restart())
        })
    },
};
