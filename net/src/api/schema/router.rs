//! Logical routers. Kept and returned; not carried out.

use super::ReplicationMode;
use super::policy::Ethertype;
use serde::Serialize;
use utoipa::ToSchema;

/// A tenant's router. Kept and returned; not carried out.
#[derive(ToSchema)]
pub struct LogicalRouterConfig {
    /// Where its routes are.
    pub routing_config: RoutingConfig,
    /// Whether every hypervisor routes by itself what stays inside.
    #[schema(default = false)]
    pub distributed: Option<bool>,
    /// Who makes the copies of group frames: `service` or `source`.
    #[schema(inline)]
    pub replication_mode: Option<ReplicationMode>,
    /// Whether a gateway that takes over knows the translations that were under way.
    #[schema(default = true)]
    pub nat_synchronization_enabled: Option<bool>,
}

/// Where a router's routes are.
#[derive(ToSchema)]
#[serde(tag = "type")]
pub enum RoutingConfig {
    /// Everything that is not its own goes one way.
    #[serde(rename = "SingleDefaultRouteImplicitRoutingConfig")]
    SingleDefaultRoute {
        /// Which.
        default_route_next_hop: RouterNextHop,
    },
    /// In its `rib`.
    #[serde(rename = "RoutingTableRoutingConfig")]
    RoutingTable {},
}

/// A router next to this one.
#[derive(ToSchema)]
pub struct RouterNextHop {
    /// There is one sort.
    #[schema(inline)]
    pub r#type: Option<RouterNextHopType>,
    /// Its address.
    pub gateway_ip_address: String,
}

/// The sorts of routers next to one.
#[derive(ToSchema)]
#[allow(missing_docs)]
pub enum RouterNextHopType {
    RouterNextHop,
}

/// A port of a logical router. Kept and returned; not carried out.
#[derive(ToSchema)]
pub struct LogicalRouterPortConfig {
    /// If false, nothing passes.
    #[schema(default = true)]
    pub admin_status_enabled: Option<bool>,
    /// For people: unique on the router; the lowest free one if not given.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub portno: Option<u32>,
    /// Its addresses, each with the length of its network's prefix: `10.1.1.1/24`.
    #[schema(max_items = 1024)]
    pub ip_addresses: Option<Vec<String>>,
    /// Its Ethernet address; one is made if none, or zero, is given.
    pub mac_address: Option<String>,
}

/// Where packets to some addresses go next. Kept and returned; not carried out.
#[derive(ToSchema)]
pub struct RoutingTableEntry {
    /// Those addresses; `0.0.0.0/0` is all that nothing else is said of.
    pub prefix: String,
    /// The address of the router that they go to.
    pub next_hop_ip: String,
    /// Who says so.
    #[schema(inline)]
    pub protocol: Option<RouteProtocol>,
    /// What becomes of the packets.
    #[schema(inline)]
    pub action: Option<RouteAction>,
}

/// Who says that there is a route.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum RouteProtocol {
    Static,
}

/// What becomes of packets that a route is about.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum RouteAction {
    Accept,
}

/// A translation of addresses. Kept and returned; not carried out.
#[derive(ToSchema)]
pub struct NatRule {
    /// Lower ones are tried first; 0 if left out.
    pub order: Option<u32>,
    /// Which packets.
    pub r#match: NatMatch,
    /// The lowest new source; `SourceNatRule` needs it.
    pub to_source_ip_address_min: Option<String>,
    /// The highest new source; `SourceNatRule` needs it.
    pub to_source_ip_address_max: Option<String>,
    /// The new source port.
    pub to_source_port: Option<u16>,
    /// The new destination; `DestinationNatRule` needs it, or the two below.
    pub to_destination_ip_address: Option<String>,
    /// The lowest new destination.
    pub to_destination_ip_address_min: Option<String>,
    /// The highest new destination.
    pub to_destination_ip_address_max: Option<String>,
    /// The new destination port.
    pub to_destination_port: Option<u16>,
}

/// The packets that a translation is for. Other keys than these are refused.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NatMatch {
    /// Of which protocol.
    #[schema(inline)]
    pub ethertype: Option<Ethertype>,
    /// Of which protocol above (IANA's number).
    pub protocol: Option<u8>,
    /// From there: an address or a prefix.
    pub source_ip_addresses: Option<String>,
    /// To there: an address or a prefix.
    pub destination_ip_addresses: Option<String>,
    /// From this port.
    pub source_port: Option<u16>,
    /// To this port.
    pub destination_port: Option<u16>,
    /// From this port and higher ones.
    pub source_port_min: Option<u16>,
    /// From this port and lower ones.
    pub source_port_max: Option<u16>,
    /// To this port and higher ones.
    pub destination_port_min: Option<u16>,
    /// To this port and lower ones.
    pub destination_port_max: Option<u16>,
}

/// What is known of a logical router.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct LogicalRouterStatus {
    /// Whether it routes.
    pub fabric_status: bool,
    /// How many ports it has.
    pub lport_count: u64,
    /// How many of them are administratively up.
    pub lport_admin_up_count: u64,
    /// How many of them are plugged into something that is there.
    pub lport_link_up_count: u64,
    /// How many of them can carry traffic.
    pub lport_fabric_up_count: u64,
    /// Whether the network does what the configuration says.
    pub realised: bool,
    /// Why not, for an operator.
    pub reason: Option<String>,
}

/// What is known of a port of a logical router; its router is embedded as `lrouter`.
#[derive(Debug, Serialize, ToSchema)]
pub struct LogicalRouterPortStatus {
    /// As configured.
    pub admin_status_enabled: bool,
    /// The same, by the name that some clients read.
    pub admin_status_up: bool,
    /// It is plugged into something that is there.
    pub link_status_up: bool,
    /// And traffic can pass.
    pub fabric_status_up: bool,
    /// Whether the network does what the configuration says.
    pub realised: bool,
    /// Why not, for an operator.
    pub reason: Option<String>,
}
