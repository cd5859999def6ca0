//! The WGSL fragments of losses and penalties themselves: a small kernel around each evaluates its functions at some
//! thousand points, in both precisions. They are compared with the Rust functions in f64, and with central differences of
//! the fragment's own values.

use proxjet::engine::gpu::wgpu;
use proxjet::objective::{Loss, Penalty};
use proxjet::program::Precision;

mod common;
use common::compare::{Report, worst};
use common::host::Host;

/// A number for each of four lanes.
type Lanes = [f64; 4];

/// Arithmetic of a kernel, and how well it can be compared.
#[derive(Clone, Copy)]
struct Arithmetic {
    precision: Precision,
    /// Twice the unit of rounding.
    epsilon: f64,
    /// What stands for infinity.
    max: f64,
    /// Width of differences: a power of two, so that all points are exact numbers.
    h: f64,
    /// How far a difference may be from a derivative of order 1: `h²/6` of a third derivative of up to 10 for its
    /// truncation, and `16 ε/h` for the rounding of values up to 30.
    difference: f64,
}

const F32: Arithmetic = Arithmetic {
    precision: Precision::F32,
    epsilon: f32::EPSILON as f64,
    max: f32::MAX as f64,
    h: 1.0 / 64.0,
    difference: 2e-3,
};
const F64: Arithmetic = Arithmetic {
    precision: Precision::F64,
    epsilon: f64::EPSILON,
    max: f64::MAX,
    h: 1.0 / 8192.0,
    difference: 1e-7,
};

impl Arithmetic {
    fn rounded(&self, v: f64) -> f64 {
        if self.precision == Precision::F32 { f64::from(v as f32) } else { v }
    }

    fn literal(&self, v: f64) -> String {
        let v = v.clamp(-self.max, self.max);
        if self.precision == Precision::F32 { format!("{:e}f", v as f32) } else { format!("{v:e}lf") }
    }

    /// The text of an entry, `name:parameter:…`, with the parameters that a kernel sees.
    fn entry(&self, name: &str, parameters: &[(&str, f64)]) -> String {
        let values: String = parameters.iter().map(|(_, v)| format!(":{}", self.rounded(*v))).collect();
        format!("{name}{values}")
    }

    /// What the prelude of a run defines, as far as fragments use it.
    fn prelude(&self, kind: &str, parameters: &[(&str, f64)]) -> String {
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

    fn transcendental(&self) -> &'static str {
        match self.precision {
            Precision::F32 => include_str!("../shaders/shared/transcendental_f32.wgsl"),
            Precision::F64 => include_str!("../shaders/shared/transcendental_f64.wgsl"),
        }
    }

    /// Whether `got` is `f` at `at`: between the extremes of `f` with each argument moved by four roundings, which is what
    /// a backward stable evaluation gives (the exponential of WGSL in f32 is good to `2 |x|` roundings), within 32 roundings of
    /// the result and 16 of `size`. `size` is at least 1: functions of arguments of order 1 may cancel to its rounding.
    fn accepts(&self, got: f64, f: &dyn Fn(&[f64]) -> f64, at: &[f64], size: f64) -> bool {
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

    /// Whether a derivative is a central difference.
    fn near(&self, derivative: f64, above: f64, below: f64) -> bool {
        let difference = (above - below) / (2.0 * self.h);
        (derivative - difference).abs() <= self.difference * (1.0 + derivative.abs())
    }
}

/// A kernel that reads `inputs` vectors for each invocation and writes `outputs`.
struct Kernel<'a> {
    host: &'a Host,
    arithmetic: Arithmetic,
    pipeline: wgpu::ComputePipeline,
    inputs: usize,
    outputs: usize,
}

