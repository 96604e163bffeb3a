//! Accepts the connections of transport nodes. Start at [`serve`].

use super::admission::Admission;
use super::identity::{self, Shown};
use super::{openflow, ovsdb};
use crate::controller::{Handle, Protocol};
use crate::runtime::{Accepted, Runtime, accept_until};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

/// How long a TLS handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Most connections that may be in a handshake at once; others wait to be accepted.
const HANDSHAKES_MAX: usize = 256;

/// What all southbound connections share.
#[derive(Debug)]
pub struct Southbound {
    /// The controller.
    pub handle: Handle,
    /// The port for OpenFlow over TLS, which switches are told, if there is one.
    pub openflow_port: Option<u16>,
    /// The port for OpenFlow without, if there is one.
    pub openflow_plain_port: Option<u16>,
    /// Where switches wait for their turn.
    pub admission: Admission,
}

/// A way in for transport nodes.
pub struct Entrance<L> {
    /// Where.
    pub listener: L,
    /// What is spoken.
    pub protocol: Protocol,
    /// TLS; nothing where plain connections were configured.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

/// A connection whose peer is known.
pub(super) struct Guest<S> {
    pub node: Uuid,
    pub peer: SocketAddr,
    pub local: SocketAddr,
    pub encrypted: bool,
    pub stream: S,
}

/// Accepts connections until `stop` completes. Those that are up live on.
pub async fn serve<R: Runtime>(entrance: Entrance<R::Listener>, shared: Arc<Southbound>, stop: impl Future) {
    let Entrance { listener, protocol, tls } = entrance;
    let tls = tls.map(TlsAcceptor::from);
    let slots = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    accept_until::<R>(protocol.name(), listener, slots, stop, |accepted, slot| {
        let (shared, tls) = (shared.clone(), tls.clone());
        R::spawn("southbound connection", async move {
            match tls {
                Some(tls) => encrypted::<R>(&shared, protocol, tls, accepted, slot).await,
                None => plain::<R>(&shared, protocol, accepted, slot).await,
            }
        });
    })
    .await;
}

async fn encrypted<R: Runtime>(
    shared: &Southbound,
    protocol: Protocol,
    tls: TlsAcceptor,
    accepted: Accepted<R::Stream>,
    slot: tokio::sync::OwnedSemaphorePermit,
) {
    let Accepted { stream, peer, local } = accepted;
    let why = match R::before(R::now() + HANDSHAKE_MAX, tls.accept(stream)).await {
        Some(Ok(stream)) => {
            let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).cloned();
            let shown = certificate.map(|der| Shown::Certificate(der.into_owned()));
            drop(slot);
            match shown {
                Some(shown) => return welcome::<R, _>(shared, protocol, peer, local, &shown, stream).await,
                None => "it showed no certificate".to_string(),
            }
        }
        Some(Err(error)) => format!("the TLS handshake failed: {error}"),
        None => format!("the TLS handshake took longer than {HANDSHAKE_MAX:?}"),
    };
    identity::refuse::<R>(&shared.handle, protocol, peer, why, None);
}

async fn plain<R: Runtime>(
    shared: &Southbound,
    protocol: Protocol,
    accepted: Accepted<R::Stream>,
    slot: tokio::sync::OwnedSemaphorePermit,
) {
    let Accepted { stream, peer, local } = accepted;
    drop(slot);
    welcome::<R, _>(shared, protocol, peer, local, &Shown::Address, stream).await;
}

async fn welcome<R: Runtime, S: AsyncRead + AsyncWrite + Send>(
    shared: &Southbound,
    protocol: Protocol,
    peer: SocketAddr,
    local: SocketAddr,
    shown: &Shown,
    stream: S,
) {
    let Some(node) = identity::identify::<R>(&shared.handle, protocol, peer, shown) else { return };
    let encrypted = matches!(shown, Shown::Certificate(_));
    let guest = Guest { node, peer, local, encrypted, stream };
    match protocol {
        Protocol::Ovsdb => ovsdb::drive::<R, S>(shared, guest).await,
        Protocol::OpenFlow => openflow::drive::<R, S>(shared, guest).await,
    }
}
