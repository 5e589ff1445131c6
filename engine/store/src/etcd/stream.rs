//! One watch of etcd: its answers put together to the events of whole commits.
use std::{sync::Arc, time::Duration};

use futures::channel::mpsc;
use tokio::time::{Instant, timeout};
use tonic::Streaming;

use super::{client::Client, connect::Line, keys::Keys, wire};
use crate::contract::{Entry, Event, Revision};

/// How long etcd may take to begin a watch.
const OPEN_MAX: Duration = Duration::from_secs(10);
/// Questions for progress on their way; more are pointless.
const ASKED_MAX: usize = 4;

/// What a watch tells.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// All events of one or more commits.
    Events(Vec<Arc<Event>>),
    /// There are no more events up to here.
    Progress(Revision),
}

/// Why a watch ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// What comes next is not held any more.
    Compacted,
    /// The connection or the member failed: it can be opened again.
    Broken(String),
    /// The store is closing.
    Closed,
}

pub struct Stream {
    line: Line,
    answers: Streaming<wire::WatchResponse>,
    questions: mpsc::Sender<wire::WatchRequest>,
    assembler: Assembler,
}

impl Stream {
    /// Begins to watch what lies below a prefix, after a revision.
    pub async fn open(client: &Client, keys: &Keys, prefix: &str, after: Revision) -> Result<Self, Ended> {
        let line = client.line(Instant::now() + OPEN_MAX).await.map_err(|failed| match failed {
            crate::contract::StoreError::Stopped { .. } => Ended::Closed,
            other => Ended::Broken(other.to_string()),
        })?;
        let (mut questions, asked) = mpsc::channel(ASKED_MAX);
        let (key, range_end) = keys.range(prefix);
        let create = wire::WatchCreate {
            key,
            range_end,
            start_revision: after.0 as i64 + 1,
            progress_notify: true,
            prev_kv: true,
            fragment: true,
        };
        let create = wire::WatchRequest { asked: Some(wire::Asked::Create(create)) };
        if questions.try_send(create).is_err() {
            return Err(Ended::Broken("a fresh channel takes nothing".to_owned()));
        }
        let opened = match timeout(OPEN_MAX, line.stream(wire::WATCH, asked)).await {
            Ok(Ok(answers)) => Ok(answers),
            Ok(Err(status)) => Err(status.message().to_owned()),
            Err(_) => Err(format!("no answer within {} s", OPEN_MAX.as_secs())),
        };
        match opened {
            Ok(answers) => {
                let assembler = Assembler { keys: keys.clone(), after, held: Vec::new() };
                Ok(Self { line, answers, questions, assembler })
            }
            Err(reason) => {
                client.lose(&line).await;
                Err(Ended::Broken(reason))
            }
        }
    }

    /// Asks how far the watch has come; the answer is `Heard::Progress`, if it has come to the present. Asking more often does no harm.
    pub fn ask_progress(&mut self) {
        // If the channel is full, questions are on their way.
        let _asked_already = self.questions.try_send(wire::WatchRequest { asked: Some(wire::Asked::Progress(wire::Empty {})) });
    }

    /// The next that is heard. Nothing is lost if the waiting is given up.
    pub async fn next(&mut self) -> Result<Heard, Ended> {
        loop {
            let answer = match self.answers.message().await {
                Ok(Some(answer)) => answer,
                Ok(None) => return Err(Ended::Broken("etcd ended the watch".to_owned())),
                Err(status) => return Err(Ended::Broken(status.message().to_owned())),
            };
            if let Some(heard) = self.assembler.take(answer)? {
                return Ok(heard);
            }
        }
    }

    /// The connection that it runs over.
    pub fn line(&self) -> &Line {
        &self.line
    }
}

/// Makes whole commits of the answers, which may be cut anywhere. Pure.
struct Assembler {
    keys: Keys,
    /// All up to here was handed out.
    after: Revision,
    /// Events of a commit whose end has not come yet.
    held: Vec<Arc<Event>>,
}

