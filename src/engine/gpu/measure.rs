//! Times of products alone, outside of a run.

use std::time::Duration;

use serde::Serialize;

use super::GpuEngine;
use super::clock::Clock;
use super::commands::{Commands, Dispatch};
use super::compile::Library;
use super::compose::{Composed, compose_pass, plain_texts};
use super::context::GpuContext;
use super::data::encode;
use super::generate::constants;
use crate::Instant;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result, bytes};
use crate::program::{ActiveSet, Columns, Pass, Precision, Product, Side, Tile, pad4, split_k};

/// Times of the two products of an iteration alone, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ProductTimes {
    /// Of `X m`.
    pub plain: f64,
    /// Of `Xᵀ m`.
    pub transposed: f64,
    /// Their tiles.
    pub tiles: [Tile; 2],
    /// True if measured with the device's clock. If not, a time includes its share of a submission.
    pub by_device: bool,
}

impl GpuEngine {
    /// Times the two products with a random design of `rows` by `state_rows` and a matrix of `columns`
    /// columns, with the tiles that the engine would use: medians of several dispatches. If the sums of a
    /// product are split, the time includes the reduce pass.
    ///
    /// # Errors
    /// A size is zero; sizes do not fit the device's buffers; the adapter does not support the precision; the
    /// device failed.
    pub fn product_seconds(
        &mut self,
        (rows, state_rows): (usize, usize),
        columns: usize,
        precision: Precision,
    ) -> Result<ProductTimes> {
        self.limits(precision)?;
        if rows.min(state_rows).min(columns) == 0 {
            let found = format!("{rows} x {state_rows}, {columns} columns");
            return Err(Error::usage("product to be timed", found, "positive numbers", ""));
        }
        let of = |side| Measured::stored((rows, state_rows), columns, side, precision);
        let pair = [Side::Plain, Side::Transposed].map(of);
        let tiles = self.tiles_of_stored(pair);
        let mut seconds = [0.0; 2];
        let mut by_device = false;
        for (i, what) in pair.into_iter().enumerate() {
            let mut rig = Rig::new(&self.context, what)?;
            by_device = rig.clock.is_some();
            rig.warm_up(&self.context, &mut self.compiled, tiles[i])?;
            seconds[i] = rig.seconds(&self.context, &mut self.compiled, tiles[i], f64::INFINITY)?;
        }
        Ok(ProductTimes { plain: seconds[0], transposed: seconds[1], tiles, by_device })
    }
}

/// A product to be measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    /// Rows and columns of the design.
    pub(super) design: (usize, usize),
    pub(super) side: Side,
    pub(super) lanes: usize,
    /// Columns of a lane, which an invocation computes together.
    pub(super) width: usize,
    pub(super) split_k: usize,
    pub(super) precision: Precision,
}

impl Measured {
    /// A stored product: every column counts as a lane.
    pub(super) fn stored(design: (usize, usize), columns: usize, side: Side, precision: Precision) -> Self {
        let split_k = match side {
            Side::Plain => split_k(design.0, design.1),
            Side::Transposed => split_k(design.1, design.0),
        };
        Measured { design, side, lanes: columns, width: 1, split_k, precision }
    }

    /// Rows of the result and of the operand, including padding.
    fn shape(&self) -> (usize, usize) {
        let (rows, stride) = (self.design.0, pad4(self.design.1));
        match self.side {
            Side::Plain => (rows, stride),
            Side::Transposed => (stride, rows),
        }
    }

    /// Columns of operand and result, including padding.
    pub(super) fn columns(&self) -> usize {
        self.width * pad4(self.lanes)
    }

    /// Workgroups of the product.
    pub(super) fn groups(&self, tile: Tile) -> [u32; 3] {
        self.product(tile).grid(self.columns() / 4 / self.width)
    }

    fn product(&self, tile: Tile) -> Product {
        Product {
            names: ("design", "operand", Some("result")),
            shape: self.shape(),
            side: self.side,
            columns: Columns::OfLane { first: 0, count: self.width },
            split_k: self.split_k,
            active_set: ActiveSet::None,
            tile,
            epilogues: Vec::new(),
            rows_per_sum: 1,
        }
    }

    /// The passes of the product, and their text.
    fn passes(&self, tile: Tile) -> Vec<(Pass, Composed)> {
        let scalar = self.precision.name();
        let columns4 = self.columns() / 4;
        let mut prelude = format!("alias real = {scalar};\nalias real4 = vec4<{scalar}>;\n");
        prelude += &constants(&[
            ("STRIDE4", pad4(self.design.1) / 4),
            ("COLUMNS4", columns4),
            ("LANE4S", columns4 / self.width),
        ]);
        let passes = Pass::of_product(self.product(tile), columns4, columns4 / self.width);
        let composed = |pass: Pass| {
            let text = compose_pass(&pass, &prelude, plain_texts);
            (pass, text)
        };
        passes.into_iter().map(composed).collect()
    }
}

