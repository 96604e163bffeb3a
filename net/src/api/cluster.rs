//! The control cluster as clients see it, `/ws.v1/control-cluster`, and how members come and go.
//!
//! One client takes the cluster for dead unless `cluster_status` is exactly `stable`, and reads the product version
//! from the role `api_provider`. Start at [`routes`].

use super::Authenticated;
use super::error::ApiError;
use super::kinds::{Row, row, schema_href};
use super::listing::{self, Page};
use super::query::{Shown, pairs};
use super::schema::{
    ClusterMember, ClusterMembers, ConfiguredRole, ControlClusterNodeConfig, ControlClusterNodeStatus,
    ControlClusterStatus, NodeRole, ObjectStats, RefusedPeer,
};
use super::status;
use super::{Api, ROOT, json};
use crate::cluster::wire::Secret;
use crate::cluster::{ClusterView, MemberView, Token, loads};
use crate::controller::State as Controller;
use crate::daemon::backup::Backup;
use crate::runtime::Runtime;
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Path, Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use selvedge_core::ids::MemberId;
use selvedge_core::nib::{ClusterCommand, Command, Invitation, Kind, MemberRecord, Refusal};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// So long a backup waits for what the cluster has.
const BACKUP_MAX: Duration = Duration::from_secs(5);
/// So long the leader may take to say how the cluster is.
const VIEW_MAX: Duration = Duration::from_secs(2);

/// What a member does; the first serves this API.
const ROLES: [&str; 5] =
    ["api_provider", "persistence_server", "logical_manager", "switch_manager", "directory_server"];

/// What everybody may know of the control cluster.
pub(super) fn routes<R: Runtime>() -> Router<Arc<Api<R>>> {
    Router::new()
        .route("/ws.v1/control-cluster", get(show::<R>))
        .route("/ws.v1/control-cluster/status", get(show_status::<R>))
        .route("/ws.v1/control-cluster/node", get(list_nodes::<R>))
        .route("/ws.v1/control-cluster/node/{uuid}/status", get(show_node_status::<R>))
}

/// What operators may know.
pub(super) fn details<R: Runtime>() -> Router<Arc<Api<R>>> {
    Router::new()
        .route("/ws.v1/control-cluster/node/{uuid}", get(show_node::<R>))
        .route("/ws.v1/control-cluster/member", get(list_members::<R>))
        .route("/ws.v1/control-cluster/refused-peers", get(list_refused::<R>))
        .route("/ws.v1/control-cluster/maintenance", get(show_maintenance::<R>))
}

