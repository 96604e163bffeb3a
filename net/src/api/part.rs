//! A part of an object that has a place of its own: `lservices-node/<uuid>/dhcp`, and the like.
//!
//! It is a field of the object, and changed as the object is. Where a part lists the hosts that are served, `POST` with
//! `action=add_host` or `action=remove_host` changes one of them. Start at [`routes`].

use super::error::ApiError;
use super::kinds::{Part, Row, schema_href};
use super::query::pairs;
use super::resources::{Target, merge, modify, read};
use super::{Api, json};
use crate::controller::State as ControllerState;
use crate::runtime::Runtime;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use serde_json::{Map, Value};
use std::sync::Arc;
use uuid::Uuid;

/// GET and PUT; POST if there are hosts.
pub(super) fn routes<R: Runtime>(row: &'static Row, part: &'static Part) -> MethodRouter<Arc<Api<R>>> {
    let routes = get(async move |State(api): State<Arc<Api<R>>>, path: Target| show(&api, row, part, &path)).put(
        async move |State(api): State<Arc<Api<R>>>, path: Target, body: Body| {
            let body = json::body(body).await?;
            change(&api, row, part, &path, |stored| merge(stored, body.clone())).await
        },
    );
    let Some(host) = &part.host else { return routes };
    routes.post(async move |State(api): State<Arc<Api<R>>>, path: Target, uri: Uri, body: Body| {
        let action = Action::asked(&uri)?;
        let entry = json::body(body).await?;
        change(&api, row, part, &path, |stored| action.apply(host.key, stored, &entry)).await
    })
}

fn show<R: Runtime>(api: &Api<R>, row: &Row, part: &Part, target: &Target) -> Result<Response, ApiError> {
    Ok(json::response(StatusCode::OK, &read(api, row, target, |state, uuid| render(row, part, state, uuid))?))
}

fn render(row: &Row, part: &Part, state: &ControllerState, uuid: &Uuid) -> Option<Value> {
    let mut map = stored((row.fields)(&state.nib, uuid)?.remove(part.field));
    map.insert("type".into(), part.type_name.into());
    map.insert("_href".into(), format!("{}/{}", row.href(&state.nib, uuid)?, part.segment).into());
    map.insert("_schema".into(), schema_href(part.type_name).into());
    Some(Value::Object(map))
}

fn stored(part: Option<Value>) -> Map<String, Value> {
    match part {
        Some(Value::Object(map)) => map,
        None | Some(_) => Map::new(),
    }
}

/// Changes a part, and answers with what it is then.
async fn change<R: Runtime>(
    api: &Api<R>,
    row: &Row,
    part: &Part,
    target: &Target,
    by: impl Fn(Map<String, Value>) -> Map<String, Value>,
) -> Result<Response, ApiError> {
    modify(api, row, target, |mut object| {
        let mut changed = by(stored(object.remove(part.field)));
        changed.retain(|name, value| name != "type" && !name.starts_with('_') && !value.is_null());
        object.insert(part.field.into(), Value::Object(changed));
        object
    })
    .await?;
    show(api, row, part, target)
}

/// What is done with a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// It is served from now on, in place of one that is known by the same.
    Add,
    /// It is not served any more.
    Remove,
}

impl Action {
    fn asked(uri: &Uri) -> Result<Action, ApiError> {
        let action = pairs(uri)?.into_iter().find(|(name, _)| name == "action").map(|(_, value)| value);
        match action.as_deref() {
            Some("add_host") => Ok(Action::Add),
            Some("remove_host") => Ok(Action::Remove),
            Some(_) | None => Err(ApiError::Invalid("action: it must be add_host or remove_host".into())),
        }
    }

    /// The part with the host added, or without the hosts that are as is said.
    fn apply(self, key: &str, mut part: Map<String, Value>, entry: &Map<String, Value>) -> Map<String, Value> {
        let mut hosts = match part.remove("hosts") {
            Some(Value::Array(hosts)) => hosts,
            None | Some(_) => Vec::new(),
        };
        match self {
            Action::Add => {
                hosts.retain(|host| host.get(key) != entry.get(key));
                hosts.push(Value::Object(entry.clone()));
            }
            Action::Remove => {
                // What only one of both says is no difference.
                let agrees =
                    |host: &Value| entry.iter().all(|(name, said)| host.get(name).is_none_or(|own| own == said));
                let is_meant =
                    |host: &Value| entry.contains_key(key) && host.get(key) == entry.get(key) && agrees(host);
                hosts.retain(|host| !is_meant(host));
            }
        }
        part.insert("hosts".into(), Value::Array(hosts));
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn hosts_are_added_in_place_of_their_like_and_removed_if_they_are_as_is_said() {
        let object = |value: Value| value.as_object().expect("an object").clone();
        let host = |mac: &str, ip: &str| object(json!({"mac_address": mac, "ip_address": ip}));
        let part = object(json!({"options": [1]}));
        let part = Action::Add.apply("mac_address", part, &host("a", "1"));
        let part = Action::Add.apply("mac_address", part, &host("b", "2"));
        let part = Action::Add.apply("mac_address", part, &host("a", "3"));
        let both = json!({"options": [1], "hosts": [host("b", "2"), host("a", "3")]});
        assert_eq!(Value::Object(part.clone()), both);
        let same = Action::Remove.apply("mac_address", part.clone(), &host("a", "1"));
        assert_eq!(same, part, "it has another address by now");
        let same = Action::Remove.apply("mac_address", part.clone(), &Map::new());
        assert_eq!(same, part, "nobody is meant");
        let left = Action::Remove.apply("mac_address", part, &object(json!({"mac_address": "a"})));
        assert_eq!(left["hosts"], json!([host("b", "2")]));
    }
}
