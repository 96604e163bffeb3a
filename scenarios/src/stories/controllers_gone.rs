//! The controller is down for long: what was forwarded is forwarded, and nothing is wiped when it comes back.
//!
//! Killed first, then without power; guests talk all the while, also to guests they had not talked to.

use super::Story;
use super::telling::*;
use selvedge_sim::plan::controller::{ControllerTrouble, Who};
use selvedge_sim::run::report::Mark;

/// The story.
pub const STORY: Story = Story {
    name: "controllers-gone",
    about: "The controller is down for long: what was forwarded is forwarded, and nothing is wiped when it comes back.",
    source: "OVN: restarts of ovn-controller that flushed flows before new ones were there",
    marks: &[Mark::ForwardedWithoutController],
    make: || {
        network(3, 6)
            .pings(THERE, 75_000, 250)
            .fault(THERE + 2_000, ControllerTrouble::Kill { down_ms: 25_000 }.of(Who::All))
            .fault(THERE + 36_000, ControllerTrouble::PowerCut { down_ms: 20_000 }.of(Who::All))
            .heals(80_000)
    },
};
