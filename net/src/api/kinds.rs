//! The table of resource kinds: one row gives everything the API does with a kind.
//!
//! Routes, lists, filters, tag queries, relations, `_href`, `_schema` and the OpenAPI document come from it. A new
//! kind is a row here, a schema in [`super::schema`], and whatever it has below its objects that no other kind has.
//!
//! Start at [`KINDS`] and [`Row`].

use super::ROOT;
use super::error::ApiError;
use super::json;
use super::openapi::{NamedSchema, named};
use super::schema;
use super::status;
use selvedge_core::nib::{Attachment, Common, Kind, Nib, Object};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::ops::Bound;
use uuid::Uuid;

use crate::controller::State;

/// JSON and the parent's uuid to an object.
type Parse = fn(Map<String, Value>, Option<Uuid>) -> Result<Object, ApiError>;

/// Everything the API does with one kind of resource.
pub(super) struct Row {
    /// The kind.
    pub kind: Kind,
    /// Its word in paths.
    pub segment: &'static str,
    /// The name of its schema, and the `type` of its objects.
    pub type_name: &'static str,
    /// The kind that its objects live under.
    pub parent: Option<Kind>,
    /// Whether objects carry tags; if not, tag queries are ignored.
    pub tagged: bool,
    /// What lists can be filtered by, beyond `uuid`, `display_name` and tags.
    pub filters: &'static [Filter],
    /// What `relations=` can ask for.
    pub relations: &'static [Relation],
    /// What lives below an object.
    pub below: &'static [Below],
    /// The objects after one uuid, in uuid order; those of one parent, or all.
    pub uuids: for<'a> fn(&'a Nib, Option<Uuid>, Option<Uuid>) -> Uuids<'a>,
    /// The fields that all kinds have.
    pub common: for<'a> fn(&'a Nib, &Uuid) -> Option<&'a Common>,
    /// The object's parent, for kinds that have one.
    pub parent_of: fn(&Nib, &Uuid) -> Option<Uuid>,
    /// The object's fields as JSON.
    pub fields: fn(&Nib, &Uuid) -> Option<Map<String, Value>>,
    /// An object of a parent, read from JSON.
    pub parse: Parse,
    /// The schema of its fields.
    pub schema: fn() -> Vec<NamedSchema>,
}

/// A walk over uuids.
pub(super) type Uuids<'a> = Box<dyn Iterator<Item = Uuid> + 'a>;

/// Something lists can be filtered by.
pub(super) struct Filter {
    /// Its name in queries.
    pub name: &'static str,
    /// What is compared.
    pub find: Find,
}

/// What a filter compares.
pub(super) enum Find {
    /// A field; each element of it if it is a list.
    Field(&'static str),
    /// A field of each element of a list.
    Each(&'static str, &'static str),
    /// Something that is no field.
    Look(fn(&State, &Uuid) -> Option<String>),
}

const fn field(name: &'static str) -> Filter {
    Filter { name, find: Find::Field(name) }
}

/// Something that is shown with an object when asked for.
pub(super) struct Relation {
    /// Its name in queries and in the answer.
    pub name: &'static str,
    /// What it is.
    pub look: fn(&State, &Uuid) -> Option<Value>,
}

/// Something that lives below an object.
pub(super) enum Below {
    /// `/status`.
    Status(View),
    /// `/attachment`.
    Attachment,
    /// `/statistic`.
    Statistic,
}

impl Below {
    /// Its word in paths.
    pub(super) fn segment(&self) -> &'static str {
        match self {
            Below::Status(_) => "status",
            Below::Attachment => "attachment",
            Below::Statistic => "statistic",
        }
    }
}

/// Something that is computed about an object.
#[derive(Clone, Copy)]
pub(super) struct View {
    /// The name of its schema, and its `type`.
    pub type_name: &'static str,
    /// What it says.
    pub look: fn(&State, &Uuid) -> Option<Map<String, Value>>,
    /// The schema of what it says.
    pub schema: fn() -> Vec<NamedSchema>,
}

impl View {
    /// The view as it is sent.
    pub(super) fn render(&self, row: &Row, state: &State, uuid: &Uuid) -> Option<Value> {
        let mut map = (self.look)(state, uuid)?;
        map.insert("type".into(), self.type_name.into());
        map.insert("_href".into(), format!("{}/status", row.href(&state.nib, uuid)?).into());
        map.insert("_schema".into(), schema_href(self.type_name).into());
        Some(Value::Object(map))
    }
}

