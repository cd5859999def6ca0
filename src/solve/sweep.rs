//! A sweep: from settings to results.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use ndarray::Array2;

use super::curvature::MetricCurvature;
use super::prepared::expand_start;
use super::scheduler::{Event, Orders};
use super::{Alphas, OnFault, Prepared, Progress, RunInfo, SweepResult};
use crate::engine::{Chunk, Engine, EngineInfo, LaneOutcome, Slot};
use crate::error::{Error, Result};
use crate::lanes::{Lane, MetricSource};
use crate::objective::{Derivative, Loss, Objective};
use crate::program::{MetricKind, Plan, Precision, Request, Strategy};
use crate::result::{Columns, Recorder};
use crate::schedule::{Algorithm, LaneSchedule, Metric, Momentum, Schedule, Step, TangentStart};

/// Default memory budget: 4 GiB, for the device's buffers and the host's trace together.
pub const DEFAULT_MEMORY_BUDGET: u64 = 4 << 30;

/// A sweep: one problem, many lanes, one schedule. Built step by step; every setting has a default.
#[derive(Debug, Clone)]
pub struct Sweep {
    problem: Objective,
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
    strategy: Option<Strategy>,
    memory_budget: u64,
    sparsity: bool,
    chunk: Option<usize>,
    deadline: Option<Duration>,
    on_fault: OnFault,
}

impl Sweep {
    /// A sweep of 100 alphas from alpha_max down to alpha_max/1000, FISTA with step `1/L`, at most 1000 iterations,
    /// tolerance 1e-6, with the derivative by `log_alpha`, in f64.
    pub fn new(problem: Objective) -> Self {
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
            strategy: None,
            memory_budget: DEFAULT_MEMORY_BUDGET,
            sparsity: true,
            chunk: None,
            deadline: None,
            on_fault: OnFault::default(),
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
    /// The execution strategy, instead of the one that the plan finds fastest. Sequences differ by rounding only.
    pub fn strategy(mut self, strategy: Option<Strategy>) -> Self {
        self.strategy = strategy;
        self
    }
    /// Memory budget in bytes, device and host together.
    pub fn memory_budget(mut self, bytes: u64) -> Self {
        self.memory_budget = bytes;
        self
    }

    /// Whether coefficients that provably rest at zero may be left out of the products, which changes no sequence beyond rounding;
    /// by default they are, where that pays.
    pub fn sparsity(mut self, sparsity: bool) -> Self {
        self.sparsity = sparsity;
        self
    }
    /// Iterations of a chunk at most; by default as many as take about 50 ms.
    pub fn chunk(mut self, iterations: usize) -> Self {
        self.chunk = Some(iterations);
        self
    }
    /// Time that the run may take; lanes that are still going then end with the status `deadline`.
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.deadline = Some(limit);
        self
    }
    /// What to do when a device fails in the middle of the run.
    pub fn on_fault(mut self, on_fault: OnFault) -> Self {
        self.on_fault = on_fault;
        self
    }

    /// The same sweep of another problem.
    pub fn on(mut self, problem: Objective) -> Self {
        self.problem = problem;
        self
    }

    /// What varies with the iteration.
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
    /// A setting out of range, a derivative that does not exist, a table or a start of the wrong shape.
    pub fn prepare(&self) -> Result<Prepared> {
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
        let (curvatures, tangents) = metric.of_lanes(problem, &lanes, &derivatives);
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

    pub(super) fn plan_prepared(&self, prepared: &Prepared, engine: &dyn Engine) -> Result<Plan> {
        self.plan_for(prepared, engine, false)
    }

    fn plan_for(&self, prepared: &Prepared, engine: &dyn Engine, together: bool) -> Result<Plan> {
        let shape = self.problem.shape();
        let request = Request {
            rows: shape.rows,
            state_rows: self.problem.state_rows(),
            validation_rows: shape.validation_rows,
            lanes: prepared.lanes.len(),
            together,
            tangents: prepared.derivatives.len(),
            iterations: self.iterations,
            every: self.every.unwrap_or((self.iterations / 50).max(1)),
            check_every: if self.tol > 0.0 { self.check_every } else { 0 },
            stages: prepared.schedule.stages(),
            strategy: self.strategy,
            quadratic: self.problem.loss() == Loss::squared(),
            measures_curvature: prepared.schedule.uses_secant(),
            constants: prepared.schedule.constants().len(),
            // Metrics that change are refreshed on all coefficients.
            sparsity: self.sparsity
                && self.problem.penalty().rests_at_zero()
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
        };
        Plan::new(request, &engine.limits(self.precision)?)
    }

    /// The sweep on the device of an application, as a value that the application steps: see [`Session`](crate::engine::gpu::Session).
    /// All lanes run at once. A deadline, a fault's remedy and the trace are the application's own business.
    ///
    /// # Errors
    /// As [`plan`](Self::plan), lanes that do not fit at once, and a device that failed.
    #[cfg(feature = "gpu")]
    pub fn session(
        mut self,
        engine: &mut crate::engine::gpu::GpuEngine,
        keep: crate::engine::gpu::Keep,
    ) -> Result<crate::engine::gpu::Session> {
        if keep != crate::engine::gpu::Keep::Frames {
            // No frame but the last.
            self.every = Some(self.iterations);
        }
        let prepared = self.prepare()?;
        let plan = self.plan_for(&prepared, engine, true)?;
        prepared.schedule.warnings(self.iterations).iter().for_each(|w| log::warn!("{w}"));
        engine.session(plan, prepared.into_job(self.problem, self.tol), keep)
    }

    /// Runs the sweep to its end.
    ///
    /// # Errors
    /// As [`plan`](Self::plan), and a device that failed for good. Divergence is a status.
    pub fn run(&self, engine: &mut dyn Engine) -> Result<SweepResult> {
        self.run_with(engine, |_, _| ControlFlow::Continue(()))
    }

    /// Runs the sweep and shows every chunk to `watch`; its `Break` cancels the lanes still going and keeps what is done.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_with(
        &self,
        engine: &mut dyn Engine,
        watch: impl FnMut(&Chunk, &Progress) -> ControlFlow<()>,
    ) -> Result<SweepResult> {
        self.run_on(&mut [engine], watch)
    }

