//! How many instructions the paths took when somebody last looked, in `scenarios/instructions.json`, and how far from that
//! is too far. Start at [`difference`].
//!
//! A program counts the same each time, whatever its environment, to two in a million. Other things than our code move it:
//! where the program lies by 0.1 %, the `memcpy` that the C library chooses for another processor by up to 2 %. The tolerance
//! is above that. Another compiler inlines otherwise, and the allocator of another C library, in which up to 40 % of the
//! instructions are, may move it by 10 %: then more is let pass, and it is said.
//!
//! A step below the tolerance is not seen. Many do not add up unseen, since the record stays until somebody makes another.

use super::HotPath;
use selvedge_scenarios::Outcome;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

/// What is let pass, either way.
const TOLERANCE_PERCENT: u64 = 3;
/// The same, where the record was made with another compiler or C library.
const TOLERANCE_ELSEWHERE_PERCENT: u64 = 15;
/// How a record is made.
const RECORD: &str = "`cargo scale --instructions --record`";

/// What the file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// What the program was made with.
    pub tools: String,
    /// How many each path took.
    pub instructions: BTreeMap<HotPath, u64>,
}

impl Recorded {
    /// Reads it.
    ///
    /// # Errors
    /// If it is not there, or is none.
    pub fn read() -> Outcome<Recorded> {
        let file = file();
        let at = |error: &dyn std::fmt::Display| format!("{}: {error}; {RECORD} makes it", file.display());
        let text = fs::read_to_string(&file).map_err(|error| at(&error))?;
        Ok(serde_json::from_str(&text).map_err(|error| at(&error))?)
    }

    /// Writes it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self) -> Outcome<()> {
        let file = file();
        fs::write(&file, serde_json::to_string_pretty(self)? + "\n")?;
        eprintln!("recorded in {}", file.display());
        Ok(())
    }
}

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("instructions.json")
}

/// What this program was made with: compiler, processor, C library. It is the same compiler, since cargo makes the program
/// just before it runs it.
pub fn tools() -> String {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let compiler = said(&rustc, "--version").unwrap_or_else(|| "an unknown compiler".to_string());
    let c_library = said("getconf".as_ref(), "GNU_LIBC_VERSION").unwrap_or_else(|| "an unknown C library".to_string());
    format!("{compiler}, {}, {c_library}", env::consts::ARCH)
}

fn said(program: &OsStr, argument: &str) -> Option<String> {
    let outcome = Command::new(program).arg(argument).output().ok().filter(|outcome| outcome.status.success())?;
    Some(String::from_utf8(outcome.stdout).ok()?.trim().to_string())
}

/// How much is let pass, of a program that was made with these tools.
pub fn tolerance_percent(recorded: Option<&Recorded>, tools: &str) -> u64 {
    match recorded {
        Some(recorded) if recorded.tools != tools => TOLERANCE_ELSEWHERE_PERCENT,
        _ => TOLERANCE_PERCENT,
    }
}

/// Whether a path took about as many instructions as are recorded.
///
/// # Errors
/// If not: what to do, for people.
pub fn difference(path: &str, counted: u64, recorded: Option<u64>, tolerance_percent: u64) -> Result<(), String> {
    let Some(recorded) = recorded else { return Err(format!("{path} has no record: {RECORD}")) };
    if counted.abs_diff(recorded) * 100 <= recorded * tolerance_percent {
        return Ok(());
    }
    let percent = (counted as f64 / recorded as f64 - 1.0) * 100.0;
    match counted > recorded {
        true => Err(format!(
            "{path} takes {percent:.1} % more instructions than recorded: look at what made it slower (`--profile DIR` \
             keeps profiles), or record the new figure with {RECORD}"
        )),
        false => Err(format!(
            "{path} takes {:.1} % fewer instructions than recorded: record that with {RECORD}, so that the gain is kept",
            -percent
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THIS: &str = "rustc 1.95.0, x86_64, glibc 2.36";

    #[test]
    fn what_is_too_far_in_either_direction_is_said_with_what_to_do() {
        let check = |counted, recorded| difference("cold", counted, recorded, TOLERANCE_PERCENT);
        for counted in [9_700, 10_000, 10_300] {
            assert_eq!(check(counted, Some(10_000)), Ok(()));
        }
        let more = check(10_310, Some(10_000)).expect_err("too many");
        assert!(
            more.starts_with("cold takes 3.1 % more") && more.contains("slower") && more.contains(RECORD),
            "{more}"
        );
        let fewer = check(9_690, Some(10_000)).expect_err("too few");
        assert!(fewer.starts_with("cold takes 3.1 % fewer") && fewer.contains(RECORD), "{fewer}");
        assert!(check(1, None).expect_err("nothing to hold it against").contains("no record"));
        assert!(check(1, Some(0)).is_err());
    }

    #[test]
    fn more_is_let_pass_where_another_compiler_was_at_work() {
        let recorded = Recorded { tools: THIS.to_string(), instructions: [(HotPath::Cold, 10_000)].into() };
        assert_eq!(tolerance_percent(None, THIS), TOLERANCE_PERCENT);
        assert_eq!(tolerance_percent(Some(&recorded), THIS), TOLERANCE_PERCENT);
        for other in ["rustc 1.96.0, x86_64, glibc 2.36", "an unknown compiler, x86_64, glibc 2.36"] {
            let percent = tolerance_percent(Some(&recorded), other);
            assert_eq!(percent, TOLERANCE_ELSEWHERE_PERCENT);
            assert_eq!(difference("cold", 11_400, Some(10_000), percent), Ok(()));
            assert!(difference("cold", 11_600, Some(10_000), percent).is_err());
            assert!(difference("cold", 8_400, Some(10_000), percent).is_err());
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let recorded = Recorded { tools: THIS.to_string(), instructions: [(HotPath::PortsAdded, 1)].into() };
        let text = serde_json::to_string(&recorded).expect("it has a form");
        assert_eq!(text, r#"{"tools":"rustc 1.95.0, x86_64, glibc 2.36","instructions":{"ports-added":1}}"#);
        assert_eq!(serde_json::from_str::<Recorded>(&text).expect("it is one"), recorded);
    }
}
