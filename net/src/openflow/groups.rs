//! Group mods, and groups as a switch reports them.
//!
//! Only groups of type *all* are modelled, with buckets that have no weight and watch nothing; others are foreign.
//! Buckets are inserted at the end: in such a group their order means nothing.
//! Sections 7.3.4.3 and 7.3.5.11. Start at [`GroupMod`] and [`DumpedGroup`].

use super::actions::{put_actions, read_actions};
use super::error::Fault;
use super::wire::{Put, Reader};
use selvedge_core::flow::{BucketId, Buckets, GroupId};

/// Changes groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupMod {
    /// Add a group that is not there yet.
    Add {
        /// Which group.
        group: GroupId,
        /// Its buckets.
        buckets: Buckets,
    },
    /// Give a group other buckets, whatever type it had.
    Modify {
        /// Which group.
        group: GroupId,
        /// Its buckets from now on.
        buckets: Buckets,
    },
    /// Give a group these buckets, whether it is there or not. An extension of Open vSwitch (`OFPGC_ADD_OR_MOD`).
    Put {
        /// Which group.
        group: GroupId,
        /// Its buckets from now on.
        buckets: Buckets,
    },
    /// Delete a group, and the flows that use it. None if it is not there.
    Delete(GroupId),
    /// Delete all groups.
    DeleteAll,
    /// Add buckets that are not there yet.
    InsertBuckets {
        /// To which group.
        group: GroupId,
        /// More buckets.
        buckets: Buckets,
    },
    /// Take one bucket away.
    RemoveBucket {
        /// From which group.
        group: GroupId,
        /// Which bucket.
        bucket: BucketId,
    },
}

/// A group as a switch reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpedGroup {
    /// What identifies it.
    pub id: GroupId,
    /// Its buckets.
    pub buckets: DumpedBuckets,
}

/// The buckets of a group on a switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DumpedBuckets {
    /// Only things that are modelled.
    Known(Buckets),
    /// Something else.
    Foreign {
        /// What about it is not modelled.
        why: Fault,
        /// The whole description as it came.
        entry: Box<[u8]>,
    },
}

const ADD: u16 = 0;
const MODIFY: u16 = 1;
/// `OFPGC_ADD_OR_MOD`.
const PUT: u16 = 0x8000;
const DELETE: u16 = 2;
const INSERT_BUCKET: u16 = 3;
const REMOVE_BUCKET: u16 = 5;
/// `OFPG_ALL`.
pub(super) const ALL_GROUPS: u32 = 0xffff_fffc;
/// `OFPG_BUCKET_MAX`.
const BUCKET_MAX: u32 = 0xffff_ff00;
/// `OFPG_BUCKET_LAST`.
const LAST_BUCKET: u32 = 0xffff_fffe;
/// `OFPG_BUCKET_ALL`; also where none is meant.
const ALL_BUCKETS: u32 = 0xffff_ffff;

fn put_group_mod(out: &mut Vec<u8>, command: u16, group: u32, bucket: u32, buckets: Option<&Buckets>) {
    out.put_u16(command);
    out.put_u16(0);
    out.put_u32(group);
    let length_at = out.len();
    out.put_u32(0);
    out.put_u32(bucket);
    let start = out.len();
    buckets.into_iter().for_each(|buckets| put_buckets(out, buckets));
    out.patch_length(length_at, start);
}

fn put_buckets(out: &mut Vec<u8>, buckets: &Buckets) {
    for (id, actions) in buckets {
        let start = out.len();
        out.put_u32(0);
        out.put_u32(id.0);
        put_actions(out, actions);
        out.patch_length(start, start);
        out.patch_length(start + 2, start + 8);
    }
}

fn read_bucket_id(number: u32) -> Result<BucketId, Fault> {
    if number > BUCKET_MAX {
        return Err(Fault::NotModelled { what: "special bucket", value: number.into() });
    }
    Ok(BucketId(number))
}

fn read_buckets(mut from: Reader) -> Result<Buckets, Fault> {
    let mut buckets = Buckets::new();
    while !from.is_empty() {
        const WHAT: &str = "bucket";
        let length = usize::from({ from }.u16()?);
        let mut bucket = from.part(WHAT, length)?;
        bucket.skip(2)?;
        let actions_length = usize::from(bucket.u16()?);
        let id = read_bucket_id(bucket.u32()?)?;
        let actions = read_actions(bucket.part("actions of a bucket", actions_length)?)?;
        if !bucket.is_empty() {
            return Err(Fault::NotModelled { what: "bucket property", value: bucket.u16()?.into() });
        }
        if buckets.insert(id, actions).is_some() {
            return Err(Fault::Twice { what: "bucket", value: id.0.into() });
        }
    }
    Ok(buckets)
}

