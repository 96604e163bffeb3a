//! Follows every frame from the guest that sent it to the guests that got it, and judges each delivery.
//!
//! A frame carries a tag beside its bytes, through switches and underlay: the simulator's own, invisible to the product.
//! What a hypervisor does while somebody has changed its flows by hand is not the product's: frames that passed it then
//! are judged by isolation alone. Start at [`Judge::delivered`].

use crate::logical::history::{History, Versions};
use crate::logical::{SwitchId, VifId};
use crate::oracles::Violation;
use crate::oracles::admission::{self, Rogue};
use crate::oracles::copies::Copies;
use crate::oracles::delivery::{self, Delivered, Sent};
use crate::plan::{HvId, Vif};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What follows a frame through the world.
pub type Tag = u64;

/// A frame is forgotten after this long: nothing in flight is that old.
const REMEMBERED: Duration = Duration::from_secs(30);
/// Violations beyond this many are counted only.
const VIOLATIONS_MAX: usize = 50;

/// Where a frame came from.
#[derive(Clone, Debug)]
enum Origin {
    Guest(Sent),
    Rogue(Rogue),
}

#[derive(Clone, Debug)]
struct Followed {
    at: Duration,
    origin: Origin,
    copies: Copies,
    /// It passed a hypervisor whose flows somebody had changed by hand.
    meddled: bool,
    /// It passed one that is not held to what is new.
    unserved: bool,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Judged {
    /// Frames that guests sent.
    pub sent: u64,
    /// Deliveries that were judged.
    pub delivered: u64,
    /// Frames that hypervisors made up.
    pub rogue: u64,
}

/// Follows frames.
#[derive(Debug)]
pub struct Judge {
    /// The configurations, and when they were lawful.
    pub history: History,
    /// Which guest was where, and when.
    pub places: BTreeMap<(VifId, HvId), Versions<()>>,
    /// Which switches a tunnel key ever meant.
    pub keys: BTreeMap<u32, BTreeSet<SwitchId>>,
    /// Hypervisors whose flows somebody changed by hand.
    pub meddled: BTreeSet<HvId>,
    /// Hypervisors that forgot their flows, which the controller may not know yet.
    pub forgot: BTreeSet<HvId>,
    /// Hypervisors whose datapath lags behind its tables, and until when.
    pub lagging: BTreeMap<HvId, Duration>,
    /// Hypervisors that are out of service: nobody waits until they hold what is new.
    pub unserved: BTreeSet<HvId>,
    /// What was found.
    pub violations: Vec<Violation>,
    /// What was counted.
    pub judged: Judged,
    vifs: Vec<Vif>,
    hypervisors: u16,
    frames: BTreeMap<Tag, Followed>,
    last: Tag,
}

impl Judge {
    /// Follows nothing yet.
    pub fn new(vifs: Vec<Vif>, hypervisors: u16) -> Judge {
        Judge {
            history: History::default(),
            places: BTreeMap::new(),
            keys: BTreeMap::new(),
            meddled: BTreeSet::new(),
            forgot: BTreeSet::new(),
            lagging: BTreeMap::new(),
            unserved: BTreeSet::new(),
            violations: Vec::new(),
            judged: Judged::default(),
            vifs,
            hypervisors,
            frames: BTreeMap::new(),
            last: 0,
        }
    }

    /// Something that must never be was.
    pub fn report(&mut self, violation: impl IntoIterator<Item = Violation>) {
        for violation in violation {
            if self.violations.len() < VIOLATIONS_MAX {
                tracing::warn!(%violation, "violation");
                self.violations.push(violation);
            }
        }
    }

    fn follow(&mut self, now: Duration, origin: Origin) -> Tag {
        self.last += 1;
        self.frames.insert(
            self.last,
            Followed { at: now, origin, copies: Copies::default(), meddled: false, unserved: false },
        );
        self.last
    }

    /// A guest sends a frame.
    pub fn sent(&mut self, now: Duration, from: VifId, on: HvId, bytes: &[u8]) -> Tag {
        self.judged.sent += 1;
        self.follow(now, Origin::Guest(Sent { from, on, at: now, bytes: bytes.to_vec() }))
    }

