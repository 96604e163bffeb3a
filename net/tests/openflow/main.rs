//! OpenFlow against what is known to be right: recorded sessions, and itself.
//!
//! | module | asks |
//! | --- | --- |
//! | `golden` | do recorded messages decode, and encode to the same bytes? |
//! | `roundtrip` | does anything that can be encoded decode to itself? |
//! | `sessions` | do sessions and bundles end as they should, whatever the peer does? |

mod golden;
mod roundtrip;
mod sessions;
mod transcripts;

/// Compares with a snapshot in the workspace's own folder for them.
fn snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}
