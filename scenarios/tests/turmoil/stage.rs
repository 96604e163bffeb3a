//! turmoil as a stage: its hosts, its links, its clock. Start at [`TurmoilStage`].

#![allow(clippy::disallowed_methods, reason = "turmoil's hosts are tokio's runtimes")]

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use selvedge_net::runtime::{Accepted, Listener, Moment, Runtime};
use selvedge_sim::stage::{Ability, Path, Software, Stage, Stop};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, pending};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use turmoil::net::{TcpListener, TcpStream};
use turmoil::{Builder, Sim};

/// Civil time when a world begins: 2026-01-01T00:00:00Z.
const EPOCH: Duration = Duration::from_secs(1_767_225_600);
/// How much time passes at once: turmoil looks at every host and link each time.
const TICK: Duration = Duration::from_millis(2);

thread_local! {
    /// What the software of the world on this thread draws from.
    static RANDOM: RefCell<ChaCha8Rng> = RefCell::new(ChaCha8Rng::seed_from_u64(0));
}

/// What is to run on a host when it comes up next.
type Slot = Arc<Mutex<Option<Software>>>;

/// A world of turmoil.
pub struct TurmoilStage {
    sim: Sim<'static>,
    hosts: BTreeMap<String, Host>,
    /// Directions that are cut.
    cut: BTreeSet<(String, String)>,
    held: BTreeSet<(String, String)>,
}

struct Host {
    address: IpAddr,
    slot: Slot,
    registered: bool,
    up: bool,
}

impl TurmoilStage {
    pub fn new(seed: u64) -> TurmoilStage {
        RANDOM.with(|random| *random.borrow_mut() = ChaCha8Rng::seed_from_u64(seed));
        let mut builder = Builder::new();
        builder
            .rng_seed(seed)
            .epoch(SystemTime::UNIX_EPOCH + EPOCH)
            .tick_duration(TICK)
            .simulation_duration(Duration::from_secs(86_400))
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(Duration::from_millis(4))
            .tcp_capacity(100_000);
        TurmoilStage { sim: builder.build(), hosts: BTreeMap::new(), cut: BTreeSet::new(), held: BTreeSet::new() }
    }

    fn host(&self, name: &str) -> &Host {
        self.hosts.get(name).unwrap_or_else(|| panic!("there is no host {name}"))
    }

    /// Links are held or released in both directions: what is held is late, not lost, since turmoil's TCP never sends again.
    fn settle(&mut self, one: &str, other: &str) {
        let pair = (one.min(other).to_string(), one.max(other).to_string());
        let cut = self.cut.contains(&(one.to_string(), other.to_string()))
            || self.cut.contains(&(other.to_string(), one.to_string()));
        let (a, b) = (self.host(one), self.host(other));
        if !(a.registered && b.registered) {
            return;
        }
        match (cut, self.held.contains(&pair)) {
            (true, false) => {
                self.sim.hold(a.address, b.address);
                self.held.insert(pair);
            }
            (false, true) => {
                self.sim.release(a.address, b.address);
                self.held.remove(&pair);
            }
            (true, true) | (false, false) => {}
        }
    }
}

impl Stage for TurmoilStage {
    type Runtime = TurmoilRuntime;

    fn can(&self, ability: Ability) -> bool {
        match ability {
            Ability::OneWayCuts
            | Ability::Pauses
            | Ability::PowerCuts
            | Ability::Paths
            | Ability::Clocks
            | Ability::Resets => false,
        }
    }

    fn now(&self) -> Moment {
        self.sim.elapsed()
    }

    fn add(&mut self, name: &str, address: IpAddr) {
        let host = Host { address, slot: Slot::default(), registered: false, up: false };
        let earlier = self.hosts.insert(name.to_string(), host);
        assert!(earlier.is_none(), "there is a host {name} already");
    }

    fn boot(&mut self, name: &str, software: Software) {
        let host = self.hosts.get_mut(name).unwrap_or_else(|| panic!("there is no host {name}"));
        assert!(!host.up, "{name} is down");
        host.up = true;
        *host.slot.lock().expect("no holder panics") = Some(software);
        if host.registered {
            return self.sim.bounce(host.address);
        }
        host.registered = true;
        let slot = host.slot.clone();
        self.sim.host(host.address, move || {
            let slot = slot.clone();
            async move {
                let software = slot.lock().expect("no holder panics").take();
                if let Some(software) = software {
                    software.await;
                }
                // What it spawned goes on without it.
                pending::<()>().await;
                Ok(())
            }
        });
    }

    fn stop(&mut self, name: &str, _: Stop) {
        let host = self.hosts.get_mut(name).unwrap_or_else(|| panic!("there is no host {name}"));
        if std::mem::take(&mut host.up) {
            self.sim.crash(host.address);
        }
    }

    fn path(&mut self, from: &str, to: &str, path: Path) {
        let direction = (from.to_string(), to.to_string());
        match path.cut {
            true => _ = self.cut.insert(direction),
            false => _ = self.cut.remove(&direction),
        }
        self.settle(from, to);
    }

    fn pause(&mut self, _: &str, _: bool) {}

    fn clock(&mut self, _: &str, _: i64, _: i32) {}

    fn slow_disk(&mut self, _: &str, _: Duration) {}

    fn reset(&mut self, _: &str, _: &str) {}

    fn run_until(&mut self, at: Moment) -> impl Future<Output = ()> {
        while self.sim.elapsed() < at {
            self.sim.step().expect("hosts' software returns no errors");
        }
        std::future::ready(())
    }
}

/// Time, tasks and sockets of the host that asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct TurmoilRuntime;

impl Runtime for TurmoilRuntime {
    type Stream = TcpStream;
    type Listener = BoundListener;

    fn now() -> Moment {
        // Destructors ask too, when their host is crashed: it does not matter then.
        turmoil::sim_elapsed().unwrap_or_default()
    }

    fn wall() -> SystemTime {
        SystemTime::UNIX_EPOCH + EPOCH + Self::now()
    }

    fn sleep_until(at: Moment) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(at.saturating_sub(Self::now()))
    }

    fn spawn(_: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task);
    }

    async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        tokio::time::sleep(Duration::from_millis(1)).await;
        work()
    }

    fn random(out: &mut [u8]) {
        RANDOM.with(|random| random.borrow_mut().fill_bytes(out));
    }

    async fn listen(at: SocketAddr) -> io::Result<BoundListener> {
        let listener = TcpListener::bind((IpAddr::V4(Ipv4Addr::UNSPECIFIED), at.port())).await?;
        Ok(BoundListener { listener, at })
    }

    async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(to).await
    }
}

/// A listener, and the address it was asked for: turmoil binds to all of a host's addresses only.
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
