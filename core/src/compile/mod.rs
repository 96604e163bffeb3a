//! From the NIB to flows: the universal flows of logical networks, and who holds them.
//!
//! Flows are computed in [fragments](fragment): each has one smallest owner (a port, an address, a peer), is computed
//! as a whole from [facts], and is held by an audience of nodes. A change of the NIB changes a few facts; the
//! [`Engine`] computes the fragments that read them again, and gives each node in their audience the difference.
//! What a change costs follows from what it touches, not from what there is.
//!
//! The same engine fed with everything at once is the oracle ([`Engine::from_nib`]): incremental equals full, always.
//!
//! Start at [`Engine`]; what flows a stage has is in [`stages`].

mod engine;
mod facts;
mod fragment;
mod groups;
mod spread;
mod stages;
mod touched;

pub use engine::{Engine, Work};
pub use fragment::{FragmentKey, Part};
pub use groups::GroupKind;
pub use spread::Difference;
pub use stages::tunnel_port;
