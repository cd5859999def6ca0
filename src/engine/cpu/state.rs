//! The columns of all seated lanes.

use faer::Par;
use ndarray::Array2;

use super::super::{Control, Directive, Job, LaneOutcome, LaneState, MetricSource, RunNumbers};
use super::observe::HeldOut;
use super::part::{Common, Design, Measures, Only, Part, Rows, Seated};
use crate::plan::{Plan, RecordLayout};
use crate::problem::Real;

/// Lanes in their columns, in the order in which they were seated.
pub(super) struct State<T> {
    n: usize,
    q: usize,
    d: usize,
    numbers: RunNumbers,
    pub(super) common: Common<T>,
    /// `[n, q]`, row-major.
    design: Vec<T>,
    /// Squares of the design, for a metric made of curvatures.
    squares: Option<Vec<T>>,
    factors: Vec<T>,
    only: Vec<Only>,
    held_out: Option<(HeldOut<T>, Vec<T>)>,
    pub(super) seats: Vec<Seated<T>>,
    /// `[q]`-columns: the iterate and the one before; the gradient; the metric.
    x: Vec<T>,
    x_previous: Vec<T>,
    g: Vec<T>,
    metric: Option<Vec<T>>,
    /// `[n]`-columns: predictions of both; the residual; predictions of the point where the gradient is taken.
    z: Vec<T>,
    z_previous: Vec<T>,
    r: Vec<T>,
    extrapolated: Option<Vec<T>>,
}

fn cast<'a, T: Real>(values: impl IntoIterator<Item = &'a f64>) -> Vec<T> {
    values.into_iter().map(|v| T::of(*v)).collect()
}

impl<T: Real> State<T> {
    /// Room for the lanes of a plan.
    pub(super) fn new(plan: &Plan, job: &Job<'_>) -> Self {
        let problem = job.problem;
        let numbers = RunNumbers::new(job);
        let (n, q) = problem.design.dim();
        let d = job.derivatives.len();
        let zeros = |rows: usize| vec![T::zero(); rows * plan.seats * (1 + d)];
        let rows = Rows {
            target: cast(&problem.target),
            weight: cast(&problem.weight),
            target_tangent: match &numbers.target_tangent {
                None => Vec::new(),
                Some(directions) => directions.columns().into_iter().map(cast).collect(),
            },
        };
        let held_out = problem.held_out.as_ref().map(|h| {
            let rows = Rows { target: cast(&h.target), weight: cast(&h.weight), target_tangent: Vec::new() };
            (HeldOut { design: cast(&h.design), rows }, zeros(h.target.len()))
        });
        let common = Common::new(
            (n, q, d),
            problem.loss(),
            problem.penalty(),
            rows,
            numbers.tested.clone(),
            numbers.gap_unit,
            job.schedule.watches_restarts(),
        );
        let only = numbers.only.iter().map(|o| o.map_or(Only::All, Only::Column)).collect();
        let squares = matches!(job.metric, MetricSource::Hessian { .. });
        State {
            n,
            q,
            d,
            common,
            design: cast(&problem.design),
            squares: squares.then(|| problem.design.iter().map(|v| T::of(v * v)).collect()),
            factors: cast(&numbers.factors),
            only,
            held_out,
            seats: Vec::with_capacity(plan.seats),
            x: zeros(q),
            x_previous: zeros(q),
            g: zeros(q),
            metric: (*job.metric != MetricSource::None).then(|| zeros(q)),
            z: zeros(n),
            z_previous: zeros(n),
            r: zeros(n),
            extrapolated: job.schedule.uses_secant().then(|| zeros(n)),
            numbers,
        }
    }

