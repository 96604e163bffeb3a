//! How controllers misbehave, and which of them. Start at [`Who`] and [`ControllerTrouble`].

use super::HvId;
use super::fault::{Fault, Way};
use crate::stage::Ability;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Which controllers, as it is when a fault begins: what they are to each other is not known before. In a world with one
/// controller all of these are that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// All of them.
    All,
    /// The one that leads; if none does, the first.
    Leader,
    /// The first that does not lead.
    Follower,
    /// The one that writes to a hypervisor; if none does, the first.
    OwnerOf(HvId),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::All => f.write_str("every controller"),
            Who::Leader => f.write_str("the controller that leads"),
            Who::Follower => f.write_str("a controller that does not lead"),
            Who::OwnerOf(hv) => write!(f, "the controller that owns {hv}"),
        }
    }
}

/// How a disk fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskTrouble {
    /// The next sync fails, and what it should have made durable may be lost.
    SyncFails,
    /// No space is left.
    Full,
    /// Every operation takes so many milliseconds.
    Slow(u16),
    /// Nothing can be written.
    ReadOnly,
}

/// How a controller, its process, its disk or its host misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControllerTrouble {
    /// It is killed, and started again.
    Kill {
        /// After how long, in milliseconds.
        down_ms: u64,
    },
    /// Its host loses power, with what its disk had not synced.
    PowerCut {
        /// Power is back after so many milliseconds.
        down_ms: u64,
    },
    /// Power is lost at a disk operation that is yet to come: within a commit, often.
    PowerCutAt {
        /// So many operations from now.
        operations: u32,
        /// Power is back after so many milliseconds.
        down_ms: u64,
    },
    /// Its process is held.
    Pause {
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// Its disk fails.
    Disk {
        /// How.
        trouble: DiskTrouble,
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// Its clocks go wrong.
    Clock {
        /// Civil time is ahead by so much, in milliseconds.
        ahead_ms: i64,
        /// Both clocks run fast by so many parts in a million.
        drift_ppm: i32,
    },
    /// It and the other controllers do not hear each other.
    Apart {
        /// In which directions: up is from it to the others.
        way: Way,
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// It and a hypervisor do not hear each other.
    CutOff {
        /// Which hypervisor.
        hv: HvId,
        /// In which directions: up is from the hypervisor.
        way: Way,
        /// For how long, in milliseconds.
        for_ms: u64,
    },
}

impl ControllerTrouble {
    /// As a fault of one controller, or of all.
    pub fn of(self, who: Who) -> Fault {
        Fault::Controller { who, trouble: self }
    }

    /// What a stage must be able to do for this to mean anything there.
    pub fn needs(&self) -> Option<Ability> {
        match self {
            ControllerTrouble::PowerCut { .. } | ControllerTrouble::PowerCutAt { .. } => Some(Ability::PowerCuts),
            ControllerTrouble::Pause { .. } => Some(Ability::Pauses),
            ControllerTrouble::Clock { .. } => Some(Ability::Clocks),
            ControllerTrouble::Apart { way, .. } | ControllerTrouble::CutOff { way, .. } => {
                (*way != Way::Both).then_some(Ability::OneWayCuts)
            }
            ControllerTrouble::Kill { .. } | ControllerTrouble::Disk { .. } => None,
        }
    }

    /// Its id in the catalogue.
    pub fn id(&self) -> &'static str {
        match self {
            ControllerTrouble::Kill { .. } => "P1",
            ControllerTrouble::PowerCut { .. } => "P6",
            ControllerTrouble::PowerCutAt { .. } => "P2",
            ControllerTrouble::Pause { .. } => "P3",
            ControllerTrouble::Disk { trouble, .. } => match trouble {
                DiskTrouble::SyncFails => "D6",
                DiskTrouble::Full => "D7",
                DiskTrouble::Slow(_) => "D8",
                DiskTrouble::ReadOnly => "D11",
            },
            ControllerTrouble::Clock { drift_ppm: 0, .. } => "C1",
            ControllerTrouble::Clock { .. } => "C2",
            ControllerTrouble::Apart { way: Way::Both, .. } => "N6-controllers",
            ControllerTrouble::Apart { .. } => "N6-controllers-one-way",
            ControllerTrouble::CutOff { way: Way::Both, .. } => "N6-partial",
            ControllerTrouble::CutOff { .. } => "N6-partial-one-way",
        }
    }

    /// How long it lasts, in milliseconds; none if it is over at once or ends by itself.
    pub fn lasts_ms(&self) -> Option<u64> {
        match self {
            ControllerTrouble::Kill { down_ms: ms }
            | ControllerTrouble::PowerCut { down_ms: ms }
            | ControllerTrouble::Pause { for_ms: ms }
            | ControllerTrouble::Disk { for_ms: ms, .. }
            | ControllerTrouble::Apart { for_ms: ms, .. }
            | ControllerTrouble::CutOff { for_ms: ms, .. } => Some(*ms),
            ControllerTrouble::PowerCutAt { .. } | ControllerTrouble::Clock { .. } => None,
        }
    }

    /// What happens to whom, in words.
    pub(super) fn tell(&self, who: Who, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ControllerTrouble::Kill { .. } => write!(f, "{who} is killed"),
            ControllerTrouble::PowerCut { .. } => write!(f, "{who} loses power"),
            ControllerTrouble::PowerCutAt { operations, .. } => {
                write!(f, "{who} loses power at disk operation {operations} from now")
            }
            ControllerTrouble::Pause { .. } => write!(f, "{who} is held"),
            ControllerTrouble::Disk { trouble, .. } => write!(f, "the disk of {who}: {trouble:?}"),
            ControllerTrouble::Clock { ahead_ms, drift_ppm } => {
                write!(f, "the clock of {who}: {ahead_ms} ms ahead, {drift_ppm} ppm fast")
            }
            ControllerTrouble::Apart { way, .. } => match way {
                Way::Both => write!(f, "{who} and the others do not hear each other"),
                Way::Up => write!(f, "others do not hear {who}"),
                Way::Down => write!(f, "{who} does not hear the others"),
            },
            ControllerTrouble::CutOff { hv, way, .. } => match way {
                Way::Both => write!(f, "{who} and {hv} do not hear each other"),
                Way::Up => write!(f, "{who} does not hear {hv}"),
                Way::Down => write!(f, "{hv} does not hear {who}"),
            },
        }
    }
}
