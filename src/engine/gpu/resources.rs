//! Kernels, buffers and bind groups of a batch.

use super::compose::{Partials, ShaderSpec, directive_fields, memory_fields};
use super::context::GpuContext;
use super::kernels::{Kernels, PARAMS_BYTES, PARAMS_STRIDE};
use super::layout::{columns, initial_state, lane_fields, padded, row_fields, stride};
use super::readback::encode;
use crate::engine::{Job, LaneNumbers, MetricSource};
use crate::error::Result;
use crate::plan::{Plan, ROW_BLOCK};

/// What a batch holds on the device.
pub(super) struct Resources {
    pub(super) kernels: Kernels,
    pub(super) buffers: Buffers,
    pub(super) bound: Bound,
    /// Bytes of the device's buffers, staging left out.
    pub(super) held_bytes: u64,
    /// Columns of the device's matrices and rows of its state, both in whole vec4s.
    pub(super) columns: usize,
    pub(super) state_rows: usize,
}

/// Device buffers. Pairs alternate: by parity of the iterate, or by chunk.
pub(super) struct Buffers {
    pub(super) x: [wgpu::Buffer; 2],
    pub(super) records: [wgpu::Buffer; 2],
    pub(super) tables: [wgpu::Buffer; 2],
    pub(super) metric_tables: Option<[wgpu::Buffer; 2]>,
    pub(super) params: [wgpu::Buffer; 2],
    pub(super) outcomes: wgpu::Buffer,
    pub(super) measures: wgpu::Buffer,
}

/// Bind groups: `[parity]`, `[slot]` or `[parity][slot]`.
pub(super) struct Bound {
    pub(super) params: [wgpu::BindGroup; 2],
    pub(super) control: [wgpu::BindGroup; 2],
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
    pub(super) status: [wgpu::BindGroup; 2],
}

/// Bind groups of a metric made of curvatures.
pub(super) struct HessianMetric {
    pub(super) curvatures: [wgpu::BindGroup; 2],
    pub(super) gradient: wgpu::BindGroup,
    pub(super) invert: wgpu::BindGroup,
}

impl Resources {
    /// Compiles the kernels of a batch, and creates, fills and binds its buffers.
    pub(super) fn new(context: &GpuContext, plan: &Plan, job: &Job<'_>, numbers: &LaneNumbers) -> Result<Self> {
        let problem = job.problem;
        let spec = ShaderSpec::new(plan, numbers, job);
        let kernels = Kernels::new(context, &spec)?;
        let (n, q) = problem.design().dim();
        let (b, d) = (numbers.l1.len(), job.derivatives.len());
        let (columns, state_rows) = (columns(b, d), stride(q));
        let precision = plan.request.precision;
        let real = precision.bytes();
        let device = &context.device;
        let sizes = std::cell::Cell::new(8 * b as u64 + 4 * plan.chunk as u64 * PARAMS_STRIDE);
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
        let rows = filled("rows", row_fields(job, numbers, n, d));
        let state = initial_state(numbers, columns, state_rows, 1 + d);
        let x = [filled("state", state.clone()), filled("state_previous", state)];
        let z = pair("prediction", n * columns);
        let r = create("residual", n * columns);
        let g = create("gradient", state_rows * columns);
        let blocks = n.max(q).max(plan.request.validation_rows).div_ceil(ROW_BLOCK);
        let partials = create("partials", blocks * Partials::new(d).fields() * b);
        let lanes = filled("lanes", lane_fields(numbers));
        let table_numbers = job.schedule.stages() * (2 + 2 * d) * b;
        let tables = pair("step_tables", plan.chunk * table_numbers);
        let constants = filled("constants", at_least_one(job.schedule.constants()));
        let mut remembered = vec![0.0; memory_fields(d) * b];
        // Backtracking has not shrunk anything yet.
        remembered.iter_mut().skip(4).step_by(memory_fields(d)).for_each(|scale| *scale = 1.0);
        let memory = filled("memory", remembered);
        let directives = create("directives", directive_fields(d) * b);
        let extrapolated = create("extrapolated", if job.schedule.uses_secant() { n * columns } else { 1 });
        let diagonal = match job.metric {
            MetricSource::None => vec![1.0],
            source => start_metric(source, columns, state_rows, q, (b, 1 + d)),
        };
        let metric = filled("metric", diagonal);
        let metric_lanes = spec.metric_lanes;
        let metric_tables = match job.metric {
            MetricSource::Table(_) => Some(pair("metric_tables", plan.chunk * q * metric_lanes)),
            _ => None,
        };
        let hessian = match job.metric {
            MetricSource::Hessian { bound, .. } => {
                let squares = problem.design().mapv(|v| v * v);
                Some((filled("design_squares", padded(squares.rows(), q)), filled("curvature_bound", bound.to_vec())))
            }
            _ => None,
        };
        let records = pair("records", plan.chunk * plan.record_fields * b);
        // NaN: not measured yet.
        let measures = filled("measures", vec![f64::NAN; 3 * b]);
        let outcomes = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("outcomes"),
            size: (8 * b as u64).max(16),
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        let params = [0, 1].map(|_| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("params"),
                size: 2 * plan.chunk as u64 * PARAMS_STRIDE,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        });

