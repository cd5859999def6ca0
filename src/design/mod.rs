//! The design: the linear operator `X` of `n` rows and `q` columns between coefficients and predictions.
//!
//! Every product, norm, Gram matrix and spectrum of the library is computed here; nothing else multiplies a
//! matrix. The results of its methods do not depend on the storage format, so a second format needs one
//! variant and one file, and no change of callers.
//!
//! A design carries a shift and a scale of its columns, `(X − 1 shiftᵀ) diag(scale)⁻¹`, and may end in a
//! column of ones. A dense design applies them to its entries when it is built.

use ndarray::{Array1, Array2, ArrayView1};

mod dense;
mod gram;
mod products;
mod real;
mod sparse;
mod sparse_products;
mod spectrum;
#[cfg(test)]
mod tests;

pub use dense::Dense;
pub(crate) use gram::Gram;
pub(crate) use products::ROWS as PRODUCT_ROWS;
pub use real::Real;
#[cfg(feature = "gpu")]
pub(crate) use sparse::Major;
pub use sparse::{Sparse, SparseSizes};
pub use spectrum::Spectrum;

/// A linear operator of `n` rows and `q` columns, with entries of type `T`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Design<T = f64> {
    /// All entries are stored.
    Dense(Dense<T>),
    /// Entries that are not zero are stored.
    Sparse(Sparse<T>),
}

/// True if numbers between `low` and `high` are equal to rounding.
pub(crate) fn is_constant(low: f64, high: f64) -> bool {
    high - low <= 4.0 * f64::EPSILON * low.abs().max(high.abs())
}

/// Threads that a product of blocks may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// The calling thread.
    One,
    /// All of the current rayon pool.
    All,
}

/// Shape and memory.
impl<T: Real> Design<T> {
    /// Rows `n`.
    pub fn rows(&self) -> usize {
        match self {
            Design::Dense(x) => x.rows(),
            Design::Sparse(x) => x.rows(),
        }
    }
    /// Columns `q`.
    pub fn columns(&self) -> usize {
        match self {
            Design::Dense(x) => x.columns(),
            Design::Sparse(x) => x.columns(),
        }
    }
    /// Bytes of the entries. Clones, and casts to the same type, share them.
    pub fn bytes(&self) -> u64 {
        match self {
            Design::Dense(x) => x.bytes(),
            Design::Sparse(x) => x.bytes(),
        }
    }
}

/// Products with blocks of contiguous columns.
impl<T: Real> Design<T> {
    /// Entries that a product reads: those that are stored, and not known to be zero.
    pub(crate) fn entries(&self) -> usize {
        match self {
            Design::Dense(x) => x.entries(),
            Design::Sparse(x) => x.stored(),
        }
    }

    /// `out = X m` for `[q]`-columns `m` and as many `[n]`-columns `out`.
    pub(crate) fn apply(&self, out: &mut [T], m: &[T], threads: Threads) {
        match self {
            Design::Dense(x) => x.apply(out, m, threads),
            Design::Sparse(x) => x.apply(out, m, threads),
        }
    }
    /// `out = Xᵀ m` for `[n]`-columns `m` and as many `[q]`-columns `out`.
    pub(crate) fn apply_t(&self, out: &mut [T], m: &[T], threads: Threads) {
        self.apply_t_strided(out, m, 1, threads);
    }
    /// `out = Xᵀ m` for every `stride`-th of the `[n]`-columns `m`, from the first.
    pub(crate) fn apply_t_strided(&self, out: &mut [T], m: &[T], stride: usize, threads: Threads) {
        match self {
            Design::Dense(x) => x.apply_t_strided(out, m, stride, threads),
            Design::Sparse(x) => x.apply_t_strided(out, m, stride, threads),
        }
    }
    /// Makes `into` the design of the columns `index`, reusing its memory.
    pub(crate) fn select_columns(&self, index: &[usize], into: &mut Self) {
        match (self, into) {
            (Design::Dense(x), Design::Dense(into)) => x.select_columns(index, into),
            (Design::Sparse(x), Design::Sparse(into)) => x.select_columns(index, into),
            (_, into) => {
                *into = self.without_columns();
                self.select_columns(index, into);
            }
        }
    }
    /// A design of as many rows and no column yet, for [`select_columns`](Self::select_columns).
    pub(crate) fn without_columns(&self) -> Self {
        match self {
            Design::Dense(x) => Design::Dense(Dense::without_columns(x.rows())),
            Design::Sparse(x) => Design::Sparse(Sparse::without_columns(x.rows())),
        }
    }
}

impl From<Sparse> for Design {
    fn from(entries: Sparse) -> Self {
        Design::Sparse(entries)
    }
}

