//! Rates of ports: queues that delay what leaves, and policing of what comes in.

use std::collections::BTreeMap;
use std::time::Duration;

/// How long a packet may wait in a queue before it is dropped instead.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// A rate: bits per second, and how many bits may pass at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Bits per second; zero is no limit.
    pub bits_per_second: u64,
    /// Bits.
    pub burst: u64,
}

impl Rate {
    fn time_for(self, bits: u64) -> Duration {
        let nanos = u128::from(bits) * 1_000_000_000 / u128::from(self.bits_per_second.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// A rate, and when what has passed would have passed at exactly this rate.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    rate: Rate,
    paid_until: Duration,
}

impl Bucket {
    fn new(rate: Rate) -> Bucket {
        Bucket { rate, paid_until: Duration::ZERO }
    }

    /// When a packet may pass, if it may wait this long.
    fn pass(&mut self, now: Duration, bytes: usize, patience: Duration) -> Option<Duration> {
        if self.rate.bits_per_second == 0 {
            return Some(now);
        }
        let credit = self.rate.time_for(self.rate.burst);
        let begins = self.paid_until.max(now);
        let ends = begins + self.rate.time_for(bytes as u64 * 8);
        let at = ends.saturating_sub(credit).max(now);
        let is_in_time = at <= now + patience;
        if is_in_time {
            self.paid_until = ends;
        }
        is_in_time.then_some(at)
    }
}

/// The rates of a port.
#[derive(Clone, Debug, Default)]
pub struct Queues {
    queues: BTreeMap<u32, Bucket>,
    policing: Option<Bucket>,
    /// Packets that waited too long or came too fast.
    pub dropped: u64,
}

impl Queues {
    /// Sets the rate of a queue (`max-rate` and `burst` of linux-htb).
    pub fn set(&mut self, queue: u32, rate: Rate) {
        self.queues.insert(queue, Bucket::new(rate));
    }

    /// Takes a queue away.
    pub fn remove(&mut self, queue: u32) {
        self.queues.remove(&queue);
    }

    /// Sets `ingress_policing_rate` and its burst.
    pub fn police(&mut self, rate: Option<Rate>) {
        self.policing = rate.map(Bucket::new);
    }

    /// When a packet for a queue leaves; none if it is dropped. Packets for no queue, or one that is not there, are for
    /// queue 0; without a rate they leave at once.
    pub fn departure(&mut self, now: Duration, queue: Option<u32>, bytes: usize) -> Option<Duration> {
        let wanted = queue.filter(|queue| self.queues.contains_key(queue)).unwrap_or(0);
        let Some(bucket) = self.queues.get_mut(&wanted) else { return Some(now) };
        let at = bucket.pass(now, bytes, WAIT_MAX);
        self.dropped += u64::from(at.is_none());
        at
    }

    /// Whether a packet that comes in is taken.
    pub fn admits(&mut self, now: Duration, bytes: usize) -> bool {
        let Some(bucket) = &mut self.policing else { return true };
        let is_admitted = bucket.pass(now, bytes, Duration::ZERO).is_some();
        self.dropped += u64::from(!is_admitted);
        is_admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    #[test]
    fn a_queue_delays_and_then_drops() {
        let mut queues = Queues::default();
        queues.set(1, Rate { bits_per_second: 8000, burst: 8000 });
        let mut leave = |queue| queues.departure(NOW, queue, 500).map(|at| at - NOW);
        let half = Duration::from_millis(500);
        assert_eq!(
            [leave(Some(1)), leave(Some(1)), leave(Some(1)), leave(Some(1))],
            [0, 0, 1, 2].map(|count| Some(half * count))
        );
        assert_eq!(leave(Some(1)), None);
        assert_eq!([leave(Some(2)), leave(None)], [Some(Duration::ZERO); 2], "queue 0 has no rate");
        assert_eq!(queues.dropped, 1);
        assert_eq!(queues.departure(NOW + Duration::from_secs(9), Some(1), 500), Some(NOW + Duration::from_secs(9)));
    }

    #[test]
    fn policing() {
        let mut queues = Queues::default();
        assert!(queues.admits(NOW, 5000));
        queues.police(Some(Rate { bits_per_second: 8000, burst: 8000 }));
        let taken = (0..5).filter(|_| queues.admits(NOW, 500)).count();
        assert_eq!((taken, queues.admits(NOW + Duration::from_millis(500), 500)), (2, true));
    }
}
