//! Plays a plan on a stage: applies its steps, ends its faults, heals, and asks for what must hold.
//!
//! Time passes in slices; between them the director looks: at answers to requests, at what the controller says is
//! realised, at processes that ended. A run has three parts: the plan's steps, under whatever faults they are; then all
//! faults end and everything must converge; then what may talk must be able to, and nothing more may happen.
//! Start at [`play`].

use super::checks;
use super::client::{self, Answers, Call, Ended};
use super::controller::{API_PORT, OPENFLOW_PORT, OVSDB_PORT, software};
use super::controllers::Controllers;
use super::faults::Running;
use super::intent::Intent;
use super::plant::Plant;
use super::report::{Mark, Report};
use crate::disk::SimDisk;
use crate::fabric::{site, underlay};
use crate::logical::VifId;
use crate::oracles::{Violation, recovery};
use crate::plan::{Act, Encap, GuestAct, HvId, Plan, Request};
use crate::stage::{Path, Stage, Stop};
use crate::window::Seat;
use hyper::Method;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use selvedge_core::ids::Revision;
use selvedge_net::controller::Handle;
use selvedge_net::runtime::{Moment, Runtime};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::sync::mpsc;
use uuid::Uuid;

/// The clients' host.
pub const CLIENT: &str = "client";
/// The host on which the physical world is kept going: no part of the product runs there.
const PLANT: &str = "plant";
/// In so long controllers must have become a cluster, before a plan begins.
const FORM_MAX: Duration = Duration::from_secs(60);
/// Longest time between two looks.
const SLICE: Duration = Duration::from_millis(100);
/// Longest time in which the world must converge after the end of all faults.
const CONVERGE_MAX: Duration = Duration::from_secs(300);
/// How long the controller waits for answers before it gives up a session, and some more.
const ANSWERS_MAX: Duration = Duration::from_secs(45);
/// How long nothing may happen at the end.
const QUIET: Duration = Duration::from_secs(30);
/// How long the whole of a run lasts at least, which is what a seed is.
const RUN_MIN: Duration = Duration::from_secs(600);
/// How many clients there are.
const CLIENTS: u64 = 3;

/// Lies that the simulated world tells when it is asked to, to see that the oracles notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lie {
    /// The disk says that it synced, and did not.
    Sync,
    /// Frames of one guest are delivered to another as well.
    Leak,
    /// The underlay delivers packets twice, and does not say so.
    Twice,
}

impl Lie {
    /// All of them.
    pub const ALL: [Lie; 3] = [Lie::Sync, Lie::Leak, Lie::Twice];
}

/// How to play.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Keep packets for a capture file.
    pub capture: bool,
    /// Keep what the hash is made of, where the stage can.
    pub trace: bool,
    /// What the world lies about.
    pub lie: Option<Lie>,
}

/// A hypervisor's host.
pub fn host_of(hv: HvId) -> String {
    hv.to_string()
}

fn address_of(hv: HvId) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10 + hv.0 as u8))
}

/// The segments that hypervisors' tunnels end on: even ones on the first, odd ones on the second.
pub const SEGMENTS: [Ipv4Addr; 2] = [Ipv4Addr::new(198, 51, 100, 0), Ipv4Addr::new(203, 0, 113, 0)];
/// The last byte of the first hypervisor's address on a segment.
const FIRST_TUNNEL: u16 = 10;

/// Where a hypervisor's tunnels end.
pub fn tunnel_address(hv: HvId) -> Ipv4Addr {
    let [a, b, c, _] = SEGMENTS[usize::from(hv.0 % 2)].octets();
    let last = u8::try_from(FIRST_TUNNEL + hv.0 / 2).expect("a simulated world has fewer than 490 hypervisors");
    Ipv4Addr::new(a, b, c, last)
}

/// The same, of either version.
pub fn tunnel_end(hv: HvId) -> IpAddr {
    tunnel_address(hv).into()
}

/// Whose tunnels end there.
pub fn hypervisor_at(address: IpAddr) -> Option<HvId> {
    let IpAddr::V4(v4) = address else { return None };
    let [_, _, _, last] = v4.octets();
    let half = u16::from(last).checked_sub(FIRST_TUNNEL)?;
    [HvId(half * 2), HvId(half * 2 + 1)].into_iter().find(|hv| tunnel_address(*hv) == v4)
}

