//! The output folder.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use proxjet::error::{Error, ErrorKind, Result};

/// A folder for results; each file is written completely or not at all.
#[derive(Debug, Clone)]
pub struct OutputDir {
    path: PathBuf,
}

impl OutputDir {
    /// Creates the folder if it is missing, and checks that files can be written to it.
    ///
    /// # Errors
    /// A path that is a file, or a folder that cannot be created or written.
    pub fn create(path: &Path) -> Result<Self> {
        let dir = OutputDir { path: path.to_path_buf() };
        std::fs::create_dir_all(path).map_err(|e| failed(path, e))?;
        temporary(".probe.").tempfile_in(path).map_err(|e| failed(path, e))?;
        dir.sweep();
        Ok(dir)
    }

    /// Removes temporary files of earlier runs that were killed while they wrote: those that are old and that
    /// no process has locked.
    fn sweep(&self) {
        let Ok(entries) = std::fs::read_dir(&self.path) else { return };
        for entry in entries.flatten().filter(|entry| is_temporary(&entry.file_name())) {
            let (path, old) = (entry.path(), entry.metadata().is_ok_and(|m| m.is_file() && is_old(&m)));
            let unlocked = || std::fs::File::open(&path).is_ok_and(|file| file.try_lock().is_ok());
            if old && unlocked() {
                // Another process may have swept it.
                let _ = std::fs::remove_file(&path);
            }
        }
    }

    /// The folder of an output file, created if it is missing, and the name of the file.
    ///
    /// # Errors
    /// A path without a file name, and as [`create`](Self::create).
    pub fn of_file(path: &Path) -> Result<(Self, String)> {
        let Some(name) = path.file_name().filter(|_| !path.is_dir()).and_then(|n| n.to_str()) else {
            let (found, remedy) = (path.display().to_string(), "Give it one, as in out.csv.");
            return Err(Error::new(ErrorKind::Output, "out", found, "the name of a file", remedy));
        };
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok((Self::create(parent)?, name.into()))
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file `name` of an earlier run, if there is one.
    ///
    /// # Errors
    /// A file that cannot be removed.
    pub fn remove(&self, name: &str) -> Result<()> {
        let target = self.path.join(name);
        match std::fs::remove_file(&target) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(failed(&target, e)),
            _ => Ok(()),
        }
    }

    /// Writes the file `name`: under a temporary name, to the disk, then renamed. A failure keeps the
    /// previous file.
    ///
    /// # Errors
    /// Any failure to write the complete file, for example a full disk.
    pub fn write(
        &self,
        name: &str,
        content: impl FnOnce(&mut BufWriter<&mut std::fs::File>) -> std::io::Result<()>,
    ) -> Result<PathBuf> {
        let target = self.path.join(name);
        let whole = || -> std::io::Result<()> {
            let prefix = format!(".{name}.");
            let mut builder = temporary(&prefix);
            // Results are readable as the umask allows, unlike temporary files.
            #[cfg(unix)]
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
            let mut file = builder.tempfile_in(&self.path)?;
            // Tells other processes that it is in use; where files have no locks, its age does.
            let _ = file.as_file().try_lock();
            let mut writer = BufWriter::new(file.as_file_mut());
            content(&mut writer)?;
            writer.flush()?;
            drop(writer);
            file.as_file().sync_all()?;
            file.persist(&target).map_err(|e| e.error)?;
            Ok(())
        };
        whole().map_err(|e| failed(&target, e))?;
        Ok(target)
    }
}

/// The end of the names of temporary files.
const SUFFIX: &str = ".proxjet-tmp";
/// Age of a temporary file that may be swept.
const OLD: Duration = Duration::from_secs(60);

fn temporary(prefix: &str) -> tempfile::Builder<'_, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix).suffix(SUFFIX);
    builder
}

fn is_temporary(name: &std::ffi::OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with('.') && name.ends_with(SUFFIX))
}

fn is_old(file: &std::fs::Metadata) -> bool {
    let age = file.modified().ok().and_then(|time| SystemTime::now().duration_since(time).ok());
    age.is_some_and(|age| age >= OLD)
}

fn failed(at: &Path, error: std::io::Error) -> Error {
    use std::io::ErrorKind as Io;
    let remedy = match error.kind() {
        Io::StorageFull | Io::QuotaExceeded => {
            "Free some space or choose another `out`; nothing half-written was left."
        }
        Io::PermissionDenied | Io::ReadOnlyFilesystem => "Choose an `out` that you may write to.",
        Io::NotADirectory | Io::AlreadyExists => "Choose an `out` that is not a file.",
        _ => "Choose another `out`.",
    };
    Error::new(
        ErrorKind::Output,
        at.display().to_string(),
        error.to_string(),
        "a file that can be written",
        remedy,
    )
    .with_source(error)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_new_file_replaces_the_old_one_by_renaming() {
        let folder = tempfile::tempdir().unwrap();
        let out = OutputDir::create(folder.path()).unwrap();
        let path = out.write("a", |w| w.write_all(b"old")).unwrap();
        // A reader of the old file can continue: the new one is a separate file with the same name.
        let mut reader = std::fs::File::open(&path).unwrap();
        out.write("a", |w| w.write_all(b"new")).unwrap();
        let mut seen = String::new();
        reader.read_to_string(&mut seen).unwrap();
        assert_eq!((seen.as_str(), std::fs::read(&path).unwrap()), ("old", b"new".to_vec()));
    }
}
