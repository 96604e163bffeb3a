//! Groups: their buckets, which of them are alive, and what was counted.

use super::super::model::{Bucket, Group, GroupType, port};
use super::super::packet::{Key, ethertype, protocol};
use crate::switch::model::Field;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How many groups may be watched by way of one (Open vSwitch's `MAX_LIVENESS_RECURSION` for those in a row).
const WATCHED_MAX: usize = 128;

/// No group is watched.
const NO_GROUP: u32 = 0xffff_ffff;

/// A group in the bridge.
#[derive(Clone, Debug)]
pub struct GroupEntry {
    /// Its type and buckets.
    pub group: Arc<Group>,
    /// Packets that were sent to it.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The same for each bucket, in order.
    pub buckets: Vec<(u64, u64)>,
    /// When it came to be.
    pub created: Duration,
}

/// All groups of a bridge.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    groups: BTreeMap<u32, GroupEntry>,
}

impl Groups {
    /// Puts a group there; what it replaces comes back, and how long it has been there stays.
    pub fn set(&mut self, now: Duration, id: u32, group: Group) -> Option<GroupEntry> {
        let created = self.groups.get(&id).map_or(now, |old| old.created);
        let buckets = vec![(0, 0); group.buckets.len()];
        self.groups.insert(id, GroupEntry { group: Arc::new(group), packets: 0, bytes: 0, buckets, created })
    }

    /// Takes a group away.
    pub fn remove(&mut self, id: u32) -> Option<GroupEntry> {
        self.groups.remove(&id)
    }

    /// A group.
    pub fn get(&self, id: u32) -> Option<&GroupEntry> {
        self.groups.get(&id)
    }

    /// All groups by their number.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &GroupEntry)> {
        self.groups.iter().map(|(id, entry)| (*id, entry))
    }

    /// Which buckets of a group a packet goes to, by their place. Counts it.
    pub fn choose(&mut self, id: u32, key: &Key, bytes: usize, is_port_live: impl Fn(u32) -> bool) -> Vec<usize> {
        let Some(group) = self.groups.get(&id).map(|entry| entry.group.clone()) else { return Vec::new() };
        let mut known = BTreeMap::from([(id, false)]);
        let mut is_live = |bucket: &Bucket| self.is_live(&group, bucket, &mut known, &is_port_live);
        let chosen: Vec<usize> = match group.kind {
            GroupType::All | GroupType::Indirect => (0..group.buckets.len()).collect(),
            GroupType::FastFailover => group.buckets.iter().position(&mut is_live).into_iter().collect(),
            GroupType::Select => select(&group.buckets, key, is_live).into_iter().collect(),
        };
        if let Some(entry) = self.groups.get_mut(&id).filter(|_| !chosen.is_empty()) {
            entry.packets += 1;
            entry.bytes += bytes as u64;
            for index in &chosen {
                let (packets, total) = &mut entry.buckets[*index];
                *packets += 1;
                *total += bytes as u64;
            }
        }
        chosen
    }

    /// Whether a bucket can be used. `known` has what was found out about groups; one that is being looked at counts as
    /// dead, so that groups that watch one another in a circle are.
    fn is_live(
        &self,
        group: &Group,
        bucket: &Bucket,
        known: &mut BTreeMap<u32, bool>,
        is_port_live: &impl Fn(u32) -> bool,
    ) -> bool {
        if group.kind == GroupType::Select && bucket.weight == 0 {
            return false;
        }
        let watches_nothing = bucket.watch_port == port::ANY && bucket.watch_group == NO_GROUP;
        watches_nothing
            || (bucket.watch_port != port::ANY && is_port_live(bucket.watch_port))
            || self.is_group_live(bucket.watch_group, known, is_port_live)
    }

    fn is_group_live(&self, id: u32, known: &mut BTreeMap<u32, bool>, is_port_live: &impl Fn(u32) -> bool) -> bool {
        if let Some(is_live) = known.get(&id) {
            return *is_live;
        }
        let Some(group) = self.groups.get(&id).map(|entry| entry.group.clone()) else { return false };
        if known.len() >= WATCHED_MAX {
            return false;
        }
        known.insert(id, false);
        let is_live = group.buckets.iter().any(|bucket| self.is_live(&group, bucket, known, is_port_live));
        known.insert(id, is_live);
        is_live
    }
}

