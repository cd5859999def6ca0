//! Penalties.

use proxjet::objective::Penalty;
use proxjet::program::Precision;

use super::kernel::{Arithmetic, F32, F64, Kernel, Lanes, Smooth, around, grid};
use crate::common::compare::Report;
use crate::common::host::Host;

const PENALTY_FIELDS: [&str; 8] =
    ["value", "prox", "prox by input", "prox by l1", "prox by l2", "is_active", "dual_ratio", "gap"];

/// Strengths l1 and l2, exact in f32.
const STRENGTHS: [(f64, f64); 5] = [(0.375, 0.0), (0.25, 0.875), (0.75, 0.1875), (0.0, 0.5), (0.0, 0.0)];
const STEP: f64 = 0.5;

fn all() -> Vec<Penalty> {
    let further = ["box:0:inf", "box:-inf:0.3"].map(|text| text.parse().unwrap());
    Penalty::examples().into_iter().chain(further).collect()
}

fn check_all(arithmetic: Arithmetic) {
    let Some(host) = Host::new() else { return };
    if arithmetic.precision == Precision::F64 && !host.has_f64() {
        return eprintln!("SKIPPED, no 64-bit floats");
    }
    for penalty in all() {
        check_penalty(&host, arithmetic, penalty);
    }
}

/// What is moved besides the input, by multiples of the width: the step, l1, l2.
const MOVES: [(f64, f64, f64); 7] = [
    (0.0, 0.0, 0.0),
    (-1.0, 0.0, 0.0),
    (1.0, 0.0, 0.0),
    (0.0, -1.0, 0.0),
    (0.0, 1.0, 0.0),
    (0.0, 0.0, -1.0),
    (0.0, 0.0, 1.0),
];

/// Inputs of an invocation: input, step, l1 and l2 of the proximal map, an iterate and a dual point.
fn penalty_point(arithmetic: Arithmetic, penalty: Penalty, w: f64, at: (f64, f64, f64)) -> Vec<Lanes> {
    let (step, l1, l2) = at;
    let inputs = around(w, arithmetic.h, 0.5 - 0.75 * w);
    // What a proximal map gives is where the penalty is finite; its neighbours are where they are active.
    let x = arithmetic.rounded(penalty.prox(w, STEP, l1, l2).value);
    let x = around(x, arithmetic.h, arithmetic.rounded(penalty.prox(inputs[3], STEP, l1, l2).value));
    let dual = |v: f64| {
        let ratio = penalty.dual_ratio(v, l1, l2);
        arithmetic.rounded(if ratio > 1.0 && ratio.is_finite() { v / ratio } else { v })
    };
    vec![inputs, [step; 4], [l1; 4], [l2; 4], x, inputs.map(|v| dual(-0.75 * v))]
}

fn check_penalty(host: &Host, arithmetic: Arithmetic, penalty: Penalty) {
    let name = format!("{penalty} in {}", arithmetic.precision.name());
    let penalty: Penalty = arithmetic.entry(penalty.name(), &penalty.parameters()).parse().unwrap();
    let mut files = vec![
        arithmetic.prelude("PENALTY", &penalty.parameters()),
        include_str!("../../shaders/shared/index.wgsl").into(),
        include_str!("../../shaders/shared/prox.wgsl").into(),
    ];
    files.push(penalty.shader().1.into());
    let has_dual = penalty.has_dual();
    let dual = if has_dual {
        "let r6 = penalty_dual_ratio(p5, p2, p3);
        let r7 = penalty_gap(p4, p5, p2, p3);"
    } else {
        "let r6 = real4();
        let r7 = real4();"
    };
    let body = "let r0 = penalty_value(p4, p2, p3);
        let prox = penalty_prox(p0, p1, p2, p3);
        let r1 = prox.value;
        let r2 = prox.by_input;
        let r3 = prox.by_l1;
        let r4 = prox.by_l2;
        let r5 = ones_where(penalty_is_active(p4));
";
    let kernel = Kernel::new(host, arithmetic, &files, &[body, dual].concat(), (6, PENALTY_FIELDS.len()));
    let h = arithmetic.h;
    let points: Vec<Vec<Lanes>> = STRENGTHS
        .iter()
        .flat_map(|strength| grid(3.0, 60).map(move |w| (strength, w)))
        .flat_map(|((l1, l2), w)| MOVES.map(|(s, a, b)| (w, (STEP + s * h, l1 + a * h, l2 + b * h))))
        .map(|(w, at)| penalty_point(arithmetic, penalty, w, at))
        .collect();
    let results = kernel.run(&points);
    let mut report = Report::default();
    let mut counts = [0; PENALTY_FIELDS.len()];
    for (point, result) in points.iter().zip(&results) {
        for lane in 0..4 {
            check_penalty_point(
                &mut report,
                (&name, arithmetic, penalty),
                (point, result, lane),
                has_dual,
                &mut counts,
            );
        }
    }
    // The proximal map at every point; the others where they are defined, which is not everywhere.
    assert!(counts[1..5].iter().all(|c| *c == 4 * points.len()), "{name}: {counts:?}");
    assert!(counts[0] >= points.len() && counts[5] >= points.len(), "{name}: {counts:?}");
    assert!(!has_dual || counts[6] >= points.len(), "{name}: {counts:?}");
    assert!(!has_dual || counts[7] >= points.len() / 8, "{name}: {counts:?}");
    let differences = check_penalty_differences(&mut report, (&name, arithmetic, penalty), &points, &results);
    report.finish(counts.iter().sum::<usize>() + differences);
}

