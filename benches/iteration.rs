//! An iteration of the CPU engine beside the two products that it cannot do without: cargo bench
//! `proxjet bench` has more shapes, other engines and accuracy.

use std::time::Instant;

use ndarray::{Array1, Array2};
use proxjet::engine::cpu::products_alone;
use proxjet::prelude::*;
use rand::{RngExt, SeedableRng};

const ITERATIONS: usize = 20;
/// Rounds; medians are printed, of ratios within a round.
const ROUNDS: usize = 7;

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> Result<()> {
    let (n, p, b) = (500, 1000, 128);
    let mut rng = rand_pcg::Pcg64::seed_from_u64(1);
    let mut draw = || rng.random_range(-1.0..1.0f64);
    let x = Array2::from_shape_simple_fn((n, p), &mut draw);
    let y = Array1::from_shape_simple_fn(n, &mut draw);
    let problem = Objective::builder(Dataset::new(x, y)?).build()?;
    println!("{n} x {p}, {b} lanes, medians of {ROUNDS} rounds of {ITERATIONS} iterations");
    for precision in [Precision::F32, Precision::F64] {
        for d in [0, 1] {
            let sweep = Sweep::new(problem.clone())
                .alphas(Alphas::path(0.1, b))
                .derivatives(vec![Derivative::LogAlpha; d])
                .iterations(ITERATIONS)
                .every(ITERATIONS)
                .tol(0.0)
                .precision(precision);
            let (mut seconds, mut ratios) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                let products = products_alone(&problem, (1 + d) * b, precision, ITERATIONS);
                let clock = Instant::now();
                sweep.run(&mut CpuEngine::new())?;
                seconds.push(clock.elapsed().as_secs_f64() / ITERATIONS as f64);
                ratios.push(ITERATIONS as f64 * seconds[seconds.len() - 1] / products);
            }
            let milliseconds = 1e3 * median(seconds);
            let (ratio, name) = (median(ratios), precision.name());
            println!("{name}, {d} derivatives: {milliseconds:.2} ms, {ratio:.2} times its products alone");
        }
    }
    Ok(())
}
