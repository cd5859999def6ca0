//! `proxjet demo`: the main job on bundled data.

use std::path::PathBuf;

use ndarray::{Array2, Axis};

use crate::engine::EngineArgs;
use crate::sweep::{run_with_progress, save};
use crate::{INTERRUPTED, interrupt, print};
use proxjet::data::{Validation, bundled};
use proxjet::engine::{Engine, cpu::CpuEngine};
use proxjet::error::Result;
use proxjet::objective::{Loss, Objective, Penalty};
use proxjet::program::{Keep, Precision};
use proxjet::schedule::{Algorithm, Momentum, Step};
use proxjet::solve::{Alphas, Sweep, SweepResult};
use proxjet_report::{DataInfo, OutputDir, ResultFile, errors_against, plot};

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder for files and pictures
    #[arg(long, value_name = "DIR", default_value = "proxjet-demo")]
    out: PathBuf,
    #[command(flatten)]
    engine: EngineArgs,
}

/// One of the two problems of the demo.
struct Case {
    name: &'static str,
    title: &'static str,
    data: &'static str,
    loss: Loss,
    penalty: Penalty,
    alphas: Alphas,
}

const LANES: usize = 100;
const ITERATIONS: usize = 2000;
const VALIDATION: Validation = Validation { fraction: 0.25, seed: 1 };

fn cases() -> [Case; 2] {
    [
        Case {
            name: "lasso",
            title: "Lasso on the diabetes data",
            data: "diabetes",
            loss: Loss::squared(),
            penalty: Penalty::l1(),
            alphas: Alphas::Path { epsilon: 1e-3, count: LANES },
        },
        Case {
            name: "logistic",
            title: "l2-logistic regression on the breast-cancer data",
            data: "breast_cancer",
            loss: Loss::logistic(),
            penalty: Penalty::l2(),
            alphas: Alphas::Geometric { high: 1.0, low: 1e-3, count: LANES },
        },
    ]
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let out = OutputDir::create(&args.out)?;
    let (mut engines, precision) = args.engine.open_all(None)?;
    let clock = std::time::Instant::now();
    for case in cases() {
        let problem = problem(&case)?;
        let shape = problem.shape();
        let mut runs: Vec<(&str, SweepResult)> = Vec::new();
        for (label, file, sweep) in sweeps(&case, &problem, precision) {
            let result = run_with_progress(&sweep, &mut engines, &format!("{}, {label}", case.name))?;
            let data = DataInfo::new(&problem, Some(VALIDATION));
            save(&out, &format!("{}-{file}-", case.name), &result, &ResultFile::new(&result, data))?;
            if interrupt::asked() {
                note!("interrupted; the finished parts are in {}", out.path().display());
                return Ok(INTERRUPTED);
            }
            runs.push((label, result));
        }
        let subtitle = format!(
            "{} rows fitted, {} held out, {} features, standardised; {LANES} lanes; {} engine, {}",
            shape.rows,
            shape.validation_rows,
            shape.features,
            engines[0].info().engine,
            precision.name()
        );
        let fista = &runs[0].1;
        if let Some(picture) = plot::path(fista, &problem, case.title, &subtitle)? {
            picture.write(&out, &format!("{}-path", case.name))?;
        }
        let reference = reference(&case, &problem)?;
        let curves: Vec<plot::ConvergenceCurve> =
            runs.iter().map(|(label, r)| curve(label, r, &reference)).collect();
        let title = format!("{}: iterates and derivatives converge together", case.title);
        plot::convergence(
            &curves,
            &title,
            &format!("{subtitle}; line: median over the lanes, band: 10 to 90 %"),
        )?
        .write(&out, &format!("{}-convergence", case.name))?;
        describe(&case, &problem, &runs)?;
    }
    closing(&out, &engines, precision, clock.elapsed().as_secs_f64())?;
    Ok(0)
}

fn problem(case: &Case) -> Result<Objective> {
    let (fitted, held_out) = bundled(case.data)?.split(VALIDATION)?;
    let fitted = fitted.standardize();
    let held_out = held_out.standardize_like(&fitted)?;
    Objective::builder(fitted).loss(case.loss).penalty(case.penalty).validation(held_out).build()
}

