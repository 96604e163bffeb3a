//! Resource by resource: fields and defaults, methods, filters, relations, statuses, and what is served besides.

use super::server::{Server, uuids};
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

/// A resource: how its objects are made with as little as can be said, and what they are then.
struct Resource {
    /// Its list.
    list: String,
    /// What must be said.
    body: Value,
    /// Fields and what they are by default.
    defaults: Value,
    /// Whether its objects have names and tags.
    is_named: bool,
}

impl Resource {
    fn new(list: impl Into<String>, body: Value, defaults: Value) -> Resource {
        Resource { list: list.into(), body, defaults, is_named: true }
    }

    fn nameless(list: impl Into<String>, body: Value, defaults: Value) -> Resource {
        Resource { is_named: false, ..Resource::new(list, body, defaults) }
    }
}

/// All of them, those that belong to others under ones that were made for it.
async fn resources(server: &Server) -> Vec<Resource> {
    let table = json!({"routing_config": {"type": "RoutingTableRoutingConfig"}});
    let (switch, router) =
        (server.create("/ws.v1/lswitch", json!({})).await, server.create("/ws.v1/lrouter", table.clone()).await);
    let edges = server.create("/ws.v1/edge-cluster", json!({})).await;
    let node = server.create("/ws.v1/lservices-node", json!({ "edge_cluster_uuid": edges })).await;
    let of_switch = json!({
        "type": "LogicalSwitchPortConfig", "admin_status_enabled": true, "portno": 1, "queue_uuid": null,
        "security_profiles": [], "mirror_targets": [], "allowed_address_pairs": [],
    });
    let transport_node = json!({
        "type": "TransportNodeConfig", "admin_status_enabled": true, "integration_bridge_id": "", "credential": null,
        "transport_connectors": [], "mgmt_rendezvous_client": false, "mgmt_rendezvous_server": false,
        "zone_forwarding": false, "tunnel_probe_random_vlan": false, "vtep_enabled": false,
    });
    let rules = json!({"logical_port_ingress_rules": [], "logical_port_egress_rules": []});
    let router_defaults = json!({"type": "LogicalRouterConfig", "distributed": false, "replication_mode": "service", "nat_synchronization_enabled": true});
    let source = json!({
        "type": "SourceNatRule", "match": {"ethertype": "IPv4", "source_ip_addresses": "10.1.1.1/24"},
        "to_source_ip_address_min": "172.30.0.11", "to_source_ip_address_max": "172.30.0.11",
    });
    let rule = json!({"order": 0, "type": "SourceNatRule", "match": source["match"]});
    let route = json!({"prefix": "0.0.0.0/0", "next_hop_ip": "1.1.1.1"});
    let queue =
        json!({"type": "LogicalQueueConfig", "max_bandwidth_rate": null, "qos_marking": "untrusted", "dscp": 0});
    let l2 = json!({"type": "L2GatewayServiceConfig"});
    let switch_defaults = json!({
        "type": "LogicalSwitchConfig", "port_isolation_enabled": false, "transport_zones": [], "replication_mode": "service",
    });
    let router = format!("/ws.v1/lrouter/{router}");
    vec![
        Resource::new("/ws.v1/lswitch", json!({}), switch_defaults),
        Resource::new(format!("/ws.v1/lswitch/{switch}/lport"), json!({}), of_switch),
        Resource::new("/ws.v1/lrouter", table, router_defaults),
        Resource::new(
            format!("{router}/lport"),
            json!({}),
            json!({"type": "LogicalRouterPortConfig", "admin_status_enabled": true, "portno": 1, "ip_addresses": []}),
        ),
        Resource::nameless(format!("{router}/nat"), source, rule),
        Resource::nameless(
            format!("{router}/rib"),
            route,
            json!({"type": "RoutingTableEntry", "prefix": "0.0.0.0/0", "protocol": "static", "action": "accept"}),
        ),
        Resource::new("/ws.v1/security-profile", json!({}), rules.clone()),
        Resource::new("/ws.v1/acl", json!({}), rules),
        Resource::new("/ws.v1/lqueue", json!({}), queue),
        Resource::new("/ws.v1/gateway-service", l2, json!({"type": "L2GatewayServiceConfig", "gateways": []})),
        Resource::new("/ws.v1/transport-zone", json!({}), json!({"type": "TransportZoneConfig"})),
        Resource::new("/ws.v1/transport-node", json!({}), transport_node),
        Resource::new("/ws.v1/edge-cluster", json!({}), json!({"type": "EdgeClusterConfig"})),
        Resource::new(
            "/ws.v1/lservices-node",
            json!({ "edge_cluster_uuid": edges }),
            json!({"type": "LogicalServicesNodeConfig", "edge_cluster_uuid": edges}),
        ),
        Resource::new(
            format!("/ws.v1/lservices-node/{node}/lport"),
            json!({}),
            json!({"type": "LogicalServicesNodePortConfig"}),
        ),
    ]
}

