//! The GPU engine: runs the plan of [`super::cpu`] with wgpu. Only this module refers to wgpu.

use super::{Engine, EngineInfo, Run, Sealed};
use crate::error::{Error, ErrorKind, Result};
use crate::lanes::Job;
use crate::program::{Limits, Plan, Precision};

use compile::Library;
use tune::Tuner;

mod bind;
mod clock;
mod commands;
mod compile;
mod compose;
mod context;
mod data;
mod encode;
mod generate;
mod measure;
mod params;
mod prelude;
mod product;
mod profile;
mod readback;
mod run;
mod session;
mod tile_cache;
mod tiled;
mod tune;

pub use crate::program::{DeviceKind, Keep, Side, Tile, Tiles};
pub use compose::{Composed, compose};
#[cfg(not(target_family = "wasm"))]
pub use context::adapters;
pub use context::{AdapterSummary, GpuContext, Pick, no_adapter, no_real_adapter};
pub use measure::ProductTimes;
pub use profile::{KernelTime, Profile};
pub use session::{Session, StateLayout};
pub use tile_cache::{TileCache, TileKey, TunedTile};
pub use tune::Tuning;
pub use wgpu;

/// Runs plans on a wgpu device: its own, or one that a host application lends.
#[derive(Debug)]
pub struct GpuEngine {
    context: GpuContext,
    /// Kernels compiled so far, shared by runs of the same shape.
    compiled: Library,
    tuner: Tuner,
}

impl GpuEngine {
    /// An engine on a device of its own.
    ///
    /// # Errors
    /// There is no such adapter (the message has the remedy), or the adapter gives no device.
    #[cfg(not(target_family = "wasm"))]
    pub fn request(pick: Pick) -> Result<Self> {
        pollster::block_on(GpuContext::request(pick)).map(GpuEngine::new)
    }

    /// An engine on a device of its own, on the adapter at an index in [`adapters`].
    ///
    /// # Errors
    /// There is no such adapter, the engine cannot use it, or it gives no device.
    #[cfg(not(target_family = "wasm"))]
    pub fn request_at(index: usize) -> Result<Self> {
        pollster::block_on(GpuContext::request_at(index)).map(GpuEngine::new)
    }

    /// The device of the engine.
    pub fn device(&self) -> &wgpu::Device {
        &self.context.device
    }

    /// An engine on a context, which may hold a borrowed device.
    pub fn new(context: GpuContext) -> Self {
        let tuner = Tuner::new(Tuning::from_env(), TileCache::of_user());
        GpuEngine { context, compiled: Library::default(), tuner }
    }
}

impl GpuEngine {
    /// The kind of the device, as tiles distinguish them.
    fn kind(&self) -> DeviceKind {
        match self.context.info.device_type {
            wgpu::DeviceType::Cpu => DeviceKind::Software,
            wgpu::DeviceType::DiscreteGpu => DeviceKind::Discrete,
            _ => DeviceKind::Integrated,
        }
    }
}

impl Sealed for GpuEngine {}

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
        if precision == Precision::F64 && !self.context.device.features().contains(wgpu::Features::SHADER_F64)
        {
            return Err(Error::new(
                ErrorKind::Device,
                format!("adapter {}", self.context.info.name),
                "no 64-bit floats in shaders",
                "an adapter with SHADER_F64",
                "Use `precision f32`, or `CpuEngine` for f64.",
            ));
        }
        let limits = self.context.device.limits();
        let features = self.context.device.features();
        Ok(Limits {
            max_buffer_bytes: limits.max_storage_buffer_binding_size.min(limits.max_buffer_size),
            max_workgroups: u64::from(limits.max_compute_workgroups_per_dimension),
            workgroup_bytes: u64::from(limits.max_compute_workgroup_storage_size),
            max_invocations: u64::from(limits.max_compute_invocations_per_workgroup),
            storage_buffers: limits.max_storage_buffers_per_shader_stage,
            wide: features.contains(wgpu::Features::SHADER_F64),
            timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
            ..Limits::of_gpu(self.kind(), precision)
        })
    }

    fn open<'a>(&'a mut self, plan: &'a Plan, job: &'a Job<'a>) -> Result<Box<dyn Run + 'a>> {
        self.tune_for_run(plan);
        let tiles = self.tiles(plan);
        let (context, library) = (&self.context, &mut self.compiled);
        Ok(Box::new(context.guarded(|| run::GpuRun::new(context, library, plan, job, tiles))?))
    }

    /// A page cannot wait for a new device.
    #[cfg(target_family = "wasm")]
    fn recover(&mut self) -> Result<()> {
        Err(self.context.error("a device that failed"))
    }

    #[cfg(not(target_family = "wasm"))]
    fn recover(&mut self) -> Result<()> {
        self.context = pollster::block_on(self.context.renew())?;
        self.compiled = Library::default();
        Ok(())
    }
}
