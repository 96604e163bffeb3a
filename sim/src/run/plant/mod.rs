//! The physical world of a run: hypervisors with their switches, guests behind them, and the underlay between.
//!
//! Everything in it is a machine that is stepped with the time; [`State`] owns them all. Two kinds of tasks keep it going
//! on a stage: one that lets its time pass ([`Plant::beat`]), and one for each hypervisor's host that carries the bytes of
//! its connections ([`Plant::carry`]), so that paths can be cut and hosts killed. What is
//! asked of it is in `orders`, what goes wrong with it is in `trouble`. Start at [`Plant`].

mod carry;
mod orders;
mod trouble;

use crate::fabric::site::Site;
use crate::fabric::underlay::Underlay;
use crate::fabric::weather::{TooBig, Weather};
use crate::fabric::{Packet, Tag as FabricTag};
use crate::guest::Guest;
use crate::logical::VifId;
use crate::oracles::restraint::Restraint;
use crate::oracles::single_writer::Writers;
use crate::oracles::survivable;
use crate::plan::fault::Trouble;
use crate::plan::{HvId, Plan};
use crate::run::capture::Captured;
use crate::run::director::{Lie, Options, SEGMENTS, hypervisor_at, tunnel_end};
use crate::run::judge::{Judge, Tag};
use crate::run::report::Mark;
use crate::switch::machine::{Input, Output, Switch, SwitchConfig};
use crate::switch::openflow::agent;
use crate::switch::ovsdb::database::Database;
use crate::switch::ovsdb::value::{Atom, Value};
use crate::switch::vswitchd::Running;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use selvedge_net::ovsdb::plan::EPOCH_KEY;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;

/// The bridge that guests are put on.
const BRIDGE: &str = "br-int";
/// Most packets that are kept for a capture file.
const CAPTURED_MAX: usize = 200_000;
/// A guest is plugged in again so long after it found no bridge to be plugged into, as a cloud manager would.
const PLUG_AGAIN: Duration = Duration::from_secs(2);

/// A hypervisor.
#[derive(Debug)]
pub struct Hypervisor {
    /// Its switch.
    pub switch: Switch,
    /// Whether its host is up.
    pub up: bool,
    /// What its connections are to do.
    outbox: VecDeque<Output>,
    /// Bytes that are no protocol, and where they go.
    garbage: VecDeque<(SocketAddr, Vec<u8>)>,
    /// Guests that are plugged in here.
    plugged: BTreeSet<VifId>,
    /// Counts of agents that are gone.
    past: agent::Counts,
}

/// Which tables a switch has; see [`Plant::version`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    lives: u64,
    changes: Option<u64>,
}

/// Everything physical.
#[derive(Debug)]
pub struct State {
    /// Judges what is delivered.
    pub judge: Judge,
    /// Who wrote to which switch.
    pub writers: Writers,
    restraint: Restraint,
    /// By number.
    pub hypervisors: BTreeMap<HvId, Hypervisor>,
    /// By number.
    pub guests: BTreeMap<VifId, Guest>,
    /// What was reached.
    pub marks: BTreeSet<Mark>,
    /// Packets, if they are kept.
    pub captured: Vec<Captured>,
    /// Where each guest is, the latest place last.
    places: BTreeMap<VifId, Vec<HvId>>,
    /// Until when whoever lets time pass sleeps; none if nothing is due.
    planned: Option<Duration>,
    /// Guests to be plugged in again, since there was no bridge.
    again: BTreeMap<(VifId, HvId), Duration>,
    underlay: Underlay,
    /// What is wrong with paths of the underlay.
    weather: BTreeMap<(HvId, HvId), Vec<Trouble>>,
    climate: Weather,
    rng: ChaCha8Rng,
    capture: bool,
    lie: Option<Lie>,
    spoofs: Vec<(Tag, VifId)>,
    rogues: Vec<Tag>,
}

