//! The processor's vector registers.

/// Runs element-wise work compiled for the widest vectors the processor has. Every function it calls must be inlined into it.
#[inline(always)]
pub(super) fn vectorised<W: pulp::WithSimd>(work: W) -> W::Output {
    pulp::Arch::new().dispatch(work)
}

/// Sums `term(i)` in eight interleaved partial sums: vectorises, and rounds less than one running sum.
#[inline(always)]
pub(super) fn sum<T: crate::objective::Real>(len: usize, term: impl Fn(usize) -> T) -> T {
    let mut parts = [T::zero(); 8];
    for block in 0..len / 8 {
        for (lane, part) in parts.iter_mut().enumerate() {
            *part += term(8 * block + lane);
        }
    }
    for i in len / 8 * 8..len {
        parts[i % 8] += term(i);
    }
    let [a, b, c, d, e, f, g, h] = parts;
    ((a + b) + (c + d)) + ((e + f) + (g + h))
}

/// The point on the line through the last two iterates at which a step begins (`y`) or a gradient is taken (`e`).
#[inline(always)]
pub(super) fn extrapolate<T: crate::objective::Real>(now: T, before: T, coefficient: T) -> T {
    now + coefficient * (now - before)
}
