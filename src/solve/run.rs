//! Runs a sweep to its end: plans it, runs the scheduler and collects its events.

use std::borrow::Cow;
use std::ops::ControlFlow;

use ndarray::Array1;
use rayon::prelude::*;

use super::judge::{COARSE, Judge, resolution};
use super::scheduler::{Event, Scheduler};
use super::{LaneResult, Path, Prepared, Progress, RunInfo, Sweep, SweepResult};
use crate::Instant;
use crate::certificate::{Certificate, Certified, Certifier, Polished, PolishedNumbers, most_active};
use crate::engine::{Chunk, Engine, EngineInfo, LaneOutcome, Slot};
use crate::error::{Error, Result};
use crate::objective::{Derivative, Need, Objective};
use crate::program::{Plan, Strategy};
use crate::result::{Columns, Recorder};

impl Sweep {
    /// Runs the sweep to its end.
    ///
    /// # Errors
    /// As [`plan`](Self::plan), and a device failure that could not be recovered. Divergence is a status.
    pub fn run(&self, engine: &mut dyn Engine) -> Result<SweepResult> {
        self.run_with(engine, |_, _| ControlFlow::Continue(()))
    }

    /// Runs the sweep and passes every chunk to `watch`; if that returns `Break`, the running lanes are
    /// cancelled and all results so far are kept.
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
        watch: impl FnMut(&Chunk, &Progress) -> ControlFlow<()>,
    ) -> Result<SweepResult> {
        let clock = Instant::now();
        let prepared = self.prepare()?;
        let mut plans =
            engines.iter().map(|e| self.plan_prepared(&prepared, *e)).collect::<Result<Vec<Plan>>>()?;
        // Engines that share lanes share the design.
        if plans.iter().any(is_triangular) && !plans.iter().all(is_triangular) {
            let direct = self.clone().strategy(Some(Strategy::Direct));
            for (plan, engine) in plans.iter_mut().zip(&*engines).filter(|(plan, _)| is_triangular(plan)) {
                *plan = direct.plan_prepared(&prepared, *engine)?;
            }
        }
        let Some(first) = plans.first().cloned() else {
            return Err(Error::usage("engines", "none", "at least one", ""));
        };
        let infos: Vec<EngineInfo> = engines.iter().map(|e| e.info()).collect();
        // Lanes that cannot resume on their own, as under a metric that is tabulated by iteration, run to
        // their end.
        let resumes = plans.iter().all(|plan| plan.refills);
        let coarse = if self.until_identified { COARSE } else { 0.0 };
        let engine_tol = if self.tol > 0.0 && resumes {
            self.tol.max(resolution(self.precision)).max(coarse)
        } else {
            0.0
        };
        let problem = self.problem_of(&plans);
        let job = prepared.job(&problem, engine_tol);
        let solved = self.problem_of_path(&problem, &prepared.derivatives);
        // A path by Newton's method keeps a system for every fold.
        let chains = if self.path == Path::Newton { self.problem.folds() } else { 1 };
        let judge = Judge {
            certifier: Certifier::new(&solved, &prepared.derivatives, &prepared.lanes),
            tol: self.tol,
            iterations: self.iterations,
            until_identified: self.until_identified,
            precision: self.precision,
            polishes: self.delivers_polished(&prepared),
            most_active: most_active(self.spare_memory(&plans), chains),
            has_derivatives: prepared.derivatives.iter().any(|d| !d.is_of_process()),
        };
        let mut warnings = prepared.schedule.warnings(self.iterations);
        warnings.extend(super::alphas::remark(&self.problem, &prepared.lanes));
        warnings.iter().for_each(|w| log::warn!("{w}"));

        let mut collector = Collector::new(self, &prepared, &first, watch);
        collector.polishes = judge.polishes;
        // A limit beyond what the clock can count never passes.
        let deadline = self.deadline.and_then(|limit| clock.checked_add(limit));
        // A replacement engine chooses its own strategy.
        let any_strategy = self.clone().strategy(None);
        let replan = |engine: &dyn Engine| {
            let plan = any_strategy.plan_prepared(&prepared, engine)?;
            // The design stays the one of the run.
            if is_triangular(&plan) && matches!(problem, Cow::Borrowed(_)) {
                return self.clone().strategy(Some(Strategy::Direct)).plan_prepared(&prepared, engine);
            }
            Ok(plan)
        };
        let scheduler = Scheduler::new(self, &job, deadline, &judge, &replan);
        if self.path == Path::Newton {
            scheduler.follow_path(self.problem.folds(), &mut |event| collector.collect(event));
        }
        let mut pairs: Vec<(&mut dyn Engine, Plan)> =
            engines.iter_mut().map(|e| &mut **e as _).zip(plans).collect();
        scheduler.run(&mut pairs, &mut |event| collector.collect(event))?;

        let mut result = collector.finish(&prepared, infos, first);
        result.info.warnings.splice(0..0, warnings);
        result.info.seconds = clock.elapsed().as_secs_f64();
        Ok(result)
    }
}

