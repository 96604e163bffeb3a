//! The worlds in which the product is tried: a testbed of real Open vSwitch on one Linux machine.
//!
//! Start at [`testbed`].

pub mod testbed;
