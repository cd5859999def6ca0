//! The parameters that determine the buffers and passes of a run on a device.

use super::{
    DeviceKind, FUSED_TANGENTS, Limits, MetricKind, PersistentTile, Request, Strategy, Tiles, memory,
};
use crate::lanes::fields::{constant, rule, state};

/// A count in whole vec4s.
pub(crate) fn pad4(count: usize) -> usize {
    count.div_ceil(4).saturating_mul(4)
}

/// Sizes and choices of a run. Sizes saturate: a run too large for any memory is refused, not wrapped.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Shape {
    /// The request, with the strategy chosen.
    pub request: Request,
    /// Execution strategy.
    pub strategy: Strategy,
    /// Lanes that run at the same time.
    pub slots: usize,
    /// Most iterations of a chunk.
    pub chunk: usize,
    /// Most frames of a chunk.
    pub frames_per_chunk: usize,
    /// Tile of the persistent strategy's workgroups.
    pub persistent: Option<PersistentTile>,
    /// True if products leave out coefficients that are zero in a group of lanes.
    pub active_sets: bool,
    /// Tiles of the products.
    pub tiles: Tiles,
    /// True if the device has a clock.
    pub timestamps: bool,
    /// Kind of the device.
    pub device: DeviceKind,
}

impl Shape {
    pub(super) fn new(r: &Request, limits: &Limits, slots: usize, (chunk, frames): (usize, usize)) -> Self {
        let strategy = r.strategy.unwrap_or(Strategy::Direct);
        let persistent = PersistentTile::of(r, limits).filter(|_| strategy == Strategy::Persistent);
        Shape {
            request: *r,
            strategy,
            slots,
            chunk,
            frames_per_chunk: frames,
            persistent,
            active_sets: memory::active_sets(r, limits),
            tiles: Tiles::of_run(r, limits, slots),
            timestamps: limits.timestamps,
            device: limits.device,
        }
    }

    /// Rows `n`.
    pub(crate) fn rows(&self) -> usize {
        self.request.rows
    }
    /// Rows of the state `q`.
    pub(crate) fn state_rows(&self) -> usize {
        self.request.state_rows
    }
    /// Tangents `d`.
    pub(crate) fn d(&self) -> usize {
        self.request.tangents
    }
    /// True if the strategy has `XᵀX`.
    pub(crate) fn is_gram(&self) -> bool {
        self.strategy != Strategy::Direct
    }
    /// True if there is a metric other than the identity.
    pub(crate) fn has_metric(&self) -> bool {
        self.request.metric != MetricKind::None
    }

    /// Slots, rounded up to whole vec4s.
    pub(crate) fn padded_lanes(&self) -> usize {
        pad4(self.slots)
    }
    /// Number of vec4s of slots.
    pub(crate) fn lane4s(&self) -> usize {
        self.slots.div_ceil(4)
    }
    /// Columns of the matrices: `t · padded_lanes + lane`.
    pub(crate) fn columns(&self) -> usize {
        self.padded_lanes().saturating_mul(1 + self.d())
    }
    /// Rows of the state in whole vec4s, with one for the sum of a sparse design's shift: the row stride of a
    /// dense design.
    pub(crate) fn stride(&self) -> usize {
        pad4(self.state_rows() + self.shift_rows())
    }
    /// 1 if there are products with a sparse design that has a shift: their operands then have a row of sums.
    pub(crate) fn shift_rows(&self) -> usize {
        let multiplied = self.strategy == Strategy::Direct || self.request.validation_rows > 0;
        usize::from(multiplied && self.request.stored.is_some_and(|[design, _]| design.shifted))
    }
    /// True if the design is sparse.
    pub(crate) fn is_sparse(&self) -> bool {
        self.request.stored.is_some()
    }
    /// Rows of the product with the iterate that is carried from one dispatch to the next.
    pub(crate) fn carried_rows(&self) -> usize {
        match self.strategy {
            Strategy::Direct => self.rows(),
            Strategy::Gram => self.state_rows(),
            Strategy::Persistent => 0,
        }
    }

    /// Phases of a schedule with factors of lanes; 0 if the schedule is tabulated.
    pub(crate) fn phases(&self) -> usize {
        if self.request.factored { self.request.phases } else { 0 }
    }
    /// Numbers of a rule: step, momentum, and both of each tangent.
    pub(crate) fn rule_fields(&self) -> usize {
        rule::TABLE.len(self.d())
    }
    /// Index of a lane's first factor among its constants.
    pub(crate) fn lane_bases(&self) -> usize {
        constant::TABLE.len(self.d())
    }
    /// Number of constants of a lane.
    pub(crate) fn lane_fields(&self) -> usize {
        self.lane_bases() + self.phases() * self.rule_fields()
    }
    /// Numbers that all lanes share: penalty factors and, with `XᵀX`, `[q, 1 + d]` numbers of the target.
    pub(crate) fn shared_fields(&self) -> usize {
        self.state_rows() * if self.is_gram() { 2 + self.d() } else { 1 }
    }
    /// Numbers of a lane that are stored from one iteration to the next.
    pub(crate) fn state_fields(&self) -> usize {
        state::TABLE.len(self.d())
    }
    /// Lanes in the table of the metric.
    pub(crate) fn metric_lanes(&self) -> usize {
        if self.request.metric == (MetricKind::Table { per_lane: true }) { self.slots } else { 1 }
    }

    /// True if the step is the epilogue of the gradient's product.
    pub(crate) fn steps_in_product(&self) -> bool {
        self.d() <= FUSED_TANGENTS && self.request.split_k()[1] == 1 && !self.is_sparse()
    }
    /// True if the loss of new predictions is the epilogue of their product.
    pub(crate) fn observes_in_product(&self) -> bool {
        self.d() <= FUSED_TANGENTS && self.request.split_k()[0] == 1 && !self.is_sparse()
    }
    /// True if a prediction's epilogue stores the residual of the next iteration.
    pub(crate) fn stores_next_residual(&self) -> bool {
        self.strategy == Strategy::Direct && self.observes_in_product() && !self.request.adaptive
    }
    /// True if tangents are computed in a pass after the iterate's step, and only in rows that are not zero.
    /// The choice must not change during a run, as compilers may round the two kernels differently.
    pub(crate) fn tangents_wait(&self) -> bool {
        self.active_sets && self.d() > 0
    }
    /// True if the loss of held-out rows is the epilogue of their prediction.
    pub(crate) fn validates_in_product(&self) -> bool {
        self.d() <= FUSED_TANGENTS && !self.is_sparse()
    }

    /// vec4s of lanes of a prediction's workgroup, which share an active set.
    pub(crate) fn active_set_lane4s(&self) -> usize {
        let tile = self.tiles.fused[0];
        tile.lane4s * tile.group[0]
    }

    /// Most iterations of a dispatch of the persistent strategy: up to a frame or a test of the stop rule.
    pub(crate) fn segment(&self) -> usize {
        let r = &self.request;
        r.check_period().min(r.every).min(r.iterations).max(1)
    }
}
