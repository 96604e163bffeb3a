//! Runs `ip` and the tools of Open vSwitch, and turns their complaints into errors.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use super::error::{Doing, Error, Result};
use super::requirements::program_path;

/// A command in plain English and with the administrators' programs in reach, not started yet.
pub fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C").env("PATH", program_path());
    command
}

/// Runs a command to its end; what it printed.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().doing(|| describe(command))?;
    judge(command, output)
}

/// Runs several `ip` commands as one process, in the caller's namespace or (`-n`) another; stops at the first error.
pub fn ip_batch(namespace: Option<&str>, lines: &[String]) -> Result<String> {
    let mut ip = command("ip", &[]);
    if let Some(name) = namespace {
        ip.args(["-n", name]);
    }
    ip.args(["-batch", "-"]);
    let mut child =
        ip.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().doing(|| describe(&ip))?;
    let mut stdin = child.stdin.take().expect("stdin was asked to be a pipe");
    let fed = stdin.write_all((lines.join("\n") + "\n").as_bytes());
    drop(stdin);
    let output = child.wait_with_output().doing(|| describe(&ip))?;
    // When ip ended early its own complaint says more than the broken pipe.
    judge(&ip, output)
        .map_err(|error| with_lines(error, lines))
        .and_then(|text| fed.doing(|| describe(&ip)).map(|()| text))
}

fn judge(command: &Command, output: Output) -> Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let problem = if complaint.is_empty() { output.status.to_string() } else { complaint };
    Err(Error::Command { command: describe(command), problem })
}

/// `ip` names the failed line by its number: shows what stands there.
fn with_lines(error: Error, lines: &[String]) -> Error {
    match error {
        Error::Command { command, problem } => {
            let script = lines.join("; ");
            Error::Command { command: format!("{command} ({script})"), problem }
        }
        other => other,
    }
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_becomes_an_error_that_names_the_command() {
        let error = run(&mut command("sh", &["-c", "echo no good >&2; exit 3"])).expect_err("it failed");
        assert_eq!(error.to_string(), "`sh -c echo no good >&2; exit 3`: no good");
        let error = run(&mut command("sh", &["-c", "exit 3"])).expect_err("it failed");
        assert_eq!(error.to_string(), "`sh -c exit 3`: exit status: 3");
        let error = run(&mut command("no-such-program", &["x"])).expect_err("it does not exist");
        assert!(error.to_string().starts_with("no-such-program x: "), "{error}");
    }

    #[test]
    fn what_was_printed_comes_back() {
        assert_eq!(run(&mut command("echo", &["a", "b"])).expect("echo works"), "a b\n");
    }
}
