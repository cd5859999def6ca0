// The penalty's part of the duality gap at the scaled dual point, summed by block of state rows.
@group(0) @binding(0) var<uniform> params: Params;
@group(1) @binding(0) var<storage, read> x: array<real>;
@group(1) @binding(1) var<storage, read> g: array<real>;
@group(1) @binding(2) var<storage, read> lanes: array<real>;
@group(1) @binding(3) var<storage, read_write> partials: array<real>;

@compute @workgroup_size(64)
fn gap_penalty(@builtin(global_invocation_id) id: vec3<u32>) {
    let lane = id.x;
    if (lane >= LANES) {
        return;
    }
    let scale = dual_scale(lane);
    let l1 = lane_l1(lane);
    let l2 = lane_l2(lane);
    var gap = real(0.0);
    let first = id.y * ROW_BLOCK;
    for (var j = first; j < min(first + ROW_BLOCK, PENALISED); j++) {
        let at = entry(j, lane);
        gap += penalty_gap(x[at], -scale * g[at], l1 * factor_of(j), l2 * factor_of(j));
    }
    leave(PART_GAP_PENALTY, id.y, lane, gap);
}
