//! What keeps a lane from a certificate.

/// What keeps a lane from a certificate of its value or of its derivatives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Obstacle {
    /// The active set is too large for a dense system.
    TooLarge,
    /// The objective decreases without end in some direction.
    Unbounded,
    /// Newton's method did not reach a solution.
    Stalled,
    /// The run was stopped before Newton's method ended.
    Stopped,
    /// Active columns depend on each other.
    Dependent,
    /// A coefficient is at a kink of the penalty.
    AtKink,
    /// A residual is at a knot of the loss.
    AtKnot,
}

impl Obstacle {
    /// In words, as part of a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Obstacle::TooLarge => {
                "the active set is too large for Newton's method, or for the memory that the plan leaves"
            }
            Obstacle::Unbounded => {
                "the classes can be separated by unpenalised coefficients, so there is no minimiser"
            }
            Obstacle::Stalled => "Newton's method found no solution on the active set",
            Obstacle::Stopped => "the run was stopped before Newton's method ended",
            Obstacle::Dependent => "active columns depend on each other",
            Obstacle::AtKink => "a coefficient is about to enter or leave the active set",
            Obstacle::AtKnot => "a residual is at a knot of the loss",
        }
    }
}