/// The objects that a path can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Under {
    /// The kind has no parent, or all parents are meant.
    Any,
    /// The objects of one parent.
    Parent(Uuid),
}

/// Where a schema is served.
pub(super) fn schema_href(type_name: &str) -> String {
    format!("{ROOT}/schema/{type_name}")
}

/// The row of a kind.
pub(super) fn row(kind: Kind) -> &'static Row {
    KINDS.iter().find(|row| row.kind == kind).expect("every kind has a row")
}

impl Row {
    /// The path of a list, with a placeholder where the kind has a parent.
    pub(super) fn path(&self) -> String {
        match self.parent {
            None => format!("{ROOT}/{}", self.segment),
            Some(parent) => format!("{ROOT}/{}/{{parent}}/{}", row(parent).segment, self.segment),
        }
    }

    /// The path of an object.
    pub(super) fn href(&self, nib: &Nib, uuid: &Uuid) -> Option<String> {
        let segment = self.segment;
        match self.parent {
            None => Some(format!("{ROOT}/{segment}/{uuid}")),
            Some(kind) => {
                let parent = (self.parent_of)(nib, uuid)?;
                Some(format!("{ROOT}/{}/{parent}/{segment}/{uuid}", row(kind).segment))
            }
        }
    }

    /// Whether there is such an object.
    pub(super) fn exists(&self, nib: &Nib, under: Under, uuid: &Uuid) -> bool {
        (self.common)(nib, uuid).is_some()
            && match under {
                Under::Any => true,
                Under::Parent(parent) => (self.parent_of)(nib, uuid) == Some(parent),
            }
    }

    /// The whole object as it is sent.
    pub(super) fn render(&self, nib: &Nib, uuid: &Uuid) -> Option<Map<String, Value>> {
        let mut map = (self.fields)(nib, uuid)?;
        map.insert("uuid".into(), uuid.to_string().into());
        map.insert("type".into(), self.type_name.into());
        map.insert("_href".into(), self.href(nib, uuid)?.into());
        map.insert("_schema".into(), schema_href(self.type_name).into());
        Some(map)
    }

    /// What is computed about its objects, if anything is.
    pub(super) fn status(&self) -> Option<&View> {
        self.below.iter().find_map(|below| match below {
            Below::Status(view) => Some(view),
            Below::Attachment | Below::Statistic => None,
        })
    }
}

fn no_parent(_: &Nib, _: &Uuid) -> Option<Uuid> {
    None
}

fn walk<T>(records: &BTreeMap<Uuid, T>, after: Option<Uuid>) -> Uuids<'_> {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    Box::new(records.range((from, Bound::Unbounded)).map(|(uuid, _)| *uuid))
}

fn status_of(kind: Kind, state: &State, uuid: &Uuid) -> Option<Value> {
    let row = row(kind);
    row.status()?.render(row, state, uuid)
}

fn fields(config: &impl Serialize) -> Option<Map<String, Value>> {
    Some(json::object(config))
}

