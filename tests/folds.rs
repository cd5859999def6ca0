//! Folds as lanes: every lane is the fit of its fold alone, and the rules that make folds are what they say.

use std::collections::BTreeSet;

use ndarray::{Array1, Axis};
use proxjet::data::{Dataset, Fold, FoldRule, Folds, bundled};
use proxjet::engine::Status;
use proxjet::engine::cpu::CpuEngine;
use proxjet::error::ErrorKind;
use proxjet::objective::{Derivative, Loss, Objective, Penalty};
use proxjet::program::{Precision, Strategy};
use proxjet::schedule::{Algorithm, Metric, Phase, Schedule, Step};
use proxjet::solve::{Alphas, Sweep, SweepResult};

use crate::common::cases::sparse;
use crate::common::compare::{Report, compare, ends_differ, max_abs_diff, near, relative_diff};
use crate::common::{self, synthetic};

/// Rows by their folds: every row held out `times` times, folds as equal as can be.
fn check(folds: &Folds, rows: usize, times: usize) {
    let mut held_out = vec![0; rows];
    for fold in folds.folds() {
        let fitted: BTreeSet<usize> = fold.fitted.iter().copied().collect();
        let own: BTreeSet<usize> = fold.held_out.iter().copied().collect();
        assert!(fitted.is_disjoint(&own) && fitted.len() + own.len() == rows);
        own.iter().for_each(|i| held_out[*i] += 1);
    }
    assert!(held_out.iter().all(|count| *count == times), "{held_out:?}");
}

#[test]
fn rules_make_the_folds_that_they_name() {
    let data = bundled("breast_cancer").unwrap();
    let n = data.rows();
    let of = |rule: &str, classes: bool, groups: Option<&[String]>| {
        rule.parse::<FoldRule>().unwrap().of(&data, classes, groups).unwrap()
    };
    let plain = of("5:3", false, None);
    check(&plain, n, 1);
    assert!(plain.folds().iter().all(|f| [113, 114].contains(&f.held_out.len())));
    assert!(plain == of("5:3", false, None) && plain != of("5:4", false, None), "a seed gives its folds");
    // Stratified: shares of the classes differ by a row.
    let stratified = of("5:3", true, None);
    check(&stratified, n, 1);
    let positive = |fold: &Fold| fold.held_out.iter().filter(|i| data.target()[**i] == 1.0).count();
    let counts: BTreeSet<usize> = stratified.folds().iter().map(positive).collect();
    assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
    assert!(plain.folds().iter().map(positive).collect::<BTreeSet<_>>().len() > 2, "chance does not");
    check(&of("4:1:3", false, None), n, 3);
    assert_eq!(of("4:1:3", true, None).folds().len(), 12);
    // Groups stay together.
    let groups: Vec<String> = (0..n).map(|i| format!("g{}", i * i % 23)).collect();
    let grouped = of("3:1", false, Some(&groups));
    check(&grouped, n, 1);
    for fold in grouped.folds() {
        let names = |rows: &[usize]| rows.iter().map(|i| &groups[*i]).collect::<BTreeSet<_>>();
        assert!(names(&fold.fitted).is_disjoint(&names(&fold.held_out)));
    }
    // Repeats deal groups of different sizes anew.
    let repeated = of("3:1:4", false, Some(&groups));
    let first: BTreeSet<&Vec<usize>> = repeated.folds().iter().step_by(3).map(|f| &f.held_out).collect();
    assert_eq!((first.len(), repeated.repeats()), (4, 4));
    // Time: each block after all before it.
    let time = of("time:4", false, None);
    for (f, fold) in time.folds().iter().enumerate() {
        assert_eq!(fold.fitted, (0..n * (f + 1) / 5).collect::<Vec<_>>());
        assert_eq!(fold.held_out, (n * (f + 1) / 5..n * (f + 2) / 5).collect::<Vec<_>>());
    }
    let ids = Folds::of_ids(&[7, -1, 7, 3]).unwrap();
    assert_eq!((ids.folds().len(), &ids.folds()[1].held_out[..]), (2, &[0, 2][..]));
    assert_eq!(ids.folds()[1].fitted, [1, 3]);
}

