//! What users configure: the resources of `/ws.v1`, with their fields, defaults and limits.
//!
//! These types *are* the JSON of the northbound API (and of the log on disk, so a field may be added with a default
//! but never change its meaning). What needs the rest of the NIB to judge (references, uniqueness) is
//! [`super::apply`]'s; what a value alone shows is checked by `validate`. Start at [`Object`].

use super::refusal::Invalid;
use crate::addr::Mac;
use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::net::IpAddr;
use uuid::Uuid;

/// Longest `display_name` and `tag`, in characters.
pub const NAME_LENGTH_MAX: usize = 40;
/// Longest `scope` of a tag, in characters.
pub const SCOPE_LENGTH_MAX: usize = 20;
/// Most tags on one object.
pub const TAGS_MAX: usize = 5;
/// Most address pairs on one port: each becomes a handful of flows.
pub const ADDRESS_PAIRS_MAX: usize = 256;
/// Longest VIF identifier, in bytes.
pub const VIF_LENGTH_MAX: usize = 255;
/// Highest `portno`.
pub const PORTNO_MAX: u32 = 1_000_000;
/// Most entries in the lists of transport zones and connectors.
pub const TRANSPORTS_MAX: usize = 32;
/// Longest certificate, in bytes of PEM.
pub const PEM_LENGTH_MAX: usize = 32 * 1024;

/// The kinds of resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// `transport-zone`.
    TransportZone,
    /// `transport-node`.
    TransportNode,
    /// `lswitch`.
    LogicalSwitch,
    /// `lswitch/<uuid>/lport`.
    LogicalPort,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::TransportZone => "transport zone",
            Kind::TransportNode => "transport node",
            Kind::LogicalSwitch => "logical switch",
            Kind::LogicalPort => "logical port",
        })
    }
}

/// One resource as configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Object {
    /// Where tunnels can go.
    TransportZone(TransportZone),
    /// A machine whose Open vSwitch we program.
    TransportNode(TransportNode),
    /// A tenant's L2 network.
    LogicalSwitch(LogicalSwitch),
    /// A port of a logical switch.
    LogicalPort {
        /// The switch.
        switch: Uuid,
        /// The port itself.
        config: LogicalPort,
    },
}

impl Object {
    /// Which kind it is.
    pub fn kind(&self) -> Kind {
        match self {
            Object::TransportZone(_) => Kind::TransportZone,
            Object::TransportNode(_) => Kind::TransportNode,
            Object::LogicalSwitch(_) => Kind::LogicalSwitch,
            Object::LogicalPort { .. } => Kind::LogicalPort,
        }
    }

    /// Checks what the value alone shows.
    ///
    /// # Errors
    /// The first field that is wrong, and why.
    pub fn validate(&self) -> Result<(), Invalid> {
        match self {
            Object::TransportZone(zone) => zone.common.validate(),
            Object::TransportNode(node) => node.validate(),
            Object::LogicalSwitch(switch) => switch.validate(),
            Object::LogicalPort { config, .. } => config.validate(),
        }
    }

    /// The fields that all kinds have.
    pub fn common(&self) -> &Common {
        match self {
            Object::TransportZone(zone) => &zone.common,
            Object::TransportNode(node) => &node.common,
            Object::LogicalSwitch(switch) => &switch.common,
            Object::LogicalPort { config, .. } => &config.common,
        }
    }

    /// The fields that all kinds have, to be changed.
    pub fn common_mut(&mut self) -> &mut Common {
        match self {
            Object::TransportZone(zone) => &mut zone.common,
            Object::TransportNode(node) => &mut node.common,
            Object::LogicalSwitch(switch) => &mut switch.common,
            Object::LogicalPort { config, .. } => &mut config.common,
        }
    }
}

/// The fields that all kinds have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Common {
    /// For people; at most 40 characters. The uuid if it was never given.
    #[serde(default)]
    pub display_name: Option<String>,
    /// For other programs.
    #[serde(default, deserialize_with = "null_is_default")]
    pub tags: Vec<Tag>,
}

