//! Drives one OVSDB connection: observes a transport node, and keeps its configuration as it should be.
//!
//! After every change (of its database, or of what is wanted of it) the node is looked at as a whole: what it reports
//! becomes an observation in the NIB, and what differs from what it should be becomes one transaction. Nothing is
//! remembered of earlier looks but what an operator would call a repair. Start at [`drive`].

use super::listen::{Guest, Southbound};
use super::pipe::{Pipe, Turn};
use super::questions::Questions;
use super::refusals::Refusals;
use crate::controller::{Connection, Handle, Link, Protocol, SubmitError};
use crate::ovsdb::operation::{Operation, TransactError, Transaction};
use crate::ovsdb::plan::{self, DesiredSwitch, DesiredTunnel, Plan};
use crate::ovsdb::session::{Event, Limits, Session, TransactionId};
use crate::ovsdb::vswitch::{DATABASE, SCHEMA, Vif, Vswitch, vifs};
use crate::runtime::{Moment, Runtime};
use selvedge_core::compile::tunnel_port;
use selvedge_core::ids::OfPort;
use selvedge_core::nib::{Command, Encap, Nib, NodeRecord, ObservedVif, Refusal};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use uuid::Uuid;

/// Names the problems that this driver reports.
const CONFIGURATION: &str = "configuration";
const TUNNELS: &str = "tunnels";

/// Drives a connection until it ends.
pub(super) async fn drive<R: Runtime, S: AsyncRead + AsyncWrite + Send>(shared: &Southbound, guest: Guest<S>) {
    let Guest { node, peer, local, encrypted, stream } = guest;
    let handle = &shared.handle;
    let link = handle.link(node, Protocol::Ovsdb);
    handle.node(node, |state| {
        state.own.ovsdb = Some(Connection { peer, since: R::wall() });
        state.datapath_id = None;
        state.own.counters.ovsdb_sessions += 1;
    });
    tracing::info!(%node, %peer, "OVSDB session began");
    let (openflow, way) = match encrypted {
        true => (shared.openflow_port, "TLS"),
        false => (shared.openflow_plain_port, "plain TCP"),
    };
    let openflow = openflow.map(|port| with_port(local, port));
    let openflow = openflow.ok_or_else(|| format!("OVSDB came over {way}, but there is no such OpenFlow port"));
    let session = Session::new(R::now(), Limits::default(), &SCHEMA);
    let mut driver = Driver {
        handle: handle.clone(),
        node,
        way_here: WayHere { encrypted, openflow, ovsdb: with_port(local, local.port()) },
        session,
        ready: false,
        in_flight: None,
        fence: Fence::default(),
        in_order: None,
        refusals: Refusals::default(),
        questions: Questions::default(),
        output: Vec::new(),
    };
    let mut pipe = Pipe::new(stream);
    let why = driver.run::<R, S>(&link, &mut pipe).await;
    // A peer that is gone does not need a goodbye.
    let _ = R::before(R::now() + Duration::from_secs(1), pipe.close()).await;
    if handle.unlink(node, Protocol::Ovsdb, &link) {
        handle.node(node, |state| (state.own.ovsdb, state.datapath_id) = (None, None));
    }
    tracing::info!(%node, %peer, why, "OVSDB session ended");
}

