//! Connections: two pipes of bytes, each with a window, over paths that delay, lose and are cut.
//!
//! What an application can see of TCP, and no more: bytes come in order or not at all; a lost segment comes late, after
//! its retransmission; a path that is cut holds everything until it is mended, or until the sender gives up; a peer that
//! was killed resets, one without power says nothing. Start at [`Pipe`].

use super::core::{Core, Event, HostId};
use rand::RngExt;
use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::ReadBuf;

/// Bytes that may be on their way or unread.
const WINDOW: usize = 64 * 1024;
/// Most bytes of a packet on a path that is narrow: TCP's payload in an Ethernet frame.
const PACKET_MAX: usize = 1_448;
/// Most bytes in one segment.
const SEGMENT_MAX: usize = 16 * 1024;
/// First time after which a lost segment is sent again (RFC 6298's lower bound in practice).
const RETRANSMIT: Duration = Duration::from_millis(200);
/// After so long without an answer a sender gives up (TCP_USER_TIMEOUT; Linux's own is longer).
const GIVE_UP: Duration = Duration::from_secs(100);

/// One direction of a connection: the connection's number, and whether it is the one from who connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PipeId(u64, bool);

impl PipeId {
    fn back(self) -> PipeId {
        PipeId(self.0, !self.1)
    }
}

/// One end of a connection: it writes to this pipe and reads from the one back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Side(PipeId);

#[derive(Debug)]
enum Segment {
    Data(Vec<u8>),
    Finish,
    Reset,
}

