//! The contract of the API, request by request, without a socket. Start at [`TestServer`].

mod hostile;
mod kept;
mod lists;
mod roles;
mod watch;

use super::auth::{Rate, hash_password};
use super::{ApiConfig, router};
use crate::cluster::member::SNAPSHOT_EVERY;
use crate::cluster::{Member, MemberConfig};
use crate::controller;
use crate::controller::{Handle, Started};
use crate::runtime::{HostDisk, Runtime, Tokio};
use crate::store::Store;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use selvedge_core::nib::Command;
use serde_json::{Value, json};
use tower::ServiceExt;

const PASSWORD: &str = "correct horse";

/// More than any test but one asks for.
const TENANT_RATE: Rate = Rate { per_second: 1000, burst: 3000 };

/// A controller on an empty store, and its API.
struct TestServer {
    router: Router,
    /// What another router would be made of.
    parts: (Handle, Member<Tokio>),
    cookie: String,
    _directory: tempfile::TempDir,
}

/// What came back.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{}: {error}", self.text))
    }
}

impl TestServer {
    async fn new() -> TestServer {
        TestServer::with_rate(TENANT_RATE).await
    }

    /// One where tenants may send so much.
    async fn with_rate(tenant_rate: Rate) -> TestServer {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(&HostDisk(directory.path().to_path_buf())).expect("an empty store");
        let config = MemberConfig::alone(uuid::Uuid::from_u128(1), SNAPSHOT_EVERY);
        let Started { handle, member, core, .. } = controller::start::<Tokio>(store, &config).await.expect("it starts");
        Tokio::spawn("core", async move { core.await.expect("the store works") });
        let password_hash = hash_password::<Tokio>(PASSWORD);
        handle.submit(Command::SetUser { name: "admin".into(), password_hash }).await.expect("a user");
        let parts = (handle.clone(), member.clone());
        let config = ApiConfig { tenant_rate, ..ApiConfig::default() };
        let router = router::<Tokio>(handle, member, config).expect("a router");
        let mut server = TestServer { router, parts, cookie: String::new(), _directory: directory };
        let answer = server.send(Method::POST, "/ws.v1/login", &format!("username=admin&password={PASSWORD}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        // The whole header, attributes and all, as one client sends it back.
        server.cookie = answer.headers["set-cookie"].to_str().expect("text").to_string();
        server
    }

    async fn send(&self, method: Method, path: &str, body: &str) -> Answer {
        self.send_with(method, path, body, &[("cookie", &self.cookie)]).await
    }

    async fn send_with(&self, method: Method, path: &str, body: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_string())).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        Answer { status: parts.status, headers: parts.headers, text }
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.send(Method::GET, path, "").await;
        assert_eq!(answer.status, StatusCode::OK, "GET {path}: {}", answer.text);
        answer.json()
    }

    async fn create(&self, path: &str, body: Value) -> String {
        let answer = self.send(Method::POST, path, &body.to_string()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "POST {path}: {}", answer.text);
        answer.json()["uuid"].as_str().expect("a uuid").to_string()
    }

    async fn put(&self, path: &str, body: Value) -> Value {
        let answer = self.send(Method::PUT, path, &body.to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "PUT {path}: {}", answer.text);
        answer.json()
    }

    async fn status(&self, method: Method, path: &str, body: &str) -> u16 {
        self.send(method, path, body).await.status.as_u16()
    }
}

fn uuids(list: &Value) -> Vec<String> {
    let results = list["results"].as_array().expect("results");
    results.iter().map(|object| object["uuid"].as_str().expect("a uuid").to_string()).collect()
}

#[tokio::test]
async fn a_session_is_one_on_every_controller_until_it_is_ended_on_any() {
    let here = TestServer::new().await;
    let (handle, member) = here.parts.clone();
    let router = router::<Tokio>(handle.clone(), member.clone(), ApiConfig::default()).expect("a router");
    let there = TestServer {
        router,
        parts: (handle, member),
        cookie: here.cookie.clone(),
        _directory: tempfile::tempdir().expect("made"),
    };
    assert_eq!(there.send(Method::GET, "/ws.v1/lswitch", "").await.status, StatusCode::OK);
    assert_eq!(there.send(Method::GET, "/ws.v1/logout", "").await.status, StatusCode::OK);
    assert_eq!(here.send(Method::GET, "/ws.v1/lswitch", "").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn every_resource_needs_a_session() {
    let server = TestServer::new().await;
    let paths = [
        "/ws.v1/lswitch",
        "/ws.v1/control-cluster/status",
        "/ws.v1/lswitch/x/lport/y",
        "/ws.v1/realisation",
        "/metrics",
    ];
    for path in paths {
        let answer = server.send_with(Method::GET, path, "", &[]).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
        assert!(answer.headers.contains_key("content-type"), "{path}");
    }
    let basic = |user: &str| format!("Basic {user}");
    // admin:correct horse, and admin:wrong
    let good = [("authorization", basic("YWRtaW46Y29ycmVjdCBob3JzZQ=="))];
    let bad = [("authorization", basic("YWRtaW46d3Jvbmc="))];
    let status = async |headers: &[(&str, String)]| {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        server.send_with(Method::GET, "/ws.v1/lswitch", "", &headers).await.status.as_u16()
    };
    assert_eq!((status(&good).await, status(&bad).await), (200, 401));
    let answer = server.send_with(Method::POST, "/ws.v1/login", "username=admin&password=wrong", &[]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(server.status(Method::GET, "/ws.v1/logout", "").await, 200);
    assert_eq!(server.status(Method::GET, "/ws.v1/lswitch", "").await, 401, "the session is over");
}

#[tokio::test]
async fn metrics_tell_what_was_done() {
    let server = TestServer::new().await;
    server.create("/ws.v1/lswitch", json!({"display_name": "a"})).await;
    assert_eq!(server.status(Method::GET, "/ws.v1/lswitch/x", "").await, 404);
    assert_eq!(server.status(Method::from_bytes(b"MADEUP").expect("a method"), "/nowhere", "").await, 404);
    let answer = server.send(Method::GET, "/metrics", "").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.headers["content-type"].to_str().expect("text").starts_with("application/openmetrics-text"));
    for line in [
        r#"selvedge_api_request_duration_seconds_count{method="POST",route="/ws.v1/lswitch",status="201"} 1"#,
        r#"selvedge_api_request_duration_seconds_count{method="GET",route="/ws.v1/lswitch/{uuid}",status="404"} 1"#,
        r#"selvedge_api_request_duration_seconds_count{method="other",route="none",status="404"} 1"#,
        "selvedge_logical_fragments 2",
        "selvedge_engine_fragments_computed_total 1",
        "selvedge_flow_mods_total 0",
        "# EOF",
    ] {
        assert!(answer.text.lines().any(|one| one == line), "{line} is not in\n{}", answer.text);
    }
}

#[tokio::test]
async fn what_the_document_says_is_served() {
    let server = TestServer::new().await;
    let document = server.get("/ws.v1/openapi.json").await;
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().expect("paths");
    for (path, methods) in paths {
        for method in methods.as_object().expect("methods").keys().filter(|name| *name != "parameters") {
            let uuid = "00000000-0000-0000-0000-000000000001";
            let concrete =
                path.replace("{uuid}", uuid).replace("{parent}", uuid).replace("{type}", "LogicalSwitchConfig");
            let method: Method = method.to_uppercase().parse().expect("a method");
            let answer = server.send_with(method.clone(), &concrete, "", &[]).await;
            assert_ne!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert!(!answer.text.contains(&format!("{concrete} here")), "{method} {path}: {}", answer.text);
        }
    }
}
