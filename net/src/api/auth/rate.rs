//! How many requests a tenant may send: so many each second, and some more at once after a pause (a token bucket). A
//! change counts as several reads, since the cluster must agree on it, and switches must be told.
//!
//! What comes a little too early waits for its turn; what would wait for long is refused, and hears that late: a tenant
//! who asks again at once, with as many clients as they have, costs others next to nothing.
//!
//! Administrators and operators are not limited: a cloud manager is one of them, and speaks for all of its tenants.
//! No clock of its own; [`Rates`] is told the time. Start at [`Rates::take`].

use crate::runtime::Moment;
use std::collections::BTreeMap;
use std::time::Duration;

/// Most users remembered; those that could send as many as can be at once make room.
const USERS_MAX: usize = 10_000;

/// Longest a request waits for its turn, and the longest that one waits which is refused.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(1);
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
    /// A user reads or changes something; how long that must wait.
    ///
    /// # Errors
    /// How long it would have had to, if that is too long.
    pub(super) fn take(&mut self, rate: Rate, now: Moment, user: &str, is_read: bool) -> Result<Duration, Duration> {
        if !self.paid_until.contains_key(user) && self.paid_until.len() >= USERS_MAX {
            self.paid_until.retain(|_, until| *until > now);
        }
        let until = self.paid_until.get(user).copied().unwrap_or_default().max(now);
        let until = until + rate.each() * if is_read { 1 } else { CHANGE };
        let wait = until.saturating_sub(now + rate.all());
        if wait > WAIT_MAX {
            return Err(wait);
        }
        self.paid_until.insert(user.to_string(), until);
        Ok(wait)
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
        // How many pass at once, how many wait, and how long the next would have to.
        let sent = |rates: &mut Rates, user: &str, at: Moment| {
            let mut passed = (0, 0);
            loop {
                match rates.take(rate, at, user, true) {
                    Ok(Duration::ZERO) => passed.0 += 1,
                    Ok(_) => passed.1 += 1,
                    Err(wait) => return (passed, wait),
                }
            }
        };
        assert_eq!(sent(&mut rates, "a", start), ((15, 10), ms(1100)), "those who wait have their turns in one second");
        assert_eq!(sent(&mut rates, "b", start), ((15, 10), ms(1100)), "others are not concerned");
        assert_eq!(sent(&mut rates, "a", start + ms(99)), ((0, 0), ms(1001)));
        assert_eq!(sent(&mut rates, "a", start + ms(100)), ((0, 1), ms(1100)));
        assert_eq!(sent(&mut rates, "a", start + ms(60_000)), ((15, 10), ms(1100)), "no more than a burst is saved up");
        assert_eq!(rates.take(rate, start, "c", false), Ok(Duration::ZERO));
        assert_eq!(rates.take(rate, start, "c", false), Ok(ms(500)), "a change is worth ten reads");
        let narrow = Rate { per_second: 1, burst: 2 };
        assert_eq!(rates.take(narrow, start, "d", false), Ok(Duration::ZERO), "a change is always possible");
        for n in 0..USERS_MAX * 2 {
            let at = start + ms(100_000) + Duration::from_secs(n as u64);
            assert_eq!(rates.take(rate, at, &n.to_string(), true), Ok(Duration::ZERO));
        }
        assert!(rates.paid_until.len() <= USERS_MAX);
    }
}
