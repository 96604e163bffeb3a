//! `cargo scale --storm`: controllers and all switches of a topology, over sockets between processes of their own.
//!
//! Everything is configured over REST; then all switches connect at once and are told all that they should hold. Ports
//! change one at a time, alone and while another tenant changes its own as fast as it can. At last the controllers are
//! killed and start again, and all switches come back at once: they must be told nothing. Meanwhile a client of the API
//! asks all the time, and says how long it waits. Start at [`measure`].

mod cloud;
mod fleet;
pub mod requests;
pub mod switches;

use super::topology::Topology;
use cloud::{Cloud, Tenant, wait_for, wait_for_all};
use fleet::Fleet;
use selvedge_scenarios::Outcome;
use selvedge_scenarios::controllers::Controllers;
use serde::Serialize;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Longest a storm may take.
const STORM_MAX: Duration = Duration::from_secs(1_200);
/// A client of the API asks so often, while something else goes on.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// Clients of a tenant that changes its ports as fast as it can.
const CHURNERS: usize = 4;

/// Times of something that was done again and again, in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Times {
    count: usize,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

impl Times {
    fn of(mut took: Vec<Duration>) -> Times {
        took.sort_unstable();
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let at = |share: f64| took.get((took.len().saturating_sub(1) as f64 * share) as usize).copied().map_or(0.0, ms);
        Times { count: took.len(), p50_ms: at(0.5), p99_ms: at(0.99), max_ms: at(1.0) }
    }
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    topology: String,
    controllers: usize,
    nodes: usize,
    switches: usize,
    ports: usize,
    /// All of it configured over REST, without switches.
    configured_s: f64,
    /// From the start of the switches until all hold everything.
    cold_s: f64,
    /// A read and a write of the API, meanwhile.
    cold_api: Times,
    /// Flows that all switches hold then.
    flows: u64,
    /// From the answer that a port was changed until all switches that it concerns hold that.
    change: Times,
    /// The same, while another tenant changes its ports as fast as it can.
    change_beside_another: Times,
    /// How many changes a second that other tenant made.
    changes_of_another_s: f64,
    /// From the start of all controllers until their APIs answer.
    restart_s: f64,
    /// From then until all switches are known to hold everything.
    reconnected_s: f64,
    reconnect_api: Times,
    /// Flow and group modifications that the restart brought.
    sent_by_restart: u64,
    /// Of each controller, at most, in MiB.
    peak_memory_mib: Vec<u64>,
}

/// Measures a topology, whose name on the command line is given.
///
/// # Errors
/// If something is refused, or takes too long.
pub fn measure(topology: &Topology, arguments: &[String], count: usize, changes: usize, json: bool) -> Outcome<()> {
    eprintln!("{}: {count} controllers start", topology.name);
    let mut controllers = Controllers::start(count)?;
    eprintln!("configuring everything over REST");
    let began = Instant::now();
    let cloud = Cloud::fill(&controllers, topology)?;
    let configured_s = began.elapsed().as_secs_f64();
    eprintln!("{} switches connect at once", topology.nodes.len());
    let mut fleet = Fleet::start(arguments, &controllers.manager())?;
    let (cold, cold_api) = beside(&controllers, &cloud, topology, || wait_for_all(&controllers.api()?, STORM_MAX))?;
    let flows = fleet.counts()?.flows;
    eprintln!("changing one port at a time");
    let change = changing(&controllers, &cloud, topology, changes)?;
    eprintln!("changing one port at a time, beside a tenant that changes its own as fast as it can");
    let (change_beside_another, changes_of_another_s) = changing_beside(&controllers, &cloud, topology, changes)?;
    wait_for_all(&controllers.api()?, STORM_MAX)?;
    let mut peak_memory_mib = peaks(&controllers);
    let before = fleet.counts()?;
    eprintln!("all controllers are killed, and start again");
    let began = Instant::now();
    controllers.restart_all()?;
    let restart_s = began.elapsed().as_secs_f64();
    let (reconnected, reconnect_api) =
        beside(&controllers, &cloud, topology, || wait_for_all(&controllers.api()?, STORM_MAX))?;
    let after = fleet.counts()?;
    for (peak, again) in peak_memory_mib.iter_mut().zip(peaks(&controllers)) {
        *peak = again.max(*peak);
    }
    let report = Report {
        topology: topology.name.clone(),
        controllers: count,
        nodes: topology.nodes.len(),
        switches: topology.switches,
        ports: topology.ports.len(),
        configured_s,
        cold_s: cold.as_secs_f64(),
        cold_api,
        flows,
        change,
        change_beside_another,
        changes_of_another_s,
        restart_s,
        reconnected_s: reconnected.as_secs_f64(),
        reconnect_api,
        sent_by_restart: after.flow_mods + after.group_mods - before.flow_mods - before.group_mods,
        peak_memory_mib,
    };
    match json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => report.print(),
    }
    Ok(())
}

