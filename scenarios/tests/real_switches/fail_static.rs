//! The controller dies, switches restart, operators meddle: packets flow on, and what was changed is put right.

use selvedge_scenarios::{Outcome, PortRequest, RealWorld};
use selvedge_sim::testbed::{Daemons, Guest};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

fn two_guests(world: &mut RealWorld) -> Outcome<(Guest, Guest)> {
    let switch = world.switch("red", &["geneve"])?;
    let request = |name, on, mac, ips| PortRequest { switch: &switch, name, on, mac, ips, secured: true };
    let (port_a, a) = world.guest_on_port(&request("red-a", 1, "02:00:00:00:00:01", &["10.0.0.1/24", "fd00::1/64"]))?;
    let (port_b, b) = world.guest_on_port(&request("red-b", 2, "02:00:00:00:00:02", &["10.0.0.2/24", "fd00::2/64"]))?;
    world.wait_up([&port_a, &port_b])?;
    a.first_answer("10.0.0.2".parse()?, PATIENCE)?.ok_or("red-b does not answer")?;
    Ok((a, b))
}

/// What the controller wrote to all switches since it started: flow mods, group mods, OVSDB transactions.
fn written(world: &RealWorld) -> Outcome<[u64; 3]> {
    let mut sum = [0; 3];
    for node in &world.nodes {
        for (total, name) in sum.iter_mut().zip(["flow_mods", "group_mods", "ovsdb_transactions"]) {
            *total += world.counter(node, name)?;
        }
    }
    Ok(sum)
}

#[test]
fn a_killed_controller_loses_no_packet_and_a_restarted_one_writes_nothing() -> Outcome<()> {
    let Some(mut world) = RealWorld::new("killed_controller", 3)? else { return Ok(()) };
    let (a, _b) = two_guests(&mut world)?;
    let pinger = a.pinger("10.0.0.2".parse()?)?;
    world.daemon.kill()?;
    // Longer than any timer of Open vSwitch that could notice.
    std::thread::sleep(Duration::from_secs(25));
    world.daemon.restart()?;
    world.wait_connected()?;
    world.wait_realised()?;
    std::thread::sleep(Duration::from_secs(1));
    let report = pinger.stop();
    println!("controller killed for 25 s and restarted: {report:?}");
    assert_eq!(report.lost(), 0, "{report:?}");
    assert_eq!(written(&world)?, [0; 3], "flow mods, group mods, OVSDB transactions after a restart");
    Ok(())
}

#[test]
fn a_cluster_that_begins_anew_from_a_backup_takes_its_switches_back() -> Outcome<()> {
    let Some(mut world) = RealWorld::new("backup", 2)? else { return Ok(()) };
    let (a, _b) = two_guests(&mut world)?;
    let (file, directory) = (world.bed.directory().join("backup"), world.bed.directory().join("restored"));
    let backup = world.daemon.command(&["backup", &file.display().to_string()]).output()?;
    assert!(backup.status.success(), "{backup:?}");
    let pinger = a.pinger("10.0.0.2".parse()?)?;
    world.daemon.kill()?;
    world.daemon.restore(&file, &directory)?;
    world.wait_connected()?;
    world.wait_realised()?;
    std::thread::sleep(Duration::from_secs(1));
    let report = pinger.stop();
    println!("controller killed, and another begun from a backup: {report:?}");
    assert_eq!(report.lost(), 0, "{report:?}");
    let [flows, groups, _epochs] = written(&world)?;
    assert_eq!([flows, groups], [0; 2], "flow mods, group mods");
    Ok(())
}

#[test]
fn restarted_switches_are_programmed_again() -> Outcome<()> {
    let Some(mut world) = RealWorld::new("restarted_switch", 2)? else { return Ok(()) };
    let (a, _b) = two_guests(&mut world)?;
    for daemons in [Daemons::Switch, Daemons::Db, Daemons::Both] {
        let hypervisor = world.bed.hypervisors()[1].clone();
        hypervisor.kill(daemons)?;
        hypervisor.start()?;
        let took = world.wait(&format!("an answer after {daemons:?} was restarted"), || {
            Ok(a.ping_once("10.0.0.2".parse()?, Duration::from_millis(300))?.is_some())
        })?;
        world.wait_connected()?;
        world.wait_realised()?;
        println!("{daemons:?} killed and started: answered again after {took:?}");
    }
    Ok(())
}

#[test]
fn what_an_operator_breaks_is_repaired_and_reported() -> Outcome<()> {
    let Some(mut world) = RealWorld::new("meddling", 2)? else { return Ok(()) };
    let (a, _b) = two_guests(&mut world)?;
    let hypervisor = world.bed.hypervisors()[1].clone();
    let node = world.nodes[1].clone();
    let foreign = "table=0,priority=60000,actions=drop";
    let ofctl: [(&str, &[&str]); 4] = [
        ("all flows deleted", &["del-flows", "br-int"]),
        ("a flow added", &["add-flow", "br-int", foreign]),
        (
            "a learning flow added",
            &["add-flow", "br-int", "table=9,priority=7,actions=learn(table=8,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[])"],
        ),
        ("all groups deleted", &["del-groups", "br-int"]),
    ];
    for (what, arguments) in ofctl {
        repaired(&world, &node, what, || Ok(hypervisor.ovs_ofctl(arguments).map(drop)?))?;
    }
    // No monitor of flows tells of this one.
    let groups = hypervisor.ovs_ofctl(&["dump-groups", "br-int"])?;
    let group =
        groups.split("group_id=").nth(1).and_then(|rest| rest.split(',').next()).ok_or("br-int has no group")?;
    let emptied = format!("group_id={group},type=all");
    repaired(&world, &node, "a group emptied", || {
        Ok(hypervisor.ovs_ofctl(&["mod-group", "br-int", &emptied]).map(drop)?)
    })?;
    let vsctl: [(&str, &[&str]); 4] = [
        ("fail mode changed", &["set-fail-mode", "br-int", "standalone"]),
        ("controllers removed", &["del-controller", "br-int"]),
        ("tunnel port removed", &["del-port", "br-int", "sv-geneve"]),
        ("protocols changed", &["set", "Bridge", "br-int", "protocols=OpenFlow10"]),
    ];
    for (what, arguments) in vsctl {
        repaired(&world, &node, what, || Ok(hypervisor.ovs_vsctl(arguments).map(drop)?))?;
        world.wait_connected()?;
    }
    a.first_answer("10.0.0.2".parse()?, PATIENCE)?.ok_or("red-b does not answer after all repairs")?;
    let dump = hypervisor.ovs_ofctl(&["dump-flows", "br-int", "table=0"])?;
    assert!(!dump.contains("60000") && dump.contains("in_port"), "{dump}");

    repaired(&world, &node, "bridge deleted", || Ok(hypervisor.ovs_vsctl(&["del-br", "br-int"]).map(drop)?))?;
    hypervisor.wait_for_bridge("br-int", PATIENCE)?;
    world.wait_connected()?;
    Ok(())
}

/// Breaks something, and waits until the controller says that it repaired something.
fn repaired(world: &RealWorld, node: &str, what: &str, meddle: impl Fn() -> Outcome<()>) -> Outcome<()> {
    let before = world.counter(node, "repairs")?;
    meddle()?;
    let took = world.wait(&format!("a repair after: {what}"), || Ok(world.counter(node, "repairs")? > before))?;
    world.wait_realised()?;
    println!("{what}: repaired after {took:?}");
    Ok(())
}
