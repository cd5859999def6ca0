//! The GPU engine: the plan of [`super::cpu`], run by wgpu. The only place that names wgpu.

use std::ops::Range;

use super::{Engine, EngineInfo, Finish, Job, Sink};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{Limits, Plan, Precision};

mod compose;
mod context;
mod kernels;
mod layout;
mod product;
mod readback;
mod resources;
mod run;

pub use compose::{Composed, ShaderSpec, compose_all};
pub use context::{AdapterSummary, GpuContext, NO_ADAPTER, NO_REAL_ADAPTER, Pick, adapters};
pub use wgpu;

/// Runs plans on a wgpu device: its own, or one that a host application lends.
#[derive(Debug)]
pub struct GpuEngine {
    context: GpuContext,
}

impl GpuEngine {
    /// An engine on a device of its own.
    ///
    /// # Errors
    /// No such adapter, with the remedy; or an adapter that gives no device.
    pub fn request(pick: Pick) -> Result<Self> {
        pollster::block_on(GpuContext::request(pick)).map(|context| GpuEngine { context })
    }

    /// An engine on a context, which may hold a borrowed device.
    pub fn new(context: GpuContext) -> Self {
        GpuEngine { context }
    }
}

impl Engine for GpuEngine {
    fn info(&self) -> EngineInfo {
        let info = &self.context.info;
        EngineInfo {
            engine: "gpu",
            adapter: info.name.clone(),
            driver: format!("{} {} ({:?})", info.driver, info.driver_info, info.backend),
            software: info.device_type == wgpu::DeviceType::Cpu,
        }
    }

    fn limits(&self, precision: Precision) -> Result<Limits> {
        if precision == Precision::F64 && !self.context.device.features().contains(wgpu::Features::SHADER_F64) {
            return Err(Error::new(
                ErrorKind::Device,
                format!("adapter {}", self.context.info.name),
                "no 64-bit floats in shaders",
                "an adapter with SHADER_F64",
                "Use --precision f32, or --engine cpu for f64.",
            ));
        }
        let limits = self.context.device.limits();
        // Estimates only, by kind of device; measured speeds differ by a factor of a few.
        let flops = match self.context.info.device_type {
            wgpu::DeviceType::Cpu => 1e10,
            wgpu::DeviceType::DiscreteGpu => 2e12,
            _ => 2e11,
        };
        Ok(Limits {
            engine: "gpu",
            max_buffer_bytes: limits.max_storage_buffer_binding_size.min(limits.max_buffer_size),
            max_workgroups: u64::from(limits.max_compute_workgroups_per_dimension),
            flops,
            overhead: 1e-4,
        })
    }

    fn run(&mut self, plan: &Plan, job: &Job<'_>, batch: Range<usize>, sink: &mut Sink<'_>) -> Result<Finish> {
        run::run(&self.context, plan, job, batch, sink)
    }
}
