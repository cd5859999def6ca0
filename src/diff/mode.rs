//! The ways to differentiate.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};
use crate::objective::Derivative;

/// A way to differentiate the models of a sweep by its hyperparameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Mode {
    /// Tangents that the engine carries with the iterates (unrolling, forward): exact derivatives of the last
    /// iterate. Each derivative costs about as much as the iterate itself.
    Forward,
    /// A sweep backward through the iterations (unrolling, reverse): the gradient of a function of the last
    /// iterate by all hyperparameters at once, also by every step and momentum.
    Reverse,
    /// The linear system on the active set of the solution (Bertrand et al. 2022): derivatives of the
    /// solution itself.
    Implicit,
    /// The executed steps again, all linearised at the last iterate (fixed-point automatic differentiation,
    /// Mehmood & Ochs 2022): as the forward or reverse mode, but with the memory of one
    /// iterate, and without the error of early iterates.
    FixedPoint,
    /// A single iteration, differentiated at the last iterate (Bolte, Pauwels & Vaiter 2023): good for
    /// solvers that converge at once.
    OneStep,
    /// Tangents until the active set is that of the solution, then the linear system: the sequence and its
    /// limit.
    Hybrid,
    /// The mode of the least estimated time that gives what is asked for.
    Auto,
}

impl Mode {
    /// Every mode; `Auto` last.
    pub const ALL: [Mode; 7] = [
        Mode::Forward,
        Mode::Reverse,
        Mode::Implicit,
        Mode::FixedPoint,
        Mode::OneStep,
        Mode::Hybrid,
        Mode::Auto,
    ];
    /// Their names, as in the CLI and in JSON.
    pub const NAMES: &'static [&'static str] =
        &["forward", "reverse", "implicit", "fixed_point", "one_step", "hybrid", "auto"];

    /// The name in CLI and JSON.
    pub fn name(self) -> &'static str {
        Self::NAMES[Self::ALL.iter().position(|mode| *mode == self).expect("every mode has a name")]
    }

    /// True if its derivatives are those of the last iterate, rather than of the solution.
    pub fn is_unrolled(self) -> bool {
        matches!(self, Mode::Forward | Mode::Reverse)
    }

    /// Checks that the mode gives a derivative.
    ///
    /// # Errors
    /// A derivative by a setting of the iterations, in a mode that differentiates the solution.
    pub fn check(self, derivative: &Derivative) -> Result<()> {
        if self.is_unrolled() || self == Mode::Auto || !derivative.is_of_process() {
            return Ok(());
        }
        Err(Error::usage(
            "mode",
            format!("'{self}' for the derivative by '{}'", derivative.name()),
            "a mode that differentiates the iterations",
            "Steps and momenta, like the start, do not change the solution: there the derivative is zero. \
             Use mode reverse or forward for the last iterate's.",
        ))
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mode {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let known = Self::NAMES.iter().position(|name| *name == text);
        known.map(|i| Self::ALL[i]).ok_or_else(|| Error::unknown(ErrorKind::Usage, "mode", text, Self::NAMES))
    }
}
