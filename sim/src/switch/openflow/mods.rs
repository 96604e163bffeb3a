//! Modifications of flows and groups: read from bytes, and carried out on a bridge's tables.
//!
//! Carrying out is on a [`Program`], which may be a copy: so bundles are all or nothing. Start at [`Mod::read`] and
//! [`Mod::apply`].

use super::actions::{put_buckets, read_buckets, read_instructions};
use super::bytes::{Put, Reader, Refusal, refusal};
use super::consistency;
use super::oxm::read_match;
use crate::switch::datapath::{Entry, Program, Selector};
use crate::switch::model::{Action, Bucket, Flow, Group, GroupType, Match, port};
use std::sync::Arc;
use std::time::Duration;

/// `OFPG_ALL`.
const ALL_GROUPS: u32 = 0xffff_fffc;
const GROUP_MAX: u32 = 0xffff_ff00;
const SELECT: u8 = 1;
const DELETE_GROUP: u16 = 2;
const INSERT_BUCKET: u16 = 3;
const REMOVE_BUCKET: u16 = 5;
const BUCKET_MAX: u32 = 0xffff_ff00;
const FIRST_BUCKET: u32 = 0xffff_fffd;
const LAST_BUCKET: u32 = 0xffff_fffe;
const ALL_BUCKETS: u32 = 0xffff_ffff;
/// `OFPTT_ALL`.
const ALL_TABLES: u8 = 0xff;
/// A table that Open vSwitch keeps for itself.
const OWN_TABLE: u8 = 254;
const CHECK_OVERLAP: u16 = 1 << 1;
/// All flags of flows that there are.
const FLAGS: u16 = 0x1f;

/// A modification.
#[derive(Clone, Debug)]
pub(super) enum Mod {
    Flow(FlowMod),
    Group(GroupMod),
}

/// What became of flows: for monitors, and for who wants to know when they go.
#[derive(Clone, Debug)]
pub(super) enum Changed {
    Added(Arc<Flow>),
    Modified(Arc<Flow>),
    Deleted(Box<Entry>, Deleted),
}

impl Changed {
    /// The flow that there is since.
    pub fn new_flow(&self) -> Option<&Arc<Flow>> {
        match self {
            Changed::Added(flow) | Changed::Modified(flow) => Some(flow),
            Changed::Deleted(..) => None,
        }
    }
}

/// Why a flow went (OpenFlow 1.5.1, section 7.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deleted {
    ByRequest,
    WithItsGroup,
}

#[derive(Clone, Debug)]
pub(super) struct FlowMod {
    command: FlowCommand,
    cookie: u64,
    cookie_mask: u64,
    table: u8,
    priority: u16,
    timeouts: (u16, u16),
    flags: u16,
    importance: u16,
    out_port: u32,
    out_group: u32,
    matching: Match,
    actions: Vec<Action>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FlowCommand {
    Add,
    Modify,
    ModifyStrict,
    Delete,
    DeleteStrict,
}

#[derive(Clone, Debug)]
pub(super) struct GroupMod {
    command: GroupCommand,
    kind: GroupType,
    group: u32,
    bucket: u32,
    buckets: Vec<Bucket>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GroupCommand {
    Add,
    Modify,
    AddOrModify,
    Delete,
    Insert,
    Remove,
}

impl Mod {
    /// Reads the body of a flow mod (type 14) or a group mod (15).
    pub fn read(kind: u8, body: &[u8]) -> Result<Mod, Refusal> {
        let from = Reader::new(body, refusal::BAD_LEN);
        match kind {
            14 => FlowMod::read(from).map(Mod::Flow),
            15 => GroupMod::read(from).map(Mod::Group),
            _ => Err(refusal::BAD_TYPE),
        }
    }

    /// Whether it would insert buckets and names none.
    pub fn inserts_nothing(&self) -> bool {
        matches!(self, Mod::Group(group) if group.command == GroupCommand::Insert && group.buckets.is_empty())
    }

    /// The one group that it deletes.
    pub fn deleted_group(&self) -> Option<u32> {
        match self {
            Mod::Group(group) if group.command == GroupCommand::Delete => Some(group.group),
            Mod::Flow(_) | Mod::Group(_) => None,
        }
    }

