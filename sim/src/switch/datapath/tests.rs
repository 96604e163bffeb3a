//! What each action does, on bytes.

use super::super::model::*;
use super::super::packet::build::Frame;
use super::super::packet::{Packet, parse};
use super::tunnel::{Protocol, TunnelConfig};
use super::*;
use crate::switch::model::port;

const NONE: [u32; 0] = [];
const NOW: Duration = Duration::from_secs(10);

fn output(port: u32) -> Action {
    Action::Output { port, max_len: 0xffff }
}

fn set(field: Field, value: u128) -> Action {
    Action::Set(FieldMatch { field, value, mask: field.full_mask() })
}

fn whole(field: Field) -> Subfield {
    Subfield { field, offset: 0, bits: field.bits() as u16 }
}

fn resubmit(table: u8) -> Action {
    Action::Resubmit { in_port: None, table: Some(table), original_tuple: false }
}

fn is(field: Field, value: u128) -> FieldMatch {
    FieldMatch { field, value, mask: field.full_mask() }
}

fn flow(table: u8, priority: u16, matching: &[FieldMatch], actions: Vec<Action>) -> Flow {
    Flow {
        table,
        priority,
        matching: Match(matching.to_vec()),
        cookie: u64::from(table) << 16 | u64::from(priority),
        actions,
        idle_timeout: 0,
        hard_timeout: 0,
        flags: 0,
        importance: 0,
    }
}

/// A bridge with ports 1 to 3 and these flows.
fn start(flows: Vec<Flow>) -> Bridge {
    let mut bridge = Bridge::new("br");
    (1..=3).for_each(|number| bridge.add_port(Port::device(number, &format!("p{number}"))));
    for flow in flows {
        bridge.change(Duration::ZERO).tables.add(Duration::ZERO, flow).expect("room");
    }
    bridge
}

fn run(bridge: &mut Bridge, frame: &Frame) -> Vec<(u32, Vec<u8>)> {
    outputs(bridge.execute(NOW, 1, Packet::new(frame.build()), None))
}

fn outputs(effects: Vec<Effect>) -> Vec<(u32, Vec<u8>)> {
    let output = |effect| match effect {
        Effect::Output(output) => Some((output.port, output.packet.data)),
        Effect::PacketIn(_) | Effect::Learned(_) => None,
    };
    effects.into_iter().filter_map(output).collect()
}

/// Ports to which these actions send a packet that came in by port 1.
fn ports(actions: Vec<Action>, more: Vec<Flow>) -> Vec<u32> {
    let mut flows = vec![flow(0, 1, &[], actions)];
    flows.extend(more);
    run(&mut start(flows), &Frame::tcp4()).into_iter().map(|(port, _)| port).collect()
}

/// The value of a field in the packet that these actions send to port 2.
fn field_after(frame: Frame, actions: Vec<Action>, field: Field) -> u128 {
    let mut actions = actions;
    actions.push(output(2));
    let sent = run(&mut start(vec![flow(0, 1, &[], actions)]), &frame);
    parse(&sent[0].1).0.get(field)
}

#[test]
fn a_packet_without_a_flow_is_dropped() {
    assert_eq!(run(&mut start(vec![]), &Frame::tcp4()), []);
    assert_eq!(ports(vec![], vec![]), NONE);
}

#[test]
fn reserved_ports() {
    assert_eq!(ports(vec![output(1), output(2), output(9)], vec![]), [2], "not where it came from, not to nowhere");
    assert_eq!(ports(vec![output(port::IN_PORT)], vec![]), [1]);
    assert_eq!(ports(vec![output(port::ALL)], vec![]), [2, 3, port::LOCAL]);
    assert_eq!(ports(vec![output(port::LOCAL)], vec![]), [port::LOCAL]);
    let mut bridge = start(vec![flow(0, 1, &[], vec![output(port::FLOOD)])]);
    bridge.port_mut(2).expect("a port").config = config::NO_FLOOD;
    bridge.port_mut(3).expect("a port").config = config::NO_FWD;
    assert_eq!(run(&mut bridge, &Frame::arp()).len(), 1);
    bridge.port_mut(1).expect("a port").config = config::NO_RECV;
    assert_eq!(run(&mut bridge, &Frame::arp()), []);
    assert_eq!(bridge.port(1).map(|port| port.counters.rx_dropped), Some(1));
}

