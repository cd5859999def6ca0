//! The plan of a run: slots, strategy, chunks, and their cost.

use super::memory::{host_bytes, most_slots, over_budget, working_set, working_set_gram};
use super::request::MOST_UNRECORDED;
use super::{
    Keep, Limits, MetricKind, Precision, Program, RecordLayout, Request, Strategy, cpu, memory, strategy,
};
use crate::error::{Error, Result};

/// All properties of a run that an engine needs, except its data.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Plan {
    /// `cpu` or `gpu`.
    pub engine: &'static str,
    /// Execution strategy.
    pub strategy: Strategy,
    /// The reason for this strategy.
    pub strategy_reason: String,
    /// The request this plan answers, with the strategy chosen.
    pub request: Request,
    /// Lanes that run at the same time. When a lane has ended, a waiting lane takes its slot.
    pub slots: usize,
    /// True if lanes are loaded as soon as a slot is free, false if only when all slots are free.
    pub refills: bool,
    /// Most coefficients of a working set (CPU engine); 0: no working sets.
    pub working_set: usize,
    /// Most coefficients of its Gram matrix (CPU engine); 0: it has none.
    pub working_set_gram: usize,
    /// True if predictions, and the tangents of gradients, leave out coefficients that are zero in a group
    /// of lanes (GPU engine).
    pub active_sets: bool,
    /// Most iterations of a chunk: one submit, one upload, one readback. Lanes are loaded and
    /// evicted between chunks.
    pub chunk: usize,
    /// Most frames of a chunk.
    pub frames_per_chunk: usize,
    /// Numbers recorded per lane and iteration.
    pub record_fields: usize,
    /// Buffers for all slots, and the passes of a device.
    pub program: Program,
    /// Bytes of the buffers.
    pub device_bytes: u64,
    /// Bytes of the trace that the host collects.
    pub host_bytes: u64,
    /// Floating-point operations of the whole run, if every lane does all iterations.
    pub flops: f64,
    /// Estimated seconds of the whole run, if every lane does all iterations.
    pub seconds: f64,
}

/// More bytes than any device has.
const MOST_BYTES: u64 = 1 << 50;

/// Largest count of iterations that f32 represents exactly.
const MOST_COUNTED: usize = 1 << 24;

impl Request {
    /// Checks that no size is zero, and that the design and a single lane do not exceed the budget by far.
    fn check_sizes(&self) -> Result<()> {
        let sizes = [
            ("rows", self.rows),
            ("state rows", self.state_rows),
            ("lanes", self.lanes),
            ("iterations", self.iterations),
            ("every", self.every),
            ("stages", self.stages),
            ("phases", self.phases),
        ];
        if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(Error::usage(*name, "0", "at least 1", ""));
        }
        let wide = |size: usize| size as u128;
        let lane = (wide(self.rows) + wide(self.state_rows)).saturating_mul(1 + wide(self.tangents));
        let design = wide(self.entries()[0]);
        let bytes = design.saturating_add(lane).saturating_mul(self.precision.bytes().into());
        // Sizes that fit can be multiplied by each other in 64 bits.
        if bytes <= self.memory_budget.min(MOST_BYTES).into() {
            return Ok(());
        }
        let (what, remedy) =
            ("design and a single lane", "Raise `memory_budget`, or use fewer rows or features.");
        Err(over_budget(what, u64::try_from(bytes).unwrap_or(u64::MAX), self.memory_budget, remedy))
    }

    /// The bytes of the trace that the host keeps, if they fit the budget.
    pub(crate) fn check_trace(&self) -> Result<u64> {
        if self.session.is_some() {
            return Ok(0);
        }
        let bytes = host_bytes(self, RecordLayout::new(self.tangents));
        if bytes <= self.memory_budget {
            return Ok(bytes);
        }
        Err(over_budget(
            "trace kept by the host",
            bytes,
            self.memory_budget,
            "Record less often (`every`), use fewer `iterations` or lanes, or raise `memory_budget`.",
        ))
    }
}

