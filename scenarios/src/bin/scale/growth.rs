//! How the cost of one port grows when there are ten times as many transport nodes, ports or switches. Start at
//! [`measure`].

use super::network::Network;
use super::topology::Topology;
use super::{Row, ports};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use selvedge_core::compile::Engine;
use serde::Serialize;
use std::error::Error;

/// A network that is measured.
#[derive(Clone, Copy, Debug)]
struct Shape {
    name: &'static str,
    nodes: usize,
    switches: usize,
    ports: usize,
}

const BASE: Shape = Shape { name: "base", nodes: 300, switches: 700, ports: 6_300 };
const SHAPES: [Shape; 4] = [
    BASE,
    Shape { name: "transport nodes x10", nodes: 3_000, ..BASE },
    Shape { name: "ports x10", ports: 63_000, ..BASE },
    Shape { name: "switches x10", switches: 7_000, ports: 63_000, ..BASE },
];

/// A port added to a network.
#[derive(Debug, Serialize)]
struct Line {
    network: &'static str,
    nodes: usize,
    switches: usize,
    ports: usize,
    #[serde(flatten)]
    added: Row,
}

/// Measures and prints.
///
/// # Errors
/// If a network cannot be made.
pub fn measure(seed: u64, changes: usize, json: bool) -> Result<(), Box<dyn Error>> {
    let lines: Vec<Line> = SHAPES.iter().map(|shape| line(*shape, seed, changes)).collect::<Result<_, _>>()?;
    if json {
        println!("{}", serde_json::to_string_pretty(&lines)?);
        return Ok(());
    }
    println!(
        "{:<20} {:>6} {:>8} {:>6} {:>8} {:>8} {:>9} {:>7} {:>7}",
        "one port added", "nodes", "switches", "ports", "p50 us", "p99 us", "fragments", "bundles", "us each"
    );
    for Line { network, nodes, switches, ports, added } in &lines {
        let Row { p50_us, p99_us, fragments, bundles, us_per_bundle, .. } = added;
        println!(
            "{network:<20} {nodes:>6} {switches:>8} {ports:>6} {p50_us:>8.1} {p99_us:>8.1} {fragments:>9.1} {bundles:>7.1} {us_per_bundle:>7.1}"
        );
    }
    Ok(())
}

fn line(shape: Shape, seed: u64, changes: usize) -> Result<Line, Box<dyn Error>> {
    eprintln!("{}", shape.name);
    let Shape { name, nodes, switches, ports: count } = shape;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let topology = Topology::make_up(name.to_string(), nodes, &vec![count / switches; switches], &mut rng);
    let mut network = Network::fill(&topology)?;
    network.engine = Engine::from_nib(&network.nib);
    let [added, ..] = ports(&mut network, &topology, changes)?;
    Ok(Line { network: name, nodes, switches, ports: count, added })
}
