//! Elastic net `l1 |x| + ½ l2 x²` (Zou & Hastie 2005). WGSL twin: `shaders/penalty/elastic_net.wgsl`.

use super::{PenaltyFunction, Prox, Real};

/// `l1 |x| + ½ l2 x²`: soft thresholding, then shrinkage.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ElasticNet;

impl PenaltyFunction for ElasticNet {
    const USES_ALPHA: bool = true;
    const L1_RATIO: Option<f64> = None;
    const RIDGE_IN_LOSS: bool = false;
    const RESTS_AT_ZERO: bool = true;
    const FORMULA: &'static str = "alpha sum_j factor_j (l1_ratio |coef_j| + 1/2 (1 - l1_ratio) coef_j^2)";

    fn value<T: Real>(self, x: T, l1: T, l2: T) -> T {
        l1 * x.abs() + T::of(0.5) * l2 * x * x
    }
    fn prox<T: Real>(self, w: T, step: T, l1: T, l2: T) -> Prox<T> {
        let over = w.abs() - step * l1;
        if over > T::zero() {
            let shrink = T::one() / (T::one() + step * l2);
            let sign = w.signum();
            let value = sign * over * shrink;
            Prox { value, by_input: shrink, by_l1: -step * sign * shrink, by_l2: -step * value * shrink }
        } else {
            Prox { value: T::zero(), by_input: T::zero(), by_l1: T::zero(), by_l2: T::zero() }
        }
    }
    /// With a ridge part every `v` is feasible.
    fn dual_ratio<T: Real>(self, v: T, l1: T, l2: T) -> T {
        if l2 > T::zero() { T::zero() } else { v.abs() / l1 }
    }
    fn gap<T: Real>(self, x: T, v: T, l1: T, l2: T) -> T {
        let clipped = v.min(l1).max(-l1);
        let lasso = l1 * x.abs() - x * clipped;
        if l2 > T::zero() {
            let miss = l2 * x - (v - clipped);
            lasso + T::of(0.5) * miss * miss / l2
        } else {
            lasso
        }
    }
    fn is_active<T: Real>(self, x: T) -> bool {
        x != T::zero()
    }
    fn dual_slack(self, v: f64, l1: f64) -> f64 {
        v.abs() / l1
    }
}
