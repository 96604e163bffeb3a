//! What users configure: the resources of `/ws.v1`, with their fields, defaults and limits.
//!
//! These types *are* the JSON of the northbound API (and of the log on disk, so a field may be added with a default
//! but never change its meaning). What needs the rest of the NIB to judge (references, uniqueness) is
//! [`super::apply`]'s; what a value alone shows is checked by `validate`.
//!
//! A new kind is a variant of [`Kind`] and of [`Object`], and its type in a file here. If nothing has to be allocated or
//! computed for it, that is all: the NIB keeps it as a [`Kept`](super::Kept). Start at [`Object`].

mod attachment;
mod gateway;
mod policy;
mod prefix;
mod router;
mod services;
mod switch;
mod transport;

pub use attachment::Attachment;
pub use gateway::{DEVICE_LENGTH_MAX, Gateway, GatewayService, GatewayServiceType};
pub use policy::{
    Acl, AclAction, AclEthertype, AclRule, LogicalQueue, ProfileRule, QosMarking, RULES_MAX, SecurityProfile,
};
pub use prefix::IpPrefix;
pub use router::{
    Ethertype, LogicalRouter, LogicalRouterPort, NatMatch, NatRule, NatRuleType, ROUTER_ADDRESSES_MAX, Route,
    RouteAction, RouteProtocol, RouterNextHop, RouterNextHopType, RoutingConfig,
};
pub use services::{
    DhcpHost, DhcpService, EDGE_NODES_MAX, EdgeCluster, MetadataHost, MetadataProxy, OPTION_VALUE_MAX, PortDhcp,
    PortMetadataProxy, SERVED_HOSTS_MAX, SERVICE_OPTIONS_MAX, SERVICE_WORD_MAX, ServiceOption, ServicesNode,
    ServicesNodePort,
};
pub use switch::{
    AddressPair, BindingConfig, LogicalPort, LogicalSwitch, ReplicationMode, TransportNumber, TransportType,
    TransportZoneBinding,
};
pub use transport::{
    Certificate, Connector, ConnectorType, Credential, DEFAULT_BRIDGE, Encap, Identity, TransportNode, TransportZone,
};

use super::refusal::Invalid;
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
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
    /// `lrouter`.
    LogicalRouter,
    /// `lrouter/<uuid>/lport`.
    LogicalRouterPort,
    /// `lrouter/<uuid>/nat`.
    NatRule,
    /// `lrouter/<uuid>/rib`.
    Route,
    /// `security-profile`.
    SecurityProfile,
    /// `acl`.
    Acl,
    /// `lqueue`.
    LogicalQueue,
    /// `gateway-service`.
    GatewayService,
    /// `edge-cluster`.
    EdgeCluster,
    /// `lservices-node`.
    ServicesNode,
    /// `lservices-node/<uuid>/lport`.
    ServicesNodePort,
}

