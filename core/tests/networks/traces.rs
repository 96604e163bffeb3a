//! What becomes of packets, in words.

use super::network::Network;
use selvedge_core::trace::{Message, Packet, Payload, trace};
use std::net::IpAddr;
use std::str::FromStr;

fn network() -> Network {
    Network::of(
        "node hv1 geneve=172.31.1.1
        node hv2 geneve=172.31.1.2
        node hv3 gre=172.31.1.3
        switch web geneve gre
        switch alone isolated geneve
        port a web 02:00:00:00:00:0a=10.0.0.10
        port b web 02:00:00:00:00:0b=10.0.0.11
        port c web 02:00:00:00:00:0c=10.0.0.12 02:00:00:00:00:0c=fd00::c
        port far web 02:00:00:00:00:0d=10.0.0.13
        port off web down 02:00:00:00:00:0e
        port nowhere web 02:00:00:00:00:0f
        port six web 02:00:00:00:00:16=fd00::16
        port x alone
        port y alone
        bind a hv1 5 02:00:00:00:00:0a
        bind b hv2 6 02:00:00:00:00:0b
        bind c hv1 7 02:00:00:00:00:0c
        bind far hv3 8 02:00:00:00:00:0d
        bind off hv1 9 02:00:00:00:00:0e
        bind six hv1 12 02:00:00:00:00:16
        bind x hv1 10 02:00:00:00:00:01
        bind y hv2 11 02:00:00:00:00:02",
    )
}

fn parsed<T: FromStr>(word: &str) -> T {
    word.parse().unwrap_or_else(|_| panic!("{word} does not parse"))
}

/// A MAC address, or the last byte of one.
fn mac(word: &str) -> selvedge_core::addr::Mac {
    format!("02:00:00:00:00:{word}").parse().unwrap_or_else(|_| parsed(word))
}

/// `ip SOURCE DESTINATION`, `arp|arp-reply SENDER HARDWARE TARGET`, `ns|na SOURCE HARDWARE|- TARGET`, or nothing.
fn payload(words: &[&str]) -> Payload {
    let message = |question: bool| if question { Message::Question } else { Message::Answer };
    match words {
        [] => Payload::Other,
        ["ip", from, to] => Payload::Ip { source: parsed::<IpAddr>(from), destination: parsed(to) },
        [kind @ ("arp" | "arp-reply"), sender, hardware, target] => Payload::Arp {
            message: message(*kind == "arp"),
            sender: parsed(sender),
            hardware: mac(hardware),
            target: parsed(target),
        },
        [kind @ ("ns" | "na"), source, hardware, target] => Payload::Neighbour {
            message: message(*kind == "ns"),
            source: parsed(source),
            hardware: (*hardware != "-").then(|| mac(hardware)),
            target: parsed(target),
        },
        _ => panic!("{words:?} is no payload"),
    }
}

/// `PORT: SOURCE > DESTINATION [vlan ID] [PAYLOAD]`
fn outcome(words: &str) -> String {
    let network = network();
    let words: Vec<&str> = words.split_whitespace().collect();
    let [port, source, ">", destination, rest @ ..] = words.as_slice() else { panic!("{words:?} is no packet") };
    let (vlan, rest) = match rest {
        ["vlan", id, rest @ ..] => (Some(parsed(id)), rest),
        rest => (None, rest),
    };
    let packet = Packet { source: mac(source), destination: mac(destination), vlan, payload: payload(rest) };
    let trace = trace(&network.nib, network.uuids[port.trim_end_matches(':')], &packet).expect("the port exists");
    let last = trace.steps.last().map(|step| step.why.clone()).unwrap_or_default();
    match trace.receivers.len() {
        1 => format!("{}; {last}", trace.outcome()),
        _ => trace.outcome(),
    }
}

