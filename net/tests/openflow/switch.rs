//! A real ovs-vswitchd does what we say, and reports exactly that.
//!
//! The exactness matters: a controller that restarts compares what a switch reports with what it wants, and must find
//! no difference where there is none.

use crate::bed::Bed;
use crate::samples;
use selvedge_core::flow::{Action, Actions, BucketId, Buckets, Field, Flow, FlowBody, FlowKey, GroupId, Match};
use selvedge_core::ids::{Epoch, OfPort};
use selvedge_net::openflow::bundle::{BundleRun, Failure, Outcome};
use selvedge_net::openflow::error::ErrorCode;
use selvedge_net::openflow::flows::{DumpedBody, DumpedFlow, FlowFilter, FlowMod, WireKey};
use selvedge_net::openflow::groups::{DumpedBuckets, DumpedGroup, GroupMod};
use selvedge_net::openflow::message::{
    AsyncConfig, AsyncKind, Body, BundleId, Message, Mod, PacketOut, Role, RoleRequest, SwitchConfig, Xid,
};
use selvedge_net::openflow::multipart::{Reply, Request};
use selvedge_net::openflow::oxm::WireMatch;
use selvedge_net::openflow::ports::{CONTROLLER, PortChange};
use selvedge_net::openflow::script::Script;
use selvedge_net::openflow::session::{Config, Event, Session};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A session with a socket under it.
struct Controller {
    stream: UnixStream,
    session: Session,
    origin: Instant,
}

impl Controller {
    /// Connects, and waits until the session is up.
    fn connect(bed: &Bed) -> Controller {
        Controller::connect_with(bed, Config::default())
    }

    fn connect_with(bed: &Bed, config: Config) -> Controller {
        let stream = bed.connect();
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout can be set");
        let session = Session::new(config, Duration::ZERO);
        let mut controller = Controller { stream, session, origin: Instant::now() };
        match controller.next() {
            Event::Up(features) => assert_eq!(features.datapath_id, 0x42),
            other => panic!("the session did not come up: {other:?}"),
        }
        controller
    }

    fn next(&mut self) -> Event {
        let mut buffer = [0; 65536];
        loop {
            self.stream.write_all(self.session.output()).expect("the switch reads");
            self.session.sent(self.session.queued());
            if let Some(event) = self.session.next_event() {
                return event;
            }
            let count = self.stream.read(&mut buffer).expect("the switch says something within 10 s");
            assert!(count > 0, "the switch hung up");
            self.session.receive(self.origin.elapsed(), &buffer[..count]);
        }
    }

    fn next_message(&mut self) -> Message {
        match self.next() {
            Event::Message(message) => message,
            other => panic!("the session is not up: {other:?}"),
        }
    }

    fn send(&mut self, body: Body) -> Xid {
        self.session.send(body).expect("the session is up")
    }

    /// What the switch answers to a request.
    fn ask(&mut self, body: Body) -> Body {
        let xid = self.send(body);
        loop {
            let message = self.next_message();
            if message.xid == xid {
                return message.body;
            }
        }
    }

    /// Sends changes by themselves, and makes sure that none is refused.
    fn change(&mut self, changes: impl IntoIterator<Item = Mod>) {
        for change in changes {
            self.send(change.into());
        }
        assert_eq!(self.ask(Body::BarrierRequest), Body::BarrierReply);
    }

    fn commit(&mut self, changes: impl IntoIterator<Item = Mod>) -> Outcome {
        let script = Script::of(changes).expect("short changes").remove(0);
        let first = self.session.send_script(BundleId(1), &script).expect("the session is up");
        let mut run = BundleRun::start(BundleId(1), &script, first);
        loop {
            let message = self.next_message();
            if let Some(outcome) = run.handle(&message, |body| self.session.send(body)).expect("the session is up") {
                return outcome;
            }
        }
    }

    /// All parts of a long answer.
    fn ask_all(&mut self, request: Request) -> Vec<Reply> {
        let xid = self.send(Body::MultipartRequest(request));
        let mut replies = Vec::new();
        loop {
            match self.next_message() {
                message if message.xid != xid => {}
                Message { body: Body::MultipartReply { more, reply }, .. } => {
                    replies.push(reply);
                    if !more {
                        return replies;
                    }
                }
                other => panic!("not a reply to {xid}: {other:?}"),
            }
        }
    }

