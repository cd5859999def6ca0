//! The plan of a run: how many lanes at a time, in which strategy and which chunks, and what that takes.

use super::memory::{host_bytes, most_slots, over_budget, working_set};
use super::{Limits, MetricKind, Precision, Program, RecordLayout, Request, Strategy, cpu, memory, strategy};
use crate::error::{Error, Result};

/// All that an engine needs to know of a run besides its numbers.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Plan {
    /// `cpu` or `gpu`.
    pub engine: &'static str,
    /// Execution strategy.
    pub strategy: Strategy,
    /// Why this strategy.
    pub strategy_reason: String,
    /// The request this plan answers, with the strategy chosen.
    pub request: Request,
    /// Lanes that run at the same time. A lane that ended makes room for one that waits.
    pub slots: usize,
    /// True if lanes are loaded as soon as there is room, false if only when all slots are free.
    pub refills: bool,
    /// Coefficients that a working set may have (CPU engine); 0: there are none.
    pub working_set: usize,
    /// True if predictions, and the tangents of gradients, leave out coefficients that are zero in a group of lanes (GPU engine).
    pub active_sets: bool,
    /// Iterations of a chunk at most: one submit, one upload, one readback. Lanes come and go between chunks.
    pub chunk: usize,
    /// Frames of a chunk at most.
    pub frames_per_chunk: usize,
    /// Numbers recorded per lane and iteration.
    pub record_fields: usize,
    /// Buffers for all slots, and the passes of a device.
    pub program: Program,
    /// Bytes of the buffers.
    pub device_bytes: u64,
    /// Bytes of the trace that the host collects.
    pub host_bytes: u64,
    /// Floating-point operations of the whole run, if every lane runs to the end.
    pub flops: f64,
    /// Estimated seconds of the whole run, if every lane runs to the end.
    pub seconds: f64,
}

/// Iterations that f32 can count one by one.
const MOST_COUNTED: usize = 1 << 24;

