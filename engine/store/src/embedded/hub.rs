//! The published state, the newest events, and who waits for them.
//!
//! Flow: a batch is durable -> the state is swapped -> its events join the ring and the queues of the watchers whose prefix matches ->
//! those watchers wake. Invariant: a reader who was told of a revision, by an answer or an event, reads a state at least as new.
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, RwLock},
};

use tokio::sync::watch;

use super::queues::{Queue, Watchers};
use crate::{
    contract::{Event, Revision, StoreError, WatchEnd},
    state::State,
};

pub struct Hub {
    state: RwLock<Arc<State>>,
    /// The newest revision whose events all watchers have in their queues.
    reached: watch::Sender<Revision>,
    inner: Mutex<Inner>,
}

struct Inner {
    ring: VecDeque<Arc<Event>>,
    ring_bytes: usize,
    ring_events_max: usize,
    ring_bytes_max: usize,
    /// All events after this revision are in the ring.
    ring_after: Revision,
    watchers: Watchers,
    closed: bool,
    /// No revision will be shown any more.
    ended: bool,
}

/// What a watch gets when it wants to go on after a revision.
pub enum Attached {
    /// The events since, and the queue that the next ones come to.
    Live(Vec<Arc<Event>>, Arc<Queue>),
    /// The ring starts later, after this revision; what is before has to be read from the log.
    Behind(Revision),
}

impl Hub {
    pub fn new(state: State, ring_events_max: usize, ring_bytes_max: usize) -> Self {
        let revision = state.revision;
        let inner = Inner {
            ring: VecDeque::new(),
            ring_bytes: 0,
            ring_events_max,
            ring_bytes_max,
            ring_after: revision,
            watchers: Watchers::default(),
            closed: false,
            ended: false,
        };
        Self { state: RwLock::new(Arc::new(state)), reached: watch::Sender::new(revision), inner: Mutex::new(inner) }
    }

    pub fn state(&self) -> Arc<State> {
        self.state.read().expect("no holder of this lock panics").clone()
    }

    /// The newest revision whose events all watchers have in their queues.
    pub fn reached(&self) -> Revision {
        *self.reached.borrow()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of this lock panics")
    }

    /// Shows a new state, and the events that led to it. Events above `on_disk` stay in the ring until they are there.
    pub fn publish(&self, state: State, events: Vec<Arc<Event>>, on_disk: Revision) {
        let revision = state.revision;
        let mut inner = self.inner();
        let old = std::mem::replace(&mut *self.state.write().expect("no holder of this lock panics"), Arc::new(state));
        inner.watchers.deliver(&events);
        for event in events {
            inner.ring_bytes += weight(&event);
            inner.ring.push_back(event);
        }
        inner.shorten(on_disk);
        drop(inner);
        self.reached.send_if_modified(|reached| std::mem::replace(reached, revision) != revision);
        drop(old);
    }

    /// Lets a watch go on after a revision.
    pub fn attach(&self, prefix: &str, after: Revision) -> Result<Attached, WatchEnd> {
        let mut inner = self.inner();
        if inner.closed {
            return Err(WatchEnd::Closed);
        }
        if after < inner.ring_after {
            return Ok(Attached::Behind(inner.ring_after));
        }
        let first = inner.ring.partition_point(|event| event.revision <= after);
        let events = inner.ring.range(first..).filter(|event| event.key.starts_with(prefix)).cloned().collect();
        Ok(Attached::Live(events, inner.watchers.add(prefix)))
    }

    /// Events were missed: all watches end as `Compacted`, and the ring begins anew.
    pub fn restart(&self, state: State) {
        let revision = state.revision;
        let mut inner = self.inner();
        *self.state.write().expect("no holder of this lock panics") = Arc::new(state);
        inner.watchers.end(&WatchEnd::Compacted);
        inner.ring.clear();
        inner.ring_bytes = 0;
        inner.ring_after = revision;
        drop(inner);
        self.reached.send_replace(revision);
    }

    /// All events after this revision are in the ring.
    pub fn held_after(&self) -> Revision {
        self.inner().ring_after
    }

    pub fn detach(&self, queue: &Arc<Queue>) {
        self.inner().watchers.remove(queue);
    }

    /// Events below a prefix after one revision up to another, oldest first, or from which revision on they are here.
    pub fn events(&self, prefix: &str, after: Revision, upto: Revision) -> (Vec<Arc<Event>>, Revision) {
        let inner = self.inner();
        let first = inner.ring.partition_point(|event| event.revision <= after);
        let range = inner.ring.range(first..).take_while(|event| event.revision <= upto);
        (range.filter(|event| event.key.starts_with(prefix)).cloned().collect(), inner.ring_after)
    }

    pub fn watchers(&self) -> usize {
        self.inner().watchers.len()
    }

    /// Waits until a revision is shown; `Stopped` if none is shown any more.
    pub async fn wait_for(&self, revision: Revision) -> Result<(), StoreError> {
        let mut reached = self.reached.subscribe();
        loop {
            if *reached.borrow_and_update() >= revision {
                return Ok(());
            }
            if self.inner().ended || reached.changed().await.is_err() {
                return Err(StoreError::Stopped { reason: "nothing is written any more".to_owned() });
            }
        }
    }

    /// Nothing is written any more: nobody waits for a revision from now on. Watches and reads go on.
    pub fn end(&self) {
        self.inner().ended = true;
        self.reached.send_modify(|_| {});
    }

    /// Ends all watches.
    pub fn close(&self) {
        let mut inner = self.inner();
        inner.closed = true;
        inner.watchers.end(&WatchEnd::Closed);
        drop(inner);
        self.end();
    }
}

impl Inner {
    fn shorten(&mut self, on_disk: Revision) {
        while (self.ring.len() > self.ring_events_max || self.ring_bytes > self.ring_bytes_max)
            && let Some(oldest) = self.ring.pop_front_if(|oldest| oldest.revision <= on_disk)
        {
            self.ring_bytes -= weight(&oldest);
            self.ring_after = oldest.revision;
        }
    }
}

/// What an event holds in memory.
pub fn weight(event: &Event) -> usize {
    let previous = event.previous.as_ref().map_or(0, |entry| entry.value.len());
    event.key.len() + event.value.as_ref().map_or(0, |value| value.len()) + previous
}