pub async fn objects_have_the_fields_and_defaults_that_clients_rely_on(server: &Server) {
    for Resource { list, body, defaults, is_named } in resources(server).await {
        let answer = server.send(Method::POST, &list, &body.to_string()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{list}: {}", answer.text);
        let object = answer.json();
        let uuid = object["uuid"].as_str().expect("a uuid");
        let is_hyphenated = uuid.len() == 36 && uuid.bytes().filter(|byte| *byte == b'-').count() == 4;
        assert!(is_hyphenated && uuid.to_lowercase() == uuid, "{uuid}");
        assert_eq!(object["_href"], format!("{list}/{uuid}"));
        let kind = object["type"].as_str().expect("a type");
        assert_eq!(object["_schema"], format!("/ws.v1/schema/{kind}"));
        for (name, default) in defaults.as_object().expect("fields") {
            assert_eq!(&object[name], default, "{list}: {name}");
        }
        for (name, default) in [("display_name", json!(uuid)), ("tags", json!([]))] {
            let expected = is_named.then_some(&default);
            assert_eq!(object.get(name), expected, "{list}: {name}");
        }
        // It is read, and put back as it was read: nothing changes.
        assert_eq!(server.put(&format!("{list}/{uuid}"), object.clone()).await, object, "{list}");
    }
}

pub async fn each_resource_has_its_methods(server: &Server) {
    let nobody = "00000000-0000-4000-8000-000000000000";
    for Resource { list, body, .. } in resources(server).await {
        let status = async |method: Method, path: &str| server.status(method, path, &body.to_string()).await;
        let made = server.send(Method::POST, &list, &body.to_string()).await;
        let object = format!("{list}/{}", made.json()["uuid"].as_str().expect("a uuid"));
        assert_eq!(made.status, StatusCode::CREATED, "{list}");
        assert_eq!(server.status(Method::GET, &list, "").await, 200, "{list}");
        for method in [Method::PUT, Method::DELETE] {
            assert_eq!(status(method.clone(), &list).await, 405, "{method} {list}");
        }
        assert_eq!(status(Method::POST, &object).await, 405, "{list}");
        assert_eq!(status(Method::PUT, &object).await, 200, "{list}");
        let deleted = server.send(Method::DELETE, &object, "").await;
        assert_eq!((deleted.status, deleted.text.as_str()), (StatusCode::NO_CONTENT, ""), "{list}");
        for lost in [object, format!("{list}/{nobody}"), format!("{list}/boo")] {
            for method in [Method::GET, Method::PUT, Method::DELETE] {
                let answer = server.send(method.clone(), &lost, if method == Method::PUT { "{}" } else { "" }).await;
                assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {lost}");
                assert!(answer.json()["error"].is_string() && answer.json()["code"] == "NOT_FOUND", "{}", answer.text);
            }
        }
    }
    for lost in ["lswitch/boo/lport", "lrouter/boo/nat", "lservices-node/boo/lport"] {
        assert_eq!(server.status(Method::GET, &format!("/ws.v1/{lost}"), "").await, 404, "{lost}");
    }
}

pub async fn lists_take_the_filters_that_clients_send(server: &Server) {
    let table = json!({"routing_config": {"type": "RoutingTableRoutingConfig"}});
    let router = server.create("/ws.v1/lrouter", table).await;
    let rib = format!("/ws.v1/lrouter/{router}/rib");
    server.create(&rib, json!({"prefix": "0.0.0.0/0", "next_hop_ip": "1.1.1.1"})).await;
    let zone = server.create("/ws.v1/transport-zone", json!({"display_name": "east"})).await;
    let zones = json!([{"zone_uuid": zone, "transport_type": "stt"}]);
    let switch = json!({"transport_zones": zones, "port_isolation_enabled": true, "display_name": "web"});
    let switch = server.create("/ws.v1/lswitch", switch).await;
    let queue = server.create("/ws.v1/lqueue", json!({})).await;
    let profile = server.create("/ws.v1/security-profile", json!({})).await;
    let port = json!({"queue_uuid": queue, "security_profiles": [profile], "admin_status_enabled": false});
    let ports = format!("/ws.v1/lswitch/{switch}/lport");
    let port = server.create(&ports, port).await;
    server.create(&ports, json!({})).await;
    let vif = json!({"type": "VifAttachment", "vif_uuid": "vm-7-0"});
    server.put(&format!("{ports}/{port}/attachment"), vif).await;
    let all = "/ws.v1/lswitch/*/lport".to_string();
    let switches = "/ws.v1/lswitch".to_string();
    let counts = async |list: &str, query: &str| server.get(&format!("{list}?{query}")).await["result_count"].clone();
    for (list, query, count) in [
        (&switches, "port_isolation=true", 1),
        (&switches, "port_isolation_enabled=false", 0),
        (&switches, &format!("transport_zone_uuid={zone}"), 1),
        (&switches, "transport_zone_name=east", 1),
        (&switches, "transport_zone_name=west", 0),
        (&switches, "identifier=web", 1),
        (&switches, &format!("identifier={switch}"), 1),
        (&switches, "identifier=db", 0),
        (&switches, "alert=false", 1),
        (&switches, "alert=true", 0),
        (&switches, "alert_changed_since=%3E1000000000", 1),
        (&switches, "alert_changed_since=%3C%3D1000000000", 0),
        (&switches, "last_modified=%3E1000000000", 1),
        (&switches, "last_modified=%3C1000000000", 0),
        (&switches, "last_modified=%3E%3D4000000000", 0),
        (&switches, "last_modified=%21%3D1000000000", 1),
        (&all, &format!("queue_uuid=%3D{queue}"), 1),
        (&all, &format!("queue_uuid=%21%3D{queue}"), 1),
        (&all, &format!("security_profile_uuid={profile}"), 1),
        (&all, "admin_status_enabled=false", 1),
        (&all, "attachment_vif_uuid=vm-7-0", 1),
        (&all, "attachment_vif_uuid=~vm-7", 1),
        (&all, "attachment_vif_uuid=%21~vm-7", 1),
        (&all, "attachment_vif_mac=02:00:00:00:00:01", 0),
        (&all, "attachment_node_name=hv1", 0),
        (&all, "attachment_node_uuid=x", 0),
        (&all, "attachment_bridge_id=br-int", 0),
        (&all, "attachment_zone_uuid=x", 0),
        (&all, "attachment_gwsvc_uuid=x", 0),
        (&all, "attachment_vlan=0", 0),
        (&all, "attachment_peer_port_uuid=x", 0),
        (&all, "alert=true", 0),
        (&ports, &format!("uuid={port}"), 1),
        (&ports, &format!("uuid={port}&uuid={switch}"), 1),
        (&"/ws.v1/lrouter/*/lport".to_string(), "attachment_lswitch_uuid=x", 0),
        (&rib, "protocol=static&tag_scope=quantum", 1),
        (&rib, "protocol=connected", 0),
        (&rib, "prefix=0.0.0.0/0", 1),
        (&format!("/ws.v1/lrouter/{router}/nat"), "tag_scope=quantum", 0),
        (&"/ws.v1/gateway-service".to_string(), "types=L2GatewayServiceConfig", 0),
    ] {
        assert_eq!(counts(list, query).await, count, "{list}?{query}");
    }
    for (query, want) in [("colour=red", "colour"), ("last_modified=yesterday", "last_modified")] {
        let answer = server.send(Method::GET, &format!("/ws.v1/lswitch?{query}"), "").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(answer.text.contains(want), "{}", answer.text);
    }
    let listed = server.get(&format!("{switches}?fields=uuid,display_name,fabric_status,nonsense")).await;
    let shown: Vec<&String> = listed["results"][0].as_object().expect("an object").keys().collect();
    assert_eq!(shown, ["_href", "_schema", "display_name", "type", "uuid"], "what it lacks is left out");
    let counted = server.get(&format!("{all}?_page_length=0")).await;
    assert_eq!((uuids(&counted).len(), &counted["result_count"]), (0, &json!(2)));
}

pub async fn relations_are_shown_by_the_names_that_clients_ask_for(server: &Server) {
    let table = json!({"routing_config": {"type": "RoutingTableRoutingConfig"}});
    let router = server.create("/ws.v1/lrouter", table).await;
    let router_ports = format!("/ws.v1/lrouter/{router}/lport");
    let router_port = server.create(&router_ports, json!({})).await;
    let switch = server.create("/ws.v1/lswitch", json!({})).await;
    let ports = format!("/ws.v1/lswitch/{switch}/lport");
    let queue = server.create("/ws.v1/lqueue", json!({})).await;
    let port = server.create(&ports, json!({ "queue_uuid": queue })).await;
    server.put(&format!("{ports}/{port}/attachment"), json!({"type": "VifAttachment", "vif_uuid": "v"})).await;
    let node = server.create("/ws.v1/transport-node", json!({})).await;
    let of_port = [
        "LogicalPortStatus",
        "LogicalPortAttachment",
        "LogicalSwitchConfig",
        "LogicalQueueConfig",
        "VirtualInterfaceConfig",
        "TransportNodeInterfaceStatus",
    ];
    for (path, names) in [
        (format!("/ws.v1/lswitch/{switch}"), &["LogicalSwitchStatus"][..]),
        (format!("/ws.v1/lrouter/{router}"), &["LogicalRouterStatus"]),
        (format!("{ports}/{port}"), &of_port),
        (format!("{router_ports}/{router_port}"), &["LogicalPortStatus", "LogicalPortAttachment"]),
        (format!("/ws.v1/transport-node/{node}"), &["TransportNodeStatus"]),
    ] {
        let asked = names.join(",");
        let repeated = names.iter().map(|name| format!("relations={name}")).collect::<Vec<_>>().join("&");
        let object = server.get(&format!("{path}?relations={asked}")).await;
        let relations = object["_relations"].as_object().expect("they were asked for");
        for name in names {
            assert!(relations.get(*name).is_some_and(Value::is_object), "{path}: {name} of {relations:?}");
        }
        assert_eq!(server.get(&format!("{path}?{repeated}")).await["_relations"], object["_relations"]);
        assert!(server.get(&path).await.get("_relations").is_none(), "it was not asked for");
        let (list, uuid) = path.rsplit_once('/').expect("a path");
        let listed = server.get(&format!("{list}?relations={asked}&uuid={uuid}&fields=uuid")).await;
        assert_eq!(listed["results"][0]["_relations"], object["_relations"], "{list}");
    }
    let attachment = server.get(&format!("{ports}/{port}?relations=LogicalPortAttachment")).await;
    assert_eq!(attachment["_relations"]["LogicalPortAttachment"]["vif_uuid"], "v", "it is not wrapped");
    let parent = server.get(&format!("{ports}/{port}?relations=LogicalSwitchConfig")).await;
    assert_eq!(parent["_relations"]["LogicalSwitchConfig"]["uuid"], switch);
}

pub async fn statuses_say_what_clients_read(server: &Server) {
    let table = json!({"routing_config": {"type": "RoutingTableRoutingConfig"}});
    let router = server.create("/ws.v1/lrouter", table).await;
    let router_port = server.create(&format!("/ws.v1/lrouter/{router}/lport"), json!({})).await;
    let switch = server.create("/ws.v1/lswitch", json!({})).await;
    let ports = format!("/ws.v1/lswitch/{switch}/lport");
    let port = server.create(&ports, json!({"admin_status_enabled": false})).await;
    let node = server.create("/ws.v1/transport-node", json!({})).await;
    let counts = |links: u64| json!({"lport_count": 1, "lport_admin_up_count": links, "lport_link_up_count": 0, "lport_fabric_up_count": 0});
    let port_says = |up: bool| json!({"admin_status_enabled": up, "admin_status_up": up, "link_status_up": false, "fabric_status_up": false});
    for (path, kind, says) in [
        (format!("/ws.v1/lswitch/{switch}"), "LogicalSwitchStatus", counts(0)),
        (format!("/ws.v1/lrouter/{router}"), "LogicalRouterStatus", counts(1)),
        (format!("{ports}/{port}"), "LogicalSwitchPortStatus", port_says(false)),
        (format!("/ws.v1/lrouter/{router}/lport/{router_port}"), "LogicalRouterPortStatus", port_says(true)),
        (format!("/ws.v1/transport-node/{node}"), "TransportNodeStatus", json!({})),
    ] {
        let path = format!("{path}/status");
        let status = server.get(&path).await;
        assert_eq!((&status["type"], &status["_href"]), (&json!(kind), &json!(path)));
        for (name, value) in says.as_object().expect("fields") {
            assert_eq!(&status[name], value, "{path}: {name}");
        }
    }
    assert_eq!(server.get(&format!("/ws.v1/lswitch/{switch}/status")).await["fabric_status"], true);
    assert_eq!(server.get(&format!("{ports}/{port}/status")).await["lswitch"]["uuid"], switch);
    let of_router = server.get(&format!("/ws.v1/lrouter/{router}/lport/{router_port}/status")).await;
    assert_eq!(of_router["lrouter"]["uuid"], router);
    let node = server.get(&format!("/ws.v1/transport-node/{node}/status")).await;
    assert_eq!(node["connection"]["connected"], false);
}

pub async fn counters_are_shown_and_set_to_zero(server: &Server) {
    let table = json!({"routing_config": {"type": "RoutingTableRoutingConfig"}});
    let router = server.create("/ws.v1/lrouter", table).await;
    let of_router = format!("/ws.v1/lrouter/{router}/lport");
    let switch = server.create("/ws.v1/lswitch", json!({})).await;
    let of_switch = format!("/ws.v1/lswitch/{switch}/lport");
    for ports in [of_switch, of_router] {
        let port = server.create(&ports, json!({})).await;
        let path = format!("{ports}/{port}/statistic");
        let counted = server.get(&path).await;
        assert_eq!((&counted["type"], &counted["_href"]), (&json!("LogicalPortStatistics"), &json!(path)));
        for name in ["rx_bytes", "rx_packets", "rx_errors", "tx_bytes", "tx_packets", "tx_errors"] {
            assert_eq!(counted[name], 0, "{path}: {name}");
        }
        assert!(counted["reason"].is_string(), "nothing is counted, and it says why: {counted}");
        let reset = server.send(Method::DELETE, &path, "").await;
        assert_eq!((reset.status, reset.text.as_str()), (StatusCode::NO_CONTENT, ""));
        assert_eq!(server.status(Method::GET, &format!("{ports}/boo/statistic"), "").await, 404);
    }
    let node = server.create("/ws.v1/transport-node", json!({})).await;
    let interface = format!("/ws.v1/transport-node/{node}/interface/eth0/statistic");
    let answer = server.send(Method::GET, &interface, "").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.text);
    assert!(answer.text.contains("is not connected"), "{}", answer.text);
    assert_eq!(server.status(Method::GET, "/ws.v1/transport-node/boo/interface/eth0/statistic", "").await, 404);
}

