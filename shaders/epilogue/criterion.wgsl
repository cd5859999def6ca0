// The stop rule at x, from the gradient g = X' r at x, in `values`: the fixed-point residuals of the iterate
// and of its tangents under a proximal gradient step of size 1/L. Sums the squared norms of x, of its image
// and of their difference, then the same for each tangent.
var<private> criterion_norms: array<real4, MAX_NORMS>;

fn criterion_begin(lane4: u32) {
    criterion_norms = array<real4, MAX_NORMS>();
}

fn criterion_row(j: u32, lane4: u32) {
    let a = lanes_probe_step(lane4);
    let l1 = lanes_l1(lane4);
    let l2 = lanes_l2(lane4);
    let ridge = select(real4(0.0), l2, RIDGE_IN_LOSS);
    let at = place(j, lane4);
    let here = x[at];
    let factor = factor_of(j);
    let w = here - a * (values[0] + ridge * factor * here);
    var prox = prox_identity(w);
    if (j < PENALISED) {
        prox = penalty_prox(w, a, l1 * factor, l2 * factor);
    }
    criterion_norms[0] += here * here;
    criterion_norms[1] += prox.value * prox.value;
    criterion_norms[2] += (here - prox.value) * (here - prox.value);
    for (var t = 0u; t < TANGENTS; t++) {
        let dhere = x[at + (1u + t) * LANE4S];
        let moves = strength_tangent(j, t);
        let dl1 = lanes_dl1(lane4, t) * moves;
        let dl2 = lanes_dl2(lane4, t) * moves;
        let dridge = select(real4(0.0), dl2, RIDGE_IN_LOSS);
        let dw = dhere - a * (values[1u + t] + ridge * factor * dhere + dridge * here);
        let image = prox.by_input * dw + prox.by_l1 * dl1 + prox.by_l2 * dl2;
        criterion_norms[3u * t + 3u] += dhere * dhere;
        criterion_norms[3u * t + 4u] += image * image;
        criterion_norms[3u * t + 5u] += (dhere - image) * (dhere - image);
    }
}

fn criterion_store(block: u32, lane4: u32) {
    for (var i = 0u; i < 3u * WIDTH; i++) {
        store_partial(PART_NORMS + i * BLOCKS_NORMS, block, lane4, criterion_norms[i]);
    }
}
