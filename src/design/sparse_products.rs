//! Products of a sparse design. Blocks of columns are taken eight at a time, so that every entry is read once
//! for eight of them; every sum runs in the order of its index, so that a column has the same bits alone and
//! among others.

use faer::Mat;
use ndarray::{Array1, ArrayView1};
use rayon::prelude::*;

use super::sparse::{Major, Sparse};
use super::{Real, Threads};

/// Rows of a dense block of a Gram matrix.
const BLOCK_ROWS: usize = 4096;
/// Columns that are computed together.
const WIDTH: usize = 8;

type Eight<T> = [T; WIDTH];

/// Adds `v · by` to eight sums.
#[inline(always)]
fn add<T: Real>(sums: &mut Eight<T>, v: T, by: &Eight<T>) {
    sums.iter_mut().zip(by).for_each(|(sum, b)| *sum += v * *b);
}

/// Row `i` of up to eight columns of `rows` each; zeros beyond them.
#[inline(always)]
fn row<T: Real>(columns: &[T], rows: usize, i: usize) -> Eight<T> {
    std::array::from_fn(|c| columns.get(c * rows + i).copied().unwrap_or(T::zero()))
}

/// Stores row `i` of up to eight columns of `rows` each.
#[inline(always)]
fn store<T: Real>(columns: &mut [T], rows: usize, i: usize, of: &Eight<T>, less: &Eight<T>) {
    for c in 0..columns.len() / rows {
        columns[c * rows + i] = of[c] - less[c];
    }
}

/// Calls `work` with every eight columns of `out` and their index.
fn each_eight<T: Real>(
    out: &mut [T],
    rows: usize,
    threads: Threads,
    work: impl Fn(usize, &mut [T]) + Sync + Send,
) {
    let work = |(at, out): (usize, &mut [T])| work(at, out);
    match threads {
        Threads::One => out.chunks_mut(WIDTH * rows).enumerate().for_each(work),
        Threads::All => out.par_chunks_mut(WIDTH * rows).enumerate().for_each(work),
    }
}

impl<T: Real> Sparse<T> {
    /// `out = X m`: see [`Design::apply`](super::Design::apply).
    pub(super) fn apply(&self, out: &mut [T], m: &[T], threads: Threads) {
        let (n, q) = (self.rows(), self.columns());
        each_eight(out, n, threads, |at, out| {
            let m = &m[at * WIDTH * q..(at * WIDTH * q + out.len() / n * q)];
            pulp::Arch::new().dispatch(Apply { x: self, out, m });
        });
    }

    /// `out = Xᵀ m`: see [`Design::apply_t_strided`](super::Design::apply_t_strided).
    pub(super) fn apply_t_strided(&self, out: &mut [T], m: &[T], stride: usize, threads: Threads) {
        let (n, q) = (self.rows(), self.columns());
        each_eight(out, q, threads, |at, out| {
            let m = &m[at * WIDTH * stride * n..];
            pulp::Arch::new().dispatch(ApplyT { x: self, out, m, stride });
        });
    }
}

/// `out = X m` for up to eight columns.
struct Apply<'a, T> {
    x: &'a Sparse<T>,
    out: &'a mut [T],
    m: &'a [T],
}

/// A closure would not be inlined, and so would not use wide registers.
impl<T: Real> pulp::WithSimd for Apply<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Apply { x, out, m } = self;
        let (n, q) = (x.rows(), x.columns());
        let mut less = [T::zero(); WIDTH];
        for (j, shift) in x.shift.iter().enumerate() {
            add(&mut less, *shift, &row(m, q, j));
        }
        match x.major {
            Major::Rows => {
                let packed: Vec<Eight<T>> = (0..q).map(|j| row(m, q, j)).collect();
                for i in 0..n {
                    let mut sums = [T::zero(); WIDTH];
                    x.line(i).for_each(|(j, v)| add(&mut sums, v, &packed[j]));
                    store(out, n, i, &sums, &less);
                }
            }
            Major::Columns => {
                let mut sums = vec![[T::zero(); WIDTH]; n];
                for j in 0..q {
                    let of = row(m, q, j);
                    // Coefficients are mostly zero; a NaN is not.
                    if !of.iter().all(|v| *v == T::zero()) {
                        x.line(j).for_each(|(i, v)| add(&mut sums[i], v, &of));
                    }
                }
                sums.iter().enumerate().for_each(|(i, sums)| store(out, n, i, sums, &less));
            }
        }
    }
}

