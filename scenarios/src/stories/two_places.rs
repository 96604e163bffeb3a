//! A guest appears on a second hypervisor while the first cannot say that it is gone.
//!
//! The controller learns of the new place first, and of the end of the old one much later.

use super::Story;
use super::telling::*;
use selvedge_sim::logical::VifId;
use selvedge_sim::plan::fault::{Fault, Way};
use selvedge_sim::plan::{GuestAct, HvId};
use selvedge_sim::run::report::Mark;

/// The story.
pub const STORY: Story = Story {
    name: "two-places",
    about: "A guest appears on a second hypervisor while the first cannot say that it is gone.",
    source: "Neutron bug 1757188 and its kin: a port bound on two hosts after a migration",
    marks: &[Mark::TwoPlaces],
    make: || {
        network(3, 3)
            .pings(THERE, 55_000, 500)
            .fault(THERE + 500, Fault::CutManagement { hv: HvId(0), way: Way::Both, for_ms: 25_000 })
            .guest(THERE + 2_000, GuestAct::Plug { vif: VifId(0), on: HvId(1) })
            .guest(THERE + 4_000, GuestAct::Unplug { vif: VifId(0), from: HvId(0) })
            .guest(THERE + 4_001, GuestAct::Announce { vif: VifId(0) })
            .guest(THERE + 30_000, GuestAct::Plug { vif: VifId(0), on: HvId(2) })
            .guest(THERE + 30_002, GuestAct::Unplug { vif: VifId(0), from: HvId(1) })
    },
};
