//! OVSDB against the outside: what real switches said, what hostile ones might, and a real `ovsdb-server`.

#![allow(clippy::disallowed_methods, reason = "real switches live in real time")]

mod harness;
mod hostile;
mod server;
mod transcript;
