//! What is refused, and in which words.

use super::server::{Server, uuids};
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

pub async fn what_is_in_use_stays(server: &Server) {
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

pub async fn what_is_wrong_is_named(server: &Server) {
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

pub async fn names_and_tags_have_limits_and_null_is_unset(server: &Server) {
    let status = async |body: Value| server.status(Method::POST, "/ws.v1/lswitch", &body.to_string()).await;
    let tags = |count: usize| vec![json!({"scope": "s", "tag": "t"}); count];
    assert_eq!(status(json!({"display_name": "ü".repeat(40), "tags": tags(5)})).await, 201, "scopes may be repeated");
    assert_eq!(status(json!({"display_name": "ü".repeat(41)})).await, 400);
    assert_eq!(status(json!({"tags": tags(6)})).await, 400);
    assert_eq!(status(json!({"tags": [{"scope": "s".repeat(20), "tag": "t".repeat(40)}]})).await, 201);
    assert_eq!(status(json!({"tags": [{"scope": "s".repeat(21), "tag": "t"}]})).await, 400);
    assert_eq!(status(json!({"tags": [{"scope": "s", "tag": "t".repeat(41)}]})).await, 400);
    assert_eq!(status(json!({"tags": [{"scope": "os_tid", "tag": null}, {"tag": ""}]})).await, 201, "nobody's");
    assert_eq!(status(json!({"tags": [{"scope": "os_tid"}]})).await, 400, "a tag is needed");
    assert_eq!(status(json!({"transport_zones": null, "replication_mode": null, "display_name": null})).await, 201);
    assert_eq!(status(json!({"nonsense": [1], "lport_count": 7, "_href": "x", "uuid": "y"})).await, 201, "ignored");
    let switch = server.create("/ws.v1/lswitch", json!({"display_name": ""})).await;
    assert_eq!(server.get(&format!("/ws.v1/lswitch/{switch}")).await["display_name"], "", "it is kept");
    let ports = format!("/ws.v1/lswitch/{switch}/lport");
    let port = server.create(&ports, json!({"queue_uuid": "null", "portno": 1_000_000})).await;
    assert_eq!(server.get(&format!("{ports}/{port}")).await["queue_uuid"], Value::Null);
    for (body, want) in [
        (json!({"portno": 0}), 400),
        (json!({"portno": 1_000_001}), 400),
        (json!({"portno": 1_000_000}), 409),
        (json!({"mirror_targets": ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"]}), 400),
        (json!({"mirror_targets": ["nowhere"]}), 400),
        (json!({"allowed_address_pairs": [{"mac_address": "02:00:00:00:00:01", "ip_address": "10.0.0.0/8"}]}), 201),
        (json!({"allowed_address_pairs": [{"mac_address": "02:00:00:00:00:01", "ip_address": "fd00::1"}]}), 201),
        (json!({"allowed_address_pairs": [{"mac_address": "red", "ip_address": "10.0.0.1"}]}), 400),
    ] {
        let answer = server.send(Method::POST, &ports, &body.to_string()).await;
        assert_eq!(answer.status.as_u16(), want, "{body}: {}", answer.text);
    }
}
