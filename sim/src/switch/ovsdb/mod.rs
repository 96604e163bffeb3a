//! A simulated ovsdb-server: RFC 7047 with the extensions of ovsdb-server(7), as a machine of bytes.
//!
//! Its code shares nothing with the controller's client: two readings of one specification, so that a mistake in either
//! shows. Values are JSON from the wire to the [`value`] of a column's type, and back.
//!
//! | module | |
//! | --- | --- |
//! | [`schema`] | tables, columns and their types: the real Open_vSwitch schema |
//! | [`value`] | what a column holds |
//! | [`database`] | rows, transactions, references |
//! | `execute` | the operations of a transaction |
//! | `condition` | which rows are meant |
//! | `mutation` | changes of columns in place |
//! | `monitor` | who is told of what |
//! | [`server`] | connections: framing, methods, answers |
//!
//! Not here: locks between clients, clustering, the history by which `monitor_cond_since` could resume. Start at
//! [`server::Server`].

mod condition;
pub mod database;
mod execute;
mod monitor;
mod mutation;
pub mod schema;
pub mod server;
#[cfg(test)]
mod tests;
pub mod value;
