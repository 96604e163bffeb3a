//! What tunnels are made of: transport zones and transport nodes. Start at [`TransportNode`].

use super::{
    Common, Invalid, Kind, NAME_LENGTH_MAX, PEM_LENGTH_MAX, Reference, TRANSPORTS_MAX, at_most, null_is_default,
    null_is_yes, yes,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use uuid::Uuid;

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

    pub(super) fn validate(&self) -> Result<(), Invalid> {
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

    pub(super) fn references(&self) -> Vec<Reference> {
        let zones = self.transport_connectors.iter().map(|connector| connector.transport_zone_uuid).enumerate();
        let by =
            |(i, zone)| Reference::within("transport_connectors", i, "transport_zone_uuid", Kind::TransportZone, zone);
        zones.map(by).collect()
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
