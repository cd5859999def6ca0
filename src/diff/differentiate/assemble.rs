//! The results of a differentiated sweep.

use ndarray::{Array1, Array2, Array3, ArrayView1, Axis};
use rayon::prelude::*;

use super::linearization::{Linearization, gradient_at_solution};
use super::run::{DEFAULT_TOL, Run};
use super::{Differentiate, Differentiated, DifferentiatedLane, Kind};
use crate::certificate::{Certificate, SOLVED, Verdict, derivative_tolerance};
use crate::diff::Mode;
use crate::engine::Status;
use crate::error::Result;
use crate::objective::{Derivative, Objective};
use crate::result::{Columns, Model};

/// Everything that follows from the linearised lanes.
pub(super) struct Assembled {
    /// `[b][q]`.
    states: Vec<Array1<f64>>,
    /// `[b][h, q]`, if asked for.
    columns: Option<Vec<Array2<f64>>>,
    /// `[b, h]`, if there is a criterion.
    gradient: Option<Array2<f64>>,
    criterion: Vec<Option<f64>>,
    errors: Vec<Option<f64>>,
    certificates: Vec<Option<Certificate>>,
    kinds: Vec<Kind>,
}

impl Assembled {
    pub(super) fn new(of: &Differentiate, run: &Run<'_>, linear: &Linearization<'_>) -> Result<Self> {
        let count = run.states.len();
        let state = |lane: usize| {
            let solution = linear.on_manifold(lane).filter(|_| linear.by_systems());
            solution.map_or_else(|| run.states[lane].clone(), |on| on.x().clone())
        };
        let states: Vec<Array1<f64>> = (0..count).map(state).collect();
        let columns = if of.jacobian && run.mode != Mode::Reverse { Some(linear.columns(run)) } else { None };
        let mut assembled = Assembled {
            columns,
            gradient: None,
            criterion: vec![None; count],
            errors: vec![None; count],
            certificates: linear.solved.iter().map(|of| of.as_ref().map(|of| of.0)).collect(),
            kinds: Vec::new(),
            states,
        };
        if of.wanted_criterion().is_some() {
            assembled.differentiate_criterion(of, run, linear)?;
        }
        if assembled.gradient.is_none() {
            assembled.compare_columns(run, linear);
        }
        if linear.by_systems() {
            let bound = |certificate: &Option<Certificate>| {
                certificate.filter(|c| c.unique).and_then(|c| c.condition).map(|c| SOLVED * c)
            };
            assembled.errors = assembled.certificates.iter().map(bound).collect();
        }
        assembled.kinds = (0..count).map(|lane| assembled.kind(lane, run, linear)).collect();
        assembled.judge(of, linear);
        Ok(assembled)
    }

    /// Errors of the derivatives of all coefficients, against those of the solution.
    fn compare_columns(&mut self, run: &Run<'_>, linear: &Linearization<'_>) {
        let Some(columns) = self.columns.as_ref().filter(|_| !linear.by_systems()) else { return };
        let error = |lane: usize| {
            let on = linear.on_manifold(lane)?;
            let system = on.factored()?;
            let all = run.derivatives.iter().enumerate().filter(|(_, by)| !by.is_of_process());
            let errors = all.map(|(t, by)| {
                let exact = system.solve(on.right_side(by).view());
                let apart = &columns[lane].row(t) - &exact;
                let size = exact.dot(&exact).sqrt();
                if size == 0.0 { apart.dot(&apart).sqrt() } else { apart.dot(&apart).sqrt() / size }
            });
            errors.reduce(|worst, error| if error > worst || error.is_nan() { error } else { worst })
        };
        self.errors = (0..columns.len()).into_par_iter().map(error).collect();
    }

