//! What a transport node has yet to be told: from the core to the driver of its OpenFlow connection.
//!
//! Changes that come faster than a switch takes them merge into one, so a slow switch delays nobody and costs no more
//! than its own table. Start at [`Feed`].

use selvedge_core::ids::Revision;
use selvedge_core::reconcile::Delta;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// The changes that one node has yet to be told. Clones are ends of the same feed.
#[derive(Clone, Debug, Default)]
pub struct Feed {
    pending: Arc<Mutex<Pending>>,
    ready: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Pending {
    delta: Delta,
    up_to: Revision,
    ended: bool,
}

/// What comes out of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fed {
    /// Tell the node this; it holds the revision then.
    Change(Delta, Revision),
    /// The node is another's, or gone: stop.
    Ended,
}

impl Feed {
    /// Adds a change, made by a revision.
    pub(super) fn push(&self, delta: Delta, revision: Revision) {
        let mut pending = self.lock();
        pending.delta.merge(delta);
        pending.up_to = revision;
        drop(pending);
        self.ready.notify_one();
    }

    /// Forgets what is pending: the reader is about to be told everything.
    pub(super) fn clear(&self) {
        self.lock().delta = Delta::default();
    }

    /// Ends the feed: its reader is no longer the one that writes to the node.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.ready.notify_one();
    }

    /// What is pending; waits until something is.
    pub async fn next(&self) -> Fed {
        loop {
            if let Some(fed) = self.take() {
                return fed;
            }
            self.ready.notified().await;
        }
    }

    fn take(&self) -> Option<Fed> {
        let mut pending = self.lock();
        match (pending.ended, pending.delta.is_empty()) {
            (true, _) => Some(Fed::Ended),
            (false, true) => None,
            (false, false) => Some(Fed::Change(std::mem::take(&mut pending.delta), pending.up_to)),
        }
    }

    /// Whether both are ends of one feed.
    pub(super) fn same(&self, other: &Feed) -> bool {
        Arc::ptr_eq(&self.pending, &other.pending)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pending> {
        self.pending.lock().expect("no holder of a feed panics and lives")
    }
}
