//! Match fields in bytes: OXM, and NXM where OpenFlow has no code for a field.
//!
//! One table says which code each [`Field`] has and in which order a match is written. The order is that of
//! Open vSwitch (`nx_put_raw`), so that what it reports and what is sent are the same bytes; prerequisites come before
//! what needs them in it. Registers are matched in pairs, as `xreg`, for so does Open vSwitch in version 1.5.
//!
//! A match with fields that are not in the table is kept as bytes, see [`WireMatch`].
//! Section 7.2.3; numbers from ovs-fields(7). Start at `put_match` and `read_match`.

use super::error::Fault;
use super::wire::{Put, Reader, padding};
use selvedge_core::flow::{Field, FieldMatch, FieldValue, Match};

/// A match as found on a switch.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum WireMatch {
    /// It has only fields that are modelled.
    Known(Match),
    /// It has others. These are its OXM fields as they came, so that they can be sent back.
    Foreign(Box<[u8]>),
}

impl WireMatch {
    /// The match, if it is modelled.
    pub fn known(&self) -> Option<&Match> {
        match self {
            WireMatch::Known(matching) => Some(matching),
            WireMatch::Foreign(_) => None,
        }
    }
}

impl From<Match> for WireMatch {
    fn from(matching: Match) -> WireMatch {
        WireMatch::Known(matching)
    }
}

/// `OFPXMC_OPENFLOW_BASIC`.
const BASIC: u16 = 0x8000;
/// `OFPXMC_PACKET_REGS`: pairs of registers.
const PAIRS: u16 = 0x8001;
/// `OFPXMC_NXM_1`: Nicira's.
const NICIRA: u16 = 0x0001;
/// `OFPMT_OXM`.
const MATCH_OXM: u16 = 1;
/// How many registers there are.
const REGISTERS: u8 = 16;

/// Where a field is in the table: its code, and its place in the order of writing.
#[derive(Clone, Copy)]
struct Code {
    class: u16,
    number: u8,
    order: u16,
}

macro_rules! table {
    (
        [$($early:ident = $early_class:ident $early_number:literal,)*]
        registers
        [$($late:ident = $late_class:ident $late_number:literal,)*]
    ) => {
        /// The order of writing.
        #[derive(Clone, Copy)]
        enum Order { $($early,)* Registers, $($late),* }

        fn code(field: Field) -> Code {
            let (class, number, order) = match field {
                $(Field::$early => ($early_class, $early_number, Order::$early),)*
                Field::Reg(n) => {
                    assert!(n < REGISTERS, "registers are reg0 to reg15, not reg{n}");
                    (NICIRA, n, Order::Registers)
                }
                $(Field::$late => ($late_class, $late_number, Order::$late),)*
            };
            Code { class, number, order: (order as u16) << 8 | u16::from(number) }
        }

        fn field_of(class: u16, number: u8) -> Option<Field> {
            match (class, number) {
                $(($early_class, $early_number) => Some(Field::$early),)*
                (NICIRA, 0..REGISTERS) => Some(Field::Reg(number)),
                $(($late_class, $late_number) => Some(Field::$late),)*
                _ => None,
            }
        }

        /// All fields, in the order of writing.
        pub fn all_fields() -> Vec<Field> {
            let mut fields = vec![$(Field::$early),*];
            fields.extend((0..REGISTERS).map(Field::Reg));
            fields.extend([$(Field::$late),*]);
            fields
        }
    };
}

table! {
    [
        InPort = BASIC 0,
        EthSrc = BASIC 4,
        EthDst = BASIC 3,
        EthType = BASIC 5,
        VlanVid = BASIC 6,
        Ipv4Src = BASIC 11,
        Ipv4Dst = BASIC 12,
        Ipv6Src = BASIC 26,
        Ipv6Dst = BASIC 27,
        IpTtl = NICIRA 29,
        IpProto = BASIC 10,
        TcpSrc = BASIC 13,
        TcpDst = BASIC 14,
        UdpSrc = BASIC 15,
        UdpDst = BASIC 16,
        Icmpv4Type = BASIC 19,
        Icmpv4Code = BASIC 20,
        Icmpv6Type = BASIC 29,
        Icmpv6Code = BASIC 30,
        NdTarget = BASIC 31,
        NdSll = BASIC 32,
        NdTll = BASIC 33,
        ArpOp = BASIC 21,
        ArpSpa = BASIC 22,
        ArpTpa = BASIC 23,
        ArpSha = BASIC 24,
        ArpTha = BASIC 25,
        TunId = BASIC 38,
        TunSrc = NICIRA 31,
        TunDst = NICIRA 32,
        TunIpv6Src = NICIRA 109,
        TunIpv6Dst = NICIRA 110,
    ]
    registers
    [
        Metadata = BASIC 2,
    ]
}

