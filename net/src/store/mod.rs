//! The store of a member: its part of the replicated log and a snapshot of the NIB, in one redb file.
//!
//! Entries are durable before they count: [`Store::append`] is one commit, however many entries it gets. Applying the log
//! over the snapshot gives the NIB again, since applying is deterministic.
//!
//! Records are JSON behind a format version byte and a checksum, the same types that the northbound API speaks. It is larger
//! than a packed encoding, but it describes itself: the next release reads what this one wrote, fields may be added with
//! defaults, and an operator can read what is on the disk.
//!
//! A disk that rots is noticed. Each commit is in two phases, so that one that ended is never taken for one that power
//! cut short: were it, redb would go back to the commit before, and what was promised would be gone without a word (Alagappan
//! et al., "Protocol-Aware Recovery for Consensus-Based Storage", FAST 2018). Every page is looked at when the store is opened.
//!
//! Everything here blocks; whoever is in a hurry asks the runtime to have it done elsewhere. Start at [`Store::open`].

mod backend;
mod earlier;
mod record;

use crate::cluster::types::{Entry, LogId, MemberId, SnapshotMeta, Vote};
use crate::cluster::wire::Application;
use crate::runtime::{Disk, DiskFile};
use backend::Backend;
use openraft::entry::RaftEntry;
use record::{FORMAT, check, decode, encode};
use redb::{Builder, Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use selvedge_core::nib::Nib;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use uuid::Uuid;

/// The file's name in the data directory.
pub const FILE_NAME: &str = "nib.redb";

/// Entries of the log, by index.
const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("entries");
/// What a member must remember of itself.
const MEMBER: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("member");
/// Snapshots.
const SNAPSHOTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("snapshots");
const LATEST: &str = "latest";
const VOTE: &str = "vote";
const PURGED: &str = "purged";
const SNAPSHOT_AT: &str = "snapshot";
const IDENTITY: &str = "identity";
const APPLICATION: &str = "application";

/// Why the store cannot be used. After any of these the process must stop: what is durable is unknown.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the file.
    #[error("{FILE_NAME} is in use: another controller runs on this data directory")]
    InUse,
    /// The file cannot be opened.
    #[error("{FILE_NAME} cannot be opened: {0}")]
    Open(io::Error),
    /// redb found something wrong, the disk included.
    #[error("{FILE_NAME}: {0}")]
    Database(#[from] redb::Error),
    /// A record is not what was written.
    #[error("{FILE_NAME}: the {what} is damaged: {why}")]
    Damaged {
        /// Which record.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// The store is another member's.
    #[error("{FILE_NAME} is that of member {} of cluster {}, not of cluster {wanted}", found.member, found.cluster)]
    OtherIdentity {
        /// Whose it is.
        found: Identity,
        /// Of which cluster it should be.
        wanted: Uuid,
    },
    /// A record is of a release that this one does not know.
    #[error("{FILE_NAME}: the {what} has format {found}, and this release reads up to {FORMAT}")]
    FromTheFuture {
        /// Which record.
        what: String,
        /// Its format.
        found: u8,
    },
}

fn redb<E: Into<redb::Error>>(error: E) -> StoreError {
    StoreError::Database(error.into())
}

/// Who a member is, through all its lives on this disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The cluster.
    pub cluster: Uuid,
    /// Its number.
    pub member: MemberId,
    /// The name it drew for itself.
    pub uuid: Uuid,
}

/// The NIB at some entry of the log.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Snapshot {
    /// Which entry, and who is a member then.
    pub meta: SnapshotMeta,
    /// The NIB.
    pub nib: Nib,
}

/// A [`Snapshot`] as it is written.
#[derive(Serialize)]
struct Record<'a> {
    meta: &'a SnapshotMeta,
    nib: &'a Nib,
}

