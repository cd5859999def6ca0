//! Cases of the shared suites, made from the catalog: a loss or a penalty is tested as soon as its catalog
//! line is there.

use ndarray::Array1;
use proxjet::data::Dataset;
use proxjet::design::Sparse;
use proxjet::objective::{Derivative, Loss, Objective, Penalty};
use proxjet::program::Keep;
use proxjet::schedule::{Algorithm, Phase, Step};
use proxjet::solve::{Alphas, Sweep};

use super::synthetic;

/// Every loss, with the last of the parameters that it declares to be representative.
pub(crate) fn losses() -> Vec<Loss> {
    let last = |name: &&str| Loss::examples().into_iter().rfind(|loss| loss.name() == *name).unwrap();
    Loss::NAMES.iter().map(last).collect()
}

/// Every penalty, likewise.
pub(crate) fn penalties() -> Vec<Penalty> {
    let last = |name: &&str| Penalty::examples().into_iter().rfind(|p| p.name() == *name).unwrap();
    Penalty::NAMES.iter().map(last).collect()
}

/// What steps in units of 1/L are multiplied with, to stay well below the limit of a penalty that has one.
pub(crate) fn step_scale(problem: &Objective) -> f64 {
    let (penalty, lipschitz) = (problem.penalty(), problem.spectrum().lipschitz);
    penalty.step_limit().map_or(1.0, |(_, limit)| (0.3 * limit * lipschitz).min(1.0))
}

/// What a case runs besides its loss and penalty.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) algorithm: Algorithm,
    /// Rows, features, lanes: no multiples of 4, 8, 32 or 64, and the smallest there are.
    pub(crate) size: (usize, usize, usize),
    pub(crate) intercept: bool,
    pub(crate) factors: bool,
    pub(crate) validation: bool,
    pub(crate) tangents: usize,
    /// Iterations from frame to frame.
    pub(crate) every: usize,
}

/// More tangents than products take along (8), held-out rows, an intercept: what every pair of loss and
/// penalty runs.
pub(crate) const FULL: Setting = Setting {
    name: "pgd with everything",
    algorithm: Algorithm::Pgd,
    size: (45, 11, 5),
    intercept: true,
    factors: true,
    validation: true,
    tangents: 8,
    every: 4,
};

/// What every loss runs with the l1 penalty, and every penalty with the squared loss.
pub(crate) const SETTINGS: [Setting; 4] = [
    Setting {
        name: "fista without an intercept",
        algorithm: Algorithm::Fista,
        size: (70, 6, 9),
        intercept: false,
        factors: false,
        validation: false,
        tangents: 1,
        every: 13,
    },
    Setting {
        name: "heavy ball with more features than rows",
        algorithm: Algorithm::HeavyBall,
        size: (33, 37, 3),
        intercept: true,
        factors: true,
        validation: false,
        tangents: 2,
        every: 13,
    },
    Setting {
        name: "one coefficient in one lane",
        algorithm: Algorithm::Fista,
        size: (6, 1, 1),
        intercept: true,
        factors: false,
        validation: false,
        tangents: 3,
        every: 1,
    },
    Setting {
        name: "many lanes without tangents",
        algorithm: Algorithm::Fista,
        size: (130, 5, 70),
        intercept: false,
        factors: true,
        validation: true,
        tangents: 0,
        every: 13,
    },
];

/// A loss, a penalty and a setting.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) loss: Loss,
    pub(crate) penalty: Penalty,
    pub(crate) setting: Setting,
    pub(crate) data: Dataset,
    pub(crate) held_out: Option<Dataset>,
    /// `[p]`, all different: the Lipschitz constant of a ridge has a kink where the largest two are equal.
    pub(crate) factors: Array1<f64>,
    pub(crate) derivatives: Vec<Derivative>,
    /// 150 iterations.
    pub(crate) sweep: Sweep,
}

/// Every loss with every penalty, and each of them in every setting.
pub(crate) fn cases() -> Vec<Case> {
    let mut list = Vec::new();
    for loss in losses() {
        for penalty in penalties() {
            list.push(Case::new(loss, penalty, FULL));
            if loss == Loss::squared() || penalty == Penalty::l1() {
                list.extend(SETTINGS.map(|setting| Case::new(loss, penalty, setting)));
            }
        }
    }
    list
}

