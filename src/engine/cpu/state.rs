//! The state of a batch on the CPU, and its two products.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

use super::super::{Control, ControlRules, Directive, Job, LaneNumbers, MetricSource, Seen};
use crate::problem::{Loss, Penalty, Real};

/// Matrices are column-major with one column per lane and tangent: lane `slot` owns the columns
/// `slot (1 + d) .. (slot + 1)(1 + d)`, the iterate first.
pub(super) struct State<T> {
    pub(super) n: usize,
    pub(super) q: usize,
    pub(super) d: usize,
    pub(super) loss: Loss,
    pub(super) penalty: Penalty,
    pub(super) numbers: LaneNumbers,
    /// Lanes still in the columns, as indices into the batch.
    pub(super) active: Vec<usize>,
    frozen: Vec<bool>,
    /// Design `[n, q]`, row-major, and what belongs to its rows.
    design: Vec<T>,
    pub(super) target: Vec<T>,
    pub(super) weight: Vec<T>,
    /// `[d][n]`, empty where no direction moves the target.
    pub(super) target_tangent: Vec<Vec<T>>,
    pub(super) factors: Vec<T>,
    pub(super) held_out: Option<HeldOut<T>>,
    /// `q`-columns: the iterate and the one before; the gradient.
    pub(super) x: Vec<T>,
    pub(super) x_previous: Vec<T>,
    pub(super) g: Vec<T>,
    /// `n`-columns: predictions of `x` and `x_previous`; the residual.
    pub(super) z: Vec<T>,
    pub(super) z_previous: Vec<T>,
    pub(super) r: Vec<T>,
    /// What the schedule asks for: predictions of `e` where it measures curvature, and whether it watches restarts.
    pub(super) extrapolated: Option<Vec<T>>,
    pub(super) watches_restarts: bool,
    pub(super) rules: ControlRules<T>,
    /// Per lane of the batch, those that ended included.
    pub(super) controls: Vec<Control<T>>,
    /// Per active lane: what the last iteration showed, and what this one is told.
    pub(super) seen: Vec<Seen<T>>,
    pub(super) directives: Vec<Directive<T>>,
    /// Diagonal of the metric, `q`-columns with tangents; absent for the identity, whose diagonal is `ones`.
    pub(super) metric: Option<Vec<T>>,
    pub(super) ones: Vec<T>,
    /// Squares of the design, for a metric made of curvatures.
    pub(super) squares: Option<Vec<T>>,
    /// Per active lane: the record of this iteration and the measures of the stop rule.
    pub(super) records: Vec<Vec<f64>>,
    pub(super) measures: Vec<Measures>,
}

/// Held-out rows and their predictions.
pub(super) struct HeldOut<T> {
    pub(super) n: usize,
    design: Vec<T>,
    pub(super) target: Vec<T>,
    pub(super) weight: Vec<T>,
    pub(super) z: Vec<T>,
}

/// Measures of the stop rule of a lane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measures {
    pub(super) dual_scale: f64,
    pub(super) gap: Option<f64>,
    pub(super) stationarity: f64,
    pub(super) derivative_residual: f64,
}

fn cast<'a, T: Real>(values: impl IntoIterator<Item = &'a f64>) -> Vec<T> {
    values.into_iter().map(|v| T::of(*v)).collect()
}

impl<T: Real> State<T> {
    pub(super) fn new(job: &Job<'_>, numbers: LaneNumbers) -> Self {
        let problem = job.problem;
        let (n, q) = problem.design.dim();
        let (b, d) = (numbers.l1.len(), job.derivatives.len());
        let columns = b * (1 + d);
        let mut x = vec![T::zero(); q * columns];
        for (lane, start) in x.chunks_exact_mut(q * (1 + d)).zip(numbers.start.rows()) {
            lane.iter_mut().zip(start).for_each(|(x, v)| *x = T::of(*v));
        }
        let zeros = |rows: usize| vec![T::zero(); rows * columns];
        let uses_metric = *job.metric != MetricSource::None;
        let uses_squares = matches!(job.metric, MetricSource::Hessian { .. });
        State {
            n,
            q,
            d,
            loss: problem.loss(),
            penalty: problem.penalty(),
            active: (0..b).collect(),
            frozen: vec![false; b],
            design: cast(&problem.design),
            target: cast(&problem.target),
            weight: cast(&problem.weight),
            target_tangent: match &numbers.target_tangent {
                None => Vec::new(),
                Some(directions) => directions.columns().into_iter().map(cast).collect(),
            },
            factors: cast(&numbers.factors),
            held_out: problem.held_out.as_ref().map(|h| HeldOut {
                n: h.target.len(),
                design: cast(&h.design),
                target: cast(&h.target),
                weight: cast(&h.weight),
                z: zeros(h.target.len()),
            }),
            x_previous: x.clone(),
            x,
            g: zeros(q),
            z: zeros(n),
            z_previous: zeros(n),
            r: zeros(n),
            extrapolated: job.schedule.uses_secant().then(|| zeros(n)),
            watches_restarts: job.schedule.watches_restarts(),
            rules: ControlRules {
                patience: job.schedule.schedule().patience,
                tangent_start: job.schedule.tangent_start(),
                constants: job.schedule.constants().into_iter().map(T::of).collect(),
            },
            controls: vec![Control::new(); b],
            seen: vec![Seen::nothing(d); b],
            directives: Vec::new(),
            metric: uses_metric.then(|| zeros(q)),
            ones: vec![T::one(); q],
            squares: uses_squares.then(|| problem.design.iter().map(|v| T::of(v * v)).collect()),
            records: vec![vec![0.0; crate::plan::RecordLayout::new(d).fields()]; b],
            measures: vec![Measures { dual_scale: 1.0, gap: None, stationarity: 0.0, derivative_residual: 0.0 }; b],
            numbers,
        }
    }

