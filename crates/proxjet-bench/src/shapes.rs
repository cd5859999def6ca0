//! Measures iterations of a shape together with its two plain products, and plain products alone.

use std::ops::ControlFlow;
use std::time::Instant;

use crate::machine::{Clocked, Machine};
use crate::report::{DeviceTime, Entry, KernelTime, Product, Report, Sample, WholeRun};
use crate::suite::{Plan, Section, Shape, random_problem, strategies};
use crate::{has, progress, skip};
use proxjet::error::Result;
use proxjet::objective::Objective;
use proxjet::program::Precision;
use proxjet::solve::{IterationTime, Sweep};

/// Maximum iterations of a timed sweep.
const ITERATIONS: usize = 4000;
/// Chunks timed by the device's own clock.
const CLOCKED: usize = 2;
/// Share of an iteration outside kernels below which the hidden share is not computed.
const WORTH_HIDING: f64 = 0.05;
/// Minimum iterations: to fill the queue and run a few chunks of one iteration.
const FEWEST: usize = 16;

/// Cubes of plain products.
pub(crate) fn products(plan: &Plan, machine: &mut Machine, report: &mut Report) -> Result<()> {
    for &size in plan.cubes() {
        let problem = random_problem(size, size)?;
        for precision in has(plan, machine, report, Section::Products, &format!("{size}³")) {
            progress(&format!("products: {size}³, {}", precision.name()));
            let seconds: Result<Vec<f64>> =
                (0..plan.repeat).map(|_| machine.products(&problem, size, precision, plan.sample)).collect();
            match seconds {
                Ok(seconds) => report.products.push(product(&problem, size, precision, Sample::new(seconds))),
                Err(e) => {
                    skip(machine, report, Section::Products, format!("{size}³ {}", precision.name()), e)?
                }
            }
        }
    }
    Ok(())
}

fn product(problem: &Objective, columns: usize, precision: Precision, seconds: Sample) -> Product {
    let (rows, features) = (problem.shape().rows, problem.state_rows());
    let operations = 4.0 * rows as f64 * features as f64 * columns as f64;
    let gflops = operations / seconds.median / 1e9;
    Product { rows, features, columns, precision: precision.name().into(), seconds, gflops }
}

/// Every shape in every strategy, precision and number of tangents.
pub(crate) fn shapes(
    plan: &Plan,
    machine: &mut Machine,
    report: &mut Report,
    keep: &dyn Fn(&mut Report) -> Result<()>,
) -> Result<()> {
    for shape in &plan.shapes {
        progress(&format!("shapes: {shape}: making the problem"));
        let problem = random_problem(shape.rows, shape.features)?;
        for precision in has(plan, machine, report, Section::Shapes, &shape.to_string()) {
            for &tangents in &plan.tangents {
                let what = format!("{shape}, d={tangents}, {}", precision.name());
                progress(&format!("shapes: {what}"));
                if let Err(e) = entries(plan, machine, report, (&problem, *shape, tangents, precision), &what)
                {
                    skip(machine, report, Section::Shapes, what, e)?;
                }
            }
            keep(report)?;
        }
    }
    Ok(())
}

/// The measurements of one strategy of a shape.
struct Candidate {
    strategy: &'static str,
    sweep: Sweep,
    times: Vec<IterationTime>,
    products: Vec<f64>,
    clocked: Vec<Clocked>,
    /// Iterations and seconds of each run.
    runs: Vec<(f64, f64)>,
}

