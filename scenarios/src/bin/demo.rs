//! A first look, in one command: the controller that ships, as a process of its own, and simulated hypervisors that
//! connect to it over real sockets on the loopback. No root and no Open vSwitch are needed.
//!
//! Two tenants use the same addresses; their guests ping each other all the while, and now and then something breaks:
//! a switch forgets its flows, an operator meddles, a guest migrates, the controller is killed. Every frame that arrives
//! is judged by what the tenants asked for. Start at [`Demo`].

#![allow(clippy::disallowed_methods, reason = "this is the one simulation that runs in real time")]

use clap::{Args, Parser, Subcommand};
use selvedge_net::daemon::{self, Config, Options};
use selvedge_net::runtime::{Moment, Runtime, Tokio};
use selvedge_scenarios::stories::telling::{bare, vif};
use selvedge_sim::logical::{Port, PortId, Switch, SwitchId, VifId};
use selvedge_sim::plan::fault::Edit;
use selvedge_sim::plan::{GuestAct, HvId, Plan};
use selvedge_sim::run::director::{self, tunnel_end};
use selvedge_sim::run::plant::Plant;
use selvedge_sim::testbed::api::Api;
use serde_json::json;
use std::error::Error;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, SystemTime};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// The controller, simulated hypervisors and guests, on this machine's loopback.
#[derive(Parser)]
#[command(name = "demo")]
struct Arguments {
    #[command(subcommand)]
    child: Option<Role>,
    #[command(flatten)]
    demo: Demo,
}

#[derive(Subcommand)]
enum Role {
    /// The controller, as `selvedge controller` runs it
    #[command(hide = true)]
    Controller(Controller),
}

#[derive(Args)]
struct Controller {
    #[command(flatten)]
    options: Options,
}

#[derive(Args)]
struct Demo {
    /// How many hypervisors
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(2..=20))]
    hypervisors: u16,
    /// How many guests each of the two tenants has
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(2..=100))]
    guests: u16,
    /// End after so many seconds; without it, at Ctrl-C
    #[arg(long)]
    seconds: Option<u64>,
    /// Nothing breaks
    #[arg(long)]
    calm: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.child {
        Some(Role::Controller(controller)) => be_controller(controller.options),
        None => arguments.demo.go(),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::from(2)
        }
    }
}

type Outcome<T> = Result<T, Box<dyn Error>>;

