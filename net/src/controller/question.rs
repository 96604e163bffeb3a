//! Asks a transport node something that is not watched: its OVSDB driver asks it, and answers. Start at
//! [`Handle::interface_counters`].

use super::{Handle, Link, Protocol};
use crate::runtime::Runtime;
use selvedge_core::nib::Counters;
use std::time::Duration;
use tokio::sync::oneshot;
use uuid::Uuid;

/// Longest wait for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Most questions that wait for one node: whoever asks more often is told to come again.
pub(super) const QUESTIONS_MAX: usize = 256;

/// What a transport node is asked: what an interface of its counted.
#[derive(Debug)]
pub struct Question {
    /// The interface.
    pub interface: String,
    /// Where the answer goes: nothing if there is no such interface.
    pub reply: oneshot::Sender<Option<Counters>>,
}

/// Why a question was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// This controller has no connection to the node, or lost it.
    #[error("the transport node is not connected to this controller")]
    NotConnected,
    /// The node is asked too much, or too slow.
    #[error("the transport node does not answer; try again later")]
    TooSlow,
}

impl Handle {
    /// What an interface of a transport node counted; nothing if it has no such interface.
    ///
    /// # Errors
    /// If the node is not connected here, or does not answer within 5 s.
    pub async fn interface_counters<R: Runtime>(
        &self,
        node: Uuid,
        interface: &str,
    ) -> Result<Option<Counters>, Unanswered> {
        let link: Option<Link> = self.read(|state| state.links.get(&(node, Protocol::Ovsdb)).cloned());
        let link = link.ok_or(Unanswered::NotConnected)?;
        let (reply, answer) = oneshot::channel();
        link.ask(Question { interface: interface.to_string(), reply }).map_err(|_| Unanswered::TooSlow)?;
        match R::before(R::now() + ANSWER_MAX, answer).await {
            Some(Ok(counters)) => Ok(counters),
            Some(Err(_)) => Err(Unanswered::NotConnected),
            None => Err(Unanswered::TooSlow),
        }
    }
}
