//! Controllers that act as one: what one of them promises, a majority of them has on disk.
//!
//! Consensus is openraft's; here is what it stands on and what stands on it. Commands go in by [`Member::propose`], from
//! whichever member; they come out on every member in the same order, by [`Machine`](machine::Machine), into the
//! controller's state. One member alone is the same code.
//!
//! | module | |
//! | --- | --- |
//! | [`member`] | a member of a cluster; start here |
//! | `serve` | what it answers when others ask |
//! | `steward` | makes the log's membership follow the members that are wanted |
//! | `gossip` | what members tell each other of their transport nodes |
//! | `mastership` | which controller writes to which transport node |
//! | [`join`](mod@join) | how somebody becomes a member |
//! | [`view`] | how a cluster is, as its leader sees it |
//! | [`token`] | an invitation on its way |
//! | [`types`] | what is replicated |
//! | [`log`] | the log as openraft sees it, on the [`store`](crate::store) |
//! | [`machine`] | the state that entries are applied to |
//! | [`peer`] | the way to another member |
//! | [`wire`] | what members say to each other |
//! | [`runtime`] | openraft on any runtime |

mod gossip;
pub mod join;
pub mod log;
pub mod machine;
mod mastership;
pub mod member;
pub mod peer;
pub mod runtime;
mod serve;
mod steward;
pub mod token;
pub mod types;
pub mod view;
pub mod wire;

pub use join::{JoinError, Welcome, join};
pub use mastership::loads;
pub use member::{Member, MemberConfig, ProposeError};
pub use peer::Own;
pub use token::Token;
pub use view::{ClusterView, MemberView};
