//! Requests whose answer may take several messages. Section 7.3.5.
//!
//! An answer ends with the first reply whose `more` is false. Start at [`Request`] and [`Reply`].

use super::error::Fault;
use super::flows::{DumpedFlow, FlowFilter, NONE, Stats};
use super::groups::{ALL_GROUPS, DumpedGroup};
use super::ports::{Port, read_text};
use super::wire::{Put, Reader};
use selvedge_core::flow::GroupId;
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
/// `OFPMPF_REQ_MORE` and `OFPMPF_REPLY_MORE`.
const MORE: u16 = 1;

/// Whether a type of multipart message is modelled.
pub(super) fn is_modelled(kind: u16) -> bool {
    [DESCRIPTION, FLOWS, AGGREGATE, GROUPS, PORTS].contains(&kind)
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
        }
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_header(out, self.kind(), 0);
        match self {
            Request::Description => {}
            Request::Flows(filter) | Request::Aggregate(filter) => filter.put(out),
            Request::Groups(group) => put_number(out, group.map_or(ALL_GROUPS, |group| group.0)),
            Request::Ports(port) => put_number(out, port.map_or(NONE, |port| port.0)),
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
            kind => return Err(Fault::NotModelled { what: "multipart type", value: kind.into() }),
        };
        Ok((flags & MORE != 0, reply))
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
