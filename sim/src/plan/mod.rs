//! A plan: everything that happens to a simulated world, written down before it happens.
//!
//! A seed becomes a plan ([`swarm`]), a story is one ([`Plan`] written by hand), and shrinking one is leaving steps out:
//! steps name things by number, so that a step whose thing is not there any more is skipped, and the rest still means
//! what it meant. A plan prints as sentences and is kept as JSON.
//!
//! The first part is safety under anything; at [`Plan::heal_at_ms`] all faults end, and the world must converge.
//! Start at [`Plan`]; faults are [`fault::Fault`].

pub mod controller;
pub mod fault;
pub mod physical;
pub mod shrink;
pub mod swarm;

use crate::logical::{Mac, Pair, Port, PortId, Switch, SwitchId, VifId};
use crate::stage::Ability;
use fault::Fault;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A hypervisor of a plan, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HvId(pub u16);

impl fmt::Display for HvId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hv{}", self.0)
    }
}

/// A tunnel encapsulation, by the words of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encap {
    /// Geneve.
    Geneve,
    /// VXLAN.
    Vxlan,
    /// GRE.
    Gre,
    /// STT.
    Stt,
}

impl Encap {
    /// All of them.
    pub const ALL: [Encap; 4] = [Encap::Geneve, Encap::Vxlan, Encap::Gre, Encap::Stt];

    /// `transport_type` in the API, and the interface type in Open vSwitch.
    pub fn name(self) -> &'static str {
        match self {
            Encap::Geneve => "geneve",
            Encap::Vxlan => "vxlan",
            Encap::Gre => "gre",
            Encap::Stt => "stt",
        }
    }

    /// The connector's `type` in the API.
    pub fn connector(self) -> &'static str {
        match self {
            Encap::Geneve => "GeneveConnector",
            Encap::Vxlan => "VXLANConnector",
            Encap::Gre => "GREConnector",
            Encap::Stt => "STTConnector",
        }
    }
}

/// A guest's interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vif {
    /// Its Ethernet address. Tenants may use the same ones.
    pub mac: Mac,
    /// Its IPv4 address, in a /24.
    pub v4: Ipv4Addr,
    /// Its IPv6 address, in a /64.
    pub v6: Ipv6Addr,
}

impl Vif {
    /// The address pairs that allow it just its own addresses.
    pub fn pairs(&self) -> Vec<Pair> {
        let pair = |address: IpAddr, length| Pair { mac: self.mac, net: Some((address, length)) };
        vec![pair(self.v4.into(), 32), pair(self.v6.into(), 128)]
    }
}

/// What there is from the beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// How many controllers.
    #[serde(default = "one")]
    pub controllers: u16,
    /// How many hypervisors.
    pub hypervisors: u16,
    /// The guests' interfaces, by number.
    pub vifs: Vec<Vif>,
    /// A controller takes a snapshot after so many commands.
    pub snapshot_every: u64,
    /// Switches volunteer nothing: no statistics, no status of their own accord.
    pub silent: bool,
    /// The underlay's packets may be so large, in bytes.
    pub underlay_mtu: u16,
    /// Incremental computation is compared with a full one so often, in milliseconds; 0 is only at the end.
    pub recompute_every_ms: u64,
}

fn one() -> u16 {
    1
}

/// Something that happens at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// When, in milliseconds from the beginning.
    pub at_ms: u64,
    /// What.
    pub act: Act,
}

/// Something that happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// A client of the API asks for something.
    Api(Request),
    /// A guest, or who runs it, does something.
    Guest(GuestAct),
    /// The world misbehaves.
    Fault(Fault),
}

/// What a client of the API asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Make a logical switch.
    CreateSwitch {
        /// Which.
        switch: SwitchId,
        /// How it is to be.
        config: Switch,
        /// Its encapsulations, best first; none is any.
        transports: Vec<Encap>,
    },
    /// Change a logical switch.
    SetSwitch {
        /// Which.
        switch: SwitchId,
        /// How it is to be.
        config: Switch,
    },
    /// Remove a logical switch with its ports.
    DeleteSwitch {
        /// Which.
        switch: SwitchId,
    },
    /// Make a logical port, attached to nothing.
    CreatePort {
        /// Which.
        port: PortId,
        /// How it is to be.
        config: Port,
    },
    /// Change a logical port: all but its switch and attachment.
    SetPort {
        /// Which.
        port: PortId,
        /// Whether anything passes.
        enabled: bool,
        /// Sources it may use.
        pairs: Vec<Pair>,
        /// Whether unknown destinations are sent to it.
        learning: bool,
    },
    /// Remove a logical port.
    DeletePort {
        /// Which.
        port: PortId,
    },
    /// Plug a logical port into a guest's interface, or out.
    Attach {
        /// Which port.
        port: PortId,
        /// Into what.
        vif: Option<VifId>,
    },
    /// Take a transport node out of service, or back.
    SetNode {
        /// Which.
        hypervisor: HvId,
        /// Whether it takes part.
        enabled: bool,
    },
    /// Read a port, and compare.
    Read {
        /// Which.
        port: PortId,
    },
    /// Something that no client should send: by number, of a catalogue.
    Malformed(u8),
}

