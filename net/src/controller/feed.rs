//! What a transport node has yet to be told: from the core to the driver of its OpenFlow connection.
//!
//! Changes that come faster than a switch takes them merge into one, so a slow switch delays nobody and costs no more
//! than its own table. A switch that keeps up has what all others have: the same difference, in the same bytes, made
//! once. Start at [`Feed`].

use crate::openflow::error::TooLong;
use crate::openflow::script::{Script, steps};
use selvedge_core::ids::Revision;
use selvedge_core::reconcile::Delta;
use std::sync::{Arc, Mutex, OnceLock};
use tokio::sync::Notify;

/// The changes that one node has yet to be told. Clones are ends of the same feed.
#[derive(Clone, Debug, Default)]
pub struct Feed {
    pending: Arc<Mutex<Pending>>,
    ready: Arc<Notify>,
}

/// A difference between flow tables, for all nodes that it is for.
#[derive(Debug, Default)]
pub struct Parcel {
    delta: Delta,
    /// Its bytes, as soon as somebody wants them.
    scripts: OnceLock<Result<Arc<[Script]>, TooLong>>,
}

impl Parcel {
    /// A parcel, of which no bytes are made yet.
    pub fn new(delta: Delta) -> Parcel {
        Parcel { delta, scripts: OnceLock::new() }
    }

    /// The bundles that carry it out.
    ///
    /// # Errors
    /// If a change is longer than messages can be.
    pub fn scripts(&self) -> Result<Arc<[Script]>, TooLong> {
        self.scripts.get_or_init(|| Script::of(steps(&self.delta)).map(Arc::from)).clone()
    }

    /// This, and then another.
    fn and(self: Arc<Parcel>, later: &Parcel) -> Parcel {
        let mut delta = match Arc::try_unwrap(self) {
            Ok(own) => own.delta,
            Err(shared) => shared.delta.clone(),
        };
        delta.merge(later.delta.clone());
        Parcel::new(delta)
    }
}

#[derive(Debug, Default)]
struct Pending {
    parcel: Option<Arc<Parcel>>,
    up_to: Revision,
    ended: bool,
}

/// What comes out of a feed.
#[derive(Clone, Debug)]
pub enum Fed {
    /// Tell the node this; it holds the revision then.
    Change(Arc<Parcel>, Revision),
    /// The node is another's, or gone: stop.
    Ended,
}

impl Feed {
    /// Adds a change, made by a revision.
    pub(super) fn push(&self, parcel: &Arc<Parcel>, revision: Revision) {
        let mut pending = self.lock();
        pending.parcel = Some(match pending.parcel.take() {
            Some(earlier) => Arc::new(earlier.and(parcel)),
            None => parcel.clone(),
        });
        pending.up_to = revision;
        drop(pending);
        self.ready.notify_one();
    }

    /// Forgets what is pending: the reader is about to be told everything.
    pub(super) fn clear(&self) {
        self.lock().parcel = None;
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
        match pending.ended {
            true => Some(Fed::Ended),
            false => pending.parcel.take().map(|parcel| Fed::Change(parcel, pending.up_to)),
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
