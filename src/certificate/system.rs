//! The Newton system of an active set, factored.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt_pivoting::factor::{cholesky_in_place, cholesky_in_place_scratch};
use faer::linalg::solvers::{Llt, Solve};
use faer::linalg::triangular_solve::solve_upper_triangular_in_place;
use faer::{Mat, MatMut, Par, Side};

/// A condition number from which a matrix counts as singular.
pub(super) const SINGULAR: f64 = 1e13;

/// Most directions at a time: the next round finds others.
const DIRECTIONS: usize = 256;

/// `S H S` with a unit diagonal, factored; `S` is diagonal.
pub(super) struct System {
    matrix: Mat<f64>,
    scale: Vec<f64>,
    factor: Option<Llt<f64>>,
    /// The estimate of its condition number; infinite if the matrix is not positive, absent until it is asked
    /// for.
    condition: Option<f64>,
    /// The multiple of the identity that was added, because the matrix is singular or not positive.
    shift: f64,
}

impl System {
    /// The system of a Hessian and of a diagonal that is added to it.
    pub(super) fn new(hessian: &Mat<f64>, diagonal: &[f64]) -> Self {
        let k = hessian.nrows();
        let mut matrix = hessian.clone();
        diagonal.iter().enumerate().for_each(|(a, v)| matrix[(a, a)] += v);
        let scale: Vec<f64> =
            (0..k).map(|a| if matrix[(a, a)] > 0.0 { 1.0 / matrix[(a, a)].sqrt() } else { 1.0 }).collect();
        for (b, of_column) in scale.iter().enumerate() {
            let column = matrix.col_as_slice_mut(b).iter_mut().zip(&scale);
            column.for_each(|(v, of_row)| *v *= of_row * of_column);
        }
        let factor = matrix.llt(Side::Lower).ok().filter(|factor| {
            // Of a unit diagonal: the condition number is at least the inverse of any squared pivot.
            (0..k).all(|a| factor.L()[(a, a)].powi(2) * SINGULAR >= 1.0)
        });
        let condition = factor.is_none().then_some(f64::INFINITY);
        let mut system = System { matrix, scale, factor, condition, shift: 0.0 };
        if system.factor.is_none() {
            system.damp();
        }
        system
    }

    /// Adds the least of some multiples of the identity with which the matrix can be factored.
    fn damp(&mut self) {
        self.factor = None;
        let mut shift = 1e-10;
        while self.factor.is_none() && shift < 1e3 {
            let mut shifted = self.matrix.clone();
            (0..shifted.nrows()).for_each(|a| shifted[(a, a)] += shift);
            self.factor = shifted.llt(Side::Lower).ok();
            self.shift = shift;
            shift *= 100.0;
        }
    }

    /// Estimates the condition number, by a few power and inverse iterations. True if this shows that the
    /// matrix is singular, so that a multiple of the identity has been added.
    pub(super) fn estimate_condition(&mut self) -> bool {
        if self.condition.is_some() {
            return false;
        }
        let condition = self.factor.as_ref().map_or(f64::INFINITY, |factor| condition(&self.matrix, factor));
        self.condition = Some(condition);
        let singular = condition.is_nan() || condition > SINGULAR;
        if singular {
            self.damp();
        }
        singular
    }

    /// The estimate of the condition number; infinite if there is none.
    pub(super) fn condition(&self) -> f64 {
        self.condition.unwrap_or(f64::INFINITY)
    }

    /// True if a multiple of the identity was added, because the matrix is singular or not positive.
    pub(super) fn is_damped(&self) -> bool {
        self.shift > 0.0
    }

    /// This multiple.
    pub(super) fn shift(&self) -> f64 {
        self.shift
    }

    /// Directions in which `H` vanishes, by a Cholesky factorisation with pivots: one for each column that
    /// depends on others, at most [`DIRECTIONS`].
    pub(super) fn null_directions(&self) -> Vec<Vec<f64>> {
        let k = self.matrix.nrows();
        let mut factor = self.matrix.clone();
        let (mut order, mut inverse) = (vec![0usize; k], vec![0usize; k]);
        let scratch = cholesky_in_place_scratch::<usize, f64>(k, Par::Seq, Default::default());
        let mut buffer = MemBuffer::new(scratch);
        let stack = MemStack::new(&mut buffer);
        let factored =
            cholesky_in_place(factor.as_mut(), &mut order, &mut inverse, Par::Seq, stack, Default::default());
        let Ok(rank) = factored.map(|(info, _)| info.rank) else { return Vec::new() };
        // Pivots descend.
        let counts = |a: &usize| factor[(*a, *a)].powi(2) * SINGULAR >= 1.0;
        let rank = (0..rank).take_while(counts).count();
        let count = (k - rank).min(DIRECTIONS);
        // With `P A Pᵀ = [L; M] [L; M]ᵀ`, column `rank + i` is that of `L⁻ᵀ Mᵀ e_i`.
        let (triangle, rest) = factor.as_ref().subcols(0, rank).split_at_row(rank);
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
        let Some(factor) = &self.factor else { return vec![f64::NAN; right.len()] };
        let mut solved: Vec<f64> = right.iter().zip(&self.scale).map(|(v, s)| v * s).collect();
        factor.solve_in_place(MatMut::from_column_major_slice_mut(&mut solved, right.len(), 1));
        solved.iter_mut().zip(&self.scale).for_each(|(v, s)| *v *= s);
        solved
    }
}

/// An estimate of the condition number.
fn condition(matrix: &Mat<f64>, factor: &Llt<f64>) -> f64 {
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
    largest * grow(&|v, _| factor.solve_in_place(MatMut::from_column_major_slice_mut(v, k, 1)))
}
