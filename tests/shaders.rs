//! Every kernel of every case is valid WGSL: for naga always, for tint where it is installed (f32, as it has
//! no f64); and a kernel does with its buffers what its pass says. No GPU is needed.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use ndarray::{Array1, ArrayD};
use proxjet::engine::gpu::{Composed, DeviceKind, compose};
use proxjet::objective::{Derivative, Loss, Objective, Penalty};
use proxjet::program::{Access, Limits, Pass, Plan, Precision, Request, Strategy};
use proxjet::schedule::{Algorithm, Metric, Phase, Restart, Schedule, Step, TangentStart, Until};
use proxjet::solve::{Alphas, Sweep};

use crate::common::cases::{sparse, thinned};
use crate::common::synthetic;

const KINDS: [DeviceKind; 3] = [DeviceKind::Software, DeviceKind::Integrated, DeviceKind::Discrete];
const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::F64];
const LANES: usize = 5;
const ITERATIONS: usize = 100;

/// A sweep, and what its request says otherwise.
struct Case {
    name: String,
    sweep: Sweep,
    change: fn(Request) -> Request,
}

fn case(name: &str, sweep: Sweep) -> Case {
    Case { name: name.into(), sweep, change: |r| r }
}

fn sweep(problem: Objective) -> Sweep {
    let uses_alpha = problem.penalty().uses_alpha();
    let sweep = Sweep::new(problem).alphas(Alphas::List(vec![0.1; LANES])).iterations(ITERATIONS);
    if uses_alpha { sweep } else { sweep.derivatives([Derivative::LogStep]).algorithm(Algorithm::Pgd) }
}

fn problem(loss: Loss, penalty: Penalty) -> Objective {
    let data = synthetic(45, 11, loss.classes(), 1);
    Objective::builder(data).loss(loss).penalty(penalty).build().unwrap()
}

fn lasso() -> Sweep {
    sweep(problem(Loss::squared(), Penalty::l1()))
}

fn logistic() -> Sweep {
    sweep(problem(Loss::logistic(), Penalty::elastic_net())).l1_ratio(0.4)
}

fn of_size(rows: usize, features: usize) -> Sweep {
    sweep(Objective::builder(synthetic(rows, features, false, 2)).build().unwrap())
}

/// Short and long lines, with held-out rows.
fn of_sparse(loss: Loss, d: usize) -> Sweep {
    let data = |rows: usize| sparse(&thinned(&synthetic(rows, 30, loss.classes(), 3)));
    let problem = Objective::builder(data(2000)).loss(loss).validation(data(20)).build().unwrap();
    sweep(problem).derivatives(vec![Derivative::LogAlpha; d])
}

fn validated() -> Sweep {
    let builder = Objective::builder(synthetic(45, 11, true, 3)).loss(Loss::logistic());
    let factors = Array1::linspace(0.5, 1.5, 11);
    sweep(builder.penalty_factors(factors).validation(synthetic(7, 11, true, 4)).build().unwrap())
}

/// `d` derivatives, of all kinds that follow each other.
fn tangents(d: usize) -> Vec<Derivative> {
    let direction = Array1::linspace(-1.0, 1.0, 45).to_vec();
    let kinds = [
        Derivative::LogAlpha,
        Derivative::PenaltyFactor(3),
        Derivative::Target(direction.into_iter().collect()),
        Derivative::LogStep,
        Derivative::Step(2),
        Derivative::Momentum(3),
    ];
    kinds.into_iter().cycle().take(d).collect()
}

