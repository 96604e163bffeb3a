//! What entries of the log are applied to: the controller's state. Start at [`Machine`].

use super::types::{Answers, LogId, SnapshotMeta, StoredMembership, Types};
use crate::controller::Handle;
use crate::runtime::Runtime;
use crate::store::{Snapshot, Store};
use futures_core::Stream;
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::type_config::alias::SnapshotOf;
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use selvedge_core::nib::Nib;
use std::future::poll_fn;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

/// A member's state, up to some entry.
#[derive(Debug)]
pub struct Machine<R> {
    handle: Handle,
    store: Store,
    applied: Option<LogId>,
    membership: StoredMembership,
    runtime: PhantomData<fn() -> R>,
}

impl<R: Runtime> Machine<R> {
    /// The state behind a handle, which is that of a snapshot.
    pub fn new(handle: Handle, store: Store, at: &SnapshotMeta) -> Machine<R> {
        let (applied, membership) = (at.last_log_id, at.last_membership.clone());
        Machine { handle, store, applied, membership, runtime: PhantomData }
    }

    fn meta(&self) -> SnapshotMeta {
        SnapshotMeta { last_log_id: self.applied, last_membership: self.membership.clone() }
    }
}

/// The NIB, on its way to the disk or to another member.
pub type Carried = Arc<Nib>;

impl<R: Runtime> RaftStateMachine<Types<R>> for Machine<R> {
    type SnapshotData = Carried;
    type SnapshotBuilder = Builder<R>;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types<R>>>> + Unpin + OptionalSend,
    {
        while let Some(next) = poll_fn(|cx| Pin::new(&mut entries).poll_next(cx)).await {
            let (entry, responder) = next?;
            self.applied = Some(entry.log_id);
            let answers = match entry.payload {
                EntryPayload::Blank => Answers::default(),
                EntryPayload::Normal(batch) => {
                    let (of_each, at) = self.handle.apply(&batch.0);
                    Answers { of_each, at }
                }
                EntryPayload::Membership(membership) => {
                    self.membership = StoredMembership::new(Some(entry.log_id), membership);
                    Answers::default()
                }
            };
            responder.into_iter().for_each(|responder| responder.send(answers.clone()));
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder<R> {
        let nib = Arc::new(self.handle.read(|state| state.nib.unindexed()));
        Builder { store: self.store.clone(), meta: self.meta(), nib, runtime: PhantomData }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, nib: Carried) -> io::Result<()> {
        let (store, saved, carried) = (self.store.clone(), meta.clone(), nib.clone());
        R::blocking(move || store.save_snapshot(&saved, &carried)).await.map_err(io::Error::other)?;
        self.handle.replace(Arc::unwrap_or_clone(nib));
        (self.applied, self.membership) = (meta.last_log_id, meta.last_membership.clone());
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<SnapshotOf<Types<R>, Carried>>> {
        let store = self.store.clone();
        let found = R::blocking(move || store.snapshot()).await.map_err(io::Error::other)?;
        Ok(found.map(|Snapshot { meta, nib }| openraft::Snapshot { meta, snapshot: Arc::new(nib) }))
    }
}

/// Makes a snapshot durable, beside the machine.
#[derive(Debug)]
pub struct Builder<R> {
    store: Store,
    meta: SnapshotMeta,
    /// Large: there is one.
    nib: Carried,
    runtime: PhantomData<fn() -> R>,
}

impl<R: Runtime> RaftSnapshotBuilder<Types<R>> for Builder<R> {
    type SnapshotData = Carried;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<Types<R>, Carried>> {
        let (store, meta, nib) = (self.store.clone(), self.meta.clone(), self.nib.clone());
        R::blocking(move || store.save_snapshot(&meta, &nib)).await.map_err(io::Error::other)?;
        Ok(openraft::Snapshot { meta: self.meta.clone(), snapshot: self.nib.clone() })
    }
}
