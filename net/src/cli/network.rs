//! `selvedge switch` and `selvedge port`: logical switches and their ports. Start at [`switch`] and [`port`].

use super::Access;
use super::client::{Client, ClientError};
use super::node::{find, zone};
use super::show::{self, Column};
use clap::Subcommand;
use serde_json::{Value, json};

/// What to do with logical switches.
#[derive(Subcommand)]
pub enum Switch {
    /// List them
    List,
    /// Tell how one is
    Show {
        /// Its name or uuid
        name: String,
    },
    /// Make one
    Add {
        /// Its name
        name: String,
        /// How its frames travel: geneve, vxlan, gre or stt; may be repeated, best first
        #[arg(long = "type", value_name = "TYPE", default_value = "geneve")]
        kinds: Vec<String>,
        /// The transport zone
        #[arg(long, value_name = "ZONE")]
        zone: Option<String>,
        /// Its ports do not reach each other
        #[arg(long)]
        isolated: bool,
    },
    /// Remove one, and its ports
    Remove {
        /// Its name or uuid
        name: String,
    },
}

/// What to do with logical ports.
#[derive(Subcommand)]
pub enum Port {
    /// List them
    List {
        /// Only those of this switch
        switch: Option<String>,
    },
    /// Tell how one is, and why
    Show {
        /// Its name or uuid
        name: String,
    },
    /// Tell what passed one, as its hypervisor counts
    Counters {
        /// Its name or uuid
        name: String,
        /// Count from now on
        #[arg(long)]
        reset: bool,
    },
    /// Make one
    Add {
        /// The switch's name or uuid
        switch: String,
        /// Its name
        name: String,
        /// The guest's MAC address: the port may use only this
        #[arg(long, value_name = "MAC")]
        mac: Option<String>,
        /// An IP address or prefix of the guest; may be repeated
        #[arg(long = "ip", value_name = "IP", requires = "mac")]
        ips: Vec<String>,
        /// Attach it to this VIF
        #[arg(long, value_name = "VIF")]
        vif: Option<String>,
    },
    /// Attach one to a VIF
    Attach {
        /// Its name or uuid
        name: String,
        /// The VIF
        vif: String,
    },
    /// Detach one
    Detach {
        /// Its name or uuid
        name: String,
    },
    /// Remove one
    Remove {
        /// Its name or uuid
        name: String,
    },
}

const SWITCH_COLUMNS: [Column; 4] = [
    ("NAME", "display_name"),
    ("UP", "_relations.LogicalSwitchStatus.fabric_status"),
    ("PORTS", "_relations.LogicalSwitchStatus.lport_count"),
    ("UUID", "uuid"),
];

const SWITCH_FIELDS: [Column; 8] = [
    ("name", "display_name"),
    ("uuid", "uuid"),
    ("transport zones", "transport_zones"),
    ("isolated", "port_isolation_enabled"),
    ("fabric up", "status.fabric_status"),
    ("ports", "status.lport_count"),
    ("link up", "status.lport_link_up_count"),
    ("ports fabric up", "status.lport_fabric_up_count"),
];

const PORT_COLUMNS: [Column; 6] = [
    ("NAME", "display_name"),
    ("LINK", "_relations.LogicalPortStatus.link_status_up"),
    ("FABRIC", "_relations.LogicalPortStatus.fabric_status_up"),
    ("VIF", "_relations.LogicalPortAttachment.vif_uuid"),
    ("WHY NOT", "_relations.LogicalPortStatus.reason"),
    ("UUID", "uuid"),
];

const PORT_FIELDS: [Column; 8] = [
    ("enabled", "admin_status_enabled"),
    ("link up", "link_status_up"),
    ("fabric up", "fabric_status_up"),
    ("why not", "reason"),
    ("transport node", "transport_node_uuid"),
    ("interface", "vif_interface"),
    ("realised", "realised"),
    ("desired revision", "desired_revision"),
];

const COUNTERS: [Column; 7] = [
    ("packets from the guest", "rx_packets"),
    ("bytes from the guest", "rx_bytes"),
    ("errors from the guest", "rx_errors"),
    ("packets to the guest", "tx_packets"),
    ("bytes to the guest", "tx_bytes"),
    ("errors to the guest", "tx_errors"),
    ("not counted, since", "reason"),
];

