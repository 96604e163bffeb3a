//! Logical services nodes, and the edge clusters that do their work.

use super::switch::{PLUGGED_PEER, render_attachment};
use super::*;

/// `edge-cluster`.
pub(super) const CLUSTER: Row = Row {
    kind: Kind::EdgeCluster,
    segment: "edge-cluster",
    types: &["EdgeClusterConfig"],
    tagged: true,
    filters: &[Filter { name: "transport_node_uuid", find: Find::Field("transport_node_uuids") }],
    relations: &[],
    below: &[KEPT],
    fields: |nib, uuid| kept(nib, Kind::EdgeCluster, uuid),
    parse: |map, _| json::decode(map).map(Object::EdgeCluster),
    schema: named::<schema::EdgeClusterConfig>,
};

/// `lservices-node`.
pub(super) const NODE: Row = Row {
    kind: Kind::ServicesNode,
    segment: "lservices-node",
    types: &["LogicalServicesNodeConfig"],
    tagged: true,
    filters: &[field("edge_cluster_uuid")],
    relations: &[],
    below: &[
        KEPT,
        Below::Part(Part {
            segment: "dhcp",
            field: "dhcp",
            type_name: "DhcpConfig",
            schema: named::<schema::DhcpConfig>,
            host: None,
        }),
        Below::Part(Part {
            segment: "metadata-proxy",
            field: "metadata_proxy",
            type_name: "MetadataProxyConfig",
            schema: named::<schema::MetadataProxyConfig>,
            host: None,
        }),
    ],
    fields: |nib, uuid| kept(nib, Kind::ServicesNode, uuid),
    parse: |map, _| json::decode(map).map(Object::ServicesNode),
    schema: named::<schema::LogicalServicesNodeConfig>,
};

/// `lservices-node/<uuid>/lport`.
pub(super) const PORT: Row = Row {
    kind: Kind::ServicesNodePort,
    segment: "lport",
    types: &["LogicalServicesNodePortConfig"],
    tagged: true,
    filters: &[field("admin_status_enabled"), field("ip_address"), field("mac_address"), PLUGGED_PEER],
    relations: &[
        Relation { name: "LogicalPortStatus", look: Look::Status },
        Relation { name: "LogicalPortAttachment", look: Look::At(render_attachment) },
    ],
    below: &[
        KEPT,
        Below::Attachment(&["NoAttachment", "PatchAttachment"]),
        Below::Part(Part {
            segment: "dhcp",
            field: "dhcp",
            type_name: "PortDhcpConfig",
            schema: named::<schema::PortDhcpConfig>,
            host: Some(Host { key: "mac_address", type_name: "DhcpHost" }),
        }),
        Below::Part(Part {
            segment: "metadata-proxy",
            field: "metadata_proxy",
            type_name: "PortMetadataProxyConfig",
            schema: named::<schema::PortMetadataProxyConfig>,
            host: Some(Host { key: "ip_address", type_name: "MetadataHost" }),
        }),
    ],
    fields: |nib, uuid| kept(nib, Kind::ServicesNodePort, uuid),
    parse: |map, parent| {
        let node = owner(Kind::ServicesNode, parent)?;
        Ok(Object::ServicesNodePort { node, config: json::decode(map)? })
    },
    schema: named::<schema::LogicalServicesNodePortConfig>,
};