/// The physical world. Clones are the same.
#[derive(Clone)]
pub struct Plant {
    state: Arc<Mutex<State>>,
    /// Something may be due earlier than it was.
    sooner: Arc<Notify>,
    /// A hypervisor has something for its connections.
    outboxes: Arc<BTreeMap<HvId, Notify>>,
}

impl Plant {
    /// The world of a plan, with all hypervisors off.
    pub fn new(plan: &Plan, options: &Options) -> Plant {
        let stream = |stream| {
            let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
            rng.set_stream(stream);
            rng
        };
        let climate = Weather { mtu: plan.setup.underlay_mtu, too_big: TooBig::Silent, ..Weather::default() };
        let ids: Vec<HvId> = (0..plan.setup.hypervisors).map(HvId).collect();
        let hypervisor = |hv: HvId| Hypervisor {
            switch: Switch::new(SwitchConfig {
                system_id: hv.to_string(),
                tunnel_ends: vec![tunnel_end(hv)],
                mtu: usize::from(plan.setup.underlay_mtu),
                version: "3.1.0".to_string(),
                silent: plan.setup.silent,
                seed: plan.seed.wrapping_mul(1_000).wrapping_add(u64::from(hv.0)),
            }),
            up: false,
            outbox: VecDeque::new(),
            garbage: VecDeque::new(),
            plugged: BTreeSet::new(),
            past: agent::Counts::default(),
        };
        let guests = plan.setup.vifs.iter().enumerate();
        let state = State {
            judge: Judge::new(plan.setup.vifs.clone(), plan.setup.hypervisors),
            writers: Writers::default(),
            restraint: Restraint::default(),
            hypervisors: ids.iter().map(|hv| (*hv, hypervisor(*hv))).collect(),
            guests: guests.map(|(id, vif)| (VifId(id as u16), Guest::new(vif.clone()))).collect(),
            marks: BTreeSet::new(),
            captured: Vec::new(),
            places: BTreeMap::new(),
            planned: None,
            again: BTreeMap::new(),
            underlay: Underlay::new(climate.clone(), stream(1 << 42)).by_site(Site::new(&SEGMENTS)),
            weather: BTreeMap::new(),
            climate,
            rng: stream((1 << 42) + 1),
            capture: options.capture,
            lie: options.lie,
            spoofs: Vec::new(),
            rogues: Vec::new(),
        };
        let outboxes = ids.into_iter().map(|hv| (hv, Notify::new())).collect();
        Plant { state: Arc::new(Mutex::new(state)), sooner: Arc::default(), outboxes: Arc::new(outboxes) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it in hand")
    }

    /// Looks at the state.
    pub fn look<T>(&self, at: impl FnOnce(&State) -> T) -> T {
        at(&self.state())
    }

    /// Tells the judge something, or asks it: nothing physical comes of it.
    pub fn judge<T>(&self, ask: impl FnOnce(&mut Judge) -> T) -> T {
        ask(&mut self.state().judge)
    }

    /// Changes the state; whoever must know of what came of it is told.
    pub fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let result = work(&mut state);
        for (hv, hypervisor) in &state.hypervisors {
            if !hypervisor.outbox.is_empty() || !hypervisor.garbage.is_empty() {
                self.outboxes[hv].notify_one();
            }
        }
        drop(state);
        self.sooner.notify_one();
        result
    }
}

impl State {
    fn input(&mut self, hv: HvId, now: Duration, input: Input) {
        self.step(hv, now, input, None);
    }

    /// When something is due.
    fn deadline(&self) -> Option<Duration> {
        let switches = self.hypervisors.values().filter(|hv| hv.up).filter_map(|hv| hv.switch.deadline());
        let guests = self.guests.iter().filter(|(vif, _)| self.is_somewhere(**vif));
        let guests = guests.filter_map(|(_, guest)| guest.deadline());
        switches.chain(guests).chain(self.underlay.deadline()).chain(self.again.values().copied()).min()
    }

