//! The section `paths`: folds in one batch, paths by warm starts and by Newton's method, and sparse designs,
//! each beside what it replaces.

use std::time::Instant;

use rand::{RngExt, SeedableRng};

use crate::machine::Machine;
use crate::report::{Pair, Report, Sample};
use crate::sections::usual_precision;
use crate::suite::{Plan, Section, Shape, Suite, lasso_data};
use crate::{progress, skip};
use proxjet::data::{Dataset, Folds};
use proxjet::design::Sparse;
use proxjet::engine::Engine;
use proxjet::error::Result;
use proxjet::objective::Objective;
use proxjet::program::Strategy;
use proxjet::solve::{Alphas, Path, Sweep, SweepResult};

/// Folds of a batch.
const FOLDS: usize = 5;
/// Lanes of a block of a warm-started path.
const BLOCK: usize = 10;
/// The share of entries that are stored.
const STORED: f64 = 0.05;

/// Lasso paths down to 0.01 of alpha_max.
pub(crate) fn paths(plan: &Plan, machine: &mut Machine, report: &mut Report) -> Result<()> {
    let usual = match plan.suite {
        Suite::Full => Shape { rows: 1000, features: 2000, lanes: 100 },
        Suite::Quick => Shape { rows: 200, features: 400, lanes: 20 },
    };
    let shape = plan.asked.unwrap_or(usual);
    for (what, than, pair) in pairs(plan, machine.engine(), shape)? {
        progress(&format!("paths: {shape}: {what}, {than}"));
        match measured(plan, machine.engine(), &pair) {
            Ok([(seconds, iterations), (seconds_than, iterations_than)]) => report.paths.push(Pair {
                what: what.into(),
                than: than.into(),
                rows: shape.rows,
                features: shape.features,
                lanes: shape.lanes,
                precision: usual_precision(machine.engine()).name().into(),
                ratio: seconds.over(&seconds_than),
                seconds,
                seconds_than,
                iterations,
                iterations_than,
            }),
            Err(e) => skip(machine, report, Section::Paths, format!("{shape}, {what}"), e)?,
        }
    }
    Ok(())
}

/// Two sweeps, and their names.
type Named = (&'static str, &'static str, [Sweep; 2]);

fn pairs(plan: &Plan, engine: &dyn Engine, shape: Shape) -> Result<Vec<Named>> {
    let data = lasso_data(shape)?;
    let dense = Objective::builder(data.clone()).build()?;
    let folds = Folds::k_fold(shape.rows, FOLDS, 1)?;
    let folded = Objective::builder(data.clone()).folds(folds).build()?;
    let precision = usual_precision(engine);
    let sweep = |objective: &Objective, lanes: usize| {
        Sweep::new(objective.clone())
            .alphas(Alphas::Path { epsilon: 0.01, count: lanes })
            .every(1 << 30)
            .iterations(5000)
            .precision(precision)
            .memory_budget(plan.memory_budget)
    };
    let few = |sweep: Sweep| sweep.tol(0.0).iterations(100);
    let direct = |objective: &Objective| few(sweep(objective, shape.lanes)).strategy(Some(Strategy::Direct));
    let (b, all) = (shape.lanes, FOLDS * shape.lanes);
    let thin = thinned(&data);
    let stored = Sparse::from_triplets(thin.dim(), thin.indexed_iter().map(|((i, j), v)| (i, j, *v)))?.0;
    let of = |x: proxjet::design::Design| -> Result<Objective> {
        Objective::builder(Dataset::new(x, data.target().to_owned())?).build()
    };
    let (thin, stored) = (of(thin.into())?, of(stored.into())?);
    Ok(vec![
        ("5 folds, 100 iterations", "as many alphas", [few(sweep(&folded, b)), few(sweep(&dense, all))]),
        ("5 folds, to the tolerance", "as many alphas", [sweep(&folded, b), sweep(&dense, all)]),
        (
            "warm starts, to the tolerance",
            "independent lanes",
            [sweep(&dense, b).path(Path::Warm { block: BLOCK, carried: true }), sweep(&dense, b)],
        ),
        ("by Newton's method", "independent lanes", [sweep(&dense, b).path(Path::Newton), sweep(&dense, b)]),
        ("5 % stored, 100 iterations", "a dense design", [direct(&stored), direct(&thin)]),
    ])
}

/// The design with most entries replaced by zeros, in the later columns more of them.
fn thinned(data: &Dataset) -> ndarray::Array2<f64> {
    let mut rng = rand_pcg::Pcg64::seed_from_u64(5);
    let mut x = data.x().to_owned();
    let columns = x.ncols() as f64;
    for ((_, j), v) in x.indexed_iter_mut() {
        let share = 2.0 * STORED * (1.0 - (j as f64 + 0.5) / columns);
        if rng.random_range(0.0..1.0) >= share {
            *v = 0.0;
        }
    }
    x
}

/// Seconds, and iterations of all lanes together, of two sweeps in turn; the first run of each warms up.
fn measured(plan: &Plan, engine: &mut dyn Engine, pair: &[Sweep; 2]) -> Result<[(Sample, f64); 2]> {
    let mut seconds = [Vec::new(), Vec::new()];
    let mut iterations = [0.0; 2];
    for repetition in 0..=plan.repeat {
        for (of, sweep) in pair.iter().enumerate() {
            let clock = Instant::now();
            let result: SweepResult = sweep.run(engine)?;
            if repetition > 0 {
                seconds[of].push(clock.elapsed().as_secs_f64());
            }
            iterations[of] = result.lanes.iter().map(|lane| lane.iterations as f64).sum();
        }
    }
    let [a, b] = seconds.map(Sample::new);
    Ok([(a, iterations[0]), (b, iterations[1])])
}
