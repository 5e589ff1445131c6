//! How far back history reaches: one server of all compacts etcd, and each notes how far it has seen it.
//!
//! The servers share a key whose version counts the rounds. In each round every server tries to count on from the round it knows of; the
//! one that succeeds compacts to the revision that it saw a round before, so that a round's time of history is held whoever wins. The
//! key's value tells that revision and the time, which a server that starts learns it from.
use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use irori_runtime::{Clock, OnEnd, Tasks, Timestamp};

use super::{
    client::{Asked, Committed},
    fault::Fault,
    following::Shared,
    wire,
};
use crate::contract::{Revision, StoreError};

/// What the key says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Compacted up to here.
    pub compacted: Revision,
    /// Seconds since 1970.
    pub at: i64,
}

impl Mark {
    fn text(self) -> String {
        format!("{} {}", self.compacted.0, self.at)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let (compacted, at) = std::str::from_utf8(text).ok()?.split_once(' ')?;
        Some(Self { compacted: Revision(compacted.parse().ok()?), at: at.parse().ok()? })
    }
}

/// What a server knows of the rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// The key's version.
    number: i64,
    /// The newest revision when this round was seen.
    seen: Revision,
}

/// Reads the mark, if there is one.
pub async fn mark(shared: &Shared) -> Result<Option<Mark>, StoreError> {
    let asked = wire::RangeRequest { key: shared.keys.history(), ..wire::RangeRequest::default() };
    let answer: wire::RangeResponse =
        shared.client.ask(wire::RANGE, asked).await.map_err(|failed| super::error(failed, Revision(0), Revision(0)))?;
    Ok(answer.kvs.first().and_then(|kv| Mark::parse(&kv.value)))
}

/// Keeps `every` of history, for as long as the store is open.
pub fn keep(shared: Arc<Shared>, every: Duration, seen: Option<PathBuf>, clock: Clock, tasks: &Tasks) {
    let ended = shared.client.ended().clone();
    tasks.spawn("etcd-history", OnEnd::Contained, async move {
        let mut round = Round::default();
        while ended.sleep(every).await {
            match ended.guard(turn(&shared, round, &clock)).await {
                Some(Ok(next)) => round = next,
                Some(Err(source)) => tracing::warn!("keep the history of etcd short: {source}"),
                None => break,
            }
            // So that bookmarks of a quiet watch stay above what is compacted.
            shared.asked.notify_one();
            note(seen.as_deref(), shared.client.newest());
        }
        Ok::<(), Infallible>(())
    });
}

/// One round. Returns what is known of the rounds then.
pub async fn turn(shared: &Shared, round: Round, clock: &Clock) -> Result<Round, StoreError> {
    let key = shared.keys.history();
    let mark = Mark { compacted: round.seen, at: clock.now().as_second() };
    let asked = wire::TxnRequest {
        compare: vec![wire::Compare::equal(key.clone(), wire::Against::Version(round.number))],
        success: vec![wire::RequestOp {
            operation: Some(wire::Operation::Put(wire::PutRequest { key: key.clone(), value: mark.text().into() })),
        }],
        failure: vec![wire::RequestOp {
            operation: Some(wire::Operation::Range(wire::RangeRequest { key, ..wire::RangeRequest::default() })),
        }],
    };
    match shared.client.commit(asked).await? {
        Committed::Refused(responses) => {
            let there = responses.into_iter().next().and_then(|response| response.range);
            let number = there.and_then(|range| range.kvs.first().map(|kv| kv.version)).unwrap_or(0);
            Ok(Round { number, seen: shared.client.newest() })
        }
        Committed::Done(revision) => {
            let next = Round { number: round.number + 1, seen: revision };
            // Nothing was seen a round before.
            if round.seen == Revision(0) {
                return Ok(next);
            }
            let asked = wire::CompactionRequest { revision: round.seen.0 as i64 };
            match shared.client.ask::<_, wire::CompactionResponse>(wire::COMPACT, asked).await {
                Ok(_) => tracing::debug!(revision = round.seen.0, "compacted etcd"),
                // Somebody else compacts this etcd, too.
                Err(Asked::Fault(Fault::Compacted)) => {}
                Err(failed) => return Err(super::error(failed, round.seen, Revision(0))),
            }
            Ok(next)
        }
    }
}

/// Tells the clock that it is at least as late as when somebody last noted the time.
pub fn raise(clock: &Clock, mark: Option<Mark>) {
    if let Some(at) = mark.and_then(|mark| Timestamp::from_second(mark.at).ok()) {
        clock.raise_floor(at);
    }
}

/// The newest revision that this server noted before.
pub fn noted(file: &Path) -> Option<Revision> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok().map(Revision)
}

/// Notes the newest revision, for the next start to hold against what it finds.
pub fn note(file: Option<&Path>, revision: Revision) {
    let Some(file) = file else { return };
    let fresh = file.with_extension("new");
    let written = std::fs::write(&fresh, revision.0.to_string()).and_then(|()| std::fs::rename(&fresh, file));
    if let Err(source) = written {
        tracing::warn!("note the revision of etcd in `{}`: {source}", file.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let mark = Mark { compacted: Revision(7), at: 1_700_000_000 };
        assert_eq!(Mark::parse(mark.text().as_bytes()), Some(mark));
        for broken in ["", "7", "x 1", "7 y", "7 1 2"] {
            assert_eq!(Mark::parse(broken.as_bytes()), None, "{broken}");
        }
    }
}
