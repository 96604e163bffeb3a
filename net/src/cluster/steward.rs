//! Makes the membership of the log follow the members that the NIB wants, and tells the NIB where this member is.
//!
//! Who may vote is the log's business, and changes one agreed step at a time; who *should* is the NIB's. The leader's steward
//! compares the two and takes the next step ([`next_change`]), so that a change which was begun under one leader is finished
//! under the next. A member that hears of no leader asks the others whether it is a member at all: one that was dismissed
//! while it was away is told so by nobody else. The leader also shares out the transport nodes, as
//! [`assign`] says, among those that its [`Vigil`] finds fit. Start at [`Member::tend`].

use super::mastership::{assign, outreached};
use super::peer::Peer;
use super::types::{Batch, MemberId};
use super::view::ClusterView;
use super::vigil::Vigil;
use super::wire::Ask;
use super::{Member, MemberConfig};
use crate::runtime::Runtime;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::impls::BasicNode;
use openraft::{ChangeMembers, Membership};
use selvedge_core::nib::{Cluster, ClusterCommand, Command};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The steward looks so often.
const LOOK: Duration = Duration::from_millis(100);
/// A member without a leader asks others after so many looks in a row.
const LOOKS_ALONE: u32 = 20;
/// So long it waits for each.
const ASK_MAX: Duration = Duration::from_secs(1);

/// How a member without a vote is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has what the leader has, nearly.
    CaughtUp,
    /// It is catching up.
    Behind,
    /// It answered once, and does not any more.
    Silent,
}

type Change = ChangeMembers<MemberId, BasicNode>;

fn node(address: &impl ToString) -> BasicNode {
    BasicNode { addr: address.to_string() }
}

/// The next step from the membership that is agreed upon to the one that is wanted; nothing if it is there, or must wait.
///
/// Votes change in one joint step: who replaces another gets its vote when the other loses it, and while somebody is still
/// catching up nobody's vote is taken away, so that the cluster bears no less in between than before and after.
pub(super) fn next_change(
    wanted: &Cluster,
    now: &Membership<MemberId, BasicNode>,
    standing: impl Fn(MemberId) -> Standing,
) -> Option<Change> {
    let members = wanted.members();
    if members.is_empty() {
        return None;
    }
    let configs = now.get_joint_config();
    let voters = configs.last()?;
    if configs.len() > 1 {
        return Some(Change::ReplaceAllVoters(voters.clone()));
    }
    let moved = members
        .iter()
        .filter(|(member, record)| now.get_node(member).is_some_and(|known| *known != node(&record.address)));
    if let Some((member, record)) = moved.into_iter().next() {
        return Some(Change::SetNodes(BTreeMap::from([(*member, node(&record.address))])));
    }
    let new: BTreeMap<MemberId, BasicNode> = members
        .iter()
        .filter(|(member, _)| now.get_node(member).is_none())
        .map(|(member, record)| (*member, node(&record.address)))
        .collect();
    if !new.is_empty() {
        return Some(Change::AddNodes(new));
    }
    let learners: Vec<(MemberId, Standing)> = now
        .learner_ids()
        .filter(|member| members.contains_key(member))
        .map(|member| (member, standing(member)))
        .collect();
    let caught_up = learners.iter().filter(|(_, standing)| *standing == Standing::CaughtUp).map(|(member, _)| *member);
    let kept = voters.iter().filter(|member| members.contains_key(member)).copied();
    let target: BTreeSet<MemberId> = kept.chain(caught_up).collect();
    let is_catching_up = learners.iter().any(|(_, standing)| *standing == Standing::Behind);
    if target != *voters && !target.is_empty() && (target.is_superset(voters) || !is_catching_up) {
        return Some(Change::ReplaceAllVoters(target));
    }
    let strangers: BTreeSet<MemberId> = now.learner_ids().filter(|member| !members.contains_key(member)).collect();
    (!strangers.is_empty()).then_some(Change::RemoveNodes(strangers))
}

