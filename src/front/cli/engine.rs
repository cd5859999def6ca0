//! The choice of engine.

use clap::ValueEnum;

use crate::engine::{Engine, cpu::CpuEngine};
use crate::error::Result;
use crate::plan::Precision;

/// Which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Choice {
    /// A real GPU where there is one, else the CPU engine. A software adapter is slower than the CPU engine and is never
    /// chosen.
    Auto,
    /// The CPU engine.
    Cpu,
    /// The best adapter there is, a software one included.
    Gpu,
}

/// The engine, and the precision it runs in when none is asked for: f32 on a GPU, f64 on the CPU.
pub(super) fn open(choice: Choice, precision: Option<Precision>) -> Result<(Box<dyn Engine>, Precision)> {
    let cpu = || -> (Box<dyn Engine>, Precision) { (Box::new(CpuEngine::new()), precision.unwrap_or(Precision::F64)) };
    match choice {
        Choice::Cpu => Ok(cpu()),
        #[cfg(not(feature = "gpu"))]
        Choice::Auto => Ok(cpu()),
        #[cfg(not(feature = "gpu"))]
        Choice::Gpu => Err(crate::error::Error::usage(
            "--engine",
            "'gpu' in a build without it",
            "a build with the feature 'gpu'",
            "Build with default features, or use --engine cpu.",
        )),
        #[cfg(feature = "gpu")]
        Choice::Auto => {
            use crate::engine::gpu::{GpuEngine, Pick};
            match GpuEngine::request(Pick::Real) {
                Ok(gpu) => Ok((Box::new(gpu), precision.unwrap_or(Precision::F32))),
                Err(e) => {
                    log::info!("no real GPU, so the CPU engine runs: {e}");
                    Ok(cpu())
                }
            }
        }
        #[cfg(feature = "gpu")]
        Choice::Gpu => {
            use crate::engine::gpu::{GpuEngine, Pick};
            let gpu = GpuEngine::request(Pick::Any)?;
            Ok((Box::new(gpu), precision.unwrap_or(Precision::F32)))
        }
    }
}
