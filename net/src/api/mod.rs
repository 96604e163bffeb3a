//! The northbound REST API, `/ws.v1`: what users and other programs change the network with.
//!
//! Everything about a kind of resource comes from one row of one table, [`kinds`]: its routes, lists, filters,
//! relations, statuses and its part of the OpenAPI document. A request passes [`shell`] (headers, log), [`auth`]
//! (sessions, passwords), then [`resources`], [`attachment`], [`part`], [`statistic`], [`cluster`], [`users`], [`realisation`], [`watch`] or [`look`]. Reading and
//! changing goes through the controller's [`Handle`] and nothing else.
//!
//! The dialect is that of NVP, kept to what its clients depend on: statuses, header forms, one-line JSON with a
//! space after each colon and comma ([`json`]).
//!
//! Start at [`router`]; [`serve()`] puts it on a listener.

mod attachment;
pub mod auth;
mod certificate;
mod cluster;
mod error;
mod json;
mod kinds;
mod listing;
mod look;
mod metrics;
mod openapi;
mod part;
mod query;
mod realisation;
mod resources;
pub mod schema;
mod serve;
mod shell;
mod statistic;
mod status;
#[cfg(test)]
mod tests;
mod users;
mod watch;

pub use auth::Authenticated;
pub use serve::{Peer, serve};

use crate::cluster::Member;
use crate::controller::{Handle, SubmitError};
use crate::runtime::Runtime;
use axum::Router;
use axum::http::HeaderValue;
use axum::routing::{get, post};
use selvedge_core::ids::Revision;
use selvedge_core::nib::Command;
use std::sync::Arc;
use tokio::sync::Semaphore;
use uuid::Uuid;

/// Where all resources live.
const ROOT: &str = "/ws.v1";

/// What the API says about the controller it speaks for.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// The `Server` header: `<word>/<major>.<minor>[.<more>]`. Clients derive from it which dialect they speak.
    pub server: String,
    /// This controller's name in the cluster.
    pub node_uuid: Uuid,
    /// Where clients reach the API: `pssl:<address>:<port>` with TLS, `ptcp:<address>:<port>` without.
    pub listen_addr: String,
    /// How many requests each tenant may send.
    pub tenant_rate: auth::Rate,
}

impl Default for ApiConfig {
    fn default() -> ApiConfig {
        ApiConfig {
            server: "NVP/4.2.1.35000".to_string(),
            node_uuid: Uuid::nil(),
            listen_addr: "pssl:127.0.0.1:443".to_string(),
            tenant_rate: auth::Rate::default(),
        }
    }
}

/// A `Server` header that clients would choke on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no server version: it must read <word>/<major>.<minor>, and may go on after another dot")]
pub struct BadServer(String);

impl ApiConfig {
    /// The product version: the part of `server` behind the slash.
    fn version(&self) -> &str {
        self.server.split_once('/').map_or("", |(_, version)| version)
    }

    fn server_header(&self) -> Result<HeaderValue, BadServer> {
        let bad = || BadServer(self.server.clone());
        let (word, version) = self.server.split_once('/').ok_or_else(bad)?;
        let mut numbers = version.split('.').map(|part| part.parse::<u32>().is_ok());
        let sound = !word.is_empty() && numbers.next() == Some(true) && numbers.next() == Some(true);
        HeaderValue::from_str(&self.server).ok().filter(|_| sound).ok_or_else(bad)
    }
}

/// What all requests share.
struct Api<R: Runtime> {
    handle: Handle,
    member: Member<R>,
    config: ApiConfig,
    auth: auth::Auth<R>,
    requests: metrics::Requests,
    /// Streams of changes that may still be opened.
    streams: Arc<Semaphore>,
}

impl<R: Runtime> Api<R> {
    /// Has carried out what somebody asks for, if they may.
    async fn submit(&self, sender: &Authenticated, command: Command) -> Result<Revision, SubmitError> {
        let outcome = self.handle.submit(sender.command::<R>(command)).await;
        match &outcome {
            Ok(revision) => tracing::info!(request = %sender.request, user = %sender.user, %revision, "changed"),
            Err(error) => tracing::info!(request = %sender.request, user = %sender.user, %error, "not changed"),
        }
        outcome
    }
}

/// The API of a controller, to be served.
///
/// # Errors
/// If [`ApiConfig::server`] is not of the form that clients need.
pub fn router<R: Runtime>(handle: Handle, member: Member<R>, config: ApiConfig) -> Result<Router, BadServer> {
    let server = config.server_header()?;
    let auth = auth::Auth::new(handle.clone());
    let (requests, streams) = (metrics::Requests::default(), Arc::new(Semaphore::new(watch::STREAMS_MAX)));
    let api = Arc::new(Api::<R> { handle, member, config, auth, requests, streams });
    let open = Router::new()
        .route("/ws.v1/openapi.json", get(openapi::document))
        .route("/healthz", get(shell::healthy))
        .route("/readyz", get(shell::ready::<R>));
    let linear = axum::middleware::from_fn_with_state(api.clone(), shell::linearizable::<R>);
    let built = Router::new()
        .route("/ws.v1/realisation", get(realisation::show::<R>))
        .route("/ws.v1/transport-node/{uuid}/flows", get(look::flows::<R>))
        .route("/ws.v1/transport-node/{uuid}/interface/{name}/statistic", get(statistic::of_interface::<R>))
        .route("/ws.v1/trace", post(look::trace::<R>))
        .route("/ws.v1/watch", get(watch::show::<R>))
        .route_layer(linear.clone())
        .route("/metrics", get(metrics::show::<R>))
        .merge(cluster::details::<R>())
        .merge(users::audit_routes::<R>())
        .route_layer(axum::middleware::from_fn(auth::staff));
    let ruled =
        cluster::orders::<R>().merge(users::routes::<R>()).route_layer(axum::middleware::from_fn(auth::administrators));
    let closed = Router::new()
        .merge(resources::routes::<R>().route_layer(linear))
        .route("/ws.v1/logout", get(auth::logout::<R>))
        // What is said of the cluster is said without it, too.
        .merge(cluster::routes::<R>())
        .merge(openapi::routes::<R>())
        .merge(built)
        .merge(ruled)
        .method_not_allowed_fallback(shell::method_not_allowed)
        .layer(axum::middleware::from_fn_with_state(api.clone(), shell::fresh_enough::<R>))
        .layer(axum::middleware::from_fn_with_state(api.clone(), auth::require::<R>))
        .merge(Router::new().route("/ws.v1/login", post(auth::login::<R>)))
        .layer(axum::middleware::from_fn(auth::same_site))
        .layer(axum::middleware::from_fn_with_state(api.clone(), shell::started::<R>));
    let shell = shell::Shell { server, api: api.clone() };
    Ok(open
        .merge(closed)
        .method_not_allowed_fallback(shell::method_not_allowed)
        .fallback(shell::not_found)
        .layer(axum::middleware::from_fn_with_state(Arc::new(shell), shell::around::<R>))
        .with_state(api))
}
