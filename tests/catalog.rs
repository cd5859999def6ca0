//! Every entry of the catalogs, pointwise, with the parameters that it declares to be representative:
//! derivatives against central differences, proximal maps against brute force, gaps against a supremum over a
//! grid, capabilities against what they claim. A new entry is tested without a line here. Each test counts
//! the points that it compared.

use proxjet::objective::{Coupling, Curvature, Loss, Penalty, Ridge, TargetDomain, Zeros};
use rand::RngExt;

use crate::common;

/// Half the width of a difference.
const H: f64 = 1e-6;
/// What rounding and curvature leave of a difference.
const DIFFERENCE: f64 = 1e-8;

fn targets(loss: &Loss) -> Vec<f64> {
    if loss.classes() { vec![-1.0, 1.0] } else { vec![-0.8, 0.0, 1.3] }
}

const POINTS: usize = 81;

fn points() -> impl Iterator<Item = f64> + Clone {
    (0..POINTS).map(|i| 0.0503 * (i as f64 - 40.0) + 0.0021)
}

/// (l1, l2)
const STRENGTHS: [(f64, f64); 3] = [(0.4, 0.2), (0.3, 0.9), (0.7, 0.2)];

/// True if a kink lies so near that a difference would straddle it.
fn near(kinks: &[f64], at: f64) -> bool {
    kinks.iter().any(|kink| (at - kink).abs() < 5.0 * H)
}

fn difference(f: impl Fn(f64) -> f64) -> f64 {
    (f(H) - f(-H)) / (2.0 * H)
}

#[track_caller]
fn assert_near(found: f64, expected: f64, bound: f64, what: &str) {
    assert!((found - expected).abs() <= bound, "{what}: {found}, expected {expected}");
}

#[test]
fn derivatives_of_losses_match_differences() {
    for loss in Loss::examples() {
        let (mut compared, mut skipped) = (0, 0);
        for y in targets(&loss) {
            for z in points() {
                if near(&loss.kinks(y), z) {
                    skipped += 1;
                    continue;
                }
                compared += 1;
                let check = |name: &str, found: f64, of: &dyn Fn(f64) -> f64| {
                    assert_near(found, difference(of), DIFFERENCE, &format!("{name} of {loss} at {z}, {y}"));
                };
                check("d1", loss.d1(z, y), &|h| loss.value(z + h, y));
                check("d2", loss.d2(z, y), &|h| loss.d1(z + h, y));
                check("d3", loss.d3(z, y), &|h| loss.d2(z + h, y));
                if loss.capabilities().target == TargetDomain::Real {
                    check("d1_by_target", loss.d1_by_target(z, y), &|h| loss.d1(z, y + h));
                }
            }
        }
        assert_eq!(compared + skipped, POINTS * targets(&loss).len());
        assert!(skipped <= 4, "{loss}: {skipped} points lie at its kinks");
    }
}

#[test]
fn kinks_of_losses_are_kinks() {
    for loss in Loss::examples() {
        for y in targets(&loss) {
            for kink in loss.kinks(y) {
                let jump = |f: &dyn Fn(f64) -> f64| (f(kink + H) - f(kink - H)).abs() > 100.0 * H;
                let jumps = jump(&|z| loss.d1(z, y)) || jump(&|z| loss.d2(z, y)) || jump(&|z| loss.d3(z, y));
                assert!(jumps, "{loss} is smooth at {kink}");
            }
        }
    }
}

#[test]
fn bounds_on_the_curvature_hold_and_are_reached() {
    let mut checked = 0;
    for loss in Loss::examples() {
        let Curvature::Bounded(bounds) = loss.capabilities().curvature else { continue };
        checked += 1;
        let (mut least, mut most, mut change) = (f64::INFINITY, 0.0f64, 0.0f64);
        for y in targets(&loss) {
            for z in (-60_000..=60_000).map(|i| 1e-3 * f64::from(i)) {
                (least, most) = (least.min(loss.d2(z, y)), most.max(loss.d2(z, y)));
                change = change.max(loss.d3(z, y).abs());
            }
        }
        assert_near(most, bounds.d2_max, 1e-6, &format!("sup d2 of {loss}"));
        assert_near(least, bounds.d2_min, 1e-6, &format!("inf d2 of {loss}"));
        if bounds.d3_max.is_finite() {
            assert_near(change, bounds.d3_max, 1e-6, &format!("sup |d3| of {loss}"));
        } else {
            assert!(targets(&loss).iter().all(|y| !loss.kinks(*y).is_empty()), "{loss} has no kink");
        }
    }
    assert!(checked >= 4);
}

