//! The capabilities that solvers, strategies, derivatives and bounds need of a loss and a penalty; this is
//! the only place that checks them.

use std::fmt;

use super::{Coupling, Curvature, Loss, Objective, Penalty, TargetDomain, Zeros};
use crate::error::Error;

/// Something that works only for losses and penalties with certain capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Iterations of proximal gradient, with steps in units of `1/L`.
    Iterations,
    /// The duality gap as the stop rule.
    DualityGap,
    /// Products with `XᵀX` in place of the design.
    GramStrategy,
    /// Iterations on the coefficients that can leave zero.
    WorkingSets,
    /// Momentum from the strong convexity of loss and penalty.
    StrongConvexity,
    /// The solution and its derivatives by a linear system on the active coefficients.
    ImplicitSolution,
    /// A rate of convergence from the spectrum at the solution.
    PredictedRate,
    /// A bound on the error of a late start of the tangents.
    LateStartBound,
    /// Derivatives by `log_alpha`, `alpha` and `penalty_factor`.
    StrengthDerivative,
    /// The derivative by `l1_ratio`.
    L1RatioDerivative,
    /// Derivatives by the target.
    TargetDerivative,
}

/// A capability, in words and as a test.
#[derive(Clone, Copy)]
enum Condition {
    OfLoss(&'static str, fn(&Loss) -> bool),
    OfPenalty(&'static str, fn(&Penalty) -> bool),
}

use Condition::{OfLoss, OfPenalty};

const BOUNDED: Condition =
    OfLoss("a loss of bounded curvature", |l| matches!(l.capabilities().curvature, Curvature::Bounded(_)));
const LOSS_BY_ROWS: Condition = OfLoss("a loss that is a sum over rows, with one column a lane", |l| {
    let has = l.capabilities();
    has.coupling == Coupling::Separable && has.columns_per_lane == 1
});
const PENALTY_BY_COEFFICIENTS: Condition =
    OfPenalty("a penalty that is a sum over coefficients, with one column a lane", |p| {
        let has = p.capabilities();
        has.coupling == Coupling::Separable && has.columns_per_lane == 1
    });
const CONVEX_LOSS: Condition = OfLoss("a convex loss", |l| l.capabilities().convex);
const CONVEX_PENALTY: Condition = OfPenalty("a convex penalty", |p| p.capabilities().convex);

impl Need {
    /// Every need.
    pub const ALL: [Need; 11] = [
        Need::Iterations,
        Need::DualityGap,
        Need::GramStrategy,
        Need::WorkingSets,
        Need::StrongConvexity,
        Need::ImplicitSolution,
        Need::PredictedRate,
        Need::LateStartBound,
        Need::StrengthDerivative,
        Need::L1RatioDerivative,
        Need::TargetDerivative,
    ];

    fn conditions(self) -> &'static [Condition] {
        match self {
            Need::Iterations => &[BOUNDED, LOSS_BY_ROWS, PENALTY_BY_COEFFICIENTS],
            Need::DualityGap => &[
                OfLoss("a loss with a dual function", Loss::has_dual),
                OfPenalty("a penalty with dual functions", Penalty::has_dual),
            ],
            Need::GramStrategy => &[OfLoss("the least-squares loss", |l| l.capabilities().least_squares)],
            Need::WorkingSets => &[OfPenalty("a penalty that keeps coefficients at zero", |p| {
                p.capabilities().zeros != Zeros::Absent
            })],
            Need::StrongConvexity => &[CONVEX_LOSS, CONVEX_PENALTY],
            Need::ImplicitSolution => &[LOSS_BY_ROWS, PENALTY_BY_COEFFICIENTS],
            Need::PredictedRate | Need::LateStartBound => &[CONVEX_LOSS, CONVEX_PENALTY, BOUNDED],
            Need::StrengthDerivative => &[OfPenalty("a penalty with alpha", |p| p.capabilities().alpha)],
            Need::L1RatioDerivative => &[OfPenalty("a penalty that leaves l1_ratio free", |p| {
                let has = p.capabilities();
                has.alpha && has.l1_ratio.is_none()
            })],
            Need::TargetDerivative => {
                &[OfLoss("a loss on numbers, as class labels have no derivative", |l| {
                    l.capabilities().target == TargetDomain::Real
                })]
            }
        }
    }

    /// Checks that a loss and a penalty have the needed capabilities.
    ///
    /// # Errors
    /// The first capability that is missing, and of which entry.
    pub fn check(self, loss: &Loss, penalty: &Penalty) -> Result<(), Missing> {
        let missing =
            |expected, entry: String, able: Vec<&'static str>| Missing { need: self, entry, expected, able };
        for condition in self.conditions() {
            match condition {
                OfLoss(expected, test) if !test(loss) => {
                    let able = Loss::all().iter().filter(|l| test(l)).map(Loss::name).collect();
                    return Err(missing(expected, format!("loss '{loss}'"), able));
                }
                OfPenalty(expected, test) if !test(penalty) => {
                    let able = Penalty::all().iter().filter(|p| test(p)).map(Penalty::name).collect();
                    return Err(missing(expected, format!("penalty '{penalty}'"), able));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Need::Iterations => "an iteration of proximal gradient",
            Need::DualityGap => "the duality gap",
            Need::GramStrategy => "the Gram strategy",
            Need::WorkingSets => "a working set",
            Need::StrongConvexity => "momentum 'strongly_convex'",
            Need::ImplicitSolution => "the implicit derivative",
            Need::PredictedRate => "a predicted rate",
            Need::LateStartBound => "the bound of a late start",
            Need::StrengthDerivative => "a derivative by the strength of the penalty",
            Need::L1RatioDerivative => "the derivative by l1_ratio",
            Need::TargetDerivative => "a derivative by the target",
        })
    }
}

/// A missing capability of a catalog entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The solver part that needs it.
    pub need: Need,
    /// The entry, as in "penalty 'box:-1:1'".
    pub entry: String,
    /// The capability.
    pub expected: &'static str,
    /// Names of the entries that have it.
    pub able: Vec<&'static str>,
}

impl Missing {
    /// Converts it to the error of the setting `at`.
    pub fn at(self, at: impl Into<String>) -> Error {
        let remedy = self.remedy();
        Error::usage(at, self.entry, self.expected, remedy)
    }

