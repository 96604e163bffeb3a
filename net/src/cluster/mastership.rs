//! Which controller writes to which transport node. Start at [`assign`].
//!
//! The leader decides, and the NIB holds what was decided, each new owner with a higher epoch; so a controller that does not
//! know yet that a switch is not its own any more is turned away by the switch. A node's standby is connected, too, and takes
//! over without anybody having to connect.

use super::types::MemberId;
use selvedge_core::nib::{Assignment, Nib};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// At most so many transport nodes change hands at once only for the sake of balance.
const MOVES_MAX: usize = 16;

/// What is known of controllers when transport nodes are shared out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fit {
    /// They answer.
    pub alive: BTreeSet<MemberId>,
    /// They have done so for a while: they may take over what works elsewhere.
    pub settled: BTreeSet<MemberId>,
}

/// Nodes that each controller owns, and those that it stands by for.
struct Loads {
    owned: BTreeMap<MemberId, usize>,
    stood_by: BTreeMap<MemberId, usize>,
}

impl Loads {
    fn of(nodes: &[Assignment], usable: &BTreeSet<MemberId>) -> Loads {
        let none: BTreeMap<MemberId, usize> = usable.iter().map(|member| (*member, 0)).collect();
        let mut loads = Loads { owned: none.clone(), stood_by: none };
        for node in nodes {
            *loads.owned.entry(node.owner).or_default() += 1;
            node.standby.iter().for_each(|standby| *loads.stood_by.entry(*standby).or_default() += 1);
        }
        loads
    }

    fn least(loads: &BTreeMap<MemberId, usize>, of: &BTreeSet<MemberId>, but: Option<MemberId>) -> Option<MemberId> {
        let those = of.iter().filter(|member| Some(**member) != but);
        those.min_by_key(|member| (loads.get(member), **member)).copied()
    }

    fn own(&mut self, member: MemberId) {
        *self.owned.entry(member).or_default() += 1;
    }

    fn stand_by(&mut self, member: MemberId) {
        *self.stood_by.entry(member).or_default() += 1;
    }
}

/// Transport nodes whose master or standby should be another one.
///
/// What works stays where it is. The nodes of a controller that does not answer go to their standbys; those of one that is
/// drained, too, a few at a time. When one has two more than another, that is evened out, a few at a time, towards those that
/// have been there for a while.
///
/// `is_ready` says whether a controller has all connections to a node that it needs: only to such a one is a node moved that has
/// a master which works.
pub(super) fn assign(nib: &Nib, fit: &Fit, is_ready: impl Fn(MemberId, Uuid) -> bool) -> Vec<Assignment> {
    let is_drained = |member: &MemberId| nib.cluster().members().get(member).is_none_or(|record| record.is_drained);
    let usable: BTreeSet<MemberId> = fit.alive.iter().filter(|member| !is_drained(member)).copied().collect();
    if usable.is_empty() {
        return Vec::new();
    }
    let kept = |owner: &MemberId| fit.alive.contains(owner) && nib.cluster().members().contains_key(owner);
    let (mut settled, mut homeless) = (Vec::new(), Vec::new());
    for (node, record) in nib.nodes() {
        let standby = record.standby.filter(|standby| usable.contains(standby) && Some(*standby) != record.owner);
        match record.owner.filter(kept) {
            Some(owner) => settled.push(Assignment { node: *node, owner, standby }),
            None => homeless.push((*node, standby)),
        }
    }
    let mut loads = Loads::of(&settled, &usable);
    for (node, standby) in homeless {
        let ready: BTreeSet<MemberId> = usable.iter().filter(|member| is_ready(**member, node)).copied().collect();
        let standby = standby.filter(|standby| ready.is_empty() || ready.contains(standby));
        let owner = standby.or_else(|| Loads::least(&loads.owned, &ready, None));
        let owner = owner.or_else(|| Loads::least(&loads.owned, &usable, None)).expect("somebody is usable");
        loads.own(owner);
        settled.push(Assignment { node, owner, standby: None });
    }
    even_out(&mut settled, &mut loads, &usable, (fit, &is_ready));
    for node in settled.iter_mut().filter(|node| node.standby.is_none()) {
        node.standby = Loads::least(&loads.stood_by, &usable, Some(node.owner));
        node.standby.iter().for_each(|standby| loads.stand_by(*standby));
    }
    let is_news = |node: &Assignment| {
        let record = nib.nodes().get(&node.node);
        record.is_some_and(|record| (record.owner, record.standby) != (Some(node.owner), node.standby))
    };
    settled.retain(is_news);
    settled
}

