//! Flow tables: what is in them, which flow a packet finds, how often, and when flows go.
//!
//! What a request means (prerequisites, which flows a delete is about by its command) is for whoever decodes it; here
//! a flow is replaced by one of the same table, priority and match. Start at [`FlowTables`].

use super::super::model::{Action, Flow, Match};
use super::super::packet::Key;
use super::classifier::{Classifier, Clause, Found, Pattern};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// `OFPFF_RESET_COUNTS`: a flow that replaces another starts counting at zero.
const RESET_COUNTS: u16 = 1 << 2;

/// Names a flow for as long as it is in the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(usize);

/// A flow in a table.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What was asked for.
    pub flow: Arc<Flow>,
    /// Packets that it was found for.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When it came into the table.
    pub created: Duration,
    /// When it was last added or changed: its hard timeout counts from here.
    pub modified: Duration,
    /// When it was last found: its idle timeout counts from here.
    pub used: Duration,
    pattern: Pattern,
    clauses: Vec<Clause>,
    timer: Option<Duration>,
}

impl Entry {
    /// Whether it is what a packet finds that nothing else matches.
    pub fn is_table_miss(&self) -> bool {
        self.flow.priority == 0 && self.pattern.is_any()
    }

    fn expiry(&self) -> Option<(Duration, Expiry)> {
        let seconds = |since: Duration, count: u16| (count > 0).then(|| since + Duration::from_secs(count.into()));
        let hard = seconds(self.modified, self.flow.hard_timeout).map(|at| (at, Expiry::Hard));
        let idle = seconds(self.used, self.flow.idle_timeout).map(|at| (at, Expiry::Idle));
        hard.into_iter().chain(idle).min_by_key(|(at, _)| *at)
    }
}

/// Why a flow went by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// No packet for its idle timeout.
    Idle,
    /// Its hard timeout.
    Hard,
}

/// A table has as many flows as it can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("table {table} is full with {limit} flows")]
pub struct TableFull {
    /// Which table.
    pub table: u8,
    /// How many it can take.
    pub limit: usize,
}

/// Which flows a request is about.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    /// In this table; none: in all.
    pub table: Option<u8>,
    /// That match no more than this.
    pub matching: Match,
    /// Only of exactly this match and this priority.
    pub strict_priority: Option<u16>,
    /// With these bits in the cookie.
    pub cookie: u64,
    /// Which bits of the cookie count.
    pub cookie_mask: u64,
    /// That send to this port.
    pub out_port: Option<u32>,
    /// That send to this group.
    pub out_group: Option<u32>,
}

#[derive(Clone, Debug, Default)]
struct Table {
    classifier: Classifier,
    /// By priority, highest first, then match: also the order in which flows are listed.
    order: BTreeMap<(Reverse<u16>, Pattern), FlowId>,
    limit: Option<usize>,
    lookups: u64,
    matched: u64,
}

/// All tables of a bridge.
#[derive(Clone, Debug, Default)]
pub struct FlowTables {
    tables: BTreeMap<u8, Table>,
    entries: Vec<Option<Entry>>,
    free: Vec<usize>,
    timers: BTreeSet<(Duration, FlowId)>,
    /// What was done since [`FlowTables::begin`], if it may have to be undone.
    journal: Option<Vec<Done>>,
}

/// Something done to tables.
#[derive(Clone, Debug)]
enum Done {
    Inserted(FlowId),
    Removed(Entry),
}

impl FlowTables {
    /// From here on changes can be taken back, which costs as much as they did and not as much as there is.
    pub fn begin(&mut self) {
        assert!(self.journal.is_none(), "one bundle is carried out at a time");
        self.journal = Some(Vec::new());
    }

    /// What was done since [`FlowTables::begin`] stays.
    pub fn keep(&mut self) {
        self.journal = None;
    }

    /// What was done since [`FlowTables::begin`] is undone.
    pub fn take_back(&mut self) {
        for done in self.journal.take().into_iter().flatten().rev() {
            match done {
                Done::Inserted(id) => _ = self.remove(id),
                Done::Removed(entry) => _ = self.insert(entry),
            }
        }
    }