    /// Takes errors of derivatives into account in the verdicts.
    fn judge(&mut self, of: &Differentiate, linear: &Linearization<'_>) {
        let tol = if of.sweep.tolerance() > 0.0 { of.sweep.tolerance() } else { DEFAULT_TOL };
        for (certificate, error) in self.certificates.iter_mut().zip(&self.errors) {
            let Some(certificate) = certificate.as_mut().filter(|c| c.verdict == Verdict::Green) else {
                continue;
            };
            let meets = error.is_some_and(|error| error <= derivative_tolerance(tol));
            if !certificate.unique || (!linear.by_systems() && !meets) {
                certificate.verdict = Verdict::Amber;
            }
        }
    }

    fn differentiate_criterion(
        &mut self,
        of: &Differentiate,
        run: &Run<'_>,
        linear: &Linearization<'_>,
    ) -> Result<()> {
        let criterion = of.wanted_criterion().expect("asked for");
        let lanes = &run.prepared.lanes;
        let at = |lane: usize, x: ArrayView1<'_, f64>| {
            criterion.at(run.problems.of(lanes[lane].fold), &lanes[lane], x)
        };
        let all: Vec<_> = self.states.iter().enumerate().map(|(lane, x)| at(lane, x.view())).collect();
        let cotangents: Vec<Array1<f64>> = all.iter().map(|at| at.gradient.clone()).collect();
        let mut gradient = linear.gradients(run, &cotangents)?;
        for (lane, at) in all.iter().enumerate() {
            let problem = run.problems.of(lanes[lane].fold);
            for (t, by) in run.derivatives.iter().enumerate() {
                gradient[[lane, t]] += at.explicit(problem, &lanes[lane], by);
            }
            self.criterion[lane] = Some(at.value).filter(|v| v.is_finite());
            let Some(on) = linear.on_manifold(lane).filter(|_| !linear.by_systems()) else { continue };
            let there = criterion.at(problem, &lanes[lane], on.x().view());
            let of_lane = (problem, &lanes[lane]);
            let exact = gradient_at_solution(on, of_lane, there.gradient.view(), &run.derivatives);
            self.errors[lane] = exact.and_then(|mut exact| {
                let all = exact.iter_mut().zip(&run.derivatives);
                all.for_each(|(g, by)| *g += there.explicit(problem, &lanes[lane], by));
                relative_error(gradient.row(lane), ArrayView1::from(&exact), &run.derivatives)
            });
        }
        self.gradient = Some(gradient);
        Ok(())
    }

    fn kind(&self, lane: usize, run: &Run<'_>, linear: &Linearization<'_>) -> Kind {
        let of_sweep = &run.result.lanes[lane];
        let solved = of_sweep.status != Status::Unbounded || run.mode.is_unrolled();
        if !of_sweep.ended() || !solved {
            return Kind::Absent;
        }
        let finite = |v: ArrayView1<'_, f64>| v.iter().all(|v| v.is_finite());
        let columns = self.columns.as_ref().is_none_or(|all| all[lane].rows().into_iter().all(finite));
        let gradient = self.gradient.as_ref().is_none_or(|all| finite(all.row(lane)));
        if !(columns && gradient && finite(self.states[lane].view())) {
            return Kind::Absent;
        }
        if linear.by_systems() && linear.on_manifold(lane).is_none() {
            return Kind::Absent;
        }
        match run.mode {
            Mode::Forward | Mode::Reverse => Kind::Iterate,
            _ if self.certificates[lane].is_some_and(|c| !c.unique) => Kind::OneOfSeveral,
            Mode::FixedPoint | Mode::OneStep => Kind::Approximation,
            // Of the last iterate, since the system is too large for Newton's method.
            _ if linear.on_manifold(lane).is_some_and(|on| !on.is_dense()) => Kind::Approximation,
            _ => Kind::Solution,
        }
    }

    pub(super) fn finish(self, of: &Differentiate, run: Run<'_>) -> Differentiated {
        let problem = of.sweep.problem();
        let (count, h, p) = (self.states.len(), run.derivatives.len(), problem.features());
        let columns = Columns::new(problem);
        let means: Vec<f64> =
            run.derivatives.iter().map(|d| d.target_tangent(problem).map_or(0.0, |t| t.1)).collect();
        let mut found = Differentiated {
            mode: run.mode,
            criterion: of.wanted_criterion(),
            names: run.derivatives.iter().map(|by| by.name_in(problem.feature_names())).collect(),
            lanes: Vec::with_capacity(count),
            coef: Array2::zeros((count, p)),
            intercept: Array1::zeros(count),
            dcoef: self.columns.is_some().then(|| Array3::zeros((count, h, p))),
            dintercept: self.columns.is_some().then(|| Array2::zeros((count, h))),
            gradient: None,
            seconds: 0.0,
            peak_bytes: run.peak_bytes()
                + 8 * (count * (1 + if self.columns.is_some() { h } else { 0 }) * p) as u64,
            sweep: run.result,
        };
        for (lane, x) in self.states.iter().enumerate() {
            let dstate = self.columns.as_ref().map(|all| &all[lane]);
            let model = model_of(problem, x, dstate, &means);
            let fit = columns.in_given_units(model);
            found.coef.row_mut(lane).assign(&fit.coef());
            found.intercept[lane] = fit.intercept();
            if let (Some(dcoef), Some(dintercept)) = (&mut found.dcoef, &mut found.dintercept) {
                dcoef.index_axis_mut(Axis(0), lane).assign(&fit.dcoef());
                dintercept.row_mut(lane).assign(&fit.dintercept());
            }
            let of_sweep = &found.sweep.lanes[lane];
            found.lanes.push(DifferentiatedLane {
                alpha: of_sweep.alpha,
                l1_ratio: of_sweep.l1_ratio,
                fold: of_sweep.fold,
                status: of_sweep.status,
                iterations: of_sweep.iterations,
                switch: (run.mode == Mode::Hybrid).then_some(of_sweep.iterations),
                derivative: self.kinds[lane],
                criterion: self.criterion[lane],
                gradient: self.gradient.as_ref().map(|all| all.row(lane).to_vec()),
                derivative_error: self.errors[lane],
                certificate: self.certificates[lane],
            });
        }
        found.gradient = self.gradient;
        found
    }
}

