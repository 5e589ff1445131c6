//! Where commits are checked, get their revision, and wait for the writer.
//!
//! A commit is checked against all commits before it, the ones on their way to the disk included. Its place in the order is fixed under
//! one lock, and the batch that gathers while the writer syncs the one before is the next to be written. Clients that were answered
//! together tend to come back together: after a batch of several the writer lingers for as many, at most `LINGER`, because a sync and a
//! new version of the state cost more than a commit. After a batch of one it waits for nobody.
use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::{
    contract::{Durability, Entry, Event, Expect, Revision, StoreError, Write},
    log::{WriteRecord, put_commit},
    state::State,
};

/// How long a batch waits at most for as many commits as the one before it had.
const LINGER: Duration = Duration::from_millis(1);

pub type Answer = oneshot::Receiver<Result<Revision, StoreError>>;

/// Commits that go to the disk together.
#[derive(Default)]
pub struct Batch {
    /// Encoded commits.
    pub records: Vec<u8>,
    pub events: Vec<Arc<Event>>,
    pub waiters: Vec<Waiter>,
    /// The first revision in it; `None` while it has no commit.
    pub first: Option<Revision>,
    /// Whether one of its commits has to be on disk before it is answered.
    pub synced: bool,
    /// The state after it.
    pub state: State,
}

/// Somebody who waits for a batch to be shown.
pub struct Waiter {
    answer: oneshot::Sender<Result<Revision, StoreError>>,
    then: Result<Revision, StoreError>,
    /// Room in the queue, given back with the answer.
    _room: OwnedSemaphorePermit,
}

impl Waiter {
    /// The batch is shown.
    pub fn done(self) {
        // Whoever does not wait any more does not need the answer.
        let _nobody_waits = self.answer.send(self.then);
    }

    /// The batch did not come to be.
    pub fn failed(self, why: StoreError) {
        let _nobody_waits = self.answer.send(Err(why));
    }
}

pub struct Intake {
    inner: Mutex<Inner>,
    work: Condvar,
}

struct Inner {
    /// The state after all commits taken in.
    head: State,
    /// The newest revision that readers see.
    shown: Revision,
    records: Vec<u8>,
    events: Vec<Arc<Event>>,
    waiters: Vec<Waiter>,
    first: Option<Revision>,
    synced: bool,
    /// Commits of the batch before this one.
    before: usize,
    /// The writer is woken when so many commits wait.
    wanted: usize,
    /// The writer is to look round although nobody commits.
    nudged: bool,
    mode: Mode,
}

enum Mode {
    Open,
    /// Writes what it has and ends.
    Closing,
    /// Takes nothing any more, for this reason.
    Stopped(String),
}

/// What the writer is to do.
pub enum Work {
    Write(Batch),
    /// The deadline for lazy commits has come.
    Flush,
    /// Nothing but what the writer does after each work.
    Look,
    Close,
}

impl Intake {
    pub fn new(state: State) -> Self {
        let shown = state.revision;
        let inner = Inner {
            head: state,
            shown,
            records: Vec::new(),
            events: Vec::new(),
            waiters: Vec::new(),
            first: None,
            synced: false,
            before: 0,
            wanted: 1,
            nudged: false,
            mode: Mode::Open,
        };
        Self { inner: Mutex::new(inner), work: Condvar::new() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of this lock panics")
    }

    /// Takes a commit in, or answers at once why not.
    pub fn offer(&self, writes: Vec<Write>, durability: Durability, room: OwnedSemaphorePermit) -> Result<Answer, StoreError> {
        let mut inner = self.inner();
        if let Some(reason) = inner.closed() {
            return Err(StoreError::Stopped { reason });
        }
        let (answer, asker) = oneshot::channel();
        let then = match inner.check(&writes) {
            // Nobody may learn from a refusal what is not on disk yet, so it waits for what it was checked against.
            Err(conflict) if inner.head.revision == inner.shown => return Err(conflict),
            Err(conflict) => Err(conflict),
            Ok(current) => Ok(inner.take(writes, current, durability)),
        };
        inner.waiters.push(Waiter { answer, then, _room: room });
        if inner.waiters.len() == inner.wanted {
            self.work.notify_one();
        }
        Ok(asker)
    }

    /// Waits for something to do, if given a deadline no longer than that.
    pub fn next(&self, deadline: Option<Instant>, recycled: Vec<u8>) -> Work {
        let mut inner = self.inner();
        let mut lingers_until = None;
        loop {
            if !inner.waiters.is_empty() {
                let missing = inner.synced && inner.waiters.len() < inner.before && matches!(inner.mode, Mode::Open);
                let left = missing.then(|| {
                    let now = Instant::now();
                    lingers_until.get_or_insert(now + LINGER).saturating_duration_since(now)
                });
                if let Some(left) = left.filter(|left| !left.is_zero()) {
                    inner.wanted = inner.before;
                    inner = self.work.wait_timeout(inner, left).expect("no holder of this lock panics").0;
                    continue;
                }
                return Work::Write(inner.cut(recycled));
            }
            inner.wanted = 1;
            if matches!(inner.mode, Mode::Closing) {
                return Work::Close;
            }
            if std::mem::take(&mut inner.nudged) {
                return Work::Look;
            }
            inner = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return Work::Flush,
                Some(left) => self.work.wait_timeout(inner, left).expect("no holder of this lock panics").0,
                None => self.work.wait(inner).expect("no holder of this lock panics"),
            };
        }
    }

