//! What can go wrong with a testbed, told so that a person can mend it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::ident::{GuestName, HypervisorId};
use super::requirements::Missing;

/// Why a testbed could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This machine cannot run a testbed.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// A program said no; `problem` is what it printed.
    #[error("`{command}`: {problem}")]
    Command {
        /// The program and its arguments.
        command: String,
        /// Its complaint, or its exit status if it printed none.
        problem: String,
    },
    /// The operating system said no.
    #[error("{doing}: {source}")]
    Io {
        /// What was tried.
        doing: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A state file that is not ours, or not whole.
    #[error("{path}: not the state of a testbed: {source}")]
    State {
        /// The file.
        path: PathBuf,
        /// Where in the file, and what was expected there.
        source: serde_json::Error,
    },
    /// Unix sockets have names of at most 107 bytes.
    #[error("{path}: too long a path for the sockets of Open vSwitch: set TMPDIR to a shorter one")]
    PathTooLong {
        /// The directory of the bed.
        path: PathBuf,
    },
    /// Another bed, or something else, has the management network in this network namespace.
    #[error(
        "this network namespace has an address in 10.254.0.0/16 already: {addresses} (another testbed? see `down`)"
    )]
    ManagementNetworkTaken {
        /// Devices and their addresses, as `ip` prints them.
        addresses: String,
    },
    /// Beds hold 1 to [`HypervisorId::MAX`] hypervisors.
    #[error("a testbed has 1 to {} hypervisors, not {asked}", HypervisorId::MAX)]
    HypervisorCount {
        /// How many were asked for.
        asked: u8,
    },
    /// The bed has fewer hypervisors than that.
    #[error("no hypervisor {0} in this testbed")]
    NoSuchHypervisor(HypervisorId),
    /// No guest of that name.
    #[error("no guest {0} in this testbed")]
    NoSuchGuest(GuestName),
    /// Guests are told apart by name.
    #[error("there is a guest {0} already")]
    GuestExists(GuestName),
    /// The guest is not where the request supposes.
    #[error("guest {guest} {state}")]
    GuestPlace {
        /// The guest.
        guest: GuestName,
        /// Where it is instead.
        state: String,
    },
    /// A condition that did not come true in time.
    #[error("waited {patience:?} in vain for {what}")]
    TimedOut {
        /// The condition.
        what: String,
        /// How long.
        patience: Duration,
    },
    /// No bed to work on, or several to choose from.
    #[error("{0}")]
    WhichBed(String),
    /// The controller's API said no, or something that it should not say.
    #[error("{request}: {problem}")]
    Api {
        /// Method and path.
        request: String,
        /// Status and body, or what kept the answer from coming.
        problem: String,
    },
    /// There is no daemon to test.
    #[error("no selvedge to start: build it (`cargo build --workspace`), or set SELVEDGE_BIN; tried {tried}")]
    NoBinary {
        /// Where it could have been.
        tried: String,
    },
    /// The daemon under test ended, or never started.
    #[error("selvedge: {problem}\nits log, {log}, ends with:\n{tail}")]
    Daemon {
        /// What happened.
        problem: String,
        /// Its log file.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
}

/// The result of most things a testbed does.
pub type Result<T> = std::result::Result<T, Error>;

/// Adds to an [`io::Error`] what was being done.
pub(crate) trait Doing<T> {
    /// Turns the error into [`Error::Io`].
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io { doing: what(), source })
    }
}
