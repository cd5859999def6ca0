//! Iterations of a shape beside its two plain products, and plain products by themselves.

use super::machine::{Clocked, Machine};
use super::report::{DeviceTime, Entry, KernelTime, Product, Report, Sample, WholeRun};
use super::suite::{FORMS, Plan, Section, Shape, random_problem};
use super::{has, progress, skip};
use crate::driver::{IterationTime, Sweep};
use crate::error::Result;
use crate::plan::Precision;
use crate::problem::Problem;

/// Iterations of a sweep that is timed at most.
const ITERATIONS: usize = 4000;
/// Chunks timed by the device's own clock.
const CLOCKED: usize = 2;
/// Share of an iteration outside kernels below which it is not asked how much of it is hidden.
const WORTH_HIDING: f64 = 0.02;
/// Iterations that filling the queue and a few chunks of one iteration take.
const FEWEST: usize = 16;

/// Cubes of plain products.
pub(super) fn products(plan: &Plan, machine: &mut Machine, report: &mut Report) -> Result<()> {
    for &size in plan.cubes() {
        let problem = random_problem(size, size)?;
        for precision in has(machine, report, Section::Products, &format!("{size}³")) {
            progress(&format!("products: {size}³, {}", precision.name()));
            let seconds: Result<Vec<f64>> =
                (0..plan.repeat).map(|_| machine.products(&problem, size, precision, plan.sample)).collect();
            match seconds {
                Ok(seconds) => report.products.push(product(&problem, size, precision, Sample::new(seconds))),
                Err(e) => skip(report, Section::Products, format!("{size}³ {}", precision.name()), e)?,
            }
        }
    }
    Ok(())
}

fn product(problem: &Problem, columns: usize, precision: Precision, seconds: Sample) -> Product {
    let (rows, features) = (problem.shape().rows, problem.state_rows());
    let operations = 4.0 * rows as f64 * features as f64 * columns as f64;
    let gflops = operations / seconds.median / 1e9;
    Product { rows, features, columns, precision: precision.name().into(), seconds, gflops }
}

/// Every shape in every form, precision and number of tangents.
pub(super) fn shapes(plan: &Plan, machine: &mut Machine, report: &mut Report) -> Result<()> {
    for shape in &plan.shapes {
        progress(&format!("shapes: {shape}: making the problem"));
        let problem = random_problem(shape.rows, shape.features)?;
        for precision in has(machine, report, Section::Shapes, &shape.to_string()) {
            for &tangents in &plan.tangents {
                let what = format!("{shape}, d={tangents}, {}", precision.name());
                progress(&format!("shapes: {what}"));
                entries(plan, machine, report, (&problem, *shape, tangents, precision), &what)?;
            }
        }
    }
    Ok(())
}

/// One form of a shape, as far as it was measured.
struct Candidate {
    form: &'static str,
    sweep: Sweep,
    times: Vec<IterationTime>,
    products: Vec<f64>,
    clocked: Vec<Clocked>,
}

fn entries(
    plan: &Plan,
    machine: &mut Machine,
    report: &mut Report,
    (problem, shape, tangents, precision): (&Problem, Shape, usize, Precision),
    what: &str,
) -> Result<()> {
    let iterations = plan.iterations(shape.lanes, tangents, ITERATIONS).max(FEWEST);
    let mut candidates = Vec::new();
    for (form, choose) in FORMS {
        let sweep = choose(plan.sweep(problem, shape.lanes, tangents, precision).iterations(iterations));
        match sweep.plan(machine.engine()) {
            Ok(_) => {
                // Warms up: drivers compile late.
                sweep.time_iterations(machine.engine(), 0.0)?;
                let (times, products, clocked) = (Vec::new(), Vec::new(), Vec::new());
                candidates.push(Candidate { form, sweep, times, products, clocked });
            }
            Err(e) => skip(report, Section::Shapes, format!("{what}, {form}"), e)?,
        }
    }
    // Interleaved, so that a busy moment of the machine hits all of them.
    for _ in 0..plan.repeat {
        for candidate in &mut candidates {
            let time = candidate.sweep.time_iterations(machine.engine(), plan.sample)?;
            let columns = time.lanes * (1 + tangents);
            candidate.times.push(time);
            candidate.clocked.extend(machine.clocked(&candidate.sweep, CLOCKED)?);
            candidate.products.push(machine.products(problem, columns, precision, plan.sample)?);
        }
    }
    for candidate in candidates {
        report.shapes.push(entry(plan, machine, candidate, shape)?);
        let entry = report.shapes.last().expect("it was just put there");
        let columns = entry.lanes_at_a_time * (1 + tangents);
        let seconds = entry.products_seconds.scaled(entry.lanes_at_a_time as f64 / shape.lanes as f64);
        report.products.push(product(problem, columns, precision, seconds));
    }
    Ok(())
}

