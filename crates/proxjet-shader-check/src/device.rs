//! A Vulkan device that compiles, and what it says of the machine code.

use std::error::Error;
use std::ffi::{CStr, CString, c_char};

use ash::vk;
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};

use crate::assembly::hot_loop_share;

/// What the compiler made of a kernel.
pub(crate) struct Compiled {
    /// Vector registers of an invocation.
    pub(crate) registers: u64,
    pub(crate) spilled: u64,
    /// Bytes of an invocation.
    pub(crate) scratch: u64,
    /// Bytes of machine code.
    pub(crate) code: u64,
    /// Share of multiply-adds in the hot loop.
    pub(crate) share: f64,
}

/// The first device of the Vulkan loader.
pub(crate) struct Device {
    pub(crate) name: String,
    device: ash::Device,
    executables: ash::khr::pipeline_executable_properties::Device,
    // Dropped last: the loader's library.
    instance: ash::Instance,
    _entry: ash::Entry,
}

type Result<T> = std::result::Result<T, Box<dyn Error>>;

impl Device {
    /// Opens it with the features that wgpu asks for.
    pub(crate) fn open() -> Result<Self> {
        // SAFETY: every handle comes from the calls before and is alive; structures outlive the calls.
        unsafe {
            let entry = ash::Entry::load()?;
            let app = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
            let instance =
                entry.create_instance(&vk::InstanceCreateInfo::default().application_info(&app), None)?;
            let physical = *instance.enumerate_physical_devices()?.first().ok_or("no Vulkan device")?;
            let properties = instance.get_physical_device_properties(physical);
            let extensions = [
                ash::khr::pipeline_executable_properties::NAME.as_ptr(),
                ash::ext::robustness2::NAME.as_ptr(),
            ];
            let features =
                vk::PhysicalDeviceFeatures::default().shader_float64(true).robust_buffer_access(true);
            let mut features = vk::PhysicalDeviceFeatures2::default().features(features);
            let mut executables = vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default()
                .pipeline_executable_info(true);
            let mut robustness =
                vk::PhysicalDeviceRobustness2FeaturesEXT::default().robust_buffer_access2(true);
            let mut of_1_3 =
                vk::PhysicalDeviceVulkan13Features::default().shader_zero_initialize_workgroup_memory(true);
            let mut of_1_2 = vk::PhysicalDeviceVulkan12Features::default().vulkan_memory_model(true);
            let queue = [vk::DeviceQueueCreateInfo::default().queue_priorities(&[1.0])];
            let info = vk::DeviceCreateInfo::default()
                .queue_create_infos(&queue)
                .enabled_extension_names(&extensions)
                .push_next(&mut features)
                .push_next(&mut executables)
                .push_next(&mut robustness)
                .push_next(&mut of_1_3)
                .push_next(&mut of_1_2);
            let device = instance.create_device(physical, &info, None)?;
            Ok(Device {
                name: text(&properties.device_name),
                executables: ash::khr::pipeline_executable_properties::Device::new(&instance, &device),
                device,
                instance,
                _entry: entry,
            })
        }
    }

    /// Compiles a kernel of the engine: one uniform with dynamic offsets in group 0, storage in group 1.
    pub(crate) fn compile(&self, wgsl: &str) -> Result<Compiled> {
        let (words, bindings) = spirv(wgsl)?;
        let device = &self.device;
        // SAFETY: as in `open`; what is created here is destroyed here, after its last use.
        unsafe {
            let mut layouts = Vec::new();
            for group in 0..2 {
                let kind = if group == 0 {
                    vk::DescriptorType::UNIFORM_BUFFER_DYNAMIC
                } else {
                    vk::DescriptorType::STORAGE_BUFFER
                };
                let of_group = bindings.iter().filter(|binding| binding.group == group);
                let list: Vec<_> = of_group
                    .map(|binding| {
                        vk::DescriptorSetLayoutBinding::default()
                            .binding(binding.binding)
                            .descriptor_count(1)
                            .stage_flags(vk::ShaderStageFlags::COMPUTE)
                            .descriptor_type(kind)
                    })
                    .collect();
                let info = vk::DescriptorSetLayoutCreateInfo::default().bindings(&list);
                layouts.push(device.create_descriptor_set_layout(&info, None)?);
            }
            let info = vk::PipelineLayoutCreateInfo::default().set_layouts(&layouts);
            let layout = device.create_pipeline_layout(&info, None)?;
            let module =
                device.create_shader_module(&vk::ShaderModuleCreateInfo::default().code(&words), None)?;
            let main = CString::from(c"main");
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(module)
                .name(&main);
            let flags = vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR
                | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR;
            let info = vk::ComputePipelineCreateInfo::default().stage(stage).layout(layout).flags(flags);
            let made = device.create_compute_pipelines(vk::PipelineCache::null(), &[info], None);
            let pipeline = made.map_err(|(_, e)| e)?[0];
            let compiled = self.describe(pipeline);
            device.destroy_pipeline(pipeline, None);
            device.destroy_shader_module(module, None);
            device.destroy_pipeline_layout(layout, None);
            layouts.into_iter().for_each(|layout| device.destroy_descriptor_set_layout(layout, None));
            compiled
        }
    }

