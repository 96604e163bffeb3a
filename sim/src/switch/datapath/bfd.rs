//! BFD on a port (RFC 5880, asynchronous mode, without echo, demand and authentication), as Open vSwitch runs it on
//! tunnels: frames of its own that never reach the flow tables.

use super::super::model::Field;
use super::super::packet::build::{Frame, Payload, Transport};
use super::super::packet::{Key, Layout, fragment, protocol};
use std::time::Duration;

const PORT: u16 = 3784;
const LENGTH: usize = 24;
/// While a session is not up, control packets go once a second at most (RFC 5880, section 6.8.3).
const SLOW: Duration = Duration::from_secs(1);

/// How a session is set up (ovs-vswitchd.conf.db(5), Interface, `bfd`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BfdConfig {
    /// `min_tx`: how often it sends at most.
    pub send_interval: Duration,
    /// `min_rx`: how often it can receive.
    pub receive_interval: Duration,
    /// `mult`: how many packets in a row may be lost.
    pub multiplier: u8,
    /// `check_tnl_key`: packets with another key than zero are not for it.
    pub checks_key: bool,
    /// `bfd_local_src_mac`, or the port's.
    pub source: [u8; 6],
}

impl Default for BfdConfig {
    fn default() -> BfdConfig {
        BfdConfig {
            send_interval: Duration::from_millis(100),
            receive_interval: SLOW,
            multiplier: 3,
            checks_key: false,
            source: [2, 0, 0, 0, 0, 1],
        }
    }
}

/// How a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BfdState {
    /// Shut down by an administrator.
    AdminDown,
    /// Nothing is heard.
    Down,
    /// The other end is heard.
    Init,
    /// Both hear each other.
    Up,
}

impl BfdState {
    fn from_bits(bits: u8) -> BfdState {
        match bits & 3 {
            0 => BfdState::AdminDown,
            1 => BfdState::Down,
            2 => BfdState::Init,
            _ => BfdState::Up,
        }
    }
}

/// Why a session went down (RFC 5880, section 4.1).
mod diagnostic {
    pub const NONE: u8 = 0;
    pub const EXPIRED: u8 = 1;
    pub const NEIGHBOUR_DOWN: u8 = 3;
}

/// A session.
#[derive(Clone, Debug)]
pub struct Bfd {
    config: BfdConfig,
    discriminator: u32,
    state: BfdState,
    diagnostic: u8,
    remote_discriminator: u32,
    remote_state: BfdState,
    remote_diagnostic: u8,
    remote_receive_interval: Duration,
    must_answer_poll: bool,
    next_send: Duration,
    detect: Option<Duration>,
    /// Changes of state since the beginning.
    flaps: u64,
    jitter: u32,
}

impl Bfd {
    /// A session that is down. `discriminator` is not zero and unique in the switch; it also seeds the jitter, without
    /// which sessions would send in step.
    pub fn new(now: Duration, config: BfdConfig, discriminator: u32) -> Bfd {
        Bfd {
            config,
            discriminator: discriminator.max(1),
            state: BfdState::Down,
            diagnostic: diagnostic::NONE,
            remote_discriminator: 0,
            remote_state: BfdState::Down,
            remote_diagnostic: diagnostic::NONE,
            remote_receive_interval: Duration::from_millis(1),
            must_answer_poll: false,
            next_send: now,
            detect: None,
            flaps: 0,
            jitter: discriminator.max(1),
        }
    }

    /// How it is.
    pub fn state(&self) -> BfdState {
        self.state
    }

    /// What the other end says of itself: state and diagnostic.
    pub fn remote(&self) -> (BfdState, u8) {
        (self.remote_state, self.remote_diagnostic)
    }

    /// Why it last went down, as in RFC 5880, section 4.1.
    pub fn diagnostic(&self) -> u8 {
        self.diagnostic
    }

    /// How often it went up or down.
    pub fn flaps(&self) -> u64 {
        self.flaps
    }

    /// Whether the port may be used: up, and the other end does not say that its path is down.
    pub fn is_forwarding(&self) -> bool {
        self.state == BfdState::Up
    }

