//! What agreement costs: committed writes with 1, 3 and 5 members, one after the other and a thousand at once, in relation
//! to what a sync of this disk costs. `cargo bench -p selvedge-net --bench cluster`, with `-- --json` for programs.
//!
//! All members are in this process, on loopback sockets, each with a file of its own below the target directory, so that
//! one disk and the cores of one machine serve all of them.

#![allow(clippy::disallowed_methods, reason = "it measures the real clock and the real disk")]
#![allow(missing_docs, reason = "it is a program")]

use selvedge_core::ids::MemberId;
use selvedge_core::nib::{ClusterCommand, Command, Common, Invitation, Object, Southbound, TransportZone};
use selvedge_net::cluster::wire::{Application, Secret};
use selvedge_net::cluster::{Member, MemberConfig, Own, join};
use selvedge_net::controller::{self, Handle, Started};
use selvedge_net::runtime::{Disk, DiskFile, HostDisk, Runtime, Tokio};
use selvedge_net::store::{Identity, Store};
use serde_json::{Value, json};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use uuid::Uuid;

const CLUSTER: Uuid = Uuid::from_u128(1);
/// Writes one after the other.
const IN_ROW: usize = 500;
/// Writes at once.
const BURST: usize = 1_000;

/// A directory whose syncs are counted.
struct Counting(HostDisk, Arc<AtomicU64>);

#[derive(Debug)]
struct CountingFile<F>(F, Arc<AtomicU64>);

impl Disk for Counting {
    type File = CountingFile<<HostDisk as Disk>::File>;

    fn open(&self, name: &str) -> io::Result<Self::File> {
        Ok(CountingFile(self.0.open(name)?, self.1.clone()))
    }

    fn sync_names(&self) -> io::Result<()> {
        self.0.sync_names()
    }
}

impl<F: DiskFile> DiskFile for CountingFile<F> {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, out)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, data)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.sync()
    }
}

fn write() -> Command {
    let object = Object::TransportZone(TransportZone { common: Common::default() });
    Command::Create { uuid: Tokio::uuid(), object }
}

/// What one write and sync of a page costs: the median of many.
fn sync_cost(directory: &Path) -> io::Result<Duration> {
    let file = HostDisk(directory.to_path_buf()).open("sync")?;
    let mut costs = Vec::new();
    for n in 0..200 {
        let began = Instant::now();
        file.write_at(n % 16 * 4096, &[n as u8; 4096])?;
        file.sync()?;
        costs.push(began.elapsed());
    }
    costs.sort_unstable();
    Ok(costs[costs.len() / 2])
}

/// A member that listens at an address of its own.
async fn member(
    (number, of): (u64, u64),
    directory: &Path,
    syncs: &Arc<AtomicU64>,
    listener: <Tokio as Runtime>::Listener,
) -> Result<(Handle, Member<Tokio>), Box<dyn std::error::Error>> {
    let own = directory.join(format!("{of}-{number}"));
    std::fs::create_dir_all(&own)?;
    let store = Store::open(&Counting(HostDisk(own), syncs.clone()))?;
    let identity = Identity { cluster: CLUSTER, member: MemberId(number), uuid: Uuid::from_u128(number.into()) };
    let address = if of == 1 { None } else { Some(listener.local_addr()?) };
    let config =
        MemberConfig { identity, address, southbound: Southbound::default(), mutual: None, snapshot_every: 1_000_000 };
    let Started { handle, member, core, .. } = controller::start::<Tokio>(store, &config).await?;
    Tokio::spawn("members", member.clone().serve(listener));
    Tokio::spawn("core", async move { core.await.expect("the disk works") });
    Ok((handle, member))
}

