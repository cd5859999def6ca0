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

/// The GPU engine, where the choice falls on it.
#[cfg(feature = "gpu")]
pub(super) fn gpu(choice: Choice) -> Result<Option<crate::engine::gpu::GpuEngine>> {
    use crate::engine::gpu::{GpuEngine, Pick};
    match choice {
        Choice::Cpu => Ok(None),
        Choice::Gpu => GpuEngine::request(Pick::Any).map(Some),
        Choice::Auto => Ok(GpuEngine::request(Pick::Real)
            .inspect_err(|e| log::info!("no real GPU, so the CPU engine runs: {e}"))
            .ok()),
    }
}

/// The engine, and the precision it runs in when none is asked for: f32 on a GPU, f64 on the CPU.
pub(super) fn open(choice: Choice, precision: Option<Precision>) -> Result<(Box<dyn Engine>, Precision)> {
    open_with(choice, precision, true)
}

/// The same, with a tuner or without.
pub(super) fn open_with(
    choice: Choice,
    precision: Option<Precision>,
    tuner: bool,
) -> Result<(Box<dyn Engine>, Precision)> {
    #[cfg(not(feature = "gpu"))]
    let _ = tuner;
    #[cfg(feature = "gpu")]
    if let Some(gpu) = gpu(choice)? {
        use crate::engine::gpu::Tuning;
        let gpu = if tuner { gpu } else { gpu.tuning(Tuning::Off) };
        return Ok((Box::new(gpu), precision.unwrap_or(Precision::F32)));
    }
    #[cfg(not(feature = "gpu"))]
    if choice == Choice::Gpu {
        return Err(crate::error::Error::usage(
            "--engine",
            "'gpu' in a build without it",
            "a build with the feature 'gpu'",
            "Build with default features, or use --engine cpu.",
        ));
    }
    Ok((Box::new(CpuEngine::new()), precision.unwrap_or(Precision::F64)))
}