/// The log and the snapshot. Clones are the same.
#[derive(Clone)]
pub struct Store(Arc<Database>);

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    /// Opens the store of a data directory, or makes it.
    ///
    /// # Errors
    /// If the disk fails, another process has the file, or a record in it is damaged or of a later release.
    pub fn open<D: Disk>(disk: &D) -> Result<Store, StoreError> {
        let file = disk.open(FILE_NAME).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => StoreError::InUse,
            _ => StoreError::Open(error),
        })?;
        write_again(&file).map_err(StoreError::Open)?;
        let database = builder().create_with_backend(Backend(file)).map_err(redb)?;
        disk.sync_names().map_err(StoreError::Open)?;
        let transaction = begin(&database)?;
        transaction.open_table(ENTRIES).map_err(redb)?;
        transaction.open_table(MEMBER).map_err(redb)?;
        transaction.open_table(SNAPSHOTS).map_err(redb)?;
        earlier::upgrade(&transaction)?;
        transaction.commit().map_err(redb)?;
        let store = Store(Arc::new(database));
        store.check()?;
        Ok(store)
    }

    /// Whether every record can be read: what is damaged, or of a later release, is found before anything stands on it.
    fn check(&self) -> Result<(), StoreError> {
        let transaction = self.0.begin_read().map_err(redb)?;
        let entries = transaction.open_table(ENTRIES).map_err(redb)?;
        for found in entries.iter().map_err(redb)? {
            let (index, record) = found.map_err(redb)?;
            check(&log_entry(index.value()), record.value())?;
        }
        for (table, what) in [(MEMBER, "member's record "), (SNAPSHOTS, "snapshot ")] {
            let table = transaction.open_table(table).map_err(redb)?;
            for found in table.iter().map_err(redb)? {
                let (name, record) = found.map_err(redb)?;
                check(&format!("{what}{}", name.value()), record.value())?;
            }
        }
        Ok(())
    }

    fn write<T>(&self, work: impl FnOnce(&WriteTransaction) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let transaction = begin(&self.0)?;
        let result = work(&transaction)?;
        transaction.commit().map_err(redb)?;
        Ok(result)
    }

    /// Makes entries durable.
    ///
    /// # Errors
    /// If the disk fails; whether the entries are durable is unknown then.
    pub fn append(&self, entries: &[Entry]) -> Result<(), StoreError> {
        self.write(|transaction| {
            let mut table = transaction.open_table(ENTRIES).map_err(redb)?;
            for entry in entries {
                table.insert(entry.log_id.index, encode(entry).as_slice()).map_err(redb)?;
            }
            Ok(())
        })
    }

    /// Entries of the log, those that there are.
    ///
    /// # Errors
    /// If the disk fails, or an entry is damaged.
    pub fn entries(&self, range: impl RangeBounds<u64>) -> Result<Vec<Entry>, StoreError> {
        let transaction = self.0.begin_read().map_err(redb)?;
        let table = transaction.open_table(ENTRIES).map_err(redb)?;
        let bounds: (Bound<u64>, Bound<u64>) = (range.start_bound().cloned(), range.end_bound().cloned());
        let entry = |found: Result<(redb::AccessGuard<'_, u64>, redb::AccessGuard<'_, &[u8]>), _>| {
            let (index, record) = found.map_err(redb)?;
            let what = log_entry(index.value());
            let entry: Entry = decode(&what, record.value())?;
            if entry.log_id.index != index.value() {
                let why = format!("it says to be entry {}", entry.log_id.index);
                return Err(StoreError::Damaged { what, why });
            }
            Ok(entry)
        };
        table.range(bounds).map_err(redb)?.map(entry).collect()
    }

    /// The place of the last entry; that up to which entries were purged if there is none.
    ///
    /// # Errors
    /// If the disk fails, or the entry is damaged.
    pub fn last(&self) -> Result<Option<LogId>, StoreError> {
        let transaction = self.0.begin_read().map_err(redb)?;
        let table = transaction.open_table(ENTRIES).map_err(redb)?;
        match table.last().map_err(redb)? {
            Some((index, record)) => {
                let entry: Entry = decode(&log_entry(index.value()), record.value())?;
                Ok(Some(entry.log_id()))
            }
            None => self.purged(),
        }
    }

    /// Drops all entries after a place; all of them if it is none.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn truncate_after(&self, last: Option<LogId>) -> Result<(), StoreError> {
        let from = last.map_or(Bound::Unbounded, |last| Bound::Excluded(last.index));
        self.write(|transaction| {
            let mut table = transaction.open_table(ENTRIES).map_err(redb)?;
            table.retain_in::<u64, _>((from, Bound::Unbounded), |_, _| false).map_err(redb)
        })
    }

    /// Drops all entries up to a place, which a snapshot has.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn purge(&self, up_to: LogId) -> Result<(), StoreError> {
        self.write(|transaction| {
            let mut table = transaction.open_table(ENTRIES).map_err(redb)?;
            table.retain_in(..=up_to.index, |_, _| false).map_err(redb)?;
            remember(transaction, PURGED, &up_to)
        })
    }

    /// Up to where entries were purged.
    ///
    /// # Errors
    /// If the disk fails, or the record is damaged.
    pub fn purged(&self) -> Result<Option<LogId>, StoreError> {
        self.remembered(PURGED)
    }

    /// Makes durable whom the member grants leadership.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn save_vote(&self, vote: &Vote) -> Result<(), StoreError> {
        self.write(|transaction| remember(transaction, VOTE, vote))
    }

    /// Whom the member grants leadership.
    ///
    /// # Errors
    /// If the disk fails, or the record is damaged.
    pub fn vote(&self) -> Result<Option<Vote>, StoreError> {
        self.remembered(VOTE)
    }

    /// Whose store it is, if anybody's.
    ///
    /// # Errors
    /// If the disk fails or the record is damaged.
    pub fn owner(&self) -> Result<Option<Identity>, StoreError> {
        self.remembered(IDENTITY)
    }

    /// The same, of a cluster.
    ///
    /// # Errors
    /// If the disk fails, the record is damaged, or the store is of another cluster.
    pub fn identity(&self, cluster: Uuid) -> Result<Option<Identity>, StoreError> {
        match self.owner()? {
            Some(found) if found.cluster != cluster => Err(StoreError::OtherIdentity { found, wanted: cluster }),
            found => Ok(found),
        }
    }

    /// As whom its owner asked to join a cluster, if it did, and may not know yet whether it was let in.
    ///
    /// # Errors
    /// If the disk fails or the record is damaged.
    pub fn application(&self) -> Result<Option<Application>, StoreError> {
        self.remembered(APPLICATION)
    }

    /// Remembers as whom its owner asks to join a cluster, so that it is the same one if it asks again.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn save_application(&self, application: &Application) -> Result<(), StoreError> {
        self.write(|transaction| remember(transaction, APPLICATION, application))
    }

    /// Makes it a member's store, for good.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn save_identity(&self, identity: &Identity) -> Result<(), StoreError> {
        self.write(|transaction| remember(transaction, IDENTITY, identity))
    }

    /// Stores a snapshot in place of the one before, unless that is of a later entry: one that is made here may be overtaken
    /// by one that comes from the leader, for which the log was purged already.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn save_snapshot(&self, meta: &SnapshotMeta, nib: &Nib) -> Result<(), StoreError> {
        // Before the transaction begins: of a large NIB this takes a second, and nothing else is written meanwhile.
        let record = encode(&Record { meta, nib });
        self.write(|transaction| save_snapshot(transaction, meta.last_log_id, &record))
    }

    /// The latest snapshot.
    ///
    /// # Errors
    /// If the disk fails, or it is damaged.
    pub fn snapshot(&self) -> Result<Option<Snapshot>, StoreError> {
        let transaction = self.0.begin_read().map_err(redb)?;
        let table = transaction.open_table(SNAPSHOTS).map_err(redb)?;
        let Some(record) = table.get(LATEST).map_err(redb)? else { return Ok(None) };
        let Snapshot { meta, nib } = decode("snapshot", record.value())?;
        Ok(Some(Snapshot { meta, nib: nib.reindexed() }))
    }

    fn remembered<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StoreError> {
        let transaction = self.0.begin_read().map_err(redb)?;
        let table = transaction.open_table(MEMBER).map_err(redb)?;
        let record = table.get(name).map_err(redb)?;
        record.map(|record| decode(&format!("member's record {name}"), record.value())).transpose()
    }
}

