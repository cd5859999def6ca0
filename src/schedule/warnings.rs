//! Finds steps and momenta that the theory does not cover, before a run: errors and warnings.

use super::{Algorithm, LaneSchedule, Metric, Schedule, Step};
use crate::error::{Error, Result};

impl LaneSchedule {
    /// Checks that all steps are positive, as a proximal step must be.
    pub(super) fn check_steps(&self, iterations: usize) -> Result<()> {
        match self.find_step(iterations, |_, _, _, step| !(step > 0.0 && step.is_finite())) {
            None => Ok(()),
            Some((phase, k, lane, step)) => Err(Error::usage(
                format!("{}step", self.schedule.place(phase)),
                format!("{step} at iteration {k}, lane {lane}"),
                "a positive step",
                "Steps lie between 0 and 2/L.",
            )),
        }
    }

    /// The first step outside the range in which the update is stable on every quadratic between `m` and `L`,
    /// in words: phase, iteration, lane, value. Below `2/L` without momentum, `2(1+β)/L` for heavy ball
    /// (Polyak 1964), and `(1 + 1/(1+2β))/L` for FISTA, which falls from `2/L` to `4/(3L)` as `β` grows to 1.
    pub(crate) fn unsafe_step(&self, iterations: usize) -> Option<String> {
        let gain = if let Metric::Hessian { gain, .. } = self.schedule.metric { gain } else { 1.0 };
        let limit = |phase: usize, k: usize, lane: usize| {
            let beta = self.momentum_of(phase, k, lane, &self.lanes[lane]).max(0.0);
            match self.schedule.phases[phase].algorithm {
                Algorithm::Pgd => 2.0,
                Algorithm::HeavyBall => 2.0 * (1.0 + beta),
                Algorithm::Fista => 1.0 + 1.0 / (1.0 + 2.0 * beta),
            }
        };
        let beyond = |phase: usize, k: usize, lane: usize, step: f64| {
            // Backtracking tests its own steps, and the manifold's steps are safe on the manifold.
            let safe = match self.schedule.phases[phase].step {
                Step::Backtracking { .. } => true,
                Step::Manifold(_) => self.split.is_some_and(|split| phase > split),
                _ => false,
            };
            !safe && step * gain * self.lanes[lane].lipschitz >= limit(phase, k, lane)
        };
        self.find_step(iterations, beyond).map(|(phase, k, lane, step)| {
            let after = self.split.is_some_and(|split| phase > split);
            let when = if after { "after identification".into() } else { format!("at iteration {k}") };
            let by_metric =
                if gain > 1.0 { format!(" with the gain {gain} of the metric") } else { String::new() };
            format!(
                "{}step size {step:.6e} {when} in lane {lane} is {:.6}/L{by_metric}, outside (0, {:.6}/L)",
                self.schedule.place(phase),
                step * gain * self.lanes[lane].lipschitz,
                limit(phase, k, lane)
            )
        })
    }

    /// Warnings about rules that the theory does not cover, and about phases that never run.
    pub fn warnings(&self, iterations: usize) -> Vec<String> {
        let mut list = Vec::new();
        if let Some(step) = self.unsafe_step(iterations) {
            list.push(format!(
                "{step}: the run may diverge, and its status will say so. Use smaller steps to be sure."
            ));
        }
        if let Some(momentum) = self.schedule.unsafe_momentum() {
            list.push(format!(
                "{momentum}: iterates and derivatives may grow although every single update contracts \
                    (momentum under steps \
                 that rise). Keep the step fixed or falling, or use algorithm pgd."
            ));
        }
        if let Some(late) = self.phases.iter().position(|p| p.from >= iterations) {
            list.push(format!(
                "{}it begins at iteration {} and never runs: the run has {iterations} iterations.",
                self.schedule.place(late),
                self.phases[late].from
            ));
        }
        list
    }

    /// The first (phase, iteration, lane, step) that is `bad`; for adaptive rules, the largest step counts.
    pub(crate) fn find_step(
        &self,
        iterations: usize,
        bad: impl Fn(usize, usize, usize, f64) -> bool,
    ) -> Option<(usize, usize, usize, f64)> {
        (0..self.stages()).flat_map(|stage| (0..iterations).map(move |k| (stage, k))).find_map(
            |(stage, k)| {
                let phase = self.phase_at(stage, k);
                self.lanes.iter().enumerate().find_map(|(lane, of)| {
                    let step = self.step_of(phase, k, lane, of);
                    bad(phase, k, lane, step).then_some((phase, k, lane, step))
                })
            },
        )
    }
}

impl Schedule {
    /// A warning about phases that combine momentum with increasing steps, where products of the update's
    /// Jacobians can grow.
    pub(crate) fn unsafe_momentum(&self) -> Option<String> {
        self.phases.iter().enumerate().find_map(|(i, p)| {
            let momentum = p.momentum_rule();
            if p.algorithm == Algorithm::Pgd || momentum.is_none() {
                None
            } else if p.step.rises() {
                Some(format!("{}momentum '{momentum}' with the varying step '{}'", self.place(i), p.step))
            } else if self.metric.varies() {
                Some(format!(
                    "{}momentum '{momentum}' with the varying metric '{}'",
                    self.place(i),
                    self.metric
                ))
            } else {
                None
            }
        })
    }
}
