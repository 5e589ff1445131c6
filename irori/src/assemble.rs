//! Puts the rooms together. The only place that knows which part talks to which, and as whom.
pub mod node;
pub mod objects;
pub mod platform;
pub mod ranges;
pub mod reachable;
pub mod server;
pub mod servers;
pub mod storage;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use irori_runtime::{Clock, OnEnd, Shutdown, SignedDuration, Tasks, Timestamp};
use irori_store::Store;

use crate::data::DataDir;

/// What every part of a process stands on.
#[derive(Clone)]
pub struct Context {
    pub data: DataDir,
    pub instance: String,
    pub clock: Clock,
    pub tasks: Tasks,
    /// The store's own: they end after everything that writes has ended.
    pub store_tasks: Tasks,
    signals: Arc<Signals>,
}

/// What a person or the system has asked for.
#[derive(Default)]
struct Signals {
    heeded: AtomicBool,
    asked_to_end: AtomicBool,
}

/// What open requests and reconciles get after shutdown was asked for.
pub const DRAIN_MAX: Duration = Duration::from_secs(10);

impl Context {
    pub fn new(data: DataDir, offset: SignedDuration) -> Result<Self> {
        let instance = data.instance()?;
        let clock = Clock::system(floor(data.root()), offset);
        let shutdown = Shutdown::new();
        let (tasks, store_tasks) = (Tasks::new(shutdown.clone()), Tasks::new(shutdown));
        Ok(Self { data, instance, clock, tasks, store_tasks, signals: Arc::default() })
    }

    /// From here on Ctrl-C and SIGTERM start the shutdown instead of ending the process where it is.
    pub fn heed_signals(&self) -> Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        if self.signals.heeded.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
        let (signals, shutdown) = (self.signals.clone(), self.tasks.shutdown().clone());
        self.tasks.spawn("signals", OnEnd::Contained, async move {
            let asked = async {
                tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            };
            if shutdown.guard(asked).await.is_some() {
                signals.asked_to_end.store(true, Ordering::Relaxed);
                shutdown.start();
            }
            Ok::<(), std::convert::Infallible>(())
        });
        Ok(())
    }

    /// Does something at the start; `None` if the process was asked to end, or has to, before that was done.
    pub async fn unless_ended<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.tasks.shutdown().guard(work).await
    }

    /// Waits for Ctrl-C, SIGTERM or a fatal end, then ends everything: the parts first, then the store they write to.
    pub async fn wait(&self, store: Option<&dyn Store>) -> Result<()> {
        self.heed_signals()?;
        self.tasks.shutdown().wait().await;
        self.end(store).await;
        let asked = self.signals.asked_to_end.load(Ordering::Relaxed);
        anyhow::ensure!(asked, "a part that the home cannot do without has ended; the log says why");
        Ok(())
    }

    /// Ends everything within a deadline, and says what did not end.
    pub async fn end(&self, store: Option<&dyn Store>) {
        self.tasks.shutdown().start();
        let mut left = self.tasks.drain(DRAIN_MAX).await;
        if let Some(store) = store
            && let Err(source) = store.close().await
        {
            tracing::error!("close the store: {source}");
        }
        left.extend(self.store_tasks.drain(DRAIN_MAX).await);
        if !left.is_empty() {
            tracing::warn!("gave up waiting for: {}", left.join(", "));
        }
    }
}

/// It is at least as late as when irori was built, and as when this home last wrote.
fn floor(data: &Path) -> Timestamp {
    let built = env!("IRORI_BUILD_SECONDS").parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let files = std::fs::read_dir(data.join("store")).into_iter().flatten().flatten();
    let written = files.filter_map(|file| Timestamp::try_from(file.metadata().ok()?.modified().ok()?).ok()).max();
    built.max(written).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A runtime for a process that idles: few threads, small stacks.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .max_blocking_threads(64)
        .thread_keep_alive(Duration::from_secs(5))
        .on_thread_start(irori_runtime::short_turns)
        .enable_all()
        .build()
        .context("start the runtime")
}
