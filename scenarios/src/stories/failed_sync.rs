//! A sync fails, the controller stops and starts again, and then power is lost.
//!
//! What a process cannot sync the operating system may show to the next one, until it is gone for good.

use super::Story;
use super::telling::*;
use selvedge_sim::plan::controller::{ControllerTrouble, DiskTrouble, Who};
use selvedge_sim::run::report::Mark;

/// The story.
pub const STORY: Story = Story {
    name: "failed-sync",
    about: "A sync fails, the controller stops and starts again, and then power is lost.",
    source: "seed 9: pages that were clean and not on the disk were trusted; Rebello et al., USENIX ATC 2020",
    marks: &[Mark::StoppedOnDiskError, Mark::RecoveredFromPowerCut],
    make: || {
        // One port after the other: a request that was lost holds up those for its port.
        network(2, 4)
            .changes(0, THERE, THERE + 8_000, 400)
            .changes(1, THERE + 8_000, THERE + 24_000, 400)
            .changes(2, THERE + 24_000, 50_000, 400)
            .fault(
                THERE + 3_000,
                ControllerTrouble::Disk { trouble: DiskTrouble::SyncFails, for_ms: 1_000 }.of(Who::All),
            )
            .fault(THERE + 12_000, ControllerTrouble::PowerCutAt { operations: 9, down_ms: 2_000 }.of(Who::All))
            .fault(
                THERE + 20_000,
                ControllerTrouble::Disk { trouble: DiskTrouble::SyncFails, for_ms: 1_000 }.of(Who::All),
            )
            .fault(THERE + 28_000, ControllerTrouble::PowerCutAt { operations: 40, down_ms: 2_000 }.of(Who::All))
    },
};
