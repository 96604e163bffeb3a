//! Asks the leader up to where entries are agreed upon, once for all who wait: a controller with many clients asks no more
//! often than answers come. Start at [`Reads`].

use super::types::LogId;
use super::{Member, ProposeError};
use crate::runtime::{Moment, Runtime};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Most that wait to be taken along; more wait to wait.
const WAITING_MAX: usize = 1024;
/// So long the leader is waited for; by then there may be another.
const ASK_MAX: Duration = Duration::from_secs(1);

type Answer = Result<Option<LogId>, ProposeError>;
type Waiting = mpsc::Receiver<oneshot::Sender<Answer>>;

/// The way to the one who asks. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Reads(mpsc::Sender<oneshot::Sender<Answer>>);

impl Reads {
    /// The way, and its end.
    pub fn new() -> (Reads, Waiting) {
        let (sender, waiting) = mpsc::channel(WAITING_MAX);
        (Reads(sender), waiting)
    }

    /// What the leader says when it is asked next: not what it is saying to others now, which may be older than this question.
    /// Nothing if it does not say.
    pub async fn next(&self) -> Answer {
        let (answer, answered) = oneshot::channel();
        // Nobody asks any more only when the member is going down, and then so is whoever waits.
        if self.0.send(answer).await.is_err() {
            return Ok(None);
        }
        answered.await.unwrap_or(Ok(None))
    }
}

impl<R: Runtime> Member<R> {
    /// Asks for those who wait, for as long as the member lives.
    pub(super) async fn ask_for(self, mut waiting: Waiting) {
        let mut readers = Vec::new();
        let mut failure = std::pin::pin!(self.failure());
        loop {
            tokio::select! {
                biased;
                _ = &mut failure => return,
                count = waiting.recv_many(&mut readers, WAITING_MAX) => if count == 0 {
                    return;
                },
            }
            let deadline: Moment = R::now() + ASK_MAX;
            let answer = R::before(deadline, self.read_index(deadline)).await.unwrap_or(Ok(None));
            for reader in readers.drain(..) {
                // Who does not wait any more needs no answer.
                let _ = reader.send(answer.clone());
            }
        }
    }
}