impl<'a> Kernel<'a> {
    /// `body` computes `r0`, `r1`, … from `p0`, `p1`, ….
    fn new(
        host: &'a Host,
        arithmetic: Arithmetic,
        files: &[&str],
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
    fn run(&self, points: &[Vec<Lanes>]) -> Vec<Vec<Lanes>> {
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
fn grid(reach: f64, count: i32) -> impl Iterator<Item = f64> + Clone {
    (0..=count).map(move |i| {
        let v = reach * (2.0 * f64::from(i) / f64::from(count) - 1.0);
        (v * 256.0).round() / 256.0 + 1.0 / 512.0
    })
}

/// Below, at and above a point, and another one: lanes that mix would be seen.
fn around(v: f64, h: f64, other: f64) -> Lanes {
    [v - h, v, v + h, other]
}

/// Differences that say something, and those at a kink, which say nothing.
#[derive(Default)]
struct Smooth {
    compared: usize,
    kinks: usize,
}

impl Smooth {
    /// Whether the next derivative is near the same on both sides: a kink between them makes it jump by a multiple of 1.
    fn is(&mut self, above: f64, below: f64) -> bool {
        let smooth = (above - below).abs() <= 1.0 / 8.0;
        *(if smooth { &mut self.compared } else { &mut self.kinks }) += 1;
        smooth
    }

    /// Fails where kinks are more than there can be.
    fn finish(&self, name: &str, total: usize) {
        assert_eq!(self.compared + self.kinks, total, "{name}");
        assert!(self.kinks * 20 <= total, "{name}: {} of {total} differences are at kinks", self.kinks);
    }
}

const LOSS_FIELDS: [&str; 6] = ["value", "d1", "d2", "d3", "d1_by_target", "gap"];

fn losses() -> Vec<Loss> {
    Loss::all().into_iter().chain(["huber:0.4", "huber:2.5"].map(|text| text.parse().unwrap())).collect()
}

fn check_losses(arithmetic: Arithmetic) {
    let Some(host) = Host::new() else { return };
    if arithmetic.precision == Precision::F64 && !host.has_f64() {
        return eprintln!("SKIPPED, no 64-bit floats");
    }
    for loss in losses() {
        check_loss(&host, arithmetic, loss);
    }
}

fn check_loss(host: &Host, arithmetic: Arithmetic, loss: Loss) {
    let name = format!("{loss} in {}", arithmetic.precision.name());
    let loss: Loss = arithmetic.entry(loss.name(), &loss.parameters()).parse().unwrap();
    let files = [
        &arithmetic.prelude("LOSS", &loss.parameters()),
        include_str!("../shaders/shared/index.wgsl"),
        arithmetic.transcendental(),
        include_str!("../shaders/shared/log1p_series.wgsl"),
        loss.shader().1,
    ];
    let body = "let r0 = loss_value(p0, p1.x);\nlet r1 = loss_d1(p0, p1.x);\nlet r2 = loss_d2(p0, p1.x);\n\
                let r3 = loss_d3(p0, p1.x);\nlet r4 = loss_d1_by_target(p0, p1.x);\nlet r5 = loss_gap(p0, p1.x, p2);";
    let kernel = Kernel::new(host, arithmetic, &files, body, (3, LOSS_FIELDS.len()));
    let h = arithmetic.h;
    let targets = if loss.classes() { vec![-1.0, 1.0] } else { vec![-0.75, 0.0, 1.25] };
    // At each point the target is moved as well: below, not at all, above.
    let points: Vec<Vec<Lanes>> = targets
        .iter()
        .flat_map(|y| grid(8.0, 300).map(move |z| (*y, z)))
        .flat_map(|(y, z)| [y - h, y, y + h].map(|y| (y, z)))
        .map(|(y, z)| vec![around(z, h, 0.5 - 0.75 * z), [y; 4], [0.25, 0.75, 1.0, 0.5]])
        .collect();
    let results = kernel.run(&points);
    let mut report = Report::default();
    for (point, result) in points.iter().zip(&results) {
        for lane in 0..4 {
            check_loss_point(&mut report, (&name, arithmetic, loss), point, result, lane);
        }
    }
    let mut smooth = [Smooth::default(), Smooth::default()];
    for (point, result) in points.chunks_exact(3).zip(results.chunks_exact(3)) {
        let [below, at, above] = result else { unreachable!() };
        let mut same = |what: &str, derivative: f64, above: f64, below: f64| {
            report.check(&name, arithmetic.near(derivative, above, below), || {
                let difference = (above - below) / (2.0 * h);
                format!("{what} at {point:?}: {derivative} is not the difference {difference}")
            });
        };
        if smooth[0].is(at[2][2], at[2][0]) {
            same("d1", at[1][1], at[0][2], at[0][0]);
            same("d2", at[2][1], at[1][2], at[1][0]);
            same("d3", at[3][1], at[2][2], at[2][0]);
        }
        if !loss.classes() && smooth[1].is(above[2][1], below[2][1]) {
            same("d1_by_target", at[4][1], above[1][1], below[1][1]);
        }
    }
    smooth[0].finish(&name, points.len() / 3);
    smooth[1].finish(&name, if loss.classes() { 0 } else { points.len() / 3 });
    // All fields but the derivative by a class label, at every point, then three or four differences.
    let fields = if loss.classes() { 5 } else { 6 };
    report.finish(4 * fields * points.len() + 3 * smooth[0].compared + smooth[1].compared);
}

/// Compares a lane of a point with the Rust functions.
fn check_loss_point(
    report: &mut Report,
    (name, arithmetic, loss): (&str, Arithmetic, Loss),
    point: &[Lanes],
    result: &[Lanes],
    lane: usize,
) {
    let [z, y, scale] = [point[0][lane], point[1][lane], point[2][lane]];
    type Of<'a> = &'a dyn Fn(&[f64]) -> f64;
    let fields: [Of<'_>; 6] = [
        &|at| loss.value(at[0], at[1]),
        &|at| loss.d1(at[0], at[1]),
        &|at| loss.d2(at[0], at[1]),
        &|at| loss.d3(at[0], at[1]),
        &|at| loss.d1_by_target(at[0], at[1]),
        &|at| loss.gap(at[0], at[1], at[2]),
    ];
    for (field, of) in fields.into_iter().enumerate() {
        if LOSS_FIELDS[field] == "d1_by_target" && loss.classes() {
            continue;
        }
        // The terms of a gap are as large as the value and the slope times the prediction.
        let size = 1.0 + if field == 5 { loss.value(z, y) + (loss.d1(z, y) * z).abs() } else { 0.0 };
        let at = if field == 5 { vec![z, y, scale.min(1.0)] } else { vec![z, y] };
        let got = result[field][lane];
        // A scale above 1 is none.
        let of = |at: &[f64]| if field == 5 { of(&[at[0], at[1], at[2].min(1.0)]) } else { of(at) };
        report.check(name, arithmetic.accepts(got, &of, &at, size), || {
            format!("{} at z = {z}, y = {y}, scale {scale}: {got}, in Rust {}", LOSS_FIELDS[field], of(&at))
        });
    }
}

#[test]
fn losses_in_f32() {
    check_losses(F32);
}

#[test]
fn losses_in_f64() {
    check_losses(F64);
}

/// Far from the origin nothing overflows.
#[test]
fn losses_are_finite_far_away() {
    let Some(host) = Host::new() else { return };
    for loss in losses() {
        let files = [
            &F32.prelude("LOSS", &loss.parameters()),
            include_str!("../shaders/shared/index.wgsl"),
            F32.transcendental(),
            include_str!("../shaders/shared/log1p_series.wgsl"),
            loss.shader().1,
        ];
        let body = "let r0 = loss_value(p0, p1.x);\nlet r1 = loss_d1(p0, p1.x);\nlet r2 = loss_d2(p0, p1.x);\n\
                    let r3 = loss_d3(p0, p1.x);\nlet r4 = loss_gap(p0, p1.x, p2);";
        let far = [-1e4, -200.0, 200.0, 1e4];
        let points: Vec<Vec<Lanes>> = [-1.0, 1.0].map(|y| vec![far, [y; 4], [0.5; 4]]).to_vec();
        for (point, result) in points.iter().zip(Kernel::new(&host, F32, &files, body, (3, 5)).run(&points)) {
            for lane in 0..4 {
                let (z, y) = (point[0][lane], point[1][0]);
                assert!(result.iter().all(|field| field[lane].is_finite()), "{loss} at {z}: {result:?}");
                let near = |got: f64, expected: f64| (got - expected).abs() <= 1e-6 * expected.abs().max(1.0);
                assert!(near(result[0][lane], loss.value(z, y)), "{loss} at {z}: {result:?}");
                assert!(near(result[1][lane], loss.d1(z, y)), "{loss} at {z}: {result:?}");
            }
        }
    }
}

const PENALTY_FIELDS: [&str; 8] =
    ["value", "prox", "prox by input", "prox by l1", "prox by l2", "is_active", "dual_ratio", "gap"];

/// Strengths l1 and l2, exact in f32.
const STRENGTHS: [(f64, f64); 5] = [(0.375, 0.0), (0.25, 0.875), (0.75, 0.1875), (0.0, 0.5), (0.0, 0.0)];
const STEP: f64 = 0.5;

fn penalties() -> Vec<Penalty> {
    let further = ["box:-0.5:0.7", "box:0:inf", "box:-inf:0.3"].map(|text| text.parse().unwrap());
    Penalty::all().into_iter().chain(further).collect()
}

fn check_penalties(arithmetic: Arithmetic) {
    let Some(host) = Host::new() else { return };
    if arithmetic.precision == Precision::F64 && !host.has_f64() {
        return eprintln!("SKIPPED, no 64-bit floats");
    }
    for penalty in penalties() {
        check_penalty(&host, arithmetic, penalty);
    }
}

/// What is moved besides the input, by multiples of the width: the step, l1, l2.
const MOVES: [(f64, f64, f64); 7] = [
    (0.0, 0.0, 0.0),
    (-1.0, 0.0, 0.0),
    (1.0, 0.0, 0.0),
    (0.0, -1.0, 0.0),
    (0.0, 1.0, 0.0),
    (0.0, 0.0, -1.0),
    (0.0, 0.0, 1.0),
];

/// Inputs of an invocation: input, step, l1 and l2 of the proximal map, an iterate and a dual point.
fn penalty_point(arithmetic: Arithmetic, penalty: Penalty, w: f64, at: (f64, f64, f64)) -> Vec<Lanes> {
    let (step, l1, l2) = at;
    let inputs = around(w, arithmetic.h, 0.5 - 0.75 * w);
    // What a proximal map gives is where the penalty is finite; its neighbours are where they are active.
    let x = arithmetic.rounded(penalty.prox(w, STEP, l1, l2).value);
    let x = around(x, arithmetic.h, arithmetic.rounded(penalty.prox(inputs[3], STEP, l1, l2).value));
    let dual = |v: f64| {
        let ratio = penalty.dual_ratio(v, l1, l2);
        arithmetic.rounded(if ratio > 1.0 && ratio.is_finite() { v / ratio } else { v })
    };
    vec![inputs, [step; 4], [l1; 4], [l2; 4], x, inputs.map(|v| dual(-0.75 * v))]
}

fn check_penalty(host: &Host, arithmetic: Arithmetic, penalty: Penalty) {
    let name = format!("{penalty} in {}", arithmetic.precision.name());
    let penalty: Penalty = arithmetic.entry(penalty.name(), &penalty.parameters()).parse().unwrap();
    let text = penalty.shader().1;
    let files = [
        &arithmetic.prelude("PENALTY", &penalty.parameters()),
        include_str!("../shaders/shared/index.wgsl"),
        include_str!("../shaders/shared/prox.wgsl"),
        text,
    ];
    // A penalty that is not convex has no dual.
    let has_dual = text.contains("fn penalty_gap(");
    let dual = if has_dual {
        "let r6 = penalty_dual_ratio(p5, p2, p3);\nlet r7 = penalty_gap(p4, p5, p2, p3);"
    } else {
        "let r6 = real4();\nlet r7 = real4();"
    };
    let body = format!(
        "let r0 = penalty_value(p4, p2, p3);\nlet prox = penalty_prox(p0, p1, p2, p3);\nlet r1 = prox.value;\n\
         let r2 = prox.by_input;\nlet r3 = prox.by_l1;\nlet r4 = prox.by_l2;\n\
         let r5 = ones_where(penalty_is_active(p4));\n{dual}"
    );
    let kernel = Kernel::new(host, arithmetic, &files, &body, (6, PENALTY_FIELDS.len()));
    let h = arithmetic.h;
    let points: Vec<Vec<Lanes>> = STRENGTHS
        .iter()
        .flat_map(|strength| grid(3.0, 60).map(move |w| (strength, w)))
        .flat_map(|((l1, l2), w)| MOVES.map(|(s, a, b)| (w, (STEP + s * h, l1 + a * h, l2 + b * h))))
        .map(|(w, at)| penalty_point(arithmetic, penalty, w, at))
        .collect();
    let results = kernel.run(&points);
    let mut report = Report::default();
    let mut counts = [0; PENALTY_FIELDS.len()];
    for (point, result) in points.iter().zip(&results) {
        for lane in 0..4 {
            check_penalty_point(
                &mut report,
                (&name, arithmetic, penalty),
                (point, result, lane),
                has_dual,
                &mut counts,
            );
        }
    }
    // The proximal map at every point; the others where they are defined, which is not everywhere.
    assert!(counts[1..5].iter().all(|c| *c == 4 * points.len()), "{name}: {counts:?}");
    assert!(counts[0] >= points.len() && counts[5] >= points.len(), "{name}: {counts:?}");
    assert!(!has_dual || counts[6] >= points.len(), "{name}: {counts:?}");
    assert!(!has_dual || penalty.name() == "none" || counts[7] >= points.len() / 8, "{name}: {counts:?}");
    let differences = check_penalty_differences(&mut report, (&name, arithmetic, penalty), &points, &results);
    report.finish(counts.iter().sum::<usize>() + differences);
}

/// Compares a lane of a point with the Rust functions.
fn check_penalty_point(
    report: &mut Report,
    (name, arithmetic, penalty): (&str, Arithmetic, Penalty),
    (point, result, lane): (&[Lanes], &[Lanes], usize),
    has_dual: bool,
    counts: &mut [usize; 8],
) {
    let [w, step, l1, l2, x, v] = std::array::from_fn(|i| point[i][lane]);
    // A strength is not negative; moved from 0 it is, and only the proximal map goes on.
    let strengths = l1 >= 0.0 && l2 >= 0.0;
    // Where the penalty is finite, as far as can be seen from outside: where a proximal map leaves its input.
    let inside = penalty.prox(x, 1e-12, 0.0, 0.0).value == x;
    let ratio = if has_dual { penalty.dual_ratio(v, l1, l2) } else { f64::NAN };
    let dual = has_dual && strengths && (ratio.is_finite() || (l1 > 0.0 && !ratio.is_nan()));
    let feasible = dual && ratio <= 1.0 + 8.0 * arithmetic.epsilon && inside;
    type Of<'a> = &'a dyn Fn(&[f64]) -> f64;
    let prox = |at: &[f64]| penalty.prox(at[0], at[1], at[2], at[3]);
    let fields: [(bool, Vec<f64>, f64, Of<'_>); 8] = [
        (strengths && inside, vec![x, l1, l2], 1.0, &|at| penalty.value(at[0], at[1], at[2])),
        (true, vec![w, step, l1, l2], 1.0, &|at| prox(at).value),
        (true, vec![w, step, l1, l2], 1.0, &|at| prox(at).by_input),
        (true, vec![w, step, l1, l2], 1.0, &|at| prox(at).by_l1),
        (true, vec![w, step, l1, l2], 1.0, &|at| prox(at).by_l2),
        (inside, vec![], 0.0, &|_| f64::from(u8::from(penalty.is_active(x)))),
        (dual, vec![v, l1, l2], 1.0, &|at| penalty.dual_ratio(at[0], at[1], at[2]).min(arithmetic.max)),
        (feasible, vec![x, v, l1, l2], 1.0 + (x * v).abs(), &|at| penalty.gap(at[0], at[1], at[2], at[3])),
    ];
    for (field, (defined, at, size, of)) in fields.into_iter().enumerate() {
        if defined {
            let got = result[field][lane];
            counts[field] += 1;
            report.check(name, arithmetic.accepts(got, of, &at, size), || {
                format!(
                    "{} at {:?}: {got}, in Rust {}",
                    PENALTY_FIELDS[field],
                    point.iter().map(|p| p[lane]).collect::<Vec<_>>(),
                    of(&at)
                )
            });
        }
    }
}

/// Compares partial derivatives of the proximal map with differences of it, and the map with the slope of the penalty:
/// `(w − x) / step = g'(x)`. Returns how many were compared.
fn check_penalty_differences(
    report: &mut Report,
    (name, arithmetic, penalty): (&str, Arithmetic, Penalty),
    points: &[Vec<Lanes>],
    results: &[Vec<Lanes>],
) -> usize {
    let mut smooth = Smooth::default();
    let (mut total, mut slopes) = (0, 0);
    for (point, result) in points.chunks_exact(MOVES.len()).zip(results.chunks_exact(MOVES.len())) {
        let (point, at) = (&point[0], &result[0]);
        let [w, step, l1, l2, x, _] = std::array::from_fn(|i| point[i][1]);
        let (prox, by_input) = (at[1][1], at[2][1]);
        let by_step = -by_input * (w - prox) / step;
        let of = |i: usize, field: usize| result[i][field][1];
        // What is differentiated by, whether a difference exists, the partial, and the values and slopes on both sides.
        let all = [
            ("input", true, by_input, (at[1][2], at[1][0]), (at[2][2], at[2][0])),
            ("step", true, by_step, (of(2, 1), of(1, 1)), (of(2, 2), of(1, 2))),
            ("l1", l1 > 0.0, at[3][1], (of(4, 1), of(3, 1)), (of(4, 2), of(3, 2))),
            ("l2", l2 > 0.0, at[4][1], (of(6, 1), of(5, 1)), (of(6, 2), of(5, 2))),
        ];
        for (what, exists, partial, values, sides) in all {
            total += usize::from(exists);
            if exists && smooth.is(sides.0, sides.1) {
                report.check(name, arithmetic.near(partial, values.0, values.1), || {
                    format!("prox by {what} at {point:?}: {partial}, values {values:?}")
                });
            }
        }
        // Where the iterate and both its neighbours are active, and on the same side of zero.
        let active = at[5][0] == 1.0 && at[5][1] == 1.0 && at[5][2] == 1.0 && x.abs() > arithmetic.h;
        if active && !penalty.ridge_in_loss() {
            slopes += 1;
            report.check(name, arithmetic.near((w - prox) / step, at[0][2], at[0][0]), || {
                format!("the proximal map at {point:?} gives {prox}, which is not stationary: {at:?}")
            });
        }
    }
    smooth.finish(name, total);
    assert!(penalty.ridge_in_loss() || slopes > STRENGTHS.len() * 8, "{name}: {slopes} slopes");
    smooth.compared + slopes
}

#[test]
fn penalties_in_f32() {
    check_penalties(F32);
}

#[test]
fn penalties_in_f64() {
    check_penalties(F64);
}

/// `exp` and `log(1 + x)`, which WGSL has not in f64, over all that fragments may ask of them.
#[test]
fn transcendental_functions() {
    let Some(host) = Host::new() else { return };
    for arithmetic in [F32, F64] {
        if arithmetic.precision == Precision::F64 && !host.has_f64() {
            eprintln!("SKIPPED, no 64-bit floats");
            continue;
        }
        let files = [
            &arithmetic.prelude("LOSS", &[]),
            arithmetic.transcendental(),
            include_str!("../shaders/shared/log1p_series.wgsl"),
        ];
        let kernel = Kernel::new(
            &host,
            arithmetic,
            &files,
            "let r0 = real_exp(p0);\nlet r1 = real_log1p(p1);",
            (2, 2),
        );
        let reach = if arithmetic.precision == Precision::F32 { 80.0 } else { 700.0 };
        let points: Vec<Vec<Lanes>> = (0..2000)
            .map(|i| {
                let u = f64::from(i) / 2000.0;
                let exponent = |v: f64| arithmetic.rounded(reach * v);
                // From just above -1 over the smallest numbers to large ones.
                let plus =
                    [-1.0 + 1.0 / 64.0 + u, (-40.0 * u).exp(), -(-40.0 * u - 0.02).exp(), (40.0 * u).exp()];
                vec![
                    [2.0 * u - 1.0, 1.0 - u, -u, 0.01 * u].map(exponent),
                    plus.map(|v| arithmetic.rounded(v)),
                ]
            })
            .collect();
        let mut report = Report::default();
        for (point, result) in points.iter().zip(kernel.run(&points)) {
            for lane in 0..4 {
                let (x, y) = (point[0][lane], point[1][lane]);
                let name = arithmetic.precision.name();
                report.check(name, arithmetic.accepts(result[0][lane], &|at| at[0].exp(), &[x], 0.0), || {
                    format!("exp({x}) = {}, {}", x.exp(), result[0][lane])
                });
                // Vulkan allows 2^-21 to the logarithm of f32 near 1, of which the series takes the smaller part.
                let size = if arithmetic.precision == Precision::F32 && y.abs() >= 0.25 { 1.0 } else { 0.0 };
                report.check(
                    name,
                    arithmetic.accepts(result[1][lane], &|at| at[0].ln_1p(), &[y], size),
                    || format!("log1p({y}) = {}, {}", y.ln_1p(), result[1][lane]),
                );
            }
        }
        report.finish(2 * 4 * 2000);
    }
}
