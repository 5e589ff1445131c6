//! The one way to spawn a task: named, counted, with a declared policy for its end.
use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::FutureExt;
use tokio::task::AbortHandle;
use tracing::error;

use crate::Shutdown;

/// What the end of a task means for the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnEnd {
    /// The process cannot go on without it: an end before shutdown, an error or a panic starts the shutdown.
    Fatal,
    /// It may end at any time (a connection, one exec); an error is logged, a panic is logged as the bug it is.
    Contained,
}

/// A running task, for an operator.
#[derive(Clone, Debug)]
pub struct TaskInfo {
    pub name: &'static str,
    pub running_for: Duration,
}

/// The set of a process's tasks. Clones share the set.
#[derive(Clone)]
pub struct Tasks(Arc<Inner>);

struct Inner {
    shutdown: Shutdown,
    next: AtomicU64,
    running: Mutex<BTreeMap<u64, Running>>,
    /// How often tasks of each name were woken, those that have ended included.
    wakeups: Mutex<BTreeMap<&'static str, Arc<AtomicU64>>>,
    changed: tokio::sync::Notify,
}

struct Running {
    name: &'static str,
    since: Instant,
    abort: Option<AbortHandle>,
}

impl Tasks {
    /// A set whose fatal ends give `shutdown`.
    pub fn new(shutdown: Shutdown) -> Self {
        Self(Arc::new(Inner {
            shutdown,
            next: AtomicU64::new(0),
            running: Mutex::default(),
            wakeups: Mutex::default(),
            changed: tokio::sync::Notify::new(),
        }))
    }

    /// The signal at which tasks of this set end.
    pub fn shutdown(&self) -> &Shutdown {
        &self.0.shutdown
    }

    /// Spawns `work`. It has to watch the shutdown signal itself where it should end cleanly.
    pub fn spawn<E>(&self, name: &'static str, on_end: OnEnd, work: impl Future<Output = Result<(), E>> + Send + 'static)
    where
        E: std::fmt::Display + Send + 'static,
    {
        let inner = self.0.clone();
        let id = inner.next.fetch_add(1, Ordering::Relaxed);
        lock(&inner).insert(id, Running { name, since: Instant::now(), abort: None });
        let wakeups = self.0.wakeups.lock().expect("no holder of this lock panics").entry(name).or_default().clone();
        let task = tokio::spawn(async move {
            let _registered = Registered { inner: inner.clone(), id };
            let mut work = std::pin::pin!(std::panic::AssertUnwindSafe(work).catch_unwind());
            let counted = std::future::poll_fn(|context| {
                wakeups.fetch_add(1, Ordering::Relaxed);
                work.as_mut().poll(context)
            });
            let end = counted.await;
            match (&end, on_end) {
                (Ok(Ok(())), OnEnd::Contained) => {}
                (Ok(Ok(())), OnEnd::Fatal) if inner.shutdown.started() => {}
                (Ok(Ok(())), OnEnd::Fatal) => error!(task = name, "task ended before shutdown"),
                (Ok(Err(source)), _) => error!(task = name, "task failed: {source}"),
                (Err(_), _) => error!(task = name, "task panicked"),
            }
            if on_end == OnEnd::Fatal {
                inner.shutdown.start();
            }
        });
        if let Some(running) = lock(&self.0).get_mut(&id) {
            running.abort = Some(task.abort_handle());
        }
    }

    /// What is running now, oldest first.
    pub fn list(&self) -> Vec<TaskInfo> {
        lock(&self.0).values().map(|r| TaskInfo { name: r.name, running_for: r.since.elapsed() }).collect()
    }

    /// How often tasks of each name were woken so far, by name: what keeps a process busy that should be idle.
    pub fn wakeups(&self) -> Vec<(&'static str, u64)> {
        let wakeups = self.0.wakeups.lock().expect("no holder of this lock panics");
        wakeups.iter().map(|(name, count)| (*name, count.load(Ordering::Relaxed))).collect()
    }

    /// Waits until every task has ended, at most `limit`; what is left then is aborted and named.
    pub async fn drain(&self, limit: Duration) -> Vec<&'static str> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if lock(&self.0).is_empty() {
                return Vec::new();
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                let left = lock(&self.0);
                left.values().filter_map(|r| r.abort.as_ref()).for_each(AbortHandle::abort);
                return left.values().map(|r| r.name).collect();
            }
        }
    }
}

fn lock(inner: &Inner) -> std::sync::MutexGuard<'_, BTreeMap<u64, Running>> {
    inner.running.lock().expect("no holder of this lock panics")
}

/// Takes the task off the list however it ends, aborts included.
struct Registered {
    inner: Arc<Inner>,
    id: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        lock(&self.inner).remove(&self.id);
        self.inner.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_fatal_task_that_ends_early_starts_the_shutdown() {
        let tasks = Tasks::new(Shutdown::new());
        tasks.spawn("short", OnEnd::Fatal, async { Ok::<(), String>(()) });
        tasks.shutdown().wait().await;
        assert!(tasks.drain(Duration::from_secs(5)).await.is_empty());
    }

    #[tokio::test]
    async fn wakeups_are_counted_by_name_and_outlast_the_task() {
        let tasks = Tasks::new(Shutdown::new());
        for times in [1, 2] {
            tasks.spawn("yields", OnEnd::Contained, async move {
                for _ in 0..times {
                    tokio::task::yield_now().await;
                }
                Ok::<(), String>(())
            });
        }
        assert!(tasks.drain(Duration::from_secs(5)).await.is_empty());
        assert_eq!(tasks.wakeups(), [("yields", 2 + 3)]);
    }

    #[tokio::test]
    async fn a_panic_in_a_contained_task_is_told_and_ends_nothing_else() {
        let tasks = Tasks::new(Shutdown::new());
        tasks.spawn("bug", OnEnd::Contained, async { if true { panic!("a bug") } else { Ok::<(), String>(()) } });
        assert!(tasks.drain(Duration::from_secs(5)).await.is_empty());
        assert!(!tasks.shutdown().started());
    }

    #[tokio::test]
    async fn a_drain_names_what_did_not_end_in_time() {
        let tasks = Tasks::new(Shutdown::new());
        tasks.spawn("stuck", OnEnd::Contained, std::future::pending::<Result<(), String>>());
        assert_eq!(tasks.drain(Duration::from_millis(10)).await, vec!["stuck"]);
    }

    #[tokio::test]
    async fn a_contained_error_leaves_the_process_running() {
        let tasks = Tasks::new(Shutdown::new());
        tasks.spawn("one", OnEnd::Contained, async { Err::<(), _>("gone") });
        assert!(tasks.drain(Duration::from_secs(5)).await.is_empty());
        assert!(!tasks.shutdown().started());
    }
}
