//! Bugs planted on purpose, one at a time: a tester that finds none of them is worth nothing.
//!
//! Some are patches of the product (`scenarios/planted/*.patch`), applied to a copy of the sources that is built and
//! thrown away; others are lies that the simulated world tells. Start at [`Planted`].

use super::Outcome;
use clap::Args;
use selvedge_sim::plan::swarm;
use selvedge_sim::run::director::{Lie, Options};
use selvedge_sim::run::in_our_world;
use serde::Serialize;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(Args)]
pub struct Planted {
    /// Which; all of them if none is named
    names: Vec<String>,
    /// Give up on a bug after so many seeds
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// Only the lies, for which nothing is built
    #[arg(long)]
    lies: bool,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// A bug, and what became of it.
#[derive(Debug, Serialize)]
struct Found {
    name: String,
    about: String,
    /// The first seed that found it, and what it said.
    found: Option<(u64, String)>,
}

impl Planted {
    pub fn go(self) -> Outcome {
        let mut all: Vec<Found> = Lie::ALL.into_iter().filter_map(|lie| self.lie(lie)).collect();
        if !self.lies {
            all.extend(self.patches()?);
        }
        if let Some(unknown) = self.names.iter().find(|name| !all.iter().any(|found| found.name == **name)) {
            return Err(format!("no bug is called {unknown}").into());
        }
        if self.json {
            println!("{}", serde_json::to_string_pretty(&all)?);
        }
        Ok(all.iter().all(|found| found.found.is_some()))
    }

    fn wants(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|wanted| wanted == name)
    }

    fn lie(&self, lie: Lie) -> Option<Found> {
        let (name, about) = match lie {
            Lie::Sync => ("lie_sync", "The disk says that it synced, and did not."),
            Lie::Leak => ("lie_leak", "Frames of one guest are delivered to another as well."),
            Lie::Twice => ("lie_twice", "The underlay delivers packets twice, and does not say so."),
        };
        if !self.wants(name) {
            return None;
        }
        let options = Options { lie: Some(lie), ..Options::default() };
        let found = (1..=self.seeds).find_map(|seed| {
            let report = in_our_world(&swarm::plan(seed), &options);
            report.violations.first().map(|violation| (seed, violation.to_string()))
        });
        Some(self.said(Found { name: name.to_string(), about: about.to_string(), found }))
    }

    fn said(&self, found: Found) -> Found {
        match &found.found {
            Some((seed, what)) => eprintln!("{}: found by seed {seed}: {what:.200}", found.name),
            None => eprintln!("{}: NOT found by {} seeds: {}", found.name, self.seeds, found.about),
        }
        found
    }

    fn patches(&self) -> Result<Vec<Found>, Box<dyn Error>> {
        let top = PathBuf::from(stdout(Command::new("git").args(["rev-parse", "--show-toplevel"]))?.trim());
        let mut patches: Vec<PathBuf> = fs::read_dir(top.join("scenarios/planted"))?
            .map(|entry| entry.map(|e| e.path()))
            .collect::<Result<_, _>>()?;
        patches.sort();
        let mut all = Vec::new();
        for patch in patches {
            let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if !self.wants(&name) {
                continue;
            }
            let about = fs::read_to_string(&patch)?.lines().next().unwrap_or_default().to_string();
            let copy = Copy::of(&top)?;
            run(Command::new("git").arg("apply").arg(&patch).current_dir(copy.0.path()))?;
            eprintln!("{name}: building");
            let built = copy.build(&top.join("target/planted"))?;
            let found = copy.play(&built, is_of_cluster(&name), self.seeds)?;
            all.push(self.said(Found { name, about, found }));
        }
        Ok(all)
    }
}

/// Whether a bug is one that clusters without switches are to find.
fn is_of_cluster(name: &str) -> bool {
    name.starts_with("cluster_")
}

/// A copy of the sources, gone when it is dropped.
struct Copy(tempfile::TempDir);

impl Copy {
    /// Copies what git knows of, as it is in the working tree.
    fn of(top: &Path) -> Result<Copy, Box<dyn Error>> {
        let dir = tempfile::tempdir()?;
        for file in stdout(Command::new("git").args(["ls-files", "-z"]).current_dir(top))?.split_terminator('\0') {
            let to = dir.path().join(file);
            fs::create_dir_all(to.parent().ok_or("a file is in a folder")?)?;
            fs::copy(top.join(file), to).map_err(|error| format!("{file}: {error}"))?;
        }
        Ok(Copy(dir))
    }

    fn build(&self, target: &Path) -> Result<PathBuf, Box<dyn Error>> {
        let arguments = ["build", "--quiet", "--release", "-p", "selvedge-scenarios", "--bin", "sim"];
        let mut cargo = Command::new("cargo");
        run(cargo.args(arguments).env("CARGO_TARGET_DIR", target).current_dir(self.0.path()))?;
        Ok(target.join("release/sim"))
    }

    /// Plays seeds until one fails; which, and what it said.
    fn play(&self, sim: &Path, clusters: bool, seeds: u64) -> Result<Option<(u64, String)>, Box<dyn Error>> {
        let mut command = Command::new(sim);
        command.args(if clusters { &["cluster"][..] } else { &["run", "--shrink", "0"] });
        command.args(["--first", "--json", "--seeds", &seeds.to_string()]);
        let output = command.current_dir(self.0.path()).output()?;
        let said: serde_json::Value = serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&output.stderr)))?;
        let Some(first) = said["failed"].get(0) else { return Ok(None) };
        let violation = &first["violations"][0];
        let what = format!("{}: {}", violation["id"].as_str().unwrap_or(""), violation["what"].as_str().unwrap_or(""));
        Ok(Some((first["seed"].as_u64().unwrap_or(0), what)))
    }
}

fn run(command: &mut Command) -> Result<(), Box<dyn Error>> {
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}").into()) }
}

fn stdout(command: &mut Command) -> Result<String, Box<dyn Error>> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