/// Every loss with every penalty, then every setting that composes other kernels.
fn cases() -> Vec<Case> {
    let pairs = Loss::all().into_iter().flat_map(|l| Penalty::all().into_iter().map(move |p| (l, p)));
    let mut list: Vec<Case> = pairs.map(|(l, p)| case(&format!("{l} + {p}"), sweep(problem(l, p)))).collect();
    for strategy in Strategy::ALL {
        for d in [0, 2, 3, 9] {
            let sweep = lasso().derivatives(tangents(d)).strategy(Some(strategy));
            list.push(case(&format!("{strategy}, {d} tangents"), sweep));
        }
        let restarts = Phase::new(Algorithm::Fista).restart(Restart::Gradient);
        let sweep = lasso().schedule(restarts).strategy(Some(strategy));
        list.push(case(&format!("{strategy}, restart"), sweep));
        list.push(Case {
            name: format!("{strategy}, no dual"),
            sweep: lasso().strategy(Some(strategy)),
            change: |r| Request { has_dual: false, ..r },
        });
    }
    list.extend(schedules());
    list.extend(schedules().into_iter().map(|case| Case {
        name: format!("folds, {}", case.name),
        change: |r| Request { folds: 3, ..r },
        ..case
    }));
    let parts = |d: usize| of_size(2, 2060).derivatives(vec![Derivative::LogAlpha; d]);
    let sets = |d: usize| of_size(300, 260).derivatives(vec![Derivative::LogAlpha; d]);
    for d in [0, 1, 3] {
        list.push(case(&format!("active sets, {d} tangents"), sets(d).strategy(Some(Strategy::Direct))));
    }
    for (name, sweep) in [
        ("split predictions", parts(1)),
        ("split gradients", of_size(2060, 2)),
        ("many rows", of_size(1500, 11)),
        ("held-out rows", validated()),
        ("sparse", of_sparse(Loss::squared(), 1)),
        ("sparse, centred", of_sparse(Loss::logistic(), 3)),
        ("sparse, 9 tangents", of_sparse(Loss::logistic(), 9)),
        ("sparse, metric", of_sparse(Loss::logistic(), 1).metric(Metric::Hessian { every: 5, gain: 1.0 })),
        ("held-out rows, 9 tangents", validated().derivatives(vec![Derivative::LogAlpha; 9])),
    ] {
        list.push(case(name, sweep.strategy(Some(Strategy::Direct))));
    }
    list
}

/// Schedules and metrics that compose other kernels.
fn schedules() -> Vec<Case> {
    let table = |shape: &[usize]| ArrayD::from_elem(shape, 0.5);
    let step = |step: Step| logistic().algorithm(Algorithm::Pgd).step(step);
    let metric = |metric: Metric| logistic().algorithm(Algorithm::Pgd).metric(metric);
    let first: Schedule = Phase::new(Algorithm::Pgd).until(Until::Identified).into();
    let phases = first.then(Phase::new(Algorithm::Fista));
    vec![
        case("step table", step(Step::Table(table(&[ITERATIONS, LANES])))),
        case("backtracking", step(Step::Backtracking { start: 4.0, shrink: 0.5 })),
        case("barzilai_borwein", step(Step::BarzilaiBorwein { high: 20.0 })),
        case("metric of the Hessian", metric(Metric::Hessian { every: 5, gain: 1.9 })),
        case("metric table", metric(Metric::Table(table(&[ITERATIONS, 11])))),
        case("metric table of lanes", metric(Metric::Table(table(&[ITERATIONS, LANES, 11])))),
        case("fixed metric", metric(Metric::Table(table(&[11])))),
        case("tangents from identification", logistic().tangent_start(TangentStart::Identified)),
        case("phases", logistic().schedule(phases)),
    ]
}

/// The plan of a case on a kind of device, as if there were much to compute: that is where tiles are large.
fn plan(case: &Case, kind: DeviceKind, precision: Precision) -> (Plan, Vec<Composed>) {
    let prepared = case.sweep.prepare().unwrap();
    let request = Request { precision, ..(case.change)(case.sweep.request(&prepared)) };
    let limits = Limits { storage_buffers: 16, workgroup_bytes: 48 << 10, ..Limits::of_gpu(kind, precision) };
    let plan = Plan::new(request, &limits).unwrap_or_else(|e| panic!("{}: {e}", case.name));
    let shaders = compose(&plan, &prepared.job(case.sweep.problem(), 1e-7));
    assert_eq!(shaders.len(), plan.program.passes.len());
    (plan, shaders)
}

fn validate(shader: &Composed) -> Result<(naga::Module, naga::valid::ModuleInfo), String> {
    let module = naga::front::wgsl::parse_str(&shader.source).map_err(|e| {
        let line = e.location(&shader.source).map_or(0, |l| l.line_number as usize);
        format!("{}: {}", shader.locate(line), e.message())
    })?;
    let capabilities = naga::valid::Capabilities::FLOAT64;
    let info = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities)
        .validate(&module)
        .map_err(|e| format!("{}: {:?}", shader.name, e.into_inner()))?;
    Ok((module, info))
}