    /// Adds a flow; what it replaces comes back.
    pub fn add(&mut self, now: Duration, flow: Flow) -> Result<(FlowId, Option<Entry>), TableFull> {
        let pattern = Pattern::new(&flow.matching);
        let table = self.tables.entry(flow.table).or_default();
        let old = table.order.get(&(Reverse(flow.priority), pattern.clone())).copied();
        let limit = table.limit.unwrap_or(usize::MAX);
        if old.is_none() && table.order.len() >= limit {
            return Err(TableFull { table: flow.table, limit });
        }
        let replaced = old.and_then(|id| self.remove(id));
        let kept = replaced.as_ref().filter(|_| flow.flags & RESET_COUNTS == 0);
        let (packets, bytes) = kept.map_or((0, 0), |old| (old.packets, old.bytes));
        let clauses = clauses(&flow.actions);
        let entry = Entry {
            flow: Arc::new(flow),
            packets,
            bytes,
            created: now,
            modified: now,
            used: now,
            pattern,
            clauses,
            timer: None,
        };
        Ok((self.insert(entry), replaced))
    }

    fn insert(&mut self, entry: Entry) -> FlowId {
        let slot = self.free.pop().unwrap_or(self.entries.len());
        let id = FlowId(slot);
        let (priority, is_clause) = (entry.flow.priority, !entry.clauses.is_empty());
        let table = self.tables.entry(entry.flow.table).or_default();
        table.classifier.insert(&entry.pattern, Found { priority, slot, is_clause });
        table.order.insert((Reverse(priority), entry.pattern.clone()), id);
        if slot == self.entries.len() {
            self.entries.push(Some(entry));
        } else {
            self.entries[slot] = Some(entry);
        }
        self.set_timer(id);
        self.journal.iter_mut().for_each(|journal| journal.push(Done::Inserted(id)));
        id
    }

    /// Puts a flow's timer where its timeouts say.
    fn set_timer(&mut self, id: FlowId) {
        let Some(entry) = self.entries[id.0].as_mut() else { return };
        let at = entry.expiry().map(|(at, _)| at);
        if let Some(old) = std::mem::replace(&mut entry.timer, at) {
            self.timers.remove(&(old, id));
        }
        self.timers.extend(at.map(|at| (at, id)));
    }

    /// Takes a flow out.
    pub fn remove(&mut self, id: FlowId) -> Option<Entry> {
        let entry = self.entries.get_mut(id.0)?.take()?;
        self.free.push(id.0);
        if let Some(at) = entry.timer {
            self.timers.remove(&(at, id));
        }
        let table = self.tables.get_mut(&entry.flow.table).expect("the table of a flow is there");
        table.classifier.remove(&entry.pattern, entry.flow.priority);
        table.order.remove(&(Reverse(entry.flow.priority), entry.pattern.clone()));
        if let Some(journal) = &mut self.journal {
            journal.push(Done::Removed(Entry { timer: None, ..entry.clone() }));
        }
        Some(entry)
    }

    /// Gives a flow other actions, and another cookie if there is one. Counters and timeouts stay.
    pub fn modify(&mut self, now: Duration, id: FlowId, actions: Vec<Action>, cookie: Option<u64>) {
        let Some(mut entry) = self.remove(id) else { return };
        let flow = Arc::make_mut(&mut entry.flow);
        flow.actions = actions;
        flow.cookie = cookie.unwrap_or(flow.cookie);
        entry.clauses = clauses(&flow.actions);
        entry.modified = now;
        entry.timer = None;
        let again = self.insert(entry);
        debug_assert_eq!(again, id, "the place that was just left is taken first");
    }

    /// A flow.
    pub fn get(&self, id: FlowId) -> Option<&Entry> {
        self.entries.get(id.0)?.as_ref()
    }

    /// The flows that a request is about, in the order of [`FlowTables::iter`].
    pub fn find(&self, selector: &Selector) -> Vec<FlowId> {
        let pattern = Pattern::new(&selector.matching);
        let tables = self.tables.iter().filter(|(number, _)| selector.table.is_none_or(|table| table == **number));
        let found = tables.flat_map(|(_, table)| match selector.strict_priority {
            Some(priority) => table.order.get(&(Reverse(priority), pattern.clone())).copied().into_iter().collect(),
            None => table
                .order
                .iter()
                .filter(|((_, own), _)| own.is_within(&pattern))
                .map(|(_, id)| *id)
                .collect::<Vec<_>>(),
        });
        found.filter(|id| self.get(*id).is_some_and(|entry| selector.selects(&entry.flow))).collect()
    }

