//! `selvedge status`, `wait`, `flows` and `trace`: a look inside. Start at [`status`].

use super::Access;
use super::client::{Client, ClientError};
use super::network::port_uuid;
use super::node::find;
use super::show::{self, Column};
use clap::Args;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// A packet to be traced.
#[derive(Args)]
pub struct Packet {
    /// The port whose guest sends it: name or uuid
    port: String,
    /// Where it goes: another port's name or uuid, or an IP address
    #[arg(long)]
    to: Option<String>,
    /// Ethernet source [default: the port's]
    #[arg(long, value_name = "MAC")]
    dl_src: Option<String>,
    /// Ethernet destination
    #[arg(long, value_name = "MAC")]
    dl_dst: Option<String>,
    /// IP source [default: the port's]
    #[arg(long, value_name = "IP")]
    nw_src: Option<String>,
    /// IP destination
    #[arg(long, value_name = "IP")]
    nw_dst: Option<String>,
    /// An ARP request for this address
    #[arg(long, value_name = "IP")]
    arp: Option<String>,
    /// Also ask the real switch, on its hypervisor: the directory with its control sockets
    #[arg(long, value_name = "DIR")]
    ovs_rundir: Option<PathBuf>,
}

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

/// How everything is. Whether it is well: no node is away or has problems.
pub(super) fn status(client: &Client, access: &Access) -> Result<bool, ClientError> {
    let cluster = client.get("/ws.v1/control-cluster/status")?;
    let refused = client.list("/ws.v1/control-cluster/refused-peers")?;
    let nodes = client.list("/ws.v1/transport-node?fields=*&relations=TransportNodeStatus")?;
    let well = nodes.iter().all(|node| {
        let status = &node["_relations"]["TransportNodeStatus"];
        let sound = status["problems"].as_array().is_none_or(Vec::is_empty);
        node["admin_status_enabled"] == false || (status["connection"]["connected"] == true && sound)
    });
    if access.json {
        println!("{}", json!({ "cluster": cluster, "transport_nodes": nodes, "refused_peers": refused, "well": well }));
        return Ok(well);
    }
    println!("cluster {}", show::cell(&cluster, "cluster_status"));
    for (what, stats) in [("switches", "switch_stats"), ("ports", "port_stats")] {
        println!("{what}: {}", show::cell(&cluster, &format!("{stats}.registered_count")));
    }
    println!();
    show::table(false, &NODE_COLUMNS, &nodes);
    if !refused.is_empty() {
        println!("\nturned away:");
        let columns = [("PEER", "peer"), ("PROTOCOL", "protocol"), ("WHY", "why"), ("FINGERPRINT", "fingerprint")];
        show::table(false, &columns, &refused);
    }
    Ok(well)
}

/// Waits for a revision; whether everybody holds it.
pub(super) fn wait(client: &Client, access: &Access, revision: Option<u64>, seconds: u64) -> Result<bool, ClientError> {
    let revision = revision.map(|revision| format!("&revision={revision}")).unwrap_or_default();
    let answer = client.get(&format!("/ws.v1/realisation?timeout_ms={}{revision}", seconds.saturating_mul(1000)))?;
    let realised = answer["realised"] == true;
    match (access.json, realised) {
        (true, _) => println!("{answer}"),
        (false, true) => println!("revision {} is realised", show::cell(&answer, "revision")),
        (false, false) => {
            println!("revision {} is not realised yet; late are:", show::cell(&answer, "revision"));
            let columns = [("NODE", "display_name"), ("HOLDS", "realised_revision"), ("WHY", "reason")];
            show::table(false, &columns, answer["late"].as_array().map_or(&[], Vec::as_slice));
        }
    }
    Ok(realised)
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

/// What becomes of a packet.
pub(super) fn trace(client: &Client, access: &Access, packet: Packet) -> Result<(), ClientError> {
    let to = match packet.to {
        Some(to) if to.parse::<std::net::IpAddr>().is_err() => Some(port_uuid(client, &to)?),
        other => other,
    };
    let fields = [
        ("lport_uuid", Some(port_uuid(client, &packet.port)?)),
        ("to", to),
        ("dl_src", packet.dl_src),
        ("dl_dst", packet.dl_dst),
        ("nw_src", packet.nw_src),
        ("nw_dst", packet.nw_dst),
        ("arp_tpa", packet.arp),
    ];
    let question: Map<String, Value> =
        fields.into_iter().filter_map(|(name, value)| Some((name.to_string(), Value::String(value?)))).collect();
    let answer = client.post("/ws.v1/trace", &Value::Object(question))?;
    if access.json {
        println!("{answer}");
        return Ok(());
    }
    let columns = [("STAGE", "stage"), ("VERDICT", "verdict"), ("WHY", "why")];
    show::table(false, &columns, answer["steps"].as_array().map_or(&[], Vec::as_slice));
    println!("\non intent: {}", show::cell(&answer, "outcome"));
    let (Some(bridge), Some(flow)) = (answer["bridge"].as_str(), answer["flow"].as_str()) else { return Ok(()) };
    match packet.ovs_rundir {
        None => println!("on its hypervisor, ask the real switch: ovs-appctl ofproto/trace {bridge} '{flow}'"),
        Some(rundir) => {
            let mut tool = std::process::Command::new("ovs-appctl");
            let output = tool.env("OVS_RUNDIR", &rundir).args(["ofproto/trace", bridge, flow]).output();
            let output = output.map_err(|why| ClientError::Other(format!("ovs-appctl: {why}")))?;
            let text = String::from_utf8_lossy(if output.status.success() { &output.stdout } else { &output.stderr });
            let actions = text.lines().find(|line| line.starts_with("Datapath actions"));
            println!("the real switch: {}", actions.unwrap_or(text.trim()));
        }
    }
    Ok(())
}
