//! A controller's end of one connection to a switch, as a machine without sockets or clocks.
//!
//! Bytes and times go in; events and bytes to send come out. Times are counted from any origin, but never go back.
//! The session sends its hello at once, asks for features when the versions agree, and is up when it has them.
//! Silence is answered with an echo request, more silence ends the session. After [`Event::Closed`] nothing happens.
//!
//! The driver reads the socket into [`Session::receive`], writes [`Session::output`] to it and calls
//! [`Session::tick`] at [`Session::deadline`]. It should not send more while [`Session::queued`] is large: the queue
//! has no limit of its own. Section 6.3. Start at [`Session`].

use super::Version;
use super::codec::{Decoder, encode};
use super::error::{Error, ErrorCode, TooLong};
use super::message::{AsyncConfig, Body, BundleId, ErrorMessage, Features, Hello, Message, Xid};
use super::script::Script;
use std::collections::VecDeque;
use std::time::Duration;

/// A buffer that was needed once for much is given back when empty, if larger than this, in bytes: there are thousands
/// of sessions, and most are idle.
pub(super) const IDLE_CAPACITY_MAX: usize = 4 * 1024;

/// How a session behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// After so much silence the peer is asked for an echo.
    pub idle: Duration,
    /// After so much more the session is over.
    pub patience: Duration,
    /// So long the handshake may take in all. A switch that is given up begins again at once; where thousands connect, and
    /// wait for a processor, a short time is what keeps them from ever being done.
    pub handshake: Duration,
    /// Which unasked messages to ask for, before the session is up.
    pub unasked: Option<AsyncConfig>,
}

impl Default for Config {
    /// Five seconds each, as Open vSwitch does itself, and half a minute for the handshake.
    fn default() -> Config {
        let seconds = Duration::from_secs;
        Config { idle: seconds(5), patience: seconds(5), handshake: seconds(30), unasked: None }
    }
}

/// What a session has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The handshake is done; requests may be sent.
    Up(Features),
    /// The switch said something that is not the session's own business.
    Message(Message),
    /// It is over.
    Closed(Closed),
}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// The bytes make no sense.
    #[error("{0}")]
    Garbage(#[from] Error),
    /// The peer speaks no version that we do.
    #[error("no common version: the peer's hello says {0}")]
    Version(Hello),
    /// The peer refused our hello.
    #[error("the peer refused our hello: {code} ({text})")]
    Refused {
        /// Why.
        code: ErrorCode,
        /// The peer's own words.
        text: String,
    },
    /// The peer refused a part of the handshake.
    #[error("the peer refused the handshake: {0}")]
    Handshake(ErrorCode),
    /// The first message was no hello.
    #[error("the peer did not begin with a hello")]
    NoHello,
    /// The handshake took too long.
    #[error("no handshake within {0:?}")]
    HandshakeTimeout(Duration),
    /// No answer to an echo request.
    #[error("silent for {0:?}")]
    Silent(Duration),
}

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The session is not up, or is over.
    #[error("the session is not up")]
    NotUp,
    /// The message is longer than messages can be.
    #[error(transparent)]
    TooLong(#[from] TooLong),
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waiting for the peer's hello.
    Greeting { since: Duration },
    /// Waiting for the features.
    Asking { since: Duration, request: Xid },
    /// Up; `echo` is the request that the peer has yet to answer.
    Up { echo: Option<Xid> },
    /// Over.
    Closed,
}

/// A controller's end of one connection.
#[derive(Debug)]
pub struct Session {
    config: Config,
    state: State,
    decoder: Decoder,
    output: Vec<u8>,
    /// How much of the output was sent already.
    done: usize,
    events: VecDeque<Event>,
    next_xid: u32,
    /// When something was last received.
    heard: Duration,
}

impl Session {
    /// Begins a session on a fresh connection; our hello is in the output.
    pub fn new(config: Config, now: Duration) -> Session {
        let mut session = Session {
            config,
            state: State::Greeting { since: now },
            decoder: Decoder::default(),
            output: Vec::new(),
            done: 0,
            events: VecDeque::new(),
            next_xid: 1,
            heard: now,
        };
        session.queue_short(Body::Hello(Version::hello()));
        session
    }

    /// Takes bytes from the peer.
    pub fn receive(&mut self, now: Duration, bytes: &[u8]) {
        self.heard = now;
        if let State::Up { echo } = &mut self.state {
            *echo = None;
        }
        self.decoder.push(bytes);
        while self.state != State::Closed {
            match self.decoder.next_message() {
                Ok(Some(message)) => self.handle(now, message),
                Ok(None) => return,
                Err(error) => self.close(self.garbage(error)),
            }
        }
    }