    /// Whether a flow overlaps one of the same table and priority, other than one of the same match.
    pub fn overlaps(&self, flow: &Flow) -> bool {
        let pattern = Pattern::new(&flow.matching);
        let same = self.tables.get(&flow.table).into_iter().flat_map(|table| table.order.keys());
        same.filter(|(priority, own)| priority.0 == flow.priority && *own != pattern)
            .any(|(_, own)| own.overlaps(&pattern))
    }

    /// All flows: by table, priority (highest first) and match.
    pub fn iter(&self) -> impl Iterator<Item = (FlowId, &Entry)> {
        let ids = self.tables.values().flat_map(|table| table.order.values());
        ids.filter_map(|id| self.get(*id).map(|entry| (*id, entry)))
    }

    /// How many flows a table has.
    pub fn len(&self, table: u8) -> usize {
        self.tables.get(&table).map_or(0, |table| table.order.len())
    }

    /// Whether there is no flow at all.
    pub fn is_empty(&self) -> bool {
        self.tables.values().all(|table| table.order.is_empty())
    }

    /// How many packets were looked up in a table, and how many of them found a flow.
    pub fn lookups(&self, table: u8) -> (u64, u64) {
        self.tables.get(&table).map_or((0, 0), |table| (table.lookups, table.matched))
    }

    /// Limits the flows of a table; those that are there stay.
    pub fn set_limit(&mut self, table: u8, limit: Option<usize>) {
        self.tables.entry(table).or_default().limit = limit;
    }

    /// The flow that a packet of `bytes` finds, with which it is counted.
    pub fn lookup(&mut self, now: Duration, table: u8, key: &Key, bytes: usize) -> Option<FlowId> {
        let table = self.tables.get_mut(&table)?;
        table.lookups += 1;
        let entries = &self.entries;
        let slot = table.classifier.lookup(key, |slot| clauses_of(entries, slot))?;
        table.matched += 1;
        let entry = self.entries[slot].as_mut().expect("the classifier has only flows that are there");
        entry.packets += 1;
        entry.bytes += bytes as u64;
        entry.used = now;
        Some(FlowId(slot))
    }

    /// When a flow could go next. It may turn out that it has been used since.
    pub fn deadline(&self) -> Option<Duration> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Takes out the flows whose time has come.
    pub fn expire(&mut self, now: Duration) -> Vec<(Entry, Expiry)> {
        let mut expired = Vec::new();
        while let Some((_, id)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            let due = self.get(id).and_then(Entry::expiry).filter(|(at, _)| *at <= now);
            match due {
                Some((_, why)) => expired.extend(self.remove(id).map(|entry| (entry, why))),
                None => self.set_timer(id),
            }
        }
        expired
    }
}

fn clauses_of(entries: &[Option<Entry>], slot: usize) -> &[Clause] {
    entries[slot].as_ref().map_or(&[], |entry| &entry.clauses)
}

fn clauses(actions: &[Action]) -> Vec<Clause> {
    let clause = |action: &Action| match action {
        Action::Conjunction { id, clause, clauses } => Some(Clause { id: *id, index: *clause, count: *clauses }),
        _ => None,
    };
    actions.iter().filter_map(clause).collect()
}

impl Selector {
    fn selects(&self, flow: &Flow) -> bool {
        flow.cookie & self.cookie_mask == self.cookie & self.cookie_mask
            && self.out_port.is_none_or(|port| any(&flow.actions, &|action| outputs_to(action, port)))
            && self.out_group.is_none_or(|group| any(&flow.actions, &|action| *action == Action::Group(group)))
    }
}

fn outputs_to(action: &Action, wanted: u32) -> bool {
    match action {
        Action::Output { port, .. } => *port == wanted,
        Action::Controller { .. } => wanted == super::super::model::port::CONTROLLER,
        _ => false,
    }
}

