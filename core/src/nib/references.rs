//! Which object refers to which: what is referred to must exist, and cannot be deleted.
//!
//! The index is the reverse of what objects say. Start at [`Nib::check_references`] and [`Nib::check_unused`].

use super::{Kind, Nib, Object, Refusal};
use uuid::Uuid;

impl Nib {
    /// Everything that an object refers to exists, or is itself.
    pub(super) fn check_references(&self, uuid: Uuid, object: &Object) -> Result<(), Refusal> {
        let own = (object.kind(), uuid);
        let lost = |to: &super::Reference| (to.kind, to.uuid) != own && self.modified(to.kind, to.uuid).is_none();
        match object.references().into_iter().find(lost) {
            Some(to) => Err(Refusal::NoSuchReference { field: to.path(), kind: to.kind, uuid: to.uuid }),
            None => Ok(()),
        }
    }

    /// Nothing refers to an object.
    pub(super) fn check_unused(&self, kind: Kind, uuid: Uuid) -> Result<(), Refusal> {
        match self.index.referrers.get(&(kind, uuid)).and_then(|referrers| referrers.first()) {
            Some((by_kind, by)) => Err(Refusal::InUse { what: format!("{kind} {uuid}"), kind: *by_kind, by: *by }),
            None => Ok(()),
        }
    }

    /// Enters what an object refers to.
    pub(super) fn refer(&mut self, by: (Kind, Uuid), to: impl IntoIterator<Item = (Kind, Uuid)>) {
        for to in to {
            if to != by {
                self.index.referrers.entry(to).or_default().insert(by);
            }
        }
    }

    /// Takes back what an object refers to.
    pub(super) fn unrefer(&mut self, by: (Kind, Uuid), to: impl IntoIterator<Item = (Kind, Uuid)>) {
        for to in to {
            if let Some(referrers) = self.index.referrers.get_mut(&to) {
                referrers.remove(&by);
                if referrers.is_empty() {
                    self.index.referrers.remove(&to);
                }
            }
        }
    }

    /// What an object refers to, its attachment aside.
    pub(super) fn references_of(&self, kind: Kind, uuid: Uuid) -> Vec<(Kind, Uuid)> {
        self.object(kind, uuid).map(|object| targets(&object)).unwrap_or_default()
    }

    /// Derives again who refers to what.
    pub(super) fn index_references(&mut self) {
        let nodes = self.nodes.keys().map(|uuid| (Kind::TransportNode, *uuid));
        let switches = self.switches.keys().map(|uuid| (Kind::LogicalSwitch, *uuid));
        let ports = self.ports.keys().map(|uuid| (Kind::LogicalPort, *uuid));
        let kept = self.kept.iter().flat_map(|(kind, kept)| kept.keys().map(|uuid| (*kind, *uuid)));
        let all: Vec<(Kind, Uuid)> = nodes.chain(switches).chain(ports).chain(kept).collect();
        for (kind, uuid) in all {
            let references = self.references_of(kind, uuid);
            self.refer((kind, uuid), references);
        }
        let ports: Vec<Uuid> = self.all_ports().collect();
        for port in ports {
            self.index_attachment(port);
        }
    }
}

/// What an object refers to.
pub(super) fn targets(object: &Object) -> Vec<(Kind, Uuid)> {
    object.references().into_iter().map(|to| (to.kind, to.uuid)).collect()
}
