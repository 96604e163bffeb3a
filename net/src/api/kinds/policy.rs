//! Security profiles, ACLs and queues.

use super::*;

/// `security-profile`.
pub(super) const PROFILE: Row = Row {
    kind: Kind::SecurityProfile,
    segment: "security-profile",
    types: &["SecurityProfileConfig"],
    tagged: true,
    filters: &[],
    relations: &[],
    below: &[KEPT],
    fields: |nib, uuid| kept(nib, Kind::SecurityProfile, uuid),
    parse: |map, _| json::decode(map).map(Object::SecurityProfile),
    schema: named::<schema::SecurityProfileConfig>,
};

/// `acl`.
pub(super) const ACL: Row = Row {
    kind: Kind::Acl,
    segment: "acl",
    types: &["AclConfig"],
    tagged: true,
    filters: &[],
    relations: &[],
    below: &[KEPT],
    fields: |nib, uuid| kept(nib, Kind::Acl, uuid),
    parse: |map, _| json::decode(map).map(Object::Acl),
    schema: named::<schema::AclConfig>,
};

/// `lqueue`.
pub(super) const QUEUE: Row = Row {
    kind: Kind::LogicalQueue,
    segment: "lqueue",
    types: &["LogicalQueueConfig"],
    tagged: true,
    filters: &[field("min_bandwidth_rate"), field("max_bandwidth_rate"), field("qos_marking"), field("dscp")],
    relations: &[],
    below: &[KEPT],
    fields: |nib, uuid| kept(nib, Kind::LogicalQueue, uuid),
    parse: |map, _| json::decode(map).map(Object::LogicalQueue),
    schema: named::<schema::LogicalQueueConfig>,
};
