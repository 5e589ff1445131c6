//! What a store promises. The embedded log and etcd both keep it.
use std::sync::Arc;

use bytes::Bytes;

use crate::{limits::Limits, sealed::SealedStore};

/// A point in the order of commits. 0 is before everything; the first commit of a fresh store is above 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A key such as `core/pods/default/web-0`: 1 to 1,024 bytes of UTF-8. Ranges are by byte order.
pub type Key = Arc<str>;

/// A stored value and the revision that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: Key,
    pub value: Bytes,
    pub revision: Revision,
}

/// What must be true of a key for a commit to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// No value under the key.
    Absent,
    /// The value was last written at exactly this revision.
    At(Revision),
}

/// One key's part in a commit. A commit is all or nothing.
#[derive(Clone, Debug)]
pub struct Write {
    pub key: Key,
    pub expect: Expect,
    /// The new value; `None` deletes.
    pub value: Option<Bytes>,
}

/// How soon a commit has to be on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before it is acknowledged.
    Synced,
    /// Within 60 s, or with the next synced commit: Events, and Lease renewals.
    Lazy,
}

/// One change, as watchers see it. All writes of a commit share its revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub revision: Revision,
    pub key: Key,
    /// The value now; `None` is a deletion.
    pub value: Option<Bytes>,
    /// The entry before; `None` is a creation.
    pub previous: Option<Entry>,
}

/// A page of keys below a prefix, in key order.
#[derive(Clone, Debug)]
pub struct Page {
    pub entries: Vec<Entry>,
    /// The revision that the page shows.
    pub revision: Revision,
    /// How many entries below the prefix come after this page.
    pub remaining: u64,
}

/// Which entries to read.
#[derive(Clone, Debug, Default)]
pub struct Range {
    pub prefix: String,
    /// Only keys above this one (of the last page).
    pub after: Option<Key>,
    /// At most so many; 0 is no limit.
    pub limit: usize,
    /// Read as of this revision; `None` is now.
    pub at: Option<Revision>,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// An expectation did not hold. `current` is what is stored under the key now.
    #[error("conflict on `{key}`")]
    Conflict { key: Key, current: Option<Entry> },
    /// The revision is older than what is still held.
    #[error("revision {} is compacted, the oldest held is {}", asked.0, oldest.0)]
    Compacted { asked: Revision, oldest: Revision },
    /// The revision has not been reached.
    #[error("revision {} is ahead of the store at {}", asked.0, current.0)]
    Future { asked: Revision, current: Revision },
    /// No space left: reads go on, writes are refused until there is.
    #[error("store is read-only: no space left on the disk")]
    Full,
    /// The store cannot be reached, or not in time. Nothing was written.
    #[error("store cannot be reached: {reason}")]
    Unavailable { reason: String },
    /// The commit was sent, and the store did not say what became of it: it may have happened, may happen yet, or never. Whoever needs
    /// to know has to read.
    #[error("store did not say whether the change was made: {reason}")]
    Unknown { reason: String },
    /// Writing failed in a way that must not be retried; the process has to restart.
    #[error("store stopped writing: {reason}")]
    Stopped { reason: String },
    /// A key or value outside the limits.
    #[error("refuse write: {reason}")]
    Limit { reason: String },
}

/// Why a watch ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchEnd {
    /// The watcher read too slowly; it may watch again from the last revision it saw.
    #[error("watcher fell behind")]
    Lagged,
    /// The revision to go on from is no longer held.
    #[error("revision is compacted")]
    Compacted,
    /// The store is closing.
    #[error("store is closing")]
    Closed,
}

/// A cursor over the events below a prefix, in revision order, without gap or duplicate.
#[async_trait::async_trait]
pub trait Watch: Send {
    /// The next events (at least one), waiting for them.
    async fn next(&mut self) -> Result<Vec<Arc<Event>>, WatchEnd>;
    /// The store's revision up to which this watch has seen all of its events: what a bookmark may name.
    fn progress(&self) -> Revision;
}

/// All entries as they were at one revision, in key order, for as long as the reader takes: what a backup is made of. Values are as they
/// lie in the store, sealed ones sealed.
#[async_trait::async_trait]
pub trait Frozen: Send {
    fn revision(&self) -> Revision;
    /// The next entries; none at the end. Errors: `Compacted`, where the store is elsewhere and gave up that revision meanwhile.
    async fn next(&mut self) -> Result<Vec<Entry>, StoreError>;
}

/// What a store of this machine is like now, for an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    pub revision: Revision,
    /// From here on watches can resume.
    pub oldest: Revision,
    pub objects: u64,
    /// Bytes of all keys and values.
    pub object_bytes: u64,
    pub segments: usize,
    pub snapshots: usize,
    pub watchers: usize,
    /// Bytes of lazy commits that are not written yet.
    pub lazy_bytes: u64,
    /// Bytes of log written since the start.
    pub log_bytes_written: u64,
    /// Syncs of log and reservations since the start.
    pub syncs: u64,
    /// The disk had no space at the last write.
    pub full: bool,
}

/// Keys, values, revisions. All reads are linearizable unless `at` says otherwise. Any call may fail with `Stopped`, and where the store is
/// elsewhere with `Unavailable`.
#[async_trait::async_trait]
pub trait Store: Send + Sync + 'static {
    /// How large a commit may be.
    fn limits(&self) -> Limits {
        Limits::default()
    }
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError>;
    /// Errors: `Compacted`, `Future`.
    async fn range(&self, range: Range) -> Result<Page, StoreError>;
    /// How many keys lie below the prefix now.
    async fn count(&self, prefix: &str) -> Result<u64, StoreError>;
    /// Carries out all writes or none; returns the revision they got. Errors: `Conflict`, `Full`, `Stopped`, `Limit`, `Unknown`.
    async fn commit(&self, writes: Vec<Write>, durability: Durability) -> Result<Revision, StoreError>;
    /// Events below the prefix after `after` (exclusive). Errors: `Compacted`, `Future`.
    async fn watch(&self, prefix: &str, after: Revision) -> Result<Box<dyn Watch>, StoreError>;
    /// The newest committed revision.
    async fn current(&self) -> Result<Revision, StoreError>;
    /// Waits until the store has reached a revision.
    async fn wait_for(&self, revision: Revision) -> Result<(), StoreError>;
    /// All entries as they are now, held fast.
    async fn freeze(&self) -> Result<Box<dyn Frozen>, StoreError>;
    /// The part that seals, where there is one.
    fn sealing(&self) -> Option<&SealedStore> {
        None
    }
    /// Whether other servers may stand on the same store.
    fn is_shared(&self) -> bool {
        false
    }
    /// Known where the store is on this machine.
    fn stats(&self) -> Option<Stats> {
        None
    }
    /// Writes what is lazy, and closes. Later calls fail with `Stopped`.
    async fn close(&self) -> Result<(), StoreError>;
}
