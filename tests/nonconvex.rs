//! Every penalty of the catalog that is not convex: engines against each other, solutions against an
//! independent coordinate descent, derivatives against central differences, and what is refused in words.

use crate::common::compare::{compare, max_abs_diff};
use crate::common::synthetic;
use ndarray::{Array1, Array2, Axis};
use proxjet::diff::{analyse, check, solutions};
use proxjet::engine::{Engine, Status};
use proxjet::prelude::*;
use proxjet::program::Keep;

use crate::common;

fn nonconvex(list: Vec<Penalty>) -> Vec<Penalty> {
    let list: Vec<Penalty> = list.into_iter().filter(|p| !p.capabilities().convex).collect();
    assert!(!list.is_empty(), "no penalty of the catalog is without convexity");
    list
}

const LOSSES: [fn() -> Loss; 3] = [Loss::squared, Loss::logistic, || Loss::huber(2.0).unwrap()];

/// Data for a loss. A quarter of the classes are wrong: a penalty that is flat far out does not keep the
/// coefficients of separable classes finite.
fn data(n: usize, p: usize, loss: Loss, seed: u64) -> Dataset {
    let data = synthetic(n, p, loss.classes(), seed);
    let wrong = |i: usize, y: f64| if loss.classes() && i % 4 == 1 { 1.0 - y } else { y };
    let target = data.target().indexed_iter().map(|(i, y)| wrong(i, *y)).collect();
    Dataset::new(data.x().to_owned(), target)
        .and_then(|d| d.with_sample_weight(data.sample_weight().to_owned()))
        .unwrap()
}

/// An objective with different penalty factors, and a step, in units of 1/L, well below the limit of its
/// penalty.
fn objective(n: usize, p: usize, loss: Loss, penalty: Penalty, seed: u64) -> (Objective, Step) {
    let builder = Objective::builder(data(n, p, loss, seed)).loss(loss).penalty(penalty);
    let factors = (0..p).map(|j| 1.0 + 0.1 * ((j * 5) % 8) as f64).collect();
    // Without an intercept column the start is the model of zero coefficients, whatever the loss.
    let objective = builder.penalty_factors(factors).intercept(loss == Loss::squared()).build().unwrap();
    let (_, limit) = penalty.step_limit().unwrap();
    let units = (0.6 * limit * objective.spectrum().lipschitz).min(0.9);
    (objective, Step::Constant(units))
}

fn alphas(objective: &Objective, lanes: i32) -> Alphas {
    Alphas::List((0..lanes).map(|i| 0.7 * objective.alpha_max(1.0) * 0.55f64.powi(i)).collect())
}

fn run(sweep: &Sweep) -> SweepResult {
    sweep.run(&mut CpuEngine::new()).unwrap()
}

/// Last coefficients of a lane, `[p]`.
fn coef(result: &SweepResult, lane: usize) -> Array1<f64> {
    let last = result.trace.coef.len_of(Axis(0)) - 1;
    result.trace.coef.index_axis(Axis(0), last).row(lane).to_owned()
}

