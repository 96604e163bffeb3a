//! The worlds in which the product is tried: a testbed of real Open vSwitch on one Linux machine, and simulated ones.
//!
//! | module | |
//! | --- | --- |
//! | [`cluster`] | clusters of controllers, without switches |
//! | [`disk`] | disks that lose, tear and fail |
//! | [`guest`] | hosts behind interfaces, honest and not |
//! | [`logical`] | the oracle: the logical network as it is specified |
//! | [`oracles`] | what must always hold |
//! | [`plan`] | what happens in a simulated world, and how it is drawn from a seed |
//! | [`run`] | runs a plan |
//! | [`fabric`] | the physical network |
//! | [`stage`] | what a simulated world can be told to do |
//! | [`switch`] | Open vSwitch as a machine of bytes, packets and time |
//! | [`window`] | what the harness sees of a controller |
//! | [`world`] | our world: one thread, its own time, everything from a seed |
//! | [`testbed`] | real Open vSwitch in network namespaces |

pub mod cluster;
pub mod disk;
pub mod fabric;
pub mod guest;
pub mod logical;
pub mod oracles;
pub mod plan;
pub mod run;
pub mod stage;
pub mod switch;
pub mod testbed;
pub mod window;
pub mod world;
