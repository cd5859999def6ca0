//! Solves a sweep as its mode of differentiation needs it.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use ndarray::{Array1, Array2, ArrayView2, Axis};
use rayon::prelude::*;

use super::checkpoints::Checkpoints;
use super::linearization::{Linearization, Solved};
use super::{Differentiate, Problems};
use crate::certificate::{Certifier, Limits, MAX_OPERATIONS, Obstacle, most_active};
use crate::diff::unrolled::Unrolled;
use crate::diff::unrolled::tape::{Executed, Keeps, LaneTape, Tape};
use crate::diff::{Mode, cost};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result, bytes};
use crate::lanes::MetricSource;
use crate::objective::{Derivative, Zeros};
use crate::program::Keep;
use crate::result::Columns;
use crate::schedule::{Step, Until};
use crate::solve::{Path, Prepared, Sweep, SweepResult};

/// A sweep that was solved, and what its mode of differentiation kept.
pub(super) struct Run<'a> {
    pub(super) of: &'a Differentiate,
    /// The mode, chosen if it was to be.
    pub(super) mode: Mode,
    pub(super) derivatives: Vec<Derivative>,
    pub(super) problems: Problems<'a>,
    pub(super) prepared: Prepared,
    pub(super) result: SweepResult,
    /// `[b][q]`: the last iterates; in modes that differentiate the solution polished, if they could be.
    pub(super) states: Vec<Array1<f64>>,
    /// `[b][h, q]`: tangents of the last iterates; empty in modes that do not carry them.
    tangents: Vec<Array2<f64>>,
    pub(super) tape: Tape,
    /// What computes iterates again that the tape does not keep, if there are such.
    pub(super) checkpoints: Option<Checkpoints>,
    engine: Mutex<&'a mut dyn Engine>,
    group_lanes: usize,
    /// Bytes of the engine, and of a tape of a segment at most.
    engine_bytes: u64,
    segment_bytes: AtomicU64,
}

