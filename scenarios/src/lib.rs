//! Stories of trouble, one file each: in simulated worlds ([`stories`]), and on real switches (`tests/real_switches`).
//!
//! `cargo sim` plays the stories and seeds in our own world, `tests/turmoil` and `tests/madsim` play
//! the stories in worlds of others.
//! [`RealWorld`] is where the real-switch stories start: hypervisors with Open vSwitch, and the controller under test.
//! Run them as root, with `openvswitch-switch` and `iproute2` installed: `cargo test --workspace --test real_switches`.

pub mod controllers;
mod real_world;
pub mod stories;

pub use real_world::{ENCAPS, Outcome, PortRequest, RealWorld, results};