    /// Whether a packet is for it.
    pub fn wants(&self, key: &Key) -> bool {
        key.ethertype() == super::super::packet::ethertype::IPV4
            && key.protocol() == protocol::UDP
            && key.get(Field::IpFrag) as u8 & fragment::LATER == 0
            && key.get(Field::UdpDst) == u128::from(PORT)
            && (!self.config.checks_key || key.get(Field::TunId) == 0)
    }

    /// Takes a packet that is for it (RFC 5880, section 6.8.6); what is not sound changes nothing.
    pub fn receive(&mut self, now: Duration, frame: &[u8], key: &Key, layout: &Layout) {
        let start = layout.transport.map_or(frame.len(), |start| start + 8);
        let Some(message) = frame.get(start..start + LENGTH).filter(|_| key.get(Field::IpTtl) == 255) else { return };
        let word = |offset: usize| {
            u32::from_be_bytes([message[offset], message[offset + 1], message[offset + 2], message[offset + 3]])
        };
        let (version, flags, multiplier) = (message[0] >> 5, message[1] & 0x3f, message[2]);
        let state = BfdState::from_bits(message[1] >> 6);
        let (mine, yours) = (word(4), word(8));
        let has_auth_or_multipoint = flags & 0x05 != 0;
        let is_addressed = yours == self.discriminator || (yours == 0 && state <= BfdState::Down);
        let is_sound = version == 1
            && !has_auth_or_multipoint
            && usize::from(message[3]) >= LENGTH
            && multiplier != 0
            && mine != 0
            && is_addressed;
        if !is_sound {
            return;
        }
        let micros = |offset: usize| Duration::from_micros(word(offset).max(1000).into());
        (self.remote_discriminator, self.remote_state) = (mine, state);
        self.remote_diagnostic = message[0] & 0x1f;
        self.remote_receive_interval = micros(16);
        self.must_answer_poll |= flags & 0x20 != 0;
        let interval = self.config.receive_interval.max(micros(12));
        self.detect = Some(now + interval * u32::from(multiplier));
        self.heard(now, state);
    }

    fn heard(&mut self, now: Duration, remote: BfdState) {
        let (next, why) = match (self.state, remote) {
            (BfdState::AdminDown, _) => return,
            (BfdState::Down, BfdState::Down) => (BfdState::Init, self.diagnostic),
            (BfdState::Down, BfdState::Init) | (BfdState::Init, BfdState::Init | BfdState::Up) => {
                (BfdState::Up, self.diagnostic)
            }
            (BfdState::Init | BfdState::Up, BfdState::AdminDown) | (BfdState::Up, BfdState::Down) => {
                (BfdState::Down, diagnostic::NEIGHBOUR_DOWN)
            }
            (state, _) => (state, self.diagnostic),
        };
        self.change(now, next, why);
    }

    fn change(&mut self, now: Duration, state: BfdState, why: u8) {
        let was_up = self.state == BfdState::Up;
        if state == self.state {
            return;
        }
        (self.state, self.diagnostic) = (state, why);
        self.flaps += u64::from(was_up != (state == BfdState::Up));
        // A new state is told at once, and in the rhythm that belongs to it.
        self.next_send = now;
    }

    /// When it wants to be stepped next.
    pub fn deadline(&self) -> Duration {
        let detect = self.detect.filter(|_| self.state > BfdState::Down);
        detect.map_or(self.next_send, |detect| detect.min(self.next_send))
    }

    /// Notices silence, and sends if it is time to: the frame.
    pub fn step(&mut self, now: Duration) -> Option<Vec<u8>> {
        if self.state > BfdState::Down && self.detect.is_some_and(|detect| detect <= now) {
            self.detect = None;
            self.remote_discriminator = 0;
            self.remote_state = BfdState::Down;
            self.change(now, BfdState::Down, diagnostic::EXPIRED);
        }
        if now < self.next_send && !self.must_answer_poll {
            return None;
        }
        let least =
            if self.state == BfdState::Up { self.config.send_interval } else { self.config.send_interval.max(SLOW) };
        let interval = least.max(self.remote_receive_interval);
        self.next_send = now + interval * (75 + self.draw() % 25) / 100;
        Some(self.frame(least))
    }

