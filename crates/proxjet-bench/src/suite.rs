//! The measurements to run and their duration.

use std::str::FromStr;

use clap::ValueEnum;
use ndarray::{Array1, Array2};
use rand::{RngExt, SeedableRng};

use proxjet::data::{Dataset, Synthetic};
use proxjet::engine::Engine;
use proxjet::error::{Error, Result};
use proxjet::objective::{Derivative, Objective};
use proxjet::program::{Precision, Strategy};
use proxjet::solve::{Alphas, Sweep};

/// The strategies of an engine.
pub(crate) fn strategies(engine: &dyn Engine) -> &'static [Strategy] {
    if engine.info().engine == "cpu" { &[Strategy::Direct] } else { &Strategy::ALL }
}

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Suite {
    /// Small shapes: on two cores half a minute, with a software driver about six
    Quick,
    /// Every shape and section, for real GPUs and workstations
    Full,
}

/// A part of a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Section {
    /// Plain products
    Products,
    /// Iterations of each shape
    Shapes,
    /// FISTA, 64 features, 1024 lanes, 200 iterations
    Lanes,
    /// A lasso with and without exact sparsity
    Sparsity,
    /// Folds in one batch, warm-started paths and sparse designs
    Paths,
    /// Every way to differentiate, beside the same sweep without derivatives
    Modes,
    /// How soon a run ends that is cancelled or has a deadline
    Cancel,
    /// Derivatives and iterates against independent computations
    Accuracy,
    /// Beside JAX, scikit-learn, skglm and celer, where Python has them; alone, and in no suite
    Peers,
}

impl Section {
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |v| v.get_name().to_string())
    }
}

/// Rows, features and lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Rows of the design.
    pub rows: usize,
    /// Its columns.
    pub features: usize,
    /// Lanes.
    pub lanes: usize,
}

/// Maximum entries of a design, which is random and stored twice in f64: 4 GiB.
const MOST: usize = 1 << 28;

const fn shape(rows: usize, features: usize, lanes: usize) -> Shape {
    Shape { rows, features, lanes }
}

impl FromStr for Shape {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let numbers: Vec<usize> =
            text.split(',').filter_map(|v| v.trim().parse().ok()).filter(|v| *v > 0).collect();
        match numbers[..] {
            [n, p, b] if text.split(',').count() == 3 && n.saturating_mul(p) <= MOST && b <= MOST => {
                Ok(shape(n, p, b))
            }
            [_, _, _] => {
                let expected = format!("at most {MOST} entries of the design, and as many lanes");
                Err(Error::usage("shape", format!("'{text}'"), expected, ""))
            }
            _ => Err(Error::usage("shape", format!("'{text}'"), "three positive numbers: N,P,B", "")),
        }
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} x {}, {} lanes", self.rows, self.features, self.lanes)
    }
}

const FULL: [Shape; 6] = [
    shape(442, 10, 4096),
    shape(128, 64, 1024),
    shape(1000, 2000, 256),
    shape(2000, 500, 1024),
    shape(4096, 8192, 256),
    shape(8192, 1024, 4096),
];
/// The first three shapes, reduced to sizes that two cores and a software driver finish in a few dozen
/// milliseconds.
const QUICK: [Shape; 3] = [shape(442, 10, 1024), shape(128, 64, 256), shape(500, 1000, 64)];

/// The measurements to run and their duration.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(crate) suite: Suite,
    pub(crate) sections: Vec<Section>,
    pub(crate) shapes: Vec<Shape>,
    /// The shape of the sections with a single one, if given.
    pub(crate) asked: Option<Shape>,
    pub(crate) tangents: Vec<usize>,
    pub(crate) precisions: Vec<Precision>,
    pub(crate) repeat: usize,
    /// Seconds of a repetition.
    pub(crate) sample: f64,
    /// Seconds of iterating in a whole run.
    pub(crate) run: f64,
    /// Number of runs to cancel.
    pub(crate) cancels: usize,
    pub(crate) memory_budget: u64,
}

