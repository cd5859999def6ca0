//! Every kernel of every combination is valid WGSL: for naga always, for tint where it is installed (f32, as it has no
//! f64). No GPU is needed.

use std::io::Write;
use std::process::Command;

use proxjet::engine::gpu::{Composed, DeviceKind, ShaderSpec, Tiles, compose_all};
use proxjet::objective::{Loss, Penalty};
use proxjet::program::{MetricKind, PersistentTile, Precision, Strategy};

/// Kinds of devices, so that both families of products come up.
const KINDS: [DeviceKind; 3] = [DeviceKind::Software, DeviceKind::Integrated, DeviceKind::Discrete];

/// A run whose features differ with the number of tangents, so that all of them come up.
fn spec(precision: Precision, loss: Loss, penalty: Penalty, tangents: usize) -> ShaderSpec {
    let metric = match tangents {
        0 => MetricKind::None,
        1 => MetricKind::Hessian { every: 5 },
        2 => MetricKind::Table { per_lane: true },
        _ => MetricKind::Fixed,
    };
    // What the other strategies cannot do comes up with one tangent.
    let strategy = match (loss == Loss::squared(), tangents) {
        (true, 0 | 9) => Strategy::Gram,
        (true, 2 | 5) => Strategy::Persistent,
        _ => Strategy::Direct,
    };
    ShaderSpec {
        precision,
        loss,
        penalty,
        rows: 45,
        state_rows: 11,
        penalised: 10,
        has_factors: tangents != 2,
        validation_rows: 7 * (tangents % 2),
        lanes: 5,
        factor_seeds: (0..tangents).map(|t| (t == 1).then_some(3)).collect(),
        tested: vec![true; tangents],
        schedule_seeds: (0..tangents).map(|t| (t as u32 + 1, 3)).collect(),
        phases: 1 + tangents,
        factored: tangents != 1,
        seeds_target: tangents > 1,
        stages: 1 + tangents % 2,
        patience: 10,
        tangent_start: if tangents == 2 { u32::MAX } else { 0 },
        measures_curvature: tangents == 1,
        adaptive: tangents == 1,
        metric,
        metric_lanes: if tangents == 2 { 5 } else { 1 },
        metric_gain: 1.9,
        tol: 1e-7,
        gap_unit: 0.69,
        iterations: 100,
        check_every: 10 * (tangents % 2),
        strategy,
        persistent: (strategy == Strategy::Persistent).then_some(PersistentTile { lane4s: 2, groups: 4 }),
        loss_at_zero: 1.5,
        active_set: strategy == Strategy::Direct && tangents.is_multiple_of(5),
        split_k: if tangents == 2 { [2, 3] } else { [1, 1] },
        // As if there were much to compute: that is where tiles are large.
        tiles: Tiles::usual(KINDS[tangents % 3], (4500, 1100), 1 + tangents, 500),
    }
}

fn combinations(precision: Precision) -> impl Iterator<Item = ShaderSpec> {
    let pairs = Loss::all().into_iter().flat_map(|l| Penalty::all().into_iter().map(move |p| (l, p)));
    pairs.flat_map(move |(l, p)| [0, 1, 2, 5, 9].into_iter().map(move |d| spec(precision, l, p, d)))
}

fn validate(shader: &Composed) -> Result<naga::Module, String> {
    let module = naga::front::wgsl::parse_str(&shader.source).map_err(|e| {
        let line = e.location(&shader.source).map_or(0, |l| l.line_number as usize);
        format!("{}: {}", shader.locate(line), e.message())
    })?;
    let capabilities = naga::valid::Capabilities::FLOAT64;
    naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities)
        .validate(&module)
        .map_err(|e| format!("{}: {:?}", shader.name, e.into_inner()))?;
    Ok(module)
}