/// Compares a lane of a point with the Rust functions.
fn check_penalty_point(
    report: &mut Report,
    (name, arithmetic, penalty): (&str, Arithmetic, Penalty),
    (point, result, lane): (&[Lanes], &[Lanes], usize),
    has_dual: bool,
    counts: &mut [usize; 8],
) {
    let [w, step, l1, l2, x, v] = std::array::from_fn(|i| point[i][lane]);
    // A strength is not negative; moved from 0 it is, and only the proximal map goes on.
    let strengths = l1 >= 0.0 && l2 >= 0.0;
    let (lower, upper) = penalty.domain();
    let inside = (lower..=upper).contains(&x);
    let ratio = if has_dual { penalty.dual_ratio(v, l1, l2) } else { f64::NAN };
    // Where l1 alone holds a coefficient, there must be some of it.
    let held = l1 > 0.0 || penalty.l1_ratio().is_none_or(|ratio| ratio == 0.0);
    let dual = has_dual && strengths && held && (ratio.is_finite() || l1 > 0.0);
    let feasible = dual && ratio <= 1.0 + 8.0 * arithmetic.epsilon && inside;
    type Of<'a> = &'a dyn Fn(&[f64]) -> f64;
    let prox = |at: &[f64]| penalty.prox(at[0], at[1], at[2], at[3]);
    let fields: [(bool, Vec<f64>, f64, Of<'_>); 8] = [
        (strengths && inside, vec![x, l1, l2], 1.0, &|at| penalty.value(at[0], at[1], at[2])),
        (true, vec![w, step, l1, l2], 1.0, &|at| prox(at).value),
        (true, vec![w, step, l1, l2], 1.0, &|at| prox(at).by_input),
        (true, vec![w, step, l1, l2], 1.0, &|at| prox(at).by_l1),
        (true, vec![w, step, l1, l2], 1.0, &|at| prox(at).by_l2),
        (inside, vec![], 0.0, &|_| f64::from(u8::from(penalty.is_active(x)))),
        (dual, vec![v, l1, l2], 1.0, &|at| penalty.dual_ratio(at[0], at[1], at[2]).min(arithmetic.max)),
        (feasible, vec![x, v, l1, l2], 1.0 + (x * v).abs(), &|at| penalty.gap(at[0], at[1], at[2], at[3])),
    ];
    for (field, (defined, at, size, of)) in fields.into_iter().enumerate() {
        if defined {
            let got = result[field][lane];
            counts[field] += 1;
            report.check(name, arithmetic.accepts(got, of, &at, size), || {
                format!(
                    "{} at {:?}: {got}, in Rust {}",
                    PENALTY_FIELDS[field],
                    point.iter().map(|p| p[lane]).collect::<Vec<_>>(),
                    of(&at)
                )
            });
        }
    }
}

/// Compares partial derivatives of the proximal map with differences of it, and the map with the slope of the
/// penalty:
/// `(w − x) / step = g'(x)`. Returns how many were compared.
fn check_penalty_differences(
    report: &mut Report,
    (name, arithmetic, penalty): (&str, Arithmetic, Penalty),
    points: &[Vec<Lanes>],
    results: &[Vec<Lanes>],
) -> usize {
    let mut smooth = Smooth::default();
    let (mut total, mut slopes) = (0, 0);
    for (point, result) in points.chunks_exact(MOVES.len()).zip(results.chunks_exact(MOVES.len())) {
        let (point, at) = (&point[0], &result[0]);
        let [w, step, l1, l2, x, _] = std::array::from_fn(|i| point[i][1]);
        let (prox, by_input) = (at[1][1], at[2][1]);
        let by_step = -by_input * (w - prox) / step;
        let of = |i: usize, field: usize| result[i][field][1];
        // What is differentiated by, whether a difference exists, the partial, and the values and slopes on
        // both sides.
        let all = [
            ("input", true, by_input, (at[1][2], at[1][0]), (at[2][2], at[2][0])),
            ("step", true, by_step, (of(2, 1), of(1, 1)), (of(2, 2), of(1, 2))),
            ("l1", l1 > 0.0, at[3][1], (of(4, 1), of(3, 1)), (of(4, 2), of(3, 2))),
            ("l2", l2 > 0.0, at[4][1], (of(6, 1), of(5, 1)), (of(6, 2), of(5, 2))),
        ];
        for (what, exists, partial, values, sides) in all {
            total += usize::from(exists);
            if exists && smooth.is(sides.0, sides.1) {
                report.check(name, arithmetic.near(partial, values.0, values.1), || {
                    format!("prox by {what} at {point:?}: {partial}, values {values:?}")
                });
            }
        }
        // Where the iterate and both its neighbours are active, and on the same side of zero.
        let active = at[5][0] == 1.0 && at[5][1] == 1.0 && at[5][2] == 1.0 && x.abs() > arithmetic.h;
        if active && !penalty.ridge_in_loss() {
            slopes += 1;
            report.check(name, arithmetic.near((w - prox) / step, at[0][2], at[0][0]), || {
                format!("the proximal map at {point:?} gives {prox}, which is not stationary: {at:?}")
            });
        }
    }
    smooth.finish(name, total);
    assert!(penalty.ridge_in_loss() || slopes > STRENGTHS.len() * 8, "{name}: {slopes} slopes");
    smooth.compared + slopes
}

#[test]
fn in_f32() {
    check_all(F32);
}

#[test]
fn in_f64() {
    check_all(F64);
}
