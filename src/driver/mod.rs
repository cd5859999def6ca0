//! The host-side scheduler: lays a sweep out into lanes, plans it, runs its batches on an engine and collects the trace,
//! at the end or as a stream.

use std::ops::ControlFlow;
use std::time::Instant;

use ndarray::{Array1, Array2};
use serde::Serialize;

use crate::engine::{Chunk, Engine, EngineInfo, Finish, Job, Lane, LaneOutcome, MetricSource, Status};
use crate::error::{Error, Result};
use crate::plan::{MetricForm, Plan, Precision, Request};
use crate::problem::{Derivative, Problem, Shape};
use crate::schedule::{Algorithm, LaneSchedule, Metric, Momentum, Schedule, ScheduleInfo, Step, TangentStart};
use crate::trace::{Recorder, Trace};

mod alphas;
mod curvature;
mod stream;

pub use alphas::Alphas;
use curvature::MetricCurvature;
pub use stream::{Event, TraceStream};

/// Default memory budget: 4 GiB, for the device's buffers and the host's trace together.
pub const DEFAULT_MEMORY_BUDGET: u64 = 4 << 30;

/// A sweep: one problem, many lanes, one schedule. Built step by step; every setting has a default.
#[derive(Debug, Clone)]
pub struct Sweep {
    problem: Problem,
    alphas: Alphas,
    l1_ratio: f64,
    schedule: Schedule,
    iterations: usize,
    tol: f64,
    check_every: usize,
    derivatives: Option<Vec<Derivative>>,
    every: Option<usize>,
    start: Option<Array2<f64>>,
    precision: Precision,
    memory_budget: u64,
}

/// What a sweep found.
#[derive(Debug, Clone)]
pub struct SweepResult {
    /// Every lane, in the order of the alphas.
    pub lanes: Vec<LaneResult>,
    /// The recorded sequence.
    pub trace: Trace,
    /// What ran and how.
    pub info: RunInfo,
}

/// The outcome of a lane.
#[derive(Debug, Clone, Serialize)]
pub struct LaneResult {
    /// Penalty strength.
    pub alpha: f64,
    /// Mix of l1 (1) and l2 (0).
    pub l1_ratio: f64,
    /// How it ended.
    pub status: Status,
    /// Iterations done.
    pub iterations: usize,
    /// Objective at the end.
    pub objective: Option<f64>,
    /// Duality gap at the end, relative to the loss of zero coefficients; absent where the dual is not available.
    pub gap: Option<f64>,
    /// Fixed-point residual of the iterate, relative.
    pub stationarity: Option<f64>,
    /// Fixed-point residual of the derivatives by hyperparameters, relative, the largest of them.
    pub derivative_residual: Option<f64>,
    /// Non-zero coefficients.
    pub support: usize,
    /// The iterate from which on the active set did not change any more; absent where it still changed at the last one.
    pub identified: Option<usize>,
    /// Mean loss over the held-out rows.
    pub validation_loss: Option<f64>,
    /// Its derivatives, in the order of [`RunInfo::derivative`].
    pub hypergradient: Option<Vec<Option<f64>>>,
    /// Lipschitz constant of the smooth part of this lane's objective.
    pub lipschitz: f64,
    /// Its strong convexity.
    pub strong_convexity: f64,
}

/// What ran and how: every report prints it.
#[derive(Debug, Clone, Serialize)]
pub struct RunInfo {
    /// The objective in words.
    pub objective: String,
    /// Sizes of the data.
    pub data_shape: Shape,
    /// Lipschitz constant of the loss's gradient, margin included.
    pub lipschitz: f64,
    /// Strong convexity of the loss.
    pub strong_convexity: f64,
    /// Relative margin in `lipschitz`.
    pub lipschitz_margin: f64,
    /// Engine, adapter, driver.
    #[serde(flatten)]
    pub engine: EngineInfo,
    /// Arithmetic.
    pub precision: Precision,
    /// Execution form.
    pub execution_form: &'static str,
    /// What varied with the iteration.
    pub schedule: ScheduleInfo,
    /// Iterations at most.
    pub iterations: usize,
    /// Tolerance.
    pub tol: f64,
    /// Names of the derivatives, in order.
    pub derivative: Vec<String>,
    /// What to be wary of: steps and momenta that the theory does not cover, phases that never ran.
    pub warnings: Vec<String>,
    /// Seconds of the run, planning and upload included.
    pub seconds: f64,
}

