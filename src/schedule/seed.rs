//! Seeds of tangents by a setting of the schedule: a step or a momentum.

/// The setting of the schedule that a tangent differentiates with respect to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum ScheduleSeed {
    Nothing,
    EveryStep,
    Step(usize),
    Momentum(usize),
}

impl ScheduleSeed {
    /// The terms it adds to the tangents of step and momentum of iteration `k`.
    pub(crate) fn at(self, k: usize, step: f64) -> (f64, f64) {
        match self {
            ScheduleSeed::EveryStep => (step, 0.0),
            ScheduleSeed::Step(at) if at == k => (1.0, 0.0),
            ScheduleSeed::Momentum(at) if at == k => (0.0, 1.0),
            _ => (0.0, 0.0),
        }
    }
}
