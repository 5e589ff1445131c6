//! The queues between the store and its watchers. A watcher is touched only by events below its prefix.
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use super::hub::weight;
use crate::contract::{Event, WatchEnd};

/// Events that may wait for one watcher; above, it is closed with `Lagged`.
const QUEUE_EVENTS_MAX: usize = 4_096;
/// Bytes of events that may wait for one watcher; above, it is closed with `Lagged`.
const QUEUE_BYTES_MAX: usize = 8 << 20;

/// Events on their way to one watcher.
pub struct Queue {
    prefix: Box<str>,
    inner: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    events: Vec<Arc<Event>>,
    bytes: usize,
    end: Option<WatchEnd>,
    waker: Option<Waker>,
}

impl Queue {
    fn inner(&self) -> MutexGuard<'_, Waiting> {
        self.inner.lock().expect("no holder of this lock panics")
    }

    /// All that waits, or why nothing comes any more.
    pub fn poll(&self, context: &Context<'_>) -> Poll<Result<Vec<Arc<Event>>, WatchEnd>> {
        let mut inner = self.inner();
        if !inner.events.is_empty() {
            inner.bytes = 0;
            return Poll::Ready(Ok(std::mem::take(&mut inner.events)));
        }
        if let Some(end) = &inner.end {
            return Poll::Ready(Err(end.clone()));
        }
        if !inner.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            inner.waker = Some(context.waker().clone());
        }
        Poll::Pending
    }

    /// The oldest event that waits.
    pub fn first(&self) -> Option<Arc<Event>> {
        self.inner().events.first().cloned()
    }

    fn end(&self, end: WatchEnd) {
        let mut inner = self.inner();
        inner.end.get_or_insert(end);
        let waker = inner.waker.take();
        drop(inner);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Adds the events of a batch, all at once, so that a watcher never sees half a commit. Returns who to wake.
    fn push(&self, events: &[&Arc<Event>], bytes: usize) -> Option<Waker> {
        let mut inner = self.inner();
        if inner.end.is_some() {
            return None;
        }
        // A watcher that has nothing left to read gets a batch of any size.
        let too_many = inner.events.len() + events.len() > QUEUE_EVENTS_MAX || inner.bytes + bytes > QUEUE_BYTES_MAX;
        if too_many && !inner.events.is_empty() {
            inner.events = Vec::new();
            inner.end = Some(WatchEnd::Lagged);
        } else {
            inner.bytes += bytes;
            inner.events.extend(events.iter().copied().cloned());
        }
        inner.waker.take()
    }
}

/// All queues, found by prefix.
#[derive(Default)]
pub struct Watchers {
    by_prefix: HashMap<Box<str>, Vec<Arc<Queue>>>,
    /// How many different prefixes there are of each length: the lengths that a key is cut to when looking for its watchers.
    lengths: BTreeMap<usize, usize>,
}

impl Watchers {
    pub fn len(&self) -> usize {
        self.by_prefix.values().map(Vec::len).sum()
    }

    pub fn add(&mut self, prefix: &str) -> Arc<Queue> {
        let queue = Arc::new(Queue { prefix: prefix.into(), inner: Mutex::default() });
        let same = self.by_prefix.entry(prefix.into()).or_default();
        if same.is_empty() {
            *self.lengths.entry(prefix.len()).or_default() += 1;
        }
        same.push(queue.clone());
        queue
    }

    pub fn remove(&mut self, queue: &Arc<Queue>) {
        let Some(same) = self.by_prefix.get_mut(&queue.prefix) else { return };
        same.retain(|other| !Arc::ptr_eq(other, queue));
        if same.is_empty() {
            self.by_prefix.remove(&queue.prefix);
            if let Some(count) = self.lengths.get_mut(&queue.prefix.len()) {
                *count -= 1;
                if *count == 0 {
                    self.lengths.remove(&queue.prefix.len());
                }
            }
        }
    }

    /// Gives each event to the watchers of its key, then wakes them.
    pub fn deliver(&self, events: &[Arc<Event>]) {
        let mut batches: HashMap<&str, Vec<&Arc<Event>>> = HashMap::new();
        for event in events {
            for length in self.lengths.range(..=event.key.len()).map(|(length, _)| *length) {
                // A prefix that ends within a character of this key is not a prefix of it.
                let Some(cut) = event.key.get(..length) else { continue };
                if let Some((prefix, _)) = self.by_prefix.get_key_value(cut) {
                    batches.entry(prefix).or_default().push(event);
                }
            }
        }
        let mut wakers = Vec::new();
        for (prefix, events) in batches {
            let bytes = events.iter().map(|event| weight(event)).sum();
            wakers.extend(self.by_prefix[prefix].iter().filter_map(|queue| queue.push(&events, bytes)));
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Ends all watches.
    pub fn end(&mut self, end: &WatchEnd) {
        self.lengths.clear();
        for queue in self.by_prefix.drain().flat_map(|(_, same)| same) {
            queue.end(end.clone());
        }
    }
}
