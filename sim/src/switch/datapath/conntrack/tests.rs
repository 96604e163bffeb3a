//! Connections from their first packet to their last.

use super::*;
use crate::switch::packet::build::{Frame, Transport, checksums_hold, ip_packet};
use crate::switch::packet::{commit, parse};
use std::net::IpAddr;

const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));
const X: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));
const SYN: u16 = 2;
const ACK: u16 = 16;
const FIN: u16 = 1;
const RST: u16 = 4;

fn second(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn tcp(source: IpAddr, destination: IpAddr, ports: (u16, u16), flags: u16) -> Vec<u8> {
    let transport = Transport::Tcp { ports, flags, sequence: 1, acknowledgement: 1, bytes: Vec::new() };
    Frame::ip(source, destination, transport).build()
}

fn udp(source: IpAddr, destination: IpAddr, ports: (u16, u16)) -> Vec<u8> {
    Frame::ip(source, destination, Transport::Udp { ports, bytes: b"data".to_vec() }).build()
}

/// Tracks a packet; gives its state, and the bytes as they are then.
fn track(tracker: &mut Conntrack, now: Duration, frame: &[u8], request: &Request) -> (u32, Vec<u8>) {
    let (tracked, bytes) = track_again(tracker, now, frame, request, Tracked::default());
    (tracked.state, bytes)
}

fn track_again(
    tracker: &mut Conntrack,
    now: Duration,
    frame: &[u8],
    request: &Request,
    before: Tracked,
) -> (Tracked, Vec<u8>) {
    let (mut base, mut layout) = parse(frame);
    let mut key = base.clone();
    let (mut bytes, mut tracked) = (frame.to_vec(), before);
    let mut packet = Subjected { frame: &mut bytes, layout: &layout, key: &mut key };
    tracker.track(now, &mut packet, &mut tracked, request);
    commit(&mut bytes, &mut layout, &mut base, &key);
    (tracked, bytes)
}

fn keep(zone: u16) -> Request {
    Request { zone, commit: true, ..Request::default() }
}

fn look(zone: u16) -> Request {
    Request { zone, ..Request::default() }
}

#[test]
fn a_connection_of_tcp() {
    let mut tracker = Conntrack::default();
    let mut check = |at: u64, from_first: bool, flags: u16, expected: u32| {
        let frame = if from_first { tcp(A, B, (1000, 80), flags) } else { tcp(B, A, (80, 1000), flags) };
        let (state, _) = track(&mut tracker, second(at), &frame, &keep(1));
        assert_eq!(state, expected | bits::TRACKED, "at {at}");
    };
    check(0, true, SYN, bits::NEW);
    check(1, true, SYN, bits::NEW);
    check(2, false, SYN | ACK, bits::ESTABLISHED | bits::REPLY);
    check(3, true, ACK, bits::ESTABLISHED);
    check(80_000, true, ACK, bits::ESTABLISHED);
    check(80_001, true, FIN | ACK, bits::ESTABLISHED);
    check(80_002, false, FIN | ACK, bits::ESTABLISHED | bits::REPLY);
    check(80_003, true, ACK, bits::ESTABLISHED);
    check(80_004, true, SYN, bits::NEW);
    check(80_004, true, SYN | FIN, bits::INVALID);
    check(80_005, false, RST | ACK, bits::ESTABLISHED | bits::REPLY);
    check(80_036, false, SYN | ACK, bits::INVALID);
}

#[test]
fn what_is_not_kept_stays_new() {
    let mut tracker = Conntrack::default();
    for _ in 0..2 {
        assert_eq!(track(&mut tracker, second(0), &udp(A, B, (5, 6)), &look(1)).0, bits::NEW | bits::TRACKED);
    }
    assert_eq!(track(&mut tracker, second(0), &udp(A, B, (5, 6)), &keep(1)).0, bits::NEW | bits::TRACKED);
    assert_eq!(
        track(&mut tracker, second(0), &udp(B, A, (6, 5)), &look(2)).0,
        bits::NEW | bits::TRACKED,
        "another zone"
    );
    let reply = bits::ESTABLISHED | bits::REPLY | bits::TRACKED;
    assert_eq!(track(&mut tracker, second(0), &udp(B, A, (6, 5)), &look(1)).0, reply);
    assert_eq!(track(&mut tracker, second(40), &udp(B, A, (6, 5)), &look(1)).0, bits::NEW | bits::TRACKED, "forgotten");
}

#[test]
fn marks_and_labels() {
    let mut tracker = Conntrack::default();
    let request = Request { mark: Some((0x12, 0xff)), label: Some((1 << 100, u128::MAX)), ..keep(1) };
    track(&mut tracker, second(0), &udp(A, B, (5, 6)), &request);
    let (tracked, _) = track_again(&mut tracker, second(0), &udp(B, A, (6, 5)), &look(1), Tracked::default());
    assert_eq!((tracked.mark, tracked.label), (0x12, 1 << 100));
}

#[test]
fn force_begins_anew_from_the_other_end() {
    let mut tracker = Conntrack::default();
    track(&mut tracker, second(0), &udp(A, B, (5, 6)), &keep(1));
    let forced = Request { force: true, ..keep(1) };
    assert_eq!(track(&mut tracker, second(0), &udp(B, A, (6, 5)), &forced).0, bits::NEW | bits::TRACKED);
    assert_eq!(tracker.iter().map(|one| one.original.source.address).collect::<Vec<_>>(), [B]);
}

#[test]
fn pings_and_what_is_no_question() {
    let mut tracker = Conntrack::default();
    let echo = |kind, from, to| Frame::ip(from, to, Transport::Icmp { kind, code: 0, bytes: vec![0, 7, 0, 1] }).build();
    assert_eq!(track(&mut tracker, second(0), &echo(0, A, B), &keep(1)).0, bits::INVALID | bits::TRACKED);
    assert_eq!(track(&mut tracker, second(0), &echo(8, A, B), &keep(1)).0, bits::NEW | bits::TRACKED);
    assert_eq!(
        track(&mut tracker, second(0), &echo(0, B, A), &keep(1)).0,
        bits::ESTABLISHED | bits::REPLY | bits::TRACKED
    );
    assert_eq!(
        track(&mut tracker, second(0), &Frame::solicitation().build(), &keep(1)).0,
        bits::INVALID | bits::TRACKED
    );
    assert_eq!(track(&mut tracker, second(0), &Frame::arp().build(), &keep(1)).0, bits::INVALID | bits::TRACKED);
    let mut broken = udp(A, B, (5, 6));
    broken[45] ^= 1;
    assert_eq!(track(&mut tracker, second(0), &broken, &keep(1)).0, bits::INVALID | bits::TRACKED);
}

fn nat(flags: u16, ports: Option<(u16, u16)>) -> Request {
    Request { nat: Some(Nat { flags, addresses: Some((X, X)), ports }), ..keep(1) }
}

fn follow(zone: u16) -> Request {
    Request { nat: Some(Nat::default()), ..look(zone) }
}

#[test]
fn source_translation_and_back() {
    let mut tracker = Conntrack::default();
    let (state, sent) = track(&mut tracker, second(0), &tcp(A, B, (1000, 80), SYN), &nat(1, None));
    assert_eq!(state, bits::NEW | bits::TRACKED | bits::SOURCE_NAT);
    assert_eq!(sent, tcp(X, B, (1000, 80), SYN));
    let (state, back) = track(&mut tracker, second(0), &tcp(B, X, (80, 1000), SYN | ACK), &follow(1));
    assert_eq!(state, bits::ESTABLISHED | bits::REPLY | bits::TRACKED | bits::DESTINATION_NAT);
    assert_eq!(back, tcp(B, A, (80, 1000), SYN | ACK));
}

#[test]
fn destination_translation_with_a_port() {
    let mut tracker = Conntrack::default();
    let (state, sent) = track(&mut tracker, second(0), &udp(A, B, (1000, 80)), &nat(2, Some((8080, 8080))));
    assert_eq!(state, bits::NEW | bits::TRACKED | bits::DESTINATION_NAT);
    assert_eq!(sent, udp(A, X, (1000, 8080)));
    let (_, back) = track(&mut tracker, second(0), &udp(X, A, (8080, 1000)), &follow(1));
    assert_eq!(back, udp(B, A, (80, 1000)));
}

#[test]
fn ports_run_out() {
    let mut tracker = Conntrack::default();
    let mut seen = BTreeSet::new();
    for client in 1..=4 {
        let (state, sent) = track(&mut tracker, second(0), &udp(A, B, (client, 80)), &nat(1, Some((500, 502))));
        let port = parse(&sent).0.get(Field::UdpSrc);
        assert_eq!(state & bits::SOURCE_NAT != 0, client < 4);
        assert!(seen.insert(port), "nobody shares a port");
        assert!(checksums_hold(&sent));
    }
    assert_eq!(tracker.iter().count(), 3);
}

#[test]
fn an_error_is_related_and_translated_with_what_it_quotes() {
    let mut tracker = Conntrack::default();
    let (_, sent) = track(&mut tracker, second(0), &udp(A, B, (1000, 80)), &nat(1, Some((777, 777))));
    let error = |to, quoted: &[u8]| {
        let bytes = [&[0; 4], quoted].concat();
        Frame::ip(B, to, Transport::Icmp { kind: 3, code: 3, bytes }).build()
    };
    let (state, back) = track(&mut tracker, second(0), &error(X, &sent[14..]), &follow(1));
    assert_eq!(state, bits::RELATED | bits::REPLY | bits::TRACKED | bits::DESTINATION_NAT);
    let quoted = ip_packet(A, B, (64, 0), &Transport::Udp { ports: (1000, 80), bytes: b"data".to_vec() });
    assert_eq!(back, error(A, &quoted));
    let stranger = udp(A, B, (1, 2));
    assert_eq!(track(&mut tracker, second(0), &error(A, &stranger[14..]), &look(1)).0, bits::INVALID | bits::TRACKED);
}

#[test]
fn limits_and_flushing() {
    let mut tracker = Conntrack { limit: 3, ..Conntrack::default() };
    tracker.zone_limits.insert(1, 1);
    for port in 1..=3 {
        track(&mut tracker, second(0), &udp(A, B, (port, 80)), &keep(1));
        track(&mut tracker, second(0), &udp(A, B, (port, 80)), &keep(2));
    }
    assert_eq!(tracker.iter().map(|one| one.original.zone).collect::<Vec<_>>(), [1, 2, 2]);
    tracker.flush(Some(2));
    assert_eq!((tracker.iter().count(), tracker.deadline()), (1, Some(second(60))));
    tracker.expire(second(60));
    assert_eq!((tracker.iter().count(), tracker.deadline()), (0, None));
}

#[test]
fn hostile_packets() {
    let quoted = udp(A, B, (1, 2))[14..].to_vec();
    let error = Frame::ip(B, A, Transport::Icmp { kind: 3, code: 3, bytes: [vec![0; 4], quoted].concat() }).build();
    let mut tracker = Conntrack::default();
    track(&mut tracker, second(0), &udp(A, B, (1, 2)), &nat(1, None));
    for frame in [error, Frame::tcp6().build(), Frame::icmp6().build()] {
        for length in 14..frame.len() {
            track(&mut tracker, second(0), &frame[..length], &follow(1));
        }
        for position in 0..frame.len() {
            for value in [0, 3, 0x46, 255] {
                let mut hostile = frame.clone();
                hostile[position] = value;
                track(&mut tracker, second(0), &hostile, &follow(1));
            }
        }
    }
}