#[test]
fn losses_are_what_they_declare() {
    let mut rng = common::rng(1);
    for loss in Loss::examples() {
        let has = loss.capabilities();
        assert_eq!((has.coupling, has.columns_per_lane), (Coupling::Separable, 1), "functions of one number");
        let (mut bends_down, mut differs) = (0, 0);
        for _ in 0..10_000 {
            let y = targets(&loss)[rng.random_range(0..targets(&loss).len())];
            let (a, b) = (rng.random_range(-5.0..5.0f64), rng.random_range(-5.0..5.0f64));
            let middle = loss.value(0.5 * (a + b), y);
            bends_down += usize::from(middle > 0.5 * (loss.value(a, y) + loss.value(b, y)) + 1e-12);
            differs += usize::from((loss.value(a, y) - 0.5 * (a - y).powi(2)).abs() > 1e-12);
        }
        assert_eq!(bends_down == 0, has.convex, "{loss}: {bends_down} midpoints above the chord");
        assert_eq!(differs == 0, has.least_squares, "{loss} and least squares");
    }
}

#[test]
fn losses_do_not_overflow() {
    for loss in Loss::examples() {
        for y in targets(&loss) {
            for z in [-1e4, 1e4] {
                let all = [loss.value(z, y), loss.d1(z, y), loss.d2(z, y), loss.d3(z, y)];
                assert!(all.iter().all(|v| v.is_finite()), "{loss} at {z}: {all:?}");
                assert!(!loss.has_dual() || loss.gap(z, y, 0.5).is_finite(), "{loss} at {z}");
            }
        }
    }
    let loss = Loss::logistic();
    assert_eq!((loss.value(1e4, 1.0), loss.value(-1e4, 1.0), loss.d1(-1e4, 1.0)), (0.0, 1e4, -1.0));
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
    for loss in Loss::examples() {
        let mut compared = 0;
        for y in targets(&loss) {
            for z in [-1.7, -0.3, 0.2, 1.1] {
                if !loss.has_dual() {
                    assert!(loss.gap(z, y, 1.0).is_nan());
                    continue;
                }
                for scale in [0.3, 0.8, 1.0] {
                    let u = scale * loss.d1(z, y);
                    let expected = loss.value(z, y) + conjugate(u, |t| loss.value(t, y), 30.0) - u * z;
                    let gap = loss.gap(z, y, scale);
                    assert_near(gap, expected, 1e-6, &format!("gap of {loss} at {z}, {y}, {scale}"));
                    assert!(gap >= -1e-15, "{loss} at {z}, {y}, {scale}: {gap}");
                    compared += 1;
                }
                assert_near(loss.gap(z, y, 1.0), 0.0, 1e-15, &format!("{loss} at its optimum"));
            }
        }
        assert_eq!(compared, if loss.has_dual() { 12 * targets(&loss).len() } else { 0 });
    }
}

/// The penalty as the proximal map sees it: a ridge that belongs to the loss is no part of it, and it is
/// infinite outside its domain.
fn penalty_value(penalty: &Penalty, x: f64, l1: f64, l2: f64) -> f64 {
    let (lower, upper) = penalty.domain();
    match penalty.capabilities().ridge {
        _ if x < lower || x > upper => f64::INFINITY,
        Ridge::InLoss => 0.0,
        _ => penalty.value(x, l1, l2),
    }
}

/// The minimiser of `f` on `[lower, upper]`: the best point of a grid, then golden sections around it.
fn minimise(f: impl Fn(f64) -> f64, (lower, upper): (f64, f64)) -> f64 {
    let cells = 3000;
    let width = (upper - lower) / f64::from(cells);
    let grid = (0..=cells).map(|i| lower + width * f64::from(i));
    let best = grid.min_by(|a, b| f(*a).total_cmp(&f(*b))).unwrap();
    let (mut a, mut b) = ((best - width).max(lower), (best + width).min(upper));
    let ratio = (5f64.sqrt() - 1.0) / 2.0;
    for _ in 0..60 {
        let (c, d) = (b - ratio * (b - a), a + ratio * (b - a));
        if f(c) <= f(d) { b = d } else { a = c }
    }
    [a, best, b].into_iter().min_by(|a, b| f(*a).total_cmp(&f(*b))).unwrap()
}

/// `argmin_t step g(t) + ½ (t − w)²` by brute force.
fn brute_prox(penalty: &Penalty, w: f64, step: f64, (l1, l2): (f64, f64)) -> f64 {
    let (lower, upper) = penalty.domain();
    let cost = |t: f64| step * penalty_value(penalty, t, l1, l2) + 0.5 * (t - w).powi(2);
    minimise(cost, (lower.max(-3.0), upper.min(3.0)))
}

