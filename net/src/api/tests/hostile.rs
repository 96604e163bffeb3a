//! Bodies that nobody sends by mistake: each kind refuses them, by itself, at once, and goes on.

use super::*;
use crate::api::kinds::KINDS;

/// Wrong bodies, by what is wrong with them.
fn bodies() -> Vec<(&'static str, Vec<u8>)> {
    let nested = |open: &str, close: &str, n: usize| (open.repeat(n) + "1" + &close.repeat(n)).into_bytes();
    let text = |text: &str| text.as_bytes().to_vec();
    let long = "a".repeat(10 << 20);
    let tags: Vec<Value> = (0..20_000).map(|n| json!({"scope": "s", "tag": n.to_string()})).collect();
    vec![
        ("deep lists", nested("[", "]", 100_000)),
        ("deep objects", nested(r#"{"a":"#, "}", 100_000)),
        ("a deep field", [br#"{"tags": "#.to_vec(), nested("[", "]", 50_000), b"}".to_vec()].concat()),
        ("ten megabytes", format!(r#"{{"display_name": "{long}"}}"#).into_bytes()),
        ("many tags", json!({"tags": tags}).to_string().into_bytes()),
        ("a NUL", text(r#"{"display_name": "a\u0000b"}"#)),
        ("a lone surrogate", text(r#"{"display_name": "\ud800"}"#)),
        ("no UTF-8", b"{\"display_name\": \"\xff\xfe\"}".to_vec()),
        ("a number beyond all", text(r#"{"display_name": 1e999}"#)),
        ("a number with many digits", format!(r#"{{"tags": [{{"tag": {}}}]}}"#, "9".repeat(100_000)).into_bytes()),
        ("a wrong type", text(r#"{"tags": {"scope": []}}"#)),
        ("a list", text("[]")),
        ("half an object", text(r#"{"display_name": "#)),
        ("two objects", text("{}{}")),
        ("a comment", text("{/* */}")),
    ]
}

#[tokio::test]
async fn every_kind_refuses_hostile_bodies_and_goes_on() {
    let server = TestServer::new().await;
    for row in KINDS.iter().filter(|row| row.kind.parent().is_none()) {
        for (what, body) in bodies() {
            let request = Request::post(row.path()).header("cookie", &server.cookie).body(Body::from(body));
            let response = server.router.clone().oneshot(request.expect("a request")).await.expect("an answer");
            let status = response.status().as_u16();
            assert!(matches!(status, 400 | 413), "{} with {what}: {status}", row.segment);
            let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body");
            assert!(bytes.len() < 1_000, "{} with {what}: an answer of {} bytes", row.segment, bytes.len());
        }
        assert_eq!(server.get(&row.path()).await["result_count"], 0, "{}", row.segment);
    }
}

#[tokio::test]
async fn hostile_queries_and_paths_are_refused() {
    let server = TestServer::new().await;
    server.create("/ws.v1/lswitch", json!({"display_name": "a"})).await;
    for (query, want) in [
        ("_page_length=-1", 400),
        ("_page_length=99999999999999999999999", 400),
        ("_page_length=18446744073709551615", 200),
        ("_page_cursor=%00", 400),
        ("_page_cursor=ffffffffffffffffffffffffffffffff", 200),
        ("uuid=%ff%fe", 200),
        ("fields=%00,,,*", 200),
        ("colour=red", 400),
        ("display_name=~********************a", 200),
    ] {
        assert_eq!(server.status(Method::GET, &format!("/ws.v1/lswitch?{query}"), "").await, want, "{query}");
    }
    let pattern = format!("/ws.v1/lswitch?display_name=~{}", "*a".repeat(2_000));
    assert_eq!(server.status(Method::GET, &pattern, "").await, 200);
    for path in
        ["/ws.v1/lswitch/%00", "/ws.v1/lswitch/%ff", "/ws.v1/lswitch/..%2f..", "/ws.v1//lswitch", "/ws.v1/lswitch/"]
    {
        assert_eq!(server.status(Method::GET, path, "").await, 404, "{path}");
    }
}
