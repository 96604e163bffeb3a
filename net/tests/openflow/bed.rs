//! A private Open vSwitch: ovsdb-server and ovs-vswitchd with a bridge of the dummy datapath, in a folder of their own.
//!
//! Nothing outside of the folder is touched, no privileges are needed, and both processes end with the [`Bed`].

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";
const BRIDGE: &str = "br-test";

/// Whether Open vSwitch is installed. If not, says so, and panics if it is required.
pub fn is_installed() -> bool {
    let runs = |program: &str| Command::new(program).arg("--version").output().is_ok();
    let tools = ["ovs-ofctl", "ovs-vsctl", "ovsdb-tool", "ovsdb-server", "ovs-vswitchd"];
    let is_there = Path::new(SCHEMA).exists() && tools.into_iter().all(runs);
    let is_required = std::env::var("SELVEDGE_REQUIRE_OVS").is_ok_and(|value| value == "1");
    assert!(is_there || !is_required, "Open vSwitch is required and not installed");
    if !is_there {
        eprintln!("NOT RUN: Open vSwitch is not installed, so nothing was compared with it.");
    }
    is_there
}

/// A running switch.
pub struct Bed {
    processes: Vec<Child>,
    folder: TempDir,
}

impl Bed {
    /// Starts a switch, if Open vSwitch is installed.
    pub fn start() -> Option<Bed> {
        if !is_installed() {
            return None;
        }
        let folder = tempfile::Builder::new().prefix("of").tempdir_in("/tmp").expect("a temporary folder");
        let mut bed = Bed { processes: Vec::new(), folder };
        bed.run("ovsdb-tool", &["create", &bed.path("conf.db"), SCHEMA]);
        let database = format!("unix:{}", bed.path("db.sock"));
        bed.spawn("ovsdb-server", &[&bed.path("conf.db"), &format!("--remote=p{database}")]);
        await_file(bed.path("db.sock").as_ref());
        bed.vsctl(&["--no-wait", "init"]);
        let dummy = ["--enable-dummy=system", "--disable-system", "--disable-system-route"];
        bed.spawn("ovs-vswitchd", &[&[database.as_str()], dummy.as_slice()].concat());
        let settings = ["datapath_type=dummy", "fail_mode=secure", "other-config:datapath-id=0000000000000042"];
        bed.vsctl(&[["add-br", BRIDGE, "--", "set", "Bridge", BRIDGE].as_slice(), &settings].concat());
        Some(bed)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("a path of letters").to_string()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for variable in ["OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR"] {
            command.env(variable, self.folder.path());
        }
        command
    }

    fn spawn(&mut self, program: &str, arguments: &[&str]) {
        let mut command = self.command(program);
        command.args(arguments).arg("-vconsole:off").stdout(Stdio::null()).stderr(Stdio::null());
        self.processes.push(command.spawn().unwrap_or_else(|error| panic!("{program}: {error}")));
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let output = self.command(program).args(arguments).output().expect("the program runs");
        assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Runs `ovs-vsctl`; waits until the switch has done it, for ten seconds at most.
    pub fn vsctl(&self, arguments: &[&str]) {
        self.run("ovs-vsctl", &[["--timeout=10"].as_slice(), arguments].concat());
    }

    /// Runs `ovs-ofctl COMMAND` on the bridge, in OpenFlow 1.5.
    pub fn ofctl(&self, command: &str, argument: &str) {
        self.run("ovs-ofctl", &["-O", "OpenFlow15", command, &self.management(), argument]);
    }

    /// Adds a port that goes nowhere.
    pub fn add_port(&self, name: &str) {
        self.vsctl(&["add-port", BRIDGE, name, "--", "set", "Interface", name, "type=dummy"]);
    }

    fn management(&self) -> String {
        self.path(&format!("{BRIDGE}.mgmt"))
    }

    /// An OpenFlow connection to the bridge.
    pub fn connect(&self) -> UnixStream {
        UnixStream::connect(PathBuf::from(self.management())).expect("the bridge listens")
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().rev() {
            // It may have ended by itself; the test has failed by then.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn await_file(path: &Path) {
    for _ in 0..1000 {
        if path.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{} did not appear within 10 s", path.display());
}
