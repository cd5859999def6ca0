//! The GPU engine: the plan of [`super::cpu`], run by wgpu. The only place that names wgpu.

use super::{Engine, EngineInfo, Run};
use crate::error::{Error, ErrorKind, Result};
use crate::lanes::Job;
use crate::program::{Limits, Plan, Precision};

use kernels::Library;
pub use product::{DeviceKind, Side, Tile, Tiles};
use tuner::Tuner;

mod commands;
mod compose;
mod context;
mod kernels;
mod layout;
mod measure;
mod product;
mod profile;
mod readback;
mod resources;
mod run;
mod session;
mod spec;
mod tile_cache;
mod tuner;

pub use compose::{Composed, compose_all};
pub use context::{AdapterSummary, GpuContext, NO_ADAPTER, NO_REAL_ADAPTER, Pick, adapters};
pub use measure::ProductTimes;
pub use profile::{KernelTime, Profile};
pub use session::{Keep, Session, StateLayout};
pub use spec::ShaderSpec;
pub use tile_cache::{TileCache, TileKey, TunedTile};
pub use tuner::Tuning;
pub use wgpu;

/// Runs plans on a wgpu device: its own, or one that a host application lends.
#[derive(Debug)]
pub struct GpuEngine {
    context: GpuContext,
    /// Kernels compiled so far: runs of the same shape share them.
    compiled: Library,
    tuner: Tuner,
}

impl GpuEngine {
    /// An engine on a device of its own.
    ///
    /// # Errors
    /// No such adapter, with the remedy; or an adapter that gives no device.
    pub fn request(pick: Pick) -> Result<Self> {
        pollster::block_on(GpuContext::request(pick)).map(GpuEngine::new)
    }

    /// An engine on a device of its own, on the adapter at a place among [`adapters`].
    ///
    /// # Errors
    /// No such adapter, one that the engine cannot use, or one that gives no device.
    pub fn request_at(index: usize) -> Result<Self> {
        pollster::block_on(GpuContext::request_at(index)).map(GpuEngine::new)
    }

    /// The device it runs on.
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
    /// Its kind, as far as tiles go.
    fn kind(&self) -> DeviceKind {
        match self.context.info.device_type {
            wgpu::DeviceType::Cpu => DeviceKind::Software,
            wgpu::DeviceType::DiscreteGpu => DeviceKind::Discrete,
            _ => DeviceKind::Integrated,
        }
    }

    /// Tiles that do well on devices of this kind, and fit this one.
    fn usual(&self, design: (usize, usize), width: usize, lanes: usize, precision: Precision) -> Tiles {
        let Tiles { stored, fused } = Tiles::usual(self.kind(), design, width, lanes);
        let memory = self.context.device.limits().max_compute_workgroup_storage_size;
        let fitting = |tile: Tile, width| tile.within(u64::from(memory), width, precision);
        Tiles { stored: stored.map(|t| fitting(t, 1)), fused: fused.map(|t| fitting(t, width)) }
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
        // Estimates only, by kind of device: operations a second of products, of sums in f64, of products within workgroups, then
        // seconds of an entry of what is between products, of a dispatch, and of a lane's decisions. Those of the software driver are
        // measured on two cores (docs/gpu.md).
        let (single, wide, persistent, element, dispatch, lane) = match self.context.info.device_type {
            wgpu::DeviceType::Cpu => (2.5e10, 1.2e10, 7e9, 5e-9, 6e-5, 3e-7),
            wgpu::DeviceType::DiscreteGpu => (1e13, 5e11, 4e12, 1e-11, 5e-6, 1e-9),
            _ => (2e11, 1e10, 1e11, 2e-10, 1e-5, 1e-8),
        };
        let f64s = precision == Precision::F64;
        let (flops, flops_persistent) =
            if f64s { (wide, persistent * wide / single) } else { (single, persistent) };
        Ok(Limits {
            engine: "gpu",
            max_buffer_bytes: limits.max_storage_buffer_binding_size.min(limits.max_buffer_size),
            max_workgroups: u64::from(limits.max_compute_workgroups_per_dimension),
            max_lanes: usize::MAX,
            flops,
            flops_wide: wide / 3.0,
            flops_persistent,
            element,
            dispatch,
            lane,
            workgroup_bytes: u64::from(limits.max_compute_workgroup_storage_size),
            max_invocations: u64::from(limits.max_compute_invocations_per_workgroup),
            parallel: self.context.info.device_type != wgpu::DeviceType::Cpu,
            storage_buffers: limits.max_storage_buffers_per_shader_stage,
            overhead: 2e-5,
            wide: self.context.device.features().contains(wgpu::Features::SHADER_F64),
        })
    }

    fn open<'a>(&'a mut self, plan: &'a Plan, job: &'a Job<'a>) -> Result<Box<dyn Run + 'a>> {
        self.tune_for_run(plan);
        let tiles = self.tiles(plan);
        let (context, library) = (&self.context, &mut self.compiled);
        Ok(Box::new(context.guarded(|| run::GpuRun::new(context, library, plan, job, tiles))?))
    }

    fn recover(&mut self) -> Result<()> {
        self.context = pollster::block_on(self.context.renew())?;
        self.compiled = Library::default();
        Ok(())
    }
}
