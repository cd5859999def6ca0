//! What other modules read and set of a sweep.

use super::{Path, Sweep, SweepResult};
use crate::objective::Derivative;
use crate::program::Precision;
use crate::result::Polish;

impl Sweep {
    /// The derivatives that were asked for; by default that by `log_alpha` if the penalty has an alpha.
    pub(crate) fn derivatives_or_default(&self) -> Vec<Derivative> {
        match &self.derivatives {
            Some(list) => list.clone(),
            None if self.problem.penalty().uses_alpha() => vec![Derivative::LogAlpha],
            None => Vec::new(),
        }
    }

    /// Ends a lane as soon as its certificate says that the active set is that of the solution.
    pub(crate) fn until_identified(mut self) -> Self {
        self.until_identified = true;
        self
    }

    pub(crate) fn max_iterations(&self) -> usize {
        self.iterations
    }
    pub(crate) fn tolerance(&self) -> f64 {
        self.tol
    }
    pub(crate) fn budget(&self) -> u64 {
        self.memory_budget
    }
    pub(crate) fn path_rule(&self) -> Path {
        self.path
    }
    pub(crate) fn arithmetic(&self) -> Precision {
        self.precision
    }
}

impl SweepResult {
    pub(crate) fn polish(&self) -> &Polish {
        &self.polished
    }
}
