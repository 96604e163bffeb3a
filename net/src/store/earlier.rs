//! Reads what a release wrote that had no cluster: a log of commands, by revision, and a snapshot of the NIB.
//!
//! Such a store becomes that of the only member, with all of it in a snapshot. Start at [`upgrade`].

use super::record::{decode, encode};
use super::{PURGED, Record, StoreError, redb, remember, save_snapshot};
use crate::cluster::types::{FIRST_MEMBER, Leadership, LogId, SnapshotMeta, StoredMembership};
use ::redb::{ReadableTable, ReadableTableMetadata, TableDefinition, TableError, WriteTransaction};
use openraft::Membership;
use selvedge_core::nib::{Command, Nib};
use std::collections::BTreeSet;

const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const SNAPSHOT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("snapshot");
const LATEST: &str = "latest";
/// What the release that wrote these tables refuses: it must not take a store for empty that is not.
const CLOSED: &[u8] = &[2];

/// Turns the records of an earlier release into ours, if there are any.
pub(super) fn upgrade(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let nib = {
        let mut snapshots = transaction.open_table(SNAPSHOT).map_err(redb)?;
        let mut nib = None;
        if let Some(record) = snapshots.get(LATEST).map_err(redb)? {
            if record.value() == CLOSED {
                return Ok(());
            }
            nib = Some(decode::<Nib>("snapshot", record.value())?.reindexed());
        }
        snapshots.insert(LATEST, CLOSED).map_err(redb)?;
        match transaction.open_table(LOG) {
            Ok(log) if log.is_empty().map_err(redb)? => nib,
            Ok(log) => Some(replay(&log, nib.unwrap_or_default())?),
            Err(TableError::TableDoesNotExist(_)) => nib,
            Err(error) => return Err(redb(error)),
        }
    };
    let Some(nib) = nib else { return Ok(()) };
    transaction.delete_table(LOG).map_err(redb)?;
    let log_id = LogId { leader_id: Leadership::new(1), index: nib.revision().0 };
    let alone = Membership::new_with_defaults(vec![BTreeSet::from([FIRST_MEMBER])], []);
    let last_membership = StoredMembership::new(Some(log_id), alone);
    let meta = SnapshotMeta { last_log_id: Some(log_id), last_membership };
    remember(transaction, PURGED, &log_id)?;
    save_snapshot(transaction, meta.last_log_id, &encode(&Record { meta: &meta, nib: &nib }))
}

fn replay(log: &impl ReadableTable<u64, &'static [u8]>, mut nib: Nib) -> Result<Nib, StoreError> {
    for entry in log.iter().map_err(redb)? {
        let (revision, record) = entry.map_err(redb)?;
        let what = format!("log record of revision {}", revision.value());
        if revision.value() != nib.revision().0 + 1 {
            let why = format!("it follows revision {}", nib.revision());
            return Err(StoreError::Damaged { what, why });
        }
        let command: Command = decode(&what, record.value())?;
        // A refusal was a refusal then, too: it changed nothing but the revision.
        let _refused_again = nib.apply(&command);
    }
    Ok(nib)
}
