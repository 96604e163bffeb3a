//! A transaction is carried out, and its reply never comes: nobody may wait for it for ever, or do it twice.
//!
//! The session is given up after a while, and the switch is looked at anew.

use super::Story;
use super::telling::*;
use selvedge_sim::plan::HvId;
use selvedge_sim::plan::fault::{Edit, Fault};
use selvedge_sim::run::report::Mark;

/// The story.
pub const STORY: Story = Story {
    name: "reply-lost",
    about: "A transaction is carried out, and its reply never comes: nobody may wait for it for ever, or do it twice.",
    source: "the catalogue: S10; OVSDB clients that hang on a lost reply",
    marks: &[Mark::ReplyLost],
    make: || {
        network(2, 4)
            .pings(THERE, 90_000, 900)
            .fault(THERE + 1_000, Fault::LoseReply { hv: HvId(0) })
            .fault(THERE + 1_001, Fault::Edit { hv: HvId(0), edit: Edit::DeleteTunnel(1) })
            .fault(THERE + 45_000, Fault::LoseReply { hv: HvId(1) })
            .fault(THERE + 45_001, Fault::Edit { hv: HvId(1), edit: Edit::DeleteBridge })
            .heals(100_000)
    },
};
