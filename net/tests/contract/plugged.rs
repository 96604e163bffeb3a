//! Ports and what is plugged into them, what becomes of packets, and transport nodes.

use super::server::{Server, uuids};
use axum::http::Method;
use serde_json::{Value, json};

pub async fn a_vif_is_attached_once(server: &Server) {
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

pub async fn a_trace_fills_in_what_is_not_asked(server: &Server) {
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

pub async fn a_node_has_flows_and_a_status(server: &Server) {
    let node = server.create("/ws.v1/transport-node", json!({ "display_name": "hv1" })).await;
    let flows = server.get(&format!("/ws.v1/transport-node/{node}/flows")).await;
    assert!(flows["flows"][0].as_str().is_some_and(|flow| flow.starts_with("table=admission,")), "{flows}");
    let status = server.get(&format!("/ws.v1/transport-node/{node}/status")).await;
    assert_eq!(status["connection"]["connected"], false);
    let realisation = server.get("/ws.v1/realisation?timeout_ms=10").await;
    assert_eq!((&realisation["realised"], &realisation["late"][0]["display_name"]), (&json!(false), &json!("hv1")));
}
