//! Element-wise work in the processor's vector registers.

use crate::objective::Real;

/// Runs element-wise work compiled for the processor's widest vectors. Every function it
/// calls must be inlined.
#[inline(always)]
pub(super) fn vectorised<W: pulp::WithSimd>(work: W) -> W::Output {
    pulp::Arch::new().dispatch(work)
}

/// Eight interleaved partial sums: they vectorise, and round less than one running sum.
#[derive(Debug, Clone, Copy)]
pub(super) struct PartialSums<T>([T; 8]);

impl<T: Real> PartialSums<T> {
    pub(super) fn zero() -> Self {
        PartialSums([T::zero(); 8])
    }

    /// Adds terms; in every call but the last, a multiple of eight of them.
    #[inline(always)]
    pub(super) fn add(&mut self, terms: &[T]) {
        for eight in terms.chunks(8) {
            self.0.iter_mut().zip(eight).for_each(|(sum, term)| *sum += *term);
        }
    }

    #[inline(always)]
    pub(super) fn total(self) -> T {
        let [a, b, c, d, e, f, g, h] = self.0;
        ((a + b) + (c + d)) + ((e + f) + (g + h))
    }
}

/// Sums `term(i)`.
#[inline(always)]
pub(super) fn sum<T: Real>(len: usize, term: impl Fn(usize) -> T) -> T {
    let PartialSums(mut sums) = PartialSums::<T>::zero();
    for block in 0..len / 8 {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += term(8 * block + lane);
        }
    }
    for i in len / 8 * 8..len {
        sums[i % 8] += term(i);
    }
    PartialSums(sums).total()
}

/// A point on the line through the last two iterates: the start of a step (`y`) or the point where a
/// gradient is taken (`e`).
#[inline(always)]
pub(super) fn extrapolate<T: Real>(now: T, before: T, coefficient: T) -> T {
    now + coefficient * (now - before)
}
