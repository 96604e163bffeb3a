//! The state of a world: hosts, clocks, events, listeners; and the tasks that are ready. Start at [`Core`].

use super::audit::Audit;
use super::wire::{Pipe, PipeId, Side};
use crate::stage::Path;
use async_task::{Builder, Runnable, Task};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// A host, by the order in which it was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HostId(pub u16);

/// Names an event: its time, a random number that breaks ties, and one that makes it unique.
pub(super) type EventKey = (Duration, u32, u64);

/// Something that happens at a time.
#[derive(Debug)]
pub(super) enum Event {
    /// A task's timer.
    Wake(Waker),
    /// The next segment of one direction of a connection arrives.
    Arrive(PipeId),
    /// The segments of one direction have waited for long: is that too long?
    GiveUp(PipeId),
}

/// Longest time that work which blocks takes, if nothing is slow.
pub(super) const BLOCKING_MAX: Duration = Duration::from_micros(500);

/// What the executor knows of a task that is ready.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meta {
    pub host: HostId,
    pub task: u64,
    pub name: &'static str,
}

/// A host.
#[derive(Debug)]
pub(super) struct Host {
    pub name: String,
    pub address: IpAddr,
    pub up: bool,
    /// Its power is off: nothing answers for it.
    pub dark: bool,
    pub paused: bool,
    pub ahead_ms: i64,
    drift_ppm: i32,
    /// World time and its own time when its clock was last changed.
    clock: (Duration, Duration),
    /// Longest time that blocking work takes.
    pub blocking_max: Duration,
    rng: ChaCha8Rng,
    next_port: u16,
    pub tasks: BTreeMap<u64, Task<(), Meta>>,
}

/// A listener, and who waits in it to be accepted.
#[derive(Debug, Default)]
struct Backlog {
    waiting: VecDeque<(Side, SocketAddr)>,
    waker: Option<Waker>,
}

/// A connection that is being made.
pub(super) struct Connecting {
    pub from: HostId,
    /// Nothing has that address: nobody answers.
    pub to: Option<HostId>,
    local: SocketAddr,
}

/// Everything but the tasks that are ready, which wakers must reach while this is in use.
#[derive(Debug)]
pub(super) struct Core {
    now: Duration,
    sequence: u64,
    pub events: BTreeMap<EventKey, Event>,
    pub hosts: Vec<Host>,
    pub pipes: BTreeMap<PipeId, Pipe>,
    pub audit: Audit,
    paths: BTreeMap<(HostId, HostId), Path>,
    listeners: BTreeMap<SocketAddr, Backlog>,
    seed: u64,
    scheduler: ChaCha8Rng,
    pub network: ChaCha8Rng,
    current: HostId,
    /// Panics of tasks: host, task, words.
    pub panics: Vec<String>,
}

/// A world, as its tasks and its owner share it.
pub(super) struct Shared {
    core: Mutex<Core>,
    ready: Arc<Mutex<Vec<Runnable<Meta>>>>,
}

impl Shared {
    pub fn new(seed: u64) -> Shared {
        let stream = |stream| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(stream);
            rng
        };
        let core = Core {
            now: Duration::ZERO,
            sequence: 0,
            events: BTreeMap::new(),
            hosts: Vec::new(),
            pipes: BTreeMap::new(),
            audit: Audit::default(),
            paths: BTreeMap::new(),
            listeners: BTreeMap::new(),
            seed,
            scheduler: stream(0),
            network: stream(1),
            current: HostId(0),
            panics: Vec::new(),
        };
        Shared { core: Mutex::new(core), ready: Arc::default() }
    }

    pub fn core(&self) -> MutexGuard<'_, Core> {
        // A panic with the core in hand is a mistake of the simulator; the world must still be taken down after it.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a task to a host.
    pub fn spawn(&self, host: HostId, name: &'static str, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let mut core = self.core();
        core.sequence += 1;
        let meta = Meta { host, task: core.sequence, name };
        let ready = self.ready.clone();
        let schedule = move |runnable| ready.lock().expect("nobody panics with it in hand").push(runnable);
        let (runnable, task) = Builder::new().metadata(meta).spawn(|_| future, schedule);
        core.hosts[usize::from(host.0)].tasks.insert(meta.task, task);
        drop(core);
        runnable.schedule();
    }

    /// A task that is ready, at random among those of hosts that are not paused.
    pub fn pick(&self) -> Option<Runnable<Meta>> {
        let mut ready = self.ready.lock().expect("nobody panics with it in hand");
        let mut core = self.core();
        let runs = |runnable: &Runnable<Meta>, core: &Core| !core.host(runnable.metadata().host).paused;
        let index = match core.hosts.iter().any(|host| host.paused) {
            false if ready.is_empty() => return None,
            false => core.below(ready.len()),
            true => {
                let able: Vec<usize> = (0..ready.len()).filter(|index| runs(&ready[*index], &core)).collect();
                if able.is_empty() {
                    return None;
                }
                able[core.below(able.len())]
            }
        };
        let runnable = ready.swap_remove(index);
        let meta = *runnable.metadata();
        core.current = meta.host;
        core.audit.note("poll", [meta.task, u64::from(meta.host.0), 0]);
        Some(runnable)
    }

    /// The ready tasks of one host, taken out.
    pub fn take_ready_of(&self, host: HostId) -> Vec<Runnable<Meta>> {
        let mut ready = self.ready.lock().expect("nobody panics with it in hand");
        let (of_host, others) = std::mem::take(&mut *ready).into_iter().partition(|r| r.metadata().host == host);
        *ready = others;
        of_host
    }
}

