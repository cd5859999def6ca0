//! A design of mostly zeros: its other entries, and what is subtracted from every column.

use std::ops::Range;
use std::sync::Arc;

use ndarray::{Array1, Array2};

use super::{Design, Real, is_constant};
use crate::error::{Error, Result};

/// A sparse matrix `S − 1 shiftᵀ`: the entries of `S` that are not zero, and a shift of every column, so that
/// columns can be centred without filling them.
///
/// Entries are stored by rows if there are more rows than columns, else by columns: the products then gather
/// from, or add to, vectors of the smaller length.
#[derive(Debug, Clone)]
pub struct Sparse<T = f64> {
    rows: usize,
    columns: usize,
    pub(super) major: Major,
    /// The place of the first entry of each row or column, and the number of entries.
    start: Arc<Vec<usize>>,
    /// For every entry its column or row, ascending within a row or column.
    index: Arc<Vec<u32>>,
    values: Arc<Vec<T>>,
    /// `[columns]`; empty if nothing is subtracted.
    pub(super) shift: Arc<Vec<T>>,
}

/// Sizes of a sparse design, from which runs are planned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct SparseSizes {
    /// Entries that are stored.
    pub entries: usize,
    /// Entries of the fullest row.
    pub fullest_row: usize,
    /// Entries of the fullest column.
    pub fullest_column: usize,
    /// True if something is subtracted from columns.
    pub shifted: bool,
}

/// The order of the entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Major {
    Rows,
    Columns,
}

/// Share of a column that is stored from which it is centred entry by entry, which loses no digits.
const FULL: f64 = 0.5;
/// Share of all entries that are stored from which products of a dense matrix are faster.
const DENSE: f64 = 0.25;

impl Major {
    fn of(rows: usize, columns: usize) -> Self {
        if rows > columns { Major::Rows } else { Major::Columns }
    }
}

impl<T: Real> Sparse<T> {
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }
    /// Entries that are stored.
    pub fn stored(&self) -> usize {
        self.values.len()
    }
    pub(super) fn bytes(&self) -> u64 {
        let entries = self.values.len() * (size_of::<T>() + size_of::<u32>());
        (entries + self.start.len() * size_of::<usize>() + self.shift.len() * size_of::<T>()) as u64
    }

    /// The entries of row or column `i`, whichever is stored.
    #[inline(always)]
    pub(crate) fn line(&self, i: usize) -> impl Iterator<Item = (usize, T)> {
        let of = self.places(i);
        self.index[of.clone()].iter().zip(&self.values[of]).map(|(k, v)| (*k as usize, *v))
    }
    #[inline(always)]
    fn places(&self, i: usize) -> Range<usize> {
        self.start[i]..self.start[i + 1]
    }
    pub(super) fn lines(&self) -> usize {
        self.start.len() - 1
    }
    #[inline(always)]
    pub(crate) fn shift_of(&self, j: usize) -> T {
        self.shift.get(j).copied().unwrap_or(T::zero())
    }

    /// A design without columns, for [`select_columns`](Self::select_columns).
    pub(super) fn without_columns(rows: usize) -> Self {
        let start = Arc::new(vec![0]);
        let (index, values, shift) = Default::default();
        Sparse { rows, columns: 0, major: Major::Columns, start, index, values, shift }
    }

    /// Makes `into` the design of the columns `index`, in the same order of entries.
    pub(super) fn select_columns(&self, index: &[usize], into: &mut Self) {
        let start = Arc::make_mut(&mut into.start);
        let entries = Arc::make_mut(&mut into.index);
        let values = Arc::make_mut(&mut into.values);
        start.clear();
        entries.clear();
        values.clear();
        start.push(0);
        match self.major {
            Major::Columns => {
                for j in index {
                    entries.extend_from_slice(&self.index[self.places(*j)]);
                    values.extend_from_slice(&self.values[self.places(*j)]);
                    start.push(values.len());
                }
            }
            Major::Rows => {
                let mut place = vec![u32::MAX; self.columns];
                index.iter().zip(0..).for_each(|(j, a)| place[*j] = a);
                for i in 0..self.rows {
                    for (j, v) in self.line(i).filter(|(j, _)| place[*j] != u32::MAX) {
                        entries.push(place[j]);
                        values.push(v);
                    }
                    start.push(values.len());
                }
            }
        }
        let shift = Arc::make_mut(&mut into.shift);
        shift.clear();
        if !self.shift.is_empty() {
            shift.extend(index.iter().map(|j| self.shift[*j]));
        }
        (into.rows, into.columns, into.major) = (self.rows, index.len(), self.major);
    }
}

