//! Transport zones and transport nodes.

use super::*;

/// `transport-zone`.
pub(super) const ZONE: Row = Row {
    kind: Kind::TransportZone,
    segment: "transport-zone",
    types: &["TransportZoneConfig"],
    tagged: true,
    filters: &[],
    relations: &[],
    below: &[],
    fields: |nib, uuid| fields(&nib.zones().get(uuid)?.config),
    parse: |map, _| json::decode(map).map(Object::TransportZone),
    schema: named::<schema::TransportZoneConfig>,
};

/// `transport-node`.
pub(super) const NODE: Row = Row {
    kind: Kind::TransportNode,
    segment: "transport-node",
    types: &["TransportNodeConfig"],
    tagged: true,
    filters: &[
        field("admin_status_enabled"),
        field("integration_bridge_id"),
        field("zone_forwarding"),
        field("vtep_enabled"),
        Filter { name: "transport_zone_uuid", find: Find::Each("transport_connectors", "transport_zone_uuid") },
    ],
    relations: &[Relation { name: "TransportNodeStatus", look: Look::Status }],
    below: &[Below::Status(View {
        type_name: "TransportNodeStatus",
        look: |state, uuid| status::transport_node(state, *uuid).as_ref().map(json::object),
        schema: named::<schema::TransportNodeStatus>,
        hidden: &[],
        parent: None,
    })],
    fields: |nib, uuid| fields(&nib.nodes().get(uuid)?.config),
    parse: |map, _| json::decode(map).map(Object::TransportNode),
    schema: named::<schema::TransportNodeConfig>,
};
