//! The numbers of slots, and of iterations of a chunk, that fit the memory.

use super::{
    Buffer, CHUNK_MAX, CHUNK_SECONDS, DeviceKind, FRAME_BYTES, FUSED_TANGENTS, ITERATE_BYTES, Keep, Limits,
    MetricKind, Program, RecordLayout, Request, Strategy,
};
use crate::error::{Error, ErrorKind, Result, bytes};

pub(super) fn over_budget(what: &str, needed: u64, budget: u64, remedy: &str) -> Error {
    Error::new(
        ErrorKind::Memory,
        "memory plan",
        format!("{} for the {what}", bytes(needed)),
        format!("at most {}", bytes(budget)),
        remedy,
    )
}

pub(super) fn host_bytes(r: &Request, layout: RecordLayout) -> u64 {
    let (k, b) = (r.iterations as u64, r.lanes as u64);
    let frames = if r.keep.has_frames() { (r.iterations / r.every + 2) as u64 } else { 1 };
    let k = match r.keep {
        Keep::Nothing | Keep::Iterates => 1,
        Keep::Frames => {
            let of = |period: usize| r.iterations / period;
            let periods = [r.every, r.check_period(), r.record_period()];
            periods.into_iter().map(of).fold(3, usize::saturating_add).min(r.iterations) as u64
        }
        Keep::Records | Keep::All => k,
    };
    let frame = b.saturating_mul(1 + r.tangents as u64).saturating_mul(r.state_rows as u64);
    // And the last ones.
    let records = k.saturating_add(1).saturating_mul(b).saturating_mul(layout.fields() as u64 + 1);
    // Twice: the chunks as received, and the trace made of them.
    let trace = frames.saturating_mul(frame).saturating_add(records).saturating_mul(16);
    trace.saturating_add(b.saturating_mul(LANE_BYTES))
}

/// Bytes of a lane's settings, outcome, certificate and result; measured with a million lanes.
const LANE_BYTES: u64 = 750;

/// Most seconds of an iteration, so that a run of many lanes can be cancelled soon.
const ITERATION_SECONDS: f64 = 0.1;
/// Lanes that run together even if an iteration takes longer: with fewer lanes the products are inefficient.
const FEWEST_LANES: f64 = 64.0;

/// The number of lanes whose iteration is short enough.
fn by_speed(r: &Request, limits: &Limits) -> usize {
    let strategy = r.strategy.unwrap_or(Strategy::Direct);
    // The time of a lane is `two - one`; the fixed time is `2 one - two`.
    let (one, two) = (strategy.iteration(r, limits, 1), strategy.iteration(r, limits, 2));
    let lanes = (ITERATION_SECONDS - (2.0 * one - two)) / (two - one);
    // Estimates of zero seconds give a number that is none.
    if lanes.is_nan() { FEWEST_LANES as usize } else { lanes.clamp(FEWEST_LANES, 1e9) as usize }
}

/// The number of lanes to run at the same time, if they fit.
fn wanted_slots(r: &Request, limits: &Limits) -> usize {
    let by_speed = if r.session.is_some() { usize::MAX } else { by_speed(r, limits) };
    let lanes = r.lanes.min(r.together.max(1));
    let wanted = lanes.min(limits.max_lanes.max(1)).min(by_speed);
    // As few rounds as possible, of about equal size.
    let wanted = lanes.div_ceil(lanes.div_ceil(wanted));
    // Whole tiles of products, unless all lanes run at once.
    if wanted < r.lanes && limits.engine == "gpu" {
        return wanted.next_multiple_of(32).min(limits.max_lanes.max(1));
    }
    wanted
}

/// The reason why a program cannot run on an engine within a budget.
enum Excess {
    Budget { total: u64 },
    Buffer { widest: Buffer },
    Workgroups { most: u32 },
}

fn excess(program: &Program, limits: &Limits, budget: u64) -> Option<Excess> {
    let total = program.bytes();
    if total > budget {
        return Some(Excess::Budget { total });
    }
    let widest = program.buffers.iter().max_by_key(|b| b.bytes_of_one())?;
    if widest.bytes_of_one() > limits.max_buffer_bytes {
        return Some(Excess::Buffer { widest: widest.clone() });
    }
    let most = program.passes.iter().flat_map(|pass| pass.grid).max().unwrap_or(0);
    (u64::from(most) > limits.max_workgroups).then_some(Excess::Workgroups { most })
}

/// The largest number of lanes that fits the budget and, buffer by buffer, the engine.
pub(super) fn most_slots(r: &Request, limits: &Limits, budget: u64) -> Result<usize> {
    let wanted = wanted_slots(r, limits);
    let excess_of = |lanes: usize| {
        let program = Program::new(r, limits, lanes, chunk(r, limits, lanes));
        excess(&program, limits, budget)
    };
    if excess_of(wanted).is_none() {
        return Ok(wanted);
    }
    let (mut good, mut bad) = (0, wanted);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if excess_of(middle).is_none() { good = middle } else { bad = middle }
    }
    match excess_of(1) {
        None => Ok(good),
        Some(excess) => Err(refusal(&excess, limits, budget)),
    }
}

