//! The OpenFlow side of a simulated ovs-vswitchd, as a machine of bytes.
//!
//! Its codec is its own and shares nothing with the controller's: two readings of OpenFlow 1.5.1 and of Nicira's
//! extensions, so that a mistake in either shows. What is refused is refused with the error that Open vSwitch sends.
//!
//! | module | |
//! | --- | --- |
//! | `bytes` | reading and writing what messages are made of |
//! | `oxm` | fields and matches in bytes |
//! | `actions` | actions, instructions and buckets in bytes |
//! | `consistency` | whether actions go with a match |
//! | `deadly` | what a real switch does not survive |
//! | `mods` | flow and group modifications, read and carried out |
//! | `dump` | what a switch tells of its flows, groups and ports |
//! | [`agent`] | connections, roles, bundles, monitors |
//!
//! Start at [`agent::Agent`].

mod actions;
pub mod agent;
mod bytes;
mod consistency;
mod deadly;
mod dump;
mod mods;
mod oxm;
#[cfg(test)]
mod tests;

pub use deadly::Deadly;
