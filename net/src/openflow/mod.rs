//! OpenFlow 1.5 with the Nicira extensions that our flows need, as Open vSwitch speaks it.
//!
//! Both ends: what a controller sends can be decoded, and what a switch sends can be encoded, so that a simulated
//! switch exchanges real bytes with the code that ships. Everything is sans-IO: bytes and times in, bytes and
//! events out.
//!
//! | module | owns |
//! | --- | --- |
//! | [`session`] | one controller-side connection: hello, features, keepalive |
//! | [`bundle`] | one atomic change: opened, filled, closed, committed or discarded |
//! | [`script`] | a difference of flow tables as bundles, encoded once for all switches |
//! | [`codec`] | [`Message`](message::Message) to bytes and back, framing |
//! | [`message`], [`multipart`], [`flows`], [`groups`], [`ports`] | what messages contain |
//! | [`oxm`], `actions` | matches and instructions, the model of `selvedge_core::flow` in bytes |
//! | [`error`] | errors of ours about bytes, and the errors that switches report |
//!
//! What core's flow model cannot say is an error that names it, except in what a switch reports about itself: a
//! flow that somebody added by hand decodes as foreign, so that it can be seen and deleted.
//!
//! References are to the OpenFlow Switch Specification 1.5.1, ovs-fields(7) and ovs-actions(7). Another version would
//! be a variant of [`Version`], taken by the functions of [`codec`]; messages stay as they are.
//! Start at [`session::Session`].

mod actions;
pub mod bundle;
pub mod codec;
pub mod error;
pub mod flows;
pub mod groups;
pub mod message;
pub mod multipart;
pub mod oxm;
pub mod ports;
pub mod script;
pub mod session;
mod wire;

use message::Hello;

/// A version of the protocol that is spoken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// OpenFlow 1.5.
    V1_5,
}

impl Version {
    /// All of them, the best first.
    pub const ALL: [Version; 1] = [Version::V1_5];

    /// The byte in the header.
    pub fn wire(self) -> u8 {
        match self {
            Version::V1_5 => 6,
        }
    }

    /// The bit in a hello's bitmap.
    fn bit(self) -> u32 {
        1 << self.wire()
    }

    /// The version that both ends speak, if there is one (section 6.3.1): by bitmap if there is one, or else the
    /// header's version and all before it.
    pub fn choose(peer: &Hello) -> Option<Version> {
        let spoken = |version: &Version| match peer.versions {
            Some(bitmap) => bitmap & version.bit() != 0,
            None => version.wire() <= peer.version,
        };
        Version::ALL.into_iter().find(spoken)
    }

    /// The hello that offers all of them.
    pub fn hello() -> Hello {
        let versions = Version::ALL.iter().fold(0, |bitmap, version| bitmap | version.bit());
        Hello { version: Version::ALL[0].wire(), versions: Some(versions) }
    }
}
