//! A first look, in one command: three controllers as they ship, processes of their own, and simulated hypervisors that
//! connect to them over real sockets on the loopback. No root and no Open vSwitch are needed.
//!
//! Two tenants use the same addresses; their guests ping each other all the while, and now and then something breaks:
//! a switch forgets its flows, an operator meddles, a guest migrates, the controller that leads is killed. Every frame that arrives
//! is judged by what the tenants asked for. Start at [`Demo`].

#![allow(clippy::disallowed_methods, reason = "this is the one simulation that runs in real time")]

mod loopback;

use clap::{Args, Parser, Subcommand};
use loopback::{HOST, Loopback};
use selvedge_net::cli;
use selvedge_net::daemon;
use selvedge_net::runtime::{Runtime, Tokio};
use selvedge_scenarios::controllers::{self, Controllers};
use selvedge_scenarios::stories::telling::{bare, vif};
use selvedge_sim::logical::{Port, PortId, Switch, SwitchId, VifId};
use selvedge_sim::plan::fault::Edit;
use selvedge_sim::plan::{GuestAct, HvId, Plan};
use selvedge_sim::run::director::{self, tunnel_end};
use selvedge_sim::run::plant::Plant;
use selvedge_sim::testbed::api::Api;
use serde_json::json;
use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

/// Something breaks every so many seconds.
const BREAK_S: u64 = 5;
/// A controller that is killed is started again after so many.
const DOWN_S: u64 = 4;

/// Controllers, simulated hypervisors and guests, on this machine's loopback.
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
    /// A controller, as `selvedge controller` runs it
    #[command(hide = true)]
    Controller(Controller),
    #[command(flatten)]
    Client(cli::Command),
}

#[derive(Args)]
struct Controller {
    #[command(flatten)]
    options: daemon::Options,
}

#[derive(Args)]
struct Demo {
    /// How many controllers
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=5))]
    controllers: u16,
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
        Some(Role::Controller(controller)) => controllers::run(controller.options).map(|()| true),
        Some(Role::Client(command)) => return cli::run(command),
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

impl Demo {
    fn go(self) -> Outcome<bool> {
        println!("{} controllers start", self.controllers);
        let mut controllers = Controllers::start(self.controllers.into())?;
        controllers.tell();
        let plan = self.plan();
        let plant = Plant::new(&plan, &director::Options::default());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        self.configure(&controllers.api()?, &plan, &plant)?;
        let manager = controllers.manager();
        runtime.block_on(async {
            Loopback::spawn("the physical world", plant.clone().beat::<Loopback>());
            for hv in (0..self.hypervisors).map(HvId) {
                plant.power_on(Tokio::now(), hv, &manager);
                HOST.sync_scope(address_of(hv), || {
                    Loopback::spawn("a hypervisor", plant.clone().carry::<Loopback>(hv))
                });
            }
        });
        (0..2 * self.guests).for_each(|n| plant.plug(Tokio::now(), VifId(n), self.home(n)));
        println!("{} hypervisors, two tenants with the same addresses, {} guests each", self.hypervisors, self.guests);
        println!("kill a controller: type 'kill', or 'kill 2', and Enter; it is started again after {DOWN_S} s");
        println!("each second: pings answered, sent; frames delivered, and how many of them should not have been\n");
        let good = self.watch(&mut controllers, &plant)?;
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
    fn watch(&self, controllers: &mut Controllers, plant: &Plant) -> Outcome<bool> {
        let (mut before, mut homes) = ((0, 0), (0..2 * self.guests).map(|n| self.home(n)).collect::<Vec<_>>());
        let wishes = wishes();
        for second in 1.. {
            for tick in 0..4_u16 {
                self.ping(plant, second as u16 * 4 + tick);
                std::thread::sleep(Duration::from_millis(250));
            }
            controllers.restart_due(second)?;
            for wish in wishes.try_iter() {
                match wish {
                    Ok(which) => controllers.kill(which, second + DOWN_S)?,
                    Err(text) => println!("        '{text}' is not understood: 'kill', or 'kill' and a number"),
                }
            }
            let (answered, sent) = plant.with(|state| state.pings());
            let (delivered, wrong) = plant.with(|state| (state.judge.judged.delivered, state.judge.violations.len()));
            println!("{second:>4} s  {:>3} of {:>3}   {delivered:>6}, {wrong}", answered - before.0, sent - before.1);
            before = (answered, sent);
            plant.with(|state| state.judge.forget(Tokio::now()));
            if self.seconds.is_some_and(|end| second >= end) {
                break;
            }
            if !self.calm && second % BREAK_S == 0 {
                self.break_something(second, controllers, plant, &mut homes)?;
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
        second: u64,
        controllers: &mut Controllers,
        plant: &Plant,
        homes: &mut [HvId],
    ) -> Outcome<()> {
        let turn = second / BREAK_S;
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
            _ => controllers.kill(None, second + DOWN_S)?,
        }
        Ok(())
    }
}

/// What is typed: which controller is to be killed, nothing for the one that leads; or what was not understood.
fn wishes() -> mpsc::Receiver<Result<Option<usize>, String>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let wish = match words.as_slice() {
                [] => continue,
                ["kill"] => Ok(None),
                ["kill", number] => number.parse().map(Some).map_err(|_| line.clone()),
                _ => Err(line.clone()),
            };
            if sender.send(wish).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Where a hypervisor connects from: all of 127.0.0.0/8 is this machine.
fn address_of(hv: HvId) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 1, 1 + hv.0 as u8))
}
