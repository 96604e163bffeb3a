//! The control cluster as clients see it: `/ws.v1/control-cluster`. One member, for now.
//!
//! One client takes the cluster for dead unless `cluster_status` is exactly `stable`, and reads the product version
//! from the role `api_provider`. Start at [`routes`].

use super::error::ApiError;
use super::kinds::{Row, row, schema_href};
use super::listing::{self, Page};
use super::query::{Shown, pairs};
use super::schema::{
    ConfiguredRole, ControlClusterNodeConfig, ControlClusterNodeStatus, ControlClusterStatus, NodeRole, ObjectStats,
    RefusedPeer,
};
use super::status;
use super::{Api, ROOT, json};
use crate::controller::State as Controller;
use crate::runtime::Runtime;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use axum::routing::get;
use selvedge_core::nib::Kind;
use serde::Serialize;
use serde_json::{Map, Value};
use std::sync::Arc;
use uuid::Uuid;

/// What a member does; the first serves this API.
const ROLES: [&str; 5] =
    ["api_provider", "persistence_server", "logical_manager", "switch_manager", "directory_server"];

/// The routes of the control cluster.
pub(super) fn routes<R: Runtime>() -> Router<Arc<Api<R>>> {
    Router::new()
        .route("/ws.v1/control-cluster", get(show::<R>))
        .route("/ws.v1/control-cluster/status", get(show_status::<R>))
        .route("/ws.v1/control-cluster/node", get(list_nodes::<R>))
        .route("/ws.v1/control-cluster/node/{uuid}", get(show_node::<R>))
        .route("/ws.v1/control-cluster/node/{uuid}/status", get(show_node_status::<R>))
        .route("/ws.v1/control-cluster/refused-peers", get(list_refused::<R>))
}

/// `value` with what every object carries.
fn with_head(value: &impl Serialize, type_name: &str, path: &str) -> Map<String, Value> {
    let mut map = json::object(value);
    map.insert("type".into(), type_name.into());
    map.insert("_href".into(), format!("{ROOT}/control-cluster{path}").into());
    map.insert("_schema".into(), schema_href(type_name).into());
    map
}

async fn show<R: Runtime>(State(api): State<Arc<Api<R>>>) -> Response {
    let revision = api.handle.read(|state| state.nib.revision());
    let body = serde_json::json!({ "revision": revision });
    json::response(StatusCode::OK, &with_head(&body, "ControlClusterConfig", ""))
}

async fn show_status<R: Runtime>(State(api): State<Arc<Api<R>>>) -> Response {
    let version = api.config.version();
    let role = |role: &&str| ConfiguredRole { role: role.to_string(), majority_version: version.to_string() };
    let stats = |kind, judge| stats(&api, row(kind), judge);
    let status = ControlClusterStatus {
        cluster_status: "stable".into(),
        node_stats: stats(Kind::TransportNode, node_health),
        zone_stats: stats(Kind::TransportZone, |_, _| Health::Active),
        switch_stats: stats(Kind::LogicalSwitch, switch_health),
        port_stats: stats(Kind::LogicalPort, port_health),
        configured_roles: ROLES.iter().map(role).collect(),
    };
    json::response(StatusCode::OK, &with_head(&status, "ControlClusterStatus", "/status"))
}

/// How an object is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    /// It works.
    Active,
    /// It should work and does not.
    Error,
    /// Nothing is asked of it.
    Idle,
}

fn stats<R: Runtime>(api: &Api<R>, row: &Row, judge: fn(&Controller, Uuid) -> Health) -> ObjectStats {
    let mut stats = ObjectStats::default();
    listing::each(&api.handle, row, |state, uuid| {
        stats.registered_count += 1;
        match judge(state, uuid) {
            Health::Active => stats.active_count += 1,
            Health::Error => stats.error_state_count += 1,
            Health::Idle => {}
        }
    });
    stats
}

