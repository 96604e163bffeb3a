//! Lists, makes, shows, changes and removes resources of any kind, as [`super::kinds`] says.
//!
//! A change merges the fields of the request onto the object: lists and nested objects are replaced whole, null
//! unsets. The NIB refuses a change of an object that changed since it was read; then it is read and merged again.
//! Start at [`routes`].

use super::error::ApiError;
use super::kinds::{Below, KINDS, Row, Under, View, row};
use super::listing;
use super::query::{ListQuery, Shown, pairs};
use super::{Api, Authenticated, attachment, certificate, json, part, statistic};
use crate::controller::SubmitError;
use crate::runtime::Runtime;
use crate::tls::Fingerprint;
use axum::Router;
use axum::body::Body;
use axum::extract::{RawPathParams, State};
use axum::http::{HeaderName, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use selvedge_core::nib::{Command, Kind, Object, Refusal, Role};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

/// How often a change is merged again because another was quicker.
const MERGES_MAX: usize = 16;

/// The routes of all kinds.
pub(super) fn routes<R: Runtime>() -> Router<Arc<Api<R>>> {
    KINDS.iter().fold(Router::new(), |router, row| {
        let object = format!("{}/{{uuid}}", row.path());
        let router = router.route(&row.path(), collection::<R>(row)).route(&object, single::<R>(row));
        row.below.iter().fold(router, |router, below| {
            let path = format!("{object}/{}", below.segment());
            router.route(&path, below_object::<R>(row, below))
        })
    })
}

fn collection<R: Runtime>(row: &'static Row) -> MethodRouter<Arc<Api<R>>> {
    get(async move |State(api): State<Arc<Api<R>>>, path: Target, uri: Uri| list(&api, row, &path, &uri)).post(
        async move |State(api): State<Arc<Api<R>>>, path: Target, once: Once, body: Body| {
            create(&api, row, &path, &once, json::body(body).await?).await
        },
    )
}

fn single<R: Runtime>(row: &'static Row) -> MethodRouter<Arc<Api<R>>> {
    get(async move |State(api): State<Arc<Api<R>>>, path: Target, uri: Uri| show(&api, row, &path, &uri))
        .put(async move |State(api): State<Arc<Api<R>>>, path: Target, body: Body| {
            change(&api, row, &path, json::body(body).await?).await
        })
        .delete(async move |State(api): State<Arc<Api<R>>>, path: Target| remove(&api, row, &path).await)
}

fn below_object<R: Runtime>(row: &'static Row, below: &'static Below) -> MethodRouter<Arc<Api<R>>> {
    match below {
        Below::Status(view) => {
            get(async move |State(api): State<Arc<Api<R>>>, path: Target| status(&api, row, view, &path))
        }
        Below::Attachment(types) => attachment::routes::<R>(row, types),
        Below::Queues => {
            get(async move |State(api): State<Arc<Api<R>>>, path: Target, uri: Uri| queues(&api, row, &path, &uri))
        }
        Below::Part(part) => part::routes::<R>(row, part),
        Below::Statistic => statistic::routes::<R>(row),
    }
}

/// What the placeholders of a path say, and who asks. A word that is no uuid names nothing.
pub(super) struct Target {
    /// Who asks.
    pub(super) sender: Authenticated,
    parent: Option<String>,
    uuid: Option<String>,
}

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Target {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &S) -> Result<Target, ApiError> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|_| ApiError::NotFound(format!("{} here", parts.uri.path())))?;
        let param = |name| params.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string());
        let sender = parts.extensions.get::<Authenticated>().cloned().ok_or(ApiError::NoSession)?;
        Ok(Target { sender, parent: param("parent"), uuid: param("uuid") })
    }
}

fn uuid(what: impl std::fmt::Display, text: &str) -> Result<Uuid, ApiError> {
    let hyphenated = (text.len() == 36).then(|| text.parse().ok()).flatten();
    hyphenated.ok_or_else(|| ApiError::NotFound(format!("{what} {}", text.chars().take(64).collect::<String>())))
}

impl Target {
    /// Whose objects are meant.
    pub(super) fn under(&self, row: &Row) -> Result<Under, ApiError> {
        match (row.kind.parent(), self.parent.as_deref()) {
            (Some(kind), Some(word)) if word != "*" => uuid(kind, word).map(Under::Parent),
            _ => Ok(Under::Any),
        }
    }

    /// The object that is meant.
    pub(super) fn object(&self, row: &Row) -> Result<(Under, Uuid), ApiError> {
        let under = self.under(row)?;
        Ok((under, uuid(row.kind, self.uuid.as_deref().unwrap_or_default())?))
    }
}

/// What `look` finds of an object that must exist.
pub(super) fn read<R: Runtime, T>(
    api: &Api<R>,
    row: &Row,
    target: &Target,
    look: impl FnOnce(&crate::controller::State, &Uuid) -> Option<T>,
) -> Result<T, ApiError> {
    let (under, uuid) = target.object(row)?;
    let found = api.handle.read(|state| {
        let is_there = row.exists(&state.nib, under, &uuid) && target.sender.sees(&state.nib, row.kind, uuid);
        is_there.then(|| look(state, &uuid)).flatten()
    });
    found.ok_or_else(|| Refusal::NotFound { kind: row.kind, uuid }.into())
}

