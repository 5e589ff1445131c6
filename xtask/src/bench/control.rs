//! Ctrl-C and SIGTERM end a bench in order: what it started has to go with it.
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::signal::unix::{SignalKind, signal as listen};

static ASKED: AtomicBool = AtomicBool::new(false);
/// Between two looks at something that cannot be waited for.
const LOOK: Duration = Duration::from_millis(5);

/// From now on the two signals only set a mark; programs started later get them as usual.
pub fn catch_signals() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the signal thread")?;
    let guard = runtime.enter();
    let mut interrupt = listen(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminate = listen(SignalKind::terminate()).context("listen for SIGTERM")?;
    drop(guard);
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
            ASKED.store(true, Ordering::Relaxed);
            // Both stay caught to the end: cleaning up must not be cut short.
            std::future::pending::<()>().await;
        });
    });
    Ok(())
}

/// Fails once the bench was asked to end.
pub fn check() -> Result<()> {
    if ASKED.load(Ordering::Relaxed) {
        bail!("ended by a signal");
    }
    Ok(())
}

/// Waits, at most a moment longer than a signal takes.
pub fn pause(time: Duration) -> Result<()> {
    let deadline = Instant::now() + time;
    while let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        check()?;
        std::thread::sleep(left.min(Duration::from_millis(200)));
    }
    Ok(())
}

/// Looks until something is found; the error says what was waited for.
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        check()?;
        if Instant::now() >= deadline {
            bail!("{what}: not within {} s", limit.as_secs());
        }
        std::thread::sleep(LOOK);
    }
}

/// Sends a signal to a process that this bench started.
pub fn signal(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid).context("a process id")?;
    kill(Pid::from_raw(pid), signal).with_context(|| format!("send {signal} to process {pid}"))
}
