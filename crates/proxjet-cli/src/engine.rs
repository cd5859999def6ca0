//! The choice of engine and of devices.

use clap::ValueEnum;

#[cfg(feature = "gpu")]
use proxjet::engine::gpu::{GpuEngine, Pick, Tuning, adapters};
use proxjet::engine::{Engine, cpu::CpuEngine};
use proxjet::error::{Error, Result};
use proxjet::program::Precision;

/// Which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Choice {
    /// A real GPU where there is one, else the CPU engine. A software adapter is slower than the CPU engine
    /// and is never chosen.
    Auto,
    /// The CPU engine.
    Cpu,
    /// The best adapter there is, a software one included.
    Gpu,
}

/// Arguments that choose engine and devices.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct EngineArgs {
    /// Which engine runs
    #[arg(help_heading = "Run", long, value_enum, default_value_t = Choice::Auto)]
    engine: Choice,
    /// GPU engine on these adapters, by their numbers in `proxjet doctor`: a list as in 0,1, or all (real
    /// GPUs where there are any, else software adapters). Several take lanes from one queue, each within the
    /// memory budget; an adapter that is named twice gets two devices
    #[arg(help_heading = "Run", long, value_name = "LIST|all")]
    device: Option<String>,
    /// Do not time how products are best cut on this GPU, and use none of what was timed before
    #[arg(help_heading = "Run", long)]
    no_tuner: bool,
}

/// Engines that share a run, and their precision.
type Opened = (Vec<Box<dyn Engine>>, Precision);

impl EngineArgs {
    /// The requested engine: the GPU engine if devices are named.
    pub(crate) fn choice(&self) -> Choice {
        if self.device.is_some() { Choice::Gpu } else { self.engine }
    }

    /// The GPU engines, if the choice is the GPU.
    #[cfg(feature = "gpu")]
    fn gpus(&self) -> Result<Vec<GpuEngine>> {
        let list = match &self.device {
            None => gpu(self.engine)?.into_iter().collect(),
            Some(list) if self.engine == Choice::Cpu => {
                let (found, remedy) = (format!("'{list}' with --engine cpu"), "Leave out one of the two.");
                return Err(Error::usage("--device", found, "the GPU engine", remedy));
            }
            Some(list) => {
                let adapters: Vec<_> =
                    adapters().iter().map(|a| (a.software, a.unusable.is_some())).collect();
                let open = |index: usize| GpuEngine::request_at(index);
                chosen(list, &adapters)?.into_iter().map(open).collect::<Result<Vec<_>>>()?
            }
        };
        Ok(if self.no_tuner { list.into_iter().map(|gpu| gpu.tuning(Tuning::Off)).collect() } else { list })
    }

    /// The GPU engine of a command that uses a single engine, if the choice is the GPU.
    #[cfg(feature = "gpu")]
    pub(crate) fn gpu(&self) -> Result<Option<GpuEngine>> {
        one(self.gpus()?)
    }

    /// The engines, and their precision, by default f32 on a GPU, f64 on the CPU.
    pub(crate) fn open_all(&self, precision: Option<Precision>) -> Result<Opened> {
        #[cfg(feature = "gpu")]
        let gpus: Vec<Box<dyn Engine>> = self.gpus()?.into_iter().map(|gpu| Box::new(gpu) as _).collect();
        #[cfg(not(feature = "gpu"))]
        let gpus: Vec<Box<dyn Engine>> =
            if self.choice() == Choice::Gpu { return Err(without_gpu()) } else { Vec::new() };
        if gpus.is_empty() {
            return Ok((vec![Box::new(CpuEngine::new())], precision.unwrap_or(Precision::F64)));
        }
        Ok((gpus, precision.unwrap_or(Precision::F32)))
    }

    /// The engine of a command that uses a single one.
    pub(crate) fn open(&self, precision: Option<Precision>) -> Result<(Box<dyn Engine>, Precision)> {
        let (engines, precision) = self.open_all(precision)?;
        Ok((one(engines)?.expect("an engine"), precision))
    }
}