impl Sweep {
    /// A sweep of 100 alphas from alpha_max down to alpha_max/1000, FISTA with step `1/L`, at most 1000 iterations,
    /// tolerance 1e-6, with the derivative by `log_alpha`, in f64.
    pub fn new(problem: Problem) -> Self {
        Sweep {
            problem,
            alphas: Alphas::Path { epsilon: 1e-3, count: 100 },
            l1_ratio: 0.5,
            schedule: Schedule::default(),
            iterations: 1000,
            tol: 1e-6,
            check_every: 10,
            derivatives: None,
            every: None,
            start: None,
            precision: Precision::F64,
            memory_budget: DEFAULT_MEMORY_BUDGET,
        }
    }

    /// The candidates.
    pub fn alphas(mut self, alphas: Alphas) -> Self {
        self.alphas = alphas;
        self
    }
    /// Mix of l1 (1) and l2 (0) for `elastic_net`; the other penalties fix their own.
    pub fn l1_ratio(mut self, l1_ratio: f64) -> Self {
        self.l1_ratio = l1_ratio;
        self
    }
    /// Everything that varies with the iteration.
    pub fn schedule(mut self, schedule: impl Into<Schedule>) -> Self {
        self.schedule = schedule.into();
        self
    }
    /// The algorithm of the schedule's last (or only) phase.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.schedule.last_mut().algorithm = algorithm;
        self
    }
    /// The step rule of the schedule's last (or only) phase.
    pub fn step(mut self, step: Step) -> Self {
        self.schedule.last_mut().step = step;
        self
    }
    /// The momentum rule of the schedule's last (or only) phase; by default the algorithm's own.
    pub fn momentum(mut self, momentum: Momentum) -> Self {
        self.schedule.last_mut().momentum = Some(momentum);
        self
    }
    /// The metric of the run.
    pub fn metric(mut self, metric: Metric) -> Self {
        self.schedule.metric = metric;
        self
    }
    /// From where tangents are carried.
    pub fn tangent_start(mut self, start: TangentStart) -> Self {
        self.schedule.tangent_start = start;
        self
    }
    /// Iterations at most.
    pub fn iterations(mut self, iterations: usize) -> Self {
        self.iterations = iterations;
        self
    }
    /// Tolerance of the stop rule, on the iterate and on its derivatives; 0 for exactly the given iterations.
    pub fn tol(mut self, tol: f64) -> Self {
        self.tol = tol;
        self
    }
    /// Tests the stop rule every so many iterations (default 10); a test costs half an iteration.
    pub fn check_every(mut self, check_every: usize) -> Self {
        self.check_every = check_every;
        self
    }
    /// What to differentiate with respect to; by default `log_alpha` where the penalty has an alpha.
    pub fn derivatives(mut self, derivatives: impl IntoIterator<Item = Derivative>) -> Self {
        self.derivatives = Some(derivatives.into_iter().collect());
        self
    }
    /// Keeps a full frame every so many iterations; by default a fiftieth of them.
    pub fn every(mut self, every: usize) -> Self {
        self.every = Some(every);
        self
    }
    /// Starts from these coefficients, `[1, p]` for all lanes or `[b, p]`, in the units of the fitted design; by default
    /// zeros. An intercept column starts at zero.
    pub fn start(mut self, start: Array2<f64>) -> Self {
        self.start = Some(start);
        self
    }
    /// Arithmetic of the engine.
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }
    /// Memory budget in bytes, device and host together.
    pub fn memory_budget(mut self, bytes: u64) -> Self {
        self.memory_budget = bytes;
        self
    }

    /// The same sweep of another problem.
    pub fn on(mut self, problem: Problem) -> Self {
        self.problem = problem;
        self
    }

    /// What varies with the iteration.
    pub fn rules(&self) -> &Schedule {
        &self.schedule
    }

    /// The problem.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// Checks every setting and lays the sweep out into lanes.
    ///
    /// # Errors
    /// A setting out of range, a derivative that does not exist, a table or a start of the wrong shape.
    pub fn prepare(&self) -> Result<Prepared> {
        let problem = &self.problem;
        let penalty = problem.penalty();
        let l1_ratio = penalty.l1_ratio().unwrap_or(self.l1_ratio);
        if !(0.0..=1.0).contains(&self.l1_ratio) {
            return Err(Error::usage("--l1-ratio", self.l1_ratio.to_string(), "a number from 0 to 1", ""));
        }
        if self.iterations == 0 {
            return Err(Error::usage("--iterations", "0", "at least 1", ""));
        }
        if self.every == Some(0) {
            return Err(Error::usage("--every", "0", "at least 1", ""));
        }
        if !(self.tol >= 0.0 && self.tol.is_finite()) {
            return Err(Error::usage("--tol", self.tol.to_string(), "a finite number, zero or larger", ""));
        }
        let alphas = self.alphas.resolve(problem, l1_ratio)?;
        let lanes: Vec<Lane> = alphas.iter().map(|&alpha| Lane { alpha, l1_ratio }).collect();
        let derivatives = match &self.derivatives {
            Some(list) => list.clone(),
            None if penalty.uses_alpha() => vec![Derivative::LogAlpha],
            None => Vec::new(),
        };
        for derivative in &derivatives {
            for lane in &lanes {
                derivative.check(problem, lane.alpha)?;
            }
        }
        // Shapes first: the curvature in a metric reads its table.
        self.schedule.metric.check(self.iterations, lanes.len(), problem.features())?;
        let metric = MetricCurvature::new(problem, &self.schedule.metric);
        let (curvatures, tangents) = lanes.iter().map(|lane| metric.of(problem, lane, &derivatives)).unzip();
        let rules = self.schedule.clone();
        let schedule = LaneSchedule::new(rules, self.iterations, curvatures, tangents, &derivatives)?;
        let start = self.start.as_ref().map(|s| expand_start(s, problem, lanes.len())).transpose()?;
        Ok(Prepared { lanes, schedule, metric: metric.source, derivatives, start })
    }

    /// Plans the sweep for an engine, without running it.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare), and a sweep that does not fit the memory budget.
    pub fn plan(&self, engine: &dyn Engine) -> Result<Plan> {
        self.plan_prepared(&self.prepare()?, engine)
    }

    fn plan_prepared(&self, prepared: &Prepared, engine: &dyn Engine) -> Result<Plan> {
        let shape = self.problem.shape();
        let request = Request {
            rows: shape.rows,
            state_rows: self.problem.state_rows(),
            validation_rows: shape.validation_rows,
            lanes: prepared.lanes.len(),
            tangents: prepared.derivatives.len(),
            iterations: self.iterations,
            every: self.every.unwrap_or((self.iterations / 50).max(1)),
            check_every: if self.tol > 0.0 { self.check_every } else { 0 },
            stages: prepared.schedule.stages(),
            measures_curvature: prepared.schedule.uses_secant(),
            constants: prepared.schedule.constants().len(),
            metric: match &prepared.metric {
                MetricSource::None => MetricForm::None,
                MetricSource::Fixed(_) => MetricForm::Fixed,
                MetricSource::Table(table) if table.ndim() == 2 => MetricForm::Table { per_lane: false },
                MetricSource::Table(_) => MetricForm::Table { per_lane: true },
                MetricSource::Hessian { every, .. } => MetricForm::Hessian { every: *every },
            },
            precision: self.precision,
            memory_budget: self.memory_budget,
        };
        Plan::new(request, &engine.limits(self.precision)?)
    }

    /// Runs the sweep to its end.
    ///
    /// # Errors
    /// As [`plan`](Self::plan), and a device that failed. Divergence is a status.
    pub fn run(&self, engine: &mut dyn Engine) -> Result<SweepResult> {
        self.run_with(engine, |_| ControlFlow::Continue(()))
    }

    /// Runs the sweep and shows every chunk to `watch`; its `Break` cancels the lanes still going and keeps what is done.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_with(
        &self,
        engine: &mut dyn Engine,
        mut watch: impl FnMut(&Chunk) -> ControlFlow<()>,
    ) -> Result<SweepResult> {
        let clock = Instant::now();
        let prepared = self.prepare()?;
        let plan = self.plan_prepared(&prepared, engine)?;
        let job = prepared.job(&self.problem, self.tol);
        let mut warnings = prepared.schedule.warnings(self.iterations);
        warnings.iter().for_each(|w| log::warn!("{w}"));
        let mut recorder = Recorder::new(&self.problem, &prepared.derivatives);
        let mut outcomes: Vec<LaneOutcome> = Vec::new();
        let mut cancelled = false;
        for batch in &plan.batches {
            let finish = if cancelled {
                prepared.untouched(&self.problem, batch.clone())
            } else {
                engine.run(&plan, &job, batch.clone(), &mut |chunk| {
                    let flow = watch(&chunk);
                    cancelled |= flow.is_break();
                    recorder.chunk(chunk);
                    flow
                })?
            };
            outcomes.extend(&finish.outcomes);
            recorder.finish(batch.clone(), finish);
        }
        let trace = recorder.trace(
            prepared.lanes.iter().map(|l| l.alpha).collect(),
            prepared.lanes.iter().map(|l| l.l1_ratio).collect(),
        );
        let lanes = prepared.results(&self.problem, &outcomes, &trace);
        for warning in prepared.unreached(&outcomes) {
            log::warn!("{warning}");
            warnings.push(warning);
        }
        let spectrum = self.problem.spectrum();
        let info = RunInfo {
            objective: self.problem.objective(),
            data_shape: self.problem.shape(),
            lipschitz: spectrum.lipschitz,
            strong_convexity: spectrum.strong_convexity,
            lipschitz_margin: spectrum.margin,
            engine: engine.info(),
            precision: self.precision,
            execution_form: plan.form,
            schedule: self.schedule.info(),
            iterations: self.iterations,
            tol: self.tol,
            derivative: prepared.derivatives.iter().map(Derivative::name).collect(),
            warnings,
            seconds: clock.elapsed().as_secs_f64(),
        };
        Ok(SweepResult { lanes, trace, info })
    }
}

