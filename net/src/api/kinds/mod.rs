//! The table of resource kinds: one row gives everything the API does with a kind.
//!
//! Routes, lists, filters, tag queries, relations, `_href`, `_schema` and the OpenAPI document come from it. A new
//! kind is a row in one of the files here, a schema in [`super::schema`], and whatever it has below its objects that no
//! other kind has.
//!
//! Start at [`KINDS`] and [`Row`].

mod gateway;
mod policy;
mod router;
mod services;
mod switch;
mod transport;

pub(super) use switch::render_attachment;

use super::Authenticated;
use super::ROOT;
use super::error::ApiError;
use super::json;
use super::openapi::{NamedSchema, named};
use super::{schema, status};
use selvedge_core::nib::{Kind, Nib, Object};
use serde::Serialize;
use serde_json::{Map, Value};
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
    /// The `type` that its objects have, and the name of their schema. If there are several, requests must say which.
    pub types: &'static [&'static str],
    /// Whether objects carry tags; if not, tag queries are ignored.
    pub tagged: bool,
    /// What lists can be filtered by, beyond `uuid`, `display_name` and tags.
    pub filters: &'static [Filter],
    /// What `relations=` can ask for.
    pub relations: &'static [Relation],
    /// What lives below an object.
    pub below: &'static [Below],
    /// The object's fields as JSON.
    pub fields: fn(&Nib, &Uuid) -> Option<Map<String, Value>>,
    /// An object of a parent, read from JSON.
    pub parse: Parse,
    /// The schema of its fields; all of its types have the same.
    pub schema: fn() -> Vec<NamedSchema>,
}

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
    /// Several things that are no fields.
    All(fn(&State, &Uuid) -> Vec<String>),
}

const fn field(name: &'static str) -> Filter {
    Filter { name, find: Find::Field(name) }
}

/// Something that is shown with an object when asked for.
pub(super) struct Relation {
    /// Its name in queries and in the answer.
    pub name: &'static str,
    /// What it is.
    pub look: Look,
}

/// What a relation shows.
pub(super) enum Look {
    /// The object's own status.
    Status,
    /// Another object, whole, for those who may see it.
    Object(Kind, Leads),
    /// Something else.
    At(fn(&State, &Uuid) -> Option<Value>),
    /// Something that tenants are not told.
    Staff(fn(&State, &Uuid) -> Option<Value>),
}

/// How an object leads to another.
type Leads = fn(&State, &Uuid) -> Option<Uuid>;

/// Another object as it is sent, if who asks may see it.
fn other(kind: Kind, leads: Leads, state: &State, uuid: &Uuid, sender: &Authenticated) -> Option<Value> {
    let other = leads(state, uuid).filter(|other| sender.sees(&state.nib, kind, *other))?;
    row(kind).render(&state.nib, &other).map(Value::Object)
}

impl Look {
    /// What there is to see for who asks.
    pub(super) fn at(&self, row: &Row, state: &State, uuid: &Uuid, sender: &Authenticated) -> Option<Value> {
        match self {
            Look::Status => row.status()?.render(row, state, uuid, sender),
            Look::Object(kind, leads) => other(*kind, *leads, state, uuid, sender),
            Look::At(look) => look(state, uuid),
            Look::Staff(look) => sender.is_staff().then(|| look(state, uuid)).flatten(),
        }
    }
}

/// Something that lives below an object.
pub(super) enum Below {
    /// `/status`.
    Status(View),
    /// `/attachment`, of one of these types.
    Attachment(&'static [&'static str]),
    /// `/statistic`.
    Statistic,
    /// `/lqueue`: the queues that its ports use.
    Queues,
    /// A field that has a place of its own.
    Part(Part),
}

impl Below {
    /// Its word in paths.
    pub(super) fn segment(&self) -> &'static str {
        match self {
            Below::Status(_) => "status",
            Below::Attachment(_) => "attachment",
            Below::Statistic => "statistic",
            Below::Queues => "lqueue",
            Below::Part(part) => part.segment,
        }
    }
}

/// A field of an object that has a place of its own.
pub(super) struct Part {
    /// Its word in paths.
    pub segment: &'static str,
    /// The field.
    pub field: &'static str,
    /// The name of its schema, and its `type`.
    pub type_name: &'static str,
    /// Its schema.
    pub schema: fn() -> Vec<NamedSchema>,
    /// What is in its list `hosts`, if it has one.
    pub host: Option<Host>,
}

/// What is in a list of hosts.
pub(super) struct Host {
    /// The field by which a host is known.
    pub key: &'static str,
    /// The name of its schema.
    pub type_name: &'static str,
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
    /// Fields that tell where guests are, and how hypervisors do: tenants are not told.
    pub hidden: &'static [&'static str],
    /// The object that it belongs to, whole, under that name.
    pub parent: Option<(&'static str, Kind)>,
}

