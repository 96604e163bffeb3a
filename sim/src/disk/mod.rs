//! Disks that lose what was not synced, tear it, and fail.
//!
//! A [`SimDisk`] is a directory of one host, the same on every stage. Writes go to a cache; a sync makes them durable. At a
//! crash each sector of 512 bytes that was not synced is kept, lost or torn, as drawn from the disk's own randomness, so
//! that unsynced writes are in effect reordered. Handles from before a crash are dead: a destructor that still writes
//! writes to nobody.
//!
//! | fault | here |
//! | --- | --- |
//! | D1, D2 | [`SimDisk::crash`] |
//! | P2 | [`SimDisk::cut_power_at`]: within a commit, since that is many operations |
//! | D3, D5 | [`SimDisk::rot`], [`SimDisk::spoil`]: until the sector is written again |
//! | D6 | [`SimDisk::fail_sync`]: the pages are clean then, and gone at the next crash |
//! | D7, D11 | [`SimDisk::set_full`], [`SimDisk::set_read_only`] |
//! | D9 | a file whose name was never synced is gone after a crash |
//! | P8 | [`SimDisk::image`], [`SimDisk::revert`]: an earlier state comes back |
//! | a lie | [`SimDisk::lie_about_sync`]: what no honest disk does, to see that it is noticed |
//!
//! Start at [`SimDisk`].

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use selvedge_net::runtime::{Disk, DiskFile};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

/// What is written at once or not at all, in bytes.
const SECTOR: u64 = 512;
/// So many sectors that were written last are the likeliest to rot.
const RECENT: usize = 16;

/// A host's disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    files: BTreeMap<String, File>,
    rng: ChaCha8Rng,
    /// Counts crashes: handles from before one are dead.
    life: u64,
    operations: u64,
    cut_power_at: Option<u64>,
    power_cut: bool,
    fail_sync: bool,
    full: bool,
    read_only: bool,
    lies: bool,
    fired: Fired,
}

/// How often each kind of fault had an effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Fired {
    /// Sectors lost at crashes.
    pub lost: u64,
    /// Sectors torn at crashes.
    pub torn: u64,
    /// Unsynced sectors that a crash kept.
    pub kept: u64,
    /// Power cuts at an operation.
    pub power_cuts: u64,
    /// Syncs that failed.
    pub failed_syncs: u64,
    /// Writes refused, for want of space or of leave.
    pub refused: u64,
    /// Sectors in which bits flipped.
    pub rotten: u64,
    /// Reads that failed, of sectors that cannot be read.
    pub unreadable: u64,
}

impl Fired {
    /// Of two disks together.
    #[must_use]
    pub fn and(self, other: Fired) -> Fired {
        Fired {
            lost: self.lost + other.lost,
            torn: self.torn + other.torn,
            kept: self.kept + other.kept,
            power_cuts: self.power_cuts + other.power_cuts,
            failed_syncs: self.failed_syncs + other.failed_syncs,
            refused: self.refused + other.refused,
            rotten: self.rotten + other.rotten,
            unreadable: self.unreadable + other.unreadable,
        }
    }
}

/// What was on a disk at a moment.
#[derive(Clone, Debug)]
pub struct Image(BTreeMap<String, Vec<u8>>);

#[derive(Debug, Default)]
struct File {
    bytes: Vec<u8>,
    /// What sectors were when last synced, if they were written since.
    unsynced: BTreeMap<u64, Vec<u8>>,
    /// What sectors were of which a sync failed, and that were not written since: clean, but not on the disk.
    doomed: BTreeMap<u64, Vec<u8>>,
    /// Sectors that were written last.
    recent: VecDeque<u64>,
    /// Sectors that cannot be read until they are written.
    spoilt: BTreeSet<u64>,
    synced_length: usize,
    name_synced: bool,
    open: bool,
}

impl File {
    fn sector(&self, sector: u64) -> Vec<u8> {
        let from = ((sector * SECTOR) as usize).min(self.bytes.len());
        let to = (from + SECTOR as usize).min(self.bytes.len());
        self.bytes[from..to].to_vec()
    }

    /// Remembers what sectors were before they are written.
    fn touch(&mut self, from: u64, to: u64) {
        for sector in from / SECTOR..to.div_ceil(SECTOR) {
            self.spoilt.remove(&sector);
            self.recent.push_back(sector);
            if self.recent.len() > RECENT {
                self.recent.pop_front();
            }
            if !self.unsynced.contains_key(&sector) {
                // Of a sector that a sync failed for, the disk still has what was there before.
                let old = self.doomed.remove(&sector).unwrap_or_else(|| self.sector(sector));
                self.unsynced.insert(sector, old);
            }
        }
    }

