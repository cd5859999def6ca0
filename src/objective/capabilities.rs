//! The capabilities that an entry of the catalogs declares. Every field must be given: solvers, strategies
//! and bounds rely on nothing else ([`Need`](super::Need)).

/// Capabilities of a loss. Its dual is declared by [`LossFunction::Dual`](super::LossFunction::Dual).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossCapabilities {
    /// The loss of one sample in words, for the objective in result files.
    pub formula: &'static str,
    /// True if `φ(·, y)` is convex.
    pub convex: bool,
    /// The domain of targets.
    pub target: TargetDomain,
    /// Bounds on `φ''`, if it has any.
    pub curvature: Curvature,
    /// True if `φ(z, y) = ½ (z − y)²` exactly: then `XᵀX` and `Xᵀy` can replace the data, and centring an
    /// intercept.
    pub least_squares: bool,
    /// The coupling of rows.
    pub coupling: Coupling,
    /// Columns of coefficients of a lane.
    pub columns_per_lane: usize,
}

/// Capabilities of a penalty. Its dual is declared by
/// [`PenaltyFunction::Dual`](super::PenaltyFunction::Dual).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PenaltyCapabilities {
    /// The penalty in words, for the objective in result files.
    pub formula: &'static str,
    /// True if `g` is convex.
    pub convex: bool,
    /// True if `g` is linear between its kinks, so that its derivatives depend on signs alone.
    pub linear: bool,
    /// The coupling of coefficients.
    pub coupling: Coupling,
    /// Columns of coefficients of a lane.
    pub columns_per_lane: usize,
    /// True if the penalty depends on `alpha`.
    pub alpha: bool,
    /// The `l1_ratio` that the penalty fixes; `None` if the lane's value is used.
    pub l1_ratio: Option<f64>,
    /// The place of the ridge term `½ l2 x²`.
    pub ridge: Ridge,
    /// The inputs that the proximal map sends to zero.
    pub zeros: Zeros,
    /// The limit that steps must stay below; `None` if the proximal map exists for every step.
    pub step_limit: Option<StepLimit>,
}

/// The domain of a loss's targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetDomain {
    /// Numbers: the loss can be differentiated with respect to them.
    Real,
    /// Two classes, encoded as −1 and +1.
    Classes,
}

/// The curvature `φ''` of a loss: bounded or not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Curvature {
    /// It is bounded everywhere.
    Bounded(CurvatureBounds),
    /// It exists at every point but is unbounded: there is no step `1/L`.
    Local,
}

/// Bounds on the curvature of a loss, over all `z` and `y`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurvatureBounds {
    /// `sup φ''`: the Lipschitz constant of the data part is `d2_max · λ_max(Xᵀ diag(ω) X)`.
    pub d2_max: f64,
    /// `inf φ''`.
    pub d2_min: f64,
    /// `sup |φ'''|`, a Lipschitz constant of `φ''`; infinite if `φ''` jumps.
    pub d3_max: f64,
}

impl Curvature {
    /// The bounds; infinite if there are none.
    pub fn bounds(self) -> CurvatureBounds {
        match self {
            Curvature::Bounded(bounds) => bounds,
            Curvature::Local => {
                CurvatureBounds { d2_max: f64::INFINITY, d2_min: f64::NEG_INFINITY, d3_max: f64::INFINITY }
            }
        }
    }
}

/// The coupling between the parts of a loss's or a penalty's argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coupling {
    /// None: it is a sum of functions of one number.
    Separable,
    /// Groups of them.
    Grouped,
}

/// The place of the ridge term `½ l2 x²` of a penalty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ridge {
    /// There is none.
    Absent,
    /// In the smooth function `f`: its gradient is added to that of the loss.
    InLoss,
    /// In the proximal map.
    InProx,
}

/// The inputs `w` that the proximal map of step `s` sends to zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zeros {
    /// Only single points: coefficients do not stay at zero.
    Absent,
    /// `|w| ≤ s·l1`.
    BothSides,
    /// `w ≤ s·l1`: coefficients are not negative.
    Below,
}

impl Zeros {
    /// The part of `v = −∂_j f` that is compared with the threshold `l1`.
    pub fn pull(self, v: f64) -> f64 {
        match self {
            Zeros::Below => v.max(0.0),
            Zeros::Absent | Zeros::BothSides => v.abs(),
        }
    }
}

/// The proximal map of step `s` is defined for `s < parameter + offset` only.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepLimit {
    /// Name of a parameter of the penalty.
    pub parameter: &'static str,
    /// The offset that is added to its value.
    pub offset: f64,
}

impl std::fmt::Display for StepLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let StepLimit { parameter, offset } = self;
        if *offset == 0.0 {
            f.write_str(parameter)
        } else {
            write!(f, "{parameter} {} {}", if *offset < 0.0 { '-' } else { '+' }, offset.abs())
        }
    }
}
