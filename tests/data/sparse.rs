//! Sparse files: read without expansion, and fitted as their dense form is.

use super::*;
use crate::common::cases::{sparse, thinned};
use crate::common::compare::{Report, compare};
use crate::common::{gpu, synthetic};
use proxjet::design::Design;
use proxjet::engine::cpu::CpuEngine;
use proxjet::engine::{Engine, Status};
use proxjet::objective::{Derivative, Loss, Objective, Penalty};
use proxjet::program::{Keep, Precision, Strategy};
use proxjet::schedule::{Algorithm, Metric, Phase, Step};
use proxjet::solve::{Alphas, Sweep};

fn is_sparse(data: &Dataset) -> bool {
    matches!(data.design(), Design::Sparse(_))
}

/// 3 x 40: few enough entries to stay sparse.
fn expected() -> Array2<f64> {
    let mut x = Array2::zeros((3, 40));
    (x[[0, 0]], x[[0, 39]], x[[1, 7]], x[[2, 0]]) = (0.5, 2.0, 1e-3, -4.0);
    x
}

fn scipy(format: &str, arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut all = vec![("format", text(format)), ("shape", npy(&[2], vec![3i64, 40]))];
    all.extend(arrays.iter().map(|(name, bytes)| (*name, bytes.clone())));
    npz(&all)
}

/// Text without dimensions, as scipy stores the format.
fn text(of: &str) -> Vec<u8> {
    [header(&format!("|S{}", of.len()), "()"), of.as_bytes().to_vec()].concat()
}

fn target() -> (&'static str, Vec<u8>) {
    ("y", npy(&[3], vec![1.0, 2.0, 3.0]))
}

#[test]
fn matrices_of_scipy_stay_sparse() {
    let f = Folder::new();
    let (i32s, f64s) =
        (|v: &[i32]| npy(&[v.len() as u64], v.to_vec()), |v: &[f64]| npy(&[v.len() as u64], v.to_vec()));
    let csr = [
        ("indptr", i32s(&[0, 2, 3, 4])),
        ("indices", i32s(&[39, 0, 7, 0])),
        ("data", f64s(&[2.0, 0.5, 1e-3, -4.0])),
    ];
    let coo = [
        ("row", i32s(&[2, 0, 0, 1, 0])),
        ("col", i32s(&[0, 39, 0, 7, 39])),
        // One place twice.
        ("data", f64s(&[-4.0, 1.5, 0.5, 1e-3, 0.5])),
    ];
    let mut start = vec![2; 41];
    (start[0], start[40]) = (0, 4);
    start[8..40].fill(3);
    let csc =
        [("indptr", i32s(&start)), ("indices", i32s(&[2, 0, 1, 0])), ("data", f64s(&[-4.0, 0.5, 1e-3, 2.0]))];
    for (format, arrays) in [("csr", &csr[..]), ("csc", &csc[..]), ("coo", &coo[..])] {
        let data = f.read("d.npz", &scipy(format, &[arrays, &[target()]].concat())).unwrap();
        assert!(is_sparse(&data), "{format}");
        assert_eq!((data.x(), data.target()[2]), (expected(), 3.0), "{format}");
        // The target in a file of its own.
        let y = f.file("y.npy", &target().1);
        let data = f.target("d.npz", &scipy(format, arrays), y.to_str().unwrap()).unwrap();
        assert_eq!((data.x(), data.target()[2]), (expected(), 3.0), "{format}");
    }
    use ErrorKind::{Data, Usage};
    says(f.read("d.npz", &scipy("csr", &csr)), Data, &["a sparse matrix without target", "as `target`"]);
    says(
        f.target("d.npz", &scipy("csr", &csr), "y"),
        Usage,
        &["'y' for a matrix without names", "a NPY file"],
    );
    says(
        f.read("d.npz", &scipy("bsr", &[target(), csr[2].clone()])),
        Data,
        &["'bsr'", "csr, csc or coo", "tocsr()"],
    );
    let with = |at: usize, array: Vec<u8>| {
        let mut arrays = [&csr[..], &[target()]].concat();
        arrays[at].1 = array;
        f.read("d.npz", &scipy("csr", &arrays))
    };
    says(with(0, i32s(&[0, 2, 1, 4])), Data, &["indptr", "ascend from 0 to 4"]);
    says(with(1, i32s(&[40, 0, 7, 0])), Data, &["row 0, column 40", "columns below 40"]);
    says(with(1, i32s(&[-1, 0, 7, 0])), Data, &["indices", "-1", "whole numbers"]);
    says(with(1, i32s(&[0, 7, 0])), Data, &["3 entries", "4, as many"]);
    says(with(2, f64s(&[2.0, f64::NAN, 1e-3, -4.0])), Data, &["row 0, column 0 ('x0')", "NaN"]);
}

