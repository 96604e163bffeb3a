//! Whatever can be encoded decodes to itself.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use selvedge_core::flow::{
    Action, Actions, BucketId, Buckets, Field, FieldMatch, Flow, FlowBody, FlowKey, GroupId, Match,
};
use selvedge_core::ids::OfPort;
use selvedge_net::openflow::codec::{decode, encode};
use selvedge_net::openflow::flows::{DumpedBody, DumpedFlow, FlowFilter, FlowMod, Stats};
use selvedge_net::openflow::groups::{DumpedBuckets, DumpedGroup, GroupMod};
use selvedge_net::openflow::message::{Body, BundleAdd, BundleFlags, BundleId, Message, Mod, Xid};
use selvedge_net::openflow::multipart::Reply;
use selvedge_net::openflow::oxm::all_fields;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

fn field() -> impl Strategy<Value = Field> {
    select(all_fields())
}

fn matching() -> impl Strategy<Value = Match> {
    let masks = prop_oneof![Just(u128::MAX), any::<u128>()];
    proptest::collection::btree_map(field(), (any::<u128>(), masks), 0..12).prop_map(|fields| {
        let item = |(field, (value, mask)): (Field, (u128, u128))| {
            FieldMatch::masked(field, value & field.full_mask(), mask & field.full_mask())
        };
        Match::from_fields(fields.into_iter().map(item).collect()).expect("each field once")
    })
}

fn step() -> impl Strategy<Value = Action> {
    let peers =
        |field: Field| all_fields().into_iter().filter(move |peer| peer.bits() == field.bits()).collect::<Vec<_>>();
    let port = any::<u32>().prop_filter("is an action of its own", |port| *port != 0xffff_fff8);
    prop_oneof![
        port.prop_map(|port| Action::Output(OfPort(port))),
        Just(Action::OutputInPort),
        any::<u32>().prop_map(|group| Action::Group(GroupId(group))),
        (field(), any::<u128>()).prop_map(|(field, value)| Action::set(field, value & field.full_mask())),
        field()
            .prop_flat_map(move |from| (Just(from), select(peers(from))))
            .prop_map(|(from, to)| Action::Copy { from, to }),
        any::<u8>().prop_map(Action::Resubmit),
    ]
}

fn flow() -> impl Strategy<Value = Flow> {
    let goto = proptest::option::of(any::<u8>().prop_map(Action::Goto));
    (any::<(u8, u16, u64)>(), matching(), vec(step(), 0..10), goto).prop_map(|(numbers, matching, mut steps, goto)| {
        let (table, priority, cookie) = numbers;
        steps.extend(goto);
        Flow {
            key: Arc::new(FlowKey { table, priority, matching }),
            body: Arc::new(FlowBody { cookie, actions: Actions::from(steps) }),
        }
    })
}

fn flow_mod() -> impl Strategy<Value = FlowMod> {
    let filter = (any::<Option<u8>>(), any::<u64>(), any::<u64>(), matching()).prop_map(
        |(table, cookie, cookie_mask, matching)| {
            // 255 is how all tables are said.
            FlowFilter { table: table.filter(|table| *table != 255), cookie, cookie_mask, matching }
        },
    );
    prop_oneof![
        flow().prop_map(FlowMod::Add),
        flow().prop_map(FlowMod::ModifyStrict),
        flow().prop_map(|flow| FlowMod::DeleteStrict(FlowKey::clone(&flow.key).into())),
        filter.prop_map(FlowMod::Delete),
    ]
}

fn buckets() -> impl Strategy<Value = Buckets> {
    let bucket = (0u32..=0xffff_ff00).prop_map(BucketId);
    let actions = vec(step(), 0..4).prop_map(Actions::from);
    vec((bucket, actions), 0..6).prop_map(BTreeMap::from_iter)
}

fn group_mod() -> impl Strategy<Value = GroupMod> {
    let group = || (1u32..=0xffff_ff00).prop_map(GroupId);
    prop_oneof![
        (group(), buckets()).prop_map(|(group, buckets)| GroupMod::Add { group, buckets }),
        (group(), buckets()).prop_map(|(group, buckets)| GroupMod::Modify { group, buckets }),
        (group(), buckets()).prop_map(|(group, buckets)| GroupMod::Put { group, buckets }),
        group().prop_map(GroupMod::Delete),
        Just(GroupMod::DeleteAll),
        (group(), buckets()).prop_map(|(group, buckets)| GroupMod::InsertBuckets { group, buckets }),
        (group(), 0u32..=0xffff_ff00).prop_map(|(group, n)| GroupMod::RemoveBucket { group, bucket: BucketId(n) }),
    ]
}

fn stats() -> impl Strategy<Value = Stats> {
    let time = || proptest::option::of((any::<u32>(), 0u32..1_000_000_000));
    (time(), time(), any::<(Option<u32>, Option<u64>, Option<u64>)>()).prop_map(|(duration, idle, counts)| {
        let time = |(seconds, nanos): (u32, u32)| Duration::new(seconds.into(), nanos);
        let (flows, packets, bytes) = counts;
        Stats { duration: duration.map(time), idle: idle.map(time), flows, packets, bytes }
    })
}

fn dumped_flow() -> impl Strategy<Value = DumpedFlow> {
    (flow(), stats()).prop_map(|(flow, stats)| DumpedFlow {
        key: FlowKey::clone(&flow.key).into(),
        body: DumpedBody::Known(FlowBody::clone(&flow.body)),
        stats,
    })
}

fn dumped_group() -> impl Strategy<Value = DumpedGroup> {
    (any::<u32>(), buckets())
        .prop_map(|(id, buckets)| DumpedGroup { id: GroupId(id), buckets: DumpedBuckets::Known(buckets) })
}

fn body() -> impl Strategy<Value = Body> {
    let change = prop_oneof![flow_mod().prop_map(Mod::Flow), group_mod().prop_map(Mod::Group)];
    let flags = BundleFlags::ATOMIC_ORDERED;
    prop_oneof![
        flow_mod().prop_map(Body::FlowMod),
        group_mod().prop_map(Body::GroupMod),
        (any::<u32>(), change).prop_map(move |(id, change)| Body::BundleAdd(BundleAdd {
            bundle: BundleId(id),
            flags,
            change
        })),
        (any::<bool>(), vec(dumped_flow(), 0..4))
            .prop_map(|(more, flows)| Body::MultipartReply { more, reply: Reply::Flows(flows) }),
        (any::<bool>(), vec(dumped_group(), 0..4))
            .prop_map(|(more, groups)| Body::MultipartReply { more, reply: Reply::Groups(groups) }),
    ]
}

proptest! {
    #[test]
    fn messages_decode_to_themselves(xid in any::<u32>(), body in body()) {
        let message = Message { xid: Xid(xid), body };
        let mut bytes = Vec::new();
        encode(&message, &mut bytes).expect("short");
        prop_assert_eq!(decode(&bytes), Ok(message));
    }
}
