//! Directions of differentiation: the parameters that a lane's tangents are derivatives with respect to.

use ndarray::Array1;

use super::{Intercept, Need, Objective};
use crate::error::{Error, ErrorKind, Result};

/// A hyperparameter, or a direction of the target, to differentiate with respect to.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Derivative {
    /// `log alpha`.
    LogAlpha,
    /// `alpha`.
    Alpha,
    /// `l1_ratio`, at fixed `alpha`.
    L1Ratio,
    /// The penalty factor of one feature, by index.
    PenaltyFactor(usize),
    /// The target vector in a given direction `[n]`, in units of the target.
    Target(Array1<f64>),
    /// The logarithm of all step sizes together.
    LogStep,
    /// The step size of one iteration, from 0.
    Step(usize),
    /// The momentum of one iteration, from 0.
    Momentum(usize),
}

/// The tangent of the penalty's strengths of one lane in one direction: coefficient `j` has `dl1_j = l1 ·
/// m_j`, `dl2_j = l2 · m_j`, with `m_j = factor_j`, or 1 for the feature `only` and 0 elsewhere.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct StrengthTangent {
    pub(crate) l1: f64,
    pub(crate) l2: f64,
    pub(crate) factor_seed: Option<usize>,
}

impl StrengthTangent {
    /// The tangents `(dl1_j, dl2_j)` of a coefficient's strengths; zeros for an intercept.
    pub(crate) fn of_coefficient(&self, j: usize, factors: &Array1<f64>) -> (f64, f64) {
        let moves = match self.factor_seed {
            _ if j >= factors.len() => 0.0,
            None => factors[j],
            Some(feature) => f64::from(u8::from(feature == j)),
        };
        (self.l1 * moves, self.l2 * moves)
    }
}