    /// The next number of a small generator (xorshift).
    fn draw(&mut self) -> u32 {
        self.jitter ^= self.jitter << 13;
        self.jitter ^= self.jitter >> 17;
        self.jitter ^= self.jitter << 5;
        self.jitter
    }

    fn frame(&mut self, send_interval: Duration) -> Vec<u8> {
        let is_final = std::mem::take(&mut self.must_answer_poll);
        let micros = |interval: Duration| u32::try_from(interval.as_micros()).unwrap_or(u32::MAX).to_be_bytes();
        let flags = (self.state as u8) << 6 | if is_final { 0x10 } else { 0 };
        let mut bytes = vec![1 << 5 | self.diagnostic, flags, self.config.multiplier, LENGTH as u8];
        bytes.extend(self.discriminator.to_be_bytes());
        bytes.extend(self.remote_discriminator.to_be_bytes());
        bytes.extend(micros(send_interval));
        bytes.extend(micros(self.config.receive_interval));
        bytes.extend([0; 4]);
        Frame {
            destination: [0, 0x23, 0x20, 0, 0, 1],
            source: self.config.source,
            tags: Vec::new(),
            payload: Payload::Ip {
                source: [169, 254, 1, 1].into(),
                destination: [169, 254, 1, 0].into(),
                ttl: 255,
                tos: 0xc0,
                transport: Transport::Udp { ports: (49152, PORT), bytes },
            },
        }
        .build()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::packet::parse;
    use super::*;

    fn give(now: Duration, to: &mut Bfd, frame: &[u8]) {
        let (key, layout) = parse(frame);
        assert!(to.wants(&key));
        to.receive(now, frame, &key, &layout);
    }

    /// Runs two ends until then; `hears` says whether packets from each of them arrive.
    fn run(ends: &mut [Bfd; 2], from: Duration, until: Duration, hears: [bool; 2]) {
        let mut now = from;
        while now <= until {
            for index in 0..2 {
                if let Some(frame) = ends[index].step(now)
                    && hears[index]
                {
                    give(now, &mut ends[1 - index], &frame);
                }
            }
            now = ends[0].deadline().min(ends[1].deadline()).max(now + Duration::from_millis(1));
        }
    }

    #[test]
    fn a_session_comes_up_and_notices_silence() {
        let config = BfdConfig { receive_interval: Duration::from_millis(300), ..BfdConfig::default() };
        let mut ends = [1, 2].map(|number| Bfd::new(Duration::ZERO, config.clone(), number));
        let second = Duration::from_secs;
        run(&mut ends, Duration::ZERO, second(3), [true, true]);
        assert_eq!(ends.each_ref().map(Bfd::state), [BfdState::Up, BfdState::Up]);
        run(&mut ends, second(3), second(5), [true, false]);
        let states = ends.each_ref().map(Bfd::state);
        assert_eq!(
            states,
            [BfdState::Down, BfdState::Init],
            "one that hears nothing says so, the other still hears it"
        );
        assert_eq!(ends.each_ref().map(Bfd::diagnostic), [1, 3]);
        run(&mut ends, second(5), second(9), [true, true]);
        assert_eq!(ends.each_ref().map(|end| (end.is_forwarding(), end.flaps())), [(true, 3), (true, 3)]);
    }

    #[test]
    fn packets_that_are_not_sound_change_nothing() {
        let mut from = Bfd::new(Duration::ZERO, BfdConfig::default(), 1);
        let frame = from.step(Duration::ZERO).expect("it sends at once");
        let changes: [(usize, u8); 7] = [(22, 254), (42, 0x40), (43, 0x41), (44, 0), (45, 23), (49, 0), (53, 9)];
        for (offset, value) in changes {
            let mut hostile = frame.clone();
            hostile[offset] = value;
            let mut end = Bfd::new(Duration::ZERO, BfdConfig::default(), 2);
            let (key, layout) = parse(&hostile);
            end.receive(Duration::ZERO, &hostile, &key, &layout);
            assert_eq!(end.state(), BfdState::Down, "{offset}");
        }
        let mut end = Bfd::new(Duration::ZERO, BfdConfig::default(), 2);
        give(Duration::ZERO, &mut end, &frame);
        assert_eq!(end.state(), BfdState::Init);
    }
}