fn list<R: Runtime>(api: &Api<R>, row: &'static Row, target: &Target, uri: &Uri) -> Result<Response, ApiError> {
    let query = ListQuery::parse(row, &pairs(uri)?, &target.sender)?;
    let page = listing::list(&api.handle, row, target.under(row)?, &query, &target.sender)?;
    Ok(json::response(StatusCode::OK, &page))
}

fn show<R: Runtime>(api: &Api<R>, row: &Row, target: &Target, uri: &Uri) -> Result<Response, ApiError> {
    let shown = Shown::of_object(&pairs(uri)?);
    let value = read(api, row, target, |state, uuid| shown.render(row, state, uuid, &target.sender))?;
    Ok(json::response(StatusCode::OK, &value))
}

fn status<R: Runtime>(api: &Api<R>, row: &Row, view: &View, target: &Target) -> Result<Response, ApiError> {
    let value = read(api, row, target, |state, uuid| view.render(row, state, uuid, &target.sender))?;
    Ok(json::response(StatusCode::OK, &value))
}

/// The queues that the ports of a switch use.
fn queues<R: Runtime>(api: &Api<R>, row: &Row, target: &Target, uri: &Uri) -> Result<Response, ApiError> {
    let shown = Shown::of_list(&pairs(uri)?);
    let page = read(api, row, target, |state, switch| {
        let used: BTreeSet<Uuid> = state.nib.ports_of(*switch).filter_map(|(_, port)| port.config.queue_uuid).collect();
        let queue = self::row(Kind::LogicalQueue);
        let sender = &target.sender;
        let seen = used.iter().filter(|uuid| sender.sees(&state.nib, Kind::LogicalQueue, **uuid));
        let results: Vec<Value> = seen.filter_map(|uuid| shown.render(queue, state, uuid, sender)).collect();
        Some(listing::Page { result_count: Some(results.len()), page_cursor: None, results })
    })?;
    Ok(json::response(StatusCode::OK, &page))
}

/// What makes a request that is sent again the same request: `Idempotency-Key`, a word of the client's, on a request by the same
/// user, to the same place, with the same body (draft-ietf-httpapi-idempotency-key-header). A client that did not hear
/// what became of it sends it again, to whichever controller.
struct Once(Option<[String; 3]>);

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Longest key.
const KEY_MAX: usize = 255;

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Once {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, _: &S) -> Result<Once, ApiError> {
        let Some(value) = parts.headers.get(IDEMPOTENCY_KEY) else { return Ok(Once(None)) };
        let key = value.to_str().ok().filter(|key| (1..=KEY_MAX).contains(&key.len()));
        let key = key.ok_or_else(|| {
            ApiError::Invalid(format!("{IDEMPOTENCY_KEY}: it must be 1 to {KEY_MAX} characters of ASCII"))
        })?;
        let user = parts.extensions.get::<Authenticated>().map_or_else(String::new, |sender| sender.user.clone());
        Ok(Once(Some([user, parts.uri.path().to_string(), key.to_string()])))
    }
}

impl Once {
    /// The name of what the request makes: the same for the same request.
    fn name(&self, body: &Map<String, Value>) -> Option<Uuid> {
        let [user, path, key] = self.0.as_ref()?;
        let said = serde_json::json!([user, path, key, body]).to_string();
        Some(uuid::Builder::from_custom_bytes(Fingerprint::of(said.as_bytes()).head()).into_uuid())
    }
}

async fn create<R: Runtime>(
    api: &Api<R>,
    row: &Row,
    target: &Target,
    once: &Once,
    body: Map<String, Value>,
) -> Result<Response, ApiError> {
    let parent = match (target.under(row)?, row.kind.parent()) {
        (Under::Parent(uuid), Some(kind)) => {
            let exists = api.handle.read(|state| {
                self::row(kind).exists(&state.nib, Under::Any, &uuid) && target.sender.sees(&state.nib, kind, uuid)
            });
            Some(exists.then_some(uuid).ok_or(Refusal::NotFound { kind, uuid })?)
        }
        _ => None,
    };
    let name = once.name(&body);
    let mut object = read_object(row, body, parent)?;
    if let (Role::Tenant { tags }, Some(common)) = (&target.sender.role, object.common_mut())
        && !common.tags.iter().any(|tag| tags.contains(tag))
    {
        common.tags.extend(tags.first().cloned());
        object.validate()?;
    }
    let uuid = name.unwrap_or_else(R::uuid);
    match api.submit(&target.sender, Command::Create { uuid, object }).await {
        // It was carried out when it was sent before.
        Err(SubmitError::Refused(Refusal::Exists { .. })) if name.is_some() => {}
        outcome => _ = outcome?,
    }
    whole(api, row, uuid, StatusCode::CREATED)
}

