//! The values recorded of a lane at an iteration.

use crate::lanes::fields::record;

/// The layout of a record: the index of each number recorded per lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordLayout {
    tangents: usize,
}

impl RecordLayout {
    /// The layout for `tangents` tangents per lane.
    pub fn new(tangents: usize) -> Self {
        RecordLayout { tangents }
    }
    /// Objective at the new iterate.
    pub const OBJECTIVE: usize = record::RECORD_OBJECTIVE.scalar();
    /// `‖x⁺ − x‖₂`.
    pub const CHANGE: usize = record::RECORD_CHANGE.scalar();
    /// Number of non-zero coefficients.
    pub const SUPPORT: usize = record::RECORD_SUPPORT.scalar();
    /// Mean loss over the held-out rows.
    pub const VALIDATION: usize = record::RECORD_VALIDATION.scalar();
    /// Coefficients that became active or inactive.
    pub const ACTIVE_CHANGE: usize = record::RECORD_ACTIVE_CHANGE.scalar();
    /// Step size of the update.
    pub const STEP: usize = record::RECORD_STEP.scalar();
    /// Momentum of the update; −1 if it takes the previous step back.
    pub const MOMENTUM: usize = record::RECORD_MOMENTUM.scalar();
    /// `‖dx⁺ − dx‖₂` of tangent `t`.
    pub fn derivative_change(self, t: usize) -> usize {
        record::RECORD_DCHANGE.at(self.tangents) + t
    }
    /// Derivative of the validation loss in the direction of tangent `t`.
    pub fn hypergradient(self, t: usize) -> usize {
        record::RECORD_HYPERGRADIENT.at(self.tangents) + t
    }
    /// Numbers of a record.
    pub fn fields(self) -> usize {
        record::TABLE.len(self.tangents)
    }
}
