//! Brings one switch's flows in step with what they should be, and keeps them there: a machine without sockets.
//!
//! It takes the primary role under the node's epoch, starts to watch for foreign changes, asks what the switch holds,
//! and sends the difference. From then on it sends what the core feeds it, one bundle at a time; what comes meanwhile
//! waits and merges. If somebody else changes the switch's flows, it is asked again what it holds; if it refuses a bundle, too, but
//! only when the driver says so: one that always refuses must not be asked in a tight circle. Start at [`FlowSync::start`].

use crate::openflow::bundle::{BundleRun, Outcome};
use crate::openflow::flows::{DumpedBody, FlowMod};
use crate::openflow::groups::{DumpedBuckets, GroupMod};
use crate::openflow::message::{Body, BundleId, Message, Mod, Role, RoleRequest, Xid};
use crate::openflow::multipart::{FlowUpdate, Reply, Request};
use crate::openflow::script::{Script, steps};
use crate::openflow::session::{SendError, Session};
use selvedge_core::flow::FlowTable;
use selvedge_core::ids::{Epoch, Revision};
use selvedge_core::reconcile::{Delta, diff};
use std::sync::Arc;

/// Names our flow monitor.
const MONITOR: u32 = 1;

/// Where a switch is on its way.
#[derive(Debug)]
enum Phase {
    /// The role is asked for.
    Role { request: Xid },
    /// The switch tells what it holds.
    Asking(Dump),
    /// Told everything; what it should hold is to be compared.
    Told(Dump),
    /// A change is on its way.
    Changing(Changing),
    /// It refused a change: nothing is done before the driver calls [`FlowSync::ask`].
    Refusing,
    /// Nothing to do.
    InStep,
}

/// What a switch told so far.
#[derive(Debug)]
struct Dump {
    flows: Xid,
    groups: Xid,
    flows_done: bool,
    groups_done: bool,
    table: FlowTable,
    /// What is not of our making, and not in our model: to be deleted.
    foreign: Vec<Mod>,
}

/// A change on its way.
#[derive(Debug)]
struct Changing {
    run: BundleRun,
    /// The bundles, and which of them is on its way.
    scripts: Arc<[Script]>,
    place: usize,
    /// What the switch holds when all is done.
    up_to: Revision,
}

/// What the driver should know, or do.
#[derive(Debug)]
pub(super) enum Told {
    /// The switch told all it holds: call [`FlowSync::compare`] with what it should hold.
    Compare,
    /// A bundle is done, of so many changes.
    Done { flows: usize, groups: usize },
    /// The switch holds this revision; call [`FlowSync::change`] when there is more.
    Holds(Revision),
    /// Somebody else changed the switch's flows, or it lost them; it is being asked again, or will be.
    Disturbed,
    /// It refused a change: call [`FlowSync::ask`] after a while.
    Refused(String),
    /// Another controller has it, or had it after us: give up.
    Fenced(String),
}

/// The machine.
#[derive(Debug)]
pub(super) struct FlowSync {
    phase: Phase,
    next_bundle: u32,
}

impl FlowSync {
    /// Begins on a session that is up.
    pub fn start(session: &mut Session, epoch: Epoch) -> Result<FlowSync, SendError> {
        let request = session.send(Body::RoleRequest(RoleRequest { role: Role::Primary, generation: epoch }))?;
        Ok(FlowSync { phase: Phase::Role { request }, next_bundle: 1 })
    }

    /// Whether the switch refused a change, and waits to be asked again.
    pub fn is_refusing(&self) -> bool {
        matches!(self.phase, Phase::Refusing)
    }

    /// Whether it takes changes now.
    pub fn in_step(&self) -> bool {
        matches!(self.phase, Phase::InStep)
    }

