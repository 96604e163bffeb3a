//! The daemon: puts a controller on a data directory, sockets and signals. Start at [`run`].

mod addresses;
mod banner;
pub mod config;
mod start;

pub use config::{Config, ConfigError, Options};
pub use start::{DaemonError, run};
