//! Flows and groups that between them have every field and action.

use selvedge_core::flow::{
    Action, Actions, BucketId, Buckets, Field, FieldMatch, Flow, FlowBody, FlowKey, GroupId, Match,
};
use selvedge_core::ids::OfPort;
use selvedge_net::openflow::oxm::all_fields;
use selvedge_net::openflow::ports::{CONTROLLER, LOCAL};
use std::sync::Arc;

/// The least match that `field` needs beside it (section 7.2.3.6).
fn prerequisites(field: Field) -> Match {
    use Field::*;
    let ip = |ethertype: u16, protocol: u8| Match::any().exact(EthType, ethertype).exact(IpProto, protocol);
    match field {
        InPort | Metadata | Reg(_) | TunId | TunSrc | TunDst | TunIpv6Src | TunIpv6Dst => Match::any(),
        EthSrc | EthDst | EthType | VlanVid => Match::any(),
        IpProto | Ipv4Src | Ipv4Dst | IpTtl => Match::any().exact(EthType, 0x0800u16),
        Ipv6Src | Ipv6Dst => Match::any().exact(EthType, 0x86ddu16),
        TcpSrc | TcpDst => ip(0x0800, 6),
        UdpSrc | UdpDst => ip(0x86dd, 17),
        Icmpv4Type | Icmpv4Code => ip(0x0800, 1),
        Icmpv6Type | Icmpv6Code => ip(0x86dd, 58),
        NdTarget | NdSll => ip(0x86dd, 58).exact(Icmpv6Type, 135u8).exact(Icmpv6Code, 0u8),
        NdTll => ip(0x86dd, 58).exact(Icmpv6Type, 136u8).exact(Icmpv6Code, 0u8),
        ArpOp | ArpSpa | ArpTpa | ArpSha | ArpTha => Match::any().exact(EthType, 0x0806u16),
    }
}

fn value(field: Field) -> u128 {
    match field {
        Field::InPort => 1,
        Field::EthType => 0x88cc,
        Field::VlanVid => 0x1000 | 10,
        Field::ArpOp => 2,
        _ => 0x0242_4344_4546_4748_494a_4b4c_4d4e_4f50 >> (128 - field.bits().next_multiple_of(8)),
    }
}

/// A mask with the highest bit and some others, for the fields that may have one (ovs-fields(7)).
fn mask(field: Field) -> Option<u128> {
    use Field::*;
    match field {
        InPort | EthType | IpProto | IpTtl | ArpOp | Icmpv4Type | Icmpv4Code | Icmpv6Type | Icmpv6Code => None,
        VlanVid => Some(0x1000),
        _ => Some(field.full_mask() & !0xf | 1),
    }
}

/// Whether Open vSwitch lets set_field change it.
fn is_settable(field: Field) -> bool {
    !matches!(field, Field::InPort | Field::EthType | Field::IpProto)
}

/// The match that has nothing but `field`, and what it needs.
fn match_on(field: Field, mask: u128) -> Match {
    prerequisites(field).and(FieldMatch::masked(field, value(field), mask))
}

fn flow(table: u8, priority: u16, matching: Match, actions: Actions) -> Flow {
    let cookie = u64::from(table) << 32 | u64::from(priority + 1);
    Flow { key: Arc::new(FlowKey { table, priority, matching }), body: Arc::new(FlowBody { cookie, actions }) }
}

fn matching_flows() -> Vec<Flow> {
    let mut flows = Vec::new();
    for (priority, field) in (0u16..).zip(all_fields()) {
        flows.push(flow(1, priority, match_on(field, field.full_mask()), Actions::drop()));
        if let Some(mask) = mask(field) {
            flows.push(flow(2, priority, match_on(field, mask), Actions::drop()));
        }
    }
    flows
}