#[test]
fn an_archive_that_scipy_wrote_is_read() {
    // tests/golden/scipy_sparse.py
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let options =
        ReadOptions { target: Some(path.join("scipy_y.npy").display().to_string()), ..Default::default() };
    let read = |name: &str| read(&path.join(name), &options).unwrap();
    let csr = read("scipy_csr.npz");
    assert!(is_sparse(&csr));
    assert_eq!((csr.rows(), csr.features()), (12, 30));
    for other in ["scipy_csc.npz", "scipy_coo.npz", "scipy.mtx"] {
        assert_eq!(read(other).x(), csr.x(), "{other}");
    }
    // Their sum, and that of row i times i, by numpy.
    let sum: f64 = csr.x().sum();
    let weighted: f64 = csr.x().rows().into_iter().zip(0..).map(|(r, i)| f64::from(i) * r.sum()).sum();
    assert!(
        (sum - SCIPY_SUMS.0).abs() < 1e-12 && (weighted - SCIPY_SUMS.1).abs() < 1e-12,
        "{sum} {weighted}"
    );
}

/// Printed by tests/golden/scipy_sparse.py.
const SCIPY_SUMS: (f64, f64) = (20.475524922128184, 116.77283527991469);

#[test]
fn matrix_market_files_are_read() {
    let f = Folder::new();
    let y = f.file("y.npy", &target().1).display().to_string();
    let read = |text: &str| f.target("d.mtx", text.as_bytes(), &y);
    let general = "%%MatrixMarket matrix coordinate real general\n% a comment\n3 40 4\n\
                   1 1 0.5\n1 40 2\n2 8 1e-3\n3 1 -4\n";
    let data = read(general).unwrap();
    assert!(is_sparse(&data));
    assert_eq!(data.x(), expected());
    let square = |kind: &str, value: &str| {
        read(&format!("%%MatrixMarket matrix coordinate {kind}\n3 3 1\n3 1{value}\n")).unwrap().x()
    };
    assert_eq!(square("integer symmetric", " 2")[[0, 2]], 2.0);
    assert_eq!(square("real skew-symmetric", " 2")[[0, 2]], -2.0);
    assert_eq!(square("pattern general", "")[[2, 0]], 1.0);
    use ErrorKind::{Data, Memory};
    for (text, words) in [
        ("", &["line 1", "%%MatrixMarket", "mmwrite"][..]),
        (&general.replace("real", "complex"), &["complex", "real, integer or pattern"]),
        (&general.replace("coordinate", "array"), &["array", "coordinate"]),
        (&general.replace("3 40 4", "3 40"), &["line 3", "'3 40'", "ROWS COLUMNS ENTRIES"]),
        (&general.replace("3 40 4", "3 40 5"), &["4 entries", "5, as the line of sizes says"]),
        (&general.replace("3 40 4", "3 40 3"), &["line 7", "3 entries"]),
        (&general.replace("2 8 1e-3", "2 41 1e-3"), &["line 6", "column up to 40"]),
        (&general.replace("2 8 1e-3", "0 8 1e-3"), &["line 6", "counted from 1"]),
        (&general.replace("2 8 1e-3", "2 8 nan"), &["line 6", "one finite number"]),
        (&general.replace("2 8 1e-3", "2 8"), &["line 6", "one finite number"]),
    ] {
        says(read(text), Data, words);
    }
    let huge = general.replace("3 40 4", "3 99999999999 4");
    says(read(&huge), Memory, &["99999999999 rows or columns"]);
    says(read(&general.replace("3 40 4", "3 40 99999999999")), Memory, &["99999999999 entries"]);
    says(f.read("d.mtx", general.as_bytes()), Data, &["a matrix without target", "as `target`"]);
}