impl Kind {
    /// The kind that its objects belong to: they go with it.
    pub fn parent(self) -> Option<Kind> {
        match self {
            Kind::LogicalPort => Some(Kind::LogicalSwitch),
            Kind::LogicalRouterPort | Kind::NatRule | Kind::Route => Some(Kind::LogicalRouter),
            Kind::ServicesNodePort => Some(Kind::ServicesNode),
            Kind::TransportZone
            | Kind::TransportNode
            | Kind::LogicalSwitch
            | Kind::LogicalRouter
            | Kind::SecurityProfile
            | Kind::Acl
            | Kind::LogicalQueue
            | Kind::GatewayService
            | Kind::EdgeCluster
            | Kind::ServicesNode => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::TransportZone => "transport zone",
            Kind::TransportNode => "transport node",
            Kind::LogicalSwitch => "logical switch",
            Kind::LogicalPort => "logical port",
            Kind::LogicalRouter => "logical router",
            Kind::LogicalRouterPort => "logical router port",
            Kind::NatRule => "NAT rule",
            Kind::Route => "route",
            Kind::SecurityProfile => "security profile",
            Kind::Acl => "ACL",
            Kind::LogicalQueue => "logical queue",
            Kind::GatewayService => "gateway service",
            Kind::EdgeCluster => "edge cluster",
            Kind::ServicesNode => "logical services node",
            Kind::ServicesNodePort => "logical services node port",
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
    /// A tenant's router.
    LogicalRouter(LogicalRouter),
    /// A port of a logical router.
    LogicalRouterPort {
        /// The router.
        router: Uuid,
        /// The port itself.
        config: LogicalRouterPort,
    },
    /// A translation of addresses.
    NatRule {
        /// The router that does it.
        router: Uuid,
        /// The rule itself.
        config: Box<NatRule>,
    },
    /// Where packets to some addresses go next.
    Route {
        /// The router that sends them.
        router: Uuid,
        /// The route itself.
        config: Route,
    },
    /// What guests may send and be sent.
    SecurityProfile(SecurityProfile),
    /// Rules for packets.
    Acl(Acl),
    /// How much a port may send.
    LogicalQueue(LogicalQueue),
    /// Ways out of the logical networks.
    GatewayService(GatewayService),
    /// Transport nodes that do services nodes' work.
    EdgeCluster(EdgeCluster),
    /// What serves the guests of a network.
    ServicesNode(ServicesNode),
    /// A port of a logical services node.
    ServicesNodePort {
        /// The services node.
        node: Uuid,
        /// The port itself.
        config: Box<ServicesNodePort>,
    },
}

/// That an object refers to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The field that does, or the list.
    field: &'static str,
    /// Which element of a list, and which field of that, if it has fields.
    element: Option<(usize, &'static str)>,
    /// To what.
    pub kind: Kind,
    /// To which.
    pub uuid: Uuid,
}

impl Reference {
    fn by(field: &'static str, kind: Kind, uuid: Uuid) -> Reference {
        Reference { field, element: None, kind, uuid }
    }

    fn within(list: &'static str, at: usize, field: &'static str, kind: Kind, uuid: Uuid) -> Reference {
        Reference { field: list, element: Some((at, field)), kind, uuid }
    }

    /// The path of the field.
    pub fn path(&self) -> String {
        match self.element {
            None => self.field.to_string(),
            Some((at, "")) => format!("{}[{at}]", self.field),
            Some((at, field)) => format!("{}[{at}].{field}", self.field),
        }
    }
}

impl Object {
    /// Which kind it is.
    pub fn kind(&self) -> Kind {
        match self {
            Object::TransportZone(_) => Kind::TransportZone,
            Object::TransportNode(_) => Kind::TransportNode,
            Object::LogicalSwitch(_) => Kind::LogicalSwitch,
            Object::LogicalPort { .. } => Kind::LogicalPort,
            Object::LogicalRouter(_) => Kind::LogicalRouter,
            Object::LogicalRouterPort { .. } => Kind::LogicalRouterPort,
            Object::NatRule { .. } => Kind::NatRule,
            Object::Route { .. } => Kind::Route,
            Object::SecurityProfile(_) => Kind::SecurityProfile,
            Object::Acl(_) => Kind::Acl,
            Object::LogicalQueue(_) => Kind::LogicalQueue,
            Object::GatewayService(_) => Kind::GatewayService,
            Object::EdgeCluster(_) => Kind::EdgeCluster,
            Object::ServicesNode(_) => Kind::ServicesNode,
            Object::ServicesNodePort { .. } => Kind::ServicesNodePort,
        }
    }

    /// The object that it belongs to.
    pub fn parent(&self) -> Option<Uuid> {
        match self {
            Object::LogicalPort { switch, .. } => Some(*switch),
            Object::LogicalRouterPort { router, .. }
            | Object::NatRule { router, .. }
            | Object::Route { router, .. } => Some(*router),
            Object::ServicesNodePort { node, .. } => Some(*node),
            Object::TransportZone(_)
            | Object::TransportNode(_)
            | Object::LogicalSwitch(_)
            | Object::LogicalRouter(_)
            | Object::SecurityProfile(_)
            | Object::Acl(_)
            | Object::LogicalQueue(_)
            | Object::GatewayService(_)
            | Object::EdgeCluster(_)
            | Object::ServicesNode(_) => None,
        }
    }

    /// Checks what the value alone shows.
    ///
    /// # Errors
    /// The first field that is wrong, and why.
    pub fn validate(&self) -> Result<(), Invalid> {
        if let Some(common) = self.common() {
            common.validate()?;
        }
        match self {
            Object::TransportZone(_) => Ok(()),
            Object::TransportNode(node) => node.validate(),
            Object::LogicalSwitch(switch) => switch.validate(),
            Object::LogicalPort { config, .. } => config.validate(),
            Object::LogicalRouter(router) => router.validate(),
            Object::LogicalRouterPort { config, .. } => config.validate(),
            Object::NatRule { config, .. } => config.validate(),
            Object::Route { config, .. } => config.validate(),
            Object::SecurityProfile(profile) => profile.validate(),
            Object::Acl(acl) => acl.validate(),
            Object::LogicalQueue(queue) => queue.validate(),
            Object::GatewayService(service) => service.validate(),
            Object::EdgeCluster(cluster) => cluster.validate(),
            Object::ServicesNode(node) => node.validate(),
            Object::ServicesNodePort { config, .. } => config.validate(),
        }
    }

    /// What it refers to, the object that it belongs to aside.
    pub fn references(&self) -> Vec<Reference> {
        match self {
            Object::TransportNode(node) => node.references(),
            Object::LogicalSwitch(switch) => switch.references(),
            Object::LogicalPort { config, .. } => config.references(),
            Object::SecurityProfile(profile) => profile.references(),
            Object::GatewayService(service) => service.references(),
            Object::EdgeCluster(cluster) => cluster.references(),
            Object::ServicesNode(node) => node.references(),
            Object::TransportZone(_)
            | Object::LogicalRouter(_)
            | Object::LogicalRouterPort { .. }
            | Object::NatRule { .. }
            | Object::Route { .. }
            | Object::Acl(_)
            | Object::LogicalQueue(_)
            | Object::ServicesNodePort { .. } => Vec::new(),
        }
    }

    /// Name and tags, of kinds that have them.
    pub fn common(&self) -> Option<&Common> {
        match self {
            Object::TransportZone(zone) => Some(&zone.common),
            Object::TransportNode(node) => Some(&node.common),
            Object::LogicalSwitch(switch) => Some(&switch.common),
            Object::LogicalPort { config, .. } => Some(&config.common),
            Object::LogicalRouter(router) => Some(&router.common),
            Object::LogicalRouterPort { config, .. } => Some(&config.common),
            Object::SecurityProfile(profile) => Some(&profile.common),
            Object::Acl(acl) => Some(&acl.common),
            Object::LogicalQueue(queue) => Some(&queue.common),
            Object::GatewayService(service) => Some(&service.common),
            Object::EdgeCluster(cluster) => Some(&cluster.common),
            Object::ServicesNode(node) => Some(&node.common),
            Object::ServicesNodePort { config, .. } => Some(&config.common),
            Object::NatRule { .. } | Object::Route { .. } => None,
        }
    }

    /// Name and tags, to be changed.
    pub fn common_mut(&mut self) -> Option<&mut Common> {
        match self {
            Object::TransportZone(zone) => Some(&mut zone.common),
            Object::TransportNode(node) => Some(&mut node.common),
            Object::LogicalSwitch(switch) => Some(&mut switch.common),
            Object::LogicalPort { config, .. } => Some(&mut config.common),
            Object::LogicalRouter(router) => Some(&mut router.common),
            Object::LogicalRouterPort { config, .. } => Some(&mut config.common),
            Object::SecurityProfile(profile) => Some(&mut profile.common),
            Object::Acl(acl) => Some(&mut acl.common),
            Object::LogicalQueue(queue) => Some(&mut queue.common),
            Object::GatewayService(service) => Some(&mut service.common),
            Object::EdgeCluster(cluster) => Some(&mut cluster.common),
            Object::ServicesNode(node) => Some(&mut node.common),
            Object::ServicesNodePort { config, .. } => Some(&mut config.common),
            Object::NatRule { .. } | Object::Route { .. } => None,
        }
    }
}

/// Name and tags: almost all kinds have them.
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

fn yes() -> bool {
    true
}

/// A word of the client's: of bounded length, and printable.
fn text(field: &str, text: &str, limit: usize) -> Result<(), Invalid> {
    at_most(field, text.len(), limit, "bytes")?;
    no_controls(field, text)
}

fn null_is_yes<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(true))
}
