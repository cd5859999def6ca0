//! Schedules: what varies with the iteration. The host computes the tables in f64; engines only read numbers.

use ndarray::{Array2, ArrayD, Axis};

use crate::error::{Error, Result};

mod algorithm;
mod momentum;
mod step;

pub use algorithm::Algorithm;
pub use momentum::Momentum;
pub use step::Step;

/// What a rule may know of a lane: curvature bounds of its smooth loss and of its proximal part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LaneCurvature {
    /// Lipschitz constant `L` of `∇f`.
    pub lipschitz: f64,
    /// Strong convexity `m` of `f`.
    pub strong_convexity: f64,
    /// Strong convexity of the proximal part.
    pub prox_strong_convexity: f64,
}

/// Step sizes and momenta of a run: rules, and the lanes they apply to.
#[derive(Debug, Clone)]
pub struct Schedule {
    algorithm: Algorithm,
    step: Step,
    momentum: Momentum,
    lanes: Vec<LaneCurvature>,
    /// Multiples of `1/L`, one per iteration, for the rules that draw or cycle; FISTA's momenta.
    step_units: Vec<f64>,
    fista: Vec<f64>,
}

/// Steps and momenta of consecutive iterations, `[iterations, lanes]` each. Row `k` makes iterate `first + k + 1`.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Index of the first row.
    pub first: usize,
    /// Step sizes `α_k`.
    pub step: Array2<f64>,
    /// Momenta `β_k`.
    pub momentum: Array2<f64>,
}

