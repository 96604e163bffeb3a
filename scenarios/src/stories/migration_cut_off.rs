//! A guest migrates while the controller is cut off from both hypervisors, and migrates back.
//!
//! The controller hears of the places in another order than they happened in, since one path is mended first.

use super::Story;
use super::telling::*;
use selvedge_sim::logical::VifId;
use selvedge_sim::plan::fault::{Fault, Way};
use selvedge_sim::plan::{GuestAct, HvId};
use selvedge_sim::run::report::Mark;

/// The story.
pub const STORY: Story = Story {
    name: "migration-cut-off",
    about: "A guest migrates while the controller is cut off from both hypervisors, and migrates back.",
    source: "the catalogue: N6 within a migration",
    marks: &[Mark::TwoPlaces],
    make: || {
        network(3, 3)
            .pings(THERE, 60_000, 400)
            .fault(THERE + 1_000, Fault::CutManagement { hv: HvId(0), way: Way::Both, for_ms: 30_000 })
            .fault(THERE + 1_000, Fault::CutManagement { hv: HvId(1), way: Way::Both, for_ms: 14_000 })
            .guest(THERE + 3_000, GuestAct::Plug { vif: VifId(0), on: HvId(1) })
            .guest(THERE + 3_040, GuestAct::Unplug { vif: VifId(0), from: HvId(0) })
            .guest(THERE + 20_000, GuestAct::Plug { vif: VifId(0), on: HvId(0) })
            .guest(THERE + 20_040, GuestAct::Unplug { vif: VifId(0), from: HvId(1) })
            .heals(65_000)
    },
};
