//! How a cluster is, as its leader sees it. Start at [`ClusterView`].

use super::Member;
use super::member::ProposeError;
use super::peer::Peer;
use super::types::MemberId;
use super::wire::{Ask, Said};
use crate::runtime::{Moment, Runtime};
use openraft_rt::Instant;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Who did not answer the leader for so long does not count.
pub(super) const SILENT: Duration = Duration::from_secs(2);
/// Who lacks at most so many entries is as good as caught up.
pub(super) const CAUGHT_UP: u64 = 100;

/// A cluster, as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterView {
    /// Who leads it.
    pub leader: MemberId,
    /// Since which term.
    pub term: u64,
    /// Its members.
    pub members: BTreeMap<MemberId, MemberView>,
}

/// A member, as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberView {
    /// Whether it votes, or learns as yet.
    pub votes: bool,
    /// How long ago it answered last, in milliseconds; nothing if it never did under this leader.
    pub heard_ms: Option<u64>,
    /// How many entries of the log it lacks; nothing if that is not known.
    pub lacks: Option<u64>,
}

impl MemberView {
    /// Whether it answers.
    pub fn answers(&self) -> bool {
        self.heard_ms.is_some_and(|ms| u128::from(ms) <= SILENT.as_millis())
    }

    /// Whether it answers, and has nearly everything.
    pub fn is_well(&self) -> bool {
        self.answers() && self.lacks.is_some_and(|lacks| lacks <= CAUGHT_UP)
    }
}

impl ClusterView {
    /// How many members vote, and how many of them are well.
    pub fn voters(&self) -> (usize, usize) {
        let voters = || self.members.values().filter(|member| member.votes);
        (voters().count(), voters().filter(|member| member.is_well()).count())
    }

    /// Whether a majority of those that vote is well.
    pub fn has_majority(&self) -> bool {
        let (voters, well) = self.voters();
        well > voters / 2
    }

    /// Whether the cluster goes on taking writes while a member is away: a majority of those that vote must be left, and well.
    pub fn can_spare(&self, member: MemberId) -> bool {
        let (voters, well) = self.voters();
        let is_one = self.members.get(&member).is_some_and(|member| member.votes && member.is_well());
        well - usize::from(is_one) > voters / 2
    }
}

impl<R: Runtime> Member<R> {
    /// How the cluster is, as its leader sees it.
    ///
    /// # Errors
    /// If there is none, or it does not answer by the deadline.
    pub async fn view(&self, deadline: Moment) -> Result<ClusterView, ProposeError> {
        if let Some(view) = self.own_view() {
            return Ok(view);
        }
        let metrics = self.metrics();
        let leader = metrics.current_leader.ok_or(ProposeError::NoLeader)?;
        let node = metrics.membership_config.get_node(&leader).cloned().ok_or(ProposeError::NoLeader)?;
        let ttl = deadline.saturating_sub(R::now());
        match Peer::<R>::new(self.own.clone(), leader, &node).ask(Ask::View, ttl).await {
            Ok(Said::View(view)) => Ok(view),
            Ok(_) | Err(_) => Err(ProposeError::NoLeader),
        }
    }

    /// How the cluster is, if this is its leader.
    pub(super) fn own_view(&self) -> Option<ClusterView> {
        let metrics = self.metrics();
        let leader = self.own.member.filter(|own| metrics.current_leader == Some(*own))?;
        // One that leads has heard of the others at least once, or leads alone.
        let (heartbeat, replication) = (metrics.heartbeat.as_ref()?, metrics.replication.as_ref()?);
        let last = metrics.last_log_index.unwrap_or_default();
        let members = metrics.membership_config.nodes().map(|(member, _)| {
            let heard = heartbeat.get(member).copied().flatten();
            let has = replication.get(member).copied().flatten();
            let view = MemberView {
                votes: metrics.membership_config.voter_ids().any(|voter| voter == *member),
                heard_ms: match *member == leader {
                    true => Some(0),
                    false => heard.map(|at| at.elapsed().as_millis() as u64),
                },
                lacks: match *member == leader {
                    true => Some(0),
                    false => has.map(|has| last.saturating_sub(has.index)),
                },
            };
            (*member, view)
        });
        Some(ClusterView { leader, term: metrics.current_term, members: members.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(votes: bool, heard_ms: Option<u64>, lacks: Option<u64>) -> MemberView {
        MemberView { votes, heard_ms, lacks }
    }

    fn view(members: &[MemberView]) -> ClusterView {
        let members = (1..).map(MemberId).zip(members.iter().cloned()).collect();
        ClusterView { leader: MemberId(1), term: 1, members }
    }

    #[test]
    fn a_member_can_be_spared_while_a_majority_is_well_without_it() {
        let well = || member(true, Some(20), Some(1));
        let dead = || member(true, Some(60_000), Some(1));
        assert!(!view(&[well()]).can_spare(MemberId(1)));
        assert!(!view(&[well(), well()]).can_spare(MemberId(2)));
        assert!(view(&[well(), well(), well()]).can_spare(MemberId(1)));
        let degraded = view(&[well(), well(), dead()]);
        assert!(!degraded.can_spare(MemberId(1)) && degraded.can_spare(MemberId(3)));
        let behind = view(&[well(), well(), member(true, Some(20), Some(1_000))]);
        assert!(!behind.can_spare(MemberId(2)) && behind.can_spare(MemberId(3)));
        let learner = view(&[well(), well(), member(false, Some(20), Some(0))]);
        assert!(!learner.can_spare(MemberId(2)) && learner.can_spare(MemberId(3)));
        assert_eq!(degraded.voters(), (3, 2));
    }
}
