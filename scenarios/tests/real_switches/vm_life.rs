//! A guest's life: it is plugged in, moves, goes, and comes back with the same name and addresses.

use selvedge_scenarios::{Outcome, PortRequest, RealWorld};
use selvedge_sim::testbed::{Guest, MigrationOrder};
use serde_json::json;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(5);

/// Waits until red-b no longer answers. The tables are as they should be by then, but Open vSwitch purges its cache of
/// decisions (the megaflows) only after it has confirmed a change of its tables.
fn falls_silent(world: &RealWorld, from: &Guest) -> Outcome<()> {
    let silent = || Ok(from.ping_once("10.0.0.2".parse()?, Duration::from_millis(100))?.is_none());
    world.wait("a port that is gone to be silent", silent).map(drop)
}

#[test]
fn migrates_under_ping_in_either_order() -> Outcome<()> {
    let Some(mut world) = RealWorld::new("migration", 3)? else { return Ok(()) };
    let switch = world.switch("red", &["geneve"])?;
    let request = |name, on, mac, ips| PortRequest { switch: &switch, name, on, mac, ips, secured: true };
    let (port_a, a) = world.guest_on_port(&request("red-a", 1, "02:00:00:00:00:01", &["10.0.0.1/24"]))?;
    let (port_b, b) = world.guest_on_port(&request("red-b", 2, "02:00:00:00:00:02", &["10.0.0.2/24"]))?;
    world.wait_up([&port_a, &port_b])?;
    a.first_answer("10.0.0.2".parse()?, PATIENCE)?.ok_or("red-b does not answer")?;
    for (order, to) in [(MigrationOrder::AppearsFirst, "hv3"), (MigrationOrder::LeavesFirst, "hv2")] {
        let pinger = a.pinger("10.0.0.2".parse()?)?;
        std::thread::sleep(Duration::from_millis(300));
        world.bed.migrate(b.name(), to.parse()?, order)?;
        world.wait("the port to be where the guest is", || {
            let status = world.daemon.api().get(&format!("{port_b}/status"))?;
            let node = &world.nodes[usize::from(to == "hv3") + 1];
            Ok(status["transport_node_uuid"] == node.as_str() && status["fabric_status_up"] == true)
        })?;
        a.first_answer("10.0.0.2".parse()?, PATIENCE)?.ok_or("red-b does not answer after it moved")?;
        let report = pinger.stop();
        println!("migration to {to}, {order:?}: {report:?}");
    }
    Ok(())
}

#[test]
fn comes_back_with_the_same_name_and_addresses() -> Outcome<()> {
    let Some(mut world) = RealWorld::new("recreation", 2)? else { return Ok(()) };
    let switch = world.switch("red", &["vxlan"])?;
    let request = |name, on, mac, ips| PortRequest { switch: &switch, name, on, mac, ips, secured: true };
    let (port_a, a) = world.guest_on_port(&request("red-a", 1, "02:00:00:00:00:01", &["10.0.0.1/24"]))?;
    world.wait_up([&port_a])?;
    let b = request("red-b", 2, "02:00:00:00:00:02", &["10.0.0.2/24"]);
    for round in 0..3 {
        let (port, guest) = world.guest_on_port(&b)?;
        world.wait_up([&port])?;
        a.first_answer("10.0.0.2".parse()?, PATIENCE)?.ok_or(format!("round {round}: no answer"))?;
        // Deleted with traffic flowing, port first.
        let pinger = a.pinger("10.0.0.2".parse()?)?;
        world.daemon.api().delete(&port)?;
        world.wait_realised()?;
        falls_silent(&world, &a)?;
        pinger.stop();
        world.bed.delete_guest(guest.name())?;
    }
    Ok(())
}

