//! OVSDB against the outside: what real switches said, what hostile ones might, and a real `ovsdb-server`.

mod harness;
mod hostile;
mod server;
mod transcript;
