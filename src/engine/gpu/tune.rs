//! The tuner: finds the fastest tile on this device, by timing it once and storing the result.
//!
//! Every output is one sum in the order of the inner index, whatever the tile, so tuning
//! never changes a result.

use std::sync::OnceLock;

use super::GpuEngine;
use super::compile::Library;
use super::measure::{Measured, Rig};
use super::tile_cache::{TileCache, TileKey, TunedTile};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::program::{DeviceKind, Limits, Plan, Side, Strategy, Tile, Tiles};

use candidates::{Wanted, bucket, candidates};

mod candidates;

/// When tiles are timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tuning {
    /// Never, and no tuned tile is used.
    Off,
    /// Before a run that is long enough for tuning to pay, on an owned device.
    Auto,
    /// Before every run for which there is no tuned tile yet.
    Always,
}

impl Tuning {
    /// Every name, as in the environment variable `PROXJET_TUNER`.
    pub const NAMES: &'static [&'static str] = &["off", "auto", "always"];

    /// The setting of `PROXJET_TUNER`; `Auto` if it is not set, or, with a warning, if it is invalid.
    pub fn from_env() -> Self {
        let Some(text) = std::env::var_os("PROXJET_TUNER").filter(|v| !v.is_empty()) else {
            return Tuning::Auto;
        };
        text.to_string_lossy().parse().unwrap_or_else(|e| {
            log::warn!("{e}; auto is taken");
            Tuning::Auto
        })
    }
}

impl std::str::FromStr for Tuning {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "off" => Ok(Tuning::Off),
            "auto" => Ok(Tuning::Auto),
            "always" => Ok(Tuning::Always),
            _ => Err(Error::unknown(ErrorKind::Usage, "PROXJET_TUNER", text, Tuning::NAMES)),
        }
    }
}

/// The tuner's settings and the tiles known to an engine.
#[derive(Debug)]
pub(super) struct Tuner {
    pub(super) tuning: Tuning,
    pub(super) cache: TileCache,
    /// The newest last. Read when first needed.
    known: OnceLock<Vec<TunedTile>>,
}

impl Tuner {
    pub(super) fn new(tuning: Tuning, cache: TileCache) -> Self {
        Tuner { tuning, cache, known: OnceLock::new() }
    }

    fn known(&self) -> &[TunedTile] {
        self.known.get_or_init(|| self.cache.read())
    }
}

/// Largest ratio to the usual tile's time at which a tile counts as faster: smaller gains may be chance.
const MARGIN: f64 = 0.97;
/// A tile that is slower than the best by this factor is not timed again.
const HOPELESS: f64 = 3.0;
/// Rounds of timing.
const ROUNDS: usize = 3;
/// Largest share of a run's time that tuning may take: a guess of its gain.
const SHARE: f64 = 0.1;
/// Approximate number of products for timing a tile.
const PRODUCTS: f64 = 12.0;

/// Approximate seconds of compiling a kernel and timing it, besides the products.
fn overhead(kind: DeviceKind) -> f64 {
    match kind {
        DeviceKind::Software => 0.8,
        DeviceKind::Integrated | DeviceKind::Discrete => 0.3,
    }
}

/// The fastest tile, its seconds, and those of the first. Every tile is timed in several rounds and its least
/// time counts, since other load and a rising clock rate only lengthen times. `seconds` need not be exact
/// above its second argument.
fn fastest(
    candidates: &[Tile],
    mut seconds: impl FnMut(Tile, f64) -> Result<f64>,
) -> Result<(Tile, f64, f64)> {
    let mut least = vec![f64::INFINITY; candidates.len()];
    let mut best = f64::INFINITY;
    for round in 0..ROUNDS {
        for (i, &tile) in candidates.iter().enumerate() {
            // The first tile is always timed, for comparison.
            if round > 0 && i > 0 && least[i] > HOPELESS * best {
                continue;
            }
            least[i] = least[i].min(seconds(tile, if i > 0 { HOPELESS * best } else { f64::INFINITY })?);
            best = best.min(least[i]);
        }
    }
    // The usual tile is kept unless another is clearly faster.
    let place = least.iter().position(|s| *s == best).filter(|_| best < MARGIN * least[0]).unwrap_or(0);
    Ok((candidates[place], least[place], least[0]))
}

impl GpuEngine {
    /// Sets when tiles are timed. The default is the setting of the environment variable `PROXJET_TUNER`.
    pub fn tuning(mut self, tuning: Tuning) -> Self {
        self.tuner.tuning = tuning;
        self
    }

    /// Sets where tuned tiles are stored. The default is [`TileCache::of_user`].
    pub fn tile_cache(mut self, cache: TileCache) -> Self {
        self.tuner = Tuner::new(self.tuner.tuning, cache);
        self
    }

