//! What a switch tells of itself: descriptions of flows, groups and ports (OpenFlow 1.5.1, section 7.3.5). Start at
//! [`parts`].

use super::actions::{put_buckets, put_instructions};
use super::bytes::{Put, Reader, Refusal, refusal};
use super::oxm::{put_match, read_match};
use crate::switch::datapath::{Bridge, Entry, Port, Selector};
use crate::switch::model::port;
use std::time::Duration;

const DESCRIPTION: u16 = 0;
const FLOWS: u16 = 1;
const AGGREGATE: u16 = 2;
const GROUPS: u16 = 7;
const TABLE_FEATURES: u16 = 12;
const PORTS: u16 = 13;
/// Most bytes of one part of an answer.
const PART_MAX: usize = 60_000;

/// The parts of the answer to a multipart request of a kind; none if the kind is not one that is answered here.
pub(super) fn parts(
    now: Duration,
    kind: u16,
    body: Reader<'_>,
    bridge: &Bridge,
) -> Result<Option<Vec<Vec<u8>>>, Refusal> {
    let items: Vec<Vec<u8>> = match kind {
        DESCRIPTION => vec![description()],
        FLOWS => flows(now, body, bridge)?,
        AGGREGATE => vec![aggregate(body, bridge)?],
        GROUPS => groups(body, bridge)?,
        PORTS => ports(body, bridge)?,
        TABLE_FEATURES => (0..=TABLE_MAX).map(table_features).collect(),
        _ => return Ok(None),
    };
    let mut parts = vec![Vec::new()];
    for item in items {
        if parts.last().is_some_and(|part: &Vec<u8>| part.len() + item.len() > PART_MAX) {
            parts.push(Vec::new());
        }
        parts.last_mut().expect("there is one").extend(item);
    }
    Ok(Some(parts))
}

/// The last table of a bridge: of 255, Open vSwitch keeps one for itself.
const TABLE_MAX: u8 = 253;

/// A table, by what tools ask for: its number and name (section 7.3.5.18.1). Its properties are left out.
fn table_features(table: u8) -> Vec<u8> {
    let mut out = Vec::new();
    out.put(64_u16, 2);
    out.put(table, 1);
    out.put(0_u8, 1);
    out.put(0_u32, 4);
    out.extend_from_slice(format!("table{table}").as_bytes());
    out.resize(40, 0);
    // Which bits of metadata can be matched and written: all.
    out.put(u64::MAX, 8);
    out.put(u64::MAX, 8);
    out.put(0_u32, 4);
    out.put(1_000_000_u32, 4);
    out
}

fn description() -> Vec<u8> {
    let mut out = Vec::new();
    let texts = [("Nicira, Inc.", 256), ("Open vSwitch", 256), ("3.1.0", 256), ("None", 32), ("None", 256)];
    for (text, length) in texts {
        let start = out.len();
        out.extend_from_slice(text.as_bytes());
        out.resize(start + length, 0);
    }
    out
}

/// Which flows a request is about.
fn selector(mut body: Reader<'_>) -> Result<Selector, Refusal> {
    let table = body.u8()?;
    body.take(3)?;
    let (out_port, out_group) = (body.u32()?, body.u32()?);
    body.take(4)?;
    let (cookie, cookie_mask) = (body.u64()?, body.u64()?);
    Ok(Selector {
        table: (table != 0xff).then_some(table),
        matching: read_match(&mut body)?,
        strict_priority: None,
        cookie,
        cookie_mask,
        out_port: (out_port != port::ANY).then_some(out_port),
        out_group: (out_group != u32::MAX).then_some(out_group),
    })
}

fn selected<'b>(body: Reader<'_>, bridge: &'b Bridge) -> Result<Vec<&'b Entry>, Refusal> {
    let tables = &bridge.program().tables;
    Ok(tables.find(&selector(body)?).into_iter().filter_map(|id| tables.get(id)).collect())
}

fn flows(now: Duration, body: Reader<'_>, bridge: &Bridge) -> Result<Vec<Vec<u8>>, Refusal> {
    Ok(selected(body, bridge)?.into_iter().map(|entry| flow(now, entry)).collect())
}

fn flow(now: Duration, entry: &Entry) -> Vec<u8> {
    let flow = &entry.flow;
    let mut out = Vec::new();
    out.put(0_u32, 4);
    out.put(flow.table, 1);
    out.put(0_u8, 1);
    for number in [flow.priority, flow.idle_timeout, flow.hard_timeout, flow.flags, flow.importance] {
        out.put(number, 2);
    }
    out.put(flow.cookie, 8);
    put_match(&mut out, &flow.matching);
    put_statistics(&mut out, now, entry, Some(now - entry.used));
    put_instructions(&mut out, &flow.actions);
    let length = out.len();
    out.patch_u16(0, length);
    out
}

