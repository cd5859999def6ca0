//! The columns of all active lanes.

use ndarray::Array2;
use rayon::prelude::*;

use super::super::LaneOutcome;
use super::block::{ActiveLane, Block, Common, FactorSeed, Measures, Rows};
use super::observe::HeldOut;
use super::residual::Probe;
use super::working_set::{FullColumns, GROUP, PERIOD, Predictions, View, WorkingSet};
use crate::design::{Design, Threads};
use crate::lanes::{Control, Job, LaneState, MetricSource, RunNumbers, StepParams};
use crate::objective::Real;
use crate::program::{Plan, RecordLayout};

/// Working sets of groups of lanes.
struct Sets<T> {
    /// Whether they are used.
    on: bool,
    groups: Vec<WorkingSet<T>>,
    norms: Vec<T>,
    most: usize,
    /// Iterations so far, when to try next, and after how many vain ones.
    iterations: usize,
    next_try: usize,
    wait: usize,
    /// Columns of lanes skipped so far, in units of all columns of one for an iteration.
    skipped: f64,
    nothing: Vec<T>,
}

/// Share of the columns below which working sets pay, and above which they do not any more: products of few columns are slower
/// per operation.
const ENABLE_BELOW: f64 = 0.5;
const DISABLE_ABOVE: f64 = 0.7;
/// Iterations before the first attempt, and between attempts at most.
const FIRST_WAIT: usize = 8;
const MOST_WAIT: usize = 64;

/// Lanes in their columns, in the order in which they were active.
pub(super) struct State<T> {
    n: usize,
    q: usize,
    d: usize,
    numbers: RunNumbers,
    pub(super) common: Common<T>,
    design: Design<T>,
    /// Squares of the design, for a metric made of curvatures.
    squares: Option<Design<T>>,
    factors: Vec<T>,
    factor_seeds: Vec<FactorSeed>,
    held_out: Option<(HeldOut<T>, Vec<T>)>,
    pub(super) slots: Vec<ActiveLane<T>>,
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
    /// Where the plan has them.
    sets: Option<Sets<T>>,
}

fn cast<'a, T: Real>(values: impl IntoIterator<Item = &'a f64>) -> Vec<T> {
    values.into_iter().map(|v| T::of(*v)).collect()
}

impl<T: Real> Sets<T> {
    fn new(design: &Design, plan: &Plan) -> Self {
        let groups =
            (0..plan.slots.div_ceil(GROUP)).map(|i| WorkingSet::new(i, design.rows(), plan.slots.min(GROUP)));
        Sets {
            on: false,
            groups: groups.collect(),
            norms: cast(&design.column_norms()),
            most: plan.working_set,
            iterations: 0,
            next_try: FIRST_WAIT,
            wait: FIRST_WAIT,
            skipped: 0.0,
            nothing: vec![T::zero(); 2 * plan.slots.div_ceil(GROUP)],
        }
    }
}

impl<T: Real> State<T> {
    /// Room for the lanes of a plan.
    pub(super) fn new(plan: &Plan, job: &Job<'_>) -> Self {
        let problem = job.problem;
        let numbers = RunNumbers::new(job);
        let (n, q) = (problem.design.rows(), problem.design.columns());
        let d = job.derivatives.len();
        let zeros = |rows: usize| vec![T::zero(); rows * plan.slots * (1 + d)];
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
            (HeldOut { design: h.design.cast(), rows }, zeros(h.target.len()))
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
        let factor_seeds =
            numbers.factor_seeds.iter().map(|o| o.map_or(FactorSeed::All, FactorSeed::Column)).collect();
        let squares = matches!(job.metric, MetricSource::Hessian { .. });
        State {
            n,
            q,
            d,
            common,
            design: problem.design.cast(),
            squares: squares.then(|| problem.design.squared().cast()),
            factors: cast(&numbers.factors),
            factor_seeds,
            held_out,
            slots: Vec::with_capacity(plan.slots),
            x: zeros(q),
            x_previous: zeros(q),
            g: zeros(q),
            metric: (*job.metric != MetricSource::None).then(|| zeros(q)),
            z: zeros(n),
            z_previous: zeros(n),
            r: zeros(n),
            extrapolated: job.schedule.uses_secant().then(|| zeros(n)),
            sets: (plan.working_set > 0).then(|| Sets::new(&problem.design, plan)),
            numbers,
        }
    }

