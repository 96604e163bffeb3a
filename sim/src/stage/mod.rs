//! What a world must be able to do for a story to be played in it.
//!
//! A story never names the world it runs in: hosts are booted and killed, paths are cut and mended, and time passes,
//! on a [`Stage`]. Ours (`World`) can do all of it; other worlds say what they cannot, and stories that need it are
//! not played there. Start at [`Stage`].

use selvedge_net::runtime::{Moment, Runtime};
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

/// What runs on a host. When it completes the host's software has ended by itself.
pub type Software = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How a host goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Stop {
    /// The process is killed: its kernel resets its connections.
    Kill,
    /// Power is cut: nobody is told anything.
    PowerCut,
}

/// How the path from one host to another is, in one direction.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Path {
    /// Least time a segment takes.
    pub latency: Duration,
    /// Up to this much more, drawn for each segment.
    pub jitter: Duration,
    /// Share of segments that must be sent again, 0 to 1.
    pub loss: f64,
    /// Bytes a second; none: as many as are given.
    pub rate: Option<u64>,
    /// Nothing passes; segments are sent again until it does, or the sender's user timeout ends the connection.
    pub cut: bool,
}

impl Default for Path {
    fn default() -> Path {
        let (latency, jitter) = (Duration::from_micros(200), Duration::from_micros(100));
        Path { latency, jitter, loss: 0.0, rate: None, cut: false }
    }
}

/// What not every stage can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ability {
    /// Cut paths in one direction only.
    OneWayCuts,
    /// Hold a host's tasks without its peers noticing.
    Pauses,
    /// Cut power, so that no connection is reset.
    PowerCuts,
    /// Slow, lossy or narrow paths.
    Paths,
    /// Clocks that are wrong.
    Clocks,
    /// Connections that are reset while both hosts live.
    Resets,
}

/// A world in which hosts run software over [`Stage::Runtime`], and that can be told to misbehave.
pub trait Stage {
    /// What the software runs on.
    type Runtime: Runtime;

    /// Whether it can do this.
    fn can(&self, ability: Ability) -> bool;
    /// How long it has been running.
    fn now(&self) -> Moment;
    /// Adds a host, which is down. Names and addresses are unique.
    fn add(&mut self, name: &str, address: IpAddr);
    /// Starts a host that is down.
    fn boot(&mut self, name: &str, software: Software);
    /// Takes a host down, if it is up. Its tasks are dropped after its sockets are dead.
    fn stop(&mut self, name: &str, how: Stop);
    /// Sets the path from one host to another, in that direction.
    fn path(&mut self, from: &str, to: &str, path: Path);
    /// Holds the tasks of a host, or lets them go on. Needs [`Ability::Pauses`].
    fn pause(&mut self, name: &str, paused: bool);
    /// Sets a host's civil clock ahead by so many milliseconds, and how many parts in a million its clocks run fast.
    /// Needs [`Ability::Clocks`].
    fn clock(&mut self, name: &str, ahead_ms: i64, drift_ppm: i32);
    /// Work that blocks takes up to so much longer on a host; on a stage that cannot do this it does not.
    fn slow_disk(&mut self, name: &str, most: Duration);
    /// Resets the connections between two hosts. Needs [`Ability::Resets`].
    fn reset(&mut self, one: &str, other: &str);
    /// Lets time pass until `at`. Outside of this nothing runs.
    fn run_until(&mut self, at: Moment) -> impl Future<Output = ()>;
}