    /// Everything that is due by now happens.
    /// When the next thing is due is said, and kept as what is planned.
    fn advance(&mut self, now: Duration) -> Option<Duration> {
        // As often as something is due; a machine that is always due is a mistake of the simulator.
        for _ in 0..100_000 {
            let next = self.deadline();
            if next.is_none_or(|at| at > now) {
                self.planned = next;
                return next;
            }
            for (to, packet) in self.underlay.deliver(now) {
                if let Some(hv) = hypervisor_at(to) {
                    self.step(hv, now, Input::Underlay(packet.bytes), Some(packet.tag.0));
                }
            }
            let due: Vec<HvId> = self
                .hypervisors
                .iter()
                .filter(|(_, hv)| hv.up && hv.switch.deadline().is_some_and(|at| at <= now))
                .map(|(id, _)| *id)
                .collect();
            due.into_iter().for_each(|hv| self.step(hv, now, Input::Tick, None));
            let again: Vec<(VifId, HvId)> =
                self.again.iter().filter(|(_, at)| **at <= now).map(|(place, _)| *place).collect();
            again.into_iter().for_each(|(vif, hv)| self.plug(now, vif, hv));
            self.poll_guests(now);
        }
        panic!("something physical is due again and again at {now:?}");
    }

    fn is_somewhere(&self, vif: VifId) -> bool {
        self.places.get(&vif).is_some_and(|places| !places.is_empty())
    }

    fn poll_guests(&mut self, now: Duration) {
        let due: Vec<VifId> = self
            .guests
            .iter()
            .filter(|(vif, guest)| self.is_somewhere(**vif) && guest.deadline().is_some_and(|at| at <= now))
            .map(|(vif, _)| *vif)
            .collect();
        for vif in due {
            let frames = self.guests.get_mut(&vif).map(|guest| guest.poll(now)).unwrap_or_default();
            for frame in frames {
                self.guest_sends(now, vif, frame);
            }
        }
    }

    /// A guest's frame goes into the switch where the guest is: at the latest place, if there are several.
    fn guest_sends(&mut self, now: Duration, vif: VifId, frame: Vec<u8>) -> Option<Tag> {
        let hv = self.places.get(&vif)?.last().copied()?;
        self.capture(now, false, &frame);
        let tag = self.judge.sent(now, vif, hv, &frame);
        self.step(hv, now, Input::Frame(device(vif), frame), Some(tag));
        Some(tag)
    }

    fn capture(&mut self, at: Duration, outer: bool, bytes: &[u8]) {
        if self.capture && self.captured.len() < CAPTURED_MAX {
            self.captured.push(Captured { at, outer, bytes: bytes.to_vec() });
        }
    }

    /// Something happens to a switch; what it does is carried out.
    fn step(&mut self, hv: HvId, now: Duration, input: Input, tag: Option<Tag>) {
        let Some(hypervisor) = self.hypervisors.get_mut(&hv).filter(|hypervisor| hypervisor.up) else { return };
        if let Some(tag) = tag {
            self.judge.passes(now, hv, tag);
        }
        let mut outputs = Vec::new();
        hypervisor.switch.step(now, input, &mut outputs);
        let writes = hypervisor.switch.vswitchd().map(|daemon| {
            daemon.bridges.values_mut().flat_map(|running| running.agent.take_writes()).collect::<Vec<_>>()
        });
        for write in writes.into_iter().flatten() {
            let violation = self.writers.wrote(now, hv, write.generation);
            self.judge.report(violation);
            self.judge.report(survivable::wrote(now, hv, write.deadly));
        }
        let server = &self.hypervisors[&hv].switch.server;
        let epoch = || recorded_epoch(&server.database);
        let violation = self.writers.configured(now, hv, server.transactions, epoch);
        self.judge.report(violation);
        let refused = self.counts(hv).attempts_refused + self.hypervisors[&hv].switch.server.lost.1;
        let violation = self.restraint.refused(now, hv, refused);
        self.judge.report(violation);
        self.carry_out(hv, now, outputs, tag);
    }

