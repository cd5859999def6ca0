//! Linear systems on active sets that are too large for dense matrices: conjugate gradients (Hestenes &
//! Stiefel 1952), preconditioned by the diagonal, of all such lanes side by side. Each has an active set of
//! its own, and one that has converged rests.

use ndarray::Array1;

use crate::certificate::OnManifold;
use crate::design::Threads;
use crate::objective::Objective;

/// Relative residual of a solution.
const SOLVED: f64 = 1e-12;
/// Most rounds.
const ROUNDS: usize = 2000;

/// A system in progress, `[q]` each; zeros outside of the active set.
struct System {
    curvature: Vec<f64>,
    of_penalty: Vec<f64>,
    diagonal: Vec<f64>,
    /// Active rows.
    rows: Vec<usize>,
    x: Vec<f64>,
    residual: Vec<f64>,
    direction: Vec<f64>,
    /// `rᵀ M⁻¹ r`, and the square of the residual at which it is solved.
    square: f64,
    enough: f64,
    state: Progress,
}

#[derive(PartialEq)]
enum Progress {
    Running,
    Solved,
    /// The matrix is not positive definite.
    Failed,
}

/// Lanes whose vectors fit some memory, at least one.
pub(super) fn at_a_time(problem: &Objective, bytes: u64) -> usize {
    let numbers = 10 * problem.state_rows() + 2 * problem.design.rows();
    ((bytes / (8 * numbers.max(1)) as u64) as usize).max(1)
}