#[test]
fn entries_of_svmlight_may_come_in_any_order() {
    let f = Folder::new();
    let data = f.read("d.svm", b"1 40:1 2:2 40:0.5\n2 1:3\n").unwrap();
    assert!(is_sparse(&data));
    assert_eq!((data.x()[[0, 39]], data.x()[[0, 1]], data.features()), (1.5, 2.0, 40));
    // Of mostly other numbers the dense form is faster.
    assert!(!is_sparse(&f.read("d.svm", b"1 1:1 2:2\n2 1:3 2:1\n").unwrap()));
}

/// The same data with a dense and with a sparse design: fitted rows and held-out ones.
fn both(n: usize, p: usize, classes: bool, standardized: bool) -> [(Dataset, Dataset); 2] {
    let dense = thinned(&synthetic(n, p, classes, 5));
    [dense.clone(), sparse(&dense)].map(|data| {
        let (fitted, held_out) = data.split(Validation { fraction: 0.25, seed: 2 }).unwrap();
        let fitted = if standardized { fitted.standardize() } else { fitted };
        let held_out = held_out.standardize_like(&fitted).unwrap();
        (fitted, held_out)
    })
}

/// Loss, penalty, strategy, metric and tangents of a sweep of both designs.
type Setting = (Loss, Penalty, Strategy, Metric, usize);

fn settings() -> [Setting; 6] {
    let hessian = Metric::Hessian { every: 7, gain: 1.0 };
    let huber = Loss::huber(0.7).unwrap();
    [
        (Loss::squared(), Penalty::l1(), Strategy::Direct, Metric::Auto, 2),
        (Loss::squared(), Penalty::l1(), Strategy::Gram, Metric::None, 2),
        (Loss::squared(), Penalty::l1(), Strategy::Persistent, Metric::None, 2),
        (Loss::logistic(), Penalty::elastic_net(), Strategy::Direct, Metric::Auto, 2),
        (Loss::logistic(), Penalty::l1(), Strategy::Direct, hessian, 1),
        (huber, Penalty::l2(), Strategy::Direct, Metric::Auto, 9),
    ]
}

/// Every setting with a design that is sparse, on an engine, is that with a dense one on the CPU engine.
fn sequences_are_those_of_a_dense_design(engine: &mut dyn Engine, precision: Precision) {
    let (margin, bound) = match precision {
        Precision::F32 => (1e-5, 1e-3),
        Precision::F64 => (1e-12, 1e-9),
    };
    let mut report = Report::default();
    // Every kind once: in f32 the kernels are the same.
    let centring: &[(bool, bool)] = match precision {
        Precision::F32 => &[(true, true)],
        Precision::F64 => &[(true, false), (true, true), (false, false)],
    };
    // Rows that are fewer than columns, and rows that are more.
    for (n, p) in [(40, 130), (90, 12)] {
        for (k, (loss, penalty, strategy, metric, d)) in settings().into_iter().enumerate() {
            // The triangular factor serves more rows than columns; the persistent kernel is a device's.
            let able = match strategy {
                Strategy::Direct => true,
                Strategy::Gram => engine.info().engine == "gpu" || n > p,
                // A workgroup's memory holds a lane with few coefficients.
                _ => engine.info().engine == "gpu" && n > p,
            };
            if !able {
                continue;
            }
            for &(intercept, standardized) in centring {
                let sweep = |(fitted, held_out): &(Dataset, Dataset)| {
                    let objective = Objective::builder(fitted.clone()).loss(loss).penalty(penalty);
                    let objective = objective.intercept(intercept);
                    // The persistent kernel has no held-out rows.
                    let objective = match strategy {
                        Strategy::Persistent => objective.build().unwrap(),
                        _ => objective.validation(held_out.clone()).build().unwrap(),
                    };
                    // None at alpha_max itself, which is a kink.
                    let top = objective.alpha_max(penalty.l1_ratio().unwrap_or(0.5)).min(1.0);
                    let alphas = (0..9).map(|i| 0.9 * top * 0.85f64.powi(i)).collect();
                    let sweep = Sweep::new(objective)
                        .alphas(Alphas::List(alphas))
                        .iterations(150)
                        .every(30)
                        .keep(Keep::All);
                    // A restart compares numbers that near the solution differ by rounding.
                    let sweep = sweep.schedule(Phase::new(Algorithm::Fista)).metric(metric.clone()).tol(0.0);
                    let kinds =
                        [Derivative::LogAlpha, Derivative::PenaltyFactor(3), Derivative::PenaltyFactor(5)];
                    sweep.derivatives(kinds.into_iter().cycle().take(d))
                };
                let [dense, sparse] = both(n, p, loss.classes(), standardized);
                assert!(!is_sparse(&dense.1) && is_sparse(&sparse.0) && is_sparse(&sparse.1));
                let dense = sweep(&dense).run(&mut CpuEngine::new()).unwrap();
                let asked = sweep(&sparse).precision(precision).strategy(Some(strategy));
                assert_eq!(asked.problem().stored().map(|[x, _]| x.shifted), Some(intercept));
                let sparse = asked.run(engine).unwrap();
                let name = format!("{n} x {p}, {k}, intercept {intercept}, standardized {standardized}");
                let found = compare(&dense, &sparse, margin);
                let is_close = found.within(bound) && found.at_kinks <= 1;
                report.check(&name, is_close, || format!("{found:?}"));
            }
        }
    }
    report.finish(9 * centring.len());
}