    /// What time alone brings about. May be called at any time, and should be at the deadline.
    pub fn tick(&mut self, now: Duration) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.state {
            State::Greeting { .. } | State::Asking { .. } => {
                self.close(Closed::HandshakeTimeout(self.config.handshake))
            }
            State::Up { echo: Some(_) } => self.close(Closed::Silent(now.saturating_sub(self.heard))),
            State::Up { echo: None } => {
                let echo = Some(self.queue_short(Body::EchoRequest(Vec::new())));
                self.state = State::Up { echo };
            }
            State::Closed => {}
        }
    }

    /// When to call [`Session::tick`]; never, if the session is over.
    pub fn deadline(&self) -> Option<Duration> {
        match self.state {
            State::Greeting { since } | State::Asking { since, .. } => Some(since + self.config.handshake),
            State::Up { echo: None } => Some(self.heard + self.config.idle),
            State::Up { echo: Some(_) } => Some(self.heard + self.config.idle + self.config.patience),
            State::Closed => None,
        }
    }

    /// Queues a message; replies and errors will have the xid that is returned.
    ///
    /// # Errors
    /// If the session is not up, or the message too long.
    pub fn send(&mut self, body: Body) -> Result<Xid, SendError> {
        if !self.is_up() {
            return Err(SendError::NotUp);
        }
        Ok(self.queue(body)?)
    }

    /// Queues a bundle up to its closing; returns the xid of the first message. Those of the others follow it.
    ///
    /// # Errors
    /// If the session is not up.
    pub fn send_script(&mut self, bundle: BundleId, script: &Script) -> Result<Xid, SendError> {
        if !self.is_up() {
            return Err(SendError::NotUp);
        }
        let first = self.allocate_xids(script.messages());
        script.put(bundle, first, &mut self.output);
        Ok(first)
    }

    /// Whether requests may be sent.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    /// The next thing to tell.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The bytes to send next.
    pub fn output(&self) -> &[u8] {
        &self.output[self.done..]
    }

    /// Forgets the first `count` bytes of the output: they are sent.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn sent(&mut self, count: usize) {
        assert!(count <= self.queued(), "{count} bytes cannot be sent of {}", self.queued());
        self.done += count;
        // Bytes move only after as many were sent, so that a long queue costs no more than its length.
        if self.done > self.output.len() / 2 {
            self.output.drain(..self.done);
            self.done = 0;
        }
        if self.output.is_empty() {
            self.output.shrink_to(IDLE_CAPACITY_MAX);
        }
    }

    /// How many bytes wait to be sent.
    pub fn queued(&self) -> usize {
        self.output.len() - self.done
    }

    /// The first of so many in a row.
    fn allocate_xids(&mut self, count: u32) -> Xid {
        // Zero is what switches use for messages that answer nothing.
        let first = if self.next_xid.checked_add(count).is_some() { self.next_xid } else { 1 };
        self.next_xid = first + count;
        Xid(first)
    }

    fn queue(&mut self, body: Body) -> Result<Xid, TooLong> {
        let xid = self.allocate_xids(1);
        encode(&Message { xid, body }, &mut self.output)?;
        Ok(xid)
    }

    fn queue_short(&mut self, body: Body) -> Xid {
        self.queue(body).expect("the session's own messages are short")
    }

    fn close(&mut self, reason: Closed) {
        self.state = State::Closed;
        self.events.push_back(Event::Closed(reason));
    }

    /// Before the hello, a message in another version is just not a hello.
    fn garbage(&self, error: Error) -> Closed {
        match (self.state, error) {
            (State::Greeting { .. }, Error::Version { .. }) => Closed::NoHello,
            (_, error) => Closed::Garbage(error),
        }
    }

    fn handle(&mut self, now: Duration, message: Message) {
        match (self.state, message.body) {
            (_, Body::Error(error)) if error.code.kind == ErrorCode::HELLO_FAILED => self.close(refused(error)),
            (State::Greeting { .. }, Body::Hello(hello)) => match Version::choose(&hello) {
                Some(Version::V1_5) => self.ask(now),
                None => self.close(Closed::Version(hello)),
            },
            (State::Greeting { .. }, _) => self.close(Closed::NoHello),
            (_, Body::EchoRequest(data)) => {
                let answer = Message { xid: message.xid, body: Body::EchoReply(data) };
                encode(&answer, &mut self.output).expect("an answer as long as its request fits");
            }
            (_, Body::EchoReply(_) | Body::Hello(_)) => {}
            (State::Asking { request, .. }, Body::FeaturesReply(features)) if request == message.xid => {
                self.state = State::Up { echo: None };
                self.events.push_back(Event::Up(features));
            }
            (State::Asking { .. }, Body::Error(error)) => self.close(Closed::Handshake(error.code)),
            // Ports may change at any time; who is not up yet will ask for all of them.
            (State::Asking { .. }, _) => {}
            (State::Up { .. }, body) => self.events.push_back(Event::Message(Message { xid: message.xid, body })),
            (State::Closed, _) => {}
        }
    }

    /// The features come last, so that they mean all is done.
    fn ask(&mut self, now: Duration) {
        if let Some(unasked) = self.config.unasked.clone() {
            self.queue_short(Body::SetAsync(unasked));
        }
        let request = self.queue_short(Body::FeaturesRequest);
        self.state = State::Asking { since: now, request };
    }
}

fn refused(error: ErrorMessage) -> Closed {
    Closed::Refused { code: error.code, text: String::from_utf8_lossy(&error.data).trim_end_matches('\0').to_string() }
}
