//! The simulated datapath against Open vSwitch: the same tables, the same packets, and every packet that leaves by a
//! port compared byte for byte.
//!
//! Each *state* is a set of generated flows and groups ([`flows`]), written as text for `ovs-ofctl` ([`text`]), and each
//! state gets a number of generated packets ([`packets`]). Open vSwitch runs by itself in a folder, with dummy ports
//! whose frames go over sockets ([`bed`]); after each packet comes a mark that leaves by all ports, so it is clear what
//! belongs to which packet.
//!
//! Not compared: packets to controllers, the bridge's own port, tunnels, meters, select groups (whose hash Open vSwitch
//! does not promise), and states whose flows Open vSwitch refuses, which are few. `SELVEDGE_FIDELITY_STATES` and
//! `SELVEDGE_FIDELITY_SEED` choose how many states there are and which.
//!
//! Open vSwitch applies a decision that it made for a packet with a sound IP header to packets whose header is not, and
//! the reverse, as long as the decision is in its cache. So packets whose header is not sound go alone, between two
//! flushes of the cache.
//!
//! Differences that are accepted, see [`is_accepted`]:
//! - Open vSwitch 3.1's userspace datapath corrects a transport checksum that is not there when it sets an address in a
//!   later fragment, which changes payload; the kernel's does not.
//! - It does not correct the checksum in the only fragment of an IPv6 packet; the kernel's does.
//! - Where a packet gets a second tag and then goes to a controller, or is handled without the datapath's cache, it
//!   forgets where the IP header is, and writes what is set after that four bytes too early.

mod flows;
mod packets;
mod text;

use crate::bed::Bed;
use crate::setting;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use selvedge_sim::switch::datapath::{Bridge, Effect, Port};
use selvedge_sim::switch::model::Field;
use selvedge_sim::switch::packet::{Packet, parse};
use std::time::Duration;

/// Ports 1 to this are observed.
const PORTS: u32 = 4;
/// Packets for one state.
const PACKETS: usize = 200;
/// Packets in flight at a time: with their copies they stay below the hundred frames that a dummy port keeps.
const BATCH: usize = 4;

/// What left by each port, in order.
type Sent = Vec<Vec<Vec<u8>>>;

#[test]
fn what_leaves_is_what_open_vswitch_sends() {
    let Some(mut bed) = Bed::start(PORTS) else { return };
    let (states, seed) = (setting("SELVEDGE_FIDELITY_STATES", 500), setting("SELVEDGE_FIDELITY_SEED", 1));
    let (mut compared, mut refused, mut outputs, mut accepted) = (0, 0, 0, 0);
    for state in 0..states {
        let mut random = ChaCha8Rng::seed_from_u64(seed << 32 | state);
        let program = flows::generate(&mut random);
        if let Err(why) = bed.load(&text::bundle(&program)) {
            println!("state {state} was refused: {why}");
            refused += 1;
            continue;
        }
        let mut bridge = model(&program);
        for _ in 0..PACKETS / BATCH {
            for batch in batches(&mut random, program.is_learning) {
                let is_alone = program.is_learning || is_header_broken(&batch[0].1);
                if is_alone {
                    bed.forget_decisions();
                }
                let theirs = bed.send(&batch);
                for ((port, packet), theirs) in batch.iter().zip(theirs) {
                    let ours = execute(&mut bridge, *port, packet);
                    outputs += ours.iter().map(Vec::len).sum::<usize>();
                    accepted += usize::from(ours != theirs);
                    assert!(
                        ours == theirs || is_too_much(&ours) || is_accepted(packet, &ours, &theirs),
                        "seed {seed} state {state}: packet {} by port {port}\nours   {}\ntheirs {}\n{}\n{}\n{}",
                        hex(packet),
                        show(&ours),
                        show(&theirs),
                        text::bundle(&program),
                        bed.trace(*port, packet),
                        bed.flows(),
                    );
                }
                if is_alone {
                    bed.forget_decisions();
                }
                compared += batch.len();
            }
        }
    }
    println!("{compared} packets through {states} states ({refused} refused), {outputs} outputs, {accepted} accepted");
    assert!(accepted * 100 <= compared, "{accepted} of {compared} packets had differences that are accepted");
    assert!(refused * 10 <= states, "{refused} of {states} states were refused");
    assert!(outputs > compared / 4, "only {outputs} outputs for {compared} packets");
}