impl Core {
    pub fn now(&self) -> Duration {
        self.now
    }

    pub fn current(&self) -> HostId {
        self.current
    }

    pub fn set_current(&mut self, host: HostId) {
        self.current = host;
    }

    pub fn host(&self, host: HostId) -> &Host {
        &self.hosts[usize::from(host.0)]
    }

    pub fn host_mut(&mut self, host: HostId) -> &mut Host {
        &mut self.hosts[usize::from(host.0)]
    }

    pub fn here(&self) -> &Host {
        self.host(self.current)
    }

    /// The host of that name.
    ///
    /// # Panics
    /// If there is none: the harness's own mistake.
    pub fn named(&self, name: &str) -> HostId {
        let position = self.hosts.iter().position(|host| host.name == name);
        HostId(position.unwrap_or_else(|| panic!("there is a host {name}")) as u16)
    }

    pub fn add(&mut self, name: &str, address: IpAddr) {
        let unique = self.hosts.iter().all(|host| host.name != name && host.address != address);
        assert!(unique, "names and addresses of hosts are unique");
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(2 + self.hosts.len() as u64);
        self.hosts.push(Host {
            name: name.to_string(),
            address,
            up: false,
            dark: false,
            paused: false,
            ahead_ms: 0,
            drift_ppm: 0,
            clock: (self.now, self.now),
            blocking_max: BLOCKING_MAX,
            rng,
            next_port: 32_768,
            tasks: BTreeMap::new(),
        });
    }

    /// A random number below `n`, which is not zero.
    fn below(&mut self, n: usize) -> usize {
        if n == 1 { 0 } else { self.scheduler.random_range(0..n) }
    }

    pub fn random(&mut self, out: &mut [u8]) {
        let current = self.current;
        self.host_mut(current).rng.fill_bytes(out);
        self.audit.bytes("random", u64::from(current.0), out);
    }

    pub fn blocking_delay(&mut self) -> Duration {
        let most = self.here().blocking_max.as_micros() as u64;
        let current = self.current;
        Duration::from_micros(self.host_mut(current).rng.random_range(0..=most))
    }

    /// The time of the current host's monotonic clock.
    pub fn local_now(&self) -> Duration {
        let host = self.here();
        host.clock.1 + self.scale(self.now - host.clock.0, host.drift_ppm)
    }

    /// How long the current host's clock takes for so much time of the world.
    pub fn to_local(&self, span: Duration) -> Duration {
        self.scale(span, self.here().drift_ppm)
    }

    fn scale(&self, span: Duration, ppm: i32) -> Duration {
        let nanos = span.as_nanos() as i128;
        Duration::from_nanos_u128((nanos + nanos * i128::from(ppm) / 1_000_000).max(0) as u128)
    }

    pub fn set_clock(&mut self, host: HostId, ahead_ms: i64, drift_ppm: i32) {
        self.current = host;
        let (now, local) = (self.now, self.local_now());
        let host = self.host_mut(host);
        (host.ahead_ms, host.drift_ppm, host.clock) = (ahead_ms, drift_ppm, (now, local));
    }

    /// Adds an event; at the same moment events happen in random order.
    pub fn at(&mut self, when: Duration, event: Event) -> EventKey {
        self.sequence += 1;
        let key = (when.max(self.now), self.network.next_u32(), self.sequence);
        self.events.insert(key, event);
        key
    }

    pub fn forget(&mut self, event: EventKey) {
        self.events.remove(&event);
    }

