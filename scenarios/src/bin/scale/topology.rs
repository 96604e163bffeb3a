//! Networks of a given size: read from a file that other controllers read, too, or made up. Start at [`Topology`].

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use selvedge_core::addr::Mac;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// The format that is read.
const FORMAT: &str = "nvbench-topology/1";
/// Ports that are added while it is measured, where no file names them.
const CHURN: usize = 100;
/// Smallest and largest switch where sizes vary.
const SIZES: (usize, usize) = (2, 64);

/// A network, in places of lists instead of names.
#[derive(Debug)]
pub struct Topology {
    /// Where it came from.
    pub name: String,
    /// Tunnel ends of transport nodes.
    pub nodes: Vec<IpAddr>,
    /// How many logical switches there are.
    pub switches: usize,
    /// Logical ports.
    pub ports: Vec<Port>,
    /// Logical ports that come and go.
    pub churn: Vec<Port>,
    /// Ports may use only their own addresses.
    pub port_security: bool,
    /// What the file has besides, and is not measured: there is no such thing yet.
    pub left_out: Vec<String>,
}

/// A logical port, with a guest behind it.
#[derive(Clone, Debug)]
pub struct Port {
    pub switch: usize,
    pub node: usize,
    pub mac: Mac,
    pub ip: IpAddr,
}

/// What the file holds.
#[derive(Deserialize)]
struct Told {
    format: String,
    port_security: bool,
    transport_nodes: Vec<ToldNode>,
    lswitches: Vec<ToldName>,
    lports: Vec<ToldPort>,
    #[serde(default)]
    lrouters: Vec<IgnoredAny>,
    #[serde(default)]
    acls: Vec<IgnoredAny>,
    churn: BTreeMap<String, Vec<ToldPort>>,
}

#[derive(Deserialize)]
struct ToldNode {
    name: String,
    ip: IpAddr,
    encap: String,
}

#[derive(Deserialize)]
struct ToldName {
    name: String,
}

#[derive(Deserialize)]
struct ToldPort {
    name: String,
    lswitch: String,
    mac: Mac,
    ip: IpAddr,
    transport_node: String,
}

/// Sizes that one can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Size {
    /// 10 transport nodes, 10 switches, 100 ports.
    Small,
    /// 100, 200, 2,000.
    Medium,
    /// 3,000, 7,000, 63,000: the size at which NVP's authors measured it (NSDI 2014).
    Large,
    /// 3,000, 1, 10,000: one switch that is everywhere.
    Wide,
}

impl Topology {
    /// Reads one.
    ///
    /// # Errors
    /// If the file cannot be read, or is not one.
    pub fn read(path: &Path) -> Result<Topology, Box<dyn Error>> {
        let at = |error: &dyn fmt::Display| format!("{}: {error}", path.display());
        let file = File::open(path).map_err(|error| at(&error))?;
        let told: Told = serde_json::from_reader(BufReader::new(file)).map_err(|error| at(&error))?;
        Topology::of(told, path.display().to_string()).map_err(|error| at(&error).into())
    }

    fn of(told: Told, name: String) -> Result<Topology, String> {
        if told.format != FORMAT {
            return Err(format!("its format is {:?}, and only {FORMAT:?} is known", told.format));
        }
        if let Some(node) = told.transport_nodes.iter().find(|node| node.encap != "geneve") {
            return Err(format!("{} has tunnels of type {:?}, and only geneve is measured", node.name, node.encap));
        }
        let nodes = places(told.transport_nodes.iter().map(|node| &node.name));
        let switches = places(told.lswitches.iter().map(|switch| &switch.name));
        let port = |port: &ToldPort| {
            let place = |places: &BTreeMap<&String, usize>, name: &String| {
                places.get(name).copied().ok_or_else(|| format!("{} is at {name:?}, which there is not", port.name))
            };
            let (switch, node) = (place(&switches, &port.lswitch)?, place(&nodes, &port.transport_node)?);
            Ok(Port { switch, node, mac: port.mac, ip: port.ip })
        };
        let ports: Vec<Port> = told.lports.iter().map(port).collect::<Result<_, String>>()?;
        let churn = told.churn.get("any").map(Vec::as_slice).unwrap_or_default();
        let churn: Vec<Port> = churn.iter().map(port).collect::<Result<_, String>>()?;
        if churn.is_empty() {
            return Err("it has no \"churn\" of class \"any\": there is nothing to be measured".to_string());
        }
        let left_out = [("logical routers", told.lrouters.len()), ("security groups", told.acls.len())];
        let left_out = left_out.into_iter().filter(|(_, count)| *count > 0);
        Ok(Topology {
            name,
            nodes: told.transport_nodes.iter().map(|node| node.ip).collect(),
            switches: told.lswitches.len(),
            ports,
            churn,
            port_security: told.port_security,
            left_out: left_out.map(|(what, count)| format!("{count} {what}")).collect(),
        })
    }

