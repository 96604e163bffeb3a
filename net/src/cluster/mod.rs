//! Controllers that act as one: what one of them promises, a majority of them has on disk.
//!
//! Consensus is openraft's; here is what it stands on and what stands on it. Commands go in by [`Member::propose`], from
//! whichever member; they come out on every member in the same order, by [`Machine`](machine::Machine), into the
//! controller's state. One member alone is the same code.
//!
//! | module | |
//! | --- | --- |
//! | [`member`] | a member of a cluster; start here |
//! | [`types`] | what is replicated |
//! | [`log`] | the log as openraft sees it, on the [`store`](crate::store) |
//! | [`machine`] | the state that entries are applied to |
//! | [`peer`] | the way to another member |
//! | [`wire`] | what members say to each other |
//! | [`runtime`] | openraft on any runtime |

pub mod log;
pub mod machine;
pub mod member;
pub mod peer;
pub mod runtime;
pub mod types;
pub mod wire;

pub use member::{Member, MemberConfig, ProposeError};
