//! The controller: one owner of the NIB and of what is derived from it.
//!
//! A command goes in by [`Handle::submit`]; the core loop ([`start()`]) has the cluster agree on a batch of commands;
//! what it agreed on is applied, the change of flows derived, and each transport node handed its part. Everyone reads the
//! [`State`] through [`Handle::read`]: it only ever shows what is durable. Drivers of connections report what they see
//! into the same state by [`Handle::node`].
//!
//! Start at [`Handle`] for what the controller offers, at [`start()`] for how a command is carried out.

mod feed;
mod gossip;
mod handle;
mod journal;
mod link;
mod nodes;
mod progress;
mod question;
mod run;

pub use feed::{Fed, Feed, Parcel};
pub use gossip::{Gossip, Heard, Word};
pub use handle::{Handle, Late, Stopped, SubmitError, Waited};
pub use journal::{Changed, Journal};
pub use link::{Link, Protocol};
pub use nodes::{Connection, Counters, Fences, NodeState, Peers, Reach, RefusedPeer, Repair, Report};
pub use progress::Progress;
pub use question::{Question, Unanswered};
pub use run::{CoreError, Started, start};

use gossip::Changes;
use selvedge_core::compile::{Difference, Engine};
use selvedge_core::flow::FlowTable;
use selvedge_core::ids::{MemberId, NodeNumber, Revision};
use selvedge_core::nib::{Change, Command, Nib, Refusal};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// Everything the controller knows, at one revision.
#[derive(Debug, Default)]
pub struct State {
    /// Intent and observation.
    pub nib: Nib,
    /// The flows that follow from it.
    pub engine: Engine,
    /// What is known of each transport node's connections and progress.
    pub nodes: BTreeMap<Uuid, NodeState>,
    /// Who was turned away.
    pub peers: Peers,
    /// Which resources changed last.
    pub journal: Journal,
    /// Where changes go, by transport node; only nodes whose flows are in step have one.
    feeds: BTreeMap<NodeNumber, Feed>,
    /// Which member of the cluster this is.
    own: Option<MemberId>,
    /// Which nodes there is news of, for other members.
    changes: Changes,
    /// How far members reach nodes, as they told; nobody is here that is not listened to now.
    reach: BTreeMap<MemberId, BTreeMap<Uuid, Reach>>,
    /// How often everything was replaced: what others had told is forgotten then.
    pub(crate) replaced: u64,
    /// Who drives the connections of a transport node.
    links: BTreeMap<(Uuid, Protocol), Link>,
    /// The log is being applied anew after a start: what follows from the NIB is computed once, when that is done.
    is_recovering: bool,
}

impl State {
    /// The state after a start: the NIB as it was, and nothing known of any switch.
    fn of(nib: Nib) -> State {
        let engine = Engine::from_nib(&nib);
        let unknown = NodeState { progress: Some(Progress::unknown(nib.revision())), ..NodeState::default() };
        let nodes = nib.nodes().keys().map(|uuid| (*uuid, unknown.clone())).collect();
        let journal = Journal::beginning(nib.revision());
        State { nib, engine, nodes, journal, ..State::default() }
    }

    /// The state of a member that starts, before its log is applied.
    fn recovering(own: MemberId, life: Uuid, nib: Nib) -> State {
        State { nib, own: Some(own), changes: Changes::of(life), is_recovering: true, ..State::default() }
    }

    /// The log is applied.
    fn recovered(&mut self) {
        if self.is_recovering {
            let changes = std::mem::take(&mut self.changes);
            *self = State { own: self.own, changes, ..State::of(std::mem::take(&mut self.nib)) };
        }
    }

    /// Everything is as another member's snapshot says: drivers of connections begin again.
    fn replace(&mut self, nib: Nib) {
        if self.is_recovering {
            self.nib = nib;
            return;
        }
        let fresh = State::of(nib);
        (self.nib, self.engine, self.nodes, self.journal) = (fresh.nib, fresh.engine, fresh.nodes, fresh.journal);
        self.replaced += 1;
        std::mem::take(&mut self.feeds).into_values().for_each(|feed| feed.end());
        self.links.values().for_each(Link::replace);
        self.links.clear();
    }

