//! Fields and matches in bytes: OXM (OpenFlow 1.5.1, section 7.2.3) and NXM (ovs-fields(7)).
//!
//! One field has one spelling once it is read: pairs and quads of registers become registers, tags of any form become
//! [`Field::VlanTci`]. Prerequisites are checked as Open vSwitch does. Start at [`read_match`] and [`put_match`].

use super::bytes::{Put, Reader, Refusal, refusal};
use crate::switch::model::{Field, FieldMatch, Match};

const NXM_0: u16 = 0x0000;
const NXM_1: u16 = 0x0001;
const BASIC: u16 = 0x8000;
const REGISTERS: u16 = 0x8001;

/// Each field's first code is the one that is written.
const CODES: &[(Field, u16, u8)] = &[
    (Field::InPort, BASIC, 0),
    (Field::Metadata, BASIC, 2),
    (Field::EthDst, BASIC, 3),
    (Field::EthSrc, BASIC, 4),
    (Field::EthType, BASIC, 5),
    (Field::VlanVid, BASIC, 6),
    (Field::VlanPcp, BASIC, 7),
    (Field::IpDscp, BASIC, 8),
    (Field::IpEcn, BASIC, 9),
    (Field::IpProto, BASIC, 10),
    (Field::Ipv4Src, BASIC, 11),
    (Field::Ipv4Dst, BASIC, 12),
    (Field::TcpSrc, BASIC, 13),
    (Field::TcpDst, BASIC, 14),
    (Field::UdpSrc, BASIC, 15),
    (Field::UdpDst, BASIC, 16),
    (Field::SctpSrc, BASIC, 17),
    (Field::SctpDst, BASIC, 18),
    (Field::Icmpv4Type, BASIC, 19),
    (Field::Icmpv4Code, BASIC, 20),
    (Field::ArpOp, BASIC, 21),
    (Field::ArpSpa, BASIC, 22),
    (Field::ArpTpa, BASIC, 23),
    (Field::ArpSha, BASIC, 24),
    (Field::ArpTha, BASIC, 25),
    (Field::Ipv6Src, BASIC, 26),
    (Field::Ipv6Dst, BASIC, 27),
    (Field::Ipv6Label, BASIC, 28),
    (Field::Icmpv6Type, BASIC, 29),
    (Field::Icmpv6Code, BASIC, 30),
    (Field::NdTarget, BASIC, 31),
    (Field::NdSll, BASIC, 32),
    (Field::NdTll, BASIC, 33),
    (Field::TunId, BASIC, 38),
    (Field::TcpFlags, BASIC, 42),
    (Field::VlanTci, NXM_0, 4),
    (Field::TunId, NXM_1, 16),
    (Field::IpFrag, NXM_1, 26),
    (Field::IpTtl, NXM_1, 29),
    (Field::TunSrc, NXM_1, 31),
    (Field::TunDst, NXM_1, 32),
    (Field::PktMark, NXM_1, 33),
    (Field::ConjId, NXM_1, 37),
    (Field::TunFlags, NXM_1, 104),
    (Field::CtState, NXM_1, 105),
    (Field::CtZone, NXM_1, 106),
    (Field::CtMark, NXM_1, 107),
    (Field::CtLabel, NXM_1, 108),
    (Field::TunIpv6Src, NXM_1, 109),
    (Field::TunIpv6Dst, NXM_1, 110),
];

fn field_of(class: u16, number: u8) -> Option<Field> {
    match (class, number) {
        (NXM_1, 0..16) => Some(Field::Reg(number)),
        (REGISTERS, 0..8) => Some(Field::Xreg(number)),
        (NXM_1, 111..115) => Some(Field::Xxreg(number - 111)),
        _ => CODES.iter().find(|(_, c, n)| (*c, *n) == (class, number)).map(|(field, _, _)| *field),
    }
}

fn code_of(field: Field) -> (u16, u8) {
    match field {
        Field::Reg(number) => (NXM_1, number),
        Field::Xreg(number) => (REGISTERS, number),
        Field::Xxreg(number) => (NXM_1, 111 + number),
        field => {
            let code = CODES.iter().find(|(known, _, _)| *known == field);
            code.map(|(_, class, number)| (*class, *number)).expect("every field is in the table")
        }
    }
}

fn bytes_of(field: Field) -> usize {
    field.bits().div_ceil(8) as usize
}

/// A field by its header alone.
pub(super) fn read_header(from: &mut Reader<'_>) -> Result<Field, Refusal> {
    let (class, number, length) = (from.u16()?, from.u8()?, from.u8()?);
    let field = field_of(class, number >> 1).ok_or(refusal::BAD_SET_TYPE)?;
    (number & 1 == 0 && usize::from(length) == bytes_of(field)).then_some(field).ok_or(refusal::BAD_SET_TYPE)
}

