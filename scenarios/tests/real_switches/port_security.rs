//! A guest sends under addresses that are not its own, in every way it could: nobody hears it. What it sends under its
//! own is heard. Beside it, a known address is asked for and answered without the question leaving the hypervisor.

use selvedge_scenarios::{Outcome, PortRequest, RealWorld};
use selvedge_sim::testbed::{ArpEnd, ArpOperation, Endpoint, Frame, Mac};
use std::time::Duration;

const QUIET: Duration = Duration::from_millis(400);

const MINE: Mac = Mac([2, 0, 0, 0, 0, 1]);
const PEERS: Mac = Mac([2, 0, 0, 0, 0, 2]);
const FORGED: Mac = Mac([2, 0, 0, 0, 0, 0x66]);

fn udp(mac: Mac, ip: &str, peer: &str, mark: &str) -> Outcome<Frame> {
    let source = Endpoint { mac, ip: ip.parse()?, port: 7 };
    let destination = Endpoint { mac: PEERS, ip: peer.parse()?, port: 7 };
    Ok(Frame::udp(source, destination, mark.as_bytes()))
}

fn arp(header: Mac, sender: Mac, ip: &str) -> Outcome<Frame> {
    let sender = ArpEnd { mac: sender, ip: ip.parse()? };
    // For an address that nobody has, so that nobody answers for it and the request is seen by all.
    let target = ArpEnd { mac: Mac([0; 6]), ip: "10.0.0.77".parse()? };
    let frame = Frame::arp(ArpOperation::Request, sender, target);
    let payload = frame.payload().to_vec();
    Ok(Frame::new(frame.destination(), header, frame.ethertype(), &payload))
}

fn advertisement(header: Mac, option: Mac, ip: &str) -> Outcome<Frame> {
    let frame = Frame::neighbour_advertisement(option, ip.parse()?);
    Ok(Frame::new(frame.destination(), header, frame.ethertype(), frame.payload()))
}

#[test]
fn forged_addresses_are_dropped() -> Outcome<()> {
    let Some(mut world) = RealWorld::new("forged_addresses", 2)? else { return Ok(()) };
    let switch = world.switch("red", &["geneve"])?;
    let ips = |last: u8| [format!("10.0.0.{last}/24"), format!("fd00::{last}/64")];
    let (a, b) = (ips(1), ips(2));
    let (a, b): (Vec<&str>, Vec<&str>) =
        (a.iter().map(String::as_str).collect(), b.iter().map(String::as_str).collect());
    let request = |name, on, mac, ips| PortRequest { switch: &switch, name, on, mac, ips, secured: true };
    let (port_a, sender) = world.guest_on_port(&request("red-a", 1, "02:00:00:00:00:01", a.as_slice()))?;
    let (port_b, receiver) = world.guest_on_port(&request("red-b", 2, "02:00:00:00:00:02", b.as_slice()))?;
    world.wait_up([&port_a, &port_b])?;
    sender.first_answer("10.0.0.2".parse()?, Duration::from_secs(5))?.ok_or("red-b does not answer")?;

    let link_local = "fe80::ff:fe00:1";
    let cases = [
        ("own addresses, IPv4", true, udp(MINE, "10.0.0.1", "10.0.0.2", "own-4")?),
        ("own addresses, IPv6", true, udp(MINE, "fd00::1", "fd00::2", "own-6")?),
        ("own link-local address", true, udp(MINE, link_local, "fd00::2", "own-ll")?),
        ("own ARP", true, arp(MINE, MINE, "10.0.0.1")?),
        ("ARP probe", true, arp(MINE, MINE, "0.0.0.0")?),
        ("own advertisement", true, advertisement(MINE, MINE, "fd00::1")?),
        ("announcement by RARP", true, Frame::rarp_announcement(MINE)),
        ("forged MAC", false, udp(FORGED, "10.0.0.1", "10.0.0.2", "forged-mac")?),
        ("the receiver's MAC", false, udp(PEERS, "10.0.0.1", "10.0.0.2", "peers-mac")?),
        ("forged IPv4", false, udp(MINE, "10.0.0.9", "10.0.0.2", "forged-4")?),
        ("forged IPv6", false, udp(MINE, "fd00::9", "fd00::2", "forged-6")?),
        ("group source", false, Frame::new(Mac([0xff; 6]), Mac([3, 0, 0, 0, 0, 1]), 0x88b5, b"group-source")),
        ("VLAN tag", false, Frame::new(Mac([0xff; 6]), MINE, 0x8100, &[0, 5, 0x88, 0xb5, 1, 2, 3])),
        ("ARP for another's IP", false, arp(MINE, MINE, "10.0.0.2")?),
        ("ARP with a forged sender MAC", false, arp(MINE, FORGED, "10.0.0.1")?),
        ("ARP with a forged header", false, arp(FORGED, MINE, "10.0.0.1")?),
        ("advertisement of another's IP", false, advertisement(MINE, MINE, "fd00::2")?),
        ("advertisement of a forged MAC", false, advertisement(MINE, FORGED, "fd00::1")?),
        ("RARP of a forged MAC", false, Frame::rarp_announcement(FORGED)),
    ];
    for (what, passes, frame) in cases {
        let wanted = frame.clone();
        let capture = receiver.capture(move |seen| {
            seen.source() == wanted.source()
                && seen.ethertype() == wanted.ethertype()
                && seen.payload() == wanted.payload()
        })?;
        sender.inject(&frame)?;
        let patience = if passes { Duration::from_secs(3) } else { QUIET };
        assert_eq!(capture.next(patience).is_some(), passes, "{what}");
        println!("{what}: {}", if passes { "heard" } else { "dropped" });
    }
    Ok(())
}

