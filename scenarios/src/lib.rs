//! Stories of trouble, one file each: on real switches in `tests/real_switches`, and seeded in a simulated world later.
//!
//! [`RealWorld`] is where the real-switch stories start: hypervisors with Open vSwitch, and the controller under test.
//! Run them as root, with `openvswitch-switch` and `iproute2` installed: `cargo test --workspace --test real_switches`.

mod real_world;
pub mod stories;

pub use real_world::{ENCAPS, Outcome, PortRequest, RealWorld, results};
