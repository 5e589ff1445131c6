//! A watch of the embedded store: from the log as long as it is behind the ring, then from its own queue.
use std::{collections::VecDeque, future::poll_fn, sync::Arc};

use tokio::task::JoinHandle;

use super::{Shared, hub::Attached, queues::Queue};
use crate::{
    contract::{Event, Revision, Watch, WatchEnd},
    log::HistoryError,
};

/// About so much of the log is read at a time.
const READ_BYTES: usize = 1 << 20;
/// Events handed out at a time, save that a commit is never split.
const HANDED_MAX: usize = 1_024;

pub struct Cursor {
    shared: Arc<Shared>,
    prefix: String,
    /// All events up to here were handed out, or stand in the backlog.
    seen: Revision,
    backlog: VecDeque<Arc<Event>>,
    /// `None` as long as it reads from the log.
    queue: Option<Arc<Queue>>,
    /// A piece of the log on its way.
    reading: Option<JoinHandle<Read>>,
}

/// Events of the past, and up to which revision they reach.
type Read = Result<(Vec<Arc<Event>>, Revision), HistoryError>;

impl Cursor {
    pub fn new(shared: Arc<Shared>, prefix: &str, after: Revision) -> Self {
        Self { shared, prefix: prefix.to_owned(), seen: after, backlog: VecDeque::new(), queue: None, reading: None }
    }

    /// Takes its place among the watchers if the ring reaches back far enough; begins to read a piece of the log otherwise.
    fn catch_up(&mut self) -> Result<(), WatchEnd> {
        match self.shared.hub.attach(&self.prefix, self.seen)? {
            Attached::Live(events, queue) => {
                self.seen = events.last().map_or(self.seen, |last| last.revision);
                self.backlog = events.into();
                self.queue = Some(queue);
            }
            Attached::Behind(ring_after) => {
                let (shared, prefix, after) = (self.shared.clone(), self.prefix.clone(), self.seen);
                self.reading = Some(tokio::task::spawn_blocking(move || past_events(&shared, &prefix, after, ring_after)));
            }
        }
        Ok(())
    }

    /// Takes over what was read from the log.
    fn take_over(&mut self, read: Read) -> Result<(), WatchEnd> {
        let (events, reached) = read.map_err(|bad| match bad {
            HistoryError::Compacted { .. } => WatchEnd::Compacted,
            HistoryError::Broken(source) => {
                // The newest state is whole, so the watcher can start again from that.
                tracing::error!("read history: {source}");
                WatchEnd::Compacted
            }
        })?;
        self.seen = reached;
        self.backlog = events.into();
        Ok(())
    }

    fn take_backlog(&mut self) -> Vec<Arc<Event>> {
        let mut end = self.backlog.len().min(HANDED_MAX);
        while end > 0 && self.backlog.get(end).is_some_and(|next| next.revision == self.backlog[end - 1].revision) {
            end += 1;
        }
        self.backlog.drain(..end).collect()
    }
}

fn past_events(shared: &Shared, prefix: &str, after: Revision, upto: Revision) -> Read {
    let (past, reached) = shared.history.writes(after.0, upto.0, prefix, READ_BYTES)?;
    let mut events = Vec::with_capacity(past.len());
    for past in past {
        let previous = shared.history.previous(&past)?;
        events.push(Arc::new(Event { revision: past.revision, key: past.key.into(), value: past.value, previous }));
    }
    Ok((events, Revision(reached)))
}

#[async_trait::async_trait]
impl Watch for Cursor {
    async fn next(&mut self) -> Result<Vec<Arc<Event>>, WatchEnd> {
        loop {
            if !self.backlog.is_empty() {
                return Ok(self.take_backlog());
            }
            let Some(queue) = self.queue.clone() else {
                // Kept across calls, so that a caller who gives up waiting and calls again does not start the reading again.
                if let Some(reading) = &mut self.reading {
                    let read = reading.await.map_err(|_| WatchEnd::Closed)?;
                    self.reading = None;
                    self.take_over(read)?;
                } else {
                    self.catch_up()?;
                }
                continue;
            };
            let events = poll_fn(|context| queue.poll(context)).await?;
            self.seen = events.last().map_or(self.seen, |last| last.revision);
            return Ok(events);
        }
    }

    fn progress(&self) -> Revision {
        if let Some(waiting) = self.backlog.front() {
            return Revision(waiting.revision.0 - 1);
        }
        let Some(queue) = &self.queue else { return self.seen };
        // Read before the queue is looked at: what is delivered up to here is in the queue or was handed out.
        let reached = self.shared.hub.reached();
        let seen_all = match queue.first() {
            Some(waiting) => reached.min(Revision(waiting.revision.0 - 1)),
            None => reached,
        };
        seen_all.max(self.seen)
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        if let Some(queue) = &self.queue {
            self.shared.hub.detach(queue);
        }
    }
}
