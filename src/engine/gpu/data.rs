//! Data that the host writes into a run's buffers: the data set, the lanes, and the tables of a chunk.

use ndarray::Array2;

use super::params::{MetricParams, ResidualParams, entries};
use crate::design::{Design, Major, Sparse};
use crate::engine::Status;
use crate::lanes::fields::{constant, rule, state, unit};
use crate::lanes::{Job, LaneNumbers, MetricSource, RunNumbers};
use crate::program::{BufferId, Precision, Shape};

/// Codes of the statuses on the device: WGSL constant, status, code.
pub(super) const STATUS_CODES: [(&str, Status, u32); 5] = [
    ("RUNNING", Status::Running, 0),
    ("CONVERGED", Status::Converged, 1),
    ("MAX_ITERATIONS", Status::MaxIterations, 2),
    ("DIVERGED", Status::Diverged, 3),
    ("NOT_FINITE", Status::NotFinite, 4),
];

/// Code of a running lane, and of a slot without a lane.
pub(super) const RUNNING: u32 = STATUS_CODES[0].2;
const EMPTY: u32 = 5;

/// Numbers in the device's format.
pub(super) fn encode(values: impl IntoIterator<Item = f64>, precision: Precision) -> Vec<u8> {
    match precision {
        // An infinite bound becomes the largest finite number: WGSL may assume that there is no infinity.
        Precision::F32 => values
            .into_iter()
            .flat_map(|v| (v.clamp(-f64::from(f32::MAX), f64::from(f32::MAX)) as f32).to_le_bytes())
            .collect(),
        Precision::F64 => values.into_iter().flat_map(f64::to_le_bytes).collect(),
    }
}

/// The initial content of a buffer, if the host writes it before the run.
pub(super) fn content(id: BufferId, s: &Shape, job: &Job<'_>, numbers: &RunNumbers) -> Option<Vec<u8>> {
    let problem = job.problem;
    if let Some(image) = matrix(id, s, job) {
        return Some(image);
    }
    let values = match id {
        BufferId::Shift => match problem.design() {
            Design::Sparse(x) => x.shift().to_vec(),
            Design::Dense(_) => return None,
        },
        BufferId::Rows => row_fields(job, numbers),
        BufferId::Constants => {
            let mut constants = job.schedule.constants();
            // A buffer cannot be empty.
            constants.resize(constants.len().max(1), 0.0);
            constants
        }
        BufferId::LaneState => {
            let mut empty = vec![0.0; s.state_fields() * s.padded_lanes()];
            let first = state::STATUS.at(s.d()) * s.padded_lanes();
            empty[first..first + s.padded_lanes()].fill(f64::from(EMPTY));
            empty
        }
        BufferId::Metric => vec![1.0; s.stride() * s.columns()],
        BufferId::CurvatureBound => match job.metric {
            MetricSource::Hessian { bound, .. } => bound.to_vec(),
            MetricSource::None | MetricSource::Fixed(_) | MetricSource::Table(_) => return None,
        },
        BufferId::ValidationRows => {
            let held_out = problem.held_out.as_ref()?;
            held_out.target.iter().zip(&held_out.weight).flat_map(|(y, w)| [*y, *w]).collect()
        }
        BufferId::StepFactors => units(job, s.request.iterations),
        BufferId::ResidualParams => {
            return Some(entries([0, 1].map(|extrapolates| ResidualParams { extrapolates })));
        }
        BufferId::MetricParams => {
            return Some(entries((0..s.chunk as u32).map(|table_row| MetricParams { table_row })));
        }
        _ => return None,
    };
    Some(encode(values, s.request.precision))
}

