//! Frames through tunnels and back, and what hostile packets come to.

use super::*;
use crate::switch::packet::build::Frame;

const NOW: Duration = Duration::from_secs(1);

fn ends(is_ipv6: bool) -> (IpAddr, IpAddr) {
    if is_ipv6 {
        ("fd00::1".parse().expect("an address"), "fd00::2".parse().expect("an address"))
    } else {
        ([10, 1, 0, 1].into(), [10, 1, 0, 2].into())
    }
}

fn meta(is_ipv6: bool, id: u64) -> TunnelMetadata {
    let (source, destination) = ends(is_ipv6);
    let (source, destination) = (Some(source), Some(destination));
    TunnelMetadata { id, source, destination, ttl: 64, tos: 0x10, ..TunnelMetadata::default() }
}

fn tunnels(mtu: usize) -> Tunnels {
    Tunnels { mtu, local: vec![ends(false).0, ends(true).0], ..Tunnels::default() }
}

#[test]
fn every_protocol_over_both_families() {
    for protocol in [Protocol::Geneve, Protocol::Vxlan, Protocol::Gre, Protocol::Stt] {
        for is_ipv6 in [false, true] {
            for checksum in [false, true] {
                let config = TunnelConfig { checksum, ..TunnelConfig::of_flows(protocol) };
                let inner = Frame::tcp4().build();
                let mut tunnels = tunnels(1600);
                let packets = tunnels.encapsulate(&config, &meta(is_ipv6, 0x123456), &inner).expect("sent");
                assert_eq!(packets.len(), 1);
                let got = tunnels.decapsulate(NOW, &packets[0], [(7, &config)]).expect("taken").expect("complete");
                assert_eq!(got, Decapsulated { port: 7, inner, tunnel: meta(is_ipv6, 0x123456) }, "{protocol:?}");
            }
        }
    }
}

#[test]
fn geneve_keeps_options_and_the_oam_flag() {
    let config = TunnelConfig::of_flows(Protocol::Geneve);
    let tunnel = TunnelMetadata { flags: 1, options: vec![1, 2, 3, 1, 9, 9, 9, 9], ..meta(false, 5) };
    let packets = tunnels(0).encapsulate(&config, &tunnel, &Frame::arp().build()).expect("sent");
    let got = tunnels(0).decapsulate(NOW, &packets[0], [(1, &config)]).expect("taken").expect("complete");
    assert_eq!(got.tunnel, tunnel);
}

#[test]
fn what_is_too_big_is_dropped_and_counted() {
    let mut tunnels = tunnels(1500);
    let config = TunnelConfig::of_flows(Protocol::Geneve);
    assert_eq!(tunnels.encapsulate(&config, &meta(false, 1), &[0; 1464]).map(|packets| packets[0].len()), Ok(1500));
    assert_eq!(tunnels.encapsulate(&config, &meta(false, 1), &[0; 1465]), Err(Refusal::TooBig));
    assert_eq!(tunnels.refused, BTreeMap::from([(Refusal::TooBig, 1)]));
}

#[test]
fn nowhere_to_go() {
    let config = TunnelConfig::of_flows(Protocol::Vxlan);
    let nowhere = TunnelMetadata { destination: None, ..meta(false, 1) };
    assert_eq!(tunnels(0).encapsulate(&config, &nowhere, &[0; 20]), Err(Refusal::NoDestination));
    let no_source = TunnelMetadata { source: None, ..meta(true, 1) };
    assert_eq!(Tunnels::default().encapsulate(&config, &no_source, &[0; 20]), Err(Refusal::NoSource));
}

#[test]
fn the_most_specific_port_takes_it() {
    let (source, destination) = ends(false);
    let flows = TunnelConfig::of_flows(Protocol::Geneve);
    let remote = TunnelConfig { key: Setting::Flow, ..TunnelConfig::to(Protocol::Geneve, source, 0) };
    let keyed = TunnelConfig { remote: Setting::Flow, ..TunnelConfig::to(Protocol::Geneve, source, 9) };
    let local = TunnelConfig { local: Some(Setting::Fixed(destination)), ..flows.clone() };
    let other = TunnelConfig { remote: Setting::Fixed(destination), ..flows.clone() };
    let packet = tunnels(0).encapsulate(&flows, &meta(false, 9), &[0; 20]).expect("sent").remove(0);
    let check = |ports: &[&TunnelConfig], expected: Result<u32, Refusal>| {
        let numbered = ports.iter().enumerate().map(|(index, config)| (index as u32, *config));
        let got = tunnels(0).decapsulate(NOW, &packet, numbered.collect::<Vec<_>>());
        assert_eq!(got.map(|got| got.expect("complete").port), expected);
    };
    check(&[&flows, &remote], Ok(1));
    check(&[&flows, &remote, &keyed], Ok(2));
    check(&[&flows, &local, &other], Ok(1));
    check(&[&other], Err(Refusal::NoPort));
}

