//! Logical switches and their ports, and what ports are plugged into.

use super::*;

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
    ],
    relations: &[Relation { name: "LogicalSwitchStatus", look: Look::Status }],
    below: &[
        Below::Status(View {
            type_name: "LogicalSwitchStatus",
            look: |state, uuid| status::logical_switch(state, *uuid).as_ref().map(json::object),
            schema: named::<schema::LogicalSwitchStatus>,
            hidden: &[],
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
        PLUGGED_SERVICE,
        PLUGGED_VLAN,
        PLUGGED_PEER,
    ],
    relations: &[
        Relation { name: "LogicalPortStatus", look: Look::Status },
        Relation { name: "LogicalPortAttachment", look: Look::At(render_attachment) },
        Relation { name: "LogicalSwitchConfig", look: Look::At(switch_of_port) },
        Relation {
            name: "LogicalQueueConfig",
            look: Look::At(|state, uuid| {
                let queue = state.nib.ports().get(uuid)?.config.queue_uuid?;
                row(Kind::LogicalQueue).render(&state.nib, &queue).map(Value::Object)
            }),
        },
    ],
    below: &[
        Below::Status(View {
            type_name: "LogicalSwitchPortStatus",
            look: |state, uuid| {
                let mut map = json::object(&status::logical_port(state, *uuid)?);
                map.insert("lswitch".into(), switch_of_port(state, uuid)?);
                Some(map)
            },
            schema: named::<schema::LogicalSwitchPortStatus>,
            hidden: &["transport_node_uuid", "vif_interface", "reason"],
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

fn switch_of_port(state: &State, port: &Uuid) -> Option<Value> {
    let switch = state.nib.ports().get(port)?.switch;
    row(Kind::LogicalSwitch).render(&state.nib, &switch).map(Value::Object)
}

fn node_of_port(state: &State, port: &Uuid) -> Option<Uuid> {
    let record = state.nib.ports().get(port)?;
    state.nib.port_location(record).map(|location| location.node)
}
