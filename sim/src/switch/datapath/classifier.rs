//! Finds the flow with the highest priority that matches a key: one hash table for each mask (tuple space search).
//!
//! A table of flows has few different masks, so a lookup costs as many probes as there are masks whose flows could
//! still win. The hash is fixed and the maps are never walked, so nothing depends on their order.

#![allow(
    clippy::disallowed_types,
    reason = "with this hasher the order is the same in each process, and nobody iterates"
)]

use super::super::model::{Field, FieldMatch, Match};
use super::super::packet::{Key, WORDS};
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

/// Some bits of one word of a key, with the values they must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    word: u8,
    mask: u64,
    value: u64,
}

/// A match in terms of the key: matches that say the same in different words are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern(Box<[Part]>);

impl Pattern {
    /// Of a match.
    pub fn new(matching: &Match) -> Pattern {
        let (mut mask, mut value) = (Key::default(), Key::default());
        for field in &matching.0 {
            mask.set_bits(FieldMatch { value: field.mask, ..*field });
            value.set_bits(*field);
        }
        let parts = (0..WORDS).filter(|word| mask.words()[*word] != 0);
        Pattern(
            parts.map(|word| Part { word: word as u8, mask: mask.words()[word], value: value.words()[word] }).collect(),
        )
    }

    /// Whether all that this pattern matches is matched by the other, too.
    pub fn is_within(&self, wider: &Pattern) -> bool {
        wider.0.iter().all(|outer| {
            self.part(outer.word)
                .is_some_and(|inner| inner.mask & outer.mask == outer.mask && inner.value & outer.mask == outer.value)
        })
    }

    /// Whether some packet could match both.
    pub fn overlaps(&self, other: &Pattern) -> bool {
        self.0.iter().all(|a| {
            other.part(a.word).is_none_or(|b| {
                let common = a.mask & b.mask;
                a.value & common == b.value & common
            })
        })
    }

    /// Whether it matches everything.
    pub fn is_any(&self) -> bool {
        self.0.is_empty()
    }

    fn part(&self, word: u8) -> Option<&Part> {
        self.0.binary_search_by_key(&word, |part| part.word).ok().map(|index| &self.0[index])
    }

    fn has_mask_of(&self, other: &Pattern) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(a, b)| (a.word, a.mask) == (b.word, b.mask))
    }

    fn matches(&self, key: &Key) -> bool {
        self.0.iter().all(|part| key.words()[usize::from(part.word)] & part.mask == part.value)
    }

    fn hash_of(&self, words: &[u64; WORDS]) -> u64 {
        mix(self.0.iter().fold(0, |hash, part| step(hash, words[usize::from(part.word)] & part.mask)))
    }

    fn own_hash(&self) -> u64 {
        mix(self.0.iter().fold(0, |hash, part| step(hash, part.value)))
    }
}

fn step(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn mix(hash: u64) -> u64 {
    hash ^ (hash >> 32)
}

/// Passes a hash through: keys of the maps are hashes.
#[derive(Clone, Copy, Default)]
struct Already(u64);

impl Hasher for Already {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| step(hash, u64::from(*byte)));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// A flow in the classifier.
#[derive(Clone, Debug)]
struct Candidate {
    pattern: Pattern,
    found: Found,
}

/// What a lookup finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Higher wins.
    pub priority: u16,
    /// Which flow, by whatever number it was inserted.
    pub slot: usize,
    /// Whether it is only a clause of a conjunction.
    pub is_clause: bool,
}

#[derive(Clone, Debug)]
struct Subtable {
    /// Its masks are those of all flows in here.
    mask: Pattern,
    /// How many flows there are of each priority.
    priorities: BTreeMap<u16, usize>,
    flows: HashMap<u64, Vec<Candidate>, BuildHasherDefault<Already>>,
}

impl Subtable {
    fn highest(&self) -> u16 {
        self.priorities.last_key_value().map_or(0, |(priority, _)| *priority)
    }

    fn matching<'a>(&'a self, key: &'a Key) -> impl Iterator<Item = &'a Candidate> {
        let list = self.flows.get(&self.mask.hash_of(key.words()));
        list.into_iter().flatten().filter(|candidate| candidate.pattern.matches(key))
    }
}

/// Flows of one table.
#[derive(Clone, Debug, Default)]
pub struct Classifier {
    /// By highest priority, highest first.
    subtables: Vec<Subtable>,
    clauses: usize,
}