fn node_health(state: &Controller, uuid: Uuid) -> Health {
    let enabled = state.nib.nodes().get(&uuid).is_some_and(|node| node.config.admin_status_enabled);
    let node = state.nodes.get(&uuid);
    match node.is_some_and(|node| node.connected() && node.problems.is_empty()) {
        _ if !enabled => Health::Idle,
        true => Health::Active,
        false => Health::Error,
    }
}

fn switch_health(state: &Controller, uuid: Uuid) -> Health {
    match status::logical_switch(state, uuid) {
        Some(status) if status.fabric_status => Health::Active,
        _ => Health::Error,
    }
}

fn port_health(state: &Controller, uuid: Uuid) -> Health {
    let Some(port) = state.nib.ports().get(&uuid) else { return Health::Idle };
    let used = port.config.admin_status_enabled && state.nib.port_location(port).is_some();
    match status::fabric_up(state, port) {
        _ if !used => Health::Idle,
        true => Health::Active,
        false => Health::Error,
    }
}

fn node_config<R: Runtime>(api: &Api<R>) -> Map<String, Value> {
    let uuid = api.config.node_uuid;
    let listens = |role: &str| (role == ROLES[0]).then(|| api.config.listen_addr.clone());
    let roles = ROLES.iter().map(|role| NodeRole { role: role.to_string(), listen_addr: listens(role) });
    let config =
        ControlClusterNodeConfig { uuid: uuid.to_string(), display_name: uuid.to_string(), roles: roles.collect() };
    with_head(&config, "ControlClusterNodeConfig", &format!("/node/{uuid}"))
}

/// Paging parameters are accepted and change nothing: there is one member.
async fn list_nodes<R: Runtime>(State(api): State<Arc<Api<R>>>, uri: Uri) -> Result<Response, ApiError> {
    let mut node = node_config(&api);
    Shown::of_list(&pairs(&uri)?).fields.keep(&mut node);
    let page = Page { results: vec![node.into()], result_count: Some(1), page_cursor: None };
    Ok(json::response(StatusCode::OK, &page))
}

fn check_node<R: Runtime>(api: &Api<R>, uuid: &str) -> Result<(), ApiError> {
    let known = uuid == api.config.node_uuid.to_string();
    let shown = || uuid.chars().take(64).collect::<String>();
    known.then_some(()).ok_or_else(|| ApiError::NotFound(format!("controller {}", shown())))
}

async fn show_node<R: Runtime>(
    State(api): State<Arc<Api<R>>>,
    Path(uuid): Path<String>,
    uri: Uri,
) -> Result<Response, ApiError> {
    check_node(&api, &uuid)?;
    let mut node = node_config(&api);
    Shown::of_object(&pairs(&uri)?).fields.keep(&mut node);
    Ok(json::response(StatusCode::OK, &node))
}

async fn show_node_status<R: Runtime>(
    State(api): State<Arc<Api<R>>>,
    Path(uuid): Path<String>,
) -> Result<Response, ApiError> {
    check_node(&api, &uuid)?;
    let status = ControlClusterNodeStatus {
        version: api.config.version().to_string(),
        revision: api.handle.read(|state| state.nib.revision()).0,
    };
    let path = format!("/node/{uuid}/status");
    Ok(json::response(StatusCode::OK, &with_head(&status, "ControlClusterNodeStatus", &path)))
}

/// Peers that connected as transport nodes and were turned away, newest last.
async fn list_refused<R: Runtime>(State(api): State<Arc<Api<R>>>) -> Response {
    let refused = api.handle.read(|state| state.peers.refused().cloned().collect::<Vec<_>>());
    let results: Vec<Value> = refused
        .into_iter()
        .map(|peer| {
            let shown = RefusedPeer {
                peer: peer.peer.to_string(),
                protocol: peer.protocol.to_string(),
                why: peer.why,
                fingerprint: peer.fingerprint,
                count: peer.count,
                last: status::timestamp(peer.last),
            };
            json::object(&shown).into()
        })
        .collect();
    let page = Page { result_count: Some(results.len()), results, page_cursor: None };
    json::response(StatusCode::OK, &page)
}
