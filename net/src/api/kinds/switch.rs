//! Logical switches and their ports, and what ports are plugged into.

use super::*;
use serde_json::json as value;

/// `lswitch`.
pub(super) const SWITCH: Row = Row {
    kind: Kind::LogicalSwitch,
    segment: "lswitch",
    types: &["LogicalSwitchConfig"],
    tagged: true,
    filters: &[
        field("port_isolation_enabled"),
        Filter { name: "port_isolation", find: Find::Field("port_isolation_enabled") },
        field("replication_mode"),
        Filter { name: "transport_zone_uuid", find: Find::Each("transport_zones", "zone_uuid") },
        Filter {
            name: "transport_zone_name",
            find: Find::All(|state, uuid| {
                let zones =
                    state.nib.switches().get(uuid).into_iter().flat_map(|switch| &switch.config.transport_zones);
                let zones = zones.filter_map(|zone| state.nib.zones().get(&zone.zone_uuid));
                zones.filter_map(|zone| zone.config.common.display_name.clone()).collect()
            }),
        },
    ],
    relations: &[Relation { name: "LogicalSwitchStatus", look: Look::Status }],
    below: &[
        Below::Status(View {
            type_name: "LogicalSwitchStatus",
            look: |state, uuid| status::logical_switch(state, *uuid).as_ref().map(json::object),
            schema: named::<schema::LogicalSwitchStatus>,
            hidden: &[],
            parent: None,
        }),
        Below::Queues,
    ],
    fields: |nib, uuid| fields(&nib.switches().get(uuid)?.config),
    parse: |map, _| json::decode(map).map(Object::LogicalSwitch),
    schema: named::<schema::LogicalSwitchConfig>,
};

/// `lswitch/<uuid>/lport`.
pub(super) const PORT: Row = Row {
    kind: Kind::LogicalPort,
    segment: "lport",
    types: &["LogicalSwitchPortConfig"],
    tagged: true,
    filters: &[
        field("admin_status_enabled"),
        field("portno"),
        field("queue_uuid"),
        field("mac_learning"),
        Filter { name: "security_profile_uuid", find: Find::Field("security_profiles") },
        Filter {
            name: "attachment_vif_uuid",
            find: Find::Look(|state, uuid| Some(state.nib.ports().get(uuid)?.attachment.vif()?.to_string())),
        },
        Filter {
            name: "attachment_vif_mac",
            find: Find::Look(|state, uuid| {
                let location = state.nib.port_location(state.nib.ports().get(uuid)?)?;
                location.claim.observed.attached_mac.map(|mac| mac.to_string())
            }),
        },
        Filter {
            name: "attachment_node_uuid",
            find: Find::Look(|state, uuid| node_of_port(state, uuid).map(|node| node.to_string())),
        },
        Filter {
            name: "attachment_node_name",
            find: Find::Look(|state, uuid| {
                let node = state.nib.nodes().get(&node_of_port(state, uuid)?)?;
                node.config.common.display_name.clone()
            }),
        },
        Filter {
            name: "attachment_bridge_id",
            find: Find::Look(|state, uuid| {
                let node = state.nib.nodes().get(&node_of_port(state, uuid)?)?;
                Some(node.config.bridge().to_string())
            }),
        },
        Filter {
            name: "attachment_zone_uuid",
            find: Find::All(|state, uuid| {
                let node = node_of_port(state, uuid).and_then(|node| state.nib.nodes().get(&node));
                let connectors = node.into_iter().flat_map(|node| &node.config.transport_connectors);
                connectors.map(|connector| connector.transport_zone_uuid.to_string()).collect()
            }),
        },
        PLUGGED_SERVICE,
        PLUGGED_VLAN,
        PLUGGED_PEER,
    ],
    relations: &[
        Relation { name: "LogicalPortStatus", look: Look::Status },
        Relation { name: "LogicalPortAttachment", look: Look::At(render_attachment) },
        Relation {
            name: "LogicalSwitchConfig",
            look: Look::Object(Kind::LogicalSwitch, |state, port| parent_of_port(&state.nib, port)),
        },
        Relation {
            name: "LogicalQueueConfig",
            look: Look::Object(Kind::LogicalQueue, |state, port| state.nib.ports().get(port)?.config.queue_uuid),
        },
        Relation { name: "VirtualInterfaceConfig", look: Look::At(virtual_interface) },
        Relation { name: "TransportNodeInterfaceStatus", look: Look::Staff(interface_status) },
    ],
    below: &[
        Below::Status(View {
            type_name: "LogicalSwitchPortStatus",
            look: |state, uuid| status::logical_port(state, *uuid).as_ref().map(json::object),
            schema: named::<schema::LogicalSwitchPortStatus>,
            hidden: &["transport_node_uuid", "vif_interface", "reason"],
            parent: Some(("lswitch", Kind::LogicalSwitch)),
        }),
        Below::Attachment(&[
            "NoAttachment",
            "VifAttachment",
            "PatchAttachment",
            "L2GatewayAttachment",
            "VtepL2GatewayAttachment",
            "DomainGatewayAttachment",
        ]),
        Below::Statistic,
    ],
    fields: |nib, uuid| fields(&nib.ports().get(uuid)?.config),
    parse: |map, parent| {
        let switch = owner(Kind::LogicalSwitch, parent)?;
        Ok(Object::LogicalPort { switch, config: json::decode(map)? })
    },
    schema: named::<schema::LogicalSwitchPortConfig>,
};

