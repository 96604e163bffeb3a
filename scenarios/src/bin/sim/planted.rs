//! Bugs planted on purpose, one at a time: a tester that finds none of them is worth nothing. Start at [`Planted`].

use super::Outcome;
use clap::Args;
use selvedge_sim::plan::swarm;
use selvedge_sim::run::director::{Lie, Options};
use selvedge_sim::run::in_our_world;

#[derive(Args)]
pub struct Planted {
    /// Give up on a bug after so many seeds
    #[arg(long, default_value_t = 100)]
    seeds: u64,
}

impl Planted {
    pub fn go(self) -> Outcome {
        let mut all = true;
        for lie in Lie::ALL {
            let options = Options { lie: Some(lie), ..Options::default() };
            let found = (1..=self.seeds).find_map(|seed| {
                let report = in_our_world(&swarm::plan(seed), &options);
                report.violations.first().map(|violation| (seed, violation.to_string()))
            });
            match found {
                Some((seed, what)) => println!("{lie:?}: found by seed {seed}: {what}"),
                None => {
                    all = false;
                    println!("{lie:?}: not found by {} seeds", self.seeds);
                }
            }
        }
        Ok(all)
    }
}