/// Steps below the limit of the penalty.
fn steps(penalty: &Penalty) -> [f64; 3] {
    let most = penalty.step_limit().map_or(2.0, |(_, limit)| limit);
    [0.1, 0.4, 0.95].map(|v| v * most.min(2.0))
}

#[test]
fn proximal_maps_minimise() {
    for penalty in Penalty::examples() {
        let mut compared = 0;
        for (l1, l2) in STRENGTHS {
            for (w, step) in points().flat_map(|w| steps(&penalty).map(|step| (w, step))) {
                let x = penalty.prox(w, step, l1, l2).value;
                let (lower, upper) = penalty.domain();
                assert!((lower..=upper).contains(&x), "{penalty} at {w}: {x}");
                let expected = brute_prox(&penalty, w, step, (l1, l2));
                assert_near(x, expected, 1e-6, &format!("{penalty} of step {step} at {w}, {l1}, {l2}"));
                compared += 1;
            }
        }
        assert_eq!(compared, 3 * 3 * POINTS);
    }
}

#[test]
fn partials_of_proximal_maps_are_derivatives() {
    for penalty in Penalty::examples() {
        let (mut compared, mut skipped) = (0, 0);
        for (l1, l2) in STRENGTHS {
            for (w, step) in points().flat_map(|w| steps(&penalty).map(|step| (w, step))) {
                let at = |w: f64, s: f64, a: f64, b: f64| penalty.prox(w, s, a, b).value;
                let sides = |w: f64, s: f64, a: f64, b: f64| -> Vec<_> {
                    let x = at(w, s, a, b);
                    penalty.kinks(a).iter().map(|kink| x.partial_cmp(kink)).collect()
                };
                // On one side of every kink, or at it, whatever is moved: nothing is straddled.
                let here = sides(w, step, l1, l2);
                let h = 3.0 * H;
                let still = [h, -h].iter().all(|h| {
                    sides(w + h, step, l1, l2) == here
                        && sides(w, step + h, l1, l2) == here
                        && sides(w, step, l1 + h, l2) == here
                });
                if !still {
                    skipped += 1;
                    continue;
                }
                let p = penalty.prox(w, step, l1, l2);
                let check = |name: &str, found: f64, of: &dyn Fn(f64) -> f64| {
                    let what = format!("{name} of {penalty} at {w}, {step}, {l1}, {l2}");
                    assert_near(found, difference(of), DIFFERENCE, &what);
                };
                check("by_input", p.by_input, &|h| at(w + h, step, l1, l2));
                check("by_l1", p.by_l1, &|h| at(w, step, l1 + h, l2));
                check("by_l2", p.by_l2, &|h| at(w, step, l1, l2 + h));
                // The identity that lets the kernels do without a partial by the step.
                check("by_step", -p.by_input * (w - p.value) / step, &|h| at(w, step + h, l1, l2));
                assert_eq!(penalty.is_active(p.value), p.by_input != 0.0, "{penalty} at {w}");
                if penalty.is_active(p.value) && !penalty.ridge_in_loss() {
                    let g = penalty.derivatives(p.value, l1, l2);
                    let what = format!("{penalty} at {w}, {step}: the map and the derivatives of g");
                    assert_near(p.by_input, 1.0 / (1.0 + step * g.d2), 1e-12, &what);
                    assert_near(w - p.value, step * g.d1, 1e-12, &what);
                    assert_near(p.by_l1, -step * p.by_input * g.d1_by_l1, 1e-12, &what);
                    assert_near(p.by_l2, -step * p.by_input * g.d1_by_l2, 1e-12, &what);
                }
                compared += 1;
            }
        }
        assert_eq!(compared + skipped, 3 * 3 * POINTS);
        assert!(skipped <= 9, "{penalty}: {skipped} points lie at its kinks");
    }
}

