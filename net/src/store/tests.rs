//! What the store keeps, refuses and names.

use super::*;
use crate::cluster::types::{Batch, FIRST_MEMBER, Leadership, entry};
use crate::runtime::HostDisk;
use selvedge_core::ids::Revision;
use selvedge_core::nib::{Command, Common, Object, TransportZone};
use uuid::Uuid;

fn zone(n: u128) -> Command {
    let common = Common { display_name: Some(format!("zone {n}")), tags: Vec::new() };
    Command::Create { uuid: Uuid::from_u128(n), object: Object::TransportZone(TransportZone { common }) }
}

fn directory() -> (tempfile::TempDir, HostDisk) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let disk = HostDisk(dir.path().to_path_buf());
    (dir, disk)
}

fn indices(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.log_id.index).collect()
}

fn three(store: &Store) {
    let entries: Vec<Entry> = (1..=3).map(|n| entry(1, n, Batch(vec![zone(n.into())]))).collect();
    store.append(&entries).expect("durable");
}

#[test]
fn what_was_appended_is_there_after_reopening() {
    let (_dir, disk) = directory();
    let store = Store::open(&disk).expect("an empty store");
    assert_eq!(store.last().expect("read"), None);
    three(&store);
    let vote = Vote::new(3, FIRST_MEMBER);
    store.save_vote(&vote).expect("durable");
    drop(store);
    let store = Store::open(&disk).expect("the same store");
    assert_eq!(indices(&store.entries(..).expect("read")), [1, 2, 3]);
    assert_eq!(indices(&store.entries(2..).expect("read")), [2, 3]);
    assert_eq!(store.entries(3..4).expect("read"), [entry(1, 3, Batch(vec![zone(3)]))]);
    assert_eq!(store.last().expect("read"), Some(entry(1, 3, Batch::default()).log_id));
    assert_eq!(store.vote().expect("read"), Some(vote));
}

#[test]
fn entries_go_from_either_end() {
    let (_dir, disk) = directory();
    let store = Store::open(&disk).expect("an empty store");
    three(&store);
    store.truncate_after(Some(entry(1, 2, Batch::default()).log_id)).expect("durable");
    assert_eq!(indices(&store.entries(..).expect("read")), [1, 2]);
    let purged = entry(1, 2, Batch::default()).log_id;
    store.purge(purged).expect("durable");
    assert!(store.entries(..).expect("read").is_empty());
    assert_eq!(store.last().expect("read"), Some(purged));
    three(&store);
    store.truncate_after(None).expect("durable");
    assert!(store.entries(..).expect("read").is_empty());
}

/// Found by a seed: a follower's own snapshot was written after one that the leader had sent meanwhile, and the log up to
/// that was gone.
#[test]
fn an_older_snapshot_does_not_replace_a_later_one() {
    let (_dir, disk) = directory();
    let store = Store::open(&disk).expect("an empty store");
    let at = |index| {
        let last_log_id = Some(entry(1, index, Batch::default()).log_id);
        Snapshot { meta: SnapshotMeta { last_log_id, ..SnapshotMeta::default() }, nib: Nib::default() }
    };
    for (saved, kept) in [(7, 7), (5, 7), (7, 7), (9, 9)] {
        let Snapshot { meta, nib } = at(saved);
        store.save_snapshot(&meta, &nib).expect("durable");
        let found = store.snapshot().expect("read").expect("there is one");
        assert_eq!(found.meta.last_log_id, at(kept).meta.last_log_id);
    }
}

#[test]
fn a_second_opener_is_refused_in_words() {
    let (_dir, disk) = directory();
    let first = Store::open(&disk).expect("an empty store");
    let error = Store::open(&disk).expect_err("refused").to_string();
    assert!(error.contains("another controller runs on this data directory"), "{error}");
    drop(first);
}

#[test]
fn an_entry_at_the_wrong_place_is_named() {
    let (_dir, disk) = directory();
    let store = Store::open(&disk).expect("an empty store");
    let misplaced = store.write(|transaction| {
        let mut table = transaction.open_table(ENTRIES).map_err(redb)?;
        table.insert(5, encode(&entry(1, 4, Batch::default())).as_slice()).map_err(redb)?;
        Ok(())
    });
    misplaced.expect("durable");
    let error = store.entries(..).expect_err("refused").to_string();
    assert!(error.contains("log entry 5 is damaged: it says to be entry 4"), "{error}");
}

