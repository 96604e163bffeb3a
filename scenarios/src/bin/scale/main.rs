//! `cargo scale`: what it costs to compute flows at the size of large clouds, and how that grows. No switches and no sockets:
//! the NIB, the engine, and the bytes of all messages. With `--storm` there are both; with `--instructions` no time is
//! measured, but instructions are counted. Start at [`measure`].

#![allow(clippy::disallowed_methods, reason = "it measures the real clock")]

mod growth;
mod instructions;
mod network;
mod storm;
mod topology;

use clap::{Args, Parser, Subcommand, ValueEnum};
use instructions::HotPath;
use network::{Cost, Network, switch};
use selvedge_core::compile::Engine;
use selvedge_core::nib::{AddressPair, Command, Kind};
use selvedge_net::{cli, daemon};
use selvedge_scenarios::controllers;
use serde::Serialize;
use serde_json::json;
use std::error::Error;
use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use topology::{Port, Size, Topology};

/// Measure what computing flows costs: cold, and for one change.
#[derive(Parser)]
#[command(name = "scale", args_conflicts_with_subcommands = true)]
struct Options {
    #[command(subcommand)]
    child: Option<Role>,
    #[command(flatten)]
    network: Named,
    /// Each kind of change is made at least so often
    #[arg(long, default_value_t = NonZeroUsize::new(1_000).expect("it is not"))]
    changes: NonZeroUsize,
    /// Measure how the cost of one port grows with the network instead
    #[arg(long, conflicts_with_all = ["topology", "size"])]
    growth: bool,
    /// Measure controllers and switches over sockets, as processes of their own, instead
    #[arg(long, conflicts_with = "growth")]
    storm: bool,
    /// Measure how many requests of the API a controller answers that holds it, over TLS, instead
    #[arg(long, conflicts_with_all = ["growth", "storm"])]
    api: bool,
    /// How many clients at once, with --api
    #[arg(long, requires = "api", default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=1900))]
    clients: u16,
    /// Count the instructions of the two hot paths, on a network that stays the same, and compare with the record instead
    #[arg(long, conflicts_with_all = ["topology", "size", "seed", "changes", "growth", "storm", "api"])]
    instructions: bool,
    /// Record what was counted, with --instructions
    #[arg(long, requires = "instructions")]
    record: bool,
    /// Keep callgrind's profiles in this directory, with --instructions
    #[arg(long, requires = "instructions")]
    profile: Option<PathBuf>,
    /// How many controllers, with --storm
    #[arg(long, requires = "storm", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    controllers: u8,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// A topology, as the command line names it.
#[derive(Args)]
struct Named {
    /// A topology, as JSON
    topology: Option<PathBuf>,
    /// Make one up, of this size
    #[arg(long, conflicts_with = "topology", default_value = "medium")]
    size: Size,
    /// From this seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Named {
    fn topology(&self) -> Result<Topology, Box<dyn Error>> {
        match &self.topology {
            Some(path) => Topology::read(path),
            None => Ok(Topology::of_size(self.size, self.seed)),
        }
    }