    /// Takes a message from the switch.
    pub fn message(&mut self, session: &mut Session, message: &Message) -> Result<Option<Told>, SendError> {
        if let Body::MultipartReply { reply: Reply::FlowsChanged(updates), .. } = &message.body {
            return self.watched(session, updates);
        }
        if matches!(message.body, Body::RequestForward(_)) {
            return self.disturbed(session);
        }
        if let Body::RoleStatus(status) = &message.body
            && status.role != Role::Primary
        {
            return Ok(Some(Told::Fenced("another controller took the switch over".to_string())));
        }
        match &mut self.phase {
            Phase::Role { request } if *request == message.xid => self.role(session, &message.body),
            Phase::Asking(dump) => match dump.take(message) {
                Ok(false) => Ok(None),
                Ok(true) => {
                    let Phase::Asking(dump) = std::mem::replace(&mut self.phase, Phase::InStep) else {
                        return Ok(None);
                    };
                    self.phase = Phase::Told(dump);
                    Ok(Some(Told::Compare))
                }
                Err(why) => Ok(Some(Told::Fenced(why))),
            },
            Phase::Changing(_) => self.changing(session, message),
            Phase::Role { .. } | Phase::Told(_) | Phase::Refusing | Phase::InStep => Ok(None),
        }
    }

    fn role(&mut self, session: &mut Session, answer: &Body) -> Result<Option<Told>, SendError> {
        match answer {
            Body::RoleReply(reply) if reply.role == Role::Primary => {
                session.send(Body::MultipartRequest(Request::WatchFlows(MONITOR)))?;
                self.ask(session)?;
                Ok(None)
            }
            Body::Error(error) => Ok(Some(Told::Fenced(format!("the switch refused the role: {}", error.code)))),
            other => Ok(Some(Told::Fenced(format!("the switch answered the role request with {other:?}")))),
        }
    }

    /// Asks what the switch holds.
    pub fn ask(&mut self, session: &mut Session) -> Result<(), SendError> {
        let groups = session.send(Body::MultipartRequest(Request::Groups(None)))?;
        let flows = session.send(Body::MultipartRequest(Request::Flows(Default::default())))?;
        let (table, foreign) = (FlowTable::default(), Vec::new());
        self.phase = Phase::Asking(Dump { flows, groups, flows_done: false, groups_done: false, table, foreign });
        Ok(())
    }

    /// Compares what the switch told with what it should hold, and sends the difference. Says what that was.
    pub fn compare(
        &mut self,
        session: &mut Session,
        desired: &FlowTable,
        at: Revision,
    ) -> Result<(Difference, Option<Told>), SendError> {
        let Phase::Told(dump) = std::mem::replace(&mut self.phase, Phase::InStep) else {
            panic!("what the switch holds is compared once, when it was told");
        };
        let delta = diff(&dump.table, desired);
        let difference = Difference::of(&delta, dump.foreign.len());
        let mut mods = dump.foreign;
        mods.extend(steps(&delta));
        let told = self.next(session, Script::of(mods)?.into(), 0, at)?;
        Ok((difference, told))
    }

    /// Sends a change.
    pub fn change(
        &mut self,
        session: &mut Session,
        scripts: Arc<[Script]>,
        up_to: Revision,
    ) -> Result<Option<Told>, SendError> {
        assert!(self.in_step(), "a change is sent when the one before is done");
        self.next(session, scripts, 0, up_to)
    }

    /// Sends one of several bundles, if there is one at `place`.
    fn next(
        &mut self,
        session: &mut Session,
        scripts: Arc<[Script]>,
        place: usize,
        up_to: Revision,
    ) -> Result<Option<Told>, SendError> {
        let Some(script) = scripts.get(place) else {
            self.phase = Phase::InStep;
            return Ok(Some(Told::Holds(up_to)));
        };
        let bundle = BundleId(self.next_bundle);
        self.next_bundle = self.next_bundle.wrapping_add(1);
        let run = BundleRun::start(bundle, script, session.send_script(bundle, script)?);
        self.phase = Phase::Changing(Changing { run, scripts, place, up_to });
        Ok(None)
    }

    fn changing(&mut self, session: &mut Session, message: &Message) -> Result<Option<Told>, SendError> {
        let Phase::Changing(changing) = &mut self.phase else { return Ok(None) };
        match changing.run.handle(message, |body| session.send(body))? {
            None => Ok(None),
            Some(Outcome::Committed) => {
                let Script { flows, groups, .. } = changing.scripts[changing.place];
                Ok(Some(Told::Done { flows, groups }))
            }
            Some(Outcome::Failed(failure)) => {
                self.phase = Phase::Refusing;
                Ok(Some(Told::Refused(format!("the switch refused a change of its flows: {failure}"))))
            }
        }
    }

