//! Open vSwitch as a machine: bytes, packets and time in; bytes and packets out.
//!
//! Start at [`model`], the words that its parts share.

pub mod datapath;
pub mod machine;
pub mod model;
pub mod openflow;
pub mod ovsdb;
pub mod packet;
#[cfg(test)]
mod tests;
pub mod vswitchd;
