//! Real Open vSwitch on one Linux machine: hypervisors, guests and traffic for tests and for trying things by hand.
//!
//! Needs root, the packages openvswitch-switch and iproute2, and nothing of the kernel but network namespaces, veth,
//! bridges and tun: the switches use the userspace datapath. The machine's own Open vSwitch is left alone.
//!
//! | file | what it is |
//! | --- | --- |
//! | [`bed`] | a whole testbed: start here, at [`Bed::for_test`] |
//! | `mesh` | learning bridges and tunnels, to do without a controller |
//! | [`hypervisor`] | one hypervisor's daemons and tools |
//! | [`guest`] | one guest: its wiring, and traffic from it |
//! | [`echo`], [`exchange`], [`wire`], [`frame`] | ping; UDP and TCP; frames sent and captured; what is in them |
//! | [`matrix`] | who reaches whom |
//! | [`daemon`], [`api`] | the controller under test, and a client of its API |
//! | [`netns`], `sys`, `command`, [`wait`] | namespaces; kernel calls; programs; patience |
//! | [`ident`], `state`, [`status`], [`mod@requirements`], [`error`], [`table`] | names; the state on disk; how it is; what must be installed |
//!
//! ```no_run
//! use selvedge_sim::testbed::{Bed, GuestSpec, MigrationOrder, VifId};
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let Some(mut bed) = Bed::for_test("two_guests", 2) else { return Ok(()) };
//! bed.make_learning_mesh("geneve")?;
//! bed.warm_underlay()?;
//! let spec = |name: &str, mac: &str, address: &str| -> Result<GuestSpec, selvedge_sim::testbed::Invalid> {
//!     let vif = VifId::IfaceId(format!("vif-{name}"));
//!     Ok(GuestSpec::new(name.parse()?, mac.parse()?, vec![address.parse()?], vif))
//! };
//! let web = bed.add_guest("hv1".parse()?, spec("web", "02:00:00:00:00:01", "10.0.0.1/24")?)?;
//! let db = bed.add_guest("hv2".parse()?, spec("db", "02:00:00:00:00:02", "10.0.0.2/24")?)?;
//! let pinger = web.pinger("10.0.0.2".parse()?)?;
//! bed.migrate(db.name(), "hv1".parse()?, MigrationOrder::AppearsFirst)?;
//! assert!(pinger.stop().longest_gap < Duration::from_secs(1));
//! # Ok(())
//! # }
//! ```

#![allow(clippy::disallowed_methods, reason = "real switches live in real time")]

pub mod api;
pub mod bed;
mod command;
pub mod daemon;
pub mod echo;
pub mod error;
pub mod exchange;
pub mod frame;
pub mod guest;
pub mod hypervisor;
pub mod ident;
pub mod matrix;
mod mesh;
pub mod netns;
pub mod requirements;
mod state;
pub mod status;
mod sys;
pub mod table;
pub mod wait;
pub mod wire;

pub use api::{Answer, Api, Method};
pub use bed::{Bed, Lifetime, MigrationOrder};
pub use daemon::{Connector, ConnectorKind, Daemon};
pub use echo::{Family, PingReport, Pinger};
pub use error::{Error, Result};
pub use frame::{ArpEnd, ArpOperation, Endpoint, Frame};
pub use guest::{Guest, GuestSpec};
pub use hypervisor::{Daemons, Hypervisor};
pub use ident::{GuestName, HypervisorId, InterfaceAddress, Invalid, Mac, VifId};
pub use matrix::{Matrix, Pair};
pub use netns::{Netns, enter_private_namespace};
pub use requirements::{Missing, ready_or_skip, requirements};
pub use state::Place;
pub use status::Status;
pub use wait::wait_until;
pub use wire::Capture;
