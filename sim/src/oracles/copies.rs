//! Multiplicity and loops (D4, D5): a frame reaches each guest at most once at each place where it is, and crosses the
//! underlay a bounded number of times.
//!
//! Source: ovn-architecture(7), "Logical Networks"; replication at the source sends one copy to each other hypervisor that
//! has members. Where the underlay itself duplicated a packet, copies of it are forgiven. Not checked: the order in which
//! frames arrive. Start at [`Copies`].

use super::Violation;
use crate::logical::VifId;
use crate::plan::HvId;
use std::collections::BTreeMap;
use std::time::Duration;

/// The copies of one frame.
#[derive(Clone, Debug, Default)]
pub struct Copies {
    delivered: BTreeMap<(VifId, HvId), u32>,
    crossed: u32,
    duplicated: bool,
}

impl Copies {
    /// The underlay made a copy of its own.
    pub fn duplicated(&mut self) {
        self.duplicated = true;
    }

    /// A copy enters the underlay, of a world with so many hypervisors.
    pub fn crosses(&mut self, at: Duration, hypervisors: u16) -> Option<Violation> {
        self.crossed += 1;
        // Replies of the network itself stay where they are asked, so one frame crosses once for each other hypervisor.
        let too_many = self.crossed == u32::from(hypervisors) && !self.duplicated;
        too_many.then(|| {
            let what = format!("a frame entered the underlay {} times among {hypervisors} hypervisors", self.crossed);
            Violation::new("D4", at, what)
        })
    }

    /// A copy reaches a guest, on a hypervisor: one that migrates is on two for a while.
    pub fn reaches(&mut self, at: Duration, to: VifId, on: HvId) -> Option<Violation> {
        let count = self.delivered.entry((to, on)).or_default();
        *count += 1;
        (*count == 2 && !self.duplicated).then(|| Violation::new("D5", at, format!("{to} got a frame twice on {on}")))
    }

    /// Who got it.
    pub fn receivers(&self) -> impl Iterator<Item = VifId> {
        self.delivered.keys().map(|(vif, _)| *vif)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_copy_is_one_too_many() {
        let mut copies = Copies::default();
        assert_eq!(copies.reaches(Duration::ZERO, VifId(1), HvId(0)), None);
        assert_eq!(copies.reaches(Duration::ZERO, VifId(2), HvId(0)), None);
        assert_eq!(copies.reaches(Duration::ZERO, VifId(1), HvId(1)), None);
        assert_eq!(copies.reaches(Duration::ZERO, VifId(1), HvId(0)).map(|violation| violation.id), Some("D5"));
        let mut forgiven = Copies::default();
        forgiven.duplicated();
        assert!((0..3).all(|_| forgiven.reaches(Duration::ZERO, VifId(1), HvId(0)).is_none()));
    }

    #[test]
    fn a_frame_that_goes_round_is_seen() {
        let mut copies = Copies::default();
        assert_eq!(copies.crosses(Duration::ZERO, 3), None);
        assert_eq!(copies.crosses(Duration::ZERO, 3), None);
        assert_eq!(copies.crosses(Duration::ZERO, 3).map(|violation| violation.id), Some("D4"));
    }
}
