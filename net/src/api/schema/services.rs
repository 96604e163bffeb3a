//! Logical services nodes, and the edge clusters that do their work. Kept and returned; not carried out.

use utoipa::ToSchema;

/// Transport nodes that do services nodes' work. Kept and returned; not carried out.
#[derive(ToSchema)]
pub struct EdgeClusterConfig {
    /// The transport nodes.
    #[schema(max_items = 256)]
    pub transport_node_uuids: Option<Vec<String>>,
}

/// What serves the guests of a network. Kept and returned; not carried out.
#[derive(ToSchema)]
pub struct LogicalServicesNodeConfig {
    /// Who does its work.
    #[schema(format = "uuid")]
    pub edge_cluster_uuid: String,
    /// Whether guests get their addresses from it.
    pub dhcp: Option<DhcpConfig>,
    /// Whether guests reach the metadata server by it.
    pub metadata_proxy: Option<MetadataProxyConfig>,
}

/// DHCP for all ports of a services node.
#[derive(ToSchema)]
pub struct DhcpConfig {
    /// Whether it answers.
    pub enabled: Option<bool>,
    /// What it tells all.
    #[schema(max_items = 64)]
    pub options: Option<Vec<ServiceOption>>,
}

/// The way to a metadata server for all ports of a services node.
#[derive(ToSchema)]
pub struct MetadataProxyConfig {
    /// Whether it answers.
    pub enabled: Option<bool>,
    /// Where the metadata server is.
    pub metadata_server_ip: Option<String>,
    /// At which TCP port.
    pub metadata_server_port: Option<u16>,
    /// What it has to know: a secret that it shares with the server, say.
    #[schema(max_items = 64)]
    pub options: Option<Vec<ServiceOption>>,
}

/// Something that a service is told.
#[derive(ToSchema)]
pub struct ServiceOption {
    /// What it is about: `routers`, `domain_name_servers`.
    #[schema(max_length = 255)]
    pub name: String,
    /// What it says; several values have commas between them.
    #[schema(max_length = 4096)]
    pub value: String,
}

/// Where a services node is connected with a network. Kept and returned; not carried out.
#[derive(ToSchema)]
pub struct LogicalServicesNodePortConfig {
    /// If false, it serves nobody; true by default.
    pub admin_status_enabled: Option<bool>,
    /// Its address, with the length of its network's prefix, or the network's own address. Kept as it is written.
    pub ip_address: Option<String>,
    /// Its Ethernet address.
    pub mac_address: Option<String>,
    /// Whom it tells what by DHCP.
    pub dhcp: Option<PortDhcpConfig>,
    /// Whom it takes to the metadata server.
    pub metadata_proxy: Option<PortMetadataProxyConfig>,
}

/// DHCP at one port.
#[derive(ToSchema)]
pub struct PortDhcpConfig {
    /// What it tells the guests there.
    #[schema(max_items = 64)]
    pub options: Option<Vec<ServiceOption>>,
    /// The guests, and their addresses.
    #[schema(max_items = 1024)]
    pub hosts: Option<Vec<DhcpHost>>,
}

/// A guest that gets its address by DHCP.
#[derive(ToSchema)]
pub struct DhcpHost {
    /// By what it is known.
    pub mac_address: String,
    /// What it gets.
    pub ip_address: String,
}

/// The way to the metadata server at one port.
#[derive(ToSchema)]
pub struct PortMetadataProxyConfig {
    /// The guests.
    #[schema(max_items = 1024)]
    pub hosts: Option<Vec<MetadataHost>>,
}

/// A guest that may ask the metadata server.
#[derive(ToSchema)]
pub struct MetadataHost {
    /// By what it is known.
    pub ip_address: String,
    /// Who it is there.
    #[schema(max_length = 255)]
    pub instance_id: String,
    /// Whose it is.
    #[schema(max_length = 255)]
    pub tenant_id: Option<String>,
}
