//! The host-side scheduler: lays a sweep out into lanes, plans it, runs them on engines and collects the trace, at the end or as
//! a stream.

mod alphas;
mod curvature;
mod prepared;
mod result;
mod scheduler;
mod stream;
mod sweep;
mod timing;

pub use alphas::Alphas;
pub use prepared::Prepared;
pub use result::{LaneResult, RunInfo, SweepResult};
pub use scheduler::{OnFault, Progress};
pub use stream::{Event, TraceStream};
pub use sweep::{DEFAULT_MEMORY_BUDGET, Sweep};
pub use timing::IterationTime;