/// The live bucket with the highest score: a hash of the flow and the bucket's number, times its weight.
fn select(buckets: &[Bucket], key: &Key, mut is_live: impl FnMut(&Bucket) -> bool) -> Option<usize> {
    let hash = symmetric_hash(key);
    let score = |bucket: &Bucket| (mix(hash ^ u64::from(bucket.id)) & 0xffff) * u64::from(bucket.weight);
    let live = buckets.iter().enumerate().filter(|(_, bucket)| is_live(bucket));
    live.max_by_key(|(_, bucket)| score(bucket)).map(|(index, _)| index)
}

/// The same for both directions of a connection. UDP ports do not count, as in Open vSwitch.
fn symmetric_hash(key: &Key) -> u64 {
    let both = |a, b| key.get(a) ^ key.get(b);
    let has_ports = key.is_ip() && matches!(key.protocol(), protocol::TCP | protocol::SCTP);
    let parts = [
        both(Field::EthSrc, Field::EthDst),
        key.get(Field::VlanVid) & 0xfff,
        u128::from(key.ethertype()),
        if key.ethertype() == ethertype::IPV4 { both(Field::Ipv4Src, Field::Ipv4Dst) } else { 0 },
        both(Field::Ipv6Src, Field::Ipv6Dst),
        if key.is_ip() { u128::from(key.protocol()) } else { 0 },
        if has_ports { both(Field::TcpSrc, Field::TcpDst) } else { 0 },
    ];
    parts.iter().fold(0, |hash, part| mix(hash ^ (*part as u64) ^ ((*part >> 64) as u64).rotate_left(17)))
}

/// Spreads bits (the finaliser of MurmurHash3).
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let value = (value ^ (value >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    value ^ (value >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(id: u32, weight: u16, watch_port: u32) -> Bucket {
        Bucket { id, weight, watch_port, watch_group: NO_GROUP, actions: Vec::new() }
    }

    fn chosen(kind: GroupType, buckets: Vec<Bucket>, key: &Key) -> Vec<usize> {
        let mut groups = Groups::default();
        groups.set(Duration::ZERO, 1, Group { kind, buckets });
        groups.choose(1, key, 10, |port| port == 1)
    }

    #[test]
    fn kinds() {
        let buckets = vec![bucket(1, 1, 2), bucket(2, 1, 1), bucket(3, 1, port::ANY)];
        let key = Key::default();
        assert_eq!(chosen(GroupType::All, buckets.clone(), &key), [0, 1, 2]);
        assert_eq!(chosen(GroupType::FastFailover, buckets, &key), [1]);
    }

    #[test]
    fn selection_follows_weights_and_is_symmetric() {
        let buckets = vec![bucket(1, 300, port::ANY), bucket(2, 100, port::ANY), bucket(3, 0, port::ANY)];
        let mut counts = [0; 3];
        for source in 0..4000u32 {
            let mut key = Key::default();
            key.set(Field::EthType, 0x800);
            key.set(Field::Ipv4Src, source.into());
            let there = chosen(GroupType::Select, buckets.clone(), &key);
            key.set(Field::Ipv4Src, 0);
            key.set(Field::Ipv4Dst, source.into());
            assert_eq!(there, chosen(GroupType::Select, buckets.clone(), &key));
            counts[there[0]] += 1;
        }
        // The highest of two scores, one up to three times as high, is the smaller's with probability 1/6.
        assert!(counts[0] > 3200 && counts[1] > 550 && counts[2] == 0, "{counts:?}");
    }

    #[test]
    fn groups_watch_groups_but_not_for_ever() {
        let mut groups = Groups::default();
        let watching = |group| Bucket { watch_group: group, ..bucket(1, 1, port::ANY) };
        groups.set(Duration::ZERO, 1, Group { kind: GroupType::FastFailover, buckets: vec![watching(2)] });
        groups.set(Duration::ZERO, 2, Group { kind: GroupType::All, buckets: vec![bucket(1, 1, 1)] });
        assert_eq!(groups.choose(1, &Key::default(), 1, |port| port == 1), [0]);
        assert!(groups.choose(1, &Key::default(), 1, |_| false).is_empty());
        groups.set(Duration::ZERO, 2, Group { kind: GroupType::All, buckets: vec![watching(1)] });
        assert!(groups.choose(1, &Key::default(), 1, |_| true).is_empty());
    }
}
