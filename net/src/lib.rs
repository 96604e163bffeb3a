//! How it is made true: wire protocols, drivers, the store, the API, the daemon.
//!
//! Protocols are sans-IO machines (bytes and time in, events and bytes out); drivers are thin, async, and generic over
//! [`runtime::Runtime`]; decisions are `selvedge-core`'s. The production runtime is tokio, in one file.
//!
//! | module | |
//! | --- | --- |
//! | [`runtime`] | time, tasks, randomness, sockets, disks, as one trait; [`runtime::Tokio`] |
//! | [`controller`] | one owner of the NIB and of what follows from it; the way to it is [`controller::Handle`] |
//! | [`cluster`] | controllers that act as one: the replicated log, on openraft |
//! | [`store`] | a member's part of the log and a snapshot, in one redb file |
//! | [`api`] | the northbound REST API, `/ws.v1` |
//! | [`southbound`] | drives the connections of transport nodes |
//! | [`ovsdb`], [`openflow`] | the protocols, both ends |
//! | [`tls`] | certificates, and how peers are told apart |
//! | [`daemon`], [`cli`] | the program `selvedge` |
//!
//! # Ideal vs now
//!
//! The throttle of logins is that of one controller. A whole NIB travels as one message to a member that is far behind. Log
//! records are JSON rather than a packed encoding: they describe themselves, and the next release reads them.

pub mod api;
pub mod cli;
pub mod cluster;
pub mod controller;
pub mod daemon;
pub mod openflow;
pub mod ovsdb;
pub mod runtime;
pub mod southbound;
pub mod store;
pub mod tls;
