//! What clients that nobody here wrote send, in the order in which they send it.

use super::server::{Server, uuids};
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

pub async fn a_cloudstack_network_with_a_router_nat_and_a_public_address(server: &Server) {
    let node = server.create("/ws.v1/transport-node", json!({})).await;
    let gateway = json!({"type": "L3Gateway", "transport_node_uuid": node, "device_id": "breth1", "group_id": 0});
    let service = json!({"type": "L3GatewayServiceConfig", "display_name": "public", "gateways": [gateway]});
    let service = server.create("/ws.v1/gateway-service", service).await;
    let asked = format!("/ws.v1/gateway-service?types=L3GatewayServiceConfig&fields=*&uuid={service}");
    assert_eq!(server.get(&asked).await["results"][0]["gateways"][0]["group_id"], 0);
    let asked = format!("/ws.v1/gateway-service?types=L2GatewayServiceConfig&fields=*&uuid={service}");
    assert_eq!(server.get(&asked).await["result_count"], 0);

    let tags = json!([{"scope": "cs_account", "tag": "a"}]);
    let routing = json!({
        "type": "SingleDefaultRouteImplicitRoutingConfig",
        "default_route_next_hop": {"type": "RouterNextHop", "gateway_ip_address": "172.30.0.1"},
    });
    let config = json!({
        "display_name": "r", "tags": tags, "routing_config": routing, "distributed": false,
        "replication_mode": "service", "nat_synchronization_enabled": false,
    });
    let router = server.create("/ws.v1/lrouter", config).await;
    let ports = format!("/ws.v1/lrouter/{router}/lport");
    let outside = json!({"portno": 1, "admin_status_enabled": true, "ip_addresses": ["172.30.0.10/24"],
        "mac_address": "00:00:00:00:00:00", "type": "LogicalRouterPortConfig", "display_name": "public"});
    let outside = server.create(&ports, outside).await;
    let to_gateway = json!({"type": "L3GatewayAttachment", "l3_gateway_service_uuid": service, "vlan_id": 42});
    server.put(&format!("{ports}/{outside}/attachment"), to_gateway).await;

    let switch = server.create("/ws.v1/lswitch", json!({"display_name": "n", "transport_zones": []})).await;
    let lports = format!("/ws.v1/lswitch/{switch}/lport");
    let lport = server.create(&lports, json!({"display_name": "to the router"})).await;
    let inside = server.create(&ports, json!({"ip_addresses": ["10.1.1.1/24"]})).await;
    let patch = |peer: &str| json!({"type": "PatchAttachment", "peer_port_uuid": peer});
    let plugged = server.put(&format!("{ports}/{inside}/attachment"), patch(&lport)).await;
    assert_eq!(plugged["peer_port_href"], format!("{lports}/{lport}"));
    let back = server.get(&format!("{lports}/{lport}/attachment")).await;
    assert_eq!((&back["type"], &back["peer_port_uuid"]), (&json!("PatchAttachment"), &json!(inside)));
    server.put(&format!("{lports}/{lport}/attachment"), patch(&inside)).await;

    let filtered = server.get(&format!("{ports}?fields=*&attachment_gwsvc_uuid={service}&attachment_vlan=42")).await;
    assert_eq!(uuids(&filtered), std::slice::from_ref(&outside));
    let mac = filtered["results"][0]["mac_address"].as_str().expect("an address").to_string();
    assert_ne!(mac, "00:00:00:00:00:00");
    let mut whole = filtered["results"][0].clone();
    whole["ip_addresses"] = json!(["172.30.0.10/24", "172.30.0.11/24"]);
    let put = server.put(&format!("{ports}/{outside}"), whole).await;
    assert_eq!((&put["ip_addresses"][1], &put["mac_address"]), (&json!("172.30.0.11/24"), &json!(mac)));
    let filtered = server.get(&format!("{ports}?fields=*&attachment_lswitch_uuid={switch}")).await;
    assert_eq!(uuids(&filtered), [inside]);

    let nat = format!("/ws.v1/lrouter/{router}/nat");
    let rules = [
        json!({"type": "SourceNatRule", "order": 200, "match": {"ethertype": "IPv4", "source_ip_addresses": "10.1.1.1/24"},
            "to_source_ip_address_min": "172.30.0.10", "to_source_ip_address_max": "172.30.0.10"}),
        json!({"type": "DestinationNatRule", "order": 50, "to_destination_ip_address": "10.1.1.20", "to_destination_port": 80,
            "match": {"ethertype": "IPv4", "protocol": 6, "destination_ip_addresses": "172.30.0.11", "destination_port": 8080}}),
    ];
    for rule in &rules {
        server.create(&nat, rule.clone()).await;
    }
    let listed = server.get(&format!("{nat}?fields=*")).await;
    for rule in &rules {
        let is_same =
            |listed: &&Value| rule.as_object().expect("an object").iter().all(|(k, v)| listed.get(k) == Some(v));
        let found = listed["results"].as_array().expect("a list").iter().find(is_same).expect("as it was sent");
        let own = ["_href", "_schema", "uuid"];
        assert_eq!(found.as_object().expect("an object").len(), rule.as_object().expect("an object").len() + own.len());
    }
    assert_eq!(server.status(Method::DELETE, &format!("/ws.v1/lrouter/{router}"), "").await, 204);
    assert_eq!(server.get(&format!("{lports}/{lport}/attachment")).await["type"], "NoAttachment");
    assert_eq!(server.status(Method::GET, &nat, "").await, 404);
}

