//! The simulated world by hand: seeds, stories, replays. `cargo sim help` says how.
//!
//! | module | |
//! | --- | --- |
//! | `many` | many runs, and a summary of them |
//! | `spread` | on all cores, with a progress line |
//! | `one` | one run, with a capture and a timeline if wanted; shrinking |
//! | `cluster` | clusters of controllers, without switches |
//! | `bench` | how much faster than real time a world is |
//! | `same` | whether two processes see the same |
//! | `planted` | whether bugs planted on purpose are found |
//!
//! Start at [`Verb`].

#![allow(clippy::disallowed_methods, reason = "how long a run takes is told to people, and decides nothing")]

mod bench;
mod cluster;
mod many;
mod one;
mod planted;
mod same;
mod spread;

use clap::{Parser, Subcommand};
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// Whole networks, simulated from a seed.
///
/// A controller (the code that ships), simulated hypervisors with Open vSwitch, guests and an underlay, in one thread,
/// under faults that are drawn from the seed and judged all the while. Exit status 1 if anything that must never be was.
#[derive(Parser)]
#[command(name = "sim", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Play many seeds
    Run(many::Run),
    /// Play one seed, or one plan, once more
    Replay(one::Replay),
    /// Leave out of a failing seed what it does not need to fail
    Shrink(one::Shrink),
    /// List the stories
    List {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Play one story, or all of them
    Scenario(many::Scenario),
    /// Play clusters of controllers, without switches, under everything that hosts, disks and networks can do
    Cluster(cluster::Cluster),
    /// Play seeds in two processes, and name the first event in which they differ
    Determinism(same::Determinism),
    /// How much faster than real time a world is, on one core
    Bench(bench::Bench),
    /// Plant bugs, one at a time, and see that they are found
    Planted(planted::Planted),
    /// Print the trace of a seed: for `determinism`
    #[command(hide = true)]
    Trace { seed: u64, to: PathBuf },
}

/// What a command returns: whether all is well.
type Outcome = Result<bool, Box<dyn Error>>;

fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::Run(run) => run.go(),
        Verb::Replay(replay) => replay.go(),
        Verb::Shrink(shrink) => shrink.go(),
        Verb::List { json } => many::list(json),
        Verb::Scenario(scenario) => scenario.go(),
        Verb::Determinism(determinism) => determinism.go(),
        Verb::Cluster(cluster) => cluster.go(),
        Verb::Bench(bench) => bench.go(),
        Verb::Planted(planted) => planted.go(),
        Verb::Trace { seed, to } => same::trace(seed, &to),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("sim: {error}");
            ExitCode::from(2)
        }
    }
}