/// A port's attachment as it is sent.
pub(super) fn render_attachment(state: &State, port: &Uuid) -> Option<Value> {
    let record = state.nib.ports().get(port)?;
    let type_name = match &record.attachment {
        Attachment::None => "NoAttachment",
        Attachment::Vif { .. } => "VifAttachment",
    };
    let mut map = json::object(&record.attachment);
    map.insert("_href".into(), format!("{}/attachment", row(Kind::LogicalPort).href(&state.nib, port)?).into());
    map.insert("_schema".into(), schema_href(type_name).into());
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

/// Every kind of resource that is served.
pub(super) static KINDS: &[Row] = &[
    Row {
        kind: Kind::TransportZone,
        segment: "transport-zone",
        type_name: "TransportZoneConfig",
        parent: None,
        tagged: true,
        filters: &[],
        relations: &[],
        below: &[],
        uuids: |nib, _, after| walk(nib.zones(), after),
        common: |nib, uuid| nib.zones().get(uuid).map(|record| &record.config.common),
        parent_of: no_parent,
        fields: |nib, uuid| fields(&nib.zones().get(uuid)?.config),
        parse: |map, _| json::decode(map).map(Object::TransportZone),
        schema: named::<schema::TransportZoneConfig>,
    },
    Row {
        kind: Kind::TransportNode,
        segment: "transport-node",
        type_name: "TransportNodeConfig",
        parent: None,
        tagged: true,
        filters: &[
            field("admin_status_enabled"),
            field("integration_bridge_id"),
            field("zone_forwarding"),
            field("vtep_enabled"),
            Filter { name: "transport_zone_uuid", find: Find::Each("transport_connectors", "transport_zone_uuid") },
        ],
        relations: &[Relation {
            name: "TransportNodeStatus",
            look: |state, uuid| status_of(Kind::TransportNode, state, uuid),
        }],
        below: &[Below::Status(View {
            type_name: "TransportNodeStatus",
            look: |state, uuid| status::transport_node(state, *uuid).as_ref().map(json::object),
            schema: named::<schema::TransportNodeStatus>,
        })],
        uuids: |nib, _, after| walk(nib.nodes(), after),
        common: |nib, uuid| nib.nodes().get(uuid).map(|record| &record.config.common),
        parent_of: no_parent,
        fields: |nib, uuid| fields(&nib.nodes().get(uuid)?.config),
        parse: |map, _| json::decode(map).map(Object::TransportNode),
        schema: named::<schema::TransportNodeConfig>,
    },
    Row {
        kind: Kind::LogicalSwitch,
        segment: "lswitch",
        type_name: "LogicalSwitchConfig",
        parent: None,
        tagged: true,
        filters: &[
            field("port_isolation_enabled"),
            Filter { name: "port_isolation", find: Find::Field("port_isolation_enabled") },
            field("replication_mode"),
            Filter { name: "transport_zone_uuid", find: Find::Each("transport_zones", "zone_uuid") },
        ],
        relations: &[Relation {
            name: "LogicalSwitchStatus",
            look: |state, uuid| status_of(Kind::LogicalSwitch, state, uuid),
        }],
        below: &[Below::Status(View {
            type_name: "LogicalSwitchStatus",
            look: |state, uuid| status::logical_switch(state, *uuid).as_ref().map(json::object),
            schema: named::<schema::LogicalSwitchStatus>,
        })],
        uuids: |nib, _, after| walk(nib.switches(), after),
        common: |nib, uuid| nib.switches().get(uuid).map(|record| &record.config.common),
        parent_of: no_parent,
        fields: |nib, uuid| fields(&nib.switches().get(uuid)?.config),
        parse: |map, _| json::decode(map).map(Object::LogicalSwitch),
        schema: named::<schema::LogicalSwitchConfig>,
    },
    Row {
        kind: Kind::LogicalPort,
        segment: "lport",
        type_name: "LogicalSwitchPortConfig",
        parent: Some(Kind::LogicalSwitch),
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
        ],
        relations: &[
            Relation { name: "LogicalPortStatus", look: |state, uuid| status_of(Kind::LogicalPort, state, uuid) },
            Relation { name: "LogicalPortAttachment", look: render_attachment },
            Relation { name: "LogicalSwitchConfig", look: switch_of_port },
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
            }),
            Below::Attachment,
            Below::Statistic,
        ],
        uuids: |nib, parent, after| match parent {
            Some(switch) => Box::new(nib.ports_of_after(switch, after)),
            None => walk(nib.ports(), after),
        },
        common: |nib, uuid| nib.ports().get(uuid).map(|record| &record.config.common),
        parent_of: |nib, uuid| nib.ports().get(uuid).map(|record| record.switch),
        fields: |nib, uuid| fields(&nib.ports().get(uuid)?.config),
        parse: |map, parent| {
            let switch = parent.ok_or_else(|| ApiError::Invalid("the path must name a logical switch".into()))?;
            Ok(Object::LogicalPort { switch, config: json::decode(map)? })
        },
        schema: named::<schema::LogicalSwitchPortConfig>,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_the_table_are_unique_and_agree() {
        for (i, row) in KINDS.iter().enumerate() {
            assert!(KINDS[..i].iter().all(|other| other.path() != row.path() && other.type_name != row.type_name));
            assert_eq!((row.schema)().last().map(|(name, _)| name.as_str()), Some(row.type_name));
            if let Some(view) = row.status() {
                assert_eq!((view.schema)().last().map(|(name, _)| name.as_str()), Some(view.type_name));
            }
            let names = row.filters.iter().map(|filter| filter.name);
            let unique: std::collections::BTreeSet<_> = names.clone().collect();
            assert_eq!(unique.len(), names.count(), "{}", row.segment);
        }
    }

    #[test]
    fn filters_name_fields_that_exist() {
        for row in KINDS {
            let schema = serde_json::to_value(&(row.schema)().pop().expect("its own schema").1).expect("JSON");
            for filter in row.filters {
                if let Find::Field(name) | Find::Each(name, _) = &filter.find {
                    assert!(schema["properties"].get(name).is_some(), "{} {name}", row.segment);
                }
            }
        }
    }
}