impl View {
    /// The view as it is sent.
    pub(super) fn render(&self, row: &Row, state: &State, uuid: &Uuid, sender: &Authenticated) -> Option<Value> {
        let mut map = (self.look)(state, uuid)?;
        if !sender.is_staff() {
            map.retain(|name, _| !self.hidden.contains(&name.as_str()));
        }
        if let Some((name, kind)) = self.parent {
            let parent = other(kind, |state, uuid| parent_of_port(&state.nib, uuid), state, uuid, sender);
            map.extend(parent.map(|parent| (name.to_string(), parent)));
        }
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
    /// What the kind is called: its path without the parent's name.
    pub(super) fn word(&self) -> String {
        match self.kind.parent() {
            Some(parent) => format!("{}/{}", row(parent).segment, self.segment),
            None => self.segment.to_string(),
        }
    }

    /// The path of a list, with a placeholder where the kind has a parent.
    pub(super) fn path(&self) -> String {
        match self.kind.parent() {
            None => format!("{ROOT}/{}", self.segment),
            Some(parent) => format!("{ROOT}/{}/{{parent}}/{}", row(parent).segment, self.segment),
        }
    }

    /// The path of an object.
    pub(super) fn href(&self, nib: &Nib, uuid: &Uuid) -> Option<String> {
        let segment = self.segment;
        match self.kind.parent() {
            None => Some(format!("{ROOT}/{segment}/{uuid}")),
            Some(kind) => {
                let parent = nib.parent(self.kind, *uuid)?;
                Some(format!("{ROOT}/{}/{parent}/{segment}/{uuid}", row(kind).segment))
            }
        }
    }

    /// Whether there is such an object.
    pub(super) fn exists(&self, nib: &Nib, under: Under, uuid: &Uuid) -> bool {
        nib.modified(self.kind, *uuid).is_some()
            && match under {
                Under::Any => true,
                Under::Parent(parent) => nib.parent(self.kind, *uuid) == Some(parent),
            }
    }

    /// The only type that its objects have, if they have one.
    pub(super) fn only_type(&self) -> Option<&'static str> {
        match self.types {
            [only] => Some(only),
            _ => None,
        }
    }

    /// The whole object as it is sent.
    pub(super) fn render(&self, nib: &Nib, uuid: &Uuid) -> Option<Map<String, Value>> {
        let mut map = (self.fields)(nib, uuid)?;
        map.insert("uuid".into(), uuid.to_string().into());
        if let Some(only) = self.only_type() {
            map.insert("type".into(), only.into());
        }
        let schema = schema_href(map["type"].as_str().expect("objects have a type"));
        map.insert("_href".into(), self.href(nib, uuid)?.into());
        map.insert("_schema".into(), schema.into());
        Some(map)
    }

    /// What is computed about its objects, if anything is.
    pub(super) fn status(&self) -> Option<&View> {
        self.below.iter().find_map(|below| match below {
            Below::Status(view) => Some(view),
            Below::Attachment(_) | Below::Statistic | Below::Queues | Below::Part(_) => None,
        })
    }

    /// Those of its fields that have places of their own.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Part> {
        self.below.iter().filter_map(|below| match below {
            Below::Part(part) => Some(part),
            Below::Status(_) | Below::Attachment(_) | Below::Statistic | Below::Queues => None,
        })
    }
}

/// The switch, router or services node that a port belongs to.
fn parent_of_port(nib: &Nib, port: &Uuid) -> Option<Uuid> {
    let (kind, _) = nib.attachment(*port)?;
    nib.parent(kind, *port)
}

fn fields(config: &impl Serialize) -> Option<Map<String, Value>> {
    Some(json::object(config))
}

/// The fields of an object from which nothing follows yet.
fn kept(nib: &Nib, kind: Kind, uuid: &Uuid) -> Option<Map<String, Value>> {
    match nib.kept(kind, *uuid)? {
        Object::TransportZone(config) => fields(config),
        Object::TransportNode(config) => fields(config),
        Object::LogicalSwitch(config) => fields(config),
        Object::LogicalPort { config, .. } => fields(config),
        Object::LogicalRouter(config) => fields(config),
        Object::LogicalRouterPort { config, .. } => fields(config),
        Object::NatRule { config, .. } => fields(config),
        Object::Route { config, .. } => fields(config),
        Object::SecurityProfile(config) => fields(config),
        Object::Acl(config) => fields(config),
        Object::LogicalQueue(config) => fields(config),
        Object::GatewayService(config) => fields(config),
        Object::EdgeCluster(config) => fields(config),
        Object::ServicesNode(config) => fields(config),
        Object::ServicesNodePort { config, .. } => fields(config),
    }
}

/// The parent that the path of an object must name.
fn owner(kind: Kind, parent: Option<Uuid>) -> Result<Uuid, ApiError> {
    parent.ok_or_else(|| ApiError::Invalid(format!("the path must name a {kind}")))
}

/// `/status` of what nothing follows from yet.
const KEPT: Below = Below::Status(View {
    type_name: "ResourceStatus",
    look: |_, _| Some(json::object(&status::kept())),
    schema: named::<schema::ResourceStatus>,
    hidden: &[],
    parent: None,
});

/// Every kind of resource that is served.
pub(super) static KINDS: &[Row] = &[
    transport::ZONE,
    transport::NODE,
    switch::SWITCH,
    switch::PORT,
    router::ROUTER,
    router::PORT,
    router::NAT,
    router::RIB,
    policy::PROFILE,
    policy::ACL,
    policy::QUEUE,
    gateway::SERVICE,
    services::CLUSTER,
    services::NODE,
    services::PORT,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_the_table_are_unique_and_agree() {
        for (i, row) in KINDS.iter().enumerate() {
            let is_other = |other: &Row| other.types.iter().all(|name| !row.types.contains(name));
            assert!(KINDS[..i].iter().all(|other| other.path() != row.path() && is_other(other)));
            if let Some(only) = row.only_type() {
                assert_eq!((row.schema)().last().map(|(name, _)| name.as_str()), Some(only));
            }
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
                    let is_type = *name == "type" && row.only_type().is_none();
                    assert!(is_type || schema["properties"].get(name).is_some(), "{} {name}", row.segment);
                }
            }
        }
    }
}