pub async fn an_openstack_router_with_a_floating_address(server: &Server) {
    let service = server.create("/ws.v1/gateway-service", json!({"type": "L3GatewayServiceConfig"})).await;
    let tags = json!([{"scope": "os_tid", "tag": "t"}, {"scope": "quantum", "tag": "2014.2.4"}]);
    let routing = json!({"type": "RoutingTableRoutingConfig"});
    let config = json!({"display_name": "r", "tags": tags, "routing_config": routing, "type": "LogicalRouterConfig",
        "distributed": false, "replication_mode": "service"});
    let router = server.create("/ws.v1/lrouter", config).await;
    let rib = format!("/ws.v1/lrouter/{router}/rib");
    let default = json!({"prefix": "0.0.0.0/0", "next_hop_ip": "1.1.1.1", "protocol": "static", "action": "accept",
        "type": "RoutingTableEntry"});
    let default = server.create(&rib, default).await;
    server.put(&format!("{rib}/{default}"), json!({"next_hop_ip": "172.24.4.1"})).await;
    let routes = server.get(&format!("{rib}?fields=*&protocol=static&_page_length=1000&tag_scope=quantum")).await;
    assert_eq!((uuids(&routes), &routes["results"][0]["next_hop_ip"]), (vec![default], &json!("172.24.4.1")));
    let again = json!({"prefix": "0.0.0.0/0", "next_hop_ip": "172.24.4.1"}).to_string();
    assert_eq!(server.status(Method::POST, &rib, &again).await, 409);

    let ports = format!("/ws.v1/lrouter/{router}/lport");
    let outside = json!({"admin_status_enabled": true, "display_name": "gw", "tags": [], "ip_addresses": ["0.0.0.0/31"],
        "type": "LogicalRouterPortConfig"});
    let outside = server.create(&ports, outside).await;
    let untagged = json!({"type": "L3GatewayAttachment", "l3_gateway_service_uuid": service, "vlan_id": null});
    server.put(&format!("{ports}/{outside}/attachment"), untagged).await;
    let addresses = json!({"ip_addresses": ["172.24.4.2/28", "172.24.4.3/28"]});
    assert_eq!(
        server.put(&format!("{ports}/{outside}"), addresses.clone()).await["ip_addresses"],
        addresses["ip_addresses"]
    );

    let nat = format!("/ws.v1/lrouter/{router}/nat");
    let old = json!({"type": "DestinationNatRule", "match": {"destination_ip_addresses": "172.24.4.3", "ethertype": "IPv4"},
        "to_destination_ip_address_min": "10.0.0.2", "to_destination_ip_address_max": "10.0.0.2"});
    server.create(&nat, old).await;
    server
        .create(
            &nat,
            json!({"type": "NoSourceNatRule", "order": 10, "match": {"ethertype": "IPv4",
        "destination_ip_addresses": "10.3.0.0/24"}}),
        )
        .await;
    let listed = server.get(&format!("{nat}?fields=*&_page_length=1000&tag_scope=quantum")).await;
    assert_eq!((&listed["result_count"], uuids(&listed).len()), (&json!(2), 2));
    for rule in uuids(&listed) {
        assert_eq!(server.status(Method::DELETE, &format!("{nat}/{rule}"), "").await, 204);
    }

    let shown = server.get(&format!("/ws.v1/lrouter/{router}?relations=LogicalRouterStatus")).await;
    assert_eq!(shown["_relations"]["LogicalRouterStatus"]["lport_count"], 1);
    let mut whole = shown.clone();
    whole["routing_config"] = json!({"type": "SingleDefaultRouteImplicitRoutingConfig",
        "default_route_next_hop": {"type": "RouterNextHop", "gateway_ip_address": "172.24.4.9"}});
    assert_eq!(
        server.put(&format!("/ws.v1/lrouter/{router}"), whole.clone()).await["routing_config"],
        whole["routing_config"]
    );
    let list = "/ws.v1/lrouter?fields=uuid,tags,fabric_status&relations=LogicalRouterStatus&tag_scope=quantum";
    assert_eq!(server.get(list).await["results"][0]["_relations"]["LogicalRouterStatus"]["fabric_status"], false);
    let port = server.get("/ws.v1/lrouter/*/lport?fields=*&relations=LogicalPortStatus,LogicalPortAttachment").await;
    let relations = &port["results"][0]["_relations"];
    assert_eq!(relations["LogicalPortAttachment"]["type"], "L3GatewayAttachment");
    assert_eq!(relations["LogicalPortStatus"]["lrouter"]["uuid"], router);
}

