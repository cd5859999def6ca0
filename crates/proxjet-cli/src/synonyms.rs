//! Suggests this program's flags for those of other programs.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Flags of other programs, and those of this one.
const FLAGS: &[(&str, &str)] = &[
    ("--lambda", "--alphas"),
    ("--lambdas", "--alphas"),
    ("--alpha", "--alphas"),
    ("--nlambda", "--alphas"),
    ("--max-iter", "--iterations"),
    ("--max-iters", "--iterations"),
    ("--max-iterations", "--iterations"),
    ("--maxit", "--iterations"),
    ("--max_iter", "--iterations"),
    ("--n-iter", "--iterations"),
    ("--epochs", "--iterations"),
    ("--cv", "--validation"),
    ("--folds", "--validation"),
    ("--nfolds", "--validation"),
    ("--test-size", "--validation"),
    ("--family", "--loss"),
    ("--l1-wt", "--l1-ratio"),
    ("--l1_ratio", "--l1-ratio"),
    ("--fit-intercept", "--intercept"),
    ("--fit_intercept", "--intercept"),
    ("--normalize", "--standardize"),
    ("--scale", "--standardize"),
    ("--learning-rate", "--step"),
    ("--lr", "--step"),
    ("--delimiter", "--separator"),
    ("--sep", "--separator"),
    ("--label", "--target"),
    ("--sample-weight", "--weights"),
    ("--sample-weights", "--weights"),
    ("--exclude", "--drop"),
    ("--output", "--out"),
    ("--tolerance", "--tol"),
    ("--solver", "--algorithm"),
];

/// The error of an unknown flag with the known one, if other programs call it so.
pub(crate) fn with_known(mut error: clap::Error) -> clap::Error {
    let unknown = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(flag)) if error.kind() == ErrorKind::UnknownArgument => flag.clone(),
        _ => return error,
    };
    let unknown = unknown.split('=').next().unwrap_or_default();
    if let Some((_, known)) = FLAGS.iter().find(|(other, _)| *other == unknown) {
        error.insert(ContextKind::SuggestedArg, ContextValue::String((*known).into()));
    }
    error
}
