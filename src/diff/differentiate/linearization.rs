//! The derivatives of solved lanes, in directions and as gradients, by what their mode keeps.

use ndarray::{Array1, Array2, ArrayView1, Axis};

use super::conjugate;
use super::run::Run;
use super::schedule;
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
    pub(super) fn columns(&self, run: &Run<'_>) -> Vec<Array2<f64>> {
        if self.mode == Mode::Forward {
            return self.tangents.to_vec();
        }
        if self.by_systems() {
            let rights =
                |on: &OnManifold<'_>, _| run.derivatives.iter().map(|by| on.right_side(by)).collect();
            return self.solve(run, run.derivatives.len(), &rights);
        }
        let of_lane = |lane: usize| run.derivatives.iter().map(|by| self.seed(lane, by)).collect();
        let seeds: Vec<Vec<Seeds>> = (0..self.unrolled.lanes.len()).map(of_lane).collect();
        self.unrolled.push_forward(&seeds, &self.first)
    }

    /// `[b][q]`: the derivatives of all states in a direction of the hyperparameters, `[h]`.
    pub(super) fn along(&self, run: &Run<'_>, direction: ArrayView1<'_, f64>) -> Vec<Array1<f64>> {
        let first =
            |all: Vec<Array2<f64>>| all.into_iter().map(|of| of.index_axis_move(Axis(0), 0)).collect();
        if self.mode == Mode::Forward {
            return self.tangents.iter().map(|of_lane| of_lane.t().dot(&direction)).collect();
        }
        if self.by_systems() {
            let right = |on: &OnManifold<'_>, _| {
                let mut sum = Array1::zeros(on.x().len());
                let all = run.derivatives.iter().zip(&direction);
                all.for_each(|(by, size)| sum.scaled_add(*size, &on.right_side(by)));
                vec![sum]
            };
            return first(self.solve(run, 1, &right));
        }
        let of_lane = |lane: usize| {
            let mut sum = Seeds::default();
            for (by, size) in run.derivatives.iter().zip(&direction) {
                sum.add(*size, &self.seed(lane, by));
            }
            vec![sum]
        };
        let seeds: Vec<Vec<Seeds>> = (0..self.unrolled.lanes.len()).map(of_lane).collect();
        first(self.unrolled.push_forward(&seeds, &self.first))
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
        let pulled = self.pulled(run, cotangents)?;
        for (lane, pulled) in pulled.iter().enumerate() {
            let Some(pulled) = pulled else { continue };
            for (t, by) in run.derivatives.iter().enumerate() {
                out[[lane, t]] = pulled.along(self.unrolled.problem, &self.unrolled.lanes[lane], by);
            }
        }
        // Steps and momenta do not change a fixed point.
        if self.mode == Mode::Reverse {
            let tapes = &self.unrolled.tape.lanes;
            out += &schedule::pull_back(&run.of.sweep, &run.derivatives, tapes, &pulled)?;
        }
        Ok(out)
    }

    /// Gradients by everything that iterations, or the solutions, depend on.
    fn pulled(&self, run: &Run<'_>, cotangents: &[Array1<f64>]) -> Result<Vec<Option<Cotangents>>> {
        let by_target = run.derivatives.iter().any(|d| matches!(d, Derivative::Target(_)));
        if self.by_systems() {
            let solved = self.solve(run, 1, &|_, lane| vec![cotangents[lane].clone()]);
            let of_lane = |(lane, v): (usize, Array2<f64>)| {
                let (on, v) = (self.on_manifold(lane)?, v.index_axis_move(Axis(0), 0));
                Some(at_solution(on, run.problems.of(self.unrolled.lanes[lane].fold), &v, by_target))
            };
            return Ok(solved.into_iter().enumerate().map(of_lane).collect());
        }
        let by = (by_target, self.mode == Mode::Reverse && self.unrolled.tape.has_values());
        let begin =
            |(lane, of): (usize, &Array1<f64>)| self.unrolled.begin(lane, of.clone(), self.first[lane], by);
        let parts = cotangents.iter().enumerate().map(begin).collect();
        let pulled = match &run.checkpoints {
            None => self.unrolled.pull_back(parts),
            Some(checkpoints) => checkpoints.pull_back(run, parts, &self.unrolled)?,
        };
        Ok(pulled.into_iter().map(|of| Some(of.found)).collect())
    }

    /// `[b][count, q]`: the solutions of all lanes' systems for their right sides; NaN where there is none.
    fn solve(
        &self,
        run: &Run<'_>,
        count: usize,
        rights: &(dyn Fn(&OnManifold<'_>, usize) -> Vec<Array1<f64>> + Sync),
    ) -> Vec<Array2<f64>> {
        let q = self.unrolled.problem.state_rows();
        // A system is there for as long as its lane takes.
        let dense = |lane: usize| {
            let mut out = Array2::from_elem((count, q), f64::NAN);
            if let Some(on) = self.on_manifold(lane)
                && let Some(system) = on.factored()
            {
                let solved = rights(on, lane).into_iter().map(|right| system.solve(right.view()));
                out.rows_mut().into_iter().zip(solved).for_each(|(mut row, v)| row.assign(&v));
            }
            out
        };
        let mut solved = in_parallel(self.solved.len(), dense);
        let is_large = |lane: &usize| self.on_manifold(*lane).is_some_and(|on| !on.is_dense());
        let large: Vec<usize> = (0..self.solved.len()).filter(is_large).collect();
        let on = |lane: usize| self.on_manifold(lane).expect("one of the large");
        for some in large.chunks(conjugate::at_a_time(self.unrolled.problem, run.of.sweep.budget() / 4)) {
            let right_sides: Vec<Vec<Array1<f64>>> =
                some.iter().map(|lane| rights(on(*lane), *lane)).collect();
            for t in 0..count {
                let systems: Vec<(&OnManifold<'_>, &Array1<f64>)> =
                    some.iter().zip(&right_sides).map(|(lane, of)| (on(*lane), &of[t])).collect();
                for (lane, found) in some.iter().zip(conjugate::solve(self.unrolled.problem, &systems)) {
                    if let Some(found) = found {
                        solved[*lane].row_mut(t).assign(&found);
                    }
                }
            }
        }
        solved
    }

    /// True if a lane's certificate says that its solution has one derivative.
    pub(super) fn is_unique(&self, lane: usize) -> bool {
        self.solved[lane].as_ref().is_some_and(|(certificate, _)| certificate.unique)
    }

    /// The direction of a derivative.
    fn seed(&self, lane: usize, by: &Derivative) -> Seeds {
        let problem = self.unrolled.problem;
        let of = &self.unrolled.lanes[lane];
        let strengths = by.strengths(problem, of.alpha, of.l1_ratio);
        let (l1, l2) =
            (0..problem.state_rows()).map(|j| strengths.of_coefficient(j, &problem.penalty_factors)).unzip();
        let target = by.target_tangent(problem).map_or_else(Vec::new, |(dy, _)| dy.to_vec());
        Seeds { l1, l2, target }
    }
}

impl Seeds {
    /// Adds a multiple of another direction.
    fn add(&mut self, size: f64, other: &Seeds) {
        let pairs = [(&mut self.l1, &other.l1), (&mut self.l2, &other.l2), (&mut self.target, &other.target)];
        for (to, from) in pairs {
            to.resize(to.len().max(from.len()), 0.0);
            to.iter_mut().zip(from).for_each(|(to, v)| *to += size * v);
        }
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

/// The gradient of a function of a solution, given by `v`, `[q]`: the solution of its system for the
/// function's gradient.
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

/// The gradient by every derivative of a function of a solution; `None` without a dense system.
pub(super) fn gradient_at_solution(
    on: &OnManifold<'_>,
    (problem, lane): (&Objective, &Lane),
    cotangent: ArrayView1<'_, f64>,
    derivatives: &[Derivative],
) -> Option<Vec<f64>> {
    let by_target = derivatives.iter().any(|d| matches!(d, Derivative::Target(_)));
    let pulled = at_solution(on, problem, &on.factored()?.solve(cotangent), by_target);
    Some(derivatives.iter().map(|by| pulled.along(problem, lane, by)).collect())
}

fn in_parallel<R: Send>(count: usize, of: impl Fn(usize) -> R + Sync + Send) -> Vec<R> {
    use rayon::prelude::*;
    (0..count).into_par_iter().map(of).collect()
}
