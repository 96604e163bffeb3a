//! What a member that starts does before it takes part: it asks others where they are.
//!
//! Raft takes it for granted that a disk holds what was written to it. One that was put back to an earlier state, as by a
//! virtual machine's snapshot, has forgotten votes and entries that others counted on: its member could vote twice in a
//! term, or help to elect a leader that lacks what was promised. So a member that starts first hears from so many others
//! that whoever counted on it is among them. From then on it votes in no term up to the latest that it was told of, and for
//! nobody whose log is behind the furthest, until its own is as far. With a disk that has forgotten nothing this takes a
//! round trip. (Recovery in Viewstamped Replication, "Viewstamped Replication Revisited", section 4.3, rests on the same
//! thought.)
//!
//! If too few answer it trusts its disk in the end: who cannot be asked is down, and a disk that was put back besides is more
//! than such a cluster bears. With five members that do not all answer, a vote that was given just before the start to one
//! that is not heard of may be given again. And one that is put back to when it was alone has nobody to ask: it leads itself until the
//! first of the others asks it something, and stops then. Start at [`Member::find_its_place`].

use super::Member;
use super::peer::Peer;
use super::types::{LeaderId, LogId, MemberId, StoredMembership, Types, Vote};
use super::wire::{Ask, Denied, Said};
use crate::runtime::Runtime;
use openraft::errors::RaftError;
use openraft::impls::BasicNode;
use openraft::raft::VoteRequest;
use openraft::vote::RaftVote;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

/// So long others are asked; long enough for hosts that lost power together.
const ASK_MAX: Duration = Duration::from_secs(5);
/// One that does not answer is asked again after this.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// So long each is waited for.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// So long a member may take to come as far as others were.
const BEHIND_MAX: Duration = Duration::from_secs(10);
/// It looks so often whether it has.
const LOOK: Duration = Duration::from_millis(20);
/// To vote for this is to vote for nobody in a term; who was elected in it is followed all the same.
const NOBODY: MemberId = MemberId(0);
/// Most answers that wait to be looked at.
const ANSWERS_MAX: usize = 16;

/// Where a member is, as far as it knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whereabouts {
    /// Whom it voted for last, or follows.
    pub vote: Vote,
    /// The last entry of its log.
    pub last: Option<LogId>,
    /// Who is a member.
    pub membership: StoredMembership,
}

impl Whereabouts {
    fn term(&self) -> u64 {
        self.vote.leader_id.term
    }
}

/// Whether a member that has started takes part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    /// It asks others.
    #[default]
    Asking,
    /// It has nothing yet, not even who else is a member.
    New,
    /// It is behind others, who were here.
    Behind(LogId),
    /// As any other.
    Whole,
}

/// The same, for all that answer for a member. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Probation(Arc<Mutex<Part>>);

impl Probation {
    fn part(&self) -> Part {
        *self.0.lock().expect("no holder panics")
    }

    fn becomes(&self, part: Part) {
        *self.0.lock().expect("no holder panics") = part;
    }

    /// Whether a question may be answered.
    ///
    /// # Errors
    /// If it is too early.
    pub fn admits<R: Runtime>(&self, ask: &Ask<R>) -> Result<(), Denied> {
        let may = match (ask, self.part()) {
            (_, Part::Whole) => true,
            // A leader of a term that is over may ask, too, and must not be followed.
            (Ask::Append(_) | Ask::Snapshot { .. }, part) => part != Part::Asking,
            (Ask::Vote(vote) | Ask::PreVote(vote), Part::Behind(floor)) => vote.last_log_id >= Some(floor),
            (Ask::Vote(_) | Ask::PreVote(_), Part::New | Part::Asking) => false,
            (Ask::ReadIndex | Ask::Propose(_) | Ask::View | Ask::Whereabouts | Ask::Listen(_) | Ask::Join(_), _) => {
                true
            }
        };
        if may { Ok(()) } else { Err(Denied::NotYet) }
    }
}

