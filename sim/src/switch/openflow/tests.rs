//! The agent by itself, and against the controller's codec and session.

use super::Deadly;
use super::agent::{Agent, Ailments, Edit, Output};
use crate::switch::datapath::Bridge;
use selvedge_core::flow::{Action, Actions, BucketId, Field, Flow, FlowBody, FlowKey, GroupId, Match};
use selvedge_core::ids::{Epoch, OfPort};
use selvedge_net::openflow::codec::{Decoder, encode};
use selvedge_net::openflow::flows::FlowMod;
use selvedge_net::openflow::groups::GroupMod;
use selvedge_net::openflow::message::{
    Body, BundleAdd, BundleControl, BundleFlags, BundleId, BundleStep, Hello, Message, Mod, Role, RoleRequest, Xid,
};
use selvedge_net::openflow::multipart::{FlowUpdate, Reply, Request};
use std::sync::Arc;
use std::time::Duration;

/// An agent with its bridge, and the controller's codec at the other end of its connections.
struct Bed {
    agent: Agent,
    bridge: Bridge,
    now: Duration,
}

impl Bed {
    fn new() -> Bed {
        let mut bed = Bed { agent: Agent::new(7), bridge: Bridge::new("br"), now: Duration::ZERO };
        for conn in [1, 2] {
            bed.agent.connected(bed.now, conn);
            let hello = Body::Hello(Hello { version: 6, versions: Some(1 << 6) });
            let greeting = bed.ask(conn, hello);
            assert!(matches!(greeting.as_slice(), [Body::Hello(_)]), "{greeting:?}");
        }
        bed
    }

    fn ask(&mut self, conn: u64, body: Body) -> Vec<Body> {
        let mut bytes = Vec::new();
        encode(&Message { xid: Xid(9), body }, &mut bytes).expect("it fits");
        // In two pieces, as streams deliver.
        let (head, tail) = bytes.split_at(bytes.len() / 2);
        self.agent.received(self.now, conn, head, &mut self.bridge);
        self.agent.received(self.now, conn, tail, &mut self.bridge);
        self.heard(conn)
    }

    fn heard(&mut self, conn: u64) -> Vec<Body> {
        let mut decoder = Decoder::default();
        for output in self.agent.take_output() {
            match output {
                Output::Send(to, bytes) if to == conn => decoder.push(&bytes),
                _ => {}
            }
        }
        std::iter::from_fn(|| decoder.next_message().expect("the controller reads it")).map(|m| m.body).collect()
    }

    fn role(&mut self, conn: u64, role: Role, generation: u64) -> Result<(Role, u64), (u16, u16)> {
        let answer = self.ask(conn, Body::RoleRequest(RoleRequest { role, generation: Epoch(generation) }));
        match &answer[..] {
            [Body::RoleReply(reply)] => Ok((reply.role, reply.generation.0)),
            [Body::Error(error)] => Err((error.code.kind, error.code.code)),
            other => panic!("{other:?}"),
        }
    }

    fn dump(&mut self, request: Request) -> Reply {
        match self.ask(1, Body::MultipartRequest(request)).pop() {
            Some(Body::MultipartReply { reply, .. }) => reply,
            other => panic!("{other:?}"),
        }
    }

    fn flows(&self) -> usize {
        self.bridge.program().tables.iter().count()
    }
}

fn flow(priority: u16, actions: impl Into<Actions>) -> Flow {
    let matching = Match::any()
        .exact(Field::Reg(14), 3u32)
        .exact(Field::Metadata, 5u64)
        .exact(Field::EthType, 0x0806u16)
        .exact(Field::ArpTpa, 0x0a00_0001u32)
        .masked(Field::VlanVid, 0x1000u16, 0x1000u16)
        .masked(Field::EthDst, 1u64 << 40, 1u64 << 40);
    let key = FlowKey { table: 2, priority, matching };
    Flow { key: Arc::new(key), body: Arc::new(FlowBody { cookie: 77, actions: actions.into() }) }
}

fn all_actions() -> Vec<Action> {
    vec![
        Action::set(Field::TunId, 9u64),
        Action::set(Field::EthSrc, 0x0200_0000_0001u64),
        Action::Copy { from: Field::EthSrc, to: Field::EthDst },
        Action::Copy { from: Field::ArpSpa, to: Field::ArpTpa },
        Action::Resubmit(7),
        Action::Output(OfPort(3)),
        Action::OutputInPort,
        Action::Goto(6),
    ]
}

