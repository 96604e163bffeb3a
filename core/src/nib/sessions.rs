//! Who is logged in at the API, for every controller to know. Start at [`SessionCommand`].

use super::{Change, Nib, Refusal};
use serde::{Deserialize, Serialize};

/// Most sessions; the one that was used longest ago makes room.
pub const SESSIONS_MAX: usize = 10_000;

/// A login that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// Who logged in.
    pub user: String,
    /// The hash that the password was checked against: with another one the session is over.
    pub password_hash: String,
    /// When it was used last, more or less, in seconds of Unix time by the clock of whoever says so.
    pub used: u64,
}

/// Something about sessions changes. They are named by a digest of what clients show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionCommand {
    /// Somebody logged in.
    Open {
        /// The session.
        digest: String,
        /// What is known of it.
        record: SessionRecord,
    },
    /// It is used still.
    Use {
        /// The session.
        digest: String,
        /// The caller's Unix time, in seconds.
        now: u64,
    },
    /// Somebody logged out.
    Close {
        /// The session.
        digest: String,
    },
}

impl Nib {
    /// A session that was not ended.
    pub fn session(&self, digest: &str) -> Option<&SessionRecord> {
        self.sessions.get(digest)
    }

    pub(super) fn change_session(&mut self, command: &SessionCommand) -> Result<Vec<Change>, Refusal> {
        match command {
            SessionCommand::Open { digest, record } => {
                while self.sessions.len() >= SESSIONS_MAX && !self.sessions.contains_key(digest) {
                    let oldest = self.sessions.iter().min_by_key(|(digest, record)| (record.used, *digest));
                    let oldest = oldest.map(|(digest, _)| digest.clone()).expect("there are some");
                    self.sessions.remove(&oldest);
                }
                self.sessions.insert(digest.clone(), record.clone());
            }
            SessionCommand::Use { digest, now } => {
                if let Some(record) = self.sessions.get_mut(digest) {
                    record.used = record.used.max(*now);
                }
            }
            SessionCommand::Close { digest } => _ = self.sessions.remove(digest),
        }
        Ok(vec![Change::User])
    }
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::*;

    fn apply(nib: &mut Nib, command: SessionCommand) {
        nib.apply(&Command::Session(command)).expect("never refused");
    }

    fn open(nib: &mut Nib, n: usize, used: u64) {
        let record = SessionRecord { user: "ada".into(), password_hash: String::new(), used };
        apply(nib, SessionCommand::Open { digest: n.to_string(), record });
    }

    #[test]
    fn sessions_end_when_they_are_closed_or_others_need_the_room() {
        let mut nib = Nib::default();
        (0..SESSIONS_MAX).for_each(|n| open(&mut nib, n, 10));
        apply(&mut nib, SessionCommand::Use { digest: "0".into(), now: 20 });
        open(&mut nib, 1, 9);
        open(&mut nib, SESSIONS_MAX, 10);
        assert!(nib.session("0").is_some_and(|record| record.used == 20));
        assert!(nib.session("1").is_none(), "it was used longest ago");
        apply(&mut nib, SessionCommand::Close { digest: "0".into() });
        apply(&mut nib, SessionCommand::Use { digest: "0".into(), now: 30 });
        assert!(nib.session("0").is_none());
    }
}
