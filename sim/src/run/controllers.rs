//! The controllers of a run: their hosts and disks, which of them are up, and what they are to each other at a moment.
//! Start at [`Controllers`].

use super::controller::{CLUSTER_PORT, Place};
use super::director::Lie;
use super::report::Mark;
use crate::cluster::desk::Desk;
use crate::disk::{Fired, SimDisk};
use crate::plan::Plan;
use crate::plan::controller::Who;
use crate::window::{Seat, View, Window, is_whole};
use selvedge_core::ids::MemberId;
use selvedge_net::controller::{Handle, State};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;
use uuid::Uuid;

/// The name of the cluster, where there is one.
const CLUSTER: Uuid = Uuid::from_u128(0xc);

/// A controller's host.
#[derive(Debug)]
pub struct Controller {
    /// What is seen of its process.
    pub window: Window,
    /// Its disk.
    pub disk: SimDisk,
    /// Whether it was up at the last look.
    pub was_up: bool,
    /// How long the next power cut at a disk operation lasts.
    pub dark_for: Option<Duration>,
}

/// All controllers.
#[derive(Debug)]
pub struct Controllers {
    all: Vec<Controller>,
    desk: Option<Desk>,
    /// Who led, and in which term, when somebody did at the last look.
    led: Option<(u64, MemberId)>,
    /// Who owned which transport node at the last look.
    owners: BTreeMap<Uuid, MemberId>,
}

impl Controllers {
    /// Those of a plan, none of them up.
    pub fn new(plan: &Plan, lie: Option<Lie>) -> Controllers {
        let controller = |n: u64| {
            let disk = SimDisk::new(plan.seed.wrapping_add(n << 32));
            disk.lie_about_sync(lie == Some(Lie::Sync));
            Controller { window: Window::default(), disk, was_up: false, dark_for: None }
        };
        let count = plan.setup.controllers;
        let addresses = (0..usize::from(count)).map(|n| SocketAddr::new(Seat(n).address(), CLUSTER_PORT));
        let desk = (count > 1).then(|| Desk::new(CLUSTER, addresses.collect()));
        Controllers { all: (0..count.into()).map(controller).collect(), desk, led: None, owners: BTreeMap::new() }
    }

    /// What happened among them since the last look.
    pub fn look(&mut self) -> BTreeSet<Mark> {
        let mut marks = BTreeSet::new();
        if self.is_one() {
            return marks;
        }
        let views = self.all.iter().filter_map(|controller| controller.window.view());
        let leader =
            views.filter(View::leads).map(|view| (view.term, view.member)).max().filter(|new| self.led < Some(*new));
        if let Some((term, member)) = leader {
            let before = self.led.replace((term, member));
            marks.extend(before.filter(|(_, before)| *before != member).map(|_| Mark::LeaderChanged));
        }
        let owners: BTreeMap<Uuid, MemberId> = self.newest().map_or_else(BTreeMap::new, |handle| {
            let owned =
                |state: &State| state.nib.nodes().iter().filter_map(|(node, it)| Some((*node, it.owner?))).collect();
            handle.read(owned)
        });
        for (node, owner) in owners {
            let before = self.owners.insert(node, owner);
            marks.extend(before.filter(|before| *before != owner).map(|_| Mark::OwnerChanged));
        }
        marks
    }

    /// All of them.
    pub fn seats(&self) -> impl Iterator<Item = Seat> + use<> {
        (0..self.all.len()).map(Seat)
    }

    /// Whether there is only one.
    pub fn is_one(&self) -> bool {
        self.all.len() == 1
    }

    /// What a controller is given.
    pub fn place(&self, seat: Seat, plan: &Plan) -> Place {
        Place { at: seat.address(), snapshot_every: plan.setup.snapshot_every, desk: self.desk.clone() }
    }

    /// One of them.
    pub fn of(&self, seat: Seat) -> &Controller {
        &self.all[seat.0]
    }

    /// One of them.
    pub fn of_mut(&mut self, seat: Seat) -> &mut Controller {
        &mut self.all[seat.0]
    }

    /// Those that are up, and the way to each.
    pub fn up(&self) -> Vec<(Seat, Handle)> {
        self.seats().filter_map(|seat| Some((seat, self.of(seat).window.handle()?))).collect()
    }

    /// The one that has come furthest, if any is up.
    pub fn newest(&self) -> Option<Handle> {
        let revision = |handle: &Handle| handle.read(|state| state.nib.revision());
        // The first of several that are as far.
        let up = self.up().into_iter().rev().map(|(_, handle)| handle);
        up.max_by_key(revision)
    }

    /// Whether all of them are up, and members of their cluster.
    pub fn are_whole(&self) -> bool {
        is_whole(self.all.iter().map(|controller| &controller.window))
    }

    /// Which of them a fault is about. `owner_of` says which member writes to a hypervisor.
    pub fn named(&self, who: Who, owner_of: impl Fn(crate::plan::HvId) -> Option<MemberId>) -> Vec<Seat> {
        if self.is_one() {
            return vec![Seat(0)];
        }
        let views: Vec<(Seat, View)> =
            self.seats().filter_map(|seat| Some((seat, self.of(seat).window.view()?))).collect();
        let leader = views.iter().filter(|(_, view)| view.leads()).max_by_key(|(_, view)| view.term);
        let leader = leader.map_or(Seat(0), |(seat, _)| *seat);
        match who {
            Who::All => self.seats().collect(),
            Who::Leader => vec![leader],
            Who::Follower => self.seats().find(|seat| *seat != leader).into_iter().collect(),
            Who::OwnerOf(hv) => {
                let owner = owner_of(hv);
                let seat = views.iter().find(|(_, view)| Some(view.member) == owner).map(|(seat, _)| *seat);
                vec![seat.unwrap_or(Seat(0))]
            }
        }
    }

    /// What their disks did, together.
    pub fn fired(&self) -> Fired {
        self.all.iter().map(|controller| controller.disk.fired()).fold(Fired::default(), Fired::and)
    }
}