/// A cluster in this process: the way in at each member, the leader's first, and the syncs of all.
async fn cluster(members: u64, directory: &Path) -> Result<(Vec<Handle>, Arc<AtomicU64>), Box<dyn std::error::Error>> {
    let syncs = Arc::new(AtomicU64::new(0));
    let (mut handles, mut parts, mut known) = (Vec::<Handle>::new(), Vec::<Member<Tokio>>::new(), Vec::new());
    for number in 1..=members {
        let listener = <Tokio as Runtime>::listen(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let address = listener.local_addr()?;
        if let Some(first) = handles.first() {
            let uuid = Uuid::from_u128(number.into());
            let secret = Secret(String::new());
            let invitation = Invitation { secret: secret.digest(), until: u64::MAX, replaces: None };
            first.until(|state| (!state.nib.cluster().members().is_empty()).then_some(())).await;
            first.submit(Command::Cluster(ClusterCommand::Invite { uuid, invitation, now: 0 })).await?;
            let application = Application { uuid, address, invitation: uuid, secret };
            let deadline = <Tokio as Runtime>::now() + Duration::from_secs(60);
            join::<Tokio>(Own::new(CLUSTER, None, None), known.clone(), application, deadline).await?;
        }
        let (handle, part) = member((number, members), directory, &syncs, listener).await?;
        known.push(address);
        handles.push(handle);
        parts.push(part);
    }
    while parts[0].metrics().committed_membership_config.voter_ids().count() < parts.len() {
        Tokio::sleep(Duration::from_millis(20)).await;
    }
    let leader = loop {
        match parts[0].metrics().current_leader {
            Some(leader) => break leader.0 as usize - 1,
            None => Tokio::sleep(Duration::from_millis(20)).await,
        }
    };
    handles.swap(0, leader);
    // Everybody has caught up, and connections are there.
    for handle in &handles {
        handle.submit(write()).await?;
    }
    Ok((handles, syncs))
}

async fn measure(members: u64, directory: &Path, sync: Duration) -> Result<Value, Box<dyn std::error::Error>> {
    let (handles, syncs) = cluster(members, directory).await?;
    let leader = &handles[0];
    let before = syncs.load(Ordering::Relaxed);
    let mut latencies = Vec::new();
    for _ in 0..IN_ROW {
        let began = Instant::now();
        leader.submit(write()).await?;
        latencies.push(began.elapsed());
    }
    let syncs_in_row = syncs.load(Ordering::Relaxed) - before;
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    let before = syncs.load(Ordering::Relaxed);
    let began = Instant::now();
    let burst: Vec<_> = (0..BURST)
        .map(|n| {
            let handle = handles[n % handles.len()].clone();
            let (done, result) = tokio::sync::oneshot::channel();
            Tokio::spawn("write", async move { _ = done.send(handle.submit(write()).await) });
            result
        })
        .collect();
    for done in burst {
        done.await??;
    }
    let took = began.elapsed();
    let syncs_of_burst = syncs.load(Ordering::Relaxed) - before;
    let micros = |duration: Duration| duration.as_micros() as u64;
    Ok(json!({
        "members": members,
        "in_row": {
            "writes_per_second": (IN_ROW as f64 / latencies.iter().sum::<Duration>().as_secs_f64()) as u64,
            "p50_us": micros(at(0.5)), "p99_us": micros(at(0.99)),
            "p50_in_syncs": at(0.5).as_secs_f64() / sync.as_secs_f64(),
            "syncs_per_write_and_member": syncs_in_row as f64 / IN_ROW as f64 / members as f64,
        },
        "burst": {
            "writes": BURST,
            "writes_per_second": (BURST as f64 / took.as_secs_f64()) as u64,
            "syncs_per_member": syncs_of_burst as f64 / members as f64,
            "times_faster_than_in_row": (BURST as f64 / took.as_secs_f64())
                / (IN_ROW as f64 / latencies.iter().sum::<Duration>().as_secs_f64()),
        },
    }))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let is_json = std::env::args().any(|argument| argument == "--json");
    let directory = tempfile::Builder::new().prefix("cluster-bench").tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let sync = sync_cost(directory.path())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut all = Vec::new();
    for members in [1, 3, 5] {
        all.push(runtime.block_on(measure(members, directory.path(), sync))?);
    }
    if is_json {
        println!("{}", serde_json::to_string_pretty(&json!({"sync_us": sync.as_micros() as u64, "clusters": all}))?);
        return Ok(());
    }
    println!("a write and sync of a page: {sync:?}");
    println!(
        "members | in row: writes/s, p50, p99, p50 in syncs, syncs each | {BURST} at once: writes/s, syncs, times faster"
    );
    for one in all {
        let (row, burst) = (&one["in_row"], &one["burst"]);
        let number = |value: &Value| value.as_f64().unwrap_or_default();
        println!(
            "{:>7} | {:>6.0}/s {:>7.0} us {:>7.0} us {:>6.1} {:>5.2} | {:>7.0}/s {:>6.0} {:>6.1}",
            one["members"].as_u64().unwrap_or_default(),
            number(&row["writes_per_second"]),
            number(&row["p50_us"]),
            number(&row["p99_us"]),
            number(&row["p50_in_syncs"]),
            number(&row["syncs_per_write_and_member"]),
            number(&burst["writes_per_second"]),
            number(&burst["syncs_per_member"]),
            number(&burst["times_faster_than_in_row"]),
        );
    }
    Ok(())
}
