//! What an entry of the catalogs declares of itself. Every field must be given: a solver, a strategy or a
//! bound relies on nothing else ([`Need`](super::Need)).

/// What a loss has. Its dual is declared by [`LossFunction::Dual`](super::LossFunction::Dual).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossCapabilities {
    /// The loss of one sample in words, for the objective in result files.
    pub formula: &'static str,
    /// True if `φ(·, y)` is convex.
    pub convex: bool,
    /// What targets are.
    pub target: TargetDomain,
    /// What is known of `φ''`.
    pub curvature: Curvature,
    /// True if `φ(z, y) = ½ (z − y)²` exactly: then `XᵀX` and `Xᵀy` replace the data, and centring replaces
    /// an intercept.
    pub least_squares: bool,
    /// True if rows contribute one by one.
    pub coupling: Coupling,
    /// Columns of coefficients of a lane.
    pub columns_per_lane: usize,
}

/// What a penalty has. Its dual is declared by [`PenaltyFunction::Dual`](super::PenaltyFunction::Dual).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PenaltyCapabilities {
    /// The penalty in words, for the objective in result files.
    pub formula: &'static str,
    /// True if `g` is convex.
    pub convex: bool,
    /// True if coefficients contribute one by one.
    pub coupling: Coupling,
    /// Columns of coefficients of a lane.
    pub columns_per_lane: usize,
    /// True if `alpha` enters.
    pub alpha: bool,
    /// The `l1_ratio` that the penalty fixes; `None` where the lane's counts.
    pub l1_ratio: Option<f64>,
    /// Where the ridge term `½ l2 x²` belongs.
    pub ridge: Ridge,
    /// Which inputs the proximal map sends to zero.
    pub zeros: Zeros,
    /// The limit that steps must stay below; `None` where every step has a proximal map.
    pub step_limit: Option<StepLimit>,
}

/// What the targets of a loss are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetDomain {
    /// Numbers: the loss can be differentiated with respect to them.
    Real,
    /// Two classes, encoded as −1 and +1.
    Classes,
}

/// What is known of the curvature `φ''` of a loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Curvature {
    /// It is bounded everywhere.
    Bounded(CurvatureBounds),
    /// It exists at every point, without a bound: there is no step `1/L`.
    Local,
}

/// Bounds on the curvature of a loss, over all `z` and `y`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurvatureBounds {
    /// `sup φ''`: the Lipschitz constant of the data part is `d2_max · λ_max(Xᵀ diag(ω) X)`.
    pub d2_max: f64,
    /// `inf φ''`.
    pub d2_min: f64,
    /// `sup |φ'''|`, a Lipschitz constant of `φ''`; infinite where `φ''` jumps.
    pub d3_max: f64,
}

impl Curvature {
    /// The bounds; infinite where there are none.
    pub fn bounds(self) -> CurvatureBounds {
        match self {
            Curvature::Bounded(bounds) => bounds,
            Curvature::Local => {
                CurvatureBounds { d2_max: f64::INFINITY, d2_min: f64::NEG_INFINITY, d3_max: f64::INFINITY }
            }
        }
    }
}

/// Which parts of its argument a loss or a penalty couples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coupling {
    /// None: it is a sum of functions of one number.
    Separable,
    /// Groups of them.
    Grouped,
}

/// Where the ridge term `½ l2 x²` of a penalty belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ridge {
    /// There is none.
    Absent,
    /// To the smooth function `f`: its gradient enters with that of the loss.
    InLoss,
    /// To the proximal map.
    InProx,
}

/// Which inputs `w` the proximal map of step `s` sends to zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zeros {
    /// None but single points: coefficients do not rest at zero.
    Absent,
    /// `|w| ≤ s·l1`.
    BothSides,
    /// `w ≤ s·l1`: coefficients are not negative.
    Below,
}

impl Zeros {
    /// What counts of `v = −∂_j f` against the threshold `l1`.
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
    /// What is added to its value.
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