/// Reads the buckets of a group whose type and properties must be modelled.
fn read_group(kind: u8, buckets: Reader, mut properties: Reader) -> Result<Buckets, Fault> {
    if kind != 0 {
        return Err(Fault::NotModelled { what: "group type", value: kind.into() });
    }
    if !properties.is_empty() {
        return Err(Fault::NotModelled { what: "group property", value: properties.u16()?.into() });
    }
    read_buckets(buckets)
}

impl GroupMod {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            GroupMod::Add { group, buckets } => put_group_mod(out, ADD, group.0, ALL_BUCKETS, Some(buckets)),
            GroupMod::Modify { group, buckets } => put_group_mod(out, MODIFY, group.0, ALL_BUCKETS, Some(buckets)),
            GroupMod::Put { group, buckets } => put_group_mod(out, PUT, group.0, ALL_BUCKETS, Some(buckets)),
            GroupMod::Delete(group) => put_group_mod(out, DELETE, group.0, ALL_BUCKETS, None),
            GroupMod::DeleteAll => put_group_mod(out, DELETE, ALL_GROUPS, ALL_BUCKETS, None),
            GroupMod::InsertBuckets { group, buckets } => {
                put_group_mod(out, INSERT_BUCKET, group.0, LAST_BUCKET, Some(buckets));
            }
            GroupMod::RemoveBucket { group, bucket } => put_group_mod(out, REMOVE_BUCKET, group.0, bucket.0, None),
        }
    }

    pub(super) fn read(mut from: Reader) -> Result<GroupMod, Fault> {
        let (command, kind) = (from.u16()?, from.u8()?);
        from.skip(1)?;
        let group = GroupId(from.u32()?);
        let buckets_length = usize::from(from.u16()?);
        from.skip(2)?;
        let bucket = from.u32()?;
        let buckets = from.part("buckets", buckets_length)?;
        match command {
            ADD => Ok(GroupMod::Add { group, buckets: read_group(kind, buckets, from)? }),
            MODIFY => Ok(GroupMod::Modify { group, buckets: read_group(kind, buckets, from)? }),
            PUT => Ok(GroupMod::Put { group, buckets: read_group(kind, buckets, from)? }),
            DELETE if group.0 == ALL_GROUPS => Ok(GroupMod::DeleteAll),
            DELETE => Ok(GroupMod::Delete(group)),
            INSERT_BUCKET if bucket != LAST_BUCKET => {
                Err(Fault::NotModelled { what: "insertion at bucket", value: bucket.into() })
            }
            INSERT_BUCKET => Ok(GroupMod::InsertBuckets { group, buckets: read_group(kind, buckets, from)? }),
            REMOVE_BUCKET => Ok(GroupMod::RemoveBucket { group, bucket: read_bucket_id(bucket)? }),
            other => Err(Fault::Value { what: "group mod command", value: other.into() }),
        }
    }
}

impl DumpedGroup {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match &self.buckets {
            DumpedBuckets::Foreign { entry, .. } => out.put(entry),
            DumpedBuckets::Known(buckets) => {
                let start = out.len();
                out.put_u32(0);
                out.put_u32(self.id.0);
                out.zeros(8);
                put_buckets(out, buckets);
                out.patch_length(start, start);
                out.patch_length(start + 8, start + 16);
            }
        }
    }

    pub(super) fn read(list: &mut Reader) -> Result<DumpedGroup, Fault> {
        let length = usize::from({ *list }.u16()?);
        let mut from = list.part("group description", length)?;
        let entry = from.rest();
        from.skip(2)?;
        let kind = from.u8()?;
        from.skip(1)?;
        let id = GroupId(from.u32()?);
        let buckets_length = usize::from(from.u16()?);
        from.skip(6)?;
        let buckets = match read_group(kind, from.part("buckets", buckets_length)?, from) {
            Ok(buckets) => DumpedBuckets::Known(buckets),
            Err(why) => DumpedBuckets::Foreign { why, entry: entry.into() },
        };
        Ok(DumpedGroup { id, buckets })
    }
}
