//! ovs-vswitchd restarts, ports swap numbers, and the database's notices of it come late.
//!
//! The OpenFlow connection is there long before the controller hears that a guest's number is another's now: it must not
//! write flows by what it knew before.

use super::Story;
use super::telling::*;
use selvedge_sim::logical::{Port, PortId, SwitchId, VifId};
use selvedge_sim::plan::fault::Fault;
use selvedge_sim::plan::{Encap, GuestAct, HvId, Request};
use selvedge_sim::run::report::Mark;

/// When ovs-vswitchd restarts.
const RESTART: u64 = THERE + 6_000;

/// The story.
pub const STORY: Story = Story {
    name: "numbers-swapped",
    about: "ovs-vswitchd restarts, ports swap numbers, and the database's notices of it come late.",
    source: "the catalogue: S1 with S11; what seed 40039 showed, by another way",
    marks: &[Mark::PortNumberChanged],
    make: || {
        // What guests of the switch may send is anything, so that nothing else stops the strangers, who are on none.
        let any = || Port { switch: SwitchId(0), enabled: true, pairs: Vec::new(), learning: false, vif: None };
        let plug = |vif, hv| GuestAct::Plug { vif: VifId(vif), on: HvId(hv) };
        let plan = bare(2, (0..6).map(vif).collect())
            .api(2_000, new_switch(0, Encap::Geneve))
            .api(3_000, Request::CreatePort { port: PortId(0), config: any() })
            .api(3_200, Request::CreatePort { port: PortId(1), config: any() })
            .api(4_000, Request::Attach { port: PortId(0), vif: Some(VifId(0)) })
            .api(4_200, Request::Attach { port: PortId(1), vif: Some(VifId(1)) })
            .guest(5_000, plug(0, 1));
        let plan = (1..6).fold(plan, |plan, n| plan.guest(5_000 + u64::from(n) * 300, plug(n, 0)));
        let plan = plan
            .fault(RESTART - 500, Fault::LateUpdates { hv: HvId(0), delay_ms: 8_000, for_ms: 30_000 })
            .fault(RESTART, Fault::RestartVswitchd { hv: HvId(0), down_ms: 300, renumber: true });
        (0..30).fold(plan, |plan, n| {
            let stranger = VifId(2 + (n % 4) as u16);
            plan.guest(RESTART + n * 500, GuestAct::Ping { from: stranger, to: VifId(0), v6: n % 2 == 0 })
        })
    },
};