/// What is for administrators.
pub(super) fn orders<R: Runtime>() -> Router<Arc<Api<R>>> {
    Router::new()
        .route("/ws.v1/control-cluster/node/{uuid}", delete(dismiss::<R>))
        .route("/ws.v1/control-cluster/node/{uuid}/draining", put(drain::<R>))
        .route("/ws.v1/control-cluster/backup", get(backup::<R>))
        .route("/ws.v1/control-cluster/invitation", post(invite::<R>))
        .route("/ws.v1/control-cluster/maintenance", put(maintain::<R>))
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
    let view = api.member.view(R::now() + VIEW_MAX).await;
    let is_stable = view.is_ok_and(|view| view.has_majority());
    let status = ControlClusterStatus {
        cluster_status: if is_stable { "stable" } else { "unstable" }.into(),
        node_stats: stats(Kind::TransportNode, node_health),
        zone_stats: stats(Kind::TransportZone, |_, _| Health::Active),
        switch_stats: stats(Kind::LogicalSwitch, switch_health),
        port_stats: stats(Kind::LogicalPort, port_health),
        // Nothing follows from these yet: none of them is active, and none is in error.
        router_stats: stats(Kind::LogicalRouter, |_, _| Health::Idle),
        routerport_stats: stats(Kind::LogicalRouterPort, |_, _| Health::Idle),
        queue_stats: stats(Kind::LogicalQueue, |_, _| Health::Idle),
        security_profile_stats: stats(Kind::SecurityProfile, |_, _| Health::Idle),
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
    match node.is_some_and(|node| node.connected() && node.report().problems.is_empty()) {
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

/// A member, as much as is known of it without asking it.
struct Known {
    uuid: Uuid,
    member: MemberId,
    /// Where other members reach it, if there are or may be any.
    address: Option<SocketAddr>,
    is_drained: bool,
}

/// The members; one that is alone is not in the NIB.
fn members<R: Runtime>(api: &Api<R>) -> Vec<Known> {
    let known = api.handle.read(|state| {
        let records = state.nib.cluster().members().iter();
        let known = |(member, record): (&MemberId, &MemberRecord)| Known {
            uuid: record.uuid,
            member: *member,
            address: Some(record.address),
            is_drained: record.is_drained,
        };
        records.map(known).collect::<Vec<_>>()
    });
    match known.is_empty() {
        true => {
            vec![Known { uuid: api.config.node_uuid, member: api.member.number(), address: None, is_drained: false }]
        }
        false => known,
    }
}

fn node_config<R: Runtime>(api: &Api<R>, known: &Known) -> Map<String, Value> {
    let uuid = known.uuid;
    // Where another one's clients reach it, it alone knows.
    let own = || (uuid == api.config.node_uuid).then(|| api.config.listen_addr.clone());
    let listens = |role: &str| if role == ROLES[0] { own() } else { None };
    let roles = ROLES.iter().map(|role| NodeRole { role: role.to_string(), listen_addr: listens(role) });
    let config = ControlClusterNodeConfig {
        uuid: uuid.to_string(),
        display_name: format!("controller {}", known.member),
        member: known.member.0,
        address: known.address.map(|address| address.to_string()),
        roles: roles.collect(),
    };
    with_head(&config, "ControlClusterNodeConfig", &format!("/node/{uuid}"))
}

/// Paging parameters are accepted and change nothing: there are few members.
async fn list_nodes<R: Runtime>(State(api): State<Arc<Api<R>>>, uri: Uri) -> Result<Response, ApiError> {
    let shown = Shown::of_list(&pairs(&uri)?);
    let node = |known: &Known| {
        let mut node = node_config(&api, known);
        shown.fields.keep(&mut node);
        Value::from(node)
    };
    let results: Vec<Value> = members(&api).iter().map(node).collect();
    let page = Page { result_count: Some(results.len()), results, page_cursor: None };
    Ok(json::response(StatusCode::OK, &page))
}

fn find<R: Runtime>(api: &Api<R>, uuid: &str) -> Result<Known, ApiError> {
    let found = members(api).into_iter().find(|known| known.uuid.to_string() == uuid);
    found.ok_or_else(|| ApiError::NotFound(format!("controller {}", uuid.chars().take(64).collect::<String>())))
}

async fn show_node<R: Runtime>(
    State(api): State<Arc<Api<R>>>,
    Path(uuid): Path<String>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut node = node_config(&api, &find(&api, &uuid)?);
    Shown::of_object(&pairs(&uri)?).fields.keep(&mut node);
    Ok(json::response(StatusCode::OK, &node))
}

async fn show_node_status<R: Runtime>(
    State(api): State<Arc<Api<R>>>,
    Path(uuid): Path<String>,
) -> Result<Response, ApiError> {
    find(&api, &uuid)?;
    let status = ControlClusterNodeStatus {
        version: api.config.version().to_string(),
        revision: api.handle.read(|state| state.nib.revision()).0,
    };
    let path = format!("/node/{uuid}/status");
    Ok(json::response(StatusCode::OK, &with_head(&status, "ControlClusterNodeStatus", &path)))
}

/// How the cluster and each member is, as the leader sees it; without one, as far as this member knows.
async fn list_members<R: Runtime>(State(api): State<Arc<Api<R>>>) -> Response {
    let view = api.member.view(R::now() + VIEW_MAX).await.ok();
    let loads = api.handle.read(|state| loads(&state.nib));
    let shown = |known: Known| {
        let (owned_nodes, standby_nodes) = loads.get(&known.member).copied().unwrap_or_default();
        let seen = view.as_ref().and_then(|view| view.members.get(&known.member));
        let leads = view.as_ref().is_some_and(|view| view.leader == known.member);
        ClusterMember {
            member: known.member.0,
            uuid: known.uuid.to_string(),
            address: known.address.map(|address| address.to_string()),
            role: match seen {
                None => "unknown",
                Some(_) if leads => "leader",
                Some(seen) if seen.votes => "voter",
                Some(_) => "learner",
            }
            .into(),
            is_well: seen.is_some_and(MemberView::is_well),
            heard_ms: seen.and_then(|seen| seen.heard_ms),
            lacks: seen.and_then(|seen| seen.lacks),
            can_be_spared: view.as_ref().is_some_and(|view| view.can_spare(known.member)),
            owned_nodes,
            standby_nodes,
            is_drained: known.is_drained,
            answers_here: known.uuid == api.config.node_uuid,
        }
    };
    let (voters, well) = view.as_ref().map(ClusterView::voters).unwrap_or_default();
    let cluster = ClusterMembers {
        has_majority: view.as_ref().is_some_and(ClusterView::has_majority),
        voters,
        voters_well: well,
        term: view.as_ref().map(|view| view.term),
        members: members(&api).into_iter().map(shown).collect(),
    };
    json::response(StatusCode::OK, &with_head(&cluster, "ClusterMembers", "/member"))
}

/// What an invitation is asked for with.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct InvitationWish {
    /// The number of the member that the new one replaces.
    replaces: Option<u64>,
    /// For so many seconds it is good.
    valid_s: Option<u64>,
}

/// Longest validity of an invitation, in seconds: a week.
const VALID_MAX: u64 = 7 * 86_400;
/// The usual one: an hour.
const VALID: u64 = 3_600;

/// Lets somebody join: answers with the token that it must show.
async fn invite<R: Runtime>(
    State(api): State<Arc<Api<R>>>,
    Extension(sender): Extension<Authenticated>,
    request: Request,
) -> Result<Response, ApiError> {
    let bytes = json::bytes(request.into_body(), 4_096).await?;
    let wish = match bytes.is_empty() {
        true => InvitationWish::default(),
        false => {
            serde_json::from_slice(&bytes).map_err(|error| ApiError::Invalid(format!("the invitation: {error}")))?
        }
    };
    let valid = wish.valid_s.unwrap_or(VALID);
    if !(1..=VALID_MAX).contains(&valid) {
        return Err(ApiError::Invalid(format!("valid_s: it must be from 1 to {VALID_MAX}")));
    }
    // A controller that nobody can reach has no cluster to join.
    let authority = api.member.authority().ok_or(ApiError::Refused(Refusal::NoCluster))?;
    if api.member.has_others() {
        // One that has just started is about to say where it can be reached.
        let is_formed = |state: &Controller| (!state.nib.cluster().members().is_empty()).then_some(());
        api.handle.wait::<R, _>(R::now() + VIEW_MAX, is_formed).await;
    }
    let (invitation, secret, now) = (R::uuid(), Secret(R::uuid().simple().to_string()), R::unix());
    let given = Invitation { secret: secret.digest(), until: now + valid, replaces: wish.replaces.map(MemberId) };
    let command = ClusterCommand::Invite { uuid: invitation, invitation: given, now };
    api.submit(&sender, Command::Cluster(command)).await?;
    let members = members(&api).into_iter().filter_map(|known| known.address).collect();
    let token = Token { members, authority, invitation, secret };
    let body = serde_json::json!({ "token": token.to_string(), "valid_s": valid, "replaces": wish.replaces });
    Ok(json::response(StatusCode::CREATED, &body))
}

/// The whole NIB and the certificate authority, as they are now: the text of a file.
async fn backup<R: Runtime>(State(api): State<Arc<Api<R>>>) -> Result<Response, ApiError> {
    api.member.catch_up(R::now() + BACKUP_MAX).await.map_err(ApiError::Cluster)?;
    let authority =
        api.member.authority_files().cloned().ok_or(ApiError::NotImplemented("backups without TLS".into()))?;
    let nib = api.handle.read(|state| state.nib.clone());
    let backup = Backup { cluster: api.member.cluster(), authority, nib };
    let text = R::blocking(move || backup.text()).await;
    let text = text.map_err(|error| ApiError::Invalid(format!("the backup: {error}")))?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], text).into_response())
}

