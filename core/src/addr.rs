//! Link-layer addresses, and what is derived from them.
//!
//! IP addresses and prefixes are `std::net` and `ipnet`. Start at [`Mac`].

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// An Ethernet address (IEEE 802, EUI-48), in transmission order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// `ff:ff:ff:ff:ff:ff`.
    pub const BROADCAST: Mac = Mac([0xff; 6]);
    /// The group bit alone: as value and mask it matches every group address.
    pub const GROUP_BIT: Mac = Mac([1, 0, 0, 0, 0, 0]);

    /// Whether the group bit is set (multicast and broadcast).
    pub fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// The IPv6 link-local address a host makes of this address (RFC 4291, appendix A).
    pub fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.0;
        let word = |high, low| u16::from_be_bytes([high, low]);
        Ipv6Addr::new(0xfe80, 0, 0, 0, word(a ^ 2, b), word(c, 0xff), word(0xfe, d), word(e, f))
    }
}

impl From<Mac> for u128 {
    fn from(mac: Mac) -> u128 {
        mac.0.iter().fold(0, |value, byte| value << 8 | u128::from(*byte))
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

/// A word that is no Ethernet address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a MAC address (six bytes in hex, with colons between: 02:00:00:00:00:0a)")]
pub struct BadMac(String);

impl FromStr for Mac {
    type Err = BadMac;

    fn from_str(text: &str) -> Result<Mac, BadMac> {
        let bad = || BadMac(text.chars().take(40).collect());
        let mut bytes = [0; 6];
        let mut words = text.split(':');
        for byte in &mut bytes {
            let word = words.next().filter(|w| matches!(w.len(), 1 | 2)).ok_or_else(bad)?;
            if !word.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(bad());
            }
            *byte = u8::from_str_radix(word, 16).map_err(|_| bad())?;
        }
        words.next().is_none().then_some(Mac(bytes)).ok_or_else(bad)
    }
}

impl serde::Serialize for Mac {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Mac {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Mac, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_nonsense_is_named() {
        let check = |text: &str, want: &str| {
            let got = match text.parse::<Mac>() {
                Ok(mac) => mac.to_string(),
                Err(error) => error.to_string()[..text.len() + 2].to_string(),
            };
            assert_eq!(got, want);
        };
        check("02:00:00:00:00:0a", "02:00:00:00:00:0a");
        check("2:0:0:0:0:A", "02:00:00:00:00:0a");
        check("02:00:00:00:00", "'02:00:00:00:00'");
        check("02:00:00:00:00:0a:0b", "'02:00:00:00:00:0a:0b'");
        check("+2:00:00:00:00:0a", "'+2:00:00:00:00:0a'");
        check("", "''");
    }

    #[test]
    fn link_local_follows_eui64() {
        let mac: Mac = "02:00:00:00:00:0a".parse().expect("well formed");
        assert_eq!(mac.link_local().to_string(), "fe80::ff:fe00:a");
    }
}
