//! Products of a dense design: blocks of columns by faer, vectors by ndarray.

use std::borrow::Cow;
use std::ops::Range;

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use ndarray::{Array1, ArrayView1};

use super::dense::Order;
use super::{Dense, Real, Threads};

impl Threads {
    fn par(self) -> Par {
        match self {
            Threads::One => Par::Seq,
            // A web page has one thread.
            #[cfg(target_family = "wasm")]
            Threads::All => Par::Seq,
            #[cfg(not(target_family = "wasm"))]
            Threads::All => Par::rayon(0),
        }
    }
}

impl<T: Real> Dense<T> {
    fn matrix(&self) -> MatRef<'_, T> {
        match self.order {
            Order::Rows => MatRef::from_row_major_slice(&self.values, self.rows(), self.columns()),
            Order::Columns => MatRef::from_column_major_slice(&self.values, self.rows(), self.columns()),
        }
    }

    pub(super) fn apply(&self, out: &mut [T], m: &[T], threads: Threads) {
        let columns = out.len() / self.rows();
        let m = MatRef::from_column_major_slice(m, self.columns(), columns);
        let mut out = MatMut::from_column_major_slice_mut(out, self.rows(), columns);
        for rows in blocks(if self.ends.is_empty() { 0 } else { self.rows() }, self.rows()) {
            // Columns that are not zero in some of the rows.
            let first = self.ends.partition_point(|end| *end <= rows.start);
            let (q, count) = (self.columns() - first, rows.len());
            let out = out.as_mut().subrows_mut(rows.start, count);
            let x = self.matrix().submatrix(rows.start, first, count, q);
            matmul(out, Accum::Replace, x, m.subrows(first, q), T::one(), threads.par());
        }
        settle();
    }

    pub(super) fn apply_t_strided(&self, out: &mut [T], m: &[T], stride: usize, threads: Threads) {
        let columns = out.len() / self.columns();
        let m = MatRef::from_column_major_slice_with_stride(m, self.rows(), columns, stride * self.rows());
        let mut out = MatMut::from_column_major_slice_mut(out, self.columns(), columns);
        for block in blocks(self.ends.len(), self.columns()) {
            let n = self.ends.get(block.end - 1).copied().unwrap_or(self.rows());
            let out = out.as_mut().subrows_mut(block.start, block.len());
            let x = self.matrix().submatrix(0, block.start, n, block.len()).transpose();
            matmul(out, Accum::Replace, x, m.subrows(0, n), T::one(), threads.par());
        }
        settle();
    }
}

/// Rows of the copies of columns whose products are computed.
pub(crate) const ROWS: usize = 1024;

/// Rows or columns of a block of a triangular matrix.
const BLOCK: usize = 96;

/// The blocks of a triangular matrix along one side, or, if it is known of no column where it ends, all of
/// that side.
fn blocks(known: usize, all: usize) -> impl Iterator<Item = Range<usize>> {
    let size = if known == 0 { all.max(1) } else { BLOCK };
    (0..all).step_by(size).map(move |first| first..all.min(first + size))
}

impl Dense {
    pub(super) fn apply_vector(&self, v: ArrayView1<'_, f64>) -> Array1<f64> {
        self.view().dot(&v)
    }

    /// Sums over the rows, in their order.
    pub(super) fn apply_t_vector(&self, r: ArrayView1<'_, f64>) -> Array1<f64> {
        let mut out = Array1::zeros(self.columns());
        match self.order {
            Order::Rows if self.columns() > 0 => {
                let (rows, factors) = (&self.values[..], contiguous(r));
                pulp::Arch::new().dispatch(SumOfRows {
                    rows,
                    factors: &factors,
                    out: out.as_slice_mut().unwrap(),
                });
            }
            _ => self.view().rows().into_iter().zip(r).for_each(|(row, r)| out.scaled_add(*r, &row)),
        }
        out
    }

    pub(super) fn column_squares(&self, weight: ArrayView1<'_, f64>) -> Array1<f64> {
        let mut out = Array1::zeros(self.columns());
        for (row, weight) in self.view().rows().into_iter().zip(weight) {
            out.zip_mut_with(&row, |sum, v| *sum += *weight * (v * v));
        }
        out
    }

    pub(super) fn max_row_norm(&self) -> f64 {
        self.view().rows().into_iter().map(|row| row.dot(&row).sqrt()).fold(0.0, f64::max)
    }

    pub(super) fn weighted_gram(&self, weight: &[f64], index: &[usize]) -> Mat<f64> {
        let half = self.weighted_columns(0..self.rows(), index, |i| weight[i].sqrt());
        half.transpose() * &half
    }

    pub(super) fn weighted_products(&self, weight: &[f64], new: &[usize], index: &[usize]) -> Mat<f64> {
        let mut products = Mat::zeros(new.len(), index.len());
        // Blocks of rows bound the memory of the copies.
        for first in (0..self.rows()).step_by(ROWS) {
            let rows = first..(first + ROWS).min(self.rows());
            let left = self.weighted_columns(rows.clone(), new, |i| weight[i]);
            products += left.transpose() * self.weighted_columns(rows, index, |_| 1.0);
        }
        products
    }

    /// Some rows of the columns `index`, each row times its weight.
    fn weighted_columns(
        &self,
        rows: Range<usize>,
        index: &[usize],
        weight: impl Fn(usize) -> f64,
    ) -> Mat<f64> {
        let mut out = Mat::zeros(rows.len(), index.len());
        // Row by row, as the entries are stored.
        for (to, i) in rows.enumerate() {
            let (row, weight) = (&self.values[i * self.columns()..][..self.columns()], weight(i));
            index.iter().enumerate().for_each(|(a, j)| out[(to, a)] = weight * row[*j]);
        }
        out
    }
}

/// The numbers of a vector, copied only if they are apart.
fn contiguous<'a>(v: ArrayView1<'a, f64>) -> Cow<'a, [f64]> {
    v.to_slice().map_or_else(|| v.to_vec().into(), Cow::from)
}

/// Rows of as many numbers as `out`, each times its factor, added to `out`.
struct SumOfRows<'a> {
    rows: &'a [f64],
    factors: &'a [f64],
    out: &'a mut [f64],
}

/// A closure would not be inlined, and so would not use wide registers.
impl pulp::WithSimd for SumOfRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let SumOfRows { rows, factors, out } = self;
        let q = out.len();
        // Four rows at a time, so that sums stay in registers.
        let mut fours = factors.chunks_exact(4);
        for (block, by) in rows.chunks_exact(4 * q).zip(&mut fours) {
            let (front, back) = block.split_at(2 * q);
            let ((a, b), (c, d)) = (front.split_at(q), back.split_at(q));
            for ((((sum, a), b), c), d) in out.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                *sum = (((*sum + by[0] * a) + by[1] * b) + by[2] * c) + by[3] * d;
            }
        }
        let rest = fours.remainder();
        for (row, by) in rows[(factors.len() - rest.len()) * q..].chunks_exact(q).zip(rest) {
            out.iter_mut().zip(row).for_each(|(sum, v)| *sum += by * v);
        }
    }
}

/// Clears the upper halves of the calling thread's vector registers.
///
/// The products do not clear them, and until that is done every call of the C library's `exp` or `log` takes
/// thirty times as long on some processors (measured: 134 instead of 4 ns).
fn settle() {
    let mut numbers = std::hint::black_box([1.0f64; 8]);
    // A function compiled for wide vectors clears them when it returns.
    pulp::Arch::new().dispatch(|| numbers.iter_mut().for_each(|v| *v += *v));
    std::hint::black_box(numbers);
}
