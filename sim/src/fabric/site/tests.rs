//! One test for each thing that can be wrong with a site: what is lost, flooded, doubled or stolen while it is, and that
//! packets arrive before and after.

use super::*;
use crate::fabric::wire::checksum;

const A: [u8; 3] = [198, 51, 100];
const B: [u8; 3] = [203, 0, 113];

fn ip(prefix: [u8; 3], last: u8) -> Ipv4Addr {
    Ipv4Addr::new(prefix[0], prefix[1], prefix[2], last)
}

/// Hosts 11 and 13 of each segment: on leaf 1 the first, on leaf 2 the second.
fn site() -> Site {
    let mut site = Site::new(&[ip(A, 0), ip(B, 0)]);
    for last in [11, 13] {
        site.set_host(ip(A, last), true);
        site.set_host(ip(B, last), true);
    }
    site
}

fn packet(from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 24, 0, 0, 0x40, 0, 64, 47, 0, 0];
    packet.extend(from.octets().into_iter().chain(to.octets()).chain([1, 2, 3, 4]));
    packet
}

/// How many copies arrive.
fn sent(site: &mut Site, at_ms: u64, from: Ipv4Addr, to: Ipv4Addr) -> usize {
    site.carry(Duration::from_millis(at_ms), from, packet(from, to)).len()
}

#[test]
fn packets_pass_within_a_segment_untouched_and_through_a_router_with_less_time() {
    let mut site = site();
    let within = site.carry(Duration::ZERO, ip(A, 11), packet(ip(A, 11), ip(A, 13)));
    assert_eq!((within.len(), within[0][8]), (1, 64));
    let across = site.carry(Duration::ZERO, ip(A, 11), packet(ip(A, 11), ip(B, 13)));
    assert_eq!((across.len(), across[0][8]), (1, 63));
    assert_eq!(checksum::of(&across[0][..20]), 0, "the checksum is right");
    assert_eq!(across[0][16..], packet(ip(A, 11), ip(B, 13))[16..]);
    assert_ne!(within[0][4..6], across[0][4..6], "a host numbers what it sends");
}

#[test]
fn everybody_reaches_everybody_and_nothing_is_flooded_once_all_is_learned() {
    let mut site = site();
    let all: Vec<Ipv4Addr> = site.hosts.keys().copied().collect();
    for round in 0..2 {
        let flooded = site.counts().of(Event::Flooded);
        for (from, to) in all.iter().flat_map(|from| all.iter().map(move |to| (*from, *to))) {
            if from != to {
                assert_eq!(sent(&mut site, round, from, to), 1, "{from} to {to}");
            }
        }
        assert!(round == 0 || site.counts().of(Event::Flooded) == flooded);
    }
    assert_eq!(site.counts().of(Event::Unresolved) + site.counts().of(Event::Unroutable), 0);
}

#[test]
fn nobody_answers_for_a_host_that_is_down_or_unknown() {
    let mut site = site();
    assert_eq!(sent(&mut site, 0, ip(A, 11), ip(A, 99)), 0);
    site.set_host(ip(B, 13), false);
    assert_eq!(sent(&mut site, 0, ip(A, 11), ip(B, 13)), 0);
    assert_eq!(sent(&mut site, 0, ip(B, 13), ip(A, 11)), 0, "nor does it send");
    assert_eq!(site.counts().of(Event::Unresolved), 2);
    assert_eq!(sent(&mut site, 0, ip(A, 11), Ipv4Addr::new(192, 0, 2, 1)), 0);
    assert_eq!(site.counts().of(Event::Unroutable), 1);
    site.set_host(ip(B, 13), true);
    assert_eq!(sent(&mut site, 1_000, ip(A, 11), ip(B, 13)), 1);
}

#[test]
fn a_silent_move_of_a_link_leaves_stale_addresses_behind() {
    let mut site = site();
    assert_eq!(sent(&mut site, 0, ip(A, 11), ip(A, 13)), 1);
    assert_eq!(sent(&mut site, 0, ip(A, 13), ip(A, 11)), 1);
    // From leaf 2 to leaf 1, where the sender is: its leaf and the spine still know it on leaf 2.
    site.move_host(ip(A, 13));
    assert_eq!(sent(&mut site, 10, ip(A, 11), ip(A, 13)), 0, "to where it was");
    assert_eq!(sent(&mut site, 20, ip(A, 13), ip(A, 11)), 1);
    assert_eq!(sent(&mut site, 30, ip(A, 11), ip(A, 13)), 1, "it has been heard");
}

#[test]
fn a_silent_host_that_moved_is_found_again_when_its_address_is_asked_for_anew() {
    let mut site = site();
    assert_eq!(sent(&mut site, 0, ip(A, 11), ip(A, 13)), 1);
    site.move_host(ip(A, 13));
    let lost = (1..60).take_while(|second| sent(&mut site, second * 1_000, ip(A, 11), ip(A, 13)) == 0).count();
    assert_eq!(lost, 33, "30 s of trust and three questions to where it was, a second apart");
}

#[test]
fn a_full_table_floods_and_a_short_memory_floods() {
    let mut site = site();
    sent(&mut site, 0, ip(A, 13), ip(A, 11));
    let flooded = site.counts().of(Event::Flooded);
    site.set_tables(Some((0, bridge::AGE)));
    assert_eq!(sent(&mut site, 10, ip(A, 11), ip(A, 13)), 1);
    assert!(site.counts().of(Event::Flooded) > flooded);
    site.set_tables(Some((bridge::CAPACITY, Duration::from_secs(1))));
    sent(&mut site, 20, ip(A, 13), ip(A, 11));
    let flooded = site.counts().of(Event::Flooded);
    assert_eq!(sent(&mut site, 900, ip(A, 11), ip(A, 13)), 1);
    assert_eq!(site.counts().of(Event::Flooded), flooded);
    assert_eq!(sent(&mut site, 2_500, ip(A, 11), ip(A, 13)), 1);
    assert!(site.counts().of(Event::Flooded) > flooded);
}

