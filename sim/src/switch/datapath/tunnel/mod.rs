//! Tunnels: what a tunnel port is, and what is around the packets that pass it.
//!
//! [`Tunnels`] belongs to a switch, not to a bridge: an outer packet is for whichever tunnel port it fits. Outer packets
//! begin with their IP header; Ethernet around it is for whoever sends them. [`outer`] reads and writes IP and UDP,
//! [`header`] what is in them, [`stt`] puts segments together.

mod header;
mod outer;
mod stt;
#[cfg(test)]
mod tests;

use super::super::packet::protocol;
use super::port::TunnelMetadata;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// The inner protocol of GRE and Geneve: Ethernet.
const ETHERNET: u16 = 0x6558;

/// How packets are wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// RFC 8926, UDP port 6081.
    Geneve,
    /// RFC 7348, UDP port 4789.
    Vxlan,
    /// RFC 2784 and 2890, Ethernet in IP protocol 47.
    Gre,
    /// draft-davie-stt, which looks like TCP, port 7471.
    Stt,
}

/// Fixed for the port, or a matter of flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting<T> {
    /// This.
    Fixed(T),
    /// What flows say, and flows see.
    Flow,
}

/// A tunnel port as it is configured (ovs-vswitchd.conf.db(5), Tunnel Options).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunnelConfig {
    /// How.
    pub protocol: Protocol,
    /// `remote_ip`.
    pub remote: Setting<IpAddr>,
    /// `local_ip`; none: any.
    pub local: Option<Setting<IpAddr>>,
    /// `key`; fixed zero is none.
    pub key: Setting<u64>,
    /// `dst_port`; none: the usual one.
    pub port: Option<u16>,
    /// `ttl`; none: inherit.
    pub ttl: Option<u8>,
    /// `tos`; none: inherit.
    pub tos: Option<u8>,
    /// `df_default`.
    pub dont_fragment: bool,
    /// `csum`: a checksum in outer UDP over IPv4, or in GRE.
    pub checksum: bool,
}

impl TunnelConfig {
    /// `remote_ip=flow key=flow`.
    pub fn of_flows(protocol: Protocol) -> TunnelConfig {
        TunnelConfig { remote: Setting::Flow, key: Setting::Flow, ..TunnelConfig::to(protocol, [0, 0, 0, 0].into(), 0) }
    }

    /// To one peer with one key.
    pub fn to(protocol: Protocol, remote: IpAddr, key: u64) -> TunnelConfig {
        TunnelConfig {
            protocol,
            remote: Setting::Fixed(remote),
            local: None,
            key: Setting::Fixed(key),
            port: None,
            ttl: Some(64),
            tos: Some(0),
            dont_fragment: true,
            checksum: false,
        }
    }
}

impl Protocol {
    /// The usual destination port; none for GRE.
    pub fn port(self) -> Option<u16> {
        match self {
            Protocol::Geneve => Some(6081),
            Protocol::Vxlan => Some(4789),
            Protocol::Gre => None,
            Protocol::Stt => Some(7471),
        }
    }

    fn ip_protocol(self) -> u8 {
        match self {
            Protocol::Geneve | Protocol::Vxlan => protocol::UDP,
            Protocol::Gre => protocol::GRE,
            Protocol::Stt => protocol::TCP,
        }
    }
}

impl TunnelConfig {
    fn destination_port(&self) -> Option<u16> {
        self.protocol.port().map(|usual| self.port.unwrap_or(usual))
    }

    /// How specific it is for what came, the smaller the more; none if it does not fit (`tnl_find` in Open vSwitch).
    fn fit(&self, tunnel: &TunnelMetadata) -> Option<(u8, u8, u8)> {
        let key = match self.key {
            Setting::Fixed(key) => (key == tunnel.id).then_some(0),
            Setting::Flow => Some(1),
        };
        let remote = match self.remote {
            Setting::Fixed(remote) => (Some(remote) == tunnel.source).then_some(0),
            Setting::Flow => Some(1),
        };
        let local = match self.local {
            Some(Setting::Fixed(local)) => (Some(local) == tunnel.destination).then_some(0),
            None => Some(1),
            Some(Setting::Flow) => Some(2),
        };
        Some((key?, remote?, local?))
    }
}

/// Why a packet did not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// Neither port nor flow says where to.
    #[error("no destination")]
    NoDestination,
    /// There is no local address of the destination's family.
    #[error("no local address of the destination's family")]
    NoSource,
    /// Larger than the underlay takes.
    #[error("larger than the underlay's MTU")]
    TooBig,
    /// The outer IP header is short, lies, or its checksum is wrong.
    #[error("outer IP header is not sound")]
    BadIp,
    /// A fragment: outer packets are not put together.
    #[error("outer packet is a fragment")]
    Fragment,
    /// The outer checksum of UDP, TCP or GRE is wrong.
    #[error("outer checksum is wrong")]
    BadChecksum,
    /// The tunnel header is short, lies, or says what nobody understands.
    #[error("tunnel header is not sound")]
    BadHeader,
    /// No tunnel port fits.
    #[error("no tunnel port fits")]
    NoPort,
    /// An STT segment contradicts one that came before.
    #[error("STT segment contradicts another")]
    Contradiction,
    /// Too many STT frames are incomplete: the oldest went.
    #[error("too many STT frames are incomplete")]
    Crowded,
    /// An STT frame was not complete in time.
    #[error("STT frame was not complete in time")]
    Incomplete,
}

/// A packet out of its tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decapsulated {
    /// By which tunnel port it came.
    pub port: u32,
    /// The frame.
    pub inner: Vec<u8>,
    /// What was around it.
    pub tunnel: TunnelMetadata,
}

