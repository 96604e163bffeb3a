//! Who drives a transport node's connection. A node that connects anew replaces its earlier connection, which may be
//! long dead without anybody having noticed. Start at [`Link`].

use super::question::{QUESTIONS_MAX, Question};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// OpenFlow, of the integration bridge.
    OpenFlow,
    /// OVSDB.
    Ovsdb,
}

impl Protocol {
    pub(super) const FIRST: Protocol = Protocol::OpenFlow;
    pub(super) const LAST: Protocol = Protocol::Ovsdb;

    /// The word for it in logs and answers.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::OpenFlow => "openflow",
            Protocol::Ovsdb => "ovsdb",
        }
    }
}

/// The core's hold on the driver of a connection. Clones are the same link.
#[derive(Clone, Debug, Default)]
pub struct Link(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    replaced: AtomicBool,
    woken: Notify,
    asked: Notify,
    /// What the node is to be asked.
    questions: Mutex<VecDeque<Question>>,
}

impl Link {
    /// Completes when the driver should look at the node's configuration again.
    pub async fn woken(&self) {
        self.0.woken.notified().await;
    }

    /// Completes when there is a [`question`](Link::question).
    pub async fn asked(&self) {
        self.0.asked.notified().await;
    }

    /// Whether another connection of the node took this one's place.
    pub fn replaced(&self) -> bool {
        self.0.replaced.load(Ordering::Acquire)
    }

    /// Makes the driver look again.
    pub fn wake(&self) {
        self.0.woken.notify_one();
    }

    /// Has the driver ask the node something.
    ///
    /// # Errors
    /// Gives it back if too much waits.
    pub(super) fn ask(&self, question: Question) -> Result<(), Question> {
        let mut questions = self.0.questions.lock().unwrap_or_else(PoisonError::into_inner);
        if questions.len() >= QUESTIONS_MAX {
            return Err(question);
        }
        questions.push_back(question);
        drop(questions);
        self.0.asked.notify_one();
        Ok(())
    }

    /// What the node is to be asked next; not what nobody waits for any more.
    pub fn question(&self) -> Option<Question> {
        let mut questions = self.0.questions.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(question) = questions.pop_front() {
            if !question.reply.is_closed() {
                return Some(question);
            }
        }
        None
    }

    pub(super) fn replace(&self) {
        self.0.replaced.store(true, Ordering::Release);
        self.wake();
    }

    pub(super) fn same(&self, other: &Link) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