/// Ports by the gateway service that they are plugged into.
pub(super) const PLUGGED_SERVICE: Filter = Filter {
    name: "attachment_gwsvc_uuid",
    find: Find::Look(|state, uuid| {
        let (service, _) = state.nib.attachment(*uuid)?.1.gateway()?;
        Some(service.uuid.to_string())
    }),
};

/// Ports by the VLAN there: 0 is untagged.
pub(super) const PLUGGED_VLAN: Filter = Filter {
    name: "attachment_vlan",
    find: Find::Look(|state, uuid| Some(state.nib.attachment(*uuid)?.1.vlan()?.to_string())),
};

/// Ports by the port that is plugged into them.
pub(super) const PLUGGED_PEER: Filter = Filter {
    name: "attachment_peer_port_uuid",
    find: Find::Look(|state, uuid| Some(state.nib.attachment(*uuid)?.1.peer()?.to_string())),
};

/// What a port is plugged into, as it is sent.
pub(in super::super) fn render_attachment(state: &State, port: &Uuid) -> Option<Value> {
    let (kind, attachment) = state.nib.attachment(*port)?;
    let mut map = json::object(attachment);
    map.insert("_href".into(), format!("{}/attachment", row(kind).href(&state.nib, port)?).into());
    map.insert("_schema".into(), schema_href(attachment.type_name()).into());
    if let Some(peer) = attachment.peer() {
        let (kind, _) = state.nib.attachment(peer)?;
        map.insert("peer_port_href".into(), row(kind).href(&state.nib, &peer)?.into());
    }
    Some(Value::Object(map))
}

/// The guest's interface that is plugged into a port, and its address as far as its transport node knows it.
fn virtual_interface(state: &State, port: &Uuid) -> Option<Value> {
    let record = state.nib.ports().get(port)?;
    let mac = state.nib.port_location(record).and_then(|location| location.claim.observed.attached_mac);
    let vif = record.attachment.vif()?;
    Some(value!({ "type": "VirtualInterfaceConfig", "vif_uuid": vif, "attached_mac": mac.map(|mac| mac.to_string()) }))
}

/// Where the guest's interface is.
fn interface_status(state: &State, port: &Uuid) -> Option<Value> {
    let location = state.nib.port_location(state.nib.ports().get(port)?)?;
    let observed = &location.claim.observed;
    let node = location.node;
    Some(value!({
        "type": "TransportNodeInterfaceStatus",
        "_href": format!("{ROOT}/transport-node/{node}/interface/{}/statistic", observed.interface),
        "transport_node_uuid": node,
        "interface_id": observed.interface,
        "openflow_port": observed.ofport.0,
    }))
}

fn node_of_port(state: &State, port: &Uuid) -> Option<Uuid> {
    let record = state.nib.ports().get(port)?;
    state.nib.port_location(record).map(|location| location.node)
}