    fn dump_flows(&mut self) -> Vec<DumpedFlow> {
        let replies = self.ask_all(Request::Flows(FlowFilter::default()));
        let flows = replies.into_iter().map(|reply| match reply {
            Reply::Flows(flows) => flows,
            other => panic!("not flows: {other:?}"),
        });
        flows.flatten().collect()
    }

    fn dump_groups(&mut self) -> Vec<DumpedGroup> {
        let replies = self.ask_all(Request::Groups(None));
        let groups = replies.into_iter().map(|reply| match reply {
            Reply::Groups(groups) => groups,
            other => panic!("not groups: {other:?}"),
        });
        groups.flatten().collect()
    }
}

fn group(group: u32, actions: impl IntoIterator<Item = (u32, Actions)>) -> Mod {
    let buckets = actions.into_iter().map(|(bucket, actions)| (BucketId(bucket), actions)).collect();
    Mod::Group(GroupMod::Add { group: GroupId(group), buckets })
}

fn flow(table: u8, matching: Match, actions: Actions) -> Mod {
    let key = Arc::new(FlowKey { table, priority: 1, matching });
    Mod::Flow(FlowMod::Add(Flow { key, body: Arc::new(FlowBody { cookie: 1, actions }) }))
}

fn output(port: u32) -> Actions {
    Actions::from([Action::Output(OfPort(port))])
}

#[test]
fn every_field_and_action_is_reported_as_it_was_sent() {
    let Some(bed) = Bed::start() else { return };
    let mut controller = Controller::connect(&bed);
    let groups = samples::groups().into_iter().map(|(group, buckets)| Mod::Group(GroupMod::Add { group, buckets }));
    let flows = samples::flows().into_iter().map(|flow| Mod::Flow(FlowMod::Add(flow)));
    assert_eq!(controller.commit(groups.chain(flows)), Outcome::Committed);

    let mut reported = BTreeMap::new();
    for dumped in controller.dump_flows() {
        let DumpedBody::Known(body) = dumped.body else { panic!("foreign: {dumped:?}") };
        reported.insert(Arc::new(dumped.key.known().expect("fields are modelled")), Arc::new(body));
    }
    let sent: BTreeMap<_, _> = samples::flows().into_iter().map(|flow| (flow.key, flow.body)).collect();
    assert_eq!(sent.len(), samples::flows().len(), "the samples are all different");
    assert_eq!(reported, sent);

    let known = |dumped: DumpedGroup| match dumped.buckets {
        DumpedBuckets::Known(buckets) => (dumped.id, buckets),
        foreign => panic!("foreign: {foreign:?}"),
    };
    let reported: BTreeMap<_, _> = controller.dump_groups().into_iter().map(known).collect();
    assert_eq!(reported, samples::groups().into_iter().collect());

    let counted = controller.ask_all(Request::Aggregate(FlowFilter::default()));
    assert!(matches!(counted[..], [Reply::Aggregate(stats)] if stats.flows == Some(sent.len() as u32)));
}

#[test]
fn thousands_of_flows_are_reported_in_several_parts() {
    let Some(bed) = Bed::start() else { return };
    let mut controller = Controller::connect(&bed);
    let flows = (0..5000u32).map(|n| flow(1, Match::any().exact(Field::Reg(1), n), Actions::from([Action::Goto(2)])));
    assert_eq!(controller.commit(flows), Outcome::Committed);
    assert!(controller.ask_all(Request::Flows(FlowFilter::default())).len() > 1, "in parts");
    assert_eq!(controller.dump_flows().len(), 5000);
}

