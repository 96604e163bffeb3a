//! A member of a cluster. Start at [`Member::start`].

use super::log::Log;
use super::machine::Machine;
use super::peer::{Gone, Own, Peer, Peers, Unanswered};
use super::probation::Probation;
use super::reads::Reads;
use super::types::{Answers, Batch, FIRST_MEMBER, LogId, MemberId, Types};
use super::wire::{Ask, Denied, Said};
use crate::controller::Handle;
use crate::runtime::{Moment, Runtime};
use crate::store::{Identity, Snapshot, Store};
use crate::tls::{AuthorityFiles, Fingerprint, Mutual};
use openraft::errors::{ClientWriteError, Fatal, RaftError};
use openraft::impls::BasicNode;
use openraft::type_config::async_runtime::watch::WatchReceiver;
use openraft::{Config, Raft, RaftMetrics, ReadPolicy, SnapshotPolicy};
use selvedge_core::nib::Southbound;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use uuid::Uuid;

/// How often the daemon takes a snapshot: after so many entries.
pub const SNAPSHOT_EVERY: u64 = 20_000;
/// A leader shows that it lives so often.
const HEARTBEAT: Duration = Duration::from_millis(50);
/// One that is alone shows it to nobody.
const HEARTBEAT_ALONE: Duration = Duration::from_secs(2);
/// So long a command waits for a leader, and for its answer.
const PROPOSE_TTL: Duration = Duration::from_secs(10);
/// The same where nobody else could lead: a slow disk is waited for.
const PROPOSE_TTL_ALONE: Duration = Duration::from_secs(365 * 86_400);
/// So long a whole NIB may take on its way to another member.
const SNAPSHOT_TTL: Duration = Duration::from_secs(60);
/// After this a leader that is not known yet is looked for again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What a member must know before it starts.
#[derive(Clone, Debug)]
pub struct MemberConfig {
    /// Who it is.
    pub identity: Identity,
    /// Where other members reach it; nothing if there are none, and none can join.
    pub address: Option<SocketAddr>,
    /// Where switches reach it, for others to tell them.
    pub southbound: Southbound,
    /// How members prove who they are; nothing where the network is trusted.
    pub mutual: Option<Arc<Mutual>>,
    /// A snapshot is taken after so many entries; at least 1.
    pub snapshot_every: u64,
}

impl MemberConfig {
    /// A cluster of one.
    pub fn alone(cluster: Uuid, snapshot_every: u64) -> MemberConfig {
        let identity = Identity { cluster, member: FIRST_MEMBER, uuid: cluster };
        MemberConfig { identity, address: None, southbound: Southbound::default(), mutual: None, snapshot_every }
    }

    fn raft(&self) -> Config {
        let heartbeat = if self.address.is_none() { HEARTBEAT_ALONE } else { HEARTBEAT };
        let ms = |times: u32| (heartbeat * times).as_millis() as u64;
        Config {
            cluster_name: self.identity.cluster.to_string(),
            heartbeat_interval: ms(1),
            // A follower waits for the longest of these, and then for one between them: nine heartbeats, more or less.
            election_timeout_min: ms(3),
            election_timeout_max: ms(5),
            install_snapshot_timeout: SNAPSHOT_TTL.as_millis() as u64,
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.snapshot_every),
            max_in_snapshot_log_to_keep: 0,
            purge_batch_size: 1,
            enable_pre_vote: Some(true),
            // Not before it has its place: see `probation`.
            enable_elect: self.address.is_none(),
            // A disk that was put back to an earlier state holds less than it did; leaders bear with that.
            allow_log_reversion: Some(true),
            // A leader that starts again would lead in its old term, without the blank entry that tells a new leader what was
            // agreed upon: it could read less than it had promised before.
            enable_leader_restore: Some(false),
            ..Config::default()
        }
    }

    fn node(&self) -> BasicNode {
        BasicNode { addr: self.address.map_or(String::new(), |address| address.to_string()) }
    }
}

