//! The measurements of a bench, in the format of the JSON file. Unless stated otherwise, seconds, operations
//! and bytes are those of one iteration of all lanes of an entry.

use serde::{Deserialize, Serialize};

use proxjet::engine::EngineInfo;

/// Name and version of the format. Files of another format cannot be compared.
pub(crate) const SCHEMA: &str = "proxjet-bench 2";

/// A whole run of `proxjet bench`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    pub(crate) schema: String,
    pub(crate) versions: Versions,
    /// UTC.
    pub(crate) date: String,
    pub(crate) command: String,
    pub(crate) engine: Ran,
    pub(crate) host: Host,
    pub(crate) settings: Settings,
    /// The fastest plain product of each precision in this run.
    pub(crate) peaks: Vec<Peak>,
    pub(crate) products: Vec<Product>,
    pub(crate) shapes: Vec<Entry>,
    /// Share of the total time of the whole runs of `shapes` in which no kernel ran.
    pub(crate) host_share: Option<f64>,
    pub(crate) lanes: Vec<Workload>,
    pub(crate) sparsity: Vec<Sparsity>,
    #[serde(default)]
    pub(crate) paths: Vec<Pair>,
    #[serde(default)]
    pub(crate) modes: Vec<ModeTime>,
    pub(crate) cancel: Option<Cancel>,
    pub(crate) accuracy: Vec<Accuracy>,
    pub(crate) skipped: Vec<Skipped>,
    /// Number of measurements skipped because the device failed.
    pub(crate) failures: usize,
    /// Seconds of the whole bench.
    pub(crate) seconds: f64,
}

impl Report {
    /// Number of measurements skipped because the device failed.
    pub fn failures(&self) -> usize {
        self.failures
    }

    /// Tables of every section.
    pub fn text(&self) -> String {
        crate::text::report(self)
    }

    pub(crate) fn skip(&mut self, section: String, what: String, reason: String) {
        log::warn!("{section}: {what}: skipped: {reason}");
        self.skipped.push(Skipped { section, what, reason });
    }
}

/// Versions of the measured program.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Versions {
    pub(crate) proxjet: String,
    /// The value of `PROXJET_COMMIT` when this program was built.
    pub(crate) commit: Option<String>,
}

/// The engine that ran.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ran {
    pub(crate) engine: String,
    pub(crate) adapter: String,
    pub(crate) driver: String,
    pub(crate) software: bool,
}

impl From<EngineInfo> for Ran {
    fn from(info: EngineInfo) -> Self {
        Ran {
            engine: info.engine.into(),
            adapter: info.adapter,
            driver: info.driver,
            software: info.software,
        }
    }
}

/// The machine around it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Host {
    pub(crate) os: String,
    pub(crate) kernel: String,
    pub(crate) cpu: String,
    pub(crate) threads: usize,
    pub(crate) memory_bytes: u64,
}

impl Host {
    /// This machine, without its name.
    pub(crate) fn here() -> Self {
        use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};
        let cpu = CpuRefreshKind::nothing();
        let what = RefreshKind::nothing().with_cpu(cpu).with_memory(MemoryRefreshKind::nothing().with_ram());
        let system = System::new_with_specifics(what).ok();
        let brand = system.as_ref().and_then(|s| s.cpus().first().map(|c| c.brand().to_string()));
        Host {
            os: System::long_os_version().unwrap_or_else(|_| std::env::consts::OS.into()),
            kernel: System::kernel_version().unwrap_or_default(),
            cpu: format!("{} ({})", brand.as_deref().unwrap_or("unknown"), std::env::consts::ARCH),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: system.map_or(0, |s| s.total_memory()),
        }
    }
}

/// Settings of the measurements.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) suite: String,
    pub(crate) sections: Vec<String>,
    /// Repetitions of each measurement, interleaved with those that it is compared with.
    pub(crate) repeat: usize,
    /// Approximate seconds of a repetition.
    pub(crate) sample_seconds: f64,
    pub(crate) memory_budget_bytes: u64,
}

/// Repetitions of a measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) median: f64,
    /// In the order of measuring.
    pub(crate) values: Vec<f64>,
}

impl Sample {
    /// From at least one value.
    pub(crate) fn new(values: Vec<f64>) -> Self {
        Sample { median: quantile(&values, 0.5), values }
    }

    pub(crate) fn scaled(&self, by: f64) -> Sample {
        Sample::new(self.values.iter().map(|v| v * by).collect())
    }

