//! One connection to a switch's database, as its client: bytes and time in, bytes and events out.
//!
//! The switch dials us and waits, so a session speaks first: it asks for a monitor of every table of a [`Schema`].
//! [`Event::Ready`] tells that the [`Replica`] is complete, [`Event::Changed`] that it moved. Transactions may be
//! outstanding in any number up to a limit, and each gets exactly one [`Event::TransactionDone`], if only to say that
//! the session ended before the outcome was known.
//!
//! A driver calls [`Session::receive`], [`Session::transact`] and, no later than [`Session::deadline`],
//! [`Session::tick`]; after each it takes events from [`Session::poll`] until there are none. It should
//! write what was handed to it before it reads on: a peer that only asks and never reads is then its own problem.
//!
//! Time is any clock that does not go back. Nothing a peer sends makes a session panic or hold more than its
//! [`Limits`]; nonsense ends it with [`Event::Closed`], after which it does nothing.

use super::codec::{self, Decoder, Message};
use super::operation::{DatabaseError, Done, ReplyError, TransactError, Transaction, read_reply};
use super::replica::{Dialect, Replica, ReplicaError};
use super::schema::Schema;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// The id of our echo requests. Open vSwitch uses the same for its own.
const ECHO_ID: &str = "echo";

/// What a session allows its peer, and how patient it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What a message may be.
    pub codec: codec::Limits,
    /// How much memory the replica may take, in bytes.
    pub replica_bytes_max: usize,
    /// How many transactions may be waiting for their answers.
    pub transactions_outstanding_max: usize,
    /// How long a peer may be silent before it is asked for an echo.
    pub silence_before_echo: Duration,
    /// How long after that it may go on being silent before the session closes.
    pub echo_timeout: Duration,
    /// How long the answer to a request may take, on a connection that is otherwise alive.
    pub reply_timeout: Duration,
}

impl Default for Limits {
    /// The replica of a switch takes about 1 kB for each interface. Open vSwitch probes in the same rhythm of 5 s.
    fn default() -> Self {
        Self {
            codec: codec::Limits { frame_len_max: 8 << 20, depth_max: 32 },
            replica_bytes_max: 32 << 20,
            transactions_outstanding_max: 16,
            silence_before_echo: Duration::from_secs(5),
            echo_timeout: Duration::from_secs(5),
            reply_timeout: Duration::from_secs(30),
        }
    }
}

/// Names a transaction within its session; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TransactionId(u64);

/// What a session has to say.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Write these bytes to the peer.
    Send(Vec<u8>),
    /// The replica is complete for the first time.
    Ready,
    /// Rows of these tables were changed by someone, perhaps us. Comes before the end of the transaction that did it.
    Changed(BTreeSet<&'static str>),
    /// A transaction was answered, or will never be.
    TransactionDone {
        /// Which.
        id: TransactionId,
        /// What its operations did, in order, or why none of them did anything.
        result: Result<Vec<Done>, TransactError>,
    },
    /// The session is over: close the connection. Nothing comes after this.
    Closed {
        /// Why.
        reason: CloseReason,
    },
}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The connection is gone.
    #[error("connection closed by the peer")]
    Disconnected,
    /// Not a byte came, not even in answer to an echo request.
    #[error("no byte for {0:?}, and no echo")]
    Silent(Duration),
    /// A request stays unanswered while other bytes do come.
    #[error("no answer to {method} for {elapsed:?}")]
    Unanswered {
        /// What was requested.
        method: &'static str,
        /// For how long.
        elapsed: Duration,
    },
    /// Not messages, or not within our limits.
    #[error(transparent)]
    Codec(#[from] codec::Error),
    /// What it told of its tables makes no sense.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// It answered a transaction with nonsense.
    #[error(transparent)]
    Reply(#[from] ReplyError),
    /// It will not let us watch our tables.
    #[error("{method} refused: {error}")]
    MonitorRefused {
        /// The last method tried.
        method: &'static str,
        /// Its words.
        error: DatabaseError,
    },
    /// A notice before the monitor's first answer, or in a dialect that we did not ask for.
    #[error("unexpected {0}")]
    UnexpectedNotice(&'static str),
    /// An answer to something that was not asked.
    #[error("answer to a request that was not made: id {0}")]
    UnexpectedResponse(String),
}

/// Why a transaction was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// Wait for one to end.
    #[error("{limit} transactions are outstanding already")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// There is no connection any more.
    #[error("the session is closed")]
    Closed,
}

/// A request of ours that waits for its answer.
#[derive(Debug)]
struct Pending {
    since: Duration,
    request: Request,
}

#[derive(Clone, Copy, Debug)]
enum Request {
    Monitor(Dialect),
    Transact { operations: usize },
}

impl Request {
    fn method(self) -> &'static str {
        match self {
            Self::Monitor(dialect) => dialect.method(),
            Self::Transact { .. } => "transact",
        }
    }
}

