//! How stories are written down: a small network that is there from the beginning, and what happens to it.
//!
//! Guest `n` has MAC 02:00:00:00:00:(n+1) and addresses 10.0.0.(n+1) and fd00::(n+1), is behind port `n` of switch 0, and
//! is on hypervisor `n` modulo how many there are; from second 8 on all of that holds. Start at [`network`].

use selvedge_sim::logical::{Mac, Port, PortId, Switch, SwitchId, VifId};
use selvedge_sim::plan::fault::Fault;
use selvedge_sim::plan::{Act, Encap, GuestAct, HvId, Plan, Request, Setup, Vif};
use std::net::{Ipv4Addr, Ipv6Addr};

/// When the network is there, in milliseconds.
pub const THERE: u64 = 8_000;

/// A network with one switch, which all guests are on.
pub fn network(hypervisors: u16, guests: u16) -> Plan {
    let plan = bare(hypervisors, (0..guests).map(vif).collect()).api(3_000, new_switch(0, Encap::Geneve));
    (0..guests).fold(plan, |plan, n| resident(plan, n, 0, HvId(n % hypervisors)))
}

/// Hypervisors and guests' interfaces, and nothing configured.
pub fn bare(hypervisors: u16, vifs: Vec<Vif>) -> Plan {
    let setup = Setup {
        controllers: 1,
        hypervisors,
        vifs,
        snapshot_every: 20_000,
        silent: false,
        underlay_mtu: 1600,
        recompute_every_ms: 1_000,
    };
    Plan { name: String::new(), seed: 0, setup, steps: Vec::new(), heal_at_ms: 60_000 }
}

/// The interface of guest `n`.
pub fn vif(n: u16) -> Vif {
    let host = n + 1;
    Vif {
        mac: Mac([2, 0, 0, 0, 0, host as u8]),
        v4: Ipv4Addr::new(10, 0, 0, host as u8),
        v6: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, host),
    }
}

/// A request for a switch.
pub fn new_switch(id: u16, encap: Encap) -> Request {
    let config = Switch { isolated: false };
    Request::CreateSwitch { switch: SwitchId(id), config, transports: vec![encap] }
}

/// Guest `n` is behind port `n` of a switch, on a hypervisor.
pub fn resident(plan: Plan, n: u16, switch: u16, on: HvId) -> Plan {
    let pairs = plan.setup.vifs[usize::from(n)].pairs();
    let config = Port { switch: SwitchId(switch), enabled: true, pairs, learning: false, vif: None };
    let at = 3_500 + u64::from(n) * 50;
    plan.api(at, Request::CreatePort { port: PortId(n), config })
        .api(at + 1_500, Request::Attach { port: PortId(n), vif: Some(VifId(n)) })
        .guest(at + 2_500, GuestAct::Plug { vif: VifId(n), on })
}

/// What happens, in the words of stories.
pub trait Telling: Sized {
    /// A client of the API asks for something.
    fn api(self, at_ms: u64, request: Request) -> Self;
    /// A guest does something.
    fn guest(self, at_ms: u64, act: GuestAct) -> Self;
    /// Something goes wrong.
    fn fault(self, at_ms: u64, fault: Fault) -> Self;
    /// Guests ping each other, in both families, every so often.
    fn pings(self, from_ms: u64, to_ms: u64, every_ms: u64) -> Self;
    /// A port's configuration is changed every so often, there and back.
    fn changes(self, port: u16, from_ms: u64, to_ms: u64, every_ms: u64) -> Self;
    /// When all faults end.
    fn heals(self, at_ms: u64) -> Self;
    /// So many controllers.
    fn controllers(self, controllers: u16) -> Self;
}

impl Telling for Plan {
    fn api(self, at_ms: u64, request: Request) -> Plan {
        self.then(at_ms, Act::Api(request))
    }

    fn guest(self, at_ms: u64, act: GuestAct) -> Plan {
        self.then(at_ms, Act::Guest(act))
    }

    fn fault(self, at_ms: u64, fault: Fault) -> Plan {
        self.then(at_ms, Act::Fault(fault))
    }

    fn pings(self, from_ms: u64, to_ms: u64, every_ms: u64) -> Plan {
        let count = self.setup.vifs.len() as u64;
        (from_ms..to_ms).step_by(every_ms as usize).zip(0_u64..).fold(self, |plan, (at, n)| {
            let (from, to) = (VifId((n % count) as u16), VifId(((n + 1 + n / count) % count) as u16));
            if from == to { plan } else { plan.guest(at, GuestAct::Ping { from, to, v6: n % 2 == 1 }) }
        })
    }

    fn changes(self, port: u16, from_ms: u64, to_ms: u64, every_ms: u64) -> Plan {
        let own = self.setup.vifs[usize::from(port)].pairs();
        (from_ms..to_ms).step_by(every_ms as usize).zip(0_u64..).fold(self, |plan, (at, n)| {
            let pairs = if n % 2 == 0 { own[..1].to_vec() } else { own.clone() };
            plan.api(at, Request::SetPort { port: PortId(port), enabled: true, pairs, learning: false })
        })
    }

    fn heals(self, at_ms: u64) -> Plan {
        Plan { heal_at_ms: at_ms, ..self }
    }

    fn controllers(self, controllers: u16) -> Plan {
        Plan { setup: Setup { controllers, ..self.setup }, ..self }
    }
}