    /// All lanes, on all coefficients.
    pub(super) fn view(&mut self) -> Block<'_, T> {
        let columns = self.slots.len() * (1 + self.d);
        let (in_q, in_n) = (..columns * self.q, ..columns * self.n);
        Block {
            common: &self.common,
            slots: &mut self.slots,
            design: &self.design,
            factors: &self.factors,
            penalised: self.numbers.penalised,
            factor_seeds: &self.factor_seeds,
            x: &mut self.x[in_q],
            x_previous: &mut self.x_previous[in_q],
            g: &mut self.g[in_q],
            metric: self.metric.as_mut().map(|m| &mut m[in_q]),
            z: &mut self.z[in_n],
            z_previous: &mut self.z_previous[in_n],
            r: &mut self.r[in_n],
            extrapolated: self.extrapolated.as_mut().map(|e| &mut e[in_n]),
            threads: Threads::All,
        }
    }

    /// One iteration of every lane, and what is to be recorded of it.
    pub(super) fn advance(&mut self, metric: &MetricSource) {
        if self.sets.as_ref().is_some_and(|sets| sets.on) {
            return self.advance_groups();
        }
        let squares = self.squares.take();
        let mut block = self.view();
        block.restore();
        block.refresh_metric(metric, squares.as_ref()); // D
        block.residual(Probe::Ahead); // r = ω φ'(X e)              dr = ω (φ''(X e) X de + ∂_u φ')
        block.gradient(); //             g = Xᵀ r                   dg = Xᵀ dr
        block.step(); //                 x⁺ = prox(x + β(x − x₋) − α D g), with its tangents
        block.predict(); //              z⁺ = X x⁺                  dz⁺ = X dx⁺
        self.squares = squares;
        self.flip();
        self.observe();
        self.consider_sets();
    }

    /// The same on the working sets of groups of lanes.
    fn advance_groups(&mut self) {
        self.each_group(|set, view, slots, mut full, mut predictions| {
            let mut block = set.block(view, slots, full.reborrow(), predictions.reborrow());
            block.restore();
            block.residual(Probe::Ahead);
            set.renew(view, slots, &mut full, &predictions);
            let mut block = set.block(view, slots, full, predictions);
            block.gradient();
            block.step();
            block.predict();
        });
        self.flip();
        self.observe();
        self.consider_sets();
    }

    /// What was made in the place of the previous iterate is the iterate now.
    fn flip(&mut self) {
        std::mem::swap(&mut self.x, &mut self.x_previous);
        std::mem::swap(&mut self.z, &mut self.z_previous);
        if let Some(sets) = &mut self.sets {
            sets.groups.iter_mut().for_each(WorkingSet::flip);
        }
    }

    fn observe(&mut self) {
        let mut held_out = self.held_out.take();
        if let Some((rows, z)) = &mut held_out {
            self.expand();
            let columns = self.slots.len() * (1 + self.d);
            let n = rows.rows.target.len();
            rows.design.apply(&mut z[..columns * n], &self.x[..columns * self.q], Threads::All);
        }
        let of = held_out.as_ref().map(|(rows, z)| (rows, &z[..]));
        if self.sets.as_ref().is_some_and(|sets| sets.on) {
            let n = of.map_or(0, |(rows, _)| rows.rows.target.len());
            let width = GROUP * (1 + self.d) * n;
            self.each_group(|set, view, slots, full, predictions| {
                let z = of
                    .map(|(rows, z)| (rows, &z[set.index * width..(set.index * width + width).min(z.len())]));
                set.block(view, slots, full, predictions).observe(z);
            });
        } else {
            self.view().observe(of);
        }
        self.held_out = held_out;
    }

    /// Measures every lane for the stop rule.
    pub(super) fn measure(&mut self) {
        if self.sets.as_ref().is_some_and(|sets| sets.on) {
            return self.each_group(|set, view, slots, mut full, mut predictions| {
                set.block(view, slots, full.reborrow(), predictions.reborrow()).residual(Probe::Here);
                set.renew(view, slots, &mut full, &predictions);
                set.block(view, slots, full, predictions).measure();
            });
        }
        let mut block = self.view();
        block.residual(Probe::Here);
        block.measure();
    }

    /// Works on every group of lanes, in parallel.
    fn each_group(
        &mut self,
        work: impl Fn(
            &mut WorkingSet<T>,
            &View<'_, T>,
            &mut [ActiveLane<T>],
            FullColumns<'_, T>,
            Predictions<'_, T>,
        ) + Sync,
    ) {
        let Some(sets) = &mut self.sets else { return };
        let columns = self.slots.len() * (1 + self.d);
        let (in_q, in_n) = (..columns * self.q, ..columns * self.n);
        let (q, n) = (GROUP * (1 + self.d) * self.q, GROUP * (1 + self.d) * self.n);
        let view = View {
            common: &self.common,
            design: &self.design,
            factors: &self.factors,
            penalised: self.numbers.penalised,
            factor_seeds: &self.factor_seeds,
            norms: &sets.norms,
            most: sets.most,
            now: sets.iterations,
        };
        let groups = self.slots.len().div_ceil(GROUP);
        // Where there are no such columns, each group gets a number that nobody reads.
        let (has_metric, has_extrapolated) = (self.metric.is_some(), self.extrapolated.is_some());
        let (none, nor_this) = sets.nothing.split_at_mut(groups);
        let (metric, metric_width) = self.metric.as_mut().map_or((none, 1), |m| (&mut m[in_q], q));
        let (extrapolated, extrapolated_width) =
            self.extrapolated.as_mut().map_or((nor_this, 1), |e| (&mut e[in_n], n));
        sets.groups[..groups]
            .par_iter_mut()
            .zip(self.slots.par_chunks_mut(GROUP))
            .zip(self.x[in_q].par_chunks_mut(q))
            .zip(self.x_previous[in_q].par_chunks_mut(q))
            .zip(self.g[in_q].par_chunks_mut(q))
            .zip(self.z[in_n].par_chunks_mut(n))
            .zip(self.z_previous[in_n].par_chunks_mut(n))
            .zip(self.r[in_n].par_chunks_mut(n))
            .zip(metric.par_chunks_mut(metric_width))
            .zip(extrapolated.par_chunks_mut(extrapolated_width))
            .for_each(
                |(((((((((set, slots), x), x_previous), g), z), z_previous), r), metric), extrapolated)| {
                    let (metric, extrapolated) =
                        (has_metric.then_some(metric), has_extrapolated.then_some(extrapolated));
                    let full = FullColumns { x, x_previous, g, metric };
                    work(set, &view, slots, full, Predictions { z, z_previous, r, extrapolated });
                },
            );
    }

    /// Turns to working sets where they pay, and back where they do not.
    fn consider_sets(&mut self) {
        let Some(sets) = &mut self.sets else { return };
        sets.iterations += 1;
        let was_on = sets.on;
        if !was_on && sets.iterations != sets.next_try {
            if sets.iterations + PERIOD == sets.next_try {
                // From here on movement is measured.
                self.each_group(|set, view, _, _, predictions| {
                    set.refer(view.now, view.design.rows(), 1 + view.common.d, predictions.r);
                });
            }
            return;
        }
        self.each_group(|set, view, slots, full, predictions| {
            set.try_again(view, slots, &full, &predictions);
        });
        let lanes = self.slots.len();
        let Some(sets) = &mut self.sets else { return };
        let rows = |(i, set): (usize, &WorkingSet<T>)| {
            let own = (lanes - i * GROUP).min(GROUP);
            own * if set.active { set.rows.len() } else { self.q }
        };
        let used: usize = sets.groups[..lanes.div_ceil(GROUP)].iter().enumerate().map(rows).sum();
        let share = used as f64 / (lanes * self.q) as f64;
        if was_on {
            sets.skipped += (1.0 - share) * lanes as f64;
        }
        let pays = share < if was_on { DISABLE_ABOVE } else { ENABLE_BELOW };
        if pays {
            sets.on = true;
        } else if was_on {
            self.disable_sets();
        } else {
            // Each vain attempt makes the next one wait longer.
            sets.wait = (2 * sets.wait).min(MOST_WAIT);
            sets.next_try = sets.iterations + sets.wait;
            sets.groups.iter_mut().for_each(|set| set.active = false);
        }
    }

    /// Writes the columns of working sets back.
    fn expand(&mut self) {
        if self.sets.as_ref().is_some_and(|sets| sets.on) {
            let q = self.q;
            self.each_group(|set, _, _, mut full, _| {
                if set.active {
                    set.scatter(q, &mut full);
                }
            });
        }
    }

    /// Goes back to all coefficients.
    fn disable_sets(&mut self) {
        self.expand();
        if let Some(sets) = &mut self.sets {
            sets.on = false;
            sets.wait = FIRST_WAIT;
            sets.next_try = sets.iterations + sets.wait;
            sets.groups.iter_mut().for_each(|set| set.active = false);
        }
    }

    /// Products with columns that working sets skipped, in units of all columns of a lane for an iteration; and the lanes' iterations.
    pub(super) fn skipped(&self) -> f64 {
        self.sets.as_ref().map_or(0.0, |sets| sets.skipped)
    }

    /// Loads lanes behind those that are here.
    pub(super) fn load(&mut self, job: &Job<'_>, lanes: Vec<LaneState>) {
        self.disable_sets();
        let width = 1 + self.d;
        let first = self.slots.len();
        for state in lanes {
            let at = self.slots.len() * width * self.q;
            let put =
                |to: &mut [T], from: &Array2<f64>| to.iter_mut().zip(from).for_each(|(t, f)| *t = T::of(*f));
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
            self.slots.push(ActiveLane {
                lane: state.lane,
                first: state.iteration,
                outcome: LaneOutcome::open(state.iteration),
                advanced: false,
                numbers: self.numbers.lane(job, state.lane),
                control: Control::from_memory(&state.memory),
                params: StepParams::new(self.d),
                record: vec![0.0; RecordLayout::new(self.d).fields()],
                measures: Measures::none(),
            });
        }
        let (q, n) = (self.q, self.n);
        let new = first * width..self.slots.len() * width;
        let in_q = new.start * q..new.end * q;
        let in_n = new.start * n..new.end * n;
        self.design.apply(&mut self.z[in_n.clone()], &self.x[in_q.clone()], Threads::All);
        self.design.apply(&mut self.z_previous[in_n], &self.x_previous[in_q], Threads::All);
    }

    /// Takes lanes out of the columns, moving those behind them together.
    pub(super) fn evict(&mut self, lanes: &[usize]) {
        self.disable_sets();
        let keep: Vec<bool> = self.slots.iter().map(|slot| !lanes.contains(&slot.lane)).collect();
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
        self.slots.retain(|_| *kept.next().expect("one mark per lane"));
    }

    /// The iterate of the lane in a slot and its tangents, `[1 + d, q]`.
    pub(super) fn columns(&self, slot: usize) -> Array2<f64> {
        self.take(slot, &self.x, WorkingSet::column)
    }

    /// Columns of a slot, from its working set where that is active.
    fn take(&self, slot: usize, all: &[T], of_set: fn(&WorkingSet<T>, usize) -> &[T]) -> Array2<f64> {
        let mut out = Array2::zeros((1 + self.d, self.q));
        let set = self.sets.as_ref().filter(|sets| sets.on).map(|sets| &sets.groups[slot / GROUP]);
        for t in 0..=self.d {
            match set.filter(|set| set.active) {
                Some(set) => {
                    let column = of_set(set, (slot % GROUP) * (1 + self.d) + t);
                    set.rows.iter().zip(column).for_each(|(j, v)| out[[t, *j]] = v.f64());
                }
                None => {
                    let column = &all[(slot * (1 + self.d) + t) * self.q..][..self.q];
                    out.row_mut(t).iter_mut().zip(column).for_each(|(to, v)| *to = v.f64());
                }
            }
        }
        out
    }

    /// A lane as it is now.
    pub(super) fn lane(&self, slot: usize) -> LaneState {
        let active = &self.slots[slot];
        // A metric of curvatures comes without working sets.
        let metric = self.squares.as_ref().and(self.metric.as_deref());
        LaneState {
            lane: active.lane,
            iteration: active.outcome.iterations,
            state: self.columns(slot),
            previous: self.take(slot, &self.x_previous, WorkingSet::previous_column),
            metric: metric.map(|m| self.take(slot, m, WorkingSet::column)),
            memory: active.control.memory(),
        }
    }
}
