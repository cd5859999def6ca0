//! Schedules: algorithm, step, momentum and metric by iteration. The host computes the tables in f64; engines
//! only read numbers.
//!
//! A [`Schedule`] holds the rules: consecutive phases, each with an algorithm, a step and a momentum. A
//! [`LaneSchedule`] holds their values for the lanes of a sweep.

use ndarray::{ArrayD, Axis};

use crate::error::{Error, Result};

mod algorithm;
mod checks;
mod curvature;
mod factors;
#[cfg(feature = "readers")]
mod file;
mod lane_schedule;
mod metric;
mod momentum;
mod restart;
mod seed;
mod step;
mod warnings;

pub use algorithm::Algorithm;
pub use curvature::LaneCurvature;
pub(crate) use factors::{Code, Unit};
pub use lane_schedule::LaneSchedule;
pub use metric::Metric;
pub use momentum::Momentum;
pub use restart::Restart;
pub(crate) use seed::ScheduleSeed;
pub use step::Step;

/// The end of a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Until {
    /// At the end of the run.
    #[default]
    End,
    /// Before this iteration, the first of the next phase.
    Iteration(usize),
    /// When the active set has not changed for [`Schedule::patience`] iterations; separately for each lane.
    Identified,
}

/// The first iteration that computes tangents; before it they are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TangentStart {
    /// From this iteration on; 0 for all.
    Iteration(usize),
    /// When the active set has not changed for [`Schedule::patience`] iterations; separately for each lane.
    Identified,
}

/// One phase of a schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct Phase {
    pub(crate) algorithm: Algorithm,
    pub(crate) step: Step,
    /// `None` for the algorithm's default.
    pub(crate) momentum: Option<Momentum>,
    pub(crate) restart: Restart,
    pub(crate) until: Until,
}

impl Phase {
    /// A phase to the end of the run: step `1/L`, the algorithm's default momentum, no restart.
    pub fn new(algorithm: Algorithm) -> Self {
        Phase {
            algorithm,
            step: Step::InverseLipschitz,
            momentum: None,
            restart: Restart::None,
            until: Until::End,
        }
    }
    /// The step rule.
    pub fn step(mut self, step: Step) -> Self {
        self.step = step;
        self
    }
    /// The momentum rule.
    pub fn momentum(mut self, momentum: Momentum) -> Self {
        self.momentum = Some(momentum);
        self
    }
    /// Adaptive restart of the momentum.
    pub fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }
    /// The end of the phase.
    pub fn until(mut self, until: Until) -> Self {
        self.until = until;
        self
    }

    fn momentum_rule(&self) -> Momentum {
        self.momentum.clone().unwrap_or_else(|| Momentum::default_for(self.algorithm))
    }
}

/// The rules of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    pub(crate) phases: Vec<Phase>,
    pub(crate) metric: Metric,
    pub(crate) tangent_start: TangentStart,
    pub(crate) patience: usize,
}

impl From<Phase> for Schedule {
    fn from(phase: Phase) -> Self {
        Schedule {
            phases: vec![phase],
            metric: Metric::None,
            tangent_start: TangentStart::Iteration(0),
            patience: DEFAULT_PATIENCE,
        }
    }
}

impl Default for Schedule {
    /// FISTA with step `1/L`, restarted by the gradient, in the metric [`Metric::Auto`]: works on data as it
    /// is. A schedule that is built from a [`Phase`] runs as given.
    fn default() -> Self {
        Schedule::from(Phase::new(Algorithm::Fista).restart(Restart::Gradient)).metric(Metric::Auto)
    }
}

/// Iterations without a change of the active set that count as identification, by default.
const DEFAULT_PATIENCE: usize = 10;

impl Schedule {
    /// The same phases with steps and momenta from tables, `[iterations, lanes]`, and without restarts.
    pub(crate) fn tabulated(mut self, steps: &ArrayD<f64>, momenta: &ArrayD<f64>) -> Self {
        for phase in &mut self.phases {
            (phase.step, phase.restart) = (Step::Table(steps.clone()), Restart::None);
            if phase.algorithm != Algorithm::Pgd {
                phase.momentum = Some(Momentum::Table(momenta.clone()));
            }
        }
        self
    }
    /// Adds a phase; the one before it needs an [`Until`].
    pub fn then(mut self, phase: Phase) -> Self {
        self.phases.push(phase);
        self
    }
    /// The metric of the whole run.
    pub fn metric(mut self, metric: Metric) -> Self {
        self.metric = metric;
        self
    }
    /// The first iteration that computes tangents.
    pub fn tangent_start(mut self, start: TangentStart) -> Self {
        self.tangent_start = start;
        self
    }
    /// Iterations without a change of the active set that count as identification; default 10.
    pub fn patience(mut self, patience: usize) -> Self {
        self.patience = patience;
        self
    }
    /// The phases.
    pub fn phases(&self) -> &[Phase] {
        &self.phases
    }
    /// The metric.
    pub fn metric_rule(&self) -> &Metric {
        &self.metric
    }
    /// The first iteration that computes tangents.
    pub fn tangents_from(&self) -> TangentStart {
        self.tangent_start
    }