    /// Which member of the cluster this is.
    pub fn own(&self) -> Option<MemberId> {
        self.own
    }

    /// Whether this controller writes to a transport node: it is its own, or there is no other.
    pub fn drives(&self, node: Uuid) -> bool {
        let Some(record) = self.nib.nodes().get(&node) else { return false };
        match record.owner {
            Some(owner) => self.own == Some(owner),
            None => self.nib.cluster().members().is_empty(),
        }
    }

    /// Applies a command, and hands each node that it concerns its part.
    fn apply(&mut self, command: &Command) -> Result<Revision, Refusal> {
        let changes = self.nib.apply(command)?;
        let revision = self.nib.revision();
        if self.is_recovering {
            return Ok(revision);
        }
        self.journal.enter(&self.nib, &changes);
        changes.iter().for_each(|change| self.tell_drivers(*change));
        for Difference { nodes, delta } in self.engine.update(&self.nib, &changes) {
            let parcel = Arc::new(Parcel::new(delta));
            for number in nodes {
                if let Some(uuid) = self.nib.node_of_number(number) {
                    let node = self.nodes.entry(uuid).or_default();
                    node.progress.get_or_insert_default().concerned(revision);
                }
                if let Some(feed) = self.feeds.get(&number) {
                    feed.push(&parcel, revision);
                }
            }
        }
        Ok(revision)
    }

    /// The drivers of a transport node's connections look again at its configuration.
    fn tell_drivers(&mut self, change: Change) {
        let uuid = match change {
            Change::Node(uuid) => uuid,
            Change::Master(uuid) => {
                self.new_master(uuid);
                uuid
            }
            // What was believed to be entered may not be what is: an answer was lost, or came late.
            Change::Observed(uuid) => {
                return self.links.get(&(uuid, Protocol::Ovsdb)).into_iter().for_each(Link::wake);
            }
            // Switches are to know all controllers.
            Change::Cluster => return self.links.values().for_each(Link::wake),
            Change::Zone(_) | Change::Switch(_) | Change::Port(_) | Change::Kept(..) | Change::User => return,
        };
        if self.nib.nodes().contains_key(&uuid) {
            self.nodes.entry(uuid).or_default().progress.get_or_insert_default();
        }
        for (_, link) in self.links.range((uuid, Protocol::FIRST)..=(uuid, Protocol::LAST)) {
            link.wake();
        }
        if !self.nib.nodes().contains_key(&uuid) {
            self.nodes.remove(&uuid);
            self.changes.forget(uuid);
        }
    }

    /// What `node` should hold now; from here on `feed` gets what changes.
    fn in_step(&mut self, node: NodeNumber, feed: &Feed) -> (FlowTable, Revision) {
        if let Some(other) = self.feeds.insert(node, feed.clone()).filter(|other| !other.same(feed)) {
            other.end();
        }
        feed.clear();
        (self.engine.desired(node), self.nib.revision())
    }

    /// Whether a transport node lacks a revision after `since`, up to `until`, that concerns it. One that is switched off
    /// is not waited for, nor are revisions that are not there yet.
    fn lacks(&self, node: Uuid, since: Revision, until: Revision) -> bool {
        let Some(record) = self.nib.nodes().get(&node) else { return false };
        record.config.admin_status_enabled
            && match self.nodes.get(&node).and_then(|state| state.progress.as_ref()) {
                Some(progress) => progress.lacks(since, until),
                None => true,
            }
    }

    /// The transport nodes that lack a revision after `since`, up to `until`.
    fn lacking(&self, since: Revision, until: Revision) -> Vec<Uuid> {
        self.nib.nodes().keys().copied().filter(|node| self.lacks(*node, since, until)).collect()
    }

    /// The same, and why.
    pub fn late(&self, since: Revision, until: Revision) -> Vec<Late> {
        let judge = |node: Uuid| {
            let record = self.nib.nodes().get(&node)?;
            Some(Late::judge(node, record, self.nodes.get(&node), self.nib.revision()))
        };
        self.lacking(since, until).into_iter().filter_map(judge).collect()
    }
}
