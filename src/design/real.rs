//! The scalar type of an engine: f32 or f64.

/// A floating-point scalar the CPU engine can run in.
pub trait Real:
    num_traits::Float
    + num_traits::FromPrimitive
    + faer::traits::ComplexField
    + Send
    + Sync
    + std::iter::Sum
    + 'static
{
    /// The nearest value to `v`.
    fn of(v: f64) -> Self;
    /// The exact value as f64.
    fn f64(self) -> f64;
    /// `exp(x)` within four roundings, without calls and branches, so that loops over it vectorise; 0 where
    /// the result would be smaller than the normal numbers.
    fn real_exp(self) -> Self;
    /// `log(1 + x)` for `0 ≤ x ≤ 1`, in the same way.
    fn real_log1p(self) -> Self;
}

/// `1/i!`.
const INVERSE_FACTORIALS: [f64; 14] = {
    let (mut all, mut i) = ([1.0; 14], 1);
    while i < 14 {
        all[i] = all[i - 1] / i as f64;
        i += 1;
    }
    all
};

/// `1/(2i + 1)`.
const INVERSE_ODDS: [f64; 18] = {
    let (mut all, mut i) = ([1.0; 18], 1);
    while i < 18 {
        all[i] = 1.0 / (2 * i + 1) as f64;
        i += 1;
    }
    all
};

/// `exp(x) = 2^n exp(r)`, `n` the whole number nearest to `x / ln 2`: added to 1.5 · 2^(mantissa bits), it
/// lies in the low bits of the sum. `ln 2` comes in two parts, the first with enough zeros at its end for
/// `n · ln 2` to be exact (Cody & Waite 1980). `log(1 + x) = 2 artanh(s)`, `s = x / (2 + x) ≤ 1/3`.
macro_rules! real {
    ($T:ident, $whole:literal, $shift:literal, $ln2:expr, $range:expr, $taylor:literal, $artanh:literal) => {
        impl Real for $T {
            #[inline(always)]
            fn of(v: f64) -> Self {
                v as $T
            }
            #[inline(always)]
            fn f64(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn real_exp(self) -> Self {
                let shifted = self * std::$T::consts::LOG2_E + $whole;
                let n = shifted - $whole;
                let r = (self - n * $ln2.0) - n * $ln2.1;
                let sum = INVERSE_FACTORIALS[..$taylor].iter().rev().fold(0.0, |sum, c| sum * r + *c as $T);
                let power = $T::from_bits((shifted.to_bits() << $shift).wrapping_add($T::to_bits(1.0)));
                // A NaN passes both comparisons unchanged.
                if self < $range.0 {
                    0.0
                } else if self > $range.1 {
                    $T::INFINITY
                } else {
                    power * sum
                }
            }
            #[inline(always)]
            fn real_log1p(self) -> Self {
                let s = self / (2.0 + self);
                let square = s * s;
                2.0 * s * INVERSE_ODDS[..$artanh].iter().rev().fold(0.0, |sum, c| sum * square + *c as $T)
            }
        }
    };
}

real!(f32, 12_582_912.0, 23, (355.0 / 512.0, -2.121_944_4e-4), (-87.0, 88.0), 9, 9);
real!(
    f64,
    6_755_399_441_055_744.0,
    52,
    (0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10),
    (-708.0, 709.0),
    14,
    18
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_and_log1p_are_those_of_the_library() {
        let points = || (0..200_000).map(|i| f64::from(i) / 200_000.0);
        for u in points() {
            let x = 1417.0 * u - 708.0;
            assert!((x.real_exp() / x.exp() - 1.0).abs() < 4.0 * f64::EPSILON, "exp {x}");
            let x = (174.0 * u - 87.0) as f32;
            assert!((x.real_exp() / x.exp() - 1.0).abs() < 4.0 * f32::EPSILON, "exp {x}");
            if u > 0.0 {
                assert!((u.real_log1p() / u.ln_1p() - 1.0).abs() < 4.0 * f64::EPSILON, "log1p {u}");
                let v = u as f32;
                assert!((v.real_log1p() / v.ln_1p() - 1.0).abs() < 4.0 * f32::EPSILON, "log1p {v}");
            }
        }
        assert_eq!((1f64.real_log1p() - 2f64.ln()).abs() < 1e-15, 0f64.real_log1p() == 0.0);
        assert_eq!(((-1e4f64).real_exp(), 1e4f64.real_exp(), 0f64.real_exp()), (0.0, f64::INFINITY, 1.0));
        assert_eq!(((-1e4f32).real_exp(), 1e4f32.real_exp(), 0f32.real_exp()), (0.0, f32::INFINITY, 1.0));
        assert!(
            f64::NAN.real_exp().is_nan() && f32::NAN.real_exp().is_nan() && f64::NAN.real_log1p().is_nan()
        );
    }
}