        let bind = |name: &str, list: &[&wgpu::Buffer]| kernels.bind(device, name, list);
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
            params: [0, 1].map(|s: usize| {
                device.create_bind_group(&wgpu::BindGroupDescriptor {
                    label: Some("params"),
                    layout: &kernels.params,
                    entries: &[wgpu::BindGroupEntry {
                        binding: 0,
                        resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                            buffer: &params[s],
                            offset: 0,
                            size: wgpu::BufferSize::new(PARAMS_BYTES),
                        }),
                    }],
                })
            }),
            control: [0, 1].map(|s: usize| bind("control", &[&tables[s], &constants, &memory, &directives])),
            metric: hessian.as_ref().map(|(squares, bound)| HessianMetric {
                curvatures: [0, 1].map(|p: usize| bind("curvatures", &[&z[p], &rows, &r])),
                gradient: bind("gradient", &[squares, &r, &g]),
                invert: bind("metric_hessian", &[&g, bound, &metric]),
            }),
            metric_table: metric_tables
                .as_ref()
                .map(|t| [0, 1].map(|s: usize| bind("metric_table", &[&t[s], &metric]))),
            residual: [0, 1].map(|p| bind("residual", &[&z[p], &z[1 - p], &rows, &directives, &r, &extrapolated])),
            gradient: bind("gradient", &[&design, &r, &g]),
            step: [0, 1]
                .map(|p| bind("step", &[&x[p], &x[1 - p], &g, &lanes, &directives, &outcomes, &partials, &metric])),
            predict: [0, 1].map(|p| bind("predict", &[&design, &x[p], &z[p]])),
            observe: [0, 1].map(|p: usize| bind("observe", &[&z[p], &rows, &partials, &r, &extrapolated])),
            held_out,
            criterion: [0, 1].map(|p: usize| bind("criterion", &[&x[p], &g, &lanes, &partials])),
            gap_loss: [0, 1].map(|p: usize| bind("gap_loss", &[&z[p], &rows, &partials])),
            gap_penalty: [0, 1].map(|p: usize| bind("gap_penalty", &[&x[p], &g, &lanes, &partials])),
            status: [0, 1].map(|s: usize| {
                bind("status", &[&partials, &lanes, &records[s], &outcomes, &measures, &directives, &memory])
            }),
        };
        let buffers = Buffers { x, records, tables, metric_tables, params, outcomes, measures };
        let held_bytes = sizes.get();
        Ok(Resources { kernels, buffers, bound, held_bytes, columns, state_rows })
    }
}

/// Some numbers, since a buffer cannot be empty.
fn at_least_one(mut numbers: Vec<f64>) -> Vec<f64> {
    if numbers.is_empty() {
        numbers.push(0.0);
    }
    numbers
}

/// The metric that a run starts with, in the state's layout, tangents zero.
fn start_metric(
    source: &MetricSource,
    columns: usize,
    state_rows: usize,
    q: usize,
    (lanes, width): (usize, usize),
) -> Vec<f64> {
    let mut metric = vec![0.0; columns * state_rows];
    for j in 0..q {
        (0..lanes).for_each(|i| metric[j * columns + i * width] = source.entry(0, i, j));
    }
    metric
}
