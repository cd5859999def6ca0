//! Smoothly clipped absolute deviation (Fan & Li 2001). WGSL twin: `shaders/penalty/scad.wgsl`.

use super::{
    Coupling, NoDual, PenaltyCapabilities, PenaltyDerivatives, PenaltyFunction, Prox, Real, Ridge, StepLimit,
    Zeros,
};
use crate::error::Result;

/// `l1 |x|` for `|x| ≤ l1`, bending to `½ (a + 1) l1²` at `|x| = a l1`, flat beyond. There may be several
/// local solutions; the start determines which one a run finds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scad {
    /// The value of `|x|` from which the penalty is flat, in units of `l1`; its curvature is `−1/(a − 1)`
    /// between `l1` and that.
    pub a: f64,
}

impl Default for Scad {
    /// 3.7, as Fan and Li advise.
    fn default() -> Self {
        Scad { a: 3.7 }
    }
}

impl super::Penalty {
    /// Smoothly clipped absolute deviation, flat beyond `a` times the strength of the coefficient.
    ///
    /// # Errors
    /// `a` that is not a finite number above 2.
    pub fn scad(a: f64) -> Result<Self> {
        Scad::default().with_parameters(&[a]).map(super::Penalty::Scad)
    }
}

impl PenaltyFunction for Scad {
    type Dual = NoDual;
    const CAPABILITIES: PenaltyCapabilities = PenaltyCapabilities {
        formula: "sum_j (l |coef_j| for |coef_j| <= l, (a l |coef_j| - (coef_j^2 + l^2) / 2) / (a - 1) for \
                  |coef_j| <= a l, else (a + 1) l^2 / 2), l = alpha factor_j",
        convex: false,
        linear: false,
        coupling: Coupling::Separable,
        columns_per_lane: 1,
        alpha: true,
        l1_ratio: Some(1.0),
        ridge: Ridge::Absent,
        zeros: Zeros::BothSides,
        step_limit: Some(StepLimit { parameter: "a", offset: -1.0 }),
    };

    fn dual(self) -> NoDual {
        NoDual
    }
    #[inline(always)]
    fn value<T: Real>(self, x: T, l1: T, _l2: T) -> T {
        let (a, half) = (T::of(self.a), T::of(0.5));
        if x.abs() <= l1 {
            return l1 * x.abs();
        }
        let t = x.abs().min(a * l1);
        (a * l1 * t - half * (t * t + l1 * l1)) / (a - T::one())
    }
    #[inline(always)]
    fn prox<T: Real>(self, w: T, step: T, l1: T, _l2: T) -> Prox<T> {
        let (a, one) = (T::of(self.a), T::one());
        let (size, sign) = (w.abs(), w.signum());
        if size > a * l1 {
            Prox::identity(w)
        } else if size > (one + step) * l1 {
            let stretch = (a - one) / (a - one - step);
            let by_l1 = -step * a * sign / (a - one - step);
            Prox { value: stretch * w + by_l1 * l1, by_input: stretch, by_l1, by_l2: T::zero() }
        } else if size > step * l1 {
            Prox { value: sign * (size - step * l1), by_input: one, by_l1: -step * sign, by_l2: T::zero() }
        } else {
            Prox::constant(T::zero())
        }
    }
    #[inline(always)]
    fn is_active<T: Real>(self, x: T) -> bool {
        x != T::zero()
    }
    fn derivatives(self, x: f64, l1: f64, _l2: f64) -> PenaltyDerivatives {
        let (a, size, sign) = (self.a, x.abs(), x.signum());
        if size > a * l1 {
            PenaltyDerivatives { by_l1: (a + 1.0) * l1, ..PenaltyDerivatives::default() }
        } else if size > l1 {
            PenaltyDerivatives {
                d1: (a * l1 * sign - x) / (a - 1.0),
                d2: -1.0 / (a - 1.0),
                d1_by_l1: a * sign / (a - 1.0),
                by_l1: (a * size - l1) / (a - 1.0),
                ..PenaltyDerivatives::default()
            }
        } else {
            PenaltyDerivatives { d1: l1 * sign, d1_by_l1: sign, by_l1: size, ..PenaltyDerivatives::default() }
        }
    }
    fn kinks(self, l1: f64) -> Vec<f64> {
        vec![-self.a * l1, -l1, 0.0, l1, self.a * l1]
    }
    fn domain(self) -> (f64, f64) {
        (f64::NEG_INFINITY, f64::INFINITY)
    }
    fn examples() -> Vec<Self> {
        [3.7, 2.5, 20.0].map(|a| Scad { a }).into()
    }
    fn parameters(self) -> Vec<(&'static str, f64)> {
        vec![("a", self.a)]
    }
    fn with_parameters(self, values: &[f64]) -> Result<Self> {
        match values {
            [] => Ok(self),
            [a] if *a > 2.0 && a.is_finite() => Ok(Scad { a: *a }),
            _ => Err(crate::objective::catalog::bad_parameters("scad:A with A above 2")),
        }
    }
}