    /// Runs the sweep on several engines at once, which take lanes from one queue.
    ///
    /// # Errors
    /// As [`run`](Self::run), and no engine.
    pub fn run_on(
        &self,
        engines: &mut [&mut dyn Engine],
        mut watch: impl FnMut(&Chunk, &Progress) -> ControlFlow<()>,
    ) -> Result<SweepResult> {
        let clock = Instant::now();
        let prepared = self.prepare()?;
        let plans =
            engines.iter().map(|e| self.plan_prepared(&prepared, *e)).collect::<Result<Vec<Plan>>>()?;
        let Some(first) = plans.first().cloned() else {
            return Err(Error::usage("engines", "none", "at least one", ""));
        };
        let infos: Vec<EngineInfo> = engines.iter().map(|e| e.info()).collect();
        let job = prepared.job(&self.problem, self.tol);
        let mut warnings = prepared.schedule.warnings(self.iterations);
        warnings.iter().for_each(|w| log::warn!("{w}"));

        let alphas = prepared.lanes.iter().map(|l| l.alpha).collect();
        let l1_ratios = prepared.lanes.iter().map(|l| l.l1_ratio).collect();
        let mut recorder = Recorder::new(&self.problem, &prepared.derivatives, &first, alphas, l1_ratios);
        let mut outcomes = vec![LaneOutcome::open(0); prepared.lanes.len()];
        let mut progress = Progress { lanes: prepared.lanes.len(), ..Progress::default() };
        let mut faults = Vec::new();
        let mut skipped = 0.0;
        let mut on_event = |event| match event {
            Event::Begin(state) => {
                recorder.begin(&state);
                progress.running += 1;
                ControlFlow::Continue(())
            }
            Event::Chunk(chunk) => {
                recorder.chunk(&chunk);
                skipped += chunk.skipped;
                progress.iterations += chunk.slots.iter().map(Slot::iterations).sum::<usize>();
                watch(&chunk, &progress)
            }
            Event::Finish(state, outcome) => {
                outcomes[state.lane] = outcome;
                recorder.finish(&state);
                progress.running -= 1;
                progress.finished += 1;
                progress.skipped += self.iterations - outcome.iterations;
                ControlFlow::Continue(())
            }
            Event::Fault(words) => {
                log::warn!("{words}");
                faults.push(words);
                ControlFlow::Continue(())
            }
        };
        let deadline = self.deadline.map(|limit| clock + limit);
        // An engine that takes over takes the strategy that suits it.
        let free = self.clone().strategy(None);
        let replan = |engine: &dyn Engine| free.plan_prepared(&prepared, engine);
        let orders = Orders::new(&job, deadline, self.on_fault, &replan);
        let mut pairs: Vec<(&mut dyn Engine, Plan)> =
            engines.iter_mut().map(|e| &mut **e as _).zip(plans).collect();
        orders.run(&mut pairs, &mut on_event)?;

        let trace = recorder.trace();
        let lanes = prepared.results(&self.problem, &outcomes, &trace);
        for warning in prepared.unreached(&outcomes) {
            log::warn!("{warning}");
            warnings.push(warning);
        }
        let spectrum = self.problem.spectrum();
        let mut infos = infos.into_iter();
        let info = RunInfo {
            objective: self.problem.in_words(),
            data_shape: self.problem.shape(),
            lipschitz: spectrum.lipschitz,
            strong_convexity: spectrum.strong_convexity,
            lipschitz_margin: spectrum.margin,
            engine: infos.next().expect("there is an engine"),
            further_devices: infos.collect(),
            precision: self.precision,
            strategy: first.strategy,
            schedule: self.schedule.info(),
            iterations: self.iterations,
            tol: self.tol,
            derivative: prepared.derivatives.iter().map(Derivative::name).collect(),
            skipped_work: skipped / outcomes.iter().map(|o| o.iterations).sum::<usize>().max(1) as f64,
            faults,
            warnings,
            seconds: clock.elapsed().as_secs_f64(),
        };
        Ok(SweepResult { lanes, trace, info, columns: Columns::new(&self.problem) })
    }
}