/// Plays a plan. What is wrong is in the report.
pub async fn play<S: Stage>(stage: &mut S, plan: &Plan, options: &Options) -> Report {
    let mut director = Director::new(stage, plan, options);
    director.prepare().await;
    director.steps().await;
    director.heal();
    director.converge().await;
    if director.report.violations.is_empty() && director.plant.judge(|judge| judge.violations.is_empty()) {
        director.talk().await;
        director.rest().await;
    }
    director.end()
}

/// Whether a controller answered as none should. One whose disk failed says that it is stopping, and one of several that there is
/// no majority.
fn is_breakdown(ended: &Ended, is_one: bool) -> bool {
    match ended {
        Ended::Answered { status: 503, body, .. } => {
            body["code"] != "STOPPING" && (is_one || body["code"] != "NO_LEADER")
        }
        Ended::Answered { status, .. } => *status >= 500,
        Ended::NotSent(_) | Ended::Unknown(_) => false,
    }
}

/// A run under way.
pub(super) struct Director<'a, S: Stage> {
    pub stage: &'a mut S,
    pub plan: &'a Plan,
    pub plant: Plant,
    pub controllers: Controllers,
    pub report: Report,
    pub intent: Intent,
    pub running: Running,
    clients: Vec<mpsc::UnboundedSender<Call>>,
    answers: Answers,
    /// What answers to calls of the harness itself said, by call.
    own: BTreeMap<u64, Ended>,
    /// Guests that went from a hypervisor, which the controller has yet to notice and make known.
    going: BTreeMap<(VifId, HvId), Option<u64>>,
    pub checks: checks::Checks,
    /// Calls of the harness have numbers from here on.
    next_own: u64,
}

const OWN_CALLS: u64 = 1 << 32;

