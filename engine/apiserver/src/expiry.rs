//! Events end some time after they were last written, an hour where nothing else is said, as a stock server's do (`--event-ttl`).
//!
//! Flow: every write below the prefix is noted with the moment of its end ▶ one timer for the first of them ▶ the object is deleted, unless
//! it was written again.
//! Invariant: time is counted by the steady clock from the write on, so that no jump of the wall clock ends an Event early or keeps it for
//! ever. After a start the wall clock says what is left, never less than `limits::EVENT_LIFE_MIN`: a clock that starts wrong has so long
//! to be put right.
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use irori_api::row::{Gvk, Row};
use irori_rules::tree;
use irori_runtime::{OnEnd, Timestamp};
use irori_store::{Entry, Key, Revision, StoreError};
use serde_json::Value;
use tokio::{sync::Notify, time::Instant};

use crate::{
    commit::{self, Lost},
    follow::{Change, follow},
    limits,
    refusal::Refusal,
    server::Server,
    stored,
};

const PREFIX: &str = "core/events/";

/// Begins to follow the Events of the store, and to delete those whose time is over.
pub async fn start(server: &Arc<Server>) -> Result<(), StoreError> {
    let Some(row) = server.tables.kind(&Gvk::new("", "v1", "Event")).cloned() else { return Ok(()) };
    let life = server.settings.event_ttl;
    let ends = Arc::new((Mutex::new(Ends::default()), Notify::new()));
    let (noted, clock) = (ends.clone(), server.clock.clone());
    let apply = move |anew: bool, changes: Vec<Change>| {
        let (now, wall) = (Instant::now(), clock.now());
        let mut ends = noted.0.lock().expect("no holder of this lock panics");
        let (first, at_start) = (ends.first(), !std::mem::replace(&mut ends.loaded, true));
        let known = if anew { ends.clear() } else { HashMap::new() };
        for Change { key, entry } in changes {
            match entry {
                None => ends.forget(&key),
                Some(entry) => {
                    let kept = known.get(&key).filter(|(revision, _)| *revision == entry.revision).map(|(_, end)| *end);
                    let end = kept.unwrap_or_else(|| now + if at_start { left(&entry, wall, life) } else { life });
                    ends.note(key, entry.revision, end);
                }
            }
        }
        if ends.first() < first || first.is_none() {
            noted.1.notify_one();
        }
    };
    follow(&server.store, &server.tasks, "events", PREFIX, apply).await?;
    let server = server.clone();
    server.tasks.clone().spawn("event-expiry", OnEnd::Fatal, async move {
        let shutdown = server.tasks.shutdown().clone();
        shutdown.guard(expire(&server, &row, &ends.0, &ends.1)).await;
        Ok::<_, StoreError>(())
    });
    Ok(())
}

async fn expire(server: &Arc<Server>, row: &Row, ends: &Mutex<Ends>, changed: &Notify) {
    // Those that end soon after the first end with it: one wakeup and one write to the disk for all of them.
    let gather = limits::EVENT_GATHER.min(server.settings.event_ttl / 10);
    loop {
        let first = ends.lock().expect("no holder of this lock panics").first();
        let Some(first) = first else {
            changed.notified().await;
            continue;
        };
        tokio::select! {
            () = tokio::time::sleep_until(first + gather) => {}
            () = changed.notified() => continue,
        }
        let over = ends.lock().expect("no holder of this lock panics").take(Instant::now());
        for (key, revision) in over {
            if let Err(refusal) = delete(server, row, &key, revision).await {
                tracing::debug!(%key, "an Event whose time is over stays for now: {}", refusal.message);
                let again = Instant::now() + gather;
                ends.lock().expect("no holder of this lock panics").note_again(key, revision, again);
            }
        }
    }
}

/// Deletes an Event, unless it was written since.
async fn delete(server: &Server, row: &Row, key: &str, revision: Revision) -> Result<(), Refusal> {
    let Some(entry) = server.store.get(key).await?.filter(|entry| entry.revision == revision) else { return Ok(()) };
    let object = stored::tree(&entry).map_err(Refusal::internal)?;
    match commit::delete(server, row, &entry, &object, false).await {
        Ok(()) | Err(Lost::Race) => Ok(()),
        Err(Lost::Refused(refusal)) => Err(refusal),
    }
}

