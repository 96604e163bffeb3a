//! Three controllers, of which one after the other is killed under load: how long until the rest take writes, how long until
//! every switch has a writer again that has looked at it, and what was lost on the way.
//!
//! `SELVEDGE_KILLS=50` makes figures of it; without, there are a few. Start at [`Load`] and the test below it.

use selvedge_scenarios::{Outcome, PortRequest, RealWorld};
use selvedge_sim::testbed::daemon::Daemon;
use selvedge_sim::testbed::{Api, Method};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);
/// Kills without `SELVEDGE_KILLS`.
const FEW: usize = 4;

/// What became of writes, by the name of what they made.
#[derive(Default)]
struct Ledger {
    acknowledged: BTreeSet<String>,
    /// How often one had to be sent again, since nobody said what became of it.
    again: usize,
}

/// Writes to one controller after the other. What has no clear answer is sent again, to the next, as the same request.
struct Load {
    stop: Arc<AtomicBool>,
    ledger: Arc<Mutex<Ledger>>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    fn start(number: usize, controllers: Vec<(String, PathBuf)>) -> Load {
        let (stop, ledger) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Ledger::default())));
        let (stopped, entries) = (stop.clone(), ledger.clone());
        let thread = std::thread::spawn(move || {
            let mut sessions: Vec<Option<Api>> = controllers.iter().map(|_| None).collect();
            let (mut n, mut turn) = (0, number);
            while !stopped.load(Ordering::Relaxed) {
                turn += 1;
                let at = turn % controllers.len();
                let (address, directory) = &controllers[at];
                if sessions[at].is_none() {
                    sessions[at] = Api::connect(address, directory).ok();
                }
                // One that is down: the next.
                let Some(api) = &sessions[at] else { continue };
                let name = format!("load-{number}-{n}");
                let body = json!({ "display_name": name, "transport_zones": [] });
                let answer = api.post_again("/ws.v1/lswitch", &body, &name);
                let mut ledger = entries.lock().expect("no holder panics");
                match answer.map(|answer| answer.status) {
                    Ok(201) => {
                        ledger.acknowledged.insert(name);
                        n += 1;
                    }
                    Ok(_) => ledger.again += 1,
                    Err(_) => {
                        sessions[at] = None;
                        ledger.again += 1;
                    }
                }
                drop(ledger);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Load { stop, ledger, thread: Some(thread) }
    }

    fn stop(mut self) -> Ledger {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it does not panic");
        }
        std::mem::take(&mut self.ledger.lock().expect("no holder panics"))
    }
}

fn controllers(world: &RealWorld) -> impl Iterator<Item = &Daemon> {
    [&world.daemon].into_iter().chain(&world.more)
}

fn member(world: &mut RealWorld, number: u64) -> &mut Daemon {
    match number {
        1 => &mut world.daemon,
        _ => &mut world.more[number as usize - 2],
    }
}