    fn remedy(&self) -> String {
        let kind = self.entry.split(' ').next().unwrap_or_default();
        match &self.able[..] {
            [] => String::new(),
            [only] => format!("Use {kind} {only}."),
            [many @ .., last] => format!("Use {kind} {} or {last}.", many.join(", ")),
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} needs {}, found {}. {}", self.need, self.expected, self.entry, self.remedy())
    }
}

impl std::error::Error for Missing {}

impl Objective {
    /// Checks that loss and penalty have the needed capabilities.
    ///
    /// # Errors
    /// The first capability that is missing, and of which entry.
    pub fn require(&self, need: Need) -> Result<(), Missing> {
        need.check(&self.loss, &self.penalty)
    }

    /// True if the duality gap is the stop rule of a lane with these strengths: loss and penalty have duals,
    /// and every coordinate is penalised (otherwise no scaling makes the dual point feasible).
    pub(crate) fn has_gap(&self, l1: f64, l2: f64) -> bool {
        let least = self.penalty_factors.iter().copied().fold(f64::INFINITY, f64::min);
        let feasible = |v: f64| self.penalty.dual_ratio(v, l1 * least, l2 * least).is_finite();
        let all_penalised = self.state_rows() == self.features();
        self.require(Need::DualityGap).is_ok() && all_penalised && feasible(1.0) && feasible(-1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_capability_is_named_with_its_entry_and_a_remedy() {
        let check = |need: Need, loss: Loss, penalty: Penalty| {
            need.check(&loss, &penalty).map_err(|missing| missing.to_string())
        };
        assert_eq!(
            check(Need::TargetDerivative, Loss::logistic(), Penalty::l1()).unwrap_err(),
            "a derivative by the target needs a loss on numbers, as class labels have no derivative, \
             found loss 'logistic'. Use loss squared or huber."
        );
        assert_eq!(
            check(Need::L1RatioDerivative, Loss::squared(), Penalty::l1()).unwrap_err(),
            "the derivative by l1_ratio needs a penalty that leaves l1_ratio free, found penalty 'l1'. \
             Use penalty elastic_net."
        );
        let without_dual = check(Need::DualityGap, Loss::squared(), Penalty::none()).unwrap_err();
        assert!(without_dual.contains("dual functions, found penalty 'none'"), "{without_dual}");
        for (loss, penalty) in
            Loss::all().into_iter().flat_map(|l| Penalty::all().into_iter().map(move |p| (l, p)))
        {
            for need in [Need::Iterations, Need::ImplicitSolution] {
                assert_eq!(check(need, loss, penalty), Ok(()), "{loss} {penalty}");
            }
        }
    }
}
