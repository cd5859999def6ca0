//! The rules of the experiments: their schedules.

use ndarray::Array2;
use rand::{RngExt, SeedableRng};

use proxjet::schedule::{Algorithm, Metric, Momentum, Phase, Schedule, Step, Until};

/// Curvatures that a rule may know: of the whole problem, and on the manifold of its solution.
#[derive(Debug, Clone, Copy)]
pub struct Curvatures {
    /// Lipschitz constant `L` of `∇f`.
    pub lipschitz: f64,
    /// Smallest eigenvalue `m` of the Hessian on the manifold.
    pub restricted: f64,
    /// The largest one.
    pub restricted_top: f64,
}

/// A rule of the experiments.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Proximal gradient, `1/L`.
    Inverse,
    /// Proximal gradient, `2/(L+m)`, `m` on the manifold.
    Optimal,
    /// Proximal gradient, a uniform draw of this range over `L` at every iteration, with separate draws for
    /// each lane.
    Uniform(f64, f64),
    /// Proximal gradient, from `1/L` to `1.9/L` in ten stages, repeated.
    Cyclic,
    /// Proximal gradient in the metric of the Hessian's diagonal bound, `1/L` of that metric.
    Diagonal,
    /// Accelerated, `(k−1)/(k+a)`.
    Accelerated(f64),
    /// Accelerated, `(1−√(m/L))/(1+√(m/L))`, `m` on the manifold.
    StronglyConvex,
    /// Heavy ball with Polyak's step and momentum, `m` on the manifold.
    HeavyBall,
    /// Proximal gradient until identification, then steps `2/(L_S+m_S)` of the manifold.
    Manifold,
    /// Proximal gradient until identification, then accelerated with `a = 20`.
    Switch,
}

/// Every rule, in the order of the tables.
pub const RULES: [Rule; 15] = [
    Rule::Inverse,
    Rule::Optimal,
    Rule::Uniform(0.0, 2.0 / 3.0),
    Rule::Uniform(2.0 / 3.0, 4.0 / 3.0),
    Rule::Uniform(4.0 / 3.0, 2.0),
    Rule::Cyclic,
    Rule::Diagonal,
    Rule::Manifold,
    Rule::Accelerated(2.0),
    Rule::Accelerated(5.0),
    Rule::Accelerated(20.0),
    Rule::Accelerated(50.0),
    Rule::StronglyConvex,
    Rule::HeavyBall,
    Rule::Switch,
];

impl Rule {
    /// Name in pictures and tables.
    pub fn name(self) -> String {
        let third = |v: f64| match (3.0 * v).round() as i64 {
            0 => "0".to_string(),
            n if n % 3 == 0 => format!("{}", n / 3),
            n => format!("{n}/3"),
        };
        match self {
            Rule::Inverse => "PGD 1/L".into(),
            Rule::Optimal => "PGD 2/(L+m)".into(),
            Rule::Uniform(low, high) => format!("PGD U({}, {})/L", third(low), third(high)),
            Rule::Cyclic => "PGD cyclic 1…1.9/L".into(),
            Rule::Diagonal => "PGD diagonal metric".into(),
            Rule::Accelerated(a) => format!("APG (k−1)/(k+{a})"),
            Rule::StronglyConvex => "APG strongly convex".into(),
            Rule::HeavyBall => "heavy ball".into(),
            Rule::Manifold => "PGD → 2/(L+m) of the manifold".into(),
            Rule::Switch => "PGD → APG".into(),
        }
    }

    /// The statement of the page that covers it: `uniform`, `limit`, or neither.
    pub fn theory(self) -> &'static str {
        match self {
            Rule::Uniform(low, high) if low == 0.0 || high >= 2.0 => "–",
            Rule::Accelerated(_) | Rule::StronglyConvex | Rule::HeavyBall | Rule::Switch => "limit",
            _ => "uniform",
        }
    }

    /// True if it belongs to the picture of proximal gradient rules.
    pub fn is_gradient(self) -> bool {
        use Rule::{Accelerated, HeavyBall, StronglyConvex, Switch};
        !matches!(self, Accelerated(_) | StronglyConvex | HeavyBall | Switch)
    }

    /// The schedule for `lanes` lanes over `iterations`.
    pub fn schedule(self, of: Curvatures, iterations: usize, lanes: usize) -> Schedule {
        let (l, m) = (of.lipschitz, of.restricted);
        let pgd = Phase::new(Algorithm::Pgd);
        let apg = |a: f64| Phase::new(Algorithm::Fista).momentum(Momentum::Nesterov(a));
        match self {
            Rule::Inverse => pgd.into(),
            Rule::Optimal => pgd.step(Step::Constant(2.0 * l / (l + m))).into(),
            Rule::Uniform(low, high) => {
                let mut rng = rand_pcg::Pcg64::seed_from_u64(1000 + (30.0 * high) as u64);
                let draws = Array2::from_shape_simple_fn((iterations, lanes), || {
                    // The range includes its upper end but not its lower one, a step of zero.
                    (high - (high - low) * rng.random::<f64>()) / l
                });
                pgd.step(Step::Table(draws.into_dyn())).into()
            }
            Rule::Cyclic => pgd.step(Step::Cyclic { low: 1.0, high: 1.9, period: 10 }).into(),
            Rule::Diagonal => Schedule::from(pgd).metric(Metric::Diagonal),
            Rule::Accelerated(a) => apg(a).into(),
            Rule::StronglyConvex => {
                let root = (m / l).sqrt();
                let beta = Momentum::Constant((1.0 - root) / (1.0 + root));
                Phase::new(Algorithm::Fista).momentum(beta).into()
            }
            Rule::HeavyBall => {
                let (top, bottom) = (l.sqrt(), m.sqrt());
                let beta = ((top - bottom) / (top + bottom)).powi(2);
                let step = Step::Constant(4.0 * l / (top + bottom).powi(2));
                Phase::new(Algorithm::HeavyBall).step(step).momentum(Momentum::Constant(beta)).into()
            }
            Rule::Manifold => {
                let steps = vec![2.0 / (m + of.restricted_top); lanes];
                Schedule::from(pgd.clone().until(Until::Identified))
                    .then(pgd.step(Step::Manifold(Some(steps))))
            }
            Rule::Switch => Schedule::from(pgd.until(Until::Identified)).then(apg(20.0)),
        }
    }
}
