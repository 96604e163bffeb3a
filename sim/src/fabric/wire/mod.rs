//! Layouts of packets, as guests, routers and hosts speak them: builders that take whatever an attacker would choose,
//! and readers that take whatever comes.
//!
//! This shares no code with the simulated switch's view of packets, nor with the product: a mistake in one of them
//! shows in the others.

pub mod checksum;
