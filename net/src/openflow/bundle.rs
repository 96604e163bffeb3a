//! One atomic and ordered change of a switch: all of it happens, or nothing does.
//!
//! The messages of a bundle go out at once, but it is committed only when the switch has answered its closing: Open
//! vSwitch answers a message it cannot read with an error, leaves it out, and would commit the rest. After an error
//! the bundle is discarded.
//!
//! Open vSwitch forgets a bundle about which nothing is said for a while (`bundle-idle-timeout`, 10 s).
//! Section 6.9. Start at [`BundleRun::start`]; the messages are those of a [`Script`].

use super::error::ErrorCode;
use super::message::{Body, BundleControl, BundleFlags, BundleId, BundleStep, Message, Xid};
use super::script::Script;
use std::fmt;

/// A bundle on its way.
#[derive(Clone, Debug)]
pub struct BundleRun {
    bundle: BundleId,
    /// Of the opening; the changes and the closing follow.
    open: Xid,
    /// Of the closing.
    close: Xid,
    /// What the switch is to answer next; nothing when there is an outcome.
    awaited: Option<Awaited>,
    failure: Option<Failure>,
}

/// A request, and the reply that it is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Awaited {
    xid: Xid,
    step: BundleStep,
}

/// How a bundle ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of it is done.
    Committed,
    /// Nothing of it is.
    Failed(Failure),
}

/// Why nothing of a bundle was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which change was at fault, counted from 0, if it was one.
    pub index: Option<usize>,
    /// What the switch said.
    pub code: ErrorCode,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(f, "change {index}: {}", self.code),
            None => write!(f, "the bundle as a whole: {}", self.code),
        }
    }
}

impl BundleRun {
    /// A bundle that was sent up to its closing, with xids from `first` on; see
    /// [`Session::send_script`](super::session::Session::send_script).
    pub fn start(bundle: BundleId, script: &Script, first: Xid) -> BundleRun {
        let close = Xid(first.0 + script.messages() - 1);
        let awaited = Some(Awaited { xid: close, step: BundleStep::CloseReply });
        BundleRun { bundle, open: first, close, awaited, failure: None }
    }

    /// Takes a message from the switch; those that are not about this bundle are passed over.
    ///
    /// Returns the outcome when there is one, and never again.
    ///
    /// # Errors
    /// Those of `send`.
    pub fn handle<E>(
        &mut self,
        message: &Message,
        send: impl FnMut(Body) -> Result<Xid, E>,
    ) -> Result<Option<Outcome>, E> {
        let Some(awaited) = self.awaited else { return Ok(None) };
        match &message.body {
            Body::BundleControl(control) if (control.bundle, control.step) == (self.bundle, awaited.step) => {
                if message.xid == awaited.xid { self.answered(awaited.step, send) } else { Ok(None) }
            }
            Body::Error(error) if message.xid == awaited.xid => {
                self.note(None, error.code);
                self.refused(awaited.step, send)
            }
            Body::Error(error) if (self.open..self.close).contains(&message.xid) => {
                let index = (message.xid.0 - self.open.0).checked_sub(1);
                self.note(index.map(|index| index as usize), error.code);
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// The switch did what was asked last.
    fn answered<E>(
        &mut self,
        step: BundleStep,
        send: impl FnMut(Body) -> Result<Xid, E>,
    ) -> Result<Option<Outcome>, E> {
        match (step, self.failure) {
            (BundleStep::CloseReply, None) => {
                self.request(BundleStep::CommitRequest, BundleStep::CommitReply, send)?;
                Ok(None)
            }
            (BundleStep::CloseReply, Some(_)) => self.refused(step, send),
            (BundleStep::CommitReply, _) => Ok(self.finish(Outcome::Committed)),
            (_, failure) => Ok(failure.and_then(|failure| self.finish(Outcome::Failed(failure)))),
        }
    }

    /// The switch refused what was asked last, or a part of what was closed. The failure is noted already.
    fn refused<E>(&mut self, step: BundleStep, send: impl FnMut(Body) -> Result<Xid, E>) -> Result<Option<Outcome>, E> {
        match (step, self.failure) {
            (BundleStep::CloseReply, _) => {
                self.request(BundleStep::DiscardRequest, BundleStep::DiscardReply, send)?;
                Ok(None)
            }
            (_, failure) => Ok(failure.and_then(|failure| self.finish(Outcome::Failed(failure)))),
        }
    }

    fn request<E>(
        &mut self,
        request: BundleStep,
        reply: BundleStep,
        mut send: impl FnMut(Body) -> Result<Xid, E>,
    ) -> Result<(), E> {
        self.awaited = Some(Awaited { xid: send(control(self.bundle, request))?, step: reply });
        Ok(())
    }

    fn finish(&mut self, outcome: Outcome) -> Option<Outcome> {
        self.awaited = None;
        Some(outcome)
    }

    /// Keeps the first error about a change, or else the first of all: what follows is its consequence.
    fn note(&mut self, index: Option<usize>, code: ErrorCode) {
        let is_better = self.failure.is_none_or(|known| known.index.is_none() && index.is_some());
        if is_better {
            self.failure = Some(Failure { index, code });
        }
    }
}

pub(super) fn control(bundle: BundleId, step: BundleStep) -> Body {
    Body::BundleControl(BundleControl { bundle, step, flags: BundleFlags::ATOMIC_ORDERED })
}
