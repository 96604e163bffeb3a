//! Stage *output*: to the local port, or through a tunnel to where the port is.
//!
//! The local flow has the higher priority, so that the universal one for everybody else may be there too.
//! A frame from a tunnel never enters one again.

use super::super::facts::PortFact;
use super::super::fragment::Builder;
use super::{from_a_guest, on, tunnel_port};
use crate::flow::{Action, Field};
use crate::ids::{PortKey, TunnelKey};
use crate::nib::Encap;
use crate::pipeline::{EGRESS, Stage};
use std::net::IpAddr;

const LOCAL: u16 = 100;
const REMOTE: u16 = 50;

/// A port that is here.
pub fn local(out: &mut Builder, datapath: TunnelKey, port: &PortFact) {
    let matching = on(datapath).exact(EGRESS, port.key.0);
    out.flow(Stage::Output, LOCAL, matching, [Action::Output(port.place.ofport)]);
}

/// A port that is elsewhere.
pub fn remote(out: &mut Builder, datapath: TunnelKey, port: PortKey, encap: Encap, end: IpAddr) {
    let matching = from_a_guest(datapath).exact(EGRESS, port.0);
    out.flow(Stage::Output, REMOTE, matching, into_tunnel(datapath, encap, end));
}

/// Sends a frame of a datapath to the end of a tunnel.
pub fn into_tunnel(datapath: TunnelKey, encap: Encap, end: IpAddr) -> [Action; 3] {
    [Action::set(Field::TunId, datapath.0), Action::set_tunnel_destination(end), Action::Output(tunnel_port(encap))]
}
