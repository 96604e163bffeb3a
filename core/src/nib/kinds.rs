//! What all kinds of resources have in common: a place, a parent, name and tags, a time of change.
//!
//! Start at [`Nib::uuids`] to walk over a kind, at [`Nib::object`] for one.

use super::{Attachment, Common, Kept, Kind, Nib, Object, PortNumbers};
use crate::ids::Revision;
use std::collections::BTreeMap;
use std::ops::Bound;
use uuid::Uuid;

/// What there is of an object whatever its kind.
struct Entry<'a> {
    /// When its configuration last changed.
    modified: Revision,
    /// Name and tags, if its kind has them.
    common: Option<&'a Common>,
    /// The object that it belongs to.
    parent: Option<Uuid>,
}

impl Nib {
    fn kept_of(&self, kind: Kind) -> Option<&BTreeMap<Uuid, Kept>> {
        self.kept.get(&kind)
    }

    /// A resource from which nothing follows yet, as configured.
    pub fn kept(&self, kind: Kind, uuid: Uuid) -> Option<&Object> {
        Some(&self.kept_of(kind)?.get(&uuid)?.object)
    }

    /// What there is of an object whatever its kind; nothing if there is no such object.
    fn entry(&self, kind: Kind, uuid: Uuid) -> Option<Entry<'_>> {
        match kind {
            Kind::TransportZone => {
                let record = self.zones.get(&uuid)?;
                Some(Entry { modified: record.modified, common: Some(&record.config.common), parent: None })
            }
            Kind::TransportNode => {
                let record = self.nodes.get(&uuid)?;
                Some(Entry { modified: record.modified, common: Some(&record.config.common), parent: None })
            }
            Kind::LogicalSwitch => {
                let record = self.switches.get(&uuid)?;
                Some(Entry { modified: record.modified, common: Some(&record.config.common), parent: None })
            }
            Kind::LogicalPort => {
                let record = self.ports.get(&uuid)?;
                let parent = Some(record.switch);
                Some(Entry { modified: record.modified, common: Some(&record.config.common), parent })
            }
            Kind::LogicalRouterPort => {
                let record = self.router_ports.get(&uuid)?;
                let parent = Some(record.router);
                Some(Entry { modified: record.modified, common: Some(&record.config.common), parent })
            }
            Kind::LogicalRouter
            | Kind::NatRule
            | Kind::Route
            | Kind::SecurityProfile
            | Kind::Acl
            | Kind::LogicalQueue
            | Kind::GatewayService
            | Kind::EdgeCluster
            | Kind::ServicesNode
            | Kind::ServicesNodePort => {
                let Kept { object, modified } = self.kept_of(kind)?.get(&uuid)?;
                Some(Entry { modified: *modified, common: object.common(), parent: object.parent() })
            }
        }
    }

    /// The revision at which an object's configuration last changed; nothing if there is no such object.
    pub fn modified(&self, kind: Kind, uuid: Uuid) -> Option<Revision> {
        self.entry(kind, uuid).map(|entry| entry.modified)
    }

    /// Name and tags of an object, if its kind has them.
    pub fn common(&self, kind: Kind, uuid: Uuid) -> Option<&Common> {
        self.entry(kind, uuid)?.common
    }

    /// The object that one belongs to.
    pub fn parent(&self, kind: Kind, uuid: Uuid) -> Option<Uuid> {
        self.entry(kind, uuid)?.parent
    }

    /// An object as configured.
    pub fn object(&self, kind: Kind, uuid: Uuid) -> Option<Object> {
        match kind {
            Kind::TransportZone => self.zones.get(&uuid).map(|r| Object::TransportZone(r.config.clone())),
            Kind::TransportNode => self.nodes.get(&uuid).map(|r| Object::TransportNode(r.config.clone())),
            Kind::LogicalSwitch => self.switches.get(&uuid).map(|r| Object::LogicalSwitch(r.config.clone())),
            Kind::LogicalPort => {
                self.ports.get(&uuid).map(|r| Object::LogicalPort { switch: r.switch, config: r.config.clone() })
            }
            Kind::LogicalRouterPort => {
                let record = self.router_ports.get(&uuid)?;
                Some(Object::LogicalRouterPort { router: record.router, config: record.config.clone() })
            }
            Kind::LogicalRouter
            | Kind::NatRule
            | Kind::Route
            | Kind::SecurityProfile
            | Kind::Acl
            | Kind::LogicalQueue
            | Kind::GatewayService
            | Kind::EdgeCluster
            | Kind::ServicesNode
            | Kind::ServicesNodePort => self.kept(kind, uuid).cloned(),
        }
    }

    /// The objects of a kind that come after one uuid, in the order of uuids; those of one parent, or all.
    pub fn uuids(&self, kind: Kind, parent: Option<Uuid>, after: Option<Uuid>) -> Box<dyn Iterator<Item = Uuid> + '_> {
        fn walk<T>(records: &BTreeMap<Uuid, T>, after: Option<Uuid>) -> Box<dyn Iterator<Item = Uuid> + '_> {
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            Box::new(records.range((from, Bound::Unbounded)).map(|(uuid, _)| *uuid))
        }
        match (kind, parent) {
            (Kind::LogicalPort, Some(switch)) => Box::new(self.ports_of_after(switch, after)),
            (_, Some(parent)) => Box::new(self.parts_of_after(kind, parent, after)),
            (Kind::TransportZone, None) => walk(&self.zones, after),
            (Kind::TransportNode, None) => walk(&self.nodes, after),
            (Kind::LogicalSwitch, None) => walk(&self.switches, after),
            (Kind::LogicalPort, None) => walk(&self.ports, after),
            (Kind::LogicalRouterPort, None) => walk(&self.router_ports, after),
            (
                Kind::LogicalRouter
                | Kind::NatRule
                | Kind::Route
                | Kind::SecurityProfile
                | Kind::Acl
                | Kind::LogicalQueue
                | Kind::GatewayService
                | Kind::EdgeCluster
                | Kind::ServicesNode
                | Kind::ServicesNodePort,
                None,
            ) => match self.kept_of(kind) {
                Some(kept) => walk(kept, after),
                None => Box::new(std::iter::empty()),
            },
        }
    }

    /// What of a kind belongs to a logical router or services node, after one uuid.
    fn parts_of_after(&self, kind: Kind, parent: Uuid, after: Option<Uuid>) -> impl Iterator<Item = Uuid> {
        let from = after.map_or(Bound::Included((kind, Uuid::nil())), |after| Bound::Excluded((kind, after)));
        let parts = self.index.parts_of.get(&parent);
        let range = parts.into_iter().flat_map(move |parts| parts.range((from, Bound::Included((kind, Uuid::max())))));
        range.map(|(_, uuid)| *uuid)
    }

    /// What a port is plugged into, and of which kind it is.
    pub fn attachment(&self, port: Uuid) -> Option<(Kind, &Attachment)> {
        if let Some(record) = self.ports.get(&port) {
            return Some((Kind::LogicalPort, &record.attachment));
        }
        if let Some(record) = self.router_ports.get(&port) {
            return Some((Kind::LogicalRouterPort, &record.attachment));
        }
        self.kept(Kind::ServicesNodePort, port)?;
        Some((Kind::ServicesNodePort, self.plugged.get(&port).unwrap_or(&Attachment::None)))
    }

    /// All ports of all kinds.
    pub(super) fn all_ports(&self) -> impl Iterator<Item = Uuid> {
        let of_services = self.kept_of(Kind::ServicesNodePort).into_iter().flat_map(BTreeMap::keys);
        self.ports.keys().chain(self.router_ports.keys()).chain(of_services).copied()
    }

    /// Derives again what belongs to which logical router or services node.
    pub(super) fn index_parts(&mut self) {
        for router in self.kept.get(&Kind::LogicalRouter).into_iter().flat_map(BTreeMap::keys) {
            self.index.parts_of.insert(*router, Default::default());
            self.index.portnos.insert(*router, PortNumbers::default());
        }
        for node in self.kept.get(&Kind::ServicesNode).into_iter().flat_map(BTreeMap::keys) {
            self.index.parts_of.insert(*node, Default::default());
        }
        for (uuid, port) in &self.router_ports {
            self.index.parts_of.entry(port.router).or_default().insert((Kind::LogicalRouterPort, *uuid));
            if let Some(number) = port.config.portno {
                self.index.portnos.entry(port.router).or_default().take(number, *uuid);
            }
        }
        for (kind, kept) in &self.kept {
            for (uuid, record) in kept {
                if let Some(parent) = record.object.parent() {
                    self.index.parts_of.entry(parent).or_default().insert((*kind, *uuid));
                }
            }
        }
    }
}
