//! What becomes of packets, in words.

use super::network::Network;
use selvedge_core::trace::{Packet, Payload, trace};
use std::net::IpAddr;

fn network() -> Network {
    Network::of(
        "node hv1 geneve=172.31.1.1
        node hv2 geneve=172.31.1.2
        node hv3 gre=172.31.1.3
        switch web geneve gre
        switch alone isolated geneve
        port a web 02:00:00:00:00:0a=10.0.0.10
        port b web 02:00:00:00:00:0b=10.0.0.11
        port c web 02:00:00:00:00:0c=10.0.0.12
        port far web 02:00:00:00:00:0d=10.0.0.13
        port off web down 02:00:00:00:00:0e
        port nowhere web 02:00:00:00:00:0f
        port x alone
        port y alone
        bind a hv1 5 02:00:00:00:00:0a
        bind b hv2 6 02:00:00:00:00:0b
        bind c hv1 7 02:00:00:00:00:0c
        bind far hv3 8 02:00:00:00:00:0d
        bind off hv1 9 02:00:00:00:00:0e
        bind x hv1 10 02:00:00:00:00:01
        bind y hv2 11 02:00:00:00:00:02",
    )
}

/// `PORT: SOURCE > DESTINATION [ip SOURCE DESTINATION | arp SENDER TARGET]`
fn outcome(words: &str) -> String {
    let network = network();
    let words: Vec<&str> = words.split_whitespace().collect();
    let ip = |word: &str| word.parse::<IpAddr>().expect("an address");
    let (port, source, destination, payload) = match words.as_slice() {
        [port, source, ">", destination] => (port, source, destination, Payload::Other),
        [port, source, ">", destination, "ip", from, to] => {
            (port, source, destination, Payload::Ip { source: ip(from), destination: ip(to) })
        }
        [port, source, ">", destination, "arp", sender, target] => {
            (port, source, destination, Payload::ArpRequest { sender: ip(sender), target: ip(target) })
        }
        _ => panic!("{words:?} is no packet"),
    };
    let mac = |word: &str| format!("02:00:00:00:00:{word}").parse().or(word.parse()).expect("a MAC");
    let packet = Packet { source: mac(source), destination: mac(destination), payload };
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
    check("a: 0a > ff:ff:ff:ff:ff:ff arp 10.0.0.10 10.0.0.11", "answered where it was sent");
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
        "a: 0a > ff:ff:ff:ff:ff:ff arp 10.0.0.11 10.0.0.1",
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
    check("a: 0a > ff:ff:ff:ff:ff:ff", "delivered to 2 ports");
}
