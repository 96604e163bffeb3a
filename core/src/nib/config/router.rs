//! Logical routers: their ports, routes and translations. Kept and returned; not carried out.
//!
//! Clients find rules and routes again by comparing them with what they sent, so that addresses come back as they were
//! written, and no key is added. Start at [`LogicalRouter`].

use super::prefix::IpPrefix;
use super::switch::{ReplicationMode, portno};
use super::{Common, Invalid, at_most, null_is_default, null_is_yes, yes};
use crate::addr::Mac;
use serde::{Deserialize, Deserializer, Serialize};
use std::net::IpAddr;

/// Most addresses of one router port.
pub const ROUTER_ADDRESSES_MAX: usize = 1024;

/// A tenant's router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogicalRouter {
    /// Name and tags.
    #[serde(flatten)]
    pub common: Common,
    /// Where its routes are.
    pub routing_config: RoutingConfig,
    /// Whether every hypervisor routes by itself what stays inside.
    #[serde(default, deserialize_with = "null_is_default")]
    pub distributed: bool,
    /// Who makes the copies of group frames.
    #[serde(default, deserialize_with = "null_is_default")]
    pub replication_mode: ReplicationMode,
    /// Whether a gateway that takes over knows the translations that were under way.
    #[serde(default = "yes", deserialize_with = "null_is_yes")]
    pub nat_synchronization_enabled: bool,
}

/// Where a router's routes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterNextHop {
    /// There is one sort.
    #[serde(rename = "type", default)]
    pub kind: RouterNextHopType,
    /// Its address.
    pub gateway_ip_address: IpAddr,
}

/// The sorts of routers next to one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouterNextHopType {
    /// One with an address.
    #[default]
    RouterNextHop,
}

impl LogicalRouter {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        match &self.routing_config {
            RoutingConfig::SingleDefaultRoute { default_route_next_hop: hop }
                if hop.gateway_ip_address.is_multicast() =>
            {
                let field = "routing_config.default_route_next_hop.gateway_ip_address";
                Err(Invalid::new(field, format!("{} is no router's", hop.gateway_ip_address)))
            }
            RoutingConfig::SingleDefaultRoute { .. } | RoutingConfig::RoutingTable {} => Ok(()),
        }
    }
}

/// A port of a logical router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogicalRouterPort {
    /// Name and tags.
    #[serde(flatten)]
    pub common: Common,
    /// If false, nothing passes.
    #[serde(default = "yes", deserialize_with = "null_is_yes")]
    pub admin_status_enabled: bool,
    /// For people: 1 to 1,000,000, unique on the router; the lowest free one if not given.
    #[serde(default)]
    pub portno: Option<u32>,
    /// Its addresses, each with the length of its network's prefix, in the order that was sent.
    #[serde(default, deserialize_with = "null_is_default")]
    pub ip_addresses: Vec<IpPrefix>,
    /// Its Ethernet address; one is made if none, or zero, is given.
    #[serde(default, deserialize_with = "zero_is_none")]
    pub mac_address: Option<Mac>,
}

fn zero_is_none<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Mac>, D::Error> {
    Ok(Option::<Mac>::deserialize(from)?.filter(|mac| *mac != Mac([0; 6])))
}

impl LogicalRouterPort {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        portno(self.portno)?;
        at_most("ip_addresses", self.ip_addresses.len(), ROUTER_ADDRESSES_MAX, "addresses")?;
        match self.mac_address.is_some_and(Mac::is_group) {
            true => Err(Invalid::new("mac_address", "a group address cannot be a port's")),
            false => Ok(()),
        }
    }
}

/// Where packets to some addresses go next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Those addresses.
    pub prefix: IpPrefix,
    /// The address of the router that they go to.
    pub next_hop_ip: IpPrefix,
    /// Who says so.
    #[serde(default, deserialize_with = "null_is_default")]
    pub protocol: RouteProtocol,
    /// What becomes of the packets.
    #[serde(default, deserialize_with = "null_is_default")]
    pub action: RouteAction,
}

/// Who says that there is a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouteProtocol {
    /// A user.
    #[default]
    Static,
}

/// What becomes of packets that a route is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouteAction {
    /// They are sent.
    #[default]
    Accept,
}

impl Route {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        address("next_hop_ip", Some(&self.next_hop_ip))
    }
}