#[test]
fn buckets_come_and_go_one_by_one() {
    let Some(bed) = Bed::start() else { return };
    let mut controller = Controller::connect(&bed);
    let id = GroupId(7);
    controller.change([
        group(7, [(5, output(1)), (900, output(2))]),
        Mod::Group(GroupMod::InsertBuckets { group: id, buckets: Buckets::from([(BucketId(30), output(3))]) }),
        Mod::Group(GroupMod::RemoveBucket { group: id, bucket: BucketId(5) }),
    ]);
    let buckets = Buckets::from([(BucketId(30), output(3)), (BucketId(900), output(2))]);
    assert_eq!(controller.dump_groups(), [DumpedGroup { id, buckets: DumpedBuckets::Known(buckets) }]);

    let again = GroupMod::RemoveBucket { group: id, bucket: BucketId(5) };
    let Body::Error(error) = controller.ask(Body::GroupMod(again)) else { panic!("there is no bucket 5") };
    assert_eq!(error.code.name(), Some("OFPGMFC_UNKNOWN_BUCKET"));
    controller.change([Mod::Group(GroupMod::DeleteAll)]);
    assert_eq!(controller.dump_groups(), []);
}

#[test]
fn a_failing_bundle_names_the_change_at_fault_and_does_nothing() {
    let Some(bed) = Bed::start() else { return };
    let mut controller = Controller::connect(&bed);
    let good = || flow(1, Match::any(), output(1));
    let check = |controller: &mut Controller, changes: Vec<Mod>, index, code| {
        let want = Outcome::Failed(Failure { index: Some(index), code });
        assert_eq!(controller.commit(changes), want);
        assert_eq!(controller.dump_flows(), []);
        assert_eq!(controller.dump_groups(), []);
    };
    // Found out at the commit.
    let to_nowhere = flow(1, Match::any().exact(Field::InPort, 1u32), Actions::from([Action::Group(GroupId(9))]));
    check(&mut controller, vec![good(), good(), to_nowhere], 2, ErrorCode::BAD_OUT_GROUP);
    // Found out when it is added, so that the switch leaves it out.
    let without_ip = flow(1, Match::any().exact(Field::TcpDst, 80u16), output(1));
    check(&mut controller, vec![good(), without_ip, good()], 1, ErrorCode::BAD_PREREQUISITE);
    check(&mut controller, vec![group(3, []), group(3, []), good()], 1, ErrorCode::GROUP_EXISTS);
    // The name of the bundle is free again.
    assert_eq!(controller.commit([good()]), Outcome::Committed);
    assert_eq!(controller.dump_flows().len(), 1);
}

#[test]
fn roles_are_ordered_by_generation() {
    let Some(bed) = Bed::start() else { return };
    let mut first = Controller::connect(&bed);
    let mut second = Controller::connect(&bed);
    let primary = |generation| RoleRequest { role: Role::Primary, generation: Epoch(generation) };
    let ask = |controller: &mut Controller, role| controller.ask(Body::RoleRequest(role));

    let query = RoleRequest { role: Role::NoChange, generation: Epoch(0) };
    let unset = RoleRequest { role: Role::Equal, generation: Epoch(u64::MAX) };
    assert_eq!(ask(&mut first, query), Body::RoleReply(unset));
    assert_eq!(ask(&mut first, primary(5)), Body::RoleReply(primary(5)));
    assert_eq!(ask(&mut second, primary(6)), Body::RoleReply(primary(6)));
    let Body::Error(stale) = ask(&mut first, primary(5)) else { panic!("5 is older than 6") };
    assert_eq!(stale.code, ErrorCode::STALE);
    let secondary = RoleRequest { role: Role::Secondary, generation: Epoch(6) };
    assert_eq!(ask(&mut first, query), Body::RoleReply(secondary));
    let Body::Error(refused) = first.ask(flow(1, Match::any(), output(1)).into()) else { panic!("it may not write") };
    assert_eq!(refused.code, ErrorCode::IS_SECONDARY);
}