/// FISTA, and proximal gradient with a random time-varying step, for the same number of iterations.
fn sweeps<'a>(
    case: &'a Case,
    problem: &'a Objective,
    precision: Precision,
) -> [(&'static str, &'static str, Sweep); 2] {
    let base = Sweep::new(problem.clone())
        .alphas(case.alphas.clone())
        .iterations(ITERATIONS)
        .every(20)
        .keep(Keep::All)
        .tol(0.0)
        .precision(precision);
    let random = Step::Uniform { low: 2.0 / 3.0, high: 4.0 / 3.0, seed: 7 };
    [
        ("FISTA", "fista", base.clone()),
        ("PGD, step U(2/3, 4/3)/L", "pgd", base.algorithm(Algorithm::Pgd).step(random)),
    ]
}

/// Solution and derivative to rounding accuracy: many more iterations of accelerated proximal gradient in f64
/// on the CPU.
fn reference(case: &Case, problem: &Objective) -> Result<SweepResult> {
    Sweep::new(problem.clone())
        .alphas(case.alphas.clone())
        .momentum(Momentum::Nesterov(50.0))
        .iterations(20_000)
        .every(20_000)
        .tol(1e-13)
        .run(&mut CpuEngine::new())
}

fn curve(label: &str, result: &SweepResult, reference: &SweepResult) -> plot::ConvergenceCurve {
    let last = reference.trace.iteration.len() - 1;
    let coef = reference.trace.coef.index_axis(Axis(0), last);
    let dcoef: Array2<f64> =
        reference.trace.dcoef.index_axis(Axis(0), last).index_axis(Axis(1), 0).to_owned();
    let (error, derivative_error) = errors_against(&result.trace, 0, coef, dcoef.view());
    plot::ConvergenceCurve {
        label: label.into(),
        iteration: result.trace.iteration.clone(),
        error,
        derivative_error,
        identified: result.lanes.iter().filter_map(|l| l.identified).collect(),
    }
}

fn describe(case: &Case, problem: &Objective, runs: &[(&str, SweepResult)]) -> Result<()> {
    print(&format!("\n{}\n", case.title))?;
    for (label, result) in runs {
        let info = &result.info;
        print(&format!(
            "  {label}: {} lanes x {} iterations with d/dlog alpha in {:.2} s\n",
            result.lanes.len(),
            info.iterations,
            info.seconds
        ))?;
    }
    let fista = &runs[0].1;
    if let Some(i) = fista.best() {
        let lane = &fista.lanes[i];
        let slope = lane.hypergradient.as_ref().map_or(f64::NAN, |h| h[0]);
        print(&format!(
            "  lowest held-out loss {:.5} at alpha = {:.5} (lane {i}, {} of {} coefficients non-zero); its \
                slope by log alpha \
             there is {slope:+.2e}{}\n",
            lane.validation_loss.unwrap_or(f64::NAN),
            lane.alpha,
            lane.support,
            problem.features(),
            if i + 1 == fista.lanes.len() {
                "; it is the last of the path: smaller alphas may do better"
            } else {
                ""
            }
        ))?;
    }
    Ok(())
}

fn closing(out: &OutputDir, engines: &[Box<dyn Engine>], precision: Precision, seconds: f64) -> Result<()> {
    let infos: Vec<_> = engines.iter().map(|e| e.info()).collect();
    let devices = infos.iter().map(|info| {
        let software = if info.software { ", a software adapter" } else { "" };
        format!("{}, {}{software}", info.adapter, info.driver)
    });
    print(&format!(
        "\nRan on the {} engine ({}) in {}, {seconds:.1} s in all.\n\
         Pictures and files are in {}/: *-path.png, *-convergence.png, *-result.json, *-trace.npz.\n\n\
         Try next:\n  \
         proxjet sweep --data YOUR.csv --target NAME --standardize --validation 0.25:1 --out out\n  \
         proxjet grad-check --data bundled:diabetes --standardize --loss squared --penalty l1 --iterations \
         200\n  \
         proxjet doctor      which adapters this machine has\n  \
         proxjet bench       how fast it is here\n",
        infos[0].engine,
        devices.collect::<Vec<_>>().join("; "),
        precision.name(),
        out.path().display(),
    ))
}
