//! A switch's database refuses one change of its configuration after another.
//!
//! Each is tried again, and in the end the switch is as it should be; that the pause between attempts grows is tested at the driver.

use super::Story;
use super::telling::*;
use selvedge_sim::plan::HvId;
use selvedge_sim::plan::fault::{Edit, Fault};
use selvedge_sim::run::report::Mark;

/// The story.
pub const STORY: Story = Story {
    name: "refused-transactions",
    about: "A switch's database refuses one change of its configuration after another.",
    source: "the first calm seed: a refused transaction was sent again thousands of times a second",
    marks: &[Mark::TransactionRefused],
    make: || {
        (0..5_u64).fold(network(2, 2), |plan, n| {
            let at = THERE + 1_000 + n * 7_000;
            plan.fault(at, Fault::RefuseTransaction { hv: HvId(0) })
                .fault(at + 1, Fault::Edit { hv: HvId(0), edit: Edit::FailMode })
                .fault(at + 40, Fault::RefuseTransaction { hv: HvId(0) })
        })
    },
};