impl<'a, S: Stage> Director<'a, S> {
    fn new(stage: &'a mut S, plan: &'a Plan, options: &'a Options) -> Director<'a, S> {
        let plant = Plant::new(plan, options);
        let controllers = Controllers::new(plan, options.lie);
        let report = Report { name: plan.name.clone(), seed: plan.seed, ..Report::default() };
        Director {
            stage,
            plan,
            plant,
            controllers,
            report,
            intent: Intent::default(),
            running: Running::default(),
            clients: Vec::new(),
            answers: Answers::default(),
            own: BTreeMap::new(),
            going: BTreeMap::new(),
            checks: checks::Checks::new(plan),
            next_own: OWN_CALLS,
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.stage.now()
    }

    /// All hypervisors.
    pub(super) fn hvs(&self) -> impl Iterator<Item = HvId> + use<S> {
        (0..self.plan.setup.hypervisors).map(HvId)
    }

    /// Hosts, their software, and what must be configured before a plan begins.
    async fn prepare(&mut self) {
        for seat in self.controllers.seats() {
            self.stage.add(&seat.to_string(), seat.address());
        }
        self.stage.add(CLIENT, IpAddr::V4(Ipv4Addr::new(192, 0, 2, 200)));
        self.stage.add(PLANT, IpAddr::V4(Ipv4Addr::new(192, 0, 2, 201)));
        for hv in self.hvs() {
            self.stage.add(&host_of(hv), address_of(hv));
        }
        self.controllers.seats().for_each(|seat| self.boot_controller(seat));
        self.boot_clients();
        let plant = self.plant.clone();
        self.stage.boot(PLANT, Box::pin(async move { plant.beat::<S::Runtime>().await }));
        self.wait(Duration::from_millis(200)).await;
        while !self.controllers.is_one() && !self.controllers.are_whole() {
            assert!(self.now() < FORM_MAX, "controllers become a cluster in {FORM_MAX:?}");
            self.wait(SLICE).await;
        }
        let zone = self.ask(Method::POST, "/ws.v1/transport-zone", json!({"display_name": "fabric"})).await;
        let zone = zone["uuid"].as_str().unwrap_or_default().to_string();
        self.intent.zone(zone.clone());
        for hv in self.hvs() {
            let connector = |encap: Encap| {
                let ip = tunnel_end(hv).to_string();
                json!({"type": encap.connector(), "transport_zone_uuid": zone, "ip_address": ip})
            };
            let body = json!({
                "display_name": hv.to_string(),
                "admin_status_enabled": true,
                "credential": {"type": "MgmtAddrCredential", "mgmt_address": address_of(hv).to_string()},
                "transport_connectors": Encap::ALL.map(connector),
            });
            let node = self.ask(Method::POST, "/ws.v1/transport-node", body.clone()).await;
            let uuid = node["uuid"].as_str().unwrap_or_default().to_string();
            assert!(!uuid.is_empty(), "the controller takes transport nodes: {node}");
            self.intent.node(hv, uuid, body);
            self.boot_hypervisor(hv);
        }
    }

    /// Bytes that are no protocol, from a hypervisor's address.
    pub(super) fn garbage(&mut self, hv: HvId, ovsdb: bool, seed: u32) {
        let port = if ovsdb { OVSDB_PORT } else { OPENFLOW_PORT };
        let mut rng = ChaCha8Rng::seed_from_u64(u64::from(seed));
        let mut bytes = vec![0; rng.random_range(1..2_000)];
        rng.fill_bytes(&mut bytes);
        // Half of them begin as the protocol does, so that they get further.
        match (seed % 2, ovsdb) {
            (0, true) => bytes.splice(..0, *br#"{"id":null,"method":"update","params":["#).for_each(drop),
            (0, false) => bytes.splice(..0, [6, 0, 0, 8, 0, 0, 0, 1, 6, 19, 0, 24]).for_each(drop),
            _ => {}
        }
        self.report.marks.insert(Mark::GarbageSent);
        let whom = Seat(seed as usize / 2 % self.controllers.seats().count());
        self.plant.garbage(hv, SocketAddr::new(whom.address(), port), bytes);
    }

    pub(super) fn boot_controller(&mut self, seat: Seat) {
        let place = self.controllers.place(seat, self.plan);
        let controller = self.controllers.of(seat);
        let software = software::<S::Runtime, _>(place, controller.disk.clone(), controller.window.clone());
        self.stage.boot(&seat.to_string(), Box::pin(software));
    }

    fn boot_clients(&mut self) {
        let mut receivers = Vec::new();
        // With several controllers each client has another.
        let seats: Vec<Seat> = self.controllers.seats().collect();
        for (_, seat) in (0..CLIENTS).zip(seats.iter().cycle()) {
            let (sender, receiver) = mpsc::unbounded_channel();
            self.clients.push(sender);
            receivers.push((SocketAddr::new(seat.address(), API_PORT), receiver));
        }
        let answers = self.answers.clone();
        self.stage.boot(
            CLIENT,
            Box::pin(async move {
                for (api, receiver) in receivers {
                    let client = client::run::<S::Runtime>(api, receiver, answers.clone());
                    S::Runtime::spawn("api client", client);
                }
            }),
        );
    }

    /// A hypervisor's host comes up, with its switch on it.
    pub(super) fn boot_hypervisor(&mut self, hv: HvId) {
        // It is told of one, and of the others by that one.
        let seat = Seat(usize::from(hv.0) % self.controllers.seats().count());
        let manager = format!("tcp:{}:{OVSDB_PORT}", seat.address());
        self.plant.power_on(self.stage.now(), hv, &manager);
        let plant = self.plant.clone();
        self.stage.boot(&host_of(hv), Box::pin(async move { plant.carry::<S::Runtime>(hv).await }));
    }

    /// Asks something for the harness itself, of a world in which nothing fails yet or any more.
    pub(super) async fn ask(&mut self, method: Method, path: &str, body: Value) -> Value {
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let mut last = "no answer".to_string();
        // What only reads may be asked again: a connection that an earlier fault broke is noticed by using it.
        let attempts = if method == Method::GET { 2 * CLIENTS } else { 1 };
        for _ in 0..attempts {
            self.next_own += 1;
            let id = self.next_own;
            self.call(Call { id, method: method.clone(), path: path.to_string(), body: bytes.clone() });
            match self.answer_to(id).await {
                Some(Ended::Answered { body, .. }) => return body,
                Some(Ended::NotSent(why) | Ended::Unknown(why)) => last = why,
                None => {}
            }
        }
        json!({"error": last})
    }

    /// How a call of the harness itself ended, if it did within 20 seconds.
    async fn answer_to(&mut self, id: u64) -> Option<Ended> {
        for _ in 0..200 {
            self.wait(SLICE).await;
            if let Some(ended) = self.own.remove(&id) {
                return Some(ended);
            }
        }
        None
    }

    fn call(&mut self, call: Call) {
        tracing::info!(target: "api", id = call.id, "{} {} {}", call.method, call.path, String::from_utf8_lossy(&call.body));
        let client = &self.clients[(call.id % CLIENTS) as usize];
        // Clients live as long as their host, which nobody takes down.
        let _ = client.send(call);
    }

    /// Lets time pass, looking now and then.
    pub(super) async fn wait(&mut self, span: Duration) {
        let until = self.now() + span;
        self.pass_until(until).await;
    }

    async fn pass_until(&mut self, until: Moment) {
        while self.now() < until {
            let next = self.running.next().into_iter().chain([until, self.now() + SLICE]).min();
            self.stage.run_until(next.expect("there is one").max(self.now())).await;
            self.look();
            self.end_faults();
        }
    }

    /// The plan's steps, in order.
    async fn steps(&mut self) {
        let plan = self.plan;
        for step in &plan.steps {
            self.pass_until(Duration::from_millis(step.at_ms)).await;
            if self.gave_up() {
                return;
            }
            tracing::info!(target: "plan", "{}", step.act);
            match &step.act {
                Act::Api(request) => self.request(request),
                Act::Guest(act) => self.guest(*act),
                Act::Fault(fault) => {
                    *self.report.faults.entry(fault.id()).or_default() += 1;
                    self.apply(fault);
                }
            }
        }
        self.pass_until(Duration::from_millis(plan.heal_at_ms)).await;
    }

    /// Enough is wrong to stop.
    fn gave_up(&self) -> bool {
        self.plant.judge(|judge| judge.violations.len()) + self.report.violations.len() > 10
    }

    fn request(&mut self, request: &Request) {
        let now = self.now();
        if let Request::Malformed(kind) = request {
            self.next_own += 1;
            let call = super::malformed::call(self.next_own, *kind);
            return self.call(call);
        }
        if let Request::SetNode { enabled: false, hypervisor } = request {
            self.report.marks.insert(Mark::NodeDisabled);
            // What is out of service may hold what is old: nobody waits for it.
            self.plant.judge(|judge| _ = judge.unserved.insert(*hypervisor));
        }
        let intent = &mut self.intent;
        let call = self.plant.judge(|judge| intent.ask(now, request, &mut judge.history));
        if let Some(call) = call {
            self.call(call);
        }
    }

    fn guest(&mut self, act: GuestAct) {
        let now = self.now();
        match act {
            GuestAct::Plug { vif, on } => {
                if self.plant.look(|state| state.places_of(vif).iter().any(|place| *place != on)) {
                    self.report.marks.insert(Mark::TwoPlaces);
                }
                if !self.intent.ports().values().any(|port| port.vif == Some(vif)) {
                    self.report.marks.insert(Mark::PluggedBeforeConfigured);
                }
                self.going.remove(&(vif, on));
                self.plant.plug(now, vif, on);
            }
            GuestAct::Unplug { vif, from } => {
                if self.plant.unplug(now, vif, from) {
                    self.going.insert((vif, from), None);
                }
            }
            other => self.plant.guest(now, other),
        }
    }

    /// Looks at everything that may have happened since the last look.
    fn look(&mut self) {
        self.controllers.seats().for_each(|seat| self.look_at_controller(seat));
        let marks = self.controllers.look();
        self.report.marks.extend(marks);
        self.look_at_answers();
        let now = self.now();
        match self.controllers.newest() {
            Some(newest) => {
                self.look_at_realisation(&newest);
                let up = self.controllers.up();
                self.checks.sometimes(now, &newest, &up, &self.intent, &self.plant, &mut self.report);
            }
            None => {
                let good = self.hvs().filter(|hv| !self.running.has_path(&host_of(*hv))).collect();
                self.checks.without_controller(now, &good, &self.plant);
            }
        }
        self.plant.judge(|judge| judge.forget(now));
    }

    /// Has a controller's process ended, its power gone, or is it up again?
    fn look_at_controller(&mut self, seat: Seat) {
        let now = self.now();
        let (window, disk) = {
            let controller = self.controllers.of(seat);
            (controller.window.clone(), controller.disk.clone())
        };
        let ended = window.take_ended();
        if let Some(why) = &ended {
            tracing::info!(%seat, why, "the controller's process ended");
        }
        // Without power the process ends too, but that is not how its disk is left.
        if ended.is_some() && !disk.is_dark() {
            self.report.marks.insert(Mark::StoppedOnDiskError);
            self.controller_down(seat, Stop::Kill);
            self.running.controller_restarts(now + Duration::from_secs(2), seat);
        }
        if disk.is_dark() {
            self.report.marks.insert(Mark::RecoveredFromPowerCut);
            self.controller_down(seat, Stop::PowerCut);
            let dark_for = self.controllers.of_mut(seat).dark_for.take();
            self.running.controller_restarts(now + dark_for.unwrap_or(Duration::from_secs(1)), seat);
        }
        if let (false, Some(handle)) = (self.controllers.of(seat).was_up, window.handle()) {
            self.controllers.of_mut(seat).was_up = true;
            if window.began_with_snapshot() {
                self.report.marks.insert(Mark::SnapshotReplayed);
            }
            // One of several may have missed what was acknowledged by others, and asks them before it answers.
            if self.controllers.is_one() {
                let recovered = handle.read(|state| state.nib.revision().0);
                let lost = recovery::judge(now, self.intent.generation, recovered);
                self.report.violations.extend(lost);
            }
            self.checks.controller_up();
        }
    }

    /// Takes a controller down, if it is up.
    pub(super) fn controller_down(&mut self, seat: Seat, how: Stop) {
        self.stage.stop(&seat.to_string(), how);
        let controller = self.controllers.of_mut(seat);
        controller.window.close();
        controller.was_up = false;
        match how {
            Stop::Kill => controller.disk.killed(),
            Stop::PowerCut => controller.disk.crash(),
        }
        if self.controllers.up().is_empty() {
            let now = self.now();
            self.checks.controller_down(now);
        }
    }

    fn look_at_answers(&mut self) {
        let answers = std::mem::take(&mut *self.answers.lock().expect("no holder panics"));
        for answer in answers {
            tracing::info!(target: "api", id = answer.id, "{}", answer.ended);
            if answer.id > OWN_CALLS {
                if is_breakdown(&answer.ended, self.controllers.is_one()) {
                    let what = format!("a request was answered {:?}", answer.ended);
                    self.report.violations.push(Violation::new("A5", answer.at, what));
                }
                self.own.insert(answer.id, answer.ended);
                continue;
            }
            let before = self.intent.counts;
            let intent = &mut self.intent;
            let violations = self.plant.judge(|judge| intent.answered(&answer, &mut judge.history));
            self.report.violations.extend(violations);
            if self.intent.counts.refused > before.refused {
                self.report.marks.insert(Mark::RequestRefused);
            }
        }
        let now = self.now();
        for call in self.intent.look(now) {
            self.call(call);
        }
        self.report.marks.extend(self.intent.take_marks());
    }

    /// What is said to be realised makes what it replaced unlawful.
    fn look_at_realisation(&mut self, handle: &Handle) {
        let now = self.now();
        let (intent, going) = (&self.intent, &mut self.going);
        let (revision, nobody_late) = handle.read(|state| {
            let revision = state.nib.revision();
            for ((vif, hv), noticed) in going.iter_mut().filter(|(_, noticed)| noticed.is_none()) {
                let node = intent.node_uuid(*hv).and_then(|uuid| uuid.parse::<Uuid>().ok());
                let node = node.and_then(|uuid| state.nib.nodes().get(&uuid));
                if !node.is_some_and(|node| node.vifs.contains(&vif.to_string())) {
                    *noticed = Some(revision.0);
                }
            }
            (revision, state.late(Revision(0), revision).is_empty())
        });
        if !nobody_late {
            return;
        }
        let gone: Vec<(VifId, HvId)> = self
            .going
            .iter()
            .filter(|(_, noticed)| noticed.is_some_and(|at| at <= revision.0))
            .map(|(place, _)| *place)
            .collect();
        tracing::debug!(revision = revision.0, "said to be realised everywhere");
        let intent = &mut self.intent;
        self.plant.judge(|judge| {
            intent.realised(now, revision.0, &mut judge.history);
            for place in &gone {
                judge.places.entry(*place).or_default().holds(now, None);
            }
        });
        gone.iter().for_each(|place| _ = self.going.remove(place));
    }

    /// All faults end, and everything that is down comes up.
    fn heal(&mut self) {
        let running = std::mem::take(&mut self.running);
        running.all().into_iter().for_each(|end| self.undo(end));
        let now = self.now();
        let seats: Vec<Seat> = self.controllers.seats().collect();
        let others = self.hvs().map(host_of).chain([CLIENT.to_string()]);
        let names: Vec<String> = others.chain(seats.iter().map(Seat::to_string)).collect();
        for seat in &seats {
            let own = seat.to_string();
            for name in names.iter().filter(|name| **name != own) {
                self.stage.path(name, &own, Path::default());
                self.stage.path(&own, name, Path::default());
            }
        }
        self.plant.heal(now);
        for seat in seats {
            for trouble in [SimDisk::set_full, SimDisk::set_read_only, SimDisk::fail_sync] {
                trouble(&self.controllers.of(seat).disk, false);
            }
            if self.stage.can(crate::stage::Ability::Clocks) {
                self.stage.clock(&seat.to_string(), 0, 0);
            }
            if !self.controllers.of(seat).was_up && self.controllers.of(seat).window.handle().is_none() {
                self.controller_down(seat, Stop::Kill);
                self.boot_controller(seat);
            }
        }
    }

    /// Everything must come to what it should be.
    async fn converge(&mut self) {
        let began = self.now();
        let mut pending = Vec::new();
        while self.now() < began + CONVERGE_MAX {
            self.wait(Duration::from_millis(500)).await;
            pending = checks::pending(self);
            if pending.is_empty() {
                self.report.converged_after = Some(self.now() - began);
                self.report.marks.insert(Mark::Converged);
                return;
            }
        }
        const SAID_MAX: usize = 5;
        let more = pending.len().saturating_sub(SAID_MAX);
        pending.truncate(SAID_MAX);
        if more > 0 {
            pending.push(format!("and {more} more"));
        }
        let what = format!("{CONVERGE_MAX:?} after all faults ended: {}", pending.join("; "));
        self.report.violations.push(Violation::new("L2", self.now(), what));
    }

    /// Who may talk must be able to; what is there must be what was asked for.
    async fn talk(&mut self) {
        checks::everything(self).await;
    }

    /// Nothing more happens, once answers that faults swallowed are not waited for any more.
    async fn rest(&mut self) {
        self.pass_until(Duration::from_millis(self.plan.heal_at_ms) + ANSWERS_MAX).await;
        let before: Vec<_> = self.hvs().map(|hv| (hv, self.plant.told(hv))).collect();
        self.wait(QUIET).await;
        let now = self.now();
        for (hv, before) in before {
            self.report.violations.extend(crate::oracles::quiet::judge(now, hv, before, self.plant.told(hv)));
        }
        if self.now() < RUN_MIN {
            self.pass_until(RUN_MIN).await;
        }
    }

    fn end(mut self) -> Report {
        self.report.simulated = self.now();
        self.report.requests = self.intent.counts;
        self.report.disk = self.controllers.fired();
        self.plant.with(|state| {
            self.report.violations.append(&mut state.judge.violations);
            self.report.frames = state.judge.judged;
            self.report.marks.extend(state.marks.iter().copied());
            self.report.pings = state.pings();
            self.report.packets = std::mem::take(&mut state.captured);
        });
        self.report.violations.sort_by_key(|violation| violation.at);
        self.count_marks();
        self.report
    }

    /// What the machines counted, as marks.
    fn count_marks(&mut self) {
        let (packets, frames) =
            self.plant.look(|state| (state.underlay().counts().clone(), state.underlay().site_counts()));
        let reached = [
            (Mark::FragmentsReassembled, packets.of(underlay::Event::Reassembled) > 0),
            (Mark::UnderlayFlooded, frames.of(site::Event::Flooded) > 0),
            (Mark::UnderlayCircled, frames.of(site::Event::Circled) > 0),
            (Mark::TunnelPacketStolen, frames.of(site::Event::Stolen) > 0),
            // The first takes over when the world begins.
            (Mark::RouterTookOver, frames.of(site::Event::TookOver) > 1),
        ];
        self.report.marks.extend(reached.into_iter().filter(|(_, so)| *so).map(|(mark, _)| mark));
        for hv in self.hvs() {
            let counts = self.plant.counts(hv);
            let lost = self.plant.look(|state| state.hypervisors[&hv].switch.server.lost);
            let reached = [
                (Mark::RoleAssertedAfterRestart, counts.first_roles > 1),
                (Mark::ModificationRefused, counts.errors > 0),
                (Mark::BundleExpired, counts.bundles_expired > 0),
                (Mark::BundleLost, counts.bundles_lost > 0),
                (Mark::ControllerFoundDead, counts.found_dead > 0),
                (Mark::ReplyLost, lost.0 > 0),
                (Mark::TransactionRefused, lost.1 > 0),
            ];
            self.report.marks.extend(reached.into_iter().filter(|(_, so)| *so).map(|(mark, _)| mark));
        }
    }
}