/// How far a session has come.
#[derive(Debug)]
enum State {
    /// The monitor is not answered.
    Starting,
    /// The replica is complete; notices come in this dialect.
    Ready(Dialect),
    Closed,
}

/// A session; see the module.
#[derive(Debug)]
pub struct Session {
    limits: Limits,
    schema: &'static Schema,
    state: State,
    decoder: Decoder,
    replica: Replica,
    /// By request id. These only grow, so the first is the oldest.
    pending: BTreeMap<u64, Pending>,
    next_id: u64,
    heard: Duration,
    echo_sent: Option<Duration>,
    events: VecDeque<Event>,
}

impl Session {
    /// A session on a new connection, at time `now`. Its first event asks for the monitor.
    pub fn new(now: Duration, limits: Limits, schema: &'static Schema) -> Self {
        let mut session = Self {
            limits,
            schema,
            state: State::Starting,
            decoder: Decoder::new(limits.codec),
            replica: Replica::new(schema, limits.replica_bytes_max),
            pending: BTreeMap::new(),
            next_id: 0,
            heard: now,
            echo_sent: None,
            events: VecDeque::new(),
        };
        session.ask_for_monitor(now, Dialect::CondSince);
        session
    }

    /// The tables as far as they were told: complete once [`Event::Ready`] was seen, and dead after
    /// [`Event::Closed`].
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// How many bytes are held of a message that is not complete.
    pub fn buffered(&self) -> usize {
        self.decoder.buffered()
    }

    /// The next event, in order.
    pub fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Takes bytes that came at time `now`.
    pub fn receive(&mut self, now: Duration, bytes: &[u8]) {
        if self.is_closed() || bytes.is_empty() {
            return;
        }
        self.heard = now;
        self.echo_sent = None;
        self.decoder.push(bytes);
        loop {
            let handled = match self.decoder.next() {
                Ok(Some(message)) => self.handle(now, message),
                Ok(None) => return,
                Err(error) => Err(error.into()),
            };
            if let Err(reason) = handled {
                return self.close(reason);
            }
        }
    }

    /// Takes the news that no more bytes will come or go.
    pub fn disconnected(&mut self) {
        if !self.is_closed() {
            self.close(CloseReason::Disconnected);
        }
    }

    /// Sends a transaction, if the limit allows another. It may be sent before the session is ready.
    pub fn transact(&mut self, now: Duration, transaction: &Transaction) -> Result<TransactionId, NotSent> {
        if self.is_closed() {
            return Err(NotSent::Closed);
        }
        let is_transaction = |pending: &&Pending| matches!(pending.request, Request::Transact { .. });
        let limit = self.limits.transactions_outstanding_max;
        if self.pending.values().filter(is_transaction).count() >= limit {
            return Err(NotSent::TooMany { limit });
        }
        let operations = transaction.operations().len();
        Ok(TransactionId(self.ask(now, Request::Transact { operations }, transaction.params())))
    }

    /// When [`tick`](Self::tick) has something to do, if nothing else happens before. `None` once closed.
    pub fn deadline(&self) -> Option<Duration> {
        if self.is_closed() {
            return None;
        }
        let silence = match self.echo_sent {
            Some(sent) => sent + self.limits.echo_timeout,
            None => self.heard + self.limits.silence_before_echo,
        };
        let reply = self.oldest_pending().map(|pending| pending.since + self.limits.reply_timeout);
        Some(reply.map_or(silence, |reply| reply.min(silence)))
    }

    /// Does what is due at time `now`. Too early does nothing; late, however late, asks before it closes.
    pub fn tick(&mut self, now: Duration) {
        if self.is_closed() {
            return;
        }
        if let Some(reason) = self.overdue(now) {
            return self.close(reason);
        }
        if self.echo_sent.is_none() && now >= self.heard + self.limits.silence_before_echo {
            self.echo_sent = Some(now);
            self.send(&Message::Request { id: json!(ECHO_ID), method: "echo".to_owned(), params: Vec::new() });
        }
    }