#[test]
fn a_register_names_a_port() {
    let by = |value: u128| {
        let source = Subfield { field: Field::Reg(5), offset: 0, bits: 32 };
        ports(vec![set(Field::Reg(5), value), Action::OutputReg { source, max_len: 0 }], vec![])
    };
    assert_eq!(by(2), [2]);
    assert_eq!(by(0xfffe), [port::LOCAL]);
    assert_eq!(by(0x1_0002), NONE);
}

#[test]
fn sets_moves_and_the_stack() {
    assert_eq!(field_after(Frame::tcp4(), vec![set(Field::TcpDst, 99)], Field::TcpDst), 99);
    assert_eq!(field_after(Frame::udp4(), vec![set(Field::TcpDst, 99)], Field::UdpDst), 53, "no such header");
    let masked = Action::Set(FieldMatch { field: Field::Ipv4Src, value: 0xff, mask: 0xff });
    assert_eq!(field_after(Frame::udp4(), vec![masked], Field::Ipv4Src), 0x0a00_00ff);
    let swap = vec![
        Action::Push(whole(Field::EthSrc)),
        Action::Push(whole(Field::EthDst)),
        Action::Pop(whole(Field::EthSrc)),
        Action::Pop(whole(Field::EthDst)),
        Action::Pop(whole(Field::EthDst)),
    ];
    assert_eq!(field_after(Frame::arp(), swap, Field::EthDst), 0x0200_0000_0001);
    let copy = Action::Move { from: whole(Field::ArpSpa), to: whole(Field::ArpTpa) };
    assert_eq!(field_after(Frame::arp(), vec![copy], Field::ArpTpa), 0x0a00_0001);
}

#[test]
fn tags() {
    let push = vec![Action::PushVlan(0x88a8), set(Field::VlanVid, 0x1064)];
    assert_eq!(field_after(Frame::tcp4(), push, Field::VlanVid), 0x1064);
    let tagged = Frame { tags: vec![(0x8100, 5)], ..Frame::tcp4() };
    assert_eq!(field_after(tagged, vec![Action::PopVlan], Field::EthType), 0x800);
}

#[test]
fn ttl() {
    assert_eq!(field_after(Frame::tcp6(), vec![Action::DecTtl(vec![0])], Field::IpTtl), 63);
    assert_eq!(field_after(Frame::tcp6(), vec![Action::SetTtl(9)], Field::IpTtl), 9);
    let actions = vec![Action::SetTtl(1), Action::DecTtl(vec![0]), output(2)];
    let outer = flow(0, 1, &[], vec![resubmit(1), output(3)]);
    let mut bridge = start(vec![outer, flow(1, 1, &[], actions)]);
    let effects = bridge.execute(NOW, 1, Packet::new(Frame::tcp4().build()), None);
    let Effect::PacketIn(told) = &effects[0] else { panic!("{effects:?}") };
    assert_eq!((told.reason, told.table), (2, 1));
    assert_eq!(outputs(effects).len(), 1, "only that list of actions ends");
}

#[test]
fn resubmissions() {
    let inner = flow(1, 1, &[is(Field::InPort, 7)], vec![output(1), output(2)]);
    let as_if = Action::Resubmit { in_port: Some(7), table: Some(1), original_tuple: false };
    assert_eq!(ports(vec![as_if, output(3)], vec![inner.clone()]), [2, 3], "the port is as it was");
    let changed = vec![set(Field::InPort, 7), resubmit(1), output(3)];
    assert_eq!(ports(changed, vec![inner]), [1, 2, 3], "the port is another");
    let stop = flow(1, 1, &[], vec![output(2), Action::Exit, output(3)]);
    assert_eq!(ports(vec![resubmit(1), output(3)], vec![stop]), [2]);
    assert_eq!(ports(vec![Action::GotoTable(1)], vec![flow(1, 1, &[], vec![output(2)])]), [2]);
}

#[test]
fn a_packet_that_goes_round_has_no_effect() {
    let mut bridge = start(vec![flow(0, 1, &[], vec![output(2), resubmit(0)])]);
    assert_eq!(run(&mut bridge, &Frame::tcp4()), []);
    assert_eq!(bridge.aborted, 1);
    // Through all tables and round again, the deepest that the limits allow.
    let flows = (0..=254).map(|table| flow(table, 1, &[], vec![resubmit(if table == 254 { 0 } else { table + 1 })]));
    let mut long = start(flows.collect());
    assert_eq!(run(&mut long, &Frame::tcp4()), []);
    assert_eq!(long.aborted, 1);
}

