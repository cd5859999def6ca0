//! Minimax concave penalty (Zhang 2010): the lasso's threshold without its bias. WGSL twin:
//! `shaders/penalty/mcp.wgsl`.

use super::{
    Coupling, NoDual, PenaltyCapabilities, PenaltyDerivatives, PenaltyFunction, Prox, Real, Ridge, StepLimit,
    Zeros,
};
use crate::error::Result;

/// `l1 |x| − x²/(2 gamma)` for `|x| ≤ gamma l1`, `½ gamma l1²` beyond: firm thresholding. There may be
/// several local solutions; a run finds the one that its start leads to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mcp {
    /// Where the penalty becomes flat, in units of `l1`; its curvature is `−1/gamma` before.
    pub gamma: f64,
}

impl Default for Mcp {
    /// 3, as in ncvreg.
    fn default() -> Self {
        Mcp { gamma: 3.0 }
    }
}

impl super::Penalty {
    /// The minimax concave penalty, flat beyond `gamma` times the strength of the coefficient.
    ///
    /// # Errors
    /// `gamma` that is not a positive finite number.
    pub fn mcp(gamma: f64) -> Result<Self> {
        Mcp::default().with_parameters(&[gamma]).map(super::Penalty::Mcp)
    }
}

impl PenaltyFunction for Mcp {
    type Dual = NoDual;
    const CAPABILITIES: PenaltyCapabilities = PenaltyCapabilities {
        formula: "sum_j (l |coef_j| - coef_j^2 / (2 gamma) for |coef_j| <= gamma l, else gamma l^2 / 2), \
                  l = alpha factor_j",
        convex: false,
        linear: false,
        coupling: Coupling::Separable,
        columns_per_lane: 1,
        alpha: true,
        l1_ratio: Some(1.0),
        ridge: Ridge::Absent,
        zeros: Zeros::BothSides,
        step_limit: Some(StepLimit { parameter: "gamma", offset: 0.0 }),
    };

    fn dual(self) -> NoDual {
        NoDual
    }
    #[inline(always)]
    fn value<T: Real>(self, x: T, l1: T, _l2: T) -> T {
        let gamma = T::of(self.gamma);
        let t = x.abs().min(gamma * l1);
        t * (l1 - T::of(0.5) * t / gamma)
    }
    #[inline(always)]
    fn prox<T: Real>(self, w: T, step: T, l1: T, _l2: T) -> Prox<T> {
        let gamma = T::of(self.gamma);
        let over = w.abs() - step * l1;
        if w.abs() > gamma * l1 {
            Prox::identity(w)
        } else if over > T::zero() {
            let stretch = T::one() / (T::one() - step / gamma);
            let sign = w.signum();
            let by_l1 = -step * sign * stretch;
            Prox { value: sign * over * stretch, by_input: stretch, by_l1, by_l2: T::zero() }
        } else {
            Prox::constant(T::zero())
        }
    }
    #[inline(always)]
    fn is_active<T: Real>(self, x: T) -> bool {
        x != T::zero()
    }
    fn derivatives(self, x: f64, l1: f64, _l2: f64) -> PenaltyDerivatives {
        if x.abs() > self.gamma * l1 {
            return PenaltyDerivatives { by_l1: self.gamma * l1, ..PenaltyDerivatives::default() };
        }
        let sign = x.signum();
        PenaltyDerivatives {
            d1: l1 * sign - x / self.gamma,
            d2: -1.0 / self.gamma,
            d1_by_l1: sign,
            by_l1: x.abs(),
            ..PenaltyDerivatives::default()
        }
    }
    fn kinks(self, l1: f64) -> Vec<f64> {
        vec![-self.gamma * l1, 0.0, self.gamma * l1]
    }
    fn domain(self) -> (f64, f64) {
        (f64::NEG_INFINITY, f64::INFINITY)
    }
    fn examples() -> Vec<Self> {
        [3.0, 1.5, 20.0].map(|gamma| Mcp { gamma }).into()
    }
    fn parameters(self) -> Vec<(&'static str, f64)> {
        vec![("gamma", self.gamma)]
    }
    fn with_parameters(self, values: &[f64]) -> Result<Self> {
        match values {
            [] => Ok(self),
            [gamma] if *gamma > 0.0 && gamma.is_finite() => Ok(Mcp { gamma: *gamma }),
            _ => Err(crate::objective::catalog::bad_parameters("mcp:GAMMA with a positive GAMMA")),
        }
    }
}
