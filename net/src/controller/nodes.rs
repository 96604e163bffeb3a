//! What is known of transport nodes beyond the NIB: connections, progress, trouble. None of it is durable.
//!
//! Start at [`NodeState`].

use super::progress::Progress;
use selvedge_core::ids::{Epoch, MemberId, Revision};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::SystemTime;

/// A live connection of a transport node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Where it comes from.
    pub peer: SocketAddr,
    /// Since when.
    pub since: SystemTime,
}

/// How far a controller reaches a transport node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reach {
    /// Not so that it could tell which of its bridges is which: it has no OVSDB session with it.
    Nothing,
    /// It could configure it, and has no OpenFlow session.
    Ovsdb,
    /// It has all connections that it needs to write to it.
    Both,
}

/// What a controller has to tell of a transport node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The OVSDB session, while there is one.
    pub ovsdb: Option<Connection>,
    /// The OpenFlow session of the integration bridge, while there is one and the controller writes to it.
    pub openflow: Option<Connection>,
    /// `ovs_version`, as reported.
    pub ovs_version: Option<String>,
    /// What is wrong with it, by who says so; each a sentence for an operator.
    pub problems: BTreeMap<Cow<'static, str>, String>,
    /// What the controller found changed behind its back and put right, newest last; the last few.
    pub repairs: VecDeque<Repair>,
    /// Since the controller started.
    pub counters: Counters,
}

/// What another controller told of a transport node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// Who.
    pub by: MemberId,
    /// Under which mastership, which may be one that is not known here yet.
    pub epoch: Epoch,
    /// What.
    pub report: Report,
}

/// What is known of one transport node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeState {
    /// What this controller sees of it.
    pub own: Report,
    /// What the controller that writes to it has told, if that is another one.
    pub(super) told: Option<Told>,
    /// This controller writes to it, and is not told by others.
    pub(super) is_ours: bool,
    /// An OpenFlow session of its is up, of whichever bridge; this controller may be standing by.
    pub has_openflow: bool,
    /// Which revisions the switch holds; nothing yet if nobody looked since the controller started.
    pub progress: Option<Progress>,
    /// The integration bridge's datapath id, as reported: sixteen hex digits. Its OpenFlow connection is known by it, and
    /// waits for it: it is here once the VIFs that this OVSDB session reported first are in the NIB.
    pub datapath_id: Option<String>,
    /// What OpenFlow connections ask of the OVSDB session.
    pub fences: Fences,
}

/// Fences between a node's OVSDB session and its OpenFlow connections.
///
/// Flows name ports by number, and numbers are of one life of a switch. So an OpenFlow connection that comes up asks for a
/// fence, and no flows are written until it has passed: until the OVSDB session has heard an answer to something that it
/// asked afterwards, and all that the switch told before is in the NIB. A session with a switch that is dead hears none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fences {
    asked: u64,
    passed: u64,
}

impl Fences {
    /// Asks for one; its number.
    pub fn ask(&mut self) -> u64 {
        self.asked += 1;
        self.asked
    }

    /// The number of the newest that was asked for.
    pub fn asked(self) -> u64 {
        self.asked
    }

    /// All up to this one have passed.
    pub fn pass(&mut self, number: u64) {
        self.passed = self.passed.max(number);
    }

    /// Whether this one has passed.
    pub fn has_passed(self, number: u64) -> bool {
        self.passed >= number
    }
}

/// Something put right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    /// When.
    pub at: SystemTime,
    /// What, in words.
    pub what: String,
}

/// What was sent to a transport node since the controller started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Flow mods confirmed.
    pub flow_mods: u64,
    /// Group mods confirmed.
    pub group_mods: u64,
    /// Bundles confirmed.
    pub bundles: u64,
    /// OVSDB transactions confirmed.
    pub ovsdb_transactions: u64,
    /// OpenFlow sessions that came up.
    pub openflow_sessions: u64,
    /// OVSDB sessions that came up.
    pub ovsdb_sessions: u64,
    /// Repairs of what was changed behind the controller's back.
    pub repairs: u64,
}

/// How many repairs are remembered for each node.
const REPAIRS_KEPT: usize = 16;

impl NodeState {
    /// Remembers a repair.
    pub fn repaired(&mut self, at: SystemTime, what: impl Into<String>) {
        self.own.counters.repairs += 1;
        self.own.repairs.push_back(Repair { at, what: what.into() });
        while self.own.repairs.len() > REPAIRS_KEPT {
            self.own.repairs.pop_front();
        }
    }

    /// What there is to tell of it: by the controller that writes to it, as far as that is known here.
    pub fn report(&self) -> &Report {
        self.told.as_ref().filter(|_| !self.is_ours).map_or(&self.own, |told| &told.report)
    }

    /// How far this controller reaches it.
    pub(super) fn reach(&self) -> Reach {
        match (self.own.ovsdb.is_some(), self.has_openflow) {
            (true, true) => Reach::Both,
            (true, false) => Reach::Ovsdb,
            (false, _) => Reach::Nothing,
        }
    }

    /// The highest revision up to which the switch lacks nothing, when the NIB is at `now`.
    pub fn realised(&self, now: Revision) -> Option<Revision> {
        self.progress.as_ref().and_then(|progress| progress.realised(now))
    }

    /// Whether both sessions are up.
    pub fn connected(&self) -> bool {
        self.report().ovsdb.is_some() && self.report().openflow.is_some()
    }
}

/// A peer that connected and was turned away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedPeer {
    /// Where it came from, last time.
    pub peer: SocketAddr,
    /// What it spoke: `ovsdb` or `openflow`.
    pub protocol: &'static str,
    /// Why it was refused, in words.
    pub why: String,
    /// SHA-256 of its certificate in hex, if it showed one.
    pub fingerprint: Option<String>,
    /// How often.
    pub count: u64,
    /// When last.
    pub last: SystemTime,
}

/// Peers that were turned away, newest last; the last few.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peers {
    refused: VecDeque<RefusedPeer>,
}

/// How many refused peers are remembered.
const REFUSED_KEPT: usize = 64;

impl Peers {
    /// Those that were turned away, newest last.
    pub fn refused(&self) -> impl Iterator<Item = &RefusedPeer> {
        self.refused.iter()
    }

    /// Remembers one; the same peer in the same way counts up. Says whether it is new.
    pub fn refuse(&mut self, mut peer: RefusedPeer) -> bool {
        let same = |old: &RefusedPeer| {
            old.peer.ip() == peer.peer.ip() && old.protocol == peer.protocol && old.fingerprint == peer.fingerprint
        };
        let old = self.refused.iter().position(same).and_then(|i| self.refused.remove(i));
        peer.count += old.as_ref().map_or(0, |old| old.count);
        self.refused.push_back(peer);
        while self.refused.len() > REFUSED_KEPT {
            self.refused.pop_front();
        }
        old.is_none()
    }
}