impl Case {
    pub(crate) fn new(loss: Loss, penalty: Penalty, setting: Setting) -> Case {
        let (n, p, b) = setting.size;
        let data = synthetic(n, p, loss.classes(), 7);
        let held_out = setting.validation.then(|| synthetic(17, p, loss.classes(), 1007));
        let uneven = setting.factors && penalty.uses_alpha();
        let factors: Array1<f64> =
            (0..p).map(|j| if uneven { 0.5 + 0.1 * ((5 * j) % 37) as f64 } else { 1.0 }).collect();
        let problem = objective((loss, penalty), setting, &factors, (&data, held_out.as_ref()));
        let mut derivatives = derivatives(loss, penalty, setting);
        derivatives.truncate(setting.tangents);
        let high = if penalty.uses_alpha() { 0.5 * problem.alpha_max(1.0).max(0.02) } else { 1.0 };
        let alphas = (0..b as i32).map(|lane| high * 0.7f64.powi(lane % 12)).collect();
        let scale = step_scale(&problem);
        let step = match setting.algorithm {
            Algorithm::Pgd => Step::Uniform { low: 0.3 * scale, high: 1.7 * scale, seed: 7 },
            _ if scale < 1.0 => Step::Constant(scale),
            _ => Step::InverseLipschitz,
        };
        let sweep = Sweep::new(problem)
            .alphas(Alphas::List(alphas))
            .schedule(Phase::new(setting.algorithm))
            .step(step)
            .iterations(150)
            .every(setting.every)
            .keep(Keep::All)
            .tol(0.0)
            .derivatives(derivatives.clone());
        let name = format!("{loss} + {penalty}, {}", setting.name);
        Case { name, loss, penalty, setting, data, held_out, factors, derivatives, sweep }
    }
}

fn objective(
    (loss, penalty): (Loss, Penalty),
    setting: Setting,
    factors: &Array1<f64>,
    (data, held_out): (&Dataset, Option<&Dataset>),
) -> Objective {
    // The textbook iterates on the columns as given.
    let builder = Objective::builder(data.clone()).centre(false).loss(loss).penalty(penalty);
    let mut builder = builder.intercept(setting.intercept).penalty_factors(factors.clone());
    if let Some(held_out) = held_out {
        builder = builder.validation(held_out.clone());
    }
    builder.build().unwrap()
}

/// The same data with zeros in place of most entries, and in all of every fourth column from the sixth.
pub(crate) fn thinned(data: &Dataset) -> Dataset {
    let mut x = data.x().mapv(|v| if v.abs() > 1.3 { v } else { 0.0 });
    (5..x.ncols()).step_by(4).for_each(|j| x.column_mut(j).fill(0.0));
    Dataset::weighted(x, data.target().to_owned(), data.sample_weight().to_owned()).unwrap()
}

/// The same data with a sparse design.
pub(crate) fn sparse(data: &Dataset) -> Dataset {
    let x = data.x();
    let stored = x.indexed_iter().map(|((i, j), v)| (i, j, *v));
    let design = Sparse::from_triplets(x.dim(), stored).unwrap().0;
    let data = Dataset::weighted(design, data.target().to_owned(), data.sample_weight().to_owned());
    data.unwrap()
}

impl Case {
    /// The same sweep with a sparse design.
    pub(crate) fn of_sparse(&self) -> Sweep {
        let (data, held_out) = (sparse(&self.data), self.held_out.as_ref().map(sparse));
        let kinds = (self.loss, self.penalty);
        let problem = objective(kinds, self.setting, &self.factors, (&data, held_out.as_ref()));
        assert!(problem.stored().is_some());
        self.sweep.clone().on(problem)
    }
}

/// Every kind of derivative that exists for a loss and a penalty, the most usual first.
fn derivatives(loss: Loss, penalty: Penalty, setting: Setting) -> Vec<Derivative> {
    let (n, p, _) = setting.size;
    let mut list = Vec::new();
    if penalty.uses_alpha() {
        list.extend([Derivative::LogAlpha, Derivative::PenaltyFactor(p / 2)]);
    }
    if !loss.classes() {
        list.push(Derivative::Target((0..n).map(|i| (i as f64).sin()).collect()));
    }
    if penalty.uses_alpha() && penalty.l1_ratio().is_none() {
        list.push(Derivative::L1Ratio);
    }
    // Those by the solver's own settings vanish at the solution: early ones are seen. There are always enough
    // of them, so that runs of a setting have as many tangents and share most kernels.
    list.push(Derivative::LogStep);
    if setting.algorithm != Algorithm::Pgd {
        list.push(Derivative::Momentum(4));
    }
    if penalty.uses_alpha() {
        list.push(Derivative::Alpha);
    }
    list.extend([1, 2, 3, 5, 7, 0, 4, 6].map(Derivative::Step));
    list
}
