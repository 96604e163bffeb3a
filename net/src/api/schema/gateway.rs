//! Gateway services, and what ports are plugged into.

use utoipa::ToSchema;

/// Transport nodes that connect logical networks with others. Kept and returned; not carried out.
#[derive(ToSchema)]
pub struct GatewayService {
    /// The gateways, each of the service's sort.
    #[schema(max_items = 32)]
    pub gateways: Option<Vec<Gateway>>,
}

/// One gateway of a service.
#[derive(ToSchema)]
#[serde(tag = "type")]
pub enum Gateway {
    /// A device of a transport node in a physical segment.
    #[serde(rename = "L2Gateway")]
    L2 {
        /// The transport node.
        #[schema(format = "uuid")]
        transport_node_uuid: String,
        /// The device, or the bridge that it is in.
        device_id: String,
    },
    /// A device of a transport node in a physical network.
    #[serde(rename = "L3Gateway")]
    L3 {
        /// The transport node.
        #[schema(format = "uuid")]
        transport_node_uuid: String,
        /// The device, or the bridge that it is in.
        device_id: String,
        /// Gateways of one group fail together.
        group_id: Option<u32>,
    },
    /// A port of a physical switch.
    #[serde(rename = "VtepL2Gateway")]
    VtepL2 {
        /// The transport node that stands for the switch.
        #[schema(format = "uuid")]
        transport_node_uuid: String,
        /// The physical port.
        port_id: String,
        /// The physical switch.
        switch_name: String,
    },
    /// Another domain.
    #[serde(rename = "DomainGateway")]
    Domain {
        /// In which zone of this domain.
        #[schema(format = "uuid")]
        local_transport_zone: String,
        /// Where the other's tunnels end.
        remote_ip_address: String,
        /// Which tunnels.
        tunnel_type: String,
    },
}

/// Nothing is plugged in.
#[derive(ToSchema)]
pub struct NoAttachment {}

/// A guest's interface, wherever it appears.
#[derive(ToSchema)]
pub struct VifAttachment {
    /// Compared with `external_ids:iface-id` (or `xs-vif-uuid`) on the switches.
    #[schema(max_length = 255)]
    pub vif_uuid: String,
}

/// A port of the other sort: a switch's is plugged into a router's. It is entered on both. Not carried out.
#[derive(ToSchema)]
pub struct PatchAttachment {
    /// That port.
    #[schema(format = "uuid")]
    pub peer_port_uuid: String,
    /// Where it is served.
    #[schema(read_only)]
    pub peer_port_href: Option<String>,
}

/// A segment outside that an L2 gateway service reaches. Not carried out.
#[derive(ToSchema)]
pub struct L2GatewayAttachment {
    /// The service.
    #[schema(format = "uuid")]
    pub l2_gateway_service_uuid: String,
    /// The VLAN there; none, and 0, mean untagged.
    #[schema(maximum = 4095)]
    pub vlan_id: Option<u16>,
}

/// A network outside that an L3 gateway service routes to. Not carried out.
#[derive(ToSchema)]
pub struct L3GatewayAttachment {
    /// The service.
    #[schema(format = "uuid")]
    pub l3_gateway_service_uuid: String,
    /// The VLAN there; none, and 0, mean untagged.
    #[schema(maximum = 4095)]
    pub vlan_id: Option<u16>,
}

/// A segment outside behind a switch that speaks VTEP. Not carried out.
#[derive(ToSchema)]
pub struct VtepL2GatewayAttachment {
    /// The service.
    #[schema(format = "uuid")]
    pub vtep_l2_gateway_service_uuid: String,
    /// The VLAN there; none, and 0, mean untagged.
    #[schema(maximum = 4095)]
    pub vlan_id: Option<u16>,
}

/// A logical switch of another domain. Not carried out.
#[derive(ToSchema)]
pub struct DomainGatewayAttachment {
    /// The service.
    #[schema(format = "uuid")]
    pub domain_gateway_service_uuid: String,
    /// Which of the networks that both domains share.
    pub interconnect_context_id: Option<u32>,
}
