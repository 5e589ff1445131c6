//! A store whose values of some kinds are sealed: on the disk, in memory and on the wire to etcd. Any store can stand below it.
//!
//! Flow: commit -> values below the sealed prefixes are sealed under their key -> the store below. Read or event -> what is sealed is
//! opened, whatever prefixes are sealed now. The data keys lie in the store itself, wrapped, under `KEYS`, where no path of the API leads.
//! Invariant: a value that does not open is handed on as it lies there, for the reader to refuse by name: one bad value breaks no list.
//! Invariant: revisions and expectations are those of the store below.
//! Invariant: nothing is sealed with a generation that is not the newest in the store when the write begins.
//! Limits: events opened last are kept, `OPENED_MAX` of them, so that many watchers open an event once.
mod upkeep;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, RwLock},
};

use irori_trust::seal::{Keyring, SealError, Unlock, VALUES_MAX, generation_of};

pub use self::upkeep::{Resealed, Sealing};

use crate::{contract::*, limits::Limits};

/// Where the data keys lie.
pub const KEYS: &str = "irori/sealing";
/// What sealing adds to a value at most, in bytes.
const OVERHEAD_BYTES: usize = 64;
/// Opened events that are kept for other watchers.
const OPENED_MAX: usize = 256;

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
    #[error("{count} values are sealed with older generations: seal them anew first")]
    StillSealed { count: u64 },
    #[error("with etcd the shared key of the home seals, and that is not changed")]
    Shared,
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
    keys: RwLock<Known>,
    /// Held by commits that seal, and alone by whoever takes keys away: none is on its way then.
    sealing: tokio::sync::RwLock<()>,
    /// Events opened last, oldest first.
    events: Mutex<VecDeque<Arc<Event>>>,
}

/// The keys as of the revision of their record.
#[derive(Clone)]
struct Known {
    keys: Arc<Keyring>,
    at: Revision,
}