/// A frame of STT in segments, and both ends.
fn cut(tunnels: &mut Tunnels, config: &TunnelConfig) -> (Vec<u8>, Vec<Vec<u8>>) {
    let inner: Vec<u8> = (0..5000u32).map(|index| (index % 251) as u8).collect();
    let segments = tunnels.encapsulate(config, &meta(false, 77), &inner).expect("sent");
    assert!(segments.len() >= 4 && segments.iter().all(|segment| segment.len() <= 1500));
    (inner, segments)
}

#[test]
fn segments_in_any_order_and_twice() {
    let (mut tunnels, config) = (tunnels(1500), TunnelConfig::of_flows(Protocol::Stt));
    let (inner, mut segments) = cut(&mut tunnels, &config);
    segments.reverse();
    let last = segments.pop().expect("segments");
    for segment in segments.iter().chain(&segments) {
        assert_eq!(tunnels.decapsulate(NOW, segment, [(1, &config)]), Ok(None));
    }
    let got = tunnels.decapsulate(NOW, &last, [(1, &config)]).expect("taken").expect("complete");
    assert_eq!((got.inner, got.tunnel.id), (inner, 77));
}

#[test]
fn a_lost_segment_loses_the_frame_and_memory_is_bounded() {
    let (mut tunnels, config) = (tunnels(1500), TunnelConfig::of_flows(Protocol::Stt));
    for _ in 0..2000 {
        let (_, segments) = cut(&mut tunnels, &config);
        for segment in &segments[1..] {
            assert!(matches!(tunnels.decapsulate(NOW, segment, [(1, &config)]), Ok(None) | Err(Refusal::Crowded)));
        }
    }
    assert!(tunnels.refused[&Refusal::Crowded] > 1000);
    let (inner, segments) = cut(&mut tunnels, &config);
    let later = NOW + Duration::from_secs(31);
    let got: Vec<_> =
        segments.iter().filter_map(|one| tunnels.decapsulate(later, one, [(1, &config)]).expect("taken")).collect();
    assert_eq!(got.len(), 1, "the others were given up");
    assert_eq!(got[0].inner, inner);
    assert!(tunnels.refused[&Refusal::Incomplete] > 100);
}

#[test]
fn hostile_packets_are_refused() {
    for protocol in [Protocol::Geneve, Protocol::Vxlan, Protocol::Gre, Protocol::Stt] {
        let config = TunnelConfig::of_flows(protocol);
        let packet = tunnels(0).encapsulate(&config, &meta(false, 5), &Frame::arp().build()).expect("sent").remove(0);
        for length in 0..packet.len() {
            assert!(tunnels(0).decapsulate(NOW, &packet[..length], [(1, &config)]).is_err(), "{protocol:?} {length}");
        }
        for position in 0..packet.len() {
            for value in [0, 0x7f, 0xff] {
                let mut hostile = packet.clone();
                hostile[position] = value;
                let _ = tunnels(0).decapsulate(NOW, &hostile, [(1, &config)]);
            }
        }
        let mut tunnels = tunnels(0);
        let mut fragment = packet.clone();
        fragment[6] = 0x20;
        assert_eq!(tunnels.decapsulate(NOW, &fragment, [(1, &config)]), Err(Refusal::BadIp), "its checksum is wrong");
    }
}

#[test]
fn contradicting_segments_lose_the_frame() {
    let (mut tunnels, config) = (tunnels(1500), TunnelConfig::of_flows(Protocol::Stt));
    let (_, segments) = cut(&mut tunnels, &config);
    // The same frame number again, cut elsewhere.
    let mut other = Tunnels { mtu: 1000, local: tunnels.local.clone(), ..Tunnels::default() };
    let (_, different) = cut(&mut other, &config);
    tunnels.decapsulate(NOW, &segments[0], [(1, &config)]).expect("taken");
    assert_eq!(tunnels.decapsulate(NOW, &different[1], [(1, &config)]), Err(Refusal::Contradiction));
}

#[test]
fn packets_for_nobody_here_are_left_alone() {
    let config = TunnelConfig::of_flows(Protocol::Geneve);
    let packet = tunnels(0).encapsulate(&config, &meta(false, 5), &[0; 20]).expect("sent").remove(0);
    let vxlan = TunnelConfig::of_flows(Protocol::Vxlan);
    assert_eq!(tunnels(0).decapsulate(NOW, &packet, [(1, &vxlan)]), Ok(None));
}
