//! Ways out of the logical networks. Kept and returned; not carried out. Start at [`GatewayService`].

use super::{Common, Invalid, Kind, Reference, TRANSPORTS_MAX, at_most, null_is_default, text};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use uuid::Uuid;

/// Longest name of a device, in bytes.
pub const DEVICE_LENGTH_MAX: usize = 255;

/// Transport nodes that connect logical networks with others, each for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayService {
    /// Which sort.
    #[serde(rename = "type")]
    pub kind: GatewayServiceType,
    /// Name and tags.
    #[serde(flatten)]
    pub common: Common,
    /// The gateways; of an L2 service one is active.
    #[serde(default, deserialize_with = "null_is_default")]
    pub gateways: Vec<Gateway>,
}

/// The sorts of gateway services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum GatewayServiceType {
    /// Bridges to physical segments.
    #[serde(rename = "L2GatewayServiceConfig")]
    L2,
    /// Routes to physical networks.
    #[serde(rename = "L3GatewayServiceConfig")]
    L3,
    /// Physical switches that speak VTEP.
    #[serde(rename = "VtepL2GatewayServiceConfig")]
    VtepL2,
    /// Ways to another domain of controllers.
    #[serde(rename = "DomainGatewayServiceConfig")]
    Domain,
}

/// One gateway of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Gateway {
    /// A device of a transport node in a physical segment.
    #[serde(rename = "L2Gateway")]
    L2 {
        /// The transport node.
        transport_node_uuid: Uuid,
        /// The device, or the bridge that it is in.
        device_id: String,
    },
    /// A device of a transport node in a physical network.
    #[serde(rename = "L3Gateway")]
    L3 {
        /// The transport node.
        transport_node_uuid: Uuid,
        /// The device, or the bridge that it is in.
        device_id: String,
        /// Gateways of one group fail together.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group_id: Option<u32>,
    },
    /// A port of a physical switch.
    #[serde(rename = "VtepL2Gateway")]
    VtepL2 {
        /// The transport node that stands for the switch.
        transport_node_uuid: Uuid,
        /// The physical port.
        port_id: String,
        /// The physical switch.
        switch_name: String,
    },
    /// Another domain.
    #[serde(rename = "DomainGateway")]
    Domain {
        /// In which zone of this domain.
        local_transport_zone: Uuid,
        /// Where the other's tunnels end.
        remote_ip_address: IpAddr,
        /// Which tunnels.
        tunnel_type: String,
    },
}

impl Gateway {
    fn service(&self) -> GatewayServiceType {
        match self {
            Gateway::L2 { .. } => GatewayServiceType::L2,
            Gateway::L3 { .. } => GatewayServiceType::L3,
            Gateway::VtepL2 { .. } => GatewayServiceType::VtepL2,
            Gateway::Domain { .. } => GatewayServiceType::Domain,
        }
    }

    /// Its words, with the names of their fields.
    fn words(&self) -> Vec<(&'static str, &str)> {
        match self {
            Gateway::L2 { device_id, .. } | Gateway::L3 { device_id, .. } => vec![("device_id", device_id)],
            Gateway::VtepL2 { port_id, switch_name, .. } => vec![("port_id", port_id), ("switch_name", switch_name)],
            Gateway::Domain { tunnel_type, .. } => vec![("tunnel_type", tunnel_type)],
        }
    }

    fn reference(&self, at: usize) -> Reference {
        match self {
            Gateway::L2 { transport_node_uuid: node, .. }
            | Gateway::L3 { transport_node_uuid: node, .. }
            | Gateway::VtepL2 { transport_node_uuid: node, .. } => {
                Reference::within("gateways", at, "transport_node_uuid", Kind::TransportNode, *node)
            }
            Gateway::Domain { local_transport_zone: zone, .. } => {
                Reference::within("gateways", at, "local_transport_zone", Kind::TransportZone, *zone)
            }
        }
    }
}

impl GatewayService {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        at_most("gateways", self.gateways.len(), TRANSPORTS_MAX, "gateways")?;
        for (i, gateway) in self.gateways.iter().enumerate() {
            if gateway.service() != self.kind {
                return Err(Invalid::new(format!("gateways[{i}].type"), "it is that of another sort of service"));
            }
            for (field, word) in gateway.words() {
                text(&format!("gateways[{i}].{field}"), word, DEVICE_LENGTH_MAX)?;
            }
        }
        Ok(())
    }

    pub(super) fn references(&self) -> Vec<Reference> {
        self.gateways.iter().enumerate().map(|(i, gateway)| gateway.reference(i)).collect()
    }
}
