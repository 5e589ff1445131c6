//! What happened, to one reader: at most one change waits per key, so a slow reader costs no more than the objects it watches.
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use futures::Stream;

use crate::Key;

/// From what to what an object changed. Several changes that the reader was too slow for are one; an object that was deleted and made
/// anew under its name in between shows as `old` and `new` with different uids.
#[derive(Debug)]
pub struct Change<K> {
    pub key: Key,
    /// What the reader saw last; `None`: it was not there.
    pub old: Option<Arc<K>>,
    /// What is now; `None`: it is gone.
    pub new: Option<Arc<K>>,
}

impl<K> Change<K> {
    /// The object as it is, or as it was last.
    pub fn any(&self) -> Option<&Arc<K>> {
        self.new.as_ref().or(self.old.as_ref())
    }

    /// Both states that are there, old first.
    pub fn states(&self) -> impl Iterator<Item = &Arc<K>> {
        self.old.iter().chain(&self.new)
    }
}

impl<K> Clone for Change<K> {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), old: self.old.clone(), new: self.new.clone() }
    }
}

/// The mailbox of one reader.
pub(crate) struct Mailbox<K>(Mutex<Waiting<K>>);

struct Waiting<K> {
    order: VecDeque<Key>,
    changes: BTreeMap<Key, States<K>>,
    waker: Option<Waker>,
    closed: bool,
}

/// `old` as the reader last saw it, and what is now.
type States<K> = (Option<Arc<K>>, Option<Arc<K>>);

impl<K> Mailbox<K> {
    pub(crate) fn new(present: impl Iterator<Item = (Key, Arc<K>)>) -> Arc<Self> {
        let changes: BTreeMap<_, _> = present.map(|(key, object)| (key, (None, Some(object)))).collect();
        let order = changes.keys().cloned().collect();
        Arc::new(Self(Mutex::new(Waiting { order, changes, waker: None, closed: false })))
    }

    /// Adds a change; never blocks for long.
    pub(crate) fn put(&self, change: Change<K>) {
        let mut waiting = self.lock();
        match waiting.changes.get_mut(&change.key) {
            Some((_, new)) => *new = change.new, // made and gone unseen is dropped at the reading end
            None => {
                waiting.order.push_back(change.key.clone());
                waiting.changes.insert(change.key, (change.old, change.new));
            }
        }
        if let Some(waker) = waiting.waker.take() {
            waker.wake();
        }
    }

    /// Ends the reader's stream once it is empty.
    pub(crate) fn close(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        if let Some(waker) = waiting.waker.take() {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<K>> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

/// The changes of one informer, as one reader sees them: first all objects that are there, as creations.
pub struct ChangeStream<K> {
    pub(crate) mailbox: Arc<Mailbox<K>>,
    /// Keeps the watch alive as long as somebody reads.
    pub(crate) _watch: Arc<dyn std::any::Any + Send + Sync>,
}

impl<K> fmt::Debug for ChangeStream<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChangeStream({} waiting)", self.mailbox.lock().order.len())
    }
}

impl<K> Stream for ChangeStream<K> {
    type Item = Change<K>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut waiting = self.mailbox.lock();
        while let Some(key) = waiting.order.pop_front() {
            let Some((old, new)) = waiting.changes.remove(&key) else { continue };
            if old.is_some() || new.is_some() {
                return Poll::Ready(Some(Change { key, old, new }));
            }
        }
        if waiting.closed {
            return Poll::Ready(None);
        }
        waiting.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
