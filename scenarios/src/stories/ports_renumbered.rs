//! ovs-vswitchd comes back with other port numbers, while the controller cannot be reached.
//!
//! Flows name ports by number: whoever puts back what was there before sends frames to the wrong guests.

use super::Story;
use super::telling::*;
use selvedge_sim::plan::HvId;
use selvedge_sim::plan::fault::{Fault, Way};
use selvedge_sim::run::report::Mark;

/// The story.
pub const STORY: Story = Story {
    name: "ports-renumbered",
    about: "ovs-vswitchd comes back with other port numbers, while the controller cannot be reached.",
    source: "the catalogue: S1; flows of a port that is another's now",
    marks: &[Mark::PortNumberChanged],
    make: || {
        network(2, 8)
            .pings(THERE, 55_000, 300)
            .fault(THERE + 2_000, Fault::RestartVswitchd { hv: HvId(0), down_ms: 200, renumber: true })
            .fault(THERE + 10_000, Fault::CutManagement { hv: HvId(1), way: Way::Both, for_ms: 12_000 })
            .fault(THERE + 11_000, Fault::RestartVswitchd { hv: HvId(1), down_ms: 200, renumber: true })
            .fault(THERE + 30_000, Fault::RestartVswitchd { hv: HvId(0), down_ms: 5_000, renumber: true })
    },
};