impl SealedStore {
    /// Unlocks the store's data keys, or makes them where nothing is sealed yet.
    pub async fn open(inner: Arc<dyn Store>, unlock: &Unlock, prefixes: Vec<String>) -> Result<Arc<Self>, SealedError> {
        let (keys, at) = match inner.get(KEYS).await? {
            Some(record) => (Keyring::unlock(&record.value, unlock)?, record.revision),
            None => begin(inner.as_ref(), unlock, &prefixes).await?,
        };
        let (_, began) = keys.newest();
        let known = Known { keys: Arc::new(keys), at };
        let safe = Safe { keys: RwLock::new(known), sealing: tokio::sync::RwLock::default(), events: Mutex::default() };
        let store = Self { inner, safe: Arc::new(safe), prefixes };
        if store.inner.current().await?.0.saturating_sub(began) > VALUES_MAX {
            match store.rotate().await {
                // A home that does not start for it would be worse: nonces do not meet that soon.
                Err(SealedError::Seal(SealError::TooManyGenerations)) => {
                    tracing::warn!(
                        "a new generation of data keys is due, and there is no room: `irori store seal reseal`, then `retire`"
                    );
                }
                done => drop(done?),
            }
        }
        Ok(Arc::new(store))
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

async fn begin(inner: &dyn Store, unlock: &Unlock, prefixes: &[String]) -> Result<(Keyring, Revision), SealedError> {
    for prefix in prefixes {
        let page = inner.range(Range { prefix: prefix.clone(), ..Range::default() }).await?;
        if page.entries.iter().any(|entry| generation_of(&entry.value).is_some()) {
            return Err(SealedError::KeysGone);
        }
    }
    let keys = Keyring::create(unlock, inner.current().await?.0)?;
    let write = Write { key: KEYS.into(), expect: Expect::Absent, value: Some(keys.record()?.into()) };
    match inner.commit(vec![write], Durability::Synced).await {
        Ok(at) => Ok((keys, at)),
        // Another server was quicker: its keys are everybody's.
        Err(StoreError::Conflict { current: Some(record), .. }) => Ok((Keyring::unlock(&record.value, unlock)?, record.revision)),
        Err(source) => Err(source.into()),
    }
}

impl Safe {
    fn known(&self) -> Known {
        self.keys.read().expect("no holder of this lock panics").clone()
    }

    fn keys(&self) -> Arc<Keyring> {
        self.known().keys
    }

    fn take_up(&self, keys: Keyring, at: Revision) {
        let mut known = self.keys.write().expect("no holder of this lock panics");
        if at > known.at {
            *known = Known { keys: Arc::new(keys), at };
        }
    }

    fn is_unknown(&self, value: &[u8]) -> bool {
        generation_of(value).is_some_and(|generation| generation > self.keys().newest().0)
    }

    /// Sealed with a generation that was taken away: only a past that is not to be read any more has such values.
    fn is_retired(&self, value: &[u8]) -> bool {
        generation_of(value).is_some_and(|generation| generation < self.keys().oldest())
    }

    /// Takes up what another server, or this one, made of the keys meanwhile.
    async fn refresh(&self, inner: &dyn Store) -> Result<(), SealedError> {
        let record = inner.get(KEYS).await?.ok_or(SealedError::KeysGone)?;
        let known = self.known();
        if record.revision > known.at {
            self.take_up(known.keys.follow(&record.value)?, record.revision);
        }
        Ok(())
    }

    async fn look_again(&self, inner: &dyn Store) {
        if let Err(source) = self.refresh(inner).await {
            tracing::error!("take up the data keys of another server: {source}");
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
        let past = range.at;
        let page = self.inner.range(range).await?;
        if let Some(asked) = past
            && page.entries.iter().any(|entry| self.safe.is_retired(&entry.value))
        {
            return Err(StoreError::Compacted { asked, oldest: self.safe.known().at.max(Revision(asked.0 + 1)) });
        }
        Ok(Page { entries: self.opened(page.entries).await, ..page })
    }

    async fn count(&self, prefix: &str) -> Result<u64, StoreError> {
        self.inner.count(prefix).await
    }

    async fn commit(&self, mut writes: Vec<Write>, durability: Durability) -> Result<Revision, StoreError> {
        self.limits().check(&writes)?;
        let seals = writes.iter().any(|write| write.value.is_some() && self.is_sealed(&write.key));
        let _sealing = if seals { Some(self.safe.sealing.read().await) } else { None };
        if seals {
            self.safe.refresh(self.inner.as_ref()).await.map_err(cannot_seal)?;
        }
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

    async fn freeze(&self) -> Result<Box<dyn Frozen>, StoreError> {
        self.inner.freeze().await
    }

    fn sealing(&self) -> Option<&SealedStore> {
        Some(self)
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    fn stats(&self) -> Option<Stats> {
        self.inner.stats()
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.inner.close().await
    }
}

/// A write that would lie there open, or sealed with a key that is going away, is not made.
fn cannot_seal(failed: SealedError) -> StoreError {
    match failed {
        SealedError::Store(source) => source,
        other => StoreError::Unavailable { reason: format!("the value cannot be sealed: {other}") },
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
        // What is older than the keys cannot be told any more: whoever watches starts again from what there is.
        let retired = |value: &bytes::Bytes| self.safe.is_retired(value);
        if self.pending.iter().any(|event| {
            event.value.as_ref().is_some_and(retired) || event.previous.as_ref().is_some_and(|entry| retired(&entry.value))
        }) {
            return Err(WatchEnd::Compacted);
        }
        Ok(self.pending.drain(..).map(|event| self.safe.open_event(event)).collect())
    }

    fn progress(&self) -> Revision {
        let waiting = self.pending.first().map(|event| Revision(event.revision.0 - 1));
        waiting.map_or_else(|| self.watch.progress(), |waiting| waiting.min(self.watch.progress()))
    }
}
