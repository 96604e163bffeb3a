//! The daemon: puts a controller on a data directory, sockets and signals. Start at [`run`]; [`enrol`] makes a directory a
//! controller's; [`serving`] is the part of
//! it that runs on any runtime.

mod addresses;
pub mod backup;
mod banner;
pub mod config;
pub mod enrol;
pub mod serving;
mod start;

pub use config::{Config, ConfigError, Options};
pub use start::{DaemonError, run};
