//! Adapters and devices.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Serialize;

use crate::engine::DEVICE_TIMEOUT;
use crate::error::{Error, ErrorKind, Result};

/// Remedy if there is no adapter at all: what the environment hides, else how to get a driver.
pub fn no_adapter() -> String {
    hidden_by_environment().unwrap_or_else(|| {
        "No Vulkan, Metal or DX12 adapter was found; the CPU engine runs without one. For a GPU, install its \
         vendor's Vulkan driver. For a software adapter to try the GPU engine with (Debian, Ubuntu): apt-get \
         install mesa-vulkan-drivers libvulkan1"
            .into()
    })
}

/// Remedy if there is only a software adapter.
pub fn no_real_adapter() -> String {
    let hidden = hidden_by_environment().unwrap_or_else(|| "Install its vendor's Vulkan driver.".into());
    format!("Only a software adapter was found. If this machine has a GPU: {hidden}")
}

/// The variables that limit which adapters are found, and what to do about them.
fn hidden_by_environment() -> Option<String> {
    let set = |name: &'static str| Some((name, std::env::var(name).ok().filter(|v| !v.is_empty())?));
    let drivers = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].into_iter().filter_map(set).map(|(name, value)| {
        match std::env::split_paths(&value).find(|path| !path.exists()) {
            Some(path) => format!("{name} names {}, which does not exist", path.display()),
            None => format!("{name}={value} limits the search to these Vulkan drivers"),
        }
    });
    let backends = set("WGPU_BACKEND").map(|(name, value)| {
        format!("{name}={value} limits the search to these of the backends vulkan, metal and dx12")
    });
    let found: Vec<String> = drivers.chain(backends).collect();
    (!found.is_empty()).then(|| format!("{}. Unset it to find every adapter.", found.join("; ")))
}

/// The kinds of adapters that may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// Real GPUs only.
    Real,
    /// The best one, software adapters last.
    Any,
}

/// An adapter as plain data, for reports.
#[derive(Debug, Clone, Serialize)]
pub struct AdapterSummary {
    /// Name.
    pub name: String,
    /// Vulkan, Metal, Dx12 …
    pub backend: String,
    /// discrete_gpu, integrated_gpu, virtual_gpu, cpu or other.
    pub device_type: String,
    /// True if it runs on the processor.
    pub software: bool,
    /// Driver.
    pub driver: String,
    /// Version of the driver.
    pub driver_info: String,
    /// True if shaders can use 64-bit floats.
    pub f64: bool,
    /// True if the device has timestamps.
    pub timestamps: bool,
    /// True if shaders can use subgroup operations.
    pub subgroups: bool,
    /// Most bytes of one storage binding.
    pub max_binding_bytes: u64,
    /// Most bytes of one buffer.
    pub max_buffer_bytes: u64,
    /// Most invocations of a workgroup.
    pub max_invocations: u32,
    /// Most bytes of workgroup memory.
    pub max_workgroup_bytes: u64,
    /// The reason why the engine cannot use it, if it cannot.
    pub unusable: Option<String>,
}

/// A device, its queue, and the properties of its adapter.
#[derive(Debug, Clone)]
pub struct GpuContext {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) info: wgpu::AdapterInfo,
    /// True if the engine owns the device, false if a host lends it.
    pub(super) own: bool,
    /// Set by the handlers of an owned device: the first error or loss.
    failure: Arc<Mutex<Option<String>>>,
}

fn instance() -> wgpu::Instance {
    // Backends and debugging layers follow WGPU_BACKEND, WGPU_DEBUG … as in every wgpu program.
    wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env())
}

async fn all() -> Vec<wgpu::Adapter> {
    instance().enumerate_adapters(wgpu::Backends::all()).await
}

/// Every adapter, the best first; adapters of the same kind in the order of the system.
async fn sorted() -> Vec<wgpu::Adapter> {
    let mut list = all().await;
    list.sort_by_key(|a| rank(a.get_info().device_type));
    list
}

fn rank(kind: wgpu::DeviceType) -> u8 {
    match kind {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}

/// Storage buffers per stage that a usable device must support.
const STORAGE_BUFFERS: u32 = 8;

fn unusable(limits: &wgpu::Limits) -> Option<String> {
    (limits.max_storage_buffers_per_shader_stage < STORAGE_BUFFERS).then(|| {
        format!(
            "{} storage buffers per stage, {STORAGE_BUFFERS} needed",
            limits.max_storage_buffers_per_shader_stage
        )
    })
}

/// Every adapter of this machine, the best first.
#[cfg(not(target_family = "wasm"))]
pub fn adapters() -> Vec<AdapterSummary> {
    pollster::block_on(sorted()).iter().map(summary).collect()
}

#[cfg(not(target_family = "wasm"))]
fn summary(adapter: &wgpu::Adapter) -> AdapterSummary {
    let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
    let device_type = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => "discrete_gpu",
        wgpu::DeviceType::IntegratedGpu => "integrated_gpu",
        wgpu::DeviceType::VirtualGpu => "virtual_gpu",
        wgpu::DeviceType::Cpu => "cpu",
        wgpu::DeviceType::Other => "other",
    };
    AdapterSummary {
        name: info.name,
        backend: format!("{:?}", info.backend),
        device_type: device_type.into(),
        software: info.device_type == wgpu::DeviceType::Cpu,
        driver: info.driver,
        driver_info: info.driver_info,
        f64: features.contains(wgpu::Features::SHADER_F64),
        timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
        subgroups: features.contains(wgpu::Features::SUBGROUP),
        max_binding_bytes: limits.max_storage_buffer_binding_size,
        max_buffer_bytes: limits.max_buffer_size,
        max_invocations: limits.max_compute_invocations_per_workgroup,
        max_workgroup_bytes: u64::from(limits.max_compute_workgroup_storage_size),
        unusable: unusable(&limits),
    }
}

