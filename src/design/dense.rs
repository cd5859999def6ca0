//! A design that stores all its entries, with shift and scale already applied.

use std::any::Any;
use std::sync::Arc;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use super::{Real, is_constant};

/// All entries of a design, shared by its clones.
#[derive(Debug, Clone)]
pub struct Dense<T = f64> {
    pub(super) values: Arc<Vec<T>>,
    rows: usize,
    columns: usize,
    pub(super) order: Order,
    /// `[q]`, ascending: the row from which on each column is zero; empty if not known.
    pub(super) ends: Arc<Vec<usize>>,
}

/// The storage order of the entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Entries of a row are contiguous.
    Rows,
    /// Entries of a column are contiguous.
    Columns,
}

impl<T: Real> Dense<T> {
    pub(super) fn rows(&self) -> usize {
        self.rows
    }
    pub(super) fn columns(&self) -> usize {
        self.columns
    }
    pub(super) fn bytes(&self) -> u64 {
        (self.values.len() * size_of::<T>()) as u64
    }

    pub(super) fn without_columns(rows: usize) -> Self {
        Dense { values: Arc::default(), rows, columns: 0, order: Order::Columns, ends: Arc::default() }
    }

    /// A symmetric matrix of `m` columns.
    pub(super) fn symmetric(entries: Vec<T>, m: usize) -> Self {
        let values = Arc::new(entries);
        Dense { values, rows: m, columns: m, order: Order::Columns, ends: Arc::default() }
    }

    pub(super) fn entries(&self) -> usize {
        if self.ends.len() == self.columns { self.ends.iter().sum() } else { self.values.len() }
    }

    /// `into` stores the columns one after another.
    pub(super) fn select_columns(&self, index: &[usize], into: &mut Self) {
        debug_assert_eq!(self.order, Order::Rows);
        let n = self.rows;
        let values = Arc::make_mut(&mut into.values);
        values.resize(n * index.len(), T::zero());
        // Loops over rows of this design, which are contiguous.
        for (i, row) in self.values.chunks_exact(self.columns).enumerate() {
            for (a, j) in index.iter().enumerate() {
                values[a * n + i] = row[*j];
            }
        }
        (into.rows, into.columns, into.order) = (n, index.len(), Order::Columns);
        if self.ends.len() == self.columns {
            into.ends = Arc::new(index.iter().map(|j| self.ends[*j]).collect());
        }
    }
}

impl Dense {
    pub(super) fn new(entries: Array2<f64>) -> Self {
        let (rows, columns) = entries.dim();
        let by_rows =
            if entries.is_standard_layout() { entries } else { entries.as_standard_layout().into_owned() };
        let (mut values, offset) = by_rows.into_raw_vec_and_offset();
        values.drain(..offset.unwrap_or(0));
        values.truncate(rows * columns);
        Dense { values: Arc::new(values), rows, columns, order: Order::Rows, ends: Arc::default() }
    }

    /// An upper triangular matrix, of which products leave out what is below the diagonal.
    pub(super) fn upper_triangular(entries: Array2<f64>) -> Self {
        let (rows, columns) = entries.dim();
        let ends = (0..columns).map(|j| rows.min(j + 1)).collect();
        Dense { ends: Arc::new(ends), ..Dense::new(entries) }
    }

    /// `[n, q]`.
    pub(crate) fn view(&self) -> ArrayView2<'_, f64> {
        debug_assert_eq!(self.order, Order::Rows);
        ArrayView2::from_shape((self.rows, self.columns), &self.values).expect("rows x columns entries")
    }

    /// Replaces entry `(i, j)` by `f(entry, j)`, in place if no clone shares the entries.
    fn map_entries(mut self, f: impl Fn(f64, usize) -> f64) -> Self {
        for row in Arc::make_mut(&mut self.values).chunks_exact_mut(self.columns) {
            row.iter_mut().enumerate().for_each(|(j, v)| *v = f(*v, j));
        }
        self
    }
    pub(super) fn shifted(self, shift: &Array1<f64>) -> Self {
        Dense { ends: Arc::default(), ..self }.map_entries(|v, j| v - shift[j])
    }
    pub(super) fn centred(self, weight: ArrayView1<'_, f64>) -> (Self, Array1<f64>) {
        let (low, high) = self.column_ranges();
        let constant: Vec<bool> = low.iter().zip(&high).map(|(l, h)| is_constant(*l, *h)).collect();
        let mut mean = self.apply_t_vector(weight);
        // A sum of many equal numbers rounds; the value itself is their mean.
        mean.indexed_iter_mut().filter(|(j, _)| constant[*j]).for_each(|(j, m)| *m = low[j]);
        let rough = self.map_entries(|v, j| if constant[j] { 0.0 } else { v - mean[j] });
        // The second pass removes the rounding of the first sum.
        let rest = rough.apply_t_vector(weight);
        (rough.shifted(&rest), mean + rest)
    }
    /// The smallest and the largest entry of every column.
    fn column_ranges(&self) -> (Array1<f64>, Array1<f64>) {
        let mut low = Array1::from_elem(self.columns, f64::INFINITY);
        let mut high = Array1::from_elem(self.columns, f64::NEG_INFINITY);
        for row in self.view().rows() {
            low.zip_mut_with(&row, |m, v| *m = m.min(*v));
            high.zip_mut_with(&row, |m, v| *m = m.max(*v));
        }
        (low, high)
    }
    pub(super) fn scaled(self, scale: &Array1<f64>) -> Self {
        self.map_entries(|v, j| v / scale[j])
    }
    /// `X diag(by)`.
    pub(super) fn times_diagonal(&self, by: &Array1<f64>) -> Self {
        self.clone().map_entries(|v, j| v * by[j])
    }
    pub(super) fn squared(&self) -> Self {
        self.clone().map_entries(|v, _| v * v)
    }

    pub(super) fn with_ones(self) -> Self {
        let mut values = Vec::with_capacity(self.rows * (self.columns + 1));
        for row in self.values.chunks_exact(self.columns) {
            values.extend_from_slice(row);
            values.push(1.0);
        }
        Dense { values: Arc::new(values), columns: self.columns + 1, ends: Arc::default(), ..self }
    }
    pub(super) fn select_rows(&self, index: &[usize]) -> Self {
        Dense::new(self.view().select(Axis(0), index))
    }

    pub(super) fn cast<T: Real>(&self) -> Dense<T> {
        let same: Option<&Arc<Vec<T>>> = (&self.values as &dyn Any).downcast_ref();
        let values =
            same.cloned().unwrap_or_else(|| Arc::new(self.values.iter().map(|v| T::of(*v)).collect()));
        Dense { values, rows: self.rows, columns: self.columns, order: self.order, ends: self.ends.clone() }
    }
    /// The entries in rows, each padded with zeros to a multiple of `multiple`.
    #[cfg(feature = "gpu")]
    pub(crate) fn padded_rows(&self, multiple: usize) -> Vec<f64> {
        let stride = self.columns.next_multiple_of(multiple);
        let mut image = vec![0.0; self.rows * stride];
        let rows = image.chunks_exact_mut(stride).zip(self.values.chunks_exact(self.columns));
        rows.for_each(|(to, from)| to[..from.len()].copy_from_slice(from));
        image
    }
}
