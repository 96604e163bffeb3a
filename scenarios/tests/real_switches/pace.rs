//! Figures: how fast and how small. Printed, never asserted by a clock.

use selvedge_scenarios::{Outcome, RealWorld};
use selvedge_sim::testbed::{Api, Hypervisor};
use serde_json::json;
use std::fmt::Write;
use std::time::{Duration, Instant};

const PORTS: usize = 10_000;
const SWITCHES: usize = 100;
const CLIENTS: usize = 8;
const HYPERVISORS: u8 = 3;

/// Plugs in interfaces that are VIFs to a controller: tunnel ports, since the switch makes thousands of those cheaply.
fn plug_many(hypervisor: &Hypervisor, vifs: impl Iterator<Item = usize>) -> Outcome<()> {
    let vifs: Vec<usize> = vifs.collect();
    for batch in vifs.chunks(500) {
        let mut words = String::new();
        for n in batch {
            write!(
                words,
                " -- add-port br-int v{n} -- set Interface v{n} type=gre options:remote_ip=192.0.2.1 options:key={n} \
                 external_ids:iface-id=many-{n} external_ids:attached-mac={}",
                mac(*n)
            )?;
        }
        let arguments: Vec<&str> = words.split_whitespace().skip(1).collect();
        hypervisor.ovs_vsctl(&arguments)?;
    }
    Ok(())
}

fn mac(n: usize) -> String {
    format!("02:00:00:00:{:02x}:{:02x}", n >> 8 & 0xff, n & 0xff)
}

/// Creates and attaches the ports of one client.
fn create(api: &Api, switches: &[String], ports: impl Iterator<Item = usize>) -> Outcome<()> {
    for n in ports {
        let path = format!("/ws.v1/lswitch/{}/lport", switches[n % SWITCHES]);
        let ip = format!("10.{}.{}.{}", n % SWITCHES, n / SWITCHES / 250, n / SWITCHES % 250 + 1);
        let pairs = json!([{ "mac_address": mac(n), "ip_address": ip }]);
        let uuid = api.create(&path, &json!({ "display_name": format!("p{n}"), "allowed_address_pairs": pairs }))?;
        let vif = json!({ "type": "VifAttachment", "vif_uuid": format!("many-{n}") });
        api.put(&format!("{path}/{uuid}/attachment"), &vif)?;
    }
    Ok(())
}

#[test]
fn ten_thousand_ports() -> Outcome<()> {
    let Some(mut world) = RealWorld::new("ten_thousand_ports", HYPERVISORS)? else { return Ok(()) };
    println!("controller, idle: {} MiB resident", world.daemon.resident_kib()? / 1024);
    for (i, hypervisor) in world.bed.hypervisors().iter().enumerate() {
        plug_many(hypervisor, (0..PORTS).filter(|n| n / SWITCHES % usize::from(HYPERVISORS) == i))?;
    }
    let seen = || -> Outcome<u64> {
        let mut seen = 0;
        for node in &world.nodes {
            seen += world.node_status(node)?["vif_count"].as_u64().unwrap_or(0);
        }
        Ok(seen)
    };
    world.wait("all VIFs to be seen", || Ok(seen()? >= PORTS as u64))?;
    let switches =
        (0..SWITCHES).map(|n| world.switch(&format!("s{n}"), &["geneve"])).collect::<Outcome<Vec<String>>>()?;

    let start = Instant::now();
    let directory = world.daemon.directory().to_path_buf();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (switches, directory) = (&switches, &directory);
                scope.spawn(move || -> Result<(), String> {
                    let api = Api::connect("10.254.0.1:7443", directory).map_err(|error| error.to_string())?;
                    let mine = (0..PORTS).filter(|n| n % CLIENTS == client);
                    create(&api, switches, mine).map_err(|error| error.to_string())
                })
            })
            .collect();
        clients.into_iter().try_for_each(|client| client.join().unwrap_or_else(|_| Err("a client panicked".into())))
    })?;
    let created = start.elapsed();
    let answer = world.daemon.api().get("/ws.v1/realisation?timeout_ms=25000")?;
    let realised = start.elapsed();
    assert_eq!(answer["realised"], true, "{answer}");
    println!("{PORTS} ports created and attached over REST by {CLIENTS} clients: {created:?}");
    println!("... and realised on {HYPERVISORS} hypervisors: {realised:?}");
    println!("controller then: {} MiB resident", world.daemon.resident_kib()? / 1024);
    for (node, hypervisor) in world.nodes.iter().zip(world.bed.hypervisors()) {
        let aggregate = hypervisor.ovs_ofctl(&["dump-aggregate", "br-int"])?;
        let (flows, bundles) = (world.counter(node, "flow_mods")?, world.counter(node, "bundles")?);
        println!("{}: {flows} flow mods in {bundles} bundles; {}", hypervisor.id(), aggregate.trim());
    }

    world.daemon.kill()?;
    let start = Instant::now();
    world.daemon.restart()?;
    println!("restart to serving, {PORTS} ports held: {:?}", start.elapsed());
    world.wait_connected()?;
    world.wait("everything to be compared", || {
        Ok(world.daemon.api().get("/ws.v1/realisation?timeout_ms=1000")?["realised"] == true)
    })?;
    println!("restart to all switches compared: {:?}", start.elapsed());
    for node in &world.nodes {
        assert_eq!(world.counter(node, "flow_mods")?, 0, "a restart with nothing changed sends nothing");
    }
    std::thread::sleep(Duration::from_millis(100));
    Ok(())
}
