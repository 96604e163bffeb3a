//! Addresses and prefixes as users write them. Start at [`IpPrefix`].

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::net::IpAddr;

/// An address or a prefix, given back as it was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IpPrefix {
    text: String,
    net: IpNet,
}

impl IpPrefix {
    /// The prefix, host bits cleared.
    pub fn net(&self) -> IpNet {
        self.net.trunc()
    }

    /// The address, if nothing but one was written.
    pub fn address(&self) -> Option<IpAddr> {
        self.text.parse().ok()
    }

    /// The address, if it is that of one host and not the unspecified one.
    pub fn host(&self) -> Option<IpAddr> {
        let whole = self.net.prefix_len() == self.net.max_prefix_len();
        (whole && !self.net.addr().is_unspecified()).then(|| self.net.addr())
    }
}

impl fmt::Display for IpPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for IpPrefix {
    type Err = String;

    fn from_str(text: &str) -> Result<IpPrefix, String> {
        let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let net = net.map_err(|_| {
            let shown: String = text.chars().take(64).collect();
            format!("'{shown}' is neither an IP address nor a prefix")
        })?;
        Ok(IpPrefix { text: text.to_string(), net })
    }
}

impl Serialize for IpPrefix {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for IpPrefix {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<IpPrefix, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}
