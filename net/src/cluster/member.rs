//! A member of a cluster. Start at [`Member::start`].

use super::log::Log;
use super::machine::Machine;
use super::peer::{Own, Peer, Peers, Unanswered};
use super::types::{Answers, Batch, FIRST_MEMBER, LogId, MemberId, Types};
use super::wire::{self, Ask, Denied, Envelope, Said};
use crate::controller::Handle;
use crate::runtime::{Accepted, Listener, Moment, Runtime};
use crate::store::{Snapshot, Store};
use openraft::errors::{ClientWriteError, Fatal, RaftError};
use openraft::impls::BasicNode;
use openraft::type_config::async_runtime::watch::WatchReceiver;
use openraft::{Config, Raft, RaftMetrics, ReadPolicy, SnapshotPolicy};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How often the daemon takes a snapshot: after so many entries.
pub const SNAPSHOT_EVERY: u64 = 20_000;
/// A leader shows that it lives so often.
const HEARTBEAT: Duration = Duration::from_millis(100);
/// One that is alone shows it to nobody.
const HEARTBEAT_ALONE: Duration = Duration::from_secs(2);
/// So long a command waits for a leader, and for its answer.
const PROPOSE_TTL: Duration = Duration::from_secs(10);
/// The same where nobody else could lead: a slow disk is waited for.
const PROPOSE_TTL_ALONE: Duration = Duration::from_secs(365 * 86_400);
/// After this a leader that is not known yet is looked for again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What a member must know before it starts.
#[derive(Clone, Debug)]
pub struct MemberConfig {
    /// The cluster.
    pub cluster: Uuid,
    /// Its own number.
    pub id: MemberId,
    /// Who forms the cluster, itself included; empty: it is alone.
    pub founders: BTreeMap<MemberId, SocketAddr>,
    /// A snapshot is taken after so many entries; at least 1.
    pub snapshot_every: u64,
}

impl MemberConfig {
    /// A cluster of one.
    pub fn alone(cluster: Uuid, snapshot_every: u64) -> MemberConfig {
        MemberConfig { cluster, id: FIRST_MEMBER, founders: BTreeMap::new(), snapshot_every }
    }

    fn raft(&self) -> Config {
        let heartbeat = if self.founders.is_empty() { HEARTBEAT_ALONE } else { HEARTBEAT };
        let ms = |times: u32| (heartbeat * times).as_millis() as u64;
        Config {
            cluster_name: self.cluster.to_string(),
            heartbeat_interval: ms(1),
            election_timeout_min: ms(4),
            election_timeout_max: ms(8),
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.snapshot_every),
            max_in_snapshot_log_to_keep: 0,
            purge_batch_size: 1,
            enable_pre_vote: Some(true),
            // A leader that starts again would lead in its old term, without the blank entry that tells a new leader what was
            // agreed upon: it could read less than it had promised before.
            enable_leader_restore: Some(false),
            ..Config::default()
        }
    }

    fn members(&self) -> BTreeMap<MemberId, BasicNode> {
        let founders = self.founders.iter().map(|(id, at)| (*id, BasicNode { addr: at.to_string() }));
        let alone = [(self.id, BasicNode { addr: String::new() })];
        if self.founders.is_empty() { alone.into() } else { founders.collect() }
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
}

/// A member. Clones are the same.
pub struct Member<R: Runtime> {
    raft: Raft<Types<R>, Machine<R>>,
    own: Own,
    ttl: Duration,
}

impl<R: Runtime> Clone for Member<R> {
    fn clone(&self) -> Member<R> {
        Member { raft: self.raft.clone(), own: self.own, ttl: self.ttl }
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
        let own = Own { cluster: config.cluster, member: config.id };
        let machine = Machine::new(handle, store.clone(), &snapshot.meta);
        let settings = config.raft().validate().expect("our own settings are sound");
        let raft = Raft::new(config.id, Arc::new(settings), Peers::new(own), Log::new(store), machine).await;
        let raft = raft.map_err(|error| fatal::<R>(&error))?;
        let is_founder = config.founders.keys().next().is_none_or(|first| *first == config.id);
        let is_new = !raft.is_initialized().await.map_err(|error| fatal::<R>(&error))?;
        if is_founder && is_new {
            match raft.initialize(config.members()).await {
                Ok(()) => {}
                Err(RaftError::Fatal(error)) => return Err(fatal::<R>(&error)),
                // Somebody else was quicker.
                Err(RaftError::APIError(error)) => tracing::debug!(%error, "the cluster is there already"),
            }
        } else if config.founders.is_empty() {
            // Nobody else could be elected: no need to wait.
            raft.trigger().elect(false).await.map_err(|error| fatal::<R>(&error))?;
        }
        let ttl = if config.founders.is_empty() { PROPOSE_TTL_ALONE } else { PROPOSE_TTL };
        Ok(Member { raft, own, ttl })
    }

