//! Who is logged in, in memory: a restart logs everyone out. No clock of its own; [`Sessions`] is told the time.

use crate::runtime::{Moment, Runtime};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// A session ends after this long without a request.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(30 * 60);
/// Most sessions; the one that was idle longest makes room.
pub(super) const SESSIONS_MAX: usize = 10_000;

/// What names a session: 128 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SessionId(u128);

impl SessionId {
    /// A new one.
    pub(super) fn draw<R: Runtime>() -> SessionId {
        let mut bytes = [0; 16];
        R::random(&mut bytes);
        SessionId(u128::from_be_bytes(bytes))
    }

    /// The one that `text` begins with: 32 lower-case hex digits.
    pub(super) fn at_start(text: &str) -> Option<SessionId> {
        let digits = text.get(..32)?;
        let lawful = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let id = u128::from_str_radix(digits, 16).ok().filter(|_| lawful)?;
        Some(SessionId(id))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// What is remembered of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    /// Who logged in.
    pub user: String,
    /// The hash that the password was checked against.
    pub password_hash: String,
}

/// The living sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_id: BTreeMap<SessionId, (Moment, Session)>,
    by_last_use: BTreeSet<(Moment, SessionId)>,
}

impl Sessions {
    /// Someone logged in.
    pub(super) fn open(&mut self, now: Moment, id: SessionId, session: Session) {
        self.expire(now);
        self.close(id);
        while self.by_id.len() >= SESSIONS_MAX {
            let idlest = self.by_last_use.first().map(|(_, id)| *id).expect("both maps hold the same sessions");
            self.close(idlest);
        }
        self.by_last_use.insert((now, id));
        self.by_id.insert(id, (now, session));
    }

    /// The session of a request, which keeps it alive.
    pub(super) fn used(&mut self, now: Moment, id: SessionId) -> Option<Session> {
        self.expire(now);
        let (last_use, session) = self.by_id.get_mut(&id)?;
        self.by_last_use.remove(&(*last_use, id));
        self.by_last_use.insert((now, id));
        *last_use = now;
        Some(session.clone())
    }

    /// Someone logged out.
    pub(super) fn close(&mut self, id: SessionId) {
        if let Some((last_use, _)) = self.by_id.remove(&id) {
            self.by_last_use.remove(&(last_use, id));
        }
    }

    fn expire(&mut self, now: Moment) {
        while let Some((last_use, id)) = self.by_last_use.first().copied() {
            if now.saturating_sub(last_use) < IDLE_MAX {
                break;
            }
            self.close(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(user: &str) -> Session {
        Session { user: user.into(), password_hash: String::new() }
    }

    fn at(seconds: u64) -> Moment {
        Duration::from_secs(seconds)
    }

    #[test]
    fn use_keeps_a_session_alive_and_idleness_ends_it() {
        let mut sessions = Sessions::default();
        sessions.open(at(0), SessionId(1), session("a"));
        assert_eq!(sessions.used(at(1_799), SessionId(1)), Some(session("a")));
        assert_eq!(sessions.used(at(3_598), SessionId(1)), Some(session("a")));
        assert_eq!(sessions.used(at(3_598 + 1_800), SessionId(1)), None);
        assert!(sessions.by_id.is_empty() && sessions.by_last_use.is_empty());
    }

    #[test]
    fn the_idlest_makes_room() {
        let mut sessions = Sessions::default();
        for n in 0..SESSIONS_MAX as u128 {
            sessions.open(at(1), SessionId(n), session("a"));
        }
        sessions.used(at(2), SessionId(0));
        sessions.open(at(3), SessionId(u128::MAX), session("b"));
        assert_eq!(sessions.by_id.len(), SESSIONS_MAX);
        assert!(sessions.used(at(4), SessionId(0)).is_some());
        assert_eq!(sessions.used(at(4), SessionId(1)), None, "the idlest");
    }

    #[test]
    fn an_id_is_read_with_whatever_follows_it() {
        let id = SessionId(0x8d2f_6f0f);
        assert_eq!(SessionId::at_start(&id.to_string()), Some(id));
        assert_eq!(SessionId::at_start(&format!("{id}; Path=/; secure")), Some(id));
        assert_eq!(SessionId::at_start("8d2f"), None);
        assert_eq!(SessionId::at_start(&"g".repeat(32)), None);
        assert_eq!(SessionId::at_start(&format!("+{id}")), None);
        assert_eq!(SessionId::at_start(&"\u{e9}".repeat(40)), None);
    }
}