/// Whether it holds for an action, or for one inside of it.
fn any(actions: &[Action], holds: &impl Fn(&Action) -> bool) -> bool {
    actions.iter().any(|action| match action {
        Action::WriteActions(inner) | Action::Clone(inner) => any(inner, holds),
        action => holds(action),
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::model::{Field, FieldMatch};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn field(field: Field, value: u128) -> FieldMatch {
        FieldMatch { field, value, mask: field.full_mask() }
    }

    fn flow(priority: u16, matching: &[FieldMatch], actions: &[Action]) -> Flow {
        Flow {
            table: 0,
            priority,
            matching: Match(matching.to_vec()),
            cookie: priority.into(),
            actions: actions.to_vec(),
            idle_timeout: 0,
            hard_timeout: 0,
            flags: 0,
            importance: 0,
        }
    }

    fn output(port: u32) -> Action {
        Action::Output { port, max_len: 0 }
    }

    fn found(tables: &mut FlowTables, fields: &[(Field, u128)]) -> Option<u16> {
        let mut key = Key::default();
        fields.iter().for_each(|(field, value)| key.set(*field, *value));
        let id = tables.lookup(SECOND, 0, &key, 100)?;
        tables.get(id).map(|entry| entry.flow.priority)
    }

    fn filled(flows: Vec<Flow>) -> FlowTables {
        let mut tables = FlowTables::default();
        for flow in flows {
            tables.add(Duration::ZERO, flow).expect("there is room");
        }
        tables
    }

    #[test]
    fn what_is_taken_back_was_never_done() {
        let timed = |idle_timeout| Flow { idle_timeout, ..flow(30, &[field(Field::InPort, 4)], &[output(1)]) };
        let mut tables = filled(vec![flow(10, &[], &[]), flow(20, &[field(Field::InPort, 3)], &[]), timed(5)]);
        assert_eq!(found(&mut tables, &[(Field::InPort, 3)]), Some(20));
        let all = |tables: &FlowTables| -> Vec<(Flow, u64)> {
            tables.iter().map(|(_, entry)| (entry.flow.as_ref().clone(), entry.packets)).collect()
        };
        let (before, deadline) = (all(&tables), tables.deadline());
        tables.begin();
        let ids: Vec<FlowId> = tables.iter().map(|(id, _)| id).collect();
        tables.modify(SECOND, ids[0], vec![output(9)], Some(7));
        tables.remove(ids[1]).expect("a flow");
        tables.add(SECOND, flow(40, &[field(Field::InPort, 3)], &[])).expect("there is room");
        tables.add(SECOND, flow(10, &[], &[output(2)])).expect("it replaces one");
        tables.add(SECOND, timed(9)).expect("it replaces another");
        assert_ne!(all(&tables), before);
        tables.take_back();
        assert_eq!((all(&tables), tables.deadline()), (before, deadline));
        assert_eq!(found(&mut tables, &[(Field::InPort, 3)]), Some(20));
        assert_eq!(found(&mut tables, &[(Field::InPort, 1)]), Some(10));
    }

    #[test]
    fn the_highest_priority_wins_whatever_the_masks() {
        let prefix = FieldMatch { field: Field::Ipv4Dst, value: 0x0a00_0000, mask: 0xff00_0000 };
        let mut tables = filled(vec![
            flow(0, &[], &[]),
            flow(10, &[prefix], &[]),
            flow(20, &[field(Field::InPort, 3)], &[]),
            flow(30, &[field(Field::InPort, 3), field(Field::Ipv4Dst, 0x0a00_0001)], &[]),
        ]);
        assert_eq!(found(&mut tables, &[]), Some(0));
        assert_eq!(found(&mut tables, &[(Field::Ipv4Dst, 0x0a00_0001)]), Some(10));
        assert_eq!(found(&mut tables, &[(Field::Ipv4Dst, 0x0a00_0002), (Field::InPort, 3)]), Some(20));
        assert_eq!(found(&mut tables, &[(Field::Ipv4Dst, 0x0a00_0001), (Field::InPort, 3)]), Some(30));
        assert_eq!(tables.lookups(0), (4, 4));
    }

    #[test]
    fn the_same_match_in_other_words_replaces() {
        let mut tables = filled(vec![flow(5, &[field(Field::Reg(0), 1), field(Field::Reg(1), 2)], &[output(1)])]);
        found(&mut tables, &[(Field::Xreg(0), 0x1_0000_0002)]);
        let (id, old) =
            tables.add(SECOND, flow(5, &[field(Field::Xreg(0), 0x1_0000_0002)], &[output(2)])).expect("room");
        assert_eq!(old.expect("replaced").packets, 1);
        assert_eq!((tables.len(0), tables.get(id).map(|entry| entry.packets)), (1, Some(1)), "counters go on");
    }

    #[test]
    fn a_full_table_takes_replacements_only() {
        let mut tables = filled(vec![flow(5, &[], &[])]);
        tables.set_limit(0, Some(1));
        assert!(tables.add(SECOND, flow(5, &[], &[output(1)])).is_ok());
        assert_eq!(tables.add(SECOND, flow(6, &[], &[])).err(), Some(TableFull { table: 0, limit: 1 }));
    }

    #[test]
    fn selection() {
        let narrow = [field(Field::InPort, 1), field(Field::Reg(3), 7)];
        let mut tables =
            filled(vec![flow(1, &[], &[]), flow(2, &narrow[..1], &[output(4)]), flow(3, &narrow, &[Action::Group(9)])]);
        let check = |selector: Selector, expected: &[u16]| {
            let found = tables.find(&selector);
            let priorities: Vec<u16> =
                found.iter().filter_map(|id| tables.get(*id)).map(|entry| entry.flow.priority).collect();
            assert_eq!(priorities, expected, "{selector:?}");
        };
        let of = |fields: &[FieldMatch]| Match(fields.to_vec());
        check(Selector::default(), &[3, 2, 1]);
        check(Selector { table: Some(1), ..Selector::default() }, &[]);
        check(Selector { matching: of(&narrow[..1]), ..Selector::default() }, &[3, 2]);
        check(Selector { matching: of(&narrow[..1]), strict_priority: Some(2), ..Selector::default() }, &[2]);
        check(Selector { matching: of(&narrow[..1]), strict_priority: Some(3), ..Selector::default() }, &[]);
        check(Selector { cookie: 3, cookie_mask: 2, ..Selector::default() }, &[3, 2]);
        check(Selector { out_port: Some(4), ..Selector::default() }, &[2]);
        check(Selector { out_group: Some(9), ..Selector::default() }, &[3]);
        let ids = tables.find(&Selector::default());
        ids.into_iter().for_each(|id| assert!(tables.remove(id).is_some()));
        assert!(tables.is_empty());
    }

    #[test]
    fn conjunctions() {
        let clause = |clause| Action::Conjunction { id: 7, clause, clauses: 2 };
        let mut tables = filled(vec![
            flow(0, &[], &[]),
            flow(9, &[field(Field::ConjId, 7)], &[]),
            flow(20, &[field(Field::Ipv4Src, 1)], &[clause(0)]),
            flow(20, &[field(Field::Ipv4Src, 2)], &[clause(0)]),
            flow(20, &[field(Field::Ipv4Dst, 5)], &[clause(1)]),
            flow(15, &[field(Field::Ipv4Src, 2)], &[]),
        ]);
        assert_eq!(found(&mut tables, &[(Field::Ipv4Src, 1), (Field::Ipv4Dst, 5)]), Some(9));
        assert_eq!(found(&mut tables, &[(Field::Ipv4Src, 1)]), Some(0));
        assert_eq!(found(&mut tables, &[(Field::Ipv4Src, 2)]), Some(15), "below clauses that are not complete");
        assert_eq!(
            found(&mut tables, &[(Field::Ipv4Src, 2), (Field::Ipv4Dst, 5)]),
            Some(15),
            "the best flow that matches with the number"
        );
    }

    #[test]
    fn flows_go_when_idle_and_when_their_time_is_over() {
        let mut idle = flow(1, &[], &[]);
        idle.idle_timeout = 10;
        let mut hard = flow(2, &[field(Field::InPort, 5)], &[]);
        hard.hard_timeout = 15;
        let mut tables = filled(vec![idle, hard]);
        assert_eq!(tables.deadline(), Some(SECOND * 10));
        assert_eq!(found(&mut tables, &[]), Some(1));
        assert!(tables.expire(SECOND * 10).is_empty(), "it was used after one second");
        assert_eq!(tables.deadline(), Some(SECOND * 11));
        let expired = tables.expire(SECOND * 20);
        let reasons: Vec<(u16, Expiry)> = expired.iter().map(|(entry, why)| (entry.flow.priority, *why)).collect();
        assert_eq!(reasons, [(1, Expiry::Idle), (2, Expiry::Hard)]);
        assert_eq!(tables.deadline(), None);
    }

    #[test]
    fn overlap() {
        let tables = filled(vec![flow(5, &[field(Field::InPort, 1)], &[])]);
        assert!(tables.overlaps(&flow(5, &[field(Field::Reg(1), 1)], &[])));
        assert!(!tables.overlaps(&flow(5, &[field(Field::InPort, 2)], &[])));
        assert!(!tables.overlaps(&flow(6, &[field(Field::Reg(1), 1)], &[])));
    }
}
