//! Records as they lie on the disk: a format version byte, a checksum, and JSON.
//!
//! Pages have checksums of redb's, which are looked at when the store is opened; that of a record is looked at whenever it is
//! read, and so covers what rots while the store is open. Start at [`encode`] and [`decode`].

use super::StoreError;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The format that is written: the checksum (CRC-32 as in IEEE 802.3, big endian) is of what follows it.
pub(super) const FORMAT: u8 = 2;
/// What the releases before wrote: JSON only.
const UNCHECKED: u8 = 1;
/// Bytes before the JSON.
const HEADER: usize = 5;

/// A record's bytes.
pub(super) fn encode(record: &impl Serialize) -> Vec<u8> {
    let mut bytes = vec![FORMAT, 0, 0, 0, 0];
    serde_json::to_writer(&mut bytes, record).expect("our own types always serialise, and memory takes them");
    let sum = crc32fast::hash(&bytes[HEADER..]);
    bytes[1..HEADER].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// The JSON of a record whose bytes are what was written; `what` says in an error which record it is.
fn intact<'a>(what: &str, record: &'a [u8]) -> Result<&'a [u8], StoreError> {
    let damaged = |why: &str| Err(StoreError::Damaged { what: what.to_string(), why: why.to_string() });
    match record {
        [] => damaged("it is empty"),
        [0, ..] => damaged("its format byte is zero"),
        [UNCHECKED, body @ ..] => Ok(body),
        [FORMAT, a, b, c, d, body @ ..] if crc32fast::hash(body) == u32::from_be_bytes([*a, *b, *c, *d]) => Ok(body),
        [FORMAT, ..] => damaged("its checksum does not match"),
        [found, ..] => Err(StoreError::FromTheFuture { what: what.to_string(), found: *found }),
    }
}

/// Whether a record can be read, as far as can be said without reading it.
///
/// # Errors
/// If it is damaged, or of a later release.
pub(super) fn check(what: &str, record: &[u8]) -> Result<(), StoreError> {
    intact(what, record).map(|_| ())
}

/// Reads a record.
///
/// # Errors
/// If it is damaged, or of a later release.
pub(super) fn decode<T: DeserializeOwned>(what: &str, record: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(intact(what, record)?)
        .map_err(|error| StoreError::Damaged { what: what.to_string(), why: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_and_later_formats_are_named() {
        let check = |record: &[u8], want: &str| {
            let error = decode::<String>("log entry 7", record).expect_err("refused").to_string();
            assert!(error.contains(want), "{error}");
        };
        check(&[], "log entry 7 is damaged: it is empty");
        check(&[0, b'"'], "its format byte is zero");
        check(&[9, b'"'], "has format 9, and this release reads up to 2");
        check(&[1, b'"'], "is damaged: EOF");
        check(&[2, b'"'], "its checksum does not match");
        assert_eq!(decode::<String>("name", b"\x01\"of a release before\"").expect("read"), "of a release before");
    }

    #[test]
    fn no_bit_of_a_record_flips_unnoticed() {
        let good = encode(&"a name".to_string());
        assert_eq!(decode::<String>("name", &good).expect("read"), "a name");
        for bit in 0..good.len() * 8 {
            let mut rotten = good.clone();
            rotten[bit / 8] ^= 1 << (bit % 8);
            assert!(decode::<String>("name", &rotten).is_err(), "bit {bit}");
        }
    }
}
