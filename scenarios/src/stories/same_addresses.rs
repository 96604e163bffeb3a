//! Two tenants use the same addresses on the same hypervisors, and a third party forges tunnel packets.
//!
//! Guests 0 and 1 are on one switch, 2 and 3 on another, with the very same addresses.

use super::Story;
use super::telling::*;
use selvedge_sim::logical::VifId;
use selvedge_sim::plan::fault::Fault;
use selvedge_sim::plan::{Encap, GuestAct, HvId};
use selvedge_sim::run::report::Mark;

/// The story.
pub const STORY: Story = Story {
    name: "same-addresses",
    about: "Two tenants use the same addresses on the same hypervisors, and a third party forges tunnel packets.",
    source: "nvp: tenants choose their addresses; X3 of the catalogue",
    marks: &[Mark::SameAddressOnOneHypervisor, Mark::TunnelPacketRefused, Mark::SpoofDropped],
    make: || {
        let vifs = [0, 1, 0, 1].map(vif).to_vec();
        let plan = bare(3, vifs).api(3_000, new_switch(0, Encap::Stt)).api(3_100, new_switch(1, Encap::Vxlan));
        let plan = [(0, 0, 0), (1, 0, 1), (2, 1, 0), (3, 1, 1)]
            .into_iter()
            .fold(plan, |plan, (n, switch, hv)| resident(plan, n, switch, HvId(hv)))
            .pings(THERE, 50_000, 400);
        (0..16_u32).fold(plan, |plan, n| {
            let encap = Encap::ALL[n as usize % 4];
            let rogue = Fault::RogueTunnel {
                from: HvId(2),
                to: HvId(n as u16 % 2),
                encap,
                key: n / 4 + 1,
                posing: VifId(0),
                victim: VifId(n as u16 % 4),
                as_from: None,
            };
            let at = THERE + 1_000 + u64::from(n) * 2_000;
            plan.fault(at, rogue).guest(at + 500, GuestAct::Spoof { from: VifId(0), victim: VifId(1), kind: n as u8 })
        })
    },
};