/// The error if not even a single lane fits.
fn refusal(excess: &Excess, limits: &Limits, budget: u64) -> Error {
    let remedy = "Use `CpuEngine`, which has no such limit.";
    let error = |found: String, expected: String| {
        Error::new(ErrorKind::Memory, "memory plan", found, expected, remedy)
    };
    match excess {
        Excess::Budget { total } => {
            let remedy = "Raise `memory_budget`, or use fewer rows or features.";
            over_budget("buffers of a single lane, design included", *total, budget, remedy)
        }
        Excess::Buffer { widest } => error(
            format!("buffer '{}' of {}", widest.id.name(), bytes(widest.bytes_of_one())),
            format!(
                "at most {} in one buffer on this {} engine",
                bytes(limits.max_buffer_bytes),
                limits.engine
            ),
        ),
        Excess::Workgroups { most } => error(
            format!("{most} workgroups along one dimension"),
            format!("at most {} on this {} engine", limits.max_workgroups, limits.engine),
        ),
    }
}

/// Most iterations of a chunk, and most frames among them. A chunk holds whole periods of frames and tests if
/// it can, so that lanes which are loaded later have theirs at the same iterations.
pub(super) fn chunk(r: &Request, limits: &Limits, lanes: usize) -> (usize, usize) {
    let seconds = r.strategy.unwrap_or(Strategy::Direct).iteration(r, limits, lanes) + limits.overhead;
    let by_time = (CHUNK_SECONDS / seconds) as usize;
    let columns = (lanes as u64).saturating_mul(1 + r.tangents as u64);
    let frame = columns.saturating_mul(r.state_rows as u64).saturating_mul(r.precision.bytes());
    // Whoever watches iterates go by keeps what is needed of them.
    let most = if r.kept() == Keep::Iterates { ITERATE_BYTES } else { FRAME_BYTES };
    let frames = (most / frame.max(1)).max(1) as usize;
    let by_tables = match r.metric {
        MetricKind::Table { per_lane: true } => {
            let row = (lanes as u64).saturating_mul(r.state_rows as u64).saturating_mul(r.precision.bytes());
            (FRAME_BYTES / row.max(1)).max(1) as usize
        }
        _ => usize::MAX,
    };
    let asked = r.chunk.unwrap_or(usize::MAX);
    let most = asked
        .min(by_time)
        .min(CHUNK_MAX)
        .min(by_tables)
        .min(frames.saturating_mul(r.every))
        .min(r.iterations)
        .max(1);
    let periods = [lcm(r.every, r.check_every.max(1)), r.check_every.max(1)];
    let chunk = periods.into_iter().find(|p| *p <= most).map_or(most, |period| most / period * period);
    (chunk, chunk.div_ceil(r.every))
}

/// Most coefficients of the working set of a group of lanes: half of all, and of a dense design in sum no
/// more than two designs; 0: no working sets.
pub(super) fn working_set(r: &Request, limits: &Limits, slots: usize) -> usize {
    let rows = r.own_rows();
    if !r.sparsity || limits.engine != "cpu" || rows < FEWEST_COEFFICIENTS {
        return 0;
    }
    let groups = slots.div_ceil(r.group_lanes());
    if r.is_sparse() { rows / 2 } else { (rows / 2).min(2 * rows / groups) }
}

/// Most coefficients of the Gram matrix of a working set: as many as there are rows, and in sum no more
/// entries than in two designs; 0: no Gram matrices.
pub(super) fn working_set_gram(r: &Request, limits: &Limits, slots: usize) -> usize {
    let linear = r.quadratic && r.folds == 0 && !r.measures_curvature;
    if !linear || r.is_sparse() || matches!(r.metric, MetricKind::Hessian { .. }) {
        return 0;
    }
    // Of a triangular factor as many as columns.
    let rows = if r.is_gram() { r.own_rows() } else { r.rows };
    let entries = rows.saturating_mul(r.own_rows()).saturating_mul(2);
    working_set(r, limits, slots).min(rows).min((entries / slots.div_ceil(r.group_lanes())).isqrt())
}

/// True if products of a GPU leave out coefficients that are zero: in the direct strategy, if the lists can
/// be bound as well, and if products are so long that the cost of making the lists is small.
pub(super) fn active_sets(r: &Request, limits: &Limits) -> bool {
    let dense = r.strategy == Some(Strategy::Direct) && r.stored.is_none();
    let able = dense && r.split_k() == [1, 1] && r.tangents <= FUSED_TANGENTS;
    // On an NVIDIA H100, 1000 x 2000 took up to 1.4 times as long, 4096 x 8192 0.6 to 0.8 times.
    let fewest = match limits.device {
        DeviceKind::Discrete if !r.asks_sparsity => 32 * FEWEST_COEFFICIENTS,
        _ => 4 * FEWEST_COEFFICIENTS,
    };
    r.sparsity
        && limits.engine == "gpu"
        && able
        && limits.storage_buffers > 8
        && r.state_rows.min(r.rows) >= fewest
}

/// With fewer coefficients, leaving some out does not pay.
const FEWEST_COEFFICIENTS: usize = 64;

fn lcm(a: usize, b: usize) -> usize {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a / x).saturating_mul(b)
}