    /// The message by which others are told of it once it is carried out, as Open vSwitch writes it: a group that is added
    /// or modified is said to be added, and what is done to buckets says of which type their group is.
    pub fn forwarded(&self, xid: u32, program: &Program) -> Option<Vec<u8>> {
        let Mod::Group(GroupMod { command, kind, group, bucket, buckets }) = self else { return None };
        let mut group_mod = Group { kind: *kind, buckets: buckets.clone() };
        let number = match (command, program.groups.get(*group)) {
            (GroupCommand::Add | GroupCommand::AddOrModify, _) => 0,
            (GroupCommand::Modify, _) => 1,
            (GroupCommand::Delete, _) => 2,
            (GroupCommand::Insert | GroupCommand::Remove, known) => {
                group_mod.kind = known.map_or(group_mod.kind, |entry| entry.group.kind);
                if *command == GroupCommand::Insert { INSERT_BUCKET } else { REMOVE_BUCKET }
            }
        };
        let mut out = vec![6, 15, 0, 0];
        out.put(xid, 4);
        out.put(number, 2);
        out.put(group_mod.kind as u16, 1);
        out.put(0_u8, 1);
        out.put(*group, 4);
        out.put(0_u32, 4);
        out.put(*bucket, 4);
        put_buckets(&mut out, &group_mod);
        let (length, listed) = (out.len(), out.len() - 24);
        out.patch_u16(2, length);
        out.patch_u16(16, listed);
        Some(out)
    }

    /// Carries it out.
    pub fn apply(&self, now: Duration, program: &mut Program) -> Result<Vec<Changed>, Refusal> {
        match self {
            Mod::Flow(flow) => flow.apply(now, program),
            Mod::Group(group) => group.apply(now, program),
        }
    }
}

impl FlowMod {
    fn read(mut from: Reader<'_>) -> Result<FlowMod, Refusal> {
        let (cookie, cookie_mask) = (from.u64()?, from.u64()?);
        let (table, command) = (from.u8()?, from.u8()?);
        let timeouts = (from.u16()?, from.u16()?);
        let priority = from.u16()?;
        let (_buffer, out_port, out_group) = (from.u32()?, from.u32()?, from.u32()?);
        let (flags, importance) = (from.u16()?, from.u16()?);
        let matching = read_match(&mut from)?;
        if table == ALL_TABLES && !matches!(command, 3 | 4) {
            return Err(refusal::BAD_TABLE);
        }
        let command = match command {
            0 => FlowCommand::Add,
            1 => FlowCommand::Modify,
            2 => FlowCommand::ModifyStrict,
            3 => FlowCommand::Delete,
            4 => FlowCommand::DeleteStrict,
            _ => return Err(refusal::BAD_COMMAND),
        };
        let actions = read_instructions(from)?;
        if flags & !FLAGS != 0 {
            return Err(refusal::BAD_FLAGS);
        }
        consistency::check(table, &matching, &actions)?;
        if table == OWN_TABLE && command == FlowCommand::Add {
            return Err(refusal::NOT_PERMITTED);
        }
        Ok(FlowMod {
            command,
            cookie,
            cookie_mask,
            table,
            priority,
            timeouts,
            flags,
            importance,
            out_port,
            out_group,
            matching,
            actions,
        })
    }

    fn selector(&self) -> Selector {
        let strict = matches!(self.command, FlowCommand::ModifyStrict | FlowCommand::DeleteStrict);
        Selector {
            table: (self.table != ALL_TABLES).then_some(self.table),
            matching: self.matching.clone(),
            strict_priority: strict.then_some(self.priority),
            cookie: self.cookie,
            cookie_mask: self.cookie_mask,
            out_port: (self.out_port != port::ANY).then_some(self.out_port),
            out_group: (self.out_group != u32::MAX).then_some(self.out_group),
        }
    }

    /// Selects by match alone.
    fn everywhere(&self) -> Selector {
        Selector { cookie: 0, cookie_mask: 0, out_port: None, out_group: None, ..self.selector() }
    }