/// A kernel declares the buffers of its pass in their order, and does with each what the pass says.
fn check_bindings(pass: &Pass, module: &naga::Module, info: &naga::valid::ModuleInfo) {
    use naga::valid::GlobalUse;
    let usage = info.get_entry_point(0);
    let mut storage = Vec::new();
    for (handle, variable) in module.global_variables.iter() {
        if matches!(variable.space, naga::AddressSpace::Storage { .. }) {
            let place = variable.binding.as_ref().unwrap().binding as usize;
            storage.push((place, variable.name.clone().unwrap(), usage[handle]));
        }
    }
    storage.sort_by_key(|(place, ..)| *place);
    assert_eq!(storage.len(), pass.bindings.len(), "{}", pass.kernel);
    for (binding, (_, name, used)) in pass.bindings.iter().zip(storage) {
        assert_eq!(name, binding.variable, "{}", pass.kernel);
        let expected = match binding.access {
            Access::Read => GlobalUse::READ,
            Access::Write => GlobalUse::WRITE,
            Access::ReadWrite => GlobalUse::READ | GlobalUse::WRITE,
        };
        // The length of an array is asked for by nobody.
        assert_eq!(used, expected, "{}: {name}", pass.kernel);
    }
}

/// Drivers may pack neighbouring bools of workgroup memory into a word, whose store by one invocation undoes
/// another's: NVIDIA's does.
fn check_workgroup_memory(module: &naga::Module, name: &str) {
    let shared = module.global_variables.iter().filter(|(_, v)| v.space == naga::AddressSpace::WorkGroup);
    for (_, variable) in shared {
        let of_bools = holds_bools(module, variable.ty);
        assert!(!of_bools, "{name}: bools in workgroup memory, {:?}", variable.name);
    }
}

fn holds_bools(module: &naga::Module, of: naga::Handle<naga::Type>) -> bool {
    match &module.types[of].inner {
        naga::TypeInner::Scalar(scalar) | naga::TypeInner::Vector { scalar, .. } => {
            scalar.kind == naga::ScalarKind::Bool
        }
        naga::TypeInner::Array { base, .. } => holds_bools(module, *base),
        naga::TypeInner::Struct { members, .. } => members.iter().any(|m| holds_bools(module, m.ty)),
        _ => false,
    }
}

#[test]
fn naga_accepts_every_kernel_and_passes_say_what_kernels_do() {
    let (mut seen, mut used, mut kernels) = (BTreeSet::new(), BTreeSet::new(), 0);
    for case in cases() {
        for (kind, precision) in KINDS.into_iter().flat_map(|k| PRECISIONS.map(|p| (k, p))) {
            let (plan, shaders) = plan(&case, kind, precision);
            for (pass, shader) in plan.program.passes.iter().zip(&shaders) {
                used.extend(shader.files().map(str::to_string));
                if !seen.insert(shader.source.clone()) {
                    continue;
                }
                let name = format!("{}, {kind:?}, {precision:?}", case.name);
                let (module, info) = validate(shader).unwrap_or_else(|e| panic!("{name}: {e}"));
                check_bindings(pass, &module, &info);
                check_workgroup_memory(&module, &name);
                let group = module.entry_points[0].workgroup_size;
                assert!(group.iter().product::<u32>() <= 256, "{name}, {}: the portable limit", shader.name);
                kernels += 1;
            }
        }
    }
    println!("{kernels} kernels");
    assert!(kernels > 500, "{kernels}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["epilogue", "kernel", "loss", "penalty", "schedule", "shared"] {
        for entry in std::fs::read_dir(root.join("shaders").join(folder)).unwrap() {
            let path = format!("shaders/{folder}/{}", entry.unwrap().file_name().to_string_lossy());
            assert!(used.contains(&path), "no case uses {path}");
        }
    }
}

