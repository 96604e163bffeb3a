//! How somebody becomes a member: it shows an invitation to any of them. Start at [`join`].

use super::peer::{Own, Peer, Unanswered};
use super::types::MemberId;
use super::wire::{Application, Ask, AuthorityFiles, Denied, Said};
use crate::runtime::{Moment, Runtime};
use std::net::SocketAddr;
use std::time::Duration;

/// So long one member may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// After all were asked in vain they are asked again then.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// What a new member is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// Its number.
    pub member: MemberId,
    /// The cluster's certificate authority, if there is one.
    pub authority: Option<AuthorityFiles>,
}

/// Why somebody is no member.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The cluster refused, and would again.
    #[error("the cluster refused: {0}")]
    Refused(String),
    /// Nobody answered in time. It may be a member nevertheless, and finds out by asking again.
    #[error("no controller let it join ({}); when one is there, do the same again", .0.join("; "))]
    NoAnswer(Vec<String>),
}

/// Asks members, one after the other, until one says yes or the cluster says no. It may be done again with the same
/// application, and has the same outcome.
///
/// # Errors
/// If the cluster refuses, or nobody answers until `deadline`.
pub async fn join<R: Runtime>(
    own: Own,
    members: Vec<SocketAddr>,
    application: Application,
    deadline: Moment,
) -> Result<Welcome, JoinError> {
    loop {
        let mut reasons = Vec::new();
        for at in &members {
            let ask = Ask::Join(application.clone());
            match Peer::<R>::somebody(own.clone(), *at).ask(ask, ANSWER_MAX).await {
                Ok(Said::Welcome { member, authority }) => return Ok(Welcome { member, authority }),
                Err(Unanswered::Denied(denied @ (Denied::Refused(_) | Denied::Dismissed))) => {
                    return Err(JoinError::Refused(denied.to_string()));
                }
                Ok(other) => reasons.push(format!("{at}: it answered {other:?}")),
                Err(error) => reasons.push(format!("{at}: {error}")),
            }
        }
        if R::now() + ASK_AGAIN >= deadline {
            return Err(JoinError::NoAnswer(reasons));
        }
        R::sleep(ASK_AGAIN).await;
    }
}
