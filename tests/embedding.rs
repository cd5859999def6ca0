//! A sweep on the device of an application: the same bits as the driver's, in the application's own commands.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ndarray::{ArrayD, ArrayView2, Axis};
use proxjet::certificate::{Verdict, certify};
use proxjet::engine::gpu::{GpuContext, GpuEngine, Keep, Session, wgpu};
use proxjet::engine::{Chunk, Status};
use proxjet::error::ErrorKind;
use proxjet::objective::{Derivative, Objective};
use proxjet::program::{Precision, RecordLayout};
use proxjet::schedule::{Algorithm, Metric, Phase, Schedule, Step};
use proxjet::solve::{Sweep, SweepResult};

use crate::common::host::Host;
use crate::common::synthetic;

#[allow(dead_code)]
#[path = "../examples/wgpu.rs"]
mod example;

/// A sweep on the host's device, stepped by the host.
fn open(host: &Host, sweep: &Sweep, keep: Keep) -> Session {
    sweep.clone().session(&mut host.engine(), keep).unwrap()
}

fn problem() -> Objective {
    Objective::builder(synthetic(70, 11, false, 3)).validation(synthetic(20, 11, false, 4)).build().unwrap()
}

fn sweep() -> Sweep {
    let sweep = Sweep::new(problem()).alphas("path:0.01:13".parse().unwrap()).iterations(120).every(7);
    sweep.derivatives([Derivative::LogAlpha, Derivative::Alpha]).precision(Precision::F32)
}

/// Budgets of some frames: from a single iteration to more than a chunk.
fn budget(frame: usize) -> Duration {
    [Duration::ZERO, Duration::from_millis(1), Duration::from_secs(9)][frame % 3]
}

/// Steps a session to its end, one encoder a frame.
fn run(host: &Host, session: &mut Session) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut frame = 0;
    while !session.is_done() {
        let mut encoder = host.encoder();
        session.encode(&mut encoder, budget(frame)).unwrap();
        host.queue.submit([encoder.finish()]);
        session.poll().unwrap();
        chunks.extend(std::iter::from_fn(|| session.collect()));
        frame += 1;
        assert!(frame < 1_000_000, "a session that does not get further: {session:?}");
    }
    session.wait().unwrap();
    chunks.extend(std::iter::from_fn(|| session.collect()));
    chunks
}

/// The same bits in the last state and in how lanes ended.
fn assert_same(session: &mut Session, truth: &SweepResult, name: &str) {
    for (i, (outcome, lane)) in session.outcomes().iter().zip(&truth.lanes).enumerate() {
        let of = (outcome.status, outcome.iterations, outcome.gap);
        assert_eq!(of, (lane.status, lane.iterations, lane.gap), "{name}: lane {i}");
    }
    let last = truth.trace.iteration.len() - 1;
    for (lane, state) in session.read().unwrap().outer_iter().enumerate() {
        assert_state(state, truth, (last, lane), name);
    }
}

/// A lane's `[1 + d, q]` is that of a frame.
fn assert_state(state: ArrayView2<'_, f64>, truth: &SweepResult, (frame, lane): (usize, usize), name: &str) {
    let (_, _, d, p) = truth.trace.dcoef.dim();
    for j in 0..p {
        assert_eq!(state[[0, j]], truth.trace.coef[[frame, lane, j]], "{name}: lane {lane}, coefficient {j}");
        for t in 0..d {
            assert_eq!(
                state[[1 + t, j]],
                truth.trace.dcoef[[frame, lane, t, j]],
                "{name}: lane {lane}, {t}, {j}"
            );
        }
    }
}

