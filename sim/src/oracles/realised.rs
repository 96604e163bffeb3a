//! Realised is true (C7), and a switch holds what it should (E2).
//!
//! Source: the API's `realisation`; when a transport node is said to lack nothing, its tables are those that a full
//! computation gives for it. Checked whenever the controller says so of the newest revision, unless somebody has meddled
//! with the switch since, or it forgot everything; at the end of a run it must hold for all.
//! Both sides' own models are rows here: see the harness. Start at [`judge`].

use super::Violation;
use crate::plan::HvId;
use crate::switch::model::{Action, FieldMatch, GroupType, Match};
use std::collections::BTreeSet;
use std::fmt::{self, Write};
use std::time::Duration;

/// One row of a switch's tables, in the words of the simulated switch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    /// A flow.
    Flow {
        /// Its table.
        table: u8,
        /// The higher comes first.
        priority: u16,
        /// For which packets it is.
        matching: Match,
        /// Who it belongs to.
        cookie: u64,
        /// What it does.
        actions: Vec<Action>,
    },
    /// A group.
    Group {
        /// Its number.
        id: u32,
        /// How it uses its buckets.
        kind: GroupType,
        /// By number.
        buckets: Vec<(u32, Vec<Action>)>,
    },
}

/// A switch's tables, or those it should have.
pub type Rows = BTreeSet<Row>;

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Row::Flow { table, priority, matching, cookie, actions } => {
                write!(f, "table={table} priority={priority}")?;
                for FieldMatch { field, value, mask } in &matching.0 {
                    write!(f, " {field:?}={value:#x}/{mask:#x}")?;
                }
                write!(f, " cookie={cookie:#x} actions={}", Actions(actions))
            }
            Row::Group { id, kind, buckets } => {
                write!(f, "group={id:#x} {kind:?}")?;
                buckets.iter().try_for_each(|(bucket, actions)| write!(f, " {bucket}:[{}]", Actions(actions)))
            }
        }
    }
}

/// Actions in words.
struct Actions<'a>(&'a [Action]);

impl fmt::Display for Actions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, action) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match action {
                Action::Output { port, .. } => write!(f, "{comma}output:{port}"),
                Action::Group(group) => write!(f, "{comma}group:{group:#x}"),
                Action::Set(FieldMatch { field, value, mask }) => {
                    write!(f, "{comma}set:{field:?}={value:#x}/{mask:#x}")
                }
                Action::Resubmit { in_port: None, table: Some(table), original_tuple: false } => {
                    write!(f, "{comma}resubmit:{table}")
                }
                Action::GotoTable(table) => write!(f, "{comma}goto:{table}"),
                other => write!(f, "{comma}{other:?}"),
            }?;
        }
        Ok(())
    }
}

/// How many differences are told.
const TOLD: usize = 6;

/// Judges what a switch holds. `id` is C7 when somebody said that it is realised, E2 at the end.
pub fn judge(id: &'static str, at: Duration, hv: HvId, desired: &Rows, held: &Rows) -> Option<Violation> {
    if desired == held {
        return None;
    }
    let mut what = format!("{hv} does not hold what it should:");
    for missing in desired.difference(held).take(TOLD) {
        write!(what, "\n      lacks {missing}").expect("memory takes it");
    }
    for stale in held.difference(desired).take(TOLD) {
        write!(what, "\n      has   {stale}").expect("memory takes it");
    }
    Some(Violation::new(id, at, what))
}

/// A flow that differs from others by its cookie.
#[cfg(test)]
pub(super) fn row(cookie: u64) -> Row {
    Row::Flow { table: 0, priority: 1, matching: Match::default(), cookie, actions: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_what_is_missing_and_what_is_stale_are_told() {
        let rows = |cookies: &[u64]| cookies.iter().map(|cookie| row(*cookie)).collect::<Rows>();
        let at = Duration::ZERO;
        assert_eq!(judge("C7", at, HvId(0), &rows(&[1, 2]), &rows(&[2, 1])), None);
        let violation = judge("C7", at, HvId(0), &rows(&[1, 2]), &rows(&[2, 3])).expect("they differ");
        assert!(violation.what.contains("lacks table=0 priority=1 cookie=0x1"), "{violation}");
        assert!(violation.what.contains("has   table=0 priority=1 cookie=0x3"), "{violation}");
    }
}
