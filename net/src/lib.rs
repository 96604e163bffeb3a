//! How it is made true.
pub mod controller;
pub mod ovsdb;
pub mod runtime;
pub mod store;
pub mod tls;
