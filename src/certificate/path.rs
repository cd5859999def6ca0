//! Solutions along a path: Newton's method on the active set, each from the solution before (path following,
//! Park & Hastie 2007). The coefficients that may enter are chosen by the sequential strong rule (Tibshirani
//! et al. 2012), and the optimality conditions of all are tested at the end.

use ndarray::{Array1, ArrayView1};

use super::gap::Point;
use super::implicit::Manifold;
use super::newton::{Hessian, Limits, Newton, Scales, Stationary, VIOLATED};
use super::{Certified, Certifier, Obstacle, OfObjective};
use crate::lanes::Lane;
use crate::objective::{Objective, Zeros};

/// Most changes of the candidates for a solution.
const ROUNDS: usize = 20;
/// Largest ratio of the alphas of consecutive solutions.
const STEP: f64 = 1.5;
/// Entries of a design from which candidates are copied into one of their own.
const LARGE: usize = 1 << 11;

/// Follows the solutions of one objective along a path.
pub(crate) struct Follower<'a> {
    of: &'a OfObjective<'a>,
    /// `[q]`: the last solution, or the start.
    x: Array1<f64>,
    /// The lane of the last solution, and the gradient of the loss there.
    last: Option<(Lane, Array1<f64>)>,
    /// The objective of the candidates, if they are not all coefficients.
    part: Option<Part>,
    hessian: Option<Hessian>,
}

/// The objective of some rows of the state.
struct Part {
    rows: Vec<usize>,
    objective: Objective,
    scales: Scales,
}

impl<'a> Certifier<'a> {
    /// Follows the solutions of a fold from a start, `[q]`.
    pub(crate) fn follower(&'a self, fold: Option<usize>, start: ArrayView1<'_, f64>) -> Follower<'a> {
        let of = self.of(fold);
        Follower { x: of.objective.within_domain(start), of, last: None, part: None, hessian: None }
    }
}