/// The only engine of a list, if there is any.
fn one<E>(mut engines: Vec<E>) -> Result<Option<E>> {
    match engines.len() {
        0 | 1 => Ok(engines.pop()),
        count => {
            let remedy = "Give one number, as in --device 0.";
            Err(Error::usage("--device", format!("{count} devices"), "one device for this command", remedy))
        }
    }
}

#[cfg(not(feature = "gpu"))]
fn without_gpu() -> Error {
    Error::usage(
        "--engine",
        "'gpu' in a build without it",
        "a build with the feature 'gpu'",
        "Build with default features, or use --engine cpu.",
    )
}

/// The GPU engine, if the choice is the GPU.
#[cfg(feature = "gpu")]
fn gpu(choice: Choice) -> Result<Option<GpuEngine>> {
    match choice {
        Choice::Cpu => Ok(None),
        Choice::Gpu => GpuEngine::request(Pick::Any).map(Some),
        Choice::Auto => Ok(GpuEngine::request(Pick::Real)
            .inspect_err(|e| log::info!("no real GPU, so the CPU engine runs: {e}"))
            .ok()),
    }
}

/// An engine without named devices, and its precision.
pub(crate) fn open(choice: Choice, precision: Option<Precision>) -> Result<(Box<dyn Engine>, Precision)> {
    EngineArgs { engine: choice, device: None, no_tuner: false }.open(precision)
}

/// Adapter indices in a list. For every adapter the caller states if it is a software adapter and if it is
/// unusable.
#[cfg(feature = "gpu")]
fn chosen(list: &str, adapters: &[(bool, bool)]) -> Result<Vec<usize>> {
    use proxjet::engine::gpu::no_adapter;
    use proxjet::error::ErrorKind;
    if adapters.iter().all(|(_, unusable)| *unusable) {
        return Err(Error::new(
            ErrorKind::Device,
            "--device",
            "no usable adapter",
            "a GPU adapter",
            no_adapter(),
        ));
    }
    if list == "all" {
        let real = adapters.iter().any(|(software, unusable)| !software && !unusable);
        let wanted = |(_, (software, unusable)): &(usize, &(bool, bool))| !(*unusable || real && *software);
        return Ok(adapters.iter().enumerate().filter(wanted).map(|(i, _)| i).collect());
    }
    let index = |text: &str| {
        text.trim().parse().ok().filter(|i| *i < adapters.len()).ok_or_else(|| {
            let expected = match adapters.len() {
                1 => "0 or 'all', as there is one adapter".to_string(),
                n => format!("numbers from 0 to {}, as in 0,1, or 'all'", n - 1),
            };
            Error::usage("--device", format!("'{text}'"), expected, "`proxjet doctor` lists the adapters.")
        })
    };
    list.split(',').map(index).collect()
}

#[cfg(all(test, feature = "gpu"))]
mod tests {
    use super::*;

    const REAL: (bool, bool) = (false, false);
    const SOFTWARE: (bool, bool) = (true, false);
    const OLD: (bool, bool) = (false, true);

    #[test]
    fn all_is_every_usable_adapter_of_the_best_kind() {
        assert_eq!(chosen("all", &[REAL, OLD, REAL, SOFTWARE]).unwrap(), [0, 2]);
        assert_eq!(chosen("all", &[OLD, SOFTWARE, SOFTWARE]).unwrap(), [1, 2]);
        for none in [&[][..], &[OLD]] {
            assert!(chosen("all", none).unwrap_err().to_string().contains("no usable adapter"));
            assert!(chosen("0", none).unwrap_err().to_string().contains("no usable adapter"));
        }
    }

    #[test]
    fn lists_name_adapters_that_exist() {
        let adapters = [REAL, REAL, SOFTWARE];
        assert_eq!(chosen("2", &adapters).unwrap(), [2]);
        assert_eq!(chosen("1, 0,1", &adapters).unwrap(), [1, 0, 1]);
        for bad in ["3", "-1", "", "0,", "0;1", "ALL", "all,0"] {
            let error = chosen(bad, &adapters).unwrap_err().to_string();
            assert!(error.contains("numbers from 0 to 2"), "{error}");
        }
        assert!(chosen("1", &[SOFTWARE]).unwrap_err().to_string().contains("as there is one adapter"));
    }
}
