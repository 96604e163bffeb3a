//! What the controller offers to the API and to the drivers of connections. Start at [`Handle`].

use super::nodes::NodeState;
use super::{Feed, Gossip, Link, Protocol, State};
use crate::cluster::ProposeError;
use crate::runtime::{Moment, Runtime};
use selvedge_core::flow::FlowTable;
use selvedge_core::ids::{MemberId, NodeNumber, Revision};
use selvedge_core::nib::{Command, Nib, NodeRecord, Refusal};
use std::sync::{Arc, RwLock};
use tokio::sync::{Notify, mpsc, oneshot};
use uuid::Uuid;

/// A command on its way, and where its answer goes.
#[derive(Debug)]
pub(super) struct Request {
    pub command: Command,
    pub reply: oneshot::Sender<Result<Revision, SubmitError>>,
}

/// Most commands that may be on their way at once; more wait.
const REQUESTS_MAX: usize = 4096;

/// The way to the controller. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    state: Arc<RwLock<State>>,
    changed: Arc<Notify>,
    requests: mpsc::Sender<Request>,
}

/// The controller is going down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the controller is stopping")]
pub struct Stopped;

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The NIB refused it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nobody knows whether it was: the controller is going down.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The cluster did not agree, or nobody knows whether it did.
    #[error(transparent)]
    Cluster(ProposeError),
}

/// A transport node that does not hold a revision yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Late {
    /// The node.
    pub node: Uuid,
    /// Its name.
    pub name: String,
    /// What it holds.
    pub realised: Option<Revision>,
    /// Why it is late, in words.
    pub why: String,
}

impl Late {
    pub(super) fn judge(uuid: Uuid, node: &NodeRecord, state: Option<&NodeState>, now: Revision) -> Late {
        let realised = state.and_then(|state| state.realised(now));
        let why = match state {
            None => "it never connected since the controller started".to_string(),
            Some(state) => {
                match (state.report().problems.values().next(), &state.report().ovsdb, &state.report().openflow) {
                    (Some(problem), _, _) => problem.clone(),
                    (None, None, _) => "its OVSDB session is down".to_string(),
                    (None, _, None) => "its OpenFlow session is down".to_string(),
                    (None, Some(_), Some(_)) => "changes are on their way to it".to_string(),
                }
            }
        };
        let name = node.config.common.display_name.clone().unwrap_or_default();
        Late { node: uuid, name, realised, why }
    }
}

/// How a wait ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waited {
    /// What was waited for holds.
    Done,
    /// It did not come in time; these are late.
    Late(Vec<Late>),
}

impl Handle {
    /// A handle on `state`, and where its requests come out.
    pub(super) fn new(state: State) -> (Handle, mpsc::Receiver<Request>) {
        let (requests, incoming) = mpsc::channel(REQUESTS_MAX);
        let handle = Handle { state: Arc::new(RwLock::new(state)), changed: Arc::default(), requests };
        (handle, incoming)
    }

    /// One whose commands nobody takes.
    #[cfg(test)]
    pub(crate) fn detached() -> Handle {
        Handle::new(State::default()).0
    }