/// What the release before the cluster wrote.
fn of_the_release_before(disk: &HostDisk, snapshot: Option<&Nib>, log: &[(u64, Command)]) {
    const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
    const SNAPSHOT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("snapshot");
    let file = disk.open(FILE_NAME).expect("a file");
    let database = Database::builder().create_with_backend(Backend(file)).expect("a database");
    let transaction = database.begin_write().expect("begun");
    {
        let mut table = transaction.open_table(SNAPSHOT).expect("a table");
        snapshot.into_iter().for_each(|nib| _ = table.insert(LATEST, encode(nib).as_slice()).expect("inserted"));
        let mut table = transaction.open_table(LOG).expect("a table");
        log.iter().for_each(|(n, command)| _ = table.insert(n, encode(command).as_slice()).expect("inserted"));
    }
    transaction.commit().expect("durable");
}

#[test]
fn a_store_of_the_release_before_the_cluster_is_that_of_its_only_member() {
    let (_dir, disk) = directory();
    let mut nib = Nib::default();
    nib.apply(&zone(1)).expect("lawful");
    let snapshot = nib.clone();
    assert!(nib.apply(&zone(1)).is_err(), "it exists already");
    nib.apply(&zone(3)).expect("lawful");
    of_the_release_before(&disk, Some(&snapshot), &[(2, zone(1)), (3, zone(3))]);
    for _ in 0..2 {
        let store = Store::open(&disk).expect("upgraded");
        let found = store.snapshot().expect("read").expect("there is one");
        assert_eq!(found.nib, nib);
        let last = LogId { leader_id: Leadership::new(1), index: 3 };
        assert_eq!((found.meta.last_log_id, store.last().expect("read")), (Some(last), Some(last)));
        assert_eq!(found.meta.last_membership.voter_ids().collect::<Vec<_>>(), [FIRST_MEMBER]);
        assert_eq!(found.nib.revision(), Revision(3));
    }
}

#[test]
fn the_release_before_the_cluster_refuses_what_this_one_wrote() {
    let (_dir, disk) = directory();
    drop(Store::open(&disk).expect("an empty store"));
    let file = disk.open(FILE_NAME).expect("a file");
    let database = Database::builder().create_with_backend(Backend(file)).expect("a database");
    let transaction = database.begin_read().expect("begun");
    let table = transaction.open_table(TableDefinition::<&str, &[u8]>::new("snapshot")).expect("it read this one");
    let record = table.get(LATEST).expect("read").expect("there is one");
    // It reads up to format 1, and says so.
    assert_eq!(record.value(), [2]);
}

#[test]
fn a_gap_in_what_the_release_before_wrote_is_named() {
    let (_dir, disk) = directory();
    of_the_release_before(&disk, None, &[(1, zone(1)), (3, zone(3))]);
    let error = Store::open(&disk).expect_err("refused").to_string();
    assert!(error.contains("log record of revision 3 is damaged: it follows revision 1"), "{error}");
}

/// A flipped byte anywhere in the file: either it was of no use, or the store says so. What is read is never something else.
#[test]
fn rot_is_named_or_harmless() {
    let (dir, disk) = directory();
    let store = Store::open(&disk).expect("an empty store");
    three(&store);
    store.save_vote(&Vote::new(3, FIRST_MEMBER)).expect("durable");
    let nib = Nib::default();
    store.save_snapshot(&SnapshotMeta::default(), &nib).expect("durable");
    let look = |store: &Store| {
        let snapshot = store.snapshot()?.map(|found| (found.meta, found.nib));
        Ok::<_, StoreError>((store.entries(..)?, store.vote()?, store.last()?, snapshot))
    };
    let right = look(&store).expect("read");
    drop(store);
    let path = dir.path().join(FILE_NAME);
    let good = std::fs::read(&path).expect("the file");
    let mut refused = 0;
    // Every byte that is written to, and some of those that are not.
    let used = good.iter().enumerate().filter(|(at, byte)| **byte != 0 || at % 4_099 == 0).map(|(at, _)| at);
    for at in used.step_by(29) {
        let mut rotten = good.clone();
        rotten[at] ^= 1 << (at % 8);
        std::fs::write(&path, &rotten).expect("written");
        match Store::open(&disk).and_then(|store| look(&store)) {
            Ok(found) => assert_eq!(found, right, "byte {at}"),
            Err(error) => {
                refused += 1;
                assert!(error.to_string().starts_with(FILE_NAME), "byte {at}: {error}");
            }
        }
    }
    assert!(refused > 20, "only {refused} were noticed");
}