impl Assembler {
    fn take(&mut self, answer: wire::WatchResponse) -> Result<Option<Heard>, Ended> {
        if answer.compact_revision > 0 {
            return Err(Ended::Compacted);
        }
        if answer.canceled {
            return Err(Ended::Broken(answer.cancel_reason));
        }
        let is_progress = answer.events.is_empty() && !answer.created && !answer.fragment && self.held.is_empty();
        for event in answer.events {
            let event = self.event(event)?;
            self.held.extend(event.filter(|event| event.revision > self.after).map(Arc::new));
        }
        let mut ready = std::mem::take(&mut self.held);
        if answer.fragment
            && let Some(last) = ready.last().map(|event| event.revision)
        {
            // More of the last commit may follow.
            self.held = ready.split_off(ready.partition_point(|event| event.revision < last));
        }
        if let Some(last) = ready.last() {
            self.after = last.revision;
            return Ok(Some(Heard::Events(ready)));
        }
        let told = answer.header.filter(|_| is_progress).map(|header| Revision(header.revision.max(0) as u64));
        let told = told.filter(|told| *told >= self.after);
        if let Some(told) = told {
            self.after = told;
        }
        Ok(told.map(Heard::Progress))
    }

    /// `None` for a key that is not ours. Errors: `Compacted` if what was there before is not known any more.
    fn event(&self, event: wire::Event) -> Result<Option<Event>, Ended> {
        let Some(kv) = event.kv else { return Ok(None) };
        let Some(key) = self.keys.own(&kv.key) else {
            tracing::warn!("a key below our prefix in etcd is not ours");
            return Ok(None);
        };
        let is_deletion = event.kind == wire::DELETE;
        let is_creation = !is_deletion && kv.create_revision == kv.mod_revision;
        let previous = match event.prev_kv {
            // An entry that is held after its key was deleted and made again in one go is no previous value.
            _ if is_creation => None,
            Some(before) => {
                Some(Entry { key: key.clone(), value: before.value, revision: Revision(before.mod_revision.max(0) as u64) })
            }
            None => return Err(Ended::Compacted),
        };
        let value = (!is_deletion).then_some(kv.value);
        Ok(Some(Event { revision: Revision(kv.mod_revision.max(0) as u64), key, value, previous }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assembler(after: u64) -> Assembler {
        Assembler { keys: Keys::below("/irori/t"), after: Revision(after), held: Vec::new() }
    }

    fn put(key: &str, revision: i64) -> wire::Event {
        let kv = wire::KeyValue {
            key: format!("/irori/t/{key}").into(),
            create_revision: revision,
            mod_revision: revision,
            version: 1,
            value: "v".into(),
        };
        wire::Event { kind: 0, kv: Some(kv), prev_kv: None }
    }

    fn answer(events: Vec<wire::Event>, fragment: bool) -> wire::WatchResponse {
        let header = Some(wire::Header { revision: 99, ..wire::Header::default() });
        wire::WatchResponse { header, events, fragment, ..wire::WatchResponse::default() }
    }

    fn revisions(heard: Option<Heard>) -> Vec<u64> {
        match heard {
            Some(Heard::Events(events)) => events.iter().map(|event| event.revision.0).collect(),
            other => panic!("expected events, got {other:?}"),
        }
    }

    #[test]
    fn a_commit_that_was_cut_is_handed_out_whole() {
        let mut assembler = assembler(0);
        assert_eq!(revisions(assembler.take(answer(vec![put("a", 5), put("b", 6)], true)).expect("take")), [5]);
        assert_eq!(assembler.take(answer(vec![put("c", 6)], true)), Ok(None));
        assert_eq!(revisions(assembler.take(answer(vec![put("d", 6), put("e", 7)], false)).expect("take")), [6, 6, 6, 7]);
    }

    #[test]
    fn events_that_were_seen_are_not_told_again() {
        let mut assembler = assembler(5);
        assert_eq!(revisions(assembler.take(answer(vec![put("a", 5), put("b", 6)], false)).expect("take")), [6]);
    }

    #[test]
    fn an_empty_answer_is_progress_unless_it_opens_the_watch() {
        let mut assembler = assembler(5);
        assert_eq!(assembler.take(wire::WatchResponse { created: true, ..answer(vec![], false) }), Ok(None));
        assert_eq!(assembler.take(answer(vec![], false)), Ok(Some(Heard::Progress(Revision(99)))));
        assert_eq!(assembler.take(wire::WatchResponse { compact_revision: 7, ..answer(vec![], false) }), Err(Ended::Compacted));
    }

    #[test]
    fn a_change_without_what_was_before_is_compacted_and_never_a_creation() {
        let mut update = put("a", 9);
        update.kv.as_mut().expect("is there").create_revision = 3;
        assert_eq!(assembler(5).take(answer(vec![update], false)), Err(Ended::Compacted));
        let mut deletion = put("a", 9);
        deletion.kind = wire::DELETE;
        assert_eq!(assembler(5).take(answer(vec![deletion], false)), Err(Ended::Compacted));
    }
}