/// How an end of a pipe is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    /// Closed in good order.
    Closed,
    /// The connection is dead for it, for this reason.
    Dead(io::ErrorKind),
    /// Its host was killed or lost power: it neither speaks nor hears.
    Gone,
}

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Pipe {
    from: HostId,
    to: HostId,
    sender: End,
    receiver: End,
    /// On their way, with the times at which they arrive, in order.
    flying: VecDeque<(Duration, Segment)>,
    /// They met a cut, and wait; since when.
    stuck: VecDeque<Segment>,
    stuck_since: Option<Duration>,
    /// Arrived and unread.
    arrived: VecDeque<u8>,
    /// The sender said that nothing more comes.
    finished: bool,
    in_window: usize,
    /// The stream that writes here is dropped: nobody asks how it is any more.
    left: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn new(from: HostId, to: HostId) -> Pipe {
        Pipe {
            from,
            to,
            sender: End::Open,
            receiver: End::Open,
            flying: VecDeque::new(),
            stuck: VecDeque::new(),
            stuck_since: None,
            arrived: VecDeque::new(),
            finished: false,
            in_window: 0,
            left: false,
            reader: None,
            writer: None,
        }
    }

    fn wake(&mut self) {
        [self.reader.take(), self.writer.take()].into_iter().flatten().for_each(Waker::wake);
    }

    /// A new connection between two hosts: the ends of who connected, and of who accepts.
    pub fn pair(core: &mut Core, number: u64, from: HostId, to: HostId) -> (Side, Side) {
        let there = PipeId(number, true);
        core.pipes.insert(there, Pipe::new(from, to));
        core.pipes.insert(there.back(), Pipe::new(to, from));
        (Side(there), Side(there.back()))
    }

    pub fn read(core: &mut Core, side: Side, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let id = side.0.back();
        let Some(pipe) = core.pipes.get_mut(&id) else { return Poll::Ready(Err(io::ErrorKind::NotConnected.into())) };
        if pipe.arrived.is_empty() {
            return match (pipe.receiver, pipe.finished) {
                (End::Dead(kind), _) => Poll::Ready(Err(kind.into())),
                (End::Gone, _) => Poll::Pending,
                (End::Open | End::Closed, true) => Poll::Ready(Ok(())),
                (End::Open | End::Closed, false) => {
                    pipe.reader = Some(context.waker().clone());
                    Poll::Pending
                }
            };
        }
        let mut count = pipe.arrived.len().min(out.remaining());
        // Now and then a read ends in the middle of what is there.
        if count > 1 && core.network.random_ratio(1, 16) {
            count = core.network.random_range(1..=count);
        }
        let pipe = core.pipes.get_mut(&id).expect("it was just there");
        let (head, tail) = pipe.arrived.as_slices();
        let first = count.min(head.len());
        out.put_slice(&head[..first]);
        out.put_slice(&tail[..count - first]);
        pipe.arrived.drain(..count);
        pipe.in_window -= count;
        if let Some(writer) = pipe.writer.take() {
            writer.wake();
        }
        Poll::Ready(Ok(()))
    }

    pub fn write(core: &mut Core, side: Side, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let id = side.0;
        let Some(pipe) = core.pipes.get_mut(&id) else { return Poll::Ready(Err(io::ErrorKind::NotConnected.into())) };
        match pipe.sender {
            End::Open => {}
            End::Closed => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            End::Dead(kind) => return Poll::Ready(Err(kind.into())),
            End::Gone => return Poll::Pending,
        }
        let mut count = data.len().min(WINDOW.saturating_sub(pipe.in_window)).min(SEGMENT_MAX);
        if count == 0 && !data.is_empty() {
            pipe.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        // Where bytes take time, a reader sees the beginning of a message long before its end.
        let (from, to) = (pipe.from, pipe.to);
        if core.path(from, to).rate.is_some() {
            count = count.min(PACKET_MAX);
        }
        if count > 1 && core.network.random_ratio(1, 16) {
            count = core.network.random_range(1..=count);
        }
        let pipe = core.pipes.get_mut(&id).expect("it was just there");
        pipe.in_window += count;
        Pipe::send(core, id, Segment::Data(data[..count].to_vec()));
        Poll::Ready(Ok(count))
    }

    /// Nothing more is written.
    pub fn finish(core: &mut Core, side: Side) {
        let Some(pipe) = core.pipes.get_mut(&side.0) else { return };
        if pipe.sender == End::Open {
            pipe.sender = End::Closed;
            Pipe::send(core, side.0, Segment::Finish);
        }
    }

    /// The end is dropped: nothing more is written or read.
    pub fn close(core: &mut Core, side: Side) {
        Pipe::finish(core, side);
        if let Some(pipe) = core.pipes.get_mut(&side.0) {
            pipe.left = true;
        }
        if let Some(back) = core.pipes.get_mut(&side.0.back()) {
            if back.receiver == End::Open {
                back.receiver = End::Closed;
            }
            back.arrived.clear();
        }
        Pipe::sweep(core, side.0);
    }

    /// Forgets a connection that both ends have left, when nothing is on its way any more.
    fn sweep(core: &mut Core, id: PipeId) {
        let over = |id: &PipeId| {
            core.pipes.get(id).is_none_or(|pipe| pipe.left && pipe.flying.is_empty() && pipe.stuck.is_empty())
        };
        if over(&id) && over(&id.back()) {
            core.pipes.remove(&id);
            core.pipes.remove(&id.back());
        }
    }

    fn send(core: &mut Core, id: PipeId, segment: Segment) {
        let pipe = core.pipes.get(&id).expect("the caller has it");
        if pipe.stuck_since.is_some() {
            core.pipes.get_mut(&id).expect("it was just there").stuck.push_back(segment);
            return;
        }
        let path = core.path(pipe.from, pipe.to);
        let mut delay = path.latency + path.jitter.mul_f64(core.network.random_range(0.0..=1.0));
        let mut again = RETRANSMIT;
        while path.loss > 0.0 && again < Duration::from_secs(60) && core.network.random_bool(path.loss.min(0.95)) {
            delay += again;
            again *= 2;
        }
        let bytes = match &segment {
            Segment::Data(data) => data.len() + 40,
            Segment::Finish | Segment::Reset => 40,
        };
        let transmission =
            path.rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64));
        let now = core.now();
        let pipe = core.pipes.get_mut(&id).expect("it was just there");
        let after = pipe.flying.back().map_or(now, |(arrives, _)| *arrives);
        let arrives = (now + delay).max(after) + transmission;
        pipe.flying.push_back((arrives, segment));
        core.at(arrives, Event::Arrive(id));
    }

    /// The next segment arrives, or meets a cut.
    pub fn arrive(core: &mut Core, id: PipeId) {
        let Some(pipe) = core.pipes.get(&id) else { return };
        let blocked = core.path(pipe.from, pipe.to).cut || core.host(pipe.to).dark;
        let now = core.now();
        let pipe = core.pipes.get_mut(&id).expect("it was just there");
        let Some((_, segment)) = pipe.flying.pop_front() else { return };
        if blocked {
            pipe.stuck.push_back(segment);
            if pipe.stuck_since.is_none() {
                pipe.stuck_since = Some(now);
                core.at(now + GIVE_UP, Event::GiveUp(id));
            }
            return;
        }
        Pipe::take(core, id, segment);
        Pipe::sweep(core, id);
    }

    fn take(core: &mut Core, id: PipeId, segment: Segment) {
        let pipe = core.pipes.get_mut(&id).expect("the caller has it");
        match (pipe.receiver, segment) {
            (_, Segment::Reset) => Pipe::die(core, id.back(), io::ErrorKind::ConnectionReset),
            (End::Open, Segment::Data(data)) => {
                pipe.arrived.extend(&data);
                pipe.reader.take().into_iter().for_each(Waker::wake);
                core.audit.bytes("bytes", id.0 << 1 | u64::from(id.1), &data);
            }
            (_, Segment::Finish) => {
                pipe.finished = true;
                pipe.reader.take().into_iter().for_each(Waker::wake);
            }
            // Nobody reads there any more: the kernel answers with a reset.
            (End::Closed | End::Dead(_) | End::Gone, Segment::Data(_)) => Pipe::reset_back(core, id),
        }
    }

    /// A reset goes back to who sent something.
    fn reset_back(core: &mut Core, id: PipeId) {
        Pipe::send(core, id.back(), Segment::Reset);
    }

    /// The connection is dead for the end that writes to this pipe.
    fn die(core: &mut Core, id: PipeId, why: io::ErrorKind) {
        for (id, sender) in [(id, true), (id.back(), false)] {
            let Some(pipe) = core.pipes.get_mut(&id) else { continue };
            let end = if sender { &mut pipe.sender } else { &mut pipe.receiver };
            if *end != End::Gone {
                *end = End::Dead(why);
            }
            pipe.wake();
        }
        Pipe::sweep(core, id);
    }

    /// Segments have waited since a cut: if they still do, the sender gives up.
    pub fn give_up(core: &mut Core, id: PipeId) {
        let now = core.now();
        let Some(pipe) = core.pipes.get_mut(&id) else { return };
        let Some(since) = pipe.stuck_since else { return };
        if since + GIVE_UP > now {
            return;
        }
        // The peer learns of it when it next gets through.
        pipe.stuck = VecDeque::from([Segment::Reset]);
        Pipe::die(core, id, io::ErrorKind::TimedOut);
    }

    /// Paths or hosts changed: what waited, and now can pass, is sent again.
    pub fn mend(core: &mut Core) {
        let waiting = core.pipes.iter().filter(|(_, pipe)| {
            pipe.stuck_since.is_some() && !core.path(pipe.from, pipe.to).cut && !core.host(pipe.to).dark
        });
        let waiting: Vec<PipeId> = waiting.map(|(id, _)| *id).collect();
        for id in waiting {
            let pipe = core.pipes.get_mut(&id).expect("it was just there");
            pipe.stuck_since = None;
            let segments = std::mem::take(&mut pipe.stuck);
            // The next retransmission may be a while away.
            let pause = core.network.random_range(Duration::ZERO..=Duration::from_secs(1));
            let now = core.now();
            for (index, segment) in segments.into_iter().enumerate() {
                if index == 0 {
                    let pipe = core.pipes.get_mut(&id).expect("it was just there");
                    pipe.flying.push_back((now + pause, segment));
                    core.at(now + pause, Event::Arrive(id));
                } else {
                    Pipe::send(core, id, segment);
                }
            }
        }
    }

    /// The ends of a host are gone. With a kernel left, peers are told.
    pub fn desert(core: &mut Core, host: HostId, tell: bool) {
        let of_host = core.pipes.iter().filter(|(_, pipe)| pipe.from == host).map(|(id, _)| *id);
        let of_host: Vec<PipeId> = of_host.collect();
        for id in of_host {
            let pipe = core.pipes.get_mut(&id).expect("it was just there");
            let speaks = pipe.sender != End::Gone && !matches!(pipe.sender, End::Dead(_));
            pipe.sender = End::Gone;
            pipe.left = true;
            if !tell {
                // What had not left is lost.
                pipe.flying.clear();
                pipe.stuck.clear();
            }
            if let Some(back) = core.pipes.get_mut(&id.back()) {
                back.receiver = End::Gone;
                back.arrived.clear();
            }
            if speaks && tell {
                Pipe::send(core, id, Segment::Reset);
            }
        }
    }

    /// The connections between two hosts are reset for both.
    pub fn reset_between(core: &mut Core, one: HostId, other: HostId) {
        let between = core.pipes.iter().filter(|(_, pipe)| {
            [(one, other), (other, one)].contains(&(pipe.from, pipe.to)) && pipe.sender == End::Open
        });
        let between: Vec<PipeId> = between.map(|(id, _)| *id).collect();
        for id in between {
            Pipe::die(core, id, io::ErrorKind::ConnectionReset);
        }
    }
}
