//! What OpenFlow messages contain. Start at [`Message`] and [`Body`]; bytes are [`super::codec`].

use super::error::{ErrorCode, Fault};
use super::flows::{FlowMod, FlowRemoved};
use super::groups::GroupMod;
use super::multipart::{Reply, Request};
use super::oxm::WireMatch;
use super::ports::PortStatus;
use selvedge_core::flow::{Actions, Field};
use selvedge_core::ids::{Epoch, OfPort};
use std::collections::BTreeMap;
use std::fmt;

/// A transaction id: what a reply or an error has in common with its request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Xid(pub u32);

impl fmt::Display for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Of the request, and of all that answers it.
    pub xid: Xid,
    /// What it says.
    pub body: Body,
}

/// What a message says. Sections are those of OpenFlow 1.5.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Which versions the sender speaks (7.5.1).
    Hello(Hello),
    /// A request could not be done (7.5.4).
    Error(ErrorMessage),
    /// Are you there? The bytes come back (7.5.2).
    EchoRequest(Vec<u8>),
    /// I am (7.5.3).
    EchoReply(Vec<u8>),
    /// Who are you (7.3.1)?
    FeaturesRequest,
    /// What a switch is and can.
    FeaturesReply(Features),
    /// What is your configuration (7.3.2)?
    GetConfigRequest,
    /// The configuration.
    GetConfigReply(SwitchConfig),
    /// Change the configuration.
    SetConfig(SwitchConfig),
    /// A packet for the controller (7.4.1).
    PacketIn(PacketIn),
    /// A flow is gone (7.4.2).
    FlowRemoved(FlowRemoved),
    /// A port came, went or changed (7.4.3).
    PortStatus(PortStatus),
    /// A packet from the controller (7.3.6).
    PacketOut(PacketOut),
    /// Change flows (7.3.4.2).
    FlowMod(FlowMod),
    /// Change groups (7.3.4.3).
    GroupMod(GroupMod),
    /// A question that may have a long answer (7.3.5).
    MultipartRequest(Request),
    /// A part of the answer.
    MultipartReply {
        /// Whether another part follows.
        more: bool,
        /// This part.
        reply: Reply,
    },
    /// Tell me when all before this is done (7.3.7).
    BarrierRequest,
    /// It is.
    BarrierReply,
    /// Ask for a role, or which it is (7.3.8).
    RoleRequest(RoleRequest),
    /// The role.
    RoleReply(RoleRequest),
    /// The role was changed by another controller's request (7.4.4).
    RoleStatus(RoleStatus),
    /// Which unasked messages to send (7.3.10).
    SetAsync(AsyncConfig),
    /// Another controller changed a group or a meter: its request, whole (7.4.6).
    RequestForward(Vec<u8>),
    /// Open, close, commit or discard a bundle, and the answers (7.3.9.2).
    BundleControl(BundleControl),
    /// Something to do when the bundle is committed (7.3.9.6).
    BundleAdd(BundleAdd),
    /// A type that is not modelled, whole without its header.
    Unknown {
        /// The header's type.
        kind: u8,
        /// What follows the header.
        bytes: Vec<u8>,
    },
}

/// Which versions the sender speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The header's version: the highest, if there is no bitmap.
    pub version: u8,
    /// A bit for each version, where bit 6 is 1.5, if the sender gave it.
    pub versions: Option<u32>,
}

impl fmt::Display for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.versions {
            Some(bitmap) => write!(f, "version {:#04x}, bitmap {bitmap:#x}", self.version),
            None => write!(f, "version {:#04x}, no bitmap", self.version),
        }
    }
}

/// A request could not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorMessage {
    /// Why.
    pub code: ErrorCode,
    /// At least 64 bytes of the request; text for `OFPET_HELLO_FAILED`.
    pub data: Vec<u8>,
}

/// What a switch is and can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Its identity; from the bridge's MAC unless it was configured.
    pub datapath_id: u64,
    /// Packets it can hold back for the controller.
    pub buffers: u32,
    /// How many tables there are.
    pub tables: u8,
    /// Zero on the main connection.
    pub auxiliary_id: u8,
    /// `OFPC_*`.
    pub capabilities: u32,
}

/// How a switch treats packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwitchConfig {
    /// `OFPC_FRAG_*`: 0 is to treat fragments as other packets.
    pub fragments: u16,
    /// Bytes of a packet that go to the controller.
    pub miss_send_len: u16,
}

/// A packet for the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketIn {
    /// The length of the whole packet.
    pub total_length: u16,
    /// `OFPR_*`: 0 is a table miss, 1 an action.
    pub reason: u8,
    /// The table it was in.
    pub table: u8,
    /// Of the flow that sent it.
    pub cookie: u64,
    /// Metadata: port, tunnel and registers.
    pub matching: WireMatch,
    /// The packet, or its beginning.
    pub data: Vec<u8>,
}

impl PacketIn {
    /// The port the packet came in by, if it was told and all else in the metadata is modelled.
    pub fn in_port(&self) -> Option<OfPort> {
        let port = self.matching.known()?.get(Field::InPort)?;
        u32::try_from(port.value()).ok().map(OfPort)
    }
}

/// A packet from the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketOut {
    /// Where it is to have come from.
    pub in_port: OfPort,
    /// What to do with it. A goto_table is not possible here.
    pub actions: Actions,
    /// The packet.
    pub data: Vec<u8>,
}