/// A sweep laid out into lanes.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The lanes.
    pub lanes: Vec<Lane>,
    /// Their schedule.
    pub schedule: LaneSchedule,
    /// Where their metric comes from.
    pub metric: MetricSource,
    /// The derivatives carried.
    pub derivatives: Vec<Derivative>,
    /// `[1, q]` or `[b, q]`: the start.
    pub start: Option<Array2<f64>>,
}

impl Prepared {
    /// The job of these lanes.
    pub fn job<'a>(&'a self, problem: &'a Problem, tol: f64) -> Job<'a> {
        Job {
            problem,
            lanes: &self.lanes,
            schedule: &self.schedule,
            metric: &self.metric,
            derivatives: &self.derivatives,
            start: self.start.as_ref(),
            tol,
        }
    }

    /// Derivatives by a setting of an iteration that lanes did not reach, in words.
    fn unreached(&self, outcomes: &[LaneOutcome]) -> Vec<String> {
        let of = |derivative: &Derivative| {
            let (Derivative::Step(k) | Derivative::Momentum(k)) = *derivative else { return None };
            let early = outcomes.iter().filter(|o| o.iterations <= k).count();
            (early > 0).then(|| {
                format!(
                    "derivative '{}' is zero in {early} lane(s) that ended before iteration {k}. Use --tol 0 to run every iteration.",
                    derivative.name()
                )
            })
        };
        self.derivatives.iter().filter_map(of).collect()
    }