impl<R: Runtime> Member<R> {
    /// Tends the membership for as long as the member lives.
    pub(super) async fn tend(self, config: MemberConfig) {
        let (mut alone, mut vigil) = (0, Vigil::default());
        while self.metrics().running_state.is_ok() {
            R::sleep(LOOK).await;
            let leader = self.metrics().current_leader;
            match self.own_view() {
                Some(view) => {
                    self.take_step(&view).await;
                    self.share_out(&mut vigil, &view).await;
                }
                None => vigil = Vigil::default(),
            }
            if leader.is_some() {
                self.enter(&config).await;
            }
            let own = config.identity.member;
            let is_dismissed = self.handle.read(|state| state.nib.cluster().is_dismissed(own));
            alone = if leader.is_some() && !is_dismissed { 0 } else { alone + 1 };
            if alone >= LOOKS_ALONE {
                alone = 0;
                self.ask_around(&config).await;
            }
        }
    }

    /// The leader takes the next step, if there is one.
    async fn take_step(&self, view: &ClusterView) {
        let (metrics, wanted) = (self.metrics(), self.handle.read(|state| state.nib.cluster().clone()));
        let standing = |member: MemberId| match view.members.get(&member) {
            Some(view) if view.is_well() => Standing::CaughtUp,
            Some(view) if view.heard_ms.is_some() && !view.answers() => Standing::Silent,
            // One that was never heard of may be about to start.
            Some(_) | None => Standing::Behind,
        };
        let Some(change) = next_change(&wanted, metrics.membership_config.membership(), standing) else { return };
        tracing::info!(?change, "the membership changes");
        match self.raft.change_membership(change, false).await {
            Ok(_) => {}
            // Another leads, and goes on with it.
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => {}
            Err(error) => tracing::warn!(%error, "the membership was not changed; it is tried again"),
        }
    }

    /// The leader gives transport nodes masters, if some should have another.
    async fn share_out(&self, vigil: &mut Vigil, view: &ClusterView) {
        let (found, assignments) = self.handle.read(|state| {
            let reach = |member, node| state.reach(member, node);
            let seen = (state.nib.revision(), state.news());
            let found = vigil.look(R::now(), view, seen, |alive| outreached(&state.nib, alive, reach));
            let is_in_order = vigil.is_in_order(&found);
            let assignments = if is_in_order { Vec::new() } else { assign(&state.nib, &found.fit, reach) };
            (found, assignments)
        });
        if assignments.is_empty() {
            return vigil.found_in_order(found);
        }
        tracing::info!(nodes = assignments.len(), alive = ?found.fit.alive, "transport nodes change hands");
        let command = Command::Cluster(ClusterCommand::Assign(assignments));
        if let Err(error) = self.propose(Batch(vec![command])).await {
            tracing::debug!(%error, "transport nodes did not change hands; it is tried again");
        }
    }

    /// What tells the NIB where this member is, if it knows another address, or none.
    fn news(&self, config: &MemberConfig) -> Option<Batch> {
        let (member, uuid, address) = (config.identity.member, config.identity.uuid, config.address?);
        let southbound = config.southbound;
        // Only one that votes alone forms a cluster.
        let is_first = || self.metrics().membership_config.voter_ids().eq([member]);
        let is_news = self.handle.read(|state| {
            let members = state.nib.cluster().members();
            match members.get(&member) {
                Some(record) => (record.address, record.southbound) != (address, southbound),
                None => members.is_empty() && is_first(),
            }
        });
        is_news.then(|| Batch(vec![Command::Cluster(ClusterCommand::Enter { member, uuid, address, southbound })]))
    }