impl Sparse {
    /// A matrix of a shape from (row, column, value), in any order. Entries of the same place are summed, as
    /// scipy does, and zeros are left out; the second number counts the entries that were summed.
    ///
    /// # Errors
    /// A place outside of the shape, or a shape of more than 2³² rows or columns.
    pub fn from_triplets(
        (rows, columns): (usize, usize),
        triplets: impl IntoIterator<Item = (usize, usize, f64)>,
    ) -> Result<(Self, usize)> {
        if rows.max(columns) > u32::MAX as usize {
            let found = format!("{rows} rows and {columns} columns");
            return Err(Error::data("sparse matrix", found, "at most 2^32 of each", ""));
        }
        let major = Major::of(rows, columns);
        let mut entries = Vec::new();
        for (i, j, v) in triplets {
            if i >= rows || j >= columns {
                let found = format!("an entry in row {i}, column {j}");
                let expected = format!("rows below {rows} and columns below {columns}");
                return Err(Error::data("sparse matrix", found, expected, "Check the shape of the file."));
            }
            let (line, place) = if major == Major::Rows { (i, j) } else { (j, i) };
            entries.push((line as u32, place as u32, v));
        }
        entries.sort_by_key(|(line, place, _)| (*line, *place));
        let before = entries.len();
        entries.dedup_by(|later, kept| {
            let same = (later.0, later.1) == (kept.0, kept.1);
            if same {
                kept.2 += later.2;
            }
            same
        });
        let summed = before - entries.len();
        entries.retain(|(_, _, v)| *v != 0.0);
        let lines = if major == Major::Rows { rows } else { columns };
        let mut start = vec![0; lines + 1];
        entries.iter().for_each(|(line, _, _)| start[*line as usize + 1] += 1);
        (0..lines).for_each(|i| start[i + 1] += start[i]);
        let index = Arc::new(entries.iter().map(|e| e.1).collect());
        let values = Arc::new(entries.iter().map(|e| e.2).collect());
        Ok((
            Sparse { rows, columns, major, start: Arc::new(start), index, values, shift: Arc::default() },
            summed,
        ))
    }