impl GpuContext {
    /// An owned device on the best adapter.
    ///
    /// # Errors
    /// There is no adapter (the message has the remedy), or the adapter gives no device.
    pub async fn request(pick: Pick) -> Result<Self> {
        let mut list = sorted().await;
        let found_any = !list.is_empty();
        list.retain(|a| {
            (pick == Pick::Any || a.get_info().device_type != wgpu::DeviceType::Cpu)
                && unusable(&a.limits()).is_none()
        });
        let Some(adapter) = list.into_iter().next() else {
            let (found, remedy) = if found_any {
                ("no usable adapter among those present", no_real_adapter())
            } else {
                ("no adapter", no_adapter())
            };
            let remedy = format!("{remedy} `adapters()` lists what there is; `CpuEngine` always works.");
            return Err(Error::new(ErrorKind::Device, "GPU engine", found, "a GPU adapter", remedy));
        };
        Self::open(&adapter).await
    }

    /// An owned device on an adapter, given by its index in [`adapters`].
    ///
    /// # Errors
    /// There is no such adapter, the engine cannot use it, or it gives no device.
    pub async fn request_at(index: usize) -> Result<Self> {
        let list = sorted().await;
        let at = || format!("adapter {index}");
        let remedy = "`adapters()` lists what there is.";
        match list.get(index) {
            None if list.is_empty() => {
                Err(Error::new(ErrorKind::Device, at(), "no adapter", "a GPU adapter", no_adapter()))
            }
            None => {
                let expected = format!("an index from 0 to {}", list.len() - 1);
                Err(Error::new(ErrorKind::Usage, at(), "no such adapter", expected, remedy))
            }
            Some(adapter) => match unusable(&adapter.limits()) {
                Some(found) => Err(Error::new(ErrorKind::Device, at(), found, "a usable adapter", remedy)),
                None => Self::open(adapter).await,
            },
        }
    }

    /// A new device on the adapter of an owned device that failed.
    ///
    /// # Errors
    /// The device is borrowed, so that only the host can replace it; the adapter is gone or gives no device.
    #[cfg(not(target_family = "wasm"))]
    pub(super) async fn renew(&self) -> Result<Self> {
        let at = || format!("adapter {}", self.info.name);
        if !self.own {
            let remedy = "Give the engine a fresh device, or run with `on_fault cpu`.";
            return Err(Error::new(
                ErrorKind::Device,
                at(),
                "a borrowed device that failed",
                "one of our own",
                remedy,
            ));
        }
        let same = |a: &wgpu::Adapter| {
            let info = a.get_info();
            (info.name, info.backend, info.device_pci_bus_id)
                == (self.info.name.clone(), self.info.backend, self.info.device_pci_bus_id.clone())
        };
        match all().await.iter().find(|a| same(a)) {
            Some(adapter) => Self::open(adapter).await,
            None => Err(Error::new(
                ErrorKind::Device,
                at(),
                "an adapter that is gone",
                "a fresh device",
                no_adapter(),
            )),
        }
    }

