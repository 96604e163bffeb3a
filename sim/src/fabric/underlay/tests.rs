//! One test for each thing that can befall a packet: with it the packet fares so, without it otherwise.

use super::super::Tag;
use super::super::weather::{Flap, Grey};
use super::super::wire::checksum::Sum;
use super::*;
use rand_chacha::rand_core::SeedableRng;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn one() -> IpAddr {
    ip("172.31.1.1")
}

fn two() -> IpAddr {
    ip("172.31.1.2")
}

/// An outer UDP packet with a checksum, its source port apart.
fn udp(source: IpAddr, destination: IpAddr, port: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 8).expect("short");
    let mut udp: Vec<u8> = [port, 4789, length, 0].iter().flat_map(|word| word.to_be_bytes()).collect();
    udp.extend(payload);
    let sum = Sum::default().pseudo(source, destination, 17, udp.len()).with(&udp).finish();
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    let mut packet = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let total = (20 + length).to_be_bytes();
            let header = vec![0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, 17, 0, 0];
            [header, source.octets().to_vec(), destination.octets().to_vec()].concat()
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let header = vec![0x60, 0, 0, 0, length.to_be_bytes()[0], length.to_be_bytes()[1], 17, 64];
            [header, source.octets().to_vec(), destination.octets().to_vec()].concat()
        }
        mixed => panic!("{mixed:?}"),
    };
    packet.extend(udp);
    packet
}

fn fabric(weather: Weather) -> Underlay {
    let mut underlay = Underlay::new(Weather::default(), ChaCha8Rng::seed_from_u64(7));
    for endpoint in [one(), two(), ip("fd00::1"), ip("fd00::2")] {
        underlay.set_endpoint(endpoint, true);
    }
    underlay.set_weather(one(), two(), Some(weather.clone()));
    underlay.set_weather(ip("fd00::1"), ip("fd00::2"), Some(weather));
    underlay
}

fn packet(tag: u64) -> Packet {
    Packet { tag: Tag(tag), bytes: udp(one(), two(), 50_000, &[0; 64]) }
}

/// Sends a thousand packets, one each millisecond, and takes all that arrive.
fn thousand(underlay: &mut Underlay) -> Vec<u64> {
    let mut arrived = Vec::new();
    for n in 0..1000 {
        let now = Duration::from_millis(n);
        underlay.send(now, packet(n));
        arrived.extend(underlay.deliver(now).into_iter().map(|(_, packet)| packet.tag.0));
    }
    arrived.extend(underlay.deliver(Duration::from_secs(3600)).into_iter().map(|(_, packet)| packet.tag.0));
    arrived
}

fn assert_near(count: u64, wanted: u64) {
    assert!(count.abs_diff(wanted) < wanted / 4, "{count} should be about {wanted}");
}

#[test]
fn on_a_fine_day_everything_arrives_in_order_after_the_latency() {
    let mut underlay = fabric(Weather::default());
    assert_eq!(underlay.deadline(), None);
    underlay.send(Duration::from_secs(1), packet(1));
    let at = Duration::from_secs(1) + Weather::default().latency;
    assert_eq!(underlay.deadline(), Some(at));
    assert_eq!(underlay.deliver(at - Duration::from_nanos(1)), []);
    assert_eq!(underlay.deliver(at), [(two(), packet(1))]);
    assert_eq!(thousand(&mut underlay), (0..1000).collect::<Vec<_>>());
}

#[test]
fn weather_is_of_one_direction() {
    let mut underlay = fabric(Weather { cut: true, ..Weather::default() });
    assert!(thousand(&mut underlay).is_empty());
    assert_eq!(underlay.counts().of(Event::Cut), 1000);
    underlay.send(Duration::ZERO, Packet { tag: Tag(5), bytes: udp(two(), one(), 1, b"back") });
    assert_eq!(underlay.deliver(Duration::from_secs(1)).len(), 1);
}

