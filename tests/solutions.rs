//! For every loss and penalty of the catalog: iterates and tangents converge to a solution and its
//! derivatives, at the same rate, and the implicit derivative is theirs. Compared with differences of
//! solutions, which know nothing of tangents.

use ndarray::{Array1, Array2, Axis};
use proxjet::data::Dataset;
use proxjet::diff::{analyse, solutions};
use proxjet::engine::cpu::CpuEngine;
use proxjet::objective::{Derivative, Loss, Objective, Penalty};
use proxjet::schedule::{Algorithm, Step};
use proxjet::solve::{Alphas, Sweep, SweepResult};

use crate::common::cases::{losses, penalties, step_scale};
use crate::common::compare::{Report, relative_diff};
use crate::common::synthetic;

const ROWS: usize = 80;
const FEATURES: usize = 6;
const ITERATIONS: usize = 3000;
/// Width of a difference: its square is what the difference lacks, and it divides the rounding of the
/// solutions.
const H: f64 = 1e-4;

/// What is differentiated by.
#[derive(Clone)]
struct Setting {
    loss: Loss,
    penalty: Penalty,
    log_alpha: f64,
    l1_ratio: f64,
    factors: Array1<f64>,
    target: Array1<f64>,
}

impl Setting {
    fn new(loss: Loss, penalty: Penalty) -> Self {
        let mut target = synthetic(ROWS, FEATURES, loss.classes(), 21).target().to_owned();
        if loss.classes() {
            // No plane separates the classes.
            target.iter_mut().step_by(5).for_each(|y| *y = 1.0 - *y);
        }
        let factors = (0..FEATURES).map(|j| 1.0 + if penalty.uses_alpha() { 0.1 * j as f64 } else { 0.0 });
        Setting { loss, penalty, log_alpha: 0.05f64.ln(), l1_ratio: 0.6, factors: factors.collect(), target }
    }

    fn sweep(&self, derivatives: Vec<Derivative>) -> Sweep {
        let data = synthetic(ROWS, FEATURES, false, 21);
        // Columns of different sizes: rates near 1, over many iterations.
        let sizes: Array1<f64> = (0..FEATURES).map(|j| 0.4 + 0.25 * j as f64).collect();
        let data = Dataset::new(&data.x() * &sizes, self.target.clone())
            .unwrap()
            .with_sample_weight(data.sample_weight().to_owned())
            .unwrap();
        let problem = Objective::builder(data)
            .loss(self.loss)
            .penalty(self.penalty)
            .penalty_factors(self.factors.clone());
        let problem = problem.build().unwrap();
        let step = match step_scale(&problem) {
            1.0 => Step::InverseLipschitz,
            scale => Step::Constant(scale),
        };
        Sweep::new(problem)
            .step(step)
            .alphas(Alphas::List(vec![self.log_alpha.exp()]))
            .l1_ratio(self.l1_ratio)
            .algorithm(Algorithm::Pgd)
            .iterations(ITERATIONS)
            .every(1)
            .tol(0.0)
            .derivatives(derivatives)
    }

    /// Every derivative by what a solution depends on.
    fn derivatives(&self) -> Vec<Derivative> {
        let mut list = Vec::new();
        if self.penalty.uses_alpha() {
            list.extend([Derivative::LogAlpha, Derivative::PenaltyFactor(3)]);
            if self.penalty.l1_ratio().is_none() {
                list.push(Derivative::L1Ratio);
            }
        }
        if !self.loss.classes() {
            list.push(Derivative::Target((0..ROWS).map(|i| (i as f64).sin()).collect()));
        }
        list
    }

    /// The same with a hyperparameter moved.
    fn moved(&self, derivative: &Derivative, by: f64) -> Self {
        let mut moved = self.clone();
        match derivative {
            Derivative::LogAlpha => moved.log_alpha += by,
            Derivative::PenaltyFactor(j) => moved.factors[*j] += by,
            Derivative::L1Ratio => moved.l1_ratio += by,
            Derivative::Target(direction) => moved.target.scaled_add(by, direction),
            other => panic!("{other:?} moves no solution"),
        }
        moved
    }

    /// The last iterate, `[p + 1]`, its intercept at the end.
    fn solution(&self) -> Array1<f64> {
        last(&self.sweep(vec![]).every(ITERATIONS).run(&mut CpuEngine::new()).unwrap())
    }

    fn differences(&self, derivatives: &[Derivative]) -> Array2<f64> {
        let mut all = Array2::zeros((derivatives.len(), FEATURES + 1));
        for (mut row, derivative) in all.outer_iter_mut().zip(derivatives) {
            let (above, below) =
                (self.moved(derivative, H).solution(), self.moved(derivative, -H).solution());
            row.assign(&((above - below) / (2.0 * H)));
        }
        all
    }
}

/// Coefficients and intercept at the end of the only lane.
fn last(result: &SweepResult) -> Array1<f64> {
    let f = result.trace.iteration.len() - 1;
    let coef = result.trace.coef.index_axis(Axis(0), f);
    coef.row(0).iter().copied().chain([result.trace.intercept[[f, 0]]]).collect()
}

/// Their derivatives.
fn last_tangents(result: &SweepResult) -> Array2<f64> {
    let f = result.trace.iteration.len() - 1;
    Array2::from_shape_fn((result.info.derivative.len(), FEATURES + 1), |(t, j)| {
        if j < FEATURES { result.trace.dcoef[[f, 0, t, j]] } else { result.trace.dintercept[[f, 0, t]] }
    })
}

#[test]
fn derivatives_converge_to_those_of_the_solution_at_the_rate_of_the_iterates() {
    let (mut report, mut rates) = (Report::default(), 0);
    for loss in losses() {
        for penalty in penalties() {
            let setting = Setting::new(loss, penalty);
            let derivatives = setting.derivatives();
            if derivatives.is_empty() {
                continue;
            }
            let name = format!("{loss} + {penalty}");
            let sweep = setting.sweep(derivatives.clone());
            let result = sweep.run(&mut CpuEngine::new()).unwrap();
            let expected = setting.differences(&derivatives);
            let found = relative_diff(&last_tangents(&result), &expected);
            report.check(&name, found <= 1e-6, || format!("tangents are {found:e} from differences"));

            let known = solutions(&sweep, &result).unwrap();
            let solution = known[0].as_ref().unwrap();
            let p = FEATURES;
            let implicit = solution.dstate.slice_axis(Axis(1), (..p).into()).to_owned();
            let found = relative_diff(&implicit, &expected.slice_axis(Axis(1), (..p).into()).to_owned());
            report.check(&name, found <= 1e-6, || {
                format!("implicit derivatives are {found:e} from differences")
            });

            let lane = analyse(&sweep, &result, &known).unwrap().swap_remove(0);
            println!("{name}: {:?} {:?} {:?}", lane.rate, lane.derivative_rate, lane.predicted_rate);
            for (t, rate) in lane.derivative_rate.iter().enumerate() {
                let (Some(rate), Some(of_iterates)) = (rate, &lane.rate) else { continue };
                rates += 1;
                // The Jacobian moves with the iterate: a factor k + c, which over a window from k adds about
                // 1/k to the rate.
                let slack = 2.0 * (rate.error + of_iterates.error) + 2.0 / rate.window.0.max(1) as f64;
                let apart = (rate.q / of_iterates.q - 1.0).abs();
                report.check(&name, apart <= slack, || format!("tangent {t}: {rate:?}, {of_iterates:?}"));
            }
        }
    }
    println!("{rates} rates");
    report.finish(2 * (losses().len() * penalties().len() - 2));
}
