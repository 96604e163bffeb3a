//! What small networks come to: their flow tables, and what becomes of packets in them.

mod flow_tables;
mod network;
mod traces;
