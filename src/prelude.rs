//! The types that most programs use.

pub use ndarray::{self, Axis};

pub use crate::data::{Dataset, Validation, bundled};
#[cfg(feature = "readers")]
pub use crate::data::{Header, Missing, ReadOptions, read};
pub use crate::design::Design;
pub use crate::engine::cpu::CpuEngine;
#[cfg(feature = "gpu")]
pub use crate::engine::gpu::{GpuEngine, Pick};
pub use crate::engine::{Engine, Status};
pub use crate::error::{Error, ErrorKind, Result};
pub use crate::objective::{Derivative, Loss, Objective, Penalty};
pub use crate::program::{Keep, Precision, Strategy};
pub use crate::result::Fit;
pub use crate::schedule::{Algorithm, Metric, Momentum, Phase, Restart, Schedule, Step, TangentStart, Until};
pub use crate::solve::{Alphas, LaneResult, Sweep, SweepResult};
#[cfg(not(target_family = "wasm"))]
pub use crate::solve::{Handle, Update};
