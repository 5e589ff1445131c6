//! A watch of the store on etcd: from a watch of its own as long as it is behind the ring, then from its queue.
use std::{collections::VecDeque, future::poll_fn, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    following::{AGAIN, Shared},
    stream::{Ended, Heard, Stream},
};
use crate::{
    contract::{Event, Revision, Watch, WatchEnd},
    embedded::{hub::Attached, queues::Queue},
};

/// Events handed out at a time, save that a commit is never split.
const HANDED_MAX: usize = 1_024;
/// How often a watch of the past is asked whether it has come to the present: etcd does not answer while it has not.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// How often in a row it is opened again: half a minute in all. Members that elect a new leader take a second or two, more when busy.
const FAILURES_MAX: u32 = 20;

pub struct Cursor {
    shared: Arc<Shared>,
    prefix: String,
    /// All events up to here were handed out, or stand in the backlog.
    seen: Revision,
    backlog: VecDeque<Arc<Event>>,
    /// `None` as long as it is behind the ring.
    queue: Option<Arc<Queue>>,
    /// A watch of etcd on what the ring does not have any more.
    past: Option<Stream>,
    /// How often in a row that watch broke without telling anything, and when it is opened again.
    failures: u32,
    again_at: Option<Instant>,
}

impl Cursor {
    pub fn new(shared: Arc<Shared>, prefix: &str, after: Revision) -> Self {
        Self {
            shared,
            prefix: prefix.to_owned(),
            seen: after,
            backlog: VecDeque::new(),
            queue: None,
            past: None,
            failures: 0,
            again_at: None,
        }
    }

    /// Takes its place among the watchers if the ring reaches back far enough; goes on in the past otherwise.
    async fn catch_up(&mut self) -> Result<(), WatchEnd> {
        if let Attached::Live(events, queue) = self.shared.hub.attach(&self.prefix, self.seen)? {
            self.seen = events.last().map_or(self.seen, |last| last.revision);
            self.backlog = events.into();
            self.queue = Some(queue);
            self.past = None;
            return Ok(());
        }
        match self.hear_of_the_past().await {
            Ok(None) => {}
            Ok(Some(heard)) => {
                self.failures = 0;
                match heard {
                    Heard::Events(events) => {
                        self.seen = events.last().map_or(self.seen, |last| last.revision);
                        self.backlog = events.into();
                    }
                    Heard::Progress(revision) => self.seen = self.seen.max(revision),
                }
            }
            Err(Ended::Compacted) => return Err(WatchEnd::Compacted),
            Err(Ended::Closed) => return Err(WatchEnd::Closed),
            // The watcher may go on from what it saw last.
            Err(Ended::Broken(_)) if self.failures >= FAILURES_MAX => return Err(WatchEnd::Lagged),
            // A member failed: another one answers.
            Err(Ended::Broken(reason)) => {
                tracing::info!("a watch on etcd is opened again: {reason}");
                self.again_at = Some(Instant::now() + AGAIN.wait(self.failures));
                self.failures += 1;
                if let Some(past) = self.past.take() {
                    self.shared.client.lose(past.line()).await;
                }
            }
        }
        Ok(())
    }

    /// The next that etcd tells of what the ring does not have any more; `None` if it has to be asked again.
    async fn hear_of_the_past(&mut self) -> Result<Option<Heard>, Ended> {
        let Some(past) = &mut self.past else {
            if let Some(at) = self.again_at {
                tokio::time::sleep_until(at).await;
            }
            self.past = Some(Stream::open(&self.shared.client, &self.shared.keys, &self.prefix, self.seen).await?);
            return Ok(None);
        };
        past.ask_progress();
        match tokio::time::timeout(ASK_EVERY, past.next()).await {
            Ok(heard) => heard.map(Some),
            Err(_) => Ok(None),
        }
    }

    fn take_backlog(&mut self) -> Vec<Arc<Event>> {
        let mut end = self.backlog.len().min(HANDED_MAX);
        while end > 0 && self.backlog.get(end).is_some_and(|next| next.revision == self.backlog[end - 1].revision) {
            end += 1;
        }
        self.backlog.drain(..end).collect()
    }
}

#[async_trait::async_trait]
impl Watch for Cursor {
    async fn next(&mut self) -> Result<Vec<Arc<Event>>, WatchEnd> {
        loop {
            if !self.backlog.is_empty() {
                return Ok(self.take_backlog());
            }
            let Some(queue) = self.queue.clone() else {
                self.catch_up().await?;
                continue;
            };
            let mut events = poll_fn(|context| queue.poll(context)).await?;
            // Another member, or a commit's answer, may have told of a revision before the shared watch came to it.
            events.retain(|event| event.revision > self.seen);
            if let Some(last) = events.last() {
                self.seen = last.revision;
                return Ok(events);
            }
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

#[cfg(test)]
mod tests {
    use irori_runtime::{Shutdown, Tasks};
    use tokio::sync::Notify;

    use super::*;
    use crate::{
        embedded::hub::Hub,
        etcd::{client::Client, connect::Access, keys::Keys},
        state::State,
    };

    fn event(revision: u64) -> Arc<Event> {
        Arc::new(Event { revision: Revision(revision), key: "k/a".into(), value: Some("v".into()), previous: None })
    }

    /// A commit's answer, or another server, told of a revision that the shared watch has not come to yet.
    #[tokio::test]
    async fn events_up_to_where_a_watch_starts_are_not_told_when_they_come_later() {
        let access = Access { endpoints: Vec::new(), tls: None, login: None };
        let shared = Arc::new(Shared {
            client: Client::new(access, Tasks::new(Shutdown::new())),
            keys: Keys::below("/irori/test"),
            hub: Hub::new(State::empty_at(Revision(5)), 100, 1 << 20),
            asked: Notify::new(),
        });
        let mut cursor = Cursor::new(shared.clone(), "k/", Revision(10));
        cursor.catch_up().await.expect("takes its place");
        for revision in [9, 10, 11] {
            shared.hub.publish(State::empty_at(Revision(revision)), vec![event(revision)], Revision(revision));
        }
        assert_eq!(cursor.next().await.expect("watch"), [event(11)]);
        assert_eq!(cursor.progress(), Revision(11));
    }
}
