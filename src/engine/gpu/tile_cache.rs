//! Cache of tuned tiles, in a file of the user's cache folder.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use etcetera::base_strategy::{BaseStrategy, choose_native_strategy};
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::program::Precision;
use crate::program::{Side, Tile};

/// The key of a tuned tile: the device and the product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TileKey {
    /// Adapter.
    pub adapter: String,
    /// Driver, its version and the backend.
    pub driver: String,
    /// Arithmetic.
    pub precision: Precision,
    /// Side of the design that is summed over.
    pub side: Side,
    /// True if an epilogue follows: a step, or an observation.
    pub fused: bool,
    /// Rows of the result, rounded to a power of two.
    pub rows: usize,
    /// Terms of a sum, rounded to a power of two.
    pub inner: usize,
    /// Lanes, rounded to a power of two.
    pub lanes: usize,
    /// Columns of a lane that are computed together.
    pub width: usize,
}

/// A tuned tile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TunedTile {
    /// The device and the product for which it was tuned.
    pub key: TileKey,
    /// The tile.
    pub tile: Tile,
    /// Seconds of the timed product.
    pub seconds: f64,
    /// The same with the usual tile of such devices.
    pub usual_seconds: f64,
}

/// The file's name.
const NAME: &str = "tiles.json";
/// Format of the file. Files of another format are ignored, and replaced when the next tile is tuned.
const VERSION: u32 = 1;
/// A larger file was not written by this crate.
const MAX_BYTES: u64 = 1 << 20;
/// Most tiles kept, the newest ones.
const MAX_TILES: usize = 1000;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    tiles: Vec<TunedTile>,
}

/// Storage of tuned tiles between programs.
#[derive(Debug, Clone)]
pub struct TileCache {
    folder: Option<PathBuf>,
}

impl TileCache {
    /// In the folder that the environment variable `PROXJET_CACHE` names, else in `proxjet` of the user's
    /// cache folder. If there is neither, tiles are kept as long as their engine.
    pub fn of_user() -> Self {
        let asked = std::env::var_os("PROXJET_CACHE").filter(|v| !v.is_empty()).map(PathBuf::from);
        TileCache {
            folder: asked.or_else(|| Some(choose_native_strategy().ok()?.cache_dir().join("proxjet"))),
        }
    }

    /// In a folder, which is created when the first tile is stored.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        TileCache { folder: Some(folder.into()) }
    }

    /// Nowhere: tiles are kept as long as their engine.
    pub fn none() -> Self {
        TileCache { folder: None }
    }

    /// The path of the file, if there is a folder for it.
    pub fn file(&self) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(NAME))
    }

    /// The stored tiles. A file that cannot be read, or has another format, counts as empty, with a warning.
    pub fn read(&self) -> Vec<TunedTile> {
        let Some(file) = self.file() else { return Vec::new() };
        match read(&file) {
            Ok(tiles) => tiles,
            Err(e) => {
                log::warn!(
                    "tuned tiles are ignored: {}: {e}; `proxjet tuner clear` removes them",
                    file.display()
                );
                Vec::new()
            }
        }
    }

    /// Adds tiles, each replacing an older one of the same key. The file is replaced as a whole: if two
    /// programs add at the same moment, one may have to tune again, but the file is never a mixture.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn add(&self, new: &[TunedTile]) -> Result<()> {
        let (Some(folder), Some(file)) = (&self.folder, self.file()) else { return Ok(()) };
        let mut tiles = self.read();
        tiles.retain(|old| new.iter().all(|tile| tile.key != old.key));
        tiles.extend_from_slice(new);
        tiles.drain(..tiles.len().saturating_sub(MAX_TILES));
        write(folder, &file, &Content { version: VERSION, tiles }).map_err(|e| {
            let remedy = "Let PROXJET_CACHE name a folder that can be written.";
            Error::new(
                ErrorKind::Output,
                file.display().to_string(),
                e.to_string(),
                "a file of tuned tiles",
                remedy,
            )
            .with_source(e)
        })
    }

    /// Removes the file. Returns true if there was one.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn clear(&self) -> Result<bool> {
        let Some(file) = self.file() else { return Ok(false) };
        match fs::remove_file(&file) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => {
                let at = file.display().to_string();
                Err(Error::new(
                    ErrorKind::Output,
                    at,
                    e.to_string(),
                    "a file that can be removed",
                    "Remove it by hand.",
                )
                .with_source(e))
            }
        }
    }
}

