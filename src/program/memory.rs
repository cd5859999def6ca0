//! What fits: slots, iterations of a chunk, and the buffers of both.

use super::*;

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
    let frames = (r.iterations / r.every + 2) as u64;
    let frame = b.saturating_mul(1 + r.tangents as u64).saturating_mul(r.state_rows as u64);
    let records = k.saturating_mul(b).saturating_mul(layout.fields() as u64 + 1);
    // Twice: the chunks as they came, and the trace made of them.
    frames.saturating_mul(frame).saturating_add(records).saturating_mul(16)
}

/// Seconds that an iteration may take, so that a run can be cancelled in the middle of many lanes.
const ITERATION_SECONDS: f64 = 0.1;
/// Lanes that are run together however long an iteration takes: fewer would use the products badly.
const FEWEST_LANES: f64 = 64.0;

/// Lanes whose iteration is short enough.
fn by_speed(r: &Request, limits: &Limits) -> usize {
    let strategy = r.strategy.unwrap_or(Strategy::Direct);
    // Of a lane, and what there is besides.
    let (one, two) = (strategy.iteration(r, limits, 1), strategy.iteration(r, limits, 2));
    ((ITERATION_SECONDS - (2.0 * one - two)) / (two - one)).clamp(FEWEST_LANES, 1e9) as usize
}

/// The most lanes that fit the budget and, buffer by buffer, the engine.
pub(super) fn most_slots(r: &Request, limits: &Limits, budget: u64) -> Result<usize> {
    let by_speed = if r.together { usize::MAX } else { by_speed(r, limits) };
    let wanted = r.lanes.min(limits.max_lanes.max(1)).min(by_speed);
    // As few rounds as that takes, all of them about as full.
    let wanted = r.lanes.div_ceil(r.lanes.div_ceil(wanted));
    // Whole tiles of products, where that is not all.
    let wanted = if wanted < r.lanes && limits.engine == "gpu" {
        wanted.next_multiple_of(32).min(limits.max_lanes.max(1))
    } else {
        wanted
    };
    let fits = |lanes: usize| {
        let (chunk, frames) = chunk(r, limits, lanes);
        let list = buffers(r, limits, lanes, chunk, frames);
        let widest = list.iter().map(Buffer::bytes_of_one).max().unwrap_or(0);
        // A workgroup serves some rows, some columns, or the decisions of some lanes; parts of split sums are gathered row by row.
        let rows = r.rows.max(r.state_rows).max(r.validation_rows);
        let by_rows = if r.split_k() == [1, 1] { rows.div_ceil(8) } else { rows };
        let of_lanes = PersistentTile::of(r, limits)
            .filter(|_| r.strategy == Some(Strategy::Persistent))
            .map_or(16, |t| 4 * t.lane4s);
        let columns = (lanes as u64).saturating_mul(1 + r.tangents as u64).div_ceil(32);
        let groups = (by_rows as u64).max(columns).max(lanes.div_ceil(of_lanes) as u64);
        list.iter().map(|b| b.bytes).sum::<u64>() <= budget
            && widest <= limits.max_buffer_bytes
            && groups <= limits.max_workgroups
    };
    if fits(wanted) {
        return Ok(wanted);
    }
    let (mut good, mut bad) = (0, wanted);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if fits(middle) { good = middle } else { bad = middle }
    }
    if good > 0 {
        return Ok(good);
    }
    let (chunk, frames) = chunk(r, limits, 1);
    let list = buffers(r, limits, 1, chunk, frames);
    let total: u64 = list.iter().map(|b| b.bytes).sum();
    if total > budget {
        let remedy = "Raise `memory_budget`, or use fewer rows or features.";
        return Err(over_budget("buffers of a single lane, design included", total, budget, remedy));
    }
    let widest = list.iter().max_by_key(|b| b.bytes_of_one()).expect("a plan has buffers");
    Err(Error::new(
        ErrorKind::Memory,
        "memory plan",
        format!("buffer '{}' of {}", widest.name, bytes(widest.bytes_of_one())),
        format!("at most {} in one buffer on this {} engine", bytes(limits.max_buffer_bytes), limits.engine),
        "Use `CpuEngine`, which has no such limit.",
    ))
}