/// Lanes that overflow leave nothing to those that follow in their slots.
fn lanes_that_overflow_spoil_no_other(engine: &mut dyn Engine, precision: Precision, strategy: Strategy) {
    let (huge, rounding) = if precision == Precision::F32 { (1e30, 1e-5) } else { (1e200, 1e-12) };
    let [_, (fitted, held_out)] = both(90, 12, false, true);
    let objective = Objective::builder(fitted).validation(held_out).build().unwrap();
    let top = objective.alpha_max(1.0);
    let sweep = |lanes: std::ops::Range<i32>| {
        let steps = lanes.clone().map(|lane| if lane < 20 { huge } else { 0.1 });
        let steps = ndarray::Array2::from_shape_vec((1, lanes.len()), steps.collect()).unwrap();
        let steps = steps.broadcast((60, lanes.len())).unwrap().to_owned().into_dyn();
        let alphas = Alphas::List(lanes.map(|lane| 0.9 * top * 0.9f64.powi(lane)).collect());
        let schedule = Phase::new(Algorithm::Fista).step(Step::Table(steps));
        let sweep = Sweep::new(objective.clone()).alphas(alphas).schedule(schedule).iterations(60).tol(0.0);
        sweep.metric(Metric::None).precision(precision).strategy(Some(strategy))
    };
    let all = sweep(0..40);
    let of_few_slots = (60_000..8_000_000).step_by(20_000).map(|bytes| all.clone().memory_budget(bytes));
    let few = |sweep: &Sweep| sweep.plan(&*engine).is_ok_and(|plan| plan.slots > 8 && plan.slots < 20);
    let all = of_few_slots.into_iter().find(few).expect("a budget for a few slots").run(engine).unwrap();
    let alone = sweep(20..40).run(engine).unwrap();
    assert!(all.lanes[..20].iter().all(|lane| lane.status == Status::NotFinite), "{:?}", all.lanes);
    for (lane, alone) in all.lanes[20..].iter().zip(&alone.lanes) {
        assert_eq!(lane.status, Status::MaxIterations);
        for (a, b) in [(lane.objective, alone.objective), (lane.validation_loss, alone.validation_loss)] {
            let (a, b) = (a.unwrap(), b.unwrap());
            // Products of other widths round otherwise.
            assert!((a - b).abs() <= rounding * b.abs(), "{strategy:?}: {a} {b}");
        }
    }
}

#[test]
fn lanes_that_overflow_spoil_no_other_on_either_engine() {
    lanes_that_overflow_spoil_no_other(&mut CpuEngine::new(), Precision::F64, Strategy::Direct);
    lanes_that_overflow_spoil_no_other(&mut CpuEngine::new(), Precision::F64, Strategy::Gram);
    let Some(mut gpu) = gpu() else { return };
    for strategy in [Strategy::Direct, Strategy::Gram] {
        lanes_that_overflow_spoil_no_other(&mut gpu, Precision::F32, strategy);
        lanes_that_overflow_spoil_no_other(&mut gpu, Precision::F64, strategy);
    }
}

#[test]
fn a_sparse_design_gives_the_sequences_of_the_dense_one() {
    sequences_are_those_of_a_dense_design(&mut CpuEngine::new(), Precision::F64);
}

