//! The OpenAPI 3.1 document, the schemas under `/ws.v1/schema` and the methods under `/ws.v1/doc`: made from the table of
//! kinds, and from one list of what is served besides.
//!
//! Start at [`operations()`]; a test calls each of them on the router.

mod operation;
mod operations;
mod schemas;

pub(super) use schemas::{NamedSchema, named};

use super::error::ApiError;
use super::{Api, ROOT, json};
use crate::runtime::Runtime;
use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use operations::operations;
use schemas::schemas;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// The document. It says nothing that depends on the controller, so there is one.
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for operation in operations() {
        let methods = paths.entry(operation.path.clone()).or_default();
        let earlier = methods.insert(operation.method.to_string(), operation.document());
        assert!(earlier.is_none(), "{} {} is documented once", operation.method, operation.path);
    }
    serde_json::json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Selvedge", "version": env!("CARGO_PKG_VERSION"), "license": { "name": "Apache-2.0" },
            "description": "The northbound API of the network virtualization controller, in the dialect of NVP's /ws.v1.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "session": {
                    "type": "apiKey", "in": "cookie", "name": "nvp_sessionid", "description": "Set by /ws.v1/login."
                },
                "basic": { "type": "http", "scheme": "basic" },
            },
        },
    })
});

/// `GET /ws.v1/openapi.json`.
pub(super) async fn document() -> Response {
    json::response(StatusCode::OK, &*DOCUMENT)
}

/// `/ws.v1/schema`.
pub(super) fn routes<R: Runtime>() -> Router<Arc<Api<R>>> {
    Router::new()
        .route("/ws.v1/schema", get(list_schemas))
        .route("/ws.v1/schema/{type}", get(show_schema))
        .route("/ws.v1/doc/method", get(list_methods))
        .route("/ws.v1/doc/method/{name}", get(show_method))
}

/// Each method on each path, under the name that the document has for it.
async fn list_methods() -> Response {
    let href = |name: &str| format!("{ROOT}/doc/method/{name}");
    let results: Vec<Value> = operations()
        .iter()
        .map(|operation| {
            let name = operation.id();
            serde_json::json!({ "name": name, "_href": href(&name), "summary": operation.summary })
        })
        .collect();
    let count = results.len();
    json::response(StatusCode::OK, &serde_json::json!({ "results": results, "result_count": count }))
}

/// One of them, as the document has it.
async fn show_method(Path(name): Path<String>) -> Result<Response, ApiError> {
    let operation = operations().into_iter().find(|operation| operation.id() == name);
    let missing = || ApiError::NotFound(format!("method {}", name.chars().take(64).collect::<String>()));
    let operation = operation.ok_or_else(missing)?;
    let mut shown = DOCUMENT["paths"][&operation.path][operation.method].clone();
    shown["name"] = name.into();
    shown["method"] = operation.method.to_uppercase().into();
    shown["path"] = operation.path.into();
    Ok(json::response(StatusCode::OK, &shown))
}

async fn list_schemas() -> Response {
    let schemas = DOCUMENT["components"]["schemas"].as_object().into_iter().flatten();
    let results: Vec<Value> = schemas
        .map(|(name, _)| serde_json::json!({ "name": name, "_href": format!("{ROOT}/schema/{name}") }))
        .collect();
    let count = results.len();
    json::response(StatusCode::OK, &serde_json::json!({ "results": results, "result_count": count }))
}

/// One schema, whole: what it refers to is in its `$defs`.
async fn show_schema(Path(name): Path<String>) -> Result<Response, ApiError> {
    let all = &DOCUMENT["components"]["schemas"];
    let missing = || ApiError::NotFound(format!("schema {}", name.chars().take(64).collect::<String>()));
    let mut schema = all.get(&name).cloned().ok_or_else(missing)?;
    schema["$defs"] = all.clone();
    let local = String::from_utf8(json::line(&schema)).expect("JSON is UTF-8");
    let local = local.replace("#/components/schemas/", "#/$defs/");
    // One client reads nothing that is called otherwise, such as application/schema+json.
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], local).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(map) => {
                    found.extend(map.get("$ref").and_then(Value::as_str).map(String::from));
                    map.values().for_each(|inner| references(inner, found));
                }
                Value::Array(items) => items.iter().for_each(|inner| references(inner, found)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        references(&DOCUMENT, &mut found);
        assert!(found.len() > 20);
        for reference in found {
            let name = reference.strip_prefix("#/components/schemas/").expect("a reference to a schema");
            assert!(DOCUMENT["components"]["schemas"].get(name).is_some(), "{reference}");
        }
    }

    #[test]
    fn operation_ids_are_unique() {
        let ids: Vec<String> = operations().iter().map(|operation| operation.id()).collect();
        let unique: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len());
    }

    #[test]
    fn the_document_is_as_reviewed() {
        insta::with_settings!({ snapshot_path => "../../../../snapshots", prepend_module_to_snapshot => false }, {
            insta::assert_json_snapshot!("api__openapi", *DOCUMENT);
        });
    }
}