    /// Ratio of each value to the one measured next to it.
    pub(crate) fn over(&self, other: &Sample) -> Sample {
        Sample::new(self.values.iter().zip(&other.values).map(|(a, b)| a / b).collect())
    }
}

/// The value that a share of the values does not exceed; the mean of the two in the middle for the median of
/// an even count.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    if share == 0.5 {
        return 0.5 * (sorted[last / 2] + sorted[last.div_ceil(2)]);
    }
    sorted[((share * sorted.len() as f64).ceil() as usize).clamp(1, last + 1) - 1]
}

/// The fastest plain product.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Peak {
    pub(crate) precision: String,
    pub(crate) gflops: f64,
    /// The sizes of the product: rows, features, columns.
    pub(crate) rows: usize,
    pub(crate) features: usize,
    pub(crate) columns: usize,
}

/// The two plain products `X M` and `Xᵀ R` of a shape, alone.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Product {
    pub(crate) rows: usize,
    pub(crate) features: usize,
    pub(crate) columns: usize,
    pub(crate) precision: String,
    /// Seconds of both products.
    pub(crate) seconds: Sample,
    pub(crate) gflops: f64,
}

/// Iterations of a shape.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    #[serde(alias = "form")]
    pub(crate) strategy: String,
    pub(crate) rows: usize,
    pub(crate) features: usize,
    pub(crate) lanes: usize,
    pub(crate) tangents: usize,
    pub(crate) precision: String,
    /// Lanes that ran at the same time; times are scaled to all lanes.
    pub(crate) lanes_at_a_time: usize,
    pub(crate) iterations_timed: usize,
    pub(crate) seconds: Sample,
    /// Counted floating-point operations: those of the strategy's products.
    pub(crate) operations: f64,
    pub(crate) gflops: f64,
    /// Counted bytes: the design once per product, the state for each read and write.
    pub(crate) bytes: f64,
    pub(crate) gigabytes_per_second: f64,
    /// The two plain products of as many columns on the same engine, measured between the repetitions.
    pub(crate) products_seconds: Sample,
    pub(crate) products_ratio: Sample,
    /// Seconds of the operations at the peak of this run, and the ratio of an iteration to that.
    pub(crate) floor_seconds: Option<f64>,
    pub(crate) floor_ratio: Option<f64>,
    /// Seconds if each chunk is collected before the next one is submitted.
    pub(crate) one_by_one_seconds: Option<f64>,
    /// Seconds from opening a run to the end of its first iteration, with kernels already compiled: buffers
    /// and uploads. Once per run.
    pub(crate) start_seconds: f64,
    /// Times by the device's own clock.
    pub(crate) device: Option<DeviceTime>,
    pub(crate) run: WholeRun,
}

/// Times by the device's own clock, for chunks run between the repetitions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DeviceTime {
    /// Seconds in kernels.
    pub(crate) kernel_seconds: Sample,
    /// Seconds between kernels of a chunk. Each kernel has its own pass while it is timed, so this is an
    /// upper bound.
    pub(crate) gap_seconds: Sample,
    /// Share of an iteration's seconds in which no kernel ran, the median of the repetitions.
    pub(crate) idle_share: f64,
    /// Share of the time outside kernels that chunks in flight hide: 1 - (seconds - kernels) / (one by one -
    /// kernels), the median of the repetitions. Absent if there is almost nothing to hide, and on a software
    /// adapter.
    pub(crate) hidden_share: Option<f64>,
    /// The kernels of the last repetition.
    pub(crate) kernels: Vec<KernelTime>,
}

/// A kernel of an iteration.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KernelTime {
    pub(crate) name: String,
    pub(crate) dispatches: f64,
    pub(crate) seconds: f64,
}

/// A run from settings to results, with preparation, upload, readback and trace; kernels were compiled
/// before.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct WholeRun {
    /// Iterations before the run was ended.
    pub(crate) iterations: f64,
    /// Of the run.
    pub(crate) seconds: Sample,
    /// Share of it outside kernels (if they are timed; otherwise outside iterations), the median of the
    /// repetitions.
    pub(crate) host_share: f64,
}

/// A fixed workload, without preparation.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Workload {
    #[serde(alias = "form")]
    pub(crate) strategy: String,
    pub(crate) rows: usize,
    pub(crate) features: usize,
    pub(crate) lanes: usize,
    pub(crate) tangents: usize,
    pub(crate) precision: String,
    pub(crate) iterations: usize,
    /// Seconds of all iterations.
    pub(crate) seconds: Sample,
}