impl Derivative {
    /// The name of every derivative, as in the CLI and in JSON.
    pub const NAMES: &'static [&'static str] =
        &["log_alpha", "alpha", "l1_ratio", "penalty_factor", "target", "log_step", "step:K", "momentum:K"];

    /// The name in CLI and JSON.
    pub fn name(&self) -> String {
        match self {
            Derivative::LogAlpha => "log_alpha".into(),
            Derivative::Alpha => "alpha".into(),
            Derivative::L1Ratio => "l1_ratio".into(),
            Derivative::PenaltyFactor(j) => format!("penalty_factor:{j}"),
            Derivative::Target(_) => "target".into(),
            Derivative::LogStep => "log_step".into(),
            Derivative::Step(k) => format!("step:{k}"),
            Derivative::Momentum(k) => format!("momentum:{k}"),
        }
    }

    /// The name with a feature's own name, if it is by a feature's penalty factor.
    pub fn name_in(&self, feature_names: &[String]) -> String {
        match self {
            Derivative::PenaltyFactor(j) if *j < feature_names.len() => {
                format!("penalty_factor:{}", feature_names[*j])
            }
            other => other.name(),
        }
    }

    /// Reads one as [`parse`](Self::parse), or `penalty_factor:*`, `step:*` and `momentum:*`: one for each
    /// feature, or for each of the `iterations`.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and more than a million iterations.
    pub fn parse_all(text: &str, feature_names: &[String], iterations: usize) -> Result<Vec<Self>> {
        const MOST: usize = 1_000_000;
        if matches!(text, "step:*" | "momentum:*") && iterations > MOST {
            let found = format!("'{text}' for {iterations} iterations");
            return Err(Error::usage("derivatives", found, format!("at most {MOST}"), "Name some of them."));
        }
        match text {
            "penalty_factor:*" => Ok((0..feature_names.len()).map(Derivative::PenaltyFactor).collect()),
            "step:*" => Ok((0..iterations).map(Derivative::Step).collect()),
            "momentum:*" => Ok((0..iterations).map(Derivative::Momentum).collect()),
            one => Self::parse(one, feature_names).map(|of| vec![of]),
        }
    }

    /// Reads `log_alpha`, `alpha`, `l1_ratio`, `penalty_factor:J`, `J` a zero-based index or a feature name,
    /// `log_step`, `step:K` or `momentum:K`, `K` an iteration from 0. A target direction is an array; the
    /// caller reads it and makes [`Derivative::Target`].
    ///
    /// # Errors
    /// An unknown name or feature; the nearest known one is suggested.
    pub fn parse(text: &str, feature_names: &[String]) -> Result<Self> {
        let (name, rest) = text.split_once(':').map_or((text, None), |(a, b)| (a, Some(b)));
        match (name, rest) {
            ("log_alpha", None) => Ok(Derivative::LogAlpha),
            ("alpha", None) => Ok(Derivative::Alpha),
            ("l1_ratio", None) => Ok(Derivative::L1Ratio),
            ("penalty_factor", Some(feature)) => {
                if let Some(j) = feature_names.iter().position(|f| f == feature) {
                    return Ok(Derivative::PenaltyFactor(j));
                }
                match feature.parse::<usize>() {
                    Ok(j) if j < feature_names.len() => Ok(Derivative::PenaltyFactor(j)),
                    _ => {
                        let names: Vec<&str> = feature_names.iter().map(String::as_str).collect();
                        Err(Error::unknown(ErrorKind::Usage, "derivatives penalty_factor", feature, &names))
                    }
                }
            }
            ("log_step", None) => Ok(Derivative::LogStep),
            ("step" | "momentum", Some(k)) => match k.parse() {
                Ok(k) if name == "step" => Ok(Derivative::Step(k)),
                Ok(k) => Ok(Derivative::Momentum(k)),
                Err(_) => Err(Error::usage(
                    "derivatives",
                    format!("'{text}'"),
                    format!("{name}:K, K an iteration"),
                    "",
                )),
            },
            ("penalty_factor", None) => Err(Error::usage(
                "derivatives",
                "'penalty_factor' without a feature",
                "penalty_factor:J, J a feature's name or zero-based index",
                "",
            )),
            _ => Err(Error::unknown(ErrorKind::Usage, "derivatives", text, Derivative::NAMES)),
        }
    }

    /// True for derivatives by a setting of the solver, which vanish at the solution.
    pub(crate) fn is_of_process(&self) -> bool {
        matches!(self, Derivative::LogStep | Derivative::Step(_) | Derivative::Momentum(_))
    }

    /// The capabilities it needs of loss and penalty; `None` for a setting of the solver.
    fn need(&self) -> Option<Need> {
        match self {
            Derivative::LogAlpha | Derivative::Alpha | Derivative::PenaltyFactor(_) => {
                Some(Need::StrengthDerivative)
            }
            Derivative::L1Ratio => Some(Need::L1RatioDerivative),
            Derivative::Target(_) => Some(Need::TargetDerivative),
            Derivative::LogStep | Derivative::Step(_) | Derivative::Momentum(_) => None,
        }
    }

    /// Checks that the direction exists for this objective and a lane of strength `alpha`.
    pub(crate) fn check(&self, objective: &Objective, alpha: f64) -> Result<()> {
        let at = || format!("derivative '{}'", self.name());
        let refuse =
            |found: String, expected: &str, remedy: &str| Err(Error::usage(at(), found, expected, remedy));
        if let Some(need) = self.need() {
            objective.require(need).map_err(|missing| missing.at(at()))?;
        }
        match self {
            Derivative::Target(direction) => {
                let n = objective.target.len();
                if direction.len() != n {
                    return refuse(
                        format!("{} values", direction.len()),
                        &format!("{n}, one per fitted row"),
                        "",
                    );
                }
                match direction.iter().position(|v| !v.is_finite()) {
                    Some(i) => refuse(format!("{} in row {i}", direction[i]), "finite numbers", ""),
                    None => Ok(()),
                }
            }
            Derivative::LogAlpha if alpha <= 0.0 => refuse(
                format!("alpha = {alpha}"),
                "alpha > 0",
                "Use positive alphas, or `derivatives alpha`, which exists at 0.",
            ),
            Derivative::PenaltyFactor(j) if *j >= objective.features() => {
                refuse(format!("feature {j}"), &format!("an index below {}", objective.features()), "")
            }
            _ => Ok(()),
        }
    }

    /// The tangent of the penalty strengths of a lane.
    pub(crate) fn strengths(&self, objective: &Objective, alpha: f64, l1_ratio: f64) -> StrengthTangent {
        if !objective.penalty().uses_alpha() {
            return StrengthTangent::default();
        }
        match self {
            Derivative::LogAlpha => {
                StrengthTangent { l1: alpha * l1_ratio, l2: alpha * (1.0 - l1_ratio), factor_seed: None }
            }
            Derivative::Alpha => StrengthTangent { l1: l1_ratio, l2: 1.0 - l1_ratio, factor_seed: None },
            Derivative::L1Ratio => StrengthTangent { l1: alpha, l2: -alpha, factor_seed: None },
            Derivative::PenaltyFactor(j) => {
                StrengthTangent { l1: alpha * l1_ratio, l2: alpha * (1.0 - l1_ratio), factor_seed: Some(*j) }
            }
            Derivative::Target(_) | Derivative::LogStep | Derivative::Step(_) | Derivative::Momentum(_) => {
                StrengthTangent::default()
            }
        }
    }

    /// The natural length of a tangent, per unit of the iterate's length: the logarithmic change of the
    /// strengths, or the relative change of the target, per unit of the hyperparameter.
    pub(crate) fn natural_size(&self, objective: &Objective, alpha: f64, l1_ratio: f64) -> f64 {
        if let Some((direction, _)) = self.target_tangent(objective) {
            let size = |v: &Array1<f64>| (v * v).dot(&objective.weight).sqrt();
            let target = size(&objective.target);
            return if target > 0.0 { size(&direction) / target } else { 0.0 };
        }
        let by = self.strengths(objective, alpha, l1_ratio);
        let strength = alpha * l1_ratio.max(1.0 - l1_ratio);
        if strength > 0.0 { by.l1.abs().max(by.l2.abs()) / strength } else { 0.0 }
    }

    /// The tangent of the solver's target (centred if the target is), and its weighted mean.
    pub(crate) fn target_tangent(&self, objective: &Objective) -> Option<(Array1<f64>, f64)> {
        let Derivative::Target(direction) = self else { return None };
        Some(match objective.intercept {
            Intercept::Centred { .. } => {
                let mean = objective.weight.dot(direction);
                let size = direction.iter().fold(0.0f64, |m, v| m.max(v.abs()));
                // A constant direction is only rounding errors after centring.
                let centred =
                    direction.mapv(|v| if (v - mean).abs() <= 1e-14 * size { 0.0 } else { v - mean });
                (centred, mean)
            }
            _ => (direction.clone(), 0.0),
        })
    }
}