fn add(flow: Flow) -> Body {
    Body::FlowMod(FlowMod::Add(flow))
}

fn error_of(answer: &[Body]) -> Option<(u16, u16)> {
    answer.iter().find_map(|body| match body {
        Body::Error(error) => Some((error.code.kind, error.code.code)),
        _ => None,
    })
}

#[test]
fn what_the_controller_adds_is_what_it_reads_back() {
    let mut bed = Bed::new();
    let sent = flow(10, all_actions());
    assert_eq!(bed.ask(1, add(sent.clone())), []);
    let Reply::Flows(found) = bed.dump(Request::Flows(selvedge_net::openflow::flows::FlowFilter::default())) else {
        panic!("flows");
    };
    let known = found[0].key.clone().known().expect("nothing foreign about it");
    assert_eq!(known, *sent.key);
    let selvedge_net::openflow::flows::DumpedBody::Known(body) = &found[0].body else { panic!("{found:?}") };
    assert_eq!(*body, *sent.body);
    let buckets = std::collections::BTreeMap::from([
        (BucketId(4), Actions::from([Action::set(Field::Reg(15), 4u32), Action::Resubmit(7)])),
        (BucketId(5), Actions::from([Action::Output(OfPort(1))])),
    ]);
    assert_eq!(bed.ask(1, Body::GroupMod(GroupMod::Put { group: GroupId(1), buckets: buckets.clone() })), []);
    let Reply::Groups(groups) = bed.dump(Request::Groups(None)) else { panic!("groups") };
    let selvedge_net::openflow::groups::DumpedBuckets::Known(found) = &groups[0].buckets else { panic!("{groups:?}") };
    assert_eq!(*found, buckets);
}

/// A group with copies for so many nodes, their tunnels IPv6; then what the switch says of its groups.
fn groups_with_copies(nodes: u32) -> Result<usize, selvedge_net::openflow::error::Error> {
    let mut bed = Bed::new();
    let actions = || {
        let end = std::net::IpAddr::from([0xfd00_u16, 0, 0, 0, 0, 0, 0, 1]);
        Actions::from([Action::set(Field::TunId, 9u64), Action::set_tunnel_destination(end), Action::Output(OfPort(3))])
    };
    let group = GroupId(1);
    bed.ask(1, Body::GroupMod(GroupMod::Put { group, buckets: Default::default() }));
    for first in (0..nodes).step_by(512) {
        let buckets = (first..nodes.min(first + 512)).map(|node| (BucketId(node), actions())).collect();
        assert_eq!(bed.ask(1, Body::GroupMod(GroupMod::InsertBuckets { group, buckets })), []);
    }
    let mut bytes = Vec::new();
    encode(&Message { xid: Xid(9), body: Body::MultipartRequest(Request::Groups(None)) }, &mut bytes).expect("it fits");
    bed.agent.received(bed.now, 1, &bytes, &mut bed.bridge);
    let mut decoder = Decoder::default();
    for output in bed.agent.take_output() {
        if let Output::Send(1, bytes) = output {
            decoder.push(&bytes);
        }
    }
    let mut members = 0;
    while let Some(message) = decoder.next_message()? {
        let Body::MultipartReply { reply: Reply::Groups(groups), .. } = message.body else { panic!("{message:?}") };
        members += groups.iter().map(|group| known(&group.buckets).len()).sum::<usize>();
    }
    Ok(members)
}