#[test]
fn loss_duplication_and_jitter_have_their_shares() {
    let mut underlay = fabric(Weather { loss: 0.2, ..Weather::default() });
    assert_near(1000 - thousand(&mut underlay).len() as u64, 200);
    assert_near(underlay.counts().of(Event::Lost), 200);

    let mut underlay = fabric(Weather { duplication: 0.2, ..Weather::default() });
    let arrived = thousand(&mut underlay);
    assert_eq!(arrived.len() as u64, 1000 + underlay.counts().of(Event::Duplicated));
    assert_near(underlay.counts().of(Event::Duplicated), 200);
    assert!(arrived.is_sorted(), "both copies have the tag");

    let mut underlay = fabric(Weather { jitter: Duration::from_millis(5), ..Weather::default() });
    let arrived = thousand(&mut underlay);
    assert_eq!(arrived.len(), 1000);
    assert!(!arrived.is_sorted() && underlay.counts().of(Event::Overtook) > 100);
}

#[test]
fn one_seed_gives_one_outcome() {
    let weather = Weather { loss: 0.3, duplication: 0.3, jitter: Duration::from_millis(9), ..Weather::default() };
    let run = || thousand(&mut fabric(weather.clone()));
    assert_eq!(run(), run());
}

#[test]
fn corruption_changes_the_payload_and_passes_the_outer_checksum() {
    for (source, destination) in [(one(), two()), (ip("fd00::1"), ip("fd00::2"))] {
        let mut underlay = fabric(Weather { corruption: 1.0, ..Weather::default() });
        for length in 1..60 {
            let sent = udp(source, destination, 50_000, &vec![0xa5; length]);
            underlay.send(Duration::ZERO, Packet { tag: Tag(3), bytes: sent.clone() });
            let [(_, got)] = &underlay.deliver(Duration::from_secs(1))[..] else { panic!("one packet") };
            let header = sent.len() - length - 8;
            let different: u32 =
                sent[header + 8..].iter().zip(&got.bytes[header + 8..]).map(|(a, b)| (a ^ b).count_ones()).sum();
            assert_eq!(different, 1);
            let body = &got.bytes[header..];
            assert_eq!(Sum::default().pseudo(source, destination, 17, body.len()).with(body).finish(), 0);
            assert_eq!(got.bytes[..header], sent[..header]);
        }
        assert_eq!(underlay.counts().of(Event::Corrupted), 59);
    }
}

#[test]
fn a_packet_above_the_mtu_is_answered_or_vanishes() {
    for (from, to) in [(one(), two()), (ip("fd00::1"), ip("fd00::2"))] {
        let large = Packet { tag: Tag(1), bytes: udp(from, to, 1, &[0; 1400]) };
        let mtu = u16::try_from(large.bytes.len()).expect("short");
        let mut underlay = fabric(Weather { mtu, ..Weather::default() });
        underlay.send(Duration::ZERO, large.clone());
        assert_eq!(underlay.deliver(Duration::from_secs(1)), [(to, large.clone())], "it just fits");

        let mut underlay = fabric(Weather { mtu: mtu - 1, ..Weather::default() });
        underlay.send(Duration::ZERO, large.clone());
        let [(told, answer)] = &underlay.deliver(Duration::from_secs(1))[..] else { panic!("one answer") };
        assert_eq!((*told, answer.tag), (from, Tag(1)));
        let outer = outer::read(&answer.bytes).expect("an IP packet");
        let icmp = &answer.bytes[outer.header..];
        let pseudo = Sum::default().pseudo(outer.source, outer.destination, 58, icmp.len());
        let sum = if from.is_ipv4() { Sum::default() } else { pseudo };
        assert_eq!(sum.with(icmp).finish(), 0);
        assert_eq!(&icmp[..2], if from.is_ipv4() { &[3, 4] } else { &[2, 0] });
        assert_eq!(icmp[6..8], (mtu - 1).to_be_bytes());
        assert!(large.bytes.starts_with(&icmp[8..]), "it quotes the packet");

        let mut underlay = fabric(Weather { mtu: mtu - 1, too_big: TooBig::Silent, ..Weather::default() });
        underlay.send(Duration::ZERO, large);
        assert_eq!(underlay.deliver(Duration::from_secs(1)), []);
        assert_eq!(underlay.counts().of(Event::TooBigSilent), 1);
    }
}

