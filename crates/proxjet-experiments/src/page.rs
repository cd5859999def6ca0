//! The parts specific to the experiments page: its statements and its tables.

use maud::{Markup, html};

use crate::table::{ExperimentFile, RuleSummary};

/// The page's title.
pub const TITLE: &str = "Derivatives of solvers whose updates vary with the iteration";

/// The introduction: the subject, and the results that are proved, measured and cited.
pub fn introduction() -> Markup {
    html! {
        p {
            "A solver runs " em { "x" } " ← " em { "A" sub { "k" } "(x, u)" } ", where the step, the \
                momentum, the metric or the
             method itself changes from one iteration to the next, and carries the derivative "
            em { "Dx" } " of its iterate by the hyperparameter " em { "u" } " (here log alpha). Does \
                that derivative converge
             to the derivative of the solution, and how fast?"
        }
        (statements())
    }
}

/// The statements: proved, measured here, and reported by the paper.
fn statements() -> Markup {
    html! {
        div.proved {
            p { strong { "Proved. " }
                "Let all updates share the fixed point x*, be differentiable near it with derivatives that \
                    are Lipschitz with one constant, and
                 let x converge to x*. " b { "Uniform: " } "if their Jacobians at x* contract by one factor \
                 ρ in one norm, Dx converges to the
                 derivative of the solution; no limit of the updates is needed. " b { "Limit: " } "if the \
                 updates have a limit, it is
                 enough that the limit's Jacobian has a spectral radius below 1. In both cases, with errors \
                 of x like ρ" sup { "k" } ",
                 errors of Dx are slower by a power of k at most, and like ρ" sup { "k" } " where the update \
                 is affine near the solution, as
                 for the lasso once its support is identified. For a lasso that holds where the solution is \
                 not degenerate (margin
                 above 0) and its active columns are independent. The column “theory” says which case covers \
                 a rule; “–”: neither, because
                 its steps come arbitrarily near 0 or 2/L. The argument is in docs/derivatives.md."
            }
        }
        div.measured {
            p { strong { "Measured here. " }
                "Every number and curve below comes from the run that wrote this page. q is the factor by \
                    which the changes of x, or
                 of Dx, shrink in an iteration, fitted after identification; “predicted” follows from the \
                 eigenvalues of the Hessian on the
                 solution's manifold and from the steps and momenta used, not from the errors. The m of \
                 “2/(L+m)”, “strongly convex” and
                 “heavy ball”, and the L and m of “the manifold”, are those of the solution's manifold, \
                 which no solver knows beforehand."
            }
        }
        div.paper {
            p { strong { "In the paper. " }
                "S. Mehmood and P. Ochs, “Automatic Differentiation of Optimization Algorithms with \
                    Time-Varying Updates”, ICML 2025
                 (arXiv:2410.15923), proves convergence and rates of the derivative iterates for such \
                 updates, treats proximal gradient
                 descent with variable step and accelerated proximal gradient on partly smooth problems, and \
                 shows experiments on
                 ℓ1-regularised linear and ℓ2-regularised logistic regression. Its data and numbers are not \
                 used here and not claimed
                 to be matched."
            }
        }
    }
}

/// Titles of the table's columns; on narrow screens every cell has its own.
const COLUMNS: [&str; 11] = [
    "rule",
    "theory",
    "engine",
    "q of x",
    "q of Dx",
    "predicted",
    "identified at",
    "iterations",
    "final error of x",
    "final error of Dx",
    "diverged",
];

/// The rates of an experiment.
pub fn table(file: &ExperimentFile) -> Markup {
    let rate = |v: &Option<[f64; 3]>| match v {
        Some([low, middle, high]) if high - low > 5e-5 => format!("{middle:.4} ({low:.4}–{high:.4})"),
        Some([_, middle, _]) => format!("{middle:.4}"),
        None => "–".into(),
    };
    let small = |v: Option<f64>| v.map_or("–".into(), |v| format!("{v:.1e}"));
    let cells = |r: &RuleSummary| {
        [
            r.rule.clone(),
            r.theory.into(),
            r.engine.clone(),
            rate(&r.q_x),
            rate(&r.q_d),
            r.predicted.map_or("–".into(), |v| format!("{v:.4}")),
            r.identified.map_or("–".into(), |k| format!("{k:.0}")),
            r.iterations.to_string(),
            small(r.error),
            small(r.derivative_error),
            if r.diverged > 0 { r.diverged.to_string() } else { "–".into() },
        ]
    };
    html! {
        p {
            (format!(
                "L = {:.4}; on the manifold of the solution {} active coefficients, eigenvalues from {:.4} \
                    to {:.4}, margin {:.3}; {} starts.",
                file.lipschitz, file.active, file.restricted[0], file.restricted[1], file.margin, file.starts
            ))
        }
        table {
            thead { tr { @for title in COLUMNS { th { (title) } } } }
            tbody {
                @for rule in &file.rules {
                    tr {
                        @for (title, cell) in COLUMNS.iter().zip(cells(rule)) {
                            td data-title=(title) { (cell) }
                        }
                    }
                }
            }
        }
        p { "Medians over the starts, with the 10 % and 90 % quantiles of the rates in brackets where they \
            differ. A dash: not to be had, because
             fewer than eight iterations lie between identification and rounding. In f32 rounding comes \
             sooner, windows are earlier and
             shorter, and rates of rules that bend differ." }
    }
}
