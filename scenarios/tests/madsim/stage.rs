//! madsim as a stage: its nodes, its links, its clock. Start at [`in_a_world`].
//!
//! A kill is polite here: tasks are dropped with their sockets alive, so that peers see the end of a stream. madsim's TCP
//! has no window, keeps order, loses nothing, and through a cut link it tries again after a pause that doubles.

#![allow(clippy::disallowed_methods, reason = "madsim intercepts what is banned elsewhere")]

use madsim::net::{NetSim, TcpListener, TcpStream};
use madsim::runtime::{Handle, NodeHandle};
use madsim::time::TimeHandle;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use selvedge_net::runtime::{Accepted, Listener, Moment, Runtime};
use selvedge_sim::stage::{Ability, Path, Software, Stage, Stop};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

/// Civil time when a world begins: 2026-01-01T00:00:00Z.
const EPOCH: Duration = Duration::from_secs(1_767_225_600);

thread_local! {
    /// What the software of the world on this thread draws from.
    static RANDOM: RefCell<ChaCha8Rng> = RefCell::new(ChaCha8Rng::seed_from_u64(0));
}

/// Runs `play` within a fresh world, on a fresh thread, since madsim seeds what it intercepts once per thread.
pub fn in_a_world<T, F>(seed: u64, play: impl FnOnce(MadsimStage) -> F + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    let world = move || {
        RANDOM.with(|random| *random.borrow_mut() = ChaCha8Rng::seed_from_u64(seed));
        let runtime = madsim::runtime::Runtime::with_seed_and_config(seed, madsim::Config::default());
        runtime.block_on(async move { play(MadsimStage { nodes: BTreeMap::new() }).await })
    };
    std::thread::spawn(world).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A world of madsim, seen from within.
pub struct MadsimStage {
    nodes: BTreeMap<String, Node>,
}

struct Node {
    handle: NodeHandle,
    up: bool,
}

impl MadsimStage {
    /// What any such stage can do.
    pub fn offers(ability: Ability) -> bool {
        match ability {
            Ability::OneWayCuts | Ability::Pauses => true,
            Ability::PowerCuts | Ability::Paths | Ability::Clocks | Ability::Resets => false,
        }
    }

    fn node(&self, name: &str) -> &Node {
        self.nodes.get(name).unwrap_or_else(|| panic!("there is no host {name}"))
    }
}

impl Stage for MadsimStage {
    type Runtime = MadsimRuntime;

    fn can(&self, ability: Ability) -> bool {
        MadsimStage::offers(ability)
    }

    fn now(&self) -> Moment {
        MadsimRuntime::now()
    }

    fn add(&mut self, name: &str, address: IpAddr) {
        let handle = Handle::current().create_node().name(name).ip(address).build();
        let earlier = self.nodes.insert(name.to_string(), Node { handle, up: false });
        assert!(earlier.is_none(), "there is a host {name} already");
    }

    fn boot(&mut self, name: &str, software: Software) {
        let node = self.nodes.get_mut(name).unwrap_or_else(|| panic!("there is no host {name}"));
        assert!(!node.up, "{name} is down");
        node.up = true;
        let world = Handle::current();
        // A killed node runs nothing until it is restarted, and a handle is of one life of it.
        world.restart(node.handle.id());
        node.handle = world.get_node(node.handle.id()).expect("nodes stay");
        node.handle.spawn(software);
    }

    fn stop(&mut self, name: &str, _: Stop) {
        let node = self.nodes.get_mut(name).unwrap_or_else(|| panic!("there is no host {name}"));
        if std::mem::take(&mut node.up) {
            Handle::current().kill(node.handle.id());
        }
    }

    fn path(&mut self, from: &str, to: &str, path: Path) {
        let (from, to) = (self.node(from).handle.id(), self.node(to).handle.id());
        match path.cut {
            true => NetSim::current().clog_link(from, to),
            false => NetSim::current().unclog_link(from, to),
        }
    }

    fn pause(&mut self, name: &str, paused: bool) {
        let id = self.node(name).handle.id();
        match paused {
            true => Handle::current().pause(id),
            false => Handle::current().resume(id),
        }
    }

    fn clock(&mut self, _: &str, _: i64, _: i32) {}

    fn slow_disk(&mut self, _: &str, _: Duration) {}

    fn reset(&mut self, _: &str, _: &str) {}

    fn run_until(&mut self, at: Moment) -> impl Future<Output = ()> {
        MadsimRuntime::sleep_until(at)
    }
}

/// Time, tasks and sockets of the node that asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct MadsimRuntime;

impl Runtime for MadsimRuntime {
    type Stream = TcpStream;
    type Listener = BoundListener;

    fn now() -> Moment {
        // Destructors ask too, when the world ends: it does not matter then.
        TimeHandle::try_current().map(|time| time.elapsed()).unwrap_or_default()
    }

    fn wall() -> SystemTime {
        SystemTime::UNIX_EPOCH + EPOCH + Self::now()
    }

    fn sleep_until(at: Moment) -> impl Future<Output = ()> + Send {
        madsim::time::sleep(at.saturating_sub(Self::now()))
    }

    fn spawn(_: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        madsim::task::spawn(task);
    }

    async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        madsim::time::sleep(Duration::from_millis(1)).await;
        work()
    }

    fn random(out: &mut [u8]) {
        RANDOM.with(|random| random.borrow_mut().fill_bytes(out));
    }

    async fn listen(at: SocketAddr) -> io::Result<BoundListener> {
        Ok(BoundListener { listener: TcpListener::bind(at).await?, at })
    }

    async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(to).await
    }
}

/// A listener, and the address it was asked for.
pub struct BoundListener {
    listener: TcpListener,
    at: SocketAddr,
}

impl Listener for BoundListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<Accepted<TcpStream>> {
        let (stream, peer) = self.listener.accept().await?;
        Ok(Accepted { stream, peer, local: self.at })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.at)
    }
}
