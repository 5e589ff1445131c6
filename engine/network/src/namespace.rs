//! Doing something inside another network namespace.
use std::{fs::File, io, os::fd::AsFd, path::Path};

use nix::sched::{CloneFlags, setns};

/// Runs `work` in the network namespace at `path`, on a thread that lives for this alone, so that no other code ever finds
/// itself in a foreign namespace. Sockets opened inside stay there. Errors: the namespace cannot be opened or entered.
pub fn inside<T: Send>(path: &Path, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let namespace = File::open(path)?;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("netns".to_owned()).spawn_scoped(scope, || {
            setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)?;
            Ok(work())
        })?;
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
