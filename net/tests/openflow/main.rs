//! OpenFlow against what is known to be right: recorded sessions, `ovs-ofctl` and a real ovs-vswitchd.
//!
//! | module | asks |
//! | --- | --- |
//! | `golden` | do recorded messages decode, and encode to the same bytes? |
//! | `printed` | does `ovs-ofctl` read what we write as what we meant? |
//! | `roundtrip` | does anything that can be encoded decode to itself? |
//! | `sessions` | do sessions and bundles end as they should, whatever the peer does? |
//! | `switch` | does a real ovs-vswitchd do what we say, and report exactly that? |
//!
//! `samples` has a flow for each field and action. Without Open vSwitch `printed` and `switch` say that they did not run,
//! and fail if `SELVEDGE_REQUIRE_OVS` is 1.

#![allow(clippy::disallowed_methods, reason = "real switches live in real time")]

mod bed;
mod golden;
mod printed;
mod roundtrip;
mod samples;
mod sessions;
mod switch;
mod transcripts;

/// Compares with a snapshot in the workspace's own folder for them.
fn snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}