#[test]
fn a_session_has_the_bits_of_the_driver() {
    let Some(host) = Host::new() else { return };
    let pgd = || Phase::new(Algorithm::Pgd);
    let steps = ArrayD::from_shape_fn(vec![120, 13], |i| 0.1 + 0.001 * (i[0] + i[1]) as f64);
    let metrics = ArrayD::from_shape_fn(vec![120, 11], |i| 0.5 + 0.03 * ((i[0] + i[1]) % 9) as f64);
    let cases: [(&str, Sweep); 6] = [
        ("fista", sweep().tol(0.0)),
        ("until it converges", sweep().iterations(2000).tol(1e-4)),
        ("a table of steps", sweep().tol(0.0).schedule(pgd().step(Step::Table(steps)))),
        (
            "a table of metrics",
            sweep().tol(0.0).schedule(Schedule::from(pgd()).metric(Metric::Table(metrics))),
        ),
        (
            "hessian",
            sweep().tol(0.0).schedule(Schedule::from(pgd()).metric(Metric::Hessian { every: 5, gain: 1.5 })),
        ),
        (
            "backtracking",
            sweep().tol(0.0).schedule(pgd().step(Step::Backtracking { start: 4.0, shrink: 0.5 })),
        ),
    ];
    for (name, sweep) in cases {
        let truth = sweep.run(&mut host.engine()).unwrap();
        let mut session = open(&host, &sweep, Keep::Nothing);
        assert!(run(&host, &mut session).is_empty(), "{name}: chunks that nobody asked for");
        assert_same(&mut session, &truth, name);
        // The driver on another device of the same adapter.
        let other = sweep.run(&mut GpuEngine::request(proxjet::engine::gpu::Pick::Any).unwrap()).unwrap();
        assert_same(&mut session, &other, name);
    }
    assert!(host.errors.lock().unwrap().is_empty(), "{:?}", host.errors);
}

#[test]
fn f64_is_as_good_where_the_device_has_it() {
    let Some(host) = Host::new() else { return };
    if !host.has_f64() {
        return eprintln!("SKIPPED, no 64-bit floats");
    }
    let sweep = sweep().precision(Precision::F64).tol(0.0);
    let truth = sweep.run(&mut host.engine()).unwrap();
    let mut session = open(&host, &sweep, Keep::Nothing);
    run(&host, &mut session);
    assert_same(&mut session, &truth, "f64");
}

#[test]
fn records_and_frames_come_back_without_waiting() {
    let Some(host) = Host::new() else { return };
    let sweep = sweep().iterations(400).tol(1e-4).keep(Keep::All);
    let truth = sweep.run(&mut host.engine()).unwrap();
    let statuses: Vec<Status> = truth.lanes.iter().map(|l| l.status).collect();
    assert!(statuses.contains(&Status::Converged), "{statuses:?}");
    for keep in [Keep::Records, Keep::Frames, Keep::All] {
        let mut session = open(&host, &sweep, keep);
        let chunks = run(&host, &mut session);
        let (mut records, mut frames) = (0, 0);
        for chunk in &chunks {
            for (i, slot) in chunk.slots.iter().enumerate() {
                for (row, k) in chunk.recorded.iter().enumerate().filter(|(_, k)| **k < slot.iterations()) {
                    let of =
                        [RecordLayout::OBJECTIVE, RecordLayout::CHANGE].map(|f| chunk.records[[row, i, f]]);
                    let at = [slot.first + k, slot.lane];
                    assert_eq!(of, [truth.trace.objective[at], truth.trace.change[at]], "{keep:?}");
                    records += 1;
                }
            }
            for frame in &chunk.frames {
                for ((lane, k), state) in frame.lanes.iter().zip(frame.state.outer_iter()) {
                    let place = truth.trace.iteration.iter().position(|i| i == k).unwrap();
                    assert_state(state, &truth, (place, *lane), "a frame");
                    frames += 1;
                }
            }
        }
        let all = truth.lanes.iter().map(|l| l.iterations).sum::<usize>();
        // Frames, tests, and the ends of chunks.
        let share = if keep == Keep::Frames { 2 } else { 1 };
        assert!(records * share <= all && (share > 1 || records == all), "{keep:?}: {records} of {all}");
        let kept = truth.lanes.iter().map(|l| l.iterations / 7).sum::<usize>();
        assert_eq!(frames, if keep == Keep::Records { 0 } else { kept });
        assert_same(&mut session, &truth, "with its trace");
    }
}

#[test]
fn chunks_that_nobody_collects_hold_the_session_back() {
    let Some(host) = Host::new() else { return };
    let mut session = open(&host, &sweep().tol(0.0), Keep::Records);
    let mut done = 0;
    for _ in 0..40 {
        done += session.submit(Duration::ZERO).unwrap();
        session.wait().unwrap();
    }
    assert_eq!((done, session.iteration(), session.in_flight()), (4, 4, 0));
    assert_eq!(session.collect().unwrap().slots.len(), 13);
    assert_eq!(session.submit(Duration::ZERO).unwrap(), 1);
}

