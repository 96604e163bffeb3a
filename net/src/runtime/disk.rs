//! Durable files, as a value: each controller owns a directory.
//!
//! The store is built on [`DiskFile`], so that a simulated disk can lose, tear and reorder what was not synced.
//! Start at [`Disk`].

use std::fmt::Debug;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

/// A directory of durable files.
pub trait Disk: Send + Sync + 'static {
    /// One of its files.
    type File: DiskFile;

    /// Opens a file for this process alone; it is created if absent.
    ///
    /// # Errors
    /// `WouldBlock` if another process has it.
    fn open(&self, name: &str) -> io::Result<Self::File>;
    /// Makes the names of files durable.
    fn sync_names(&self) -> io::Result<()>;
}

/// A durable file, used by offset.
pub trait DiskFile: Debug + Send + Sync + 'static {
    /// Its length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Fills `out` from `offset` on.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
    /// Writes `data` at `offset`; durable only after a sync.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;
    /// Cuts the file, or fills it up with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes all earlier writes durable. After an error nothing is known about them.
    fn sync(&self) -> io::Result<()>;

    /// Whether it has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// A directory of this machine.
#[derive(Clone, Debug)]
pub struct HostDisk(pub PathBuf);

impl Disk for HostDisk {
    type File = HostFile;

    fn open(&self, name: &str) -> io::Result<HostFile> {
        let path = self.0.join(name);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(HostFile(file)),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

/// A file of this machine, locked for this process.
#[derive(Debug)]
pub struct HostFile(File);

impl DiskFile for HostFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
