//! The schemas of everything that is sent. Start at [`schemas()`].

use super::super::kinds::{KINDS, Row};
use super::super::schema;
use super::operation::reference;
use selvedge_core::nib::Attachment;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A schema and its name.
pub(in super::super) type NamedSchema = (String, Value);

/// A type's schema, after those it refers to.
pub(in super::super) fn named<T: ToSchema>() -> Vec<NamedSchema> {
    let mut schemas = Vec::new();
    T::schemas(&mut schemas);
    schemas.push((T::name().into_owned(), T::schema()));
    let json = |schema| serde_json::to_value(schema).expect("a schema is JSON");
    schemas.into_iter().map(|(name, schema)| (name, json(schema))).collect()
}
/// The schemas of everything that is sent, by name.
pub(super) fn schemas() -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for row in KINDS {
        let mut schemas = (row.schema)();
        let (_, own) = schemas.pop().expect("its own schema comes last");
        all.extend(schemas);
        all.extend(row.types.iter().map(|name| (name.to_string(), partial(own.clone()))));
        all.extend(row.status().into_iter().flat_map(|view| (view.schema)()));
        all.extend(row.parts().flat_map(|part| (part.schema)()));
    }
    // Of these, too, clients may ask for some fields only.
    all.extend(named::<schema::ControlClusterNodeConfig>().into_iter().map(|(name, own)| (name, partial(own))));
    for more in [
        named::<schema::Tag>(),
        named::<schema::NoAttachment>(),
        named::<schema::VifAttachment>(),
        named::<schema::PatchAttachment>(),
        named::<schema::L2GatewayAttachment>(),
        named::<schema::L3GatewayAttachment>(),
        named::<schema::VtepL2GatewayAttachment>(),
        named::<schema::DomainGatewayAttachment>(),
        named::<schema::ControlClusterStatus>(),
        named::<schema::ControlClusterNodeStatus>(),
        named::<schema::ClusterMembers>(),
        named::<schema::RefusedPeer>(),
        named::<schema::UserConfig>(),
        named::<schema::UserWish>(),
        named::<schema::AuditEntry>(),
        named::<schema::Maintenance>(),
        named::<schema::Realisation>(),
        named::<schema::LogicalPortStatistics>(),
        named::<schema::TransportNodeInterfaceStatistics>(),
        named::<schema::Error>(),
    ] {
        all.extend(more);
    }
    for row in KINDS {
        for name in row.types {
            add_properties(all.get_mut(*name).expect("each of its types has a schema"), row_head(row, name));
        }
        if let Some(view) = row.status() {
            let schema = all.get_mut(view.type_name).expect("its own name comes last in its schemas");
            add_properties(schema, head(view.type_name));
        }
        for part in row.parts() {
            let schema = all.get_mut(part.type_name).expect("its own name comes last in its schemas");
            add_properties(schema, head(part.type_name));
        }
    }
    let others = [
        "ControlClusterStatus",
        "ControlClusterNodeConfig",
        "ClusterMembers",
        "ControlClusterNodeStatus",
        "LogicalPortStatistics",
        "TransportNodeInterfaceStatistics",
    ];
    for name in Attachment::TYPES.into_iter().chain(others) {
        add_properties(all.get_mut(name).expect("added above"), head(name));
    }
    for (status, name, embedded) in [
        ("LogicalSwitchPortStatus", "lswitch", "LogicalSwitchConfig"),
        ("LogicalRouterPortStatus", "lrouter", "LogicalRouterConfig"),
    ] {
        let status = all.get_mut(status).expect("a kind has it");
        add_properties(status, [(name.to_string(), reference(embedded))].into_iter().collect());
    }
    all
}

/// A schema for what is sent in part: fields that were not asked for, or are to stay as they are, are left out.
fn partial(mut schema: Value) -> Value {
    if let Some(schema) = schema.as_object_mut() {
        schema.remove("required");
    }
    schema
}

/// What a body must say that makes an object of a kind.
pub(super) fn needed(row: &Row) -> Vec<Value> {
    let own = (row.schema)().pop().and_then(|(_, own)| own["required"].as_array().cloned());
    let kind = row.only_type().is_none().then(|| "type".into());
    own.unwrap_or_default().into_iter().chain(kind).collect()
}

fn add_properties(schema: &mut Value, more: Map<String, Value>) {
    let properties = &mut schema["properties"];
    if properties.is_null() {
        *properties = Value::Object(Map::new());
    }
    properties.as_object_mut().expect("properties are an object").extend(more);
}

/// What everything that has a place of its own carries.
fn head(type_name: &str) -> Map<String, Value> {
    let text = |what: &str| serde_json::json!({ "type": "string", "readOnly": true, "description": what });
    [
        ("_href", text("Where it is served.")),
        ("_schema", text("Where its schema is served.")),
        ("type", serde_json::json!({ "type": "string", "enum": [type_name] })),
    ]
    .into_iter()
    .map(|(name, schema)| (name.to_string(), schema))
    .collect()
}

/// What all objects of a kind carry beyond their own fields.
fn row_head(row: &Row, type_name: &str) -> Map<String, Value> {
    let mut map = head(type_name);
    let uuid = serde_json::json!({
        "type": "string", "format": "uuid", "readOnly": true, "description": "Its name, set by the server."
    });
    map.insert("uuid".into(), uuid);
    let relations = serde_json::json!({
        "type": "object", "readOnly": true, "description": "What `relations` asked for, by name."
    });
    map.insert("_relations".into(), relations);
    if row.tagged {
        let name = serde_json::json!({
            "type": "string", "maxLength": 40, "description": "For people; the uuid if it was never given."
        });
        let tags = serde_json::json!({
            "type": "array", "maxItems": 5, "items": { "$ref": "#/components/schemas/Tag" },
            "description": "For other programs."
        });
        map.insert("display_name".into(), name);
        map.insert("tags".into(), tags);
    }
    map
}