pub async fn the_cluster_tells_what_clients_look_for(server: &Server) {
    assert_eq!(server.status(Method::GET, "/ws.v1/control-cluster", "").await, 200);
    server.create("/ws.v1/lswitch", json!({})).await;
    let status = server.get("/ws.v1/control-cluster/status").await;
    assert_eq!((&status["type"], &status["cluster_status"]), (&json!("ControlClusterStatus"), &json!("stable")));
    // Transport nodes: there are none.
    let counts = json!({"active_count": 0, "registered_count": 0, "error_state_count": 0});
    assert_eq!((&status["node_stats"], &status["switch_stats"]["registered_count"]), (&counts, &json!(1)));
    let roles = status["configured_roles"].as_array().expect("a list");
    let provider = roles.iter().find(|role| role["role"] == "api_provider").expect("one is");
    assert_eq!(provider["majority_version"], "4.2.1.35000");
    let nodes = server.get("/ws.v1/control-cluster/node?_page_length=1&fields=uuid").await;
    let version = format!("/ws.v1/control-cluster/node/{}/status", uuids(&nodes)[0]);
    assert_eq!(server.get(&version).await["version"], "4.2.1.35000");
    let nodes = server.get("/ws.v1/control-cluster/node?fields=roles").await;
    let roles = nodes["results"][0]["roles"].as_array().expect("a list");
    let provider = roles.iter().find(|role| role["role"] == "api_provider").expect("one is");
    assert!(provider["listen_addr"].as_str().is_some_and(|at| at.starts_with("pssl:")), "{provider}");
}

pub async fn schemas_and_methods_are_documented(server: &Server) {
    for (list, name) in [("/ws.v1/schema", "LogicalSwitchConfig"), ("/ws.v1/doc/method", "get_ws_v1_lswitch")] {
        let listed = server.get(list).await;
        let entries = listed["results"].as_array().expect("a list");
        assert_eq!(listed["result_count"], entries.len());
        let entry = entries.iter().find(|entry| entry["name"] == name).unwrap_or_else(|| panic!("{name} in {list}"));
        assert_eq!(entry["_href"], format!("{list}/{name}"));
        for entry in entries {
            let href = entry["_href"].as_str().expect("text");
            assert_eq!(server.status(Method::GET, href, "").await, 200, "{href}");
        }
        assert_eq!(server.status(Method::GET, &format!("{list}/nothing"), "").await, 404);
    }
    let schema = server.get("/ws.v1/schema/LogicalSwitchConfig").await;
    assert_eq!(schema["properties"]["port_isolation_enabled"]["type"][0], "boolean");
    let method = server.get("/ws.v1/doc/method/get_ws_v1_lswitch").await;
    assert_eq!((&method["method"], &method["path"]), (&json!("GET"), &json!("/ws.v1/lswitch")));
}
