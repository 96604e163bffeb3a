//! Whether the guests of a world at peace reach whom they may, and nobody else hears them (L3). Start at [`everybody`].

use super::director::Director;
use crate::logical::{Port, VifId};
use crate::oracles::Violation;
use crate::oracles::reachability::{Resident, may_talk};
use crate::stage::Stage;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A ping may take so long, and what else guests send.
const PING_MAX: Duration = Duration::from_secs(8);
/// Bytes of a stream: some full segments, and one that is not.
const STREAM: u32 = 5_000;

/// Whoever may talk to whom pings it, and some send more; whoever may hear all is shouted at.
pub(super) async fn everybody<S: Stage>(director: &mut Director<'_, S>) {
    // What lies of guests that may lie left in neighbours' caches would time out; a new start is quicker.
    let guests: Vec<VifId> = director.plant.with(|state| {
        state.guests.values_mut().for_each(crate::guest::Guest::reboot);
        state.guests.keys().copied().collect()
    });
    let expected = talkers(director, &guests);
    for chunk in expected.chunks(40) {
        let now = director.now();
        let pings: Vec<_> = chunk.iter().map(|(from, to, v6)| ping(director, now, *from, *to, *v6)).collect();
        director.wait(PING_MAX).await;
        let now = director.now();
        for ((from, to, v6), number) in chunk.iter().zip(pings) {
            let answered = director
                .plant
                .look(|state| number.is_some_and(|number| state.guests[from].echoes.contains_key(&number)));
            if !answered {
                let over = if *v6 { "IPv6" } else { "IPv4" };
                let what = format!("{from} pinged {to} over {over} and got no answer, though they may talk");
                director.report.violations.push(Violation::new("L3", now, what));
            }
        }
    }
    send_more(director, &expected).await;
    for from in guests {
        shout(director, from).await;
    }
}

/// Each guest opens a stream to one that may answer, and sends it a datagram, both of the largest packets that there are:
/// all of the stream is acknowledged, and the datagram arrives once.
async fn send_more<S: Stage>(director: &mut Director<'_, S>, expected: &[(VifId, VifId, bool)]) {
    let may: BTreeSet<(VifId, VifId, bool)> = expected.iter().copied().collect();
    let mut pairs: BTreeMap<(VifId, bool), VifId> = BTreeMap::new();
    for (from, to, v6) in expected {
        if from != to && may.contains(&(*to, *from, *v6)) {
            pairs.entry((*from, *v6)).or_insert(*to);
        }
    }
    let now = director.now();
    let before = datagrams(director);
    let streams: Vec<(VifId, VifId, bool, Option<u32>)> = director.plant.with(|state| {
        let send = |((from, v6), to): (&(VifId, bool), &VifId)| {
            let vif = &state.guests[to].vif;
            let address = if *v6 { vif.v6.into() } else { vif.v4.into() };
            (*from, *to, *v6, state.send_more(now, *from, address, STREAM))
        };
        pairs.iter().map(send).collect()
    });
    director.wait(PING_MAX).await;
    let now = director.now();
    for (from, to, v6, number) in streams {
        let is_done =
            director.plant.look(|state| number.is_some_and(|number| state.guests[&from].sent.contains(&number)));
        if !is_done {
            let over = if v6 { "IPv6" } else { "IPv4" };
            let what = format!("{from} sent {to} {STREAM} bytes over {over}, and not all were acknowledged");
            director.report.violations.push(Violation::new("L3", now, what));
        }
    }
    for (vif, count) in datagrams(director) {
        let (sent, got) = (pairs.values().filter(|to| **to == vif).count() as u64, count - before[&vif]);
        if sent != got {
            let what = format!("{vif} was sent {sent} datagrams and got {got}");
            director.report.violations.push(Violation::new("L3", now, what));
        }
    }
}

fn datagrams<S: Stage>(director: &Director<'_, S>) -> BTreeMap<VifId, u64> {
    director.plant.look(|state| state.guests.iter().map(|(vif, guest)| (*vif, guest.ledger.datagrams)).collect())
}

fn ping<S: Stage>(director: &Director<'_, S>, now: Duration, from: VifId, to: VifId, v6: bool) -> Option<u32> {
    director.plant.with(|state| {
        let vif = &state.guests[&to].vif;
        let address = if v6 { vif.v6.into() } else { vif.v4.into() };
        state.ping(now, from, address)
    })
}

