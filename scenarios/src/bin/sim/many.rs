//! Many runs on all cores, and a summary of them at the end. Start at [`play_all`].

use super::Outcome;
use super::one;
use super::spread::{Came, Spread, spread};
use clap::Args;
use selvedge_scenarios::stories::{self, Story};
use selvedge_sim::oracles::Violation;
use selvedge_sim::plan::{Plan, swarm};
use selvedge_sim::run::director::{Lie, Options};
use selvedge_sim::run::report::{Report, Summary};
use selvedge_sim::run::{in_our_world, report::Mark};
use serde_json::json;
use std::num::NonZero;
use std::time::Duration;

/// So many failing seeds are made small; more of them rarely say more.
const SHRUNK_MAX: usize = 2;

#[derive(Args)]
pub struct Run {
    /// How many
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    from: u64,
    /// Play each seed twice, and compare
    #[arg(long)]
    twice: bool,
    /// Stop at the first that fails
    #[arg(long)]
    first: bool,
    /// Make failing seeds small in so many tries; 0 leaves them as they are
    #[arg(long, default_value_t = 150, value_name = "TRIES")]
    shrink: usize,
    /// The simulated world lies: the tester must notice
    #[arg(long, value_parser = lie, value_name = "sync|leak|twice")]
    lie: Option<Lie>,
    /// On so many threads; all cores if not given
    #[arg(long)]
    jobs: Option<NonZero<usize>>,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// Reads a lie by its name.
pub fn lie(name: &str) -> Result<Lie, String> {
    serde_json::from_value(json!(name)).map_err(|_| "it is one of sync, leak and twice".to_string())
}

impl Run {
    pub fn go(self) -> Outcome {
        let plans: Vec<u64> = (self.from..self.from.saturating_add(self.seeds)).collect();
        let options = Options { lie: self.lie, ..Options::default() };
        let work = |seed: &u64| {
            let plan = swarm::plan(*seed);
            let report = if self.twice { twice(&plan, &options) } else { in_our_world(&plan, &options) };
            (plan, report)
        };
        let went = play_all(&plans, self.jobs, self.first, work);
        for (plan, report) in went.failed.iter().take(SHRUNK_MAX) {
            one::show_failure(plan, report, &options, self.shrink, &format!("cargo sim replay {}", plan.seed))?;
        }
        for (_, report) in went.failed.iter().skip(SHRUNK_MAX) {
            eprint!("{}", report.in_words());
            eprintln!("again: cargo sim replay {}{}\n", report.seed, one::lie_told(&options));
        }
        went.show(self.json)?;
        Ok(went.failed.is_empty())
    }
}

/// Plays a plan twice: what happens must be the same to the last bit.
fn twice(plan: &Plan, options: &Options) -> Report {
    let (mut once, again) = (in_our_world(plan, options), in_our_world(plan, options));
    if once.hash != again.hash {
        let what = format!(
            "played twice, the traces differ ({:016x}, {:016x}); `cargo sim determinism --from {} --seeds 1` says where",
            once.hash, again.hash, plan.seed
        );
        once.violations.push(Violation::new("E5", once.simulated, what));
    }
    once
}

#[derive(Args)]
pub struct Scenario {
    /// Which; all of them if not given
    name: Option<String>,
    /// With these seeds, since a plan leaves much open
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// For programs
    #[arg(long)]
    json: bool,
}

impl Scenario {
    pub fn go(self) -> Outcome {
        let chosen: Vec<&Story> = match &self.name {
            None => stories::ALL.iter().collect(),
            Some(name) => {
                vec![stories::find(name).ok_or_else(|| format!("no story is called {name}; `list` shows them"))?]
            }
        };
        let plans: Vec<(&Story, Plan)> =
            chosen.into_iter().flat_map(|story| (1..=self.seeds).map(move |seed| (story, story.plan(seed)))).collect();
        let options = Options::default();
        let work = |(story, plan): &(&Story, Plan)| {
            let mut report = in_our_world(plan, &options);
            report.violations.extend(story.judge(&report));
            (plan.clone(), report)
        };
        let went = play_all(&plans, None, false, work);
        for (plan, report) in &went.failed {
            let again = format!("cargo sim scenario {}", plan.name);
            one::show_failure(plan, report, &options, 0, &again)?;
        }
        went.show(self.json)?;
        Ok(went.failed.is_empty())
    }
}

/// Lists the stories.
pub fn list(json: bool) -> Outcome {
    if json {
        let stories: Vec<_> = stories::ALL
            .iter()
            .map(|story| json!({"name": story.name, "about": story.about, "source": story.source}))
            .collect();
        println!("{}", serde_json::to_string_pretty(&stories)?);
        return Ok(true);
    }
    let width = stories::ALL.iter().map(|story| story.name.len()).max().unwrap_or(0);
    for story in stories::ALL {
        println!("{:width$}  {}", story.name, story.about);
    }
    Ok(true)
}

/// How many runs went.
pub struct Went {
    summary: Summary,
    /// Those in which something was wrong, in order.
    pub failed: Vec<(Plan, Report)>,
    wall: Duration,
    busy: Duration,
}

/// Plays all, on so many threads.
pub fn play_all<T: Sync>(
    all: &[T],
    jobs: Option<NonZero<usize>>,
    stop_at_first: bool,
    play: impl Fn(&T) -> (Plan, Report) + Sync,
) -> Went {
    let came = |(_, report): &(Plan, Report)| Came { failed: !report.is_good(), simulated: report.simulated };
    let Spread { results, wall, busy } = spread(all, jobs, stop_at_first, play, came);
    let mut summary = Summary::default();
    results.iter().for_each(|(_, report)| summary.add(report));
    let failed = results.into_iter().filter(|(_, report)| !report.is_good()).collect();
    Went { summary, failed, wall, busy }
}

impl Went {
    /// How many seconds passed in the worlds for each that a core worked.
    fn ratio(&self) -> f64 {
        self.summary.simulated_s / self.busy.as_secs_f64().max(f64::EPSILON)
    }

    /// Prints what all runs came to.
    pub fn show(&self, json: bool) -> Result<(), serde_json::Error> {
        let summary = &self.summary;
        if json {
            let failed: Vec<&Report> = self.failed.iter().map(|(_, report)| report).collect();
            let all = json!({
                "summary": summary, "wall_s": self.wall.as_secs_f64(), "simulated_per_core_second": self.ratio(),
                "unreached": summary.unreached(), "failed": failed,
            });
            println!("{}", serde_json::to_string_pretty(&all)?);
            return Ok(());
        }
        println!("{} runs, {} failed, in {:.1} s", summary.runs, summary.failed, self.wall.as_secs_f64());
        println!("{:.0} s simulated: {:.0} a second of each core", summary.simulated_s, self.ratio());
        println!("{} deliveries judged, {} API requests answered", summary.deliveries, summary.requests);
        let faults = summary.faults.iter().map(|(kind, count)| format!("{kind} {count}"));
        println!("faults: {}", faults.collect::<Vec<_>>().join(", "));
        println!("reached, in so many runs:");
        for (mark, count) in &summary.marks {
            println!("  {count:>6}  {}", named(*mark));
        }
        let unreached = summary.unreached();
        if !unreached.is_empty() {
            println!("not reached: {}", unreached.into_iter().map(named).collect::<Vec<_>>().join(", "));
        }
        Ok(())
    }
}

fn named(mark: Mark) -> String {
    let name = serde_json::to_value(mark).ok().and_then(|value| value.as_str().map(|text| text.replace('_', " ")));
    name.unwrap_or_else(|| format!("{mark:?}"))
}
