//! The testbed itself, on real switches that learn by themselves: no controller takes part.
//!
//! Where real switches cannot run these tests say so and pass, unless `SELVEDGE_REQUIRE_OVS=1`.

#![allow(clippy::disallowed_methods, reason = "real switches live in real time")]

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use selvedge_sim::testbed::frame::ARP;
use selvedge_sim::testbed::{
    ArpEnd, ArpOperation, Bed, Daemons, Endpoint, Family, Frame, Guest, GuestName, GuestSpec, HypervisorId, Lifetime,
    Mac, Matrix, MigrationOrder, Pinger, Place, VifId, enter_private_namespace, ready_or_skip, wait_until,
};

/// Time enough for anything that shall happen at once, on a busy machine.
const SOON: Duration = Duration::from_secs(10);
/// Time enough to notice what shall not happen.
const QUIET: Duration = Duration::from_millis(500);

fn hv(number: u8) -> HypervisorId {
    HypervisorId::new(number).expect("a number in range")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Guest `gN`, with N in all of its addresses.
fn spec(n: u8) -> GuestSpec {
    let name: GuestName = format!("g{n}").parse().expect("a name");
    let addresses = [format!("10.0.0.{n}/24"), format!("fd00::{n}/64")].map(|text| text.parse().expect("an address"));
    GuestSpec::new(name, Mac([2, 0, 0, 0, 0, n]), addresses.to_vec(), VifId::IfaceId(format!("vif-{n}")))
}

/// A learning mesh, warm, with guest `gN` on each of these hypervisors.
fn learning_bed(test: &str, hypervisors: u8, guests: &[u8]) -> Option<(Bed, Vec<Guest>)> {
    let mut bed = Bed::for_test(test, hypervisors)?;
    bed.make_learning_mesh("geneve").expect("a mesh");
    if hypervisors > 1 {
        bed.warm_underlay().expect("a warm underlay");
    }
    let guests = (1..).zip(guests).map(|(n, on)| bed.add_guest(hv(*on), spec(n)).expect("a guest")).collect();
    Some((bed, guests))
}

fn everyone_reaches_everyone(guests: &[Guest]) {
    let matrix = Matrix::measure(guests, |_| true, SOON, QUIET).expect("guests that are there");
    matrix.assert_as_expected();
}

#[test]
fn guests_reach_each_other_by_all_protocols() {
    let Some((_bed, guests)) = learning_bed("guests_reach_each_other_by_all_protocols", 2, &[1, 1, 2]) else {
        return;
    };
    everyone_reaches_everyone(&guests);
    let [near, _, far] = guests.as_slice() else { panic!("three guests") };
    for family in [Family::V4, Family::V6] {
        let to = SocketAddr::new(far.ip(family).expect("both families"), 5000);
        assert!(near.udp(far, to, SOON).expect("an exchange").is_some(), "UDP to {to}");
        assert!(near.tcp(far, to, SOON).expect("an exchange").is_some(), "TCP to {to}");
    }
    let nobody = ip("10.0.0.99");
    assert_eq!(near.ping_once(nobody, QUIET).expect("a ping"), None);
    assert_eq!(near.first_answer(nobody, QUIET).expect("a ping"), None);
    let to_nobody = SocketAddr::new(nobody, 5000);
    assert_eq!(near.tcp(far, to_nobody, QUIET).expect("an exchange"), None);
    assert_eq!(near.udp(far, to_nobody, QUIET).expect("an exchange"), None);
}

#[test]
fn a_guest_is_plugged_in_as_the_hypervisor_would() {
    let Some((mut bed, _)) = learning_bed("a_guest_is_plugged_in_as_the_hypervisor_would", 1, &[1]) else {
        return;
    };
    let xen = GuestSpec { vif: VifId::XsVifUuid("5c1f7d9c".to_owned()), ..spec(2) };
    bed.add_guest(hv(1), xen).expect("a guest");
    let ids = |port| {
        let hypervisor = bed.hypervisor(hv(1)).expect("it is there");
        hypervisor.ovs_vsctl(&["get", "Interface", port, "external_ids"]).expect("its ids").trim().to_owned()
    };
    assert_eq!(ids("g1"), r#"{attached-mac="02:00:00:00:00:01", iface-id=vif-1, iface-status=active, vm-id=g1}"#);
    assert_eq!(
        ids("g2"),
        r#"{attached-mac="02:00:00:00:00:02", iface-status=active, vm-id=g2, xs-vif-uuid="5c1f7d9c"}"#
    );
}

#[test]
fn a_guest_finds_that_its_address_is_taken_if_it_is_asked_to_look() {
    let name = "a_guest_finds_that_its_address_is_taken_if_it_is_asked_to_look";
    let Some((mut bed, _)) = learning_bed(name, 1, &[1]) else {
        return;
    };
    let addresses = spec(1).addresses;
    let twin = GuestSpec { addresses, duplicate_address_detection: true, ..spec(2) };
    let twin = bed.add_guest(hv(1), twin).expect("a guest");
    let is_refused = || {
        let mut show = std::process::Command::new("ip");
        show.args(["-6", "addr", "show", "dadfailed"]);
        Ok(twin.netns().run_command(&mut show)?.contains("fd00::1"))
    };
    wait_until(|| "the duplicate to be found".to_owned(), SOON, is_refused).expect("it is found");
}

#[test]
fn a_guest_migrates_in_both_orders_with_what_runs_in_it() {
    let name = "a_guest_migrates_in_both_orders_with_what_runs_in_it";
    let Some((mut bed, guests)) = learning_bed(name, 2, &[1, 2]) else {
        return;
    };
    everyone_reaches_everyone(&guests);
    let [asking, moving] = guests.as_slice() else { panic!("two guests") };
    let listener = asking.netns().run(|| TcpListener::bind("10.0.0.1:7000"));
    let listener = listener.expect("it is there").expect("a free port");
    let session = moving.netns().run(|| TcpStream::connect("10.0.0.1:7000"));
    let mut session = session.expect("it is there").expect("a session");
    let (mut accepted, _) = listener.accept().expect("the same session");
    accepted.set_read_timeout(Some(SOON)).expect("a timeout");
    for (to, order) in [(1, MigrationOrder::AppearsFirst), (2, MigrationOrder::LeavesFirst)] {
        let there = asking.pinger(ip("10.0.0.2")).expect("a pinger");
        let back = moving.pinger(ip("fd00::1")).expect("a pinger");
        bed.migrate(moving.name(), hv(to), order).expect("a migration");
        assert!(asking.first_answer(ip("10.0.0.2"), SOON).expect("a ping").is_some(), "{order:?}");
        session.write_all(b"still here").expect("sent");
        let mut heard = [0; 10];
        accepted.read_exact(&mut heard).expect("the session survives");
        assert_eq!(&heard, b"still here");
        for report in [there.stop(), back.stop()] {
            assert!(report.received > 0 && report.received <= report.sent, "{order:?}: {report:?}");
            assert!(report.longest_gap >= Pinger::INTERVAL, "{order:?}: {report:?}");
        }
        let place = bed.guests().find(|(guest, _)| guest.name() == moving.name()).map(|(_, place)| place);
        assert_eq!(place, Some(Place::At(hv(to))));
    }
    everyone_reaches_everyone(&guests);
}

#[test]
fn while_it_migrates_a_guest_is_plugged_in_twice_and_hears_once() {
    let name = "while_it_migrates_a_guest_is_plugged_in_twice_and_hears_once";
    let Some((mut bed, guests)) = learning_bed(name, 2, &[1, 2]) else {
        return;
    };
    everyone_reaches_everyone(&guests);
    let moving = guests[1].name();
    bed.begin_migration(moving, hv(1)).expect("it is plugged in there");
    for hypervisor in bed.hypervisors() {
        let status = hypervisor.ovs_vsctl(&["get", "Interface", "g2", "external_ids:iface-id", "link_state"]);
        assert_eq!(status.expect("it has that port"), "vif-2\nup\n");
    }
    bed.begin_migration(moving, hv(1)).expect_err("it is migrating already");
    // A learning switch still sends to where the guest speaks from.
    assert!(guests[0].first_answer(ip("10.0.0.2"), SOON).expect("a ping").is_some());
    bed.finish_migration(moving).expect("it goes on there");
    bed.finish_migration(moving).expect_err("it is not migrating any more");
    let ports = bed.hypervisors()[1].ovs_vsctl(&["list-ports", "br-int"]).expect("its ports");
    assert_eq!(ports, "t-hv1\n");
    everyone_reaches_everyone(&guests);
}

#[test]
fn crashed_daemons_come_back_and_tunnels_with_them() {
    let Some((bed, guests)) = learning_bed("crashed_daemons_come_back_and_tunnels_with_them", 2, &[1, 2]) else {
        return;
    };
    everyone_reaches_everyone(&guests);
    let hypervisor = bed.hypervisor(hv(2)).expect("it is there");
    for daemons in [Daemons::Switch, Daemons::Both] {
        hypervisor.kill(daemons).expect("killed");
        assert_eq!(hypervisor.pid("ovs-vswitchd"), None);
        assert_eq!(guests[0].first_answer(ip("10.0.0.2"), QUIET).expect("a ping"), None, "{daemons:?} is dead");
        hypervisor.start().expect("started");
        everyone_reaches_everyone(&guests);
    }
    hypervisor.kill(Daemons::Db).expect("killed");
    assert!(hypervisor.pid("ovsdb-server").is_none() && hypervisor.pid("ovs-vswitchd").is_some());
    hypervisor.start().expect("started");
    assert!(hypervisor.has_bridge("br-int").expect("a database"));
    everyone_reaches_everyone(&guests);
}

#[test]
fn a_guest_leaves_a_crashed_hypervisor() {
    let Some((mut bed, guests)) = learning_bed("a_guest_leaves_a_crashed_hypervisor", 2, &[1, 2]) else {
        return;
    };
    let crashed = bed.hypervisor(hv(2)).expect("it is there").clone();
    crashed.kill(Daemons::Both).expect("killed");
    bed.migrate(guests[1].name(), hv(1), MigrationOrder::LeavesFirst).expect("it is restarted elsewhere");
    everyone_reaches_everyone(&guests);
    crashed.start().expect("started");
    assert_eq!(crashed.ovs_vsctl(&["get", "Interface", "g2", "ofport"]).expect("the port is still there"), "-1\n");
    everyone_reaches_everyone(&guests);
}

#[test]
fn a_forged_frame_is_seen_by_others_and_not_by_its_sender() {
    let Some((_bed, guests)) = learning_bed("a_forged_frame_is_seen_by_others", 2, &[1, 1, 2]) else {
        return;
    };
    // Frames are sent once, and counted: only a network that is settled loses none.
    everyone_reaches_everyone(&guests);
    let captures: Vec<_> =
        guests.iter().map(|guest| guest.capture(|f| f.ethertype() == ARP).expect("a capture")).collect();
    let stranger = ArpEnd { mac: Mac([2, 0, 0, 0, 0, 0x66]), ip: "10.0.0.3".parse().expect("an address") };
    let forged = Frame::arp(ArpOperation::Request, stranger, stranger);
    guests[0].inject(&forged).expect("sent");
    let seen: Vec<usize> =
        captures.into_iter().map(|c| c.stop_after(QUIET).iter().filter(|frame| **frame == forged).count()).collect();
    assert_eq!(seen, [0, 1, 1]);

    let end = |n: u8| Endpoint { mac: Mac([2, 0, 0, 0, 0, n]), ip: IpAddr::from([10, 0, 0, n]), port: 4000 };
    let capture = guests[2].capture(|frame| frame.contains(b"mark")).expect("a capture");
    let packet = Frame::udp(end(1), end(3), b"mark");
    guests[0].inject(&packet).expect("sent");
    assert_eq!(capture.next(SOON), Some(packet));
}

#[test]
fn a_matrix_sees_that_an_unplugged_guest_is_cut_off() {
    let Some((mut bed, guests)) = learning_bed("a_matrix_sees_an_unplugged_guest", 1, &[1, 1, 1]) else {
        return;
    };
    let alone = guests[2].name();
    bed.unplug(alone).expect("unplugged");
    bed.unplug(alone).expect_err("it is unplugged already");
    let matrix = Matrix::measure(&guests, |pair| pair.from != *alone && pair.to != *alone, SOON, QUIET);
    matrix.expect("guests that are there").assert_as_expected();
    let matrix = Matrix::measure(&guests[1..], |_| true, QUIET, QUIET).expect("guests that are there");
    assert_eq!(matrix.mismatches().len(), 4, "{matrix}");
    bed.plug(alone, hv(1)).expect("plugged");
    everyone_reaches_everyone(&guests);
    bed.delete_guest(alone).expect("deleted");
    bed.guest(alone).expect_err("it is gone");
}

#[test]
fn a_hypervisor_starts_bare_and_a_guest_needs_a_bridge() {
    let Some(mut bed) = Bed::for_test("a_hypervisor_starts_bare_and_a_guest_needs_a_bridge", 1) else {
        return;
    };
    let hypervisor = bed.hypervisors()[0].clone();
    assert_eq!(hypervisor.ovs_vsctl(&["list-br"]).expect("bridges"), "br-phy\n");
    let error = bed.add_guest(hv(1), spec(1)).expect_err("there is no br-int").to_string();
    assert!(error.contains("no bridge named br-int"), "{error}");
    assert_eq!(bed.guests().count(), 0);
    hypervisor.make_integration_bridge().expect("made");
    hypervisor.wait_for_bridge("br-int", SOON).expect("it is there");
    bed.add_guest(hv(1), spec(1)).expect("a guest");
    hypervisor.ovs_ofctl(&["add-flow", "br-int", "table=9,actions=NORMAL"]).expect("a flow");
    let flows = hypervisor.ovs_ofctl(&["dump-flows", "br-int"]).expect("flows");
    assert_eq!(flows.matches("cookie").count(), 1, "{flows}");
    // Controllers that listen in the caller's namespace are within reach.
    let answer = selvedge_sim::testbed::echo::first_answer(hypervisor.netns(), ip("10.254.0.1"), SOON);
    assert!(answer.expect("a ping").is_some());
}

#[test]
fn a_panic_takes_the_bed_down() {
    if !ready_or_skip("a_panic_takes_the_bed_down") {
        return;
    }
    let (tell, told) = std::sync::mpsc::channel();
    let doomed = std::thread::spawn(move || {
        enter_private_namespace().expect("a namespace");
        let mut bed = Bed::up(1, Lifetime::Scope).expect("a bed");
        bed.make_learning_mesh("geneve").expect("a bridge");
        let guest = bed.add_guest(hv(1), spec(1)).expect("a guest");
        let hypervisor = bed.hypervisors()[0].clone();
        let pids = ["ovsdb-server", "ovs-vswitchd"].map(|program| hypervisor.pid(program).expect("it runs"));
        assert!(Bed::up(1, Lifetime::Scope).is_err(), "one bed in a namespace");
        tell.send((bed.directory().to_owned(), pids, hypervisor, guest)).expect("somebody listens");
        panic!("as a failed test would");
    });
    let (directory, pids, hypervisor, guest) = told.recv().expect("it comes so far");
    doomed.join().expect_err("it panics");
    assert!(!directory.exists());
    for namespace in [hypervisor.netns(), guest.netns()] {
        assert!(!Path::new("/run/netns").join(namespace.name()).exists(), "{}", namespace.name());
    }
    for pid in pids {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(line.is_empty(), "process {pid} is gone, or not reaped by a careless parent");
    }
    assert_eq!(hypervisor.pid("ovs-vswitchd"), None);
}
