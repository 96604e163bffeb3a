//! Controllers as processes on this machine's loopback: how they become a cluster, and how one is killed and comes back.
//!
//! Each is the program itself, run again as `controller`, or as `cluster join`: who uses this takes both commands. Start
//! at [`Controllers::start`].

#![allow(clippy::disallowed_methods, reason = "processes live in real time")]

use crate::Outcome;
use selvedge_net::daemon::{self, Config, Options};
use selvedge_sim::testbed::api::Api;
use serde_json::json;
use std::fs;
use std::fs::OpenOptions;
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// So long a controller may take until it answers.
const START_MAX: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

/// A process that ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// Where a controller listens on the loopback.
#[derive(Clone, Copy)]
struct Ports {
    api: u16,
    ovsdb: u16,
    openflow: u16,
    cluster: u16,
}

struct Controller {
    ports: Ports,
    process: Option<Running>,
    /// It was killed, and comes back in that second.
    back_at: Option<u64>,
}

/// Ports that nobody listens on: all held at once, so that no two are the same, and let go.
fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let held: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<io::Result<_>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// Is a controller until it is told to end: what the command `controller` does.
///
/// # Errors
/// If it cannot start, or its disk fails.
pub fn run(options: Options) -> Outcome<()> {
    let config = Config::gather(options, std::iter::empty())?;
    tracing_subscriber::fmt().with_ansi(false).with_writer(io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    Ok(runtime.block_on(daemon::run(config, |_| {}))?)
}

/// All of them, by number from 1.
pub struct Controllers {
    all: Vec<Controller>,
    directory: tempfile::TempDir,
}

impl Controllers {
    /// Starts the first, and lets the others join it one by one.
    ///
    /// # Errors
    /// If one does not start, or may not join.
    pub fn start(count: usize) -> Outcome<Controllers> {
        let mut controllers = Controllers { all: Vec::new(), directory: tempfile::tempdir()? };
        let free = free_ports(4 * count)?;
        for (number, ports) in (1..).zip(free.chunks(4)) {
            let ports = Ports { api: ports[0], ovsdb: ports[1], openflow: ports[2], cluster: ports[3] };
            if number > 1 {
                controllers.admit(number, ports)?;
            }
            controllers.all.push(Controller { ports, process: None, back_at: None });
            controllers.boot(number, count > 1)?;
        }
        Ok(controllers)
    }

    /// The data directory of one.
    pub fn data(&self, number: usize) -> PathBuf {
        self.directory.path().join(format!("controller{number}"))
    }

    fn log(&self, number: usize) -> PathBuf {
        self.directory.path().join(format!("log{number}"))
    }

    /// Lets one more join, by a token.
    fn admit(&self, number: usize, ports: Ports) -> Outcome<()> {
        let invitation = self.api()?.post("/ws.v1/control-cluster/invitation", &json!({}))?;
        let token = invitation["token"].as_str().unwrap_or_default();
        let mut join = Command::new(std::env::current_exe()?);
        join.args(["cluster", "join", token, "--cluster", &format!("127.0.0.1:{}", ports.cluster)]);
        let joined = join.arg("--data-dir").arg(self.data(number)).output()?;
        match joined.status.success() {
            true => Ok(()),
            false => {
                Err(format!("controller {number} cannot join: {}", String::from_utf8_lossy(&joined.stderr)).into())
            }
        }
    }

    /// Starts one, and waits until its API answers.
    fn boot(&mut self, number: usize, is_one_of_several: bool) -> Outcome<()> {
        self.spawn(number, is_one_of_several)?;
        self.answers(number)
    }

    fn spawn(&mut self, number: usize, is_one_of_several: bool) -> Outcome<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.log(number))?;
        let ports = self.all[number - 1].ports;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("controller").arg("--data-dir").arg(self.data(number));
        let plain = [("--api", ports.api), ("--ovsdb-tcp", ports.ovsdb), ("--openflow-tcp", ports.openflow)];
        // Its listeners with TLS are not used here, and must not be in the way of a controller that runs already.
        let cluster = is_one_of_several.then_some(("--cluster", ports.cluster));
        for (option, port) in plain.into_iter().chain([("--ovsdb", 0), ("--openflow", 0)]).chain(cluster) {
            command.args([option, &format!("127.0.0.1:{port}")]);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
        self.all[number - 1].process = Some(Running(child));
        Ok(())
    }

    fn answers(&self, number: usize) -> Outcome<()> {
        let began = Instant::now();
        let mut last = String::new();
        while began.elapsed() < START_MAX {
            match self.connect(number) {
                Ok(_) => return Ok(()),
                Err(error) => last = error.to_string(),
            }
            std::thread::sleep(LOOK);
        }
        let log = fs::read_to_string(self.log(number))?;
        Err(format!("the API of controller {number} does not answer: {last}\n{log}").into())
    }

    /// A session with one.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn connect(&self, number: usize) -> Outcome<Api> {
        // Its own administrator's password is the first one's: users are the cluster's.
        Ok(Api::connect(&self.address(number), &self.data(1))?)
    }

    /// Where one serves its API.
    pub fn address(&self, number: usize) -> String {
        format!("127.0.0.1:{}", self.all[number - 1].ports.api)
    }

    /// The certificate authority by which they are known, in PEM.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn authority(&self) -> Outcome<Vec<u8>> {
        Ok(fs::read(self.data(1).join("ca.pem"))?)
    }

    /// The first administrator's password.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn password(&self) -> Outcome<String> {
        Ok(fs::read_to_string(self.data(1).join("admin-password"))?.trim_end().to_string())
    }

    /// A session of somebody with the first that answers.
    ///
    /// # Errors
    /// If none does.
    pub fn api_as(&self, user: &str, password: &str) -> Outcome<Api> {
        let connect = |number: usize| Api::connect_as(&self.address(number), &self.data(1), user, password).ok();
        self.up().find_map(connect).ok_or_else(|| format!("no controller lets {user} in").into())
    }

    fn up(&self) -> impl Iterator<Item = usize> {
        (1..).zip(&self.all).filter(|(_, one)| one.process.is_some()).map(|(number, _)| number)
    }

    /// A session with the first that answers.
    ///
    /// # Errors
    /// If none does.
    pub fn api(&self) -> Outcome<Api> {
        self.up().find_map(|number| self.connect(number).ok()).ok_or_else(|| "no controller answers".into())
    }

    /// The target that hypervisors are told: that of one, which tells them of the others.
    pub fn manager(&self) -> String {
        format!("tcp:127.0.0.1:{}", self.all[0].ports.ovsdb)
    }

    /// How many there are, whether they are up or not.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// The process of one, while it is up.
    pub fn process(&self, number: usize) -> Option<u32> {
        self.all[number - 1].process.as_ref().map(|running| running.0.id())
    }

    /// Kills all of them and starts them again; returns when all answer.
    ///
    /// # Errors
    /// If one does not start.
    pub fn restart_all(&mut self) -> Outcome<()> {
        self.all.iter_mut().for_each(|one| one.process = None);
        let several = self.all.len() > 1;
        (1..=self.all.len()).try_for_each(|number| self.spawn(number, several))?;
        (1..=self.all.len()).try_for_each(|number| self.answers(number))
    }

    /// Says where they are.
    pub fn tell(&self) {
        for (number, one) in (1..).zip(&self.all) {
            let process = one.process.as_ref().map_or(0, |running| running.0.id());
            println!("controller {number}: process {process}, API https://127.0.0.1:{}/ws.v1", one.ports.api);
        }
        let (api, data) = (self.all[0].ports.api, self.data(1));
        println!("  look at them: selvedge cluster status --api 127.0.0.1:{api} --data-dir {}", data.display());
    }

    /// Who leads, if somebody does and says so.
    fn leader(&self) -> Option<usize> {
        let cluster = self.api().ok()?.get("/ws.v1/control-cluster/member").ok()?;
        let members = cluster["members"].as_array()?;
        let leader = members.iter().find(|member| member["role"] == "leader")?;
        // They joined in the order of their numbers.
        leader["member"].as_u64().and_then(|member| usize::try_from(member).ok())
    }

    /// Kills one, or the one that leads; it comes back in that second.
    ///
    /// # Errors
    /// If the others do not go on.
    pub fn kill(&mut self, number: Option<usize>, back_at: u64) -> Outcome<()> {
        let number = number.or_else(|| self.leader()).unwrap_or(1);
        let Some(one) = number.checked_sub(1).and_then(|at| self.all.get_mut(at)) else {
            println!("        there is no controller {number}");
            return Ok(());
        };
        if one.process.take().is_none() {
            println!("        controller {number} is down already");
            return Ok(());
        }
        one.back_at = Some(back_at);
        println!("        controller {number} is killed");
        if self.up().count() <= self.all.len() / 2 {
            println!("        nothing can be changed until it is back; what is there goes on");
            return Ok(());
        }
        let began = Instant::now();
        while began.elapsed() < START_MAX {
            if let Some(leader) = self.leader().filter(|leader| *leader != number) {
                println!("        controller {leader} leads after {:.1} s", began.elapsed().as_secs_f64());
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
        Err(format!("after {START_MAX:?} nobody leads").into())
    }

    /// Starts those again whose time has come.
    ///
    /// # Errors
    /// If one does not start.
    pub fn restart_due(&mut self, second: u64) -> Outcome<()> {
        for number in 1..=self.all.len() {
            if self.all[number - 1].back_at.take_if(|at| *at <= second).is_some() {
                println!("        controller {number} is started again");
                self.boot(number, self.all.len() > 1)?;
            }
        }
        Ok(())
    }
}
