//! An iteration of the CPU engine beside the two products that it cannot do without: cargo bench
//! The ratios of `proxjet bench` come from one run, with more shapes and with accuracy.

use criterion::{Criterion, criterion_group, criterion_main};
use ndarray::{Array1, Array2};
use proxjet::engine::cpu::products_alone;
use proxjet::prelude::*;
use rand::{RngExt, SeedableRng};

const ITERATIONS: usize = 10;

fn iteration(c: &mut Criterion) {
    let (n, p, b) = (500, 1000, 128);
    let mut rng = rand_pcg::Pcg64::seed_from_u64(1);
    let mut draw = || rng.random_range(-1.0..1.0f64);
    let x = Array2::from_shape_simple_fn((n, p), &mut draw);
    let y = Array1::from_shape_simple_fn(n, &mut draw);
    let problem = Objective::builder(Dataset::new(x, y).expect("finite")).build().expect("a problem");
    for precision in [Precision::F32, Precision::F64] {
        let mut group =
            c.benchmark_group(format!("{n}x{p}, {b} lanes, {} iterations, {}", ITERATIONS, precision.name()));
        group.sample_size(10);
        group.bench_function("products alone, d = 1", |bencher| {
            bencher.iter(|| products_alone(&problem, 2 * b, precision, ITERATIONS));
        });
        for d in [0, 1] {
            let sweep = Sweep::new(problem.clone())
                .alphas(Alphas::Path { epsilon: 0.1, count: b })
                .derivatives(vec![Derivative::LogAlpha; d])
                .iterations(ITERATIONS)
                .every(ITERATIONS)
                .tol(0.0)
                .precision(precision);
            group.bench_function(format!("fista, d = {d}"), |bencher| {
                bencher.iter(|| sweep.run(&mut CpuEngine::new()).expect("a result"));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, iteration);
criterion_main!(benches);
