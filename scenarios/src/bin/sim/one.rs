//! One run: again, with a capture or a timeline, or made small. Start at [`Replay`].

use super::Outcome;
use super::many::lie;
use clap::Args;
use selvedge_scenarios::stories;
use selvedge_sim::plan::shrink::shrink;
use selvedge_sim::plan::{Plan, swarm};
use selvedge_sim::run::director::{Lie, Options};
use selvedge_sim::run::report::Report;
use selvedge_sim::run::{capture, in_our_world};
use selvedge_sim::world::time_on_this_thread;
use serde_json::json;
use std::error::Error;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// Where plans of failing seeds are written.
const PLANS: &str = "target/sim";

#[derive(Args)]
pub struct Replay {
    /// A seed, a story, or the file of a plan
    what: String,
    /// Write all packets, the guests' and the underlay's, for Wireshark
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Write what happened, line by line, at the times of the world
    #[arg(long, value_name = "FILE")]
    timeline: Option<PathBuf>,
    /// How much the timeline tells, in the words of tracing's filters
    #[arg(long, default_value = "info", value_name = "FILTER")]
    filter: String,
    /// The simulated world lies
    #[arg(long, value_parser = lie, value_name = "sync|leak|twice")]
    lie: Option<Lie>,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// The plan of a seed, a story or a file.
fn plan_of(what: &str) -> Result<Plan, Box<dyn Error>> {
    if let Ok(seed) = what.parse() {
        return Ok(swarm::plan(seed));
    }
    if let Some(story) = stories::find(what) {
        return Ok(story.plan(1));
    }
    let text =
        fs::read_to_string(what).map_err(|error| format!("{what} is no seed, no story, and no file: {error}"))?;
    Ok(serde_json::from_str(&text).map_err(|error| format!("{what}: {error}"))?)
}

impl Replay {
    pub fn go(self) -> Outcome {
        let plan = plan_of(&self.what)?;
        let options = Options { capture: self.pcap.is_some(), trace: false, lie: self.lie };
        let report = match &self.timeline {
            None => in_our_world(&plan, &options),
            Some(file) => with_timeline(file, &self.filter, || in_our_world(&plan, &options))?,
        };
        if let Some(file) = &self.pcap {
            fs::write(file, capture::pcapng(&report.packets))
                .map_err(|error| format!("{}: {error}", file.display()))?;
            eprintln!("{} packets are in {}", report.packets.len(), file.display());
        }
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            print!("{}", plan.in_words());
            println!("\n{}", report.in_words());
            println!("{:.3} s simulated, trace {:016x}", report.simulated.as_secs_f64(), report.hash);
        }
        Ok(report.is_good())
    }
}

/// Writes what is logged to a file while `work` goes on.
pub fn with_timeline<T>(file: &Path, filter: &str, work: impl FnOnce() -> T) -> Result<T, Box<dyn Error>> {
    let to = fs::File::create(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let filter = tracing_subscriber::EnvFilter::try_new(filter)?;
    let subscriber = tracing_subscriber::fmt()
        .with_writer(Mutex::new(to))
        .with_ansi(false)
        .with_timer(WorldTime)
        .with_env_filter(filter)
        .finish();
    let result = tracing::subscriber::with_default(subscriber, work);
    eprintln!("what happened is in {}", file.display());
    Ok(result)
}

/// The time of the world that runs on this thread.
struct WorldTime;

impl FormatTime for WorldTime {
    fn format_time(&self, to: &mut Writer<'_>) -> fmt::Result {
        write!(to, "{:>12.6}", time_on_this_thread().as_secs_f64())
    }
}

#[derive(Args)]
pub struct Shrink {
    /// A seed, or the file of a plan
    what: String,
    /// How many plans are tried
    #[arg(long, default_value_t = 1_000)]
    tries: usize,
    /// The simulated world lies
    #[arg(long, value_parser = lie, value_name = "sync|leak|twice")]
    lie: Option<Lie>,
}

impl Shrink {
    pub fn go(self) -> Outcome {
        let plan = plan_of(&self.what)?;
        let options = Options { lie: self.lie, ..Options::default() };
        let report = in_our_world(&plan, &options);
        if report.is_good() {
            println!("{} does not fail", plan.name);
            return Ok(true);
        }
        show_failure(&plan, &report, &options, self.tries, &format!("cargo sim replay {}", self.what))?;
        Ok(false)
    }
}

/// What makes a command tell the same lie.
pub fn lie_told(options: &Options) -> String {
    options.lie.map_or(String::new(), |lie| format!(" --lie {}", json!(lie).as_str().unwrap_or_default()))
}

/// Says what failed and how to see it again, made small first; its plan is left in a file.
pub fn show_failure(
    plan: &Plan,
    report: &Report,
    options: &Options,
    tries: usize,
    again: &str,
) -> Result<(), Box<dyn Error>> {
    let (mut small, mut words) = (plan.clone(), report.in_words());
    if tries > 0 {
        let before = plan.steps.len();
        eprintln!("{}: leaving out what it does not need to fail, in {tries} tries at most", plan.name);
        let shrunk = shrink(plan, tries, |candidate| in_our_world(candidate, options).fails_like(report));
        small = shrunk.plan;
        words = in_our_world(&small, options).in_words();
        words += &format!("  {} of {before} steps are left after {} tries\n", small.steps.len(), shrunk.tried);
    }
    fs::create_dir_all(PLANS)?;
    let file = format!("{PLANS}/{}.json", plan.name.replace(' ', "-"));
    fs::write(&file, serde_json::to_string_pretty(&small)?)?;
    eprintln!("{words}\n{}", small.in_words());
    let lie = lie_told(options);
    eprintln!("again: {again}{lie}");
    if tries > 0 {
        eprintln!(
            "again, the small one: cargo sim replay {file}{lie} --timeline what-happened.txt --pcap packets.pcapng"
        );
    }
    eprintln!();
    Ok(())
}
