//! What a machine must have for a testbed, and what a test does where it is missing.
//!
//! Start at [`requirements`]; tests call [`ready_or_skip`].

use std::fmt;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The database schema that the package of Open vSwitch brings along.
pub(crate) const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// Programs, and what to install (Debian's names) where they are missing.
const PROGRAMS: [(&str, &str); 7] = [
    ("ip", "iproute2"),
    ("ovs-vswitchd", "openvswitch-switch"),
    ("ovsdb-server", "openvswitch-switch"),
    ("ovsdb-tool", "openvswitch-switch"),
    ("ovs-vsctl", "openvswitch-switch"),
    ("ovs-ofctl", "openvswitch-switch"),
    ("ovs-appctl", "openvswitch-switch"),
];

/// Everything this machine lacks for a testbed; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing(Vec<String>);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a testbed of real switches cannot run here: {}", self.0.join("; "))
    }
}

impl std::error::Error for Missing {}

/// Whether this process, on this machine, can run a testbed.
///
/// # Errors
/// Lists all that is missing, and what to do about it.
pub fn requirements() -> Result<(), Missing> {
    let mut missing: Vec<String> = PROGRAMS
        .iter()
        .filter(|(program, _)| find_program(program).is_none())
        .map(|(program, package)| format!("{program} is not installed (package {package})"))
        .collect();
    if !Path::new(SCHEMA).exists() {
        missing.push(format!("{SCHEMA} does not exist (package openvswitch-switch)"));
    }
    if !Path::new("/dev/net/tun").exists() {
        missing.push("/dev/net/tun does not exist (kernel module tun)".to_owned());
    }
    if !is_root() {
        missing.push("it needs root, to make network namespaces".to_owned());
    }
    if missing.is_empty() { Ok(()) } else { Err(Missing(missing)) }
}

/// For tests: true if real switches can run here; else says loudly that `test` was not run.
///
/// # Panics
/// If they cannot, and `SELVEDGE_REQUIRE_OVS=1`: where they are promised, a skipped test is a failed one.
pub fn ready_or_skip(test: &str) -> bool {
    let Err(missing) = requirements() else {
        return true;
    };
    let required = std::env::var_os("SELVEDGE_REQUIRE_OVS").is_some_and(|value| value == "1");
    assert!(!required, "{test}: {missing}");
    // Written past the test harness, which swallows what passing tests print. A closed stderr loses only this note.
    let _ = writeln!(std::io::stderr(), "\n*** NOT RUN: {test}: {missing}\n");
    false
}

/// Directories that hold programs: `PATH`, and where administrators' programs are when `PATH` leaves them out.
pub(crate) fn program_path() -> std::ffi::OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}

fn find_program(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&program_path()).map(|directory| directory.join(name)).find(|file| file.is_file())
}

fn is_root() -> bool {
    // The owner of /proc/self is the effective user.
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let missing = Missing(vec!["ip is not installed (package iproute2)".to_owned(), "it needs root".to_owned()]);
        assert_eq!(
            missing.to_string(),
            "a testbed of real switches cannot run here: ip is not installed (package iproute2); it needs root"
        );
    }

    #[test]
    fn programs_are_found_beside_the_path_too() {
        assert!(find_program("sh").is_some());
        assert!(find_program("no-such-program").is_none());
    }
}
