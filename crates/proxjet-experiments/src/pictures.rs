//! The pictures of the experiments.

use proxjet::engine::Engine;
use proxjet::error::Result;
use proxjet::objective::Penalty;
use proxjet::program::Precision;
use proxjet::schedule::{Algorithm, Phase, Schedule, Step, TangentStart};
use proxjet_report::OutputDir;
use proxjet_report::html::{Figure, Section};
use proxjet_report::plot::{self, ConvergenceCurve};

use crate::table::{RuleSummary, engine_name};
use crate::{Experiment, Rule, RuleRun};

fn curve(label: String, run: &RuleRun) -> ConvergenceCurve {
    ConvergenceCurve {
        label,
        iteration: run.result.trace.iteration.clone(),
        error: run.error.clone(),
        derivative_error: run.derivative_error.clone(),
        identified: run.analysis.iter().filter_map(|a| a.identified).collect(),
    }
}

/// A picture of curves, written under its name.
fn figure(
    curves: &[ConvergenceCurve],
    (title, subtitle): (&str, &str),
    out: &OutputDir,
    (name, words): (&str, String),
) -> Result<Figure> {
    let picture = plot::convergence(curves, title, subtitle)?;
    picture.write(out, name)?;
    Ok(Figure { picture, title: title.into(), parts: plot::convergence_parts(curves.len()), words })
}

/// Two pictures of an experiment: gradient rules, and rules with momentum.
///
/// # Errors
/// A picture that cannot be written.
pub fn figures(experiment: &Experiment, runs: &[RuleRun], out: &OutputDir) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (gradient, file, title, words) in [
        (true, "gradient", "proximal gradient, step and metric varying", GRADIENT_WORDS),
        (false, "momentum", "with momentum, and a switch of the method", MOMENTUM_WORDS),
    ] {
        let label = |run: &RuleRun| {
            let summary = RuleSummary::new(run);
            let rate = |v: Option<f64>| v.map_or("–".into(), |v| format!("{v:.3}"));
            let middle = |v: Option<[f64; 3]>| rate(v.map(|b| b[1]));
            format!(
                "{}: q {} | {} (pred. {})",
                run.rule.name(),
                middle(summary.q_x),
                middle(summary.q_d),
                rate(summary.predicted)
            )
        };
        let curves: Vec<ConvergenceCurve> =
            runs.iter().filter(|r| r.rule.is_gradient() == gradient).map(|r| curve(label(r), r)).collect();
        let subtitle = format!(
            "{}; {} starts: median and 10–90 % band; q of x | Dx; dashed: active set identified",
            runs.first().map_or(String::new(), |r| engine_name(&r.result.info)),
            experiment.starts
        );
        let title = format!("{}: {title}", experiment.short);
        let identified =
            if experiment.problem.penalty() == Penalty::l1() { IDENTIFIED_WORDS } else { SMOOTH_WORDS };
        let name = format!("{}-{file}", experiment.name);
        figures.push(figure(&curves, (&title, &subtitle), out, (&name, format!("{words} {identified}")))?);
    }
    Ok(figures)
}

const GRADIENT_WORDS: &str = "Left: distance of the iterates to the solution. Right: distance of their \
    derivatives to the solution's \
    derivative. Straight, parallel lines of the same colour in both panels are the statement: whatever the \
    step does, the derivative follows at \
    the solver's own rate.";
const IDENTIFIED_WORDS: &str = "Before the dashed line of its colour (median over the starts) the active set \
    of a rule is still wrong, and so is \
    the derivative. Rules that switch do so after ten iterations without a change of the active set, which \
    can be before the last change.";
const SMOOTH_WORDS: &str =
    "There is no active set here: nothing to identify, and rules that switch do so after ten iterations.";
const MOMENTUM_WORDS: &str = "The same with momentum. Rules whose momentum tends to 1 bend: their errors \
    carry a power of k besides the \
    rate. The switch follows proximal gradient up to its identification, and accelerated proximal gradient \
    afterwards.";