#[test]
fn engines_agree() {
    let mut engines: Vec<Box<dyn Engine>> = vec![Box::new(CpuEngine::new())];
    engines.extend(common::engine("gpu"));
    let mut compared = std::collections::BTreeMap::new();
    for penalty in nonconvex(Penalty::all()) {
        for loss in [Loss::squared(), Loss::logistic()] {
            let (objective, step) = objective(45, 11, loss, penalty, 3);
            let sweep = Sweep::new(objective.clone())
                .alphas(alphas(&objective, 5))
                .step(step)
                .iterations(100)
                .every(9)
                .tol(0.0)
                .derivatives([Derivative::LogAlpha, Derivative::PenaltyFactor(4)]);
            let truth = run(&sweep);
            for engine in &mut engines {
                for (precision, strategy) in [Precision::F64, Precision::F32]
                    .into_iter()
                    .flat_map(|precision| Strategy::ALL.map(|strategy| (precision, strategy)))
                {
                    let asked = sweep.clone().precision(precision).strategy(Some(strategy));
                    if asked.plan(engine.as_ref()).is_err() {
                        continue;
                    }
                    let result = asked.run(engine.as_mut()).unwrap();
                    let bound = if precision == Precision::F64 { 1e-9 } else { 2e-4 };
                    let found = compare(&truth, &result, bound);
                    let name =
                        format!("{loss} + {penalty}, {}, {precision:?}, {strategy}", engine.info().engine);
                    assert_eq!(found.wrong_sets, 0, "{name}: {found:?}");
                    assert!(found.compared >= 4, "{name}: {found:?}");
                    assert!(found.coef <= bound && found.dcoef <= bound, "{name}: {found:?}");
                    for (a, b) in truth.lanes.iter().zip(&result.lanes) {
                        assert_eq!((a.status, a.gap, b.gap), (b.status, None, None), "{name}");
                        let (a, b) = (a.objective.unwrap(), b.objective.unwrap());
                        assert!((a - b).abs() <= 20.0 * bound * a.abs().max(1.0), "{name}: {a} {b}");
                    }
                    *compared.entry((engine.info().engine, strategy.name())).or_insert(0) += found.compared;
                }
            }
        }
    }
    assert!(compared.len() >= if engines.len() > 1 { 3 } else { 1 }, "{compared:?}");
}

/// A minimum of `½ c (t − b)² + g(t)`: between two kinks of `g` it is a parabola, or the ends.
fn minimise(penalty: &Penalty, c: f64, b: f64, l1: f64) -> f64 {
    let f = |t: f64| 0.5 * c * (t - b).powi(2) + penalty.value(t, l1, 0.0);
    let mut knots = penalty.kinks(l1);
    let reach = 1.0 + b.abs() + knots.iter().fold(0.0f64, |m, k| m.max(k.abs()));
    knots.insert(0, -reach);
    knots.push(reach);
    let mut candidates = knots.clone();
    for pair in knots.windows(2) {
        // Three points give the vertex of the parabola.
        let (low, high, h) = (pair[0], pair[1], 0.25 * (pair[1] - pair[0]));
        let m = 0.5 * (low + high);
        let (left, middle, right) = (f(m - h), f(m), f(m + h));
        let curvature = left - 2.0 * middle + right;
        if curvature > 0.0 {
            candidates.push((m - 0.5 * h * (right - left) / curvature).clamp(low, high));
        }
    }
    // Zero wins where rounding leaves a tie.
    candidates.push(0.0);
    candidates.into_iter().min_by(|s, t| (f(*s), s.abs()).partial_cmp(&(f(*t), t.abs())).unwrap()).unwrap()
}

/// Cyclic coordinate descent for squared loss.
fn coordinate_descent(objective: &Objective, alpha: f64, start: Array1<f64>) -> Array1<f64> {
    let (x, w) = (objective.design().to_dense(), objective.weight());
    let factors = objective.penalty_factors();
    let mut coef = start;
    let mut residual = &objective.target() - &x.dot(&coef);
    for _ in 0..3000 {
        for j in 0..coef.len() {
            let column = x.column(j);
            let c = (&column * &column).dot(&w);
            let b = coef[j] + (&column * &residual).dot(&w) / c;
            let moved = minimise(&objective.penalty(), c, b, alpha * factors[j]) - coef[j];
            coef[j] += moved;
            residual.scaled_add(-moved, &column);
        }
    }
    coef
}

#[test]
fn solutions_are_those_of_coordinate_descent() {
    let (mut from_zero, mut active) = (0, 0);
    for penalty in nonconvex(Penalty::examples()) {
        let (objective, step) = objective(60, 8, Loss::squared(), penalty, 12);
        let sweep = Sweep::new(objective.clone()).alphas(alphas(&objective, 6)).step(step);
        let result = run(&sweep.iterations(20_000).every(20_000).tol(1e-13).derivatives([]));
        // Where the loss bends up more than the penalty bends down there is one solution, whatever the start.
        let concavity = 1.0 / penalty.step_limit().unwrap().1;
        let unique = objective.spectrum().strong_convexity > concavity;
        for (lane, of) in result.lanes.iter().enumerate() {
            assert_eq!((of.status, of.gap), (Status::Converged, None), "{penalty}: {of:?}");
            let found = coef(&result, lane);
            let start = if unique { Array1::zeros(8) } else { found.clone() };
            let expected = coordinate_descent(&objective, of.alpha, start);
            let away = max_abs_diff(&found, &expected);
            assert!(away < 1e-8, "{penalty}, lane {lane}: {found} {expected}");
            from_zero += usize::from(unique);
            active += found.iter().filter(|v| **v != 0.0).count();
        }
    }
    assert!(from_zero >= 12 && active > 60, "{from_zero} lanes from zero, {active} coefficients");
}