/// Guests behind enabled ports, where they can be reached.
fn residents<'a, S: Stage>(director: &'a Director<'_, S>, places: &BTreeMap<VifId, Places>) -> Vec<Resident<'a>> {
    let here = |port: &'a Port| {
        let id = port.vif?;
        let places = places.get(&id).copied().unwrap_or_default();
        let vif = director.plan.setup.vifs.get(usize::from(id.0))?;
        (port.enabled && places.served > 0).then_some(Resident { id, vif, port, settled: places.all == 1 })
    };
    director.intent.ports().values().filter_map(here).collect()
}

/// At how many places a guest is.
#[derive(Clone, Copy, Debug, Default)]
struct Places {
    all: usize,
    /// Those on hypervisors that are in service.
    served: usize,
}

/// At how many places each guest is.
fn places<S: Stage>(director: &Director<'_, S>) -> BTreeMap<VifId, Places> {
    director.plant.look(|state| {
        let count = |vif: &VifId| {
            let places = state.places_of(*vif);
            let served = places.iter().filter(|hv| director.intent.node_enabled(**hv)).count();
            Places { all: places.len(), served }
        };
        state.guests.keys().map(|vif| (*vif, count(vif))).collect()
    })
}

/// Who may talk to whom, and whether over IPv6.
fn talkers<S: Stage>(director: &Director<'_, S>, guests: &[VifId]) -> Vec<(VifId, VifId, bool)> {
    let places = places(director);
    let residents = residents(director, &places);
    let known: BTreeMap<VifId, &Resident<'_>> = residents.iter().map(|resident| (resident.id, resident)).collect();
    let mut talkers = Vec::new();
    for from in guests {
        for to in guests {
            let (Some(one), Some(other)) = (known.get(from), known.get(to)) else { continue };
            let isolated = director.intent.switches().get(&one.port.switch).is_none_or(|switch| switch.isolated);
            let may = |v6: &bool| may_talk(&residents, isolated, one, other, *v6);
            talkers.extend([false, true].into_iter().filter(may).map(|v6| (*from, *to, v6)));
        }
    }
    talkers
}

/// A guest that may speak announces itself: everybody on its switch hears it, and nobody else.
async fn shout<S: Stage>(director: &mut Director<'_, S>, from: VifId) {
    let places = places(director);
    let expected: Option<BTreeSet<VifId>> = {
        let residents = residents(director, &places);
        let own = residents.iter().find(|resident| resident.id == from && resident.settled);
        own.map(|own| {
            let isolated = director.intent.switches().get(&own.port.switch).is_none_or(|switch| switch.isolated);
            let others = residents.iter().filter(|other| other.port.switch == own.port.switch && other.id != from);
            if isolated { BTreeSet::new() } else { others.map(|other| other.id).collect() }
        })
    };
    let admitted: Vec<bool> = announced(director, from);
    let now = director.now();
    let tags = director.plant.with(|state| state.shout(now, from));
    director.wait(Duration::from_secs(1)).await;
    let Some(expected) = expected else { return };
    let now = director.now();
    for (tag, admitted) in tags.into_iter().zip(admitted) {
        let got = director.plant.judge(|judge| judge.receivers(tag));
        let missed: Vec<String> = expected.difference(&got).map(|vif| vif.to_string()).collect();
        if admitted && !missed.is_empty() {
            let what = format!("{from} announced itself, and {} did not hear it", missed.join(", "));
            director.report.violations.push(Violation::new("L3", now, what));
        }
    }
}

/// Whether a guest's port admits its announcements, and nobody else answers for its address: ARP first, then discovery.
fn announced<S: Stage>(director: &Director<'_, S>, from: VifId) -> Vec<bool> {
    let places = places(director);
    let residents = residents(director, &places);
    let Some(own) = residents.iter().find(|resident| resident.id == from) else { return vec![false; 2] };
    let mut guest = crate::guest::Guest::new(own.vif.clone());
    guest.announce();
    let frames = guest.poll(Duration::ZERO);
    let admitted = |frame: &Vec<u8>| {
        let read = crate::logical::frame::Frame::read(frame);
        read.is_some_and(|frame| crate::logical::rules::admits(own.port, &frame).is_ok())
    };
    // An address that is known to be another's is answered for, instead of told to everybody.
    let others = residents.iter().filter(|other| other.port.switch == own.port.switch && other.id != from);
    let claimed = |address: std::net::IpAddr| {
        others.clone().any(|other| other.port.pairs.iter().any(|pair| pair.host() == Some(address)))
    };
    let foreign_mac =
        own.port.pairs.iter().any(|pair| pair.host() == Some(own.vif.v4.into()) && pair.mac != own.vif.mac);
    let clear = !claimed(own.vif.v4.into()) && !foreign_mac;
    frames.iter().enumerate().map(|(index, frame)| admitted(frame) && (index > 0 || clear)).collect()
}