/// Does something, while a client of the API reads and writes; how long that client waited.
fn beside<T: Send>(
    controllers: &Controllers,
    cloud: &Cloud,
    topology: &Topology,
    work: impl FnOnce() -> Outcome<T>,
) -> Outcome<(T, Times)> {
    let done = AtomicBool::new(false);
    let client = || -> Result<Times, String> {
        let mut took = Vec::new();
        let ask = |api: &_, turn: usize| -> Outcome<()> {
            let place = turn % topology.ports.len();
            match turn.is_multiple_of(2) {
                true => cloud.read(api, &topology.ports[place], place),
                // What is there already: it is written, and changes nothing for any switch.
                false => cloud.change(api, &topology.ports[place], place, false).map(drop),
            }
        };
        let api = controllers.api().map_err(|error| error.to_string())?;
        for turn in 0.. {
            if done.load(Ordering::Relaxed) {
                break;
            }
            let began = Instant::now();
            ask(&api, turn).map_err(|error| error.to_string())?;
            took.push(began.elapsed());
            std::thread::sleep(ASK_EVERY);
        }
        Ok(Times::of(took))
    };
    std::thread::scope(|scope| {
        let client = scope.spawn(client);
        let outcome = work();
        done.store(true, Ordering::Relaxed);
        let times = client.join().unwrap_or_else(|_| Err("a client panicked".into()))?;
        Ok((outcome?, times))
    })
}

/// Changes ports of the first half of all switches, one at a time, each when the one before is realised.
fn changing(controllers: &Controllers, cloud: &Cloud, topology: &Topology, changes: usize) -> Outcome<Times> {
    let api = controllers.api()?;
    let ours: Vec<usize> = places(topology, Tenant::Ours);
    let mut took = Vec::new();
    for turn in 0..changes.next_multiple_of(2) {
        // Each gets the address first, and loses it then.
        let place = ours[turn / 2 * 7919 % ours.len()];
        let revision = cloud.change(&api, &topology.ports[place], place, turn.is_multiple_of(2))?;
        let began = Instant::now();
        wait_for(&api, revision)?;
        took.push(began.elapsed());
    }
    Ok(Times::of(took))
}

fn places(topology: &Topology, tenant: Tenant) -> Vec<usize> {
    let ports = topology.ports.iter().enumerate();
    ports.filter(|(_, port)| Tenant::of(topology, port.switch) == tenant).map(|(place, _)| place).collect()
}

/// The same, while another tenant changes ports as fast as they can and may; how many a second.
fn changing_beside(
    controllers: &Controllers,
    cloud: &Cloud,
    topology: &Topology,
    changes: usize,
) -> Outcome<(Times, f64)> {
    Tenant::enter(controllers)?;
    let theirs = places(topology, Tenant::Another);
    if theirs.is_empty() {
        return Err("there is one switch only, so there is no other tenant".into());
    }
    let done = AtomicBool::new(false);
    let churn = |client: usize| -> Result<usize, String> {
        let api = Tenant::Another.api(controllers).map_err(|error| error.to_string())?;
        let mut turn = 0;
        // An even number of turns: what was allowed is barred again.
        while !done.load(Ordering::Relaxed) || turn % 2 == 1 {
            let place = theirs[(turn / 2 * CHURNERS + client) % theirs.len()];
            let more = turn.is_multiple_of(2);
            cloud.change(&api, &topology.ports[place], place, more).map_err(|error| error.to_string())?;
            turn += 1;
        }
        Ok(turn)
    };
    std::thread::scope(|scope| {
        let churn = &churn;
        let churners: Vec<_> = (0..CHURNERS).map(|client| scope.spawn(move || churn(client))).collect();
        let began = Instant::now();
        let times = changing(controllers, cloud, topology, changes);
        let took = began.elapsed();
        done.store(true, Ordering::Relaxed);
        let made = churners.into_iter().map(|one| one.join().unwrap_or_else(|_| Err("a client panicked".into())));
        let made: usize = made.sum::<Result<usize, String>>()?;
        Ok((times?, made as f64 / took.as_secs_f64()))
    })
}

/// Peak of the memory that was resident, in MiB (proc(5), `VmHWM`).
fn peaks(controllers: &Controllers) -> Vec<u64> {
    let peak = |process: u32| {
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib / 1024)
    };
    let processes = (1..=controllers.count()).filter_map(|number| controllers.process(number));
    processes.filter_map(peak).collect()
}

impl Report {
    fn print(&self) {
        let Report { topology, controllers, nodes, switches, ports, .. } = self;
        println!("{topology}: {nodes} transport nodes, {switches} logical switches, {ports} logical ports");
        println!("{controllers} controllers; a process each, one for all switches; sockets without TLS");
        println!();
        let seconds = |what: &str, value: f64| println!("{what:<52} {value:>10.2} s");
        seconds("configured over REST, no switches", self.configured_s);
        seconds("all switches connected at once, all realised", self.cold_s);
        println!("{:<52} {:>10}", "  flows on all switches", self.flows);
        seconds("controllers killed, started until they answer", self.restart_s);
        seconds("  all switches back, all known to be realised", self.reconnected_s);
        println!("{:<52} {:>10}", "  modifications sent", self.sent_by_restart);
        println!();
        println!("{:<52} {:>7} {:>9} {:>9} {:>9}", "", "times", "p50 ms", "p99 ms", "max ms");
        for (what, times) in [
            ("API, while all switches connect the first time", &self.cold_api),
            ("API, while all switches come back", &self.reconnect_api),
            ("one port changed, until all concerned hold it", &self.change),
            ("  beside a tenant that changes as fast as it can", &self.change_beside_another),
        ] {
            let Times { count, p50_ms, p99_ms, max_ms } = times;
            println!("{what:<52} {count:>7} {p50_ms:>9.1} {p99_ms:>9.1} {max_ms:>9.1}");
        }
        println!("{:<52} {:>7.0} a second", "  that tenant's changes", self.changes_of_another_s);
        println!();
        println!("peak memory of each controller {:?} MiB", self.peak_memory_mib);
    }
}