    /// Wakes a task at a time of the current host's clock.
    pub fn wake_at(&mut self, local: Duration, waker: Waker) -> EventKey {
        let drift = i128::from(self.here().drift_ppm);
        let ahead = (local - self.local_now()).as_nanos() as i128;
        // Rounded up: a task that wakes early would only go to sleep again.
        let span = ahead * 1_000_000 / (1_000_000 + drift) + 1;
        self.at(self.now + Duration::from_nanos_u128(span.max(0) as u128), Event::Wake(waker))
    }

    /// The next event up to a time, after letting time pass until it.
    pub fn next_event(&mut self, until: Duration) -> Option<(EventKey, Event)> {
        let (key, _) = self.events.first_key_value()?;
        if key.0 > until {
            return None;
        }
        let (key, event) = self.events.pop_first()?;
        self.now = key.0;
        self.audit.note("event", [key.0.as_nanos() as u64, key.2, 0]);
        Some((key, event))
    }

    pub fn pass_until(&mut self, at: Duration) {
        self.now = self.now.max(at);
    }

    pub fn path(&self, from: HostId, to: HostId) -> Path {
        self.paths.get(&(from, to)).cloned().unwrap_or_default()
    }

    pub fn set_path(&mut self, from: HostId, to: HostId, path: Path) {
        self.paths.insert((from, to), path);
    }

    /// How long a small segment takes; none if it is lost.
    pub fn segment_time(&mut self, from: impl Into<Option<HostId>>, to: impl Into<Option<HostId>>) -> Option<Duration> {
        let (from, to) = (from.into()?, to.into()?);
        let path = self.path(from, to);
        let lost = path.cut || self.network.random_bool(path.loss.clamp(0.0, 1.0));
        let reachable = !self.host(to).dark && !self.host(from).dark;
        let jitter = self.network.random_range(0.0..=1.0);
        (reachable && !lost).then(|| path.latency + path.jitter.mul_f64(jitter))
    }

    pub fn listen(&mut self, at: SocketAddr) -> io::Result<(HostId, SocketAddr)> {
        let host = self.here();
        let own = at.ip().is_unspecified() || at.ip() == host.address;
        let port = if at.port() == 0 { self.free_port() } else { at.port() };
        let at = SocketAddr::new(self.here().address, port);
        match (own, self.listeners.contains_key(&at)) {
            (false, _) => Err(io::ErrorKind::AddrNotAvailable.into()),
            (true, true) => Err(io::ErrorKind::AddrInUse.into()),
            (true, false) => {
                self.listeners.insert(at, Backlog::default());
                Ok((self.current, at))
            }
        }
    }

    fn free_port(&mut self) -> u16 {
        let current = self.current;
        let host = self.host_mut(current);
        host.next_port = host.next_port.checked_add(1).unwrap_or(32_768);
        host.next_port
    }

    pub fn stop_listening(&mut self, (_, at): (HostId, SocketAddr)) {
        let waiting = self.listeners.remove(&at).map(|backlog| backlog.waiting).unwrap_or_default();
        waiting.into_iter().for_each(|(side, _)| Pipe::close(self, side));
    }

    pub fn accept(
        &mut self,
        at: SocketAddr,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(Side, SocketAddr, SocketAddr)>> {
        let Some(backlog) = self.listeners.get_mut(&at) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        match backlog.waiting.pop_front() {
            Some((side, peer)) => Poll::Ready(Ok((side, peer, at))),
            None => {
                backlog.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    pub fn begin_connecting(&mut self, to: SocketAddr) -> Connecting {
        let host = self.hosts.iter().position(|host| host.address == to.ip()).map(|index| HostId(index as u16));
        let port = self.free_port();
        Connecting { from: self.current, to: host, local: SocketAddr::new(self.here().address, port) }
    }

    /// The first segment arrived: a connection, if somebody listens.
    pub fn connected(&mut self, connecting: &Connecting, to: SocketAddr) -> Option<Side> {
        let listens = self.listeners.contains_key(&to);
        let host = connecting.to.filter(|host| listens && self.host(*host).up)?;
        self.sequence += 1;
        let (ours, theirs) = Pipe::pair(self, self.sequence, connecting.from, host);
        let backlog = self.listeners.get_mut(&to).expect("it listens");
        backlog.waiting.push_back((theirs, connecting.local));
        if let Some(waker) = backlog.waker.take() {
            waker.wake();
        }
        Some(ours)
    }

    /// Forgets a task that is done.
    pub fn reap(&mut self, meta: Meta) {
        let tasks = &mut self.host_mut(meta.host).tasks;
        if tasks.get(&meta.task).is_some_and(|task| task.is_finished()) {
            tasks.remove(&meta.task);
        }
    }

    /// The listeners of a host are gone.
    pub fn silence(&mut self, host: HostId) {
        let address = self.host(host).address;
        self.listeners.retain(|at, _| at.ip() != address);
    }
}
