//! Every story that madsim can play, twice. Start at [`stories_are_told_in_madsims_world_too`].

use crate::stage::{MadsimStage, in_a_world};
use selvedge_scenarios::stories::{self, Story};
use selvedge_sim::run::director::{Options, play};
use selvedge_sim::run::report::Report;

#[test]
fn stories_are_told_in_madsims_world_too() {
    let mut told = 0;
    for story in stories::ALL {
        if let Some(lacks) = story.plan(1).needs().into_iter().find(|ability| !MadsimStage::offers(*ability)) {
            println!("{}: not played, since madsim lacks {lacks:?}", story.name);
            continue;
        }
        let report = tell(story);
        assert!(report.is_good(), "{}", report.in_words());
        let untold = story.judge(&report);
        assert!(untold.is_empty(), "{}: {untold:?}", story.name);
        // The hash is our world's; here the counts of a whole run must do.
        assert_eq!(serde_json::to_value(&report).ok(), serde_json::to_value(tell(story)).ok(), "{}: again", story.name);
        println!("{}: {} deliveries judged, twice the same", story.name, report.frames.delivered);
        told += 1;
    }
    assert!(told >= stories::ALL.len() / 2, "madsim told only {told} stories");
}

fn tell(story: &'static Story) -> Report {
    let plan = story.plan(1);
    in_a_world(plan.seed, move |mut stage| async move { play(&mut stage, &plan, &Options::default()).await })
}
