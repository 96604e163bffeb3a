//! `selvedge trace`: what becomes of a packet, on intent and on the real switch. Start at [`trace`].

use super::Access;
use super::client::{Client, ClientError};
use super::network::port_uuid;
use super::show;
use clap::Args;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines at the end of `ofproto/trace` that are shown: the final flow, the megaflow, the datapath actions.
const LAST_LINES: usize = 4;

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

/// What becomes of a packet.
pub(super) fn trace(client: &Client, access: &Access, packet: Packet) -> Result<(), ClientError> {
    let rundir = packet.ovs_rundir.clone();
    let mut answer = client.post("/ws.v1/trace", &question(client, packet)?)?;
    let place = answer["bridge"].as_str().zip(answer["flow"].as_str());
    let place = place.map(|(bridge, flow)| (bridge.to_string(), flow.to_string()));
    if !access.json {
        print(&answer);
    }
    match (place, rundir) {
        (Some((bridge, flow)), Some(rundir)) => {
            let text = ask(&rundir, &bridge, &flow)?;
            match access.json {
                true => answer["real_switch"] = text.into(),
                false => println!("the real switch:\n{}", last_lines(&text)),
            }
        }
        (Some((bridge, flow)), None) if !access.json => {
            println!("on its hypervisor, ask the real switch: ovs-appctl ofproto/trace {bridge} '{flow}'");
        }
        (None, Some(_)) if !access.json => println!("no real switch to ask: the port is on no transport node"),
        (Some(_) | None, _) => {}
    }
    if access.json {
        println!("{answer}");
    }
    Ok(())
}

fn question(client: &Client, packet: Packet) -> Result<Value, ClientError> {
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
    let given = fields.into_iter().filter_map(|(name, value)| Some((name.to_string(), json!(value?))));
    Ok(Value::Object(given.collect::<Map<String, Value>>()))
}

fn print(answer: &Value) {
    let columns = [("STAGE", "stage"), ("VERDICT", "verdict"), ("WHY", "why")];
    show::table(false, &columns, answer["steps"].as_array().map_or(&[], Vec::as_slice));
    println!("\non intent: {}", show::cell(answer, "outcome"));
}

/// The answer of the switch whose control sockets are in `rundir`.
///
/// # Errors
/// If `ovs-appctl` cannot be run, or fails: in its words.
fn ask(rundir: &Path, bridge: &str, flow: &str) -> Result<String, ClientError> {
    let output = Command::new("ovs-appctl").env("OVS_RUNDIR", rundir).args(["ofproto/trace", bridge, flow]).output();
    let output = output.map_err(|why| ClientError::Other(format!("ovs-appctl: {why}")))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => {
            let why = String::from_utf8_lossy(&output.stderr);
            Err(ClientError::Other(format!("the real switch does not answer: {}", why.trim())))
        }
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines.iter().skip(lines.len().saturating_sub(LAST_LINES));
    last.map(|line| format!("  {}", line.trim())).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_real_trace_is_shown() {
        let text = "Flow: in_port=1\n\nbridge(\"br-int\")\n 0. priority 0\n    drop\n\nFinal flow: unchanged\n\
            Megaflow: recirc_id=0\nDatapath actions: drop\n";
        let want = "  drop\n  Final flow: unchanged\n  Megaflow: recirc_id=0\n  Datapath actions: drop";
        assert_eq!(last_lines(text), want);
        assert_eq!(last_lines("Datapath actions: 2\n"), "  Datapath actions: 2");
    }

    #[test]
    fn a_switch_that_is_not_there_is_an_error() {
        let error = ask(Path::new("/nonexistent"), "br-int", "in_port=1").expect_err("nothing runs there").to_string();
        assert!(error.contains("ovs-appctl"), "{error}");
    }
}
