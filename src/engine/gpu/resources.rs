//! Kernels, buffers and bind groups of a run.

use super::compose::ShaderSpec;
use super::context::GpuContext;
use super::kernels::{EMPTY, Kernels, Library, PARAMS_BYTES, PARAMS_STRIDE};
use super::layout::{BOOK_STATUS, Layout, padded, row_fields};
use super::readback::encode;
use crate::engine::{Job, MetricSource, RunNumbers};
use crate::error::Result;
use crate::plan::{MetricForm, Plan};

/// What a run holds on the device.
pub(super) struct Resources {
    pub(super) layout: Layout,
    pub(super) kernels: Kernels,
    pub(super) buffers: Buffers,
    pub(super) bound: Bound,
    /// Bytes of the device's buffers, staging left out.
    pub(super) held_bytes: u64,
    /// Lanes whose columns fit into an upload.
    pub(super) arrivals: usize,
}

/// Device buffers. Pairs alternate: by parity of the iterate, or by chunk.
pub(super) struct Buffers {
    pub(super) x: [wgpu::Buffer; 2],
    pub(super) records: [wgpu::Buffer; 2],
    /// The schedule's table of a chunk; where it is factored, its factors for the whole run, in the first of them.
    pub(super) rules: [wgpu::Buffer; 2],
    pub(super) metric: wgpu::Buffer,
    pub(super) metric_tables: Option<[wgpu::Buffer; 2]>,
    pub(super) params: [wgpu::Buffer; 2],
    pub(super) lanes: wgpu::Buffer,
    pub(super) book: wgpu::Buffer,
    pub(super) arrivals: wgpu::Buffer,
    pub(super) arrival_params: wgpu::Buffer,
}

/// Bind groups: `[parity]`, `[slot]` or `[parity][slot]`.
pub(super) struct Bound {
    pub(super) params: [wgpu::BindGroup; 2],
    pub(super) arrival_params: wgpu::BindGroup,
    pub(super) admit: [wgpu::BindGroup; 2],
    pub(super) turn: [wgpu::BindGroup; 2],
    pub(super) metric: Option<HessianMetric>,
    pub(super) metric_table: Option<[wgpu::BindGroup; 2]>,
    pub(super) residual: [wgpu::BindGroup; 2],
    pub(super) gradient: wgpu::BindGroup,
    pub(super) step: [wgpu::BindGroup; 2],
    pub(super) predict: [wgpu::BindGroup; 2],
    pub(super) observe: [wgpu::BindGroup; 2],
    pub(super) held_out: Option<([wgpu::BindGroup; 2], wgpu::BindGroup)>,
    pub(super) criterion: [wgpu::BindGroup; 2],
    pub(super) gap_loss: [wgpu::BindGroup; 2],
    pub(super) gap_penalty: [wgpu::BindGroup; 2],
}