/// The object as it is now; 404 if it was deleted meanwhile.
fn whole<R: Runtime>(api: &Api<R>, row: &Row, uuid: Uuid, status: StatusCode) -> Result<Response, ApiError> {
    let map = api.handle.read(|state| row.render(&state.nib, &uuid));
    let map = map.ok_or(Refusal::NotFound { kind: row.kind, uuid })?;
    Ok(json::response(status, &map))
}

async fn change<R: Runtime>(
    api: &Api<R>,
    row: &Row,
    target: &Target,
    body: Map<String, Value>,
) -> Result<Response, ApiError> {
    let uuid = modify(api, row, target, |stored| merge(stored, body.clone())).await?;
    whole(api, row, uuid, StatusCode::OK)
}

/// Makes of an object what `by` makes of its fields, again if it changed meanwhile; says which it was.
pub(super) async fn modify<R: Runtime>(
    api: &Api<R>,
    row: &Row,
    target: &Target,
    by: impl Fn(Map<String, Value>) -> Map<String, Value>,
) -> Result<Uuid, ApiError> {
    let (_, uuid) = target.object(row)?;
    let mut merges = 0;
    loop {
        let (stored, parent, read_at) = read(api, row, target, |state, uuid| {
            let parent = state.nib.parent(row.kind, *uuid);
            Some(((row.fields)(&state.nib, uuid)?, parent, state.nib.modified(row.kind, *uuid)?))
        })?;
        let object = read_object(row, by(stored), parent)?;
        merges += 1;
        match api.submit(&target.sender, Command::Update { uuid, object, read_at }).await {
            Err(SubmitError::Refused(Refusal::Stale { .. })) if merges < MERGES_MAX => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(uuid),
        }
    }
}

async fn remove<R: Runtime>(api: &Api<R>, row: &Row, target: &Target) -> Result<Response, ApiError> {
    let uuid = read(api, row, target, |_, uuid| Some(*uuid))?;
    api.submit(&target.sender, Command::Delete { kind: row.kind, uuid }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `changes` on top of `stored`.
pub(super) fn merge(mut stored: Map<String, Value>, changes: Map<String, Value>) -> Map<String, Value> {
    stored.extend(changes);
    stored
}

/// An object of a kind, from what a client sent: what the server sets is ignored, null unsets.
fn read_object(row: &Row, mut body: Map<String, Value>, parent: Option<Uuid>) -> Result<Object, ApiError> {
    match (body.get("type"), row.only_type()) {
        // The path says what it is; one client leaves the type of an attachment in a port that it changes.
        (_, Some(_)) => _ = body.remove("type"),
        (Some(Value::String(name)), None) if row.types.contains(&name.as_str()) => {}
        (_, None) => return Err(ApiError::Invalid(format!("type: it must be {} here", row.types.join(" or ")))),
    }
    body.retain(|name, value| name != "uuid" && !name.starts_with('_') && !value.is_null());
    let object = (row.parse)(body, parent)?;
    object.validate()?;
    certificate::check(&object)?;
    Ok(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn changes() -> impl Strategy<Value = Map<String, Value>> {
        let name = prop_oneof![Just(Value::Null), "[a-z]{0,5}".prop_map(Value::from)];
        let flag = prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from)];
        let tags = proptest::collection::vec("[a-z]{1,3}", 0..3);
        let tags = tags.prop_map(|tags| tags.into_iter().map(|tag| serde_json::json!({ "tag": tag })).collect());
        let junk = Just(serde_json::json!({"deep": [1, {"er": null}]}));
        let pairs = (name, flag, tags, junk, any::<[bool; 5]>());
        pairs.prop_map(|(name, flag, tags, junk, present): (_, _, Value, _, [bool; 5])| {
            let all = [("display_name", name), ("admin_status_enabled", flag), ("tags", tags), ("zz", junk.clone())];
            let all = all.into_iter().chain([("_href", junk)]);
            all.zip(present).filter(|(_, p)| *p).map(|((k, v), _)| (k.to_string(), v)).collect()
        })
    }

    fn stored(body: Map<String, Value>) -> Map<String, Value> {
        match read_object(row(Kind::LogicalPort), body, Some(Uuid::nil())).expect("lawful") {
            Object::LogicalPort { config, .. } => json::object(&config),
            other => panic!("a port, and it is {other:?}"),
        }
    }

    proptest! {
        #[test]
        fn absent_fields_keep_their_values_and_sent_ones_do_not(first in changes(), second in changes()) {
            let before = stored(first);
            let after = stored(merge(before.clone(), second.clone()));
            let fresh = stored(second.clone());
            for (name, value) in &after {
                let want = if second.contains_key(name) { &fresh } else { &before };
                prop_assert_eq!(Some(value), want.get(name), "{}", name);
            }
        }

        #[test]
        fn merging_twice_is_merging_once_and_nothing_is_no_change(first in changes(), second in changes()) {
            let before = stored(first);
            prop_assert_eq!(&stored(merge(before.clone(), Map::new())), &before);
            let once = stored(merge(before, second.clone()));
            prop_assert_eq!(&stored(merge(once.clone(), second)), &once);
            prop_assert_eq!(&stored(merge(once.clone(), once.clone())), &once);
        }
    }
}
