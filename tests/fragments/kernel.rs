//! A kernel around a fragment, and what its results are compared by.

use proxjet::engine::gpu::wgpu;
use proxjet::program::Precision;

use crate::common::compare::worst;
use crate::common::host::Host;

/// A number for each of four lanes.
pub(crate) type Lanes = [f64; 4];

/// Arithmetic of a kernel, and how well it can be compared.
#[derive(Clone, Copy)]
pub(crate) struct Arithmetic {
    pub(crate) precision: Precision,
    /// Twice the unit of rounding.
    pub(crate) epsilon: f64,
    /// What stands for infinity.
    pub(crate) max: f64,
    /// Width of differences: a power of two, so that all points are exact numbers.
    pub(crate) h: f64,
    /// How far a difference may be from a derivative of order 1: `h²/6` of a third derivative of up to 10 for
    /// its truncation, and `16 ε/h` for the rounding of values up to 30.
    pub(crate) difference: f64,
}

pub(crate) const F32: Arithmetic = Arithmetic {
    precision: Precision::F32,
    epsilon: f32::EPSILON as f64,
    max: f32::MAX as f64,
    h: 1.0 / 64.0,
    difference: 2e-3,
};
pub(crate) const F64: Arithmetic = Arithmetic {
    precision: Precision::F64,
    epsilon: f64::EPSILON,
    max: f64::MAX,
    h: 1.0 / 8192.0,
    difference: 1e-7,
};

impl Arithmetic {
    pub(crate) fn rounded(&self, v: f64) -> f64 {
        if self.precision == Precision::F32 { f64::from(v as f32) } else { v }
    }

    pub(crate) fn literal(&self, v: f64) -> String {
        let v = v.clamp(-self.max, self.max);
        if self.precision == Precision::F32 { format!("{:e}f", v as f32) } else { format!("{v:e}lf") }
    }

    /// The text of an entry, `name:parameter:…`, with the parameters that a kernel sees.
    pub(crate) fn entry(&self, name: &str, parameters: &[(&str, f64)]) -> String {
        let values: String = parameters.iter().map(|(_, v)| format!(":{}", self.rounded(*v))).collect();
        format!("{name}{values}")
    }

    /// What the prelude of a run defines, as far as fragments use it.
    pub(crate) fn prelude(&self, kind: &str, parameters: &[(&str, f64)]) -> String {
        let scalar = self.precision.name();
        let constants: String = parameters
            .iter()
            .map(|(name, v)| format!("const {kind}_{}: real = {};\n", name.to_uppercase(), self.literal(*v)))
            .collect();
        let max = self.literal(f64::INFINITY);
        format!(
            "alias real = {scalar};\nalias real4 = vec4<{scalar}>;\nconst COLUMNS4: u32 = 1u;\n\
             const REAL_MAX: real = {max};\n{constants}"
        )
    }

    pub(crate) fn transcendental(&self) -> &'static str {
        match self.precision {
            Precision::F32 => include_str!("../../shaders/shared/transcendental_f32.wgsl"),
            Precision::F64 => include_str!("../../shaders/shared/transcendental_f64.wgsl"),
        }
    }

    /// True if `got` is `f` at `at`: between the extremes of `f` with each argument moved by four roundings,
    /// which is what a backward stable evaluation gives (the exponential of WGSL in f32 is good to `2 |x|`
    /// roundings), within 32 roundings of the result and 16 of `size`. `size` is at least 1: functions of
    /// arguments of order 1 may cancel to its rounding.
    pub(crate) fn accepts(&self, got: f64, f: &dyn Fn(&[f64]) -> f64, at: &[f64], size: f64) -> bool {
        let moved = |mut code: usize| {
            let mut point = at.to_vec();
            for v in &mut point {
                *v *= 1.0 + ((code % 3) as f64 - 1.0) * 4.0 * self.epsilon;
                code /= 3;
            }
            f(&point)
        };
        let values: Vec<f64> = (0..3usize.pow(at.len() as u32)).map(moved).collect();
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let slack = self.epsilon * (32.0 * worst([low.abs(), high.abs()]) + 16.0 * size);
        // A NaN is not between anything.
        values.iter().all(|v| !v.is_nan()) && low - slack <= got && got <= high + slack
    }

    /// True if a derivative is a central difference.
    pub(crate) fn near(&self, derivative: f64, above: f64, below: f64) -> bool {
        let difference = (above - below) / (2.0 * self.h);
        (derivative - difference).abs() <= self.difference * (1.0 + derivative.abs())
    }
}

/// A kernel that reads `inputs` vectors for each invocation and writes `outputs`.
pub(crate) struct Kernel<'a> {
    host: &'a Host,
    arithmetic: Arithmetic,
    pipeline: wgpu::ComputePipeline,
    inputs: usize,
    outputs: usize,
}

