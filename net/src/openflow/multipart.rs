//! Requests whose answer may take several messages. Section 7.3.5.
//!
//! An answer ends with the first reply whose `more` is false. Start at [`Request`] and [`Reply`].

use super::error::Fault;
use super::flows::{ALL_TABLES, DumpedFlow, FlowFilter, NONE, Stats, must_be_none};
use super::groups::{ALL_GROUPS, DumpedGroup};
use super::message::Xid;
use super::oxm::{put_match, read_match};
use super::ports::{Port, read_text};
use super::wire::{Put, Reader};
use selvedge_core::flow::{GroupId, Match};
use selvedge_core::ids::OfPort;

/// What a controller asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// What the switch is.
    Description,
    /// Flows.
    Flows(FlowFilter),
    /// The sum over flows.
    Aggregate(FlowFilter),
    /// One group, or all.
    Groups(Option<GroupId>),
    /// One port, or all.
    Ports(Option<OfPort>),
    /// Tell from now on of every flow that somebody adds, changes or removes; what this connection does itself is told
    /// of by its xid alone. The number names the monitor.
    WatchFlows(u32),
}

/// What a switch answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// What the switch is.
    Description(Description),
    /// Flows.
    Flows(Vec<DumpedFlow>),
    /// The sum over flows.
    Aggregate(Stats),
    /// Groups.
    Groups(Vec<DumpedGroup>),
    /// Ports.
    Ports(Vec<Port>),
    /// What became of flows. Also sent unasked, while there is a monitor.
    FlowsChanged(Vec<FlowUpdate>),
}

/// What became of a flow (OpenFlow 1.5.1, section 7.3.5.18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowUpdate {
    /// Somebody else added, changed or removed one. Which one is not modelled: who must know asks for all flows.
    Foreign,
    /// This connection changed flows, by the message with this xid.
    Own(Xid),
    /// So much changed that the switch stopped telling.
    Paused,
    /// It tells again; what changed in between was told of before this.
    Resumed,
}

/// What the switch is, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// At most 255 bytes, as all but the serial number.
    pub manufacturer: String,
    /// What it runs on.
    pub hardware: String,
    /// What it runs; the version of Open vSwitch.
    pub software: String,
    /// At most 31 bytes.
    pub serial_number: String,
    /// What its administrator calls it.
    pub datapath: String,
}

const DESCRIPTION: u16 = 0;
/// `OFPMP_FLOW_DESC`.
const FLOWS: u16 = 1;
const AGGREGATE: u16 = 2;
/// `OFPMP_GROUP_DESC`.
const GROUPS: u16 = 7;
/// `OFPMP_PORT_DESC`.
const PORTS: u16 = 13;
/// `OFPMP_FLOW_MONITOR`.
const FLOW_MONITOR: u16 = 16;
/// `OFPFMF_ADD`, `OFPFMF_REMOVED`, `OFPFMF_MODIFY`.
const ALL_CHANGES: u16 = 0b1110;
/// `OFPMPF_REQ_MORE` and `OFPMPF_REPLY_MORE`.
const MORE: u16 = 1;

/// Whether a type of multipart message is modelled.
pub(super) fn is_modelled(kind: u16) -> bool {
    [DESCRIPTION, FLOWS, AGGREGATE, GROUPS, PORTS, FLOW_MONITOR].contains(&kind)
}

fn put_header(out: &mut Vec<u8>, kind: u16, flags: u16) {
    out.put_u16(kind);
    out.put_u16(flags);
    out.put_u32(0);
}

/// Type and flags.
fn read_header(from: &mut Reader) -> Result<(u16, u16), Fault> {
    let (kind, flags) = (from.u16()?, from.u16()?);
    from.skip(4)?;
    Ok((kind, flags))
}

fn put_number(out: &mut Vec<u8>, number: u32) {
    out.put_u32(number);
    out.put_u32(0);
}