#[test]
fn naga_accepts_every_kernel() {
    let mut kernels = std::collections::BTreeSet::new();
    for precision in [Precision::F32, Precision::F64] {
        for spec in combinations(precision) {
            for shader in compose_all(&spec) {
                let module =
                    validate(&shader).unwrap_or_else(|e| panic!("{} + {}: {e}", spec.loss, spec.penalty));
                assert!(module.entry_points.iter().any(|e| e.name == shader.entry), "{}", shader.name);
                let group = module.entry_points[0].workgroup_size;
                assert!(group.iter().product::<u32>() <= 256, "{}: the portable limit is 256", shader.name);
                let storage = module
                    .global_variables
                    .iter()
                    .filter(|(_, v)| matches!(v.space, naga::AddressSpace::Storage { .. }))
                    .count();
                // The plan asks the device before it takes the persistent strategy, or lists of coefficients.
                let most = if matches!(shader.name, "persistent" | "predict_observe" | "gradient_iterate") {
                    9
                } else {
                    8
                };
                assert!(
                    storage <= most,
                    "{}: {storage} storage buffers, the portable limit is 8",
                    shader.name
                );
                kernels.insert(shader.name);
            }
        }
    }
    let known = [
        "load",
        "criterion",
        "curvatures",
        "gram_loss",
        "gap_gram_loss",
        "gap_loss",
        "gap_penalty",
        "reduce_g",
        "reduce_z",
        "gradient",
        "gradient_iterate",
        "gradient_squares",
        "gradient_step",
        "gradient_tangents",
        "gram",
        "gram_product_loss",
        "gram_gradient",
        "gram_product",
        "gram_step",
        "metric_hessian",
        "metric_table",
        "observe",
        "predict",
        "predict_observe",
        "predict_validate",
        "predict_validation",
        "persistent",
        "residual",
        "step",
        "step_tangents",
        "support",
        "finalize",
        "validate",
    ];
    assert_eq!(kernels.into_iter().collect::<Vec<_>>(), known);
}

#[test]
fn tint_accepts_every_kernel_where_it_is_installed() {
    if Command::new("tint").arg("--version").output().is_err() {
        eprintln!("tint is not installed: naga's opinion stands alone");
        return;
    }
    let mut seen = std::collections::HashSet::new();
    for spec in combinations(Precision::F32) {
        for shader in compose_all(&spec) {
            // The sums of the Gram matrix are in f64 in any precision.
            if shader.name == "gram" || !seen.insert(shader.source.clone()) {
                continue;
            }
            let mut file = tempfile::Builder::new().suffix(".wgsl").tempfile().unwrap();
            file.write_all(shader.source.as_bytes()).unwrap();
            let out = Command::new("tint").arg("--format").arg("wgsl").arg(file.path()).output().unwrap();
            let talk = String::from_utf8_lossy(&out.stderr);
            assert!(out.status.success(), "{} + {}, {}: {talk}", spec.loss, spec.penalty, shader.name);
        }
    }
}

#[test]
fn the_host_writes_parameters_as_the_shader_reads_them() {
    let shaders = compose_all(&spec(Precision::F32, Loss::squared(), Penalty::l1(), 1));
    let module = validate(shaders.iter().find(|s| s.name == "finalize").unwrap()).unwrap();
    let (_, params) = module.types.iter().find(|(_, t)| t.name.as_deref() == Some("Params")).unwrap();
    let naga::TypeInner::Struct { members, span } = &params.inner else { panic!("a struct") };
    let names: Vec<(&str, u32)> = members.iter().map(|m| (m.name.as_deref().unwrap(), m.offset)).collect();
    assert_eq!(names, [("record_row", 0), ("table_row", 4), ("flags", 8), ("ahead", 12)]);
    assert_eq!(*span, 16);
}

#[test]
fn a_kernel_depends_only_on_what_it_uses() {
    let texts = |iterations: usize| {
        let spec = ShaderSpec { iterations, ..spec(Precision::F32, Loss::logistic(), Penalty::l1(), 2) };
        compose_all(&spec).into_iter().map(|s| (s.name, s.source)).collect::<Vec<_>>()
    };
    let differ: Vec<&str> =
        texts(100).iter().zip(&texts(200)).filter(|(a, b)| a != b).map(|(a, _)| a.0).collect();
    assert_eq!(differ, ["finalize"]);
}

#[test]
fn errors_point_into_the_right_file() {
    let all = compose_all(&spec(Precision::F32, Loss::logistic(), Penalty::l1(), 0));
    let mut shader = all.into_iter().find(|s| s.name == "residual").unwrap();
    let line = shader.source.lines().position(|l| l.contains("fn sigmoid")).unwrap() + 1;
    assert_eq!(shader.locate(line), "shaders/loss/logistic.wgsl:2");
    shader.source = shader.source.replace("fn sigmoid(t: real4)", "fn sigmoid(t: nonsense)");
    assert!(
        validate(&shader).unwrap_err().starts_with("shaders/loss/logistic.wgsl:2: "),
        "broken text is refused"
    );
}
