//! Adaptive restart of the momentum.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};

/// When the momentum starts anew (O'Donoghue & Candès 2015).
///
/// A restart is a decision by comparison; derivatives follow the branch that ran. By `log_step` it stays
/// where it was. By `momentum:K`, `K` is an iteration of the run, not since the restart: where a restart
/// falls on it, the derivative is by the 0 of a counted momentum, and it is zero under the other rules, which
/// the restart overrules (docs/schedules.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Restart {
    /// Never.
    #[default]
    None,
    /// When the objective rose.
    Function,
    /// When the step points against the movement: `⟨e − x⁺, x⁺ − x⟩ > 0`.
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
