//! Identifiers, each a type of its own, so that none is taken for another.
//!
//! Objects that users name have a [`uuid::Uuid`]; what travels in flows, tunnels and logs is smaller
//! and allocated by [`crate::nib`], the only place that makes them.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number! {
    /// A state of the whole NIB: the number of commands applied to it. Never goes back.
    Revision(u64)
}
number! {
    /// Names a logical datapath in tunnel headers, metadata and group numbers: 1 to 2^24 - 1, so that it fits
    /// VXLAN, Geneve, GRE and STT alike. A key is given out again only after all others were.
    TunnelKey(u32)
}
number! {
    /// Names a logical port within its datapath, in registers. From 1; never given out again on its switch.
    PortKey(u32)
}
number! {
    /// Names a transport node in cookies and buckets. From 1; never given out again.
    NodeNumber(u32)
}
number! {
    /// An OpenFlow port number on one switch: 1 to 0xfeff for ordinary ports.
    OfPort(u32)
}
number! {
    /// Mastership of one transport node: strictly increasing over all masters it ever had. It is the OpenFlow
    /// `generation_id`, and is kept in the switch's own database.
    Epoch(u64)
}
number! {
    /// A controller of a cluster. From 1; never given out again.
    MemberId(u64)
}

/// What openraft's suite for storage makes of its numbers.
impl From<u64> for MemberId {
    fn from(number: u64) -> MemberId {
        MemberId(number)
    }
}
