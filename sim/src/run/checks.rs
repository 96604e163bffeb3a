//! Asks the oracles, while a run is under way and when it has converged. Start at [`Checks::sometimes`] and [`everything`].

use super::director::Director;
use super::intent::Intent;
use super::plant::{Plant, Version};
use super::report::{Mark, Report};
use super::rows;
use crate::logical::VifId;
use crate::oracles::identifiers::Numbers;
use crate::oracles::realised::{self, Rows};
use crate::oracles::restraint::Pace;
use crate::oracles::{Violation, fail_static, recompute};
use crate::plan::{HvId, Plan};
use crate::stage::Stage;
use crate::window::Seat;
use hyper::Method;
use selvedge_core::compile::Engine;
use selvedge_core::ids::Revision;
use selvedge_net::controller::{Handle, State};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use uuid::Uuid;

/// How often what is said to be realised is compared with what is.
const COMPARE_EVERY: Duration = Duration::from_secs(3);
/// How often numbers are looked at.
const NUMBERS_EVERY: Duration = Duration::from_secs(1);
/// Nothing that a controller sent before it went down is on its way any more after this.
const SETTLED_AFTER: Duration = Duration::from_secs(5);

/// What is remembered between looks.
#[derive(Debug)]
pub(super) struct Checks {
    recompute_every: Duration,
    next_recompute: Duration,
    next_compare: Duration,
    next_numbers: Duration,
    numbers: Numbers,
    pace: Pace,
    down_since: Option<Duration>,
    /// What was found to be the same: the NIB's revision, and the version of a switch's tables.
    compared: BTreeMap<HvId, (Revision, Version)>,
    /// Tables while no controller was up.
    alone: BTreeMap<HvId, Rows>,
}

impl Checks {
    pub fn new(plan: &Plan) -> Checks {
        Checks {
            recompute_every: Duration::from_millis(plan.setup.recompute_every_ms),
            next_recompute: Duration::ZERO,
            next_compare: Duration::ZERO,
            next_numbers: Duration::ZERO,
            numbers: Numbers::default(),
            pace: Pace::default(),
            down_since: None,
            compared: BTreeMap::new(),
            alone: BTreeMap::new(),
        }
    }

    /// The controller is down.
    pub fn controller_down(&mut self, now: Duration) {
        self.down_since = self.down_since.or(Some(now));
    }

    /// The controller is up again.
    pub fn controller_up(&mut self) {
        self.down_since = None;
        self.compared.clear();
        self.alone.clear();
    }

    /// No controller is up: what switches hold must stay as it is. `reachable` are the hypervisors whose paths are good.
    pub fn without_controller(&mut self, now: Duration, reachable: &BTreeSet<HvId>, plant: &Plant) {
        if self.down_since.is_none_or(|since| since + SETTLED_AFTER > now) || !self.alone.is_empty() {
            return;
        }
        self.alone = reachable.iter().map(|hv| (*hv, plant.tables(*hv))).collect();
        plant.judge(|judge| self.alone.retain(|hv, _| !judge.is_suspect(*hv)));
    }

    /// The controller is about to be started again.
    pub fn controller_starts(&mut self, now: Duration, plant: &Plant, report: &mut Report) {
        for (hv, before) in std::mem::take(&mut self.alone) {
            if !plant.judge(|judge| judge.is_suspect(hv)) {
                report.violations.extend(fail_static::judge(now, hv, &before, &plant.tables(hv)));
            }
        }
    }

    /// Looks at the controllers' states, as often as each check is due: that of the one which has come furthest, and of all.
    pub fn sometimes(
        &mut self,
        now: Duration,
        newest: &Handle,
        all: &[(Seat, Handle)],
        intent: &Intent,
        plant: &Plant,
        report: &mut Report,
    ) {
        if now >= self.next_numbers {
            self.next_numbers = now + NUMBERS_EVERY;
            newest.read(|state| self.look_at_numbers(now, state, intent, plant, report));
            let revision = newest.read(|state| state.nib.revision().0);
            report.violations.extend(self.pace.entered(now, revision));
        }
        if !self.recompute_every.is_zero() && now >= self.next_recompute {
            self.next_recompute = now + self.recompute_every;
            report.violations.extend(all.iter().flat_map(|(_, handle)| handle.read(|state| recomputed(now, state))));
        }
        if now >= self.next_compare {
            self.next_compare = now + COMPARE_EVERY;
            self.compare(now, all, intent, plant, report);
        }
    }

