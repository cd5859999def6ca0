//! A sweep: its settings, and the plan that follows from them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use ndarray::Array2;

use super::curvature::MetricCurvature;
use super::path::Path;
use super::prepared::expand_start;
use super::step_limit;
use super::{Alphas, OnFault, Prepared};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::lanes::{Lane, MetricSource, Start};
use crate::objective::{Derivative, Need, Objective};
use crate::program::{Keep, MetricKind, Plan, Precision, Request, Strategy};
use crate::schedule::{Algorithm, LaneSchedule, Metric, Momentum, Restart, Schedule, Step, TangentStart};

/// Default memory budget: 4 GiB, for the device's buffers and the host's trace together.
pub const DEFAULT_MEMORY_BUDGET: u64 = 4 << 30;

/// A sweep: one problem, many lanes, one schedule. Built step by step; every setting has a default.
#[derive(Debug, Clone)]
pub struct Sweep {
    pub(super) problem: Objective,
    alphas: Option<Alphas>,
    l1_ratio: f64,
    pub(super) schedule: Schedule,
    pub(super) iterations: usize,
    pub(super) tol: f64,
    check_every: usize,
    pub(super) derivatives: Option<Vec<Derivative>>,
    every: Option<usize>,
    pub(super) keep: Keep,
    pub(super) start: Option<Array2<f64>>,
    pub(super) lane_starts: Option<Vec<Start>>,
    pub(super) path: Path,
    pub(super) precision: Precision,
    strategy: Option<Strategy>,
    pub(super) memory_budget: u64,
    sparsity: Option<bool>,
    pub(super) polish: bool,
    pub(super) until_identified: bool,
    chunk: Option<usize>,
    pub(super) deadline: Option<Duration>,
    pub(super) on_fault: OnFault,
    pub(super) cancel: Vec<Arc<AtomicBool>>,
}

impl Sweep {
    /// A sweep of 100 alphas on a path ([`Alphas::Path`] with epsilon 1e-3, or 1e-4 with a ridge), the
    /// default [`Schedule`], at most 1000 iterations, tolerance 1e-6, with the derivative by `log_alpha`, in
    /// f64.
    pub fn new(problem: Objective) -> Self {
        Sweep {
            problem,
            alphas: None,
            l1_ratio: 0.5,
            schedule: Schedule::default(),
            iterations: 1000,
            tol: 1e-6,
            check_every: 10,
            derivatives: None,
            every: None,
            keep: Keep::Frames,
            start: None,
            lane_starts: None,
            path: Path::default(),
            precision: Precision::F64,
            strategy: None,
            memory_budget: DEFAULT_MEMORY_BUDGET,
            sparsity: None,
            polish: true,
            until_identified: false,
            chunk: None,
            deadline: None,
            on_fault: OnFault::default(),
            cancel: Vec::new(),
        }
    }

