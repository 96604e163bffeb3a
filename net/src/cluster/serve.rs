//! What a member answers when others ask. Start at [`Member::serve`].

use super::peer::Gone;
use super::types::{Batch, MemberId};
use super::wire::{self, Application, Ask, Denied, Envelope, Said};
use super::{Member, gossip};
use crate::runtime::{Accepted, Listener, Runtime};
use openraft::ReadPolicy;
use openraft::errors::{ClientWriteError, RaftError};
use selvedge_core::nib::{ClusterCommand, Command};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::{Accept, TlsAcceptor};

/// After a connection could not be accepted, the next is tried then.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
/// So long somebody who has proved nothing may take to say what it wants.
const STRANGER_MAX: Duration = Duration::from_secs(10);
/// Most connections in a TLS handshake, or of those that have proved nothing.
const STRANGERS_MAX: usize = 64;
/// Longest TLS handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Who asks, as far as it has been proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proved {
    /// It is a controller of this cluster, or no proof is asked for.
    Member,
    /// Nothing: it may ask to join.
    Nothing,
}

impl<R: Runtime> Member<R> {
    /// Answers other members, for as long as they are accepted.
    pub async fn serve(self, mut listener: R::Listener) {
        let strangers = Arc::new(Semaphore::new(STRANGERS_MAX));
        loop {
            match listener.accept().await {
                Ok(Accepted { stream, peer, .. }) => match &self.mutual {
                    None => R::spawn("member", self.clone().converse(stream, Proved::Member)),
                    Some(mutual) => {
                        // More of them wait to be accepted; members wait with them, and that ends.
                        let slot = strangers.clone().acquire_owned().await.expect("the semaphore is never closed");
                        let accepting = TlsAcceptor::from(mutual.server.clone()).accept(stream);
                        R::spawn("member", self.clone().welcome(accepting, peer, slot));
                    }
                },
                Err(error) => {
                    tracing::warn!(%error, "a member's connection was not accepted");
                    R::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }

    /// Finds out who connected, and talks to it.
    async fn welcome(self, accepting: Accept<R::Stream>, peer: SocketAddr, slot: OwnedSemaphorePermit) {
        match R::before(R::now() + HANDSHAKE_MAX, accepting).await {
            Some(Ok(stream)) if stream.get_ref().1.peer_certificates().is_some() => {
                drop(slot);
                self.converse(stream, Proved::Member).await;
            }
            Some(Ok(stream)) => {
                self.converse(stream, Proved::Nothing).await;
                drop(slot);
            }
            Some(Err(error)) => tracing::warn!(%peer, %error, "who is no controller was turned away"),
            None => tracing::debug!(%peer, "a TLS handshake between controllers took too long"),
        }
    }

    async fn converse(self, mut stream: impl AsyncRead + AsyncWrite + Unpin + Send, proved: Proved) {
        loop {
            let read = async {
                match proved {
                    Proved::Member => Some(wire::read::<Envelope<R>>(&mut stream).await),
                    Proved::Nothing => R::before(R::now() + STRANGER_MAX, wire::read_application(&mut stream)).await,
                }
            };
            // That a connection ends is no news.
            let Some(Ok(envelope)) = read.await else { return };
            let said = self.answer(envelope, proved).await;
            if wire::write(&mut stream, &said).await.is_err() {
                return;
            }
        }
    }

    /// Whether somebody is asked who should be, by somebody who may.
    fn check(&self, envelope: &Envelope<R>, proved: Proved) -> Result<(), Denied> {
        if envelope.cluster != self.own.cluster {
            return Err(Denied::OtherCluster(self.own.cluster));
        }
        match self.own.member {
            Some(own) if envelope.to.is_some_and(|to| to != own) => return Err(Denied::OtherMember(own)),
            _ => {}
        }
        match (envelope.from, &envelope.ask) {
            (Some(from), _) if self.has_dismissed(from) => Err(Denied::Dismissed),
            (Some(from), _) if proved == Proved::Member && self.is_before(from) => {
                self.own.must_go(Gone::Outdated(from));
                Err(Denied::Refused(format!("its data is of before there was a member {from}")))
            }
            (Some(_), _) if proved == Proved::Member => Ok(()),
            (_, Ask::Join(_)) => Ok(()),
            (Some(_), _) => Err(Denied::Refused("who shows no certificate may only ask to join".into())),
            (None, _) => Err(Denied::Refused("who is no member may only ask to join".into())),
        }
    }

    async fn answer(&self, envelope: Envelope<R>, proved: Proved) -> Said<R> {
        if let Err(denied) = self.check(&envelope, proved) {
            return Said::Denied(denied);
        }
        if let Err(denied) = self.probation.admits(&envelope.ask) {
            return Said::Denied(denied);
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
            Ask::Whereabouts => match self.whereabouts().await {
                Ok(whereabouts) => Said::Whereabouts(whereabouts),
                Err(error) => failed(error.to_string()),
            },
            Ask::View => self.own_view().map_or(Said::Denied(Denied::NotLeader), Said::View),
            Ask::Listen(heard) => {
                let deadline = R::now() + gossip::NEWS_MAX;
                Said::Gossip(self.handle.wait::<R, _>(deadline, |state| state.gossip(heard)).await)
            }
            Ask::Join(application) => match self.admit(application).await {
                Ok(member) => {
                    let authority = self.mutual.as_ref().map(|mutual| mutual.authority.clone());
                    Said::Welcome { member, authority }
                }
                Err(denied) => Said::Denied(denied),
            },
        }
    }

    /// Has somebody become a member; the same one if it asks again.
    async fn admit(&self, application: Application) -> Result<MemberId, Denied> {
        let Application { uuid, address, invitation, secret } = application;
        let secret = secret.digest();
        let now = R::unix();
        let admit = ClusterCommand::Admit { uuid, address, invitation, secret, now };
        let failed = |error: super::ProposeError| Denied::Failed(error.to_string());
        let answers = self.propose(Batch(vec![Command::Cluster(admit)])).await.map_err(failed)?;
        if let Some(Err(refusal)) = answers.of_each.into_iter().next() {
            return Err(Denied::Refused(refusal.to_string()));
        }
        self.catch_up(R::now() + self.ttl).await.map_err(failed)?;
        let member = self.handle.read(|state| {
            let members = state.nib.cluster().members();
            members.iter().find(|(_, record)| record.uuid == uuid).map(|(member, _)| *member)
        });
        // It was dismissed as soon as it had been admitted.
        member.ok_or(Denied::Dismissed)
    }

    /// Whether its data is of before somebody became a member. One that votes alone has given all numbers itself: another
    /// that has one has it of a later time, which this one's disk has forgotten. Who has others to ask before it leads is
    /// safe without (see `probation`).
    fn is_before(&self, member: MemberId) -> bool {
        let is_alone = || self.metrics().membership_config.voter_ids().eq([self.number()]);
        let is_known = || {
            self.handle.read(|state| {
                let cluster = state.nib.cluster();
                cluster.members().contains_key(&member) || cluster.is_dismissed(member)
            })
        };
        self.own.member.is_some_and(|own| own != member) && self.has_been_current() && is_alone() && !is_known()
    }

    /// Whether somebody was a member, and the cluster has agreed that it is none any more. It is not told before: until
    /// then its vote may be needed for that very agreement.
    fn has_dismissed(&self, member: MemberId) -> bool {
        let agreed = self.metrics().committed_membership_config;
        agreed.get_node(&member).is_none() && self.handle.read(|state| state.nib.cluster().is_dismissed(member))
    }
}
