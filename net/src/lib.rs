//! How it is made true.
pub mod api;
pub mod cli;
pub mod controller;
pub mod daemon;
pub mod openflow;
pub mod ovsdb;
pub mod runtime;
pub mod southbound;
pub mod store;
pub mod tls;
