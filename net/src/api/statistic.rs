//! What passed a port: `.../lport/<uuid>/statistic`, and an interface of a transport node.
//!
//! The switch that has the interface counts, and is asked; its counts are up to 5 s old. `DELETE` makes those of a port
//! count from now on, as far as this API is concerned: the switch's own go on. A port that is nowhere has counted nothing,
//! and says why. Start at [`routes`].

use super::error::ApiError;
use super::kinds::{Row, schema_href};
use super::look::named;
use super::resources::{Target, read};
use super::schema::{LogicalPortStatistics, TransportNodeInterfaceStatistics};
use super::{Api, ROOT, json, status};
use crate::controller::{State as ControllerState, Unanswered};
use crate::runtime::Runtime;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use selvedge_core::nib::{Command, CountedFrom, Counters};
use serde::Serialize;
use std::sync::Arc;
use uuid::Uuid;

/// GET and DELETE.
pub(super) fn routes<R: Runtime>(row: &'static Row) -> MethodRouter<Arc<Api<R>>> {
    get(async move |State(api): State<Arc<Api<R>>>, path: Target| show(&api, row, &path).await)
        .delete(async move |State(api): State<Arc<Api<R>>>, path: Target| reset(&api, row, &path).await)
}

/// Who counts what passes a port.
enum Counting {
    /// An interface of a transport node.
    By { node: Uuid, interface: String },
    /// Nobody, and why.
    Nobody(String),
}

impl Counting {
    fn of(state: &ControllerState, port: &Uuid) -> Option<Counting> {
        let (_, attachment) = state.nib.attachment(*port)?;
        let location = state.nib.ports().get(port).and_then(|record| state.nib.port_location(record));
        Some(match location {
            Some(location) => {
                Counting::By { node: location.node, interface: location.claim.observed.interface.clone() }
            }
            None => Counting::Nobody(status::unplugged(attachment)),
        })
    }

    /// How far they have counted.
    async fn now<R: Runtime>(self, api: &Api<R>) -> Result<(Option<CountedFrom>, Option<String>), ApiError> {
        let (node, interface) = match self {
            Counting::By { node, interface } => (node, interface),
            Counting::Nobody(why) => return Ok((None, Some(why))),
        };
        match api.handle.interface_counters::<R>(node, &interface).await? {
            Some(counters) => Ok((Some(CountedFrom { node, interface, counters }), None)),
            None => Ok((None, Some("its interface is just gone".into()))),
        }
    }
}

async fn show<R: Runtime>(api: &Api<R>, row: &Row, target: &Target) -> Result<Response, ApiError> {
    let (counting, href) = read(api, row, target, |state, uuid| {
        Some((Counting::of(state, uuid)?, format!("{}/statistic", row.href(&state.nib, uuid)?)))
    })?;
    let (now, reason) = counting.now(api).await?;
    let counted = read(api, row, target, |state, uuid| {
        let from = state.nib.counted_from(*uuid);
        Some(now.map_or_else(Counters::default, |now| now.counters.since(from, now.node, &now.interface)))
    })?;
    Ok(answer("LogicalPortStatistics", href, &LogicalPortStatistics { reason, ..counted.into() }))
}

async fn reset<R: Runtime>(api: &Api<R>, row: &Row, target: &Target) -> Result<Response, ApiError> {
    let (counting, port) = read(api, row, target, |state, uuid| Some((Counting::of(state, uuid)?, *uuid)))?;
    let (from, _) = counting.now(api).await?;
    api.submit(&target.sender, Command::CountFrom { port, from }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `GET /ws.v1/transport-node/<uuid>/interface/<name>/statistic`: of any interface that the switch's database has.
pub(super) async fn of_interface<R: Runtime>(
    State(api): State<Arc<Api<R>>>,
    Path((node, interface)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let node = named("transport node", &node)?;
    if !api.handle.read(|state| state.nib.nodes().contains_key(&node)) {
        return Err(ApiError::NotFound(format!("transport node {node}")));
    }
    let shown: String = interface.chars().take(64).collect();
    let missing = |why: &str| ApiError::NotFound(format!("interface {shown} on transport node {node}{why}"));
    let counters = match api.handle.interface_counters::<R>(node, &interface).await {
        Ok(counters) => counters.ok_or_else(|| missing(""))?,
        // What it has is not known here.
        Err(Unanswered::NotConnected) => return Err(missing(", which is not connected to this controller")),
        Err(slow) => return Err(slow.into()),
    };
    let href = format!("{ROOT}/transport-node/{node}/interface/{interface}/statistic");
    Ok(answer("TransportNodeInterfaceStatistics", href, &TransportNodeInterfaceStatistics::from(counters)))
}

fn answer(type_name: &str, href: String, counted: &impl Serialize) -> Response {
    let mut map = json::object(counted);
    map.insert("type".into(), type_name.into());
    map.insert("_href".into(), href.into());
    map.insert("_schema".into(), schema_href(type_name).into());
    json::response(StatusCode::OK, &map)
}
