//! A real Open vSwitch in a folder of its own, with ports that are sockets.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";
const BRIDGE: &str = "br-test";
/// The Ethertype of marks.
const MARK: u16 = 0x9999;

/// Whether Open vSwitch is installed. If not, says so, and panics if it is required.
fn is_installed() -> bool {
    let runs = |program: &str| Command::new(program).arg("--version").output().is_ok();
    let tools = ["ovs-ofctl", "ovs-vsctl", "ovs-appctl", "ovsdb-tool", "ovsdb-server", "ovs-vswitchd"];
    let is_there = Path::new(SCHEMA).exists() && tools.into_iter().all(runs);
    let is_required = std::env::var("SELVEDGE_REQUIRE_OVS").is_ok_and(|value| value == "1");
    assert!(is_there || !is_required, "Open vSwitch is required and not installed");
    if !is_there {
        eprintln!("NOT RUN: Open vSwitch is not installed, so nothing was compared with it.");
    }
    is_there
}

/// A running switch with its ports; both processes end with it.
pub struct Bed {
    processes: Vec<Child>,
    ports: Vec<UnixStream>,
    marks: u32,
    folder: TempDir,
}

impl Bed {
    /// Starts a switch with ports 1 to `ports`, if Open vSwitch is installed.
    pub fn start(ports: u32) -> Option<Bed> {
        if !is_installed() {
            return None;
        }
        let folder = tempfile::Builder::new().prefix("fd").tempdir_in("/tmp").expect("a temporary folder");
        let mut bed = Bed { processes: Vec::new(), ports: Vec::new(), marks: 0, folder };
        bed.run("ovsdb-tool", &["create", &bed.path("conf.db"), SCHEMA]).expect("a database");
        let database = format!("unix:{}", bed.path("db.sock"));
        bed.spawn("ovsdb-server", &[&bed.path("conf.db"), &format!("--remote=p{database}"), "--unixctl=db.ctl"]);
        await_file(bed.path("db.sock").as_ref());
        bed.run("ovs-vsctl", &["--no-wait", "init"]).expect("a row for the switch");
        let control = format!("--unixctl={}", bed.path("ctl"));
        let dummy = ["--enable-dummy=system", "--disable-system", "--disable-system-route", control.as_str()];
        bed.spawn("ovs-vswitchd", &[&[database.as_str()], dummy.as_slice()].concat());
        bed.vsctl(&["add-br", BRIDGE, "--", "set", "Bridge", BRIDGE, "datapath_type=dummy", "fail_mode=secure"]);
        for number in 1..=ports {
            let name = format!("p{number}");
            let socket = format!("options:pstream=punix:{}", bed.path(&name));
            let request = format!("ofport_request={number}");
            let interface = ["--", "set", "Interface", &name, "type=dummy", &request, &socket];
            bed.vsctl(&[&["add-port", BRIDGE, &name], interface.as_slice()].concat());
            await_file(bed.path(&name).as_ref());
            let stream = UnixStream::connect(bed.path(&name)).expect("the port listens");
            stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
            bed.ports.push(stream);
        }
        Some(bed)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("a path of letters").to_string()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path());
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

    fn run(&self, program: &str, arguments: &[&str]) -> Result<String, String> {
        let output = self.command(program).args(arguments).output().expect("the program runs");
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    fn vsctl(&self, arguments: &[&str]) {
        self.run("ovs-vsctl", &[["--timeout=20"].as_slice(), arguments].concat()).expect("it is done");
    }

    fn appctl(&self, arguments: &[&str]) -> Result<String, String> {
        let control = format!("--target={}", self.path("ctl"));
        self.run("ovs-appctl", &[[control.as_str()].as_slice(), arguments].concat())
    }

    /// Replaces all flows and groups, and forgets what was decided and tracked before.
    pub fn load(&mut self, bundle: &str) -> Result<(), String> {
        std::fs::write(self.path("bundle"), bundle).expect("a file");
        // What was decided by the old flows is counted, and learnt from, when it is forgotten: so before the new ones come.
        self.forget_decisions();
        let management = format!("unix:{}", self.path(&format!("{BRIDGE}.mgmt")));
        self.run("ovs-ofctl", &["-O", "OpenFlow15", "bundle", &management, &self.path("bundle")])?;
        self.control("dpctl/flush-conntrack");
        self.forget_decisions();
        Ok(())
    }

    /// Makes the datapath look up every packet anew.
    pub fn forget_decisions(&self) {
        self.control("revalidator/purge");
    }

    /// Tells the daemon something by its control socket, which is faster than by `ovs-appctl`.
    fn control(&self, method: &str) {
        let mut stream = UnixStream::connect(self.path("ctl")).expect("the daemon listens");
        let request = serde_json::json!({ "id": 0, "method": method, "params": [] });
        stream.write_all(request.to_string().as_bytes()).expect("the daemon takes a request");
        let answer = serde_json::Deserializer::from_reader(stream).into_iter::<serde_json::Value>().next();
        let answer = answer.expect("an answer").expect("JSON");
        assert!(answer["error"].is_null(), "{method}: {answer}");
    }

    /// What Open vSwitch says it does with a packet.
    pub fn trace(&self, port: u32, packet: &[u8]) -> String {
        let hex: String = packet.iter().map(|byte| format!("{byte:02x}")).collect();
        let trace = self.appctl(&["ofproto/trace", BRIDGE, &format!("in_port={port}"), &hex]);
        trace.unwrap_or_else(|error| error)
    }

    /// The flows that Open vSwitch has now.
    pub fn flows(&self) -> String {
        let management = format!("unix:{}", self.path(&format!("{BRIDGE}.mgmt")));
        let dump = self.run("ovs-ofctl", &["-O", "OpenFlow15", "dump-flows", &management]);
        dump.unwrap_or_else(|error| error)
    }

    /// Sends packets by ports, and says what left by each port for each of them.
    pub fn send(&mut self, packets: &[(u32, Vec<u8>)]) -> Vec<Vec<Vec<Vec<u8>>>> {
        // Packets by one port are handled in order, those by several are not: all of one port together.
        let mut results = vec![Vec::new(); packets.len()];
        for port in 1..=self.ports.len() as u32 {
            let indices: Vec<usize> = (0..packets.len()).filter(|index| packets[*index].0 == port).collect();
            let mut bytes = Vec::new();
            for index in &indices {
                push(&mut bytes, &packets[*index].1);
                push(&mut bytes, &mark(self.marks + *index as u32));
            }
            self.ports[port as usize - 1].write_all(&bytes).expect("the port takes frames");
            for index in indices {
                let end = mark(self.marks + index as u32);
                results[index] = self.ports.iter_mut().map(|stream| until(stream, &end)).collect();
            }
        }
        self.marks += packets.len() as u32;
        results
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

fn push(bytes: &mut Vec<u8>, frame: &[u8]) {
    bytes.extend((frame.len() as u16).to_be_bytes());
    bytes.extend(frame);
}

fn mark(number: u32) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 0xaa, 2, 0, 0, 0, 0, 0xbb];
    frame.extend(MARK.to_be_bytes());
    frame.extend(number.to_be_bytes());
    frame.extend([0; 40]);
    frame
}

/// The frames before a mark.
fn until(stream: &mut UnixStream, mark: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length).expect("a mark comes");
        let mut frame = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut frame).expect("a whole frame");
        if frame == mark {
            return frames;
        }
        frames.push(frame);
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
