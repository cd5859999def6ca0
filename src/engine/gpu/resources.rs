//! Kernels, buffers and bind groups of a run.

use std::collections::HashMap;

use super::commands::{Commands, Dispatch};
use super::context::GpuContext;
use super::kernels::{EMPTY, Kernels, Library, PARAMS_BYTES, PARAMS_STRIDE};
use super::layout::{Layout, STATE_STATUS, row_fields};
use super::product::Tiles;
use super::readback::encode;
use super::spec::ShaderSpec;
use crate::error::Result;
use crate::lanes::{Job, MetricSource, RunNumbers};
use crate::program::{MetricKind, Plan, Strategy};

/// What a run holds on the device.
pub(super) struct Resources {
    pub(super) layout: Layout,
    pub(super) kernels: Kernels,
    pub(super) buffers: Buffers,
    /// By kernel, parity of the iterate that is `x` to it, and chunk.
    groups: HashMap<&'static str, [[wgpu::BindGroup; 2]; 2]>,
    pub(super) params: [wgpu::BindGroup; 2],
    pub(super) arrival_params: wgpu::BindGroup,
    /// Quads of lanes that share a list of coefficients which are not zero.
    pub(super) active_set_lane4s: usize,
    /// Groups of lanes that have such a list.
    pub(super) listed_groups: usize,
    /// Whether a prediction's end leaves the residual of the iteration to come.
    pub(super) stores_next_residual: bool,
    /// Bytes of the device's buffers, staging left out.
    pub(super) held_bytes: u64,
    /// Lanes whose columns fit into an upload.
    pub(super) arrivals: usize,
}

/// Device buffers by name. Some are pairs, that alternate by the parity of the iterate or from chunk to chunk.
pub(super) struct Buffers {
    by_name: HashMap<&'static str, [wgpu::Buffer; 2]>,
    /// Products with the iterates and with those before, which dispatches leave to the next; in the persistent strategy, which leaves
    /// none, any two buffers.
    carried: [&'static str; 2],
}

impl Buffers {
    /// A buffer, or one of a pair.
    pub(super) fn get(&self, name: &str, which: usize) -> &wgpu::Buffer {
        &self.by_name[name][which]
    }