impl Classifier {
    /// Adds a flow. There is none of the same pattern and priority.
    pub fn insert(&mut self, pattern: &Pattern, found: Found) {
        let known = self.subtables.iter().position(|subtable| subtable.mask.has_mask_of(pattern));
        let index = known.unwrap_or_else(|| {
            let new = Subtable { mask: pattern.clone(), priorities: BTreeMap::new(), flows: HashMap::default() };
            self.subtables.push(new);
            self.subtables.len() - 1
        });
        let subtable = &mut self.subtables[index];
        *subtable.priorities.entry(found.priority).or_default() += 1;
        let list = subtable.flows.entry(pattern.own_hash()).or_default();
        let position = list.partition_point(|other| other.found.priority >= found.priority);
        list.insert(position, Candidate { pattern: pattern.clone(), found });
        self.clauses += usize::from(found.is_clause);
        self.sort();
    }

    /// Takes a flow out that is there.
    pub fn remove(&mut self, pattern: &Pattern, priority: u16) {
        let known = self.subtables.iter_mut().find(|subtable| subtable.mask.has_mask_of(pattern));
        let subtable = known.expect("the flow was inserted with this mask");
        let list = subtable.flows.get_mut(&pattern.own_hash()).expect("the flow was inserted with this hash");
        let is_it = |other: &Candidate| other.found.priority == priority && other.pattern == *pattern;
        let position = list.iter().position(is_it).expect("the flow was inserted");
        self.clauses -= usize::from(list.remove(position).found.is_clause);
        if list.is_empty() {
            subtable.flows.remove(&pattern.own_hash());
        }
        let count = subtable.priorities.get_mut(&priority).expect("the flow was counted");
        *count -= 1;
        if *count == 0 {
            subtable.priorities.remove(&priority);
        }
        self.subtables.retain(|subtable| !subtable.flows.is_empty());
        self.sort();
    }

    fn sort(&mut self) {
        if !self.subtables.is_sorted_by_key(|subtable| std::cmp::Reverse(subtable.highest())) {
            self.subtables.sort_by_key(|subtable| std::cmp::Reverse(subtable.highest()));
        }
    }

    /// The flow for a key. Conjunctions are decided by `clauses_of`: the clauses that a flow is of.
    pub fn lookup<'a>(&self, key: &Key, clauses_of: impl Fn(usize) -> &'a [Clause]) -> Option<usize> {
        if self.clauses == 0 { self.best(key) } else { self.conjunctive(key, clauses_of) }
    }

    /// The best flow that is no clause.
    fn best(&self, key: &Key) -> Option<usize> {
        let mut best: Option<Found> = None;
        for subtable in &self.subtables {
            if best.is_some_and(|best| best.priority >= subtable.highest()) {
                break;
            }
            let found = subtable.matching(key).map(|candidate| candidate.found).find(|found| !found.is_clause);
            if found.is_some_and(|found| best.is_none_or(|best| found.priority > best.priority)) {
                best = found;
            }
        }
        best.map(|found| found.slot)
    }

    /// Goes down the priorities: a whole flow wins; else, if clauses complete a conjunction and a flow matches its
    /// number, that flow; else on with the next priority (`classifier_lookup__` in Open vSwitch).
    fn conjunctive<'a>(&self, key: &Key, clauses_of: impl Fn(usize) -> &'a [Clause]) -> Option<usize> {
        let mut found: Vec<Found> = self
            .subtables
            .iter()
            .flat_map(|subtable| subtable.matching(key))
            .map(|candidate| candidate.found)
            .collect();
        found.sort_by_key(|found| std::cmp::Reverse(found.priority));
        for group in found.chunk_by(|a, b| a.priority == b.priority) {
            if let Some(whole) = group.iter().find(|found| !found.is_clause) {
                return Some(whole.slot);
            }
            let clauses = group.iter().flat_map(|found| clauses_of(found.slot));
            let Some(id) = completed(clauses) else { continue };
            let mut with_id = key.clone();
            with_id.set(Field::ConjId, id.into());
            if let Some(slot) = self.best(&with_id) {
                return Some(slot);
            }
        }
        None
    }
}

/// One clause of a conjunction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clause {
    /// Of which conjunction.
    pub id: u32,
    /// Which one.
    pub index: u8,
    /// How many it has.
    pub count: u8,
}

/// The lowest number of a conjunction of which all clauses are there.
fn completed<'a>(clauses: impl Iterator<Item = &'a Clause>) -> Option<u32> {
    let mut seen: BTreeMap<(u32, u8), u64> = BTreeMap::new();
    for clause in clauses {
        *seen.entry((clause.id, clause.count)).or_default() |= 1u64.checked_shl(clause.index.into()).unwrap_or(0);
    }
    let is_complete = |count: u8, bits: u64| count >= 2 && bits == u64::MAX >> (64 - u32::from(count.min(64)));
    seen.into_iter().find(|((_, count), bits)| is_complete(*count, *bits)).map(|((id, _), _)| id)
}