#[test]
fn derivatives_of_penalties_match_differences() {
    for penalty in Penalty::examples() {
        let (lower, upper) = penalty.domain();
        let (mut compared, mut skipped) = (0, 0);
        for (l1, l2) in STRENGTHS {
            for x in points().filter(|x| (lower..=upper).contains(x)) {
                if near(&penalty.kinks(l1), x) {
                    skipped += 1;
                    continue;
                }
                compared += 1;
                let g = penalty.derivatives(x, l1, l2);
                let d1 = |x: f64, l1: f64, l2: f64| penalty.derivatives(x, l1, l2).d1;
                let check = |name: &str, found: f64, of: &dyn Fn(f64) -> f64| {
                    let what = format!("{name} of {penalty} at {x}, {l1}, {l2}");
                    assert_near(found, difference(of), DIFFERENCE, &what);
                };
                check("d1", g.d1, &|h| penalty.value(x + h, l1, l2));
                check("d2", g.d2, &|h| d1(x + h, l1, l2));
                check("d1_by_l1", g.d1_by_l1, &|h| d1(x, l1 + h, l2));
                check("d1_by_l2", g.d1_by_l2, &|h| d1(x, l1, l2 + h));
                check("by_l1", g.by_l1, &|h| penalty.value(x, l1 + h, l2));
                check("by_l2", g.by_l2, &|h| penalty.value(x, l1, l2 + h));
            }
        }
        let inside = points().filter(|x| (lower..=upper).contains(x)).count();
        assert_eq!(compared + skipped, 3 * inside);
        assert!(inside >= POINTS / 4 && skipped <= 3, "{penalty}: {inside} points, {skipped} at its kinks");
    }
}

#[test]
fn kinks_of_penalties_are_kinks() {
    for penalty in Penalty::examples() {
        let (lower, upper) = penalty.domain();
        for (l1, l2) in STRENGTHS {
            let kinks = penalty.kinks(l1);
            assert!(kinks.is_sorted(), "{penalty}: {kinks:?}");
            for kink in kinks {
                let jump = |f: &dyn Fn(f64) -> f64| (f(kink + H) - f(kink - H)).abs() > 100.0 * H;
                let jumps = jump(&|x| penalty.derivatives(x, l1, l2).d1) // at a kink of g
                    || jump(&|x| penalty.derivatives(x, l1, l2).d2);
                assert!(jumps || kink == lower || kink == upper, "{penalty} is smooth at {kink}");
            }
        }
    }
}

#[test]
fn gaps_of_penalties_are_fenchel_young_terms() {
    for penalty in Penalty::examples() {
        let (lower, upper) = penalty.domain();
        let mut compared = 0;
        for (l1, l2) in STRENGTHS {
            let g = |t: f64| {
                if (lower..=upper).contains(&t) { penalty.value(t, l1, l2) } else { f64::INFINITY }
            };
            for (v, x) in [-1.4, -0.2, 0.1, 0.9].into_iter().flat_map(|v| [-0.4, 0.0, 0.3].map(|x| (v, x))) {
                if !penalty.has_dual() {
                    assert!(
                        penalty.gap(x, v, l1, l2).is_nan() && penalty.dual_ratio(v, l1, l2).is_infinite()
                    );
                    continue;
                }
                if g(x).is_infinite() {
                    continue;
                }
                let ratio = penalty.dual_ratio(v, l1, l2).max(1.0);
                assert!(ratio.is_finite(), "{penalty}");
                let v = v / ratio;
                let expected = g(x) + conjugate(v, g, 10.0) - x * v;
                let gap = penalty.gap(x, v, l1, l2);
                // The spacing of the grid is 5e-5.
                assert_near(gap, expected, 1e-4, &format!("gap of {penalty} at {x}, {v}, {l1}, {l2}"));
                assert!(gap >= -1e-15, "{penalty} at {x}, {v}: {gap}");
                if !near(&penalty.kinks(l1), x) {
                    let optimal = penalty.derivatives(x, l1, l2).d1;
                    assert_near(penalty.gap(x, optimal, l1, l2), 0.0, 1e-15, &format!("{penalty} at {x}"));
                }
                compared += 1;
            }
        }
        assert_eq!(compared >= 24, penalty.has_dual(), "{penalty}: {compared} points");
    }
}

#[test]
fn penalties_are_convex_where_they_say_so() {
    let mut rng = common::rng(2);
    for penalty in Penalty::examples() {
        let has = penalty.capabilities();
        assert_eq!((has.coupling, has.columns_per_lane), (Coupling::Separable, 1), "functions of one number");
        let (lower, upper) = penalty.domain();
        let mut bends_down = 0;
        for i in 0..10_000 {
            let (l1, l2) = STRENGTHS[i % 3];
            let mut draw = || rng.random_range(lower.max(-4.0)..upper.min(4.0));
            let (a, b) = (draw(), draw());
            let g = |x: f64| penalty.value(x, l1, l2);
            bends_down += usize::from(g(0.5 * (a + b)) > 0.5 * (g(a) + g(b)) + 1e-12);
        }
        assert_eq!(bends_down == 0, has.convex, "{penalty}: {bends_down} midpoints above the chord");
        assert!(has.convex || !penalty.has_dual(), "{penalty}: a dual proves nothing without convexity");
    }
}

