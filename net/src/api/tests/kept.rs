//! Kinds from which nothing follows yet: kept, validated, returned, and never said to work.

use super::*;
use crate::api::kinds::{Below, KINDS, Row};

/// What a kind's objects must say, at least.
fn least(row: &Row) -> Value {
    match row.segment {
        "lrouter" => json!({"routing_config": {"type": "RoutingTableRoutingConfig"}}),
        "nat" => json!({"type": "NoSourceNatRule", "match": {}}),
        "rib" => json!({"prefix": "0.0.0.0/0", "next_hop_ip": "1.1.1.1"}),
        "gateway-service" => json!({"type": "L2GatewayServiceConfig"}),
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
        let uuid = server.create(&list, least(row)).await;
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
        let wrong = server.send(Method::PUT, &path, r#"{"type": "Nonsense"}"#).await;
        assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{}", wrong.text);
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

#[tokio::test]
async fn what_is_in_use_stays() {
    let server = TestServer::new().await;
    let conflict = async |path: &str| {
        let answer = server.send(Method::DELETE, path, "").await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{path}: {}", answer.text);
        assert_eq!(answer.json()["code"], "IN_USE");
    };
    let zone = server.create("/ws.v1/transport-zone", json!({})).await;
    let connector = json!({"type": "GeneveConnector", "transport_zone_uuid": zone, "ip_address": "192.0.2.1"});
    let node = server.create("/ws.v1/transport-node", json!({"transport_connectors": [connector]})).await;
    let gateway = json!({"type": "L2Gateway", "transport_node_uuid": node, "device_id": "eth1"});
    let service = json!({"type": "L2GatewayServiceConfig", "gateways": [gateway]});
    let service = server.create("/ws.v1/gateway-service", service).await;
    let queue = server.create("/ws.v1/lqueue", json!({"max_bandwidth_rate": 1000})).await;
    let profile = server.create("/ws.v1/security-profile", json!({})).await;
    let switch = server.create("/ws.v1/lswitch", json!({})).await;
    let ports = format!("/ws.v1/lswitch/{switch}/lport");
    let port = server.create(&ports, json!({"queue_uuid": queue, "security_profiles": [profile]})).await;
    let plugged = json!({"type": "L2GatewayAttachment", "l2_gateway_service_uuid": service, "vlan_id": 7});
    server.put(&format!("{ports}/{port}/attachment"), plugged.clone()).await;
    conflict(&format!("/ws.v1/transport-zone/{zone}")).await;
    conflict(&format!("/ws.v1/transport-node/{node}")).await;
    conflict(&format!("/ws.v1/gateway-service/{service}")).await;
    conflict(&format!("/ws.v1/lqueue/{queue}")).await;
    conflict(&format!("/ws.v1/security-profile/{profile}")).await;
    let queues = server.get(&format!("/ws.v1/lswitch/{switch}/lqueue?fields=*")).await;
    assert_eq!((uuids(&queues), &queues["result_count"]), (vec![queue.clone()], &json!(1)));
    let port_with = server.get(&format!("{ports}/{port}?relations=LogicalQueueConfig")).await;
    assert_eq!(port_with["_relations"]["LogicalQueueConfig"]["max_bandwidth_rate"], 1000);

    let second = server.create(&ports, json!({})).await;
    let taken = server.send(Method::PUT, &format!("{ports}/{second}/attachment"), &plugged.to_string()).await;
    assert_eq!(taken.status, StatusCode::CONFLICT, "{}", taken.text);
    let found = server.get(&format!("{ports}?attachment_gwsvc_uuid={service}&attachment_vlan=7")).await;
    assert_eq!(uuids(&found), [port]);
    assert_eq!(server.status(Method::DELETE, &format!("/ws.v1/lswitch/{switch}"), "").await, 204);
    for path in [format!("lqueue/{queue}"), format!("gateway-service/{service}"), format!("transport-node/{node}")] {
        assert_eq!(server.status(Method::DELETE, &format!("/ws.v1/{path}"), "").await, 204, "{path}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let server = TestServer::new().await;
    let refused = async |path: &str, body: Value, want: &str| {
        let answer = server.send(Method::POST, path, &body.to_string()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}: {}", answer.text);
        let error = answer.json()["error"].to_string();
        assert!(error.contains(want), "{body}: {error}");
    };
    let router =
        server.create("/ws.v1/lrouter", json!({"routing_config": {"type": "RoutingTableRoutingConfig"}})).await;
    let nat = format!("/ws.v1/lrouter/{router}/nat");
    let ports = format!("/ws.v1/lrouter/{router}/lport");
    let rib = format!("/ws.v1/lrouter/{router}/rib");
    let profiles = "/ws.v1/security-profile";
    let nobody = "00000000-0000-0000-0000-000000000009";
    refused("/ws.v1/lrouter", json!({}), "routing_config").await;
    refused("/ws.v1/lrouter", json!({"routing_config": {"type": "X"}}), "routing_config.type: unknown variant").await;
    refused(&ports, json!({"ip_addresses": ["10.0.0.1/33"]}), "ip_addresses[0]: '10.0.0.1/33' is neither").await;
    refused(&ports, json!({"mac_address": "01:00:00:00:00:01"}), "mac_address: a group address").await;
    refused(
        &rib,
        json!({"prefix": "10.0.0.0/8", "next_hop_ip": "10.0.0.0/8"}),
        "next_hop_ip: '10.0.0.0/8' is a prefix",
    )
    .await;
    refused(&rib, json!({"prefix": "10.0.0.0/8"}), "missing field `next_hop_ip`").await;
    refused(&nat, json!({"match": {}}), "type: it must be SourceNatRule or").await;
    refused(&nat, json!({"type": "SourceNatRule", "match": {}}), "to_source_ip_address_min: it is needed").await;
    refused(&nat, json!({"type": "NoSourceNatRule", "match": {"colour": 1}}), "match.colour: unknown field").await;
    refused(&nat, json!({"type": "NoSourceNatRule", "match": {"protocol": 256}}), "match.protocol: invalid value")
        .await;
    let rule = |rule: Value| json!({"logical_port_ingress_rules": [rule]});
    refused(profiles, rule(json!({})), "logical_port_ingress_rules[0]: missing field `ethertype`").await;
    refused(profiles, rule(json!({"ethertype": "IPv4", "profile_uuid": nobody})), "[0].profile_uuid: there is no")
        .await;
    let backwards = json!({"ethertype": "IPv4", "protocol": 6, "port_range_min": 9, "port_range_max": 8});
    refused(profiles, rule(backwards), "[0].port_range_max: 8 is below").await;
    refused("/ws.v1/acl", rule(json!({"action": "maybe"})), "[0].action: unknown variant").await;
    refused("/ws.v1/lqueue", json!({"dscp": 64}), "dscp: 64 is no code point").await;
    refused("/ws.v1/lqueue", json!({"max_bandwidth_rate": "1000"}), "max_bandwidth_rate: invalid type").await;
    let mixed = json!({"type": "L3GatewayServiceConfig", "gateways": [{"type": "L2Gateway", "transport_node_uuid": nobody, "device_id": "eth1"}]});
    refused("/ws.v1/gateway-service", mixed, "gateways[0].type: it is that of another sort").await;
    refused("/ws.v1/gateway-service", json!({}), "type: it must be L2GatewayServiceConfig or").await;
    let switch = server.create("/ws.v1/lswitch", json!({})).await;
    let lports = format!("/ws.v1/lswitch/{switch}/lport");
    refused(&lports, json!({"security_profiles": [nobody]}), "security_profiles[0]: there is no security profile")
        .await;
    refused(&lports, json!({"queue_uuid": nobody}), "queue_uuid: there is no logical queue").await;
}
