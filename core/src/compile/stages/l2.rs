//! Stages *isolation* and *l2_lookup*: where a frame goes on its switch.
//!
//! A known destination goes to its port. Group addresses go to all members: copies for other nodes, then copies for
//! local ports; a frame that came from a tunnel has local copies only. An unknown destination goes to the ports that
//! learn, and nowhere if there are none.

use super::super::facts::SwitchFact;
use super::super::fragment::Builder;
use super::super::groups::{self, GroupKind};
use super::{from_a_guest, from_a_tunnel, goto, on};
use crate::addr::Mac;
use crate::flow::{Action, Actions, Field};
use crate::ids::PortKey;
use crate::pipeline::{EGRESS, Stage};

const ISOLATED: u16 = 100;
const GROUP: u16 = 100;
const KNOWN: u16 = 50;
const UNKNOWN: u16 = 10;

/// The flows of a switch as a whole.
pub fn switch(out: &mut Builder, switch: &SwitchFact) {
    let key = switch.key;
    if switch.isolated {
        // Frames from tunnels enter behind this stage: they were judged at their source.
        out.flow(Stage::Isolation, ISOLATED, on(key), Actions::drop());
    }
    let copies = |kinds: &[GroupKind]| -> Actions {
        kinds.iter().flat_map(|kind| groups::shares(switch, *kind)).map(Action::Group).collect()
    };
    let everybody = copies(&[GroupKind::RemoteAll, GroupKind::LocalAll]);
    let group_address = |matching: crate::flow::Match| matching.masked(Field::EthDst, Mac::GROUP_BIT, Mac::GROUP_BIT);
    out.flow(Stage::L2Lookup, GROUP, group_address(from_a_guest(key)), everybody);
    out.flow(Stage::L2Lookup, GROUP, group_address(from_a_tunnel(key)), copies(&[GroupKind::LocalAll]));
    if !switch.learners.is_empty() {
        let learners = copies(&[GroupKind::RemoteLearning, GroupKind::LocalLearning]);
        out.flow(Stage::L2Lookup, UNKNOWN, from_a_guest(key), learners);
        out.flow(Stage::L2Lookup, UNKNOWN, from_a_tunnel(key), copies(&[GroupKind::LocalLearning]));
    }
}

/// The flow of a destination address.
pub fn mac(out: &mut Builder, switch: &SwitchFact, mac: Mac, owner: PortKey) {
    let matching = on(switch.key).mac(Field::EthDst, mac);
    out.flow(Stage::L2Lookup, KNOWN, matching, [Action::set(EGRESS, owner.0), goto(Stage::Output)]);
}