/// What a guest, or who runs it, does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuestAct {
    /// The guest's interface appears on a hypervisor.
    Plug {
        /// Whose.
        vif: VifId,
        /// Where.
        on: HvId,
    },
    /// It goes from there.
    Unplug {
        /// Whose.
        vif: VifId,
        /// Where.
        from: HvId,
    },
    /// Ping another over IPv4, or IPv6.
    Ping {
        /// Who.
        from: VifId,
        /// Whose address.
        to: VifId,
        /// Over IPv6.
        v6: bool,
    },
    /// Send datagrams.
    Udp {
        /// Who.
        from: VifId,
        /// Whose address.
        to: VifId,
        /// Bytes of payload.
        size: u16,
    },
    /// Open a connection and send bytes.
    Tcp {
        /// Who.
        from: VifId,
        /// Whose address.
        to: VifId,
        /// How many bytes.
        bytes: u32,
    },
    /// Announce its addresses to everybody.
    Announce {
        /// Who.
        vif: VifId,
    },
    /// Send what it must not.
    Spoof {
        /// Who.
        from: VifId,
        /// Whose identity it takes.
        victim: VifId,
        /// In which way: by number, of a catalogue.
        kind: u8,
    },
    /// Start afresh: caches and connections are gone.
    Reboot {
        /// Who.
        vif: VifId,
    },
}

/// Everything that happens to a world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// A name for people: of the story, or the seed.
    pub name: String,
    /// What all that the plan leaves open is drawn from.
    pub seed: u64,
    /// What there is from the beginning.
    pub setup: Setup,
    /// What happens, in the order of time.
    pub steps: Vec<Step>,
    /// When faults end, in milliseconds: from then on the world must converge.
    pub heal_at_ms: u64,
}

impl Plan {
    /// Adds a step; for stories written by hand.
    #[must_use]
    pub fn then(mut self, at_ms: u64, act: Act) -> Plan {
        self.steps.push(Step { at_ms, act });
        self.steps.sort_by_key(|step| step.at_ms);
        self
    }

    /// What a stage must be able to do for all of it to mean something there.
    pub fn needs(&self) -> BTreeSet<Ability> {
        let faults = self.steps.iter().filter_map(|step| match &step.act {
            Act::Fault(fault) => fault.needs(),
            Act::Api(_) | Act::Guest(_) => None,
        });
        faults.collect()
    }

    /// The plan in words, one line a step.
    pub fn in_words(&self) -> String {
        let line = |step: &Step| format!("{:>9.3} s  {}\n", step.at_ms as f64 / 1e3, step.act);
        let heal = format!("{:>9.3} s  all faults end; the world must converge\n", self.heal_at_ms as f64 / 1e3);
        let head = format!(
            "{}: {} controllers, {} hypervisors, {} guests, snapshot every {} commands{}\n",
            self.name,
            self.setup.controllers,
            self.setup.hypervisors,
            self.setup.vifs.len(),
            self.setup.snapshot_every,
            if self.setup.silent { ", silent switches" } else { "" },
        );
        head + &self.steps.iter().map(line).collect::<String>() + &heal
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Act::Api(request) => write!(f, "api    {request}"),
            Act::Guest(act) => write!(f, "guest  {act}"),
            Act::Fault(fault) => write!(f, "fault  {} {fault}", fault.id()),
        }
    }
}

fn pairs_in_words(pairs: &[Pair]) -> String {
    let word = |pair: &Pair| match pair.net {
        None => pair.mac.to_string(),
        Some((address, length)) => format!("{}={address}/{length}", pair.mac),
    };
    match pairs.is_empty() {
        true => "any address".to_string(),
        false => pairs.iter().map(word).collect::<Vec<_>>().join(" "),
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on_off = |on: &bool| if *on { "on" } else { "off" };
        match self {
            Request::CreateSwitch { switch, config, transports } => {
                let names: Vec<&str> = transports.iter().map(|encap| encap.name()).collect();
                let names = if names.is_empty() { "any encapsulation".to_string() } else { names.join(", ") };
                write!(f, "make switch {switch} over {names}{}", if config.isolated { ", isolated" } else { "" })
            }
            Request::SetSwitch { switch, config } => {
                write!(f, "switch {switch}: isolation {}", on_off(&config.isolated))
            }
            Request::DeleteSwitch { switch } => write!(f, "delete switch {switch}"),
            Request::CreatePort { port, config } => {
                write!(f, "make port {port} on {}, {}, ", config.switch, on_off(&config.enabled))?;
                write!(f, "{}", pairs_in_words(&config.pairs))?;
                f.write_str(if config.learning { ", learning" } else { "" })
            }
            Request::SetPort { port, enabled, pairs, learning } => {
                write!(f, "port {port}: {}, {}", on_off(enabled), pairs_in_words(pairs))?;
                f.write_str(if *learning { ", learning" } else { "" })
            }
            Request::DeletePort { port } => write!(f, "delete port {port}"),
            Request::Attach { port, vif: Some(vif) } => write!(f, "attach port {port} to {vif}"),
            Request::Attach { port, vif: None } => write!(f, "detach port {port}"),
            Request::SetNode { hypervisor, enabled } => write!(f, "transport node {hypervisor}: {}", on_off(enabled)),
            Request::Read { port } => write!(f, "read port {port}"),
            Request::Malformed(kind) => write!(f, "send malformed request number {kind}"),
        }
    }
}

impl fmt::Display for GuestAct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GuestAct::Plug { vif, on } => write!(f, "{vif} appears on {on}"),
            GuestAct::Unplug { vif, from } => write!(f, "{vif} goes from {from}"),
            GuestAct::Ping { from, to, v6 } => write!(f, "{from} pings {to}{}", if *v6 { " over IPv6" } else { "" }),
            GuestAct::Udp { from, to, size } => write!(f, "{from} sends {to} a datagram of {size} bytes"),
            GuestAct::Tcp { from, to, bytes } => write!(f, "{from} sends {to} {bytes} bytes over TCP"),
            GuestAct::Announce { vif } => write!(f, "{vif} announces its addresses"),
            GuestAct::Spoof { from, victim, kind } => write!(f, "{from} poses as {victim}, in way {kind}"),
            GuestAct::Reboot { vif } => write!(f, "{vif} reboots"),
        }
    }
}
