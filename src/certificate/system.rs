//! The Newton system of an active set, factored.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor as cholesky;
use faer::linalg::cholesky::llt_pivoting::factor as pivoted;
use faer::linalg::matmul::triangular::{BlockStructure, matmul};
use faer::linalg::triangular_solve::{solve_lower_triangular_in_place, solve_upper_triangular_in_place};
use faer::{Accum, Mat, MatMut, MatRef, Par, get_global_parallelism};

/// A condition number from which a matrix counts as singular.
pub(super) const SINGULAR: f64 = 1e13;

/// Most directions at a time: the next round finds others.
const DIRECTIONS: usize = 256;

/// `S H S` with a unit diagonal, factored; `S` is diagonal.
pub(super) struct System {
    /// Of the columns in their order, as the factor.
    matrix: Mat<f64>,
    /// Places of the columns in the active set.
    order: Vec<usize>,
    /// Of the places.
    scale: Vec<f64>,
    /// The lower triangle `L` of `L Lᵀ`, and what lies above it is unused; of the first `rank` columns, and
    /// the rows of the others complete it.
    factor: Mat<f64>,
    /// The number of columns that do not depend on those before them.
    rank: usize,
    /// The estimate of its condition number; absent until it is asked for.
    condition: Option<f64>,
    /// The multiple of the identity that was added, because the matrix is singular or not positive.
    shift: f64,
}

impl System {
    /// The system of a Hessian and of a diagonal that is added to it. `first` are places whose columns are
    /// likely to be independent, ascending: then only the others are factored with pivots.
    pub(super) fn new(hessian: &Mat<f64>, diagonal: &[f64], first: &[usize]) -> Self {
        let k = hessian.nrows();
        let of_entry = |a: usize| hessian[(a, a)] + diagonal[a];
        let scale: Vec<f64> =
            (0..k).map(|a| if of_entry(a) > 0.0 { 1.0 / of_entry(a).sqrt() } else { 1.0 }).collect();
        let mut order = first.to_vec();
        order.extend((0..k).filter(|a| first.binary_search(a).is_err()));
        let ordered: Vec<f64> = order.iter().map(|a| scale[*a]).collect();
        let mut matrix = Mat::zeros(k, k);
        for (b, &place) in order.iter().enumerate() {
            let from = hessian.col_as_slice(place);
            let column = matrix.col_as_slice_mut(b).iter_mut().zip(&order).zip(&ordered);
            column.for_each(|((v, a), s)| *v = from[*a] * (s * scale[place]));
            matrix[(b, b)] = of_entry(place) * (scale[place] * scale[place]);
        }
        let mut system =
            System { matrix, order, scale, factor: Mat::new(), rank: 0, condition: None, shift: 0.0 };
        if !system.factor_after(first.len()) {
            system.factor_after(0);
        }
        system
    }

    /// Factors the matrix, with pivots after some columns where it has to. False if these depend on each
    /// other.
    fn factor_after(&mut self, first: usize) -> bool {
        let parallelism = get_global_parallelism();
        self.factor = Mat::zeros(self.order.len(), self.order.len());
        self.factor.copy_from_triangular_lower(&self.matrix);
        let (mut upper, _, mut lower, mut rest) = self.factor.as_mut().split_at_mut(first, first);
        if !factor_in_place(upper.as_mut()) {
            return false;
        }
        solve_lower_triangular_in_place(upper.as_ref(), lower.as_mut().transpose_mut(), parallelism);
        let (by, triangle) = (BlockStructure::Rectangular, BlockStructure::TriangularLower);
        matmul(
            rest.as_mut(),
            triangle,
            Accum::Add,
            lower.as_ref(),
            by,
            lower.as_ref().transpose(),
            by,
            -1.0,
            parallelism,
        );
        let remainder = rest.to_owned();
        self.rank = self.order.len();
        if factor_in_place(rest.as_mut()) {
            return true;
        }
        rest.copy_from(&remainder);
        let (rank, by_pivots) = factor_with_pivots_in_place(rest);
        let rows = lower.to_owned();
        by_pivots
            .iter()
            .enumerate()
            .for_each(|(a, from)| lower.as_mut().row_mut(a).copy_from(rows.row(*from)));
        let mut order: Vec<usize> = (0..first).collect();
        order.extend(by_pivots.iter().map(|a| first + a));
        self.rank = first + rank;
        self.matrix = permuted(&self.matrix, &order);
        self.order = order.iter().map(|a| self.order[*a]).collect();
        true
    }

