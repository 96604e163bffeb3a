//! How long to leave a switch alone that refuses what it is sent. Start at [`Refusals`].

use crate::runtime::Moment;
use std::time::Duration;

/// How often a switch refused in a row, and what follows of it.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// So often.
    pub count: u32,
    /// Nothing is tried before.
    pub until: Option<Moment>,
}

impl Refusals {
    /// The pause after the first refusal, which may well be a race with somebody else; it doubles with each further one.
    const PAUSE_MIN: Duration = Duration::from_millis(100);
    /// The longest pause.
    const PAUSE_MAX: Duration = Duration::from_secs(10);

    /// One more: the pause after it.
    pub fn refused(&mut self, now: Moment) -> Duration {
        let pause = (Self::PAUSE_MIN * 2_u32.pow(self.count.min(16))).min(Self::PAUSE_MAX);
        self.count += 1;
        self.until = Some(now + pause);
        pause
    }

    /// Whether the time for an attempt has come.
    pub fn may_try(&mut self, now: Moment) -> bool {
        if self.until.is_some_and(|until| until <= now) {
            self.until = None;
        }
        self.until.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_that_refuses_is_left_alone_for_longer_each_time() {
        let mut refusals = Refusals::default();
        let (mut now, mut attempts) = (Duration::ZERO, 0);
        while now < Duration::from_secs(60) {
            assert!(refusals.may_try(now));
            attempts += 1;
            let pause = refusals.refused(now);
            assert!(!refusals.may_try(now + pause - Duration::from_nanos(1)));
            now += pause;
        }
        assert_eq!(attempts, 12, "0.1 s, doubling up to 10 s");
    }
}