fn be_controller(options: Options) -> Outcome<bool> {
    let config = Config::gather(options, std::iter::empty())?;
    tracing_subscriber::fmt().with_ansi(false).with_writer(io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(daemon::run(config, |_| {}))?;
    Ok(true)
}

/// Ports of the controller, and where it keeps its things.
struct Where {
    api: u16,
    ovsdb: u16,
    openflow: u16,
    directory: tempfile::TempDir,
}

impl Where {
    fn new() -> Outcome<Where> {
        let free = || Ok::<u16, io::Error>(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port());
        Ok(Where { api: free()?, ovsdb: free()?, openflow: free()?, directory: tempfile::tempdir()? })
    }

    fn data(&self) -> std::path::PathBuf {
        self.directory.path().join("controller")
    }

    /// Starts the controller, and waits until its API answers.
    fn start(&self) -> Outcome<(Running, Api)> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.directory.path().join("log"))?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("controller").arg("--data-dir").arg(self.data());
        let ports = [("--api", self.api), ("--ovsdb-tcp", self.ovsdb), ("--openflow-tcp", self.openflow)];
        // Its listeners with TLS are not used here, and must not be in the way of a controller that runs already.
        for (option, port) in ports.into_iter().chain([("--ovsdb", 0), ("--openflow", 0)]) {
            command.args([option, &format!("127.0.0.1:{port}")]);
        }
        let child = Running(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?);
        let mut last = None;
        for _ in 0..300 {
            match Api::connect(&format!("127.0.0.1:{}", self.api), &self.data()) {
                Ok(api) => return Ok((child, api)),
                Err(error) => last = Some(error),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let why = last.map_or(String::new(), |error| error.to_string());
        let log = std::fs::read_to_string(self.directory.path().join("log"))?;
        Err(format!("the controller's API does not answer: {why}\n{log}").into())
    }
}

/// A process that ends with this.
struct Running(Child);

impl Running {
    fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Demo {
    fn go(self) -> Outcome<bool> {
        let place = Where::new()?;
        let (mut controller, api) = place.start()?;
        println!("controller: process {}, API https://127.0.0.1:{}/ws.v1", controller.0.id(), place.api);
        println!("  look at it: selvedge status --api 127.0.0.1:{} --data-dir {}", place.api, place.data().display());
        let plan = self.plan();
        let plant = Plant::new(&plan, &director::Options::default());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        self.configure(&api, &plan, &plant)?;
        let managers = format!("tcp:127.0.0.1:{}", place.ovsdb);
        runtime.block_on(async {
            Loopback::spawn("the physical world", plant.clone().beat::<Loopback>());
            for hv in (0..self.hypervisors).map(HvId) {
                plant.power_on(Tokio::now(), hv, &managers);
                HOST.sync_scope(address_of(hv), || {
                    Loopback::spawn("a hypervisor", plant.clone().carry::<Loopback>(hv))
                });
            }
        });
        (0..2 * self.guests).for_each(|n| plant.plug(Tokio::now(), VifId(n), self.home(n)));
        println!("{} hypervisors, two tenants with the same addresses, {} guests each", self.hypervisors, self.guests);
        println!("each second: pings answered, sent; frames delivered, and how many of them should not have been\n");
        let good = self.watch(&place, &mut controller, &plant)?;
        runtime.shutdown_background();
        Ok(good)
    }

    /// Guests of the first tenant, then those of the second, with the same addresses.
    fn plan(&self) -> Plan {
        Plan { seed: 1, ..bare(self.hypervisors, (0..2 * self.guests).map(|n| vif(n % self.guests)).collect()) }
    }

    fn home(&self, guest: u16) -> HvId {
        HvId(guest % self.hypervisors)
    }

    /// Tells the controller everything, and the judge what it was told.
    fn configure(&self, api: &Api, plan: &Plan, plant: &Plant) -> Outcome<()> {
        let zone = api.create("/ws.v1/transport-zone", &json!({"display_name": "fabric"}))?;
        for hv in (0..self.hypervisors).map(HvId) {
            let connector = json!({"type": "GeneveConnector", "transport_zone_uuid": zone, "ip_address": tunnel_end(hv).to_string()});
            let body = json!({
                "display_name": hv.to_string(), "admin_status_enabled": true,
                "credential": {"type": "MgmtAddrCredential", "mgmt_address": address_of(hv).to_string()},
                "transport_connectors": [connector],
            });
            api.create("/ws.v1/transport-node", &body)?;
        }
        for (tenant, name) in ["red", "blue"].into_iter().enumerate() {
            let zones = json!([{"zone_uuid": zone, "transport_type": "geneve"}]);
            let switch = api.create("/ws.v1/lswitch", &json!({"display_name": name, "transport_zones": zones}))?;
            let id = SwitchId(tenant as u16);
            plant.with(|state| {
                let versions = state.judge.history.switches.entry(id).or_default();
                versions.may_become(Duration::ZERO, Some(Switch { isolated: false }));
            });
            for n in tenant as u16 * self.guests..(tenant as u16 + 1) * self.guests {
                let own = &plan.setup.vifs[usize::from(n)];
                let pair = |address: String| json!({"mac_address": own.mac.to_string(), "ip_address": address});
                let pairs = [pair(own.v4.to_string()), pair(own.v6.to_string())];
                let body = json!({"display_name": format!("{name}-{n}"), "admin_status_enabled": true,
                    "allowed_address_pairs": pairs});
                let port = api.create(&format!("/ws.v1/lswitch/{switch}/lport"), &body)?;
                let attachment = json!({"type": "VifAttachment", "vif_uuid": VifId(n).to_string()});
                api.put(&format!("/ws.v1/lswitch/{switch}/lport/{port}/attachment"), &attachment)?;
                let config =
                    Port { switch: id, enabled: true, pairs: own.pairs(), learning: false, vif: Some(VifId(n)) };
                plant.with(|state| {
                    state.judge.history.ports.entry(PortId(n)).or_default().may_become(Duration::ZERO, Some(config));
                });
            }
        }
        Ok(())
    }

    /// Guests ping, things break, and a line is printed each second; whether all was well.
    fn watch(&self, place: &Where, controller: &mut Running, plant: &Plant) -> Outcome<bool> {
        let (mut before, mut homes) = ((0, 0), (0..2 * self.guests).map(|n| self.home(n)).collect::<Vec<_>>());
        for second in 1.. {
            for tick in 0..4_u16 {
                self.ping(plant, second as u16 * 4 + tick);
                std::thread::sleep(Duration::from_millis(250));
            }
            let (answered, sent) = plant.with(|state| state.pings());
            let (delivered, wrong) = plant.with(|state| (state.judge.judged.delivered, state.judge.violations.len()));
            println!("{second:>4} s  {:>3} of {:>3}   {delivered:>6}, {wrong}", answered - before.0, sent - before.1);
            before = (answered, sent);
            plant.with(|state| state.judge.forget(Tokio::now()));
            if self.seconds.is_some_and(|end| second >= end) {
                break;
            }
            if !self.calm && second % 5 == 0 {
                self.break_something(second / 5, place, controller, plant, &mut homes)?;
            }
        }
        let wrong = plant.with(|state| std::mem::take(&mut state.judge.violations));
        wrong.iter().for_each(|violation| println!("{violation}"));
        let (answered, sent) = before;
        println!("\n{answered} of {sent} pings were answered; {} frames went where they must not", wrong.len());
        Ok(wrong.is_empty() && answered > 0)
    }

    fn ping(&self, plant: &Plant, turn: u16) {
        for tenant in 0..2 {
            let (from, to) = (turn % self.guests, (turn + 1 + turn / self.guests % (self.guests - 1)) % self.guests);
            let of = |n| VifId(tenant * self.guests + n);
            plant.guest(Tokio::now(), GuestAct::Ping { from: of(from), to: of(to), v6: turn % 2 == 1 });
        }
    }

    fn break_something(
        &self,
        turn: u64,
        place: &Where,
        controller: &mut Running,
        plant: &Plant,
        homes: &mut [HvId],
    ) -> Outcome<()> {
        let hv = HvId((turn % u64::from(self.hypervisors)) as u16);
        match turn % 4 {
            1 => {
                println!("        an operator deletes all flows of {hv}");
                plant.edit(Tokio::now(), hv, Edit::DeleteAllFlows);
            }
            2 => {
                let guest = (turn % homes.len() as u64) as u16;
                let (from, to) =
                    (homes[usize::from(guest)], HvId((homes[usize::from(guest)].0 + 1) % self.hypervisors));
                println!("        {} migrates from {from} to {to}", VifId(guest));
                plant.plug(Tokio::now(), VifId(guest), to);
                plant.unplug(Tokio::now(), VifId(guest), from);
                plant.guest(Tokio::now(), GuestAct::Announce { vif: VifId(guest) });
                homes[usize::from(guest)] = to;
            }
            3 => {
                println!("        ovs-vswitchd of {hv} restarts: its flows are gone");
                plant.stop_vswitchd(Tokio::now(), hv);
                std::thread::sleep(Duration::from_millis(300));
                plant.start_vswitchd(Tokio::now(), hv, false);
            }
            _ => {
                println!("        the controller is killed, and started again");
                controller.kill();
                std::thread::sleep(Duration::from_secs(1));
                *controller = place.start()?.0;
            }
        }
        Ok(())
    }
}

/// Where a hypervisor connects from: all of 127.0.0.0/8 is this machine.
fn address_of(hv: HvId) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 1, 1 + hv.0 as u8))
}

tokio::task_local! {
    /// The address of the simulated host that a task runs on.
    static HOST: IpAddr;
}

/// The production runtime, but that tasks of a simulated host connect from its own address.
#[derive(Clone, Copy, Debug, Default)]
struct Loopback;

impl Runtime for Loopback {
    type Stream = TcpStream;
    type Listener = TcpListener;

    fn now() -> Moment {
        Tokio::now()
    }

    fn wall() -> SystemTime {
        Tokio::wall()
    }

    fn sleep_until(at: Moment) -> impl Future<Output = ()> + Send {
        Tokio::sleep_until(at)
    }

    fn spawn(name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        match HOST.try_with(|host| *host) {
            Ok(host) => Tokio::spawn(name, HOST.scope(host, task)),
            Err(_) => Tokio::spawn(name, task),
        }
    }

    fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> impl Future<Output = T> + Send {
        Tokio::blocking(work)
    }

    fn random(out: &mut [u8]) {
        Tokio::random(out);
    }

    fn listen(at: SocketAddr) -> impl Future<Output = io::Result<TcpListener>> + Send {
        Tokio::listen(at)
    }

    async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if let Ok(host) = HOST.try_with(|host| *host) {
            socket.bind(SocketAddr::new(host, 0))?;
        }
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}