#[test]
fn folds_that_cannot_be_are_refused() {
    let says = |e: proxjet::error::Error, kind: ErrorKind, words: &[&str]| {
        assert_eq!(e.kind, kind, "{e}");
        words.iter().for_each(|w| assert!(e.to_string().contains(w), "'{w}' is not in: {e}"));
    };
    use ErrorKind::{Data, Usage};
    says(Folds::k_fold(4, 5, 1).unwrap_err(), Data, &["5 folds", "at most 4", "fewer folds"]);
    says(Folds::k_fold(4, 1, 1).unwrap_err(), Usage, &["1 folds", "at least 2"]);
    says(Folds::of_ids(&[3, 3]).unwrap_err(), Data, &["of 1 different numbers"]);
    says(Folds::forward_chaining(3, 3).unwrap_err(), Data, &["4 blocks of rows", "at most 3"]);
    says(Folds::k_fold(usize::MAX, 2, 1).unwrap_err(), ErrorKind::Memory, &["2 folds of"]);
    let many = FoldRule::KFold { folds: 5, seed: 1, repeats: usize::MAX };
    let data = bundled("diabetes").unwrap();
    says(many.of(&data, false, None).unwrap_err(), ErrorKind::Memory, &["folds of 442 rows"]);
    says("5:x".parse::<FoldRule>().unwrap_err(), Usage, &["'5:x'", "K:SEED"]);
    let groups = vec!["a".to_string(), "b".into(), "a".into()];
    says(Folds::grouped(&groups, 3, 1).unwrap_err(), Data, &["2 groups for 3 folds"]);
    let fold = |fitted: Vec<usize>, held_out: Vec<usize>| Folds::new(3, vec![Fold { fitted, held_out }]);
    says(fold(vec![0, 1], vec![]).unwrap_err(), Data, &["fold 0", "0 held-out rows"]);
    says(fold(vec![0, 1], vec![1]).unwrap_err(), Data, &["row 1 twice"]);
    says(fold(vec![0], vec![3]).unwrap_err(), Data, &["row 3", "below 3"]);
    // A fold of one class, and folds of other data.
    let classes = Dataset::new(ndarray::array![[1.0], [2.0], [3.0], [4.0]], ndarray::array![0., 1., 1., 1.]);
    let builder = || Objective::builder(classes.clone().unwrap()).loss(Loss::logistic());
    let one = builder().folds(Folds::of_ids(&[0, 1, 1, 2]).unwrap()).build().unwrap_err();
    says(one, Data, &["fold 0", "one class", "stratified"]);
    says(builder().folds(Folds::k_fold(5, 2, 1).unwrap()).build().unwrap_err(), Data, &["5 rows", "4"]);
    let both = builder().folds(Folds::k_fold(4, 2, 1).unwrap()).validation(classes.clone().unwrap());
    says(both.build().unwrap_err(), Usage, &["folds and held-out rows"]);
    let folded = Objective::builder(synthetic(20, 3, false, 1)).folds(Folds::k_fold(20, 4, 1).unwrap());
    let folded = Sweep::new(folded.build().unwrap());
    says(proxjet::diff::check(&folded, &mut CpuEngine::new(), 1e-6).unwrap_err(), Usage, &["4 folds"]);
    let many = folded.clone().alphas(Alphas::Path { epsilon: 0.1, count: 1 << 23 });
    says(many.plan(&CpuEngine::new()).unwrap_err(), Usage, &["33554432 lanes"]);
}

/// A problem with weights, its folds, and the same with a sparse design.
fn problems(loss: Loss) -> (Dataset, Folds, Dataset) {
    let data = synthetic(60, 9, loss.classes(), 12);
    let of_sparse = sparse(&data);
    let folds = if loss.classes() {
        FoldRule::KFold { folds: 4, seed: 2, repeats: 1 }.of(&data, true, None)
    } else {
        Folds::forward_chaining(60, 3)
    };
    (data, folds.unwrap(), of_sparse)
}