    /// Goes on after a bundle was done.
    pub fn go_on(&mut self, session: &mut Session) -> Result<Option<Told>, SendError> {
        match std::mem::replace(&mut self.phase, Phase::InStep) {
            Phase::Changing(Changing { scripts, place, up_to, .. }) => self.next(session, scripts, place + 1, up_to),
            other => {
                self.phase = other;
                Ok(None)
            }
        }
    }

    fn watched(&mut self, session: &mut Session, updates: &[FlowUpdate]) -> Result<Option<Told>, SendError> {
        let foreign = updates.iter().any(|update| match update {
            FlowUpdate::Foreign | FlowUpdate::Resumed => true,
            FlowUpdate::Own(_) | FlowUpdate::Paused => false,
        });
        if foreign { self.disturbed(session) } else { Ok(None) }
    }

    /// Somebody else changed something: the switch is asked what it holds.
    fn disturbed(&mut self, session: &mut Session) -> Result<Option<Told>, SendError> {
        match &self.phase {
            Phase::Role { .. } => Ok(None),
            Phase::Refusing => Ok(Some(Told::Disturbed)),
            // Whether a bundle on its way comes before or after cannot be told: it is asked when all is done.
            Phase::Changing(_) | Phase::Asking(_) | Phase::Told(_) | Phase::InStep => {
                self.ask(session)?;
                Ok(Some(Told::Disturbed))
            }
        }
    }
}

impl Dump {
    /// Takes a part of the answers; says whether all is told.
    fn take(&mut self, message: &Message) -> Result<bool, String> {
        match &message.body {
            Body::MultipartReply { more, reply: Reply::Flows(flows) } if message.xid == self.flows => {
                for flow in flows {
                    match (flow.key.clone().known(), &flow.body) {
                        (Ok(key), DumpedBody::Known(body)) => {
                            self.table.flows.insert(Arc::new(key), Arc::new(body.clone()));
                        }
                        (Ok(key), DumpedBody::Foreign { .. }) => {
                            self.foreign.push(Mod::Flow(FlowMod::DeleteStrict(key.into())));
                        }
                        (Err(key), _) => self.foreign.push(Mod::Flow(FlowMod::DeleteStrict(key))),
                    }
                }
                self.flows_done = !more;
            }
            Body::MultipartReply { more, reply: Reply::Groups(groups) } if message.xid == self.groups => {
                for group in groups {
                    match &group.buckets {
                        DumpedBuckets::Known(buckets) => _ = self.table.groups.insert(group.id, buckets.clone()),
                        DumpedBuckets::Foreign { .. } => self.foreign.push(Mod::Group(GroupMod::Delete(group.id))),
                    }
                }
                self.groups_done = !more;
            }
            Body::Error(error) if [self.flows, self.groups].contains(&message.xid) => {
                return Err(format!("the switch does not tell what it holds: {}", error.code));
            }
            _ => {}
        }
        Ok(self.flows_done && self.groups_done)
    }
}

/// What differed between what a switch held and what it should hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    pub missing: usize,
    pub surplus: usize,
    pub groups: usize,
}

impl Difference {
    fn of(delta: &Delta, foreign: usize) -> Difference {
        let missing = delta.flows.values().filter(|body| body.is_some()).count();
        Difference { missing, surplus: delta.flows.len() - missing + foreign, groups: delta.groups.len() }
    }