/// The image of a matrix that is made from the design.
fn matrix(id: BufferId, s: &Shape, job: &Job<'_>) -> Option<Vec<u8>> {
    let precision = s.request.precision;
    let design = job.problem.design();
    let image = |x: &Design, major: Major| match x {
        Design::Dense(x) => encode(x.padded_rows(4), precision),
        Design::Sparse(x) => entries_of(&x.ordered_by(major), s.shift_rows() > 0, precision),
    };
    match id {
        BufferId::Design => Some(image(design, Major::Rows)),
        BufferId::DesignByColumns => Some(image(design, Major::Columns)),
        BufferId::DesignSquares => Some(image(&design.squared(), Major::Columns)),
        BufferId::ValidationDesign => Some(image(&job.problem.held_out.as_ref()?.design, Major::Rows)),
        // That of a dense design is computed by the device.
        BufferId::Gram if s.is_sparse() => {
            let all: Vec<usize> = (0..design.columns()).collect();
            let gram = design.weighted_gram(&job.problem.weight().to_vec(), &all);
            let of = |j: usize, k: usize| if j.max(k) < all.len() { gram[(j, k)] } else { 0.0 };
            let stride = s.stride();
            Some(encode(
                (0..stride).flat_map(|j| (0..stride).map(move |k| (j, k))).map(|(j, k)| of(j, k)),
                precision,
            ))
        }
        _ => None,
    }
}

/// The lines of a sparse matrix in the format of `shaders/shared/entry.wgsl`. With a shift, each ends in the
/// entry that multiplies the row of sums: see `program/sparse.rs`.
fn entries_of(x: &Sparse, shifted: bool, precision: Precision) -> Vec<u8> {
    let by_columns = x.is_by_columns();
    let (lines, length) = if by_columns { (x.columns(), x.rows()) } else { (x.rows(), x.columns()) };
    let mut image = Vec::new();
    let mut put = |place: usize, v: f64| {
        image.extend((place as u32).to_le_bytes());
        match precision {
            Precision::F32 => image.extend((v as f32).to_le_bytes()),
            // Aligned to eight bytes.
            Precision::F64 => {
                image.extend([0; 4]);
                image.extend(v.to_le_bytes());
            }
        }
    };
    let mut start = lines + 1;
    for i in 0..=lines {
        put(start, 0.0);
        start += if i < lines { x.line(i).count() + usize::from(shifted) } else { 0 };
    }
    for i in 0..lines {
        x.line(i).for_each(|(place, v)| put(place, v));
        if shifted {
            put(length, if by_columns { -x.shift_of(i) } else { -1.0 });
        }
    }
    image
}

/// Target, weight and the target's tangents of every row, then the weights of folds.
fn row_fields(job: &Job<'_>, numbers: &RunNumbers) -> Vec<f64> {
    let (target, weight) = (job.problem.target(), job.problem.weight());
    let none = Array2::zeros((target.len(), job.derivatives.len()));
    let tangent = numbers.target_tangent.as_ref().unwrap_or(&none);
    let of_rows =
        (0..target.len()).flat_map(|i| [target[i], weight[i]].into_iter().chain(tangent.row(i).to_vec()));
    let of_folds = job.problem.folds.iter().flat_map(|fold| fold.fitted.iter().chain(&fold.held_out));
    of_rows.chain(of_folds.copied()).collect()
}

const UNIT_FIELDS: usize = unit::UNIT_PHASE.scalar() + 1;

/// `[iterations, stages, UNIT_FIELDS]`: the factors of every iteration.
fn units(job: &Job<'_>, iterations: usize) -> Vec<f64> {
    let of = |k: usize, stage: usize| {
        let factors = job.schedule.unit(stage, k);
        let mut row = [0.0; UNIT_FIELDS];
        for (field, v) in [
            (unit::UNIT_STEP, factors.step),
            (unit::UNIT_MOMENTUM, factors.momentum),
            (unit::UNIT_CODE_BITS, f64::from(factors.code.bits)),
            (unit::UNIT_CODE_BASE, f64::from(factors.code.base)),
            (unit::UNIT_PHASE, factors.phase as f64),
        ] {
            row[field.scalar()] = v;
        }
        row
    };
    let stages = job.schedule.stages();
    (0..iterations).flat_map(|k| (0..stages).flat_map(move |stage| of(k, stage))).collect()
}

