//! The model without features: it gives the start of regularisation paths and the unit of the duality gap.

use ndarray::{Array1, Axis, Zip};

use super::{Intercept, Objective};

impl Objective {
    /// The smallest `alpha` at which zero penalised coefficients are a solution, for penalties that keep
    /// coefficients at zero: `max_j |∂_j loss| / (l1_ratio factor_j)` at the model of intercept only (or at
    /// zero). As glmnet does, `l1_ratio` below 1e-3 counts as 1e-3.
    pub fn alpha_max(&self, l1_ratio: f64) -> f64 {
        let prediction = self.null_prediction();
        let d1: Array1<f64> =
            Zip::from(&self.target).and(&self.weight).map_collect(|y, w| w * self.loss.d1(prediction, *y));
        let gradient = self.design.apply_t_vector(d1.view());
        let zeros = self.penalty.capabilities().zeros;
        let share = l1_ratio.max(1e-3);
        Zip::from(&self.penalty_factors).and(gradient.slice_axis(Axis(0), (..self.features()).into())).fold(
            0.0,
            |top, f, g| {
                if *f > 0.0 { f64::max(top, zeros.pull(-g) / (share * f)) } else { top }
            },
        )
    }

    /// The constant prediction of the model without features: the best intercept if it is a column, else 0.
    fn null_prediction(&self) -> f64 {
        if !matches!(self.intercept, Intercept::Column) {
            return 0.0;
        }
        let d1 = |c: f64| {
            Zip::from(&self.target).and(&self.weight).fold(0.0, |sum, y, w| sum + w * self.loss.d1(c, *y))
        };
        let reach = 40.0 + self.target.iter().fold(0.0, |m: f64, y| m.max(y.abs()));
        let (mut low, mut high) = (-reach, reach);
        for _ in 0..200 {
            let middle = 0.5 * (low + high);
            if d1(middle) < 0.0 { low = middle } else { high = middle }
        }
        0.5 * (low + high)
    }

    /// The loss of zero coefficients and intercept: the unit of the relative duality gap.
    pub(crate) fn null_loss(&self) -> f64 {
        Zip::from(&self.target).and(&self.weight).fold(0.0, |sum, y, w| sum + w * self.loss.value(0.0, *y))
    }
}