    fn carry_out(&mut self, hv: HvId, now: Duration, outputs: Vec<Output>, tag: Option<Tag>) {
        for output in outputs {
            match output {
                Output::Frame(device, frame) => {
                    if let (Some(vif), Some(tag)) = (vif_of(&device), tag) {
                        self.delivered(now, hv, tag, vif, &frame);
                    }
                }
                Output::Underlay(packet) => {
                    self.capture(now, true, &packet);
                    let tag = tag.unwrap_or_default();
                    // Segments of one frame are one crossing.
                    let first = packet.get(9) != Some(&6) || is_first_segment(&packet);
                    if first {
                        self.judge.crosses(now, tag);
                    }
                    let packet = Packet { tag: FabricTag(tag), bytes: packet };
                    if self.lie == Some(Lie::Twice) {
                        self.underlay.send(now, packet.clone());
                    }
                    if self.underlay.send(now, packet) > 1 {
                        self.judge.duplicated(tag);
                    }
                }
                connection => {
                    let hypervisor = self.hypervisors.get_mut(&hv).expect("it is stepping");
                    hypervisor.outbox.push_back(connection);
                }
            }
        }
    }

    fn delivered(&mut self, now: Duration, at: HvId, tag: Tag, vif: VifId, frame: &[u8]) {
        self.capture(now, false, frame);
        self.judge.delivered(now, tag, (vif, at), frame);
        if let Some(guest) = self.guests.get_mut(&vif) {
            let before = guest.ledger.answered;
            guest.receive(now, frame);
            if guest.ledger.answered > before {
                self.answered_somewhere();
            }
        }
        if self.lie == Some(Lie::Leak)
            && let Some(other) = self.guests.keys().copied().find(|other| *other != vif)
        {
            self.judge.delivered(now, tag, (other, at), frame);
        }
    }

    /// A ping was answered: was there a controller?
    fn answered_somewhere(&mut self) {
        let alone = self.hypervisors.values().all(|hv| hv.switch.is_alone());
        if alone {
            self.marks.insert(Mark::ForwardedWithoutController);
        }
    }

    /// The switches and routers beneath the underlay.
    fn site(&mut self) -> &mut Site {
        self.underlay.site().expect("it goes by one")
    }

    /// What befell packets between hypervisors.
    pub fn underlay(&self) -> &Underlay {
        &self.underlay
    }

    /// Where a guest is plugged in.
    pub fn places_of(&self, vif: VifId) -> &[HvId] {
        self.places.get(&vif).map_or(&[], Vec::as_slice)
    }

    /// Pings answered and sent.
    pub fn pings(&self) -> (u64, u64) {
        let ledgers = self.guests.values().map(|guest| guest.ledger);
        ledgers.fold((0, 0), |(answered, sent), ledger| (answered + ledger.answered, sent + ledger.pings))
    }

    fn running(&mut self, hv: HvId) -> Option<&mut Running> {
        self.hypervisors.get_mut(&hv)?.switch.vswitchd()?.bridges.get_mut(BRIDGE)
    }

    fn plug(&mut self, now: Duration, vif: VifId, hv: HvId) {
        self.again.remove(&(vif, hv));
        let Some(hypervisor) = self.hypervisors.get_mut(&hv).filter(|hypervisor| hypervisor.up) else { return };
        let mac = self.guests[&vif].vif.mac;
        let done = hypervisor.switch.plug(BRIDGE, &device(vif), &vif.to_string(), &mac.to_string());
        hypervisor.plugged.insert(vif);
        let places = self.places.entry(vif).or_default();
        places.retain(|place| *place != hv);
        places.push(hv);
        self.judge.places.entry((vif, hv)).or_default().may_become(now, Some(()));
        if !done {
            self.again.insert((vif, hv), now + PLUG_AGAIN);
        }
        self.step(hv, now, Input::Tick, None);
    }

