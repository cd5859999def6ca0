//! The measured engine, with measurements specific to its kind.

use proxjet::engine::Engine;
use proxjet::engine::cpu::{CpuEngine, products_alone};
#[cfg(feature = "gpu")]
use proxjet::engine::gpu::GpuEngine;
use proxjet::error::Result;
use proxjet::objective::Objective;
use proxjet::program::Precision;
use proxjet::solve::Sweep;

use crate::report::KernelTime;

/// The measured engine.
#[derive(Debug)]
pub enum Machine {
    /// The CPU engine.
    Cpu(CpuEngine),
    /// A GPU engine.
    #[cfg(feature = "gpu")]
    Gpu(Box<GpuEngine>),
}

impl Machine {
    pub(crate) fn engine(&mut self) -> &mut dyn Engine {
        match self {
            Machine::Cpu(cpu) => cpu,
            #[cfg(feature = "gpu")]
            Machine::Gpu(gpu) => gpu.as_mut(),
        }
    }

    /// Seconds of the two plain products of a problem's design with this many columns: on the CPU engine
    /// repeated for about the given seconds, on a device the sum of two medians measured by its own clock.
    pub(crate) fn products(
        &mut self,
        problem: &Objective,
        columns: usize,
        precision: Precision,
        seconds: f64,
    ) -> Result<f64> {
        match self {
            Machine::Cpu(_) => {
                let once = products_alone(problem, columns, precision, 1);
                let count = ((seconds / once).ceil() as usize).clamp(1, 1000);
                Ok(products_alone(problem, columns, precision, count) / count as f64)
            }
            #[cfg(feature = "gpu")]
            Machine::Gpu(gpu) => {
                let times =
                    gpu.product_seconds((problem.shape().rows, problem.state_rows()), columns, precision)?;
                Ok(times.plain + times.transposed)
            }
        }
    }

    /// Times some chunks with the device's clock. `None` without such a clock.
    #[cfg_attr(not(feature = "gpu"), allow(unused_variables))]
    pub(crate) fn clocked(&mut self, sweep: &Sweep, chunks: usize) -> Result<Option<Clocked>> {
        match self {
            Machine::Cpu(_) => Ok(None),
            #[cfg(feature = "gpu")]
            Machine::Gpu(gpu) => {
                if !gpu.has_clock() {
                    return Ok(None);
                }
                let plan = sweep.plan(gpu.as_ref())?;
                // No lane may end during these chunks, including the warm-up chunk.
                let chunk = (plan.request.iterations / (chunks + 1)).clamp(1, plan.chunk);
                let sweep = sweep.clone().chunk(chunk);
                let (prepared, plan) = (sweep.prepare()?, sweep.plan(gpu.as_ref())?);
                let profile = gpu.profile(&plan, &prepared.job(sweep.problem(), 0.0), chunks)?;
                let per_iteration = |of_all: f64| of_all / profile.iterations as f64;
                let kernels = profile.kernels.iter().map(|k| KernelTime {
                    name: k.name.into(),
                    dispatches: per_iteration(k.dispatches as f64),
                    seconds: per_iteration(k.seconds),
                });
                Ok(Some(Clocked {
                    kernel_seconds: per_iteration(profile.device_seconds - profile.gap_seconds),
                    gap_seconds: per_iteration(profile.gap_seconds),
                    kernels: kernels.collect(),
                }))
            }
        }
    }
}

/// An iteration of the lanes that run at the same time, by the device's clock.
pub(crate) struct Clocked {
    pub(crate) kernel_seconds: f64,
    pub(crate) gap_seconds: f64,
    pub(crate) kernels: Vec<KernelTime>,
}