/// `out = Xᵀ m` for up to eight columns, every `stride`-th of `m`.
struct ApplyT<'a, T> {
    x: &'a Sparse<T>,
    out: &'a mut [T],
    m: &'a [T],
    stride: usize,
}

impl<T: Real> pulp::WithSimd for ApplyT<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let ApplyT { x, out, m, stride } = self;
        let (n, q) = (x.rows(), x.columns());
        let columns = out.len() / q;
        // The columns of `m`, without those between.
        let m = &m[..((columns - 1) * stride + 1) * n];
        let mut total = [T::zero(); WIDTH];
        let shifted = !x.shift.is_empty();
        let less = |j: usize, total: &Eight<T>| total.map(|sum| x.shift_of(j) * sum);
        match x.major {
            Major::Rows => {
                let mut sums = vec![[T::zero(); WIDTH]; q];
                for i in 0..n {
                    let of = row(m, stride * n, i);
                    if shifted {
                        add(&mut total, T::one(), &of);
                    }
                    x.line(i).for_each(|(j, v)| add(&mut sums[j], v, &of));
                }
                sums.iter().enumerate().for_each(|(j, sums)| store(out, q, j, sums, &less(j, &total)));
            }
            Major::Columns => {
                let packed: Vec<Eight<T>> = (0..n).map(|i| row(m, stride * n, i)).collect();
                if shifted {
                    packed.iter().for_each(|of| add(&mut total, T::one(), of));
                }
                for j in 0..q {
                    let mut sums = [T::zero(); WIDTH];
                    x.line(j).for_each(|(i, v)| add(&mut sums, v, &packed[i]));
                    store(out, q, j, &sums, &less(j, &total));
                }
            }
        }
    }
}

impl Sparse {
    pub(super) fn apply_vector(&self, v: ArrayView1<'_, f64>) -> Array1<f64> {
        let less: f64 = self.shift.iter().zip(&v).map(|(s, v)| s * v).sum();
        match self.major {
            Major::Rows => self.sums_of_lines(v).mapv_into(|sum| sum - less),
            Major::Columns => self.lines_times(v, self.rows()).mapv_into(|sum| sum - less),
        }
    }

    pub(super) fn apply_t_vector(&self, r: ArrayView1<'_, f64>) -> Array1<f64> {
        let mut out = match self.major {
            Major::Rows => self.lines_times(r, self.columns()),
            Major::Columns => self.sums_of_lines(r),
        };
        let total: f64 = if self.shift.is_empty() { 0.0 } else { r.iter().sum() };
        out.iter_mut().zip(self.shift.iter()).for_each(|(out, s)| *out -= s * total);
        out
    }

    /// The sum of each line's entries times those of a vector.
    fn sums_of_lines(&self, v: ArrayView1<'_, f64>) -> Array1<f64> {
        (0..self.lines()).map(|i| self.line(i).map(|(k, entry)| entry * v[k]).sum()).collect()
    }

    /// The sum of lines, each times an entry of a vector.
    fn lines_times(&self, v: ArrayView1<'_, f64>, length: usize) -> Array1<f64> {
        let mut sum = Array1::zeros(length);
        // Coefficients are mostly zero; a NaN is not.
        for (i, v) in v.iter().enumerate().filter(|(_, v)| **v != 0.0) {
            self.line(i).for_each(|(k, entry)| sum[k] += entry * v);
        }
        sum
    }

