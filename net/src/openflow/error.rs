//! What can be wrong with bytes, and the errors that switches report.
//!
//! [`Fault`] is about a part of a message, [`Error`] about a message or the stream; both name what was wrong and where.
//! [`ErrorCode`] is the type and code of an OFPT_ERROR, with its name and meaning. Start at [`Error`].

use super::message::Xid;
use std::fmt;

/// Why the next message of a stream could not be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The stream is out of step and cannot be read any further.
    #[error("a message claims a length of {0} bytes, but its header has 8")]
    Length(u16),
    /// The peer speaks another version, or another protocol.
    #[error("message type {kind} is in OpenFlow version {version:#04x}; 0x06 (1.5) is spoken here")]
    Version {
        /// The header's version.
        version: u8,
        /// The header's type.
        kind: u8,
    },
    /// One message is malformed or not modelled; the next may be fine.
    #[error("{kind} with xid {xid}: {fault}")]
    Body {
        /// The name of the message's type.
        kind: &'static str,
        /// Its transaction id.
        xid: Xid,
        /// What is wrong with it.
        fault: Fault,
    },
}

/// What is wrong with a part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The bytes end before the thing does.
    #[error("{0} is cut short")]
    Truncated(&'static str),
    /// A length that cannot be.
    #[error("{what} has an impossible length of {length}")]
    Length {
        /// Whose length.
        what: &'static str,
        /// The length it claims.
        length: usize,
    },
    /// A number that has no meaning.
    #[error("{what} has no value {value:#x}")]
    Value {
        /// Which number.
        what: &'static str,
        /// What was found.
        value: u64,
    },
    /// Legal, but not in the model of flows here.
    #[error("{what} {value:#x} is not modelled")]
    NotModelled {
        /// Which thing.
        what: &'static str,
        /// Its number.
        value: u64,
    },
    /// A match field that is not modelled, or in a form that is not.
    #[error("field with OXM header {0:#010x} is not modelled")]
    Field(u32),
    /// Something occurs twice that may occur once.
    #[error("{what} {value} occurs twice")]
    Twice {
        /// Which thing.
        what: &'static str,
        /// Its number.
        value: u64,
    },
    /// A field is matched twice.
    #[error("a match has a field twice")]
    DuplicateField,
    /// An action that is not modelled.
    #[error("action {0} is not modelled")]
    Action(u16),
    /// A Nicira action that is not modelled.
    #[error("Nicira action {0} is not modelled")]
    NiciraAction(u16),
    /// An instruction that is not modelled.
    #[error("instruction {0} is not modelled")]
    Instruction(u16),
}

impl Fault {
    /// The error with which a switch would answer.
    pub fn code(&self) -> ErrorCode {
        match self {
            Fault::Truncated(_) | Fault::Length { .. } => ErrorCode::BAD_LENGTH,
            Fault::Value { .. } | Fault::Twice { .. } | Fault::NotModelled { .. } => ErrorCode::BAD_TYPE,
            Fault::Field(_) => ErrorCode::BAD_FIELD,
            Fault::DuplicateField => ErrorCode::DUPLICATE_FIELD,
            Fault::Action(_) | Fault::NiciraAction(_) => ErrorCode::BAD_ACTION_TYPE,
            Fault::Instruction(_) => ErrorCode::UNKNOWN_INSTRUCTION,
        }
    }
}

/// A message that would not fit the 16 bits of its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} would have {length} bytes; OpenFlow messages end at 65535")]
pub struct TooLong {
    /// The name of the message's type.
    pub kind: &'static str,
    /// How long it would be, in bytes.
    pub length: usize,
}

/// Type and code of an OFPT_ERROR (section 7.5.4). Its text is the name in the specification and what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ErrorCode {
    /// `OFPET_*`.
    pub kind: u16,
    /// The code, whose meaning depends on the type.
    pub code: u16,
}

