//! What should be true.
pub mod addr;
pub mod flow;
pub mod ids;
pub mod nib;
pub mod pipeline;
