//! What a logical port is plugged into. Start at [`Attachment`].

use super::gateway::GatewayServiceType;
use super::{Invalid, Kind, Reference, VIF_LENGTH_MAX, text};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a logical port is plugged into.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Attachment {
    /// Nothing.
    #[default]
    #[serde(rename = "NoAttachment")]
    None,
    /// A guest's interface, wherever it appears.
    #[serde(rename = "VifAttachment")]
    Vif {
        /// Compared with `external_ids:iface-id` (or `xs-vif-uuid`) on the switches.
        vif_uuid: String,
    },
    /// A port of another kind, which is plugged into this one: of switch, router and services node. Kept on both; not
    /// carried out.
    #[serde(rename = "PatchAttachment")]
    Patch {
        /// That port.
        peer_port_uuid: Uuid,
    },
    /// A segment outside that an L2 gateway service reaches. Kept and returned; not carried out.
    #[serde(rename = "L2GatewayAttachment")]
    L2Gateway {
        /// The service.
        l2_gateway_service_uuid: Uuid,
        /// The VLAN there; none, and 0, mean untagged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vlan_id: Option<u16>,
    },
    /// A network outside that an L3 gateway service routes to. Kept and returned; not carried out.
    #[serde(rename = "L3GatewayAttachment")]
    L3Gateway {
        /// The service.
        l3_gateway_service_uuid: Uuid,
        /// The VLAN there; none, and 0, mean untagged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vlan_id: Option<u16>,
    },
    /// A segment outside behind a switch that speaks VTEP. Kept and returned; not carried out.
    #[serde(rename = "VtepL2GatewayAttachment")]
    VtepL2Gateway {
        /// The service.
        vtep_l2_gateway_service_uuid: Uuid,
        /// The VLAN there; none, and 0, mean untagged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vlan_id: Option<u16>,
    },
    /// A logical switch of another domain. Kept and returned; not carried out.
    #[serde(rename = "DomainGatewayAttachment")]
    DomainGateway {
        /// The service.
        domain_gateway_service_uuid: Uuid,
        /// Which of the networks that both domains share.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        interconnect_context_id: Option<u32>,
    },
}

/// Highest VLAN.
const VLAN_MAX: u16 = 4095;

impl Attachment {
    /// Names of all sorts, as in `type`.
    pub const TYPES: [&str; 7] = [
        "NoAttachment",
        "VifAttachment",
        "PatchAttachment",
        "L2GatewayAttachment",
        "L3GatewayAttachment",
        "VtepL2GatewayAttachment",
        "DomainGatewayAttachment",
    ];