/// One field with value and mask.
pub(super) fn read_field(from: &mut Reader<'_>) -> Result<FieldMatch, Refusal> {
    let (class, number, length) = (from.u16()?, from.u8()?, usize::from(from.u8()?));
    let mut body = from.part(length, refusal::BAD_MATCH_LEN)?;
    let field = field_of(class, number >> 1).ok_or(refusal::BAD_FIELD)?;
    let masked = number & 1 != 0;
    let bytes = bytes_of(field);
    // A known number with another length is another field, which nobody knows.
    if length != bytes * (1 + usize::from(masked)) {
        return Err(refusal::BAD_FIELD);
    }
    let value = body.number(bytes)?;
    let mask = if masked { body.number(bytes)? } else { field.full_mask() };
    if value & !field.full_mask() != 0 || mask & !field.full_mask() != 0 {
        return Err(refusal::BAD_MATCH_VALUE);
    }
    Ok(FieldMatch { field, value: value & mask, mask })
}

/// A whole match with its padding.
pub(super) fn read_match(from: &mut Reader<'_>) -> Result<Match, Refusal> {
    let (kind, length) = (from.u16()?, usize::from(from.u16()?));
    match kind {
        1 => {}
        // The fixed match of old, which is longer than any that anybody sends.
        0 => return Err(refusal::BAD_MATCH_LEN),
        _ => return Err(refusal::BAD_MATCH_TYPE),
    }
    let inner = length.checked_sub(4).ok_or(refusal::BAD_MATCH_LEN)?;
    let mut fields = from.part(inner, refusal::BAD_MATCH_LEN)?;
    from.take(length.next_multiple_of(8) - length)?;
    let mut found: Vec<FieldMatch> = Vec::new();
    while !fields.is_empty() {
        for part in in_one_spelling(read_field(&mut fields)?) {
            match found.iter_mut().find(|other| other.field == part.field) {
                // What matches everything may be said as often as one likes.
                _ if part.mask == 0 => {}
                None => found.push(part),
                // Two parts of one tag, as identifier and priority are.
                Some(other) if part.field == Field::VlanTci && other.mask & part.mask & !0x1000 == 0 => {
                    (other.value, other.mask) = (other.value | part.value, other.mask | part.mask);
                }
                Some(_) => return Err(refusal::DUPLICATE_FIELD),
            }
            check_prerequisite(&found, part.field)?;
        }
    }
    found.sort();
    Ok(Match(found))
}

/// The same in the one spelling that matches are kept in.
fn in_one_spelling(part: FieldMatch) -> Vec<FieldMatch> {
    let registers = |first: u8, count: u8| {
        let part_of = |n: u8| {
            let shift = 32 * u32::from(count - 1 - n);
            let low = |number: u128| number >> shift & 0xffff_ffff;
            FieldMatch { field: Field::Reg(first + n), value: low(part.value), mask: low(part.mask) }
        };
        (0..count).map(part_of).filter(|part| part.mask != 0).collect()
    };
    match part.field {
        Field::Xreg(number) => registers(number * 2, 2),
        Field::Xxreg(number) => registers(number * 4, 4),
        Field::VlanVid => vec![FieldMatch { field: Field::VlanTci, ..part }],
        Field::VlanPcp => {
            vec![FieldMatch { field: Field::VlanTci, value: part.value << 13 | 0x1000, mask: part.mask << 13 | 0x1000 }]
        }
        _ => vec![part],
    }
}

/// Whether what a field needs was matched before it (ovs-fields(7), "Prerequisites").
pub(super) fn check_prerequisite(found: &[FieldMatch], field: Field) -> Result<(), Refusal> {
    let exactly = |field: Field, values: &[u128]| {
        let part = found.iter().find(|part| part.field == field);
        part.is_some_and(|part| part.mask == field.full_mask() && values.contains(&part.value))
    };
    let ethernet = |types: &[u128]| exactly(Field::EthType, types);
    let proto = |types: &[u128], numbers: &[u128]| ethernet(types) && exactly(Field::IpProto, numbers);
    const IP: &[u128] = &[0x0800, 0x86dd];
    const V6: &[u128] = &[0x86dd];
    let met = match field {
        Field::IpProto | Field::IpDscp | Field::IpEcn | Field::IpTtl | Field::IpFrag => ethernet(IP),
        Field::Ipv4Src | Field::Ipv4Dst => ethernet(&[0x0800]),
        Field::Ipv6Src | Field::Ipv6Dst | Field::Ipv6Label => ethernet(V6),
        Field::TcpSrc | Field::TcpDst | Field::TcpFlags => proto(IP, &[6]),
        Field::UdpSrc | Field::UdpDst => proto(IP, &[17]),
        Field::SctpSrc | Field::SctpDst => proto(IP, &[132]),
        Field::Icmpv4Type | Field::Icmpv4Code => proto(&[0x0800], &[1]),
        Field::Icmpv6Type | Field::Icmpv6Code => proto(V6, &[58]),
        Field::NdTarget => proto(V6, &[58]) && exactly(Field::Icmpv6Type, &[135, 136]),
        Field::NdSll => proto(V6, &[58]) && exactly(Field::Icmpv6Type, &[135]),
        Field::NdTll => proto(V6, &[58]) && exactly(Field::Icmpv6Type, &[136]),
        Field::ArpOp | Field::ArpSpa | Field::ArpTpa | Field::ArpSha | Field::ArpTha => ethernet(&[0x0806, 0x8035]),
        _ => true,
    };
    met.then_some(()).ok_or(refusal::BAD_PREREQUISITE)
}