    /// Notes what readers see now.
    pub fn shown(&self, revision: Revision) {
        self.inner().shown = revision;
    }

    /// A batch could not be written: takes back all that was built on it. Returns who waits for that.
    pub fn undo(&self, to: State) -> Vec<Waiter> {
        let mut inner = self.inner();
        inner.head = to;
        inner.cut(Vec::new()).waiters
    }

    /// Takes nothing any more. Returns who still waits.
    pub fn stop(&self, reason: &str) -> Vec<Waiter> {
        let mut inner = self.inner();
        inner.mode = Mode::Stopped(reason.to_owned());
        inner.cut(Vec::new()).waiters
    }

    /// Asks the writer to look round: what held something up is over.
    pub fn nudge(&self) {
        self.inner().nudged = true;
        self.work.notify_one();
    }

    /// Asks the writer to end.
    pub fn close(&self) {
        let mut inner = self.inner();
        if matches!(inner.mode, Mode::Open) {
            inner.mode = Mode::Closing;
        }
        self.work.notify_one();
    }

    /// Why nothing is taken in or read any more; a store that only stopped writing still reads.
    pub fn is_closing(&self) -> bool {
        matches!(self.inner().mode, Mode::Closing)
    }
}

impl Inner {
    fn closed(&self) -> Option<String> {
        match &self.mode {
            Mode::Open => None,
            Mode::Closing => Some("closed".to_owned()),
            Mode::Stopped(reason) => Some(reason.clone()),
        }
    }

    /// What is under each key now, if all expectations hold.
    fn check(&self, writes: &[Write]) -> Result<Vec<Option<Arc<Entry>>>, StoreError> {
        let check = |write: &Write| {
            let current = self.head.get(&write.key).cloned();
            let holds = match write.expect {
                Expect::Absent => current.is_none(),
                Expect::At(revision) => current.as_ref().is_some_and(|entry| entry.revision == revision),
            };
            let conflict = |current: Option<Arc<Entry>>| StoreError::Conflict {
                key: write.key.clone(),
                current: current.map(|entry| Entry::clone(&entry)),
            };
            if holds { Ok(current) } else { Err(conflict(current)) }
        };
        writes.iter().map(check).collect()
    }

    fn take(&mut self, writes: Vec<Write>, current: Vec<Option<Arc<Entry>>>, durability: Durability) -> Revision {
        let revision = Revision(self.head.revision.0 + 1);
        let records = writes.iter().zip(&current).map(|(write, current)| WriteRecord {
            key: &write.key,
            previous: current.as_ref().map_or(0, |entry| entry.revision.0),
            value: write.value.as_deref(),
        });
        put_commit(&mut self.records, revision.0, records);
        for (write, previous) in writes.into_iter().zip(current) {
            // A copy of its own: what came in may be a small part of a large buffer, which it would keep in memory.
            let value = write.value.map(|value| Bytes::copy_from_slice(&value));
            // An update keeps the key that is there, so that only one copy of it stays in memory.
            let key = previous.as_ref().map_or(write.key, |entry| entry.key.clone());
            self.head.write(&key, value.clone(), revision);
            let previous = previous.map(|entry| Entry::clone(&entry));
            self.events.push(Arc::new(Event { revision, key, value, previous }));
        }
        self.first.get_or_insert(revision);
        self.synced |= durability == Durability::Synced;
        revision
    }

    fn cut(&mut self, recycled: Vec<u8>) -> Batch {
        self.before = self.waiters.len();
        Batch {
            records: std::mem::replace(&mut self.records, recycled),
            events: std::mem::take(&mut self.events),
            waiters: std::mem::take(&mut self.waiters),
            first: self.first.take(),
            synced: std::mem::take(&mut self.synced),
            state: self.head.clone(),
        }
    }
}
