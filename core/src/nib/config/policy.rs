//! What guests may send, be sent, and how fast. Kept and returned; not carried out.
//!
//! Rules come back as they were sent: no field is added, none is left out, and one that is not known is refused, since a
//! rule without it would let more through. Start at [`SecurityProfile`].

use super::prefix::IpPrefix;
use super::router::Ethertype;
use super::{Common, Invalid, Kind, Reference, at_most, null_is_default};
use crate::addr::Mac;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Most rules in one list.
pub const RULES_MAX: usize = 2048;
/// Highest differentiated services code point (RFC 2474).
const DSCP_MAX: u8 = 63;

/// What the guests behind ports may send and be sent. Several on one port allow what any of them allows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityProfile {
    /// Name and tags.
    #[serde(flatten)]
    pub common: Common,
    /// What may enter the switch from the port; everything if there is no rule.
    #[serde(default, deserialize_with = "null_is_default")]
    pub logical_port_ingress_rules: Vec<ProfileRule>,
    /// What may leave the switch to the port; everything if there is no rule.
    #[serde(default, deserialize_with = "null_is_default")]
    pub logical_port_egress_rules: Vec<ProfileRule>,
}

/// Packets that may pass, and the answers to them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileRule {
    /// Of which protocol.
    pub ethertype: Ethertype,
    /// Of which protocol above (IANA's number).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u8>,
    /// To this port and higher ones; with ICMP, of this type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_range_min: Option<u16>,
    /// To this port and lower ones; with ICMP, of this code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_range_max: Option<u16>,
    /// From or to there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_prefix: Option<IpPrefix>,
    /// From or to ports that have this profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_uuid: Option<Uuid>,
}

/// ICMP and ICMPv6: what is said of ports is said of types and codes, so that the second may be the lower one.
const ICMP: [u8; 2] = [1, 58];

impl ProfileRule {
    fn validate(&self, field: &str) -> Result<(), Invalid> {
        let is_icmp = self.protocol.is_some_and(|protocol| ICMP.contains(&protocol));
        match (self.port_range_min, self.port_range_max) {
            (Some(min), Some(max)) if min > max && !is_icmp => {
                Err(Invalid::new(format!("{field}.port_range_max"), format!("{max} is below port_range_min, {min}")))
            }
            _ => Ok(()),
        }
    }
}

impl SecurityProfile {
    fn lists(&self) -> [(&'static str, &[ProfileRule]); 2] {
        [
            ("logical_port_ingress_rules", &self.logical_port_ingress_rules),
            ("logical_port_egress_rules", &self.logical_port_egress_rules),
        ]
    }

    pub(super) fn validate(&self) -> Result<(), Invalid> {
        for (list, rules) in self.lists() {
            at_most(list, rules.len(), RULES_MAX, "rules")?;
            for (i, rule) in rules.iter().enumerate() {
                rule.validate(&format!("{list}[{i}]"))?;
            }
        }
        Ok(())
    }

    pub(super) fn references(&self) -> Vec<Reference> {
        let by = |list, (i, rule): (usize, &ProfileRule)| {
            Some(Reference::within(list, i, "profile_uuid", Kind::SecurityProfile, rule.profile_uuid?))
        };
        let lists = self.lists().into_iter();
        lists.flat_map(|(list, rules)| rules.iter().enumerate().filter_map(move |rule| by(list, rule))).collect()
    }
}

/// Rules for packets, stateless. How they come to switches and ports is not settled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acl {
    /// Name and tags.
    #[serde(flatten)]
    pub common: Common,
    /// For what enters the switch from the port.
    #[serde(default, deserialize_with = "null_is_default")]
    pub logical_port_ingress_rules: Vec<AclRule>,
    /// For what leaves the switch to the port.
    #[serde(default, deserialize_with = "null_is_default")]
    pub logical_port_egress_rules: Vec<AclRule>,
}

/// What becomes of some packets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AclRule {
    /// Of which protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ethertype: Option<AclEthertype>,
    /// Of which protocol above (IANA's number).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u8>,
    /// What becomes of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<AclAction>,
    /// Lower ones are asked first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<u32>,
    /// From there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ip_prefix: Option<IpPrefix>,
    /// To there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_ip_prefix: Option<IpPrefix>,
    /// From this address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_mac_address: Option<Mac>,
    /// To this address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_mac_address: Option<Mac>,
    /// From this port and higher ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_port_range_min: Option<u16>,
    /// From this port and lower ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_port_range_max: Option<u16>,
    /// To this port and higher ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_port_range_min: Option<u16>,
    /// To this port and lower ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_port_range_max: Option<u16>,
    /// Of this type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp_protocol_type: Option<u8>,
    /// Of this code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp_protocol_code: Option<u8>,
}

/// What an ACL's rule can be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AclEthertype {
    /// RFC 791.
    #[serde(rename = "IPv4")]
    Ipv4,
    /// RFC 8200.
    #[serde(rename = "IPv6")]
    Ipv6,
    /// RFC 826.
    #[serde(rename = "ARP")]
    Arp,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AclAction {
    /// It passes.
    Allow,
    /// It does not.
    Deny,
    /// The same in another word.
    Drop,
}

impl Acl {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        let lists = [
            ("logical_port_ingress_rules", &self.logical_port_ingress_rules),
            ("logical_port_egress_rules", &self.logical_port_egress_rules),
        ];
        for (list, rules) in lists {
            at_most(list, rules.len(), RULES_MAX, "rules")?;
            for (i, rule) in rules.iter().enumerate() {
                let source = (rule.source_port_range_min, rule.source_port_range_max);
                let destination = (rule.destination_port_range_min, rule.destination_port_range_max);
                for (range, name) in [(source, "source"), (destination, "destination")] {
                    if let (Some(min), Some(max)) = range
                        && min > max
                    {
                        let field = format!("{list}[{i}].{name}_port_range_max");
                        return Err(Invalid::new(field, format!("{max} is below {name}_port_range_min, {min}")));
                    }
                }
            }
        }
        Ok(())
    }
}

/// How much the guest behind a port may send.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogicalQueue {
    /// Name and tags.
    #[serde(flatten)]
    pub common: Common,
    /// What it is promised, in kbit/s.
    #[serde(default, deserialize_with = "null_is_default")]
    pub min_bandwidth_rate: u64,
    /// What it may send at most, in kbit/s; none means no limit.
    #[serde(default)]
    pub max_bandwidth_rate: Option<u64>,
    /// Whether its own marks hold.
    #[serde(default, deserialize_with = "null_is_default")]
    pub qos_marking: QosMarking,
    /// The differentiated services code point that it gets if not, 0 to 63.
    #[serde(default, deserialize_with = "null_is_default")]
    pub dscp: u8,
}

/// Whether a guest's own marks hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QosMarking {
    /// They do.
    Trusted,
    /// They are replaced.
    #[default]
    Untrusted,
}

impl LogicalQueue {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        match self.dscp > DSCP_MAX {
            true => Err(Invalid::new("dscp", format!("{} is no code point (0 to {DSCP_MAX})", self.dscp))),
            false => Ok(()),
        }
    }
}
