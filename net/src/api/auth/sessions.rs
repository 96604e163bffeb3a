//! Which sessions were used here lately. Whether a session is one at all the NIB says, on every controller; how long it has
//! been idle is known here to the second, and there to some minutes. No clock of its own; [`Sessions`] is told the time.

use crate::runtime::{Moment, Runtime};
use crate::tls::Fingerprint;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// A session ends after this long without a request.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(30 * 60);
/// Most sessions; the one that was idle longest makes room.
pub(super) const SESSIONS_MAX: usize = selvedge_core::nib::SESSIONS_MAX;
/// The NIB is told again that a session is used after this.
const TELL_EVERY: Duration = Duration::from_secs(5 * 60);

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

impl SessionId {
    /// By which the NIB knows it: who reads that cannot show it.
    pub(super) fn digest(self) -> String {
        Fingerprint::of(&self.0.to_be_bytes()).to_string()
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// When a session was used, and when the NIB was told so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Used {
    last: Moment,
    told: Moment,
}

/// The sessions that were used here.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_id: BTreeMap<SessionId, Used>,
    by_last_use: BTreeSet<(Moment, SessionId)>,
}

impl Sessions {
    /// One is used here that is not known here: somebody logged in, or was used on another controller.
    pub(super) fn open(&mut self, now: Moment, id: SessionId) {
        self.expire(now);
        self.close(id);
        while self.by_id.len() >= SESSIONS_MAX {
            let idlest = self.by_last_use.first().map(|(_, id)| *id).expect("both maps hold the same sessions");
            self.close(idlest);
        }
        self.by_last_use.insert((now, id));
        self.by_id.insert(id, Used { last: now, told: now });
    }

    /// A request keeps a session alive, if it is known here; whether the NIB is to be told.
    pub(super) fn used(&mut self, now: Moment, id: SessionId) -> Option<bool> {
        self.expire(now);
        let used = self.by_id.get_mut(&id)?;
        self.by_last_use.remove(&(used.last, id));
        self.by_last_use.insert((now, id));
        used.last = now;
        let is_due = now.saturating_sub(used.told) >= TELL_EVERY;
        if is_due {
            used.told = now;
        }
        Some(is_due)
    }

    /// Someone logged out.
    pub(super) fn close(&mut self, id: SessionId) {
        if let Some(used) = self.by_id.remove(&id) {
            self.by_last_use.remove(&(used.last, id));
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

    fn at(seconds: u64) -> Moment {
        Duration::from_secs(seconds)
    }

    #[test]
    fn use_keeps_a_session_alive_and_idleness_ends_it() {
        let mut sessions = Sessions::default();
        sessions.open(at(0), SessionId(1));
        assert_eq!(sessions.used(at(299), SessionId(1)), Some(false));
        assert_eq!(sessions.used(at(1_799), SessionId(1)), Some(true), "the NIB is to be told");
        assert_eq!(sessions.used(at(1_800), SessionId(1)), Some(false));
        assert_eq!(sessions.used(at(3_598), SessionId(1)), Some(true));
        assert_eq!(sessions.used(at(3_598 + 1_800), SessionId(1)), None);
        assert!(sessions.by_id.is_empty() && sessions.by_last_use.is_empty());
    }

    #[test]
    fn the_idlest_makes_room() {
        let mut sessions = Sessions::default();
        for n in 0..SESSIONS_MAX as u128 {
            sessions.open(at(1), SessionId(n));
        }
        sessions.used(at(2), SessionId(0));
        sessions.open(at(3), SessionId(u128::MAX));
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
