//! Stories of trouble as plans for a simulated world, one file each. Start at [`ALL`].

mod bundles_lost;
mod clock_jumps;
mod controllers_gone;
mod failed_sync;
mod group_emptied;
mod half_open;
mod late_updates;
mod migration_cut_off;
mod numbers_swapped;
mod old_master_heard;
mod owners_change;
mod physical_network;
mod ports_renumbered;
mod reboot_unrecorded;
mod refused_in_turn;
mod refused_transactions;
mod reply_lost;
mod same_addresses;
mod silent_switch;
mod table_full;
pub mod telling;
mod told_late;
mod two_places;

use selvedge_sim::oracles::Violation;
use selvedge_sim::plan::Plan;
use selvedge_sim::run::report::{Mark, Report};

/// A story.
#[derive(Clone, Copy, Debug)]
pub struct Story {
    /// By what it is called, in lower case with hyphens.
    pub name: &'static str,
    /// What happens, in a sentence.
    pub about: &'static str,
    /// Where it was seen: a seed, or somebody else's report.
    pub source: &'static str,
    /// Its plan, without name and seed.
    pub make: fn() -> Plan,
    /// What must be reached, for the story to have been told.
    pub marks: &'static [Mark],
}

impl Story {
    /// Its plan; what it leaves open is drawn from the seed.
    pub fn plan(&self, seed: u64) -> Plan {
        Plan { name: self.name.to_string(), seed, ..(self.make)() }
    }

    /// Whether a run of it told the story: a story in which nothing happens proves nothing.
    pub fn judge(&self, report: &Report) -> Vec<Violation> {
        let untold = self.marks.iter().filter(|mark| !report.marks.contains(mark));
        untold
            .map(|mark| Violation::new("story", report.simulated, format!("the run did not reach {mark:?}")))
            .collect()
    }
}

/// All stories.
pub const ALL: &[Story] = &[
    bundles_lost::STORY,
    clock_jumps::STORY,
    controllers_gone::STORY,
    failed_sync::STORY,
    group_emptied::STORY,
    half_open::STORY,
    late_updates::STORY,
    migration_cut_off::STORY,
    numbers_swapped::STORY,
    old_master_heard::STORY,
    owners_change::STORY,
    physical_network::STORY,
    ports_renumbered::STORY,
    reboot_unrecorded::STORY,
    refused_in_turn::STORY,
    refused_transactions::STORY,
    reply_lost::STORY,
    same_addresses::STORY,
    silent_switch::STORY,
    table_full::STORY,
    told_late::STORY,
    two_places::STORY,
];

/// The story of that name.
pub fn find(name: &str) -> Option<&'static Story> {
    ALL.iter().find(|story| story.name == name)
}
