//! A private `ovsdb-server` and a driver for sessions with it: no `ovs-vswitchd`, no privileges.
//!
//! Where Open vSwitch is not installed, [`Server::start`] says so on standard error and gives none, unless
//! `SELVEDGE_REQUIRE_OVS=1`, when it fails.

use selvedge_net::ovsdb::operation::{Operation, TransactError, Transaction};
use selvedge_net::ovsdb::plan::{DesiredSwitch, plan};
use selvedge_net::ovsdb::session::{Event, Limits, Session};
use selvedge_net::ovsdb::vswitch::{SCHEMA, Vswitch};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Long enough for any machine: nothing here measures speed.
pub const PATIENCE: Duration = Duration::from_secs(30);
const SCHEMA_FILE: &str = "/usr/share/openvswitch/vswitch.ovsschema";

fn command(program: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program);
    command.env("PATH", format!("{path}:/usr/sbin:/usr/local/sbin"));
    command
}

fn run(command: &mut Command) {
    let output = command.output().expect("the program starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
}

/// A database server in a directory of its own; it ends with the value.
pub struct Server {
    dir: tempfile::TempDir,
    process: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    /// An initialised, empty switch; `None` if Open vSwitch is missing and need not be there.
    pub fn start(test: &str) -> Option<Self> {
        if let Err(error) = command("ovsdb-server").arg("--version").output() {
            let message = format!("NOT RUN: {test}: ovsdb-server is missing ({error})\n");
            assert_ne!(std::env::var("SELVEDGE_REQUIRE_OVS").as_deref(), Ok("1"), "{message}");
            // Not by `eprintln!`, which a passing test keeps to itself.
            std::io::stderr().write_all(message.as_bytes()).expect("standard error is open");
            return None;
        }
        let dir = tempfile::tempdir().expect("a temporary directory");
        let database = dir.path().join("conf.db");
        run(command("ovsdb-tool").arg("create").arg(&database).arg(SCHEMA_FILE));
        let process = command("ovsdb-server")
            .arg(&database)
            .arg(format!("--remote=punix:{}", dir.path().join("db.sock").display()))
            .arg(format!("--unixctl={}", dir.path().join("ctl.sock").display()))
            .stderr(Stdio::null())
            .spawn()
            .expect("ovsdb-server starts");
        let server = Self { dir, process };
        // The socket may exist before anyone listens.
        let started = Instant::now();
        while UnixStream::connect(server.socket()).is_err() {
            assert!(started.elapsed() < PATIENCE, "ovsdb-server listens");
            sleep(Duration::from_millis(10));
        }
        server.vsctl("init");
        server.vsctl("set Open_vSwitch . datapath_types=netdev,system external_ids:system-id=hv1");
        Some(server)
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("db.sock")
    }

    /// Runs `ovs-vsctl`; arguments are separated by white space.
    pub fn vsctl(&self, arguments: &str) {
        let database = format!("--db=unix:{}", self.socket().display());
        run(command("ovs-vsctl").arg(database).arg("--no-wait").args(arguments.split_whitespace()));
    }

    pub fn connect(&self) -> Connection {
        let stream = UnixStream::connect(self.socket()).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout above zero");
        let session = Session::new(Duration::ZERO, Limits::default(), &SCHEMA);
        let mut connection = Connection { stream, session, started: Instant::now() };
        connection.wait_for("ready", |event, _| matches!(event, Event::Ready).then_some(()));
        connection
    }
}

/// The driver of one session: what a daemon does, without a daemon.
pub struct Connection {
    stream: UnixStream,
    pub session: Session,
    pub started: Instant,
}

impl Connection {
    pub fn vswitch(&self) -> Vswitch {
        Vswitch::read(self.session.replica())
    }

    /// Moves bytes and events until `wanted` finds something in one of them.
    pub fn wait_for<T>(&mut self, what: &str, wanted: impl Fn(&Event, &Vswitch) -> Option<T>) -> T {
        let until = self.started.elapsed() + PATIENCE;
        while self.started.elapsed() < until {
            while let Some(event) = self.session.poll() {
                match &event {
                    Event::Send(bytes) => self.stream.write_all(bytes).expect("the server reads"),
                    Event::Closed { reason } => panic!("{what}: {reason}"),
                    Event::Ready | Event::Changed(_) | Event::TransactionDone { .. } => {}
                }
                if let Some(found) = wanted(&event, &Vswitch::read(self.session.replica())) {
                    return found;
                }
            }
            self.read();
        }
        panic!("{what}: did not happen in {PATIENCE:?}");
    }

    pub fn read(&mut self) {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.session.disconnected(),
            Ok(len) => self.session.receive(self.started.elapsed(), &buffer[..len]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                self.session.tick(self.started.elapsed());
            }
            Err(error) => panic!("read: {error}"),
        }
    }

    /// Waits until all that was committed before has reached the replica: notices precede the reply.
    pub fn catch_up(&mut self) {
        let mut transaction = Transaction::new("Open_vSwitch");
        transaction.push(Operation::Comment("catch up".to_owned()));
        self.transact(&transaction).expect("a comment does no harm");
    }

    pub fn transact(&mut self, transaction: &Transaction) -> Result<(), TransactError> {
        let sent = self.session.transact(self.started.elapsed(), transaction).expect("few are outstanding");
        self.wait_for("transaction", |event, _| match event {
            Event::TransactionDone { id, result } if *id == sent => Some(result.clone().map(|_| ())),
            _ => None,
        })
    }

    /// Plans, applies, and sees that there is no second plan. Returns the reasons.
    pub fn settle(&mut self, desired: &DesiredSwitch) -> Vec<String> {
        let next_cfg = self.next_cfg();
        let plan = plan(desired, &self.vswitch()).expect("not refused").expect("something to do");
        self.transact(&plan.transaction).expect("a plan is valid");
        assert_eq!(self.next_cfg(), next_cfg + 1, "the notice comes before the reply");
        self.expect_settled(desired);
        plan.reasons
    }

    pub fn expect_settled(&self, desired: &DesiredSwitch) {
        assert_eq!(plan(desired, &self.vswitch()), Ok(None), "the plan was complete");
    }

    fn next_cfg(&self) -> i64 {
        self.vswitch().switch.expect("initialised").next_cfg
    }
}
