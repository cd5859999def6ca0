//! The derivatives of solved lanes, in directions and as gradients, by what their mode keeps.

use ndarray::{Array1, Array2, ArrayView1};

use super::conjugate;
use super::run::Run;
use super::schedule::{Moved, ScheduleTangents};
use crate::certificate::{Certificate, OnManifold};
use crate::diff::Mode;
use crate::diff::unrolled::{Cotangents, Seeds, Unrolled};
use crate::error::Result;
use crate::lanes::Lane;
use crate::objective::{Derivative, Objective};

/// A certificate, and the system at the solution, of a lane that has them.
pub(super) type Solved<'a> = Option<(Certificate, Option<OnManifold<'a>>)>;

/// The linearised models of a sweep.
pub(super) struct Linearization<'a> {
    mode: Mode,
    /// `[b][h, q]`, in the mode `Forward`.
    tangents: &'a [Array2<f64>],
    unrolled: Unrolled<'a>,
    /// The first iteration that is differentiated, by lane.
    first: Vec<usize>,
    /// Certificates, and systems at the solutions, of the lanes that have them.
    pub(super) solved: Vec<Solved<'a>>,
}

impl<'a> Linearization<'a> {
    pub(super) fn new(
        mode: Mode,
        tangents: &'a [Array2<f64>],
        unrolled: Unrolled<'a>,
        first: Vec<usize>,
        solved: Vec<Solved<'a>>,
    ) -> Self {
        Linearization { mode, tangents, unrolled, first, solved }
    }

