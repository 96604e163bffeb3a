//! A topology as a cloud manager configures it, over REST. Start at [`Cloud::fill`].

use super::super::topology::{Port, Topology};
use super::switches::{address_of, vif_of};
use selvedge_scenarios::Outcome;
use selvedge_scenarios::controllers::Controllers;
use selvedge_sim::testbed::Api;
use selvedge_sim::testbed::api::Method;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How many clients configure at once.
const CLIENTS: usize = 16;
/// Who sent more than a tenant may tries again after this.
const LIMITED: Duration = Duration::from_millis(5);
/// Longest wait for one change, in milliseconds.
const CHANGE_MAX_MS: u64 = 30_000;

/// Whose switches are whose: the first half is one's, the second another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenant {
    /// Who is looked at.
    Ours,
    /// Who changes things as fast as they can.
    Another,
}

impl Tenant {
    /// Whose a switch is.
    pub fn of(topology: &Topology, switch: usize) -> Tenant {
        if switch < topology.switches.div_ceil(2) { Tenant::Ours } else { Tenant::Another }
    }

    /// The login name, and the tag of what is theirs.
    pub fn name(self) -> &'static str {
        match self {
            Tenant::Ours => "ours",
            Tenant::Another => "another",
        }
    }

    /// Makes them users.
    ///
    /// # Errors
    /// If that is refused.
    pub fn enter(controllers: &Controllers) -> Outcome<()> {
        let api = controllers.api()?;
        for tenant in [Tenant::Ours, Tenant::Another] {
            let tags = json!([{"scope": "tenant", "tag": tenant.name()}]);
            let user = json!({"password": PASSWORD, "role": "tenant", "tags": tags});
            api.put(&format!("/ws.v1/user/{}", tenant.name()), &user)?;
        }
        Ok(())
    }

    /// A session of theirs.
    ///
    /// # Errors
    /// If no controller lets them in.
    pub fn api(self, controllers: &Controllers) -> Outcome<Api> {
        controllers.api_as(self.name(), PASSWORD)
    }
}

/// Both tenants'.
const PASSWORD: &str = "as good as any";

/// Where everything is.
pub struct Cloud {
    switches: Vec<String>,
    ports: Vec<String>,
}

/// Does something for each of `count` places, by several clients at once; what came of each, in order.
fn each(
    controllers: &Controllers,
    what: &str,
    count: usize,
    work: impl Fn(&Api, usize) -> Outcome<String> + Sync,
) -> Outcome<Vec<String>> {
    let began = Instant::now();
    let next = AtomicUsize::new(0);
    let client = || -> Result<Vec<(usize, String)>, String> {
        let api = controllers.api().map_err(|error| error.to_string())?;
        let mut done = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            if place >= count {
                return Ok(done);
            }
            done.push((place, work(&api, place).map_err(|error| format!("{what} {place}: {error}"))?));
            if place > 0 && place.is_multiple_of(10_000) {
                eprintln!("  {place} of {count} {what}, {:.0} s", began.elapsed().as_secs_f64());
            }
        }
    };
    let mut all = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        let done = clients.into_iter().map(|client| client.join().unwrap_or_else(|_| Err("a client panicked".into())));
        done.collect::<Result<Vec<_>, String>>()
    })?
    .concat();
    all.sort();
    eprintln!("  {count} {what} in {:.1} s", began.elapsed().as_secs_f64());
    Ok(all.into_iter().map(|(_, made)| made).collect())
}

impl Cloud {
    /// Configures everything.
    ///
    /// # Errors
    /// If something is refused.
    pub fn fill(controllers: &Controllers, topology: &Topology) -> Outcome<Cloud> {
        let zone = controllers.api()?.create("/ws.v1/transport-zone", &json!({"display_name": "fabric"}))?;
        each(controllers, "transport nodes", topology.nodes.len(), |api, place| {
            let end = topology.nodes[place];
            let connector = json!({"type": "GeneveConnector", "transport_zone_uuid": zone, "ip_address": end});
            let body = json!({
                "display_name": format!("hv{place}"),
                "credential": {"type": "MgmtAddrCredential", "mgmt_address": address_of(place)},
                "transport_connectors": [connector],
            });
            Ok(api.create("/ws.v1/transport-node", &body)?)
        })?;
        let zones = json!([{"zone_uuid": zone, "transport_type": "geneve"}]);
        let mut cloud = Cloud { switches: Vec::new(), ports: Vec::new() };
        cloud.switches = each(controllers, "logical switches", topology.switches, |api, place| {
            let tags = json!([{"scope": "tenant", "tag": Tenant::of(topology, place).name()}]);
            let body = json!({"display_name": format!("ls{place}"), "transport_zones": zones, "tags": tags});
            Ok(api.create("/ws.v1/lswitch", &body)?)
        })?;
        cloud.ports = each(controllers, "logical ports", topology.ports.len(), |api, place| {
            cloud.port(api, &topology.ports[place], place, topology.port_security)
        })?;
        Ok(cloud)
    }