#[test]
fn a_start_decides_which_solution_is_found() {
    // One coefficient: the loss bends up by 0.2, less than every example bends down.
    let x = Array2::from_shape_fn((4, 1), |(i, _)| 0.2f64.sqrt() * if i % 2 == 0 { 1.0 } else { -1.0 });
    let y = x.column(0).mapv(|v| 3.0 * v);
    let penalty = Penalty::mcp(1.5).unwrap();
    let data = Dataset::new(x, y).unwrap();
    let objective = Objective::builder(data).penalty(penalty).intercept(false).build().unwrap();
    let sweep =
        Sweep::new(objective).alphas("0.9".parse().unwrap()).step(Step::Constant(0.2)).iterations(2000);
    let zero = run(&sweep.clone().derivatives([]));
    let far = run(&sweep.start(Array2::from_elem((1, 1), 2.5)).derivatives([]));
    for result in [&zero, &far] {
        assert_eq!(result.lanes[0].status, Status::Converged);
    }
    assert_eq!(coef(&zero, 0)[0], 0.0);
    assert!((coef(&far, 0)[0] - 3.0).abs() < 1e-5, "{}", coef(&far, 0));
}

#[test]
fn working_sets_and_active_sets_change_no_sequence() {
    for penalty in nonconvex(Penalty::all()) {
        let (objective, step) = objective(50, 90, Loss::squared(), penalty, 40);
        let top = 0.8 * objective.alpha_max(1.0);
        let alphas = Alphas::List((0..37).map(|lane| top * 0.97f64.powi(lane)).collect());
        let sweep = Sweep::new(objective).alphas(alphas).step(step).iterations(300).every(10).tol(0.0);
        let dense = run(&sweep.clone().sparsity(false));
        let sparse = run(&sweep);
        let found = compare(&dense, &sparse, 1e-12);
        assert_eq!((found.wrong_sets, found.compared), (0, 37), "{penalty}: {found:?}");
        assert!(found.coef <= 1e-12 && found.dcoef <= 1e-12, "{penalty}: {found:?}");
        assert!(sparse.info.skipped_work > 0.2, "{penalty}: {}", sparse.info.skipped_work);
    }
}

#[test]
fn tangents_are_derivatives_of_the_iterates() {
    let (mut compared, mut excluded) = (0, 0);
    for penalty in nonconvex(Penalty::examples()) {
        for loss in LOSSES.map(|loss| loss()) {
            for algorithm in [Algorithm::Pgd, Algorithm::Fista, Algorithm::HeavyBall] {
                let (objective, step) = objective(60, 8, loss, penalty, 12);
                let mut derivatives = vec![
                    Derivative::LogAlpha,
                    Derivative::Alpha,
                    Derivative::PenaltyFactor(3),
                    Derivative::LogStep,
                ];
                if !loss.classes() {
                    derivatives.push(Derivative::Target((0..60).map(|i| f64::from(i % 7) - 3.0).collect()));
                }
                let sweep = Sweep::new(objective.clone())
                    .alphas(alphas(&objective, 6))
                    .algorithm(algorithm)
                    .step(step)
                    .iterations(60)
                    .derivatives(derivatives);
                // Where the proximal map stretches, a wider difference sees the second derivative.
                for row in check(&sweep, &mut CpuEngine::new(), 1e-6).unwrap() {
                    assert!(row.max_error <= 1e-6, "{loss} + {penalty}, {}: {row:?}", algorithm.name());
                    compared += row.compared;
                    excluded += row.excluded;
                }
            }
        }
    }
    assert!(compared > 1000 && excluded * 10 < compared, "{compared} compared, {excluded} excluded");
}