#[test]
fn a_sparse_design_gives_the_sequences_of_the_dense_one_on_a_gpu() {
    let Some(mut gpu) = gpu() else { return };
    sequences_are_those_of_a_dense_design(&mut gpu, Precision::F64);
    sequences_are_those_of_a_dense_design(&mut gpu, Precision::F32);
}

/// The CPU engine leaves out columns without entries, unless a lane starts with a coefficient there.
#[test]
fn a_column_without_entries_keeps_a_start_that_is_not_zero() {
    let [dense, sparse] = both(40, 130, false, false).map(|(fitted, _)| fitted);
    let mut start = Array2::zeros((1, 130));
    (start[[0, 9]], start[[0, 2]]) = (3.0, -1.0);
    let run = |data: &Dataset| {
        let sweep = Sweep::new(Objective::builder(data.clone()).build().unwrap()).start(start.clone());
        let sweep = sweep.schedule(Phase::new(Algorithm::Pgd)).alphas(Alphas::List(vec![0.01, 0.1]));
        sweep.metric(Metric::None).iterations(30).every(5).tol(0.0).run(&mut CpuEngine::new()).unwrap()
    };
    let (dense, sparse) = (run(&dense), run(&sparse));
    let moved = |r: &proxjet::solve::SweepResult, k: usize| r.trace.coef[[k, 0, 9]];
    assert!(moved(&dense, 0) == 3.0 && moved(&dense, 6) < 3.0, "{}", moved(&dense, 6));
    let found = compare(&dense, &sparse, 1e-12);
    assert!(found.within(1e-9) && found.compared == 2, "{found:?}");
}

/// One gradient step from a start without zeros: `Xᵀ ω (X w − y)`, and the loss after it, by ndarray.
fn products_are_those_of_ndarray(engine: &mut dyn Engine, precision: Precision, bound: f64) {
    for (n, p) in [(300, 700), (700, 90)] {
        let data = sparse(&thinned(&synthetic(n, p, false, 8)));
        let start = Array2::from_shape_fn((1, p), |(_, j)| (0.37 * j as f64).sin() + 1.5);
        let objective = Objective::builder(data.clone()).penalty(Penalty::none()).intercept(false).build();
        let sweep = Sweep::new(objective.unwrap()).start(start.clone()).schedule(Phase::new(Algorithm::Pgd));
        let sweep =
            sweep.alphas(Alphas::List(vec![0.0])).metric(Metric::None).iterations(1).every(1).tol(0.0);
        let trace = sweep.precision(precision).strategy(Some(Strategy::Direct)).run(engine).unwrap().trace;

        let (x, w) = (data.x(), start.row(0));
        let weight = &data.sample_weight() / data.sample_weight().sum();
        let residual = |w: &Array1<f64>| x.dot(w) - data.target();
        let step = trace.step[[0, 0]];
        let moved = &w - &(step * x.t().dot(&(&weight * &residual(&w.to_owned()))));
        let largest = moved.iter().fold(0.0, |top: f64, v| top.max(v.abs()));
        let frame = trace.coef.index_axis(ndarray::Axis(0), 1);
        let error = (&moved - &frame.row(0)).mapv(f64::abs);
        assert!(error.iter().all(|e| *e <= bound * largest), "{n} x {p}, {precision:?}: {}", error.sum());
        let of_moved = residual(&moved);
        let loss = 0.5 * (&weight * &of_moved).dot(&of_moved);
        let found = trace.objective[[0, 0]];
        assert!((found / loss - 1.0).abs() <= bound, "{n} x {p}, {precision:?}: {found} {loss}");
    }
}

#[test]
fn sparse_products_are_those_of_ndarray() {
    products_are_those_of_ndarray(&mut CpuEngine::new(), Precision::F64, 1e-12);
    products_are_those_of_ndarray(&mut CpuEngine::new(), Precision::F32, 1e-5);
}

#[test]
fn sparse_products_of_a_gpu_are_those_of_ndarray() {
    let Some(mut gpu) = gpu() else { return };
    products_are_those_of_ndarray(&mut gpu, Precision::F64, 1e-12);
    products_are_those_of_ndarray(&mut gpu, Precision::F32, 1e-5);
}
