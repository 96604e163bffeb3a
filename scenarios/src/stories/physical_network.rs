//! The network beneath the tunnels fails in all its ways, one after the other: links move unsaid, cables make a circle,
//! strangers take addresses, routers fail, packets come in pieces.
//!
//! Nothing of it is the controller's to mend; nothing of it may confuse it, nor may a tenant's packet go where it must not.

use super::Story;
use super::telling::*;
use selvedge_sim::fabric::site::{Leaf, Twin};
use selvedge_sim::logical::VifId;
use selvedge_sim::plan::fault::{Fault, Trouble};
use selvedge_sim::plan::physical::Physical;
use selvedge_sim::plan::{GuestAct, HvId};
use selvedge_sim::run::report::Mark;

const LARGE: u16 = 1_300;

/// The story.
pub const STORY: Story = Story {
    name: "physical-network",
    about: "Links move unsaid, cables make a circle, strangers take addresses, routers fail, packets come in pieces.",
    source: "what operators of physical networks report: failover without gratuitous ARP, loops, duplicate addresses",
    marks: &[
        Mark::FragmentsReassembled,
        Mark::UnderlayFlooded,
        Mark::UnderlayCircled,
        Mark::TunnelPacketStolen,
        Mark::RouterTookOver,
        Mark::Converged,
    ],
    make: || {
        let physical = |trouble, for_ms| Fault::Physical { trouble, for_ms };
        let pieces = |from, to| {
            let (from, to) = (HvId(from), HvId(to));
            Fault::Underlay { from, to, trouble: Trouble::Fragments(600), for_ms: 8_000 }
        };
        let large = |from, to| GuestAct::Udp { from: VifId(from), to: VifId(to), size: LARGE };
        let mut plan = network(4, 4)
            .pings(THERE, 175_000, 250)
            .heals(180_000)
            .changes(0, THERE, 170_000, 3_000)
            .fault(THERE + 2_000, pieces(0, 1))
            .fault(THERE + 2_000, pieces(1, 0))
            .fault(THERE + 12_000, physical(Physical::LinkMoves(HvId(2)), 15_000))
            .fault(THERE + 32_000, physical(Physical::Circle, 3_000))
            .fault(THERE + 40_000, physical(Physical::SmallTables(1), 5_000))
            .fault(THERE + 47_000, physical(Physical::ShortMemory(1), 5_000))
            .fault(THERE + 55_000, physical(Physical::MissingVlan { leaf: Leaf::Two, of: HvId(0) }, 5_000))
            .fault(THERE + 65_000, physical(Physical::RouterFails { both: false }, 10_000))
            .fault(THERE + 80_000, physical(Physical::RouterFails { both: true }, 5_000))
            .fault(THERE + 90_000, physical(Physical::Stranger { of: HvId(3), twin: Twin::Mac }, 8_000))
            .fault(THERE + 100_000, physical(Physical::Stranger { of: HvId(1), twin: Twin::Ip }, 8_000));
        for second in 2..9 {
            plan =
                plan.guest(THERE + second * 1_000 + 500, large(0, 1)).guest(THERE + second * 1_000 + 600, large(1, 0));
        }
        plan
    },
};