/// The implicit derivatives of converged lanes against central differences of the solution.
#[test]
fn implicit_derivatives_are_those_of_the_solution() {
    const H: f64 = 1e-5;
    let (mut compared, mut bent, mut flat) = (0, 0, 0);
    for penalty in nonconvex(Penalty::examples()) {
        for loss in [Loss::squared(), Loss::logistic()] {
            let (objective, step) = objective(120, 8, loss, penalty, 12);
            let Alphas::List(list) = alphas(&objective, 6) else { unreachable!() };
            let sweep = |alphas: Vec<f64>, objective: &Objective| {
                let sweep = Sweep::new(objective.clone()).alphas(Alphas::List(alphas)).step(step.clone());
                sweep.iterations(5000).every(5000).tol(0.0).derivatives([Derivative::LogAlpha])
            };
            let base = sweep(list.clone(), &objective);
            let result = run(&base);
            let moved = |sign: f64| {
                run(&sweep(list.iter().map(|a| a * (sign * H).exp()).collect(), &objective).derivatives([]))
            };
            let (plus, minus) = (moved(1.0), moved(-1.0));
            for (lane, solution) in solutions(&base, &result).unwrap().into_iter().enumerate() {
                // A local solution at which the Hessian is not positive definite is no isolated one.
                let solution = solution.unwrap_or_else(|e| panic!("{loss} + {penalty}, lane {lane}: {e}"));
                let difference = (coef(&plus, lane) - coef(&minus, lane)) / (2.0 * H);
                let size = difference.dot(&difference).sqrt().max(1e-3);
                for j in 0..8 {
                    let away = (solution.dstate[[0, j]] - difference[j]).abs();
                    assert!(
                        away <= 1e-6 * size,
                        "{loss} + {penalty}, lane {lane}: {solution:?} {difference}"
                    );
                    // The iterates' own derivatives have the same limit.
                    let tangent = result.trace.dcoef[[result.trace.iteration.len() - 1, lane, 0, j]];
                    assert!((tangent - solution.dstate[[0, j]]).abs() <= 1e-6 * size, "{loss} + {penalty}");
                }
                compared += 1;
                for j in solution.active.iter().filter(|j| **j < 8) {
                    let l1 = list[lane] * objective.penalty_factors()[*j];
                    let of = penalty.derivatives(solution.state[*j], l1, 0.0);
                    bent += usize::from(of.d2 < 0.0);
                    flat += usize::from(of.d1 == 0.0);
                }
            }
        }
    }
    assert!(compared >= 72 && bent > 30 && flat > 30, "{compared} lanes, {bent} bent, {flat} flat");
}

#[test]
fn a_path_starts_where_the_first_coefficient_enters() {
    for penalty in nonconvex(Penalty::examples()) {
        for loss in LOSSES.map(|loss| loss()) {
            let (objective, step) = objective(60, 8, loss, penalty, 5);
            let top = objective.alpha_max(1.0);
            let sweep = Sweep::new(objective).alphas(Alphas::List(vec![1.001 * top, 0.98 * top])).step(step);
            let result = run(&sweep.iterations(3000).tol(1e-12).derivatives([]));
            let supports: Vec<usize> = result.lanes.iter().map(|l| l.support).collect();
            assert!(supports[0] == 0 && supports[1] >= 1, "{loss} + {penalty}: {supports:?}");
        }
    }
}

