//! Which controller writes to which transport node. Start at [`assign`].
//!
//! The leader decides, and the NIB holds what was decided, each new owner with a higher epoch; so a controller that does not
//! know yet that a switch is not its own any more is turned away by the switch. A node's standby is connected, too, and takes
//! over without anybody having to connect.

use super::types::MemberId;
use super::vigil::Fit;
use crate::controller::Reach;
use selvedge_core::nib::{Assignment, Nib};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// At most so many transport nodes change hands at once only for the sake of balance.
const MOVES_MAX: usize = 16;

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
/// What works stays where it is. The nodes of a controller that does not answer go to their standbys, and so does a node
/// that its controller cannot reach, though others can; those of one that is drained, too, a few at a time. When one has two
/// more than another, that is evened out, a few at a time, towards those that have been there for a while.
///
/// `reach` says how far a controller reaches a node: a node that has a master which works is moved only to one that has all
/// connections which it needs, any other to one that has most of them.
pub(super) fn assign(nib: &Nib, fit: &Fit, reach: impl Fn(MemberId, Uuid) -> Option<Reach>) -> Vec<Assignment> {
    let is_drained = |member: &MemberId| nib.cluster().members().get(member).is_none_or(|record| record.is_drained);
    let usable: BTreeSet<MemberId> = fit.alive.iter().filter(|member| !is_drained(member)).copied().collect();
    if usable.is_empty() {
        return Vec::new();
    }
    let kept = |node: Uuid, owner: MemberId| {
        let is_there = fit.alive.contains(&owner) && nib.cluster().members().contains_key(&owner);
        is_there && !(fit.cut_off.contains(&node) && is_outreached(node, owner, &usable, &reach))
    };
    let (mut settled, mut homeless) = (Vec::new(), Vec::new());
    for (node, record) in nib.nodes() {
        let standby = record.standby.filter(|standby| usable.contains(standby) && Some(*standby) != record.owner);
        match record.owner.filter(|owner| kept(*node, *owner)) {
            Some(owner) => settled.push(Assignment { node: *node, owner, standby }),
            None => homeless.push((*node, standby)),
        }
    }
    let mut loads = Loads::of(&settled, &usable);
    for (node, standby) in homeless {
        let reach = |member: &MemberId| reach(*member, node).unwrap_or(Reach::Nothing);
        let furthest = usable.iter().map(reach).max().expect("somebody is usable");
        let best: BTreeSet<MemberId> = usable.iter().filter(|member| reach(member) == furthest).copied().collect();
        let standby = standby.filter(|standby| best.contains(standby));
        let owner = standby.or_else(|| Loads::least(&loads.owned, &best, None)).expect("somebody reaches furthest");
        loads.own(owner);
        settled.push(Assignment { node, owner, standby: None });
    }
    even_out(&mut settled, &mut loads, &usable, (fit, &reach));
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

/// Transport nodes that one of these controllers reaches further than the one that writes to them, as far as that is known.
pub(super) fn outreached(
    nib: &Nib,
    among: &BTreeSet<MemberId>,
    reach: impl Fn(MemberId, Uuid) -> Option<Reach>,
) -> BTreeSet<Uuid> {
    let owned = nib.nodes().iter().filter_map(|(node, record)| Some((*node, record.owner?)));
    owned.filter(|(node, owner)| is_outreached(*node, *owner, among, &reach)).map(|(node, _)| node).collect()
}

fn is_outreached(
    node: Uuid,
    owner: MemberId,
    among: &BTreeSet<MemberId>,
    reach: &impl Fn(MemberId, Uuid) -> Option<Reach>,
) -> bool {
    let own = reach(owner, node);
    own.is_some() && among.iter().any(|member| reach(*member, node) > own)
}

/// Moves a few nodes from those that have more than others, or should have none, to those that have less.
fn even_out(
    nodes: &mut [Assignment],
    loads: &mut Loads,
    usable: &BTreeSet<MemberId>,
    (fit, reach): (&Fit, &impl Fn(MemberId, Uuid) -> Option<Reach>),
) {
    let is_ready = |member: MemberId, node: Uuid| reach(member, node) == Some(Reach::Both);
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
        Fit { alive: members(alive), settled: members(settled), cut_off: BTreeSet::new() }
    }

    /// Assigns until nothing changes; how many changed hands.
    fn settle(nib: &mut Nib, fit: &Fit) -> usize {
        let mut moved = 0;
        loop {
            let assignments = assign(nib, fit, |_, _| Some(Reach::Both));
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
        assert_eq!(owners(assign(&nib, &both, |_, _| Some(Reach::Nothing))), BTreeSet::from([1]), "it only stands by");
        let one = node(2);
        let moved = assign(&nib, &both, |member, node| {
            let is_ready = member == MemberId(2) && node == one;
            Some(if is_ready { Reach::Both } else { Reach::Nothing })
        });
        let moved: Vec<Uuid> = moved.iter().filter(|node| node.owner == MemberId(2)).map(|node| node.node).collect();
        assert_eq!(moved, [one]);
        // What has no master goes to whoever there is, to one that is ready rather.
        assert_eq!(owners(assign(&nib, &fit(&[2], &[2]), |_, _| Some(Reach::Nothing))), BTreeSet::from([2]));
    }

    #[test]
    fn a_node_that_its_controller_does_not_reach_goes_to_one_that_does() {
        let mut nib = nib(3, 3);
        settle(&mut nib, &fit(&[1, 2, 3], &[1, 2, 3]));
        let owner = |nib: &Nib| nib.nodes()[&node(0)].owner;
        assert_eq!(owner(&nib), Some(MemberId(1)));
        let alive = members(&[1, 2, 3]);
        // Of the others one has an OVSDB session only, and what the third has is not known.
        let reach = |of_owner: Option<Reach>| {
            move |member: MemberId, at: Uuid| match (member.0, at == node(0)) {
                (1, true) => of_owner,
                (2, true) => Some(Reach::Ovsdb),
                (_, true) => None,
                (_, false) => Some(Reach::Both),
            }
        };
        assert_eq!(outreached(&nib, &alive, reach(Some(Reach::Both))), BTreeSet::new());
        assert_eq!(outreached(&nib, &alive, reach(None)), BTreeSet::new(), "that may only be what is heard of it");
        assert_eq!(outreached(&nib, &alive, reach(Some(Reach::Nothing))), BTreeSet::from([node(0)]));
        let cut_off = Fit { cut_off: BTreeSet::from([node(0)]), ..fit(&[1, 2, 3], &[1, 2, 3]) };
        assert_eq!(assign(&nib, &cut_off, reach(Some(Reach::Both))), [], "it came back in time");
        let moved = assign(&nib, &cut_off, reach(Some(Reach::Nothing)));
        apply(&mut nib, ClusterCommand::Assign(moved));
        assert_eq!(owner(&nib), Some(MemberId(2)));
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
