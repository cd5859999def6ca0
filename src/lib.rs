//! Batched proximal-gradient solvers, with the exact derivative of every iterate.
//!
//! For every candidate `u = (alpha, l1_ratio, …)` of a sweep, a *lane*, proxjet runs
//!
//! ```text
//! minimise over x:   f(x; u) + g(x; u)
//! f = Σ_i ω_i φ(z_i, y_i),  z = X coef + intercept,  Σ ω = 1      φ: squared, logistic, huber
//! g = alpha · l1_ratio ‖coef‖₁ + ½ alpha (1 − l1_ratio) ‖coef‖²   and its relatives
//! ```
//!
//! by proximal gradient, FISTA or heavy ball, whose step `α_k` and momentum `β_k` may change at every
//! iteration and differ from lane to lane, and carries with each iterate `x_k` its derivatives `Dx_k =
//! ∂x_k/∂u`:
//!
//! ```text
//! y   = x_k + β_k (x_k − x_{k−1})                dy   = dx_k + β_k (dx_k − dx_{k−1})
//! w   = y − α_k ∇f(e)                            dw   = dy − α_k (H(e) de + ∂_u∇f)      e = y (FISTA) or x_k
//! x⁺  = prox_{α_k g}(w)                          dx⁺  = J dw + ∂_u prox
//! ```
//!
//! All lanes and derivatives are the columns of one matrix, so that an iteration is two matrix products with
//! element-wise ends, on a GPU ([`engine::gpu`]) or on the CPU ([`engine::cpu`], the reference text).
//!
//! Programs that must not block submit a sweep ([`solve::Sweep::submit`]); those that own a wgpu device step
//! it in their own commands (`solve::Sweep::session`, `docs/embedding.md`).
//!
//! The derivative sequence converges to the derivative of the solution at the solver's own rate although the
//! update varies in time: S. Mehmood and P. Ochs, *Automatic Differentiation of Optimization Algorithms with
//! Time-Varying Updates*, ICML 2025.
//!
//! ```text
//! data ─► problem ─► plan ─► engine ─► trace ─► driver ─► derivative ─► report ─► front
//!         schedule ┘         cpu, gpu
//! ```
//!
//! ```
//! use proxjet::prelude::*;
//!
//! # fn main() -> Result<()> {
//! let problem = Objective::builder(bundled("diabetes")?.standardize()).penalty(Penalty::l1()).build()?;
//! let result = Sweep::new(problem).alphas("path:0.1:5".parse()?).run(&mut CpuEngine::new())?;
//! assert!(result.lanes.iter().all(|lane| lane.status == Status::Converged));
//! let last = result.trace.iteration.len() - 1;
//! println!("d coef / d log alpha: {}", result.trace.dcoef.index_axis(Axis(0), last));
//! # Ok(())
//! # }
//! ```

pub mod data;
pub mod design;
pub mod diff;
pub mod engine;
pub mod error;
pub mod lanes;
pub mod objective;
pub mod prelude;
pub mod program;
pub mod result;
pub mod schedule;
pub mod solve;

/// The README's program compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The programs of docs/embedding.md compile.
#[cfg(all(doctest, feature = "gpu"))]
#[doc = include_str!("../docs/embedding.md")]
struct Embedding;

/// The programs of docs/schedules.md compile.
#[cfg(doctest)]
#[doc = include_str!("../docs/schedules.md")]
struct Schedules;
