// d = 1/h held between 1/bound and METRIC_GAIN/bound, where it does not move; h is the diagonal of the Hessian, in g.
// For the lanes that refresh their metric now.
@group(0) @binding(0) var<uniform> params: Params;
@group(1) @binding(0) var<storage, read> g: array<real>;
@group(1) @binding(1) var<storage, read> bound: array<real>;
@group(1) @binding(2) var<storage, read> book: array<real>;
@group(1) @binding(3) var<storage, read_write> metric: array<real>;

@compute @workgroup_size(64)
fn metric_hessian(@builtin(global_invocation_id) id: vec3<u32>) {
    let lane = id.x;
    if (lane >= LANES || u32(book_at(lane, DONE)) % METRIC_EVERY != 0u) {
        return;
    }
    let first = id.y * ROW_BLOCK;
    for (var j = first; j < min(first + ROW_BLOCK, STATE_ROWS); j++) {
        let at = entry(j, lane);
        // A column of zeros has no curvature: any step will do.
        let most = select(real(1.0), bound[j], bound[j] > real(0.0));
        let least = most / METRIC_GAIN;
        let inside = g[at] > least && g[at] < most;
        let d = real(1.0) / min(max(g[at], least), most);
        metric[at] = d;
        for (var t = 0u; t < TANGENTS; t++) {
            let c = at + (1u + t) * LANES4;
            metric[c] = select(real(0.0), -d * d * g[c], inside);
        }
    }
}