    /// The system at a lane's solution, if it has one.
    pub(super) fn on_manifold(&self, lane: usize) -> Option<&OnManifold<'a>> {
        self.solved[lane].as_ref().and_then(|(_, on)| on.as_ref())
    }

    /// True if derivatives are those of the linear systems.
    pub(super) fn by_systems(&self) -> bool {
        matches!(self.mode, Mode::Implicit | Mode::Hybrid)
    }

    /// `[b][h, q]`: the derivatives of all states; NaN in lanes without.
    pub(super) fn columns(&self, run: &Run<'_>) -> Result<Vec<Array2<f64>>> {
        if self.mode == Mode::Forward {
            return Ok(self.tangents.to_vec());
        }
        if self.by_systems() {
            let q = self.unrolled.problem.state_rows();
            let mut out = vec![Array2::from_elem((run.derivatives.len(), q), f64::NAN); self.solved.len()];
            for (t, by) in run.derivatives.iter().enumerate() {
                let solved = self.solve(&|on, _| on.right_side(by));
                for (of_lane, solved) in out.iter_mut().zip(solved) {
                    if let Some(solved) = solved {
                        of_lane.row_mut(t).assign(&solved);
                    }
                }
            }
            return Ok(out);
        }
        let tangents = self.schedule_tangents(run)?;
        let of_lane = |lane: usize| {
            let seed = |(t, by): (usize, &Derivative)| self.seed(lane, by, tangents.of(lane, t));
            run.derivatives.iter().enumerate().map(seed).collect::<Vec<_>>()
        };
        let seeds: Vec<Vec<Seeds>> = (0..self.unrolled.lanes.len()).map(of_lane).collect();
        Ok(self.unrolled.push_forward(&seeds, &self.first))
    }

    /// `[b][q]`: the derivatives of all states in a direction of the hyperparameters.
    pub(super) fn along(&self, run: &Run<'_>, direction: ArrayView1<'_, f64>) -> Result<Vec<Array1<f64>>> {
        Ok(self.columns(run)?.into_iter().map(|of_lane| of_lane.t().dot(&direction)).collect())
    }

    /// `[b, h]`: gradients of functions of the states, given by their gradients in these; NaN in lanes
    /// without.
    pub(super) fn gradients(&self, run: &Run<'_>, cotangents: &[Array1<f64>]) -> Result<Array2<f64>> {
        let mut out = Array2::from_elem((cotangents.len(), run.derivatives.len()), f64::NAN);
        if self.mode == Mode::Forward {
            for (mut row, (dstate, cotangent)) in
                out.rows_mut().into_iter().zip(self.tangents.iter().zip(cotangents))
            {
                row.assign(&dstate.dot(cotangent));
            }
            return Ok(out);
        }
        let by_target = run.derivatives.iter().any(|d| matches!(d, Derivative::Target(_)));
        let pulled: Vec<Option<Cotangents>> = if self.by_systems() {
            let solved = self.solve(&|_, lane| cotangents[lane].clone());
            let of_lane = |(lane, v): (usize, Option<Array1<f64>>)| {
                let on = self.on_manifold(lane)?;
                Some(at_solution(on, run.problems.of(self.unrolled.lanes[lane].fold), &v?, by_target))
            };
            solved.into_iter().enumerate().map(of_lane).collect()
        } else {
            let by = (by_target, self.mode == Mode::Reverse && self.unrolled.tape.has_values());
            let begin = |(lane, of): (usize, &Array1<f64>)| {
                self.unrolled.begin(lane, of.clone(), self.first[lane], by)
            };
            let parts = cotangents.iter().enumerate().map(begin).collect();
            let pulled = match &run.checkpoints {
                None => self.unrolled.pull_back(parts),
                Some(checkpoints) => checkpoints.pull_back(run, parts, &self.unrolled)?,
            };
            pulled.into_iter().map(|of| Some(of.found)).collect()
        };
        let tangents = self.schedule_tangents(run)?;
        for (lane, pulled) in pulled.iter().enumerate() {
            let Some(pulled) = pulled else { continue };
            for (t, by) in run.derivatives.iter().enumerate() {
                let of = &self.unrolled.lanes[lane];
                let by_schedule = match self.mode {
                    Mode::Reverse => {
                        let tape = &self.unrolled.tape.lanes[lane];
                        tangents.of(lane, t).pull_back(tape, &pulled.step, &pulled.momentum)
                    }
                    _ => 0.0,
                };
                out[[lane, t]] = pulled.along(self.unrolled.problem, of, by) + by_schedule;
            }
        }
        Ok(out)
    }

    /// The solutions of all lanes' systems, each for its right side; `None` where there is none.
    fn solve(
        &self,
        right: &(dyn Fn(&OnManifold<'_>, usize) -> Array1<f64> + Sync),
    ) -> Vec<Option<Array1<f64>>> {
        let dense = |lane: usize| {
            let on = self.on_manifold(lane).filter(|on| on.has_system())?;
            Some(on.solve(right(on, lane).view()))
        };
        let mut solved = in_parallel(self.solved.len(), dense);
        let large = |lane: &usize| self.on_manifold(*lane).is_some_and(|on| !on.has_system());
        let large: Vec<usize> = (0..self.solved.len()).filter(large).collect();
        let systems: Vec<(&OnManifold<'_>, Array1<f64>)> = large
            .iter()
            .filter_map(|lane| Some((self.on_manifold(*lane)?, *lane)))
            .map(|(on, lane)| (on, right(on, lane)))
            .collect();
        let found = conjugate::solve(self.unrolled.problem, &systems);
        large.into_iter().zip(found).for_each(|(lane, found)| solved[lane] = found);
        solved
    }

    /// Tangents of the steps and momenta that the iterations used, where these are differentiated.
    fn schedule_tangents(&self, run: &Run<'_>) -> Result<ScheduleTangents> {
        match self.mode {
            Mode::Reverse => {
                ScheduleTangents::new(&run.of.sweep, &run.derivatives, &self.unrolled.tape.lanes)
            }
            // They do not change a fixed point.
            _ => Ok(ScheduleTangents::default()),
        }
    }

    /// The direction of a derivative.
    fn seed(&self, lane: usize, by: &Derivative, moved: &Moved) -> Seeds {
        let problem = self.unrolled.problem;
        let of = &self.unrolled.lanes[lane];
        let strengths = by.strengths(problem, of.alpha, of.l1_ratio);
        let (l1, l2) =
            (0..problem.state_rows()).map(|j| strengths.of_coefficient(j, &problem.penalty_factors)).unzip();
        let target = by.target_tangent(problem).map_or_else(Vec::new, |(dy, _)| dy.to_vec());
        let [step, momentum] = moved.tangents(&self.unrolled.tape.lanes[lane]);
        Seeds { l1, l2, target, step, momentum }
    }
}

impl Cotangents {
    /// The derivative by one hyperparameter, at fixed steps and momenta.
    fn along(&self, problem: &Objective, lane: &Lane, by: &Derivative) -> f64 {
        let strengths = by.strengths(problem, lane.alpha, lane.l1_ratio);
        let of = |j: usize| {
            let (dl1, dl2) = strengths.of_coefficient(j, &problem.penalty_factors);
            self.l1[j] * dl1 + self.l2[j] * dl2
        };
        let by_strengths: f64 = match strengths.factor_seed {
            Some(j) => of(j),
            None => (0..problem.features()).map(of).sum(),
        };
        let by_target = by
            .target_tangent(problem)
            .map_or(0.0, |(dy, _)| self.target.iter().zip(&dy).map(|(a, b)| a * b).sum());
        by_strengths + by_target
    }
}

/// The gradient of a function of a solution, given by `v`, `[q]`: the solution of its system for the function's
/// gradient.
fn at_solution(on: &OnManifold<'_>, problem: &Objective, v: &Array1<f64>, by_target: bool) -> Cotangents {
    let mut out = Cotangents { l1: vec![0.0; v.len()], l2: vec![0.0; v.len()], ..Cotangents::default() };
    for &j in on.active() {
        let of_penalty = on.penalty(j);
        out.l1[j] = -v[j] * of_penalty.d1_by_l1;
        out.l2[j] = -v[j] * of_penalty.d1_by_l2;
    }
    if by_target {
        let moved = problem.design.apply_vector(v.view());
        let rows = problem.weight.iter().zip(&problem.target).zip(on.predictions()).zip(&moved);
        let by = rows.map(|(((w, y), z), moved)| -w * problem.loss().d1_by_target(*z, *y) * moved);
        out.target = by.collect();
    }
    out
}

/// The gradient by every derivative of a function of a solution.
pub(super) fn gradient_at_solution(
    on: &OnManifold<'_>,
    (problem, lane): (&Objective, &Lane),
    cotangent: ArrayView1<'_, f64>,
    derivatives: &[Derivative],
) -> Vec<f64> {
    let by_target = derivatives.iter().any(|d| matches!(d, Derivative::Target(_)));
    let pulled = at_solution(on, problem, &on.solve(cotangent), by_target);
    derivatives.iter().map(|by| pulled.along(problem, lane, by)).collect()
}

fn in_parallel<R: Send>(count: usize, of: impl Fn(usize) -> R + Sync + Send) -> Vec<R> {
    use rayon::prelude::*;
    (0..count).into_par_iter().map(of).collect()
}
