//! A store whose values of some kinds are sealed: on the disk, in memory and on the wire to etcd. Any store can stand below it.
//!
//! Flow: commit -> values below the sealed prefixes are sealed under their key -> the store below. Read or event -> what is sealed is
//! opened, whatever prefixes are sealed now. The data keys lie in the store itself, wrapped, under `KEYS`, where no path of the API leads.
//! Invariant: a value that does not open is handed on as it lies there, for the reader to refuse by name: one bad value breaks no list.
//! Invariant: revisions and expectations are those of the store below.
//! Limits: events opened last are kept, `OPENED_MAX` of them, so that many watchers open an event once.
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, RwLock},
};

use irori_trust::seal::{Keyring, SealError, Unlock, VALUES_MAX, generation_of};

use crate::{contract::*, limits::Limits};

/// Where the data keys lie.
pub const KEYS: &str = "irori/sealing";
/// What sealing adds to a value at most, in bytes.
const OVERHEAD_BYTES: usize = 64;
/// Opened events that are kept for other watchers.
const OPENED_MAX: usize = 256;
/// Attempts at a value that others write at the same time; after that it is theirs to have sealed anew.
const RESEAL_TRIES: usize = 8;
/// Values looked at between two pauses when they are sealed anew.
const RESEAL_PAGE: usize = 256;

#[derive(Debug, thiserror::Error)]
pub enum SealedError {
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("there are sealed values, and the record of their keys is gone: restore it from a backup of the store")]
    KeysGone,
    #[error("the record of the data keys was changed by another server meanwhile; try again")]
    Raced,
}

/// What came of sealing values anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Values that the newest generation seals now, and did not before.
    pub changed: u64,
    /// Values that are no longer to be sealed, and lie there as they are now.
    pub opened: u64,
    /// Values that did not open, or that others kept writing.
    pub left: u64,
}

/// A store that seals.
pub struct SealedStore {
    inner: Arc<dyn Store>,
    safe: Arc<Safe>,
    /// Keys that begin so are sealed, such as `core/secrets/`.
    prefixes: Vec<String>,
}

/// What opens values.
struct Safe {
    keys: RwLock<Arc<Keyring>>,
    /// Events opened last, oldest first.
    events: Mutex<VecDeque<Arc<Event>>>,
}

impl SealedStore {
    /// Unlocks the store's data keys, or makes them where nothing is sealed yet.
    pub async fn open(inner: Arc<dyn Store>, unlock: &Unlock, prefixes: Vec<String>) -> Result<Arc<Self>, SealedError> {
        let keys = match inner.get(KEYS).await? {
            Some(record) => Keyring::unlock(&record.value, unlock)?,
            None => begin(inner.as_ref(), unlock, &prefixes).await?,
        };
        let (_, began) = keys.newest();
        let safe = Safe { keys: RwLock::new(Arc::new(keys)), events: Mutex::default() };
        let store = Self { inner, safe: Arc::new(safe), prefixes };
        if store.inner.current().await?.0.saturating_sub(began) > VALUES_MAX {
            store.rotate().await?;
        }
        Ok(Arc::new(store))
    }

    /// The generation that seals now.
    pub fn generation(&self) -> u32 {
        self.safe.keys().newest().0
    }

    /// Begins a new generation: what is written from now on is sealed with it. Another server takes it up with the first value of it that
    /// it reads.
    pub async fn rotate(&self) -> Result<u32, SealedError> {
        let record = self.inner.get(KEYS).await?.ok_or(SealedError::KeysGone)?;
        let began = self.inner.current().await?.0;
        let next = self.safe.keys().follow(&record.value)?.rotated(began)?;
        self.replace_keys(record.revision, next).await
    }

    /// Forgets all generations but the newest: once `reseal` has left none behind, and watches have seen what is older.
    pub async fn retire(&self) -> Result<u32, SealedError> {
        let record = self.inner.get(KEYS).await?.ok_or(SealedError::KeysGone)?;
        let next = self.safe.keys().follow(&record.value)?.retired();
        self.replace_keys(record.revision, next).await
    }

    /// On disk first: a value sealed with a key that a crash takes back would be lost.
    async fn replace_keys(&self, at: Revision, next: Keyring) -> Result<u32, SealedError> {
        let write = Write { key: KEYS.into(), expect: Expect::At(at), value: Some(next.record()?.into()) };
        match self.inner.commit(vec![write], Durability::Synced).await {
            Ok(_) => {
                let generation = next.newest().0;
                self.safe.take_up(next);
                Ok(generation)
            }
            Err(StoreError::Conflict { .. }) => Err(SealedError::Raced),
            Err(source) => Err(source.into()),
        }
    }

