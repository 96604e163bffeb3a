//! What a path does to the packets on it, in one direction.
//!
//! [`Weather`] is plain settings: a fault plan draws it, a replay reads it back. Which of it befalls a packet is drawn
//! by the underlay, packet by packet; what depends on time alone ([`Flap`]) is a function of time.

use selvedge_net::runtime::Moment;
use std::time::Duration;

/// How a path is, from one endpoint to another. The default is a fine day: 50 microseconds, nothing lost.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Weather {
    /// Least time a packet takes.
    pub latency: Duration,
    /// Up to this much more, drawn for each packet: those behind may overtake.
    pub jitter: Duration,
    /// Share of packets lost, 0 to 1.
    pub loss: f64,
    /// Share of packets that arrive twice, 0 to 1.
    pub duplication: f64,
    /// Share of packets with one bit flipped behind the outer headers, 0 to 1. Outer checksums are right for what
    /// arrives, as when a router's memory fails.
    pub corruption: f64,
    /// Bytes of the largest IP packet that passes.
    pub mtu: u16,
    /// What becomes of larger ones that say "don't fragment", as tunnels do, or are IPv6. Others are cut into fragments.
    pub too_big: TooBig,
    /// How fast packets pass; none: as fast as they come.
    pub rate: Option<Rate>,
    /// Nothing passes.
    pub cut: bool,
    /// Some flows are lost and others are not.
    pub grey: Option<Grey>,
    /// The link comes and goes.
    pub flap: Option<Flap>,
    /// Whether what keeps tunnels alive fares as data does.
    pub health: Health,
}

/// What happens to packets above the MTU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum TooBig {
    /// They vanish: ICMP is filtered.
    Silent,
    /// The sender is told by ICMP (RFC 1191, RFC 8201).
    Answered,
    /// IPv4 ones are cut into fragments all the same: a router clears "don't fragment". IPv6 ones vanish.
    Fragmented,
}

/// A link of limited speed with a queue before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rate {
    /// How many pass; 0 is taken as 1.
    pub bytes_per_second: u64,
    /// How many may wait; a packet that would exceed them is dropped.
    pub queue_bytes: u64,
}

/// Loss for some flows only, as when one link of many has failed half-way: chosen by the hash of addresses, protocol
/// and ports in the outer header.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Grey {
    /// Share of flows, 0 to 1.
    pub flows: f64,
    /// Share of their packets lost, 0 to 1.
    pub loss: f64,
    /// Another choice of flows.
    pub salt: u64,
}

/// Up for a while, down for a while, over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Flap {
    /// When it goes up first; before that it is up, too.
    pub since: Moment,
    /// How long it stays up.
    pub up: Duration,
    /// How long it then is down.
    pub down: Duration,
}

/// How the packets by which endpoints judge a path (BFD inside of tunnels) fare beside the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Health {
    /// As all others.
    AsData,
    /// They are lost, others are not for that.
    Lost,
    /// They alone pass.
    Alone,
}

impl Default for Weather {
    fn default() -> Weather {
        Weather {
            latency: Duration::from_micros(50),
            jitter: Duration::ZERO,
            loss: 0.0,
            duplication: 0.0,
            corruption: 0.0,
            mtu: 9000,
            too_big: TooBig::Answered,
            rate: None,
            cut: false,
            grey: None,
            flap: None,
            health: Health::AsData,
        }
    }
}

impl Flap {
    /// Whether the link is up at this moment.
    pub fn is_up(&self, now: Moment) -> bool {
        let period = (self.up + self.down).as_nanos();
        match now.checked_sub(self.since) {
            Some(elapsed) if period > 0 => elapsed.as_nanos() % period < self.up.as_nanos(),
            Some(_) | None => true,
        }
    }
}

impl Rate {
    /// How long this many bytes take.
    pub fn time_of(&self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flapping_link_is_up_first_and_then_down() {
        let (up, down) = (Duration::from_secs(3), Duration::from_secs(2));
        let flap = Flap { since: Duration::from_secs(10), up, down };
        let seconds = |from, to| (from..to).map(|s| u8::from(flap.is_up(Duration::from_secs(s)))).collect::<Vec<_>>();
        assert_eq!(seconds(8, 20), [1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0]);
        let never = Flap { since: Duration::ZERO, up: Duration::ZERO, down: Duration::ZERO };
        assert!(never.is_up(Duration::from_secs(1)), "no period, no flapping");
    }

    #[test]
    fn settings_survive_a_round_trip_through_text() {
        let weather = Weather {
            grey: Some(Grey { flows: 0.25, loss: 1.0, salt: 7 }),
            rate: Some(Rate { bytes_per_second: 8000, queue_bytes: 64 }),
            flap: Some(Flap { since: Duration::ZERO, up: Duration::from_millis(5), down: Duration::from_millis(6) }),
            ..Weather::default()
        };
        let text = serde_json::to_string(&weather).expect("plain settings");
        assert_eq!(serde_json::from_str::<Weather>(&text).expect("what was written"), weather);
    }
}