/// Far starts, with and without the derivatives of the early iterations.
///
/// # Errors
/// As [`Sweep::run`](proxjet::solve::Sweep::run), and a picture that cannot be written.
pub fn curse(engine: &mut dyn Engine, precision: Precision, out: &OutputDir) -> Result<Section> {
    let experiment = Experiment { spread: 30.0, starts: 20, name: "curse".into(), ..crate::logistic(20)? };
    let reference = experiment.reference()?;
    let (mut curves, mut lines) = (Vec::new(), Vec::new());
    for (start, label) in [
        (0, "derivatives from the start"),
        (200, "derivatives from iteration 200"),
        (600, "derivatives from iteration 600"),
    ] {
        let schedule =
            Schedule::from(Phase::new(Algorithm::Pgd)).tangent_start(TangentStart::Iteration(start));
        let sweep = experiment.sweep(schedule, 1500).precision(precision);
        let result = sweep.run(engine)?;
        let run = experiment.measure(Rule::Inverse, &sweep, result, &reference)?;
        let peak = run.derivative_error.iter().fold(0.0, |m: f64, v| m.max(*v));
        let late = run.analysis.iter().filter_map(|a| a.late_start.as_ref());
        let bound = late.filter_map(|l| l.bound.as_ref()).map(|b| b[0]).fold(0.0, f64::max);
        let at = run.result.trace.iteration.iter().position(|k| *k >= 1000).unwrap_or(0);
        let mut there = run.derivative_error.row(at).to_vec();
        there.sort_by(f64::total_cmp);
        let there = there[there.len() / 2];
        let proved = if start == 0 {
            String::new()
        } else {
            format!("; at the end it is proved to be below {bound:.0e}")
        };
        lines.push(format!(
            "{label}: the error peaks at {peak:.1} times the derivative and is {there:.1e} (median) at \
                iteration 1000{proved}"
        ));
        curves.push(curve(format!("{label} (peak {peak:.1})"), &run));
    }
    let titles = (
        "The curse of unrolling, and a late start",
        "logistic regression with an l2 penalty, PGD 1/L; 20 starts 300 times farther away: median and \
            10–90 % band",
    );
    let words = "Far from the solution the Jacobians are not those of the solution, and what they feed into \
        the derivative must decay \
        first: the hump of the first curve. Derivatives that start late, from zero, have no hump, and soon \
        are as good as the others; a start too \
        late has too few iterations left. The bounds are proved, and wide.";
    Ok(Section {
        title: "A caution: the curse of unrolling".into(),
        words: format!("{}.", lines.join("; ")),
        expected: vec![
            "The starts are far away on purpose: the large errors of the derivative in the early iterations \
                are what this section shows."
                .into(),
        ],
        figures: vec![figure(&curves, titles, out, ("curse-of-unrolling", words.into()))?],
        table: None,
    })
}

/// True of a warning that the runs of this module provoke: of steps outside the range in which convergence is
/// proved.
pub fn is_expected(warning: &str) -> bool {
    warning.contains("step size") && warning.contains("/L, outside (0, 2")
}

/// Barzilai–Borwein steps, with and without a clamp.
///
/// # Errors
/// As [`curse`].
pub fn secant(engine: &mut dyn Engine, precision: Precision, out: &OutputDir) -> Result<Section> {
    let experiment = crate::ridge(20)?;
    let reference = experiment.reference()?;
    let (mut curves, mut lines) = (Vec::new(), Vec::new());
    let mut expected = vec![
        "The steps without a clamp leave (0, 2/L) on purpose: the errors of their derivative are what this \
            section shows."
            .to_string(),
    ];
    for (high, label) in [(1e6, "without a clamp"), (1.9, "clamped below 1.9/L")] {
        let schedule = Phase::new(Algorithm::Pgd).step(Step::BarzilaiBorwein { high });
        let sweep = experiment.sweep(schedule, 1000).every(2).precision(precision);
        let result = sweep.run(engine)?;
        let run = experiment.measure(Rule::Inverse, &sweep, result, &reference)?;
        let peak =
            run.derivative_error.iter().fold(0.0, |m: f64, v| if v.is_finite() { m.max(*v) } else { m });
        let last = |of: &ndarray::Array2<f64>| {
            let mut row = of.outer_iter().next_back().map(|r| r.to_vec()).unwrap_or_default();
            row.sort_by(f64::total_cmp);
            row.get(row.len() / 2).copied().unwrap_or(f64::NAN)
        };
        lines.push(format!(
            "{label}: the derivative's error peaks at {peak:.1e} and ends at {:.1e} (median), that of the \
                iterate ends at {:.1e}",
            last(&run.derivative_error),
            last(&run.error)
        ));
        let warnings = run.result.info.warnings.iter().filter(|w| is_expected(w));
        expected.extend(warnings.map(|w| format!("The run {label} warns: “{w}”")));
        curves.push(curve(format!("Barzilai–Borwein {label}"), &run));
    }
    let condition = reference.curvatures.lipschitz / reference.curvatures.restricted;
    let subtitle = format!(
        "least squares with an l2 penalty, L/m = {condition:.0}; 20 starts: median and 10–90 % band; \
            derivatives through the steps"
    );
    let titles = ("Steps found from the iterates", subtitle.as_str());
    let words = "Unclamped, steps leave (0, 2/L): there is no common contraction, and the derivative is that \
        of a chaotic map from alpha to the \
        iterate, although the iterates converge, and fast. Clamped, the derivative converges with the \
        iterate, slowly; that is \
        measured, not proved, as the tangents of such steps are not bounded. After an unclamped run use an \
        implicit derivative. The picture ends at \
        1e12.";
    Ok(Section {
        title: "A caution: Barzilai–Borwein steps".into(),
        words: format!("{}.", lines.join("; ")),
        expected,
        figures: vec![figure(&curves, titles, out, ("barzilai-borwein", words.into()))?],
        table: None,
    })
}
