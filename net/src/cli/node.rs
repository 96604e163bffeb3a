//! `selvedge node`: transport nodes. Start at [`run`].

use super::Access;
use super::client::{Client, ClientError, form_encode};
use super::show::{self, Column};
use crate::tls::node_certificate;
use clap::Subcommand;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The zone that nodes are put into when none is named.
const DEFAULT_ZONE: &str = "default";

const STATUS_FIELDS: [Column; 12] = [
    ("connected", "connection.connected"),
    ("OVSDB from", "connection.ovsdb.peer"),
    ("OpenFlow from", "connection.openflow.peer"),
    ("Open vSwitch", "ovs_version"),
    ("realised revision", "realised_revision"),
    ("config revision", "config_revision"),
    ("VIFs", "vif_count"),
    ("controller", "owner"),
    ("standby", "standby"),
    ("problems", "problems"),
    ("repairs", "repairs"),
    ("counters", "counters"),
];

/// What to do with transport nodes.
#[derive(Subcommand)]
pub enum Command {
    /// List them, with their status
    List,
    /// Tell how one is: connections, problems, repairs, what was sent to it
    Show {
        /// Its name or uuid
        name: String,
    },
    /// Register a hypervisor: makes its key and certificate, and tells how to attach it
    Add {
        /// Its name
        name: String,
        /// Where its tunnels end; may be repeated. TYPE is geneve, vxlan, gre or stt; without a zone, the one named
        /// "default" is used, and made if there is none
        #[arg(long = "connector", value_name = "TYPE:IP[:ZONE]", required = true)]
        connectors: Vec<ConnectorWord>,
        /// Directory for NAME.key, NAME.pem and ca.pem
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Register this certificate (PEM) instead of making one
        #[arg(long, value_name = "FILE")]
        certificate: Option<PathBuf>,
        /// The bridge that VIFs are plugged into
        #[arg(long, value_name = "BRIDGE", default_value = "br-int")]
        bridge: String,
    },
    /// Remove a hypervisor: it keeps its ports, and is no longer controlled
    Remove {
        /// Its name or uuid
        name: String,
    },
}

/// `TYPE:IP[:ZONE]`; an IPv6 address stands in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorWord {
    kind: &'static str,
    address: IpAddr,
    zone: Option<String>,
}

impl FromStr for ConnectorWord {
    type Err = String;

    fn from_str(word: &str) -> Result<ConnectorWord, String> {
        let (kind, rest) = word.split_once(':').ok_or("must read TYPE:IP[:ZONE], as geneve:192.0.2.1")?;
        let kind = match kind {
            "geneve" => "GeneveConnector",
            "vxlan" => "VXLANConnector",
            "gre" => "GREConnector",
            "stt" => "STTConnector",
            other => return Err(format!("'{other}' is none of geneve, vxlan, gre, stt")),
        };
        let (address, zone) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, zone)) => (address, zone.strip_prefix(':')),
            None => rest.split_once(':').map_or((rest, None), |(address, zone)| (address, Some(zone))),
        };
        let address = address.parse().map_err(|_| format!("'{address}' is no IP address"))?;
        Ok(ConnectorWord { kind, address, zone: zone.map(str::to_string) })
    }
}

/// Does it.
pub(super) fn run(client: &Client, access: &Access, command: Command) -> Result<(), ClientError> {
    match command {
        Command::List => super::look::nodes(client, access).map(drop),
        Command::Show { name } => {
            let uuid = find(client, "/ws.v1/transport-node", "transport node", &name)?;
            let status = client.get(&format!("/ws.v1/transport-node/{uuid}/status"))?;
            show::object(access.json, &STATUS_FIELDS, &status);
            Ok(())
        }
        Command::Add { name, connectors, out, certificate, bridge } => {
            add(client, access, &name, &connectors, &out, certificate.as_deref(), &bridge)
        }
        Command::Remove { name } => {
            let uuid = find(client, "/ws.v1/transport-node", "transport node", &name)?;
            client.delete(&format!("/ws.v1/transport-node/{uuid}"))
        }
    }
}

