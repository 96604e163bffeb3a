//! The controller under test: starts the `selvedge` daemon where hypervisors reach it, crashes it, starts it again.
//!
//! It listens on the management network, so start it in the network namespace that has the bed's management bridge
//! (a test's private one), from a thread that lives as long as the test: the kernel ends the daemon with that thread.
//!
//! Start at [`Daemon::start`]; [`Daemon::attach`] brings a hypervisor to it.

use std::fs::{self, File, OpenOptions};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::api::Api;
use super::command::{command, run};
use super::error::{Doing, Error, Result};
use super::hypervisor::Hypervisor;
use super::sys::{self, Signal};
use super::wait::wait_until;

/// Where a controller is reached from hypervisors.
pub const MANAGEMENT_IP: Ipv4Addr = Ipv4Addr::new(10, 254, 0, 1);
/// The port of the northbound API.
pub const API_PORT: u16 = 7443;
/// The port to which hypervisors connect by OVSDB.
pub const OVSDB_PORT: u16 = 6640;
/// The port to which hypervisors connect by OpenFlow.
pub const OPENFLOW_PORT: u16 = 6653;

/// The port to which other controllers connect.
const CLUSTER_PORT: u16 = 7440;

/// The environment variable that names the daemon's binary.
const BINARY_VARIABLE: &str = "SELVEDGE_BIN";

/// A running controller; it ends with this.
pub struct Daemon {
    binary: PathBuf,
    directory: PathBuf,
    log: PathBuf,
    ports: Ports,
    child: Child,
    api: Api,
}

/// Where a controller listens: all on [`MANAGEMENT_IP`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ports {
    /// The northbound API.
    pub api: u16,
    /// OVSDB over TLS.
    pub ovsdb: u16,
    /// OpenFlow over TLS.
    pub openflow: u16,
    /// Other controllers, if there are any.
    pub cluster: Option<u16>,
}

impl Ports {
    /// Those of a controller that is alone.
    pub const ALONE: Self = Self { api: API_PORT, ovsdb: OVSDB_PORT, openflow: OPENFLOW_PORT, cluster: None };

    /// Those of one of several, counted from 1.
    pub fn of_member(number: u16) -> Self {
        let offset = 100 * number;
        let [api, ovsdb, openflow] = [API_PORT, OVSDB_PORT, OPENFLOW_PORT].map(|port| port + offset);
        Self { api, ovsdb, openflow, cluster: Some(CLUSTER_PORT + offset) }
    }

    fn api_address(self) -> String {
        format!("{MANAGEMENT_IP}:{}", self.api)
    }

    fn cluster_address(self) -> Option<String> {
        self.cluster.map(|port| format!("{MANAGEMENT_IP}:{port}"))
    }
}

/// A tunnel endpoint of a transport node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Connector {
    /// As the command line has it: `stt`, `gre`, `vxlan`...
    pub kind: ConnectorKind,
    /// The endpoint's address on the underlay.
    pub ip: Ipv4Addr,
    /// The transport zone it belongs to; the daemon's own choice if it is left out.
    pub zone_uuid: Option<String>,
}

/// The encapsulation of a connector.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectorKind {
    /// Stateless transport tunnelling; real switches on the userspace datapath drop it.
    Stt,
    /// GRE.
    Gre,
    /// VXLAN.
    Vxlan,
    /// Geneve.
    Geneve,
}

impl ConnectorKind {
    /// Its name on the command line, and its `type` in the API.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Stt => ("stt", "STTConnector"),
            Self::Gre => ("gre", "GREConnector"),
            Self::Vxlan => ("vxlan", "VXLANConnector"),
            Self::Geneve => ("geneve", "GeneveConnector"),
        }
    }
}

impl Connector {
    /// A connector at a hypervisor's tunnel endpoint.
    pub fn of(hypervisor: &Hypervisor, kind: ConnectorKind, zone_uuid: Option<String>) -> Self {
        Self { kind, ip: hypervisor.id().underlay_ip(), zone_uuid }
    }

    fn argument(&self) -> String {
        let zone = self.zone_uuid.as_ref().map_or(String::new(), |uuid| format!(":{uuid}"));
        format!("{}:{}{zone}", self.kind.names().0, self.ip)
    }

    fn json(&self) -> Value {
        let mut connector = json!({"type": self.kind.names().1, "ip_address": self.ip.to_string()});
        if let Some(uuid) = &self.zone_uuid {
            connector["transport_zone_uuid"] = json!(uuid);
        }
        connector
    }
}