/// Packets in groups that are sent together: those whose IP header is not sound alone, and all if there is learning.
fn batches(random: &mut ChaCha8Rng, is_learning: bool) -> Vec<Vec<(u32, Vec<u8>)>> {
    let packets = (0..BATCH).map(|_| packets::generate(random, PORTS));
    let is_alone = |packet: &(u32, Vec<u8>)| is_learning || is_header_broken(&packet.1);
    let (alone, mut together): (Vec<_>, Vec<_>) = packets.partition(is_alone);
    // What is by one port is handled before what is by the next.
    together.sort_by_key(|(port, _)| *port);
    let groups = alone.into_iter().map(|packet| vec![packet]).chain([together]);
    groups.filter(|group| !group.is_empty()).collect()
}

/// Whether a packet says that it is IP and its header is not sound.
fn is_header_broken(packet: &[u8]) -> bool {
    let (key, layout) = parse(packet);
    key.is_ip() && (layout.transport.is_none() || key.protocol() == 0)
}

fn model(program: &flows::Program) -> Bridge {
    let mut bridge = Bridge::new("br");
    (1..=PORTS).for_each(|number| bridge.add_port(Port::device(number, &format!("p{number}"))));
    for (id, group) in &program.groups {
        bridge.change(Duration::ZERO).groups.set(Duration::ZERO, *id, group.clone());
    }
    for flow in &program.flows {
        bridge.change(Duration::ZERO).tables.add(Duration::ZERO, flow.clone()).expect("tables have no limit");
    }
    bridge
}

fn execute(bridge: &mut Bridge, port: u32, packet: &[u8]) -> Sent {
    let mut sent = vec![Vec::new(); PORTS as usize];
    for effect in bridge.execute(Duration::ZERO, port, Packet::new(packet.to_vec()), None) {
        if let Effect::Output(output) = effect
            && output.port <= PORTS
        {
            sent[output.port as usize - 1].push(output.packet.data);
        }
    }
    sent
}

/// Whether so many frames leave by a port that a dummy port loses some.
fn is_too_much(ours: &Sent) -> bool {
    ours.iter().any(|port| port.len() > 80)
}

/// Whether a difference is one of those that are listed above. As many frames of the same lengths leave by each port.
fn is_accepted(packet: &[u8], ours: &Sent, theirs: &Sent) -> bool {
    let lengths =
        |sent: &Sent| sent.iter().map(|port| port.iter().map(Vec::len).collect()).collect::<Vec<Vec<usize>>>();
    if lengths(ours) != lengths(theirs) {
        return false;
    }
    let is_tag = |frame: &Vec<u8>, offset| matches!(frame[offset..offset + 2], [0x81, 0] | [0x88, 0xa8]);
    let has_tags = |frame: &Vec<u8>| frame.len() > 20 && is_tag(frame, 12) && is_tag(frame, 16);
    ours.iter().flatten().any(has_tags) || is_checksum_of_fragment(packet, ours, theirs)
}

/// Whether frames differ only in the two bytes of a fragment where a checksum is, or would be.
fn is_checksum_of_fragment(packet: &[u8], ours: &Sent, theirs: &Sent) -> bool {
    let (key, layout) = parse(packet);
    let checksum = match key.get(Field::IpProto) {
        6 => 16,
        17 => 6,
        _ => 2,
    };
    let Some(start) = layout.transport.filter(|_| packets::is_fragmented(packet)) else { return false };
    // Frames differ in their tags, so places are counted from the end.
    let Some(from_end) = packet.len().checked_sub(start + checksum) else { return false };
    let is_there = |length: usize, offset: usize| (from_end - 1..=from_end).contains(&(length - offset));
    let are_alike = |(ours, theirs): (&Vec<u8>, &Vec<u8>)| {
        let mut bytes = ours.iter().zip(theirs).enumerate();
        bytes.all(|(offset, (a, b))| a == b || is_there(ours.len(), offset))
    };
    ours.iter().flatten().zip(theirs.iter().flatten()).all(are_alike)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn show(sent: &Sent) -> String {
    let port = |(index, frames): (usize, &Vec<Vec<u8>>)| {
        let frames: Vec<String> = frames.iter().map(|frame| hex(frame)).collect();
        format!("\n  {}: {}", index + 1, frames.join("\n     "))
    };
    sent.iter().enumerate().filter(|(_, frames)| !frames.is_empty()).map(port).collect()
}
