//! The stories that turmoil can express, in its world: a model of the network that others wrote, so that a mistake in ours
//! has to be made twice. The seeds are played in our own world, which is two orders of magnitude faster.
//!
//! What a story needs and turmoil cannot do (power cuts, pauses, one-way cuts, wrong clocks) is said by
//! [`Stage::can`](selvedge_sim::stage::Stage::can). Start at [`stage::TurmoilStage`].

mod stage;

use selvedge_scenarios::stories;
use selvedge_sim::run::director::{Options, play};
use selvedge_sim::run::finish;
use selvedge_sim::stage::Stage;
use stage::TurmoilStage;

#[test]
fn stories_are_told_in_turmoils_world_too() {
    let mut told = Vec::new();
    for story in stories::ALL {
        let plan = story.plan(1);
        let mut stage = TurmoilStage::new(plan.seed);
        if let Some(lacks) = plan.needs().into_iter().find(|ability| !stage.can(*ability)) {
            println!("{}: not played, since turmoil lacks {lacks:?}", story.name);
            continue;
        }
        let report = finish(play(&mut stage, &plan, &Options::default()));
        assert!(report.is_good(), "{}", report.in_words());
        let untold = story.judge(&report);
        assert!(untold.is_empty(), "{}: {untold:?}", story.name);
        println!("{}: {} deliveries judged", story.name, report.frames.delivered);
        told.push(story.name);
    }
    assert!(told.len() >= stories::ALL.len() / 2, "turmoil told only {told:?}");
}