    /// `z = X x` for all columns; the last predictions become the previous ones.
    pub(super) fn predict(&mut self) {
        let shape = (self.n, self.q);
        std::mem::swap(&mut self.z, &mut self.z_previous);
        product(&mut self.z, &self.design, shape, false, &self.x);
        if let Some(h) = &mut self.held_out {
            product(&mut h.z, &h.design, (h.n, self.q), false, &self.x);
        }
    }

    /// `g = (X ∘ X)ᵀ r` for all columns.
    pub(super) fn gradient_of_squares(&mut self) {
        if let Some(squares) = &self.squares {
            product(&mut self.g, squares, (self.n, self.q), true, &self.r);
        }
    }

    /// `g = Xᵀ r` for all columns.
    pub(super) fn gradient(&mut self) {
        product(&mut self.g, &self.design, (self.n, self.q), true, &self.r);
    }

    /// The state columns of an active lane, `(1 + d) · q` numbers.
    pub(super) fn lane_state(&self, slot: usize) -> &[T] {
        let width = self.q * (1 + self.d);
        &self.x[slot * width..(slot + 1) * width]
    }

    /// From now on the lane keeps its state until it is taken out.
    pub(super) fn freeze(&mut self, slot: usize) {
        self.frozen[slot] = true;
    }

    pub(super) fn is_frozen(&self) -> &[bool] {
        &self.frozen
    }

    /// Keeps the active lanes marked in `keep`, moving their columns together.
    pub(super) fn compact(&mut self, keep: &[bool]) {
        let width = 1 + self.d;
        let squeeze = |columns: &mut Vec<T>, rows: usize| {
            let mut to = 0;
            for (slot, _) in keep.iter().enumerate().filter(|(_, k)| **k) {
                let from = slot * width * rows;
                columns.copy_within(from..from + width * rows, to);
                to += width * rows;
            }
            columns.truncate(to);
        };
        for q_columns in [&mut self.x, &mut self.x_previous, &mut self.g].into_iter().chain(&mut self.metric) {
            squeeze(q_columns, self.q);
        }
        for n_columns in [&mut self.z, &mut self.z_previous, &mut self.r].into_iter().chain(&mut self.extrapolated) {
            squeeze(n_columns, self.n);
        }
        if let Some(h) = &mut self.held_out {
            squeeze(&mut h.z, h.n);
        }
        let mut kept = keep.iter();
        self.seen.retain(|_| *kept.next().expect("one mark per active lane"));
        let mut kept = keep.iter();
        self.active.retain(|_| *kept.next().expect("one mark per active lane"));
        self.frozen = vec![false; self.active.len()];
        self.records.truncate(self.active.len());
        self.measures.truncate(self.active.len());
    }
}

/// `out = X m`, or `Xᵀ m`, for the row-major design `X` of shape `[n, q]` and column-major `m` and `out`.
pub(super) fn product<T: Real>(out: &mut [T], design: &[T], (n, q): (usize, usize), transpose: bool, m: &[T]) {
    let x = MatRef::from_row_major_slice(design, n, q);
    let x = if transpose { x.transpose() } else { x };
    let columns = m.len() / x.ncols();
    let m = MatRef::from_column_major_slice(m, x.ncols(), columns);
    let out = MatMut::from_column_major_slice_mut(out, x.nrows(), columns);
    matmul(out, Accum::Replace, x, m, T::one(), Par::rayon(0));
    super::vector::settle();
}
