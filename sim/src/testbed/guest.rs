//! A guest: a network namespace of its own, and a veth pair that plugs it into a hypervisor.
//!
//! The namespace is the guest's memory: processes and sockets in it survive a migration. The veth pair is its
//! interface at one place; another place has another pair. While a guest migrates there may be two: `eth0`, which
//! it uses, and `eth1`, which is plugged in at its destination and does nothing yet, as an incoming QEMU would.
//!
//! A [`Guest`] is a handle for traffic; [`super::Bed`] plugs and moves it.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::command::{command, ip_batch, run};
use super::echo::{self, Pinger};
use super::error::{Doing, Result};
use super::exchange::Exchange;
use super::frame::Frame;
use super::hypervisor::Hypervisor;
use super::ident::{GuestName, InterfaceAddress, Mac, VifId};
use super::netns::{Ipv6, Netns};
use super::sys;
use super::wire::{self, Capture};

/// The guest's interface.
const DEVICE: &str = "eth0";
/// Its next one, while it migrates.
const NEXT_DEVICE: &str = "eth1";

/// What a guest is, wherever it runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GuestSpec {
    /// Its name, and that of its port.
    pub name: GuestName,
    /// Its interface's address.
    pub mac: Mac,
    /// Its addresses, of both families; without any of IPv6 it does not speak IPv6 at all.
    pub addresses: Vec<InterfaceAddress>,
    /// Its default gateways, at most one of each family.
    pub gateways: Vec<IpAddr>,
    /// What a controller knows its interface by.
    pub vif: VifId,
    /// The largest packet it sends, in bytes.
    pub mtu: u16,
    /// Whether it looks for others with its IPv6 addresses before it uses them, which takes a second or two (RFC 4862,
    /// 5.4).
    pub duplicate_address_detection: bool,
}

impl GuestSpec {
    /// A guest with an MTU of 1500, no gateway, and no patience for duplicate address detection.
    pub fn new(name: GuestName, mac: Mac, addresses: Vec<InterfaceAddress>, vif: VifId) -> Self {
        Self { name, mac, addresses, gateways: Vec::new(), vif, mtu: 1500, duplicate_address_detection: false }
    }

    fn ipv6(&self) -> Ipv6 {
        if self.addresses.iter().any(|address| address.ip.is_ipv6()) { Ipv6::On } else { Ipv6::Off }
    }
}

/// A handle on one guest of a bed; it does not own it.
#[derive(Clone, Debug)]
pub struct Guest {
    spec: GuestSpec,
    netns: Netns,
}

impl Guest {
    pub(crate) fn new(spec: GuestSpec, netns: Netns) -> Self {
        Self { spec, netns }
    }

    /// What it was made from.
    pub fn spec(&self) -> &GuestSpec {
        &self.spec
    }

    /// Its name.
    pub fn name(&self) -> &GuestName {
        &self.spec.name
    }

    /// Its first address of this family.
    pub fn ip(&self, family: echo::Family) -> Option<IpAddr> {
        self.spec.addresses.iter().map(|address| address.ip).find(|ip| echo::Family::of(*ip) == family)
    }

    /// Where its processes live, to run more of them there.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// See [`echo::ping_once`].
    ///
    /// # Errors
    /// If the guest is gone.
    pub fn ping_once(&self, to: IpAddr, patience: Duration) -> Result<Option<Duration>> {
        echo::ping_once(&self.netns, to, patience)
    }

    /// See [`echo::first_answer`].
    ///
    /// # Errors
    /// If the guest is gone.
    pub fn first_answer(&self, to: IpAddr, patience: Duration) -> Result<Option<Duration>> {
        echo::first_answer(&self.netns, to, patience)
    }

    /// See [`echo::sweep`].
    ///
    /// # Errors
    /// If the guest is gone.
    pub fn sweep(&self, targets: &BTreeSet<IpAddr>, patience: Duration) -> Result<BTreeSet<IpAddr>> {
        echo::sweep(&self.netns, targets, patience)
    }

    /// See [`Pinger::start`].
    ///
    /// # Errors
    /// If the guest is gone.
    pub fn pinger(&self, to: IpAddr) -> Result<Pinger> {
        Pinger::start(&self.netns, to)
    }

    /// Sends a frame as it is.
    ///
    /// # Errors
    /// If the guest is gone, not plugged in, or the frame is larger than its MTU.
    pub fn inject(&self, frame: &Frame) -> Result<()> {
        wire::inject(&self.netns, DEVICE, frame)
    }

    /// See [`Capture::start`].
    ///
    /// # Errors
    /// If the guest is gone.
    pub fn capture(&self, filter: impl Fn(&Frame) -> bool + Send + 'static) -> Result<Capture> {
        Capture::start(&self.netns, filter)
    }

