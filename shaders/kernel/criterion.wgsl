// The stop rule at x, from g = X' r taken there: by how much the dual point must shrink, and the fixed-point residuals of
// the iterate and of its tangents under a proximal gradient step of size 1/L. Summed by block of state rows.
@group(0) @binding(0) var<uniform> params: Params;
@group(1) @binding(0) var<storage, read> x: array<real4>;
@group(1) @binding(1) var<storage, read> g: array<real4>;
@group(1) @binding(2) var<storage, read> lanes: array<real4>;
@group(1) @binding(3) var<storage, read_write> partials: array<real4>;

@compute @workgroup_size(GROUP_LANE4S, GROUP_BLOCKS)
fn criterion(@builtin(global_invocation_id) id: vec3<u32>) {
    let lane4 = id.x;
    let first = id.y * ROW_BLOCK;
    if (lane4 >= LANE4S || first >= STATE_ROWS) {
        return;
    }
    let a = lanes_probe_step(lane4);
    let l1 = lanes_l1(lane4);
    let l2 = lanes_l2(lane4);
    let ridge = select(real4(0.0), l2, RIDGE_IN_LOSS);
    var ratio = real4(1.0);
    // Squared norms of x, of its image and of their difference, then the same of each tangent.
    var sums: array<real4, MAX_NORMS>;
    for (var j = first; j < min(first + ROW_BLOCK, STATE_ROWS); j++) {
        let at = place(j, lane4);
        let here = x[at];
        let factor = factor_of(j);
        let w = here - a * (g[at] + ridge * factor * here);
        var prox = prox_identity(w);
        if (j < PENALISED) {
            prox = penalty_prox(w, a, l1 * factor, l2 * factor);
            ratio = max(ratio, penalty_dual_ratio(-g[at], l1 * factor, l2 * factor));
        }
        sums[0] += here * here;
        sums[1] += prox.value * prox.value;
        sums[2] += (here - prox.value) * (here - prox.value);
        for (var t = 0u; t < TANGENTS; t++) {
            let c = at + (1u + t) * LANE4S;
            let dhere = x[c];
            let moves = strength_tangent(j, t);
            let dl1 = lanes_dl1(lane4, t) * moves;
            let dl2 = lanes_dl2(lane4, t) * moves;
            let dridge = select(real4(0.0), dl2, RIDGE_IN_LOSS);
            let dw = dhere - a * (g[c] + ridge * factor * dhere + dridge * here);
            let image = prox.by_input * dw + prox.by_l1 * dl1 + prox.by_l2 * dl2;
            sums[3u * t + 3u] += dhere * dhere;
            sums[3u * t + 4u] += image * image;
            sums[3u * t + 5u] += (dhere - image) * (dhere - image);
        }
    }
    store_partial(PART_RATIO, id.y, lane4, ratio);
    for (var i = 0u; i < 3u * WIDTH; i++) {
        store_partial(PART_NORMS + i * BLOCKS_NORMS, id.y, lane4, sums[i]);
    }
}
