//! Keeps a Vulkan layer from writing to stderr on machines without a display.

/// Set in the environment of the second start.
#[cfg(target_os = "linux")]
const SWITCH: &str = "NODEVICE_SELECT";

/// Mesa's device-select layer asks the display server which GPU it uses, and complains on stderr if there is
/// none. Its switch must be in the environment before the program starts: restarts the program with it, in
/// the same process. If that fails, only the complaint remains.
#[cfg(target_os = "linux")]
pub(crate) fn restart() {
    use std::os::unix::process::CommandExt;
    let display = std::env::var_os("XDG_RUNTIME_DIR").is_some_and(|dir| std::path::Path::new(&dir).is_dir());
    if display || std::env::var_os(SWITCH).is_some() {
        return;
    }
    if let Ok(program) = std::env::current_exe() {
        let error =
            std::process::Command::new(program).args(std::env::args_os().skip(1)).env(SWITCH, "1").exec();
        log::debug!("no restart without Mesa's device-select layer: {error}");
    }
}

/// Only Linux has the layer.
#[cfg(not(target_os = "linux"))]
pub(crate) fn restart() {}