    fn unplug(&mut self, now: Duration, vif: VifId, hv: HvId) -> bool {
        self.again.remove(&(vif, hv));
        let was = self.places.get(&vif).is_some_and(|places| places.contains(&hv));
        if !was {
            return false;
        }
        self.places.entry(vif).or_default().retain(|place| *place != hv);
        self.judge.places.entry((vif, hv)).or_default().may_become(now, None);
        if let Some(hypervisor) = self.hypervisors.get_mut(&hv) {
            hypervisor.plugged.remove(&vif);
            hypervisor.switch.unplug(&device(vif));
        }
        self.step(hv, now, Input::Tick, None);
        true
    }
}

/// A guest's device.
fn device(vif: VifId) -> String {
    format!("tap{}", vif.0)
}

fn vif_of(device: &str) -> Option<VifId> {
    device.strip_prefix("tap")?.parse().ok().map(VifId)
}

/// Whether a TCP-like packet is the first of its frame, as STT has it: the offset of its bytes is zero.
fn is_first_segment(packet: &[u8]) -> bool {
    let header = packet.first().map_or(20, |first| usize::from(first & 15) * 4);
    packet.get(header + 6..header + 8) == Some(&[0, 0])
}

impl State {
    fn counts(&mut self, hv: HvId) -> agent::Counts {
        let past = self.hypervisors.get(&hv).map(|hypervisor| hypervisor.past).unwrap_or_default();
        self.running(hv).map_or(past, |running| sum(past, running.agent.counts))
    }

    /// An agent is about to be gone: its counts are kept.
    fn keep_counts(&mut self, hv: HvId) {
        let mut counts = self.counts(hv);
        let open = self.running(hv).map_or(0, |running| running.agent.open_bundles());
        counts.bundles_lost += open;
        self.hypervisors.get_mut(&hv).into_iter().for_each(|hypervisor| hypervisor.past = counts);
    }

    /// The OpenFlow port number of a guest's interface on a hypervisor, as the switch's database tells it.
    pub fn ofport_of(&self, vif: VifId, hv: HvId) -> Option<u32> {
        let name = device(vif);
        let mut interfaces = self.hypervisors[&hv].switch.server.database.rows("Interface");
        let (_, row) = interfaces.find(|(_, row)| row["name"].text() == Some(&name))?;
        u32::try_from(row["ofport"].number()?).ok()
    }

    /// Spoofs and made-up packets that are old enough have reached whom they reach.
    fn settle_marks(&mut self) {
        while self.spoofs.len() > 4 {
            let (tag, _) = self.spoofs.remove(0);
            if self.judge.receivers(tag).is_empty() {
                self.marks.insert(Mark::SpoofDropped);
            }
        }
        while self.rogues.len() > 2 {
            let tag = self.rogues.remove(0);
            if self.judge.receivers(tag).is_empty() {
                self.marks.insert(Mark::TunnelPacketRefused);
            }
        }
    }
}

fn sum(one: agent::Counts, other: agent::Counts) -> agent::Counts {
    agent::Counts {
        flow_mods: one.flow_mods + other.flow_mods,
        group_mods: one.group_mods + other.group_mods,
        errors: one.errors + other.errors,
        attempts_refused: one.attempts_refused + other.attempts_refused,
        bundles_expired: one.bundles_expired + other.bundles_expired,
        bundles_lost: one.bundles_lost + other.bundles_lost,
        stale: one.stale + other.stale,
        first_roles: one.first_roles + other.first_roles,
        found_dead: one.found_dead + other.found_dead,
    }
}

/// The epoch that a switch's database records.
fn recorded_epoch(database: &Database) -> Option<u64> {
    let (_, row) = database.rows("Open_vSwitch").next()?;
    let Value::Map(ids) = &row["external_ids"] else { return None };
    match ids.get(&Atom::String(EPOCH_KEY.to_string()))? {
        Atom::String(epoch) => epoch.parse().ok(),
        _ => None,
    }
}