impl Daemon {
    /// How long the API may take to answer after a start.
    const START_PATIENCE: Duration = Duration::from_secs(30);

    /// Starts a controller with its data in this directory, and waits until its API answers.
    ///
    /// Its log goes beside the directory, to `NAME.log`.
    ///
    /// # Errors
    /// If there is no binary, or it ends at once, or does not answer in time; with the end of its log.
    pub fn start(directory: &Path) -> Result<Self> {
        Self::start_at(directory, Ports::ALONE)
    }

    /// The same, where it is told to listen.
    ///
    /// # Errors
    /// As for [`Daemon::start`].
    pub fn start_at(directory: &Path, ports: Ports) -> Result<Self> {
        let binary = find_binary()?;
        let log = directory.with_extension("log");
        let (child, api) = launch(&binary, directory, ports, &log)?;
        Ok(Self { binary, directory: directory.to_owned(), log, ports, child, api })
    }

    /// Starts one more controller of this one's cluster: it joins by a token, and has the same users.
    ///
    /// # Errors
    /// If it may not join, or as for [`Daemon::start`].
    pub fn start_another(&self, directory: &Path, ports: Ports) -> Result<Self> {
        let made = self.api.post("/ws.v1/control-cluster/invitation", &json!({}))?;
        let token = made.get("token").and_then(Value::as_str).unwrap_or_default();
        let cluster = ports.cluster_address().unwrap_or_default();
        fs::create_dir_all(directory).doing(|| format!("creating {}", directory.display()))?;
        let mut join = command(&self.binary.display().to_string(), &["cluster", "join", token, "--cluster", &cluster]);
        run(join.arg("--data-dir").arg(directory))?;
        self.share_password(directory)?;
        Self::start_at(directory, ports)
    }

