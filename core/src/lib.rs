//! What should be true.
pub mod addr;
pub mod compile;
pub mod flow;
pub mod ids;
pub mod nib;
pub mod pipeline;
pub mod reconcile;
