//! `GET /metrics`: what the controller does, in the text format of OpenMetrics 1.0, for Prometheus and its like.
//!
//! All but the API's own times is read from the state when it is asked for: nothing is counted twice. Counts are of this
//! controller, since it started; a transport node counts where it is written to. Start at [`show`].

use super::Api;
use crate::controller::{Counters, State};
use crate::runtime::Runtime;
use axum::extract;
use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::Duration;

/// The media type of OpenMetrics 1.0.
const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A kind of request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: &'static str,
    /// The route, with names of what is filled in: there are as many as the API has.
    route: String,
    status: u16,
}

/// A transport node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Node {
    transport_node: String,
}

/// How long requests took.
#[derive(Clone, Debug)]
pub(super) struct Requests(Family<Request, Histogram, fn() -> Histogram>);

impl Default for Requests {
    fn default() -> Requests {
        // From a quarter of a millisecond to 16 seconds.
        Requests(Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_25, 2.0, 17))))
    }
}

impl Requests {
    /// A request was answered. What is not served has no route, and is counted as one.
    pub fn answered(&self, method: &Method, route: Option<&str>, status: u16, took: Duration) {
        let route = route.unwrap_or("none").to_string();
        // A client may make methods up, and each would be remembered.
        let methods = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"];
        let method = methods.into_iter().find(|known| *known == method.as_str()).unwrap_or("other");
        let kind = Request { method, route, status };
        self.0.get_or_create(&kind).observe(took.as_secs_f64());
    }
}

/// Tells all of it.
pub(super) async fn show<R: Runtime>(extract::State(api): extract::State<Arc<Api<R>>>) -> Response {
    let mut registry = Registry::with_prefix("selvedge");
    let requests = api.requests.0.clone();
    registry.register("api_request_duration_seconds", "Requests to the API, by route", requests);
    api.handle.read(|state| of_state(state, &mut registry));
    let mut text = String::new();
    text::encode(&mut text, &registry).expect("a string takes everything");
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response()
}

fn of_state(state: &State, registry: &mut Registry) {
    let mut gauge = |name: &str, help: &str, value: usize| {
        registry.register(name, help, ConstGauge::new(value as i64));
    };
    let own = || state.nodes.values().map(|node| &node.own);
    let (fragments, flows) = state.engine.size();
    gauge("revision", "The revision of the configuration", state.nib.revision().0 as usize);
    gauge("transport_nodes", "Transport nodes that are configured", state.nib.nodes().len());
    gauge("ovsdb_sessions", "OVSDB sessions that are up", own().filter(|own| own.ovsdb.is_some()).count());
    gauge(
        "openflow_sessions",
        "OpenFlow sessions by which flows are written",
        own().filter(|own| own.openflow.is_some()).count(),
    );
    gauge("problems", "What is wrong with transport nodes", own().map(|own| own.problems.len()).sum());
    gauge("logical_fragments", "Units of computation", fragments);
    gauge("logical_flows", "Flows in them, each once for all nodes that hold it", flows);
    let mut counter = |name: &str, help: &str, value: u64| {
        registry.register(name, help, ConstCounter::new(value));
    };
    let work = state.engine.work();
    counter("engine_updates", "Changes of the configuration that were followed", work.updates);
    counter("engine_fragments_computed", "Fragments computed again for them", work.computed);
    counter("engine_fragments_changed", "Fragments that were not as before then", work.changed);
    counter("engine_differences", "Differences made, each once for all nodes that it is for", work.differences);
    counter("engine_nodes_told", "Transport nodes told, each once for each change", work.told);
    let sum = |count: fn(&Counters) -> u64| own().map(|own| count(&own.counters)).sum::<u64>();
    counter("flow_mods", "Flow modifications that switches confirmed", sum(|counts| counts.flow_mods));
    counter("group_mods", "Group modifications that switches confirmed", sum(|counts| counts.group_mods));
    counter("bundles", "Bundles that switches confirmed", sum(|counts| counts.bundles));
    counter(
        "ovsdb_transactions",
        "OVSDB transactions that switches confirmed",
        sum(|counts| counts.ovsdb_transactions),
    );
    counter("ovsdb_connects", "OVSDB sessions that came up", sum(|counts| counts.ovsdb_sessions));
    counter("openflow_connects", "OpenFlow sessions that came up", sum(|counts| counts.openflow_sessions));
    counter("repairs", "What was changed behind the controller's back and put right", sum(|counts| counts.repairs));
    registry.register(
        "realisation_lag_revisions",
        "Revisions since the last of which the node lacks nothing",
        lags(state),
    );
}

/// How far behind transport nodes are. None is told for one that nobody has looked at.
fn lags(state: &State) -> Family<Node, Gauge> {
    let lags = Family::<Node, Gauge>::default();
    let now = state.nib.revision();
    for (uuid, node) in &state.nodes {
        if let Some(realised) = node.realised(now) {
            let lag = now.0.saturating_sub(realised.0);
            lags.get_or_create(&Node { transport_node: uuid.to_string() }).set(lag as i64);
        }
    }
    lags
}