/// A model in the units of the fit from a state and its derivatives, `[h, q]`.
fn model_of(problem: &Objective, x: &Array1<f64>, dstate: Option<&Array2<f64>>, means: &[f64]) -> Model {
    let p = problem.features();
    let coef = |row: ArrayView1<'_, f64>| row.slice_axis(Axis(0), (..p).into()).to_owned();
    let mut dcoef = Array2::zeros((dstate.map_or(0, Array2::nrows), p));
    let mut dintercept = Array1::zeros(dcoef.nrows());
    for (t, row) in dstate.iter().flat_map(|all| all.rows()).enumerate() {
        dcoef.row_mut(t).assign(&coef(row));
        dintercept[t] = problem.intercept_of(row, false, means[t]);
    }
    Model { coef: coef(x.view()), intercept: problem.intercept_of(x.view(), true, 0.0), dcoef, dintercept }
}

/// `‖g − g*‖ / ‖g*‖` over the derivatives by hyperparameters; `None` if `g*` is zero or not finite.
fn relative_error(
    g: ArrayView1<'_, f64>,
    exact: ArrayView1<'_, f64>,
    derivatives: &[Derivative],
) -> Option<f64> {
    let tested = |t: &usize| !derivatives[*t].is_of_process();
    let norm = |of: &dyn Fn(usize) -> f64| {
        (0..exact.len()).filter(tested).map(|t| of(t).powi(2)).sum::<f64>().sqrt()
    };
    let size = norm(&|t| exact[t]);
    Some(norm(&|t| g[t] - exact[t]) / size).filter(|error| error.is_finite())
}
