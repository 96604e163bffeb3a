//! Actions, instructions and buckets in bytes (OpenFlow 1.5.1, sections 7.2.4, 7.2.6 and 7.2.8; ovs-actions(7)).
//!
//! Start at [`read_instructions`] and [`put_instructions`].

use super::bytes::{Put, Reader, Refusal, refusal};
use super::oxm;
use crate::switch::model::{Action, Bucket, Field, FieldMatch, Group, GroupType, Subfield, port};
use std::collections::BTreeSet;

const NICIRA: u32 = 0x2320;

/// The instructions of a flow.
pub(super) fn read_instructions(mut from: Reader<'_>) -> Result<Vec<Action>, Refusal> {
    // First all of them, then what is in them: the order in which Open vSwitch finds fault.
    let mut found: [Option<Reader<'_>>; 6] = Default::default();
    while !from.is_empty() {
        let (kind, length) = (from.u16()?, usize::from(from.u16()?));
        let inner = length.checked_sub(4).filter(|_| length % 8 == 0).ok_or(refusal::BAD_INSTRUCTION_LEN)?;
        let body = from.part(inner, refusal::BAD_INSTRUCTION_LEN)?;
        // In the order in which they are carried out (section 5.9).
        let place = match kind {
            4 => 1,
            5 => 2,
            3 => 3,
            2 => 4,
            1 => 5,
            _ => return Err(refusal::BAD_INSTRUCTION),
        };
        if found[place].replace(body).is_some() {
            return Err(refusal::DUPLICATE_INSTRUCTION);
        }
    }
    let mut actions = Vec::new();
    for (place, body) in found.into_iter().enumerate() {
        let Some(mut body) = body else { continue };
        match place {
            1 => {
                body.take(4)?;
                actions.extend(read_actions(body)?);
            }
            2 => actions.push(Action::ClearActions),
            3 => {
                body.take(4)?;
                actions.push(Action::WriteActions(read_actions(body)?));
            }
            4 => {
                body.take(4)?;
                actions.push(Action::WriteMetadata { value: body.u64()?, mask: body.u64()? });
            }
            _ => actions.push(Action::GotoTable(body.u8()?)),
        }
    }
    Ok(actions)
}

/// A bare list of actions.
pub(super) fn read_actions(mut from: Reader<'_>) -> Result<Vec<Action>, Refusal> {
    let mut actions = Vec::new();
    while !from.is_empty() {
        let (kind, length) = (from.u16()?, usize::from(from.u16()?));
        let inner = length.checked_sub(4).filter(|_| length % 8 == 0).ok_or(refusal::BAD_ACTION_LEN)?;
        let body = from.part(inner, refusal::BAD_ACTION_LEN)?;
        actions.push(if kind == 0xffff { read_nicira(body)? } else { read_action(kind, body)? });
    }
    Ok(actions)
}

fn read_action(kind: u16, mut body: Reader<'_>) -> Result<Action, Refusal> {
    Ok(match kind {
        0 => {
            let (port, max_len) = (body.u32()?, body.u16()?);
            let lawful = (1..=port::MAX).contains(&port) || (port::IN_PORT..=port::LOCAL).contains(&port);
            lawful.then_some(()).ok_or(refusal::BAD_OUT_PORT)?;
            Action::Output { port, max_len }
        }
        17 => match body.u16()? {
            tag @ (0x8100 | 0x88a8) => Action::PushVlan(tag),
            _ => return Err(refusal::BAD_ARGUMENT),
        },
        18 => Action::PopVlan,
        21 => Action::SetQueue(body.u32()?),
        22 => Action::Group(body.u32()?),
        23 => Action::SetTtl(body.u8()?),
        24 => Action::DecTtl(vec![0]),
        25 => Action::Set(in_one_spelling(oxm::read_field(&mut body)?)),
        28 => {
            let (bits, from_offset, to_offset) = (body.u16()?, body.u16()?, body.u16()?);
            body.take(2)?;
            let (from, to) = (oxm::read_header(&mut body)?, oxm::read_header(&mut body)?);
            moved(from, from_offset, to, to_offset, bits)?
        }
        29 => Action::Meter(body.u32()?),
        _ => return Err(refusal::BAD_ACTION),
    })
}

/// Sets of a tag's identifier are kept as they are read by flows.
fn in_one_spelling(set: FieldMatch) -> FieldMatch {
    match set.field {
        Field::VlanVid => FieldMatch { field: Field::VlanTci, ..set },
        _ => set,
    }
}

fn moved(from: Field, from_offset: u16, to: Field, to_offset: u16, bits: u16) -> Result<Action, Refusal> {
    let part = |field: Field, offset: u16| {
        let fits = bits > 0 && u32::from(offset) + u32::from(bits) <= field.bits();
        fits.then_some(Subfield { field, offset, bits }).ok_or(refusal::BAD_ARGUMENT)
    };
    Ok(Action::Move { from: part(from, from_offset)?, to: part(to, to_offset)? })
}

/// Nicira's own, as far as this switch knows them.
fn read_nicira(mut body: Reader<'_>) -> Result<Action, Refusal> {
    if body.u32()? != NICIRA {
        return Err(refusal::BAD_EXPERIMENTER_ACTION);
    }
    // A port of 16 bits; the reserved ones are the highest.
    let wide = |number: u16| if number >= 0xff00 { 0xffff_0000 | u32::from(number) } else { u32::from(number) };
    Ok(match body.u16()? {
        1 => Action::Resubmit { in_port: Some(wide(body.u16()?)), table: None, original_tuple: false },
        14 => {
            let (in_port, table) = (wide(body.u16()?), body.u8()?);
            let in_port = (in_port != port::IN_PORT).then_some(in_port);
            Action::Resubmit { in_port, table: (table != 0xff).then_some(table), original_tuple: false }
        }
        6 => {
            let (bits, from_offset, to_offset) = (body.u16()?, body.u16()?, body.u16()?);
            let (from, to) = (oxm::read_header(&mut body)?, oxm::read_header(&mut body)?);
            moved(from, from_offset, to, to_offset, bits)?
        }
        7 => {
            let place = body.u16()?;
            let field = oxm::read_header(&mut body)?;
            let (offset, bits) = (place >> 6, (place & 0x3f) + 1);
            if u32::from(offset) + u32::from(bits) > field.bits() {
                return Err(refusal::BAD_ARGUMENT);
            }
            let mask = (u128::MAX >> (128 - u32::from(bits))) << offset;
            let value = u128::from(body.u64()?) << offset;
            Action::Set(in_one_spelling(FieldMatch { field, value: value & mask, mask }))
        }
        8 => Action::Note(body.rest().to_vec()),
        15 => {
            let place = body.u16()?;
            let field = oxm::read_header(&mut body)?;
            let source = Subfield { field, offset: place >> 6, bits: (place & 0x3f) + 1 };
            Action::OutputReg { source, max_len: body.u16()? }
        }
        17 => Action::Exit,
        18 => Action::DecTtl(vec![0]),
        34 => {
            let (clause, clauses, id) = (body.u8()?, body.u8()?, body.u32()?);
            let lawful = (2..=64).contains(&clauses) && clause < clauses;
            lawful.then_some(Action::Conjunction { id, clause, clauses }).ok_or(refusal::BAD_ARGUMENT)?
        }
        43 => Action::CtClear,
        _ => return Err(refusal::BAD_EXPERIMENTER_TYPE),
    })
}

/// Buckets, up to the end. Those of a group that selects weigh one if nothing is said.
pub(super) fn read_buckets(mut from: Reader<'_>, selects: bool) -> Result<Vec<Bucket>, Refusal> {
    let mut buckets: Vec<Bucket> = Vec::new();
    while !from.is_empty() {
        let (length, actions, id) = (usize::from(from.u16()?), usize::from(from.u16()?), from.u32()?);
        let inner = length.checked_sub(8).filter(|inner| actions <= *inner).ok_or(refusal::BAD_BUCKET)?;
        let mut body = from.part(inner, refusal::BAD_BUCKET)?;
        let actions = read_actions(body.part(actions, refusal::BAD_ACTION_LEN)?)?;
        let mut bucket =
            Bucket { id, weight: u16::from(selects), watch_port: port::ANY, watch_group: u32::MAX, actions };
        while !body.is_empty() {
            let (kind, length) = (body.u16()?, usize::from(body.u16()?));
            let mut property = body.part(length.checked_sub(4).ok_or(refusal::BAD_BUCKET)?, refusal::BAD_BUCKET)?;
            match kind {
                0 => bucket.weight = property.u16()?,
                1 => bucket.watch_port = property.u32()?,
                2 => bucket.watch_group = property.u32()?,
                _ => return Err(refusal::BAD_BUCKET),
            }
        }
        if id > 0xffff_ff00 {
            return Err(refusal::BAD_BUCKET);
        }
        buckets.push(bucket);
    }
    let ids: BTreeSet<u32> = buckets.iter().map(|bucket| bucket.id).collect();
    if ids.len() < buckets.len() { Err(refusal::BAD_BUCKET) } else { Ok(buckets) }
}

/// The instructions of a flow.
pub(super) fn put_instructions(out: &mut Vec<u8>, actions: &[Action]) {
    let is_instruction = |action: &Action| {
        matches!(
            action,
            Action::GotoTable(_) | Action::WriteActions(_) | Action::ClearActions | Action::WriteMetadata { .. }
        )
    };
    let applied: Vec<&Action> = actions.iter().filter(|action| !is_instruction(action)).collect();
    if !applied.is_empty() {
        put_counted(out, 4, |out| {
            out.put(0_u32, 4);
            applied.iter().for_each(|action| put_action(out, action));
        });
    }
    for instruction in actions.iter().filter(|action| is_instruction(action)) {
        match instruction {
            Action::GotoTable(table) => put_counted(out, 1, |out| out.put(u32::from(*table) << 24, 4)),
            // What writes nothing is kept, and not said.
            Action::WriteActions(actions) if actions.is_empty() => {}
            Action::WriteActions(actions) => put_counted(out, 3, |out| {
                out.put(0_u32, 4);
                actions.iter().for_each(|action| put_action(out, action));
            }),
            Action::ClearActions => put_counted(out, 5, |out| out.put(0_u32, 4)),
            Action::WriteMetadata { value, mask } => put_counted(out, 2, |out| {
                out.put(0_u32, 4);
                out.put(*value, 8);
                out.put(*mask, 8);
            }),
            _ => {}
        }
    }
}

/// Something with its type and length in front, padded to eight bytes.
fn put_counted(out: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.put(kind, 2);
    out.put(0_u16, 2);
    body(out);
    out.pad(start, 8);
    let length = out.len() - start;
    out.patch_u16(start + 2, length);
}

fn put_nicira(out: &mut Vec<u8>, subtype: u16, body: impl FnOnce(&mut Vec<u8>)) {
    put_counted(out, 0xffff, |out| {
        out.put(NICIRA, 4);
        out.put(subtype, 2);
        body(out);
    });
}

fn put_action(out: &mut Vec<u8>, action: &Action) {
    match action {
        Action::Output { port, max_len } => put_counted(out, 0, |out| {
            out.put(*port, 4);
            out.put(*max_len, 2);
            out.put(0_u64, 6);
        }),
        Action::Group(group) => put_counted(out, 22, |out| out.put(*group, 4)),
        Action::Set(set) => put_counted(out, 25, |out| {
            let vlan = set.field == Field::VlanTci && set.mask & !0x1fff == 0;
            let field = if vlan { Field::VlanVid } else { set.field };
            oxm::put_field(out, FieldMatch { field, ..*set });
        }),
        Action::Move { from, to } => put_counted(out, 28, |out| {
            [from.bits, from.offset, to.offset, 0].into_iter().for_each(|number| out.put(number, 2));
            oxm::put_header(out, from.field);
            oxm::put_header(out, to.field);
            out.put(0_u32, 4);
        }),
        Action::Resubmit { in_port, table, .. } => put_nicira(out, 14, |out| {
            out.put(in_port.unwrap_or(port::IN_PORT) as u16, 2);
            out.put(table.unwrap_or(0xff), 1);
            out.put(0_u32, 3);
        }),
        Action::PushVlan(tag) => put_counted(out, 17, |out| out.put(*tag, 2)),
        Action::PopVlan => put_counted(out, 18, |out| out.put(0_u32, 4)),
        Action::SetQueue(queue) => put_counted(out, 21, |out| out.put(*queue, 4)),
        Action::SetTtl(ttl) => put_counted(out, 23, |out| out.put(u32::from(*ttl) << 24, 4)),
        Action::DecTtl(_) => put_counted(out, 24, |out| out.put(0_u32, 4)),
        Action::Meter(meter) => put_counted(out, 29, |out| out.put(*meter, 4)),
        Action::Note(bytes) => put_nicira(out, 8, |out| out.extend_from_slice(bytes)),
        Action::Exit => put_nicira(out, 17, |out| out.put(0_u64, 6)),
        Action::CtClear => put_nicira(out, 43, |out| out.put(0_u64, 6)),
        Action::OutputReg { source, max_len } => put_nicira(out, 15, |out| {
            out.put(source.offset << 6 | (source.bits - 1), 2);
            oxm::put_header(out, source.field);
            out.put(*max_len, 2);
            out.put(0_u64, 6);
        }),
        Action::Conjunction { id, clause, clauses } => put_nicira(out, 34, |out| {
            out.put(*clause, 1);
            out.put(*clauses, 1);
            out.put(*id, 4);
        }),
        // What cannot be read cannot be in a table.
        other => unreachable!("{other:?} is never read, so never written"),
    }
}

/// Buckets as a description lists them.
pub(super) fn put_buckets(out: &mut Vec<u8>, group: &Group) {
    for bucket in &group.buckets {
        let start = out.len();
        out.put(0_u32, 4);
        out.put(bucket.id, 4);
        bucket.actions.iter().for_each(|action| put_action(out, action));
        let actions = out.len() - start - 8;
        out.patch_u16(start + 2, actions);
        if bucket.weight != 0 || group.kind == GroupType::Select {
            put_counted(out, 0, |out| out.put(bucket.weight, 2));
        }
        if bucket.watch_port != port::ANY {
            put_counted(out, 1, |out| out.put(bucket.watch_port, 4));
        }
        if bucket.watch_group != u32::MAX {
            put_counted(out, 2, |out| out.put(bucket.watch_group, 4));
        }
        let length = out.len() - start;
        out.patch_u16(start, length);
    }
}