/// How redb opens a file: each page's checksum is looked at, and what does not match is an error.
fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_check_integrity_on_open(true);
    builder
}

/// A transaction whose commit is in two phases.
fn begin(database: &Database) -> Result<WriteTransaction, StoreError> {
    let mut transaction = database.begin_write().map_err(redb)?;
    transaction.set_two_phase_commit(true);
    Ok(transaction)
}

fn log_entry(index: u64) -> String {
    format!("log entry {index}")
}

fn remember(transaction: &WriteTransaction, name: &str, record: &impl Serialize) -> Result<(), StoreError> {
    let mut table = transaction.open_table(MEMBER).map_err(redb)?;
    table.insert(name, encode(record).as_slice()).map_err(redb)?;
    Ok(())
}

fn save_snapshot(transaction: &WriteTransaction, at: Option<LogId>, record: &[u8]) -> Result<(), StoreError> {
    {
        let member = transaction.open_table(MEMBER).map_err(redb)?;
        let known = member.get(SNAPSHOT_AT).map_err(redb)?;
        let known = known.map(|record| decode::<Option<LogId>>("place of the snapshot", record.value())).transpose()?;
        if known.flatten() > at {
            return Ok(());
        }
    }
    let mut table = transaction.open_table(SNAPSHOTS).map_err(redb)?;
    table.insert(LATEST, record).map_err(redb)?;
    remember(transaction, SNAPSHOT_AT, &at)
}

/// Writes what a file holds once more, and syncs it.
///
/// A process whose sync failed stops; but the operating system may hold what it wrote as clean pages that never came to
/// the disk (Rebello et al., USENIX ATC 2020), and would show them to the next process until power is lost. Written again
/// they are dirty again, and the sync says whether they are durable. A crash in between leaves what a crash within that
/// first commit may leave, which the database recovers from.
fn write_again(file: &impl DiskFile) -> io::Result<()> {
    const CHUNK: u64 = 1 << 16;
    let length = file.len()?;
    let mut buffer = vec![0; CHUNK.min(length) as usize];
    for offset in (0..length).step_by(CHUNK as usize) {
        let part = &mut buffer[..CHUNK.min(length - offset) as usize];
        file.read_at(offset, part)?;
        file.write_at(offset, part)?;
    }
    if length > 0 { file.sync() } else { Ok(()) }
}

#[cfg(test)]
mod tests;
