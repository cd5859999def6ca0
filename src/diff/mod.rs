//! Checks of derivatives, their limits, and their rates of convergence.

mod analysis;
mod check;
pub mod late_start;
pub mod rates;

pub use crate::certificate::implicit;
pub use analysis::{LaneAnalysis, LateStart, analyse, resolve_manifold, solutions};
pub use check::{CheckRow, check};
