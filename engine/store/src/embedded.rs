//! The embedded store: everything in memory, every change in the log.
mod appender;
mod cursor;
mod frozen;
mod housekeeping;
pub(crate) mod hub;
mod intake;
mod past;
pub(crate) mod queues;
mod writer;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use irori_runtime::Tasks;
use tokio::sync::{Semaphore, mpsc, watch};
use tracing::{info, warn};

pub(crate) use self::frozen::FrozenState;
use self::{
    appender::{Appender, Written},
    cursor::Cursor,
    housekeeping::{End, supervise},
    hub::Hub,
    intake::Intake,
    past::compacted,
    writer::Writer,
};
use crate::{
    contract::{Durability, Entry, Frozen, Page, Range, Revision, Stats, Store, StoreError, Watch, Write},
    disk::{Disk, RealDisk},
    log::{self, FRAME_HEADER_BYTES, History, Keep, OpenError},
    state::State,
};

/// How the embedded store is to work.
pub struct Settings {
    pub disk: Arc<dyn Disk>,
    /// A segment is closed when it is longer than this.
    pub segment_bytes: u64,
    /// A snapshot is written when the log since the last one is longer than this and than twice all keys and values.
    pub snapshot_bytes_min: u64,
    /// How far back watches and reads at least reach.
    pub history: Duration,
    /// Bytes of log that is only history; above, history is shorter than `history`.
    pub history_bytes_max: u64,
    /// How long lazy commits may stay unwritten.
    pub lazy_flush: Duration,
    /// KiB of commits that may wait for the disk; above, committers wait for room.
    pub waiting_kib_max: u32,
    /// Events kept in memory; older ones are read from the log.
    pub ring_events_max: usize,
    /// Bytes of keys and values, previous ones included, of the events kept in memory.
    pub ring_bytes_max: usize,
}

impl Settings {
    /// The usual settings on a disk.
    pub fn on(disk: Arc<dyn Disk>) -> Self {
        Self {
            disk,
            segment_bytes: 16 << 20,
            snapshot_bytes_min: 16 << 20,
            history: Duration::from_secs(5 * 60),
            history_bytes_max: 1 << 30,
            lazy_flush: Duration::from_secs(60),
            waiting_kib_max: 32 << 10,
            ring_events_max: 8_192,
            ring_bytes_max: 16 << 20,
        }
    }

    /// The usual settings in a folder, which is created where it is missing.
    pub fn at(dir: &Path) -> Result<Self, OpenError> {
        let disk =
            RealDisk::at(dir).map_err(|source| OpenError::Io { doing: "open", file: dir.display().to_string(), source })?;
        Ok(Self::on(Arc::new(disk)))
    }
}

/// What the parts of the store share.
struct Shared {
    disk: Arc<dyn Disk>,
    hub: Hub,
    intake: Intake,
    history: Arc<History>,
    written: Arc<Written>,
    lazy_bytes: AtomicU64,
    snapshotting: AtomicBool,
    closed: AtomicBool,
    full: AtomicBool,
}

impl Shared {
    /// Tells the change from and to a full disk, once each.
    fn note_full(&self, full: bool) {
        if self.full.swap(full, Ordering::Relaxed) == full {
            return;
        }
        if full {
            warn!("no space left on the disk: the store is read-only until there is");
        } else {
            info!("there is space on the disk again");
        }
    }
}

/// A store on one machine's disk, for one process.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    /// KiB of commits that may still wait.
    room: Arc<Semaphore>,
    waiting_kib_max: u32,
    /// Set when writer and snapshots have ended, with the error if there was one.
    ended: watch::Receiver<End>,
}

impl EmbeddedStore {
    /// Opens or makes the store. Reads all of it, so it takes a while: seconds for hundreds of MB. Has to run within tokio.
    ///
    /// Its task ends with `close` (or when the store is dropped, which closes it too), so close the store before the tasks are drained.
    /// When writing has to stop, the shutdown of `tasks` is started.
    pub fn open(settings: Settings, tasks: &Tasks) -> Result<Arc<Self>, OpenError> {
        let disk = settings.disk.clone();
        let lock: Arc<dyn Send + Sync> = match disk.lock() {
            Ok(lock) => Arc::from(lock),
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return Err(OpenError::Locked { disk: disk.name() }),
            Err(source) => return Err(OpenError::Io { doing: "lock", file: disk.name(), source }),
        };
        let started = Instant::now();
        let opened = log::open(&*disk)?;
        info!(
            revision = opened.state.revision.0,
            objects = opened.state.len(),
            log_bytes = opened.log_bytes,
            ms = started.elapsed().as_millis() as u64,
            "store opened"
        );
        let history = Arc::new(opened.history);
        let shared = Arc::new(Shared {
            disk: disk.clone(),
            hub: Hub::new(opened.state.clone(), settings.ring_events_max, settings.ring_bytes_max),
            intake: Intake::new(opened.state),
            history: history.clone(),
            written: Arc::default(),
            lazy_bytes: AtomicU64::new(0),
            snapshotting: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            full: AtomicBool::new(false),
        });
        let (snapshots, wanted) = mpsc::unbounded_channel();
        let store = opened.reservation.store;
        let appender = Appender {
            disk,
            history,
            revisions: opened.revisions,
            reservation: opened.reservation,
            active: opened.active,
            logged: opened.logged,
            segment_bytes: settings.segment_bytes,
            written: shared.written.clone(),
        };
        let writer = Writer {
            shared: shared.clone(),
            appender,
            frame: vec![0; FRAME_HEADER_BYTES],
            first: None,
            deadline: None,
            lazy_flush: settings.lazy_flush,
            log_bytes: opened.log_bytes,
            snapshot_bytes_min: settings.snapshot_bytes_min,
            snapshots,
        };
        let keep = Keep { time: settings.history, bytes_max: settings.history_bytes_max };
        let ended = supervise(writer, wanted, store, keep, lock, tasks)?;
        let room = Arc::new(Semaphore::new(settings.waiting_kib_max as usize));
        Ok(Arc::new(Self { shared, room, waiting_kib_max: settings.waiting_kib_max, ended }))
    }

