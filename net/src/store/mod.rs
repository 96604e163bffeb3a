//! The embedded store: the log of commands and a snapshot of the NIB, in one redb file.
//!
//! A batch of commands is durable before any of it is applied: [`Store::append`] is one commit, however many
//! commands it holds. Replaying the log over the snapshot gives the NIB again, since applying is deterministic.
//!
//! Records are JSON behind a format version byte, the same types that the northbound API speaks. It is larger than
//! a packed encoding, but it describes itself: the next release reads what this one wrote, fields may be added with
//! defaults, and an operator can read what is on the disk.
//!
//! Start at [`Store::open`].

mod backend;

use crate::runtime::{Disk, DiskFile};
use backend::Backend;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use selvedge_core::ids::Revision;
use selvedge_core::nib::{Command, Nib};
use std::io;

/// The format of log records and snapshots.
const FORMAT: u8 = 1;
/// The file's name in the data directory.
pub const FILE_NAME: &str = "nib.redb";
/// How often the daemon takes a snapshot; see [`Store::open`].
pub const SNAPSHOT_EVERY: u64 = 20_000;

const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const SNAPSHOT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("snapshot");
const LATEST: &str = "latest";

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

/// The log and the snapshot.
pub struct Store {
    database: Database,
    last: Revision,
    snapshot_at: Revision,
    snapshot_every: u64,
}

impl Store {
    /// Opens the store of a data directory, or makes an empty one, and replays it. After `snapshot_every` commands it
    /// wants a snapshot, and the log before that is dropped.
    ///
    /// # Errors
    /// If the file is in use, unreadable, damaged, or of a later release.
    pub fn open(disk: &impl Disk, snapshot_every: u64) -> Result<(Store, Nib), StoreError> {
        let file = disk.open(FILE_NAME).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => StoreError::InUse,
            _ => StoreError::Open(error),
        })?;
        write_again(&file).map_err(StoreError::Open)?;
        let database = Database::builder().create_with_backend(Backend(file)).map_err(redb)?;
        disk.sync_names().map_err(StoreError::Open)?;
        let transaction = database.begin_write().map_err(redb)?;
        transaction.open_table(LOG).map_err(redb)?;
        transaction.open_table(SNAPSHOT).map_err(redb)?;
        transaction.commit().map_err(redb)?;
        let (snapshot_at, nib) = replay(&database)?;
        Ok((Store { database, last: nib.revision(), snapshot_at, snapshot_every }, nib))
    }

    /// Makes commands durable, at the revisions after the last.
    ///
    /// # Errors
    /// If the disk fails; whether the commands are durable is unknown then.
    pub fn append(&mut self, commands: &[Command]) -> Result<(), StoreError> {
        let transaction = self.database.begin_write().map_err(redb)?;
        {
            let mut log = transaction.open_table(LOG).map_err(redb)?;
            for (revision, command) in (self.last.0 + 1..).zip(commands) {
                log.insert(revision, encode(command).as_slice()).map_err(redb)?;
            }
        }
        transaction.commit().map_err(redb)?;
        self.last.0 += commands.len() as u64;
        Ok(())
    }

    /// The revision of the latest snapshot, from which the log goes on; 0 if there is none.
    pub fn snapshot_revision(&self) -> Revision {
        self.snapshot_at
    }

    /// Whether the log has grown enough for a snapshot.
    pub fn wants_snapshot(&self) -> bool {
        self.last.0 - self.snapshot_at.0 >= self.snapshot_every
    }

    /// Stores the NIB as of the last command, and drops the log before it.
    ///
    /// # Panics
    /// If the NIB is of another revision.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn snapshot(&mut self, nib: &Nib) -> Result<(), StoreError> {
        assert_eq!(nib.revision(), self.last, "the snapshot is of the last command");
        let transaction = self.database.begin_write().map_err(redb)?;
        {
            let mut snapshots = transaction.open_table(SNAPSHOT).map_err(redb)?;
            snapshots.insert(LATEST, encode(nib).as_slice()).map_err(redb)?;
            let mut log = transaction.open_table(LOG).map_err(redb)?;
            log.retain_in(..=self.last.0, |_, _| false).map_err(redb)?;
        }
        transaction.commit().map_err(redb)?;
        self.snapshot_at = self.last;
        Ok(())
    }
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

