//! What flows and buckets do, in bytes: actions and instructions.
//!
//! A flow's [`Actions`] are one APPLY_ACTIONS instruction and, for [`Action::Goto`], one GOTO_TABLE; a bucket's are a
//! bare list. Sections 7.2.6 and 7.2.8 (copy_field is 1.5's); resubmit is Nicira's, see ovs-actions(7).
//! Start at `put_instructions` and `read_instructions`.

use super::error::Fault;
use super::oxm;
use super::ports::CONTROLLER;
use super::wire::{Put, Reader, padding};
use selvedge_core::flow::{Action, Actions, Field, GroupId};
use selvedge_core::ids::OfPort;

/// Nicira's experimenter id.
pub(super) const NICIRA: u32 = 0x2320;

const OUTPUT: u16 = 0;
const GROUP: u16 = 22;
const SET_FIELD: u16 = 25;
const COPY_FIELD: u16 = 28;
const EXPERIMENTER: u16 = 0xffff;
/// `NXAST_RESUBMIT_TABLE`.
const RESUBMIT_TABLE: u16 = 14;

const GOTO_TABLE: u16 = 1;
const APPLY_ACTIONS: u16 = 4;

/// `OFPP_IN_PORT`.
const IN_PORT: u32 = 0xffff_fff8;
/// `OFPP_IN_PORT` in the 16 bits that resubmit has for a port.
const IN_PORT_16: u16 = 0xfff8;
/// `OFPCML_NO_BUFFER`: send the controller whole packets.
const WHOLE_PACKET: u16 = 0xffff;

/// Writes the instructions of a flow.
pub(super) fn put_instructions(out: &mut Vec<u8>, actions: &Actions) {
    let (applied, goto) = match actions.steps() {
        [applied @ .., Action::Goto(table)] => (applied, Some(*table)),
        applied => (applied, None),
    };
    if !applied.is_empty() {
        let start = out.len();
        out.put_u16(APPLY_ACTIONS);
        out.put_u16(0);
        out.put_u32(0);
        put_steps(out, applied);
        out.patch_length(start + 2, start);
    }
    if let Some(table) = goto {
        out.put_u16(GOTO_TABLE);
        out.put_u16(8);
        out.put(&[table, 0, 0, 0]);
    }
}

/// Writes a bare list of actions, of a bucket or a packet-out.
pub(super) fn put_actions(out: &mut Vec<u8>, actions: &Actions) {
    put_steps(out, actions.steps());
}

fn put_steps(out: &mut Vec<u8>, steps: &[Action]) {
    for step in steps {
        put_step(out, *step);
    }
}

fn put_step(out: &mut Vec<u8>, step: Action) {
    match step {
        Action::Output(port) => put_output(out, port),
        Action::OutputInPort => put_output(out, OfPort(IN_PORT)),
        Action::Group(group) => {
            out.put_u16(GROUP);
            out.put_u16(8);
            out.put_u32(group.0);
        }
        Action::Set(set) => {
            let start = out.len();
            out.put_u16(SET_FIELD);
            out.put_u16(0);
            oxm::put_field_value(out, set);
            out.zeros(padding(out.len() - start));
            out.patch_length(start + 2, start);
        }
        Action::Copy { from, to } => put_copy(out, from, to),
        Action::Resubmit(table) => {
            out.put_u16(EXPERIMENTER);
            out.put_u16(16);
            out.put_u32(NICIRA);
            out.put_u16(RESUBMIT_TABLE);
            out.put_u16(IN_PORT_16);
            out.put(&[table, 0, 0, 0]);
        }
        Action::Goto(_) => panic!("goto_table is an instruction of flows; buckets and packets have none"),
    }
}

fn put_output(out: &mut Vec<u8>, port: OfPort) {
    out.put_u16(OUTPUT);
    out.put_u16(16);
    out.put_u32(port.0);
    out.put_u16(if port == CONTROLLER { WHOLE_PACKET } else { 0 });
    out.zeros(6);
}

fn put_copy(out: &mut Vec<u8>, from: Field, to: Field) {
    out.put_u16(COPY_FIELD);
    out.put_u16(24);
    out.put_u16(from.bits() as u16);
    out.zeros(6);
    out.put_u32(oxm::header_of(from));
    out.put_u32(oxm::header_of(to));
    out.zeros(4);
}

/// Reads instructions, up to the end.
///
/// # Errors
/// If there is one that is not modelled, or one twice.
pub(super) fn read_instructions(mut from: Reader) -> Result<Actions, Fault> {
    let mut applied = None;
    let mut goto = None;
    while let Some((kind, mut body)) = from.item("instruction")? {
        let is_new = match kind {
            APPLY_ACTIONS => {
                body.skip(4)?;
                applied.replace(read_steps(body)?).is_none()
            }
            GOTO_TABLE => goto.replace(Action::Goto(body.u8()?)).is_none(),
            other => return Err(Fault::Instruction(other)),
        };
        if !is_new {
            return Err(Fault::Twice { what: "instruction", value: kind.into() });
        }
    }
    let mut steps = applied.unwrap_or_default();
    steps.extend(goto);
    Ok(Actions::from(steps))
}

