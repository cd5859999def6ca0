// The sums that a sparse design's shift needs, one for each column of `operand`, in the row after its last.
// Each invocation of a workgroup adds every SUMMING-th row, then the first ones add these sums in order.

var<workgroup> sums: array<array<real4, SUMMED_COLUMN4S>, SUMMING>;

@compute @workgroup_size(SUMMED_COLUMN4S, SUMMING)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) own: vec3<u32>) {
    let column4 = group.x * SUMMED_COLUMN4S + own.x;
    let at = min(column4, COLUMNS4 - 1u);
    var sum = real4();
    for (var row = own.y; row < SUMMED_ROWS; row += SUMMING) {
        sum = fma(real4(share_of(row)), operand[row * COLUMNS4 + at], sum);
    }
    sums[own.y][own.x] = sum;
    for (var reach = SUMMING / 2u; reach > 0u; reach /= 2u) {
        workgroupBarrier();
        if (own.y < reach) {
            sums[own.y][own.x] += sums[own.y + reach][own.x];
        }
    }
    if (own.y == 0u && column4 < COLUMNS4) {
        operand[SUMMED_ROWS * COLUMNS4 + column4] = sums[0][own.x];
    }
}