    /// One UDP packet of a kilobyte to another guest and back; see [`Exchange::udp`].
    ///
    /// # Errors
    /// If either guest is gone, or the port is in use there.
    pub fn udp(&self, answering: &Guest, to: SocketAddr, patience: Duration) -> Result<Option<Duration>> {
        Exchange { to, size: 1000, patience }.udp(&self.netns, &answering.netns)
    }

    /// 100 kB over TCP to another guest and back; see [`Exchange::tcp`].
    ///
    /// # Errors
    /// If either guest is gone, or the port is in use there.
    pub fn tcp(&self, answering: &Guest, to: SocketAddr, patience: Duration) -> Result<Option<Duration>> {
        Exchange { to, size: 100_000, patience }.tcp(&self.netns, &answering.netns)
    }

    /// Tells everyone where it is now, by three RARP requests, as QEMU does after a migration.
    ///
    /// # Errors
    /// If the guest is gone or not plugged in.
    pub fn announce(&self) -> Result<()> {
        const TIMES: u32 = 3;
        const PAUSE: Duration = Duration::from_millis(50);
        let frame = Frame::rarp_announcement(self.spec.mac);
        for time in 0..TIMES {
            if time > 0 {
                thread::sleep(PAUSE);
            }
            self.inject(&frame)?;
        }
        Ok(())
    }

    pub(crate) fn create(&self) -> Result<()> {
        self.netns.create(self.spec.ipv6())
    }

    /// Plugs it in: a port on `br-int`, and an interface with the guest's addresses.
    pub(crate) fn plug(&self, hypervisor: &Hypervisor) -> Result<()> {
        self.wire(hypervisor, DEVICE)?;
        self.netns.ip(&[format!("link set dev {DEVICE} up")])?;
        self.add_port(hypervisor)?;
        self.address()
    }

    /// Plugs in a second interface, with which it neither hears nor speaks until [`Guest::switch_over`].
    pub(crate) fn plug_next(&self, hypervisor: &Hypervisor) -> Result<()> {
        self.wire(hypervisor, NEXT_DEVICE)?;
        self.netns.set_sysctl(&format!("ipv6/conf/{NEXT_DEVICE}/disable_ipv6"), "1")?;
        // Nothing that arrives is from where the guest's routes point, so the strict reverse path filter drops it all.
        self.netns.set_sysctl(&format!("ipv4/conf/{NEXT_DEVICE}/rp_filter"), "1")?;
        self.netns.ip(&[format!("link set dev {NEXT_DEVICE} arp off up")])?;
        self.add_port(hypervisor)
    }

    /// Goes on with the second interface in place of the first, whose port stays behind without a device.
    pub(crate) fn switch_over(&self) -> Result<()> {
        let neighbours = self.neighbours()?;
        self.netns.ip(&[format!("link delete dev {DEVICE}"), format!("link set dev {NEXT_DEVICE} arp on")])?;
        self.netns.set_sysctl(&format!("ipv4/conf/{NEXT_DEVICE}/rp_filter"), "0")?;
        let rename = format!("link set dev {NEXT_DEVICE} name {DEVICE}");
        if self.netns.ip(std::slice::from_ref(&rename)).is_err() {
            // Kernels before 6.2 do not rename a device that is up.
            let [down, up] =
                [(NEXT_DEVICE, "down"), (DEVICE, "up")].map(|(dev, to)| format!("link set dev {dev} {to}"));
            self.netns.ip(&[down, rename, up])?;
        }
        if self.spec.ipv6() == Ipv6::On {
            self.netns.set_sysctl(&format!("ipv6/conf/{DEVICE}/disable_ipv6"), "0")?;
        }
        self.address()?;
        self.restore(&neighbours)
    }

    /// Removes its port from a hypervisor, and what is left of the veth pair there.
    ///
    /// The database of a hypervisor that crashed keeps the port, as a real one would.
    pub(crate) fn unplug(&self, hypervisor: &Hypervisor) -> Result<()> {
        let port = self.name().as_str();
        if hypervisor.pid("ovsdb-server").is_some() {
            hypervisor.ovs_vsctl(&["--if-exists", "del-port", port])?;
        }
        // After a switch-over the pair is gone already, with its other end.
        let there = hypervisor.netns().name();
        let is_left = run(&mut command("ip", &["-n", there, "link", "show", "dev", port])).is_ok();
        if is_left { hypervisor.netns().ip(&[format!("link delete dev {port}")]) } else { Ok(()) }
    }