/// At least as many as there are fields.
const FIELDS_MAX: usize = 64;

fn length_of(field: Field) -> usize {
    field.bits().div_ceil(8) as usize
}

fn header(class: u16, number: u8, masked: bool, length: usize) -> u32 {
    let length = if masked { 2 * length } else { length };
    u32::from(class) << 16 | u32::from(number) << 9 | u32::from(masked) << 8 | length as u32
}

/// The OXM header of a whole field, as copy_field names it.
pub(super) fn header_of(field: Field) -> u32 {
    let Code { class, number, .. } = code(field);
    header(class, number, false, length_of(field))
}

/// The field that an OXM header without mask names.
pub(super) fn field_with_header(found: u32) -> Result<Field, Fault> {
    let field = field_of((found >> 16) as u16, (found >> 9 & 0x7f) as u8);
    field.filter(|field| header_of(*field) == found).ok_or(Fault::Field(found))
}

fn put_low_bytes(out: &mut Vec<u8>, value: u128, length: usize) {
    out.put(&value.to_be_bytes()[16 - length..]);
}

/// Writes one field with its value, as set_field has it: without padding.
pub(super) fn put_field_value(out: &mut Vec<u8>, set: FieldValue) {
    out.put_u32(header_of(set.field));
    put_low_bytes(out, set.value, length_of(set.field));
}

/// Reads one field with its value; a mask must leave nothing out.
pub(super) fn read_field_value(from: &mut Reader) -> Result<FieldValue, Fault> {
    let oxm = Oxm::read(from)?;
    let found = oxm.field().ok_or(Fault::Field(oxm.header))??;
    if !found.is_exact() {
        return Err(Fault::Field(oxm.header));
    }
    Ok(FieldValue { field: found.field(), value: found.value() })
}

/// Writes a match with its header and padding.
pub(super) fn put_match(out: &mut Vec<u8>, matching: &Match) {
    let start = out.len();
    out.put_u16(MATCH_OXM);
    out.put_u16(0);
    put_fields(out, matching.fields());
    out.patch_length(start + 2, start);
    out.zeros(padding(out.len() - start));
}

/// Writes a match as it was found.
pub(super) fn put_wire_match(out: &mut Vec<u8>, matching: &WireMatch) {
    match matching {
        WireMatch::Known(matching) => put_match(out, matching),
        WireMatch::Foreign(fields) => {
            let length = 4 + fields.len();
            out.put_u16(MATCH_OXM);
            out.put_u16(length as u16);
            out.put(fields);
            out.zeros(padding(length));
        }
    }
}

fn put_fields(out: &mut Vec<u8>, fields: &[FieldMatch]) {
    let mut order = [0u32; FIELDS_MAX];
    for (index, (slot, field)) in order.iter_mut().zip(fields).enumerate() {
        *slot = u32::from(code(field.field()).order) << 8 | index as u32;
    }
    let order = &mut order[..fields.len()];
    order.sort_unstable();
    let mut ordered = order.iter().map(|slot| fields[(slot & 0xff) as usize]).peekable();
    while let Some(item) = ordered.next() {
        match item.field() {
            Field::Reg(n) => {
                let other = ordered.next_if(|next| n % 2 == 0 && next.field() == Field::Reg(n + 1));
                put_pair(out, n, item, other);
            }
            field => {
                let Code { class, number, .. } = code(field);
                put_oxm(out, class, number, length_of(field), item.value(), (!item.is_exact()).then_some(item.mask()));
            }
        }
    }
}

