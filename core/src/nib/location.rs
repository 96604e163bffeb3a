//! Where a VIF is.
//!
//! During a migration a VIF may be on two transport nodes at once (ovs-vswitchd.conf.db(5), `iface-status`), and the
//! new one may report it before or after the old one has lost it. The newest claim wins: a VIF is where it was last
//! *seen to appear*. When that claim goes the next newest holds again, so that an aborted migration falls back.
//! A claim keeps its age while its transport node merely reports a new port number or reconnects.
//!
//! Start at [`Nib::location`](super::Nib::location).

use super::{Nib, PortRecord};
use crate::addr::Mac;
use crate::ids::{OfPort, Revision};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A VIF as a transport node reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedVif {
    /// `external_ids:iface-id`, or `xs-vif-uuid`.
    pub vif: String,
    /// The interface's name.
    pub interface: String,
    /// Its OpenFlow port.
    pub ofport: OfPort,
    /// `external_ids:attached-mac`: the guest's address.
    pub attached_mac: Option<Mac>,
}

/// A transport node says to have a VIF.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Since when it does.
    pub since: Revision,
    /// What it reports.
    pub observed: ObservedVif,
}

/// Where a VIF is held to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location<'a> {
    /// The transport node.
    pub node: Uuid,
    /// What that node reports.
    pub claim: &'a Claim,
    /// How many other transport nodes say to have it too.
    pub rivals: usize,
}

impl Nib {
    /// Where a VIF is held to be, if any transport node that takes part has it.
    pub fn location(&self, vif: &str) -> Option<Location<'_>> {
        let claims = self.claims.get(vif)?;
        let lawful = claims
            .iter()
            .filter(|(node, _)| self.nodes.get(*node).is_some_and(|record| record.config.admin_status_enabled));
        let (node, claim) = lawful.max_by_key(|(node, claim)| (claim.since, **node))?;
        Some(Location { node: *node, claim, rivals: claims.len() - 1 })
    }

    /// Where a logical port is held to be.
    pub fn port_location(&self, port: &PortRecord) -> Option<Location<'_>> {
        self.location(port.attachment.vif()?)
    }

    /// What a transport node reports, by VIF.
    pub fn vifs_of(&self, node: Uuid) -> impl Iterator<Item = &Claim> {
        let vifs = self.nodes.get(&node).into_iter().flat_map(|record| &record.vifs);
        vifs.filter_map(move |vif| self.claims.get(vif)?.get(&node))
    }
}