    /// Tells the NIB where this member is.
    async fn enter(&self, config: &MemberConfig) {
        let Some(enter) = self.news(config) else { return };
        // It may be news only for one who has not caught up.
        if self.catch_up(R::now() + ASK_MAX).await.is_err() || self.news(config).is_none() {
            return;
        }
        match self.propose(enter).await.map(|answers| answers.of_each.into_iter().next()) {
            Ok(Some(Err(refusal))) => tracing::warn!(%refusal, "others are not told where this controller is"),
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "others are not told yet where this controller is"),
        }
    }

    /// Asks all that are known whether this is a member at all; [`Peer::ask`] notes it if not. One that has moved tells them
    /// where it is now: the leader seeks it where it was.
    async fn ask_around(&self, config: &MemberConfig) {
        let metrics = self.metrics();
        let nodes = metrics.membership_config.nodes().map(|(member, node)| (*member, node.clone()));
        let mut known: BTreeMap<MemberId, BasicNode> = nodes.collect();
        self.handle.read(|state| {
            let records = state.nib.cluster().members().iter();
            known.extend(records.map(|(member, record)| (*member, node(&record.address))));
        });
        for (member, node) in known.into_iter().filter(|(member, _)| Some(*member) != self.own.member) {
            let ask = self.news(config).map_or(Ask::ReadIndex, Ask::Propose);
            // Any other answer, or none, says nothing.
            let _ = Peer::<R>::new(self.own.clone(), member, &node).ask(ask, ASK_MAX).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{address, apply, members as set, nib};
    use super::*;

    /// A cluster whose members came one after the other, but for those that were dismissed.
    fn wanted(last: u64, dismissed: &[u64]) -> Cluster {
        let mut nib = nib(last, 0);
        dismissed.iter().for_each(|n| apply(&mut nib, ClusterCommand::Dismiss { member: MemberId(*n) }));
        nib.cluster().clone()
    }

    fn nodes(ids: &[u64]) -> BTreeMap<MemberId, BasicNode> {
        ids.iter().map(|n| (MemberId(*n), node(&address(*n)))).collect()
    }

    fn membership(voters: &[u64], all: &[u64]) -> Membership<MemberId, BasicNode> {
        Membership::new(vec![set(voters)], nodes(all)).expect("sound")
    }

    fn next(wanted: &Cluster, now: &Membership<MemberId, BasicNode>, standing: Standing) -> Option<Change> {
        next_change(wanted, now, |_| standing)
    }

    #[test]
    fn who_joins_learns_first_and_votes_when_it_has_caught_up() {
        let wanted = wanted(2, &[]);
        let alone = membership(&[1], &[1]);
        assert_eq!(next(&wanted, &alone, Standing::Silent), Some(Change::AddNodes(nodes(&[2]))));
        let learning = membership(&[1], &[1, 2]);
        assert_eq!(next(&wanted, &learning, Standing::Silent), None);
        assert_eq!(next(&wanted, &learning, Standing::Behind), None);
        assert_eq!(next(&wanted, &learning, Standing::CaughtUp), Some(Change::ReplaceAllVoters(set(&[1, 2]))));
        assert_eq!(next(&wanted, &membership(&[1, 2], &[1, 2]), Standing::CaughtUp), None);
    }

    #[test]
    fn who_is_replaced_votes_until_the_other_can() {
        let wanted = wanted(4, &[3]);
        let before = membership(&[1, 2, 3], &[1, 2, 3]);
        assert_eq!(next(&wanted, &before, Standing::Silent), Some(Change::AddNodes(nodes(&[4]))));
        let learning = membership(&[1, 2, 3], &[1, 2, 3, 4]);
        assert_eq!(next(&wanted, &learning, Standing::Behind), None);
        assert_eq!(next(&wanted, &learning, Standing::CaughtUp), Some(Change::ReplaceAllVoters(set(&[1, 2, 4]))));
        // One that died as soon as it had joined keeps nobody.
        assert_eq!(next(&wanted, &learning, Standing::Silent), Some(Change::ReplaceAllVoters(set(&[1, 2]))));
    }

    #[test]
    fn what_was_begun_is_finished_and_strangers_go() {
        let wanted = wanted(2, &[]);
        let joint = Membership::new(vec![set(&[1]), set(&[1, 2])], nodes(&[1, 2])).expect("sound");
        assert_eq!(next(&wanted, &joint, Standing::Silent), Some(Change::ReplaceAllVoters(set(&[1, 2]))));
        let stranger = membership(&[1, 2], &[1, 2, 7]);
        assert_eq!(next(&wanted, &stranger, Standing::Silent), Some(Change::RemoveNodes(set(&[7]))));
        let mut moved = nodes(&[1, 2]);
        moved.insert(MemberId(2), node(&address(9)));
        let moved = Membership::new(vec![set(&[1, 2])], moved).expect("sound");
        let back = nodes(&[2]);
        assert_eq!(next(&wanted, &moved, Standing::Silent), Some(Change::SetNodes(back)));
        assert_eq!(next(&Cluster::default(), &membership(&[1], &[1]), Standing::Silent), None);
    }
}