#[test]
fn packets_end_where_intent_says() {
    let check = |words: &str, want: &str| assert_eq!(outcome(words), want, "{words}");
    check("a: 0a > 0b", "delivered; to b on hv2, by geneve to 172.31.1.2");
    check("a: 0a > 0c ip 10.0.0.10 10.0.0.12", "delivered; to c, on the same transport node");
    check("a: 0a > ff:ff:ff:ff:ff:ff arp 10.0.0.10 0a 10.0.0.11", "answered where it was sent");
    check("a: 0a > 0e", "dropped by l2_lookup: no port of the switch that is up has address 02:00:00:00:00:0e");
    check("off: 0e > 0a", "dropped by classify: port off is disabled");
    check(
        "nowhere: 0f > 0a",
        "dropped by classify: no transport node has VIF vif-nowhere, which is attached to port nowhere",
    );
    check("a: 66 > 0b", "dropped by port_security: source 02:00:00:00:00:66 is in none of the port's address pairs");
    check(
        "a: 0a > 0b ip 10.0.0.66 10.0.0.11",
        "dropped by port_security: source 10.0.0.66 is in none of the address pairs of 02:00:00:00:00:0a",
    );
    check(
        "a: 0a > ff:ff:ff:ff:ff:ff arp 10.0.0.11 0a 10.0.0.1",
        "dropped by port_security_arp_nd: source 10.0.0.11 is in none of the address pairs of 02:00:00:00:00:0a",
    );
    check(
        "a: 01:00:00:00:00:01 > 0b",
        "dropped by admission: 01:00:00:00:00:01 is a group address, which no guest may send from",
    );
    check("x: 01 > 02", "dropped by isolation: ports of this switch do not reach each other");
    check(
        "a: 0a > 0d",
        "dropped by output: far is on hv3, and the two nodes share no encapsulation and zone of the switch",
    );
    check("a: 0a > ff:ff:ff:ff:ff:ff", "delivered to 3 ports");
}

#[test]
fn what_a_guest_may_claim() {
    let check = |words: &str, want: &str| assert_eq!(outcome(words), want, "{words}");
    const ALL: &str = "ff:ff:ff:ff:ff:ff";
    const ALL_V6: &str = "33:33:ff:00:00:16";
    check(
        "a: 0a > 0b vlan 7",
        "dropped by admission: the frame is tagged with VLAN 7, and a guest may send untagged frames only",
    );
    check(
        &format!("a: 0a > {ALL} arp 10.0.0.10 66 10.0.0.11"),
        "dropped by port_security_arp_nd: \
         it claims hardware address 02:00:00:00:00:66, but comes from 02:00:00:00:00:0a",
    );
    check(&format!("a: 0a > {ALL} arp 0.0.0.0 0a 10.0.0.10"), "delivered to 3 ports");
    check(
        &format!("a: 0a > {ALL} arp-reply 0.0.0.0 0a 10.0.0.10"),
        "dropped by port_security_arp_nd: source 0.0.0.0 is in none of the address pairs of 02:00:00:00:00:0a",
    );
    check("a: 0a > 0c arp-reply 10.0.0.10 0a 10.0.0.12", "delivered; to c, on the same transport node");
    check(
        &format!("six: 16 > {ALL} arp 0.0.0.0 16 10.0.0.10"),
        "dropped by port_security: \
         no address pair of 02:00:00:00:00:16 has an IPv4 address, so it may not use ARP",
    );
    check(
        &format!("a: 0a > {ALL_V6} ns :: - fd00::16"),
        "dropped by port_security: source :: is in none of the address pairs of 02:00:00:00:00:0a",
    );
    check(&format!("six: 16 > {ALL_V6} ns :: - fd00::16"), "delivered to 3 ports");
    check("six: 16 > 0a na fd00::16 16 fd00::16", "delivered; to a, on the same transport node");
    check("six: 16 > 0a na fe80::ff:fe00:16 - fe80::ff:fe00:16", "delivered; to a, on the same transport node");
    check(
        "six: 16 > 0a na fd00::16 16 fd00::1",
        "dropped by port_security_arp_nd: \
         advertised address fd00::1 is in none of the address pairs of 02:00:00:00:00:16",
    );
    check(
        "x: 01 > 33:33:ff:00:00:16 ns :: - fd00::16",
        "dropped by isolation: ports of this switch do not reach each other",
    );
    check(&format!("c: 0c > {ALL_V6} ns fd00::c 0c fd00::16"), "delivered; to six, on the same transport node");
    check(&format!("c: 0c > {ALL_V6} ns fd00::c 0c fd00::99"), "delivered to 3 ports");
}