impl Plan {
    /// Plans a run.
    ///
    /// # Errors
    /// A run that does not fit the budget or the engine's buffers even lane by lane; the error has the numbers.
    pub fn new(request: Request, limits: &Limits) -> Result<Plan> {
        let layout = RecordLayout::new(request.tangents);
        let host_bytes = if request.session.is_some() { 0 } else { host_bytes(&request, layout) };
        if host_bytes > request.memory_budget {
            return Err(over_budget(
                "trace kept by the host",
                host_bytes,
                request.memory_budget,
                "Record less often (`every`), use fewer `iterations` or lanes, or raise `memory_budget`.",
            ));
        }
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
            active_sets: program.shape.active_sets,
            // A metric that changes in time is uploaded for lanes that go in step.
            refills: !matches!(request.metric, MetricKind::Table { .. }),
            program,
            request,
        })
    }

    /// True if a frame is kept at iterate `k`.
    pub fn is_frame(&self, k: usize) -> bool {
        k.is_multiple_of(self.request.every)
    }

    /// True if the stop rule is tested at iterate `k`.
    pub fn is_check(&self, k: usize) -> bool {
        k == self.request.iterations
            || (self.request.check_every > 0 && k.is_multiple_of(self.request.check_every))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::program::{Buffer, DeviceKind, MetricKind, Precision};

    pub(in crate::program) fn request() -> Request {
        let plain = Request::plain((442, 10), 100, 1, 500, Precision::F64);
        Request { every: 10, check_every: 10, memory_budget: 1 << 30, ..plain }
    }

    pub(in crate::program) fn limits() -> Limits {
        Limits {
            engine: "cpu",
            max_buffer_bytes: u64::MAX,
            max_workgroups: 65535,
            max_lanes: usize::MAX,
            flops: 1e10,
            flops_wide: 1e10,
            element: 1e-9,
            flops_persistent: 2e9,
            overhead: 1e-4,
            dispatch: 0.0,
            lane: 0.0,
            workgroup_bytes: 32 << 10,
            max_invocations: 256,
            device: DeviceKind::Discrete,
            storage_buffers: 16,
            wide: true,
            timestamps: false,
        }
    }

    #[test]
    fn a_plan_that_fits_has_slots_for_all_lanes() {
        let plan = Plan::new(request(), &limits()).unwrap();
        assert_eq!(plan.slots, 100);
        assert_eq!(plan.device_bytes, plan.program.buffers.iter().map(Buffer::bytes).sum::<u64>());
        assert!(plan.device_bytes + plan.host_bytes < 1 << 30);
        assert!(plan.is_frame(0) && plan.is_frame(20) && !plan.is_frame(21));
        assert!(plan.is_check(500) && plan.is_check(20) && !plan.is_check(21));
        assert!(plan.to_string().contains("100 lanes"));
    }

    #[test]
    fn the_strategy_is_the_fastest_of_those_that_can_run() {
        let gpu = Limits { engine: "gpu", ..limits() };
        let chosen = |r: Request, l: &Limits| Plan::new(r, l).map(|p| (p.strategy, p.strategy_reason));
        let tall = Request { rows: 5000, state_rows: 50, ..request() };
        let wide = Request { rows: 50, state_rows: 5000, lanes: 4, ..request() };
        assert_eq!(chosen(tall, &gpu).unwrap().0, Strategy::Gram);
        assert_eq!(chosen(wide, &gpu).unwrap().0, Strategy::Direct);
        // A single lane of few iterations does not pay for the matrix.
        let short = Request { state_rows: 500, lanes: 1, iterations: 10, ..tall };
        assert_eq!(chosen(short, &gpu).unwrap().0, Strategy::Direct);
        // Where dispatches are dear, fewer of them win, as long as a lane fits a workgroup.
        let dear = Limits { dispatch: 1e-3, ..gpu.clone() };
        let small = Request { state_rows: 10, ..tall };
        assert_eq!(chosen(small, &dear).unwrap().0, Strategy::Persistent);
        let (strategy, reason) = chosen(Request { state_rows: 4000, ..small }, &dear).unwrap();
        assert!(strategy != Strategy::Persistent && reason.contains("workgroup's memory"), "{reason}");
        let (strategy, reason) = chosen(Request { validation_rows: 5, ..small }, &dear).unwrap();
        assert!(strategy != Strategy::Persistent && reason.contains("held-out"), "{reason}");
        for (r, l, why) in [
            (tall, &limits(), "CPU engine"),
            (Request { quadratic: false, ..tall }, &gpu, "quadratic"),
            (Request { measures_curvature: true, ..tall }, &gpu, "curvature"),
            (Request { metric: MetricKind::Hessian { every: 1 }, ..tall }, &gpu, "metric"),
            (tall, &Limits { wide: false, ..gpu.clone() }, "f64"),
        ] {
            let (strategy, reason) = chosen(r, l).unwrap();
            assert!(strategy == Strategy::Direct && reason.contains(why), "{reason}");
            let refused = chosen(Request { strategy: Some(Strategy::Gram), ..r }, l).unwrap_err();
            assert!(refused.kind == ErrorKind::Usage && refused.to_string().contains(why), "{refused}");
        }
    }

    #[test]
    fn lanes_take_turns_when_a_buffer_is_too_small_for_all() {
        let narrow = Limits { max_buffer_bytes: 300_000, ..limits() };
        let plan = Plan::new(request(), &narrow).unwrap();
        assert!(plan.slots > 0 && plan.slots < 100);
        assert!(plan.program.buffers.iter().all(|b| b.bytes_of_one() <= narrow.max_buffer_bytes));
    }

    #[test]
    fn a_plan_over_the_budget_is_refused_with_the_numbers() {
        let e = Plan::new(Request { memory_budget: 100_000, ..request() }, &limits()).unwrap_err();
        assert_eq!(e.kind, ErrorKind::Memory);
        assert!(e.to_string().contains("at most 97.7 KiB"), "{e}");
        let huge = Request { lanes: usize::MAX / 64, iterations: 1 << 20, ..request() };
        assert_eq!(Plan::new(huge, &limits()).unwrap_err().kind, ErrorKind::Memory);
    }
}
