//! The production runtime. The only file that names tokio's sockets, clock and tasks.

#![allow(clippy::disallowed_methods, reason = "this is what the methods are allowed in")]

use super::{Accepted, Listener, Moment, Runtime};
use rustls::crypto::SecureRandom;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};
use tokio::net::{TcpListener, TcpStream};

/// tokio, with the machine's sockets, clocks and randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tokio;

static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Runtime for Tokio {
    type Stream = TcpStream;
    type Listener = TcpListener;

    fn now() -> Moment {
        ORIGIN.elapsed()
    }

    fn wall() -> SystemTime {
        SystemTime::now()
    }

    fn sleep_until(at: Moment) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(at.saturating_sub(Self::now()).min(Duration::from_secs(86_400 * 365)))
    }

    fn spawn(name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let handle = tokio::spawn(task);
        // A task that panics is a bug of ours: carrying on without it would hide it.
        tokio::spawn(async move {
            if handle.await.is_err_and(|error| error.is_panic()) {
                tracing::error!(task = name, "a task panicked; stopping, so that a supervisor starts afresh");
                std::process::abort();
            }
        });
    }

    async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        match tokio::task::spawn_blocking(work).await {
            Ok(value) => value,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The process is going down: nothing that waits for the answer will run again.
            Err(_) => std::future::pending().await,
        }
    }

    fn random(out: &mut [u8]) {
        SystemRandom.fill(out).expect("the operating system supplies randomness");
    }

    async fn listen(at: SocketAddr) -> io::Result<TcpListener> {
        TcpListener::bind(at).await
    }

    async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// The operating system's randomness, as rustls's provider gives it.
struct SystemRandom;

impl SystemRandom {
    fn fill(&self, out: &mut [u8]) -> Result<(), rustls::crypto::GetRandomFailed> {
        static PROVIDER: LazyLock<&'static dyn SecureRandom> =
            LazyLock::new(|| rustls::crypto::ring::default_provider().secure_random);
        PROVIDER.fill(out)
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<Accepted<TcpStream>> {
        let (stream, peer) = TcpListener::accept(self).await?;
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        Ok(Accepted { stream, peer, local })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        TcpListener::local_addr(self)
    }
}
