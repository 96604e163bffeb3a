//! Runs a plan: a controller, hypervisors with guests, an underlay and clients, on a stage, judged all the while.
//!
//! | module | |
//! | --- | --- |
//! | [`controller`] | the controller's process: the code that ships |
//! | [`client`] | clients of the API, over real HTTP |

pub mod client;
pub mod controller;
