//! Comparisons that neither a NaN nor an array of another shape can pass. tests/comparison.rs breaks each of
//! them.

use ndarray::{ArrayRef, ArrayView, ArrayView1, Axis, Dimension, RemoveAxis};
use proxjet::solve::{LaneResult, SweepResult};

/// The larger of both; NaN if either is. `f64::max` would drop a NaN.
pub(crate) fn worse(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

/// The largest of some numbers; NaN if one is, 0 if there are none.
pub(crate) fn worst(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(0.0, worse)
}

/// The largest absolute value.
pub(crate) fn max_abs<D: Dimension>(a: &ArrayRef<f64, D>) -> f64 {
    worst(a.iter().map(|v| v.abs()))
}

/// The largest absolute difference of two arrays of the same shape.
#[track_caller]
pub(crate) fn max_abs_diff<D: Dimension>(a: &ArrayRef<f64, D>, b: &ArrayRef<f64, D>) -> f64 {
    assert_eq!(a.shape(), b.shape(), "arrays of different shapes");
    assert!(!a.is_empty(), "nothing to compare");
    worst(a.iter().zip(b).map(|(a, b)| (a - b).abs()))
}

/// The same, relative to the largest entry of `b`; absolute where `b` is all zero.
#[track_caller]
pub(crate) fn relative_diff<D: Dimension>(a: &ArrayRef<f64, D>, b: &ArrayRef<f64, D>) -> f64 {
    let size = max_abs(b);
    max_abs_diff(a, b) / if size == 0.0 { 1.0 } else { size }
}

/// True if two numbers that may be absent are both absent, or within `bound`, relative where they are larger
/// than 1.
pub(crate) fn near(a: Option<f64>, b: Option<f64>, bound: f64) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= bound * a.abs().max(1.0),
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// The same bits in how lanes ended and in everything that is recorded.
#[track_caller]
pub(crate) fn assert_same(a: &SweepResult, b: &SweepResult, name: &str) {
    assert_eq!(a.lanes.len(), b.lanes.len(), "{name}: lanes");
    for (i, (x, y)) in a.lanes.iter().zip(&b.lanes).enumerate() {
        assert_eq!((x.status, x.iterations), (y.status, y.iterations), "{name}: lane {i}");
        assert_eq!((x.gap, x.objective), (y.gap, y.objective), "{name}: lane {i}");
    }
    // Not `assert_eq`: two traces are pages of numbers.
    assert!(a.trace == b.trace, "{name}: the traces differ");
}

/// The same ends of all lanes, and traces within `bound`.
#[track_caller]
pub(crate) fn assert_close(a: &SweepResult, b: &SweepResult, bound: f64, name: &str) {
    assert_eq!(a.lanes.len(), b.lanes.len(), "{name}: lanes");
    for (i, (x, y)) in a.lanes.iter().zip(&b.lanes).enumerate() {
        assert_eq!((x.status, x.iterations), (y.status, y.iterations), "{name}: lane {i}");
    }
    let (a, b) = (&a.trace, &b.trace);
    assert_eq!(a.iteration, b.iteration, "{name}: frames at different iterations");
    let found = worst([
        max_abs_diff(&a.coef, &b.coef),
        max_abs_diff(&a.dcoef, &b.dcoef),
        max_abs_diff(&a.intercept, &b.intercept),
        max_abs_diff(&a.dintercept, &b.dintercept),
        max_abs_diff(&a.objective, &b.objective),
        max_abs_diff(&a.change, &b.change),
    ]);
    assert!(found <= bound, "{name}: the traces differ by {found:e}");
}

/// What differs between the ends of a lane in two runs by more than `bound`; empty where nothing does.
pub(crate) fn ends_differ(a: &LaneResult, b: &LaneResult, bound: f64) -> String {
    if (a.status, a.iterations) != (b.status, b.iterations) {
        return format!("{:?} after {}, {:?} after {}", a.status, a.iterations, b.status, b.iterations);
    }
    let pairs = [
        ("objective", a.objective, b.objective),
        // A gap is small by itself: compared with the objective's size, 1 in the tests' problems.
        ("gap", a.gap, b.gap),
        ("stationarity", a.stationarity, b.stationarity),
        ("derivative residual", a.derivative_residual, b.derivative_residual),
        ("validation loss", a.validation_loss, b.validation_loss),
    ];
    for (name, a, b) in pairs {
        if !near(a, b, bound) {
            return format!("{name} {a:?} and {b:?}");
        }
    }
    let number = |v: f64| Some(v).filter(|v| !v.is_nan());
    match (&a.hypergradient, &b.hypergradient) {
        (None, None) => String::new(),
        (Some(x), Some(y))
            if x.len() == y.len() && x.iter().zip(y).all(|(x, y)| near(number(*x), number(*y), bound)) =>
        {
            String::new()
        }
        (x, y) => format!("hypergradients {x:?} and {y:?}"),
    }
}

/// How two traces differ, lane by lane.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    /// Lanes compared to their last frame.
    pub(crate) compared: usize,
    /// Lanes left out: their active sets differ at some frame, and a coefficient there is within the kink
    /// margin.
    pub(crate) at_kinks: usize,
    /// Lanes whose active sets differ by a coefficient beyond the margin: wrong, not unlucky.
    pub(crate) wrong_sets: usize,
    /// Largest difference of coefficients and intercepts, relative to the largest of the lane's sequence.
    pub(crate) coef: f64,
    /// The same of their derivatives.
    pub(crate) dcoef: f64,
    /// The same of what is recorded at every iteration: objectives, changes, validation losses,
    /// hypergradients.
    pub(crate) records: f64,
}