#[test]
fn any_number_of_calls_goes_into_a_submission() {
    let Some(host) = Host::new() else { return };
    let sweep =
        sweep().tol(0.0).schedule(Phase::new(Algorithm::Fista).step("uniform:0.5:1:3".parse().unwrap()));
    let truth = sweep.run(&mut host.engine()).unwrap();
    let mut session = open(&host, &sweep, Keep::Nothing);
    let mut total = 0;
    while !session.is_done() {
        // Two encoders in one submission, and several calls in each.
        let mut encoders = [host.encoder(), host.encoder()];
        for encoder in &mut encoders {
            for _ in 0..4 {
                total += session.encode(encoder, Duration::ZERO).unwrap();
            }
        }
        host.queue.submit(encoders.map(wgpu::CommandEncoder::finish));
        session.wait().unwrap();
    }
    assert_eq!(total, 120);
    assert_same(&mut session, &truth, "several calls");
}

#[test]
fn a_budget_of_nothing_is_an_iteration_and_the_most_is_a_chunk() {
    let Some(host) = Host::new() else { return };
    let mut session = open(&host, &sweep().tol(0.0).chunk(30), Keep::Nothing);
    assert_eq!(session.plan().chunk, 30);
    assert_eq!(session.submit(Duration::ZERO).unwrap(), 1);
    assert_eq!(session.submit(Duration::from_secs(1000)).unwrap(), 30);
    let estimate = session.seconds_per_iteration();
    session.calibrate().unwrap();
    assert_ne!(session.seconds_per_iteration(), estimate);
    // Between the extremes, what fits by the seconds of an iteration.
    let before = session.iteration();
    let asked = session.seconds_per_iteration() * 7 + session.seconds_per_iteration() / 2;
    assert_eq!(session.submit(asked).unwrap(), 7);
    assert_eq!(session.iteration(), before + 7);
    // What is not submitted is bounded.
    let mut encoder = host.encoder();
    let recorded: usize = (0..100).map(|_| session.encode(&mut encoder, Duration::ZERO).unwrap()).sum();
    assert!(recorded <= 16 && session.in_flight() == 16, "{recorded}");
    let unsubmitted = session.read().unwrap_err();
    assert!(unsubmitted.to_string().contains("not submitted yet"), "{unsubmitted}");
    host.queue.submit([encoder.finish()]);
    session.wait().unwrap();
    assert_eq!(session.in_flight(), 0);
    session.read().unwrap();
}

#[test]
fn calibration_measures_the_same_iterations_however_long_the_first_took() {
    let Some(host) = Host::new() else { return };
    let long = sweep().iterations(1000);
    // A test of the stop rule, one more iteration for the other buffer, and twice the measured iterations.
    let cases = [
        ("a test every 10", long.clone().tol(1e-12), 11 + 2 * 10),
        ("a test every 40", long.clone().tol(1e-12).check_every(40), 41 + 2 * 16),
        ("a test at the end", long.clone().tol(0.0), 2 + 2 * 16),
        ("chunks shorter than the period", long.clone().tol(1e-12).chunk(4), 11 + 2 * 4),
        ("no more iterations than that", sweep().iterations(5).tol(0.0), 5),
    ];
    for (name, sweep, iterations) in cases {
        for keep in [Keep::Nothing, Keep::Records] {
            let mut session = open(&host, &sweep, keep);
            let clock = std::time::Instant::now();
            session.calibrate().unwrap();
            assert_eq!((session.iteration(), session.in_flight()), (iterations, 0), "{name}, {keep:?}");
            // The measured iterations are part of what it waited for; the shorter round is half of them.
            let measured = (iterations / 2).min(16) as u32;
            let rounds = session.seconds_per_iteration() * 2 * measured.min(4);
            assert!(iterations == 5 || rounds <= clock.elapsed(), "{name}, {keep:?}: {session:?}");
            let kept = std::iter::from_fn(|| session.collect()).map(|c| c.records.dim().0).sum::<usize>();
            assert_eq!(kept, if keep == Keep::Records { iterations } else { 0 }, "{name}");
        }
    }
}

#[test]
fn the_example_sums_what_the_library_reads() {
    if Host::new().is_none() {
        return;
    }
    let mut frames = 0;
    example::run(|session, sums| {
        let state = session.read().unwrap();
        for (lane, sum) in sums.iter().enumerate() {
            let expected: f64 = state.index_axis(ndarray::Axis(0), lane).row(0).iter().map(|v| v.abs()).sum();
            assert!((f64::from(*sum) - expected).abs() <= 1e-5 * expected, "lane {lane}: {sum}, {expected}");
        }
        assert!(sums[sums.len() - 1] > 100.0, "{sums:?}");
        frames += 1;
    })
    .unwrap();
    assert!(frames > 1);
}

