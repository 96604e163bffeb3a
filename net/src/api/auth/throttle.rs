//! Slows down guessing: five wrong passwords for one user within a minute, and that user must wait.
//!
//! The price is that anyone can keep a user from logging in; living sessions are not touched. Names that no user
//! has are treated alike, so that they cannot be told apart. Start at [`Throttle`].

use crate::runtime::Moment;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Wrong passwords count for this long.
const WINDOW: Duration = Duration::from_secs(60);
/// This many within the window, and the user must wait until the oldest leaves it.
const FAILURES_MAX: usize = 5;
/// Most users remembered; the one whose last failure is oldest makes room.
const USERS_MAX: usize = 10_000;
/// Of a longer name only so much is remembered, in characters.
const NAME_MAX: usize = 64;

/// Recent wrong passwords, by user.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    failures: BTreeMap<String, VecDeque<Moment>>,
}

fn key(user: &str) -> String {
    user.chars().take(NAME_MAX).collect()
}

impl Throttle {
    /// How long `user` must wait before the next attempt, if at all.
    pub(super) fn wait(&self, now: Moment, user: &str) -> Option<Duration> {
        let failures = self.failures.get(&key(user))?;
        let counted = failures.len().checked_sub(FAILURES_MAX).and_then(|i| failures.get(i))?;
        let wait = (*counted + WINDOW).saturating_sub(now);
        (!wait.is_zero()).then_some(wait)
    }

    /// A password was wrong.
    pub(super) fn failed(&mut self, now: Moment, user: &str) {
        let key = key(user);
        if !self.failures.contains_key(&key) && self.failures.len() >= USERS_MAX {
            self.make_room(now);
        }
        let failures = self.failures.entry(key).or_default();
        failures.push_back(now);
        while failures.len() > FAILURES_MAX {
            failures.pop_front();
        }
    }

    /// A password was right.
    pub(super) fn succeeded(&mut self, user: &str) {
        self.failures.remove(&key(user));
    }

    fn make_room(&mut self, now: Moment) {
        self.failures.retain(|_, failures| failures.back().is_some_and(|last| *last + WINDOW > now));
        if self.failures.len() >= USERS_MAX {
            let oldest = self.failures.iter().min_by_key(|(_, failures)| failures.back().copied());
            let oldest = oldest.map(|(user, _)| user.clone()).expect("it is full, so not empty");
            self.failures.remove(&oldest);
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
    fn the_fifth_failure_in_a_minute_makes_one_user_wait() {
        let mut throttle = Throttle::default();
        for second in [0, 10, 20, 30] {
            throttle.failed(at(second), "a");
            assert_eq!(throttle.wait(at(second), "a"), None);
        }
        throttle.failed(at(40), "a");
        assert_eq!(throttle.wait(at(40), "a"), Some(at(20)));
        assert_eq!(throttle.wait(at(40), "b"), None);
        assert_eq!(throttle.wait(at(60), "a"), None, "the first failure no longer counts");
        throttle.failed(at(60), "a");
        assert_eq!(throttle.wait(at(60), "a"), Some(at(10)));
        throttle.succeeded("a");
        assert_eq!(throttle.wait(at(60), "a"), None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut throttle = Throttle::default();
        (0..USERS_MAX + 10).for_each(|n| throttle.failed(at(1), &format!("{n}")));
        throttle.failed(at(2), &"x".repeat(1_000_000));
        assert!(throttle.failures.len() <= USERS_MAX);
        assert!(throttle.failures.keys().all(|name| name.len() <= NAME_MAX));
    }
}
