//! Three controllers, and the one that matters fails: killed, without power, held, cut off from the others, from a hypervisor.
//!
//! The owner of hv0 and the leader in turn, each in every way, while configuration changes and guests talk. What the one that
//! was replaced still wanted to write comes late: the switch must not take it.

use super::Story;
use super::telling::*;
use selvedge_sim::plan::HvId;
use selvedge_sim::plan::controller::{ControllerTrouble, Who};
use selvedge_sim::plan::fault::Way;
use selvedge_sim::run::report::Mark;

/// The story.
pub const STORY: Story = Story {
    name: "owners-change",
    about: "Controllers of a cluster fail in every way while they write: others take over, and only one ever writes.",
    source: "the catalogue: P1, P3, P6, N6 of controllers",
    marks: &[Mark::LeaderChanged, Mark::OwnerChanged],
    make: || {
        let troubles = [
            ControllerTrouble::Kill { down_ms: 6_000 },
            ControllerTrouble::Pause { for_ms: 7_000 },
            ControllerTrouble::Apart { way: Way::Both, for_ms: 7_000 },
            ControllerTrouble::Apart { way: Way::Up, for_ms: 7_000 },
            ControllerTrouble::CutOff { hv: HvId(0), way: Way::Both, for_ms: 9_000 },
            ControllerTrouble::CutOff { hv: HvId(0), way: Way::Down, for_ms: 9_000 },
            ControllerTrouble::PowerCut { down_ms: 6_000 },
        ];
        let turns = troubles.iter().flat_map(|trouble| [Who::OwnerOf(HvId(0)), Who::Leader].map(|who| trouble.of(who)));
        let plan = network(3, 6).controllers(3).pings(THERE, 190_000, 400).changes(0, THERE, 190_000, 700);
        let plan = turns.zip(1_u64..).fold(plan, |plan, (trouble, n)| plan.fault(n * 12_000, trouble));
        plan.heals(195_000)
    },
};
