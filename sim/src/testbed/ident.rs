//! Names and addresses in a testbed: who is who, and what each is called in the kernel.
//!
//! One address plan for all beds, so that a capture can be read and a test can know:
//!
//! | | management | underlay |
//! | --- | --- | --- |
//! | the caller, where a controller listens | 10.254.0.1/16 | |
//! | hypervisor N | 10.254.1.N/16 on `mgmt0` | 172.31.1.N/16 on `br-phy` |
//!
//! Network namespaces and devices outside them are machine-wide, so their names carry the id of their bed.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A word that is not the name, number or address that it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is not {expected}")]
pub struct Invalid {
    word: String,
    expected: &'static str,
}

fn invalid(word: &str, expected: &'static str) -> Invalid {
    Invalid { word: word.to_owned(), expected }
}

/// Serializes a type by the text of its `Display`, and reads it back by its `FromStr`.
macro_rules! text {
    ($type:ty) => {
        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.to_string()
            }
        }

        impl TryFrom<String> for $type {
            type Error = Invalid;

            fn try_from(text: String) -> Result<Self, Invalid> {
                text.parse()
            }
        }
    };
}

/// A hypervisor of a bed, counted from 1; written `hv1`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HypervisorId(u8);

impl HypervisorId {
    /// The last hypervisor that a bed can have.
    pub const MAX: u8 = 200;

    /// The hypervisor with this number.
    ///
    /// # Errors
    /// If the number is 0 or above [`HypervisorId::MAX`].
    pub fn new(number: u8) -> Result<Self, Invalid> {
        match number {
            1..=Self::MAX => Ok(Self(number)),
            _ => Err(invalid(&format!("hv{number}"), "a hypervisor, hv1 to hv200")),
        }
    }

    /// The first `count` hypervisors.
    pub(crate) fn first(count: u8) -> impl Iterator<Item = Self> {
        (1..=count).map(Self)
    }

    /// Its place in a list of all of a bed's hypervisors.
    pub(crate) fn index(self) -> usize {
        usize::from(self.0) - 1
    }

    /// Where controllers see it come from.
    pub fn management_ip(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 254, 1, self.0)
    }

    /// Its tunnel endpoint.
    pub fn underlay_ip(self) -> Ipv4Addr {
        Ipv4Addr::new(172, 31, 1, self.0)
    }

    /// The MAC address of `br-phy`.
    pub fn underlay_mac(self) -> Mac {
        let [a, b, c, d] = self.underlay_ip().octets();
        Mac([0x02, 0x01, a, b, c, d])
    }
}

impl fmt::Display for HypervisorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hv{}", self.0)
    }
}

impl FromStr for HypervisorId {
    type Err = Invalid;

    fn from_str(word: &str) -> Result<Self, Invalid> {
        word.strip_prefix("hv")
            .and_then(|digits| digits.parse().ok())
            .and_then(|number| Self::new(number).ok())
            .filter(|id| id.to_string() == word)
            .ok_or_else(|| invalid(word, "a hypervisor, hv1 to hv200"))
    }
}

text!(HypervisorId);

/// A guest's name, which is the name of its port on the hypervisor, too.
///
/// At most 12 bytes: device names have 15, and some of them are wanted for suffixes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GuestName(String);

impl GuestName {
    const LENGTH_MAX: usize = 12;
    const EXPECTED: &'static str = "a guest's name: a small letter, up to 11 more, digits or -; \
                                    not lo, net, mgmt0, ul0, br-..., or a hypervisor's";

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether hypervisors have a device, or beds a namespace, of this name.
    fn is_reserved(word: &str) -> bool {
        let hypervisor = word.strip_prefix("hv").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        hypervisor || word.starts_with("br-") || ["lo", "net", "mgmt0", "ul0"].contains(&word)
    }
}

impl fmt::Display for GuestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for GuestName {
    type Err = Invalid;

    fn from_str(word: &str) -> Result<Self, Invalid> {
        let letters = word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let first = word.starts_with(|c: char| c.is_ascii_lowercase());
        if letters && first && word.len() <= Self::LENGTH_MAX && !Self::is_reserved(word) {
            Ok(Self(word.to_owned()))
        } else {
            Err(invalid(word, Self::EXPECTED))
        }
    }
}

text!(GuestName);

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Everyone on the segment.
    pub const BROADCAST: Mac = Mac([0xff; 6]);
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = Invalid;

    fn from_str(word: &str) -> Result<Self, Invalid> {
        let error = || invalid(word, "a MAC address like 02:00:00:00:00:01");
        let mut mac = [0; 6];
        let mut octets = word.split(':');
        for octet in &mut mac {
            let digits = octets.next().filter(|o| o.len() == 2).ok_or_else(error)?;
            *octet = u8::from_str_radix(digits, 16).map_err(|_| error())?;
        }
        if octets.next().is_some() { Err(error()) } else { Ok(Self(mac)) }
    }
}