/// Iterations of a chunk, and frames among them at most. A chunk holds whole periods of frames and tests where it can, so that
/// lanes which are active later have theirs at the same iterations.
pub(super) fn chunk(r: &Request, limits: &Limits, lanes: usize) -> (usize, usize) {
    let seconds = r.strategy.unwrap_or(Strategy::Direct).iteration(r, limits, lanes) + limits.overhead;
    let by_time = (CHUNK_SECONDS / seconds) as usize;
    let columns = (lanes as u64).saturating_mul(1 + r.tangents as u64);
    let frame = columns.saturating_mul(r.state_rows as u64).saturating_mul(r.precision.bytes());
    let frames = (FRAME_BYTES / frame.max(1)).max(1) as usize;
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

/// Coefficients that the working sets of groups of lanes may have: half of all, and in sum no more than two designs.
pub(super) fn working_set(r: &Request, limits: &Limits, slots: usize) -> usize {
    if !r.sparsity || limits.engine != "cpu" || r.state_rows < FEWEST_COEFFICIENTS {
        return 0;
    }
    (r.state_rows / 2).min(2 * r.state_rows / slots.div_ceil(GROUP_LANES))
}

/// Whether products of a GPU leave out coefficients that are zero: in the direct strategy, where the lists can be bound as well, and where
/// products are so long that making the lists is little beside them.
pub(super) fn active_sets(r: &Request, limits: &Limits) -> bool {
    let able = r.strategy == Some(Strategy::Direct) && r.split_k() == [1, 1] && r.tangents <= FUSED_TANGENTS;
    r.sparsity
        && limits.engine == "gpu"
        && able
        && limits.storage_buffers > 8
        && r.state_rows.min(r.rows) >= 4 * FEWEST_COEFFICIENTS
}

/// Fewer coefficients are not worth leaving any out.
const FEWEST_COEFFICIENTS: usize = 64;
/// Lanes that share a working set.
pub const GROUP_LANES: usize = 16;

fn lcm(a: usize, b: usize) -> usize {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a / x).saturating_mul(b)
}

