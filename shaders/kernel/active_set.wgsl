// Lists the blocks of four coefficients that are not zero in some lane of a group: the terms that the sum of
// a prediction needs, and the rows of a gradient whose tangents are needed. If a penalised coefficient is
// zero, so are its tangents. Stores for each group of ACTIVE_SET_LANE4S lane4s the length of its list, then
// the list in order; and the number of entries listed since the chunk began. One workgroup per group.

// Not of bool: neighbours may share a word there, so that one invocation's store undoes another's.
var<workgroup> found: array<u32, 64>;
var<private> count: u32;

fn moves(row: u32, first: u32) -> bool {
    if (row >= PENALISED) {
        return true;
    }
    for (var lane4 = first; lane4 < min(first + ACTIVE_SET_LANE4S, LANE4S); lane4++) {
        // A NaN is not zero either.
        if (!all(x[place(row, lane4)] == real4(0.0))) {
            return true;
        }
    }
    return false;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let list = group.x * (STRIDE4 + 1u);
    for (var first = 0u; first < STRIDE4; first += 64u) {
        let k = first + index;
        var any = false;
        if (k < STRIDE4) {
            for (var row = 4u * k; row < min(4u * k + 4u, STATE_ROWS); row++) {
                any = any || moves(row, group.x * ACTIVE_SET_LANE4S);
            }
        }
        found[index] = u32(any);
        workgroupBarrier();
        if (index == 0u) {
            for (var i = 0u; i < 64u; i++) {
                if (found[i] != 0u) {
                    count++;
                    active_set[list + count] = first + i;
                }
            }
        }
        workgroupBarrier();
    }
    if (index == 0u) {
        active_set[list] = count;
        active_counts[group.x] += count;
    }
}
