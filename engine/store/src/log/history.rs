//! What happened, from the log: for watches and reads that go further back than the ring in memory.
//!
//! History starts at a snapshot (or at the very first commit) and has every segment since. So each event's previous value is found by its
//! revision: in the log if it was written since that snapshot, in the snapshot otherwise.
use std::{
    sync::{Arc, RwLock, RwLockReadGuard},
    time::Duration,
};

use bytes::Bytes;

use super::{
    OpenError,
    segment::{Flow, Segment},
    snapshot::Snapshot,
};
use crate::{
    contract::{Entry, Revision},
    disk::Disk,
};

/// How much of the past to hold on to.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    pub time: Duration,
    /// Log that is only history is given up above this, even if it is younger.
    pub bytes_max: u64,
}

pub struct History(RwLock<Held>);

#[derive(Clone, Default)]
struct Held {
    /// Ascending; each goes on where the one before ends.
    segments: Vec<Arc<Segment>>,
    snapshots: Vec<Arc<Snapshot>>,
    oldest: u64,
    gaps: Vec<(u64, u64)>,
}

/// One write of the past; the value before is looked up when it is asked for.
pub struct Past {
    pub revision: Revision,
    pub key: String,
    pub value: Option<Bytes>,
    /// The revision that wrote the value before; 0 if there was none.
    pub previous: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("revision is compacted, the oldest held is {oldest}")]
    Compacted { oldest: u64 },
    #[error(transparent)]
    Broken(#[from] OpenError),
}

impl History {
    pub fn new(segments: Vec<Arc<Segment>>, snapshots: Vec<Arc<Snapshot>>, oldest: u64, gaps: Vec<(u64, u64)>) -> Self {
        Self(RwLock::new(Held { segments, snapshots, oldest, gaps }))
    }

    fn held(&self) -> RwLockReadGuard<'_, Held> {
        self.0.read().expect("no holder of this lock panics")
    }

    /// Whether all that happened after a revision is still known.
    pub fn covers(&self, after: u64) -> Result<(), HistoryError> {
        self.held().covers(after)
    }

    pub fn oldest(&self) -> u64 {
        self.held().oldest
    }

    /// How many segments and snapshots there are.
    pub fn counts(&self) -> (usize, usize) {
        let held = self.held();
        (held.segments.len(), held.snapshots.len())
    }

    pub fn add_segment(&self, segment: Arc<Segment>) {
        self.0.write().expect("no holder of this lock panics").segments.push(segment);
    }

    /// Writes below a prefix after one revision, up to another, in order; about `budget` bytes of log at a time.
    /// Returns up to which revision it got.
    pub fn writes(&self, after: u64, upto: u64, prefix: &str, budget: usize) -> Result<(Vec<Past>, u64), HistoryError> {
        let held = self.held().clone();
        held.covers(after)?;
        let (mut found, mut reached, mut read) = (Vec::new(), after, 0);
        let first = held.segments.partition_point(|s| s.before <= after).saturating_sub(1);
        for segment in &held.segments[first..] {
            let flow = segment.commits_from(after + 1, |commit| {
                if commit.revision > upto || read >= budget {
                    return Flow::Enough;
                }
                reached = commit.revision;
                for write in commit.writes {
                    read += write.key.len() + write.value.map_or(0, <[u8]>::len) + 16;
                    if write.key.starts_with(prefix) {
                        let (key, value) = (write.key.to_owned(), write.value.map(Bytes::copy_from_slice));
                        found.push(Past { revision: Revision(commit.revision), key, value, previous: write.previous });
                    }
                }
                Flow::More
            })?;
            if flow == Flow::Enough {
                break;
            }
        }
        Ok((found, if read < budget { upto } else { reached }))
    }

    /// The entry that a write of the past replaced.
    pub fn previous(&self, past: &Past) -> Result<Option<Entry>, HistoryError> {
        if past.previous == 0 {
            return Ok(None);
        }
        let held = self.held().clone();
        let at = held.segments.partition_point(|s| s.before < past.previous);
        let mut found = None;
        if let Some(segment) = at.checked_sub(1).map(|at| &held.segments[at]) {
            segment.commits_from(past.previous, |commit| {
                if commit.revision == past.previous {
                    let write = commit.writes.iter().find(|w| w.key == past.key);
                    found = write.and_then(|w| w.value).map(Bytes::copy_from_slice);
                }
                Flow::Enough
            })?;
        } else if let Some(snapshot) = held.snapshots.iter().find(|s| s.revision >= past.previous && s.revision < past.revision.0)
        {
            found = snapshot.get(&past.key)?.filter(|e| e.revision.0 == past.previous).map(|e| e.value);
        } else {
            // Removed since: whoever reads goes on from a newer state.
            return Err(HistoryError::Compacted { oldest: held.oldest });
        }
        let Some(value) = found else {
            let what =
                format!("revision {} of `{}`, which revision {} replaced, is missing", past.previous, past.key, past.revision.0);
            return Err(OpenError::damaged(&Segment::name_of(past.previous), 0, what).into());
        };
        Ok(Some(Entry { key: past.key.as_str().into(), value, revision: Revision(past.previous) }))
    }

    /// Takes in a new snapshot, and removes what is neither needed to start from it nor to be kept.
    pub fn add_snapshot(&self, disk: &dyn Disk, snapshot: Arc<Snapshot>, keep: Keep) -> std::io::Result<()> {
        let (segments, snapshots) = {
            let mut held = self.0.write().expect("no holder of this lock panics");
            held.snapshots.push(snapshot);
            let Some(start) = held.start(keep) else { return Ok(()) };
            held.oldest = held.oldest.max(start);
            held.gaps.retain(|(_, before)| *before > start);
            // The last segment that starts at or before the snapshot is the first that goes on after it.
            let first = held.segments.partition_point(|s| s.before <= start).saturating_sub(1);
            let segments: Vec<_> = held.segments.drain(..first).collect();
            let old = held.snapshots.partition_point(|s| s.revision < start);
            (segments, held.snapshots.drain(..old).collect::<Vec<_>>())
        };
        for name in segments.iter().map(|s| &s.name).chain(snapshots.iter().map(|s| &s.name)) {
            // One after the other, so that a crash never leaves a hole in the row of segments.
            disk.remove(name)?;
            disk.sync_dir()?;
        }
        Ok(())
    }
}

impl Held {
    /// The snapshot to let history start from: the newest that is old enough, or the oldest that leaves little enough behind it.
    fn start(&self, keep: Keep) -> Option<u64> {
        let aged = self.snapshots.iter().rposition(|snapshot| snapshot.since.elapsed() >= keep.time);
        let log_since = |revision| -> u64 { self.segments.iter().filter(|s| s.before >= revision).map(|s| s.end()).sum() };
        let fitting = if log_since(0) <= keep.bytes_max {
            None
        } else {
            let newest = self.snapshots.len() - 1;
            Some(self.snapshots.iter().position(|snapshot| log_since(snapshot.revision) <= keep.bytes_max).unwrap_or(newest))
        };
        aged.max(fitting).map(|at| self.snapshots[at].revision)
    }

    fn covers(&self, after: u64) -> Result<(), HistoryError> {
        if after < self.oldest {
            return Err(HistoryError::Compacted { oldest: self.oldest });
        }
        match self.gaps.iter().find(|(start, end)| after > *start && after < *end) {
            Some((_, end)) => Err(HistoryError::Compacted { oldest: *end }),
            None => Ok(()),
        }
    }
}