/// Field index on the device of each number of a rule in the schedule's order: step, momentum, then
/// both of each tangent.
pub(super) fn rule_places(d: usize) -> impl Iterator<Item = usize> {
    let of_tangents = (0..d).flat_map(move |t| [rule::RULE_DSTEP.at(d) + t, rule::RULE_DMOMENTUM.at(d) + t]);
    [rule::RULE_STEP.at(d), rule::RULE_MOMENTUM.at(d)].into_iter().chain(of_tangents)
}

/// `Xᵀ W y` and its tangents, `[q, 1 + d]`, and the squared loss of zero coefficients.
pub(super) fn gram_target(job: &Job<'_>, numbers: &RunNumbers) -> (Array2<f64>, f64) {
    let (design, target, weight) = (job.problem.design(), job.problem.target(), job.problem.weight());
    let mut products = Array2::zeros((design.columns(), 1 + job.derivatives.len()));
    products.column_mut(0).assign(&design.apply_t_vector((&target * &weight).view()));
    if let Some(tangent) = &numbers.target_tangent {
        for (t, column) in tangent.columns().into_iter().enumerate() {
            products.column_mut(1 + t).assign(&design.apply_t_vector((&column * &weight).view()));
        }
    }
    let at_zero = 0.5 * target.iter().zip(weight.iter()).map(|(y, w)| w * y * y).sum::<f64>();
    (products, at_zero)
}

/// Content of the buffer of lanes: `[lane_fields, padded_lanes]`, then the penalty factors and, with `XᵀX`,
/// `[q, 1 + d]` numbers of the target, repeated for each lane of a lane4. Slots without a lane are zeros.
pub(super) struct LaneImage {
    shape: Shape,
    pub(super) values: Vec<f64>,
}

impl LaneImage {
    pub(super) fn new(s: &Shape, job: &Job<'_>, numbers: &RunNumbers) -> Self {
        let own = s.lane_fields() * s.padded_lanes();
        let mut values = vec![0.0; own + 4 * s.shared_fields()];
        let mut shared = numbers.factors.clone();
        if s.is_gram() {
            shared.extend(gram_target(job, numbers).0.iter());
        }
        values[own..].chunks_exact_mut(4).zip(&shared).for_each(|(lane4, v)| lane4.fill(*v));
        LaneImage { shape: *s, values }
    }

    /// Writes the numbers of a lane.
    pub(super) fn put(&mut self, slot: usize, numbers: &LaneNumbers) {
        let s = self.shape;
        let d = s.d();
        let mut put = |field: usize, v: f64| self.values[field * s.padded_lanes() + slot] = v;
        for (field, v) in [
            (constant::LANE_L1, numbers.l1),
            (constant::LANE_L2, numbers.l2),
            (constant::LANE_PROBE_STEP, numbers.probe_step),
            (constant::LANE_OBJECTIVE_LIMIT, numbers.objective_limit),
            (constant::LANE_TOL, numbers.tol),
            (constant::LANE_LEAST_NORM, numbers.least_norm),
            (constant::LANE_HAS_GAP, f64::from(u8::from(numbers.has_gap))),
        ] {
            put(field.at(d), v);
        }
        for (field, list) in [
            (constant::LANE_DL1, &numbers.dl1),
            (constant::LANE_DL2, &numbers.dl2),
            (constant::LANE_LEAST_TANGENT, &numbers.least_tangents),
        ] {
            list.iter().enumerate().for_each(|(t, v)| put(field.at(d) + t, *v));
        }
        for (phase, row) in numbers.bases.chunks_exact(s.rule_fields()).take(s.phases()).enumerate() {
            let first = s.lane_bases() + phase * s.rule_fields();
            rule_places(d).zip(row).for_each(|(place, v)| put(first + place, *v));
        }
    }
}
