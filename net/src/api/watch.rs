//! `GET /ws.v1/watch`: tells of every change of a resource, as server-sent events (WHATWG HTML, section 9.2).
//!
//! A `change` says what changed, not to what: whoever wants to know asks. The `id` of an event is the revision up to
//! which all was told then; who comes back with it, as `Last-Event-ID` or `since`, misses nothing. If so much happened
//! meanwhile that it is not known any more, the first event is `reset`: everything must be listed again. `current` comes
//! when nothing happens, so that a reader can tell a quiet network from a dead connection. A stream ends after five
//! minutes; a browser comes back by itself, and who must not see changes any more cannot.
//!
//! Start at [`show`]; [`Watch::next`] decides, [`feed`] sends.

use super::error::ApiError;
use super::kinds::{KINDS, Row, row};
use super::query::pairs;
use super::{Api, json};
use crate::controller::{Changed, State as Controller};
use crate::runtime::{Moment, Runtime};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, Uri, header};
use axum::response::{IntoResponse, Response};
use selvedge_core::ids::Revision;
use selvedge_core::nib::Kind;
use serde_json::json;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Most streams at once; each is looked at with every change.
pub(super) const STREAMS_MAX: usize = 256;
/// So long a stream lasts.
const STREAM_MAX: Duration = Duration::from_secs(300);
/// So long nothing is said before it is said that nothing happened.
const QUIET_MAX: Duration = Duration::from_secs(10);
/// Most changes in one piece.
const PIECE_MAX: usize = 1_024;

/// What somebody follows, and how far they are.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Watch {
    /// Nothing is all.
    kinds: Option<BTreeSet<Kind>>,
    /// All up to there was told.
    told: Revision,
}

impl Watch {
    /// Reads it from a request that comes when the NIB is at `now`.
    fn parse(pairs: &[(String, String)], headers: &HeaderMap, now: Revision) -> Result<Watch, ApiError> {
        let number = |name: &str, text: &str| {
            let number = text.trim().parse().map(Revision);
            number.map_err(|_| ApiError::Invalid(format!("{name}: it must be a revision")))
        };
        let mut watch = Watch { kinds: None, told: now };
        for (name, value) in pairs {
            match name.as_str() {
                "since" => watch.told = number("since", value)?,
                "kinds" if !value.is_empty() => watch.kinds.get_or_insert_default().extend(kinds(value)?),
                _ => {}
            }
        }
        // A browser that comes back sends the same query again, and this.
        if let Some(last) = headers.get(LAST_EVENT_ID) {
            watch.told = number("Last-Event-ID", last.to_str().unwrap_or_default())?;
        }
        Ok(watch)
    }

    /// What there is to tell now; nothing if that is nothing.
    fn next(&mut self, state: &Controller) -> Option<Bytes> {
        let now = state.nib.revision();
        let known = (self.told <= now).then(|| state.journal.since(self.told)).flatten();
        let Some(changes) = known else {
            self.told = now;
            return Some(event("reset", Some(now), json!({ "revision": now })).into());
        };
        let mut piece = String::new();
        let mut changes = changes.peekable();
        let mut count = 0;
        while let Some(changed) = changes.next() {
            let is_last = changes.peek().is_none_or(|next| next.revision != changed.revision);
            if self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&changed.kind)) {
                // Only the last of a revision has its number: who comes back in between is told all of it again.
                piece.push_str(&event("change", is_last.then_some(changed.revision), describe(state, changed)));
                count += 1;
            }
            if is_last {
                self.told = changed.revision;
                if count >= PIECE_MAX {
                    return Some(piece.into());
                }
            }
        }
        self.told = now;
        (!piece.is_empty()).then(|| piece.into())
    }

    /// That nothing happened.
    fn quiet(&self) -> Bytes {
        event("current", Some(self.told), json!({ "revision": self.told })).into()
    }
}

/// Kinds as they are asked for, with commas between.
fn kinds(words: &str) -> Result<Vec<Kind>, ApiError> {
    let find = |asked: &str| {
        let found = KINDS.iter().find(|row| row.word() == asked).map(|row| row.kind);
        found.ok_or_else(|| {
            let known: Vec<String> = KINDS.iter().map(Row::word).collect();
            let shown: String = asked.chars().take(64).collect();
            ApiError::Invalid(format!("kinds: there is no '{shown}', only {}", known.join(", ")))
        })
    };
    words.split(',').map(str::trim).filter(|word| !word.is_empty()).map(find).collect()
}

fn describe(state: &Controller, changed: &Changed) -> serde_json::Value {
    let row = row(changed.kind);
    let change = if changed.is_deleted { "deleted" } else { "set" };
    let mut said = json!({
        "revision": changed.revision, "kind": row.word(), "uuid": changed.uuid.to_string(), "change": change,
    });
    // It may be gone by now; then that is told as well.
    if let Some(href) = row.href(&state.nib, &changed.uuid) {
        said["_href"] = href.into();
    }
    said
}

fn event(name: &str, id: Option<Revision>, data: serde_json::Value) -> String {
    let data = String::from_utf8(json::line(&data)).expect("JSON is UTF-8");
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    format!("{id}event: {name}\ndata: {data}\n\n")
}

/// Opens a stream.
pub(super) async fn show<R: Runtime>(
    State(api): State<Arc<Api<R>>>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    let watch = Watch::parse(&pairs(&uri)?, &headers, api.handle.read(|state| state.nib.revision()))?;
    let slot = api.streams.clone().try_acquire_owned().map_err(|_| ApiError::TooManyStreams)?;
    let (pieces, receiver) = mpsc::channel(1);
    let until = R::now() + STREAM_MAX;
    R::spawn("watch", feed::<R>(api, watch, pieces, until, slot));
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(Pieces(receiver))).into_response())
}

/// Sends what there is to tell, as fast as it is taken.
async fn feed<R: Runtime>(
    api: Arc<Api<R>>,
    mut watch: Watch,
    pieces: mpsc::Sender<Bytes>,
    until: Moment,
    slot: OwnedSemaphorePermit,
) {
    let _slot = slot;
    // So that a reader knows at once where it stands.
    let mut piece = Some(watch.quiet());
    if let Some(first) = api.handle.read(|state| watch.next(state)) {
        piece = Some(first);
    }
    while R::now() < until {
        let send = pieces.send(piece.take().unwrap_or_else(|| watch.quiet()));
        match R::before(until, send).await {
            Some(Ok(())) => {}
            Some(Err(_)) | None => return,
        }
        let quiet = until.min(R::now() + QUIET_MAX);
        piece = tokio::select! {
            biased;
            () = pieces.closed() => return,
            news = api.handle.wait::<R, _>(quiet, |state| watch.next(state)) => news,
        };
    }
}

/// A body that is sent piece by piece.
struct Pieces(mpsc::Receiver<Bytes>);

impl futures_core::Stream for Pieces {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|piece| piece.map(Ok))
    }
}