    /// A byte of it: of a sector that was written lately, half of the time, since most of a file is of no use any more.
    fn some_byte(&self, rng: &mut ChaCha8Rng) -> Option<usize> {
        let sector = match rng.random_bool(0.5) {
            true => self.recent.get(rng.random_range(0..RECENT))?,
            false => &rng.random_range(0..(self.bytes.len() as u64).div_ceil(SECTOR).max(1)),
        };
        let at = (sector * SECTOR + rng.random_range(0..SECTOR)) as usize;
        (at < self.bytes.len()).then_some(at)
    }

    /// What it is if power goes and nothing that was not synced is kept.
    fn durable(&self) -> Vec<u8> {
        let mut copy = File { bytes: self.bytes.clone(), ..File::default() };
        copy.bytes.resize(self.synced_length.max(self.bytes.len()), 0);
        for (sector, old) in self.unsynced.iter().chain(&self.doomed) {
            copy.restore(*sector, old);
        }
        copy.bytes.truncate(self.synced_length);
        copy.bytes
    }

    fn restore(&mut self, sector: u64, old: &[u8]) {
        let from = (sector * SECTOR) as usize;
        let end = (from + SECTOR as usize).min(self.bytes.len());
        if from < end {
            self.bytes[from..end].fill(0);
            let count = old.len().min(end - from);
            self.bytes[from..from + count].copy_from_slice(&old[..count]);
        }
    }
}

