//! What each stage of the pipeline does, one file for each: pure functions from facts to flows.
//!
//! The order of the files is that of [`crate::pipeline`]. Start at [`super::engine`] for who calls them.

pub(super) mod admission;
pub(super) mod arp_nd;
pub(super) mod classify;
pub(super) mod l2;
pub(super) mod output;
pub(super) mod port_security;

use crate::flow::{Action, Field, Match};
use crate::ids::{OfPort, PortKey, TunnelKey};
use crate::nib::Encap;
use crate::pipeline::{FLAGS, FROM_TUNNEL, INGRESS, Stage};

/// Ethertypes.
pub(super) mod ethertype {
    pub const IPV4: u16 = 0x0800;
    pub const ARP: u16 = 0x0806;
    pub const IPV6: u16 = 0x86dd;
}

/// The IPv6 next header of ICMPv6.
pub(super) const ICMPV6: u8 = 58;

/// ICMPv6 types, RFC 4861, RFC 2710 and RFC 3810.
pub(super) mod icmpv6 {
    pub const MLD_REPORT: u8 = 131;
    pub const ROUTER_ADVERTISEMENT: u8 = 134;
    pub const NEIGHBOUR_SOLICITATION: u8 = 135;
    pub const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
    pub const REDIRECT: u8 = 137;
    pub const MLD2_REPORT: u8 = 143;
}

/// The OpenFlow port of an encapsulation's tunnel port: the same on every switch, so that flows are too.
pub fn tunnel_port(encap: Encap) -> OfPort {
    OfPort(match encap {
        Encap::Geneve => 65_001,
        Encap::Vxlan => 65_002,
        Encap::Gre => 65_003,
        Encap::Stt => 65_004,
    })
}

fn on(datapath: TunnelKey) -> Match {
    Match::any().exact(Field::Metadata, datapath.0)
}

fn from_port(datapath: TunnelKey, port: PortKey) -> Match {
    on(datapath).exact(INGRESS, port.0)
}

fn from_a_guest(datapath: TunnelKey) -> Match {
    on(datapath).masked(FLAGS, 0u32, FROM_TUNNEL)
}

fn from_a_tunnel(datapath: TunnelKey) -> Match {
    on(datapath).masked(FLAGS, FROM_TUNNEL, FROM_TUNNEL)
}

fn goto(stage: Stage) -> Action {
    Action::Goto(stage.table())
}