impl From<Array2<f64>> for Design {
    fn from(entries: Array2<f64>) -> Self {
        Design::dense(entries)
    }
}

/// Constructors.
impl Design {
    /// Creates a design from its entries, `[n, q]`.
    pub fn dense(entries: Array2<f64>) -> Self {
        Design::Dense(Dense::new(entries))
    }
    /// Creates a design from the entries of an upper triangular matrix.
    pub(crate) fn upper_triangular(entries: Array2<f64>) -> Self {
        Design::Dense(Dense::upper_triangular(entries))
    }
    /// `X − 1 shiftᵀ`, for a `shift` of `[q]`.
    pub(crate) fn shifted(self, shift: &Array1<f64>) -> Self {
        match self {
            Design::Dense(x) => Design::Dense(x.shifted(shift)),
            Design::Sparse(x) => Design::Sparse(x.shifted(shift)),
        }
    }
    /// The design with the mean of every column subtracted, and the means, for weights that sum to 1. A
    /// column that is constant to rounding becomes exactly zero.
    pub(crate) fn centred(self, weight: ArrayView1<'_, f64>) -> (Self, Array1<f64>) {
        match self {
            Design::Dense(x) => {
                let (x, mean) = x.centred(weight);
                (Design::Dense(x), mean)
            }
            Design::Sparse(x) => {
                let (x, mean) = x.centred(weight);
                (Design::Sparse(x), mean)
            }
        }
    }
    /// Column `j`, `[n]`.
    pub(crate) fn column(&self, j: usize) -> Array1<f64> {
        match self {
            Design::Dense(x) => x.view().column(j).to_owned(),
            Design::Sparse(x) => x.column(j),
        }
    }
    /// `X diag(scale)⁻¹`, for a `scale` of `[q]`.
    pub(crate) fn scaled(self, scale: &Array1<f64>) -> Self {
        match self {
            Design::Dense(x) => Design::Dense(x.scaled(scale)),
            Design::Sparse(x) => Design::Sparse(x.scaled(scale)),
        }
    }
    /// The design with a column of ones appended.
    pub(crate) fn with_ones(self) -> Self {
        match self {
            Design::Dense(x) => Design::Dense(x.with_ones()),
            Design::Sparse(x) => Design::Sparse(x.with_ones()),
        }
    }
    /// The columns `index`, in that order.
    pub(crate) fn with_columns(&self, index: &[usize]) -> Self {
        match self {
            Design::Dense(x) => Design::dense(x.view().select(ndarray::Axis(1), index)),
            Design::Sparse(x) => Design::Sparse(x.with_columns(index)),
        }
    }
    /// The columns `index`, in that order, zeros where there is none.
    pub(crate) fn with_columns_or_zeros(&self, index: &[Option<usize>]) -> Self {
        match self {
            Design::Dense(x) => Design::dense(Array2::from_shape_fn((x.rows(), index.len()), |(i, a)| {
                index[a].map_or(0.0, |j| x.view()[[i, j]])
            })),
            Design::Sparse(x) => Design::Sparse(x.with_columns_or_zeros(index)),
        }
    }
    /// Row, column and value of the first entry of these rows, ascending, that is not finite.
    pub(crate) fn first_not_finite(&self, rows: &[usize]) -> Option<(usize, usize, f64)> {
        match self {
            Design::Dense(x) => rows.iter().find_map(|i| {
                let row = x.view().index_axis_move(ndarray::Axis(0), *i);
                row.indexed_iter().find(|(_, v)| !v.is_finite()).map(|(j, v)| (*i, j, *v))
            }),
            Design::Sparse(x) => x.first_not_finite(rows),
        }
    }
    /// The rows `index`, in that order.
    pub(crate) fn select_rows(&self, index: &[usize]) -> Self {
        match self {
            Design::Dense(x) => Design::Dense(x.select_rows(index)),
            Design::Sparse(x) => Design::Sparse(x.select_rows(index)),
        }
    }
    /// The design of the squares of all entries.
    pub(crate) fn squared(&self) -> Self {
        match self {
            Design::Dense(x) => Design::Dense(x.squared()),
            Design::Sparse(x) => Design::Sparse(x.squared()),
        }
    }
    /// The same entries as numbers of type `T`, shared if that is their type already.
    pub(crate) fn cast<T: Real>(&self) -> Design<T> {
        match self {
            Design::Dense(x) => Design::Dense(x.cast()),
            Design::Sparse(x) => Design::Sparse(x.cast()),
        }
    }
    /// Sizes of a sparse design; `None` of a dense one.
    pub fn stored(&self) -> Option<SparseSizes> {
        match self {
            Design::Dense(_) => None,
            Design::Sparse(x) => Some(x.sizes()),
        }
    }
    /// The same matrix in the format of another design, a sparse one with the other's shift.
    pub(crate) fn in_format_of(self, other: &Design) -> Self {
        match (self, other) {
            (Design::Dense(x), Design::Sparse(of)) => Design::Sparse(Sparse::of_dense(x.view(), of.shift())),
            (Design::Sparse(x), Design::Sparse(of)) => Design::Sparse(x.with_shift(of.shift())),
            (Design::Sparse(x), Design::Dense(_)) => Design::dense(x.to_dense()),
            (Design::Dense(x), Design::Dense(_)) => Design::Dense(x),
        }
    }
    /// A copy of all entries, `[n, q]`.
    pub fn to_dense(&self) -> Array2<f64> {
        match self {
            Design::Dense(x) => x.view().to_owned(),
            Design::Sparse(x) => x.to_dense(),
        }
    }
}

