//! How a world misbehaves: the kinds of faults, each with the id by which reports name it.
//!
//! Ids group by letter: N the management network, U the underlay, P processes and hosts, D disks, C clocks, S switches,
//! X adversaries. Some kinds need no word of their own: flapping (N10), clogs (N5) and swizzle-clogs (N7) are made of
//! cuts, crash loops (P5) of kills, bursts (A3) of requests. Which controllers a fault meets is in
//! [`controller`](super::controller). Start at [`Fault`]; what cannot be said is listed at [`UNSAID`].

use super::controller::{ControllerTrouble, Who};
use super::physical::Physical;
use super::{Encap, HvId};
use crate::logical::VifId;
use crate::stage::Ability;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Kinds of the catalogue that no plan can say yet, with the reason.
pub const UNSAID: &[(&str, &str)] = &[
    ("N3", "members of a cluster talk over streams, which duplicate nothing"),
    ("N11", "one cluster, with fixed addresses; a test asks a member in the name of another cluster"),
    ("N12", "simulated sessions run without TLS, beneath which bits could flip"),
    ("U12", "the oracle could not tell it from a switch that corrupts frames"),
    ("U6", "nothing watches tunnels by BFD yet"),
    ("U7-U11 of tenants", "there are no gateways yet: only tunnel packets meet the physical segments"),
    ("P4", "tasks take no time in the simulated world"),
    ("P7, P8", "members and disks come and go in `cargo sim cluster`, which has no switches"),
    ("P9, P10", "memory and descriptors are not counted in the simulated world"),
    ("D3, D5", "a controller refuses its store then, and must join anew: `cargo sim cluster` has them"),
    ("D4, D10", "one file, written by one store: misdirected writes are left to its checksums"),
    ("S7", "no flow sends packets to a controller"),
    ("S13", "every switch has the features of the newest"),
    ("S14", "no flow uses the connection tracker yet"),
    ("G1-G8", "there are no gateways and service nodes yet"),
    ("V1-V7", "there is one version"),
    ("X4, X5", "simulated sessions run without TLS"),
    ("B2, B4, B5, B8", "the product has no knobs for these, and no test-only branches"),
];

/// Which directions of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Both.
    Both,
    /// To the controllers.
    Up,
    /// From them.
    Down,
}

/// How a path of the underlay is worse than it should be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// So many of a hundred packets are lost.
    Loss(u8),
    /// Nothing passes.
    Cut,
    /// So many of a hundred packets come twice.
    Duplicates(u8),
    /// Packets take up to so many milliseconds more, each for itself.
    Jitter(u16),
    /// Packets may only be so large, in bytes.
    Mtu(u16),
    /// Larger packets than these bytes are cut into fragments, though they say "don't".
    Fragments(u16),
    /// So many of a hundred flows lose everything.
    Grey(u8),
}

