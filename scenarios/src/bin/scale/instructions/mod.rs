//! `cargo scale --instructions`: how many instructions the two paths take on which all waiting depends, beside what is
//! recorded. A clock on a busy machine says little about a change of 3 %; these counts hardly vary, so that they can be
//! judged in CI.
//!
//! This program runs itself under callgrind, once for each path, with an input that never changes; callgrind counts only
//! while the function of that path runs, with all that it calls. Start at [`measure`]; valgrind is run and read in
//! [`callgrind`], and what is let pass is in [`recorded`].

mod callgrind;
mod recorded;

use super::network::{Cost, Network};
use super::topology::{Size, Topology};
use recorded::{Recorded, difference};
use selvedge_core::compile::Engine;
use selvedge_core::nib::{Change, Nib};
use selvedge_scenarios::Outcome;
use serde::{Deserialize, Serialize};
use std::hint::black_box;
use std::path::{Path, PathBuf};

/// What is counted on: large enough that fixed costs vanish, small enough for a program that runs fifty times slower.
const SIZE: Size = Size::Medium;
const SEED: u64 = 1;

/// A path whose instructions are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum HotPath {
    /// All flows computed from the NIB, as when a controller starts.
    Cold,
    /// A hundred ports added, one after the other: from the changed NIB to the bytes for each transport node.
    PortsAdded,
}

impl HotPath {
    const ALL: [HotPath; 2] = [HotPath::Cold, HotPath::PortsAdded];

    /// As the command line and the record name it.
    fn name(self) -> &'static str {
        match self {
            HotPath::Cold => "cold",
            HotPath::PortsAdded => "ports-added",
        }
    }

    /// The function that is counted, by its demangled name.
    fn function(self) -> &'static str {
        match self {
            HotPath::Cold => "scale::instructions::compute_all",
            HotPath::PortsAdded => "scale::instructions::tell",
        }
    }
}

/// What one path took.
#[derive(Debug, Serialize)]
struct Line {
    path: HotPath,
    instructions: u64,
    recorded: Option<u64>,
    /// Counted over recorded.
    ratio: Option<f64>,
}

/// What was counted, and what it is held against.
#[derive(Debug, Serialize)]
struct Report {
    /// What this program was made with.
    tools: String,
    /// What the recorded one was made with.
    recorded_with: Option<String>,
    tolerance_percent: u64,
    paths: Vec<Line>,
}

/// Counts, prints, and compares with what is recorded, or records. The profiles are kept where `profile` says.
///
/// # Errors
/// If nothing can be counted, or if what was counted is too far from what is recorded.
pub fn measure(record: bool, profile: Option<PathBuf>, json: bool) -> Outcome<()> {
    // Nothing has to be there yet, if it is about to be written.
    let recorded = if record { Recorded::read().ok() } else { Some(Recorded::read()?) };
    let report = count(recorded.as_ref(), profile.as_deref())?;
    match json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => report.print(),
    }
    if record {
        let instructions = report.paths.iter().map(|line| (line.path, line.instructions)).collect();
        return Recorded { tools: report.tools, instructions }.write();
    }
    let verdicts = report.paths.iter().filter_map(|line| {
        difference(line.path.name(), line.instructions, line.recorded, report.tolerance_percent).err()
    });
    match verdicts.collect::<Vec<String>>() {
        none if none.is_empty() => Ok(()),
        some => Err(some.join("\n").into()),
    }
}

fn count(recorded: Option<&Recorded>, profile: Option<&Path>) -> Outcome<Report> {
    let tools = recorded::tools();
    let scratch = tempfile::tempdir()?;
    let directory = profile.unwrap_or(scratch.path());
    std::fs::create_dir_all(directory)?;
    let line = |path: HotPath| -> Outcome<Line> {
        eprintln!("counting {} under valgrind", path.name());
        let file = directory.join(path.name()).with_extension("callgrind");
        let instructions = callgrind::count(path.function(), &["counted", path.name()], &file)?;
        let recorded = recorded.and_then(|recorded| recorded.instructions.get(&path).copied());
        let ratio = recorded.map(|recorded| instructions as f64 / recorded as f64);
        Ok(Line { path, instructions, recorded, ratio })
    };
    Ok(Report {
        recorded_with: recorded.map(|recorded| recorded.tools.clone()),
        tolerance_percent: recorded::tolerance_percent(recorded, &tools),
        tools,
        paths: HotPath::ALL.into_iter().map(line).collect::<Outcome<_>>()?,
    })
}

impl Report {
    fn print(&self) {
        println!("{}; {} % more or less are let pass", self.tools, self.tolerance_percent);
        if let Some(other) = self.recorded_with.as_ref().filter(|other| **other != self.tools) {
            println!("so many, since the record is of {other}");
        }
        println!();
        println!("{:<12} {:>14} {:>14} {:>7}", "path", "instructions", "recorded", "ratio");
        for Line { path, instructions, recorded, ratio } in &self.paths {
            let recorded = recorded.map_or("-".to_string(), |recorded| recorded.to_string());
            let ratio = ratio.map_or("-".to_string(), |ratio| format!("{ratio:.4}"));
            println!("{:<12} {instructions:>14} {recorded:>14} {ratio:>7}", path.name());
        }
    }
}

/// Goes a path, in the process that is counted.
///
/// # Errors
/// If the network cannot be made.
pub fn go(path: HotPath) -> Outcome<()> {
    let topology = Topology::of_size(SIZE, SEED);
    let mut network = Network::fill(&topology)?;
    network.engine = compute_all(&network.nib);
    if path == HotPath::PortsAdded {
        let mut cost = Cost::default();
        for (place, one) in (topology.ports.len()..).zip(&topology.churn) {
            for command in network.add(place, one)? {
                // The NIB is another matter: it goes with the log, not with the flows.
                let changes = network.nib.apply(&command)?;
                tell(&mut network, &changes, &mut cost)?;
            }
        }
    }
    Ok(())
}

// What is counted has a name of its own, that nothing else has: not inlined, and no tail call, which would end it early.

#[inline(never)]
fn compute_all(nib: &Nib) -> Engine {
    black_box(Engine::from_nib(nib))
}

#[inline(never)]
fn tell(network: &mut Network, changes: &[Change], cost: &mut Cost) -> Outcome<()> {
    black_box(network.tell(changes, cost))
}
