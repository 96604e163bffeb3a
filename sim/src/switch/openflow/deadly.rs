//! What ovs-vswitchd 3.1 does not survive, as it was seen to die. The simulated switch goes on, and says so: whoever sends
//! this to a real one takes a hypervisor off the network. Start at [`Deadly`].

use super::mods::{Changed, Deleted, Mod};
use crate::switch::model::{Action, Flow};
use std::fmt;
use std::sync::Arc;

/// A modification of which a real switch would have died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadly {
    /// A group was deleted that one flow used twice: `rule->state == RULE_INSERTED` fails in `ofproto_rule_remove__`.
    GroupUsedTwice,
    /// A bundle added a flow and then deleted a group that it used: `group != NULL` fails in `ofproto_rule_insert__`.
    GroupOfNewFlow,
    /// No buckets were to be inserted in a group: it never ends.
    NoBuckets,
}

impl fmt::Display for Deadly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Deadly::GroupUsedTwice => "a group was deleted that one flow used twice",
            Deadly::GroupOfNewFlow => "one bundle added a flow and deleted the group that it used",
            Deadly::NoBuckets => "no buckets were inserted in a group",
        })
    }
}

impl Deadly {
    /// Why a real switch would have died of a modification that changed this, after a bundle had added `fresh` flows.
    pub(super) fn of(change: &Mod, changed: &[Changed], fresh: &[Arc<Flow>]) -> Option<Deadly> {
        if change.inserts_nothing() {
            return Some(Deadly::NoBuckets);
        }
        let group = change.deleted_group()?;
        let with_it = changed.iter().filter_map(|change| match change {
            Changed::Deleted(entry, Deleted::WithItsGroup) => Some(&entry.flow),
            _ => None,
        });
        with_it.into_iter().find_map(|flow| match uses(&flow.actions, group) {
            _ if fresh.iter().any(|other| Arc::ptr_eq(other, flow)) => Some(Deadly::GroupOfNewFlow),
            2.. => Some(Deadly::GroupUsedTwice),
            _ => None,
        })
    }
}

fn uses(actions: &[Action], group: u32) -> usize {
    let of = |action: &Action| match action {
        Action::Group(id) => usize::from(*id == group),
        Action::WriteActions(inner) => uses(inner, group),
        _ => 0,
    };
    actions.iter().map(of).sum()
}
