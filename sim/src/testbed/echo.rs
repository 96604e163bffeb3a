//! Ping: ICMP and ICMPv6 echo through the network stack of a namespace, with no program but this one.
//!
//! [`ping_once`] asks once, [`first_answer`] asks until somebody answers, [`sweep`] asks many, and a [`Pinger`] asks
//! all the time and tells how long it ever went without an answer. A request that the stack itself refuses (no
//! route, a neighbour that does not answer) counts as sent and lost: that is what a program in the guest would see.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::error::{Doing, Result};
use super::frame::checksum;
use super::netns::Netns;
use super::sys;

/// IPv4 or IPv6.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// Pause between requests to somebody who has not answered yet.
const RETRY: Duration = Duration::from_millis(50);

/// Sends one echo request; how long the answer took, or `None` if none came in time.
///
/// # Errors
/// If the namespace cannot be entered.
pub fn ping_once(from: &Netns, to: IpAddr, patience: Duration) -> Result<Option<Duration>> {
    let echo = Echo::open(from, Family::of(to))?;
    let start = Instant::now();
    echo.send(to, 0);
    while let Some((peer, _)) = echo.receive(start + patience) {
        if peer == to {
            return Ok(Some(start.elapsed()));
        }
    }
    Ok(None)
}

/// Sends echo requests until the first answer; the time from the first request to it, or `None` if none came.
///
/// # Errors
/// If the namespace cannot be entered.
pub fn first_answer(from: &Netns, to: IpAddr, patience: Duration) -> Result<Option<Duration>> {
    let start = Instant::now();
    let answered = sweep(from, &BTreeSet::from([to]), patience)?;
    Ok(answered.contains(&to).then(|| start.elapsed()))
}

/// Sends echo requests to many addresses, of both families, until all have answered or patience ends; who answered.
///
/// # Errors
/// If the namespace cannot be entered.
pub fn sweep(from: &Netns, targets: &BTreeSet<IpAddr>, patience: Duration) -> Result<BTreeSet<IpAddr>> {
    let until = Instant::now() + patience;
    thread::scope(|scope| {
        let threads: Vec<_> = [Family::V4, Family::V6]
            .into_iter()
            .map(|family| {
                let targets: BTreeSet<IpAddr> =
                    targets.iter().copied().filter(|ip| Family::of(*ip) == family).collect();
                scope.spawn(move || sweep_family(from, family, &targets, until))
            })
            .collect();
        let mut answered = BTreeSet::new();
        for thread in threads {
            answered.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(answered)
    })
}

fn sweep_family(from: &Netns, family: Family, targets: &BTreeSet<IpAddr>, until: Instant) -> Result<BTreeSet<IpAddr>> {
    let mut answered = BTreeSet::new();
    if targets.is_empty() {
        return Ok(answered);
    }
    let echo = Echo::open(from, family)?;
    let mut sequence = 0;
    while answered.len() < targets.len() && Instant::now() < until {
        for target in targets.difference(&answered) {
            echo.send(*target, sequence);
        }
        sequence = sequence.wrapping_add(1);
        let round_end = until.min(Instant::now() + RETRY);
        while answered.len() < targets.len()
            && let Some((peer, _)) = echo.receive(round_end)
        {
            if targets.contains(&peer) {
                answered.insert(peer);
            }
        }
    }
    Ok(answered)
}

/// What became of a [`Pinger`]'s requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PingReport {
    /// Requests sent.
    pub sent: u32,
    /// Requests answered.
    pub received: u32,
    /// The longest time without an answer, between two of them or at either end.
    pub longest_gap: Duration,
}

impl PingReport {
    /// Requests not answered.
    pub fn lost(&self) -> u32 {
        self.sent - self.received
    }
}

/// Asks every 10 ms, in the background, until it is stopped.
pub struct Pinger {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<PingReport>>,
}

impl Pinger {
    /// The time between requests.
    pub const INTERVAL: Duration = Duration::from_millis(10);

