//! `proxjet bench`: speed as ratios within one run, and accuracy against independent computations.

use std::time::Instant;

use ndarray::{Array1, Array2};
use rand::{RngExt, SeedableRng};
use serde::Serialize;

use super::engine::{self, Choice};
use super::{print, print_json};
use crate::data::{Dataset, bundled};
use crate::derivative::check;
use crate::driver::{Alphas, Sweep, SweepResult};
use crate::engine::cpu::{CpuEngine, products_alone};
use crate::engine::{Engine, EngineInfo};
use crate::error::{Error, Result};
use crate::plan::Precision;
use crate::problem::{Derivative, Loss, Penalty, Problem};

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Which engine runs
    #[arg(long, value_enum, default_value_t = Choice::Auto)]
    engine: Choice,
    /// Rows, features and lanes of the timed problem
    #[arg(long, value_name = "N,P,B", value_delimiter = ',', default_values_t = [1000usize, 2000, 256])]
    shape: Vec<usize>,
    /// Repetitions; the median counts
    #[arg(long, default_value_t = 7)]
    repeat: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    proxjet: &'static str,
    engine: EngineInfo,
    host: String,
    /// `[n, p, b]`.
    shape: Vec<usize>,
    timings: Vec<Timing>,
    accuracy: Vec<Accuracy>,
}

/// Medians over the repetitions, in seconds per iteration.
#[derive(Debug, Serialize)]
struct Timing {
    precision: Precision,
    seconds_without_tangent: f64,
    seconds_with_tangent: f64,
    tangent_ratio: f64,
    /// The product library alone, for the same two products with the tangent (CPU engine).
    seconds_of_products: Option<f64>,
    product_ratio: Option<f64>,
    gflops: f64,
}

#[derive(Debug, Serialize)]
struct Accuracy {
    what: String,
    error: f64,
    bound: f64,
    note: String,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let (mut engine, _) = engine::open(args.engine, None)?;
    let [n, p, b] = args.shape[..] else {
        return Err(Error::usage("--shape", format!("{} numbers", args.shape.len()), "three: N,P,B", ""));
    };
    if n.min(p).min(b) == 0 {
        return Err(Error::usage("--shape", "a zero", "positive numbers", ""));
    }
    let problem = random_problem(n, p)?;
    let mut timings = Vec::new();
    for precision in [Precision::F32, Precision::F64] {
        if engine.limits(precision).is_err() {
            log::warn!("this adapter has no {}", precision.name());
            continue;
        }
        timings.push(time(&problem, b, precision, args.repeat.max(1), engine.as_mut())?);
    }
    let report = Report {
        proxjet: env!("CARGO_PKG_VERSION"),
        engine: engine.info(),
        host: format!("{} {}", std::env::consts::OS, CpuEngine::new().info().adapter),
        shape: vec![n, p, b],
        timings,
        accuracy: accuracy(engine.as_mut())?,
    };
    if args.json {
        print_json(&report)
    } else {
        print(&text(&report))
    }
    Ok(0)
}

/// A design of independent normal-like entries: the speed does not depend on the values.
fn random_problem(n: usize, p: usize) -> Result<Problem> {
    let mut rng = rand_pcg::Pcg64::seed_from_u64(3);
    let mut draw = || rng.random_range(-1.0..1.0f64);
    let x = Array2::from_shape_simple_fn((n, p), &mut draw);
    let y = Array1::from_shape_simple_fn(n, &mut draw);
    Problem::builder(Dataset::new(x, y)?).build()
}