/// Does something with logical switches.
pub(super) fn switch(client: &Client, access: &Access, command: Switch) -> Result<(), ClientError> {
    match command {
        Switch::List => {
            let path = "/ws.v1/lswitch?fields=*&relations=LogicalSwitchStatus";
            show::table(access.json, &SWITCH_COLUMNS, &client.list(path)?);
            Ok(())
        }
        Switch::Show { name } => {
            let path = format!("/ws.v1/lswitch/{}", find(client, "/ws.v1/lswitch", "logical switch", &name)?);
            let mut switch = client.get(&path)?;
            switch["status"] = client.get(&format!("{path}/status"))?;
            show::object(access.json, &SWITCH_FIELDS, &switch);
            Ok(())
        }
        Switch::Add { name, kinds, zone: wanted, isolated } => {
            let zone = zone(client, wanted.as_deref())?;
            let zones: Vec<Value> =
                kinds.iter().map(|kind| json!({ "zone_uuid": zone, "transport_type": kind })).collect();
            let body = json!({ "display_name": name, "transport_zones": zones, "port_isolation_enabled": isolated });
            made(access, &client.post("/ws.v1/lswitch", &body)?);
            Ok(())
        }
        Switch::Remove { name } => {
            let uuid = find(client, "/ws.v1/lswitch", "logical switch", &name)?;
            client.delete(&format!("/ws.v1/lswitch/{uuid}"))
        }
    }
}

fn made(access: &Access, object: &Value) {
    match access.json {
        true => println!("{object}"),
        false => println!("{}", show::cell(object, "uuid")),
    }
}

/// The path of a port, by its name or uuid.
fn port_path(client: &Client, name: &str) -> Result<String, ClientError> {
    let uuid = port_uuid(client, name)?;
    Ok(format!("/ws.v1/lswitch/*/lport/{uuid}"))
}

/// The uuid of a port, by its name or uuid.
pub(super) fn port_uuid(client: &Client, name: &str) -> Result<String, ClientError> {
    find(client, "/ws.v1/lswitch/*/lport", "logical port", name)
}

/// Does something with logical ports.
pub(super) fn port(client: &Client, access: &Access, command: Port) -> Result<(), ClientError> {
    match command {
        Port::List { switch } => {
            let switch = match switch {
                Some(name) => find(client, "/ws.v1/lswitch", "logical switch", &name)?,
                None => "*".to_string(),
            };
            let path = format!(
                "/ws.v1/lswitch/{switch}/lport?fields=*&relations=LogicalPortStatus&relations=LogicalPortAttachment"
            );
            show::table(access.json, &PORT_COLUMNS, &client.list(&path)?);
            Ok(())
        }
        Port::Show { name } => {
            let status = client.get(&format!("{}/status", port_path(client, &name)?))?;
            show::object(access.json, &PORT_FIELDS, &status);
            Ok(())
        }
        Port::Counters { name, reset } => {
            let path = format!("{}/statistic", port_path(client, &name)?);
            if reset {
                client.delete(&path)?;
            }
            show::object(access.json, &COUNTERS, &client.get(&path)?);
            Ok(())
        }
        Port::Add { switch, name, mac, ips, vif } => add_port(client, access, &switch, &name, mac, &ips, vif),
        Port::Attach { name, vif } => attach(client, &port_path(client, &name)?, Some(vif)),
        Port::Detach { name } => attach(client, &port_path(client, &name)?, None),
        Port::Remove { name } => client.delete(&port_path(client, &name)?),
    }
}

fn add_port(
    client: &Client,
    access: &Access,
    switch: &str,
    name: &str,
    mac: Option<String>,
    ips: &[String],
    vif: Option<String>,
) -> Result<(), ClientError> {
    let switch = find(client, "/ws.v1/lswitch", "logical switch", switch)?;
    let pairs: Vec<Value> = match (mac, ips) {
        (None, _) => Vec::new(),
        (Some(mac), []) => vec![json!({ "mac_address": mac })],
        (Some(mac), ips) => ips.iter().map(|ip| json!({ "mac_address": mac, "ip_address": ip })).collect(),
    };
    let path = format!("/ws.v1/lswitch/{switch}/lport");
    let port = client.post(&path, &json!({ "display_name": name, "allowed_address_pairs": pairs }))?;
    if vif.is_some() {
        attach(client, &format!("{path}/{}", show::cell(&port, "uuid")), vif)?;
    }
    made(access, &port);
    Ok(())
}

fn attach(client: &Client, port: &str, vif: Option<String>) -> Result<(), ClientError> {
    let attachment = match vif {
        Some(vif) => json!({ "type": "VifAttachment", "vif_uuid": vif }),
        None => json!({ "type": "NoAttachment" }),
    };
    client.put(&format!("{port}/attachment"), &attachment).map(drop)
}
