//! Estimates of what each mode takes, and the choice between them.

use super::Mode;
use super::differentiate::{Differentiate, refuse};
use crate::engine::Engine;
use crate::engine::cpu::products_alone;
use crate::error::Result;
use crate::objective::{Derivative, Zeros};
use crate::program::{Keep, Plan};
use crate::solve::{Path, Prepared, Sweep};

/// An estimate of what a mode takes.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Estimate {
    /// The mode.
    pub mode: Mode,
    /// Seconds of everything, where lanes end after a third of the iterations, or after all with `tol` 0.
    pub seconds: f64,
    /// Bytes of the engine, and of the tape or the systems.
    pub bytes: u64,
    /// What it differentiates.
    pub gives: &'static str,
    /// The error of its derivatives that is to be expected.
    pub error: &'static str,
    /// Why it cannot be used.
    pub refused: Option<String>,
}

/// The mode that is chosen, and why.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Choice {
    /// The mode.
    pub mode: Mode,
    /// The reason, in words.
    pub reason: String,
    /// What every mode takes.
    pub estimates: Vec<Estimate>,
}

/// Share of the iterations that lanes with a tolerance are taken to do, and of these until identification.
const SHARE: f64 = 1.0 / 3.0;
const UNTIL_IDENTIFIED: f64 = 0.5;
/// Seconds for which the product is timed, and its columns.
const TIMED_SECONDS: f64 = 2e-3;
const COLUMNS: usize = 16;
/// Share of the coefficients that a penalty with zeros is taken to leave, at most as many as rows.
const ACTIVE: f64 = 0.1;
/// The factor by which the products of single columns are slower than those of many.
const NARROW: f64 = 4.0;

/// What the estimates are made of.
struct Sizes {
    lanes: f64,
    rows: f64,
    state_rows: f64,
    derivatives: f64,
    /// Active coefficients.
    active: f64,
    /// Iterations that a lane does, and may do.
    iterations: f64,
    most: f64,
    /// Operations per second of products on the host.
    rate: f64,
    /// Seconds of the iterations of all lanes, without tangents and with all; and the engine's bytes.
    plain: (f64, u64),
    carried: Result<(f64, u64)>,
    jacobian: bool,
    is_sparse: bool,
    /// True if every iteration is done.
    to_the_end: bool,
}

impl Differentiate {
    /// What every mode would take, and which one `Auto` chooses. Runs nothing but a product, whose time is
    /// taken.
    ///
    /// # Errors
    /// As [`run`](Self::run) before anything runs.
    pub fn choose(&self, engine: &mut dyn Engine) -> Result<Choice> {
        let prepared = self.base().prepare()?;
        let derivatives = self.checked(&prepared)?;
        choose(self, &prepared, &derivatives, engine)
    }
}

pub(super) fn choose(
    of: &Differentiate,
    prepared: &Prepared,
    derivatives: &[Derivative],
    engine: &mut dyn Engine,
) -> Result<Choice> {
    let sizes = Sizes::new(of, prepared, derivatives, engine)?;
    let modes = Mode::ALL.iter().filter(|mode| **mode != Mode::Auto);
    let estimates: Vec<Estimate> =
        modes.map(|mode| sizes.estimate(*mode, of, prepared, derivatives)).collect();
    let of_iterate = of.sweep().tolerance() == 0.0 || derivatives.iter().any(Derivative::is_of_process);
    let gives = |estimate: &&Estimate| {
        let mode = estimate.mode;
        estimate.refused.is_none()
            && mode.is_unrolled() == of_iterate
            // Their errors are not known before.
            && !matches!(mode, Mode::OneStep | Mode::FixedPoint)
            && (mode != Mode::Reverse || !of.wants_jacobian())
    };
    let best = estimates.iter().filter(gives).min_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let (mode, reason) = match best {
        None => (Mode::Forward, "no other mode gives what is asked for".to_string()),
        Some(best) if of_iterate && of.wants_jacobian() => {
            let reason = "it gives derivatives of all coefficients of the last iterate; \
                          for a gradient alone mode reverse may take less";
            (best.mode, reason.to_string())
        }
        Some(best) => {
            let what =
                if of_iterate { "derivatives of the last iterate" } else { "derivatives of the solution" };
            (best.mode, format!("the least estimated time of the modes that give {what}"))
        }
    };
    Ok(Choice { mode, reason, estimates })
}

/// Seconds of the iterations of all lanes, and bytes, of a sweep that carries derivatives.
fn planned(sweep: &Sweep, carried: &[Derivative], engine: &dyn Engine) -> Result<(f64, u64)> {
    let sweep = sweep.clone().derivatives(carried.to_vec()).keep(Keep::Nothing);
    let plan: Plan = sweep.plan(engine)?;
    Ok((plan.seconds, plan.device_bytes + plan.host_bytes))
}