    fn overdue(&self, now: Duration) -> Option<CloseReason> {
        if self.echo_sent.is_some_and(|sent| now >= sent + self.limits.echo_timeout) {
            return Some(CloseReason::Silent(now.saturating_sub(self.heard)));
        }
        let oldest = self.oldest_pending()?;
        let elapsed = now.saturating_sub(oldest.since);
        let method = oldest.request.method();
        (elapsed >= self.limits.reply_timeout).then_some(CloseReason::Unanswered { method, elapsed })
    }

    fn oldest_pending(&self) -> Option<&Pending> {
        self.pending.values().next()
    }

    fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    fn close(&mut self, reason: CloseReason) {
        self.state = State::Closed;
        for (id, pending) in std::mem::take(&mut self.pending) {
            if matches!(pending.request, Request::Transact { .. }) {
                let result = Err(TransactError::Unknown);
                self.events.push_back(Event::TransactionDone { id: TransactionId(id), result });
            }
        }
        self.events.push_back(Event::Closed { reason });
    }

    fn send(&mut self, message: &Message) {
        self.events.push_back(Event::Send(codec::encode(message)));
    }

    fn ask(&mut self, now: Duration, request: Request, params: Vec<Json>) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.pending.insert(id, Pending { since: now, request });
        self.send(&Message::Request { id: json!(id), method: request.method().to_owned(), params });
        id
    }

    fn ask_for_monitor(&mut self, now: Duration, dialect: Dialect) {
        self.ask(now, Request::Monitor(dialect), dialect.params(self.schema));
    }

    fn handle(&mut self, now: Duration, message: Message) -> Result<(), CloseReason> {
        match message {
            Message::Request { id, method, params } => {
                self.answer(id, &method, params);
                Ok(())
            }
            Message::Notification { method, params } => self.handle_notice(&method, &params),
            Message::Response { id, .. } if id == ECHO_ID => Ok(()),
            Message::Response { id, outcome } => self.handle_response(now, &id, outcome),
        }
    }

    /// A server asks its client for nothing but echoes (RFC 7047 section 4.1.11).
    fn answer(&mut self, id: Json, method: &str, params: Vec<Json>) {
        let outcome = match method {
            "echo" => Ok(params.into()),
            _ => Err(json!("unknown method")),
        };
        self.send(&Message::Response { id, outcome });
    }

    /// Notices of kinds that we know of no use for, such as those of locks, are let pass.
    fn handle_notice(&mut self, method: &str, params: &[Json]) -> Result<(), CloseReason> {
        let dialects = [Dialect::CondSince, Dialect::Cond, Dialect::Plain];
        let Some(told) = dialects.into_iter().find(|dialect| dialect.notice() == method) else {
            return Ok(());
        };
        match self.state {
            State::Ready(dialect) if dialect == told => {
                let changed = self.replica.apply_notice(dialect, params)?;
                if !changed.is_empty() {
                    self.events.push_back(Event::Changed(changed));
                }
                Ok(())
            }
            State::Starting | State::Ready(_) | State::Closed => Err(CloseReason::UnexpectedNotice(told.notice())),
        }
    }

    fn handle_response(&mut self, now: Duration, id: &Json, outcome: Result<Json, Json>) -> Result<(), CloseReason> {
        let pending = id.as_u64().and_then(|id| Some((id, self.pending.remove(&id)?.request)));
        match pending {
            None => Err(CloseReason::UnexpectedResponse(super::value::excerpt(id))),
            Some((_, Request::Monitor(dialect))) => self.handle_monitor_reply(now, dialect, outcome),
            Some((id, Request::Transact { operations })) => {
                // Even if the answer is nonsense, the transaction that it is about had its one event.
                let read = read_reply(operations, &outcome);
                let result = read.as_ref().map_or(Err(TransactError::Unknown), Clone::clone);
                self.events.push_back(Event::TransactionDone { id: TransactionId(id), result });
                read.map(|_| ()).map_err(CloseReason::from)
            }
        }
    }

    fn handle_monitor_reply(
        &mut self,
        now: Duration,
        dialect: Dialect,
        outcome: Result<Json, Json>,
    ) -> Result<(), CloseReason> {
        let refusal = match outcome {
            Ok(result) => {
                self.replica.apply_reply(dialect, &result)?;
                self.state = State::Ready(dialect);
                self.events.push_back(Event::Ready);
                return Ok(());
            }
            Err(error) => DatabaseError::read(&error),
        };
        match dialect.fallback() {
            Some(older) if refusal.error == "unknown method" => {
                self.ask_for_monitor(now, older);
                Ok(())
            }
            Some(_) | None => Err(CloseReason::MonitorRefused { method: dialect.method(), error: refusal }),
        }
    }
}

#[cfg(test)]
mod tests;