    fn apply(&self, now: Duration, program: &mut Program) -> Result<Vec<Changed>, Refusal> {
        match self.command {
            FlowCommand::Add => {
                check_groups(&self.actions, program)?;
                self.add(now, program)
            }
            FlowCommand::Modify | FlowCommand::ModifyStrict => {
                let mut changed = Vec::new();
                let selector = Selector { out_port: None, out_group: None, ..self.selector() };
                let found = program.tables.find(&selector);
                // Nothing is wrong with actions that no flow gets.
                if !found.is_empty() {
                    check_groups(&self.actions, program)?;
                }
                for id in found {
                    let is_new = program.tables.get(id).is_some_and(|entry| entry.flow.actions != self.actions);
                    program.tables.modify(now, id, self.actions.clone(), None);
                    let entry = program.tables.get(id).filter(|_| is_new);
                    changed.extend(entry.map(|entry| Changed::Modified(entry.flow.clone())));
                }
                Ok(changed)
            }
            FlowCommand::Delete | FlowCommand::DeleteStrict => {
                let found = program.tables.find(&self.selector());
                let removed = found.into_iter().filter_map(|id| program.tables.remove(id));
                Ok(removed.map(|entry| Changed::Deleted(Box::new(entry), Deleted::ByRequest)).collect())
            }
        }
    }

    fn add(&self, now: Duration, program: &mut Program) -> Result<Vec<Changed>, Refusal> {
        let flow = Flow {
            table: self.table,
            priority: self.priority,
            matching: self.matching.clone(),
            cookie: self.cookie,
            actions: self.actions.clone(),
            idle_timeout: self.timeouts.0,
            hard_timeout: self.timeouts.1,
            flags: self.flags,
            importance: self.importance,
        };
        // One that takes the place of another overlaps what that one did.
        let takes_place = || {
            let same = Selector { strict_priority: Some(self.priority), ..self.everywhere() };
            !program.tables.find(&same).is_empty()
        };
        if self.flags & CHECK_OVERLAP != 0 && !takes_place() && program.tables.overlaps(&flow) {
            return Err(refusal::OVERLAP);
        }
        let (id, _) = program.tables.add(now, flow).map_err(|_| refusal::TABLE_FULL)?;
        let flow = program.tables.get(id).map(|entry| entry.flow.clone());
        // One that takes the place of another is told of as added all the same.
        Ok(flow.map(Changed::Added).into_iter().collect())
    }
}

/// Whether the groups that actions name are there.
fn check_groups(actions: &[Action], program: &Program) -> Result<(), Refusal> {
    actions.iter().try_for_each(|action| match action {
        Action::Group(group) if program.groups.get(*group).is_none() => Err(refusal::BAD_OUT_GROUP),
        Action::WriteActions(inner) => check_groups(inner, program),
        _ => Ok(()),
    })
}

/// Whether buckets go with the type of a group and with what is to be done (`ofputil_check_group_mod`).
fn check_buckets(command: GroupCommand, kind: GroupType, buckets: &[Bucket]) -> Result<(), Refusal> {
    if command == GroupCommand::Remove && !buckets.is_empty() {
        return Err(refusal::BAD_BUCKET);
    }
    buckets.iter().try_for_each(|bucket| {
        let has_liveness = bucket.watch_port != port::ANY || bucket.watch_group != u32::MAX;
        match kind {
            _ if bucket.weight != 0 && kind != GroupType::Select && command != GroupCommand::Insert => {
                Err(refusal::INVALID_GROUP)
            }
            GroupType::All | GroupType::Indirect if has_liveness => Err(refusal::WATCH_UNSUPPORTED),
            GroupType::FastFailover if !has_liveness => Err(refusal::INVALID_GROUP),
            _ => Ok(()),
        }
    })
}

impl GroupMod {
    fn read(mut from: Reader<'_>) -> Result<GroupMod, Refusal> {
        let (command, kind) = (from.u16()?, from.u8()?);
        from.take(1)?;
        let (group, length) = (from.u32()?, usize::from(from.u16()?));
        from.take(2)?;
        let bucket = from.u32()?;
        let is_lawful = match command {
            INSERT_BUCKET => bucket <= BUCKET_MAX || matches!(bucket, FIRST_BUCKET | LAST_BUCKET),
            REMOVE_BUCKET => bucket <= BUCKET_MAX || bucket >= FIRST_BUCKET,
            _ => bucket == ALL_BUCKETS,
        };
        if !is_lawful {
            return Err(refusal::BAD_BUCKET);
        }
        let buckets = read_buckets(from.part(length, refusal::BAD_BUCKET)?, kind == SELECT)?;
        let kind = match kind {
            0 => GroupType::All,
            1 => GroupType::Select,
            2 => GroupType::Indirect,
            3 => GroupType::FastFailover,
            _ => return Err(refusal::BAD_GROUP_TYPE),
        };
        if kind == GroupType::Indirect && command != DELETE_GROUP && buckets.len() != 1 {
            return Err(refusal::INVALID_GROUP);
        }
        let command = match command {
            0 => GroupCommand::Add,
            1 => GroupCommand::Modify,
            0x8000 => GroupCommand::AddOrModify,
            DELETE_GROUP => GroupCommand::Delete,
            INSERT_BUCKET => GroupCommand::Insert,
            REMOVE_BUCKET => GroupCommand::Remove,
            _ => return Err(refusal::BAD_GROUP_COMMAND),
        };
        check_buckets(command, kind, &buckets)?;
        Ok(GroupMod { command, kind, group, bucket, buckets })
    }

