//! The experiments of the paper's subject, on data made here and on real ones: do the derivatives of a solver converge at its own
//! rate although its update varies?

mod experiment;
mod rules;

pub use experiment::{Experiment, Reference, RuleRun};
pub use rules::{Curvatures, RULES, Rule};

use crate::data::Synthetic;
use crate::error::Result;
use crate::problem::{Loss, Penalty, Problem};

/// The lasso of 100 x 200 numbers, `alpha = alpha_max/10`.
///
/// # Errors
/// None for these sizes.
pub fn lasso(seeds: usize) -> Result<Experiment> {
    let data = Synthetic {
        rows: 100,
        features: 200,
        scale: (1.0, 1.0),
        relevant: 20,
        effect: 2.0,
        noise: 0.5,
        classes: false,
        seed: 1,
    };
    let problem = Problem::builder(data.draw()?).penalty(Penalty::l1()).intercept(false).build()?;
    Ok(Experiment {
        name: "lasso".into(),
        title: "Lasso, 100 × 200, alpha = alpha_max/10".into(),
        alpha: 0.1 * problem.alpha_max(1.0),
        problem,
        seeds,
        spread: 1.0,
        limit: 3000,
    })
}

/// Ridge-logistic regression of 200 x 50 numbers, `alpha = 0.02`.
///
/// # Errors
/// None for these sizes.
pub fn logistic(seeds: usize) -> Result<Experiment> {
    let data = Synthetic {
        rows: 200,
        features: 50,
        scale: (0.3, 1.5),
        relevant: 50,
        effect: 1.0,
        noise: 1.0,
        classes: true,
        seed: 2,
    };
    let problem =
        Problem::builder(data.draw()?).loss(Loss::logistic()).penalty(Penalty::l2()).intercept(false).build()?;
    Ok(Experiment {
        name: "logistic".into(),
        title: "Logistic regression with an l2 penalty, 200 × 50, alpha = 0.02".into(),
        alpha: 0.02,
        problem,
        seeds,
        // Near enough for the linear phase to begin soon; the far start is an experiment of its own.
        spread: 0.1,
        limit: 3000,
    })
}