#[test]
fn detached_and_attached_while_it_runs() -> Outcome<()> {
    let Some(mut world) = RealWorld::new("attachment", 3)? else { return Ok(()) };
    let switch = world.switch("red", &["geneve"])?;
    let request = |name, on, mac, ips| PortRequest { switch: &switch, name, on, mac, ips, secured: true };
    let (port_a, a) = world.guest_on_port(&request("red-a", 1, "02:00:00:00:00:01", &["10.0.0.1/24"]))?;
    let (port_b, b) = world.guest_on_port(&request("red-b", 2, "02:00:00:00:00:02", &["10.0.0.2/24"]))?;
    let (port_c, _) = world.guest_on_port(&request("red-c", 3, "02:00:00:00:00:03", &["10.0.0.3/24"]))?;
    world.wait_up([&port_a, &port_b, &port_c])?;
    a.first_answer("10.0.0.2".parse()?, PATIENCE)?.ok_or("red-b does not answer")?;
    let path = format!("{port_b}/attachment");
    let api = world.daemon.api();
    let (mut realised, mut answered) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        api.put(&path, &json!({ "type": "NoAttachment" }))?;
        world.wait_realised()?;
        falls_silent(&world, &a)?;
        let start = Instant::now();
        api.put(&path, &json!({ "type": "VifAttachment", "vif_uuid": "vif-red-b" }))?;
        world.wait_realised()?;
        realised.push(start.elapsed());
        a.first_answer("10.0.0.2".parse()?, PATIENCE)?.ok_or("red-b does not answer again")?;
        answered.push(start.elapsed());
    }
    realised.sort();
    answered.sort();
    println!("PUT attachment until confirmed on 3 hypervisors: p50 {:?}, worst {:?}", realised[10], realised[19]);
    println!("PUT attachment until the first answered ping:    p50 {:?}, worst {:?}", answered[10], answered[19]);
    drop(b);
    Ok(())
}

#[test]
fn what_passes_is_counted_and_counted_anew() -> Outcome<()> {
    let Some(mut world) = RealWorld::new("counters", 2)? else { return Ok(()) };
    let switch = world.switch("red", &["geneve"])?;
    let request = |name, on, mac, ips| PortRequest { switch: &switch, name, on, mac, ips, secured: true };
    let (port_a, a) = world.guest_on_port(&request("red-a", 1, "02:00:00:00:00:01", &["10.0.0.1/24"]))?;
    let (port_b, _b) = world.guest_on_port(&request("red-b", 2, "02:00:00:00:00:02", &["10.0.0.2/24"]))?;
    world.wait_up([&port_a, &port_b])?;
    a.first_answer("10.0.0.2".parse()?, PATIENCE)?.ok_or("red-b does not answer")?;
    for _ in 0..10 {
        a.ping_once("10.0.0.2".parse()?, PATIENCE)?.ok_or("red-b does not answer")?;
    }
    let api = world.daemon.api();
    let path = format!("{port_a}/statistic");
    let counted = |name: &str| -> Outcome<u64> { Ok(api.get(&path)?[name].as_u64().ok_or("no such counter")?) };
    // The switch writes what it counted into its database every 5 s.
    world.wait("the pings to be counted", || Ok(counted("rx_packets")? >= 10 && counted("tx_packets")? >= 10))?;
    api.delete(&path)?;
    world.wait("little to be counted after that", || Ok(counted("rx_packets")? < 10))?;
    let status = api.get(&format!("{port_a}/status"))?;
    let place = |name: &str| status[name].as_str().unwrap_or_default().to_string();
    let (node, interface) = (place("transport_node_uuid"), place("vif_interface"));
    let of_interface = api.get(&format!("/ws.v1/transport-node/{node}/interface/{interface}/statistic"))?;
    assert!(of_interface["rx_packets"].as_u64() >= Some(10), "the switch's own go on: {of_interface}");
    let lost = api.get(&format!("/ws.v1/transport-node/{node}/interface/nothing/statistic"));
    assert!(lost.is_err_and(|error| error.to_string().contains("404")), "there is no such interface");
    world.bed.delete_guest(a.name())?;
    world.wait("the guest to be gone, and its port to say so", || Ok(api.get(&path)?["reason"].is_string()))?;
    Ok(())
}