fn read_number(from: &mut Reader, all: u32) -> Result<Option<u32>, Fault> {
    let number = from.u32()?;
    from.skip(4)?;
    Ok((number != all).then_some(number))
}

impl Request {
    fn kind(&self) -> u16 {
        match self {
            Request::Description => DESCRIPTION,
            Request::Flows(_) => FLOWS,
            Request::Aggregate(_) => AGGREGATE,
            Request::Groups(_) => GROUPS,
            Request::Ports(_) => PORTS,
            Request::WatchFlows(_) => FLOW_MONITOR,
        }
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_header(out, self.kind(), 0);
        match self {
            Request::Description => {}
            Request::Flows(filter) | Request::Aggregate(filter) => filter.put(out),
            Request::Groups(group) => put_number(out, group.map_or(ALL_GROUPS, |group| group.0)),
            Request::Ports(port) => put_number(out, port.map_or(NONE, |port| port.0)),
            Request::WatchFlows(monitor) => put_watch(out, *monitor),
        }
    }

    /// A request in several messages is none of those modelled.
    pub(super) fn read(from: &mut Reader) -> Result<Request, Fault> {
        match read_header(from)? {
            (_, flags) if flags & MORE != 0 => {
                Err(Fault::NotModelled { what: "a request in parts, flags", value: flags.into() })
            }
            (DESCRIPTION, _) => Ok(Request::Description),
            (FLOWS, _) => FlowFilter::read(from).map(Request::Flows),
            (AGGREGATE, _) => FlowFilter::read(from).map(Request::Aggregate),
            (GROUPS, _) => Ok(Request::Groups(read_number(from, ALL_GROUPS)?.map(GroupId))),
            (PORTS, _) => Ok(Request::Ports(read_number(from, NONE)?.map(OfPort))),
            (FLOW_MONITOR, _) => read_watch(from).map(Request::WatchFlows),
            (kind, _) => Err(Fault::NotModelled { what: "multipart type", value: kind.into() }),
        }
    }
}

impl Reply {
    fn kind(&self) -> u16 {
        match self {
            Reply::Description(_) => DESCRIPTION,
            Reply::Flows(_) => FLOWS,
            Reply::Aggregate(_) => AGGREGATE,
            Reply::Groups(_) => GROUPS,
            Reply::Ports(_) => PORTS,
            Reply::FlowsChanged(_) => FLOW_MONITOR,
        }
    }

    pub(super) fn put(&self, more: bool, out: &mut Vec<u8>) {
        put_header(out, self.kind(), if more { MORE } else { 0 });
        match self {
            Reply::Description(description) => description.put(out),
            Reply::Flows(flows) => flows.iter().for_each(|flow| flow.put(out)),
            Reply::Aggregate(stats) => stats.put(out),
            Reply::Groups(groups) => groups.iter().for_each(|group| group.put(out)),
            Reply::Ports(ports) => ports.iter().for_each(|port| port.put(out)),
            Reply::FlowsChanged(updates) => updates.iter().for_each(|update| update.put(out)),
        }
    }

    /// Returns whether more follows, too.
    pub(super) fn read(from: &mut Reader) -> Result<(bool, Reply), Fault> {
        let (kind, flags) = read_header(from)?;
        let reply = match kind {
            DESCRIPTION => Reply::Description(Description::read(from)?),
            FLOWS => Reply::Flows(read_list(from, DumpedFlow::read)?),
            AGGREGATE => Reply::Aggregate(Stats::read(from)?),
            GROUPS => Reply::Groups(read_list(from, DumpedGroup::read)?),
            PORTS => Reply::Ports(read_list(from, Port::read)?),
            FLOW_MONITOR => Reply::FlowsChanged(read_list(from, FlowUpdate::read)?),
            kind => return Err(Fault::NotModelled { what: "multipart type", value: kind.into() }),
        };
        Ok((flags & MORE != 0, reply))
    }
}

