//! Clusters of controllers without switches, many seeds on all cores. Start at [`Cluster`].

use super::Outcome;
use super::one::with_timeline;
use super::spread::{Came, Spread, spread};
use clap::Args;
use selvedge_sim::cluster::{ClusterPlan, ClusterReport, in_our_world};
use selvedge_sim::oracles::Violation;
use serde_json::json;
use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Args)]
pub struct Cluster {
    /// How many seeds
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    from: u64,
    /// Stop at the first that fails
    #[arg(long)]
    first: bool,
    /// Play each seed twice, and compare
    #[arg(long)]
    twice: bool,
    /// Print what happens in each seed
    #[arg(long)]
    plan: bool,
    /// Play the first seed only, and write what is logged, in the world's time
    #[arg(long, value_name = "FILE")]
    timeline: Option<PathBuf>,
    /// How much the timeline tells, in the words of tracing's filters
    #[arg(long, default_value = "info", value_name = "FILTER")]
    filter: String,
    /// On so many threads; all cores if not given
    #[arg(long)]
    jobs: Option<NonZero<usize>>,
    /// For programs
    #[arg(long)]
    json: bool,
}

impl Cluster {
    pub fn go(self) -> Outcome {
        let seeds: Vec<u64> = match &self.timeline {
            Some(_) => vec![self.from],
            None => (self.from..self.from.saturating_add(self.seeds)).collect(),
        };
        let came = |played: &Result<ClusterReport, String>| match played {
            Ok(report) => Came { failed: !report.violations.is_empty(), simulated: report.simulated },
            Err(_) => Came { failed: true, simulated: Duration::ZERO },
        };
        let play = |seed: &u64| match &self.timeline {
            // What is logged is collected by thread.
            Some(file) => with_timeline(file, &self.filter, || self.play(*seed)).map_err(|error| error.to_string()),
            None => Ok(self.play(*seed)),
        };
        let Spread { results, wall, .. } = spread(&seeds, self.jobs, self.first, play, came);
        let reports = results.into_iter().collect::<Result<Vec<_>, String>>()?;
        let failed: Vec<&ClusterReport> = reports.iter().filter(|report| !report.violations.is_empty()).collect();
        if self.json {
            let all = json!({"wall_s": wall.as_secs_f64(), "runs": reports, "failed": failed});
            println!("{}", serde_json::to_string_pretty(&all)?);
            return Ok(failed.is_empty());
        }
        for report in &reports {
            let is_bad = !report.violations.is_empty();
            if is_bad || self.plan {
                print!("seed {}: {}", report.seed, ClusterPlan::draw(report.seed));
            }
            report.violations.iter().for_each(|violation| println!("  {violation}"));
            if is_bad {
                println!("again: cargo sim cluster --seeds 1 --from {} --plan\n", report.seed);
            }
        }
        summary(&reports, failed.len(), wall);
        Ok(failed.is_empty())
    }

    fn play(&self, seed: u64) -> ClusterReport {
        let plan = ClusterPlan::draw(seed);
        let mut report = in_our_world(&plan);
        if self.twice {
            let again = in_our_world(&plan);
            if again.hash != report.hash {
                let what = format!("played twice, the traces differ ({:016x}, {:016x})", report.hash, again.hash);
                report.violations.push(Violation::new("E5", report.simulated, what));
            }
        }
        report
    }
}

fn summary(reports: &[ClusterReport], failed: usize, wall: Duration) {
    let sum = |of: fn(&ClusterReport) -> u64| reports.iter().map(of).sum::<u64>();
    println!("{} clusters, {failed} failed, in {:.1} s", reports.len(), wall.as_secs_f64());
    println!(
        "{} recoveries of members, {} after power was lost, {} after a disk failed; {} refused rotten disks; {} leaders; \
         {} joined anew, {} disks of former members turned away, {} disks reverted to an earlier state",
        sum(|report| report.recoveries),
        sum(|report| report.power_losses),
        sum(|report| report.disk_stops),
        sum(|report| report.refusals),
        sum(|report| report.leaders),
        sum(|report| report.joined_anew),
        sum(|report| report.turned_away),
        sum(|report| report.reverted),
    );
    println!(
        "{} writes promised, {} said not to be done, {} unknown ({} of them done); {} reads",
        sum(|report| report.clients.written),
        sum(|report| report.clients.not_done),
        sum(|report| report.clients.unknown),
        sum(|report| report.clients.unknown_done),
        sum(|report| report.clients.reads),
    );
    let mut converged: Vec<Duration> = reports.iter().filter_map(|report| report.converged_after).collect();
    converged.sort_unstable();
    if let (Some(median), Some(longest)) = (converged.get(converged.len() / 2), converged.last()) {
        println!("all members held the same {median:?} after the last request (median), {longest:?} at most");
    }
    let mut troubles: BTreeMap<&str, u64> = BTreeMap::new();
    for (kind, count) in reports.iter().flat_map(|report| &report.troubles) {
        *troubles.entry(kind).or_default() += count;
    }
    let troubles: Vec<String> = troubles.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    println!("troubles: {}", troubles.join(", "));
}