#[test]
fn sixty_three_rounds_are_fine() {
    // Each round lowers the TTL of 64; the last one finds another flow.
    let rounds = vec![Action::DecTtl(vec![]), resubmit(0)];
    let stop = flow(0, 2, &[is(Field::IpTtl, 2)], vec![output(2)]);
    assert_eq!(ports(rounds, vec![stop]), [2]);
}

#[test]
fn clones_leave_nothing_behind() {
    let inside = vec![set(Field::TcpDst, 99), Action::Push(whole(Field::Reg(0))), output(2)];
    let mut bridge = start(vec![flow(0, 1, &[], vec![Action::Clone(inside), output(3)])]);
    let sent = run(&mut bridge, &Frame::tcp4());
    let port = |index: usize| parse(&sent[index].1).0.get(Field::TcpDst);
    assert_eq!((sent.len(), port(0), port(1)), (2, 99, 80));
}

#[test]
fn action_sets_and_metadata() {
    let first = vec![
        Action::WriteActions(vec![output(2), set(Field::TcpDst, 5)]),
        Action::WriteMetadata { value: 0x50, mask: 0xf0 },
        Action::GotoTable(1),
    ];
    let second = flow(1, 1, &[is(Field::Metadata, 0x50)], vec![Action::WriteActions(vec![output(3)])]);
    assert_eq!(ports(first.clone(), vec![second]), [3]);
    let cleared = flow(1, 1, &[], vec![Action::ClearActions]);
    assert_eq!(ports(first, vec![cleared]), NONE);
}

#[test]
fn groups_give_each_bucket_a_copy() {
    let bucket = |id: u32, actions: Vec<Action>| Bucket {
        id,
        weight: 1,
        watch_port: port::ANY,
        watch_group: port::ANY,
        actions,
    };
    let buckets = vec![bucket(1, vec![output(2), set(Field::TcpDst, 7)]), bucket(2, vec![output(3)])];
    let mut bridge = start(vec![flow(0, 1, &[], vec![Action::Group(1), output(port::LOCAL)])]);
    assert_eq!(run(&mut bridge, &Frame::tcp4()), [], "a group that is not there ends the list");
    bridge.change(NOW).groups.set(NOW, 1, Group { kind: GroupType::All, buckets });
    let sent = run(&mut bridge, &Frame::tcp4());
    let ports: Vec<(u32, u128)> = sent.iter().map(|(port, data)| (*port, parse(data).0.get(Field::TcpDst))).collect();
    assert_eq!(ports, [(2, 7), (3, 80), (port::LOCAL, 80)]);
    assert_eq!(bridge.program().groups.get(1).map(|entry| entry.packets), Some(1));
}

#[test]
fn learning_a_flow() {
    let learn = Learn {
        idle_timeout: 5,
        hard_timeout: 0,
        priority: 50,
        cookie: 0x77,
        flags: 1,
        table: 1,
        fin_idle_timeout: 0,
        fin_hard_timeout: 0,
        specs: vec![
            LearnSpec {
                source: LearnSource::Field(whole(Field::EthSrc)),
                bits: 48,
                target: LearnTarget::Match(whole(Field::EthDst)),
            },
            LearnSpec {
                source: LearnSource::Field(Subfield { field: Field::InPort, offset: 0, bits: 16 }),
                bits: 16,
                target: LearnTarget::Output,
            },
        ],
    };
    let mut bridge = start(vec![flow(0, 1, &[], vec![Action::Learn(Box::new(learn)), resubmit(1)])]);
    run(&mut bridge, &Frame::tcp4());
    let back = Frame { destination: Frame::tcp4().source, source: Frame::tcp4().destination, ..Frame::tcp4() };
    let effects = bridge.execute(NOW, 2, Packet::new(back.build()), None);
    assert_eq!(outputs(effects).first().map(|(port, _)| *port), Some(1));
    let (_, entry) = bridge.program().tables.iter().find(|(_, entry)| entry.flow.cookie == 0x77).expect("learnt");
    assert_eq!(
        (entry.flow.idle_timeout, entry.flow.flags, entry.flow.actions.clone()),
        (5, 1, vec![Action::Output { port: 1, max_len: 0 }])
    );
    assert_eq!(bridge.expire(NOW + Duration::from_secs(5)).len(), 2);
}