impl ErrorCode {
    /// `OFPET_HELLO_FAILED`, the type.
    pub const HELLO_FAILED: u16 = 0;
    /// `OFPHFC_INCOMPATIBLE`.
    pub const INCOMPATIBLE: ErrorCode = ErrorCode { kind: 0, code: 0 };
    /// `OFPBRC_BAD_TYPE`.
    pub const BAD_TYPE: ErrorCode = ErrorCode { kind: 1, code: 1 };
    /// `OFPBRC_BAD_LEN`.
    pub const BAD_LENGTH: ErrorCode = ErrorCode { kind: 1, code: 6 };
    /// `OFPBRC_IS_SECONDARY`.
    pub const IS_SECONDARY: ErrorCode = ErrorCode { kind: 1, code: 10 };
    /// `OFPBAC_BAD_TYPE`.
    pub const BAD_ACTION_TYPE: ErrorCode = ErrorCode { kind: 2, code: 0 };
    /// `OFPBAC_BAD_OUT_GROUP`.
    pub const BAD_OUT_GROUP: ErrorCode = ErrorCode { kind: 2, code: 9 };
    /// `OFPBIC_UNKNOWN_INST`.
    pub const UNKNOWN_INSTRUCTION: ErrorCode = ErrorCode { kind: 3, code: 0 };
    /// `OFPBMC_BAD_FIELD`.
    pub const BAD_FIELD: ErrorCode = ErrorCode { kind: 4, code: 6 };
    /// `OFPBMC_BAD_PREREQ`.
    pub const BAD_PREREQUISITE: ErrorCode = ErrorCode { kind: 4, code: 9 };
    /// `OFPBMC_DUP_FIELD`.
    pub const DUPLICATE_FIELD: ErrorCode = ErrorCode { kind: 4, code: 10 };
    /// `OFPGMFC_GROUP_EXISTS`.
    pub const GROUP_EXISTS: ErrorCode = ErrorCode { kind: 6, code: 0 };
    /// `OFPGMFC_UNKNOWN_GROUP`.
    pub const UNKNOWN_GROUP: ErrorCode = ErrorCode { kind: 6, code: 8 };
    /// `OFPRRFC_STALE`.
    pub const STALE: ErrorCode = ErrorCode { kind: 11, code: 0 };
    /// `OFPBFC_MSG_FAILED`.
    pub const MESSAGE_FAILED: ErrorCode = ErrorCode { kind: 17, code: 13 };

    /// The name in the specification and what it means in words, for those that Open vSwitch sends.
    fn described(self) -> Option<(&'static str, &'static str)> {
        let found = NAMES.binary_search_by_key(&(self.kind, self.code), |row| (row.0, row.1)).ok()?;
        Some((NAMES[found].2, NAMES[found].3))
    }

    /// The name in the specification, for those that Open vSwitch sends.
    pub fn name(self) -> Option<&'static str> {
        self.described().map(|(name, _)| name)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.described() {
            Some((name, words)) => write!(f, "{name}: {words}"),
            None => write!(f, "error type {} code {}", self.kind, self.code),
        }
    }
}

