//! An IP fabric between tunnel endpoints: a packet goes in with its outer header first, and comes out elsewhere,
//! later, or not at all.
//!
//! Each ordered pair of endpoints has its own [`Weather`]. What befalls a packet is decided when it is sent, except
//! that whoever it is for must be up when it arrives. Draws are made in the order of calls, so that one seed and one
//! sequence of calls give one outcome. Start at [`Underlay::send`].

use super::outer::{self, Outer};
use super::weather::{Health, Rate, TooBig, Weather};
use super::{Counts, Packet};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use selvedge_net::runtime::Moment;
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap};
use std::net::IpAddr;
use std::time::Duration;

/// What became of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Event {
    /// Given to the underlay.
    Sent,
    /// Handed to whoever it was for.
    Delivered,
    /// No IP packet, or not as long as it says.
    Malformed,
    /// From an endpoint that is not there or down.
    SourceDown,
    /// To an endpoint that is not there, or was down when the packet arrived.
    DestinationDown,
    /// The path was cut.
    Cut,
    /// The link was down just then.
    Flapped,
    /// Lost by chance.
    Lost,
    /// Lost since it was of an unlucky flow.
    Grey,
    /// A health check that was lost as such.
    HealthLost,
    /// Data lost where health checks alone pass.
    DataLost,
    /// Above the MTU, and vanished.
    TooBigSilent,
    /// Above the MTU, and the sender is told.
    TooBigAnswered,
    /// No room in the queue.
    QueueFull,
    /// One bit flipped.
    Corrupted,
    /// Arrives twice.
    Duplicated,
    /// Arrives before one that was sent earlier on its path.
    Overtook,
}

/// What is on its way.
#[derive(Debug)]
struct Flying {
    at: Moment,
    serial: u64,
    to: IpAddr,
    packet: Packet,
}

impl Ord for Flying {
    fn cmp(&self, other: &Flying) -> Ordering {
        (self.at, self.serial).cmp(&(other.at, other.serial))
    }
}