/// What a controller is to a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// In a request: only tell me.
    NoChange,
    /// May write, as others may.
    Equal,
    /// May write; all others with it are made secondary.
    Primary,
    /// May not write.
    Secondary,
}

/// A role asked for, or had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleRequest {
    /// Which.
    pub role: Role,
    /// `generation_id`: counts for [`Role::Primary`] and [`Role::Secondary`]. In a reply the highest seen, and all
    /// ones before there was any.
    pub generation: Epoch,
}

/// The role of this connection was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleStatus {
    /// To what.
    pub role: Role,
    /// `OFPCRR_*`: 0 another controller asked to be primary, 1 the switch was configured, 2 experimenter data.
    pub reason: u8,
    /// The highest seen.
    pub generation: Epoch,
}

/// A kind of unasked message, for a controller in one role. Each has a mask with a bit for each reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub enum AsyncKind {
    /// Packets, to a secondary.
    PacketInSecondary = 0,
    /// Packets, to an equal or primary.
    PacketInPrimary = 1,
    /// Ports, to a secondary.
    PortStatusSecondary = 2,
    /// Ports, to an equal or primary.
    PortStatusPrimary = 3,
    /// Flows that went, to a secondary.
    FlowRemovedSecondary = 4,
    /// Flows that went, to an equal or primary.
    FlowRemovedPrimary = 5,
    /// Changes of role, to a secondary.
    RoleStatusSecondary = 6,
    /// Changes of role, to an equal or primary.
    RoleStatusPrimary = 7,
    /// Tables, to a secondary.
    TableStatusSecondary = 8,
    /// Tables, to an equal or primary.
    TableStatusPrimary = 9,
    /// Forwarded requests, to a secondary.
    RequestForwardSecondary = 10,
    /// Forwarded requests, to an equal or primary.
    RequestForwardPrimary = 11,
}

impl AsyncKind {
    /// All of them, by number.
    pub const ALL: [AsyncKind; 12] = [
        AsyncKind::PacketInSecondary,
        AsyncKind::PacketInPrimary,
        AsyncKind::PortStatusSecondary,
        AsyncKind::PortStatusPrimary,
        AsyncKind::FlowRemovedSecondary,
        AsyncKind::FlowRemovedPrimary,
        AsyncKind::RoleStatusSecondary,
        AsyncKind::RoleStatusPrimary,
        AsyncKind::TableStatusSecondary,
        AsyncKind::TableStatusPrimary,
        AsyncKind::RequestForwardSecondary,
        AsyncKind::RequestForwardPrimary,
    ];
}

/// Which unasked messages to send: a mask of reasons by kind. Kinds left out stay as they were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AsyncConfig(pub BTreeMap<AsyncKind, u32>);

/// Names a bundle on its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BundleId(pub u32);

/// `OFPBCT_*`: what to do with a bundle, or what was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub enum BundleStep {
    /// Make it.
    OpenRequest = 0,
    /// It is made.
    OpenReply = 1,
    /// Nothing more is to be added.
    CloseRequest = 2,
    /// It is closed.
    CloseReply = 3,
    /// Do all that is in it.
    CommitRequest = 4,
    /// It is done.
    CommitReply = 5,
    /// Forget it.
    DiscardRequest = 6,
    /// It is forgotten.
    DiscardReply = 7,
}

impl BundleStep {
    /// All of them, by number.
    pub const ALL: [BundleStep; 8] = [
        BundleStep::OpenRequest,
        BundleStep::OpenReply,
        BundleStep::CloseRequest,
        BundleStep::CloseReply,
        BundleStep::CommitRequest,
        BundleStep::CommitReply,
        BundleStep::DiscardRequest,
        BundleStep::DiscardReply,
    ];
}

/// `OFPBF_*`. Must be the same in all messages of a bundle; zero in replies of Open vSwitch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleFlags(pub u16);

impl BundleFlags {
    /// None.
    pub const NONE: BundleFlags = BundleFlags(0);
    /// All or nothing, and in the order given.
    pub const ATOMIC_ORDERED: BundleFlags = BundleFlags(3);
}

/// Open, close, commit or discard a bundle, or the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleControl {
    /// Which bundle.
    pub bundle: BundleId,
    /// What to do with it, or what was done.
    pub step: BundleStep,
    /// How.
    pub flags: BundleFlags,
}

/// Something to do when the bundle is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleAdd {
    /// Which bundle.
    pub bundle: BundleId,
    /// As when it was opened.
    pub flags: BundleFlags,
    /// What to do. On the wire it is a message with the xid of this one.
    pub change: Mod,
}

/// A change that can be in a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mod {
    /// Of flows.
    Flow(FlowMod),
    /// Of groups.
    Group(GroupMod),
}

impl From<Mod> for Body {
    fn from(change: Mod) -> Body {
        match change {
            Mod::Flow(change) => Body::FlowMod(change),
            Mod::Group(change) => Body::GroupMod(change),
        }
    }
}

impl Role {
    pub(super) fn wire(self) -> u32 {
        match self {
            Role::NoChange => 0,
            Role::Equal => 1,
            Role::Primary => 2,
            Role::Secondary => 3,
        }
    }

    pub(super) fn of_wire(number: u32) -> Result<Role, Fault> {
        match number {
            0 => Ok(Role::NoChange),
            1 => Ok(Role::Equal),
            2 => Ok(Role::Primary),
            3 => Ok(Role::Secondary),
            other => Err(Fault::Value { what: "role", value: other.into() }),
        }
    }
}
