//! Action sets: of a packet's way through the tables, and of buckets (OpenFlow 1.5.1, section 5.6).

use super::super::model::Action;

/// Where an action stands in a set.
enum Place {
    /// Once, in this order: the last one counts.
    Once(usize),
    /// Any number, in the order in which they came.
    Change,
    /// The one that ends the set: the one with the highest rank, of equals the last.
    Final(usize),
    /// Nowhere.
    Nowhere,
}

fn place(action: &Action) -> Place {
    match action {
        Action::PopVlan => Place::Once(0),
        Action::PushVlan(_) => Place::Once(1),
        Action::DecTtl(_) => Place::Once(2),
        Action::Set(_) | Action::Move { .. } | Action::SetTtl(_) | Action::SetQueue(_) => Place::Change,
        Action::Ct(_) => Place::Final(0),
        Action::CtClear => Place::Final(1),
        Action::Resubmit { .. } => Place::Final(2),
        Action::Output { .. } => Place::Final(3),
        Action::Group(_) => Place::Final(4),
        Action::OutputReg { .. }
        | Action::Push(_)
        | Action::Pop(_)
        | Action::PopQueue
        | Action::Learn(_)
        | Action::Conjunction { .. }
        | Action::Nat(_)
        | Action::Controller { .. }
        | Action::Clone(_)
        | Action::Exit
        | Action::Note(_)
        | Action::Meter(_)
        | Action::WriteMetadata { .. }
        | Action::WriteActions(_)
        | Action::ClearActions
        | Action::GotoTable(_) => Place::Nowhere,
    }
}

/// The actions of a set in the order in which they are done. Without one that ends it, none is.
pub fn in_order(set: &[Action]) -> Vec<Action> {
    let mut once = [None; 3];
    let mut changes = Vec::new();
    let mut last: Option<(usize, &Action)> = None;
    for action in set {
        match place(action) {
            Place::Once(slot) => once[slot] = Some(action),
            Place::Change => changes.push(action),
            Place::Final(rank) if last.is_none_or(|(best, _)| rank >= best) => last = Some((rank, action)),
            Place::Final(_) | Place::Nowhere => {}
        }
    }
    let Some((_, last)) = last else { return Vec::new() };
    once.into_iter().flatten().chain(changes).chain([last]).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order() {
        let output = |port| Action::Output { port, max_len: 0 };
        let set = [output(1), Action::SetTtl(3), Action::Exit, Action::PushVlan(0x8100), output(2), Action::PopVlan];
        assert_eq!(in_order(&set), [Action::PopVlan, Action::PushVlan(0x8100), Action::SetTtl(3), output(2)]);
        assert_eq!(in_order(&set[1..2]), []);
        assert_eq!(in_order(&[Action::Group(1), output(1)]), [Action::Group(1)]);
    }
}