    /// The candidates; by default 100 on a path.
    pub fn alphas(mut self, alphas: Alphas) -> Self {
        self.alphas = Some(alphas);
        self
    }
    /// Mix of l1 (1) and l2 (0) for `elastic_net`; the other penalties fix their own.
    pub fn l1_ratio(mut self, l1_ratio: f64) -> Self {
        self.l1_ratio = l1_ratio;
        self
    }
    /// The schedule: algorithm, step and momentum of every iteration.
    pub fn schedule(mut self, schedule: impl Into<Schedule>) -> Self {
        self.schedule = schedule.into();
        self
    }
    /// The algorithm of the schedule's last (or only) phase; one without momentum has no restart.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        let phase = self.schedule.last_mut();
        phase.algorithm = algorithm;
        if algorithm != Algorithm::Fista {
            phase.restart = Restart::None;
        }
        self
    }
    /// The restart of the momentum in the schedule's last (or only) phase.
    pub fn restart(mut self, restart: Restart) -> Self {
        self.schedule.last_mut().restart = restart;
        self
    }
    /// The step rule of the schedule's last (or only) phase.
    pub fn step(mut self, step: Step) -> Self {
        self.schedule.last_mut().step = step;
        self
    }
    /// The momentum rule of the schedule's last (or only) phase, without restart; by default the algorithm's
    /// own.
    pub fn momentum(mut self, momentum: Momentum) -> Self {
        let phase = self.schedule.last_mut();
        (phase.momentum, phase.restart) = (Some(momentum), Restart::None);
        self
    }
    /// The metric of the run.
    pub fn metric(mut self, metric: Metric) -> Self {
        self.schedule.metric = metric;
        self
    }
    /// The first iteration that computes tangents.
    pub fn tangent_start(mut self, start: TangentStart) -> Self {
        self.schedule.tangent_start = start;
        self
    }
    /// Maximum number of iterations.
    pub fn iterations(mut self, iterations: usize) -> Self {
        self.iterations = iterations;
        self
    }
    /// Tolerance of the stop rule, on the iterate and on its derivatives; 0 for exactly the given iterations.
    pub fn tol(mut self, tol: f64) -> Self {
        self.tol = tol;
        self
    }
    /// Tests the stop rule every `check_every` iterations (default 10); a test costs half an iteration.
    pub fn check_every(mut self, check_every: usize) -> Self {
        self.check_every = check_every;
        self
    }
    /// The hyperparameters to differentiate with respect to; by default `log_alpha` if the penalty has an
    /// alpha.
    pub fn derivatives(mut self, derivatives: impl IntoIterator<Item = Derivative>) -> Self {
        self.derivatives = Some(derivatives.into_iter().collect());
        self
    }
    /// Records a full frame every `every` iterations; by default a fiftieth of the maximum number, or so many
    /// that frames take a quarter of the memory budget.
    pub fn every(mut self, every: usize) -> Self {
        self.every = Some(every);
        self
    }
    /// What the trace keeps; by default [`Keep::Frames`]. With [`Keep::Nothing`] it has a single entry along
    /// its first axes, the last iterates. The CPU engine does not compute what is not recorded, a GPU does
    /// not bring it back, and a lane's divergence is noticed at the next iteration that is. The final models
    /// are the same.
    pub fn keep(mut self, keep: Keep) -> Self {
        self.keep = keep;
        self
    }
    /// Starts from these coefficients, `[1, p]` for all lanes or `[b, p]`, in the units of the fitted design;
    /// by default zeros. The intercept starts at the null model, at zero
    /// if columns are not centred.
    pub fn start(mut self, start: Array2<f64>) -> Self {
        self.start = Some(start);
        self
    }
    /// How the lanes of a path start; by default all at the same start. A warm start takes fewer iterations,
    /// but fewer lanes run at the same time; [`Path::Newton`] takes none and leaves no sequence.
    pub fn path(mut self, path: Path) -> Self {
        self.path = path;
        self
    }
    /// The start of each lane, the folds of an alpha beside each other; by default the rows of
    /// [`start`](Self::start) in order. With [`Start::From`] a path is warm-started: `Start::From(i)` waits
    /// for lane `i` and starts at its last iterate.
    pub fn lane_starts(mut self, starts: impl IntoIterator<Item = Start>) -> Self {
        self.lane_starts = Some(starts.into_iter().collect());
        self
    }
    /// Arithmetic of the engine.
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }
    /// The execution strategy; by default the fastest by the plan's estimate. Strategies differ by rounding
    /// only.
    pub fn strategy(mut self, strategy: Option<Strategy>) -> Self {
        self.strategy = strategy;
        self
    }
    /// Memory budget in bytes, device and host together.
    pub fn memory_budget(mut self, bytes: u64) -> Self {
        self.memory_budget = bytes;
        self
    }

    /// True if the products skip coefficients that provably stay at zero, wherever they can; false if they
    /// never do. It changes results by rounding only. By default they do where it is usually faster.
    pub fn sparsity(mut self, sparsity: bool) -> Self {
        self.sparsity = Some(sparsity);
        self
    }
    /// True if the final models are polished: solved again in f64 by Newton's method on the active set, from
    /// the last iterate. Default true; never with `tol` 0, nor if a derivative is by a setting of the solver.
    /// The recorded sequence does not change.
    pub fn polish(mut self, polish: bool) -> Self {
        self.polish = polish;
        self
    }
    /// Maximum iterations of a chunk; by default as many as take about 50 ms.
    pub fn chunk(mut self, iterations: usize) -> Self {
        self.chunk = Some(iterations);
        self
    }
    /// Time limit of the run; lanes that are still running then end with the status `deadline`.
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.deadline = Some(limit);
        self
    }
    /// The reaction to a device failure during the run.
    pub fn on_fault(mut self, on_fault: OnFault) -> Self {
        self.on_fault = on_fault;
        self
    }

    /// Cancels the run when the flag becomes true, also while it waits for a device that does not answer.
    /// Several flags may be given.
    pub fn cancel_by(mut self, flag: Arc<AtomicBool>) -> Self {
        self.cancel.push(flag);
        self
    }

    /// The same sweep for another problem.
    pub fn on(mut self, problem: Objective) -> Self {
        self.problem = problem;
        self
    }

    /// The schedule.
    pub fn rules(&self) -> &Schedule {
        &self.schedule
    }

    /// The problem.
    pub fn problem(&self) -> &Objective {
        &self.problem
    }

    /// Checks every setting and lays the sweep out into lanes.
    ///
    /// # Errors
    /// A setting out of range, a derivative that does not exist, a step beyond the limit of the penalty, a
    /// table or a start of the wrong shape.
    pub fn prepare(&self) -> Result<Prepared> {
        self.prepare_for(None)
    }

    /// The same for a session that keeps results, or for a sweep.
    fn prepare_for(&self, session: Option<Keep>) -> Result<Prepared> {
        let problem = &self.problem;
        let penalty = problem.penalty();
        let l1_ratio = penalty.l1_ratio().unwrap_or(self.l1_ratio);
        if !(0.0..=1.0).contains(&self.l1_ratio) {
            return Err(Error::usage("l1_ratio", self.l1_ratio.to_string(), "a number from 0 to 1", ""));
        }
        if self.iterations == 0 {
            return Err(Error::usage("iterations", "0", "at least 1", ""));
        }
        if self.chunk == Some(0) {
            return Err(Error::usage("chunk", "0 iterations", "at least 1", ""));
        }
        if self.every == Some(0) {
            return Err(Error::usage("every", "0", "at least 1", ""));
        }
        if !(self.tol >= 0.0 && self.tol.is_finite()) {
            return Err(Error::usage("tol", self.tol.to_string(), "a finite number, zero or larger", ""));
        }
        self.check_range()?;
        let derivatives = self.derivatives_or_default();
        let standard = || Alphas::standard(problem);
        let alphas = self.alphas.clone().unwrap_or_else(standard).resolve(problem, l1_ratio)?;
        // Before lanes and tables are laid out.
        let sizes = (problem.shape().rows, problem.state_rows());
        let lanes = alphas.len().saturating_mul(problem.folds().max(1));
        super::alphas::check_count(lanes, "lanes")?;
        let plain = Request::plain(sizes, lanes, derivatives.len(), self.iterations, self.precision);
        Request {
            session,
            keep: self.keep,
            every: self.period(lanes, derivatives.len()),
            memory_budget: self.memory_budget,
            ..plain
        }
        .check_trace()?;
        let lanes = self.lay_out(&alphas, l1_ratio, &derivatives)?;
        let smallest = alphas.iter().copied().fold(f64::INFINITY, f64::min);
        for derivative in &derivatives {
            derivative.check(problem, smallest)?;
        }
        for phase in self.schedule.phases() {
            if phase.momentum == Some(Momentum::StronglyConvex) {
                problem
                    .require(Need::StrongConvexity)
                    .map_err(|missing| missing.at("momentum 'strongly_convex'"))?;
            }
        }
        // Check shapes first: the curvature in a metric reads its table.
        self.schedule.metric.check(self.iterations, lanes.len(), problem.features())?;
        let (schedule, metric) = self.in_metric(&lanes, &derivatives)?;
        step_limit::check(problem, &lanes, &schedule, &metric.source, self.iterations)?;
        let start = self.start.as_ref().map(|s| expand_start(s, problem, lanes.len())).transpose()?;
        Ok(Prepared { lanes, schedule, metric: metric.source, derivatives, start })
    }

    /// The schedule of the lanes in the sweep's metric.
    fn in_metric(
        &self,
        lanes: &[Lane],
        derivatives: &[Derivative],
    ) -> Result<(LaneSchedule, MetricCurvature)> {
        let with = |rule: Metric| {
            let metric = MetricCurvature::new(&self.problem, &rule, lanes);
            let (curvatures, tangents) = metric.of_lanes(&self.problem, lanes, derivatives);
            let rules = self.schedule.clone().metric(rule);
            let schedule = LaneSchedule::new(rules, self.iterations, curvatures, tangents, derivatives)?;
            Ok((schedule, metric))
        };
        match &self.schedule.metric {
            // Almost all lanes of such a path do without iterations.
            Metric::Auto if self.path != Path::Newton && self.problem.scales_differ() => {
                // Some step rules do without a metric, and some penalties limit its steps.
                let diagonal = with(Metric::Auto).ok().filter(|(schedule, metric)| {
                    step_limit::check(&self.problem, lanes, schedule, &metric.source, self.iterations).is_ok()
                });
                diagonal.map_or_else(|| with(Metric::None), Ok)
            }
            Metric::Auto => with(Metric::None),
            rule => with(rule.clone()),
        }
    }

    /// Refuses data whose squares f32 cannot hold.
    fn check_range(&self) -> Result<()> {
        let sizes = [
            ("target", self.problem.null_loss().sqrt()),
            ("design", self.problem.spectrum().lipschitz.sqrt()),
        ];
        let fits = |size: f64| size == 0.0 || (1e-15..=1e15).contains(&size);
        match sizes.into_iter().find(|(_, size)| self.precision == Precision::F32 && !fits(*size)) {
            None => Ok(()),
            Some((what, size)) => Err(Error::usage(
                "precision",
                format!("f32 for a {what} of size {size:.1e}"),
                "sizes from 1e-15 to 1e15, whose squares f32 resolves",
                "Use `precision f64`, or rescale the data.",
            )),
        }
    }

    /// Iterations between two frames: by default so many that frames take a quarter of the budget at most.
    fn period(&self, lanes: usize, tangents: usize) -> usize {
        match self.keep {
            Keep::Frames | Keep::All => self.every.unwrap_or_else(|| {
                let columns = (lanes as u64).saturating_mul(1 + tangents as u64);
                let frame = columns.saturating_mul(16 * self.problem.state_rows() as u64);
                match self.memory_budget / 4 / frame.max(1) {
                    50.. => (self.iterations / 50).max(1),
                    frames => self.iterations.div_ceil(frames.max(1) as usize),
                }
            }),
            Keep::Iterates => 1,
            // No frame before the end.
            Keep::Records | Keep::Nothing => self.iterations,
        }
    }

    /// The same sweep of a single alpha on all rows, for the model that a cross-validation chose.
    pub fn without_folds(mut self, alpha: f64) -> Self {
        self.problem = self.problem.without_folds();
        self.alphas(Alphas::List(vec![alpha]))
    }

    /// Plans the sweep for an engine, without running it.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare), and a sweep that does not fit the memory budget.
    pub fn plan(&self, engine: &dyn Engine) -> Result<Plan> {
        self.plan_prepared(&self.prepare()?, engine)
    }

    pub(super) fn plan_prepared(&self, prepared: &Prepared, engine: &dyn Engine) -> Result<Plan> {
        Plan::new(self.request(prepared), &engine.limits(self.precision)?)
    }

    /// Sizes and settings of the sweep, the input of the planner.
    pub fn request(&self, prepared: &Prepared) -> Request {
        let shape = self.problem.shape();
        Request {
            rows: shape.rows,
            state_rows: self.problem.state_rows(),
            moving_rows: prepared
                .moving_columns(&self.problem)
                .map_or(self.problem.state_rows(), |m| m.len()),
            validation_rows: shape.validation_rows,
            stored: self.problem.stored(),
            lanes: prepared.lanes.len(),
            together: self.path.together(prepared.lanes.len(), self.problem.folds().max(1)),
            session: None,
            keep: self.keep,
            tangents: prepared.derivatives.len(),
            iterations: self.iterations,
            every: self.period(prepared.lanes.len(), prepared.derivatives.len()),
            folds: self.problem.folds(),
            target_tangents: prepared.derivatives.iter().any(|d| matches!(d, Derivative::Target(_))),
            check_every: if self.tol > 0.0 { self.check_every } else { 0 },
            stages: prepared.schedule.stages(),
            strategy: self.strategy,
            quadratic: self.problem.require(Need::GramStrategy).is_ok(),
            has_dual: self.problem.require(Need::DualityGap).is_ok(),
            measures_curvature: prepared.schedule.uses_secant(),
            adaptive: prepared.schedule.schedule().is_adaptive(),
            constants: prepared.schedule.constants().len(),
            // Metrics that change are refreshed on all coefficients.
            asks_sparsity: self.sparsity == Some(true),
            sparsity: self.sparsity != Some(false)
                && self.problem.require(Need::WorkingSets).is_ok()
                && matches!(prepared.metric, MetricSource::None | MetricSource::Fixed(_)),
            phases: prepared.schedule.schedule().phases().len(),
            factored: prepared.schedule.is_factored(),
            metric: match &prepared.metric {
                MetricSource::None => MetricKind::None,
                MetricSource::Fixed(_) => MetricKind::Fixed,
                MetricSource::Table(table) if table.ndim() == 2 => MetricKind::Table { per_lane: false },
                MetricSource::Table(_) => MetricKind::Table { per_lane: true },
                MetricSource::Hessian { every, .. } => MetricKind::Hessian { every: *every },
            },
            precision: self.precision,
            chunk: self.chunk,
            memory_budget: self.memory_budget,
        }
    }

    /// A session on the device of an application, which steps it itself: see
    /// [`Session`](crate::engine::gpu::Session). All lanes run at once. The application handles deadlines,
    /// device faults and the trace.
    ///
    /// # Errors
    /// As [`plan`](Self::plan), lanes that do not fit at once, and a device that failed.
    #[cfg(feature = "gpu")]
    pub fn session(
        mut self,
        engine: &mut crate::engine::gpu::GpuEngine,
        keep: Keep,
    ) -> Result<crate::engine::gpu::Session> {
        if !keep.has_frames() {
            // Record only the last frame.
            self.every = Some(self.iterations);
        }
        let prepared = self.prepare_for(Some(keep))?;
        if let Some(i) = prepared.lanes.iter().position(|lane| lane.start.source().is_some()) {
            return Err(Error::usage(
                format!("start of lane {i}"),
                "a start from another lane",
                "a start at zero or at given coefficients",
                "A session runs all lanes at once; run a warm-started path by `run` or `submit`.",
            ));
        }
        let request = Request { session: Some(keep), ..self.request(&prepared) };
        let plan = Plan::new(request, &engine.limits(self.precision)?)?;
        prepared.schedule.warnings(self.iterations).iter().for_each(|w| log::warn!("{w}"));
        engine.session(plan, prepared.into_job(self.problem, self.tol))
    }
}