    /// Waits until this member's state has all that the cluster had agreed upon when it was asked: what is read from it then
    /// is not older than anything that was promised before.
    ///
    /// # Errors
    /// If the leader does not confirm it by the deadline, or the member is stopping.
    pub async fn catch_up(&self, deadline: Moment) -> Result<(), ProposeError> {
        loop {
            let asked = R::before(deadline, self.read_index(deadline)).await;
            match asked.unwrap_or(Ok(None))? {
                Some(index) => return self.applied(index, deadline).await,
                None if R::now() >= deadline => return Err(ProposeError::NoLeader),
                None => R::sleep(LOOK_AGAIN).await,
            }
        }
    }

    /// Up to where the leader, which still leads, knows entries to be agreed upon; none if it did not say.
    async fn read_index(&self, deadline: Moment) -> Result<Option<LogId>, ProposeError> {
        match self.raft.get_read_log_id(ReadPolicy::ReadIndex).await {
            Ok((read, _)) => return Ok(Some(*read.log_id())),
            Err(RaftError::Fatal(error)) => return Err(fatal::<R>(&error)),
            Err(RaftError::APIError(_)) => {}
        }
        let metrics = self.metrics();
        let leader = metrics.current_leader.filter(|leader| *leader != self.own.member);
        let node = leader.and_then(|leader| metrics.membership_config.membership().get_node(&leader).cloned());
        let Some((leader, node)) = leader.zip(node) else { return Ok(None) };
        let ttl = deadline.saturating_sub(R::now());
        match Peer::<R>::new(self.own, leader, &node).ask(Ask::ReadIndex, ttl).await {
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
            if let Some((id, node)) = leader.filter(|(id, _)| *id != self.own.member) {
                let left = deadline.saturating_sub(R::now());
                match Peer::<R>::new(self.own, id, &node).ask(Ask::Propose(batch.clone()), left).await {
                    Ok(Said::Done(answers)) => return Ok(answers),
                    Ok(other) => return Err(ProposeError::Unknown(format!("it answered {other:?}"))),
                    Err(Unanswered::Lost(error)) => return Err(ProposeError::Unknown(error.to_string())),
                    Err(Unanswered::Denied(Denied::Failed(why))) => return Err(ProposeError::Unknown(why)),
                    Err(error @ (Unanswered::Unreachable(_) | Unanswered::Denied(_))) => {
                        tracing::debug!(leader = id, %error, "the leader did not take a batch");
                    }
                }
            }
            if R::now() >= deadline {
                return Err(ProposeError::NoLeader);
            }
            R::sleep(LOOK_AGAIN).await;
        }
    }

    /// What openraft says of itself.
    pub fn metrics(&self) -> RaftMetrics<Types<R>> {
        self.raft.metrics().borrow_watched().clone()
    }

    /// Waits until the member stops by itself, and says why: its disk failed, as a rule.
    pub async fn failure(&self) -> ProposeError {
        let mut metrics = self.raft.metrics();
        loop {
            if let Err(error) = &metrics.borrow_watched().running_state {
                return fatal::<R>(error);
            }
            if metrics.changed().await.is_err() {
                return fatal::<R>(&Fatal::Stopped);
            }
        }
    }