#[test]
fn foreign_flows_and_groups_are_seen_and_can_be_deleted() {
    let Some(bed) = Bed::start() else { return };
    let flows = [
        "table=1,priority=1 actions=learn(table=9,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[]),output:1",
        "table=1,priority=2,ip,nw_src=10.0.0.1 actions=conjunction(5,1/2)",
        "table=1,priority=3,conj_id=5,ip actions=output:2",
        "table=1,priority=4,ip,ct_state=-trk actions=ct(table=2,zone=7)",
        "table=1,priority=5,pkt_mark=0x9,reg3=7,metadata=5 actions=drop",
        "table=1,priority=6,idle_timeout=600 actions=output:3",
        "table=1,priority=7 actions=write_metadata:0x5,goto_table:3",
        "table=1,priority=8 actions=load:0x5->NXM_NX_REG3[0..15],output(port=1,max_len=64),resubmit(1,2)",
        "table=1,priority=9,send_flow_rem actions=output:3",
    ];
    flows.iter().for_each(|flow| bed.ofctl("add-flow", flow));
    bed.ofctl("add-group", "group_id=3,type=select,bucket=weight:60,output:1,bucket=weight:40,output:2");
    let mut controller = Controller::connect(&bed);

    let dumped = controller.dump_flows();
    assert_eq!(dumped.len(), flows.len());
    for flow in &dumped {
        let is_foreign =
            matches!(flow.body, DumpedBody::Foreign { .. }) || matches!(flow.key.matching, WireMatch::Foreign(_));
        assert!(is_foreign, "{flow:?}");
    }
    let why = |priority| match dumped.iter().find(|flow| flow.key.priority == priority).map(|flow| &flow.body) {
        Some(DumpedBody::Foreign { why, .. }) => why.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(why(1), "Nicira action 16 is not modelled");
    assert_eq!(why(2), "Nicira action 34 is not modelled");
    assert_eq!(why(4), "Nicira action 35 is not modelled");
    assert_eq!(why(6), "idle_timeout 0x258 is not modelled");

    let groups = controller.dump_groups();
    assert!(
        matches!(&groups[..], [DumpedGroup { id: GroupId(3), buckets: DumpedBuckets::Foreign { .. } }]),
        "{groups:?}"
    );

    let delete = |key: WireKey| Mod::Flow(FlowMod::DeleteStrict(key));
    let changes = dumped.into_iter().map(|flow| delete(flow.key)).chain([Mod::Group(GroupMod::Delete(GroupId(3)))]);
    assert_eq!(controller.commit(changes), Outcome::Committed);
    assert_eq!(controller.dump_flows(), []);
    assert_eq!(controller.dump_groups(), []);
}

#[test]
fn ports_and_packets_are_told() {
    let Some(bed) = Bed::start() else { return };
    // The switch tells nothing unasked to who comes by the management socket, unless he wants it.
    let all = [(AsyncKind::PortStatusPrimary, 7), (AsyncKind::PacketInPrimary, 0x3f)];
    let unasked = Some(AsyncConfig(all.into_iter().collect()));
    let mut controller = Controller::connect_with(&bed, Config { unasked, ..Config::default() });
    let description = controller.ask_all(Request::Description);
    assert!(matches!(&description[..], [Reply::Description(text)] if text.hardware == "Open vSwitch"));

    bed.add_port("p1");
    let Body::PortStatus(status) = controller.next_message().body else { panic!("p1 is new") };
    assert_eq!((status.change, status.port.name.as_str()), (PortChange::Added, "p1"));
    let ports = controller.ask_all(Request::Ports(Some(status.port.number)));
    assert!(matches!(&ports[..], [Reply::Ports(ports)] if ports[0].name == "p1"), "{ports:?}");

    let config = SwitchConfig { fragments: 0, miss_send_len: 0xffff };
    controller.send(Body::SetConfig(config));
    assert_eq!(controller.ask(Body::GetConfigRequest), Body::GetConfigReply(config));
    let data = vec![0xff; 60];
    let packet = PacketOut { in_port: status.port.number, actions: output(CONTROLLER.0), data: data.clone() };
    controller.send(Body::PacketOut(packet));
    loop {
        // The link of a new port may still come up meanwhile.
        match controller.next_message().body {
            Body::PortStatus(_) => {}
            Body::PacketIn(packet) => {
                assert_eq!((packet.in_port(), packet.data), (Some(status.port.number), data));
                return;
            }
            other => panic!("not the packet: {other:?}"),
        }
    }
}
