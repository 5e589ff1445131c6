//! The life of the keys: a new generation, values sealed anew, old generations taken away, another root key.
//!
//! Each step is one durable commit, or many that may be cut off and repeated: a crash in the middle of any leaves every value readable.
use std::time::Duration;

use futures::StreamExt;
use irori_trust::seal::{Keyring, NewRoot, generation_of};

use super::{KEYS, SealedError, SealedStore};
use crate::contract::*;

/// Attempts at a value that others write at the same time; after that it is theirs to have sealed anew.
const RESEAL_TRIES: usize = 8;
/// Below it lies what irori keeps for itself, sealed by other keys if at all.
const OWN: &str = "irori/";
/// Values looked at in one piece.
const RESEAL_PAGE: usize = 256;
/// Values of a piece that are written at the same time, so that they share their syncs.
const RESEAL_AT_ONCE: usize = 32;
/// With several servers: longer than a commit of any of them can be on its way, the newest generation not yet known to it.
const SETTLE: Duration = Duration::from_secs(30);

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

/// How values are sealed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealing {
    /// The generation that seals.
    pub newest: u32,
    /// The oldest one that is kept.
    pub oldest: u32,
    pub by_passphrase: bool,
}

enum Outcome {
    Changed,
    Opened,
    Left,
    Gone,
}

impl SealedStore {
    /// How values are sealed now.
    pub fn state(&self) -> Sealing {
        let keys = self.safe.keys();
        Sealing { newest: keys.newest().0, oldest: keys.oldest(), by_passphrase: keys.by_passphrase() }
    }

    /// The generation that seals now.
    pub fn generation(&self) -> u32 {
        self.safe.keys().newest().0
    }

    /// Begins a new generation: what is written from now on is sealed with it. Another server takes it up with its next write, or the first
    /// value of it that it reads.
    pub async fn rotate(&self) -> Result<u32, SealedError> {
        let began = self.inner.current().await?.0;
        self.replace_keys(|keys| Ok(keys.rotated(began)?)).await
    }

    /// Forgets all generations but the newest. Errors: `StillSealed` as long as `reseal` has left one of them behind. Watches and reads of
    /// a past that has such values end as compacted.
    pub async fn retire(&self) -> Result<u32, SealedError> {
        self.none_older().await?;
        if self.inner.is_shared() {
            tokio::time::sleep(SETTLE).await;
        }
        let _nobody_seals = self.safe.sealing.write().await;
        self.none_older().await?;
        self.replace_keys(|keys| Ok(keys.retired())).await
    }

    /// Wraps the data keys with another root key: from now on that one opens the store, and no other. The data keys stay, so that values
    /// need not be written again.
    pub async fn rewrap(&self, root: &NewRoot) -> Result<(), SealedError> {
        if self.inner.is_shared() {
            return Err(SealedError::Shared);
        }
        self.replace_keys(|keys| Ok(keys.rewrapped(root)?)).await.map(drop)
    }

    /// On disk first: a value sealed with a key that a crash takes back would be lost.
    async fn replace_keys(&self, change: impl FnOnce(&Keyring) -> Result<Keyring, SealedError>) -> Result<u32, SealedError> {
        self.safe.refresh(self.inner.as_ref()).await?;
        let known = self.safe.known();
        let next = change(&known.keys)?;
        let write = Write { key: KEYS.into(), expect: Expect::At(known.at), value: Some(next.record()?.into()) };
        match self.inner.commit(vec![write], Durability::Synced).await {
            Ok(at) => {
                let generation = next.newest().0;
                self.safe.take_up(next, at);
                Ok(generation)
            }
            Err(StoreError::Conflict { .. }) => Err(SealedError::Raced),
            Err(source) => Err(source.into()),
        }
    }

    async fn none_older(&self) -> Result<(), SealedError> {
        let newest = self.generation();
        let (mut frozen, mut count) = (self.inner.freeze().await?, 0);
        loop {
            let entries = frozen.next().await?;
            if entries.is_empty() {
                return if count > 0 { Err(SealedError::StillSealed { count }) } else { Ok(()) };
            }
            let older = |entry: &&Entry| {
                !entry.key.starts_with(OWN) && generation_of(&entry.value).is_some_and(|generation| generation != newest)
            };
            count += entries.iter().filter(older).count() as u64;
        }
    }

    /// Seals values anew that the newest generation does not seal, and lays open those that are no longer to be sealed: one piece of the
    /// store, behind a key. Each gets a new revision by that, as in every migration of storage; its content stays.
    /// Returns behind which key to go on; `None` at the end.
    pub async fn reseal(&self, after: Option<Key>, done: &mut Resealed) -> Result<Option<Key>, SealedError> {
        self.safe.refresh(self.inner.as_ref()).await?;
        let newest = self.generation();
        let page = self.inner.range(Range { prefix: String::new(), after, limit: RESEAL_PAGE, at: None }).await?;
        let is_due = |entry: &&Entry| match generation_of(&entry.value) {
            Some(generation) => generation != newest || !self.is_sealed(&entry.key),
            None => self.is_sealed(&entry.key),
        };
        let due = page.entries.iter().filter(|entry| !entry.key.starts_with(OWN)).filter(is_due);
        let due: Vec<Key> = due.map(|entry| entry.key.clone()).collect();
        let works: Vec<_> = due.iter().map(|key| self.reseal_one(key)).collect();
        let mut outcomes = futures::stream::iter(works).buffer_unordered(RESEAL_AT_ONCE);
        while let Some(outcome) = outcomes.next().await {
            match outcome? {
                Outcome::Changed => done.changed += 1,
                Outcome::Opened => done.opened += 1,
                Outcome::Left => done.left += 1,
                Outcome::Gone => {}
            }
        }
        Ok(page.entries.last().filter(|_| page.remaining > 0).map(|entry| entry.key.clone()))
    }

    async fn reseal_one(&self, key: &Key) -> Result<Outcome, SealedError> {
        for _ in 0..RESEAL_TRIES {
            let Some(entry) = self.get(key).await? else { return Ok(Outcome::Gone) };
            if generation_of(&entry.value).is_some() {
                break; // it does not open, and get has said so
            }
            let write = Write { key: key.clone(), expect: Expect::At(entry.revision), value: Some(entry.value) };
            match self.commit(vec![write], Durability::Synced).await {
                Ok(_) if self.is_sealed(key) => return Ok(Outcome::Changed),
                Ok(_) => return Ok(Outcome::Opened),
                Err(StoreError::Conflict { .. }) => {}
                Err(source) => return Err(source.into()),
            }
        }
        Ok(Outcome::Left)
    }
}
