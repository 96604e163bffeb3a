//! A switch refuses every bundle for a while, and three controllers could write to it: none asks it in a tight circle.
//!
//! A session that ended with the third refusal looked like a switch out of reach, so that another controller took over,
//! and began with three attempts of its own.

use super::Story;
use super::telling::*;
use selvedge_sim::plan::HvId;
use selvedge_sim::plan::fault::Fault;
use selvedge_sim::run::report::Mark;

/// The story.
pub const STORY: Story = Story {
    name: "refused-in-turn",
    about: "A switch refuses every bundle for a while: no controller of three asks it in a tight circle.",
    source: "seed 95",
    marks: &[Mark::BundleExpired],
    make: || {
        network(2, 4)
            .controllers(3)
            .changes(0, THERE, THERE + 20_000, 1_000)
            .fault(THERE, Fault::ImpatientBundles { hv: HvId(0), idle_ms: 0, for_ms: 25_000 })
            .heals(THERE + 40_000)
    },
};