/// One address, without the length of a prefix.
fn address(field: &str, value: Option<&IpPrefix>) -> Result<(), Invalid> {
    match value.filter(|value| value.address().is_none()) {
        Some(prefix) => Err(Invalid::new(field, format!("'{prefix}' is a prefix, and an address is needed"))),
        None => Ok(()),
    }
}

/// A version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Ethertype {
    /// RFC 791.
    #[serde(rename = "IPv4")]
    Ipv4,
    /// RFC 8200.
    #[serde(rename = "IPv6")]
    Ipv6,
}

/// A translation of addresses. Of those for sources the first that matches holds, and likewise of those for destinations,
/// which come before: a source is looked at together with the destination that came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatRule {
    /// Which sort.
    #[serde(rename = "type")]
    pub kind: NatRuleType,
    /// Lower ones are tried first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub order: u32,
    /// Which packets.
    #[serde(rename = "match")]
    pub packets: NatMatch,
    /// The lowest new source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_source_ip_address_min: Option<IpPrefix>,
    /// The highest new source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_source_ip_address_max: Option<IpPrefix>,
    /// The new source port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_source_port: Option<u16>,
    /// The new destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_destination_ip_address: Option<IpPrefix>,
    /// The lowest new destination, as releases before 3 wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_destination_ip_address_min: Option<IpPrefix>,
    /// The highest new destination, as releases before 3 wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_destination_ip_address_max: Option<IpPrefix>,
    /// The new destination port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_destination_port: Option<u16>,
}

/// The sorts of translations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub enum NatRuleType {
    /// Packets get another source.
    SourceNatRule,
    /// Packets get another destination.
    DestinationNatRule,
    /// Packets keep their source; rules after this one are not tried.
    NoSourceNatRule,
    /// Packets keep their destination; rules after this one are not tried.
    NoDestinationNatRule,
}

/// The packets that a translation is for. A key that is not known is refused: without it the rule would be for more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NatMatch {
    /// Of which protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ethertype: Option<Ethertype>,
    /// Of which protocol above (IANA's number).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u8>,
    /// From there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ip_addresses: Option<IpPrefix>,
    /// To there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_ip_addresses: Option<IpPrefix>,
    /// From this port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_port: Option<u16>,
    /// To this port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_port: Option<u16>,
    /// From this port and higher ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_port_min: Option<u16>,
    /// From this port and lower ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_port_max: Option<u16>,
    /// To this port and higher ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_port_min: Option<u16>,
    /// To this port and lower ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_port_max: Option<u16>,
}

impl NatRule {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        let targets = [
            ("to_source_ip_address_min", &self.to_source_ip_address_min),
            ("to_source_ip_address_max", &self.to_source_ip_address_max),
            ("to_destination_ip_address", &self.to_destination_ip_address),
            ("to_destination_ip_address_min", &self.to_destination_ip_address_min),
            ("to_destination_ip_address_max", &self.to_destination_ip_address_max),
        ];
        targets.into_iter().try_for_each(|(field, value)| address(field, value.as_ref()))?;
        self.needs_targets()?;
        self.packets.validate()
    }

    fn needs_targets(&self) -> Result<(), Invalid> {
        let missing = |field| Err(Invalid::new(field, "it is needed with this type"));
        match self.kind {
            NatRuleType::SourceNatRule if self.to_source_ip_address_min.is_none() => {
                missing("to_source_ip_address_min")
            }
            NatRuleType::SourceNatRule if self.to_source_ip_address_max.is_none() => {
                missing("to_source_ip_address_max")
            }
            NatRuleType::DestinationNatRule
                if self.to_destination_ip_address.is_none()
                    && (self.to_destination_ip_address_min.is_none()
                        || self.to_destination_ip_address_max.is_none()) =>
            {
                missing("to_destination_ip_address")
            }
            NatRuleType::SourceNatRule
            | NatRuleType::DestinationNatRule
            | NatRuleType::NoSourceNatRule
            | NatRuleType::NoDestinationNatRule => Ok(()),
        }
    }
}

impl NatMatch {
    fn validate(&self) -> Result<(), Invalid> {
        let ranges = [
            ("match.source_port_max", self.source_port_min, self.source_port_max),
            ("match.destination_port_max", self.destination_port_min, self.destination_port_max),
        ];
        for (field, min, max) in ranges {
            if let (Some(min), Some(max)) = (min, max)
                && min > max
            {
                return Err(Invalid::new(field, format!("{max} is below the lowest, {min}")));
            }
        }
        Ok(())
    }
}
