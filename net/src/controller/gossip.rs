//! What controllers tell each other of the transport nodes that they write to: connections, progress, trouble. None of it is
//! durable, and a controller asks again for what it missed. So each can say how every transport node is.
//!
//! Start at [`Gossip`]; the cluster carries it.

use super::State;
use super::nodes::{NodeState, Reach, Report, Told};
use selvedge_core::ids::{Epoch, MemberId, Revision};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The name of the problem that a controller which is not there leaves behind.
const CONTROLLER: &str = "controller";

/// Where somebody who listens has got to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// In which life of the one that tells.
    pub life: Uuid,
    /// Up to which of its changes.
    pub change: u64,
}

/// What a controller has to tell of one of its nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// The node.
    pub node: Uuid,
    /// The mastership under which it is the controller's.
    pub epoch: Epoch,
    /// What there is to tell.
    pub report: Report,
    /// Up to where the switch lacks nothing; nothing if nobody has looked.
    pub realised: Option<Revision>,
}

/// What changed of a controller's nodes since somebody listened last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gossip {
    /// Who tells.
    pub teller: MemberId,
    /// Up to here.
    pub heard: Heard,
    /// What.
    pub words: Vec<Word>,
    /// Nodes that changed, whoever writes to them, and how far the teller reaches them.
    pub reach: BTreeMap<Uuid, Reach>,
}

/// Which nodes changed when, in this life of a controller.
#[derive(Debug, Default)]
pub(super) struct Changes {
    life: Uuid,
    last: u64,
    /// How often somebody else told something.
    heard: u64,
    of_nodes: BTreeMap<Uuid, u64>,
}

impl Changes {
    /// Of a controller that starts.
    pub fn of(life: Uuid) -> Changes {
        Changes { life, ..Changes::default() }
    }

    /// A node changed.
    pub fn note(&mut self, node: Uuid) {
        self.last += 1;
        self.of_nodes.insert(node, self.last);
    }

    /// A node is gone.
    pub fn forget(&mut self, node: Uuid) {
        self.of_nodes.remove(&node);
    }
}

impl State {
    /// What there is to tell to somebody who has heard so far; nothing if that is all.
    pub fn gossip(&self, heard: Heard) -> Option<Gossip> {
        let since = if heard.life == self.changes.life { heard.change } else { 0 };
        if heard.life == self.changes.life && since >= self.changes.last {
            return None;
        }
        let changed = || self.changes.of_nodes.iter().filter(|(_, change)| **change > since).map(|(node, _)| *node);
        let words = changed().filter(|node| self.drives(*node)).filter_map(|node| self.word(node)).collect();
        let reach = changed().filter_map(|node| Some((node, self.nodes.get(&node)?.reach()))).collect();
        let heard = Heard { life: self.changes.life, change: self.changes.last };
        Some(Gossip { teller: self.own?, heard, words, reach })
    }

    /// How often there was news of which member has which connections, or of this one's nodes.
    pub fn news(&self) -> u64 {
        self.changes.last + self.changes.heard
    }

    /// How far a member reaches a node; nothing if that member is not heard of.
    pub fn reach(&self, member: MemberId, node: Uuid) -> Option<Reach> {
        let known = match self.own == Some(member) {
            true => self.nodes.get(&node).map(NodeState::reach),
            false => self.reach.get(&member)?.get(&node).copied(),
        };
        // Who has nothing to tell of a node never reached it.
        Some(known.unwrap_or(Reach::Nothing))
    }

    fn word(&self, node: Uuid) -> Option<Word> {
        let (record, state) = (self.nib.nodes().get(&node)?, self.nodes.get(&node)?);
        let realised = state.realised(self.nib.revision());
        Some(Word { node, epoch: record.epoch, report: state.own.clone(), realised })
    }

