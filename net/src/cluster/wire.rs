//! What members say to each other, and how: a length, then JSON, one question and one answer at a time.
//!
//! Each question says of which cluster it is and for whom: an address may have come to somebody else. Start at [`Ask`].

use super::probation::Whereabouts;
use super::types::{Answers, Batch, LogId, MemberId, SnapshotMeta, Types, Vote};
use super::view::ClusterView;
use crate::controller::{Gossip, Heard};
use crate::runtime::Runtime;
pub use crate::tls::AuthorityFiles;
use crate::tls::Fingerprint;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
use selvedge_core::nib::Nib;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use uuid::Uuid;

/// Longest message, in bytes: a snapshot of a large network fits.
const MESSAGE_MAX: u32 = 1 << 30;
/// Longest message of one that has not proved to be a member: an application fits.
const APPLICATION_MAX: u32 = 16 * 1024;
/// So much is read at a time: a peer is believed as far as it has sent.
const CHUNK: usize = 64 * 1024;

/// A question, and whom it is for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Envelope<R: Runtime> {
    /// The cluster that both should be of.
    pub cluster: Uuid,
    /// Who asks; nobody yet if it would join.
    pub from: Option<MemberId>,
    /// Who should answer; whoever is there if that is not known yet.
    pub to: Option<MemberId>,
    /// What.
    pub ask: Ask<R>,
}

/// A question.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub enum Ask<R: Runtime> {
    /// The leader's entries, none to show that it lives.
    Append(AppendEntriesRequest<Types<R>>),
    /// Would you vote for me?
    PreVote(VoteRequest<Types<R>>),
    /// Vote for me.
    Vote(VoteRequest<Types<R>>),
    /// The leader's snapshot, for one that is too far behind.
    Snapshot {
        /// Of which leader.
        vote: Vote,
        /// Of which entry.
        meta: SnapshotMeta,
        /// The NIB.
        nib: Box<Nib>,
    },
    /// To the leader: up to where is everything agreed upon that was promised so far?
    ReadIndex,
    /// To the leader: carry this out.
    Propose(Batch),
    /// To the leader: how is the cluster?
    View,
    /// Where are you? Asked by one that has started.
    Whereabouts,
    /// What is there to tell of your transport nodes, after this? The answer may take a while.
    Listen(Heard),
    /// To any member: let me be one, too.
    Join(Application),
}

/// Who would join a cluster, and by what leave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// The name it drew for itself.
    pub uuid: Uuid,
    /// Where it will be reached by other members.
    pub address: SocketAddr,
    /// By which invitation.
    pub invitation: Uuid,
    /// The secret of that one.
    pub secret: Secret,
}

/// What only those know who were told; logs do not.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// By which it is recognised.
    pub fn digest(&self) -> String {
        Fingerprint::of(self.0.as_bytes()).to_string()
    }
}

/// An answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub enum Said<R: Runtime> {
    /// To [`Ask::Append`].
    Append(AppendEntriesResponse<Types<R>>),
    /// To [`Ask::PreVote`] and [`Ask::Vote`].
    Vote(VoteResponse<Types<R>>),
    /// To [`Ask::Snapshot`].
    Snapshot(SnapshotResponse<Types<R>>),
    /// To [`Ask::ReadIndex`].
    ReadIndex(LogId),
    /// To [`Ask::Propose`].
    Done(Answers),
    /// To [`Ask::View`].
    View(ClusterView),
    /// To [`Ask::Whereabouts`].
    Whereabouts(Whereabouts),
    /// To [`Ask::Listen`]; nothing if there was nothing.
    Gossip(Option<Gossip>),
    /// To [`Ask::Join`].
    Welcome {
        /// From now on it is this member.
        member: MemberId,
        /// By this it shows so, if members are asked to.
        authority: Option<AuthorityFiles>,
    },
    /// Nothing was done.
    Denied(Denied),
}

/// Why a question was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Denied {
    /// It was for another cluster.
    #[error("it is of cluster {0}")]
    OtherCluster(Uuid),
    /// It was for another member.
    #[error("it is member {0}")]
    OtherMember(MemberId),
    /// Who asks was a member, and is none any more.
    #[error("this controller was dismissed from the cluster")]
    Dismissed,
    /// It was refused, and would be again.
    #[error("{0}")]
    Refused(String),
    /// It has started, and does not know yet what it may say.
    #[error("it has just started, and finds out where others are")]
    NotYet,
    /// It was for the leader.
    #[error("it does not lead")]
    NotLeader,
    /// The member is stopping, or lost its leadership meanwhile: nobody knows what became of it.
    #[error("{0}")]
    Failed(String),
}

/// Writes a message.
///
/// # Errors
/// If the stream fails, or the message is too long.
pub async fn write(stream: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len()).ok().filter(|length| *length <= MESSAGE_MAX);
    let length = length.ok_or_else(|| io::Error::other(format!("a message of {} bytes is too long", body.len())))?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(&body).await?;
    stream.flush().await
}

/// Reads a message of a member.
///
/// # Errors
/// If the stream fails or ends, or what comes is no message.
pub async fn read<T: DeserializeOwned>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<T> {
    read_up_to(stream, MESSAGE_MAX).await
}

/// Reads a message of somebody who would be a member.
///
/// # Errors
/// If the stream fails or ends, or what comes is no message, or too long for an application.
pub async fn read_application<T: DeserializeOwned>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<T> {
    read_up_to(stream, APPLICATION_MAX).await
}

async fn read_up_to<T: DeserializeOwned>(stream: &mut (impl AsyncRead + Unpin), max: u32) -> io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let length = u32::from_be_bytes(length);
    if length > max {
        let why = format!("a message of {length} bytes was announced, and {max} are the most");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    let mut body = Vec::new();
    let mut rest = length as usize;
    while rest > 0 {
        let (start, more) = (body.len(), rest.min(CHUNK));
        body.resize(start + more, 0);
        stream.read_exact(&mut body[start..]).await?;
        rest -= more;
    }
    Ok(serde_json::from_slice(&body)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_arrive_and_garbage_is_refused() {
        let (mut near, mut far) = tokio::io::duplex(1 << 20);
        let long = "x".repeat(200_000);
        write(&mut near, &long).await.expect("room");
        assert_eq!(read::<String>(&mut far).await.expect("a message"), long);
        near.write_all(&[0xff; 4]).await.expect("room");
        let error = read::<String>(&mut far).await.expect_err("too long").to_string();
        assert!(error.contains("4294967295 bytes"), "{error}");
        near.write_all(&[0, 0, 0x40, 1]).await.expect("room");
        let error = read_application::<String>(&mut far).await.expect_err("too long").to_string();
        assert!(error.contains("16385 bytes"), "{error}");
        near.write_all(&[0, 0, 0, 2, b'{', b'{']).await.expect("room");
        assert!(read::<String>(&mut far).await.is_err());
        near.write_all(&[0, 0, 0, 9, b'"']).await.expect("room");
        drop(near);
        let error = read::<String>(&mut far).await.expect_err("cut short");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
