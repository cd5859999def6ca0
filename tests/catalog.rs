//! Every loss and penalty, pointwise: derivatives against central differences, proximal maps against brute force, gaps
//! against a supremum over a grid. Their WGSL twins are compared with them by tests/engines.rs, pair by pair.

use proxjet::objective::{Loss, Penalty};

mod common;

fn losses() -> Vec<Loss> {
    let mut list = Loss::all();
    list.push(Loss::huber(0.4).unwrap());
    list
}

fn penalties() -> Vec<Penalty> {
    let mut list = Penalty::all();
    list.push(Penalty::bounds(-0.5, 0.7).unwrap());
    list
}

fn targets(loss: &Loss) -> Vec<f64> {
    if loss.classes() { vec![-1.0, 1.0] } else { vec![-0.8, 0.0, 1.3] }
}

fn points() -> impl Iterator<Item = f64> + Clone {
    (-40..=40).map(|i| 0.0503 * f64::from(i) + 0.0021)
}

const H: f64 = 1e-6;

#[test]
fn slopes_and_curves_are_derivatives() {
    for loss in losses() {
        for y in targets(&loss) {
            // A kink within the difference would be compared with nothing.
            let smooth = |z: f64| loss.d2(z - 2.0 * H, y) == loss.d2(z + 2.0 * H, y) || loss.classes();
            for z in points().filter(|z| smooth(*z)) {
                let slope = (loss.value(z + H, y) - loss.value(z - H, y)) / (2.0 * H);
                let curve = (loss.d1(z + H, y) - loss.d1(z - H, y)) / (2.0 * H);
                assert!((slope - loss.d1(z, y)).abs() < 1e-8, "{loss} at {z}: {slope}");
                assert!((curve - loss.d2(z, y)).abs() < 1e-8, "{loss} at {z}: {curve}");
                let (most, least) = loss.curvature();
                assert!((least..=most).contains(&loss.d2(z, y)), "{loss} at {z}");
                if !loss.classes() {
                    let by_target = (loss.d1(z, y + H) - loss.d1(z, y - H)) / (2.0 * H);
                    assert!((by_target - loss.d1_by_target(z, y)).abs() < 1e-8, "{loss} at {z}: {by_target}");
                }
            }
        }
    }
}

#[test]
fn losses_do_not_overflow() {
    let loss = Loss::logistic();
    assert_eq!(loss.value(1e4, 1.0), 0.0);
    assert_eq!(loss.value(-1e4, 1.0), 1e4);
    assert_eq!(loss.d1(-1e4, 1.0), -1.0);
    assert!(loss.gap(-1e4, 1.0, 0.5).is_finite());
}

/// `sup_t u t − f(t)` over a fine grid.
fn conjugate(u: f64, f: impl Fn(f64) -> f64, reach: f64) -> f64 {
    let steps = 400_000;
    (0..=steps)
        .map(|i| reach * (2.0 * f64::from(i) / f64::from(steps) - 1.0))
        .fold(f64::MIN, |m, t| m.max(u * t - f(t)))
}

#[test]
fn gaps_of_losses_are_fenchel_young_terms() {
    for loss in losses() {
        for y in targets(&loss) {
            for z in [-1.7, -0.3, 0.2, 1.1] {
                for scale in [0.3, 0.8, 1.0] {
                    let u = scale * loss.d1(z, y);
                    let expected = loss.value(z, y) + conjugate(u, |t| loss.value(t, y), 30.0) - u * z;
                    let gap = loss.gap(z, y, scale);
                    assert!(
                        (gap - expected).abs() < 1e-6 && gap >= -1e-15,
                        "{loss} {z} {y} {scale}: {gap} {expected}"
                    );
                }
            }
        }
    }
}

const STRENGTHS: [(f64, f64); 3] = [(0.4, 0.0), (0.3, 0.9), (0.7, 0.2)];

fn feasible(penalty: &Penalty, x: f64) -> bool {
    match penalty {
        Penalty::NonnegL1(_) => x >= 0.0,
        Penalty::Box(b) => (b.lower..=b.upper).contains(&x),
        _ => true,
    }
}