#[test]
fn a_lane_of_a_fold_is_the_fit_of_its_rows() {
    for (loss, penalty) in [
        (Loss::squared(), Penalty::l1()),
        (Loss::logistic(), Penalty::elastic_net()),
        (Loss::huber(0.8).unwrap(), Penalty::l2()),
    ] {
        let (data, folds, sparse) = problems(loss);
        let build = |data: &Dataset| Objective::builder(data.clone()).loss(loss).penalty(penalty);
        let batch = build(&data).folds(folds.clone()).build().unwrap();
        let top = batch.alpha_max(0.5).min(1.0);
        let alphas: Vec<f64> = (0..6).map(|i| 0.6 * top * 0.5f64.powi(i)).collect();
        let run = |objective: Objective| -> SweepResult {
            let sweep = Sweep::new(objective).alphas(Alphas::List(alphas.clone())).iterations(20_000);
            let derivatives = [Derivative::LogAlpha, Derivative::PenaltyFactor(2)];
            sweep.derivatives(derivatives).tol(1e-12).run(&mut CpuEngine::new()).unwrap()
        };
        let result = run(batch);
        let of_sparse = run(build(&sparse).folds(folds.clone()).build().unwrap());
        let k = folds.folds().len();
        assert_eq!(result.lanes.len(), 6 * k);
        assert_eq!(result.trace.fold, Some((0..6 * k).map(|lane| lane % k).collect()));
        assert_eq!((result.best(), result.info.strategy), (None, Strategy::Direct));
        for (f, fold) in folds.folds().iter().enumerate() {
            let [fitted, held_out] = [&fold.fitted, &fold.held_out].map(|rows| data.select(rows).unwrap());
            let alone = run(build(&fitted).validation(held_out.clone()).build().unwrap());
            for (a, alpha) in alphas.iter().enumerate() {
                let (one, lane) = (&alone.lanes[a], &result.lanes[a * k + f]);
                let name = format!("{loss} {penalty}, alpha {a}, fold {f}");
                assert_eq!(
                    (lane.alpha, lane.fold, lane.status),
                    (*alpha, Some(f), Status::Converged),
                    "{name}"
                );
                let (x, y) = (alone.lane(a), result.lane(a * k + f));
                assert!(relative_diff(&y.coef(), &x.coef()) < 1e-6, "{name}");
                assert!((y.intercept() - x.intercept()).abs() < 1e-6, "{name}");
                assert!(relative_diff(&y.dcoef(), &x.dcoef()) < 1e-5, "{name}");
                assert!(near(lane.validation_loss, one.validation_loss, 1e-7), "{name}");
                assert!(
                    near(lane.objective, one.objective, 1e-9) && near(lane.score, one.score, 1e-6),
                    "{name}"
                );
                let slopes = |l: &proxjet::solve::LaneResult| Array1::from(l.hypergradient.clone().unwrap());
                assert!(max_abs_diff(&slopes(lane), &slopes(one)) < 1e-6, "{name}");
                // The recorded loss is the one of the last iterate.
                let z = held_out.design().apply_vector(y.coef()) + y.intercept();
                let w = held_out.sample_weight().to_owned() / held_out.sample_weight().sum();
                let signed = |v: f64| if loss.classes() { 2.0 * v - 1.0 } else { v };
                let terms = (0..z.len()).map(|i| w[i] * loss.value(z[i], signed(held_out.target()[i])));
                assert!(near(Some(terms.sum()), lane.validation_loss, 1e-9), "{name}");
                assert!(relative_diff(&of_sparse.lane(a * k + f).coef(), &y.coef()) < 1e-7, "{name}, sparse");
            }
        }
        let candidates = result.cross_validation().unwrap();
        assert_eq!(candidates.len(), 6);
        for (a, of) in candidates.iter().enumerate() {
            let losses: Array1<f64> =
                result.lanes[a * k..(a + 1) * k].iter().map(|l| l.validation_loss.unwrap()).collect();
            assert!(near(of.mean, losses.mean(), 1e-12));
            let error = losses.std_axis(Axis(0), 1.0).into_scalar() / (k as f64).sqrt();
            assert!(near(of.standard_error, Some(error), 1e-12));
        }
    }
}

/// Repeats have the same rows: they settle the mean, and leave the standard error that of one partition.
#[test]
fn repeats_do_not_shrink_the_standard_error() {
    let data = synthetic(60, 8, false, 2);
    let folds = "3:1:5".parse::<FoldRule>().unwrap().of(&data, false, None).unwrap();
    let objective = Objective::builder(data).folds(folds.clone()).build().unwrap();
    let result = Sweep::new(objective).alphas(Alphas::List(vec![0.1])).run(&mut CpuEngine::new()).unwrap();
    let losses: Array1<f64> = result.lanes.iter().map(|l| l.validation_loss.unwrap()).collect();
    let error = losses.std_axis(Axis(0), 1.0).into_scalar() / 3f64.sqrt();
    let candidates = result.cross_validation().unwrap();
    assert!(near(candidates[0].standard_error, Some(error), 1e-12));
    // The fold of every row, as `fold` of the lanes names it.
    let ids = result.trace.fold_id.unwrap();
    assert_eq!(ids.dim(), (5, 60));
    for (f, fold) in folds.folds().iter().enumerate() {
        let rows: Vec<usize> = (0..60).filter(|i| ids[[f / 3, *i]] == f as i64).collect();
        assert_eq!(rows, fold.held_out);
    }
}