    pub fn is_none(self) -> bool {
        self == Difference::default()
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Difference { missing, surplus, groups } = self;
        write!(f, "{missing} flows missing or wrong, {surplus} to be removed, {groups} groups wrong")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openflow::codec::{Decoder, encode};
    use crate::openflow::error::ErrorCode;
    use crate::openflow::flows::{DumpedFlow, Stats};
    use crate::openflow::groups::DumpedGroup;
    use crate::openflow::message::{BundleControl, BundleStep, ErrorMessage, Features};
    use crate::openflow::session::{Config, Event};
    use crate::openflow::{Version, message::BundleFlags};
    use selvedge_core::flow::{Actions, FlowBody, FlowKey, Match};
    use std::time::Duration;

    const NOW: Duration = Duration::ZERO;

    /// A session with a scripted switch at its other end.
    struct Wire {
        session: Session,
        decoder: Decoder,
    }

    impl Wire {
        fn up() -> Wire {
            let mut wire = Wire { session: Session::new(Config::default(), NOW), decoder: Decoder::default() };
            wire.say(Xid(1), Body::Hello(Version::hello()));
            let request = wire.hear().into_iter().find(|message| message.body == Body::FeaturesRequest);
            let features = Features { datapath_id: 1, buffers: 0, tables: 254, auxiliary_id: 0, capabilities: 0 };
            wire.say(request.expect("the features are asked for").xid, Body::FeaturesReply(features));
            assert!(matches!(wire.session.next_event(), Some(Event::Up(_))));
            wire
        }

        /// The switch says something.
        fn say(&mut self, xid: Xid, body: Body) {
            let mut bytes = Vec::new();
            encode(&Message { xid, body }, &mut bytes).expect("a short message");
            self.session.receive(NOW, &bytes);
        }

        /// The switch says something, and the machine takes it.
        fn tell(&mut self, sync: &mut FlowSync, xid: Xid, body: Body) -> Option<Told> {
            self.say(xid, body);
            match self.session.next_event() {
                Some(Event::Message(message)) => sync.message(&mut self.session, &message).expect("sent"),
                other => panic!("no message: {other:?}"),
            }
        }

        /// What the controller said since the last time.
        fn hear(&mut self) -> Vec<Message> {
            self.decoder.push(self.session.output());
            self.session.sent(self.session.queued());
            std::iter::from_fn(|| self.decoder.next_message().expect("messages")).collect()
        }

        /// The xid of the one message that is `wanted`.
        fn asked(heard: &[Message], wanted: impl Fn(&Body) -> bool) -> Xid {
            heard.iter().find(|message| wanted(&message.body)).expect("it was asked").xid
        }

        /// The role is granted, and the switch tells that it holds `flows`.
        fn told_all(&mut self, epoch: Epoch, flows: &[(FlowKey, FlowBody)]) -> FlowSync {
            let mut sync = FlowSync::start(&mut self.session, epoch).expect("sent");
            let role = Wire::asked(&self.hear(), |body| matches!(body, Body::RoleRequest(_)));
            let granted = RoleRequest { role: Role::Primary, generation: epoch };
            assert!(self.tell(&mut sync, role, Body::RoleReply(granted)).is_none());
            self.dump(&mut sync, flows);
            sync
        }

        /// The switch answers what it holds.
        fn dump(&mut self, sync: &mut FlowSync, flows: &[(FlowKey, FlowBody)]) {
            let heard = self.hear();
            let groups = Wire::asked(&heard, |body| matches!(body, Body::MultipartRequest(Request::Groups(_))));
            let all = Wire::asked(&heard, |body| matches!(body, Body::MultipartRequest(Request::Flows(_))));
            let none: Vec<DumpedGroup> = Vec::new();
            let answer = |reply| Body::MultipartReply { more: false, reply };
            assert!(self.tell(sync, groups, answer(Reply::Groups(none))).is_none());
            let dumped = flows.iter().map(|(key, body)| DumpedFlow {
                key: key.clone().into(),
                body: DumpedBody::Known(body.clone()),
                stats: Stats::default(),
            });
            let told = self.tell(sync, all, answer(Reply::Flows(dumped.collect())));
            assert!(matches!(told, Some(Told::Compare)), "{told:?}");
        }

        /// The switch does the bundle that is on its way.
        fn commit(&mut self, sync: &mut FlowSync) -> Vec<Message> {
            let heard = self.hear();
            let step = |body: &Body, step| matches!(body, Body::BundleControl(control) if control.step == step);
            let close = Wire::asked(&heard, |body| step(body, BundleStep::CloseRequest));
            let control =
                |step| Body::BundleControl(BundleControl { bundle: BundleId(1), step, flags: BundleFlags::NONE });
            assert!(self.tell(sync, close, control(BundleStep::CloseReply)).is_none());
            let commit = Wire::asked(&self.hear(), |body| step(body, BundleStep::CommitRequest));
            let told = self.tell(sync, commit, control(BundleStep::CommitReply));
            assert!(matches!(told, Some(Told::Done { .. })), "{told:?}");
            heard
        }
    }

    fn flow(priority: u16) -> (FlowKey, FlowBody) {
        let key = FlowKey { table: 0, priority, matching: Match::any() };
        (key, FlowBody { cookie: 1, actions: Actions::drop() })
    }

    fn table(flows: &[(FlowKey, FlowBody)]) -> FlowTable {
        let flows = flows.iter().map(|(key, body)| (Arc::new(key.clone()), Arc::new(body.clone())));
        FlowTable { flows: flows.collect(), ..FlowTable::default() }
    }

    #[test]
    fn a_switch_in_order_is_sent_nothing() {
        let mut wire = Wire::up();
        let mut sync = wire.told_all(Epoch(7), &[flow(1)]);
        let (difference, told) = sync.compare(&mut wire.session, &table(&[flow(1)]), Revision(5)).expect("sent");
        assert!(difference.is_none());
        assert!(matches!(told, Some(Told::Holds(Revision(5)))), "{told:?}");
        assert!(wire.hear().is_empty() && sync.in_step());
    }

    #[test]
    fn a_difference_is_one_bundle_and_holds_when_it_is_committed() {
        let mut wire = Wire::up();
        let mut sync = wire.told_all(Epoch(7), &[flow(1), flow(2)]);
        let (difference, told) =
            sync.compare(&mut wire.session, &table(&[flow(2), flow(3)]), Revision(5)).expect("sent");
        assert_eq!(difference, Difference { missing: 1, surplus: 1, groups: 0 });
        assert!(told.is_none() && !sync.in_step(), "it holds only when the switch has said so");
        let heard = wire.commit(&mut sync);
        assert_eq!(heard.iter().filter(|message| matches!(message.body, Body::BundleAdd(_))).count(), 2);
        let told = sync.go_on(&mut wire.session).expect("sent");
        assert!(matches!(told, Some(Told::Holds(Revision(5)))), "{told:?}");
    }

    #[test]
    fn a_foreign_change_is_seen_and_our_own_is_not() {
        let mut wire = Wire::up();
        let mut sync = wire.told_all(Epoch(7), &[]);
        sync.compare(&mut wire.session, &FlowTable::default(), Revision(5)).expect("sent");
        let update = |update| Body::MultipartReply { more: false, reply: Reply::FlowsChanged(vec![update]) };
        assert!(wire.tell(&mut sync, Xid(0), update(FlowUpdate::Own(Xid(3)))).is_none());
        assert!(wire.hear().is_empty());
        let told = wire.tell(&mut sync, Xid(0), update(FlowUpdate::Foreign));
        assert!(matches!(told, Some(Told::Disturbed)), "{told:?}");
        wire.dump(&mut sync, &[flow(9)]);
        let (difference, _) = sync.compare(&mut wire.session, &FlowTable::default(), Revision(5)).expect("sent");
        assert_eq!(difference, Difference { missing: 0, surplus: 1, groups: 0 });
        let told = wire.tell(&mut sync, Xid(0), Body::RequestForward(vec![6, 15, 0, 8, 0, 0, 0, 1]));
        assert!(matches!(told, Some(Told::Disturbed)), "a group was changed: {told:?}");
    }

    #[test]
    fn a_deposed_master_writes_nothing() {
        let mut wire = Wire::up();
        let mut sync = FlowSync::start(&mut wire.session, Epoch(7)).expect("sent");
        let role = Wire::asked(&wire.hear(), |body| matches!(body, Body::RoleRequest(_)));
        let stale = ErrorMessage { code: ErrorCode::STALE, data: Vec::new() };
        let told = wire.tell(&mut sync, role, Body::Error(stale));
        assert!(matches!(told, Some(Told::Fenced(_))), "{told:?}");
        assert!(wire.hear().is_empty());
    }
}
