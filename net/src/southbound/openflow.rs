//! Drives one OpenFlow connection: the integration bridge of a transport node.
//!
//! Which bridge a connection is of is known by its datapath id, which OVSDB tells; so flows wait for the OVSDB session.
//! The rest is [`FlowSync`]'s; here its outcome is told to whoever waits for it. Start at [`drive`].

use super::admission::{Admission, Slot, TURN_MAX, Waiting};
use super::flow_sync::{FlowSync, Told};
use super::listen::{Guest, Southbound};
use super::pipe::{Pipe, Turn};
use super::refusals::Refusals;
use crate::controller::{Connection, Fed, Feed, Handle, Link, Protocol};
use crate::openflow::message::{AsyncConfig, AsyncKind, Features};
use crate::openflow::session::{Config, Event, SendError, Session};
use crate::runtime::{Moment, Runtime};
use selvedge_core::ids::{Epoch, NodeNumber};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use uuid::Uuid;

/// Names the problem that this driver reports.
const FLOWS: &str = "flows";
/// How long a connection waits for OVSDB to tell whose bridge it is.
const BRIDGE_MAX: Duration = Duration::from_secs(30);
/// All changes of roles: a mask of reasons.
const ALL_REASONS: u32 = 0b111;

/// Drives a connection until it ends.
pub(super) async fn drive<R: Runtime, S: AsyncRead + AsyncWrite + Send>(shared: &Southbound, guest: Guest<S>) {
    let Guest { node, peer, stream, .. } = guest;
    let handle = &shared.handle;
    let mut driver = Driver {
        handle: handle.clone(),
        node,
        link: handle.link(node, Protocol::OpenFlow),
        connection: Connection { peer, since: R::wall() },
        session: Session::new(Config { unasked: Some(unasked()), ..Config::default() }, R::now()),
        feed: Feed::default(),
        admission: shared.admission.clone(),
        stage: Stage::Greeting,
        refusals: Refusals::default(),
        disturbed: false,
    };
    let mut pipe = Pipe::new(stream);
    let why = driver.run::<R, S>(&mut pipe).await;
    // A peer that is gone does not need a goodbye.
    let _ = R::before(R::now() + Duration::from_secs(1), pipe.close()).await;
    driver.end();
    tracing::info!(%node, %peer, why, "OpenFlow session ended");
}

/// No packets, no ports: only whether somebody takes the switch from us, or changes groups, of which monitors of flows
/// say nothing.
fn unasked() -> AsyncConfig {
    let none = AsyncKind::ALL.into_iter().map(|kind| (kind, 0));
    let roles = [(AsyncKind::RoleStatusPrimary, ALL_REASONS), (AsyncKind::RoleStatusSecondary, ALL_REASONS)];
    let groups = [(AsyncKind::RequestForwardPrimary, 1 << REASON_GROUP)];
    AsyncConfig(none.chain(roles).chain(groups).collect::<BTreeMap<_, _>>())
}

/// `OFPRFR_GROUP_MOD`.
const REASON_GROUP: u32 = 0;

struct Driver {
    handle: Handle,
    node: Uuid,
    link: Link,
    connection: Connection,
    session: Session,
    feed: Feed,
    admission: Admission,
    stage: Stage,
    refusals: Refusals,
    /// Somebody else changed the flows, so that a difference is a repair.
    disturbed: bool,
}

/// How far a connection is.
enum Stage {
    /// The session is not up.
    Greeting,
    /// Up; another controller writes to the switch.
    StandsBy { datapath_id: String },
    /// Up; OVSDB has yet to tell whether it is of the integration bridge.
    WhichBridge { datapath_id: String, fence: u64, until: Duration },
    /// It is, and waits for its turn.
    Queues { waiting: Waiting, number: NodeNumber, epoch: Epoch },
    /// Flows are brought in step, which takes a turn, and kept there.
    Flows { sync: FlowSync, number: NodeNumber, epoch: Epoch, turn: Option<(Slot, Moment)> },
}

/// How a session came to its end.
type Ended = String;

fn not_sent(error: SendError) -> Ended {
    format!("a message could not be sent: {error}")
}