#[test]
fn grey_failure_is_of_whole_flows() {
    let mut underlay = fabric(Weather { grey: Some(Grey { flows: 0.3, loss: 1.0, salt: 0 }), ..Weather::default() });
    let mut unlucky = 0;
    for port in 0..1000 {
        for _ in 0..3 {
            underlay.send(Duration::ZERO, Packet { tag: Tag(0), bytes: udp(one(), two(), port, b"x") });
        }
        match underlay.deliver(Duration::from_secs(1)).len() {
            0 => unlucky += 1,
            arrived => assert_eq!(arrived, 3, "a flow is lost or it is not"),
        }
    }
    assert_near(unlucky, 300);
    assert_eq!(underlay.counts().of(Event::Grey), unlucky * 3);
}

#[test]
fn a_narrow_link_delays_and_its_queue_fills() {
    let bytes = packet(0).bytes.len() as u64;
    let rate = Rate { bytes_per_second: bytes * 10, queue_bytes: bytes * 4 };
    let mut underlay = fabric(Weather { rate: Some(rate), latency: Duration::ZERO, ..Weather::default() });
    (0..6).for_each(|n| _ = underlay.send(Duration::ZERO, packet(n)));
    assert_eq!(underlay.counts().of(Event::QueueFull), 2);
    assert_eq!(underlay.deliver(Duration::from_millis(250)).len(), 2, "one each 100 ms");
    underlay.send(Duration::from_millis(250), packet(9));
    let rest = underlay.deliver(Duration::from_secs(9));
    assert_eq!(rest.iter().map(|(_, packet)| packet.tag.0).collect::<Vec<_>>(), [2, 3, 9]);
}

#[test]
fn a_flapping_link_loses_what_is_sent_while_it_is_down() {
    let half = Duration::from_millis(100);
    let flap = Flap { since: Duration::ZERO, up: half, down: half };
    let mut underlay = fabric(Weather { flap: Some(flap), ..Weather::default() });
    assert_eq!(thousand(&mut underlay).len(), 500);
    assert_eq!(underlay.counts().of(Event::Flapped), 500);
}

#[test]
fn endpoints_go_down_and_come_back() {
    let mut underlay = fabric(Weather::default());
    underlay.send(Duration::ZERO, packet(1));
    underlay.set_endpoint(two(), false);
    assert_eq!(underlay.deliver(Duration::from_secs(1)), []);
    assert_eq!(underlay.counts().of(Event::DestinationDown), 1);
    underlay.set_endpoint(two(), true);
    underlay.set_endpoint(one(), false);
    underlay.send(Duration::from_secs(1), packet(2));
    assert_eq!(underlay.counts().of(Event::SourceDown), 1);
    underlay.set_endpoint(one(), true);
    underlay.send(Duration::from_secs(1), packet(3));
    assert_eq!(underlay.deliver(Duration::from_secs(2)), [(two(), packet(3))]);
    let stranger = udp(one(), ip("172.31.1.9"), 50_000, &[]);
    underlay.send(Duration::from_secs(2), Packet { tag: Tag(4), bytes: stranger });
    assert_eq!((underlay.deadline(), underlay.counts().of(Event::DestinationDown)), (None, 2));
}

#[test]
fn what_is_no_packet_goes_nowhere() {
    let mut underlay = fabric(Weather::default());
    let good = packet(0).bytes;
    for length in 0..good.len() {
        underlay.send(Duration::ZERO, Packet { tag: Tag(0), bytes: good[..length].to_vec() });
    }
    assert_eq!(underlay.counts().of(Event::Malformed), good.len() as u64);
    assert_eq!(underlay.deadline(), None);
}

/// VXLAN, with an Ethernet frame that holds IPv4 and UDP to this port.
fn tunnelled(port: u16) -> Packet {
    let mut inner = vec![0; 8 + 12];
    inner.extend([8, 0]);
    inner.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 1]);
    inner.extend(port.to_be_bytes());
    inner.extend([0, 8, 0, 0]);
    Packet { tag: Tag(u64::from(port)), bytes: udp(one(), two(), 1, &inner) }
}