    /// The buffer that a kernel's variable means, when `parity` is that of its iterate.
    fn of_kernel(&self, kernel: &str, variable: &str, parity: usize, chunk_parity: usize) -> &wgpu::Buffer {
        match (kernel, variable) {
            ("reduce_z", "whole") => self.get("z", parity),
            ("reduce_g", "whole") => self.get("g", 0),
            // What is carried with the iterates, by strategy.
            ("load", "carried") => self.get(self.carried[0], parity),
            ("load", "carried_before") => self.get(self.carried[1], 1 - parity),
            (_, "x" | "z" | "v") => self.get(variable, parity),
            (_, "x_previous") => self.get("x", 1 - parity),
            (_, "z_before") => self.get("z", 1 - parity),
            (_, "v_before") => self.get("v", 1 - parity),
            _ => self.get(variable, chunk_parity),
        }
    }
}

/// Operations of a dispatch that sums the Gram matrix, about.
const GRAM_OPERATIONS: usize = 1 << 31;
/// Bytes of an upload of lanes, about.
const ARRIVAL_BYTES: u64 = 4 << 20;

impl Resources {
    /// Compiles the kernels of a run, and creates, fills and binds its buffers.
    pub(super) fn new(
        context: &GpuContext,
        library: &mut Library,
        plan: &Plan,
        job: &Job<'_>,
        numbers: &RunNumbers,
        tiles: Tiles,
    ) -> Result<Self> {
        let problem = job.problem;
        let spec = ShaderSpec::new(plan, numbers, job, tiles);
        let layout = spec.layout();
        let kernels = Kernels::new(context, library, &spec)?;
        let (n, q) = (layout.rows, layout.state_rows);
        let (columns, state_rows) = (layout.columns(), layout.stride());
        let precision = plan.request.precision;
        let real = precision.bytes();
        let device = &context.device;
        let sizes = std::cell::Cell::new(4 * plan.chunk as u64 * PARAMS_STRIDE + PARAMS_STRIDE);
        let create = |label: &str, count: usize| {
            sizes.set(sizes.get() + count as u64 * real);
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: (count as u64 * real).max(4 * real),
                usage: wgpu::BufferUsages::STORAGE
                    | wgpu::BufferUsages::COPY_SRC
                    | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        };
        let filled = |label: &str, values: Vec<f64>| {
            let buffer = create(label, values.len());
            context.queue.write_buffer(&buffer, 0, &encode(values, precision));
            buffer
        };
        let mut all: HashMap<&'static str, [wgpu::Buffer; 2]> = HashMap::new();
        let mut one = |name: &'static str, buffer: wgpu::Buffer| {
            all.insert(name, [buffer.clone(), buffer]);
        };
        one("design", filled("design", problem.design().padded_rows(4)));
        one("rows", filled("rows", row_fields(job, numbers)));
        match spec.strategy {
            Strategy::Direct => one("r", create("residual", n * columns)),
            // Filled only for the stop rule.
            Strategy::Persistent => one("v", create("carried", state_rows * columns)),
            Strategy::Gram => {}
        }
        if layout.gram {
            one("gram", create("gram", state_rows * state_rows));
        }
        one("g", create("gradient", state_rows * columns));
        one("partials", create("partials", layout.sum_rows() * layout.padded_lanes()));
        one("lanes", create("lanes", layout.lane_buffer()));
        one("constants", filled("constants", at_least_one(job.schedule.constants())));
        let mut empty = vec![0.0; layout.lane_state_fields() * layout.padded_lanes()];
        empty[STATE_STATUS * layout.padded_lanes()..][..layout.padded_lanes()].fill(f64::from(EMPTY));
        one("lane_state", filled("lane_state", empty));
        one("extrapolated", create("extrapolated", if spec.measures_curvature { n * columns } else { 1 }));
        let has_metric = spec.metric != MetricKind::None;
        one("metric", filled("metric", vec![1.0; if has_metric { state_rows * columns } else { 1 }]));
        if let MetricSource::Hessian { bound, .. } = job.metric {
            let squares = problem.design().squared();
            one("design_squares", filled("design_squares", squares.padded_rows(4)));
            one("bound", filled("curvature_bound", bound.to_vec()));
        }
        if let Some(h) = &problem.held_out {
            one("validation_design", filled("validation_design", h.design.padded_rows(4)));
            let pairs = h.target.iter().zip(&h.weight).flat_map(|(y, w)| [*y, *w]).collect();
            one("validation_rows", filled("validation_rows", pairs));
            if !spec.validates_in_product() {
                one("validation_z", create("validation_prediction", h.target.len() * columns));
            }
        }
        let shares = |split_k: usize, rows: usize| if split_k > 1 { split_k * rows * columns } else { 0 };
        let shares = shares(spec.split_k[0], n).max(shares(spec.split_k[1], state_rows));
        if shares > 0 {
            one("split_partials", create("split_partials", shares));
        }
        let mut listed_groups = 0;
        if spec.active_set {
            let groups = (layout.padded_lanes() / 4).div_ceil(spec.active_set_lane4s());
            one("active_set", create("active_set", groups * (state_rows / 4 + 1)));
            // Numbers of four bytes, all of them.
            one("active_counts", create("active_counts", groups));
            listed_groups = groups;
        }
        if spec.tangents_wait() {
            one("stepped", create("stepped", 2 * q * layout.padded_lanes()));
        }
        let heads = (2 + layout.lane_state_fields()) as u64 * real;
        let lane_bytes = 3 * (1 + layout.d) as u64 * q as u64 * real;
        let fitting = ((ARRIVAL_BYTES / (heads + lane_bytes)).max(1) as usize).min(plan.slots);
        one("arrivals", create("arrivals", fitting * ((heads + lane_bytes) / real) as usize));
        let uniform = |label: &str, size: u64| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        };
        one("arrival_params", uniform("arrival_params", PARAMS_STRIDE));
        if spec.factored {
            // Of the whole run: no chunk changes them.
            one("rules", filled("step_factors", units(job, plan.request.iterations)));
        }
        let mut pair = |name: &'static str, make: &dyn Fn() -> wgpu::Buffer| {
            all.insert(name, [make(), make()]);
        };
        pair("x", &|| create("state", state_rows * columns));
        if spec.strategy == Strategy::Gram {
            pair("v", &|| create("carried", state_rows * columns));
        } else if spec.strategy == Strategy::Direct {
            pair("z", &|| create("prediction", n * columns));
        }
        pair("records", &|| create("records", plan.chunk * plan.record_fields * layout.padded_lanes()));
        pair("params", &|| uniform("params", 2 * (plan.chunk as u64 + 1) * PARAMS_STRIDE));
        if !spec.factored {
            let rows = (plan.chunk + 1) * layout.stages;
            pair("rules", &|| {
                create("step_tables", rows * (2 + layout.rule_fields()) * layout.padded_lanes())
            });
        }
        if let MetricSource::Table(_) = job.metric {
            pair("metric_table", &|| create("metric_tables", plan.chunk * q * spec.metric_lanes));
        }
        let carried = match spec.strategy {
            Strategy::Direct => ["z", "z"],
            Strategy::Gram => ["v", "v"],
            Strategy::Persistent => ["v", "g"],
        };
        let buffers = Buffers { by_name: all, carried };

        let bind = |name: &str, parity: usize, chunk_parity: usize| {
            kernels.bind(device, name, |variable| buffers.of_kernel(name, variable, parity, chunk_parity))
        };
        let groups =
            kernels.names().map(|name| (name, [0, 1].map(|p| [0, 1].map(|s| bind(name, p, s))))).collect();
        let bind_params = |buffer: &wgpu::Buffer| {
            device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("params"),
                layout: &kernels.params,
                entries: &[wgpu::BindGroupEntry {
                    binding: 0,
                    resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                        buffer,
                        offset: 0,
                        size: wgpu::BufferSize::new(PARAMS_BYTES),
                    }),
                }],
            })
        };
        let resources = Resources {
            params: [0, 1].map(|chunk_parity| bind_params(buffers.get("params", chunk_parity))),
            arrival_params: bind_params(buffers.get("arrival_params", 0)),
            active_set_lane4s: spec.active_set_lane4s(),
            listed_groups,
            stores_next_residual: spec.stores_next_residual(),
            layout,
            groups,
            buffers,
            held_bytes: sizes.get(),
            arrivals: fitting,
            kernels,
        };
        if layout.gram {
            resources.sum_gram(context);
        }
        Ok(resources)
    }

    /// Fills the Gram matrix, some blocks at a time, so that no dispatch takes long.
    fn sum_gram(&self, context: &GpuContext) {
        // A workgroup sums eight by eight blocks of four by four entries.
        let sides = self.layout.stride().div_ceil(32);
        let most = (GRAM_OPERATIONS / (2 * self.layout.rows * 32 * 32)).max(1);
        let (columns, rows) = (most.min(sides), (most / sides).clamp(1, sides));
        for first_row in (0..sides).step_by(rows) {
            for first_column in (0..sides).step_by(columns) {
                let first = [8 * first_column as u32, 8 * first_row as u32, 0, 0];
                let params = self.buffers.get("arrival_params", 0);
                context.queue.write_buffer(params, 0, bytemuck::cast_slice(&first));
                let label = Some("gram");
                let mut encoder =
                    context.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label });
                let mut commands = Commands::new(&mut encoder, None);
                commands.dispatch(&Dispatch {
                    name: "gram",
                    pipeline: &self.kernels.get("gram").pipeline,
                    params: (&self.arrival_params, 0),
                    storage: &self.groups["gram"][0][0],
                    groups: [columns as u32, rows as u32, 1],
                });
                commands.finish();
                context.queue.submit([encoder.finish()]);
            }
        }
    }

    /// Dispatches a kernel with the parameters that begin at `offset` of a chunk's; `parity` is that of its iterate.
    pub(super) fn dispatch(
        &self,
        commands: &mut Commands<'_>,
        name: &'static str,
        (parity, chunk_parity): (usize, usize),
        offset: u32,
    ) {
        let kernel = self.kernels.get(name);
        commands.dispatch(&Dispatch {
            name,
            pipeline: &kernel.pipeline,
            params: (&self.params[chunk_parity], offset),
            storage: &self.groups[name][parity][chunk_parity],
            groups: kernel.groups,
        });
    }

    /// Loads lanes that were uploaded.
    pub(super) fn dispatch_load(&self, commands: &mut Commands<'_>, parity: usize, arrivals: usize) {
        let kernel = self.kernels.get("load");
        let [_, rows, _] = kernel.groups;
        commands.dispatch(&Dispatch {
            name: "load",
            pipeline: &kernel.pipeline,
            params: (&self.arrival_params, 0),
            storage: &self.groups["load"][parity][0],
            groups: [arrivals.div_ceil(64) as u32, rows, 1],
        });
    }
}

/// Some numbers, since a buffer cannot be empty.
fn at_least_one(mut numbers: Vec<f64>) -> Vec<f64> {
    if numbers.is_empty() {
        numbers.push(0.0);
    }
    numbers
}

/// `[iterations, stages, 5]`: the factors of every iteration, as `shaders/schedule/factored.wgsl` reads them.
fn units(job: &Job<'_>, iterations: usize) -> Vec<f64> {
    let stages = job.schedule.stages();
    let of = |k: usize| {
        (0..stages).flat_map(move |stage| {
            let unit = job.schedule.unit(stage, k);
            let code = unit.code;
            [unit.step, unit.momentum, f64::from(code.bits), f64::from(code.base), unit.phase as f64]
        })
    };
    (0..iterations).flat_map(of).collect()
}