    async fn open(adapter: &wgpu::Adapter) -> Result<Self> {
        let info = adapter.get_info();
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("proxjet"),
            required_features: Self::required_features(adapter),
            required_limits: Self::required_limits(adapter),
            ..Default::default()
        };
        let (device, queue) = adapter.request_device(&descriptor).await.map_err(|e| {
            let remedy = "Close other programs on the GPU, or use `CpuEngine`.";
            Error::new(ErrorKind::Device, format!("adapter {}", info.name), e.to_string(), "a device", remedy)
                .with_source(e)
        })?;
        let context = GpuContext { device, queue, info, own: true, failure: Arc::default() };
        let lost = context.failure.clone();
        context.device.set_device_lost_callback(move |reason, message| {
            note(&lost, format!("the device was lost ({reason:?}): {message}"));
        });
        let failed = context.failure.clone();
        context
            .device
            .on_uncaptured_error(Arc::new(move |error: wgpu::Error| note(&failed, error.to_string())));
        Ok(context)
    }

    /// A device that a host application lends. The host keeps its own handlers of lost devices and of errors.
    /// Create it with [`required_features`](Self::required_features) and
    /// [`required_limits`](Self::required_limits).
    ///
    /// # Errors
    /// The device does not have the limits that the engine needs. Support for 64-bit floats is checked only
    /// when a sweep in f64 is planned.
    pub fn from_device(device: wgpu::Device, queue: wgpu::Queue, info: wgpu::AdapterInfo) -> Result<Self> {
        match unusable(&device.limits()) {
            None => Ok(GpuContext { device, queue, info, own: false, failure: Arc::default() }),
            Some(found) => {
                let at = format!("borrowed device on {}", info.name);
                let remedy = "Create the device with GpuContext::required_limits(&adapter).";
                Err(Error::new(
                    ErrorKind::Device,
                    at,
                    found,
                    "a device created with the limits of its adapter",
                    remedy,
                ))
            }
        }
    }

    /// Features that a host should request, as far as the adapter has them: `SHADER_F64` for
    /// sweeps in f64 and for the strategies with `XᵀX`, whose sums are in f64, and
    /// `TIMESTAMP_QUERY` for a [`Session`](super::Session) to measure its iterations. Sweeps in
    /// f32 in the direct strategy need neither.
    pub fn required_features(adapter: &wgpu::Adapter) -> wgpu::Features {
        adapter.features() & (wgpu::Features::SHADER_F64 | wgpu::Features::TIMESTAMP_QUERY)
    }

    /// Limits that a host should request: the adapter's own, so that large problems fit. A device with wgpu's
    /// defaults works too, with smaller buffers, and without the persistent strategy and exact sparsity,
    /// which bind nine storage buffers.
    pub fn required_limits(adapter: &wgpu::Adapter) -> wgpu::Limits {
        adapter.limits()
    }

    /// Runs code that creates device objects, and returns as an error what a host's error handler
    /// would otherwise receive.
    #[cfg(not(target_family = "wasm"))]
    pub(super) fn guarded<T>(&self, create: impl FnOnce() -> Result<T>) -> Result<T> {
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let made = create();
        let errors = [pollster::block_on(validation.pop()), pollster::block_on(memory.pop())];
        match errors.into_iter().flatten().next() {
            Some(error) => Err(self.error(error.to_string().lines().collect::<Vec<_>>().join(" "))),
            None => made,
        }
    }

    /// Runs code that creates device objects. A page cannot wait for what the device says of them: its error
    /// handler receives that.
    #[cfg(target_family = "wasm")]
    pub(super) fn guarded<T>(&self, create: impl FnOnce() -> Result<T>) -> Result<T> {
        create()
    }

    /// Refuses: a page cannot wait for its device.
    #[cfg(target_family = "wasm")]
    pub(super) fn wait_for(&self, _: Option<wgpu::SubmissionIndex>, _: Duration) -> Result<bool> {
        let remedy = "Use Sweep::session and its `encode` or `submit`, frame by frame.";
        let at = format!("adapter {}", self.info.name);
        Err(Error::new(ErrorKind::Device, at, "a wait in a page", "a session", remedy))
    }

    /// Waits for a submission, or for all of them, but no longer than `limit`; true if it has finished.
    #[cfg(not(target_family = "wasm"))]
    pub(super) fn wait_for(
        &self,
        submission_index: Option<wgpu::SubmissionIndex>,
        limit: Duration,
    ) -> Result<bool> {
        match self.device.poll(wgpu::PollType::Wait { submission_index, timeout: Some(limit) }) {
            Ok(_) => Ok(true),
            Err(wgpu::PollError::Timeout) => Ok(false),
            Err(e) => Err(self.error(e.to_string())),
        }
    }

    /// Waits for a submission, or for all of them.
    ///
    /// # Errors
    /// The device failed, or does not answer.
    pub(super) fn wait(&self, submission: Option<wgpu::SubmissionIndex>) -> Result<()> {
        if self.wait_for(submission, DEVICE_TIMEOUT)? {
            return Ok(());
        }
        self.keep_forever();
        Err(self.error(format!("no answer for {} s", DEVICE_TIMEOUT.as_secs())))
    }

    /// Keeps the device until the program ends: wgpu panics when it drops one that does not answer.
    pub(super) fn keep_forever(&self) {
        std::mem::forget((self.device.clone(), self.queue.clone()));
    }

    /// The error of a device that failed.
    pub(super) fn error(&self, found: impl Into<String>) -> Error {
        let remedy = "Run again with `CpuEngine`, or with fewer lanes; a driver update may help.";
        let at = format!("adapter {}", self.info.name);
        Error::new(ErrorKind::Device, at, found, "a device that runs to the end", remedy)
    }

    /// Returns the error that an owned device's handlers stored, if any.
    pub(super) fn check(&self) -> Result<()> {
        match self.failure.lock().unwrap_or_else(|e| e.into_inner()).as_ref() {
            None => Ok(()),
            Some(found) => Err(self.error(found.lines().collect::<Vec<_>>().join(" "))),
        }
    }
}

/// Stores the first failure only: later ones are its consequences.
fn note(failure: &Mutex<Option<String>>, message: String) {
    failure.lock().unwrap_or_else(|e| e.into_inner()).get_or_insert(message);
}