    /// Looks at the state. `look` must be quick: it holds up the core.
    pub fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().expect("no holder of the state panics and lives"))
    }

    /// Changes the state, and wakes those who wait for a change.
    pub(super) fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state.write().expect("no holder of the state panics and lives"));
        self.changed.notify_waiters();
        result
    }

    /// Applies commands that were agreed upon, in that order: what became of each, and the revision after the last.
    pub(crate) fn apply(&self, commands: &[Command]) -> (Vec<Result<Revision, Refusal>>, Revision) {
        self.write(|state| {
            let of_each = commands.iter().map(|command| state.apply(command)).collect();
            (of_each, state.nib.revision())
        })
    }

    /// The log of a member that started is applied.
    pub(super) fn recovered(&self) {
        self.write(State::recovered);
    }

    /// Everything is as another member's snapshot says.
    pub(crate) fn replace(&self, nib: Nib) {
        self.write(|state| state.replace(nib));
    }

    /// Changes what is known of a transport node, and wakes those who wait for it. Nothing if the node is gone.
    pub fn node<T>(&self, node: Uuid, change: impl FnOnce(&mut NodeState) -> T) -> Option<T> {
        self.write(|state| {
            let changed = state.nodes.get_mut(&node).map(change)?;
            state.changes.note(node);
            Some(changed)
        })
    }

    /// The same, where the driver of the node's OpenFlow connection waits for it.
    pub fn tell_openflow<T>(&self, node: Uuid, change: impl FnOnce(&mut NodeState) -> T) -> Option<T> {
        let result = self.node(node, change);
        let link = self.read(|state| state.links.get(&(node, Protocol::OpenFlow)).cloned());
        link.iter().for_each(Link::wake);
        result
    }

    /// Another controller told something of its nodes; whether all of them are known here.
    pub(crate) fn hear(&self, gossip: Gossip) -> bool {
        self.write(|state| state.hear(gossip))
    }

    /// Another controller does not answer.
    pub(crate) fn lose(&self, teller: MemberId) {
        self.write(|state| state.lose(teller));
    }

    /// What `node` should hold now, and at which revision that is; from here on `feed` gets what changes, and whoever
    /// had the node's feed before is told to stop.
    pub fn in_step(&self, node: NodeNumber, feed: &Feed) -> (FlowTable, Revision) {
        // Nothing that anybody waits for changes: no need to wake them.
        let mut state = self.state.write().expect("no holder of the state panics and lives");
        state.in_step(node, feed)
    }

    /// Gives up `feed`, if it still is the node's.
    pub fn out_of_step(&self, node: NodeNumber, feed: &Feed) {
        self.write(|state| {
            if state.feeds.get(&node).is_some_and(|current| current.same(feed)) {
                state.feeds.remove(&node);
            }
        });
    }

    /// Becomes the driver of a node's connection, in place of whoever was.
    pub fn link(&self, node: Uuid, protocol: Protocol) -> Link {
        let link = Link::default();
        let earlier = self.write(|state| state.links.insert((node, protocol), link.clone()));
        if let Some(earlier) = earlier {
            earlier.replace();
        }
        link
    }

    /// Asks a node's OVSDB driver for a fence (see [`Fences`](super::Fences)); its number, or nothing if the node is gone.
    pub fn ask_fence(&self, node: Uuid) -> Option<u64> {
        let (number, link) = self.write(|state| {
            let number = state.nodes.get_mut(&node)?.fences.ask();
            Some((number, state.links.get(&(node, Protocol::Ovsdb)).cloned()))
        })?;
        link.iter().for_each(Link::wake);
        Some(number)
    }

    /// Gives up a link. Says whether it still was the node's.
    pub fn unlink(&self, node: Uuid, protocol: Protocol, link: &Link) -> bool {
        self.write(|state| {
            let current = state.links.get(&(node, protocol)).is_some_and(|current| current.same(link));
            if current {
                state.links.remove(&(node, protocol));
            }
            current
        })
    }

    /// Remembers a peer that was turned away; says whether it is new.
    pub fn refuse(&self, peer: super::RefusedPeer) -> bool {
        self.write(|state| state.peers.refuse(peer))
    }

    /// Carries out a command: when this returns a revision, it is durable and applied.
    ///
    /// # Errors
    /// If the NIB refuses it, or the controller is going down.
    pub async fn submit(&self, command: Command) -> Result<Revision, SubmitError> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request { command, reply }).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)?
    }

    /// Waits until the NIB is at `revision` or later; says whether it came to that before `deadline`.
    pub async fn wait_revision<R: Runtime>(&self, revision: Revision, deadline: Moment) -> bool {
        self.wait::<R, _>(deadline, |state| (state.nib.revision() >= revision).then_some(())).await.is_some()
    }

    /// Waits until every transport node that takes part holds all revisions after `since`, up to `until`.
    pub async fn wait_realised<R: Runtime>(&self, since: Revision, until: Revision, deadline: Moment) -> Waited {
        // This runs at each change of the state: all nodes are looked at first, and last; in between, one that lacks
        // something, until it does not.
        let mut lacking: Vec<Uuid> = Vec::new();
        let look = |state: &State| {
            while let Some(node) = lacking.last() {
                if state.lacks(*node, since, until) {
                    return None;
                }
                lacking.pop();
            }
            lacking = state.lacking(since, until);
            lacking.is_empty().then_some(())
        };
        let done = self.wait::<R, _>(deadline, look).await;
        match done {
            Some(()) => Waited::Done,
            None => Waited::Late(self.read(|state| state.late(since, until))),
        }
    }

    /// Waits until `look` finds something, and gives it; nothing if `deadline` comes first.
    pub async fn wait<R: Runtime, T: Send>(
        &self,
        deadline: Moment,
        look: impl FnMut(&State) -> Option<T> + Send,
    ) -> Option<T> {
        R::before(deadline, self.until(look)).await
    }

    /// Waits until `look` finds something, and gives it.
    pub async fn until<T: Send>(&self, mut look: impl FnMut(&State) -> Option<T> + Send) -> T {
        loop {
            let change = self.changed.notified();
            tokio::pin!(change);
            // Registered before looking, so that a change in between is not missed.
            change.as_mut().enable();
            if let Some(found) = self.read(&mut look) {
                return found;
            }
            change.await;
        }
    }
}