impl Plan {
    /// Plans a run.
    ///
    /// # Errors
    /// A size of zero, or a run that does not fit the budget or the engine's buffers even lane by lane; the
    /// message has the numbers.
    pub fn new(request: Request, limits: &Limits) -> Result<Plan> {
        request.check_sizes()?;
        let layout = RecordLayout::new(request.tangents);
        let host_bytes = request.check_trace()?;
        if limits.engine == "gpu" && request.precision == Precision::F32 && request.iterations > MOST_COUNTED
        {
            return Err(Error::usage(
                "iterations",
                request.iterations.to_string(),
                format!("at most {MOST_COUNTED}, which a GPU can count in f32"),
                "Use `precision f64`, or `CpuEngine`.",
            ));
        }
        let budget = request.memory_budget - host_bytes;
        let (strategy, strategy_reason) = strategy::choose(&request, limits)?;
        let request = Request { strategy: Some(strategy), ..request };
        let slots = most_slots(&request, limits, budget)?;
        let (chunk, frames_per_chunk) = memory::chunk(&request, limits, slots);
        let program = Program::new(&request, limits, slots, (chunk, frames_per_chunk));
        let rounds = request.lanes as f64 / slots as f64;
        let iterations = request.iterations as f64;
        let of_iteration = match limits.engine {
            "cpu" => cpu::flops(&request, slots),
            _ => program.flops(),
        };
        let seconds = strategy.iteration(&request, limits, request.lanes) + limits.overhead * rounds.ceil();
        Ok(Plan {
            engine: limits.engine,
            strategy,
            strategy_reason,
            chunk,
            frames_per_chunk,
            record_fields: layout.fields(),
            device_bytes: program.bytes(),
            host_bytes,
            flops: of_iteration * rounds * iterations,
            seconds: seconds * iterations + strategy.once(&request, limits),
            slots,
            working_set: working_set(&request, limits, slots),
            working_set_gram: working_set_gram(&request, limits, slots),
            active_sets: program.shape.active_sets,
            // A metric that changes over time is uploaded for lanes that are all at the same iteration.
            refills: !matches!(request.metric, MetricKind::Table { .. }),
            program,
            request,
        })
    }

    /// True if a frame is kept at iterate `k`.
    pub fn is_frame(&self, k: usize) -> bool {
        k.is_multiple_of(self.request.every)
    }

    /// True if iterate `k` is recorded, and the lane's status decided by its record.
    pub fn is_recorded(&self, k: usize) -> bool {
        k.is_multiple_of(self.request.record_period()) || self.is_frame(k) || self.is_check(k)
    }

    /// True if all numbers of iterate `k`'s record are measured, if it has one.
    pub(crate) fn is_measured(&self, k: usize) -> bool {
        self.request.kept() != Keep::Iterates || k.is_multiple_of(MOST_UNRECORDED) || self.is_check(k)
    }

    /// Iterations of which one is measured.
    pub(crate) fn measured_period(&self) -> usize {
        let r = &self.request;
        match r.kept() {
            Keep::Iterates => MOST_UNRECORDED,
            _ => r.record_period().min(r.every),
        }
        .min(r.check_period())
    }

    /// The iterates that are recorded, ascending.
    pub fn recorded(&self) -> Vec<usize> {
        let last = self.request.iterations;
        let of = |period: usize| (period..=last).step_by(period.max(1)).filter(move |_| period > 0);
        let r = &self.request;
        let mut all: Vec<usize> =
            [r.record_period(), r.every, r.check_every].into_iter().flat_map(of).chain([last]).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// True if the stop rule is tested at iterate `k`.
    pub fn is_check(&self, k: usize) -> bool {
        k == self.request.iterations
            || (self.request.check_every > 0 && k.is_multiple_of(self.request.check_every))
    }
}
