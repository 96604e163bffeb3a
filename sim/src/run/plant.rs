//! The physical world of a run: hypervisors with their switches, guests behind them, and the underlay between.
//!
//! Everything in it is a machine that is stepped with the time; [`State`] owns them all. Two kinds of tasks keep it going
//! on a stage: one that lets its time pass ([`Plant::beat`]), and one for each hypervisor's host that carries the bytes of
//! its connections ([`Plant::carry`]), so that paths can be cut and hosts killed. Start at [`Plant`].

use super::capture::Captured;
use super::director::{Lie, Options, tunnel_end};
use super::judge::{Judge, Tag};
use super::lines;
use super::report::Mark;
use crate::fabric::underlay::Underlay;
use crate::fabric::weather::{Grey, TooBig, Weather};
use crate::fabric::{Packet, Tag as FabricTag};
use crate::guest::{Guest, spoof};
use crate::logical::{Mac, VifId};
use crate::oracles::admission::Rogue;
use crate::oracles::quiet::Told;
use crate::oracles::realised::Lines;
use crate::oracles::single_writer::Writers;
use crate::plan::fault::{Edit, Fault, Trouble};
use crate::plan::{Encap, GuestAct, HvId, Plan};
use crate::switch::datapath::TunnelMetadata;
use crate::switch::datapath::tunnel::{Protocol, TunnelConfig, Tunnels};
use crate::switch::machine::{Input, Output, Switch, SwitchConfig};
use crate::switch::model::{Flow, Match};
use crate::switch::openflow::agent;
use crate::switch::vswitchd::Running;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use selvedge_net::runtime::{Moment, Runtime};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};

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
            hypervisors: ids.iter().map(|hv| (*hv, hypervisor(*hv))).collect(),
            guests: guests.map(|(id, vif)| (VifId(id as u16), Guest::new(vif.clone()))).collect(),
            marks: BTreeSet::new(),
            captured: Vec::new(),
            places: BTreeMap::new(),
            again: BTreeMap::new(),
            underlay: Underlay::new(climate.clone(), stream(1 << 42)),
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

    /// Looks at the state, or changes it; whoever must know of what came of it is told.
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

    /// Lets the time of everything physical pass, for as long as its host is up.
    pub async fn beat<R: Runtime>(self) {
        loop {
            let next = {
                let mut state = self.state();
                state.advance(R::now());
                for (hv, hypervisor) in &state.hypervisors {
                    if !hypervisor.outbox.is_empty() {
                        self.outboxes[hv].notify_one();
                    }
                }
                state.deadline()
            };
            let sleep = async {
                match next {
                    Some(at) => R::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.sooner.notified() => {}
                () = sleep => {}
            }
        }
    }

    /// Carries the bytes of a hypervisor's connections, for as long as its host is up.
    pub async fn carry<R: Runtime>(self, hv: HvId) {
        let mut writers: BTreeMap<u64, mpsc::UnboundedSender<Vec<u8>>> = BTreeMap::new();
        loop {
            let (outputs, garbage) = {
                let mut state = self.state();
                let Some(hypervisor) = state.hypervisors.get_mut(&hv) else { return };
                (std::mem::take(&mut hypervisor.outbox), std::mem::take(&mut hypervisor.garbage))
            };
            if outputs.is_empty() && garbage.is_empty() {
                self.outboxes[&hv].notified().await;
                continue;
            }
            for output in outputs {
                match output {
                    Output::Connect(conn, to) => {
                        let (sender, receiver) = mpsc::unbounded_channel();
                        writers.insert(conn, sender);
                        R::spawn("connection", self.clone().connection::<R>(hv, conn, to, receiver));
                    }
                    Output::Send(conn, bytes) => {
                        // Whoever reads there is gone if it fails, and the switch is told so.
                        writers.get(&conn).map(|writer| writer.send(bytes)).into_iter().for_each(|sent| _ = sent);
                    }
                    Output::Close(conn) => _ = writers.remove(&conn),
                    Output::Frame(..) | Output::Underlay(_) => unreachable!("packets do not go by connections"),
                }
            }
            for (to, bytes) in garbage {
                R::spawn("garbage", async move {
                    let Ok(mut stream) = R::connect(to).await else { return };
                    // Whether it is taken is the controller's business.
                    let _ = stream.write_all(&bytes).await;
                    R::sleep(Duration::from_secs(20)).await;
                });
            }
        }
    }

    async fn connection<R: Runtime>(
        self,
        hv: HvId,
        conn: u64,
        to: SocketAddr,
        mut outgoing: mpsc::UnboundedReceiver<Vec<u8>>,
    ) {
        let Ok(stream) = R::connect(to).await else {
            return self.input(hv, R::now(), Input::Closed(conn));
        };
        self.input(hv, R::now(), Input::Opened(conn));
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut buffer = vec![0; 16 * 1024];
        let mut pending: Vec<u8> = Vec::new();
        loop {
            tokio::select! {
                biased;
                read = reader.read(&mut buffer) => match read {
                    Ok(count @ 1..) => self.input(hv, R::now(), Input::Received(conn, buffer[..count].to_vec())),
                    Ok(0) | Err(_) => break,
                },
                written = writer.write(&pending), if !pending.is_empty() => match written {
                    Ok(count @ 1..) => _ = pending.drain(..count),
                    Ok(0) | Err(_) => break,
                },
                more = outgoing.recv(), if pending.len() < 64 * 1024 => match more {
                    Some(more) => pending.extend(more),
                    None => {
                        // The switch ends it.
                        let _ = writer.shutdown().await;
                        return;
                    }
                },
            }
        }
        self.input(hv, R::now(), Input::Closed(conn));
    }

    fn input(&self, hv: HvId, now: Moment, input: Input) {
        let mut state = self.state();
        let before = state.deadline();
        state.input(hv, now, input);
        let outbox = state.hypervisors.get(&hv).is_some_and(|hypervisor| !hypervisor.outbox.is_empty());
        let sooner = match (before, state.deadline()) {
            (Some(before), Some(after)) => after < before,
            (None, after) => after.is_some(),
            (Some(_), None) => false,
        };
        drop(state);
        if outbox {
            self.outboxes[&hv].notify_one();
        }
        if sooner {
            self.sooner.notify_one();
        }
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
    fn advance(&mut self, now: Duration) {
        // As often as something is due; a machine that is always due is a mistake of the simulator.
        for _ in 0..100_000 {
            if self.deadline().is_none_or(|at| at > now) {
                return;
            }
            for (to, packet) in self.underlay.deliver(now) {
                let hv = self.hypervisors.keys().copied().find(|hv| tunnel_end(*hv) == to);
                if let Some(hv) = hv {
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
        }
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
                    if self.lie == Some(Lie::Twice) {
                        self.underlay.send(now, Packet { tag: FabricTag(tag), bytes: packet.clone() });
                    } else if self.duplicates(hv) {
                        self.judge.duplicated(tag);
                    }
                    self.underlay.send(now, Packet { tag: FabricTag(tag), bytes: packet });
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

    /// Whether the underlay may duplicate what a hypervisor sends.
    fn duplicates(&self, hv: HvId) -> bool {
        self.weather
            .iter()
            .any(|((from, _), troubles)| *from == hv && troubles.iter().any(|t| matches!(t, Trouble::Duplicates(_))))
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

/// What a director asks for.
impl Plant {
    /// A hypervisor's host comes up, with its switch; the guests that were on it come back with it.
    pub fn power_on(&self, now: Duration, hv: HvId, manager: &str) {
        self.with(|state| {
            let hypervisor = state.hypervisors.get_mut(&hv).expect("hypervisors are there for good");
            hypervisor.up = true;
            state.underlay.set_endpoint(tunnel_end(hv), true);
            let hypervisor = state.hypervisors.get_mut(&hv).expect("it is there");
            if !hypervisor.switch.is_up() {
                hypervisor.switch.start_vswitchd(false);
            }
            if hypervisor.switch.server.database.rows("Manager").next().is_none() {
                hypervisor.switch.set_manager(manager);
            }
            let plugged: Vec<VifId> = hypervisor.plugged.iter().copied().collect();
            plugged.into_iter().for_each(|vif| state.plug(now, vif, hv));
            state.step(hv, now, Input::Tick, None);
        });
    }

    /// A hypervisor's host goes down.
    pub fn power_off(&self, hv: HvId) {
        self.with(|state| {
            state.keep_counts(hv);
            let hypervisor = state.hypervisors.get_mut(&hv).expect("hypervisors are there for good");
            hypervisor.up = false;
            hypervisor.switch.power_off();
            (hypervisor.outbox, hypervisor.garbage) = Default::default();
            state.underlay.set_endpoint(tunnel_end(hv), false);
            state.judge.forgot.insert(hv);
        });
    }

    /// A guest's interface appears.
    pub fn plug(&self, now: Duration, vif: VifId, hv: HvId) {
        self.with(|state| {
            let up = state.hypervisors.get(&hv).is_some_and(|hypervisor| hypervisor.up);
            if state.guests.contains_key(&vif) && up {
                state.plug(now, vif, hv);
            }
        });
    }

    /// It goes; whether it was there.
    pub fn unplug(&self, now: Duration, vif: VifId, hv: HvId) -> bool {
        self.with(|state| state.unplug(now, vif, hv))
    }

    /// A guest does something.
    pub fn guest(&self, now: Duration, act: GuestAct) {
        self.with(|state| state.guest(now, act));
    }

    /// The underlay gets worse from one hypervisor to another; none mends it.
    pub fn weather(&self, from: HvId, to: HvId, trouble: Option<Trouble>) {
        self.with(|state| {
            let troubles = state.weather.entry((from, to)).or_default();
            match trouble {
                Some(trouble) => troubles.push(trouble),
                None => _ = (!troubles.is_empty()).then(|| troubles.remove(0)),
            }
            let weather = troubles.iter().fold(state.climate.clone(), |weather, trouble| worse(weather, *trouble));
            state.underlay.set_weather(tunnel_end(from), tunnel_end(to), Some(weather));
        });
    }

    /// ovs-vswitchd ends.
    pub fn stop_vswitchd(&self, now: Duration, hv: HvId) {
        self.with(|state| {
            state.keep_counts(hv);
            state.judge.forgot.insert(hv);
            let Some(hypervisor) = state.hypervisors.get_mut(&hv).filter(|hypervisor| hypervisor.up) else { return };
            let mut outputs = Vec::new();
            hypervisor.switch.stop_vswitchd(&mut outputs);
            state.carry_out(hv, now, outputs, None);
        });
    }

    /// It starts again.
    pub fn start_vswitchd(&self, now: Duration, hv: HvId, renumber: bool) {
        self.with(|state| {
            let Some(hypervisor) = state.hypervisors.get_mut(&hv) else { return };
            if hypervisor.up && !hypervisor.switch.is_up() {
                hypervisor.switch.start_vswitchd(renumber);
                if renumber {
                    state.marks.insert(Mark::PortNumberChanged);
                }
                state.step(hv, now, Input::Tick, None);
            }
        });
    }

    /// ovsdb-server is restarted.
    pub fn restart_ovsdb(&self, now: Duration, hv: HvId) {
        self.with(|state| {
            let Some(hypervisor) = state.hypervisors.get_mut(&hv).filter(|hypervisor| hypervisor.up) else { return };
            let mut outputs = Vec::new();
            hypervisor.switch.restart_ovsdb(now, &mut outputs);
            state.carry_out(hv, now, outputs, None);
            state.step(hv, now, Input::Tick, None);
        });
    }

    /// Tables hold so many flows each.
    pub fn limit_tables(&self, now: Duration, hv: HvId, flows: Option<usize>) {
        self.with(|state| {
            let Some(running) = state.running(hv) else { return };
            (0..=253).for_each(|table| running.bridge.change(now).tables.set_limit(table, flows));
        });
    }

    fn ail(&self, hv: HvId, change: impl FnOnce(&mut agent::Ailments)) {
        self.with(|state| {
            if let Some(running) = state.running(hv) {
                change(&mut running.agent.ailments);
            }
        });
    }

    /// The modification so many from now is refused.
    pub fn fail_modification(&self, hv: HvId, nth: u32) {
        self.ail(hv, |ailments| ailments.fail_nth = Some(nth));
    }

    /// Bundles may be idle so long.
    pub fn bundle_idle(&self, hv: HvId, idle: Option<Duration>) {
        self.ail(hv, |ailments| ailments.bundle_idle = idle);
    }

    /// Messages are handled so much later.
    pub fn delay(&self, hv: HvId, delay: Duration) {
        self.ail(hv, |ailments| ailments.delay = delay);
    }

    /// The next transaction's reply is lost.
    pub fn lose_reply(&self, hv: HvId) {
        self.with(|state| {
            state.hypervisors.get_mut(&hv).into_iter().for_each(|hv| hv.switch.server.faults.lose_reply = true);
        });
    }

    /// The next transaction is refused.
    pub fn refuse_transaction(&self, hv: HvId) {
        self.with(|state| {
            state.hypervisors.get_mut(&hv).into_iter().for_each(|hv| hv.switch.server.faults.refuse = true);
        });
    }

    /// Clients of the database are told so much later.
    pub fn late_updates(&self, hv: HvId, delay: Duration) {
        self.with(|state| {
            state.hypervisors.get_mut(&hv).into_iter().for_each(|hv| hv.switch.server.faults.delay = delay);
        });
    }

    /// The datapath lags behind its tables.
    pub fn cache_lag(&self, now: Duration, hv: HvId, lag: Duration) {
        self.with(|state| {
            if let Some(running) = state.running(hv) {
                running.bridge.cache_lag = lag;
                // What was decided before the lag ended stays in force a while.
                let until = if lag.is_zero() { now + Duration::from_secs(5) } else { Duration::MAX };
                state.judge.lagging.insert(hv, until);
            }
        });
    }

    /// Somebody at a hypervisor sends bytes that are no protocol.
    pub fn garbage(&self, hv: HvId, to: SocketAddr, bytes: Vec<u8>) {
        self.with(|state| {
            let hypervisor = state.hypervisors.get_mut(&hv).filter(|hypervisor| hypervisor.up);
            hypervisor.into_iter().for_each(|hypervisor| hypervisor.garbage.push_back((to, bytes.clone())));
        });
    }

    /// An operator changes something by hand.
    pub fn edit(&self, now: Duration, hv: HvId, edit: Edit) {
        self.with(|state| state.edit(now, hv, edit));
    }

    /// A hypervisor sends a tunnel packet of its own making.
    pub fn rogue(&self, now: Duration, fault: &Fault) {
        self.with(|state| state.rogue(now, fault));
    }

    /// All ailments end.
    pub fn heal(&self, now: Duration) {
        let hvs: Vec<HvId> = self.with(|state| {
            let pairs: Vec<(HvId, HvId)> = state.weather.keys().copied().collect();
            for (from, to) in pairs {
                state.underlay.set_weather(tunnel_end(from), tunnel_end(to), None);
            }
            state.weather.clear();
            state.hypervisors.keys().copied().collect()
        });
        for hv in hvs {
            self.ail(hv, |ailments| *ailments = agent::Ailments::default());
            self.limit_tables(now, hv, None);
            self.cache_lag(now, hv, Duration::ZERO);
            self.with(|state| {
                let hypervisor = state.hypervisors.get_mut(&hv).expect("it is there");
                hypervisor.switch.server.faults = Default::default();
            });
        }
    }

    /// A switch's tables, one line for each flow and group; none if it has no bridge.
    pub fn tables(&self, hv: HvId) -> Lines {
        let mut state = self.state();
        state.running(hv).map_or_else(Lines::new, |running| {
            let program = running.bridge.program();
            let flows = program.tables.iter().map(|(_, entry)| &*entry.flow);
            lines::held(flows, program.groups.iter().map(|(id, entry)| (id, &*entry.group)))
        })
    }

    /// While this is the same, so are a switch's tables.
    pub fn version(&self, hv: HvId) -> Version {
        let mut state = self.state();
        let lives = state.hypervisors[&hv].switch.lives();
        Version { lives, changes: state.running(hv).map(|running| running.bridge.changes()) }
    }

    /// What a switch has been told so far.
    pub fn told(&self, hv: HvId) -> Told {
        let mut state = self.state();
        let counts = state.counts(hv);
        let switch = &state.hypervisors[&hv].switch;
        Told {
            flow_mods: counts.flow_mods,
            group_mods: counts.group_mods,
            transactions: switch.server.transactions,
            sessions: switch.sessions,
        }
    }

    /// What a switch's agents counted, those that are gone included.
    pub fn counts(&self, hv: HvId) -> agent::Counts {
        self.state().counts(hv)
    }
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

    fn guest(&mut self, now: Duration, act: GuestAct) {
        let address = |state: &State, vif: VifId, v6: bool| -> Option<IpAddr> {
            let vif = &state.guests.get(&vif)?.vif;
            Some(if v6 { vif.v6.into() } else { vif.v4.into() })
        };
        match act {
            GuestAct::Plug { .. } | GuestAct::Unplug { .. } => {}
            GuestAct::Ping { from, to, v6 } => {
                let Some(to) = address(self, to, v6) else { return };
                self.ping(now, from, to);
            }
            GuestAct::Udp { from, to, size } => {
                let Some(to) = address(self, to, false) else { return };
                self.guests.get_mut(&from).into_iter().for_each(|guest| guest.datagram(now, to, usize::from(size)));
            }
            GuestAct::Tcp { from, to, bytes } => {
                let Some(to) = address(self, to, false) else { return };
                self.guests.get_mut(&from).into_iter().for_each(|guest| guest.stream(now, to, bytes));
            }
            GuestAct::Announce { vif } => self.guests.get_mut(&vif).into_iter().for_each(Guest::announce),
            GuestAct::Spoof { from, victim, kind } => self.spoof(now, from, victim, kind),
            GuestAct::Reboot { vif } => self.guests.get_mut(&vif).into_iter().for_each(Guest::reboot),
        }
        self.poll_guests(now);
    }

    /// A guest pings an address; the ping's number.
    pub fn ping(&mut self, now: Duration, from: VifId, to: IpAddr) -> Option<u32> {
        let there = self.is_somewhere(from);
        let number = self.guests.get_mut(&from).filter(|_| there).map(|guest| guest.ping(now, to));
        self.poll_guests(now);
        number
    }

    /// A guest announces itself: who got the frames is asked by their tags.
    pub fn shout(&mut self, now: Duration, from: VifId) -> Vec<Tag> {
        let Some(guest) = self.guests.get_mut(&from) else { return Vec::new() };
        guest.announce();
        let frames = guest.poll(now);
        frames.into_iter().filter_map(|frame| self.guest_sends(now, from, frame)).collect()
    }

    fn spoof(&mut self, now: Duration, from: VifId, victim: VifId, kind: u8) {
        let (Some(own), Some(theirs)) = (self.guests.get(&from), self.guests.get(&victim)) else { return };
        let destinations: Vec<Mac> = self.guests.values().map(|guest| guest.vif.mac).chain([Mac::BROADCAST]).collect();
        let destination = destinations[self.rng.random_range(0..destinations.len())];
        let frame = spoof::frame(kind, &own.vif, &theirs.vif, destination);
        let tag = self.guest_sends(now, from, frame);
        self.spoofs.extend(tag.map(|tag| (tag, from)));
        self.settle_marks();
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

    fn edit(&mut self, now: Duration, hv: HvId, edit: Edit) {
        let Some(hypervisor) = self.hypervisors.get_mut(&hv).filter(|hypervisor| hypervisor.up) else { return };
        self.judge.meddled.insert(hv);
        let drop_all = |table| Flow {
            table,
            priority: 60_000,
            matching: Match::default(),
            cookie: 0xbad,
            actions: Vec::new(),
            idle_timeout: 0,
            hard_timeout: 0,
            flags: 0,
            importance: 0,
        };
        let by_hand = match edit {
            Edit::DeleteFlow(nth) => Some(agent::Edit::DeleteFlow(usize::from(nth))),
            Edit::DeleteAllFlows => Some(agent::Edit::DeleteAllFlows),
            Edit::AddDrop(table) => Some(agent::Edit::Add(drop_all(table))),
            Edit::EmptyGroup(nth) => Some(agent::Edit::EmptyGroup(usize::from(nth))),
            Edit::DeleteGroup(nth) => Some(agent::Edit::DeleteGroup(usize::from(nth))),
            Edit::FailMode | Edit::Controllers | Edit::DeleteTunnel(_) | Edit::DeleteBridge => None,
        };
        let of_bridge = json!([["name", "==", BRIDGE]]);
        let none = json!(["set", []]);
        let update = |row| json!({"op": "update", "table": "Bridge", "where": of_bridge, "row": row});
        let operations = match edit {
            Edit::FailMode => vec![update(json!({"fail_mode": none}))],
            Edit::Controllers => vec![update(json!({"controller": none}))],
            Edit::DeleteBridge => {
                vec![json!({"op": "update", "table": "Open_vSwitch", "where": [], "row": {"bridges": none}})]
            }
            Edit::DeleteTunnel(nth) => tunnel_deletion(hypervisor, nth),
            _ => Vec::new(),
        };
        if !operations.is_empty() {
            hypervisor.switch.transact(&operations);
        }
        if edit == Edit::DeleteBridge {
            // Ports went with the bridge: whoever runs the guests plugs them in again.
            let plugged: Vec<VifId> = hypervisor.plugged.iter().copied().collect();
            plugged.into_iter().for_each(|vif| _ = self.again.insert((vif, hv), now + PLUG_AGAIN));
        }
        if let (Some(by_hand), Some(running)) = (by_hand, self.running(hv)) {
            let Running { bridge, agent, .. } = running;
            agent.edit(now, bridge, by_hand);
        }
        self.step(hv, now, Input::Tick, None);
    }

    fn rogue(&mut self, now: Duration, fault: &Fault) {
        let Fault::RogueTunnel { from, to, encap, key, posing, victim, as_from } = *fault else { return };
        let (Some(own), Some(theirs)) = (self.guests.get(&posing), self.guests.get(&victim)) else { return };
        let inner = spoof::frame(1, &own.vif, &theirs.vif, theirs.vif.mac);
        let protocol = match encap {
            Encap::Geneve => Protocol::Geneve,
            Encap::Vxlan => Protocol::Vxlan,
            Encap::Gre => Protocol::Gre,
            Encap::Stt => Protocol::Stt,
        };
        let claimed = as_from.unwrap_or(from);
        let metadata = TunnelMetadata {
            id: u64::from(key),
            source: Some(tunnel_end(claimed)),
            destination: Some(tunnel_end(to)),
            ttl: 64,
            ..TunnelMetadata::default()
        };
        let sealed = Tunnels::default().encapsulate(&TunnelConfig::of_flows(protocol), &metadata, &inner);
        let tag = self.judge.made_up(Rogue { from, key, as_from: claimed, at: now });
        for packet in sealed.into_iter().flatten() {
            self.capture(now, true, &packet);
            self.underlay.send(now, Packet { tag: FabricTag(tag), bytes: packet });
        }
        self.rogues.push(tag);
        self.settle_marks();
    }
}

/// The transaction that deletes a tunnel port, by number among those there are.
fn tunnel_deletion(hypervisor: &Hypervisor, nth: u8) -> Vec<serde_json::Value> {
    let database = &hypervisor.switch.server.database;
    let is_tunnel = |uuid: &uuid::Uuid| {
        let kind = database.row("Interface", *uuid).and_then(|row| row["type"].text());
        kind.is_some_and(|kind| ["geneve", "vxlan", "gre", "stt"].contains(&kind))
    };
    let tunnels: Vec<uuid::Uuid> = database
        .rows("Port")
        .filter(|(_, port)| port["interfaces"].uuids().iter().any(is_tunnel))
        .map(|(uuid, _)| uuid)
        .collect();
    let Some(port) = tunnels.get(usize::from(nth) % tunnels.len().max(1)) else { return Vec::new() };
    let gone = json!(["set", [["uuid", port.to_string()]]]);
    vec![json!({"op": "mutate", "table": "Bridge", "where": [], "mutations": [["ports", "delete", gone]]})]
}

fn worse(weather: Weather, trouble: Trouble) -> Weather {
    let share = |percent: u8| f64::from(percent) / 100.0;
    match trouble {
        Trouble::Loss(percent) => Weather { loss: share(percent), ..weather },
        Trouble::Cut => Weather { cut: true, ..weather },
        Trouble::Duplicates(percent) => Weather { duplication: share(percent), ..weather },
        Trouble::Jitter(ms) => Weather { jitter: Duration::from_millis(u64::from(ms)), ..weather },
        Trouble::Mtu(mtu) => Weather { mtu, ..weather },
        Trouble::Grey(percent) => {
            Weather { grey: Some(Grey { flows: share(percent), loss: 1.0, salt: u64::from(percent) }), ..weather }
        }
    }
}

fn sum(one: agent::Counts, other: agent::Counts) -> agent::Counts {
    agent::Counts {
        flow_mods: one.flow_mods + other.flow_mods,
        group_mods: one.group_mods + other.group_mods,
        errors: one.errors + other.errors,
        bundles_expired: one.bundles_expired + other.bundles_expired,
        bundles_lost: one.bundles_lost + other.bundles_lost,
        stale: one.stale + other.stale,
        first_roles: one.first_roles + other.first_roles,
    }
}