    pub(super) fn column_squares(&self, weight: ArrayView1<'_, f64>) -> Array1<f64> {
        self.squared().apply_t_vector(weight).mapv_into(|v| v.max(0.0))
    }

    pub(super) fn max_row_norm(&self) -> f64 {
        let squares = self.squared().apply_vector(Array1::ones(self.columns()).view());
        squares.into_iter().fold(0.0, f64::max).sqrt()
    }

    pub(super) fn weighted_products(&self, weight: &[f64], new: &[usize], index: &[usize]) -> Mat<f64> {
        let by_columns = self.ordered_by(Major::Columns);
        let total: f64 = weight.iter().sum();
        let weighted = |j: usize| -> f64 { by_columns.line(j).map(|(i, v)| weight[i] * v).sum() };
        let sums: Vec<f64> = index.iter().map(|j| weighted(*j)).collect();
        let mut products = Mat::zeros(new.len(), index.len());
        let mut column = vec![0.0; self.rows()];
        for (a, &j) in new.iter().enumerate() {
            by_columns.line(j).for_each(|(i, v)| column[i] = weight[i] * v);
            let (s, sum) = (self.shift_of(j), weighted(j));
            for (b, &k) in index.iter().enumerate() {
                let t = self.shift_of(k);
                let product: f64 = by_columns.line(k).map(|(i, v)| v * column[i]).sum();
                products[(a, b)] = product - s * sums[b] - t * sum + s * t * total;
            }
            by_columns.line(j).for_each(|(i, _)| column[i] = 0.0);
        }
        products
    }

    /// `Xᵀ diag(weight) X` of entries by columns, from dense blocks of rows.
    fn gram_by_blocks(&self, weight: &[f64]) -> Mat<f64> {
        let k = self.columns();
        let mut gram = Mat::zeros(k, k);
        // The place of each column's next entry.
        let mut next: Vec<_> = (0..k).map(|a| self.line(a).peekable()).collect();
        for first in (0..self.rows()).step_by(BLOCK_ROWS) {
            let rows = BLOCK_ROWS.min(self.rows() - first);
            let mut half = Mat::from_fn(rows, k, |_, a| -self.shift_of(a));
            for (a, entries) in next.iter_mut().enumerate() {
                while let Some((i, v)) = entries.next_if(|(i, _)| *i < first + rows) {
                    half[(i - first, a)] += v;
                }
            }
            let half = Mat::from_fn(rows, k, |i, a| half[(i, a)] * weight[first + i].sqrt());
            gram += half.transpose() * &half;
        }
        gram
    }

    pub(super) fn weighted_gram(&self, weight: &[f64], index: &[usize]) -> Mat<f64> {
        let mut set = Sparse::without_columns(self.rows());
        self.ordered_by(Major::Columns).select_columns(index, &mut set);
        let k = index.len();
        // A dense product does sixteen operations in the time of one with a sparse column.
        if 16 * set.stored() > k * self.rows() {
            return set.gram_by_blocks(weight);
        }
        let total: f64 = weight.iter().sum();
        let sums: Vec<f64> = (0..k).map(|a| set.line(a).map(|(i, v)| weight[i] * v).sum()).collect();
        let mut gram = Mat::zeros(k, k);
        let mut column = vec![0.0; self.rows()];
        for a in 0..k {
            set.line(a).for_each(|(i, v)| column[i] = weight[i] * v);
            let s = set.shift_of(a);
            for b in 0..=a {
                let t = set.shift_of(b);
                let product: f64 = set.line(b).map(|(i, v)| v * column[i]).sum();
                gram[(a, b)] = product - s * sums[b] - t * sums[a] + s * t * total;
                gram[(b, a)] = gram[(a, b)];
            }
            set.line(a).for_each(|(i, _)| column[i] = 0.0);
        }
        gram
    }
}
