//! Proximal-gradient solvers for many hyperparameter candidates at once, with the exact derivative of every
//! iterate.
//!
//! # The problem
//!
//! For every candidate `u = (alpha, l1_ratio, …)` of a sweep, a *lane*, proxjet runs
//!
//! ```text
//! minimise over x = (coef, intercept):   f(x; u) + g(x; u)
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
//! The derivatives converge to the derivative of the solution at the solver's own rate although the update
//! varies: S. Mehmood and P. Ochs, *Automatic Differentiation of Optimization Algorithms with Time-Varying
//! Updates*, ICML 2025. All lanes and derivatives are the columns of one matrix, so that an iteration is two
//! matrix products with element-wise epilogues, on the CPU ([`engine::cpu`], whose `iterate.rs` reads like
//! the lines above) or on a GPU (`engine::gpu`).
//!
//! # A program
//!
//! ```
//! use proxjet::prelude::*;
//!
//! # fn main() -> Result<()> {
//! // Split first, so that the held-out rows have no part in the means and deviations.
//! let (train, held_out) = bundled("diabetes")?.split("0.25:1".parse()?)?;
//! let train = train.standardize();
//! let held_out = held_out.standardize_like(&train)?;
//! let objective = Objective::builder(train).penalty(Penalty::l1()).validation(held_out).build()?;
//!
//! let sweep = Sweep::new(objective).alphas(Alphas::path(1e-2, 50)).iterations(2000);
//! let result = sweep.run(&mut CpuEngine::new())?;
//! assert!(result.lanes.iter().all(|lane| lane.status == Status::Converged));
//!
//! // The lane of the lowest held-out loss: coefficients in the units of the data as they were given.
//! let best = result.best().expect("there are held-out rows");
//! let fit = result.lane(best);
//! println!("{:?}: {}, d/d log alpha {}", fit.names(), fit.coef(), fit.dcoef());
//! println!("predictions: {}", fit.predict(bundled("diabetes")?.design())?);
//! # Ok(())
//! # }
//! ```
//!
//! Programs that must not block submit a sweep ([`solve::Sweep::submit`]); those that own a wgpu device run
//! it in their own commands (`solve::Sweep::session`). Both, and errors by kind and field, are shown in
//! `examples/`.
//!
//! # The map
//!
//! | module | is |
//! |---|---|
//! | [`data`] | [`Dataset`](data::Dataset): validated data; readers, held-out rows, standardising |
//! | [`design`] | [`Design`](design::Design): the linear operator of all products |
//! | [`objective`] | [`Objective`](objective::Objective): a loss and a penalty on a design |
//! | [`schedule`] | [`Schedule`](schedule::Schedule): what varies with the iteration |
//! | [`solve`] | [`Sweep`](solve::Sweep): settings, running, submitting; what a sweep found |
//! | [`result`] | [`Fit`](result::Fit), a lane's model; [`Trace`](result::Trace), the recorded sequence |
//! | [`diff`] | [`Differentiate`](diff::Differentiate): gradients in any mode; checks by differences, rates |
//! | [`engine`] | the CPU engine and the GPU engine |
//! | [`lanes`], [`program`] | what is behind them: candidates, plans, buffers and passes |
//!
//! # Features
//!
//! None by default. `gpu`: the GPU engine. `readers`: data from CSV, NPY, NPZ and svmlight files, schedules
//! from TOML. `serde`: results, plans and settings can be serialised.

pub use ndarray;

pub mod certificate;
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

// A web page has a clock of its own.
#[cfg(not(target_family = "wasm"))]
pub(crate) use std::time::Instant;
#[cfg(target_family = "wasm")]
pub(crate) use web_time::Instant;

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