#[test]
fn controllers_are_told_with_bytes_and_reason() {
    let to = |reason| Action::Controller { max_len: 20, controller: 3, reason, userdata: vec![1, 2] };
    let mut bridge = start(vec![
        flow(0, 0, &[], vec![set(Field::Reg(1), 6), to(1)]),
        flow(0, 5, &[is(Field::EthType, 0x806)], vec![output(port::CONTROLLER)]),
    ]);
    let told =
        |bridge: &mut Bridge, frame: Frame| match bridge.execute(NOW, 1, Packet::new(frame.build()), None).remove(0) {
            Effect::PacketIn(told) => told,
            other => panic!("{other:?}"),
        };
    let miss = told(&mut bridge, Frame::tcp4());
    assert_eq!((miss.reason, miss.controller, miss.cookie, miss.userdata.len(), miss.max_len), (0, 3, 0, 2, 20));
    assert_eq!((miss.key.get(Field::InPort), miss.key.get(Field::Reg(1))), (1, 6));
    assert_eq!(told(&mut bridge, Frame::arp()).reason, 1);
}

#[test]
fn packet_out() {
    let mut bridge = start(vec![flow(0, 1, &[is(Field::InPort, 2)], vec![output(3)])]);
    let packet = || Packet::new(Frame::tcp4().build());
    let effects = bridge.packet_out(NOW, 2, &[output(2), output(1), output(port::TABLE)], packet());
    assert_eq!(outputs(effects).iter().map(|(port, _)| *port).collect::<Vec<_>>(), [1, 3]);
    let effects = bridge.packet_out(NOW, port::CONTROLLER, &[output(port::CONTROLLER)], packet());
    assert!(matches!(&effects[0], Effect::PacketIn(told) if told.reason == 5));
}

#[test]
fn tunnels_are_told_by_flows_and_never_lead_home() {
    let to = |address: u128| vec![set(Field::TunId, 9), set(Field::TunDst, address), output(4)];
    let mut bridge = start(vec![flow(0, 1, &[], to(0x0a01_0101))]);
    bridge.add_port(Port::device(4, "gnv").with_kind(PortKind::Tunnel(TunnelConfig::of_flows(Protocol::Geneve))));
    let effects = bridge.execute(NOW, 1, Packet::new(Frame::tcp4().build()), None);
    let Effect::Output(Output { tunnel: Some(tunnel), .. }) = &effects[0] else { panic!("{effects:?}") };
    assert_eq!((tunnel.id, tunnel.destination, tunnel.ttl), (9, Some([10, 1, 1, 1].into()), 64));
    let from = TunnelMetadata { destination: Some([10, 1, 1, 1].into()), ..TunnelMetadata::default() };
    assert_eq!(bridge.execute(NOW, 1, Packet::new(Frame::tcp4().build()), Some(&from)), []);
    assert_eq!(
        start(vec![flow(0, 1, &[], vec![output(4)])]).execute(NOW, 1, Packet::new(Frame::tcp4().build()), None),
        []
    );
}

#[test]
fn normal_learns_where_stations_are() {
    let mut bridge = start(vec![flow(0, 1, &[], vec![output(port::NORMAL)])]);
    bridge.port_mut(3).expect("a port").vlan = Vlan::Access(7);
    assert_eq!(run(&mut bridge, &Frame::tcp4()).len(), 2, "to port 2 and the bridge's own, not to the other VLAN");
    let back = Frame { destination: Frame::tcp4().source, source: Frame::tcp4().destination, ..Frame::tcp4() };
    let effects = bridge.execute(NOW, 2, Packet::new(back.build()), None);
    assert_eq!(outputs(effects).iter().map(|(port, _)| *port).collect::<Vec<_>>(), [1]);
    let sent = outputs(bridge.execute(NOW, 3, Packet::new(Frame::udp4().build()), None));
    let tags: Vec<u128> = sent.iter().map(|(_, data)| parse(data).0.get(Field::VlanVid)).collect();
    assert_eq!(tags, [0x1007, 0x1007, 0x1007]);
}