/// Whether, of each majority that a member may have been part of, somebody else was heard.
fn is_enough(own: MemberId, membership: &StoredMembership, heard: &BTreeSet<MemberId>) -> bool {
    membership.membership().get_joint_config().iter().all(|voters| {
        let majority = voters.len() / 2 + 1;
        let is_alone = voters.iter().all(|voter| *voter == own);
        is_alone || heard.intersection(voters).count() > voters.len() - majority
    })
}

impl<R: Runtime> Member<R> {
    /// Finds out where others are, and takes part when it may.
    pub(super) async fn find_its_place(self) {
        tokio::select! {
            biased;
            _ = self.failure() => {}
            // It fails only when the member does.
            _ = self.take_its_place() => {}
        }
    }

    async fn take_its_place(&self) -> Result<(), RaftError<Types<R>>> {
        let own = loop {
            let own = self.whereabouts().await?;
            if own.membership.voter_ids().next().is_some() {
                break own;
            }
            self.probation.becomes(Part::New);
            R::sleep(LOOK).await;
        };
        self.probation.becomes(Part::Asking);
        // What came in the meantime counts, too.
        let own = Whereabouts { membership: own.membership, ..self.whereabouts().await? };
        let told = self.hear(&own).await;
        let floor = told.values().filter_map(|other| other.last).max();
        let term = told.values().map(Whereabouts::term).max().unwrap_or_default();
        while self.whereabouts().await?.term() < term {
            let nobody = Vote::from_leader_id(LeaderId { term, voted_for: NOBODY }, false);
            if !self.raft.vote(VoteRequest::new(nobody, floor.max(own.last))).await?.vote_granted {
                R::sleep(LOOK).await;
            }
        }
        if let Some(floor) = floor.filter(|floor| own.last < Some(*floor)) {
            self.probation.becomes(Part::Behind(floor));
            let until = R::now() + BEHIND_MAX;
            while self.whereabouts().await?.last < Some(floor) {
                if R::now() >= until {
                    tracing::warn!(%floor, "others, who were further, are gone: this controller votes without them");
                    break;
                }
                R::sleep(LOOK).await;
            }
        }
        self.probation.becomes(Part::Whole);
        self.raft.runtime_config().elect(true);
        Ok(())
    }

    /// Where it is.
    ///
    /// # Errors
    /// If the member is stopping.
    pub(super) async fn whereabouts(&self) -> Result<Whereabouts, RaftError<Types<R>>> {
        let membership = self.raft.with_raft_state(|state| (**state.membership_state.effective()).clone()).await?;
        // That nobody would be voted for in a term that never was is no news; but it says what there is.
        let nobody = Vote::from_leader_id(LeaderId { term: 0, voted_for: NOBODY }, false);
        let said = self.raft.pre_vote(VoteRequest::new(nobody, None)).await?;
        Ok(Whereabouts { vote: said.vote, last: said.last_log_id, membership })
    }

    /// Where others are, as many of them as are needed, if they answer in time.
    async fn hear(&self, own: &Whereabouts) -> BTreeMap<MemberId, Whereabouts> {
        let until = R::now() + ASK_MAX;
        let (tell, mut told) = mpsc::channel(ANSWERS_MAX);
        let (mut asked, mut heard) = (BTreeSet::new(), BTreeMap::<MemberId, Whereabouts>::new());
        loop {
            // Its own log may be of a time when others were members.
            let memberships = heard.values().map(|other| &other.membership);
            let newest = memberships.fold(&own.membership, |a, b| if b.log_id() > a.log_id() { b } else { a });
            if is_enough(self.number(), newest, &heard.keys().copied().collect()) {
                return heard;
            }
            for (member, node) in newest.nodes().filter(|(member, _)| **member != self.number()) {
                if asked.insert((*member, node.addr.clone())) {
                    R::spawn("probation", self.clone().ask_where(*member, node.clone(), tell.clone()));
                }
            }
            match R::before(until, told.recv()).await {
                Some(answer) => heard.extend(answer),
                None => {
                    let heard_of: Vec<&MemberId> = heard.keys().collect();
                    tracing::warn!(?heard_of, "too few controllers answer to tell whether this one's disk is of today");
                    return heard;
                }
            }
        }
    }

