//! Logical services nodes: what answers a network's guests in place of a machine of the tenant's, by DHCP and as their
//! way to the metadata server. Kept and returned; not carried out. Start at [`ServicesNode`].

use super::{Common, Invalid, IpPrefix, Kind, Reference, at_most, null_is_default, null_is_yes, text, yes};
use crate::addr::Mac;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use uuid::Uuid;

/// Most transport nodes of one edge cluster.
pub const EDGE_NODES_MAX: usize = 256;
/// Most hosts that one port serves. They are one record, which is written whole.
pub const SERVED_HOSTS_MAX: usize = 1024;
/// Most options of one service.
pub const SERVICE_OPTIONS_MAX: usize = 64;
/// Longest name of an option, and of a guest, in bytes.
pub const SERVICE_WORD_MAX: usize = 255;
/// Longest value of an option, in bytes: several values are one, with commas between.
pub const OPTION_VALUE_MAX: usize = 4096;

/// Transport nodes that do services nodes' work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeCluster {
    /// Name and tags.
    #[serde(flatten)]
    pub common: Common,
    /// The transport nodes.
    #[serde(default, deserialize_with = "null_is_default")]
    pub transport_node_uuids: Vec<Uuid>,
}

impl EdgeCluster {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        at_most("transport_node_uuids", self.transport_node_uuids.len(), EDGE_NODES_MAX, "transport nodes")
    }

    pub(super) fn references(&self) -> Vec<Reference> {
        let nodes = self.transport_node_uuids.iter().enumerate();
        nodes.map(|(i, node)| Reference::within("transport_node_uuids", i, "", Kind::TransportNode, *node)).collect()
    }
}

/// What serves the guests of a network, by the ports that connect it with them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicesNode {
    /// Name and tags.
    #[serde(flatten)]
    pub common: Common,
    /// Who does its work.
    pub edge_cluster_uuid: Uuid,
    /// Whether guests get their addresses from it.
    #[serde(default, deserialize_with = "null_is_default")]
    pub dhcp: DhcpService,
    /// Whether guests reach the metadata server by it.
    #[serde(default, deserialize_with = "null_is_default")]
    pub metadata_proxy: MetadataProxy,
}

impl ServicesNode {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        options("dhcp.options", &self.dhcp.options)?;
        options("metadata_proxy.options", &self.metadata_proxy.options)
    }

    pub(super) fn references(&self) -> Vec<Reference> {
        vec![Reference::by("edge_cluster_uuid", Kind::EdgeCluster, self.edge_cluster_uuid)]
    }
}

/// DHCP (RFC 2131) for all ports of a services node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DhcpService {
    /// Whether it answers.
    #[serde(default, deserialize_with = "null_is_default")]
    pub enabled: bool,
    /// What it tells all.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<ServiceOption>,
}

/// The way to a metadata server for all ports of a services node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataProxy {
    /// Whether it answers.
    #[serde(default, deserialize_with = "null_is_default")]
    pub enabled: bool,
    /// Where the metadata server is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata_server_ip: Option<IpAddr>,
    /// At which TCP port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata_server_port: Option<u16>,
    /// What it has to know: a secret that it shares with the server, say.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<ServiceOption>,
}

/// Something that a service is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceOption {
    /// What it is about: `routers`, `domain_name_servers`.
    pub name: String,
    /// What it says; several values have commas between them.
    pub value: String,
}

fn options(field: &str, options: &[ServiceOption]) -> Result<(), Invalid> {
    at_most(field, options.len(), SERVICE_OPTIONS_MAX, "options")?;
    options.iter().enumerate().try_for_each(|(i, option)| {
        text(&format!("{field}[{i}].name"), &option.name, SERVICE_WORD_MAX)?;
        text(&format!("{field}[{i}].value"), &option.value, OPTION_VALUE_MAX)
    })
}

/// Where a services node is connected with a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicesNodePort {
    /// Name and tags.
    #[serde(flatten)]
    pub common: Common,
    /// If false, it serves nobody.
    #[serde(default = "yes", deserialize_with = "null_is_yes")]
    pub admin_status_enabled: bool,
    /// Its address, with the length of its network's prefix, or the network's own address.
    #[serde(default)]
    pub ip_address: Option<IpPrefix>,
    /// Its Ethernet address.
    #[serde(default)]
    pub mac_address: Option<Mac>,
    /// Whom it tells what by DHCP.
    #[serde(default, deserialize_with = "null_is_default")]
    pub dhcp: PortDhcp,
    /// Whom it takes to the metadata server, and who they are there.
    #[serde(default, deserialize_with = "null_is_default")]
    pub metadata_proxy: PortMetadataProxy,
}

/// DHCP at one port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortDhcp {
    /// What it tells the guests there.
    #[serde(default, deserialize_with = "null_is_default")]
    pub options: Vec<ServiceOption>,
    /// The guests, and their addresses.
    #[serde(default, deserialize_with = "null_is_default")]
    pub hosts: Vec<DhcpHost>,
}

/// A guest that gets its address by DHCP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DhcpHost {
    /// By what it is known.
    pub mac_address: Mac,
    /// What it gets.
    pub ip_address: IpAddr,
}

/// The way to the metadata server at one port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMetadataProxy {
    /// The guests.
    #[serde(default, deserialize_with = "null_is_default")]
    pub hosts: Vec<MetadataHost>,
}

/// A guest that may ask the metadata server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataHost {
    /// By what it is known.
    pub ip_address: IpAddr,
    /// Who it is there.
    pub instance_id: String,
    /// Whose it is. Lists of hosts come without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
}

impl ServicesNodePort {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        if self.mac_address.is_some_and(Mac::is_group) {
            return Err(Invalid::new("mac_address", "a group address cannot be a port's"));
        }
        options("dhcp.options", &self.dhcp.options)?;
        at_most("dhcp.hosts", self.dhcp.hosts.len(), SERVED_HOSTS_MAX, "hosts")?;
        at_most("metadata_proxy.hosts", self.metadata_proxy.hosts.len(), SERVED_HOSTS_MAX, "hosts")?;
        self.metadata_proxy.hosts.iter().enumerate().try_for_each(|(i, host)| {
            let field = |name| format!("metadata_proxy.hosts[{i}].{name}");
            text(&field("instance_id"), &host.instance_id, SERVICE_WORD_MAX)?;
            text(&field("tenant_id"), host.tenant_id.as_deref().unwrap_or_default(), SERVICE_WORD_MAX)
        })
    }
}
