//! A real Open vSwitch in a folder of its own: only its database, or a switch too, or one with ports that are sockets.
//!
//! Start at [`Daemons`].

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

/// Running daemons; they end with it.
pub struct Daemons {
    processes: Vec<Child>,
    folder: TempDir,
}

/// A running switch with its ports.
pub struct Bed {
    daemons: Daemons,
    ports: Vec<UnixStream>,
    marks: u32,
}

impl Daemons {
    /// Starts a database with nothing in it, if Open vSwitch is installed.
    pub fn database() -> Option<Daemons> {
        if !is_installed() {
            return None;
        }
        let folder = tempfile::Builder::new().prefix("fd").tempdir_in("/tmp").expect("a temporary folder");
        let mut daemons = Daemons { processes: Vec::new(), folder };
        daemons.run("ovsdb-tool", &["create", &daemons.path("conf.db"), SCHEMA]).expect("a database");
        let remote = format!("--remote=punix:{}", daemons.path("db.sock"));
        daemons.spawn("ovsdb-server", &[&daemons.path("conf.db"), &remote, "--unixctl=db.ctl"]);
        await_file(daemons.path("db.sock").as_ref());
        Some(daemons)
    }

    /// Starts a switch with a bridge, which forwards nothing by itself, if Open vSwitch is installed.
    pub fn switch() -> Option<Daemons> {
        let mut daemons = Daemons::database()?;
        daemons.run("ovs-vsctl", &["--no-wait", "init"]).expect("a row for the switch");
        let (database, control) = (format!("unix:{}", daemons.path("db.sock")), daemons.path("ctl"));
        let control = format!("--unixctl={control}");
        let log = format!("--log-file={}", daemons.path("vswitchd.log"));
        let dummy = [&log, "--enable-dummy=system", "--disable-system", "--disable-system-route", &control];
        daemons.spawn("ovs-vswitchd", &[&[database.as_str()], dummy.as_slice()].concat());
        daemons.vsctl(&["add-br", BRIDGE, "--", "set", "Bridge", BRIDGE, "datapath_type=dummy", "fail_mode=secure"]);
        Some(daemons)
    }

    /// What ovs-vswitchd logged last, which is why it died if it did.
    pub fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.path("vswitchd.log")).unwrap_or_default();
        log.lines().last().unwrap_or("it logged nothing").to_string()
    }

    /// A connection to the database.
    pub fn to_database(&self) -> UnixStream {
        UnixStream::connect(self.path("db.sock")).expect("the database listens")
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

    /// Has `ovs-vsctl` do something, and waits until the switch has done it.
    pub fn vsctl(&self, arguments: &[&str]) {
        self.run("ovs-vsctl", &[["--timeout=20"].as_slice(), arguments].concat()).expect("it is done");
    }

    fn appctl(&self, arguments: &[&str]) -> Result<String, String> {
        let control = format!("--target={}", self.path("ctl"));
        self.run("ovs-appctl", &[[control.as_str()].as_slice(), arguments].concat())
    }
}

impl Bed {
    /// Starts a switch with ports 1 to `ports`, if Open vSwitch is installed.
    pub fn start(ports: u32) -> Option<Bed> {
        let mut bed = Bed { daemons: Daemons::switch()?, ports: Vec::new(), marks: 0 };
        for number in 1..=ports {
            let name = format!("p{number}");
            let path = bed.daemons.path(&name);
            let (socket, request) = (format!("options:pstream=punix:{path}"), format!("ofport_request={number}"));
            let interface = ["--", "set", "Interface", &name, "type=dummy", &request, &socket];
            bed.daemons.vsctl(&[&["add-port", BRIDGE, &name], interface.as_slice()].concat());
            await_file(path.as_ref());
            let stream = UnixStream::connect(path).expect("the port listens");
            stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
            bed.ports.push(stream);
        }
        Some(bed)
    }

    /// Replaces all flows and groups, and forgets what was decided and tracked before.
    pub fn load(&mut self, bundle: &str) -> Result<(), String> {
        std::fs::write(self.daemons.path("bundle"), bundle).expect("a file");
        // What was decided by the old flows is counted, and learnt from, when it is forgotten: so before the new ones come.
        self.forget_decisions();
        let management = format!("unix:{}", self.daemons.path(&format!("{BRIDGE}.mgmt")));
        self.daemons.run("ovs-ofctl", &["-O", "OpenFlow15", "bundle", &management, &self.daemons.path("bundle")])?;
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
        let mut stream = UnixStream::connect(self.daemons.path("ctl")).expect("the daemon listens");
        let request = serde_json::json!({ "id": 0, "method": method, "params": [] });
        stream.write_all(request.to_string().as_bytes()).expect("the daemon takes a request");
        let answer = serde_json::Deserializer::from_reader(stream).into_iter::<serde_json::Value>().next();
        let answer = answer.expect("an answer").expect("JSON");
        assert!(answer["error"].is_null(), "{method}: {answer}");
    }

    /// What Open vSwitch says it does with a packet.
    pub fn trace(&self, port: u32, packet: &[u8]) -> String {
        let hex: String = packet.iter().map(|byte| format!("{byte:02x}")).collect();
        let trace = self.daemons.appctl(&["ofproto/trace", BRIDGE, &format!("in_port={port}"), &hex]);
        trace.unwrap_or_else(|error| error)
    }

    /// The flows that Open vSwitch has now.
    pub fn flows(&self) -> String {
        let management = format!("unix:{}", self.daemons.path(&format!("{BRIDGE}.mgmt")));
        let dump = self.daemons.run("ovs-ofctl", &["-O", "OpenFlow15", "dump-flows", &management]);
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

impl Drop for Daemons {
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