/// All flows of all tables, all changes, abbreviated.
fn put_watch(out: &mut Vec<u8>, monitor: u32) {
    out.put_u32(monitor);
    out.put_u32(NONE);
    out.put_u32(NONE);
    out.put_u16(ALL_CHANGES);
    out.put_u8(ALL_TABLES);
    out.put_u8(0);
    put_match(out, &Match::any());
}

fn read_watch(from: &mut Reader) -> Result<u32, Fault> {
    let monitor = from.u32()?;
    must_be_none("out_port of a monitor", from.u32()?)?;
    must_be_none("out_group of a monitor", from.u32()?)?;
    let (flags, table, command) = (from.u16()?, from.u8()?, from.u8()?);
    match (flags, table, command, read_match(from)? == Match::any()) {
        (ALL_CHANGES, ALL_TABLES, 0, true) => Ok(monitor),
        _ => Err(Fault::NotModelled { what: "a monitor of some flows or changes, flags", value: flags.into() }),
    }
}

/// Of an update: its length, its event, and the rest of the first eight bytes.
const UPDATE_HEADER: usize = 8;
const ABBREVIATED: u16 = 4;
const PAUSED: u16 = 5;
const RESUMED: u16 = 6;

impl FlowUpdate {
    fn put(self, out: &mut Vec<u8>) {
        let (event, rest) = match self {
            FlowUpdate::Own(xid) => (ABBREVIATED, xid.0),
            FlowUpdate::Paused => (PAUSED, 0),
            FlowUpdate::Resumed => (RESUMED, 0),
            // A whole flow that was removed: table 0, no match.
            FlowUpdate::Foreign => {
                out.put_u16(24 + 8);
                out.put_u16(2);
                out.zeros(20);
                return put_match(out, &Match::any());
            }
        };
        out.put_u16(UPDATE_HEADER as u16);
        out.put_u16(event);
        out.put_u32(rest);
    }

    fn read(from: &mut Reader) -> Result<FlowUpdate, Fault> {
        let (length, event) = (usize::from(from.u16()?), from.u16()?);
        let rest = length.checked_sub(UPDATE_HEADER);
        let rest = rest.ok_or(Fault::Value { what: "length of a flow update", value: length as u64 })?;
        let xid = from.u32()?;
        from.skip(rest)?;
        Ok(match event {
            ABBREVIATED => FlowUpdate::Own(Xid(xid)),
            PAUSED => FlowUpdate::Paused,
            RESUMED => FlowUpdate::Resumed,
            0..ABBREVIATED => FlowUpdate::Foreign,
            other => return Err(Fault::Value { what: "event of a flow update", value: other.into() }),
        })
    }
}

/// Each item takes some bytes or fails, so the list is no longer than the message.
fn read_list<'a, T>(
    from: &mut Reader<'a>,
    read: impl Fn(&mut Reader<'a>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let mut list = Vec::new();
    while !from.is_empty() {
        list.push(read(from)?);
    }
    Ok(list)
}

impl Description {
    const LENGTHS: [usize; 5] = [256, 256, 256, 32, 256];

    fn put(&self, out: &mut Vec<u8>) {
        let texts = [&self.manufacturer, &self.hardware, &self.software, &self.serial_number, &self.datapath];
        for (text, length) in texts.into_iter().zip(Description::LENGTHS) {
            let text = &text.as_bytes()[..text.len().min(length - 1)];
            out.put(text);
            out.zeros(length - text.len());
        }
    }

    fn read(from: &mut Reader) -> Result<Description, Fault> {
        let mut texts: [String; 5] = Default::default();
        for (text, length) in texts.iter_mut().zip(Description::LENGTHS) {
            *text = read_text(from.take(length)?);
        }
        let [manufacturer, hardware, software, serial_number, datapath] = texts;
        Ok(Description { manufacturer, hardware, software, serial_number, datapath })
    }
}
