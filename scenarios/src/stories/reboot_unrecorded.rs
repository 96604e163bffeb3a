//! A hypervisor reboots, and what it reports then cannot be entered, since the controller's disk fails.
//!
//! Port numbers are of one life of a switch: a guest may have the number that another had. Until the controller has
//! entered which guest has which now, it must not write flows that name ports, however little time it has left.

use super::Story;
use super::telling::*;
use selvedge_sim::logical::{Port, PortId, SwitchId, VifId};
use selvedge_sim::plan::controller::{ControllerTrouble, DiskTrouble, Who};
use selvedge_sim::plan::fault::Fault;
use selvedge_sim::plan::{Encap, GuestAct, HvId, Request};
use selvedge_sim::run::report::Mark;

/// When the hypervisor reboots, and for how long it is down.
const REBOOT: u64 = THERE + 14_000;
const DOWN: u64 = 2_129;

/// The story.
pub const STORY: Story = Story {
    name: "reboot-unrecorded",
    about: "A hypervisor reboots, and what it reports then cannot be entered, since the controller's disk fails.",
    source: "seed 40039: flows for the port numbers of before the reboot",
    marks: &[Mark::StoppedOnDiskError],
    make: || {
        // Two guests come before the bridge does, and a third later: after the reboot they come in another order, and the
        // stranger, who is on no switch, has the number that guest 7 had. What guest 7 may send is anything.
        let any = Port { switch: SwitchId(0), enabled: true, pairs: Vec::new(), learning: false, vif: None };
        let (first, stranger, later, far) = (VifId(7), VifId(4), VifId(0), VifId(10));
        let plug = |vif, hv| GuestAct::Plug { vif, on: HvId(hv) };
        let plan = bare(2, (0..11).map(vif).collect())
            .guest(888, plug(first, 0))
            .api(1_140, new_switch(0, Encap::Vxlan))
            .guest(1_572, plug(stranger, 0))
            .api(3_014, Request::CreatePort { port: PortId(10), config: any.clone() })
            .api(3_309, Request::Attach { port: PortId(10), vif: Some(far) })
            .guest(3_542, plug(far, 1))
            .guest(8_780, plug(later, 0))
            .api(9_612, Request::CreatePort { port: PortId(7), config: any })
            .api(9_623, Request::Attach { port: PortId(7), vif: Some(first) })
            .fault(REBOOT, Fault::RebootHypervisor { hv: HvId(0), down_ms: DOWN })
            .fault(
                REBOOT + DOWN - 240,
                ControllerTrouble::Disk { trouble: DiskTrouble::ReadOnly, for_ms: 2_310 }.of(Who::All),
            );
        (0..10).fold(plan, |plan, n| {
            plan.guest(REBOOT + 1_000 + n * 400, GuestAct::Ping { from: stranger, to: far, v6: true })
        })
    },
};