fn entries(
    plan: &Plan,
    machine: &mut Machine,
    report: &mut Report,
    (problem, shape, tangents, precision): (&Objective, Shape, usize, Precision),
    what: &str,
) -> Result<()> {
    let iterations = plan.iterations(shape.lanes, tangents, ITERATIONS).max(FEWEST);
    let mut candidates = Vec::new();
    for strategy in strategies(machine.engine()) {
        let sweep = plan
            .sweep(problem, shape.lanes, tangents, precision)
            .iterations(iterations)
            .strategy(Some(*strategy));
        match sweep.plan(machine.engine()) {
            Ok(_) => {
                // Warm up, because drivers compile late.
                sweep.time_iterations(machine.engine(), 0.0)?;
                let (times, products, clocked, runs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
                candidates.push(Candidate {
                    strategy: strategy.name(),
                    sweep,
                    times,
                    products,
                    clocked,
                    runs,
                });
            }
            // It does not fit the memory, or the problem does not support the strategy.
            Err(e) => report.skip(Section::Shapes.name(), format!("{what}, {strategy}"), e.to_string()),
        }
    }
    // Interleaved, so that load on the machine affects all strategies equally.
    for _ in 0..plan.repeat {
        for candidate in &mut candidates {
            let time = candidate.sweep.time_iterations(machine.engine(), plan.sample)?;
            let columns = time.lanes * (1 + tangents);
            candidate.times.push(time);
            candidate.clocked.extend(machine.clocked(&candidate.sweep, CLOCKED)?);
            candidate.runs.push(whole_run(&candidate.sweep, machine, shape.lanes, plan.run)?);
            candidate.products.push(machine.products(problem, columns, precision, plan.sample)?);
        }
    }
    for candidate in candidates {
        report.shapes.push(entry(machine, candidate, shape)?);
        let entry = report.shapes.last().expect("it was just put there");
        let columns = entry.lanes_at_a_time * (1 + tangents);
        let seconds = entry.products_seconds.scaled(entry.lanes_at_a_time as f64 / shape.lanes as f64);
        report.products.push(product(problem, columns, precision, seconds));
    }
    Ok(())
}

/// Total iterations and seconds of a run that is cancelled after about the given seconds of iterating.
fn whole_run(sweep: &Sweep, machine: &mut Machine, lanes: usize, seconds: f64) -> Result<(f64, f64)> {
    let clock = Instant::now();
    let (mut begin, mut iterations) = (None, 0.0);
    sweep.run_with(machine.engine(), |_, progress| {
        iterations = progress.iterations as f64 / lanes as f64;
        let begin = *begin.get_or_insert_with(Instant::now);
        if begin.elapsed().as_secs_f64() >= seconds {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    Ok((iterations, clock.elapsed().as_secs_f64()))
}

fn entry(machine: &mut Machine, candidate: Candidate, shape: Shape) -> Result<Entry> {
    let Candidate { strategy, sweep, times, products, clocked, runs } = candidate;
    let planned = sweep.plan(machine.engine())?;
    let of = |f: &dyn Fn(&IterationTime) -> f64| Sample::new(times.iter().map(f).collect());
    // Scales to an iteration of all lanes, from that of the slots.
    let scale = shape.lanes as f64 / planned.slots as f64;
    let seconds = of(&|t| t.seconds).scaled(scale);
    let products = Sample::new(products).scaled(scale);
    let one_by_one = times[0].one_by_one.map(|_| of(&|t| t.one_by_one.unwrap_or(t.seconds)).scaled(scale));
    let (operations, bytes) = (planned.counted_operations() * scale, planned.counted_bytes() * scale);

    // A software adapter computes on the host's processor, so nothing can overlap with it.
    let comparable = one_by_one.clone().filter(|_| !machine.engine().info().software);
    let device = device_time(&clocked, scale, (&seconds, comparable));
    let work = device.as_ref().map_or(&seconds, |d| &d.kernel_seconds);
    let host =
        runs.iter().zip(&work.values).map(|((iterations, seconds), work)| 1.0 - work * iterations / seconds);
    let run = WholeRun {
        host_share: Sample::new(host.collect()).median,
        iterations: Sample::new(runs.iter().map(|r| r.0).collect()).median,
        seconds: Sample::new(runs.iter().map(|r| r.1).collect()),
    };
    Ok(Entry {
        strategy: strategy.into(),
        rows: shape.rows,
        features: shape.features,
        lanes: shape.lanes,
        tangents: planned.request.tangents,
        precision: planned.request.precision.name().into(),
        lanes_at_a_time: planned.slots,
        iterations_timed: times.iter().map(|t| t.iterations).sum(),
        operations,
        gflops: operations / seconds.median / 1e9,
        bytes,
        gigabytes_per_second: bytes / seconds.median / 1e9,
        products_ratio: seconds.over(&products),
        products_seconds: products,
        floor_seconds: None,
        floor_ratio: None,
        one_by_one_seconds: one_by_one.map(|s| s.median),
        start_seconds: of(&|t| t.start_seconds).median,
        seconds,
        device,
        run,
    })
}

/// Times by the device's clock, compared with the seconds of an iteration with chunks in flight and one by
/// one.
fn device_time(
    clocked: &[Clocked],
    scale: f64,
    (seconds, one_by_one): (&Sample, Option<Sample>),
) -> Option<DeviceTime> {
    let last = clocked.last()?;
    let of = |f: fn(&Clocked) -> f64| Sample::new(clocked.iter().map(f).collect()).scaled(scale);
    let kernel_seconds = of(|c| c.kernel_seconds);
    Some(DeviceTime {
        gap_seconds: of(|c| c.gap_seconds),
        idle_share: 1.0 - kernel_seconds.over(seconds).median,
        hidden_share: one_by_one.and_then(|one_by_one| hidden_share(&kernel_seconds, seconds, &one_by_one)),
        kernels: last
            .kernels
            .iter()
            .map(|k| KernelTime {
                name: k.name.clone(),
                dispatches: k.dispatches * scale,
                seconds: k.seconds * scale,
            })
            .collect(),
        kernel_seconds,
    })
}

/// The share of the time outside kernels, in chunks run one by one, that chunks in flight hide.
fn hidden_share(kernels: &Sample, in_flight: &Sample, one_by_one: &Sample) -> Option<f64> {
    let repetitions = kernels.values.iter().zip(&in_flight.values).zip(&one_by_one.values);
    let shares = repetitions.map(|((kernels, in_flight), all)| 1.0 - (in_flight - kernels) / (all - kernels));
    let worth_it = one_by_one.median - kernels.median > WORTH_HIDING * in_flight.median;
    worth_it.then(|| Sample::new(shares.collect()).median).filter(|share| share.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_is_what_chunks_in_flight_save_of_the_time_outside_kernels() {
        let sample = |v: f64| Sample::new(vec![v, v, v]);
        // 10 ms in kernels and 4 ms outside, of which 3 are hidden.
        let share = hidden_share(&sample(10e-3), &sample(11e-3), &sample(14e-3)).unwrap();
        assert!((share - 0.75).abs() < 1e-9, "{share}");
        assert_eq!(
            hidden_share(&sample(10e-3), &sample(10.05e-3), &sample(10.1e-3)),
            None,
            "next to nothing to hide"
        );
    }
}
