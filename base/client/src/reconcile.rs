//! The one reconcile loop: keys in, one reconcile at a time for each, again later when it failed or asked for it.
use std::{
    collections::{HashMap, HashSet, VecDeque},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use futures::{
    FutureExt, Stream, StreamExt,
    future::BoxFuture,
    stream::{self, FuturesUnordered},
};
use irori_runtime::{Backoff, OnEnd, Shutdown, Tasks};
use tokio_util::time::{DelayQueue, delay_queue};
use tracing::{debug, warn};

use crate::{Key, ReconcileError, error::chain};

/// What a loop runs: brings the world to what the object of `key` says. Must be safe to repeat at any time.
pub trait Reconciler: Send + Sync + 'static {
    /// Of the controller, for logs.
    fn name(&self) -> &'static str;
    fn reconcile(&self, key: Key) -> BoxFuture<'_, Result<Outcome, ReconcileError>>;
}

/// How a reconcile ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing to do until something changes.
    Done,
    /// Look again then, or earlier if something changes.
    After(Duration),
    /// The object is not there; what was remembered of it is forgotten.
    Gone,
}

/// Settings of the loop.
#[derive(Clone, Copy, Debug)]
pub struct Loop {
    /// Reconciles of different keys at once.
    pub workers: usize,
    /// Waits between failures of one key.
    pub backoff: Backoff,
}

impl Default for Loop {
    fn default() -> Self {
        Self { workers: 4, backoff: Backoff { first: Duration::from_millis(10), max: Duration::from_secs(300) } }
    }
}

/// Failures of one key before somebody is told; conflicts and races with caches heal earlier.
const FAILURES_QUIET: u32 = 3;

impl Loop {
    /// Spawns the loop. It ends at shutdown, after the reconciles that are under way, and its end before that is fatal to the process.
    pub fn run<R: Reconciler>(self, reconciler: R, triggers: impl Stream<Item = Key> + Send + 'static, tasks: &Tasks) {
        let shutdown = tasks.shutdown().clone();
        tasks.spawn(reconciler.name(), OnEnd::Fatal, async move {
            self.drive(Arc::new(reconciler), triggers, shutdown).await;
            Ok::<(), Infallible>(())
        });
    }

    async fn drive<R: Reconciler>(self, reconciler: Arc<R>, triggers: impl Stream<Item = Key> + Send, shutdown: Shutdown) {
        // Ended triggers are no reason to end: timers may still be set.
        let triggers = triggers.chain(stream::pending());
        tokio::pin!(triggers);
        let mut queue = Queue::new(self.backoff);
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < self.workers
                && let Some(key) = queue.start()
            {
                let reconciler = reconciler.clone();
                running.push(async move { (key.clone(), reconciler.reconcile(key).await) }.boxed());
            }
            tokio::select! {
                () = shutdown.wait() => break,
                Some((key, ended)) = running.next(), if !running.is_empty() => queue.end(reconciler.name(), &key, ended),
                Some(due) = queue.timers.next(), if !queue.timers.is_empty() => queue.due(due.into_inner()),
                Some(key) = triggers.next() => queue.trigger(key),
            }
        }
        while let Some((key, ended)) = running.next().await {
            queue.end(reconciler.name(), &key, ended);
        }
    }
}

/// Which keys wait, run, and are due later.
struct Queue {
    backoff: Backoff,
    ready: VecDeque<Key>,
    /// The same keys as in `ready`.
    queued: HashSet<Key>,
    /// Running keys; true: triggered again meanwhile.
    running: HashMap<Key, bool>,
    /// Failures in a row.
    failures: HashMap<Key, u32>,
    timers: DelayQueue<Key>,
    timer_of: HashMap<Key, delay_queue::Key>,
}

impl Queue {
    fn new(backoff: Backoff) -> Self {
        Self {
            backoff,
            ready: VecDeque::new(),
            queued: HashSet::new(),
            running: HashMap::new(),
            failures: HashMap::new(),
            timers: DelayQueue::new(),
            timer_of: HashMap::new(),
        }
    }

    /// Something changed: run as soon as there is a worker, or again after the present run.
    fn trigger(&mut self, key: Key) {
        if let Some(again) = self.running.get_mut(&key) {
            *again = true;
        } else if self.queued.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    fn due(&mut self, key: Key) {
        self.timer_of.remove(&key);
        self.trigger(key);
    }

    fn start(&mut self) -> Option<Key> {
        let key = self.ready.pop_front()?;
        self.queued.remove(&key);
        if let Some(timer) = self.timer_of.remove(&key) {
            self.timers.remove(&timer);
        }
        self.running.insert(key.clone(), false);
        Some(key)
    }

    fn end(&mut self, controller: &'static str, key: &Key, ended: Result<Outcome, ReconcileError>) {
        let again = self.running.remove(key).unwrap_or(false);
        let wait = match ended {
            Ok(outcome) => {
                self.failures.remove(key);
                match outcome {
                    Outcome::After(wait) => Some(wait),
                    Outcome::Done | Outcome::Gone => None,
                }
            }
            // What cannot be made there is not wanted any more: the object's own deletion is on its way.
            Err(source) if source.is_namespace_terminating() => {
                debug!(controller, %key, "reconcile: {}", chain(&source));
                self.failures.remove(key);
                None
            }
            Err(source) => {
                let failures = self.failures.entry(key.clone()).or_default();
                let wait = self.backoff.wait(*failures);
                *failures = failures.saturating_add(1);
                if *failures > FAILURES_QUIET && !source.is_conflict() {
                    warn!(controller, %key, failures, "reconcile: {}", chain(&source));
                } else {
                    debug!(controller, %key, failures, "reconcile: {}", chain(&source));
                }
                Some(wait)
            }
        };
        if again {
            self.trigger(key.clone());
        } else if let Some(wait) = wait {
            let timer = self.timers.insert(key.clone(), wait);
            self.timer_of.insert(key.clone(), timer);
        }
    }
}

#[cfg(test)]
mod tests;