    /// A dense matrix from which a shift, `[columns]` or empty, was subtracted.
    pub(super) fn of_dense(x: ndarray::ArrayView2<'_, f64>, shift: &[f64]) -> Self {
        let line = |row: ndarray::ArrayView1<'_, f64>| {
            let back = row.iter().zip(0..).map(|(v, j)| (j, v + shift.get(j as usize).unwrap_or(&0.0)));
            back.filter(|(_, v)| *v != 0.0).collect()
        };
        Sparse::from_lines(x.dim(), Major::Rows, x.outer_iter().map(line), shift.to_vec())
    }

    /// This matrix, or a dense one if so many entries are stored that dense products are faster.
    pub fn into_design(self) -> Design {
        let all = self.rows as f64 * self.columns as f64;
        if self.stored() as f64 >= DENSE * all {
            Design::dense(self.to_dense())
        } else {
            Design::Sparse(self)
        }
    }

    /// The same entries in the other order.
    fn transposed_order(&self) -> Self {
        let other = if self.major == Major::Rows { Major::Columns } else { Major::Rows };
        let lines = if other == Major::Rows { self.rows } else { self.columns };
        let mut start = vec![0; lines + 1];
        self.index.iter().for_each(|k| start[*k as usize + 1] += 1);
        (0..lines).for_each(|i| start[i + 1] += start[i]);
        let mut next = start.clone();
        let (mut index, mut values) = (vec![0; self.stored()], vec![0.0; self.stored()]);
        for i in 0..self.lines() {
            for (k, v) in self.line(i) {
                (index[next[k]], values[next[k]]) = (i as u32, v);
                next[k] += 1;
            }
        }
        let (index, values) = (Arc::new(index), Arc::new(values));
        Sparse { major: other, start: Arc::new(start), index, values, ..self.clone() }
    }

    /// The same entries in this order.
    pub(crate) fn ordered_by(&self, major: Major) -> Self {
        if self.major == major { self.clone() } else { self.transposed_order() }
    }

    /// A matrix from its lines, each ascending, in the best order for its shape.
    fn from_lines(
        (rows, columns): (usize, usize),
        major: Major,
        lines: impl Iterator<Item = Vec<(u32, f64)>>,
        shift: Vec<f64>,
    ) -> Self {
        let (mut start, mut index, mut values) = (vec![0], Vec::new(), Vec::new());
        for line in lines {
            index.extend(line.iter().map(|e| e.0));
            values.extend(line.iter().map(|e| e.1));
            start.push(values.len());
        }
        let (start, index, values, shift) =
            (Arc::new(start), Arc::new(index), Arc::new(values), Arc::new(shift));
        let made = Sparse { rows, columns, major, start, index, values, shift };
        made.ordered_by(Major::of(rows, columns))
    }

    fn lines_of(&self, i: usize) -> Vec<(u32, f64)> {
        self.line(i).map(|(k, v)| (k as u32, v)).collect()
    }

    pub(super) fn shifted(self, shift: &Array1<f64>) -> Self {
        if shift.iter().all(|s| *s == 0.0) {
            return self;
        }
        let mut stored = vec![0; self.columns];
        self.each_column(|j| stored[j] += 1);
        let total: Vec<f64> = (0..self.columns).map(|j| self.shift_of(j) + shift[j]).collect();
        // A column may be full by now, as its rows are fewer than when it was shifted before.
        let full = |j: usize| f64::from(stored[j]) >= FULL * self.rows as f64;
        let left: Vec<f64> = (0..self.columns).map(|j| if full(j) { 0.0 } else { total[j] }).collect();
        Sparse { shift: Arc::new(total), ..self }.with_shift(&left)
    }

    /// The same matrix with another shift, `[columns]` or empty for none: columns whose shift changes are
    /// filled.
    pub(crate) fn with_shift(self, shift: &[f64]) -> Self {
        let by = |j: usize| shift.get(j).unwrap_or(&0.0) - self.shift_of(j);
        if (0..self.columns).all(|j| by(j) == 0.0) {
            return Sparse { shift: Arc::new(shift.to_vec()), ..self };
        }
        let by_columns = self.ordered_by(Major::Columns);
        let lines = (0..self.columns).map(|j| {
            if by(j) == 0.0 {
                return by_columns.lines_of(j);
            }
            let mut column = vec![by(j); self.rows];
            by_columns.line(j).for_each(|(i, v)| column[i] = v + by(j));
            column.into_iter().zip(0..).map(|(v, i)| (i, v)).collect()
        });
        Sparse::from_lines((self.rows, self.columns), Major::Columns, lines, shift.to_vec())
    }

    /// `[columns]`: true of columns that are not all zero.
    pub(crate) fn filled_columns(&self) -> Vec<bool> {
        let mut filled: Vec<bool> = (0..self.columns).map(|j| self.shift_of(j) != 0.0).collect();
        self.each_column(|j| filled[j] = true);
        filled
    }

    /// Calls `with` with the column of every entry.
    fn each_column(&self, mut with: impl FnMut(usize)) {
        match self.major {
            Major::Rows => self.index.iter().for_each(|j| with(*j as usize)),
            Major::Columns => (0..self.columns).for_each(|j| self.places(j).for_each(|_| with(j))),
        }
    }

    /// Sizes from which runs are planned.
    pub(super) fn sizes(&self) -> SparseSizes {
        let mut counts = vec![0; if self.major == Major::Rows { self.columns } else { self.rows }];
        self.index.iter().for_each(|k| counts[*k as usize] += 1);
        let of_lines = (0..self.lines()).map(|i| self.places(i).len()).max().unwrap_or(0);
        let of_others = counts.into_iter().max().unwrap_or(0);
        let (fullest_row, fullest_column) =
            if self.major == Major::Rows { (of_lines, of_others) } else { (of_others, of_lines) };
        let shifted = self.shift.iter().any(|s| *s != 0.0);
        SparseSizes { entries: self.stored(), fullest_row, fullest_column, shifted }
    }

    #[cfg(feature = "gpu")]
    pub(crate) fn is_by_columns(&self) -> bool {
        self.major == Major::Columns
    }

    /// What is subtracted from every column, `[columns]` or empty.
    pub(crate) fn shift(&self) -> &[f64] {
        &self.shift
    }

    pub(super) fn centred(self, weight: ndarray::ArrayView1<'_, f64>) -> (Self, Array1<f64>) {
        let (low, high) = self.column_ranges();
        let mut mean = self.apply_t_vector(weight);
        let constant: Vec<bool> = low.iter().zip(&high).map(|(l, h)| is_constant(*l, *h)).collect();
        mean.indexed_iter_mut().filter(|(j, _)| constant[*j]).for_each(|(j, m)| *m = low[j]);
        let rough = self.shifted(&mean).without_entries(&constant);
        // The second pass removes the rounding of the first sum.
        let rest = rough.apply_t_vector(weight);
        (rough.shifted(&rest), mean + rest)
    }

    /// The smallest and the largest entry of every column.
    fn column_ranges(&self) -> (Vec<f64>, Vec<f64>) {
        let by_columns = self.ordered_by(Major::Columns);
        let range = |j: usize| {
            let zero = if by_columns.places(j).len() < self.rows { Some(0.0) } else { None };
            let values = || by_columns.line(j).map(|(_, v)| v).chain(zero);
            let shift = self.shift_of(j);
            (
                values().fold(f64::INFINITY, f64::min) - shift,
                values().fold(f64::NEG_INFINITY, f64::max) - shift,
            )
        };
        (0..self.columns).map(range).unzip()
    }

    /// The columns marked become exactly zero.
    fn without_entries(self, marked: &[bool]) -> Self {
        let by_columns = self.ordered_by(Major::Columns);
        let stored = |j: usize| marked[j] && (!by_columns.places(j).is_empty() || self.shift_of(j) != 0.0);
        if !(0..self.columns).any(stored) {
            return self;
        }
        let shift = self.shift.iter().zip(marked).map(|(s, on)| if *on { 0.0 } else { *s }).collect();
        let lines = (0..self.columns).map(|j| if marked[j] { Vec::new() } else { by_columns.lines_of(j) });
        Sparse::from_lines((self.rows, self.columns), Major::Columns, lines, shift)
    }

    /// Replaces entry `v` of column `j` by `entry(v, shift, j)`, and its shift by `shift(shift, j)`.
    fn mapped(mut self, entry: impl Fn(f64, f64, usize) -> f64, shift: impl Fn(f64, usize) -> f64) -> Self {
        let mut values = std::mem::take(Arc::make_mut(&mut self.values));
        for i in 0..self.lines() {
            for at in self.places(i) {
                let j = if self.major == Major::Rows { self.index[at] as usize } else { i };
                values[at] = entry(values[at], self.shift_of(j), j);
            }
        }
        self.values = Arc::new(values);
        let moved = self.shift.iter().enumerate().map(|(j, s)| shift(*s, j)).collect();
        self.shift = Arc::new(moved);
        self
    }
    pub(super) fn scaled(self, scale: &Array1<f64>) -> Self {
        self.mapped(|v, _, j| v / scale[j], |s, j| s / scale[j])
    }
    /// `X diag(by)`.
    pub(super) fn times_diagonal(&self, by: &Array1<f64>) -> Self {
        self.clone().mapped(|v, _, j| v * by[j], |s, j| s * by[j])
    }
    /// `(v − s)² = (v² − 2 v s) − (−s²)`.
    pub(super) fn squared(&self) -> Self {
        self.clone().mapped(|v, s, _| v * (v - 2.0 * s), |s, _| -s * s)
    }

    pub(super) fn with_ones(self) -> Self {
        let by_columns = self.ordered_by(Major::Columns);
        let ones = (0..self.rows as u32).map(|i| (i, 1.0)).collect();
        let lines = (0..self.columns).map(|j| by_columns.lines_of(j)).chain(std::iter::once(ones));
        let mut shift = self.shift.to_vec();
        if !shift.is_empty() {
            shift.push(0.0);
        }
        Sparse::from_lines((self.rows, self.columns + 1), Major::Columns, lines, shift)
    }
    pub(super) fn select_rows(&self, index: &[usize]) -> Self {
        let by_rows = self.ordered_by(Major::Rows);
        let lines = index.iter().map(|i| by_rows.lines_of(*i));
        Sparse::from_lines((index.len(), self.columns), Major::Rows, lines, self.shift.to_vec())
    }
    /// The columns `index`, in that order.
    pub(super) fn with_columns(&self, index: &[usize]) -> Self {
        self.with_columns_or_zeros(&index.iter().copied().map(Some).collect::<Vec<_>>())
    }
    /// The columns `index`, in that order, zeros where there is none.
    pub(super) fn with_columns_or_zeros(&self, index: &[Option<usize>]) -> Self {
        let by_columns = self.ordered_by(Major::Columns);
        let lines = index.iter().map(|j| j.map_or_else(Vec::new, |j| by_columns.lines_of(j)));
        let shift = match self.shift.is_empty() {
            true => Vec::new(),
            false => index.iter().map(|j| j.map_or(0.0, |j| self.shift[j])).collect(),
        };
        Sparse::from_lines((self.rows, index.len()), Major::Columns, lines, shift)
    }
    pub(super) fn column(&self, j: usize) -> Array1<f64> {
        let mut column = Array1::from_elem(self.rows, -self.shift_of(j));
        match self.major {
            Major::Columns => self.line(j).for_each(|(i, v)| column[i] += v),
            Major::Rows => {
                for i in 0..self.rows {
                    let row = self.places(i);
                    if let Ok(at) = self.index[row.clone()].binary_search(&(j as u32)) {
                        column[i] += self.values[row.start + at];
                    }
                }
            }
        }
        column
    }
    pub(super) fn to_dense(&self) -> Array2<f64> {
        let by_rows = self.ordered_by(Major::Rows);
        let mut dense = Array2::zeros((self.rows, self.columns));
        for (i, mut row) in dense.outer_iter_mut().enumerate() {
            self.shift.iter().zip(row.iter_mut()).for_each(|(s, v)| *v = -s);
            by_rows.line(i).for_each(|(j, v)| row[j] += v);
        }
        dense
    }
    /// Row, column and value of the first entry of these rows, ascending, that is not finite.
    pub(super) fn first_not_finite(&self, rows: &[usize]) -> Option<(usize, usize, f64)> {
        if self.values.iter().all(|v| v.is_finite()) {
            return None;
        }
        let by_rows = self.ordered_by(Major::Rows);
        let of = |i: usize| by_rows.line(i).find(|(_, v)| !v.is_finite()).map(|(j, v)| (i, j, v));
        rows.iter().find_map(|i| of(*i))
    }

    pub(super) fn cast<T: Real>(&self) -> Sparse<T> {
        let of = |values: &Arc<Vec<f64>>| -> Arc<Vec<T>> {
            let same: Option<&Arc<Vec<T>>> = (values as &dyn std::any::Any).downcast_ref();
            same.cloned().unwrap_or_else(|| Arc::new(values.iter().map(|v| T::of(*v)).collect()))
        };
        Sparse {
            rows: self.rows,
            columns: self.columns,
            major: self.major,
            start: self.start.clone(),
            index: self.index.clone(),
            values: of(&self.values),
            shift: of(&self.shift),
        }
    }
}