#[test]
fn health_and_data_can_disagree() {
    let arrivals = |health| {
        let mut underlay = fabric(Weather { health, ..Weather::default() });
        underlay.send(Duration::ZERO, tunnelled(3784));
        underlay.send(Duration::ZERO, tunnelled(53));
        underlay.deliver(Duration::from_secs(1)).into_iter().map(|(_, packet)| packet.tag.0).collect::<Vec<_>>()
    };
    assert_eq!(arrivals(Health::AsData), [3784, 53]);
    assert_eq!(arrivals(Health::Lost), [53]);
    assert_eq!(arrivals(Health::Alone), [3784]);
}

#[test]
fn large_packets_are_cut_where_a_router_clears_the_bit_that_forbids_it_and_put_together() {
    let large = |dont_fragment: bool| {
        let mut bytes = udp(one(), two(), 50_000, &[7; 1_400]);
        bytes[6] = if dont_fragment { 0x40 } else { 0 };
        bytes
    };
    for (dont_fragment, too_big, arrives) in
        [(false, TooBig::Silent, true), (true, TooBig::Silent, false), (true, TooBig::Fragmented, true)]
    {
        let mut underlay = fabric(Weather { mtu: 600, too_big, ..Weather::default() });
        let bytes = large(dont_fragment);
        assert_eq!(underlay.send(Duration::ZERO, Packet { tag: Tag(3), bytes: bytes.clone() }), usize::from(arrives));
        let arrived = underlay.deliver(Duration::from_secs(1));
        assert_eq!(arrived.len(), usize::from(arrives));
        assert_eq!(underlay.counts().of(Event::Reassembled), u64::from(arrives));
        assert!(arrived.iter().all(|(to, packet)| *to == two() && packet.bytes[20..] == bytes[20..]));
    }
    let twice = Weather { mtu: 600, too_big: TooBig::Fragmented, duplication: 1.0, ..Weather::default() };
    let mut underlay = fabric(twice);
    assert_eq!(underlay.send(Duration::ZERO, Packet { tag: Tag(3), bytes: large(true) }), 2);
    let arrived = underlay.deliver(Duration::from_secs(1));
    assert_eq!(arrived.len(), 1, "second copies of pieces come before the first of others, and are the same");
}

#[test]
fn by_a_site_packets_go_as_its_switches_have_them_go() {
    let site = Site::new(&[[172, 31, 1, 0].into(), [172, 31, 2, 0].into()]);
    let mut underlay = Underlay::new(Weather::default(), ChaCha8Rng::seed_from_u64(7)).by_site(site);
    let (near, far) = (ip("172.31.1.11"), ip("172.31.2.12"));
    [near, two(), far].into_iter().for_each(|endpoint| underlay.set_endpoint(endpoint, true));
    let bytes = udp(near, far, 50_000, &[]);
    assert_eq!(underlay.send(Duration::ZERO, Packet { tag: Tag(1), bytes: bytes.clone() }), 1);
    let arrived = underlay.deliver(Duration::from_secs(1));
    assert_eq!((arrived.len(), arrived[0].0, arrived[0].1.bytes[8]), (1, far, bytes[8] - 1));
    let site = underlay.site().expect("it has one");
    (0..2).for_each(|router| site.set_router(Duration::from_secs(1), router, false));
    assert_eq!(underlay.send(Duration::from_secs(2), Packet { tag: Tag(1), bytes }), 0);
    assert_eq!(underlay.counts().of(Event::Astray), 1);
    // Forged: it enters where the forger is, whatever it says.
    let forged = Packet { tag: Tag(2), bytes: udp(far, two(), 50_000, &[]) };
    assert_eq!(underlay.send(Duration::from_secs(2), forged.clone()), 0, "there is no router");
    assert_eq!(underlay.send_from(Duration::from_secs(2), near, forged), 1, "and none needed");
}