/// Writes a pair of registers of which `n` is matched, and maybe the one after it.
fn put_pair(out: &mut Vec<u8>, n: u8, item: FieldMatch, other: Option<FieldMatch>) {
    let shift = if n.is_multiple_of(2) { 32 } else { 0 };
    let (low_value, low_mask) = other.map_or((0, 0), |low| (low.value(), low.mask()));
    let mask = item.mask() << shift | low_mask;
    let masked = (mask != u128::from(u64::MAX)).then_some(mask);
    put_oxm(out, PAIRS, n / 2, 8, item.value() << shift | low_value, masked);
}

fn put_oxm(out: &mut Vec<u8>, class: u16, number: u8, length: usize, value: u128, mask: Option<u128>) {
    out.put_u32(header(class, number, mask.is_some(), length));
    put_low_bytes(out, value, length);
    if let Some(mask) = mask {
        put_low_bytes(out, mask, length);
    }
}

/// Reads a match with its header and padding.
pub(super) fn read_wire_match(from: &mut Reader) -> Result<WireMatch, Fault> {
    let fields = match_fields(from)?;
    match read_fields(fields) {
        Ok(matching) => Ok(WireMatch::Known(matching)),
        Err(Fault::Field(_)) => Ok(WireMatch::Foreign(fields.rest().into())),
        Err(fault) => Err(fault),
    }
}

/// Reads a match of which every field must be modelled.
pub(super) fn read_match(from: &mut Reader) -> Result<Match, Fault> {
    read_fields(match_fields(from)?)
}

/// The fields of a match, without its header and padding.
fn match_fields<'a>(from: &mut Reader<'a>) -> Result<Reader<'a>, Fault> {
    let kind = from.u16()?;
    if kind != MATCH_OXM {
        return Err(Fault::Value { what: "the type of a match", value: kind.into() });
    }
    let length = usize::from(from.u16()?);
    let fields = from.part("match", length.checked_sub(4).ok_or(Fault::Length { what: "match", length })?)?;
    from.skip(padding(length))?;
    Ok(fields)
}

/// Checks all lengths, so that a match with unknown fields is known to be whole, and counts what the match will have.
fn count_fields(mut fields: Reader) -> Result<usize, Fault> {
    let mut count = 0;
    while !fields.is_empty() {
        count += if Oxm::read(&mut fields)?.class() == PAIRS { 2 } else { 1 };
    }
    Ok(count)
}

fn read_fields(mut fields: Reader) -> Result<Match, Fault> {
    let mut found = Vec::with_capacity(count_fields(fields)?);
    while !fields.is_empty() {
        let oxm = Oxm::read(&mut fields)?;
        if oxm.class() == PAIRS {
            found.extend(oxm.pair()?);
        } else {
            found.push(oxm.field().ok_or(Fault::Field(oxm.header))??);
        }
    }
    Match::from_fields(found).ok_or(Fault::DuplicateField)
}

/// One field of a match as it is on the wire.
struct Oxm<'a> {
    header: u32,
    payload: &'a [u8],
}

