//! The OpenAPI 3.1 document and the schemas under `/ws.v1/schema`: made from the table of kinds, and from one list
//! of what is served besides.
//!
//! Start at [`operations`]; a test calls each of them on the router.

use super::error::ApiError;
use super::kinds::{Below, KINDS, Part, Row};
use super::query::COMMON;
use super::schema;
use super::{Api, ROOT, json};
use crate::runtime::Runtime;
use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use selvedge_core::nib::{Attachment, Kind};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use utoipa::ToSchema;

/// A schema and its name.
pub(super) type NamedSchema = (String, Value);

/// A type's schema, after those it refers to.
pub(super) fn named<T: ToSchema>() -> Vec<NamedSchema> {
    let mut schemas = Vec::new();
    T::schemas(&mut schemas);
    schemas.push((T::name().into_owned(), T::schema()));
    let json = |schema| serde_json::to_value(schema).expect("a schema is JSON");
    schemas.into_iter().map(|(name, schema)| (name, json(schema))).collect()
}

/// Something that can be asked of the API.
struct Operation {
    method: &'static str,
    path: String,
    summary: String,
    /// Names and meanings of what the query string may say.
    query: Vec<(&'static str, &'static str)>,
    /// Schemas that the body may have.
    body: Vec<&'static str>,
    /// What the body must say, since it makes an object and that has no default.
    needed: Vec<Value>,
    status: u16,
    answer: Answer,
    /// Whether it needs a session.
    session: bool,
}

const PLAIN: &str = "text/plain";
const JSON_SCHEMA: &str = "application/schema+json";
const BYTES: &str = "application/octet-stream";
const EVENTS: &str = "text/event-stream";
const OPEN_METRICS: &str = "application/openmetrics-text";

