//! What a client does: reads, lists, writes; with what it knows, which may be stale.
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use super::{KEYS, Operation, PREFIX, Run, Seen, Tried, What};
use crate::{contract::*, sim::Dice};

/// Bytes of the longest value.
const VALUE_BYTES_MAX: usize = 300;

pub struct Client {
    store: Arc<dyn Store>,
    run: Arc<Run>,
    dice: Dice,
    /// What it saw last under each key.
    known: HashMap<Key, Option<Revision>>,
    /// A revision that it saw.
    past: Option<Revision>,
    /// The store has stopped.
    over: bool,
}

/// Why an operation is not noted.
enum Nothing {
    /// A failed read tells nothing.
    Told,
    /// The store has stopped.
    More,
}

impl From<StoreError> for Nothing {
    fn from(failed: StoreError) -> Self {
        if matches!(failed, StoreError::Stopped { .. }) { Self::More } else { Self::Told }
    }
}

impl Client {
    pub fn new(store: Arc<dyn Store>, run: Arc<Run>, dice: Dice) -> Self {
        Self { store, run, dice, known: HashMap::new(), past: None, over: false }
    }

    /// Carries out so many operations, or fewer if the store fails.
    pub async fn work(mut self, operations: u64) {
        let mut done = Vec::new();
        for _ in 0..operations {
            let began = self.run.now();
            let what = match self.dice.below(20) {
                0..=5 => self.read().await,
                6 => self.list(None).await,
                7 => self.list(self.past).await,
                8 => self.current().await,
                _ => Ok(self.commit().await),
            };
            let ended = self.run.now();
            match what {
                Ok(what) => {
                    let is_open = matches!(what, What::Unanswered { .. });
                    done.push(Operation { began, ended: if is_open { u64::MAX } else { ended }, what });
                }
                Err(Nothing::Told) => {}
                Err(Nothing::More) => break,
            }
            if self.over {
                break;
            }
            // In process every call is answered at once; others get their turn, so that operations overlap.
            if self.dice.below(4) == 0 {
                tokio::task::yield_now().await;
            }
        }
        self.run.done.lock().expect("no client panics").append(&mut done);
    }

    fn key(&mut self) -> Key {
        format!("{PREFIX}{}", self.dice.below(KEYS)).into()
    }

    async fn read(&mut self) -> Result<What, Nothing> {
        let key = self.key();
        let entry = self.store.get(&key).await?;
        self.known.insert(key.clone(), entry.as_ref().map(|entry| entry.revision));
        Ok(What::Read { key, found: entry.as_ref().map(Seen::of) })
    }

    async fn list(&mut self, at: Option<Revision>) -> Result<What, Nothing> {
        let page = self.store.range(Range { prefix: PREFIX.into(), at, ..Range::default() }).await?;
        let found: Vec<(Key, Seen)> = page.entries.iter().map(|entry| (entry.key.clone(), Seen::of(entry))).collect();
        Ok(match at {
            Some(at) => What::ListedPast { at, found },
            None => {
                self.known = found.iter().map(|(key, seen)| (key.clone(), Some(seen.revision))).collect();
                self.past = Some(page.revision);
                What::Listed { at: page.revision, found }
            }
        })
    }

    async fn current(&mut self) -> Result<What, Nothing> {
        Ok(What::Current(self.store.current().await?))
    }

    async fn commit(&mut self) -> What {
        let count = [1, 1, 1, 2][self.dice.below(4)];
        let mut writes: Vec<(Tried, Write)> = Vec::new();
        for _ in 0..count {
            let write = self.write();
            if writes.iter().all(|(tried, _)| tried.key != write.0.key) {
                writes.push(write);
            }
        }
        let (tried, writes): (Vec<Tried>, Vec<Write>) = writes.into_iter().unzip();
        match self.store.commit(writes, Durability::Synced).await {
            Ok(at) => {
                for write in &tried {
                    self.known.insert(write.key.clone(), write.number.map(|_| at));
                }
                What::Committed { writes: tried, at }
            }
            Err(StoreError::Conflict { key, current }) => {
                self.known.insert(key.clone(), current.as_ref().map(|entry| entry.revision));
                What::Refused { writes: tried, found: current.as_ref().map(Seen::of), key }
            }
            Err(StoreError::Unknown { .. }) => What::Unanswered { writes: tried },
            // What was under way when writing stopped may be on the disk.
            Err(StoreError::Stopped { .. }) => {
                self.over = true;
                What::Unanswered { writes: tried }
            }
            Err(_) => What::NotMade { writes: tried },
        }
    }

    fn write(&mut self) -> (Tried, Write) {
        let key = self.key();
        let expect = match self.known.get(&key) {
            Some(Some(revision)) => Expect::At(*revision),
            _ => Expect::Absent,
        };
        let deletes = expect != Expect::Absent && self.dice.below(6) == 0;
        let number = (!deletes).then(|| self.run.next_number.fetch_add(1, Ordering::Relaxed));
        let value = number.map(|number| {
            let mut value = number.to_le_bytes().to_vec();
            value.resize(8 + self.dice.below(VALUE_BYTES_MAX), b'x');
            value.into()
        });
        (Tried { key: key.clone(), expect, number }, Write { key, expect, value })
    }
}