    /// Adds the least of some multiples of the identity with which the matrix can be factored, if it is
    /// singular or not positive.
    pub(super) fn damp(&mut self) {
        if !self.is_singular() || self.is_damped() {
            return;
        }
        let k = self.order.len();
        self.condition = Some(self.condition.unwrap_or(f64::INFINITY));
        let mut shift = 1e-10;
        self.rank = 0;
        while self.rank < k && shift < 1e3 {
            self.factor = self.matrix.clone();
            (0..k).for_each(|a| self.factor[(a, a)] += shift);
            self.rank = if factor_in_place(self.factor.as_mut()) { k } else { 0 };
            self.shift = shift;
            shift *= 100.0;
        }
    }

    /// Estimates the condition number, by a few power and inverse iterations.
    pub(super) fn estimate_condition(&mut self) {
        if self.condition.is_none() {
            self.condition = Some(condition(&self.matrix, self.factor.as_ref()));
        }
    }

    /// The estimate of the condition number; infinite if there is none.
    pub(super) fn condition(&self) -> f64 {
        self.condition.unwrap_or(f64::INFINITY)
    }

    /// True if the matrix is singular or not positive, as far as it is known.
    pub(super) fn is_singular(&self) -> bool {
        let by_condition = self.condition.is_some_and(|of| of.is_nan() || of > SINGULAR);
        by_condition || self.is_damped() || self.rank < self.order.len()
    }

    /// True if a multiple of the identity was added.
    pub(super) fn is_damped(&self) -> bool {
        self.shift > 0.0
    }

    /// This multiple.
    pub(super) fn shift(&self) -> f64 {
        self.shift
    }

    /// Places of columns that do not depend on each other.
    pub(super) fn independent(&self) -> &[usize] {
        &self.order[..self.rank]
    }

    /// Directions in which `H` vanishes: one for each column that depends on others, at most [`DIRECTIONS`].
    pub(super) fn null_directions(&self) -> Vec<Vec<f64>> {
        let k = self.order.len();
        if self.is_damped() || self.rank == k {
            let mut factor = self.matrix.clone();
            let (rank, by_pivots) = factor_with_pivots_in_place(factor.as_mut());
            let order: Vec<usize> = by_pivots.iter().map(|a| self.order[*a]).collect();
            return self.directions(factor.as_ref(), rank, &order);
        }
        self.directions(self.factor.as_ref(), self.rank, &self.order)
    }

    /// The directions by the factor of `rank` columns, in an order.
    fn directions(&self, factor: MatRef<'_, f64>, rank: usize, order: &[usize]) -> Vec<Vec<f64>> {
        let k = order.len();
        let count = (k - rank).min(DIRECTIONS);
        // With `P A Pᵀ = [L; M] [L; M]ᵀ`, column `rank + i` is that of `L⁻ᵀ Mᵀ e_i`.
        let (triangle, rest) = factor.subcols(0, rank).split_at_row(rank);
        let mut of_others = rest.subrows(0, count).transpose().to_owned();
        solve_upper_triangular_in_place(triangle.transpose(), of_others.as_mut(), Par::Seq);
        let direction = |i: usize| {
            let mut direction = vec![0.0; k];
            direction[order[rank + i]] = self.scale[order[rank + i]];
            (0..rank).for_each(|a| direction[order[a]] = -of_others[(a, i)] * self.scale[order[a]]);
            direction
        };
        (0..count).map(direction).collect()
    }