/// What comes back.
enum Answer {
    Nothing,
    /// Text of this media type.
    Text(&'static str),
    /// JSON without a schema of its own.
    Json,
    /// A JSON schema.
    Schema,
    /// Something of one of these schemas.
    One(Vec<&'static str>),
    /// A page of these.
    List(Vec<&'static str>),
}

const SHOWN: [(&str, &str); 2] = [
    ("fields", "The fields to send: `*`, or names with commas between. Names that do not exist are ignored."),
    ("relations", "What to add as `_relations`: names with commas between."),
];

const PAGING: [(&str, &str); 2] = [
    ("_page_length", "Most objects on the page: 1000 by default, 5000 at most; 0 asks only how many there are."),
    ("_page_cursor", "Where the page begins: `page_cursor` of the page before."),
];

const FILTER: &str = "Keep what equals the value. It may begin with an operator: `=`, `!=`, `~` (contains, or matches if \
                      there is a `*`), `!~`.";

const TIME_FILTER: &str =
    "Keep what was last changed then: seconds since 1970, after `=`, `!=`, `<`, `<=`, `>` or `>=`.";

fn get_one(path: &str, summary: &str, type_name: &'static str) -> Operation {
    Operation {
        method: "get",
        path: path.to_string(),
        summary: summary.to_string(),
        query: Vec::new(),
        body: Vec::new(),
        needed: Vec::new(),
        status: 200,
        answer: Answer::One(vec![type_name]),
        session: true,
    }
}

/// Everything that is served.
fn operations() -> Vec<Operation> {
    KINDS.iter().flat_map(of_kind).chain(besides()).collect()
}

fn of_kind(row: &Row) -> Vec<Operation> {
    let (list, kind) = (row.path(), row.kind);
    let types = || row.types.to_vec();
    let one = |path: &str, summary: String| Operation { answer: Answer::One(types()), ..get_one(path, &summary, "") };
    let object = format!("{list}/{{uuid}}");
    let of_all = COMMON.into_iter().filter(|name| row.tagged || !name.starts_with("tag"));
    let filters = of_all.chain(row.filters.iter().map(|filter| filter.name));
    let filters = filters.map(|filter| (filter, if filter == "last_modified" { TIME_FILTER } else { FILTER }));
    let all = PAGING.into_iter().chain(SHOWN).chain(filters).collect();
    let mut operations = vec![
        Operation { query: all, answer: Answer::List(types()), ..one(&list, format!("List {kind}s")) },
        Operation {
            method: "post",
            body: types(),
            needed: needed(row),
            status: 201,
            ..one(&list, format!("Make a {kind}"))
        },
        Operation { query: SHOWN.to_vec(), ..one(&object, format!("Show a {kind}")) },
        Operation {
            method: "put",
            body: types(),
            ..one(&object, format!("Change a {kind}: fields left out keep their values"))
        },
        Operation {
            method: "delete",
            status: 204,
            answer: Answer::Nothing,
            ..one(&object, format!("Remove a {kind}"))
        },
    ];
    operations.extend(row.below.iter().flat_map(|below| of_below(row, below, &object)));
    operations
}

fn of_below(row: &Row, below: &Below, object: &str) -> Vec<Operation> {
    let (path, kind) = (format!("{object}/{}", below.segment()), row.kind);
    match below {
        Below::Status(view) => vec![get_one(&path, &format!("What is known of a {kind}"), view.type_name)],
        Below::Attachment(types) => {
            let show = get_one(&path, &format!("Show what a {kind} is plugged into"), "");
            let plug = get_one(&path, &format!("Plug a {kind} in, or out"), "");
            let answer = || Answer::One(types.to_vec());
            vec![
                Operation { answer: answer(), ..show },
                Operation { method: "put", body: types.to_vec(), answer: answer(), ..plug },
            ]
        }
        Below::Statistic => {
            let show = get_one(&path, &format!("What passed a {kind}"), "LogicalPortStatistics");
            let reset = get_one(&path, &format!("Count what passes a {kind} from now on"), "");
            vec![show, Operation { method: "delete", status: 204, answer: Answer::Nothing, ..reset }]
        }
        Below::Part(part) => of_part(part, &path, kind),
        Below::Queues => {
            let show = get_one(&path, &format!("List the queues that the ports of a {kind} use"), "");
            vec![Operation { answer: Answer::List(vec!["LogicalQueueConfig"]), query: SHOWN.to_vec(), ..show }]
        }
    }
}

fn of_part(part: &Part, path: &str, kind: Kind) -> Vec<Operation> {
    let one = |summary: &str| get_one(path, &format!("{summary} `{}` of a {kind}", part.segment), part.type_name);
    let put = Operation { method: "put", body: vec![part.type_name], ..one("Change fields of") };
    let host = part.host.iter().map(|host| Operation {
        method: "post",
        query: vec![("action", "`add_host` or `remove_host`: what is done with the host in the body.")],
        body: vec![host.type_name],
        ..one("Add a host to, or remove it from,")
    });
    [one("Show"), put].into_iter().chain(host).collect()
}

fn besides() -> Vec<Operation> {
    let node = "/ws.v1/control-cluster/node/{uuid}";
    let plain = |path: &str, summary: &str, answer| Operation { answer, ..get_one(path, summary, "") };
    let open = |operation: Operation| Operation { session: false, ..operation };
    let login = plain("/ws.v1/login", "Open a session with `username` and `password`", Answer::Text(PLAIN));
    let wait = get_one("/ws.v1/realisation", "Wait until transport nodes hold the configuration", "Realisation");
    let wait_for = vec![
        ("revision", "Up to this revision; by default that of now."),
        ("since", "Only revisions after this one."),
        ("timeout_ms", "Longest wait in milliseconds: 5000 by default, 60000 at most."),
    ];
    vec![
        open(Operation { method: "post", ..login }),
        plain("/ws.v1/logout", "End the session", Answer::Text(PLAIN)),
        plain("/ws.v1/control-cluster", "Whether the cluster serves", Answer::Json),
        get_one("/ws.v1/control-cluster/status", "The state of the control cluster", "ControlClusterStatus"),
        Operation {
            query: SHOWN[..1].to_vec(),
            answer: Answer::List(vec!["ControlClusterNodeConfig"]),
            ..get_one("/ws.v1/control-cluster/node", "List the members of the control cluster", "")
        },
        get_one(node, "Show a member of the control cluster", "ControlClusterNodeConfig"),
        Operation {
            method: "delete",
            status: 204,
            answer: Answer::Nothing,
            ..get_one(node, "Dismiss a member: it stops by itself", "")
        },
        Operation {
            method: "put",
            status: 204,
            answer: Answer::Nothing,
            ..get_one(&format!("{node}/draining"), "Hand a member's transport nodes to others, or end that", "")
        },
        get_one(&format!("{node}/status"), "The state of a member", "ControlClusterNodeStatus"),
        get_one("/ws.v1/control-cluster/member", "How members are, as the leader sees them", "ClusterMembers"),
        plain(
            "/ws.v1/control-cluster/backup",
            "Everything, and the certificate authority: to be restored from",
            Answer::Text(BYTES),
        ),
        Operation {
            method: "post",
            status: 201,
            ..plain("/ws.v1/control-cluster/invitation", "Let one more controller join: makes a token", Answer::Json)
        },
        get_one("/ws.v1/control-cluster/maintenance", "Whether users may only read", "Maintenance"),
        Operation {
            method: "put",
            body: vec!["Maintenance"],
            ..get_one(
                "/ws.v1/control-cluster/maintenance",
                "Let users only read, or change things again",
                "Maintenance",
            )
        },
        Operation { answer: Answer::List(vec!["UserConfig"]), ..get_one("/ws.v1/user", "List the users", "") },
        get_one("/ws.v1/user/{name}", "Show a user", "UserConfig"),
        Operation {
            method: "put",
            body: vec!["UserWish"],
            ..get_one("/ws.v1/user/{name}", "Add a user (201), or change one: what is left out stays", "UserConfig")
        },
        Operation {
            method: "delete",
            status: 204,
            answer: Answer::Nothing,
            ..get_one("/ws.v1/user/{name}", "Remove a user: their sessions end", "")
        },
        Operation {
            query: vec![
                ("since", "What was done after this revision."),
                ("_page_length", "Most entries: 100 by default, 1000 at most."),
            ],
            answer: Answer::List(vec!["AuditEntry"]),
            ..get_one("/ws.v1/audit", "What users did, oldest first", "")
        },
        Operation {
            answer: Answer::List(vec!["RefusedPeer"]),
            ..get_one("/ws.v1/control-cluster/refused-peers", "Peers that were turned away as transport nodes", "")
        },
        Operation { query: wait_for, ..wait },
        get_one(
            "/ws.v1/transport-node/{uuid}/interface/{name}/statistic",
            "What passed an interface of a transport node",
            "TransportNodeInterfaceStatistics",
        ),
        plain("/ws.v1/transport-node/{uuid}/flows", "The flows that a transport node should hold", Answer::Json),
        Operation {
            method: "post",
            ..plain("/ws.v1/trace", "What becomes of a packet that a logical port's guest sends", Answer::Json)
        },
        Operation {
            query: vec![
                (
                    "since",
                    "Tell what changed after this revision; by default from now on. `Last-Event-ID` says the same.",
                ),
                ("kinds", "Only of these kinds, with commas between: `lswitch`, `lswitch/lport`."),
            ],
            ..plain("/ws.v1/watch", "Follow changes: `change`, `current` and `reset` events", Answer::Text(EVENTS))
        },
        plain("/ws.v1/schema", "List the schemas", Answer::Json),
        plain("/ws.v1/schema/{type}", "Show a schema", Answer::Schema),
        plain("/ws.v1/doc/method", "List what can be asked", Answer::Json),
        plain("/ws.v1/doc/method/{name}", "Show something that can be asked", Answer::Json),
        open(plain("/ws.v1/openapi.json", "This document", Answer::Json)),
        plain("/metrics", "What the controller does, for Prometheus", Answer::Text(OPEN_METRICS)),
        open(plain("/healthz", "The process answers", Answer::Json)),
        open(plain("/readyz", "The controller serves, and its revision", Answer::Json)),
    ]
}

/// The schemas of everything that is sent, by name.
fn schemas() -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for row in KINDS {
        let mut schemas = (row.schema)();
        let (_, own) = schemas.pop().expect("its own schema comes last");
        all.extend(schemas);
        all.extend(row.types.iter().map(|name| (name.to_string(), partial(own.clone()))));
        all.extend(row.status().into_iter().flat_map(|view| (view.schema)()));
        all.extend(row.parts().flat_map(|part| (part.schema)()));
    }
    // Of these, too, clients may ask for some fields only.
    all.extend(named::<schema::ControlClusterNodeConfig>().into_iter().map(|(name, own)| (name, partial(own))));
    for more in [
        named::<schema::Tag>(),
        named::<schema::NoAttachment>(),
        named::<schema::VifAttachment>(),
        named::<schema::PatchAttachment>(),
        named::<schema::L2GatewayAttachment>(),
        named::<schema::L3GatewayAttachment>(),
        named::<schema::VtepL2GatewayAttachment>(),
        named::<schema::DomainGatewayAttachment>(),
        named::<schema::ControlClusterStatus>(),
        named::<schema::ControlClusterNodeStatus>(),
        named::<schema::ClusterMembers>(),
        named::<schema::RefusedPeer>(),
        named::<schema::UserConfig>(),
        named::<schema::UserWish>(),
        named::<schema::AuditEntry>(),
        named::<schema::Maintenance>(),
        named::<schema::Realisation>(),
        named::<schema::LogicalPortStatistics>(),
        named::<schema::TransportNodeInterfaceStatistics>(),
        named::<schema::Error>(),
    ] {
        all.extend(more);
    }
    for row in KINDS {
        for name in row.types {
            add_properties(all.get_mut(*name).expect("each of its types has a schema"), row_head(row, name));
        }
        if let Some(view) = row.status() {
            let schema = all.get_mut(view.type_name).expect("its own name comes last in its schemas");
            add_properties(schema, head(view.type_name));
        }
        for part in row.parts() {
            let schema = all.get_mut(part.type_name).expect("its own name comes last in its schemas");
            add_properties(schema, head(part.type_name));
        }
    }
    let others = [
        "ControlClusterStatus",
        "ControlClusterNodeConfig",
        "ClusterMembers",
        "ControlClusterNodeStatus",
        "LogicalPortStatistics",
        "TransportNodeInterfaceStatistics",
    ];
    for name in Attachment::TYPES.into_iter().chain(others) {
        add_properties(all.get_mut(name).expect("added above"), head(name));
    }
    for (status, name, embedded) in [
        ("LogicalSwitchPortStatus", "lswitch", "LogicalSwitchConfig"),
        ("LogicalRouterPortStatus", "lrouter", "LogicalRouterConfig"),
    ] {
        let status = all.get_mut(status).expect("a kind has it");
        add_properties(status, [(name.to_string(), reference(embedded))].into_iter().collect());
    }
    all
}

/// A schema for what is sent in part: fields that were not asked for, or are to stay as they are, are left out.
fn partial(mut schema: Value) -> Value {
    if let Some(schema) = schema.as_object_mut() {
        schema.remove("required");
    }
    schema
}

/// What a body must say that makes an object of a kind.
fn needed(row: &Row) -> Vec<Value> {
    let own = (row.schema)().pop().and_then(|(_, own)| own["required"].as_array().cloned());
    let kind = row.only_type().is_none().then(|| "type".into());
    own.unwrap_or_default().into_iter().chain(kind).collect()
}

fn add_properties(schema: &mut Value, more: Map<String, Value>) {
    let properties = &mut schema["properties"];
    if properties.is_null() {
        *properties = Value::Object(Map::new());
    }
    properties.as_object_mut().expect("properties are an object").extend(more);
}

/// What everything that has a place of its own carries.
fn head(type_name: &str) -> Map<String, Value> {
    let text = |what: &str| serde_json::json!({ "type": "string", "readOnly": true, "description": what });
    [
        ("_href", text("Where it is served.")),
        ("_schema", text("Where its schema is served.")),
        ("type", serde_json::json!({ "type": "string", "enum": [type_name] })),
    ]
    .into_iter()
    .map(|(name, schema)| (name.to_string(), schema))
    .collect()
}

/// What all objects of a kind carry beyond their own fields.
fn row_head(row: &Row, type_name: &str) -> Map<String, Value> {
    let mut map = head(type_name);
    let uuid = serde_json::json!({
        "type": "string", "format": "uuid", "readOnly": true, "description": "Its name, set by the server."
    });
    map.insert("uuid".into(), uuid);
    let relations = serde_json::json!({
        "type": "object", "readOnly": true, "description": "What `relations` asked for, by name."
    });
    map.insert("_relations".into(), relations);
    if row.tagged {
        let name = serde_json::json!({
            "type": "string", "maxLength": 40, "description": "For people; the uuid if it was never given."
        });
        let tags = serde_json::json!({
            "type": "array", "maxItems": 5, "items": { "$ref": "#/components/schemas/Tag" },
            "description": "For other programs."
        });
        map.insert("display_name".into(), name);
        map.insert("tags".into(), tags);
    }
    map
}

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

fn reference(name: &str) -> Value {
    serde_json::json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn any_of(names: &[&'static str]) -> Value {
    match names {
        [one] => reference(one),
        several => serde_json::json!({ "oneOf": several.iter().map(|name| reference(name)).collect::<Vec<_>>() }),
    }
}

impl Operation {
    fn document(&self) -> Value {
        let mut document = serde_json::json!({
            "summary": self.summary,
            "operationId": self.id(),
            "parameters": self.parameters(),
            "responses": self.responses(),
            "security": if self.session { serde_json::json!([{ "session": [] }, { "basic": [] }]) } else { Value::Array(vec![]) },
        });
        if !self.body.is_empty() {
            let schema = match self.needed.is_empty() {
                true => any_of(&self.body),
                false => serde_json::json!({ "allOf": [any_of(&self.body), { "required": self.needed }] }),
            };
            document["requestBody"] = serde_json::json!({ "content": { "application/json": { "schema": schema } } });
        }
        document
    }

    /// The method and the words of the path.
    fn id(&self) -> String {
        let words = self.path.split(['/', '{', '}', '.', '-']).filter(|word| !word.is_empty());
        [self.method].into_iter().chain(words).collect::<Vec<_>>().join("_")
    }

    fn parameters(&self) -> Vec<Value> {
        let string = serde_json::json!({ "type": "string" });
        let in_path = self.path.split('/').filter_map(|word| word.strip_prefix('{')?.strip_suffix('}'));
        let in_path = in_path.map(|name| {
            let what = match name {
                "parent" => "The uuid of the object it belongs to; in lists, `*` means all.",
                "type" => "The name of a schema.",
                "name" => "Its name.",
                _ => "The object's uuid.",
            };
            serde_json::json!({ "name": name, "in": "path", "required": true, "description": what, "schema": string })
        });
        let in_query = self.query.iter().map(
            |(name, what)| serde_json::json!({ "name": name, "in": "query", "description": what, "schema": string }),
        );
        in_path.chain(in_query).collect()
    }

    fn responses(&self) -> Value {
        let json = |schema: Value| serde_json::json!({ "application/json": { "schema": schema } });
        let content = match &self.answer {
            Answer::Nothing => Value::Null,
            Answer::Text(media) => serde_json::json!({ *media: { "schema": { "type": "string" } } }),
            Answer::Json => json(serde_json::json!({ "type": "object" })),
            Answer::Schema => serde_json::json!({ JSON_SCHEMA: { "schema": { "type": "object" } } }),
            Answer::One(names) => json(any_of(names)),
            Answer::List(names) => json(page(names)),
        };
        let mut done = serde_json::json!({ "description": self.summary });
        if !content.is_null() {
            done["content"] = content;
        }
        let failed = serde_json::json!({ "description": "Why not.", "content": json(reference("Error")) });
        serde_json::json!({ self.status.to_string(): done, "default": failed })
    }
}

/// A page of a list.
fn page(names: &[&'static str]) -> Value {
    serde_json::json!({
        "type": "object",
        "required": ["results"],
        "properties": {
            "results": { "type": "array", "items": any_of(names) },
            "result_count": {
                "type": "integer", "description": "How many there are over all pages; on the first page only."
            },
            "page_cursor": {
                "type": "string", "description": "For `_page_cursor` of the next page; absent on the last."
            },
        },
    })
}

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
    let mut shown = operation.document();
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
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(JSON_SCHEMA))], local).into_response())
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
        let ids: Vec<String> = operations().iter().map(Operation::id).collect();
        let unique: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len());
    }

    #[test]
    fn the_document_is_as_reviewed() {
        insta::with_settings!({ snapshot_path => "../../../snapshots", prepend_module_to_snapshot => false }, {
            insta::assert_json_snapshot!("api__openapi", *DOCUMENT);
        });
    }
}
