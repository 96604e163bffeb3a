//! Our world: one thread, its own time, and everything drawn from a seed.
//!
//! Tasks that are ready are polled in random order; when none is, time jumps to the next event. Hosts have clocks of their
//! own, which may be wrong. Connections are two pipes of bytes over paths that delay, lose and are cut. A host is killed
//! (its kernel resets what it had) or loses power (nobody is told); its sockets die before its tasks are dropped, so that
//! no destructor says good-bye.
//!
//! | module | |
//! | --- | --- |
//! | `core` | hosts, clocks, events, listeners |
//! | `wire` | connections |
//! | `runtime` | [`WorldRuntime`], what software in a world runs on |
//! | `audit` | one hash of everything that happened |
//!
//! Start at [`World`].

mod audit;
mod core;
mod runtime;
#[cfg(test)]
mod tests;
mod wire;

pub use runtime::{Stream, WorldListener, WorldRuntime, time_on_this_thread};

use self::core::{BLOCKING_MAX, Event, Shared};
use self::runtime::within;
use self::wire::Pipe;
use crate::stage::{Ability, Path, Software, Stage, Stop};
use selvedge_net::runtime::Moment;
use std::any::Any;
use std::future::Future;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// A world.
pub struct World {
    shared: Arc<Shared>,
}

impl World {
    /// An empty world; all that is left open is drawn from `seed`.
    pub fn new(seed: u64) -> World {
        World { shared: Arc::new(Shared::new(seed)) }
    }

    /// The hash of everything that happened so far.
    pub fn hash(&self) -> u64 {
        self.shared.core().audit.hash()
    }

    /// Keeps what the hash is made of from now on.
    pub fn record(&mut self) {
        self.shared.core().audit.record();
    }

    /// What the hash is made of, if it was kept.
    pub fn trace(&self) -> Vec<String> {
        self.shared.core().audit.trace().to_vec()
    }

    /// Panics of tasks since the last time, in words. A task that panics is a bug, wherever it is.
    pub fn take_panics(&mut self) -> Vec<String> {
        std::mem::take(&mut self.shared.core().panics)
    }

    /// How many events are yet to come: what the world would do if left alone.
    #[cfg(test)]
    fn pending_events(&self) -> usize {
        self.shared.core().events.len()
    }

    fn run(&mut self, until: Moment) {
        let shared = self.shared.clone();
        within(&shared, || {
            loop {
                while let Some(runnable) = shared.pick() {
                    let meta = *runnable.metadata();
                    let finished = catch_unwind(AssertUnwindSafe(|| runnable.run()));
                    if let Err(panic) = finished {
                        let mut core = shared.core();
                        let words = format!("{} on {}: {}", meta.name, core.host(meta.host).name, words(&*panic));
                        core.panics.push(words);
                    }
                    shared.core().reap(meta);
                }
                // Not in the condition: what is woken takes the core.
                let next = shared.core().next_event(until);
                if let Some((key, _)) = &next {
                    runtime::note_time(key.0);
                }
                match next {
                    Some((_, Event::Wake(waker))) => waker.wake(),
                    Some((_, Event::Arrive(pipe))) => Pipe::arrive(&mut shared.core(), pipe),
                    Some((_, Event::GiveUp(pipe))) => Pipe::give_up(&mut shared.core(), pipe),
                    None => break,
                }
            }
            shared.core().pass_until(until);
            runtime::note_time(until);
        });
    }
}

/// What a panic said.
pub(crate) fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string())).unwrap_or_else(|| "a panic".to_string())
}

impl Stage for World {
    type Runtime = WorldRuntime;

    fn can(&self, ability: Ability) -> bool {
        match ability {
            Ability::OneWayCuts
            | Ability::Pauses
            | Ability::PowerCuts
            | Ability::Paths
            | Ability::Clocks
            | Ability::Resets => true,
        }
    }

    fn now(&self) -> Moment {
        self.shared.core().now()
    }

    fn add(&mut self, name: &str, address: IpAddr) {
        self.shared.core().add(name, address);
    }

    fn boot(&mut self, name: &str, software: Software) {
        let shared = self.shared.clone();
        let host = shared.core().named(name);
        {
            let mut core = shared.core();
            assert!(!core.host(host).up, "{name} is down");
            let entry = core.host_mut(host);
            (entry.up, entry.dark, entry.paused) = (true, false, false);
            Pipe::mend(&mut core);
        }
        within(&shared, || shared.spawn(host, "software", software));
    }

    fn stop(&mut self, name: &str, how: Stop) {
        let shared = self.shared.clone();
        let host = shared.core().named(name);
        let tasks = {
            let mut core = shared.core();
            if !core.host(host).up {
                return;
            }
            core.silence(host);
            Pipe::desert(&mut core, host, how == Stop::Kill);
            let entry = core.host_mut(host);
            (entry.up, entry.paused, entry.dark) = (false, false, how == Stop::PowerCut);
            std::mem::take(&mut entry.tasks)
        };
        within(&shared, || {
            shared.core().set_current(host);
            // Dropping a task makes it ready once more, so that its future is dropped by running it.
            drop(tasks);
            loop {
                let ready = shared.take_ready_of(host);
                if ready.is_empty() {
                    break;
                }
                for runnable in ready {
                    runnable.run();
                }
                // What destructors spawned goes the same way.
                drop(std::mem::take(&mut shared.core().host_mut(host).tasks));
            }
        });
    }

    fn path(&mut self, from: &str, to: &str, path: Path) {
        let mut core = self.shared.core();
        let (from, to) = (core.named(from), core.named(to));
        core.set_path(from, to, path);
        Pipe::mend(&mut core);
    }

    fn pause(&mut self, name: &str, paused: bool) {
        let mut core = self.shared.core();
        let host = core.named(name);
        core.host_mut(host).paused = paused && core.host(host).up;
    }

    fn clock(&mut self, name: &str, ahead_ms: i64, drift_ppm: i32) {
        let mut core = self.shared.core();
        let host = core.named(name);
        core.set_clock(host, ahead_ms, drift_ppm);
    }

    fn slow_disk(&mut self, name: &str, most: Duration) {
        let mut core = self.shared.core();
        let host = core.named(name);
        core.host_mut(host).blocking_max = most + BLOCKING_MAX;
    }

    fn reset(&mut self, one: &str, other: &str) {
        let shared = self.shared.clone();
        let mut core = shared.core();
        let (one, other) = (core.named(one), core.named(other));
        Pipe::reset_between(&mut core, one, other);
    }

    fn run_until(&mut self, at: Moment) -> impl Future<Output = ()> {
        self.run(at);
        std::future::ready(())
    }
}

impl Drop for World {
    /// Takes the hosts down from inside, so that destructors find the world that they belong to.
    fn drop(&mut self) {
        let names: Vec<String> = self.shared.core().hosts.iter().map(|host| host.name.clone()).collect();
        names.iter().for_each(|name| self.stop(name, Stop::PowerCut));
    }
}