impl Common {
    fn validate(&self) -> Result<(), Invalid> {
        let name = self.display_name.as_deref().unwrap_or_default();
        at_most("display_name", name.chars().count(), NAME_LENGTH_MAX, "characters")?;
        no_controls("display_name", name)?;
        at_most("tags", self.tags.len(), TAGS_MAX, "tags")?;
        for (i, tag) in self.tags.iter().enumerate() {
            at_most(&format!("tags[{i}].tag"), tag.tag.chars().count(), NAME_LENGTH_MAX, "characters")?;
            at_most(&format!("tags[{i}].scope"), tag.scope.chars().count(), SCOPE_LENGTH_MAX, "characters")?;
            no_controls(&format!("tags[{i}].tag"), &tag.tag)?;
            no_controls(&format!("tags[{i}].scope"), &tag.scope)?;
        }
        Ok(())
    }
}

fn at_most(field: &str, count: usize, limit: usize, what: &str) -> Result<(), Invalid> {
    match count <= limit {
        true => Ok(()),
        false => Err(Invalid::new(field, format!("{count} {what}, and at most {limit} are allowed"))),
    }
}

/// Names end up in logs, in tables for people, and in the databases of switches.
fn no_controls(field: &str, text: &str) -> Result<(), Invalid> {
    match text.chars().any(char::is_control) {
        true => Err(Invalid::new(field, "control characters are not allowed")),
        false => Ok(()),
    }
}

/// A word that another program hangs on an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// What the tag is about; at most 20 characters.
    #[serde(default, deserialize_with = "null_is_default")]
    pub scope: String,
    /// The word; at most 40 characters.
    #[serde(deserialize_with = "null_is_default")]
    pub tag: String,
}

fn null_is_default<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Transport nodes that can reach each other over IP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransportZone {
    /// Name and tags.
    #[serde(flatten)]
    pub common: Common,
}

/// A machine whose Open vSwitch we program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransportNode {
    /// Name and tags.
    #[serde(flatten)]
    pub common: Common,
    /// If false the node takes no part: nothing is sent to it, and nothing is sent through it.
    #[serde(default = "yes", deserialize_with = "null_is_yes")]
    pub admin_status_enabled: bool,
    /// Name of the bridge that VIFs are plugged into; `br-int` if empty.
    #[serde(default, deserialize_with = "null_is_default")]
    pub integration_bridge_id: String,
    /// How the node is recognised when it connects.
    #[serde(default)]
    pub credential: Option<Credential>,
    /// Where its tunnels end.
    #[serde(default, deserialize_with = "null_is_default")]
    pub transport_connectors: Vec<Connector>,
    /// Kept and returned; not carried out.
    #[serde(default, deserialize_with = "null_is_default")]
    pub mgmt_rendezvous_client: bool,
    /// Kept and returned; not carried out.
    #[serde(default, deserialize_with = "null_is_default")]
    pub mgmt_rendezvous_server: bool,
    /// Kept and returned; not carried out.
    #[serde(default, deserialize_with = "null_is_default")]
    pub zone_forwarding: bool,
    /// Kept and returned; not carried out.
    #[serde(default, deserialize_with = "null_is_default")]
    pub tunnel_probe_random_vlan: bool,
    /// Kept and returned; not carried out.
    #[serde(default, deserialize_with = "null_is_default")]
    pub vtep_enabled: bool,
}

fn yes() -> bool {
    true
}

fn null_is_yes<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(true))
}

/// The name of the integration bridge where none is configured.
pub const DEFAULT_BRIDGE: &str = "br-int";

impl TransportNode {
    /// The bridge that VIFs are plugged into.
    pub fn bridge(&self) -> &str {
        match self.integration_bridge_id.as_str() {
            "" => DEFAULT_BRIDGE,
            name => name,
        }
    }

