//! What a bed consists of, on disk: so that one command finds what another made, and `down` what a killed test left.
//!
//! The file is written before anything is made. Start at [`State`].

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::{Doing, Error, Result};
use super::guest::GuestSpec;
use super::ident::{GuestName, HypervisorId};

/// A directory that holds this file is a bed.
const FILE: &str = "state.json";

/// What a bed consists of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct State {
    /// The process at whose end the bed shall go; none for a bed that stays until `down`.
    pub(crate) owner: Option<Process>,
    /// Hypervisors, from the first.
    pub(crate) hypervisors: u8,
    /// Guests and where they are.
    pub(crate) guests: BTreeMap<GuestName, Placed>,
}

/// A guest and where it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Placed {
    pub(crate) spec: GuestSpec,
    pub(crate) place: Place,
}

/// Where a guest is plugged in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// Nowhere.
    Unplugged,
    /// On one hypervisor.
    At(HypervisorId),
    /// On two: it runs on one, and is awaited on the other.
    Migrating {
        /// Where it runs.
        from: HypervisorId,
        /// Where it is awaited.
        to: HypervisorId,
    },
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unplugged => f.pad("unplugged"),
            Self::At(hypervisor) => f.pad(&hypervisor.to_string()),
            Self::Migrating { from, to } => f.pad(&format!("{from}->{to}")),
        }
    }
}

impl State {
    /// Reads the state of the bed in a directory; `None` if that is no bed.
    pub(crate) fn load(bed: &Path) -> Result<Option<Self>> {
        let path = bed.join(FILE);
        match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).doing(|| format!("reading {}", path.display())),
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|source| Error::State { path, source }),
        }
    }

    /// Writes it, whole or not at all.
    pub(crate) fn save(&self, bed: &Path) -> Result<()> {
        let path = bed.join(FILE);
        let doing = || format!("writing {}", path.display());
        let fresh = bed.join("state.json.new");
        let text = serde_json::to_vec_pretty(self).expect("names and numbers are always JSON");
        fs::write(&fresh, text).doing(doing)?;
        fs::rename(&fresh, &path).doing(doing)
    }
}

/// Keeps other processes from changing a bed, until it is dropped.
pub(crate) fn lock(bed: &Path) -> Result<File> {
    let path = bed.join("lock");
    let doing = || format!("locking {}", path.display());
    let file = File::create(&path).doing(doing)?;
    file.lock().doing(doing)?;
    Ok(file)
}

/// Directories of beds in `parent`.
pub(crate) fn beds_in(parent: &Path) -> Vec<PathBuf> {
    let mut beds: Vec<PathBuf> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join(FILE).exists())
        .collect();
    beds.sort();
    beds
}

/// A process, told from a later one of the same number by when it started.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Process {
    pid: u32,
    start_ticks: u64,
}

impl Process {
    /// This process.
    pub(crate) fn own() -> Result<Self> {
        let pid = std::process::id();
        start_ticks(pid).doing(|| "reading /proc/self/stat".to_owned()).map(|start_ticks| Self { pid, start_ticks })
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&self) -> bool {
        start_ticks(self.pid).is_ok_and(|start| start == self.start_ticks)
    }
}

/// When a process started, in clock ticks after the machine did: field 22 of proc_pid_stat(5).
fn start_ticks(pid: u32) -> std::io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field, a name in parentheses, may hold anything; the third is after the last of them.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let field = after_name.split_whitespace().nth(22 - 3);
    field.and_then(|ticks| ticks.parse().ok()).ok_or_else(|| std::io::Error::other("no start time in it"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testbed::ident::{Mac, VifId};

    #[test]
    fn a_state_is_read_back_as_it_was_written() {
        let directory = tempfile::tempdir().expect("a directory");
        assert_eq!(State::load(directory.path()).expect("no file is no error"), None);
        let name: GuestName = "web".parse().expect("a name");
        let address = "10.0.0.1/24".parse().expect("an address");
        let spec =
            GuestSpec::new(name.clone(), Mac([2, 0, 0, 0, 0, 1]), vec![address], VifId::IfaceId("vif-1".to_owned()));
        let [from, to] = [1, 2].map(|n| HypervisorId::new(n).expect("a number in range"));
        let place = Place::Migrating { from, to };
        let guests = BTreeMap::from([(name, Placed { spec, place })]);
        let state = State { owner: Some(Process::own().expect("it runs")), hypervisors: 2, guests };
        state.save(directory.path()).expect("it can be written");
        assert_eq!(State::load(directory.path()).expect("it is whole"), Some(state));
        assert_eq!(
            beds_in(directory.path().parent().expect("it has one")).iter().filter(|d| *d == directory.path()).count(),
            1
        );
    }

    #[test]
    fn a_broken_state_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join(FILE), r#"{"owner": null, "hypervisors": 2, "guests": {"no name": {}}}"#)
            .expect("write");
        let error = State::load(directory.path()).expect_err("that is no guest's name").to_string();
        assert!(error.contains("state.json") && error.contains("no name"), "{error}");
    }

    #[test]
    fn a_process_is_told_from_a_later_one() {
        let own = Process::own().expect("it runs");
        assert!(own.is_alive());
        assert!(!Process { start_ticks: own.start_ticks + 1, ..own }.is_alive());
    }
}