impl Difference {
    /// True if active sets are right and everything else is within `bound`.
    pub(crate) fn within(&self, bound: f64) -> bool {
        // A NaN is within nothing.
        self.wrong_sets == 0 && self.coef <= bound && self.dcoef <= bound && self.records <= bound
    }
}

/// Compares in stages: active sets first, then values, then tangents, then records. `margin` bounds a
/// coefficient that may be zero in one run and not in the other, relative to the largest of its lane.
#[track_caller]
pub(crate) fn compare(a: &SweepResult, b: &SweepResult, margin: f64) -> Difference {
    let (a, b) = (&a.trace, &b.trace);
    assert_eq!(a.iteration, b.iteration, "frames at different iterations");
    assert_eq!(a.coef.dim(), b.coef.dim(), "coefficients of different shapes");
    assert_eq!(a.dcoef.dim(), b.dcoef.dim(), "derivatives of different shapes");
    assert_eq!(a.objective.dim(), b.objective.dim(), "records of different shapes");
    let mut found = Difference::default();
    for lane in 0..a.coef.dim().1 {
        let (x, y) = (lane_of(&a.coef, lane), lane_of(&b.coef, lane));
        let size = max_abs(&x);
        let differ = x.iter().zip(&y).filter(|(u, v)| (**u == 0.0) != (**v == 0.0));
        let (kinks, wrong): (Vec<_>, Vec<_>) = differ.partition(|(u, v)| (**u - **v).abs() <= margin * size);
        if !wrong.is_empty() {
            found.wrong_sets += 1;
            continue;
        }
        if !kinks.is_empty() {
            found.at_kinks += 1;
            continue;
        }
        found.compared += 1;
        let joint = |c: ArrayView<'_, f64, _>, i: ArrayView1<'_, f64>| {
            ndarray::concatenate(Axis(1), &[c, i.insert_axis(Axis(1))]).expect("as many frames")
        };
        let values = relative_diff(
            &joint(y.view(), lane_of(&b.intercept, lane)),
            &joint(x.view(), lane_of(&a.intercept, lane)),
        );
        found.coef = worse(found.coef, values);
        let tangents = a.dcoef.dim().2;
        for t in 0..tangents {
            let of = |trace: &proxjet::result::Trace| {
                let all = lane_of(&trace.dcoef, lane);
                joint(all.index_axis(Axis(1), t), lane_of(&trace.dintercept, lane).column(t)).to_owned()
            };
            found.dcoef = worse(found.dcoef, relative_diff(&of(b), &of(a)));
        }
        let records = |a, b| relative_diff(&lane_of(b, lane), &lane_of(a, lane));
        found.records =
            worst([found.records, records(&a.objective, &b.objective), records(&a.change, &b.change)]);
        if let (Some(x), Some(y)) = (&a.validation_loss, &b.validation_loss) {
            found.records = worse(found.records, records(x, y));
        }
        assert_eq!(a.validation_loss.is_some(), b.validation_loss.is_some(), "held-out rows in one run only");
        for t in 0..tangents {
            let of = |r: &ndarray::Array3<f64>| r.index_axis(Axis(2), t).column(lane).to_owned();
            let of_both = |x, y| relative_diff(&of(y), &of(x));
            found.records = worse(found.records, of_both(&a.derivative_change, &b.derivative_change));
            if let (Some(x), Some(y)) = (&a.hypergradient, &b.hypergradient) {
                found.records = worse(found.records, of_both(x, y));
            }
        }
    }
    found
}

/// The part of a lane, the second axis, of a recorded array.
fn lane_of<D: RemoveAxis>(array: &ArrayRef<f64, D>, lane: usize) -> ArrayView<'_, f64, D::Smaller> {
    array.index_axis(Axis(1), lane)
}

/// Names of the cases that failed, with the reasons, and how many were checked.
#[derive(Default)]
pub(crate) struct Report {
    checked: usize,
    failures: Vec<String>,
}

impl Report {
    /// Counts a case, and remembers it if it failed.
    pub(crate) fn check(&mut self, name: &str, holds: bool, why: impl FnOnce() -> String) {
        self.checked += 1;
        if !holds {
            self.failures.push(format!("{name}: {}", why()));
        }
    }

    /// Panics with all failures, and if fewer than `least` cases were checked.
    #[track_caller]
    pub(crate) fn finish(self, least: usize) {
        let (failed, checked) = (self.failures.len(), self.checked);
        let shown = &self.failures[..failed.min(40)];
        assert!(failed == 0, "{failed} of {checked} failed:\n{}", shown.join("\n"));
        assert!(checked >= least, "{checked} checked, {least} wanted");
    }
}