#[test]
fn the_hosts_shader_reads_the_state() {
    let Some(host) = Host::new() else { return };
    let mut session = open(&host, &sweep().tol(0.0), Keep::Nothing);
    let layout = session.layout();
    let count = layout.rows * layout.lanes * (1 + layout.tangents);
    let source = format!(
        "{}
        @group(0) @binding(0) var<storage, read> state: array<StateElement>;
        @group(0) @binding(1) var<storage, read_write> out: array<f32>;
        @compute @workgroup_size(1) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
            let at = (id.x * (1u + STATE_TANGENTS) + id.y) * STATE_ROWS + id.z;
            out[at] = state[state_index(id.z, id.x, id.y)];
        }}",
        layout.wgsl()
    );
    let pipeline = host.pipeline(source);
    let buffer = |usage| host.buffer(4 * count, usage);
    let out = buffer(wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC);
    let readable = buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
    let groups = session.buffers().map(|state| host.group(&pipeline, &[state, &out]));
    for iterations in [1, 2] {
        // The solver and the host's shader in the same commands.
        let mut encoder = host.encoder();
        assert_eq!(session.encode(&mut encoder, Duration::ZERO).unwrap(), 1);
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &groups[session.current()], &[]);
        pass.dispatch_workgroups(layout.lanes as u32, 1 + layout.tangents as u32, layout.rows as u32);
        drop(pass);
        encoder.copy_buffer_to_buffer(&out, 0, &readable, 0, 4 * count as u64);
        host.queue.submit([encoder.finish()]);
        readable.map_async(wgpu::MapMode::Read, .., |_| ());
        session.wait().unwrap();
        let seen: Vec<f32> = bytemuck::pod_collect_to_vec(&readable.get_mapped_range(..).unwrap());
        readable.unmap();
        let truth = sweep().tol(0.0).iterations(iterations).run(&mut host.engine()).unwrap().trace;
        for lane in 0..layout.lanes {
            for row in 0..layout.rows {
                let at =
                    |tangent| f64::from(seen[(lane * (1 + layout.tangents) + tangent) * layout.rows + row]);
                let last = truth.iteration.len() - 1;
                assert_eq!(at(0), truth.coef[[last, lane, row]]);
                assert_eq!(at(1), truth.dcoef[[last, lane, 0, row]]);
                assert_eq!(at(2), truth.dcoef[[last, lane, 1, row]]);
            }
        }
    }
}

#[test]
fn the_hosts_handlers_stay_the_hosts() {
    let Some(host) = Host::new() else { return };
    let lost = Arc::new(Mutex::new(0));
    let counted = lost.clone();
    host.device.set_device_lost_callback(move |_, _| *counted.lock().unwrap() += 1);
    let mut session = open(&host, &sweep().tol(0.0), Keep::Frames);
    run(&host, &mut session);
    sweep().run_with(&mut host.engine(), |_, _| ControlFlow::Continue(())).unwrap();
    assert!(host.errors.lock().unwrap().is_empty());
    // An error of the host's own still reaches it.
    let _ = host.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("the host's mistake"),
        size: 16,
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    assert!(host.errors.lock().unwrap()[0].contains("the host's mistake"), "{:?}", host.errors);
    drop(session);
    host.device.destroy();
    let _ = host.device.poll(wgpu::PollType::wait_indefinitely());
    assert_eq!(*lost.lock().unwrap(), 1);
}

#[test]
fn commands_that_were_dropped_or_swapped_are_found_out() {
    let Some(host) = Host::new() else { return };
    let mut session = open(&host, &sweep().tol(0.0), Keep::Nothing);
    let mut encoder = host.encoder();
    session.encode(&mut encoder, Duration::ZERO).unwrap();
    drop(encoder);
    let dropped = session.submit(Duration::ZERO).unwrap_err();
    assert!(dropped.to_string().contains("recorded commands that were dropped"), "{dropped}");
    // It stays so.
    assert_eq!(session.poll().unwrap_err().to_string(), dropped.to_string());

    let mut session = open(&host, &sweep().tol(0.0), Keep::Nothing);
    let mut encoders = [host.encoder(), host.encoder()];
    session.encode(&mut encoders[0], Duration::ZERO).unwrap();
    session.encode(&mut encoders[1], session.seconds_per_iteration() * 7 / 2).unwrap();
    let [first, second] = encoders;
    host.queue.submit([second.finish(), first.finish()]);
    let swapped = session.wait().unwrap_err();
    assert!(swapped.to_string().contains("lane 0 after 4 of 1 iterations"), "{swapped}");
}

