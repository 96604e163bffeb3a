//! Stories on real Open vSwitch: hypervisors in network namespaces of their own, guests behind veth pairs, and the
//! controller as it ships.
//!
//! They need root, `openvswitch-switch` and `iproute2`; where these are missing it is said loudly what was not run, and
//! with `SELVEDGE_REQUIRE_OVS=1` it is a failure. Figures are printed, never asserted by a clock.

#![allow(clippy::disallowed_methods, reason = "real switches live in real time")]

mod admission;
mod fail_static;
mod failover;
mod pace;
mod port_security;
mod reachability;
mod vm_life;
