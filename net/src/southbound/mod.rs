//! The conversations with transport nodes: OVSDB to observe and configure them, OpenFlow for their flows.
//!
//! A node dials us. [`listen`] accepts, [`identity`] finds out which node it is (or turns it away, and says so where an
//! operator looks), and one task drives the connection: [`ovsdb`] or [`openflow`]. The protocols themselves are the
//! sans-IO sessions of [`crate::ovsdb`] and [`crate::openflow`]; [`pipe`] moves their bytes.
//!
//! Switches that connect all at once take turns: [`admission`].
//!
//! Nothing that forwards packets waits for any of this.
//!
//! Start at [`serve`].

mod admission;
mod flow_sync;
mod identity;
mod listen;
mod openflow;
mod ovsdb;
mod pipe;
mod questions;
mod refusals;

pub use admission::Admission;
pub use listen::{Entrance, Southbound, serve};
