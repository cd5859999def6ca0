//! The applications without a window: what they draw is what an independent run finds.

use std::time::Duration;

use proxjet::engine::cpu::CpuEngine;
use proxjet::engine::gpu::wgpu;
use proxjet::program::Precision;
use proxjet_embed::app::{App, RANGE};
use proxjet_embed::gui::Gui;
use proxjet_embed::path::COLORS;
use proxjet_embed::{Host, sweep};

const SIZE: [u32; 2] = [1280, 800];

/// A device; `None` only where there is no adapter and nobody requires one.
fn host() -> Option<Host> {
    match Host::headless() {
        Ok(host) => Some(host),
        Err(e) => {
            assert!(std::env::var_os("PROXJET_REQUIRE_GPU").is_none(), "a GPU test without an adapter: {e}");
            eprintln!("SKIPPED, no adapter: {e}");
            None
        }
    }
}

/// True if a pixel has a colour, about.
fn has(pixels: &[u8], [x, y]: [f32; 2], color: [u8; 3]) -> bool {
    let (x, y) = (x as usize, y as usize);
    if x >= SIZE[0] as usize || y >= SIZE[1] as usize {
        return false;
    }
    let pixel = &pixels[4 * (y * SIZE[0] as usize + x)..][..3];
    pixel.iter().zip(color).all(|(a, b)| a.abs_diff(b) < 40)
}

/// Pixels of a colour, about, in columns from `left` on.
fn count(pixels: &[u8], left: usize, color: [u8; 3]) -> usize {
    let places =
        (0..SIZE[1] as usize).flat_map(|y| (left..SIZE[0] as usize).map(move |x| [x as f32, y as f32]));
    places.filter(|at| has(pixels, *at, color)).count()
}

#[test]
fn the_path_is_drawn_where_another_engine_finds_it() {
    let Some(host) = host() else { return };
    let format = wgpu::TextureFormat::Rgba8UnormSrgb;
    let mut app = App::new(host, format, SIZE).unwrap();
    let target = app.host().target(format, SIZE, 1);
    let view = target.create_view(&Default::default());
    let mut frames = 0;
    while !app.session().is_done() && frames < 5000 {
        app.frame(&view, Duration::from_secs(1)).unwrap();
        app.host().wait().unwrap();
        frames += 1;
    }
    assert!(app.session().is_done());
    let pixels = app.host().pixels(&target).unwrap();
    let truth = sweep().unwrap().precision(Precision::F64).run(&mut CpuEngine::new()).unwrap().trace;
    let coef = truth.coef.outer_iter().next_back().unwrap();
    let [left, top, right, bottom] = app.plot();
    // Share of the curves' points that have their colour, when the picture is looked at some pixels too low.
    let share = |below: f32| {
        let (lanes, rows) = coef.dim();
        let hit = |lane: usize, row: usize| {
            let x = right + (left - right) * lane as f32 / (lanes - 1) as f32;
            let up = (coef[[lane, row]] as f32 - RANGE[0]) / (RANGE[1] - RANGE[0]);
            has(&pixels, [x, bottom + up * (top - bottom) + below], COLORS[row])
        };
        // Coefficients at zero lie on top of each other.
        let places = (5..lanes - 5).flat_map(|lane| (0..rows).map(move |row| (lane, row)));
        let places: Vec<_> = places.filter(|(lane, row)| coef[[*lane, *row]].abs() > 2.0).collect();
        places.iter().filter(|(lane, row)| hit(*lane, *row)).count() as f64 / places.len() as f64
    };
    println!("{:.3} of the points are on their curve, {:.3} are 8 pixels below", share(0.0), share(8.0));
    assert!(share(0.0) > 0.9);
    assert!(share(8.0) < 0.2);
}

#[test]
fn egui_draws_the_path_in_its_callback() {
    let Some(host) = host() else { return };
    let format = wgpu::TextureFormat::Rgba8Unorm;
    let mut gui = Gui::new(host, format, SIZE).unwrap();
    let target = gui.host().target(format, SIZE, 1);
    let view = target.create_view(&Default::default());
    let mut frame = |times: usize| {
        for _ in 0..times {
            gui.frame(egui::RawInput::default(), &view).unwrap();
            gui.host().wait().unwrap();
        }
        (gui.session().unwrap().iteration(), gui.host().pixels(&target).unwrap())
    };
    let (early, first) = frame(1);
    let (late, last) = frame(40);
    assert!(early >= 1 && late > early + 30, "{early} {late}");
    assert_ne!(first, last);
    // Right of the settings: body mass index and s5 rise early.
    for row in [2, 8] {
        let seen = count(&last, 240, COLORS[row]);
        assert!(seen > 500, "{seen} pixels of coefficient {row}");
    }
}