    /// Starts to ask.
    ///
    /// # Errors
    /// If the namespace cannot be entered.
    pub fn start(from: &Netns, to: IpAddr) -> Result<Self> {
        let echo = Echo::open(from, Family::of(to))?;
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = thread::spawn(move || ping_until(&seen, &echo, to));
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Ends, after waiting a little for the last answer.
    pub fn stop(mut self) -> PingReport {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it is taken here, at the end, only");
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Pinger {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn ping_until(stop: &AtomicBool, echo: &Echo, to: IpAddr) -> PingReport {
    const LAST_ANSWER: Duration = Duration::from_millis(100);
    let mut tally = Tally::new();
    let mut next = Instant::now();
    // Sequence numbers end after eleven minutes; so does the measurement.
    while !stop.load(Ordering::Relaxed) && tally.report.sent < u32::from(u16::MAX) {
        echo.send(to, u16::try_from(tally.report.sent).expect("the loop ends before"));
        tally.report.sent += 1;
        next += Pinger::INTERVAL;
        tally.hear(echo, to, next);
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    let end = Instant::now();
    tally.hear(echo, to, end + LAST_ANSWER);
    tally.close_gap(end);
    tally.report
}

/// A [`PingReport`] in the making.
struct Tally {
    report: PingReport,
    answered: BTreeSet<u16>,
    last_answer: Instant,
}

impl Tally {
    fn new() -> Self {
        let report = PingReport { sent: 0, received: 0, longest_gap: Duration::ZERO };
        Self { report, answered: BTreeSet::new(), last_answer: Instant::now() }
    }

    /// Counts answers until the time has come, or all requests are answered.
    fn hear(&mut self, echo: &Echo, to: IpAddr, until: Instant) {
        while self.report.received < self.report.sent
            && let Some((peer, sequence)) = echo.receive(until)
        {
            if peer == to && self.answered.insert(sequence) {
                self.report.received += 1;
                let now = Instant::now();
                self.close_gap(now);
                self.last_answer = now;
            }
        }
    }

    fn close_gap(&mut self, now: Instant) {
        let gap = now.saturating_duration_since(self.last_answer);
        self.report.longest_gap = self.report.longest_gap.max(gap);
    }
}

/// A conversation of echo requests and answers, told from others in the namespace by its id.
struct Echo {
    socket: UdpSocket,
    family: Family,
    id: u16,
}

impl Echo {
    const HEADER_LENGTH: usize = 8;
    const DATA: [u8; 56] = [0x5e; 56];

    fn open(namespace: &Netns, family: Family) -> Result<Self> {
        static NEXT_ID: AtomicU16 = AtomicU16::new(0);
        let socket = namespace
            .run(|| match family {
                Family::V4 => sys::icmp_socket(),
                Family::V6 => sys::icmp6_socket(),
            })?
            .doing(|| format!("opening a socket for {family:?} echo"))?;
        // Beds are not shared between processes that ping at once, but the command and a program's own ping may meet.
        let process = u16::from_ne_bytes([std::process::id().to_ne_bytes()[0], std::process::id().to_ne_bytes()[1]]);
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed).wrapping_add(process.rotate_left(8));
        Ok(Self { socket, family, id })
    }

    fn send(&self, to: IpAddr, sequence: u16) {
        let mut request = vec![if self.family == Family::V4 { 8 } else { 128 }, 0, 0, 0];
        request.extend(self.id.to_be_bytes());
        request.extend(sequence.to_be_bytes());
        request.extend(Self::DATA);
        if self.family == Family::V4 {
            let sum = checksum([request.as_slice()]);
            request[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        // A refusal is a lost request: see the head of this file.
        let _ = self.socket.send_to(&request, SocketAddr::new(to, 0));
    }

    /// Who answered, and to which request; `None` when the time has come.
    fn receive(&self, until: Instant) -> Option<(IpAddr, u16)> {
        let mut buffer = [0; 2048];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.socket.set_read_timeout(Some(left)).expect("the time is not zero");
            // Apart from a timeout this may report a request that could not be delivered: lost, too.
            let Ok((length, peer)) = self.socket.recv_from(&mut buffer) else {
                continue;
            };
            if let Some(sequence) = self.parse(&buffer[..length]) {
                return Some((peer.ip(), sequence));
            }
        }
    }

    /// The sequence number, if this is an answer to one of ours.
    fn parse(&self, packet: &[u8]) -> Option<u16> {
        let (message, answer) = match self.family {
            Family::V4 => (packet.get(usize::from(packet.first()? & 0x0f) * 4..)?, 0),
            Family::V6 => (packet, 129),
        };
        let header: &[u8; Self::HEADER_LENGTH] = message.first_chunk()?;
        let [kind, code, _, _, id_high, id_low, high, low] = *header;
        let ours = (kind, code) == (answer, 0) && u16::from_be_bytes([id_high, id_low]) == self.id;
        ours.then(|| u16::from_be_bytes([high, low]))
    }
}
