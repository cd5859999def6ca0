//! Functions of a model whose gradient by the hyperparameters is asked for.

use std::str::FromStr;

use ndarray::{Array1, ArrayView1};

use crate::error::{Error, ErrorKind, Result};
use crate::lanes::Lane;
use crate::objective::{Derivative, Objective, Zeros};

/// A function of a model and of the hyperparameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Criterion {
    /// The mean loss over held-out rows, whose target stays.
    Validation,
    /// The minimised objective.
    Objective,
}

impl Criterion {
    /// Every name, as in the CLI and in JSON.
    pub const NAMES: &'static [&'static str] = &["validation", "objective"];

    /// The name in CLI and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Criterion::Validation => "validation",
            Criterion::Objective => "objective",
        }
    }

    /// Checks that it exists for an objective, and that it can be differentiated.
    pub(super) fn check(self, objective: &Objective, derivatives: &[Derivative]) -> Result<()> {
        if self == Criterion::Validation && !objective.holds_out() {
            let remedy = "Hold rows out by `validation` or folds, or use criterion objective.";
            return Err(Error::usage("criterion", "'validation' without held-out rows", "some", remedy));
        }
        let by_target = derivatives.iter().any(|d| matches!(d, Derivative::Target(_)));
        if self == Criterion::Objective && by_target {
            let found = "'objective' for the derivative by 'target'";
            let remedy = "Losses do not give their derivative by the target: use criterion validation.";
            return Err(Error::usage("criterion", found, "another criterion or derivative", remedy));
        }
        Ok(())
    }

    /// The criterion at a state `[q]` of a lane, whose fold `objective` is of.
    pub(super) fn at(self, objective: &Objective, lane: &Lane, x: ArrayView1<'_, f64>) -> CriterionAt {
        match self {
            Criterion::Validation => held_out(objective, x),
            Criterion::Objective => minimised(objective, lane, x),
        }
    }
}

impl FromStr for Criterion {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "validation" => Ok(Criterion::Validation),
            "objective" => Ok(Criterion::Objective),
            _ => Err(Error::unknown(ErrorKind::Usage, "criterion", text, Criterion::NAMES)),
        }
    }
}

/// A criterion at a model.
#[derive(Debug, Clone)]
pub(super) struct CriterionAt {
    pub(super) value: f64,
    /// `[q]`: its gradient in the state.
    pub(super) gradient: Array1<f64>,
    /// `[q]`: its derivatives by the strengths of each coefficient, at a fixed state.
    by_strengths: Vec<(f64, f64)>,
    /// Its derivative by an intercept that follows from means.
    by_intercept: f64,
}

impl CriterionAt {
    /// The derivative by a hyperparameter at a fixed state.
    pub(super) fn explicit(&self, objective: &Objective, lane: &Lane, by: &Derivative) -> f64 {
        let strengths = by.strengths(objective, lane.alpha, lane.l1_ratio);
        let of = |(j, (by_l1, by_l2)): (usize, &(f64, f64))| {
            let (dl1, dl2) = strengths.of_coefficient(j, &objective.penalty_factors);
            dl1 * by_l1 + dl2 * by_l2
        };
        let mean = by.target_tangent(objective).map_or(0.0, |(_, mean)| mean);
        self.by_strengths.iter().enumerate().map(of).sum::<f64>() + mean * self.by_intercept
    }
}

fn held_out(objective: &Objective, x: ArrayView1<'_, f64>) -> CriterionAt {
    let rows = objective.held_out.as_ref().expect("checked before");
    let (z, loss) = (rows.design.apply_vector(x), objective.loss());
    let each = || z.iter().zip(&rows.target).zip(&rows.weight);
    let value = each().map(|((z, y), w)| w * loss.value(*z, *y)).sum();
    let d1: Array1<f64> = each().map(|((z, y), w)| w * loss.d1(*z, *y)).collect();
    let gradient = rows.design.apply_t_vector(d1.view());
    CriterionAt { value, gradient, by_strengths: Vec::new(), by_intercept: d1.sum() }
}

fn minimised(objective: &Objective, lane: &Lane, x: ArrayView1<'_, f64>) -> CriterionAt {
    let z = objective.design.apply_vector(x);
    let (l1, l2) = lane.strengths(objective);
    let mut gradient = objective.design.apply_t_vector(objective.weighted_d1(&z).view());
    let penalty = objective.penalty();
    let rests = penalty.capabilities().zeros != Zeros::Absent;
    let mut by_strengths = vec![(0.0, 0.0); objective.features()];
    for (j, factor) in objective.penalty_factors.iter().enumerate() {
        let of = penalty.derivatives(x[j], l1 * factor, l2 * factor);
        by_strengths[j] = (of.by_l1, of.by_l2);
        // What is not active does not move.
        let moves = penalty.is_active(x[j]) || (rests && l1 * factor == 0.0);
        gradient[j] = if moves { gradient[j] + of.d1 } else { 0.0 };
    }
    CriterionAt { value: objective.value(&z, x, (l1, l2)), gradient, by_strengths, by_intercept: 0.0 }
}
