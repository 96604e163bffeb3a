//! Hypervisors with real Open vSwitch, guests, and a controller that is told over REST what they shall be.
//!
//! Start at [`RealWorld::new`].

#![allow(clippy::disallowed_methods, reason = "real switches live in real time")]

use selvedge_sim::testbed::daemon::{Connector, ConnectorKind, Daemon, Ports};
use selvedge_sim::testbed::{Bed, Guest, GuestSpec, VifId};
use serde_json::{Value, json};
use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What a story returns: any failure is a sentence.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// The encapsulations that work between real userspace switches, with the words of the API for them.
pub const ENCAPS: [(&str, ConnectorKind); 3] =
    [("geneve", ConnectorKind::Geneve), ("vxlan", ConnectorKind::Vxlan), ("gre", ConnectorKind::Gre)];

/// Longest wait for the controller to do something.
const PATIENCE: Duration = Duration::from_secs(20);

/// A port to be made, with a guest behind it.
#[derive(Clone, Debug)]
pub struct PortRequest<'a> {
    /// The switch's uuid.
    pub switch: &'a str,
    /// The guest's and the port's name.
    pub name: &'a str,
    /// The hypervisor's number, from 1.
    pub on: u8,
    /// The guest's address.
    pub mac: &'a str,
    /// Its IP addresses, with their prefix lengths.
    pub ips: &'a [&'a str],
    /// Whether the port may use only these.
    pub secured: bool,
}

/// One story at a time: figures and lost packets would say more about the machine than about the controller otherwise.
static STAGE: Mutex<()> = Mutex::new(());

/// The testbed and the controller.
pub struct RealWorld {
    /// The controller, or the first of several. Dropped first.
    pub daemon: Daemon,
    /// The others.
    pub more: Vec<Daemon>,
    /// The hypervisors and guests.
    pub bed: Bed,
    /// The transport zone that all hypervisors are in.
    pub zone: String,
    /// The hypervisors' transport nodes, in order.
    pub nodes: Vec<String>,
    _alone: MutexGuard<'static, ()>,
}

impl RealWorld {
    /// `hypervisors` that are attached with all encapsulations and connected. Nothing if the machine cannot have them:
    /// said loudly, and a failure where `SELVEDGE_REQUIRE_OVS=1`.
    ///
    /// # Errors
    /// If something does not come up.
    pub fn new(test: &str, hypervisors: u8) -> Outcome<Option<RealWorld>> {
        RealWorld::with_controllers(test, hypervisors, 1)
    }

    /// The same, with so many controllers.
    ///
    /// # Errors
    /// If something does not come up.
    pub fn with_controllers(test: &str, hypervisors: u8, controllers: u16) -> Outcome<Option<RealWorld>> {
        // A story that failed says nothing of the next one.
        let alone = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(bed) = Bed::for_test(test, hypervisors) else { return Ok(None) };
        let directory = |number| bed.directory().join(format!("ctl{number}"));
        let first = if controllers == 1 { Ports::ALONE } else { Ports::of_member(1) };
        let daemon = Daemon::start_at(&directory(1), first)?;
        let mut more = Vec::new();
        for number in 2..=controllers {
            more.push(daemon.start_another(&directory(number), Ports::of_member(number))?);
        }
        let zone = daemon.api().create("/ws.v1/transport-zone", &json!({ "display_name": "fabric" }))?;
        for (number, hypervisor) in bed.hypervisors().iter().enumerate() {
            let connector = |(_, kind): &(&str, ConnectorKind)| Connector::of(hypervisor, *kind, Some(zone.clone()));
            daemon.attach(hypervisor, &ENCAPS.iter().map(connector).collect::<Vec<_>>())?;
            // Each is told of one controller, not all of the same: the rest it learns from that one.
            let controllers: Vec<&Daemon> = [&daemon].into_iter().chain(&more).collect();
            controllers[number % controllers.len()].become_manager(hypervisor)?;
        }
        let mut world = RealWorld { daemon, more, bed, zone, nodes: Vec::new(), _alone: alone };
        let nodes = world.daemon.api().get("/ws.v1/transport-node?fields=uuid,display_name")?;
        for hypervisor in world.bed.hypervisors() {
            let name = hypervisor.id().to_string();
            let node = results(&nodes).iter().find(|node| node["display_name"] == name.as_str());
            world.nodes.push(node.and_then(|node| node["uuid"].as_str()).unwrap_or_default().to_string());
        }
        world.wait_connected()?;
        world.bed.warm_underlay()?;
        Ok(Some(world))
    }

    /// Waits until all hypervisors are connected.
    ///
    /// # Errors
    /// If they do not come.
    pub fn wait_connected(&self) -> Outcome<()> {
        self.wait("all transport nodes to connect", || {
            let connected = |node: &String| Ok(self.node_status(node)?["connection"]["connected"] == true);
            Ok(self.nodes.iter().map(connected).collect::<Outcome<Vec<bool>>>()?.iter().all(|up| *up))
        })?;
        Ok(())
    }

