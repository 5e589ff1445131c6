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

use super::proc;

static ASKED: AtomicBool = AtomicBool::new(false);
/// A machine this little in use is quiet, seen for so long.
const QUIET: f64 = 0.1;
const QUIET_FOR: Duration = Duration::from_secs(5);
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

/// Part of the machine's cores that is in use, seen over a while.
pub fn busy(time: Duration) -> Result<f64> {
    let (before, started) = (proc::machine_busy(), Instant::now());
    pause(time)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    Ok(proc::machine_busy().saturating_sub(before).as_secs_f64() / (started.elapsed().as_secs_f64() * cores))
}

/// Waits until nothing else uses the machine, or the time for it is over.
pub fn wait_quiet(limit: Duration) -> Result<()> {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline && busy(QUIET_FOR)? > QUIET {}
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