/// Reads a bare list of actions, up to the end.
pub(super) fn read_actions(from: Reader) -> Result<Actions, Fault> {
    read_steps(from).map(Actions::from)
}

fn count_steps(mut from: Reader) -> Result<usize, Fault> {
    let mut count = 0;
    while from.item("action")?.is_some() {
        count += 1;
    }
    Ok(count)
}

fn read_steps(mut from: Reader) -> Result<Vec<Action>, Fault> {
    // One more for a goto_table that may follow.
    let mut steps = Vec::with_capacity(count_steps(from)? + 1);
    while let Some((kind, body)) = from.item("action")? {
        steps.push(read_step(kind, body)?);
    }
    Ok(steps)
}

fn read_step(kind: u16, mut body: Reader) -> Result<Action, Fault> {
    match kind {
        OUTPUT => read_output(body),
        GROUP => Ok(Action::Group(GroupId(body.u32()?))),
        SET_FIELD => oxm::read_field_value(&mut body).map(Action::Set),
        COPY_FIELD => read_copy(body),
        EXPERIMENTER => read_nicira(body),
        other => Err(Fault::Action(other)),
    }
}

/// How much of a packet to send counts for the controller's port alone.
fn read_output(mut body: Reader) -> Result<Action, Fault> {
    let port = OfPort(body.u32()?);
    let length = body.u16()?;
    match port {
        OfPort(IN_PORT) => Ok(Action::OutputInPort),
        CONTROLLER if length != WHOLE_PACKET => {
            Err(Fault::NotModelled { what: "output to the controller with max_len", value: length.into() })
        }
        port => Ok(Action::Output(port)),
    }
}

fn read_copy(mut body: Reader) -> Result<Action, Fault> {
    let bits = body.u16()?;
    let (from_bit, to_bit) = (body.u16()?, body.u16()?);
    body.skip(2)?;
    let (from, to) = (oxm::field_with_header(body.u32()?)?, oxm::field_with_header(body.u32()?)?);
    let is_whole = from_bit == 0 && to_bit == 0 && [from.bits(), to.bits()] == [u32::from(bits); 2];
    is_whole
        .then_some(Action::Copy { from, to })
        .ok_or(Fault::NotModelled { what: "copy_field of a part, bits", value: bits.into() })
}

fn read_nicira(mut body: Reader) -> Result<Action, Fault> {
    let experimenter = body.u32()?;
    if experimenter != NICIRA {
        return Err(Fault::NotModelled { what: "an action of experimenter", value: experimenter.into() });
    }
    match body.u16()? {
        RESUBMIT_TABLE => match body.u16()? {
            IN_PORT_16 => Ok(Action::Resubmit(body.u8()?)),
            port => Err(Fault::NotModelled { what: "resubmit with another in_port", value: port.into() }),
        },
        other => Err(Fault::NiciraAction(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(actions: Actions, want: &str) {
        let mut bytes = Vec::new();
        put_instructions(&mut bytes, &actions);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, want, "{actions:?}");
        assert_eq!(read_instructions(Reader::new("test", &bytes)), Ok(actions));
    }

    #[test]
    fn instructions_have_the_bytes_of_open_vswitch() {
        check(Actions::drop(), "");
        check(Actions::from([Action::Goto(2)]), "0001000802000000");
        check(
            Actions::from([Action::Output(OfPort(3)), Action::Goto(9)]),
            "000400180000000000000010000000030000000000000000\
             0001000809000000",
        );
        check(
            Actions::from([Action::set(Field::TunId, 0xabcdefu32), Action::Resubmit(2)]),
            "0004002800000000\
             0019001080004c080000000000abcdef\
             ffff001000002320000efff802000000",
        );
        check(
            Actions::from([Action::Copy { from: Field::EthSrc, to: Field::EthDst }, Action::OutputInPort]),
            "0004003000000000\
             001c001800300000000000008000080680000606000000000000\
             0010fffffff80000000000000000",
        );
        check(Actions::from([Action::Group(GroupId(50))]), "00040010000000000016000800000032");
    }

    #[test]
    fn what_is_not_modelled_is_named() {
        let check = |bytes: &[u8], want: &str| {
            let fault = read_instructions(Reader::new("test", bytes)).expect_err("not modelled");
            assert_eq!(fault.to_string(), want);
        };
        check(&[0, 2, 0, 8, 0, 0, 0, 0], "instruction 2 is not modelled");
        check(&[0, 4, 0, 16, 0, 0, 0, 0, 0, 18, 0, 8, 0, 0, 0, 0], "action 18 is not modelled");
        check(
            &[0, 4, 0, 24, 0, 0, 0, 0, 0xff, 0xff, 0, 16, 0, 0, 0x23, 0x20, 0, 34, 0, 0, 0, 0, 0, 0],
            "Nicira action 34 is not modelled",
        );
        check(&[0, 1, 0, 4], "instruction has an impossible length of 4");
        check(&[0, 1, 0, 16, 0, 0, 0, 0], "instruction has an impossible length of 16");
        check(&[0, 1, 0, 8, 1, 0, 0, 0, 0, 1, 0, 8, 2, 0, 0, 0], "instruction 1 occurs twice");
    }
}
