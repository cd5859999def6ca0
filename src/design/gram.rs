//! The Gram matrix of some columns of a design.

use super::{Dense, Design, Real, Threads};

/// `G = X_Sᵀ diag(weight) X_S` for a set `S` of columns, which can be exchanged for another.
#[derive(Debug)]
pub(crate) struct Gram<T> {
    /// `S`, ascending.
    columns: Vec<usize>,
    matrix: Dense<T>,
}

impl<T: Real> Gram<T> {
    /// That of no columns.
    pub(crate) fn empty() -> Self {
        Gram { columns: Vec::new(), matrix: Dense::without_columns(0) }
    }

    /// How many of `columns` it does not have.
    pub(crate) fn missing(&self, columns: impl IntoIterator<Item = usize>) -> usize {
        columns.into_iter().filter(|j| self.place(*j).is_none()).count()
    }

    fn place(&self, column: usize) -> Option<usize> {
        self.columns.binary_search(&column).ok()
    }

    /// Makes it that of `columns`, ascending. Only products of columns that it does not have are computed, in
    /// f64.
    pub(crate) fn set_columns(&mut self, design: &Design, weight: &[f64], columns: &[usize]) {
        if self.columns == columns {
            return;
        }
        let m = columns.len();
        let mut entries = vec![T::zero(); m * m];
        let old: Vec<Option<usize>> = columns.iter().map(|j| self.place(*j)).collect();
        for (b, old_b) in old.iter().enumerate() {
            let Some(old_b) = old_b else { continue };
            let column = &self.matrix.values[old_b * self.columns.len()..][..self.columns.len()];
            for (entry, old_a) in entries[b * m..][..m].iter_mut().zip(&old) {
                *entry = old_a.map_or(T::zero(), |a| column[a]);
            }
        }
        let new: Vec<usize> = (0..m).filter(|a| old[*a].is_none()).collect();
        if !new.is_empty() {
            let new_columns: Vec<usize> = new.iter().map(|a| columns[*a]).collect();
            let products = design.weighted_products(weight, &new_columns, columns);
            for (row, a) in new.into_iter().enumerate() {
                for b in 0..m {
                    let product = T::of(products[(row, b)]);
                    (entries[b * m + a], entries[a * m + b]) = (product, product);
                }
            }
        }
        self.matrix = Dense::symmetric(entries, m);
        columns.clone_into(&mut self.columns);
    }

    /// `out = G m` for `[m]`-columns.
    pub(crate) fn apply(&self, out: &mut [T], m: &[T], threads: Threads) {
        self.matrix.apply(out, m, threads);
    }
}