#[test]
fn a_device_with_the_default_limits_binds_every_kernel() {
    for case in cases() {
        let prepared = case.sweep.prepare().unwrap();
        let request = (case.change)(case.sweep.request(&prepared));
        let limits = Limits::of_gpu(DeviceKind::Integrated, Precision::F32);
        // What it cannot bind, the plan refuses or leaves out.
        let Ok(plan) = Plan::new(Request { precision: Precision::F32, ..request }, &limits) else {
            assert!(case.name.starts_with("persistent"), "{}", case.name);
            continue;
        };
        for pass in &plan.program.passes {
            assert!(pass.bindings.len() <= limits.storage_buffers as usize, "{}: {}", case.name, pass.kernel);
        }
    }
}

/// The functions of a dual are not there for an objective without one: nothing may call them.
#[test]
fn kernels_without_a_dual_need_no_functions_of_it() {
    let without = |source: &str, function: &str| {
        let Some(begin) = source.find(&format!("fn {function}(")) else { return source.to_string() };
        let end = begin + source[begin..].find("\n}\n").unwrap() + 3;
        format!("{}{}", &source[..begin], &source[end..])
    };
    let mut removed = 0;
    for case in cases().iter().filter(|case| case.name.ends_with("no dual")) {
        let (plan, shaders) = plan(case, DeviceKind::Software, Precision::F32);
        assert!(plan.program.passes.iter().all(|pass| !pass.kernel.starts_with("gap")), "{}", case.name);
        for mut shader in shaders {
            let functions = ["penalty_gap", "penalty_dual_ratio", "loss_gap"];
            let source = functions.iter().fold(shader.source.clone(), |s, f| without(&s, f));
            removed += usize::from(source != shader.source);
            shader.source = source;
            validate(&shader).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        }
    }
    assert!(removed >= 6, "{removed}");
}

#[test]
fn tint_accepts_every_kernel_where_it_is_installed() {
    if Command::new("tint").arg("--version").output().is_err() {
        eprintln!("tint is not installed: naga's opinion stands alone");
        return;
    }
    let mut seen = std::collections::HashSet::new();
    for (case, kind) in cases().iter().flat_map(|case| KINDS.map(|kind| (case, kind))) {
        for shader in plan(case, kind, Precision::F32).1 {
            // The sums of the Gram matrix are in f64 in any precision.
            if shader.name == "gram" || !seen.insert(shader.source.clone()) {
                continue;
            }
            let mut file = tempfile::Builder::new().suffix(".wgsl").tempfile().unwrap();
            file.write_all(shader.source.as_bytes()).unwrap();
            let out = Command::new("tint").arg("--format").arg("wgsl").arg(file.path()).output().unwrap();
            let talk = String::from_utf8_lossy(&out.stderr);
            assert!(out.status.success(), "{}, {}: {talk}", case.name, shader.name);
        }
    }
}

#[test]
fn a_kernel_depends_only_on_what_it_uses() {
    let texts = |iterations: usize| {
        let case = case("logistic", logistic().iterations(iterations).check_every(10).every(10));
        plan(&case, DeviceKind::Software, Precision::F32).1
    };
    let pairs = texts(100).into_iter().zip(texts(200));
    let differ: BTreeSet<&str> = pairs.filter(|(a, b)| a.source != b.source).map(|(a, _)| a.name).collect();
    assert_eq!(differ, BTreeSet::from(["finalize"]));
}

#[test]
fn errors_point_into_the_right_file() {
    let all = plan(&case("logistic", logistic()), DeviceKind::Software, Precision::F32).1;
    let mut shader = all.into_iter().find(|s| s.name == "residual").unwrap();
    let line = shader.source.lines().position(|l| l.contains("fn sigmoid")).unwrap() + 1;
    assert_eq!(shader.locate(line), "shaders/loss/logistic.wgsl:2");
    shader.source = shader.source.replace("fn sigmoid(t: real4)", "fn sigmoid(t: nonsense)");
    let error = validate(&shader).unwrap_err();
    assert!(error.starts_with("shaders/loss/logistic.wgsl:2: "), "{error}");
}

#[test]
fn finalize_branches_on_no_uniform() {
    // Mesa's lavapipe compiles a kernel anew for values of uniforms in its conditions: first frames of a
    // session took 200 ms instead of 1.
    let source = include_str!("../shaders/kernel/finalize.wgsl");
    let uses: Vec<&str> = source.lines().filter(|l| l.contains("params")).map(str::trim).collect();
    assert_eq!(uses, ["entry = params;"]);
    assert!(source.contains("workgroupUniformLoad(&entry)"));
}