/// Type, code, name and meaning, in order. Sources: section 7.5.4, and `ofp-errors.h` of Open vSwitch.
const NAMES: &[(u16, u16, &str, &str)] = &[
    (0, 0, "OFPHFC_INCOMPATIBLE", "no common version"),
    (0, 1, "OFPHFC_EPERM", "not permitted to connect"),
    (1, 0, "OFPBRC_BAD_VERSION", "version not supported"),
    (1, 1, "OFPBRC_BAD_TYPE", "message type not supported"),
    (1, 2, "OFPBRC_BAD_MULTIPART", "multipart type not supported"),
    (1, 3, "OFPBRC_BAD_EXPERIMENTER", "experimenter not supported"),
    (1, 4, "OFPBRC_BAD_EXP_TYPE", "experimenter message not supported"),
    (1, 5, "OFPBRC_EPERM", "not permitted"),
    (1, 6, "OFPBRC_BAD_LEN", "wrong length of a message"),
    (1, 7, "OFPBRC_BUFFER_EMPTY", "buffer used already"),
    (1, 8, "OFPBRC_BUFFER_UNKNOWN", "no such buffer"),
    (1, 9, "OFPBRC_BAD_TABLE_ID", "no such table"),
    (1, 10, "OFPBRC_IS_SECONDARY", "the controller is secondary and may not write"),
    (1, 11, "OFPBRC_BAD_PORT", "no such port"),
    (1, 12, "OFPBRC_BAD_PACKET", "the packet is invalid"),
    (1, 13, "OFPBRC_MULTIPART_BUFFER_OVERFLOW", "too many parts"),
    (2, 0, "OFPBAC_BAD_TYPE", "unknown action"),
    (2, 1, "OFPBAC_BAD_LEN", "wrong length of an action"),
    (2, 2, "OFPBAC_BAD_EXPERIMENTER", "unknown experimenter of an action"),
    (2, 3, "OFPBAC_BAD_EXP_TYPE", "unknown action of an experimenter"),
    (2, 4, "OFPBAC_BAD_OUT_PORT", "output to an impossible port"),
    (2, 5, "OFPBAC_BAD_ARGUMENT", "wrong argument of an action"),
    (2, 6, "OFPBAC_EPERM", "action not permitted"),
    (2, 7, "OFPBAC_TOO_MANY", "too many actions"),
    (2, 8, "OFPBAC_BAD_QUEUE", "no such queue"),
    (2, 9, "OFPBAC_BAD_OUT_GROUP", "no such group to output to"),
    (2, 10, "OFPBAC_MATCH_INCONSISTENT", "the match does not allow the action"),
    (2, 11, "OFPBAC_UNSUPPORTED_ORDER", "order of actions not supported"),
    (2, 12, "OFPBAC_BAD_TAG", "unsupported tag or encapsulation"),
    (2, 13, "OFPBAC_BAD_SET_TYPE", "field cannot be set"),
    (2, 14, "OFPBAC_BAD_SET_LEN", "wrong length of a field to set"),
    (2, 15, "OFPBAC_BAD_SET_ARGUMENT", "wrong value of a field to set"),
    (2, 16, "OFPBAC_BAD_SET_MASK", "wrong mask of a field to set"),
    (3, 0, "OFPBIC_UNKNOWN_INST", "unknown instruction"),
    (3, 1, "OFPBIC_UNSUP_INST", "instruction not supported"),
    (3, 2, "OFPBIC_BAD_TABLE_ID", "goto to an impossible table"),
    (3, 3, "OFPBIC_UNSUP_METADATA", "metadata mask not supported"),
    (3, 4, "OFPBIC_UNSUP_METADATA_MASK", "metadata mask not supported"),
    (3, 5, "OFPBIC_BAD_EXPERIMENTER", "unknown experimenter of an instruction"),
    (3, 6, "OFPBIC_BAD_EXP_TYPE", "unknown instruction of an experimenter"),
    (3, 7, "OFPBIC_BAD_LEN", "wrong length of an instruction"),
    (3, 8, "OFPBIC_EPERM", "instruction not permitted"),
    (3, 9, "OFPBIC_DUP_INST", "an instruction occurs twice"),
    (4, 0, "OFPBMC_BAD_TYPE", "match type not supported"),
    (4, 1, "OFPBMC_BAD_LEN", "wrong length of a match"),
    (4, 2, "OFPBMC_BAD_TAG", "unsupported tag or encapsulation in a match"),
    (4, 3, "OFPBMC_BAD_DL_ADDR_MASK", "Ethernet address mask not supported"),
    (4, 4, "OFPBMC_BAD_NW_ADDR_MASK", "network address mask not supported"),
    (4, 5, "OFPBMC_BAD_WILDCARDS", "this combination of masks is not supported"),
    (4, 6, "OFPBMC_BAD_FIELD", "unknown match field"),
    (4, 7, "OFPBMC_BAD_VALUE", "wrong value of a match field"),
    (4, 8, "OFPBMC_BAD_MASK", "wrong mask of a match field"),
    (4, 9, "OFPBMC_BAD_PREREQ", "a match field lacks its prerequisite"),
    (4, 10, "OFPBMC_DUP_FIELD", "a field is matched twice"),
    (4, 11, "OFPBMC_EPERM", "match not permitted"),
    (5, 0, "OFPFMFC_UNKNOWN", "unspecified failure of a flow mod"),
    (5, 1, "OFPFMFC_TABLE_FULL", "the table is full"),
    (5, 2, "OFPFMFC_BAD_TABLE_ID", "no such table"),
    (5, 3, "OFPFMFC_OVERLAP", "overlaps with another flow"),
    (5, 4, "OFPFMFC_EPERM", "flow mod not permitted"),
    (5, 5, "OFPFMFC_BAD_TIMEOUT", "timeout not supported"),
    (5, 6, "OFPFMFC_BAD_COMMAND", "unknown command of a flow mod"),
    (5, 7, "OFPFMFC_BAD_FLAGS", "unknown flags of a flow mod"),
    (6, 0, "OFPGMFC_GROUP_EXISTS", "the group exists already"),
    (6, 1, "OFPGMFC_INVALID_GROUP", "the group is invalid"),
    (6, 2, "OFPGMFC_WEIGHT_UNSUPPORTED", "weights are not supported"),
    (6, 3, "OFPGMFC_OUT_OF_GROUPS", "no room for more groups"),
    (6, 4, "OFPGMFC_OUT_OF_BUCKETS", "no room for more buckets"),
    (6, 5, "OFPGMFC_CHAINING_UNSUPPORTED", "groups cannot go to groups"),
    (6, 6, "OFPGMFC_WATCH_UNSUPPORTED", "watching is not supported"),
    (6, 7, "OFPGMFC_LOOP", "groups would form a loop"),
    (6, 8, "OFPGMFC_UNKNOWN_GROUP", "no such group"),
    (6, 9, "OFPGMFC_CHAINED_GROUP", "the group is used by another"),
    (6, 10, "OFPGMFC_BAD_TYPE", "unknown type of group"),
    (6, 11, "OFPGMFC_BAD_COMMAND", "unknown command of a group mod"),
    (6, 12, "OFPGMFC_BAD_BUCKET", "a bucket is invalid"),
    (6, 13, "OFPGMFC_BAD_WATCH", "a watched port or group is invalid"),
    (6, 14, "OFPGMFC_EPERM", "group mod not permitted"),
    (6, 15, "OFPGMFC_UNKNOWN_BUCKET", "no such bucket"),
    (6, 16, "OFPGMFC_BUCKET_EXISTS", "the bucket exists already"),
    (7, 0, "OFPPMFC_BAD_PORT", "no such port"),
    (7, 1, "OFPPMFC_BAD_HW_ADDR", "the address is not the port's"),
    (7, 2, "OFPPMFC_BAD_CONFIG", "wrong port configuration"),
    (7, 3, "OFPPMFC_BAD_ADVERTISE", "wrong advertised features"),
    (7, 4, "OFPPMFC_EPERM", "port mod not permitted"),
    (10, 0, "OFPSCFC_BAD_FLAGS", "wrong flags of a configuration"),
    (10, 1, "OFPSCFC_BAD_LEN", "wrong miss_send_len"),
    (10, 2, "OFPSCFC_EPERM", "configuration not permitted"),
    (11, 0, "OFPRRFC_STALE", "the generation_id is older than one seen"),
    (11, 1, "OFPRRFC_UNSUP", "role change not supported"),
    (11, 2, "OFPRRFC_BAD_ROLE", "unknown role"),
    (15, 0, "OFPACFC_INVALID", "wrong mask of asynchronous messages"),
    (15, 1, "OFPACFC_UNSUPPORTED", "asynchronous message not supported"),
    (15, 2, "OFPACFC_EPERM", "not permitted to configure asynchronous messages"),
    (17, 0, "OFPBFC_UNKNOWN", "unspecified failure of a bundle"),
    (17, 1, "OFPBFC_EPERM", "bundle not permitted"),
    (17, 2, "OFPBFC_BAD_ID", "no such bundle"),
    (17, 3, "OFPBFC_BUNDLE_EXIST", "the bundle exists already"),
    (17, 4, "OFPBFC_BUNDLE_CLOSED", "the bundle is closed"),
    (17, 5, "OFPBFC_OUT_OF_BUNDLES", "no room for more bundles"),
    (17, 6, "OFPBFC_BAD_TYPE", "unknown type of bundle control"),
    (17, 7, "OFPBFC_BAD_FLAGS", "bundle flags not supported"),
    (17, 8, "OFPBFC_MSG_BAD_LEN", "wrong length of a bundled message"),
    (17, 9, "OFPBFC_MSG_BAD_XID", "a bundled message has another xid"),
    (17, 10, "OFPBFC_MSG_UNSUP", "message not supported in a bundle"),
    (17, 11, "OFPBFC_MSG_CONFLICT", "bundled messages conflict"),
    (17, 12, "OFPBFC_MSG_TOO_MANY", "too many messages in a bundle"),
    (17, 13, "OFPBFC_MSG_FAILED", "a bundled message failed"),
    (17, 14, "OFPBFC_TIMEOUT", "the bundle took too long"),
    (17, 15, "OFPBFC_BUNDLE_IN_PROGRESS", "another bundle is in progress"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order_and_found() {
        assert!(NAMES.is_sorted_by(|a, b| (a.0, a.1) < (b.0, b.1)), "binary search needs order");
        assert_eq!(ErrorCode::STALE.to_string(), "OFPRRFC_STALE: the generation_id is older than one seen");
        assert_eq!(ErrorCode::MESSAGE_FAILED.name(), Some("OFPBFC_MSG_FAILED"));
        assert_eq!(ErrorCode { kind: 9, code: 3 }.to_string(), "error type 9 code 3");
    }
}