/// A number in [−1, 1) for every index: the speed does not depend on the values, and
/// tests can reproduce them.
fn noise(place: usize) -> f64 {
    // SplitMix64.
    let mut z = (place as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    // 24 bits, which f32 holds exactly.
    ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 23) - 1.0
}

/// An entry of the design, including padding.
fn design_entry(what: &Measured, place: usize) -> f64 {
    if place % pad4(what.design.1) < what.design.1 { noise(place) } else { 0.0 }
}

/// An entry of the operand, including padding rows.
fn operand_entry(what: &Measured, place: usize) -> f64 {
    let rows = if what.side == Side::Plain { what.design.1 } else { what.design.0 };
    if place / what.columns() < rows { noise(!place) } else { 0.0 }
}

/// Numbers generated at once.
const PIECE: usize = 1 << 19;
/// Target number of samples, of which the median is used.
const SAMPLES: usize = 9;
/// Target seconds of a submission.
const SUBMIT_SECONDS: f64 = 0.02;
/// Least and most time of sampling.
const SAMPLING: [Duration; 2] = [Duration::from_millis(10), Duration::from_secs(2)];
/// Time of a part of the warm-up, and after which the warm-up ends in any case.
const WARM_UP: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];
/// Ratio of the times of a part and of the part before it from which the clock rate counts as steady.
const STEADY: f64 = 0.98;

/// A design, an operand and a result on the device, for products with several tiles.
pub(super) struct Rig {
    what: Measured,
    design: wgpu::Buffer,
    operand: wgpu::Buffer,
    result: wgpu::Buffer,
    parts: wgpu::Buffer,
    pub(super) clock: Option<Clock>,
}

/// A pass that can be dispatched.
struct Ready {
    pipeline: wgpu::ComputePipeline,
    storage: wgpu::BindGroup,
    grid: [u32; 3],
}

