//! What a run came to: violations, what was reached, what fired, and how to see it again.
//!
//! Start at [`Report`].

use super::capture::Captured;
use super::intent::Counts;
use super::judge::Judged;
use crate::disk;
use crate::oracles::Violation;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

/// Things that a run may come to, and that must be reached now and then for the tester to be worth something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// A controller started on a disk that had lost power within an operation.
    RecoveredFromPowerCut,
    /// A controller stopped because its disk failed.
    StoppedOnDiskError,
    /// A start replayed a snapshot.
    SnapshotReplayed,
    /// A request was lost, and turned out to have been carried out.
    LostRequestDone,
    /// A request was lost, and turned out not to have been carried out.
    LostRequestNeverWas,
    /// A request was refused.
    RequestRefused,
    /// A spoofed frame reached nobody.
    SpoofDropped,
    /// A made-up tunnel packet reached nobody.
    TunnelPacketRefused,
    /// A guest was at two places at once.
    TwoPlaces,
    /// A guest appeared before any port was attached to it.
    PluggedBeforeConfigured,
    /// Two guests of different switches with one address were on one hypervisor.
    SameAddressOnOneHypervisor,
    /// A switch was asked for something under a generation that it had forgotten.
    RoleAssertedAfterRestart,
    /// What somebody changed on a switch by hand was put right.
    EditRepaired,
    /// A switch refused a modification.
    ModificationRefused,
    /// A bundle expired before it was committed.
    BundleExpired,
    /// A bundle was lost with its connection.
    BundleLost,
    /// A transaction was refused by a switch's database.
    TransactionRefused,
    /// A transaction was carried out and its reply lost.
    ReplyLost,
    /// A switch asked whether a silent controller lives, and found it dead.
    ControllerFoundDead,
    /// The port number of a guest's interface changed.
    PortNumberChanged,
    /// A transport node was taken out of service.
    NodeDisabled,
    /// A peer sent bytes that are no protocol.
    GarbageSent,
    /// A ping was answered while no controller was up.
    ForwardedWithoutController,
    /// A tunnel packet was cut into fragments and put together.
    FragmentsReassembled,
    /// A physical switch flooded a tunnel packet.
    UnderlayFlooded,
    /// A frame of the underlay went in circles.
    UnderlayCircled,
    /// A stranger got a tunnel packet.
    TunnelPacketStolen,
    /// The other router of the underlay took over.
    RouterTookOver,
    /// Another controller led than before.
    LeaderChanged,
    /// Another controller wrote to a hypervisor than before.
    OwnerChanged,
    /// The world converged after faults.
    Converged,
}

impl Mark {
    /// All of them.
    pub const ALL: [Mark; 31] = [
        Mark::RecoveredFromPowerCut,
        Mark::StoppedOnDiskError,
        Mark::SnapshotReplayed,
        Mark::LostRequestDone,
        Mark::LostRequestNeverWas,
        Mark::RequestRefused,
        Mark::SpoofDropped,
        Mark::TunnelPacketRefused,
        Mark::TwoPlaces,
        Mark::PluggedBeforeConfigured,
        Mark::SameAddressOnOneHypervisor,
        Mark::RoleAssertedAfterRestart,
        Mark::EditRepaired,
        Mark::ModificationRefused,
        Mark::BundleExpired,
        Mark::BundleLost,
        Mark::TransactionRefused,
        Mark::ReplyLost,
        Mark::ControllerFoundDead,
        Mark::PortNumberChanged,
        Mark::NodeDisabled,
        Mark::GarbageSent,
        Mark::ForwardedWithoutController,
        Mark::FragmentsReassembled,
        Mark::UnderlayFlooded,
        Mark::UnderlayCircled,
        Mark::TunnelPacketStolen,
        Mark::RouterTookOver,
        Mark::LeaderChanged,
        Mark::OwnerChanged,
        Mark::Converged,
    ];
}

/// What a run came to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Whose.
    pub name: String,
    /// The seed of everything that the plan left open.
    pub seed: u64,
    /// What must never be was.
    pub violations: Vec<Violation>,
    /// Hash of everything that happened: the same in every run of the same plan.
    pub hash: u64,
    /// How much time passed in the world.
    pub simulated: Duration,
    /// How long after the end of all faults the world had converged.
    pub converged_after: Option<Duration>,
    /// What was reached.
    pub marks: BTreeSet<Mark>,
    /// How often each kind of fault was applied.
    pub faults: BTreeMap<&'static str, u64>,
    /// How requests to the API ended.
    pub requests: Counts,
    /// Frames and deliveries.
    pub frames: Judged,
    /// What the controller's disk did.
    pub disk: disk::Fired,
    /// Pings that were answered, and sent.
    pub pings: (u64, u64),
    /// Packets, if they were kept.
    #[serde(skip)]
    pub packets: Vec<Captured>,
    /// What the hash is made of, if it was kept.
    #[serde(skip)]
    pub trace: Vec<String>,
}

impl Report {
    /// Whether nothing was wrong.
    pub fn is_good(&self) -> bool {
        self.violations.is_empty()
    }

    /// What went wrong, in words.
    pub fn in_words(&self) -> String {
        let mut text = format!("{}: {} violations\n", self.name, self.violations.len());
        for violation in &self.violations {
            writeln!(text, "  {violation}").expect("memory takes it");
        }
        text
    }

    /// Whether a property was violated that `other` violated first: the same failure, as far as one can say.
    pub fn fails_like(&self, other: &Report) -> bool {
        let first = other.violations.first().map(|violation| violation.id);
        first.is_some_and(|id| self.violations.iter().any(|violation| violation.id == id))
    }
}

/// Several runs together.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// How many.
    pub runs: u64,
    /// How many of them found something wrong.
    pub failed: u64,
    /// Time in their worlds, in seconds.
    pub simulated_s: f64,
    /// How many runs reached each mark.
    pub marks: BTreeMap<Mark, u64>,
    /// How often each kind of fault was applied.
    pub faults: BTreeMap<&'static str, u64>,
    /// Deliveries that were judged.
    pub deliveries: u64,
    /// Requests that were answered.
    pub requests: u64,
}

impl Summary {
    /// One more run.
    pub fn add(&mut self, report: &Report) {
        self.runs += 1;
        self.failed += u64::from(!report.is_good());
        self.simulated_s += report.simulated.as_secs_f64();
        report.marks.iter().for_each(|mark| *self.marks.entry(*mark).or_default() += 1);
        report.faults.iter().for_each(|(kind, count)| *self.faults.entry(kind).or_default() += count);
        self.deliveries += report.frames.delivered;
        self.requests += report.requests.done + report.requests.refused;
    }

    /// Marks that no run reached.
    pub fn unreached(&self) -> Vec<Mark> {
        Mark::ALL.into_iter().filter(|mark| !self.marks.contains_key(mark)).collect()
    }
}
