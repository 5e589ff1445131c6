//! A store that does one thing wrong now and then: the negative controls.
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use crate::{contract::*, limits::Limits, sealed::SealedStore, sim::Dice};

/// One operation in so many goes wrong.
const ONE_IN: usize = 200;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// A read is answered with what an earlier read of the same key found.
    StaleRead,
    /// A commit is acknowledged and not carried out.
    LostCommit,
    /// A commit is refused and carried out.
    RefusedButDone,
    /// A watch leaves an event out.
    DroppedEvent,
    /// A watch tells an event twice.
    RepeatedEvent,
    /// A watch tells two events the wrong way round.
    SwappedEvents,
}

impl Planted {
    pub const ALL: [Self; 6] =
        [Self::StaleRead, Self::LostCommit, Self::RefusedButDone, Self::DroppedEvent, Self::RepeatedEvent, Self::SwappedEvents];
}

/// A store with a planted fault, or without one.
pub struct Faulty {
    store: Arc<dyn Store>,
    planted: Option<Planted>,
    chance: Mutex<Dice>,
    /// What was read earlier, oldest first.
    earlier: Mutex<VecDeque<Entry>>,
}

impl Faulty {
    pub fn new(store: Arc<dyn Store>, planted: Option<Planted>, seed: u64) -> Self {
        Self { store, planted, chance: Mutex::new(Dice(seed)), earlier: Mutex::default() }
    }

    fn strikes(&self, planted: Planted) -> bool {
        self.planted == Some(planted) && self.chance.lock().expect("nobody panics").below(ONE_IN) == 0
    }
}

#[async_trait::async_trait]
impl Store for Faulty {
    fn limits(&self) -> Limits {
        self.store.limits()
    }

    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let found = self.store.get(key).await?;
        if self.planted == Some(Planted::StaleRead) {
            let mut earlier = self.earlier.lock().expect("nobody panics");
            if self.strikes(Planted::StaleRead)
                && let Some(stale) = earlier.iter().find(|entry| &*entry.key == key && Some(*entry) != found.as_ref())
            {
                return Ok(Some(stale.clone()));
            }
            earlier.extend(found.clone());
            if earlier.len() > ONE_IN {
                earlier.pop_front();
            }
        }
        Ok(found)
    }

    async fn range(&self, range: Range) -> Result<Page, StoreError> {
        self.store.range(range).await
    }

    async fn count(&self, prefix: &str) -> Result<u64, StoreError> {
        self.store.count(prefix).await
    }

    async fn commit(&self, writes: Vec<Write>, durability: Durability) -> Result<Revision, StoreError> {
        if self.strikes(Planted::LostCommit) {
            return self.store.current().await.map(|current| Revision(current.0 + 1));
        }
        let key = writes.first().map(|write| write.key.clone());
        let done = self.store.commit(writes, durability).await?;
        match key {
            Some(key) if self.strikes(Planted::RefusedButDone) => Err(StoreError::Conflict { key, current: None }),
            _ => Ok(done),
        }
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Result<Box<dyn Watch>, StoreError> {
        let watch = self.store.watch(prefix, after).await?;
        let dice = Dice(self.chance.lock().expect("nobody panics").roll());
        Ok(Box::new(FaultyWatch { watch, planted: self.planted, dice }))
    }

    async fn current(&self) -> Result<Revision, StoreError> {
        self.store.current().await
    }

    async fn wait_for(&self, revision: Revision) -> Result<(), StoreError> {
        self.store.wait_for(revision).await
    }

    async fn freeze(&self) -> Result<Box<dyn Frozen>, StoreError> {
        self.store.freeze().await
    }

    fn sealing(&self) -> Option<&SealedStore> {
        self.store.sealing()
    }

    fn is_shared(&self) -> bool {
        self.store.is_shared()
    }

    fn stats(&self) -> Option<Stats> {
        self.store.stats()
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }
}

struct FaultyWatch {
    watch: Box<dyn Watch>,
    planted: Option<Planted>,
    dice: Dice,
}

#[async_trait::async_trait]
impl Watch for FaultyWatch {
    async fn next(&mut self) -> Result<Vec<Arc<Event>>, WatchEnd> {
        let mut events = self.watch.next().await?;
        let Some(planted) = self.planted else { return Ok(events) };
        // Between two commits, since the events of one commit have no order.
        let borders: Vec<usize> = (1..events.len()).filter(|at| events[at - 1].revision != events[*at].revision).collect();
        if !borders.is_empty() {
            let at = borders[self.dice.below(borders.len())] - 1;
            match planted {
                Planted::DroppedEvent => drop(events.remove(at)),
                Planted::RepeatedEvent => events.insert(at, events[at].clone()),
                Planted::SwappedEvents => events.swap(at, at + 1),
                _ => {}
            }
        }
        Ok(events)
    }

    fn progress(&self) -> Revision {
        self.watch.progress()
    }
}