    /// Stops the member.
    pub async fn stop(&self) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::debug!(%error, "the cluster's task was gone already");
        }
    }

    /// Answers other members, for as long as they are accepted.
    pub async fn serve(self, mut listener: R::Listener) {
        loop {
            match listener.accept().await {
                Ok(Accepted { stream, .. }) => R::spawn("member", self.clone().converse(stream)),
                Err(error) => {
                    tracing::warn!(%error, "a member's connection was not accepted");
                    R::sleep(LOOK_AGAIN).await;
                }
            }
        }
    }

    async fn converse(self, mut stream: R::Stream) {
        loop {
            // That a connection ends is no news.
            let Ok(envelope) = wire::read::<Envelope<R>>(&mut stream).await else { return };
            let said = self.answer(envelope).await;
            if wire::write(&mut stream, &said).await.is_err() {
                return;
            }
        }
    }

    async fn answer(&self, envelope: Envelope<R>) -> Said<R> {
        if envelope.cluster != self.own.cluster {
            return Said::Denied(Denied::OtherCluster(self.own.cluster));
        }
        if envelope.to != self.own.member {
            return Said::Denied(Denied::OtherMember(self.own.member));
        }
        let failed = |error: String| Said::Denied(Denied::Failed(error));
        match envelope.ask {
            Ask::Append(rpc) => match self.raft.append_entries(rpc).await {
                Ok(response) => Said::Append(response),
                Err(error) => failed(error.to_string()),
            },
            Ask::Vote(rpc) => match self.raft.vote(rpc).await {
                Ok(response) => Said::Vote(response),
                Err(error) => failed(error.to_string()),
            },
            Ask::PreVote(rpc) => match self.raft.pre_vote(rpc).await {
                Ok(response) => Said::Vote(response),
                Err(error) => failed(error.to_string()),
            },
            Ask::Snapshot { vote, meta, nib } => {
                let snapshot = openraft::Snapshot { meta, snapshot: Arc::new(nib.reindexed()) };
                match self.raft.install_full_snapshot(vote, snapshot).await {
                    Ok(response) => Said::Snapshot(response),
                    Err(error) => failed(error.to_string()),
                }
            }
            Ask::ReadIndex => {
                match R::before(R::now() + self.ttl, self.raft.get_read_log_id(ReadPolicy::ReadIndex)).await {
                    Some(Ok((read, _))) => Said::ReadIndex(*read.log_id()),
                    Some(Err(RaftError::APIError(_))) | None => Said::Denied(Denied::NotLeader),
                    Some(Err(RaftError::Fatal(error))) => failed(error.to_string()),
                }
            }
            Ask::Propose(batch) => match R::before(R::now() + self.ttl, self.raft.client_write(batch)).await {
                Some(Ok(written)) => Said::Done(written.data),
                Some(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_)))) => Said::Denied(Denied::NotLeader),
                Some(Err(error)) => failed(error.to_string()),
                None => failed(format!("no majority agreed within {:?}", self.ttl)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::{Started, start};
    use crate::runtime::{HostDisk, Tokio};
    use selvedge_core::nib::Command;

    const CLUSTER: Uuid = Uuid::from_u128(7);

    fn write(n: usize) -> Command {
        Command::SetUser { name: format!("user{n}"), password_hash: String::new() }
    }

    #[tokio::test]
    async fn an_address_that_came_to_another_member_or_cluster_is_noticed() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(&HostDisk(directory.path().to_path_buf())).expect("an empty store");
        let alone = MemberConfig::alone(CLUSTER, SNAPSHOT_EVERY);
        let Started { member, core, .. } = start::<Tokio>(store, &alone).await.expect("it starts");
        Tokio::spawn("core", async move { core.await.expect("the store works") });
        let listener = Tokio::listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
        let node = BasicNode { addr: listener.local_addr().expect("an address").to_string() };
        Tokio::spawn("members", member.serve(listener));
        let ask = async |cluster, id| {
            let mut peer = Peer::<Tokio>::new(Own { cluster, member: 2 }, id, &node);
            peer.ask(Ask::ReadIndex, Duration::from_secs(5)).await
        };
        assert!(matches!(ask(CLUSTER, FIRST_MEMBER).await, Ok(Said::ReadIndex(_))));
        let other = Uuid::from_u128(8);
        assert!(matches!(ask(other, FIRST_MEMBER).await, Err(Unanswered::Denied(Denied::OtherCluster(CLUSTER)))));
        assert!(matches!(ask(CLUSTER, 3).await, Err(Unanswered::Denied(Denied::OtherMember(FIRST_MEMBER)))));
    }

    /// On real sockets and disks: what one member promised the others have.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn three_members_on_real_sockets_agree() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (mut listeners, mut founders) = (Vec::new(), BTreeMap::new());
        for id in 1..=3 {
            let listener = Tokio::listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
            founders.insert(id, listener.local_addr().expect("an address"));
            listeners.push(listener);
        }
        let mut members = Vec::new();
        for (id, listener) in (1..).zip(listeners) {
            let own = directory.path().join(id.to_string());
            std::fs::create_dir_all(&own).expect("a directory");
            let store = Store::open(&HostDisk(own)).expect("an empty store");
            let config = MemberConfig { cluster: CLUSTER, id, founders: founders.clone(), snapshot_every: 10 };
            let Started { handle, member, core, .. } = start::<Tokio>(store, &config).await.expect("it starts");
            // It ends with an error when the member is stopped below.
            Tokio::spawn("core", async move { _ = core.await });
            Tokio::spawn("members", member.clone().serve(listener));
            members.push((handle, member));
        }
        let mut revision = None;
        for n in 0..30 {
            let (handle, _) = &members[n % 3];
            let next = Some(handle.submit(write(n)).await.expect("agreed upon"));
            assert!(next > revision, "each is later than what was told before");
            revision = next;
        }
        for (handle, member) in &members {
            member.catch_up(Tokio::now() + Duration::from_secs(10)).await.expect("the leader says");
            assert!(Some(handle.read(|state| state.nib.revision())) >= revision);
            assert!(handle.read(|state| (0..30).all(|n| state.nib.user(&format!("user{n}")).is_some())));
        }
        for (_, member) in &members {
            member.stop().await;
        }
    }
}
