//! Flow mods, and flows as a switch reports them.
//!
//! Timeouts, flags and importance are not in core's model: a flow that has them is foreign, for it may go by itself.
//! Sections 7.3.4.2 (flow mods), 7.3.5.2 (descriptions), 7.4.2 (removals) and 7.2.4 (statistics).
//! Start at [`FlowMod`] and [`DumpedFlow`].

use super::actions::{put_instructions, read_instructions};
use super::error::Fault;
use super::oxm::{WireMatch, put_match, put_wire_match, read_match, read_wire_match};
use super::wire::{Put, Reader, padding};
use selvedge_core::flow::{Actions, Flow, FlowBody, FlowKey, Match};
use std::sync::Arc;
use std::time::Duration;

/// Changes flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlowMod {
    /// Add a flow; one with the same key is replaced, cookie and all, and its counters start anew.
    Add(Flow),
    /// Give the flow with this key other actions. Cookie and counters stay; without such a flow nothing happens.
    ModifyStrict(Flow),
    /// Delete the flow with this key, if it is there.
    DeleteStrict(WireKey),
    /// Delete all flows that the filter lets through.
    Delete(FlowFilter),
}

/// What identifies a flow as found on a switch, where its match may be foreign.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WireKey {
    /// The table's number.
    pub table: u8,
    /// Higher wins.
    pub priority: u16,
    /// Which packets.
    pub matching: WireMatch,
}

impl WireKey {
    /// The key in core's model, if the match has only fields that are modelled.
    pub fn known(self) -> Result<FlowKey, WireKey> {
        let WireKey { table, priority, matching } = self;
        match matching {
            WireMatch::Known(matching) => Ok(FlowKey { table, priority, matching }),
            matching @ WireMatch::Foreign(_) => Err(WireKey { table, priority, matching }),
        }
    }
}

impl From<FlowKey> for WireKey {
    fn from(key: FlowKey) -> WireKey {
        WireKey { table: key.table, priority: key.priority, matching: key.matching.into() }
    }
}

/// Selects flows: to delete, to report or to count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowFilter {
    /// The table, up to 254; all if there is none.
    pub table: Option<u8>,
    /// The bits of `cookie_mask` must be these.
    pub cookie: u64,
    /// Zero: whatever the cookie is.
    pub cookie_mask: u64,
    /// Flows whose match is this or more specific.
    pub matching: Match,
}

/// A flow as a switch reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpedFlow {
    /// What identifies it.
    pub key: WireKey,
    /// What it does.
    pub body: DumpedBody,
    /// How long and how much.
    pub stats: Stats,
}

/// What a flow on a switch does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DumpedBody {
    /// Only things that are modelled.
    Known(FlowBody),
    /// Something else.
    Foreign {
        /// Whose it is.
        cookie: u64,
        /// What about it is not modelled.
        why: Fault,
        /// The whole description as it came.
        entry: Box<[u8]>,
    },
}

/// Statistics, as far as they were told (OXS).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Since the flow was added.
    pub duration: Option<Duration>,
    /// Since a packet matched.
    pub idle: Option<Duration>,
    /// Flows in an aggregate.
    pub flows: Option<u32>,
    /// Packets that matched.
    pub packets: Option<u64>,
    /// Bytes of them.
    pub bytes: Option<u64>,
}

/// A flow is gone that was to be reported when it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRemoved {
    /// What identified it.
    pub key: WireKey,
    /// `OFPRR_*`: 0 idle timeout, 1 hard timeout, 2 deleted, 3 its group was deleted, 4 its meter was, 5 evicted.
    pub reason: u8,
    /// Whose it was.
    pub cookie: u64,
    /// In seconds; 0 for none.
    pub idle_timeout: u16,
    /// In seconds; 0 for none.
    pub hard_timeout: u16,
    /// At the end.
    pub stats: Stats,
}

const ADD: u8 = 0;
const MODIFY: u8 = 1;
const MODIFY_STRICT: u8 = 2;
const DELETE: u8 = 3;
const DELETE_STRICT: u8 = 4;
/// `OFPTT_ALL`.
pub(super) const ALL_TABLES: u8 = 0xff;
/// `OFP_DEFAULT_PRIORITY`, where none counts.
const NO_PRIORITY: u16 = 0x8000;
/// `OFP_NO_BUFFER`, `OFPP_ANY` and `OFPG_ANY`.
pub(super) const NONE: u32 = u32::MAX;

/// Fails if `value` is not zero, as `what` that is not modelled.
fn must_be_zero(what: &'static str, value: impl Into<u64>) -> Result<(), Fault> {
    match value.into() {
        0 => Ok(()),
        value => Err(Fault::NotModelled { what, value }),
    }
}