    fn validate(&self) -> Result<(), Invalid> {
        self.common.validate()?;
        let bridge = &self.integration_bridge_id;
        at_most("integration_bridge_id", bridge.chars().count(), NAME_LENGTH_MAX, "characters")?;
        if bridge.chars().any(|c| c.is_whitespace() || c.is_control() || c == '/') {
            return Err(Invalid::new("integration_bridge_id", "spaces, controls and '/' are not allowed"));
        }
        if let Some(Credential::SecurityCertificate { client_certificate }) = &self.credential {
            at_most("credential.client_certificate", client_certificate.pem_encoded.len(), PEM_LENGTH_MAX, "bytes")?;
        }
        self.validate_connectors()
    }

    fn validate_connectors(&self) -> Result<(), Invalid> {
        let connectors = &self.transport_connectors;
        at_most("transport_connectors", connectors.len(), TRANSPORTS_MAX, "connectors")?;
        for (i, connector) in connectors.iter().enumerate() {
            let field = format!("transport_connectors[{i}]");
            let address = connector.ip_address;
            if connector.kind.encap().is_some() && (address.is_unspecified() || address.is_multicast()) {
                return Err(Invalid::new(field, format!("{address} cannot be the end of a tunnel")));
            }
            let twin = connectors[..i].iter().find(|other| other.kind.encap() == connector.kind.encap());
            match twin.filter(|_| connector.kind.encap().is_some()) {
                Some(twin) if twin.ip_address != address => {
                    let why = "connectors of one type share one tunnel port, so they must have one ip_address";
                    return Err(Invalid::new(field, why));
                }
                Some(twin) if twin.transport_zone_uuid == connector.transport_zone_uuid => {
                    return Err(Invalid::new(field, "the zone has a connector of this type already"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// How a transport node is recognised when it connects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Credential {
    /// By the certificate it shows in TLS.
    #[serde(rename = "SecurityCertificateCredential")]
    SecurityCertificate {
        /// That certificate.
        client_certificate: Certificate,
    },
    /// By the address it connects from. Only where plain `tcp:` is switched on.
    #[serde(rename = "MgmtAddrCredential")]
    ManagementAddress {
        /// That address.
        mgmt_address: IpAddr,
    },
}

/// An X.509 certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// RFC 7468 text.
    pub pem_encoded: String,
}

/// What a credential compares by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Identity {
    /// The base64 of the certificate's DER, without white space.
    Certificate(String),
    /// The address connections come from.
    Address(IpAddr),
}

impl Credential {
    /// What it compares by: two spellings of one certificate are the same identity.
    pub fn identity(&self) -> Identity {
        match self {
            Credential::SecurityCertificate { client_certificate } => {
                Identity::Certificate(pem_body(&client_certificate.pem_encoded))
            }
            Credential::ManagementAddress { mgmt_address } => Identity::Address(*mgmt_address),
        }
    }
}

/// The base64 between the first pair of PEM markers, without white space.
fn pem_body(pem: &str) -> String {
    let after = pem.split_once("-----BEGIN CERTIFICATE-----").map_or(pem, |(_, tail)| tail);
    let body = after.split_once("-----END").map_or(after, |(head, _)| head);
    body.chars().filter(|c| !c.is_whitespace()).collect()
}

/// Where a transport node's tunnels of one encapsulation end, in one zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connector {
    /// Which encapsulation.
    #[serde(rename = "type")]
    pub kind: ConnectorType,
    /// The zone.
    pub transport_zone_uuid: Uuid,
    /// The outer address.
    pub ip_address: IpAddr,
}

/// Which encapsulation a connector speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ConnectorType {
    /// Geneve, RFC 8926.
    #[serde(rename = "GeneveConnector")]
    Geneve,
    /// VXLAN, RFC 7348.
    #[serde(rename = "VXLANConnector")]
    Vxlan,
    /// GRE with key, RFC 2890.
    #[serde(rename = "GREConnector")]
    Gre,
    /// STT, draft-davie-stt. Gone from Open vSwitch 3.6; never worked on its userspace datapath.
    #[serde(rename = "STTConnector")]
    Stt,
    /// GRE in IPsec. Kept and returned; not carried out.
    #[serde(rename = "IPsecGREConnector", alias = "IPsecGRE")]
    IpsecGre,
    /// STT in IPsec. Kept and returned; not carried out.
    #[serde(rename = "IPsecSTTConnector", alias = "IPsecSTT")]
    IpsecStt,
    /// A leg in a physical segment. Kept and returned; not carried out.
    #[serde(rename = "BridgeConnector")]
    Bridge,
}

impl ConnectorType {
    /// The encapsulation, if it is one that is carried out.
    pub fn encap(self) -> Option<Encap> {
        match self {
            ConnectorType::Geneve => Some(Encap::Geneve),
            ConnectorType::Vxlan => Some(Encap::Vxlan),
            ConnectorType::Gre => Some(Encap::Gre),
            ConnectorType::Stt => Some(Encap::Stt),
            ConnectorType::IpsecGre | ConnectorType::IpsecStt | ConnectorType::Bridge => None,
        }
    }
}

/// A tunnel encapsulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encap {
    /// Geneve, RFC 8926.
    Geneve,
    /// VXLAN, RFC 7348.
    Vxlan,
    /// GRE with key, RFC 2890.
    Gre,
    /// STT, draft-davie-stt.
    Stt,
}

impl Encap {
    /// All of them.
    pub const ALL: [Encap; 4] = [Encap::Geneve, Encap::Vxlan, Encap::Gre, Encap::Stt];

