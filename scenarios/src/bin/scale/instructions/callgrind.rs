//! Runs this program under callgrind, and reads how many instructions it counted. Start at [`count`].

use selvedge_scenarios::Outcome;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

/// Instructions of all calls of one function, with all that they call, where this program runs with these arguments. The
/// profile goes into a file, for `callgrind_annotate`.
///
/// # Errors
/// If valgrind is not there, the program fails, or the function is never called.
pub fn count(function: &str, arguments: &[&str], profile: &Path) -> Outcome<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--quiet", &format!("--toggle-collect={function}")]);
    valgrind.arg(format!("--callgrind-out-file={}", profile.display()));
    let outcome =
        valgrind.arg(std::env::current_exe()?).args(arguments).output().map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                "valgrind is not installed: `apt-get install valgrind` on Debian and Ubuntu".to_string()
            }
            _ => format!("valgrind does not start: {error}"),
        })?;
    if !outcome.status.success() {
        return Err(format!("{}: {}", outcome.status, String::from_utf8_lossy(&outcome.stderr)).into());
    }
    match total(&fs::read_to_string(profile)?)? {
        0 => Err(format!("{function} was never called: is it inlined, or has it another name?").into()),
        count => Ok(count),
    }
}

/// The sum at the end of a profile, of the only event that is counted unless more is asked for.
fn total(profile: &str) -> Result<u64, String> {
    let field = |name: &str| profile.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    match (field("events:"), field("totals:")) {
        (Some("Ir"), Some(total)) => total.parse().map_err(|error| format!("a profile with {total:?} in all: {error}")),
        (Some("Ir"), None) => Err("a profile that ends early".to_string()),
        (events, _) => Err(format!("a profile of {events:?}, not of instructions")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A profile as callgrind writes it, cut short.
    const PROFILE: &str = "# callgrind format\nversion: 1\ncreator: callgrind-3.19.0\npid: 3084\ncmd:  scale counted cold\n\
        part: 1\n\n\ndesc: I1 cache: \ndesc: Trigger: Program termination\n\npositions: line\nevents: Ir\n\
        summary: 1742\n\n\nob=(3) scale\nfl=(40) ???\nfn=(8442) scale::instructions::compute_all\n0 12\n\
        cfn=(8444) selvedge_core::compile::engine::Engine::from_nib\ncalls=1 0 \n0 1730\n\ntotals: 1742\n";

    #[test]
    fn what_is_counted_is_what_stands_at_the_end() {
        assert_eq!(total(PROFILE), Ok(1742));
        assert_eq!(total(&PROFILE.replace("1742", "0")), Ok(0));
    }

    #[test]
    fn a_profile_that_is_none_is_refused() {
        let refused = |profile: &str| total(profile).expect_err("it is none");
        assert!(refused("").contains("None"));
        assert!(refused(&PROFILE.replace("totals: 1742\n", "")).contains("ends early"));
        assert!(refused(&PROFILE.replace("totals: 1742", "totals: 17 42")).contains("17 42"));
        assert!(refused(&PROFILE.replace("events: Ir", "events: Ir Dr Dw")).contains("Ir Dr Dw"));
    }
}
