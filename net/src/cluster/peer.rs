//! The way to another member, for openraft and for commands on their way to the leader. Start at [`Peer::ask`].

use super::machine::Carried;
use super::types::{MemberId, Types, Vote};
use super::wire::{self, Ask, Denied, Envelope, Said};
use crate::runtime::Runtime;
use crate::tls::Dial;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::impls::BasicNode;
use openraft::network::RPCOption;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
use openraft::type_config::alias::SnapshotOf;
use openraft::{OptionalSend, RaftNetworkFactory, RaftNetworkV2};
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio_rustls::TlsConnector;
use uuid::Uuid;

/// Who asks, and of which cluster. Clones are the same.
#[derive(Clone, Debug)]
pub struct Own {
    /// The cluster.
    pub cluster: Uuid,
    /// The member; nobody yet if it would join.
    pub member: Option<MemberId>,
    /// How others are called up; nothing where networks are trusted.
    pub dial: Option<Dial>,
    gone: Arc<(OnceLock<Gone>, Notify)>,
}

/// Why a member must not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// It is no member any more.
    Dismissed,
    /// Its disk is of before there were others; this one asked.
    Outdated(MemberId),
}

impl Own {
    /// A member of a cluster, or somebody who would be one.
    pub fn new(cluster: Uuid, member: Option<MemberId>, dial: Option<Dial>) -> Own {
        Own { cluster, member, dial, gone: Arc::default() }
    }

    /// It must not go on. The first reason stays.
    pub fn must_go(&self, why: Gone) {
        self.gone.0.get_or_init(|| why);
        self.gone.1.notify_waiters();
    }

    /// Waits until it must not go on, and says why.
    pub async fn gone(&self) -> Gone {
        loop {
            let notified = self.gone.1.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            match self.gone.0.get() {
                Some(why) => return *why,
                None => notified.await,
            }
        }
    }
}

/// Makes ways to other members.
#[derive(Debug)]
pub struct Peers<R> {
    own: Own,
    runtime: PhantomData<fn() -> R>,
}

impl<R> Peers<R> {
    /// For one member.
    pub fn new(own: Own) -> Peers<R> {
        Peers { own, runtime: PhantomData }
    }
}

/// Another member, and the connection to it, if there is one.
pub struct Peer<R: Runtime> {
    own: Own,
    member: Option<MemberId>,
    at: Result<SocketAddr, String>,
    // A mutex for want of streams that may be shared; it is never locked.
    stream: Mutex<Option<Line>>,
    runtime: PhantomData<fn() -> R>,
}

/// A connection, encrypted or not.
trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Bytes for S {}
struct Line(Box<dyn Bytes>);

/// Why there was no answer, and whether the question may have been taken.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// It never got there.
    #[error("it cannot be reached: {0}")]
    Unreachable(io::Error),
    /// It may have.
    #[error("no answer came: {0}")]
    Lost(io::Error),
    /// It was not taken.
    #[error(transparent)]
    Denied(#[from] Denied),
}

impl<R: Runtime> Peer<R> {
    /// The way to a member.
    pub fn new(own: Own, member: MemberId, node: &BasicNode) -> Peer<R> {
        let at = node.addr.parse().map_err(|error| format!("{:?} is no address: {error}", node.addr));
        Peer { own, member: Some(member), at, stream: Mutex::new(None), runtime: PhantomData }
    }

    /// The way to whichever member is at an address.
    pub fn somebody(own: Own, at: SocketAddr) -> Peer<R> {
        Peer { own, member: None, at: Ok(at), stream: Mutex::new(None), runtime: PhantomData }
    }

    fn connect(&self, at: SocketAddr) -> impl Future<Output = io::Result<Line>> + Send + use<R> {
        let dial = self.own.dial.clone();
        async move {
            let stream = R::connect(at).await?;
            match dial {
                None => Ok(Line(Box::new(stream))),
                Some(Dial { client, name }) => {
                    let connector = TlsConnector::from(client);
                    Ok(Line(Box::new(connector.connect(name, stream).await?)))
                }
            }
        }
    }

