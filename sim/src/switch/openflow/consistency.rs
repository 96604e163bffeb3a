//! Whether a flow's actions go with what it matches, as Open vSwitch demands (`ofpacts_check_consistency`): an action on a
//! field needs packets that have it. Start at [`check`].

use super::bytes::{Refusal, refusal};
use super::oxm::check_prerequisite;
use crate::switch::model::{Action, Field, FieldMatch, Match};

/// The bit of a tag's control information that says that there is a tag.
const TAG: u128 = 0x1000;
/// Most tags that Open vSwitch keeps track of.
const TAGS_MAX: usize = 2;

/// `OFPTT_ALL`: of a deletion, whose actions do not matter.
const ALL_TABLES: u8 = u8::MAX;

/// Where actions are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the flow's own list.
    Flow,
    /// In its action set, where Open vSwitch is less strict about tags and hop limits.
    Set,
}

/// Checks the actions of a flow of a table.
pub(super) fn check(table: u8, matching: &Match, actions: &[Action]) -> Result<(), Refusal> {
    let is_tagged = matching.0.iter().any(|part| part.field == Field::VlanTci && part.value & TAG != 0);
    check_list(Place::Flow, table, &matching.0, usize::from(is_tagged), actions)
}

fn check_list(
    place: Place,
    table: u8,
    matched: &[FieldMatch],
    mut tags: usize,
    actions: &[Action],
) -> Result<(), Refusal> {
    let has = |field: Field| check_prerequisite(matched, field).map_err(|_| refusal::INCONSISTENT);
    // Found fault with when there is nothing worse.
    let mut is_lacking = false;
    for action in actions {
        match action {
            Action::PopVlan => {
                is_lacking |= tags == 0;
                tags = tags.saturating_sub(1);
            }
            Action::PushVlan(_) if tags == TAGS_MAX => return Err(refusal::BAD_TAG),
            Action::PushVlan(_) => tags += 1,
            Action::Set(set) if set.field == Field::VlanTci && set.mask & TAG == 0 && tags == 0 => {
                return Err(refusal::INCONSISTENT);
            }
            Action::Set(set) => has(set.field)?,
            Action::DecTtl(_) | Action::SetTtl(_) => is_lacking |= has(Field::IpTtl).is_err(),
            Action::Move { from, to } => {
                has(from.field)?;
                has(to.field)?;
            }
            Action::OutputReg { source, .. } => has(source.field)?,
            Action::GotoTable(target) if *target <= table && table != ALL_TABLES => return Err(refusal::BAD_GOTO),
            Action::WriteActions(inner) => check_list(Place::Set, table, matched, tags, inner)?,
            _ => {}
        }
    }
    if is_lacking && place == Place::Flow { Err(refusal::INCONSISTENT) } else { Ok(()) }
}