text!(Mac);

/// An interface's address and the length of its network's prefix; written `10.0.0.1/24`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InterfaceAddress {
    /// The address itself.
    pub ip: IpAddr,
    prefix_length: u8,
}

impl fmt::Display for InterfaceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix_length)
    }
}

impl FromStr for InterfaceAddress {
    type Err = Invalid;

    fn from_str(word: &str) -> Result<Self, Invalid> {
        let error = || invalid(word, "an address with its prefix length, like 10.0.0.1/24 or fd00::1/64");
        let (ip, length) = word.split_once('/').ok_or_else(error)?;
        let ip: IpAddr = ip.parse().map_err(|_| error())?;
        let length_max = if ip.is_ipv4() { 32 } else { 128 };
        let prefix_length = length.parse().ok().filter(|l| *l <= length_max).ok_or_else(error)?;
        Ok(Self { ip, prefix_length })
    }
}

text!(InterfaceAddress);

/// By what a controller finds a guest's interface on a hypervisor.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VifId {
    /// `external_ids:iface-id`, as KVM and containers have it.
    IfaceId(String),
    /// `external_ids:xs-vif-uuid`, as XenServer has it.
    XsVifUuid(String),
}

impl VifId {
    /// The key in the Interface's `external_ids`, and the value.
    pub(crate) fn external_id(&self) -> (&'static str, &str) {
        match self {
            Self::IfaceId(id) => ("iface-id", id),
            Self::XsVifUuid(uuid) => ("xs-vif-uuid", uuid),
        }
    }
}

impl fmt::Display for VifId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, value) = self.external_id();
        write!(f, "{key}={value}")
    }
}

/// Six letters or digits that tell this bed's namespaces and devices from those of others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct BedId(String);

impl BedId {
    const LENGTH: usize = 6;

    /// The id in the name of a bed's directory: its last letters.
    pub(crate) fn from_directory(name: &str) -> Option<Self> {
        let id = name.strip_prefix(super::bed::DIRECTORY_PREFIX)?;
        let whole = id.len() == Self::LENGTH && id.bytes().all(|b| b.is_ascii_alphanumeric());
        whole.then(|| Self(id.to_owned()))
    }

    /// What the names of all its namespaces begin with.
    pub(crate) fn netns_prefix(&self) -> String {
        format!("sv-{}-", self.0)
    }

    /// The management bridge, in the caller's namespace.
    pub(crate) fn management_bridge(&self) -> String {
        format!("sv-{}", self.0)
    }

    /// A hypervisor's port on the management bridge.
    pub(crate) fn management_port(&self, hypervisor: HypervisorId) -> String {
        format!("{}-{hypervisor}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: FromStr<Err = Invalid> + fmt::Display>(good: &[&str], bad: &[&str]) {
        for word in good {
            assert_eq!(&word.parse::<T>().expect(word).to_string(), word);
        }
        for word in bad {
            assert!(word.parse::<T>().is_err(), "{word:?} must be refused");
        }
    }

    #[test]
    fn words_are_read_strictly_and_written_back_the_same() {
        check::<HypervisorId>(&["hv1", "hv200"], &["hv0", "hv201", "hv01", "hv+1", "hv", "1", "hv999"]);
        check::<GuestName>(
            &["web", "a", "db-1", "hvac", "abcdefghijkl"],
            &["", "Web", "1a", "hv1", "br-int", "lo", "net", "mgmt0", "ul0", "abcdefghijklm", "a b", "a/b"],
        );
        check::<Mac>(
            &["02:00:00:00:00:0a"],
            &["02:00:00:00:00", "02:00:00:00:00:0a:00", "2:0:0:0:0:a", "zz:00:00:00:00:00"],
        );
        check::<InterfaceAddress>(&["10.0.0.1/24", "fd00::1/64"], &["10.0.0.1", "10.0.0.1/33", "fd00::1/129", "x/8"]);
    }

    #[test]
    fn a_refused_word_is_named() {
        let error = "fd00::1".parse::<InterfaceAddress>().expect_err("no prefix length");
        assert_eq!(
            error.to_string(),
            r#""fd00::1" is not an address with its prefix length, like 10.0.0.1/24 or fd00::1/64"#
        );
    }

    #[test]
    fn device_names_fit_the_kernel() {
        let id = BedId::from_directory("selvedge-testbed.AbC123").expect("a directory of ours");
        let last = HypervisorId::new(HypervisorId::MAX).expect("the last one");
        assert_eq!(id.management_port(last), "AbC123-hv200");
        assert!(id.management_bridge().len() <= 15);
        assert_eq!(BedId::from_directory("selvedge-testbed."), None);
        assert_eq!(BedId::from_directory("selvedge-testbed.../../x"), None);
    }
}
