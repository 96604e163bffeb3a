//! An operator empties a group by hand: traffic to everybody stops, and no monitor of flows says so.
//!
//! Groups are watched by forwarded requests (OpenFlow 1.5, 7.4.6).

use super::Story;
use super::telling::*;
use selvedge_sim::plan::HvId;
use selvedge_sim::plan::fault::{Edit, Fault};
use selvedge_sim::run::report::Mark;

/// The story.
pub const STORY: Story = Story {
    name: "group-emptied",
    about: "An operator empties a group by hand: traffic to everybody stops, and no monitor of flows says so.",
    source: "seeds 631, 757, 853, 1373 and 1516",
    marks: &[Mark::EditRepaired],
    make: || {
        (0..6_u64).fold(network(3, 6).pings(THERE, 50_000, 700), |plan, n| {
            plan.fault(
                THERE + 2_000 + n * 5_000,
                Fault::Edit { hv: HvId(n as u16 % 3), edit: Edit::EmptyGroup(n as u16) },
            )
        })
    },
};