    /// Changes the last phase.
    pub(crate) fn last_mut(&mut self) -> &mut Phase {
        self.phases.last_mut().expect("a schedule has a phase")
    }
}

/// A schedule in words, for result files.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ScheduleInfo {
    /// The phases in their order.
    pub phases: Vec<PhaseInfo>,
    /// Metric.
    pub metric: String,
    /// First iteration that carries tangents, or `identified`.
    pub tangent_start: String,
    /// Iterations without a change of the active set that count as identification.
    pub patience: usize,
}

/// A phase in words.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PhaseInfo {
    /// The end of the phase: an iteration, `identified` or `end`.
    pub until: String,
    /// Algorithm.
    pub algorithm: Algorithm,
    /// Step rule.
    pub step: String,
    /// Momentum rule.
    pub momentum: String,
    /// Restart scheme.
    pub restart: String,
}

impl Schedule {
    /// The schedule in words.
    pub fn info(&self) -> ScheduleInfo {
        let phase = |p: &Phase| PhaseInfo {
            until: p.until.to_string(),
            algorithm: p.algorithm,
            step: p.step.to_string(),
            momentum: p.momentum_rule().to_string(),
            restart: p.restart.to_string(),
        };
        ScheduleInfo {
            phases: self.phases.iter().map(phase).collect(),
            metric: self.metric.to_string(),
            tangent_start: self.tangent_start.to_string(),
            patience: self.patience,
        }
    }
}

impl std::fmt::Display for Until {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Until::End => f.write_str("end"),
            Until::Iteration(k) => write!(f, "{k}"),
            Until::Identified => f.write_str("identified"),
        }
    }
}

impl std::fmt::Display for TangentStart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TangentStart::Iteration(k) => write!(f, "{k}"),
            TangentStart::Identified => f.write_str("identified"),
        }
    }
}

impl std::str::FromStr for Until {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match (text, text.parse()) {
            ("identified", _) => Ok(Until::Identified),
            ("end", _) => Ok(Until::End),
            (_, Ok(k)) => Ok(Until::Iteration(k)),
            _ => Err(Error::usage("until", format!("'{text}'"), "an iteration, 'identified' or 'end'", "")),
        }
    }
}

impl std::str::FromStr for TangentStart {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match (text, text.parse()) {
            ("identified", _) => Ok(TangentStart::Identified),
            (_, Ok(k)) => Ok(TangentStart::Iteration(k)),
            _ => Err(Error::usage("tangent_start", format!("'{text}'"), "an iteration or 'identified'", "")),
        }
    }
}

/// Checks a table of shape `[iterations]` or `[iterations, lanes]`.
fn check_table(at: &str, table: &ArrayD<f64>, iterations: usize, lanes: usize) -> Result<()> {
    let refuse =
        |found: String, expected: String, remedy: &str| Err(Error::usage(at, found, expected, remedy));
    let shape = table.shape();
    match shape {
        [_] => {}
        [_, b] if *b == lanes => {}
        _ => {
            return refuse(
                format!("a table of shape {shape:?}"),
                format!("[{iterations}] or [{iterations}, {lanes}]"),
                "One row per iteration, and one column per lane or none.",
            );
        }
    }
    if shape[0] < iterations {
        return refuse(
            format!("a table of {} iterations", shape[0]),
            format!("at least {iterations}, as many as `iterations`"),
            "Give a longer table or fewer `iterations`.",
        );
    }
    for (k, row) in table.axis_iter(Axis(0)).enumerate() {
        if let Some((lane, v)) = row.iter().enumerate().find(|(_, v)| !v.is_finite()) {
            let remedy = "Every entry is used, or checked for later use: write a number there.";
            return refuse(format!("{v} at iteration {k}, lane {lane}"), "finite numbers".into(), remedy);
        }
    }
    Ok(())
}