    /// `H⁻¹ right`.
    pub(super) fn solve(&self, right: &[f64]) -> Vec<f64> {
        let k = self.order.len();
        if self.rank < k {
            return vec![f64::NAN; k];
        }
        let mut ordered = Mat::from_fn(k, 1, |a, _| right[self.order[a]] * self.scale[self.order[a]]);
        solve_in_place(self.factor.as_ref(), ordered.as_mut());
        self.in_places(ordered.col_as_slice(0))
    }

    /// Columns of `H⁻¹`, at places.
    pub(super) fn inverse_columns(&self, places: &[usize]) -> Vec<Vec<f64>> {
        let k = self.order.len();
        if self.rank < k {
            return vec![vec![f64::NAN; k]; places.len()];
        }
        let mut ordered = Mat::zeros(k, places.len());
        for (b, place) in places.iter().enumerate() {
            let a = self.order.iter().position(|a| a == place);
            ordered[(a.expect("every place has a column"), b)] = self.scale[*place];
        }
        solve_in_place(self.factor.as_ref(), ordered.as_mut());
        (0..places.len()).map(|b| self.in_places(ordered.col_as_slice(b))).collect()
    }

    /// A solution of the scaled system, unscaled and by places.
    fn in_places(&self, ordered: &[f64]) -> Vec<f64> {
        let mut solved = vec![0.0; ordered.len()];
        self.order.iter().zip(ordered).for_each(|(a, v)| solved[*a] = v * self.scale[*a]);
        solved
    }
}

/// The Cholesky factor of a matrix with a unit diagonal, or of what remains of one; false if it is singular
/// or not positive.
fn factor_in_place(mut matrix: MatMut<'_, f64>) -> bool {
    let (k, parallelism) = (matrix.nrows(), get_global_parallelism());
    let mut buffer =
        MemBuffer::new(cholesky::cholesky_in_place_scratch::<f64>(k, parallelism, Default::default()));
    let stack = MemStack::new(&mut buffer);
    let options = Default::default();
    let factored =
        cholesky::cholesky_in_place(matrix.as_mut(), options, parallelism, stack, Default::default());
    // Of a unit diagonal: the condition number is at least the inverse of any squared pivot.
    factored.is_ok() && (0..k).all(|a| is_pivot(matrix[(a, a)]))
}

/// True if a diagonal entry of the factor is not rounding.
fn is_pivot(entry: f64) -> bool {
    entry.powi(2) * SINGULAR >= 1.0
}

/// The factor with pivots, its rank and the order of the columns.
fn factor_with_pivots_in_place(mut matrix: MatMut<'_, f64>) -> (usize, Vec<usize>) {
    let k = matrix.nrows();
    // The diagonal of what remains of dependent columns is rounding of either sign.
    (0..k).for_each(|a| matrix[(a, a)] = matrix[(a, a)].max(0.0));
    if (0..k).all(|a| !is_pivot(matrix[(a, a)].sqrt())) {
        return (0, (0..k).collect());
    }
    let (mut order, mut inverse) = (vec![0usize; k], vec![0usize; k]);
    let scratch = pivoted::cholesky_in_place_scratch::<usize, f64>(k, Par::Seq, Default::default());
    let mut buffer = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut buffer);
    let options = Default::default();
    let factored =
        pivoted::cholesky_in_place(matrix.as_mut(), &mut order, &mut inverse, Par::Seq, stack, options);
    let Ok(rank) = factored.map(|(info, _)| info.rank) else { return (0, (0..k).collect()) };
    // Pivots descend.
    ((0..rank).take_while(|a| is_pivot(matrix[(*a, *a)])).count(), order)
}

/// A symmetric matrix with its columns and rows in an order.
fn permuted(matrix: &Mat<f64>, order: &[usize]) -> Mat<f64> {
    let k = order.len();
    let mut permuted = Mat::zeros(k, k);
    for (b, from) in order.iter().enumerate() {
        let from = matrix.col_as_slice(*from);
        permuted.col_as_slice_mut(b).iter_mut().zip(order).for_each(|(v, a)| *v = from[*a]);
    }
    permuted
}