fn add(
    client: &Client,
    access: &Access,
    name: &str,
    connectors: &[ConnectorWord],
    out: &Path,
    certificate: Option<&Path>,
    bridge: &str,
) -> Result<(), ClientError> {
    let file = |path: &Path, why| ClientError::File { path: path.to_path_buf(), why, hint: "" };
    std::fs::create_dir_all(out).map_err(|why| file(out, why))?;
    let pem = match certificate {
        Some(path) => std::fs::read_to_string(path).map_err(|why| file(path, why))?,
        None => {
            let made = node_certificate(name).map_err(|error| ClientError::Other(error.to_string()))?;
            write(&out.join(format!("{name}.key")), &made.key, 0o600)?;
            made.certificate
        }
    };
    write(&out.join(format!("{name}.pem")), &pem, 0o644)?;
    write(&out.join("ca.pem"), client.ca(), 0o644)?;
    let connectors = connectors.iter().map(|connector| {
        let zone = zone(client, connector.zone.as_deref())?;
        let address = connector.address.to_string();
        Ok(json!({ "type": connector.kind, "ip_address": address, "transport_zone_uuid": zone }))
    });
    let body = json!({
        "display_name": name,
        "integration_bridge_id": bridge,
        "credential": {
            "type": "SecurityCertificateCredential",
            "client_certificate": { "pem_encoded": pem },
        },
        "transport_connectors": connectors.collect::<Result<Vec<Value>, ClientError>>()?,
    });
    let node = client.post("/ws.v1/transport-node", &body)?;
    if access.json {
        println!("{node}");
        return Ok(());
    }
    let host = match access.api.rsplit_once(':') {
        Some((host, _)) if !host.starts_with("127.") && host != "localhost" => host,
        _ => "CONTROLLER",
    };
    println!("{name} is registered. On the hypervisor, with {} copied there:", out.display());
    let file =
        |file: &str| std::path::absolute(out.join(file)).unwrap_or_else(|_| out.join(file)).display().to_string();
    let (key, certificate) = (file(&format!("{name}.key")), file(&format!("{name}.pem")));
    println!("  ovs-vsctl set-ssl {key} {certificate} {}", file("ca.pem"));
    println!("  ovs-vsctl set-manager ssl:{host}:6640");
    Ok(())
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), ClientError> {
    use std::io::Write;
    let mut options = std::fs::OpenOptions::new();
    let opened = options.write(true).create(true).truncate(true).mode(mode).open(path);
    let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|why| ClientError::File { path: path.to_path_buf(), why, hint: "" })
}

/// The uuid of a zone by its name or uuid; the default one is made if it is not there.
pub(super) fn zone(client: &Client, wanted: Option<&str>) -> Result<String, ClientError> {
    let name = wanted.unwrap_or(DEFAULT_ZONE);
    match (find(client, "/ws.v1/transport-zone", "transport zone", name), wanted) {
        (Err(ClientError::Absent { .. }), None) => {
            let zone = client.post("/ws.v1/transport-zone", &json!({ "display_name": name }))?;
            Ok(zone.get("uuid").and_then(Value::as_str).unwrap_or_default().to_string())
        }
        (found, _) => found,
    }
}

/// The uuid of an object by its name or uuid.
pub(super) fn find(client: &Client, path: &str, what: &'static str, name: &str) -> Result<String, ClientError> {
    let field = if uuid::Uuid::parse_str(name).is_ok() { "uuid" } else { "display_name" };
    let found = client.list(&format!("{path}?fields=uuid&{field}={}", form_encode(name)))?;
    only(&found, what, name)
}

/// The uuid of the only one of `found`.
fn only(found: &[Value], what: &'static str, name: &str) -> Result<String, ClientError> {
    let name = name.to_string();
    let uuids: Vec<String> =
        found.iter().filter_map(|object| Some(object.get("uuid")?.as_str()?.to_string())).collect();
    match uuids.as_slice() {
        [uuid] => Ok(uuid.clone()),
        [] => Err(ClientError::Absent { what, name }),
        _ => Err(ClientError::Ambiguous { what, name, uuids }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_must_mean_one_object() {
        let check = |found: &[Value], want: &str| {
            let got = only(found, "logical switch", "s").unwrap_or_else(|error| error.to_string());
            assert_eq!(got, want);
        };
        let (a, b) = (json!({ "uuid": "a" }), json!({ "uuid": "b" }));
        check(std::slice::from_ref(&a), "a");
        check(&[], "there is no logical switch 's'");
        check(&[a, b], "more than one logical switch is called 's'; name one by its uuid: a, b");
    }

    #[test]
    fn connectors_are_read_and_nonsense_is_named() {
        let check = |word: &str, want: &str| {
            let got = match word.parse::<ConnectorWord>() {
                Ok(ConnectorWord { kind, address, zone }) => format!("{kind} {address} {zone:?}"),
                Err(why) => why,
            };
            assert_eq!(got, want);
        };
        check("geneve:192.0.2.1", "GeneveConnector 192.0.2.1 None");
        check("gre:192.0.2.1:dc1", "GREConnector 192.0.2.1 Some(\"dc1\")");
        check("vxlan:[2001:db8::1]:dc1", "VXLANConnector 2001:db8::1 Some(\"dc1\")");
        check("ipip:192.0.2.1", "'ipip' is none of geneve, vxlan, gre, stt");
        check("gre:nowhere", "'nowhere' is no IP address");
        check("gre", "must read TYPE:IP[:ZONE], as geneve:192.0.2.1");
    }
}