pub(super) fn put_header(out: &mut Vec<u8>, field: Field) {
    let (class, number) = code_of(field);
    out.put(class, 2);
    out.put(number << 1, 1);
    out.put(bytes_of(field) as u8, 1);
}

pub(super) fn put_field(out: &mut Vec<u8>, part: FieldMatch) {
    let (class, number) = code_of(part.field);
    let (masked, bytes) = (part.mask != part.field.full_mask(), bytes_of(part.field));
    out.put(class, 2);
    out.put(number << 1 | u8::from(masked), 1);
    out.put((bytes * (1 + usize::from(masked))) as u8, 1);
    out.put(part.value, bytes);
    if masked {
        out.put(part.mask, bytes);
    }
}

/// The order in which Open vSwitch writes the fields of a match (`nx_put_raw`).
const ORDER: &[Field] = &[
    Field::ConjId,
    Field::InPort,
    Field::EthSrc,
    Field::EthDst,
    Field::EthType,
    Field::VlanTci,
    Field::Ipv4Src,
    Field::Ipv4Dst,
    Field::Ipv6Src,
    Field::Ipv6Dst,
    Field::IpFrag,
    Field::Ipv6Label,
    Field::IpDscp,
    Field::IpEcn,
    Field::IpTtl,
    Field::IpProto,
    Field::TcpSrc,
    Field::TcpDst,
    Field::TcpFlags,
    Field::UdpSrc,
    Field::UdpDst,
    Field::SctpSrc,
    Field::SctpDst,
    Field::Icmpv4Type,
    Field::Icmpv4Code,
    Field::Icmpv6Type,
    Field::Icmpv6Code,
    Field::NdTarget,
    Field::NdSll,
    Field::NdTll,
    Field::ArpOp,
    Field::ArpSpa,
    Field::ArpTpa,
    Field::ArpSha,
    Field::ArpTha,
    Field::TunId,
    Field::TunSrc,
    Field::TunDst,
    Field::TunIpv6Src,
    Field::TunIpv6Dst,
    Field::TunFlags,
];

/// The fields that come after the registers.
const AFTER_REGISTERS: &[Field] =
    &[Field::PktMark, Field::CtState, Field::CtZone, Field::CtMark, Field::CtLabel, Field::Metadata];

fn place(field: Field) -> (usize, u8) {
    let among = |fields: &[Field]| fields.iter().position(|known| *known == field);
    match field {
        Field::Xreg(number) => (ORDER.len(), number),
        _ => match (among(ORDER), among(AFTER_REGISTERS)) {
            (Some(place), _) => (place, 0),
            (None, Some(place)) => (ORDER.len() + 1 + place, 0),
            (None, None) => (usize::MAX, 0),
        },
    }
}

/// Registers in pairs, which is how OpenFlow 1.5 has them.
fn in_pairs(parts: &[FieldMatch]) -> Vec<FieldMatch> {
    let mut spelled: Vec<FieldMatch> = Vec::new();
    for part in parts {
        let Field::Reg(number) = part.field else {
            spelled.push(*part);
            continue;
        };
        let (field, shift) = (Field::Xreg(number / 2), 32 * u32::from(1 - number % 2));
        let (value, mask) = (part.value << shift, part.mask << shift);
        match spelled.iter_mut().find(|other| other.field == field) {
            Some(pair) => (pair.value, pair.mask) = (pair.value | value, pair.mask | mask),
            None => spelled.push(FieldMatch { field, value, mask }),
        }
    }
    spelled
}

pub(super) fn put_match(out: &mut Vec<u8>, matching: &Match) {
    let start = out.len();
    out.put(1_u16, 2);
    out.put(0_u16, 2);
    let mut parts = in_pairs(&matching.0);
    parts.sort_by_key(|part| place(part.field));
    for part in parts {
        // As OpenFlow 1.5 spells tags, where it can.
        let spelled = match part {
            FieldMatch { field: Field::VlanTci, value, mask } if mask & !0x1fff == 0 => {
                FieldMatch { field: Field::VlanVid, value, mask }
            }
            part => part,
        };
        put_field(out, spelled);
    }
    let length = out.len() - start;
    out.patch_u16(start + 2, length);
    out.pad(start, 8);
}
