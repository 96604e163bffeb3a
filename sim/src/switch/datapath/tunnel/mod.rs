//! Tunnels: what a tunnel port is, and what is around the packets that pass it.

use std::net::IpAddr;

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