    /// Seals values anew that the newest generation does not seal, and lays open those that are no longer to be sealed. Each gets a new
    /// revision by that, as in every migration of storage; its content stays.
    /// `pause` is waited for between pages of 256 values.
    pub async fn reseal(&self, pause: impl AsyncFn()) -> Result<Resealed, SealedError> {
        let newest = self.generation();
        let (mut done, mut after) = (Resealed::default(), None);
        loop {
            let range = Range { prefix: String::new(), after: after.take(), limit: RESEAL_PAGE, at: None };
            let page = self.inner.range(range).await?;
            for entry in &page.entries {
                let is_due = match generation_of(&entry.value) {
                    Some(generation) => generation != newest || !self.is_sealed(&entry.key),
                    None => self.is_sealed(&entry.key),
                };
                if is_due {
                    self.reseal_one(&entry.key, &mut done).await?;
                }
            }
            if page.remaining == 0 {
                return Ok(done);
            }
            after = page.entries.last().map(|entry| entry.key.clone());
            pause().await;
        }
    }

    async fn reseal_one(&self, key: &Key, done: &mut Resealed) -> Result<(), SealedError> {
        for _ in 0..RESEAL_TRIES {
            let Some(entry) = self.get(key).await? else { return Ok(()) };
            if generation_of(&entry.value).is_some() {
                break; // it does not open, and get has said so
            }
            let write = Write { key: key.clone(), expect: Expect::At(entry.revision), value: Some(entry.value) };
            match self.commit(vec![write], Durability::Synced).await {
                Ok(_) if self.is_sealed(key) => done.changed += 1,
                Ok(_) => done.opened += 1,
                Err(StoreError::Conflict { .. }) => continue,
                Err(source) => return Err(source.into()),
            }
            return Ok(());
        }
        done.left += 1;
        Ok(())
    }

    fn is_sealed(&self, key: &str) -> bool {
        self.prefixes.iter().any(|prefix| key.starts_with(prefix.as_str()))
    }

    /// Opens what was read. A generation that is not known yet may be another server's.
    async fn opened(&self, mut entries: Vec<Entry>) -> Vec<Entry> {
        if entries.iter().any(|entry| self.safe.is_unknown(&entry.value)) {
            self.safe.look_again(self.inner.as_ref()).await;
        }
        entries.iter_mut().for_each(|entry| self.safe.open(entry));
        entries
    }

    async fn opened_one(&self, entry: Entry) -> Entry {
        self.opened(vec![entry]).await.pop().expect("one went in")
    }
}

async fn begin(inner: &dyn Store, unlock: &Unlock, prefixes: &[String]) -> Result<Keyring, SealedError> {
    for prefix in prefixes {
        let page = inner.range(Range { prefix: prefix.clone(), ..Range::default() }).await?;
        if page.entries.iter().any(|entry| generation_of(&entry.value).is_some()) {
            return Err(SealedError::KeysGone);
        }
    }
    let keys = Keyring::create(unlock, inner.current().await?.0)?;
    let write = Write { key: KEYS.into(), expect: Expect::Absent, value: Some(keys.record()?.into()) };
    match inner.commit(vec![write], Durability::Synced).await {
        Ok(_) => Ok(keys),
        // Another server was quicker: its keys are everybody's.
        Err(StoreError::Conflict { current: Some(record), .. }) => Ok(Keyring::unlock(&record.value, unlock)?),
        Err(source) => Err(source.into()),
    }
}

impl Safe {
    fn keys(&self) -> Arc<Keyring> {
        self.keys.read().expect("no holder of this lock panics").clone()
    }

    fn take_up(&self, keys: Keyring) {
        *self.keys.write().expect("no holder of this lock panics") = Arc::new(keys);
    }

    fn is_unknown(&self, value: &[u8]) -> bool {
        generation_of(value).is_some_and(|generation| generation > self.keys().newest().0)
    }

    async fn look_again(&self, inner: &dyn Store) {
        let Ok(Some(record)) = inner.get(KEYS).await else { return };
        match self.keys().follow(&record.value) {
            Ok(keys) => self.take_up(keys),
            Err(source) => tracing::error!("take up the data keys of another server: {source}"),
        }
    }