#[test]
fn a_meter_that_is_exceeded_drops_the_rest() {
    let actions = vec![output(2), Action::Meter(1), output(3)];
    let mut bridge = start(vec![flow(0, 1, &[], actions)]);
    bridge.meters.set(NOW, 1, Meter { is_in_packets: true, bands: vec![Band { rate: 1, burst: 1 }] });
    assert_eq!(run(&mut bridge, &Frame::tcp4()).len(), 2);
    assert_eq!(run(&mut bridge, &Frame::tcp4()).len(), 1);
}

#[test]
fn queues() {
    let actions = vec![Action::SetQueue(4), output(2), Action::PopQueue, output(3)];
    let effects = start(vec![flow(0, 1, &[], actions)]).execute(NOW, 1, Packet::new(Frame::tcp4().build()), None);
    let queue = |effect: &Effect| match effect {
        Effect::Output(output) => output.queue,
        Effect::PacketIn(_) | Effect::Learned(_) => panic!("an output"),
    };
    assert_eq!(effects.iter().map(queue).collect::<Vec<_>>(), [Some(4), None]);
}

#[test]
fn old_tables_answer_while_the_cache_lags() {
    let mut bridge = start(vec![flow(0, 1, &[], vec![output(2)])]);
    bridge.cache_lag = Duration::from_secs(3);
    bridge.change(NOW).tables.add(NOW, flow(0, 1, &[], vec![output(3)])).expect("room");
    let ports = |bridge: &mut Bridge, now| {
        let effects = bridge.execute(now, 1, Packet::new(Frame::tcp4().build()), None);
        outputs(effects).into_iter().map(|(port, _)| port).collect::<Vec<_>>()
    };
    assert_eq!(ports(&mut bridge, NOW), [2]);
    assert_eq!(ports(&mut bridge, NOW + Duration::from_secs(3)), [3]);
}

#[test]
fn congestion_marks_go_inside() {
    let mut bridge = start(vec![flow(0, 1, &[], vec![output(2)])]);
    let marked = TunnelMetadata { tos: 3, destination: Some([10, 1, 1, 1].into()), ..TunnelMetadata::default() };
    let plain = Frame::tcp4().build();
    assert_eq!(bridge.execute(NOW, 1, Packet::new(plain.clone()), Some(&marked)), []);
    let mut capable = plain;
    capable[15] = 1;
    let sent = outputs(bridge.execute(NOW, 1, Packet::new(capable), Some(&marked)));
    assert_eq!(parse(&sent[0].1).0.get(Field::IpEcn), 3);
}

#[test]
fn tracked_packets_go_on_with_what_the_tracker_said() {
    let ct = |commit, zone, recirculate, actions| {
        Action::Ct(Box::new(Ct { commit, force: false, recirculate, zone: CtZone::Fixed(zone), alg: 0, actions }))
    };
    let state = |value: u128| FieldMatch { field: Field::CtState, value, mask: value };
    let label =
        Action::Move { from: whole(Field::InPort), to: Subfield { field: Field::CtLabel, offset: 32, bits: 32 } };
    let mut bridge = start(vec![
        flow(0, 1, &[], vec![set(Field::Reg(0), 5), ct(false, 9, Some(1), vec![]), output(3)]),
        flow(1, 1, &[state(0x21), is(Field::Reg(0), 5)], vec![ct(true, 9, None, vec![label]), output(2)]),
        flow(1, 2, &[state(0x2a), is(Field::CtLabel, 1 << 32)], vec![output(port::LOCAL)]),
    ]);
    let ports = |bridge: &mut Bridge, in_port, frame: Frame| {
        let effects = bridge.execute(NOW, in_port, Packet::new(frame.build()), None);
        outputs(effects).into_iter().map(|(port, _)| port).collect::<Vec<_>>()
    };
    assert_eq!(ports(&mut bridge, 1, Frame::udp4()), [2, 3], "the list that tracks goes on after it");
    let mut back = Frame::udp4();
    std::mem::swap(&mut back.source, &mut back.destination);
    let super::super::packet::build::Payload::Ip { source, destination, transport, .. } = &mut back.payload else {
        panic!("an IP packet")
    };
    std::mem::swap(source, destination);
    let super::super::packet::build::Transport::Udp { ports: pair, .. } = transport else { panic!("UDP") };
    *pair = (pair.1, pair.0);
    assert_eq!(ports(&mut bridge, 2, back), [port::LOCAL, 3]);
}