    /// Its ARP and neighbour caches, which a migrated guest's memory still has.
    pub(crate) fn neighbours(&self) -> Result<Neighbours> {
        let shown = self.netns.run_command(&mut command("ip", &["neigh", "show", "dev", DEVICE]))?;
        Ok(Neighbours(shown.lines().filter_map(neighbour_command).collect()))
    }

    /// Puts back what [`Guest::neighbours`] found.
    pub(crate) fn restore(&self, neighbours: &Neighbours) -> Result<()> {
        if neighbours.0.is_empty() { Ok(()) } else { self.netns.ip(&neighbours.0) }
    }

    /// A veth pair: one end on the hypervisor, up, with the guest's name; the other in the guest, down.
    fn wire(&self, hypervisor: &Hypervisor, device: &str) -> Result<()> {
        let GuestSpec { name, mac, mtu, .. } = &self.spec;
        let (there, here) = (hypervisor.netns().name(), self.netns.name());
        let link = format!("link add name {name} netns {there} type veth peer name {device} netns {here}");
        ip_batch(None, &[link])?;
        hypervisor.netns().ip(&[format!("link set dev {name} mtu {mtu} up")])?;
        // The kernel leaves the checksums of what goes into a veth for later, and sends frames of up to 64 kB. The
        // userspace datapath sees to neither: ping would work, TCP and UDP would not.
        self.netns
            .run(|| sys::offloads_off(device))?
            .doing(|| format!("turning off offloads of {device} in {here}"))?;
        if !self.spec.duplicate_address_detection {
            self.netns.set_sysctl(&format!("ipv6/conf/{device}/accept_dad"), "0")?;
        }
        self.netns.ip(&[format!("link set dev {device} address {mac} mtu {mtu}")])
    }

    fn address(&self) -> Result<()> {
        // Lost questions are asked again after 0.1 s instead of 1 s: times measured here shall be the network's.
        for family in ["ipv4", "ipv6"] {
            self.netns.set_sysctl(&format!("{family}/neigh/{DEVICE}/retrans_time_ms"), "100")?;
        }
        let addresses = self.spec.addresses.iter().map(|address| {
            let nodad = address.ip.is_ipv6() && !self.spec.duplicate_address_detection;
            format!("addr add {address} dev {DEVICE}{}", if nodad { " nodad" } else { "" })
        });
        let gateways = self.spec.gateways.iter().map(|ip| format!("route replace default via {ip} dev {DEVICE}"));
        let lines: Vec<String> = addresses.chain(gateways).collect();
        if lines.is_empty() { Ok(()) } else { self.netns.ip(&lines) }
    }

    fn add_port(&self, hypervisor: &Hypervisor) -> Result<()> {
        let GuestSpec { name, mac, vif, .. } = &self.spec;
        let (key, value) = vif.external_id();
        let ids = [
            format!("external_ids:{key}=\"{value}\""),
            format!("external_ids:attached-mac=\"{mac}\""),
            "external_ids:iface-status=active".to_owned(),
            format!("external_ids:vm-id={name}"),
        ];
        let mut arguments = vec!["--may-exist", "add-port", "br-int", name.as_str()];
        arguments.extend(["--", "set", "Interface", name.as_str()]);
        arguments.extend(ids.iter().map(String::as_str));
        hypervisor.ovs_vsctl(&arguments).map(drop)
    }
}

/// A guest's neighbour caches, as `ip` commands that bring them back.
pub(crate) struct Neighbours(Vec<String>);

/// `ip neigh replace`, for a line of `ip neigh show` about somebody whose address is known.
fn neighbour_command(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let ip = words.first()?;
    let mac = words.iter().skip_while(|word| **word != "lladdr").nth(1)?;
    let state = match *words.last()? {
        "REACHABLE" | "DELAY" | "PROBE" => "reachable",
        "STALE" => "stale",
        _ => return None,
    };
    Some(format!("neigh replace {ip} lladdr {mac} dev {DEVICE} nud {state}"))
}

#[cfg(test)]
mod tests {
    use super::neighbour_command;

    #[test]
    fn only_known_neighbours_are_remembered() {
        let check = |line, expected: Option<&str>| assert_eq!(neighbour_command(line).as_deref(), expected, "{line}");
        check(
            "10.0.0.2 lladdr 02:00:00:00:00:02 REACHABLE",
            Some("neigh replace 10.0.0.2 lladdr 02:00:00:00:00:02 dev eth0 nud reachable"),
        );
        check(
            "fd00::2 lladdr 02:00:00:00:00:02 router STALE",
            Some("neigh replace fd00::2 lladdr 02:00:00:00:00:02 dev eth0 nud stale"),
        );
        check("10.0.0.3 FAILED", None);
        check("10.0.0.4 INCOMPLETE", None);
        check("", None);
    }
}