/// Waits for a moment: without one, for ever.
async fn at<R: Runtime>(moment: Option<Moment>) {
    match moment {
        Some(moment) => R::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// The address that the peer reached us by, with another port: as OVSDB writes targets.
fn with_port(local: SocketAddr, port: u16) -> SocketAddr {
    SocketAddr::new(local.ip().to_canonical(), port)
}

struct Driver {
    handle: Handle,
    node: Uuid,
    way_here: WayHere,
    session: Session,
    ready: bool,
    in_flight: Option<(TransactionId, Plan)>,
    fence: Fence,
    /// What was wanted when the switch was last found in order: if that is still wanted, a difference is a repair.
    in_order: Option<DesiredSwitch>,
    refusals: Refusals,
    questions: Questions,
    output: Vec<u8>,
}

/// How the switch reaches this controller.
struct WayHere {
    encrypted: bool,
    /// Where for OpenFlow, or why it does not.
    openflow: Result<SocketAddr, String>,
    ovsdb: SocketAddr,
}

/// The fence that OpenFlow connections wait for; see [`Fences`](crate::controller::Fences).
#[derive(Default)]
struct Fence {
    /// The newest that the switch was asked for.
    sent: u64,
    in_flight: Option<TransactionId>,
    /// The switch answered, and what it told before is to be entered.
    is_answered: bool,
}

/// So often a switch may refuse to be left in order before it is left as it is.
const RETIRE_TRIES: u32 = 8;

/// How a session came to its end.
type Ended = String;

impl Driver {
    async fn run<R: Runtime, S: AsyncRead + AsyncWrite>(&mut self, link: &Link, pipe: &mut Pipe<S>) -> Ended {
        loop {
            if let Err(why) = self.events::<R>(link).await {
                return why;
            }
            let timer = at::<R>(self.session.deadline());
            let another_attempt = at::<R>(self.refusals.until);
            tokio::select! {
                biased;
                () = timer => self.session.tick(R::now()),
                () = another_attempt => {
                    self.refusals.may_try(R::now());
                    if let Err(why) = self.look::<R>().await {
                        return why;
                    }
                }
                () = link.woken() => {
                    if link.replaced() {
                        return "the node connected anew".to_string();
                    }
                    if let Err(why) = self.look::<R>().await {
                        return why;
                    }
                }
                // `events` asks; nothing of the switch need be looked at for that.
                () = link.asked() => {}
                turn = pipe.turn(&self.output) => match turn {
                    Turn::Read(bytes) => self.session.receive(R::now(), bytes),
                    Turn::Wrote(count) => _ = self.output.drain(..count),
                    Turn::Flushed => {}
                    Turn::Closed => self.session.disconnected(),
                    Turn::Failed(error) => return format!("the connection failed: {error}"),
                },
            }
        }
    }

    /// Handles what the session has to say, until it is silent: what a look at the switch decides is said at once.
    async fn events<R: Runtime>(&mut self, link: &Link) -> Result<(), Ended> {
        loop {
            let look = self.heard::<R>()?;
            if look {
                if link.replaced() {
                    return Err("the node connected anew".to_string());
                }
                self.look::<R>().await?;
            }
            let is_asked = self.ready && self.questions.ask(R::now(), link, &mut self.session);
            if !look && !is_asked {
                return Ok(());
            }
        }
    }

    /// Takes what the session has to say; whether the switch is to be looked at.
    fn heard<R: Runtime>(&mut self) -> Result<bool, Ended> {
        let mut look = false;
        while let Some(event) = self.session.poll() {
            match event {
                Event::Send(bytes) => self.output.extend(bytes),
                Event::Ready => {
                    self.ready = true;
                    look = true;
                }
                Event::Changed(_) => look = true,
                Event::TransactionDone { id, .. } if self.fence.in_flight == Some(id) => {
                    (self.fence.in_flight, self.fence.is_answered) = (None, true);
                    look = true;
                }
                Event::TransactionDone { id, result } if self.questions.answered(id, &result) => {}
                Event::TransactionDone { id, result } => {
                    self.done(R::now(), id, result.map(|_| ()));
                    look = true;
                }
                Event::Closed { reason } => return Err(reason.to_string()),
            }
        }
        Ok(look)
    }

    /// A transaction was answered.
    fn done(&mut self, now: Moment, id: TransactionId, result: Result<(), TransactError>) {
        let Some((_, plan)) = self.in_flight.take_if(|(flying, _)| *flying == id) else { return };
        let what = plan.reasons.join("; ");
        match result {
            Ok(()) => {
                self.refusals = Refusals::default();
                tracing::info!(node = %self.node, what, "the switch's configuration was changed");
                self.handle.node(self.node, |state| {
                    state.own.counters.ovsdb_transactions += 1;
                    state.own.problems.remove(CONFIGURATION);
                });
            }
            Err(error) => {
                let pause = self.refusals.refused(now);
                tracing::warn!(node = %self.node, what, %error, ?pause, "the switch refused a change of its configuration");
                let problem = format!("the switch refused a change of its configuration ({what}): {error}");
                self.handle.node(self.node, |state| state.own.problems.insert(CONFIGURATION.into(), problem));
            }
        }
    }

    /// Looks at the switch as a whole.
    async fn look<R: Runtime>(&mut self) -> Result<(), Ended> {
        if !self.ready {
            return Ok(());
        }
        let vswitch = Vswitch::read(self.session.replica());
        let record = self.handle.read(|state| state.nib.nodes().get(&self.node).cloned());
        let Some(record) = record else { return self.retire::<R>(&vswitch) };
        self.report(&record, &vswitch);
        if self.handle.read(|state| state.drives(self.node)) {
            self.configure::<R>(&record, &vswitch);
            self.observe(&record, &vswitch).await?;
        } else {
            self.stand_by();
        }
        self.introduce(&record, &vswitch);
        self.pass_fence::<R>();
        Ok(())
    }

    /// Another controller writes to the switch: what was known of its configuration here is not any more.
    fn stand_by(&mut self) {
        if self.in_order.take().is_some() {
            self.refusals = Refusals::default();
            self.handle.node(self.node, |state| state.own.problems.remove(CONFIGURATION));
        }
    }

    /// Tells those who wait that all the switch had told is entered, and asks it for a sign that it has, for others.
    fn pass_fence<R: Runtime>(&mut self) {
        if std::mem::take(&mut self.fence.is_answered) {
            self.handle.tell_openflow(self.node, |state| state.fences.pass(self.fence.sent));
        }
        let asked = self.handle.read(|state| state.nodes.get(&self.node).map(|state| state.fences.asked()));
        let Some(asked) = asked.filter(|asked| self.fence.in_flight.is_none() && *asked > self.fence.sent) else {
            return;
        };
        let mut transaction = Transaction::new(DATABASE);
        transaction.push(Operation::Comment("selvedge: all told so far?".to_string()));
        // A session that is closed says so by itself, and its successor asks again.
        if let Ok(id) = self.session.transact(R::now(), &transaction) {
            (self.fence.sent, self.fence.in_flight) = (asked, Some(id));
        }
    }

    /// Tells which datapath is the integration bridge, which lets its flows be written. Only now: flows name ports by
    /// number, and until what this session reports is in the NIB, numbers there may be those of before a reboot.
    fn introduce(&self, record: &NodeRecord, vswitch: &Vswitch) {
        let datapath_id = vswitch.bridge(record.config.bridge()).and_then(|(_, bridge)| bridge.datapath_id.clone());
        let known = self.handle.read(|state| state.nodes.get(&self.node)?.datapath_id.clone());
        if known != datapath_id {
            self.handle.tell_openflow(self.node, |state| state.datapath_id = datapath_id);
        }
    }

    /// The node was deleted: our tunnels and controllers go from its switch, then we do. A switch that refuses that is
    /// asked a few times.
    fn retire<R: Runtime>(&mut self, vswitch: &Vswitch) -> Result<(), Ended> {
        if self.in_flight.is_some() || !self.refusals.may_try(R::now()) {
            return Ok(());
        }
        let last = self.in_order.as_ref().filter(|_| self.refusals.count < RETIRE_TRIES);
        let plan = last.map(|desired| plan::retire(&desired.bridge, desired.epoch, vswitch));
        match plan {
            Some(Ok(Some(plan))) => {
                let sent = self.session.transact(R::now(), &plan.transaction);
                self.in_flight = sent.ok().map(|id| (id, plan));
                Ok(())
            }
            Some(Ok(None) | Err(_)) | None => Err("the transport node was deleted".to_string()),
        }
    }

    /// What the switch says of itself.
    fn report(&self, record: &NodeRecord, vswitch: &Vswitch) {
        let switch = vswitch.switch.clone().unwrap_or_default();
        let problem = tunnel_problem(record, vswitch);
        let changed = self.handle.read(|state| {
            let state = state.nodes.get(&self.node);
            state.is_some_and(|state| {
                state.own.ovs_version != switch.ovs_version || state.own.problems.get(TUNNELS) != problem.as_ref()
            })
        });
        if !changed {
            return;
        }
        if let Some(problem) = &problem {
            tracing::warn!(node = %self.node, problem, "the node's tunnels do not work");
        }
        self.handle.node(self.node, |state| {
            state.own.ovs_version = switch.ovs_version;
            match problem {
                Some(problem) => _ = state.own.problems.insert(TUNNELS.into(), problem),
                None => _ = state.own.problems.remove(TUNNELS),
            }
        });
    }

    /// Makes the switch what it should be.
    fn configure<R: Runtime>(&mut self, record: &NodeRecord, vswitch: &Vswitch) {
        if self.in_flight.is_some() || !record.config.admin_status_enabled || !self.refusals.may_try(R::now()) {
            return;
        }
        let problem = match self.desired(record, vswitch) {
            Err(problem) => problem,
            Ok(desired) => match plan::plan(&desired, vswitch) {
                Ok(Some(plan)) => return self.transact::<R>(desired, plan),
                Ok(None) => {
                    self.in_order = Some(desired);
                    return;
                }
                Err(refused) => refused.to_string(),
            },
        };
        tracing::warn!(node = %self.node, problem, "the switch cannot be configured");
        self.handle.node(self.node, |state| state.own.problems.insert(CONFIGURATION.into(), problem));
    }

    fn transact<R: Runtime>(&mut self, desired: DesiredSwitch, plan: Plan) {
        if self.in_order.as_ref() == Some(&desired) {
            let what = plan.reasons.join("; ");
            tracing::warn!(node = %self.node, what, "the switch's configuration was changed by somebody else; repairing");
            self.handle.node(self.node, |state| state.repaired(R::wall(), format!("configuration: {what}")));
        }
        match self.session.transact(R::now(), &plan.transaction) {
            Ok(id) => self.in_flight = Some((id, plan)),
            // There is one at a time, and a session that is closed says so by itself.
            Err(error) => tracing::debug!(node = %self.node, %error, "a transaction was not sent"),
        }
    }

    fn desired(&self, record: &NodeRecord, vswitch: &Vswitch) -> Result<DesiredSwitch, String> {
        let tunnels = record.config.transport_connectors.iter().filter_map(|connector| {
            let encap = connector.kind.encap().filter(|encap| unsupported(*encap, record, vswitch).is_none())?;
            let tunnel = DesiredTunnel {
                kind: encap.name().to_string(),
                local_ip: Some(connector.ip_address),
                ofport: tunnel_port(encap).0,
            };
            Some((tunnel_name(encap), tunnel))
        });
        let (controllers, managers) = self.targets(vswitch)?;
        Ok(DesiredSwitch {
            bridge: record.config.bridge().to_string(),
            controllers,
            managers,
            tunnels: tunnels.collect(),
            epoch: record.epoch.0,
        })
    }

    /// All controllers, for OpenFlow and for OVSDB, so that each has its connections when they are needed: this one as the
    /// switch reached it, the others as they say that they can be reached.
    ///
    /// A controller that is alone adds no manager: where the switch has one by another name (that of a host, or of whoever
    /// translates addresses), it would be a second way to the same place, or none.
    fn targets(&self, vswitch: &Vswitch) -> Result<(BTreeSet<String>, BTreeSet<String>), String> {
        let WayHere { encrypted, ref openflow, ovsdb } = self.way_here;
        let scheme = if encrypted { "ssl" } else { "tcp" };
        let target = |at: SocketAddr| format!("{scheme}:{at}");
        let (openflow, ovsdb) = (target(openflow.clone()?), target(ovsdb));
        let others: Vec<_> = self.handle.read(|state| {
            let others = state.nib.cluster().members().iter().filter(|(member, _)| Some(**member) != state.own());
            let reached_at = others.map(|(_, record)| match encrypted {
                true => (record.southbound.openflow, record.southbound.ovsdb),
                false => (record.southbound.openflow_tcp, record.southbound.ovsdb_tcp),
            });
            reached_at.collect()
        });
        let is_known = || vswitch.managers.values().any(|manager| manager.target == ovsdb);
        let own = (!others.is_empty() || is_known()).then(|| ovsdb.clone());
        let controllers = others.iter().filter_map(|(openflow, _)| *openflow).map(target).chain([openflow]);
        let managers = others.iter().filter_map(|(_, ovsdb)| *ovsdb).map(target).chain(own);
        Ok((controllers.collect(), managers.collect()))
    }

    /// Enters what changed of the node's VIFs into the NIB.
    async fn observe(&mut self, record: &NodeRecord, vswitch: &Vswitch) -> Result<(), Ended> {
        let seen = seen_vifs(vifs(vswitch, record.config.bridge()));
        let command = self.handle.read(|state| observation(&state.nib, self.node, seen));
        match command {
            None => Ok(()),
            Some(command) => match self.handle.submit(command).await {
                // Whoever is the master now looks for itself.
                Ok(_) | Err(SubmitError::Refused(Refusal::NotMaster { .. })) => Ok(()),
                Err(error) => Err(format!("what it reports cannot be entered: {error}")),
            },
        }
    }
}

/// The name of the tunnel port of an encapsulation.
fn tunnel_name(encap: Encap) -> String {
    format!("sv-{encap}")
}

/// Why a switch cannot do an encapsulation that its connectors ask for.
fn unsupported(encap: Encap, record: &NodeRecord, vswitch: &Vswitch) -> Option<String> {
    let switch = vswitch.switch.as_ref()?;
    let version = switch.ovs_version.as_deref().unwrap_or("of an unknown version");
    if !switch.iface_types.is_empty() && !switch.iface_types.contains(encap.name()) {
        return Some(format!("Open vSwitch {version} has no interface type {encap}"));
    }
    let userspace = vswitch.bridge(record.config.bridge()).is_some_and(|(_, bridge)| bridge.datapath_type == "netdev");
    // It gets a port and no error there, and drops every packet.
    (encap == Encap::Stt && userspace).then(|| "STT does not work on Open vSwitch's userspace datapath".to_string())
}

/// Why tunnels of a node do not work, if so: a sentence for each.
fn tunnel_problem(record: &NodeRecord, vswitch: &Vswitch) -> Option<String> {
    let encaps: BTreeSet<Encap> = record.config.transport_connectors.iter().filter_map(|c| c.kind.encap()).collect();
    let problem = |encap: &Encap| {
        if let Some(why) = unsupported(*encap, record, vswitch) {
            return Some(why);
        }
        let name = tunnel_name(*encap);
        let interface = vswitch.interfaces.values().find(|interface| interface.name == name)?;
        let want = i64::from(tunnel_port(*encap).0);
        match (&interface.error, interface.ofport) {
            (Some(error), _) => Some(format!("interface {name}: {error}")),
            (None, Some(-1)) => Some(format!("interface {name} could not be made")),
            (None, Some(port)) if port != want => {
                Some(format!("interface {name} has OpenFlow port {port}, not {want}: another port has that number"))
            }
            (None, _) => None,
        }
    };
    let problems: Vec<String> = encaps.iter().filter_map(problem).collect();
    (!problems.is_empty()).then(|| problems.join("; "))
}

/// One interface for each VIF: an active one before others (a Xen guest has two), then the first by name. A port number that
/// two VIFs are said to have is, for one of them, of before a restart; for which, only the switch can tell, and it will.
fn seen_vifs(mut found: Vec<Vif>) -> BTreeMap<String, ObservedVif> {
    found.sort_by(|a, b| (!a.active, &a.interface).cmp(&(!b.active, &b.interface)));
    let mut seen = BTreeMap::new();
    for vif in found {
        let Some(ofport) = vif.ofport else { continue };
        let attached_mac = vif.attached_mac.as_deref().and_then(|mac| mac.parse().ok());
        let observed =
            ObservedVif { vif: vif.vif_id.clone(), interface: vif.interface, ofport: OfPort(ofport), attached_mac };
        seen.entry(vif.vif_id).or_insert(observed);
    }
    let mut holders: BTreeMap<OfPort, usize> = BTreeMap::new();
    seen.values().for_each(|observed| *holders.entry(observed.ofport).or_default() += 1);
    seen.retain(|_, observed| holders[&observed.ofport] == 1);
    seen
}

/// What the NIB does not know yet of a node's VIFs.
fn observation(nib: &Nib, node: Uuid, seen: BTreeMap<String, ObservedVif>) -> Option<Command> {
    let known: BTreeMap<&str, &ObservedVif> =
        nib.vifs_of(node).map(|claim| (claim.observed.vif.as_str(), &claim.observed)).collect();
    let gone: Vec<String> = known.keys().filter(|vif| !seen.contains_key(**vif)).map(ToString::to_string).collect();
    let news = seen.into_values().filter(|observed| known.get(observed.vif.as_str()) != Some(&observed));
    let present: Vec<ObservedVif> = news.collect();
    let epoch = nib.nodes().get(&node).map(|record| record.epoch);
    (!present.is_empty() || !gone.is_empty()).then_some(Command::Observe { node, epoch, present, gone })
}

#[cfg(test)]
mod tests {
    use super::super::admission::Admission;
    use super::*;
    use crate::cluster::MemberConfig;
    use crate::cluster::member::SNAPSHOT_EVERY;
    use crate::controller;
    use crate::controller::Started;
    use crate::ovsdb::codec::{self, Decoder, Message};
    use crate::runtime::{HostDisk, Tokio};
    use crate::store::Store;
    use selvedge_core::addr::Mac;
    use selvedge_core::nib::Object;
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    /// The switch's end of a connection.
    struct Switch {
        stream: DuplexStream,
        decoder: Decoder,
    }

    impl Switch {
        /// The next request of the controller, as it comes.
        async fn request(&mut self) -> (serde_json::Value, String) {
            loop {
                match self.decoder.next().expect("messages") {
                    Some(Message::Request { id, method, .. }) => return (id, method),
                    Some(other) => panic!("no request: {other:?}"),
                    None => {
                        let mut bytes = [0; 4096];
                        let count = self.stream.read(&mut bytes).await.expect("bytes");
                        assert_ne!(count, 0, "the controller closed");
                        self.decoder.push(&bytes[..count]);
                    }
                }
            }
        }

        async fn answer(&mut self, id: serde_json::Value, result: serde_json::Value) {
            let bytes = codec::encode(&Message::Response { id, outcome: Ok(result) });
            self.stream.write_all(&bytes).await.expect("sent");
        }
    }

    /// A controller that is alone, a transport node of its, and that node's switch, which has told these rows.
    async fn connected(rows: serde_json::Value) -> (Handle, Uuid, Switch, tempfile::TempDir) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(&HostDisk(directory.path().to_path_buf())).expect("an empty store");
        let config = MemberConfig::alone(Uuid::from_u128(1), SNAPSHOT_EVERY);
        let Started { handle, core, .. } = controller::start::<Tokio>(store, &config).await.expect("it starts");
        Tokio::spawn("core", async move { core.await.expect("the store works") });
        let node = Uuid::from_u128(1);
        let config = serde_json::from_value(json!({})).expect("a transport node");
        let create = Command::Create { uuid: node, object: Object::TransportNode(config) };
        handle.submit(create).await.expect("created");
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let shared = Southbound {
            handle: handle.clone(),
            openflow_port: Some(6653),
            openflow_plain_port: None,
            admission: Admission::default(),
        };
        Tokio::spawn("driver", async move {
            let at = SocketAddr::from(([192, 0, 2, 1], 6640));
            drive::<Tokio, _>(&shared, Guest { node, peer: at, local: at, encrypted: true, stream: ours }).await;
        });
        let limits = codec::Limits { frame_len_max: 1 << 20, depth_max: 32 };
        let mut switch = Switch { stream: theirs, decoder: Decoder::new(limits) };
        let (id, method) = switch.request().await;
        assert_eq!(method, "monitor_cond_since");
        switch.answer(id, json!([false, Uuid::nil().to_string(), rows])).await;
        (handle, node, switch, directory)
    }

    /// A switch that says nothing of its own accord: what its first answer calls for must come all the same, and not
    /// only when an echo or somebody else's change happens to wake the driver.
    #[tokio::test]
    async fn a_silent_switch_is_configured_after_its_first_answer() {
        let row = json!({ "datapath_types": ["set", ["netdev"]], "cur_cfg": 0, "next_cfg": 0 });
        let tables = json!({ "Open_vSwitch": { Uuid::from_u128(1).to_string(): { "initial": row } } });
        let (_, _, mut switch, _directory) = connected(tables).await;
        // Our own echo request, after five seconds of silence, would wake the driver too.
        let before_any_echo = Tokio::now() + Limits::default().silence_before_echo / 2;
        let next = Tokio::before(before_any_echo, switch.request()).await;
        assert_eq!(next.map(|(_, method)| method).as_deref(), Some("transact"));
    }

    /// What a lost answer was about may still be carried out, after the switch has told something else (seed 1848).
    #[tokio::test]
    async fn what_was_entered_and_is_taken_back_is_entered_again() {
        let uuid = |n| Uuid::from_u128(n).to_string();
        let ids = json!(["map", [["iface-id", "x"]]]);
        let tables = json!({
            "Open_vSwitch": { uuid(1): { "initial": { "bridges": ["uuid", uuid(2)], "cur_cfg": 0, "next_cfg": 0 } } },
            "Bridge": { uuid(2): { "initial": { "name": "br-int", "ports": ["uuid", uuid(3)] } } },
            "Port": { uuid(3): { "initial": { "name": "tap", "interfaces": ["uuid", uuid(4)] } } },
            "Interface": { uuid(4): { "initial": { "name": "tap", "ofport": 1, "external_ids": ids } } },
        });
        let (handle, node, _switch, _directory) = connected(tables).await;
        let soon = || Tokio::now() + Limits::default().silence_before_echo / 2;
        let is_there = |state: &controller::State| state.nib.nodes()[&node].vifs.contains("x").then_some(());
        assert_eq!(handle.wait::<Tokio, _>(soon(), is_there).await, Some(()));
        let epoch = handle.read(|state| Some(state.nib.nodes()[&node].epoch));
        let gone = Command::Observe { node, epoch, present: Vec::new(), gone: vec!["x".to_string()] };
        handle.submit(gone).await.expect("it is the master's");
        assert_eq!(handle.wait::<Tokio, _>(soon(), is_there).await, Some(()));
    }

    fn vif(name: &str, interface: &str, ofport: Option<u32>, active: bool) -> Vif {
        let attached_mac = Some("02:00:00:00:00:01".to_string());
        Vif { vif_id: name.into(), interface: interface.into(), ofport, attached_mac, active, error: None }
    }

    #[test]
    fn of_several_interfaces_with_one_vif_an_active_one_counts() {
        let seen = seen_vifs(vec![
            vif("x", "tap1", Some(1), false),
            vif("x", "vif1", Some(2), true),
            vif("y", "tap3", Some(4), true),
            vif("y", "tap2", Some(3), true),
            vif("z", "tap9", None, true),
        ]);
        let shown: Vec<(&str, &str)> = seen.iter().map(|(vif, it)| (vif.as_str(), it.interface.as_str())).collect();
        assert_eq!(shown, [("x", "vif1"), ("y", "tap2")], "an interface without a port is not there yet");
        assert_eq!(seen["x"].attached_mac, Some(Mac([2, 0, 0, 0, 0, 1])));
    }

    /// Both would be entered in turn, for ever (seed 9021).
    #[test]
    fn a_port_number_of_two_vifs_is_neithers() {
        let seen = seen_vifs(vec![
            vif("x", "tap1", Some(1), true),
            vif("y", "tap2", Some(1), true),
            vif("z", "tap3", Some(2), true),
        ]);
        assert_eq!(seen.keys().collect::<Vec<_>>(), ["z"]);
    }

    #[test]
    fn only_news_is_observed() {
        let mut nib = Nib::default();
        let node = Uuid::from_u128(1);
        let config = serde_json::from_value(json!({})).expect("a transport node");
        nib.apply(&Command::Create { uuid: node, object: Object::TransportNode(config) }).expect("created");
        let seen = |ofport| seen_vifs(vec![vif("x", "tap1", Some(ofport), true)]);
        let first = observation(&nib, node, seen(1)).expect("it is new");
        nib.apply(&first).expect("observed");
        assert_eq!(observation(&nib, node, seen(1)), None);
        // Who had it before has no say any more, however late its words come.
        let Command::Observe { epoch, .. } = first else { panic!("it is an observation") };
        let gone = |epoch| Command::Observe { node, epoch, present: Vec::new(), gone: vec!["x".to_string()] };
        let stale = epoch.map(|epoch| selvedge_core::ids::Epoch(epoch.0 - 1));
        assert!(matches!(nib.apply(&gone(stale)), Err(Refusal::NotMaster { now, .. }) if Some(now) == epoch));
        assert_eq!(observation(&nib, node, seen(1)), None);
        assert!(matches!(observation(&nib, node, seen(2)), Some(Command::Observe { present, gone, .. })
            if present.len() == 1 && gone.is_empty()));
        assert!(matches!(observation(&nib, node, BTreeMap::new()), Some(Command::Observe { present, gone, .. })
            if present.is_empty() && gone == ["x"]));
    }
}
