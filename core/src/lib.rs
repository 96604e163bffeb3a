//! What should be true: from what users want and transport nodes report to the flows every switch should hold.
//!
//! Pure: no sockets, clocks, threads or async. Events go in, effects come out, and the same events give the same effects.
//!
//! # The life of a northbound commit
//!
//! A [`nib::Command`] is applied by [`nib::Nib::apply`], which refuses it or says what it [`nib::Change`]d, and
//! allocates all numbers. What a user asks for comes with its author ([`nib::Command::By`]), is judged by their role there,
//! and recorded. [`compile::Engine::update`] names the fragments that read what changed, computes them again, and
//! gives each transport node that holds one the difference, a [`reconcile::Delta`]. [`reconcile::plan`] puts it in order.
//!
//! # The life of a VIF
//!
//! A transport node reports it ([`nib::Command::Observe`]); the newest claim says where it is ([`nib::Nib::location`]).
//! If a logical port is attached to it, and enabled, the port takes part: its node gets the way in, port security and the
//! way out; the other nodes of the switch get the way to it; group frames get one more copy.
//!
//! # The life of a frame
//!
//! It passes the stages of [`pipeline`] where it is sent, crosses one tunnel with the logical datapath as key, is looked
//! up once more where it is received, and leaves by its port.
//!
//! # Map
//!
//! | module | |
//! | --- | --- |
//! | [`nib`] | intent and observation; commands; where a VIF is; who may do what |
//! | [`compile`] | flows from the NIB, incrementally; one file for each stage |
//! | [`pipeline`] | stages, registers, flags: one table each |
//! | [`flow`] | flows and groups as data and as text |
//! | [`reconcile`] | from what a switch holds to what it should |
//! | [`trace`] | what becomes of a packet, on intent, in words |
//! | [`names`] | names for the numbers in flows |
//! | [`addr`], [`ids`] | addresses; identifiers |
//!
//! # Ideal vs now
//!
//! The first release knows logical switches. Broadcast is replicated at the source only; `replication_mode` *service* is
//! kept, and treated as *source* while there are no service nodes. Routers, gateway services, queues, security profiles, ACLs
//! and mirrors are kept ([`nib::Kept`]) and not carried out. A learning port gets frames to unknown destinations, but nothing is learned from it.

pub mod addr;
pub mod compile;
pub mod flow;
pub mod ids;
pub mod names;
pub mod nib;
pub mod pipeline;
pub mod reconcile;
pub mod trace;