    /// Where it listens.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// A session with it.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Its data directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its log file.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its process, also after its end.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it by SIGKILL, as a crash would.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().and_then(|()| self.child.wait()).doing(|| "ending selvedge".to_owned()).map(drop)
    }

    /// Asks it to end (SIGTERM), and waits; how it ended.
    ///
    /// # Errors
    /// If it is not gone in time.
    pub fn terminate(&mut self, patience: Duration) -> Result<ExitStatus> {
        sys::kill(self.pid(), Signal::Term).doing(|| "ending selvedge".to_owned())?;
        let pid = self.pid();
        let mut status = None;
        wait_until(
            || format!("the end of selvedge, pid {pid}"),
            patience,
            || {
                status = self.child.try_wait().doing(|| "waiting for selvedge".to_owned())?;
                Ok(status.is_some())
            },
        )?;
        Ok(status.expect("it was waited for"))
    }

    /// Starts it again, with the same data, after [`Daemon::kill`] or [`Daemon::terminate`].
    ///
    /// # Errors
    /// As for [`Daemon::start`].
    ///
    /// # Panics
    /// If it still runs.
    pub fn restart(&mut self) -> Result<()> {
        let ended = self.child.try_wait().doing(|| "waiting for selvedge".to_owned())?;
        assert!(ended.is_some(), "two daemons cannot share a data directory");
        (self.child, self.api) = launch(&self.binary, &self.directory, self.ports, &self.log)?;
        Ok(())
    }

    /// Starts on another data directory, made from a backup, in place of its own, after [`Daemon::kill`].
    ///
    /// # Errors
    /// If it cannot be restored, or as for [`Daemon::start`].
    pub fn restore(&mut self, backup: &Path, directory: &Path) -> Result<()> {
        let mut restore = command(&self.binary.display().to_string(), &["restore"]);
        run(restore.arg(backup).arg("--data-dir").arg(directory))?;
        self.share_password(directory)?;
        directory.clone_into(&mut self.directory);
        self.restart()
    }

    /// Puts the users' password where one looks for it who uses another controller of the cluster.
    fn share_password(&self, directory: &Path) -> Result<()> {
        let password = "admin-password";
        let doing = || format!("copying {password} to {}", directory.display());
        fs::copy(self.directory.join(password), directory.join(password)).doing(doing).map(drop)
    }

    /// Its resident memory, in KiB.
    ///
    /// # Errors
    /// If it has ended.
    pub fn resident_kib(&self) -> Result<u64> {
        let file = format!("/proc/{}/status", self.pid());
        let status = fs::read_to_string(&file).doing(|| format!("reading {file}"))?;
        resident_kib(&status).ok_or_else(|| self.trouble(format!("{file} tells no VmRSS: it has ended")))
    }

    /// Registers a hypervisor with `selvedge node add`, gives it the key and certificate made there, and points it here.
    ///
    /// # Errors
    /// What either side complains of.
    pub fn attach(&self, hypervisor: &Hypervisor, connectors: &[Connector]) -> Result<()> {
        let name = hypervisor.id().to_string();
        let out = hypervisor.directory().join("tls");
        fs::create_dir_all(&out).doing(|| format!("creating {}", out.display()))?;
        let mut add = command(&self.binary.display().to_string(), &["node", "add", &name]);
        for connector in connectors {
            add.args(["--connector", &connector.argument()]);
        }
        add.arg("--out").arg(&out);
        run(self.as_admin(&mut add))?;
        self.set_manager(hypervisor, &out)
    }

    /// Registers a hypervisor over REST alone, by a certificate that exists already; its uuid.
    ///
    /// The hypervisor is not touched: see [`Daemon::set_manager`].
    ///
    /// # Errors
    /// If the API refuses.
    pub fn register(&self, name: &str, certificate_pem: &str, connectors: &[Connector]) -> Result<String> {
        let connectors: Vec<Value> = connectors.iter().map(Connector::json).collect();
        self.api.create(
            "/ws.v1/transport-node",
            &json!({
                "display_name": name,
                "integration_bridge_id": "br-int",
                "credential": {
                    "type": "SecurityCertificateCredential",
                    "client_certificate": {"pem_encoded": certificate_pem},
                },
                "transport_connectors": connectors,
            }),
        )
    }

    /// Gives a hypervisor `NAME.key`, `NAME.pem` and `ca.pem` of a directory, and points its database here.
    ///
    /// # Errors
    /// What `ovs-vsctl` complains of.
    pub fn set_manager(&self, hypervisor: &Hypervisor, tls: &Path) -> Result<()> {
        let file = |name: String| tls.join(name).display().to_string();
        let id = hypervisor.id();
        let [key, certificate, authority] = [format!("{id}.key"), format!("{id}.pem"), "ca.pem".to_owned()].map(file);
        hypervisor.ovs_vsctl(&["set-ssl", &key, &certificate, &authority])?;
        self.become_manager(hypervisor)
    }

    /// Points a hypervisor's database here, and nowhere else.
    ///
    /// # Errors
    /// What `ovs-vsctl` complains of.
    pub fn become_manager(&self, hypervisor: &Hypervisor) -> Result<()> {
        hypervisor.ovs_vsctl(&["set-manager", &format!("ssl:{MANAGEMENT_IP}:{}", self.ports.ovsdb)]).map(drop)
    }

    /// The `selvedge` command line tool, set to talk to this daemon as its administrator.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut tool = command(&self.binary.display().to_string(), arguments);
        self.as_admin(&mut tool);
        tool
    }

    fn as_admin<'a>(&self, tool: &'a mut Command) -> &'a mut Command {
        tool.arg("--api").arg(self.ports.api_address()).arg("--data-dir").arg(&self.directory)
    }

    fn trouble(&self, problem: String) -> Error {
        trouble(problem, &self.log)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already; nothing else can go wrong that somebody could mend here.
        let _ = self.kill();
    }
}

/// The binary that the environment names, or the one built beside this test.
fn find_binary() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(BINARY_VARIABLE) {
        return Ok(named.into());
    }
    let own = std::env::current_exe().doing(|| "finding this program".to_owned())?;
    let candidates = binary_candidates(&own);
    let found = candidates.iter().find(|candidate| candidate.is_file()).cloned();
    found.ok_or_else(|| {
        let tried: Vec<String> = candidates.iter().map(|path| path.display().to_string()).collect();
        Error::NoBinary { tried: tried.join(", ") }
    })
}

/// Same profile first, then the others: tests are in `target/PROFILE/deps`, programs one above.
fn binary_candidates(own: &Path) -> Vec<PathBuf> {
    let Some(directory) = own.parent() else {
        return Vec::new();
    };
    let profile = if directory.ends_with("deps") { directory.parent().unwrap_or(directory) } else { directory };
    let target = profile.parent().unwrap_or(profile);
    let directories = [profile.to_owned(), target.join("release"), target.join("debug")];
    directories.into_iter().map(|directory| directory.join("selvedge")).collect()
}