    /// A hypervisor sends a tunnel packet of its own making.
    pub fn made_up(&mut self, rogue: Rogue) -> Tag {
        self.judged.rogue += 1;
        self.follow(rogue.at, Origin::Rogue(rogue))
    }

    /// A frame is handled by a hypervisor.
    pub fn passes(&mut self, now: Duration, hv: HvId, tag: Tag) {
        let lags = self.lagging.get(&hv).is_some_and(|until| *until > now);
        let Some(followed) = self.frames.get_mut(&tag) else { return };
        followed.meddled |= self.meddled.contains(&hv) || lags;
        followed.unserved |= self.unserved.contains(&hv) || lags;
    }

    /// Whether what a hypervisor holds may differ from what it was told.
    pub fn is_suspect(&self, hv: HvId) -> bool {
        self.meddled.contains(&hv) || self.forgot.contains(&hv) || self.unserved.contains(&hv)
    }

    /// A hypervisor in service holds what it should. Whether somebody had meddled with it.
    pub fn trust(&mut self, hv: HvId, now: Duration) -> bool {
        self.forgot.remove(&hv);
        self.unserved.remove(&hv);
        self.lagging.retain(|_, until| *until > now);
        self.meddled.remove(&hv)
    }

    /// A copy of a frame enters the underlay.
    pub fn crosses(&mut self, now: Duration, tag: Tag) {
        let hypervisors = self.hypervisors;
        let violation = self.frames.get_mut(&tag).and_then(|followed| match followed.origin {
            Origin::Guest(_) => followed.copies.crosses(now, hypervisors),
            Origin::Rogue(_) => None,
        });
        self.report(violation);
    }

    /// The underlay made a copy of its own.
    pub fn duplicated(&mut self, tag: Tag) {
        if let Some(followed) = self.frames.get_mut(&tag) {
            followed.copies.duplicated();
        }
    }

    /// A frame reaches a guest, where that is.
    pub fn delivered(&mut self, now: Duration, tag: Tag, (to, place): (VifId, HvId), bytes: &[u8]) {
        self.judged.delivered += 1;
        let Some(followed) = self.frames.get_mut(&tag) else {
            let what = format!("{to} got a frame that nobody sent within {REMEMBERED:?}");
            return self.report([Violation::new("D2", now, what)]);
        };
        let twice = followed.copies.reaches(now, to, place);
        let (meddled, unserved) = (followed.meddled, followed.unserved);
        let violation = match followed.origin.clone() {
            Origin::Guest(sent) => {
                let delivered = Delivered { sent: &sent, to, on: place, at: now, bytes };
                delivery::judge(&self.history, &self.vifs, &delivered)
                    .filter(|violation| !unserved && (violation.id == "D1" || !meddled))
            }
            Origin::Rogue(rogue) => {
                let hosts = self.hosts(&rogue, now);
                admission::judge(&rogue, to, now, hosts).filter(|_| !meddled && !unserved)
            }
        };
        self.report(twice.filter(|_| !meddled && !unserved));
        self.report(violation);
    }

    /// Whether the hypervisor that a made-up packet names had a member of the switch that its key may mean.
    fn hosts(&self, rogue: &Rogue, now: Duration) -> bool {
        let Some(switches) = self.keys.get(&rogue.key) else { return false };
        let ports = self.history.ports.values().flat_map(|versions| versions.during(rogue.at, now).flatten());
        let mut members = ports.filter(|port| switches.contains(&port.switch)).filter_map(|port| port.vif);
        members.any(|vif| {
            let places = self.places.get(&(vif, rogue.as_from));
            places.is_some_and(|versions| versions.during(rogue.at, now).flatten().next().is_some())
        })
    }

    /// Who got a frame.
    pub fn receivers(&self, tag: Tag) -> BTreeSet<VifId> {
        self.frames.get(&tag).map(|followed| followed.copies.receivers().collect()).unwrap_or_default()
    }

    /// Forgets what is too old to matter.
    pub fn forget(&mut self, now: Duration) {
        let before = now.saturating_sub(REMEMBERED);
        self.frames.retain(|_, followed| followed.at >= before);
        self.history.forget_before(before);
        self.places.values_mut().for_each(|versions| versions.forget_before(before));
    }
}
