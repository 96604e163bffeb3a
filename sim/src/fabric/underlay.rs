//! An IP fabric between tunnel endpoints: a packet goes in with its outer header first, and comes out elsewhere,
//! later, or not at all.
//!
//! Which way packets take, if any, is the business of a [`Site`]; without one each endpoint has a cable to each other.
//! How a way is, for each ordered pair of endpoints, says its [`Weather`]. What befalls a packet is decided when it is sent, except
//! that whoever it is for must be up when it arrives. Draws are made in the order of calls, so that one seed and one
//! sequence of calls give one outcome. Start at [`Underlay::send`].

use super::fragment::{self, Reassembly};
use super::outer::{self, Outer};
use super::site::{self, Site};
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
    /// Switches and routers did not bring it to where it was for.
    Astray,
    /// Above the MTU, and cut into fragments.
    Fragmented,
    /// All fragments of a packet came.
    Reassembled,
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

/// From whom, to whom.
type Way = (IpAddr, IpAddr);

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
    paths: BTreeMap<Way, Path>,
    weather: Weather,
    /// None: endpoints have cables to each other.
    site: Option<Site>,
    reassembly: BTreeMap<IpAddr, Reassembly>,
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
            site: None,
            reassembly: BTreeMap::new(),
            flying: BinaryHeap::new(),
            serial: 0,
            random,
            counts: Counts::default(),
        }
    }

    /// Has packets go by the switches and routers of a site, whose segments all endpoints must be on.
    pub fn by_site(self, site: Site) -> Underlay {
        Underlay { site: Some(site), ..self }
    }

    /// The site, if packets go by one.
    pub fn site(&mut self) -> Option<&mut Site> {
        self.site.as_mut()
    }

    /// What happened on the site.
    pub fn site_counts(&self) -> Counts<site::Event> {
        self.site.as_ref().map(Site::counts).unwrap_or_default()
    }

    /// Adds an endpoint, or takes one up or down. What is on its way to one that is down is lost if it is still down
    /// when it arrives.
    pub fn set_endpoint(&mut self, endpoint: IpAddr, up: bool) {
        self.up.insert(endpoint, up);
        self.reassembly.remove(&endpoint);
        if let (Some(site), IpAddr::V4(address)) = (&mut self.site, endpoint) {
            assert!(site.has_segment_of(address), "{address} is of no segment");
            site.set_host(address, up);
        }
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

    /// Takes a packet, outer IP header first, from whoever it says it is from. Returns how many copies of it were sent
    /// on their way.
    pub fn send(&mut self, now: Moment, packet: Packet) -> usize {
        self.send_by(now, None, packet)
    }

    /// The same from an endpoint that may say to be another.
    pub fn send_from(&mut self, now: Moment, from: IpAddr, packet: Packet) -> usize {
        self.send_by(now, Some(from), packet)
    }

    fn send_by(&mut self, now: Moment, sender: Option<IpAddr>, packet: Packet) -> usize {
        self.counts.add(Event::Sent);
        let sent = outer::read(&packet.bytes).ok_or(Event::Malformed).and_then(|outer| {
            let way = (sender.unwrap_or(outer.source), outer.destination);
            self.forward(now, way, &outer, packet)
        });
        sent.unwrap_or_else(|dropped| {
            self.counts.add(dropped);
            0
        })
    }

    fn forward(&mut self, now: Moment, way: Way, outer: &Outer, mut packet: Packet) -> Result<usize, Event> {
        if self.up.get(&way.0) != Some(&true) {
            return Err(Event::SourceDown);
        }
        if !self.up.contains_key(&outer.destination) {
            return Err(Event::DestinationDown);
        }
        let weather = self.paths.get(&way).and_then(|path| path.weather.as_ref());
        let weather = weather.unwrap_or(&self.weather).clone();
        if let Some(trouble) = trouble(&weather, now, outer, &packet.bytes, &mut self.random) {
            return Err(trouble);
        }
        let is_large = packet.bytes.len() > usize::from(weather.mtu);
        if is_large && weather.too_big == TooBig::Fragmented {
            fragment::allow(&mut packet.bytes);
        }
        if is_large && !fragment::may_be_cut(&packet.bytes) {
            return Err(self.refuse(now, outer, packet, &weather));
        }
        let left = self.queue(now, way, packet.bytes.len(), weather.rate)?;
        let copies = self.carry(now, way.0, packet.bytes);
        if copies.is_empty() {
            return Err(Event::Astray);
        }
        let mut launched = 0;
        for bytes in copies {
            let pieces = if is_large { fragment::cut(&bytes, weather.mtu.into()) } else { vec![bytes] };
            if is_large {
                self.counts.add(Event::Fragmented);
            }
            let copies = pieces
                .into_iter()
                .map(|bytes| self.launch(left, way, outer, Packet { tag: packet.tag, bytes }, &weather));
            // Of a packet in pieces there may be as many copies as of its most frequent piece.
            launched += copies.max().unwrap_or(0);
        }
        Ok(launched)
    }

    /// The copies of a packet that switches and routers bring to where it is for.
    fn carry(&mut self, now: Moment, from: IpAddr, packet: Vec<u8>) -> Vec<Vec<u8>> {
        match (&mut self.site, from) {
            (Some(site), IpAddr::V4(from)) => site.carry(now, from, packet),
            (Some(_), IpAddr::V6(_)) | (None, _) => vec![packet],
        }
    }

    /// Drops a packet that is too big.
    fn refuse(&mut self, now: Moment, outer: &Outer, packet: Packet, weather: &Weather) -> Event {
        match weather.too_big {
            // IPv6: it is never cut on its way.
            TooBig::Silent | TooBig::Fragmented => Event::TooBigSilent,
            TooBig::Answered => {
                let answer = Packet { tag: packet.tag, bytes: outer.too_big(&packet.bytes, weather.mtu) };
                self.fly(now + weather.latency, outer.source, answer);
                Event::TooBigAnswered
            }
        }
    }

    /// When a packet has left the queue before the link.
    fn queue(&mut self, now: Moment, way: Way, bytes: usize, rate: Option<Rate>) -> Result<Moment, Event> {
        let Some(rate) = rate else { return Ok(now) };
        let path = self.paths.entry(way).or_default();
        let (bytes, start) = (bytes as u64, path.busy_until.max(now));
        let waiting = (start - now).as_nanos() * u128::from(rate.bytes_per_second.max(1)) / 1_000_000_000;
        if waiting + u128::from(bytes) > u128::from(rate.queue_bytes) {
            return Err(Event::QueueFull);
        }
        path.busy_until = start + rate.time_of(bytes);
        Ok(path.busy_until)
    }

    /// Sends a packet on its way; returns how many copies.
    fn launch(&mut self, left: Moment, way: Way, outer: &Outer, mut packet: Packet, weather: &Weather) -> usize {
        let copies = if chance(&mut self.random, weather.duplication) { 2 } else { 1 };
        if chance(&mut self.random, weather.corruption) {
            let bit = self.random.random_range(0..packet.bytes.len() * 8);
            if outer.corrupt(&mut packet.bytes, bit) {
                self.counts.add(Event::Corrupted);
            }
        }
        if copies == 2 {
            self.counts.add(Event::Duplicated);
            let at = self.arrival(left, way, weather);
            self.fly(at, outer.destination, packet.clone());
        }
        let at = self.arrival(left, way, weather);
        self.fly(at, outer.destination, packet);
        copies
    }

    fn arrival(&mut self, left: Moment, way: Way, weather: &Weather) -> Moment {
        let at = left + weather.latency + some_of(&mut self.random, weather.jitter);
        if !weather.jitter.is_zero() {
            let path = self.paths.entry(way).or_default();
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
            if self.up.get(&flying.to) != Some(&true) {
                self.counts.add(Event::DestinationDown);
                continue;
            }
            let Packet { tag, bytes } = flying.packet;
            let is_piece = fragment::is_piece(&bytes);
            let whole = self.reassembly.entry(flying.to).or_default().receive(now, bytes);
            if let Some(bytes) = whole {
                if is_piece {
                    self.counts.add(Event::Reassembled);
                }
                self.counts.add(Event::Delivered);
                delivered.push((flying.to, Packet { tag, bytes }));
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
