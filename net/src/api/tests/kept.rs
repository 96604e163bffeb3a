//! Kinds from which nothing follows yet: kept, validated, returned, and never said to work.

use super::*;
use crate::api::kinds::{Below, KINDS, Row};

/// What a kind's objects must say, at least.
fn least(row: &Row, edge_cluster: Option<&str>) -> Value {
    match row.segment {
        "lrouter" => json!({"routing_config": {"type": "RoutingTableRoutingConfig"}}),
        "nat" => json!({"type": "NoSourceNatRule", "match": {}}),
        "rib" => json!({"prefix": "0.0.0.0/0", "next_hop_ip": "1.1.1.1"}),
        "gateway-service" => json!({"type": "L2GatewayServiceConfig"}),
        "lservices-node" => json!({ "edge_cluster_uuid": edge_cluster }),
        _ => json!({}),
    }
}

/// One object of each kind, by its path.
async fn one_of_each(server: &TestServer) -> Vec<(&'static Row, String)> {
    let mut made: Vec<(&Row, String)> = Vec::new();
    for row in KINDS {
        let parent = row.kind.parent().map(|kind| made.iter().find(|(row, _)| row.kind == kind).expect("made before"));
        let list = match parent {
            Some((_, path)) => format!("{path}/{}", row.segment),
            None => row.path(),
        };
        let cluster = made.iter().find(|(row, _)| row.segment == "edge-cluster").map(|(_, path)| path);
        let cluster = cluster.and_then(|path| path.rsplit_once('/')).map(|(_, uuid)| uuid);
        let uuid = server.create(&list, least(row, cluster)).await;
        made.push((row, format!("{list}/{uuid}")));
    }
    made
}

#[tokio::test]
async fn every_kind_has_the_methods_of_the_table() {
    let server = TestServer::new().await;
    let document = server.get("/ws.v1/openapi.json").await;
    for (row, path) in one_of_each(&server).await {
        let (list, uuid) = path.rsplit_once('/').expect("a path");
        let object = server.get(&path).await;
        assert_eq!((object["uuid"].as_str(), object["_href"].as_str()), (Some(uuid), Some(path.as_str())));
        let type_name = object["type"].as_str().expect("a type");
        assert!(row.types.contains(&type_name), "{path}: {type_name}");
        let documented = &document["components"]["schemas"][type_name]["properties"];
        for name in object.as_object().expect("an object").keys() {
            assert!(documented.get(name).is_some(), "{path}: {name} is not in its schema");
        }
        let schema = server.get(object["_schema"].as_str().expect("text")).await;
        assert_eq!(schema["properties"]["type"]["enum"], json!([type_name]));
        assert_eq!(server.status(Method::PUT, list, "{}").await, 405);
        assert_eq!(server.status(Method::DELETE, list, "").await, 405);
        assert_eq!(server.status(Method::POST, &path, "{}").await, 405);
        assert_eq!(server.put(&path, json!({})).await, object, "nothing said, nothing changed");
        assert_eq!(server.put(&path, object.clone()).await, object, "it can be put back as it was read");
        let listed = server.get(&format!("{list}?fields=*&uuid={uuid}&tag_scope=quantum")).await;
        let is_found = listed["result_count"] == 1;
        assert_eq!(is_found, !row.tagged, "tags are only asked of what can have them: {list}");
        if row.tagged {
            let tagged = json!({"tags": [{"scope": "quantum", "tag": "2014.2"}], "display_name": "a"});
            assert_eq!(server.put(&path, tagged).await["display_name"], "a");
            let listed = server.get(&format!("{list}?fields=*&tag_scope=quantum&display_name=a")).await;
            assert_eq!(uuids(&listed), [uuid]);
        }
        let wrong = server.status(Method::PUT, &path, r#"{"type": "Nonsense"}"#).await;
        assert_eq!(wrong, if row.only_type().is_some() { 200 } else { 400 }, "{path}");
    }
    for (_, path) in one_of_each(&server).await.iter().rev() {
        assert_eq!(server.status(Method::DELETE, path, "").await, 204, "{path}");
        assert_eq!(server.status(Method::GET, path, "").await, 404, "{path}");
        assert_eq!(server.status(Method::DELETE, path, "").await, 404, "{path}");
    }
}

#[tokio::test]
async fn what_is_not_carried_out_says_so() {
    let server = TestServer::new().await;
    for (row, path) in one_of_each(&server).await {
        let has_status = row.below.iter().any(|below| matches!(below, Below::Status(_)));
        if row.segment != "transport-zone" {
            assert!(has_status, "{path}");
            let status = server.get(&format!("{path}/status")).await;
            let is_carried_out = ["transport-node", "lswitch"].contains(&row.segment);
            assert_eq!(status.get("realised") == Some(&json!(false)), !is_carried_out, "{path}: {status}");
        }
    }
    let profile = server.create("/ws.v1/security-profile", json!({})).await;
    let switch = server.create("/ws.v1/lswitch", json!({})).await;
    let config = json!({"security_profiles": [profile], "mirror_targets": ["192.0.2.1"]});
    let port = server.create(&format!("/ws.v1/lswitch/{switch}/lport"), config).await;
    let status = server.get(&format!("/ws.v1/lswitch/{switch}/lport/{port}/status")).await;
    assert_eq!(status["not_carried_out"], json!(["security_profiles", "mirror_targets"]));
    assert_eq!(status["realised"], false);
}
