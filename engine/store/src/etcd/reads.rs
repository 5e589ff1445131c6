//! Reads of etcd: lists in pieces, at one revision, and what a failed question means.
use std::sync::Arc;

use prost::bytes::Bytes;

use super::{client::Asked, fault::Fault, following::Shared, history, wire};
use crate::contract::{Entry, Frozen, Key, Page, Range, Revision, StoreError};

/// Entries asked for at first, and at most, in one piece of a list.
const PIECE_FIRST: i64 = 100;
const PIECE_MAX: i64 = 2_000;
/// Bytes that one piece of a list is meant to have.
const PIECE_BYTES: usize = 4 << 20;
/// Entries that are handed out at a time of a list held fast.
const FROZEN_PIECE: usize = 100;

impl Shared {
    /// One piece of a list.
    async fn piece(&self, from: Bytes, to: Bytes, limit: i64, at: i64) -> Result<wire::RangeResponse, Asked> {
        let asked = wire::RangeRequest { key: from, range_end: to, limit, revision: at, count_only: false };
        self.client.ask(wire::RANGE, asked).await
    }

    /// What an error means for a question about a revision.
    pub async fn failed(&self, failed: Asked, asked: Revision) -> StoreError {
        let oldest = match &failed {
            Asked::Fault(Fault::Compacted) => history::mark(self).await.ok().flatten().map(|mark| mark.compacted),
            _ => None,
        };
        error(failed, asked, oldest.unwrap_or_default())
    }

    pub fn entry(&self, kv: wire::KeyValue) -> Option<Entry> {
        let key = self.keys.own(&kv.key)?;
        Some(Entry { key, value: kv.value, revision: Revision(kv.mod_revision.max(0) as u64) })
    }

    pub async fn range(&self, range: Range) -> Result<Page, StoreError> {
        let (mut from, to) = self.keys.range(&range.prefix);
        if let Some(after) = &range.after {
            from = from.max(self.keys.behind(after));
        }
        // Revision 1 is etcd's empty beginning, as 0 is ours.
        let asked = range.at.unwrap_or_default();
        let mut at = range.at.map_or(0, |at| at.0.max(1) as i64);
        let wanted = if range.limit == 0 { usize::MAX } else { range.limit };
        let (mut entries, mut limit) = (Vec::new(), PIECE_FIRST);
        let mut revision = None;
        loop {
            let left = i64::try_from(wanted - entries.len()).unwrap_or(i64::MAX);
            let answer = match self.piece(from.clone(), to.clone(), limit.min(left), at).await {
                Ok(answer) => answer,
                Err(Asked::Fault(Fault::Future)) => {
                    return Err(StoreError::Future { asked, current: self.current().await? });
                }
                // Much larger entries than before: fewer at a time.
                Err(Asked::Fault(Fault::TooLarge(_))) if limit > 1 => {
                    limit = (limit / 8).max(1);
                    continue;
                }
                Err(failed) => return Err(self.failed(failed, Revision(at.max(0) as u64)).await),
            };
            // What comes next is read as of the same revision.
            let shown = *revision.get_or_insert(answer.header.as_ref().map_or(0, |header| header.revision));
            if at == 0 {
                at = shown;
            }
            let count = answer.kvs.len();
            limit = next_limit(&answer.kvs, limit);
            let last = answer.kvs.last().map(|kv| kv.key.clone());
            let remaining = (answer.count.max(0) as u64).saturating_sub(count as u64);
            entries.extend(answer.kvs.into_iter().filter_map(|kv| self.entry(kv)));
            match last {
                Some(last) if remaining > 0 && entries.len() < wanted => from = [last.as_ref(), b"\0"].concat().into(),
                _ => {
                    let revision = range.at.unwrap_or(Revision(at.max(0) as u64));
                    return Ok(Page { entries, revision, remaining });
                }
            }
        }
    }
}

/// What an unanswered question means. `oldest` is for a revision that is not held any more.
pub fn error(failed: Asked, asked: Revision, oldest: Revision) -> StoreError {
    match failed {
        Asked::Error(error) => error,
        Asked::Fault(Fault::Compacted) => StoreError::Compacted { asked, oldest: oldest.max(Revision(asked.0 + 1)) },
        Asked::Fault(Fault::Future) => StoreError::Future { asked, current: Revision(asked.0.saturating_sub(1)) },
        Asked::Fault(Fault::NoSpace) => StoreError::Full,
        Asked::Fault(Fault::TooLarge(reason)) => StoreError::Limit { reason },
        Asked::Fault(Fault::Login) => StoreError::Unavailable { reason: "etcd lets us not in".to_owned() },
        Asked::Fault(Fault::Elsewhere(reason) | Fault::Refused(reason) | Fault::Unknown(reason)) => {
            StoreError::Unavailable { reason }
        }
    }
}

/// Bytes of what was listed, for the size of the next piece.
fn next_limit(kvs: &[wire::KeyValue], limit: i64) -> i64 {
    let bytes: usize = kvs.iter().map(|kv| kv.key.len() + kv.value.len()).sum();
    let each = (bytes / kvs.len().max(1)).max(1);
    i64::try_from(PIECE_BYTES / each).unwrap_or(PIECE_MAX).clamp(1, PIECE_MAX).min(limit * 4)
}

/// All of a home's keys at one revision, which etcd holds as long as its history reaches back there.
pub struct FrozenRange {
    shared: Arc<Shared>,
    revision: Revision,
    after: Option<Key>,
}

impl FrozenRange {
    pub fn new(shared: Arc<Shared>, revision: Revision) -> Self {
        Self { shared, revision, after: None }
    }
}

#[async_trait::async_trait]
impl Frozen for FrozenRange {
    fn revision(&self) -> Revision {
        self.revision
    }

    async fn next(&mut self) -> Result<Vec<Entry>, StoreError> {
        let at = Some(self.revision);
        let range = Range { prefix: String::new(), after: self.after.clone(), limit: FROZEN_PIECE, at };
        let page = self.shared.range(range).await?;
        if let Some(last) = page.entries.last() {
            self.after = Some(last.key.clone());
        }
        Ok(page.entries)
    }
}
