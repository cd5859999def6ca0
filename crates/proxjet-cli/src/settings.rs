//! Options of a sweep, shared by the commands that run one.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use ndarray::{Array1, Array2, Axis, Ix1, Ix2};

use crate::engine::EngineArgs;
use crate::input::InputArgs;
use proxjet::data::{self, Dataset, FoldRule, Folds, Validation};
use proxjet::error::{Error, ErrorKind, Result};
use proxjet::objective::{Derivative, Loss, Objective, Penalty};
use proxjet::program::{Keep, Precision};
use proxjet::schedule::{Algorithm, Metric, Momentum, Phase, Restart, Schedule, Step};
use proxjet::solve::{Alphas, DEFAULT_MEMORY_BUDGET, Sweep};

/// Options of a sweep.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Settings {
    /// Data: a .csv, .tsv, .npy, .npz, .mtx or .svm file (each also .gz), or bundled:diabetes,
    /// bundled:breast_cancer, bundled:digits
    #[arg(help_heading = "Data", long, value_name = "FILE")]
    data: String,
    #[command(flatten)]
    input: InputArgs,
    /// Centre and scale every feature for the fit; models are in the units of the data all the same
    #[arg(help_heading = "Data", long)]
    standardize: bool,
    #[arg(help_heading = "Model", long, value_name = "LOSS", default_value = "squared",
        help = format!("{}; huber:1.35s is in units of a robust scale of the target", Loss::usage()))]
    loss: String,
    #[arg(help_heading = "Model", long, value_name = "PENALTY", default_value = "l1",
        help = Penalty::usage())]
    penalty: String,
    /// Per-feature factors on the penalty, one row of numbers
    #[arg(help_heading = "Model", long, value_name = "FILE.npy")]
    penalty_factors: Option<PathBuf>,
    /// A list (0.1,0.05), geom:HI:LO:N, or path:EPS:N from alpha_max down to EPS*alpha_max. With a ridge part
    /// it goes down to EPS*c/(1-l1_ratio) if that is lower, c the median curvature along a feature; for
    /// penalty l2 it starts at 10 times the largest curvature [default: path:1e-3:100, with a ridge
    /// path:1e-4:100]
    #[arg(help_heading = "Model", long, value_name = "ALPHAS", allow_hyphen_values = true)]
    alphas: Option<String>,
    /// Share of l1 in elastic_net, from 0 to 1 [default: 0.5]
    #[arg(help_heading = "Model", long, value_name = "R", allow_hyphen_values = true)]
    l1_ratio: Option<f64>,
    /// Fit an unpenalised intercept (the default)
    #[arg(help_heading = "Model", long, overrides_with = "no_intercept")]
    intercept: bool,
    /// Fit no intercept
    #[arg(help_heading = "Model", long)]
    no_intercept: bool,
    /// pgd, fista or heavy_ball
    #[arg(help_heading = "Iteration", long, value_name = "A", default_value = "fista")]
    algorithm: String,
    /// 1/L, 2/(L+m), constant:V, uniform:LO:HI:SEED, cyclic:LO:HI:PERIOD, decreasing:V:POWER,
    /// backtracking:START:SHRINK, barzilai_borwein:HI (in units of 1/L), manifold, or table:FILE.npy of shape
    /// [iterations] or [iterations, lanes]
    #[arg(help_heading = "Iteration", long, value_name = "RULE", default_value = "1/L")]
    step: String,
    /// none, fista, nesterov:A, strongly_convex, constant:V, or table:FILE.npy [default: the algorithm's own]
    #[arg(help_heading = "Iteration", long, value_name = "RULE")]
    momentum: Option<String>,
    /// Adaptive restart of the momentum: none, function or gradient [default: gradient with fista, else none]
    #[arg(help_heading = "Iteration", long, value_name = "SCHEME")]
    restart: Option<String>,
    /// Diagonal metric: auto (diagonal if the scales of columns differ), none, diagonal, hessian:EVERY:GAIN,
    /// or table:FILE.npy of shape [p], [iterations, p] or [iterations, lanes, p]
    #[arg(help_heading = "Iteration", long, value_name = "RULE", default_value = "auto")]
    metric: String,
    /// Carry derivatives from this iteration on, or from where the active set has settled ('identified')
    #[arg(help_heading = "Derivatives", long, value_name = "K", default_value = "0")]
    tangent_start: String,
    /// Iterations without a change of the active set that count as identification
    #[arg(help_heading = "Iteration", long, value_name = "K", default_value_t = 10, value_parser = whole)]
    patience: usize,
    /// Everything that varies with the iteration, in phases, from a TOML file (docs/schedules.md)
    #[arg(help_heading = "Iteration", long, value_name = "FILE.toml",
        conflicts_with_all = [
            "algorithm", "step", "momentum", "restart", "metric", "tangent_start", "patience",
        ])]
    schedule: Option<PathBuf>,
    /// Iterations at most
    #[arg(help_heading = "Iteration", long, value_name = "K", default_value_t = 1000, value_parser = whole)]
    iterations: usize,
    /// Tolerance on the iterate and on its derivatives; 0 for exactly K iterations
    #[arg(
        help_heading = "Iteration",
        long,
        value_name = "T",
        default_value_t = 1e-6,
        allow_hyphen_values = true
    )]
    tol: f64,
    /// What to differentiate with respect to: log_alpha, alpha, l1_ratio, penalty_factor:FEATURE,
    /// target:FILE.npy, log_step, step:K, momentum:K, or none; penalty_factor:*, step:* and momentum:* are
    /// all features, all iterations [default: log_alpha where the penalty has an alpha]
    #[arg(help_heading = "Derivatives", long, value_name = "LIST", value_delimiter = ',')]
    derivative: Option<Vec<String>>,
    /// Keep a full frame every so many iterations [default: a fiftieth of them, more if frames would fill the
    /// memory budget]
    #[arg(help_heading = "Output", long, value_name = "E", value_parser = whole)]
    every: Option<usize>,
    /// What trace.npz has: frames, with records of these iterations and of those at which the stop rule is
    /// tested; records, of every iteration; all, both; or nothing but the last iterates [default: frames]
    #[arg(help_heading = "Output", long, value_name = "WHAT")]
    keep: Option<String>,
    /// Start from these coefficients, [p] or [lanes, p]
    #[arg(help_heading = "Iteration", long, value_name = "FILE.npy")]
    start: Option<PathBuf>,
    /// How the alphas of a path start: independent; warm:BLOCK, in blocks of so many, each at the end of
    /// the nearest alpha of the block before, with its derivatives (warm:BLOCK:restart: without); newton, one
    /// after the other by Newton's method, without iterations: settings of these are for lanes that it
    /// cannot solve [default: independent]
    #[arg(help_heading = "Iteration", long, value_name = "HOW", conflicts_with = "start")]
    path: Option<String>,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    /// f32 or f64 [default: f64 on the CPU engine, f32 on a GPU]
    #[arg(help_heading = "Run", long, value_name = "P")]
    precision: Option<String>,
    /// How an iteration is computed: direct (products with the design), gram (with its XᵀX, squared loss),
    /// or, on a GPU, persistent (the same, many iterations at a time) [default: the fastest by the plan's
    /// estimate]
    #[arg(help_heading = "Run", alias = "form", long, value_name = "STRATEGY")]
    strategy: Option<String>,
    /// Hold rows out of the fit and trace their loss and its derivative
    #[arg(help_heading = "Data", long, value_name = "FRACTION[:SEED]")]
    validation: Option<String>,
    /// Fit every alpha once for each of K folds, on the rows outside of the fold, and trace the loss of those
    /// in it: K, K:SEED (stratified for classes), K:SEED:REPEATS, or time:K (rows in the order of time, each
    /// block after a fit of all before it)
    #[arg(help_heading = "Data", long, value_name = "K[:SEED]",
        conflicts_with_all = ["validation", "fold_ids"])]
    folds: Option<String>,
    /// The fold of every row, whole numbers
    #[arg(help_heading = "Data", long, value_name = "FILE.npy",
        conflicts_with_all = ["validation", "groups"])]
    fold_ids: Option<PathBuf>,
    /// Held-out rows in a file of their own, with the features of --data
    #[arg(help_heading = "Data", long, value_name = "FILE",
        conflicts_with_all = ["validation", "folds", "fold_ids"])]
    validation_data: Option<String>,
    /// The target of --validation-data, where that of --data is a file of its own
    #[arg(help_heading = "Data", long, value_name = "FILE.npy", requires = "validation_data")]
    validation_target: Option<String>,
    /// Compute on all coefficients at every iteration, also on those that provably rest at zero
    #[arg(help_heading = "Run", long)]
    no_sparsity: bool,
    /// Deliver the last iterate as it is, instead of solving once more in f64 from its active set. The
    /// recorded sequence is the same
    #[arg(help_heading = "Iteration", long)]
    no_polish: bool,
    /// Seconds that the run may take; lanes still going then end with the status 'deadline'
    #[arg(help_heading = "Run", long, value_name = "SECONDS")]
    deadline: Option<f64>,
    /// When a device fails: go on from the last chunk on a fresh one (retry), on the CPU engine (cpu), or
    /// fail
    #[arg(help_heading = "Run", long, value_name = "WHAT", default_value = "retry")]
    on_fault: String,
    /// Memory budget in GiB, for the device and the trace together
    #[arg(help_heading = "Run", long, value_name = "GIB",
        default_value_t = (DEFAULT_MEMORY_BUDGET >> 30) as f64)]
    memory_budget: f64,
}

