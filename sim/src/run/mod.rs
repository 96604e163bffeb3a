//! Runs a plan: a controller, hypervisors with guests, an underlay and clients, on a stage, judged all the while.
//!
//! | module | |
//! | --- | --- |
//! | [`controller`] | the controller's process: the code that ships |
//! | [`client`] | clients of the API, over real HTTP |
//! | [`intent`] | what they asked for and were told, and so what may be there |
//! | [`judge`] | follows every frame, and judges each delivery |
//! | [`lines`] | flow tables of both models in one spelling |

pub mod client;
pub mod controller;
pub mod intent;
pub mod judge;
pub mod lines;
#[cfg(test)]
mod tests;
