//! Why a command was refused. Start at [`Refusal`].

use super::config::Kind;
use crate::ids::{Epoch, MemberId, Revision};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::net::SocketAddr;
use uuid::Uuid;

/// A field whose value is wrong by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{field}: {why}")]
pub struct Invalid {
    /// The field's path in the object.
    pub field: String,
    /// What is wrong with it.
    pub why: String,
}

impl Invalid {
    pub(super) fn new(field: impl Into<String>, why: impl Into<String>) -> Invalid {
        Invalid { field: field.into(), why: why.into() }
    }
}

/// Why a command changed nothing. Each is the caller's to fix or to retry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The object, or the one it belongs to, does not exist.
    #[error("there is no {kind} {uuid}")]
    NotFound {
        /// What was looked for.
        kind: Kind,
        /// Its name.
        uuid: Uuid,
    },
    /// The object refers to another that does not exist.
    #[error("{field}: there is no {kind} {uuid}")]
    NoSuchReference {
        /// The field's path in the object.
        field: String,
        /// What it should refer to.
        kind: Kind,
        /// What it names.
        uuid: Uuid,
    },
    /// An object of this name exists already.
    #[error("{kind} {uuid} exists already")]
    Exists {
        /// Its kind.
        kind: Kind,
        /// Its name.
        uuid: Uuid,
    },
    /// A field is wrong by itself.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Something must be unique, and another object has it.
    #[error("{what} is in use by {kind} {by}")]
    InUse {
        /// What must be unique, in words.
        what: String,
        /// The other object's kind.
        kind: Kind,
        /// The other object.
        by: Uuid,
    },
    /// Something else is plugged into a port.
    #[error("a {by} is plugged into {kind} {uuid}")]
    Occupied {
        /// The port's kind.
        kind: Kind,
        /// The port.
        uuid: Uuid,
        /// What is, as in `type`.
        by: Cow<'static, str>,
    },
    /// The object was changed since it was read; read it again, change it again.
    #[error("{kind} {uuid} was changed at revision {now}, after it was read")]
    Stale {
        /// Its kind.
        kind: Kind,
        /// Its name.
        uuid: Uuid,
        /// Its revision.
        now: Revision,
    },
    /// No number is left to allocate.
    #[error("all {limit} {what} are in use")]
    Exhausted {
        /// What is used up, in words.
        what: Cow<'static, str>,
        /// How many there are.
        limit: u32,
    },
    /// Another mastership of a transport node has begun.
    #[error("transport node {node} has another master, under epoch {now}")]
    NotMaster {
        /// The transport node.
        node: Uuid,
        /// The epoch of the mastership that holds.
        now: Epoch,
    },
    /// There is no cluster that anybody could join.
    #[error("this controller cannot be reached by others: start it with --cluster ADDR:PORT first")]
    NoCluster,
    /// Who would join shows no leave to.
    #[error("the token cannot be used: {why}")]
    NotInvited {
        /// Why.
        why: Cow<'static, str>,
    },
    /// A controller is no member, or not any more.
    #[error("there is no member {member} in the cluster")]
    NoSuchMember {
        /// Its number.
        member: MemberId,
    },
    /// A cluster must have a member.
    #[error("member {member} is the only one: it cannot leave")]
    LastMember {
        /// Its number.
        member: MemberId,
    },
    /// Two members cannot be at one address.
    #[error("{address} is that of member {by}")]
    AddressInUse {
        /// The address.
        address: SocketAddr,
        /// Whose it is.
        by: MemberId,
    },
    /// Who asked may not.
    #[error("it is not allowed: {why}")]
    Forbidden {
        /// Why.
        why: Cow<'static, str>,
    },
    /// Nobody may change anything for now.
    #[error("the configuration is read-only while the controllers are maintained; try again later")]
    ReadOnly,
    /// There is no such user, and a new one needs a password.
    #[error("there is no user '{name}'")]
    NoSuchUser {
        /// Their name.
        name: String,
    },
    /// Somebody must be able to let others in.
    #[error("user '{name}' is the only administrator")]
    LastAdmin {
        /// Their name.
        name: String,
    },
}