    /// # Safety
    /// The pipeline is alive and was created with the flags that capture what is asked for.
    unsafe fn describe(&self, pipeline: vk::Pipeline) -> Result<Compiled> {
        let info = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
        // SAFETY: the caller's; the texts' memory is as long as the driver says.
        let (statistics, assembly) =
            unsafe { (self.executables.get_pipeline_executable_statistics(&info)?, self.assembly(&info)?) };
        let count = |name: &str| {
            let of = statistics.iter().find(|s| text(&s.name) == name);
            // SAFETY: the format says which member of the union was written.
            let value = of.and_then(|s| unsafe {
                match s.format {
                    vk::PipelineExecutableStatisticFormatKHR::UINT64 => Some(s.value.u64),
                    _ => None,
                }
            });
            value.ok_or_else(|| format!("the driver does not tell `{name}`"))
        };
        Ok(Compiled {
            registers: count("VGPRs")?,
            spilled: count("Spilled VGPRs")? + count("Spilled SGPRs")?,
            scratch: count("Scratch size")?,
            code: count("Code size")?,
            share: hot_loop_share(&assembly),
        })
    }

    /// # Safety
    /// As for [`describe`](Self::describe).
    unsafe fn assembly(&self, info: &vk::PipelineExecutableInfoKHR<'_>) -> Result<String> {
        let get = self.executables.fp().get_pipeline_executable_internal_representations_khr;
        let device = self.device.handle();
        let mut count = 0;
        // SAFETY: the first call writes the count, the second the sizes, the third as many bytes.
        unsafe {
            get(device, info, &mut count, std::ptr::null_mut()).result()?;
            let mut list = vec![vk::PipelineExecutableInternalRepresentationKHR::default(); count as usize];
            get(device, info, &mut count, list.as_mut_ptr()).result()?;
            let mut texts: Vec<Vec<u8>> = list.iter().map(|of| vec![0; of.data_size]).collect();
            for (of, text) in list.iter_mut().zip(&mut texts) {
                of.p_data = text.as_mut_ptr().cast();
            }
            get(device, info, &mut count, list.as_mut_ptr()).result()?;
            let named = list.iter().zip(texts).find(|(of, _)| text(&of.name).contains("Assembly"));
            let (_, bytes) = named.ok_or("the driver tells no assembly")?;
            Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_string())
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: everything made of them is destroyed.
        unsafe {
            self.device.destroy_device(None);
            self.instance.destroy_instance(None);
        }
    }
}

/// A name in an array that ends with a zero.
fn text(chars: &[c_char]) -> String {
    let bytes: Vec<u8> = chars.iter().map(|c| *c as u8).collect();
    CStr::from_bytes_until_nul(&bytes).map_or_else(|_| String::new(), |s| s.to_string_lossy().into_owned())
}

/// SPIR-V as wgpu makes it for a driver with robust buffers, and the bindings.
fn spirv(wgsl: &str) -> Result<(Vec<u32>, Vec<naga::ResourceBinding>)> {
    let module = naga::front::wgsl::parse_str(wgsl).map_err(|e| e.emit_to_string(wgsl))?;
    let capabilities = naga::valid::Capabilities::FLOAT64;
    let info = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities)
        .validate(&module)
        .map_err(|e| e.emit_to_string(wgsl))?;
    let options = naga::back::spv::Options {
        lang_version: (1, 6),
        bounds_check_policies: BoundsCheckPolicies {
            index: BoundsCheckPolicy::Restrict,
            buffer: BoundsCheckPolicy::Unchecked,
            image_load: BoundsCheckPolicy::Unchecked,
            binding_array: BoundsCheckPolicy::Unchecked,
        },
        zero_initialize_workgroup_memory: naga::back::spv::ZeroInitializeWorkgroupMemoryMode::Native,
        force_loop_bounding: true,
        ..Default::default()
    };
    let entry = naga::back::spv::PipelineOptions {
        entry_point: "main".into(),
        shader_stage: naga::ShaderStage::Compute,
    };
    let words = naga::back::spv::write_vec(&module, &info, &options, Some(&entry))?;
    let bindings = module.global_variables.iter().filter_map(|(_, variable)| variable.binding);
    Ok((words, bindings.collect()))
}
