//! The stories that madsim can express, in its world: the third model of a network, and the one that intercepts libc, so
//! that a clock, a thread or a random number that did not come from the runtime shows as two runs that differ.
//!
//! madsim exists only under `--cfg madsim`, which every crate must be built with: `cargo madsim` does so, in a target
//! directory of its own. Start at [`stage::MadsimStage`](stage).

#[cfg(madsim)]
mod stage;
#[cfg(madsim)]
mod stories;

/// So that a build that lost the flag, as any `RUSTFLAGS` variable makes it, does not pass for one that tested something.
#[cfg(not(madsim))]
#[test]
#[ignore = "needs a build of its own: cargo madsim"]
fn built_for_madsim() {
    panic!("built without --cfg madsim: unset RUSTFLAGS, then `cargo madsim`");
}