    /// The arguments that name it again.
    fn arguments(&self) -> Vec<String> {
        let size = self.size.to_possible_value().map(|value| value.get_name().to_string()).unwrap_or_default();
        match &self.topology {
            Some(path) => vec![path.display().to_string()],
            None => vec!["--size".to_string(), size, "--seed".to_string(), self.seed.to_string()],
        }
    }
}

/// What this program is when it runs itself.
#[derive(Subcommand)]
enum Role {
    /// A controller, as `selvedge controller` runs it
    #[command(hide = true)]
    Controller {
        #[command(flatten)]
        options: daemon::Options,
    },
    /// All switches of a topology
    #[command(hide = true)]
    Switches {
        /// Where they connect to
        #[arg(long)]
        manager: String,
        #[command(flatten)]
        network: Named,
    },
    /// A path whose instructions are counted
    #[command(hide = true)]
    Counted { path: HotPath },
    #[command(flatten)]
    Client(cli::Command),
}

/// A kind of change, made many times.
#[derive(Debug, Serialize)]
struct Row {
    change: &'static str,
    times: usize,
    p50_us: f64,
    p99_us: f64,
    max_us: f64,
    /// Fragments computed again, for each change.
    fragments: f64,
    /// Bundles, one for each transport node that was told something, for each change.
    bundles: f64,
    /// Flow and group modifications, for each change.
    modifications: f64,
    /// Bytes of all messages, for each change.
    bytes: f64,
    /// Time over bundles.
    us_per_bundle: f64,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    topology: String,
    nodes: usize,
    switches: usize,
    ports: usize,
    left_out: Vec<String>,
    fill_s: f64,
    cold_s: f64,
    flows: usize,
    fragments: usize,
    changes: Vec<Row>,
    /// Of this process, at most, with all of that held.
    peak_memory_mib: Option<u64>,
}

/// One kind of change, as it is made again and again.
#[derive(Default)]
struct Tally {
    took: Vec<Duration>,
    fragments: u64,
    bundles: usize,
    steps: usize,
    bytes: usize,
}

impl Tally {
    fn make(&mut self, network: &mut Network, commands: &[Command]) -> Result<(), Box<dyn Error>> {
        let began = Instant::now();
        let Cost { bundles, steps, bytes, fragments } = network.carry_out(commands)?;
        self.took.push(began.elapsed());
        self.fragments += fragments;
        self.bundles += bundles;
        self.steps += steps;
        self.bytes += bytes;
        Ok(())
    }