    /// Its `type`.
    pub fn type_name(&self) -> &'static str {
        let [none, vif, patch, l2, l3, vtep, domain] = Attachment::TYPES;
        match self {
            Attachment::None => none,
            Attachment::Vif { .. } => vif,
            Attachment::Patch { .. } => patch,
            Attachment::L2Gateway { .. } => l2,
            Attachment::L3Gateway { .. } => l3,
            Attachment::VtepL2Gateway { .. } => vtep,
            Attachment::DomainGateway { .. } => domain,
        }
    }

    /// Checks what the value alone shows.
    ///
    /// # Errors
    /// The field that is wrong, and why.
    pub fn validate(&self) -> Result<(), Invalid> {
        match self {
            Attachment::Vif { vif_uuid } if vif_uuid.is_empty() => Err(Invalid::new("vif_uuid", "must not be empty")),
            Attachment::Vif { vif_uuid } => text("vif_uuid", vif_uuid, VIF_LENGTH_MAX),
            Attachment::L2Gateway { vlan_id: Some(vlan), .. }
            | Attachment::L3Gateway { vlan_id: Some(vlan), .. }
            | Attachment::VtepL2Gateway { vlan_id: Some(vlan), .. }
                if *vlan > VLAN_MAX =>
            {
                Err(Invalid::new("vlan_id", format!("{vlan} is no VLAN (0 to {VLAN_MAX})")))
            }
            Attachment::None
            | Attachment::Patch { .. }
            | Attachment::L2Gateway { .. }
            | Attachment::L3Gateway { .. }
            | Attachment::VtepL2Gateway { .. }
            | Attachment::DomainGateway { .. } => Ok(()),
        }
    }

    /// Whether ports of a kind can be plugged in so.
    pub fn suits(&self, port: Kind) -> bool {
        match self {
            Attachment::None | Attachment::Patch { .. } => true,
            Attachment::L3Gateway { .. } => port == Kind::LogicalRouterPort,
            Attachment::Vif { .. }
            | Attachment::L2Gateway { .. }
            | Attachment::VtepL2Gateway { .. }
            | Attachment::DomainGateway { .. } => port == Kind::LogicalPort,
        }
    }

    /// The gateway service that it needs, of which sort that must be, and the field that names it.
    pub fn gateway(&self) -> Option<(Reference, GatewayServiceType)> {
        let by = |field, uuid: &Uuid| Reference::by(field, Kind::GatewayService, *uuid);
        match self {
            Attachment::None | Attachment::Vif { .. } | Attachment::Patch { .. } => None,
            Attachment::L2Gateway { l2_gateway_service_uuid: uuid, .. } => {
                Some((by("l2_gateway_service_uuid", uuid), GatewayServiceType::L2))
            }
            Attachment::L3Gateway { l3_gateway_service_uuid: uuid, .. } => {
                Some((by("l3_gateway_service_uuid", uuid), GatewayServiceType::L3))
            }
            Attachment::VtepL2Gateway { vtep_l2_gateway_service_uuid: uuid, .. } => {
                Some((by("vtep_l2_gateway_service_uuid", uuid), GatewayServiceType::VtepL2))
            }
            Attachment::DomainGateway { domain_gateway_service_uuid: uuid, .. } => {
                Some((by("domain_gateway_service_uuid", uuid), GatewayServiceType::Domain))
            }
        }
    }

    /// The VLAN outside, if it leads outside: 0 is untagged.
    pub fn vlan(&self) -> Option<u16> {
        match self {
            Attachment::L2Gateway { vlan_id, .. }
            | Attachment::L3Gateway { vlan_id, .. }
            | Attachment::VtepL2Gateway { vlan_id, .. } => Some(vlan_id.unwrap_or(0)),
            Attachment::None | Attachment::Vif { .. } | Attachment::Patch { .. } | Attachment::DomainGateway { .. } => {
                None
            }
        }
    }

    /// The segment outside that nothing else may be plugged into: two bridged segments would be one, or a loop.
    pub fn segment(&self) -> Option<(Uuid, u16)> {
        match self {
            Attachment::L2Gateway { l2_gateway_service_uuid: service, vlan_id }
            | Attachment::VtepL2Gateway { vtep_l2_gateway_service_uuid: service, vlan_id } => {
                Some((*service, vlan_id.unwrap_or(0)))
            }
            Attachment::None
            | Attachment::Vif { .. }
            | Attachment::Patch { .. }
            | Attachment::L3Gateway { .. }
            | Attachment::DomainGateway { .. } => None,
        }
    }

    /// The port that is plugged in, if it is a port.
    pub fn peer(&self) -> Option<Uuid> {
        match self {
            Attachment::Patch { peer_port_uuid } => Some(*peer_port_uuid),
            Attachment::None
            | Attachment::Vif { .. }
            | Attachment::L2Gateway { .. }
            | Attachment::L3Gateway { .. }
            | Attachment::VtepL2Gateway { .. }
            | Attachment::DomainGateway { .. } => None,
        }
    }

    /// The VIF, if that is what is plugged in.
    pub fn vif(&self) -> Option<&str> {
        match self {
            Attachment::Vif { vif_uuid } => Some(vif_uuid),
            Attachment::None
            | Attachment::Patch { .. }
            | Attachment::L2Gateway { .. }
            | Attachment::L3Gateway { .. }
            | Attachment::VtepL2Gateway { .. }
            | Attachment::DomainGateway { .. } => None,
        }
    }
}