#[test]
fn proximal_maps_minimise() {
    for penalty in penalties() {
        for (l1, l2) in STRENGTHS {
            for w in points() {
                let step = 0.6;
                let x = penalty.prox(w, step, l1, l2).value;
                // Where the ridge belongs to the loss, the proximal map is of zero.
                let g = |t: f64| if penalty.ridge_in_loss() { 0.0 } else { penalty.value(t, l1, l2) };
                let cost = |t: f64| step * g(t) + 0.5 * (t - w) * (t - w);
                assert!(feasible(&penalty, x), "{penalty} at {w}: {x}");
                let grid = (-3000..=3000).map(|i| f64::from(i) * 1e-3);
                let best = grid.filter(|t| feasible(&penalty, *t)).fold(f64::MAX, |m, t| m.min(cost(t)));
                assert!(
                    cost(x) <= best + 1e-12,
                    "{penalty} at {w}: {x} costs {}, {best} is possible",
                    cost(x)
                );
            }
        }
    }
}

#[test]
fn partials_of_proximal_maps_are_derivatives() {
    for penalty in penalties() {
        for (l1, l2) in STRENGTHS.into_iter().filter(|(_, l2)| *l2 > 0.0) {
            for w in points() {
                let step = 0.6;
                let at = |w: f64, s: f64, a: f64, b: f64| penalty.prox(w, s, a, b).value;
                let p = penalty.prox(w, step, l1, l2);
                let same = |a: f64, b: f64| penalty.prox(w + a, step, l1 + b, l2).by_input == p.by_input;
                if !(same(3.0 * H, 0.0) && same(-3.0 * H, 0.0) && same(0.0, 3.0 * H) && same(0.0, -3.0 * H)) {
                    continue;
                }
                let differences = [
                    ("input", p.by_input, at(w + H, step, l1, l2) - at(w - H, step, l1, l2)),
                    ("l1", p.by_l1, at(w, step, l1 + H, l2) - at(w, step, l1 - H, l2)),
                    ("l2", p.by_l2, at(w, step, l1, l2 + H) - at(w, step, l1, l2 - H)),
                    (
                        "step",
                        -p.by_input * (w - p.value) / step,
                        at(w, step + H, l1, l2) - at(w, step - H, l1, l2),
                    ),
                ];
                for (name, partial, difference) in differences {
                    let difference = difference / (2.0 * H);
                    assert!(
                        (partial - difference).abs() < 1e-8,
                        "{penalty} by {name} at {w}: {partial} {difference}"
                    );
                }
                assert_eq!(penalty.is_active(p.value), p.by_input != 0.0, "{penalty} at {w}");
            }
        }
    }
}

#[test]
fn gaps_of_penalties_are_fenchel_young_terms() {
    for penalty in penalties().into_iter().filter(|p| p.name() != "none") {
        for (l1, l2) in STRENGTHS {
            if penalty.ridge_in_loss() && l2 == 0.0 {
                continue;
            }
            for v in [-1.4, -0.2, 0.1, 0.9] {
                let ratio = penalty.dual_ratio(v, l1, l2).max(1.0);
                assert!(ratio.is_finite(), "{penalty}");
                let v = v / ratio;
                for x in [-0.4, 0.0, 0.3] {
                    if !feasible(&penalty, x) {
                        continue;
                    }
                    let g =
                        |t: f64| if feasible(&penalty, t) { penalty.value(t, l1, l2) } else { f64::INFINITY };
                    let expected = g(x) + conjugate(v, g, 10.0) - x * v;
                    let gap = penalty.gap(x, v, l1, l2);
                    assert!(
                        (gap - expected).abs() < 1e-4 && // the grid's spacing is 5e-5
                         gap >= -1e-15,
                        "{penalty} {x} {v}: {gap} {expected}"
                    );
                }
            }
        }
    }
}

#[test]
fn names_round_trip_and_bad_ones_are_refused() {
    for loss in losses() {
        assert_eq!(loss.to_string().parse::<Loss>().unwrap(), loss);
    }
    for penalty in penalties() {
        assert_eq!(penalty.to_string().parse::<Penalty>().unwrap(), penalty);
    }
    let message = |e: proxjet::error::Error| e.to_string();
    assert!(message("logisitc".parse::<Loss>().unwrap_err()).contains("Did you mean 'logistic'?"));
    assert!(message("huber:-1".parse::<Loss>().unwrap_err()).contains("huber:DELTA with a positive DELTA"));
    assert!(message("box:2:1".parse::<Penalty>().unwrap_err()).contains("LOWER < UPPER"));
    assert!("squared:1".parse::<Loss>().is_err() && "l1:x".parse::<Penalty>().is_err());
}