#[test]
fn steps_that_reach_the_limit_are_refused() {
    for penalty in nonconvex(Penalty::examples()) {
        let (objective, _) = objective(60, 8, Loss::squared(), penalty, 5);
        let (limit, most) = penalty.step_limit().unwrap();
        let unit = most * objective.spectrum().lipschitz; // the limit, in units of 1/L
        let sweep = Sweep::new(objective.clone()).algorithm(Algorithm::Pgd).iterations(20);
        let refused = |sweep: Sweep| {
            let error = sweep.prepare().err().map(|e| e.to_string());
            if let Some(e) = &error {
                let named =
                    [format!("{limit} = {most}"), format!("penalty '{penalty}'"), "Standardise".into()];
                assert!(named.iter().all(|words| e.contains(words)), "{e}");
            }
            error.is_some()
        };
        // Just below and just beyond the limit, by every rule that can come near it.
        for (factor, expected) in [(0.999, false), (1.001, true)] {
            let v = factor * unit;
            assert_eq!(refused(sweep.clone().step(Step::Constant(v))), expected, "{penalty}");
            let falling = Step::Decreasing { scale: v, power: 0.5 };
            assert_eq!(refused(sweep.clone().step(falling)), expected, "{penalty}");
            if v > 1.0 {
                // Of steps that are found at run time the largest possible one counts.
                let backtracking = Step::Backtracking { start: v, shrink: 0.5 };
                assert_eq!(refused(sweep.clone().step(backtracking)), expected, "{penalty}");
                assert_eq!(
                    refused(sweep.clone().step(Step::BarzilaiBorwein { high: v })),
                    expected,
                    "{penalty}"
                );
            }
            // The metric scales the step of a coefficient.
            let mut entries = Array1::<f64>::from_elem(8, 0.5);
            entries[3] = 2.0;
            let metric = |table: Array1<f64>| Metric::Table(table.into_dyn());
            let table = Step::Table(Array1::from_elem(20, 0.5 * factor * most).into_dyn());
            let scaled = sweep.clone().step(table).metric(metric(entries.clone()));
            assert_eq!(refused(scaled.clone()), expected, "{penalty}");
            // A coefficient that is not penalised has no limit.
            let free = (0..8).map(|j| if j == 3 { 0.0 } else { 1.0 }).collect();
            let data = synthetic(60, 8, false, 5);
            let builder = Objective::builder(data).penalty(penalty).penalty_factors(free);
            assert!(!refused(scaled.on(builder.build().unwrap())), "{penalty}");
            let hessian = sweep.clone().metric(Metric::Hessian { every: 5, gain: 1e6 });
            assert!(refused(hessian), "{penalty}");
        }
    }
}

#[test]
fn short_columns_are_refused_until_they_are_standardised() {
    let data = synthetic(60, 8, false, 5);
    let short = Dataset::new(data.x().mapv(|v| 0.1 * v), data.target().to_owned()).unwrap();
    let prepare = |data: Dataset| {
        let objective = Objective::builder(data).penalty(Penalty::mcp(3.0).unwrap()).build().unwrap();
        Sweep::new(objective).prepare().map(|_| ()).map_err(|e| e.to_string())
    };
    let words = prepare(short.clone()).unwrap_err();
    assert!(words.starts_with("step: found a step of ") && words.contains("less than gamma = 3"), "{words}");
    assert_eq!(prepare(short.standardize()), Ok(()));
}

#[test]
fn what_needs_convexity_is_refused_in_words() {
    let mut engine = CpuEngine::new();
    for penalty in nonconvex(Penalty::all()) {
        let (objective, _) = objective(200, 8, Loss::squared(), penalty, 12);
        let sweep = Sweep::new(objective.clone()).alphas(alphas(&objective, 3)).step(Step::Constant(0.1));
        let sweep = sweep.algorithm(Algorithm::Pgd).iterations(300);
        let strong = sweep.clone().algorithm(Algorithm::Fista).momentum(Momentum::StronglyConvex);
        let words = strong.run(&mut engine).unwrap_err().to_string();
        assert!(words.contains("strongly_convex") && words.contains("a convex penalty"), "{words}");
        assert!(words.contains(&format!("'{penalty}'")) && words.contains("elastic_net"), "{words}");

        let late = sweep.tangent_start(TangentStart::Iteration(100)).tol(0.0).every(300).keep(Keep::All);
        let result = late.run(&mut engine).unwrap();
        let all = solutions(&late, &result).unwrap();
        for lane in analyse(&late, &result, &all).unwrap() {
            assert!(lane.predicted_rate.is_none() && lane.rate.is_some(), "{penalty}: {lane:?}");
            assert!(lane.late_start.is_some_and(|late| late.bound.is_none()), "{penalty}");
            for words in ["a predicted rate needs", "the bound of a late start needs"] {
                let said =
                    |refused: &String| refused.contains(words) && refused.contains(&penalty.to_string());
                assert!(lane.refused.iter().any(said), "{penalty}: {:?}", lane.refused);
            }
        }
    }
}
