//! The replicated log as openraft reads and writes it: the [`Store`], on a runtime. Start at [`Log`].

use super::types::{Entry, LogId, Types, Vote};
use crate::runtime::Runtime;
use crate::store::{Store, StoreError};
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};
use std::fmt::Debug;
use std::io;
use std::marker::PhantomData;
use std::ops::{Bound, RangeBounds};

/// A member's log.
#[derive(Debug)]
pub struct Log<R> {
    store: Store,
    runtime: PhantomData<fn() -> R>,
}

impl<R> Clone for Log<R> {
    fn clone(&self) -> Log<R> {
        Log { store: self.store.clone(), runtime: PhantomData }
    }
}

impl<R: Runtime> Log<R> {
    /// The log in a store.
    pub fn new(store: Store) -> Log<R> {
        Log { store, runtime: PhantomData }
    }

    /// Has the store do something where it delays nobody.
    async fn at_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> io::Result<T> {
        let store = self.store.clone();
        R::blocking(move || work(&store)).await.map_err(io::Error::other)
    }
}

impl<R: Runtime> RaftLogReader<Types<R>> for Log<R> {
    async fn try_get_log_entries<B: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: B,
    ) -> io::Result<Vec<Entry>> {
        let range: (Bound<u64>, Bound<u64>) = (range.start_bound().cloned(), range.end_bound().cloned());
        self.at_store(move |store| store.entries(range)).await
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        self.at_store(Store::vote).await
    }
}

impl<R: Runtime> RaftLogStorage<Types<R>> for Log<R> {
    type LogReader = Log<R>;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types<R>>> {
        let (last_purged_log_id, last_log_id) = self.at_store(|store| Ok((store.purged()?, store.last()?))).await?;
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Log<R> {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let vote = *vote;
        self.at_store(move |store| store.save_vote(&vote)).await
    }

    // Up to where entries are agreed upon is not noted, which openraft allows: the leader knows, and a write less for each
    // entry is worth that a member shows nothing later than its snapshot until it has heard from it.

    async fn append<I>(&mut self, entries: I, flushed: IOFlushed<Types<R>>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        self.at_store(move |store| store.append(&entries)).await?;
        flushed.io_completed(Ok(()));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        self.at_store(move |store| store.truncate_after(last)).await
    }

    async fn purge(&mut self, up_to: LogId) -> io::Result<()> {
        self.at_store(move |store| store.purge(up_to)).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::Machine;
    use super::*;
    use crate::controller::Handle;
    use crate::runtime::{HostDisk, Tokio};
    use crate::store::Snapshot;
    use openraft::StorageError;
    use openraft::testing::log::{StoreBuilder, Suite};

    struct Builder;

    impl StoreBuilder<Types<Tokio>, Log<Tokio>, Machine<Tokio>, tempfile::TempDir> for Builder {
        async fn build(&self) -> Result<(tempfile::TempDir, Log<Tokio>, Machine<Tokio>), StorageError<Types<Tokio>>> {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let store = Store::open(&HostDisk(directory.path().to_path_buf())).expect("an empty store");
            let machine = Machine::new(Handle::detached(), store.clone(), &Snapshot::default().meta);
            Ok((directory, Log::new(store), machine))
        }
    }

    #[tokio::test]
    async fn openrafts_suite_for_storage_passes() {
        Suite::test_all(Builder).await.expect("it passes");
    }
}