#[test]
fn lookups_by_the_first_packet_of_the_connection() {
    let by_first = Action::Resubmit { in_port: None, table: Some(2), original_tuple: true };
    let nat = Action::Nat(Nat { flags: 2, addresses: Some(([9, 9, 9, 9].into(), [9, 9, 9, 9].into())), ports: None });
    let ct =
        Ct { commit: true, force: false, recirculate: Some(1), zone: CtZone::Fixed(1), alg: 0, actions: vec![nat] };
    let mut bridge = start(vec![
        flow(0, 1, &[], vec![by_first.clone(), Action::Ct(Box::new(ct))]),
        flow(1, 1, &[], vec![resubmit(2), by_first]),
        flow(2, 1, &[is(Field::Ipv4Dst, 0x0a00_0002)], vec![output(2)]),
        flow(2, 1, &[is(Field::Ipv4Dst, 0x0909_0909)], vec![output(3)]),
    ]);
    let sent = run(&mut bridge, &Frame::tcp4());
    assert_eq!(sent.iter().map(|(port, _)| *port).collect::<Vec<_>>(), [3, 2]);
    assert_eq!(parse(&sent[1].1).0.get(Field::Ipv4Dst), 0x0909_0909);
}

#[test]
fn bfd_decides_which_bucket_is_alive() {
    let bucket = |id, number| Bucket {
        id,
        weight: 1,
        watch_port: number,
        watch_group: port::ANY,
        actions: vec![output(number)],
    };
    let group = Group { kind: GroupType::FastFailover, buckets: vec![bucket(1, 4), bucket(2, 2)] };
    let mut bridge = start(vec![flow(0, 1, &[], vec![Action::Group(1)])]);
    let tunnel = TunnelConfig::to(Protocol::Geneve, [10, 1, 1, 2].into(), 0);
    bridge.add_port(Port::device(4, "gnv").with_kind(PortKind::Tunnel(tunnel)));
    bridge.change(NOW).groups.set(NOW, 1, group);
    assert_eq!(run(&mut bridge, &Frame::tcp4())[0].0, 4);
    bridge.set_bfd(4, Some(Bfd::new(NOW, BfdConfig::default(), 7)));
    assert_eq!(run(&mut bridge, &Frame::tcp4())[0].0, 2);
    let mut peer = Bfd::new(NOW, BfdConfig::default(), 8);
    let mut now = NOW;
    for _ in 0..4 {
        for (_, frame) in outputs(bridge.step(now)) {
            let (key, layout) = parse(&frame);
            peer.receive(now, &frame, &key, &layout);
        }
        if let Some(frame) = peer.step(now) {
            assert_eq!(bridge.execute(now, 4, Packet::new(frame), Some(&TunnelMetadata::default())), []);
        }
        now += Duration::from_secs(1);
    }
    assert_eq!(bridge.bfd(4).map(Bfd::state), Some(BfdState::Up));
    assert_eq!(run(&mut bridge, &Frame::tcp4())[0].0, 4);
}

#[test]
fn policing_drops_what_comes_too_fast() {
    let mut bridge = start(vec![flow(0, 1, &[], vec![output(2)])]);
    let mut queues = Queues::default();
    queues.police(Some(Rate { bits_per_second: 1000, burst: 800 }));
    bridge.queues.insert(1, queues);
    let sent: Vec<usize> = (0..3).map(|_| run(&mut bridge, &Frame::arp()).len()).collect();
    assert_eq!(sent, [1, 1, 0]);
}

#[test]
fn fragments_have_no_ports_unless_told() {
    let mut bridge =
        start(vec![flow(0, 2, &[is(Field::UdpDst, 53)], vec![output(2)]), flow(0, 1, &[], vec![output(3)])]);
    let mut first = Frame::udp4().build();
    first[20] = 0x20;
    let port = |bridge: &mut Bridge| {
        let sent = outputs(bridge.execute(NOW, 1, Packet::new(first.clone()), None));
        sent.first().map(|(port, data)| (*port, parse(data).0.get(Field::UdpDst)))
    };
    assert_eq!(port(&mut bridge), Some((3, 53)));
    bridge.fragments = Fragments::Match;
    assert_eq!(port(&mut bridge), Some((2, 53)));
    bridge.fragments = Fragments::Drop;
    assert_eq!(port(&mut bridge), None);
}
