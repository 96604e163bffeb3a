//! The learn action: a flow made from a packet.
//!
//! Not understood: `fin_idle_timeout` and `fin_hard_timeout`, `limit`, and deleting what was learnt with its teacher.

use super::super::model::{Action, FieldMatch, Flow, Learn, LearnSource, LearnTarget, Match, Subfield, port};
use super::super::packet::Key;

/// `NX_LEARN_F_SEND_FLOW_REM`, and `OFPFF_SEND_FLOW_REM`, which it becomes.
const TELL_WHEN_GONE: u16 = 1;

/// The flow that a packet teaches.
pub fn flow(learn: &Learn, key: &Key) -> Flow {
    let mut matching: Vec<FieldMatch> = Vec::new();
    let mut actions = Vec::new();
    for spec in &learn.specs {
        let value = match spec.source {
            LearnSource::Field(part) => key.read(Subfield { bits: spec.bits, ..part }),
            LearnSource::Value(value) => value,
        };
        match spec.target {
            LearnTarget::Match(part) => add(&mut matching, bits(part, spec.bits, value)),
            LearnTarget::Load(part) => actions.push(Action::Set(bits(part, spec.bits, value))),
            LearnTarget::Output => actions.extend(output(value)),
        }
    }
    matching.sort();
    Flow {
        table: learn.table,
        priority: learn.priority,
        matching: Match(matching),
        cookie: learn.cookie,
        actions,
        idle_timeout: learn.idle_timeout,
        hard_timeout: learn.hard_timeout,
        flags: learn.flags & TELL_WHEN_GONE,
        importance: 0,
    }
}

fn bits(part: Subfield, count: u16, value: u128) -> FieldMatch {
    let shift = u32::from(part.offset.min(127));
    let ones = 1u128.checked_shl(count.into()).map_or(u128::MAX, |beyond| beyond - 1);
    let mask = (ones << shift) & part.field.full_mask();
    FieldMatch { field: part.field, value: (value << shift) & mask, mask }
}

/// Joins bits of one field.
fn add(matching: &mut Vec<FieldMatch>, new: FieldMatch) {
    match matching.iter_mut().find(|old| old.field == new.field) {
        Some(old) => {
            old.value = (old.value & !new.mask) | new.value;
            old.mask |= new.mask;
        }
        None => matching.push(new),
    }
}

/// An output, if the port is one that a learnt flow may send to. It is of 16 bits, as OpenFlow 1.0 has them.
fn output(value: u128) -> Option<Action> {
    let number = u16::try_from(value).ok()?;
    let port = wide_port(number);
    let is_allowed = port < port::MAX || matches!(port, port::IN_PORT | port::FLOOD | port::LOCAL | port::ALL);
    is_allowed.then_some(Action::Output { port, max_len: 0 })
}

/// A port number of 32 bits from one of 16, in which reserved ports are 0xff00 and up.
pub fn wide_port(number: u16) -> u32 {
    u32::from(number) | if number >= 0xff00 { 0xffff_0000 } else { 0 }
}
