//! Which resources changed at the last revisions, for those who follow changes. Start at [`Journal`].

use selvedge_core::ids::Revision;
use selvedge_core::nib::{Change, Kind, Nib};
use std::collections::VecDeque;
use uuid::Uuid;

/// Most changes remembered.
const CHANGES_MAX: usize = 65_536;

/// One resource changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// When.
    pub revision: Revision,
    /// Its kind.
    pub kind: Kind,
    /// Which.
    pub uuid: Uuid,
    /// It is gone.
    pub is_deleted: bool,
}

/// The latest changes of resources, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Journal {
    /// Everything after this revision is here.
    begins: Revision,
    changes: VecDeque<Changed>,
}

impl Journal {
    /// Nothing happened since a revision.
    pub(super) fn beginning(now: Revision) -> Journal {
        Journal { begins: now, changes: VecDeque::new() }
    }

    /// Enters what a command changed.
    pub(super) fn enter(&mut self, nib: &Nib, changes: &[Change]) {
        let revision = nib.revision();
        for (kind, uuid) in changes.iter().filter_map(|change| change.resource()) {
            let is_deleted = nib.modified(kind, uuid).is_none();
            self.changes.push_back(Changed { revision, kind, uuid, is_deleted });
        }
        // A revision is forgotten whole: none may look complete that is not.
        while self.changes.len() > CHANGES_MAX {
            let Some(oldest) = self.changes.front().map(|changed| changed.revision) else { return };
            while self.changes.front().is_some_and(|changed| changed.revision == oldest) {
                self.changes.pop_front();
            }
            self.begins = oldest;
        }
    }

    /// What changed after a revision, oldest first; nothing if that is not known any more.
    pub fn since(&self, revision: Revision) -> Option<impl Iterator<Item = &Changed>> {
        let from = self.changes.partition_point(|changed| changed.revision <= revision);
        (revision >= self.begins).then(|| self.changes.range(from..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_core::nib::{Command, LogicalSwitch, Object};

    #[test]
    fn a_revision_is_told_whole_or_not_at_all() {
        let mut nib = Nib::default();
        let mut journal = Journal::beginning(nib.revision());
        let mut apply = |journal: &mut Journal, command: Command| {
            let changes = nib.apply(&command).expect("lawful");
            journal.enter(&nib, &changes);
        };
        let switch = Uuid::from_u128(1);
        let object = Object::LogicalSwitch(LogicalSwitch::default());
        apply(&mut journal, Command::Create { uuid: switch, object });
        let ports = CHANGES_MAX as u128;
        for n in 2..ports + 2 {
            let config = serde_json::from_str("{}").expect("defaults");
            apply(
                &mut journal,
                Command::Create { uuid: Uuid::from_u128(n), object: Object::LogicalPort { switch, config } },
            );
        }
        assert!(journal.since(Revision(0)).is_none(), "the first is forgotten");
        assert_eq!(journal.since(Revision(1)).map(Iterator::count), Some(CHANGES_MAX));
        apply(&mut journal, Command::Delete { kind: Kind::LogicalSwitch, uuid: switch });
        let last = Revision(ports as u64 + 2);
        assert!(journal.since(Revision(last.0 - 1)).is_none(), "the last is more than is remembered");
        assert_eq!(journal.since(last).map(Iterator::count), Some(0));
    }
}
