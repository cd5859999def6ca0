//! Ctrl-C: the first one ends the run at the next chunk and keeps its results, the second one ends the
//! program.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Once};

static INTERRUPTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Installs the handler for Ctrl-C and termination requests.
pub(crate) fn listen() {
    static LISTENING: Once = Once::new();
    LISTENING.call_once(|| {
        let heard = ctrlc::set_handler(|| {
            if INTERRUPTED.swap(true, Ordering::SeqCst) {
                std::process::exit(i32::from(crate::INTERRUPTED));
            }
            note!("\ninterrupted: finishing the chunk and keeping what is done (again to end at once)");
        });
        if let Err(e) = heard {
            log::warn!("Ctrl-C cannot be handled here ({e}): it will end the program without results");
        }
    });
}

/// A flag that is true once termination was requested.
pub(crate) fn flag() -> Arc<AtomicBool> {
    INTERRUPTED.clone()
}

/// True if termination was requested.
pub(crate) fn asked() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}