fn time(problem: &Problem, b: usize, precision: Precision, repeat: usize, engine: &mut dyn Engine) -> Result<Timing> {
    let sweep = |tangents: usize| {
        Sweep::new(problem.clone())
            .alphas(Alphas::Path { epsilon: 0.1, count: b })
            .derivatives(std::iter::repeat_n(Derivative::LogAlpha, tangents))
            .every(1000)
            .tol(0.0)
            .precision(precision)
    };
    // Two lengths: their difference holds no preparation, no upload and no trace.
    let (short, long) = (5, 25);
    let mut seconds = |tangents: usize, iterations: usize| -> Result<f64> {
        let sweep = sweep(tangents).iterations(iterations);
        let clock = Instant::now();
        sweep.run(engine)?;
        Ok(clock.elapsed().as_secs_f64())
    };
    seconds(1, short)?; // warm up
    let (mut without, mut with, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    // Interleaved, so that a busy moment of the machine hits all three.
    for _ in 0..repeat {
        let mut per_iteration = |tangents: usize| -> Result<f64> {
            Ok((seconds(tangents, long)? - seconds(tangents, short)?) / (long - short) as f64)
        };
        without.push(per_iteration(0)?);
        with.push(per_iteration(1)?);
        alone.push(products_alone(problem, 2 * b, precision, long - short) / (long - short) as f64);
    }
    let (without, with, alone) = (median(without), median(with), median(alone));
    let of_cpu = engine.info().engine == "cpu";
    let flops = 4.0 * (problem.shape().rows * problem.state_rows() * 2 * b) as f64;
    Ok(Timing {
        precision,
        seconds_without_tangent: without,
        seconds_with_tangent: with,
        tangent_ratio: with / without,
        seconds_of_products: of_cpu.then_some(alone),
        product_ratio: of_cpu.then_some(with / alone),
        gflops: flops / with / 1e9,
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn accuracy(engine: &mut dyn Engine) -> Result<Vec<Accuracy>> {
    let lasso = Problem::builder(bundled("diabetes")?.standardize()).build()?;
    let logistic = Problem::builder(bundled("breast_cancer")?.standardize())
        .loss(Loss::logistic())
        .penalty(Penalty::l2())
        .build()?;
    let mut rows = Vec::new();
    for (name, problem, alphas) in [
        // alpha_max itself is a kink: the path starts below it.
        ("lasso, diabetes", lasso, Alphas::Geometric { high: 40.0, low: 0.4, count: 50 }),
        ("l2-logistic, breast cancer", logistic, Alphas::Geometric { high: 1.0, low: 1e-2, count: 50 }),
    ] {
        let sweep = Sweep::new(problem).alphas(alphas).iterations(200);
        for row in check(&sweep, &mut CpuEngine::new(), 1e-5)? {
            rows.push(Accuracy {
                what: format!("{name}: d/d{} against central differences, CPU f64", row.derivative),
                error: row.max_error,
                bound: 1e-6,
                note: format!("{} lanes compared, {} excluded at kinks", row.compared, row.excluded),
            });
        }
        let sweep = sweep.tol(0.0).every(10);
        let truth = sweep.run(&mut CpuEngine::new())?;
        for (precision, bound) in [(Precision::F32, 1e-4), (Precision::F64, 1e-9)] {
            let info = engine.info();
            if (info.engine == "cpu" && precision == Precision::F64) || engine.limits(precision).is_err() {
                continue;
            }
            let other = sweep.clone().precision(precision).run(engine)?;
            let (error, compared, excluded) = disagreement(&truth, &other);
            rows.push(Accuracy {
                what: format!("{name}: {} {} against CPU f64, every frame", info.engine, precision.name()),
                error,
                bound,
                note: format!("{compared} lanes compared, {excluded} excluded: another active set at some frame"),
            });
        }
    }
    Ok(rows)
}

/// Largest relative difference of coefficients and derivatives over all frames, over the lanes with equal active sets.
fn disagreement(a: &SweepResult, b: &SweepResult) -> (f64, usize, usize) {
    let (frames, lanes, p) = a.trace.coef.dim();
    let d = a.trace.dcoef.dim().2;
    let (mut worst, mut compared) = (0.0f64, 0);
    for lane in 0..lanes {
        let cells = || (0..frames).flat_map(|f| (0..p).map(move |j| (f, j)));
        if cells().any(|(f, j)| (a.trace.coef[[f, lane, j]] == 0.0) != (b.trace.coef[[f, lane, j]] == 0.0)) {
            continue;
        }
        compared += 1;
        for f in 0..frames {
            let distance = |of: &dyn Fn(&SweepResult, usize) -> f64| {
                let sums = (0..p)
                    .fold((0.0, 0.0), |(gap, size), j| (gap + (of(a, j) - of(b, j)).powi(2), size + of(a, j).powi(2)));
                if sums.1 == 0.0 { sums.0.sqrt() } else { (sums.0 / sums.1).sqrt() }
            };
            worst = worst.max(distance(&|r, j| r.trace.coef[[f, lane, j]]));
            for t in 0..d {
                worst = worst.max(distance(&|r, j| r.trace.dcoef[[f, lane, t, j]]));
            }
        }
    }
    (worst, compared, lanes - compared)
}

fn text(report: &Report) -> String {
    use std::fmt::Write;
    let info = &report.engine;
    let mut out = format!("{} engine: {} ({}); host: {}\n", info.engine, info.adapter, info.driver, report.host);
    let [n, p, b] = report.shape[..] else { return out };
    let _ = writeln!(out, "\nFISTA on {n} x {p}, {b} lanes, squared loss, l1; milliseconds per iteration");
    let _ = writeln!(out, "precision  d=0      d=1      d=1/d=0  products  d=1/products  GFLOP/s");
    for t in &report.timings {
        let ms = |s: f64| format!("{:.2}", 1e3 * s);
        let or_dash = |v: Option<String>| v.unwrap_or_else(|| "-".into());
        let _ = writeln!(
            out,
            "{:<9}  {:<7}  {:<7}  {:<7.2}  {:<8}  {:<12}  {:.0}",
            t.precision.name(),
            ms(t.seconds_without_tangent),
            ms(t.seconds_with_tangent),
            t.tangent_ratio,
            or_dash(t.seconds_of_products.map(ms)),
            or_dash(t.product_ratio.map(|r| format!("{r:.2}"))),
            t.gflops
        );
    }
    let _ = writeln!(out, "\naccuracy, largest relative error");
    for a in &report.accuracy {
        let _ = writeln!(out, "{:.1e} (bound {:.0e})  {}; {}", a.error, a.bound, a.what, a.note);
    }
    out
}