/// A number of iterations.
fn whole(text: &str) -> std::result::Result<usize, String> {
    text.parse().map_err(|_| "expected a whole number, zero or larger, such as 1000".into())
}

/// A memory budget in bytes.
pub(crate) fn budget(gib: f64) -> Result<u64> {
    let bytes = gib * (1u64 << 30) as f64;
    if bytes.is_finite() && bytes > 0.0 {
        return Ok(bytes as u64);
    }
    Err(Error::usage("--memory-budget", gib.to_string(), "a positive number of GiB", ""))
}

impl Settings {
    /// The same without restart, unless one was given.
    pub(crate) fn or_without_restart(mut self) -> Self {
        self.restart.get_or_insert_with(|| "none".into());
        self
    }

    /// The requested precision, if any.
    pub(crate) fn precision(&self) -> Result<Option<Precision>> {
        self.precision.as_deref().map(str::parse).transpose()
    }
    /// The sweep with every record, which its analysis needs, unless something else was asked for.
    pub(crate) fn with_every_record(&self, sweep: Sweep) -> Sweep {
        if self.keep.is_none() { sweep.keep(Keep::All) } else { sweep }
    }

    /// True if not every record was asked for.
    pub(crate) fn keeps_less_than_all(&self) -> bool {
        self.keep.as_deref().is_some_and(|keep| keep != "all")
    }