/// The ends of all tunnels of a switch.
#[derive(Clone, Debug, Default)]
pub struct Tunnels {
    /// Where packets are sent from, if neither port nor flow says so: one address for each family.
    pub local: Vec<IpAddr>,
    /// The largest outer packet, with its IP header; 0: any.
    pub mtu: usize,
    /// How many packets were refused, and why.
    pub refused: BTreeMap<Refusal, u64>,
    frame_id: u32,
    reassembly: stt::Reassembly,
}

impl Tunnels {
    /// The outer packets for a frame: one, or the segments of STT.
    pub fn encapsulate(
        &mut self,
        config: &TunnelConfig,
        tunnel: &TunnelMetadata,
        inner: &[u8],
    ) -> Result<Vec<Vec<u8>>, Refusal> {
        let made = self.wrap(config, tunnel, inner);
        self.count(made)
    }

    fn wrap(&mut self, config: &TunnelConfig, tunnel: &TunnelMetadata, inner: &[u8]) -> Result<Vec<Vec<u8>>, Refusal> {
        let destination = tunnel.destination.ok_or(Refusal::NoDestination)?;
        let own = self.local.iter().find(|own| own.is_ipv4() == destination.is_ipv4()).copied();
        let source = tunnel.source.or(own).ok_or(Refusal::NoSource)?;
        if source.is_ipv4() != destination.is_ipv4() {
            return Err(Refusal::NoSource);
        }
        let envelope = outer::Envelope {
            source,
            destination,
            protocol: config.protocol.ip_protocol(),
            tos: tunnel.tos,
            ttl: tunnel.ttl,
            dont_fragment: config.dont_fragment,
        };
        let mtu = if self.mtu == 0 { usize::from(u16::MAX) } else { self.mtu };
        let source_port = outer::source_port(inner);
        let packets = match (config.protocol, config.destination_port()) {
            (Protocol::Stt, port) => {
                self.frame_id = self.frame_id.wrapping_add(1);
                let ports = (source_port, port.unwrap_or(7471));
                stt::segments(&envelope, ports, self.frame_id, tunnel.id, inner, mtu).ok_or(Refusal::TooBig)?
            }
            (Protocol::Gre, _) | (_, None) => vec![envelope.seal(&header::gre(config, tunnel.id, inner))],
            (kind, Some(port)) => {
                let body = match kind {
                    Protocol::Vxlan => header::vxlan(tunnel.id, inner),
                    _ => header::geneve(tunnel, inner),
                };
                vec![envelope.seal_udp((source_port, port), config.checksum, &body)]
            }
        };
        if packets.iter().any(|packet| packet.len() > mtu) {
            return Err(Refusal::TooBig);
        }
        Ok(packets)
    }

    /// Takes a frame out of an outer packet that came to this switch; nothing if it is not complete yet, or not for a
    /// tunnel at all. `ports` are the tunnel ports, by number.
    pub fn decapsulate<'a>(
        &mut self,
        now: Duration,
        packet: &[u8],
        ports: impl IntoIterator<Item = (u32, &'a TunnelConfig)>,
    ) -> Result<Option<Decapsulated>, Refusal> {
        let late = self.reassembly.expire(now);
        *self.refused.entry(Refusal::Incomplete).or_default() += late;
        let ports: Vec<(u32, &TunnelConfig)> = ports.into_iter().collect();
        let opened = self.open(now, packet, &ports);
        self.count(opened)
    }

    fn open(
        &mut self,
        now: Duration,
        packet: &[u8],
        ports: &[(u32, &TunnelConfig)],
    ) -> Result<Option<Decapsulated>, Refusal> {
        let outer = outer::read(packet)?;
        let Some(kind) = kind_of(&outer, ports) else { return Ok(None) };
        let (id, flags, options, inner) = match kind {
            Protocol::Gre => header::read_gre(outer.body)?,
            Protocol::Vxlan => header::read_vxlan(outer.udp_payload()?)?,
            Protocol::Geneve => header::read_geneve(outer.udp_payload()?)?,
            Protocol::Stt => match self.reassembly.segment(now, &outer)? {
                Some((id, inner)) => (id, 0, Vec::new(), inner),
                None => return Ok(None),
            },
        };
        if inner.len() < 14 {
            return Err(Refusal::BadHeader);
        }
        let tunnel = TunnelMetadata {
            id,
            source: Some(outer.source),
            destination: Some(outer.destination),
            flags,
            tos: outer.tos,
            ttl: outer.ttl,
            options,
        };
        let same = ports.iter().filter(|(_, config)| config.protocol == kind);
        let best = same.filter_map(|(port, config)| config.fit(&tunnel).map(|fit| (fit, *port))).min();
        let (_, port) = best.ok_or(Refusal::NoPort)?;
        Ok(Some(Decapsulated { port, inner, tunnel }))
    }

    fn count<T>(&mut self, result: Result<T, Refusal>) -> Result<T, Refusal> {
        if let Err(refusal) = &result {
            *self.refused.entry(*refusal).or_default() += 1;
        }
        result
    }
}

/// For which kind of tunnel an outer packet is, by IP protocol and port.
fn kind_of(outer: &outer::Outer<'_>, ports: &[(u32, &TunnelConfig)]) -> Option<Protocol> {
    let fits = |config: &TunnelConfig| {
        config.protocol.ip_protocol() == outer.protocol
            && config.destination_port().is_none_or(|port| outer.destination_port() == Some(port))
    };
    ports.iter().find(|(_, config)| fits(config)).map(|(_, config)| config.protocol)
}
