//! The runtime that software in a [`World`](super::World) runs on.
//!
//! Functions of [`Runtime`] are static, so the world is ambient: a thread-local that is set while the world runs, and only
//! then. Start at [`WorldRuntime`].

use super::core::{Core, HostId, Shared};
use super::wire::{Pipe, Side};
use selvedge_net::runtime::{Accepted, Listener, Moment, Runtime};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

thread_local! {
    /// The world that runs on this thread. The simulator's only global: the trait's functions have no `self`.
    static AMBIENT: RefCell<Option<Arc<Shared>>> = const { RefCell::new(None) };
    /// The time of the world that ran last on this thread: for logs, which may not take the world's lock.
    static TIME: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// The time of the world that runs on this thread, or ran last: for logs.
pub fn time_on_this_thread() -> Duration {
    TIME.get()
}

pub(super) fn note_time(now: Duration) {
    TIME.set(now);
}

/// Runs `work` with a world as the ambient one.
pub(super) fn within<T>(shared: &Arc<Shared>, work: impl FnOnce() -> T) -> T {
    let before = AMBIENT.with(|ambient| ambient.borrow_mut().replace(shared.clone()));
    let result = work();
    AMBIENT.with(|ambient| *ambient.borrow_mut() = before);
    result
}

fn ambient<T>(look: impl FnOnce(&Arc<Shared>) -> T) -> Option<T> {
    let shared = AMBIENT.with(|ambient| ambient.borrow().clone());
    shared.map(|shared| look(&shared))
}

fn core<T>(look: impl FnOnce(&mut Core) -> T) -> T {
    ambient(|shared| look(&mut shared.core())).expect("this runs inside of a world")
}

/// Civil time when a world begins: 2026-01-01T00:00:00Z.
const EPOCH: Duration = Duration::from_secs(1_767_225_600);
/// How long connecting is tried.
const CONNECT_MAX: Duration = Duration::from_secs(30);

/// Time, tasks, randomness and sockets of the host that asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct WorldRuntime;

impl Runtime for WorldRuntime {
    type Stream = Stream;
    type Listener = WorldListener;

    fn now() -> Moment {
        core(|core| core.local_now())
    }

    fn wall() -> SystemTime {
        core(|core| {
            let ahead = core.here().ahead_ms;
            let time = SystemTime::UNIX_EPOCH + EPOCH + core.local_now();
            match ahead >= 0 {
                true => time + Duration::from_millis(ahead.unsigned_abs()),
                false => time - Duration::from_millis(ahead.unsigned_abs()),
            }
        })
    }

    fn sleep_until(at: Moment) -> impl Future<Output = ()> + Send {
        Sleep { at, event: None }
    }

    fn spawn(name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        // A destructor that runs after the world is gone has nobody to do its work.
        ambient(|shared| {
            let host = shared.core().current();
            shared.spawn(host, name, Box::pin(task));
        });
    }

    async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        let result = work();
        let delay = core(|core| core.blocking_delay());
        Self::sleep(delay).await;
        result
    }

    fn random(out: &mut [u8]) {
        core(|core| core.random(out));
    }

    async fn listen(at: SocketAddr) -> io::Result<WorldListener> {
        core(|core| core.listen(at)).map(|at| WorldListener { at })
    }

    async fn connect(to: SocketAddr) -> io::Result<Stream> {
        let deadline = core(|core| core.now()) + CONNECT_MAX;
        let mut retry = Duration::from_secs(1);
        let began = core(|core| core.begin_connecting(to));
        loop {
            let there = core(|core| core.segment_time(began.from, began.to));
            let back = core(|core| core.segment_time(began.to, began.from));
            match (there, back) {
                (Some(there), Some(back)) => {
                    World::sleep_exactly(there).await;
                    let connected = core(|core| core.connected(&began, to));
                    World::sleep_exactly(back).await;
                    return connected
                        .map(|pipe| Stream { pipe })
                        .ok_or_else(|| io::ErrorKind::ConnectionRefused.into());
                }
                _ => {
                    // A segment that is lost is sent again, after longer and longer times.
                    World::sleep_exactly(retry).await;
                    retry *= 2;
                    if core(|core| core.now()) >= deadline {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
            }
        }
    }
}

/// The world's own time, whatever a host's clock says.
struct World;

impl World {
    fn sleep_exactly(delay: Duration) -> impl Future<Output = ()> + Send {
        let local = core(|core| core.local_now() + core.to_local(delay));
        Sleep { at: local, event: None }
    }
}

/// Completes at a time of its host's clock. Dropping it takes its event away.
struct Sleep {
    at: Moment,
    event: Option<super::core::EventKey>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let (at, event) = (self.at, self.event.take());
        let next = core(|core| {
            event.into_iter().for_each(|event| core.forget(event));
            (core.local_now() < at).then(|| core.wake_at(at, context.waker().clone()))
        });
        self.event = next;
        match self.event {
            Some(_) => Poll::Pending,
            None => Poll::Ready(()),
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(event) = self.event.take() {
            ambient(|shared| shared.core().forget(event));
        }
    }
}

/// One end of a connection.
#[derive(Debug)]
pub struct Stream {
    pipe: Side,
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        core(|core| Pipe::read(core, self.pipe, context, out))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        core(|core| Pipe::write(core, self.pipe, context, data))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        core(|core| Pipe::finish(core, self.pipe));
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        ambient(|shared| Pipe::close(&mut shared.core(), self.pipe));
    }
}

/// Accepts connections at an address.
#[derive(Debug)]
pub struct WorldListener {
    at: (HostId, SocketAddr),
}

impl Listener for WorldListener {
    type Stream = Stream;

    fn accept(&mut self) -> impl Future<Output = io::Result<Accepted<Stream>>> + Send {
        let (_, at) = self.at;
        std::future::poll_fn(move |context| core(|core| core.accept(at, context))).into_accepted()
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.at.1)
    }
}

impl Drop for WorldListener {
    fn drop(&mut self) {
        ambient(|shared| shared.core().stop_listening(self.at));
    }
}

/// Turns what the core accepts into what the trait wants.
trait IntoAccepted: Future<Output = io::Result<(Side, SocketAddr, SocketAddr)>> + Send + Sized {
    async fn into_accepted(self) -> io::Result<Accepted<Stream>> {
        let (pipe, peer, local) = self.await?;
        Ok(Accepted { stream: Stream { pipe }, peer, local })
    }
}

impl<F: Future<Output = io::Result<(Side, SocketAddr, SocketAddr)>> + Send> IntoAccepted for F {}