/// Lanes whose scores are computed together.
const SCORED: usize = 16;

/// True if the plan iterates on the triangular factor of the design.
fn is_triangular(plan: &Plan) -> bool {
    plan.engine == "cpu" && plan.strategy == Strategy::Gram
}

impl Sweep {
    /// The problem as the engines of these plans iterate on it: on the triangular factor if all of them do.
    pub(super) fn problem_of(&self, plans: &[Plan]) -> Cow<'_, Objective> {
        if plans.iter().all(is_triangular) {
            return Cow::Owned(self.problem.triangular());
        }
        Cow::Borrowed(&self.problem)
    }

    /// The engines' problem as a path by Newton's method and the certificates see it: with few columns, on
    /// the triangular factor.
    fn problem_of_path<'p>(&self, problem: &'p Objective, derivatives: &[Derivative]) -> Cow<'p, Objective> {
        let quadratic = problem.require(Need::GramStrategy).is_ok() && problem.folds() == 0;
        // A direction of the target has an entry for each row.
        let moves_target = |d: &Derivative| d.target_tangent(problem).is_some();
        let quadratic = quadratic && !derivatives.iter().any(moves_target);
        let tall = problem.design.rows() > 2 * problem.state_rows();
        if self.path == Path::Newton && quadratic && tall {
            return Cow::Owned(problem.triangular());
        }
        Cow::Borrowed(problem)
    }

    /// Bytes of the memory budget that the plans leave.
    fn spare_memory(&self, plans: &[Plan]) -> u64 {
        let host = plans.iter().map(|plan| plan.host_bytes).max().unwrap_or(0);
        let devices: u64 = plans.iter().map(|plan| plan.device_bytes).sum();
        self.memory_budget.saturating_sub(host.saturating_add(devices))
    }

    /// True if the delivered models are polished: derivatives by a setting of the solver are those of the
    /// sequence.
    fn delivers_polished(&self, prepared: &Prepared) -> bool {
        self.polish && !prepared.derivatives.iter().any(Derivative::is_of_process)
    }
}

/// Collects the events of a run.
struct Collector<'a, W> {
    sweep: &'a Sweep,
    watch: W,
    recorder: Recorder<'a>,
    outcomes: Vec<LaneOutcome>,
    certificates: Vec<Option<Certificate>>,
    /// True if polished models are delivered.
    polishes: bool,
    polished: Vec<Option<PolishedNumbers>>,
    progress: Progress,
    faults: Vec<String>,
    skipped: f64,
}

impl<'a, W: FnMut(&Chunk, &Progress) -> ControlFlow<()>> Collector<'a, W> {
    fn new(sweep: &'a Sweep, prepared: &'a Prepared, plan: &Plan, watch: W) -> Self {
        let lanes = &prepared.lanes;
        Collector {
            sweep,
            watch,
            recorder: Recorder::new(&sweep.problem, &prepared.derivatives, plan, lanes),
            outcomes: vec![LaneOutcome::open(0); lanes.len()],
            certificates: vec![None; lanes.len()],
            polishes: false,
            polished: vec![None; lanes.len()],
            progress: Progress { lanes: lanes.len(), ..Progress::default() },
            faults: Vec::new(),
            skipped: 0.0,
        }
    }

