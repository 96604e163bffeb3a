//! What goes wrong with the switches, routers and cables beneath the underlay. Start at [`Physical`]; what comes of each
//! says [`crate::fabric::site`].

use super::HvId;
use crate::fabric::site::{Leaf, Twin};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A trouble of the physical network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Physical {
    /// A hypervisor's link fails over to its other switch, and nobody is told; in the end it goes back the same way.
    LinkMoves(HvId),
    /// Switches remember only so many addresses.
    SmallTables(u16),
    /// Switches remember addresses for only so many seconds.
    ShortMemory(u16),
    /// Switches and cables make a circle; all addresses are forgotten when it begins and when it ends.
    Circle,
    /// The trunk to a switch lacks the segment of a hypervisor.
    MissingVlan {
        /// Which switch.
        leaf: Leaf,
        /// Whose segment.
        of: HvId,
    },
    /// Somebody has an address of a hypervisor.
    Stranger {
        /// Whose.
        of: HvId,
        /// Which of its addresses.
        twin: Twin,
    },
    /// The first of two routers fails, or both.
    RouterFails {
        /// Both.
        both: bool,
    },
}

impl Physical {
    /// Its id in the catalogue.
    pub fn id(&self) -> &'static str {
        match self {
            Physical::LinkMoves(_) => "U7-stale",
            Physical::SmallTables(_) => "U7-full",
            Physical::ShortMemory(_) => "U7-flushed",
            Physical::Circle => "U8",
            Physical::MissingVlan { .. } => "U9",
            Physical::Stranger { twin: Twin::Ip, .. } => "U10-ip",
            Physical::Stranger { twin: Twin::Mac, .. } => "U10-mac",
            Physical::RouterFails { both: false } => "U11",
            Physical::RouterFails { both: true } => "U11-both",
        }
    }
}

impl fmt::Display for Physical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Physical::LinkMoves(hv) => write!(f, "the link of {hv} moves to another switch unsaid"),
            Physical::SmallTables(addresses) => write!(f, "physical switches remember {addresses} addresses"),
            Physical::ShortMemory(seconds) => write!(f, "physical switches remember addresses for {seconds} s"),
            Physical::Circle => f.write_str("physical switches are cabled in a circle"),
            Physical::MissingVlan { leaf, of } => write!(f, "the trunk to leaf {leaf:?} lacks the VLAN of {of}"),
            Physical::Stranger { of, twin } => write!(f, "a stranger has the {twin:?} address of {of}"),
            Physical::RouterFails { both: false } => f.write_str("the first physical router fails"),
            Physical::RouterFails { both: true } => f.write_str("both physical routers fail"),
        }
    }
}