/// `(L Lᵀ)⁻¹ right` in place of `right`.
fn solve_in_place(factor: MatRef<'_, f64>, mut right: MatMut<'_, f64>) {
    let parallelism = get_global_parallelism();
    solve_lower_triangular_in_place(factor, right.as_mut(), parallelism);
    solve_upper_triangular_in_place(factor.transpose(), right, parallelism);
}

/// An estimate of the condition number.
fn condition(matrix: &Mat<f64>, factor: MatRef<'_, f64>) -> f64 {
    let k = matrix.nrows();
    if k == 0 {
        return 1.0;
    }
    let norm = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>().sqrt();
    let mut image = vec![0.0; k];
    let mut grow = |step: &dyn Fn(&mut [f64], &mut [f64])| {
        let sign = |a: usize| if a.is_multiple_of(2) { 1.0 } else { -1.0 };
        let mut v: Vec<f64> = (0..k).map(|a| 1.0 + 0.1 * ((a * 7 % 11) as f64) * sign(a)).collect();
        let mut size = norm(&v);
        for _ in 0..8 {
            v.iter_mut().for_each(|v| *v /= size);
            step(&mut v, &mut image);
            size = norm(&v);
        }
        size
    };
    let largest = grow(&|v, image| {
        image.fill(0.0);
        for (b, along) in v.iter().enumerate() {
            image.iter_mut().zip(matrix.col_as_slice(b)).for_each(|(sum, m)| *sum += along * m);
        }
        v.copy_from_slice(image);
    });
    largest * grow(&|v, _| solve_in_place(factor, MatMut::from_column_major_slice_mut(v, k, 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `XᵀX` of 12 random columns, of which 3, 7 and 10 depend on others.
    fn dependent() -> Mat<f64> {
        let mut state = 1_u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
        };
        let mut x = Mat::from_fn(20, 12, |_, _| random());
        for i in 0..20 {
            x[(i, 3)] = 2.0 * x[(i, 1)];
            x[(i, 7)] = x[(i, 2)] - 0.5 * x[(i, 8)];
            x[(i, 10)] = x[(i, 3)] + x[(i, 5)];
        }
        x.transpose() * &x
    }

    #[test]
    fn columns_known_to_be_independent_change_nothing() {
        let hessian = dependent();
        for first in [&[][..], &[0, 1, 4], &[1, 2, 5, 8, 9], &[3, 7, 10], &[0, 1, 2, 3, 4]] {
            let system = System::new(&hessian, &[0.0; 12], first);
            assert!(system.is_singular(), "{first:?}");
            assert_eq!(system.independent().len(), 9, "{first:?}");
            let directions = system.null_directions();
            assert_eq!(directions.len(), 3, "{first:?}");
            for along in &directions {
                let image = &hessian * MatRef::from_column_major_slice(along, 12, 1);
                let size = |v: MatRef<'_, f64>| v.norm_l2();
                assert!(size(image.as_ref()) <= 1e-10 * along.iter().map(|v| v * v).sum::<f64>().sqrt());
            }
        }
    }

    #[test]
    fn a_solution_does_not_depend_on_the_order() {
        let (hessian, ridge) = (dependent(), [0.1; 12]);
        let right: Vec<f64> = (0..12).map(|a| f64::from(a) - 4.0).collect();
        for first in [&[][..], &[0, 1, 4], &[2, 3, 7, 11]] {
            let system = System::new(&hessian, &ridge, first);
            assert!(!system.is_singular());
            let solved = system.solve(&right);
            for a in 0..12 {
                let along: f64 = (0..12).map(|b| hessian[(a, b)] * solved[b]).sum();
                assert!((along + 0.1 * solved[a] - right[a]).abs() < 1e-11, "{first:?}");
            }
        }
    }
}