impl Sizes {
    fn new(
        of: &Differentiate,
        prepared: &Prepared,
        derivatives: &[Derivative],
        engine: &mut dyn Engine,
    ) -> Result<Self> {
        let (sweep, problem) = (of.sweep(), of.sweep().problem());
        let (n, q) = (problem.shape().rows, problem.state_rows());
        let is_sparse = problem.penalty().capabilities().zeros != Zeros::Absent;
        let columns = COLUMNS.min(prepared.lanes.len().max(1));
        let entries = problem.stored().map_or(n * q, |stored| stored[0].entries);
        let flops = 4.0 * (entries * columns) as f64;
        // The first call starts threads.
        let timed = |count: usize| products_alone(problem, columns, sweep.arithmetic(), count).max(1e-9);
        let once = timed(1);
        let count = (TIMED_SECONDS / once).ceil().clamp(1.0, 1000.0) as usize;
        let rate = flops * count as f64 / timed(count);
        let most = sweep.max_iterations() as f64;
        let share = match (sweep.path_rule(), sweep.tolerance()) {
            (Path::Newton, _) => 0.0,
            (_, 0.0) => 1.0,
            _ => SHARE,
        };
        // The CPU engine's plan assumes a speed, which has been measured now.
        let limits = engine.limits(sweep.arithmetic())?;
        let scale = if limits.engine == "cpu" { limits.flops / rate.max(1.0) } else { 1.0 };
        let scaled = |(seconds, bytes): (f64, u64)| (share * scale * seconds, bytes);
        Ok(Sizes {
            lanes: prepared.lanes.len() as f64,
            rows: n as f64,
            state_rows: q as f64,
            derivatives: derivatives.len() as f64,
            active: if is_sparse { (ACTIVE * q as f64).min(n as f64) } else { q as f64 },
            iterations: share * most,
            most,
            rate,
            plain: scaled(planned(sweep, &[], engine)?),
            carried: planned(sweep, derivatives, engine).map(scaled),
            jacobian: of.wants_jacobian(),
            is_sparse,
            to_the_end: sweep.tolerance() == 0.0,
        })
    }

    /// Seconds and bytes of the systems on the active coefficients.
    fn systems(&self) -> (f64, u64) {
        let s = self.active;
        let rights = if self.jacobian { self.derivatives } else { 1.0 };
        let flops = self.lanes * (self.rows * s * s + s * s * s / 3.0 + 2.0 * rights * s * s);
        (flops / self.rate, (40.0 * s * s * rayon::current_num_threads() as f64) as u64)
    }

    fn estimate(
        &self,
        mode: Mode,
        of: &Differentiate,
        prepared: &Prepared,
        derivatives: &[Derivative],
    ) -> Estimate {
        let (plain, plain_bytes) = self.plain;
        let (system, system_bytes) = self.systems();
        // One product with the active columns there and back, of one column.
        let narrow = |columns: f64, iterations: f64| {
            NARROW * self.lanes * columns * iterations * 4.0 * self.rows * self.active / self.rate
        };
        let (carried, carried_bytes) = *self.carried.as_ref().unwrap_or(&(f64::INFINITY, u64::MAX));
        let number = if self.is_sparse { 12.0 * self.active } else { 8.0 * self.state_rows };
        let tape = self.lanes * self.iterations * number;
        let budget = of.sweep().budget() as f64 / 2.0;
        let columns = if self.jacobian { self.derivatives } else { 1.0 };
        let (seconds, bytes, gives, error) = match mode {
            Mode::Reverse => {
                let again = if tape > budget { plain } else { 0.0 };
                let back = if self.is_sparse { narrow(1.0, self.iterations).min(plain) } else { plain };
                let bytes = plain_bytes + tape.min(budget) as u64;
                (plain + again + back, bytes, "gradients by everything", "exact for the last iterate")
            }
            Mode::Implicit => {
                let gives = "coefficients and gradients, by hyperparameters";
                let solve = if self.to_the_end { plain } else { UNTIL_IDENTIFIED * plain };
                (solve + system, plain_bytes + system_bytes, gives, "rounding times the condition number")
            }
            Mode::FixedPoint => {
                let repeated =
                    narrow(columns, self.most).min(columns * plain * self.most / self.iterations.max(1.0));
                let gives = "coefficients and gradients, by hyperparameters";
                (plain + repeated, plain_bytes, gives, "the solver's rate to the power of the iterations")
            }
            Mode::OneStep => {
                let gives = "coefficients and gradients, by hyperparameters";
                (
                    plain + narrow(columns, 1.0),
                    plain_bytes,
                    gives,
                    "the solver's rate: large unless it is fast",
                )
            }
            Mode::Hybrid => {
                let gives = "the sequence and its limit, by hyperparameters";
                let seconds = UNTIL_IDENTIFIED * carried + system;
                (
                    seconds,
                    carried_bytes.saturating_add(system_bytes),
                    gives,
                    "rounding times the condition number",
                )
            }
            Mode::Forward | Mode::Auto => (
                carried,
                carried_bytes,
                "coefficients and gradients, by everything",
                "exact for the last iterate",
            ),
        };
        let refused = derivatives
            .iter()
            .map(|derivative| mode.check(derivative))
            .chain([refuse(mode, of.sweep(), prepared)])
            .find_map(Result::err)
            .or_else(|| {
                let carries = matches!(mode, Mode::Forward | Mode::Hybrid);
                self.carried.as_ref().err().filter(|_| carries).cloned()
            })
            .map(|error| format!("{}: found {}, expected {}", error.field, error.found, error.expected));
        Estimate { mode, seconds, bytes, gives, error, refused }
    }
}