    /// True if held-out rows are in a file of their own.
    pub(crate) fn has_validation_data(&self) -> bool {
        self.validation_data.is_some()
    }

    /// True for a path by Newton's method.
    pub(crate) fn is_newton_path(&self) -> bool {
        self.path.as_deref() == Some("newton")
    }

    /// The requested held-out split, if any.
    pub(crate) fn validation(&self) -> Result<Option<Validation>> {
        self.validation.as_deref().map(str::parse).transpose()
    }

    fn budget(&self) -> Result<u64> {
        budget(self.memory_budget)
    }

    fn read_array(&self, option: &str, path: &Path) -> Result<ndarray::ArrayD<f64>> {
        data::read_array(path, self.budget()?).map_err(|e| e.within(&format!("{option} ")))
    }

    fn read_vector(&self, option: &str, path: &Path) -> Result<Array1<f64>> {
        let array = self.read_array(option, path)?;
        let shape = array.shape().to_vec();
        // A row or a column of a matrix is a vector, too.
        let flat = match shape[..] {
            [_, 1] => array.index_axis_move(Axis(1), 0),
            [1, _] => array.index_axis_move(Axis(0), 0),
            _ => array,
        };
        flat.into_dimensionality::<Ix1>().map_err(|_| {
            let at = format!("{option} {}", path.display());
            Error::data(at, format!("shape {shape:?}"), "one row of numbers", "")
        })
    }