fn replay(database: &Database) -> Result<(Revision, Nib), StoreError> {
    let transaction = database.begin_read().map_err(redb)?;
    let snapshots = transaction.open_table(SNAPSHOT).map_err(redb)?;
    let mut nib = match snapshots.get(LATEST).map_err(redb)? {
        Some(record) => decode::<Nib>("snapshot", record.value())?.reindexed(),
        None => Nib::default(),
    };
    let snapshot_at = nib.revision();
    let log = transaction.open_table(LOG).map_err(redb)?;
    for entry in log.iter().map_err(redb)? {
        let (revision, record) = entry.map_err(redb)?;
        let revision = revision.value();
        let what = format!("log record of revision {revision}");
        if revision != nib.revision().0 + 1 {
            let why = format!("it follows revision {}", nib.revision());
            return Err(StoreError::Damaged { what, why });
        }
        let command: Command = decode(&what, record.value())?;
        // A refusal was a refusal then, too: it changed nothing but the revision.
        let _refused_again = nib.apply(&command);
    }
    Ok((snapshot_at, nib))
}

fn encode(record: &impl serde::Serialize) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    serde_json::to_writer(&mut bytes, record).expect("our own types always serialise, and memory takes them");
    bytes
}

fn decode<T: serde::de::DeserializeOwned>(what: &str, record: &[u8]) -> Result<T, StoreError> {
    let damaged = |why: String| StoreError::Damaged { what: what.to_string(), why };
    let (format, body) = record.split_first().ok_or_else(|| damaged("it is empty".into()))?;
    match *format {
        FORMAT => serde_json::from_slice(body).map_err(|error| damaged(error.to_string())),
        0 => Err(damaged("its format byte is zero".into())),
        found => Err(StoreError::FromTheFuture { what: what.to_string(), found }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::HostDisk;
    use selvedge_core::nib::{Common, Object, TransportZone};
    use uuid::Uuid;

    fn zone(n: u128) -> Command {
        let common = Common { display_name: Some(format!("zone {n}")), tags: Vec::new() };
        Command::Create { uuid: Uuid::from_u128(n), object: Object::TransportZone(TransportZone { common }) }
    }

    fn directory() -> (tempfile::TempDir, HostDisk) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let disk = HostDisk(dir.path().to_path_buf());
        (dir, disk)
    }

    #[test]
    fn what_was_appended_is_there_after_reopening() {
        let (_dir, disk) = directory();
        let (mut store, mut nib) = Store::open(&disk, SNAPSHOT_EVERY).expect("an empty store");
        let commands = [zone(1), zone(2), zone(1)];
        store.append(&commands).expect("durable");
        let refused = commands.iter().filter(|command| nib.apply(command).is_err()).count();
        assert_eq!(refused, 1, "the second zone 1 exists already");
        drop(store);
        let (_, again) = Store::open(&disk, SNAPSHOT_EVERY).expect("the same store");
        assert_eq!(again, nib);
        assert_eq!(again.revision(), Revision(3));
    }

    #[test]
    fn a_snapshot_replaces_the_log() {
        let (_dir, disk) = directory();
        let (mut store, mut nib) = Store::open(&disk, SNAPSHOT_EVERY).expect("an empty store");
        store.append(&[zone(1)]).expect("durable");
        nib.apply(&zone(1)).expect("lawful");
        store.snapshot(&nib).expect("durable");
        store.append(&[zone(2)]).expect("durable");
        nib.apply(&zone(2)).expect("lawful");
        drop(store);
        let (store, again) = Store::open(&disk, SNAPSHOT_EVERY).expect("the same store");
        assert_eq!(again, nib);
        assert_eq!(store.snapshot_at, Revision(1));
    }

    #[test]
    fn a_second_opener_is_refused_in_words() {
        let (_dir, disk) = directory();
        let first = Store::open(&disk, SNAPSHOT_EVERY).expect("an empty store");
        let error = Store::open(&disk, SNAPSHOT_EVERY).err().expect("refused").to_string();
        assert!(error.contains("another controller runs on this data directory"), "{error}");
        drop(first);
    }

    #[test]
    fn damage_and_later_formats_are_named() {
        let check = |record: &[u8], want: &str| {
            let error = decode::<Command>("log record of revision 7", record).expect_err("refused").to_string();
            assert!(error.contains(want), "{error}");
        };
        check(&[], "log record of revision 7 is damaged: it is empty");
        check(&[9, b'{'], "has format 9, and this release reads up to 1");
        check(&[1, b'{'], "is damaged: EOF");
    }
}
