//! Ports of a bridge: what they are and whether packets pass.

use super::tunnel::TunnelConfig;
use std::net::IpAddr;

/// A port of a bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its OpenFlow number.
    pub number: u32,
    /// Its name, unique in the switch.
    pub name: String,
    /// What it leads to.
    pub kind: PortKind,
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// Set up by its administrator; else nothing passes.
    pub is_up: bool,
    /// Whether there is a carrier.
    pub has_link: bool,
    /// What is heard from the other end (BFD): groups skip a port that is not alive, packets pass nevertheless.
    pub is_peer_live: bool,
    /// `OFPPC_*`: 4 takes no packets in, 0x20 lets none out, 0x10 is not flooded to.
    pub config: u32,
    /// For NORMAL only.
    pub vlan: Vlan,
    /// What passed.
    pub counters: Counters,
}

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets that came in.
    pub rx_packets: u64,
    /// Their bytes.
    pub rx_bytes: u64,
    /// Packets that came and were not taken.
    pub rx_dropped: u64,
    /// Packets that went out.
    pub tx_packets: u64,
    /// Their bytes.
    pub tx_bytes: u64,
    /// Packets that could not go out.
    pub tx_dropped: u64,
}

/// What a port leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortKind {
    /// A device: of a guest, of the host (internal ports and the bridge's own), of the physical network.
    Device,
    /// A tunnel.
    Tunnel(TunnelConfig),
    /// A port of another bridge, by its name.
    Patch(String),
}

/// How NORMAL treats tags of a port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Vlan {
    /// Any identifier, none is 0.
    #[default]
    Trunk,
    /// Only these identifiers, tagged.
    Trunks(Vec<u16>),
    /// One VLAN, untagged.
    Access(u16),
}

/// `OFPPC_*` (OpenFlow 1.5.1, section 7.2.1.1).
pub mod config {
    /// Takes no packets in.
    pub const NO_RECV: u32 = 1 << 2;
    /// Is not flooded to.
    pub const NO_FLOOD: u32 = 1 << 4;
    /// Lets no packets out.
    pub const NO_FWD: u32 = 1 << 5;
}

impl Port {
    /// A device that is up and has a link.
    pub fn device(number: u32, name: &str) -> Port {
        let octets = number.to_be_bytes();
        Port {
            number,
            name: name.to_string(),
            kind: PortKind::Device,
            mac: [2, 0xff, octets[0], octets[1], octets[2], octets[3]],
            is_up: true,
            has_link: true,
            is_peer_live: true,
            config: 0,
            vlan: Vlan::Trunk,
            counters: Counters::default(),
        }
    }

    /// The same with another kind.
    pub fn with_kind(self, kind: PortKind) -> Port {
        Port { kind, ..self }
    }

    /// Whether groups may use it.
    pub fn is_live(&self) -> bool {
        self.is_up && self.has_link && self.is_peer_live
    }
}

/// What the header around a packet says, or is to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TunnelMetadata {
    /// The key; zero if there is none.
    pub id: u64,
    /// Outer source; none: whatever the route says.
    pub source: Option<IpAddr>,
    /// Outer destination.
    pub destination: Option<IpAddr>,
    /// Bit 0 is OAM.
    pub flags: u16,
    /// Outer type of service.
    pub tos: u8,
    /// Outer TTL.
    pub ttl: u8,
    /// Geneve's options as they came.
    pub options: Vec<u8>,
}