pub async fn an_openstack_security_group_that_names_itself(server: &Server) {
    let rules = json!({"display_name": "default", "logical_port_ingress_rules": [{"ethertype": "IPv4"}, {"ethertype": "IPv6"}],
        "logical_port_egress_rules": [{"ethertype": "IPv4", "protocol": 17, "port_range_min": 68, "port_range_max": 68}]});
    let profile = server.create("/ws.v1/security-profile", rules).await;
    let path = format!("/ws.v1/security-profile/{profile}");
    let egress = json!([
        {"ethertype": "IPv4", "profile_uuid": profile},
        {"ethertype": "IPv4", "protocol": 1, "port_range_min": 8, "port_range_max": 0},
        {"ethertype": "IPv4", "ip_prefix": "10.0.0.1/24"},
        {"ethertype": "IPv4", "ip_prefix": "1.10.10.0"},
    ]);
    let both = json!({"logical_port_ingress_rules": [{"ethertype": "IPv4", "ip_prefix": "127.0.0.1/32"}],
        "logical_port_egress_rules": egress});
    let put = server.put(&path, both.clone()).await;
    assert_eq!(put["logical_port_egress_rules"], egress, "in the order and shape that was sent");
    assert_eq!(put["display_name"], "default", "the name was not sent");
    let listed = server.get(&format!("/ws.v1/security-profile?fields=*&uuid={profile}")).await;
    assert_eq!(listed["results"][0]["logical_port_ingress_rules"], both["logical_port_ingress_rules"]);
    assert_eq!(server.status(Method::DELETE, &path, "").await, 204, "only itself refers to it");
}

