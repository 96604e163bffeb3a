//! OVSDB (RFC 7047): how a transport node is observed and configured.
//!
//! A hypervisor is told `ovs-vsctl set-manager ssl:CONTROLLER:6640` and dials us; on that connection we
//! are the client, and tell it of the other controllers. [`session`] holds the conversation: bytes and time in, bytes and
//! events out. It keeps a [`replica`] of the tables named in a [`schema`], which [`vswitch`] turns into typed rows. [`plan`] compares
//! those with what the transport node should be and answers with an [`operation::Transaction`]. [`statistics`] are asked for,
//! not watched.
//!
//! Everything here is sans-IO and knows no clock: the caller owns the socket and passes time as a [`Duration`]
//! since an origin of its choice. [`codec`] is two-sided: it serves whoever plays the switch as well.
//!
//! The peer is authenticated but not trusted: its nonsense ends its session with a reason, and nothing else.
//!
//! Ideal vs now: every connection starts from an empty replica, because a switch's database keeps no history
//! to resume from. A switch that lacks a column that we watch (`iface_types` came with 2.5) is refused with its
//! own error, where asking for its schema first could leave the column out.
//!
//! [`Duration`]: std::time::Duration

pub mod codec;
pub mod operation;
pub mod plan;
pub mod replica;
pub mod schema;
pub mod session;
pub mod statistics;
pub mod value;
pub mod vswitch;