    /// The tiles of a plan's products on this device, as far as known: tuned tiles if there are any, else the
    /// usual ones of such devices.
    pub fn tiles(&self, plan: &Plan) -> Tiles {
        let mut tiles = plan.program.shape.tiles;
        if self.tunes(plan) {
            for wanted in Wanted::of_plan(plan) {
                let place = wanted.place(&mut tiles);
                *place = self.known(&wanted, *place).map_or(*place, |tuned| tuned.tile);
            }
        }
        tiles
    }

    /// Tiles of stored products without epilogues.
    pub(super) fn tiles_of_stored(&self, pair: [Measured; 2]) -> [Tile; 2] {
        pair.map(|what| {
            let wanted = Wanted::stored(what);
            let memory = u64::from(self.context.device.limits().max_compute_workgroup_storage_size);
            let tiles = Tiles::usual(self.kind(), what.design, 1, what.lanes);
            let usual = *wanted.place(&mut tiles.within(memory, 1, what.precision));
            let known = (self.tuner.tuning != Tuning::Off).then(|| self.known(&wanted, usual)).flatten();
            known.map_or(usual, |tuned| tuned.tile)
        })
    }

    /// Times the tiles of all products of a plan for which none is tuned yet, with and without epilogues,
    /// whether or not that pays, and stores the fastest. Returns all known tiles.
    ///
    /// A product with an epilogue is timed without it, but with all columns of a lane
    /// computed together and stored.
    ///
    /// # Errors
    /// Tuning is off; the device failed; the cache folder cannot be written.
    pub fn tune(&mut self, plan: &Plan) -> Result<Vec<TunedTile>> {
        if !self.tunes(plan) {
            let (expected, remedy) =
                ("a tuner that is on, and a plan in direct strategy", "Unset PROXJET_TUNER.");
            return Err(Error::new(ErrorKind::Usage, "tuner", "nothing that may be tuned", expected, remedy));
        }
        let all = Wanted::of_plan(plan);
        let new = self.time_all(plan, &self.missing(plan, all.clone()))?;
        self.tuner.cache.add(&new)?;
        let mut usual = plan.program.shape.tiles;
        Ok(all.iter().filter_map(|w| self.known(w, *w.place(&mut usual)).cloned()).collect())
    }

    /// Tunes before a run, if enabled. A tuner that fails is switched off: the run itself
    /// will report the error.
    pub(super) fn tune_for_run(&mut self, plan: &Plan) {
        if !self.tunes(plan) {
            return;
        }
        let missing = self.missing(plan, Wanted::of_iterations(plan));
        // A host that lends its device does not expect seconds of other work on it.
        let unasked = self.tuner.tuning == Tuning::Auto;
        if missing.is_empty() || (unasked && !(self.context.own && self.pays(plan, &missing))) {
            return;
        }
        match self.time_all(plan, &missing) {
            Ok(new) => {
                if let Err(e) = self.tuner.cache.add(&new) {
                    log::warn!("tuned tiles are not kept: {e}");
                }
            }
            Err(e) => {
                log::warn!("tiles are tuned no more: {e}");
                self.tuner.tuning = Tuning::Off;
            }
        }
    }

    /// True if tuning takes a small share of the run's estimated time.
    fn pays(&self, plan: &Plan, missing: &[(Wanted, Tile)]) -> bool {
        let Ok(limits) = self.limits(plan.request.precision) else { return false };
        let cost = |(wanted, usual): &(Wanted, Tile)| {
            let of_column = wanted.flops() / wanted.what.columns() as f64;
            let product = of_column * wanted.shortened(limits.flops).columns() as f64 / limits.flops;
            let count = candidates(self.kind(), wanted, *usual, &self.context.device.limits()).len();
            count as f64 * (overhead(self.kind()) + PRODUCTS * product)
        };
        missing.iter().map(cost).sum::<f64>() < SHARE * plan.seconds
    }

    fn tunes(&self, plan: &Plan) -> bool {
        // Other strategies have other products.
        let has_tiles = plan.strategy == Strategy::Direct && plan.request.stored.is_none();
        self.tuner.tuning != Tuning::Off && has_tiles
    }

    /// The products for which no tile is tuned, with the usual ones.
    fn missing(&self, plan: &Plan, all: Vec<Wanted>) -> Vec<(Wanted, Tile)> {
        let mut usual = plan.program.shape.tiles;
        let with_tile = all.into_iter().map(|w| (w, *w.place(&mut usual)));
        with_tile.filter(|(w, usual)| self.known(w, *usual).is_none()).collect()
    }

    /// Times the candidates of some products, and stores the fastest in memory.
    fn time_all(&mut self, plan: &Plan, missing: &[(Wanted, Tile)]) -> Result<Vec<TunedTile>> {
        let limits = self.limits(plan.request.precision)?;
        let new = missing
            .iter()
            .map(|(w, usual)| self.time(w, *usual, &limits))
            .collect::<Result<Vec<TunedTile>>>()?;
        self.tuner.known();
        self.tuner.known.get_mut().expect("initialised a line above").extend_from_slice(&new);
        Ok(new)
    }