impl Plan {
    /// The plan of a suite; sections, shapes, numbers of derivatives per lane and repetitions replace the
    /// suite's own if given. The budget is in bytes.
    pub fn new(
        suite: Suite,
        only: &[Section],
        shapes: &[Shape],
        tangents: &[usize],
        repeat: Option<usize>,
        memory_budget: u64,
    ) -> Self {
        let full = suite == Suite::Full;
        let usual: &[Section] = match suite {
            Suite::Quick => &[Section::Products, Section::Shapes, Section::Lanes, Section::Accuracy],
            Suite::Full => &[
                Section::Products,
                Section::Shapes,
                Section::Lanes,
                Section::Sparsity,
                Section::Paths,
                Section::Cancel,
                Section::Accuracy,
            ],
        };
        let or =
            |given: &[usize], usual: &[usize]| if given.is_empty() { usual.to_vec() } else { given.to_vec() };
        Plan {
            suite,
            sections: if only.is_empty() { usual.to_vec() } else { only.to_vec() },
            shapes: match (shapes.is_empty(), full) {
                (false, _) => shapes.to_vec(),
                (true, true) => FULL.to_vec(),
                (true, false) => QUICK.to_vec(),
            },
            asked: shapes.first().copied(),
            precisions: vec![Precision::F32, Precision::F64],
            tangents: or(tangents, if full { &[0, 1, 4] } else { &[0, 1] }),
            repeat: repeat.unwrap_or(if full { 5 } else { 3 }).max(1),
            sample: if full { 0.4 } else { 0.1 },
            run: if full { 0.5 } else { 0.1 },
            cancels: if full { 200 } else { 20 },
            memory_budget,
        }
    }

    /// Measures only these precisions, if any are given.
    pub fn precisions(mut self, only: &[Precision]) -> Self {
        if !only.is_empty() {
            self.precisions = only.to_vec();
        }
        self
    }

    pub(crate) fn has(&self, section: Section) -> bool {
        self.sections.contains(&section)
    }

    /// Sizes of the plain products that determine the peak: cubes.
    pub(crate) fn cubes(&self) -> &'static [usize] {
        if self.suite == Suite::Full { &[1024, 4096] } else { &[1024] }
    }

    /// A sweep of a shape that runs a fixed number of iterations, computes all coefficients, and records the
    /// first and the last frame.
    pub(crate) fn sweep(
        &self,
        problem: &Objective,
        lanes: usize,
        tangents: usize,
        precision: Precision,
    ) -> Sweep {
        Sweep::new(problem.clone())
            .alphas(Alphas::Path { epsilon: 0.1, count: lanes })
            .derivatives(std::iter::repeat_n(Derivative::LogAlpha, tangents))
            .every(1 << 30)
            .tol(0.0)
            .sparsity(false)
            .precision(precision)
            .memory_budget(self.memory_budget)
    }

    /// Maximum iterations, up to `most`, for which the records of a sweep with this many lanes fit in an
    /// eighth of the budget.
    pub(crate) fn iterations(&self, lanes: usize, tangents: usize, most: usize) -> usize {
        let bytes_of_one = 16 * (lanes * (8 + 2 * tangents)) as u64;
        ((self.memory_budget / 8 / bytes_of_one) as usize).clamp(1, most)
    }
}

/// A lasso of 1 % true density.
pub(crate) fn lasso_data(shape: Shape) -> Result<Dataset> {
    Synthetic {
        rows: shape.rows,
        features: shape.features,
        scale: (1.0, 1.0),
        relevant: (shape.features / 100).max(1),
        effect: 1.0,
        noise: 0.5,
        classes: false,
        seed: 3,
    }
    .draw()
}

/// A design of independent entries: the speed does not depend on the values.
pub(crate) fn random_problem(rows: usize, features: usize) -> Result<Objective> {
    let mut rng = rand_pcg::Pcg64::seed_from_u64(3);
    let mut draw = || rng.random_range(-1.0..1.0f64);
    let x = Array2::from_shape_simple_fn((rows, features), &mut draw);
    let y = Array1::from_shape_simple_fn(rows, &mut draw);
    Objective::builder(Dataset::new(x, y)?).intercept(false).build()
}
