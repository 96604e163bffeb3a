//! Puts the API on a listener: HTTP/1.1, with or without TLS, over any [`Runtime`].
//!
//! Every wait has an end: the handshake, the headers of a request, and stopping, which lets requests in flight finish.
//! Connections beyond the limit wait in the listener's backlog. Start at [`serve`].

use crate::runtime::{Accepted, Moment, Runtime, accept_until};
use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::futures::OwnedNotified;
use tokio::sync::{Notify, Semaphore};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

/// Most connections at once.
const CONNECTIONS_MAX: u32 = 2_000;
/// Longest TLS handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Longest wait for the headers of a request, on an idle connection too.
const HEADERS_MAX: Duration = Duration::from_secs(30);
/// Longest wait for a peer to take a goodbye.
const GOODBYE_MAX: Duration = Duration::from_secs(1);
/// Longest wait for requests in flight when stopping.
const STOPPING_MAX: Duration = Duration::from_secs(5);

/// Where a request came from. Every handler finds it among the request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// Serves `router` on `listener` until `stop` completes; then lets requests in flight finish, for at most 5 seconds.
pub async fn serve<R: Runtime>(
    listener: R::Listener,
    tls: Option<Arc<rustls::ServerConfig>>,
    router: Router,
    stop: impl Future,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX as usize));
    let stopping = Arc::new(Notify::new());
    let tls = tls.map(TlsAcceptor::from);
    accept_until::<R>("api", listener, slots.clone(), stop, |accepted, slot| {
        let connection = connection::<R>(accepted, tls.clone(), router.clone(), stopping.clone().notified_owned());
        R::spawn("api connection", async move {
            connection.await;
            drop(slot);
        });
    })
    .await;
    stopping.notify_waiters();
    // Connections end by themselves at the same deadline; those that have not by then are given up.
    let _ = R::before(R::now() + STOPPING_MAX, slots.clone().acquire_many_owned(CONNECTIONS_MAX)).await;
}

async fn connection<R: Runtime>(
    accepted: Accepted<R::Stream>,
    tls: Option<TlsAcceptor>,
    router: Router,
    stopping: OwnedNotified,
) {
    let peer = accepted.peer;
    let Some(tls) = tls else { return requests::<R, _>(accepted.stream, peer, router, stopping).await };
    match R::before(R::now() + HANDSHAKE_MAX, tls.accept(accepted.stream)).await {
        Some(Ok(stream)) => requests::<R, _>(stream, peer, router, stopping).await,
        Some(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake with the API failed"),
        None => tracing::debug!(%peer, "a TLS handshake with the API took too long"),
    }
}

async fn requests<R: Runtime, S>(stream: S, peer: SocketAddr, router: Router, stopping: OwnedNotified)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        router.clone().oneshot(request)
    });
    let mut http = http1::Builder::new();
    http.auto_date_header(false).timer(Clock::<R>::default()).header_read_timeout(HEADERS_MAX);
    let mut connection = http.serve_connection(TokioIo::new(stream), service);
    let ended = tokio::select! {
        biased;
        ended = &mut connection => Some(ended),
        () = stopping => {
            Pin::new(&mut connection).graceful_shutdown();
            R::before(R::now() + STOPPING_MAX, &mut connection).await
        }
    };
    if let Some(Err(error)) = ended {
        tracing::debug!(%peer, %error, "a connection to the API ended early");
        // An idle connection, say: without TLS's goodbye (RFC 8446, section 6.1) its client could not tell that from an
        // attack.
        let mut stream = connection.into_parts().io.into_inner();
        _ = R::before(R::now() + GOODBYE_MAX, stream.shutdown()).await;
    }
}

/// hyper's timer, on the runtime's clock. hyper counts in `Instant`s; only their differences mean anything.
struct Clock<R> {
    origin: Instant,
    began: Moment,
    runtime: PhantomData<fn() -> R>,
}

impl<R: Runtime> Default for Clock<R> {
    fn default() -> Clock<R> {
        #[allow(clippy::disallowed_methods, reason = "hyper wants an Instant; only differences to this one are used")]
        let origin = Instant::now();
        Clock { origin, began: R::now(), runtime: PhantomData }
    }
}

impl<R: Runtime> Clock<R> {
    fn at(moment: Moment) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep(Mutex::new(Box::pin(R::sleep_until(moment)))))
    }
}

impl<R: Runtime> hyper::rt::Timer for Clock<R> {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Clock::<R>::at(R::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Clock::<R>::at(self.began + deadline.saturating_duration_since(self.origin))
    }

    fn now(&self) -> Instant {
        self.origin + R::now().saturating_sub(self.began)
    }
}

/// A sleep that may be shared, as hyper wants it; it is only ever polled through `&mut`.
struct Sleep(Mutex<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.get_mut().expect("nobody locks it").as_mut().poll(context)
    }
}

impl hyper::rt::Sleep for Sleep {}
