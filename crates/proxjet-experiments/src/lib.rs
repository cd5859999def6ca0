//! Experiments on the paper's question, on synthetic and real data: do the derivatives of a solver converge
//! at its own rate although its update varies?

mod experiment;
pub mod page;
pub mod pictures;
mod rules;
pub mod table;

pub use experiment::{Experiment, Reference, RuleRun};
pub use rules::{Curvatures, RULES, Rule};

use proxjet::data::{Dataset, Synthetic, bundled};
use proxjet::error::Result;
use proxjet::objective::{Loss, Objective, Penalty};

/// The lasso of 100 x 200 numbers, `alpha = alpha_max/10`.
///
/// # Errors
/// None for these sizes.
pub fn lasso(starts: usize) -> Result<Experiment> {
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
    let problem = Objective::builder(data.draw()?).penalty(Penalty::l1()).intercept(false).build()?;
    Ok(Experiment {
        name: "lasso".into(),
        title: "Lasso on synthetic data".into(),
        short: "Lasso, 100 × 200".into(),
        words:
            "100 rows of 200 independent normal features, 20 of which matter; alpha is a tenth of the one \
            at which all coefficients \
                vanish. After identification the update is affine: iterates and derivatives have the same \
                rate."
                .into(),
        alpha: 0.1 * problem.alpha_max(1.0),
        problem,
        starts,
        spread: 1.0,
        limit: 3000,
    })
}

/// Ridge-logistic regression of 200 x 50 numbers, `alpha = 0.02`.
///
/// # Errors
/// None for these sizes.
pub fn logistic(starts: usize) -> Result<Experiment> {
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
    let problem = Objective::builder(data.draw()?)
        .loss(Loss::logistic())
        .penalty(Penalty::l2())
        .intercept(false)
        .build()?;
    Ok(Experiment {
        name: "logistic".into(),
        title: "Logistic regression with an l2 penalty on synthetic data".into(),
        short: "Logistic regression with an l2 penalty, 200 × 50".into(),
        words: "200 rows of 50 normal features of scales 0.3 to 1.5; alpha = 0.02. The problem is smooth: \
            there is nothing to identify, and \
                the Jacobian moves with the iterate, so that the derivative is slower by a power of k."
            .into(),
        alpha: 0.02,
        problem,
        starts,
        // Near enough for the linear phase to begin soon; far starts have a separate experiment.
        spread: 0.1,
        limit: 3000,
    })
}

/// Badly conditioned ridge regression of 100 x 50 numbers.
///
/// # Errors
/// None for these sizes.
pub fn ridge(starts: usize) -> Result<Experiment> {
    let data = Synthetic {
        rows: 100,
        features: 50,
        scale: (0.1, 2.0),
        relevant: 50,
        effect: 1.0,
        noise: 1.0,
        classes: false,
        seed: 3,
    };
    let problem = Objective::builder(data.draw()?).penalty(Penalty::l2()).intercept(false).build()?;
    Ok(Experiment {
        name: "ridge".into(),
        title: "Ridge regression on synthetic data".into(),
        short: "Ridge regression, 100 × 50".into(),
        words: String::new(),
        alpha: 1e-2,
        problem,
        starts,
        spread: 1.0,
        limit: 3000,
    })
}

/// The bundled real data sets.
///
/// # Errors
/// None for these.
pub fn real(starts: usize) -> Result<Vec<Experiment>> {
    let lasso = |name: &str| on_data(name, bundled(name)?, Loss::squared(), Penalty::l1(), starts);
    Ok(vec![
        lasso("diabetes")?,
        on_data("breast_cancer", bundled("breast_cancer")?, Loss::logistic(), Penalty::l2(), starts)?,
        lasso("digits")?,
    ])
}

/// An experiment on data, standardised: `alpha = alpha_max/10` for an l1 penalty and 0.02 for l2.
///
/// # Errors
/// Data that do not fit the loss.
pub fn on_data(name: &str, data: Dataset, loss: Loss, penalty: Penalty, starts: usize) -> Result<Experiment> {
    let source = data.source().to_string();
    let (rows, features) = (data.rows(), data.features());
    let problem = Objective::builder(data.standardize()).loss(loss).penalty(penalty).build()?;
    let l1 = penalty == Penalty::l1();
    let what = if l1 { "Lasso" } else { "Logistic regression with an l2 penalty" };
    Ok(Experiment {
        name: name.into(),
        title: format!("{what} on {source}"),
        short: format!("{what}, {source}, {rows} × {features}"),
        words: format!(
            "{rows} rows, {features} features, standardised, with an intercept; alpha = {}.",
            if l1 { "alpha_max/10" } else { "0.02" }
        ),
        alpha: if l1 { 0.1 * problem.alpha_max(1.0) } else { 0.02 },
        problem,
        starts,
        spread: 0.1,
        limit: 6000,
    })
}