    /// Another controller told something. What is of a mastership before the latest that is known or was told of here is
    /// passed over; one that is not known here yet is believed. Whether that was all there is to be told: a node may be
    /// unknown here, or the teller not yet where this controller began, and then it must tell again.
    pub(super) fn hear(&mut self, gossip: Gossip) -> bool {
        let mut is_all = true;
        self.changes.heard += 1;
        self.reach.entry(gossip.teller).or_default().extend(gossip.reach);
        let by = gossip.teller;
        for Word { node, epoch, report, realised } in gossip.words {
            let known = self.nib.nodes().get(&node).map(|record| record.epoch).zip(self.nodes.get_mut(&node));
            let Some((current, state)) = known else {
                is_all = false;
                continue;
            };
            // The one that was master before may still take itself for it, and speak last.
            let latest = state.told.as_ref().map_or(current, |told| current.max(told.epoch));
            if epoch < latest {
                continue;
            }
            state.told = Some(Told { by, epoch, report });
            if let Some(realised) = realised {
                let progress = state.progress.get_or_insert_default();
                progress.confirmed(realised);
                is_all &= !progress.is_unknown();
            }
        }
        is_all
    }

    /// Another controller does not answer: how its nodes are is not known. What a later master of one has told stays,
    /// since it tells nothing twice to somebody whom it answers.
    pub(super) fn lose(&mut self, teller: MemberId) {
        self.reach.remove(&teller);
        for (node, record) in self.nib.nodes() {
            let Some(state) = self.nodes.get_mut(node) else { continue };
            let (by, epoch) = match &state.told {
                Some(told) if told.epoch >= record.epoch => (Some(told.by), told.epoch),
                Some(_) | None => (record.owner, record.epoch),
            };
            if by == Some(teller) {
                let problem = format!("controller {teller}, which writes to it, does not answer");
                let report = Report { problems: BTreeMap::from([(CONTROLLER.into(), problem)]), ..Report::default() };
                state.told = Some(Told { by: teller, epoch, report });
            }
        }
    }