/// The buffers of a run with this many slots.
pub(super) fn buffers(
    r: &Request,
    limits: &Limits,
    lanes: usize,
    chunk: usize,
    frames: usize,
) -> Vec<Buffer> {
    let real = r.precision.bytes();
    let d = r.tangents;
    let fields = RecordLayout::new(d).fields();
    let on_device = limits.engine == "gpu";
    let mut list = Vec::new();
    let mut add = |name, copies: usize, shape: &[usize]| {
        let count = shape.iter().fold(copies as u64, |n, s| n.saturating_mul(*s as u64));
        list.push(Buffer { name, copies, shape: shape.to_vec(), bytes: count.saturating_mul(real) });
    };
    // Rows of the design and lanes are whole vec4s on a device.
    let whole = |count: usize| if on_device { count.div_ceil(4).saturating_mul(4) } else { count };
    let (stride, slots) = (whole(r.state_rows), whole(lanes));
    let wide = slots.saturating_mul(1 + d);
    add("design", 1, &[r.rows, stride]);
    add("rows", 1, &[r.rows, 2 + d]);
    add("state", 2, &[stride, wide]);
    add("gradient", 1, &[stride, wide]);
    if r.is_gram() {
        add("gram", 1, &[stride, stride]);
        add("carried", if r.strategy == Some(Strategy::Gram) { 2 } else { 1 }, &[stride, wide]);
    } else {
        add("prediction", 2, &[r.rows, wide]);
        add("residual", 1, &[r.rows, wide]);
    }
    if r.validation_rows > 0 {
        add("validation_design", 1, &[r.validation_rows, stride]);
        add("validation_rows", 1, &[r.validation_rows, 2]);
        if !on_device || d > FUSED_TANGENTS {
            add("validation_prediction", 1, &[r.validation_rows, wide]);
        }
    }
    if r.measures_curvature {
        add("extrapolated", 1, &[r.rows, wide]);
    }
    if r.metric != MetricKind::None {
        add("metric", 1, &[stride, wide]);
    }
    if matches!(r.metric, MetricKind::Hessian { .. }) {
        add("design_squares", 1, &[r.rows, stride]);
    }
    if on_device {
        if let MetricKind::Table { per_lane } = r.metric {
            add("metric_tables", 2, &[chunk, r.state_rows, if per_lane { lanes } else { 1 }]);
        }
        let [of_predictions, of_gradients] = r.split_k();
        let split = |parts: usize, rows: usize| if parts > 1 { parts * rows } else { 0 };
        if active_sets(r, limits) {
            // As many lists as workgroups, of at least 32 lanes, along the lanes; a count before each, and one beside it.
            add("active_sets", 1, &[lanes.div_ceil(32), stride / 4 + 2]);
            if d > 0 {
                // What a step leaves to those of its tangents.
                add("stepped", 1, &[r.state_rows, 2, slots]);
            }
        }
        let shares = split(of_predictions, r.rows).max(split(of_gradients, stride));
        if shares > 0 {
            add("split_partials", 1, &[shares, wide]);
        }
        let (own, curvature) = (rows_per_sum(d), usize::from(r.measures_curvature));
        let blocks = |rows: usize| match (r.strategy, PersistentTile::of(r, limits)) {
            (Some(Strategy::Persistent), Some(tile)) => tile.groups,
            _ => rows.div_ceil(own),
        };
        let carried = if r.is_gram() { r.state_rows } else { r.rows };
        let of_state =
            (4 + usize::from(r.constants > 0) + d + curvature * (2 + 2 * d)) * blocks(r.state_rows);
        let of_rows = (1 + curvature * (1 + d)) * blocks(carried) + (1 + d) * blocks(r.validation_rows);
        let of_loss = if r.is_gram() { 1 } else { r.rows.div_ceil(ROW_BLOCK) };
        let of_check = (5 + 3 * d) * r.state_rows.div_ceil(ROW_BLOCK) + of_loss;
        add("partials", 1, &[of_state + of_rows + of_check, slots]);
        let bases = if r.factored { r.phases * (2 + 2 * d) } else { 0 };
        add("lanes", 1, &[5 + 2 * d + bases, slots]);
        add("factors", 1, &[r.state_rows, if r.is_gram() { 2 + d } else { 1 }, 4]);
        add("lane_state", 1, &[lane_state_fields(d), slots]);
        add("constants", 1, &[r.constants.max(1)]);
        if r.factored {
            add("step_factors", 1, &[r.iterations, r.stages, 5]);
        } else {
            add("step_tables", 2, &[chunk + 1, r.stages, 4 + 2 * d, slots]);
        }
        // Two entries an iteration, 256 bytes apart.
        add("params", 2, &[2 * (chunk + 1), 256 / real as usize]);
        let arriving = 2 + lane_state_fields(d) + 3 * (1 + d) * r.state_rows;
        add("arrivals", 1, &[((4 << 20) / real as usize / arriving).clamp(1, lanes.max(1)), arriving]);
        add("records", 2, &[chunk, fields, slots]);
        // On their way back: records, the lane state, the states at the end of the chunk, and its frames.
        let states = if matches!(r.metric, MetricKind::Hessian { .. }) { 3 } else { 2 };
        add(
            "staging",
            2,
            &[chunk * fields * slots + lane_state_fields(d) * slots + (states + frames) * stride * wide],
        );
    } else {
        let set = working_set(r, limits, lanes);
        if set > 0 {
            add("working_sets", lanes.div_ceil(GROUP_LANES), &[set, r.rows + 3 * GROUP_LANES * (1 + d)]);
            add("working_set_references", 1, &[r.rows, lanes]);
        }
        add("records", 1, &[chunk, lanes, fields]);
        add("frames", frames, &[r.state_rows, wide]);
    }
    list
}
