//! How much faster than real time a world is, on one core. Start at [`Bench`].

use super::Outcome;
use clap::Args;
use selvedge_scenarios::stories::telling::{Telling, bare, new_switch};
use selvedge_sim::logical::{Mac, Port, PortId, SwitchId, VifId};
use selvedge_sim::plan::fault::Fault;
use selvedge_sim::plan::{Encap, GuestAct, HvId, Plan, Request, Vif};
use selvedge_sim::run::director::Options;
use selvedge_sim::run::in_our_world;
use serde_json::json;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Instant;

/// Guests of each logical switch.
const GUESTS: u16 = 10;
/// When configuration begins, and when it is done, in milliseconds.
const BEGIN: u64 = 10_000;
const THERE: u64 = 40_000;
const END: u64 = 400_000;

#[derive(Args)]
pub struct Bench {
    /// Only this world: small, small-alone (with one controller) or medium
    #[arg(long)]
    world: Option<String>,
    /// For programs
    #[arg(long)]
    json: bool,
}

impl Bench {
    pub fn go(self) -> Outcome {
        let mut good = true;
        let mut rows = Vec::new();
        let worlds = [("small", 3, 5, 40), ("small-alone", 1, 5, 40), ("medium", 3, 50, 500)];
        if let Some(unknown) = self.world.iter().find(|wanted| !worlds.iter().any(|world| world.0 == **wanted)) {
            return Err(
                format!("no world is called {unknown}: there are {}", worlds.map(|world| world.0).join(", ")).into()
            );
        }
        for (name, controllers, hypervisors, guests) in worlds {
            if self.world.as_ref().is_some_and(|wanted| wanted != name) {
                continue;
            }
            eprintln!("{name}: {controllers} controllers, {hypervisors} hypervisors, {guests} guests");
            let plan = world(hypervisors, guests).controllers(controllers);
            let began = Instant::now();
            let report = in_our_world(&plan, &Options::default());
            let (wall, simulated) = (began.elapsed().as_secs_f64(), report.simulated.as_secs_f64());
            good &= report.is_good();
            report.violations.iter().for_each(|violation| eprintln!("  {violation}"));
            if !self.json {
                let frames = report.frames;
                println!("{name:>11}  {simulated:>7.0} s simulated in {wall:>6.2} s: {:>6.0} to 1", simulated / wall);
                println!("             {} frames sent, {} delivered and judged", frames.sent, frames.delivered);
            }
            rows.push(json!({"world": name, "controllers": controllers, "hypervisors": hypervisors, "guests": guests, "simulated_s": simulated,
                "wall_s": wall, "ratio": simulated / wall, "delivered": report.frames.delivered}));
        }
        if self.json {
            println!("{}", serde_json::to_string_pretty(&rows)?);
        }
        Ok(good)
    }
}

/// A world at work: guests ping, ports change, guests migrate, switches restart.
fn world(hypervisors: u16, guests: u16) -> Plan {
    let vif = |n: u16| {
        let (switch, host) = (n / GUESTS, n % GUESTS + 1);
        Vif {
            mac: Mac([2, 0, 0, 0, switch as u8, host as u8]),
            v4: Ipv4Addr::new(10, 1, switch as u8, host as u8),
            v6: Ipv6Addr::new(0xfd00, switch, 0, 0, 0, 0, 0, host),
        }
    };
    let mut plan = bare(hypervisors, (0..guests).map(vif).collect());
    // As in most seeds: incremental computation is compared with a full one at the end.
    plan.setup.recompute_every_ms = 0;
    for n in 0..guests {
        let at = BEGIN + u64::from(n) * 20;
        let switch = SwitchId(n / GUESTS);
        if n % GUESTS == 0 {
            plan = plan.api(at, new_switch(switch.0, Encap::ALL[usize::from(switch.0) % 4]));
        }
        let config =
            Port { switch, enabled: true, pairs: plan.setup.vifs[usize::from(n)].pairs(), learning: false, vif: None };
        plan = plan
            .api(at + 2_000, Request::CreatePort { port: PortId(n), config })
            .api(at + 6_000, Request::Attach { port: PortId(n), vif: Some(VifId(n)) })
            .guest(at + 8_000, GuestAct::Plug { vif: VifId(n), on: HvId(n % hypervisors) });
    }
    for (turn, at) in (THERE..END).step_by(100).enumerate() {
        let from = (turn * 7 % usize::from(guests)) as u16;
        let to = from / GUESTS * GUESTS + (from + 1 + turn as u16 % (GUESTS - 1)) % GUESTS;
        plan = plan.guest(at, GuestAct::Ping { from: VifId(from), to: VifId(to), v6: turn % 2 == 1 });
    }
    let mut homes: Vec<u16> = (0..guests).map(|n| n % hypervisors).collect();
    for (turn, at) in (THERE..END).step_by(2_000).enumerate() {
        let n = (turn * 13 % usize::from(guests)) as u16;
        let pairs = plan.setup.vifs[usize::from(n)].pairs();
        plan = plan.api(at, Request::SetPort { port: PortId(n), enabled: true, pairs, learning: false });
        if turn % 3 == 0 {
            let (from, to) = (homes[usize::from(n)], (homes[usize::from(n)] + 1) % hypervisors);
            homes[usize::from(n)] = to;
            plan = plan
                .guest(at + 500, GuestAct::Plug { vif: VifId(n), on: HvId(to) })
                .guest(at + 520, GuestAct::Unplug { vif: VifId(n), from: HvId(from) });
        }
        if turn % 15 == 14 {
            let hv = HvId(turn as u16 % hypervisors);
            plan = plan.fault(at, Fault::RestartVswitchd { hv, down_ms: 200, renumber: false });
        }
    }
    Plan { name: "bench".to_string(), seed: 1, ..plan.heals(END) }
}
