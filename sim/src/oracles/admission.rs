//! Tunnel admission (D11): what a hypervisor made up for its tunnels reaches nobody, unless it has a member of the switch
//! whose key it used and speaks for itself.
//!
//! Source: the threat model's rogue hypervisor; a receiver accepts a key only from the tunnel ends that host its logical
//! switch. The key's meaning is read from the product (what number which switch has), the rest from intent.
//! Not checked: a rogue that has members of the switch itself, which may speak for them. Start at [`judge`].

use super::Violation;
use crate::logical::VifId;
use crate::plan::HvId;
use std::time::Duration;

/// A packet that a hypervisor made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rogue {
    /// By whom.
    pub from: HvId,
    /// Under which key.
    pub key: u32,
    /// Under whose address.
    pub as_from: HvId,
    /// When.
    pub at: Duration,
}

/// Judges the delivery of a frame from a made-up packet. `hosts` is whether the hypervisor whose address was used had, at
/// some time since shortly before the packet was sent, a member of the switch that the key may mean.
pub fn judge(rogue: &Rogue, to: VifId, at: Duration, hosts: bool) -> Option<Violation> {
    (!hosts).then(|| {
        let Rogue { from, key, as_from, .. } = rogue;
        let what =
            format!("{to} got a frame that {from} made up as {as_from}, under key {key}, which has no member there");
        Violation::new("D11", at, what)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_to_the_switch_is_not_believed() {
        let rogue = Rogue { from: HvId(0), key: 1, as_from: HvId(0), at: Duration::ZERO };
        assert_eq!(judge(&rogue, VifId(1), Duration::ZERO, true), None);
        assert_eq!(judge(&rogue, VifId(1), Duration::ZERO, false).map(|violation| violation.id), Some("D11"));
    }
}
