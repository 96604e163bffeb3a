//! Two tenants with the same addresses, over each encapsulation, IPv4 and IPv6: everybody reaches their own, nobody
//! reaches the other's. Also over two encapsulations in one switch, where a node lacks one of them.

use selvedge_scenarios::{ENCAPS, Outcome, PortRequest, RealWorld};
use selvedge_sim::testbed::matrix::Matrix;
use selvedge_sim::testbed::{Capture, Frame, Guest, Mac};
use std::time::Duration;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const PATIENCE: Duration = Duration::from_secs(8);
const QUIET: Duration = Duration::from_secs(1);

/// A tenant with guests a, b, ... on hypervisors 1, 2, 3, 1, ...; every tenant has the same addresses.
fn tenant(world: &mut RealWorld, name: &str, transports: &[&str], count: u8, secured: bool) -> Outcome<Vec<Guest>> {
    let switch = world.switch(name, transports)?;
    let mut ports = Vec::new();
    let mut guests = Vec::new();
    for i in 1..=count {
        let guest_name = format!("{name}-{}", NAMES[usize::from(i - 1)]);
        let (mac, v4, v6) = (format!("02:00:00:00:00:{i:02x}"), format!("10.0.0.{i}/24"), format!("fd00::{i}/64"));
        let ips = [v4.as_str(), v6.as_str()];
        let request =
            PortRequest { switch: &switch, name: &guest_name, on: (i - 1) % 3 + 1, mac: &mac, ips: &ips, secured };
        let (port, guest) = world.guest_on_port(&request)?;
        ports.push(port);
        guests.push(guest);
    }
    world.wait_up(&ports)?;
    Ok(guests)
}

/// The names of those who hear a broadcast of `from`.
fn hearers(from: &Guest, all: &[&Guest]) -> Outcome<Vec<String>> {
    let mark = format!("from {}", from.name());
    let mut captures: Vec<(String, Capture)> = Vec::new();
    for guest in all {
        let mark = mark.clone();
        captures.push((guest.name().to_string(), guest.capture(move |frame| frame.contains(mark.as_bytes()))?));
    }
    // An experimental Ethertype: nobody answers it.
    from.inject(&Frame::new(Mac([0xff; 6]), from.spec().mac, 0x88b5, mark.as_bytes()))?;
    let heard = captures.into_iter().filter(|(_, capture)| capture.next(QUIET).is_some());
    Ok(heard.map(|(name, _)| name).filter(|name| *name != from.name().to_string()).collect())
}

fn two_tenants(test: &str, of_red: &[&str], of_blue: &[&str]) -> Outcome<()> {
    let Some(mut world) = RealWorld::new(test, 3)? else { return Ok(()) };
    let red = tenant(&mut world, "red", of_red, 4, true)?;
    let blue = tenant(&mut world, "blue", of_blue, 3, false)?;
    for (guests, transports) in [(&red, of_red), (&blue, of_blue)] {
        let matrix = Matrix::measure(guests, |_| true, PATIENCE, QUIET)?;
        println!("{transports:?}\n{matrix}");
        matrix.assert_as_expected();
    }
    // Only red has a fourth: whoever reached it from blue would have left his tenant.
    for guest in &blue {
        let fourth = ["10.0.0.4".parse()?, "fd00::4".parse()?].into();
        assert!(guest.sweep(&fourth, QUIET)?.is_empty(), "{} reaches the other tenant", guest.name());
    }
    let all: Vec<&Guest> = red.iter().chain(&blue).collect();
    assert_eq!(hearers(&red[0], &all)?, ["red-b", "red-c", "red-d"]);
    assert_eq!(hearers(&blue[1], &all)?, ["blue-a", "blue-c"]);
    Ok(())
}

#[test]
fn over_geneve() -> Outcome<()> {
    two_tenants("over_geneve", &[ENCAPS[0].0], &[ENCAPS[0].0])
}

#[test]
fn over_vxlan() -> Outcome<()> {
    two_tenants("over_vxlan", &[ENCAPS[1].0], &[ENCAPS[1].0])
}

#[test]
fn over_gre() -> Outcome<()> {
    two_tenants("over_gre", &[ENCAPS[2].0], &[ENCAPS[2].0])
}

#[test]
fn over_different_encapsulations_in_one_zone() -> Outcome<()> {
    two_tenants("over_different", &[ENCAPS[2].0, ENCAPS[0].0], &[ENCAPS[1].0])
}
