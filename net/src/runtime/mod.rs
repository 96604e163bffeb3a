//! Everything the controller asks of the outside world, as one small trait.
//!
//! Drivers are generic over [`Runtime`] and never name tokio's sockets, clock or tasks; a simulated world supplies
//! its own. In production it is [`Tokio`]. Functions are static: the world is ambient, so that code deep inside a
//! library's callback can ask for it too. Start at [`Runtime`].

mod accept;
mod disk;
mod tokio;

pub use self::accept::accept_until;
pub use self::disk::{Disk, DiskFile, HostDisk};
pub use self::tokio::Tokio;

use ::tokio::io::{AsyncRead, AsyncWrite};
use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};
use uuid::Uuid;

/// Monotonic time since an arbitrary origin.
pub type Moment = Duration;

/// Time, tasks, randomness and sockets.
pub trait Runtime: Debug + Copy + Default + Send + Sync + Unpin + 'static {
    /// A connected byte stream.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// What accepts connections.
    type Listener: Listener<Stream = Self::Stream>;

    /// Monotonic time.
    fn now() -> Moment;
    /// Civil time, for people and certificates.
    fn wall() -> SystemTime;
    /// Completes at `at`.
    fn sleep_until(at: Moment) -> impl Future<Output = ()> + Send;
    /// Runs a task beside this one. `name` is for logs.
    fn spawn(name: &'static str, task: impl Future<Output = ()> + Send + 'static);
    /// Runs work that blocks (disk, password hashing) where it delays nobody.
    fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> impl Future<Output = T> + Send;
    /// Fills `out` with unpredictable bytes.
    fn random(out: &mut [u8]);
    /// Accepts connections at an address; port 0 picks one.
    fn listen(at: SocketAddr) -> impl Future<Output = io::Result<Self::Listener>> + Send;
    /// Connects to an address.
    fn connect(to: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// A name that nobody else draws (RFC 9562, version 4).
    fn uuid() -> Uuid {
        let mut bytes = [0; 16];
        Self::random(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// Civil time in seconds of Unix time.
    fn unix() -> u64 {
        Self::wall().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    /// Completes after `delay`.
    fn sleep(delay: Duration) -> impl Future<Output = ()> + Send {
        Self::sleep_until(Self::now() + delay)
    }

    /// What `work` gives, or nothing if it takes longer than until `deadline`.
    fn before<T: Send>(
        deadline: Moment,
        work: impl Future<Output = T> + Send,
    ) -> impl Future<Output = Option<T>> + Send {
        async move {
            ::tokio::select! {
                biased;
                done = work => Some(done),
                () = Self::sleep_until(deadline) => None,
            }
        }
    }
}

/// Accepts connections.
pub trait Listener: Send + 'static {
    /// What a connection is.
    type Stream;

    /// The next connection.
    fn accept(&mut self) -> impl Future<Output = io::Result<Accepted<Self::Stream>>> + Send;
    /// Where it listens.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// A connection that was accepted.
#[derive(Debug)]
pub struct Accepted<S> {
    /// The bytes.
    pub stream: S,
    /// Who connected.
    pub peer: SocketAddr,
    /// Which of our addresses it reached: one that the peer can use again.
    pub local: SocketAddr,
}
