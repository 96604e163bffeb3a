//! The contract of the API, request by request, without a socket. Start at [`TestServer`].

mod clients;
mod hostile;
mod kept;
mod lists;
mod roles;
mod watch;

use super::auth::hash_password;
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
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(&HostDisk(directory.path().to_path_buf())).expect("an empty store");
        let config = MemberConfig::alone(uuid::Uuid::from_u128(1), SNAPSHOT_EVERY);
        let Started { handle, member, core, .. } = controller::start::<Tokio>(store, &config).await.expect("it starts");
        Tokio::spawn("core", async move { core.await.expect("the store works") });
        let password_hash = hash_password::<Tokio>(PASSWORD);
        handle.submit(Command::SetUser { name: "admin".into(), password_hash }).await.expect("a user");
        let parts = (handle.clone(), member.clone());
        let router = router::<Tokio>(handle, member, ApiConfig::default()).expect("a router");
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
async fn a_request_that_is_sent_again_makes_nothing_new() {
    let server = TestServer::new().await;
    let post = async |path: &str, body: &str, key: &str| {
        let headers = [("cookie", server.cookie.as_str()), ("idempotency-key", key)];
        let answer = server.send_with(Method::POST, path, body, &headers).await;
        (answer.status, answer.json()["uuid"].as_str().unwrap_or_default().to_string())
    };
    let path = "/ws.v1/lswitch";
    let first = post(path, r#"{"display_name": "a"}"#, "k1").await;
    assert_eq!(first.0, StatusCode::CREATED);
    assert_eq!(post(path, r#"{"display_name":"a"}"#, "k1").await, first);
    assert_ne!(post(path, r#"{"display_name": "a"}"#, "k2").await.1, first.1);
    assert_ne!(post(path, r#"{"display_name": "b"}"#, "k1").await.1, first.1, "it is another request");
    assert_eq!(post("/ws.v1/transport-zone", r#"{"display_name": "a"}"#, "k1").await.0, StatusCode::CREATED);
    assert_eq!(server.send(Method::GET, path, "").await.json()["result_count"], 3);
    assert_eq!(post(path, "{}", &"k".repeat(256)).await.0, StatusCode::BAD_REQUEST);
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
async fn methods_have_the_statuses_that_clients_insist_on() {
    let server = TestServer::new().await;
    let switch = server.create("/ws.v1/lswitch", json!({})).await;
    let path = format!("/ws.v1/lswitch/{switch}");
    assert_eq!(server.status(Method::PUT, "/ws.v1/lswitch", "{}").await, 405);
    assert_eq!(server.status(Method::POST, &path, "{}").await, 405);
    assert_eq!(server.status(Method::GET, "/ws.v1/lswitch/boo/lport/boo", "").await, 404);
    assert_eq!(server.status(Method::GET, "/ws.v1/nothing", "").await, 404);
    assert_eq!(server.status(Method::POST, "/ws.v1/lswitch", "").await, 201, "an empty body makes defaults");
    let answer = server.send(Method::DELETE, &path, "").await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
    assert_eq!(server.status(Method::DELETE, &path, "").await, 404);
}

#[tokio::test]
async fn answers_are_one_line_with_the_headers_of_the_product() {
    let server = TestServer::new().await;
    let answer = server.send(Method::POST, "/ws.v1/lswitch", r#"{"display_name": "web"}"#).await;
    assert!(answer.text.contains(r#", "display_name": "web", "#) && !answer.text.contains('\n'), "{}", answer.text);
    assert_eq!(answer.headers["server"], "NVP/4.2.1.35000");
    let generation: u64 = answer.headers["x-nvp-config-generation"].to_str().expect("text").parse().expect("a number");
    assert!(generation >= 2);
    let wait = |generation: u64| generation.to_string();
    for known in [wait(generation), wait(generation + 1000)] {
        let headers = [("cookie", server.cookie.as_str()), ("x-nvp-wait-for-config-generation", known.as_str())];
        let answer = server.send_with(Method::GET, "/ws.v1/lswitch", "", &headers).await;
        assert_eq!(answer.status, StatusCode::OK, "generation {known}");
    }
}

#[tokio::test]
async fn put_changes_what_it_names_and_nothing_else() {
    let server = TestServer::new().await;
    let tags = json!([{ "scope": "os_tid", "tag": "a" }]);
    let switch = server.create("/ws.v1/lswitch", json!({ "display_name": "web", "tags": tags })).await;
    let path = format!("/ws.v1/lswitch/{switch}");
    let renamed = server.put(&path, json!({ "display_name": "db" })).await;
    assert_eq!((&renamed["display_name"], &renamed["tags"]), (&json!("db"), &tags));
    // An object that was read, changed and put back, relations and all.
    let mut whole = server.get(&format!("{path}?relations=LogicalSwitchStatus")).await;
    assert_eq!(whole["_relations"]["LogicalSwitchStatus"]["lport_count"], 0);
    whole["port_isolation_enabled"] = json!(true);
    assert_eq!(server.put(&path, whole).await["port_isolation_enabled"], true);
    assert_eq!(server.put(&path, json!({ "tags": null })).await["tags"], json!([]), "null is unset");
    assert_eq!(server.status(Method::PUT, &path, r#"{"type": "LogicalRouterConfig"}"#).await, 400);
}

#[tokio::test]
async fn a_walk_over_pages_skips_nothing_that_was_there_throughout() {
    let server = TestServer::new().await;
    let mut stays = Vec::new();
    for _ in 0..25 {
        stays.push(server.create("/ws.v1/lswitch", json!({})).await);
    }
    let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = server.get(&format!("/ws.v1/lswitch?fields=uuid&_page_length=4{cursor}")).await;
        assert_eq!(page.get("result_count").is_some(), pages == 0, "the count is on the first page");
        seen.extend(uuids(&page));
        pages += 1;
        // The world changes between pages: one comes, and one that was listed already goes.
        server.create("/ws.v1/lswitch", json!({})).await;
        let listed = seen.iter().position(|uuid| stays.contains(uuid));
        if let Some(gone) = listed.map(|i| seen[i].clone()).filter(|_| pages % 2 == 0) {
            stays.retain(|uuid| *uuid != gone);
            assert_eq!(server.status(Method::DELETE, &format!("/ws.v1/lswitch/{gone}"), "").await, 204);
        }
        match page["page_cursor"].as_str() {
            Some(next) => cursor = format!("&_page_cursor={next}"),
            None => break,
        }
    }
    assert!(stays.iter().all(|uuid| seen.contains(uuid)));
    let unique: std::collections::BTreeSet<&String> = seen.iter().collect();
    assert_eq!(unique.len(), seen.len(), "nothing is listed twice");
    assert_eq!(server.status(Method::GET, "/ws.v1/lswitch?_page_cursor=!", "").await, 400);
}

#[tokio::test]
async fn lists_filter_by_tags_and_fields() {
    let server = TestServer::new().await;
    let tagged = |net: &str| json!({ "display_name": net, "tags": [{ "scope": "quantum_net_id", "tag": net }, { "scope": "quantum", "tag": "2014" }] });
    let a = server.create("/ws.v1/lswitch", tagged("net-a")).await;
    server.create("/ws.v1/lswitch", tagged("net-b")).await;
    server.create("/ws.v1/lswitch", json!({ "display_name": "plain" })).await;
    let query = "fields=uuid,lport_count&tag=net-a&tag_scope=quantum_net_id&_page_length=1000&tag_scope=quantum";
    let list = server.get(&format!("/ws.v1/lswitch?{query}")).await;
    assert_eq!(uuids(&list), std::slice::from_ref(&a));
    assert_eq!(list["results"][0]["type"], "LogicalSwitchConfig", "the type is always there");
    assert!(list["results"][0].get("display_name").is_none());
    for (query, count) in
        [("display_name=plain", 1), ("display_name=%21%3Dplain", 2), ("display_name=~net", 2), ("uuid=no", 0)]
    {
        let list = server.get(&format!("/ws.v1/lswitch?{query}")).await;
        assert_eq!(list["result_count"], count, "{query}");
    }
}

#[tokio::test]
async fn a_vif_is_attached_once() {
    let server = TestServer::new().await;
    let switch = server.create("/ws.v1/lswitch", json!({})).await;
    let ports = format!("/ws.v1/lswitch/{switch}/lport");
    let (a, b) = (server.create(&ports, json!({})).await, server.create(&ports, json!({})).await);
    let vif = json!({ "type": "VifAttachment", "vif_uuid": "v-1" });
    server.put(&format!("{ports}/{a}/attachment"), vif.clone()).await;
    assert_eq!(server.get(&format!("{ports}/{a}/attachment")).await["vif_uuid"], "v-1");
    assert_eq!(server.status(Method::PUT, &format!("{ports}/{b}/attachment"), &vif.to_string()).await, 409);
    assert_eq!(uuids(&server.get("/ws.v1/lswitch/*/lport?attachment_vif_uuid=v-1").await), std::slice::from_ref(&a));
    let status = server.get(&format!("{ports}/{a}/status")).await;
    assert_eq!((&status["link_status_up"], &status["fabric_status_up"]), (&json!(false), &json!(false)));
    assert_eq!(status["lswitch"]["uuid"], switch.as_str());
    let trace = server
        .send(
            Method::POST,
            "/ws.v1/trace",
            &json!({ "lport_uuid": a, "dl_src": "02:00:00:00:00:01", "dl_dst": "02:00:00:00:00:02" }).to_string(),
        )
        .await;
    assert_eq!(
        trace.json()["outcome"],
        "dropped by classify: no transport node has VIF v-1, which is attached to port ".to_string() + &a
    );
}

#[tokio::test]
async fn a_trace_fills_in_what_is_not_asked() {
    let server = TestServer::new().await;
    let switch = server.create("/ws.v1/lswitch", json!({})).await;
    let ports = format!("/ws.v1/lswitch/{switch}/lport");
    let pairs = |last: u8| {
        let mac = format!("02:00:00:00:00:{last:02x}");
        json!({ "allowed_address_pairs": [
            { "mac_address": mac, "ip_address": format!("10.0.0.{last}") },
            { "mac_address": mac, "ip_address": format!("fd00::{last:x}") },
        ] })
    };
    let (a, b) = (server.create(&ports, pairs(10)).await, server.create(&ports, pairs(11)).await);
    let ask = async |extra: Value| {
        let mut question = json!({ "lport_uuid": a });
        question.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        let answer = server.send(Method::POST, "/ws.v1/trace", &question.to_string()).await;
        (answer.status.as_u16(), answer.text)
    };
    let nothing = "nothing is attached to port";
    for asked in [
        json!({ "to": b }),
        json!({ "to": "fd00::b" }),
        json!({ "arp_tpa": "fd00::b" }),
        json!({ "dl_vlan": 4095, "to": b }),
    ] {
        let (status, text) = ask(asked.clone()).await;
        assert!(status == 200 && text.contains(nothing), "{asked}: {status} {text}");
    }
    let bad = [
        (json!({}), "dl_dst is missing"),
        (json!({ "to": b, "dl_vlan": 4096 }), "dl_vlan is 4096"),
        (json!({ "to": "10.0.0.11", "nw_src": "fd00::a" }), "not of one IP version"),
        (json!({ "arp_tpa": "fd00::b", "nw_src": "10.0.0.10" }), "not of one IP version"),
    ];
    for (asked, why) in bad {
        let (status, text) = ask(asked.clone()).await;
        assert!(status == 400 && text.contains(why), "{asked}: {status} {text}");
    }
}

#[tokio::test]
async fn references_are_kept_whole() {
    let server = TestServer::new().await;
    let zone = server.create("/ws.v1/transport-zone", json!({})).await;
    let zones = json!([{ "zone_uuid": zone, "transport_type": "gre" }]);
    let switch = server.create("/ws.v1/lswitch", json!({ "transport_zones": zones })).await;
    assert_eq!(server.status(Method::DELETE, &format!("/ws.v1/transport-zone/{zone}"), "").await, 409);
    assert_eq!(server.status(Method::DELETE, &format!("/ws.v1/lswitch/{switch}"), "").await, 204);
    assert_eq!(server.status(Method::DELETE, &format!("/ws.v1/transport-zone/{zone}"), "").await, 204);
    let unknown = json!({ "transport_zones": zones });
    assert!([400, 404].contains(&server.status(Method::POST, "/ws.v1/lswitch", &unknown.to_string()).await));
    let bad = json!({ "credential": { "type": "SecurityCertificateCredential", "client_certificate": { "pem_encoded": "x" } } });
    let answer = server.send(Method::POST, "/ws.v1/transport-node", &bad.to_string()).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.text.contains("Invalid SecurityCertificate"), "{}", answer.text);
}

#[tokio::test]
async fn a_node_has_flows_and_a_status() {
    let server = TestServer::new().await;
    let node = server.create("/ws.v1/transport-node", json!({ "display_name": "hv1" })).await;
    let flows = server.get(&format!("/ws.v1/transport-node/{node}/flows")).await;
    assert!(flows["flows"][0].as_str().is_some_and(|flow| flow.starts_with("table=admission,")), "{flows}");
    let status = server.get(&format!("/ws.v1/transport-node/{node}/status")).await;
    assert_eq!(status["connection"]["connected"], false);
    let realisation = server.get("/ws.v1/realisation?timeout_ms=10").await;
    assert_eq!((&realisation["realised"], &realisation["late"][0]["display_name"]), (&json!(false), &json!("hv1")));
}

#[tokio::test]
async fn hostile_bodies_get_a_clear_refusal() {
    let server = TestServer::new().await;
    let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    let long = format!(r#"{{"display_name": "{}"}}"#, "x".repeat(10 << 20));
    let bodies = [
        ("not JSON", "{", 400),
        ("no object", "[]", 400),
        ("deep", &deep, 400),
        ("too long", &long, 413),
        ("a wrong type", r#"{"port_isolation_enabled": 7}"#, 400),
        ("a huge number", r#"{"port_isolation_enabled": 1e999}"#, 400),
        ("a NUL", "{\"display_name\": \"a\\u0000b\"}", 400),
        ("a long name", &format!(r#"{{"display_name": "{}"}}"#, "x".repeat(41)), 400),
        ("many tags", r#"{"tags": [{"tag":"1"},{"tag":"2"},{"tag":"3"},{"tag":"4"},{"tag":"5"},{"tag":"6"}]}"#, 400),
    ];
    for (what, body, status) in bodies {
        let answer = server.send(Method::POST, "/ws.v1/lswitch", body).await;
        assert_eq!(answer.status.as_u16(), status, "{what}: {}", answer.text);
        assert!(!answer.json()["error"].as_str().unwrap_or_default().is_empty(), "{what}");
    }
    assert_eq!(server.get("/ws.v1/lswitch").await["result_count"], 0, "nothing was made");
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