fn entry(plan: &Plan, machine: &mut Machine, candidate: Candidate, shape: Shape) -> Result<Entry> {
    let Candidate { form, sweep, times, products, clocked } = candidate;
    let planned = sweep.plan(machine.engine())?;
    let of = |f: &dyn Fn(&IterationTime) -> f64| Sample::new(times.iter().map(f).collect());
    // An iteration of all lanes: those that have a seat, as often as it takes.
    let scale = shape.lanes as f64 / planned.seats as f64;
    let seconds = of(&|t| t.seconds).scaled(scale);
    let products = Sample::new(products).scaled(scale);
    let one_by_one = times[0].one_by_one.map(|_| of(&|t| t.one_by_one.unwrap_or(t.seconds)).median * scale);
    let (operations, bytes) = (planned.counted_operations() * scale, planned.counted_bytes() * scale);

    let device = device_time(&clocked, scale, (&seconds, one_by_one));
    let iterations = ((plan.run / seconds.median) as usize).clamp(1, planned.request.iterations);
    let whole = sweep.iterations(iterations).run(machine.engine())?.info.seconds;
    let work = device.as_ref().map_or(seconds.median, |d| d.kernel_seconds.median);
    Ok(Entry {
        form: form.into(),
        rows: shape.rows,
        features: shape.features,
        lanes: shape.lanes,
        tangents: planned.request.tangents,
        precision: planned.request.precision.name().into(),
        lanes_at_a_time: planned.seats,
        iterations_timed: times.iter().map(|t| t.iterations).sum(),
        operations,
        gflops: operations / seconds.median / 1e9,
        bytes,
        gigabytes_per_second: bytes / seconds.median / 1e9,
        products_ratio: seconds.over(&products),
        products_seconds: products,
        floor_seconds: None,
        floor_ratio: None,
        one_by_one_seconds: one_by_one,
        start_seconds: of(&|t| t.start_seconds).median,
        seconds,
        device,
        run: WholeRun { iterations, seconds: whole, host_share: 1.0 - work * iterations as f64 / whole },
    })
}

/// What the device's clock said, beside the seconds of an iteration with chunks in flight and one by one.
fn device_time(clocked: &[Clocked], scale: f64, (seconds, one_by_one): (&Sample, Option<f64>)) -> Option<DeviceTime> {
    let last = clocked.last()?;
    let of = |f: fn(&Clocked) -> f64| Sample::new(clocked.iter().map(f).collect()).scaled(scale);
    let kernel_seconds = of(|c| c.kernel_seconds);
    let (all, exposed) = (one_by_one? - kernel_seconds.median, seconds.median - kernel_seconds.median);
    Some(DeviceTime {
        gap_seconds: of(|c| c.gap_seconds),
        idle_share: 1.0 - kernel_seconds.over(seconds).median,
        hidden_share: (all > WORTH_HIDING * seconds.median).then(|| 1.0 - exposed / all),
        kernels: last
            .kernels
            .iter()
            .map(|k| KernelTime { name: k.name.clone(), dispatches: k.dispatches * scale, seconds: k.seconds * scale })
            .collect(),
        kernel_seconds,
    })
}