    /// What is said to be realised is compared with what is, for every transport node.
    fn compare(&mut self, now: Duration, all: &[(Seat, Handle)], intent: &Intent, plant: &Plant, report: &mut Report) {
        let hvs: Vec<HvId> = plant.look(|state| state.hypervisors.keys().copied().collect());
        for hv in hvs {
            let Some(node) = intent.node_uuid(hv).and_then(|uuid| uuid.parse().ok()) else { continue };
            let newest = plant.look(|state| state.writers.newest(hv));
            let Some((_, handle)) = all.iter().find(|(_, handle)| handle.read(|s| writes_to(s, node, newest))) else {
                continue;
            };
            let suspect = plant.judge(|judge| judge.is_suspect(hv));
            let version = (handle.read(|state| state.nib.revision()), plant.version(hv));
            if !suspect && self.compared.get(&hv) == Some(&version) {
                continue;
            }
            let Some(desired) = handle.read(|state| said_to_hold(state, node)) else { continue };
            let held = plant.tables(hv);
            if desired == held {
                self.compared.insert(hv, version);
            }
            // What is being taken out of service may be said to hold everything for the last time.
            let served = intent.node_serves(hv);
            if desired == held && served {
                let repaired = plant.judge(|judge| judge.trust(hv, now));
                if repaired {
                    report.marks.insert(Mark::EditRepaired);
                }
            } else if desired != held && !suspect {
                report.violations.extend(realised::judge("C7", now, hv, &desired, &held));
            }
        }
    }

    fn look_at_numbers(&mut self, now: Duration, state: &State, intent: &Intent, plant: &Plant, report: &mut Report) {
        let mut means = |kind, number: String, object: String| {
            report.violations.extend(self.numbers.means(now, kind, number, object));
        };
        for (uuid, switch) in state.nib.switches() {
            means("tunnel key", switch.key.0.to_string(), uuid.to_string());
            let name = switch.config.common.display_name.as_deref();
            if let Some(id) = name.and_then(|name| name.strip_prefix('s')?.parse().ok()) {
                plant.judge(|judge| {
                    judge.keys.entry(switch.key.0).or_default().insert(crate::logical::SwitchId(id));
                });
            }
        }
        for (uuid, port) in state.nib.ports() {
            means("port key", format!("{} of {}", port.key.0, port.switch), uuid.to_string());
        }
        for (uuid, node) in state.nib.nodes() {
            means("node number", node.number.0.to_string(), uuid.to_string());
            means("epoch", node.epoch.0.to_string(), uuid.to_string());
        }
        let same_address = plant.look(|plant| {
            let mut seen = BTreeSet::new();
            let places = plant.guests.iter().flat_map(|(vif, guest)| {
                plant.places_of(*vif).iter().map(move |hv| (*hv, guest.vif.v4)).collect::<Vec<_>>()
            });
            places.into_iter().any(|place| !seen.insert(place))
        });
        if same_address && intent.switches().len() > 1 {
            report.marks.insert(Mark::SameAddressOnOneHypervisor);
        }
    }
}

/// Whether what was computed change by change is what a full computation gives, for every transport node.
fn recomputed(now: Duration, state: &State) -> Vec<Violation> {
    let full = Engine::from_nib(&state.nib);
    let nodes = state.nib.nodes().values();
    let judged = nodes.filter_map(|node| {
        let (incremental, full) = (state.engine.desired(node.number), full.desired(node.number));
        // Rows are made only of what differs.
        if incremental == full {
            return None;
        }
        recompute::judge(now, hv_of(node)?, &rows::desired(&incremental), &rows::desired(&full))
    });
    judged.collect()
}

fn hv_of(node: &selvedge_core::nib::NodeRecord) -> Option<HvId> {
    let name = node.config.common.display_name.as_deref()?;
    name.strip_prefix("hv")?.parse().ok().map(HvId)
}

/// Whether a controller writes to a transport node, as it knows it, and no later one has: one that was replaced and has not
/// heard of it yet says only what was so.
fn writes_to(state: &State, node: Uuid, newest: Option<u64>) -> bool {
    let epoch = state.nib.nodes().get(&node).map(|record| record.epoch.0);
    let has_session = state.nodes.get(&node).is_some_and(|known| known.own.openflow.is_some());
    state.drives(node) && has_session && epoch >= newest
}

/// What a transport node should hold, if the controller says that it does.
fn said_to_hold(state: &State, node: Uuid) -> Option<Rows> {
    let record = state.nib.nodes().get(&node).filter(|record| record.config.admin_status_enabled)?;
    let known = state.nodes.get(&node).filter(|known| known.connected())?;
    let holds = known.realised(state.nib.revision()) == Some(state.nib.revision());
    holds.then(|| rows::desired(&state.engine.desired(record.number)))
}