/// A lasso path computed in one way and in another.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Pair {
    pub(crate) what: String,
    /// What it is compared with.
    pub(crate) than: String,
    pub(crate) rows: usize,
    pub(crate) features: usize,
    /// Alphas.
    pub(crate) lanes: usize,
    pub(crate) precision: String,
    /// Of the run, with preparation and certificates.
    pub(crate) seconds: Sample,
    pub(crate) seconds_than: Sample,
    pub(crate) ratio: Sample,
    /// Of all lanes together.
    pub(crate) iterations: f64,
    pub(crate) iterations_than: f64,
}

/// A sweep that was differentiated in one mode.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ModeTime {
    pub(crate) what: String,
    pub(crate) mode: String,
    /// True if the mode `auto` would have chosen it.
    pub(crate) chosen: bool,
    /// Number of derivatives, and true if those of all coefficients were computed.
    pub(crate) derivatives: usize,
    pub(crate) jacobian: bool,
    pub(crate) precision: String,
    /// Of everything, certificates included.
    pub(crate) seconds: Sample,
    /// Of the sweep alone, without derivatives.
    pub(crate) seconds_plain: Sample,
    pub(crate) ratio: Sample,
    /// Bytes in use at most, as counted.
    pub(crate) bytes: u64,
    /// The largest relative error of a lane's gradient, against that of the solution; absent in modes that
    /// deliver that.
    pub(crate) error: Option<f64>,
    /// Of all lanes together.
    pub(crate) iterations: f64,
}

/// A lasso with and without exact sparsity, in the direct strategy.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sparsity {
    pub(crate) rows: usize,
    pub(crate) features: usize,
    pub(crate) lanes: usize,
    pub(crate) tangents: usize,
    pub(crate) precision: String,
    pub(crate) iterations: usize,
    /// Smallest alpha over alpha_max.
    pub(crate) path_floor: f64,
    /// Of the run, with sparsity.
    pub(crate) seconds: Sample,
    pub(crate) seconds_without: Sample,
    pub(crate) ratio: Sample,
    /// Share of the coefficients that was skipped.
    #[serde(alias = "coefficients_spared")]
    pub(crate) skipped_work: f64,
    /// Largest relative difference of the iterates and of their derivatives, over frames and lanes with equal
    /// active sets.
    pub(crate) difference: f64,
    /// So many lanes; 0 in older files.
    #[serde(default)]
    pub(crate) compared: usize,
    pub(crate) frames: usize,
}

/// Latency of ending a run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Cancel {
    pub(crate) rows: usize,
    pub(crate) features: usize,
    pub(crate) lanes: usize,
    pub(crate) tangents: usize,
    pub(crate) precision: String,
    /// From a random moment to the result, partial results included.
    pub(crate) cancels: Latency,
    /// From the deadline to the result.
    pub(crate) deadlines: Latency,
}

/// Seconds until a run returned.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) median: f64,
    pub(crate) percentile_99: f64,
    pub(crate) largest: f64,
    /// Runs that finished before the request to end.
    pub(crate) missed: usize,
    pub(crate) values: Vec<f64>,
}

impl Latency {
    /// `None` without a value.
    pub(crate) fn new(values: Vec<f64>, missed: usize) -> Option<Self> {
        let largest = values.iter().copied().reduce(f64::max)?;
        Some(Latency {
            median: quantile(&values, 0.5),
            percentile_99: quantile(&values, 0.99),
            largest,
            missed,
            values,
        })
    }
}

/// A measured error and its limit.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Accuracy {
    pub(crate) what: String,
    pub(crate) error: f64,
    pub(crate) bound: f64,
    pub(crate) note: String,
}

/// A skipped measurement.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Skipped {
    pub(crate) section: String,
    pub(crate) what: String,
    pub(crate) reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_ranks_and_medians_are_means_of_the_middle() {
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(quantile(&hundred, 0.99), 99.0);
        assert_eq!(quantile(&hundred, 0.25), 25.0);
        assert_eq!(quantile(&hundred, 0.5), 50.5);
        assert_eq!(quantile(&[3.0, 1.0, 2.0], 0.5), 2.0);
        assert_eq!(quantile(&[4.0], 0.99), 4.0);
        let (a, b) = (Sample::new(vec![2.0, 6.0]), Sample::new(vec![1.0, 2.0]));
        assert_eq!(a.over(&b).values, [2.0, 3.0]);
    }
}
