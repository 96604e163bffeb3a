//! The controller's host loses power and comes back within a second: switches hold sessions that nobody serves.
//!
//! No reset was sent: both ends must find out by themselves.

use super::Story;
use super::telling::*;
use selvedge_sim::plan::controller::{ControllerTrouble, Who};
use selvedge_sim::run::report::Mark;

/// The story.
pub const STORY: Story = Story {
    name: "half-open",
    about: "The controller's host loses power and comes back within a second: switches hold sessions that nobody serves.",
    source: "seed 99: a simulated ovsdb-server that never asked for a sign of life waited for ever",
    marks: &[Mark::ControllerFoundDead],
    make: || {
        network(3, 3)
            .pings(THERE, 55_000, 500)
            .changes(0, THERE, 50_000, 800)
            .fault(THERE + 3_000, ControllerTrouble::PowerCut { down_ms: 100 }.of(Who::All))
            .fault(THERE + 25_000, ControllerTrouble::PowerCut { down_ms: 700 }.of(Who::All))
    },
};