impl Schedule {
    /// A schedule over `iterations` for the given lanes.
    ///
    /// # Errors
    /// A table that is too short or of another number of lanes, a momentum that the algorithm does not have, or one
    /// that needs a strong convexity the problem lacks.
    pub fn new(
        algorithm: Algorithm,
        step: Step,
        momentum: Momentum,
        iterations: usize,
        lanes: Vec<LaneCurvature>,
    ) -> Result<Self> {
        let none = match &momentum {
            Momentum::None => true,
            Momentum::Table(table) => table.iter().all(|v| *v == 0.0),
            _ => false,
        };
        if algorithm == Algorithm::Pgd && !none {
            return Err(Error::usage(
                "--momentum",
                format!("'{momentum}' with algorithm 'pgd'"),
                "'none', or a table of zeros",
                "Use --algorithm fista or heavy_ball for momentum.",
            ));
        }
        step.check(iterations, lanes.len())?;
        momentum.check(iterations, &lanes)?;
        let step_units = step.units(iterations);
        let fista = if matches!(momentum, Momentum::Fista) { momentum::fista(iterations) } else { Vec::new() };
        Ok(Schedule { algorithm, step, momentum, lanes, step_units, fista })
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
    /// The step rule.
    pub fn step(&self) -> &Step {
        &self.step
    }
    /// The momentum rule.
    pub fn momentum(&self) -> &Momentum {
        &self.momentum
    }
    /// Curvature bounds of the lanes.
    pub fn lanes(&self) -> &[LaneCurvature] {
        &self.lanes
    }

    /// Step size of iteration `k` (from 0) in a lane.
    pub fn step_at(&self, k: usize, lane: usize) -> f64 {
        let of = &self.lanes[lane];
        match &self.step {
            Step::InverseLipschitz => 1.0 / of.lipschitz,
            Step::Optimal => 2.0 / (of.lipschitz + of.strong_convexity),
            Step::Constant(v) => v / of.lipschitz,
            Step::Uniform { .. } | Step::Cyclic { .. } => self.step_units[k] / of.lipschitz,
            Step::Table(table) => entry(table, k, lane),
        }
    }

    /// Momentum of iteration `k` (from 0) in a lane.
    pub fn momentum_at(&self, k: usize, lane: usize) -> f64 {
        match &self.momentum {
            Momentum::None => 0.0,
            Momentum::Fista => self.fista[k],
            Momentum::Nesterov(a) => k as f64 / (k as f64 + 1.0 + a),
            Momentum::Constant(v) => *v,
            Momentum::StronglyConvex => {
                momentum::strongly_convex(self.algorithm, self.step_at(k, lane), &self.lanes[lane])
            }
            Momentum::Table(table) => entry(table, k, lane),
        }
    }

    /// The table of `count` iterations from `first` for the lanes `lanes`.
    pub fn table(&self, first: usize, count: usize, lanes: &[usize]) -> Table {
        let shape = (count, lanes.len());
        Table {
            first,
            step: Array2::from_shape_fn(shape, |(k, i)| self.step_at(first + k, lanes[i])),
            momentum: Array2::from_shape_fn(shape, |(k, i)| self.momentum_at(first + k, lanes[i])),
        }
    }

    /// The first (iteration, lane, step·L) whose step leaves the interval `(0, 2/L)` of guaranteed descent.
    pub fn first_unsafe_step(&self, iterations: usize) -> Option<(usize, usize, f64)> {
        (0..iterations).find_map(|k| {
            self.lanes.iter().enumerate().find_map(|(lane, of)| {
                let product = self.step_at(k, lane) * of.lipschitz;
                (!(product > 0.0 && product < 2.0)).then_some((k, lane, product))
            })
        })
    }
}

/// Entry `[k]` or `[k, lane]` of a table.
fn entry(table: &ArrayD<f64>, k: usize, lane: usize) -> f64 {
    if table.ndim() == 1 { table[[k]] } else { table[[k, lane]] }
}

/// Checks a table of shape `[iterations]` or `[iterations, lanes]`.
fn check_table(at: &str, table: &ArrayD<f64>, iterations: usize, lanes: usize) -> Result<()> {
    let refuse = |found: String, expected: String, remedy: &str| Err(Error::usage(at, found, expected, remedy));
    let shape = table.shape();
    match shape {
        [_] => {}
        [_, b] if *b == lanes => {}
        _ => {
            return refuse(
                format!("a table of shape {shape:?}"),
                format!("[{iterations}] or [{iterations}, {lanes}]"),
                "One row per iteration, and one column per lane or none.",
            );
        }
    }
    if shape[0] < iterations {
        return refuse(
            format!("a table of {} iterations", shape[0]),
            format!("at least {iterations}, as many as --iterations"),
            "Give a longer table or fewer --iterations.",
        );
    }
    for (k, row) in table.axis_iter(Axis(0)).enumerate() {
        if let Some(v) = row.iter().find(|v| !v.is_finite()) {
            return refuse(format!("{v} at iteration {k}"), "finite numbers".into(), "");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(l: f64, m: f64) -> LaneCurvature {
        LaneCurvature { lipschitz: l, strong_convexity: m, prox_strong_convexity: 0.0 }
    }

    fn schedule(algorithm: Algorithm, step: &str, momentum: &str) -> Schedule {
        let (step, momentum) = (step.parse().unwrap(), momentum.parse().unwrap());
        Schedule::new(algorithm, step, momentum, 10, vec![lane(4.0, 1.0), lane(8.0, 2.0)]).unwrap()
    }

    #[test]
    fn rules_are_in_units_of_one_over_l() {
        let s = |rule: &str| schedule(Algorithm::Pgd, rule, "none");
        assert_eq!(s("1/L").step_at(3, 1), 0.125);
        assert_eq!(s("2/(L+m)").step_at(0, 0), 0.4);
        assert_eq!(s("constant:0.5").step_at(0, 0), 0.125);
        let cyclic = s("cyclic:1:1.8:5");
        let steps: Vec<f64> = (0..6).map(|k| cyclic.step_at(k, 0) * 4.0).collect();
        for (step, expected) in steps.iter().zip([1.0, 1.2, 1.4, 1.6, 1.8, 1.0]) {
            assert!((step - expected).abs() < 1e-15);
        }
        let uniform = s("uniform:0.5:1.5:7");
        let draws: Vec<f64> = (0..10).map(|k| uniform.step_at(k, 0) * 4.0).collect();
        assert!(draws.iter().all(|u| (0.5..1.5).contains(u)) && draws[0] != draws[1]);
        assert_eq!(draws[4], uniform.step_at(4, 1) * 8.0, "all lanes see the same draw");
        assert_eq!(draws, (0..10).map(|k| s("uniform:0.5:1.5:7").step_at(k, 0) * 4.0).collect::<Vec<_>>());
    }

    #[test]
    fn momenta_follow_their_definitions() {
        let s = |rule: &str| schedule(Algorithm::Fista, "1/L", rule);
        // t = 1, (1+√5)/2, …: β_0 = 0, β_1 = (t_2 − 1)/t_3.
        let t2 = (1.0 + 5f64.sqrt()) / 2.0;
        let t3 = (1.0 + (1.0 + 4.0 * t2 * t2).sqrt()) / 2.0;
        assert_eq!(s("fista").momentum_at(0, 0), 0.0);
        assert!((s("fista").momentum_at(1, 0) - (t2 - 1.0) / t3).abs() < 1e-15);
        assert_eq!(s("nesterov:3").momentum_at(0, 0), 0.0);
        assert_eq!(s("nesterov:3").momentum_at(4, 0), 4.0 / 8.0); // k = 5: (k−1)/(k+3)
        assert!((s("strongly_convex").momentum_at(0, 0) - 0.5 / 1.5).abs() < 1e-15); // √(m/L) = 1/2
        let ball = schedule(Algorithm::HeavyBall, "1/L", "strongly_convex");
        assert!((ball.momentum_at(0, 0) - 0.25).abs() < 1e-15);
    }

    #[test]
    fn wrong_tables_and_combinations_are_refused() {
        let lanes = || vec![lane(1.0, 0.0)];
        let short = Step::Table(ArrayD::ones(vec![3]));
        let e = Schedule::new(Algorithm::Pgd, short, Momentum::None, 5, lanes()).unwrap_err();
        assert!(e.to_string().contains("a table of 3 iterations, expected at least 5"), "{e}");
        let wide = Step::Table(ArrayD::ones(vec![5, 2]));
        assert!(Schedule::new(Algorithm::Pgd, wide, Momentum::None, 5, lanes()).is_err());
        let one = || Step::InverseLipschitz;
        assert!(Schedule::new(Algorithm::Pgd, one(), Momentum::Fista, 5, lanes()).is_err());
        let e = Schedule::new(Algorithm::Fista, one(), Momentum::StronglyConvex, 5, lanes()).unwrap_err();
        assert!(e.to_string().contains("strong convexity 0"), "{e}");
    }

    #[test]
    fn steps_outside_the_interval_are_found() {
        let lanes = vec![lane(1.0, 0.0)];
        let step: Step = "constant:2.5".parse().unwrap();
        let s = Schedule::new(Algorithm::Pgd, step, Momentum::None, 5, lanes).unwrap();
        assert_eq!(s.first_unsafe_step(5), Some((0, 0, 2.5)));
    }
}
