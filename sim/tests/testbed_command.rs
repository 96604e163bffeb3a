//! The `testbed` command, call by call, in a network namespace and a `TMPDIR` of its own.

use std::path::Path;
use std::process::{Command, Output};

use selvedge_sim::testbed::{enter_private_namespace, ready_or_skip};

/// Calls of the command that share a `TMPDIR`.
struct Calls {
    tmpdir: tempfile::TempDir,
}

impl Calls {
    /// `None` where real switches cannot run.
    fn begin(test: &str) -> Option<Self> {
        if !ready_or_skip(test) {
            return None;
        }
        enter_private_namespace().expect("a namespace");
        Some(Self { tmpdir: tempfile::tempdir().expect("a directory") })
    }

    fn call(&self, line: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_testbed"));
        command.args(line.split(' ')).env("TMPDIR", self.tmpdir.path());
        command.output().expect("it starts")
    }

    /// What a call that must succeed printed.
    fn ok(&self, line: &str) -> String {
        let output = self.call(line);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {complaint}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// The complaint of a call that must fail.
    fn fails(&self, line: &str) -> String {
        let output = self.call(line);
        assert!(!output.status.success(), "{line} must fail");
        String::from_utf8(output.stderr).expect("text")
    }

    fn status(&self) -> serde_json::Value {
        let output = self.call("status --json");
        serde_json::from_slice(&output.stdout).expect("JSON, whether all is well or not")
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        // If a test fails half-way; where all went well there is nothing left to remove.
        self.call("down");
    }
}

#[test]
fn separate_calls_work_on_one_bed() {
    let Some(bed) = Calls::begin("separate_calls_work_on_one_bed") else {
        return;
    };
    assert!(bed.fails("status").contains("no testbed is up"));
    assert!(bed.ok("up 2 --mesh vxlan").contains("172.31.1.2"));
    assert!(bed.fails("up 2").contains("down"));
    bed.ok("add-vm hv1 web 02:00:00:00:00:01 10.0.0.1/24,fd00::1/64 vif-1");
    bed.ok("add-vm hv2 db 02:00:00:00:00:02 10.0.0.2/24,fd00::2/64 5c1f --xen");
    assert!(bed.ok("ping web 10.0.0.2").contains("sent 5, received"));
    assert!(bed.fails("ping web 10.0.0.9 -c 1").is_empty(), "no answer is no error");
    bed.ok("move-vm db hv1");
    bed.ok("ping web fd00::2");
    assert_eq!(bed.status()["guests"]["db"]["place"]["at"], "hv1");
    bed.ok("move-vm db hv2 --leaves-first");
    assert!(bed.fails("move-vm db hv2").contains("db is on hv2 already"));
    assert!(bed.ok("exec web -- ip -br addr").contains("10.0.0.1/24"));
    assert!(bed.ok("vsctl hv2 -- get Interface db external_ids").contains("xs-vif-uuid"));
    assert!(bed.ok("ofctl hv1 -- dump-flows br-int").contains("OF1.5"));
    assert!(bed.ok("appctl hv1 -- version").contains("ovs-vswitchd"));

    bed.ok("kill hv1 both");
    bed.fails("status");
    assert!(bed.status()["hypervisors"]["hv1"]["switch_pid"].is_null());
    bed.ok("start hv1");
    assert!(bed.ok("status").contains("xs-vif-uuid=5c1f"));
    bed.ok("ping web 10.0.0.2");

    bed.ok("del-vm db");
    assert!(bed.fails("ping db 10.0.0.1").contains("no guest db"));
    bed.ok("down");
    assert!(bed.fails("status").contains("no testbed is up"));
    assert_eq!(bed.ok("down"), "", "nothing is left to remove");
}

#[test]
fn down_removes_what_a_killed_test_left() {
    let Some(bed) = Calls::begin("down_removes_what_a_killed_test_left") else {
        return;
    };
    bed.ok("up 1");
    let directory = bed.status()["directory"].as_str().expect("a path").to_owned();
    let netns = bed.status()["hypervisors"]["hv1"]["netns"].as_str().expect("a name").to_owned();
    let set_owner = |start_ticks: u64| {
        let owner = format!(r#""owner": {{"pid": {}, "start_ticks": {start_ticks}}}"#, std::process::id());
        let file = Path::new(&directory).join("state.json");
        let state = std::fs::read_to_string(&file).expect("a state");
        let head = state.find(r#""owner""#).expect("it tells its owner");
        let tail = state.find(r#""hypervisors""#).expect("it tells its hypervisors");
        std::fs::write(&file, format!("{}{owner},{}", &state[..head], &state[tail..])).expect("written");
    };
    set_owner(own_start_ticks());
    assert_eq!(bed.ok("down"), "", "its owner lives");
    set_owner(1);
    assert_eq!(bed.ok("down"), format!("removed {directory}\n"));
    assert!(!Path::new(&directory).exists());
    assert!(!Path::new("/run/netns").join(netns).exists());
}

/// Field 22 of proc_pid_stat(5), in a process whose name has no spaces.
fn own_start_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("it runs");
    stat.split_whitespace().nth(21).and_then(|field| field.parse().ok()).expect("a number")
}