/// Moves a few nodes from those that have more than others, or should have none, to those that have less.
fn even_out(
    nodes: &mut [Assignment],
    loads: &mut Loads,
    usable: &BTreeSet<MemberId>,
    (fit, is_ready): (&Fit, &impl Fn(MemberId, Uuid) -> bool),
) {
    let takers: BTreeSet<MemberId> = usable.intersection(&fit.settled).copied().collect();
    for _ in 0..MOVES_MAX {
        let load = |member: &MemberId| loads.owned.get(member).copied().unwrap_or_default();
        let gives =
            |from: MemberId, to: MemberId| from != to && (!usable.contains(&from) || load(&from) > load(&to) + 1);
        // The least loaded of those that can take one, from the most loaded of those that can give it.
        let moves = nodes.iter().enumerate().flat_map(|(at, node)| takers.iter().map(move |to| (at, node, *to)));
        let moves = moves.filter(|(_, node, to)| gives(node.owner, *to) && is_ready(*to, node.node));
        let weight = |(at, node, to): &(usize, &Assignment, MemberId)| {
            (load(to), usize::MAX - load(&node.owner), node.standby != Some(*to), *at)
        };
        let Some((at, node, to)) = moves.min_by_key(weight) else { return };
        let from = node.owner;
        let is_swap = node.standby == Some(to) && usable.contains(&from);
        let standby = if is_swap { Some(from) } else { node.standby.filter(|standby| *standby != to) };
        nodes[at] = Assignment { node: node.node, owner: to, standby };
        *loads.owned.entry(from).or_default() -= 1;
        loads.own(to);
    }
}

/// How many transport nodes each controller owns, and for how many it stands by.
pub fn loads(nib: &Nib) -> BTreeMap<MemberId, (usize, usize)> {
    let mut loads: BTreeMap<MemberId, (usize, usize)> = BTreeMap::new();
    for record in nib.nodes().values() {
        record.owner.iter().for_each(|owner| loads.entry(*owner).or_default().0 += 1);
        record.standby.iter().for_each(|standby| loads.entry(*standby).or_default().1 += 1);
    }
    loads
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{apply, members, nib, node};
    use super::*;
    use selvedge_core::nib::ClusterCommand;

    fn fit(alive: &[u64], settled: &[u64]) -> Fit {
        Fit { alive: members(alive), settled: members(settled) }
    }

    /// Assigns until nothing changes; how many changed hands.
    fn settle(nib: &mut Nib, fit: &Fit) -> usize {
        let mut moved = 0;
        loop {
            let assignments = assign(nib, fit, |_, _| true);
            if assignments.is_empty() {
                return moved;
            }
            let is_move = |one: &&Assignment| nib.nodes()[&one.node].owner != Some(one.owner);
            moved += assignments.iter().filter(is_move).count();
            apply(nib, ClusterCommand::Assign(assignments));
        }
    }

    fn shares(nib: &Nib) -> Vec<(usize, usize)> {
        loads(nib).into_values().collect()
    }

    #[test]
    fn nodes_are_shared_out_evenly_and_move_little() {
        let mut nib = nib(3, 90);
        assert_eq!(settle(&mut nib, &fit(&[1, 2, 3], &[1, 2, 3])), 90);
        assert_eq!(shares(&nib), [(30, 30); 3]);
        // One dies: what it had goes to those that stood by, nothing else moves.
        let before = nib.clone();
        assert_eq!(settle(&mut nib, &fit(&[1, 2], &[1, 2])), 30);
        let taken_over = |node: &Uuid| before.nodes()[node].owner == Some(MemberId(3));
        assert!(
            nib.nodes()
                .iter()
                .filter(|(node, _)| taken_over(node))
                .all(|(node, record)| { record.owner == before.nodes()[node].standby })
        );
        assert_eq!(shares(&nib).iter().map(|(owned, _)| owned).sum::<usize>(), 90);
        // It comes back: nothing moves before it has stayed a while, then a third does.
        assert_eq!(settle(&mut nib, &fit(&[1, 2, 3], &[1, 2])), 0);
        assert_eq!(settle(&mut nib, &fit(&[1, 2, 3], &[1, 2, 3])), 30);
        assert!(shares(&nib).iter().all(|(owned, _)| *owned == 30), "{:?}", shares(&nib));
    }

    #[test]
    fn what_works_moves_only_to_one_that_is_ready() {
        let mut nib = nib(2, 4);
        settle(&mut nib, &fit(&[1], &[1]));
        let both = fit(&[1, 2], &[1, 2]);
        let owners = |assignments: Vec<Assignment>| assignments.iter().map(|one| one.owner.0).collect::<BTreeSet<_>>();
        assert_eq!(owners(assign(&nib, &both, |_, _| false)), BTreeSet::from([1]), "it only stands by");
        let one = node(2);
        let moved = assign(&nib, &both, |member, node| member == MemberId(2) && node == one);
        let moved: Vec<Uuid> = moved.iter().filter(|node| node.owner == MemberId(2)).map(|node| node.node).collect();
        assert_eq!(moved, [one]);
        // What has no master goes to whoever there is, to one that is ready rather.
        assert_eq!(owners(assign(&nib, &fit(&[2], &[2]), |_, _| false)), BTreeSet::from([2]));
    }

    #[test]
    fn a_drained_controller_hands_over_and_one_alone_has_everything() {
        let mut nib = nib(3, 30);
        settle(&mut nib, &fit(&[1, 2, 3], &[1, 2, 3]));
        apply(&mut nib, ClusterCommand::Drain { member: MemberId(2), is_drained: true });
        assert_eq!(settle(&mut nib, &fit(&[1, 2, 3], &[1, 2, 3])), 10);
        assert_eq!(shares(&nib), [(15, 15); 2]);
        settle(&mut nib, &fit(&[3], &[3]));
        assert_eq!(loads(&nib), BTreeMap::from([(MemberId(3), (30, 0))]));
        // With nobody to take them nodes stay where they are.
        assert_eq!(settle(&mut nib, &fit(&[2], &[2])), 0);
    }
}
