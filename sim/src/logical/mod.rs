//! The logical network, read from its specification: what may be delivered to whom.
//!
//! This is the oracle's side of the product. It knows ports, switches and frames, and nothing of flows, tables, tunnels
//! or hypervisors: it shares no code with the compiler, so that a mistake would have to be made twice to be missed.
//!
//! | module | |
//! | --- | --- |
//! | [`frame`] | what a frame says, read from its bytes |
//! | [`rules`] | what a port may send, and where it goes: the specification |
//! | [`history`] | which configurations were lawful when |
//!
//! Start at [`rules::admits`] and [`rules::reaches`].

pub mod frame;
pub mod history;
pub mod rules;

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// To everybody.
    pub const BROADCAST: Mac = Mac([0xff; 6]);

    /// Whether it is that of a group.
    pub fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> String {
        mac.to_string()
    }
}

impl TryFrom<String> for Mac {
    type Error = String;

    fn try_from(text: String) -> Result<Mac, String> {
        let parts: Vec<u8> = text.split(':').filter_map(|part| u8::from_str_radix(part, 16).ok()).collect();
        parts.try_into().map(Mac).map_err(|_| format!("'{text}' is no Ethernet address"))
    }
}

/// A logical switch of a plan, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SwitchId(pub u16);

/// A logical port of a plan, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PortId(pub u16);

/// A guest's interface, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VifId(pub u16);

impl fmt::Display for SwitchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.0)
    }
}

impl fmt::Display for VifId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

/// A logical switch as its owner wants it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// Its ports do not reach each other.
    pub isolated: bool,
}

/// A source that a port may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// The Ethernet source.
    pub mac: Mac,
    /// The IP source: a prefix; none is any.
    pub net: Option<(IpAddr, u8)>,
}

impl Pair {
    /// Whether the pair allows an IP source.
    pub fn covers(&self, address: IpAddr) -> bool {
        match self.net {
            None => true,
            Some((net, length)) => within(address, net, length),
        }
    }

    /// The address, if the pair names exactly one.
    pub fn host(&self) -> Option<IpAddr> {
        let (address, length) = self.net?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        (length == whole && !address.is_unspecified()).then_some(address)
    }
}

fn within(address: IpAddr, net: IpAddr, length: u8) -> bool {
    let shift = |width: u32| width - u32::from(length).min(width);
    match (address, net) {
        (IpAddr::V4(a), IpAddr::V4(n)) => a.to_bits().checked_shr(shift(32)) == n.to_bits().checked_shr(shift(32)),
        (IpAddr::V6(a), IpAddr::V6(n)) => a.to_bits().checked_shr(shift(128)) == n.to_bits().checked_shr(shift(128)),
        _ => false,
    }
}

/// A logical port as its owner wants it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// The switch it is of.
    pub switch: SwitchId,
    /// Whether anything passes.
    pub enabled: bool,
    /// Sources it may use; none is any.
    pub pairs: Vec<Pair>,
    /// Whether unknown destinations are sent to it.
    pub learning: bool,
    /// What it is plugged into.
    pub vif: Option<VifId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_hold_their_addresses_and_no_others() {
        let net =
            |text: &str, length| Pair { mac: Mac([2; 6]), net: Some((text.parse().expect("an address"), length)) };
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert!(net("10.0.0.0", 24).covers(ip("10.0.0.77")));
        assert!(!net("10.0.0.0", 24).covers(ip("10.0.1.0")));
        assert!(net("0.0.0.0", 0).covers(ip("203.0.113.9")));
        assert!(!net("0.0.0.0", 0).covers(ip("2001:db8::1")));
        assert!(net("2001:db8::", 64).covers(ip("2001:db8::9")));
        assert_eq!(net("10.0.0.7", 32).host(), Some(ip("10.0.0.7")));
        assert_eq!(net("10.0.0.7", 31).host(), None);
    }
}