    fn key(&self, wanted: &Wanted) -> TileKey {
        let info = self.info();
        let Measured { design: (n, q), side, lanes, width, precision, .. } = wanted.what;
        let (rows, inner) = if side == Side::Plain { (n, q) } else { (q, n) };
        TileKey {
            adapter: info.adapter,
            driver: info.driver,
            precision,
            side,
            fused: wanted.fused,
            rows: bucket(rows),
            inner: bucket(inner),
            lanes: bucket(lanes),
            width,
        }
    }

    /// The tuned tile of a product. A tile from the file is used only if it is among the candidates.
    fn known(&self, wanted: &Wanted, usual: Tile) -> Option<&TunedTile> {
        let key = self.key(wanted);
        let tuned = self.tuner.known().iter().rev().find(|tuned| tuned.key == key)?;
        candidates(self.kind(), wanted, usual, &self.context.device.limits())
            .contains(&tuned.tile)
            .then_some(tuned)
    }

    /// Times the candidates for a product.
    fn time(&self, wanted: &Wanted, usual: Tile, limits: &Limits) -> Result<TunedTile> {
        let what = wanted.shortened(limits.flops);
        let candidates = candidates(self.kind(), wanted, usual, &self.context.device.limits());
        let Measured { side, design: (n, q), lanes, width, .. } = what;
        log::info!(
            "timing {} tiles: {side:?} product, {n} x {q}, {lanes} lanes of {width} columns",
            candidates.len()
        );
        let context = &self.context;
        // Losing kernels are not kept, and the winning ones lack their epilogues.
        let mut library = Library::default();
        let mut rig = Rig::new(context, what)?;
        // All tiles are compiled before any is timed, so that the device is not idle in between.
        for &tile in candidates.iter().rev() {
            rig.compile(context, &mut library, tile)?;
        }
        rig.warm_up(context, &mut library, candidates[0])?;
        let (tile, seconds, usual_seconds) = fastest(&candidates, |tile, enough| {
            let seconds = rig.seconds(context, &mut library, tile, enough)?;
            log::info!("{tile:?}: {:.3} ms", 1e3 * seconds);
            Ok(seconds)
        })?;
        Ok(TunedTile { key: self.key(wanted), tile, seconds, usual_seconds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::gpu::{GpuContext, Pick};
    use crate::program::{Precision, Request};

    #[test]
    fn a_long_run_is_tuned_on_a_device_of_our_own() {
        let Ok(own) = GpuEngine::request(Pick::Any) else {
            assert!(std::env::var_os("PROXJET_REQUIRE_GPU").is_none(), "a GPU test without an adapter");
            return eprintln!("SKIPPED, no adapter");
        };
        let GpuContext { device, queue, info, .. } = own.context.clone();
        let borrowed = GpuEngine::new(GpuContext::from_device(device, queue, info).unwrap());
        let request = |iterations: usize| Request {
            strategy: Some(Strategy::Direct),
            check_every: 10,
            factored: false,
            ..Request::plain((12, 8), 4, 0, iterations, Precision::F32)
        };
        for (engine, tuned) in [(borrowed, 0), (own, 2)] {
            let mut engine = engine.tuning(Tuning::Auto).tile_cache(TileCache::none());
            let plan =
                |iterations| Plan::new(request(iterations), &engine.limits(Precision::F32).unwrap()).unwrap();
            let (short, long) = (plan(100), plan(1 << 24));
            engine.tune_for_run(&short);
            assert_eq!(engine.tuner.known().len(), 0);
            engine.tune_for_run(&long);
            assert_eq!(engine.tuner.known().len(), tuned);
        }
    }

    #[test]
    fn the_fastest_wins_and_chance_does_not() {
        let tile = |rows: usize| Tile { rows, lane4s: 1, group: [8, 8], depth: 0, unroll: 1 };
        // Seconds of each tile, and by how much the first round is slower.
        let run = |seconds: &[f64], first: f64| {
            let list: Vec<Tile> = (0..seconds.len()).map(tile).collect();
            let mut times = vec![0; seconds.len()];
            let found = fastest(&list, |tile, _| {
                times[tile.rows] += 1;
                Ok(seconds[tile.rows] * if times[tile.rows] == 1 { first } else { 1.0 })
            });
            let (tile, best, usual) = found.unwrap();
            assert_eq!(usual, seconds[0]);
            assert_eq!(best, seconds[tile.rows]);
            (tile.rows, times)
        };
        assert_eq!(run(&[4.0, 2.0, 3.5, 1.0], 1.0), (3, vec![ROUNDS, ROUNDS, 1, ROUNDS]));
        // A slow start, such as at a low clock rate, does not decide.
        assert_eq!(run(&[4.0, 2.0, 2.5, 1.0], 2.0).0, 3);
        assert_eq!(run(&[1.0, 0.99, 1.5], 1.0).0, 0);
        assert_eq!(run(&[1.0, 0.9, 0.89], 1.0).0, 2);
    }
}