    fn collect(&mut self, event: Event) -> ControlFlow<()> {
        match event {
            Event::Begin(state) => {
                self.recorder.begin(&state);
                self.progress.running += 1;
            }
            Event::Chunk(chunk) => {
                self.recorder.chunk(&chunk);
                self.skipped += chunk.skipped;
                self.progress.iterations += chunk.slots.iter().map(Slot::iterations).sum::<usize>();
                return (self.watch)(&chunk, &self.progress);
            }
            Event::Finish(state, outcome, certified) => {
                self.outcomes[state.lane] = outcome;
                self.recorder.finish(&state);
                if let Some(certified) = certified {
                    let Certified { certificate, polished, .. } = *certified;
                    self.certificates[state.lane] = Some(certificate);
                    // Without iterations the last iterate is the solution, and no record has its numbers.
                    let iterates = outcome.iterations > 0;
                    let delivered = polished.filter(|_| self.polishes || !iterates);
                    if let Some(Polished { state: solution, of }) = delivered {
                        if iterates {
                            self.recorder.polish(state.lane, solution.view());
                        }
                        self.polished[state.lane] = Some(of);
                    }
                }
                self.progress.running -= 1;
                self.progress.finished += 1;
                self.progress.skipped += self.sweep.iterations - outcome.iterations;
            }
            Event::Fault(words) => {
                log::warn!("{words}");
                self.faults.push(words);
            }
        }
        ControlFlow::Continue(())
    }

    fn finish(self, prepared: &Prepared, infos: Vec<EngineInfo>, plan: Plan) -> SweepResult {
        let (sweep, problem) = (self.sweep, &self.sweep.problem);
        let growing = growing_tangents(&self.certificates);
        let (trace, last, polished) = self.recorder.trace();
        let mut lanes = prepared.results(problem, &self.outcomes, self.certificates, (&trace, &last));
        lanes.iter_mut().zip(self.polished).for_each(|(lane, polished)| {
            if let Some(polished) = polished {
                lane.deliver(polished);
            }
        });
        let columns = Columns::new(problem);
        let of_folds: Vec<Objective> = (0..problem.folds()).map(|fold| problem.of_fold(fold)).collect();
        // Lanes of the same rows side by side, so that products read the design once for several.
        let folds = of_folds.len().max(1);
        let mut alike: Vec<(usize, &mut LaneResult)> = lanes.iter_mut().enumerate().collect();
        alike.sort_by_key(|(i, _)| i % folds);
        alike.par_chunks_mut(SCORED).for_each(|part| {
            for part in part.chunk_by_mut(|a, b| a.1.fold == b.1.fold) {
                let problem = part[0].1.fold.map_or(problem, |fold| &of_folds[fold]);
                let state = |(i, _): &(usize, &mut LaneResult)| {
                    let model = columns.model(&trace, &polished, *i);
                    problem.state_of(model.coef.view(), model.intercept, true)
                };
                let states: Vec<Array1<f64>> = part.iter().map(state).collect();
                part.iter_mut()
                    .zip(problem.scores(&states))
                    .for_each(|((_, lane), score)| lane.score = score.filter(|_| lane.is_fitted()));
            }
        });
        let mut warnings = prepared.unreached(&self.outcomes);
        warnings.extend(growing);
        warnings.iter().for_each(|w| log::warn!("{w}"));
        let spectrum = problem.spectrum();
        let mut infos = infos.into_iter();
        let iterations = self.outcomes.iter().map(|o| o.iterations).sum::<usize>();
        let info = RunInfo {
            objective: problem.in_words(),
            data_shape: problem.shape(),
            lipschitz: spectrum.lipschitz,
            strong_convexity: spectrum.strong_convexity,
            lipschitz_margin: spectrum.margin,
            engine: infos.next().expect("there is an engine"),
            further_devices: infos.collect(),
            precision: sweep.precision,
            strategy: plan.strategy,
            path: sweep.path,
            schedule: prepared.schedule.schedule().info(),
            score: problem.score_name(),
            iterations: sweep.iterations,
            tol: sweep.tol,
            derivative: prepared.derivatives.iter().map(Derivative::name).collect(),
            skipped_work: self.skipped / iterations.max(1) as f64,
            faults: self.faults,
            warnings,
            seconds: 0.0,
        };
        SweepResult { lanes, trace, info, columns, polished }
    }
}

/// Error of a derivative, relative, from which it does not follow an iterate that settles.
const GROWN: f64 = 100.0;
/// Bound on the value of an iterate that settles.
const SETTLED: f64 = 1e-3;

/// A warning about derivatives that grow although their iterates settle.
fn growing_tangents(certificates: &[Option<Certificate>]) -> Option<String> {
    let grows = |c: &&Certificate| {
        c.iterate.value.is_some_and(|v| v <= SETTLED) && c.iterate.derivative.is_some_and(|d| d >= GROWN)
    };
    let count = certificates.iter().flatten().filter(grows).count();
    (count > 0).then(|| {
        format!(
            "the derivatives of {count} lane(s) grow, by {GROWN} times their size or more, although the \
             iterates settle: the sequence amplifies them. Use `restart gradient`, or `tangent_start \
             identified`."
        )
    })
}
