//! Meters: rates above which packets are dropped (OpenFlow 1.5.1, section 5.8). DSCP remarking drops nothing, as in
//! Open vSwitch, which does not know it.

use std::collections::BTreeMap;
use std::time::Duration;

/// A band: drops what exceeds its rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    /// Kilobits or packets per second.
    pub rate: u32,
    /// Kilobits or packets; zero: one second's worth.
    pub burst: u32,
}

/// A meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meter {
    /// Whether rates are of packets instead of kilobits.
    pub is_in_packets: bool,
    /// Its bands.
    pub bands: Vec<Band>,
}

/// A meter in the bridge.
#[derive(Clone, Debug)]
pub struct MeterEntry {
    /// As it was set.
    pub meter: Meter,
    /// Packets it saw.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets it dropped.
    pub dropped: u64,
    /// What is left for each band, in millionths of a packet or in bits times a thousand.
    tokens: Vec<u128>,
    seen: Duration,
}

/// All meters of a bridge.
#[derive(Clone, Debug, Default)]
pub struct Meters {
    meters: BTreeMap<u32, MeterEntry>,
}

impl Band {
    /// What it can hold, in the unit of tokens.
    fn capacity(self) -> u128 {
        let burst = if self.burst == 0 { self.rate } else { self.burst };
        u128::from(burst) * 1_000_000
    }
}

impl Meters {
    /// Puts a meter there, with full buckets.
    pub fn set(&mut self, now: Duration, id: u32, meter: Meter) {
        let tokens = meter.bands.iter().map(|band| band.capacity()).collect();
        self.meters.insert(id, MeterEntry { meter, packets: 0, bytes: 0, dropped: 0, tokens, seen: now });
    }

    /// Takes a meter away.
    pub fn remove(&mut self, id: u32) -> Option<MeterEntry> {
        self.meters.remove(&id)
    }

    /// A meter.
    pub fn get(&self, id: u32) -> Option<&MeterEntry> {
        self.meters.get(&id)
    }

    /// All meters by number.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &MeterEntry)> {
        self.meters.iter().map(|(id, entry)| (*id, entry))
    }

    /// Whether a packet may pass; through a meter that is not there it may.
    pub fn admits(&mut self, now: Duration, id: u32, bytes: usize) -> bool {
        let Some(entry) = self.meters.get_mut(&id) else { return true };
        let micros = now.saturating_sub(entry.seen).as_micros();
        entry.seen = now;
        entry.packets += 1;
        entry.bytes += bytes as u64;
        let cost = if entry.meter.is_in_packets { 1_000_000 } else { bytes as u128 * 8 * 1000 };
        let mut is_admitted = true;
        for (band, tokens) in entry.meter.bands.iter().zip(&mut entry.tokens) {
            *tokens = (*tokens + micros * u128::from(band.rate)).min(band.capacity());
            match tokens.checked_sub(cost) {
                Some(left) => *tokens = left,
                None => is_admitted = false,
            }
        }
        entry.dropped += u64::from(!is_admitted);
        is_admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_beyond_the_rate_are_dropped() {
        let mut meters = Meters::default();
        meters.set(Duration::ZERO, 1, Meter { is_in_packets: true, bands: vec![Band { rate: 10, burst: 2 }] });
        let admitted = |meters: &mut Meters, now| (0..5).filter(|_| meters.admits(now, 1, 100)).count();
        assert_eq!(admitted(&mut meters, Duration::ZERO), 2);
        assert_eq!(admitted(&mut meters, Duration::from_millis(100)), 1);
        assert_eq!(admitted(&mut meters, Duration::from_secs(9)), 2);
        assert_eq!(meters.get(1).map(|entry| entry.dropped), Some(10));
        assert!(meters.admits(Duration::ZERO, 2, 1), "no such meter");
    }

    #[test]
    fn bits() {
        let mut meters = Meters::default();
        meters.set(Duration::ZERO, 1, Meter { is_in_packets: false, bands: vec![Band { rate: 8, burst: 0 }] });
        assert!(meters.admits(Duration::ZERO, 1, 1000));
        assert!(!meters.admits(Duration::from_millis(500), 1, 501));
        assert!(meters.admits(Duration::from_millis(500), 1, 500));
    }
}