    /// What the store is like now.
    pub fn stats(&self) -> Stats {
        let shared = &self.shared;
        let state = shared.hub.state();
        let (segments, snapshots) = shared.history.counts();
        Stats {
            revision: state.revision,
            oldest: Revision(shared.history.oldest()),
            objects: state.len() as u64,
            object_bytes: state.bytes,
            segments,
            snapshots,
            watchers: shared.hub.watchers(),
            lazy_bytes: shared.lazy_bytes.load(Ordering::Relaxed),
            log_bytes_written: shared.written.bytes.load(Ordering::Relaxed),
            syncs: shared.written.syncs.load(Ordering::Relaxed),
            full: shared.full.load(Ordering::Relaxed),
        }
    }

    fn state(&self) -> Result<Arc<State>, StoreError> {
        if self.shared.closed.load(Ordering::Acquire) {
            return Err(StoreError::Stopped { reason: "closed".to_owned() });
        }
        Ok(self.shared.hub.state())
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.shared.intake.close();
    }
}

#[async_trait::async_trait]
impl Store for EmbeddedStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        Ok(self.state()?.get(key).map(|entry| Entry::clone(entry)))
    }

    async fn range(&self, range: Range) -> Result<Page, StoreError> {
        let state = self.state()?;
        let state = match range.at {
            Some(at) if at > state.revision => return Err(StoreError::Future { asked: at, current: state.revision }),
            Some(at) if at < state.revision => self.state_at(state, at, &range.prefix).await?,
            _ => state,
        };
        Ok(state.page(&range.prefix, range.after.as_deref(), range.limit))
    }

    async fn count(&self, prefix: &str) -> Result<u64, StoreError> {
        Ok(self.state()?.below(prefix, None).count() as u64)
    }

    async fn commit(&self, writes: Vec<Write>, durability: Durability) -> Result<Revision, StoreError> {
        let kib = (self.limits().check(&writes)? >> 10) as u32 + 1;
        let room = self.room.clone().acquire_many_owned(kib.min(self.waiting_kib_max)).await.expect("never closed");
        let answer = self.shared.intake.offer(writes, durability, room)?;
        answer.await.unwrap_or_else(|_| Err(StoreError::Stopped { reason: "the writer is gone".to_owned() }))
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Result<Box<dyn Watch>, StoreError> {
        let current = self.state()?.revision;
        if after > current {
            return Err(StoreError::Future { asked: after, current });
        }
        self.shared.history.covers(after.0).map_err(|bad| compacted(after, &bad))?;
        Ok(Box::new(Cursor::new(self.shared.clone(), prefix, after)))
    }

    async fn current(&self) -> Result<Revision, StoreError> {
        Ok(self.state()?.revision)
    }

    async fn wait_for(&self, revision: Revision) -> Result<(), StoreError> {
        self.state()?;
        self.shared.hub.wait_for(revision).await
    }

    async fn freeze(&self) -> Result<Box<dyn Frozen>, StoreError> {
        Ok(Box::new(FrozenState::new(self.state()?)))
    }

    fn stats(&self) -> Option<Stats> {
        Some(EmbeddedStore::stats(self))
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.shared.intake.close();
        let mut ended = self.ended.clone();
        let result = ended.wait_for(Option::is_some).await.map(|end| end.clone());
        self.shared.closed.store(true, Ordering::Release);
        self.shared.hub.close();
        match result {
            Ok(Some(Err(reason))) => Err(StoreError::Stopped { reason }),
            Ok(_) => Ok(()),
            Err(_) => Err(StoreError::Stopped { reason: "the store's task was dropped".to_owned() }),
        }
    }
}
