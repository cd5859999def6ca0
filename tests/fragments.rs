//! The WGSL fragments of losses and penalties themselves: a small kernel around each evaluates its functions
//! at some thousand points, in both precisions. They are compared with the Rust functions in f64, and with
//! central differences of the fragment's own values.

use proxjet::program::Precision;

mod kernel;
mod losses;
mod penalties;

use crate::common::compare::Report;
use crate::common::host::Host;
use kernel::{F32, F64, Kernel, Lanes};

/// `exp` and `log(1 + x)`, which WGSL has not in f64, over all that fragments may ask of them.
#[test]
fn transcendental_functions() {
    let Some(host) = Host::new() else { return };
    for arithmetic in [F32, F64] {
        if arithmetic.precision == Precision::F64 && !host.has_f64() {
            eprintln!("SKIPPED, no 64-bit floats");
            continue;
        }
        let files = [
            arithmetic.prelude("LOSS", &[]),
            arithmetic.transcendental().to_string(),
            include_str!("../shaders/shared/log1p_series.wgsl").to_string(),
        ];
        let kernel = Kernel::new(
            &host,
            arithmetic,
            &files,
            "let r0 = real_exp(p0);\nlet r1 = real_log1p(p1);",
            (2, 2),
        );
        let reach = if arithmetic.precision == Precision::F32 { 80.0 } else { 700.0 };
        let points: Vec<Vec<Lanes>> = (0..2000)
            .map(|i| {
                let u = f64::from(i) / 2000.0;
                let exponent = |v: f64| arithmetic.rounded(reach * v);
                // From just above -1 over the smallest numbers to large ones.
                let plus =
                    [-1.0 + 1.0 / 64.0 + u, (-40.0 * u).exp(), -(-40.0 * u - 0.02).exp(), (40.0 * u).exp()];
                vec![
                    [2.0 * u - 1.0, 1.0 - u, -u, 0.01 * u].map(exponent),
                    plus.map(|v| arithmetic.rounded(v)),
                ]
            })
            .collect();
        let mut report = Report::default();
        for (point, result) in points.iter().zip(kernel.run(&points)) {
            for lane in 0..4 {
                let (x, y) = (point[0][lane], point[1][lane]);
                let name = arithmetic.precision.name();
                report.check(name, arithmetic.accepts(result[0][lane], &|at| at[0].exp(), &[x], 0.0), || {
                    format!("exp({x}) = {}, {}", x.exp(), result[0][lane])
                });
                // Vulkan allows 2^-21 to the logarithm of f32 near 1, of which the series takes the smaller
                // part.
                let size = if arithmetic.precision == Precision::F32 && y.abs() >= 0.25 { 1.0 } else { 0.0 };
                report.check(
                    name,
                    arithmetic.accepts(result[1][lane], &|at| at[0].ln_1p(), &[y], size),
                    || format!("log1p({y}) = {}, {}", y.ln_1p(), result[1][lane]),
                );
            }
        }
        report.finish(2 * 4 * 2000);
    }
}