/// What is left of the life of an Event that was there at the start.
fn left(entry: &Entry, now: Timestamp, life: Duration) -> Duration {
    let Ok(object) = stored::tree(entry) else { return life };
    let least = limits::EVENT_LIFE_MIN.min(life);
    // Negative where the clock stood ahead then, or stands behind now.
    let age = written(&object).and_then(|at| Duration::try_from(now.duration_since(at)).ok()).unwrap_or(Duration::ZERO);
    life.saturating_sub(age).max(least)
}

/// When an Event was last written, by what it says itself.
fn written(event: &Value) -> Option<Timestamp> {
    let times: [&[&str]; 4] =
        [&["metadata", "creationTimestamp"], &["lastTimestamp"], &["eventTime"], &["series", "lastObservedTime"]];
    times.iter().filter_map(|path| tree::text(event, path).parse().ok()).max()
}

/// What ends when.
#[derive(Default)]
struct Ends {
    /// What was there at the start is noted.
    loaded: bool,
    by_key: HashMap<Key, (Revision, Instant)>,
    in_order: BTreeSet<(Instant, Key)>,
}

impl Ends {
    fn note(&mut self, key: Key, revision: Revision, end: Instant) {
        self.forget(&key);
        self.in_order.insert((end, key.clone()));
        self.by_key.insert(key, (revision, end));
    }

    /// Notes what could not be deleted, unless it was written meanwhile.
    fn note_again(&mut self, key: Key, revision: Revision, end: Instant) {
        if !self.by_key.contains_key(&key) {
            self.note(key, revision, end);
        }
    }

    /// Forgets all, and gives what was known.
    fn clear(&mut self) -> HashMap<Key, (Revision, Instant)> {
        self.in_order.clear();
        std::mem::take(&mut self.by_key)
    }

    fn forget(&mut self, key: &Key) {
        if let Some((_, end)) = self.by_key.remove(key) {
            self.in_order.remove(&(end, key.clone()));
        }
    }

    fn first(&self) -> Option<Instant> {
        self.in_order.first().map(|(end, _)| *end)
    }

    /// Takes out what is over.
    fn take(&mut self, now: Instant) -> Vec<(Key, Revision)> {
        let mut over = Vec::new();
        while self.first().is_some_and(|end| end <= now)
            && let Some((_, key)) = self.in_order.pop_first()
        {
            over.extend(self.by_key.remove(&key).map(|(revision, _)| (key, revision)));
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn left_of(event: Value, now: &str) -> Duration {
        let value = stored::encode(&event, &Gvk::new("", "v1", "Event"));
        left(&Entry { key: "core/events/n/e".into(), value, revision: Revision(1) }, now.parse().unwrap(), HOUR)
    }

    #[test]
    fn what_is_left_of_the_hour_is_counted_from_the_last_time_that_the_event_names() {
        let event = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"creationTimestamp": "2026-11-21T10:00:00Z"},
            "lastTimestamp": "2026-11-21T10:20:00Z", "eventTime": null, "series": {"lastObservedTime": "2026-11-21T10:10:00.000000Z"},
        });
        assert_eq!(left_of(event.clone(), "2026-11-21T10:30:00Z"), HOUR - Duration::from_secs(600));
        let jump = "a clock that jumped leaves some minutes, and no more than the hour";
        assert_eq!(left_of(event.clone(), "2027-12-26T10:30:00Z"), limits::EVENT_LIFE_MIN, "{jump}");
        assert_eq!(left_of(event, "1970-01-01T00:00:00Z"), HOUR, "{jump}");
        assert_eq!(left_of(json!({"metadata": {}}), "2026-11-21T10:30:00Z"), HOUR);
    }

    #[test]
    fn an_event_that_is_written_again_ends_later() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut ends = Ends::default();
        ends.note("a".into(), Revision(1), at(1));
        ends.note("b".into(), Revision(2), at(2));
        ends.note("a".into(), Revision(3), at(3));
        ends.note("c".into(), Revision(4), at(4));
        ends.forget(&"c".into());
        assert_eq!(ends.first(), Some(at(2)));
        assert_eq!(ends.take(at(2)), [("b".into(), Revision(2))]);
        ends.note_again("a".into(), Revision(1), at(1));
        ends.note_again("b".into(), Revision(2), at(20));
        assert_eq!(ends.take(at(9)), [("a".into(), Revision(3))], "what was written meanwhile is not put back");
        assert_eq!(ends.take(at(20)), [("b".into(), Revision(2))]);
        assert_eq!((ends.first(), ends.by_key.len()), (None, 0));
    }
}
