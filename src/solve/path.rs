//! How the lanes of a path start.

use std::str::FromStr;

use ndarray::Array2;

use super::Sweep;
use super::queue::check_lanes;
use crate::error::{Error, Result};
use crate::lanes::{Lane, Start};
use crate::objective::Derivative;
use crate::schedule::TangentStart;

/// How the lanes of a path start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Path {
    /// All at the same start, at the same time.
    #[default]
    Independent,
    /// In blocks of alphas, in the order of the list: a lane starts at the last iterate of the lane of the
    /// block before whose alpha is nearest (of the same fold), as soon as that has ended.
    Warm {
        /// Alphas of a block.
        block: usize,
        /// True if the derivatives start at those of that lane, so that they are the derivatives of the
        /// whole chain if all alphas of it move together; false if they start at zero.
        carried: bool,
    },
    /// One after the other, from the largest alpha to the smallest (of the same fold), each by Newton's
    /// method on the active set from the solution before, in f64 on the host. Such a lane has no iterations:
    /// its only iterate is the solution, with the derivatives of the implicit linear system. A lane without
    /// such a solution iterates from the end of the lane before, under [`Metric::Auto`] without a metric.
    /// Where nothing iterates there are no chunks to watch: [`Sweep::cancel_by`] and [`Sweep::deadline`] end
    /// the path between two steps of the method.
    ///
    /// [`Metric::Auto`]: crate::schedule::Metric::Auto
    Newton,
}

impl FromStr for Path {
    type Err = Error;
    /// Reads `independent`, `warm:BLOCK` (derivatives are carried), `warm:BLOCK:restart` or `newton`.
    fn from_str(text: &str) -> Result<Self> {
        let block = |t: &str| t.parse().ok().filter(|block| *block > 0);
        let parsed = match text.split(':').collect::<Vec<_>>()[..] {
            ["independent"] => Some(Path::Independent),
            ["warm", of] => block(of).map(|block| Path::Warm { block, carried: true }),
            ["warm", of, "restart"] => block(of).map(|block| Path::Warm { block, carried: false }),
            ["newton"] => Some(Path::Newton),
            _ => None,
        };
        parsed.ok_or_else(|| {
            let expected =
                "independent, newton, warm:BLOCK or warm:BLOCK:restart, a block of at least one alpha";
            Error::usage("path", format!("'{text}'"), expected, "For example warm:10.")
        })
    }
}

impl Path {
    /// Sets the starts of lanes, `folds` beside each other for every alpha.
    pub(super) fn lay_out(self, lanes: &mut [Lane], folds: usize) {
        let (block, carried) = match self {
            Path::Independent => return,
            Path::Newton => {
                for (before, after) in order(lanes, folds).windows(2).map(|pair| (pair[0], pair[1])) {
                    (0..folds).for_each(|fold| lanes[after + fold].start = Start::From(before + fold));
                }
                return;
            }
            Path::Warm { block, carried } => (block, carried),
        };
        let alphas: Vec<f64> = lanes.iter().step_by(folds).map(|lane| lane.alpha).collect();
        for a in block..alphas.len() {
            let first = a / block * block - block;
            let distance = |b: usize| match (alphas[a], alphas[b]) {
                (x, y) if x > 0.0 && y > 0.0 => (x.ln() - y.ln()).abs(),
                // By their difference where an alpha has no logarithm, after all that have one.
                (x, y) => 1e3 + (x - y).abs(),
            };
            let nearest = (first..first + block).min_by(|b, c| distance(*b).total_cmp(&distance(*c)));
            let nearest = nearest.expect("a block has an alpha");
            for fold in 0..folds {
                let source = nearest * folds + fold;
                let start = if carried { Start::Carried(source) } else { Start::From(source) };
                lanes[a * folds + fold].start = start;
            }
        }
    }

    /// The most of these lanes that run at the same time.
    pub(super) fn together(self, lanes: usize, folds: usize) -> usize {
        match self {
            Path::Independent => lanes,
            Path::Newton => lanes.min(folds),
            Path::Warm { block, .. } => lanes.min(block.saturating_mul(folds)),
        }
    }
}

/// The first lane of every alpha, from the largest alpha to the smallest.
pub(super) fn order(lanes: &[Lane], folds: usize) -> Vec<usize> {
    let mut first: Vec<usize> = (0..lanes.len()).step_by(folds).collect();
    first.sort_by(|a, b| lanes[*b].alpha.total_cmp(&lanes[*a].alpha));
    first
}

impl Sweep {
    /// The lanes of the sweep: one for each alpha, each with its start.
    pub(super) fn lay_out(
        &self,
        alphas: &[f64],
        l1_ratio: f64,
        derivatives: &[Derivative],
    ) -> Result<Vec<Lane>> {
        let folds = self.problem.folds();
        // The folds of an alpha beside each other, as their active sets are alike.
        let of = |&alpha: &f64| {
            let one = Lane::new(alpha, l1_ratio);
            let of_folds = (0..folds).map(move |fold| Lane { fold: Some(fold), ..one });
            of_folds.chain((folds == 0).then_some(one))
        };
        let mut lanes: Vec<Lane> = alphas.iter().flat_map(of).collect();
        if let Some(start) = &self.start {
            for (i, lane) in lanes.iter_mut().enumerate() {
                lane.start = Start::Given(if start.nrows() == 1 { 0 } else { i });
            }
        }
        if let Some(starts) = &self.lane_starts {
            if starts.len() != lanes.len() {
                return Err(Error::usage(
                    "lane starts",
                    format!("{}", starts.len()),
                    format!("{}, one for each lane", lanes.len()),
                    "",
                ));
            }
            lanes.iter_mut().zip(starts).for_each(|(lane, start)| lane.start = *start);
        }
        self.check_path(derivatives)?;
        self.path.lay_out(&mut lanes, folds.max(1));
        check_lanes(&lanes, self.start.as_ref().map_or(0, Array2::nrows))?;
        Ok(lanes)
    }

    /// Refuses what a path that is not independent cannot use.
    fn check_path(&self, derivatives: &[Derivative]) -> Result<()> {
        let (what, carried) = match self.path {
            Path::Independent => return Ok(()),
            Path::Warm { carried, .. } => ("a warm-started path", carried),
            Path::Newton => ("a path by Newton's method", false),
        };
        let newton = self.path == Path::Newton;
        let independent = "Leave `path` out.";
        let (found, remedy) =
            if self.lane_starts.is_some() || self.start.as_ref().is_some_and(|s| s.nrows() > 1) {
                ("a start for each lane", "Leave one of the two out.")
            } else if newton && self.tol == 0.0 {
                ("the tolerance 0, which asks for every iteration", independent)
            } else if newton && derivatives.iter().any(Derivative::is_of_process) {
                ("derivatives by settings of the iterations, which it does not have", independent)
            } else if carried && self.schedule.tangents_from() != TangentStart::Iteration(0) {
                ("derivatives that start late, which carry nothing", "Use `warm:BLOCK:restart`.")
            } else {
                return Ok(());
            };
        Err(Error::usage("path", format!("{what}, and {found}"), "one of them", remedy))
    }
}
