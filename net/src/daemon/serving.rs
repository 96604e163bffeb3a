//! Puts a controller on sockets, on any [`Runtime`]: the API, and the ways in for transport nodes.
//!
//! What differs between the daemon and a simulated controller is who makes the runtime, the disk and the credentials;
//! everything from here on is the same code. Start at [`serve`].

use super::DaemonError;
use crate::api::auth::Rate;
use crate::api::{self, ApiConfig};
use crate::cluster::Member;
use crate::controller::{Handle, Protocol};
use crate::runtime::{Listener, Runtime};
use crate::southbound::{self, Admission, Entrance, Southbound};
use crate::tls::{self, Credentials};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use uuid::Uuid;

/// So long a controller that has started asks the cluster for what it lacks, in one go.
const CURRENT_MAX: Duration = Duration::from_secs(5);
/// It asks again then.
const CURRENT_AGAIN: Duration = Duration::from_millis(100);

/// Where a controller listens, and as whom.
#[derive(Debug)]
pub struct Serving<'a> {
    /// The API: over TLS if there are credentials.
    pub api: SocketAddr,
    /// TLS for the API, and OVSDB and OpenFlow over TLS, if there is any.
    pub encrypted: Option<Encrypted<'a>>,
    /// OVSDB over plain TCP, if it is wanted.
    pub ovsdb_tcp: Option<SocketAddr>,
    /// OpenFlow over plain TCP, if it is wanted.
    pub openflow_tcp: Option<SocketAddr>,
    /// The `Server` header.
    pub server: &'a str,
    /// The controller's name in the cluster.
    pub node_uuid: Uuid,
    /// How many requests each tenant may send.
    pub tenant_rate: Rate,
}

/// What is served over TLS beside the API.
#[derive(Debug)]
pub struct Encrypted<'a> {
    /// Who we are, and whom we know.
    pub credentials: &'a Credentials,
    /// OVSDB.
    pub ovsdb: SocketAddr,
    /// OpenFlow.
    pub openflow: SocketAddr,
}

/// What is up.
pub struct Up<F> {
    /// The API.
    pub api: SocketAddr,
    /// OVSDB over TLS.
    pub ovsdb: Option<SocketAddr>,
    /// OpenFlow over TLS.
    pub openflow: Option<SocketAddr>,
    /// Completes when the API has stopped: requests in flight are done, or given up.
    pub api_ended: F,
}

/// Tells every listener to stop. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Stopping(Arc<(Notify, AtomicBool)>);

impl Stopping {
    /// Stops whoever waits for it, now and later.
    pub fn stop(&self) {
        self.0.1.store(true, Ordering::Release);
        self.0.0.notify_waiters();
    }

    async fn stopped(self) {
        let notified = self.0.0.notified();
        tokio::pin!(notified);
        notified.as_mut().enable();
        if !self.0.1.load(Ordering::Acquire) {
            notified.await;
        }
    }
}

/// Listens, and serves until `stopping` says so.
///
/// # Errors
/// If an address cannot be listened on, or the TLS or API configuration is unsound.
pub async fn serve<R: Runtime>(
    handle: &Handle,
    member: &Member<R>,
    serving: &Serving<'_>,
    stopping: &Stopping,
) -> Result<Up<impl Future<Output = ()> + use<R>>, DaemonError> {
    let (api, api_at) = bind::<R>("the API", serving.api).await?;
    let (mut entrances, mut ovsdb_at, mut openflow_at) = (Vec::new(), None, None);
    if let Some(encrypted) = &serving.encrypted {
        let tls = Some(tls::southbound_config(encrypted.credentials)?);
        let (listener, at) = bind::<R>("OVSDB", encrypted.ovsdb).await?;
        entrances.push(Entrance { listener, protocol: Protocol::Ovsdb, tls: tls.clone() });
        ovsdb_at = Some(at);
        let (listener, at) = bind::<R>("OpenFlow", encrypted.openflow).await?;
        entrances.push(Entrance { listener, protocol: Protocol::OpenFlow, tls });
        openflow_at = Some(at);
    }
    let mut plain_port = None;
    if let Some(at) = serving.openflow_tcp {
        let (listener, at) = bind::<R>("OpenFlow over plain TCP", at).await?;
        plain_port = Some(at.port());
        entrances.push(Entrance { listener, protocol: Protocol::OpenFlow, tls: None });
    }
    if let Some(at) = serving.ovsdb_tcp {
        let (listener, _) = bind::<R>("OVSDB over plain TCP", at).await?;
        entrances.push(Entrance { listener, protocol: Protocol::Ovsdb, tls: None });
    }
    let shared = Arc::new(Southbound {
        handle: handle.clone(),
        openflow_port: openflow_at.map(|at| at.port()),
        openflow_plain_port: plain_port,
        admission: Admission::default(),
    });
    for entrance in entrances {
        let (member, shared, stopping) = (member.clone(), shared.clone(), stopping.clone());
        R::spawn("southbound listener", async move {
            // Before that it would take nodes for strangers, or itself for the master of what it was the master of once.
            while !member.has_been_current() && member.catch_up(R::now() + CURRENT_MAX).await.is_err() {
                R::sleep(CURRENT_AGAIN).await;
            }
            southbound::serve::<R>(entrance, shared, stopping.stopped()).await;
        });
    }
    let scheme = if serving.encrypted.is_some() { "pssl" } else { "ptcp" };
    let api_config = ApiConfig {
        server: serving.server.to_string(),
        node_uuid: serving.node_uuid,
        listen_addr: format!("{scheme}:{api_at}"),
        tenant_rate: serving.tenant_rate,
    };
    let router = api::router::<R>(handle.clone(), member.clone(), api_config)?;
    let credentials = serving.encrypted.as_ref().map(|encrypted| encrypted.credentials);
    let api_tls = credentials.map(tls::northbound_config).transpose()?;
    let (ended, api_ended) = tokio::sync::oneshot::channel::<()>();
    let api_serving = api::serve::<R>(api, api_tls, router, stopping.clone().stopped());
    R::spawn("api listener", async move {
        api_serving.await;
        drop(ended);
    });
    // That the sender is gone is the news.
    let api_ended = async move { _ = api_ended.await };
    Ok(Up { api: api_at, ovsdb: ovsdb_at, openflow: openflow_at, api_ended })
}

pub(super) async fn bind<R: Runtime>(
    what: &'static str,
    at: SocketAddr,
) -> Result<(R::Listener, SocketAddr), DaemonError> {
    let failed = |why| DaemonError::Listen { what, at, why };
    let listener = R::listen(at).await.map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    Ok((listener, local))
}
