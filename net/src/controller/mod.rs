//! The controller: one owner of the NIB and of what is derived from it.
//!
//! A command goes in by [`Handle::submit`]; the [`core loop`](run) makes a batch of commands durable, applies it,
//! derives the change of flows, and hands each transport node its part. Everyone reads the [`State`] through
//! [`Handle::read`]: it only ever shows what is durable. Drivers of connections report what they see into the same
//! state by [`Handle::node`].
//!
//! Start at [`Handle`] for what the controller offers, at [`run`] for how a command is carried out.

mod handle;
mod nodes;
mod progress;
mod run;

pub use handle::{Handle, Late, Stopped, SubmitError, Waited};
pub use nodes::{Connection, Counters, NodeState, Peers, RefusedPeer, Repair};
pub use progress::Progress;
pub use run::run;

use selvedge_core::ids::Revision;
use selvedge_core::nib::Nib;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Everything the controller knows, at one revision.
#[derive(Debug, Default)]
pub struct State {
    /// Intent and observation.
    pub nib: Nib,
    /// What is known of each transport node's connections and progress.
    pub nodes: BTreeMap<Uuid, NodeState>,
    /// Who was turned away.
    pub peers: Peers,
}

impl State {
    /// The transport nodes that lack a revision after `since`, up to `until`, that concerns them, and why.
    /// Nodes that are switched off are not waited for, nor are revisions that are not there yet.
    pub fn late(&self, since: Revision, until: Revision) -> Vec<Late> {
        let nodes = self.nib.nodes().iter().filter(|(_, record)| record.config.admin_status_enabled);
        let states = nodes.map(|(uuid, record)| (uuid, record, self.nodes.get(uuid)));
        let lacking = states.filter(|(_, _, state)| match state.and_then(|state| state.progress.as_ref()) {
            Some(progress) => progress.lacks(since, until),
            None => true,
        });
        lacking.map(|(uuid, record, state)| Late::judge(*uuid, record, state, self.nib.revision())).collect()
    }
}
