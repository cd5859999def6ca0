//! What a chunk brings back, and where in its staging buffer.

use std::ops::Range;

use super::{Keep, MetricKind, RecordLayout, Shape};

/// Places in a staging buffer, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Staging {
    /// `[chunk, fields, lanes]`: the records; empty where none are kept.
    pub(crate) records: Range<usize>,
    /// `[fields, lanes]`: the lane state.
    pub(crate) lane_state: Range<usize>,
    /// `[groups]`: what was listed of active sets.
    pub(crate) counts: Range<usize>,
    /// States that lanes can be loaded from again: the iterate, the one before, a metric of curvatures; may
    /// be empty.
    pub(crate) snapshot: Range<usize>,
    /// States of each frame; empty where none are kept.
    pub(crate) frames: Range<usize>,
    /// Bytes of a state.
    pub(crate) state_bytes: usize,
    /// Times of a session's passes.
    pub(crate) times: Range<usize>,
    /// Bytes of all.
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
        let keeps_frames = matches!(session, None | Some(Keep::Frames));
        let frames = if keeps_frames { s.frames_per_chunk } else { 0 };
        let frames = take(state_bytes.saturating_mul(frames));
        // Every copy of a frame ends a pass.
        let timed = session.is_some() && s.timestamps;
        let times = take(if timed { 16 * (s.frames_per_chunk + 2) } else { 0 });
        Staging { records, lane_state, counts, snapshot, frames, state_bytes, times, bytes: end }
    }
}
