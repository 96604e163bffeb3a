//! The simulated switch against Open vSwitch, with generated inputs: what it forwards ([`datapath`]), what its
//! database answers and tells ([`ovsdb`]), and what it answers and tells to controllers ([`openflow`]).
//!
//! Each asks both the same and compares all that comes back; what may differ is listed where it is compared. Open vSwitch
//! runs by itself in a folder ([`bed`]), without root.

#![allow(clippy::disallowed_methods, reason = "real switches live in real time")]

mod bed;
mod datapath;
mod openflow;
mod ovsdb;

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}