    /// Reads everything and builds the sweep, in the given precision.
    pub(crate) fn sweep(&self, precision: Precision) -> Result<Sweep> {
        let penalty: Penalty = self.penalty.parse()?;
        let alphas: Option<Alphas> = self.alphas.as_deref().map(str::parse).transpose()?;
        if let Some(ratio) = self.l1_ratio.filter(|_| penalty.l1_ratio().is_some() || !penalty.uses_alpha()) {
            let found = format!("{ratio} with penalty '{}'", penalty.name());
            return Err(Error::usage("--l1-ratio", found, "penalty 'elastic_net'", "Leave --l1-ratio out."));
        }
        let problem = self.problem(penalty)?;
        let mut sweep = Sweep::new(problem)
            .l1_ratio(self.l1_ratio.unwrap_or(0.5))
            .schedule(self.rules()?)
            .iterations(self.iterations)
            .tol(self.tol)
            .precision(precision)
            .memory_budget(self.budget()?);
        if let Some(alphas) = alphas {
            sweep = sweep.alphas(alphas);
        }
        sweep = sweep
            .strategy(self.strategy.as_deref().map(str::parse).transpose()?)
            .polish(!self.no_polish)
            .on_fault(self.on_fault.parse()?);
        if self.no_sparsity {
            sweep = sweep.sparsity(false);
        }
        if let Some(seconds) = self.deadline {
            let limit = std::time::Duration::try_from_secs_f64(seconds).map_err(|_| {
                Error::usage("--deadline", format!("{seconds:?}"), "seconds from 0 to 1e19", "")
            })?;
            sweep = sweep.deadline(limit);
        }
        if let Some(list) = &self.derivative {
            let names = sweep.problem().feature_names().to_vec();
            let wanted = list.iter().filter(|d| *d != "none");
            let parsed: Result<Vec<Vec<Derivative>>> = wanted
                .map(|text| match text.strip_prefix("target:") {
                    Some(file) => {
                        let direction = self.read_vector("--derivative target", Path::new(file))?;
                        Ok(vec![Derivative::Target(direction)])
                    }
                    None => Derivative::parse_all(text, &names, self.iterations),
                })
                .collect();
            sweep = sweep.derivatives(parsed?.concat());
        }
        if let Some(every) = self.every {
            sweep = sweep.every(every);
        }
        if let Some(keep) = &self.keep {
            sweep = sweep.keep(keep.parse()?);
        }
        if let Some(path) = &self.path {
            sweep = sweep.path(path.parse()?);
        }
        if let Some(path) = &self.start {
            sweep = sweep.start(self.read_start(path)?);
        }
        proxjet::diff::resolve_manifold(sweep)
    }

    /// The schedule.
    fn rules(&self) -> Result<Schedule> {
        if let Some(path) = &self.schedule {
            return Schedule::read(path, self.budget()?);
        }
        let algorithm: Algorithm = self.algorithm.parse()?;
        let restart = match &self.restart {
            Some(rule) => rule.parse()?,
            // Rules that are given step by step run as given.
            None if algorithm == Algorithm::Fista && self.momentum.is_none() => Restart::Gradient,
            None => Restart::None,
        };
        let mut phase = Phase::new(algorithm).restart(restart).step(match self.step.strip_prefix("table:") {
            Some(file) => Step::Table(self.read_array("--step", Path::new(file))?),
            None => self.step.parse()?,
        });
        if let Some(rule) = &self.momentum {
            phase = phase.momentum(match rule.strip_prefix("table:") {
                Some(file) => Momentum::Table(self.read_array("--momentum", Path::new(file))?),
                None => rule.parse()?,
            });
        }
        let metric = match self.metric.strip_prefix("table:") {
            Some(file) => Metric::Table(self.read_array("--metric", Path::new(file))?),
            None => self.metric.parse()?,
        };
        Ok(Schedule::from(phase)
            .metric(metric)
            .tangent_start(self.tangent_start.parse()?)
            .patience(self.patience))
    }

    /// The multiple of the robust scale in `huber:1.35s`.
    fn huber_multiple(&self) -> Option<f64> {
        self.loss.strip_prefix("huber:")?.strip_suffix('s')?.parse().ok()
    }

    fn problem(&self, penalty: Penalty) -> Result<Objective> {
        let multiple = self.huber_multiple();
        let loss: Loss = if multiple.is_some() { Loss::huber(1.0)? } else { self.loss.parse()? };
        let data = self.input.read(&self.data, self.budget()?, None)?;
        let (fitted, held_out) = match (self.validation()?, &self.validation_data) {
            (None, None) => (data, None),
            (Some(validation), _) => data.split(validation).map(|(f, h)| (f, Some(h)))?,
            (None, Some(file)) => {
                let held_out = self.validation_data(file, &data)?;
                (data, Some(held_out))
            }
        };
        let folds = self.folds(&fitted, loss.classes())?;
        // Held-out rows are standardised by the fitted ones, so that they do not leak into the fit.
        let fitted = if self.standardize { fitted.standardize() } else { fitted };
        let held_out = held_out.map(|h| h.standardize_like(&fitted)).transpose()?;
        let mut builder = Objective::builder(fitted)
            .loss(loss)
            .penalty(penalty)
            .intercept(self.intercept || !self.no_intercept)
            // With a metric of one's own, or none, the recursion runs on the columns as given.
            .centre(self.schedule.is_none() && self.metric == "auto");
        if let Some(multiple) = multiple {
            builder = builder.huber_scaled(multiple);
        }
        if let Some(held_out) = held_out {
            builder = builder.validation(held_out);
        }
        if let Some(folds) = folds {
            builder = builder.folds(folds);
        }
        if let Some(path) = &self.penalty_factors {
            builder = builder.penalty_factors(self.read_vector("--penalty-factors", path)?);
        }
        builder.build()
    }