impl Rig {
    /// Creates the buffers and fills them.
    ///
    /// # Errors
    /// The device cannot hold a buffer, or it failed.
    pub(super) fn new(context: &GpuContext, what: Measured) -> Result<Self> {
        let device = &context.device;
        let limits = device.limits();
        let most = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        let real = what.precision.bytes();
        let create = |label: &str, count: usize| {
            let size = (count as u64).saturating_mul(real).max(16);
            if size > most {
                let at = format!("adapter {}", context.info.name);
                let expected = format!("at most {} in one buffer", bytes(most));
                let found = format!("{label} of {}", bytes(size));
                return Err(Error::new(ErrorKind::Memory, at, found, expected, "Use a smaller shape."));
            }
            Ok(device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size,
                usage: wgpu::BufferUsages::STORAGE
                    | wgpu::BufferUsages::COPY_SRC
                    | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            }))
        };
        let (rows, inner) = what.shape();
        let columns = what.columns();
        let filled = |label: &str, count: usize, entry: &dyn Fn(usize) -> f64| {
            let buffer = create(label, count)?;
            for first in (0..count).step_by(PIECE) {
                let values = (first..count.min(first + PIECE)).map(entry);
                context.queue.write_buffer(&buffer, first as u64 * real, &encode(values, what.precision));
                // Submits the piece, so that pieces do not accumulate.
                context.queue.submit([]);
            }
            Ok(buffer)
        };
        let parts = if what.split_k > 1 { what.split_k * rows * columns } else { 0 };
        Ok(Rig {
            design: filled("design", what.design.0 * pad4(what.design.1), &|i| design_entry(&what, i))?,
            operand: filled("operand", inner * columns, &|i| operand_entry(&what, i))?,
            result: create("result", rows * columns)?,
            parts: create("split_partials", parts)?,
            clock: Clock::of_dispatches(context),
            what,
        })
    }

    fn kernels(&self, context: &GpuContext, library: &mut Library, tile: Tile) -> Result<Vec<Ready>> {
        let buffer = |variable: &str| match variable {
            "design" => &self.design,
            "operand" => &self.operand,
            "split_partials" => &self.parts,
            _ => &self.result,
        };
        let bound = |(pass, text): (Pass, Composed)| {
            let kernel = library.kernel(context, &pass, &text)?;
            let entries: Vec<_> = pass
                .bindings
                .iter()
                .zip(0..)
                .map(|(b, binding)| wgpu::BindGroupEntry {
                    binding,
                    resource: buffer(b.variable).as_entire_binding(),
                })
                .collect();
            let storage = context.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(pass.kernel),
                layout: &kernel.storage,
                entries: &entries,
            });
            Ok(Ready { pipeline: kernel.pipeline, storage, grid: pass.grid })
        };
        self.what.passes(tile).into_iter().map(bound).collect()
    }

    /// Submits the product `times` times.
    fn submit(&mut self, context: &GpuContext, kernels: &[Ready], times: usize) {
        let mut encoder = context.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut commands = Commands::new(&mut encoder, self.clock.as_mut());
        for _ in 0..times {
            for Ready { pipeline, storage, grid } in kernels {
                commands.dispatch(&Dispatch {
                    name: "product",
                    pipeline,
                    storage,
                    params: None,
                    groups: *grid,
                });
            }
        }
        commands.finish();
        context.queue.submit([encoder.finish()]);
    }

    /// Seconds of a product: with the device's clock one for each repetition, else their mean.
    fn sample(&mut self, context: &GpuContext, kernels: &[Ready], times: usize) -> Result<Vec<f64>> {
        let clock = Instant::now();
        self.submit(context, kernels, times);
        if let Some(clock) = &mut self.clock {
            let all = clock.read(context)?;
            let one =
                |dispatches: &[(&str, f64, f64)]| dispatches.iter().map(|(_, begin, end)| end - begin).sum();
            return Ok(all.chunks(kernels.len()).map(one).collect());
        }
        context.wait(None)?;
        context.check()?;
        Ok(vec![clock.elapsed().as_secs_f64() / times as f64])
    }

    /// Compiles the kernels of a tile and runs them once, since drivers compile late.
    pub(super) fn compile(&mut self, context: &GpuContext, library: &mut Library, tile: Tile) -> Result<()> {
        let kernels = self.kernels(context, library, tile)?;
        self.sample(context, &kernels, 1).map(drop)
    }

    /// Computes with a tile until the device has reached its full clock rate:
    /// an idle device is several times slower.
    pub(super) fn warm_up(&mut self, context: &GpuContext, library: &mut Library, tile: Tile) -> Result<()> {
        self.compile(context, library, tile)?;
        let kernels = self.kernels(context, library, tile)?;
        let begin = Instant::now();
        let mut before = f64::INFINITY;
        loop {
            let part = Instant::now();
            let mut samples = Vec::new();
            while samples.is_empty() || part.elapsed() < WARM_UP[0] {
                let times = (SUBMIT_SECONDS / before).clamp(1.0, 32.0) as usize;
                samples.extend(self.sample(context, &kernels, times)?);
            }
            let now = median(&samples);
            if now > STEADY * before || begin.elapsed() > WARM_UP[1] {
                return Ok(());
            }
            before = now;
        }
    }

    /// Median of the seconds that the product takes with a tile; of a single sample if that already exceeds
    /// `enough`. The device is warm.
    pub(super) fn seconds(
        &mut self,
        context: &GpuContext,
        library: &mut Library,
        tile: Tile,
        enough: f64,
    ) -> Result<f64> {
        let kernels = self.kernels(context, library, tile)?;
        let begin = Instant::now();
        let mut samples = self.sample(context, &kernels, 1)?;
        while median(&samples) <= enough
            && (samples.len() < SAMPLES || begin.elapsed() < SAMPLING[0])
            && begin.elapsed() < SAMPLING[1]
        {
            let times = (SUBMIT_SECONDS / median(&samples)).clamp(1.0, 32.0) as usize;
            samples.extend(self.sample(context, &kernels, times)?);
        }
        Ok(median(&samples))
    }
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::engine::gpu::Pick;
    use crate::engine::gpu::readback::{Pending, decode};

    impl Rig {
        /// `[rows, columns]`: the product, computed with a tile.
        fn result(&mut self, engine: &mut GpuEngine, tile: Tile) -> Vec<f64> {
            let context = engine.context.clone();
            let kernels = self.kernels(&context, &mut engine.compiled, tile).unwrap();
            // Makes entries that no kernel writes visible.
            let (rows, columns) = (self.what.shape().0, self.what.columns());
            let blank = encode(vec![-7.0; rows * columns], self.what.precision);
            context.queue.write_buffer(&self.result, 0, &blank);
            self.sample(&context, &kernels, 1).unwrap();
            let target = context.device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: self.result.size(),
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            let mut encoder =
                context.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            encoder.copy_buffer_to_buffer(&self.result, 0, &target, 0, self.result.size());
            let submission = context.queue.submit([encoder.finish()]);
            let (bytes, _) = Pending::new(target, submission).take(&context, <[u8]>::to_vec).unwrap();
            decode(&bytes, self.what.precision)
        }
    }

    fn engine() -> Option<GpuEngine> {
        match GpuEngine::request(Pick::Any) {
            Ok(engine) => Some(engine),
            Err(e) => {
                assert!(
                    std::env::var_os("PROXJET_REQUIRE_GPU").is_none(),
                    "a GPU test without an adapter: {e}"
                );
                eprintln!("SKIPPED, no adapter: {e}");
                None
            }
        }
    }

    /// The product in f64, and for each of its entries the sum of the absolute values of its terms.
    fn truth(what: &Measured) -> (Array2<f64>, Array2<f64>) {
        let design = Array2::from_shape_fn((what.design.0, pad4(what.design.1)), |(i, j)| {
            design_entry(what, i * pad4(what.design.1) + j)
        });
        let operand = Array2::from_shape_fn((what.shape().1, what.columns()), |(i, j)| {
            operand_entry(what, i * what.columns() + j)
        });
        let design = if what.side == Side::Plain { design } else { design.reversed_axes() };
        (design.dot(&operand), design.mapv(f64::abs).dot(&operand.mapv(f64::abs)))
    }

    /// Tiles of both families, for products of `width` columns a lane.
    fn tiles(width: usize) -> Vec<Tile> {
        let direct = Tile { rows: 8, lane4s: 2, group: [8, 8], depth: 0, unroll: 1 };
        let shared = Tile { depth: 16, ..direct };
        let mut all = vec![
            direct,
            shared,
            Tile { depth: 8, ..direct },
            Tile { rows: 4, lane4s: 1, group: [4, 4], ..shared },
        ];
        if width == 1 {
            all.extend([
                Tile { rows: 16, lane4s: 4, unroll: 4, ..direct },
                Tile { rows: 4, lane4s: 1, group: [16, 4], unroll: 2, ..direct },
                Tile { rows: 8, lane4s: 2, group: [16, 16], depth: 8, ..shared },
                // Neither blocks of the design nor of the operand divide evenly.
                Tile { rows: 12, lane4s: 3, group: [5, 3], depth: 4, ..shared },
            ]);
        }
        all
    }

    #[test]
    fn every_tile_gives_the_product_and_the_same_bits() {
        let Some(mut engine) = engine() else { return };
        let has_f64 = engine.context.device.features().contains(wgpu::Features::SHADER_F64);
        let limits = engine.context.device.limits();
        for (design, lanes, width, split_k) in [
            ((45, 11), 5, 1, 1),
            ((130, 67), 37, 1, 1),
            ((130, 67), 13, 3, 1),
            ((67, 130), 9, 1, 3),
            ((3, 131), 6, 1, 5),
        ] {
            for side in [Side::Plain, Side::Transposed] {
                for precision in [Precision::F32, Precision::F64] {
                    if precision == Precision::F64 && !has_f64 {
                        continue;
                    }
                    let what = Measured { design, side, lanes, width, split_k, precision };
                    let (expected, sizes) = truth(&what);
                    let unit =
                        if precision == Precision::F32 { f64::from(f32::EPSILON) } else { f64::EPSILON };
                    let mut rig = Rig::new(&engine.context, what).unwrap();
                    let mut first: Option<Vec<f64>> = None;
                    for tile in tiles(width) {
                        if tile.workgroup_bytes(width, precision)
                            > u64::from(limits.max_compute_workgroup_storage_size)
                        {
                            continue;
                        }
                        let got = rig.result(&mut engine, tile);
                        for ((got, expected), size) in got.iter().zip(&expected).zip(&sizes) {
                            let bound = unit * size * what.shape().1 as f64;
                            assert!(
                                (got - expected).abs() <= bound,
                                "{what:?} {tile:?}: {got} for {expected}"
                            );
                        }
                        let first = first.get_or_insert_with(|| got.clone());
                        let same = first.iter().zip(&got).all(|(a, b)| a.to_bits() == b.to_bits());
                        assert!(same, "{what:?} {tile:?}: other bits than another tile's");
                    }
                }
            }
        }
    }

    #[test]
    fn products_of_an_engine_are_timed() {
        let Some(mut engine) = engine() else { return };
        let times = engine.product_seconds((45, 11), 9, Precision::F32).unwrap();
        assert!(times.plain > 0.0 && times.transposed > 0.0, "{times:?}");
        // Too large for any device.
        let refused = engine.product_seconds((1 << 20, 1 << 20), 1, Precision::F32).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Memory);
    }
}
