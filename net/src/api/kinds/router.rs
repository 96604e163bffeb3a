//! Logical routers: ports, translations, routes.

use super::switch::{PLUGGED_PEER, PLUGGED_SERVICE, PLUGGED_VLAN, render_attachment};
use super::*;

/// `lrouter`.
pub(super) const ROUTER: Row = Row {
    kind: Kind::LogicalRouter,
    segment: "lrouter",
    types: &["LogicalRouterConfig"],
    tagged: true,
    filters: &[field("distributed"), field("replication_mode"), field("nat_synchronization_enabled")],
    relations: &[Relation { name: "LogicalRouterStatus", look: Look::Status }],
    below: &[Below::Status(View {
        type_name: "LogicalRouterStatus",
        look: |state, uuid| status::logical_router(state, *uuid).as_ref().map(json::object),
        schema: named::<schema::LogicalRouterStatus>,
        hidden: &[],
        parent: None,
    })],
    fields: |nib, uuid| kept(nib, Kind::LogicalRouter, uuid),
    parse: |map, _| json::decode(map).map(Object::LogicalRouter),
    schema: named::<schema::LogicalRouterConfig>,
};

/// `lrouter/<uuid>/lport`.
pub(super) const PORT: Row = Row {
    kind: Kind::LogicalRouterPort,
    segment: "lport",
    types: &["LogicalRouterPortConfig"],
    tagged: true,
    filters: &[
        field("admin_status_enabled"),
        field("portno"),
        field("mac_address"),
        PLUGGED_SERVICE,
        PLUGGED_VLAN,
        PLUGGED_PEER,
        Filter {
            name: "attachment_lswitch_uuid",
            find: Find::Look(|state, uuid| {
                let peer = state.nib.attachment(*uuid)?.1.peer()?;
                Some(state.nib.ports().get(&peer)?.switch.to_string())
            }),
        },
    ],
    relations: &[
        Relation { name: "LogicalPortStatus", look: Look::Status },
        Relation { name: "LogicalPortAttachment", look: Look::At(render_attachment) },
        Relation {
            name: "LogicalRouterConfig",
            look: Look::Object(Kind::LogicalRouter, |state, port| parent_of_port(&state.nib, port)),
        },
    ],
    below: &[
        Below::Status(View {
            type_name: "LogicalRouterPortStatus",
            look: |state, uuid| status::logical_router_port(state, *uuid).as_ref().map(json::object),
            schema: named::<schema::LogicalRouterPortStatus>,
            hidden: &[],
            parent: Some(("lrouter", Kind::LogicalRouter)),
        }),
        Below::Attachment(&["NoAttachment", "PatchAttachment", "L3GatewayAttachment"]),
        Below::Statistic,
    ],
    fields: |nib, uuid| fields(&nib.router_ports().get(uuid)?.config),
    parse: |map, parent| {
        let router = owner(Kind::LogicalRouter, parent)?;
        Ok(Object::LogicalRouterPort { router, config: json::decode(map)? })
    },
    schema: named::<schema::LogicalRouterPortConfig>,
};

/// `lrouter/<uuid>/nat`.
pub(super) const NAT: Row = Row {
    kind: Kind::NatRule,
    segment: "nat",
    types: &["SourceNatRule", "DestinationNatRule", "NoSourceNatRule", "NoDestinationNatRule"],
    tagged: false,
    filters: &[field("type"), field("order")],
    relations: &[],
    below: &[KEPT],
    fields: |nib, uuid| kept(nib, Kind::NatRule, uuid),
    parse: |map, parent| {
        let router = owner(Kind::LogicalRouter, parent)?;
        Ok(Object::NatRule { router, config: json::decode(map)? })
    },
    schema: named::<schema::NatRule>,
};

/// `lrouter/<uuid>/rib`.
pub(super) const RIB: Row = Row {
    kind: Kind::Route,
    segment: "rib",
    types: &["RoutingTableEntry"],
    tagged: false,
    filters: &[field("protocol"), field("prefix"), field("next_hop_ip"), field("action")],
    relations: &[],
    below: &[KEPT],
    fields: |nib, uuid| kept(nib, Kind::Route, uuid),
    parse: |map, parent| {
        let router = owner(Kind::LogicalRouter, parent)?;
        Ok(Object::Route { router, config: json::decode(map)? })
    },
    schema: named::<schema::RoutingTableEntry>,
};
