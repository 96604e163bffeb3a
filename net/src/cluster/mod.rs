//! Controllers that act as one: what one of them promises, a majority of them has on disk.
//!
//! Consensus is openraft's; here is what it stands on and what stands on it. Commands go in by [`Member::propose`], from
//! whichever member; they come out on every member in the same order, by [`Machine`](machine::Machine), into the
//! controller's state. One member alone is the same code.
//!
//! # Who is a member
//!
//! The NIB says who should be ([`ClusterCommand`](selvedge_core::nib::ClusterCommand)), the log's own membership who is. An
//! operator asks for an invitation, and carries it as a [`Token`] to the new machine; that one shows it to any member ([`join`](mod@join)),
//! and is given a number, which is never given again, and the certificate authority. The steward of whoever leads then
//! adds it to the log as a learner, and as a voter when it has caught up; so a change that was begun under one leader is
//! finished under the next. Whoever is replaced loses its vote in the step in which the other gets it. One that was
//! dismissed is told so when it asks for anything, once the log's membership lacks it, and stops.
//!
//! # Who writes to a switch
//!
//! The leader gives each transport node an owner and a standby, in the NIB, each new owner with a higher epoch. All members hold
//! connections; only the owner writes. An owner that does not know yet that it is none any more is turned away by the switch:
//! the epoch is the OpenFlow `generation_id`, and what each OVSDB transaction waits for. A member that has started takes
//! neither switches nor requests before it has had everything that was agreed upon once. How a node is, only its owner
//! sees; the others ask it ([`Gossip`](crate::controller::Gossip)).
//!
//! # Where things are
//!
//! | module | |
//! | --- | --- |
//! | [`member`] | a member of a cluster; start here |
//! | `serve` | what it answers when others ask |
//! | `steward` | makes the log's membership follow the members that are wanted |
//! | `gossip` | what members tell each other of their transport nodes |
//! | `mastership` | which controller writes to which transport node |
//! | `vigil` | which controllers are fit to, and since when |
//! | `reads` | asks once, for all who read, up to where entries are agreed upon |
//! | `probation` | what one that starts does before it takes part |
//! | [`join`](mod@join) | how somebody becomes a member |
//! | [`view`] | how a cluster is, as its leader sees it |
//! | [`token`] | an invitation on its way |
//! | [`types`] | what is replicated |
//! | [`log`] | the log as openraft sees it, on the [`store`](crate::store) |
//! | [`machine`] | the state that entries are applied to |
//! | [`peer`] | the way to another member |
//! | [`wire`] | what members say to each other |
//! | [`runtime`] | openraft on any runtime |

#[cfg(test)]
pub(crate) mod fixture;
mod gossip;
pub mod join;
pub mod log;
pub mod machine;
mod mastership;
pub mod member;
pub mod peer;
mod probation;
mod reads;
pub mod runtime;
mod serve;
mod steward;
pub mod token;
pub mod types;
pub mod view;
mod vigil;
pub mod wire;

pub use join::{JoinError, Welcome, join};
pub use mastership::loads;
pub use member::{Member, MemberConfig, ProposeError};
pub use peer::Own;
pub use probation::Whereabouts;
pub use token::Token;
pub use view::{ClusterView, MemberView};
