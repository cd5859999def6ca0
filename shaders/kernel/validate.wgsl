// The loss of the held-out rows and its derivatives, summed by block.
@group(0) @binding(0) var<uniform> params: Params;
@group(1) @binding(0) var<storage, read> z: array<real>;
@group(1) @binding(1) var<storage, read> rows: array<real>;
@group(1) @binding(2) var<storage, read_write> partials: array<real>;

@compute @workgroup_size(64)
fn validate(@builtin(global_invocation_id) id: vec3<u32>) {
    let lane = id.x;
    if (lane >= LANES) {
        return;
    }
    var fit = real(0.0);
    var slope: array<real, MAX_TANGENTS>;
    let first = id.y * ROW_BLOCK;
    for (var i = first; i < min(first + ROW_BLOCK, VALIDATION_ROWS); i++) {
        let at = entry(i, lane);
        let target_value = rows[2u * i];
        let weight = rows[2u * i + 1u];
        fit += weight * loss_value(z[at], target_value);
        let by_prediction = weight * loss_slope(z[at], target_value);
        for (var t = 0u; t < TANGENTS; t++) {
            slope[t] += by_prediction * z[at + (1u + t) * LANES4];
        }
    }
    leave(PART_VALIDATION, id.y, lane, fit);
    for (var t = 0u; t < TANGENTS; t++) {
        leave(PART_HYPERGRADIENT + t, id.y, lane, slope[t]);
    }
}
