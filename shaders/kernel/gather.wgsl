// Adds up what the parts of a split product left, in order.
@group(0) @binding(0) var<uniform> params: Params;
@group(1) @binding(0) var<storage, read> shares: array<real4>;
@group(1) @binding(1) var<storage, read_write> whole: array<real4>;

@compute @workgroup_size(64)
fn gather(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= COLUMNS4) {
        return;
    }
    let at = id.y * COLUMNS4 + id.x;
    var sum = shares[at];
    for (var part = 1u; part < SPLITS; part++) {
        sum += shares[part * GATHERED * COLUMNS4 + at];
    }
    whole[at] = sum;
}