    fn path(&self, port: &Port) -> String {
        format!("/ws.v1/lswitch/{}/lport", self.switches[port.switch])
    }

    /// Where all ports are.
    pub fn paths(&self, topology: &Topology) -> Vec<String> {
        let ports = topology.ports.iter().zip(&self.ports);
        ports.map(|(port, uuid)| format!("{}/{uuid}", self.path(port))).collect()
    }

    /// Makes a port and attaches it; its uuid.
    pub fn port(&self, api: &Api, port: &Port, place: usize, secure: bool) -> Outcome<String> {
        let path = self.path(port);
        let uuid = api.create(&path, &body(port, place, secure, false))?;
        let vif = json!({"type": "VifAttachment", "vif_uuid": vif_of(place)});
        api.put(&format!("{path}/{uuid}/attachment"), &vif)?;
        Ok(uuid)
    }

    /// A port may use one more address, or no longer; the revision that made it so. Waits while the tenant sends too much.
    pub fn change(&self, api: &Api, port: &Port, place: usize, more: bool) -> Outcome<u64> {
        let path = format!("{}/{}", self.path(port), self.ports[place]);
        let answer = loop {
            let answer = api.request(Method::PUT, &path, Some(&body(port, place, true, more)))?;
            if answer.status != 429 {
                break answer;
            }
            std::thread::sleep(LIMITED);
        };
        match (answer.status, answer.generation) {
            (200, Some(generation)) => Ok(generation),
            _ => Err(format!("PUT {path}: {} {}", answer.status, answer.body).into()),
        }
    }

    /// Reads a port.
    pub fn read(&self, api: &Api, port: &Port, place: usize) -> Outcome<()> {
        Ok(api.get(&format!("{}/{}", self.path(port), self.ports[place])).map(drop)?)
    }
}

fn body(port: &Port, place: usize, secure: bool, more: bool) -> Value {
    let own = json!({"mac_address": port.mac, "ip_address": port.ip});
    let another = json!({"mac_address": "0e:00:00:00:00:01", "ip_address": "192.0.2.1"});
    let pairs = match (secure, more) {
        (_, true) => json!([own, another]),
        (true, false) => json!([own]),
        (false, false) => json!([]),
    };
    json!({"display_name": format!("lp{place}"), "allowed_address_pairs": pairs})
}

/// Waits until all transport nodes that a revision concerns hold it.
pub fn wait_for(api: &Api, revision: u64) -> Outcome<()> {
    let since = revision.saturating_sub(1);
    let path = format!("/ws.v1/realisation?since={since}&revision={revision}&timeout_ms={CHANGE_MAX_MS}");
    let answer = api.get(&path)?;
    match answer["realised"] == true {
        true => Ok(()),
        false => Err(format!("revision {revision} is not realised: {}", answer["late"]).into()),
    }
}

/// Waits until all transport nodes hold everything; how long that took.
pub fn wait_for_all(api: &Api, longest: Duration) -> Outcome<Duration> {
    let began = Instant::now();
    let mut said = Duration::ZERO;
    loop {
        let answer = api.get("/ws.v1/realisation?timeout_ms=500")?;
        let took = began.elapsed();
        if answer["realised"] == true {
            return Ok(took);
        }
        let late = answer["late"].as_array().map_or(0, Vec::len);
        if took > longest {
            return Err(format!("after {longest:?} {late} nodes are late, the first: {}", answer["late"][0]).into());
        }
        if took > said + Duration::from_secs(5) {
            said = took;
            eprintln!("  {late} transport nodes are late, {:.0} s", took.as_secs_f64());
        }
    }
}
