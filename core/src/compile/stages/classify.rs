//! Stage *classify*: where a frame comes from. Everything that is not let in here is dropped.

use super::super::facts::{PortFact, SwitchFact};
use super::super::fragment::Builder;
use super::{goto, tunnel_port};
use crate::flow::{Action, Field, Match};
use crate::ids::TunnelKey;
use crate::nib::Encap;
use crate::pipeline::{FLAGS, FROM_TUNNEL, INGRESS, Stage};
use std::net::IpAddr;

const KNOWN: u16 = 100;

/// A port's frames enter its datapath.
pub fn port(out: &mut Builder, datapath: TunnelKey, port: &PortFact) {
    let matching = Match::any().exact(Field::InPort, port.place.ofport.0);
    let actions = [Action::set(Field::Metadata, datapath.0), Action::set(INGRESS, port.key.0), goto(Stage::Admission)];
    out.flow(Stage::Classify, KNOWN, matching, actions);
}

/// Tunnel admission: frames of a datapath come in from a peer that has ports on it, and from nobody else.
/// They were judged where they come from; what is left is to look up where they go.
pub fn peer(out: &mut Builder, switch: &SwitchFact, encap: Encap, source: IpAddr) {
    let matching =
        Match::any().exact(Field::InPort, tunnel_port(encap).0).exact(Field::TunId, switch.key.0).tunnel_source(source);
    let actions = [Action::set(Field::Metadata, switch.key.0), Action::set(FLAGS, FROM_TUNNEL), goto(Stage::L2Lookup)];
    out.flow(Stage::Classify, KNOWN, matching, actions);
}
