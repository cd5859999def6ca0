//! A program that owns a wgpu device, runs the solver a few milliseconds per frame, and reads the solver's
//! buffers in a shader of its own.
//! cargo run --release --example wgpu

use std::time::Duration;

use proxjet::engine::gpu::{GpuContext, GpuEngine, Keep, Session, wgpu};
use proxjet::prelude::{Alphas, Objective, Penalty, Precision, Sweep, bundled};

type Result = std::result::Result<(), Box<dyn std::error::Error>>;

/// Your shader, below `session.layout().wgsl()`: the sum of |coef| of every lane.
const SHADER: &str = "
@group(0) @binding(0) var<storage, read> state: array<StateElement>;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;
@compute @workgroup_size(64) fn sum(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= STATE_LANES { return; }
    sums[id.x] = 0.0;
    for (var row = 0u; row < STATE_ROWS; row++) { sums[id.x] += abs(state[state_index(row, id.x, 0u)]); }
}";

fn main() -> Result {
    run(|session, sums| println!("iteration {:4}, sum of |coef| by lane: {sums:.0?}", session.iteration()))
}

/// Calls `show` in every frame with what the shader computed.
pub(crate) fn run(mut show: impl FnMut(&mut Session, &[f32])) -> Result {
    // Your device, with the features and limits that the solver can use besides yours.
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))?;
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
        required_features: GpuContext::required_features(&adapter),
        required_limits: GpuContext::required_limits(&adapter),
        ..Default::default()
    }))?;

    // The solver on your device: a lasso path of 16 lanes.
    let objective = Objective::builder(bundled("diabetes")?.standardize()).penalty(Penalty::l1()).build()?;
    let sweep = Sweep::new(objective).alphas(Alphas::path(1e-3, 16)).precision(Precision::F32);
    let context = GpuContext::from_device(device.clone(), queue.clone(), adapter.get_info())?;
    let mut session = sweep.session(&mut GpuEngine::new(context), Keep::Nothing)?;
    session.calibrate()?;

    // Your pipeline, with a bind group for each of the solver's two buffers.
    let source = wgpu::ShaderSource::Wgsl((session.layout().wgsl() + SHADER).into());
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: Some("sum"),
        compilation_options: Default::default(),
        cache: None,
    });
    let lanes = session.layout().lanes;
    let sums = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 4 * lanes as u64,
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    });
    let layout = &pipeline.get_bind_group_layout(0);
    let groups = session.buffers().map(|state| {
        let entries = &[
            wgpu::BindGroupEntry { binding: 0, resource: state.as_entire_binding() },
            wgpu::BindGroupEntry { binding: 1, resource: sums.as_entire_binding() },
        ];
        device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries })
    });

    while !session.is_done() {
        // A frame: 3 ms of iterations, then your pass over their result, in the same commands.
        let mut encoder = device.create_command_encoder(&Default::default());
        session.encode(&mut encoder, Duration::from_millis(3))?;
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &groups[session.current()], &[]);
        pass.dispatch_workgroups(lanes.div_ceil(64) as u32, 1, 1);
        drop(pass);
        queue.submit([encoder.finish()]);

        // A picture would be drawn from `sums`; numbers are read back, for which this program waits.
        let (send, receive) = std::sync::mpsc::channel();
        wgpu::util::DownloadBuffer::read_buffer(&device, &queue, &sums.slice(..), move |read| {
            let _ = send.send(read.map(|bytes| bytemuck::pod_collect_to_vec::<u8, f32>(&bytes)));
        });
        device.poll(wgpu::PollType::wait_indefinitely())?;
        show(&mut session, &receive.recv()??);
    }
    Ok(())
}
