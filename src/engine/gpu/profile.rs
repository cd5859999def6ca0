//! Profile of an iteration: every dispatch timed by the device.

use std::collections::BTreeMap;

use serde::Serialize;

use super::GpuEngine;
use super::clock::Clock;
use super::run::GpuRun;
use crate::engine::Run;
use crate::error::{Error, ErrorKind, Result};
use crate::lanes::Job;
use crate::program::Plan;

/// Times of a run's kernels.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Profile {
    /// Iterations timed.
    pub iterations: usize,
    /// Seconds from the first dispatch's begin to the last one's end, without readback.
    pub device_seconds: f64,
    /// Seconds of that in which no kernel ran.
    pub gap_seconds: f64,
    /// Kernels by name.
    pub kernels: Vec<KernelTime>,
}

/// Times of a kernel.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KernelTime {
    /// Name, as in `shaders/kernel`.
    pub name: &'static str,
    /// Dispatches timed.
    pub dispatches: usize,
    /// Seconds of all of them.
    pub seconds: f64,
}

impl GpuEngine {
    /// True if its device can time dispatches.
    pub fn has_clock(&self) -> bool {
        self.context.device.features().contains(wgpu::Features::TIMESTAMP_QUERY)
    }

    /// Runs some chunks with all slots taken and times every dispatch. The first chunk warms
    /// up and is not counted.
    ///
    /// # Errors
    /// The adapter has no timestamps, or the device failed.
    pub fn profile(&mut self, plan: &Plan, job: &Job<'_>, chunks: usize) -> Result<Profile> {
        let tiles = self.tiles(plan);
        let mut run = GpuRun::new(&self.context, &mut self.compiled, plan, job, tiles)?;
        let clock = Clock::of_dispatches(&self.context);
        run.clock = Some(clock.ok_or_else(|| {
            let at = format!("adapter {}", self.context.info.name);
            Error::new(ErrorKind::Device, at, "no timestamps", "TIMESTAMP_QUERY", "Time whole runs instead.")
        })?);
        run.load(&(0..plan.slots).map(|lane| job.begin(lane, None)).collect::<Vec<_>>())?;
        let (mut iterations, mut device_seconds, mut busy) = (0, 0.0, 0.0);
        let mut kernels: BTreeMap<&'static str, (usize, f64)> = BTreeMap::new();
        for chunk in 0..=chunks {
            let done = run.submit(plan.chunk)?;
            let times = run.clock.as_mut().map_or(Ok(Vec::new()), |clock| clock.read(&self.context))?;
            run.collect()?;
            let (Some(first), Some(last)) = (times.first(), times.last()) else { continue };
            if chunk == 0 {
                continue;
            }
            iterations += done;
            device_seconds += last.2 - first.1;
            for (name, begin, end) in times {
                let entry = kernels.entry(name).or_default();
                entry.0 += 1;
                entry.1 += end - begin;
                busy += end - begin;
            }
        }
        let kernels =
            kernels.into_iter().map(|(name, (dispatches, seconds))| KernelTime { name, dispatches, seconds });
        Ok(Profile {
            iterations,
            device_seconds,
            gap_seconds: device_seconds - busy,
            kernels: kernels.collect(),
        })
    }
}
