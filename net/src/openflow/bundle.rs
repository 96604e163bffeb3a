//! One atomic and ordered change of a switch: all of it happens, or nothing does.
//!
//! The messages of a bundle go out at once, but it is committed only when the switch has answered its closing: Open
//! vSwitch answers a message it cannot read with an error, leaves it out, and would commit the rest. After an error
//! the bundle is discarded.
//!
//! Open vSwitch forgets a bundle about which nothing is said for a while (`bundle-idle-timeout`, 10 s).
//! Section 6.9. Start at [`BundleRun::start`].

use super::error::ErrorCode;
use super::message::{Body, BundleAdd, BundleControl, BundleFlags, BundleId, BundleStep, Message, Mod, Xid};
use std::collections::BTreeMap;
use std::fmt;

/// A bundle on its way.
#[derive(Clone, Debug)]
pub struct BundleRun {
    bundle: BundleId,
    /// The number of each change.
    changes: BTreeMap<Xid, usize>,
    /// Of the opening.
    open: Xid,
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
    /// Sends a whole bundle, up to its closing. `send` queues a message and returns its xid, as
    /// [`Session::send`](super::session::Session::send) does.
    ///
    /// # Errors
    /// The first of `send`. The switch is told to forget what it has, if it can be told.
    pub fn start<E>(
        bundle: BundleId,
        changes: impl IntoIterator<Item = Mod>,
        mut send: impl FnMut(Body) -> Result<Xid, E>,
    ) -> Result<BundleRun, E> {
        let open = send(control(bundle, BundleStep::OpenRequest))?;
        let run = BundleRun::fill(bundle, open, changes, &mut send);
        if run.is_err() {
            // The first error is the one that counts, and most likely the cause of this one.
            let _ = send(control(bundle, BundleStep::DiscardRequest));
        }
        run
    }

    fn fill<E>(
        bundle: BundleId,
        open: Xid,
        changes: impl IntoIterator<Item = Mod>,
        mut send: impl FnMut(Body) -> Result<Xid, E>,
    ) -> Result<BundleRun, E> {
        let mut add = |change| send(Body::BundleAdd(BundleAdd { bundle, flags: BundleFlags::ATOMIC_ORDERED, change }));
        let numbered = changes.into_iter().enumerate();
        let changes = numbered.map(|(index, change)| Ok((add(change)?, index))).collect::<Result<_, _>>()?;
        let close = send(control(bundle, BundleStep::CloseRequest))?;
        let awaited = Some(Awaited { xid: close, step: BundleStep::CloseReply });
        Ok(BundleRun { bundle, changes, open, awaited, failure: None })
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
            Body::Error(error) => {
                let index = self.changes.get(&message.xid).copied();
                if index.is_some() || message.xid == self.open {
                    self.note(index, error.code);
                }
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

fn control(bundle: BundleId, step: BundleStep) -> Body {
    Body::BundleControl(BundleControl { bundle, step, flags: BundleFlags::ATOMIC_ORDERED })
}
