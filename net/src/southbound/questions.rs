//! Questions to a switch on their way: asked in the OVSDB session that configures it, a few at a time, so that they
//! never delay what has to be done. Start at [`Questions::ask`].

use crate::controller::{Link, Question};
use crate::ovsdb::operation::{Done, TransactError};
use crate::ovsdb::session::{Session, TransactionId};
use crate::ovsdb::statistics;
use crate::runtime::Moment;
use std::collections::BTreeMap;

/// Most questions on their way: fewer than a session has room for transactions.
const UNDER_WAY_MAX: usize = 8;

/// Those on their way.
#[derive(Debug, Default)]
pub(super) struct Questions(BTreeMap<TransactionId, Question>);

impl Questions {
    /// Asks what waits, as far as there is room; whether anything was asked.
    pub(super) fn ask(&mut self, now: Moment, link: &Link, session: &mut Session) -> bool {
        let before = self.0.len();
        while self.0.len() < UNDER_WAY_MAX
            && let Some(question) = link.question()
        {
            // Of a session that is closed nobody gets an answer, and the question is gone.
            if let Ok(id) = session.transact(now, &statistics::question(&question.interface)) {
                self.0.insert(id, question);
            }
        }
        self.0.len() > before
    }

    /// Passes an answer on, if it is to one of these; whether it is.
    pub(super) fn answered(&mut self, id: TransactionId, result: &Result<Vec<Done>, TransactError>) -> bool {
        let Some(question) = self.0.remove(&id) else { return false };
        if let Ok(done) = result {
            // Whoever asked may have given up.
            _ = question.reply.send(statistics::answer(done));
        }
        true
    }
}
