//! What must always hold: one file for each property, with its source, its limits, and a test that makes it fire.
//!
//! Properties are judged on facts that the world hands in (a frame delivered, a modification that took effect, a state
//! read), never on how the product came to them. Ids are those by which reports name them.
//!
//! | id | property | file |
//! | --- | --- | --- |
//! | A4 | an answer is not of a time before the question | [`current`] |
//! | C2, C3 | an acknowledged write is there, once | [`acknowledged`] |
//! | C6 | one writer for each switch, and its epochs never go back | [`single_writer`] |
//! | C7, E2 | what is said to be realised is; a switch holds what it should | [`realised`] |
//! | C10 | what a disk had acknowledged is there after a start | [`recovery`] |
//! | C12 | numbers are unique | [`identifiers`] |
//! | C13 | a switch is told nothing that it does not survive | [`survivable`] |
//! | D1, D2, D3 | a frame reaches only whom it may, from whom may send it | [`delivery`] |
//! | D4, D5 | copies are bounded; nobody gets a frame twice, nor its sender | [`copies`] |
//! | D9 | nothing changes on a switch that nobody writes to | [`fail_static`] |
//! | D11 | a tunnel packet is from a hypervisor that has the switch | [`admission`] |
//! | E1 | incremental is full | [`recompute`] |
//! | L3 | who may talk can | [`reachability`] |
//! | L5 | nothing happens where nothing changes | [`quiet`] |
//! | L6 | who refuses is not asked in a tight circle, nor the NIB changed in one | [`restraint`] |
//!
//! Start at [`Violation`].

pub mod acknowledged;
pub mod admission;
pub mod copies;
pub mod current;
pub mod delivery;
pub mod fail_static;
pub mod identifiers;
pub mod quiet;
pub mod reachability;
pub mod realised;
pub mod recompute;
pub mod recovery;
pub mod restraint;
pub mod single_writer;
pub mod survivable;

use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// Something that must never be was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Which property.
    pub id: &'static str,
    /// When it was seen.
    pub at: Duration,
    /// What was wrong, in words.
    pub what: String,
}

impl Violation {
    /// A violation of a property.
    pub fn new(id: &'static str, at: Duration, what: impl Into<String>) -> Violation {
        Violation { id, at, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:.6} s: {}", self.id, self.at.as_secs_f64(), self.what)
    }
}