/// What is not yet as it should be, in words; nothing if all is.
pub(super) fn pending<S: Stage>(director: &mut Director<'_, S>) -> Vec<String> {
    let up = director.controllers.up();
    if up.len() < director.controllers.seats().count() {
        return vec![format!(
            "of the controllers only {:?} are up",
            up.iter().map(|(seat, _)| seat).collect::<Vec<_>>()
        )];
    }
    let mut pending = director.intent.unsettled();
    if !director.controllers.is_one() && !director.controllers.are_whole() {
        pending.push("the controllers do not agree on who is a member".to_string());
    }
    // Each of them must say the same.
    for (seat, handle) in &up {
        for hv in director.hvs() {
            let late = lateness(director, hv, handle).map(|what| format!("{seat} says: {what}"));
            pending.extend(late);
        }
    }
    let (_, handle) = &up[0];
    let unnoticed = unnoticed_guests(director, handle);
    pending.extend(unnoticed);
    pending
}

/// What a transport node lacks, as a controller says or as it is.
fn lateness<S: Stage>(director: &Director<'_, S>, hv: HvId, handle: &Handle) -> Option<String> {
    let uuid = director.intent.node_uuid(hv).and_then(|uuid| uuid.parse::<Uuid>().ok());
    let uuid = uuid.filter(|_| director.intent.node_enabled(hv))?;
    let held = director.plant.tables(hv);
    handle.read(|state| {
        let known = state.nodes.get(&uuid)?;
        let problems: Vec<&str> = known.report().problems.values().map(String::as_str).collect();
        match (known.report().ovsdb.is_some(), known.report().openflow.is_some(), said_to_hold(state, uuid)) {
            (false, _, _) => Some(format!("{hv} has no OVSDB session; {problems:?}")),
            (true, false, _) => Some(format!("{hv} has no OpenFlow session; {problems:?}")),
            (true, true, None) => Some(format!("{hv} is not said to hold everything; {problems:?}")),
            (true, true, Some(desired)) if desired != held => {
                let differs = realised::judge("E2", Duration::ZERO, hv, &desired, &held);
                differs.map(|violation| violation.what)
            }
            (true, true, Some(_)) => None,
        }
    })
}

/// Guests whose place, or port number there, the controller does not know.
fn unnoticed_guests<S: Stage>(director: &mut Director<'_, S>, handle: &Handle) -> Vec<String> {
    let mut unnoticed = Vec::new();
    type Places = Vec<(HvId, Option<u32>)>;
    let places: Vec<(VifId, Places)> = director.plant.look(|state| {
        let numbered = |vif: &VifId| state.places_of(*vif).iter().map(|hv| (*hv, state.ofport_of(*vif, *hv))).collect();
        state.guests.keys().map(|vif| (*vif, numbered(vif))).collect()
    });
    for (vif, places) in places {
        let served = places.iter().filter(|(hv, _)| director.intent.node_enabled(*hv));
        let expected: BTreeMap<String, Option<u32>> =
            served.filter_map(|(hv, ofport)| Some((director.intent.node_uuid(*hv)?.to_string(), *ofport))).collect();
        let known: BTreeMap<String, Option<u32>> = handle.read(|state| {
            let nodes = state.nib.nodes().iter().filter(|(_, node)| node.config.admin_status_enabled);
            let claims = nodes.flat_map(|(uuid, _)| state.nib.vifs_of(*uuid).map(move |claim| (uuid, &claim.observed)));
            let of_vif = claims.filter(|(_, observed)| observed.vif == vif.to_string());
            of_vif.map(|(uuid, observed)| (uuid.to_string(), Some(observed.ofport.0))).collect()
        });
        if expected != known {
            unnoticed.push(format!("the controller believes {vif} to be at {known:?}, and it is at {expected:?}"));
        }
    }
    unnoticed
}

/// Everything that must hold when the world has converged.
pub(super) async fn everything<S: Stage>(director: &mut Director<'_, S>) {
    let now = director.now();
    for (_, handle) in director.controllers.up() {
        director.report.violations.extend(handle.read(|state| recomputed(now, state)));
    }
    read_back(director).await;
    super::reach::everybody(director).await;
}

/// Everything is read back over the API.
async fn read_back<S: Stage>(director: &mut Director<'_, S>) {
    let path = "/ws.v1/lswitch/*/lport?fields=*&relations=LogicalPortAttachment&_page_length=1000";
    let ports = director.ask(Method::GET, path, Value::Null).await;
    let switches = director.ask(Method::GET, "/ws.v1/lswitch?fields=*&_page_length=1000", Value::Null).await;
    let now = director.now();
    let list = |answer: &Value| answer["results"].as_array().cloned();
    match (list(&ports), list(&switches)) {
        (Some(ports), Some(switches)) => {
            let found = director.intent.judge_all(now, &ports, &switches);
            director.report.violations.extend(found);
        }
        _ => {
            let what = format!("lists cannot be read: {}", json!([ports, switches]));
            director.report.violations.push(Violation::new("L1", now, what));
        }
    }
}