impl Driver {
    async fn run<R: Runtime, S: AsyncRead + AsyncWrite>(&mut self, pipe: &mut Pipe<S>) -> Ended {
        loop {
            if let Err(why) = self.events::<R>().and_then(|()| self.which_bridge_now()) {
                return why;
            }
            let waits = match &self.stage {
                Stage::WhichBridge { until, .. } => Some(*until),
                Stage::Greeting | Stage::StandsBy { .. } | Stage::Queues { .. } | Stage::Flows { .. } => None,
            };
            let turn_ends = match &self.stage {
                Stage::Flows { turn, .. } => turn.as_ref().map(|(_, until)| *until),
                _ => None,
            };
            let again = matches!(&self.stage, Stage::Flows { sync, .. } if sync.is_refusing());
            let again = self.refusals.until.filter(|_| again);
            let deadline = self.session.deadline().into_iter().chain(waits).chain(again).chain(turn_ends).min();
            let timer = async {
                match deadline {
                    Some(at) => R::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let takes_changes = matches!(&self.stage, Stage::Flows { sync, .. } if sync.in_step());
            let slot = async {
                match &mut self.stage {
                    Stage::Queues { waiting, .. } => waiting.turn().await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = timer => {
                    self.session.tick(R::now());
                    if waits.is_some_and(|until| until <= R::now()) {
                        return "OVSDB did not tell whether this is the integration bridge".to_string();
                    }
                    if turn_ends.is_some_and(|until| until <= R::now()) {
                        self.end_turn();
                    }
                    if again.is_some() && let Err(why) = self.try_again::<R>() {
                        return why;
                    }
                }
                () = self.link.woken() => if let Err(why) = self.woken::<R>() {
                    return why;
                },
                slot = slot => if let Err(why) = self.take_turn::<R>(slot) {
                    return why;
                },
                fed = self.feed.next(), if takes_changes => if let Err(why) = self.fed::<R>(fed) {
                    return why;
                },
                turn = pipe.turn(self.session.output()) => match turn {
                    Turn::Read(bytes) => self.session.receive(R::now(), bytes),
                    Turn::Wrote(count) => self.session.sent(count),
                    Turn::Flushed => {}
                    Turn::Closed => return "the switch closed the connection".to_string(),
                    Turn::Failed(error) => return format!("the connection failed: {error}"),
                },
            }
        }
    }

    /// Handles what the session has to say.
    fn events<R: Runtime>(&mut self) -> Result<(), Ended> {
        while let Some(event) = self.session.next_event() {
            match event {
                Event::Up(features) => self.up::<R>(features),
                Event::Closed(reason) => return Err(reason.to_string()),
                Event::Message(message) => {
                    let Stage::Flows { sync, .. } = &mut self.stage else { continue };
                    let told = sync.message(&mut self.session, &message).map_err(not_sent)?;
                    self.told::<R>(told)?;
                }
            }
        }
        Ok(())
    }

    fn up<R: Runtime>(&mut self, features: Features) {
        let datapath_id = format!("{:016x}", features.datapath_id);
        self.handle.node(self.node, |state| state.has_openflow = true);
        self.stage = match self.handle.read(|state| state.drives(self.node)) {
            true => self.which_bridge::<R>(datapath_id),
            false => Stage::StandsBy { datapath_id },
        };
    }

    /// This controller writes to the switch from now on, as soon as OVSDB has told what that needs.
    fn which_bridge<R: Runtime>(&self, datapath_id: String) -> Stage {
        // Without a node there is nothing to wait for, and that is found next.
        let fence = self.handle.ask_fence(self.node).unwrap_or_default();
        Stage::WhichBridge { datapath_id, fence, until: R::now() + BRIDGE_MAX }
    }

    /// The node's configuration or master changed, or another connection took this one's place.
    fn woken<R: Runtime>(&mut self) -> Result<(), Ended> {
        if self.link.replaced() {
            return Err("the switch connected anew".to_string());
        }
        let now = self.handle.read(|state| {
            let epoch = state.nib.nodes().get(&self.node).map(|record| record.epoch)?;
            Some((epoch, state.drives(self.node)))
        });
        let Some((now, is_ours)) = now else { return Err("the transport node was deleted".to_string()) };
        match &self.stage {
            Stage::Queues { epoch, .. } | Stage::Flows { epoch, .. } if *epoch != now => {
                return Err("the node has a new master".to_string());
            }
            Stage::WhichBridge { datapath_id, .. } if !is_ours => {
                self.stage = Stage::StandsBy { datapath_id: datapath_id.clone() };
            }
            Stage::StandsBy { datapath_id } if is_ours => self.stage = self.which_bridge::<R>(datapath_id.clone()),
            Stage::Greeting
            | Stage::StandsBy { .. }
            | Stage::WhichBridge { .. }
            | Stage::Queues { .. }
            | Stage::Flows { .. } => {}
        }
        Ok(())
    }

    /// Joins the queue, if OVSDB has told that this is the integration bridge's connection, and the fence has passed. If
    /// not, the link is woken when that changes.
    fn which_bridge_now(&mut self) -> Result<(), Ended> {
        let Stage::WhichBridge { datapath_id, fence, .. } = &self.stage else { return Ok(()) };
        let known = self.handle.read(|state| {
            let known = state.nodes.get(&self.node).filter(|known| known.fences.has_passed(*fence))?;
            let record = state.nib.nodes().get(&self.node)?;
            Some((known.datapath_id.clone()?, record.number, record.epoch))
        });
        let Some((wanted, number, epoch)) = known else { return Ok(()) };
        if wanted != *datapath_id {
            return Err(format!("datapath {datapath_id} is not the integration bridge, which is {wanted}"));
        }
        self.stage = Stage::Queues { waiting: self.admission.enter(), number, epoch };
        Ok(())
    }

    fn take_turn<R: Runtime>(&mut self, slot: Slot) -> Result<(), Ended> {
        let Stage::Queues { number, epoch, .. } = self.stage else { return Ok(()) };
        let sync = FlowSync::start(&mut self.session, epoch).map_err(not_sent)?;
        self.stage = Stage::Flows { sync, number, epoch, turn: Some((slot, R::now() + TURN_MAX)) };
        tracing::info!(node = %self.node, peer = %self.connection.peer, "OpenFlow session began");
        self.handle.node(self.node, |state| {
            state.own.openflow = Some(self.connection.clone());
            state.own.counters.openflow_sessions += 1;
        });
        Ok(())
    }

    /// Others need not wait any longer.
    fn end_turn(&mut self) {
        if let Stage::Flows { turn, .. } = &mut self.stage {
            *turn = None;
        }
    }

    fn fed<R: Runtime>(&mut self, fed: Fed) -> Result<(), Ended> {
        match fed {
            Fed::Ended => Err("another connection of the node has its flows".to_string()),
            Fed::Change(parcel, up_to) => {
                let Stage::Flows { sync, .. } = &mut self.stage else { return Ok(()) };
                let scripts = parcel.scripts().map_err(|error| not_sent(error.into()))?;
                let told = sync.change(&mut self.session, scripts, up_to).map_err(not_sent)?;
                self.told::<R>(told)
            }
        }
    }

    /// Asks a switch that refused a change what it holds, if its pause is over.
    fn try_again<R: Runtime>(&mut self) -> Result<(), Ended> {
        let Stage::Flows { sync, .. } = &mut self.stage else { return Ok(()) };
        match self.refusals.may_try(R::now()) {
            true => sync.ask(&mut self.session).map_err(not_sent),
            false => Ok(()),
        }
    }

    /// Does what the machine asks for, until it asks for nothing.
    fn told<R: Runtime>(&mut self, mut told: Option<Told>) -> Result<(), Ended> {
        while let Some(now) = told.take() {
            let Stage::Flows { sync, number, .. } = &mut self.stage else { return Ok(()) };
            match now {
                Told::Compare => {
                    let (desired, at) = self.handle.in_step(*number, &self.feed);
                    let (difference, next) = sync.compare(&mut self.session, &desired, at).map_err(not_sent)?;
                    told = next;
                    if std::mem::take(&mut self.disturbed) && !difference.is_none() {
                        tracing::warn!(node = %self.node, %difference, "flows were changed by somebody else; repairing");
                        self.handle.node(self.node, |state| state.repaired(R::wall(), format!("flows: {difference}")));
                    } else {
                        tracing::info!(node = %self.node, %difference, revision = at.0, "flows compared");
                    }
                }
                Told::Done { flows, groups } => {
                    self.refusals = Refusals::default();
                    self.handle.node(self.node, |state| {
                        state.own.counters.bundles += 1;
                        state.own.counters.flow_mods += flows as u64;
                        state.own.counters.group_mods += groups as u64;
                    });
                    told = sync.go_on(&mut self.session).map_err(not_sent)?;
                }
                Told::Holds(revision) => {
                    self.end_turn();
                    tracing::debug!(node = %self.node, revision = revision.0, "the switch holds the configuration");
                    _ = self.handle.node(self.node, |state| {
                        state.own.problems.remove(FLOWS);
                        state.progress.get_or_insert_default().confirmed(revision);
                    })
                }
                Told::Disturbed => self.disturbed = true,
                Told::Refused(why) => {
                    self.end_turn();
                    self.refusals.refused(R::now());
                    self.problem(why);
                }
                Told::Fenced(why) => {
                    self.problem(why.clone());
                    return Err(why);
                }
            }
        }
        Ok(())
    }

    fn problem(&self, why: String) {
        tracing::warn!(node = %self.node, why, "the switch's flows are not as they should be");
        self.handle.node(self.node, |state| state.own.problems.insert(FLOWS.into(), why));
    }

    fn end(&self) {
        if let Stage::Flows { number, .. } = &self.stage {
            self.handle.out_of_step(*number, &self.feed);
        }
        if self.handle.unlink(self.node, Protocol::OpenFlow, &self.link) {
            self.handle.node(self.node, |state| (state.own.openflow, state.has_openflow) = (None, false));
        }
    }
}
