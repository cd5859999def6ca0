//! The results of a chunk and their places in its staging buffer.

use std::ops::Range;

use super::{Keep, MetricKind, RecordLayout, Shape};

/// Byte ranges in a staging buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Staging {
    /// `[chunk, fields, lanes]`: the records; empty if none are kept.
    pub(crate) records: Range<usize>,
    /// `[fields, lanes]`: the lane state.
    pub(crate) lane_state: Range<usize>,
    /// `[groups]`: counts of entries listed in active sets.
    pub(crate) counts: Range<usize>,
    /// States from which lanes can be loaded again: the iterate, the previous one, a metric of
    /// curvatures; may be empty.
    pub(crate) snapshot: Range<usize>,
    /// The states of each frame; empty if none are kept.
    pub(crate) frames: Range<usize>,
    /// Bytes of a state.
    pub(crate) state_bytes: usize,
    /// Times of a session's passes.
    pub(crate) times: Range<usize>,
    /// Bytes of the whole buffer.
    pub(crate) bytes: usize,
}

impl Staging {
    pub(crate) fn new(s: &Shape) -> Self {
        let session = s.request.session;
        let real = s.request.precision.bytes() as usize;
        let of_lanes = |fields: usize| fields.saturating_mul(s.padded_lanes()).saturating_mul(real);
        let state_bytes = s.stride().saturating_mul(s.columns()).saturating_mul(real);
        let mut end = 0usize;
        let mut take = |bytes: usize| {
            let begin = end.div_ceil(8).saturating_mul(8);
            end = begin.saturating_add(bytes);
            begin..end
        };
        let keeps_records = session != Some(Keep::Nothing);
        let fields = RecordLayout::new(s.d()).fields();
        let records = take(if keeps_records { of_lanes(s.chunk.saturating_mul(fields)) } else { 0 });
        let lane_state = take(of_lanes(s.state_fields()));
        let counts = take(if s.active_sets { 4 * s.active_groups() } else { 0 });
        let states = match (session, s.request.metric) {
            (Some(_), _) => 0,
            (None, MetricKind::Hessian { .. }) => 3,
            (None, _) => 2,
        };
        let snapshot = take(state_bytes.saturating_mul(states));
        let frames = if session.is_none_or(Keep::brings_frames) { s.frames_per_chunk } else { 0 };
        let frames = take(state_bytes.saturating_mul(frames));
        // Every copy of a frame ends a compute pass.
        let timed = session.is_some() && s.timestamps;
        let times = take(if timed { 16 * (s.frames_per_chunk + 2) } else { 0 });
        Staging { records, lane_state, counts, snapshot, frames, state_bytes, times, bytes: end }
    }

    /// The end of the first rows of a chunk's records.
    #[cfg(feature = "gpu")]
    pub(crate) fn records_end(&self, s: &Shape, rows: usize) -> usize {
        let of_one = self.records.len() / s.chunk.max(1);
        self.records.start + of_one * rows.min(s.chunk)
    }
}
