//! The worlds in which the product is tried: a testbed of real Open vSwitch on one Linux machine, and simulated ones.
//!
//! | module | |
//! | --- | --- |
//! | [`fabric`] | the physical network |
//! | [`stage`] | what a simulated world can be told to do |
//! | [`switch`] | Open vSwitch as a machine of bytes, packets and time |
//! | [`testbed`] | real Open vSwitch in network namespaces |

pub mod fabric;
pub mod stage;
pub mod switch;
pub mod testbed;