fn setting_flows() -> Vec<Flow> {
    let settable = all_fields().into_iter().filter(|field| is_settable(*field));
    let flow_of = |(priority, field): (u16, Field)| {
        let matching = match field {
            Field::VlanVid => match_on(field, 0x1000),
            field => prerequisites(field),
        };
        flow(3, priority, matching, Actions::from([Action::set(field, value(field)), Action::Output(OfPort(2))]))
    };
    (0u16..).zip(settable).map(flow_of).collect()
}

fn acting_flows() -> Vec<Flow> {
    use Field::*;
    let lists: [Vec<Action>; 9] = [
        vec![],
        vec![Action::Goto(9)],
        vec![Action::Output(OfPort(3)), Action::OutputInPort],
        vec![Action::Output(LOCAL), Action::Output(CONTROLLER)],
        vec![Action::Group(GroupId(1)), Action::Group(GroupId(2)), Action::Goto(200)],
        vec![Action::Copy { from: Reg(14), to: Reg(15) }, Action::Resubmit(7), Action::Resubmit(8)],
        vec![Action::Copy { from: EthSrc, to: EthDst }, Action::Copy { from: TunId, to: Metadata }, Action::Goto(5)],
        vec![Action::Copy { from: TunSrc, to: TunDst }, Action::Copy { from: TunIpv6Src, to: TunIpv6Dst }],
        vec![Action::set(Reg(10), 0u32), Action::set(Metadata, u64::MAX), Action::Output(OfPort(1)), Action::Goto(6)],
    ];
    (0u16..).zip(lists).map(|(priority, steps)| flow(4, priority, Match::any(), Actions::from(steps))).collect()
}

/// Matches as the pipeline makes them, with several fields.
fn compound_flows() -> Vec<Flow> {
    use Field::*;
    let datapath = Match::any().exact(Metadata, 5u32);
    let arp = datapath.exact(EthType, 0x0806u16).exact(ArpOp, 1u16).exact(ArpTpa, 0x0a00_0001u32);
    let answer = vec![
        Action::Copy { from: EthSrc, to: EthDst },
        Action::set(EthSrc, 0x0200_0000_000au64),
        Action::set(ArpOp, 2u16),
        Action::Copy { from: ArpSha, to: ArpTha },
        Action::set(ArpSha, 0x0200_0000_000au64),
        Action::Copy { from: ArpSpa, to: ArpTpa },
        Action::set(ArpSpa, 0x0a00_0001u32),
        Action::OutputInPort,
    ];
    let tunnel = vec![Action::set(TunId, 5u32), Action::set(TunDst, 0xac1f_0102u32), Action::Output(OfPort(1))];
    vec![
        flow(5, 100, arp, Actions::from(answer)),
        flow(5, 90, datapath.exact(Reg(15), 7u32).masked(Reg(10), 0u32, 1u32), Actions::from(tunnel)),
        flow(5, 80, datapath.exact(Reg(14), 7u32).exact(Reg(15), 8u32).exact(Reg(1), 9u32), Actions::drop()),
        flow(
            5,
            70,
            datapath.exact(TunId, 5u32).exact(InPort, 3u32).exact(TunSrc, 9u32),
            Actions::from([Action::Goto(6)]),
        ),
        flow(5, 60, match_on(TcpDst, 0xffff).exact(Ipv4Src, 1u32).exact(VlanVid, 0u16), Actions::drop()),
    ]
}

/// Flows that between them have every field, exact and with a mask, and every action. Some use [`groups`].
pub fn flows() -> Vec<Flow> {
    [matching_flows(), setting_flows(), acting_flows(), compound_flows()].concat()
}

/// A group without buckets, and one with buckets that do things.
pub fn groups() -> Vec<(GroupId, Buckets)> {
    let tunnel = Actions::from([Action::set(Field::TunDst, 0xac1f_0103u32), Action::Output(OfPort(1))]);
    let local = Actions::from([Action::set(Field::Reg(15), 4u32), Action::Resubmit(7)]);
    let buckets = Buckets::from([(BucketId(0), tunnel), (BucketId(9), local), (BucketId(10), Actions::drop())]);
    vec![(GroupId(1), Buckets::new()), (GroupId(2), buckets)]
}