#[test]
fn a_lost_device_is_an_error_and_nothing_hangs() {
    let Some(host) = Host::new() else { return };
    let mut session = open(&host, &sweep().tol(0.0).iterations(100_000), Keep::Nothing);
    session.submit(Duration::from_millis(1)).unwrap();
    session.wait().unwrap();
    host.device.destroy();
    let mut error = None;
    for _ in 0..20 {
        let mut encoder = host.encoder();
        match session.encode(&mut encoder, Duration::from_millis(1)) {
            Ok(_) => host.queue.submit([encoder.finish()]),
            Err(e) => {
                error = Some(e);
                break;
            }
        };
        let _ = session.poll();
    }
    let error = error.expect("the loss is noticed");
    assert_eq!(error.kind, ErrorKind::Device, "{error}");
    // The engine of a driver does not replace a device that is not its own.
    let error = sweep().run(&mut host.engine()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Device, "{error}");
}

#[test]
fn what_cannot_run_is_refused() {
    let Some(host) = Host::new() else { return };
    let engine = &mut host.engine();
    let plan = sweep().plan(engine).unwrap();
    let small = sweep().memory_budget(plan.device_bytes - 1);
    let error = small.session(engine, Keep::Frames).expect_err("lanes would take turns");
    assert_eq!(error.kind, ErrorKind::Memory, "{error}");
    assert!(error.to_string().contains("13 lanes, of which"), "{error}");
    let bad = sweep().iterations(0).session(engine, Keep::Nothing).expect_err("no iterations");
    assert_eq!(bad.kind, ErrorKind::Usage, "{bad}");

    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapter =
        pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default())).unwrap();
    let limits = wgpu::Limits { max_storage_buffers_per_shader_stage: 4, ..wgpu::Limits::defaults() };
    let descriptor = wgpu::DeviceDescriptor { required_limits: limits, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
    let error = GpuContext::from_device(device, queue, adapter.get_info()).expect_err("too few bindings");
    assert!(error.to_string().contains("4 storage buffers per stage"), "{error}");
}

/// A session has the certificates of a sweep, which certifies the same states.
#[test]
fn the_lanes_of_a_session_are_certified() {
    let Some(host) = Host::new() else { return };
    let sweep = sweep().iterations(9).tol(1e-6);
    let truth = sweep.run(&mut host.engine()).unwrap();
    let mut session = open(&host, &sweep, Keep::Nothing);
    run(&host, &mut session);
    let states = session.read().unwrap();
    let certified = certify(&session.job().job(), states.view()).unwrap();
    assert_eq!(certified.len(), truth.lanes.len());
    let (mut same, mut green) = (0, 0);
    for (lane, (certificate, polished)) in certified.iter().enumerate() {
        let (fit, polished) = (truth.lane(lane), polished.as_ref().unwrap());
        for (j, coef) in fit.coef().iter().enumerate() {
            let found = polished[[0, j]];
            assert!((found - coef).abs() <= 1e-9 * (1.0 + coef.abs()), "lane {lane}, {j}: {found} {coef}");
        }
        let of_sweep = truth.lanes[lane].certificate.as_ref().unwrap();
        // A lane that ends before, the sweep may have iterated further.
        if truth.lanes[lane].status == Status::MaxIterations {
            assert_eq!(certificate, of_sweep, "lane {lane}");
            same += 1;
        }
        green += usize::from(certificate.verdict == Verdict::Green);
    }
    assert!(same > 3 && green > 9, "{same} {green}");
    let error = certify(&session.job().job(), states.slice_axis(Axis(0), (..2).into())).unwrap_err();
    assert!(error.to_string().contains("2 x 3 x"), "{error}");

    let mut job = session.job().clone();
    job.tol = 0.0;
    let error = certify(&job.job(), states.view()).unwrap_err();
    assert!(error.to_string().contains("a tolerance of 0"), "{error}");
    // Of a derivative by the step there is no polished value.
    (job.tol, job.derivatives[1]) = (1e-6, Derivative::LogStep);
    let certified = certify(&job.job(), states.view()).unwrap();
    assert!(certified.iter().all(|(of, polished)| of.polished.is_none() && polished.is_none()));
}
