//! Logical switches and their ports. Start at [`LogicalSwitch`].

use super::prefix::IpPrefix;
use super::transport::Encap;
use super::{
    ADDRESS_PAIRS_MAX, Common, Invalid, Kind, PORTNO_MAX, Reference, TRANSPORTS_MAX, at_most, null_is_default,
    null_is_yes, yes,
};
use crate::addr::Mac;
use serde::{Deserialize, Deserializer, Serialize};
use std::net::IpAddr;
use uuid::Uuid;

/// A tenant's L2 network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogicalSwitch {
    /// Name and tags.
    #[serde(flatten)]
    pub common: Common,
    /// Ports of the switch do not reach each other, only uplinks.
    #[serde(default, deserialize_with = "null_is_default")]
    pub port_isolation_enabled: bool,
    /// Over which zones and encapsulations; the first that both ends have is used. Empty: any that they have.
    #[serde(default, deserialize_with = "null_is_default")]
    pub transport_zones: Vec<TransportZoneBinding>,
    /// Who makes the copies of group frames.
    #[serde(default, deserialize_with = "null_is_default")]
    pub replication_mode: ReplicationMode,
}

impl LogicalSwitch {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        at_most("transport_zones", self.transport_zones.len(), TRANSPORTS_MAX, "zones")?;
        for (i, zone) in self.transport_zones.iter().enumerate() {
            let binding = zone.binding_config.as_ref();
            let lists = binding.map_or(0, |b| b.vlan_translation.len() + b.vxlan_transport.len());
            at_most(&format!("transport_zones[{i}].binding_config"), lists, TRANSPORTS_MAX, "entries")?;
            let vlans = binding.into_iter().flat_map(|b| &b.vlan_translation);
            if let Some(bad) = vlans.filter_map(|v| v.transport).find(|vlan| *vlan > 4095) {
                let field = format!("transport_zones[{i}].binding_config.vlan_translation");
                return Err(Invalid::new(field, format!("{bad} is no VLAN (0 to 4095)")));
            }
        }
        Ok(())
    }

    pub(super) fn references(&self) -> Vec<Reference> {
        let zones = self.transport_zones.iter().map(|binding| binding.zone_uuid).enumerate();
        zones.map(|(i, zone)| Reference::within("transport_zones", i, "zone_uuid", Kind::TransportZone, zone)).collect()
    }
}

/// A zone that a logical switch spans, and how frames travel in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransportZoneBinding {
    /// The zone.
    pub zone_uuid: Uuid,
    /// How frames travel.
    #[serde(default, deserialize_with = "null_is_default")]
    pub transport_type: TransportType,
    /// What else the transport needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding_config: Option<BindingConfig>,
}

/// How the frames of a logical switch travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransportType {
    /// Geneve tunnels.
    Geneve,
    /// VXLAN tunnels.
    Vxlan,
    /// GRE tunnels.
    Gre,
    /// STT tunnels.
    #[default]
    Stt,
    /// A physical segment. Kept and returned; not carried out.
    Bridge,
    /// GRE in IPsec. Kept and returned; not carried out.
    IpsecGre,
    /// STT in IPsec. Kept and returned; not carried out.
    IpsecStt,
}

impl TransportType {
    /// The encapsulation, if it is one that is carried out.
    pub fn encap(self) -> Option<Encap> {
        match self {
            TransportType::Geneve => Some(Encap::Geneve),
            TransportType::Vxlan => Some(Encap::Vxlan),
            TransportType::Gre => Some(Encap::Gre),
            TransportType::Stt => Some(Encap::Stt),
            TransportType::Bridge | TransportType::IpsecGre | TransportType::IpsecStt => None,
        }
    }
}

/// What a transport needs beyond its type. Kept and returned; not carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingConfig {
    /// VLANs of a bridged transport.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub vlan_translation: Vec<TransportNumber>,
    /// VXLAN network identifiers.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub vxlan_transport: Vec<TransportNumber>,
}