fn known(buckets: &selvedge_net::openflow::groups::DumpedBuckets) -> &selvedge_core::flow::Buckets {
    match buckets {
        selvedge_net::openflow::groups::DumpedBuckets::Known(buckets) => buckets,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_group_of_more_than_64_kib_goes_in_and_cannot_be_described() {
    assert_eq!(groups_with_copies(1_023).expect("messages"), 1_023);
    groups_with_copies(1_024).expect_err("what follows is no message");
}

#[test]
fn roles_go_by_generation() {
    let mut bed = Bed::new();
    assert_eq!(bed.role(1, Role::NoChange, 0), Ok((Role::Equal, u64::MAX)), "no generation is known");
    assert_eq!(bed.role(1, Role::Primary, 5), Ok((Role::Primary, 5)));
    assert_eq!(bed.role(2, Role::Primary, 4), Err((11, 0)), "stale");
    assert_eq!(bed.role(2, Role::Primary, 5), Ok((Role::Primary, 5)), "an equal one is accepted");
    assert_eq!(bed.role(1, Role::NoChange, 0), Ok((Role::Secondary, 5)), "there is one primary");
    assert_eq!(error_of(&bed.ask(1, add(flow(1, [])))), Some((1, 10)), "a secondary may not write");
    assert_eq!(bed.role(1, Role::Equal, 0), Ok((Role::Equal, 5)), "an equal needs no generation");
    assert_eq!(bed.ask(1, add(flow(1, []))), []);
    assert_eq!(bed.role(1, Role::Primary, 1 << 62), Ok((Role::Primary, 1 << 62)), "a distance below half of all");
    assert_eq!(bed.role(1, Role::Primary, 1 << 63), Ok((Role::Primary, 1 << 63)));
    assert_eq!(bed.role(1, Role::Primary, 3 << 62), Ok((Role::Primary, 3 << 62)));
    assert_eq!(bed.role(1, Role::Primary, 6), Ok((Role::Primary, 6)), "and round the end");
    assert_eq!(bed.agent.take_writes().len(), 1);
}

fn bundle(bed: &mut Bed, step: BundleStep) -> Vec<Body> {
    let control = BundleControl { bundle: BundleId(1), step, flags: BundleFlags::ATOMIC_ORDERED };
    bed.ask(1, Body::BundleControl(control))
}

fn put(bed: &mut Bed, change: Mod) -> Vec<Body> {
    bed.ask(1, Body::BundleAdd(BundleAdd { bundle: BundleId(1), flags: BundleFlags::ATOMIC_ORDERED, change }))
}

#[test]
fn a_bundle_is_done_whole_or_not_at_all() {
    let mut bed = Bed::new();
    bundle(&mut bed, BundleStep::OpenRequest);
    assert_eq!(put(&mut bed, Mod::Flow(FlowMod::Add(flow(1, [])))), []);
    assert_eq!(put(&mut bed, Mod::Flow(FlowMod::Add(flow(2, [Action::Group(GroupId(3))])))), []);
    assert_eq!(bed.flows(), 0);
    bundle(&mut bed, BundleStep::CloseRequest);
    let answer = bundle(&mut bed, BundleStep::CommitRequest);
    let codes: Vec<_> = answer.iter().filter_map(|body| error_of(std::slice::from_ref(body))).collect();
    assert_eq!(codes, [(2, 9), (17, 13)], "the member's own error, then the bundle's");
    assert_eq!(bed.flows(), 0);
    bundle(&mut bed, BundleStep::OpenRequest);
    put(&mut bed, Mod::Group(GroupMod::Put { group: GroupId(3), buckets: Default::default() }));
    put(&mut bed, Mod::Flow(FlowMod::Add(flow(2, [Action::Group(GroupId(3))]))));
    let answer = bundle(&mut bed, BundleStep::CommitRequest);
    assert!(matches!(&answer[..], [Body::BundleControl(control)] if control.step == BundleStep::CommitReply));
    assert_eq!(bed.flows(), 1);
    assert_eq!(bed.ask(1, Body::GroupMod(GroupMod::Delete(GroupId(3)))), []);
    assert_eq!(bed.flows(), 0, "flows go with their group");
}

#[test]
fn bundles_end_with_patience_and_with_their_connection() {
    let mut bed = Bed::new();
    bundle(&mut bed, BundleStep::OpenRequest);
    bed.now = Duration::from_secs(11);
    bed.agent.tick(bed.now, &mut bed.bridge);
    assert_eq!(error_of(&bed.heard(1)), Some((17, 14)), "it is told that its patience was too great");
    assert_eq!(error_of(&bundle(&mut bed, BundleStep::CommitRequest)), Some((17, 2)));
    bundle(&mut bed, BundleStep::OpenRequest);
    bed.agent.closed(1);
    assert_eq!((bed.agent.counts.bundles_expired, bed.agent.counts.bundles_lost), (1, 1));
}

#[test]
fn watchers_hear_of_others_and_in_short_of_themselves() {
    let mut bed = Bed::new();
    let first = bed.dump(Request::WatchFlows(4));
    assert_eq!(first, Reply::FlowsChanged(vec![]));
    let updates = |heard: Vec<Body>| -> Vec<FlowUpdate> {
        let updates = heard.into_iter().flat_map(|body| match body {
            Body::MultipartReply { reply: Reply::FlowsChanged(updates), .. } => updates,
            other => panic!("{other:?}"),
        });
        updates.collect()
    };
    let heard = bed.ask(1, add(flow(1, [])));
    assert_eq!(updates(heard), [FlowUpdate::Own(Xid(9))]);
    bed.ask(2, add(flow(2, [])));
    bed.agent.received(bed.now, 2, &[], &mut bed.bridge);
    bed.agent.edit(bed.now, &mut bed.bridge, Edit::DeleteFlow(0));
    let heard = bed.heard(1);
    assert_eq!(updates(heard), [FlowUpdate::Foreign]);
    bed.agent.edit(bed.now, &mut bed.bridge, Edit::EmptyGroup(0));
    assert_eq!(bed.heard(1), [], "nobody hears of groups");
}

#[test]
fn nonsense_gets_the_error_it_deserves() {
    let mut bed = Bed::new();
    let mut raw = |bytes: &[u8]| {
        bed.agent.received(bed.now, 1, bytes, &mut bed.bridge);
        error_of(&bed.heard(1))
    };
    assert_eq!(raw(&[6, 200, 0, 8, 0, 0, 0, 1]), Some((1, 1)));
    assert_eq!(raw(&[4, 5, 0, 8, 0, 0, 0, 1]), Some((1, 0)));
    assert_eq!(raw(&[6, 14, 0, 12, 0, 0, 0, 1, 0, 0, 0, 0]), Some((1, 6)));
    bed.agent.received(bed.now, 1, &[6, 5, 0, 3, 0, 0, 0, 1], &mut bed.bridge);
    assert_eq!(bed.agent.take_output(), [Output::Close(1)]);
}

#[test]
fn ailments_fail_and_delay() {
    let mut bed = Bed::new();
    bed.agent.ailments = Ailments { fail_nth: Some(2), ..Ailments::default() };
    assert_eq!(bed.ask(1, add(flow(1, []))), []);
    assert_eq!(error_of(&bed.ask(1, add(flow(2, [])))), Some((5, 1)));
    assert_eq!(bed.ask(1, add(flow(3, []))), []);
    bed.agent.ailments.delay = Duration::from_secs(1);
    assert_eq!(bed.ask(1, Body::BarrierRequest), []);
    bed.now = Duration::from_secs(1);
    bed.agent.tick(bed.now, &mut bed.bridge);
    assert_eq!(bed.heard(1), [Body::BarrierReply]);
}

#[test]
fn what_kills_a_real_switch_is_noticed() {
    let group = || Mod::Group(GroupMod::Put { group: GroupId(3), buckets: Default::default() });
    let mut bed = Bed::new();
    bed.ask(1, Body::GroupMod(GroupMod::Put { group: GroupId(3), buckets: Default::default() }));
    bed.ask(1, add(flow(1, [Action::Group(GroupId(3)), Action::Group(GroupId(3))])));
    bed.ask(1, Body::GroupMod(GroupMod::Delete(GroupId(3))));
    let deadly =
        |bed: &mut Bed| bed.agent.take_writes().into_iter().filter_map(|write| write.deadly).collect::<Vec<_>>();
    assert_eq!(deadly(&mut bed), [Deadly::GroupUsedTwice]);
    bundle(&mut bed, BundleStep::OpenRequest);
    put(&mut bed, group());
    put(&mut bed, Mod::Flow(FlowMod::Add(flow(2, [Action::Group(GroupId(3))]))));
    put(&mut bed, Mod::Group(GroupMod::Delete(GroupId(3))));
    bundle(&mut bed, BundleStep::CommitRequest);
    assert_eq!(deadly(&mut bed), [Deadly::GroupOfNewFlow]);
    put(&mut bed, group());
    put(&mut bed, Mod::Group(GroupMod::InsertBuckets { group: GroupId(3), buckets: Default::default() }));
    bundle(&mut bed, BundleStep::CommitRequest);
    assert_eq!(deadly(&mut bed), [Deadly::NoBuckets]);
}