    /// The held-out rows of a file, in the columns of the fitted data.
    fn validation_data(&self, file: &str, fitted: &Dataset) -> Result<Dataset> {
        let target = self.validation_target.as_deref();
        let held_out = self.input.read_held_out(file, target, self.budget()?, fitted)?;
        let name = file.trim_end_matches(".gz").to_lowercase();
        let is = |extensions: &[&str]| extensions.iter().any(|e| name.ends_with(e));
        let (table, indexed) = (is(&[".csv", ".tsv"]), is(&[".svm", ".svmlight", ".libsvm"]));
        if !table && !indexed && held_out.features() != fitted.features() {
            let expected = format!("{}, as in --data", fitted.features());
            return Err(Error::data(file, format!("{} features", held_out.features()), expected, ""));
        }
        let counts_from_0 = |of: &Dataset| of.feature_names().first().is_some_and(|name| name == "x0");
        if indexed && counts_from_0(&held_out) && !counts_from_0(fitted) {
            let found = "an index 0 beside data whose indices begin at 1";
            return Err(Error::data(file, found, "the same indices as in --data", "Write both alike."));
        }
        // Texts that do not occur there, and indices without an entry.
        let absent = |name: &str| indexed || table && name.contains('=');
        if indexed {
            let known: HashSet<&String> = fitted.feature_names().iter().collect();
            let unknown: Vec<_> = held_out.feature_names().iter().filter(|n| !known.contains(n)).collect();
            if let Some(first) = unknown.first() {
                let count = unknown.len();
                log::warn!(
                    "{file}: {count} feature(s) are left out, as --data does not have them: {first}, …"
                );
            }
        }
        held_out.with_features(fitted.feature_names(), absent).map_err(|e| e.within(&format!("{file}: ")))
    }

    /// The folds of the data, if any are asked for.
    fn folds(&self, data: &Dataset, classes: bool) -> Result<Option<Folds>> {
        if let Some(path) = &self.fold_ids {
            let ids = self.read_vector("--fold-ids", path)?;
            let at = || format!("--fold-ids {}", path.display());
            // Rows that were left out have an id, too; how many is known if none was.
            let given = data.given_rows().last().map_or(0, |last| last + 1);
            if ids.len() < given || ids.len() > given && given == data.rows() {
                let expected = format!("one for each of {given} rows");
                return Err(Error::data(at(), format!("{} numbers", ids.len()), expected, ""));
            }
            if let Some(v) = ids.iter().find(|v| v.fract() != 0.0 || v.abs() > 2f64.powi(53)) {
                return Err(Error::data(at(), v.to_string(), "whole numbers", ""));
            }
            let ids: Vec<i64> = data.given_rows().iter().map(|i| ids[*i] as i64).collect();
            return Folds::of_ids(&ids).map(Some);
        }
        let rule: Option<FoldRule> = self.folds.as_deref().map(str::parse).transpose()?;
        if rule.is_none() && data.groups().is_some() {
            let remedy = "Give --folds K, or leave --groups out.";
            return Err(Error::usage("--groups", "groups without folds", "--folds", remedy));
        }
        rule.map(|rule| rule.of(data, classes, data.groups())).transpose()
    }

    fn read_start(&self, path: &Path) -> Result<Array2<f64>> {
        let array = self.read_array("--start", path)?;
        let shape = array.shape().to_vec();
        let rows = if array.ndim() == 1 { array.insert_axis(Axis(0)) } else { array };
        rows.into_dimensionality::<Ix2>().map_err(|_| {
            let at = format!("--start {}", path.display());
            Error::new(ErrorKind::Data, at, format!("shape {shape:?}"), "[p] or [lanes, p]", "")
        })
    }
}
