//! How clients log in, and how they show that they did.

use super::server::Server;
use axum::http::{Method, StatusCode};
use serde_json::json;

/// `Basic` (RFC 7617), with its base64 (RFC 4648, section 4).
fn basic(user: &str, password: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = format!("{user}:{password}");
    let encode = |chunk: &[u8]| {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        let digit = |n: usize| match n <= chunk.len() {
            true => char::from(DIGITS[(bits >> (18 - 6 * n)) as usize & 63]),
            false => '=',
        };
        (0..4).map(digit).collect::<String>()
    };
    format!("Basic {}", text.as_bytes().chunks(3).map(encode).collect::<String>())
}

pub async fn a_session_is_needed_and_shown_in_whichever_way_clients_do(server: &Server) {
    let status = async |path: &str, headers: &[(&str, &str)]| {
        let answer = server.send_with(Method::GET, path, "", headers).await;
        assert!(answer.headers.contains_key("content-type"), "{path}: one client reads it without looking");
        if answer.status == StatusCode::UNAUTHORIZED {
            assert_ne!(answer.headers["content-type"], "text/html", "{path}: one client cuts 1024 characters from it");
        }
        answer.status.as_u16()
    };
    let anything = [
        "/ws.v1/lswitch",
        "/ws.v1/control-cluster",
        "/ws.v1/control-cluster/status",
        "/ws.v1/lswitch/x/lport/y",
        "/ws.v1/realisation",
        "/ws.v1/schema",
        "/metrics",
    ];
    for path in anything {
        assert_eq!(status(path, &[]).await, 401, "{path}");
        assert_eq!(status(path, &[("cookie", "nvp_sessionid=0123456789abcdef0123456789abcdef")]).await, 401, "{path}");
    }
    let whole = server.cookie.as_str();
    let (short, _) = whole.split_once(';').expect("attributes");
    let among_others = format!("a=b; {short}; c=d");
    assert!(short.starts_with("nvp_sessionid=") && whole.contains("; Path=/; secure"), "{whole}");
    for cookie in [whole, short, among_others.as_str()] {
        assert_eq!(status("/ws.v1/lswitch", &[("cookie", cookie)]).await, 200, "{cookie}");
    }
    for (password, want) in [(server.password.as_str(), 200), ("wrong", 401)] {
        let header = basic("admin", password);
        assert_eq!(status("/ws.v1/lswitch", &[("authorization", &header)]).await, want, "{password}");
    }
    for (kind, form) in [
        ("application/x-www-form-urlencoded", format!("password={}&username=admin", server.password)),
        (
            "application/x-www-form-urlencoded; charset=ISO-8859-1",
            format!("username=admin&password={}", server.password),
        ),
    ] {
        let answer = server.send_with(Method::POST, "/ws.v1/login", &form, &[("content-type", kind)]).await;
        assert_eq!(answer.status, StatusCode::OK, "{kind}: {}", answer.text);
        assert!(answer.headers["content-type"].to_str().expect("text").starts_with("text/plain"));
        assert_eq!(answer.headers["server"], "NVP/4.2.1.35000");
    }
}

pub async fn a_session_ends(server: &Server) {
    let wrong = server.send_with(Method::POST, "/ws.v1/login", "username=admin&password=wrong", &[]).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(!wrong.headers.contains_key("set-cookie"));
    assert_eq!(server.status(Method::GET, "/ws.v1/logout", "").await, 200);
    assert_eq!(server.status(Method::GET, "/ws.v1/lswitch", "").await, 401, "the session is over");
}

pub async fn bodies_are_json_whatever_they_are_called(server: &Server) {
    let kinds = ["application/json", "application/x-www-form-urlencoded", "text/xml", "nonsense"];
    for kind in kinds {
        let headers = [("cookie", server.cookie.as_str()), ("content-type", kind)];
        let answer = server.send_with(Method::POST, "/ws.v1/lswitch", r#"{"display_name": "a"}"#, &headers).await;
        assert_eq!((answer.status, &answer.json()["display_name"]), (StatusCode::CREATED, &json!("a")), "{kind}");
    }
    // One client asks with a type and no body, with an empty query, or with one that ends in `&`.
    let headers = [("cookie", server.cookie.as_str()), ("content-type", "application/json")];
    for path in ["/ws.v1/lswitch?", "/ws.v1/lswitch?fields=*&", "/ws.v1/lswitch?fields=%2A"] {
        let answer = server.send_with(Method::GET, path, "", &headers).await;
        assert_eq!(answer.json()["result_count"], kinds.len(), "{path}");
    }
}
