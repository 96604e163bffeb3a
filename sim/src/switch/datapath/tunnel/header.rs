//! The headers of Geneve, VXLAN and GRE. What is read is key, flags, options and the inner frame.

use super::{ETHERNET, Refusal, Setting, TunnelConfig, TunnelMetadata};
use crate::switch::packet::checksum;

/// `tun_flags` of a packet that is about the tunnel itself.
const OAM: u16 = 1;

/// GRE's flags: there is a checksum, a key, a sequence number.
const GRE_CHECKSUM: u16 = 0x8000;
const GRE_KEY: u16 = 0x2000;
const GRE_SEQUENCE: u16 = 0x1000;

/// Key, flags, options, inner frame.
type Read = (u64, u16, Vec<u8>, Vec<u8>);

fn word(bytes: &[u8], offset: usize) -> Result<u32, Refusal> {
    let four = bytes.get(offset..offset + 4).ok_or(Refusal::BadHeader)?;
    Ok(u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
}

/// Geneve (RFC 8926, section 3.4). Options are whole words of at most 252 bytes, or are left out.
pub fn geneve(tunnel: &TunnelMetadata, inner: &[u8]) -> Vec<u8> {
    let fits = tunnel.options.len() <= 252 && tunnel.options.len().is_multiple_of(4);
    let options = if fits { tunnel.options.as_slice() } else { &[] };
    let oam = if tunnel.flags & OAM != 0 { 0x80 } else { 0 };
    let critical = if has_critical(options) { 0x40 } else { 0 };
    let mut bytes = vec![(options.len() / 4) as u8, oam | critical];
    bytes.extend(ETHERNET.to_be_bytes());
    bytes.extend(((tunnel.id as u32) << 8).to_be_bytes());
    bytes.extend(options);
    bytes.extend(inner);
    bytes
}

fn has_critical(options: &[u8]) -> bool {
    let mut rest = options;
    while let [_, _, kind, length, ..] = rest {
        if kind & 0x80 != 0 {
            return true;
        }
        rest = rest.get(4 + usize::from(length & 0x1f) * 4..).unwrap_or(&[]);
    }
    false
}

pub fn read_geneve(bytes: &[u8]) -> Result<Read, Refusal> {
    let first = word(bytes, 0)?;
    let id = word(bytes, 4)? >> 8;
    let options = bytes.get(8..8 + (first >> 24 & 0x3f) as usize * 4).ok_or(Refusal::BadHeader)?;
    if first >> 30 != 0 || first as u16 != ETHERNET {
        return Err(Refusal::BadHeader);
    }
    let flags = if first & 0x0080_0000 != 0 { OAM } else { 0 };
    Ok((id.into(), flags, options.to_vec(), bytes[8 + options.len()..].to_vec()))
}

/// VXLAN (RFC 7348, section 5).
pub fn vxlan(id: u64, inner: &[u8]) -> Vec<u8> {
    let mut bytes = vec![8, 0, 0, 0];
    bytes.extend(((id as u32) << 8).to_be_bytes());
    bytes.extend(inner);
    bytes
}

/// Open vSwitch wants exactly these flags, and the reserved byte after the key to be zero.
pub fn read_vxlan(bytes: &[u8]) -> Result<Read, Refusal> {
    let (flags, id) = (word(bytes, 0)?, word(bytes, 4)?);
    if flags != 0x0800_0000 || id & 0xff != 0 {
        return Err(Refusal::BadHeader);
    }
    Ok((u64::from(id >> 8), 0, Vec::new(), bytes[8..].to_vec()))
}

/// GRE (RFC 2784, RFC 2890) around Ethernet.
pub fn gre(config: &TunnelConfig, id: u64, inner: &[u8]) -> Vec<u8> {
    let has_key = config.key != Setting::Fixed(0);
    let flags = if config.checksum { GRE_CHECKSUM } else { 0 } | if has_key { GRE_KEY } else { 0 };
    let mut bytes = [flags.to_be_bytes(), ETHERNET.to_be_bytes()].concat();
    bytes.extend(config.checksum.then_some([0u8; 4]).into_iter().flatten());
    bytes.extend(has_key.then(|| (id as u32).to_be_bytes()).into_iter().flatten());
    bytes.extend(inner);
    if config.checksum {
        let sum = checksum::internet(&bytes, 0);
        bytes[4..6].copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}

pub fn read_gre(bytes: &[u8]) -> Result<Read, Refusal> {
    let first = word(bytes, 0)?;
    let flags = (first >> 16) as u16;
    if flags & !(GRE_CHECKSUM | GRE_KEY | GRE_SEQUENCE) != 0 || first as u16 != ETHERNET {
        return Err(Refusal::BadHeader);
    }
    let mut offset = 4;
    if flags & GRE_CHECKSUM != 0 {
        word(bytes, offset)?;
        offset += 4;
        if checksum::internet(bytes, 0) != 0 {
            return Err(Refusal::BadChecksum);
        }
    }
    let mut id = 0;
    if flags & GRE_KEY != 0 {
        id = word(bytes, offset)?;
        offset += 4;
    }
    if flags & GRE_SEQUENCE != 0 {
        word(bytes, offset)?;
        offset += 4;
    }
    Ok((id.into(), 0, Vec::new(), bytes[offset..].to_vec()))
}