/// What an operator changes on a switch behind the controller's back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edit {
    /// A flow is deleted, by number among those there are.
    DeleteFlow(u16),
    /// All flows are deleted.
    DeleteAllFlows,
    /// A flow that drops everything of one table is added.
    AddDrop(u8),
    /// A group is emptied, by number among those there are.
    EmptyGroup(u16),
    /// A group is deleted, and the flows that use it.
    DeleteGroup(u16),
    /// The bridge's fail mode is cleared.
    FailMode,
    /// The bridge's controllers are removed.
    Controllers,
    /// A tunnel port is deleted, by number among those there are.
    DeleteTunnel(u8),
    /// The bridge is deleted, with everything on it.
    DeleteBridge,
}

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// A hypervisor and the controllers do not hear each other.
    CutManagement {
        /// Which hypervisor.
        hv: HvId,
        /// In which directions.
        way: Way,
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// The paths between a hypervisor and the controllers are slow, lossy or narrow.
    PoorManagement {
        /// Which hypervisor.
        hv: HvId,
        /// Least time of a segment, in milliseconds.
        latency_ms: u16,
        /// Up to so much more.
        jitter_ms: u16,
        /// So many of a hundred segments must be sent again.
        loss: u8,
        /// Bytes a second, if limited.
        rate: Option<u32>,
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// Connections between a hypervisor and the controllers are reset.
    ResetManagement {
        /// Which hypervisor.
        hv: HvId,
    },
    /// API clients and the controllers do not hear each other.
    CutClients {
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// Connections of API clients are reset.
    ResetClients,
    /// The underlay is bad from one hypervisor to another.
    Underlay {
        /// From here.
        from: HvId,
        /// To there.
        to: HvId,
        /// How.
        trouble: Trouble,
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// Switches, routers or cables beneath the underlay fail.
    Physical {
        /// How.
        trouble: Physical,
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// A controller misbehaves, or several.
    Controller {
        /// Which.
        who: Who,
        /// How.
        trouble: ControllerTrouble,
    },
    /// ovs-vswitchd is restarted: flows, groups, roles and generation ids are gone.
    RestartVswitchd {
        /// Which hypervisor.
        hv: HvId,
        /// It is down for so many milliseconds.
        down_ms: u64,
        /// Port numbers that were not asked for change.
        renumber: bool,
    },
    /// ovsdb-server is restarted.
    RestartOvsdb {
        /// Which hypervisor.
        hv: HvId,
    },
    /// The hypervisor is rebooted: its guests' interfaces come back after it.
    RebootHypervisor {
        /// Which.
        hv: HvId,
        /// It is down for so many milliseconds.
        down_ms: u64,
    },
    /// Flow tables have no room for more than a few flows.
    TableFull {
        /// Which hypervisor.
        hv: HvId,
        /// So many flows fit in each table.
        flows: u32,
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// A modification that is yet to come is answered by an error.
    FailModification {
        /// Which hypervisor.
        hv: HvId,
        /// So many modifications from now.
        nth: u32,
    },
    /// Open bundles expire at once if they are not filled quickly.
    ImpatientBundles {
        /// Which hypervisor.
        hv: HvId,
        /// After so many milliseconds.
        idle_ms: u16,
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// The switch takes long to handle what it is sent.
    SlowSwitch {
        /// Which hypervisor.
        hv: HvId,
        /// How long, in milliseconds.
        delay_ms: u16,
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// A flow goes without a word.
    EvictFlow {
        /// Which hypervisor.
        hv: HvId,
        /// By number among those there are.
        nth: u16,
    },
    /// An operator changes something by hand.
    Edit {
        /// On which hypervisor.
        hv: HvId,
        /// What.
        edit: Edit,
    },
    /// The reply to the next transaction is lost, though it is carried out.
    LoseReply {
        /// Which hypervisor.
        hv: HvId,
    },
    /// The next transaction is refused, as if another client had won.
    RefuseTransaction {
        /// Which hypervisor.
        hv: HvId,
    },
    /// All transactions are refused for a while.
    RefuseTransactions {
        /// Which hypervisor.
        hv: HvId,
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// Updates of the database come late, and several at once.
    LateUpdates {
        /// Which hypervisor.
        hv: HvId,
        /// How late, in milliseconds.
        delay_ms: u16,
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// The datapath answers from decisions made before a change.
    CacheLag {
        /// Which hypervisor.
        hv: HvId,
        /// How long it lags, in milliseconds.
        lag_ms: u16,
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// A hypervisor sends a tunnel packet of its own making, as if from a guest.
    RogueTunnel {
        /// From here.
        from: HvId,
        /// To there.
        to: HvId,
        /// How it is encapsulated.
        encap: Encap,
        /// With this key.
        key: u32,
        /// As if from this guest.
        posing: VifId,
        /// To this one.
        victim: VifId,
        /// From the address of this hypervisor, if another's.
        as_from: Option<HvId>,
    },
    /// Somebody sends bytes that are no protocol to a controller.
    Garbage {
        /// From this hypervisor's address.
        hv: HvId,
        /// To the port for OVSDB; else that for OpenFlow.
        ovsdb: bool,
        /// What the bytes are drawn from.
        seed: u32,
    },
}

impl Fault {
    /// What a stage must be able to do for this to mean anything there.
    pub fn needs(&self) -> Option<Ability> {
        match self {
            Fault::CutManagement { way: Way::Up | Way::Down, .. } => Some(Ability::OneWayCuts),
            Fault::PoorManagement { .. } => Some(Ability::Paths),
            Fault::ResetManagement { .. } | Fault::ResetClients => Some(Ability::Resets),
            Fault::Controller { trouble, .. } => trouble.needs(),
            Fault::RebootHypervisor { .. } => Some(Ability::PowerCuts),
            Fault::CutManagement { way: Way::Both, .. }
            | Fault::CutClients { .. }
            | Fault::Underlay { .. }
            | Fault::Physical { .. }
            | Fault::RestartVswitchd { .. }
            | Fault::RestartOvsdb { .. }
            | Fault::TableFull { .. }
            | Fault::FailModification { .. }
            | Fault::ImpatientBundles { .. }
            | Fault::SlowSwitch { .. }
            | Fault::EvictFlow { .. }
            | Fault::Edit { .. }
            | Fault::LoseReply { .. }
            | Fault::RefuseTransaction { .. }
            | Fault::RefuseTransactions { .. }
            | Fault::LateUpdates { .. }
            | Fault::CacheLag { .. }
            | Fault::RogueTunnel { .. }
            | Fault::Garbage { .. } => None,
        }
    }

    /// Its id in the catalogue.
    pub fn id(&self) -> &'static str {
        match self {
            Fault::CutManagement { way: Way::Both, .. } => "N6",
            Fault::CutManagement { .. } => "N6-one-way",
            Fault::PoorManagement { rate: Some(_), .. } => "N9",
            Fault::PoorManagement { loss: 1.., .. } => "N1",
            Fault::PoorManagement { .. } => "N2",
            Fault::ResetManagement { .. } => "N8",
            Fault::CutClients { .. } => "A4",
            Fault::ResetClients => "A1",
            Fault::Underlay { trouble, .. } => match trouble {
                Trouble::Loss(_) => "U1",
                Trouble::Cut => "U2",
                Trouble::Duplicates(_) => "U3-duplicates",
                Trouble::Jitter(_) => "U3-reordering",
                Trouble::Mtu(_) => "U4",
                Trouble::Fragments(_) => "U4-fragments",
                Trouble::Grey(_) => "U5",
            },
            Fault::Physical { trouble, .. } => trouble.id(),
            Fault::Controller { trouble, .. } => trouble.id(),
            Fault::RestartVswitchd { renumber: false, .. } => "S1",
            Fault::RestartVswitchd { renumber: true, .. } => "S1-renumber",
            Fault::RestartOvsdb { .. } => "S2",
            Fault::RebootHypervisor { .. } => "S3",
            Fault::TableFull { .. } => "S4",
            Fault::FailModification { .. } => "S5",
            Fault::ImpatientBundles { .. } => "S6-bundles",
            Fault::SlowSwitch { .. } => "S6",
            Fault::EvictFlow { .. } => "S8",
            Fault::Edit { .. } => "S9",
            Fault::LoseReply { .. } => "S10-lost",
            Fault::RefuseTransaction { .. } => "S10-refused",
            Fault::RefuseTransactions { .. } => "S10-refusing",
            Fault::LateUpdates { .. } => "S11",
            Fault::CacheLag { .. } => "S15",
            Fault::RogueTunnel { .. } => "X3",
            Fault::Garbage { .. } => "X2",
        }
    }

    /// How long it lasts, in milliseconds; none if it is over at once or ends by itself.
    pub fn lasts_ms(&self) -> Option<u64> {
        match self {
            Fault::CutManagement { for_ms, .. }
            | Fault::PoorManagement { for_ms, .. }
            | Fault::CutClients { for_ms }
            | Fault::Underlay { for_ms, .. }
            | Fault::Physical { for_ms, .. }
            | Fault::TableFull { for_ms, .. }
            | Fault::ImpatientBundles { for_ms, .. }
            | Fault::SlowSwitch { for_ms, .. }
            | Fault::RefuseTransactions { for_ms, .. }
            | Fault::LateUpdates { for_ms, .. }
            | Fault::CacheLag { for_ms, .. } => Some(*for_ms),
            Fault::RestartVswitchd { down_ms, .. } | Fault::RebootHypervisor { down_ms, .. } => Some(*down_ms),
            Fault::Controller { trouble, .. } => trouble.lasts_ms(),
            Fault::ResetManagement { .. }
            | Fault::ResetClients
            | Fault::RestartOvsdb { .. }
            | Fault::FailModification { .. }
            | Fault::EvictFlow { .. }
            | Fault::Edit { .. }
            | Fault::LoseReply { .. }
            | Fault::RefuseTransaction { .. }
            | Fault::RogueTunnel { .. }
            | Fault::Garbage { .. } => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::CutManagement { hv, way, .. } => match way {
                Way::Both => write!(f, "{hv} and the controller do not hear each other"),
                Way::Up => write!(f, "the controller does not hear {hv}"),
                Way::Down => write!(f, "{hv} does not hear the controller"),
            },
            Fault::PoorManagement { hv, latency_ms, jitter_ms, loss, rate, .. } => {
                write!(f, "{hv} to the controller: {latency_ms} to {} ms", latency_ms + jitter_ms)?;
                write!(f, ", {loss} % loss")?;
                rate.map_or(Ok(()), |rate| write!(f, ", {rate} bytes/s"))
            }
            Fault::ResetManagement { hv } => write!(f, "connections of {hv} are reset"),
            Fault::CutClients { .. } => f.write_str("API clients do not hear the controller"),
            Fault::ResetClients => f.write_str("connections of API clients are reset"),
            Fault::Underlay { from, to, trouble, .. } => write!(f, "underlay {from} to {to}: {trouble:?}"),
            Fault::Physical { trouble, .. } => write!(f, "{trouble}"),
            Fault::Controller { who, trouble } => trouble.tell(*who, f),
            Fault::RestartVswitchd { hv, renumber, .. } => {
                write!(f, "ovs-vswitchd of {hv} restarts{}", if *renumber { ", ports renumbered" } else { "" })
            }
            Fault::RestartOvsdb { hv } => write!(f, "ovsdb-server of {hv} restarts"),
            Fault::RebootHypervisor { hv, .. } => write!(f, "{hv} reboots"),
            Fault::TableFull { hv, flows, .. } => write!(f, "tables of {hv} hold {flows} flows"),
            Fault::FailModification { hv, nth } => write!(f, "{hv} refuses modification {nth} from now"),
            Fault::ImpatientBundles { hv, idle_ms, .. } => write!(f, "bundles of {hv} expire after {idle_ms} ms"),
            Fault::SlowSwitch { hv, delay_ms, .. } => write!(f, "{hv} takes {delay_ms} ms to handle what it is sent"),
            Fault::EvictFlow { hv, nth } => write!(f, "{hv} loses flow {nth} without a word"),
            Fault::Edit { hv, edit } => write!(f, "an operator on {hv}: {edit:?}"),
            Fault::LoseReply { hv } => write!(f, "{hv} carries out a transaction and does not say so"),
            Fault::RefuseTransaction { hv } => write!(f, "{hv} refuses a transaction"),
            Fault::RefuseTransactions { hv, .. } => write!(f, "{hv} refuses all transactions"),
            Fault::LateUpdates { hv, delay_ms, .. } => write!(f, "{hv} tells of changes {delay_ms} ms late"),
            Fault::CacheLag { hv, lag_ms, .. } => write!(f, "the datapath of {hv} lags by {lag_ms} ms"),
            Fault::RogueTunnel { from, to, encap, key, posing, victim, as_from } => {
                write!(f, "{from} sends {to} a {} packet, key {key}, {posing} to {victim}", encap.name())?;
                as_from.map_or(Ok(()), |other| write!(f, ", as if from {other}"))
            }
            Fault::Garbage { hv, ovsdb, .. } => {
                write!(f, "somebody at {hv} sends garbage to {}", if *ovsdb { "OVSDB" } else { "OpenFlow" })
            }
        }?;
        self.lasts_ms().map_or(Ok(()), |ms| write!(f, ", for {:.1} s", ms as f64 / 1e3))
    }
}