/// Fails if `value` is not [`NONE`], as `what` that is not modelled.
pub(super) fn must_be_none(what: &'static str, value: u32) -> Result<(), Fault> {
    if value == NONE { Ok(()) } else { Err(Fault::NotModelled { what, value: value.into() }) }
}

fn put_flow_mod(out: &mut Vec<u8>, command: u8, table: u8, priority: u16, cookies: [u64; 2]) {
    out.put_u64(cookies[0]);
    out.put_u64(cookies[1]);
    out.put(&[table, command, 0, 0, 0, 0]);
    out.put_u16(priority);
    [NONE; 3].into_iter().for_each(|none| out.put_u32(none));
    out.put_u32(0);
}

fn put_whole_flow(out: &mut Vec<u8>, command: u8, flow: &Flow) {
    put_flow_mod(out, command, flow.key.table, flow.key.priority, [flow.body.cookie, 0]);
    put_match(out, &flow.key.matching);
    put_instructions(out, &flow.body.actions);
}

impl FlowMod {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            FlowMod::Add(flow) => put_whole_flow(out, ADD, flow),
            FlowMod::ModifyStrict(flow) => put_whole_flow(out, MODIFY_STRICT, flow),
            FlowMod::DeleteStrict(key) => {
                put_flow_mod(out, DELETE_STRICT, key.table, key.priority, [0, 0]);
                put_wire_match(out, &key.matching);
            }
            FlowMod::Delete(filter) => {
                let table = filter.table.unwrap_or(ALL_TABLES);
                put_flow_mod(out, DELETE, table, NO_PRIORITY, [filter.cookie, filter.cookie_mask]);
                put_match(out, &filter.matching);
            }
        }
    }

    pub(super) fn read(mut from: Reader) -> Result<FlowMod, Fault> {
        let (cookie, cookie_mask) = (from.u64()?, from.u64()?);
        let (table, command) = (from.u8()?, from.u8()?);
        must_be_zero("idle_timeout", from.u16()?)?;
        must_be_zero("hard_timeout", from.u16()?)?;
        let priority = from.u16()?;
        let (buffer, out_port, out_group) = (from.u32()?, from.u32()?, from.u32()?);
        must_be_zero("flow mod flags", from.u16()?)?;
        must_be_zero("importance", from.u16()?)?;
        if matches!(command, ADD | MODIFY_STRICT) {
            must_be_none("buffer", buffer)?;
            let matching = read_match(&mut from)?;
            let key = Arc::new(FlowKey { table, priority, matching });
            let body = Arc::new(FlowBody { cookie, actions: read_instructions(from)? });
            let flow = Flow { key, body };
            return Ok(if command == ADD { FlowMod::Add(flow) } else { FlowMod::ModifyStrict(flow) });
        }
        must_be_none("out_port", out_port)?;
        must_be_none("out_group", out_group)?;
        match command {
            DELETE => {
                let table = (table != ALL_TABLES).then_some(table);
                Ok(FlowMod::Delete(FlowFilter { table, cookie, cookie_mask, matching: read_match(&mut from)? }))
            }
            DELETE_STRICT => {
                must_be_zero("delete_strict with cookie_mask", cookie_mask)?;
                Ok(FlowMod::DeleteStrict(WireKey { table, priority, matching: read_wire_match(&mut from)? }))
            }
            MODIFY => Err(Fault::NotModelled { what: "flow mod command", value: MODIFY.into() }),
            other => Err(Fault::Value { what: "flow mod command", value: other.into() }),
        }
    }
}

impl FlowFilter {
    /// As the body of a multipart request.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.put(&[self.table.unwrap_or(ALL_TABLES), 0, 0, 0]);
        out.put_u32(NONE);
        out.put_u32(NONE);
        out.put_u32(0);
        out.put_u64(self.cookie);
        out.put_u64(self.cookie_mask);
        put_match(out, &self.matching);
    }

    pub(super) fn read(from: &mut Reader) -> Result<FlowFilter, Fault> {
        let table = from.u8()?;
        from.skip(3)?;
        must_be_none("out_port", from.u32()?)?;
        must_be_none("out_group", from.u32()?)?;
        from.skip(4)?;
        let (cookie, cookie_mask) = (from.u64()?, from.u64()?);
        let table = (table != ALL_TABLES).then_some(table);
        Ok(FlowFilter { table, cookie, cookie_mask, matching: read_match(from)? })
    }
}