/// A flow that is gone, as who asked for it is told (section 7.4.2).
pub(super) fn removed(now: Duration, entry: &Entry, reason: u8) -> Vec<u8> {
    let flow = &entry.flow;
    let mut out = vec![flow.table, reason];
    [flow.priority, flow.idle_timeout, flow.hard_timeout].into_iter().for_each(|number| out.put(number, 2));
    out.put(flow.cookie, 8);
    put_match(&mut out, &flow.matching);
    put_statistics(&mut out, now, entry, None);
    out
}

/// Statistics (section 7.2.4.1), with how long no packet came if that is given.
fn put_statistics(out: &mut Vec<u8>, now: Duration, entry: &Entry, idle: Option<Duration>) {
    let start = out.len();
    out.put(0_u32, 4);
    let time = |span: Duration| u128::from(span.as_secs()) << 32 | u128::from(span.subsec_nanos());
    let ages = [Some((0_u8, time(now - entry.created))), idle.map(|idle| (1, time(idle)))];
    let counts = [(4, u128::from(entry.packets)), (5, u128::from(entry.bytes))];
    for (number, value) in ages.into_iter().flatten().chain(counts) {
        out.put(0x8002_u16, 2);
        out.put(number << 1, 1);
        out.put(8_u8, 1);
        out.put(value, 8);
    }
    let length = out.len() - start;
    out.patch_u16(start + 2, length);
    out.pad(start, 8);
}

fn aggregate(body: Reader<'_>, bridge: &Bridge) -> Result<Vec<u8>, Refusal> {
    let entries = selected(body, bridge)?;
    let mut out = Vec::new();
    out.put(0_u32, 4);
    let sums = [
        (4_u8, 8, entries.iter().map(|entry| u128::from(entry.packets)).sum::<u128>()),
        (5, 8, entries.iter().map(|entry| u128::from(entry.bytes)).sum()),
        (3, 4, entries.len() as u128),
    ];
    for (number, bytes, value) in sums {
        out.put(0x8002_u16, 2);
        out.put(number << 1, 1);
        out.put(bytes as u8, 1);
        out.put(value, bytes);
    }
    let length = out.len();
    out.patch_u16(2, length);
    out.pad(0, 8);
    Ok(out)
}

/// A group whose buckets are longer than 64 KiB goes in, bucket by bucket, and cannot be described: Open vSwitch 3.1
/// sends it whole, with lengths modulo 65,536, so that what follows on the connection is no message any more.
fn groups(mut body: Reader<'_>, bridge: &Bridge) -> Result<Vec<Vec<u8>>, Refusal> {
    let wanted = body.u32()?;
    let found = bridge.program().groups.iter().filter(|(id, _)| wanted == 0xffff_fffc || *id == wanted);
    let one = |(id, entry): (u32, &crate::switch::datapath::GroupEntry)| {
        let mut out = Vec::new();
        out.put(0_u16, 2);
        out.put(entry.group.kind as u8, 1);
        out.put(0_u8, 1);
        out.put(id, 4);
        out.put(0_u64, 8);
        put_buckets(&mut out, &entry.group);
        let (length, buckets) = (out.len(), out.len() - 16);
        out.patch_wrapping(0, length);
        out.patch_wrapping(8, buckets);
        out
    };
    Ok(found.map(one).collect())
}

fn ports(mut body: Reader<'_>, bridge: &Bridge) -> Result<Vec<Vec<u8>>, Refusal> {
    let wanted = body.u32().map_err(|_| refusal::BAD_LEN)?;
    let found = bridge.ports().filter(|known| wanted == port::ANY || known.number == wanted);
    Ok(found.map(port_description).collect())
}

/// A port, as descriptions and notices have it (section 7.2.1).
pub(super) fn port_description(known: &Port) -> Vec<u8> {
    let mut out = Vec::new();
    out.put(known.number, 4);
    out.put(0_u32, 4);
    out.extend_from_slice(&known.mac);
    out.put(0_u16, 2);
    let mut name = known.name.as_bytes()[..known.name.len().min(15)].to_vec();
    name.resize(16, 0);
    out.extend(name);
    out.put(known.config | u32::from(!known.is_up), 4);
    out.put(u32::from(!known.has_link) | u32::from(known.is_live()) << 2, 4);
    // The property of Ethernet ports: nothing is said of speeds.
    out.put(0_u16, 2);
    out.put(32_u16, 2);
    out.put(0_u64, 4);
    [0_u64; 3].into_iter().for_each(|none| out.put(none, 8));
    let length = out.len();
    out.patch_u16(4, length);
    out
}
