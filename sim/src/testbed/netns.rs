//! Network namespaces: made and removed by name, and entered by a thread at a time.
//!
//! A namespace belongs to a thread, and is inherited by the threads and processes that it starts. A socket stays in
//! the namespace in which it was made, whoever uses it. So [`Netns::run`] lends a thread to a closure, and what the
//! closure makes there can be used anywhere.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use super::command::{command, ip_batch, run};
use super::error::{Doing, Result};
use super::sys::{self, Signal};
use super::wait::wait_until;

/// Where `ip netns` keeps names.
const DIRECTORY: &str = "/run/netns";

/// Whether interfaces in a namespace speak IPv6, be it only to find routers and duplicate addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ipv6 {
    On,
    Off,
}

/// A network namespace with a name, as `ip netns` knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// The namespace of this name, which need not exist yet.
    pub(crate) fn named(name: String) -> Self {
        Self { name }
    }

    /// What `ip -n` calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes it, with its loopback device up.
    pub(crate) fn create(&self, ipv6: Ipv6) -> Result<()> {
        run(&mut command("ip", &["netns", "add", &self.name]))?;
        if ipv6 == Ipv6::Off {
            for scope in ["all", "default"] {
                self.set_sysctl(&format!("ipv6/conf/{scope}/disable_ipv6"), "1")?;
            }
        }
        self.ip(&["link set dev lo up".to_owned()])
    }

    /// Ends what runs in it, and removes it; no error if there is none.
    pub(crate) fn remove(&self) -> Result<()> {
        if self.path().exists() { remove_all(std::slice::from_ref(self)) } else { Ok(()) }
    }

    /// Runs `ip` commands in it.
    pub(crate) fn ip(&self, lines: &[String]) -> Result<()> {
        ip_batch(Some(&self.name), lines).map(drop)
    }

    /// Sets `/proc/sys/net/KEY` in it. A kernel without that knob (IPv6 may be absent) is left alone.
    pub(crate) fn set_sysctl(&self, key: &str, value: &str) -> Result<()> {
        let file = format!("/proc/sys/net/{key}");
        match self.run(|| fs::write(&file, value))? {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).doing(|| file),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Calls a function on a thread of its own that is in this namespace, and waits for it.
    ///
    /// # Errors
    /// If there is no such namespace. A panic of the function goes on in the caller.
    pub fn run<T: Send>(&self, function: impl FnOnce() -> T + Send) -> Result<T> {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter()?;
                Ok(function())
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs a command in this namespace, to its end; what it printed.
    ///
    /// # Errors
    /// If it cannot be started or fails, with what it printed as an error.
    pub fn run_command(&self, command: &mut Command) -> Result<String> {
        self.run(|| run(command))?
    }

    /// Moves the calling thread into this namespace, for good.
    ///
    /// # Errors
    /// If there is no such namespace, or without the right to enter it.
    pub fn enter(&self) -> Result<()> {
        let doing = || format!("entering the network namespace {}", self.name);
        let file = File::open(self.path()).doing(doing)?;
        sys::enter_netns(file.as_fd()).doing(doing)
    }

    fn path(&self) -> PathBuf {
        Path::new(DIRECTORY).join(&self.name)
    }
}

/// Moves the calling thread, and all threads and processes it will start, to a network namespace of its own.
///
/// It is empty but for a loopback device that is up, and is gone when the last of them ends: what a test does to the
/// network there, and which ports it listens on, concerns nobody else.
///
/// # Errors
/// Without root.
pub fn enter_private_namespace() -> Result<()> {
    sys::unshare_netns().doing(|| "making a private network namespace".to_owned())?;
    ip_batch(None, &["link set dev lo up".to_owned()]).map(drop)
}

/// All namespaces whose names begin with `prefix`.
pub(crate) fn with_prefix(prefix: &str) -> Vec<Netns> {
    let names = fs::read_dir(DIRECTORY).into_iter().flatten().flatten();
    let mut found: Vec<String> = names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix))
        .collect();
    found.sort();
    found.into_iter().map(Netns::named).collect()
}

/// Ends what runs in these namespaces, and removes them.
pub(crate) fn remove_all(namespaces: &[Netns]) -> Result<()> {
    end_processes(namespaces)?;
    namespaces.iter().try_for_each(|netns| run(&mut command("ip", &["netns", "delete", &netns.name])).map(drop))
}

/// Ends every process that lives in one of these namespaces, and waits until none does.
///
/// This process is spared, though threads of it may be there.
fn end_processes(namespaces: &[Netns]) -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let identities: Vec<_> = namespaces.iter().filter_map(|netns| identity(&netns.path())).collect();
    let left = || processes_in(&identities);
    wait_until(
        || format!("the end of processes {:?}", left()),
        PATIENCE,
        || {
            let pids = left();
            for pid in &pids {
                // One that has ended meanwhile is what is wanted.
                let _ = sys::kill(*pid, Signal::Kill);
            }
            Ok(pids.is_empty())
        },
    )
}

/// Device and inode of a namespace's file, the same for all names of one namespace.
type Identity = (u64, u64);

fn identity(path: &Path) -> Option<Identity> {
    fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

fn processes_in(namespaces: &[Identity]) -> Vec<u32> {
    let own = std::process::id();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != own)
        .filter(|pid| identity(Path::new(&format!("/proc/{pid}/ns/net"))).is_some_and(|id| namespaces.contains(&id)))
        .collect()
}