pub async fn openstack_without_agents(server: &Server) {
    let cluster = server.create("/ws.v1/edge-cluster", json!({"display_name": "edges"})).await;
    assert_eq!(server.get(&format!("/ws.v1/edge-cluster/{cluster}")).await["display_name"], "edges");
    let wanted = json!({"edge_cluster_uuid": cluster, "tags": [{"scope": "n_network_id", "tag": "net"}]});
    let node = server.create("/ws.v1/lservices-node", wanted).await;
    let found = server.get("/ws.v1/lservices-node?fields=uuid&tag=net&tag_scope=n_network_id").await;
    assert_eq!(uuids(&found), std::slice::from_ref(&node));
    let node = format!("/ws.v1/lservices-node/{node}");
    let ports = format!("{node}/lport");
    let wanted = json!({
        "ip_address": "10.7.0.0/24", "mac_address": "fa:16:3e:00:00:01", "type": "LogicalServicesNodePortConfig",
        "tags": [{"scope": "n_mac_address", "tag": "fa:16:3e:00:00:01"}, {"scope": "n_subnet_id", "tag": "sub"}],
    });
    let uuid = server.create(&ports, wanted.clone()).await;
    let found = server.get(&format!("{ports}?fields=uuid&tag=sub&tag_scope=n_subnet_id")).await;
    assert_eq!(uuids(&found), std::slice::from_ref(&uuid));
    let port = format!("{ports}/{uuid}");
    assert_eq!(server.get(&port).await["tags"], wanted["tags"]);

    let switch = server.create("/ws.v1/lswitch", json!({})).await;
    let lports = format!("/ws.v1/lswitch/{switch}/lport");
    let [lport, other] = [server.create(&lports, json!({})).await, server.create(&lports, json!({})).await];
    let patch = |peer: &str| json!({"type": "PatchAttachment", "peer_port_uuid": peer});
    server.put(&format!("{port}/attachment"), patch(&lport)).await;
    let seen = server.get(&format!("{lports}/{lport}/attachment")).await;
    assert_eq!((&seen["peer_port_uuid"], &seen["peer_port_href"]), (&json!(uuid), &json!(port)));
    let second = server.create(&ports, json!({})).await;
    let taken = server.send(Method::PUT, &format!("{ports}/{second}/attachment"), &patch(&lport).to_string()).await;
    assert_eq!(taken.status, StatusCode::CONFLICT, "{}", taken.text);
    server.put(&format!("{ports}/{second}/attachment"), patch(&other)).await;

    server.put(&format!("{node}/dhcp"), json!({"enabled": true})).await;
    let options = json!([{"name": "routers", "value": "10.7.0.1"}, {"name": "default_lease_time", "value": "120"}]);
    server.put(&format!("{port}/dhcp"), json!({ "options": options })).await;
    let act = async |path: &str, action: &str, body: Value| {
        let answer = server.send(Method::POST, &format!("{path}?action={action}"), &body.to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{path} {action}: {}", answer.text);
        answer.json()
    };
    let host =
        |last: u8| json!({"mac_address": format!("fa:16:3e:00:00:{last:02x}"), "ip_address": format!("10.7.0.{last}")});
    act(&format!("{port}/dhcp"), "add_host", host(7)).await;
    let both = act(&format!("{port}/dhcp"), "add_host", host(8)).await;
    assert_eq!((&both["options"], &both["hosts"]), (&options, &json!([host(7), host(8)])));
    let left = act(&format!("{port}/dhcp"), "remove_host", host(7)).await;
    assert_eq!(left["hosts"], json!([host(8)]));
    let replaced = server.put(&format!("{port}/dhcp"), json!({"hosts": [host(9)]})).await;
    assert_eq!((&replaced["options"], &replaced["hosts"]), (&options, &json!([host(9)])));
    assert_eq!(server.get(&port).await["dhcp"]["hosts"], json!([host(9)]));

    let secret = json!([{"name": "metadata_proxy_shared_secret", "value": "s"}]);
    let proxy =
        json!({"enabled": true, "metadata_server_ip": "192.0.2.9", "metadata_server_port": 8775, "options": secret});
    server.put(&format!("{node}/metadata-proxy"), proxy).await;
    assert_eq!(server.put(&format!("{node}/metadata-proxy"), json!({"enabled": false})).await["options"], secret);
    let guest = json!({"instance_id": "vm-7", "tenant_id": "t", "ip_address": "10.7.0.7"});
    let path = format!("{port}/metadata-proxy");
    assert_eq!(act(&path, "add_host", guest.clone()).await["hosts"], json!([guest]));
    assert_eq!(act(&path, "remove_host", guest.clone()).await["hosts"], json!([]));
    let nameless = json!({"instance_id": "vm-7", "ip_address": "10.7.0.7"});
    assert_eq!(
        server.put(&path, json!({"hosts": [nameless]})).await["hosts"],
        json!([nameless]),
        "as one agent sends it"
    );
    assert_eq!(act(&path, "remove_host", guest.clone()).await["hosts"], json!([]), "it is the same guest");
    assert_eq!(act(&path, "remove_host", guest.clone()).await["hosts"], json!([]), "twice is once");
    for (query, body, want) in [
        ("", guest.clone(), "action: it must be"),
        (
            "?action=add_host",
            json!({"ip_address": "10.7.0.7"}),
            "metadata_proxy.hosts[0].ip_address: missing field `instance_id`",
        ),
    ] {
        let wrong = server.send(Method::POST, &format!("{path}{query}"), &body.to_string()).await;
        assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{}", wrong.text);
        assert!(wrong.json()["error"].to_string().contains(want), "{}", wrong.text);
    }
    assert_eq!(server.get(&format!("{port}/status")).await["realised"], false);

    assert_eq!(server.status(Method::DELETE, &port, "").await, 204);
    assert_eq!(server.get(&format!("{lports}/{lport}/attachment")).await["type"], "NoAttachment");
    assert_eq!(server.status(Method::DELETE, &format!("/ws.v1/edge-cluster/{cluster}"), "").await, 409);
    assert_eq!(server.status(Method::DELETE, &node, "").await, 204);
    assert_eq!(server.status(Method::DELETE, &format!("/ws.v1/edge-cluster/{cluster}"), "").await, 204);
}