    /// All lanes, on all coefficients.
    pub(super) fn whole(&mut self) -> Part<'_, T> {
        let columns = self.seats.len() * (1 + self.d);
        let (in_q, in_n) = (..columns * self.q, ..columns * self.n);
        Part {
            common: &self.common,
            seats: &mut self.seats,
            design: Design { values: &self.design, n: self.n, q: self.q, by_rows: true },
            factors: &self.factors,
            penalised: self.numbers.penalised,
            only: &self.only,
            x: &mut self.x[in_q],
            x_previous: &mut self.x_previous[in_q],
            g: &mut self.g[in_q],
            metric: self.metric.as_mut().map(|m| &mut m[in_q]),
            z: &mut self.z[in_n],
            z_previous: &mut self.z_previous[in_n],
            r: &mut self.r[in_n],
            extrapolated: self.extrapolated.as_mut().map(|e| &mut e[in_n]),
            par: Par::rayon(0),
        }
    }

    /// One iteration of every lane, and what is to be recorded of it.
    pub(super) fn advance(&mut self, metric: &MetricSource) {
        let squares = self.squares.take();
        let (n, q) = (self.n, self.q);
        let mut part = self.whole();
        part.restore();
        part.refresh_metric(metric, squares.as_ref().map(|s| Design { values: s, n, q, by_rows: true })); // D
        part.residual(super::Probe::Ahead); // r = ω φ'(X e)              dr = ω (φ''(X e) X de + ∂_u φ')
        part.gradient(); //                    g = Xᵀ r                   dg = Xᵀ dr
        part.step(); //                        x⁺ = prox(x + β(x − x₋) − α D g), with its tangents
        part.predict(); //                     z⁺ = X x⁺                  dz⁺ = X dx⁺
        self.squares = squares;
        self.flip();
        self.observe();
    }

    /// What was made in the place of the previous iterate is the iterate now.
    fn flip(&mut self) {
        std::mem::swap(&mut self.x, &mut self.x_previous);
        std::mem::swap(&mut self.z, &mut self.z_previous);
    }

    fn observe(&mut self) {
        let mut held_out = self.held_out.take();
        if let Some((rows, z)) = &mut held_out {
            let columns = self.seats.len() * (1 + self.d);
            let n = rows.rows.target.len();
            let design = Design { values: &rows.design, n, q: self.q, by_rows: true };
            design.apply(&mut z[..columns * n], &self.x[..columns * self.q], Par::rayon(0));
        }
        self.whole().observe(held_out.as_ref().map(|(rows, z)| (rows, &z[..])));
        self.held_out = held_out;
    }

    /// Measures every lane for the stop rule.
    pub(super) fn measure(&mut self) {
        self.whole().measure(None);
    }

    /// Seats lanes behind those that are here.
    pub(super) fn admit(&mut self, job: &Job<'_>, lanes: Vec<LaneState>) {
        let width = 1 + self.d;
        let first = self.seats.len();
        for state in lanes {
            let at = self.seats.len() * width * self.q;
            let put = |to: &mut [T], from: &Array2<f64>| to.iter_mut().zip(from).for_each(|(t, f)| *t = T::of(*f));
            put(&mut self.x[at..at + width * self.q], &state.state);
            put(&mut self.x_previous[at..at + width * self.q], &state.previous);
            if let Some(metric) = &mut self.metric {
                let columns = &mut metric[at..at + width * self.q];
                columns.fill(T::zero());
                match &state.metric {
                    Some(saved) => put(columns, saved),
                    None => {
                        let entry = |j: usize| T::of(job.metric.entry(state.iteration, state.lane, j));
                        columns[..self.q].iter_mut().enumerate().for_each(|(j, d)| *d = entry(j));
                    }
                }
            }
            self.seats.push(Seated {
                lane: state.lane,
                first: state.iteration,
                outcome: LaneOutcome::open(state.iteration),
                advanced: false,
                numbers: self.numbers.lane(job, state.lane),
                control: Control::from_memory(&state.memory),
                told: Directive::new(self.d),
                record: vec![0.0; RecordLayout::new(self.d).fields()],
                measures: Measures::none(),
            });
        }
        let (q, n) = (self.q, self.n);
        let new = first * width..self.seats.len() * width;
        let in_q = new.start * q..new.end * q;
        let in_n = new.start * n..new.end * n;
        let design = Design { values: &self.design, n, q, by_rows: true };
        design.apply(&mut self.z[in_n.clone()], &self.x[in_q.clone()], Par::rayon(0));
        design.apply(&mut self.z_previous[in_n], &self.x_previous[in_q], Par::rayon(0));
    }

    /// Takes lanes out of the columns, moving those behind them together.
    pub(super) fn release(&mut self, lanes: &[usize]) {
        let keep: Vec<bool> = self.seats.iter().map(|seat| !lanes.contains(&seat.lane)).collect();
        let width = 1 + self.d;
        let squeeze = |columns: &mut Vec<T>, rows: usize| {
            let mut to = 0;
            for (slot, _) in keep.iter().enumerate().filter(|(_, k)| **k) {
                let from = slot * width * rows;
                columns.copy_within(from..from + width * rows, to);
                to += width * rows;
            }
        };
        for columns in [&mut self.x, &mut self.x_previous].into_iter().chain(&mut self.metric) {
            squeeze(columns, self.q);
        }
        for columns in [&mut self.z, &mut self.z_previous] {
            squeeze(columns, self.n);
        }
        let mut kept = keep.iter();
        self.seats.retain(|_| *kept.next().expect("one mark per lane"));
    }

    /// The columns of the lane in a slot, `[1 + d, q]`.
    pub(super) fn columns(&self, slot: usize) -> &[T] {
        let width = self.q * (1 + self.d);
        &self.x[slot * width..(slot + 1) * width]
    }

    /// A lane as it is now.
    pub(super) fn lane(&self, slot: usize) -> LaneState {
        let seat = &self.seats[slot];
        let width = self.q * (1 + self.d);
        let take = |all: &[T]| {
            let columns = &all[slot * width..(slot + 1) * width];
            Array2::from_shape_fn((1 + self.d, self.q), |(t, j)| columns[t * self.q + j].f64())
        };
        LaneState {
            lane: seat.lane,
            iteration: seat.outcome.iterations,
            state: take(&self.x),
            previous: take(&self.x_previous),
            metric: self.squares.as_ref().and(self.metric.as_deref()).map(take),
            memory: seat.control.memory(),
        }
    }
}
