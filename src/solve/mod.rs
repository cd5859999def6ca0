//! The host-side scheduler: expands a sweep into lanes, plans it, runs the lanes on engines and returns the
//! trace, at the end or as a stream.

mod access;
mod alphas;
mod chunk_sizer;
mod curvature;
mod follow;
#[cfg(not(target_family = "wasm"))]
mod handle;
mod judge;
mod path;
mod prepared;
mod queue;
mod result;
mod run;
mod scheduler;
mod segment;
mod step_limit;
mod sweep;
mod timing;
mod worker;

pub use alphas::Alphas;
#[cfg(not(target_family = "wasm"))]
pub use handle::{Finish, Handle, Update};
pub use path::Path;
pub use prepared::Prepared;
pub use result::{CrossValidated, LaneResult, RunInfo, SweepResult};
pub use scheduler::{OnFault, Progress};
pub use sweep::{DEFAULT_MEMORY_BUDGET, Sweep};
pub use timing::IterationTime;