    /// Waits until `done`; says how long it took.
    ///
    /// # Errors
    /// If it does not come, or `done` fails.
    pub fn wait(&self, what: &str, done: impl Fn() -> Outcome<bool>) -> Outcome<Duration> {
        let start = Instant::now();
        while !done()? {
            if start.elapsed() > PATIENCE {
                return Err(format!(
                    "waited {PATIENCE:?} for {what}, in vain; controller log: {:?}",
                    self.daemon.log()
                )
                .into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(start.elapsed())
    }

    /// The status of a transport node.
    ///
    /// # Errors
    /// If the API does not answer.
    pub fn node_status(&self, node: &str) -> Outcome<Value> {
        Ok(self.daemon.api().get(&format!("/ws.v1/transport-node/{node}/status"))?)
    }

    /// A number of a transport node's counters.
    ///
    /// # Errors
    /// If the API does not answer.
    pub fn counter(&self, node: &str, name: &str) -> Outcome<u64> {
        let status = self.node_status(node)?;
        status["counters"][name].as_u64().ok_or_else(|| format!("no counter {name} in {status}").into())
    }

    /// Makes a logical switch over an encapsulation; its uuid.
    ///
    /// # Errors
    /// If the API refuses.
    pub fn switch(&self, name: &str, transports: &[&str]) -> Outcome<String> {
        let zones: Vec<Value> =
            transports.iter().map(|kind| json!({ "zone_uuid": self.zone, "transport_type": kind })).collect();
        let body = json!({ "display_name": name, "transport_zones": zones, "replication_mode": "source" });
        Ok(self.daemon.api().create("/ws.v1/lswitch", &body)?)
    }

    /// Makes a port with an attachment; the port's path.
    ///
    /// # Errors
    /// If the API refuses.
    pub fn port(&self, request: &PortRequest<'_>) -> Outcome<String> {
        let address = |ip: &&str| ip.split_once('/').map_or(ip.to_string(), |(address, _)| address.to_string());
        let pairs: Vec<Value> = request
            .ips
            .iter()
            .map(|ip| json!({ "mac_address": request.mac, "ip_address": address(ip) }))
            .filter(|_| request.secured)
            .collect();
        let path = format!("/ws.v1/lswitch/{}/lport", request.switch);
        let body = json!({ "display_name": request.name, "allowed_address_pairs": pairs });
        let uuid = self.daemon.api().create(&path, &body)?;
        let path = format!("{path}/{uuid}");
        let vif = json!({ "type": "VifAttachment", "vif_uuid": vif_of(request.name) });
        self.daemon.api().put(&format!("{path}/attachment"), &vif)?;
        Ok(path)
    }

    /// Makes a guest.
    ///
    /// # Errors
    /// If it cannot be plugged in.
    pub fn guest(&mut self, request: &PortRequest<'_>) -> Outcome<Guest> {
        let addresses = request.ips.iter().map(|ip| ip.parse()).collect::<Result<Vec<_>, _>>()?;
        let vif = VifId::IfaceId(vif_of(request.name));
        let spec = GuestSpec::new(request.name.parse()?, request.mac.parse()?, addresses, vif);
        Ok(self.bed.add_guest(format!("hv{}", request.on).parse()?, spec)?)
    }

    /// Makes a port and the guest behind it; the port's path and the guest.
    ///
    /// # Errors
    /// As of either.
    pub fn guest_on_port(&mut self, request: &PortRequest<'_>) -> Outcome<(String, Guest)> {
        let port = self.port(request)?;
        let guest = self.guest(request)?;
        Ok((port, guest))
    }

    /// Waits until ports say that they are up in the fabric.
    ///
    /// # Errors
    /// If they do not; with what they say.
    pub fn wait_up<'p>(&self, ports: impl IntoIterator<Item = &'p String>) -> Outcome<()> {
        for port in ports {
            let status = || -> Outcome<Value> { Ok(self.daemon.api().get(&format!("{port}/status"))?) };
            let waited = self.wait("a port to be up", || Ok(status()?["fabric_status_up"] == true));
            if let Err(error) = waited {
                return Err(format!("{error}; port says {}", status()?).into());
            }
        }
        Ok(())
    }

    /// Waits until everything up to now is realised everywhere.
    ///
    /// # Errors
    /// If somebody is late.
    pub fn wait_realised(&self) -> Outcome<()> {
        let answer = self.daemon.api().get("/ws.v1/realisation?timeout_ms=20000")?;
        match answer["realised"] == true {
            true => Ok(()),
            false => Err(format!("not realised: {answer}").into()),
        }
    }
}

/// The VIF identifier of a guest.
fn vif_of(name: &str) -> String {
    format!("vif-{name}")
}

/// The objects of a list.
pub fn results(list: &Value) -> &[Value] {
    list["results"].as_array().map_or(&[], Vec::as_slice)
}