/// Asks until somebody answers as it should.
fn until<T>(what: &str, ask: impl Fn() -> Option<T>) -> Outcome<T> {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("waited {PATIENCE:?} for {what}, in vain").into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until all controllers are well; says who leads.
fn leader(world: &RealWorld) -> Outcome<u64> {
    until("all controllers to be well", || {
        let cluster = world.daemon.api().get("/ws.v1/control-cluster/member").ok()?;
        let members = cluster["members"].as_array()?;
        let all_well = members.iter().all(|one| one["is_well"] == true && one["role"] != "learner");
        let leader = members.iter().find(|one| one["role"] == "leader")?;
        leader["member"].as_u64().filter(|_| all_well)
    })
}

/// Waits until every switch has an owner and a standby; says who owns the first.
fn owner(world: &RealWorld) -> Outcome<u64> {
    let found = until("every switch to have an owner and a standby", || {
        let statuses: Vec<Value> = world.nodes.iter().filter_map(|node| world.node_status(node).ok()).collect();
        let is_whole = |status: &Value| {
            status["connection"]["connected"] == true && status["owner"].is_u64() && status["standby"].is_u64()
        };
        let all = statuses.len() == world.nodes.len() && statuses.iter().all(is_whole);
        statuses.first()?["owner"].as_u64().filter(|_| all)
    });
    found.map_err(|error| {
        let told = world.nodes.iter().map(|node| format!("{:?}", world.node_status(node)));
        format!("{error}: {}", told.collect::<Vec<_>>().join("; ")).into()
    })
}

/// Changes ports so that each switch must be written to.
fn touch(api: &Api, ports: &[String], up: bool) -> Option<()> {
    for port in ports {
        let answer = api.request(Method::PUT, port, Some(&json!({ "admin_status_enabled": up }))).ok()?;
        (answer.status == 200).then_some(())?;
    }
    Some(())
}

fn figures(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    println!("{what}: p50 {:?}, p90 {:?}, p99 {:?}, longest {:?}", at(0.5), at(0.9), at(0.99), at(1.0));
}

#[test]
fn controllers_are_killed_under_load_and_nothing_is_lost() -> Outcome<()> {
    let Some(mut world) = RealWorld::with_controllers("failover", 2, 3)? else { return Ok(()) };
    let kills = std::env::var("SELVEDGE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(FEW);
    let switch = world.switch("red", &["geneve"])?;
    let request = |name, on, mac, ips| PortRequest { switch: &switch, name, on, mac, ips, secured: true };
    let (port_a, a) = world.guest_on_port(&request("red-a", 1, "02:00:00:00:00:01", &["10.0.0.1/24"]))?;
    let (port_b, _b) = world.guest_on_port(&request("red-b", 2, "02:00:00:00:00:02", &["10.0.0.2/24"]))?;
    // These are changed after each kill.
    let (port_c, _c) = world.guest_on_port(&request("red-c", 1, "02:00:00:00:00:03", &["10.0.0.3/24"]))?;
    let (port_d, _d) = world.guest_on_port(&request("red-d", 2, "02:00:00:00:00:04", &["10.0.0.4/24"]))?;
    world.wait_up([&port_a, &port_b, &port_c, &port_d])?;
    let touched = [port_c, port_d];
    a.first_answer("10.0.0.2".parse()?, PATIENCE)?.ok_or("red-b does not answer")?;

    let places: Vec<(String, PathBuf)> = controllers(&world)
        .map(|daemon| (format!("10.254.0.1:{}", daemon.ports().api), daemon.directory().to_path_buf()))
        .collect();
    let loads: Vec<Load> = (0..2).map(|number| Load::start(number, places.clone())).collect();
    let pinger = a.pinger("10.0.0.2".parse()?)?;
    let (mut accepted, mut written, mut killed) = (Vec::new(), Vec::new(), BTreeMap::<&str, usize>::new());
    for kill in 0..kills {
        let (leader, owner) = (leader(&world)?, owner(&world)?);
        let (what, victim) = if kill % 2 == 0 { ("leader", leader) } else { ("owner", owner) };
        *killed.entry(what).or_default() += 1;
        // A client of one that lives, logged in before.
        let survivor = (1..=3).find(|number| *number != victim).expect("there are three");
        let (address, directory) = &places[survivor as usize - 1];
        let api = Api::connect(address, directory)?;
        member(&mut world, victim).kill()?;
        let began = Instant::now();
        until("a write to be accepted", || touch(&api, &touched, kill % 2 == 1))?;
        accepted.push(began.elapsed());
        until("every switch to be written to", || {
            let answer = api.get("/ws.v1/realisation?timeout_ms=5000").ok()?;
            (answer["realised"] == true).then_some(())
        })?;
        written.push(began.elapsed());
        member(&mut world, victim).restart()?;
    }
    leader(&world)?;
    let report = pinger.stop();
    let ledgers: Vec<Ledger> = loads.into_iter().map(Load::stop).collect();
    println!("{kills} kills of 3 controllers, 2 switches: {killed:?}");
    figures("until a write was accepted", accepted);
    figures("until every switch was written to", written);
    println!("guests: {report:?}");
    judge(&world, &ledgers)?;
    assert_eq!(report.lost(), 0, "{report:?}");
    Ok(())
}

/// What was promised is there, and once, however often it was asked for.
fn judge(world: &RealWorld, ledgers: &[Ledger]) -> Outcome<()> {
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let page = world.daemon.api().get(&format!("/ws.v1/lswitch?fields=display_name&_page_length=1000{cursor}"))?;
        for switch in selvedge_scenarios::results(&page) {
            *found.entry(switch["display_name"].as_str().unwrap_or_default().to_string()).or_default() += 1;
        }
        match page["page_cursor"].as_str() {
            Some(next) => cursor = format!("&_page_cursor={next}"),
            None => break,
        }
    }
    let acknowledged: Vec<&String> = ledgers.iter().flat_map(|ledger| &ledger.acknowledged).collect();
    let again: usize = ledgers.iter().map(|ledger| ledger.again).sum();
    println!("writes: {} acknowledged; {again} times one had to be sent again", acknowledged.len());
    let lost: Vec<&&String> = acknowledged.iter().filter(|name| !found.contains_key(**name)).collect();
    let doubled: Vec<&String> = found.iter().filter(|(_, times)| **times > 1).map(|(name, _)| name).collect();
    assert!(lost.is_empty() && doubled.is_empty(), "lost: {lost:?}; doubled: {doubled:?}");
    Ok(())
}