/// Products with vectors, norms and spectra, in f64 and in an order that does not depend on the number of
/// threads.
impl Design {
    /// `X v`, `[n]`, for `v` of `[q]`.
    pub fn apply_vector(&self, v: ArrayView1<'_, f64>) -> Array1<f64> {
        match self {
            Design::Dense(x) => x.apply_vector(v),
            Design::Sparse(x) => x.apply_vector(v),
        }
    }
    /// `Xᵀ r`, `[q]`, for `r` of `[n]`.
    pub fn apply_t_vector(&self, r: ArrayView1<'_, f64>) -> Array1<f64> {
        match self {
            Design::Dense(x) => x.apply_t_vector(r),
            Design::Sparse(x) => x.apply_t_vector(r),
        }
    }
    /// `Σ_i weight_i X_ij²`, `[q]`: the diagonal of `Xᵀ diag(weight) X`.
    pub(crate) fn column_squares(&self, weight: ArrayView1<'_, f64>) -> Array1<f64> {
        match self {
            Design::Dense(x) => x.column_squares(weight),
            Design::Sparse(x) => x.column_squares(weight),
        }
    }
    /// `‖X_j‖`, `[q]`.
    pub(crate) fn column_norms(&self) -> Array1<f64> {
        self.column_squares(Array1::ones(self.rows()).view()).mapv_into(f64::sqrt)
    }
    /// The largest Euclidean norm of a row.
    pub(crate) fn max_row_norm(&self) -> f64 {
        match self {
            Design::Dense(x) => x.max_row_norm(),
            Design::Sparse(x) => x.max_row_norm(),
        }
    }
    /// `X_Sᵀ diag(weight) X_S` for the columns `S` of `index` and weights that are not negative.
    pub(crate) fn weighted_gram(&self, weight: &[f64], index: &[usize]) -> faer::Mat<f64> {
        match self {
            Design::Dense(x) => x.weighted_gram(weight, index),
            Design::Sparse(x) => x.weighted_gram(weight, index),
        }
    }
    /// `X_Nᵀ diag(weight) X_S` for the columns `N` of `new` and `S` of `index`.
    pub(crate) fn weighted_products(&self, weight: &[f64], new: &[usize], index: &[usize]) -> faer::Mat<f64> {
        match self {
            Design::Dense(x) => x.weighted_products(weight, new, index),
            Design::Sparse(x) => x.weighted_products(weight, new, index),
        }
    }
    /// Bounds on the curvature of a loss whose second derivative lies in `[d2_min, d2_max]`: on the spectrum
    /// of `Xᵀ diag(weight φ'') X`.
    pub(crate) fn spectral_bound(
        &self,
        weight: ArrayView1<'_, f64>,
        (d2_max, d2_min): (f64, f64),
    ) -> Spectrum {
        // A row of weight zero adds nothing to the rank.
        let rows = weight.iter().filter(|w| **w > 0.0).count();
        if self.rows() >= self.columns() {
            let full_rank = rows >= self.columns();
            let gram = |v: &Array1<f64>| self.apply_t_vector((self.apply_vector(v.view()) * weight).view());
            return Spectrum::of_gram((self.columns(), full_rank), gram, (d2_max, d2_min));
        }
        // `W^½ X Xᵀ W^½` has the same eigenvalues but zeros, and is smaller.
        let root = weight.mapv(f64::sqrt);
        let gram = |v: &Array1<f64>| {
            let back = self.apply_t_vector((v * &root).view());
            self.apply_vector(back.view()) * &root
        };
        Spectrum::of_gram((self.rows(), false), gram, (d2_max, d2_min))
    }
    /// `X diag(by)`.
    pub(crate) fn times_diagonal(&self, by: &Array1<f64>) -> Self {
        match self {
            Design::Dense(x) => Design::Dense(x.times_diagonal(by)),
            Design::Sparse(x) => Design::Sparse(x.times_diagonal(by)),
        }
    }
}