#[test]
fn penalties_send_to_zero_what_they_declare() {
    for penalty in Penalty::examples() {
        let zeros = penalty.capabilities().zeros;
        let mut at_zero = 0;
        for (l1, l2) in STRENGTHS {
            for (w, step) in points().flat_map(|w| steps(&penalty).map(|step| (w, step))) {
                let expected = match zeros {
                    Zeros::Absent => false,
                    Zeros::BothSides => w.abs() <= step * l1,
                    Zeros::Below => w <= step * l1,
                };
                assert_eq!(penalty.prox(w, step, l1, l2).value == 0.0, expected, "{penalty} at {w}, {step}");
                at_zero += usize::from(expected);
            }
        }
        assert_eq!(at_zero > 50, zeros != Zeros::Absent, "{penalty}: {at_zero} points at zero");
    }
}

#[test]
fn strengths_enter_where_penalties_say_so() {
    for penalty in Penalty::examples() {
        let has = penalty.capabilities();
        let (lower, upper) = penalty.domain();
        let inside = || points().filter(|x| *x > lower && *x < upper);
        let at = |x: f64, l1: f64, l2: f64| (penalty.value(x, l1, l2), penalty.prox(x, 0.5, l1, l2).value);
        let by_l1 = inside().any(|x| at(x, 0.4, 0.3) != at(x, 0.5, 0.3));
        let by_l2 = inside().any(|x| at(x, 0.4, 0.3) != at(x, 0.4, 0.5));
        assert_eq!(by_l1 || by_l2, has.alpha, "{penalty} and alpha");
        let ratio = match (by_l1, by_l2) {
            (true, false) => Some(1.0),
            (false, true) => Some(0.0),
            _ => None,
        };
        assert_eq!(ratio, has.l1_ratio, "{penalty} and l1_ratio");
        let in_prox = inside().any(|x| penalty.prox(x, 0.5, 0.4, 0.3).by_l2 != 0.0);
        let ridge = match (by_l2, in_prox) {
            (false, _) => Ridge::Absent,
            (true, false) => Ridge::InLoss,
            (true, true) => Ridge::InProx,
        };
        assert_eq!(ridge, has.ridge, "{penalty} and its ridge");
    }
}

/// The largest jump of the minimiser as `w` moves by 0.01.
fn largest_jump(penalty: &Penalty, step: f64, l1: f64) -> f64 {
    let images: Vec<f64> =
        (0..=300).map(|i| brute_prox(penalty, 0.0005 + 0.01 * f64::from(i), step, (l1, 0.2))).collect();
    images.windows(2).fold(0.0, |most, pair| f64::max(most, (pair[1] - pair[0]).abs()))
}

#[test]
fn the_limit_of_the_step_is_where_the_proximal_map_breaks() {
    for penalty in Penalty::examples() {
        let jump = |step: f64, l1: f64| largest_jump(&penalty, step, l1);
        match penalty.step_limit() {
            // The minimiser moves no further than w does, whatever the step.
            None => assert!(penalty.capabilities().convex && jump(20.0, 0.1) < 0.011, "{penalty}"),
            Some((limit, most)) => {
                assert!(!penalty.capabilities().convex && most > 0.0, "{penalty}: {limit} = {most}");
                // At the limit the threshold is 1. Below it, x moves by at most 1 / (1 - step / limit) times
                // as much as w.
                assert!(jump(0.8 * most, 1.0 / most) < 0.051, "{penalty} below {limit}");
                assert!(jump(1.2 * most, 1.0 / most) > 0.2, "{penalty} beyond {limit}");
            }
        }
    }
}

#[test]
fn names_round_trip_and_bad_ones_are_refused() {
    for loss in Loss::all() {
        assert!(Loss::examples().contains(&loss), "{loss} is no example of itself");
    }
    for penalty in Penalty::all() {
        assert!(Penalty::examples().contains(&penalty), "{penalty} is no example of itself");
    }
    for loss in Loss::examples() {
        assert_eq!(loss.to_string().parse::<Loss>().unwrap(), loss);
    }
    for penalty in Penalty::examples() {
        assert_eq!(penalty.to_string().parse::<Penalty>().unwrap(), penalty);
    }
    let message = |e: proxjet::error::Error| e.to_string();
    assert!(message("logisitc".parse::<Loss>().unwrap_err()).contains("Did you mean 'logistic'?"));
    assert!(message("huber:-1".parse::<Loss>().unwrap_err()).contains("huber:DELTA with a positive DELTA"));
    assert!(message("box:2:1".parse::<Penalty>().unwrap_err()).contains("LOWER < UPPER"));
    assert!("squared:1".parse::<Loss>().is_err() && "l1:x".parse::<Penalty>().is_err());
}
