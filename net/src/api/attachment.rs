//! What a logical port is plugged into: `.../lport/<uuid>/attachment`. Start at [`routes`].

use super::error::ApiError;
use super::kinds::{Row, render_attachment};
use super::resources::{Target, read};
use super::{Api, json};
use crate::runtime::Runtime;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use selvedge_core::nib::{Attachment, Command};
use serde_json::{Map, Value};
use std::sync::Arc;

/// GET and PUT.
pub(super) fn routes<R: Runtime>(row: &'static Row, types: &'static [&'static str]) -> MethodRouter<Arc<Api<R>>> {
    get(async move |State(api): State<Arc<Api<R>>>, path: Target| show(&api, row, &path)).put(
        async move |State(api): State<Arc<Api<R>>>, path: Target, body: Body| {
            let attachment = parse(types, json::body(body).await?)?;
            plug(&api, row, &path, attachment).await
        },
    )
}

fn show<R: Runtime>(api: &Api<R>, row: &Row, target: &Target) -> Result<Response, ApiError> {
    Ok(json::response(StatusCode::OK, &read(api, row, target, render_attachment)?))
}

async fn plug<R: Runtime>(
    api: &Api<R>,
    row: &Row,
    target: &Target,
    attachment: Attachment,
) -> Result<Response, ApiError> {
    let port = read(api, row, target, |_, uuid| Some(*uuid))?;
    api.submit(&target.sender, Command::Attach { port, attachment }).await?;
    show(api, row, target)
}

/// What is to be plugged in: of one of these types.
fn parse(types: &[&str], body: Map<String, Value>) -> Result<Attachment, ApiError> {
    match body.get("type").and_then(Value::as_str) {
        Some(name) if types.contains(&name) => {}
        _ => return Err(ApiError::Invalid(format!("type: it must be one of {}", types.join(", ")))),
    }
    let attachment: Attachment = json::decode(body)?;
    attachment.validate()?;
    Ok(attachment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_or_refused_in_words() {
        let read = |body: Value| match body {
            Value::Object(map) => parse(&["NoAttachment", "VifAttachment"], map).map_err(|error| error.to_string()),
            other => panic!("an object, not {other}"),
        };
        let vif = Attachment::Vif { vif_uuid: "v-0".into() };
        let echoed = serde_json::json!({"type": "VifAttachment", "vif_uuid": "v-0", "_href": "x", "extra": 1});
        assert_eq!(read(echoed), Ok(vif));
        assert_eq!(read(serde_json::json!({"type": "NoAttachment"})), Ok(Attachment::None));
        let check = |body: Value, want: &str| {
            let error = read(body).expect_err("refused");
            assert!(error.contains(want), "{error}");
        };
        check(serde_json::json!({"type": "PatchAttachment"}), "it must be one of NoAttachment, VifAttachment");
        check(serde_json::json!({"type": "X"}), "it must be one of NoAttachment, VifAttachment");
        check(serde_json::json!({}), "it must be one of NoAttachment, VifAttachment");
        check(serde_json::json!({"type": "VifAttachment"}), "missing field `vif_uuid`");
        check(serde_json::json!({"type": "VifAttachment", "vif_uuid": 7}), "vif_uuid: invalid type");
        check(serde_json::json!({"type": "VifAttachment", "vif_uuid": ""}), "vif_uuid: must not be empty");
        check(serde_json::json!({"type": "VifAttachment", "vif_uuid": "a\u{0}"}), "vif_uuid: control characters");
    }
}