/// Bind groups of a metric made of curvatures.
pub(super) struct HessianMetric {
    pub(super) curvatures: [wgpu::BindGroup; 2],
    pub(super) gradient: wgpu::BindGroup,
    pub(super) invert: wgpu::BindGroup,
}

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
    ) -> Result<Self> {
        let problem = job.problem;
        let spec = ShaderSpec::new(plan, numbers, job);
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
                size: (count as u64 * real).max(16),
                usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        };
        let filled = |label: &str, values: Vec<f64>| {
            let buffer = create(label, values.len());
            context.queue.write_buffer(&buffer, 0, &encode(values, precision));
            buffer
        };
        let pair = |label: &str, count: usize| [create(label, count), create(label, count)];

        let design = filled("design", padded(problem.design().rows(), q));
        let rows = filled("rows", row_fields(job, numbers));
        let x = pair("state", state_rows * columns);
        let z = pair("prediction", n * columns);
        let r = create("residual", n * columns);
        let g = create("gradient", state_rows * columns);
        let partials = create("partials", layout.partial_fields() * layout.partial_blocks() * layout.lanes4());
        let lanes = create("lanes", layout.lane_buffer());
        let rules = if spec.factored {
            let units = filled("step_factors", units(job, plan.request.iterations));
            [units.clone(), units]
        } else {
            pair("step_tables", plan.chunk * layout.stages * (2 + layout.rule_fields()) * layout.lanes4())
        };
        let constants = filled("constants", at_least_one(job.schedule.constants()));
        let mut empty = vec![0.0; layout.book_fields() * layout.lanes4()];
        empty[BOOK_STATUS * layout.lanes4()..][..layout.lanes4()].fill(f64::from(EMPTY));
        let book = filled("book", empty);
        let extrapolated = create("extrapolated", if spec.measures_curvature { n * columns } else { 1 });
        let has_metric = spec.metric != MetricForm::None;
        let metric = filled("metric", vec![1.0; if has_metric { state_rows * columns } else { 1 }]);
        let metric_tables = match job.metric {
            MetricSource::Table(_) => Some(pair("metric_tables", plan.chunk * q * spec.metric_lanes)),
            _ => None,
        };
        let hessian = match job.metric {
            MetricSource::Hessian { bound, .. } => {
                let squares = problem.design().mapv(|v| v * v);
                Some((filled("design_squares", padded(squares.rows(), q)), filled("curvature_bound", bound.to_vec())))
            }
            _ => None,
        };
        let records = pair("records", plan.chunk * plan.record_fields * layout.lanes4());
        let heads = (2 + layout.book_fields()) as u64 * real;
        let lane_bytes = 3 * (1 + layout.d) as u64 * q as u64 * real;
        let fitting = ((ARRIVAL_BYTES / (heads + lane_bytes)).max(1) as usize).min(plan.seats);
        let arrivals = create("arrivals", fitting * ((heads + lane_bytes) / real) as usize);
        let uniform = |label: &str, size: u64| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        };
        let params = [0, 1].map(|_| uniform("params", 2 * (plan.chunk as u64 + 1) * PARAMS_STRIDE));
        let arrival_params = uniform("arrival_params", PARAMS_STRIDE);

        let bind = |name: &str, list: &[&wgpu::Buffer]| kernels.bind(device, name, list);
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
        let held_out = problem.held_out.as_ref().map(|h| {
            let (target, weight) = (&h.target, &h.weight);
            let design = filled("validation_design", padded(h.design.rows(), q));
            let pairs = target.iter().zip(weight).flat_map(|(y, w)| [*y, *w]).collect();
            let rows = filled("validation_rows", pairs);
            let z = create("validation_prediction", target.len() * columns);
            let predict = [0, 1].map(|p| bind("predict_validation", &[&design, &x[p], &z]));
            (predict, bind("validate", &[&z, &rows, &partials]))
        });
        let bound = Bound {
            params: [0, 1].map(|s: usize| bind_params(&params[s])),
            arrival_params: bind_params(&arrival_params),
            admit: [0, 1].map(|p| bind("admit", &[&arrivals, &book, &x[p], &x[1 - p], &z[p], &z[1 - p], &metric])),
            turn: [0, 1].map(|s: usize| bind("turn", &[&rules[s], &constants, &lanes, &partials, &book, &records[s]])),
            metric: hessian.as_ref().map(|(squares, bound)| HessianMetric {
                curvatures: [0, 1].map(|p: usize| bind("curvatures", &[&z[p], &rows, &r])),
                gradient: bind("gradient", &[squares, &r, &g]),
                invert: bind("metric_hessian", &[&g, bound, &book, &metric]),
            }),
            metric_table: metric_tables
                .as_ref()
                .map(|t| [0, 1].map(|s: usize| bind("metric_table", &[&t[s], &metric]))),
            residual: [0, 1].map(|p| bind("residual", &[&z[p], &z[1 - p], &rows, &book, &r, &extrapolated])),
            gradient: bind("gradient", &[&design, &r, &g]),
            step: [0, 1].map(|p| bind("step", &[&x[p], &x[1 - p], &g, &lanes, &book, &partials, &metric])),
            predict: [0, 1].map(|p| bind("predict", &[&design, &x[p], &z[p]])),
            observe: [0, 1].map(|p: usize| bind("observe", &[&z[p], &rows, &partials, &r, &extrapolated])),
            held_out,
            criterion: [0, 1].map(|p: usize| bind("criterion", &[&x[p], &g, &lanes, &partials])),
            gap_loss: [0, 1].map(|p: usize| bind("gap_loss", &[&z[p], &rows, &partials])),
            gap_penalty: [0, 1].map(|p: usize| bind("gap_penalty", &[&x[p], &g, &lanes, &partials])),
        };
        let buffers =
            Buffers { x, records, rules, metric, metric_tables, params, lanes, book, arrivals, arrival_params };
        Ok(Resources { layout, kernels, buffers, bound, held_bytes: sizes.get(), arrivals: fitting })
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