/// `(H + G)_SS⁻¹` times the active rows of the right side, `[q]`, of each lane, zeros in the others; `None`
/// where the matrix is singular, not positive, or so ill-conditioned that the rounds do not suffice.
pub(super) fn solve(
    problem: &Objective,
    systems: &[(&OnManifold<'_>, &Array1<f64>)],
) -> Vec<Option<Array1<f64>>> {
    let mut all: Vec<System> = systems.iter().map(|(on, right)| System::new(problem, on, right)).collect();
    let (n, q) = (problem.design.rows(), problem.state_rows());
    let count = all.len();
    let (mut columns, mut z, mut h) = (vec![0.0; q * count], vec![0.0; n * count], vec![0.0; q * count]);
    for _ in 0..ROUNDS {
        if all.iter().all(|of| of.state != Progress::Running) {
            break;
        }
        for (to, of) in columns.chunks_exact_mut(q).zip(&all) {
            match of.state {
                Progress::Running => to.copy_from_slice(&of.direction),
                _ => to.fill(0.0),
            }
        }
        problem.design.apply(&mut z, &columns, Threads::All);
        for (z, of) in z.chunks_exact_mut(n).zip(&all) {
            z.iter_mut().zip(&of.curvature).for_each(|(z, c)| *z *= c);
        }
        problem.design.apply_t(&mut h, &z, Threads::All);
        all.iter_mut().zip(h.chunks_exact(q)).for_each(|(of, h)| of.advance(h));
    }
    all.into_iter().map(|of| (of.state == Progress::Solved).then(|| of.x.into())).collect()
}

impl System {
    fn new(problem: &Objective, on: &OnManifold<'_>, right: &Array1<f64>) -> Self {
        let q = right.len();
        let curvature = on.curvatures();
        let (mut of_penalty, mut residual) = (vec![0.0; q], vec![0.0; q]);
        for &j in on.active() {
            (of_penalty[j], residual[j]) = (on.penalty(j).d2, right[j]);
        }
        let squares = problem.design.column_squares(ndarray::ArrayView1::from(&curvature));
        let diagonal: Vec<f64> = (0..q).map(|j| squares[j] + of_penalty[j]).collect();
        let state = if residual.iter().all(|v| *v == 0.0) { Progress::Solved } else { Progress::Running };
        let enough = SOLVED * SOLVED * residual.iter().map(|r| r * r).sum::<f64>();
        let mut system = System {
            curvature,
            of_penalty,
            diagonal,
            rows: on.active().to_vec(),
            x: vec![0.0; q],
            direction: vec![0.0; q],
            residual,
            square: 0.0,
            enough,
            state,
        };
        system.turn();
        system
    }

    /// The next direction, conjugate to those before.
    fn turn(&mut self) {
        let term = |j: &usize| self.residual[*j].powi(2) / self.diagonal[*j];
        let square: f64 = self.rows.iter().map(term).sum();
        let share = if self.square > 0.0 { square / self.square } else { 0.0 };
        for &j in &self.rows {
            self.direction[j] = self.residual[j] / self.diagonal[j] + share * self.direction[j];
        }
        self.square = square;
    }

    /// A step along the direction, whose image under the Hessian of the loss is `h`.
    fn advance(&mut self, h: &[f64]) {
        if self.state != Progress::Running {
            return;
        }
        let image = |of: &Self, j: usize| h[j] + of.of_penalty[j] * of.direction[j];
        let rows = std::mem::take(&mut self.rows);
        let curvature: f64 = rows.iter().map(|j| self.direction[*j] * image(self, *j)).sum();
        // A NaN is not positive.
        if !(curvature > 0.0 && self.square > 0.0) {
            self.state = Progress::Failed;
            return;
        }
        let step = self.square / curvature;
        for &j in &rows {
            self.x[j] += step * self.direction[j];
            self.residual[j] -= step * image(self, j);
        }
        self.rows = rows;
        if self.rows.iter().map(|j| self.residual[*j].powi(2)).sum::<f64>() <= self.enough {
            self.state = Progress::Solved;
            return;
        }
        self.turn();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::Certifier;
    use crate::data::Synthetic;
    use crate::lanes::Lane;
    use crate::objective::{Loss, Penalty};

    #[test]
    fn conjugate_gradients_solve_what_dense_systems_solve() {
        let (rows, features) = (60, 25);
        let synthetic = Synthetic {
            rows,
            features,
            scale: (1.0, 1.0),
            relevant: 9,
            effect: 1.0,
            noise: 0.5,
            classes: true,
            seed: 4,
        };
        let data = synthetic.draw().unwrap();
        let problem =
            Objective::builder(data).loss(Loss::logistic()).penalty(Penalty::elastic_net()).build().unwrap();
        let lanes = [Lane::new(0.05, 0.5), Lane::new(0.2, 0.5), Lane::new(0.02, 0.9)];
        let certifier = Certifier::new(&problem, &[], &lanes);
        let point = |lane: usize| -> Array1<f64> {
            (0..problem.state_rows())
                .map(|j| if (j + lane).is_multiple_of(3) { 0.0 } else { 0.1 * (j as f64).sin() })
                .collect()
        };
        let right: Array1<f64> = (0..problem.state_rows()).map(|j| (1.0 + j as f64).cos()).collect();
        let on: Vec<_> = (0..3).map(|lane| certifier.at_solution(lane, point(lane).view(), true)).collect();
        let systems: Vec<_> = on.iter().map(|on| (on, &right)).collect();
        for (on, found) in on.iter().zip(solve(&problem, &systems)) {
            let (found, exact) = (found.expect("a solution"), on.factored().unwrap().solve(right.view()));
            assert!(exact.iter().any(|v| v.abs() > 0.1) && exact.iter().any(|v| *v == 0.0));
            let apart = found.iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(apart <= 1e-9 * exact.iter().fold(0.0, |m: f64, v| m.max(v.abs())), "{apart:e}");
        }
        // Without a ridge, more active columns than rows leave nothing to solve.
        let wide = Synthetic { rows: 8, ..synthetic }.draw().unwrap();
        let problem = Objective::builder(wide).loss(Loss::logistic()).penalty(Penalty::l1()).build().unwrap();
        let lanes = [Lane::new(0.1, 1.0)];
        let certifier = Certifier::new(&problem, &[], &lanes);
        let on = certifier.at_solution(0, Array1::from_elem(problem.state_rows(), 0.1).view(), false);
        let right: Array1<f64> = (0..problem.state_rows()).map(|j| (1.0 + j as f64).cos()).collect();
        assert!(solve(&problem, &[(&on, &right)])[0].is_none());
    }
}
