//! The disks of hosts: the one that each runs on, and the one it lost. Start at [`Drives`].

use super::plan::ClusterPlan;
use crate::disk::{Image, SimDisk};
use crate::window::Seat;

/// The disks of all hosts.
pub struct Drives<'a> {
    seed: u64,
    /// What is done to each new disk.
    prepare: &'a dyn Fn(&SimDisk),
    made: u64,
    current: Vec<SimDisk>,
    /// The one that a host lost.
    old: Vec<Option<SimDisk>>,
    /// The current one, while the host runs on the one it had lost.
    aside: Vec<Option<SimDisk>>,
    /// What the current one was.
    copies: Vec<Option<Image>>,
}

impl<'a> Drives<'a> {
    /// An empty disk for each host.
    pub fn new(plan: &ClusterPlan, prepare: &'a dyn Fn(&SimDisk)) -> Drives<'a> {
        let none = || (0..plan.members).map(|_| None).collect();
        let (current, copies) = (Vec::new(), (0..plan.members).map(|_| None).collect());
        let mut drives = Drives { seed: plan.seed, prepare, made: 0, current, old: none(), aside: none(), copies };
        drives.current = (0..plan.members).map(|_| drives.make()).collect();
        drives
    }

    fn make(&mut self) -> SimDisk {
        let disk = SimDisk::new(self.seed.wrapping_mul(31).wrapping_add(self.made));
        self.made += 1;
        (self.prepare)(&disk);
        disk
    }

    /// The one that a host runs on.
    pub fn of(&self, seat: Seat) -> SimDisk {
        self.current[seat.0].clone()
    }

    /// Gives a host an empty one; it lost the other.
    pub fn renew(&mut self, seat: Seat) {
        let new = self.make();
        let lost = std::mem::replace(&mut self.current[seat.0], new);
        self.old[seat.0] = Some(lost);
        // A copy of that one is of a member that is none any more.
        self.copies[seat.0] = None;
    }

    /// Takes a copy of the one that a host runs on.
    pub fn copy(&mut self, seat: Seat) {
        self.copies[seat.0] = Some(self.current[seat.0].image());
    }

    /// Reverts the one that a host runs on to the copy, if it is of that one; says whether it was.
    pub fn revert(&mut self, seat: Seat) -> bool {
        let copy = self.copies[seat.0].take();
        copy.map(|copy| self.current[seat.0].revert(copy)).is_some()
    }

    /// Whether a host lost one that can still be read, and does not run on it.
    pub fn has_old(&self, seat: Seat) -> bool {
        self.aside[seat.0].is_none() && self.old[seat.0].as_ref().is_some_and(|disk| !disk.is_ruined())
    }

    /// Whether no host runs on one that it had lost.
    pub fn are_current(&self) -> bool {
        self.aside.iter().all(Option::is_none)
    }

    /// Puts the one that a host lost in place of the current one.
    pub fn take_out(&mut self, seat: Seat) {
        if let Some(old) = self.old[seat.0].take() {
            self.aside[seat.0] = Some(std::mem::replace(&mut self.current[seat.0], old));
        }
    }

    /// Puts the current one back, if it was taken out; says whether it was.
    pub fn put_back(&mut self, seat: Seat) -> bool {
        let current = self.aside[seat.0].take();
        current.map(|current| self.current[seat.0] = current).is_some()
    }
}