    /// Makes one up of a size.
    pub fn of_size(size: Size, seed: u64) -> Topology {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (name, nodes, sizes) = match size {
            Size::Small => ("small", 10, vec![10; 10]),
            Size::Medium => ("medium", 100, vec![10; 200]),
            Size::Large => ("large", 3_000, varied_sizes(&mut rng, 7_000, 63_000)),
            Size::Wide => ("wide", 3_000, vec![10_000]),
        };
        Topology::make_up(name.to_string(), nodes, &sizes, &mut rng)
    }

    /// Makes one up with so many transport nodes, and switches of so many ports: they are dealt evenly to the nodes, in
    /// random order.
    pub fn make_up(name: String, nodes: usize, sizes: &[usize], rng: &mut ChaCha8Rng) -> Topology {
        let mut next_host = vec![10; sizes.len()];
        let mut count = 0_u32;
        let mut port = |switch: usize, node: usize| {
            let host: u32 = next_host[switch];
            next_host[switch] += 1;
            count += 1;
            let [_, b, c, d] = count.to_be_bytes();
            let ip = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + ((switch as u32) << 8) + host));
            Port { switch, node, mac: Mac([0x0a, 0, 0, b, c, d]), ip }
        };
        let mut homes: Vec<usize> =
            sizes.iter().enumerate().flat_map(|(switch, size)| std::iter::repeat_n(switch, *size)).collect();
        homes.shuffle(rng);
        let ports = homes.iter().enumerate().map(|(turn, switch)| port(*switch, turn % nodes)).collect();
        let churn = (0..CHURN).map(|_| port(rng.random_range(0..sizes.len()), rng.random_range(0..nodes))).collect();
        let end = |node: usize| IpAddr::V4(Ipv4Addr::from_bits(0xac10_0001 + node as u32));
        Topology {
            name,
            nodes: (0..nodes).map(end).collect(),
            switches: sizes.len(),
            ports,
            churn,
            port_security: true,
            left_out: Vec::new(),
        }
    }
}

fn places<'a>(names: impl Iterator<Item = &'a String>) -> BTreeMap<&'a String, usize> {
    names.enumerate().map(|(place, name)| (name, place)).collect()
}

/// Many small switches and few large ones, with so many ports in all: each number of ports is as if drawn by throwing a coin
/// for each further one.
fn varied_sizes(rng: &mut ChaCha8Rng, switches: usize, total: usize) -> Vec<usize> {
    let (smallest, largest) = SIZES;
    let mut sizes = vec![smallest; switches];
    // Who has more is likelier to get more: that makes the distribution geometric (Pólya's urn).
    let mut urn: Vec<usize> = (0..switches).collect();
    for _ in switches * smallest..total {
        let switch = loop {
            let switch = urn[rng.random_range(0..urn.len())];
            if sizes[switch] < largest {
                break switch;
            }
        };
        sizes[switch] += 1;
        urn.push(switch);
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_up_is_of_the_size_that_was_asked_for() {
        let large = Topology::of_size(Size::Large, 1);
        assert_eq!((large.nodes.len(), large.switches, large.ports.len()), (3_000, 7_000, 63_000));
        let mut sizes = vec![0; large.switches];
        large.ports.iter().for_each(|port| sizes[port.switch] += 1);
        assert_eq!(sizes.iter().min(), Some(&SIZES.0));
        assert!(sizes.iter().all(|size| *size <= SIZES.1) && sizes.iter().any(|size| *size > 30));
        let mut on = vec![0; large.nodes.len()];
        large.ports.iter().for_each(|port| on[port.node] += 1);
        assert!(on.iter().all(|count| *count == 21));
        let again = Topology::of_size(Size::Large, 1);
        assert_eq!(format!("{:?}", again.churn), format!("{:?}", large.churn));
    }

    #[test]
    fn a_file_that_is_none_is_refused_by_name() {
        let file = |churn: &str, node: &str| {
            format!(
                r#"{{"format": "nvbench-topology/1", "params": {{}}, "port_security": true, "lrouters": [{{}}],
                     "transport_nodes": [{{"name": "hv0", "ip": "172.16.0.1", "encap": "geneve"}}],
                     "lswitches": [{{"name": "ls0", "subnet": "10.0.0.0/24"}}],
                     "lports": [{{"name": "lp0", "lswitch": "ls0", "mac": "0a:00:00:00:00:01", "ip": "10.0.0.10",
                                  "transport_node": "{node}"}}],
                     "churn": {{"any": {churn}}}}}"#
            )
        };
        let read = |text: String| Topology::of(serde_json::from_str(&text).expect("JSON"), "it".to_string());
        let churn = r#"[{"name": "cp0", "lswitch": "ls0", "mac": "0a:00:00:00:00:02", "ip": "10.0.0.11",
                         "transport_node": "hv0"}]"#;
        let topology = read(file(churn, "hv0")).expect("it is one");
        assert_eq!(
            (topology.ports.len(), topology.churn.len(), topology.left_out),
            (1, 1, vec!["1 logical routers".into()])
        );
        assert!(read(file("[]", "hv0")).expect_err("nothing to do").contains("churn"));
        assert!(read(file(churn, "hv7")).expect_err("nowhere").contains("lp0 is at \"hv7\""));
    }
}
