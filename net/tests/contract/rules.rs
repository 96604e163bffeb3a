//! What holds for every resource: statuses, headers, partial changes, lists, references.

use super::server::{Server, uuids};
use axum::http::{Method, StatusCode};
use serde_json::json;

pub async fn a_request_that_is_sent_again_makes_nothing_new(server: &Server) {
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

pub async fn methods_have_the_statuses_that_clients_insist_on(server: &Server) {
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

pub async fn answers_are_one_line_with_the_headers_of_the_product(server: &Server) {
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

pub async fn put_changes_what_it_names_and_nothing_else(server: &Server) {
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
    let odd = json!({ "type": "VifAttachment", "vif_uuid": "v", "display_name": "odd" });
    let named = server.put(&path, odd).await;
    assert_eq!(
        (&named["type"], &named["display_name"]),
        (&json!("LogicalSwitchConfig"), &json!("odd")),
        "the path says it"
    );
}

pub async fn a_walk_over_pages_skips_nothing_that_was_there_throughout(server: &Server) {
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

pub async fn lists_filter_by_tags_and_fields(server: &Server) {
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

pub async fn references_are_kept_whole(server: &Server) {
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
