//! `selvedge status`, `wait` and `flows`: a look inside. Start at [`status`]; [`attention`] judges.

use super::Access;
use super::client::{Client, ClientError};
use super::node::find;
use super::show::{self, Column};
use serde_json::{Value, json};

const NODE_COLUMNS: [Column; 6] = [
    ("NODE", "display_name"),
    ("CONNECTED", "_relations.TransportNodeStatus.connection.connected"),
    ("REALISED", "_relations.TransportNodeStatus.realised_revision"),
    ("VIFS", "_relations.TransportNodeStatus.vif_count"),
    ("PROBLEMS", "_relations.TransportNodeStatus.problems"),
    ("UUID", "uuid"),
];

/// The transport nodes, with their status.
pub(super) fn nodes(client: &Client, access: &Access) -> Result<Vec<Value>, ClientError> {
    let nodes = client.list("/ws.v1/transport-node?fields=*&relations=TransportNodeStatus")?;
    show::table(access.json, &NODE_COLUMNS, &nodes);
    Ok(nodes)
}

/// How everything is. Whether it is well: nothing needs attention.
pub(super) fn status(client: &Client, access: &Access) -> Result<bool, ClientError> {
    let cluster = client.get("/ws.v1/control-cluster/status")?;
    let refused = client.list("/ws.v1/control-cluster/refused-peers")?;
    let nodes = client.list("/ws.v1/transport-node?fields=*&relations=TransportNodeStatus")?;
    let attention = attention(&cluster, &nodes);
    let well = attention.is_empty();
    if access.json {
        let answer = json!({
            "cluster": cluster,
            "transport_nodes": nodes,
            "refused_peers": refused,
            "well": well,
            "attention": attention,
        });
        println!("{answer}");
        return Ok(well);
    }
    println!("cluster {}", show::cell(&cluster, "cluster_status"));
    for (what, stats) in [("switches", "switch_stats"), ("ports", "port_stats")] {
        println!("{what}: {}", show::cell(&cluster, &format!("{stats}.registered_count")));
    }
    println!("transport nodes: {}\n", census(&nodes));
    show::table(false, &NODE_COLUMNS, &nodes);
    if !refused.is_empty() {
        println!("\nturned away:");
        let columns = [("PEER", "peer"), ("PROTOCOL", "protocol"), ("WHY", "why"), ("FINGERPRINT", "fingerprint")];
        show::table(false, &columns, &refused);
    }
    if !well {
        println!("\nneeds attention:");
        attention.iter().for_each(|line| println!("  {line}"));
    }
    Ok(well)
}

/// What an operator should look at. A connected node that is late is not among it (changes take a moment, and
/// `selvedge wait` tells), nor are refused peers: any stranger can cause one.
fn attention(cluster: &Value, nodes: &[Value]) -> Vec<String> {
    let mut lines = Vec::new();
    let state = show::cell(cluster, "cluster_status");
    if state != "stable" {
        lines.push(format!("the cluster is {state}"));
    }
    for node in nodes.iter().filter(|node| node["admin_status_enabled"] != false) {
        let name = show::cell(node, "display_name");
        if !connected(node) {
            lines.push(format!("transport node {name} is not connected"));
        }
        let problems = node["_relations"]["TransportNodeStatus"]["problems"].as_array();
        let problems = problems.into_iter().flatten().filter_map(Value::as_str);
        lines.extend(problems.map(|problem| format!("transport node {name}: {problem}")));
    }
    lines
}

fn connected(node: &Value) -> bool {
    node["_relations"]["TransportNodeStatus"]["connection"]["connected"] == true
}

/// How many transport nodes there are, are connected, and do not hold the whole configuration.
fn census(nodes: &[Value]) -> String {
    let late = |node: &&Value| {
        let status = &node["_relations"]["TransportNodeStatus"];
        status["realised_revision"].as_u64() < status["config_revision"].as_u64()
    };
    let up = nodes.iter().filter(|node| connected(node)).count();
    format!("{}, {up} connected, {} late", nodes.len(), nodes.iter().filter(late).count())
}

/// Waits for a revision; whether everybody holds it.
pub(super) fn wait(client: &Client, access: &Access, revision: Option<u64>, seconds: u64) -> Result<bool, ClientError> {
    let revision = revision.map(|revision| format!("&revision={revision}")).unwrap_or_default();
    let answer = client.get(&format!("/ws.v1/realisation?timeout_ms={}{revision}", seconds.saturating_mul(1000)))?;
    let realised = answer["realised"] == true;
    match (access.json, realised) {
        (true, _) => println!("{answer}"),
        (false, true) => println!("revision {} is realised", show::cell(&answer, "revision")),
        (false, false) => late(&show::cell(&answer, "revision"), answer["late"].as_array().map_or(&[], Vec::as_slice)),
    }
    Ok(realised)
}

/// Nobody is late for a revision that no commit has reached.
fn late(revision: &str, late: &[Value]) {
    if late.is_empty() {
        return println!("there is no revision {revision} yet");
    }
    println!("revision {revision} is not realised yet; late are:");
    show::table(false, &[("NODE", "display_name"), ("HOLDS", "realised_revision"), ("WHY", "reason")], late);
}

/// The flows a node should hold.
pub(super) fn flows(client: &Client, access: &Access, node: &str) -> Result<(), ClientError> {
    let uuid = find(client, "/ws.v1/transport-node", "transport node", node)?;
    let answer = client.get(&format!("/ws.v1/transport-node/{uuid}/flows"))?;
    if access.json {
        println!("{answer}");
        return Ok(());
    }
    for list in ["groups", "flows"] {
        answer[list].as_array().into_iter().flatten().filter_map(Value::as_str).for_each(|line| println!("{line}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, enabled: bool, status: Value) -> Value {
        let relations = json!({ "TransportNodeStatus": status });
        json!({ "display_name": name, "admin_status_enabled": enabled, "_relations": relations })
    }

    fn status(connected: bool, realised: Option<u64>, problems: &[&str]) -> Value {
        let connection = json!({ "connected": connected });
        json!({ "connection": connection, "realised_revision": realised, "config_revision": 7, "problems": problems })
    }

    #[test]
    fn what_needs_attention_is_named() {
        let nodes = [
            node("sound", true, status(true, Some(7), &[])),
            node("late", true, status(true, Some(6), &[])),
            node("away", true, status(false, None, &[])),
            node("ill", true, status(true, Some(7), &["no br-int", "no tunnel"])),
            node("retired", false, status(false, None, &["no br-int"])),
        ];
        let want =
            ["transport node away is not connected", "transport node ill: no br-int", "transport node ill: no tunnel"];
        assert_eq!(attention(&json!({ "cluster_status": "stable" }), &nodes), want);
        assert_eq!(attention(&json!({ "cluster_status": "unstable" }), &nodes[..2]), ["the cluster is unstable"]);
        assert_eq!(census(&nodes), "5, 3 connected, 3 late");
    }
}
