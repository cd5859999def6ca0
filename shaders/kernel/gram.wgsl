// X'WX, computed once a run, summed in `wide` numbers (f64), since its rounding errors enter every iteration.
// An invocation computes four by four entries on or above the diagonal, and mirrors them.

struct GramParams {
    // First block of rows and first block of columns of this dispatch.
    first_row: u32,
    first_column: u32,
}

alias wide4 = vec4<f64>;

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let j = params.first_row + id.y;
    let k = params.first_column + id.x;
    if (k >= STRIDE4 || j > k) {
        return;
    }
    var s0 = wide4();
    var s1 = wide4();
    var s2 = wide4();
    var s3 = wide4();
    for (var i = 0u; i < ROWS; i++) {
        let a = wide4(design[i * STRIDE4 + j]) * f64(rows[i * ROW_FIELDS + 1u]);
        let b = wide4(design[i * STRIDE4 + k]);
        s0 += a.x * b;
        s1 += a.y * b;
        s2 += a.z * b;
        s3 += a.w * b;
    }
    gram[(4u * j) * STRIDE4 + k] = real4(s0);
    gram[(4u * j + 1u) * STRIDE4 + k] = real4(s1);
    gram[(4u * j + 2u) * STRIDE4 + k] = real4(s2);
    gram[(4u * j + 3u) * STRIDE4 + k] = real4(s3);
    if (j < k) {
        gram[(4u * k) * STRIDE4 + j] = real4(wide4(s0.x, s1.x, s2.x, s3.x));
        gram[(4u * k + 1u) * STRIDE4 + j] = real4(wide4(s0.y, s1.y, s2.y, s3.y));
        gram[(4u * k + 2u) * STRIDE4 + j] = real4(wide4(s0.z, s1.z, s2.z, s3.z));
        gram[(4u * k + 3u) * STRIDE4 + j] = real4(wide4(s0.w, s1.w, s2.w, s3.w));
    }
}
