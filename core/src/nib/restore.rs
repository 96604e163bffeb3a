//! A NIB that begins anew from a backup. Start at [`Nib::restored`].

use super::{Cluster, Nib};
use crate::ids::{Epoch, MemberId, Revision};

/// So many revisions may have been told to clients after the backup.
const REVISIONS: u64 = 1 << 24;
/// So many masterships may have been seen by switches after the backup.
const EPOCHS: u64 = 1 << 32;
/// So many members may have joined after the backup.
const MEMBERS: u64 = 1_000;

impl Nib {
    /// The NIB of a cluster that begins anew from a backup, and the number of its first member.
    ///
    /// Whatever happened after the backup is forgotten, but nothing that was told then is told anew: revisions, epochs and
    /// numbers of members go on far beyond those of the backup. So clients do not see time run backwards, switches take the
    /// new masters, and controllers of before are nobody's.
    #[must_use]
    pub fn restored(mut self) -> (Nib, MemberId) {
        self.revision = Revision(self.revision.0.saturating_add(REVISIONS));
        self.last_epoch = Epoch(self.last_epoch.0.saturating_add(EPOCHS));
        for node in self.nodes.values_mut() {
            self.last_epoch.0 += 1;
            (node.epoch, node.owner, node.standby) = (self.last_epoch, None, None);
        }
        let first = MemberId(self.cluster.last().0.saturating_add(MEMBERS));
        self.cluster = Cluster::beginning_after(first);
        (self, first)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ClusterCommand, Command, Object, Southbound};
    use super::*;
    use uuid::Uuid;

    #[test]
    fn what_is_restored_goes_on_beyond_what_was() {
        let mut nib = Nib::default();
        let (uuid, address, southbound) = (Uuid::from_u128(1), ([192, 0, 2, 1], 7440).into(), Southbound::default());
        let enter = |member| Command::Cluster(ClusterCommand::Enter { member, uuid, address, southbound });
        nib.apply(&enter(MemberId(1))).expect("lawful");
        let node = Object::TransportNode(serde_json::from_str("{}").expect("defaults"));
        let names = [Uuid::from_u128(70), Uuid::from_u128(71)];
        for uuid in names {
            nib.apply(&Command::Create { uuid, object: node.clone() }).expect("lawful");
        }
        let (mut restored, first) = nib.clone().restored();
        assert!(restored.revision() > nib.revision());
        let epochs = |nib: &Nib| names.map(|name| nib.nodes()[&name].epoch);
        assert!(epochs(&restored)[0] > epochs(&nib)[1] && epochs(&restored)[0] != epochs(&restored)[1]);
        assert!(restored.cluster().members().is_empty());
        restored.apply(&enter(first)).expect("it forms the cluster");
        assert!(restored.cluster().is_dismissed(MemberId(1)) && !restored.cluster().is_dismissed(first));
    }
}