fn read(file: &Path) -> std::result::Result<Vec<TunedTile>, String> {
    let file = match File::open(file) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e.to_string()),
    };
    let mut text = String::new();
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|e| e.to_string())?;
    if text.len() as u64 > MAX_BYTES {
        return Err("larger than any file of tuned tiles".into());
    }
    #[derive(Deserialize)]
    struct Header {
        version: u32,
    }
    let header: Header = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    if header.version != VERSION {
        return Err(format!("of format {}, where this program has {VERSION}", header.version));
    }
    let content: Content = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    Ok(content.tiles)
}

fn write(folder: &Path, file: &Path, content: &Content) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(serde_json::to_string_pretty(content)?.as_bytes())?;
    new.as_file().sync_all()?;
    new.persist(file).map(|_| ()).map_err(|e| e.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuned(rows: usize, seconds: f64) -> TunedTile {
        TunedTile {
            key: TileKey {
                adapter: "A".into(),
                driver: "D 1 (Vulkan)".into(),
                precision: Precision::F64,
                side: Side::Transposed,
                fused: true,
                rows,
                inner: 64,
                lanes: 32,
                width: 2,
            },
            tile: Tile { rows: 8, lane4s: 2, group: [8, 8], depth: 16, unroll: 1 },
            seconds,
            usual_seconds: 2.0 * seconds,
        }
    }

    #[test]
    fn tiles_survive_and_the_newest_counts() {
        let folder = tempfile::tempdir().unwrap();
        let cache = TileCache::in_folder(folder.path().join("new/folder"));
        assert!(cache.read().is_empty());
        cache.add(&[tuned(8, 0.1), tuned(16, 0.2)]).unwrap();
        cache.add(&[tuned(8, 0.3)]).unwrap();
        assert_eq!(cache.read(), [tuned(16, 0.2), tuned(8, 0.3)]);
        let many: Vec<TunedTile> = (0..MAX_TILES + 5).map(|rows| tuned(100 + rows, 0.25)).collect();
        cache.add(&many).unwrap();
        assert_eq!(cache.read(), many[5..]);
        // The folder contains nothing but the file.
        assert_eq!(fs::read_dir(folder.path().join("new/folder")).unwrap().count(), 1);
        assert!(cache.clear().unwrap());
        assert!(!cache.clear().unwrap());
        assert!(cache.read().is_empty());
    }

    #[test]
    fn the_most_tiles_fit_the_file() {
        let long = "An adapter with a long name (and what its vendor adds)".to_string();
        let mut one = tuned(1 << 40, 1.234_567_890_123_456_7e-3);
        (one.key.adapter, one.key.driver) = (long.clone(), long);
        let content = Content { version: VERSION, tiles: vec![one; MAX_TILES] };
        assert!((serde_json::to_string_pretty(&content).unwrap().len() as u64) < MAX_BYTES);
    }

    #[test]
    fn foreign_files_are_ignored_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let cache = TileCache::in_folder(folder.path());
        let file = cache.file().unwrap();
        cache.add(&[tuned(8, 0.1)]).unwrap();
        let good = fs::read_to_string(&file).unwrap();
        let bad = [
            String::new(),
            "{".into(),
            "[1, 2]".into(),
            good[..good.len() / 2].to_string(),
            good.replace("\"version\": 1", "\"version\": 2"),
            good.replace("\"lane4s\": 2", "\"lane4s\": -2"),
            good.replace("\"lane4s\"", "\"quarts\""),
            " ".repeat(MAX_BYTES as usize + 1),
        ];
        for text in bad {
            assert_ne!(text, good);
            fs::write(&file, &text).unwrap();
            assert!(cache.read().is_empty(), "{text:.80}");
            cache.add(&[tuned(16, 0.2)]).unwrap();
            assert_eq!(cache.read(), [tuned(16, 0.2)]);
        }
        fs::write(&file, [0xff, 0xfe, 0]).unwrap();
        assert!(cache.read().is_empty());
        // A folder in place of the file: nothing is read, and adding returns an error with the remedy.
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert!(cache.read().is_empty());
        let refused = cache.add(&[tuned(16, 0.2)]).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Output);
        assert!(refused.remedy.contains("PROXJET_CACHE"), "{refused}");
    }
}