fn launch(binary: &Path, directory: &Path, ports: Ports, log: &Path) -> Result<(Child, Api)> {
    let mut child = spawn(binary, directory, ports, log)?;
    let address = ports.api_address();
    let mut connected = Api::connect(&address, directory);
    let waited = wait_until(
        || "its API to answer".to_owned(),
        Daemon::START_PATIENCE,
        || {
            if let Some(status) = child.try_wait().doing(|| "waiting for selvedge".to_owned())? {
                return Err(trouble(format!("it ended at once: {status}"), log));
            }
            connected = Api::connect(&address, directory);
            Ok(connected.is_ok())
        },
    );
    match (waited, connected) {
        (Ok(()), Ok(api)) => Ok((child, api)),
        (waited, connected) => {
            // The first reason is the one to tell, not what ending the child may add.
            let _ = child.kill().and_then(|()| child.wait());
            let last = connected.err().map_or(String::new(), |error| format!(": {error}"));
            Err(match waited {
                Err(error @ Error::Daemon { .. }) => error,
                Err(error) => trouble(format!("{error}{last}"), log),
                Ok(()) => trouble(format!("its API answered, and then not{last}"), log),
            })
        }
    }
}

fn spawn(binary: &Path, directory: &Path, ports: Ports, log: &Path) -> Result<Child> {
    fs::create_dir_all(directory).doing(|| format!("creating {}", directory.display()))?;
    let doing = || format!("opening {}", log.display());
    let output: File = OpenOptions::new().create(true).append(true).open(log).doing(doing)?;
    let errors = output.try_clone().doing(doing)?;
    let mut daemon = Command::new(binary);
    daemon.arg("--data-dir").arg(directory);
    for (option, port) in [("--api", ports.api), ("--ovsdb", ports.ovsdb), ("--openflow", ports.openflow)] {
        daemon.args([option, &format!("{MANAGEMENT_IP}:{port}")]);
    }
    if let Some(cluster) = ports.cluster_address() {
        daemon.args(["--cluster", &cluster]);
    }
    daemon.stdin(Stdio::null()).stdout(output).stderr(errors);
    sys::die_with_this_thread(&mut daemon);
    daemon.spawn().doing(|| format!("starting {}", binary.display()))
}

/// A problem of the daemon, with the end of its log.
fn trouble(problem: String, log: &Path) -> Error {
    const LINES: usize = 30;
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(LINES)..].join("\n");
    Error::Daemon { problem, log: log.to_owned(), tail }
}

/// `VmRSS` of a /proc/PID/status: proc_pid_status(5).
fn resident_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_is_looked_for_beside_the_test() {
        let check = |own: &str, expected: [&str; 3]| {
            assert_eq!(binary_candidates(Path::new(own)), expected.map(PathBuf::from));
        };
        let [debug, release] = ["/t/debug/selvedge", "/t/release/selvedge"];
        check("/t/debug/deps/bed-0123", [debug, release, debug]);
        check("/t/release/testbed", [release, release, debug]);
    }

    #[test]
    fn memory_is_read_from_proc() {
        assert_eq!(resident_kib("Name:\tx\nVmRSS:\t   1234 kB\nThreads:\t1\n"), Some(1234));
        assert_eq!(resident_kib("Name:\tx\nState:\tZ (zombie)\n"), None);
    }

    #[test]
    fn a_connector_is_written_for_the_command_line_and_for_the_api() {
        let mut connector = Connector { kind: ConnectorKind::Vxlan, ip: Ipv4Addr::new(172, 31, 1, 1), zone_uuid: None };
        assert_eq!(connector.argument(), "vxlan:172.31.1.1");
        assert_eq!(connector.json(), json!({"type": "VXLANConnector", "ip_address": "172.31.1.1"}));
        connector.zone_uuid = Some("9a3c".to_owned());
        assert_eq!(connector.argument(), "vxlan:172.31.1.1:9a3c");
        assert_eq!(connector.json()["transport_zone_uuid"], "9a3c");
    }

    #[test]
    fn trouble_shows_the_end_of_the_log() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("x.log");
        let lines: Vec<String> = (0..100).map(|n| format!("line {n}")).collect();
        fs::write(&log, lines.join("\n")).expect("written");
        let text = trouble("it ended".to_owned(), &log).to_string();
        assert!(text.contains("it ended") && text.contains("line 70\n") && text.ends_with("line 99"), "{text}");
        assert!(!text.contains("line 69"), "{text}");
    }
}