    fn row(mut self, change: &'static str) -> Row {
        self.took.sort_unstable();
        let us = |time: Duration| time.as_secs_f64() * 1e6;
        let at = |share: f64| us(self.took[((self.took.len() - 1) as f64 * share) as usize]);
        let each = |sum: usize| sum as f64 / self.took.len() as f64;
        Row {
            change,
            times: self.took.len(),
            p50_us: at(0.5),
            p99_us: at(0.99),
            max_us: at(1.0),
            fragments: each(self.fragments as usize),
            bundles: each(self.bundles),
            modifications: each(self.steps),
            bytes: each(self.bytes),
            us_per_bundle: us(self.took.iter().sum()) / self.bundles.max(1) as f64,
        }
    }
}

fn main() -> ExitCode {
    let mut options = Options::parse();
    let outcome = match options.child.take() {
        Some(Role::Controller { options }) => controllers::run(options),
        Some(Role::Switches { manager, network }) => {
            network.topology().and_then(|of| storm::switches::run(&of, &manager))
        }
        Some(Role::Counted { path }) => instructions::go(path),
        Some(Role::Client(command)) => return cli::run(command),
        None => go(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn go(options: &Options) -> Result<(), Box<dyn Error>> {
    if options.instructions {
        return instructions::measure(options.record, options.profile.clone(), options.json);
    }
    if options.growth {
        return growth::measure(options.network.seed, options.changes.get(), options.json);
    }
    let topology = options.network.topology()?;
    if options.api {
        return storm::requests::measure(&topology, options.clients.into(), options.json);
    }
    if options.storm {
        let (count, arguments) = (usize::from(options.controllers), options.network.arguments());
        return storm::measure(&topology, &arguments, count, options.changes.get(), options.json);
    }
    let report = measure(&topology, options.changes.get())?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    Ok(())
}

fn measure(topology: &Topology, changes: usize) -> Result<Report, Box<dyn Error>> {
    eprintln!("{}: filling the NIB", topology.name);
    let began = Instant::now();
    let mut network = Network::fill(topology)?;
    let fill_s = began.elapsed().as_secs_f64();
    eprintln!("computing all flows");
    let began = Instant::now();
    network.engine = Engine::from_nib(&network.nib);
    let cold_s = began.elapsed().as_secs_f64();
    let (fragments, flows) = network.engine.size();
    eprintln!("changing one thing at a time");
    let mut rows: Vec<Row> = ports(&mut network, topology, changes)?.into();
    rows.extend(nodes(&mut network, topology, changes)?);
    rows.extend(switches(&mut network, topology, changes)?);
    Ok(Report {
        topology: topology.name.clone(),
        nodes: topology.nodes.len(),
        switches: topology.switches,
        ports: topology.ports.len(),
        left_out: topology.left_out.clone(),
        fill_s,
        cold_s,
        flows,
        fragments,
        changes: rows,
        peak_memory_mib: peak_memory(),
    })
}

/// Ports come, are allowed another address, migrate, and go.
fn ports(network: &mut Network, topology: &Topology, changes: usize) -> Result<[Row; 5], Box<dyn Error>> {
    let (mut added, mut allowed, mut barred, mut moved, mut deleted) =
        (Tally::default(), Tally::default(), Tally::default(), Tally::default(), Tally::default());
    let another: AddressPair =
        serde_json::from_value(json!({"mac_address": "0e:00:00:00:00:01", "ip_address": "192.0.2.1"}))?;
    for _ in 0..changes.div_ceil(topology.churn.len()) {
        let coming: Vec<(usize, &Port)> = (topology.ports.len()..).zip(&topology.churn).collect();
        for (place, one) in &coming {
            let commands = network.add(*place, one)?;
            added.make(network, &commands)?;
        }
        for (place, one) in &coming {
            let commands = network.allow(*place, one, std::slice::from_ref(&another))?;
            allowed.make(network, &commands)?;
            let commands = network.allow(*place, one, &[])?;
            barred.make(network, &commands)?;
        }
        let elsewhere = |one: &Port| (one.node + 1) % topology.nodes.len();
        for (place, one) in &coming {
            let commands = network.migrate(*place, one, elsewhere(one));
            moved.make(network, &commands)?;
        }
        for (place, one) in &coming {
            deleted.make(network, &Network::delete(*place, elsewhere(one)))?;
        }
    }
    Ok([
        added.row("port added"),
        moved.row("port moved"),
        deleted.row("port deleted"),
        allowed.row("address pair added"),
        barred.row("address pair removed"),
    ])
}

/// Transport nodes stop to take part, with all ports on them, and take part again.
fn nodes(network: &mut Network, topology: &Topology, changes: usize) -> Result<[Row; 2], Box<dyn Error>> {
    let (mut off, mut on) = (Tally::default(), Tally::default());
    for place in 0..changes.min(topology.nodes.len()) {
        let commands = network.enable(place, false)?;
        off.make(network, &commands)?;
        let commands = network.enable(place, true)?;
        on.make(network, &commands)?;
    }
    Ok([off.row("node off"), on.row("node on")])
}

/// Logical switches go, with all their ports; nothing brings them back, so half of them stay.
fn switches(network: &mut Network, topology: &Topology, changes: usize) -> Result<Option<Row>, Box<dyn Error>> {
    let mut deleted = Tally::default();
    for place in 0..changes.min(topology.switches / 2) {
        deleted.make(network, &[Command::Delete { kind: Kind::LogicalSwitch, uuid: switch(place) }])?;
    }
    Ok((topology.switches > 1).then(|| deleted.row("switch deleted")))
}

/// Peak of the memory that is resident, in MiB, where the kernel says (proc(5), `VmHWM`).
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib / 1024)
}

fn print(report: &Report) {
    let Report { topology, nodes, switches, ports, .. } = report;
    println!("{topology}: {nodes} transport nodes, {switches} logical switches, {ports} logical ports");
    if !report.left_out.is_empty() {
        println!("left out, since there is no such thing yet: {}", report.left_out.join(", "));
    }
    println!("the NIB filled                     {:>9.2} s", report.fill_s);
    println!("all flows computed, cold           {:>9.2} s", report.cold_s);
    println!("  {} flows in {} fragments", report.flows, report.fragments);
    println!();
    println!(
        "{:<21} {:>6} {:>10} {:>10} {:>10} {:>9} {:>7} {:>7} {:>9} {:>11}",
        "one change", "times", "p50 us", "p99 us", "max us", "fragments", "bundles", "mods", "bytes", "us each"
    );
    for row in &report.changes {
        println!(
            "{:<21} {:>6} {:>10.1} {:>10.1} {:>10.1} {:>9.1} {:>7.1} {:>7.1} {:>9.0} {:>11.1}",
            row.change,
            row.times,
            row.p50_us,
            row.p99_us,
            row.max_us,
            row.fragments,
            row.bundles,
            row.modifications,
            row.bytes,
            row.us_per_bundle
        );
    }
    if let Some(mib) = report.peak_memory_mib {
        println!();
        println!("peak memory                        {mib:>9} MiB");
    }
}
