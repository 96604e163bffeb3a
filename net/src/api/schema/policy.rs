//! Security profiles, ACLs and queues. Kept and returned; not carried out.

use utoipa::ToSchema;

/// What the guests behind ports may send and be sent. Kept and returned; not carried out.
#[derive(ToSchema)]
pub struct SecurityProfileConfig {
    /// What may enter the switch from the port; everything if there is no rule.
    #[schema(max_items = 2048)]
    pub logical_port_ingress_rules: Option<Vec<SecurityRule>>,
    /// What may leave the switch to the port; everything if there is no rule.
    #[schema(max_items = 2048)]
    pub logical_port_egress_rules: Option<Vec<SecurityRule>>,
}

/// Packets that may pass, and the answers to them. Other fields than these are refused.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecurityRule {
    /// Of which protocol.
    #[schema(inline)]
    pub ethertype: Ethertype,
    /// Of which protocol above (IANA's number).
    pub protocol: Option<u8>,
    /// To this port and higher ones; with ICMP, of this type.
    pub port_range_min: Option<u16>,
    /// To this port and lower ones; with ICMP, of this code.
    pub port_range_max: Option<u16>,
    /// From or to there: an address or a prefix.
    pub ip_prefix: Option<String>,
    /// From or to ports that have this profile.
    #[schema(format = "uuid")]
    pub profile_uuid: Option<String>,
}

/// A version of IP.
#[derive(ToSchema)]
#[allow(missing_docs)]
pub enum Ethertype {
    IPv4,
    IPv6,
}

/// Rules for packets. Kept and returned; not carried out.
#[derive(ToSchema)]
pub struct AclConfig {
    /// For what enters the switch from the port.
    #[schema(max_items = 2048)]
    pub logical_port_ingress_rules: Option<Vec<AclRule>>,
    /// For what leaves the switch to the port.
    #[schema(max_items = 2048)]
    pub logical_port_egress_rules: Option<Vec<AclRule>>,
}

/// What becomes of some packets. Other fields than these are refused.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AclRule {
    /// Of which protocol.
    #[schema(inline)]
    pub ethertype: Option<AclEthertype>,
    /// Of which protocol above (IANA's number).
    pub protocol: Option<u8>,
    /// What becomes of them.
    #[schema(inline)]
    pub action: Option<AclAction>,
    /// Lower ones are asked first.
    pub order: Option<u32>,
    /// From there: an address or a prefix.
    pub source_ip_prefix: Option<String>,
    /// To there: an address or a prefix.
    pub destination_ip_prefix: Option<String>,
    /// From this Ethernet address.
    pub source_mac_address: Option<String>,
    /// To this Ethernet address.
    pub destination_mac_address: Option<String>,
    /// From this port and higher ones.
    pub source_port_range_min: Option<u16>,
    /// From this port and lower ones.
    pub source_port_range_max: Option<u16>,
    /// To this port and higher ones.
    pub destination_port_range_min: Option<u16>,
    /// To this port and lower ones.
    pub destination_port_range_max: Option<u16>,
    /// Of this type.
    pub icmp_protocol_type: Option<u8>,
    /// Of this code.
    pub icmp_protocol_code: Option<u8>,
}

/// What an ACL's rule can be about.
#[derive(ToSchema)]
#[allow(missing_docs)]
pub enum AclEthertype {
    IPv4,
    IPv6,
    ARP,
}

/// What becomes of a packet; `deny` and `drop` are the same.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum AclAction {
    Allow,
    Deny,
    Drop,
}

/// How much the guest behind a port may send. Kept and returned; not carried out.
#[derive(ToSchema)]
pub struct LogicalQueueConfig {
    /// What it is promised, in kbit/s; 0 if left out.
    pub min_bandwidth_rate: Option<u64>,
    /// What it may send at most, in kbit/s; null means no limit.
    pub max_bandwidth_rate: Option<u64>,
    /// Whether its own marks hold; `untrusted` if left out.
    #[schema(inline)]
    pub qos_marking: Option<QosMarking>,
    /// The differentiated services code point that it gets if not.
    #[schema(maximum = 63)]
    pub dscp: Option<u8>,
}

/// Whether a guest's own marks hold.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum QosMarking {
    Trusted,
    Untrusted,
}