    /// The Open vSwitch interface type.
    pub fn name(self) -> &'static str {
        match self {
            Encap::Geneve => "geneve",
            Encap::Vxlan => "vxlan",
            Encap::Gre => "gre",
            Encap::Stt => "stt",
        }
    }
}

impl fmt::Display for Encap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

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
    fn validate(&self) -> Result<(), Invalid> {
        self.common.validate()?;
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

/// A uuid; null, and the word "null" that one client sends, mean none.
fn uuid_or_null_word<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Uuid>, D::Error> {
    match Option::<String>::deserialize(from)?.as_deref() {
        None | Some("null") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| serde::de::Error::custom(format!("'{text}' is no uuid"))),
    }
}

impl LogicalPort {
    fn validate(&self) -> Result<(), Invalid> {
        self.common.validate()?;
        if self.portno.is_some_and(|number| number == 0 || number > PORTNO_MAX) {
            return Err(Invalid::new("portno", format!("must be 1 to {PORTNO_MAX}")));
        }
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

/// An address or a prefix, given back as it was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IpPrefix {
    text: String,
    net: IpNet,
}

impl IpPrefix {
    /// The prefix, host bits cleared.
    pub fn net(&self) -> IpNet {
        self.net.trunc()
    }

    /// The address, if it is that of one host and not the unspecified one.
    pub fn host(&self) -> Option<IpAddr> {
        let whole = self.net.prefix_len() == self.net.max_prefix_len();
        (whole && !self.net.addr().is_unspecified()).then(|| self.net.addr())
    }
}

impl fmt::Display for IpPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for IpPrefix {
    type Err = String;

    fn from_str(text: &str) -> Result<IpPrefix, String> {
        let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let net = net.map_err(|_| {
            let shown: String = text.chars().take(64).collect();
            format!("'{shown}' is neither an IP address nor a prefix")
        })?;
        Ok(IpPrefix { text: text.to_string(), net })
    }
}

impl Serialize for IpPrefix {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for IpPrefix {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<IpPrefix, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

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
}

impl Attachment {
    /// Checks what the value alone shows.
    ///
    /// # Errors
    /// The field that is wrong, and why.
    pub fn validate(&self) -> Result<(), Invalid> {
        match self {
            Attachment::None => Ok(()),
            Attachment::Vif { vif_uuid } if vif_uuid.is_empty() => Err(Invalid::new("vif_uuid", "must not be empty")),
            Attachment::Vif { vif_uuid } => {
                at_most("vif_uuid", vif_uuid.len(), VIF_LENGTH_MAX, "bytes")?;
                no_controls("vif_uuid", vif_uuid)
            }
        }
    }

    /// The VIF, if that is what is plugged in.
    pub fn vif(&self) -> Option<&str> {
        match self {
            Attachment::None => None,
            Attachment::Vif { vif_uuid } => Some(vif_uuid),
        }
    }
}
