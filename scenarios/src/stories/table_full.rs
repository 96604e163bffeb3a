//! A switch has no room for its flows, then room again.
//!
//! What was refused is said, not believed to be there, and there once it fits.

use super::Story;
use super::telling::*;
use selvedge_sim::plan::HvId;
use selvedge_sim::plan::fault::Fault;
use selvedge_sim::run::report::Mark;

/// The story.
pub const STORY: Story = Story {
    name: "table-full",
    about: "A switch has no room for its flows, then room again.",
    source: "the catalogue: S4",
    marks: &[Mark::ModificationRefused],
    make: || {
        network(2, 8)
            .pings(THERE, 50_000, 500)
            .changes(2, THERE, 45_000, 500)
            .fault(THERE + 2_000, Fault::TableFull { hv: HvId(0), flows: 3, for_ms: 15_000 })
            .fault(THERE + 3_000, Fault::RestartVswitchd { hv: HvId(0), down_ms: 100, renumber: false })
    },
};
