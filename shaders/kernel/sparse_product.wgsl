// result = A operand for a sparse matrix A by rows. PEERS invocations share the sum of a row: each adds every
// PEERS-th of its entries, then their sums are added in a fixed order. An invocation computes a vec4 of
// columns.

var<workgroup> sums: array<array<real4, GROUP_COLUMN4S>, GROUP_ROWS * PEERS>;

@compute @workgroup_size(GROUP_COLUMN4S, GROUP_ROWS * PEERS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) own: vec3<u32>) {
    let column4 = group.x * GROUP_COLUMN4S + own.x;
    let row = (group.z * ALONG_Y + group.y) * GROUP_ROWS + own.y / PEERS;
    let peer = own.y % PEERS;
    let inside = column4 < COLUMNS4 && row < RESULT_ROWS;
    var sum = real4();
    if (inside) {
        let end = matrix[row + 1u].place;
        for (var at = matrix[row].place + peer; at < end; at += PEERS) {
            let entry = matrix[at];
            sum = fma(real4(entry.value), operand[entry.place * COLUMNS4 + column4], sum);
        }
    }
    if (PEERS > 1u) {
        sums[own.y][own.x] = sum;
        for (var reach = PEERS / 2u; reach > 0u; reach /= 2u) {
            workgroupBarrier();
            if (peer < reach) {
                sums[own.y][own.x] += sums[own.y + reach][own.x];
            }
        }
        sum = sums[own.y][own.x];
    }
    if (inside && peer == 0u) {
        result[row * COLUMNS4 + column4] = sum;
    }
}
