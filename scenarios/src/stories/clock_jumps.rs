//! The controller's clock jumps by hours, back and forth: nothing that counts time by it may expire or come back.
//!
//! Civil time is for people; what waits counts time that only passes.

use super::Story;
use super::telling::*;
use selvedge_sim::plan::controller::{ControllerTrouble, Who};

/// The story.
pub const STORY: Story = Story {
    name: "clock-jumps",
    about: "The controller's clock jumps by hours, back and forth: nothing that counts time by it may expire or come back.",
    source: "the catalogue: C1, C2; leases and sessions of etcd and Consul",
    marks: &[],
    make: || {
        let clock = |ahead_ms, drift_ppm| ControllerTrouble::Clock { ahead_ms, drift_ppm }.of(Who::All);
        network(2, 4)
            .pings(THERE, 55_000, 600)
            .changes(1, THERE, 50_000, 900)
            .fault(THERE + 2_000, clock(-10_800_000, 0))
            .fault(THERE + 12_000, clock(86_400_000, 0))
            .fault(THERE + 22_000, clock(0, 40_000))
            .fault(THERE + 32_000, clock(-1, -40_000))
    },
};
