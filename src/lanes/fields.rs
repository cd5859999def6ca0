//! Names and positions of a lane's numbers: one table for the accessors of both engines and for the constants
//! of the shaders.
//!
//! A field holds one number per lane, or one per tangent. Fields are stored in the order of their table; the
//! `d` values of a tangent field are contiguous: tangent `t` of `SEEN_DSQUARE` is number `SEEN_DSQUARE + t`.

/// An ordered list of fields: the name in WGSL, and true if the field has one number per tangent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table(&'static [(&'static str, bool)]);

/// A field of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    table: Table,
    index: usize,
}

impl Table {
    /// Numbers of a lane with `d` tangents.
    pub(crate) fn len(self, d: usize) -> usize {
        self.0.iter().map(|(_, of_tangent)| if *of_tangent { d } else { 1 }).sum()
    }

    /// Every field of a lane with `d` tangents: its name in WGSL, and the index of its first number.
    #[cfg(feature = "gpu")]
    pub(crate) fn places(self, d: usize) -> impl Iterator<Item = (&'static str, usize)> {
        (0..self.0.len()).map(move |index| (self.0[index].0, Field { table: self, index }.at(d)))
    }
}

impl Field {
    /// Index of the field in a lane with `d` tangents; for a tangent field, the index for tangent 0.
    pub(crate) fn at(self, d: usize) -> usize {
        Table(&self.table.0[..self.index]).len(d)
    }

    /// Index of the field, if no tangent field precedes it.
    pub(crate) const fn scalar(self) -> usize {
        let mut i = 0;
        while i < self.index {
            assert!(!self.table.0[i].1, "a tangent's field comes before");
            i += 1;
        }
        self.index
    }
}

/// Defines a table: a module with a constant for each field, and `TABLE`.
macro_rules! table {
    ($(#[$meta:meta])* $module:ident: $($(#[$doc:meta])* $NAME:ident $(of $tangent:ident)?,)+) => {
        $(#[$meta])*
        // Some fields are used only by shaders.
        #[allow(dead_code)]
        pub(crate) mod $module {
            use super::{Field, Table};
            pub(crate) const TABLE: Table = Table(&[$((stringify!($NAME), table!(@of $($tangent)?))),+]);
            #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
            enum Index { $($NAME),+ }
            $(
                $(#[$doc])*
                pub(crate) const $NAME: Field = Field { table: TABLE, index: Index::$NAME as usize };
            )+
        }
    };
    (@of) => { false };
    (@of tangent) => { true };
}

table! {
    /// The lane state, which a device keeps from one iteration to the next.
    state:
    /// Code of its status.
    STATUS,
    /// Iterations done.
    DONE,
    /// The fold of the rows that it is fitted on; 0 without folds.
    FOLD,
    /// The last measurements of the stop rule.
    MEASURED_GAP,
    MEASURED_STATIONARITY,
    MEASURED_RESIDUAL,
    /// Iterations since the momentum started or restarted. The first number of [`Control`](super::Control).
    MEMORY_COUNT,
    /// Iterations since the active set changed, or since the phase that waits for that began.
    MEMORY_QUIET,
    /// 1 if the active set is identified.
    MEMORY_IDENTIFIED,
    /// 1 if the phase that waits for identification has ended.
    MEMORY_SWITCHED,
    /// The fraction of backtracking's first step that is still in use.
    MEMORY_SCALE,
    /// Step of the last iteration.
    MEMORY_STEP,
    /// Objective of the iterate that the last iteration started from.
    MEMORY_OBJECTIVE,
    /// Measurements of the last iteration, as in `Seen`.
    SEEN_OBJECTIVE,
    SEEN_MOVED,
    SEEN_RESTART,
    SEEN_SQUARE,
    SEEN_SECANT,
    SEEN_DSQUARE of tangent,
    SEEN_DSECANT of tangent,
    /// Iteration parameters, as in `StepParams`. From this field on, the host stores nothing.
    PARAM_STEP,
    PARAM_MOMENTUM,
    PARAM_EXTRAPOLATION,
    /// 1 if the iteration updates the tangents.
    PARAM_TANGENTS,
    /// 1 if the last step is taken back.
    PARAM_RESTORE,
    /// Extrapolation coefficient of the next iteration, if the schedule is not adaptive.
    PARAM_NEXT_EXTRAPOLATION,
    PARAM_DSTEP of tangent,
    PARAM_DMOMENTUM of tangent,
    PARAM_DEXTRAPOLATION of tangent,
    PARAM_NEXT_DEXTRAPOLATION of tangent,
}

table! {
    /// Constants of a lane; the factors of its steps and momenta follow, phase by phase.
    constant:
    LANE_L1,
    LANE_L2,
    LANE_PROBE_STEP,
    LANE_OBJECTIVE_LIMIT,
    /// Tolerance of the stop rule.
    LANE_TOL,
    /// Least length of the iterate in relative measures.
    LANE_LEAST_NORM,
    /// 1 if the duality gap is the stop rule.
    LANE_HAS_GAP,
    LANE_DL1 of tangent,
    LANE_DL2 of tangent,
    /// Least length of a tangent in relative measures, per unit of the iterate's length.
    LANE_LEAST_TANGENT of tangent,
}

table! {
    /// The schedule's values for a lane: per iteration if tabulated, per phase if factored.
    rule:
    RULE_STEP,
    RULE_MOMENTUM,
    RULE_DSTEP of tangent,
    RULE_DMOMENTUM of tangent,
}

table! {
    /// The numbers before those of [`rule`], if the schedule is tabulated.
    code:
    CODE_BITS,
    CODE_BASE,
}

table! {
    /// Factors of an iteration, shared by all lanes.
    unit:
    UNIT_STEP,
    UNIT_MOMENTUM,
    UNIT_CODE_BITS,
    UNIT_CODE_BASE,
    UNIT_PHASE,
}

table! {
    /// The record of a lane, written at iterations that are recorded.
    record:
    RECORD_OBJECTIVE,
    RECORD_CHANGE,
    RECORD_SUPPORT,
    RECORD_VALIDATION,
    RECORD_ACTIVE_CHANGE,
    RECORD_STEP,
    RECORD_MOMENTUM,
    RECORD_DCHANGE of tangent,
    RECORD_HYPERGRADIENT of tangent,
}

/// Count of the numbers of [`Control`](super::Control) with `d` tangents, from [`state::MEMORY_COUNT`] on.
pub(crate) fn memory_fields(d: usize) -> usize {
    state::PARAM_STEP.at(d) - state::MEMORY_COUNT.at(d)
}

/// Index of a field among the numbers of [`Control`](super::Control).
pub(crate) fn in_memory(field: Field, d: usize) -> usize {
    field.at(d) - state::MEMORY_COUNT.at(d)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_follow_each_other() {
        for d in [0, 1, 3] {
            for table in [state::TABLE, constant::TABLE, rule::TABLE, record::TABLE] {
                let places: Vec<_> = table.places(d).collect();
                assert_eq!(places[0].1, 0);
                for (i, pair) in places.windows(2).enumerate() {
                    let count = if table.0[i].1 { d } else { 1 };
                    assert_eq!(pair[1].1 - pair[0].1, count, "{}", pair[0].0);
                }
            }
            assert_eq!(state::TABLE.len(d), 24 + 6 * d);
            assert_eq!(memory_fields(d), 12 + 2 * d);
            assert_eq!(in_memory(state::SEEN_DSECANT, d), 12 + d);
            assert_eq!(record::RECORD_HYPERGRADIENT.at(d), 7 + d);
        }
        assert_eq!(record::RECORD_MOMENTUM.scalar(), 6);
    }
}
