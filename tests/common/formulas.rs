//! Losses and penalties, written down once more: nothing of the library takes part but names and parameters,
//! and the pointwise functions of an entry that has no formula here. tests/catalog.rs and tests/fragments.rs
//! check those.

use proxjet::objective::{Loss, Penalty};

fn parameter<const N: usize>(list: Vec<(&str, f64)>) -> [f64; N] {
    std::array::from_fn(|i| list[i].1)
}

fn sigmoid(t: f64) -> f64 {
    1.0 / (1.0 + (-t).exp())
}

/// True if both duals are written down here, or one of them has none.
pub(crate) fn knows_gap(loss: &Loss, penalty: &Penalty) -> bool {
    let known = ["squared", "logistic", "huber"].contains(&loss.name())
        && ["none", "l2", "l1", "elastic_net", "nonneg_l1", "box"].contains(&penalty.name());
    known || !loss.has_dual() || !penalty.has_dual()
}

/// `φ(z, y)`.
pub(crate) fn loss_value(loss: &Loss, z: f64, y: f64) -> f64 {
    match loss.name() {
        "squared" => (z - y).powi(2) / 2.0,
        "logistic" => (-y * z).max(0.0) + (-(y * z).abs()).exp().ln_1p(),
        "huber" => {
            let ([delta], r) = (parameter(loss.parameters()), (z - y).abs());
            if r <= delta { r * r / 2.0 } else { delta * r - delta * delta / 2.0 }
        }
        _ => loss.value(z, y),
    }
}

/// `(φ', φ'', ∂φ'/∂y)`.
pub(crate) fn loss_derivatives(loss: &Loss, z: f64, y: f64) -> (f64, f64, f64) {
    match loss.name() {
        "squared" => (z - y, 1.0, -1.0),
        "logistic" => (-y * sigmoid(-y * z), sigmoid(z) * sigmoid(-z), f64::NAN),
        "huber" => {
            let ([delta], r) = (parameter(loss.parameters()), z - y);
            if r.abs() < delta { (r, 1.0, -1.0) } else { (delta * r.signum(), 0.0, 0.0) }
        }
        _ => (loss.d1(z, y), loss.d2(z, y), loss.d1_by_target(z, y)),
    }
}

/// `φ(z) + φ*(u) − u z` at `u = scale φ'(z)`, from the conjugate.
pub(crate) fn loss_gap(loss: &Loss, z: f64, y: f64, scale: f64) -> f64 {
    let u = scale * loss_derivatives(loss, z, y).0;
    let entropy = |t: f64| if t <= 0.0 { 0.0 } else { t * t.ln() };
    let conjugate = match loss.name() {
        "squared" | "huber" => u * u / 2.0 + u * y,
        "logistic" => entropy(-u * y) + entropy(1.0 + u * y),
        _ => return loss.gap(z, y, scale),
    };
    loss_value(loss, z, y) + conjugate - u * z
}

/// True if alpha enters, whether the ridge belongs to the smooth part, and the mix where the lane's does not
/// count.
pub(crate) fn penalty_kind(penalty: &Penalty) -> (bool, bool, Option<f64>) {
    match penalty.name() {
        "none" | "box" => (false, false, None),
        "l1" | "nonneg_l1" | "mcp" | "scad" => (true, false, Some(1.0)),
        "l2" => (true, true, Some(0.0)),
        "elastic_net" => (true, false, None),
        _ => (penalty.uses_alpha(), penalty.ridge_in_loss(), penalty.l1_ratio()),
    }
}

pub(crate) fn penalty_value(penalty: &Penalty, x: f64, l1: f64, l2: f64) -> f64 {
    match penalty.name() {
        "none" | "box" => 0.0,
        "l1" | "nonneg_l1" => l1 * x.abs(),
        "l2" => l2 * x * x / 2.0,
        "elastic_net" => l1 * x.abs() + l2 * x * x / 2.0,
        "mcp" => {
            let ([gamma], t) = (parameter(penalty.parameters()), x.abs());
            if t <= gamma * l1 { l1 * t - t * t / (2.0 * gamma) } else { gamma * l1 * l1 / 2.0 }
        }
        "scad" => {
            let ([a], t) = (parameter(penalty.parameters()), x.abs());
            if t <= l1 {
                l1 * t
            } else if t <= a * l1 {
                (2.0 * a * l1 * t - t * t - l1 * l1) / (2.0 * (a - 1.0))
            } else {
                l1 * l1 * (a + 1.0) / 2.0
            }
        }
        _ => penalty.value(x, l1, l2),
    }
}