impl<'a> Kernel<'a> {
    /// `body` computes `r0`, `r1`, … from `p0`, `p1`, ….
    pub(crate) fn new(
        host: &'a Host,
        arithmetic: Arithmetic,
        files: &[String],
        body: &str,
        (inputs, outputs): (usize, usize),
    ) -> Self {
        let read: String =
            (0..inputs).map(|i| format!("let p{i} = points[{inputs}u * id.x + {i}u];\n")).collect();
        let write: String =
            (0..outputs).map(|i| format!("results[{outputs}u * id.x + {i}u] = r{i};\n")).collect();
        let source = format!(
            "{}\n@group(0) @binding(0) var<storage, read> points: array<real4>;\n\
             @group(0) @binding(1) var<storage, read_write> results: array<real4>;\n\
             @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{\n\
             if ({inputs}u * id.x >= arrayLength(&points)) {{ return; }}\n{read}{body}\n{write}}}\n",
            files.join("\n")
        );
        let pipeline = host.pipeline(source);
        let errors = host.errors.lock().unwrap();
        assert!(errors.is_empty(), "{errors:?}");
        Kernel { host, arithmetic, pipeline, inputs, outputs }
    }

    /// `[invocations][outputs]`.
    pub(crate) fn run(&self, points: &[Vec<Lanes>]) -> Vec<Vec<Lanes>> {
        assert!(points.iter().all(|p| p.len() == self.inputs));
        let numbers = points.iter().flatten().flatten();
        let bytes: Vec<u8> = match self.arithmetic.precision {
            Precision::F32 => numbers.flat_map(|v| (*v as f32).to_le_bytes()).collect(),
            Precision::F64 => numbers.flat_map(|v| v.to_le_bytes()).collect(),
        };
        let size = points.len() * self.outputs * 4 * self.arithmetic.precision.bytes() as usize;
        use wgpu::BufferUsages as Usage;
        let input = self.host.buffer(bytes.len(), Usage::STORAGE | Usage::COPY_DST);
        let output = self.host.buffer(size, Usage::STORAGE | Usage::COPY_SRC);
        let readable = self.host.buffer(size, Usage::MAP_READ | Usage::COPY_DST);
        self.host.queue.write_buffer(&input, 0, &bytes);
        let group = self.host.group(&self.pipeline, &[&input, &output]);
        let mut encoder = self.host.encoder();
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(points.len().div_ceil(64) as u32, 1, 1);
        drop(pass);
        encoder.copy_buffer_to_buffer(&output, 0, &readable, 0, size as u64);
        self.host.queue.submit([encoder.finish()]);
        readable.map_async(wgpu::MapMode::Read, .., |_| ());
        self.host.device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
        let bytes = readable.get_mapped_range(..).unwrap();
        let numbers: Vec<f64> = match self.arithmetic.precision {
            Precision::F32 => {
                bytemuck::pod_collect_to_vec::<u8, f32>(&bytes).into_iter().map(f64::from).collect()
            }
            Precision::F64 => bytemuck::pod_collect_to_vec(&bytes),
        };
        let lanes: Vec<Lanes> = numbers.chunks_exact(4).map(|c| [c[0], c[1], c[2], c[3]]).collect();
        lanes.chunks_exact(self.outputs).map(<[Lanes]>::to_vec).collect()
    }
}

/// Points of the middle lanes: multiples of 1/256 from -`reach` to `reach`.
pub(crate) fn grid(reach: f64, count: i32) -> impl Iterator<Item = f64> + Clone {
    (0..=count).map(move |i| {
        let v = reach * (2.0 * f64::from(i) / f64::from(count) - 1.0);
        (v * 256.0).round() / 256.0 + 1.0 / 512.0
    })
}

/// Below, at and above a point, and another one: lanes that mix would be seen.
pub(crate) fn around(v: f64, h: f64, other: f64) -> Lanes {
    [v - h, v, v + h, other]
}

/// Differences that say something, and those at a kink, which say nothing.
#[derive(Default)]
pub(crate) struct Smooth {
    pub(crate) compared: usize,
    pub(crate) kinks: usize,
}

impl Smooth {
    /// True if the next derivative is near the same on both sides: a kink between them makes it jump by a
    /// multiple of 1.
    pub(crate) fn is(&mut self, above: f64, below: f64) -> bool {
        let smooth = (above - below).abs() <= 1.0 / 8.0;
        *(if smooth { &mut self.compared } else { &mut self.kinks }) += 1;
        smooth
    }

    /// Fails where kinks are more than there can be.
    pub(crate) fn finish(&self, name: &str, total: usize) {
        assert_eq!(self.compared + self.kinks, total, "{name}");
        assert!(self.kinks * 20 <= total, "{name}: {} of {total} differences are at kinks", self.kinks);
    }
}