/// What can be changed of a member.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Draining {
    /// Whether its transport nodes are handed to others.
    is_drained: bool,
}

/// A member's transport nodes are handed to others, or it may have some again.
async fn drain<R: Runtime>(
    State(api): State<Arc<Api<R>>>,
    Extension(sender): Extension<Authenticated>,
    Path(uuid): Path<String>,
    request: Request,
) -> Result<StatusCode, ApiError> {
    let bytes = json::bytes(request.into_body(), 4_096).await?;
    let Draining { is_drained } =
        serde_json::from_slice(&bytes).map_err(|error| ApiError::Invalid(format!("the draining: {error}")))?;
    let member = find(&api, &uuid)?.member;
    api.submit(&sender, Command::Cluster(ClusterCommand::Drain { member, is_drained })).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A member leaves, or is dead for good.
async fn dismiss<R: Runtime>(
    State(api): State<Arc<Api<R>>>,
    Extension(sender): Extension<Authenticated>,
    Path(uuid): Path<String>,
) -> Result<StatusCode, ApiError> {
    let member = find(&api, &uuid)?.member;
    api.submit(&sender, Command::Cluster(ClusterCommand::Dismiss { member })).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether users may only read.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Maintenance {
    is_read_only: bool,
}

async fn show_maintenance<R: Runtime>(State(api): State<Arc<Api<R>>>) -> Response {
    let is_read_only = api.handle.read(|state| state.nib.is_read_only());
    json::response(StatusCode::OK, &Maintenance { is_read_only })
}

/// Users may only read from now on, or may change things again.
async fn maintain<R: Runtime>(
    State(api): State<Arc<Api<R>>>,
    Extension(sender): Extension<Authenticated>,
    body: Body,
) -> Result<Response, ApiError> {
    let Maintenance { is_read_only } = json::decode(json::body(body).await?)?;
    api.submit(&sender, Command::ReadOnly { on: is_read_only }).await?;
    Ok(show_maintenance(State(api)).await)
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