    /// The finish of a batch that was cancelled before it began: its start.
    fn untouched(&self, problem: &Problem, batch: std::ops::Range<usize>) -> Finish {
        let shape = (batch.len(), 1 + self.derivatives.len(), problem.state_rows());
        let start = |lane: usize, j: usize| match &self.start {
            None => 0.0,
            Some(s) => s[[if s.nrows() == 1 { 0 } else { lane }, j]],
        };
        let state =
            ndarray::Array3::from_shape_fn(shape, |(i, t, j)| if t == 0 { start(batch.start + i, j) } else { 0.0 });
        let outcome = LaneOutcome {
            status: Status::Cancelled,
            iterations: 0,
            gap: None,
            stationarity: f64::NAN,
            derivative_residual: f64::NAN,
        };
        Finish { outcomes: vec![outcome; batch.len()], state }
    }

    fn results(&self, problem: &Problem, outcomes: &[LaneOutcome], trace: &Trace) -> Vec<LaneResult> {
        let finite = |v: f64| v.is_finite().then_some(v);
        let rows = self.lanes.iter().zip(outcomes).enumerate();
        rows.map(|(i, (lane, outcome))| {
            let l2 = if problem.penalty().uses_alpha() { lane.alpha * (1.0 - lane.l1_ratio) } else { 0.0 };
            let (lipschitz, strong_convexity) = problem.lipschitz(l2);
            let last = outcome.iterations.checked_sub(1);
            let at = |array: &Array2<f64>| last.and_then(|k| finite(array[[k, i]]));
            LaneResult {
                alpha: lane.alpha,
                l1_ratio: lane.l1_ratio,
                status: outcome.status,
                iterations: outcome.iterations,
                objective: at(&trace.objective),
                gap: outcome.gap.and_then(finite),
                stationarity: finite(outcome.stationarity),
                derivative_residual: finite(outcome.derivative_residual),
                support: at(&trace.support).unwrap_or(0.0) as usize,
                validation_loss: trace.validation_loss.as_ref().and_then(at),
                hypergradient: trace
                    .hypergradient
                    .as_ref()
                    .and_then(|h| last.map(|k| (0..self.derivatives.len()).map(|t| finite(h[[k, i, t]])).collect())),
                identified: trace.identified(i, outcome.iterations),
                lipschitz,
                strong_convexity,
            }
        })
        .collect()
    }
}

/// The start in state rows: an intercept column starts at zero.
fn expand_start(start: &Array2<f64>, problem: &Problem, lanes: usize) -> Result<Array2<f64>> {
    let (rows, p) = start.dim();
    if p != problem.features() || (rows != 1 && rows != lanes) {
        return Err(Error::usage(
            "--start",
            format!("an array of shape [{rows}, {p}]"),
            format!("[{}] or [{lanes}, {}]", problem.features(), problem.features()),
            "Give one row of coefficients for all lanes, or one per lane.",
        ));
    }
    if let Some(((lane, j), v)) = start.indexed_iter().find(|(_, v)| !v.is_finite()) {
        return Err(Error::usage("--start", format!("{v} in row {lane}, column {j}"), "finite numbers", ""));
    }
    let mut wide = Array2::zeros((rows, problem.state_rows()));
    for (mut to, from) in wide.rows_mut().into_iter().zip(start.rows()) {
        let from: Array1<f64> = from.to_owned();
        to.slice_axis_mut(ndarray::Axis(0), (..p).into()).assign(&from);
    }
    Ok(wide)
}