impl<'a> Oxm<'a> {
    fn read(from: &mut Reader<'a>) -> Result<Oxm<'a>, Fault> {
        let header = from.u32()?;
        let payload = from.take((header & 0xff) as usize)?;
        Ok(Oxm { header, payload })
    }

    fn class(&self) -> u16 {
        (self.header >> 16) as u16
    }

    fn number(&self) -> u8 {
        (self.header >> 9 & 0x7f) as u8
    }

    fn is_masked(&self) -> bool {
        self.header & 0x100 != 0
    }

    /// Value and mask of `length` bytes; without a mask on the wire it is `full`.
    fn value_and_mask(&self, length: usize, full: u128) -> Result<(u128, u128), Fault> {
        let number = |bytes: &[u8]| bytes.iter().fold(0, |value, byte| value << 8 | u128::from(*byte));
        let wanted = if self.is_masked() { 2 * length } else { length };
        if self.payload.len() != wanted {
            return Err(Fault::Length { what: "a match field", length: self.payload.len() });
        }
        let (value, mask) = self.payload.split_at(length);
        Ok((number(value), if self.is_masked() { number(mask) } else { full }))
    }

    /// The field; `None` if it is not in the table.
    fn field(&self) -> Option<Result<FieldMatch, Fault>> {
        let field = field_of(self.class(), self.number())?;
        Some(self.value_and_mask(length_of(field), field.full_mask()).and_then(|(value, mask)| {
            if mask & !field.full_mask() != 0 {
                return Err(Fault::Field(self.header));
            }
            if value & !field.full_mask() != 0 {
                return Err(Fault::Value { what: "a match field", value: value as u64 });
            }
            Ok(FieldMatch::masked(field, value, mask))
        }))
    }

    /// The two registers of a pair; a register that is not matched has an empty mask.
    fn pair(&self) -> Result<[FieldMatch; 2], Fault> {
        if self.number() >= REGISTERS / 2 {
            return Err(Fault::Field(self.header));
        }
        let (value, mask) = self.value_and_mask(8, u64::MAX.into())?;
        let register = |n, value: u128, mask: u128| {
            FieldMatch::masked(Field::Reg(n), value & u128::from(u32::MAX), mask & u128::from(u32::MAX))
        };
        let first = 2 * self.number();
        Ok([register(first, value >> 32, mask >> 32), register(first + 1, value, mask)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(matching: &Match) -> Vec<u8> {
        let mut out = Vec::new();
        put_match(&mut out, matching);
        out
    }

    fn check(matching: Match, want: &str) {
        let bytes = bytes_of(&matching);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, want, "{matching:?}");
        let mut reader = Reader::new("test", &bytes);
        assert_eq!(read_match(&mut reader), Ok(matching));
        assert!(reader.is_empty(), "the padding is taken too");
    }

    #[test]
    fn matches_have_the_bytes_of_open_vswitch() {
        check(Match::any(), "0001000400000000");
        check(Match::any().exact(Field::InPort, 1u32), "0001000c800000040000000100000000");
        check(Match::any().exact(Field::Reg(14), 1u32).exact(Field::Reg(15), 2u32), "0001001080010e080000000100000002");
        check(Match::any().exact(Field::Reg(15), 5u32), "0001001880010f10000000000000000500000000ffffffff");
        check(Match::any().masked(Field::VlanVid, 0x1000u16, 0x1000u16), "0001000c80000d041000100000000000");
    }

    #[test]
    fn every_field_has_a_code_of_its_own() {
        let fields = all_fields();
        assert!(fields.len() <= FIELDS_MAX);
        for field in &fields {
            assert_eq!(field_with_header(header_of(*field)), Ok(*field));
        }
        let whole = fields.iter().fold(Match::any(), |all, field| all.exact(*field, field.full_mask()));
        assert_eq!(read_match(&mut Reader::new("test", &bytes_of(&whole))), Ok(whole));
    }

    #[test]
    fn a_match_with_unknown_fields_is_kept_as_bytes() {
        // pkt_mark=9
        let bytes = [0, 1, 0, 12, 0, 1, 0x42, 4, 0, 0, 0, 9, 0, 0, 0, 0];
        let found = read_wire_match(&mut Reader::new("test", &bytes)).expect("well formed");
        assert_eq!(found, WireMatch::Foreign(bytes[4..12].into()));
        let mut out = Vec::new();
        put_wire_match(&mut out, &found);
        assert_eq!(out, bytes);
        assert_eq!(read_match(&mut Reader::new("test", &bytes)), Err(Fault::Field(0x00014204)));
    }

    #[test]
    fn malformed_matches_are_named() {
        let check = |bytes: &[u8], want: &str| {
            let fault = read_wire_match(&mut Reader::new("message", bytes)).expect_err("malformed");
            assert_eq!(fault.to_string(), want);
        };
        check(&[0, 1, 0, 3, 0, 0, 0, 0], "match has an impossible length of 3");
        check(&[0, 0, 0, 4, 0, 0, 0, 0], "the type of a match has no value 0x0");
        check(&[0, 1, 0, 9, 0x80, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0], "match is cut short");
        check(&[0, 1, 0, 9, 0x80, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0], "a match field has an impossible length of 1");
        check(&[0, 1, 0, 10, 0x80, 0, 0x0c, 2, 0xff, 0, 0, 0, 0, 0, 0, 0], "a match field has no value 0xff00");
    }
}
