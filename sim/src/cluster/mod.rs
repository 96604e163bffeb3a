//! Clusters without switches: members that agree, clients that write and read at each of them, and everything that
//! networks, hosts, disks and clocks can do to them, all from a seed.
//!
//! | module | |
//! | --- | --- |
//! | [`plan`] | what happens, and how it is drawn from a seed |
//! | [`member`] | a member's process: the code that ships, with clients beside it |
//! | [`desk`] | how hosts become members, and who is to leave |
//! | `drives` | the disks of hosts, lost ones too |
//! | [`history`] | what clients did and were told, and whether a single controller could have told them that |
//! | [`play`](mod@play) | plays a plan, looks at members meanwhile, heals, and asks for what must hold |
//!
//! Start at [`play::in_our_world`].

pub mod desk;
mod drives;
pub mod history;
pub mod member;
pub mod plan;
pub mod play;

pub use plan::ClusterPlan;
pub use play::{ClusterReport, in_our_world};