/// Why a batch was not carried out, as far as one knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// It was not: nobody leads.
    #[error("no controller leads the cluster: a majority of its members is not there")]
    NoLeader,
    /// Nobody knows: the leader was lost before it answered.
    #[error("the controller that leads the cluster was lost before it answered: {0}")]
    Unknown(String),
    /// Nobody knows: this member is stopping, since its disk failed, as a rule.
    #[error("{0}")]
    Fatal(String),
    /// Nobody knows: this member was dismissed.
    #[error(
        "this controller was dismissed from the cluster; to be a member again, it must join with an empty data directory"
    )]
    Dismissed,
    /// Nobody knows: this member's disk is of a time when it was alone.
    #[error(
        "controller {0} asks, of which this one's data says nothing: the data is a copy of before there were others, and what it \
         would say is out of date; put the latest data back, or have this controller replaced (`selvedge cluster replace` on \
         another) and join with an empty data directory"
    )]
    Outdated(MemberId),
}

impl ProposeError {
    /// Whether the member does not go on, whatever is asked of it.
    pub fn is_final(&self) -> bool {
        match self {
            ProposeError::NoLeader | ProposeError::Unknown(_) => false,
            ProposeError::Fatal(_) | ProposeError::Dismissed | ProposeError::Outdated(_) => true,
        }
    }
}

/// A member. Clones are the same.
pub struct Member<R: Runtime> {
    pub(super) raft: Raft<Types<R>, Machine<R>>,
    pub(super) own: Own,
    pub(super) mutual: Option<Arc<Mutual>>,
    pub(super) handle: Handle,
    pub(super) ttl: Duration,
    has_others: bool,
    reads: Reads,
    pub(super) probation: Probation,
    /// Whether it has had everything once, since it started.
    has_been_current: Arc<AtomicBool>,
}

impl<R: Runtime> Clone for Member<R> {
    fn clone(&self) -> Member<R> {
        Member {
            raft: self.raft.clone(),
            own: self.own.clone(),
            mutual: self.mutual.clone(),
            handle: self.handle.clone(),
            ttl: self.ttl,
            has_others: self.has_others,
            reads: self.reads.clone(),
            probation: self.probation.clone(),
            has_been_current: self.has_been_current.clone(),
        }
    }
}

fn fatal<R: Runtime>(error: &Fatal<Types<R>>) -> ProposeError {
    ProposeError::Fatal(error.to_string())
}

