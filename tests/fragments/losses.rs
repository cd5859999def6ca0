//! Losses.

use proxjet::objective::Loss;
use proxjet::program::Precision;

use super::kernel::{Arithmetic, F32, F64, Kernel, Lanes, Smooth, around, grid};
use crate::common::compare::Report;
use crate::common::host::Host;

const LOSS_FIELDS: [&str; 6] = ["value", "d1", "d2", "d3", "d1_by_target", "gap"];

/// What a kernel computes, in the order of the fields.
const BODY: &str = "let r0 = loss_value(p0, p1.x);
    let r1 = loss_d1(p0, p1.x);
    let r2 = loss_d2(p0, p1.x);
    let r3 = loss_d3(p0, p1.x);
    let r4 = loss_d1_by_target(p0, p1.x);
";

/// The same with the gap, where there is a dual.
fn body(loss: Loss) -> String {
    let gap = if loss.has_dual() { "loss_gap(p0, p1.x, p2)" } else { "real4()" };
    format!("{BODY}    let r5 = {gap};")
}

fn check_all(arithmetic: Arithmetic) {
    let Some(host) = Host::new() else { return };
    if arithmetic.precision == Precision::F64 && !host.has_f64() {
        return eprintln!("SKIPPED, no 64-bit floats");
    }
    for loss in Loss::examples() {
        check_loss(&host, arithmetic, loss);
    }
}

/// The texts of a kernel around a loss.
fn files(arithmetic: Arithmetic, loss: Loss) -> Vec<String> {
    let mut list = vec![
        arithmetic.prelude("LOSS", &loss.parameters()),
        include_str!("../../shaders/shared/index.wgsl").into(),
        arithmetic.transcendental().into(),
        include_str!("../../shaders/shared/log1p_series.wgsl").into(),
    ];
    list.push(loss.shader().1.into());
    list
}

fn check_loss(host: &Host, arithmetic: Arithmetic, loss: Loss) {
    let name = format!("{loss} in {}", arithmetic.precision.name());
    let loss: Loss = arithmetic.entry(loss.name(), &loss.parameters()).parse().unwrap();
    let files = files(arithmetic, loss);
    let kernel = Kernel::new(host, arithmetic, &files, &body(loss), (3, LOSS_FIELDS.len()));
    let h = arithmetic.h;
    let targets = if loss.classes() { vec![-1.0, 1.0] } else { vec![-0.75, 0.0, 1.25] };
    // At each point the target is moved as well, below, not at all, above; labels stay what they are.
    let by = if loss.classes() { 0.0 } else { h };
    let points: Vec<Vec<Lanes>> = targets
        .iter()
        .flat_map(|y| grid(8.0, 300).map(move |z| (*y, z)))
        .flat_map(|(y, z)| [y - by, y, y + by].map(|y| (y, z)))
        .map(|(y, z)| vec![around(z, h, 0.5 - 0.75 * z), [y; 4], [0.25, 0.75, 1.0, 0.5]])
        .collect();
    let results = kernel.run(&points);
    let mut report = Report::default();
    for (point, result) in points.iter().zip(&results) {
        for lane in 0..4 {
            check_loss_point(&mut report, (&name, arithmetic, loss), point, result, lane);
        }
    }
    let mut smooth = [Smooth::default(), Smooth::default()];
    for (point, result) in points.chunks_exact(3).zip(results.chunks_exact(3)) {
        let [below, at, above] = result else { unreachable!() };
        let mut same = |what: &str, derivative: f64, above: f64, below: f64| {
            report.check(&name, arithmetic.near(derivative, above, below), || {
                let difference = (above - below) / (2.0 * h);
                format!("{what} at {point:?}: {derivative} is not the difference {difference}")
            });
        };
        if smooth[0].is(at[2][2], at[2][0]) {
            same("d1", at[1][1], at[0][2], at[0][0]);
            same("d2", at[2][1], at[1][2], at[1][0]);
            same("d3", at[3][1], at[2][2], at[2][0]);
        }
        if !loss.classes() && smooth[1].is(above[2][1], below[2][1]) {
            same("d1_by_target", at[4][1], above[1][1], below[1][1]);
        }
    }
    smooth[0].finish(&name, points.len() / 3);
    smooth[1].finish(&name, if loss.classes() { 0 } else { points.len() / 3 });
    // All fields at every point, but the derivative by a class label and a gap without a dual; then three or
    // four differences.
    let fields = 6 - usize::from(loss.classes()) - usize::from(!loss.has_dual());
    report.finish(4 * fields * points.len() + 3 * smooth[0].compared + smooth[1].compared);
}

/// Compares a lane of a point with the Rust functions.
fn check_loss_point(
    report: &mut Report,
    (name, arithmetic, loss): (&str, Arithmetic, Loss),
    point: &[Lanes],
    result: &[Lanes],
    lane: usize,
) {
    let [z, y, scale] = [point[0][lane], point[1][lane], point[2][lane]];
    type Of<'a> = &'a dyn Fn(&[f64]) -> f64;
    let fields: [Of<'_>; 6] = [
        &|at| loss.value(at[0], at[1]),
        &|at| loss.d1(at[0], at[1]),
        &|at| loss.d2(at[0], at[1]),
        &|at| loss.d3(at[0], at[1]),
        &|at| loss.d1_by_target(at[0], at[1]),
        &|at| loss.gap(at[0], at[1], at[2]),
    ];
    for (field, of) in fields.into_iter().enumerate() {
        let absent = field == 4 && loss.classes() || field == 5 && !loss.has_dual();
        if absent {
            continue;
        }
        // The terms of a gap are as large as the value and the slope times the prediction.
        let size = 1.0 + if field == 5 { loss.value(z, y).abs() + (loss.d1(z, y) * z).abs() } else { 0.0 };
        let at = if field == 5 { vec![z, y, scale.min(1.0)] } else { vec![z, y] };
        let got = result[field][lane];
        // A scale above 1 is none.
        let of = |at: &[f64]| if field == 5 { of(&[at[0], at[1], at[2].min(1.0)]) } else { of(at) };
        report.check(name, arithmetic.accepts(got, &of, &at, size), || {
            format!("{} at z = {z}, y = {y}, scale {scale}: {got}, in Rust {}", LOSS_FIELDS[field], of(&at))
        });
    }
}

#[test]
fn in_f32() {
    check_all(F32);
}

#[test]
fn in_f64() {
    check_all(F64);
}

/// Far from the origin nothing overflows.
#[test]
fn are_finite_far_away() {
    let Some(host) = Host::new() else { return };
    for loss in Loss::examples() {
        let files = files(F32, loss);
        let far = [-1e4, -200.0, 200.0, 1e4];
        let points: Vec<Vec<Lanes>> = [-1.0, 1.0].map(|y| vec![far, [y; 4], [0.5; 4]]).to_vec();
        let kernel = Kernel::new(&host, F32, &files, &body(loss), (3, LOSS_FIELDS.len()));
        for (point, result) in points.iter().zip(kernel.run(&points)) {
            for lane in 0..4 {
                let (z, y) = (point[0][lane], point[1][0]);
                assert!(result.iter().all(|field| field[lane].is_finite()), "{loss} at {z}: {result:?}");
                let near = |got: f64, expected: f64| (got - expected).abs() <= 1e-6 * expected.abs().max(1.0);
                assert!(near(result[0][lane], loss.value(z, y)), "{loss} at {z}: {result:?}");
                assert!(near(result[1][lane], loss.d1(z, y)), "{loss} at {z}: {result:?}");
            }
        }
    }
}
