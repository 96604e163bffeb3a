//! A switch's database tells of changes seconds late, so that the controller acts on what is long gone.
//!
//! Each transaction waits for the state it was made for, and is refused if that is gone.

use super::Story;
use super::telling::*;
use selvedge_sim::logical::VifId;
use selvedge_sim::plan::fault::{Edit, Fault};
use selvedge_sim::plan::{GuestAct, HvId};
use selvedge_sim::run::report::Mark;

/// The story.
pub const STORY: Story = Story {
    name: "late-updates",
    about: "A switch's database tells of changes seconds late, so that the controller acts on what is long gone.",
    source: "OVSDB: clients that act on a replica which lags behind; guarded transactions are for that",
    marks: &[Mark::EditRepaired],
    make: || {
        network(2, 4)
            .pings(THERE, 60_000, 600)
            .fault(THERE + 1_000, Fault::LateUpdates { hv: HvId(0), delay_ms: 4_000, for_ms: 30_000 })
            .fault(THERE + 2_000, Fault::Edit { hv: HvId(0), edit: Edit::FailMode })
            .guest(THERE + 3_000, GuestAct::Unplug { vif: VifId(0), from: HvId(0) })
            .guest(THERE + 3_500, GuestAct::Plug { vif: VifId(0), on: HvId(1) })
            .fault(THERE + 8_000, Fault::Edit { hv: HvId(0), edit: Edit::Controllers })
            .fault(THERE + 15_000, Fault::Edit { hv: HvId(0), edit: Edit::DeleteFlow(3) })
            .heals(65_000)
    },
};