    /// Asks the member something, and waits for the answer for so long.
    ///
    /// # Errors
    /// If none came.
    pub async fn ask(&mut self, ask: Ask<R>, ttl: Duration) -> Result<Said<R>, Unanswered> {
        let deadline = R::now() + ttl;
        let late = || io::Error::new(io::ErrorKind::TimedOut, format!("nothing within {ttl:?}"));
        let slot = self.stream.get_mut().expect("it is never locked");
        // A stream is put back only after a whole answer: what is left of another must not be taken for it.
        let mut stream = match slot.take() {
            Some(stream) => stream,
            None => {
                let at = self.at.clone().map_err(|why| Unanswered::Unreachable(io::Error::other(why)))?;
                let connected = R::before(deadline, self.connect(at)).await.unwrap_or_else(|| Err(late()));
                connected.map_err(Unanswered::Unreachable)?
            }
        };
        let envelope = Envelope { cluster: self.own.cluster, from: self.own.member, to: self.member, ask };
        let talk = async {
            wire::write(&mut stream.0, &envelope).await?;
            wire::read::<Said<R>>(&mut stream.0).await
        };
        let said = R::before(deadline, talk).await.unwrap_or_else(|| Err(late())).map_err(Unanswered::Lost)?;
        *self.stream.get_mut().expect("it is never locked") = Some(stream);
        match said {
            Said::Denied(denied) => {
                if denied == Denied::Dismissed {
                    self.own.must_go(Gone::Dismissed);
                }
                Err(denied.into())
            }
            said => Ok(said),
        }
    }

    async fn ask_rpc(&mut self, ask: Ask<R>, option: &RPCOption) -> Result<Said<R>, RPCError<Types<R>>> {
        self.ask(ask, option.hard_ttl()).await.map_err(|error| match error {
            Unanswered::Lost(error) => RPCError::Network(NetworkError::new(&error)),
            error @ (Unanswered::Unreachable(_) | Unanswered::Denied(_)) => {
                RPCError::Unreachable(Unreachable::new(&error))
            }
        })
    }
}

/// An answer to another question.
fn beside_the_point<R: Runtime>(said: &Said<R>) -> RPCError<Types<R>> {
    RPCError::Unreachable(Unreachable::new(&io::Error::other(format!("it answered something else: {said:?}"))))
}

impl<R: Runtime> RaftNetworkFactory<Types<R>> for Peers<R> {
    type Network = Peer<R>;

    async fn new_client(&mut self, target: MemberId, node: &BasicNode) -> Peer<R> {
        Peer::new(self.own.clone(), target, node)
    }
}

impl<R: Runtime> RaftNetworkV2<Types<R>> for Peer<R> {
    type SnapshotData = Carried;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types<R>>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types<R>>, RPCError<Types<R>>> {
        match self.ask_rpc(Ask::Append(rpc), &option).await? {
            Said::Append(response) => Ok(response),
            other => Err(beside_the_point(&other)),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types<R>>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types<R>>, RPCError<Types<R>>> {
        match self.ask_rpc(Ask::Vote(rpc), &option).await? {
            Said::Vote(response) => Ok(response),
            other => Err(beside_the_point(&other)),
        }
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types<R>>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types<R>>, RPCError<Types<R>>> {
        match self.ask_rpc(Ask::PreVote(rpc), &option).await? {
            Said::Vote(response) => Ok(response),
            other => Err(beside_the_point(&other)),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<Types<R>, Carried>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types<R>>, StreamingError<Types<R>>> {
        let ask = Ask::Snapshot { vote, meta: snapshot.meta, nib: Box::new((*snapshot.snapshot).clone()) };
        tokio::select! {
            biased;
            closed = cancel => Err(closed.into()),
            said = self.ask_rpc(ask, &option) => match said {
                Ok(Said::Snapshot(response)) => Ok(response),
                Ok(other) => Err(StreamingError::from(Unreachable::new(&beside_the_point(&other)))),
                Err(error) => Err(StreamingError::from(Unreachable::new(&error))),
            },
        }
    }
}