impl Follower<'_> {
    /// The solution of a lane, certified as its iterate and as its polished result; or the obstacle to it,
    /// and then the next lane starts at the last solution.
    pub(crate) fn solve(&mut self, lane: &Lane, limits: Limits<'_>) -> Result<Certified, Obstacle> {
        for between in self.steps_to(lane) {
            // The next step may be possible without this one.
            if let Ok((found, _)) = self.advance(&between, limits) {
                self.keep(found);
            }
        }
        let (found, active) = self.advance(lane, limits)?;
        let (of, objective) = (self.of, &*self.of.objective);
        let manifold = Manifold::of(objective, lane, active);
        let of_found = of.value_bound(&manifold, &found);
        let value = objective.value(&found.at.z, found.at.x.view(), lane.strengths(objective));
        let certified = of.solution(&manifold, &found, of_found, value);
        self.keep(found);
        Ok(certified)
    }

    /// Keeps the system of a solution for the next, which may have the same active set.
    fn keep(&mut self, found: Stationary) {
        if let Some(hessian) = &mut self.hessian {
            hessian.system = Some(found.system);
        }
    }

    /// Alphas between the last solution, or zero coefficients, and a lane that is far from it.
    fn steps_to(&self, lane: &Lane) -> Vec<Lane> {
        let objective = &*self.of.objective;
        let penalty = objective.penalty();
        if penalty.capabilities().zeros == Zeros::Absent || !penalty.uses_alpha() {
            return Vec::new();
        }
        let first =
            self.last.as_ref().map_or_else(|| objective.alpha_max(lane.l1_ratio), |last| last.0.alpha);
        let count = ((first / lane.alpha).ln() / STEP.ln()).ceil();
        let steps = if count > 1.0 && count.is_finite() { count } else { 1.0 };
        let alpha = |i: usize| first * (lane.alpha / first).powf(i as f64 / steps);
        (1..steps as usize).map(|i| Lane { alpha: alpha(i), ..*lane }).collect()
    }

    /// Goes to the solution of a lane. Returns it with its active rows.
    fn advance(&mut self, lane: &Lane, limits: Limits<'_>) -> Result<(Stationary, Vec<usize>), Obstacle> {
        let (scales, objective) = (&self.of.scales, &*self.of.objective);
        let mut x = self.x.clone();
        let mut candidates = self.candidates(lane);
        for _ in 0..ROUNDS {
            let (mut found, active) = self.solve_candidates(lane, &x, candidates.as_deref(), limits)?;
            if let Some(rows) = &mut candidates {
                let mut manifold = Manifold::of(objective, lane, active.clone());
                let mut at = found.at.clone();
                found.violation = Newton::new(&mut manifold, scales, limits).enter(&mut at);
                if found.violation > VIOLATED {
                    rows.extend(manifold.active);
                    rows.sort_unstable();
                    rows.dedup();
                    x = at.x;
                    continue;
                }
            }
            self.x.assign(&found.at.x);
            self.last = Some((*lane, found.at.g.clone()));
            return Ok((found, active));
        }
        Err(Obstacle::Stalled)
    }

    /// Newton's method over the candidates from a state `[q]`: the solution with the gradient of every
    /// coefficient, and its active rows.
    fn solve_candidates(
        &mut self,
        lane: &Lane,
        x: &Array1<f64>,
        candidates: Option<&[usize]>,
        limits: Limits<'_>,
    ) -> Result<(Stationary, Vec<usize>), Obstacle> {
        let whole = &*self.of.objective;
        let Some(rows) = candidates else {
            let mut manifold = Manifold::new(whole, lane, x.view());
            let at = Point::new(&manifold, x.clone());
            let mut newton = Newton::new(&mut manifold, &self.of.scales, limits);
            (newton.hessian, newton.gradual) = (self.hessian.take(), true);
            let found = newton.solve(at);
            self.hessian = newton.hessian;
            return Ok((found?, manifold.active));
        };
        if self.part.as_ref().is_none_or(|part| part.rows != rows) {
            let objective = whole.of_columns(rows);
            let scales =
                Scales { squares: self.of.scales.squares.select(ndarray::Axis(0), rows), ..self.of.scales };
            self.part = Some(Part { rows: rows.to_vec(), objective, scales });
        }
        let part = self.part.as_ref().expect("made above");
        let local = |of: &mut Hessian| {
            let mut kept = of.active.iter_mut().chain(&mut of.independent);
            kept.try_for_each(|j| rows.binary_search(j).map(|place| *j = place))
        };
        let mut manifold = Manifold::new(&part.objective, lane, x.select(ndarray::Axis(0), rows).view());
        let at = Point::new(&manifold, x.select(ndarray::Axis(0), rows));
        let mut newton = Newton::new(&mut manifold, &part.scales, limits);
        newton.gradual = true;
        newton.hessian = self.hessian.take().and_then(|mut of| local(&mut of).is_ok().then_some(of));
        let found = newton.solve(at);
        self.hessian = newton.hessian;
        let global = |active: &mut [usize]| active.iter_mut().for_each(|j| *j = rows[*j]);
        self.hessian
            .iter_mut()
            .for_each(|of| [&mut of.active, &mut of.independent].into_iter().for_each(|of| global(of)));
        let Stationary { at, decrement, violation, system } = found?;
        let mut active = manifold.active;
        global(&mut active);
        let mut all = Array1::zeros(whole.state_rows());
        rows.iter().zip(&at.x).for_each(|(j, v)| all[*j] = *v);
        let at = Point::at_predictions(&Manifold::of(whole, lane, Vec::new()), all, at.z);
        Ok((Stationary { at, decrement, violation, system }, active))
    }

    /// The rows of the state that may be active in the solution of a lane, ascending; `None` for all.
    fn candidates(&self, lane: &Lane) -> Option<Vec<usize>> {
        let objective = &*self.of.objective;
        let zeros = objective.penalty().capabilities().zeros;
        let (n, q) = (objective.design.rows(), objective.state_rows());
        if zeros == Zeros::Absent || n.saturating_mul(q) < LARGE {
            return None;
        }
        let (before, g) = self.last.as_ref()?;
        let [new, old] = [lane, before].map(|lane| Manifold::of(objective, lane, Vec::new()));
        let kept = self.hessian.as_ref().map_or(&[][..], |hessian| &hessian.active);
        let may_enter = |j: &usize| {
            let (new_l1, old_l1) = (new.strengths(*j).0, old.strengths(*j).0);
            new.is_free(*j)
                || self.x[*j] != 0.0
                || zeros.pull(-g[*j]) >= 2.0 * new_l1 - old_l1
                || kept.binary_search(j).is_ok()
        };
        Some((0..q).filter(may_enter).collect())
    }
}