/// `x = prox_{a g}(w)` and its derivatives by `w`, `l1` and `l2`.
pub(crate) fn penalty_prox(penalty: &Penalty, w: f64, a: f64, l1: f64, l2: f64) -> [f64; 4] {
    let soft = |l2: f64| {
        let (sign, shrink) = (w.signum(), 1.0 + a * l2);
        let x = sign * (w.abs() - a * l1) / shrink;
        if w.abs() > a * l1 { [x, 1.0 / shrink, -a * sign / shrink, -a * x / shrink] } else { [0.0; 4] }
    };
    match penalty.name() {
        "none" | "l2" => [w, 1.0, 0.0, 0.0],
        "l1" => {
            let [x, by_w, by_l1, _] = soft(0.0);
            [x, by_w, by_l1, 0.0]
        }
        "elastic_net" => soft(l2),
        _ if matches!(penalty.name(), "mcp" | "scad") && w.abs() <= a * l1 => [0.0; 4],
        "mcp" => {
            let [gamma] = parameter(penalty.parameters());
            let kept = 1.0 - a / gamma;
            if w.abs() <= gamma * l1 {
                [(w - w.signum() * a * l1) / kept, 1.0 / kept, -a * w.signum() / kept, 0.0]
            } else {
                [w, 1.0, 0.0, 0.0]
            }
        }
        "scad" => {
            let [b] = parameter(penalty.parameters());
            let (sign, kept) = (w.signum(), b - 1.0 - a);
            if w.abs() <= (1.0 + a) * l1 {
                [w - sign * a * l1, 1.0, -a * sign, 0.0]
            } else if w.abs() <= b * l1 {
                [((b - 1.0) * w - sign * a * b * l1) / kept, (b - 1.0) / kept, -a * b * sign / kept, 0.0]
            } else {
                [w, 1.0, 0.0, 0.0]
            }
        }
        "nonneg_l1" => {
            if w > a * l1 {
                [w - a * l1, 1.0, -a, 0.0]
            } else {
                [0.0; 4]
            }
        }
        "box" => {
            let [low, high] = parameter(penalty.parameters());
            if w <= low {
                [low, 0.0, 0.0, 0.0]
            } else if w >= high {
                [high, 0.0, 0.0, 0.0]
            } else {
                [w, 1.0, 0.0, 0.0]
            }
        }
        _ => {
            let p = penalty.prox(w, a, l1, l2);
            [p.value, p.by_input, p.by_l1, p.by_l2]
        }
    }
}

/// `max(1, what v is divided by to be feasible)`, and `g(x) + g*(v) − x v` at a feasible `v`, from the
/// conjugate.
pub(crate) fn penalty_dual(penalty: &Penalty, v: f64, l1: f64, l2: f64) -> f64 {
    match penalty.name() {
        "l1" => (v.abs() / l1).max(1.0),
        "nonneg_l1" => (v / l1).max(1.0),
        "l2" | "box" => 1.0,
        "elastic_net" if l2 > 0.0 => 1.0,
        "elastic_net" => (v.abs() / l1).max(1.0),
        _ => penalty.dual_ratio(v, l1, l2).max(1.0),
    }
}

pub(crate) fn penalty_gap(penalty: &Penalty, x: f64, v: f64, l1: f64, l2: f64) -> f64 {
    let conjugate = match penalty.name() {
        "l1" | "nonneg_l1" => 0.0,
        "l2" => v * v / (2.0 * l2),
        "elastic_net" if l2 == 0.0 => 0.0,
        "elastic_net" => (v.abs() - l1).max(0.0).powi(2) / (2.0 * l2),
        "box" => {
            let [low, high] = parameter(penalty.parameters());
            (v * low).max(v * high)
        }
        _ => return penalty.gap(x, v, l1, l2),
    };
    penalty_value(penalty, x, l1, l2) + conjugate - x * v
}