impl Differentiate {
    /// Solves the sweep.
    pub(super) fn solve<'a>(&'a self, engine: &'a mut dyn Engine) -> Result<Run<'a>> {
        let prepared = self.base().prepare()?;
        let derivatives = self.checked(&prepared)?;
        let mode = match self.mode {
            Mode::Auto => cost::choose(self, &prepared, &derivatives, engine)?.mode,
            mode => mode,
        };
        refuse(mode, &self.sweep, &prepared)?;
        let (carried, keep) = match mode {
            Mode::Forward | Mode::Hybrid => (derivatives.clone(), None),
            Mode::Implicit => (Vec::new(), Some(Keep::Nothing)),
            _ => (Vec::new(), Some(Keep::Iterates)),
        };
        let mut sweep = self.sweep.clone().derivatives(carried.clone());
        if mode.is_unrolled() {
            sweep = sweep.polish(false);
        }
        // The system finds the solution from there.
        if matches!(mode, Mode::Hybrid | Mode::Implicit) && self.sweep.tolerance() > 0.0 {
            sweep = sweep.until_identified();
        }
        if let Some(keep) = keep {
            sweep = sweep.keep(keep);
        }
        let plan = sweep.plan(engine)?;
        let keeps = self.keeps(&derivatives);
        let is_sparse = self.sweep.problem().penalty().capabilities().zeros != Zeros::Absent;
        let mut tape = Tape::new(prepared.lanes.len(), keeps, is_sparse);
        let with_iterates = mode == Mode::Reverse;
        // Half of the memory for the tape of all iterations, half for that of a segment.
        let spare = self.sweep.budget().saturating_sub(plan.device_bytes + plan.host_bytes);
        let budget = spare / 2;
        if with_iterates {
            let job = prepared.job(self.sweep.problem(), 0.0);
            (0..prepared.lanes.len()).for_each(|lane| tape.put(lane, 0, job.begin(lane, None).state.row(0)));
        }
        let result = sweep.run_with(engine, |chunk, _| {
            if keep == Some(Keep::Iterates) {
                tape.take(chunk, &prepared.schedule, with_iterates.then_some(budget));
            }
            if tape.exceeds(budget) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if tape.exceeds(budget) {
            return Err(Error::new(
                ErrorKind::Memory,
                "mode",
                format!("{} for the steps and signs of the iterations, in mode '{mode}'", bytes(tape.peak())),
                format!("at most {}", bytes(budget)),
                "Raise `memory_budget`, use fewer `iterations` or lanes, or mode implicit.",
            ));
        }
        let mut run = Run {
            of: self,
            mode,
            derivatives,
            problems: Problems::new(self.sweep.problem()),
            states: Vec::new(),
            tangents: Vec::new(),
            engine_bytes: plan.device_bytes + plan.host_bytes,
            segment_bytes: AtomicU64::new(0),
            tape,
            checkpoints: None,
            engine: Mutex::new(engine),
            group_lanes: plan.request.group_lanes(),
            prepared,
            result,
        };
        run.read_states(&carried);
        run.checkpoints = Checkpoints::new(&run, budget)?;
        Ok(run)
    }

    /// What a tape must keep: values where something depends on them.
    fn keeps(&self, derivatives: &[Derivative]) -> Keeps {
        let problem = self.sweep.problem();
        let linear = problem.penalty().capabilities().linear && problem.loss().capabilities().least_squares;
        if linear && !derivatives.iter().any(Derivative::is_of_process) {
            Keeps::Signs
        } else {
            Keeps::Values
        }
    }
}

/// Refuses what the modes other than `Forward` do not differentiate.
pub(in crate::diff) fn refuse(mode: Mode, sweep: &Sweep, prepared: &Prepared) -> Result<()> {
    let by_forward = "Use mode forward, or implicit for the derivative of the solution.";
    let error = |field: &str, found: &str, expected: &str, remedy: &str| {
        Err(Error::usage(field, format!("{found}, in mode '{mode}'"), expected, remedy))
    };
    if sweep.path_rule() == Path::Newton && mode != Mode::Implicit {
        return error(
            "path",
            "'newton', which has no iterations",
            "a path with iterations",
            "Use mode implicit.",
        );
    }
    if mode == Mode::Hybrid && sweep.tolerance() == 0.0 {
        let remedy = "Give a tolerance, or use mode forward.";
        return error("tol", "0, which asks for every iteration", "a positive tolerance", remedy);
    }
    let varies = matches!(prepared.metric, MetricSource::Hessian { .. } | MetricSource::Table(_));
    if varies && matches!(mode, Mode::FixedPoint | Mode::OneStep) {
        return error("metric", "one that varies", "a metric that does not", "Use mode implicit or forward.");
    }
    if !matches!(mode, Mode::Reverse) {
        return Ok(());
    }
    let phases = sweep.rules().phases();
    if prepared.lanes.iter().any(|lane| lane.start.source().is_some()) {
        let found = "lanes that start from others";
        return error("path", found, "lanes that start on their own", by_forward);
    }
    if phases.iter().any(|p| matches!(p.step, Step::BarzilaiBorwein { .. })) {
        let found = "'barzilai_borwein', whose steps depend on the iterates";
        return error("step", found, "steps that do not", by_forward);
    }
    if phases.iter().any(|p| p.until == Until::Identified) {
        let found = "a phase that waits for identification";
        return error("phases", found, "phases that end at given iterations", by_forward);
    }
    if matches!(prepared.metric, MetricSource::Hessian { .. }) {
        let found = "'hessian', which depends on the iterates";
        return error("metric", found, "a metric that does not", by_forward);
    }
    if prepared.schedule.tangent_start() == usize::MAX {
        return error("tangent_start", "'identified'", "an iteration", "Use mode hybrid.");
    }
    Ok(())
}

impl<'a> Run<'a> {
    /// The engine.
    pub(super) fn engine(&self) -> MutexGuard<'_, &'a mut dyn Engine> {
        self.engine.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Counts the bytes of the tape of a segment.
    pub(super) fn note_tape(&self, bytes: u64) {
        self.segment_bytes.fetch_max(bytes, Ordering::Relaxed);
    }

    /// Bytes in use at most, as far as they are not results.
    pub(super) fn peak_bytes(&self) -> u64 {
        self.engine_bytes + self.tape.peak() + self.segment_bytes.load(Ordering::Relaxed)
    }

    /// The states of the models that the sweep found, with their tangents.
    fn read_states(&mut self, carried: &[Derivative]) {
        let problem = self.of.sweep.problem();
        let columns = Columns::new(problem);
        for lane in 0..self.result.lanes.len() {
            let model = columns.model(&self.result.trace, self.result.polish(), lane);
            self.states.push(problem.state_of(model.coef.view(), model.intercept, true));
            if self.mode == Mode::Forward {
                let mut dstate = Array2::zeros((carried.len(), problem.state_rows()));
                for (t, mut row) in dstate.rows_mut().into_iter().enumerate() {
                    row.assign(&problem.state_of(model.dcoef.row(t), model.dintercept[t], false));
                }
                self.tangents.push(dstate);
            }
        }
    }

    /// Linearises the solved lanes, certified, and passes that on.
    pub(super) fn linearize<R>(
        &self,
        work: impl FnOnce(&Linearization<'_>, &Self) -> Result<R>,
    ) -> Result<R> {
        let problem = self.of.sweep.problem();
        let certifier = Certifier::new(problem, &[], &self.prepared.lanes);
        let solved = self.certify(&certifier);
        let frozen;
        let tape = match self.mode {
            Mode::FixedPoint | Mode::OneStep => {
                frozen = self.frozen();
                &frozen
            }
            _ => &self.tape,
        };
        let unrolled = Unrolled {
            problem,
            lanes: &self.prepared.lanes,
            metric: &self.prepared.metric,
            tape,
            precision: self.of.sweep.arithmetic(),
            group_lanes: self.group_lanes,
        };
        let first = self.prepared.schedule.tangent_start().min(usize::MAX - 1);
        let first: Vec<usize> = match self.mode {
            Mode::Reverse => tape.lanes.iter().map(|lane| first.min(lane.iterations())).collect(),
            _ => vec![0; tape.lanes.len()],
        };
        work(&Linearization::new(self.mode, &self.tangents, unrolled, first, solved), self)
    }

    /// Certificates of the lanes at their states, and the manifolds of their solutions.
    fn certify<'c>(&self, certifier: &'c Certifier<'_>) -> Vec<Solved<'c>> {
        let limits = Limits {
            active: most_active(self.of.sweep.budget() / 4, 1),
            operations: MAX_OPERATIONS,
            stopped: &|| false,
        };
        let tol = if self.of.sweep.tolerance() > 0.0 { self.of.sweep.tolerance() } else { DEFAULT_TOL };
        let of = |lane: usize| {
            let of_sweep = &self.result.lanes[lane];
            if !of_sweep.ended() || self.states[lane].iter().any(|v| !v.is_finite()) {
                return None;
            }
            // A polished model is a solution.
            let polished = of_sweep.certificate.filter(|c| c.polished.is_some() && !self.mode.is_unrolled());
            let (certificate, found) = match polished {
                Some(certificate) => {
                    (certificate, Some(certifier.at_solution(lane, self.states[lane].view(), true)))
                }
                None => {
                    let state: ArrayView2<'_, f64> = self.states[lane].view().insert_axis(Axis(0));
                    let (mut certified, found) = certifier.certify_and_keep(lane, state, limits);
                    certified.judge(tol, false, !self.mode.is_unrolled());
                    let too_large = certified.certificate.obstacle == Some(Obstacle::TooLarge);
                    let by_systems = matches!(self.mode, Mode::Implicit | Mode::Hybrid);
                    let without = || certifier.at_solution(lane, self.states[lane].view(), false);
                    (certified.certificate, found.or_else(|| (too_large && by_systems).then(without)))
                }
            };
            Some((certificate, found))
        };
        (0..self.states.len()).into_par_iter().map(of).collect()
    }

    /// The iterations of lanes whose iterates are all the last one.
    fn frozen(&self) -> Tape {
        let problem = self.of.sweep.problem();
        let is_sparse = problem.penalty().capabilities().zeros != Zeros::Absent;
        let mut tape = Tape::new(0, Keeps::Values, is_sparse);
        for (lane, x) in self.tape.lanes.iter().zip(&self.states) {
            let executed: Vec<Executed> = match self.mode {
                Mode::OneStep => lane
                    .executed
                    .last()
                    .map(|last| Executed { momentum: 0.0, takes_back: false, rests: true, ..*last })
                    .into_iter()
                    .collect(),
                // Steps that were taken back are not part of a fixed point's iteration.
                _ => lane
                    .executed
                    .iter()
                    .map(|of| Executed { takes_back: false, ..*of })
                    .cycle()
                    .take(if lane.executed.is_empty() {
                        0
                    } else {
                        MOST_REPEATED.min(self.of.sweep.max_iterations())
                    })
                    .collect(),
            };
            tape.lanes.push(LaneTape::frozen(executed, x.view(), is_sparse));
        }
        tape
    }
}

/// Most iterations of a fixed point.
const MOST_REPEATED: usize = 10_000;
/// The tolerance of certificates if the sweep has none.
pub(super) const DEFAULT_TOL: f64 = 1e-6;