#[test]
fn known_addresses_are_answered_where_they_are_asked_for() -> Outcome<()> {
    let Some(mut world) = RealWorld::new("known_addresses", 2)? else { return Ok(()) };
    let switch = world.switch("red", &["vxlan"])?;
    let request = |name, on, mac, ips| PortRequest { switch: &switch, name, on, mac, ips, secured: true };
    let (port_a, asker) = world.guest_on_port(&request("red-a", 1, "02:00:00:00:00:01", &["10.0.0.1/24"]))?;
    let (port_b, owner) = world.guest_on_port(&request("red-b", 2, "02:00:00:00:00:02", &["10.0.0.2/24"]))?;
    world.wait_up([&port_a, &port_b])?;
    let question = Frame::arp(
        ArpOperation::Request,
        ArpEnd { mac: MINE, ip: "10.0.0.1".parse()? },
        ArpEnd { mac: Mac([0; 6]), ip: "10.0.0.2".parse()? },
    );
    let asked = owner.capture(|frame| frame.ethertype() == 0x0806 && frame.source() == MINE)?;
    let answered = asker.capture(|frame| frame.ethertype() == 0x0806 && frame.source() == PEERS)?;
    asker.inject(&question)?;
    assert!(answered.next(Duration::from_secs(3)).is_some(), "the answer came");
    assert_eq!(asked.next(QUIET), None, "the question did not leave the hypervisor");
    Ok(())
}

#[test]
fn isolated_and_disabled_ports_are_cut_off() -> Outcome<()> {
    let Some(mut world) = RealWorld::new("isolated_ports", 2)? else { return Ok(()) };
    let switch = world.switch("red", &["gre"])?;
    let request = |name, on, mac, ips| PortRequest { switch: &switch, name, on, mac, ips, secured: true };
    let (port_a, a) = world.guest_on_port(&request("red-a", 1, "02:00:00:00:00:01", &["10.0.0.1/24"]))?;
    let (port_b, _b) = world.guest_on_port(&request("red-b", 2, "02:00:00:00:00:02", &["10.0.0.2/24"]))?;
    world.wait_up([&port_a, &port_b])?;
    let b_ip = "10.0.0.2".parse()?;
    let api = world.daemon.api();
    let reachable = |patience| a.first_answer(b_ip, patience).map(|answer| answer.is_some());
    assert!(reachable(Duration::from_secs(5))?, "before");
    let path = format!("/ws.v1/lswitch/{switch}");
    for (path, field, cut, open) in
        [(&path, "port_isolation_enabled", true, false), (&port_b, "admin_status_enabled", false, true)]
    {
        api.put(path, &serde_json::json!({ field: cut }))?;
        world.wait_realised()?;
        // Confirmed is not purged: Open vSwitch may go by its cache of decisions a moment longer.
        world.wait("the port to be cut off", || Ok(!reachable(Duration::from_millis(100))?))?;
        assert!(!reachable(Duration::from_millis(500))?, "{field} {cut}");
        api.put(path, &serde_json::json!({ field: open }))?;
        world.wait_realised()?;
        assert!(reachable(Duration::from_secs(5))?, "{field} {open}");
    }
    Ok(())
}