/// Every kernel that weighs rows, with dense and with sparse designs.
#[test]
fn a_gpu_gives_the_sequences_of_the_cpu_engine() {
    let Some(mut gpu) = common::gpu() else { return };
    let pgd = |step: Step| Schedule::from(Phase::new(Algorithm::Pgd).step(step));
    let fista = || Schedule::from(Phase::new(Algorithm::Fista));
    let mut report = Report::default();
    for (name, loss, schedule, metric, d) in [
        ("plain", Loss::logistic(), fista(), Metric::Auto, 1),
        ("many tangents", Loss::squared(), fista(), Metric::Auto, 9),
        ("metric", Loss::logistic(), fista(), Metric::Hessian { every: 5, gain: 1.0 }, 1),
        (
            "backtracking",
            Loss::squared(),
            pgd(Step::Backtracking { start: 4.0, shrink: 0.5 }),
            Metric::None,
            1,
        ),
        ("secant", Loss::squared(), pgd(Step::BarzilaiBorwein { high: 20.0 }), Metric::None, 2),
    ] {
        let (data, folds, sparse) = problems(loss);
        for (design, data) in [("dense", data), ("sparse", sparse)] {
            let objective = Objective::builder(data).loss(loss).folds(folds.clone()).build().unwrap();
            let top = objective.alpha_max(1.0);
            let alphas = (0..6).map(|i| 0.6 * top * 0.6f64.powi(i)).collect();
            let sweep = Sweep::new(objective).alphas(Alphas::List(alphas)).schedule(schedule.clone());
            let derivatives = [Derivative::LogAlpha, Derivative::PenaltyFactor(2)];
            let sweep = sweep.derivatives(derivatives.into_iter().cycle().take(d)).metric(metric.clone());
            let sweep = sweep.iterations(15).every(5).tol(0.0);
            let truth = sweep.run(&mut CpuEngine::new()).unwrap();
            assert!(truth.trace.validation_loss.is_some() && truth.trace.hypergradient.is_some());
            for (precision, margin, bound) in [(Precision::F64, 1e-12, 1e-8), (Precision::F32, 1e-5, 2e-3)] {
                let found = sweep.clone().precision(precision).run(&mut gpu).unwrap();
                let name = format!("{name}, {design}, {precision:?}");
                let differs = compare(&truth, &found, margin);
                report
                    .check(&name, differs.within(bound) && differs.at_kinks <= 1, || format!("{differs:?}"));
                for (i, (a, b)) in truth.lanes.iter().zip(&found.lanes).enumerate() {
                    let differs = ends_differ(a, b, 5.0 * bound);
                    report.check(&name, differs.is_empty(), || format!("lane {i}: {differs}"));
                }
            }
        }
    }
    report.finish(300);
}

/// The derivative of a fold's held-out loss along the iterations, by differences of two further runs.
#[test]
fn derivatives_of_folds_are_those_of_differences() {
    let (data, folds, _) = problems(Loss::squared());
    let objective = Objective::builder(data).folds(folds).build().unwrap();
    let top = objective.alpha_max(1.0);
    let sweep = |factor: f64| {
        let alphas = [0.5, 0.1].iter().map(|a| a * top * factor).collect();
        let sweep = Sweep::new(objective.clone()).alphas(Alphas::List(alphas)).iterations(40).tol(0.0);
        sweep.every(10).run(&mut CpuEngine::new()).unwrap().trace
    };
    let h = 1e-6f64;
    let (middle, low, high) = (sweep(1.0), sweep((-h).exp()), sweep(h.exp()));
    let slope = (high.validation_loss.unwrap() - low.validation_loss.unwrap()) / (2.0 * h);
    let found = middle.hypergradient.unwrap().index_axis_move(Axis(2), 0);
    assert!(relative_diff(&found, &slope) < 1e-6);
}

/// The last block of rows is fitted in no fold: the fit on all rows needs bounds of its own.
#[test]
fn a_fit_on_all_rows_has_the_step_of_all_rows() {
    let data = synthetic(40, 5, false, 3);
    // Its rows are thirty times as long.
    let x =
        ndarray::Array2::from_shape_fn((40, 5), |(i, j)| data.x()[[i, j]] * if i < 30 { 1.0 } else { 30.0 });
    let data = Dataset::new(x, data.target().to_owned()).unwrap();
    let builder = || Objective::builder(data.clone()).intercept(false);
    let folded = builder().folds(Folds::forward_chaining(40, 3).unwrap()).build().unwrap();
    let refit = |objective: Objective| Sweep::new(objective).metric(Metric::None).iterations(5000);
    let found = refit(folded.clone()).without_folds(0.1).run(&mut CpuEngine::new()).unwrap();
    let alone = refit(builder().build().unwrap()).alphas(Alphas::List(vec![0.1]));
    let alone = alone.run(&mut CpuEngine::new()).unwrap();
    assert_eq!(found.lanes[0].status, Status::Converged);
    assert!(found.info.lipschitz > 10.0 * folded.spectrum().lipschitz);
    assert!(relative_diff(&found.lane(0).coef(), &alone.lane(0).coef()) < 1e-6);
}
