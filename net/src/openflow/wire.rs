//! Reading and writing of big-endian bytes. Start at [`Reader`] and [`Put`].

use super::error::Fault;

/// Reads from the front of some bytes; what it cannot find it names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    /// What is being read, for errors.
    what: &'static str,
}

impl<'a> Reader<'a> {
    pub fn new(what: &'static str, bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, what }
    }

    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(Fault::Truncated(self.what))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or(Fault::Truncated(self.what))?;
        self.bytes = rest;
        Ok(*taken)
    }

    pub fn skip(&mut self, length: usize) -> Result<(), Fault> {
        self.take(length).map(drop)
    }

    pub fn u8(&mut self) -> Result<u8, Fault> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub fn u16(&mut self) -> Result<u16, Fault> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub fn u32(&mut self) -> Result<u32, Fault> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64, Fault> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    pub fn mac(&mut self) -> Result<[u8; 6], Fault> {
        self.array()
    }

    /// The next part of `length` bytes, to be read by itself.
    pub fn part(&mut self, what: &'static str, length: usize) -> Result<Reader<'a>, Fault> {
        let bytes = self.bytes.get(..length).ok_or(Fault::Length { what, length })?;
        self.bytes = &self.bytes[length..];
        Ok(Reader { bytes, what })
    }

    /// The next item of a list whose items start with a type and a length, both 16 bits; `None` at the end.
    ///
    /// Items are a whole number of 8 bytes. Returns the type and what follows the length.
    pub fn item(&mut self, what: &'static str) -> Result<Option<(u16, Reader<'a>)>, Fault> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let mut header = Reader { bytes: self.bytes, what };
        let (kind, length) = (header.u16()?, usize::from(header.u16()?));
        if length < 8 || !length.is_multiple_of(8) {
            return Err(Fault::Length { what, length });
        }
        let mut item = self.part(what, length)?;
        item.skip(4)?;
        Ok(Some((kind, item)))
    }
}

/// How many zeros bring `length` to a multiple of 8.
pub(super) fn padding(length: usize) -> usize {
    length.wrapping_neg() & 7
}

/// Writes at the end of a vector, and fills in lengths afterwards.
pub(super) trait Put {
    fn put(&mut self, bytes: &[u8]);
    fn zeros(&mut self, count: usize);
    /// Writes the distance from `start` to the end into the 16 bits at `at`. The callers' messages are checked for
    /// their whole length at the end, so a length that wraps around here is never sent.
    fn patch_length(&mut self, at: usize, start: usize);

    fn put_u8(&mut self, value: u8) {
        self.put(&[value]);
    }
    fn put_u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }
    fn put_u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }
    fn put_u64(&mut self, value: u64) {
        self.put(&value.to_be_bytes());
    }
}

impl Put for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn zeros(&mut self, count: usize) {
        self.resize(self.len() + count, 0);
    }

    fn patch_length(&mut self, at: usize, start: usize) {
        let length = (self.len() - start) as u16;
        self[at..at + 2].copy_from_slice(&length.to_be_bytes());
    }
}
