//! Adaptive restart of the momentum.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};

/// The condition that restarts the momentum (O'Donoghue & Candès 2015).
///
/// A restart is decided by a comparison; derivatives follow the branch that ran, so the restart does not move
/// with `log_step`. In `momentum:K`, `K` is an iteration of the run, not since the restart. If a restart
/// happens at `K`, the derivative is with respect to the 0 of a counted momentum; under the other rules it is
/// zero, because the restart overrides them (docs/schedules.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Restart {
    /// Never.
    #[default]
    None,
    /// When the objective increased.
    Function,
    /// When the step points against the last movement: `⟨e − x⁺, x⁺ − x⟩ > 0`.
    Gradient,
}

impl Restart {
    /// Every name.
    pub const NAMES: &'static [&'static str] = &["none", "function", "gradient"];
}

impl std::str::FromStr for Restart {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "none" => Ok(Restart::None),
            "function" => Ok(Restart::Function),
            "gradient" => Ok(Restart::Gradient),
            _ => Err(Error::unknown(ErrorKind::Usage, "restart", text, Restart::NAMES)),
        }
    }
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Restart::None => "none",
            Restart::Function => "function",
            Restart::Gradient => "gradient",
        })
    }
}