impl DumpedFlow {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        match &self.body {
            DumpedBody::Foreign { entry, .. } => out.put(entry),
            DumpedBody::Known(body) => {
                out.put_u32(0);
                out.put(&[self.key.table, 0]);
                out.put_u16(self.key.priority);
                out.zeros(8);
                out.put_u64(body.cookie);
                put_wire_match(out, &self.key.matching);
                self.stats.put(out);
                put_instructions(out, &body.actions);
                out.patch_length(start, start);
            }
        }
    }

    pub(super) fn read(list: &mut Reader) -> Result<DumpedFlow, Fault> {
        let length = usize::from({ *list }.u16()?);
        let mut from = list.part("flow description", length)?;
        let entry = from.rest();
        from.skip(4)?;
        let table = from.u8()?;
        from.skip(1)?;
        let priority = from.u16()?;
        let lifetime = [from.u16()?, from.u16()?, from.u16()?, from.u16()?];
        let cookie = from.u64()?;
        let key = WireKey { table, priority, matching: read_wire_match(&mut from)? };
        let stats = Stats::read(&mut from)?;
        let body = match read_body(lifetime, from) {
            Ok(actions) => DumpedBody::Known(FlowBody { cookie, actions }),
            Err(why) => DumpedBody::Foreign { cookie, why, entry: entry.into() },
        };
        Ok(DumpedFlow { key, body, stats })
    }
}

fn read_body(lifetime: [u16; 4], instructions: Reader) -> Result<Actions, Fault> {
    let names = ["idle_timeout", "hard_timeout", "flow flags", "importance"];
    names.into_iter().zip(lifetime).try_for_each(|(what, value)| must_be_zero(what, value))?;
    read_instructions(instructions)
}

impl FlowRemoved {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.put(&[self.key.table, self.reason]);
        [self.key.priority, self.idle_timeout, self.hard_timeout].into_iter().for_each(|value| out.put_u16(value));
        out.put_u64(self.cookie);
        put_wire_match(out, &self.key.matching);
        self.stats.put(out);
    }

    pub(super) fn read(from: &mut Reader) -> Result<FlowRemoved, Fault> {
        let (table, reason) = (from.u8()?, from.u8()?);
        let (priority, idle_timeout, hard_timeout) = (from.u16()?, from.u16()?, from.u16()?);
        let cookie = from.u64()?;
        let key = WireKey { table, priority, matching: read_wire_match(from)? };
        Ok(FlowRemoved { key, reason, cookie, idle_timeout, hard_timeout, stats: Stats::read(from)? })
    }
}

/// `OFPXSC_OPENFLOW_BASIC`.
const STATS_BASIC: u16 = 0x8002;
const DURATION: u8 = 0;
const IDLE: u8 = 1;
const FLOWS: u8 = 3;
const PACKETS: u8 = 4;
const BYTES: u8 = 5;

fn put_stat(out: &mut Vec<u8>, number: u8, value: &[u8]) {
    out.put_u16(STATS_BASIC);
    out.put(&[number << 1, value.len() as u8]);
    out.put(value);
}

fn put_time(out: &mut Vec<u8>, number: u8, time: Duration) {
    let seconds = u64::from(u32::try_from(time.as_secs()).unwrap_or(u32::MAX));
    put_stat(out, number, &(seconds << 32 | u64::from(time.subsec_nanos())).to_be_bytes());
}

impl Stats {
    /// In the order of Open vSwitch.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.put_u32(0);
        self.duration.into_iter().for_each(|time| put_time(out, DURATION, time));
        self.idle.into_iter().for_each(|time| put_time(out, IDLE, time));
        self.packets.into_iter().for_each(|count| put_stat(out, PACKETS, &count.to_be_bytes()));
        self.bytes.into_iter().for_each(|count| put_stat(out, BYTES, &count.to_be_bytes()));
        self.flows.into_iter().for_each(|count| put_stat(out, FLOWS, &count.to_be_bytes()));
        out.patch_length(start + 2, start);
        out.zeros(padding(out.len() - start));
    }

    /// Statistics that are not modelled are passed over.
    pub(super) fn read(from: &mut Reader) -> Result<Stats, Fault> {
        const WHAT: &str = "statistics";
        from.skip(2)?;
        let length = usize::from(from.u16()?);
        let mut fields = from.part(WHAT, length.checked_sub(4).ok_or(Fault::Length { what: WHAT, length })?)?;
        from.skip(padding(length))?;
        let mut stats = Stats::default();
        while !fields.is_empty() {
            let class = fields.u16()?;
            let (number, length) = (fields.u8()? >> 1, usize::from(fields.u8()?));
            let mut value = fields.part(WHAT, length)?;
            match (class, number) {
                (STATS_BASIC, DURATION) => stats.duration = Some(read_time(value)?),
                (STATS_BASIC, IDLE) => stats.idle = Some(read_time(value)?),
                (STATS_BASIC, FLOWS) => stats.flows = Some(value.u32()?),
                (STATS_BASIC, PACKETS) => stats.packets = Some(value.u64()?),
                (STATS_BASIC, BYTES) => stats.bytes = Some(value.u64()?),
                _ => {}
            }
        }
        Ok(stats)
    }
}

fn read_time(mut from: Reader) -> Result<Duration, Fault> {
    Ok(Duration::new(from.u32()?.into(), from.u32()?))
}