    /// Asks a member where it is until it says so, or nobody waits for it any more.
    async fn ask_where(self, member: MemberId, node: BasicNode, tell: mpsc::Sender<(MemberId, Whereabouts)>) {
        let mut peer = Peer::<R>::new(self.own.clone(), member, &node);
        while !tell.is_closed() {
            match peer.ask(Ask::Whereabouts, ANSWER_MAX).await {
                Ok(Said::Whereabouts(whereabouts)) => {
                    // Nobody waits for it any more.
                    let _ = tell.send((member, whereabouts)).await;
                    return;
                }
                Ok(other) => tracing::debug!(%member, ?other, "it was asked where it is"),
                Err(error) => tracing::debug!(%member, %error, "it does not say where it is"),
            }
            R::sleep(ASK_AGAIN).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::members;
    use super::super::types::Leadership;
    use super::*;
    use crate::runtime::Tokio;
    use openraft::Membership;

    fn membership(configs: &[&[u64]]) -> StoredMembership {
        let configs: Vec<BTreeSet<MemberId>> = configs.iter().map(|voters| members(voters)).collect();
        let all = configs.iter().flatten().map(|member| (*member, BasicNode::default()));
        let nodes: BTreeMap<MemberId, BasicNode> = all.collect();
        StoredMembership::new(None, Membership::new(configs, nodes).expect("sound"))
    }

    #[test]
    fn whoever_may_have_counted_on_a_member_is_heard() {
        let enough = |own: u64, configs: &[&[u64]], heard: &[u64]| {
            is_enough(MemberId(own), &membership(configs), &members(heard))
        };
        assert!(enough(1, &[&[1]], &[]), "there is nobody else");
        assert!(!enough(1, &[&[1, 2]], &[]) && enough(1, &[&[1, 2]], &[2]));
        assert!(!enough(1, &[&[1, 2, 3]], &[2]) && enough(1, &[&[1, 2, 3]], &[2, 3]));
        assert!(!enough(1, &[&[1, 2, 3, 4]], &[2]) && enough(1, &[&[1, 2, 3, 4]], &[2, 4]));
        let five: &[&[u64]] = &[&[1, 2, 3, 4, 5]];
        assert!(!enough(1, five, &[2, 3]) && enough(1, five, &[2, 3, 5]));
        assert!(!enough(1, five, &[2, 3, 7]), "who has no vote does not count");
        // Its disk may be of before it had a vote.
        assert!(!enough(4, &[&[1, 2, 3]], &[1]) && enough(4, &[&[1, 2, 3]], &[1, 3]));
        let joint: &[&[u64]] = &[&[1], &[1, 2, 3]];
        assert!(!enough(1, joint, &[2]) && enough(1, joint, &[2, 3]));
    }

    #[test]
    fn nobody_gets_a_vote_who_is_behind_what_others_had() {
        let at = |term, index| LogId { leader_id: Leadership::new(term), index };
        let vote = Vote::from_leader_id(LeaderId { term: 9, voted_for: MemberId(2) }, false);
        let asks =
            |last| [Ask::<Tokio>::Vote(VoteRequest::new(vote, last)), Ask::PreVote(VoteRequest::new(vote, last))];
        let probation = Probation::default();
        let may = |part: Part, last: Option<LogId>| {
            probation.becomes(part);
            asks(last).map(|ask| probation.admits(&ask).is_ok())
        };
        let floor = Part::Behind(at(3, 7));
        assert_eq!(may(floor, None), [false; 2]);
        assert_eq!(may(floor, Some(at(3, 6))), [false; 2]);
        assert_eq!(may(floor, Some(at(2, 9))), [false; 2]);
        assert_eq!(may(floor, Some(at(3, 7))), [true; 2]);
        assert_eq!(may(floor, Some(at(4, 5))), [true; 2]);
        assert_eq!(may(Part::Whole, None), [true; 2]);
        assert_eq!([may(Part::New, Some(at(4, 5))), may(Part::Asking, Some(at(4, 5)))], [[false; 2]; 2]);
        assert_eq!(probation.admits(&Ask::<Tokio>::Whereabouts), Ok(()), "others may be asking, too");
    }
}