    fn apply(&self, now: Duration, program: &mut Program) -> Result<Vec<Changed>, Refusal> {
        let there = program.groups.get(self.group).map(|entry| (*entry.group).clone());
        let whole = || Group { kind: self.kind, buckets: self.buckets.clone() };
        match (self.command, there) {
            (GroupCommand::Add, Some(_)) => return Err(refusal::GROUP_EXISTS),
            (GroupCommand::Modify, None) => return Err(refusal::UNKNOWN_GROUP),
            (GroupCommand::Add | GroupCommand::AddOrModify, None) if self.group > GROUP_MAX => {
                return Err(refusal::INVALID_GROUP);
            }
            (GroupCommand::Add | GroupCommand::Modify | GroupCommand::AddOrModify, _) => {
                program.groups.set(now, self.group, whole());
            }
            (GroupCommand::Delete, _) => return Ok(self.delete(program)),
            (GroupCommand::Insert | GroupCommand::Remove, None) => return Err(refusal::UNKNOWN_GROUP),
            (GroupCommand::Insert, Some(group)) => {
                let group = self.insert(group)?;
                program.groups.set(now, self.group, group);
            }
            (GroupCommand::Remove, Some(group)) => {
                let group = self.remove(group)?;
                program.groups.set(now, self.group, group);
            }
        }
        Ok(Vec::new())
    }

    fn insert(&self, mut group: Group) -> Result<Group, Refusal> {
        let at = match self.bucket {
            FIRST_BUCKET => 0,
            LAST_BUCKET => group.buckets.len(),
            id => 1 + group.buckets.iter().position(|old| old.id == id).ok_or(refusal::UNKNOWN_BUCKET)?,
        };
        if self.buckets.iter().any(|new| group.buckets.iter().any(|old| old.id == new.id)) {
            return Err(refusal::BUCKET_EXISTS);
        }
        group.buckets.splice(at..at, self.buckets.iter().cloned());
        Ok(group)
    }

    fn remove(&self, mut group: Group) -> Result<Group, Refusal> {
        match self.bucket {
            ALL_BUCKETS => group.buckets.clear(),
            // Of none there is no first or last, and none to remove.
            FIRST_BUCKET => _ = group.buckets.drain(..group.buckets.len().min(1)),
            LAST_BUCKET => _ = group.buckets.pop(),
            id => {
                let at = group.buckets.iter().position(|old| old.id == id).ok_or(refusal::UNKNOWN_BUCKET)?;
                group.buckets.remove(at);
            }
        }
        Ok(group)
    }

    /// Flows that use a group go with it (section 6.7.1).
    fn delete(&self, program: &mut Program) -> Vec<Changed> {
        let groups: Vec<u32> = match self.group {
            ALL_GROUPS => program.groups.iter().map(|(id, _)| id).collect(),
            group => program.groups.get(group).map(|_| group).into_iter().collect(),
        };
        let mut changed = Vec::new();
        for group in groups {
            program.groups.remove(group);
            let users = program.tables.find(&Selector { out_group: Some(group), ..Selector::default() });
            let removed = users.into_iter().filter_map(|id| program.tables.remove(id));
            changed.extend(removed.map(|entry| Changed::Deleted(Box::new(entry), Deleted::WithItsGroup)));
        }
        changed
    }
}
