//! The one watch that a process has on all of its keys, which feeds the watchers of this process.
use std::{convert::Infallible, sync::Arc, time::Duration};

use irori_runtime::{Backoff, OnEnd, Tasks};
use tokio::sync::Notify;

use super::{
    client::Client,
    keys::Keys,
    stream::{Ended, Heard, Stream},
};
use crate::{
    contract::{Revision, StoreError},
    embedded::hub::Hub,
    state::State,
};

/// Between tries to open the watch again.
pub const AGAIN: Backoff = Backoff { first: Duration::from_millis(50), max: Duration::from_secs(2) };

/// What all parts of the store share.
pub struct Shared {
    pub client: Client,
    pub keys: Keys,
    /// Watchers, and the newest events. Of its state only the revision is used.
    pub hub: Hub,
    /// Somebody wants to know how far the watch has come.
    pub asked: Notify,
}

impl Shared {
    /// The newest revision of etcd, whoever wrote it.
    pub async fn current(&self) -> Result<Revision, StoreError> {
        self.newest_at(0).await.map_err(|failed| super::error(failed, Revision(0), Revision(0)))
    }

    /// Asks for a single key as of a revision, and returns the newest revision: tells whether a revision can be read.
    pub async fn newest_at(&self, revision: i64) -> Result<Revision, super::client::Asked> {
        let asked = super::wire::RangeRequest { key: self.keys.history(), revision, count_only: true, ..Default::default() };
        let answer: super::wire::RangeResponse = self.client.ask(super::wire::RANGE, asked).await?;
        Ok(Revision(answer.header.map_or(0, |header| header.revision.max(0) as u64)))
    }
}

/// Starts the watch. It ends with the client.
pub fn start(shared: Arc<Shared>, tasks: &Tasks) {
    let ended = shared.client.ended().clone();
    tasks.spawn("etcd-watch", OnEnd::Contained, async move {
        ended.guard(follow(&shared)).await;
        shared.hub.close();
        Ok::<(), Infallible>(())
    });
}

async fn follow(shared: &Shared) {
    let mut failures = 0;
    loop {
        let before = shared.hub.reached();
        match follow_one(shared).await {
            Ended::Closed => return,
            Ended::Compacted => {
                // Longer away than history reaches: watchers have to start from a list again.
                tracing::warn!(after = shared.hub.reached().0, "the watch on etcd has lost its place: its history was compacted");
                match shared.current().await {
                    Ok(current) => shared.hub.restart(State::empty_at(current)),
                    Err(source) => tracing::warn!("ask etcd for its revision: {source}"),
                }
            }
            Ended::Broken(reason) => tracing::info!("the watch on etcd is opened again: {reason}"),
        }
        failures = if shared.hub.reached() > before { 0 } else { failures + 1 };
        tokio::time::sleep(AGAIN.wait(failures)).await;
    }
}

/// Follows until the watch ends.
async fn follow_one(shared: &Shared) -> Ended {
    let mut stream = match Stream::open(&shared.client, &shared.keys, "", shared.hub.reached()).await {
        Ok(stream) => stream,
        Err(ended) => return ended,
    };
    // Whoever waits was waiting for the watch before.
    stream.ask_progress();
    loop {
        let heard = tokio::select! {
            heard = stream.next() => heard,
            () = shared.asked.notified() => {
                stream.ask_progress();
                continue;
            }
        };
        match heard {
            Ok(Heard::Events(events)) => {
                let Some(last) = events.last().map(|event| event.revision) else { continue };
                shared.client.note(last);
                shared.hub.publish(State::empty_at(last), events, last);
            }
            Ok(Heard::Progress(revision)) if revision > shared.hub.reached() => {
                shared.client.note(revision);
                shared.hub.publish(State::empty_at(revision), Vec::new(), revision);
            }
            Ok(Heard::Progress(_)) => {}
            Err(ended) => {
                if matches!(ended, Ended::Broken(_)) {
                    shared.client.lose(stream.line()).await;
                }
                return ended;
            }
        }
    }
}