#[test]
fn a_circle_doubles_what_is_flooded_and_ends() {
    let mut site = site();
    for last in [11, 13] {
        sent(&mut site, 0, ip(A, last), ip(A, 24 - last));
    }
    site.set_loop(true);
    let copies = sent(&mut site, 10, ip(A, 11), ip(A, 13));
    assert!(copies > 1, "{copies}");
    assert!(site.counts().of(Event::Circled) > 0);
    site.set_loop(false);
    let circled = site.counts().of(Event::Circled);
    assert_eq!(sent(&mut site, 40_000, ip(A, 11), ip(A, 13)), 1);
    assert_eq!(site.counts().of(Event::Circled), circled);
}

#[test]
fn a_segment_that_a_trunk_lacks_is_cut_in_two_and_the_other_is_not() {
    let mut site = site();
    site.set_vlan(Leaf::Two, ip(A, 0), false);
    assert_eq!(sent(&mut site, 0, ip(A, 11), ip(A, 13)), 0);
    assert_eq!(sent(&mut site, 0, ip(A, 13), ip(B, 13)), 0, "nor is there a router");
    assert_eq!(sent(&mut site, 0, ip(A, 11), ip(B, 13)), 1);
    site.set_vlan(Leaf::Two, ip(A, 0), true);
    assert_eq!(sent(&mut site, 2_000, ip(A, 11), ip(A, 13)), 1);
}

#[test]
fn a_stranger_with_the_same_ip_address_steals_packets_until_it_is_gone_and_asked_for_in_vain() {
    let mut site = site();
    assert_eq!(sent(&mut site, 0, ip(A, 11), ip(A, 13)), 1);
    site.set_stranger(Some((ip(A, 13), Twin::Ip)));
    assert_eq!(sent(&mut site, 2_000, ip(A, 11), ip(A, 13)), 0);
    assert_eq!(site.counts().of(Event::Stolen), 1);
    site.set_stranger(None);
    assert_eq!(sent(&mut site, 3_000, ip(A, 11), ip(A, 13)), 0, "still believed");
    let lost = (4..90).take_while(|second| sent(&mut site, second * 1_000, ip(A, 11), ip(A, 13)) == 0).count();
    assert!((25..40).contains(&lost), "{lost}");
}

#[test]
fn a_stranger_with_the_same_ethernet_address_is_sent_to_until_the_owner_speaks() {
    let mut site = site();
    sent(&mut site, 0, ip(A, 11), ip(A, 13));
    site.set_stranger(Some((ip(A, 13), Twin::Mac)));
    assert_eq!(sent(&mut site, 1_000, ip(A, 11), ip(A, 13)), 0);
    assert_eq!(site.counts().of(Event::Stolen), 1);
    assert_eq!(sent(&mut site, 1_100, ip(A, 13), ip(A, 11)), 1);
    assert_eq!(sent(&mut site, 1_200, ip(A, 11), ip(A, 13)), 1);
    assert_eq!(sent(&mut site, 2_300, ip(A, 11), ip(A, 13)), 0, "it spoke again");
}

#[test]
fn the_other_router_takes_over_after_a_while_and_gives_back_at_once() {
    let mut site = site();
    assert_eq!(sent(&mut site, 0, ip(A, 11), ip(B, 13)), 1);
    site.set_router(Duration::from_millis(1_000), 0, false);
    assert_eq!(sent(&mut site, 4_600, ip(A, 11), ip(B, 13)), 0);
    assert_eq!(sent(&mut site, 4_600, ip(A, 11), ip(A, 13)), 1, "a segment needs no router");
    assert_eq!(sent(&mut site, 4_700, ip(A, 11), ip(B, 13)), 1);
    site.set_router(Duration::from_millis(5_000), 0, true);
    assert_eq!(sent(&mut site, 5_000, ip(B, 13), ip(A, 11)), 1);
    assert_eq!(site.counts().of(Event::TookOver), 3);
    site.set_router(Duration::from_millis(6_000), 0, false);
    site.set_router(Duration::from_millis(6_000), 1, false);
    assert_eq!(sent(&mut site, 60_000, ip(A, 11), ip(B, 13)), 0);
}

#[test]
fn healing_ends_all_of_it() {
    let mut site = site();
    site.set_stranger(Some((ip(A, 13), Twin::Ip)));
    sent(&mut site, 0, ip(B, 11), ip(A, 13));
    let now = Duration::from_millis(1_000);
    site.set_tables(Some((0, Duration::ZERO)));
    site.set_loop(true);
    site.set_vlan(Leaf::One, ip(B, 0), false);
    site.set_router(now, 0, false);
    site.set_router(now, 1, false);
    site.set_stranger(Some((ip(A, 13), Twin::Ip)));
    site.move_host(ip(B, 11));
    for from in [ip(A, 11), ip(B, 11)] {
        sent(&mut site, 2_000, from, ip(A, 13));
    }
    site.heal(Duration::from_millis(2_100));
    let all: Vec<Ipv4Addr> = site.hosts.keys().copied().collect();
    for (from, to) in all.iter().flat_map(|from| all.iter().map(move |to| (*from, *to))).filter(|(from, to)| from != to)
    {
        assert_eq!(sent(&mut site, 4_000, from, to), 1, "{from} to {to}");
    }
}
