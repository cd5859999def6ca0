//! The algorithms. All take the step `x⁺ = prox(x + β(x − x₋) − α∇f(e))`; they differ in the point `e` alone.

use crate::error::{Error, ErrorKind};

/// The update of one iteration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Algorithm {
    /// Proximal gradient descent: no momentum.
    Pgd,
    /// Accelerated proximal gradient (Beck & Teboulle 2009): the gradient is taken at `x + β(x − x₋)`.
    Fista,
    /// Heavy ball (Polyak 1964; proximal: Ochs et al. 2014): the gradient is taken at `x`.
    HeavyBall,
}

impl Algorithm {
    /// Every name, as in the CLI and in JSON.
    pub const NAMES: &'static [&'static str] = &["pgd", "fista", "heavy_ball"];

    /// The name in CLI and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Pgd => "pgd",
            Algorithm::Fista => "fista",
            Algorithm::HeavyBall => "heavy_ball",
        }
    }

    /// True if the gradient is taken at the extrapolated point.
    pub fn extrapolates(self) -> bool {
        self == Algorithm::Fista
    }
}

impl std::str::FromStr for Algorithm {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "pgd" => Ok(Algorithm::Pgd),
            "fista" => Ok(Algorithm::Fista),
            "heavy_ball" => Ok(Algorithm::HeavyBall),
            _ => Err(Error::unknown(ErrorKind::Usage, "algorithm", text, Algorithm::NAMES)),
        }
    }
}
