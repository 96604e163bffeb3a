//! The simulated OpenFlow agent against ovs-vswitchd: the same messages by the same controllers, and every byte that either
//! sends compared.
//!
//! Messages are generated ([`messages`]): modifications of flows and groups, bundles, roles with generation ids, what
//! shall be told unasked, flow monitors, dumps; right and wrong ones. After each, all controllers wait until the switch has
//! handled it, so that it is clear what belongs to which. `SELVEDGE_FIDELITY_SEED`,
//! `SELVEDGE_FIDELITY_FIRST` and `SELVEDGE_FIDELITY_AGENTS` choose which switches there are and how many, each with
//! [`MESSAGES`] messages.
//!
//! Not asked: packets, ports, meters, queues, table features, time-outs, other versions than 1.5.
//!
//! Not said, since ovs-vswitchd 3.1 does not survive it: a group deleted that one flow uses twice, or in a bundle after a
//! flow that uses it was added (assertions fail); no buckets inserted (it never ends). Nor flow monitors that are wrong, which it refuses with what was in its memory.
//!
//! Not compared, see [`canonical`]: how long flows have been there, the order of flows and groups in dumps
//! and updates, and when among other messages flows are told to be gone.

mod canonical;
mod ends;
mod messages;

use crate::setting;
use canonical::{Heard, canonical};
use ends::{Real, Simulated};
use messages::{Messages, Step};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// Messages to one switch, one after the other.
const MESSAGES: usize = 500;

#[test]
fn an_agent_answers_as_ovs_vswitchd_does() {
    let (agents, seed) = (setting("SELVEDGE_FIDELITY_AGENTS", 20), setting("SELVEDGE_FIDELITY_SEED", 1));
    let first = setting("SELVEDGE_FIDELITY_FIRST", 0);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut differences = Vec::new();
    for agent in first..first + agents {
        let Some(mut real) = Real::start() else { return };
        let mut simulated = Simulated::new();
        let mut messages = Messages::new(ChaCha8Rng::seed_from_u64(seed << 32 | agent));
        for number in 0..MESSAGES {
            let step = messages.draw();
            let (theirs, ours) = match &step {
                Step::Reconnect(conn) => (real.reconnect(*conn), simulated.reconnect(*conn)),
                Step::Say(conn, message) => (real.say(*conn, message), simulated.say(*conn, message)),
            };
            let theirs = theirs.and_then(|mut heard| real.await_removed(&mut heard, &ours).map(|()| heard));
            let Ok(theirs) = theirs else {
                let why = real.last_words();
                differences.push(format!("seed {seed} switch {agent} message {number}: {step}: {why}"));
                break;
            };
            let (theirs, ours): (Heard, Heard) = (canonical(&theirs), canonical(&ours));
            if ours != theirs {
                // What follows from it would differ too.
                let at = format!("seed {seed} switch {agent} message {number}");
                differences.push(format!("{at}: {step}\nours  {ours}\ntheirs{theirs}"));
                break;
            }
            theirs.kinds().for_each(|kind| *counts.entry(kind).or_default() += 1);
        }
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    println!("{agents} switches, {} messages: {counts:?}", agents * MESSAGES as u64);
    for kind in
        ["error", "flow removed", "multipart reply", "role reply", "bundle control", "request forward", "role status"]
    {
        assert!(counts.get(kind).is_some_and(|count| *count >= agents as usize), "hardly any {kind}: {counts:?}");
    }
}
