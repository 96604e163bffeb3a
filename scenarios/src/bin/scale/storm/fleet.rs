//! The process of the switches, as who started it sees it. Start at [`Fleet::start`].

use super::switches::Counts;
use selvedge_scenarios::Outcome;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// It ends with this.
pub struct Fleet {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Fleet {
    /// Runs this program again, as the switches of the topology that these arguments name.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(topology: &[String], manager: &str) -> Outcome<Fleet> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["switches", "--manager", manager]).args(topology);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (orders, answers) = (process.stdin.take(), process.stdout.take());
        let (Some(orders), Some(answers)) = (orders, answers) else { return Err("the switches have no pipes".into()) };
        Ok(Fleet { process, orders, answers: BufReader::new(answers) })
    }

    /// What all switches did.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn counts(&mut self) -> Outcome<Counts> {
        writeln!(self.orders, "counts")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill().and_then(|()| self.process.wait());
    }
}