impl PartialOrd for Flying {
    fn partial_cmp(&self, other: &Flying) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Flying {
    fn eq(&self, other: &Flying) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Flying {}

/// One direction between two endpoints.
#[derive(Debug, Default)]
struct Path {
    /// None: that of the whole fabric.
    weather: Option<Weather>,
    /// When all that was queued will have left.
    busy_until: Moment,
    /// The latest arrival that was ever promised.
    latest: Moment,
}

/// The network that carries tunnels.
#[derive(Debug)]
pub struct Underlay {
    up: BTreeMap<IpAddr, bool>,
    paths: BTreeMap<(IpAddr, IpAddr), Path>,
    weather: Weather,
    flying: BinaryHeap<Reverse<Flying>>,
    serial: u64,
    random: ChaCha8Rng,
    counts: Counts<Event>,
}

impl Underlay {
    /// One without endpoints, where all paths have this weather until told otherwise.
    pub fn new(weather: Weather, random: ChaCha8Rng) -> Underlay {
        Underlay {
            up: BTreeMap::new(),
            paths: BTreeMap::new(),
            weather,
            flying: BinaryHeap::new(),
            serial: 0,
            random,
            counts: Counts::default(),
        }
    }

    /// Adds an endpoint, or takes one up or down. What is on its way to one that is down is lost if it is still down
    /// when it arrives.
    pub fn set_endpoint(&mut self, endpoint: IpAddr, up: bool) {
        self.up.insert(endpoint, up);
    }

    /// Takes an endpoint away, with the weather on its paths.
    pub fn remove_endpoint(&mut self, endpoint: IpAddr) {
        self.up.remove(&endpoint);
        self.paths.retain(|(from, to), _| *from != endpoint && *to != endpoint);
    }

    /// Sets the weather from one endpoint to another, in that direction; none: that of the whole fabric.
    pub fn set_weather(&mut self, from: IpAddr, to: IpAddr, weather: Option<Weather>) {
        self.paths.entry((from, to)).or_default().weather = weather;
    }

    /// Sets the weather of all paths that have none of their own.
    pub fn set_climate(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// What became of packets so far.
    pub fn counts(&self) -> &Counts<Event> {
        &self.counts
    }

    /// Takes a packet, outer IP header first, from whoever it says it is from.
    pub fn send(&mut self, now: Moment, packet: Packet) {
        self.counts.add(Event::Sent);
        let Some(outer) = outer::read(&packet.bytes) else {
            return self.counts.add(Event::Malformed);
        };
        if let Err(dropped) = self.forward(now, &outer, packet) {
            self.counts.add(dropped);
        }
    }

    fn forward(&mut self, now: Moment, outer: &Outer, packet: Packet) -> Result<(), Event> {
        if self.up.get(&outer.source) != Some(&true) {
            return Err(Event::SourceDown);
        }
        if !self.up.contains_key(&outer.destination) {
            return Err(Event::DestinationDown);
        }
        let weather = self.paths.get(&(outer.source, outer.destination)).and_then(|path| path.weather.as_ref());
        let weather = weather.unwrap_or(&self.weather).clone();
        if let Some(trouble) = trouble(&weather, now, outer, &packet.bytes, &mut self.random) {
            return Err(trouble);
        }
        if packet.bytes.len() > usize::from(weather.mtu) {
            return Err(self.refuse(now, outer, packet, &weather));
        }
        let left = self.queue(now, outer, packet.bytes.len(), weather.rate)?;
        self.launch(left, outer, packet, &weather);
        Ok(())
    }

    /// Drops a packet that is too big.
    fn refuse(&mut self, now: Moment, outer: &Outer, packet: Packet, weather: &Weather) -> Event {
        match weather.too_big {
            TooBig::Silent => Event::TooBigSilent,
            TooBig::Answered => {
                let answer = Packet { tag: packet.tag, bytes: outer.too_big(&packet.bytes, weather.mtu) };
                self.fly(now + weather.latency, outer.source, answer);
                Event::TooBigAnswered
            }
        }
    }

    /// When a packet has left the queue before the link.
    fn queue(&mut self, now: Moment, outer: &Outer, bytes: usize, rate: Option<Rate>) -> Result<Moment, Event> {
        let Some(rate) = rate else { return Ok(now) };
        let path = self.paths.entry((outer.source, outer.destination)).or_default();
        let (bytes, start) = (bytes as u64, path.busy_until.max(now));
        let waiting = (start - now).as_nanos() * u128::from(rate.bytes_per_second.max(1)) / 1_000_000_000;
        if waiting + u128::from(bytes) > u128::from(rate.queue_bytes) {
            return Err(Event::QueueFull);
        }
        path.busy_until = start + rate.time_of(bytes);
        Ok(path.busy_until)
    }

    fn launch(&mut self, left: Moment, outer: &Outer, mut packet: Packet, weather: &Weather) {
        let copies = if chance(&mut self.random, weather.duplication) { 2 } else { 1 };
        if chance(&mut self.random, weather.corruption) {
            let bit = self.random.random_range(0..packet.bytes.len() * 8);
            if outer.corrupt(&mut packet.bytes, bit) {
                self.counts.add(Event::Corrupted);
            }
        }
        if copies == 2 {
            self.counts.add(Event::Duplicated);
            let at = self.arrival(left, outer, weather);
            self.fly(at, outer.destination, packet.clone());
        }
        let at = self.arrival(left, outer, weather);
        self.fly(at, outer.destination, packet);
    }

    fn arrival(&mut self, left: Moment, outer: &Outer, weather: &Weather) -> Moment {
        let at = left + weather.latency + some_of(&mut self.random, weather.jitter);
        if !weather.jitter.is_zero() {
            let path = self.paths.entry((outer.source, outer.destination)).or_default();
            if at < path.latest {
                self.counts.add(Event::Overtook);
            }
            path.latest = path.latest.max(at);
        }
        at
    }

    fn fly(&mut self, at: Moment, to: IpAddr, packet: Packet) {
        self.flying.push(Reverse(Flying { at, serial: self.serial, to, packet }));
        self.serial += 1;
    }

    /// When something arrives next.
    pub fn deadline(&self) -> Option<Moment> {
        self.flying.peek().map(|Reverse(flying)| flying.at)
    }

    /// What has arrived by now, in the order of arrival, and for whom.
    pub fn deliver(&mut self, now: Moment) -> Vec<(IpAddr, Packet)> {
        let mut delivered = Vec::new();
        while self.deadline().is_some_and(|at| at <= now)
            && let Some(Reverse(flying)) = self.flying.pop()
        {
            if self.up.get(&flying.to) == Some(&true) {
                self.counts.add(Event::Delivered);
                delivered.push((flying.to, flying.packet));
            } else {
                self.counts.add(Event::DestinationDown);
            }
        }
        delivered
    }
}

/// What keeps a packet from passing, whatever its size.
fn trouble(weather: &Weather, now: Moment, outer: &Outer, bytes: &[u8], random: &mut ChaCha8Rng) -> Option<Event> {
    if weather.cut {
        return Some(Event::Cut);
    }
    if weather.flap.is_some_and(|flap| !flap.is_up(now)) {
        return Some(Event::Flapped);
    }
    match weather.health {
        Health::Lost if outer.is_health(bytes) => return Some(Event::HealthLost),
        Health::Alone if !outer.is_health(bytes) => return Some(Event::DataLost),
        Health::AsData | Health::Lost | Health::Alone => {}
    }
    if let Some(grey) = weather.grey {
        let unlucky = (outer.flow_hash(bytes, grey.salt) as f64) < grey.flows * u64::MAX as f64;
        if unlucky && chance(random, grey.loss) {
            return Some(Event::Grey);
        }
    }
    chance(random, weather.loss).then_some(Event::Lost)
}

/// Draws only where there is something to draw, so that fine weather is fast.
fn chance(random: &mut ChaCha8Rng, share: f64) -> bool {
    share > 0.0 && random.random::<f64>() < share
}

fn some_of(random: &mut ChaCha8Rng, most: Duration) -> Duration {
    match u64::try_from(most.as_nanos()).unwrap_or(u64::MAX) {
        0 => Duration::ZERO,
        nanos => Duration::from_nanos(random.random_range(0..=nanos)),
    }
}

#[cfg(test)]
mod tests;