    /// A node has a new master: what the one before told of it is of no use.
    pub(super) fn new_master(&mut self, node: Uuid) {
        let epoch = self.nib.nodes().get(&node).map(|record| record.epoch);
        let drives = self.drives(node);
        if let Some(NodeState { told, is_ours, .. }) = self.nodes.get_mut(&node) {
            // One that catches up may have heard of a mastership that it has yet to come to.
            told.take_if(|told| Some(told.epoch) < epoch);
            *is_ours = drives;
        }
        self.changes.note(node);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Progress;
    use super::*;
    use crate::cluster::fixture;
    use selvedge_core::nib::{Assignment, ClusterCommand, Command};

    /// Controllers 1 and 2 of a cluster, with a node.
    fn two() -> (State, State) {
        let commands = fixture::commands(2, 1);
        let start = |n: u64| {
            let changes = Changes::of(Uuid::from_u128(n.into()));
            let mut state = State { own: Some(MemberId(n)), changes, ..State::default() };
            commands.iter().for_each(|command| _ = state.apply(command).expect("lawful"));
            state
        };
        (start(1), start(2))
    }

    fn assign(state: &mut State, owner: u64) {
        let assignment = Assignment { node: fixture::node(0), owner: MemberId(owner), standby: None };
        let command = Command::Cluster(ClusterCommand::Assign(vec![assignment]));
        state.apply(&command).expect("lawful");
    }

    fn version(state: &State) -> Option<&str> {
        state.nodes[&fixture::node(0)].report().ovs_version.as_deref()
    }

    /// The controller sees something of the node, and all that it should hold is confirmed.
    fn see(state: &mut State, version: &str) {
        let now = state.nib.revision();
        let node = state.nodes.get_mut(&fixture::node(0)).expect("it is there");
        node.own.ovs_version = Some(version.to_string());
        node.progress.get_or_insert_default().confirmed(now);
        state.changes.note(fixture::node(0));
    }

    #[test]
    fn what_the_master_tells_is_known_everywhere_and_only_that() {
        let (mut one, mut two) = two();
        assign(&mut one, 1);
        // The other has not applied that yet, and is told all the same.
        see(&mut one, "3.1.0");
        let gossip = one.gossip(Heard::default()).expect("there is news");
        let heard = gossip.heard;
        assert!(!State::default().hear(gossip.clone()), "it does not know the node yet");
        assert!(two.hear(gossip));
        assert_eq!(version(&two), Some("3.1.0"));
        assert_eq!(one.gossip(heard), None);
        assign(&mut two, 1);
        assert_eq!(version(&two), Some("3.1.0"));
        let progress = |state: &State| state.nodes[&fixture::node(0)].progress.clone().expect("there is some");
        assert_eq!(progress(&two).realised(two.nib.revision()), Some(two.nib.revision()), "nothing is missing");
        see(&mut two, "seen by one that stands by");
        assert_eq!(version(&two), Some("3.1.0"));
        assert_eq!(two.gossip(Heard::default()).expect("it has a say").words, []);

        let late = one.gossip(Heard::default()).expect("all of it");
        [&mut one, &mut two].into_iter().for_each(|state| assign(state, 2));
        two.hear(late);
        assert_eq!(version(&two), Some("seen by one that stands by"), "its own is what counts now");
        one.hear(two.gossip(Heard::default()).expect("there is news"));
        assert_eq!(version(&one), Some("seen by one that stands by"));
        one.lose(MemberId(2));
        assert_eq!(version(&one), None);
        assert!(one.nodes[&fixture::node(0)].report().problems["controller"].contains("controller 2"));
        assert_ne!(progress(&one), Progress::default());
    }

    #[test]
    fn who_is_behind_believes_the_later_master_whoever_speaks_last() {
        let (mut old, mut new) = two();
        let mut behind = two().0;
        [&mut old, &mut new].into_iter().for_each(|state| assign(state, 1));
        see(&mut old, "told by the old master");
        assign(&mut new, 2);
        see(&mut new, "told by the new one");
        let (from_old, from_new) = (old.gossip(Heard::default()), new.gossip(Heard::default()));
        behind.hear(from_new.expect("there is news"));
        behind.hear(from_old.expect("there is news"));
        [1, 2].into_iter().for_each(|owner| assign(&mut behind, owner));
        assert_eq!(version(&behind), Some("told by the new one"));
    }

    #[test]
    fn who_is_behind_keeps_what_the_later_master_told_when_the_former_is_lost() {
        let mut new = two().1;
        [3, 2].into_iter().for_each(|owner| assign(&mut new, owner));
        see(&mut new, "told by the new one");
        let after_losing = |lost: u64| {
            let mut behind = two().0;
            assign(&mut behind, 3);
            behind.hear(new.gossip(Heard::default()).expect("there is news"));
            behind.lose(MemberId(lost));
            assign(&mut behind, 2);
            behind
        };
        assert_eq!(version(&after_losing(3)), Some("told by the new one"));
        let forsaken = after_losing(2);
        assert!(forsaken.nodes[&fixture::node(0)].report().problems["controller"].contains("controller 2"));
    }

    /// A change that concerned no node is confirmed by nobody, but it is not missing either.
    #[test]
    fn who_starts_anew_learns_that_nothing_is_missing() {
        let (mut one, mut two) = two();
        [&mut one, &mut two].into_iter().for_each(|state| assign(state, 1));
        see(&mut one, "3.1.0");
        let cluster = Command::Cluster(ClusterCommand::Drain { member: MemberId(2), is_drained: true });
        [&mut one, &mut two].into_iter().for_each(|state| _ = state.apply(&cluster).expect("lawful"));
        let now = two.nib.revision();
        assert_eq!(one.nib.revision(), now);
        two.nodes.get_mut(&fixture::node(0)).expect("it is there").progress = Some(Progress::unknown(now));
        assert!(two.hear(one.gossip(Heard::default()).expect("there is news")), "it need not be told again");
        let progress = two.nodes[&fixture::node(0)].progress.clone().expect("there is some");
        assert_eq!(progress.realised(now), Some(now));
    }
}
