//! How many requests a tenant may send: so many each second, and some more at once after a pause (a token bucket). A
//! change counts as several reads, since the cluster must agree on it, and switches must be told.
//!
//! Administrators and operators are not limited: a cloud manager is one of them, and speaks for all of its tenants.
//! No clock of its own; [`Rates`] is told the time. Start at [`Rates::take`].

use crate::runtime::Moment;
use std::collections::BTreeMap;
use std::time::Duration;

/// Most users remembered; those that could send as many as can be at once make room.
const USERS_MAX: usize = 10_000;

/// So many reads a change is worth.
const CHANGE: u32 = 10;

/// How many requests one user may send, where a change counts as ten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// For each second.
    pub per_second: u32,
    /// At once, after a pause.
    pub burst: u32,
}

impl Default for Rate {
    fn default() -> Rate {
        Rate { per_second: 100, burst: 200 }
    }
}

impl Rate {
    /// The time that one request is worth.
    fn each(self) -> Duration {
        Duration::from_secs(1) / self.per_second.max(1)
    }

    fn all(self) -> Duration {
        // A change must be possible at all.
        self.each() * self.burst.max(CHANGE)
    }
}

/// Until when what each user sent is paid for.
#[derive(Debug, Default)]
pub(super) struct Rates {
    paid_until: BTreeMap<String, Moment>,
}

impl Rates {
    /// A user reads or changes something.
    ///
    /// # Errors
    /// How long they must wait, if they sent too many.
    pub(super) fn take(&mut self, rate: Rate, now: Moment, user: &str, is_read: bool) -> Result<(), Duration> {
        if !self.paid_until.contains_key(user) && self.paid_until.len() >= USERS_MAX {
            self.paid_until.retain(|_, until| *until > now);
        }
        let until = self.paid_until.get(user).copied().unwrap_or_default().max(now);
        let until = until + rate.each() * if is_read { 1 } else { CHANGE };
        let wait = until.saturating_sub(now + rate.all());
        if !wait.is_zero() {
            return Err(wait);
        }
        self.paid_until.insert(user.to_string(), until);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_a_steady_rate_for_each_user() {
        let rate = Rate { per_second: 10, burst: 15 };
        let mut rates = Rates::default();
        let ms = Duration::from_millis;
        let start = ms(60_000);
        let sent = |rates: &mut Rates, user: &str, at: Moment| {
            (0..100).take_while(|_| rates.take(rate, at, user, true).is_ok()).count()
        };
        assert_eq!(sent(&mut rates, "a", start), 15);
        assert_eq!(rates.take(rate, start, "a", true), Err(ms(100)), "and that is how long to wait");
        assert_eq!(sent(&mut rates, "b", start), 15, "others are not concerned");
        assert_eq!(sent(&mut rates, "a", start + ms(99)), 0);
        assert_eq!(sent(&mut rates, "a", start + ms(100)), 1);
        assert_eq!(sent(&mut rates, "a", start + ms(350)), 2);
        assert_eq!(sent(&mut rates, "a", start + ms(60_000)), 15, "no more than a burst is saved up");
        assert_eq!(rates.take(rate, start, "c", false), Ok(()));
        assert_eq!(rates.take(rate, start, "c", false), Err(ms(500)), "a change is worth ten reads");
        assert_eq!(sent(&mut rates, "c", start), 5);
        let narrow = Rate { per_second: 1, burst: 2 };
        assert_eq!(rates.take(narrow, start, "d", false), Ok(()), "a change is possible however few may be sent");
        for n in 0..USERS_MAX * 2 {
            let at = start + ms(100_000) + Duration::from_secs(n as u64);
            assert_eq!(rates.take(rate, at, &n.to_string(), true), Ok(()));
        }
        assert!(rates.paid_until.len() <= USERS_MAX);
    }
}
