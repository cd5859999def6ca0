// d = 1/h clamped to [1/bound, METRIC_GAIN/bound]; where it is clamped its tangents are zero. h is the
// diagonal of the Hessian, in g. Only for lanes that refresh their metric in this iteration.

@compute @workgroup_size(GROUP_LANE4S, GROUP_BLOCKS)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let lane4 = id.x;
    let first = id.y * ROW_BLOCK;
    if (lane4 >= LANE4S) {
        return;
    }
    let refreshes = vec4<u32>(lane_state4(lane4, DONE)) % METRIC_EVERY == vec4<u32>();
    for (var j = first; j < min(first + ROW_BLOCK, STATE_ROWS); j++) {
        let at = place(j, lane4);
        // A column of zeros has no curvature: any step is valid.
        let most = select(real(1.0), bound[j], bound[j] > real(0.0));
        let least = most / METRIC_GAIN;
        let inside = (g[at] > real4(least)) & (g[at] < real4(most));
        let d = real(1.0) / min(max(g[at], real4(least)), real4(most));
        metric[at] = select(metric[at], d, refreshes);
        for (var t = 0u; t < TANGENTS; t++) {
            let c = at + (1u + t) * LANE4S;
            metric[c] = select(metric[c], select(real4(0.0), -d * d * g[c], inside), refreshes);
        }
    }
}