    /// Opens a value in place; one that does not open stays as it is.
    fn open(&self, entry: &mut Entry) {
        if generation_of(&entry.value).is_none() {
            return;
        }
        match self.keys().open(&entry.key, &entry.value) {
            Ok(plain) => entry.value = plain.into(),
            Err(source) => tracing::error!(key = %entry.key, "open a sealed value: {source}"),
        }
    }

    /// The same of an event; watchers of the same event share it.
    fn open_event(&self, event: Arc<Event>) -> Arc<Event> {
        let is_sealed = |value: Option<&bytes::Bytes>| value.is_some_and(|value| generation_of(value).is_some());
        if !is_sealed(event.value.as_ref()) && !is_sealed(event.previous.as_ref().map(|entry| &entry.value)) {
            return event;
        }
        let mut events = self.events.lock().expect("no holder of this lock panics");
        let known = events.iter().rev().find(|known| known.revision == event.revision && known.key == event.key);
        if let Some(known) = known {
            return known.clone();
        }
        let mut opened = Event::clone(&event);
        opened.value = opened.value.map(|value| {
            let mut entry = Entry { key: event.key.clone(), value, revision: event.revision };
            self.open(&mut entry);
            entry.value
        });
        opened.previous.iter_mut().for_each(|entry| self.open(entry));
        let opened = Arc::new(opened);
        events.push_back(opened.clone());
        if events.len() > OPENED_MAX {
            events.pop_front();
        }
        opened
    }
}

#[async_trait::async_trait]
impl Store for SealedStore {
    fn limits(&self) -> Limits {
        let limits = self.inner.limits();
        Limits {
            value_bytes_max: limits.value_bytes_max - OVERHEAD_BYTES,
            commit_bytes_max: limits.commit_bytes_max - OVERHEAD_BYTES * limits.commit_writes_max,
            ..limits
        }
    }

    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        match self.inner.get(key).await? {
            Some(entry) => Ok(Some(self.opened_one(entry).await)),
            None => Ok(None),
        }
    }

    async fn range(&self, range: Range) -> Result<Page, StoreError> {
        let page = self.inner.range(range).await?;
        Ok(Page { entries: self.opened(page.entries).await, ..page })
    }

    async fn count(&self, prefix: &str) -> Result<u64, StoreError> {
        self.inner.count(prefix).await
    }

    async fn commit(&self, mut writes: Vec<Write>, durability: Durability) -> Result<Revision, StoreError> {
        self.limits().check(&writes)?;
        for write in writes.iter_mut().filter(|write| self.is_sealed(&write.key)) {
            if let Some(value) = &write.value {
                let sealed = self.safe.keys().seal(&write.key, value);
                let sealed = sealed.map_err(|source| StoreError::Limit { reason: source.to_string() })?;
                write.value = Some(sealed.into());
            }
        }
        match self.inner.commit(writes, durability).await {
            Err(StoreError::Conflict { key, current: Some(current) }) => {
                Err(StoreError::Conflict { key, current: Some(self.opened_one(current).await) })
            }
            other => other,
        }
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Result<Box<dyn Watch>, StoreError> {
        let watch = self.inner.watch(prefix, after).await?;
        Ok(Box::new(SealedWatch { watch, inner: self.inner.clone(), safe: self.safe.clone(), pending: Vec::new() }))
    }

    async fn current(&self) -> Result<Revision, StoreError> {
        self.inner.current().await
    }

    async fn wait_for(&self, revision: Revision) -> Result<(), StoreError> {
        self.inner.wait_for(revision).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.inner.close().await
    }
}

struct SealedWatch {
    watch: Box<dyn Watch>,
    inner: Arc<dyn Store>,
    safe: Arc<Safe>,
    /// Taken from the watch below and not handed out yet: a caller who gives up waiting and calls again gets them then.
    pending: Vec<Arc<Event>>,
}

#[async_trait::async_trait]
impl Watch for SealedWatch {
    async fn next(&mut self) -> Result<Vec<Arc<Event>>, WatchEnd> {
        if self.pending.is_empty() {
            self.pending = self.watch.next().await?;
        }
        if self.pending.iter().any(|event| event.value.as_ref().is_some_and(|value| self.safe.is_unknown(value))) {
            self.safe.look_again(self.inner.as_ref()).await;
        }
        Ok(self.pending.drain(..).map(|event| self.safe.open_event(event)).collect())
    }

    fn progress(&self) -> Revision {
        let waiting = self.pending.first().map(|event| Revision(event.revision.0 - 1));
        waiting.map_or_else(|| self.watch.progress(), |waiting| waiting.min(self.watch.progress()))
    }
}