impl<R: Runtime> Member<R> {
    /// Starts a member on its store; `handle` is of the state that `snapshot` has.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn start(
        config: &MemberConfig,
        store: Store,
        handle: Handle,
        snapshot: &Snapshot,
    ) -> Result<Member<R>, ProposeError> {
        let id = config.identity.member;
        let own = Own::new(config.identity.cluster, Some(id), config.mutual.as_ref().map(|mutual| mutual.dial.clone()));
        let machine = Machine::new(handle.clone(), store.clone(), &snapshot.meta);
        let settings = config.raft().validate().expect("our own settings are sound");
        let raft = Raft::new(id, Arc::new(settings), Peers::new(own.clone()), Log::new(store), machine).await;
        let raft = raft.map_err(|error| fatal::<R>(&error))?;
        let is_new = !raft.is_initialized().await.map_err(|error| fatal::<R>(&error))?;
        let ttl = if config.address.is_none() { PROPOSE_TTL_ALONE } else { PROPOSE_TTL };
        let has_others = config.address.is_some();
        let (reads, waiting) = Reads::new();
        let member = Member {
            raft,
            own,
            mutual: config.mutual.clone(),
            handle,
            ttl,
            has_others,
            reads,
            probation: Probation::default(),
            has_been_current: Arc::default(),
        };
        if is_new && id == FIRST_MEMBER {
            match member.raft.initialize(BTreeMap::from([(id, config.node())])).await {
                Ok(()) => {}
                Err(RaftError::Fatal(error)) => return Err(fatal::<R>(&error)),
                Err(RaftError::APIError(error)) => return Err(ProposeError::Fatal(error.to_string())),
            }
        } else if member.is_alone().await? {
            // Nobody else could be elected: no need to wait.
            member.raft.trigger().elect(false).await.map_err(|error| fatal::<R>(&error))?;
        }
        if config.address.is_some() {
            R::spawn("probation", member.clone().find_its_place());
            R::spawn("steward", member.clone().tend(config.clone()));
            R::spawn("gossip", member.clone().listen());
            R::spawn("reads", member.clone().ask_for(waiting));
        }
        Ok(member)
    }

    /// Whether it is the only one with a vote: then it leads as soon as it has started.
    ///
    /// # Errors
    /// If the member is stopping.
    pub async fn is_alone(&self) -> Result<bool, ProposeError> {
        let own = self.own.member;
        // Metrics say nothing before the cluster's task has run for the first time.
        let look = self.raft.with_raft_state(move |state| state.membership_state.effective().voter_ids().eq(own));
        look.await.map_err(|error| fatal::<R>(&error))
    }

    /// Waits until this member's state has all that the cluster had agreed upon when it was asked: what is read from it then
    /// is not older than anything that was promised before.
    ///
    /// # Errors
    /// If the leader does not confirm it by the deadline, or the member is stopping.
    pub async fn catch_up(&self, deadline: Moment) -> Result<(), ProposeError> {
        loop {
            let asked = match self.has_others {
                true => R::before(deadline, self.reads.next()).await,
                false => R::before(deadline, self.read_index(deadline)).await,
            };
            match asked.unwrap_or(Ok(None))? {
                Some(index) => {
                    self.applied(index, deadline).await?;
                    self.has_been_current.store(true, Ordering::Release);
                    return Ok(());
                }
                None if R::now() >= deadline => return Err(ProposeError::NoLeader),
                None => R::sleep(LOOK_AGAIN).await,
            }
        }
    }

    /// Up to where the leader, which still leads, knows entries to be agreed upon; none if it did not say.
    pub(super) async fn read_index(&self, deadline: Moment) -> Result<Option<LogId>, ProposeError> {
        match self.raft.get_read_log_id(ReadPolicy::ReadIndex).await {
            Ok((read, _)) => return Ok(Some(*read.log_id())),
            Err(RaftError::Fatal(error)) => return Err(fatal::<R>(&error)),
            Err(RaftError::APIError(_)) => {}
        }
        let metrics = self.metrics();
        let leader = metrics.current_leader.filter(|leader| Some(*leader) != self.own.member);
        let node = leader.and_then(|leader| metrics.membership_config.membership().get_node(&leader).cloned());
        let Some((leader, node)) = leader.zip(node) else { return Ok(None) };
        let ttl = deadline.saturating_sub(R::now());
        match Peer::<R>::new(self.own.clone(), leader, &node).ask(Ask::ReadIndex, ttl).await {
            Ok(Said::ReadIndex(log_id)) => Ok(Some(log_id)),
            Ok(_) | Err(_) => Ok(None),
        }
    }

    /// Waits until entries up to a place are applied.
    async fn applied(&self, log_id: LogId, deadline: Moment) -> Result<(), ProposeError> {
        let mut metrics = self.raft.metrics();
        let applied = async {
            loop {
                let (state, applied) = {
                    let now = metrics.borrow_and_update();
                    (now.running_state.clone(), now.last_applied)
                };
                state.map_err(|error| fatal::<R>(&error))?;
                if applied >= Some(log_id) {
                    return Ok(());
                }
                metrics.changed().await.map_err(|_| fatal::<R>(&Fatal::Stopped))?;
            }
        };
        R::before(deadline, applied).await.unwrap_or(Err(ProposeError::NoLeader))
    }

    /// Has the cluster carry out commands, by way of the leader; what became of each.
    ///
    /// # Errors
    /// If there is no leader, it is lost on the way, or this member is stopping.
    pub async fn propose(&self, batch: Batch) -> Result<Answers, ProposeError> {
        let deadline = R::now() + self.ttl;
        loop {
            let leader = match R::before(deadline, self.raft.client_write(batch.clone())).await {
                Some(Ok(written)) => return Ok(written.data),
                Some(Err(RaftError::Fatal(error))) => return Err(fatal::<R>(&error)),
                // It was not appended anywhere.
                Some(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward)))) => {
                    forward.leader_id.zip(forward.leader_node)
                }
                Some(Err(RaftError::APIError(error))) => return Err(ProposeError::Unknown(error.to_string())),
                None => return Err(ProposeError::Unknown(format!("no majority agreed within {:?}", self.ttl))),
            };
            if let Some((id, node)) = leader.filter(|(id, _)| Some(*id) != self.own.member) {
                let left = deadline.saturating_sub(R::now());
                match Peer::<R>::new(self.own.clone(), id, &node).ask(Ask::Propose(batch.clone()), left).await {
                    Ok(Said::Done(answers)) => return Ok(answers),
                    Ok(other) => return Err(ProposeError::Unknown(format!("it answered {other:?}"))),
                    Err(Unanswered::Lost(error)) => return Err(ProposeError::Unknown(error.to_string())),
                    Err(Unanswered::Denied(Denied::Failed(why))) => return Err(ProposeError::Unknown(why)),
                    Err(error @ (Unanswered::Unreachable(_) | Unanswered::Denied(_))) => {
                        tracing::debug!(leader = %id, %error, "the leader did not take a batch");
                    }
                }
            }
            if R::now() >= deadline {
                return Err(ProposeError::NoLeader);
            }
            R::sleep(LOOK_AGAIN).await;
        }
    }

    /// Whether its state has had everything once, since it started: before, it may lack anything.
    pub fn has_been_current(&self) -> bool {
        self.has_been_current.load(Ordering::Acquire)
    }

    /// The authority of the cluster, if members prove to each other who they are.
    pub fn authority(&self) -> Option<Fingerprint> {
        self.authority_files().and_then(AuthorityFiles::fingerprint)
    }

    /// The same, as its files hold it.
    pub fn authority_files(&self) -> Option<&AuthorityFiles> {
        self.mutual.as_ref().map(|mutual| &mutual.authority)
    }

    /// The cluster.
    pub fn cluster(&self) -> Uuid {
        self.own.cluster
    }

    /// Whether there are others, or may be.
    pub fn has_others(&self) -> bool {
        self.has_others
    }

    /// Its number.
    pub fn number(&self) -> MemberId {
        self.own.member.expect("who is a member has a number")
    }

    /// What openraft says of itself.
    pub fn metrics(&self) -> RaftMetrics<Types<R>> {
        self.raft.metrics().borrow_watched().clone()
    }

    /// Waits until the member stops by itself, or must not go on, and says why: its disk failed, as a rule.
    pub async fn failure(&self) -> ProposeError {
        let mut metrics = self.raft.metrics();
        let broken = async {
            loop {
                if let Err(error) = &metrics.borrow_watched().running_state {
                    return fatal::<R>(error);
                }
                if metrics.changed().await.is_err() {
                    return fatal::<R>(&Fatal::Stopped);
                }
            }
        };
        tokio::select! {
            biased;
            broken = broken => broken,
            gone = self.own.gone() => match gone {
                Gone::Dismissed => ProposeError::Dismissed,
                Gone::Outdated(by) => ProposeError::Outdated(by),
            },
        }
    }

    /// Stops the member.
    pub async fn stop(&self) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::debug!(%error, "the cluster's task was gone already");
        }
    }
}

#[cfg(test)]
mod tests;