/// A VLAN or a VXLAN network identifier.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransportNumber {
    /// The number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<u32>,
}

/// Who makes the copies of broadcast, unknown and multicast frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplicationMode {
    /// A service node; while there is none, the source.
    #[default]
    Service,
    /// The transport node that sends.
    Source,
}

/// A port of a logical switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogicalPort {
    /// Name and tags.
    #[serde(flatten)]
    pub common: Common,
    /// If false, nothing passes.
    #[serde(default = "yes", deserialize_with = "null_is_yes")]
    pub admin_status_enabled: bool,
    /// For people: 1 to 1,000,000, unique on the switch; the lowest free one if not given.
    #[serde(default)]
    pub portno: Option<u32>,
    /// Kept and returned; not carried out.
    #[serde(default, deserialize_with = "uuid_or_null_word")]
    pub queue_uuid: Option<Uuid>,
    /// Kept and returned; not carried out.
    #[serde(default, deserialize_with = "null_is_default")]
    pub security_profiles: Vec<Uuid>,
    /// Kept and returned; not carried out.
    #[serde(default, deserialize_with = "null_is_default")]
    pub mirror_targets: Vec<IpAddr>,
    /// Source addresses that may enter by the port; none means any.
    #[serde(default, deserialize_with = "null_is_default")]
    pub allowed_address_pairs: Vec<AddressPair>,
    /// Several MAC addresses may live behind the port: frames to unknown ones are sent to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac_learning: Option<bool>,
}

/// Checks a port's number.
pub(super) fn portno(number: Option<u32>) -> Result<(), Invalid> {
    match number {
        Some(number) if number == 0 || number > PORTNO_MAX => {
            Err(Invalid::new("portno", format!("must be 1 to {PORTNO_MAX}")))
        }
        Some(_) | None => Ok(()),
    }
}

/// A uuid; null, and the word "null" that one client sends, mean none.
fn uuid_or_null_word<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Uuid>, D::Error> {
    match Option::<String>::deserialize(from)?.as_deref() {
        None | Some("null") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| serde::de::Error::custom(format!("'{text}' is no uuid"))),
    }
}

impl LogicalPort {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        portno(self.portno)?;
        at_most("mirror_targets", self.mirror_targets.len(), 3, "targets")?;
        at_most("security_profiles", self.security_profiles.len(), TRANSPORTS_MAX, "profiles")?;
        at_most("allowed_address_pairs", self.allowed_address_pairs.len(), ADDRESS_PAIRS_MAX, "pairs")?;
        let groups = self.allowed_address_pairs.iter().position(|pair| pair.mac_address.is_group());
        match groups {
            Some(i) => Err(Invalid::new(
                format!("allowed_address_pairs[{i}].mac_address"),
                "a group address cannot be a source",
            )),
            None => Ok(()),
        }
    }

    pub(super) fn references(&self) -> Vec<Reference> {
        let queue = self.queue_uuid.map(|uuid| Reference::by("queue_uuid", Kind::LogicalQueue, uuid));
        let profiles = self.security_profiles.iter().copied().enumerate();
        let profiles =
            profiles.map(|(i, uuid)| Reference::within("security_profiles", i, "", Kind::SecurityProfile, uuid));
        queue.into_iter().chain(profiles).collect()
    }

    /// The fields that say something which is kept and returned, and not carried out.
    pub fn not_carried_out(&self) -> Vec<&'static str> {
        let fields = [
            ("queue_uuid", self.queue_uuid.is_some()),
            ("security_profiles", !self.security_profiles.is_empty()),
            ("mirror_targets", !self.mirror_targets.is_empty()),
        ];
        fields.into_iter().filter(|(_, says)| *says).map(|(field, _)| field).collect()
    }
}

/// A source that port security allows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AddressPair {
    /// The Ethernet source.
    pub mac_address: Mac,
    /// The IP source: an address or a prefix, as the user wrote it; none means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<IpPrefix>,
}
