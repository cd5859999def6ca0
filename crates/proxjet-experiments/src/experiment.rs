//! One experiment: a problem, its solution to rounding accuracy, and a run of every rule with one lane per
//! start.

use ndarray::Array2;
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

use crate::rules::{Curvatures, RULES, Rule};
use proxjet::diff::implicit::Solution;
use proxjet::diff::rates::Recursion;
use proxjet::diff::{LaneAnalysis, analyse, solutions};
use proxjet::engine::{Engine, cpu::CpuEngine};
use proxjet::error::Result;
use proxjet::objective::{Derivative, Objective};
use proxjet::program::{Keep, Precision};
use proxjet::schedule::{LaneSchedule, Momentum, Phase, Schedule};
use proxjet::solve::{Alphas, Sweep, SweepResult};
use proxjet_report::errors_against;

/// A problem with one alpha, and starts.
#[derive(Debug, Clone)]
pub struct Experiment {
    /// Name of its files.
    pub name: String,
    /// Title on the page.
    pub title: String,
    /// Title of its pictures.
    pub short: String,
    /// A description in plain words.
    pub words: String,
    /// The problem.
    pub problem: Objective,
    /// Penalty strength.
    pub alpha: f64,
    /// Runs per rule: each with its own start, and its own draws where steps are random.
    pub starts: usize,
    /// Standard deviation of the starts' coefficients.
    pub spread: f64,
    /// Maximum number of iterations.
    pub limit: usize,
}

/// A run of one rule.
#[derive(Debug)]
pub struct RuleRun {
    /// The rule.
    pub rule: Rule,
    /// The result of the run.
    pub result: SweepResult,
    /// The analysis of every start.
    pub analysis: Vec<LaneAnalysis>,
    /// `[f, starts]`: distance to the solution relative to the start's.
    pub error: Array2<f64>,
    /// `[f, starts]`: the same of the derivative.
    pub derivative_error: Array2<f64>,
}

/// The solution of an experiment, and the curvatures that its rules may use.
#[derive(Debug, Clone)]
pub struct Reference {
    /// Solution, derivative, spectrum on the manifold.
    pub solution: Solution,
    /// Curvatures.
    pub curvatures: Curvatures,
}

/// Relative error of the slowest mode at which a run ends.
const DEPTH: f64 = 1e-11;
/// Additional iterations allowed for identification.
const IDENTIFICATION: usize = 200;

impl Experiment {
    /// A sweep of the experiment's one alpha with the given starts as lanes.
    pub fn sweep(&self, schedule: impl Into<Schedule>, iterations: usize) -> Sweep {
        let mut rng = rand_pcg::Pcg64::seed_from_u64(42);
        let start = Array2::from_shape_simple_fn((self.starts, self.problem.features()), || {
            let v: f64 = StandardNormal.sample(&mut rng);
            self.spread * v
        });
        Sweep::new(self.problem.clone())
            .alphas(Alphas::List(vec![self.alpha; self.starts]))
            .derivatives([Derivative::LogAlpha])
            .schedule(schedule)
            .iterations(iterations)
            .every((iterations / 200).max(1))
            .keep(Keep::All)
            .start(start)
            .tol(0.0)
    }

    /// The solution and its derivative, by the implicit linear system on the manifold that a long run
    /// identifies.
    ///
    /// # Errors
    /// A solution that is not unique, or a system too large.
    pub fn reference(&self) -> Result<Reference> {
        let sweep = Sweep::new(self.problem.clone())
            .alphas(Alphas::List(vec![self.alpha]))
            .derivatives([Derivative::LogAlpha])
            .schedule(Phase::new(proxjet::schedule::Algorithm::Fista).momentum(Momentum::Nesterov(50.0)))
            .iterations(20_000)
            .every(20_000)
            .tol(1e-12);
        let result = sweep.run(&mut CpuEngine::new())?;
        let solution = solutions(&sweep, &result)?.remove(0)?;
        let curvatures = Curvatures {
            lipschitz: result.lanes[0].lipschitz,
            restricted: solution.eigenvalues.first().copied().unwrap_or(result.lanes[0].lipschitz),
            restricted_top: solution.eigenvalues.last().copied().unwrap_or(result.lanes[0].lipschitz),
        };
        Ok(Reference { solution, curvatures })
    }

    /// The number of iterations that a rule needs, by its predicted errors.
    fn iterations(&self, rule: Rule, reference: &Reference) -> Result<usize> {
        let one = Experiment { starts: 1, ..self.clone() };
        let schedule = rule.schedule(reference.curvatures, self.limit, 1);
        let prepared = one.sweep(schedule, self.limit).prepare()?;
        let laid: &LaneSchedule = &prepared.schedule;
        let Some(mut recursion) = Recursion::new(&reference.solution) else { return Ok(self.limit) };
        let extrapolates =
            |k: usize| proxjet::diff::rates::extrapolation_at(laid, k, laid.momentum_at(k, 0)).unwrap_or(0.0);
        let needed = (0..self.limit).find(|k| {
            let step = if rule == Rule::Diagonal {
                1.0 / reference.curvatures.lipschitz
            } else {
                laid.step_at(*k, 0)
            };
            recursion.advance(step, laid.momentum_at(*k, 0), extrapolates(*k)) < DEPTH
        });
        Ok(needed.map_or(self.limit, |k| (k + IDENTIFICATION).min(self.limit)))
    }

    /// Runs one rule.
    ///
    /// # Errors
    /// As [`Sweep::run`].
    pub fn run_rule(
        &self,
        rule: Rule,
        reference: &Reference,
        engine: &mut dyn Engine,
        precision: Precision,
    ) -> Result<RuleRun> {
        let iterations = self.iterations(rule, reference)?;
        let schedule = rule.schedule(reference.curvatures, iterations, self.starts);
        let sweep = self.sweep(schedule, iterations).precision(precision);
        let result = sweep.run(engine)?;
        self.measure(rule, &sweep, result, reference)
    }

    /// Compares a run with the solution.
    ///
    /// # Errors
    /// As [`Sweep::prepare`].
    pub fn measure(
        &self,
        rule: Rule,
        sweep: &Sweep,
        result: SweepResult,
        reference: &Reference,
    ) -> Result<RuleRun> {
        let mut own = reference.solution.clone();
        if sweep.rules().metric_rule() != &proxjet::schedule::Metric::None {
            own = solutions(sweep, &result)?.swap_remove(0)?;
        }
        let all = vec![Ok(own); self.starts];
        let analysis = analyse(sweep, &result, &all)?;
        let p = self.problem.features();
        let coef = Array2::from_shape_fn((self.starts, p), |(_, j)| reference.solution.state[j]);
        let dcoef = Array2::from_shape_fn((self.starts, p), |(_, j)| reference.solution.dstate[[0, j]]);
        let (error, derivative_error) = errors_against(&result.trace, 0, coef.view(), dcoef.view());
        Ok(RuleRun { rule, result, analysis, error, derivative_error })
    }

    /// Runs every rule and calls `progress` for each.
    ///
    /// # Errors
    /// As [`Sweep::run`].
    pub fn run(
        &self,
        reference: &Reference,
        engine: &mut dyn Engine,
        precision: Precision,
        mut progress: impl FnMut(Rule),
    ) -> Result<Vec<RuleRun>> {
        RULES
            .into_iter()
            .map(|rule| {
                progress(rule);
                self.run_rule(rule, reference, engine, precision)
            })
            .collect()
    }
}
