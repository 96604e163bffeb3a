//! Whether a seed is the same world in two processes: hash seeds, addresses and threads differ there, and must not matter.
//! Start at [`Determinism`].

use super::Outcome;
use clap::Args;
use selvedge_sim::plan::swarm;
use selvedge_sim::run::director::Options;
use selvedge_sim::run::in_our_world;
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Child, Command};

#[derive(Args)]
pub struct Determinism {
    /// How many
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    from: u64,
}

impl Determinism {
    pub fn go(self) -> Outcome {
        let dir = tempfile::tempdir()?;
        let mut same = true;
        for seed in self.from..self.from.saturating_add(self.seeds) {
            let files = ["one", "other"].map(|name| dir.path().join(name));
            // At the same time, so that they get in each other's way.
            let mut children: Vec<Child> = Vec::new();
            for file in &files {
                children
                    .push(Command::new(std::env::current_exe()?).arg("trace").arg(seed.to_string()).arg(file).spawn()?);
            }
            for mut child in children {
                if !child.wait()?.success() {
                    return Err(format!("a process did not come to the end of seed {seed}").into());
                }
            }
            match first_difference(&files[0], &files[1])? {
                Ok(events) => println!("seed {seed}: the same {events} events in two processes"),
                Err(difference) => {
                    same = false;
                    println!("seed {seed}: {difference}");
                }
            }
        }
        Ok(same)
    }
}

/// Writes the trace of a seed, one event a line.
pub fn trace(seed: u64, to: &Path) -> Outcome {
    let report = in_our_world(&swarm::plan(seed), &Options { trace: true, ..Options::default() });
    let mut file = BufWriter::new(File::create(to)?);
    for event in &report.trace {
        writeln!(file, "{event}")?;
    }
    file.flush()?;
    Ok(true)
}

/// How many events two traces have; or the first that differs, with those before it.
fn first_difference(one: &Path, other: &Path) -> Result<Result<usize, String>, Box<dyn Error>> {
    const BEFORE: usize = 5;
    let mut one = BufReader::new(File::open(one)?).lines();
    let mut other = BufReader::new(File::open(other)?).lines();
    let mut before: Vec<String> = Vec::new();
    for at in 0.. {
        match (one.next().transpose()?, other.next().transpose()?) {
            (None, None) if at == 0 => return Err("the traces are empty".into()),
            (None, None) => return Ok(Ok(at)),
            (Some(one), Some(other)) if one == other => {
                if before.len() == BEFORE {
                    before.remove(0);
                }
                before.push(one);
            }
            (one, other) => {
                let end = || "the end".to_string();
                let (one, other) = (one.unwrap_or_else(end), other.unwrap_or_else(end));
                let before = before.join("\n    ");
                return Ok(Err(format!(
                    "event {at} differs\n  after\n    {before}\n  one has   {one}\n  other has {other}"
                )));
            }
        }
    }
    unreachable!("files end")
}