impl SimDisk {
    /// An empty disk; what happens at crashes is drawn from `seed`.
    pub fn new(seed: u64) -> SimDisk {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(1 << 41);
        SimDisk(Arc::new(Mutex::new(State {
            files: BTreeMap::new(),
            rng,
            life: 0,
            operations: 0,
            cut_power_at: None,
            power_cut: false,
            fail_sync: false,
            full: false,
            read_only: false,
            lies: false,
            fired: Fired::default(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no holder panics")
    }

    /// Power goes: what was not synced is kept, lost or torn. The disk can be used again at once, by new handles.
    pub fn crash(&self) {
        let mut state = self.state();
        tracing::trace!(target: "disk", "power is lost");
        state.end_life();
        let State { files, rng, fired, .. } = &mut *state;
        files.retain(|_, file| file.name_synced);
        for file in files.values_mut() {
            if rng.random_bool(0.5) {
                file.bytes.resize(file.synced_length.max(file.bytes.len()), 0);
            }
            for (sector, old) in std::mem::take(&mut file.unsynced) {
                match rng.random_range(0..4) {
                    0 => fired.kept += 1,
                    1 => {
                        let at = rng.random_range(0..=old.len());
                        let new = file.sector(sector);
                        let torn: Vec<u8> = new.iter().take(at).chain(old.iter().skip(at)).copied().collect();
                        file.restore(sector, &torn);
                        fired.torn += 1;
                    }
                    _ => {
                        file.restore(sector, &old);
                        fired.lost += 1;
                    }
                }
            }
            for (sector, old) in std::mem::take(&mut file.doomed) {
                file.restore(sector, &old);
                fired.lost += 1;
            }
            file.synced_length = file.bytes.len();
        }
    }

    /// The process that used it is killed: its handles are dead, and the operating system keeps what was written.
    pub fn killed(&self) {
        self.state().end_life();
    }

    /// What is on the disk for certain at this moment, as a snapshot of the storage beneath it has it.
    pub fn image(&self) -> Image {
        let state = self.state();
        let files = state.files.iter().filter(|(_, file)| file.name_synced);
        Image(files.map(|(name, file)| (name.clone(), file.durable())).collect())
    }

    /// Reverts the disk to what it was once. Power is off.
    pub fn revert(&self, image: Image) {
        let mut state = self.state();
        state.end_life();
        let file = |bytes: Vec<u8>| File { synced_length: bytes.len(), bytes, name_synced: true, ..File::default() };
        state.files = image.0.into_iter().map(|(name, bytes)| (name, file(bytes))).collect();
    }

    /// Power goes at an operation that is yet to come: that one and all later ones fail. See [`SimDisk::is_dark`].
    pub fn cut_power_at(&self, operations_from_now: u64) {
        let mut state = self.state();
        state.cut_power_at = Some(state.operations + operations_from_now);
    }

    /// Whether power went at an operation: then the host is to be taken down, and the disk to [`crash`](Self::crash).
    pub fn is_dark(&self) -> bool {
        self.state().power_cut
    }

    /// The next sync fails.
    pub fn fail_sync(&self, fails: bool) {
        self.state().fail_sync = fails;
    }

    /// Whether there is room for more.
    pub fn set_full(&self, full: bool) {
        self.state().full = full;
    }

    /// Whether anything can be written.
    pub fn set_read_only(&self, read_only: bool) {
        self.state().read_only = read_only;
    }

    /// Whether syncs say that they made durable what they did not.
    pub fn lie_about_sync(&self, lies: bool) {
        self.state().lies = lies;
    }

    /// Bits flip in some byte of a file, without a word; nothing if it has too few.
    pub fn rot(&self, name: &str) {
        let mut state = self.state();
        let State { files, rng, fired, .. } = &mut *state;
        let Some(file) = files.get_mut(name) else { return };
        let Some(at) = file.some_byte(rng) else { return };
        let flip = rng.random_range(1..=255_u8);
        tracing::trace!(target: "disk", name, at, flip, "rot");
        fired.rotten += 1;
        // A sector that was not synced rots where it is: on the disk.
        match file.unsynced.get_mut(&(at as u64 / SECTOR)) {
            Some(old) => old.get_mut(at % SECTOR as usize).into_iter().for_each(|byte| *byte ^= flip),
            None => file.bytes[at] ^= flip,
        }
    }

    /// Some sector of a file cannot be read from now on; nothing if it has too few.
    pub fn spoil(&self, name: &str) {
        let mut state = self.state();
        let State { files, rng, .. } = &mut *state;
        let Some(file) = files.get_mut(name) else { return };
        let at = file.some_byte(rng);
        file.spoilt.extend(at.map(|at| at as u64 / SECTOR));
    }

    /// Whether anything on it rotted or could not be read.
    pub fn is_ruined(&self) -> bool {
        let state = self.state();
        state.fired.rotten > 0 || state.fired.unreadable > 0
    }

    /// How often each kind of fault had an effect.
    pub fn fired(&self) -> Fired {
        self.state().fired
    }

    /// How many operations there were.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }
}

impl State {
    fn end_life(&mut self) {
        self.life += 1;
        (self.power_cut, self.cut_power_at) = (false, None);
        self.files.values_mut().for_each(|file| file.open = false);
    }

    /// Counts an operation; fails if power is gone, or the handle is of an earlier life.
    fn operate(&mut self, life: u64) -> io::Result<()> {
        if life != self.life || self.power_cut {
            return Err(io::Error::other("the disk is gone"));
        }
        self.operations += 1;
        if self.cut_power_at.is_some_and(|at| self.operations >= at) {
            (self.power_cut, self.cut_power_at) = (true, None);
            self.fired.power_cuts += 1;
            return Err(io::Error::other("the disk lost power"));
        }
        Ok(())
    }

    /// Whether so many bytes may be written, of which some are beyond what there is.
    fn admit(&mut self, grows: bool) -> io::Result<()> {
        let refusal = match (self.read_only, self.full && grows) {
            (true, _) => io::ErrorKind::ReadOnlyFilesystem,
            (false, true) => io::ErrorKind::StorageFull,
            (false, false) => return Ok(()),
        };
        self.fired.refused += 1;
        Err(refusal.into())
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let mut state = self.state();
        let life = state.life;
        state.operate(life)?;
        let file = state.files.entry(name.to_string()).or_default();
        if std::mem::replace(&mut file.open, true) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(SimFile { disk: self.clone(), name: name.to_string(), life })
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.state();
        let life = state.life;
        state.operate(life)?;
        if !state.lies {
            state.files.values_mut().for_each(|file| file.name_synced = true);
        }
        Ok(())
    }
}

/// A file of a [`SimDisk`], locked for who opened it.
#[derive(Debug)]
pub struct SimFile {
    disk: SimDisk,
    name: String,
    life: u64,
}

impl SimFile {
    fn with<T>(&self, work: impl FnOnce(&mut State, &str) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.state();
        state.operate(self.life)?;
        work(&mut state, &self.name)
    }
}

fn file<'a>(state: &'a mut State, name: &str) -> &'a mut File {
    state.files.get_mut(name).expect("an open file is there while its life lasts")
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.with(|state, name| Ok(file(state, name).bytes.len() as u64))
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|state, name| {
            let from = offset as usize;
            let sectors = offset / SECTOR..(offset + out.len() as u64).div_ceil(SECTOR);
            if file(state, name).spoilt.range(sectors).next().is_some() {
                state.fired.unreadable += 1;
                return Err(io::Error::other("a sector cannot be read"));
            }
            let bytes = file(state, name).bytes.get(from..from.saturating_add(out.len()));
            out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with(|state, name| {
            tracing::trace!(target: "disk", name, offset, length = data.len(), "write");
            let end = offset + data.len() as u64;
            let grows = end > file(state, name).bytes.len() as u64;
            state.admit(grows)?;
            let file = file(state, name);
            file.touch(offset, end);
            if grows {
                file.bytes.resize(end as usize, 0);
            }
            file.bytes[offset as usize..end as usize].copy_from_slice(data);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|state, name| {
            let now = file(state, name).bytes.len() as u64;
            tracing::trace!(target: "disk", name, from = now, to = len, "set length");
            state.admit(len > now)?;
            let file = file(state, name);
            file.touch(len.min(now), len.max(now));
            file.bytes.resize(len as usize, 0);
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.with(|state, name| {
            let (fails, lies) = (std::mem::take(&mut state.fail_sync), state.lies);
            tracing::trace!(target: "disk", name, fails, "sync");
            let file = file(state, name);
            match (fails, lies) {
                (true, _) => {
                    let unsynced = std::mem::take(&mut file.unsynced);
                    unsynced.into_iter().for_each(|(sector, old)| _ = file.doomed.entry(sector).or_insert(old));
                    state.fired.failed_syncs += 1;
                    Err(io::Error::other("the disk failed to sync"))
                }
                (false, true) => Ok(()),
                (false, false) => {
                    file.unsynced.clear();
                    file.synced_length = file.bytes.len();
                    Ok(())
                }
            }
        })
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.life == self.life {
            state.files.get_mut(&self.name).into_iter().for_each(|file| file.open = false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_core::nib::{Command, Nib};
    use selvedge_net::cluster::types::{Batch, SnapshotMeta, entry};
    use selvedge_net::store::{FILE_NAME, Store, StoreError};

    fn command(n: u64) -> Command {
        Command::SetUser { name: format!("user{n}"), password_hash: n.to_string() }
    }

    /// Appends entries until the disk fails, with a snapshot now and then; `acknowledged` counts them.
    fn append_until_it_fails(store: &Store, acknowledged: &mut u64) -> Result<(), StoreError> {
        for index in *acknowledged + 1..*acknowledged + 41 {
            let entry = entry(1, index, Batch(vec![command(index)]));
            store.append(std::slice::from_ref(&entry))?;
            *acknowledged = index;
            if index % 7 == 0 {
                let meta = SnapshotMeta { last_log_id: Some(entry.log_id), ..SnapshotMeta::default() };
                store.save_snapshot(&meta, &Nib::default())?;
                store.purge(entry.log_id)?;
            }
        }
        Ok(())
    }

    /// Power cuts at random operations; whether every acknowledged command was there each time.
    fn survives(seed: u64, cuts: u32, prepare: impl Fn(&SimDisk)) -> bool {
        let disk = SimDisk::new(seed);
        let mut draw = ChaCha8Rng::seed_from_u64(seed);
        let mut acknowledged = 0;
        for _ in 0..cuts {
            prepare(&disk);
            let Ok(store) = Store::open(&disk) else {
                disk.crash();
                continue;
            };
            let found = store.last().expect("it was just read").map_or(0, |last| last.index);
            let snapshot =
                store.snapshot().expect("it was just written").and_then(|snapshot| snapshot.meta.last_log_id);
            let purged = store.purged().expect("it was just read");
            if found < acknowledged || found > acknowledged + 1 || purged > snapshot {
                return false;
            }
            acknowledged = found;
            disk.cut_power_at(draw.random_range(1..400));
            // It ends by the cut, or has written all it wanted.
            let _ = append_until_it_fails(&store, &mut acknowledged);
            disk.crash();
            drop(store);
        }
        acknowledged > 0
    }

    #[test]
    fn a_store_keeps_what_it_acknowledged_through_300_power_cuts() {
        for seed in 0..10 {
            assert!(survives(seed, 30, |_| {}), "seed {seed}");
        }
    }

    #[test]
    fn a_lying_sync_is_noticed() {
        let noticed = (0..10).filter(|seed| {
            let lied = std::panic::catch_unwind(|| survives(*seed, 10, |disk| disk.lie_about_sync(true)));
            !matches!(lied, Ok(true))
        });
        assert_eq!(noticed.count(), 10);
    }

    /// Whatever rots or cannot be read: the store either refuses in words, or has all that it acknowledged.
    #[test]
    fn a_rotten_store_is_refused_or_whole() {
        let (mut refused, mut whole) = (0, 0);
        for seed in 0..150 {
            let disk = SimDisk::new(seed);
            let mut acknowledged = 0;
            let store = Store::open(&disk).expect("an empty store");
            if seed % 2 == 0 {
                disk.cut_power_at(200 + seed);
            }
            let _ = append_until_it_fails(&store, &mut acknowledged);
            drop(store);
            disk.crash();
            for _ in 0..3 {
                if seed % 3 == 0 { disk.spoil(FILE_NAME) } else { disk.rot(FILE_NAME) }
            }
            match Store::open(&disk).and_then(|store| Ok((store.last()?, store.entries(..)?, store.snapshot()?))) {
                Ok((last, _, _)) => {
                    whole += 1;
                    let last = last.map_or(0, |last| last.index);
                    assert!(last == acknowledged || last == acknowledged + 1, "seed {seed}: {last} of {acknowledged}");
                }
                Err(error) => {
                    refused += 1;
                    assert!(error.to_string().contains(FILE_NAME), "seed {seed}: {error}");
                }
            }
        }
        assert!(refused > 20 && whole > 20, "{refused} refused, {whole} whole");
    }

    #[test]
    fn handles_from_before_a_crash_write_to_nobody() {
        let disk = SimDisk::new(1);
        let before = disk.open("f").expect("it opens");
        assert_eq!(disk.open("f").map(|_| ()).map_err(|error| error.kind()), Err(io::ErrorKind::WouldBlock));
        disk.sync_names().expect("synced");
        before.write_at(0, b"durable").expect("written");
        before.sync().expect("synced");
        before.write_at(0, b"lost or not").expect("written");
        disk.crash();
        assert!(before.write_at(0, b"from beyond").is_err());
        let after = disk.open("f").expect("it opens again");
        drop(before);
        assert_eq!(disk.open("f").map(|_| ()).map_err(|error| error.kind()), Err(io::ErrorKind::WouldBlock));
        let mut bytes = [0; 4];
        after.read_at(3, &mut bytes).expect("read");
        assert!(bytes == *b"able" || bytes == *b"t or", "{bytes:?}");
    }

    #[test]
    fn an_earlier_state_comes_back_without_what_was_not_on_the_disk() {
        let disk = SimDisk::new(1);
        let file = disk.open("a").expect("it opens");
        file.write_at(0, b"synced").expect("written");
        file.sync().expect("synced");
        disk.sync_names().expect("synced");
        file.write_at(0, b"unsure").expect("written");
        disk.open("nameless").expect("it opens");
        let image = disk.image();
        file.write_at(0, b"later!").expect("written");
        file.sync().expect("synced");
        disk.revert(image);
        assert!(file.write_at(0, b"x").is_err(), "it is of another life");
        let file = disk.open("a").expect("it opens");
        let mut bytes = [0; 6];
        file.read_at(0, &mut bytes).expect("read");
        assert_eq!((&bytes, file.len().expect("a length")), (b"synced", 6));
        assert_eq!(disk.open("nameless").expect("a new one").len().expect("a length"), 0);
    }

    #[test]
    fn failures_are_errors_and_are_counted() {
        let disk = SimDisk::new(2);
        let file = disk.open("f").expect("it opens");
        disk.set_full(true);
        assert_eq!(file.write_at(0, b"x").map_err(|error| error.kind()), Err(io::ErrorKind::StorageFull));
        disk.set_full(false);
        disk.set_read_only(true);
        assert_eq!(file.set_len(9).map_err(|error| error.kind()), Err(io::ErrorKind::ReadOnlyFilesystem));
        disk.set_read_only(false);
        file.write_at(0, b"x").expect("written");
        disk.sync_names().expect("synced");
        disk.fail_sync(true);
        assert!(file.sync().is_err());
        file.sync().expect("the pages are clean");
        disk.crash();
        assert_eq!(disk.fired(), Fired { refused: 2, failed_syncs: 1, lost: 1, ..Fired::default() });
        let file = disk.open("unsynced name").expect("it opens");
        file.write_at(0, b"x").expect("written");
        file.sync().expect("synced");
        disk.crash();
        assert_eq!(disk.open("unsynced name").expect("a new one").len().expect("a length"), 0);
    }
}
