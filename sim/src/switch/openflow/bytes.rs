//! What messages are made of: big-endian numbers, padding, and the errors of OpenFlow 1.5.1, section 7.5.4.

/// Why a request is refused: type and code of the error message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal(pub u16, pub u16);

/// Errors that a switch sends.
pub(super) mod refusal {
    use super::Refusal;
    pub const INCOMPATIBLE: Refusal = Refusal(0, 0);
    pub const BAD_VERSION: Refusal = Refusal(1, 0);
    pub const BAD_TYPE: Refusal = Refusal(1, 1);
    pub const BAD_MULTIPART: Refusal = Refusal(1, 2);
    pub const NOT_PERMITTED: Refusal = Refusal(1, 5);
    pub const IS_SECONDARY: Refusal = Refusal(1, 10);
    pub const BAD_LEN: Refusal = Refusal(1, 6);
    pub const BAD_ACTION: Refusal = Refusal(2, 0);
    pub const BAD_ACTION_LEN: Refusal = Refusal(2, 1);
    pub const BAD_EXPERIMENTER_ACTION: Refusal = Refusal(2, 2);
    pub const BAD_EXPERIMENTER_TYPE: Refusal = Refusal(2, 3);
    pub const BAD_OUT_PORT: Refusal = Refusal(2, 4);
    pub const BAD_ARGUMENT: Refusal = Refusal(2, 5);
    pub const BAD_OUT_GROUP: Refusal = Refusal(2, 9);
    pub const INCONSISTENT: Refusal = Refusal(2, 10);
    pub const BAD_TAG: Refusal = Refusal(2, 12);
    pub const BAD_SET_TYPE: Refusal = Refusal(2, 13);
    pub const BAD_INSTRUCTION: Refusal = Refusal(3, 0);
    pub const BAD_GOTO: Refusal = Refusal(3, 2);
    pub const BAD_INSTRUCTION_LEN: Refusal = Refusal(3, 7);
    pub const DUPLICATE_INSTRUCTION: Refusal = Refusal(3, 9);
    pub const BAD_MATCH_TYPE: Refusal = Refusal(4, 0);
    pub const BAD_MATCH_LEN: Refusal = Refusal(4, 1);
    pub const BAD_FIELD: Refusal = Refusal(4, 6);
    pub const BAD_MATCH_VALUE: Refusal = Refusal(4, 7);
    pub const BAD_PREREQUISITE: Refusal = Refusal(4, 9);
    pub const DUPLICATE_FIELD: Refusal = Refusal(4, 10);
    pub const TABLE_FULL: Refusal = Refusal(5, 1);
    pub const BAD_TABLE: Refusal = Refusal(5, 2);
    pub const OVERLAP: Refusal = Refusal(5, 3);
    pub const BAD_COMMAND: Refusal = Refusal(5, 6);
    pub const BAD_FLAGS: Refusal = Refusal(5, 7);
    pub const GROUP_EXISTS: Refusal = Refusal(6, 0);
    pub const INVALID_GROUP: Refusal = Refusal(6, 1);
    pub const UNKNOWN_GROUP: Refusal = Refusal(6, 8);
    pub const BAD_GROUP_TYPE: Refusal = Refusal(6, 10);
    pub const BAD_GROUP_COMMAND: Refusal = Refusal(6, 11);
    pub const WATCH_UNSUPPORTED: Refusal = Refusal(6, 6);
    pub const BAD_BUCKET: Refusal = Refusal(6, 12);
    pub const UNKNOWN_BUCKET: Refusal = Refusal(6, 15);
    pub const BUCKET_EXISTS: Refusal = Refusal(6, 16);
    pub const STALE: Refusal = Refusal(11, 0);
    pub const BAD_ROLE: Refusal = Refusal(11, 2);
    pub const BAD_BUNDLE: Refusal = Refusal(17, 2);
    pub const BAD_ASYNC: Refusal = Refusal(15, 0);
    pub const UNKNOWN_ASYNC: Refusal = Refusal(15, 1);
    pub const BAD_MONITOR_FLAGS: Refusal = Refusal(16, 5);
    pub const BUNDLE_CLOSED: Refusal = Refusal(17, 4);
    pub const BAD_BUNDLE_TYPE: Refusal = Refusal(17, 6);
    pub const BAD_BUNDLE_FLAGS: Refusal = Refusal(17, 7);
    pub const NOT_BUNDLED: Refusal = Refusal(17, 10);
    pub const BUNDLE_XID: Refusal = Refusal(17, 9);
    pub const MESSAGE_FAILED: Refusal = Refusal(17, 13);
    pub const BUNDLE_TIMEOUT: Refusal = Refusal(17, 14);
}

/// Reads from the front of some bytes. What is too short is refused by the caller's word for it.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    short: Refusal,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8], short: Refusal) -> Reader<'a> {
        Reader { bytes, short }
    }

    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Refusal> {
        let (head, tail) = self.bytes.split_at_checked(count).ok_or(self.short)?;
        self.bytes = tail;
        Ok(head)
    }

    pub fn part(&mut self, count: usize, short: Refusal) -> Result<Reader<'a>, Refusal> {
        self.take(count).map(|bytes| Reader::new(bytes, short))
    }

    pub fn number(&mut self, bytes: usize) -> Result<u128, Refusal> {
        Ok(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | u128::from(*byte)))
    }

    pub fn u8(&mut self) -> Result<u8, Refusal> {
        self.number(1).map(|number| number as u8)
    }

    pub fn u16(&mut self) -> Result<u16, Refusal> {
        self.number(2).map(|number| number as u16)
    }

    pub fn u32(&mut self) -> Result<u32, Refusal> {
        self.number(4).map(|number| number as u32)
    }

    pub fn u64(&mut self) -> Result<u64, Refusal> {
        self.number(8).map(|number| number as u64)
    }
}

/// Writes numbers, most significant byte first.
pub(super) trait Put {
    fn put(&mut self, number: impl Into<u128>, bytes: usize);
    fn pad(&mut self, from: usize, to: usize);
    fn patch_u16(&mut self, at: usize, number: usize);
    fn patch_wrapping(&mut self, at: usize, number: usize);
}

impl Put for Vec<u8> {
    fn put(&mut self, number: impl Into<u128>, bytes: usize) {
        self.extend_from_slice(&number.into().to_be_bytes()[16 - bytes..]);
    }

    /// Zeros up to a multiple of `to`, counted from `from`.
    fn pad(&mut self, from: usize, to: usize) {
        let length = (self.len() - from).next_multiple_of(to);
        self.resize(from + length, 0);
    }

    fn patch_u16(&mut self, at: usize, number: usize) {
        let number = u16::try_from(number).expect("parts of messages fit their lengths");
        self.patch_wrapping(at, usize::from(number));
    }

    /// The number modulo 65,536, as Open vSwitch writes the length of what is too long to be described.
    fn patch_wrapping(&mut self, at: usize, number: usize) {
        self[at..at + 2].copy_from_slice(&(number as u16).to_be_bytes());
    }
}
